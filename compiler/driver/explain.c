/*
 * What explain says, gathered: kernels in the order in which they run with what they cost
 * and saved, refusals by name and reason; and how names, lines, times and bytes are
 * written.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/explain_internal.h"
#include "compiler/driver/report.h"
#include "runtime/base/arena.h"

/* ---- phases ---- */

static bool is_wanted(const struct ex *x, uint32_t phase)
{
    const struct hyp_plan *p = x->c->plan;
    if (x->o->phase)
        return strcmp(p->phase[phase].name, x->o->phase) == 0;
    return x->o->all || report_scheduled(p, phase);
}

static void add_kernel(const struct ex *x, struct ex_phase *p, uint32_t entry)
{
    const uint32_t group = x->c->ir.group[entry];
    struct ex_kernel *k = &p->kernel[p->nkernel++];
    *k = (struct ex_kernel){.entry = entry,
                            .kernel = x->c->plan->entry[entry].kernel,
                            .launch = p->nlaunch,
                            .group = group ? group - 1 : NO_GROUP};
    if (!group)
        return;
    p->of_group[k->group] = p->nkernel;
    k->seconds = p->f->seconds[k->group];
    k->moved = p->f->moved[k->group];
    p->seconds += k->seconds;
}

static void find_kernels(const struct ex *x, struct ex_phase *p)
{
    const struct hyp_phase *ph = &x->c->plan->phase[p->id];
    uint32_t n = 0;
    for (uint32_t i = 0; i < ph->nop; i++)
        n += ph->op[i].op == HYP_OP_LAUNCH ? ph->op[i].b - ph->op[i].a : 0;
    p->kernel = arena_array(x->a, n + 1U, sizeof *p->kernel);
    p->of_group = arena_array(x->a, p->f->ngroup + 1U, sizeof *p->of_group);
    for (uint32_t i = 0; i < ph->nop; i++) {
        if (ph->op[i].op != HYP_OP_LAUNCH)
            continue;
        for (uint32_t e = ph->op[i].a; e < ph->op[i].b; e++)
            add_kernel(x, p, e);
        p->nlaunch++;
    }
}

const struct ex_kernel *ex_kernel_of(const struct ex_phase *p, node_id id)
{
    const uint32_t group = p->f->group_of[id];
    const uint32_t k = group == NO_GROUP ? 0 : p->of_group[group];
    return k ? &p->kernel[k - 1] : NULL;
}

static void count_savings(struct ex_phase *p)
{
    for (uint32_t i = 0; i < p->f->nlog; i++) {
        const struct fuse_decision *d = &p->f->log[i];
        if (d->why != FUSE_OK)
            continue;
        p->fused[d->kind]++;
        p->saved_seconds += d->before - d->after;
        p->saved_bytes += d->bytes;
        const struct ex_kernel *at = ex_kernel_of(p, d->consumer);
        if (at) {
            struct ex_kernel *k = &p->kernel[at - p->kernel];
            k->saved_seconds += d->before - d->after;
            k->saved_bytes += d->bytes;
        }
    }
}

void ex_gather(struct ex *x)
{
    const struct hyp_plan *plan = x->c->plan;
    const struct program *program = &x->c->program;
    x->called = arena_array(x->a, x->g->nplace + 1U, sizeof *x->called);
    for (uint32_t i = 0; i < program->ncalled; i++)
        if (program->called[i].name)
            x->called[program->called[i].place] = &program->called[i];
    x->phase = arena_array(x->a, plan->nphase + 1U, sizeof *x->phase);
    for (uint32_t i = 0; i < plan->nphase; i++) {
        if (!is_wanted(x, i))
            continue;
        struct ex_phase *p = &x->phase[x->nphase++];
        p->id = i;
        p->name = plan->phase[i].name;
        p->scheduled = report_scheduled(plan, i);
        p->f = x->c->ir.fusion[i];
        find_kernels(x, p);
        count_savings(p);
    }
}

/* ---- refusals ---- */

struct refused {
    const struct fuse_decision *d;
    const struct graph *g;
};

static int by_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "");
}

/* Two decisions are of one refusal if their reason, name and line are the same. */
static int by_name(const struct refused *a, const struct refused *b)
{
    const struct graph *g = a->g;
    const place_id p = g->node[a->d->producer].place, q = g->node[b->d->producer].place;
    if (a->d->why != b->d->why)
        return a->d->why < b->d->why ? -1 : 1;
    if (g->place[p].why != g->place[q].why)
        return g->place[p].why < g->place[q].why ? -1 : 1;
    const int name = by_text(graph_place_name(g, p), graph_place_name(g, q));
    if (name)
        return name;
    return (g->place[p].loc.line > g->place[q].loc.line) -
           (g->place[p].loc.line < g->place[q].loc.line);
}

static int by_decision(const void *x, const void *y)
{
    const struct refused *a = x, *b = y;
    const int name = by_name(a, b);
    if (name)
        return name;
    if (a->d->producer != b->d->producer)
        return a->d->producer < b->d->producer ? -1 : 1;
    return (a->d > b->d) - (a->d < b->d);
}

static int by_most(const void *x, const void *y)
{
    const struct ex_refusal *a = x, *b = y;
    if (a->most > b->most || a->most < b->most)
        return a->most > b->most ? -1 : 1;
    return (a->decision[0] > b->decision[0]) - (a->decision[0] < b->decision[0]);
}

