/* Host scalars: rank-0 maps over settings and counters become instructions of the plan. */
#include <string.h>

#include "compiler/driver/plan_build.h"
#include "runtime/base/arena.h"

static const struct {
    const char *name;
    uint8_t op;
} host_op[] = {
    {"add", HYP_S_ADD},         {"sub", HYP_S_SUB},
    {"mul", HYP_S_MUL},         {"div", HYP_S_DIV},
    {"neg", HYP_S_NEG},         {"fma", HYP_S_FMA},
    {"min", HYP_S_MIN},         {"max", HYP_S_MAX},
    {"minimum", HYP_S_MIN},     {"maximum", HYP_S_MAX},
    {"abs", HYP_S_ABS},         {"sqrt", HYP_S_SQRT},
    {"floor", HYP_S_FLOOR},     {"pow", HYP_S_POW},
    {"exp", HYP_S_EXP},         {"log", HYP_S_LOG},
    {"sin", HYP_S_SIN},         {"cos", HYP_S_COS},
    {"tanh", HYP_S_TANH},       {"round", HYP_S_ROUND},
    {"mod", HYP_S_MOD},         {"lt", HYP_S_LT},
    {"le", HYP_S_LE},           {"eq", HYP_S_EQ},
    {"and", HYP_S_AND},         {"or", HYP_S_OR},
    {"not", HYP_S_NOT},         {"sel", HYP_S_SEL},
    {"iadd", HYP_S_ADD},        {"isub", HYP_S_SUB},
    {"imul", HYP_S_MUL},        {"i2f", HYP_S_COPY},
    {"f2i", HYP_S_COPY},        {"u2f", HYP_S_COPY},
    {"clip", HYP_S_CLIP},       {"sign", HYP_S_SIGN},
    {"scale_grad", HYP_S_COPY}, {"expm1", HYP_S_EXPM1},
    {"sigmoid", HYP_S_SIGMOID}, {"softplus", HYP_S_SOFTPLUS},
    {"erf", HYP_S_ERF},         {"acos", HYP_S_ACOS},
    {"rsqrt", HYP_S_RSQRT},
};

static uint32_t emit(struct host_builder *h, struct hyp_sinst in)
{
    struct hyp_plan *p = h->plan;
    const uint32_t what[] = {in.op, in.a, in.b, in.c};
    const uint32_t hash = hash_bytes(what, sizeof what) ^ hash_bytes(&in.k, sizeof in.k);
    for (uint32_t at = hash, i; hash_next(&h->sinsts, hash, &at, &i);) {
        const struct hyp_sinst *x = &p->sinst[i];
        if (x->op == in.op && x->a == in.a && x->b == in.b && x->c == in.c && x->k == in.k)
            return i;
    }
    p->sinst = arena_grow(h->arena, p->sinst, &h->csinst, p->nsinst + 1, sizeof in);
    p->sinst[p->nsinst] = in;
    hash_add(&h->sinsts, h->arena, hash, p->nsinst);
    return p->nsinst++;
}

