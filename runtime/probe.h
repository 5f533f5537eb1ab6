/*
 * Inside of probes: how values of a model are computed on samples, and what a metric is.
 *
 * What a plan hands over (struct hyp_probe_value), by name:
 *     value, value.1 ...     VALUE: one number or a list, several are a list
 *     image, beside          IMAGE
 *     of, labels             accuracy, confusion, class_agreement (over `from`)
 *     of, labels, test_of, train.of, train.labels      linear_readout
 *     of, labels, against    latent_geometry, pca
 *     of (or of.0, of.1 ...), against                  frechet
 *     of.A.0, of.A.1 ..., of.B.0 ...   pattern_overlap, histogram_kl: side A (the first
 * that occurs) and B, members of each in order; of.A alone for one member A value whose
 * phase has no data and no draw counter is evaluated on fresh draws, in batches of the
 * planned largest size; a scheduled phase (draw counter, source -1) gives the cycle just
 * run.
 */
#ifndef HYP_RUNTIME_PROBE_H
#define HYP_RUNTIME_PROBE_H

#include "runtime/base/philox.h"
#include "runtime/run.h"

struct nested; /* a trained model of a metric */

struct run_probe {         /* what lives as long as the run */
    struct nested *nested; /* a classifier; a readout, until the last repetition is done */
    double classifier;     /* its accuracy */
    bool have_classifier;
    double untrained; /* pattern_overlap's control */
    bool have_untrained;
};

/* ---- evaluation ---- */

/* Outputs of the phase lie in x for `batch` samples, the first being number `first`. */
typedef enum hyp_status evaluate_fn(void *cx, const struct exec *x, int64_t batch,
                                    int64_t first, struct hyp_error *err);
struct evaluation {
    uint32_t phase;
    int32_t source;
    int64_t limit; /* samples; -1: the whole source, or one batch without one */
};
/* Samples of a source that evaluation sees: all of them; but of one that the schedule does
 * not read, with `last: drop`, those of whole batches. */
uint32_t run_seen(const struct run *r, uint32_t source);

/* r->y must hold the state to be looked at (run_evaluation).  Of a phase that the cycle
 * just run left out there is nothing: fn is not called. */
enum hyp_status run_evaluate(struct run *r, const struct evaluation *e, evaluate_fn *fn,
                             void *cx, struct hyp_error *err);

/* Did the cycle just run leave this phase, or the one whose twin it is, out? */
bool run_left_out(const struct run *r, uint32_t phase);

/* ---- metrics ---- */

bool probe_is_called(const struct hyp_probe *p, const char *name);

struct metric_call {
    struct run *run;
    const struct hyp_probe *probe;
    struct run_probe *own;
    bool pictures;       /* the run folder takes plots and images */
    uint32_t logged[32]; /* values set in this call */
    uint32_t nlogged;
};
typedef enum hyp_status metric_fn(struct metric_call *c, struct hyp_error *err);

struct metric {
    const char *name;
    metric_fn *fn;
};
#define METRIC(name, keys, model, doc) metric_fn metric_##name;
#define METRIC_LATER(name)
#include "runtime/base/metric.def"
#undef METRIC
#undef METRIC_LATER
extern const struct metric metrics[];
extern const unsigned nmetric;
const struct metric *metric_find(const char *name);

/* Set NAME (part NULL) or NAME.PART; of a repetition its share of them. */
enum hyp_status metric_set(struct metric_call *c, const char *part, const double *v,
                           uint32_t n, bool list, struct hyp_error *err);
/* A figure: plots/NAME-epoch0001.svg, where there is a folder. */
struct plot;
enum hyp_status metric_figure(struct metric_call *c, const struct plot *p,
                              struct hyp_error *err);
enum hyp_status metric_number(struct metric_call *c, const char *part, double v,
                              struct hyp_error *err);

/* NULL: the probe has no such value. */
const struct hyp_probe_value *metric_value(const struct metric_call *c, const char *name);
double metric_param(const struct hyp_probe *p, const char *name, double otherwise);
/* `NAME: word`, `NAME: all` or a list with it. */
/* images/NAME-epoch0001.png: where a picture of this call belongs, in the run folder. */
void probe_file(const struct metric_call *c, const char *folder, const char *ending,
                char *name, size_t n);
