/*
 * The source `given`: samples that a metric hands over, from another source or from rows of
 * its own.  Nothing is copied but the list of samples.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/data_impl.h"

enum hyp_status given_open(const struct data_where *w, struct data_set *out,
                           struct hyp_error *err)
{
    (void)out;
    return hyp_fail(err, HYP_EARG, "`%s`: a source of kind `given` is filled by a metric",
                    w->desc->name);
}

enum hyp_status given_fields(const struct data_where *w, struct data_info *out,
                             struct hyp_error *err)
{
    const uint32_t width[2] = {w->desc->size, 0};
    const enum hyp_status st = data_add_field(out, "x", DATA_F32, false, width, err);
    return st ? st : data_add_field(out, "label", DATA_I32, false, NULL, err);
}

/* Two columns that point into another source or into the caller's rows. */
static enum hyp_status borrow(struct data_src *s, const struct data_given *g,
                              struct hyp_error *err)
{
    const struct data_set *of = g->of ? &g->of->set : NULL;
    const int label = of ? data_field_find(&of->info, "label") : 1;
    const uint32_t width[2] = {g->width, 0};

    s->set.borrowed = true;
    if (label < 0)
        return hyp_fail(err, HYP_EARG, "`%s` has no field `label`", g->of->desc.name);
    enum hyp_status st = data_add_field(&s->set.info, "x", DATA_F32, false, width, err);
    if (!st)
        st = data_add_field(&s->set.info, "label", DATA_I32, false, NULL, err);
    if (!st)
        st = data_add_columns(&s->set, err);
    if (st)
        return st;
    if (of) {
        s->set.info.field[0] = of->info.field[0];
        s->set.column[0] = of->column[0];
        s->set.column[1] = of->column[label];
        s->set.nclass = of->nclass;
        s->set.n = of->n;
    } else {
        s->set.column[0] =
            (struct data_column){.storage = STORE_F32, .values = (void *)g->x};
        s->set.column[1] =
            (struct data_column){.storage = STORE_I32, .values = (void *)g->label};
        s->set.n = g->n;
    }
    snprintf(s->set.info.field[0].name, DATA_NAME_SIZE, "x");
    return HYP_OK;
}

/* The samples of the other source in its file order, or all rows. */
static enum hyp_status borrow_rows(struct data_src *s, const struct data_given *g,
                                   struct hyp_error *err)
{
    const enum hyp_status st = data_all_rows(s, g->of ? g->of->n : g->n, err);
    if (st)
        return st;
    if (g->of)
        memcpy(s->row, g->of->row, s->n * sizeof *s->row);
    return s->n ? HYP_OK : hyp_fail(err, HYP_EARG, "`%s` has no samples", s->desc.name);
}

enum hyp_status data_give(const struct hyp_source_desc *d, const struct data_given *g,
                          struct data_src **out, struct hyp_error *err)
{
    struct data_src *s = NULL;
    enum hyp_status st = data_src_new(d, &s, err);

    if (!st) {
        if (g->of) {
            memcpy(s->desc.scale, g->of->desc.scale, sizeof s->desc.scale);
            memcpy(s->desc.mean, g->of->desc.mean, sizeof s->desc.mean);
            memcpy(s->desc.std, g->of->desc.std, sizeof s->desc.std);
            s->desc.nmean = g->of->desc.nmean;
        }
        st = borrow(s, g, err);
    }
    if (!st)
        st = data_make_pixels(s, err);
    if (!st) {
        data_count_classes(s);
        st = borrow_rows(s, g, err);
    }
    if (st) {
        data_close(s);
        return st;
    }
    *out = s;
    return HYP_OK;
}
