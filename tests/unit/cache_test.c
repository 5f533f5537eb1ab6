/* The cache: entries that are whole or not there, the bound, folders that refuse. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/cache.h"
#include "runtime/base/file.h"
#include "runtime/base/sha256.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/scratch.h"

enum { SIZE = 3000, BLOCK = 4096 };

struct key {
    uint8_t at[32];
};

static struct key key_of(unsigned i)
{
    struct key k;
    struct sha256 s;
    sha256_init(&s);
    sha256_add(&s, &i, sizeof i);
    sha256_end(&s, k.at);
    return k;
}

static void content_of(unsigned i, uint8_t out[SIZE])
{
    for (unsigned k = 0; k < SIZE; k++)
        out[k] = (uint8_t)(i * 31 + k * k);
}

static struct cache *open_it(const char *name, uint64_t limit)
{
    const char *why;
    struct cache *c = cache_open(scratch_path(name), limit, &why);
    assert_non_null(c);
    return c;
}

static void put(struct cache *c, unsigned i)
{
    uint8_t data[SIZE];
    content_of(i, data);
    cache_put(c, key_of(i).at, data, sizeof data);
}

/* What is found is right. */
static bool has(struct cache *c, unsigned i)
{
    uint8_t *data, want[SIZE];
    size_t n;
    if (!cache_get(c, key_of(i).at, &data, &n))
        return false;
    content_of(i, want);
    assert_int_equal(n, SIZE);
    assert_memory_equal(data, want, SIZE);
    hyp_free(data);
    return true;
}

static const char *file_of(const char *folder, unsigned i)
{
    char name[65], path[200];
    sha256_hex(key_of(i).at, name);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return scratch_path(path);
}

static void test_kept(void **state)
{
    (void)state;
    struct cache *c = open_it("a/b/kept", 1 << 20);
    assert_false(has(c, 1));
    put(c, 1);
    put(c, 2);
    assert_true(has(c, 1) && has(c, 2) && !has(c, 3));
    cache_close(c);
    c = open_it("a/b/kept", 1 << 20);
    assert_true(has(c, 1) && has(c, 2));
    assert_int_equal(cache_size(c).entries, 2);
    assert_int_equal(cache_size(c).bytes, 2 * BLOCK);
    assert_int_equal(cache_clear(c), 2);
    assert_false(has(c, 1));
    cache_close(c);
    cache_close(NULL);
}

/* Every cut and every flipped bit of an entry is noticed, and another key's entry. */
static void test_damaged(void **state)
{
    (void)state;
    struct cache *c = open_it("damaged", 1 << 20);
    uint8_t *whole;
    size_t n;
    put(c, 1);
    assert_int_equal(file_read(file_of("damaged", 1), 1 << 20, &whole, &n, NULL), HYP_OK);
    for (size_t cut = 0; cut < n; cut += cut < 80 ? 1 : 97) {
        assert_int_equal(file_put(file_of("damaged", 1), whole, cut, NULL), HYP_OK);
        assert_false(has(c, 1));
    }
    for (size_t at = 0; at < n; at += at < 80 ? 1 : 97) {
        whole[at] ^= (uint8_t)(1 << at % 8);
        assert_int_equal(file_put(file_of("damaged", 1), whole, n, NULL), HYP_OK);
        assert_false(has(c, 1));
        whole[at] ^= (uint8_t)(1 << at % 8);
    }
    assert_int_equal(file_put(file_of("damaged", 2), whole, n, NULL), HYP_OK);
    assert_false(has(c, 2));
    put(c, 1);
    assert_true(has(c, 1));
    hyp_free(whole);
    cache_close(c);
}

