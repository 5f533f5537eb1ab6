#include "tests/unit/made_graph.h"

#include <stdlib.h>

struct made *made_new(void)
{
    struct made *m = calloc(1, sizeof *m);
    m->a = arena_new();
    m->p.arena = m->a;
    m->g = &m->p.graph;
    graph_init(m->g, m->a);
    m->p.host = graph_region(m->g, REGION_HOST, "host");
    m->g->at = graph_region(m->g, REGION_PHASE, "phase");
    return m;
}

void made_free(struct made *m)
{
    arena_free(m->a);
    free(m);
}

int made_set_up(void **state)
{
    *state = made_new();
    return 0;
}

int made_tear_down(void **state)
{
    made_free(*state);
    return 0;
}

value_id made_leaf(struct made *m, enum leaf_what what, unsigned rank, int32_t n, int32_t k)
{
    const bool sample = what == LEAF_DATA;
    struct type t = {.dtype = DT_F32, .rank = (uint8_t)rank, .sample = sample};
    t.dim[0] = sample ? (struct ext){0, 1} : ext_const(n);
    t.dim[1] = ext_const(k);
    return graph_leaf(m->g, what, 0, 0, arena_fmt(m->a, "leaf%u", m->nleaf++), t);
}

value_id made_op1(struct made *m, enum sx_op op, value_id x)
{
    m->g->expr = graph_new_expr(m->g);
    return graph_op1(m->g, op, x);
}

value_id made_op2(struct made *m, enum sx_op op, value_id x, value_id y)
{
    m->g->expr = graph_new_expr(m->g);
    return graph_op2(m->g, op, x, y);
}
