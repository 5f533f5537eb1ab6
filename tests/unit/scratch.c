/* nftw() is an XSI extension of POSIX. */
#define _XOPEN_SOURCE 700
#include "tests/unit/scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/unit/cmocka_all.h"

char scratch_dir[256];

int scratch_setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    (void)state;
    snprintf(scratch_dir, sizeof scratch_dir, "%s/hyp_data_XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(scratch_dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

int scratch_teardown(void **state)
{
    (void)state;
    return nftw(scratch_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_path(const char *name)
{
    static char path[4][1024];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", scratch_dir, name);
    return p;
}

static void make_parents(char *path)
{
    for (char *p = path + strlen(scratch_dir) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(path, 0700);
        *p = '/';
    }
}

void scratch_put(const char *name, const void *bytes, size_t n)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", scratch_dir, name);
    make_parents(path);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

void scratch_put_text(const char *name, const char *text)
{
    scratch_put(name, text, strlen(text));
}

void scratch_put_gz(const char *name, const void *bytes, size_t n)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", scratch_dir, name);
    make_parents(path);
    gzFile f = gzopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, bytes, (unsigned)n), (int)n);
    assert_int_equal(gzclose(f), Z_OK);
}

size_t scratch_idx(uint8_t *out, uint32_t rank, const uint32_t *dim, const uint8_t *data)
{
    size_t n = 0, size = 1;
    const uint8_t magic[4] = {0, 0, 8, (uint8_t)rank};

    memcpy(out, magic, 4);
    n = 4;
    for (uint32_t i = 0; i < rank; i++) {
        for (int shift = 24; shift >= 0; shift -= 8)
            out[n++] = (uint8_t)(dim[i] >> shift);
        size *= dim[i];
    }
    memcpy(out + n, data, size);
    return n + size;
}
