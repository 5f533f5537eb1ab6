/*
 * Reading one YAML text: libyaml's events become the tree of doc.h, with the rules that
 * make it a model file (docs/language.md, section 2): scalars are text, no anchors,
 * aliases, tags, merge keys or further documents, no key twice, no key that YAML readers
 * take for something else.
 *
 * E0104 needs the most care.  In { } and [ ] YAML cuts a plain scalar at a comma, so that
 * `{prior: normal(0, 1)}` arrives as `prior: normal(0` and a key `1)` without a value.  A
 * plain scalar with an open bracket, or a key without a colon, begins a cut; what follows
 * up to its end is swallowed, so that one mistake is one message.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "compiler/front/doc_internal.h"
#include "runtime/base/arena.h"

enum { DEEPEST = 64, MOST_VALUES = 1000000, LONGEST_KEY = 1000 };

struct level {
    struct doc *d;
    struct doc_text key;
    struct loc key_loc;
    bool has_key, drop; /* drop: this entry is the rest of a cut */
    bool keyless;       /* the key has no colon */
    bool in_list;       /* the cut is a key list: it ends at the entry with a colon */
    int open;           /* brackets still open in the expression that was cut */
};
struct reader {
    struct arena *a;
    struct diag_sink *ds;
    struct doc_source src;
    yaml_parser_t parser;
    struct level level[DEEPEST];
    unsigned depth, nvalue;
    struct doc *root;
    unsigned skip;   /* levels open inside a list or mapping that is the rest of a cut */
    struct loc last; /* the scalar read last: what an unexpected `[` belongs to */
    bool stop, done;
};

static struct loc event_loc(const struct reader *r, const yaml_event_t *e)
{
    return doc_source_loc(&r->src, &e->start_mark, &e->end_mark);
}

static struct level *top(struct reader *r)
{
    return r->depth ? &r->level[r->depth - 1] : NULL;
}

static int balance(const struct doc_text *t)
{
    int n = 0;
    for (uint32_t i = 0; i < t->n; i++)
        n += (strchr("([{", t->text[i]) && t->text[i]) -
             (strchr(")]}", t->text[i]) && t->text[i]);
    return n;
}

static void report_cut(struct reader *r, struct loc loc)
{
    diag(r->ds, E0104, loc, "this expression was cut at a comma");
    diag_hint(r->ds, "inside { } and [ ] put it into quotes, or give it a line of its own");
}

/* In flow style: is this plain scalar part of a cut?  Begins, goes on with and ends one. */
static bool cut_scalar(struct reader *r, struct level *l, const struct doc_text *t,
                       struct loc loc)
{
    const int open = balance(t);
    if (l->open > 0) {
        l->open += open;
        return true;
    }
    if (open <= 0)
        return false;
    report_cut(r, loc);
    l->open = open;
    return true;
}

static bool is_truth(const char *s)
{
    static const char *const word[] = {"yes",  "no",    "on",   "off",
                                       "true", "false", "null", "~"};
    for (unsigned i = 0; i < sizeof word / sizeof *word; i++)
        if (strcasecmp(s, word[i]) == 0)
            return true;
    return false;
}

static bool has_colon(const struct reader *r, const yaml_event_t *key)
{
    uint32_t i = doc_source_offset(&r->src, &key->end_mark);
    while (i < r->src.n && strchr(" \t\n", r->src.text[i]))
        i++;
    return i < r->src.n && r->src.text[i] == ':';
}

static void refuse_merge(struct reader *r, struct doc *map, struct loc loc)
{
    diag(r->ds, E0103, loc, "merge keys are not part of the language");
    diag_hint(r->ds, "write a function, or `all:`");
    map->bad = true; /* what it lacks now is not missing */
}

static void take_key(struct reader *r, const yaml_event_t *e, struct level *l)
{
    const struct doc_text t = doc_source_text(r->a, &r->src, e);
    const struct loc loc = event_loc(r, e);
    l->key = t;
    l->key_loc = loc;
    l->has_key = true;
    l->keyless = l->d->flow && !has_colon(r, e);
    l->drop = l->keyless;
    if (l->d->flow && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
        cut_scalar(r, l, &t, loc)) {
        l->drop = true;
        return;
    }
    if (l->keyless && !l->in_list)
        report_cut(r, loc);
    l->in_list = l->keyless;
    if (l->drop)
        return;
    if (e->start_mark.line != e->end_mark.line || t.n > LONGEST_KEY)
        diag(r->ds, E0101, loc,
             "not YAML: a key stands on one line and has at most %d characters",
             LONGEST_KEY);
    else if (t.n == 0)
        diag(r->ds, E0109, loc, "empty value: a key is missing here");
    else if (strcmp(t.text, "<<") == 0)
        refuse_merge(r, l->d, loc);
    else if (is_truth(t.text))
        diag(r->ds, E0105, loc, "YAML readers take the key `%s` for a truth value or null",
             t.text);
    else
        return;
    l->drop = true;
}

