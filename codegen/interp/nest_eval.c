/*
 * A stage is compiled to a tree of the same shape with sx programs in the statements;
 * running it allocates nothing but a workspace a thread, kept until the thread ends.  Under
 * a vec loop a statement handles all lanes before the next one starts, which the
 * independence of lanes allows.
 */
#include "codegen/interp/nest_eval.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "codegen/interp/eval_common.h"
#include "codegen/loop/index.h"

struct inode {
    const struct stmt *st;
    struct inode *body;
    uint32_t nbody;
    struct sx_prog *prog;
    uint8_t type;   /* of the program's result */
    bool self;      /* S_ACC: the last operand is the destination */
    size_t scratch; /* of the program, in the workspace */
};
struct interp_stage {
    const struct nest *n;
    const struct nstage *stage;
    struct sxb sx; /* accumulations become expressions here */
    bool f64;
    struct inode root;
    size_t prog_bytes, tile_bytes, workspace;
    size_t *tile_at; /* by tile */
    int64_t *tile_elems;
    uint32_t max_load;
    struct interp_check *check;
};

/* ---- making ready ---- */

static struct sx_prog *compile(struct interp_stage *s, struct inode *d, struct arena *a)
{
    const struct stmt *st = d->st;
    struct sxb *b = &s->sx;
    sx_id root = sx_import(b, &s->n->sx, st->value, NULL, 0);
    if (st->op == S_ACC) {
        sx_id acc = sx_arg(b, st->nload, SX_FLOAT);
        sx_id two = st->value2 ? sx_import(b, &s->n->sx, st->value2, NULL, 0) : 0;
        root = two ? sx_make(b, SX_FMA, root, two, acc) : sx_make(b, SX_ADD, acc, root, 0);
        d->self = true;
    }
    d->type = b->node[root].type;
    struct sx_prog *p = sx_compile(a, b, &root, 1, s->f64);
    size_t need = (sx_prog_scratch(p) + 63) & ~(size_t)63;
    d->scratch = s->prog_bytes;
    s->prog_bytes += need;
    s->max_load = st->nload + 1 > s->max_load ? st->nload + 1 : s->max_load;
    return p;
}

static void prepare_node(struct interp_stage *s, struct inode *d, const struct stmt *st,
                         struct arena *a)
{
    const struct nest *n = s->n;
    d->st = st;
    if (st->op == S_SET || st->op == S_ACC)
        d->prog = compile(s, d, a);
    if (st->op == S_TILE) {
        const struct tile *t = &n->tile[st->tile];
        int64_t e = 1;
        for (unsigned i = 0; i < t->rank; i++)
            e *= t->dim[i];
        s->tile_elems[st->tile] = e;
        s->tile_at[st->tile] = s->tile_bytes;
        s->tile_bytes +=
            ((size_t)e * (eval_bytes(t->dtype, s->f64) + 1) + 127) & ~(size_t)63;
    }
    d->nbody = st->nbody;
    d->body = arena_array(a, st->nbody, sizeof *d->body);
    for (uint32_t i = 0; i < st->nbody; i++)
        prepare_node(s, &d->body[i], st->body[i], a);
}

enum { LANE_BYTES = SX_BLOCK * 8 };

struct interp_stage *interp_prepare(const struct nest *n, uint32_t stage, bool f64,
                                    struct arena *a)
{
    struct interp_stage *s = arena_alloc(a, sizeof *s);
    s->n = n;
    sx_init(&s->sx, a);
    s->stage = &n->stage[stage];
    s->f64 = f64;
    s->tile_at = arena_array(a, n->ntile + 1, sizeof *s->tile_at);
    s->tile_elems = arena_array(a, n->ntile + 1, sizeof *s->tile_elems);
    prepare_node(s, &s->root, s->stage->root, a);
    s->workspace = s->prog_bytes + s->tile_bytes + (s->max_load + 2U) * LANE_BYTES +
                   (n->nscalar + 1) * sizeof(double) + (n->nbuf + 1) * sizeof(int64_t) +
                   s->max_load * 24U + 256;
    return s;
}

