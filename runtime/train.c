/*
 * hyp_train: the loop over cycles, and what happens between them: the watch, metrics,
 * probes, checkpoints, signals.
 *
 * Metrics files are byte for byte what an uninterrupted run writes: losses are logged by
 * cycle number, a checkpoint records how long the files were, and what is written only
 * because the run ends here stands behind that length.
 */
#include "runtime/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/run.h"

enum { LOSS_EVERY = 10 };
static const double plot_seconds = 5;

/* ---- telling ---- */

static void tell_progress(const struct run *r, double cycle_seconds)
{
    if (!r->cb || !r->cb->progress)
        return;
    const int64_t left = schedule_cycles_left(r);
    const struct hyp_progress p = {
        .epoch = r->now.epoch,
        .epochs = schedule_epochs(r),
        .cycle = r->now.cycle,
        .cycles = schedule_cycles_in_epoch(r),
        .step = r->now.step,
        .samples_per_second = r->rate_seconds > 0 ? r->rate_samples / r->rate_seconds : 0,
        .eta_seconds = left < 0 ? -1 : (double)left * cycle_seconds,
        .value = r->values.value,
        .nvalue = r->values.n,
        .epoch_end = r->epoch_over,
    };
    r->cb->progress(r->cb->cx, &p);
}

struct teller {
    const struct run *run;
    enum hyp_message kind;
    uint32_t n;
};

static void tell_difference(void *cx, const char *text)
{
    struct teller *t = cx;
    t->n++;
    run_message(t->run, t->kind, "%s", text);
}

/* ---- writing ---- */

static enum hyp_status log_losses(struct run *r, struct hyp_error *err)
{
    uint32_t n = 0;

    if (!r->folder || r->last_loss_log == r->now.step)
        return HYP_OK;
    r->last_loss_log = r->now.step;
    for (uint32_t i = 0; i < r->now.nloss; i++)
        if (r->values.value[i].unlogged) {
            r->values.value[i].unlogged = false;
            r->line[n++] = &r->values.value[i];
        }
    return runfolder_log(r->folder, r->now.step, r->now.epoch, r->line, n, err);
}

/* The values of losses are the first of a run's values, in the order of moment_losses. */
void run_note_log(struct run *r)
{
    if (!r->folder)
        return;
    r->now.csv_bytes = r->folder->csv.nbytes;
    r->now.jsonl_bytes = r->folder->jsonl.nbytes;
    for (uint32_t i = 0; i < r->now.nloss; i++) {
        const struct hyp_value *v = &r->values.value[i];
        r->now.unlogged[i] = v->unlogged ? v->v[0] : NAN;
    }
}

static enum hyp_status restore_unlogged(struct run *r, struct hyp_error *err)
{
    enum hyp_status st = HYP_OK;
    for (uint32_t i = 0; st == HYP_OK && i < r->now.nloss; i++)
        if (!isnan(r->now.unlogged[i]))
            st = values_set(&r->values, i, &r->now.unlogged[i], 1, false, err);
    return st;
}

static enum hyp_status save(struct run *r, struct hyp_error *err)
{
    char path[RUNFOLDER_PATH];

    if (!r->folder)
        return HYP_OK;
    enum hyp_status st = watch_before_saving(r, err);
    if (st == HYP_OK)
        st = runfolder_flush(r->folder, err);
    run_note_log(r);
    runfolder_name(r->folder, "checkpoint.safetensors", path);
    if (st == HYP_OK)
        st = checkpoint_write(path, r->plan, &r->now, err);
    r->last_save = run_clock();
    r->saved_step = r->now.step;
    return st;
}

static enum hyp_status draw_plots(struct run *r, bool now, struct hyp_error *err)
{
    enum { MOST = 64 };
    struct plot_group group[MOST];
    uint32_t n = 0;

    if (!r->folder || (!now && run_clock() - r->last_plot < plot_seconds))
        return HYP_OK;
    r->last_plot = run_clock();
    for (uint32_t i = 0; i < r->plan->nprobe && n < MOST; i++) {
        const struct hyp_probe *p = &r->plan->probe[i];
        if (p->run == 0)
            group[n++] = (struct plot_group){.name = p->runs ? p->base : p->name,
                                             .over = p->over,
                                             .what = p->metric,
                                             .at = p->at,
                                             .n = p->runs,
                                             .item = p->item,
                                             .nitem = p->nitem};
    }
    const enum hyp_status st = runfolder_flush(r->folder, err);
    return st == HYP_OK ? runfolder_plots(r->folder, group, n, err) : st;
}

