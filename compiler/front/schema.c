/* The table of keys as data, and lookup in it. */
#include "compiler/front/schema.h"

#include <string.h>

const struct schema_title schema_title[CTX_COUNT] = {
#define CONTEXT(id, title, shorthand, names, what)                                         \
    [CTX_##id] = {title, what, FORM_##shorthand, NAMES_##names},
#define KEY(context, key, form, sub, need, words, doc, example)
#include "compiler/front/schema.def"
#undef CONTEXT
#undef KEY
};

enum { MAY, MUST };
const struct schema_key schema_key[] = {
#define CONTEXT(id, title, shorthand, names, what)
#define KEY(context, key, form, sub, need, words, doc, example)                            \
    {CTX_##context, key, FORM_##form, CTX_##sub, need, words, doc, example},
#include "compiler/front/schema.def"
#undef CONTEXT
#undef KEY
};
const unsigned schema_nkey = sizeof schema_key / sizeof *schema_key;

const struct schema_key *schema_find(enum schema_context context, const char *key)
{
    for (unsigned i = 0; i < schema_nkey; i++)
        if (schema_key[i].context == context && strcmp(schema_key[i].key, key) == 0)
            return &schema_key[i];
    return NULL;
}

bool schema_has_all(enum schema_context context)
{
    return context == CTX_SOURCE || context == CTX_LAYER || context == CTX_DISCRIMINATOR ||
           context == CTX_PROBE || context == CTX_EXPERIMENT;
}

const char *schema_form_words(enum schema_form form)
{
    switch (form) {
    case FORM_TEXT:
        return "a text";
    case FORM_TEXTS:
        return "a list of texts";
    case FORM_WORD:
        return "a word";
    case FORM_EXPR:
        return "an expression";
    case FORM_PATHS:
        return "a list of names";
    case FORM_EVERY:
        return "`epoch`, `5 epochs`, `100 cycles`, `end` or a list of epochs";
    case FORM_CREDIT:
        return "`full`, `one_layer`, or one of them for `up` and `down`";
    case FORM_LEARN:
        return "a mapping of names to expressions, or `none`";
    case FORM_EXPRS:
    case FORM_NODES:
        return "a mapping of names to expressions";
    case FORM_BODIES:
        return "a mapping of signatures to bodies";
    case FORM_STEPS:
        return "a mapping of groups to losses, or a list of such steps";
    case FORM_STAGES:
        return "a stage, or a list of stages";
    case FORM_CYCLE:
        return "a list of phases";
    case FORM_SUB:
    case FORM_EACH:
        return "a mapping";
    case FORM_NONE:
    default:
        return "a value";
    }
}