void interp_set_check(struct interp_stage *s, struct interp_check *check)
{
    s->check = check;
}

int64_t interp_units(const struct nest *n, uint32_t stage, int64_t batch)
{
    const struct nstage *s = &n->stage[stage];
    if (s->root->op != S_FOR || s->root->kind != FOR_GRID)
        return 1;
    int64_t u = ext_at(s->units, batch), d = s->units_div > 1 ? s->units_div : 1;
    return u <= 0 ? 0 : s->units_times * ((u + d - 1) / d);
}

/* ---- running ---- */

struct run {
    const struct interp_stage *s;
    const struct hyp_kargs *args;
    int64_t axis[NEST_AXES];
    int32_t axis_step[NEST_AXES];
    int vec; /* axis whose lanes a statement handles, or -1 */
    uint32_t lanes;
    double *scalar;
    uint8_t *tile, *prog, *lane;
    const void **arg;
    int32_t *arg_step;
    int64_t *elems; /* by buffer, of this batch */
    struct interp_check *check;
};

static void fault(struct run *r, const char *what, const char *name, int64_t at)
{
    if (r->check && !r->check->fault[0])
        snprintf(r->check->fault, sizeof r->check->fault, "%s: %s[%lld]", what, name,
                 (long long)at);
}

static int64_t value_of(const struct run *r, const struct index *x)
{
    return index_eval(x, r->axis, r->args->batch, r->args->scalar);
}

struct place_at {         /* an array and where a statement's lanes are in it */
    uint8_t *base, *seen; /* seen: tiles, one byte an element, nonzero once written */
    uint8_t dtype;
    int64_t at, step, size;
    int64_t elems; /* beyond them is slack */
    int64_t more;  /* what data add to the index, at a store */
    const char *name;
    uint16_t buf;
    bool tile, plain; /* plain: at + lane * step */
};

/* How far rows that do not exist may be read: slack of sample buffers. */
static int64_t readable(const struct kbuf *b, int64_t batch)
{
    int64_t n = 1, row = 1;
    for (unsigned i = 0; i < b->rank; i++) {
        int64_t e = ext_at(b->dim[i], batch);
        if (i == 0 && b->div > 1)
            e = (e + b->div - 1) / b->div;
        n *= e;
        row *= i ? e : 1;
    }
    return b->rank && b->dim[0].b ? n + 11 * row : n;
}

static int64_t elements(const struct kbuf *b, int64_t batch)
{
    struct kbuf plain = *b;
    if (!b->rank || !b->dim[0].b)
        return readable(b, batch);
    plain.dim[0] = ext_const((int32_t)ext_at(b->dim[0], batch));
    return readable(&plain, batch);
}

static struct place_at locate(struct run *r, bool tile, uint16_t id, const struct index *x,
                              bool write)
{
    const struct interp_stage *s = r->s;
    struct place_at p = {.tile = tile, .buf = id, .at = value_of(r, x), .plain = true};
    if (tile) {
        p.dtype = s->n->tile[id].dtype;
        p.base = r->tile + s->tile_at[id];
        p.seen = p.base + (size_t)s->tile_elems[id] * eval_bytes(p.dtype, s->f64);
        p.size = p.elems = s->tile_elems[id];
        p.name = s->n->tile[id].name;
    } else {
        const struct kbuf *b = &s->n->buf[id];
        p.dtype = b->dtype;
        p.base = r->args->buf[id];
        p.name = b->name;
        p.elems = r->elems[id];
        if (r->check)
            p.size = write ? p.elems : readable(b, r->args->batch);
    }
    if (r->vec >= 0) {
        bool plain;
        p.step = ext_at(index_coef(x, (unsigned)r->vec, &plain), r->args->batch);
        p.plain = plain;
    }
    return p;
}

