/*
 * Fetching ahead.
 *
 * What follows a sum reads buffers of its own, as an optimizer reads weights and moments:
 * at a tile's end they would all be waited for.  A row of them is fetched with every few
 * elements of the sum instead, so that they are there when the tile is done.
 *
 * So are a factor's elements that lie far apart along the sum, where they are not packed,
 * panels that the first cache does not hold, which come from the second in no time but not
 * in none, and the rows of a filter's gradient: each is a few lines of every sample.
 *
 * A walk over rows fetches the next row, or what comes in a while, where processors do not.
 */
#include "codegen/loop/sched.h"

enum {
    FETCH_DISTANCE = 1024, /* elements, of what is walked once */
    FETCH_STEP = 16,       /* elements of a sum to a row, at most */
    FETCH_OFTEN = 4,       /* at least */
    FETCH_LEAST = 64,      /* shorter sums fetch nothing */
    FETCH_BUFFERS = 4,     /* at most */
    FETCH_BYTES = 1 << 15, /* smaller buffers stay in the cache */
    FETCH_FAR = 128,       /* elements of a factor that no processor sees a stream in */
    FETCH_PANEL = 8, /* elements of a sum from what is used of a panel to what will be */
    LINE = 64 / 4
};

struct fetched {
    struct nload load[FETCH_BUFFERS]; /* index: over kernel axes */
    unsigned n;
};

/* Is it large, or of a number of samples? */
static bool is_large(const struct kbuf *b)
{
    int64_t n = 4;
    for (unsigned i = 0; i < b->rank; i++) {
        if (b->dim[i].b)
            return true;
        n *= b->dim[i].c;
    }
    return n >= FETCH_BYTES;
}

/* Read at every place of the tile, each row's columns side by side? */
static bool is_worth(const struct sched *s, const struct koperand *p)
{
    bool plain, same;
    const struct group *g = s->g;
    if (p->stage || p->nguard || p->pick.from || p->index.scalar ||
        !is_large(&s->k->buf[p->id]) || !index_uses(&p->index, (unsigned)g->row))
        return false;
    (void)index_coef(&p->index, (unsigned)g->row, &same);
    return same && ext_eq(index_coef(&p->index, (unsigned)g->col, &plain), ext_const(1)) &&
           plain;
}

static void add(struct fetched *f, const struct koperand *p)
{
    for (unsigned i = 0; i < f->n; i++)
        if (f->load[i].id == p->id && index_equal(&f->load[i].index, &p->index))
            return;
    if (f->n < FETCH_BUFFERS)
        f->load[f->n++] = (struct nload){.id = p->id, .index = p->index};
}

static struct fetched find_fetched(const struct sched *s)
{
    struct fetched f = {.n = 0};
    EACH_ITEM(s, i, it)
    {
        const struct kstage *k = &s->k->stage[it->stage];
        for (uint32_t o = 0; it->role == ROLE_POINT && it->pass == 0 && o < k->noperand;
             o++)
            if (is_worth(s, &k->operand[o]))
                add(&f, &k->operand[o]);
    }
    return f;
}

/* Row `number` of the tile of `mr` rows from `row` on. */
static void fetch_row(struct sched *s, const struct fetched *f, struct index number,
                      struct index row, struct index base, int32_t mr, int32_t width)
{
    struct stmt *if_row = nb_for(s, FOR_SEQ, index_const(0), index_const(1), 1);
    nb_guard(s, if_row, number, ext_const(mr));
    s->at[s->g->row] = index_sum(row, number);
    s->at[s->g->col] = base;
    for (unsigned i = 0; i < f->n; i++)
        for (int32_t at = 0; at < width; at += LINE) {
            struct stmt *st = nb_stmt(s, S_FETCH);
            st->dst = f->load[i].id;
            st->index = index_offset(sched_index(s, &f->load[i].index), at);
        }
    nb_close(s);
}

void sched_fetch_row(struct sched *s, struct index number, struct index row,
                     struct index base, int32_t mr, int32_t width)
{
    const struct fetched f = find_fetched(s);
    if (f.n)
        fetch_row(s, &f, number, row, base, mr, width);
}

/* All rows of a tile are fetched by the end of its sum. */
static int32_t fetch_step(const struct sched *s, struct ext n, int32_t mr)
{
    const int64_t k = n.b && !s->t->batch ? FETCH_STEP * mr : ext_at(n, s->t->batch);
    const int64_t step = k / mr;
    return step > FETCH_STEP    ? FETCH_STEP
           : step < FETCH_OFTEN ? FETCH_OFTEN
                                : (int32_t)step;
}

unsigned sched_fetching_loop(struct sched *s, uint8_t axis, struct index row,
                             struct index base, int32_t mr, int32_t width)
{
    const struct ext n = s->k->axis[axis];
    if (s->scalar || s->g->chunked || s->g->row < 0 || s->g->col < 0 || width < s->t->vec ||
        mr < 2 || (!n.b && n.c < FETCH_LEAST))
        return 0;
    const struct fetched f = find_fetched(s);
    if (!f.n)
        return 0;
    const int32_t often = fetch_step(s, n, mr);
    struct stmt *step = nb_for(s, FOR_SEQ, index_const(0), (struct index){.off = n}, often);
    struct index number = index_const(0);
    index_term(&number, (struct term){step->axis, often, 0, {1, 0}});
    fetch_row(s, &f, number, row, base, mr, width);
    const struct index first = index_axis(step->axis, 1);
    struct stmt *k = nb_for(s, FOR_SEQ, first, index_offset(first, often), 1);
    k->bound = n;
    s->at[axis] = index_axis(k->axis, 1);
    return 2;
}

