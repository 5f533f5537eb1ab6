/* Target machines, modules, and the frame of a stage's function. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

#include "codegen/backend.h"
#include "codegen/llvm/digest.h"
#include "codegen/llvm/emit.h"
#include "codegen/llvm/llvm.h"
#include "runtime/base/sha256.h"

#define AVX512 "+avx512f +avx512vl +avx512dq +avx512bw +avx512cd +fma +bmi2"

/* Rows of target.def that this back end makes code for; the row says how wide, this which
 * machine. */
static const struct {
    const char *name, *triple, *cpu, *features;
    const char *needs; /* of the host, as LLVM names features */
    const char *whose; /* how the names of the processors begin that the row was measured
                          on; others take it only when asked to */
} machine[] = {
    {"zen4", "x86_64-unknown-linux-gnu", "x86-64-v4", "-prefer-256-bit", AVX512, "znver"},
    {"skylake", "x86_64-unknown-linux-gnu", "x86-64-v4", "-prefer-256-bit", AVX512,
     "skylake-avx512 cascadelake cooperlake"},
    {"avx512", "x86_64-unknown-linux-gnu", "x86-64-v4", "-prefer-256-bit", AVX512, ""},
    {"avx2", "x86_64-unknown-linux-gnu", "x86-64-v3", "", "+avx2 +fma +bmi2 +f16c", ""},
    {"neon", "aarch64-unknown-linux-gnu", "generic", "", "+neon", ""},
};
#undef AVX512

static once_flag started = ONCE_FLAG_INIT, started_others = ONCE_FLAG_INIT;
/* For tests: kernels whose text has this word get modules that LLVM refuses. */
static const char *fail_word;

/* Processors that keep no decoded code for lines of 32 bytes that a jump crosses or ends
 * (Intel, "Mitigations for Jump Conditional Code Erratum", 2019). */
static const char jump_erratum[] = "skylake cascadelake";

static bool begins_as_one_of(const char *name, const char *words)
{
    for (; *words; words += strspn(words, " ")) {
        const size_t n = strcspn(words, " ");
        if (strncmp(name, words, n) == 0)
            return true;
        words += n;
    }
    return false;
}

/*
 * What LLVM leaves out: loop strength reduction, because emitted code moves its pointers,
 * and passes that find next to nothing in our nests (a tenth of compiling; without them
 * inner loops are as short and spill half as often).  An option that a version does not
 * know is ignored.
 */
static const char *const options[] = {
    "hypnograph",
    "-disable-lsr",
    "-disable-machine-cse",
    "-disable-machine-sink",
    "-disable-postra-machine-licm",
    "-disable-constant-hoisting",
    "-disable-copyprop",
    "-disable-branch-fold",
    "-grow-region-complexity-budget=30",
    "-x86-experimental-pref-innermost-loop-alignment=6",
    "-x86-branches-within-32B-boundaries", /* the last: only where it helps */
};

static void start_once(void)
{
    const int n = sizeof options / sizeof *options;
    char *cpu = LLVMGetHostCPUName();
    fail_word = getenv("HYP_FAIL_LLVM");
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    LLVMParseCommandLineOptions(begins_as_one_of(cpu, jump_erratum) ? n : n - 1, options,
                                NULL);
    LLVMDisposeMessage(cpu);
}

void llvm_start(void)
{
    call_once(&started, start_once);
}

/* Code for other machines than this one is only looked at, or run under emulation. */
static void start_others(void)
{
    LLVMInitializeAllTargetInfos();
    LLVMInitializeAllTargets();
    LLVMInitializeAllTargetMCs();
    LLVMInitializeAllAsmPrinters();
}

static bool find_target(const char *triple, LLVMTargetRef *target)
{
    char *why = NULL;
    const bool failed = LLVMGetTargetFromTriple(triple, target, &why);
    LLVMDisposeMessage(why);
    return !failed;
}

