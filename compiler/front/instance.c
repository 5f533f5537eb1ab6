/*
 * Calls: functions and networks become parts of the graph.
 *
 * A call opens a frame, binds arguments and the body's names, and evaluates `return`; nodes
 * that nothing reads are never built.  Sites and weight paths grow by rules of their own
 * (language.md sections 4 and 5): a site names every call as written, a weight path only
 * networks and nodes.
 */
#include <string.h>

#include "compiler/front/build.h"
#include "runtime/base/arena.h"

/* Arguments */

static const char *default_text(struct mb *b, const struct expr_param *p)
{
    return p->value ? arena_fmt(b->a, "=%s", expr_print(p->value, b->a)) : "";
}

char *mb_signature(struct mb *b, const struct func *fn)
{
    if (fn->kind == FUNC_PRIM)
        return arena_fmt(b->a, "%s(%s)", fn->prim->name, fn->prim->sig);
    const struct expr_key *key = fn->kind == FUNC_MODEL ? &fn->fn->key : &fn->net->key;
    char *s = arena_fmt(b->a, "%s(", fn->kind == FUNC_MODEL ? fn->fn->name : fn->net->name);
    for (uint32_t i = 0; i < key->nparam; i++)
        s = arena_fmt(b->a, "%s%s%s%s", s, i ? ", " : "", key->param[i].name,
                      default_text(b, &key->param[i]));
    return arena_fmt(b->a, "%s)", s);
}

static void wrong_args(struct mb *b, const struct func *fn, struct loc loc,
                       const char *what)
{
    diag(b->ds, E0208, loc, "%s", what);
    diag_hint(b->ds, "its signature: `%s`", mb_signature(b, fn));
}

static void no_argument(struct mb *b, const struct func *fn, const struct slot *s)
{
    diag(b->ds, E0207, s->loc, "`%s` has no argument `%s`", fn->written, s->name);
    diag_hint(b->ds, "its signature: `%s`", mb_signature(b, fn));
}

static int param_find(const struct param *param, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(param[i].name, name))
            return (int)i;
    return -1;
}

/* Slots onto parameters: val[i] stays NULL where nothing was given. */
bool mb_bind_args(struct mb *b, const struct func *fn, const struct param *param,
                  uint32_t nparam, const struct slot *slot, uint32_t nslot, struct loc loc,
                  struct val **val)
{
    uint32_t at = 0;
    bool named = false, ok = true;
    for (uint32_t i = 0; i < nslot; i++) {
        int k = (int)at;
        if (slot[i].name) {
            named = true;
            k = param_find(param, nparam, slot[i].name);
            if (k < 0) {
                no_argument(b, fn, &slot[i]);
                ok = false;
                continue;
            }
        } else if (named || at >= nparam) {
            wrong_args(
                b, fn, slot[i].loc,
                named ? arena_fmt(b->a, "a positional argument of `%s` after a named one",
                                  fn->written)
                      : arena_fmt(b->a, "one argument of `%s` too many", fn->written));
            return false;
        } else {
            at++;
        }
        if (val[k]) {
            wrong_args(b, fn, slot[i].loc,
                       arena_fmt(b->a, "argument `%s` of `%s` is given twice",
                                 param[k].name, fn->written));
            ok = false;
        }
        val[k] = slot[i].val;
    }
    for (uint32_t k = 0; k < nparam && ok; k++)
        if (!val[k] && !param[k].has_default) {
            wrong_args(b, fn, loc,
                       arena_fmt(b->a, "argument `%s` of `%s` is missing", param[k].name,
                                 fn->written));
            ok = false;
        }
    return ok;
}

static const struct param *key_params(struct mb *b, const struct expr_key *key)
{
    struct param *p = arena_array(b->a, key->nparam + 1, sizeof *p);
    for (uint32_t i = 0; i < key->nparam; i++)
        p[i] = (struct param){key->param[i].name, key->param[i].value != NULL,
                              key->param[i].value};
    return p;
}

