/*
 * CSV (RFC 4180): a header line, then one sample a line; each column is one f32 field, and
 * the column `label` is i32.  A cell may be quoted, a quote inside is doubled; lines end in
 * LF or CRLF.  Letters that cannot stand in a name become `_`.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/data_impl.h"

enum { CSV_MAX_COLUMNS = 4096 };

struct reader {
    const uint8_t *p;
    size_t n, at;
    uint32_t line;
    const char *file;
    struct hyp_error *err;
    char cell[256]; /* the last one read, unquoted */
    size_t ncell, cell_at;
    bool last; /* it ended its line */
};

static enum hyp_status push(struct reader *r, uint8_t byte)
{
    if (r->ncell + 1 >= sizeof r->cell)
        return hyp_fail(r->err, HYP_EFORMAT,
                        "%s: line %u, offset %zu: a cell of more than %zu "
                        "bytes",
                        r->file, r->line, r->cell_at, sizeof r->cell - 2);
    r->cell[r->ncell++] = (char)byte;
    return HYP_OK;
}

static enum hyp_status read_quoted(struct reader *r)
{
    for (r->at++; r->at < r->n; r->at++) {
        if (r->p[r->at] == '"') {
            if (r->at + 1 >= r->n || r->p[r->at + 1] != '"') {
                r->at++;
                return HYP_OK;
            }
            r->at++;
        }
        r->line += r->p[r->at] == '\n';
        if (push(r, r->p[r->at]))
            return HYP_EFORMAT;
    }
    return hyp_fail(r->err, HYP_EFORMAT,
                    "%s: line %u, offset %zu: this quote is never closed", r->file, r->line,
                    r->cell_at);
}

/* Past the separator after a cell; says whether the line ended. */
static enum hyp_status end_cell(struct reader *r)
{
    r->cell[r->ncell] = 0;
    r->last = true;
    if (r->at >= r->n)
        return HYP_OK;
    if (r->p[r->at] == '\r' && r->at + 1 < r->n && r->p[r->at + 1] == '\n')
        r->at++;
    if (r->p[r->at] != ',' && r->p[r->at] != '\n')
        return hyp_fail(r->err, HYP_EFORMAT,
                        "%s: line %u, offset %zu: expected `,` or the end "
                        "of the line after a quoted cell",
                        r->file, r->line, r->at);
    r->last = r->p[r->at] == '\n';
    r->at++;
    return HYP_OK;
}

static enum hyp_status read_cell(struct reader *r)
{
    r->ncell = 0;
    r->cell_at = r->at;
    if (r->at < r->n && r->p[r->at] == '"') {
        if (read_quoted(r))
            return HYP_EFORMAT;
        return end_cell(r);
    }
    while (r->at < r->n && r->p[r->at] != ',' && r->p[r->at] != '\n') {
        if (r->p[r->at] == '\r' && r->at + 1 < r->n && r->p[r->at + 1] == '\n')
            break;
        if (push(r, r->p[r->at]))
            return HYP_EFORMAT;
        r->at++;
    }
    return end_cell(r);
}

/* ---- header ---- */

static enum hyp_status column_name(const struct reader *r, char out[DATA_NAME_SIZE])
{
    size_t n = r->ncell;
    const char *s = r->cell;

