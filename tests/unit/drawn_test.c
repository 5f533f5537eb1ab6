/* What is drawn: the same bytes everywhere, each sample by itself, labels balanced. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/sha256.h"
#include "runtime/data.h"
#include "runtime/data_impl.h"
#include "runtime/digits.h"
#include "runtime/shapes.h"
#include "tests/unit/cmocka_all.h"

struct drawn {
    const char *kind;
    unsigned pixels, count[2];
    unsigned (*label)(unsigned split, uint32_t k);
    data_draw_fn *draw;
    /* SHA-256 over samples as pixels and the label, the first so many of train, then of
     * test, as first published */
    unsigned hashed[2];
    const char *published;
    double linear[2]; /* how well softmax regression on pixels may do */
};

static const struct drawn digits = {
    .kind = "digits",
    .pixels = DIGITS_PIXELS,
    .count = {DIGITS_TRAIN, DIGITS_TEST},
    .label = digits_label,
    .draw = digits_draw,
    .hashed = {DIGITS_TRAIN, DIGITS_TEST},
    .published = "d6cb9c933682e69a56f4d44f0367cb53bd710ac0107f312c2a84df2b6e71b0f4",
    .linear = {0.75, 0.95},
};

static const struct drawn shapes = {
    .kind = "shapes",
    .pixels = SHAPES_PIXELS,
    .count = {SHAPES_TRAIN, SHAPES_TEST},
    .label = shapes_label,
    .draw = shapes_draw,
    .hashed = {10000, SHAPES_TEST},
    .published = "20d91a6fa790c4cd2aa0839d096b47694bb7ba19cb9e342ba0793faef222ba9c",
    .linear = {0.08, 0.18},
};

static void bytes_are_as_published(void **state)
{
    const struct drawn *d = *state;
    struct sha256 h;
    uint8_t sample[DATA_DRAWN_MAX + 1], digest[32];
    char hex[65];

    sha256_init(&h);
    for (unsigned split = 0; split < 2; split++)
        for (uint32_t k = 0; k < d->hashed[split]; k++) {
            d->draw(split, k, sample);
            sample[d->pixels] = (uint8_t)d->label(split, k);
            sha256_add(&h, sample, d->pixels + 1U);
        }
    sha256_end(&h, digest);
    sha256_hex(digest, hex);
    assert_string_equal(hex, d->published);
}

static void labels_are_balanced(void **state)
{
    const struct drawn *d = *state;
    for (unsigned split = 0; split < 2; split++) {
        unsigned count[10] = {0};
        const double mean = d->count[split] / 10.0, far = 4 * sqrt(mean * 0.9);
        for (uint32_t k = 0; k < d->count[split]; k++)
            count[d->label(split, k)]++;
        for (unsigned c = 0; c < 10; c++)
            if (fabs(count[c] - mean) > far) /* four standard deviations */
                fail_msg("%u samples of class %u", count[c], c);
    }
}

/* Ink in every image, and none of it at the border often enough to look cut. */
static void images_are_filled_and_uncut(void **state)
{
    unsigned cut = 0;
    uint8_t p[DIGITS_PIXELS];
    (void)state;
    for (uint32_t k = 0; k < 2000; k++) {
        unsigned ink = 0, edge = 0;
        digits_draw(DIGITS_SPLIT_TEST, k, p);
        for (unsigned i = 0; i < DIGITS_PIXELS; i++) {
            const unsigned x = i % DIGITS_SIDE, y = i / DIGITS_SIDE;
            ink += p[i] > 128;
            edge += (x == 0 || y == 0 || x == 27 || y == 27) && p[i] > 128;
        }
        assert_in_range(ink, 15, 400);
        cut += edge > 0;
    }
    assert_in_range(cut, 0, 20);
}

/* ---- what a linear readout sees ---- */

enum { FIT = 2000, ASK = 1000, EPOCHS = 5, CLASSES = 10 };

/* Standardised roughly: mean 0, range 2. */
static void image(const struct drawn *d, unsigned split, uint32_t k, float *x)
{
    uint8_t p[DATA_DRAWN_MAX];
    d->draw(split, k, p);
    for (unsigned i = 0; i < d->pixels; i++)
        x[i] = ((float)p[i] - 127.5F) / 127.5F;
    x[d->pixels] = 1; /* the bias */
}

static void logits(const float *w, const float *x, unsigned n, double out[CLASSES])
{
    for (unsigned c = 0; c < CLASSES; c++) {
        float lane[8] = {0};
        const float *row = w + (size_t)c * n;
        for (unsigned i = 0; i + 8 <= n; i += 8)
            for (unsigned j = 0; j < 8; j++)
                lane[j] += row[i + j] * x[i + j];
        out[c] = 0;
        for (unsigned j = 0; j < 8; j++)
            out[c] += (double)lane[j];
        for (unsigned i = n / 8 * 8; i < n; i++)
            out[c] += (double)(row[i] * x[i]);
    }
}

