/*
 * Phases: their nodes, update steps, commits, and the weights that updates move.
 *
 * Every node is evaluated, so that all mistakes come in one run; what no root reaches is
 * dropped from the graph later.
 */
#include <string.h>

#include "compiler/front/build.h"
#include "runtime/base/arena.h"

void mb_find_phases(struct mb *b)
{
    const struct doc *d = doc_get(b->m->elaborated, "phases");
    const uint32_t n = d && d->kind == DOC_MAP ? d->n : 0;
    b->phase = arena_array(b->a, n + 1, sizeof *b->phase);
    for (uint32_t i = 0; i < n; i++) {
        if (d->entry[i].value->bad || d->entry[i].value->kind != DOC_MAP)
            continue;
        b->phase[b->nphase++] = (struct phase_info){
            .name = d->entry[i].key.text, .doc = d->entry[i].value, .loc = d->entry[i].loc};
    }
}

static bool text_list(struct mb *b, const struct doc *d, const char ***out,
                      struct loc **loc, uint32_t *n);

/* The states that a phase resets, for every run of it. */
static void resets(struct mb *b, struct run *r, const struct phase_info *ph)
{
    const struct doc *d = doc_get(ph->doc, "reset");
    if (d && !r->nreset)
        text_list(b, d, &r->reset, &r->reset_loc, &r->nreset);
}

static struct frame *phase_frame_new(struct mb *b, struct run *r,
                                     const struct phase_info *ph)
{
    struct doc *nodes = doc_get(ph->doc, "nodes");
    struct frame *f = mb_frame(b, r, ph->name);
    resets(b, r, ph);
    f->site = arena_fmt(b->a, "%s%s", r->prefix, ph->name);
    f->state_path = ph->name;
    f->is_phase = true;
    f->call = ph->loc;
    f->body = mb_body(b, nodes && nodes->kind == DOC_MAP ? nodes : doc_map(b->a, ph->loc),
                      ph->name);
    return f;
}

struct frame *mb_phase_frame(struct mb *b, struct run *r, uint32_t i)
{
    if (r->is_main)
        r = b->phase[i].run;
    if (!r->phase)
        r->phase = arena_array(b->a, b->nphase + 1, sizeof(struct frame *));
    if (!r->phase[i]) {
        r->phase[i] = phase_frame_new(b, r, &b->phase[i]);
        mb_bind_body(b, r->phase[i]);
    }
    return r->phase[i];
}

/* Update steps */

static bool text_list(struct mb *b, const struct doc *d, const char ***out,
                      struct loc **loc, uint32_t *n)
{
    const uint32_t max = d->kind == DOC_LIST ? d->n : 1;
    *out = arena_array(b->a, max + 1, sizeof **out);
    *loc = arena_array(b->a, max + 1, sizeof **loc);
    *n = 0;
    for (uint32_t i = 0; i < max; i++) {
        const struct doc *item = d->kind == DOC_LIST ? d->entry[i].value : d;
        if (item->kind != DOC_SCALAR || item->bad)
            return false;
        (*out)[*n] = item->text.text;
        (*loc)[(*n)++] = item->loc;
    }
    return true;
}

static bool frozen(const char *const *freeze, uint32_t n, const char *path)
{
    for (uint32_t i = 0; i < n; i++)
        if (mb_path_under(path, freeze[i]))
            return true;
    return false;
}

static bool names_weights(const struct mb *b, const char *group)
{
    for (uint32_t i = 0; i < b->p->nweight; i++)
        if (!b->p->weight[i].state && mb_path_under(b->p->weight[i].path, group))
            return true;
    return false;
}

void mb_no_weights(struct mb *b, const char *group, struct loc loc)
{
    const char **names = arena_array(b->a, b->p->nweight + b->nnet + 1, sizeof *names);
    unsigned n = 0;
    for (uint32_t i = 0; i < b->nnet; i++) {
        if (!strcmp(b->net[i].name, group)) {
            diag(b->ds, E0505, loc, "`%s` names no weights: %s", group,
                 b->net[i].used ? "the network has none" : "nothing calls it");
            return;
        }
        names[n++] = b->net[i].name;
    }
    for (uint32_t i = 0; i < b->p->nweight; i++)
        names[n++] = b->p->weight[i].path;
    const char *near = diag_nearest(group, names, n);
    diag(b->ds, E0505, loc, "`%s` names no weights", group);
    if (near)
        diag_hint(b->ds, "did you mean `%s`?", near);
}

