/* The tables of keys and forms as data, and lookup in them. */
#include "compiler/front/schema.h"

#include <string.h>

const struct schema_form_row schema_form[] = {
#define FORM(id, inside, lists, exprs, json, words)                                        \
    [FORM_##id] = {INSIDE_##inside, LISTS_##lists, exprs, json, words},
#include "compiler/front/schema_form.def"
#undef FORM
};

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