static void note_limit(struct reader *r, struct loc loc, const char *what)
{
    diag(r->ds, E0902, loc, "limit exceeded: %s", what);
    r->stop = true;
}

/* Put a value where it belongs. */
static void attach(struct reader *r, struct doc *d)
{
    struct level *l = top(r);
    if (++r->nvalue > MOST_VALUES) {
        note_limit(r, d->loc, "a file has at most 1,000,000 values");
    } else if (!l) {
        r->root = d;
    } else if (l->d->kind == DOC_LIST) {
        doc_add(r->a, l->d, NULL, d->loc, d);
    } else {
        if (!l->drop)
            doc_push(r->a, l->d, (struct doc_entry){l->key, l->key_loc, d});
        l->has_key = false;
    }
}

static void refuse_marks(struct reader *r, struct loc loc, const void *anchor,
                         const void *tag)
{
    if (!anchor && !tag)
        return;
    diag(r->ds, E0103, loc, "%s are not part of the language", anchor ? "anchors" : "tags");
    diag_hint(r->ds, "write a function, or `all:`");
}

static bool wants_key(const struct level *l)
{
    return l && l->d->kind == DOC_MAP && !l->has_key;
}

static void take_scalar(struct reader *r, const yaml_event_t *e)
{
    struct level *l = top(r);
    const struct loc loc = event_loc(r, e);
    r->last = loc;
    refuse_marks(r, loc, e->data.scalar.anchor, e->data.scalar.tag);
    if (memchr(e->data.scalar.value, 0, e->data.scalar.length)) {
        diag(r->ds, E0101, loc, "not YAML: a text holds no NUL");
        r->stop = true;
        return;
    }
    if (wants_key(l)) {
        take_key(r, e, l);
        return;
    }
    struct doc *d = arena_alloc(r->a, sizeof *d);
    d->kind = DOC_SCALAR;
    d->loc = loc;
    d->text = doc_source_text(r->a, &r->src, e);
    d->flow = l && l->d->flow;
    if (d->flow && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !l->keyless) {
        const bool going_on = l->open > 0;
        d->bad = cut_scalar(r, l, &d->text, loc);
        if (going_on && l->d->kind == DOC_LIST)
            return;
    }
    attach(r, d);
}

static void open_level(struct reader *r, const yaml_event_t *e, enum doc_kind kind,
                       bool flow)
{
    struct level *l = top(r);
    if (l && l->open > 0) {
        r->skip = 1;
        l->has_key = l->drop = l->keyless = wants_key(l);
        return;
    }
    struct doc *d = arena_alloc(r->a, sizeof *d);
    d->kind = (uint8_t)kind;
    d->flow = flow;
    d->loc = event_loc(r, e);
    if (wants_key(l)) {
        diag(r->ds, E0108, d->loc, "expected a key, found a %s",
             kind == DOC_MAP ? "mapping" : "list");
        r->stop = true;
        return;
    }
    if (r->depth == DEEPEST) {
        note_limit(r, d->loc, "a file is nested at most 64 deep");
        return;
    }
    attach(r, d);
    r->level[r->depth++] = (struct level){.d = d};
}

static int by_key(const void *x, const void *y)
{
    const struct doc_entry *a = *(const struct doc_entry *const *)x;
    const struct doc_entry *b = *(const struct doc_entry *const *)y;
    const int c = strcmp(a->key.text, b->key.text);
    return c ? c : (a > b) - (a < b);
}

