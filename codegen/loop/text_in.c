/* Reading what text_out.c writes. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/loop/index.h"
#include "codegen/loop/text.h"

void in_fail(struct in *in, const char *what)
{
    if (in->failed)
        return;
    in->failed = true;
    struct loc loc = {.file = in->file, .line = 1, .col = 1, .len = 1};
    for (const char *p = in->text; p < in->at; p++) {
        loc.col = *p == '\n' ? 1 : loc.col + 1;
        loc.line += *p == '\n';
    }
    if (in->ds)
        diag(in->ds, E0110, loc, "loop IR: %s", what);
}

void in_space(struct in *in)
{
    while (*in->at == ' ' || *in->at == '\n')
        in->at++;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

bool in_is(struct in *in, const char *word)
{
    size_t n = strlen(word);
    in_space(in);
    if (in->failed || strncmp(in->at, word, n) != 0)
        return false;
    if (is_word(word[n - 1]) && is_word(word[0]) && is_word(in->at[n]))
        return false;
    in->at += n;
    return true;
}

void in_want(struct in *in, const char *word)
{
    if (!in_is(in, word))
        in_fail(in, arena_fmt(in->a, "'%s' expected", word));
}

int64_t in_number(struct in *in)
{
    char *end;
    in_space(in);
    long long v = strtoll(in->at, &end, 10);
    if (end == in->at || v > INT32_MAX || v < INT32_MIN) {
        in_fail(in, "a whole number expected");
        return 0;
    }
    in->at = end;
    return v;
}

uint32_t in_count(struct in *in, uint32_t most)
{
    const int64_t v = in_number(in);
    if (v >= 0 && v <= most)
        return (uint32_t)v;
    in_fail(in, arena_fmt(in->a, "a number from 0 to %u expected", most));
    return 0;
}

double in_double(struct in *in)
{
    char *end;
    in_space(in);
    double v = strtod(in->at, &end);
    if (end == in->at)
        in_fail(in, "a number expected");
    in->at = end;
    return v;
}

const char *in_quoted(struct in *in)
{
    struct out o = {.a = in->a};
    out_fmt(&o, "%s", "");
    in_want(in, "\"");
    while (!in->failed && *in->at != '"') {
        if (*in->at == '\\')
            in->at++;
        if (!*in->at) {
            in_fail(in, "the text ends within quotes");
            break;
        }
        out_fmt(&o, "%c", *in->at++);
    }
    in_want(in, "\"");
    return o.text;
}

/* 3, 2B, 3+2B, 3-2B */
struct ext in_ext(struct in *in)
{
    struct ext e = {(int32_t)in_number(in), 0};
    if (*in->at == 'B') {
        in->at++;
        return (struct ext){0, e.c};
    }
    if (*in->at == '+' || *in->at == '-') {
        const char *back = in->at;
        char *end;
        long v = strtol(in->at, &end, 10);
        if (end != in->at && *end == 'B') {
            e.b = (int32_t)v;
            in->at = end + 1;
        } else {
            in->at = back;
        }
    }
    return e;
}

int in_axis(struct in *in, axis_find_fn *find, const void *cx)
{
    in_space(in);
    const char *from = in->at;
    while (is_word(*in->at))
        in->at++;
    int axis = find(cx, from, (size_t)(in->at - from));
    if (axis < 0)
        in_fail(in, "the name of an axis expected");
    return axis < 0 ? 0 : axis;
}

static void in_digit(struct in *in, struct index *x, struct ext coef, axis_find_fn *find,
                     const void *cx)
{
    struct term t = {.div = 1, .coef = coef};
    t.axis = (uint8_t)in_axis(in, find, cx);
    if (*in->at == '/') {
        in->at++;
        t.div = (int32_t)in_number(in);
    }
    if (*in->at == '%') {
        in->at++;
        t.mod = (int32_t)in_number(in);
    }
    if (t.div < 1 || t.mod < 0)
        in_fail(in, "a digit needs a positive divisor");
    else if (x->n == LOOP_TERMS)
        in_fail(in, "too many terms");
    else
        index_term(x, t);
}

