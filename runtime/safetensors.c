/*
 * Safetensors, written from the format's description.
 *
 * The reader trusts nothing: the header may take at most 100 MB (as the reference
 * implementation has it) and lies inside the file; every tensor's range is as long as its
 * shape says; sorted by their begin the ranges follow each other from 0 to the end of the
 * file.
 */
#include "runtime/safetensors.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"

#define HEADER_LIMIT ((uint64_t)100 * 1000 * 1000)

static const struct {
    const char *name;
    size_t size;
} dtypes[SAFETENSORS_NTYPE] = {
    [SAFETENSORS_F32] = {"F32", 4}, [SAFETENSORS_F64] = {"F64", 8},
    [SAFETENSORS_I32] = {"I32", 4}, [SAFETENSORS_I64] = {"I64", 8},
    [SAFETENSORS_U8] = {"U8", 1},
};

static const char metadata_key[] = "__metadata__";

const char *safetensors_dtype_name(enum safetensors_dtype t)
{
    return dtypes[t].name;
}

size_t safetensors_dtype_size(enum safetensors_dtype t)
{
    return dtypes[t].size;
}

static uint64_t size_of(const struct safetensor *t)
{
    uint64_t n = dtypes[t->dtype].size;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= t->dim[i];
    return n;
}

/* ---- writing ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Ranks within the limit, names all different. */
static enum hyp_status check_tensors(const struct safetensors *s, struct hyp_error *err)
{
    enum hyp_status st = HYP_OK;
    const char **names = hyp_malloc((s->ntensor + (size_t)1) * sizeof *names);

    if (!names)
        return hyp_fail(err, HYP_ENOMEM, "out of memory for the names of a checkpoint");
    for (uint32_t i = 0; i < s->ntensor; i++) {
        names[i] = s->tensor[i].name;
        if (s->tensor[i].rank > SAFETENSORS_MAX_RANK)
            st = hyp_fail(err, HYP_EARG, "`%s` has more than %d axes", names[i],
                          SAFETENSORS_MAX_RANK);
    }
    names[s->ntensor] = metadata_key;
    qsort(names, s->ntensor + (size_t)1, sizeof *names, by_name);
    for (uint32_t i = 0; !st && i < s->ntensor; i++)
        if (strcmp(names[i], names[i + 1]) == 0)
            st = hyp_fail(err, HYP_EARG, "two tensors are called `%s`", names[i]);
    hyp_free(names);
    return st;
}

static void write_tensor(struct json_writer *w, const struct safetensor *t, uint64_t *at)
{
    json_key(w, t->name);
    json_open(w, '{');
    json_key(w, "dtype");
    json_string(w, dtypes[t->dtype].name);
    json_key(w, "shape");
    json_open(w, '[');
    for (uint32_t i = 0; i < t->rank; i++)
        json_int(w, (int64_t)t->dim[i]);
    json_close(w);
    json_key(w, "data_offsets");
    json_open(w, '[');
    json_int(w, (int64_t)*at);
    *at += size_of(t);
    json_int(w, (int64_t)*at);
    json_close(w);
    json_close(w);
}

static void write_notes(struct json_writer *w, const struct safetensors *s)
{
    if (s->nnote == 0)
        return;
    json_key(w, metadata_key);
    json_open(w, '{');
    for (uint32_t i = 0; i < s->nnote; i++) {
        json_key(w, s->note[i].key);
        json_string(w, s->note[i].value);
    }
    json_close(w);
}

enum hyp_status safetensors_header(struct file_writer *w, const struct safetensors *s,
                                   struct hyp_error *err)
{
    static const char spaces[8] = "       ";
    struct json_writer json;
    uint64_t at = 0;
    enum hyp_status st = check_tensors(s, err);

    if (st)
        return st;
    json_init(&json);
    json_open(&json, '{');
    write_notes(&json, s);
    for (uint32_t i = 0; i < s->ntensor; i++)
        write_tensor(&json, &s->tensor[i], &at);
    json_close(&json);
    if (json.failed) {
        st = hyp_fail(err, HYP_ENOMEM, "out of memory for a checkpoint's header");
    } else {
        const size_t pad = (8 - json.n % 8) % 8;
        const uint64_t length = json.n + pad;
        uint8_t head[8];
        for (unsigned i = 0; i < 8; i++)
            head[i] = (uint8_t)(length >> (8 * i));
        st = file_write(w, head, sizeof head, err);
        if (!st)
            st = file_write(w, json.text, json.n, err);
        if (!st)
            st = file_write(w, spaces, pad, err);
    }
    json_fini(&json);
    return st;
}

enum hyp_status safetensors_write(const char *path, const struct safetensors *s,
                                  struct hyp_error *err)
{
    struct file_writer w;
    enum hyp_status st = file_begin(&w, path, err);

