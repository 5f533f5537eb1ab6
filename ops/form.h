/*
 * Multilinear forms: every data-independent linear thing as one op (docs: ARCHITECTURE.md).
 *
 * A form is an iteration box (named axes with extents) and two or three ports; each port
 * has a shape and an affine map from box to index.  F(t0..tk) = sum over the box, wherever
 * every index lies inside its port's shape, of the product of t_j[M_j(i)].  The op "form
 * read out at port p" is dF/dt_p, a tensor of port p's shape.  Adjoint rule, the only one:
 * for y = C^p(...) with cotangent g, the adjoint of t_q is C^q with g at port p.
 */
#ifndef HYP_OPS_FORM_H
#define HYP_OPS_FORM_H

#include <stdbool.h>
#include <stdint.h>

struct arena;

#define HYP_RANK 9 /* 8 axes of the language and the batch */
#define HYP_AXES 12
#define HYP_DIM_AXES                                                                       \
    4 /* axes that one dim may combine; more than 2 only as digits (reshape) */
#define HYP_PORTS 3

/* c + b*B, B the batch: the only symbol. */
struct ext {
    int32_t c, b;
};
static inline int64_t ext_at(struct ext e, int64_t batch)
{
    return (int64_t)e.c + (int64_t)e.b * batch;
}
static inline bool ext_eq(struct ext x, struct ext y)
{
    return x.c == y.c && x.b == y.b;
}
static inline struct ext ext_const(int32_t c)
{
    return (struct ext){c, 0};
}

struct dimmap { /* index = off + sum coef[k] * axis[k] */
    uint8_t n;
    int8_t axis[HYP_DIM_AXES];
    int32_t coef[HYP_DIM_AXES];
    struct ext
        off; /* off.b: offsets of B, as in roll(x, batch_size) or concat of batches */
};
struct port {
    uint8_t rank;
    struct dimmap dim[HYP_RANK];
    struct ext shape[HYP_RANK];
};

/* The order in which a read-out sums; part of the form's meaning, written by
 * canonicalisation. */
enum form_order {
    ORDER_SEQ,   /* one fma chain over the reduced axes, lexicographic */
    ORDER_LANES, /* 16 partials (element mod 16 of the flattened reduced axes), halving tree
                  */
    ORDER_CHUNK  /* the outermost reduced axis in chunks: a chain in each, partials added in
                    order */
};

struct form {
    uint8_t naxis, nport;
    uint8_t order;  /* enum form_order, for the port it is read out at */
    uint16_t chunk; /* ORDER_CHUNK: samples a chunk (24) */
    struct ext axis[HYP_AXES];
    struct port port[HYP_PORTS];
};

bool form_equal(const struct form *x, const struct form *y);
uint64_t form_hash(const struct form *f);
/* Axes of the box that do not index port p: the reduced ones, in box order. Bit set. */
uint32_t form_reduced(const struct form *f, unsigned p);
/* Two ports, no reduction, and both sides have the same row-major address: a reshape.  For
 * all B. */
bool form_is_view(const struct form *f, unsigned p);
/* Two ports, and every element of the source takes part once, at the axes of its own dims.
 */
bool form_is_plain_sum(const struct form *f, unsigned p);
/*
 * NULL, or why the form is malformed (axis out of range, empty box, ...).  Extents must be
 * 1 or more for every B >= 1 and must not shrink with B; axes of one dim are different,
 * coef != 0.
 */
const char *form_validate(const struct form *f);

/*
 * Common forms. Shapes as given; every ext may hold B.  Two-port forms: port 0 is the
 * operand of the given shape, port 1 the result.
 */
struct form form_matmul(struct ext n, struct ext o,
                        struct ext i); /* Y[n,o] X[n,i] W[o,i] */
struct form form_sum(const struct ext *shape, uint8_t rank,
                     uint32_t over); /* A[..] S[kept] */
/* Dim j of the result is dim perm[j] of the operand. */
struct form form_permute(const struct ext *shape, uint8_t rank, const uint8_t *perm);
struct form form_slice(const struct ext *shape, uint8_t rank, uint8_t axis, struct ext from,
                       struct ext count);
