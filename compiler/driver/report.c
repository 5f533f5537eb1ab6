#include "compiler/driver/report.h"

#include <string.h>

#include "codegen/loop/loop.h"
#include "compiler/driver/memory_view.h"
#include "compiler/driver/place.h"
#include "runtime/base/arena.h"

bool report_wanted(const struct compiled *c, uint32_t phase, const char *only)
{
    return !only || strcmp(only, c->plan->phase[phase].name) == 0;
}

static bool is_probed_twin(const struct hyp_plan *p, uint32_t phase)
{
    for (uint32_t i = 0; i < p->nphase; i++)
        if (p->phase[i].with_probes == (int32_t)phase)
            return true;
    return false;
}

bool report_scheduled(const struct hyp_plan *p, uint32_t phase)
{
    return p->phase[phase].draw != UINT32_MAX && !p->phase[phase].variant_of &&
           !is_probed_twin(p, phase);
}

/* "down.x.a (std/layers.yaml:26, std/noise.yaml:24) + down.x (model.yaml:45)" */
static void print_members(const struct hyp_entry *e, FILE *out)
{
    struct place_names names = {.a = arena_new()};
    for (uint32_t i = 0; i < e->nplace; i++) {
        const struct hyp_place *p = &e->place[i];
        place_add(&names, arena_fmt(names.a, "%s%s", p->why, p->name),
                  arena_fmt(names.a, "%s:%u", p->file, p->line));
    }
    for (uint32_t i = 0; i < names.n; i++)
        fprintf(out, "%s%s (%s)", i ? " + " : "", names.item[i].name,
                place_lines(&names, i));
    arena_free(names.a);
}

static int64_t units(const struct hyp_plan *p, const struct hyp_stage *s)
{
    const int64_t n = s->units.c + (int64_t)s->units.b * p->batch_max;
    return (n + s->units_div - 1) / s->units_div * s->units_times;
}

static void print_entry(const struct hyp_plan *p, uint32_t e, FILE *out)
{
    const struct hyp_kernel *k = &p->kernel[p->entry[e].kernel];
    fprintf(out, "    k%-3u units", p->entry[e].kernel);
    for (uint32_t s = 0; s < k->nstage; s++)
        fprintf(out, "%c%lld", s ? '+' : ' ', (long long)units(p, &k->stage[s]));
    fputs("  ", out);
    print_members(&p->entry[e], out);
    fputc('\n', out);
}

static void print_phase(const struct compiled *c, uint32_t id, bool chart, FILE *out)
{
    const struct hyp_plan *p = c->plan;
    const struct hyp_phase *ph = &p->phase[id];
    uint32_t launch = 0;
    fprintf(out, "phase %s: arena %.2f MiB (bound %.2f)\n", ph->name,
            (double)ph->arena_bytes / 0x1p20, (double)ph->arena_bound / 0x1p20);
    if (chart)
        view_chart(c, id, out);
    for (uint32_t i = 0; i < ph->nop; i++) {
        const struct hyp_op *op = &ph->op[i];
        if (op->op == HYP_OP_COUNT)
            fprintf(out, "  count %u optimizer steps\n", op->b - op->a);
        else if (op->op == HYP_OP_SCALARS)
            fprintf(out, "  scalars: %u host values, %u parameters\n", op->b - op->a,
                    op->d - op->c);
        else {
            fprintf(out, "  launch %u\n", launch++);
            for (uint32_t e = op->a; e < op->b; e++)
                print_entry(p, e, out);
        }
    }
    for (uint32_t i = 0; i < ph->noutput; i++)
        fprintf(out, "  output %s\n", ph->output[i].name);
}

void report_plan(const struct compiled *c, const char *only, FILE *out)
{
    static const char *const segment[] = {"state", "scratch", "input", "output"};
    const struct hyp_plan *p = c->plan;

    fprintf(out, "plan of %s for %s (%s), batch up to %lld, %u kernels\n", p->name,
            p->target, p->backend, (long long)p->batch_max, p->nkernel);
    for (unsigned i = 0; i < HYP_SEG_COUNT; i++)
        fprintf(out, "  %-8s %10.2f MiB\n", segment[i],
                (double)p->segment_bytes[i] / 0x1p20);
    for (uint32_t i = 0; i < p->nphase; i++)
        if (report_wanted(c, i, only))
            print_phase(c, i, only || report_scheduled(p, i), out);
}

/* The kernels that the wanted phases launch: 1 + the first entry that does. */
static uint32_t *used_kernels(const struct compiled *c, const char *only, struct arena *a)
{
    const struct hyp_plan *p = c->plan;
    uint32_t *used = arena_array(a, p->nkernel + 1U, sizeof *used);
    for (uint32_t i = 0; i < p->nphase; i++)
        for (uint32_t k = 0; report_wanted(c, i, only) && k < p->phase[i].nop; k++) {
            const struct hyp_op *op = &p->phase[i].op[k];
            for (uint32_t e = op->a; op->op == HYP_OP_LAUNCH && e < op->b; e++)
                if (!used[p->entry[e].kernel])
                    used[p->entry[e].kernel] = 1 + e;
        }
    return used;
}

static void print_kernels(const struct compiled *c, const char *only, bool nests, FILE *out)
{
    struct arena *a = arena_new(), *text = arena_new();
    const uint32_t *used = used_kernels(c, only, a);
    for (uint32_t i = 0; i < c->plan->nkernel; i++) {
        if (!used[i])
            continue;
        fprintf(out, "# k%u: ", i);
        print_members(&c->plan->entry[used[i] - 1], out);
        fprintf(out, "\n%s\n",
                nests || !c->ir.kernel[i] ? nest_print(c->ir.nest[i], text)
                                          : kernel_print(c->ir.kernel[i], text));
        arena_reset(text);
    }
    arena_free(text);
    arena_free(a);
}

void report_fused(const struct compiled *c, const char *only, FILE *out)
{
    print_kernels(c, only, false, out);
}

void report_loops(const struct compiled *c, const char *only, FILE *out)
{
    print_kernels(c, only, true, out);
}