static bool check_group(struct mb *b, const char *group, struct loc loc)
{
    if (names_weights(b, group))
        return true;
    const struct net *net = mb_net(b, group);
    if (!net || !net->used || !diag_errors(b->ds)) /* else: it failed, that has been said */
        mb_no_weights(b, group, loc);
    return false;
}

static bool is_node_path(struct frame *f, const struct expr *e)
{
    return e && e->kind == EX_NAME && mb_find(f, e->name);
}

static value_id loss_value(struct mb *b, struct frame *f, struct doc *d, const char *groups)
{
    struct graph *g = b->g;
    const region_id at = g->at;
    g->at = f->run->region;
    g->where =
        graph_place(g, d->loc, 0, WHY_WRITTEN, arena_fmt(b->a, "%s/update", f->site));
    g->expr = graph_new_expr(g);
    struct val *v =
        mb_eval_doc(b, f, d, arena_fmt(b->a, "%s/update.%s", f->site, groups), NULL);
    const value_id id = v->kind == VAL_POISON ? 0 : mb_f32(b, v, d->loc);
    g->at = at;
    if (!id)
        return 0;
    const struct type *t = graph_type(g, id);
    if (!t->rank && !t->sample)
        return id;
    diag(b->ds, E0302, d->loc, "expected one number for the batch, found %s",
         type_print(t, b->a));
    diag_hint(b->ds, "`mean(...)`");
    return 0;
}

struct update_cx {
    struct frame *f;
    struct prog_phase *ph;
    const char **freeze;
    uint32_t nfreeze;
    const char *group[256]; /* of this step */
    struct loc loc[256];
    uint32_t ngroup;
};

static bool overlaps(struct mb *b, struct update_cx *x, const char *group, struct loc loc)
{
    for (uint32_t i = 0; i < x->ngroup; i++) {
        if (!mb_path_under(group, x->group[i]) && !mb_path_under(x->group[i], group))
            continue;
        diag(b->ds, E0504, loc, "groups overlap in one step: `%s` and `%s`", x->group[i],
             group);
        diag_note(b->ds, x->loc[i], "the other");
        return true;
    }
    if (x->ngroup < ARRAY_LEN(x->group)) {
        x->group[x->ngroup] = group;
        x->loc[x->ngroup++] = loc;
    }
    return false;
}

static void add_leaves(struct mb *b, struct update_cx *x, struct prog_update *u,
                       const char *group)
{
    for (uint32_t i = 0; i < b->p->nweight; i++) {
        const struct prog_weight *w = &b->p->weight[i];
        if (w->state || w->fixed || !mb_path_under(w->path, group))
            continue;
        if (frozen(x->freeze, x->nfreeze, w->path)) {
            u->rests = true;
            continue;
        }
        u->leaf[u->nleaf++] = w->leaf;
        b->weight[i].updated = true;
    }
}

/* W0607: the loss reaches weights of the update through a draw that has no derivative. */
static void through_discrete(struct mb *b, const struct prog_update *u)
{
    for (uint32_t i = 0; i < b->ndiscrete; i++) {
        struct discrete *d = &b->discrete[i];
        bool from = false;
        if (d->is_reported || !mb_depends(b, u->loss, d->value))
            continue;
        for (uint32_t k = 0; k < u->nleaf && !from; k++)
            from = mb_depends(b, d->value, b->g->leaf[u->leaf[k]].value);
        if (!from)
            continue;
        d->is_reported = true;
        diag(b->ds, W0607, d->loc, "a gradient is asked for through a discrete draw");
        diag_note(b->ds, u->loc, "by the update of `%s`", u->groups);
        diag_hint(b->ds, "none flows; `stop` says so, a relaxed draw passes one");
    }
}