    if (st)
        return st;
    st = safetensors_header(&w, s, err);
    for (uint32_t i = 0; !st && i < s->ntensor; i++)
        st = file_write(&w, s->tensor[i].data, size_of(&s->tensor[i]), err);
    if (!st)
        return file_commit(&w, err);
    file_abandon(&w);
    return st;
}

/* ---- reading ---- */

struct reader {
    struct arena *arena;
    const char *file;
    const uint8_t *data; /* of the first tensor */
    uint64_t ndata;
    struct hyp_error *err;
};

/* A whole number below 2^53. */
static bool whole(const struct json *j, uint64_t *out)
{
    if (!j || j->kind != JSON_NUMBER || !(j->number >= 0 && j->number < 0x1p53) ||
        floor(j->number) != j->number)
        return false;
    *out = (uint64_t)j->number;
    return true;
}

static enum hyp_status read_dtype(const struct reader *r, const struct json *j,
                                  struct safetensor *t)
{
    const struct json *d = json_get(j, "dtype");
    if (!d || d->kind != JSON_STRING)
        return hyp_fail(r->err, HYP_EFORMAT, "%s: tensor `%s`: expected a dtype", r->file,
                        t->name);
    for (unsigned i = 0; i < SAFETENSORS_NTYPE; i++)
        if (strcmp(d->string, dtypes[i].name) == 0) {
            t->dtype = (enum safetensors_dtype)i;
            return HYP_OK;
        }
    return hyp_fail(
        r->err, HYP_EFORMAT,
        "%s: tensor `%s`: expected dtype F32, F64, I32, I64 or U8, found `%.20s`", r->file,
        t->name, d->string);
}

/* The shape, and the number of bytes it makes, in t->nbytes. */
static enum hyp_status read_shape(const struct reader *r, const struct json *j,
                                  struct safetensor *t)
{
    const struct json *shape = json_get(j, "shape");
    uint64_t n = dtypes[t->dtype].size;

    if (!shape || shape->kind != JSON_LIST || shape->n > SAFETENSORS_MAX_RANK)
        return hyp_fail(r->err, HYP_EFORMAT,
                        "%s: tensor `%s`: expected a shape of at most %d "
                        "extents",
                        r->file, t->name, SAFETENSORS_MAX_RANK);
    for (const struct json *e = shape->child; e; e = e->next) {
        uint64_t *extent = &t->dim[t->rank++];
        if (!whole(e, extent))
            return hyp_fail(r->err, HYP_EFORMAT,
                            "%s: tensor `%s`: extent %u is no whole number", r->file,
                            t->name, t->rank - 1);
        if (*extent && n > ((uint64_t)1 << 62) / *extent)
            return hyp_fail(r->err, HYP_EFORMAT, "%s: tensor `%s`: its shape is too large",
                            r->file, t->name);
        n *= *extent;
    }
    t->nbytes = n;
    return HYP_OK;
}

static enum hyp_status read_range(const struct reader *r, const struct json *j,
                                  struct safetensor *t)
{
    const struct json *range = json_get(j, "data_offsets");
    uint64_t begin, end;

    if (!range || range->kind != JSON_LIST || range->n != 2 ||
        !whole(range->child, &begin) || !whole(range->child->next, &end))
        return hyp_fail(r->err, HYP_EFORMAT, "%s: tensor `%s`: expected two data_offsets",
                        r->file, t->name);
    if (begin > end || end > r->ndata)
        return hyp_fail(
            r->err, HYP_EFORMAT,
            "%s: tensor `%s`: expected offsets within %llu bytes of data, found "
            "[%llu, %llu]",
            r->file, t->name, (unsigned long long)r->ndata, (unsigned long long)begin,
            (unsigned long long)end);
    if (end - begin != t->nbytes)
        return hyp_fail(
            r->err, HYP_EFORMAT,
            "%s: tensor `%s`: its shape takes %llu bytes, its offsets [%llu, %llu] "
            "are %llu apart",
            r->file, t->name, (unsigned long long)t->nbytes, (unsigned long long)begin,
            (unsigned long long)end, (unsigned long long)(end - begin));
    t->data = r->data + begin;
    return HYP_OK;
}

static enum hyp_status read_notes(const struct reader *r, const struct json *j,
                                  struct safetensors *out)
{
    if (j->kind != JSON_OBJECT)
        return hyp_fail(r->err, HYP_EFORMAT, "%s: expected __metadata__ to be an object",
                        r->file);
    struct safetensors_note *note = arena_array(r->arena, j->n, sizeof *note);
    for (const struct json *e = j->child; e; e = e->next) {
        if (e->kind != JSON_STRING)
            return hyp_fail(r->err, HYP_EFORMAT, "%s: __metadata__ `%.40s` is no string",
                            r->file, e->key);
        note[out->nnote].key = e->key;
        note[out->nnote++].value = e->string;
    }
    out->note = note;
    return HYP_OK;
}