uint32_t host_counter(struct host_builder *h, const char *name)
{
    static const char *const fixed[] = {"batch_size", "epoch", "cycle", "step", "tick"};
    struct hyp_plan *p = h->plan;
    const uint32_t hash = hash_text(name);

    for (uint32_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (strcmp(name, fixed[i]) == 0)
            return i;
    for (uint32_t at = hash, i; hash_next(&h->counters, hash, &at, &i);)
        if (strcmp(p->counter[i].name, name) == 0)
            return HYP_COUNTER_FIRST + i;
    p->counter =
        arena_grow(h->arena, p->counter, &h->ccounter, p->ncounter + 1, sizeof *p->counter);
    const bool step = strncmp(name, "optimizer/", 10) == 0;
    p->counter[p->ncounter] =
        (struct hyp_named_counter){name, strncmp(name, "plateau/", 8) == 0 ? 1.0 : 0.0,
                                   strncmp(name, "probe/", 6) != 0, !step};
    hash_add(&h->counters, h->arena, hash, p->ncounter);
    return HYP_COUNTER_FIRST + p->ncounter++;
}

static uint32_t setting_index(const struct host_builder *h, const char *path)
{
    const struct hyp_plan *p = h->plan;
    const size_t n = strcspn(path, "[");
    for (uint32_t i = 0; i < p->nsetting; i++)
        if (strlen(p->setting[i].name) == n && memcmp(p->setting[i].name, path, n) == 0) {
            uint32_t k = 0;
            for (const char *c = path + n; *c; c++)
                if (*c >= '0' && *c <= '9')
                    k = k * 10 + (uint32_t)(*c - '0');
            return p->setting[i].first + k;
        }
    return 0;
}

static uint32_t leaf_slot(struct host_builder *h, const struct leaf *l)
{
    if (l->what == LEAF_SETTING)
        return emit(
            h, (struct hyp_sinst){.op = HYP_S_SETTING, .a = setting_index(h, l->path)});
    return emit(h, (struct hyp_sinst){.op = HYP_S_COUNTER, .a = host_counter(h, l->path)});
}

static uint8_t find_op(enum sx_op op)
{
    const struct sx_info *info = sx_op_info(op);
    for (uint32_t i = 0; info && i < sizeof host_op / sizeof *host_op; i++)
        if (strcmp(info->name, host_op[i].name) == 0)
            return host_op[i].op;
    return HYP_S_BAD;
}

static double const_value(const struct sx_node *n)
{
    double x;
    const uint64_t bits = (uint64_t)n->b << 32 | n->a;
    if (n->type == SX_FLOAT)
        memcpy(&x, &bits, sizeof x);
    else
        x = n->type == SX_I32 ? (double)(int32_t)n->a : (double)n->a;
    return x;
}

/* What expression `id` gave, and for which node. */
static struct host_memo *memo_of(struct host_builder *h, sx_id id)
{
    h->memo = arena_grow(h->arena, h->memo, &h->cmemo, id + 1U, sizeof *h->memo);
    return &h->memo[id];
}

static uint32_t sx_slot(struct host_builder *h, const struct node *n, sx_id id)
{
    const struct graph *g = &h->program->graph;
    const struct sx_node x = g->sx.node[id]; /* the table may move */
    const struct sx_info *info = sx_op_info(x.op);
    const struct host_memo *known = memo_of(h, id);
    struct hyp_sinst in = {0};
    uint32_t slot;

    if (known->node == n)
        return known->slot;
    if (x.op == SX_ARG) {
        slot = host_slot(h, graph_in(g, n)[x.a]);
    } else if (x.op == SX_K) {
        in.op = HYP_S_CONST;
        in.k = const_value(&x);
        slot = emit(h, in);
    } else if ((in.op = find_op(x.op)) == HYP_S_BAD && info && info->is_function) {
        slot = sx_slot(h, n, sx_unfold((struct sxb *)&g->sx, id));
    } else {
        in.a = info && info->arity > 0 ? sx_slot(h, n, x.a) : 0;
        in.b = info && info->arity > 1 ? sx_slot(h, n, x.b) : 0;
        in.c = info && info->arity > 2 ? sx_slot(h, n, x.c) : 0;
        slot = emit(h, in);
    }
    *memo_of(h, id) = (struct host_memo){n, slot};
    return slot;
}

uint32_t host_slot(struct host_builder *h, value_id v)
{
    const struct graph *g = &h->program->graph;
    const struct node *n = &g->node[g->value[v].def];

    if (h->slot[v])
        return h->slot[v] - 1;
    if (n->op == OP_LEAF) {
        h->slot[v] = 1 + leaf_slot(h, &g->leaf[n->attr]);
    } else if (n->op == OP_STOP) {
        h->slot[v] = 1 + host_slot(h, graph_in(g, n)[0]);
    } else {
        h->slot[v] = 1 + sx_slot(h, n, n->attr);
    }
    return h->slot[v] - 1;
}