static const char *host_set_up(struct ll_host *h, const char *triple)
{
    LLVMTargetRef target;
    if (!find_target(triple, &target)) {
        call_once(&started_others, start_others);
        if (!find_target(triple, &target))
            return "this build of LLVM makes no code for the target";
    }
    h->tm =
        LLVMCreateTargetMachine(target, triple, h->cpu, h->features, LLVMCodeGenLevelLess,
                                LLVMRelocPIC, LLVMCodeModelDefault);
    if (!h->tm)
        return "LLVM does not know the processor";
    h->layout = LLVMCreateTargetDataLayout(h->tm);
    return NULL;
}

static void host_types(struct ll_host *h)
{
    h->i1 = LLVMInt1TypeInContext(h->cx);
    h->i8 = LLVMInt8TypeInContext(h->cx);
    h->i32 = LLVMInt32TypeInContext(h->cx);
    h->i64 = LLVMInt64TypeInContext(h->cx);
    h->f32 = LLVMFloatTypeInContext(h->cx);
    h->ptr = LLVMPointerTypeInContext(h->cx, 0);
    h->voidt = LLVMVoidTypeInContext(h->cx);
}

struct ll_host *ll_host_new(const struct target *t, const char **why)
{
    llvm_start();
    struct ll_host *h = calloc(1, sizeof *h);
    *why = h ? "no code generator for this target" : "out of memory";
    for (size_t i = 0; h && i < sizeof machine / sizeof *machine; i++) {
        if (strcmp(machine[i].name, t->name) != 0)
            continue;
        h->cpu = machine[i].cpu;
        h->features = machine[i].features;
        *why = host_set_up(h, machine[i].triple);
    }
    if (!h || *why) {
        ll_host_free(h);
        return NULL;
    }
    h->cx = LLVMContextCreate();
    host_types(h);
    return h;
}

void ll_host_free(struct ll_host *h)
{
    if (!h)
        return;
    if (h->layout)
        LLVMDisposeTargetData(h->layout);
    if (h->tm)
        LLVMDisposeTargetMachine(h->tm);
    if (h->cx)
        LLVMContextDispose(h->cx);
    free(h);
}

static bool host_has(const char *features, const char *needs)
{
    char name[32];
    while (*needs) {
        size_t n = strcspn(needs, " ");
        snprintf(name, sizeof name, "%.*s", (int)n, needs);
        const char *at = strstr(features, name);
        while (at && at[n] && at[n] != ',')
            at = strstr(at + 1, name);
        if (!at)
            return false;
        needs += n + strspn(needs + n, " ");
    }
    return true;
}

bool llvm_runs_here(const struct target *t)
{
    bool fits = false;
    llvm_start();
    char *triple = LLVMGetDefaultTargetTriple(), *features = LLVMGetHostCPUFeatures();
    for (size_t i = 0; i < sizeof machine / sizeof *machine; i++)
        if (strcmp(machine[i].name, t->name) == 0)
            fits = strncmp(triple, machine[i].triple, strcspn(triple, "-")) == 0 &&
                   host_has(features, machine[i].needs);
    LLVMDisposeMessage(triple);
    LLVMDisposeMessage(features);
    return fits;
}

const struct target *llvm_host_target(void)
{
    const struct target *found = NULL;
    llvm_start();
    char *cpu = LLVMGetHostCPUName();
    for (size_t i = 0; i < sizeof machine / sizeof *machine && !found; i++) {
        const struct target *t = target_find(machine[i].name);
        const char *whose = machine[i].whose;
        if (t && (!*whose || begins_as_one_of(cpu, whose)) && llvm_runs_here(t))
            found = t;
    }
    LLVMDisposeMessage(cpu);
    return found;
}