    while (n && *s == ' ')
        s++, n--;
    while (n && s[n - 1] == ' ')
        n--;
    if (n == 0 || n >= DATA_NAME_SIZE || memchr(s, 0, n))
        return hyp_fail(r->err, HYP_EFORMAT,
                        "%s: line 1, offset %zu: expected the name of a "
                        "column (at most %d letters)",
                        r->file, r->cell_at, DATA_NAME_SIZE - 1);
    for (size_t i = 0; i < n; i++) {
        const char c = s[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        out[i] = letter || (i > 0 && c >= '0' && c <= '9') ? c : '_';
    }
    out[n] = 0;
    return HYP_OK;
}

static enum hyp_status add_column(struct reader *r, struct csv_table *t, uint32_t *cap)
{
    if (t->ncolumn == CSV_MAX_COLUMNS)
        return hyp_fail(r->err, HYP_EFORMAT, "%s: line 1: more than %d columns", r->file,
                        CSV_MAX_COLUMNS);
    if (t->ncolumn == *cap) {
        *cap = *cap ? *cap * 2 : 16;
        void *more = hyp_realloc(t->name, *cap * sizeof *t->name);
        if (!more)
            return hyp_fail(r->err, HYP_ENOMEM, "out of memory for the columns of %s",
                            r->file);
        t->name = more;
    }
    enum hyp_status st = read_cell(r);
    if (!st)
        st = column_name(r, t->name[t->ncolumn]);
    for (uint32_t i = 0; !st && i < t->ncolumn; i++)
        if (strcmp(t->name[i], t->name[t->ncolumn]) == 0)
            st = hyp_fail(r->err, HYP_EFORMAT,
                          "%s: line 1, offset %zu: two columns are called `%s`", r->file,
                          r->cell_at, t->name[i]);
    t->ncolumn += !st;
    return st;
}

static enum hyp_status read_header(struct reader *r, struct csv_table *t)
{
    uint32_t cap = 0;
    do {
        const enum hyp_status st = add_column(r, t, &cap);
        if (st)
            return st;
    } while (!r->last);
    r->line = 2;
    return HYP_OK;
}

/* ---- rows ---- */

static bool blank_line(const struct reader *r)
{
    return r->p[r->at] == '\n' ||
           (r->p[r->at] == '\r' && r->at + 1 < r->n && r->p[r->at + 1] == '\n');
}

static void skip_blank(struct reader *r)
{
    while (r->at < r->n && blank_line(r)) {
        r->at += r->p[r->at] == '\n' ? 1 : 2;
        r->line++;
    }
}

static enum hyp_status read_value(const struct reader *r, const char *column, float *out)
{
    char *end = NULL;
    *out = strtof(r->cell, &end);
    while (*end == ' ')
        end++;
    if (end == r->cell || *end || (size_t)(end - r->cell) != r->ncell || !isfinite(*out))
        return hyp_fail(r->err, HYP_EFORMAT,
                        "%s: line %u, offset %zu, column `%s`: expected a "
                        "number, found `%.40s`",
                        r->file, r->line, r->cell_at, column, r->cell);
    return HYP_OK;
}

static enum hyp_status read_row(struct reader *r, const struct csv_table *t, float *row)
{
    for (uint32_t c = 0; c < t->ncolumn; c++) {
        if (read_cell(r) || read_value(r, t->name[c], &row[c]))
            return HYP_EFORMAT;
        if (r->last != (c + 1 == t->ncolumn))
            return hyp_fail(r->err, HYP_EFORMAT,
                            "%s: line %u: expected %u cells, found %s %u", r->file, r->line,
                            t->ncolumn, r->last ? "only" : "more than",
                            r->last ? c + 1 : t->ncolumn);
    }
    r->line++;
    return HYP_OK;
}

/* Rows as they come, then turned so that a column is together. */
static enum hyp_status read_rows(struct reader *r, struct csv_table *t)
{
    const size_t nc = t->ncolumn;
    size_t cap = 0;
    float *rows = NULL;
    enum hyp_status st = HYP_OK;