static int64_t lane_at(struct run *r, const struct place_at *p, const struct index *x,
                       uint32_t lane)
{
    if (p->plain)
        return p->at + lane * p->step;
    r->axis[r->vec] = lane;
    int64_t at = value_of(r, x);
    r->axis[r->vec] = 0;
    return at;
}

static void check_read(struct run *r, const struct place_at *p, int64_t at)
{
    if (at < 0 || at >= p->size)
        fault(r, "read outside", p->name, at);
    else if (p->tile && !p->seen[at])
        fault(r, "read before written", p->name, at);
}

static void check_write(struct run *r, const struct place_at *p, int64_t at)
{
    if (at < 0 || at >= p->size) {
        fault(r, "store outside", p->name, at);
        return;
    }
    if (p->tile)
        p->seen[at] = 1;
    else if (r->check && r->check->stored && r->check->stored[p->buf] &&
             r->check->stored[p->buf][at] < 255)
        r->check->stored[p->buf][at]++;
}

static void put_lane(void *lanes, uint8_t dtype, bool f64, uint32_t i, double v)
{
    if (dtype == DT_F32 && f64)
        ((double *)lanes)[i] = v;
    else if (dtype == DT_F32)
        ((float *)lanes)[i] = (float)v;
    else if (dtype == DT_I32)
        ((int32_t *)lanes)[i] = (int32_t)v;
    else
        ((uint32_t *)lanes)[i] = v != 0;
}

static bool lane_guarded(struct run *r, const struct nload *l, uint32_t lane)
{
    if (!l->nguard)
        return false;
    if (r->vec >= 0)
        r->axis[r->vec] = lane;
    bool holds = guards_hold(l->guard, l->nguard, r->axis, r->args->batch, r->args->scalar);
    if (r->vec >= 0)
        r->axis[r->vec] = 0;
    return !holds;
}

/* What data add at a lane; -1: out of range. */
static int64_t picked(const struct run *r, const struct pick *p, uint32_t lane)
{
    if (!p->from)
        return 0;
    const int32_t *v = (const int32_t *)r->arg[p->from - 1];
    const int32_t at = v[(int64_t)lane * r->arg_step[p->from - 1]];
    if (at < 0 || at >= ext_at(p->bound, r->args->batch))
        return -1;
    return ext_at(p->coef, r->args->batch) * at;
}

/* Rows of slack are not read, for another entry of the launch may be writing there; what
 * they would give is dropped.  A test that checks reads them, to see that it is. */
static void load_one(struct run *r, const struct nload *l, uint32_t i)
{
    bool f64 = r->s->f64;
    struct place_at p = locate(r, l->tile, l->id, &l->index, false);
    if (p.plain && !l->nguard && p.dtype != DT_BOOL && (p.step == 0 || p.step == 1) &&
        !r->check && !l->pick.from && p.at >= 0 &&
        p.at + p.step * (r->lanes - 1) < p.elems) {
        r->arg[i] = p.base + p.at * (int64_t)eval_bytes(p.dtype, f64);
        r->arg_step[i] = (int32_t)p.step;
        return;
    }
    uint8_t *lanes = r->lane + (size_t)i * LANE_BYTES;
    for (uint32_t k = 0; k < r->lanes; k++) {
        double v = 0;
        const int64_t more = picked(r, &l->pick, k);
        if (more >= 0 && !lane_guarded(r, l, k)) {
            int64_t at = lane_at(r, &p, &l->index, k) + more;
            if (r->check)
                check_read(r, &p, at);
            if (at >= 0 && at < (r->check ? p.size : p.elems))
                v = eval_get(p.base, p.dtype, f64, at);
        }
        put_lane(lanes, p.dtype, f64, k, v);
    }
    r->arg[i] = lanes;
    r->arg_step[i] = 1;
}

