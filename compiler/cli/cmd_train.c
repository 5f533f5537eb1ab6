/* hypno train: compile, run, report. */
#include <stdlib.h>
#include <string.h>

#include "compiler/cli/fault.h"
#include "compiler/cli/open.h"
#include "compiler/cli/progress.h"
#include "compiler/cli/summary.h"
#include "compiler/cli/version.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "runtime/train.h"

enum { PATH_SIZE = 4096 };

struct training {
    const struct args *args;
    struct opening opening;
    struct compiled *c;
    struct progress progress;
    char model[PATH_SIZE], run[PATH_SIZE];
    bool resume;
};

static bool both(const struct args *a, enum option_id x, enum option_id y)
{
    if (!a->option[x].given || !a->option[y].given)
        return false;
    cli_error("%s and %s exclude each other", cmd_option[x].spelling,
              cmd_option[y].spelling);
    return true;
}

/* Which model, and which run goes on. */
static int choose_model(struct training *t)
{
    const struct args *a = t->args;
    const char *resume = args_text(a, OPT_resume, NULL);

    if (both(a, OPT_epochs, OPT_cycles) || both(a, OPT_resume, OPT_init) ||
        both(a, OPT_resume, OPT_out))
        return EXIT_USAGE;
    t->resume = resume != NULL;
    if (resume && (size_t)snprintf(t->run, sizeof t->run, "%s", resume) >= sizeof t->run)
        return cli_error("the path of the run is too long");
    if (a->n == 1) {
        if ((size_t)snprintf(t->model, sizeof t->model, "%s", a->positional[0]) <
            sizeof t->model)
            return EXIT_FINE;
        return cli_error("the path of the model is too long");
    }
    if (!resume) {
        cli_error("expected MODEL, or --resume RUN");
        fputs("usage: hypno train [MODEL] [options]   (hypno train --help)\n", stderr);
        return EXIT_USAGE;
    }
    return open_run(resume, t->model, sizeof t->model) ? EXIT_FINE : EXIT_MISTAKE;
}

/* runs/NAME */
static void default_run(struct training *t)
{
    snprintf(t->run, sizeof t->run, "runs/%s", t->c->plan->name);
    for (char *p = t->run + strlen("runs/"); *p; p++)
        if (*p == '/' || (unsigned char)*p < ' ')
            *p = '-';
}

/* A run that is there is never overwritten by accident. */
static int choose_run(struct training *t)
{
    const char *out = args_text(t->args, OPT_out, NULL);
    char checkpoint[PATH_SIZE + 32];

    if (t->resume)
        return EXIT_FINE;
    if (!out)
        default_run(t);
    else if ((size_t)snprintf(t->run, sizeof t->run, "%s", out) >= sizeof t->run)
        return cli_error("the path of the run is too long");
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.safetensors", t->run);
    if (!file_exists(checkpoint))
        return EXIT_FINE;
    cli_error("%s holds a run already", t->run);
    cli_hint("--resume %s goes on with it; --out DIR names another folder", t->run);
    return EXIT_MISTAKE;
}

static void fill_options(struct training *t, struct hyp_run_options *o)
{
    const struct args *a = t->args;
    hyp_run_defaults(o);
    o->out = t->run;
    o->resume = t->resume;
    o->init = args_text(a, OPT_init, NULL);
    o->seed = args_number(a, OPT_seed, 0);
    if (a->option[OPT_epochs].given)
        o->epochs = (int64_t)a->option[OPT_epochs].number;
    if (a->option[OPT_cycles].given)
        o->cycles = (int64_t)a->option[OPT_cycles].number;
    o->dirs = t->opening.dirs.dir;
    o->ndirs = t->opening.dirs.n;
    o->ahead = t->c->ahead;
    o->model_text = doc_print(t->c->model->merged, t->c->arena);
    o->command = a->command;
    o->version = HYP_VERSION;
    o->started = a->started;
    o->signals = true;
}

static int report(struct training *t, enum hyp_status s, const struct hyp_summary *sum,
                  const struct hyp_error *err)
{
    const bool json = strcmp(args_text(t->args, OPT_summary, "text"), "json") == 0;
    int status = EXIT_FINE;

    progress_end(&t->progress);
    if (s == HYP_ESTOPPED)
        status = EXIT_SIGNAL + sum->signal;
    else if (s != HYP_OK)
        status = open_runtime_error(t->c, s, err);
    if (s == HYP_ENONFINITE && sum->fault[0] && !strstr(err->text, sum->fault))
        cli_hint("%s", sum->fault);
    if (json && !summary_json(sum))
        return cli_error("out of memory");
    if (!json && (s == HYP_OK || s == HYP_ESTOPPED))
        summary_text(sum, t->run);
    if (s == HYP_OK && t->c->plan->nstage == 0)
        cli_hint("nothing is trained: the model has no `schedule`");
    return status;
}

static int run(struct training *t)
{
    struct hyp_run_options o;
    struct hyp_summary sum = {0};
    struct hyp_error err = {0};
    struct pool *pool = NULL;
    const struct hyp_run_callbacks cb = {
        .cx = &t->progress, .progress = progress_cycle, .message = progress_message};

    fill_options(t, &o);
    progress_init(&t->progress, t->args->option[OPT_quiet].given);
    enum hyp_status s = pool_new(open_threads(t->args), &pool, &err);
    if (s == HYP_OK)
        s = hyp_train(t->c->plan, pool, &o, &cb, &sum, &err);
    const int status = report(t, s, &sum, &err);
    hyp_summary_fini(&sum);
    if (pool)
        pool_free(pool);
    return status;
}

int cmd_train(const struct args *a)
{
    struct training t = {.args = a};
    int status = choose_model(&t);

    if (status != EXIT_FINE)
        return status;
    opening_init(&t.opening, a);
    t.opening.o.load_data = true;
    t.c = open_model(t.model, &t.opening.o, UNTIL_CODE, &status);
    if (status == EXIT_FINE)
        status = choose_run(&t);
    if (status == EXIT_FINE)
        status = run(&t);
    compiled_free(t.c);
    opening_fini(&t.opening);
    return status;
}
