/*
 * Expressions to values.  Evaluation goes in reading order; a mistake is reported once, at
 * its token, and leaves poison.
 */
#include <math.h>
#include <string.h>

#include "compiler/front/build.h"
#include "runtime/base/arena.h"

/* Whole powers multiply: x**n by repeated squaring inside one map. */
static sx_id power(struct sxb *s, sx_id x, int64_t n)
{
    sx_id y = 0;
    for (; n; n >>= 1) {
        if (n & 1)
            y = y ? sx_make(s, SX_MUL, y, x, 0) : x;
        if (n > 1)
            x = sx_make(s, SX_MUL, x, x, 0);
    }
    return y;
}

static struct val *whole_power(struct mb *b, struct val *x, double n, struct loc loc)
{
    struct graph *g = b->g;
    if (x->kind == VAL_TUPLE) {
        struct val **item = arena_array(b->a, x->n + 1, sizeof(struct val *));
        for (uint32_t i = 0; i < x->n; i++)
            item[i] = whole_power(b, x->item[i], n, loc);
        return mb_tuple(b, item, x->n);
    }
    value_id in = mb_f32(b, x, loc);
    if (!in)
        return mb_poison(b);
    if (n == 0)
        return mb_num(b, 1);
    sx_id s = power(&g->sx, sx_arg(&g->sx, 0, SX_FLOAT), (int64_t)fabs(n));
    if (n < 0)
        s = sx_make(&g->sx, SX_DIV, sx_const(&g->sx, 1), s, 0);
    return mb_tensor(b, mb_map(b, s, &in, 1, NULL));
}

static struct val *raise(struct mb *b, struct val *x, struct val *y, struct loc loc)
{
    if (x->kind == VAL_POISON || y->kind == VAL_POISON)
        return mb_poison(b);
    if (x->kind == VAL_NUM && y->kind == VAL_NUM)
        return mb_num(b, pow(x->num, y->num));
    if (y->kind == VAL_NUM && y->num == floor(y->num) && fabs(y->num) <= 1024)
        return whole_power(b, x, y->num, loc);
    return mb_ew2(b, SX_FN_pow, x, y, loc);
}

/* Conditions */

static bool is_condition(struct mb *b, const struct val *v, struct loc loc)
{
    if (v->kind == VAL_TUPLE || v->kind == VAL_POISON)
        return true; /* member by member; reported there */
    if (v->kind == VAL_NUM
            ? v->is_bool
            : v->kind == VAL_TENSOR && graph_type(b->g, v->v)->dtype == DT_BOOL)
        return true;
    diag(b->ds, E0314, loc, "expected a condition (bool), found %s", mb_show(b, v));
    diag_hint(b->ds, "`x > 0`");
    return false;
}

static struct val *logic(struct mb *b, enum expr_op op, struct val *x, struct val *y,
                         struct loc lx, struct loc ly, struct loc loc)
{
    if (!is_condition(b, x, lx) || !is_condition(b, y, ly))
        return mb_poison(b);
    return mb_ew2(b, op == XO_AND ? SX_AND : SX_OR, x, y, loc);
}

static void carry_ext(enum expr_op op, const struct val *x, const struct val *y,
                      struct val *out)
{
    const struct val *e = x->is_ext ? x : y, *k = x->is_ext ? y : x;
    if (out->kind != VAL_TENSOR || !e->is_ext || !(k->is_ext || k->kind == VAL_NUM))
        return;
    const struct ext other = k->is_ext ? k->ext : ext_const((int32_t)k->num);
    if (!k->is_ext && k->num != floor(k->num))
        return;
    const int32_t sign = op == XO_SUB ? -1 : 1;
    if (op == XO_MUL && !k->is_ext) {
        out->ext = (struct ext){e->ext.c * other.c, e->ext.b * other.c};
        out->is_ext = true;
    } else if (op == XO_ADD || (op == XO_SUB && e == x)) {
        out->ext = (struct ext){e->ext.c + sign * other.c, e->ext.b + sign * other.b};
        out->is_ext = true;
    }
}

