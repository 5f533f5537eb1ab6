/*
 * NPY: the magic, a version, the header's length, a Python dict in ASCII padded with spaces
 * to a multiple of 64, then the elements (numpy.lib.format).  The dict is read by a small
 * parser of exactly what NumPy writes: three keys in any order, strings, True or False, a
 * tuple.
 */
#include "runtime/npy.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/file.h"

/* Native byte order is little-endian on every machine this is built for. */
static const struct {
    const char *descr; /* without the byte order */
    size_t size;
} types[NPY_NTYPE] = {
    [NPY_F32] = {"f4", 4},  [NPY_F64] = {"f8", 8}, [NPY_I8] = {"i1", 1},
    [NPY_I16] = {"i2", 2},  [NPY_I32] = {"i4", 4}, [NPY_I64] = {"i8", 8},
    [NPY_U8] = {"u1", 1},   [NPY_U16] = {"u2", 2}, [NPY_U32] = {"u4", 4},
    [NPY_BOOL] = {"b1", 1},
};

static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

size_t npy_size(enum npy_type t)
{
    return types[t].size;
}

/* ---- the dict ---- */

struct cursor {
    const uint8_t *bytes;
    size_t at, end;
    const char *file;
    struct hyp_error *err;
};

static enum hyp_status unexpected(const struct cursor *c, const char *expected)
{
    if (c->at >= c->end)
        return hyp_fail(c->err, HYP_EFORMAT,
                        "%s: offset %zu: expected %s, and the header ends", c->file, c->at,
                        expected);
    const unsigned b = c->bytes[c->at];
    if (b >= 32 && b < 127)
        return hyp_fail(c->err, HYP_EFORMAT, "%s: offset %zu: expected %s, found `%c`",
                        c->file, c->at, expected, (int)b);
    return hyp_fail(c->err, HYP_EFORMAT, "%s: offset %zu: expected %s, found byte %u",
                    c->file, c->at, expected, b);
}

static void skip_spaces(struct cursor *c)
{
    while (c->at < c->end && (c->bytes[c->at] == ' ' || c->bytes[c->at] == '\n'))
        c->at++;
}

static bool accept(struct cursor *c, char what)
{
    skip_spaces(c);
    if (c->at >= c->end || c->bytes[c->at] != (uint8_t)what)
        return false;
    c->at++;
    return true;
}

static bool accept_word(struct cursor *c, const char *word)
{
    const size_t n = strlen(word);
    skip_spaces(c);
    if (c->end - c->at < n || memcmp(c->bytes + c->at, word, n) != 0)
        return false;
    c->at += n;
    return true;
}

static enum hyp_status read_string(struct cursor *c, char out[32])
{
    size_t n = 0;
    skip_spaces(c);
    const char quote = c->at < c->end ? (char)c->bytes[c->at] : 0;
    if (quote != '\'' && quote != '"')
        return unexpected(c, "a quoted word");
    c->at++;
    while (c->at < c->end && c->bytes[c->at] != (uint8_t)quote && n < 31)
        out[n++] = (char)c->bytes[c->at++];
    out[n] = 0;
    return accept(c, quote) ? HYP_OK : unexpected(c, "the closing quote");
}

static enum hyp_status read_extent(struct cursor *c, uint64_t *out)
{
    const size_t begin = c->at;
    uint64_t v = 0;
    while (c->at < c->end && c->bytes[c->at] >= '0' && c->bytes[c->at] <= '9') {
        if (v > UINT64_MAX / 100)
            return hyp_fail(c->err, HYP_EFORMAT, "%s: offset %zu: this extent is too large",
                            c->file, begin);
        v = v * 10 + (uint64_t)(c->bytes[c->at++] - '0');
    }
    *out = v;
    return c->at > begin ? HYP_OK : unexpected(c, "an extent");
}

static enum hyp_status read_shape(struct cursor *c, struct npy_array *a)
{
    if (!accept(c, '('))
        return unexpected(c, "`(`");
    for (a->rank = 0; !accept(c, ')'); a->rank++) {
        if (a->rank == NPY_MAX_RANK)
            return hyp_fail(c->err, HYP_EFORMAT, "%s: offset %zu: more than %d axes",
                            c->file, c->at, NPY_MAX_RANK);
        if (read_extent(c, &a->dim[a->rank]))
            return HYP_EFORMAT;
        if (accept(c, ','))
            skip_spaces(c);
        else if (c->at >= c->end || c->bytes[c->at] != ')')
            return unexpected(c, "`,` or `)`");
    }
    return HYP_OK;
}

