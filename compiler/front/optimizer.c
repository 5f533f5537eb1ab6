/*
 * Optimizers: calls of a fixed set of names, and which weights each of them moves.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/front/probe.h"
#include "runtime/base/arena.h"

enum opt_arg {
    OA_LR,
    OA_BETAS,
    OA_EPS,
    OA_MOMENTUM,
    OA_DECAY,
    OA_WEIGHT_DECAY,
    OA_AMSGRAD,
    OA_MISSING,
    OA_CLIP,
    OA_CLIP_BY,
    OA_BOUNDS,
    OA_COUNT
};
static const char *const opt_args[OA_COUNT] = {
    "lr",    "betas",        "eps",     "momentum",
    "decay", "weight_decay", "amsgrad", "missing_gradient",
    "clip",  "clip_by",      "bounds"};
struct opt_row {
    const char *name;
    uint32_t takes; /* bits of opt_arg */
};
#define TAKES(x) (1U << OA_##x)
#define COMMON                                                                             \
    (TAKES(LR) | TAKES(WEIGHT_DECAY) | TAKES(MISSING) | TAKES(CLIP) | TAKES(CLIP_BY) |     \
     TAKES(BOUNDS))
static const struct opt_row opt_rows[] = {
    [OPT_SGD] = {"sgd", COMMON | TAKES(MOMENTUM)},
    [OPT_ADAM] = {"adam", COMMON | TAKES(BETAS) | TAKES(EPS) | TAKES(AMSGRAD)},
    [OPT_ADAMW] = {"adamw", COMMON | TAKES(BETAS) | TAKES(EPS) | TAKES(AMSGRAD)},
    [OPT_RMSPROP] = {"rmsprop", COMMON | TAKES(DECAY) | TAKES(EPS) | TAKES(MOMENTUM)},
};

struct opt_cx {
    struct mb *b;
    struct ecx *x;
    struct prog_optimizer *o;
    const struct expr *arg;
};

static struct val *arg_eval(struct opt_cx *c, const struct expr *e)
{
    return mb_eval(c->b, c->x, e);
}

static value_id arg_host(struct opt_cx *c, const struct expr *e)
{
    return mb_host_of(c->b, arg_eval(c, e), e->loc);
}

static bool arg_pair(struct opt_cx *c, value_id *first, value_id *second)
{
    struct val *v = arg_eval(c, c->arg);
    if (v->kind == VAL_POISON)
        return false;
    if ((v->kind != VAL_LIST && v->kind != VAL_TUPLE) || v->n != 2) {
        diag(c->b->ds, E0309, c->arg->loc, "%u values where 2 are expected",
             v->kind == VAL_LIST || v->kind == VAL_TUPLE ? v->n : 1);
        return false;
    }
    *first = mb_host_of(c->b, v->item[0], c->arg->loc);
    *second = mb_host_of(c->b, v->item[1], c->arg->loc);
    return *first && *second;
}

static bool arg_word(struct opt_cx *c, const char *yes, const char *no)
{
    const struct expr *e = c->arg;
    if (e->kind == EX_NAME && (!strcmp(e->name, yes) || !strcmp(e->name, no)))
        return !strcmp(e->name, yes);
    diag(c->b->ds, E0203, e->loc, "expected `%s` or `%s`", yes, no);
    return false;
}

static bool arg_bool(struct opt_cx *c)
{
    const struct val *v = arg_eval(c, c->arg);
    if (v->kind == VAL_NUM && v->is_bool)
        return v->num != 0;
    if (v->kind != VAL_POISON)
        diag(c->b->ds, E0314, c->arg->loc, "expected `true` or `false`");
    return false;
}

