/* zlib and liblzma behind one loop each; both allocate through hyp_malloc. */
#include "runtime/base/unpack.h"

#include <lzma.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#include "runtime/base/alloc.h"

/* Of xz's tables: `xz -9` needs 65 MiB. */
#define XZ_MEMORY ((uint64_t)128 << 20)

enum outcome { DONE, DAMAGED, TOO_LARGE, TOO_GREEDY, NO_MEMORY };

struct output {
    uint8_t *p;
    size_t n, cap, limit;
};

/* Room for at least one more byte and the NUL.  The limit is checked before memory is asked
 * for. */
static bool make_room(struct output *o)
{
    if (o->n + 1 < o->cap)
        return true;
    size_t cap = o->cap ? o->cap * 2 : 65536;
    if (cap > o->limit && o->limit <= SIZE_MAX - 2)
        cap = o->limit + 2; /* one byte over the limit shows that it is passed */
    uint8_t *p = hyp_realloc(o->p, cap);
    if (!p)
        return false;
    o->p = p;
    o->cap = cap;
    return true;
}

/* ---- zlib ---- */

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

static uInt window(size_t n)
{
    return n > 1U << 30 ? 1U << 30 : (uInt)n;
}

static bool z_begin(z_stream *z, enum unpack_form form, const uint8_t *in)
{
    *z = (z_stream){.zalloc = z_alloc, .zfree = z_free};
    z->next_in = (z_const Bytef *)(uintptr_t)in; /* zlib's pointer lacks const */
    return inflateInit2(z, (form == UNPACK_GZIP ? 16 : 0) + MAX_WBITS) == Z_OK;
}

/* One step of inflation; *end is set after the last member. */
static enum outcome z_step(z_stream *z, const uint8_t *in_end, struct output *o, bool *end)
{
    if (!make_room(o))
        return NO_MEMORY;
    const uInt room = window(o->cap - 1 - o->n);
    z->next_out = o->p + o->n;
    z->avail_out = room;
    z->avail_in = window((size_t)(in_end - z->next_in));
    const int rc = inflate(z, Z_NO_FLUSH);
    o->n += room - z->avail_out;
    if (o->n > o->limit)
        return TOO_LARGE;
    if (rc == Z_STREAM_END) {
        *end = z->next_in == in_end;
        return *end || inflateReset(z) == Z_OK ? DONE : DAMAGED;
    }
    if (rc == Z_MEM_ERROR)
        return NO_MEMORY;
    if (rc == Z_OK && (z->avail_out == 0 || z->next_in < in_end))
        return DONE;
    return DAMAGED; /* or cut short */
}

static enum outcome z_all(enum unpack_form form, const uint8_t *in, size_t n,
                          struct output *o)
{
    z_stream z;
    bool end = false;
    enum outcome s = DONE;
    if (!z_begin(&z, form, in))
        return NO_MEMORY;
    while (s == DONE && !end)
        s = z_step(&z, in + n, o, &end);
    inflateEnd(&z);
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
    const enum outcome s = form == UNPACK_XZ ? xz_all(in, n, &o) : z_all(form, in, n, &o);
    if (s != DONE) {
        hyp_free(o.p);
        return report(s, form, limit, file, err);
    }
    o.p[o.n] = 0;
    *out = o.p;
    *nout = o.n;
    return HYP_OK;
}

enum hyp_status unpack_head(const uint8_t *in, size_t n, const char *file, uint8_t *out,
                            size_t *nout, struct hyp_error *err)
{
    z_stream z;
    if (!z_begin(&z, UNPACK_ZLIB, in))
        return report(NO_MEMORY, UNPACK_ZLIB, 0, file, err);
    z.avail_in = window(n);
    z.next_out = out;
    z.avail_out = (uInt)*nout;
    const int rc = inflate(&z, Z_SYNC_FLUSH);
    *nout -= z.avail_out;
    inflateEnd(&z);
    return rc == Z_OK || rc == Z_STREAM_END
               ? HYP_OK
               : report(rc == Z_MEM_ERROR ? NO_MEMORY : DAMAGED, UNPACK_ZLIB, 0, file, err);
}