/* E0102; nothing more is said about the later value. */
static void refuse_doubles(struct reader *r, struct doc *d)
{
    const struct doc_entry **e = arena_array(r->a, d->n + 1, sizeof *e);
    for (uint32_t i = 0; i < d->n; i++)
        e[i] = &d->entry[i];
    qsort(e, d->n, sizeof *e, by_key);
    for (uint32_t i = 1, first = 0; i < d->n; i++) {
        if (strcmp(e[i]->key.text, e[first]->key.text) != 0) {
            first = i;
            continue;
        }
        diag(r->ds, E0102, e[i]->loc, "key `%s` stands twice", e[i]->key.text);
        diag_note(r->ds, e[first]->loc, "it stands here first");
        e[i]->value->bad = true;
    }
}

static void close_level(struct reader *r)
{
    struct doc *d = top(r)->d;
    if (d->kind == DOC_MAP && d->n > 1)
        refuse_doubles(r, d);
    r->depth--;
}

/* One event; what it does to the tree. */
static void take_event(struct reader *r, const yaml_event_t *e)
{
    const struct loc loc = event_loc(r, e);
    const bool opens =
        e->type == YAML_SEQUENCE_START_EVENT || e->type == YAML_MAPPING_START_EVENT;
    const bool closes =
        e->type == YAML_SEQUENCE_END_EVENT || e->type == YAML_MAPPING_END_EVENT;
    if (r->skip) {
        r->skip += opens;
        r->skip -= closes;
        return;
    }
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (r->root) {
            diag(r->ds, E0103, loc, "a file holds one document");
            r->stop = true;
        } else if (e->data.document_start.tag_directives.start !=
                   e->data.document_start.tag_directives.end) {
            refuse_marks(r, loc, NULL, e);
        }
        break;
    case YAML_ALIAS_EVENT:
        diag(r->ds, E0103, loc, "aliases are not part of the language");
        diag_hint(r->ds, "write a function, or `all:`");
        r->stop = wants_key(top(r));
        if (!r->stop) {
            struct doc *d = doc_scalar(r->a, loc, "none");
            d->bad = true;
            attach(r, d);
        }
        break;
    case YAML_SCALAR_EVENT:
        take_scalar(r, e);
        break;
    case YAML_SEQUENCE_START_EVENT:
        refuse_marks(r, loc, e->data.sequence_start.anchor, e->data.sequence_start.tag);
        open_level(r, e, DOC_LIST,
                   e->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE);
        break;
    case YAML_MAPPING_START_EVENT:
        refuse_marks(r, loc, e->data.mapping_start.anchor, e->data.mapping_start.tag);
        open_level(r, e, DOC_MAP, e->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        close_level(r);
        break;
    case YAML_STREAM_END_EVENT:
        r->done = true;
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    default:
        break;
    }
}

/* libyaml has given up. `{x: a[0]}` is the third way to cut an expression. */
static void report_yaml(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const struct level *l = top(r);
    const struct loc loc = doc_source_loc(&r->src, &p->problem_mark, &p->problem_mark);
    const uint32_t at = doc_source_offset(&r->src, &p->problem_mark);
    const char *problem = p->problem ? p->problem : "it cannot be read";
    if (p->error == YAML_PARSER_ERROR && l && l->d->flow && at > 0 && at < r->src.n &&
        strchr("[{", r->src.text[at]) && !strchr(" \t\n,[{:", r->src.text[at - 1])) {
        report_cut(r, r->last);
        return;
    }
    if (p->context)
        diag(r->ds, E0101, loc, "not YAML: %s, %s", p->context, problem);
    else
        diag(r->ds, E0101, loc, "not YAML: %s", problem);
    diag_hint(r->ds, "the two likeliest causes: a tab, or `: ` inside a value");
}

struct doc *doc_read(struct arena *a, struct diag_sink *ds, uint32_t file, const char *text,
                     size_t nbytes)
{
    struct reader *r = arena_alloc(a, sizeof *r);
    r->a = a;
    r->ds = ds;
    if (!doc_source_open(a, ds, file, text, nbytes, &r->src))
        return NULL;
    if (!yaml_parser_initialize(&r->parser)) {
        diag(ds, E0902, (struct loc){file, 0, 0, 0}, "limit exceeded: memory");
        return NULL;
    }
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)r->src.text, r->src.n);
    while (!r->stop && !r->done) {
        yaml_event_t e;
        if (!yaml_parser_parse(&r->parser, &e)) {
            report_yaml(r);
            r->stop = true;
            break;
        }
        take_event(r, &e);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&r->parser);
    if (r->stop)
        return NULL;
    return r->root ? r->root : doc_map(a, (struct loc){file, 1, 1, 0});
}