    for (skip_blank(r); !st && r->at < r->n; skip_blank(r)) {
        if (t->nrow == cap) {
            cap = cap ? cap * 2 : 64;
            float *more = hyp_realloc(rows, cap * nc * sizeof *rows);
            st = more ? HYP_OK
                      : hyp_fail(r->err, HYP_ENOMEM, "out of memory for %s", r->file);
            rows = more ? more : rows;
        }
        if (!st)
            st = read_row(r, t, rows + t->nrow * nc);
        t->nrow += !st;
    }
    if (!st && t->nrow == 0)
        st = hyp_fail(r->err, HYP_EFORMAT, "%s: no line after the header", r->file);
    if (!st) {
        t->value = hyp_malloc(t->nrow * nc * sizeof *t->value);
        if (!t->value)
            st = hyp_fail(r->err, HYP_ENOMEM, "out of memory for %s", r->file);
    }
    for (size_t i = 0; !st && rows && i < t->nrow * nc; i++)
        t->value[i % nc * t->nrow + i / nc] = rows[i];
    hyp_free(rows);
    return st;
}

enum hyp_status csv_parse(const uint8_t *bytes, size_t n, const char *file,
                          bool header_only, struct csv_table *out, struct hyp_error *err)
{
    struct reader r = {.p = bytes, .n = n, .line = 1, .file = file, .err = err};
    enum hyp_status st;

    memset(out, 0, sizeof *out);
    if (n >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0)
        r.at = 3;
    st = read_header(&r, out);
    if (!st && !header_only)
        st = read_rows(&r, out);
    if (st)
        csv_fini(out);
    return st;
}

void csv_fini(struct csv_table *t)
{
    hyp_free(t->name);
    hyp_free(t->value);
    memset(t, 0, sizeof *t);
}

/* ---- the source ---- */

static enum hyp_status load_table(const struct data_where *w, bool header_only,
                                  struct csv_table *out, struct hyp_error *err)
{
    char path[DATA_PATH_SIZE];
    uint8_t *bytes = NULL;
    size_t n = 0;
    enum hyp_status st = HYP_OK;

    if (!w->desc->file)
        return hyp_fail(err, HYP_EARG, "`%s`: source csv needs `file`", w->desc->name);
    if (w->desc->split && !w->desc->npart)
        return hyp_fail(err, HYP_EARG,
                        "`%s`: a table has no split `%s`; cut it with `parts`",
                        w->desc->name, w->desc->split);
    st = data_find(w, w->desc->file, path, err);
    if (!st)
        st = file_read_packed(path, DATA_FILE_LIMIT, &bytes, &n, err);
    if (!st)
        st = csv_parse(bytes, n, path, header_only, out, err);
    hyp_free(bytes);
    return st;
}

static bool is_label(const char *name)
{
    return strcmp(name, "label") == 0;
}

static enum hyp_status add_columns(const struct csv_table *t, struct data_info *out,
                                   struct hyp_error *err)
{
    enum hyp_status st = HYP_OK;
    for (uint32_t c = 0; !st && c < t->ncolumn; c++)
        st = data_add_field(out, t->name[c], is_label(t->name[c]) ? DATA_I32 : DATA_F32,
                            false, NULL, err);
    return st;
}

static enum hyp_status take_labels(const struct data_where *w, const float *value,
                                   uint32_t n, int32_t *out, struct hyp_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!(fabsf(value[i]) <= 0x1p24F) || floorf(value[i]) != value[i])
            return hyp_fail(err, HYP_EFORMAT,
                            "%s: sample %u: expected a whole number in column "
                            "`label`, found %g",
                            w->desc->file, i, (double)value[i]);
        out[i] = (int32_t)value[i];
    }
    return HYP_OK;
}

enum hyp_status csv_fields(const struct data_where *w, struct data_info *out,
                           struct hyp_error *err)
{
    struct csv_table t = {0};
    enum hyp_status st = load_table(w, true, &t, err);
    if (!st)
        st = add_columns(&t, out, err);
    csv_fini(&t);
    return st;
}

enum hyp_status csv_open(const struct data_where *w, struct data_set *out,
                         struct hyp_error *err)
{
    struct csv_table t = {0};
    enum hyp_status st = load_table(w, false, &t, err);

    if (!st)
        st = add_columns(&t, &out->info, err);
    if (!st)
        st = data_add_columns(out, err);
    out->n = t.nrow;
    for (uint32_t c = 0; !st && c < t.ncolumn; c++) {
        const float *value = t.value + (size_t)c * t.nrow;
        const bool label = is_label(t.name[c]);
        st = data_room(out, c, label ? STORE_I32 : STORE_F32, t.nrow, err);
        if (!st && label)
            st = take_labels(w, value, t.nrow, out->column[c].values, err);
        else if (!st)
            memcpy(out->column[c].values, value, t.nrow * sizeof *value);
    }
    csv_fini(&t);
    return st;
}
