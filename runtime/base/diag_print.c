/*
 * Showing diagnostics:
 *
 *     model.yaml:7:12: error[E0301]: shapes [512] and [64] do not fit
 *       mean: a + b
 *             ^~~~~
 *     model.yaml:3:5: note: b comes from here
 *     hint: reshape one of them
 *
 * Columns count code points.  The source line is untrusted: control characters (tabs too)
 * are shown as one space and broken UTF-8 as '?', which also keeps the caret in step.  Of a
 * long line a window is shown.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/arena.h"
#include "runtime/base/diag.h"
#include "runtime/base/diag_internal.h"

enum { SHOWN = 160, BEFORE = 60 }; /* code points of a line; of them, left of the caret */

struct line {
    const char *text;
    size_t nbytes;
};

static struct line find_line(const struct diag_source *s, uint32_t number)
{
    const char *p = s->text, *end = s->text + s->nbytes;
    for (uint32_t i = 1; i < number; i++) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (!p)
            return (struct line){0};
        p++;
    }
    const char *stop = memchr(p, '\n', (size_t)(end - p));
    size_t n = (size_t)((stop ? stop : end) - p);
    if (n > 0 && p[n - 1] == '\r')
        n--;
    return (struct line){p, n};
}

/* Bytes of the well-formed code point at p, or 0. */
static size_t code_point(const char *p, size_t n)
{
    const unsigned char c = (unsigned char)p[0];
    const size_t len = c < 0x80                ? 1
                       : c >= 0xC2 && c < 0xE0 ? 2
                       : c >= 0xE0 && c < 0xF0 ? 3
                       : c >= 0xF0 && c < 0xF5 ? 4
                                               : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if (((unsigned char)p[i] & 0xC0) != 0x80)
            return 0;
    return len;
}

static struct line skip(struct line l, uint32_t code_points)
{
    for (; code_points && l.nbytes; code_points--) {
        const size_t n = code_point(l.text, l.nbytes);
        l.text += n ? n : 1;
        l.nbytes -= n ? n : 1;
    }
    return l;
}

/* At most SHOWN code points; returns their number. */
static uint32_t print_line(struct line l, FILE *out)
{
    uint32_t shown = 0;
    for (; shown < SHOWN && l.nbytes; shown++) {
        const size_t n = code_point(l.text, l.nbytes);
        if (n == 0)
            fputc('?', out);
        else if (n == 1 && ((unsigned char)l.text[0] < 0x20 || l.text[0] == 0x7F))
            fputc(' ', out);
        else
            fwrite(l.text, 1, n, out);
        l = skip(l, 1);
    }
    fputs(l.nbytes ? "...\n" : "\n", out);
    return shown;
}

static void print_excerpt(const struct diag_sink *ds, struct loc loc, FILE *out,
                          bool colour)
{
    if (loc.file < 1 || loc.file > ds->nfile || loc.line == 0)
        return;
    const struct line l = find_line(&ds->file[loc.file - 1], loc.line);
    if (!l.text)
        return;
    const uint32_t left = loc.col > SHOWN ? loc.col - BEFORE : 0; /* not shown */
    const uint32_t col = loc.col - left;
    fputs(left ? "  ..." : "  ", out);
    const uint32_t shown = print_line(skip(l, left), out);
    if (col == 0 || col > shown + 1) /* one past the end: something is missing there */
        return;
    uint32_t len = loc.len ? loc.len : 1;
    if (len > shown + 1 - col)
        len = shown + 1 - col;
    fprintf(out, "%s%*s%s^", left ? "     " : "  ", (int)(col - 1), "",
            colour ? "\033[32m" : "");
    for (uint32_t i = 1; i < len; i++)
        fputc('~', out);
    fputs(colour ? "\033[0m\n" : "\n", out);
}

static void print_place(const struct diag_sink *ds, struct loc loc, FILE *out)
{
    const char *name = diag_file_name(ds, loc.file);
    if (name && loc.line)
        fprintf(out, "%s:%u:%u: ", name, loc.line, loc.col);
    else if (name)
        fprintf(out, "%s: ", name);
}

static void print_report(const struct diag_sink *ds, const struct diag_report *r, FILE *out,
                         bool colour)
{
    const struct diag_info *info = diag_code_info(r->code);
    const bool warning = info->severity == DIAG_WARNING;
    const char *on = !colour ? "" : warning ? "\033[1;35m" : "\033[1;31m";
    const char *off = colour ? "\033[0m" : "";
    print_place(ds, r->loc, out);
    fprintf(out, "%s%s[%s]:%s %s\n", on, warning ? "warning" : "error", info->name, off,
            r->text);
    print_excerpt(ds, r->loc, out, colour);
    for (const struct diag_remark *m = r->note; m; m = m->next) {
        print_place(ds, m->loc, out);
        fprintf(out, "note: %s\n", m->text);
        print_excerpt(ds, m->loc, out, colour);
    }
    for (const struct diag_remark *m = r->hint; m; m = m->next)
        fprintf(out, "hint: %s\n", m->text);
}

struct order {
    const struct diag_report *report;
    unsigned index;
};

static int by_place(const void *x, const void *y)
{
    const struct order *a = x, *b = y;
    const struct loc *p = &a->report->loc, *q = &b->report->loc;
    if (p->file != q->file)
        return p->file < q->file ? -1 : 1;
    if (p->line != q->line)
        return p->line < q->line ? -1 : 1;
    if (p->col != q->col)
        return p->col < q->col ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static struct order *sorted(const struct diag_sink *ds)
{
    struct order *o = arena_array(ds->arena, ds->nreport + 1, sizeof *o);
    for (unsigned i = 0; i < ds->nreport; i++)
        o[i] = (struct order){ds->report[i], i};
    qsort(o, ds->nreport, sizeof *o, by_place);
    return o;
}

/* One function called three times makes the same mistake three times: it is said once. */
static bool same(const struct diag_report *a, const struct diag_report *b)
{
    return a->code == b->code && a->loc.file && a->loc.file == b->loc.file &&
           a->loc.line == b->loc.line && a->loc.col == b->loc.col &&
           strcmp(a->text, b->text) == 0;
}

unsigned diag_print(const struct diag_sink *ds, FILE *out, bool colour)
{
    const struct order *o = sorted(ds);
    unsigned errors = 0;
    for (unsigned i = 0; i < ds->nreport; i++) {
        const struct diag_report *r = o[i].report;
        if (i && same(r, o[i - 1].report))
            continue;
        print_report(ds, r, out, colour);
        if (diag_code_info(r->code)->severity != DIAG_WARNING)
            errors++;
    }
    if (ds->dropped)
        fprintf(out, "%u more not shown\n", ds->dropped);
    return errors + ds->dropped;
}

void diag_print_brief(const struct diag_sink *ds, FILE *out)
{
    const struct order *o = sorted(ds);
    for (unsigned i = 0; i < ds->nreport; i++) {
        const struct loc *l = &o[i].report->loc;
        fprintf(out, "%s@%u:%u\n", diag_code_name(o[i].report->code), l->line, l->col);
    }
}
