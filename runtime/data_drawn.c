/* The sources that are drawn: labels now, images when a batch first needs them. */
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/data_impl.h"
#include "runtime/digits.h"
#include "runtime/shapes.h"

enum { CLASSES = 10 };

struct drawn {
    const char *kind;
    uint32_t channels, side, count[2]; /* training, test */
    unsigned (*label)(unsigned split, uint32_t k);
    data_draw_fn *draw;
    const char *const *class_name; /* or NULL */
};

static const struct drawn drawn[] = {
    {"digits",
     1,
     DIGITS_SIDE,
     {DIGITS_TRAIN, DIGITS_TEST},
     digits_label,
     digits_draw,
     NULL},
    {"shapes",
     3,
     SHAPES_SIDE,
     {SHAPES_TRAIN, SHAPES_TEST},
     shapes_label,
     shapes_draw,
     shapes_name},
};

_Static_assert((int)DIGITS_PIXELS <= (int)DATA_DRAWN_MAX &&
                   (int)SHAPES_PIXELS <= (int)DATA_DRAWN_MAX,
               "a drawn sample has its room");

/* The row of the source, whose kind is one of them. */
static const struct drawn *find(const struct data_where *w)
{
    const struct drawn *d = drawn;
    while (strcmp(d->kind, w->desc->kind) != 0)
        d++;
    return d;
}

enum hyp_status drawn_fields(const struct data_where *w, struct data_info *out,
                             struct hyp_error *err)
{
    const struct drawn *d = find(w);
    return data_image_fields(w, d->channels, d->side, out, err);
}

static enum hyp_status make_room(const struct drawn *d, struct data_set *out,
                                 struct hyp_error *err)
{
    enum hyp_status st = data_add_columns(out, err);
    if (!st)
        st = data_room(out, 0, STORE_DRAWN, out->n, err);
    if (!st)
        st = data_room(out, 1, STORE_I32, out->n, err);
    if (st)
        return st;
    out->column[0].state = hyp_malloc(out->n * sizeof *out->column[0].state);
    return out->column[0].state
               ? HYP_OK
               : hyp_fail(err, HYP_ENOMEM, "out of memory for %s", d->kind);
}

enum hyp_status drawn_open(const struct data_where *w, struct data_set *out,
                           struct hyp_error *err)
{
    const struct drawn *d = find(w);
    bool test = false;
    enum hyp_status st = data_train_test(w->desc, &test, err);

    out->n = d->count[test];
    out->nclass = CLASSES;
    if (!st)
        st = drawn_fields(w, &out->info, err);
    if (!st)
        st = make_room(d, out, err);
    for (uint32_t c = 0; !st && d->class_name && c < CLASSES; c++)
        st = data_name_class(out, c, d->class_name[c], err);
    if (st)
        return st;
    struct data_column *image = &out->column[0];
    image->split = test; /* as both number theirs */
    image->draw = d->draw;
    for (uint32_t k = 0; k < out->n; k++) {
        atomic_init(&image->state[k], 0);
        ((int32_t *)out->column[1].values)[k] = (int32_t)d->label(image->split, k);
    }
    return HYP_OK;
}
