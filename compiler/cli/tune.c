#include "compiler/cli/tune.h"

#include <stdio.h>

#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/json.h"

/* The first launch of the kernel, which names it. */
static uint32_t entry_of(const struct hyp_plan *p, uint32_t kernel)
{
    uint32_t e = 0;
    while (p->entry[e].kernel != kernel)
        e++;
    return e;
}

static uint32_t phase_of(const struct hyp_plan *p, uint32_t entry)
{
    for (uint32_t i = 0; i < p->nphase; i++)
        for (uint32_t o = 0; o < p->phase[i].nop; o++) {
            const struct hyp_op *op = &p->phase[i].op[o];
            if (op->op == HYP_OP_LAUNCH && op->a <= entry && entry < op->b)
                return i;
        }
    return 0;
}

static const char *shape_of(const struct compiled *c, uint32_t entry)
{
    const uint32_t group = c->ir.group[entry];
    const struct fusion *f = c->ir.fusion[phase_of(c->plan, entry)];
    return group ? type_print(&f->group[group - 1].main, c->arena) : "copy";
}

static const char *place_of_kernel(const struct compiled *c, uint32_t entry)
{
    const struct hyp_entry *e = &c->plan->entry[entry];
    const struct hyp_place *p = &e->place[0];
    if (!e->nplace)
        return "copy";
    return arena_fmt(c->arena, "%s%s:%u", p->why, p->name,
                     p->from_file ? p->from_line : p->line);
}

static uint32_t count(const struct tune_result *r, bool chosen)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->nkernel; i++)
        n += chosen ? r->kernel[i].variant != NULL : r->kernel[i].measured;
    return n;
}

/* Numbers of the chosen kernels, those that gained most first. */
static uint32_t *by_gain(const struct compiled *c, const struct tune_result *r)
{
    uint32_t *order = arena_array(c->arena, r->nkernel + 1U, sizeof *order), n = 0;
    for (uint32_t k = 0; k < r->nkernel; k++) {
        uint32_t at = n;
        const double gain = r->kernel[k].before - r->kernel[k].after;
        if (!r->kernel[k].variant)
            continue;
        for (;
             at && gain > r->kernel[order[at - 1]].before - r->kernel[order[at - 1]].after;
             at--)
            order[at] = order[at - 1];
        order[at] = k;
        n++;
    }
    return order;
}

void tune_text(const struct compiled *c, const struct tune_result *r)
{
    const uint32_t n = count(r, true), *order = by_gain(c, r);
    if (!n) {
        printf(
            "%u kernels measured: no variant is clearly faster than the table's choice\n",
            count(r, false));
        return;
    }
    printf("%9s %9s  %-14s %-20s %s\n", "from ms", "to ms", "variant", "shape",
           "kernel:line");
    for (uint32_t i = 0; i < n; i++) {
        const struct tune_kernel *k = &r->kernel[order[i]];
        const uint32_t e = entry_of(c->plan, order[i]);
        printf("%9.3f %9.3f  %-14s %-20s k%u %s\n", 1e3 * k->before, 1e3 * k->after,
               k->variant, shape_of(c, e), order[i], place_of_kernel(c, e));
    }
    printf("%u of %u kernels on %u threads; a cycle took %.3f ms by the table, %.3f ms so: "
           "%s\n",
           n, count(r, false), c->threads, 1e3 * r->before, 1e3 * r->after,
           r->kept ? "kept" : "not faster, nothing is kept");
}

bool tune_json(const struct compiled *c, const struct tune_result *r)
{
    struct json_writer w;
    const uint32_t n = count(r, true), *order = by_gain(c, r);
    json_init(&w);
    json_open(&w, '{');
    json_key(&w, "kept");
    json_bool(&w, r->kept);
    json_key(&w, "threads");
    json_int(&w, c->threads);
    json_key(&w, "measured");
    json_int(&w, count(r, false));
    json_key(&w, "cycle_before");
    json_number(&w, r->before);
    json_key(&w, "cycle_after");
    json_number(&w, r->after);
    json_key(&w, "kernels");
    json_open(&w, '[');
    for (uint32_t i = 0; i < n; i++) {
        const struct tune_kernel *k = &r->kernel[order[i]];
        const uint32_t e = entry_of(c->plan, order[i]);
        json_open(&w, '{');
        json_key(&w, "kernel");
        json_int(&w, order[i]);
        json_key(&w, "place");
        json_string(&w, place_of_kernel(c, e));
        json_key(&w, "shape");
        json_string(&w, shape_of(c, e));
        json_key(&w, "variant");
        json_string(&w, k->variant);
        json_key(&w, "before");
        json_number(&w, k->before);
        json_key(&w, "after");
        json_number(&w, k->after);
        json_close(&w);
    }
    json_close(&w);
    json_close(&w);
    if (w.text)
        puts(w.text);
    const bool ok = w.text != NULL;
    json_fini(&w);
    return ok;
}