static void update_entry(struct mb *b, struct update_cx *x, const struct doc_entry *e,
                         struct prog_step *step)
{
    struct expr_key key;
    struct prog_update u = {.loc = e->loc};
    if (e->value->bad || !expr_parse_key(b->a, b->ds, &e->key, &key))
        return;
    char *groups = arena_str(b->a, "");
    bool ok = true;
    u.loss = loss_value(b, x->f, e->value, key.path[0]);
    u.leaf = arena_array(b->a, b->p->nweight + 1, sizeof *u.leaf);
    for (uint32_t k = 0; k < key.npath; k++) {
        groups = arena_fmt(b->a, "%s%s%s", groups, k ? ", " : "", key.path[k]);
        if (!check_group(b, key.path[k], key.path_loc[k]) ||
            overlaps(b, x, key.path[k], key.path_loc[k]))
            ok = false;
        else
            add_leaves(b, x, &u, key.path[k]);
    }
    u.rests = u.rests && !u.nleaf;
    const struct expr *loss = e->value->expr;
    const bool node = loss && is_node_path(x->f, loss);
    u.groups = groups;
    u.name = arena_fmt(b->a, "%s.%s", x->ph->name, node ? loss->name : groups);
    if (!ok || !u.loss)
        return;
    through_discrete(b, &u);
    step->update[step->nupdate++] = u;
}

static void update_step(struct mb *b, struct update_cx *x, const struct doc *d)
{
    struct prog_step step = {0};
    x->ngroup = 0;
    step.update = arena_array(b->a, d->n + 1, sizeof *step.update);
    for (uint32_t i = 0; d->kind == DOC_MAP && i < d->n; i++)
        update_entry(b, x, &d->entry[i], &step);
    if (step.nupdate)
        x->ph->step[x->ph->nstep++] = step;
}

static void updates(struct mb *b, struct update_cx *x, const struct doc *d)
{
    const uint32_t n = d->kind == DOC_LIST ? d->n : 1;
    x->ph->step = arena_array(b->a, n + 1, sizeof *x->ph->step);
    for (uint32_t i = 0; i < n; i++)
        update_step(b, x, d->kind == DOC_LIST ? d->entry[i].value : d);
}

/* The groups of a `freeze`, each of which names weights. */
static void frozen_groups(struct mb *b, const struct doc *d, const char ***out, uint32_t *n)
{
    struct loc *loc = NULL;
    if (d && !text_list(b, d, out, &loc, n))
        *n = 0;
    for (uint32_t k = 0; k < *n; k++)
        check_group(b, (*out)[k], loc[k]);
}

/* The phase's weights that an update moves and one of the groups names. */
static void frozen_leaves(struct mb *b, const struct prog_phase *ph,
                          const char *const *freeze, uint32_t n, struct prog_variant *v)
{
    bool *moves = arena_array(b->a, b->g->nleaf + 1U, sizeof *moves);
    for (uint32_t k = 0; k < ph->nstep; k++)
        for (uint32_t j = 0; j < ph->step[k].nupdate; j++)
            for (uint32_t i = 0; i < ph->step[k].update[j].nleaf; i++)
                moves[ph->step[k].update[j].leaf[i]] = true;
    v->frozen = arena_array(b->a, b->p->nweight + 1U, sizeof *v->frozen);
    for (uint32_t i = 0; i < b->p->nweight; i++)
        if (moves[b->p->weight[i].leaf] && frozen(freeze, n, b->p->weight[i].path))
            v->frozen[v->nfrozen++] = b->p->weight[i].leaf;
}

static uint32_t variant_of(struct mb *b, struct prog_phase *ph, const char *const *freeze,
                           uint32_t n)
{
    struct prog_variant v = {.name = arena_str(b->a, n ? freeze[0] : "")};
    frozen_leaves(b, ph, freeze, n, &v);
    if (!v.nfrozen)
        return 0;
    for (uint32_t i = 0; i < ph->nvariant; i++)
        if (ph->variant[i].nfrozen == v.nfrozen &&
            !memcmp(ph->variant[i].frozen, v.frozen, v.nfrozen * sizeof *v.frozen))
            return 1 + i;
    for (uint32_t i = 1; i < n; i++)
        v.name = arena_fmt(b->a, "%s, %s", v.name, freeze[i]);
    ph->variant = arena_grow(b->a, ph->variant, &ph->cvariant, ph->nvariant + 1, sizeof v);
    ph->variant[ph->nvariant++] = v;
    return ph->nvariant;
}

