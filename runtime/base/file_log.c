/* Append-only logs and folders. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file_internal.h"

enum hyp_status file_append_open(const char *path, int *fd, struct hyp_error *err)
{
    *fd = file_io_allowed() ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)
                            : -1;
    return *fd < 0 ? file_fail(err, "open", path) : HYP_OK;
}

/* What a failed write left of a line is cut off again, as far as that is still possible. */
static void cut_back(int fd, size_t nbytes)
{
    struct stat st;
    if (nbytes == 0 || fstat(fd, &st) != 0 || st.st_size < (off_t)nbytes)
        return;
    if (ftruncate(fd, st.st_size - (off_t)nbytes) != 0)
        return; /* the failure that brought us here is reported already */
}

enum hyp_status file_append(int fd, const void *p, size_t n, struct hyp_error *err)
{
    size_t done;
    if (file_write_all(fd, p, n, &done))
        return HYP_OK;
    const enum hyp_status s = file_fail(err, "write", "a log");
    cut_back(fd, done);
    return s;
}

enum hyp_status file_truncate(const char *path, uint64_t nbytes, struct hyp_error *err)
{
    struct stat st;
    if (!file_io_allowed() || stat(path, &st) != 0)
        return file_fail(err, "cut", path);
    if ((uint64_t)st.st_size < nbytes)
        return hyp_fail(err, HYP_EFORMAT, "%s is shorter than %llu bytes", path,
                        (unsigned long long)nbytes);
    if (!file_io_allowed() || truncate(path, (off_t)nbytes) != 0)
        return file_fail(err, "cut", path);
    return HYP_OK;
}

static bool make_one(const char *path)
{
    if (file_is_dir(path))
        return true;
    return file_io_allowed() &&
           (mkdir(path, 0777) == 0 || (errno == EEXIST && file_is_dir(path)));
}

enum hyp_status file_make_dir(const char *path, struct hyp_error *err)
{
    char part[4096];
    const size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return hyp_fail(err, HYP_EARG, "the path is empty or too long");
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        const char saved = part[i];
        part[i] = '\0';
        if (!make_one(part))
            return file_fail(err, "make the folder", part);
        part[i] = saved;
    }
    return HYP_OK;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}
