/* docs/explain.md, from the tables. */
#include <string.h>

#include "compiler/driver/explain_internal.h"

static const struct {
    const char *object, *key, *type, *doc;
} keys[] = {
#define EXPLAIN_KEY(object, key, type, doc) {#object, #key, #type, doc},
#include "compiler/driver/explain.def"
};

static void rows(const struct fuse_row *row, unsigned n, FILE *out)
{
    for (unsigned i = 0; i < n; i++) {
        fprintf(out, "| `%s` | %s |", row[i].word, row[i].sentence);
        if (row[i].change)
            fprintf(out, " %s |", row[i].change);
        fputc('\n', out);
    }
}

static void json_keys(FILE *out)
{
    const char *object = "";
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(object, keys[i].object) != 0)
            fprintf(out, "\nA %s:\n\n| key | type | |\n|---|---|---|\n", keys[i].object);
        object = keys[i].object;
        fprintf(out, "| `%s` | %s | %s |\n", keys[i].key, keys[i].type, keys[i].doc);
    }
}

void explain_manual(FILE *out)
{
    fputs(
        "# What the compiler decided\n\n"
        "Made by `hypno doc` from `compiler/ir/fuse.def` and "
        "`compiler/driver/explain.def`.\n\n"
        "`hypno explain MODEL` prints what each phase costs by the cost model, what fusing "
        "saved,\n"
        "and what it refused; `hypno explain MODEL NODE` all about one node, network, "
        "weight or\n"
        "phase; `--json` the whole log as one document.  Fusing never changes a result.\n\n"
        "## What is fused\n\n| kind | |\n|---|---|\n",
        out);
    rows(fuse_kind_row, FUSE_KIND_COUNT, out);
    fputs("\n## Why it is refused\n\n| word | what stands in the way | what would change "
          "it |\n"
          "|---|---|---|\n",
          out);
    rows(fuse_why_row + 1, FUSE_WHY_COUNT - 1, out);
    fputs("\n## `--json`\n\nThe keys stay what they are; new ones may be added.\n", out);
    json_keys(out);
}
