/*
 * Our own float32 functions, as scalar expressions over primitives: range reduction by
 * exact arithmetic, minimax polynomials by fma, selections instead of branches.  At most 2
 * ulp over all of f32, denormals and huge arguments included; the worst over all 2^32 words
 * (sx_ulp_test --full): exp 0.89, expm1 1.59, log 0.94, tanh 1.59, sigmoid 1.97, softplus
 * 1.96, sin 1.58, cos 1.58, erf 1.02, acos 1.14.
 *
 * Coefficients are our own fits: Remez exchange, then rounded to f32, where that helps one
 * by one from the lowest order up with the rest refitted.  Rounding to whole numbers
 * adds 1.5 * 2^23 inside an fma, after which the low bits of the word are the integer;
 * folding never touches fma, so the trick is safe.
 */
#include <math.h>

#include "ops/sx_make.h"
#include "ops/sx_priv.h"

#define LN2        0.69314718055994531
#define LN2_HI     0x1.62e4p-1 /* 16 bits: exact times any exponent */
#define LN2_LO     (LN2 - LN2_HI)
#define LOG2E      1.4426950408889634
#define HALF_PI    1.5707963267948966
#define HALF_PI_HI 0x1.921fb6p+0
#define HALF_PI_LO (HALF_PI - HALF_PI_HI)
#define MAGIC      0x1.8p23
#define SIGN_BIT   0x80000000U

/* c[0] + c[1] x + ... by Horner's rule. */
static sx_id poly(struct sxb *b, sx_id x, const double *c, unsigned n)
{
    sx_id y = K(c[n - 1]);

    for (unsigned i = n - 1; i-- > 0;)
        y = FMA(y, x, K(c[i]));
    return y;
}

#define POLY(x, table) poly(b, x, table, sizeof(table) / sizeof *(table))

/* The same, two terms at a time by Horner's rule in `xx`, the square of x: half as long a
 * chain of operations that wait for one another, and no more of them.  An odd number of
 * terms leaves the lowest, whose rounding counts most, for the last step. */
static sx_id poly_pairs(struct sxb *b, sx_id x, sx_id xx, const double *c, unsigned n)
{
    const unsigned low = n % 2;
    sx_id y = FMA(K(c[n - 1]), x, K(c[n - 2]));

    for (unsigned i = n - 2; i > low; i -= 2)
        y = FMA(y, xx, FMA(K(c[i - 1]), x, K(c[i - 2])));
    return low ? FMA(y, x, K(c[0])) : y;
}

#define POLY_PAIRS(x, xx, table)                                                           \
    poly_pairs(b, x, xx, table, sizeof(table) / sizeof *(table))

/* x with the sign bit of the word `sign`. */
static sx_id flip_sign(struct sxb *b, sx_id x, sx_id sign)
{
    return FROM_BITS(IXOR(BITS(x), IAND(sign, U(SIGN_BIT))));
}

/* ---- exponentials: x = k ln 2 + r, |r| <= ln 2 / 2 ---- */

struct reduced {
    sx_id n; /* word whose low 9 bits are k + bias */
    sx_id k, r;
};

/* The bias comes with the number that rounds: what is shifted into an exponent later needs
 * none added. */
static struct reduced reduce_exp(struct sxb *b, sx_id x, double bias)
{
    const sx_id t = FMA(x, K(LOG2E), K(MAGIC + bias));
    const sx_id k = SUB(t, K(MAGIC + bias));
    const sx_id r = FMA(k, K(-LN2_LO), FMA(k, K(-LN2_HI), x));
    return (struct reduced){BITS(t), k, r};
}

static sx_id exp_poly(struct sxb *b, sx_id r)
{
    static const double c[] = {0x1.fffffcp-2, 0x1.55548ap-3, 0x1.55584ep-5, 0x1.123f3p-7,
                               0x1.6ad158p-10};
    return FMA(FMA(POLY_PAIRS(r, MUL(r, r), c), r, K(1)), r, K(1));
}

/* 2^k from a word whose low 9 bits are k + 127, for k in -126..127. */
static sx_id power_of_two(struct sxb *b, sx_id n)
{
    return FROM_BITS(SHL(n, U(23)));
}

/* e^x where neither overflow nor denormals can come up: |x| <= 87. */
static sx_id exp_small(struct sxb *b, sx_id x)
{
    const struct reduced e = reduce_exp(b, x, 127);
    return MUL(exp_poly(b, e.r), power_of_two(b, e.n));
}

