/* Files: atomic replacement under failing operations, gzip and xz, logs, folders. */
#include <dirent.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "tests/unit/cmocka_all.h"

static char folder[256];

static const char *in_folder(const char *name)
{
    static char path[4][512];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static int setup(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/hyp_file_XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static void remove_tree(const char *path)
{
    DIR *d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;) {
        char sub[1024];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(sub, sizeof sub, "%s/%s", path, e->d_name);
        if (file_is_dir(sub))
            remove_tree(sub);
        else
            unlink(sub);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

static int teardown(void **state)
{
    (void)state;
    hyp_io_fail_at(0);
    hyp_alloc_fail_at(0);
    remove_tree(folder);
    return 0;
}

static unsigned entries(void)
{
    unsigned n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void content_is(const char *path, const char *want)
{
    uint8_t *data;
    size_t n;
    struct hyp_error err = {0};
    assert_int_equal(file_read(path, 1 << 20, &data, &n, &err), HYP_OK);
    assert_int_equal(n, strlen(want));
    assert_string_equal((const char *)data, want);
    hyp_free(data);
}

/*
 * Replace "old" by "new" with operation n failing, for all n until nothing fails.  A
 * reported failure leaves the old file, except that of syncing the folder after the rename.
 */
static void atomic_write_is_all_or_nothing(void **state)
{
    (void)state;
    const char *path = in_folder("x");
    unsigned old = 0, replaced = 0;
    for (uint64_t n = 1;; n++) {
        struct hyp_error err = {0};
        assert_int_equal(file_put(path, "old", 3, &err), HYP_OK);
        const uint64_t before = hyp_io_count();
        hyp_io_fail_at(n);
        const enum hyp_status s = file_put(path, "new", 3, &err);
        const uint64_t used = hyp_io_count() - before;
        hyp_io_fail_at(0);
        assert_int_equal(entries(), 1); /* no temporary is left */
        if (s == HYP_OK) {
            assert_true(used < n);
            content_is(path, "new");
            break;
        }
        assert_int_equal(s, HYP_EIO);
        assert_int_equal(err.status, HYP_EIO);
        assert_true(strlen(err.text) > 0);
        uint8_t *data;
        size_t len;
        assert_int_equal(file_read(path, 100, &data, &len, NULL), HYP_OK);
        if (memcmp(data, "old", 4) == 0)
            old++;
        else
            replaced += memcmp(data, "new", 4) == 0 && strstr(err.text, "sync the folder");
        assert_int_equal(old + replaced, n);
        hyp_free(data);
    }
    assert_int_equal(old, 4);      /* create, write, sync, rename */
    assert_int_equal(replaced, 2); /* open and sync the folder */
}

static void first_failure_sticks(void **state)
{
    (void)state;
    struct file_writer w;
    struct hyp_error err = {0};
    assert_int_equal(file_begin(&w, in_folder("x"), &err), HYP_OK);
    assert_int_equal(file_write(&w, "abc", 3, &err), HYP_OK);
    hyp_io_fail_at(1);
    assert_int_equal(file_write(&w, "def", 3, &err), HYP_EIO);
    hyp_io_fail_at(0);
    assert_int_equal(file_write(&w, "def", 3, &err), HYP_EIO);
    assert_int_equal(file_commit(&w, &err), HYP_EIO);
    file_abandon(&w);
    file_abandon(&w);
    assert_int_equal(entries(), 0);
}

static void reading(void **state)
{
    (void)state;
    struct hyp_error err = {0};
    uint8_t *data = NULL;
    size_t n;
    assert_int_equal(file_read(in_folder("absent"), 10, &data, &n, &err), HYP_EMISSING);
    assert_non_null(strstr(err.text, "absent"));
    assert_int_equal(file_put(in_folder("ten"), "0123456789", 10, NULL), HYP_OK);
    assert_int_equal(file_read(in_folder("ten"), 9, &data, &n, NULL), HYP_EFORMAT);
    content_is(in_folder("ten"), "0123456789");
    assert_int_equal(file_put(in_folder("none"), "", 0, NULL), HYP_OK);
    content_is(in_folder("none"), "");
    /* a file without a size: read to its end, and held to the limit */
    assert_int_equal(file_read("/dev/zero", 100000, &data, &n, NULL), HYP_EFORMAT);
    for (uint64_t k = 1; k < 5; k++) {
        hyp_io_fail_at(k);
        const enum hyp_status s = file_read(in_folder("ten"), 100, &data, &n, NULL);
        hyp_io_fail_at(0);
        assert_int_equal(s, HYP_EIO); /* open, stat, read, read the end */
    }
    hyp_alloc_fail_at(1);
    assert_int_equal(file_read(in_folder("ten"), 100, &data, &n, NULL), HYP_ENOMEM);
}

static size_t gzip(uint8_t *out, size_t cap, const uint8_t *in, size_t n)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (z_const Bytef *)(uintptr_t)in;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    const size_t len = z.total_out;
    deflateEnd(&z);
    return len;
}

static void gunzipping(void **state)
{
    (void)state;
    enum { N = 300000 };
    uint8_t *in = malloc(N), *packed = malloc(2 * N), *data;
    size_t n;
    for (size_t i = 0; i < N; i++)
        in[i] = (uint8_t)(i * i >> 7);
    size_t len = gzip(packed, N, in, N / 2); /* two members in a row */
    len += gzip(packed + len, N, in + N / 2, N / 2);
    const char *path = in_folder("x.gz");
    assert_int_equal(file_put(path, packed, len, NULL), HYP_OK);
    assert_int_equal(file_read_packed(path, N, &data, &n, NULL), HYP_OK);
    assert_int_equal(n, N);
    assert_memory_equal(data, in, N);
    hyp_free(data);
    struct hyp_error err = {0};
    assert_int_equal(file_read_packed(path, N - 1, &data, &n, &err), HYP_EFORMAT);
    assert_non_null(strstr(err.text, "too large"));
    assert_int_equal(file_put(path, packed, len - 1, NULL), HYP_OK); /* cut short */
    assert_int_equal(file_read_packed(path, N, &data, &n, NULL), HYP_EFORMAT);
    packed[len - 5] ^= 1; /* a wrong checksum */
    assert_int_equal(file_put(path, packed, len, NULL), HYP_OK);
    assert_int_equal(file_read_packed(path, N, &data, &n, NULL), HYP_EFORMAT);
    assert_int_equal(file_put(path, "plain", 5, NULL), HYP_OK);
    assert_int_equal(file_read_packed(path, 5, &data, &n, NULL), HYP_OK);
    assert_string_equal((char *)data, "plain");
    hyp_free(data);
    free(in);
    free(packed);
}

/* What the end of a file says of its size helps where it is true, and never harms. */
static void gunzipping_what_grows(void **state)
{
    (void)state;
    enum { N = 3000000 };
    uint8_t *in = calloc(N, 1), *packed = malloc(N), *data;
    size_t n;
    in[N - 1] = 1;
    const size_t first = gzip(packed, N, in, N),
                 len = first + gzip(packed + first, N / 2, in, 9);
    const char *path = in_folder("x.gz");
    for (unsigned members = 1; members <= 2; members++) {
        assert_int_equal(file_put(path, packed, members == 1 ? first : len, NULL), HYP_OK);
        assert_int_equal(file_read_packed(path, 2 * N, &data, &n, NULL), HYP_OK);
        assert_int_equal(n, members == 1 ? N : N + 9);
        assert_memory_equal(data, in, N);
        hyp_free(data);
        assert_int_equal(file_read_packed(path, N - 1, &data, &n, NULL), HYP_EFORMAT);
        enum hyp_status s = HYP_ENOMEM;
        for (uint64_t k = 1; k < 100 && s; k++) {
            hyp_alloc_fail_at(k);
            s = file_read_packed(path, 2 * N, &data, &n, NULL);
            hyp_alloc_fail_at(0);
            assert_true(s == HYP_OK || s == HYP_ENOMEM);
        }
        assert_int_equal(s, HYP_OK);
        hyp_free(data);
    }
    memset(packed + first - 4, 0xff, 4); /* 4 GiB */
    assert_int_equal(file_put(path, packed, first, NULL), HYP_OK);
    assert_int_equal(file_read_packed(path, 2 * N, &data, &n, NULL), HYP_EFORMAT);
    free(in);
    free(packed);
}

static size_t xz(uint8_t *out, size_t cap, const uint8_t *in, size_t n)
{
    size_t len = 0;
    assert_int_equal(
        lzma_easy_buffer_encode(0, LZMA_CHECK_CRC64, NULL, in, n, out, &len, cap), LZMA_OK);
    return len;
}

/* Reading the `len` bytes as a file must fail with these words. */
static void refuse_packed(const uint8_t *packed, size_t len, size_t limit,
                          const char *words)
{
    struct hyp_error err = {0};
    uint8_t *data;
    size_t n;
    const char *path = in_folder("x.xz");
    assert_int_equal(file_put(path, packed, len, NULL), HYP_OK);
    assert_int_equal(file_read_packed(path, limit, &data, &n, &err), HYP_EFORMAT);
    assert_non_null(strstr(err.text, "x.xz: "));
    if (!strstr(err.text, words))
        fail_msg("`%s` lacks `%s`", err.text, words);
}

static void unxzing(void **state)
{
    (void)state;
    enum { N = 300000, HEADER = 12 };
    uint8_t *in = malloc(N), *packed = malloc(2 * N), *data;
    size_t n;
    for (size_t i = 0; i < N; i++)
        in[i] = (uint8_t)(i * i >> 7);
    const size_t first = xz(packed, N, in, N / 2); /* two streams in a row */
    const size_t len = first + xz(packed + first, N, in + N / 2, N / 2);
    const char *path = in_folder("x.xz");
    assert_int_equal(file_put(path, packed, len, NULL), HYP_OK);
    assert_int_equal(file_read_packed(path, N, &data, &n, NULL), HYP_OK);
    assert_int_equal(n, N);
    assert_memory_equal(data, in, N);
    hyp_free(data);
    enum hyp_status s = HYP_ENOMEM;
    for (uint64_t k = 1; k < 100 && s; k++) {
        hyp_alloc_fail_at(k);
        s = file_read_packed(path, N, &data, &n, NULL);
        hyp_alloc_fail_at(0);
        assert_true(s == HYP_OK || s == HYP_ENOMEM);
    }
    assert_int_equal(s, HYP_OK);
    hyp_free(data);

    refuse_packed(packed, len, N - 1, "too large: more than 299999 bytes");
    refuse_packed(packed, len - 1, N, "damaged xz data");
    refuse_packed(packed, 6, N, "damaged xz data");
    packed[first / 2] ^= 1;
    refuse_packed(packed, len, N, "damaged xz data");
    packed[first / 2] ^= 1;
    uint8_t *lzma2 =
        packed + HEADER + 2; /* the filter's number, after fields that may be */
    while (lzma2[0] != 0x21 || lzma2[1] != 1)
        lzma2++;
    lzma2[2] = 40; /* a dictionary of 4 GiB, and the header's checksum for it */
    const uint32_t size = 4U * packed[HEADER], sum = lzma_crc32(packed + HEADER, size, 0);
    for (unsigned i = 0; i < 4; i++)
        packed[HEADER + size + i] = (uint8_t)(sum >> 8 * i);
    refuse_packed(packed, len, N, "asks for more than 128 MiB");
    free(in);
    free(packed);
}

static void logs(void **state)
{
    (void)state;
    const char *path = in_folder("log");
    int fd;
    assert_int_equal(file_append_open(path, &fd, NULL), HYP_OK);
    assert_int_equal(file_append(fd, "one\n", 4, NULL), HYP_OK);
    assert_int_equal(file_append(fd, "two\n", 4, NULL), HYP_OK);
    close(fd);
    assert_int_equal(file_append_open(path, &fd, NULL), HYP_OK);
    assert_int_equal(file_append(fd, "three\n", 6, NULL), HYP_OK);
    hyp_io_fail_at(1);
    assert_int_equal(file_append(fd, "four\n", 5, NULL), HYP_EIO);
    hyp_io_fail_at(0);
    close(fd);
    content_is(path, "one\ntwo\nthree\n");
    assert_int_equal(file_truncate(path, 8, NULL), HYP_OK);
    content_is(path, "one\ntwo\n");
    assert_int_equal(file_truncate(path, 9, NULL), HYP_EFORMAT);
    assert_int_equal(file_truncate(in_folder("absent"), 0, NULL), HYP_EMISSING);
}

static void folders(void **state)
{
    (void)state;
    struct hyp_error err = {0};
    assert_int_equal(file_make_dir(in_folder("a/b//c/"), &err), HYP_OK);
    assert_true(file_is_dir(in_folder("a/b/c")));
    assert_int_equal(file_make_dir(in_folder("a/b"), &err), HYP_OK);
    assert_int_equal(file_put(in_folder("a/f"), "", 0, NULL), HYP_OK);
    assert_true(file_exists(in_folder("a/f")));
    assert_false(file_is_dir(in_folder("a/f")));
    assert_int_equal(file_make_dir(in_folder("a/f"), &err), HYP_EIO);
    assert_int_equal(file_make_dir("", NULL), HYP_EARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(atomic_write_is_all_or_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(first_failure_sticks, setup, teardown),
        cmocka_unit_test_setup_teardown(reading, setup, teardown),
        cmocka_unit_test_setup_teardown(gunzipping, setup, teardown),
        cmocka_unit_test_setup_teardown(gunzipping_what_grows, setup, teardown),
        cmocka_unit_test_setup_teardown(unxzing, setup, teardown),
        cmocka_unit_test_setup_teardown(logs, setup, teardown),
        cmocka_unit_test_setup_teardown(folders, setup, teardown),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