/* ---- starting ---- */

static enum hyp_status start_new(struct run *r, struct hyp_error *err)
{
    struct teller t = {r, HYP_MESSAGE_WARNING, 0};
    uint32_t loaded = 0;
    enum hyp_status st = exec_init(r->x, err);

    if (st == HYP_OK && r->opt->init) {
        st = checkpoint_read_weights(r->opt->init, r->plan, r->now.state, tell_difference,
                                     &t, &loaded, err);
        if (st == HYP_OK)
            run_message(r, HYP_MESSAGE_INFO,
                        "%u weights from %s, %u as the model draws them", loaded,
                        r->opt->init, t.n);
    }
    return st;
}

enum hyp_status run_load(struct run *r, const char *path, struct hyp_error *err)
{
    struct teller t = {r, HYP_MESSAGE_WARNING, 0};
    bool same = true;
    const enum hyp_status st =
        checkpoint_read(path, r->plan, &r->now, tell_difference, &t, &same, err);

    if (st != HYP_OK)
        return st;
    if (!same)
        run_message(r, HYP_MESSAGE_WARNING,
                    "the model's text is not the one that %s was written with", path);
    r->x->seed = r->now.seed;
    r->x->fixed[HYP_COUNTER_EPOCH] = (double)r->now.epoch;
    r->x->fixed[HYP_COUNTER_CYCLE] = (double)r->now.cycle;
    r->x->fixed[HYP_COUNTER_STEP] = (double)r->now.step;
    schedule_restore_sources(r);
    r->entered = -1;
    r->saved_step = r->now.step;
    return restore_unlogged(r, err);
}

static enum hyp_status open_folder(struct run *r, struct runfolder *f,
                                   struct hyp_error *err)
{
    char path[RUNFOLDER_PATH];
    enum hyp_status st = runfolder_open(f, r->opt->out, err);

    if (st != HYP_OK)
        return st;
    r->folder = f;
    runfolder_name(f, "checkpoint.safetensors", path);
    if (r->opt->resume && file_exists(path))
        return run_load(r, path, err);
    if (r->opt->resume)
        run_message(r, HYP_MESSAGE_INFO, "no checkpoint in %s yet: from the start",
                    f->path);
    return start_new(r, err);
}

static enum hyp_status start(struct run *r, struct runfolder *f, struct hyp_error *err)
{
    enum hyp_status st = run_open(r, err);

    r->last_loss_log = r->saved_step = -1;
    if (st == HYP_OK)
        st = moment_init(&r->kept, r->plan, true, err);
    if (st == HYP_OK)
        st = r->opt->out ? open_folder(r, f, err) : start_new(r, err);
    if (st == HYP_OK && r->folder)
        st = runfolder_describe(f, r->plan, r->opt, r->x->seed, pool_threads(r->pool),
                                r->now.step, err);
    if (st == HYP_OK && r->folder)
        st = runfolder_begin_metrics(f, r->now.csv_bytes, r->now.jsonl_bytes, err);
    r->last_save = run_clock();
    return st;
}

/* ---- the loop ---- */

static void note_time(struct run *r, double seconds)
{
    r->times[r->ntimes++ % RUN_TIMES] = seconds;
    r->pace = r->ntimes == 1 ? seconds : r->pace + 0.05 * (seconds - r->pace);
    r->rate_samples = 0.95 * r->rate_samples + (double)r->batch;
    r->rate_seconds = 0.95 * r->rate_seconds + seconds;
    if (r->ntimes == 1)
        r->first_cycle = run_clock() - r->started;
}

static enum hyp_status end_epoch(struct run *r, struct hyp_error *err)
{
    schedule_end_epoch(r);
    enum hyp_status st = probes_run(r, WHEN_EPOCH, err);
    if (st != HYP_OK)
        return st;
    probes_plateau(r);
    schedule_until(r);
    tell_progress(r, r->pace);
    r->epoch_over = false;
    st = save(r, err);
    return st == HYP_OK ? draw_plots(r, false, err) : st;
}

static enum hyp_status one_cycle(struct run *r, struct hyp_error *err)
{
    const double save_after = r->opt->save_seconds > 0 ? r->opt->save_seconds : 300;

