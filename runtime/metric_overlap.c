/*
 * pattern_overlap: do two phases show the same patterns?  (seeds: wake and sleep of a model
 * that dreams what it sees.)
 *
 * Both sides are computed in one pass.  Which units vary, and so which are drawn, is known
 * only at its end; so all units are kept, a byte each while their whole numbers fit one.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/philox.h"
#include "runtime/pattern.h"
#include "runtime/plot.h"
#include "runtime/probe.h"

enum { DRAWS = 20, MOST_UNITS = 64 };

/* ---- what is compared ---- */

/* Whole numbers of all units of one side, [units][cap]. */
struct kept {
    int8_t *narrow; /* as long as all fit, */
    int16_t *wide;  /* then here */
};
struct overlap {
    struct metric_call *call;
    struct side side[2];
    int64_t limit;
    struct kept kept[2];
    uint32_t n[2], cap;
    uint32_t units;                    /* in a pattern */
    uint32_t drawn[DRAWS][MOST_UNITS]; /* units */
    bool floor, shuffled, rate;
    uint64_t seed, site;
    struct draw_result *result;    /* by draw */
    struct pattern_table *plotted; /* the first draw's counts are kept for the plot */
    const struct side_rows *rows;  /* being kept by all threads */
    atomic_bool too_wide;
    atomic_bool failed; /* a thread had no memory */
};
struct draw_result {
    struct divergence both, floor, shuffled, rate;
};

/* ---- keeping ---- */

enum { TILE_UNITS = 16, TILE_ROWS = 64 };

static int16_t whole(float v)
{
    const float r = rintf(v);
    return !(r > -32767) ? -32767 : r < 32767 ? (int16_t)r : 32767;
}

/* Units lo .. hi of samples from .. to, unit by unit. */
static void keep_tile(struct overlap *o, uint32_t lo, uint32_t hi, int64_t from, int64_t to)
{
    const struct side_rows *r = o->rows;
    struct kept *k = &o->kept[r->side];
    bool fits = true;

    for (uint32_t u = lo; u < hi; u++) {
        const size_t at = (size_t)(r->unit + u) * o->cap + (size_t)r->first;
        for (int64_t i = from; i < to; i++) {
            const int16_t x = whole(r->v[i * r->width + u]);
            if (k->wide)
                k->wide[at + (size_t)i] = x;
            else
                k->narrow[at + (size_t)i] = (int8_t)x;
            fits = fits && x >= INT8_MIN && x <= INT8_MAX;
        }
    }
    if (!fits && !k->wide)
        o->too_wide = true;
}

static void keep_share(void *cx, unsigned thread)
{
    struct overlap *o = cx;
    const struct side_rows *r = o->rows;
    const uint32_t threads = pool_threads(o->call->run->pool);
    const uint32_t tiles = (r->width + TILE_UNITS - 1) / TILE_UNITS;

    for (uint32_t t = thread; t < tiles; t += threads) {
        const uint32_t lo = t * TILE_UNITS;
        const uint32_t hi = lo + TILE_UNITS < r->width ? lo + TILE_UNITS : r->width;
        for (int64_t i = 0; i < r->n; i += TILE_ROWS)
            keep_tile(o, lo, hi, i, i + TILE_ROWS < r->n ? i + TILE_ROWS : r->n);
    }
}

static void widen(struct overlap *o, struct kept *k)
{
    const size_t n = (size_t)o->side[0].units * o->cap;
    k->wide = hyp_malloc((n + 1) * sizeof *k->wide);
    for (size_t i = 0; k->wide && i < n; i++)
        k->wide[i] = k->narrow[i];
    hyp_free(k->narrow);
    k->narrow = NULL;
}

