/*
 * A file is a header of 128 bytes and elements: a tag (type, bytes) and data, to a multiple
 * of 8.  Where 4 bytes suffice, the tag's first word has the size in its upper half and the
 * data follow in the second.  An array is an element of elements: flags, extents, name,
 * numbers; packed, it is the zlib data of a packed element.
 */
#include "runtime/mat.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/unpack.h"

enum {
    HEADER = 128,
    VERSION_AT = 124,
    ORDER_AT = 126,
    VERSION = 0x0100,
    HEAD = 512, /* more than flags, extents and name of an array take */
    COMPLEX = 0x08,
    MAX_COUNT = INT32_MAX
};

enum type {
    INT8 = 1,
    UINT8 = 2,
    INT16 = 3,
    UINT16 = 4,
    INT32 = 5,
    UINT32 = 6,
    SINGLE = 7,
    DOUBLE = 9,
    INT64 = 12,
    UINT64 = 13,
    MATRIX = 14,
    PACKED = 15
};

/* Numbers, by type; a size of 0: none. */
static const struct {
    uint8_t size;
    bool is_signed;
} numbers[] = {
    [INT8] = {1, true},  [UINT8] = {1, false},  [INT16] = {2, true},  [UINT16] = {2, false},
    [INT32] = {4, true}, [UINT32] = {4, false}, [SINGLE] = {4, true}, [DOUBLE] = {8, true},
    [INT64] = {8, true}, [UINT64] = {8, false},
};
enum { NNUMBER = sizeof numbers / sizeof *numbers };

/* By class; 0 stands for what has an imaginary part. */
static const char *const class_names[] = {
    "complex", "cell",  "struct", "object", "char",  "sparse", "double", "single",
    "int8",    "uint8", "int16",  "uint16", "int32", "uint32", "int64",  "uint64"};
enum {
    NCLASS = sizeof class_names / sizeof *class_names,
    CLASS_DOUBLE = 6,
    CLASS_UINT8 = 9
};

/* Bytes to go through, and where we are. */
struct reader {
    const uint8_t *p;
    size_t n, at;
    bool big;
    const char *file; /* and the place of the array in it, for messages */
    struct hyp_error *err;
};

struct element {
    uint32_t type, nbytes;
    const uint8_t *data;
};

static uint64_t bits(const uint8_t *p, unsigned size, bool big)
{
    uint64_t x = 0;
    for (unsigned i = 0; i < size; i++)
        x = x << 8 | p[big ? i : size - 1 - i];
    return x;
}

static uint32_t word(const uint8_t *p, bool big)
{
    return (uint32_t)bits(p, 4, big);
}

/* The tag at r->at; its data need not all be there. */
static enum hyp_status read_tag(struct reader *r, struct element *e)
{
    if (r->n - r->at < 8)
        return hyp_fail(r->err, HYP_EFORMAT, "%s: expected an element's 8 bytes, found %zu",
                        r->file, r->n - r->at);
    const uint8_t *p = r->p + r->at;
    const uint32_t first = word(p, r->big);
    const bool brief = first >> 16;
    e->type = first & 0xFFFF;
    e->nbytes = brief ? first >> 16 : word(p + 4, r->big);
    e->data = brief ? p + 4 : p + 8;
    if (brief && e->nbytes > 4)
        return hyp_fail(r->err, HYP_EFORMAT,
                        "%s: expected at most 4 bytes in a short element, found %u",
                        r->file, e->nbytes);
    r->at += brief ? 4 : 8;
    return HYP_OK;
}

/* An element of a known type, all there, and what it is called in messages. */
static enum hyp_status read_part(struct reader *r, const char *what, unsigned type,
                                 uint32_t low, uint32_t high, struct element *e)
{
    const size_t start = r->at;
    const enum hyp_status st = read_tag(r, e);
    if (st)
        return st;
    if (e->type != type || e->nbytes < low || e->nbytes > high)
        return hyp_fail(r->err, HYP_EFORMAT,
                        "%s: %s: expected %u to %u bytes of type %u, found %u of type %u",
                        r->file, what, low, high, type, e->nbytes, e->type);
    const size_t step = (r->at - start + e->nbytes + 7) / 8 * 8;
    if (step > r->n - start)
        return hyp_fail(r->err, HYP_EFORMAT, "%s: %s: the array ends within it", r->file,
                        what);
    r->at = start + step;
    return HYP_OK;
}

/* ---- one array ---- */