static uint32_t word(void *cx, uint32_t site, int32_t element, uint32_t lane)
{
    struct run *r = cx;
    const struct nrng *g = &r->s->n->rng[site];
    if (r->vec >= 0)
        r->axis[r->vec] = lane;
    int64_t sample = value_of(r, &g->sample);
    if (r->vec >= 0)
        r->axis[r->vec] = 0;
    return eval_word(r->args->scalar + g->scalar, r->args->seed, sample, element);
}

static double result_lane(const void *out, uint8_t type, bool f64, uint32_t i)
{
    if (type == SX_FLOAT)
        return f64 ? ((const double *)out)[i] : (double)((const float *)out)[i];
    return type == SX_I32 ? ((const int32_t *)out)[i] : (double)((const uint32_t *)out)[i];
}

static void store_lanes(struct run *r, const struct inode *d, const struct place_at *p,
                        const void *out)
{
    size_t width = eval_bytes(p->dtype, r->s->f64);
    if (p->plain && p->step == 1 && p->dtype == DT_F32 && d->type == SX_FLOAT &&
        !r->check) {
        memcpy(p->base + (p->at + p->more) * (int64_t)width, out, r->lanes * width);
        return;
    }
    for (uint32_t k = 0; k < r->lanes; k++) {
        int64_t at = lane_at(r, p, &d->st->index, k) + p->more;
        if (r->check) {
            check_write(r, p, at);
            if (at < 0 || at >= p->size)
                continue;
        }
        eval_put(p->base, p->dtype, r->s->f64, at, result_lane(out, d->type, r->s->f64, k));
    }
}

static void watch_lanes(const struct run *r, const struct inode *d, const void *out)
{
    for (uint32_t k = 0; k < r->lanes; k++) {
        const double v = result_lane(out, d->type, r->s->f64, k);
        r->args->watch[0] |= v - v != 0;
    }
}

static void statement(struct run *r, const struct inode *d)
{
    const struct stmt *st = d->st;
    for (uint32_t i = 0; i < st->nload; i++)
        load_one(r, &st->load[i], i);
    const int64_t more = picked(r, &st->pick, 0);
    if (more < 0)
        return;
    if (d->self) {
        struct nload self = {
            .tile = st->dst_tile, .id = st->dst, .index = st->index, .pick = st->pick};
        load_one(r, &self, st->nload);
    }
    struct sx_block env = {.arg = r->arg,
                           .arg_step = r->arg_step,
                           .scalar = r->scalar,
                           .axis = r->axis,
                           .axis_step = r->axis_step,
                           .rng = word,
                           .cx = r};
    void *out = r->lane + (size_t)(r->s->max_load + 1) * LANE_BYTES;
    sx_prog_run_block(d->prog, &env, r->lanes, r->prog + d->scratch, &out);
    struct place_at p = locate(r, st->dst_tile, st->dst, &st->index, true);
    p.more = more;
    store_lanes(r, d, &p, out);
    if (!st->dst_tile && r->s->n->buf[st->dst].watched)
        watch_lanes(r, d, out);
}

static void make_tile(struct run *r, const struct stmt *st)
{
    const struct interp_stage *s = r->s;
    uint8_t dtype = s->n->tile[st->tile].dtype, *p = r->tile + s->tile_at[st->tile];
    int64_t n = s->tile_elems[st->tile];
    if (st->has_init)
        for (int64_t i = 0; i < n; i++)
            eval_put(p, dtype, s->f64, i, st->init);
    memset(p + (size_t)n * eval_bytes(dtype, s->f64), st->has_init, (size_t)n);
}

static void run_body(struct run *r, const struct inode *d);

static void run_node(struct run *r, const struct inode *d)
{
    if (d->st->op == S_FOR)
        run_body(r, d);
    else if (d->st->op == S_TILE)
        make_tile(r, d->st);
    else if (d->st->op != S_FETCH)
        statement(r, d);
}

static bool allowed(const struct run *r, const struct stmt *f)
{
    return guards_hold(f->guard, f->nguard, r->axis, r->args->batch, r->args->scalar);
}

