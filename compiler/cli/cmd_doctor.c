/* hypno doctor: what this machine and this build can do. */
#include <libdeflate.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#include "codegen/backend.h"
#include "codegen/loop/loop.h"
#include "compiler/cli/open.h"
#include "compiler/cli/version.h"
#include "compiler/ir/target.h"
#include "runtime/base/arena.h"
#include "runtime/base/cache.h"
#include "runtime/base/file.h"
#include "runtime/data.h"

static void line(const char *what, const char *value)
{
    printf("%-12s %s\n", what, value);
}

static void features(void)
{
    printf("%-12s", "features");
#if defined(__x86_64__)
    bool any = false;
    __builtin_cpu_init();
#define FEATURE(name)                                                                      \
    if (__builtin_cpu_supports(name)) {                                                    \
        printf(" " name);                                                                  \
        any = true;                                                                        \
    }
    FEATURE("avx2")
    FEATURE("fma")
    FEATURE("avx512f")
    FEATURE("avx512vl")
    FEATURE("avx512bw")
#undef FEATURE
    if (!any)
        fputs(" none that code would use", stdout);
#else
    fputs(" (as the compiler was told)", stdout);
#endif
    putchar('\n');
}

static void print_backends(void)
{
#ifdef HYP_WITH_LLVM
    line("back ends", llvm_host_target()
                          ? "llvm (default), interp, interp64"
                          : "interp (default), interp64; llvm: this processor is too old");
#else
    line("back ends", "interp (default), interp64; built without llvm");
#endif
}

/* What code is made for here, if any is. */
static void print_target(void)
{
    const struct target *t = open_target();
    bool code = false;
#ifdef HYP_WITH_LLVM
    code = llvm_host_target();
#endif
    if (!code) {
        printf("%-12s none: no code runs here; the interpreter walks the loops of %s\n",
               "target", t->name);
        return;
    }
    printf("%-12s %s: vectors of %d floats, register tile %d x %d, L2 %d KiB, L3 %d MiB\n",
           "target", t->name, t->vec, t->mr, t->nr, t->l2 >> 10, t->l3 >> 20);
}

static void print_targets(void)
{
    const struct target *t;
    printf("%-12s", "targets");
    for (unsigned i = 0; (t = target_at(i)); i++)
        printf(" %s", t->name);
    puts(" (HYPNO_TARGET)");
}

/* The sources of published files, or of none, that these folders have whole. */
static void print_sources(const char *const *dirs, unsigned n, bool embedded)
{
    for (unsigned k = 0; k < data_nkind; k++) {
        struct hyp_source_desc d;
        struct data_src *s = NULL, *bare = NULL;
        if (!data_kinds[k].built || !*data_kinds[k].splits)
            continue;
        hyp_source_defaults(&d);
        d.name = d.kind = data_kinds[k].name;
        if (data_open(&d, NULL, 0, NULL, &bare, NULL) == HYP_OK) {
            if (embedded)
                printf(" %s", d.kind);
        } else if (!embedded && data_open(&d, dirs, n, NULL, &s, NULL) == HYP_OK) {
            printf(" %s", d.kind);
        }
        data_close(s);
        data_close(bare);
    }
    putchar('\n');
}

static void print_data(const struct args *a)
{
    struct data_dirs dirs;
    data_dirs_init(&dirs, a);
    if (!dirs.n)
        line("data", "no folders: give --data DIR, or set HYPNO_DATA");
    for (uint32_t i = 0; i < dirs.n; i++) {
        const char *one[1] = {dirs.dir[i]};
        printf("%-12s %s%s:", i ? "" : "data", dirs.dir[i],
               file_is_dir(dirs.dir[i]) ? "" : " (no such folder)");
        print_sources(one, 1, false);
    }
    printf("%-12s", "drawn");
    print_sources(NULL, 0, true);
    data_dirs_fini(&dirs);
}

/* Of compiled kernels: where, how full, and why not if it cannot be used. */
static void print_cache(bool clear)
{
    struct cache_place place;
    const char *why;
    const char *dir = open_cache_place(&place, &why);
    struct cache *c = dir ? cache_open(dir, place.limit, &why) : NULL;
    if (!c) {
        printf("%-12s none: %s%s%s\n", "cache", dir ? dir : "", dir ? ": " : "", why);
        return;
    }
    if (clear)
        printf("%-12s %u entries removed\n", "cache", cache_clear(c));
    const struct cache_size s = cache_size(c);
    printf("%-12s %s%s: %.1f of %llu MiB, %u kernels\n", "cache", dir,
           cache_keeps(c) ? "" : " (cannot be written)", (double)s.bytes / 0x1p20,
           (unsigned long long)(place.limit >> 20), s.entries);
    cache_close(c);
}

/* Kernels that `hypno tune` found better schedules of. */
static void print_tuned(void)
{
    struct cache_place place;
    const char *why;
    if (!open_cache_place(&place, &why))
        return;
    struct arena *a = arena_new();
    const struct tuned *t = tuned_read(place.tuned, open_target(), a);
    printf("%-12s %u kernels are scheduled by what `hypno tune` measured here\n", "tuned",
           tuned_count(t));
    arena_free(a);
}

int cmd_doctor(const struct args *a)
{
    struct utsname u;
    char text[128];

    line("hypno", HYP_VERSION);
    if (uname(&u) == 0) {
        printf("%-12s %s %s, %s\n", "machine", u.sysname, u.release, u.machine);
    }
    features();
    print_backends();
    print_target();
    print_targets();
    snprintf(text, sizeof text, "%u", open_threads(a));
    line("threads", text);
    snprintf(text, sizeof text, "LLVM %s, libyaml %s, zlib %s, libdeflate %s, liblzma %s",
             *HYP_LLVM_VERSION ? HYP_LLVM_VERSION : "none", HYP_YAML_VERSION, zlibVersion(),
             LIBDEFLATE_VERSION_STRING, lzma_version_string());
    line("libraries", text);
    print_data(a);
    print_cache(a->option[OPT_clear_cache].given);
    print_tuned();
    return EXIT_FINE;
}
