/* What a run was, as a struct and as the JSON of `--summary json`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/base/alloc.h"
#include "runtime/base/json.h"
#include "runtime/run.h"

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median_time(struct run *r)
{
    const size_t n = r->ntimes < RUN_TIMES ? (size_t)r->ntimes : RUN_TIMES;
    if (n == 0)
        return 0;
    qsort(r->times, n, sizeof *r->times, by_size);
    return n % 2 ? r->times[n / 2] : (r->times[n / 2 - 1] + r->times[n / 2]) / 2;
}

void run_summary(struct run *r, struct hyp_summary *out)
{
    struct rusage u;

    out->cycles = r->now.step;
    out->epochs = r->now.epoch;
    out->seconds_per_cycle = median_time(r);
    out->first_cycle_seconds = r->first_cycle;
    out->compile_seconds = r->plan->compile_seconds;
    out->kernels = r->plan->nkernel;
    out->compiled_kernels = r->plan->compiled;
    out->arena_bytes = r->plan->segment_bytes[HYP_SEG_SCRATCH];
    if (getrusage(RUSAGE_SELF, &u) == 0)
        out->peak_rss_bytes = (uint64_t)u.ru_maxrss * 1024;
    out->nvalue = r->values.n;
    out->value = r->values.value;
    r->values = (struct values){0};
    snprintf(out->fault, sizeof out->fault, "%s", r->fault);
}

void hyp_summary_fini(struct hyp_summary *s)
{
    struct values v = {s->value, s->nvalue, s->nvalue};
    values_fini(&v);
    *s = (struct hyp_summary){0};
}

static void put_value(struct json_writer *w, const struct hyp_value *v)
{
    json_key(w, v->name);
    if (v->list)
        json_open(w, '[');
    for (uint32_t i = 0; i < v->n; i++)
        json_number(w, v->v[i]);
    if (v->list)
        json_close(w);
}

static void put_number(struct json_writer *w, const char *key, double x)
{
    json_key(w, key);
    json_number(w, x);
}

char *hyp_summary_json(const struct hyp_summary *s)
{
    struct json_writer w;

    json_init(&w);
    json_open(&w, '{');
    put_number(&w, "cycles", (double)s->cycles);
    put_number(&w, "epochs", (double)s->epochs);
    put_number(&w, "seconds_per_cycle", s->seconds_per_cycle);
    put_number(&w, "first_cycle_seconds", s->first_cycle_seconds);
    put_number(&w, "compile_seconds", s->compile_seconds);
    put_number(&w, "kernels", (double)s->kernels);
    put_number(&w, "compiled_kernels", (double)s->compiled_kernels);
    put_number(&w, "arena_bytes", (double)s->arena_bytes);
    put_number(&w, "peak_rss_bytes", (double)s->peak_rss_bytes);
    json_key(&w, "values");
    json_open(&w, '{');
    for (uint32_t i = 0; i < s->nvalue; i++)
        if (s->value[i].known)
            put_value(&w, &s->value[i]);
    json_close(&w);
    json_close(&w);
    if (w.failed) {
        json_fini(&w);
        return NULL;
    }
    return w.text;
}