static void bind_params(struct mb *b, struct frame *f, const struct param *param,
                        uint32_t n, const struct expr_key *key, struct val **val)
{
    f->bind = arena_array(b->a, n + 1, sizeof *f->bind);
    f->nbind = n;
    for (uint32_t i = 0; i < n; i++) {
        struct bind *bind = &f->bind[i];
        *bind = (struct bind){.name = param[i].name,
                              .nparts = 1,
                              .loc = key->param[i].loc,
                              .kind = val[i] ? BIND_VALUE : BIND_DEFAULT,
                              .value = val[i],
                              .expr = param[i].expr,
                              .state = val[i] ? 2 : 0};
    }
}

/* Calling */

static bool recursion(struct mb *b, const struct ecx *x, const void *callee,
                      const char *name, struct loc loc)
{
    for (const struct frame *f = x->f; f; f = f->caller)
        if (f->callee == callee) {
            diag(b->ds, E0512, loc, "recursion: `%s` calls itself", name);
            diag_hint(b->ds, "repeat with `chain`");
            return true;
        }
    if (++b->ncall > MB_CALLS) {
        if (!b->over_limit)
            diag(b->ds, E0902, loc, "limit exceeded: %d calls", MB_CALLS);
        b->over_limit = true;
        return true;
    }
    if (x->f->depth < MB_DEPTH)
        return false;
    diag(b->ds, E0902, loc, "limit exceeded: calls nested %d deep", MB_DEPTH);
    return true;
}

static const char *call_suffix(struct mb *b, const struct ecx *x, const struct expr *call)
{
    const unsigned k = mb_call_ordinal(x->root, call);
    if (x->suffix)
        return x->suffix;
    return k > 1 ? arena_fmt(b->a, "#%u", k) : "";
}

static struct frame *open_frame(struct mb *b, struct ecx *x, const struct expr *call,
                                const struct func *fn, const struct doc *doc,
                                struct loc loc)
{
    struct frame *f = mb_frame(b, x->f->run, fn->written);
    f->caller = x->f;
    f->call = loc;
    f->place = b->g->where;
    f->depth = x->f->depth + 1;
    f->body = mb_body(b, doc, fn->written);
    f->in_init = x->f->in_init;
    f->site = arena_fmt(b->a, "%s/%s%s", x->site, fn->written, call_suffix(b, x, call));
    f->path = x->path;
    f->state_path = x->state_path;
    f->pass = x->f->pass;
    return f;
}

/* Several weighted calls in one expression are numbered: `encode.1.gates.weight`. */
static void number_path(struct mb *b, struct ecx *x, const struct expr *call,
                        struct frame *f)
{
    unsigned total = 0;
    const unsigned k = mb_call_number(b, x, call, &total);
    const char *number = *x->number ? x->number : "";
    if (!*number && total > 1 && k)
        number = arena_fmt(b->a, ".%u", k);
    if (*number && f->path)
        f->path = arena_fmt(b->a, "%s%s", f->path, number);
    if (*number && f->state_path)
        f->state_path = arena_fmt(b->a, "%s%s", f->state_path, number);
}

static struct val *finish(struct mb *b, struct frame *f)
{
    struct val *v = mb_return(b, f);
    mb_next(b, f);
    v = arena_copy(b->a, v, sizeof *v);
    v->frame = f;
    v->loc = f->call;
    return v;
}

static struct val *call_model(struct mb *b, struct ecx *x, const struct expr *call,
                              struct func *fn, const struct slot *slot, uint32_t nslot,
                              struct loc loc)
{
    const struct expr_key *key = &fn->fn->key;
    const struct param *param = key_params(b, key);
    struct val **val = arena_array(b->a, key->nparam + 1, sizeof(struct val *));
    if (recursion(b, x, fn->fn, fn->written, loc) ||
        !mb_bind_args(b, fn, param, key->nparam, slot, nslot, loc, val))
        return mb_poison(b);
    struct frame *f = open_frame(b, x, call, fn, fn->fn->body, loc);
    f->callee = fn->fn;
    if (*x->number || mb_weighted(b, fn->fn->body, key) || f->body->state)
        number_path(b, x, call, f);
    bind_params(b, f, param, key->nparam, key, val);
    mb_bind_body(b, f);
    return finish(b, f);
}

