/*
 * The one table of keys (schema.def), and what is made from it: checks of files as they are
 * read, the walk that merging and normalising follow, the manual and the JSON Schema.
 */
#ifndef HYP_COMPILER_FRONT_SCHEMA_H
#define HYP_COMPILER_FRONT_SCHEMA_H

#include <stdio.h>

#include "compiler/front/expr.h"

enum schema_form {
    FORM_NONE,
    FORM_TEXT,   /* a text for people, or a path of a file */
    FORM_TEXTS,  /* a list of them */
    FORM_WORD,   /* one name, perhaps of a list */
    FORM_EXPR,   /* an expression; a YAML list is a list literal */
    FORM_PATHS,  /* names or paths: a list, or one */
    FORM_EVERY,  /* of probes */
    FORM_CREDIT, /* a word, or a word for each direction */
    FORM_LEARN,  /* `none`, or as EXPRS */
    FORM_SUB,    /* a mapping of the keys of `sub` */
    FORM_EACH,   /* names -> mappings of the keys of `sub`, or its shorthand */
    FORM_BODIES, /* names or signatures -> bodies */
    FORM_EXPRS,  /* names or paths -> expressions; a key list is an entry for each name */
    FORM_NODES,  /* names -> expressions; a key list takes a tuple apart */
    FORM_STEPS,  /* groups -> losses, or a list of such mappings */
    FORM_STAGES, /* one stage, or a list */
    FORM_CYCLE   /* a list of phases and entries */
};
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
extern const struct schema_title schema_title[CTX_COUNT];
extern const struct schema_key schema_key[];
extern const unsigned schema_nkey;

const struct schema_key *schema_find(enum schema_context context, const char *key);
bool schema_has_all(
    enum schema_context context); /* do entries of this kind inherit from `all`? */
const char *schema_form_words(enum schema_form form); /* "an expression" */

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