static void keep_rows(void *cx, const struct side_rows *r)
{
    struct overlap *o = cx;
    struct kept *k = &o->kept[r->side];

    if (o->failed)
        return;
    o->rows = r;
    o->too_wide = false;
    pool_run(o->call->run->pool, keep_share, o);
    if (o->too_wide) {
        widen(o, k);
        if (k->wide)
            pool_run(o->call->run->pool, keep_share, o);
        else
            o->failed = true;
    }
    o->n[r->side] = (uint32_t)(r->first + r->n);
}

static enum hyp_status no_memory(struct hyp_error *err)
{
    return hyp_fail(err, HYP_ENOMEM, "out of memory for patterns");
}

static enum hyp_status keep(struct overlap *o, struct hyp_error *err)
{
    o->cap = (uint32_t)o->limit;
    for (unsigned s = 0; s < 2; s++) {
        o->kept[s].narrow = hyp_calloc((size_t)o->side[0].units * o->cap + 1, 1);
        if (!o->kept[s].narrow)
            return no_memory(err);
    }
    const enum hyp_status st =
        metric_each_rows(o->call, o->side, o->limit, keep_rows, o, err);
    return st == HYP_OK && o->failed ? no_memory(err) : st;
}

static void take_column(const struct overlap *o, unsigned side, uint32_t unit, int16_t *out)
{
    const struct kept *k = &o->kept[side];
    const size_t at = (size_t)unit * o->cap;

    if (k->wide)
        memcpy(out, k->wide + at, o->n[side] * sizeof *out);
    for (uint32_t i = 0; k->narrow && i < o->n[side]; i++)
        out[i] = k->narrow[at + i];
}

/* ---- drawing units ---- */

static bool varies(const struct overlap *o, uint32_t unit)
{
    const struct kept *k = &o->kept[0];
    const size_t at = (size_t)unit * o->cap, n = o->n[0];

    return n > 1 && (k->wide ? memcmp(k->wide + at, k->wide + at + 1, (n - 1) * 2) != 0
                             : memcmp(k->narrow + at, k->narrow + at + 1, n - 1) != 0);
}

/* `want` of the units first .. first + n - 1 that vary, at random; how many there are. */
static uint32_t draw_units(const struct overlap *o, const bool *vary, uint32_t first,
                           uint32_t n, uint32_t draw, uint32_t want, uint32_t *out,
                           uint32_t *room)
{
    struct words w = {.seed = o->seed, .site = o->site, .draw = draw, .unit = first};
    uint32_t m = 0, k = 0;

    for (uint32_t i = first; i < first + n; i++)
        if (vary[i])
            room[m++] = i;
    for (; k < want && k < m; k++) {
        const uint32_t j = k + hyp_mulhi(metric_word(&w, 4 * k + 3), m - k);
        const uint32_t swap = room[k];
        room[k] = room[j];
        room[j] = swap;
        out[k] = room[k];
    }
    return k;
}

static enum hyp_status draw_patterns(struct overlap *o, struct hyp_error *err)
{
    const struct side *s = &o->side[0];
    const uint32_t want = (uint32_t)metric_param(o->call->probe, "units", 16);
    const uint32_t units = want < 1 ? 1 : want > MOST_UNITS ? MOST_UNITS : want;
    uint32_t *room = hyp_calloc(s->units, sizeof *room);
    bool *vary = hyp_calloc(s->units, sizeof *vary);

    for (uint32_t i = 0; vary && i < s->units; i++)
        vary[i] = varies(o, i);
    for (uint32_t d = 0; room && vary && d < DRAWS; d++) {
        uint32_t n = 0, first = 0;
        for (uint32_t m = 0; m < s->n; first += s->width[m++]) {
            const uint32_t share = units / s->n + (m < units % s->n);
            n += draw_units(o, vary, first, s->width[m], d, share, o->drawn[d] + n, room);
        }
        o->units = n; /* the same in every draw */
    }
    const bool ok = room && vary;
    hyp_free(room);
    hyp_free(vary);
    return ok ? HYP_OK : no_memory(err);
}

/* ---- controls ---- */