/* plateau($lr, watch=PROBE, goal=min, patience=2, factor=0.5) */
static value_id plateau(struct opt_cx *c)
{
    struct program *p = c->b->p;
    struct prog_plateau row = {0};
    const struct expr *e = c->arg, *base = NULL;
    struct graph *g = c->b->g;
    for (uint32_t i = 1; i < e->n; i++) {
        const struct expr *arg = e->child[i];
        const char *name = arg->arg_name;
        if (!name && !base)
            base = arg;
        else if (name && !strcmp(name, "watch") && arg->kind == EX_NAME)
            row.watch = arg->name;
        else if (name && !strcmp(name, "goal") && arg->kind == EX_NAME)
            row.goal_max = !strcmp(arg->name, "max");
        else if (name && !strcmp(name, "patience"))
            row.patience = arg_host(c, arg);
        else if (name && !strcmp(name, "factor"))
            row.factor = arg_host(c, arg);
        else {
            diag(c->b->ds, E0207, arg->loc, "`plateau` has no such argument");
            diag_hint(c->b->ds, "its signature: `plateau(lr, watch=PROBE, goal=min, "
                                "patience=2, factor=0.5)`");
            return 0;
        }
    }
    if (!base || !row.watch) {
        diag(c->b->ds, E0208, e->loc, "argument `%s` of `plateau` is missing",
             base ? "watch" : "lr");
        return 0;
    }
    const value_id lr = arg_host(c, base);
    if (!row.patience)
        row.patience = mb_host_of(c->b, mb_num(c->b, 2), e->loc);
    if (!row.factor)
        row.factor = mb_host_of(c->b, mb_num(c->b, 0.5), e->loc);
    row.counter = arena_fmt(c->b->a, "plateau/%u", p->nplateau);
    c->o->plateau = (int)p->nplateau;
    p->plateau =
        arena_grow(c->b->a, p->plateau, &p->cplateau, p->nplateau + 1, sizeof *p->plateau);
    p->plateau[p->nplateau++] = row;
    if (!lr)
        return 0;
    struct val *in[2] = {mb_tensor(c->b, lr),
                         mb_tensor(c->b, graph_leaf(g, LEAF_COUNTER, 0, 0, row.counter,
                                                    type_scalar(DT_F32)))};
    return mb_ew(c->b, SX_MUL, in, 2, e->loc)->v;
}

static bool is_plateau(const struct expr *e)
{
    return e->kind == EX_CALL && e->child[0]->kind == EX_NAME &&
           !strcmp(e->child[0]->name, "plateau");
}

static void optimizer_arg(struct opt_cx *c, enum opt_arg which)
{
    struct prog_optimizer *o = c->o;
    value_id *const number[OA_COUNT] = {
        [OA_LR] = &o->lr,       [OA_EPS] = &o->eps,   [OA_MOMENTUM] = &o->momentum,
        [OA_DECAY] = &o->decay, [OA_CLIP] = &o->clip, [OA_WEIGHT_DECAY] = &o->weight_decay};
    if (which == OA_LR && is_plateau(c->arg))
        o->lr = plateau(c);
    else if (number[which])
        *number[which] = arg_host(c, c->arg);
    else if (which == OA_BETAS)
        arg_pair(c, &o->beta1, &o->beta2);
    else if (which == OA_BOUNDS)
        o->has_bounds = arg_pair(c, &o->low, &o->high);
    else if (which == OA_AMSGRAD)
        o->amsgrad = arg_bool(c);
    else if (which == OA_MISSING)
        o->missing_zero = arg_word(c, "zero", "skip");
    else
        o->clip_max = arg_word(c, "max", "norm");
}

static const char *opt_signature(struct mb *b, const struct opt_row *row)
{
    char *s = arena_fmt(b->a, "%s(", row->name);
    const char *comma = "";
    for (unsigned i = 0; i < OA_COUNT; i++)
        if (row->takes >> i & 1) {
            s = arena_fmt(b->a, "%s%s%s=", s, comma, opt_args[i]);
            comma = ", ";
        }
    return arena_fmt(b->a, "%s)", s);
}

static void optimizer_args(struct opt_cx *c, const struct expr *e,
                           const struct opt_row *row)
{
    struct mb *b = c->b;
    uint32_t given = 0;
    for (uint32_t i = 1; i < e->n; i++) {
        const struct expr *arg = e->child[i];
        unsigned which = arg->arg_name ? 0 : i == 1 ? OA_LR : OA_COUNT;
        while (arg->arg_name && which < OA_COUNT &&
               strcmp(opt_args[which], arg->arg_name) != 0)
            which++;
        const struct loc loc = arg->arg_name ? arg->arg_loc : arg->loc;
        if (which == OA_COUNT || !(row->takes >> which & 1)) {
            if (arg->arg_name)
                diag(b->ds, E0207, loc, "`%s` has no argument `%s`", row->name,
                     arg->arg_name);
            else
                diag(b->ds, E0208, loc, "one argument of `%s` too many", row->name);
            diag_hint(b->ds, "its signature: `%s`", opt_signature(b, row));
            continue;
        }
        if (given >> which & 1)
            diag(b->ds, E0208, loc, "argument `%s` of `%s` is given twice", opt_args[which],
                 row->name);
        given |= 1U << which;
        c->arg = arg;
        optimizer_arg(c, (enum opt_arg)which);
    }
    if (!(given >> OA_LR & 1)) {
        diag(b->ds, E0208, e->loc, "argument `lr` of `%s` is missing", row->name);
        diag_hint(b->ds, "its signature: `%s`", opt_signature(b, row));
    }
}

