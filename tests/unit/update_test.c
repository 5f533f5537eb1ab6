/*
 * Update steps against a sequential evaluation: the reference evaluates the losses'
 * gradients on a graph without versions, steps the optimizers in plain C, puts the new
 * weights into the leaves and goes on to the next step.  In double they agree to rounding.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/passes/pass.h"
#include "runtime/base/arena.h"
#include "tests/prop/random_graph.h"

enum { BATCH = 5, UNITS = 4, MAX_UPDATES = 4 };

/* Numbers of an optimizer, for both sides. */
struct numbers {
    enum opt_rule rule;
    double lr, beta1, beta2, eps, momentum, decay, weight_decay, clip, low, high;
    bool amsgrad, missing_zero, clip_max, bounds;
};

/* What is trained in which step: bit 0 D, bit 1 E, bit 2 the lone weight L that no loss
 * reaches. */
struct scenario {
    struct numbers opt[2]; /* of D; of E and L */
    unsigned nstep, groups[2][2];
    bool hold;
};

struct losses {
    value_id h, loss_d, loss_e;
};

static value_id leaf(struct graph *g, enum leaf_what what, const char *path, bool sample)
{
    struct type t = {.dtype = DT_F32, .sample = sample};
    if (sample)
        t.dim[t.rank++] = (struct ext){0, 1};
    t.dim[t.rank++] = ext_const(UNITS);
    return graph_leaf(g, what, 0, 0, path, t);
}

static value_id mean(struct graph *g, value_id x)
{
    return graph_op2(g, SX_DIV, graph_sum(g, x, UINT32_MAX), graph_const(g, BATCH));
}

/* Two losses over x, D and E with noise and a gradient penalty; h reads its own E. */
static struct losses build(struct graph *g, region_id region, const char *e_of_h)
{
    struct sxb *b = &g->sx;
    const value_id x = leaf(g, LEAF_DATA, "x.image", true);
    const value_id d = leaf(g, LEAF_PARAM, "D.weight", false);
    const value_id e = leaf(g, LEAF_PARAM, "E.weight", false);
    const value_id eh = leaf(g, LEAF_PARAM, e_of_h, false);
    const site_id site = graph_site(g, "wake/h~1", region, true);
    struct losses l;
    g->at = region;
    const sx_id drawn = sx_make(
        b, SX_ADD, sx_make(b, SX_MUL, sx_arg(b, 0, SX_FLOAT), sx_arg(b, 1, SX_FLOAT), 0),
        sx_normal(b, site, sx_axis(b, 1)), 0);
    const value_id in[2] = {x, eh};
    l.h = graph_op1(g, SX_FN_tanh, graph_map(g, drawn, in, 2, NULL));
    const value_id score =
        graph_sum(g, graph_op1(g, SX_FN_sin, graph_op2(g, SX_MUL, l.h, d)), 2);
    value_id slope;
    graph_grad(g, score, &l.h, 1, false, &slope);
    const value_id penalty = graph_op2(g, SX_MUL, slope, slope);
    l.loss_d = graph_op2(g, SX_ADD, mean(g, graph_op1(g, SX_FN_softplus, score)),
                         mean(g, penalty));
    const value_id off = graph_op2(g, SX_SUB, graph_op2(g, SX_MUL, l.h, e), x);
    l.loss_e = graph_op2(g, SX_ADD, mean(g, graph_op2(g, SX_MUL, off, off)),
                         graph_op1(g, SX_NEG, mean(g, score)));
    return l;
}

/* ---- the program ---- */

static const char *const weight_path[3] = {"D.weight", "E.weight", "L.weight"};

static value_id host_number(struct program *p, double x, bool as_setting)
{
    struct graph *g = &p->graph;
    const region_id at = g->at;
    g->at = p->host;
    value_id v = graph_const(g, x);
    if (as_setting) { /* through a leaf: not folded */
        v = graph_leaf(g, LEAF_SETTING, 0, 0, "one", type_scalar(DT_F32));
        v = graph_op2(g, SX_MUL, v, graph_const(g, x));
    }
    g->at = at;
    return v;
}