/* `q: settle(_, 64)`: the body is an expression for a function. */
static struct val *call_instance(struct mb *b, struct frame *f, struct net *net,
                                 const struct slot *slot, uint32_t nslot, struct loc loc)
{
    const struct expr *e = expr_parse(b->a, b->ds, net->body);
    if (!e)
        return mb_poison(b);
    const struct mb_saved s = mb_enter(b, f, "return", net->loc);
    struct tally *tally = NULL;
    struct ecx x = {.f = f,
                    .tally = &tally,
                    .root = e,
                    .site = f->site,
                    .path = f->path,
                    .state_path = f->path,
                    .number = ""};
    struct val *v = mb_eval(b, &x, e);
    if (v->kind == VAL_FUNC) {
        v = mb_call(b, &x, e->kind == EX_CALL ? e : NULL, v->func, (struct slot *)slot,
                    nslot, loc);
    } else if (v->kind != VAL_POISON) {
        diag(b->ds, E0307, net->body->loc, "expected a function for network `%s`, found %s",
             net->name, mb_kind_text(v));
        diag_hint(b->ds,
                  "leave a place open, `%s: linear(_, 64)`, or give it arguments: `%s(x):`",
                  net->name, net->name);
        v = mb_poison(b);
    }
    mb_leave(b, s);
    return v;
}

static struct val *call_net(struct mb *b, struct ecx *x, const struct expr *call,
                            struct func *fn, const struct slot *slot, uint32_t nslot,
                            struct loc loc)
{
    struct net *net = fn->net;
    const struct expr_key *key = &net->key;
    const struct param *param = key_params(b, key);
    struct val **val = arena_array(b->a, key->nparam + 1, sizeof(struct val *));
    if (recursion(b, x, net, net->name, loc) ||
        (net->is_call && !mb_bind_args(b, fn, param, key->nparam, slot, nslot, loc, val)))
        return mb_poison(b);
    struct frame *f = open_frame(b, x, call, fn, net->body, loc);
    f->callee = net;
    f->path = net->name;
    f->state_path = net->name;
    f->pass = ++b->pass;
    if (!net->is_call) {
        f->ret_state = 1;
        f->ret = call_instance(b, f, net, slot, nslot, loc);
        struct val *v = arena_copy(b->a, f->ret, sizeof *f->ret);
        v->loc = loc;
        return v;
    }
    bind_params(b, f, param, key->nparam, key, val);
    mb_bind_body(b, f);
    return finish(b, f);
}

/* A partial's open places take the positional arguments in order. */
static bool fill(struct mb *b, const struct func *fn, const struct slot *slot,
                 uint32_t nslot, bool keep, struct slot *out, uint32_t *nout)
{
    uint32_t k = 0, n = 0;
    for (uint32_t i = 0; i < fn->nslot; i++) {
        out[n] = fn->slot[i];
        if (!out[n].val) {
            while (k < nslot && slot[k].name)
                k++;
            if (k == nslot && !keep)
                continue; /* a keyword may give it, or the binding reports it */
            if (k < nslot) {
                out[n].val = slot[k].val;
                out[n].loc = slot[k++].loc;
            }
        }
        n++;
    }
    for (uint32_t i = 0; i < nslot; i++) {
        if (!slot[i].name && i >= k) {
            wrong_args(b, fn, slot[i].loc,
                       arena_fmt(b->a, "one argument of `%s` too many", fn->written));
            return false;
        }
        if (slot[i].name)
            out[n++] = slot[i];
    }
    *nout = n;
    return true;
}

struct val *mb_partial(struct mb *b, const struct func *fn, struct slot *slot,
                       uint32_t nslot, struct loc loc)
{
    struct func part = *fn;
    part.slot = slot;
    part.nslot = nslot;
    if (fn->partial) {
        part.slot = arena_array(b->a, fn->nslot + nslot + 1, sizeof *part.slot);
        if (!fill(b, fn, slot, nslot, true, part.slot, &part.nslot))
            return mb_poison(b);
    }
    part.partial = true;
    part.loc = loc;
    struct val *v = mb_word(b, NULL);
    v->kind = VAL_FUNC;
    v->func = arena_copy(b->a, &part, sizeof part);
    return v;
}

