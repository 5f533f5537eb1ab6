/*
 * model_build: the elaborated document becomes a program.
 *
 * Order: settings and data first, then which phases train, the phases with all that they
 * call, what moves their weights, and what watches them.  Every part goes on after a
 * mistake, so that one run reports all.
 */
#include "compiler/front/build.h"

#include <string.h>

#include "runtime/base/arena.h"

static void networks(struct mb *b)
{
    const struct doc *d = doc_get(b->m->elaborated, "networks");
    const uint32_t n = d && d->kind == DOC_MAP ? d->n : 0;
    uint32_t names = 0;
    struct expr_key *key = arena_array(b->a, n + 1, sizeof *key);
    for (uint32_t i = 0; i < n; i++)
        if (!d->entry[i].value->bad &&
            expr_parse_key(b->a, b->ds, &d->entry[i].key, &key[i]))
            names += key[i].npath;
        else
            key[i].npath = 0;
    b->net = arena_array(b->a, names + 1, sizeof *b->net);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < key[i].npath; k++)
            names_put(b->a, &b->net_index, key[i].path[k], b->nnet),
                b->net[b->nnet++] = (struct net){.name = key[i].path[k],
                                                 .key = key[i],
                                                 .is_call = key[i].is_call,
                                                 .body = d->entry[i].value,
                                                 .loc = key[i].path_loc[k]};
}

/* States of the model: declared once, read and committed by phases. */
static void states(struct mb *b)
{
    struct doc *d = doc_get(b->m->elaborated, "state");
    struct frame *f = mb_frame(b, b->host_run, "state");
    struct body *body = arena_alloc(b->a, sizeof *body);
    body->state = d && d->kind == DOC_MAP ? d : NULL;
    body->doc = d;
    f->body = body;
    f->site = "state";
    f->path = "";
    f->is_phase = true;
    b->states = f;
    mb_bind_body(b, f);
}

static void frames(struct mb *b)
{
    b->p->host = graph_region(b->g, REGION_HOST, "host");
    b->p->init = graph_region(b->g, REGION_INIT, "init");
    b->host_run = mb_run(b, b->p->host, false, "");
    b->init_run = mb_run(b, b->p->init, false, "");
    b->host = mb_frame(b, b->host_run, "the host");
    b->host->site = "host";
    b->host->is_phase = true;
    b->host->body = arena_alloc(b->a, sizeof *b->host->body);
}

static void text_key(const struct mb *b, const char *key, const char **out)
{
    const struct doc *d = doc_get(b->m->elaborated, key);
    if (d && d->kind == DOC_SCALAR)
        *out = d->text.text;
}

static void refuse_section(struct mb *b, const char *key)
{
    const struct doc_entry *e = doc_find(b->m->elaborated, key);
    if (e)
        diag(b->ds, E0001, e->loc, "`%s` is not built yet", key);
}

bool model_build(struct model *m, struct program *p)
{
    const unsigned before = diag_errors(m->diags);
    const char *numerics = NULL;
    memset(p, 0, sizeof *p);
    p->arena = m->arena;
    graph_init(&p->graph, m->arena);
    struct mb b = {.a = m->arena, .ds = m->diags, .m = m, .p = p, .g = &p->graph};
    text_key(&b, "name", &p->name);
    text_key(&b, "about", &p->about);
    text_key(&b, "numerics", &numerics);
    p->fast = numerics && !strcmp(numerics, "fast");
    refuse_section(&b, "evolve");
    frames(&b);
    mb_constants(&b);
    states(&b);
    mb_settings(&b);
    mb_data(&b);
    networks(&b);
    mb_find_phases(&b);
    mb_scheduled_names(&b);
    mb_phases(&b);
    mb_optimizers(&b);
    mb_schedule(&b);
    mb_probes(&b);
    mb_unused(&b);
    return diag_errors(m->diags) == before;
}
