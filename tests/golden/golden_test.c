/*
 * Golden tests, found by directory scan; UPDATE_GOLDEN=1 rewrites what they expect.
 *
 * check/x.yaml      x.err: every diagnostic, in order, as `E0301@7:12` (no file: none)
 *                   x.txt: what the user sees, compared only where the file is there
 * elaborate/x.yaml  x.out: the model as `hypno show --stage phases` prints it, which must
 * read back as the same document
 *
 * A first line `# --condition NAME --set K=V ...` gives options; 'K=V W' holds blanks.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/front/model.h"
#include "compiler/ir/program.h"
#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "tests/unit/cmocka_all.h"

enum { MOST_CASES = 512, MOST_SETS = 24 };

struct golden {
    const char *folder, *file;
};

static char *read_text(struct arena *a, const char *path)
{
    uint8_t *data = NULL;
    size_t n = 0;
    if (file_read(path, 16 << 20, &data, &n, NULL) != 0)
        return NULL;
    char *text = arena_strn(a, (const char *)data, n);
    hyp_free(data);
    return text;
}

/* The next word of a line, or what stands in its quotes; NULL at the end. */
static const char *next_word(char **line)
{
    char *word = *line + strspn(*line, " ");
    const bool quoted = *word == '\'';
    word += quoted;
    char *end = word + strcspn(word, quoted ? "'" : " ");
    *line = *end ? end + 1 : end;
    *end = 0;
    return *word ? word : NULL;
}

static void read_options(struct arena *a, const char *path, struct model_options *o)
{
    const char **set = arena_array(a, MOST_SETS, sizeof *set);
    char *text = read_text(a, path);
    o->go_on = true;
    o->set = set;
    if (!text || strncmp(text, "# --", 4) != 0)
        return;
    text[strcspn(text, "\n")] = 0;
    char *line = text + 2;
    for (const char *key; (key = next_word(&line)) != NULL;) {
        const char *value = next_word(&line);
        assert_non_null(value);
        if (strcmp(key, "--condition") == 0)
            o->condition = value;
        else if (strcmp(key, "--set") == 0 && o->nset < MOST_SETS)
            set[o->nset++] = value;
        else
            fail_msg("%s: unknown option %s", path, key);
    }
}

/* Every source has an image [1, 28, 28] and a label, but for those that fail. */
static bool fields(void *cx, struct arena *a, const char *kind, const struct doc *entry,
                   struct model_field **field, uint32_t *n, const char **why)
{
    (void)cx;
    (void)entry;
    *why = !strcmp(kind, "unknown") ? "E0705 there is no source `unknown`"
           : !strcmp(kind, "lost")  ? "E0706 train.gz is missing: looked in data"
           : !strcmp(kind, "torn")  ? "E0707 train.gz: 12 bytes too few"
                                    : NULL;
    if (*why)
        return false;
    *n = 2;
    *field = arena_array(a, *n, sizeof **field);
    (*field)[0] = (struct model_field){"image", false, 3, {1, 28, 28}};
    (*field)[1] = (struct model_field){"label", true, 0, {0}};
    if (!strcmp(kind, "bare")) /* only labels */
        **field = (*field)[--*n];
    return true;
}

/* As `hypno check` does it: as far as the mistakes allow. */
static struct model *check(struct arena *a, struct diag_sink *ds, const char *path,
                           bool build)
{
    struct model_options o = {0};
    struct program p = {.arena = a};
    read_options(a, path, &o);
    o.fields = fields;
    struct model *m = model_load(a, ds, path, &o);
    const unsigned errors = diag_errors(ds);
    if (!m)
        return NULL;
    model_elaborate(m);
    if (build && diag_errors(ds) == errors)
        model_build(m, &p);
    return m;
}

typedef void printer(const struct diag_sink *ds, FILE *out);

static void print_full(const struct diag_sink *ds, FILE *out)
{
    diag_print(ds, out, false);
}

