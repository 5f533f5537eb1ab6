/* Data sets loaded by a thread of their own, while the model that reads them is compiled.
 */
#include <string.h>
#include <threads.h>

#include "runtime/base/alloc.h"
#include "runtime/data_impl.h"

struct loaded {
    struct hyp_source_desc desc;
    struct data_set set;
    bool there;
};

struct data_ahead {
    struct loaded *of;
    uint32_t n;
    const char *const *dirs;
    unsigned ndirs;
    thrd_t thread;
    bool runs;
};

/* What fails here fails again when it is wanted, and is reported then. */
static int load(void *cx)
{
    const struct data_ahead *a = cx;
    for (uint32_t i = 0; i < a->n; i++) {
        struct loaded *l = &a->of[i];
        const struct data_where w = {&l->desc, a->dirs, a->ndirs};
        struct hyp_error err = {0};
        l->there = data_load(&w, &l->set, &err) == HYP_OK;
        if (!l->there)
            data_set_fini(&l->set);
    }
    return 0;
}

struct data_ahead *data_ahead_new(const struct hyp_source_desc *d, uint32_t n,
                                  const char *const *dirs, unsigned ndirs)
{
    struct data_ahead *a = n ? hyp_calloc(1, sizeof *a) : NULL;
    if (!a)
        return NULL;
    *a = (struct data_ahead){.n = n, .dirs = dirs, .ndirs = ndirs};
    a->of = hyp_calloc(n, sizeof *a->of);
    for (uint32_t i = 0; a->of && i < n; i++)
        a->of[i].desc = d[i];
    a->runs = a->of && thrd_create(&a->thread, load, a) == thrd_success;
    if (a->runs)
        return a;
    data_ahead_free(a);
    return NULL;
}

static void wait_for(struct data_ahead *a)
{
    if (a->runs)
        thrd_join(a->thread, NULL);
    a->runs = false;
}

void data_ahead_free(struct data_ahead *a)
{
    if (!a)
        return;
    wait_for(a);
    for (uint32_t i = 0; a->of && i < a->n; i++)
        data_set_fini(&a->of[i].set);
    hyp_free(a->of);
    hyp_free(a);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Do loaders find the same samples for both? */
static bool same_set(const struct hyp_source_desc *a, const struct hyp_source_desc *b)
{
    return strcmp(a->kind, b->kind) == 0 && same_text(a->split, b->split) &&
           same_text(a->file, b->file) && a->npart == b->npart &&
           memcmp(a->resize, b->resize, sizeof a->resize) == 0;
}

bool data_ahead_take(struct data_ahead *a, const struct hyp_source_desc *d,
                     struct data_set *out)
{
    if (!a)
        return false;
    wait_for(a);
    for (uint32_t i = 0; i < a->n; i++) {
        struct loaded *l = &a->of[i];
        if (!l->there || !same_set(&l->desc, d))
            continue;
        *out = l->set;
        l->set = (struct data_set){0};
        l->there = false;
        return true;
    }
    return false;
}
