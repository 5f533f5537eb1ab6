/*
 * What is packed, and how (sched_pack.c does it): where a factor would be read across cache
 * lines again and again, and where it is more than a load.
 */
#include "codegen/loop/sched.h"

enum {
    WORTH_ROWS = 48,
    WORTH_PLACES = 16,
    PAGE = 4096,
    LINE = 64,
    BATCH = 128 /* nominal */
};

/* ---- what a factor reads ---- */

struct reads {
    bool row, col;          /* its value depends on them */
    bool row_near, row_far; /* some load walks rows with stride 1, or another */
    bool col_near, col_far;
};

static void note(bool *near, bool *far, bool *any, const struct index *x, int axis)
{
    bool plain;
    if (axis < 0 || !index_uses(x, (unsigned)axis))
        return;
    struct ext c = index_coef(x, (unsigned)axis, &plain);
    *any = true;
    if (plain && ext_eq(c, ext_const(1)))
        *near = true;
    else
        *far = true;
}

static void read_index(const struct sched *s, const struct index *x, struct reads *r)
{
    note(&r->row_near, &r->row_far, &r->row, x, s->g->row);
    note(&r->col_near, &r->col_far, &r->col, x, s->g->col);
}

static void read_expr(const struct sched *s, const struct kstage *k, sx_id e,
                      struct reads *r);

static void read_operand(const struct sched *s, const struct koperand *p, struct reads *r)
{
    const struct home *h = p->stage ? &s->home[p->id] : NULL;
    /* where a guard fails it reads 0: packed for all rows it would do so for all or none */
    for (unsigned i = 0; i < p->nguard; i++) {
        r->row |= s->g->row >= 0 && index_uses(&p->guard[i].index, (unsigned)s->g->row);
        r->col |= s->g->col >= 0 && index_uses(&p->guard[i].index, (unsigned)s->g->col);
    }
    if (!h)
        read_index(s, &p->index, r);
    else if (h->kind == HOME_BUF)
        read_index(s, &h->index, r);
    else if (h->kind == HOME_NONE)
        read_expr(s, &s->k->stage[p->id], s->k->stage[p->id].value, r);
}

static void read_expr(const struct sched *s, const struct kstage *k, sx_id e,
                      struct reads *r)
{
    const struct sxb *b = &s->k->sx;
    sx_id *order;
    struct arena *a = arena_new();
    uint32_t n = sx_postorder(b, &e, 1, a, &order);
    for (uint32_t i = 0; i < n; i++) {
        const struct sx_node *x = &b->node[order[i]];
        if (x->op == SX_ARG)
            read_operand(s, &k->operand[x->a], r);
        r->row |= x->op == SX_AXIS && (int)x->a == s->g->row;
        r->col |= x->op == SX_AXIS && (int)x->a == s->g->col;
        r->row |=
            x->op == SX_RNG && s->k->rng[x->a].sample_axis == s->g->row && s->g->row >= 0;
        r->col |=
            x->op == SX_RNG && s->k->rng[x->a].sample_axis == s->g->col && s->g->col >= 0;
    }
    arena_free(a);
}

/* One load, nothing computed, nothing guarded? Then its index. */
const struct index *sched_plain_load(const struct sched *s, const struct kstage *k, sx_id e)
{
    const struct sx_node *x = &s->k->sx.node[e];
    if (x->op != SX_ARG)
        return NULL;
    const struct koperand *p = &k->operand[x->a];
    if (!p->stage)
        return p->nguard ? NULL : &p->index;
    return s->home[p->id].kind == HOME_BUF ? &s->home[p->id].index : NULL;
}

/* ---- decisions ---- */

struct ext sched_size_of_k(const struct sched *s, const struct kseg *g)
{
    struct ext n = ext_const(1);
    for (unsigned i = 0; i < g->nred; i++) {
        struct ext e = s->k->axis[g->red[i]];
        if (n.b && e.b)
            return (struct ext){0, 1 << 20};
        n = ext_mul(n, e);
    }
    return n;
}

static bool many(struct ext e, int32_t least)
{
    return e.b || e.c >= least;
}

/*
 * Bytes from one place of the first cache to the next that elements along an axis take: of
 * steps with large powers of two in them they take few, and push each other out.
 */
static int32_t spread(const struct index *x, unsigned axis)
{
    bool plain;
    const struct ext step = index_coef(x, axis, &plain);
    const int64_t bytes = 4 * (int64_t)step.c;
    if (!plain || step.b || !bytes || bytes % LINE)
        return LINE;
    return bytes % PAGE ? (int32_t)(bytes & -bytes) : PAGE;
}

