/* A nest's code as text. */
#include <stdlib.h>
#include <string.h>

#include "codegen/llvm/emit.h"
#include "codegen/llvm/llvm.h"

static const char *print_asm(struct ll_host *h, LLVMModuleRef mod, FILE *out)
{
    LLVMMemoryBufferRef text;
    char *why = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(h->tm, mod, LLVMAssemblyFile, &why, &text)) {
        LLVMDisposeMessage(why);
        return "LLVM could not print assembly";
    }
    fwrite(LLVMGetBufferStart(text), 1, LLVMGetBufferSize(text), out);
    LLVMDisposeMemoryBuffer(text);
    return NULL;
}

static void print_ir(LLVMModuleRef mod, FILE *out)
{
    char *text = LLVMPrintModuleToString(mod);
    fputs(text, out);
    LLVMDisposeMessage(text);
}

bool llvm_print(const struct nest *n, const struct target *t, enum llvm_text what,
                FILE *out, const char **why)
{
    struct ll_host *h = ll_host_new(t, why);
    if (!h)
        return false;
    LLVMModuleRef mod = ll_module(h);
    *why = ll_emit(h, mod, n, t, "k0");
    if (!*why && what == LLVM_TEXT_IR)
        print_ir(mod, out);
    else if (!*why)
        *why = print_asm(h, mod, out);
    LLVMDisposeModule(mod);
    ll_host_free(h);
    return !*why;
}

static bool is_valid(struct ll_host *h, const struct nest *n, const struct target *t)
{
    LLVMModuleRef mod = ll_module(h);
    char *why = NULL;
    const bool ok = !ll_emit(h, mod, n, t, "k0") &&
                    !LLVMVerifyModule(mod, LLVMReturnStatusAction, &why);
    LLVMDisposeMessage(why);
    LLVMDisposeModule(mod);
    return ok;
}

uint32_t llvm_refused(struct nest *const *nest, uint32_t n, const struct target *t)
{
    const char *why;
    struct ll_host *h = ll_host_new(t, &why);
    uint32_t i = 0;
    while (h && i < n && is_valid(h, nest[i], t))
        i++;
    ll_host_free(h);
    return h ? i : n;
}

static FILE *file_in(const char *folder, const char *name)
{
    size_t n = strlen(folder) + strlen(name) + 2;
    char *path = malloc(n);
    if (!path)
        return NULL;
    snprintf(path, n, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    free(path);
    return f;
}

bool llvm_reproduce(const struct nest *n, const struct target *t, const char *folder)
{
    struct arena *a = arena_new();
    const char *why;
    FILE *f = file_in(folder, "nest.txt");
    bool ok = f && fputs(nest_print(n, a), f) >= 0;
    ok = f && fclose(f) == 0 && ok;
    arena_free(a);
    f = ok ? file_in(folder, "nest.ll") : NULL;
    if (!f)
        return false;
    if (!llvm_print(n, t, LLVM_TEXT_IR, f, &why))
        fprintf(f, "; %s\n", why);
    return fclose(f) == 0;
}
