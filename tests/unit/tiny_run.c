#include "tests/unit/tiny_run.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "runtime/safetensors.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/scratch.h"

char tiny_messages[8192];
struct hyp_error tiny_error;
const char *tiny_init_file;
double tiny_save_seconds;
bool tiny_signals;
uint64_t tiny_seed;

int tiny_setup(void **state)
{
    if (scratch_setup(state) != 0)
        return -1;
    tiny_write_table(scratch_dir);
    return 0;
}

static void keep_message(void *cx, enum hyp_message kind, const char *text)
{
    const size_t n = strlen(tiny_messages);
    (void)cx, (void)kind;
    snprintf(tiny_messages + n, sizeof tiny_messages - n, "%s\n", text);
}

static const struct hyp_run_callbacks callbacks = {.message = keep_message};

/* One pool is enough, and the tests of failing allocations count none of it. */
static struct pool *pool(void)
{
    static struct pool *p;
    if (!p)
        assert_int_equal(pool_new(2, &p, NULL), HYP_OK);
    return p;
}

static void options(struct hyp_run_options *o, const char *out, char path[1024])
{
    static const char *dirs[1];
    dirs[0] = scratch_dir;
    hyp_run_defaults(o);
    snprintf(path, 1024, "%s/%s", scratch_dir, out ? out : "");
    o->out = out ? path : NULL;
    o->dirs = dirs;
    o->ndirs = 1;
    o->seed = tiny_seed;
    o->model_text = "hypnograph: 1\n";
    o->command = "hypno train tiny.yaml";
    o->save_seconds = tiny_save_seconds;
    o->signals = tiny_signals;
    tiny_messages[0] = '\0';
    tiny_error = (struct hyp_error){0};
}

enum hyp_status tiny_train(const char *out, int64_t epochs, int64_t cycles, bool resume,
                           struct hyp_summary *s)
{
    struct hyp_run_options o;
    char path[1024], init[1024];

    options(&o, out, path);
    o.epochs = epochs;
    o.cycles = cycles;
    o.resume = resume;
    snprintf(init, sizeof init, "%s/%s", scratch_dir, tiny_init_file ? tiny_init_file : "");
    o.init = tiny_init_file ? init : NULL;
    return hyp_train(&tiny, pool(), &o, &callbacks, s, &tiny_error);
}

enum hyp_status tiny_eval(const char *out, const char *const *probe, unsigned n,
                          struct hyp_summary *s)
{
    struct hyp_run_options o;
    char path[1024];
    options(&o, out, path);
    return hyp_eval(&tiny, pool(), &o, &callbacks, probe, n, s, &tiny_error);
}

enum hyp_status tiny_dream(const char *out, uint64_t seed, uint32_t n, const char *file)
{
    struct hyp_run_options o;
    char path[1024], to[1024];
    options(&o, out, path);
    o.seed = seed;
    snprintf(to, sizeof to, "%s/%s", scratch_dir, file);
    return hyp_dream(&tiny, pool(), &o, NULL, NULL, n, to, &tiny_error);
}

double *tiny_value(const struct hyp_summary *s, const char *name)
{
    for (uint32_t i = 0; i < s->nvalue; i++)
        if (strcmp(s->value[i].name, name) == 0 && s->value[i].known)
            return s->value[i].v;
    return NULL;
}

static void read_file(const char *run, const char *name, uint8_t **bytes, size_t *n)
{
    char path[2048];
    snprintf(path, sizeof path, "%s/%s/%s", scratch_dir, run, name);
    assert_int_equal(file_read(path, 1 << 24, bytes, n, NULL), HYP_OK);
}

void tiny_read_tensor(const char *run, const char *name, void *out, size_t nbytes)
{
    struct arena *a = arena_new();
    struct safetensors s;
    uint8_t *bytes;
    size_t n;

    read_file(run, "checkpoint.safetensors", &bytes, &n);
    assert_int_equal(safetensors_parse(a, bytes, n, run, &s, NULL), HYP_OK);
    const struct safetensor *t = safetensors_find(&s, name);
    assert_non_null(t);
    assert_int_equal(t->nbytes, nbytes);
    memcpy(out, t->data, nbytes);
    hyp_free(bytes);
    arena_free(a);
}

void tiny_assert_same_tensor(const char *run_a, const char *run_b, const char *name)
{
    float a[2], b[2];
    tiny_read_tensor(run_a, name, a, sizeof a);
    tiny_read_tensor(run_b, name, b, sizeof b);
    assert_memory_equal(a, b, sizeof a);
}

void tiny_assert_same_run(const char *a, const char *b)
{
    static const char *const name[] = {"metrics.csv", "metrics.jsonl",
                                       "checkpoint.safetensors"};
    for (unsigned i = 0; i < 3; i++) {
        uint8_t *x, *y;
        size_t nx, ny;
        read_file(a, name[i], &x, &nx);
        read_file(b, name[i], &y, &ny);
        if (nx != ny || memcmp(x, y, nx) != 0)
            fail_msg("%s differs between %s and %s (%zu and %zu bytes)", name[i], a, b, nx,
                     ny);
        hyp_free(x);
        hyp_free(y);
    }
}
