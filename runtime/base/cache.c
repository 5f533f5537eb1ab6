/*
 * Entries are files named by their keys in hexadecimal: a header, then the content.  The
 * header has the key and a checksum, so that a file that was cut, damaged or moved tells.
 * A use sets the modification time: what is thrown away first is what is oldest.
 */
#include "runtime/base/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file_internal.h"
#include "runtime/base/sha256.h"

enum { NAME = 64, BLOCK = 4096, ENTRY_LIMIT = 64 << 20, STALE_SECONDS = 3600 };

struct cache {
    uint64_t limit;
    atomic_bool refused; /* an entry could not be written: no more are tried */
    atomic_bool grown;
    char dir[];
};

struct header {
    char magic[8];
    uint8_t key[32];
    uint64_t nbytes;
    uint32_t crc, zero;
};
static const char magic[8] = "hypno 1";

static struct header header_of(const uint8_t key[32], const void *data, size_t nbytes)
{
    struct header h = {.nbytes = nbytes};
    memcpy(h.magic, magic, sizeof h.magic);
    memcpy(h.key, key, sizeof h.key);
    h.crc = (uint32_t)crc32_z(0, data, nbytes);
    return h;
}

/* Nobody but us (or root, for a folder that is only read) may write there. */
static const char *distrust(const char *dir)
{
    struct stat st;
    if (!file_io_allowed())
        return "it cannot be read";
    if (stat(dir, &st) != 0)
        return NULL; /* not there yet */
    if (!S_ISDIR(st.st_mode))
        return "it is not a folder";
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return "it belongs to somebody else";
    return st.st_mode & S_IWOTH ? "everybody may write to it" : NULL;
}

struct cache *cache_open(const char *dir, uint64_t limit, const char **why)
{
    struct cache *c = NULL;
    const size_t n = strlen(dir) + 1;
    *why = distrust(dir);
    if (*why)
        return NULL;
    c = hyp_malloc(sizeof *c + n);
    if (!c) {
        *why = "out of memory";
        return NULL;
    }
    c->limit = limit;
    atomic_init(&c->refused, false);
    atomic_init(&c->grown, false);
    memcpy(c->dir, dir, n);
    return c;
}

static bool path_of(const struct cache *c, const uint8_t key[32], char path[BLOCK])
{
    char name[NAME + 1];
    sha256_hex(key, name);
    const int n = snprintf(path, BLOCK, "%s/%s", c->dir, name);
    return n > 0 && n < BLOCK;
}

bool cache_get(struct cache *c, const uint8_t key[32], uint8_t **data, size_t *nbytes)
{
    char path[BLOCK];
    uint8_t *file = NULL;
    size_t n = 0;
    if (!path_of(c, key, path) || file_read(path, ENTRY_LIMIT, &file, &n, NULL) != HYP_OK)
        return false;
    const size_t size = sizeof(struct header);
    if (n >= size) {
        const struct header h = header_of(key, file + size, n - size);
        if (memcmp(&h, file, size) == 0) {
            if (file_io_allowed())
                (void)utimensat(AT_FDCWD, path, NULL, 0);
            memmove(file, file + size, n - size);
            *data = file;
            *nbytes = n - size;
            return true;
        }
    }
    hyp_free(file);
    return false;
}

static bool write_entry(const char *path, const struct header *h, const void *data)
{
    struct file_writer w;
    bool ok = file_begin(&w, path, NULL) == HYP_OK;
    w.fleeting = true;
    ok = ok && file_write(&w, h, sizeof *h, NULL) == HYP_OK &&
         file_write(&w, data, h->nbytes, NULL) == HYP_OK && file_commit(&w, NULL) == HYP_OK;
    if (!ok)
        file_abandon(&w);
    return ok;
}

/* What is in it is run: it is ours alone. */
static bool make_folder(const struct cache *c)
{
    return file_is_dir(c->dir) ||
           (file_make_dir(c->dir, NULL) == HYP_OK && chmod(c->dir, 0700) == 0);
}

void cache_put(struct cache *c, const uint8_t key[32], const void *data, size_t nbytes)
{
    char path[BLOCK];
    if (atomic_load(&c->refused) || nbytes > ENTRY_LIMIT - sizeof(struct header) ||
        !path_of(c, key, path))
        return;
    const struct header h = header_of(key, data, nbytes);
    if (make_folder(c) && write_entry(path, &h, data))
        atomic_store(&c->grown, true);
    else
        atomic_store(&c->refused, true);
}