bool metric_wants(const struct hyp_probe *p, const char *name, const char *word);

/* Rows of floats: all samples of one value. */
struct rows {
    float *v;
    uint32_t n, cap, width;
};
void rows_fini(struct rows *w);
/* w->n rows of an output, w->width being its; false: no memory. */
bool rows_read(struct rows *w, const struct exec *x, const struct hyp_output *o);
/* A signal has come: HYP_ESTOPPED. */
enum hyp_status metric_stopped(const struct metric_call *c, struct hyp_error *err);
/* At most `limit` samples (-1: all) of n values (at most ROWS_AT_ONCE), each phase run
 * once; HYP_EARG where the probe lacks one.  On failure nothing is left to be freed. */
enum { ROWS_AT_ONCE = 4 };
enum hyp_status metric_rows(struct metric_call *c, const char *const *name, unsigned n,
                            int64_t limit, struct rows *out, struct hyp_error *err);
/* Classes 0 .. *classes - 1 (raised where there are more); *label is freed by the caller in
 * any case (hyp_free). */
enum hyp_status rows_to_labels(const struct metric_call *c, const struct rows *w,
                               int32_t **label, uint32_t *classes, struct hyp_error *err);
/* Index of the largest of `width` numbers; of one number: itself as a class. */
int32_t row_class(const float *row, uint32_t width);

/* Random numbers of a metric: the words of (seed, site, draw, unit). */
struct words {
    uint64_t seed, site;
    uint32_t draw, unit;
    uint32_t at; /* 1 + number of the block at hand */
    struct philox block;
};
uint32_t metric_word(struct words *w, uint32_t i);

/* ---- sides: two tuples to be compared ---- */

enum { SIDE_MEMBERS = 16 };
struct side {
    const struct hyp_probe_value *member[SIDE_MEMBERS];
    uint32_t width[SIDE_MEMBERS], n, units;
};
enum hyp_status metric_sides(struct metric_call *c, struct side side[2],
                             struct hyp_error *err);
uint32_t output_width(const struct hyp_output *o);
/* Samples first .. first + n - 1 of one member: units unit .. unit + width - 1 of a side.
 */
struct side_rows {
    unsigned side;
    uint32_t unit, width;
    const float *v;
    int64_t first, n;
};
typedef void side_fn(void *cx, const struct side_rows *rows);
/* All members of both sides, at most `limit` samples; a phase that computes several of them
 * is run once. */
enum hyp_status metric_each_rows(struct metric_call *c, const struct side side[2],
                                 int64_t limit, side_fn *fn, void *cx,
                                 struct hyp_error *err);

/* ---- nested.c: models that a metric trains ---- */

/* Train the compiled model on the given samples; seed and pool are the run's. */
enum hyp_status nested_train(struct metric_call *c, struct hyp_plan *plan,
                             const struct data_given *d, struct nested **out,
                             struct hyp_error *err);
void nested_free(struct nested *n);
/* What its probe `value` reads, for n rows at once: `fn` gets it in pieces, in order. */
typedef void nested_fn(void *cx, const float *row, uint32_t rows, uint32_t width);
enum hyp_status nested_apply(struct nested *n, const char *probe, const float *x,
                             uint32_t rows, uint32_t width, nested_fn *fn, void *cx,
                             struct hyp_error *err);
uint32_t nested_width(const struct nested *n, const char *probe); /* 0: there is none */
/* Classes of n rows: the largest of what its probe `right` reads. */
enum hyp_status nested_classify(struct nested *n, const float *x, uint32_t rows,
                                uint32_t width, int32_t *out, struct hyp_error *err);
/* The classifier of this probe, trained once in a run for all probes that have the same. */
enum hyp_status metric_classifier(struct metric_call *c, struct nested **out,
                                  struct hyp_error *err);

/* KL in nats between smoothed counts, 1/2 added to each of `n` cells */
struct divergence {
    double kl, js, shared;
};
struct divergence divergence_of(const uint32_t *a, const uint32_t *b, size_t stride,
                                size_t n, double na, double nb);

#endif
