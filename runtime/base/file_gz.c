/* Reading .gz whole: several members in a row are one text, as gunzip has it. */
#include <string.h>
#include <zlib.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file_internal.h"

struct output {
    uint8_t *p;
    size_t n, cap, limit;
};

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

static uInt window(size_t n)
{
    return n > 1U << 30 ? 1U << 30 : (uInt)n;
}

/* One step of inflation; *end is set after the last member. */
static enum hyp_status step(z_stream *z, const uint8_t *in_end, struct output *o, bool *end)
{
    if (!make_room(o))
        return HYP_ENOMEM;
    const uInt room = window(o->cap - 1 - o->n);
    z->next_out = o->p + o->n;
    z->avail_out = room;
    z->avail_in = window((size_t)(in_end - z->next_in));
    const int rc = inflate(z, Z_NO_FLUSH);
    o->n += room - z->avail_out;
    if (o->n > o->limit)
        return HYP_EIO;
    if (rc == Z_STREAM_END) {
        *end = z->next_in == in_end;
        return *end || inflateReset(z) == Z_OK ? HYP_OK : HYP_EFORMAT;
    }
    if (rc == Z_MEM_ERROR)
        return HYP_ENOMEM;
    if (rc == Z_OK && (z->avail_out == 0 || z->next_in < in_end))
        return HYP_OK;
    return HYP_EFORMAT; /* damaged, or cut short */
}

static enum hyp_status inflate_all(const uint8_t *in, size_t n, struct output *o)
{
    z_stream z = {.zalloc = z_alloc, .zfree = z_free};
    z.next_in = (z_const Bytef *)(uintptr_t)in; /* zlib's pointer lacks const */
    bool end = false;
    enum hyp_status s = HYP_OK;
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        return HYP_ENOMEM;
    while (s == HYP_OK && !end)
        s = step(&z, in + n, o, &end);
    inflateEnd(&z);
    return s;
}

enum hyp_status file_read_gz(const char *path, size_t limit, uint8_t **data, size_t *nbytes,
                             struct hyp_error *err)
{
    uint8_t *in;
    size_t n;
    enum hyp_status s = file_read(path, limit, &in, &n, err);
    if (s != HYP_OK)
        return s;
    if (n < 2 || in[0] != 0x1F || in[1] != 0x8B) {
        *data = in;
        *nbytes = n;
        return HYP_OK;
    }
    struct output o = {.limit = limit};
    s = inflate_all(in, n, &o);
    hyp_free(in);
    if (s != HYP_OK) {
        hyp_free(o.p);
        return hyp_fail(err, s, "%s: %s", path,
                        s == HYP_EFORMAT ? "damaged gzip data"
                        : s == HYP_EIO   ? "too large when unpacked"
                                         : hyp_strerror(s));
    }
    o.p[o.n] = 0;
    *data = o.p;
    *nbytes = o.n;
    return HYP_OK;
}
