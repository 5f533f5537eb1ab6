/* hypno show: the model at one stage of its compilation. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/cli/open.h"
#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"

struct shown {
    const struct args *args;
    struct compiled *c;
    FILE *out;
};

static void show_model(const struct shown *s)
{
    fputs(doc_print(s->c->model->merged, s->c->arena), s->out);
}

static void show_phases(const struct shown *s)
{
    fputs(doc_print(s->c->model->elaborated, s->c->arena), s->out);
}

static void show_graph(const struct shown *s)
{
    if (!s->args->option[OPT_dump_after].given)
        fputs(graph_print(&s->c->program.graph, s->c->arena), s->out);
}

static bool wanted(const struct shown *s, uint32_t phase)
{
    const char *only = args_text(s->args, OPT_phase, NULL);
    return !only || strcmp(only, s->c->plan->phase[phase].name) == 0;
}

static void show_fused(const struct shown *s)
{
    for (uint32_t p = 0; p < s->c->plan->nphase; p++) {
        const struct plan_phase_ir *ph = &s->c->ir.phase[p];
        if (!wanted(s, p))
            continue;
        fprintf(s->out, "# phase %s: %" PRIu32 " kernels\n", s->c->plan->phase[p].name,
                ph->n);
        for (uint32_t i = 0; i < ph->n; i++)
            fprintf(s->out, "# %s, launch %" PRIu32 ", kernel %" PRIu32 "\n%s\n",
                    ph->lowered[i]->name, ph->level[i], ph->kernel[i],
                    kernel_print(ph->lowered[i]->kernel, s->c->arena));
    }
}

static void mark_kernels(const struct hyp_plan *p, const struct hyp_phase *ph, bool *used)
{
    for (uint32_t i = 0; i < ph->nop; i++)
        for (uint32_t e = ph->op[i].a; ph->op[i].op == HYP_OP_LAUNCH && e < ph->op[i].b;
             e++)
            used[p->entry[e].kernel] = true;
}

static void show_loop(const struct shown *s)
{
    const struct hyp_plan *p = s->c->plan;
    bool *used = arena_array(s->c->arena, p->nkernel + 1U, sizeof *used);
    for (uint32_t i = 0; i < p->nphase; i++)
        if (wanted(s, i))
            mark_kernels(p, &p->phase[i], used);
    for (uint32_t k = 0; k < p->nkernel; k++) {
        if (!used[k])
            continue;
        fprintf(s->out, "# kernel %" PRIu32 ": %s\n", k, p->kernel[k].name);
        for (uint32_t i = 0; i < p->kernel[k].nplace; i++)
            fprintf(s->out, "#   %s\n", p->kernel[k].place[i]);
        fprintf(s->out, "%s\n", nest_print(s->c->ir.nest[k], s->c->arena));
    }
}

static void show_program(const struct shown *s, const struct hyp_phase *ph)
{
    const struct hyp_plan *p = s->c->plan;
    fprintf(s->out, "phase %s: arena %" PRIu64 " bytes, lower bound %" PRIu64 "\n",
            ph->name, ph->arena_bytes, ph->arena_bound);
    for (uint32_t i = 0; i < ph->ninput; i++)
        fprintf(s->out, "  input %s.%s\n", p->source[ph->input[i].source].name,
                p->source[ph->input[i].source].field[ph->input[i].field].name);
    for (uint32_t i = 0; i < ph->nop; i++) {
        const struct hyp_op *op = &ph->op[i];
        if (op->op == HYP_OP_SCALARS)
            fprintf(s->out,
                    "  scalars: host %" PRIu32 "..%" PRIu32 ", parameters %" PRIu32
                    "..%" PRIu32 "\n",
                    op->a, op->b, op->c, op->d);
        if (op->op == HYP_OP_COUNT)
            fprintf(s->out, "  count %" PRIu32 "\n", op->b - op->a);
        for (uint32_t e = op->a; op->op == HYP_OP_LAUNCH && e < op->b; e++)
            fprintf(s->out, "  %s %s (kernel %" PRIu32 ")\n",
                    e == op->a ? "launch" : "      ", p->kernel[p->entry[e].kernel].name,
                    p->entry[e].kernel);
    }
    for (uint32_t i = 0; i < ph->noutput; i++)
        fprintf(s->out, "  output %s%s\n", ph->output[i].name,
                ph->output[i].loss ? " (loss)" : "");
}

static void show_plan(const struct shown *s)
{
    static const char *const segment[HYP_SEG_COUNT] = {"state", "scratch", "input",
                                                       "output"};
    const struct hyp_plan *p = s->c->plan;
    fprintf(s->out, "plan of %s for %s on %s, batches up to %lld\n", p->name, p->backend,
            s->c->target->name, (long long)p->batch_max);
    for (unsigned i = 0; i < HYP_SEG_COUNT; i++)
        fprintf(s->out, "segment %s: %" PRIu64 " bytes\n", segment[i], p->segment_bytes[i]);
    for (uint32_t i = 0; i < p->ntensor; i++)
        fprintf(s->out, "tensor %s: %" PRIu64 " bytes at %" PRIu64 "\n", p->tensor[i].name,
                p->tensor[i].bytes, p->tensor[i].offset);
    for (uint32_t i = 0; i < p->nphase; i++)
        if (wanted(s, i))
            show_program(s, &p->phase[i]);
}

static const struct stage {
    const char *name;
    enum compile_until until;
    void (*show)(const struct shown *s);
} stages[] = {
    {"model", UNTIL_MODEL, show_model}, {"phases", UNTIL_MODEL, show_phases},
    {"graph", UNTIL_GRAPH, show_graph}, {"fused", UNTIL_PLAN, show_fused},
    {"loop", UNTIL_PLAN, show_loop},    {"plan", UNTIL_PLAN, show_plan},
};

static void dump(void *cx, const char *pass, const char *text)
{
    fprintf((FILE *)cx, "# after %s\n%s\n", pass, text);
}

static bool known_pass(const char *name)
{
    if (!name || strcmp(name, "all") == 0)
        return true;
    for (unsigned i = 0; pass_info(i); i++)
        if (strcmp(pass_info(i)->name, name) == 0)
            return true;
    cli_error("no pass `%s`; there are:", name);
    for (unsigned i = 0; pass_info(i); i++)
        fprintf(stderr, "    %-14s %s\n", pass_info(i)->name, pass_info(i)->doc);
    return false;
}

static bool known_phase(const struct shown *s)
{
    if (!s->c->plan)
        return true;
    for (uint32_t i = 0; i < s->c->plan->nphase; i++)
        if (wanted(s, i))
            return true;
    cli_error("no phase `%s`; there are:", args_text(s->args, OPT_phase, ""));
    for (uint32_t i = 0; i < s->c->plan->nphase; i++)
        fprintf(stderr, "    %s\n", s->c->plan->phase[i].name);
    return false;
}

static int show_to(const struct args *a, const struct stage *stage, FILE *out)
{
    struct compile_options o;
    struct data_dirs dirs;
    int status;

    data_dirs_init(&dirs, a);
    open_options(&o, a, &dirs);
    o.pass.dump_after = args_text(a, OPT_dump_after, NULL);
    o.pass.stop_after = args_text(a, OPT_stop_after, NULL);
    o.pass.dump = dump;
    o.pass.cx = out;
    struct compiled *c = open_model(a->positional[0], &o, stage->until, &status);
    const struct shown s = {a, c, out};
    if (status == EXIT_FINE) {
        if (known_phase(&s))
            stage->show(&s);
        else
            status = EXIT_MISTAKE;
    }
    compiled_free(c);
    data_dirs_fini(&dirs);
    return status;
}

static int to_file(const struct args *a, const struct stage *stage, const char *path)
{
    struct hyp_error err = {0};
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return cli_error("out of memory");
    int status = show_to(a, stage, out);
    fclose(out);
    if (status == EXIT_FINE && file_put(path, text, n, &err) != HYP_OK)
        status = cli_error("%s", err.text);
    free(text);
    return status;
}

int cmd_show(const struct args *a)
{
    const bool passes = a->option[OPT_dump_after].given || a->option[OPT_stop_after].given;
    const char *name = args_text(a, OPT_stage, passes ? "graph" : "phases");
    const char *path = args_text(a, OPT_output, NULL);

    if (!known_pass(args_text(a, OPT_dump_after, NULL)) ||
        !known_pass(args_text(a, OPT_stop_after, NULL)))
        return EXIT_USAGE;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        if (strcmp(stages[i].name, name) == 0)
            return path ? to_file(a, &stages[i], path) : show_to(a, &stages[i], stdout);
    return EXIT_USAGE;
}
