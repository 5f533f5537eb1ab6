/*
 * libdeflate, which unpacks a whole text two to three times as fast as zlib, and liblzma;
 * zlib for the beginning of a text alone.
 */
#include "runtime/base/unpack.h"

#include <libdeflate.h>
#include <lzma.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#include "runtime/base/alloc.h"

/* Of xz's tables: `xz -9` needs 65 MiB. */
#define XZ_MEMORY ((uint64_t)128 << 20)

enum { MOST_DEFLATED = 1032 }; /* bytes that one deflated byte can become */

enum outcome { DONE, DAMAGED, TOO_LARGE, TOO_GREEDY, NO_MEMORY };

struct output {
    uint8_t *p;
    size_t n, cap, limit;
};

/* Room for `cap` bytes, or what the limit leaves of them. */
static bool grow(struct output *o, size_t cap)
{
    if (cap > o->limit && o->limit <= SIZE_MAX - 2)
        cap = o->limit + 2; /* one byte over the limit shows that it is passed */
    uint8_t *p = hyp_realloc(o->p, cap);
    if (!p)
        return false;
    o->p = p;
    o->cap = cap;
    return true;
}

/* Room for at least one more byte and the NUL.  The limit is checked before memory is asked
 * for. */
static bool make_room(struct output *o)
{
    return o->n + 1 < o->cap || grow(o, o->cap ? o->cap * 2 : 65536);
}

/* ---- deflated data ---- */

/* What a gzip file says of its size, if so much can come out of it; else a guess. */
static size_t expected(enum unpack_form form, const uint8_t *in, size_t n)
{
    const size_t guess = 4 * n + 65536;
    if (form != UNPACK_GZIP || n < 18)
        return guess;
    const uint8_t *at = in + n - 4;
    const size_t says =
        (size_t)at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
    return says > guess && says / MOST_DEFLATED < n ? says + 2 : guess;
}

/* One member behind what is there, in larger and larger memory until it fits. */
static enum outcome member(struct libdeflate_decompressor *d, enum unpack_form form,
                           const uint8_t *in, size_t n, struct output *o, size_t *taken)
{
    for (;;) {
        if (!make_room(o))
            return NO_MEMORY;
        size_t made = 0;
        const size_t room = o->cap - 1 - o->n;
        const enum libdeflate_result rc =
            form == UNPACK_GZIP
                ? libdeflate_gzip_decompress_ex(d, in, n, o->p + o->n, room, taken, &made)
                : libdeflate_zlib_decompress_ex(d, in, n, o->p + o->n, room, taken, &made);
        if (rc == LIBDEFLATE_SUCCESS) {
            o->n += made;
            return o->n > o->limit ? TOO_LARGE : DONE;
        }
        if (rc != LIBDEFLATE_INSUFFICIENT_SPACE)
            return DAMAGED;
        if (o->cap - 1 > o->limit)
            return TOO_LARGE;
        if (!grow(o, 2 * o->cap))
            return NO_MEMORY;
    }
}

static enum outcome inflate_all(enum unpack_form form, const uint8_t *in, size_t n,
                                struct output *o)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    enum outcome s = d && grow(o, expected(form, in, n)) ? DONE : NO_MEMORY;
    for (size_t at = 0, taken = 0; s == DONE && (at == 0 || at < n); at += taken)
        s = member(d, form, in + at, n - at, o, &taken);
    libdeflate_free_decompressor(d);
    return s;
}

/* ---- xz ---- */

static void *xz_alloc(void *opaque, size_t n, size_t size)
{
    (void)opaque;
    return hyp_calloc(n, size);
}

static void xz_free(void *opaque, void *p)
{
    (void)opaque;
    hyp_free(p);
}

static enum outcome xz_outcome(lzma_ret rc)
{
    return rc == LZMA_OK || rc == LZMA_STREAM_END ? DONE
           : rc == LZMA_MEM_ERROR                 ? NO_MEMORY
           : rc == LZMA_MEMLIMIT_ERROR            ? TOO_GREEDY
                                                  : DAMAGED;
}

