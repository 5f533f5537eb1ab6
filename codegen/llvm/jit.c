/*
 * Compiling and loading.  Every thread has its own context and target machine and takes
 * nests a few at a time: one module, one object each.  The objects are the ones that
 * ahead-of-time compilation would link; they are loaded by LLJIT once all are there.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/backend.h"
#include "codegen/llvm/emit.h"
#include "codegen/llvm/llvm.h"
#include "runtime/base/diag.h"

enum { BATCH_MAX = 8, THREADS_MAX = 64, WHY = 256 };

struct code {
    LLVMOrcLLJITRef jit;
};

struct work {
    struct nest *const *nest;
    uint32_t n, batch;
    const struct target *target;
    atomic_uint next;
    LLVMMemoryBufferRef *object; /* by batch */
    atomic_bool failed;
    char why[WHY]; /* written by the first that fails */
};

static void fail(struct work *w, const char *what, const char *detail)
{
    if (!atomic_exchange(&w->failed, true))
        snprintf(w->why, sizeof w->why, "%s%s%s", what, detail ? ": " : "",
                 detail ? detail : "");
}

/* Which of the module's nests it is. */
static void fail_refused(struct work *w, uint32_t first, uint32_t end, const char *message)
{
    char what[128];
    const uint32_t i = first + llvm_refused(w->nest + first, end - first, w->target);
    const char *name = i < end && w->nest[i]->name ? w->nest[i]->name : "a kernel";
    snprintf(what, sizeof what, "LLVM refuses `%.100s`", name);
    fail(w, what, message);
}

static void emit_batch(struct work *w, struct ll_host *h, uint32_t batch)
{
    LLVMModuleRef mod = ll_module(h);
    uint32_t first = batch * w->batch,
             end = first + w->batch < w->n ? first + w->batch : w->n;
    char *message = NULL;
    for (uint32_t i = first; i < end; i++) {
        const char *why = ll_emit(h, mod, w->nest[i], w->target, i);
        if (why)
            fail(w, w->nest[i]->name ? w->nest[i]->name : "kernel", why);
    }
    if (!atomic_load(&w->failed) && LLVMVerifyModule(mod, LLVMReturnStatusAction, &message))
        fail_refused(w, first, end, message);
    LLVMDisposeMessage(message);
    message = NULL;
    if (!atomic_load(&w->failed) &&
        LLVMTargetMachineEmitToMemoryBuffer(h->tm, mod, LLVMObjectFile, &message,
                                            &w->object[batch])) {
        fail(w, "code generation", message);
        LLVMDisposeMessage(message);
    }
    LLVMDisposeModule(mod);
}

static void *compile(void *cx)
{
    struct work *w = cx;
    const char *why;
    struct ll_host *h = ll_host_new(w->target, &why);
    if (!h) {
        fail(w, "LLVM", why);
        return NULL;
    }
    for (;;) {
        uint32_t batch = atomic_fetch_add(&w->next, 1);
        if (batch * w->batch >= w->n || atomic_load(&w->failed))
            break;
        emit_batch(w, h, batch);
    }
    ll_host_free(h);
    return NULL;
}

static void compile_all(struct work *w, unsigned threads)
{
    pthread_t other[THREADS_MAX];
    unsigned started = 0;
    uint32_t batches = (w->n + w->batch - 1) / w->batch;
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    if (threads > batches)
        threads = batches;
    while (started + 1 < threads && pthread_create(&other[started], NULL, compile, w) == 0)
        started++;
    compile(w);
    while (started > 0)
        pthread_join(other[--started], NULL);
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
    for (uint32_t i = 0; i < w->n; i++)
        for (uint32_t s = 0; s < w->nest[i]->nstage; s++, stage++) {
            char name[48];
            LLVMOrcExecutorAddress at = 0;
            snprintf(name, sizeof name, "k%u_%u", i, s);
            if (!took(w, name, LLVMOrcLLJITLookup(jit, &at, name)))
                return false;
            uintptr_t address = (uintptr_t)at;
            *stage = (struct loaded_stage){0};
            memcpy(&stage->fn, &address, sizeof stage->fn);
        }
    return true;
}

static struct code *link_objects(struct work *w, struct loaded_stage *stage)
{
    struct code *c = calloc(1, sizeof *c);
    bool ok = c && took(w, "LLJIT", LLVMOrcCreateLLJIT(&c->jit, NULL));
    for (uint32_t b = 0; ok && b * w->batch < w->n; b++) {
        LLVMMemoryBufferRef object = w->object[b];
        w->object[b] = NULL; /* LLJIT's from here on */
        ok = took(
            w, "object",
            LLVMOrcLLJITAddObjectFile(c->jit, LLVMOrcLLJITGetMainJITDylib(c->jit), object));
    }
    ok = ok && look_up(w, c->jit, stage);
    if (ok)
        return c;
    backend_llvm.free(c);
    return NULL;
}

static struct code *load(struct nest *const *nest, uint32_t n, const struct target *target,
                         unsigned threads, struct diag_sink *ds, struct loaded_stage *stage)
{
    struct work w = {.nest = nest, .n = n, .target = target};
    struct code *c = NULL;
    if (threads < 1)
        threads = 1;
    w.batch = n / (4 * threads) + 1;
    if (w.batch > BATCH_MAX)
        w.batch = BATCH_MAX;
    w.object = calloc(n + 1U, sizeof(LLVMMemoryBufferRef));
    if (!w.object)
        fail(&w, "out of memory", NULL);
    else
        compile_all(&w, threads);
    if (!atomic_load(&w.failed))
        c = link_objects(&w, stage);
    for (uint32_t b = 0; w.object && b < n; b++)
        if (w.object[b])
            LLVMDisposeMemoryBuffer(w.object[b]);
    free(w.object);
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
