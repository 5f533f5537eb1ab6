/*
 * E0604: what a pathway or drive gives must have the shape that its layer declares.  It is
 * asked where the value is made, so that nothing that reads it complains first.
 */
#include <string.h>

#include "compiler/front/build.h"
#include "runtime/base/arena.h"

/* "x.oscillation" is a value of layer x; *phase: "oscillation". */
static const struct doc *layer_of(struct mb *b, const char *node, const char **name,
                                  const char **phase)
{
    const char *dot = strrchr(node, '.');
    if (!dot)
        return NULL;
    *name = arena_strn(b->a, node, (size_t)(dot - node));
    *phase = dot + 1;
    const struct doc *layers = doc_get(b->m->merged, "layers");
    const struct doc *layer = layers ? doc_get(layers, *name) : NULL;
    const struct doc *all = layers ? doc_get(layers, "all") : NULL;
    return layer && !doc_get(layer, "shape") ? all : layer;
}

/* Where the value was written: in wake a drive or pathway up, else a pathway down. */
static struct loc written_at(struct mb *b, const char *name, const char *phase,
                             const char **what, struct loc loc)
{
    const bool wake = !strcmp(phase, "wake");
    const struct doc *layers = doc_get(b->m->merged, "layers");
    const struct doc *paths = doc_get(b->m->merged, "pathways");
    const struct doc *way = paths ? doc_get(paths, wake ? "up" : "down") : NULL;
    const struct doc *drive = wake ? doc_get(doc_get(layers, name), "drive") : NULL;
    const struct doc *path = way ? doc_get(way, name) : NULL;
    *what = drive ? "drive" : "pathway";
    return drive ? drive->loc : path ? path->loc : loc;
}

static bool declared(struct mb *b, struct doc *shape, struct type *t)
{
    struct graph *g = b->g;
    const region_id at = g->at;
    const place_id where = g->where;
    const uint32_t expr = g->expr;
    g->at = b->p->host;
    const bool ok =
        mb_shape(b, mb_eval_doc(b, b->host, shape, "host", NULL), shape->loc, t);
    g->at = at;
    g->where = where;
    g->expr = expr;
    return ok;
}

/* Of the shape that was meant, so that what reads it is looked at too. */
static struct val *stand_in(struct mb *b, const struct type *have, const struct type *want)
{
    struct type t = *want;
    if (have->sample) {
        t = *have;
        t.rank = (uint8_t)(want->rank + 1U);
        memcpy(t.dim + 1, want->dim, want->rank * sizeof *want->dim);
    }
    t.dtype = DT_F32;
    return mb_tensor(b, graph_map(b->g, sx_const(&b->g->sx, 0), NULL, 0, &t));
}

struct val *mb_layer_value(struct mb *b, const char *node, struct val *v, struct loc loc)
{
    const char *name = NULL, *phase = NULL, *what = NULL;
    const struct doc *layer = layer_of(b, node, &name, &phase);
    struct doc *shape = layer ? doc_get(layer, "shape") : NULL;
    struct type want = type_scalar(DT_F32);
    if (!shape || shape->bad || v->kind != VAL_TENSOR || !declared(b, shape, &want))
        return v;
    const struct type *have = graph_type(b->g, v->v);
    const unsigned first = have->sample ? 1 : 0;
    bool same = have->rank - first == want.rank;
    for (unsigned i = 0; same && i < want.rank; i++)
        same = ext_eq(have->dim[first + i], want.dim[i]);
    if (same)
        return v;
    loc = written_at(b, name, phase, &what, loc);
    diag(b->ds, E0604, loc, "the %s's value is %s, the layer's shape %s", what,
         mb_shape_text(b, have), mb_shape_text(b, &want));
    diag_note(b->ds, shape->loc, "the shape of `%s`", name);
    return stand_in(b, have, &want);
}
