/* Learning curves, drawn from what metrics.csv holds (so that a resumed run's are whole).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "runtime/plot.h"
#include "runtime/runfolder.h"

#define METRICS_LIMIT ((size_t)1 << 30)

struct curve {
    const char *name;
    size_t nname;
    double *x, *y, *epoch;
    uint32_t n, cx, cy, ce;
};
struct curves {
    struct arena *a;
    struct curve *curve;
    uint32_t n, cap, last;
};

/* Lines of one event come in the same order as last time: look there first. */
static struct curve *curve_of(struct curves *c, const char *name, size_t n)
{
    for (uint32_t i = 0; i < c->n; i++) {
        struct curve *k = &c->curve[(c->last + 1 + i) % c->n];
        if (k->nname == n && memcmp(k->name, name, n) == 0) {
            c->last = (uint32_t)(k - c->curve);
            return k;
        }
    }
    c->curve = arena_grow(c->a, c->curve, &c->cap, c->n + 1, sizeof *c->curve);
    c->last = c->n;
    c->curve[c->n] = (struct curve){.name = arena_strn(c->a, name, n), .nname = n};
    return &c->curve[c->n++];
}

static void read_line(struct curves *c, char *line)
{
    char *end, *name, *close;
    const double x = strtod(line, &end);

    if (*end != ',')
        return;
    const double epoch = strtod(end + 1, &end);
    if (*end != ',')
        return;
    name = end + 1;
    if (*name == '"') {
        name++;
        close = strchr(name, '"');
        end = close ? close + 1 : NULL;
    } else {
        close = end = strchr(name, ',');
    }
    if (!end || *end != ',')
        return;
    struct curve *k = curve_of(c, name, (size_t)(close - name));
    k->x = arena_grow(c->a, k->x, &k->cx, k->n + 1, sizeof *k->x);
    k->y = arena_grow(c->a, k->y, &k->cy, k->n + 1, sizeof *k->y);
    k->epoch = arena_grow(c->a, k->epoch, &k->ce, k->n + 1, sizeof *k->epoch);
    k->x[k->n] = x;
    k->epoch[k->n] = epoch;
    k->y[k->n++] = strtod(end + 1, NULL);
}

static void read_curves(struct curves *c, char *text)
{
    char *line = strchr(text, '\n'); /* behind the header */
    while (line && line[1]) {
        char *end = strchr(line + 1, '\n');
        if (!end)
            break;
        *end = '\0';
        read_line(c, line + 1);
        *end = '\n';
        line = end;
    }
}

static bool belongs(const struct curve *k, const char *group)
{
    const size_t n = strlen(group);
    return strncmp(k->name, group, n) == 0 &&
           (k->name[n] == '\0' || k->name[n] == '.' || k->name[n] == '[');
}

/* Index of the group a curve is in; ngroup: a loss. */
static uint32_t group_of(const struct curve *k, const struct plot_group *group,
                         uint32_t ngroup)
{
    for (uint32_t i = 0; i < ngroup; i++)
        if (belongs(k, group[i].name))
            return i;
    return ngroup;
}

static enum hyp_status write(const struct runfolder *f, const char *title, struct plot *p,
                             struct hyp_error *err)
{
    char path[RUNFOLDER_PATH], name[200];

    if (p->nseries == 0)
        return HYP_OK;
    snprintf(name, sizeof name, "plots/%.180s.svg", title);
    runfolder_name(f, name, path);
    p->kind = PLOT_LINES;
    p->title = title;
    return plot_write(path, p, err);
}

/* ---- over cycles ---- */

/* A probe may be called `losses`, too. */
static const char *name_of_losses(const struct plot_group *group, uint32_t ngroup)
{
    for (uint32_t i = 0; i < ngroup; i++)
        if (strcmp(group[i].name, "losses") == 0)
            return "phase-losses";
    return "losses";
}

/* NAME[k] is called as its item of the list, if that is short enough for a legend. */
static const char *label_of(const struct curve *k, const struct plot_group *g)
{
    enum { LONGEST = 40 };
    const size_t n = strlen(g->name);
    char *end;

    if (!g->nitem || k->name[n] != '[')
        return k->name;
    const unsigned long i = strtoul(k->name + n + 1, &end, 10);
    return strcmp(end, "]") == 0 && i < g->nitem && strlen(g->item[i]) <= LONGEST
               ? g->item[i]
               : k->name;
}

