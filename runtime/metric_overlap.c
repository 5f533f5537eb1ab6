/*
 * pattern_overlap: do two phases show the same patterns?  (seeds: wake and sleep of a model
 * that dreams what it sees.)
 *
 * The first phase is run twice: once to learn which units vary, once to keep the columns of
 * the units that were drawn (20 draws).  Patterns are counted in a hash table of 64-bit
 * digests; two patterns of one digest among 10^5 have probability 10^-9.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/philox.h"
#include "runtime/plot.h"
#include "runtime/probe.h"

enum { DRAWS = 20, MOST_UNITS = 64 };

/* ---- random numbers ---- */

struct words { /* the words of (site, draw, unit), in order */
    uint64_t seed, site;
    uint32_t draw, unit;
    struct philox block;
};

static uint32_t word(struct words *w, uint32_t i)
{
    const uint32_t counter[4] = {i / 4, w->unit, w->draw, (uint32_t)w->site};
    const uint32_t key[2] = {(uint32_t)w->seed ^ (uint32_t)(w->site >> 32),
                             (uint32_t)(w->seed >> 32)};
    if (i % 4 == 3 || w->block.w[0] == 0)
        w->block = philox4x32(counter, key);
    return w->block.w[i % 4];
}

/* ---- what is compared ---- */

struct overlap {
    struct metric_call *call;
    struct side side[2];
    int64_t limit;
    uint32_t units;                    /* in a pattern */
    uint32_t drawn[DRAWS][MOST_UNITS]; /* columns */
    uint32_t *column_of;               /* by unit: 1 + column */
    uint32_t ncolumn;
    int16_t *column[2]; /* [ncolumn][cap] of each side */
    uint32_t n[2], cap;
    bool floor, shuffled, rate;
    uint64_t seed, site;
    struct draw_result *result; /* by draw */
    struct table *plotted;      /* the first draw's counts are kept for the plot */
    atomic_bool failed;         /* a thread had no memory */
};
struct draw_result {
    struct divergence both, floor, shuffled, rate;
};

static int16_t whole(float v)
{
    const float r = rintf(v);
    return !(r > -32767) ? -32767 : r < 32767 ? (int16_t)r : 32767;
}

/* ---- which units vary ---- */

struct variety {
    int16_t *first;
    uint8_t *varies;
    uint32_t units;
};

static void note_row(void *cx, const float *row, int64_t sample)
{
    struct variety *v = cx;
    for (uint32_t k = 0; k < v->units; k++) {
        const int16_t x = whole(row[k]);
        if (sample == 0)
            v->first[k] = x;
        else if (x != v->first[k])
            v->varies[k] = 1;
    }
}

/* `want` of the units [first, first + n) that vary, at random; returns how many there are.
 */
static uint32_t draw_units(struct overlap *o, const struct variety *v, uint32_t first,
                           uint32_t n, uint32_t draw, uint32_t want, uint32_t *out,
                           uint32_t *room)
{
    struct words w = {.seed = o->seed, .site = o->site, .draw = draw, .unit = first};
    uint32_t m = 0, k = 0;

    for (uint32_t i = first; i < first + n; i++)
        if (v->varies[i])
            room[m++] = i;
    for (; k < want && k < m; k++) {
        const uint32_t j = k + hyp_mulhi(word(&w, 4 * k + 3), m - k);
        const uint32_t swap = room[k];
        room[k] = room[j];
        room[j] = swap;
        out[k] = room[k];
    }
    return k;
}

static void draw_patterns(struct overlap *o, const struct variety *v, uint32_t *room)
{
    const struct side *s = &o->side[0];
    const uint32_t want = (uint32_t)metric_param(o->call->probe, "units", 16);
    const uint32_t units = want < 1 ? 1 : want > MOST_UNITS ? MOST_UNITS : want;

    for (uint32_t d = 0; d < DRAWS; d++) {
        uint32_t n = 0, first = 0;
        for (uint32_t m = 0; m < s->n; m++) {
            const uint32_t share = units / s->n + (m < units % s->n);
            n += draw_units(o, v, first, s->width[m], d, share, o->drawn[d] + n, room);
            first += s->width[m];
        }
        o->units = n; /* the same in every draw */
        for (uint32_t k = 0; k < n; k++) {
            uint32_t *c = &o->column_of[o->drawn[d][k]];
            if (*c == 0)
                *c = ++o->ncolumn;
            o->drawn[d][k] = *c - 1;
        }
    }
}