static struct prog_optimizer optimizer(struct program *p, const struct numbers *n)
{
    struct prog_optimizer o = {.rule = n->rule,
                               .amsgrad = n->amsgrad,
                               .missing_zero = n->missing_zero,
                               .clip_max = n->clip_max,
                               .has_bounds = n->bounds,
                               .plateau = -1};
    o.lr = host_number(p, n->lr, true);
    o.beta1 = host_number(p, n->beta1, false);
    o.beta2 = host_number(p, n->beta2, true);
    o.eps = host_number(p, n->eps, false);
    o.momentum = host_number(p, n->momentum, false);
    o.decay = host_number(p, n->decay, false);
    o.weight_decay = host_number(p, n->weight_decay, false);
    if (n->clip > 0)
        o.clip = host_number(p, n->clip, true);
    if (n->bounds) {
        o.low = host_number(p, n->low, false);
        o.high = host_number(p, n->high, false);
    }
    return o;
}

static void add_steps(struct program *p, const struct scenario *s, const struct losses *l)
{
    struct prog_phase *phase = &p->phase[0];
    phase->nstep = s->nstep;
    phase->step = arena_array(p->arena, s->nstep, sizeof *phase->step);
    for (unsigned k = 0; k < s->nstep; k++) {
        phase->step[k].update = arena_array(p->arena, 2, sizeof(struct prog_update));
        for (unsigned j = 0; j < 2 && s->groups[k][j]; j++) {
            struct prog_update *u = &phase->step[k].update[phase->step[k].nupdate++];
            u->groups = "G";
            u->name = arena_fmt(p->arena, "loss%u.%u", k, j);
            u->loss = j == 0 && s->groups[k][0] & 1 ? l->loss_d : l->loss_e;
            u->leaf = arena_array(p->arena, 3, sizeof *u->leaf);
            for (unsigned w = 0; w < 3; w++)
                if (s->groups[k][j] >> w & 1)
                    u->leaf[u->nleaf++] = p->weight[w].leaf;
        }
    }
}

static void make_program(struct program *p, struct arena *a, const struct scenario *s)
{
    struct graph *g = &p->graph;
    memset(p, 0, sizeof *p);
    p->arena = a;
    graph_init(g, a);
    p->host = graph_region(g, REGION_HOST, "host");
    p->init = graph_region(g, REGION_INIT, "init");
    const region_id region = graph_region(g, REGION_PHASE, "wake");
    const struct losses l = build(g, region, "E.weight");
    leaf(g, LEAF_PARAM, "L.weight", false);
    p->optimizer = arena_array(a, 2, sizeof *p->optimizer);
    p->noptimizer = 2;
    for (unsigned i = 0; i < 2; i++)
        p->optimizer[i] = optimizer(p, &s->opt[i]);
    p->weight = arena_array(a, 3, sizeof *p->weight);
    p->nweight = 3;
    for (unsigned i = 0; i < 3; i++)
        p->weight[i] =
            (struct prog_weight){.path = weight_path[i],
                                 .leaf = graph_find_leaf(g, LEAF_PARAM, weight_path[i]),
                                 .optimizer = i > 0};
    p->phase = arena_array(a, 1, sizeof *p->phase);
    p->nphase = 1;
    p->phase[0] = (struct prog_phase){.name = "wake", .region = region};
    if (s->hold) {
        p->phase[0].hold = arena_copy(a, &l.h, sizeof l.h);
        p->phase[0].nhold = 1;
    }
    add_steps(p, s, &l);
}

/* ---- leaves of both sides ---- */

struct values { /* the reference's tensors by path; others are random_eval's */
    const char *path[16];
    double v[16][UNITS];
    unsigned n;
    unsigned updates[3]; /* of each weight in the phase */
};

