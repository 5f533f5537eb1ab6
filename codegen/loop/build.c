/* Statements: a stack of open bodies; what is made goes to the end of the innermost. */
#include <assert.h>
#include <stdio.h>

#include "codegen/loop/sched.h"

static void append(struct sched *s, struct stmt *st)
{
    if (s->depth == 0) {
        struct nstage *g = &s->n->stage[s->n->nstage - 1];
        assert(!g->root);
        g->root = st;
        return;
    }
    struct open_body *b = &s->open[s->depth - 1];
    b->stmt->body = arena_grow(s->arena, b->stmt->body, &b->cap, b->stmt->nbody + 1,
                               sizeof(struct stmt *));
    b->stmt->body[b->stmt->nbody++] = st;
}

struct stmt *nb_stmt(struct sched *s, enum stmt_op op)
{
    struct stmt *st = arena_alloc(s->arena, sizeof *st);
    st->op = (uint8_t)op;
    append(s, st);
    return st;
}

struct stmt *nb_for(struct sched *s, enum for_kind kind, struct index lo, struct index hi,
                    int32_t step)
{
    struct stmt *f = nb_stmt(s, S_FOR);
    assert(s->naxis < NEST_AXES);
    f->axis = s->naxis++;
    if (f->axis == s->n->naxis)
        snprintf(s->n->axis_name[s->n->naxis++], sizeof s->n->axis_name[0], "a%u",
                 (unsigned)f->axis);
    f->kind = (uint8_t)kind;
    f->lo = lo;
    f->hi = hi;
    f->step = step;
    f->bound_div = 1;
    assert(s->depth < sizeof s->open / sizeof *s->open);
    s->open[s->depth++] = (struct open_body){.stmt = f};
    return f;
}

/* Axes are numbered by depth: loops one after the other share a number. */
void nb_close(struct sched *s)
{
    s->depth--;
    s->naxis--;
}

void nb_guard(struct sched *s, struct stmt *f, struct index index, struct ext bound)
{
    struct guard *g = arena_array(s->arena, f->nguard + 1U, sizeof *g);
    for (unsigned i = 0; i < f->nguard; i++)
        g[i] = f->guard[i];
    g[f->nguard++] = (struct guard){index, bound};
    f->guard = g;
}

uint16_t nb_tile(struct sched *s, const char *name, enum tile_space space, uint8_t dtype,
                 int32_t rows, int32_t cols, bool zero)
{
    struct nest *n = s->n;
    n->tile = arena_grow(s->arena, n->tile, &s->cap_tile, n->ntile + 1, sizeof *n->tile);
    n->tile[n->ntile] = (struct tile){.name = arena_fmt(s->arena, "%s%u", name, n->ntile),
                                      .space = (uint8_t)space,
                                      .dtype = dtype,
                                      .rank = 2,
                                      .dim = {rows, cols, 1, 1}};
    struct stmt *st = nb_stmt(s, S_TILE);
    st->tile = (uint16_t)n->ntile;
    st->has_init = zero;
    if (space == TILE_STACK) {
        uint64_t bytes = (uint64_t)rows * (uint64_t)cols * (dtype == DT_BOOL ? 1U : 4U);
        n->stage[n->nstage - 1].stack_bytes += (bytes + 63) & ~(uint64_t)63;
    }
    return (uint16_t)n->ntile++;
}

uint16_t nb_private(struct sched *s, const char *name, uint8_t dtype, const struct ext *dim,
                    uint8_t rank, int32_t div)
{
    struct nest *n = s->n;
    n->buf = arena_grow(s->arena, n->buf, &s->cap_buf, n->nbuf + 1, sizeof *n->buf);
    struct kbuf *b = &n->buf[n->nbuf];
    *b = (struct kbuf){.name = arena_fmt(s->arena, "%s%u", name, n->nbuf),
                       .dtype = dtype,
                       .use = BUF_READ_WRITE,
                       .rank = rank,
                       .div = div};
    for (unsigned i = 0; i < rank; i++)
        b->dim[i] = dim[i];
    n->nprivate++;
    return (uint16_t)n->nbuf++;
}

void nb_stage(struct sched *s, struct ext units, int32_t div, int32_t times)
{
    struct nest *n = s->n;
    n->stage =
        arena_grow(s->arena, n->stage, &s->cap_stage, n->nstage + 1, sizeof *n->stage);
    n->stage[n->nstage++] =
        (struct nstage){.units = units, .units_div = div, .units_times = times};
    assert(s->depth == 0);
    const struct index most = {.off = ext_mul(units, ext_const(times))};
    struct stmt *g = nb_for(s, FOR_GRID, index_const(0), most, 1);
    if (times == 1) {
        g->bound = units;
        g->bound_div = div;
    }
}

void nb_end_stage(struct sched *s)
{
    nb_close(s);
    assert(s->depth == 0);
}

static enum sx_type type_of(uint8_t dtype)
{
    return dtype == DT_F32 ? SX_FLOAT : dtype == DT_I32 ? SX_I32 : SX_BOOL;
}

static sx_id add_load(struct sched *s, struct stmt *st, const struct nload *l,
                      uint8_t dtype)
{
    uint32_t i = 0;
    for (; i < st->nload; i++) {
        const struct nload *x = &st->load[i];
        if (x->tile == l->tile && x->id == l->id && index_equal(&x->index, &l->index) &&
            x->nguard == l->nguard && guards_equal(x->guard, l->guard, l->nguard) &&
            x->pick.from == l->pick.from)
            break;
    }
    if (i == st->nload) {
        struct nload *all = arena_array(s->arena, st->nload + 1, sizeof *all);
        for (uint32_t k = 0; k < st->nload; k++)
            all[k] = st->load[k];
        all[st->nload++] = *l;
        st->load = all;
    }
    return sx_arg(&s->n->sx, i, type_of(dtype));
}

sx_id nb_load_tile(struct sched *s, struct stmt *st, uint16_t tile, struct index index)
{
    struct nload l = {.tile = true, .id = tile, .index = index};
    return nb_load(s, st, &l);
}

sx_id nb_load_buf(struct sched *s, struct stmt *st, uint16_t buf, struct index index,
                  const struct guard *guard, uint8_t nguard)
{
    struct nload l = {.id = buf,
                      .index = index,
                      .guard = arena_copy(s->arena, guard, nguard * sizeof *guard),
                      .nguard = nguard};
    return nb_load(s, st, &l);
}

sx_id nb_load(struct sched *s, struct stmt *st, const struct nload *l)
{
    return add_load(s, st, l, l->tile ? s->n->tile[l->id].dtype : s->n->buf[l->id].dtype);
}

struct stmt *nb_set_tile(struct sched *s, uint16_t tile, struct index index)
{
    struct stmt *st = nb_stmt(s, S_SET);
    st->dst_tile = true;
    st->dst = tile;
    st->index = index;
    return st;
}

struct stmt *nb_set_buf(struct sched *s, uint16_t buf, struct index index)
{
    struct stmt *st = nb_stmt(s, S_SET);
    st->dst = buf;
    st->index = index;
    return st;
}