static enum hyp_status draw(const struct runfolder *f, const struct curves *c,
                            const struct plot_group *group, uint32_t ngroup, uint32_t g,
                            struct hyp_error *err)
{
    enum { MAX_SERIES = 12 };
    struct plot_series series[MAX_SERIES];
    unsigned n = 0;

    for (uint32_t i = 0; i < c->n && n < MAX_SERIES; i++)
        if (group_of(&c->curve[i], group, ngroup) == g)
            series[n++] = (struct plot_series){
                .name = g < ngroup ? label_of(&c->curve[i], &group[g]) : c->curve[i].name,
                .x = c->curve[i].x,
                .y = c->curve[i].y,
                .n = c->curve[i].n};
    struct plot p = {.x_label = "cycle", .nseries = n, .series = series};
    return write(f, g < ngroup ? group[g].name : name_of_losses(group, ngroup), &p, err);
}

/* ---- over what a probe changes: a curve for each time it was looked at ---- */

/* Point k of the curve: NAME[k]. */
static const struct curve *point_of(const struct curves *c, const struct plot_group *g,
                                    uint32_t k)
{
    char name[256];
    const int n = snprintf(name, sizeof name, "%.200s[%u]", g->name, k);
    for (uint32_t i = 0; i < c->n; i++)
        if (c->curve[i].nname == (size_t)n && !memcmp(c->curve[i].name, name, (size_t)n))
            return &c->curve[i];
    return NULL;
}

/* All times that have the same epoch: then cycles name them. */
static const char *name_of_time(struct curves *c, const struct curve *k, uint32_t i)
{
    bool epochs = true;
    for (uint32_t j = 1; j < k->n; j++)
        epochs = epochs && k->epoch[j] != k->epoch[j - 1];
    return epochs ? arena_fmt(c->a, "epoch %.0f", k->epoch[i])
                  : arena_fmt(c->a, "cycle %.0f", k->x[i]);
}

static enum hyp_status draw_over(const struct runfolder *f, struct curves *c,
                                 const struct plot_group *g, struct hyp_error *err)
{
    enum { MOST = 8 };
    const struct curve *first = point_of(c, g, 0);
    const uint32_t times = first ? first->n : 0, n = times < MOST ? times : MOST;
    struct plot_series series[MOST];

    for (uint32_t s = 0; s < n; s++) { /* the first, the last, and between them evenly */
        const uint32_t at = n > 1 ? (uint32_t)((uint64_t)s * (times - 1) / (n - 1)) : 0;
        double *y = arena_array(c->a, g->n, sizeof *y);
        for (uint32_t k = 0; k < g->n; k++) {
            const struct curve *p = point_of(c, g, k);
            y[k] = p && at < p->n ? p->y[at] : NAN;
        }
        series[s] = (struct plot_series){
            .name = name_of_time(c, first, at), .x = g->at, .y = y, .n = g->n};
    }
    struct plot p = {
        .x_label = g->over, .y_label = g->what, .nseries = n, .series = series};
    return write(f, g->name, &p, err);
}

enum hyp_status runfolder_plots(const struct runfolder *f, const struct plot_group *group,
                                uint32_t ngroup, struct hyp_error *err)
{
    char path[RUNFOLDER_PATH];
    uint8_t *text = NULL;
    size_t n = 0;
    struct curves c = {.a = arena_new()};

    runfolder_name(f, "metrics.csv", path);
    enum hyp_status st = file_read(path, METRICS_LIMIT, &text, &n, err);
    if (st == HYP_OK)
        read_curves(&c, (char *)text);
    for (uint32_t g = 0; st == HYP_OK && g <= ngroup; g++)
        st = g < ngroup && group[g].over ? draw_over(f, &c, &group[g], err)
                                         : draw(f, &c, group, ngroup, g, err);
    hyp_free(text);
    arena_free(c.a);
    return st;
}