static struct val *apply(struct mb *b, struct ecx *x, const struct expr *call,
                         struct func *fn, struct slot *slot, uint32_t nslot, struct loc loc)
{
    if (fn->partial) {
        struct slot *all = arena_array(b->a, fn->nslot + nslot + 1, sizeof *all);
        if (!fill(b, fn, slot, nslot, false, all, &nslot))
            return mb_poison(b);
        slot = all;
    }
    switch (fn->kind) {
    case FUNC_MODEL:
        return call_model(b, x, call, fn, slot, nslot, loc);
    case FUNC_NET:
        return call_net(b, x, call, fn, slot, nslot, loc);
    case FUNC_ADJOINT:
        return mb_adjoint(b, fn, slot, nslot, loc);
    case FUNC_PRIM:
    default:
        return mb_prim_call(b, x, call, fn, slot, nslot, loc);
    }
}

/* A mistake that shows in another file, as in the library, has its cause in the call. */
static void note_call(struct mb *b, const struct func *fn, struct loc loc)
{
    const struct loc at = diag_place(b->ds);
    const bool has_body = fn->kind == FUNC_MODEL || fn->kind == FUNC_NET;
    if (has_body && at.file && loc.file && at.file != loc.file)
        diag_note(b->ds, loc, "`%s` is called here", fn->written);
}

struct val *mb_call(struct mb *b, struct ecx *x, const struct expr *call, struct func *fn,
                    struct slot *slot, uint32_t nslot, struct loc loc)
{
    const unsigned errors = diag_errors(b->ds);
    struct val *v = apply(b, x, call, fn, slot, nslot, loc);
    if (diag_errors(b->ds) > errors)
        note_call(b, fn, loc);
    return v;
}

struct val *mb_taps(struct mb *b, struct ecx *x, const struct expr *call, struct val *fn,
                    struct val *arg, struct loc loc)
{
    if (fn->kind == VAL_POISON || arg->kind == VAL_POISON)
        return mb_poison(b);
    if (fn->kind != VAL_FUNC) {
        diag(b->ds, E0307, loc, "expected a network, found %s", mb_kind_text(fn));
        return mb_poison(b);
    }
    struct slot slot = {.val = arg, .loc = arg->loc};
    struct val *v = mb_call(b, x, call, fn->func, &slot, 1, loc);
    if (v->kind == VAL_POISON)
        return v;
    for (struct frame *f = v->frame; f; f = f->ret ? f->ret->frame : NULL) {
        if (!f->body->taps)
            continue;
        const struct expr *e = expr_parse(b->a, b->ds, f->body->taps);
        return e ? mb_eval_named(b, f, e, "return", f->body->taps->loc) : mb_poison(b);
    }
    diag(b->ds, E0606, loc, "`match_features`: the net `%s` has no `taps`",
         fn->func->written);
    diag_hint(b->ds, "name its feature nodes: `taps: f1, f2`");
    return mb_poison(b);
}

/* States of a body: what `next` says, after the call has been evaluated. */
void mb_next(struct mb *b, struct frame *f)
{
    struct expr_key key;
    const struct doc *next = f->body->next;
    if (!next || next->kind != DOC_MAP || f->next_done || f->in_init)
        return;
    f->next_done = true;
    for (uint32_t i = 0; i < next->n; i++) {
        const struct expr *e = expr_parse(b->a, b->ds, next->entry[i].value);
        if (!e || !expr_parse_key(b->a, b->ds, &next->entry[i].key, &key))
            continue;
        const char *as = arena_fmt(b->a, "next.%s", key.path[0]);
        struct val *v = mb_eval_named(b, f, e, as, next->entry[i].loc);
        for (uint32_t k = 0; k < key.npath; k++) {
            struct val *part = v;
            if (key.npath > 1 && v->kind == VAL_TUPLE && v->n == key.npath)
                part = v->item[k];
            mb_commit(b, f->run, f, key.path[k], key.path_loc[k], part);
        }
    }
}