static void base_leaf(void *cx, const struct leaf *l, int64_t n, double *out)
{
    const struct values *x = cx;
    random_eval(NULL, 1, false).leaf(NULL, l, n, out);
    const char *end = strrchr(l->path, '/');
    if (end && end[1] == 'v')
        for (int64_t i = 0; i < n; i++)
            out[i] = 0.1 * fabs(out[i]);
    if (!strcmp(l->path, "one"))
        out[0] = 1;
    for (unsigned w = 0; w < 3 && l->what == LEAF_COUNTER; w++)
        if (strstr(l->path, weight_path[w]))
            out[0] = 3 + x->updates[w]; /* three before, raised by this phase's */
    for (unsigned i = 0; i < x->n; i++)
        if (!strcmp(x->path[i], l->path))
            memcpy(out, x->v[i], sizeof x->v[i]);
}

static double *tensor(struct values *x, const char *path)
{
    for (unsigned i = 0; i < x->n; i++)
        if (!strcmp(x->path[i], path))
            return x->v[i];
    const struct leaf l = {.what = LEAF_PARAM, .path = path, .type = {.dtype = DT_F32}};
    double v[UNITS];
    base_leaf(x, &l, UNITS, v);
    x->path[x->n] = path;
    memcpy(x->v[x->n], v, sizeof v);
    return x->v[x->n++];
}

/* ---- the reference ---- */

struct reference {
    struct arena *a;
    struct graph g;
    struct losses l;
    value_id d[2][3], dh[2]; /* d loss / d (D, E, L), and by h's own E */
    struct values now;
    unsigned done[3];
    double loss[4];
    unsigned nloss;
};

static void expand(struct reference *r, const char *e_of_h)
{
    struct program p = {.arena = r->a};
    graph_init(&p.graph, r->a);
    p.host = graph_region(&p.graph, REGION_HOST, "host");
    const region_id region = graph_region(&p.graph, REGION_PHASE, "wake");
    r->l = build(&p.graph, region, e_of_h);
    leaf(&p.graph, LEAF_PARAM, "L.weight", false);
    graph_root(&p.graph, region, ROOT_OUTPUT, 0, 0, r->l.loss_d, "d");
    graph_root(&p.graph, region, ROOT_OUTPUT, 0, 0, r->l.loss_e, "e");
    const struct pass_options o = {.stop_after = "differentiate"};
    assert_true(
        passes_run(&p, diag_sink_new(r->a, 1), &o)); /* the penalty's own gradient */
    r->g = p.graph;
    r->g.at = region;
    value_id x[4];
    for (unsigned i = 0; i < 3; i++)
        x[i] = r->g.leaf[graph_find_leaf(&r->g, LEAF_PARAM, weight_path[i])].value;
    x[3] = r->g.leaf[graph_find_leaf(&r->g, LEAF_PARAM, e_of_h)].value;
    r->l.loss_d = r->g.region[region].root[0].value;
    r->l.loss_e = r->g.region[region].root[1].value;
    for (unsigned i = 0; i < 2; i++) {
        value_id d[4];
        assert_true(differentiate(&r->g, i ? r->l.loss_e : r->l.loss_d, x, 4,
                                  diag_sink_new(r->a, 1), d));
        memcpy(r->d[i], d, sizeof r->d[i]);
        r->dh[i] = strcmp(e_of_h, "E.weight") ? d[3] : 0;
    }
}

static const double *value_of(struct reference *r, value_id v)
{
    struct graph_eval e = random_eval(&r->g, BATCH, false);
    double *out;
    e.leaf = base_leaf;
    e.cx = &r->now;
    assert_true(graph_eval(&e, r->a, &v, 1, &out));
    return out;
}