static void opt_default(struct mb *b, value_id *v, double x)
{
    if (!*v)
        *v = mb_host_of(b, mb_num(b, x), (struct loc){0});
}

static void opt_defaults(struct mb *b, struct prog_optimizer *o)
{
    if (o->rule == OPT_ADAM || o->rule == OPT_ADAMW) {
        opt_default(b, &o->beta1, 0.9);
        opt_default(b, &o->beta2, 0.999);
    }
    if (o->rule == OPT_ADAMW)
        opt_default(b, &o->weight_decay, 0.01);
    if (o->rule == OPT_RMSPROP)
        opt_default(b, &o->decay, 0.99);
    if (o->rule != OPT_SGD)
        opt_default(b, &o->eps, 1e-8);
}

static void unknown_optimizer(struct mb *b, const char *name, struct loc loc)
{
    const char *names[ARRAY_LEN(opt_rows)];
    for (unsigned i = 0; i < ARRAY_LEN(opt_rows); i++)
        names[i] = opt_rows[i].name;
    const char *near = diag_nearest(name, names, ARRAY_LEN(opt_rows));
    diag(b->ds, E0705, loc, "unknown kind of optimizer `%s`", name);
    if (near)
        diag_hint(b->ds, "did you mean `%s`?", near);
    else
        diag_hint(b->ds, "there are `adam`, `adamw`, `rmsprop`, `sgd`");
}

static bool read_optimizer(struct mb *b, const char *group, struct doc *d, struct loc loc,
                           struct prog_optimizer *o)
{
    struct graph *g = b->g;
    const struct expr *e = expr_parse(b->a, b->ds, d);
    if (!e)
        return false;
    if (e->kind != EX_CALL || e->child[0]->kind != EX_NAME) {
        diag(b->ds, E0307, e->loc, "expected an optimizer");
        diag_hint(b->ds, "`%s: adam(lr=1e-3)`", group);
        return false;
    }
    const char *name = e->child[0]->name;
    unsigned rule = 0;
    while (rule < ARRAY_LEN(opt_rows) && strcmp(opt_rows[rule].name, name) != 0)
        rule++;
    if (rule == ARRAY_LEN(opt_rows)) {
        unknown_optimizer(b, name, e->child[0]->loc);
        return false;
    }
    *o = (struct prog_optimizer){
        .group = group, .rule = (enum opt_rule)rule, .plateau = -1, .loc = loc};
    struct ecx x = {.f = b->host,
                    .root = e,
                    .site = arena_fmt(b->a, "optimizers/%s", group),
                    .number = ""};
    struct opt_cx c = {.b = b, .x = &x, .o = o};
    g->at = b->p->host;
    g->where =
        graph_place(g, d->loc, 0, WHY_WRITTEN, arena_fmt(b->a, "optimizers.%s", group));
    g->expr = graph_new_expr(g);
    optimizer_args(&c, e, &opt_rows[rule]);
    return true;
}

static void optimizer(struct mb *b, const char *group, struct doc *d, struct loc loc)
{
    struct program *p = b->p;
    struct prog_optimizer o;
    if (!read_optimizer(b, group, d, loc, &o))
        return;
    opt_defaults(b, &o);
    p->optimizer = arena_grow(b->a, p->optimizer, &p->coptimizer, p->noptimizer + 1,
                              sizeof *p->optimizer);
    p->optimizer[p->noptimizer++] = o;
}

/* What belongs to another model has to be a number by then. */
static const char *fixed_text(struct mb *b, struct ecx *x, const struct expr *e)
{
    static const char *const words[] = {"zero", "skip", "norm", "max", "true", "false"};
    for (unsigned i = 0; e->kind == EX_NAME && i < ARRAY_LEN(words); i++)
        if (!strcmp(e->name, words[i]))
            return words[i];
    if (e->kind == EX_LIST || e->kind == EX_TUPLE) {
        char *list = arena_str(b->a, "[");
        for (uint32_t i = 0; i < e->n; i++) {
            const char *item = fixed_text(b, x, e->child[i]);
            if (!item)
                return NULL;
            list = arena_fmt(b->a, "%s%s%s", list, i ? ", " : "", item);
        }
        return arena_fmt(b->a, "%s]", list);
    }
    const struct val *v = is_plateau(e) ? NULL : mb_eval(b, x, e);
    if (v && v->kind == VAL_NUM)
        return arena_fmt(b->a, "%.17g", v->num);
    if (!v || v->kind != VAL_POISON)
        diag(b->ds, E0305, e->loc, "expected a number known when compiling, found %s",
             v ? mb_show(b, v) : "a rate that falls");
    return NULL;
}