struct val *mb_arith(struct mb *b, enum expr_op op, struct val *x, struct val *y,
                     struct loc loc)
{
    static const int sx[] = {
        [XO_ADD] = SX_ADD, [XO_SUB] = SX_SUB, [XO_MUL] = SX_MUL, [XO_DIV] = SX_DIV,
        [XO_LT] = SX_LT,   [XO_LE] = SX_LE,   [XO_EQ] = SX_EQ};
    if (op == XO_POW)
        return raise(b, x, y, loc);
    if (op == XO_GT || op == XO_GE)
        return mb_ew2(b, op == XO_GT ? SX_LT : SX_LE, y, x, loc);
    if (op == XO_NE)
        return mb_ew1(b, SX_NOT, mb_ew2(b, SX_EQ, x, y, loc), loc);
    struct val *v = mb_ew2(b, sx[op], x, y, loc);
    carry_ext(op, x, y, v);
    return v;
}

static struct val *binary(struct mb *b, struct ecx *x, const struct expr *e)
{
    struct val *l = mb_eval(b, x, e->child[0]);
    struct val *r = mb_eval(b, x, e->child[1]);
    const enum expr_op op = (enum expr_op)e->op;
    if (op == XO_AND || op == XO_OR)
        return logic(b, op, l, r, e->child[0]->loc, e->child[1]->loc, e->loc);
    return mb_arith(b, op, l, r, e->loc);
}

static struct val *unary(struct mb *b, struct ecx *x, const struct expr *e)
{
    struct val *v = mb_eval(b, x, e->child[0]);
    if (e->op == XO_DRAW) {
        const char *site = arena_fmt(b->a, "%s~%u", x->site, e->draw ? e->draw : 1U);
        return mb_draw(b, x, v, site, NULL, e->loc);
    }
    if (e->op == XO_NOT && !is_condition(b, v, e->child[0]->loc))
        return mb_poison(b);
    return mb_ew1(b, e->op == XO_NEG ? SX_NEG : SX_NOT, v, e->loc);
}

/* Indices */

struct cut { /* one item of an index */
    bool range;
    int64_t from, to;
    struct val *run; /* not NULL: a number that only the run knows */
};

static bool cut_bound(struct mb *b, struct val *v, struct loc loc, int64_t extent,
                      int64_t other, int64_t *out)
{
    *out = other;
    if (!v)
        return true;
    if (!mb_whole(b, v, loc, out))
        return false;
    if (*out < 0)
        *out += extent;
    return true;
}

static bool cut_item(struct mb *b, struct ecx *x, const struct expr *e, int64_t extent,
                     struct cut *c)
{
    *c = (struct cut){.range = e->kind == EX_RANGE};
    const struct expr *from = c->range ? e->child[0] : e,
                      *to = c->range ? e->child[1] : NULL;
    struct val *lo = from ? mb_eval(b, x, from) : NULL, *hi = to ? mb_eval(b, x, to) : NULL;
    if (!c->range && lo->kind == VAL_TENSOR) {
        c->run = lo;
        return true;
    }
    if (!cut_bound(b, lo, from ? from->loc : e->loc, extent, 0, &c->from) ||
        !cut_bound(b, hi, to ? to->loc : e->loc, extent, extent, &c->to))
        return false;
    if (!c->range)
        c->to = c->from + 1;
    if (c->from < 0 || c->to > extent || c->from >= c->to) {
        diag(b->ds, E0312, e->loc, "index out of range: this axis has %lld elements",
             (long long)extent);
        if (extent > 0)
            diag_hint(b->ds, "from 0 to %lld", (long long)extent - 1);
        return false;
    }
    return true;
}

static struct val *index_items(struct mb *b, struct ecx *x, const struct expr *e,
                               struct val *v)
{
    struct cut c;
    int64_t none;
    if (e->n != 2) {
        diag(b->ds, E0309, e->loc, "a tuple takes one index");
        return mb_poison(b);
    }
    if (!cut_item(b, x, e->child[1], v->n, &c) ||
        (c.run && !mb_whole(b, c.run, e->child[1]->loc, &none)))
        return mb_poison(b);
    if (!c.range)
        return v->item[c.from];
    struct val *out = mb_tuple(b, v->item + c.from, (uint32_t)(c.to - c.from));
    out->kind = v->kind;
    return out;
}

