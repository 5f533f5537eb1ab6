/* What fusion did to a model, as text: a page by default, everything with `all`. */
#include <string.h>

#include "compiler/driver/explain_internal.h"
#include "runtime/base/arena.h"

enum { COSTLIEST = 6, REFUSED = 5, OTHERS = 3 };

/* ---- members of a kernel ---- */

static void add_member(const struct ex *x, struct place_names *m, place_id p)
{
    char name[EX_PLACE], line[EX_PLACE];
    ex_name(x, p, name);
    ex_line(x, p, line);
    place_add(m, name, line);
}

static struct place_names members_of(const struct ex *x, const struct ex_phase *p,
                                     const struct ex_kernel *k)
{
    struct place_names m = {.a = x->a};
    if (k->group == NO_GROUP)
        return m;
    const struct group *gr = &p->f->group[k->group];
    for (uint32_t i = 0; i < gr->n; i++)
        add_member(x, &m, x->g->node[gr->node[i]].place);
    return m;
}

/* "gradient of D.x.f1 :52, :54" */
static const char *member_text(const struct place_names *m, uint32_t i)
{
    return arena_fmt(m->a, "%s %s", m->item[i].name, place_lines(m, i));
}

/* As many as the line holds, from column `col` on; and how many more there are. */
static void print_members(const struct ex *x, const struct place_names *m, int col)
{
    for (uint32_t i = 0; i < m->n; i++) {
        const char *text = member_text(m, i);
        const int n = (int)strlen(text) + (i ? 3 : 0), rest = i + 1 < m->n ? 12 : 0;
        if (i && col + n + rest > EX_WIDTH) {
            fprintf(x->out, " + %u more", m->n - i);
            break;
        }
        fprintf(x->out, "%s%.*s", i ? " + " : "", EX_WIDTH - col, text);
        col += n;
    }
    fputc('\n', x->out);
}

/* ---- one kernel, whole ---- */

static bool packs(const struct ex *x, const struct ex_kernel *k)
{
    return !x->c->ir.kernel[k->kernel];
}

const char *ex_kind(const struct ex *x, const struct ex_phase *p, const struct ex_kernel *k)
{
    static const char *const text[] = {[GROUP_MAP] = "maps",
                                       [GROUP_CONTRACT] = "product",
                                       [GROUP_CHUNK] = "product in chunks"};
    if (k->group == NO_GROUP)
        return packs(x, k) ? "packing" : "copy";
    return text[p->f->group[k->group].kind];
}

bool ex_borders(const struct ex *x, const struct ex_kernel *k)
{
    return !packs(x, k) && x->c->ir.nest[k->kernel]->borders;
}

static void flow_places(struct ex_flow *w, const struct place_names *m)
{
    for (uint32_t i = 0; i < m->n; i++) {
        const char *text = member_text(m, i);
        ex_flow_word(w, i + 1 < m->n ? arena_fmt(m->a, "%s +", text) : text);
    }
    ex_flow_end(w);
}

/* Values that a map made and this kernel computes again for itself. */
static void print_inlined(const struct ex *x, const struct ex_phase *p,
                          const struct ex_kernel *k)
{
    struct place_names m = {.a = x->a};
    for (uint32_t i = 0; i < p->f->nlog; i++) {
        const struct fuse_decision *d = &p->f->log[i];
        if (d->why == FUSE_OK && d->kind == FUSE_INLINE &&
            ex_kernel_of(p, d->consumer) == k)
            add_member(x, &m, x->g->node[d->producer].place);
    }
    if (!m.n)
        return;
    struct ex_flow w = {x->out, 14, 14, true};
    fputs("      inlined ", x->out);
    flow_places(&w, &m);
}

/* The state or the result that a copy fills. */
static const char *copied_to(const struct ex *x, const struct ex_phase *p,
                             const struct ex_kernel *k)
{
    const struct hyp_plan *plan = x->c->plan;
    const struct hyp_entry *e = &plan->entry[k->entry];
    const struct hyp_phase *ph = &plan->phase[p->id];
    for (uint32_t i = 0; i < plan->kernel[k->kernel].nbuf; i++) {
        const struct hyp_buffer *b = &plan->buffer[e->buf[i]];
        if (plan->kernel[k->kernel].use[i] != HYP_WRITE)
            continue;
        for (uint32_t t = 0; b->segment == HYP_SEG_STATE && t < plan->ntensor; t++)
            if (plan->tensor[t].offset == b->offset)
                return plan->tensor[t].name;
        for (uint32_t o = 0; o < ph->noutput; o++)
            if (ph->output[o].buffer == e->buf[i])
                return ph->output[o].name;
    }
    return "the arena, until it replaces a state";
}

