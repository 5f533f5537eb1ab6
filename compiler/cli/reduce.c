#include "compiler/cli/reduce.h"

#include <string.h>

#include "compiler/front/expr.h"
#include "runtime/base/arena.h"

struct reducing {
    const struct reducer *r;
    struct doc *root;
    bool progress;
};

static bool stopped(const struct reducing *x)
{
    return x->r->stop(x->r->cx);
}

static bool holds(struct reducing *x)
{
    struct arena *a = arena_new();
    const bool yes = !stopped(x) && x->r->holds(x->r->cx, doc_print(x->root, a));
    arena_free(a);
    x->progress |= yes;
    return yes;
}

/* ---- entries ---- */

static void forget_slots(struct doc *d)
{
    d->slot = NULL;
    d->nslot = 0;
}

/* Without the entries [from, from + n); as before if it does not hold then. */
static bool try_without(struct reducing *x, struct doc *d, uint32_t from, uint32_t n)
{
    struct doc_entry *all = d->entry;
    const uint32_t count = d->n;
    struct doc_entry *fewer = arena_array(x->r->arena, count + 1U, sizeof *fewer);

    memcpy(fewer, all, from * sizeof *fewer);
    memcpy(fewer + from, all + from + n, (count - from - n) * sizeof *fewer);
    d->entry = fewer;
    d->n = count - n;
    forget_slots(d);
    if (holds(x))
        return true;
    d->entry = all;
    d->n = count;
    return false;
}

static void remove_entries(struct reducing *x, struct doc *d)
{
    for (uint32_t chunk = d->n; chunk && !stopped(x); chunk /= 2)
        for (uint32_t end = d->n; end && !stopped(x);) {
            const uint32_t n = chunk < end ? chunk : end;
            try_without(x, d, end - n, n);
            end -= n;
        }
}

static void remove_below(struct reducing *x, struct doc *d)
{
    if (d->kind == DOC_SCALAR)
        return;
    remove_entries(x, d);
    for (uint32_t i = d->n; i-- > 0 && !stopped(x);)
        remove_below(x, d->entry[i].value);
}

/* ---- expressions ---- */

struct editing { /* one scalar */
    struct reducing *x;
    struct doc *doc;
    struct expr *root;
    const struct doc_entry *before; /* in the mapping that it stands in */
    uint32_t nbefore;
};

/* The scalar's text by its tree; as before if it does not hold then. */
static bool try_tree(struct editing *e)
{
    const struct doc_text before = e->doc->text;
    char *text = expr_print(e->root, e->x->r->arena);
    e->doc->text = (struct doc_text){.text = text, .n = (uint32_t)strlen(text)};
    if (strcmp(text, before.text) != 0 && holds(e->x))
        return true;
    e->doc->text = before;
    return false;
}

/* `by` in the place of *at, under the keyword that stood there. */
static bool try_instead(struct editing *e, struct expr **at, const struct expr *by)
{
    struct expr *before = *at, *after = arena_alloc(e->x->r->arena, sizeof *after);
    *after = *by;
    after->arg_name = before->arg_name;
    *at = after;
    if (try_tree(e))
        return true;
    *at = before;
    return false;
}

static bool try_number(struct editing *e, struct expr **at, double value)
{
    const struct expr number = {.kind = EX_NUMBER, .depth = 1, .number = value};
    return try_instead(e, at, &number);
}

/* Parts of a call are its arguments; of anything else its children. */
static bool try_parts(struct editing *e, struct expr **at)
{
    const struct expr *whole = *at;
    for (uint32_t i = whole->kind == EX_CALL; i < whole->n; i++)
        if (whole->child[i] && whole->child[i]->kind != EX_RANGE &&
            try_instead(e, at, whole->child[i]))
            return true;
    return false;
}

static void drop_arguments(struct editing *e, struct expr *call)
{
    for (uint32_t i = call->n; i-- > 1 && !stopped(e->x);) {
        struct expr **all = call->child;
        struct expr **fewer = arena_array(e->x->r->arena, call->n + 1U, sizeof *fewer);
        memcpy(fewer, all, i * sizeof *fewer);
        memcpy(fewer + i, all + i + 1, (call->n - i - 1) * sizeof *fewer);
        call->child = fewer;
        call->n--;
        if (try_tree(e))
            continue;
        call->child = all;
        call->n++;
    }
}