static double most_of(const struct fuse_decision *d)
{
    const double gain = d->before - d->after;
    return d->most > 0 ? d->most : gain > 0 ? gain : 0;
}

static struct ex_refusal refusal_of(const struct ex *x, const struct refused *list,
                                    uint32_t n)
{
    struct ex_refusal r = {.decision = arena_array(x->a, n, sizeof *r.decision), .n = n};
    double most = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i && list[i].d->producer != list[i - 1].d->producer) {
            r.most += most;
            most = 0;
        }
        r.decision[i] = list[i].d;
        most = most_of(list[i].d) > most ? most_of(list[i].d) : most;
    }
    r.most += most;
    return r;
}

struct ex_refusal *ex_refusals(const struct ex *x, const struct ex_phase *p, uint32_t *n)
{
    struct refused *list = arena_array(x->a, p->f->nlog + 1U, sizeof *list);
    struct ex_refusal *out = arena_array(x->a, p->f->nlog + 1U, sizeof *out);
    uint32_t m = 0;
    *n = 0;
    for (uint32_t i = 0; i < p->f->nlog; i++)
        if (p->f->log[i].why != FUSE_OK)
            list[m++] = (struct refused){&p->f->log[i], x->g};
    qsort(list, m, sizeof *list, by_decision);
    for (uint32_t i = 0, end; i < m; i = end) {
        for (end = i + 1; end < m && by_name(&list[i], &list[end]) == 0;)
            end++;
        out[(*n)++] = refusal_of(x, list + i, end - i);
    }
    qsort(out, *n, sizeof *out, by_most);
    return out;
}

/* ---- words ---- */

void ex_dotted(char text[EX_PLACE], const char *before, const char *name)
{
    snprintf(text, EX_PLACE, "%s%s", before, name);
    for (char *s = text; *s; s++)
        *s = *s == '/' ? '.' : *s;
}

void ex_name(const struct ex *x, place_id id, char text[EX_PLACE])
{
    const struct hyp_place p = place_of(x->g, x->c->diags, id);
    ex_dotted(text, p.why, p.name);
}

const char *ex_file(const struct hyp_place *p, uint32_t *line)
{
    *line = p->from_file ? p->from_line : p->line;
    return p->from_file ? p->from_file : p->file;
}

void ex_line(const struct ex *x, place_id id, char text[EX_PLACE])
{
    const struct hyp_place p = place_of(x->g, x->c->diags, id);
    uint32_t line;
    const char *file = ex_file(&p, &line), *slash = strrchr(file, '/');
    if (strcmp(file, x->o->path) == 0)
        file = "";
    else if (slash && strncmp(file, "std/", 4) != 0)
        file = slash + 1;
    if (line)
        snprintf(text, EX_PLACE, "%s:%u", file, line);
    else
        *text = 0;
}

const char *ex_time(char text[24], double seconds)
{
    const double us = 1e6 * seconds;
    if (us < 0.1)
        snprintf(text, 24, "%.0f ns", 1000 * us);
    else
        snprintf(text, 24, us < 10 ? "%.1f us" : "%.0f us", us);
    if (us >= 1000)
        snprintf(text, 24,
                 us < 1e4   ? "%.2f ms"
                 : us < 1e5 ? "%.1f ms"
                            : "%.0f ms",
                 us / 1000);
    return text;
}

const char *ex_bytes(char text[24], double bytes)
{
    if (bytes < 0x1p10)
        snprintf(text, 24, "%.0f B", bytes);
    else if (bytes < 0x1p20)
        snprintf(text, 24, "%.1f KiB", bytes / 0x1p10);
    else if (bytes < 0x1p30)
        snprintf(text, 24, "%.1f MiB", bytes / 0x1p20);
    else
        snprintf(text, 24, "%.2f GiB", bytes / 0x1p30);
    return text;
}

void ex_bold(const struct ex *x, const char *text)
{
    fprintf(x->out, "%s%s%s", x->o->colour ? "\033[1m" : "", text,
            x->o->colour ? "\033[0m" : "");
}

void ex_flow_word(struct ex_flow *w, const char *text)
{
    const int n = (int)strlen(text);
    if (!w->fresh && w->col + 1 + n >= EX_WIDTH) { /* room for a comma */
        fprintf(w->out, "\n%*s", w->indent, "");
        w->col = w->indent;
    } else if (!w->fresh) {
        fputc(' ', w->out);
        w->col++;
    }
    fputs(text, w->out);
    w->col += n;
    w->fresh = false;
}

void ex_flow_glue(struct ex_flow *w, const char *text)
{
    fputs(text, w->out);
    w->col += (int)strlen(text);
}

void ex_flow_text(struct ex_flow *w, const char *text)
{
    char word[EX_PLACE];
    while (*(text += strspn(text, " "))) {
        const size_t n = strcspn(text, " ");
        snprintf(word, sizeof word, "%.*s", (int)n, text);
        ex_flow_word(w, word);
        text += n;
    }
}

void ex_flow_end(struct ex_flow *w)
{
    fputc('\n', w->out);
    w->col = 0;
    w->fresh = true;
}
