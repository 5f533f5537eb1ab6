/* JSON: writer, reader, round trips of numbers, damage. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/json.h"
#include "tests/unit/cmocka_all.h"

static void write_sample(struct json_writer *w)
{
    json_open(w, '{');
    json_key(w, "a\"\\\n\x01");
    json_open(w, '[');
    json_number(w, 0.1);
    json_float(w, 0.1F);
    json_int(w, INT64_MIN);
    json_number(w, (double)NAN);
    json_open(w, '[');
    json_close(w);
    json_close(w);
    json_key(w, "b");
    json_bool(w, true);
    json_key(w, "c");
    json_null(w);
    json_key(w, "\xc3\xbc");
    json_string(w, "x\ty");
    json_close(w);
}

static void writer_places_commas(void **state)
{
    (void)state;
    struct json_writer w;
    json_init(&w);
    write_sample(&w);
    assert_false(w.failed);
    assert_string_equal(w.text,
                        "{\"a\\\"\\\\\\n\\u0001\":[0.1,0.1,-9223372036854775808,null,[]],"
                        "\"b\":true,\"c\":null,\"\xc3\xbc\":\"x\\u0009y\"}");
    assert_int_equal(strlen(w.text), w.n);
    json_int(&w, 3); /* values at the top stand on lines of their own */
    assert_string_equal(w.text + w.n - 3, "}\n3");
    json_fini(&w);
}

static void writer_survives_lack_of_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct json_writer w;
        json_init(&w);
        hyp_alloc_fail_at(n);
        for (int i = 0; i < 20; i++)
            write_sample(&w);
        hyp_alloc_fail_at(0);
        const bool failed = w.failed;
        assert_true(failed == (w.text == NULL));
        json_fini(&w);
        if (!failed) {
            assert_true(n > 2);
            break;
        }
    }
}

static void sample_reads_back(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    struct json_writer w;
    size_t where = 0;
    json_init(&w);
    write_sample(&w);
    const struct json *j = json_parse(a, w.text, w.n, &where);
    assert_non_null(j);
    assert_int_equal(j->kind, JSON_OBJECT);
    assert_int_equal(j->n, 4);
    const struct json *l = json_get(j, "a\"\\\n\x01");
    assert_int_equal(l->kind, JSON_LIST);
    assert_int_equal(l->n, 5);
    assert_true(l->child->number == 0.1);
    assert_true(l->child->next->next->number == -0x1p63);
    assert_int_equal(l->child->next->next->next->kind, JSON_NULL);
    assert_true(json_get(j, "b")->kind == JSON_BOOL && json_get(j, "b")->number == 1);
    assert_string_equal(json_get(j, "\xc3\xbc")->string, "x\ty");
    assert_null(json_get(j, "nowhere"));
    assert_null(json_get(l, "b"));
    for (size_t n = 0; n < w.n; n++) { /* no proper prefix is JSON */
        assert_null(json_parse(a, w.text, n, &where));
        assert_true(where <= n);
    }
    json_fini(&w);
    arena_free(a);
}

static void escapes_are_decoded(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    const char *text = " [\"\\u00e9\\u20AC\\ud83d\\ude00\\/\\b\\f\\r\\t\" , -0.5e+1 ] ";
    const struct json *j = json_parse(a, text, strlen(text), NULL);
    assert_non_null(j);
    assert_string_equal(j->child->string, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80/\b\f\r\t");
    assert_true(j->child->next->number == -5);
    arena_free(a);
}

static void damage_is_located(void **state)
{
    static const struct {
        const char *text;
        size_t where;
    } row[] = {{"[1,]", 3},        {"{\"a\" 1}", 5}, {"01", 1},          {"1.", 2},
               {"\"\\ud800\"", 7}, {"\"\n\"", 1},    {"\"\\u0000\"", 7}, {"1e999", 5},
               {"nul", 0},         {"[1 2]", 3},     {"{\"a\":1,}", 7},  {"", 0},
               {"-", 1},           {"+1", 0},        {"\"abc", 4},       {"\"abc\\", 5}};
    (void)state;
    struct arena *a = arena_new();
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        size_t where = 99;
        assert_null(json_parse(a, row[i].text, strlen(row[i].text), &where));
        if (where != row[i].where)
            fail_msg("%s: damage at %zu, want %zu", row[i].text, where, row[i].where);
    }
    arena_free(a);
}

static void depth_is_limited(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    char text[200];
    for (size_t depth = 60; depth < 70; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_true((json_parse(a, text, 2 * depth, NULL) != NULL) == (depth <= 64));
    }
    arena_free(a);
}

static void numbers_look_good(void **state)
{
    static const struct {
        double x;
        const char *text;
    } row[] = {{0, "0"},
               {-0.0, "-0"},
               {1, "1"},
               {-100, "-100"},
               {0.1, "0.1"},
               {784, "784"},
               {1e20, "100000000000000000000"},
               {1e21, "1e21"},
               {1e-6, "0.000001"},
               {1.5e-7, "1.5e-7"},
               {123.25, "123.25"},
               {1.0 / 3, "0.3333333333333333"},
               {5e-324, "5e-324"},
               {DBL_MAX, "1.7976931348623157e308"},
               {INFINITY, "null"},
               {0.05, "0.05"}};
    (void)state;
    char out[32];
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        assert_int_equal(json_format_double(out, row[i].x), strlen(row[i].text));
        assert_string_equal(out, row[i].text);
    }
    json_format_float(out, 1.0F / 3);
    assert_string_equal(out, "0.33333334");
    json_format_float(out, FLT_MAX);
    assert_string_equal(out, "3.4028235e38");
}

/* Every exponent and sign, random mantissas; and one digit less would not do. */
static void floats_read_back(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (int i = 0; i < 200000; i++) {
        char out[32], shorter[32];
        float x, y;
        seed = seed * 1664525 + 1013904223;
        const uint32_t bits = seed ^ seed << 13;
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x))
            continue;
        const int n = json_format_float(out, x);
        assert_true(n < 32 && (int)strlen(out) == n);
        y = strtof(out, NULL);
        assert_memory_equal(&x, &y, sizeof x);
        int digits = 0;
        for (const char *p = out + strspn(out, "-0."); *p && *p != 'e'; p++)
            digits += *p >= '0' && *p <= '9';
        if (digits > 1 && strpbrk(out, "e.")) { /* else zeros may end it */
            snprintf(shorter, sizeof shorter, "%.*e", digits - 2, (double)x);
            assert_true(strtof(shorter, NULL) != x);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writer_places_commas),
        cmocka_unit_test(writer_survives_lack_of_memory),
        cmocka_unit_test(sample_reads_back),
        cmocka_unit_test(escapes_are_decoded),
        cmocka_unit_test(damage_is_located),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(numbers_look_good),
        cmocka_unit_test(floats_read_back),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