struct index in_index(struct in *in, axis_find_fn *find, const void *cx)
{
    struct index x = {0};
    do {
        in_space(in);
        struct ext coef = ext_const(1);
        if (!isdigit((unsigned char)*in->at) && *in->at != '-') {
            in_digit(in, &x, coef, find, cx);
            continue;
        }
        coef = in_ext(in);
        if (*in->at != '*') {
            x.off = ext_add(x.off, coef);
            continue;
        }
        in->at++;
        if (*in->at == '$') {
            in->at++;
            x.scalar = (uint16_t)(in_count(in, UINT16_MAX - 1) + 1);
            x.scoef = coef;
        } else {
            in_digit(in, &x, coef, find, cx);
        }
    } while (in_is(in, "+") && !in->failed);
    return x;
}

struct guard *in_guards(struct in *in, uint8_t *n, axis_find_fn *find, const void *cx)
{
    struct guard *g = NULL;
    uint32_t cap = 0;
    *n = 0;
    while (in_is(in, "when")) {
        g = arena_grow(in->a, g, &cap, *n + 1U, sizeof *g);
        in_want(in, "0");
        in_want(in, "<=");
        g[*n].index = in_index(in, find, cx);
        in_want(in, "<");
        g[*n].bound = (in_space(in), in_ext(in));
        (*n)++;
    }
    return g;
}

struct pick in_pick(struct in *in)
{
    struct pick p = {0};
    if (!in_is(in, "pick"))
        return p;
    in_space(in);
    p.coef = in_ext(in);
    in_want(in, "*");
    in_want(in, "%");
    const int64_t from = in_number(in);
    if (from < 0 || from >= UINT16_MAX)
        in_fail(in, "the number of an operand expected");
    p.from = (uint16_t)(from + 1);
    in_want(in, "<");
    in_space(in);
    p.bound = in_ext(in);
    return p;
}

sx_id in_sx(struct in *in, struct sxb *b)
{
    const char *end;
    in_space(in);
    sx_id e = sx_parse(b, in->at, &end);
    in->at = end;
    if (!e)
        in_fail(in, "an expression expected");
    return e;
}

int in_choice(struct in *in, const char *const *word, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (in_is(in, word[i]))
            return (int)i;
    in_fail(in, arena_fmt(in->a, "'%s' or the like expected", word[0]));
    return 0;
}

static void in_buf(struct in *in, struct kbuf *b, uint32_t *nprivate)
{
    b->dtype = (uint8_t)in_choice(in, text_dtypes, 3);
    in_want(in, "[");
    while (!in->failed && !in_is(in, "]")) {
        if (b->rank == HYP_RANK) {
            in_fail(in, "too many dims");
            return;
        }
        if (b->rank)
            in_want(in, ",");
        in_space(in);
        b->dim[b->rank] = in_ext(in);
        if (b->rank++ == 0 && in_is(in, "/"))
            b->div = (int32_t)in_number(in);
    }
    if (in_is(in, "private")) {
        b->use = BUF_READ_WRITE;
        ++*nprivate;
    } else {
        b->use = (uint8_t)in_choice(in, text_uses, 3);
    }
    b->watched = in_is(in, "watched");
    b->far = in_is(in, "far");
    b->name = in_quoted(in);
}

struct kbuf *in_bufs(struct in *in, uint32_t *n, uint32_t *nprivate)
{
    struct kbuf *b = NULL;
    uint32_t cap = 0;
    *n = *nprivate = 0;
    while (in_is(in, "buf #")) {
        b = arena_grow(in->a, b, &cap, *n + 1, sizeof *b);
        if (in_number(in) != *n)
            in_fail(in, "buffers are numbered from 0");
        in_buf(in, &b[(*n)++], nprivate);
    }
    return b;
}