/*
 * *ok is false where the two shapes have no common digits ([2,3] to [3,2], [2,B] to [2B],
 * more than HYP_DIM_AXES digits in a dim): go through a shape between them.  Always a view.
 */
struct form form_reshape(const struct ext *from, uint8_t nfrom, const struct ext *to,
                         uint8_t nto, bool *ok);
/*
 * Y[n,(g,)f,y,x] X[n,(g,)c,s*y+d*u-p,..] W[(g,)f,c,u,v]; in and out are channels, height,
 * width.  The group dim is there only when groups > 1 (a view of the channels).
 */
struct form form_conv(struct ext n, const int32_t in[3], const int32_t out[3],
                      const int32_t kernel[2], const int32_t stride[2],
                      const int32_t pad[2], const int32_t dilation[2], int32_t groups);

/*
 * Reference read-out by brute force, in the form's order.  t[p] is ignored.  Arrays are
 * row-major at the port's shape with batch size `batch`.  f32: computes with fmaf and
 * stores floats as doubles; otherwise in double.  ORDER_SEQ starts at +0 and does acc =
 * fma(a, b, acc), or acc + a of two ports, in lexicographic box order.  ORDER_LANES:
 * element e of the flattened reduced axes goes to the chain of partial e mod 16, then p[l]
 * += p[l+h] for h = 8, 4, 2, 1. ORDER_CHUNK: blocks of `chunk` of the outermost reduced
 * axis, a chain from +0 in each, added in ascending order to the first.  Where several kept
 * indices reach one element (only before form_solve), SEQ goes on with the chain and the
 * others add their results.
 */
void form_eval(const struct form *f, unsigned p, int64_t batch, const double *const *t,
               double *out, bool f32);
/* The same, but every chain goes on from what `out` holds (ORDER_SEQ). */
void form_eval_onto(const struct form *f, unsigned p, int64_t batch, const double *const *t,
                    double *out, bool f32);

/*
 * Solve: the read-out at p as disjoint, covering pieces whose output map is injective
 * (stride phases become pieces; compiler notes in ARCHITECTURE.md).  Every piece is a form
 * of the same port shapes and the same operands; the terms of its box that lie inside all
 * ports are exactly the terms of `f` that reach its elements, each once.  At port p every
 * dim is a single axis (coef * axis + off) or plain digits, its axes are its own, and no
 * store is out of range. Returns the number of pieces; 0 where a form is outside what is
 * solved (an axis in two dims of port p, three overlapping axes in one dim, a stride that
 * does not divide a multiple of B).
 */
struct form_piece {
    struct form form;
    bool zero; /* no term reaches these elements: store 0.  Only box and port p count. */
};
uint32_t form_solve(const struct form *f, unsigned p, struct arena *a,
                    struct form_piece **out);
/* Every dim of port p is at most one axis, forwards or backwards: nothing is to be solved.
 */
bool form_is_direct(const struct form *f, unsigned p);
/*
 * What kernels (and the interpreter of graphs, which sums in the same order) walk: the
 * pieces of a form that is not direct.  0 where it is direct or not solved: then it is
 * walked whole.
 */
uint32_t form_pieces(const struct form *f, unsigned p, struct arena *a,
                     struct form_piece **out);
/*
 * C^X = col2im o contract through T[n,c,u,v,y,x]: `contract` has f's ports with T for p,
 * and is read out at p; `fold` has ports T, X and is read out at 1.  False where it does
 * not apply (two ports, p's map without an overlap, more than HYP_RANK kept axes).
 */
bool form_factor(const struct form *f, unsigned p, struct form *contract,
                 struct form *fold);

/*
 * Text that parses back: "{a:B,b:512,c:784} Y[a,b] += X[a,c] * W[b,c] chunk 24".  The box,
 * whose axes are named by their number from `a` on; the ports, Y X W of three and A S of
 * two, that on the left being p; a dim is "2b+d-1/28", its shape left out where it is that
 * of its plain axis; the order, left out for ORDER_SEQ.  form_parse() leaves *end behind
 * the form, or at the mistake.
 */
char *form_print(const struct form *f, unsigned p, struct arena *a);
bool form_parse(const char *text, struct form *f, unsigned *p, const char **end);

#endif
