/* What lies where, and the chart for terminals. */
#include "compiler/driver/memory_view.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/driver/place.h"
#include "runtime/base/arena.h"

enum { CHART_WIDTH = 76, CHART_ROWS = 18, CHART_NAMED = 16 };

/* ---- boxes ---- */

/* What a place is for says what the value is; a gradient's clone is one too. */
static uint8_t kind_of(const struct graph *g, place_id p)
{
    for (; p; p = g->place[p].parent)
        if (g->place[p].why == WHY_GRADIENT_OF || g->place[p].why == WHY_UPDATED_BY)
            return VIEW_GRADIENT;
    return VIEW_ACTIVATION;
}

static char *dotted(struct arena *a, const char *before, const char *name)
{
    char *text = arena_fmt(a, "%s%s", before, name);
    for (char *s = text + strlen(before); *s; s++)
        *s = *s == '/' ? '.' : *s;
    return text;
}

static void name_value(const struct compiled *c, value_id v, struct view_box *b,
                       struct arena *a)
{
    const struct graph *g = &c->program.graph;
    const place_id id = g->node[g->value[v].def].place;
    const struct hyp_place p = place_of(g, c->diags, id);
    b->kind = kind_of(g, id);
    b->name = dotted(a, p.why, p.name);
    b->file = p.from_file ? p.from_file : p.file;
    b->line = p.from_file ? p.from_line : p.line;
}

static void name_own(const struct compiled *c, uint32_t entry, struct view_box *b,
                     struct arena *a)
{
    const struct hyp_entry *e = &c->plan->entry[entry];
    const char *what = c->ir.kernel[e->kernel] ? "scratch of" : "packed by";
    b->kind = VIEW_SCRATCH;
    b->name = dotted(a, arena_fmt(a, "%s k%u, ", what, e->kernel),
                     e->nplace ? e->place[0].name : "a copy");
}

struct view view_arena(const struct compiled *c, uint32_t phase, struct arena *a)
{
    const struct plan_memory *m = &c->ir.memory[phase];
    struct view v = {arena_array(a, m->n + 1U, sizeof *v.box), m->n, m->nlaunch};
    for (uint32_t i = 0; i < m->n; i++) {
        const struct plan_life *l = &m->life[i];
        struct view_box *b = &v.box[i];
        *b = (struct view_box){
            .offset = l->offset, .bytes = l->bytes, .first = l->first, .last = l->last};
        if (l->value)
            name_value(c, l->value, b, a);
        else if (l->entry)
            name_own(c, l->entry - 1, b, a);
        else {
            b->kind = VIEW_STATE;
            b->name = "a state, kept until it is replaced";
        }
    }
    return v;
}

struct view view_state(const struct compiled *c, struct arena *a)
{
    const struct hyp_plan *p = c->plan;
    struct view v = {arena_array(a, p->ntensor + 1U, sizeof *v.box), p->ntensor, 0};
    for (uint32_t i = 0; i < p->ntensor; i++)
        v.box[i] =
            (struct view_box){.kind = p->tensor[i].weight ? VIEW_PARAMETER : VIEW_STATE,
                              .name = p->tensor[i].name,
                              .file = p->tensor[i].line ? p->tensor[i].file : NULL,
                              .line = p->tensor[i].line,
                              .offset = p->tensor[i].offset,
                              .bytes = p->tensor[i].bytes,
                              .first = 1};
    return v;
}

/* ---- the chart ---- */

static double area_of(const struct view_box *b)
{
    return b->kind == VIEW_SCRATCH ? 0 : (double)b->bytes * (b->last - b->first + 1.0);
}