/* Constants first; then, from the last axis to the first, what the run knows. */
static value_id cut_tensor(struct mb *b, const struct expr *e, value_id v,
                           const struct cut *cut, unsigned skip)
{
    struct graph *g = b->g;
    struct type to = *graph_type(g, v);
    unsigned axis[HYP_RANK] = {0}, rank = 0;
    for (uint32_t i = 1; i < e->n; i++)
        if (!cut[i].run)
            v = graph_slice(g, v, (uint8_t)(i - 1 + skip), ext_const((int32_t)cut[i].from),
                            ext_const((int32_t)(cut[i].to - cut[i].from)));
    for (unsigned k = 0; k < to.rank; k++) {
        const struct cut *c = k >= skip && k - skip + 1 < e->n ? &cut[k - skip + 1] : NULL;
        axis[k] = rank;
        if (!c || c->range || c->run)
            to.dim[rank++] = graph_type(g, v)->dim[k];
    }
    if (rank < to.rank) {
        to.rank = (uint8_t)rank;
        v = graph_reshape(g, v, &to);
    }
    const bool was_sample = skip != 0;
    for (uint32_t i = e->n; v && i-- > 1;) {
        /* a shared value gets the batch as its first axis by the first index of samples */
        const unsigned more = !was_sample && graph_type(g, v)->sample;
        if (cut[i].run)
            v = mb_pick(b, v, axis[i - 1 + skip] + more, cut[i].run, e->child[i]->loc);
    }
    return v;
}

static struct val *index_tensor(struct mb *b, struct ecx *x, const struct expr *e,
                                value_id v)
{
    const struct type t = *graph_type(b->g, v);
    const unsigned skip = t.sample ? 1 : 0;
    struct cut *cut = arena_array(b->a, e->n, sizeof *cut);
    if (e->n - 1 + skip > t.rank) {
        diag(b->ds, E0312, e->loc, "index out of range: %u axes taken of %s", e->n - 1,
             type_print(&t, b->a));
        return mb_poison(b);
    }
    for (uint32_t i = 1; i < e->n; i++) {
        const struct ext extent = t.dim[i - 1 + skip];
        if (extent.b) {
            diag(b->ds, E0001, e->child[i]->loc,
                 "an index into an axis whose extent varies");
            return mb_poison(b);
        }
        if (!cut_item(b, x, e->child[i], extent.c, &cut[i]))
            return mb_poison(b);
    }
    v = cut_tensor(b, e, v, cut, skip);
    return v ? mb_tensor(b, v) : mb_poison(b);
}

static struct val *index_of(struct mb *b, struct ecx *x, const struct expr *e)
{
    struct val *v = mb_eval(b, x, e->child[0]);
    if (v->kind == VAL_POISON)
        return v;
    if (v->kind == VAL_TUPLE || v->kind == VAL_LIST)
        return index_items(b, x, e, v);
    const value_id id = mb_value(b, v, e->child[0]->loc);
    return id ? index_tensor(b, x, e, id) : mb_poison(b);
}

/* Calls */

/* `over=units` means the axes even where an argument is called `units`. */
static struct val *word_arg(struct mb *b, struct ecx *x, const struct expr *e,
                            const char *key)
{
    static const char *const over[] = {"units", "batch", "member", "ticks"};
    static const char *const per[] = {"sample", "batch"};
    const bool is_per = !strcmp(key, "per");
    const char *const *words = is_per ? per : over;
    const unsigned n = is_per ? ARRAY_LEN(per) : ARRAY_LEN(over);
    for (unsigned i = 0; e->kind == EX_NAME && i < n; i++)
        if (!strcmp(e->name, words[i]))
            return mb_word(b, words[i]);
    if (e->kind != EX_LIST)
        return mb_eval(b, x, e);
    struct val *item[MB_ARGS];
    uint32_t k = 0;
    for (; k < e->n && k < MB_ARGS; k++)
        item[k] = word_arg(b, x, e->child[k], key);
    struct val *v = mb_tuple(b, item, k);
    v->kind = VAL_LIST;
    return v;
}

