/* Text of forms.  The grammar is in form.h; the printer leaves out what the parser can
 * infer. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "ops/form.h"
#include "runtime/base/arena.h"

static const char port_name[2][HYP_PORTS + 1] = {"AS", "YXW"}; /* of two, of three ports */

/* ---- printing ---- */

/* The longest form: 27 dims of 4 terms and two extents, each number of 11 characters. */
struct text {
    char s[8192];
    size_t n;
};

static void put(struct text *t, char c)
{
    if (t->n + 1 < sizeof t->s)
        t->s[t->n++] = c;
}

static void put_words(struct text *t, const char *s)
{
    while (*s)
        put(t, *s++);
}

/* x in decimal, with a sign if it is negative or `plus`; a 1 before a name is left out. */
static void put_int(struct text *t, int64_t x, bool plus, bool before_name)
{
    char digit[24];
    unsigned n = 0;
    uint64_t u = x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
    if (x < 0)
        put(t, '-');
    else if (plus)
        put(t, '+');
    if (u == 1 && before_name)
        return;
    do {
        digit[n++] = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    while (n)
        put(t, digit[--n]);
}

/* "2B+3"; after other terms `more` is set, and a zero is then left out. */
static void put_ext(struct text *t, struct ext e, bool more)
{
    if (e.b) {
        put_int(t, e.b, more, true);
        put(t, 'B');
        more = true;
    }
    if (e.c || !more)
        put_int(t, e.c, more, false);
}

static bool shape_is_plain(const struct form *f, const struct dimmap *d, struct ext shape)
{
    return d->n == 1 && d->coef[0] == 1 && ext_eq(d->off, ext_const(0)) &&
           ext_eq(f->axis[d->axis[0]], shape);
}

static void put_dim(struct text *t, const struct form *f, const struct dimmap *d,
                    struct ext shape)
{
    for (unsigned k = 0; k < d->n; k++) {
        put_int(t, d->coef[k], k > 0, true);
        put(t, (char)('a' + d->axis[k]));
    }
    put_ext(t, d->off, d->n > 0);
    if (shape_is_plain(f, d, shape))
        return;
    put(t, '/');
    put_ext(t, shape, false);
}

static void put_port(struct text *t, const struct form *f, unsigned j)
{
    const struct port *q = &f->port[j];
    put(t, port_name[f->nport - 2][j]);
    put(t, '[');
    for (unsigned r = 0; r < q->rank; r++) {
        if (r)
            put(t, ',');
        put_dim(t, f, &q->dim[r], q->shape[r]);
    }
    put(t, ']');
}

char *form_print(const struct form *f, unsigned p, struct arena *a)
{
    struct text t = {.n = 0};
    put(&t, '{');
    for (unsigned k = 0; k < f->naxis; k++) {
        if (k)
            put(&t, ',');
        put(&t, (char)('a' + k));
        put(&t, ':');
        put_ext(&t, f->axis[k], false);
    }
    put_words(&t, "} ");
    put_port(&t, f, p);
    const char *join = " += ";
    for (unsigned j = 0; j < f->nport; j++) {
        if (j == p)
            continue;
        put_words(&t, join);
        put_port(&t, f, j);
        join = " * ";
    }
    if (f->order == ORDER_LANES)
        put_words(&t, " lanes");
    if (f->order == ORDER_CHUNK) {
        put_words(&t, " chunk ");
        put_int(&t, f->chunk, false, false);
    }
    return arena_strn(a, t.s, t.n);
}

/* ---- parsing ---- */

static void skip_space(const char **s)
{
    while (**s == ' ')
        ++*s;
}

static bool take(const char **s, const char *word)
{
    const size_t n = strlen(word);
    skip_space(s);
    if (strncmp(*s, word, n) != 0)
        return false;
    *s += n;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* An optional sign and an optional number, which is 1 if absent; *bare tells. */
static bool read_coef(const char **s, int32_t *out, bool *bare)
{
    int64_t x = 0, sign = 1;
    skip_space(s);
    if (**s == '+' || **s == '-')
        sign = *(*s)++ == '-' ? -1 : 1;
    skip_space(s);
    *bare = !is_digit(**s);
    while (is_digit(**s)) {
        x = x * 10 + (*(*s)++ - '0');
        if (x > INT32_MAX)
            return false;
    }
    *out = (int32_t)(sign * (*bare ? 1 : x));
    return true;
}

static bool add_to(int32_t *sum, int32_t x)
{
    const int64_t y = (int64_t)*sum + x;
    *sum = (int32_t)y;
    return y == *sum;
}

/* Terms "2b", "B", "-3", joined by signs.  Axes only where `d` is given. */
static bool read_terms(const char **s, struct dimmap *d, struct ext *e)
{
    bool first = true;
    for (;;) {
        int32_t x;
        bool bare;
        const char *from = *s;
        skip_space(s);
        if (!first && **s != '+' && **s != '-') {
            *s = from;
            return true;
        }
        if (!read_coef(s, &x, &bare))
            return false;
        if (**s == 'B') {
            if (!add_to(&e->b, x))
                return false;
            ++*s;
        } else if (d && **s >= 'a' && **s < 'a' + HYP_AXES) {
            if (d->n == HYP_DIM_AXES)
                return false;
            d->axis[d->n] = (int8_t)(*(*s)++ - 'a');
            d->coef[d->n++] = x;
        } else if (bare || !add_to(&e->c, x)) {
            return false;
        }
        first = false;
    }
}

static bool read_box(const char **s, struct form *f)
{
    if (!take(s, "{"))
        return false;
    if (take(s, "}"))
        return true;
    do {
        skip_space(s);
        if (f->naxis == HYP_AXES || **s != 'a' + f->naxis)
            return false;
        ++*s;
        if (!take(s, ":") || !read_terms(s, NULL, &f->axis[f->naxis]))
            return false;
        f->naxis++;
    } while (take(s, ","));
    return take(s, "}");
}

static bool read_dim(const char **s, const struct form *f, struct port *q)
{
    if (q->rank == HYP_RANK)
        return false;
    struct dimmap *d = &q->dim[q->rank];
    struct ext *shape = &q->shape[q->rank++];
    if (!read_terms(s, d, &d->off))
        return false;
    if (take(s, "/"))
        return read_terms(s, NULL, shape);
    if (d->n != 1 || d->axis[0] >= f->naxis)
        return false;
    *shape = f->axis[d->axis[0]];
    return shape_is_plain(f, d, *shape);
}

/* Returns the port's number among those of a form with nport ports, or -1. */
static int read_port(const char **s, struct form *f)
{
    skip_space(s);
    const char *at = **s ? strchr(port_name[f->nport - 2], **s) : NULL;
    if (!at)
        return -1;
    const int j = (int)(at - port_name[f->nport - 2]);
    struct port *q = &f->port[j];
    ++*s;
    if (!take(s, "["))
        return -1;
    if (take(s, "]"))
        return j;
    do {
        if (!read_dim(s, f, q))
            return -1;
    } while (take(s, ","));
    return take(s, "]") ? j : -1;
}

static bool read_ports(const char **s, struct form *f, unsigned *p)
{
    uint32_t seen = 0;
    skip_space(s);
    f->nport = **s == 'A' || **s == 'S' ? 2 : 3;
    for (unsigned n = 0; n < f->nport; n++) {
        if (n > 0 && !take(s, n == 1 ? "+=" : "*"))
            return false;
        const int j = read_port(s, f);
        if (j < 0 || seen >> j & 1)
            return false;
        seen |= 1U << j;
        if (n == 0)
            *p = (unsigned)j;
    }
    return true;
}

static bool read_order(const char **s, struct form *f)
{
    const char *before = *s;
    int32_t chunk;
    bool bare;
    if (take(s, "lanes")) {
        f->order = ORDER_LANES;
    } else if (take(s, "chunk")) {
        if (!read_coef(s, &chunk, &bare) || bare || chunk < 1 || chunk > UINT16_MAX)
            return false;
        f->order = ORDER_CHUNK;
        f->chunk = (uint16_t)chunk;
    } else {
        *s = before;
    }
    return true;
}

bool form_parse(const char *text, struct form *f, unsigned *p, const char **end)
{
    const char *s = text;
    memset(f, 0, sizeof *f);
    const bool ok = read_box(&s, f) && read_ports(&s, f, p) && read_order(&s, f);
    if (end)
        *end = s;
    return ok && !form_validate(f);
}
