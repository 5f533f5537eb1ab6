/*
 * Elements by index in whole models: an embedding trains like the product with a one-hot
 * code, to the bit; everything that chooses gives the same bits on every number of threads,
 * fused or not, in code or interpreted; an index that leaves its range ends the run.
 */
#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/arena.h"
#include "runtime/exec.h"
#include "tests/train/model_run.h"

enum { CYCLES = 3 };

/* %s: what the network `code` makes of a label; K rows. */
static const char embedding[] =
    "hypnograph: 1\n"
    "settings: {batch: 96}\n"
    "constants: {K: %d}\n"
    "data: {seen: {source: digits, split: train, batch: $batch}}\n"
    "networks:\n"
    "  code(label):\n"
    "    weights: {table: {shape: [K, 33], init: \"normal(0, 0.3)\"}}\n"
    "    return: %s\n"
    "  draw(z):\n"
    "    h:      relu(linear(z, 32))\n"
    "    return: sigmoid(linear(h, 784))\n"
    "phases:\n"
    "  wake:\n"
    "    nodes:\n"
    "      error: squared_distance(draw(code(seen.label)), flatten(seen.image))\n"
    "    update:\n"
    "      - code, draw: error\n"
    "optimizers: {all: adam(lr=0.01)}\n"
    "schedule: {epochs: 1, cycle: [wake]}\n";

/* All ways to choose: by data, by a setting, by a value of the model, many at once. */
static const char choosing[] =
    "hypnograph: 1\n"
    "settings: {batch: 96, which: 2}\n"
    "data: {seen: {source: digits, split: train, batch: $batch}}\n"
    "networks:\n"
    "  net(x, label):\n"
    "    weights:\n"
    "      table: {shape: [3, 10, 17], init: \"normal(0, 0.3)\"}\n"
    "      scale: {shape: [10], init: 1}\n"
    "    row:    table[$which, label]\n"
    "    other:  table[1, :, 4][label]\n"
    "    best:   argmax(linear(x, 10))\n"
    "    far:    table[:, best, 1:4]\n"
    "    some:   take(x, floor(uniform_place(label)))\n"
    "    back:   put(row * other, floor(16 * sigmoid(row)), [4, 5])\n"
    "    return: concat(row * scale[best], flatten(far), some, flatten(back))\n"
    "functions:\n"
    "  uniform_place(label): ~uniform_int(0, 783, shape=[7]) + 0 * label\n"
    "phases:\n"
    "  wake:\n"
    "    nodes:\n"
    "      y: net(flatten(seen.image), seen.label)\n"
    "      error: mean((sum(y, over=units) - seen.label / 10)**2)\n"
    "    update:\n"
    "      - net: error\n"
    "optimizers: {all: adam(lr=0.01)}\n"
    "schedule: {epochs: 1, cycle: [wake]}\n";

static char *write_model(struct arena *a, const char *text)
{
    char path[] = "/tmp/hypnograph-choose-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    const size_t n = strlen(text);
    assert_true(write(fd, text, n) == (ssize_t)n);
    close(fd);
    return arena_str(a, path);
}

static struct compiled *compiled_of(struct arena *a, const char *text, const char *backend,
                                    bool fuse_off)
{
    const struct model_case m = {.path = write_model(a, text),
                                 .backend = backend,
                                 .batch = 96,
                                 .fuse_off = fuse_off};
    struct compiled *c = model_compile(&m);
    unlink(m.path);
    return c;
}

#ifdef HYP_WITH_LLVM
#define FAST "llvm"
#else
#define FAST "interp"
#endif

/*
 * Up to 96 samples the products' sums are one chain, as the scatter's are, and what the
 * code leaves out adds 0: the same bits.
 */
