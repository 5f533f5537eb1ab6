/* Drawn digits: the same bytes everywhere, each sample by itself, labels balanced. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/sha256.h"
#include "runtime/data.h"
#include "runtime/digits.h"
#include "tests/unit/cmocka_all.h"

/* SHA-256 over samples as 784 pixels and the label, train then test, as first published. */
static const char published[] =
    "d6cb9c933682e69a56f4d44f0367cb53bd710ac0107f312c2a84df2b6e71b0f4";

static void bytes_are_as_published(void **state)
{
    static const uint32_t count[] = {DIGITS_TRAIN, DIGITS_TEST};
    struct sha256 h;
    uint8_t sample[DIGITS_PIXELS + 1], digest[32];
    char hex[65];

    (void)state;
    sha256_init(&h);
    for (unsigned split = 0; split < 2; split++)
        for (uint32_t k = 0; k < count[split]; k++) {
            digits_draw(split, k, sample);
            sample[DIGITS_PIXELS] = (uint8_t)digits_label(split, k);
            sha256_add(&h, sample, sizeof sample);
        }
    sha256_end(&h, digest);
    sha256_hex(digest, hex);
    assert_string_equal(hex, published);
}

static void labels_are_balanced(void **state)
{
    unsigned count[10] = {0};
    (void)state;
    for (uint32_t k = 0; k < DIGITS_TRAIN; k++)
        count[digits_label(DIGITS_SPLIT_TRAIN, k)]++;
    for (unsigned d = 0; d < 10; d++)
        assert_in_range(count[d], 5700, 6300); /* four standard deviations of 6000 */
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

/* ---- lazily, by several threads ---- */

enum { SHARED = 3000, THREADS = 4 };

static void *read_all(void *src)
{
    float *x = malloc(DIGITS_PIXELS * sizeof *x);
    uint8_t p[DIGITS_PIXELS];
    intptr_t wrong = 0;

    for (uint32_t k = 0; k < SHARED; k++) {
        data_batch(src, 0, k, 1, x);
        digits_draw(DIGITS_SPLIT_TEST, k, p);
        for (unsigned i = 0; i < DIGITS_PIXELS; i++)
            wrong += x[i] != (float)(p[i] / 255.0);
    }
    free(x);
    return (void *)wrong; /* an integer in a pointer's clothes */
}

static void threads_see_the_same(void **state)
{
    struct hyp_source_desc d;
    struct data_src *s = NULL;
    pthread_t t[THREADS];

    (void)state;
    hyp_source_defaults(&d);
    d.name = d.kind = "digits";
    d.split = "test";
    assert_int_equal(data_open(&d, NULL, 0, NULL, &s, NULL), HYP_OK);
    assert_int_equal(data_count(s), DIGITS_TEST);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, read_all, s), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *wrong = NULL;
        pthread_join(t[i], &wrong);
        assert_null(wrong);
    }
    data_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_as_published),
        cmocka_unit_test(labels_are_balanced),
        cmocka_unit_test(images_are_filled_and_uncut),
        cmocka_unit_test(threads_see_the_same),
    };
    return cmocka_run_group_tests_name("digits", tests, NULL, NULL);
}