/* One tensor, as torch.optim writes it. */
static void torch_step(struct reference *r, const struct numbers *o, unsigned w,
                       const double *grad, double scale)
{
    struct arena *a = r->a;
    double *p = tensor(&r->now, weight_path[w]);
    const char *const slot[3] = {"m", "v", "vmax"};
    double *s[3];
    const double t = 3 + ++r->done[w];
    for (unsigned k = 0; k < 3; k++)
        s[k] = tensor(&r->now, arena_fmt(a, "optimizer/%s/%s", weight_path[w], slot[k]));
    for (unsigned i = 0; i < UNITS; i++) {
        double x = grad ? grad[i] * scale : 0;
        if (o->clip > 0 && o->clip_max)
            x = fmin(fmax(x, -o->clip), o->clip);
        if (o->rule == OPT_ADAMW)
            p[i] -= o->lr * o->weight_decay * p[i];
        else
            x += o->weight_decay * p[i];
        if (o->rule == OPT_ADAM || o->rule == OPT_ADAMW) {
            s[0][i] = o->beta1 * s[0][i] + (1 - o->beta1) * x;
            s[1][i] = o->beta2 * s[1][i] + (1 - o->beta2) * x * x;
            s[2][i] = fmax(s[2][i], s[1][i]);
            const double big = o->amsgrad ? s[2][i] : s[1][i];
            const double below = sqrt(big) / sqrt(1 - pow(o->beta2, t)) + o->eps;
            p[i] -= o->lr / (1 - pow(o->beta1, t)) * s[0][i] / below;
        } else {
            if (o->rule == OPT_RMSPROP) {
                s[1][i] = o->decay * s[1][i] + (1 - o->decay) * x * x;
                x /= sqrt(s[1][i]) + o->eps;
            }
            s[0][i] = o->momentum * s[0][i] + x;
            p[i] -= o->lr * (o->momentum > 0 ? s[0][i] : x);
        }
        if (o->bounds)
            p[i] = fmin(fmax(p[i], o->low), o->high);
    }
}

static double norm2(const double *x)
{
    double sum = 0;
    for (unsigned i = 0; x && i < UNITS; i++)
        sum += x[i] * x[i];
    return sum;
}

/* The gradient of weight w by loss i; NULL where none arrives. */
static const double *gradient(struct reference *r, unsigned i, unsigned w, bool hold)
{
    const value_id own = r->d[i][w], held = w == 1 && hold ? r->dh[i] : 0;
    double *sum = arena_array(r->a, UNITS, sizeof *sum);
    if (!own && !held)
        return NULL;
    for (unsigned k = 0; k < UNITS; k++)
        sum[k] = (own ? value_of(r, own)[k] : 0) + (held ? value_of(r, held)[k] : 0);
    return sum;
}

static void reference_step(struct reference *r, const struct scenario *s, unsigned k)
{
    const double *grad[2][3] = {{0}};
    for (unsigned j = 0; j < 2 && s->groups[k][j]; j++) {
        const unsigned i = j == 0 && s->groups[k][0] & 1 ? 0 : 1;
        r->loss[r->nloss++] = value_of(r, i ? r->l.loss_e : r->l.loss_d)[0];
        for (unsigned w = 0; w < 3; w++)
            if (s->groups[k][j] >> w & 1)
                grad[j][w] = gradient(r, i, w, s->hold);
    }
    for (unsigned j = 0; j < 2 && s->groups[k][j]; j++) {
        for (unsigned w = 0; w < 3; w++) {
            const struct numbers *o = &s->opt[w > 0];
            double scale = 1,
                   sum = w ? norm2(grad[j][1]) + norm2(grad[j][2]) : norm2(grad[j][0]);
            if (!(s->groups[k][j] >> w & 1) || (!grad[j][w] && !o->missing_zero))
                continue;
            if (o->clip > 0 && !o->clip_max && sqrt(sum) > o->clip)
                scale = o->clip / sqrt(sum);
            torch_step(r, o, w, grad[j][w], scale);
        }
    }
}

