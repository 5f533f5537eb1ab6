/* Whole reads and atomic writes; see file.h.  Every system call first asks
 * file_io_allowed(). */
#include "runtime/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file_internal.h"
#include "runtime/base/unpack.h"

static _Atomic uint64_t nio, fail_from, ntemp;
static pthread_once_t env_once = PTHREAD_ONCE_INIT;

static void read_env(void)
{
    const char *s = getenv("HYP_FAIL_IO");
    if (s)
        atomic_store(&fail_from, strtoull(s, NULL, 10));
}

bool file_io_allowed(void)
{
    pthread_once(&env_once, read_env);
    const uint64_t n = atomic_fetch_add(&nio, 1) + 1;
    const uint64_t from = atomic_load(&fail_from);
    if (from == 0 || n < from)
        return true;
    errno = EIO;
    return false;
}

void hyp_io_fail_at(uint64_t n)
{
    pthread_once(&env_once, read_env);
    atomic_store(&fail_from, n == 0 ? 0 : atomic_load(&nio) + n);
}

uint64_t hyp_io_count(void)
{
    return atomic_load(&nio);
}

enum hyp_status file_fail(struct hyp_error *err, const char *verb, const char *path)
{
    const int e = errno;
    char why[128] = "";
    if (strerror_r(e, why, sizeof why) != 0)
        snprintf(why, sizeof why, "error %d", e);
    return hyp_fail(err, e == ENOENT ? HYP_EMISSING : HYP_EIO, "cannot %s %s: %s", verb,
                    path, why);
}

/* Bytes read, 0 at the end, -1 on error. */
static ssize_t read_some(int fd, void *p, size_t n)
{
    ssize_t got;
    do {
        got = file_io_allowed() ? read(fd, p, n) : -1;
    } while (got < 0 && errno == EINTR);
    return got;
}

/* The file's size is a first guess only: it may grow, and a pipe has none. */
static enum hyp_status read_all(int fd, const char *path, size_t limit, uint8_t **data,
                                size_t *nbytes, struct hyp_error *err)
{
    struct stat st;
    if (!file_io_allowed() || fstat(fd, &st) != 0)
        return file_fail(err, "read", path);
    if (st.st_size > 0 && (uint64_t)st.st_size > limit)
        return hyp_fail(err, HYP_EFORMAT, "%s is larger than %zu bytes", path, limit);
    size_t n = 0, cap = st.st_size > 0 ? (size_t)st.st_size + 2 : 4096;
    uint8_t *p = hyp_malloc(cap);
    while (p) {
        const ssize_t got = read_some(fd, p + n, cap - 1 - n);
        if (got <= 0) {
            if (got == 0)
                break;
            hyp_free(p);
            return file_fail(err, "read", path);
        }
        n += (size_t)got;
        if (n > limit) {
            hyp_free(p);
            return hyp_fail(err, HYP_EFORMAT, "%s is larger than %zu bytes", path, limit);
        }
        if (n + 1 == cap) {
            uint8_t *q = hyp_realloc(p, cap *= 2);
            if (!q)
                hyp_free(p);
            p = q;
        }
    }
    if (!p)
        return hyp_fail(err, HYP_ENOMEM, "out of memory while reading %s", path);
    p[n] = 0;
    *data = p;
    *nbytes = n;
    return HYP_OK;
}

enum hyp_status file_read(const char *path, size_t limit, uint8_t **data, size_t *nbytes,
                          struct hyp_error *err)
{
    const int fd = file_io_allowed() ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return file_fail(err, "open", path);
    const enum hyp_status s = read_all(fd, path, limit, data, nbytes, err);
    close(fd);
    return s;
}

enum hyp_status file_read_packed(const char *path, size_t limit, uint8_t **data,
                                 size_t *nbytes, struct hyp_error *err)
{
    uint8_t *in = NULL;
    size_t n = 0;
    enum hyp_status s = file_read(path, limit, &in, &n, err);
    const enum unpack_form form = s ? UNPACK_NONE : unpack_form(in, n);
    if (s || form == UNPACK_NONE) {
        *data = in;
        *nbytes = n;
        return s;
    }
    s = unpack(form, in, n, limit, path, data, nbytes, err);
    hyp_free(in);
    return s;
}

bool file_write_all(int fd, const void *p, size_t n, size_t *done)
{
    *done = 0;
    while (*done < n) {
        const ssize_t put =
            file_io_allowed() ? write(fd, (const char *)p + *done, n - *done) : -1;
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        *done += (size_t)put;
    }
    return true;
}

enum hyp_status file_begin(struct file_writer *w, const char *path, struct hyp_error *err)
{
    *w = (struct file_writer){.fd = -1};
    const int n = snprintf(w->path, sizeof w->path, "%s", path);
    const int m = snprintf(w->temp, sizeof w->temp, "%s.%ld.%llu.tmp", path, (long)getpid(),
                           (unsigned long long)atomic_fetch_add(&ntemp, 1));
    if (n < 0 || m < 0 || (size_t)m >= sizeof w->temp)
        return w->status = hyp_fail(err, HYP_EARG, "the path is too long: %.100s...", path);
    if (file_io_allowed())
        w->fd = open(w->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0)
        w->status = file_fail(err, "create", w->temp);
    return w->status;
}

enum hyp_status file_write(struct file_writer *w, const void *p, size_t n,
                           struct hyp_error *err)
{
    size_t done;
    if (w->status != HYP_OK)
        return w->status;
    if (!file_write_all(w->fd, p, n, &done))
        w->status = file_fail(err, "write", w->temp);
    w->nbytes += done;
    return w->status;
}

/* A rename lasts once its folder is on the disk; some file systems cannot and say EINVAL.
 */
static bool sync_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    const int n = slash ? (int)(slash - path) + 1 : 1;
    snprintf(folder, sizeof folder, "%.*s", n, slash ? path : ".");
    const int fd =
        file_io_allowed() ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        return false;
    const bool ok = file_io_allowed() && (fsync(fd) == 0 || errno == EINVAL);
    const int e = errno;
    close(fd);
    errno = e;
    return ok;
}

enum hyp_status file_commit(struct file_writer *w, struct hyp_error *err)
{
    if (w->status != HYP_OK)
        return w->status;
    if (!w->fleeting && (!file_io_allowed() || fsync(w->fd) != 0))
        return w->status = file_fail(err, "write", w->temp);
    const int fd = w->fd;
    w->fd = -1;
    if (close(fd) != 0)
        return w->status = file_fail(err, "close", w->temp);
    if (!file_io_allowed() || rename(w->temp, w->path) != 0)
        return w->status = file_fail(err, "replace", w->path);
    w->temp[0] = '\0';
    if (!w->fleeting && !sync_folder(w->path))
        w->status = file_fail(err, "sync the folder of", w->path);
    return w->status;
}

void file_abandon(struct file_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    if (w->temp[0])
        unlink(w->temp);
    w->temp[0] = '\0';
}

enum hyp_status file_put(const char *path, const void *p, size_t n, struct hyp_error *err)
{
    struct file_writer w;
    enum hyp_status s = file_begin(&w, path, err);
    if (s == HYP_OK)
        s = file_write(&w, p, n, err);
    if (s == HYP_OK)
        s = file_commit(&w, err);
    if (s != HYP_OK)
        file_abandon(&w);
    return s;
}