/* e^x for x in [-104, 89]: 2^k in two factors, so that the last product alone rounds. */
static sx_id exp_wide(struct sxb *b, sx_id x)
{
    const struct reduced e = reduce_exp(b, x, 2 * 127);
    const sx_id half = SHR(e.n, U(1));
    const sx_id p = MUL(exp_poly(b, e.r), power_of_two(b, half));
    return MUL(p, power_of_two(b, ISUB(e.n, half)));
}

sx_id own_exp(struct sxb *b, sx_id x)
{
    /* The constant stands first: max and min give their second operand on NaN. */
    return exp_wide(b, MIN(K(89), MAX(K(-104), x)));
}

sx_id own_expm1(struct sxb *b, sx_id x)
{
    static const double c[] = {0.5, 0x1.5554a8p-3, 0x1.555538p-5, 0x1.122e02p-7,
                               0x1.6cd714p-10};
    const struct reduced e = reduce_exp(b, MIN(K(89), MAX(K(-30), x)), 127);
    const sx_id rr = MUL(e.r, e.r);
    const sx_id p = FMA(rr, POLY_PAIRS(e.r, rr, c), e.r);
    const sx_id top = LT(K(127.5), e.k); /* 2^128 is no float: halve, double at the end */
    const sx_id s = power_of_two(b, ISUB(e.n, SEL(top, U(1), U(0))));
    const sx_id y = FMA(s, p, SUB(s, SEL(top, K(0.5), K(1))));
    return MUL(y, SEL(top, K(2), K(1)));
}

/* ---- logarithms ---- */

/* log(1 + f) for |f| <= 1/3. */
static sx_id log1p_poly(struct sxb *b, sx_id f)
{
    static const double c[] = {-0.5,           0x1.55550cp-2,  -0x1.fffe5cp-3,
                               0x1.99ce4cp-3,  -0x1.55b86ap-3, 0x1.1ef0ccp-3,
                               -0x1.f02c42p-4, 0x1.1df7fp-3,   -0x1.0e5098p-3};
    const sx_id ff = MUL(f, f);
    return FMA(ff, POLY_PAIRS(f, ff, c), f);
}

/* log x for normal positive x: x = 2^e m, m in [2/3, 4/3); `more` is added to e. */
static sx_id log_normal(struct sxb *b, sx_id x, sx_id more)
{
    const sx_id w = U2I(BITS(x));
    const sx_id e = SHR(ISUB(w, I(0x3f2aaaab)), I(23));
    const sx_id m = FROM_BITS(I2U(ISUB(w, SHL(e, I(23)))));
    const sx_id k = more ? ADD(I2F(e), more) : I2F(e);
    return FMA(k, K(LN2), log1p_poly(b, SUB(m, K(1))));
}

/* Words of positive numbers are in the order of these, and integers can be compared while
 * the units for floats are busy; what they say of negative words and NaN is not used. */
sx_id own_log(struct sxb *b, sx_id x)
{
    const sx_id w = U2I(BITS(x)), tiny = LT(w, I(0x00800000));
    const sx_id y = log_normal(b, SEL(tiny, MUL(x, K(0x1p23)), x), SEL(tiny, K(-23), K(0)));
    const sx_id finite = SEL(LT(w, I(0x7f800000)), y, x);
    const sx_id low = SEL(EQ(x, K(0)), K(-(double)INFINITY), K((double)NAN));
    return SEL(LT(I(0), w), finite, low);
}

/* max(x, 0) + log(1 + z), z = exp(-|x|) in [0, 1]; 1 + z above 4/3 is halved. */
sx_id own_softplus(struct sxb *b, sx_id x)
{
    const sx_id z = exp_wide(b, MAX(K(-104), NEG(ABS(x))));
    const sx_id big = LT(K(1.0 / 3), z);
    const sx_id f = SEL(big, FMA(z, K(0.5), K(-0.5)), z);
    const sx_id y = ADD(log1p_poly(b, f), SEL(big, K(LN2), K(0)));
    return ADD(y, MAX(K(0), x));
}

sx_id own_sigmoid(struct sxb *b, sx_id x)
{
    const sx_id z = exp_wide(b, MAX(K(-104), NEG(ABS(x))));
    const sx_id d = ADD(z, K(1)), lost = SUB(z, SUB(d, K(1)));
    const sx_id y = DIV(SEL(LT(x, K(0)), z, K(1)), d);
    /* What rounding d lost, times 1/d to a tenth. */
    return FMA(NEG(MUL(y, lost)), FMA(z, K(-0.5), K(1)), y);
}

