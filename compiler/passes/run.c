/* The pass manager: the only place that knows the order of passes. */
#include <string.h>
#include <time.h>

#include "compiler/passes/pass.h"
#include "runtime/base/arena.h"

#define PASS(name, needs, keeps, gives, doc) pass_fn pass_##name;
#include "compiler/passes/passes.def"

static const struct pass_info table[] = {
#define PASS(name, needs, keeps, gives, doc) {#name, doc, needs, keeps, gives, pass_##name},
#include "compiler/passes/passes.def"
};
enum { NPASS = sizeof table / sizeof *table };

static pass_fn *const steps[] = {
#define STEP(name) pass_##name,
#include "compiler/passes/passes.def"
};

const struct pass_info *pass_info(unsigned i)
{
    return i < NPASS ? &table[i] : NULL;
}

static const struct pass_info *info_of(pass_fn *fn)
{
    unsigned i = 0;
    while (table[i].run != fn)
        i++;
    return &table[i];
}

unsigned pass_facts(const struct program *p)
{
    const struct graph *g = &p->graph;
    unsigned facts = FACT_CONTRACTED | FACT_NO_GRAD | FACT_NO_STEPS;
    for (node_id id = 1; id < g->nnode; id++) {
        if (g->node[id].expr)
            facts &= ~(unsigned)FACT_CONTRACTED;
        if (g->node[id].op == OP_GRAD)
            facts &= ~(unsigned)FACT_NO_GRAD;
    }
    for (uint32_t i = 0; i < p->nphase; i++)
        for (uint32_t k = 0; k < p->phase[i].nstep; k++)
            for (uint32_t j = 0; j < p->phase[i].step[k].nupdate; j++)
                if (p->phase[i].step[k].update[j].loss)
                    facts &= ~(unsigned)FACT_NO_STEPS;
    return facts;
}

static bool fault(struct diag_sink *ds, const char *pass, const char *what)
{
    diag(ds, E9999, (struct loc){0}, "after pass `%s`: %s", pass, what);
    return false;
}

/* The same graph, as its text reads back. */
static bool take_twin(struct program *p, struct diag_sink *ds, const char *pass)
{
    struct graph *g = &p->graph, twin;
    graph_init(&twin, g->arena);
    if (!graph_parse(&twin, graph_print(g, g->arena), ds, 0))
        return fault(ds, pass, "the text of the graph does not read back");
    if (!graph_equal(g, &twin))
        return fault(ds, pass, "the text of the graph reads back as another graph");
    twin.at = g->at;
    twin.where = g->where;
    graph_drop_tables(g);
    *g = twin;
    return true;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* facts: what held before, and holds now. */
static bool check(struct program *p, const struct pass_info *info, unsigned *facts,
                  struct diag_sink *ds)
{
    const unsigned want = (*facts & info->keeps) | info->gives;
    const char *wrong = graph_validate(&p->graph, p->graph.arena);
    if (wrong)
        return fault(ds, info->name, wrong);
    *facts = pass_facts(p) | (want & FACT_ORDERED);
    if (want & ~*facts)
        return fault(ds, info->name, "it lost or did not make what its row says");
    return true;
}

static bool run_one(struct program *p, const struct pass_info *info, struct diag_sink *ds,
                    const struct pass_options *o, unsigned *facts)
{
    struct pass_cx cx = {p, ds, o->target ? o->target : target_default(),
                         o->remat_off      ? 0
                         : o->scarcity > 0 ? o->scarcity
                                           : 1};
    const double start = seconds();
    if (info->needs & ~*facts)
        return fault(ds, info->name, "it ran before what it needs");
    if (info->run(&cx) == PASS_FAILED)
        return false;
    if (o->timed)
        o->timed(o->cx, info->name, seconds() - start);
    if (!check(p, info, facts, ds) || (o->twin && !take_twin(p, ds, info->name)))
        return false;
    if (o->dump && o->dump_after &&
        (!strcmp(o->dump_after, info->name) || !strcmp(o->dump_after, "all")))
        o->dump(o->cx, info->name, graph_print(&p->graph, p->graph.arena));
    return true;
}

static bool run_all(struct program *p, struct diag_sink *ds, const struct pass_options *o)
{
    const char *wrong = graph_validate(&p->graph, p->graph.arena);
    unsigned facts = pass_facts(p);
    if (wrong)
        return fault(ds, "build", wrong);
    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
        const struct pass_info *info = info_of(steps[i]);
        if (!run_one(p, info, ds, o, &facts))
            return false;
        if (o->stop_after && !strcmp(o->stop_after, info->name))
            return true;
    }
    return true;
}

bool passes_run(struct program *p, struct diag_sink *ds, const struct pass_options *o)
{
    graph_own_tables(&p->graph);
    const bool ok = run_all(p, ds, o);
    graph_settle_tables(&p->graph);
    return ok;
}

bool passes_again(struct program *p, struct diag_sink *ds, const struct pass_options *o)
{
    unsigned facts = pass_facts(p) | FACT_ORDERED;
    graph_own_tables(&p->graph);
    const bool ok =
        run_one(p, info_of(steps[sizeof steps / sizeof *steps - 1]), ds, o, &facts);
    graph_settle_tables(&p->graph);
    return ok;
}
