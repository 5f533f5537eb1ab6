/* The table of keys and the manuals made from it: committed pages are current. */
#include <stdlib.h>
#include <string.h>

#include "compiler/front/schema.h"
#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "tests/unit/cmocka_all.h"

typedef void writer(FILE *out);

static char *written(struct arena *a, writer *write)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    write(f);
    fclose(f);
    char *copy = arena_strn(a, text, n);
    free(text);
    return copy;
}

/* UPDATE_GOLDEN=1 writes the page anew. */
static void expect_page(const char *name, writer *write)
{
    struct arena *a = arena_new();
    const char *text = written(a, write);
    const char *path = arena_fmt(a, "%s/docs/%s", getenv("HYP_SOURCE_DIR"), name);
    uint8_t *data = NULL;
    size_t n = 0;
    if (getenv("UPDATE_GOLDEN"))
        assert_int_equal(file_put(path, text, strlen(text), NULL), 0);
    assert_int_equal(file_read(path, 1 << 24, &data, &n, NULL), 0);
    if (n != strlen(text) || memcmp(data, text, n) != 0)
        fail_msg("%s is not current: run this test with UPDATE_GOLDEN=1", path);
    hyp_free(data);
    arena_free(a);
}

static void pages_are_current(void **state)
{
    (void)state;
    expect_page("keys.md", schema_manual);
    expect_page("hypnograph.schema.json", schema_json);
    expect_page("diagnostics.md", diag_manual);
}

/* Every example is a value that the reader takes in that place. */
static void examples_are_valid(void **state)
{
    (void)state;
    for (unsigned i = 0; i < schema_nkey; i++) {
        const struct schema_key *row = &schema_key[i];
        struct arena *a = arena_new();
        struct diag_sink *ds = diag_sink_new(a, 10);
        if (row->context != CTX_FILE || strcmp(row->key, "hypnograph") == 0) {
            arena_free(a);
            continue;
        }
        const char *text = arena_fmt(a, "hypnograph: 1\n%s: %s\n", row->key, row->example);
        struct doc *d = doc_read(a, ds, diag_file(ds, row->key, text, strlen(text)), text,
                                 strlen(text));
        assert_non_null(d);
        schema_check(a, ds, d);
        diag_print(ds, stderr, false);
        assert_int_equal(diag_count(ds), 0);
        arena_free(a);
    }
}

static void keys_stand_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < schema_nkey; i++) {
        const struct schema_key *row = &schema_key[i];
        assert_ptr_equal(schema_find(row->context, row->key), row);
        assert_true(*row->doc && *row->example);
    }
}

static void schema_is_json(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    const char *text = written(a, schema_json);
    size_t where;
    const struct json *j = json_parse(a, text, strlen(text), &where);
    assert_non_null(j);
    const struct json *phase = json_get(json_get(j, "$defs"), "PHASE");
    assert_non_null(json_get(json_get(phase, "properties"), "update"));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_current),
        cmocka_unit_test(examples_are_valid),
        cmocka_unit_test(keys_stand_once),
        cmocka_unit_test(schema_is_json),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