struct workspace { /* of one thread; samples of the larger side */
    struct pattern_table table;
    int16_t *wake, *other; /* [units][cap] */
    uint64_t *key;
    uint32_t *group; /* samples sorted by how many units are not 0 */
    uint32_t *active;
};

static void permute(int16_t *v, const uint32_t *at, uint32_t n, struct words *w)
{
    for (uint32_t i = n; i-- > 1;) {
        const uint32_t j = hyp_mulhi(metric_word(w, i), i + 1);
        const uint32_t a = at ? at[i] : i, b = at ? at[j] : j;
        const int16_t swap = v[a];
        v[a] = v[b];
        v[b] = swap;
    }
}

/* Samples by the number of units other than 0; bounds[g] .. bounds[g + 1] have g. */
static void sort_by_rate(const struct overlap *o, struct workspace *w,
                         uint32_t bounds[MOST_UNITS + 2])
{
    const uint32_t n = o->n[0];
    uint32_t at[MOST_UNITS + 2];

    memset(bounds, 0, (MOST_UNITS + 2) * sizeof *bounds);
    memset(w->active, 0, n * sizeof *w->active);
    for (uint32_t k = 0; k < o->units; k++)
        for (uint32_t i = 0; i < n; i++)
            w->active[i] += w->wake[(size_t)k * o->cap + i] != 0;
    for (uint32_t i = 0; i < n; i++)
        bounds[w->active[i] + 1]++;
    for (uint32_t g = 0; g <= MOST_UNITS; g++)
        bounds[g + 1] += bounds[g];
    memcpy(at, bounds, sizeof at);
    for (uint32_t i = 0; i < n; i++)
        w->group[at[w->active[i]]++] = i;
}

/* The first side against itself with its units permuted alone (within samples of one rate).
 */
static struct divergence against_permuted(const struct overlap *o, uint32_t draw,
                                          bool by_rate, struct workspace *w)
{
    const uint32_t n = o->n[0], seen = w->table.n;
    uint32_t bounds[MOST_UNITS + 2];

    if (by_rate)
        sort_by_rate(o, w, bounds);
    for (uint32_t k = 0; k < o->units; k++) {
        int16_t *v = w->other + (size_t)k * o->cap;
        memcpy(v, w->wake + (size_t)k * o->cap, n * sizeof *v);
        for (uint32_t g = 0; g <= (by_rate ? o->units : 0); g++) {
            struct words r = {.seed = o->seed,
                              .site = o->site + 1 + by_rate,
                              .draw = draw,
                              .unit = k + MOST_UNITS * g};
            if (by_rate)
                permute(v, w->group + bounds[g], bounds[g + 1] - bounds[g], &r);
            else
                permute(v, NULL, n, &r);
        }
    }
    pattern_digest(w->other, o->units, o->cap, n, w->key);
    pattern_count(&w->table, w->key, n, 1);
    const struct divergence d = pattern_compare(&w->table, n, n);
    pattern_forget(&w->table, seen);
    return d;
}

/* The wake side's counts into the table; its halves against each other on the way. */
static struct divergence count_wake(const struct overlap *o, struct workspace *w)
{
    const uint32_t n = o->n[0], half = n / 2;
    struct pattern_table *t = &w->table;

    pattern_digest(w->wake, o->units, o->cap, n, w->key);
    pattern_count(t, w->key, half, 0);
    pattern_count(t, w->key + half, n - half, 1);
    const struct divergence d =
        o->floor ? pattern_compare(t, half, n - half) : (struct divergence){NAN, NAN, NAN};
    for (uint32_t i = 0; i < t->n; i++) {
        t->cell[i].count[0] += t->cell[i].count[1];
        t->cell[i].count[1] = 0;
    }
    return d;
}