static enum hyp_status read_class(struct reader *r, uint32_t *class)
{
    struct element e = {0};
    const enum hyp_status st = read_part(r, "flags", UINT32, 8, 8, &e);
    if (st)
        return st;
    const uint32_t flags = word(e.data, r->big);
    *class = flags & 0xFF;
    if (*class == 0 || *class >= NCLASS)
        return hyp_fail(r->err, HYP_EFORMAT, "%s: there is no class %u", r->file, *class);
    *class = flags >> 8 & COMPLEX ? 0 : *class;
    return HYP_OK;
}

static enum hyp_status read_extents(struct reader *r, struct mat_array *out)
{
    struct element e = {0};
    const enum hyp_status st = read_part(r, "extents", INT32, 2 * 4, MAT_MAX_RANK * 4, &e);
    if (st)
        return st;
    out->rank = e.nbytes / 4;
    out->count = 1;
    for (uint32_t i = 0; i < out->rank; i++) {
        out->dim[i] = word(e.data + (size_t)4 * i, r->big);
        if (out->dim[i] > MAX_COUNT || out->count * out->dim[i] > MAX_COUNT)
            return hyp_fail(r->err, HYP_EFORMAT, "%s: extent %u is out of range", r->file,
                            out->dim[i]);
        out->count *= out->dim[i];
    }
    return HYP_OK;
}

/* Up to the name: r->at is then at the numbers. */
static enum hyp_status read_head(struct reader *r, struct mat_array *out, uint32_t *class)
{
    struct element e = {0};
    enum hyp_status st = read_class(r, class);
    out->class_name = st ? NULL : class_names[*class];
    out->big = r->big;
    if (!st)
        st = read_extents(r, out);
    if (!st)
        st = read_part(r, "name", INT8, 0, MAT_NAME_SIZE - 1, &e);
    if (!st)
        snprintf(out->name, MAT_NAME_SIZE, "%.*s", (int)e.nbytes, (const char *)e.data);
    return st;
}

/* The numbers behind the head. */
static enum hyp_status read_numbers(struct reader *r, uint32_t class, struct mat_array *out)
{
    struct element e = {0};
    if (class < CLASS_DOUBLE)
        return hyp_fail(r->err, HYP_EFORMAT,
                        "%s: `%s`: expected an array of real numbers, found class %s",
                        r->file, out->name, class_names[class]);
    const enum hyp_status st = read_tag(r, &e);
    if (st)
        return st;
    if (e.type >= NNUMBER || !numbers[e.type].size)
        return hyp_fail(r->err, HYP_EFORMAT, "%s: `%s`: expected numbers, found type %u",
                        r->file, out->name, e.type);
    if (e.nbytes != out->count * numbers[e.type].size || e.nbytes > r->n - r->at)
        return hyp_fail(r->err, HYP_EFORMAT,
                        "%s: `%s`: expected %llu numbers of %u bytes, found %u bytes of "
                        "%zu that are left",
                        r->file, out->name, (unsigned long long)out->count,
                        numbers[e.type].size, e.nbytes, r->n - r->at);
    out->type = e.type;
    out->data = e.data;
    return HYP_OK;
}

/* What an array is made of, in the first bytes of what r has. */
static enum hyp_status read_array(struct reader *r, const char *name, struct mat_array *out,
                                  bool *found)
{
    uint32_t class;
    enum hyp_status st = read_head(r, out, &class);
    *found = !st && strcmp(out->name, name) == 0;
    return *found ? read_numbers(r, class, out) : st;
}

/* The tag of the array within packed data: how long it is. */
static enum hyp_status read_inner_tag(struct reader *r, size_t limit, size_t *nbytes)
{
    struct element e = {0};
    const enum hyp_status st = read_tag(r, &e);
    if (st)
        return st;
    if (e.type != MATRIX || r->at != 8)
        return hyp_fail(r->err, HYP_EFORMAT, "%s: expected a packed array, found type %u",
                        r->file, e.type);
    if (e.nbytes > limit)
        return hyp_fail(r->err, HYP_EFORMAT, "%s: an array of %u bytes is too large",
                        r->file, e.nbytes);
    *nbytes = 8 + (size_t)e.nbytes;
    return HYP_OK;
}