static enum hyp_status read_type(struct cursor *c, struct npy_array *a)
{
    const size_t at = c->at;
    char word[32];

    if (read_string(c, word))
        return HYP_EFORMAT;
    if (word[0] == '<' || word[0] == '|' || word[0] == '=')
        for (unsigned t = 0; t < NPY_NTYPE; t++)
            if (strcmp(word + 1, types[t].descr) == 0) {
                a->type = (enum npy_type)t;
                return HYP_OK;
            }
    return hyp_fail(
        c->err, HYP_EFORMAT,
        "%s: offset %zu: expected little-endian numbers (f4 f8 i1 i2 i4 i8 u1 u2 u4 "
        "b1), found `%s`",
        c->file, at, word);
}

enum { HAS_TYPE = 1, HAS_ORDER = 2, HAS_SHAPE = 4, HAS_ALL = 7 };

/* One `'key': value`; sets its bit in *have and the order in *fortran. */
static enum hyp_status read_entry(struct cursor *c, struct npy_array *a, unsigned *have,
                                  bool *fortran)
{
    const size_t at = c->at;
    char key[32];

    if (read_string(c, key))
        return HYP_EFORMAT;
    if (!accept(c, ':'))
        return unexpected(c, "`:`");
    skip_spaces(c);
    if (strcmp(key, "descr") == 0) {
        *have |= HAS_TYPE;
        return read_type(c, a);
    }
    if (strcmp(key, "shape") == 0) {
        *have |= HAS_SHAPE;
        return read_shape(c, a);
    }
    if (strcmp(key, "fortran_order") != 0)
        return hyp_fail(c->err, HYP_EFORMAT, "%s: offset %zu: unknown header key `%s`",
                        c->file, at, key);
    *have |= HAS_ORDER;
    *fortran = accept_word(c, "True");
    return *fortran || accept_word(c, "False") ? HYP_OK : unexpected(c, "True or False");
}

static enum hyp_status read_dict(struct cursor *c, struct npy_array *a)
{
    unsigned have = 0;
    bool fortran = false;

    if (!accept(c, '{'))
        return unexpected(c, "`{`");
    while (!accept(c, '}')) {
        if (read_entry(c, a, &have, &fortran))
            return HYP_EFORMAT;
        if (accept(c, ','))
            skip_spaces(c);
        else if (c->at >= c->end || c->bytes[c->at] != '}')
            return unexpected(c, "`,` or `}`");
    }
    skip_spaces(c);
    if (c->at != c->end)
        return unexpected(c, "the end of the header");
    if (have != HAS_ALL)
        return hyp_fail(c->err, HYP_EFORMAT,
                        "%s: the header lacks descr, fortran_order or shape", c->file);
    if (fortran && a->rank > 1)
        return hyp_fail(c->err, HYP_EFORMAT,
                        "%s: expected C order, found Fortran order "
                        "(numpy.ascontiguousarray before numpy.save)",
                        c->file);
    return HYP_OK;
}

/* ---- the file ---- */

static enum hyp_status count_elements(const char *file, struct npy_array *a,
                                      struct hyp_error *err)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < a->rank; i++) {
        if (a->dim[i] && n > (UINT64_MAX / 16) / a->dim[i])
            return hyp_fail(err, HYP_EFORMAT, "%s: the shape has too many elements", file);
        n *= a->dim[i];
    }
    a->count = n;
    return HYP_OK;
}

/* The dict's place: [*begin, *end). */
static enum hyp_status locate(const uint8_t *bytes, size_t n, const char *file,
                              size_t *begin, size_t *end, struct hyp_error *err)
{
    if (n < 10 || memcmp(bytes, magic, sizeof magic) != 0)
        return hyp_fail(err, HYP_EFORMAT, "%s: offset 0: expected an NPY file, found %s",
                        file, n < 10 ? "its end" : "other bytes");
    const unsigned version = bytes[6];
    if (version < 1 || version > 3)
        return hyp_fail(err, HYP_EFORMAT,
                        "%s: offset 6: expected version 1, 2 or 3, found %u", file,
                        version);
    if (version > 1 && n < 12)
        return hyp_fail(err, HYP_EFORMAT, "%s: offset 8: the header's length is cut off",
                        file);
    *begin = version == 1 ? 10 : 12;
    size_t length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (version > 1)
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    *end = *begin + length;
    return HYP_OK;
}

