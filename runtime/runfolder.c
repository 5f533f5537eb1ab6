/* The folder's files but for plots and checkpoint; see runfolder.h. */
#include "runtime/runfolder.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/sha256.h"

static const char csv_header[] = "cycle,epoch,name,value\n";

void runfolder_name(const struct runfolder *f, const char *name, char out[RUNFOLDER_PATH])
{
    snprintf(out, RUNFOLDER_PATH, "%.*s/%.200s", (int)sizeof f->path, f->path, name);
}

static enum hyp_status make_dir(const struct runfolder *f, const char *name,
                                struct hyp_error *err)
{
    char path[RUNFOLDER_PATH];
    runfolder_name(f, name, path);
    return file_make_dir(path, err);
}

enum hyp_status runfolder_open(struct runfolder *f, const char *path, struct hyp_error *err)
{
    *f = (struct runfolder){.csv.fd = -1, .jsonl.fd = -1};
    if (strlen(path) >= sizeof f->path)
        return hyp_fail(err, HYP_EARG, "the run folder's path is too long");
    snprintf(f->path, sizeof f->path, "%s", path);
    f->csv.text = hyp_malloc(RUNFOLDER_BUFFER);
    f->jsonl.text = hyp_malloc(RUNFOLDER_BUFFER);
    if (!f->csv.text || !f->jsonl.text)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for the metrics");
    enum hyp_status st = file_make_dir(path, err);
    if (st == HYP_OK)
        st = make_dir(f, "images", err);
    return st == HYP_OK ? make_dir(f, "plots", err) : st;
}

/* Begin anew (0), or go on where the checkpoint was; a file that is shorter was tampered
 * with and goes on where it ends. */
static enum hyp_status begin_log(struct runfolder *f, struct log_file *log,
                                 const char *name, const char *header, uint64_t nbytes,
                                 struct hyp_error *err)
{
    char path[RUNFOLDER_PATH];
    enum hyp_status st = HYP_OK;

    runfolder_name(f, name, path);
    if (nbytes == 0 || !file_exists(path)) {
        st = file_put(path, header, strlen(header), err);
        log->nbytes = strlen(header);
    } else {
        struct hyp_error short_file = {0};
        st = file_truncate(path, nbytes, &short_file);
        if (st != HYP_OK && st != HYP_EFORMAT)
            return hyp_fail(err, st, "%s", short_file.text);
        st = HYP_OK;
        log->nbytes = nbytes;
    }
    return st == HYP_OK ? file_append_open(path, &log->fd, err) : st;
}

enum hyp_status runfolder_begin_metrics(struct runfolder *f, uint64_t csv_bytes,
                                        uint64_t jsonl_bytes, struct hyp_error *err)
{
    enum hyp_status st = begin_log(f, &f->csv, "metrics.csv", csv_header, csv_bytes, err);
    if (st == HYP_OK)
        st = begin_log(f, &f->jsonl, "metrics.jsonl", "", csv_bytes ? jsonl_bytes : 0, err);
    f->has_log = st == HYP_OK;
    return st;
}

static void close_log(struct log_file *log)
{
    if (log->fd >= 0)
        close(log->fd);
    hyp_free(log->text);
    *log = (struct log_file){.fd = -1};
}

void runfolder_close(struct runfolder *f)
{
    close_log(&f->csv);
    close_log(&f->jsonl);
}

/* ---- run.json ---- */

static void describe_settings(struct json_writer *w, const struct hyp_plan *plan)
{
    json_key(w, "settings");
    json_open(w, '{');
    for (uint32_t i = 0; i < plan->nsetting; i++) {
        const struct hyp_setting *s = &plan->setting[i];
        json_key(w, s->name);
        if (s->is_list)
            json_open(w, '[');
        for (uint32_t k = 0; k < s->n; k++)
            json_number(w, plan->setting_value[s->first + k]);
        if (s->is_list)
            json_close(w);
    }
    json_close(w);
}

static void describe_text(struct json_writer *w, const char *key, const char *text)
{
    if (!text)
        return;
    json_key(w, key);
    json_string(w, text);
}

static void describe_number(struct json_writer *w, const char *key, int64_t number)
{
    json_key(w, key);
    json_int(w, number);
}

static enum hyp_status write_json(const struct runfolder *f, struct json_writer *w,
                                  const char *name, struct hyp_error *err)
{
    char path[RUNFOLDER_PATH];
    enum hyp_status st = HYP_ENOMEM;

    runfolder_name(f, name, path);
    if (w->failed)
        hyp_fail(err, st, "out of memory for %s", path);
    else
        st = file_put(path, w->text, w->n, err);
    json_fini(w);
    return st;
}

enum hyp_status runfolder_describe(const struct runfolder *f, const struct hyp_plan *plan,
                                   const struct hyp_run_options *o, uint64_t seed,
                                   unsigned threads, int64_t resumed_at,
                                   struct hyp_error *err)
{
    struct json_writer w;
    char path[RUNFOLDER_PATH], hash[65];

