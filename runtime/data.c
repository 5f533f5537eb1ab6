/*
 * The part of the data layer that no format knows about: which samples of a loaded set
 * belong to an entry, in which order a pass reads them, and how a batch is written.
 *
 * A loader (data_*.c) fills a data_set once; from there on everything is an index list over
 * it.  All memory is claimed in data_open(), so that a pass and a batch allocate nothing.
 */
#include "runtime/data.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/philox.h"
#include "runtime/data_impl.h"

const struct data_kind data_kinds[] = {
#define SOURCE(name, splits, doc, opens, fields) {#name, splits, doc, true},
#define LATER(name, splits, doc)                 {#name, splits, doc, false},
#include "runtime/data.def"
#undef LATER
#undef SOURCE
};
const unsigned data_nkind = sizeof data_kinds / sizeof *data_kinds;

static data_open_fn *const openers[] = {
#define SOURCE(name, splits, doc, opens, fields) opens,
#define LATER(name, splits, doc)                 NULL,
#include "runtime/data.def"
#undef LATER
#undef SOURCE
};

static data_fields_fn *const probers[] = {
#define SOURCE(name, splits, doc, opens, fields) fields,
#define LATER(name, splits, doc)                 NULL,
#include "runtime/data.def"
#undef LATER
#undef SOURCE
};

/* u8 to f32, one table for each channel. */
struct pixel_table {
    float of[256];
};

struct data_src {
    struct hyp_source_desc desc;
    struct data_set set;
    uint32_t n;
    uint32_t *row;   /* the selected samples, in file order */
    uint32_t *order; /* of this pass: indices into row */
    uint64_t site;
    unsigned npixel;
    struct pixel_table *pixel; /* npixel of them; 1 where all channels are alike */
};

void hyp_source_defaults(struct hyp_source_desc *d)
{
    memset(d, 0, sizeof *d);
    d->scale[1] = 1;
}

int data_field_find(const struct data_info *info, const char *name)
{
    for (uint32_t i = 0; i < info->nfield; i++)
        if (strcmp(info->field[i].name, name) == 0)
            return (int)i;
    return -1;
}

static enum hyp_status kind_find(const struct hyp_source_desc *d, unsigned *out,
                                 struct hyp_error *err)
{
    for (unsigned i = 0; i < data_nkind; i++) {
        if (strcmp(data_kinds[i].name, d->kind) != 0)
            continue;
        *out = i;
        return data_kinds[i].built ? HYP_OK
                                   : hyp_fail(err, HYP_EUNSUPPORTED,
                                              "source `%s` is not built yet", d->kind);
    }
    return hyp_fail(err, HYP_EARG, "there is no source `%s`", d->kind);
}

enum hyp_status data_probe(const struct hyp_source_desc *d, const char *const *dirs,
                           unsigned ndirs, struct data_info *out, struct hyp_error *err)
{
    const struct data_where w = {d, dirs, ndirs};
    unsigned kind = 0;
    enum hyp_status st = kind_find(d, &kind, err);

    *out = (struct data_info){0};
    if (!st)
        st = probers[kind](&w, out, err);
    if (st)
        data_info_fini(out);
    return st;
}

/* ---- which samples ---- */

/* The permutation of data.h over `order`, words drawn four at a time. */
static void shuffle(uint32_t *order, uint32_t n, uint64_t site, uint64_t step,
                    uint64_t seed)
{
    const uint32_t key[2] = {(uint32_t)seed ^ (uint32_t)(site >> 32),
                             (uint32_t)(seed >> 32) ^ (uint32_t)(step >> 32)};
    uint32_t counter[4] = {0, 0, (uint32_t)step, (uint32_t)site};
    struct philox block = {{0}};

    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n; i-- > 1;) {
        if (i == n - 1 || i % 4 == 3) {
            counter[0] = i / 4;
            block = philox4x32(counter, key);
        }
        const uint32_t j = hyp_mulhi(block.w[i % 4], i + 1);
        const uint32_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

/* Where the part `split` begins and ends in the permutation; false: no such part. */
static bool part_bounds(const struct hyp_source_desc *d, uint32_t n, uint32_t *begin,
                        uint32_t *end)
{
    double sum = 0;
    for (uint32_t i = 0; i < d->npart; i++) {
        const double from = sum;
        sum += d->part[i].share;
        if (d->split && strcmp(d->split, d->part[i].name) != 0)
            continue;
        const double last = sum * n + 0.5;
        *begin = (uint32_t)(from * n + 0.5);
        *end = last >= n ? n : (uint32_t)last;
        return true;
    }
    return false;
}

/* Keep of src->row those marked, in place. */
static void select_marked(struct data_src *s, const uint8_t *mark)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (mark[i])
            s->row[n++] = s->row[i];
    s->n = n;
}