static enum hyp_status choose(struct overlap *o, struct hyp_error *err)
{
    const uint32_t units = o->side[0].units;
    struct variety v = {hyp_calloc(units, sizeof *v.first), hyp_calloc(units, 1), units};
    uint32_t *room = hyp_calloc(units, sizeof *room);
    enum hyp_status st = HYP_OK;

    o->column_of = hyp_calloc(units, sizeof *o->column_of);
    if (!v.first || !v.varies || !room || !o->column_of)
        st = hyp_fail(err, HYP_ENOMEM, "out of memory for patterns");
    if (st == HYP_OK)
        st = metric_each_row(o->call, &o->side[0], o->limit, note_row, &v, err);
    if (st == HYP_OK)
        draw_patterns(o, &v, room);
    hyp_free(v.first);
    hyp_free(v.varies);
    hyp_free(room);
    return st;
}

/* ---- columns ---- */

struct columns {
    struct overlap *o;
    unsigned side;
};

static void keep_row(void *cx, const float *row, int64_t sample)
{
    const struct columns *c = cx;
    struct overlap *o = c->o;
    if (sample >= o->cap)
        return;
    for (uint32_t k = 0; k < o->side[0].units; k++)
        if (o->column_of[k])
            o->column[c->side][(size_t)(o->column_of[k] - 1) * o->cap + (size_t)sample] =
                whole(row[k]);
    o->n[c->side] = (uint32_t)sample + 1;
}

static enum hyp_status keep_columns(struct overlap *o, struct hyp_error *err)
{
    enum hyp_status st = HYP_OK;

    o->cap = (uint32_t)o->limit;
    for (unsigned i = 0; st == HYP_OK && i < 2; i++) {
        struct columns c = {o, i};
        o->column[i] = hyp_calloc((size_t)o->ncolumn * o->cap + 1, sizeof **o->column);
        st = o->column[i]
                 ? metric_each_row(o->call, &o->side[i], o->limit, keep_row, &c, err)
                 : hyp_fail(err, HYP_ENOMEM, "out of memory for patterns");
    }
    return st;
}

/* ---- counting ---- */

struct cell {
    uint64_t key; /* 0: empty */
    uint32_t count[2];
};
struct table {
    struct cell *cell; /* the patterns seen, dense, in order of first sight */
    uint32_t *at;      /* hash -> 1 + cell */
    uint32_t n, mask;
};

static bool table_init(struct table *t, uint32_t most)
{
    uint32_t size = 1024;
    while (size < 2 * most)
        size *= 2;
    t->cell = hyp_malloc((most + (size_t)1) * sizeof *t->cell);
    t->at = hyp_calloc(size, sizeof *t->at);
    t->mask = size - 1;
    t->n = 0;
    return t->cell && t->at;
}

static void table_fini(struct table *t)
{
    hyp_free(t->cell);
    hyp_free(t->at);
}

static void count_key(struct table *t, uint64_t key, unsigned side)
{
    uint32_t h = (uint32_t)(key >> 32) & t->mask;
    while (t->at[h] && t->cell[t->at[h] - 1].key != key)
        h = (h + 1) & t->mask;
    if (!t->at[h]) {
        t->cell[t->n] = (struct cell){key, {0, 0}};
        t->at[h] = ++t->n;
    }
    t->cell[t->at[h] - 1].count[side]++;
}

