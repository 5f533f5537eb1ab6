/*
 * Compiling and loading.  Every thread has its own context and target machine and takes one
 * nest after the other: one module, one object each, from the cache where that has it.  The
 * objects are the ones that ahead-of-time compilation would link; they are loaded by LLJIT
 * once all are there.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/backend.h"
#include "codegen/llvm/emit.h"
#include "codegen/llvm/llvm.h"
#include "runtime/base/alloc.h"
#include "runtime/base/cache.h"
#include "runtime/base/diag.h"

enum { THREADS_MAX = 64, WHY = 256, NAME = 24 };

struct code {
    LLVMOrcLLJITRef jit;
};

/* A nest, and all that equal it. */
struct item {
    uint8_t key[32]; /* of the object */
    char name[NAME]; /* of its functions, before the number of the stage */
    const struct nest *nest;
    LLVMMemoryBufferRef object;
    uint32_t same; /* the first item with this key */
    double size;   /* of its code, roughly */
};

struct work {
    const struct load_job *job;
    bool distrust;              /* nothing is taken from the cache */
    struct item *item, **order; /* the largest first: threads end together */
    atomic_uint next, compiled, cached;
    atomic_bool failed;
    char why[WHY]; /* written by the first that fails */
};

static void fail(struct work *w, const char *what, const char *detail)
{
    if (!atomic_exchange(&w->failed, true))
        snprintf(w->why, sizeof w->why, "%s%s%s", what, detail ? ": " : "",
                 detail ? detail : "");
}

static void fail_refused(struct work *w, const char *kernel, const char *message)
{
    char what[128];
    snprintf(what, sizeof what, "LLVM refuses `%.100s`", kernel);
    fail(w, what, message);
}

/* ---- objects ---- */

static bool take_cached(struct work *w, struct item *it)
{
    uint8_t *data;
    size_t n;
    if (!w->job->cache || w->distrust || !cache_get(w->job->cache, it->key, &data, &n))
        return false;
    it->object = LLVMCreateMemoryBufferWithMemoryRangeCopy((const char *)data, n, it->name);
    hyp_free(data);
    atomic_fetch_add(&w->cached, 1);
    return true;
}

static void compile_one(struct work *w, struct ll_host *h, struct item *it)
{
    LLVMModuleRef mod = ll_module(h);
    char *message = NULL;
    const char *what = it->nest->name ? it->nest->name : "a kernel";
    const char *why = ll_emit(h, mod, it->nest, w->job->target, it->name);
    if (why)
        fail(w, what, why);
    else if (LLVMVerifyModule(mod, LLVMReturnStatusAction, &message))
        fail_refused(w, what, message);
    LLVMDisposeMessage(message);
    message = NULL;
    if (!atomic_load(&w->failed) &&
        LLVMTargetMachineEmitToMemoryBuffer(h->tm, mod, LLVMObjectFile, &message,
                                            &it->object)) {
        fail(w, "code generation", message);
        LLVMDisposeMessage(message);
    }
    LLVMDisposeModule(mod);
    if (it->object && w->job->cache)
        cache_put(w->job->cache, it->key, LLVMGetBufferStart(it->object),
                  LLVMGetBufferSize(it->object));
    atomic_fetch_add(&w->compiled, 1);
}

/* One thread's share; LLVM is set up when something is to be compiled. */
static void *make_objects(void *cx)
{
    struct work *w = cx;
    struct ll_host *h = NULL;
    uint32_t i;
    while ((i = atomic_fetch_add(&w->next, 1)) < w->job->n && !atomic_load(&w->failed)) {
        struct item *it = w->order[i];
        const char *why = NULL;
        if (it->same != it - w->item || take_cached(w, it))
            continue;
        if (!h && !(h = ll_host_new(w->job->target, &why)))
            fail(w, "LLVM", why);
        else
            compile_one(w, h, it);
    }
    ll_host_free(h);
    return NULL;
}

static void on_all_threads(struct work *w, void *make(void *))
{
    pthread_t other[THREADS_MAX];
    unsigned started = 0, threads = w->job->threads;
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    if (threads > w->job->n)
        threads = w->job->n;
    while (started + 1 < threads && pthread_create(&other[started], NULL, make, w) == 0)
        started++;
    make(w);
    while (started > 0)
        pthread_join(other[--started], NULL);
}

/* ---- items ---- */

static int by_key(const void *x, const void *y)
{
    const struct item *const *a = x, *const *b = y;
    const int order = memcmp((*a)->key, (*b)->key, sizeof(*a)->key);
    return order ? order : *a < *b ? -1 : *a > *b;
}

static bool find_equal(struct work *w)
{
    const uint32_t n = w->job->n;
    struct item **order = malloc((n + 1U) * sizeof *order);
    for (uint32_t i = 0; order && i < n; i++)
        order[i] = &w->item[i];
    if (order && n)
        qsort(order, n, sizeof *order, by_key);
    for (uint32_t i = 0; order && i < n; i++) {
        const bool again = i && !memcmp(order[i]->key, order[i - 1]->key, 32);
        order[i]->same = again ? order[i - 1]->same : (uint32_t)(order[i] - w->item);
    }
    free(order);
    return order != NULL;
}