static void shrink_number(struct editing *e, struct expr **at)
{
    const double tries[] = {1, 2, 3, 4};
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++)
        if ((*at)->number > tries[i] && try_number(e, at, tries[i]))
            return;
    while ((*at)->number >= 8 && !stopped(e->x) &&
           try_number(e, at, (double)((long long)(*at)->number / 2)))
        ;
}

/* A name gives way to a number, or to what the mapping defines first. */
static void replace_name(struct editing *e, struct expr **at)
{
    const char *name = (*at)->name;
    if (try_number(e, at, 1))
        return;
    for (uint32_t i = 0; i < e->nbefore && !stopped(e->x); i++) {
        const struct expr other = {
            .kind = EX_NAME, .depth = 1, .name = e->before[i].key.text};
        if (!other.name || strcmp(other.name, name) == 0)
            return;
        if (!strpbrk(other.name, "(,") && try_instead(e, at, &other))
            return;
    }
}

static void simplify(struct editing *e, struct expr **at)
{
    while (!stopped(e->x) && (*at)->n && try_parts(e, at))
        ;
    if ((*at)->kind == EX_CALL)
        drop_arguments(e, *at);
    if ((*at)->kind == EX_NAME || (*at)->kind == EX_SETTING)
        replace_name(e, at);
    if ((*at)->kind == EX_NUMBER && !(*at)->unit)
        shrink_number(e, at);
    for (uint32_t i = (*at)->kind == EX_CALL; i < (*at)->n && !stopped(e->x); i++)
        if ((*at)->child[i])
            simplify(e, &(*at)->child[i]);
}

static void simplify_scalar(struct reducing *x, struct doc *d,
                            const struct doc_entry *before, uint32_t nbefore)
{
    struct diag_sink *ds = diag_sink_new(x->r->arena, 1);
    struct editing e = {x, d, NULL, before, nbefore};
    d->expr = NULL;
    e.root = expr_parse(x->r->arena, ds, d);
    if (e.root && !diag_errors(ds))
        simplify(&e, &e.root);
    d->expr = NULL;
}

static void simplify_below(struct reducing *x, struct doc *d)
{
    for (uint32_t i = d->n; i-- > 0 && !stopped(x);) {
        struct doc *value = d->entry[i].value;
        if (value->kind == DOC_SCALAR)
            simplify_scalar(x, value, d->entry, d->kind == DOC_MAP ? i : 0);
        else
            simplify_below(x, value);
    }
}

/* ---- keys ---- */

/* `x, y: ...` without one of its names. */
static void shorten_key(struct reducing *x, struct doc *d, struct doc_entry *e)
{
    char *text = arena_str(x->r->arena, e->key.text);
    for (char *part = text; *part && !stopped(x);) {
        const size_t n = strcspn(part, ","), gap = strspn(part + n, ", ");
        const struct doc_text before = e->key;
        const char *rest = part + n + gap;
        size_t head = (size_t)(part - text);
        if (!*rest && head) /* the last takes the comma before it along */
            while (head && strchr(", ", text[head - 1]))
                head--;
        char *fewer = arena_fmt(x->r->arena, "%.*s%s", (int)head, text, rest);
        e->key = (struct doc_text){.text = fewer, .n = (uint32_t)strlen(fewer)};
        forget_slots(d);
        if (*fewer && holds(x)) {
            text = fewer;
            part = text + (*rest ? head : strlen(text));
            continue;
        }
        e->key = before;
        forget_slots(d);
        part += n + gap;
    }
}

static void shorten_keys(struct reducing *x, struct doc *d)
{
    for (uint32_t i = d->n; i-- > 0 && !stopped(x);) {
        struct doc_entry *e = &d->entry[i];
        if (d->kind == DOC_MAP && strchr(e->key.text, ',') && !strchr(e->key.text, '('))
            shorten_key(x, d, e);
        shorten_keys(x, e->value);
    }
}

void reduce_doc(const struct reducer *r, struct doc *d)
{
    struct reducing x = {r, d, true};
    while (x.progress && !stopped(&x)) {
        x.progress = false;
        remove_below(&x, d);
        shorten_keys(&x, d);
        simplify_below(&x, d);
    }
}