/* Samples lo..hi of `units` columns. */
static void count_patterns(struct table *t, const int16_t *const *column, uint32_t units,
                           uint32_t lo, uint32_t hi, unsigned side)
{
    for (uint32_t i = lo; i < hi; i++) {
        uint64_t h = 0x9E3779B97F4A7C15U;
        for (uint32_t k = 0; k < units; k++) {
            h = (h ^ (uint16_t)column[k][i]) * 0xFF51AFD7ED558CCDU;
            h ^= h >> 32;
        }
        count_key(t, h | 1, side);
    }
}

static struct divergence compare(struct table *t, double na, double nb)
{
    if (t->n == 0)
        return (struct divergence){NAN, NAN, NAN};
    return divergence_of(&t->cell[0].count[0], &t->cell[0].count[1],
                         sizeof *t->cell / sizeof(uint32_t), t->n, na, nb);
}

static void table_clear(struct table *t)
{
    memset(t->at, 0, (t->mask + (size_t)1) * sizeof *t->at);
    t->n = 0;
}

/* ---- controls ---- */

struct workspace { /* of one thread */
    struct table table;
    int16_t *copy;   /* [units][n] */
    uint32_t *group; /* samples sorted by how many units are not 0 */
    uint32_t *active;
};

static void permute(int16_t *v, const uint32_t *at, uint32_t n, struct words *w)
{
    for (uint32_t i = n; i-- > 1;) {
        const uint32_t j = hyp_mulhi(word(w, i), i + 1);
        const uint32_t a = at ? at[i] : i, b = at ? at[j] : j;
        const int16_t swap = v[a];
        v[a] = v[b];
        v[b] = swap;
    }
}

/* Samples by the number of units other than 0; bounds[g] .. bounds[g + 1] have g. */
static void sort_by_rate(const struct overlap *o, const int16_t *const *column,
                         struct workspace *w, uint32_t bounds[MOST_UNITS + 2])
{
    const uint32_t n = o->n[0];
    uint32_t at[MOST_UNITS + 2];

    memset(bounds, 0, (MOST_UNITS + 2) * sizeof *bounds);
    for (uint32_t i = 0; i < n; i++) {
        w->active[i] = 0;
        for (uint32_t k = 0; k < o->units; k++)
            w->active[i] += column[k][i] != 0;
        bounds[w->active[i] + 1]++;
    }
    for (uint32_t g = 0; g <= MOST_UNITS; g++)
        bounds[g + 1] += bounds[g];
    memcpy(at, bounds, sizeof at);
    for (uint32_t i = 0; i < n; i++)
        w->group[at[w->active[i]]++] = i;
}

/* The first side against itself with its units permuted alone (within samples of one rate).
 */
static struct divergence against_permuted(const struct overlap *o,
                                          const int16_t *const *column, uint32_t draw,
                                          bool by_rate, struct workspace *w)
{
    const uint32_t n = o->n[0];
    const int16_t *copy[MOST_UNITS];
    uint32_t bounds[MOST_UNITS + 2];

    if (by_rate)
        sort_by_rate(o, column, w, bounds);
    for (uint32_t k = 0; k < o->units; k++) {
        int16_t *v = w->copy + (size_t)k * n;
        struct words r = {
            .seed = o->seed, .site = o->site + 1 + by_rate, .draw = draw, .unit = k};
        memcpy(v, column[k], n * sizeof *v);
        copy[k] = v;
        if (!by_rate)
            permute(v, NULL, n, &r);
        for (uint32_t g = 0; by_rate && g <= o->units; g++) {
            r.unit = k + MOST_UNITS * g;
            r.block = (struct philox){{0}};
            permute(v, w->group + bounds[g], bounds[g + 1] - bounds[g], &r);
        }
    }
    table_clear(&w->table);
    count_patterns(&w->table, column, o->units, 0, n, 0);
    count_patterns(&w->table, copy, o->units, 0, n, 1);
    return compare(&w->table, n, n);
}