void llvm_object_key(const uint8_t nest[32], const struct target *t, uint8_t key[32])
{
    char who[512];
    unsigned major, minor, patch;
    struct sha256 s;
    size_t i = 0;
    while (i + 1 < sizeof machine / sizeof *machine &&
           strcmp(machine[i].name, t->name) != 0)
        i++;
    LLVMGetVersion(&major, &minor, &patch);
    snprintf(who, sizeof who, "%s %s %s LLVM %u.%u.%u %s", machine[i].triple,
             machine[i].cpu, machine[i].features, major, minor, patch, EMITTER_DIGEST);
    sha256_init(&s);
    sha256_add(&s, nest, 32);
    sha256_add(&s, who, strlen(who));
    sha256_end(&s, key);
}

LLVMModuleRef ll_module(struct ll_host *h)
{
    LLVMModuleRef mod = LLVMModuleCreateWithNameInContext("hypnograph", h->cx);
    char *triple = LLVMGetTargetMachineTriple(h->tm);
    LLVMSetTarget(mod, triple);
    LLVMSetModuleDataLayout(mod, h->layout);
    LLVMDisposeMessage(triple);
    return mod;
}

/* ---- a stage's function ---- */

static void attribute(struct ll *l, const char *key, const char *value)
{
    LLVMAttributeRef a = LLVMCreateStringAttribute(l->h->cx, key, (unsigned)strlen(key),
                                                   value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(l->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

static void begin_function(struct ll *l, const char *name)
{
    LLVMTypeRef in[] = {l->h->ptr, l->h->i64, l->h->i64, l->h->ptr};
    LLVMTypeRef type = LLVMFunctionType(l->h->voidt, in, 4, false);
    unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", 8);
    l->fn = LLVMAddFunction(l->mod, name, type);
    attribute(l, "target-cpu", l->h->cpu);
    attribute(l, "target-features", l->h->features);
    if (l->t->vec == 16)
        attribute(l, "prefer-vector-width", "512");
    LLVMAddAttributeAtIndex(l->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(l->h->cx, nounwind, 0));
    l->args = LLVMGetParam(l->fn, 0);
    l->lo = LLVMGetParam(l->fn, 1);
    l->hi = LLVMGetParam(l->fn, 2);
    l->scratch = LLVMGetParam(l->fn, 3);
}

static bool is_to_fail(const struct ll *l)
{
    return fail_word && strstr(nest_print(l->n, l->arena), fail_word);
}

static void emit_stage(struct ll *l, unsigned stage, const char *kernel)
{
    char name[48];
    snprintf(name, sizeof name, "%s_%u", kernel, stage);
    begin_function(l, name);
    LLVMBasicBlockRef entry = ll_block(l, "entry"), first = ll_block(l, "start");
    LLVMPositionBuilderAtEnd(l->b, entry);
    LLVMBuildBr(l->b, first);
    LLVMPositionBuilderAtEnd(l->b, first);
    l->depth = 0;
    l->region[0] = (struct ll_region){.setup = entry};
    memset(l->bucket, 0, sizeof l->bucket);
    memset(l->axis, 0, sizeof l->axis);
    l->width = 1;
    l->vec_axis = -1;
    ll_tiles_init(l, stage);
    ll_watch_start(l);
    ll_walk_stage(l, &l->n->stage[stage]);
    ll_watch_end(l);
    ll_stores_end(l);
    if (!is_to_fail(l))
        LLVMBuildRetVoid(l->b);
}

const char *ll_emit(struct ll_host *h, LLVMModuleRef mod, const struct nest *n,
                    const struct target *t, const char *name)
{
    struct arena *a = arena_new();
    struct ll *l = arena_alloc(a, sizeof *l);
    *l = (struct ll){.n = n, .t = t, .h = h, .mod = mod, .arena = a, .vec = t->vec};
    sx_init(&l->sx, a);
    l->buf_version = arena_array(a, n->nbuf + 1U, sizeof *l->buf_version);
    l->b = LLVMCreateBuilderInContext(h->cx);
    for (uint32_t i = 0; i < n->nstage && !l->fault; i++)
        emit_stage(l, i, name);
    const char *fault = l->fault;
    LLVMDisposeBuilder(l->b);
    arena_free(a);
    return fault;
}