sx_id own_tanh(struct sxb *b, sx_id x)
{
    static const double c[] = {-0x1.55554ap-2, 0x1.110cd8p-3, -0x1.b91882p-5, 0x1.58a54cp-6,
                               -0x1.97780cp-8};
    const sx_id t = ABS(x), s = MUL(x, x);
    const sx_id near = FMA(MUL(POLY(s, c), s), x, x);
    const sx_id e = exp_small(b, MIN(K(20), MUL(t, K(2))));
    const sx_id far = SUB(K(1), DIV(K(2), ADD(e, K(1))));
    return SEL(LT(t, K(0.55)), near, flip_sign(b, far, BITS(x)));
}

/* ---- circular functions ---- */

/*
 * Payne and Hanek's reduction: 2/pi as a bit string behind 32 zeros; x = M 2^E meets only
 * the 96 bits from weight 2 down to 2^-94, so 64 bits of M times them give the quadrant and
 * 62 bits of fraction.  No f32 is nearer to a multiple of pi/2 than about 2^-30 of a
 * quarter turn.
 */
static void two_over_pi(struct sxb *b, sx_id place, sx_id window[3])
{
    static const uint32_t p[] = {0,           0xa2f9836eU, 0x4e441529U, 0xfc2757d1U,
                                 0xf534ddc0U, 0xdb629599U, 0x3c439041U, 0xfe5163abU};
    const sx_id shift = IAND(place, U(31)), back = IXOR(shift, U(31));
    sx_id w[4];

    for (unsigned j = 0; j < 4; j++) {
        w[j] = U(p[j + 4]);
        for (unsigned k = 4; k-- > 0;)
            w[j] = SEL(LT(place, U(32 * (k + 1))), U(p[j + k]), w[j]);
    }
    for (unsigned j = 0; j < 3; j++)
        window[j] = IOR(SHL(w[j], shift), SHR(SHR(w[j + 1], U(1)), back));
}

struct angle {
    sx_id quadrant; /* word; its low two bits count */
    sx_id r, sign; /* |x| = quadrant pi/2 + r with the sign bit of `sign`, r in [0, pi/4] */
};

static struct angle reduce_angle(struct sxb *b, sx_id x)
{
    const sx_id t = ABS(x), w = BITS(t);
    const sx_id m = IOR(IAND(w, U(0x7fffff)), U(0x800000));
    const sx_id small = LT(t, K(0.785));
    sx_id bits[3], mid, hi, q, whole, neg, rest, r;

    two_over_pi(b, ISUB(SHR(w, U(23)), U(120)), bits);
    mid = IADD(IMUL(m, bits[1]), MULHI(m, bits[2]));
    hi = IADD(IADD(IMUL(m, bits[0]), MULHI(m, bits[1])),
              SEL(LT(mid, MULHI(m, bits[2])), U(1), U(0)));
    q = SHR(IADD(hi, U(0x20000000)), U(30));
    hi = U2I(ISUB(hi, SHL(q, U(30))));
    neg = SHR(hi, I(31));
    hi = I2U(IXOR(hi, neg)); /* one's complement: off by 2^-62 */
    mid = IXOR(mid, I2U(neg));
    whole = WORDF(IAND(hi, U(~0x3fU)));              /* in 2^-30: exact */
    rest = U2F(IOR(SHL(hi, U(26)), SHR(mid, U(6)))); /* in 2^-56 */
    r = FMA(whole, K(HALF_PI_LO * 0x1p-30), MUL(rest, K(HALF_PI * 0x1p-56)));
    r = FMA(whole, K(HALF_PI_HI * 0x1p-30), r);
    return (struct angle){SEL(small, U(0), q), SEL(small, t, r),
                          SEL(small, U(0), I2U(neg))};
}

/* sin(quadrant pi/2 + r): `sign` is flipped into the result. */
static sx_id sin_quadrant(struct sxb *b, const struct angle *a, sx_id sign)
{
    static const double sc[] = {-0x1.555546p-3, 0x1.110776p-7, -0x1.995282p-13};
    static const double cc[] = {0x1.55554ap-5, -0x1.6c0c1ap-10, 0x1.99e0eep-16};
    const sx_id s = MUL(a->r, a->r);
    const sx_id sine = FMA(MUL(POLY(s, sc), s), a->r, a->r);
    const sx_id cosine = FMA(MUL(s, s), POLY(s, cc), FMA(s, K(-0.5), K(1)));
    const sx_id odd = EQ(IAND(a->quadrant, U(1)), U(1));
    const sx_id flip = IXOR(SHL(a->quadrant, U(30)), sign);
    return SEL(odd, flip_sign(b, cosine, flip), flip_sign(b, sine, IXOR(flip, a->sign)));
}

static sx_id or_nan(struct sxb *b, sx_id x, sx_id y)
{
    return SEL(LT(ABS(x), K((double)INFINITY)), y, K((double)NAN));
}