static enum hyp_status select_part(struct data_src *s, struct hyp_error *err)
{
    const struct hyp_source_desc *d = &s->desc;
    uint32_t begin = 0, end = 0;
    char path[DATA_NAME_SIZE];

    if (d->npart == 0)
        return HYP_OK;
    if (!part_bounds(d, s->n, &begin, &end))
        return hyp_fail(err, HYP_EARG, "`%s` has no part `%s`", d->name, d->split);
    uint8_t *mark = hyp_calloc(s->n ? s->n : 1, 1);
    if (!mark)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for the parts of `%s`", d->name);
    snprintf(path, sizeof path, "parts/%s", d->kind);
    shuffle(s->order, s->n, hyp_site(path), 0, d->parts_seed);
    for (uint32_t i = begin; i < end; i++)
        mark[s->order[i]] = 1;
    select_marked(s, mark);
    hyp_free(mark);
    return HYP_OK;
}

static enum hyp_status select_take(struct data_src *s, struct hyp_error *err)
{
    const uint32_t from = s->desc.take[0], to = s->desc.take[1];

    if (to == 0)
        return HYP_OK;
    if (from >= to || to > s->n)
        return hyp_fail(err, HYP_EARG, "`%s`: take [%u, %u] of %u samples", s->desc.name,
                        from, to, s->n);
    memmove(s->row, s->row + from, (to - from) * sizeof *s->row);
    s->n = to - from;
    return HYP_OK;
}

static void order_reset(struct data_src *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        s->order[i] = i;
}

static enum hyp_status select_keep(struct data_src *s, const struct data_keep *keep,
                                   struct hyp_error *err)
{
    enum hyp_status st = HYP_OK;
    if (!keep)
        return HYP_OK;
    uint8_t *mark = hyp_malloc(s->n ? s->n : 1);
    if (!mark)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for `keep` of `%s`", s->desc.name);
    memset(mark, 1, s->n);
    order_reset(s);
    st = keep->fn(keep->cx, s, mark, err);
    if (!st)
        select_marked(s, mark);
    hyp_free(mark);
    return st;
}

static const int32_t *labels_of(const struct data_src *s)
{
    const int f = data_field_find(&s->set.info, "label");
    if (f < 0 || s->set.column[f].storage != STORE_I32 || s->set.info.field[f].rank != 0)
        return NULL;
    return s->set.column[f].values;
}

static enum hyp_status select_per_class(struct data_src *s, struct hyp_error *err)
{
    const int32_t *label = labels_of(s);
    const uint32_t k = s->desc.per_class;

    if (k == 0)
        return HYP_OK;
    if (!label || s->set.nclass == 0)
        return hyp_fail(err, HYP_EARG, "`%s`: per_class needs a field `label` of classes",
                        s->desc.name);
    uint32_t *have = hyp_calloc(s->set.nclass, sizeof *have);
    if (!have)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for `per_class` of `%s`",
                        s->desc.name);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (have[label[s->row[i]]]++ < k)
            s->row[n++] = s->row[i];
    s->n = n;
    hyp_free(have);
    return HYP_OK;
}

/* Labels 0 .. nclass - 1; a column that holds anything else has no classes. */
static void count_classes(struct data_src *s)
{
    const int32_t *label = labels_of(s);
    uint32_t n = s->set.nclass;

    if (!label)
        return;
    for (uint32_t i = 0; i < s->set.n; i++) {
        if (label[i] < 0 || label[i] >= 1 << 20)
            return;
        if ((uint32_t)label[i] >= n)
            n = (uint32_t)label[i] + 1;
    }
    s->set.nclass = n;
}

static enum hyp_status select_samples(struct data_src *s, const struct data_keep *keep,
                                      struct hyp_error *err)
{
    s->n = s->set.n;
    s->row = hyp_calloc(s->n ? s->n : 1, sizeof *s->row);
    s->order = hyp_calloc(s->n ? s->n : 1, sizeof *s->order);
    if (!s->row || !s->order)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for the order of `%s`",
                        s->desc.name);
    for (uint32_t i = 0; i < s->n; i++)
        s->row[i] = i;
    enum hyp_status st = select_part(s, err);
    if (!st)
        st = select_take(s, err);
    if (!st)
        st = select_keep(s, keep, err);
    if (!st)
        st = select_per_class(s, err);
    if (!st && s->n == 0)
        st = hyp_fail(err, HYP_EARG, "`%s` has no samples left", s->desc.name);
    order_reset(s);
    return st;
}