enum hyp_status npy_header(const uint8_t *bytes, size_t n, const char *file, size_t *need,
                           struct npy_array *out, struct hyp_error *err)
{
    struct cursor c = {.bytes = bytes, .file = file, .err = err};

    *need = 0;
    memset(out, 0, sizeof *out);
    if (locate(bytes, n, file, &c.at, &c.end, err))
        return HYP_EFORMAT;
    if (c.end > n) {
        *need = c.end;
        return hyp_fail(err, HYP_EFORMAT, "%s: expected a header of %zu bytes, found %zu",
                        file, c.end, n);
    }
    if (read_dict(&c, out) || count_elements(file, out, err))
        return HYP_EFORMAT;
    out->offset = c.end;
    return HYP_OK;
}

enum hyp_status npy_parse(const uint8_t *bytes, size_t n, const char *file,
                          struct npy_array *out, struct hyp_error *err)
{
    size_t need;
    if (npy_header(bytes, n, file, &need, out, err))
        return HYP_EFORMAT;
    const uint64_t size = out->count * npy_size(out->type);
    if (n - out->offset != size)
        return hyp_fail(err, HYP_EFORMAT,
                        "%s: expected %llu bytes of data at offset %llu, found %llu", file,
                        (unsigned long long)size, (unsigned long long)out->offset,
                        (unsigned long long)(n - out->offset));
    out->data = bytes + out->offset;
    return HYP_OK;
}

int64_t npy_integer(const struct npy_array *a, uint64_t i)
{
    const size_t size = npy_size(a->type);
    const uint8_t *p = a->data + i * size;
    uint64_t v = 0;

    memcpy(&v, p, size);
    switch (a->type) {
    case NPY_I8:
        return (int8_t)v;
    case NPY_I16:
        return (int16_t)v;
    case NPY_I32:
        return (int32_t)v;
    case NPY_BOOL:
        return v != 0;
    case NPY_F32:
    case NPY_F64:
    case NPY_I64:
    case NPY_U8:
    case NPY_U16:
    case NPY_U32:
    case NPY_NTYPE:
        break;
    }
    return (int64_t)v;
}

double npy_number(const struct npy_array *a, uint64_t i)
{
    double d;
    float f;

    if (a->type == NPY_F64) {
        memcpy(&d, a->data + i * 8, 8);
        return d;
    }
    if (a->type == NPY_F32) {
        memcpy(&f, a->data + i * 4, 4);
        return f;
    }
    return (double)npy_integer(a, i);
}

enum hyp_status npy_write(const char *path, enum npy_type type, uint32_t rank,
                          const uint64_t *dim, const void *data, struct hyp_error *err)
{
    struct file_writer w;
    char head[512];
    uint64_t count = 1;
    int n = snprintf(head + 10, sizeof head - 10,
                     "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                     npy_size(type) == 1 ? '|' : '<', types[type].descr);

    for (uint32_t i = 0; i < rank; i++) {
        n += snprintf(head + 10 + n, sizeof head - 10 - (size_t)n, "%s%llu%s", i ? " " : "",
                      (unsigned long long)dim[i], i + 1 < rank || rank == 1 ? "," : "");
        count *= dim[i];
    }
    n += snprintf(head + 10 + n, sizeof head - 10 - (size_t)n, "), }");
    while ((10 + n + 1) % 64 != 0)
        head[10 + n++] = ' ';
    head[10 + n++] = '\n';
    memcpy(head, magic, sizeof magic);
    head[6] = 1;
    head[7] = 0;
    head[8] = (char)(n & 255);
    head[9] = (char)(n >> 8);
    enum hyp_status st = file_begin(&w, path, err);
    if (st)
        return st;
    st = file_write(&w, head, 10 + (size_t)n, err);
    if (!st)
        st = file_write(&w, data, count * npy_size(type), err);
    if (!st)
        return file_commit(&w, err);
    file_abandon(&w);
    return st;
}