sx_id own_sin(struct sxb *b, sx_id x)
{
    const struct angle a = reduce_angle(b, x);
    return or_nan(b, x, sin_quadrant(b, &a, BITS(x)));
}

sx_id own_cos(struct sxb *b, sx_id x)
{
    struct angle a = reduce_angle(b, x);
    a.quadrant = IADD(a.quadrant, U(1));
    return or_nan(b, x, sin_quadrant(b, &a, U(0)));
}

/* acos through asin of x, or of sqrt((1 - |x|) / 2) where |x| > 1/2. */
sx_id own_acos(struct sxb *b, sx_id x)
{
    static const double c[] = {0x1.5555cap-3, 0x1.33016ap-4, 0x1.748a2cp-5, 0x1.8bb536p-6,
                               0x1.59cc92p-5};
    const sx_id t = ABS(x), big = LT(K(0.5), t), left = LT(x, K(0));
    const sx_id z = FMA(t, K(-0.5), K(0.5));
    const sx_id s = SEL(big, z, MUL(x, x)), base = SEL(big, SQRT(z), x);
    const sx_id asin = FMA(MUL(POLY(s, c), s), base, base);
    const sx_id factor = SEL(big, SEL(left, K(-2), K(2)), K(-1));
    const sx_id hi = SEL(big, SEL(left, K(2 * HALF_PI_HI), K(0)), K(HALF_PI_HI));
    const sx_id lo = SEL(big, SEL(left, K(2 * HALF_PI_LO), K(0)), K(HALF_PI_LO));
    return ADD(FMA(factor, asin, lo), hi);
}

/* ---- error function ---- */

/* Odd polynomial up to 0.9; beyond, 1 - exp of a polynomial for log(erfc), and 1 from 4 on.
 */
sx_id own_erf(struct sxb *b, sx_id x)
{
    static const double nc[] = {0x1.06eba8p-3,  -0x1.812740p-2, 0x1.ce2d6p-4,
                                -0x1.b8007ep-6, 0x1.54423ep-8,  -0x1.a5b7c4p-11,
                                0x1.4e382ap-14};
    static const double fc[] = {0x1.0772ep-3,   0x1.4538aep-1, 0x1.b2d3c2p-4,
                                -0x1.8435dcp-6, 0x1.d9350ep-9, -0x1.4a2172p-12,
                                0x1.5e0ad2p-17};
    const sx_id t = MIN(K(4), ABS(x));
    const sx_id near = FMA(POLY(MUL(x, x), nc), x, x);
    const sx_id far = SUB(K(1), exp_small(b, FMA(POLY(t, fc), NEG(t), NEG(t))));
    return SEL(LT(t, K(0.9)), near, flip_sign(b, far, BITS(x)));
}

/* ---- the rest ---- */

sx_id own_round(struct sxb *b, sx_id x)
{
    const sx_id t = ABS(x);
    const sx_id y = SUB(FMA(t, K(1), K(0x1p23)), K(0x1p23));
    return SEL(LT(t, K(0x1p23)), flip_sign(b, y, BITS(x)), x);
}

/*
 * Box-Muller.  The angle is reduced by integers: the upper 24 bits of w1, plus a quarter
 * turn where e is even (cos t = sin(t + pi/2)), are a signed fraction of a turn; sin folds
 * at a quarter.  1 - u is in [2^-24, 1], so the logarithm needs none of its special cases.
 */
sx_id own_normal(struct sxb *b, sx_id w0, sx_id w1, sx_id e)
{
    static const double c[] = {0x1.921fb6p+2, -0x1.4abbf6p+5, 0x1.46709ap+6, -0x1.33128ap+6,
                               0x1.49d55ep+5};
    const sx_id u = MUL(WORDF(SHR(w0, U(8))), K(0x1p-24));
    const sx_id radius = SQRT(MUL(log_normal(b, SUB(K(1), u), 0), K(-2)));
    const sx_id quarter = SHL(IXOR(IAND(I2U(e), U(1)), U(1)), U(30));
    const sx_id turn = IADD(IAND(w1, U(0xffffff00U)), quarter);
    const sx_id h = ABS(MUL(WORDF(turn), K(0x1p-32)));
    const sx_id g = MIN(h, SUB(K(0.5), h));
    const sx_id sine = MUL(POLY(MUL(g, g), c), g);
    return MUL(radius, flip_sign(b, sine, turn));
}

sx_id own_laplace(struct sxb *b, sx_id w)
{
    const sx_id h = SUB(FN(open01, w, 0), K(0.5));
    const sx_id y = FN(log, FMA(ABS(h), K(-2), K(1)), 0);
    return SEL(LT(h, K(0)), y, NEG(y));
}