bool cache_keeps(struct cache *c)
{
    char path[BLOCK];
    const struct header none = {.nbytes = 0};
    const int n = snprintf(path, sizeof path, "%s/try", c->dir);
    if (n < 0 || n >= BLOCK || !make_folder(c) || !write_entry(path, &none, ""))
        return false;
    unlink(path);
    return true;
}

/* ---- all entries ---- */

struct found {
    struct timespec used;
    uint64_t bytes;
    char name[NAME + 1];
};
struct list {
    struct found *at;
    size_t n, cap;
};

static bool is_hex(const char *name)
{
    return strspn(name, "0123456789abcdef") == NAME;
}

static bool append(struct list *l, const struct stat *st, const char *name)
{
    if (l->n == l->cap) {
        const size_t cap = l->cap ? 2 * l->cap : 256;
        struct found *at = hyp_realloc(l->at, cap * sizeof *at);
        if (!at)
            return false;
        l->at = at;
        l->cap = cap;
    }
    struct found *f = &l->at[l->n++];
    f->used = st->st_mtim;
    f->bytes = ((uint64_t)st->st_size + BLOCK - 1) / BLOCK * BLOCK;
    memcpy(f->name, name, NAME + 1);
    return true;
}

/* What a writer that was killed left behind. */
static bool is_stale(const char *name, const struct stat *st)
{
    return name[NAME] == '.' && time(NULL) - st->st_mtim.tv_sec > STALE_SECONDS;
}

/* The entries of the folder; stale temporaries are removed. */
static struct list list_entries(const struct cache *c)
{
    struct list l = {0};
    struct stat st;
    DIR *d = file_io_allowed() ? opendir(c->dir) : NULL;
    const struct dirent *e;
    while (d && file_io_allowed() && (e = readdir(d))) {
        if (!is_hex(e->d_name) || fstatat(dirfd(d), e->d_name, &st, 0) != 0)
            continue;
        if (is_stale(e->d_name, &st))
            unlinkat(dirfd(d), e->d_name, 0);
        else if (!e->d_name[NAME] && !append(&l, &st, e->d_name))
            break;
    }
    if (d)
        closedir(d);
    return l;
}

static uint64_t bytes_of(const struct list *l)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < l->n; i++)
        sum += l->at[i].bytes;
    return sum;
}

struct cache_size cache_size(const struct cache *c)
{
    struct list l = list_entries(c);
    const struct cache_size s = {bytes_of(&l), (uint32_t)l.n};
    hyp_free(l.at);
    return s;
}

static int by_use(const void *x, const void *y)
{
    const struct found *a = x, *b = y;
    if (a->used.tv_sec != b->used.tv_sec)
        return a->used.tv_sec < b->used.tv_sec ? -1 : 1;
    if (a->used.tv_nsec != b->used.tv_nsec)
        return a->used.tv_nsec < b->used.tv_nsec ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Remove entries, those not used for longest first, down to so many bytes. */
static uint32_t shrink(const struct cache *c, struct list *l, uint64_t most)
{
    char path[BLOCK];
    uint64_t sum = bytes_of(l);
    uint32_t gone = 0;
    if (l->n)
        qsort(l->at, l->n, sizeof *l->at, by_use);
    for (size_t i = 0; i < l->n && sum > most; i++) {
        const int n = snprintf(path, sizeof path, "%s/%s", c->dir, l->at[i].name);
        sum -= l->at[i].bytes;
        gone += n > 0 && n < BLOCK && file_io_allowed() && unlink(path) == 0;
    }
    return gone;
}

uint32_t cache_clear(struct cache *c)
{
    struct list l = list_entries(c);
    const uint32_t gone = shrink(c, &l, 0);
    hyp_free(l.at);
    return gone;
}

void cache_close(struct cache *c)
{
    if (!c)
        return;
    if (atomic_load(&c->grown)) {
        struct list l = list_entries(c);
        if (bytes_of(&l) > c->limit) /* and some more, so that the next run need not */
            shrink(c, &l, c->limit - c->limit / 8);
        hyp_free(l.at);
    }
    hyp_free(c);
}