static bool reads(const struct hyp_plan *p, const struct hyp_entry *e, uint32_t buffer)
{
    const struct hyp_kernel *k = &p->kernel[e->kernel];
    for (uint32_t i = 0; i < k->nbuf; i++)
        if (e->buf[i] == buffer && k->use[i] == HYP_READ)
            return true;
    return false;
}

static bool reads_packed(const struct hyp_plan *p, const struct hyp_entry *e,
                         const struct hyp_entry *packing)
{
    const struct hyp_kernel *k = &p->kernel[packing->kernel];
    for (uint32_t i = 0; i < k->nbuf; i++)
        if (k->use[i] == HYP_WRITE && reads(p, e, packing->buf[i]))
            return true;
    return false;
}

/* Who reads what it packs. */
static void print_packed_for(const struct ex *x, const struct ex_phase *p,
                             const struct ex_kernel *k, struct ex_flow *h)
{
    const struct hyp_plan *plan = x->c->plan;
    const struct hyp_entry *e = &plan->entry[k->entry];
    char head[EX_PLACE];
    for (uint32_t i = 0; i < p->nkernel; i++)
        if (reads_packed(plan, &plan->entry[p->kernel[i].entry], e)) {
            snprintf(head, sizeof head, "for k%u, launch %u", p->kernel[i].kernel,
                     p->kernel[i].launch);
            ex_flow_text(h, head);
        }
    fputc('\n', x->out);
}

/* What it packs, and for whom. */
static void print_packed(const struct ex *x, const struct ex_phase *p,
                         const struct ex_kernel *k, struct ex_flow *h)
{
    const struct hyp_entry *e = &x->c->plan->entry[k->entry];
    for (uint32_t i = 0; i < e->nplace; i++)
        ex_flow_text(h, arena_fmt(x->a, "%s %s", i ? "and" : "of", e->place[i].name));
    print_packed_for(x, p, k, h);
}

void ex_print_packings(const struct ex *x, const struct ex_phase *p, uint32_t buffer)
{
    const struct hyp_plan *plan = x->c->plan;
    for (uint32_t i = 0; i < p->nkernel; i++) {
        const struct ex_kernel *k = &p->kernel[i];
        struct ex_flow h = {x->out, 6, 8, true};
        if (!packs(x, k) || !reads(plan, &plan->entry[k->entry], buffer))
            continue;
        fputs("      ", x->out);
        ex_flow_text(&h,
                     arena_fmt(x->a, "packed by k%u, launch %u,", k->kernel, k->launch));
        print_packed_for(x, p, k, &h);
    }
}

void ex_print_kernel(const struct ex *x, const struct ex_phase *p,
                     const struct ex_kernel *k)
{
    char t[24], b[24], st[24], sb[24], head[EX_PLACE], saved[64];
    const struct place_names m = members_of(x, p, k);
    struct ex_flow w = {x->out, 14, 14, true}, h = {x->out, 4, 6, true};

    snprintf(head, sizeof head, "k%u, launch %u: %s%s", k->kernel, k->launch,
             ex_kind(x, p, k),
             ex_borders(x, k) ? " without what is outside of its image," : "");
    fputs("    ", x->out);
    ex_flow_text(&h, head);
    if (k->group != NO_GROUP) {
        snprintf(head, sizeof head, "over %s, %s, %s moved",
                 type_print(&p->f->group[k->group].main, x->a), ex_time(t, k->seconds),
                 ex_bytes(b, k->moved));
        ex_flow_text(&h, head);
    }
    if (k->saved_seconds > 0) {
        snprintf(saved, sizeof saved, "(saved %s, %s)", ex_time(st, k->saved_seconds),
                 ex_bytes(sb, k->saved_bytes));
        ex_flow_word(&h, saved);
    }
    const struct tuned_kernel *tuned = x->c->ir.tuned[k->kernel];
    if (tuned) {
        snprintf(head, sizeof head, "scheduled `%s` by `hypno tune` (measured %s, was %s)",
                 tuned->variant, ex_time(t, tuned->after), ex_time(b, tuned->before));
        ex_flow_text(&h, head);
    }
    if (packs(x, k)) {
        print_packed(x, p, k, &h);
        return;
    }
    if (k->group == NO_GROUP) {
        fprintf(x->out, " to %s\n", copied_to(x, p, k));
        return;
    }
    fputs("\n      holds   ", x->out);
    flow_places(&w, &m);
    print_inlined(x, p, k);
}

