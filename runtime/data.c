/*
 * The part of the data layer that no format knows about: which samples of a loaded set
 * belong to an entry, and in which order a pass reads them.
 *
 * A loader (data_*.c) fills a data_set once; from there on everything is an index list over
 * it.  All memory is claimed in data_open(), so that a pass and a batch allocate nothing.
 */
#include "runtime/data.h"

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

void data_order_reset(struct data_src *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        s->order[i] = i;
}

enum hyp_status data_all_rows(struct data_src *s, uint32_t n, struct hyp_error *err)
{
    s->n = n;
    s->row = hyp_calloc(n ? n : 1, sizeof *s->row);
    s->order = hyp_calloc(n ? n : 1, sizeof *s->order);
    if (!s->row || !s->order)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for the order of `%s`",
                        s->desc.name);
    for (uint32_t i = 0; i < n; i++)
        s->row[i] = i;
    data_order_reset(s);
    return HYP_OK;
}

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
    data_order_reset(s);
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

void data_count_classes(struct data_src *s)
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
    enum hyp_status st = data_all_rows(s, s->set.n, err);
    if (st)
        return st;
    st = select_part(s, err);
    if (!st)
        st = select_take(s, err);
    if (!st)
        st = select_keep(s, keep, err);
    if (!st)
        st = select_per_class(s, err);
    if (!st && s->n == 0)
        st = hyp_fail(err, HYP_EARG, "`%s` has no samples left", s->desc.name);
    data_order_reset(s);
    return st;
}

enum hyp_status data_src_new(const struct hyp_source_desc *d, struct data_src **out,
                             struct hyp_error *err)
{
    char path[DATA_PATH_SIZE];
    struct data_src *s = hyp_calloc(1, sizeof *s);
    if (!s)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for data");
    snprintf(path, sizeof path, "data/%s", d->name);
    s->desc = *d;
    s->site = hyp_site(path);
    *out = s;
    return HYP_OK;
}

enum hyp_status data_load(const struct data_where *w, struct data_set *out,
                          struct hyp_error *err)
{
    unsigned kind = 0;
    const enum hyp_status st = kind_find(w->desc, &kind, err);
    return st ? st : openers[kind](w, out, err);
}

enum hyp_status data_open(const struct hyp_source_desc *d, const char *const *dirs,
                          unsigned ndirs, const struct data_keep *keep,
                          struct data_src **out, struct hyp_error *err)
{
    return data_open_loaded(d, dirs, ndirs, keep, NULL, out, err);
}

enum hyp_status data_open_loaded(const struct hyp_source_desc *d, const char *const *dirs,
                                 unsigned ndirs, const struct data_keep *keep,
                                 struct data_ahead *ahead, struct data_src **out,
                                 struct hyp_error *err)
{
    const struct data_where w = {d, dirs, ndirs};
    struct data_src *s = NULL;
    enum hyp_status st = data_src_new(d, &s, err);

    if (!st && !data_ahead_take(ahead, d, &s->set))
        st = data_load(&w, &s->set, err);
    if (!st)
        st = data_check_scale(s, err);
    if (!st)
        st = data_make_pixels(s, err);
    if (!st) {
        data_count_classes(s);
        st = select_samples(s, keep, err);
    }
    if (st) {
        data_close(s);
        return st;
    }
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