    if (o->model_text) {
        runfolder_name(f, "model.yaml", path);
        const enum hyp_status st =
            file_put(path, o->model_text, strlen(o->model_text), err);
        if (st != HYP_OK)
            return st;
    }
    json_init(&w);
    json_open(&w, '{');
    describe_text(&w, "model", plan->name);
    sha256_hex(plan->model_hash, hash);
    describe_text(&w, "model_sha256", hash);
    describe_text(&w, "version", o->version);
    describe_text(&w, "command", o->command);
    describe_text(&w, "backend", plan->backend);
    describe_text(&w, "target", plan->target);
    describe_number(&w, "seed", (int64_t)seed);
    describe_number(&w, "threads", threads);
    describe_number(&w, "plan_version", plan->version);
    describe_number(&w, "resumed_at_cycle", resumed_at);
    describe_settings(&w, plan);
    json_close(&w);
    return write_json(f, &w, "run.json", err);
}

/* ---- metrics ---- */

static enum hyp_status flush_log(struct log_file *log, struct hyp_error *err)
{
    if (log->n == 0)
        return HYP_OK;
    const enum hyp_status st = file_append(log->fd, log->text, log->n, err);
    log->n = 0;
    return st;
}

enum hyp_status runfolder_flush(struct runfolder *f, struct hyp_error *err)
{
    if (!f->has_log)
        return HYP_OK;
    const enum hyp_status st = flush_log(&f->csv, err);
    return st == HYP_OK ? flush_log(&f->jsonl, err) : st;
}

/* A line that is being put together in the buffer behind log->n; too long: cut. */
struct line {
    struct log_file *log;
    size_t n;
    bool full;
};

static void put(struct line *l, const char *text, size_t n)
{
    if (l->log->n + l->n + n > RUNFOLDER_BUFFER) {
        l->full = true;
        return;
    }
    memcpy(l->log->text + l->log->n + l->n, text, n);
    l->n += n;
}

static void put_fmt(struct line *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void put_fmt(struct line *l, const char *fmt, ...)
{
    char text[96];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    put(l, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

/* What is a float to the bit is shown with a float's digits. */
static void put_number(struct line *l, double x, const char *not_finite)
{
    char text[32];
    if (!isfinite(x)) {
        put(l, not_finite, strlen(not_finite));
        return;
    }
    const int n = (double)(float)x == x ? json_format_float(text, (float)x)
                                        : json_format_double(text, x);
    put(l, text, (size_t)n);
}

/* In double quotes, `quote` inside written as `escaped`. */
static void put_quoted(struct line *l, const char *s, const char *escaped)
{
    put(l, "\"", 1);
    for (; *s; s++)
        if (*s == '"' || (*s == '\\' && escaped[0] == '\\'))
            put_fmt(l, "%c%c", escaped[0], *s);
        else
            put(l, s, 1);
    put(l, "\"", 1);
}

static void put_csv(struct line *l, int64_t cycle, int64_t epoch, const struct hyp_value *v,
                    uint32_t k)
{
    char name[256];
    if (v->list)
        snprintf(name, sizeof name, "%.230s[%u]", v->name, k);
    else
        snprintf(name, sizeof name, "%.250s", v->name);
    put_fmt(l, "%lld,%lld,", (long long)cycle, (long long)epoch);
    if (strpbrk(name, ",\""))
        put_quoted(l, name, "\"");
    else
        put(l, name, strlen(name));
    put(l, ",", 1);
    put_number(l, v->v[k], isnan(v->v[k]) ? "nan" : v->v[k] > 0 ? "inf" : "-inf");
    put(l, "\n", 1);
}

static void put_json(struct line *l, const struct hyp_value *v)
{
    put(l, ",", 1);
    put_quoted(l, v->name, "\\");
    put(l, v->list ? ":[" : ":", v->list ? 2 : 1);
    for (uint32_t k = 0; k < v->n; k++) {
        if (k)
            put(l, ",", 1);
        put_number(l, v->v[k], "null");
    }
    if (v->list)
        put(l, "]", 1);
}

static bool log_once(struct runfolder *f, int64_t cycle, int64_t epoch,
                     const struct hyp_value *const *value, uint32_t n)
{
    struct line csv = {.log = &f->csv}, json = {.log = &f->jsonl};

    put_fmt(&json, "{\"cycle\":%lld,\"epoch\":%lld", (long long)cycle, (long long)epoch);
    for (uint32_t i = 0; i < n; i++) {
        if (!value[i]->known)
            continue;
        for (uint32_t k = 0; k < value[i]->n; k++)
            put_csv(&csv, cycle, epoch, value[i], k);
        put_json(&json, value[i]);
    }
    put(&json, "}\n", 2);
    if (csv.full || json.full)
        return false;
    f->csv.n += csv.n;
    f->csv.nbytes += csv.n;
    f->jsonl.n += json.n;
    f->jsonl.nbytes += json.n;
    return true;
}

enum hyp_status runfolder_log(struct runfolder *f, int64_t cycle, int64_t epoch,
                              const struct hyp_value *const *value, uint32_t n,
                              struct hyp_error *err)
{
    if (!f->has_log || n == 0 || log_once(f, cycle, epoch, value, n))
        return HYP_OK;
    const enum hyp_status st = runfolder_flush(f, err);
    if (st != HYP_OK || log_once(f, cycle, epoch, value, n))
        return st;
    return hyp_fail(err, HYP_EARG, "a value is too long for the metrics");
}