static void an_embedding_is_a_product(void **state)
{
    struct arena *a = arena_new();
    const char *by_index = arena_fmt(a, embedding, 10, "table[label]");
    const char *by_code = arena_fmt(a, embedding, 10, "matmul(onehot(label, K), table)");
    (void)state;
    struct compiled *x = compiled_of(a, by_index, FAST, false);
    struct compiled *y = compiled_of(a, by_code, FAST, false);
    for (int64_t batch = 25; batch <= 96; batch += 71)
        same_run("table[label] and onehot", model_train(a, x, 2, batch, CYCLES),
                 model_train(a, y, 2, batch, CYCLES));
    compiled_free(x);
    compiled_free(y);
    arena_free(a);
}

static void choices_keep_bits(void **state)
{
    const char *text = *state;
    struct arena *a = arena_new();
    struct compiled *c = compiled_of(a, text, FAST, false);
    struct compiled *apart = compiled_of(a, text, FAST, true);
    struct compiled *slow = compiled_of(a, text, "interp", false);
    const char *one = model_train(a, c, 1, 25, CYCLES);
    for (unsigned t = 2; t <= 7; t = t == 3 ? 7 : t + 1)
        same_run("threads", one, model_train(a, c, t, 25, CYCLES));
    same_run("fused and not", one, model_train(a, apart, 2, 25, CYCLES));
    same_run("code and interpreter", one, model_train(a, slow, 2, 25, CYCLES));
    compiled_free(c);
    compiled_free(apart);
    compiled_free(slow);
    arena_free(a);
}

/* Labels go to 9: a table of 9 rows is too short, which only the run can tell. */
static void an_index_leaves_its_range(void **state)
{
    struct arena *a = arena_new();
    struct pool *pool = NULL;
    struct exec *x = NULL;
    struct hyp_error err = {0};
    (void)state;
    struct compiled *c =
        compiled_of(a, arena_fmt(a, embedding, 9, "table[label]"), FAST, false);
    assert_int_equal(pool_new(1, &pool, &err), HYP_OK);
    assert_int_equal(exec_new(c->plan, pool, 7, &x, &err), HYP_OK);
    assert_int_equal(exec_init(x, &err), HYP_OK);
    for (uint32_t i = 0; i < c->plan->nphase; i++) {
        const struct hyp_phase *ph = &c->plan->phase[i];
        if (ph->draw == UINT32_MAX || !ph->loaded)
            continue;
        int32_t *label = NULL;
        for (uint32_t k = 0; k < ph->ninput; k++)
            if (c->plan->source[ph->input[k].source].field[ph->input[k].field].is_int)
                label = exec_address(x, ph->input[k].buffer);
        assert_non_null(label);
        for (int32_t k = 0; k < 96; k++)
            label[k] = k % 9;
        assert_int_equal(exec_phase(x, i, 96, &err), HYP_OK);
        label[40] = -3;
        label[70] = 9;
        assert_int_equal(exec_phase(x, i, 40, &err), HYP_OK); /* not in this batch */
        assert_int_equal(exec_phase(x, i, 96, &err), HYP_EINDEX);
        assert_non_null(strstr(err.text, "takes element -3 of 9"));
        assert_non_null(strstr(err.text, ":8)"));
        label[40] = 0;
        err = (struct hyp_error){0};
        assert_int_equal(exec_phase(x, i, 96, &err), HYP_EINDEX);
        assert_non_null(strstr(err.text, "takes element 9 of 9"));
    }
    exec_free(x);
    pool_free(pool);
    compiled_free(c);
    arena_free(a);
}

int main(void)
{
    static char by_index[sizeof embedding + 64], all[sizeof choosing];
    snprintf(by_index, sizeof by_index, embedding, 10, "table[label]");
    memcpy(all, choosing, sizeof choosing);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_embedding_is_a_product),
        cmocka_unit_test_prestate(choices_keep_bits, by_index),
        cmocka_unit_test_prestate(choices_keep_bits, all),
        cmocka_unit_test(an_index_leaves_its_range),
    };
    return cmocka_run_group_tests_name("choose", tests, NULL, NULL);
}
