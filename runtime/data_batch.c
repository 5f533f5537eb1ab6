/*
 * How a batch is written: stored values become those that the descriptor's scale, or its
 * means and deviations, make of them.  Bytes go through a table, one for each channel.
 */
#include <assert.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/data_impl.h"

/* The formulas of data.h on a stored value x of channel c. */
static float scaled(const struct hyp_source_desc *d, uint32_t c, double x)
{
    if (d->nmean) {
        c = d->nmean == 1 ? 0 : c;
        return (float)((x - d->mean[c]) / d->std[c]);
    }
    return (float)(d->scale[0] + (d->scale[1] - d->scale[0]) * x);
}

static uint32_t channels(const struct data_field *f)
{
    return f->rank == 3 ? f->dim[0] : 1;
}

enum hyp_status data_check_scale(const struct data_src *s, struct hyp_error *err)
{
    const struct hyp_source_desc *d = &s->desc;

    if (d->nmean > SOURCE_MAX_CHANNELS)
        return hyp_fail(err, HYP_EARG, "`%s`: at most %d channels of mean and std", d->name,
                        SOURCE_MAX_CHANNELS);
    for (uint32_t c = 0; c < d->nmean; c++)
        if (!(d->std[c] > 0))
            return hyp_fail(err, HYP_EARG, "`%s`: std must be above 0", d->name);
    for (uint32_t f = 0; d->nmean > 1 && f < s->set.info.nfield; f++) {
        const struct data_field *field = &s->set.info.field[f];
        if (field->dtype == DATA_F32 && field->rank && channels(field) != d->nmean)
            return hyp_fail(err, HYP_EARG,
                            "`%s`: %u means and stds for %u channels of `%s`", d->name,
                            d->nmean, channels(field), field->name);
    }
    return HYP_OK;
}

enum hyp_status data_make_pixels(struct data_src *s, struct hyp_error *err)
{
    s->npixel = s->desc.nmean ? s->desc.nmean : 1;
    s->pixel = hyp_calloc(s->npixel, sizeof *s->pixel);
    if (!s->pixel)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for `%s`", s->desc.name);
    for (uint32_t c = 0; c < s->npixel; c++)
        for (unsigned v = 0; v < 256; v++)
            s->pixel[c].of[v] = scaled(&s->desc, c, v / 255.0);
    return HYP_OK;
}

/* ---- batches ---- */

static void write_bytes(const struct data_src *s, const struct data_field *f,
                        const uint8_t *in, float *out)
{
    const size_t size = data_field_size(f);
    const size_t plane = size / channels(f);

    for (uint32_t c = 0; c < channels(f); c++) {
        const float *of = s->pixel[s->npixel == 1 ? 0 : c].of;
        for (size_t i = c * plane; i < (c + 1) * plane; i++)
            out[i] = of[in[i]];
    }
}

static void write_floats(const struct data_src *s, const struct data_field *f,
                         const float *in, float *out)
{
    const struct hyp_source_desc *d = &s->desc;
    const size_t size = data_field_size(f);
    const size_t plane = size / channels(f);

    if (f->rank == 0 || (d->nmean == 0 && d->scale[0] == 0 && d->scale[1] == 1)) {
        memcpy(out, in, size * sizeof *out);
        return;
    }
    for (size_t i = 0; i < size; i++)
        out[i] = scaled(d, (uint32_t)(i / plane), (double)in[i]);
}

/*
 * The pixels of a drawn sample, drawn now if nobody has yet.  Two threads that need the
 * same one do not wait for each other: the second draws into `own`.
 */
static const uint8_t *drawn(const struct data_column *c, uint32_t row, size_t size,
                            uint8_t *own)
{
    uint8_t *const kept = (uint8_t *)c->values + row * size;
    unsigned char expected = 0;

    if (atomic_load_explicit(&c->state[row], memory_order_acquire) == 2)
        return kept;
    if (!atomic_compare_exchange_strong(&c->state[row], &expected, 1)) {
        c->draw(c->split, row, own);
        return own;
    }
    c->draw(c->split, row, kept);
    atomic_store_explicit(&c->state[row], 2, memory_order_release);
    return kept;
}

static void write_sample(const struct data_src *s, unsigned field, uint32_t row, void *out)
{
    const struct data_field *f = &s->set.info.field[field];
    const struct data_column *c = &s->set.column[field];
    const size_t size = data_field_size(f);
    uint8_t own[DATA_DRAWN_MAX];

    switch (c->storage) {
    case STORE_U8:
        write_bytes(s, f, (const uint8_t *)c->values + row * size, out);
        break;
    case STORE_DRAWN:
        write_bytes(s, f, drawn(c, row, size, own), out);
        break;
    case STORE_F32:
        write_floats(s, f, (const float *)c->values + row * size, out);
        break;
    case STORE_I32:
        memcpy(out, (const int32_t *)c->values + row * size, size * sizeof(int32_t));
        break;
    }
}

void data_batch_file(const struct data_src *s, unsigned field, uint32_t first,
                     uint32_t count, void *out)
{
    const size_t nbytes = data_field_size(&s->set.info.field[field]) * 4;

    assert(field < s->set.info.nfield && first <= s->n && count <= s->n - first);
    for (uint32_t i = 0; i < count; i++)
        write_sample(s, field, s->row[first + i], (char *)out + i * nbytes);
}

void data_batch(const struct data_src *s, unsigned field, uint32_t first, uint32_t count,
                void *out)
{
    const size_t nbytes = data_field_size(&s->set.info.field[field]) * 4;

    assert(field < s->set.info.nfield && first <= s->n && count <= s->n - first);
    for (uint32_t i = 0; i < count; i++)
        write_sample(s, field, s->row[s->order[first + i]], (char *)out + i * nbytes);
}