/* ---- comparison ---- */

static void count(const struct scenario *s, struct values *v)
{
    for (unsigned k = 0; k < s->nstep; k++)
        for (unsigned j = 0; j < 2; j++)
            for (unsigned w = 0; w < 3; w++)
                if (s->groups[k][j] >> w & 1 && (w < 2 || s->opt[1].missing_zero))
                    v->updates[w]++;
}

static void compare(struct program *p, struct reference *r, const struct values *start)
{
    struct graph_eval e = random_eval(&p->graph, BATCH, false);
    const struct region *region = &p->graph.region[p->phase[0].region];
    unsigned nloss = 0;
    e.leaf = base_leaf;
    e.cx = (void *)(uintptr_t)start;
    for (uint32_t i = 0; i < region->nroot; i++) {
        const struct root *x = &region->root[i];
        bool last = true;
        double *out;
        assert_true(graph_eval(&e, p->arena, &x->value, 1, &out));
        if (x->why == ROOT_OUTPUT) {
            assert_true(fabs(out[0] - r->loss[nloss]) <= 1e-12 * (1 + fabs(out[0])));
            nloss++;
            continue;
        }
        assert_int_equal(x->why, ROOT_UPDATE);
        const char *path = p->graph.leaf[x->leaf].path;
        for (uint32_t k = i + 1; k < region->nroot; k++)
            last &= region->root[k].leaf != x->leaf;
        const double *want = tensor(&r->now, path);
        for (unsigned k = 0; last && k < UNITS; k++)
            if (!(fabs(out[k] - want[k]) <= 1e-12 * (1 + fabs(want[k]))))
                fail_msg("%s[%u]: %.15g, want %.15g", path, k, out[k], want[k]);
    }
    assert_int_equal(nloss, r->nloss);
}

static unsigned updates_of(const struct program *p, const char *path)
{
    const struct region *region = &p->graph.region[p->phase[0].region];
    unsigned n = 0;
    for (uint32_t i = 0; i < region->nroot; i++)
        n += region->root[i].why == ROOT_UPDATE &&
             !strcmp(p->graph.leaf[region->root[i].leaf].path, path);
    return n;
}

static void run(const struct scenario *s)
{
    struct arena *a = arena_new();
    struct program p;
    struct reference r = {.a = a};
    struct values start = {.n = 0};
    struct diag_sink *ds = diag_sink_new(a, 5);
    const struct pass_options o = {.twin = true};
    make_program(&p, a, s);
    if (!passes_run(&p, ds, &o)) {
        diag_print(ds, stderr, false);
        fail_msg("the passes refuse the program");
    }
    count(s, &start);
    r.now = start;
    for (unsigned w = 0; w < 3; w++)
        assert_int_equal(updates_of(&p, weight_path[w]), start.updates[w]);
    expand(&r, s->hold ? "E.held" : "E.weight");
    if (s->hold) /* what h was made with */
        memcpy(tensor(&r.now, "E.held"), tensor(&r.now, "E.weight"),
               UNITS * sizeof(double));
    for (unsigned k = 0; k < s->nstep; k++)
        reference_step(&r, s, k);
    compare(&p, &r, &start);
    arena_free(a);
}

/* ---- scenarios ---- */

#define ADAM                                                                               \
    {                                                                                      \
        .rule = OPT_ADAM, .lr = 0.01, .beta1 = 0.5, .beta2 = 0.99, .eps = 1e-8             \
    }
#define SGD                                                                                \
    {                                                                                      \
        .rule = OPT_SGD, .lr = 0.05                                                        \
    }

static void alternating_steps(void **state)
{
    const struct scenario s = {.opt = {ADAM, ADAM}, .nstep = 2, .groups = {{1}, {2}}};
    (void)state;
    run(&s);
}

