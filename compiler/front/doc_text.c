/*
 * From the bytes of a file to scalars that know where each of their bytes stands.
 *
 * libyaml tells where a scalar begins and ends, not how its text came about.  So text and
 * file are walked side by side: a byte that is no white space stands at the next place of
 * the file that is none; escapes and doubled quotes are stepped over as the scalar's style
 * says.  A mark is set wherever counting on from the mark before would give another place.
 */
#include <string.h>

#include "compiler/front/doc_internal.h"
#include "runtime/base/arena.h"

enum { LARGEST_FILE = 4 << 20 };

static uint32_t decode(const unsigned char *s, uint32_t n, uint32_t *len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    *len = s[0] < 0x80   ? 1
           : s[0] < 0xC2 ? 0
           : s[0] < 0xE0 ? 2
           : s[0] < 0xF0 ? 3
           : s[0] < 0xF5 ? 4
                         : 0;
    if (*len <= 1)
        return *len ? s[0] : UINT32_MAX;
    if (*len > n)
        return UINT32_MAX;
    uint32_t c = s[0] & (0x7Fu >> *len);
    for (uint32_t i = 1; i < *len; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return UINT32_MAX;
        c = c << 6 | (s[i] & 0x3F);
    }
    return c < least[*len] ? UINT32_MAX : c;
}

/* What is wrong with this character in a model file; NULL: nothing. */
static const char *refusal(uint32_t c)
{
    if (c == UINT32_MAX || (c >= 0xD800 && c < 0xE000) || c > 0x10FFFF)
        return "these bytes are not UTF-8";
    if (c == '\r' || c == 0x85 || c == 0x2028 || c == 0x2029)
        return "lines end with LF or CRLF, not with this character";
    if ((c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7F && c < 0xA0) || c == 0xFEFF ||
        c == 0xFFFE || c == 0xFFFF)
        return "control characters are not allowed";
    return NULL;
}

/* Copy into `to`, checking; returns the length or UINT32_MAX. */
static uint32_t take_text(struct diag_sink *ds, uint32_t file, const char *text, uint32_t n,
                          char *to)
{
    struct loc at = {file, 1, 1, 1};
    uint32_t out = 0;
    for (uint32_t i = 0; i < n;) {
        uint32_t len, c = decode((const unsigned char *)text + i, n - i, &len);
        if (c == '\r' && i + 1 < n && text[i + 1] == '\n') {
            i++;
            continue;
        }
        const char *why = refusal(c);
        if (why) {
            diag(ds, E0101, at, "not YAML: %s", why);
            return UINT32_MAX;
        }
        memcpy(to + out, text + i, len);
        out += len;
        i += len;
        at.col++;
        if (c == '\n') {
            at.line++;
            at.col = 1;
        }
    }
    to[out] = 0;
    return out;
}

bool doc_source_open(struct arena *a, struct diag_sink *ds, uint32_t file, const char *text,
                     size_t nbytes, struct doc_source *out)
{
    if (nbytes > LARGEST_FILE) {
        diag(ds, E0902, (struct loc){file, 0, 0, 0},
             "limit exceeded: a file has at most 4 MiB, this one has %zu bytes", nbytes);
        return false;
    }
    if (nbytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        nbytes -= 3;
    }
    char *copy = arena_alloc(a, nbytes + 1);
    const uint32_t n = take_text(ds, file, text, (uint32_t)nbytes, copy);
    if (n == UINT32_MAX)
        return false;
    uint32_t lines = 1;
    for (uint32_t i = 0; i < n; i++)
        lines += copy[i] == '\n';
    uint32_t *line = arena_array(a, lines + 1, sizeof *line);
    for (uint32_t i = 0, k = 1; i < n; i++)
        if (copy[i] == '\n')
            line[k++] = i + 1;
    line[lines] = n;
    *out = (struct doc_source){copy, n, line, lines, file, NULL};
    out->last = arena_alloc(a, sizeof *out->last);
    return true;
}

static bool begins(char c)
{
    return ((unsigned char)c & 0xC0) != 0x80;
}

uint32_t doc_source_offset(const struct doc_source *s, const yaml_mark_t *mark)
{
    if (mark->line >= s->nline)
        return s->n;
    if (s->last->line != mark->line || s->last->column > mark->column) {
        s->last->line = mark->line;
        s->last->column = 0;
        s->last->at = s->line[mark->line];
    }
    uint32_t i = s->last->at;
    for (; i < s->n && s->last->column < mark->column && s->text[i] != '\n';
         s->last->column++)
        for (i++; i < s->n && !begins(s->text[i]); i++)
            ;
    s->last->at = i;
    return i;
}