static char *printed(struct arena *a, const struct diag_sink *ds, printer *print)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    print(ds, f);
    fclose(f);
    char *copy = arena_strn(a, text, n);
    free(text);
    return copy;
}

static char *with_ending(struct arena *a, const char *file, const char *ending)
{
    return arena_fmt(a, "%.*s%s", (int)(strlen(file) - strlen(".yaml")), file, ending);
}

static void expect(struct arena *a, const char *path, const char *got)
{
    const char *want = read_text(a, path);
    if (getenv("UPDATE_GOLDEN")) {
        if (*got)
            assert_int_equal(file_put(path, got, strlen(got), NULL), 0);
        else if (want)
            assert_int_equal(remove(path), 0);
        return;
    }
    if (strcmp(got, want ? want : "") != 0)
        fail_msg("%s\n--- expected\n%s--- got\n%s", path, want ? want : "", got);
}

static void enter(const struct golden *g)
{
    char *path = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&path, &n);
    fprintf(f, "%s/tests/golden/%s", getenv("HYP_SOURCE_DIR"), g->folder);
    fclose(f);
    assert_int_equal(chdir(path), 0);
    free(path);
}

static void checks(void **state)
{
    const struct golden *g = *state;
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 1000);
    enter(g);
    check(a, ds, g->file, true);
    expect(a, with_ending(a, g->file, ".err"), printed(a, ds, diag_print_brief));
    const char *text = with_ending(a, g->file, ".txt");
    if (file_exists(text))
        expect(a, text, printed(a, ds, print_full));
    arena_free(a);
}

/* What was printed, as a file of its own. */
static struct model *reread(struct arena *a, struct diag_sink *ds, const char *text)
{
    char path[] = "/tmp/hypno-golden-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    struct model *m = check(a, ds, path, false);
    remove(path);
    if (diag_errors(ds))
        fail_msg("%s\n%s", text, printed(a, ds, print_full));
    return m;
}

static void elaborates(void **state)
{
    const struct golden *g = *state;
    struct arena *a = arena_new();
    struct diag_sink *ds = diag_sink_new(a, 1000);
    enter(g);
    struct model *m = check(a, ds, g->file, false);
    if (diag_errors(ds))
        fail_msg("%s", printed(a, ds, print_full));
    char *text = doc_print(m->elaborated, a);
    expect(a, with_ending(a, g->file, ".out"), text);

    struct model *again = reread(a, ds, text);
    assert_true(doc_equal(m->elaborated, again->elaborated));
    again = reread(a, ds, doc_print(m->merged, a));
    assert_true(doc_equal(m->merged, again->merged));
    assert_true(doc_equal(m->elaborated, again->elaborated));
    arena_free(a);
}

static int by_file(const void *x, const void *y)
{
    return strcmp(((const struct golden *)x)->file, ((const struct golden *)y)->file);
}

static unsigned scan(const char *folder, struct golden *g)
{
    unsigned n = 0;
    struct golden here = {folder, ""};
    enter(&here);
    DIR *d = opendir(".");
    for (struct dirent *e; d && (e = readdir(d)) != NULL && n < MOST_CASES;) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot && strcmp(dot, ".yaml") == 0)
            g[n++] = (struct golden){folder, strdup(e->d_name)};
    }
    if (d)
        closedir(d);
    qsort(g, n, sizeof *g, by_file);
    return n;
}

int main(void)
{
    static struct golden g[MOST_CASES * 2];
    static struct CMUnitTest test[MOST_CASES * 2];
    const unsigned nchecks = scan("check", g);
    const unsigned n = nchecks + scan("elaborate", g + nchecks);
    for (unsigned i = 0; i < n; i++)
        test[i] = (struct CMUnitTest){g[i].file, i < nchecks ? checks : elaborates, NULL,
                                      NULL, &g[i]};
    const int failed = nchecks == 0 || n == nchecks ||
                       _cmocka_run_group_tests("golden", test, n, NULL, NULL) != 0;
    for (unsigned i = 0; i < n; i++)
        free((char *)g[i].file);
    return failed;
}