static void freeze_entries(struct mb *b, struct prog_entry *e, uint32_t nentry,
                           const char *const *freeze, uint32_t n)
{
    for (uint32_t i = 0; i < nentry; i++)
        if (e[i].repeat)
            freeze_entries(b, e[i].entry, e[i].nentry, freeze, n);
        else
            e[i].variant = variant_of(b, &b->p->phase[e[i].phase], freeze, n);
}

void mb_stage_freeze(struct mb *b, struct prog_stage *s, const struct doc *d)
{
    const char **group = NULL;
    uint32_t n = 0;
    frozen_groups(b, d, &group, &n);
    freeze_entries(b, s->entry, s->nentry, group, n);
}

/* hold, reset, next */

static void hold(struct mb *b, struct frame *f, struct prog_phase *ph, const struct doc *d)
{
    const char **name = NULL;
    struct loc *loc = NULL;
    uint32_t n = 0;
    if (!text_list(b, d, &name, &loc, &n))
        return;
    uint32_t cap = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct bind *bind = mb_find(f, name[i]);
        if (!bind) {
            const char **names = arena_array(b->a, f->nbind + 1, sizeof *names);
            for (uint32_t k = 0; k < f->nbind; k++)
                names[k] = f->bind[k].name;
            const char *near = diag_nearest(name[i], names, f->nbind);
            diag(b->ds, E0203, loc[i], "unknown name `%s`: `hold` takes nodes of the phase",
                 name[i]);
            if (near)
                diag_hint(b->ds, "did you mean `%s`?", near);
            continue;
        }
        struct val *v = mb_bound(b, f, bind);
        const uint32_t m = v->kind == VAL_TUPLE ? v->n : 1;
        for (uint32_t k = 0; k < m; k++) {
            const struct val *one = v->kind == VAL_TUPLE ? v->item[k] : v;
            if (one->kind != VAL_TENSOR)
                continue;
            ph->hold = arena_grow(b->a, ph->hold, &cap, ph->nhold + 1, sizeof *ph->hold);
            ph->hold[ph->nhold++] = one->v;
        }
    }
}

static void next_states(struct mb *b, struct frame *f, const struct doc *d)
{
    for (uint32_t i = 0; d->kind == DOC_MAP && i < d->n; i++) {
        struct expr_key key;
        struct doc *value = d->entry[i].value;
        if (value->bad || !expr_parse_key(b->a, b->ds, &d->entry[i].key, &key))
            continue;
        const char *site = arena_fmt(b->a, "%s/next.%s", f->site, key.path[0]);
        b->g->at = f->run->region;
        b->g->where = graph_place(b->g, value->loc, 0, WHY_WRITTEN, site);
        b->g->expr = graph_new_expr(b->g);
        struct val *v = mb_eval_doc(b, f, value, site, NULL);
        for (uint32_t k = 0; k < key.npath; k++) {
            struct val *part = v;
            if (key.npath > 1 && v->kind == VAL_TUPLE && v->n == key.npath)
                part = v->item[k];
            mb_commit(b, f->run, b->states, key.path[k], key.path_loc[k], part);
        }
    }
}

static void commits(struct mb *b, struct run *r)
{
    for (struct pending *p = r->pending; p; p = p->link) {
        bool later = false;
        for (struct pending *q = r->pending; q != p && !later; q = q->link)
            later = q->leaf == p->leaf;
        if (!later)
            graph_root(b->g, r->region, ROOT_COMMIT, 0, p->leaf, p->value, NULL);
    }
}

/* The sources a region reads: what its nodes reach. */
static void sources(struct mb *b, struct prog_phase *ph)
{
    struct graph *g = b->g;
    ph->source = arena_array(b->a, b->p->nsource + 1, sizeof *ph->source);
    for (node_id id = 1; id < g->nnode; id++) {
        const struct node *n = &g->node[id];
        for (unsigned i = 0; n->region == ph->region && i < n->nin; i++) {
            const struct node *in = &g->node[g->value[graph_in(g, n)[i]].def];
            if (in->op != OP_LEAF || g->leaf[in->attr].what != LEAF_DATA)
                continue;
            const char *path = g->leaf[in->attr].path;
            const size_t len = strcspn(path, ".");
            bool known = false;
            for (uint32_t k = 0; k < ph->nsource && !known; k++)
                known = strlen(ph->source[k]) == len && !strncmp(ph->source[k], path, len);
            if (!known)
                ph->source[ph->nsource++] = arena_strn(b->a, path, len);
        }
    }
}