static bool steps_collide(const struct index *x, unsigned axis)
{
    return spread(x, axis) == PAGE;
}

/*
 * From how long a sum on columns that lie side by side are packed: shorter ones read them
 * from the first cache, if that holds so many lines at their step.
 */
static int32_t least_k(const struct sched *s, const struct kstage *k, const struct kseg *g)
{
    int32_t most = LINE;
    for (unsigned w = 0; w < 2 && g->nred; w++) {
        const struct index *x = g->factor[w] ? sched_plain_load(s, k, g->factor[w]) : NULL;
        if (x && index_uses(x, (unsigned)s->g->col)) {
            const int32_t bytes = spread(x, g->red[g->nred - 1]);
            most = bytes > most ? bytes : most;
        }
    }
    if (most == PAGE)
        return 0;
    const int32_t direct = s->t->direct_k, less = direct / (most / LINE),
                  held = s->t->l1 / most;
    return less > held ? less : held < direct ? held : direct;
}

/* What one thread packs, others read from its cache: short sums are better off without. */
bool sched_worth_panels(const struct sched *s, const struct kstage *k, const struct kseg *g)
{
    const struct ext size = sched_size_of_k(s, g);
    const bool known = s->t->batch && s->t->threads > 1;
    const int32_t batch = known ? (int32_t)s->t->batch : BATCH;
    return many(s->k->axis[s->g->row], WORTH_ROWS) &&
           size.c + size.b * batch >= least_k(s, k, g);
}

static enum pack_kind choose_columns(const struct sched *s, const struct kstage *k,
                                     const struct kseg *g, unsigned which, bool ragged)
{
    const struct index *x = sched_plain_load(s, k, g->factor[which]);
    bool plain = false;
    bool near =
        x && ext_eq(index_coef(x, (unsigned)s->g->col, &plain), ext_const(1)) && plain;
    if (s->g->row < 0)
        return PACK_NONE;
    struct ext rows = s->k->axis[s->g->row];
    if (near && !ragged)
        return sched_worth_panels(s, k, g) ? PACK_PANELS : PACK_NONE;
    return many(rows, 8) || ragged ? PACK_PANELS : PACK_NONE;
}

/* Rows side by side, of which every element of k brings a line of its own. */
static bool rows_are_direct(const struct sched *s, const struct index *x, unsigned k)
{
    bool plain;
    const struct ext step = index_coef(x, k, &plain);
    return plain && !step.b && step.c <= s->t->direct_step && !steps_collide(x, k);
}

static enum pack_kind choose_rows(const struct sched *s, const struct kstage *k,
                                  const struct kseg *g, unsigned which,
                                  const struct reads *r)
{
    const struct index *x = sched_plain_load(s, k, g->factor[which]);
    struct ext cols = s->g->col < 0 ? ext_const(1) : s->k->axis[s->g->col];
    bool plain,
        /* each element is used once */
        one = !s->g->nouter && !many(cols, sched_tile_shape(s).nr + 1);
    if (g->nred == 0)
        return PACK_NONE;
    if (x) {
        unsigned last = g->red[g->nred - 1];
        bool along = ext_eq(index_coef(x, last, &plain), ext_const(1)) && plain;
        if (!one && along)
            return steps_collide(x, (unsigned)s->g->row) ? PACK_BLOCKS : PACK_NONE;
        return one || r->row_far || rows_are_direct(s, x, last) ? PACK_NONE : PACK_BLOCKS;
    }
    if (one && sx_cost(&s->k->sx, g->factor[which]) < 4)
        return PACK_NONE;
    return r->row_far ? PACK_ROWS : PACK_BLOCKS;
}

/* Is the factor the same at all points of the outer axes? */
static bool ignores_outer(const struct sched *s, const struct kstage *k, sx_id factor)
{
    uint32_t set = 0;
    if (!sched_factor_axes(s->k, s->gs.inlined, k, factor, &set))
        return false;
    for (unsigned i = 0; i < s->g->nouter; i++)
        if (set >> s->g->outer[i] & 1)
            return false;
    return true;
}

/* With outer axes, columns that make one panel: the unit packs it for its rows. */
static bool panel_of_unit(const struct sched *s, const struct kseg *g)
{
    const struct ext k = sched_size_of_k(s, g), n = s->k->axis[s->g->col];
    return s->g->row >= 0 && s->k->axis[s->g->row].b && !n.b && n.c <= s->pack_nr && !k.b &&
           (int64_t)k.c * s->pack_nr * 4 <= s->t->l1;
}