/* ---- a phase ---- */

static void print_costliest(const struct ex *x, const struct ex_phase *p)
{
    bool *done = arena_array(x->a, p->nkernel + 1U, sizeof *done);
    fputs("  most time\n", x->out);
    for (unsigned n = 0; n < COSTLIEST && n < p->nkernel; n++) {
        uint32_t best = UINT32_MAX;
        char t[24], left[64];
        for (uint32_t i = 0; i < p->nkernel; i++)
            if (!done[i] &&
                (best == UINT32_MAX || p->kernel[i].seconds > p->kernel[best].seconds))
                best = i;
        done[best] = true;
        const struct ex_kernel *k = &p->kernel[best];
        const struct place_names m = members_of(x, p, k);
        snprintf(left, sizeof left, "    k%-3u launch %-3u %8s %3.0f %%  ", k->kernel,
                 k->launch, ex_time(t, k->seconds),
                 p->seconds > 0 ? 100 * k->seconds / p->seconds : 0);
        fputs(left, x->out);
        print_members(x, &m, (int)strlen(left));
    }
}

/* Who it would have been fused with. */
static struct place_names others_of(const struct ex *x, const struct ex_refusal *r)
{
    struct place_names m = {.a = x->a};
    for (uint32_t i = 0; i < r->n; i++)
        add_member(x, &m, x->g->node[r->decision[i]->consumer].place);
    return m;
}

static void print_refusal(const struct ex *x, const struct ex_refusal *r)
{
    const struct place_names m = others_of(x, r);
    struct place_names own = {.a = x->a};
    char t[24], more[32];
    struct ex_flow w = {x->out, 25, 25, true};
    fprintf(x->out, "    %-9s%8s  ", fuse_why_row[r->decision[0]->why].word,
            r->most > 0 ? ex_time(t, r->most) : "-");
    w.col = 23;
    add_member(x, &own, x->g->node[r->decision[0]->producer].place);
    ex_flow_word(&w, member_text(&own, 0));
    ex_flow_word(&w, "with");
    for (uint32_t i = 0; i < m.n && (i < OTHERS || x->o->all); i++) {
        ex_flow_word(&w, member_text(&m, i));
        ex_flow_glue(&w, i + 1 < m.n && (i + 1 < OTHERS || x->o->all) ? "," : "");
    }
    if (m.n > OTHERS && !x->o->all) {
        snprintf(more, sizeof more, "and %u more", m.n - OTHERS);
        ex_flow_word(&w, more);
    }
    ex_flow_end(&w);
}

static void print_reason(const struct ex *x, enum fuse_why why)
{
    struct ex_flow w = {x->out, 11, 11, true};
    fprintf(x->out, "  %-9s", fuse_why_row[why].word);
    ex_flow_text(&w, fuse_why_row[why].sentence);
    ex_flow_word(&w, "(what would change it:");
    ex_flow_text(&w, fuse_why_row[why].change);
    ex_flow_glue(&w, ")");
    ex_flow_end(&w);
}

void ex_print_reasons(const struct ex *x)
{
    bool any = false;
    for (unsigned i = 0; i < FUSE_WHY_COUNT; i++)
        any |= x->said[i];
    if (!any)
        return;
    fputc('\n', x->out);
    ex_bold(x, "reasons");
    fputc('\n', x->out);
    for (unsigned i = 0; i < FUSE_WHY_COUNT; i++)
        if (x->said[i])
            print_reason(x, (enum fuse_why)i);
}

static void print_refused(struct ex *x, const struct ex_phase *p)
{
    uint32_t n, shown = 0;
    char t[24];
    double most = 0;
    const struct ex_refusal *r = ex_refusals(x, p, &n);
    for (uint32_t i = 0; i < n; i++)
        most += r[i].most;
    for (uint32_t i = 0; i < n && (x->o->all || (i < REFUSED && r[i].most > 0)); i++) {
        if (!shown++)
            fprintf(x->out, "  refused: %u, which could save at most %s (%.1f %%)\n", n,
                    ex_time(t, most), p->seconds > 0 ? 100 * most / p->seconds : 0);
        print_refusal(x, &r[i]);
        x->said[r[i].decision[0]->why] = true;
    }
    if (shown && shown < n)
        fprintf(x->out, "    and %u smaller ones (--all)\n", n - shown);
}