static unsigned best(const double *y)
{
    unsigned at = 0;
    for (unsigned c = 1; c < CLASSES; c++)
        at = y[c] > y[at] ? c : at;
    return at;
}

/* One step of softmax regression on one sample. */
static void learn(float *w, const float *x, unsigned n, unsigned label, double rate)
{
    double y[CLASSES], sum = 0;
    logits(w, x, n, y);
    const double top = y[best(y)];
    for (unsigned c = 0; c < CLASSES; c++)
        sum += y[c] = exp(y[c] - top);
    for (unsigned c = 0; c < CLASSES; c++) {
        const float g = (float)(rate * ((c == label) - y[c] / sum));
        for (unsigned i = 0; i < n; i++)
            w[(size_t)c * n + i] += g * x[i];
    }
}

static void linear_readout_is_in_bounds(void **state)
{
    const struct drawn *d = *state;
    const unsigned n = d->pixels + 1;
    float *w = calloc((size_t)n * CLASSES, sizeof *w);
    float *seen = calloc((size_t)n * FIT, sizeof *seen), *x = seen;
    unsigned right = 0;
    double y[CLASSES];

    for (uint32_t k = 0; k < FIT; k++)
        image(d, 0, k, seen + (size_t)k * n);
    for (unsigned e = 0; e < EPOCHS; e++)
        for (uint32_t k = 0; k < FIT; k++)
            learn(w, seen + (size_t)k * n, n, d->label(0, k), 1.0 / n / (1 + e));
    for (uint32_t k = 0; k < ASK; k++) {
        image(d, 1, k, x);
        logits(w, x, n, y);
        right += best(y) == d->label(1, k);
    }
    free(w);
    free(seen);
    if (right < d->linear[0] * ASK || right > d->linear[1] * ASK)
        fail_msg("%u of %d are right", right, ASK);
}

/* ---- lazily, by several threads ---- */

enum { SHARED = 3000, THREADS = 4 };

struct reading {
    const struct drawn *drawn;
    const struct data_src *src;
};

static void *read_all(void *cx)
{
    const struct reading *r = cx;
    const struct drawn *d = r->drawn;
    float *x = malloc(d->pixels * sizeof *x);
    uint8_t p[DATA_DRAWN_MAX];
    intptr_t wrong = 0;

    for (uint32_t k = 0; k < SHARED; k++) {
        data_batch(r->src, 0, k, 1, x);
        d->draw(1, k, p);
        for (unsigned i = 0; i < d->pixels; i++)
            wrong += x[i] != (float)(p[i] / 255.0);
    }
    free(x);
    return (void *)wrong; /* an integer in a pointer's clothes */
}

static void threads_see_the_same(void **state)
{
    const struct drawn *d = *state;
    struct hyp_source_desc desc;
    struct data_src *s = NULL;
    pthread_t t[THREADS];

    hyp_source_defaults(&desc);
    desc.name = desc.kind = d->kind;
    desc.split = "test";
    assert_int_equal(data_open(&desc, NULL, 0, NULL, &s, NULL), HYP_OK);
    assert_int_equal(data_count(s), d->count[1]);
    assert_int_equal(data_field_size(&data_fields(s)->field[0]), d->pixels);
    struct reading r = {d, s};
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, read_all, &r), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *wrong = NULL;
        pthread_join(t[i], &wrong);
        assert_null(wrong);
    }
    data_close(s);
}

static void shapes_have_names(void **state)
{
    struct hyp_source_desc desc;
    struct data_src *s = NULL;
    (void)state;
    hyp_source_defaults(&desc);
    desc.name = desc.kind = "shapes";
    assert_int_equal(data_open(&desc, NULL, 0, NULL, &s, NULL), HYP_OK);
    assert_int_equal(data_count(s), SHAPES_TRAIN);
    assert_int_equal(data_classes(s), SHAPES_CLASSES);
    assert_string_equal(data_class_name(s, 0), "circle");
    assert_string_equal(data_class_name(s, 9), "arrow");
    data_close(s);
}

#define OF(test, drawn)                                                                    \
    {                                                                                      \
#test " (" #drawn ")", test, NULL, NULL, (void *)(uintptr_t) & (drawn)             \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        OF(bytes_are_as_published, digits),
        OF(bytes_are_as_published, shapes),
        OF(labels_are_balanced, digits),
        OF(labels_are_balanced, shapes),
        cmocka_unit_test(images_are_filled_and_uncut),
        OF(linear_readout_is_in_bounds, digits),
        OF(linear_readout_is_in_bounds, shapes),
        OF(threads_see_the_same, digits),
        OF(threads_see_the_same, shapes),
        cmocka_unit_test(shapes_have_names),
    };
    return cmocka_run_group_tests_name("drawn", tests, NULL, NULL);
}