static enum hyp_status read_entries(const struct reader *r, const struct json *header,
                                    struct safetensors *out)
{
    struct safetensor *all = arena_array(r->arena, header->n + (size_t)1, sizeof *all);

    out->tensor = all;
    for (const struct json *j = header->child; j; j = j->next) {
        enum hyp_status st;
        if (strcmp(j->key, metadata_key) == 0) {
            st = read_notes(r, j, out);
        } else {
            struct safetensor *t = &all[out->ntensor++];
            t->name = j->key;
            st = j->kind == JSON_OBJECT
                     ? read_dtype(r, j, t)
                     : hyp_fail(r->err, HYP_EFORMAT, "%s: tensor `%.80s` is no object",
                                r->file, t->name);
            if (!st)
                st = read_shape(r, j, t);
            if (!st)
                st = read_range(r, j, t);
        }
        if (st)
            return st;
    }
    return HYP_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct safetensor *s = a, *t = b;
    const uintptr_t x = (uintptr_t)s->data, y = (uintptr_t)t->data;
    if (x != y)
        return x < y ? -1 : 1;
    return s->nbytes < t->nbytes ? -1 : s->nbytes > t->nbytes;
}

/* One after the other, from the first byte to the last; and no name twice. */
static enum hyp_status check_places(const struct reader *r, struct safetensors *s)
{
    struct safetensor *all = (struct safetensor *)s->tensor;
    const char **names = arena_array(r->arena, s->ntensor + (size_t)1, sizeof *names);
    const uint8_t *at = r->data;

    qsort(all, s->ntensor, sizeof *all, by_place);
    for (uint32_t i = 0; i < s->ntensor; i++) {
        const uint8_t *begin = all[i].data;
        if (begin != at)
            return hyp_fail(r->err, HYP_EFORMAT, "%s: tensor `%s` begins at %llu, %s",
                            r->file, all[i].name, (unsigned long long)(begin - r->data),
                            begin > at ? "and nothing covers what is before it"
                                       : "within the one before it");
        at += all[i].nbytes;
        names[i] = all[i].name;
    }
    if (at != r->data + r->ndata)
        return hyp_fail(r->err, HYP_EFORMAT, "%s: expected %llu bytes of data, found %llu",
                        r->file, (unsigned long long)(at - r->data),
                        (unsigned long long)r->ndata);
    qsort(names, s->ntensor, sizeof *names, by_name);
    for (uint32_t i = 0; i + 1 < s->ntensor; i++)
        if (strcmp(names[i], names[i + 1]) == 0)
            return hyp_fail(r->err, HYP_EFORMAT, "%s: two tensors are called `%s`", r->file,
                            names[i]);
    return HYP_OK;
}

enum hyp_status safetensors_parse(struct arena *a, const uint8_t *bytes, size_t n,
                                  const char *file, struct safetensors *out,
                                  struct hyp_error *err)
{
    struct reader r = {.arena = a, .file = file, .err = err};
    uint64_t length = 0;
    size_t where = 0;

    memset(out, 0, sizeof *out);
    if (n < 8)
        return hyp_fail(err, HYP_EFORMAT, "%s: expected a length of 8 bytes, found %zu",
                        file, n);
    for (unsigned i = 0; i < 8; i++)
        length |= (uint64_t)bytes[i] << (8 * i);
    if (length > HEADER_LIMIT || length > n - 8)
        return hyp_fail(err, HYP_EFORMAT,
                        "%s: offset 0: expected a header of at most %zu bytes, "
                        "found the length %llu",
                        file, n - 8, (unsigned long long)length);
    const struct json *header = json_parse(a, (const char *)bytes + 8, length, &where);
    if (!header)
        return hyp_fail(err, HYP_EFORMAT, "%s: offset %zu: the header is no JSON", file,
                        8 + where);
    if (header->kind != JSON_OBJECT)
        return hyp_fail(err, HYP_EFORMAT, "%s: offset 8: expected a JSON object", file);
    r.data = bytes + 8 + length;
    r.ndata = n - 8 - length;
    const enum hyp_status st = read_entries(&r, header, out);
    return st ? st : check_places(&r, out);
}

const struct safetensor *safetensors_find(const struct safetensors *s, const char *name)
{
    for (uint32_t i = 0; i < s->ntensor; i++)
        if (strcmp(s->tensor[i].name, name) == 0)
            return &s->tensor[i];
    return NULL;
}

const char *safetensors_note(const struct safetensors *s, const char *key)
{
    for (uint32_t i = 0; i < s->nnote; i++)
        if (strcmp(s->note[i].key, key) == 0)
            return s->note[i].value;
    return NULL;
}