static void choose(struct sched *s, const struct item *it, uint32_t seg, bool ragged)
{
    const struct kstage *k = &s->k->stage[it->stage];
    const struct kseg *g = &k->seg[seg];
    for (unsigned w = 0; w < 2; w++) {
        struct reads r = {0};
        struct pack *p = &s->packs[(it->stage * 8U + seg) * 2 + w];
        if (!g->factor[w])
            continue;
        read_expr(s, k, g->factor[w], &r);
        if (s->g->nouter &&
            (r.col ? !panel_of_unit(s, g) : !ignores_outer(s, k, g->factor[w])))
            continue;
        if (r.col && !r.row)
            p->kind = (uint8_t)choose_columns(s, k, g, w, ragged);
        else if (r.row && !r.col)
            p->kind = (uint8_t)choose_rows(s, k, g, w, &r);
        p->depends_on_col = r.col;
    }
}

/* A last panel that is not full needs every column factor packed, with zeros to its end. */
static bool columns_are_ragged(const struct sched *s)
{
    if (s->g->col < 0 || s->g->row < 0 || s->g->nouter || s->k->axis[s->g->col].b)
        return false;
    return s->k->axis[s->g->col].c % sched_tile_shape(s).nr != 0;
}

/* Places of an image, of which each uses the whole of the rows' factor. */
static int64_t window_places(const struct sched *s)
{
    int64_t n = 1;
    const struct group *g = s->g;
    for (unsigned i = 0; i < g->nbox + g->nouter; i++) {
        const struct ext e = s->k->axis[i < g->nbox ? g->box[i] : g->outer[i - g->nbox]];
        n *= e.b ? 1 : e.c;
    }
    for (unsigned i = 0; i < g->nplace; i++)
        n *= s->k->axis[g->place[i]].c;
    return n;
}

/* The group's outer axes, places and phase that the factor walks; false: one of them is the
 * batch, or they are too many. */
static bool find_shared(const struct sched *s, const struct kstage *k,
                        const struct kseg *seg, sx_id factor, struct pack *p)
{
    const struct group *g = s->g;
    uint32_t set = 0;
    if (!sched_factor_axes(s->k, s->gs.inlined, k, factor, &set))
        return false;
    const unsigned naxis = g->nouter + (g->border ? g->nplace : g->phase ? 1U : 0U);
    for (unsigned i = 0; i < naxis; i++) {
        const uint8_t axis = i < g->nouter ? g->outer[i]
                             : g->border   ? g->place[i - g->nouter]
                                           : (uint8_t)(g->phase - 1);
        if (!(set >> axis & 1))
            continue;
        if (s->k->axis[axis].b)
            return false;
        p->shared[p->nshared++] = axis;
    }
    return p->nshared + seg->nred + 2U <= HYP_RANK;
}

/* Is it a map that is computed where it is read? */
static bool is_computed(const struct sched *s, const struct kstage *k, sx_id e)
{
    const struct sx_node *x = &s->k->sx.node[e];
    if (x->op != SX_ARG)
        return true;
    const struct koperand *p = &k->operand[x->a];
    return p->stage && s->home[p->id].kind == HOME_NONE;
}

/*
 * The rows' factor of a convolution: in blocks.  Where its rows lie along k they serve as
 * they are, unless they are read again and again: their strides like to be powers of two.
 * What is computed is so once for all panels.
 */
static void choose_window(struct sched *s, const struct item *it, uint32_t seg)
{
    const struct kstage *k = &s->k->stage[it->stage];
    const struct kseg *g = &k->seg[seg];
    const unsigned w = 1U - s->g->image[seg];
    const struct index *x = sched_plain_load(s, k, g->factor[w]);
    struct pack *p = &s->packs[(it->stage * 8U + seg) * 2 + w];
    bool plain;
    if (!find_shared(s, k, g, g->factor[w], p))
        return;
    if (!x) {
        p->kind = is_computed(s, k, g->factor[w]) ? PACK_BLOCKS : PACK_NONE;
        return;
    }
    const bool along =
        ext_eq(index_coef(x, g->red[g->nred - 1], &plain), ext_const(1)) && plain;
    if (!along || (!s->k->axis[g->red[0]].b && (window_places(s) >= WORTH_PLACES ||
                                                steps_collide(x, (unsigned)s->g->row))))
        p->kind = PACK_BLOCKS;
}

bool sched_packs(const struct sched *s)
{
    if (s->g->window)
        return true;
    return s->g->nanchor && !s->g->chunked && !s->scalar;
}