static void one_draw(struct overlap *o, uint32_t d, struct workspace *w)
{
    struct draw_result *out = &o->result[d];

    for (uint32_t k = 0; k < o->units; k++)
        take_column(o, 0, o->drawn[d][k], w->wake + (size_t)k * o->cap);
    pattern_forget(&w->table, 0);
    out->floor = count_wake(o, w);
    if (o->shuffled)
        out->shuffled = against_permuted(o, d, false, w);
    if (o->rate)
        out->rate = against_permuted(o, d, true, w);
    for (uint32_t k = 0; k < o->units; k++)
        take_column(o, 1, o->drawn[d][k], w->other + (size_t)k * o->cap);
    pattern_digest(w->other, o->units, o->cap, o->n[1], w->key);
    pattern_count(&w->table, w->key, o->n[1], 1);
    out->both = pattern_compare(&w->table, o->n[0], o->n[1]);
    if (d == 0 && o->plotted) {
        *o->plotted = w->table;
        w->table = (struct pattern_table){0};
        if (!pattern_init(&w->table, 2 * o->cap))
            o->failed = true;
    }
}

static bool workspace_init(const struct overlap *o, struct workspace *w)
{
    const size_t cap = o->cap;
    *w = (struct workspace){
        .wake = hyp_malloc((cap * o->units + 1) * sizeof *w->wake),
        .other = hyp_malloc((cap * o->units + 1) * sizeof *w->other),
        .key = hyp_malloc((cap + 1) * sizeof *w->key),
        .group = hyp_malloc((cap + 1) * sizeof *w->group),
        .active = hyp_malloc((cap + 1) * sizeof *w->active),
    };
    return pattern_init(&w->table, 2 * o->cap) && w->wake && w->other && w->key &&
           w->group && w->active;
}

static void draws_of_thread(void *cx, unsigned thread)
{
    struct overlap *o = cx;
    const unsigned threads = pool_threads(o->call->run->pool);
    struct workspace w;

    if (thread >= DRAWS)
        return;
    bool ok = workspace_init(o, &w);
    for (uint32_t d = thread; ok && d < DRAWS; d += threads) {
        one_draw(o, d, &w);
        ok = w.table.cell && w.table.slot && w.table.at;
    }
    if (!ok)
        o->failed = true;
    pattern_fini(&w.table);
    hyp_free(w.wake);
    hyp_free(w.other);
    hyp_free(w.key);
    hyp_free(w.group);
    hyp_free(w.active);
}

/* ---- the metric ---- */

static void overlap_fini(struct overlap *o)
{
    for (unsigned s = 0; s < 2; s++) {
        hyp_free(o->kept[s].narrow);
        hyp_free(o->kept[s].wide);
    }
    hyp_free(o->result);
}

static enum hyp_status measure(struct overlap *o, struct hyp_error *err)
{
    enum hyp_status st = keep(o, err);

    if (st == HYP_OK)
        st = draw_patterns(o, err);
    if (st != HYP_OK)
        return st;
    o->result = hyp_calloc(DRAWS, sizeof *o->result);
    if (!o->result)
        return no_memory(err);
    pool_run(o->call->run->pool, draws_of_thread, o);
    return o->failed ? no_memory(err) : HYP_OK;
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

static enum hyp_status plot_patterns(const struct overlap *o, const struct pattern_table *t,
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
    const struct plot_series s = {.name = "patterns", .x = xy, .y = xy + t->n, .n = t->n};
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
    const struct {
        const char *name;
        double value;
        bool wanted;
    } number[] = {{NULL, m.both.kl, true},
                  {"js", m.both.js, true},
                  {"shared", m.both.shared, true},
                  {"floor", m.floor.kl, o->floor},
                  {"shuffled", m.shuffled.kl, o->shuffled},
                  {"rate", m.rate.kl, o->rate}};
    enum hyp_status st = HYP_OK;

    for (unsigned i = 0; st == HYP_OK && i < sizeof number / sizeof *number; i++)
        if (number[i].wanted)
            st = metric_number(c, number[i].name, number[i].value, err);
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
    struct pattern_table plotted = {0};
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
    pattern_fini(&plotted);
    overlap_fini(&o);
    return st;
}