/* Values first, by what they take of the chart. */
static int by_area(const void *x, const void *y)
{
    const struct view_box *a = x, *b = y;
    if (area_of(a) > area_of(b) || area_of(a) < area_of(b))
        return area_of(a) > area_of(b) ? -1 : 1;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static char letter(const struct view *v, uint32_t i)
{
    return v->box[i].kind == VIEW_SCRATCH ? '#' : i < CHART_NAMED ? (char)('a' + i) : '.';
}

static double shared(double a, double b, double c, double d)
{
    const double from = a > c ? a : c, to = b < d ? b : d;
    return to > from ? to - from : 0;
}

/* Who fills most of a cell [t0, t1) x [lo, hi), if it is half full. */
static char cell(const struct view *v, double t0, double t1, double lo, double hi)
{
    double most = 0, used = 0;
    char who = '.';
    for (uint32_t i = 0; i < v->n; i++) {
        const struct view_box *b = &v->box[i];
        const double area =
            shared(t0, t1, b->first, b->last + 1.0) *
            shared(lo, hi, (double)b->offset, (double)(b->offset + b->bytes));
        used += area;
        if (area <= most)
            continue;
        most = area;
        who = letter(v, i);
    }
    return used * 2 >= (t1 - t0) * (hi - lo) ? who : used > 0 ? ':' : ' ';
}

static void chart_axis(uint32_t nlaunch, unsigned width, FILE *out)
{
    char line[CHART_WIDTH + 24];
    const uint32_t step = nlaunch > 120 ? 20 : nlaunch > 40 ? 10 : nlaunch > 8 ? 5 : 1;
    memset(line, ' ', sizeof line);
    for (uint32_t at = 0; at < nlaunch; at += step) {
        char number[16];
        const size_t n = (size_t)snprintf(number, sizeof number, "%u", at);
        memcpy(line + (size_t)at * width / nlaunch, number, n);
    }
    line[width + 1] = 0;
    fprintf(out, "%14s%.*s launch\n", "", (int)width, line);
}

static void chart_legend(const struct view *v, FILE *out)
{
    uint32_t own = 0, named = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        const struct view_box *b = &v->box[i];
        const char *slash = b->file ? strrchr(b->file, '/') : NULL;
        char line[48] = "";
        own += b->kind == VIEW_SCRATCH;
        if (b->kind == VIEW_SCRATCH || i >= CHART_NAMED)
            continue;
        named++;
        if (b->file)
            snprintf(line, sizeof line, " %.32s:%u", slash ? slash + 1 : b->file, b->line);
        fprintf(out, "    %c %8.2f MiB  launches %2u to %2u  %.40s%s\n", letter(v, i),
                (double)b->bytes / 0x1p20, b->first, b->last, b->name, line);
    }
    if (own)
        fprintf(out, "    # kernels' own: scratch, and what is packed\n");
    if (v->n > named + own)
        fprintf(out, "    . %u smaller values\n", v->n - named - own);
    fputs("    : less than half full\n", out);
}

void view_chart(const struct compiled *c, uint32_t phase, FILE *out)
{
    struct arena *a = arena_new();
    const struct view v = view_arena(c, phase, a);
    const double total = (double)c->plan->phase[phase].arena_bytes;
    const unsigned each =
        v.nlaunch && v.nlaunch < CHART_WIDTH ? CHART_WIDTH / v.nlaunch : 1;
    const unsigned width = each > 1                  ? each * v.nlaunch
                           : v.nlaunch < CHART_WIDTH ? v.nlaunch
                                                     : CHART_WIDTH;

    qsort(v.box, v.n, sizeof *v.box, by_area);
    for (unsigned row = CHART_ROWS; v.n && row-- > 0;) {
        if (row == CHART_ROWS - 1 || row == 0)
            fprintf(out, "  %6.2f MiB ", row ? total / 0x1p20 : 0.0);
        else
            fprintf(out, "%13s", "");
        fputc('|', out);
        for (unsigned x = 0; x < width; x++)
            fputc(cell(&v, (double)x * v.nlaunch / width, (x + 1.0) * v.nlaunch / width,
                       row * total / CHART_ROWS, (row + 1) * total / CHART_ROWS),
                  out);
        fputs("|\n", out);
    }
    if (v.n) {
        chart_axis(v.nlaunch, width, out);
        chart_legend(&v, out);
    }
    arena_free(a);
}