static void same_weight_in_both_steps(void **state)
{
    const struct scenario s = {.opt = {ADAM, ADAM}, .nstep = 2, .groups = {{3}, {2}}};
    const struct scenario t = {.opt = {SGD, ADAM}, .nstep = 2, .groups = {{1, 2}, {3}}};
    (void)state;
    run(&s);
    run(&t);
}

static void two_entries_of_a_step(void **state)
{
    const struct scenario s = {.opt = {ADAM, SGD}, .nstep = 1, .groups = {{1, 2}}};
    (void)state;
    run(&s);
}

static void held_nodes(void **state)
{
    const struct scenario s = {
        .opt = {ADAM, ADAM}, .nstep = 2, .groups = {{3}, {2}}, .hold = true};
    (void)state;
    run(&s);
}

static void rules(void **state)
{
    const struct numbers adamw = {.rule = OPT_ADAMW,
                                  .lr = 0.01,
                                  .beta1 = 0.9,
                                  .beta2 = 0.99,
                                  .eps = 1e-6,
                                  .weight_decay = 0.1,
                                  .amsgrad = true};
    const struct numbers rms = {.rule = OPT_RMSPROP,
                                .lr = 0.01,
                                .decay = 0.9,
                                .eps = 1e-8,
                                .weight_decay = 0.2,
                                .momentum = 0.7};
    const struct numbers rms_plain = {
        .rule = OPT_RMSPROP, .lr = 0.01, .decay = 0.9, .eps = 1e-8};
    const struct numbers sgd = {
        .rule = OPT_SGD, .lr = 0.02, .weight_decay = 0.3, .momentum = 0.6};
    const struct numbers adam = {.rule = OPT_ADAM,
                                 .lr = 0.01,
                                 .beta1 = 0.9,
                                 .beta2 = 0.999,
                                 .eps = 1e-8,
                                 .weight_decay = 0.05,
                                 .amsgrad = true};
    const struct numbers all[5] = {adamw, rms, rms_plain, sgd, adam};
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        const struct scenario s = {
            .opt = {all[i], all[(i + 1) % 5]}, .nstep = 2, .groups = {{1}, {2}}};
        run(&s);
    }
}

static void clipping_and_bounds(void **state)
{
    struct scenario s = {.opt = {SGD, SGD}, .nstep = 2, .groups = {{1}, {2}}};
    (void)state;
    s.opt[0].clip = 1e-2; /* scales */
    s.opt[1].clip = 1e3;  /* does not */
    run(&s);
    s.opt[0].clip_max = s.opt[1].clip_max = true;
    s.opt[1].clip = 0.02;
    run(&s);
    s.opt[0].bounds = true;
    s.opt[0].low = -0.1;
    s.opt[0].high = 0.2;
    run(&s);
}

static void missing_gradients(void **state)
{
    struct scenario s = {.opt = {ADAM, ADAM}, .nstep = 2, .groups = {{1}, {6}}};
    (void)state;
    run(&s); /* L keeps its value and its count */
    s.opt[1].missing_zero = true;
    run(&s);
}

static void no_path_to_a_group(void **state)
{
    const struct scenario s = {.opt = {ADAM, ADAM}, .nstep = 1, .groups = {{4}}};
    struct arena *a = arena_new();
    struct program p;
    struct diag_sink *ds = diag_sink_new(a, 5);
    const struct pass_options o = {0};
    (void)state;
    make_program(&p, a, &s);
    assert_false(passes_run(&p, ds, &o));
    assert_int_equal(diag_errors(ds), 1);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alternating_steps),
        cmocka_unit_test(same_weight_in_both_steps),
        cmocka_unit_test(two_entries_of_a_step),
        cmocka_unit_test(held_nodes),
        cmocka_unit_test(rules),
        cmocka_unit_test(clipping_and_bounds),
        cmocka_unit_test(missing_gradients),
        cmocka_unit_test(no_path_to_a_group),
    };
    return cmocka_run_group_tests_name("update", tests, NULL, NULL);
}