/* ---- factors ---- */

void sched_fetch_factor(struct sched *s, const struct kstage *k, sx_id factor, uint8_t red,
                        int32_t width)
{
    const struct index *x = sched_plain_load(s, k, factor);
    const struct index here = s->at[red];
    bool plain = false;
    const struct ext step = x ? index_coef(x, red, &plain) : ext_const(0);
    if (!plain || step.b || step.c < FETCH_FAR)
        return;
    const struct koperand *p = &k->operand[s->k->sx.node[factor].a];
    s->at[red] = index_offset(here, FETCH_STEP);
    for (int32_t at = 0; at < width; at += LINE) {
        struct stmt *st = nb_stmt(s, S_FETCH);
        st->dst = p->stage ? s->home[p->id].id : p->id;
        st->index = index_offset(sched_index(s, x), at);
    }
    s->at[red] = here;
}

void sched_fetch_panel(struct sched *s, const struct item *it, uint32_t seg, unsigned which,
                       const struct tile_point *t, int32_t width)
{
    const struct kseg *g = &s->k->stage[it->stage].seg[seg];
    const struct ext n = sched_size_of_k(s, g);
    const struct index here = s->at[g->red[0]];
    struct tile_point at = *t;
    if (!n.b && (int64_t)n.c * 4 * s->pack_nr <= s->t->l1 / 2)
        return;
    s->at[g->red[0]] = index_offset(here, FETCH_PANEL);
    for (int32_t lane = 0; lane < width; lane += LINE) {
        at.lane = index_const(lane);
        const struct nload l = sched_panel_load(s, it, seg, which, &at);
        struct stmt *st = nb_stmt(s, S_FETCH);
        st->dst_tile = l.tile;
        st->dst = l.id;
        st->index = l.index;
    }
    s->at[g->red[0]] = here;
}

/* Elements of the innermost axes from the `from`th on. */
static int64_t walked(const struct sched *s, const struct kseg *g, unsigned from)
{
    int64_t n = 1;
    for (unsigned i = from; i < g->nred && n <= LINE; i++)
        n *= s->k->axis[g->red[i]].b ? LINE + 1 : s->k->axis[g->red[i]].c;
    return n;
}

unsigned sched_fetching_rows(struct sched *s, const struct kstage *k, const struct kseg *g,
                             unsigned which, struct index row, int32_t mr)
{
    const struct index *x = sched_plain_load(s, k, g->factor[which]);
    const unsigned last = g->nred - 1U;
    bool plain, along;
    unsigned from = 1;
    if (!x || g->nred < 2 || s->scalar)
        return sched_loops(s, g->red + 1, last);
    const struct ext step = index_coef(x, (unsigned)s->g->row, &plain),
                     one = index_coef(x, g->red[last], &along);
    if (!plain || !along || step.b || step.c < LINE || !ext_eq(one, ext_const(1)))
        return sched_loops(s, g->red + 1, last);
    while (walked(s, g, from) > LINE)
        from++;
    const unsigned opened = sched_loops(s, g->red + 1, from - 1);
    const struct koperand *p = &k->operand[s->k->sx.node[g->factor[which]].a];
    for (unsigned i = from; i < g->nred; i++)
        s->at[g->red[i]] = index_const(0);
    for (int32_t i = 0; i < mr; i++) {
        struct stmt *st = nb_stmt(s, S_FETCH);
        s->at[s->g->row] = index_offset(row, mr + i);
        st->dst = p->stage ? s->home[p->id].id : p->id;
        st->index = sched_index(s, x);
    }
    return opened + sched_loops(s, g->red + from, g->nred - from);
}

/* ---- walks over rows ---- */

/* From an element that lies along a row to what is read later; 0: nobody knows. */
static int32_t distance(const struct sched *s, const struct koperand *p)
{
    bool plain;
    const struct group *g = s->g;
    const unsigned lanes = (unsigned)group_lanes(g);
    if (s->fetch == FETCH_NOTHING || p->pick.from || p->nguard)
        return 0;
    if (!ext_eq(index_coef(&p->index, lanes, &plain), ext_const(1)) || !plain)
        return 0;
    if (s->fetch == FETCH_ON)
        return FETCH_DISTANCE;
    if (g->across && s->cols.len) /* the next block of those side by side */
        return s->cols.len;
    const unsigned next = g->across ? g->outer[g->nouter - 1] : (unsigned)g->row;
    const struct ext row = index_coef(&p->index, next, &plain);
    return plain && !row.b ? row.c : 0;
}

static bool is_fetched(const struct stmt *body, uint16_t buf, const struct index *at)
{
    for (uint32_t i = 0; i < body->nbody; i++) {
        const struct stmt *st = body->body[i];
        if (st->op == S_FETCH && st->dst == buf && index_equal(&st->index, at))
            return true;
    }
    return false;
}

/* A line each for whole vectors only. */
void sched_fetch_ahead(struct sched *s, const struct koperand *p, const struct index *here)
{
    const int32_t on = distance(s, p);
    const struct stmt *body = s->open[s->depth - 1].stmt;
    const struct index at = index_offset(*here, on);
    if (!on || body->kind != FOR_VEC || body->hi.off.c < s->t->vec ||
        is_fetched(body, p->id, &at))
        return;
    struct stmt *st = nb_stmt(s, S_FETCH);
    st->dst = p->id;
    st->index = at;
}
