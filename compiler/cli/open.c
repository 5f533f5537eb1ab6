#include "compiler/cli/open.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codegen/backend.h"
#include "compiler/cli/fault.h"
#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/base/processors.h"

#define CACHE_LIMIT (256ULL << 20)

void data_dirs_init(struct data_dirs *d, const struct args *a)
{
    const struct arg_value *v = &a->option[OPT_data];
    const char *more = getenv("HYPNO_DATA");
    char *save = NULL;

    *d = (struct data_dirs){0};
    for (uint32_t i = 0; i < v->n; i++)
        d->dir[d->n++] = v->texts[i];
    d->text = more && *more ? hyp_strdup(more) : NULL;
    for (char *p = d->text ? strtok_r(d->text, ":", &save) : NULL; p && d->n < ARGS_TEXTS;
         p = strtok_r(NULL, ":", &save))
        d->dir[d->n++] = p;
}

void data_dirs_fini(struct data_dirs *d)
{
    hyp_free(d->text);
    d->text = NULL;
}

unsigned open_threads(const struct args *a)
{
    const uint64_t n = args_number(a, OPT_threads, hyp_processors());
    return n < 1 ? 1 : n > 1024 ? 1024 : (unsigned)n;
}

const struct target *open_target(void)
{
    const struct target *host = NULL;
#ifdef HYP_WITH_LLVM
    host = llvm_host_target();
#endif
    return host ? host : target_default();
}

/* What this machine has; 0: unknown, no limit. */
static uint64_t physical_memory(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

static const char *environment(const char *name)
{
    const char *s = getenv(name);
    return s && *s ? s : NULL;
}

const char *open_cache_place(struct cache_place *p, const char **why)
{
    const char *own = environment("HYPNO_CACHE"), *xdg = environment("XDG_CACHE_HOME"),
               *home = environment("HOME");
    int n;
    p->limit = CACHE_LIMIT;
    *why = own ? "HYPNO_CACHE is off" : "neither HYPNO_CACHE nor HOME is set";
    if (own ? strcmp(own, "off") == 0 : !xdg && !home)
        return NULL;
    const char *base = own   ? own
                       : xdg ? xdg
                             : home,
               *below = own   ? ""
                        : xdg ? "/hypno"
                              : "/.cache/hypno";
    *why = "the path of its folder is too long";
    n = snprintf(p->dir, sizeof p->dir, "%s%s/objects", base, below);
    if (n < 0 || (size_t)n >= sizeof p->dir)
        return NULL;
    snprintf(p->tuned, sizeof p->tuned, "%s%s/tuned", base, below); /* shorter */
    return p->dir;
}

void opening_init(struct opening *w, const struct args *a)
{
    struct compile_options *o = &w->o;
    const char *why;
    data_dirs_init(&w->dirs, a);
    *o = (struct compile_options){0};
    o->model.set = a->option[OPT_set].texts;
    o->model.nset = a->option[OPT_set].n;
    o->model.condition = args_text(a, OPT_condition, NULL);
    o->model.data_dir = w->dirs.dir;
    o->model.ndata_dir = w->dirs.n;
    o->backend = args_text(a, OPT_backend, NULL);
    o->target = environment("HYPNO_TARGET");
    o->cache_dir = open_cache_place(&w->cache, &why);
    o->cache_limit = w->cache.limit;
    o->tuned_dir = o->cache_dir ? w->cache.tuned : NULL;
    o->threads = open_threads(a);
    o->fuse_off = a->option[OPT_no_fuse].given;
    o->pass.remat_off = a->option[OPT_no_remat].given;
    o->memory_limit = args_number(a, OPT_memory, physical_memory());
}

void opening_fini(struct opening *w)
{
    data_dirs_fini(&w->dirs);
}

/* Did anything blame us? */
static bool is_fault(const struct compiled *c)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f)
        return false;
    diag_print_brief(c->diags, f);
    fclose(f);
    const bool yes = text && strstr(text, "E9999@");
    free(text);
    return yes;
}

int open_failed(const struct compiled *c)
{
    const unsigned n = diag_print(c->diags, stderr, cli_colour(stderr));
    if (is_fault(c))
        return fault_report(c, "the compiler refused its own output");
    if (!diag_errors(c->diags))
        return fault_report(c, "compilation failed without a message");
    fprintf(stderr, "%u mistake%s\n", n, n == 1 ? "" : "s");
    return EXIT_MISTAKE;
}

static void note_source(const char *path)
{
    uint8_t *text = NULL;
    size_t n = 0;
    if (file_read(path, 4 << 20, &text, &n, NULL) == HYP_OK)
        fault_model((const char *)text);
    hyp_free(text);
}

struct compiled *open_model(const char *path, const struct compile_options *o,
                            enum compile_until until, int *status)
{
    bool ok = false;
    note_source(path);
    struct compiled *c = compile_model(path, o, until, &ok);
    cli_trim();
    if (c->model && c->model->merged)
        fault_model(doc_print(c->model->merged, c->arena));
    if (!ok) {
        *status = open_failed(c);
        return c;
    }
    diag_print(c->diags, stderr, cli_colour(stderr)); /* warnings */
    *status = EXIT_FINE;
    return c;
}

bool open_has_phase(const struct compiled *c, const char *name)
{
    if (!c->plan || !name)
        return true;
    for (uint32_t i = 0; i < c->plan->nphase; i++)
        if (strcmp(c->plan->phase[i].name, name) == 0)
            return true;
    cli_error("no phase `%s`; there are:", name);
    for (uint32_t i = 0; i < c->plan->nphase; i++)
        fprintf(stderr, "    %s\n", c->plan->phase[i].name);
    return false;
}

bool open_run(const char *run, char *path, size_t size)
{
    const int n = snprintf(path, size, "%s/model.yaml", run);
    if (n > 0 && (size_t)n < size && file_exists(path))
        return true;
    cli_error("%s is no run folder: it has no model.yaml", run);
    cli_hint("`hypno train MODEL --out %s` makes one", run);
    return false;
}

static const char *code_of(enum hyp_status s)
{
    static const struct {
        enum hyp_status status;
        const char *code;
    } codes[] = {{HYP_ENONFINITE, "R0951"},  {HYP_EINDEX, "R0952"},
                 {HYP_EIO, "R0953"},         {HYP_EMISMATCH, "R0954"},
                 {HYP_EMISSING, "E0706"},    {HYP_EFORMAT, "E0707"},
                 {HYP_EUNSUPPORTED, "E0001"}};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].status == s)
            return codes[i].code;
    return NULL;
}

int open_runtime_error(const struct compiled *c, enum hyp_status s,
                       const struct hyp_error *err)
{
    const char *code = code_of(s), *text = err->text[0] ? err->text : hyp_strerror(s);
    enum diag_code known;

    if (s == HYP_EBUG) {
        if (c)
            diag_print(c->diags, stderr, cli_colour(stderr));
        return fault_report(c, text);
    }
    if (!code)
        return cli_error("%s", text);
    const bool colour = cli_colour(stderr);
    fprintf(stderr, "%serror[%s]:%s %s\n", colour ? "\033[1;31m" : "", code,
            colour ? "\033[0m" : "", text);
    if (s == HYP_EMISSING && diag_code_find(code, &known))
        cli_hint("say where the files are: --data DIR, or HYPNO_DATA=DIR");
    if (s == HYP_EFORMAT)
        cli_hint("mend the file or fetch it again; `hypno explain %s` says more", code);
    return EXIT_MISTAKE;
}