static void one_batch(struct mb *b, const struct prog_phase *ph)
{
    for (uint32_t i = 1; i < ph->nsource; i++) {
        const struct prog_source *s = &b->p->source[mb_data_find(b, ph->source[0])];
        const struct prog_source *t = &b->p->source[mb_data_find(b, ph->source[i])];
        if (s->batch != t->batch && s->batch && t->batch) {
            diag(b->ds, E0708, ph->loc,
                 "phase `%s` reads two sources of different batch: `%s` and `%s`", ph->name,
                 s->name, t->name);
            return;
        }
    }
}

static void refuse_ticks(struct mb *b, const struct phase_info *info)
{
    static const char *const keys[] = {"ticks", "learn"};
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        const struct doc_entry *e = doc_find(info->doc, keys[i]);
        if (e && !doc_is_none(e->value))
            diag(b->ds, E0001, e->loc, "`%s` is not built yet", keys[i]);
    }
}

static void phase_nodes(struct mb *b, uint32_t i)
{
    struct frame *f = mb_phase_frame(b, b->phase[i].run, i);
    struct doc *next = doc_get(b->phase[i].doc, "next");
    for (uint32_t k = 0; k < f->nbind; k++) {
        const bool used = f->bind[k].used;
        const struct val *v = mb_bound(b, f, &f->bind[k]);
        f->bind[k].used = used;
        if (v->kind != VAL_FUNC)
            continue;
        diag(b->ds, E0307, f->bind[k].loc, "expected a value, found a function");
        diag_hint(b->ds, "call it; functions are arguments, not nodes of a phase");
    }
    if (next && !next->bad)
        next_states(b, f, next);
}

static void phase_program(struct mb *b, uint32_t i)
{
    struct phase_info *info = &b->phase[i];
    struct frame *f = mb_phase_frame(b, info->run, i);
    struct prog_phase *ph = &b->p->phase[i];
    struct update_cx x = {.f = f, .ph = ph};
    struct doc *d = NULL;
    frozen_groups(b, doc_get(info->doc, "freeze"), &x.freeze, &x.nfreeze);
    if ((d = doc_get(info->doc, "update")))
        updates(b, &x, d);
    if ((d = doc_get(info->doc, "hold")))
        hold(b, f, ph, d);
}

void mb_phases(struct mb *b)
{
    struct program *p = b->p;
    p->phase = arena_array(b->a, b->nphase + 1, sizeof *p->phase);
    p->cphase = b->nphase + 1;
    p->nphase = b->nphase;
    for (uint32_t i = 0; i < b->nphase; i++) {
        struct phase_info *info = &b->phase[i];
        const region_id region = graph_region(b->g, REGION_PHASE, info->name);
        b->g->region[region].training = info->scheduled;
        info->run = mb_run(b, region, info->scheduled, "");
        info->run->is_main = true;
        p->phase[i] = (struct prog_phase){.name = info->name,
                                          .region = region,
                                          .scheduled = info->scheduled,
                                          .loc = info->loc};
    }
    for (uint32_t i = 0; i < b->nphase; i++) {
        refuse_ticks(b, &b->phase[i]);
        phase_nodes(b, i);
        mb_reset_all(b, b->phase[i].run);
        commits(b, b->phase[i].run);
    }
    for (uint32_t i = 0; i < b->nphase; i++) { /* after all weights have been made */
        phase_program(b, i);
        sources(b, &p->phase[i]);
        for (uint32_t k = 0; k < p->phase[i].nsource; k++) {
            const int s = mb_data_find(b, p->phase[i].source[k]);
            if (s >= 0 && p->phase[i].scheduled)
                p->source[s].scheduled = true;
        }
        one_batch(b, &p->phase[i]);
    }
}