static void print_savings(const struct ex *x, const struct ex_phase *p)
{
    char t[24], b[24], text[128];
    struct ex_flow w = {x->out, 2, 4, true};
    unsigned shown = 0;

    if (p->saved_seconds <= 0)
        return;
    snprintf(text, sizeof text, "fusing saved %s and %s of traffic",
             ex_time(t, p->saved_seconds), ex_bytes(b, p->saved_bytes));
    fputs("  ", x->out);
    ex_flow_text(&w, text);
    for (unsigned i = 0; i < FUSE_KIND_COUNT; i++) {
        if (!p->fused[i])
            continue;
        snprintf(text, sizeof text, "%u %s", p->fused[i], fuse_kind_row[i].word);
        ex_flow_glue(&w, shown++ ? "," : ":");
        ex_flow_word(&w, text);
    }
    ex_flow_end(&w);
}

static void print_memory(const struct ex *x, const struct ex_phase *p)
{
    static const char *const what[] = {"kept for gradients", "recomputed"};
    const struct hyp_phase *ph = &x->c->plan->phase[p->id];
    struct ex_flow w = {x->out, 2, 4, true};
    char b[24], l[24], text[128];
    uint32_t n[2] = {0, 0};
    double bytes[2] = {0, 0};

    for (uint32_t i = 0; i < x->c->program.nremat; i++) {
        const struct prog_remat *r = &x->c->program.remat[i];
        if (r->region != p->f->region)
            continue;
        n[r->recomputed]++;
        bytes[r->recomputed] += r->bytes;
    }
    fputs("  ", x->out);
    snprintf(text, sizeof text, "arena %s, lower bound %s",
             ex_bytes(b, (double)ph->arena_bytes), ex_bytes(l, (double)ph->arena_bound));
    ex_flow_word(&w, text);
    for (unsigned i = 0; i < 2; i++) {
        if (!n[i])
            continue;
        snprintf(text, sizeof text, "%s %u value%s, %s", what[i], n[i],
                 n[i] == 1 ? "" : "s", ex_bytes(b, bytes[i]));
        ex_flow_glue(&w, ";");
        ex_flow_word(&w, text);
    }
    ex_flow_end(&w);
}

void ex_print_phase(struct ex *x, const struct ex_phase *p, bool whole)
{
    char t[24];
    ex_bold(x, p->name);
    fprintf(x->out, "  %u kernel%s in %u launch%s, %s\n", p->nkernel,
            p->nkernel == 1 ? "" : "s", p->nlaunch, p->nlaunch == 1 ? "" : "es",
            ex_time(t, p->seconds));
    print_savings(x, p);
    print_memory(x, p);
    if (whole) {
        fputs("  kernels\n", x->out);
        for (uint32_t i = 0; i < p->nkernel; i++)
            ex_print_kernel(x, p, &p->kernel[i]);
    } else if (p->nkernel) {
        print_costliest(x, p);
    }
    print_refused(x, p);
}

/* ---- the model ---- */

static void print_head(const struct ex *x)
{
    const struct hyp_plan *p = x->c->plan;
    uint32_t programs = 0;
    ex_bold(x, p->name);
    fprintf(x->out,
            "  for %s, batch up to %lld; times are the cost model's, of %d threads\n",
            p->target, (long long)p->batch_max, x->c->target->t_ref);
    fprintf(x->out, "lines without a file are of %s\n", x->o->path);
    for (uint32_t i = 0; i < p->nphase; i++)
        programs++;
    if (programs > x->nphase && !x->o->phase)
        fprintf(x->out,
                "%u more program%s (first values, probes, dreams): --all, or NODE `%s`\n",
                programs - x->nphase, programs - x->nphase == 1 ? "" : "s",
                p->phase[p->nphase - 1].name);
}

void explain_model(const struct compiled *c, const struct explain_options *o, FILE *out)
{
    struct ex x = {.c = c, .o = o, .g = &c->program.graph, .a = arena_new(), .out = out};
    ex_gather(&x);
    print_head(&x);
    for (uint32_t i = 0; i < x.nphase; i++) {
        fputc('\n', out);
        ex_print_phase(&x, &x.phase[i], o->all);
    }
    ex_print_reasons(&x);
    arena_free(x.a);
}