/* `first`: the first argument, where it has been evaluated already, or NULL. */
static bool eval_slots(struct mb *b, struct ecx *x, const struct expr *e, struct val *first,
                       struct slot *slot, bool *holes)
{
    if (e->n - 1 > MB_ARGS) {
        diag(b->ds, E0902, e->loc, "limit exceeded: %d arguments of one call", MB_ARGS);
        return false;
    }
    for (uint32_t i = 1; i < e->n; i++) {
        const struct expr *arg = e->child[i];
        struct slot *s = &slot[i - 1];
        *s = (struct slot){.name = arg->arg_name,
                           .loc = arg->arg_name ? arg->arg_loc : arg->loc};
        if (arg->kind == EX_HOLE) {
            *holes = true;
            continue;
        }
        const bool word = arg->arg_name &&
                          (!strcmp(arg->arg_name, "over") || !strcmp(arg->arg_name, "per"));
        s->val = i == 1 && first ? first
                 : word          ? word_arg(b, x, arg, arg->arg_name)
                                 : mb_eval(b, x, arg);
        if (!s->val->loc.file) {
            s->val = arena_copy(b->a, s->val, sizeof *s->val);
            s->val->loc = arg->loc;
        }
    }
    return true;
}

/* where(c, a, b): is it a plain call, whose condition may be known when compiling? */
static bool plain_where(const struct func *fn, const struct expr *e)
{
    bool plain = fn->kind == FUNC_PRIM && !strcmp(fn->prim->name, "where") && !fn->nslot &&
                 e->n == 4;
    for (uint32_t i = 1; i < e->n && plain; i++)
        plain = !e->child[i]->arg_name && e->child[i]->kind != EX_HOLE;
    return plain;
}

/* The value of a call that is a whole expression remembers its first argument: n.T(e). */
static struct val *called(struct mb *b, const struct ecx *x, const struct expr *e,
                          struct val *v, const struct slot *slot)
{
    if (e != x->root || e->n < 2 || v->kind != VAL_TENSOR || !slot[0].val)
        return v;
    struct val *copy = arena_copy(b->a, v, sizeof *v);
    copy->first = slot[0].val;
    return copy;
}

static struct val *eval_call(struct mb *b, struct ecx *x, const struct expr *e)
{
    struct slot *slot = arena_array(b->a, e->n + 1, sizeof *slot);
    bool holes = false;
    struct val *callee = mb_callee(b, x, e->child[0]);
    if (callee->kind != VAL_FUNC) {
        if (callee->kind != VAL_POISON) {
            diag(b->ds, E0307, e->child[0]->loc, "expected a function, found %s",
                 mb_kind_text(callee));
            diag_hint(b->ds, "only functions and networks are called");
        }
        eval_slots(b, x, e, NULL, slot, &holes); /* its own mistakes, in the same run */
        return mb_poison(b);
    }
    struct val *first = NULL;
    if (plain_where(callee->func, e)) {
        first = mb_eval(b, x, e->child[1]);
        if (first->kind == VAL_NUM && first->is_bool) /* only the branch taken */
            return mb_eval(b, x, e->child[first->num != 0 ? 2 : 3]);
    }
    if (!eval_slots(b, x, e, first, slot, &holes))
        return mb_poison(b);
    if (!holes)
        return called(b, x, e, mb_call(b, x, e, callee->func, slot, e->n - 1, e->loc),
                      slot);
    return mb_partial(b, callee->func, slot, e->n - 1, e->loc);
}

