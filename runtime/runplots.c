/* Learning curves, drawn from what metrics.csv holds (so that a resumed run's are whole).
 */
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
    double *x, *y;
    uint32_t n, cx, cy;
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
    (void)strtod(end + 1, &end);
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
    k->x[k->n] = x;
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
static uint32_t group_of(const struct curve *k, const char *const *group, uint32_t ngroup)
{
    for (uint32_t i = 0; i < ngroup; i++)
        if (belongs(k, group[i]))
            return i;
    return ngroup;
}

static enum hyp_status draw(const struct runfolder *f, const struct curves *c,
                            const char *const *group, uint32_t ngroup, uint32_t g,
                            struct hyp_error *err)
{
    enum { MAX_SERIES = 12 };
    struct plot_series series[MAX_SERIES];
    unsigned n = 0;
    char path[RUNFOLDER_PATH], name[200];
    const char *title = g < ngroup ? group[g] : "losses";

    for (uint32_t i = 0; i < c->n && n < MAX_SERIES; i++)
        if (group_of(&c->curve[i], group, ngroup) == g)
            series[n++] = (struct plot_series){c->curve[i].name, c->curve[i].x,
                                               c->curve[i].y, c->curve[i].n};
    if (n == 0)
        return HYP_OK;
    snprintf(name, sizeof name, "plots/%.180s.svg", title);
    runfolder_name(f, name, path);
    const struct plot p = {.kind = PLOT_LINES,
                           .title = title,
                           .x_label = "cycle",
                           .nseries = n,
                           .series = series};
    return plot_write(path, &p, err);
}

enum hyp_status runfolder_plots(const struct runfolder *f, const char *const *group,
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
        st = draw(f, &c, group, ngroup, g, err);
    hyp_free(text);
    arena_free(c.a);
    return st;
}
