#include "tests/train/model_run.h"

#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/arena.h"
#include "runtime/base/sha256.h"
#include "runtime/exec.h"
#include "tests/unit/scratch.h"

#define PAPER  "graphs/papers/adversarial-wake-sleep/"
#define DREAMS "graphs/papers/dreaming/"

const struct model_case shipped_models[] = {
    {.path = PAPER "mnist-oscillation.yaml"},
    {.path = PAPER "mnist-global.yaml"},
    {.path = PAPER "mnist-vae.yaml"},
    {.path = PAPER "toy-4-neurons.yaml", .condition = "adversarial"},
    {.path = PAPER "toy-4-neurons.yaml", .condition = "likelihood"},
    {.path = PAPER "cifar-six.yaml",
     .set = {"constants.c1=3", "constants.c2=5", "constants.c3=6", "constants.c4=7",
             "constants.c5=9", "constants.image_hidden=4", "constants.seen1=3",
             "constants.seen2=5", "constants.seen3=6"}},
    {.path = DREAMS "pad.yaml", .set = {"constants.width=6", "constants.latents=10"}},
    {.path = DREAMS "contrastive.yaml",
     .set = {"constants.width=6", "constants.latents=10"}},
    {.path = NULL},
};

/* ---- compiling ---- */

static const char *cache; /* its folder, or NULL */

int model_cache_setup(void **state)
{
    if (scratch_setup(state) != 0)
        return -1;
    cache = scratch_dir;
    return 0;
}

int model_cache_teardown(void **state)
{
    cache = NULL;
    return scratch_teardown(state);
}

struct compiled *model_compile(const struct model_case *m)
{
    const char *root = getenv("HYP_SOURCE_DIR");
    char path[4096], batch[64];
    const char *set[MODEL_SETS + 1];
    bool ok;
    struct compile_options o = {
        .backend = m->backend,
        .threads = 2,
        .cache_dir = cache,
        .cache_limit = UINT64_MAX,
        .fuse_off = m->fuse_off,
        .pass = {.remat_off = m->remat_off, .scarcity = m->scarcity},
        .model = {.condition = m->condition, .set = set}};
    for (unsigned i = 0; i < MODEL_SETS && m->set[i]; i++)
        set[o.model.nset++] = m->set[i];
    snprintf(path, sizeof path, "%s%s%s",
             m->path[0] == '/' ? ""
             : root            ? root
                               : ".",
             m->path[0] == '/' ? "" : "/", m->path);
    if (m->batch) {
        snprintf(batch, sizeof batch, "settings.batch=%lld", (long long)m->batch);
        set[o.model.nset++] = batch;
    }
    struct compiled *c = compile_model(path, &o, UNTIL_CODE, &ok);
    if (!ok) {
        diag_print(c->diags, stderr, false);
        fail_msg("%s does not compile", path);
    }
    return c;
}

/* ---- data ---- */

static uint32_t scramble(uint64_t x)
{
    x = (x ^ (x >> 31)) * 0x9E3779B97F4A7C15U;
    x = (x ^ (x >> 29)) * 0xBF58476D1CE4E5B9U;
    return (uint32_t)(x >> 32);
}

/* Pixels: two thirds black, the rest in 256 steps; labels 0 to 9.  By the field, since
 * plans order them as they are read. */
static void fill_inputs(const struct exec *x, const struct hyp_phase *ph, unsigned cycle,
                        int64_t batch)
{
    for (uint32_t i = 0; i < ph->ninput; i++) {
        const struct hyp_field *f =
            &x->plan->source[ph->input[i].source].field[ph->input[i].field];
        const uint64_t field = ph->input[i].source * 16U + ph->input[i].field;
        void *at = exec_address(x, ph->input[i].buffer);
        int64_t n = batch;
        for (unsigned d = 0; d < f->rank; d++)
            n *= f->dim[d];
        for (int64_t k = 0; k < n; k++) {
            const uint32_t r =
                scramble(((uint64_t)cycle << 40) + (field << 32) + (uint64_t)k);
            const float v = r % 3 ? 0 : (float)(r >> 24) / 255;
            if (f->is_int)
                ((int32_t *)at)[k] = (int32_t)(r % 10);
            else if (x->plan->f64)
                ((double *)at)[k] = (double)v;
            else
                ((float *)at)[k] = v;
        }
    }
}

/* ---- running ---- */

static void write_losses(FILE *out, const struct exec *x, const struct hyp_phase *ph,
                         unsigned cycle)
{
    for (uint32_t i = 0; i < ph->noutput; i++)
        if (ph->output[i].loss)
            fprintf(out, "cycle %u %s %a\n", cycle, ph->output[i].name,
                    exec_number(x, &ph->output[i]));
}

static void write_state(FILE *out, const struct exec *x)
{
    for (uint32_t i = 0; i < x->plan->ntensor; i++) {
        const struct hyp_tensor *t = &x->plan->tensor[i];
        struct sha256 sum;
        uint8_t hash[32];
        char hex[65];
        if (t->per_sample)
            continue;
        sha256_init(&sum);
        sha256_add(&sum, x->segment[HYP_SEG_STATE] + t->offset, t->bytes);
        sha256_end(&sum, hash);
        sha256_hex(hash, hex);
        fprintf(out, "%s %s\n", t->name, hex);
    }
    for (uint32_t i = 0; i < x->plan->ncounter; i++)
        fprintf(out, "%s %a\n", x->plan->counter[i].name, x->counter[i]);
}

static void run_cycle(struct exec *x, unsigned cycle, int64_t batch, FILE *out)
{
    struct hyp_error err = {0};
    for (uint32_t i = 0; i < x->plan->nphase; i++) {
        struct hyp_phase *ph = &x->plan->phase[i];
        if (ph->draw == UINT32_MAX || !ph->loaded)
            continue;
        fill_inputs(x, ph, cycle, batch);
        x->fixed[HYP_COUNTER_CYCLE] = x->fixed[HYP_COUNTER_STEP] = cycle;
        if (exec_phase(x, i, batch, &err) != HYP_OK)
            fail_msg("%s: %s", ph->name, err.text);
        write_losses(out, x, ph, cycle);
    }
}

char *model_train(struct arena *a, struct compiled *c, unsigned threads, int64_t batch,
                  unsigned cycles)
{
    struct pool *pool = NULL;
    struct exec *x = NULL;
    struct hyp_error err = {0};
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    assert_non_null(out);
    if (pool_new(threads, &pool, &err) != HYP_OK ||
        exec_new(c->plan, pool, 7, &x, &err) != HYP_OK || exec_init(x, &err) != HYP_OK)
        fail_msg("%s", err.text);
    for (unsigned k = 0; k < cycles; k++)
        run_cycle(x, k, batch, out);
    write_state(out, x);
    fclose(out);
    exec_free(x);
    pool_free(pool);
    char *copy = arena_str(a, text);
    free(text);
    assert_non_null(strstr(copy, "cycle 0 "));
    assert_null(strstr(copy, " nan"));
    return copy;
}

void same_run(const char *what, const char *x, const char *y)
{
    while (*x || *y) {
        const size_t nx = strcspn(x, "\n"), ny = strcspn(y, "\n");
        if (nx != ny || memcmp(x, y, nx) != 0)
            fail_msg("%s:\n  %.*s\n  %.*s", what, (int)nx, x, (int)ny, y);
        x += nx + (x[nx] != 0);
        y += ny + (y[ny] != 0);
    }
}