static void one_draw(struct overlap *o, uint32_t d, struct workspace *w)
{
    const int16_t *column[2][MOST_UNITS];
    const uint32_t n = o->n[0], half = n / 2;
    struct draw_result *out = &o->result[d];

    for (unsigned s = 0; s < 2; s++)
        for (uint32_t k = 0; k < o->units; k++)
            column[s][k] = o->column[s] + (size_t)o->drawn[d][k] * o->cap;
    if (o->floor) {
        table_clear(&w->table);
        count_patterns(&w->table, column[0], o->units, 0, half, 0);
        count_patterns(&w->table, column[0], o->units, half, n, 1);
        out->floor = compare(&w->table, half, n - half);
    }
    if (o->shuffled)
        out->shuffled = against_permuted(o, column[0], d, false, w);
    if (o->rate)
        out->rate = against_permuted(o, column[0], d, true, w);
    table_clear(&w->table);
    count_patterns(&w->table, column[0], o->units, 0, n, 0);
    count_patterns(&w->table, column[1], o->units, 0, o->n[1], 1);
    out->both = compare(&w->table, n, o->n[1]);
    if (d == 0 && o->plotted) {
        *o->plotted = w->table;
        w->table = (struct table){0};
        if (!table_init(&w->table, o->n[0] + o->n[1]))
            o->failed = true;
    }
}

static void draws_of_thread(void *cx, unsigned thread)
{
    struct overlap *o = cx;
    const unsigned threads = pool_threads(o->call->run->pool);
    const uint32_t most = o->n[0] > o->n[1] ? o->n[0] : o->n[1];
    struct workspace w = {{0}, NULL, NULL, NULL};

    if (thread >= DRAWS)
        return;
    w.copy = hyp_malloc(((size_t)o->n[0] * o->units + 1) * sizeof *w.copy);
    w.group = hyp_malloc((o->n[0] + (size_t)1) * sizeof *w.group);
    w.active = hyp_malloc((o->n[0] + (size_t)1) * sizeof *w.active);
    bool ok = table_init(&w.table, 2 * most) && w.copy && w.group && w.active;
    for (uint32_t d = thread; ok && d < DRAWS; d += threads) {
        one_draw(o, d, &w);
        ok = w.table.cell && w.table.at;
    }
    if (!ok)
        o->failed = true;
    table_fini(&w.table);
    hyp_free(w.copy);
    hyp_free(w.group);
    hyp_free(w.active);
}

/* ---- the metric ---- */

static void overlap_fini(struct overlap *o)
{
    hyp_free(o->column_of);
    hyp_free(o->column[0]);
    hyp_free(o->column[1]);
    hyp_free(o->result);
}

static enum hyp_status measure(struct overlap *o, struct hyp_error *err)
{
    enum hyp_status st = choose(o, err);

    if (st == HYP_OK)
        st = keep_columns(o, err);
    if (st == HYP_OK) {
        o->result = hyp_calloc(DRAWS, sizeof *o->result);
        st = o->result ? HYP_OK : hyp_fail(err, HYP_ENOMEM, "out of memory for patterns");
    }
    if (st != HYP_OK)
        return st;
    pool_run(o->call->run->pool, draws_of_thread, o);
    return o->failed ? hyp_fail(err, HYP_ENOMEM, "out of memory for patterns") : HYP_OK;
}

static struct draw_result mean_result(const struct overlap *o)
{
    struct draw_result m;
    memset(&m, 0, sizeof m);
    for (uint32_t d = 0; d < DRAWS; d++) {
        m.both.kl += o->result[d].both.kl / DRAWS;
        m.both.js += o->result[d].both.js / DRAWS;
        m.both.shared += o->result[d].both.shared / DRAWS;
        m.floor.kl += o->result[d].floor.kl / DRAWS;
        m.shuffled.kl += o->result[d].shuffled.kl / DRAWS;
        m.rate.kl += o->result[d].rate.kl / DRAWS;
    }
    return m;
}

/* With the initial weights, made again in the copy. */
static enum hyp_status measure_untrained(const struct overlap *trained,
                                         struct hyp_error *err)
{
    struct run_probe *own = trained->call->own;
    struct run *r = trained->call->run;
    struct overlap o = {.call = trained->call,
                        .limit = trained->limit,
                        .seed = trained->seed,
                        .site = trained->site};