static void run_vec(struct run *r, const struct inode *d)
{
    const struct stmt *f = d->st;
    r->vec = f->axis;
    r->lanes = (uint32_t)value_of(r, &f->hi);
    r->axis[f->axis] = 0;
    r->axis_step[f->axis] = 1;
    if (allowed(r, f))
        for (uint32_t i = 0; i < d->nbody; i++)
            run_node(r, &d->body[i]);
    r->axis_step[f->axis] = 0;
    r->vec = -1;
    r->lanes = 1;
}

/* A for; the bound is clipped before, a grid gets its range from the caller. */
static void run_range(struct run *r, const struct inode *d, int64_t lo, int64_t hi)
{
    const struct stmt *f = d->st;
    for (int64_t i = lo; i < hi; i += f->step) {
        r->axis[f->axis] = i;
        if (!allowed(r, f))
            continue;
        for (uint32_t k = 0; k < d->nbody; k++)
            run_node(r, &d->body[k]);
    }
}

static void run_body(struct run *r, const struct inode *d)
{
    const struct stmt *f = d->st;
    if (f->kind == FOR_VEC) {
        run_vec(r, d);
        return;
    }
    int64_t hi = value_of(r, &f->hi);
    if (f->bound.c || f->bound.b) {
        int64_t b = ext_at(f->bound, r->args->batch),
                div = f->bound_div > 1 ? f->bound_div : 1;
        b = b <= 0 ? 0 : (b + div - 1) / div;
        hi = b < hi ? b : hi;
    }
    run_range(r, d, value_of(r, &f->lo), hi);
}

/* ---- workspaces ---- */

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_key(void)
{
    if (pthread_key_create(&key, free) != 0)
        abort();
}

/* This thread's; not through hyp_malloc, because a stage cannot fail. */
static uint8_t *workspace(size_t n)
{
    pthread_once(&once, make_key);
    size_t *w = pthread_getspecific(key);
    if (!w || *w < n) {
        free(w);
        w = malloc(n + 192);
        if (!w || pthread_setspecific(key, w) != 0)
            abort();
        *w = n;
    }
    return (uint8_t *)(((uintptr_t)(w + 1) + 63) & ~(uintptr_t)63);
}

/* Constants go into their lanes once a call. */
static void prepare_programs(struct run *r, const struct inode *d)
{
    if (d->prog)
        sx_prog_prepare(d->prog, r->prog + d->scratch);
    for (uint32_t i = 0; i < d->nbody; i++)
        prepare_programs(r, &d->body[i]);
}

void interp_stage_fn(const struct hyp_kargs *args, int64_t lo, int64_t hi, void *scratch)
{
    const struct interp_stage *s = args->self;
    struct run r = {.s = s, .args = args, .vec = -1, .lanes = 1, .check = s->check};
    uint8_t *w = workspace(s->workspace);
    (void)scratch;
    r.prog = w;
    r.tile = r.prog + s->prog_bytes;
    r.lane = r.tile + s->tile_bytes;
    r.scalar = (double *)(void *)(r.lane + (s->max_load + 2U) * LANE_BYTES);
    r.elems = (int64_t *)(void *)(r.scalar + s->n->nscalar + 1);
    r.arg = (const void **)(void *)(r.elems + s->n->nbuf + 1);
    r.arg_step = (int32_t *)(void *)(r.arg + s->max_load + 1);
    for (uint32_t b = 0; b < s->n->nbuf; b++)
        r.elems[b] = elements(&s->n->buf[b], args->batch);
    eval_scalars(&s->sx, args->scalar, s->f64, r.scalar);
    prepare_programs(&r, &s->root);
    if (s->stage->root->op == S_FOR && s->stage->root->kind == FOR_GRID)
        run_range(&r, &s->root, lo, hi);
    else if (lo < hi)
        run_node(&r, &s->root);
}
