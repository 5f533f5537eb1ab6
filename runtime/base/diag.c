/* Collecting diagnostics.  Everything is copied into the sink's arena; see diag_print.c. */
#include "runtime/base/diag.h"

#include <stdarg.h>
#include <string.h>

#include "runtime/base/arena.h"
#include "runtime/base/diag_internal.h"

static const struct diag_info info[DIAG_COUNT] = {
#define DIAG(code, severity, text, help) {#code, text, help, severity},
#include "runtime/base/diag.def"
#undef DIAG
};

const struct diag_info *diag_code_info(enum diag_code code)
{
    return &info[(unsigned)code < DIAG_COUNT ? code : E9999];
}

const char *diag_code_name(enum diag_code code)
{
    return diag_code_info(code)->name;
}

const char *diag_code_text(enum diag_code code)
{
    return diag_code_info(code)->text;
}

const char *diag_code_help(enum diag_code code)
{
    return diag_code_info(code)->help;
}

bool diag_code_find(const char *name, enum diag_code *out)
{
    for (unsigned i = 0; i < DIAG_COUNT; i++) {
        if (strcmp(info[i].name, name) == 0) {
            *out = (enum diag_code)i;
            return true;
        }
    }
    return false;
}

struct diag_sink *diag_sink_new(struct arena *a, unsigned limit)
{
    struct diag_sink *ds = arena_alloc(a, sizeof *ds);
    ds->arena = a;
    ds->limit = limit;
    return ds;
}

uint32_t diag_file(struct diag_sink *ds, const char *name, const char *text, size_t nbytes)
{
    ds->file =
        arena_grow(ds->arena, ds->file, &ds->file_cap, ds->nfile + 1, sizeof *ds->file);
    ds->file[ds->nfile++] = (struct diag_source){
        arena_str(ds->arena, name), arena_strn(ds->arena, text, nbytes), nbytes};
    return ds->nfile;
}

const char *diag_file_name(const struct diag_sink *ds, uint32_t file)
{
    return file >= 1 && file <= ds->nfile ? ds->file[file - 1].name : NULL;
}

void diag(struct diag_sink *ds, enum diag_code code, struct loc loc, const char *fmt, ...)
{
    ds->last = NULL;
    if (diag_code_info(code)->severity != DIAG_WARNING)
        ds->nerror++;
    if (ds->nreport >= ds->limit) {
        ds->dropped++;
        return;
    }
    struct diag_report *r = arena_alloc(ds->arena, sizeof *r);
    va_list ap;
    va_start(ap, fmt);
    r->code = code;
    r->loc = loc;
    r->text = arena_vfmt(ds->arena, fmt, ap);
    r->last_note = &r->note;
    r->last_hint = &r->hint;
    va_end(ap);
    ds->report =
        arena_grow(ds->arena, ds->report, &ds->cap, ds->nreport + 1, sizeof *ds->report);
    ds->report[ds->nreport++] = r;
    ds->last = r;
}

static struct diag_remark *remark(struct diag_sink *ds, struct loc loc, const char *fmt,
                                  va_list ap)
{
    struct diag_remark *m = arena_alloc(ds->arena, sizeof *m);
    m->loc = loc;
    m->text = arena_vfmt(ds->arena, fmt, ap);
    return m;
}

void diag_note(struct diag_sink *ds, struct loc loc, const char *fmt, ...)
{
    if (!ds->last)
        return;
    va_list ap;
    va_start(ap, fmt);
    struct diag_remark *m = remark(ds, loc, fmt, ap);
    va_end(ap);
    *ds->last->last_note = m;
    ds->last->last_note = &m->next;
}

void diag_hint(struct diag_sink *ds, const char *fmt, ...)
{
    if (!ds->last)
        return;
    va_list ap;
    va_start(ap, fmt);
    struct diag_remark *m = remark(ds, (struct loc){0}, fmt, ap);
    va_end(ap);
    *ds->last->last_hint = m;
    ds->last->last_hint = &m->next;
}

struct loc diag_place(const struct diag_sink *ds)
{
    return ds->last ? ds->last->loc : (struct loc){0};
}

unsigned diag_errors(const struct diag_sink *ds)
{
    return ds->nerror;
}

unsigned diag_count(const struct diag_sink *ds)
{
    return ds->nreport + ds->dropped;
}

struct diag_mark diag_mark(const struct diag_sink *ds)
{
    return (struct diag_mark){ds->nreport, ds->nerror, ds->dropped};
}

void diag_rewind(struct diag_sink *ds, struct diag_mark mark)
{
    ds->nreport = mark.nreport;
    ds->nerror = mark.nerror;
    ds->dropped = mark.dropped;
    ds->last = NULL; /* a late note is forgotten with its report */
}

/* Optimal string alignment: insert, delete, replace, swap neighbours.  Names are short. */
enum { LONGEST_NAME = 63 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
    unsigned d[3][LONGEST_NAME + 1]; /* rows i-2, i-1, i, by i mod 3 */
    for (size_t j = 0; j <= nb; j++)
        d[0][j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned *now = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            const unsigned cost = a[i - 1] != b[j - 1];
            now[j] = least(least(up[j] + 1, now[j - 1] + 1), up[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], up2[j - 2] + 1);
        }
    }
    return d[na % 3][nb];
}

const char *diag_nearest(const char *word, const char *const *names, unsigned n)
{
    const size_t nw = strlen(word);
    const char *best = NULL;
    unsigned best_distance = 0;
    if (nw > LONGEST_NAME)
        return NULL;
    for (unsigned i = 0; i < n; i++) {
        const size_t ni = strlen(names[i]);
        if (ni > LONGEST_NAME)
            continue;
        const unsigned d = distance(word, nw, names[i], ni);
        if (d * 3 > (nw > ni ? nw : ni))
            continue;
        if (!best || d < best_distance) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}