/* The same of a packed array: its first bytes say whether the rest is worth unpacking. */
static enum hyp_status unpack_array(const struct reader *r, const struct element *e,
                                    const char *name, size_t limit, struct mat_array *out,
                                    bool *found)
{
    uint8_t head[HEAD];
    size_t n = HEAD, nbytes = 0;
    uint32_t class;
    struct reader in = {.p = head, .big = r->big, .file = r->file, .err = r->err};
    enum hyp_status st = unpack_head(e->data, e->nbytes, r->file, head, &n, r->err);

    in.n = n;
    if (!st)
        st = read_inner_tag(&in, limit, &nbytes);
    if (!st)
        st = read_head(&in, out, &class);
    *found = !st && strcmp(out->name, name) == 0;
    if (!*found)
        return st;
    st = unpack(UNPACK_ZLIB, e->data, e->nbytes, nbytes, r->file, &out->block, &n, r->err);
    if (!st && n != nbytes)
        st = hyp_fail(r->err, HYP_EFORMAT, "%s: expected an array of %zu bytes, found %zu",
                      r->file, nbytes, n);
    in.p = out->block;
    in.n = n;
    return st ? st : read_numbers(&in, class, out);
}

/* ---- the file ---- */

static enum hyp_status read_file_header(struct reader *r)
{
    if (r->n < HEADER)
        return hyp_fail(r->err, HYP_EFORMAT,
                        "%s: a header of %d bytes, and the file has %zu", r->file, HEADER,
                        r->n);
    const uint8_t *order = r->p + ORDER_AT;
    r->big = memcmp(order, "MI", 2) == 0;
    if (!r->big && memcmp(order, "IM", 2) != 0)
        return hyp_fail(r->err, HYP_EFORMAT,
                        "%s: offset %d: expected MI or IM as in a MATLAB 5 file, found "
                        "%02x %02x",
                        r->file, ORDER_AT, order[0], order[1]);
    const unsigned version = (unsigned)bits(r->p + VERSION_AT, 2, r->big);
    if (version != VERSION)
        return hyp_fail(r->err, HYP_EFORMAT,
                        "%s: offset %d: expected version %#x, found %#x (MATLAB writes it "
                        "with `save -v7`)",
                        r->file, VERSION_AT, VERSION, version);
    r->at = HEADER;
    return HYP_OK;
}

/* The element at r->at, stepped over: is it the array? */
static enum hyp_status try_element(struct reader *r, const char *name, size_t limit,
                                   struct mat_array *out, bool *found)
{
    char place[sizeof r->err->text];
    struct reader here = *r;
    struct element e = {0};

    *found = false;
    snprintf(place, sizeof place, "%.400s: offset %zu", r->file, r->at);
    here.file = place;
    const enum hyp_status st = read_tag(&here, &e);
    if (st)
        return st;
    const size_t left = here.n - here.at;
    if (e.nbytes > left)
        return hyp_fail(r->err, HYP_EFORMAT,
                        "%s: an element of %u bytes, and the file has only %zu more", place,
                        e.nbytes, left);
    r->at = here.at + e.nbytes;
    if (e.type == PACKED)
        return unpack_array(&here, &e, name, limit, out, found);
    if (e.type != MATRIX)
        return HYP_OK;
    here.p = e.data;
    here.n = e.nbytes;
    here.at = 0;
    return read_array(&here, name, out, found);
}

enum hyp_status mat_find(const uint8_t *bytes, size_t n, const char *file, const char *name,
                         size_t limit, struct mat_array *out, struct hyp_error *err)
{
    struct reader r = {.p = bytes, .n = n, .file = file, .err = err};
    bool found = false;
    enum hyp_status st = read_file_header(&r);

    *out = (struct mat_array){0};
    while (!st && !found && r.at < n)
        st = try_element(&r, name, limit, out, &found);
    if (!st && !found)
        st = hyp_fail(err, HYP_EFORMAT, "%s: expected an array `%s`, found none", file,
                      name);
    if (st)
        mat_fini(out);
    return st;
}

void mat_fini(struct mat_array *a)
{
    hyp_free(a->block);
    *a = (struct mat_array){0};
}

bool mat_is_bytes(const struct mat_array *a)
{
    return a->type == UINT8 && strcmp(a->class_name, class_names[CLASS_UINT8]) == 0;
}

double mat_number(const struct mat_array *a, uint64_t i)
{
    const unsigned size = numbers[a->type].size;
    const uint64_t x = bits(a->data + i * size, size, a->big);
    const uint32_t low = (uint32_t)x;
    float single;
    double real;

    if (a->type == SINGLE) {
        memcpy(&single, &low, sizeof single);
        return (double)single;
    }
    if (a->type == DOUBLE) {
        memcpy(&real, &x, sizeof real);
        return real;
    }
    const uint64_t sign = UINT64_C(1) << (8 * size - 1);
    if (numbers[a->type].is_signed && x & sign) /* two's complement, and its magnitude */
        return -(double)((~x & (sign - 1)) + 1);
    return (double)x;
}
