/*
 * Lowering a group to a kernel: axes from the group's space, one stage a node.
 *
 * Products first, then node by node in graph order.  Operands become stage references
 * inside the group, buffer loads with row-major indices outside, and scalars where the host
 * computes them.  With a window all of this is done for every piece of its output.
 */
#include "codegen/loop/lowering.h"

#include <string.h>

static bool lower_node(struct lower *l, const struct node *n)
{
    switch (n->op) {
    case OP_MAP:
        low_map(l, n);
        return !l->failed;
    case OP_FORM:
        return low_form(l, n);
    case OP_FOLD:
        return low_fold(l, n);
    case OP_GATHER:
        return low_gather(l, n);
    case OP_SCATTER:
        return low_scatter(l, n);
    default:
        return low_refuse(l, n, "this node");
    }
}

static void start(struct lower *l, const struct group *gr)
{
    l->group = gr;
    l->out = arena_alloc(l->a, sizeof *l->out);
    l->k = l->out->kernel = arena_alloc(l->a, sizeof *l->k);
    l->k->arena = l->a;
    l->k->name = "k";
    sx_init(&l->k->sx, l->a);
}

/* Axes of the space: its dims as they are (NULL), or a piece of the window's output. */
static void start_piece(struct lower *l, const struct form_piece *piece)
{
    const struct type *t = &l->group->main;
    l->stage_of = (struct hash_index){0};
    memset(l->taken, 0, sizeof l->taken);
    l->ntaken = 0;
    l->ninlined = l->nreduced = 0;
    l->piece = piece;
    if (piece)
        low_piece(l, piece);
    else
        for (unsigned d = 0; d < t->rank; d++)
            l->main[d] =
                low_is_one(t->dim[d]) ? index_const(0) : low_axis(l, t->dim[d], LOW_SPACE);
    low_order_axes(l);
}

/* READ, WRITE or both, from the loads and stores. */
static void derive_use(struct kernel *k)
{
    bool *read = arena_array(k->arena, k->nbuf + 1, sizeof *read);
    bool *write = arena_array(k->arena, k->nbuf + 1, sizeof *write);
    for (uint32_t i = 0; i < k->nstage; i++) {
        for (uint32_t j = 0; j < k->stage[i].noperand; j++)
            if (!k->stage[i].operand[j].stage)
                read[k->stage[i].operand[j].id] = true;
        for (uint32_t j = 0; j < k->stage[i].nstore; j++)
            write[k->stage[i].store[j].buf] = true;
    }
    for (uint32_t b = 0; b < k->nbuf; b++)
        k->buf[b].use = !write[b] ? BUF_READ : read[b] ? BUF_READ_WRITE : BUF_WRITE;
}

/* The member that names the kernel: a contraction before a sum before a map, the last of
 * its kind. */
static const char *dominant(const struct lower *l, const struct group *gr)
{
    const char *name = NULL;
    int best = -1;
    for (uint32_t i = 0; i < gr->n; i++) {
        const struct node *n = &l->g->node[gr->node[i]];
        const int rank = n->op == OP_FORM ? l->g->form[n->attr].nport : 0;
        if (rank >= best && l->g->place[n->place].name) {
            best = rank;
            name = l->g->place[n->place].name;
        }
    }
    return name ? name : "kernel";
}

/* The node's chain goes on in another member, which is lowered with it. */
static bool goes_on(const struct lower *l, const struct node *n)
{
    for (uint32_t i = 0; i < l->group->n; i++) {
        const struct node *x = &l->g->node[l->group->node[i]];
        if (x->op == OP_FORM && x->nin == l->g->form[x->attr].nport &&
            graph_in(l->g, x)[x->nin - 1] == n->out0)
            return true;
    }
    return false;
}