const char *mb_fixed_optimizer(struct mb *b, struct doc *d)
{
    const struct expr *e = d->bad ? NULL : expr_parse(b->a, b->ds, d);
    struct ecx x = {.f = b->host, .root = e, .site = "host", .number = ""};
    struct prog_optimizer o;
    b->g->at = b->p->host;
    if (!e)
        return NULL;
    char *text = e->kind == EX_CALL && e->child[0]->kind == EX_NAME
                     ? arena_fmt(b->a, "%s(", e->child[0]->name)
                     : NULL;
    for (uint32_t i = 1; text && i < e->n; i++) {
        const struct expr *arg = e->child[i];
        const char *value = fixed_text(b, &x, arg);
        if (!value)
            return NULL;
        text =
            arena_fmt(b->a, "%s%s%s%s%s", text, i > 1 ? ", " : "",
                      arg->arg_name ? arg->arg_name : "", arg->arg_name ? "=" : "", value);
    }
    const bool ok = read_optimizer(b, "fit", d, d->loc, &o);
    return ok && text ? arena_fmt(b->a, "%s)", text) : NULL;
}

static bool group_exists(const struct mb *b, const char *group)
{
    if (!strcmp(group, "all"))
        return true;
    for (uint32_t i = 0; i < b->p->nweight; i++)
        if (!b->p->weight[i].state && mb_path_under(b->p->weight[i].path, group))
            return true;
    for (uint32_t i = 0; i < b->nnet;
         i++) /* a network whose calls failed, or that nothing calls */
        if (mb_path_under(b->net[i].name, group) || mb_path_under(group, b->net[i].name))
            return diag_errors(b->ds) > 0;
    return false;
}

/* The longest prefix wins; `all` takes the rest. */
static int optimizer_of(const struct mb *b, const char *path)
{
    int best = -1;
    size_t len = 0;
    for (uint32_t i = 0; i < b->p->noptimizer; i++) {
        const char *group = b->p->optimizer[i].group;
        const bool all = !strcmp(group, "all");
        if (all ? best < 0 : mb_path_under(path, group) && strlen(group) >= len) {
            best = (int)i;
            len = all ? 0 : strlen(group);
        }
    }
    return best;
}

static void check_updates(struct mb *b)
{
    struct program *p = b->p;
    for (uint32_t i = 0; i < p->nphase; i++)
        for (uint32_t s = 0; s < p->phase[i].nstep; s++)
            for (uint32_t k = 0; k < p->phase[i].step[s].nupdate; k++) {
                const struct prog_update *u = &p->phase[i].step[s].update[k];
                for (uint32_t w = 0; w < u->nleaf; w++) {
                    const char *path = b->g->leaf[u->leaf[w]].path;
                    if (optimizer_of(b, path) >= 0)
                        continue;
                    diag(b->ds, E0703, u->loc,
                         "group `%s` is updated and has no optimizer: weight `%s`",
                         u->groups, path);
                    diag_hint(b->ds, "optimizers: {'%s': adam(lr=1e-3)}", u->groups);
                    break;
                }
            }
}

void mb_optimizers(struct mb *b)
{
    const struct doc *d = doc_get(b->m->elaborated, "optimizers");
    for (uint32_t i = 0; d && d->kind == DOC_MAP && i < d->n; i++) {
        struct expr_key key;
        if (d->entry[i].value->bad || !expr_parse_key(b->a, b->ds, &d->entry[i].key, &key))
            continue;
        for (uint32_t k = 0; k < key.npath; k++) {
            if (!group_exists(b, key.path[k]))
                mb_no_weights(b, key.path[k], key.path_loc[k]);
            optimizer(b, key.path[k], d->entry[i].value, key.path_loc[k]);
        }
    }
    for (uint32_t i = 0; i < b->p->nweight; i++)
        if (!b->p->weight[i].state)
            b->p->weight[i].optimizer = optimizer_of(b, b->p->weight[i].path);
    check_updates(b);
}