bool sched_packs_columns(const struct sched *s)
{
    if (!sched_packs(s) || s->g->nouter)
        return false;
    EACH_ITEM(s, i, it)
    {
        for (uint32_t g = 0; it->role == ROLE_ANCHOR && g < s->k->stage[it->stage].nseg;
             g++)
            for (unsigned w = 0; w < 2; w++) {
                const struct pack *p = &s->packs[(it->stage * 8U + g) * 2 + w];
                if (p->depends_on_col && p->kind != PACK_PANELS)
                    return false;
            }
    }
    return true;
}

/*
 * A sum in chunks packs nothing, but what is more than a load is computed once for all
 * columns of a block of rows.
 */
static void choose_chunk(struct sched *s, const struct item *it)
{
    const struct kstage *k = &s->k->stage[it->stage];
    const struct kseg *g = &k->seg[it->seg];
    const struct group *gr = s->g;
    int64_t size = k->chunk;
    for (unsigned i = 1; i < g->nred; i++)
        size *= s->k->axis[g->red[i]].b ? s->t->l1 : s->k->axis[g->red[i]].c;
    if (gr->row < 0 || gr->col < 0 || gr->nouter || s->k->axis[gr->row].b ||
        !many(s->k->axis[gr->col], 2 * sched_tile_shape(s).nr) ||
        size * s->t->unit_rows * 4 > s->t->l1 / 2)
        return;
    for (unsigned w = 0; w < 2; w++) {
        struct reads r = {0};
        if (!g->factor[w] || sched_plain_load(s, k, g->factor[w]))
            continue;
        read_expr(s, k, g->factor[w], &r);
        if (r.row && !r.col)
            s->packs[(it->stage * 8U + it->seg) * 2 + w].kind = PACK_CHUNK;
    }
}

/* ---- of a group ---- */

/* Tiles of a number of samples may end in smaller ones, which begin anywhere. */
static int32_t rows_of_block(const struct sched *s)
{
    const struct group *g = s->g;
    if (g->row < 0 || s->k->axis[g->row].b)
        return s->t->unit_rows;
    return g->window ? sched_window_rows(s) : sched_tile_shape(s).mr;
}

void sched_choose_packs(struct sched *s)
{
    EACH_ITEM(s, i, it)
    {
        if (it->role == ROLE_ANCHOR && s->g->chunked && !s->g->window && !s->scalar)
            choose_chunk(s, it);
    }
    if (!sched_packs(s))
        return;
    bool ragged = columns_are_ragged(s);
    s->pack_nr = sched_tile_shape(s).nr;
    s->pack_mr = rows_of_block(s);
    EACH_ITEM(s, i, it)
    {
        if (it->role != ROLE_ANCHOR)
            continue;
        const bool part = it->part == PART_PARTIAL;
        const uint32_t end = part ? it->seg + 1U : s->k->stage[it->stage].nseg;
        for (uint32_t x = part ? it->seg : 0; x < end; x++)
            if (s->g->window)
                choose_window(s, it, x);
            else
                choose(s, it, x, ragged);
    }
}

/* A unit of many rows has one panel of packed columns, if that fits half of L2. */
bool sched_is_tall(const struct sched *s)
{
    const struct group *g = s->g;
    int64_t bytes = 0;
    if (!sched_packs(s) || g->window || g->nouter || g->rowsum || g->row < 0 ||
        !s->k->axis[g->row].b || g->col < 0 || s->k->axis[g->col].b)
        return false;
    if (columns_are_ragged(s) && !sched_packs_columns(s)) /* the last ones go one by one */
        return false;
    EACH_ITEM(s, i, it)
    {
        const struct kstage *k = &s->k->stage[it->stage];
        for (uint32_t x = 0; it->role == ROLE_ANCHOR && x < 2 * k->nseg; x++) {
            const struct ext n = sched_size_of_k(s, &k->seg[x / 2]);
            if (s->packs[it->stage * 16U + x].kind != PACK_PANELS)
                continue;
            if (n.b)
                return false;
            bytes += (int64_t)n.c * s->pack_nr * 4;
        }
    }
    return bytes && bytes <= s->t->l2 / 2;
}

/*
 * Panels that each unit packs for itself need no barrier, and do not travel from one
 * processor's cache to another's.  But where a unit does not have all rows, they would be
 * packed again and again.
 */
bool sched_packs_in_units(const struct sched *s)
{
    return s->tall > 1 && s->t->batch <= TALL * s->t->unit_rows;
}
