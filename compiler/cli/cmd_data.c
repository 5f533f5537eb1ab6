/* hypno data: checks a source's files, prints counts, shapes and classes, draws a sheet. */
#include <stdlib.h>
#include <string.h>

#include "compiler/cli/open.h"
#include "runtime/base/alloc.h"
#include "runtime/data.h"
#include "runtime/image.h"

enum { SHEET = 100 };

static bool known_kind(const char *kind)
{
    const char *names[64];
    unsigned n = 0;
    for (unsigned i = 0; i < data_nkind; i++) {
        if (strcmp(data_kinds[i].name, kind) == 0)
            return true;
        if (n < 64 && data_kinds[i].built)
            names[n++] = data_kinds[i].name;
    }
    cli_error("no source `%s`", kind);
    const char *near = diag_nearest(kind, names, n);
    if (near)
        cli_hint("did you mean `%s`?", near);
    fputs("sources:\n", stderr);
    for (unsigned i = 0; i < data_nkind; i++)
        fprintf(stderr, "  %-14s %s%s\n", data_kinds[i].name, data_kinds[i].doc,
                data_kinds[i].built ? "" : " (not built yet)");
    return false;
}

static void print_fields(const struct data_src *s)
{
    const struct data_info *info = data_fields(s);
    for (uint32_t i = 0; i < info->nfield; i++) {
        const struct data_field *f = &info->field[i];
        printf("  %-12s %s", f->name, f->dtype == DATA_I32 ? "i32" : "f32");
        for (uint32_t k = 0; k < f->rank; k++)
            printf("%s%u", k ? ", " : "[", f->dim[k]);
        puts(f->rank ? "] per sample" : " per sample");
    }
}

static bool print_classes(const struct data_src *s)
{
    const uint32_t classes = data_classes(s), n = data_count(s);
    const int field = data_field_find(data_fields(s), "label");
    if (!classes || field < 0)
        return true;
    int32_t *label = hyp_malloc(sizeof *label * n);
    uint32_t *count = hyp_calloc(classes, sizeof *count);
    if (label && count) {
        data_batch(s, (unsigned)field, 0, n, label);
        for (uint32_t i = 0; i < n; i++)
            if (label[i] >= 0 && (uint32_t)label[i] < classes)
                count[label[i]]++;
        printf("  %u classes:", classes);
        for (uint32_t c = 0; c < classes; c++) {
            const char *name = data_class_name(s, c);
            printf(name ? " %s" : "%s", name ? name : "");
            printf(name ? ": %u" : " %u", count[c]);
        }
        putchar('\n');
    }
    const bool ok = label && count;
    hyp_free(label);
    hyp_free(count);
    return ok;
}

static int draw(const struct data_src *s, const char *path)
{
    const struct data_info *info = data_fields(s);
    struct hyp_error err = {0};
    uint32_t f = 0;
    while (f < info->nfield && !info->field[f].image)
        f++;
    if (f == info->nfield)
        return cli_error("this source has no images to draw");
    const struct data_field *d = &info->field[f];
    const uint32_t n = data_count(s) < SHEET ? data_count(s) : SHEET;
    float *values = hyp_malloc(data_field_size(d) * (n + 1) * sizeof *values);
    if (!values)
        return cli_error("out of memory");
    data_batch(s, f, 0, n, values);
    const struct image_sheet sheet = {.values = values,
                                      .n = n,
                                      .channels = d->dim[0],
                                      .height = d->dim[1],
                                      .width = d->dim[2],
                                      .high = 1};
    const enum hyp_status status = image_sheet_write(path, &sheet, &err);
    hyp_free(values);
    if (status != HYP_OK)
        return cli_error("%s", err.text);
    printf("the first %u: %s\n", n, path);
    return EXIT_FINE;
}

int cmd_data(const struct args *a)
{
    struct hyp_source_desc d;
    struct hyp_error err = {0};
    struct data_dirs dirs;
    struct data_src *s = NULL;
    int status = EXIT_FINE;

    if (!known_kind(a->positional[0]))
        return EXIT_MISTAKE;
    hyp_source_defaults(&d);
    d.name = d.kind = a->positional[0];
    d.split = args_text(a, OPT_split, NULL);
    d.file = args_text(a, OPT_file, NULL);
    data_dirs_init(&dirs, a);
    const enum hyp_status got = data_open(&d, dirs.dir, dirs.n, NULL, &s, &err);
    if (got != HYP_OK) {
        status = open_runtime_error(NULL, got, &err);
    } else {
        const char *note = data_note(s);
        printf("%s: %u samples%s%s%s\n", d.kind, data_count(s), *note ? " (" : "", note,
               *note ? ")" : "");
        print_fields(s);
        if (!print_classes(s))
            status = cli_error("out of memory");
        else if (a->option[OPT_output].given)
            status = draw(s, a->option[OPT_output].text);
    }
    data_close(s);
    data_dirs_fini(&dirs);
    return status;
}