    if (own->have_untrained)
        return HYP_OK;
    memcpy(o.side, trained->side, sizeof o.side);
    enum hyp_status st = exec_init(r->y, err);
    if (st == HYP_OK)
        st = measure(&o, err);
    if (st == HYP_OK) {
        own->untrained = mean_result(&o).both.kl;
        own->have_untrained = true;
    }
    overlap_fini(&o);
    return st;
}

static enum hyp_status plot_patterns(const struct overlap *o, const struct table *t,
                                     struct hyp_error *err)
{
    const struct metric_call *c = o->call;
    char name[200], path[RUNFOLDER_PATH];
    double *xy = hyp_malloc((t->n + (size_t)1) * 2 * sizeof *xy);

    if (!xy)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for a plot");
    for (uint32_t i = 0; i < t->n; i++) {
        xy[i] = (t->cell[i].count[0] + 0.5) / (o->n[0] + 0.5 * t->n);
        xy[t->n + i] = (t->cell[i].count[1] + 0.5) / (o->n[1] + 0.5 * t->n);
    }
    const struct plot_series s = {"patterns", xy, xy + t->n, t->n};
    const struct plot p = {.kind = PLOT_SCATTER,
                           .title = c->probe->name,
                           .x_label = "frequency of a pattern in the first phase",
                           .y_label = "in the second",
                           .log_x = true,
                           .log_y = true,
                           .diagonal = true,
                           .nseries = 1,
                           .series = &s};
    snprintf(name, sizeof name, "plots/%.150s-patterns.svg", c->probe->name);
    runfolder_name(c->run->folder, name, path);
    const enum hyp_status st = plot_write(path, &p, err);
    hyp_free(xy);
    return st;
}

static enum hyp_status set_all(struct overlap *o, struct hyp_error *err)
{
    struct metric_call *c = o->call;
    const struct draw_result m = mean_result(o);

    enum hyp_status st = metric_number(c, NULL, m.both.kl, err);
    if (st == HYP_OK)
        st = metric_number(c, "js", m.both.js, err);
    if (st == HYP_OK)
        st = metric_number(c, "shared", m.both.shared, err);
    if (st == HYP_OK && o->floor)
        st = metric_number(c, "floor", m.floor.kl, err);
    if (st == HYP_OK && o->shuffled)
        st = metric_number(c, "shuffled", m.shuffled.kl, err);
    if (st == HYP_OK && o->rate)
        st = metric_number(c, "rate", m.rate.kl, err);
    if (st == HYP_OK && metric_wants(c->probe, "controls", "untrained")) {
        st = measure_untrained(o, err);
        if (st == HYP_OK)
            st = metric_number(c, "untrained", c->own->untrained, err);
    }
    return st;
}

enum hyp_status metric_pattern_overlap(struct metric_call *c, struct hyp_error *err)
{
    char site[256];
    struct table plotted = {0};
    struct overlap o = {.call = c,
                        .limit = (int64_t)metric_param(c->probe, "samples", 60000),
                        .floor = metric_wants(c->probe, "controls", "floor"),
                        .shuffled = metric_wants(c->probe, "controls", "shuffled"),
                        .rate = metric_wants(c->probe, "controls", "rate"),
                        .seed = c->run->x->seed};

    if (o.limit < 1 || o.limit > 1 << 26)
        return hyp_fail(err, HYP_EARG, "probe `%s`: from 1 to 2^26 samples",
                        c->probe->name);
    snprintf(site, sizeof site, "probe/%.200s/units", c->probe->name);
    o.site = hyp_site(site);
    o.plotted = c->pictures ? &plotted : NULL;
    enum hyp_status st = metric_sides(c, o.side, err);
    if (st == HYP_OK)
        st = measure(&o, err);
    if (st == HYP_OK && plotted.cell)
        st = plot_patterns(&o, &plotted, err);
    if (st == HYP_OK)
        st = set_all(&o, err);
    table_fini(&plotted);
    overlap_fini(&o);
    return st;
}
