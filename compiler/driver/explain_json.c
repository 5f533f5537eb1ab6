/* The log as one JSON document; its keys stand in explain.def. */
#include <string.h>

#include "compiler/driver/explain_internal.h"
#include "runtime/base/arena.h"
#include "runtime/base/json.h"

static void text(struct json_writer *w, const char *key, const char *s)
{
    json_key(w, key);
    json_string(w, s);
}

static void number(struct json_writer *w, const char *key, double x)
{
    json_key(w, key);
    json_number(w, x);
}

/* Where nothing was asked there is no number. */
static void asked(struct json_writer *w, const char *key, bool was, double x)
{
    json_key(w, key);
    if (was)
        json_number(w, x);
    else
        json_null(w);
}

static void node(const struct ex *x, struct json_writer *w, place_id id)
{
    static const char *const why[] = {[WHY_GRADIENT_OF] = "gradient",
                                      [WHY_UPDATED_BY] = "update",
                                      [WHY_RECOMPUTED_FOR] = "again",
                                      [WHY_REPACKED_FOR] = NULL};
    const struct hyp_place p = place_of(x->g, x->c->diags, id);
    const char *word = why[x->g->place[id].why];
    char name[EX_PLACE];
    uint32_t line;
    const char *file = ex_file(&p, &line);

    ex_name(x, id, name);
    json_open(w, '{');
    text(w, "name", name + strlen(p.why));
    text(w, "why", word ? word : "written");
    text(w, "file", file);
    number(w, "line", line);
    json_close(w);
}

static void nodes(const struct ex *x, struct json_writer *w, const struct ex_phase *p,
                  const struct ex_kernel *k)
{
    const struct group *gr = k->group == NO_GROUP ? NULL : &p->f->group[k->group];
    json_key(w, "nodes");
    json_open(w, '[');
    for (uint32_t i = 0; gr && i < gr->n; i++)
        node(x, w, x->g->node[gr->node[i]].place);
    json_close(w);
}

static void kernel(const struct ex *x, struct json_writer *w, const struct ex_phase *p,
                   const struct ex_kernel *k)
{
    const struct tuned_kernel *tuned = x->c->ir.tuned[k->kernel];
    json_open(w, '{');
    number(w, "kernel", k->kernel);
    number(w, "launch", k->launch);
    text(w, "kind", ex_kind(x, p, k));
    text(w, "variant", tuned ? tuned->variant : "table");
    json_key(w, "borders_left_out");
    json_bool(w, ex_borders(x, k));
    number(w, "seconds", k->seconds);
    number(w, "moved", k->moved);
    number(w, "saved_seconds", k->saved_seconds);
    number(w, "saved_bytes", k->saved_bytes);
    nodes(x, w, p, k);
    json_close(w);
}

static void decision(const struct ex *x, struct json_writer *w,
                     const struct fuse_decision *d)
{
    const bool priced = d->before > 0;
    json_open(w, '{');
    text(w, "kind", fuse_kind_row[d->kind].word);
    json_key(w, "producer");
    node(x, w, x->g->node[d->producer].place);
    json_key(w, "consumer");
    node(x, w, x->g->node[d->consumer].place);
    text(w, "verdict", d->why == FUSE_OK ? "fused" : "refused");
    text(w, "why", fuse_why_row[d->why].word);
    asked(w, "before", priced, d->before);
    asked(w, "after", priced, d->after);
    asked(w, "saved_bytes", priced, d->bytes);
    asked(w, "most", d->most > 0, d->most);
    json_close(w);
}

static void remat(const struct ex *x, struct json_writer *w, const struct prog_remat *r)
{
    json_open(w, '{');
    json_key(w, "node");
    node(x, w, r->place);
    text(w, "verdict", r->recomputed ? "recomputed" : "kept");
    number(w, "keeping", r->keeping);
    number(w, "recomputing", r->recomputing);
    number(w, "bytes", r->bytes);
    json_close(w);
}

static void phase(const struct ex *x, struct json_writer *w, const struct ex_phase *p)
{
    const struct hyp_phase *ph = &x->c->plan->phase[p->id];
    json_open(w, '{');
    text(w, "name", p->name);
    json_key(w, "scheduled");
    json_bool(w, p->scheduled);
    number(w, "launches", p->nlaunch);
    number(w, "seconds", p->seconds);
    number(w, "saved_seconds", p->saved_seconds);
    number(w, "saved_bytes", p->saved_bytes);
    number(w, "arena", (double)ph->arena_bytes);
    number(w, "arena_bound", (double)ph->arena_bound);
    json_key(w, "kernels");
    json_open(w, '[');
    for (uint32_t i = 0; i < p->nkernel; i++)
        kernel(x, w, p, &p->kernel[i]);
    json_close(w);
    json_key(w, "decisions");
    json_open(w, '[');
    for (uint32_t i = 0; i < p->f->nlog; i++)
        decision(x, w, &p->f->log[i]);
    json_close(w);
    json_key(w, "remat");
    json_open(w, '[');
    for (uint32_t i = 0; i < x->c->program.nremat; i++)
        if (x->c->program.remat[i].region == p->f->region)
            remat(x, w, &x->c->program.remat[i]);
    json_close(w);
    json_close(w);
}

static void document(const struct ex *x, struct json_writer *w)
{
    static const char *const segment[] = {"state", "scratch", "input", "output"};
    const struct hyp_plan *p = x->c->plan;
    json_open(w, '{');
    number(w, "version", 1);
    text(w, "model", p->name);
    text(w, "file", x->o->path);
    text(w, "target", p->target);
    text(w, "backend", p->backend);
    number(w, "batch", (double)p->batch_max);
    number(w, "threads", x->c->target->t_ref);
    json_key(w, "memory");
    json_open(w, '{');
    for (unsigned i = 0; i < HYP_SEG_COUNT; i++)
        number(w, segment[i], (double)p->segment_bytes[i]);
    json_close(w);
    json_key(w, "phases");
    json_open(w, '[');
    for (uint32_t i = 0; i < x->nphase; i++)
        phase(x, w, &x->phase[i]);
    json_close(w);
    json_close(w);
}

void explain_json(const struct compiled *c, const struct explain_options *o, FILE *out)
{
    struct ex x = {.c = c, .o = o, .g = &c->program.graph, .a = arena_new(), .out = out};
    struct json_writer w;
    ex_gather(&x);
    json_init(&w);
    document(&x, &w);
    if (w.text)
        fprintf(out, "%s\n", w.text);
    json_fini(&w);
    arena_free(x.a);
}
