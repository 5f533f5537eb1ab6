/* hypno eval, hypno dream: a run's last checkpoint, looked at; nothing is written into it.
 */
#include <string.h>

#include "compiler/cli/open.h"
#include "compiler/cli/progress.h"
#include "compiler/cli/summary.h"
#include "runtime/train.h"

struct looking {
    const struct args *args;
    struct opening opening;
    struct compiled *c;
    struct pool *pool;
    struct progress progress;
    struct hyp_run_options run;
    struct hyp_run_callbacks callbacks;
};

/* Compile RUN/model.yaml; `node`: a layer's value that is wanted although nothing reads it.
 */
static int look(struct looking *l, const struct args *a, const char *const *node)
{
    struct hyp_error err = {0};
    char model[4096];
    int status = EXIT_MISTAKE;

    *l = (struct looking){.args = a};
    if (!open_run(a->positional[0], model, sizeof model))
        return EXIT_MISTAKE;
    opening_init(&l->opening, a);
    if (node && *node) {
        l->opening.o.model.node = node;
        l->opening.o.model.nnode = 1;
    }
    l->c = open_model(model, &l->opening.o, UNTIL_CODE, &status);
    if (status != EXIT_FINE)
        return status;
    hyp_run_defaults(&l->run);
    l->run.out = a->positional[0];
    l->run.seed = args_number(a, OPT_seed, 0);
    l->run.dirs = l->opening.dirs.dir;
    l->run.ndirs = l->opening.dirs.n;
    l->run.started = a->started;
    progress_init(&l->progress, a->option[OPT_quiet].given);
    l->callbacks.cx = &l->progress;
    l->callbacks.message = progress_message;
    if (pool_new(open_threads(a), &l->pool, &err) != HYP_OK)
        return open_runtime_error(l->c, err.status, &err);
    return EXIT_FINE;
}

static void look_away(struct looking *l)
{
    if (l->pool)
        pool_free(l->pool);
    compiled_free(l->c);
    opening_fini(&l->opening);
}

int cmd_eval(const struct args *a)
{
    struct looking l;
    struct hyp_summary sum = {0};
    struct hyp_error err = {0};
    const bool json = strcmp(args_text(a, OPT_summary, "text"), "json") == 0;
    int status = look(&l, a, NULL);

    if (status == EXIT_FINE) {
        const struct arg_value *probe = &a->option[OPT_probe];
        const enum hyp_status s = hyp_eval(l.c->plan, l.pool, &l.run, &l.callbacks,
                                           probe->texts, probe->n, &sum, &err);
        progress_end(&l.progress);
        if (s != HYP_OK)
            status = open_runtime_error(l.c, s, &err);
        else if (!json)
            summary_values(&sum);
        else if (!summary_json(&sum))
            status = cli_error("out of memory");
    }
    hyp_summary_fini(&sum);
    look_away(&l);
    return status;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), k = strlen(end);
    return n > k && strcmp(text + n - k, end) == 0;
}

int cmd_dream(const struct args *a)
{
    struct looking l;
    struct hyp_error err = {0};
    const char *node = args_text(a, OPT_node, NULL);
    const char *file = args_text(a, OPT_output, "dream.png");
    const uint64_t n = args_number(a, OPT_count, 64);
    int status;

    if (n < 1 || n > 1 << 20) {
        cli_error("-n %llu: expected 1 to %d", (unsigned long long)n, 1 << 20);
        return EXIT_USAGE;
    }
    if (!ends_with(file, ".png") && !ends_with(file, ".npy")) {
        cli_error("-o %s: expected FILE.png or FILE.npy", file);
        return EXIT_USAGE;
    }
    status = look(&l, a, &node);
    if (status == EXIT_FINE) {
        const enum hyp_status s = hyp_dream(l.c->plan, l.pool, &l.run, &l.callbacks, node,
                                            (uint32_t)n, file, &err);
        if (s != HYP_OK)
            status = open_runtime_error(l.c, s, &err);
        if (s == HYP_EARG)
            cli_hint(
                "--node PHASE.NODE says what; `hypno show %s/model.yaml` prints the nodes",
                a->positional[0]);
        else if (s == HYP_OK && !a->option[OPT_quiet].given)
            printf("%llu dreams: %s\n", (unsigned long long)n, file);
    }
    look_away(&l);
    return status;
}