static int by_size(const void *x, const void *y)
{
    const struct item *const *a = x, *const *b = y;
    return (*a)->size != (*b)->size ? ((*a)->size < (*b)->size ? 1 : -1)
                                    : (*a > *b) - (*a < *b);
}

static void order_items(struct work *w)
{
    for (uint32_t i = 0; i < w->job->n; i++) {
        struct item *it = w->order[i] = &w->item[i];
        it->size = it->same == i ? nest_code_size(it->nest, w->job->target) : 0;
    }
    qsort(w->order, w->job->n, sizeof *w->order, by_size);
}

static bool make_items(struct work *w)
{
    const struct load_job *job = w->job;
    w->item = calloc(job->n + 1U, sizeof *w->item);
    w->order = calloc(job->n + 1U, sizeof *w->order);
    for (uint32_t i = 0; w->item && w->order && i < job->n; i++) {
        struct item *it = &w->item[i];
        uint8_t key[32];
        it->nest = job->nest[i];
        if (!job->key)
            nest_key(it->nest, job->target, "llvm", key);
        llvm_object_key(job->key ? job->key[i] : key, job->target, it->key);
        *it->name = 'k';
        for (unsigned b = 0; b < (NAME - 2) / 2; b++)
            snprintf(it->name + 1 + 2 * b, 3, "%02x", it->key[b]);
    }
    if (!w->item || !w->order || !find_equal(w))
        return false;
    order_items(w);
    return true;
}

static void drop_objects(struct work *w)
{
    for (uint32_t i = 0; w->item && i < w->job->n; i++) {
        if (w->item[i].object)
            LLVMDisposeMemoryBuffer(w->item[i].object);
        w->item[i].object = NULL;
    }
}

/* ---- loading ---- */

static bool took(struct work *w, const char *what, LLVMErrorRef e)
{
    if (!e)
        return true;
    char *message = LLVMGetErrorMessage(e);
    fail(w, what, message);
    LLVMDisposeErrorMessage(message);
    return false;
}

static bool look_up(struct work *w, LLVMOrcLLJITRef jit, struct loaded_stage *stage)
{
    for (uint32_t i = 0; i < w->job->n; i++)
        for (uint32_t s = 0; s < w->job->nest[i]->nstage; s++, stage++) {
            char name[NAME + 12];
            LLVMOrcExecutorAddress at = 0;
            snprintf(name, sizeof name, "%s_%u", w->item[i].name, s);
            if (!took(w, name, LLVMOrcLLJITLookup(jit, &at, name)))
                return false;
            uintptr_t address = (uintptr_t)at;
            *stage = (struct loaded_stage){0};
            memcpy(&stage->fn, &address, sizeof stage->fn);
        }
    return true;
}

/* Failures come back from the look-up; LLVM would print them as well. */
static void keep_quiet(void *cx, LLVMErrorRef e)
{
    (void)cx;
    LLVMConsumeError(e);
}

static struct code *link_objects(struct work *w, struct loaded_stage *stage)
{
    struct code *c = calloc(1, sizeof *c);
    bool ok = c && took(w, "LLJIT", LLVMOrcCreateLLJIT(&c->jit, NULL));
    if (ok)
        LLVMOrcExecutionSessionSetErrorReporter(LLVMOrcLLJITGetExecutionSession(c->jit),
                                                keep_quiet, NULL);
    for (uint32_t i = 0; ok && i < w->job->n; i++) {
        LLVMMemoryBufferRef object = w->item[i].object;
        w->item[i].object = NULL; /* LLJIT's from here on */
        ok = !object || took(w, "object",
                             LLVMOrcLLJITAddObjectFile(
                                 c->jit, LLVMOrcLLJITGetMainJITDylib(c->jit), object));
    }
    ok = ok && look_up(w, c->jit, stage);
    if (ok)
        return c;
    backend_llvm.free(c);
    return NULL;
}

static struct code *make_code(struct work *w, struct loaded_stage *stage)
{
    atomic_store(&w->next, 0);
    atomic_store(&w->failed, false);
    atomic_store(&w->compiled, 0);
    on_all_threads(w, make_objects);
    struct code *c = atomic_load(&w->failed) ? NULL : link_objects(w, stage);
    drop_objects(w);
    return c;
}

static struct code *load(const struct load_job *job, struct diag_sink *ds,
                         struct loaded_stage *stage, uint32_t *compiled)
{
    struct work w = {.job = job};
    struct code *c = NULL;
    llvm_start();
    if (!make_items(&w))
        fail(&w, "out of memory", NULL);
    else
        c = make_code(&w, stage);
    if (!c && atomic_load(&w.cached)) { /* what came from the cache may be to blame */
        w.distrust = true;
        c = make_code(&w, stage);
    }
    if (compiled)
        *compiled = atomic_load(&w.compiled);
    free(w.item);
    free(w.order);
    if (!c)
        diag(ds, E9999, (struct loc){0}, "%s", w.why);
    return c;
}

static void unload(struct code *code)
{
    if (code && code->jit) {
        LLVMErrorRef e = LLVMOrcDisposeLLJIT(code->jit);
        if (e)
            LLVMConsumeError(e);
    }
    free(code);
}

const struct backend backend_llvm = {.name = "llvm", .load = load, .free = unload};