    watch_keep(r);
    probes_prepare(r);
    const double t0 = run_clock();
    enum hyp_status st = schedule_cycle(r, err);
    if (st != HYP_OK)
        return st;
    st = watch_cycle(r, err);
    note_time(r, run_clock() - t0);
    if (st == HYP_OK && (r->epoch_over || r->now.step % LOSS_EVERY == 0))
        st = log_losses(r, err);
    if (st == HYP_OK)
        st = probes_run(r, WHEN_CYCLE, err);
    if (st != HYP_OK)
        return st;
    if (r->epoch_over)
        return end_epoch(r, err);
    tell_progress(r, r->pace);
    return run_clock() - r->last_save >= save_after ? save(r, err) : HYP_OK;
}

/* A probe has given up: what the run kept last before it is saved, so that the cycles since
 * then run again, and the probes with them. */
static enum hyp_status stopped_in_probe(struct run *r, struct hyp_error *err)
{
    char path[RUNFOLDER_PATH];
    struct hyp_error io = {0};
    enum hyp_status st = HYP_OK;

    if (!r->folder)
        return HYP_ESTOPPED;
    if (r->have_kept && r->kept.step > r->saved_step && r->kept.step > 0) {
        st = runfolder_flush(r->folder, &io);
        runfolder_name(r->folder, "checkpoint.safetensors", path);
        if (st == HYP_OK)
            st = checkpoint_write(path, r->plan, &r->kept, &io);
        r->saved_step = r->kept.step;
    }
    if (st != HYP_OK)
        return hyp_fail(err, st, "%s", io.text);
    run_message(r, HYP_MESSAGE_INFO,
                "stopped in a probe; from cycle %lld go on with: hypno train --resume %s",
                (long long)(r->saved_step > 0 ? r->saved_step : 0), r->folder->path);
    return HYP_ESTOPPED;
}

static enum hyp_status stopped(struct run *r, struct hyp_error *err)
{
    const int n = stop_signal();
    const enum hyp_status st = r->saved_step == r->now.step ? HYP_OK : save(r, err);

    if (st != HYP_OK)
        return st;
    draw_plots(r, true, NULL);
    if (r->folder)
        run_message(r, HYP_MESSAGE_INFO,
                    "stopped after cycle %lld; go on with: hypno train --resume %s",
                    (long long)r->now.step, r->folder->path);
    return hyp_fail(err, HYP_ESTOPPED, "stopped by signal %d after cycle %lld", n,
                    (long long)r->now.step);
}

/* What stands behind the last checkpoint's length of the metrics. */
static enum hyp_status finish(struct run *r, struct hyp_error *err)
{
    enum hyp_status st = r->saved_step == r->now.step ? HYP_OK : save(r, err);
    if (st == HYP_OK && r->ntimes > 0)
        st = log_losses(r, err);
    const bool none_asked = r->opt->epochs == 0 || r->opt->cycles == 0;
    if (st == HYP_OK)
        st = probes_run(r, none_asked || r->now.step == 0 ? WHEN_ONCE : WHEN_END, err);
    if (st == HYP_OK && r->folder)
        st = runfolder_flush(r->folder, err);
    return st == HYP_OK ? draw_plots(r, true, err) : st;
}

static enum hyp_status loop(struct run *r, struct hyp_error *err)
{
    enum hyp_status st = HYP_OK;
    if (schedule_ready(r) && !schedule_limit_reached(r) && r->now.step == 0)
        st = probes_run(r, WHEN_START, err);
    while (st == HYP_OK && schedule_ready(r) && !schedule_limit_reached(r)) {
        if (run_stopping(r))
            return stopped(r, err);
        st = one_cycle(r, err);
    }
    if (st == HYP_OK)
        st = finish(r, err);
    return st == HYP_ESTOPPED ? stopped_in_probe(r, err) : st;
}

enum hyp_status hyp_train(struct hyp_plan *plan, struct pool *pool,
                          const struct hyp_run_options *o,
                          const struct hyp_run_callbacks *cb, struct hyp_summary *out,
                          struct hyp_error *err)
{
    struct runfolder folder = {.csv.fd = -1, .jsonl.fd = -1};
    struct run *r = hyp_calloc(1, sizeof *r);

    *out = (struct hyp_summary){0};
    if (!r)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for a run");
    r->plan = plan;
    r->pool = pool;
    r->opt = o;
    r->cb = cb;
    r->started = o->started > 0 ? o->started : run_clock();
    if (o->signals)
        stop_catch();
    enum hyp_status st = start(r, &folder, err);
    if (st == HYP_OK)
        st = loop(r, err);
    if (o->signals)
        stop_release();
    run_summary(r, out);
    if (st == HYP_ESTOPPED)
        out->signal = stop_signal();
    runfolder_close(&folder);
    run_close(r);
    hyp_free(r);
    return st;
}
