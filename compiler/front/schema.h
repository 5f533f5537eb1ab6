/*
 * The table of keys (schema.def) and that of their values' forms (schema_form.def), and
 * what is made from them: checks of files as they are read, the walk that merging,
 * normalising and `--set` follow, the manual and the JSON Schema.
 */
#ifndef HYP_COMPILER_FRONT_SCHEMA_H
#define HYP_COMPILER_FRONT_SCHEMA_H

#include <stdio.h>

#include "compiler/front/expr.h"

enum schema_form {
#define FORM(id, inside, lists, exprs, json, words) FORM_##id,
#include "compiler/front/schema_form.def"
#undef FORM
};
enum schema_inside { INSIDE_VALUE, INSIDE_KEYS, INSIDE_NAMES };
enum schema_lists { LISTS_KEPT, LISTS_SPLIT, LISTS_TUPLE };
enum schema_names { NAMES_CLOSED, NAMES_NODES, NAMES_PHASES };
enum schema_context {
    CTX_NONE,
#define CONTEXT(id, title, shorthand, names, what) CTX_##id,
#define KEY(context, key, form, sub, need, words, doc, example)
#include "compiler/front/schema.def"
#undef CONTEXT
#undef KEY
    CTX_COUNT
};
struct schema_form_row {
    enum schema_inside inside;
    enum schema_lists lists;
    bool exprs;
    const char *json, *words;
};
struct schema_title {
    const char *title, *what;
    enum schema_form shorthand;
    enum schema_names names;
};
struct schema_key {
    enum schema_context context;
    const char *key;
    enum schema_form form;
    enum schema_context sub;
    bool must;
    const char *words, *doc, *example;
};
extern const struct schema_form_row schema_form[];
extern const struct schema_title schema_title[CTX_COUNT];
extern const struct schema_key schema_key[];
extern const unsigned schema_nkey;

const struct schema_key *schema_find(enum schema_context context, const char *key);
bool schema_has_all(
    enum schema_context context); /* do entries of this kind inherit from `all`? */

/*
 * Check a whole file, or an override of one: unknown keys, forms, names, and every
 * expression's grammar.  What is wrong is reported and marked bad; nothing is missing yet
 * (schema_need).
 */
void schema_check(struct arena *a, struct diag_sink *ds, struct doc *file);
/* The same of a part of a file that does not begin with its version: what --set makes. */
void schema_check_part(struct arena *a, struct diag_sink *ds, struct doc *part);
/* E0202 after inheritance: what must stand in each mapping of this merged file. */
void schema_need(struct diag_sink *ds, const struct doc *file);

void schema_manual(FILE *out); /* docs/keys.md */
void schema_json(FILE *out);   /* docs/hypnograph.schema.json */
void diag_manual(FILE *out);   /* docs/diagnostics.md */

#endif