static enum outcome xz_all(const uint8_t *in, size_t n, struct output *o)
{
    const lzma_allocator allocator = {xz_alloc, xz_free, NULL};
    lzma_stream x = LZMA_STREAM_INIT;
    x.allocator = &allocator;
    lzma_ret rc = lzma_stream_decoder(&x, XZ_MEMORY, LZMA_CONCATENATED);
    enum outcome s = xz_outcome(rc);
    x.next_in = in;
    x.avail_in = n;
    while (s == DONE && rc == LZMA_OK) {
        if (!make_room(o)) {
            s = NO_MEMORY;
            break;
        }
        x.next_out = o->p + o->n;
        x.avail_out = o->cap - 1 - o->n;
        rc = lzma_code(&x, LZMA_FINISH);
        o->n = o->cap - 1 - x.avail_out;
        s = o->n > o->limit ? TOO_LARGE : xz_outcome(rc);
    }
    lzma_end(&x);
    return s;
}

/* ---- both ---- */

enum unpack_form unpack_form(const uint8_t *in, size_t n)
{
    return n >= 2 && !memcmp(in, "\x1F\x8B", 2) ? UNPACK_GZIP
           : n >= 6 && !memcmp(in,
                               "\xFD"
                               "7zXZ",
                               6)
               ? UNPACK_XZ
               : UNPACK_NONE;
}

static enum hyp_status report(enum outcome s, enum unpack_form form, size_t limit,
                              const char *file, struct hyp_error *err)
{
    static const char *const name[] = {"", "gzip", "xz", "zlib"};
    if (s == NO_MEMORY)
        return hyp_fail(err, HYP_ENOMEM, "out of memory while unpacking %s", file);
    if (s == TOO_LARGE)
        return hyp_fail(err, HYP_EFORMAT, "%s: too large: more than %zu bytes unpacked",
                        file, limit);
    if (s == TOO_GREEDY)
        return hyp_fail(err, HYP_EFORMAT,
                        "%s: the xz header asks for more than %u MiB to unpack", file,
                        (unsigned)(XZ_MEMORY >> 20));
    return hyp_fail(err, HYP_EFORMAT, "%s: damaged %s data", file, name[form]);
}

enum hyp_status unpack(enum unpack_form form, const uint8_t *in, size_t n, size_t limit,
                       const char *file, uint8_t **out, size_t *nout, struct hyp_error *err)
{
    struct output o = {.limit = limit};
    const enum outcome s =
        form == UNPACK_XZ ? xz_all(in, n, &o) : inflate_all(form, in, n, &o);
    if (s != DONE) {
        hyp_free(o.p);
        return report(s, form, limit, file, err);
    }
    o.p[o.n] = 0;
    *out = o.p;
    *nout = o.n;
    return HYP_OK;
}

static voidpf z_alloc(voidpf opaque, uInt n, uInt size)
{
    (void)opaque;
    return hyp_calloc(n, size);
}

static void z_free(voidpf opaque, voidpf p)
{
    (void)opaque;
    hyp_free(p);
}

enum hyp_status unpack_head(const uint8_t *in, size_t n, const char *file, uint8_t *out,
                            size_t *nout, struct hyp_error *err)
{
    z_stream z = {.zalloc = z_alloc,
                  .zfree = z_free,
                  .next_in = (z_const Bytef *)(uintptr_t)in, /* zlib's lacks const */
                  .avail_in = n > 1U << 30 ? 1U << 30 : (uInt)n,
                  .next_out = out,
                  .avail_out = (uInt)*nout};
    if (inflateInit(&z) != Z_OK)
        return report(NO_MEMORY, UNPACK_ZLIB, 0, file, err);
    const int rc = inflate(&z, Z_SYNC_FLUSH);
    *nout -= z.avail_out;
    inflateEnd(&z);
    return rc == Z_OK || rc == Z_STREAM_END
               ? HYP_OK
               : report(rc == Z_MEM_ERROR ? NO_MEMORY : DAMAGED, UNPACK_ZLIB, 0, file, err);
}
