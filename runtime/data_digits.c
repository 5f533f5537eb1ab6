/* The source `digits`: labels now, images when a batch first needs them (digits.h). */
#include "runtime/base/alloc.h"
#include "runtime/data_impl.h"
#include "runtime/digits.h"

enum hyp_status digits_fields(const struct data_where *w, struct data_info *out,
                              struct hyp_error *err)
{
    const uint32_t dim[] = {1, DIGITS_SIDE, DIGITS_SIDE, 0};
    bool test;
    enum hyp_status st = data_train_test(w->desc, &test, err);
    if (!st)
        st = data_add_field(out, "image", DATA_F32, true, dim, err);
    return st ? st : data_add_field(out, "label", DATA_I32, false, NULL, err);
}

enum hyp_status digits_open(const struct data_where *w, struct data_set *out,
                            struct hyp_error *err)
{
    bool test = false;
    enum hyp_status st = data_train_test(w->desc, &test, err);

    if (!st)
        st = digits_fields(w, &out->info, err);
    if (!st)
        st = data_add_columns(out, err);
    out->n = test ? DIGITS_TEST : DIGITS_TRAIN;
    if (!st)
        st = data_room(out, 0, STORE_DRAWN, out->n, err);
    if (!st)
        st = data_room(out, 1, STORE_I32, out->n, err);
    if (st)
        return st;
    struct data_column *image = &out->column[0];
    image->split = test ? DIGITS_SPLIT_TEST : DIGITS_SPLIT_TRAIN;
    image->state = hyp_malloc(out->n * sizeof *image->state);
    if (!image->state)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for digits");
    for (uint32_t k = 0; k < out->n; k++) {
        atomic_init(&image->state[k], 0);
        ((int32_t *)out->column[1].values)[k] = (int32_t)digits_label(image->split, k);
    }
    out->nclass = 10;
    return HYP_OK;
}