/* ---- values ---- */

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

static enum hyp_status check_scale(const struct data_src *s, struct hyp_error *err)
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

static enum hyp_status make_pixels(struct data_src *s, struct hyp_error *err)
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

enum hyp_status data_open(const struct hyp_source_desc *d, const char *const *dirs,
                          unsigned ndirs, const struct data_keep *keep,
                          struct data_src **out, struct hyp_error *err)
{
    const struct data_where w = {d, dirs, ndirs};
    char path[DATA_PATH_SIZE];
    unsigned kind = 0;
    struct data_src *s = hyp_calloc(1, sizeof *s);
    enum hyp_status st = s ? HYP_OK : hyp_fail(err, HYP_ENOMEM, "out of memory for data");

    if (!st) {
        s->desc = *d;
        st = kind_find(d, &kind, err);
    }
    if (!st)
        st = openers[kind](&w, &s->set, err);
    if (!st)
        st = check_scale(s, err);
    if (!st)
        st = make_pixels(s, err);
    if (!st) {
        count_classes(s);
        st = select_samples(s, keep, err);
    }
    if (st) {
        data_close(s);
        return st;
    }
    snprintf(path, sizeof path, "data/%s", d->name);
    s->site = hyp_site(path);
    *out = s;
    return HYP_OK;
}

void data_close(struct data_src *s)
{
    if (!s)
        return;
    data_set_fini(&s->set);
    hyp_free(s->row);
    hyp_free(s->order);
    hyp_free(s->pixel);
    hyp_free(s);
}

uint32_t data_count(const struct data_src *s)
{
    return s->n;
}

uint32_t data_batches(const struct data_src *s)
{
    const uint32_t b = s->desc.batch ? s->desc.batch : 1;
    return s->n / b + (s->n % b != 0 && !s->desc.drop_last);
}

const struct data_info *data_fields(const struct data_src *s)
{
    return &s->set.info;
}

uint32_t data_classes(const struct data_src *s)
{
    return s->set.nclass;
}

const char *data_class_name(const struct data_src *s, uint32_t c)
{
    return s->set.class_name && c < s->set.nclass ? s->set.class_name[c] : NULL;
}

const char *data_note(const struct data_src *s)
{
    return s->set.note;
}

const uint32_t *data_rows(const struct data_src *s)
{
    return s->row;
}

void data_set_pass(struct data_src *s, uint64_t pass, uint64_t seed)
{
    if (s->desc.random)
        shuffle(s->order, s->n, s->site, pass, seed);
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

/* ---- given ---- */

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
    s->n = g->of ? g->of->n : g->n;
    s->row = hyp_calloc(s->n ? s->n : 1, sizeof *s->row);
    s->order = hyp_calloc(s->n ? s->n : 1, sizeof *s->order);
    if (!s->row || !s->order)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for the order of `%s`",
                        s->desc.name);
    for (uint32_t i = 0; i < s->n; i++)
        s->row[i] = g->of ? g->of->row[i] : i;
    order_reset(s);
    return s->n ? HYP_OK : hyp_fail(err, HYP_EARG, "`%s` has no samples", s->desc.name);
}

enum hyp_status data_give(const struct hyp_source_desc *d, const struct data_given *g,
                          struct data_src **out, struct hyp_error *err)
{
    char path[DATA_PATH_SIZE];
    struct data_src *s = hyp_calloc(1, sizeof *s);
    enum hyp_status st = s ? HYP_OK : hyp_fail(err, HYP_ENOMEM, "out of memory for data");

    if (!st) {
        s->desc = *d;
        if (g->of) {
            memcpy(s->desc.scale, g->of->desc.scale, sizeof s->desc.scale);
            memcpy(s->desc.mean, g->of->desc.mean, sizeof s->desc.mean);
            memcpy(s->desc.std, g->of->desc.std, sizeof s->desc.std);
            s->desc.nmean = g->of->desc.nmean;
        }
        st = borrow(s, g, err);
    }
    if (!st)
        st = make_pixels(s, err);
    if (!st) {
        count_classes(s);
        st = borrow_rows(s, g, err);
    }
    if (st) {
        data_close(s);
        return st;
    }
    snprintf(path, sizeof path, "data/%s", d->name);
    s->site = hyp_site(path);
    *out = s;
    return HYP_OK;
}