struct loc doc_source_loc(const struct doc_source *s, const yaml_mark_t *from,
                          const yaml_mark_t *to)
{
    struct loc l = {s->file, (uint32_t)from->line + 1, (uint32_t)from->column + 1, 1};
    if (to->line == from->line && to->column > from->column) {
        l.len = (uint32_t)(to->column - from->column);
    } else if (to->line > from->line) { /* to the end of its first line */
        l.len = 0;
        for (uint32_t i = doc_source_offset(s, from); i < s->n && s->text[i] != '\n'; i++)
            l.len += begins(s->text[i]);
    }
    return l;
}

/* A place in the file that moves on byte by byte. */
struct walk {
    const struct doc_source *s;
    uint32_t at, line, col;
};

static void step(struct walk *w)
{
    if (w->at >= w->s->n)
        return;
    if (w->s->text[w->at] == '\n') {
        w->line++;
        w->col = 1;
    } else if (w->at + 1 >= w->s->n || begins(w->s->text[w->at + 1])) {
        w->col++;
    }
    w->at++;
}

static char look(const struct walk *w, uint32_t ahead)
{
    return w->at + ahead < w->s->n ? w->s->text[w->at + ahead] : 0;
}

static bool white(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

/* Where the next byte `c` of the text stands. In quotes a backslash may hide the line's
 * end. */
static void find(struct walk *w, char c, yaml_scalar_style_t style)
{
    if (white(c) && look(w, 0) == c)
        return;
    while (w->at < w->s->n) {
        if (style == YAML_DOUBLE_QUOTED_SCALAR_STYLE && look(w, 0) == '\\' &&
            look(w, 1) == '\n')
            step(w);
        else if (!white(look(w, 0)) || white(c))
            return;
        step(w);
    }
}

/* Step over what byte i of the text was written as; returns how many bytes of text that
 * gave. */
static uint32_t pass(struct walk *w, const char *text, uint32_t i, uint32_t n,
                     yaml_scalar_style_t style)
{
    uint32_t len = 1, written = 1;
    if (style == YAML_DOUBLE_QUOTED_SCALAR_STYLE && look(w, 0) == '\\') {
        const char c = look(w, 1);
        written = c == 'x' ? 4 : c == 'u' ? 6 : c == 'U' ? 10 : 2;
        while (i + len < n && !begins(text[i + len]))
            len++;
    } else if (style == YAML_SINGLE_QUOTED_SCALAR_STYLE && look(w, 0) == '\'') {
        written = 2;
    } else if (white(text[i]) && look(w, 0) != text[i]) {
        written = 0; /* made by folding: the file has a line's end here, passed later */
    }
    while (written-- > 0)
        step(w);
    return len;
}

static void add_mark(struct arena *a, struct doc_text *t, uint32_t *cap, uint32_t offset,
                     const struct walk *w)
{
    t->mark = arena_grow(a, t->mark, cap, t->nmark + 1, sizeof *t->mark);
    t->mark[t->nmark++] = (struct doc_mark){offset, w->line, w->col};
}

static struct walk start_of(const struct doc_source *s, const yaml_event_t *e)
{
    struct walk w = {s, doc_source_offset(s, &e->start_mark),
                     (uint32_t)e->start_mark.line + 1, (uint32_t)e->start_mark.column + 1};
    switch (e->data.scalar.style) {
    case YAML_SINGLE_QUOTED_SCALAR_STYLE:
    case YAML_DOUBLE_QUOTED_SCALAR_STYLE:
        step(&w);
        break;
    case YAML_LITERAL_SCALAR_STYLE:
    case YAML_FOLDED_SCALAR_STYLE: /* the header line: `|2-  # comment` */
        while (w.at < s->n && look(&w, 0) != '\n')
            step(&w);
        step(&w);
        break;
    case YAML_ANY_SCALAR_STYLE:
    case YAML_PLAIN_SCALAR_STYLE:
    default:
        break;
    }
    return w;
}

struct doc_text doc_source_text(struct arena *a, const struct doc_source *s,
                                const yaml_event_t *scalar)
{
    const uint32_t n = (uint32_t)scalar->data.scalar.length;
    const yaml_scalar_style_t style = scalar->data.scalar.style;
    struct doc_text t = {arena_strn(a, (const char *)scalar->data.scalar.value, n), n, NULL,
                         0, s->file};
    struct walk w = start_of(s, scalar);
    uint32_t cap = 0, line = 0, col = 0; /* where counting on would put the next byte */
    if (n == 0)
        add_mark(a, &t, &cap, 0, &w);
    for (uint32_t i = 0; i < n;) {
        find(&w, t.text[i], style);
        if (w.line != line || w.col != col)
            add_mark(a, &t, &cap, i, &w);
        line = w.line;
        col = w.col + 1;
        for (uint32_t end = i + pass(&w, t.text, i, n, style); i < end; i++)
            ;
        for (; i < n && !begins(t.text[i]);
             i++) /* the rest of a code point, written plainly */
            step(&w);
    }
    return t;
}
