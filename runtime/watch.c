/*
 * The watch for values that are not finite.
 *
 * After each cycle the losses are looked at, and whether a kernel stored a bad value into
 * the state: stages tell, so that the whole state is only gone through to say which tensor
 * it is, after what was not computed (a checkpoint, --init), and before anything is saved.
 * A copy of the run's state some cycles old is kept in memory.  When a fault is found, the
 * copy goes to RUN/fault/, and the cycles since then run again to name the node (blame.c).
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/run.h"

enum { KEEP_EVERY = 128 };

/* ---- looking ---- */

static bool is_float(const struct hyp_tensor *t)
{
    return t->dtype == HYP_F32 || t->dtype == HYP_F64;
}

/* This thread's share of every tensor; the first bad tensor's number into run->scan. */
static void scan_share(void *cx, unsigned thread)
{
    const struct run *r = cx;
    const uint64_t threads = pool_threads(r->pool);

    r->scan[thread] = UINT32_MAX;
    for (uint32_t i = 0; i < r->plan->ntensor; i++) {
        const struct hyp_tensor *t = &r->plan->tensor[i];
        if (!is_float(t))
            continue;
        const uint64_t words = t->bytes / 8, lo = words * thread / threads;
        const uint64_t hi =
            thread + 1 == threads ? t->bytes : words * (thread + 1) / threads * 8;
        if (!exec_finite(r->x, r->now.state + t->offset + lo * 8, hi - lo * 8)) {
            r->scan[thread] = i;
            return;
        }
    }
}

/* Index of the first tensor that is not finite; UINT32_MAX: none. */
static uint32_t bad_tensor(struct run *r)
{
    uint32_t first = UINT32_MAX;
    pool_run(r->pool, scan_share, r);
    for (unsigned t = 0; t < pool_threads(r->pool); t++)
        if (r->scan[t] < first)
            first = r->scan[t];
    return first;
}

static uint32_t bad_loss(const struct run *r)
{
    for (uint32_t i = 0; i < r->nloss; i++) {
        const struct hyp_value *v = &r->values.value[r->loss[i].value];
        if (v->known && !isfinite(v->v[0]))
            return i;
    }
    return UINT32_MAX;
}

/* What is wrong, in words; false: nothing. */
static bool look(struct run *r, bool state, char *text, size_t n)
{
    const uint32_t loss = bad_loss(r);
    if (loss != UINT32_MAX) {
        const struct hyp_value *v = &r->values.value[r->loss[loss].value];
        snprintf(text, n, "loss `%.80s` is %s", v->name,
                 isnan(v->v[0]) ? "not a number" : "infinite");
        return true;
    }
    r->looked = true;
    const uint32_t t = state ? bad_tensor(r) : UINT32_MAX;
    if (t == UINT32_MAX)
        return false;
    const struct hyp_tensor *w = &r->plan->tensor[t];
    snprintf(text, n, "`%.80s` (%.60s:%u) is not finite", w->name, w->file ? w->file : "-",
             w->line);
    return true;
}

/* ---- RUN/fault/ ---- */

static enum hyp_status write_report(const struct run *r, const char *what, int64_t step,
                                    struct hyp_error *err)
{
    char path[RUNFOLDER_PATH];
    struct json_writer w;

    json_init(&w);
    json_open(&w, '{');
    json_key(&w, "code");
    json_string(&w, "R0951");
    json_key(&w, "what");
    json_string(&w, what);
    json_key(&w, "first");
    json_string(&w, r->fault);
    json_key(&w, "cycle");
    json_int(&w, step);
    json_key(&w, "kept_at_cycle");
    json_int(&w, r->kept.step);
    json_key(&w, "replay");
    json_string(&w, "hypno train --resume FOLDER, with this folder");
    json_close(&w);
    runfolder_name(r->folder, "fault/report.json", path);
    const enum hyp_status st = w.failed ? HYP_ENOMEM : file_put(path, w.text, w.n, err);
    json_fini(&w);
    return st;
}

static enum hyp_status write_replay(const struct run *r, struct hyp_error *err)
{
    char path[RUNFOLDER_PATH];

    runfolder_name(r->folder, "fault", path);
    enum hyp_status st = file_make_dir(path, err);
    runfolder_name(r->folder, "fault/checkpoint.safetensors", path);
    if (st == HYP_OK)
        st = checkpoint_write(path, r->plan, &r->kept, err);
    runfolder_name(r->folder, "fault/model.yaml", path);
    if (st == HYP_OK && r->opt->model_text)
        st = file_put(path, r->opt->model_text, strlen(r->opt->model_text), err);
    return st;
}

static enum hyp_status report(struct run *r, const char *what, struct hyp_error *err)
{
    const int64_t step = r->now.step, epoch = r->now.epoch;
    struct hyp_error io = {0};
    const bool to_disk = r->folder && r->have_kept;

    if (to_disk)
        write_replay(r, &io);
    r->fault[0] = '\0';
    if (r->have_kept)
        blame_cycle(r, step);
    if (!r->fault[0])
        snprintf(r->fault, sizeof r->fault, "not found by running the cycle again");
    if (to_disk && io.status == HYP_OK)
        write_report(r, what, step, &io);
    return hyp_fail(err, HYP_ENONFINITE,
                    "%s after cycle %lld (epoch %lld); the first such value is in %s", what,
                    (long long)step, (long long)epoch, r->fault);
}

enum hyp_status watch_cycle(struct run *r, struct hyp_error *err)
{
    char what[256];
    const bool told = exec_stored_bad(r->x);
    return look(r, told || !r->looked, what, sizeof what) ? report(r, what, err) : HYP_OK;
}

enum hyp_status watch_before_saving(struct run *r, struct hyp_error *err)
{
    char what[256];
    return look(r, true, what, sizeof what) ? report(r, what, err) : HYP_OK;
}

void watch_keep(struct run *r)
{
    if (!r->kept.state ||
        (r->have_kept && r->now.cycle != 0 && r->now.step - r->kept.step < KEEP_EVERY))
        return;
    run_note_log(r);
    moment_copy(&r->kept, &r->now, r->plan);
    r->have_kept = true;
}