static struct val *items(struct mb *b, struct ecx *x, const struct expr *e)
{
    if (e->n > MB_PARTS) {
        diag(b->ds, E0902, e->loc, "limit exceeded: %d members", MB_PARTS);
        return mb_poison(b);
    }
    struct val **item = arena_array(b->a, e->n + 1, sizeof(struct val *));
    bool bad = false;
    for (uint32_t i = 0; i < e->n; i++) {
        item[i] = mb_eval(b, x, e->child[i]);
        bad |= item[i]->kind == VAL_POISON;
    }
    if (bad && e->kind == EX_LIST)
        return mb_poison(b);
    struct val *v = mb_tuple(b, item, e->n);
    v->kind = e->kind == EX_LIST ? VAL_LIST : VAL_TUPLE;
    return v;
}

static struct val *refuse(struct mb *b, const struct expr *e, const char *what)
{
    diag(b->ds, E0001, e->loc, "%s", what);
    return mb_poison(b);
}

static struct val *eval_kind(struct mb *b, struct ecx *x, const struct expr *e)
{
    switch ((enum expr_kind)e->kind) {
    case EX_NUMBER:
        return e->unit ? refuse(b, e, "quantities with time units are not built yet")
                       : mb_num(b, e->number);
    case EX_NAME:
        return mb_name(b, x, e);
    case EX_SETTING:
        return mb_setting(b, e->name, e->loc);
    case EX_HOLE:
        diag(b->ds, E0110, e->loc, "unexpected `_` in an expression");
        diag_hint(b->ds, "`_` stands among the arguments of a call");
        return mb_poison(b);
    case EX_TUPLE:
    case EX_LIST:
        return items(b, x, e);
    case EX_CALL:
        return eval_call(b, x, e);
    case EX_DOT:
        return mb_part(b, mb_eval(b, x, e->child[0]), e->name, e->loc);
    case EX_INDEX:
        return index_of(b, x, e);
    case EX_RANGE:
        diag(b->ds, E0110, e->loc, "unexpected `:` in an expression");
        return mb_poison(b);
    case EX_UNARY:
        return unary(b, x, e);
    case EX_BINARY:
        return binary(b, x, e);
    case EX_AT:
        return refuse(b, e, "`@now` and delays are not built yet");
    }
    return mb_poison(b);
}

/* More elements than an index can count. */
static bool too_large(const struct mb *b, const struct val *v)
{
    double n = 1;
    if (v->kind != VAL_TENSOR)
        return false;
    const struct type *t = graph_type(b->g, v->v);
    for (unsigned i = 0; i < t->rank; i++)
        n *= t->dim[i].b ? 1 : t->dim[i].c;
    return n > INT32_MAX;
}

struct val *mb_eval(struct mb *b, struct ecx *x, const struct expr *e)
{
    if (b->over_limit)
        return mb_poison(b);
    if (b->nest >= MB_NEST) {
        diag(b->ds, E0902, e->loc, "limit exceeded: %d evaluations inside each other",
             MB_NEST);
        b->over_limit = true;
        return mb_poison(b);
    }
    b->nest++;
    struct val *v = eval_kind(b, x, e);
    b->nest--;
    if (v->leaves > MB_PARTS) {
        diag(b->ds, E0902, e->loc, "limit exceeded: %d members", MB_PARTS);
        return mb_poison(b);
    }
    if (too_large(b, v)) {
        diag(b->ds, E0902, e->loc, "limit exceeded: %s has more than 2^31 - 1 elements",
             mb_show(b, v));
        return mb_poison(b);
    }
    if (b->g->nnode > MB_NODES && !b->over_limit) {
        diag(b->ds, E0902, e->loc, "limit exceeded: %d nodes", MB_NODES);
        b->over_limit = true;
    }
    if (!v->loc.file)
        v->loc = e->loc;
    return v;
}

struct val *mb_eval_doc(struct mb *b, struct frame *f, struct doc *d, const char *site,
                        const char *path)
{
    const struct expr *e = expr_parse(b->a, b->ds, d);
    if (!e)
        return mb_poison(b);
    struct tally *tally = NULL;
    struct ecx x = {.f = f,
                    .tally = &tally,
                    .root = e,
                    .site = site,
                    .path = path,
                    .number = "",
                    .state_path = path ? path : f->state_path};
    return mb_eval(b, &x, e);
}
