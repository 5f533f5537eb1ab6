/* hypno show: the model at one stage of its compilation. */
#include <stdlib.h>
#include <string.h>

#include "compiler/cli/open.h"
#include "compiler/driver/memory_view.h"
#include "compiler/driver/report.h"
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

static const char *only(const struct shown *s)
{
    return args_text(s->args, OPT_phase, NULL);
}

static void show_fused(const struct shown *s)
{
    report_fused(s->c, only(s), s->out);
}

static void show_loop(const struct shown *s)
{
    report_loops(s->c, only(s), s->out);
}

static void show_plan(const struct shown *s)
{
    const char *path = args_text(s->args, OPT_output, ""), *end = strrchr(path, '.');
    if (end && strcmp(end, ".svg") == 0)
        view_svg(s->c, only(s), s->out);
    else
        report_plan(s->c, only(s), s->out);
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

static int show_to(const struct args *a, const struct stage *stage, FILE *out)
{
    struct opening w;
    int status;

    opening_init(&w, a);
    w.o.pass.dump_after = args_text(a, OPT_dump_after, NULL);
    w.o.pass.stop_after = args_text(a, OPT_stop_after, NULL);
    w.o.pass.dump = dump;
    w.o.pass.cx = out;
    struct compiled *c = open_model(a->positional[0], &w.o, stage->until, &status);
    const struct shown s = {a, c, out};
    if (status == EXIT_FINE) {
        if (open_has_phase(c, only(&s)))
            stage->show(&s);
        else
            status = EXIT_MISTAKE;
    }
    compiled_free(c);
    opening_fini(&w);
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