static void age(const char *folder, unsigned i, time_t seconds)
{
    const struct timespec t[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    assert_int_equal(utimensat(AT_FDCWD, file_of(folder, i), t, 0), 0);
}

static void test_bounded(void **state)
{
    (void)state;
    struct cache *c = open_it("bounded", 16 * BLOCK);
    for (unsigned i = 0; i < 16; i++) {
        put(c, i);
        age("bounded", i, 1000 + i);
    }
    assert_true(has(c, 0)); /* used: now the newest */
    cache_close(c);
    c = open_it("bounded", 16 * BLOCK);
    assert_int_equal(cache_size(c).entries, 16);
    put(c, 16);
    cache_close(c);
    c = open_it("bounded", 16 * BLOCK);
    assert_int_equal(cache_size(c).entries, 14);
    assert_true(has(c, 0) && has(c, 16) && has(c, 4));
    assert_false(has(c, 1) || has(c, 2) || has(c, 3));
    cache_close(c);
}

/* What a killed writer left is removed once nobody can be writing it any more. */
static void test_stale(void **state)
{
    (void)state;
    char old[600];
    struct cache *c = open_it("stale", 1 << 20);
    const struct timespec t[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    put(c, 1);
    scratch_put("stale/README", "mine", 4);
    snprintf(old, sizeof old, "%s.77.0.tmp", file_of("stale", 1));
    assert_int_equal(file_put(old, "x", 1, NULL), HYP_OK);
    assert_int_equal(cache_size(c).entries, 1);
    assert_true(file_exists(old));
    assert_int_equal(utimensat(AT_FDCWD, old, t, 0), 0);
    assert_int_equal(cache_size(c).entries, 1);
    assert_false(file_exists(old));
    assert_int_equal(cache_clear(c), 1);
    assert_true(file_exists(scratch_path("stale/README"))); /* nobody's entry */
    cache_close(c);
}

static void test_refusing(void **state)
{
    (void)state;
    const char *why;
    scratch_put("file", "x", 1);
    assert_null(cache_open(scratch_path("file"), 1, &why));
    assert_string_equal(why, "it is not a folder");
    assert_int_equal(mkdir(scratch_path("open"), 0700), 0);
    assert_int_equal(chmod(scratch_path("open"), 0777), 0);
    assert_null(cache_open(scratch_path("open"), 1, &why));
    assert_string_equal(why, "everybody may write to it");
    struct cache *c = open_it("file/below", 1 << 20);
    assert_false(cache_keeps(c));
    put(c, 1);
    put(c, 2);
    assert_false(has(c, 1));
    assert_int_equal(cache_size(c).entries, 0);
    cache_close(c);
}

/* Root may write everywhere: it becomes somebody who may not. */
static int become_nobody(void **state)
{
    (void)state;
    if (geteuid() == 0)
        return chmod(scratch_dir, 0755) || seteuid(65534);
    return 0;
}

static int become_oneself(void **state)
{
    (void)state;
    if (geteuid() != getuid() && seteuid(getuid()) != 0)
        return -1;
    return chmod(scratch_dir, 0700) || chmod(scratch_path("read_only"), 0700);
}

/* What lies there is used; what cannot be added costs one try, and nobody hears of it. */
static void test_read_only(void **state)
{
    struct cache *c = open_it("read_only", 1 << 20);
    put(c, 1);
    put(c, 2);
    cache_close(c);
    assert_int_equal(chmod(scratch_path("read_only"), 0555), 0);
    assert_int_equal(become_nobody(state), 0);
    if (!file_exists(file_of("read_only", 1))) {
        print_message("skipped: nobody but root reaches %s\n", scratch_dir);
        skip();
    }
    c = open_it("read_only", 2 * BLOCK);
    assert_true(has(c, 1) && has(c, 2));
    assert_false(cache_keeps(c));
    put(c, 3);
    assert_false(has(c, 3));
    const uint64_t calls = hyp_io_count();
    put(c, 3);
    put(c, 4);
    assert_int_equal(hyp_io_count(), calls);
    assert_true(has(c, 1) && has(c, 2));
    cache_close(c);
    c = open_it("read_only", BLOCK); /* too small for what is there */
    assert_int_equal(cache_clear(c), 0);
    assert_int_equal(cache_size(c).entries, 2);
    cache_close(c);
}

/* Whatever fails, an entry is right or not there. */
static void under_faults(void fail_at(uint64_t))
{
    for (unsigned n = 1; n < 60; n++) {
        const char *why;
        fail_at(n);
        struct cache *c = cache_open(scratch_path("faults"), 4 * BLOCK, &why);
        for (unsigned i = 0; c && i < 6; i++) {
            put(c, i);
            (void)has(c, i);
        }
        cache_close(c);
        fail_at(0);
        c = open_it("faults", 4 * BLOCK);
        for (unsigned i = 0; i < 6; i++)
            (void)has(c, i);
        put(c, n % 6);
        assert_true(has(c, n % 6));
        cache_clear(c);
        assert_int_equal(cache_size(c).entries, 0);
        cache_close(c);
    }
    DIR *d = opendir(scratch_path("faults"));
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        assert_int_equal(e->d_name[0], '.'); /* no temporaries are left */
    closedir(d);
}

static void test_faults(void **state)
{
    (void)state;
    under_faults(hyp_io_fail_at);
    under_faults(hyp_alloc_fail_at);
}

static void *writer(void *cx)
{
    struct cache *c = cx;
    for (unsigned i = 0; i < 200; i++) {
        put(c, i % 10);
        (void)has(c, (i + 5) % 10);
    }
    return NULL;
}

/* Two caches in one folder, as two processes have, and two threads each. */
static void test_shared(void **state)
{
    (void)state;
    struct cache *c[2] = {open_it("shared", 8 * BLOCK), open_it("shared", 8 * BLOCK)};
    pthread_t t[4];
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, writer, c[i % 2]), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(cache_size(c[0]).entries, 10);
    cache_close(c[0]);
    cache_close(c[1]);
    c[0] = open_it("shared", 8 * BLOCK);
    assert_int_equal(cache_size(c[0]).entries, 7);
    cache_close(c[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_refusing),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_shared),
        cmocka_unit_test_teardown(test_read_only, become_oneself),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