/* Products first: one walk computes them together, and what reads them after. */
static void lower_kind(struct lower *l, bool products)
{
    for (uint32_t i = 0; i < l->group->n && !l->failed; i++) {
        const struct node *n = &l->g->node[l->group->node[i]];
        const bool product = n->op == OP_FORM && l->g->form[n->attr].nport == 3;
        if (product == products && !goes_on(l, n))
            lower_node(l, n);
    }
}

static void lower_members(struct lower *l, const struct form_piece *piece)
{
    start_piece(l, piece);
    lower_kind(l, true);
    lower_kind(l, false);
}

static void lower_pieces(struct lower *l)
{
    struct form_piece *piece = NULL;
    uint32_t n = 0;
    l->window = low_find_window(l);
    if (l->window) {
        const struct node *w = &l->g->node[l->window];
        n = form_pieces(&l->g->form[w->attr], w->port, l->scratch, &piece);
    }
    for (uint32_t i = 0; i < n && !l->failed; i++)
        lower_members(l, &piece[i]);
    if (n == 0)
        lower_members(l, NULL);
}

struct lowered *lower_group(const struct fusion *f, uint32_t group, storage_fn *slot,
                            void *cx, struct arena *a, struct diag_sink *ds)
{
    struct lower l = {.f = f, .g = f->g, .a = a, .ds = ds, .slot = slot, .cx = cx};
    const struct group *gr = &f->group[group];

    l.scratch = arena_new();
    start(&l, gr);
    lower_pieces(&l);
    arena_free(l.scratch);
    if (l.failed) {
        if (!diag_errors(ds))
            low_refuse(&l, &l.g->node[gr->node[0]], "a space of this rank");
        return NULL;
    }
    derive_use(l.k);
    l.out->name = dominant(&l, gr);
    return l.out;
}

struct lowered *lower_copy(const struct fusion *f, value_id v, uint32_t to,
                           storage_fn *slot, void *cx, struct arena *a,
                           struct diag_sink *ds)
{
    struct lower l = {.f = f, .g = f->g, .a = a, .ds = ds, .slot = slot, .cx = cx};
    struct group gr = {.kind = GROUP_MAP, .main = *graph_type(f->g, v)};
    const struct node *n = &f->g->node[f->g->value[v].def];
    struct index at[HYP_RANK];

    start(&l, &gr);
    start_piece(&l, NULL);
    struct kstage *s = low_new_stage(&l, n, K_MAP);
    s->dtype = gr.main.dtype;
    low_value_at(&l, &gr.main, at);
    low_space(&l, s, &gr.main, at);
    if (f->role[f->g->value[v].def] == ROLE_HOST)
        s->value = low_host(&l, v);
    else
        s->value = sx_arg(&l.k->sx, low_add_operand(&l, s, low_load(&l, v, at)),
                          low_sx_type(&l, v));
    struct kstore *st = arena_alloc(a, sizeof *st);
    st->index = low_address(&l, &gr.main, at);
    st->buf = (uint16_t)l.k->nbuf;
    l.k->buf = arena_grow(a, l.k->buf, &l.cbuf, l.k->nbuf + 1, sizeof *l.k->buf);
    l.out->slot = arena_grow(a, l.out->slot, &l.cslot, l.k->nbuf + 1, sizeof(uint32_t));
    l.out->value = arena_grow(a, l.out->value, &l.cvalue, l.k->nbuf + 1, sizeof(value_id));
    l.k->buf[l.k->nbuf] = (struct kbuf){.name = arena_fmt(a, "b%u", l.k->nbuf),
                                        .dtype = gr.main.dtype,
                                        .rank = gr.main.rank};
    memcpy(l.k->buf[l.k->nbuf].dim, gr.main.dim, sizeof gr.main.dim);
    l.out->slot[l.k->nbuf] = to;
    l.out->value[l.k->nbuf++] = v;
    s->store = st;
    s->nstore = 1;
    derive_use(l.k);
    l.out->name = f->g->place[n->place].name ? f->g->place[n->place].name : "copy";
    return l.failed ? NULL : l.out;
}
