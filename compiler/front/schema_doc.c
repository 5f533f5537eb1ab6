/*
 * What is made from the tables for people and editors: the manual of keys, the JSON Schema,
 * the manual of diagnostics.
 */
#include <string.h>

#include "compiler/front/schema.h"
#include "runtime/base/alloc.h"
#include "runtime/base/json.h"

static const char *const context_id[CTX_COUNT] = {
    "",
#define CONTEXT(id, title, shorthand, names, what) #id,
#define KEY(context, key, form, sub, need, words, doc, example)
#include "compiler/front/schema.def"
#undef CONTEXT
#undef KEY
};

/* In a table of Markdown a bar ends the cell. */
static void put_cell(FILE *out, const char *s)
{
    for (; *s; s++)
        fputs(*s == '|' ? "\\|" : (char[2]){*s, 0}, out);
}

static void put_anchor(FILE *out, enum schema_context c)
{
    for (const char *s = schema_title[c].title; *s; s++)
        fputc(*s == ' ' ? '-' : *s, out);
}

static void put_form(FILE *out, const struct schema_key *row)
{
    if (*row->words) {
        for (const char *s = row->words; *s;) {
            const size_t n = strcspn(s, " ");
            fprintf(out, "%s`%.*s`", s == row->words ? "" : ", ", (int)n, s);
            s += n + (s[n] == ' ');
        }
    } else if (row->sub == CTX_NONE) {
        put_cell(out, schema_form[row->form].words);
    } else {
        fputs(row->form == FORM_EACH || row->form == FORM_BODIES ? "for each name, [" : "[",
              out);
        fprintf(out, "%s](#", schema_title[row->sub].title);
        put_anchor(out, row->sub);
        fputc(')', out);
    }
}

/* `of`, `labels` (needed), ... */
static void put_keys(FILE *out, const char *keys)
{
    for (const char *s = keys; *s; s += strspn(s, " ")) {
        const size_t n = strcspn(s, " !");
        fprintf(out, "%s`%.*s`", s == keys ? "" : ", ", (int)n, s);
        s += n;
        if (*s == '!') {
            fputs(" (needed)", out);
            s++;
        }
    }
}

static void metric_manual(FILE *out)
{
    fputs(
        "\n## metrics\n\nFrom runtime/base/metric.def. Beside these keys a probe of any of "
        "them takes `every`, `from`,\n`settings`, `nodes`, `over` and `training`.\n\n"
        "| metric | keys | what it gives |\n|---|---|---|\n",
        out);
#define METRIC(name, keys, model, doc)                                                     \
    fputs("| `" #name "` | ", out);                                                        \
    put_keys(out, keys);                                                                   \
    fputs(" | ", out);                                                                     \
    put_cell(out, doc);                                                                    \
    fputs(" |\n", out);
#define METRIC_LATER(name) fputs("| `" #name "` | | not built yet |\n", out);
#include "runtime/base/metric.def"
#undef METRIC
#undef METRIC_LATER
}

void schema_manual(FILE *out)
{
    fputs("# The keys of a model file\n\n"
          "Made by `hypno doc` from `compiler/front/schema.def` and "
          "`compiler/front/schema_form.def`.\n"
          "What the keys mean is in language.md; this page says where each may stand, in "
          "which form,\n"
          "with an example.\n",
          out);
    for (unsigned c = CTX_NONE + 1; c < CTX_COUNT; c++) {
        fprintf(out, "\n## %s\n\n%s\n", schema_title[c].title, schema_title[c].what);
        if (schema_title[c].shorthand == FORM_EXPR)
            fputs("Instead of the mapping an expression will do.\n", out);
        fputs("\n| key | form | meaning | example |\n|---|---|---|---|\n", out);
        for (unsigned i = 0; i < schema_nkey; i++) {
            const struct schema_key *row = &schema_key[i];
            if (row->context != c)
                continue;
            fprintf(out, "| `%s`%s | ", row->key, row->must ? " (needed)" : "");
            put_form(out, row);
            fputs(" | ", out);
            put_cell(out, row->doc);
            fputs(" | `", out);
            put_cell(out, row->example);
            fputs("` |\n", out);
        }
    }
    metric_manual(out);
}

static void put_ref(struct json_writer *w, enum schema_context c)
{
    char ref[64];
    snprintf(ref, sizeof ref, "#/$defs/%s", context_id[c]);
    json_key(w, "$ref");
    json_string(w, ref);
}

/* One type, or several with spaces between. */
static void put_type(struct json_writer *w, const char *types)
{
    const bool several = strchr(types, ' ') != NULL;
    json_key(w, "type");
    if (several)
        json_open(w, '[');
    while (*types) {
        char type[16];
        const size_t n = strcspn(types, " ");
        snprintf(type, sizeof type, "%.*s", (int)n, types);
        json_string(w, type);
        types += n + (types[n] == ' ');
    }
    if (several)
        json_close(w);
}

static void put_words(struct json_writer *w, const char *words)
{
    json_key(w, "enum");
    json_open(w, '[');
    while (*words) {
        char word[32];
        const size_t n = strcspn(words, " ");
        snprintf(word, sizeof word, "%.*s", (int)n, words);
        if (strcmp(word, "true") == 0)
            json_bool(w, true);
        else
            json_string(w, word);
        words += n + (words[n] == ' ');
    }
    json_string(w, "none");
    json_close(w);
}

/* names -> mappings of a context, or its shorthand, or `none` */
static void put_each(struct json_writer *w, enum schema_context sub)
{
    put_type(w, "object");
    json_key(w, "additionalProperties");
    json_open(w, '{');
    json_key(w, "anyOf");
    json_open(w, '[');
    json_open(w, '{');
    put_ref(w, sub);
    json_close(w);
    json_open(w, '{');
    put_type(w, schema_title[sub].shorthand == FORM_EXPR ? schema_form[FORM_EXPR].json
                                                         : "string");
    json_close(w);
    json_close(w);
    json_close(w);
}

static void put_one_or_list(struct json_writer *w, enum schema_context sub)
{
    json_key(w, "anyOf");
    json_open(w, '[');
    json_open(w, '{');
    put_ref(w, sub);
    json_close(w);
    json_open(w, '{');
    put_type(w, "array");
    json_key(w, "items");
    json_open(w, '{');
    put_ref(w, sub);
    json_close(w);
    json_close(w);
    json_close(w);
}

static void put_value(struct json_writer *w, const struct schema_key *row)
{
    const struct schema_form_row *form = &schema_form[row->form];
    if (row->form == FORM_WORD && *row->words)
        put_words(w, row->words);
    else if (*form->json)
        put_type(w, form->json);
    else if (row->form == FORM_STAGES)
        put_one_or_list(w, row->sub);
    else if (form->inside == INSIDE_KEYS)
        put_ref(w, row->sub);
    else
        put_each(w, row->sub);
}

static void put_context(struct json_writer *w, enum schema_context c)
{
    json_key(w, context_id[c]);
    json_open(w, '{');
    json_key(w, "description");
    json_string(w, schema_title[c].what);
    put_type(w, "object");
    json_key(w, "properties");
    json_open(w, '{');
    for (unsigned i = 0; i < schema_nkey; i++) {
        const struct schema_key *row = &schema_key[i];
        if (row->context != c)
            continue;
        json_key(w, row->key);
        json_open(w, '{');
        json_key(w, "description");
        json_string(w, row->doc);
        put_value(w, row);
        json_close(w);
    }
    json_close(w);
    json_key(w, "additionalProperties");
    if (schema_title[c].names == NAMES_CLOSED) {
        json_bool(w, false);
    } else {
        json_open(w, '{');
        put_type(w, schema_form[FORM_EXPR].json);
        json_close(w);
    }
    json_close(w);
}

void schema_json(FILE *out)
{
    struct json_writer w;
    json_init(&w);
    json_open(&w, '{');
    json_key(&w, "$schema");
    json_string(&w, "https://json-schema.org/draft/2020-12/schema");
    json_key(&w, "title");
    json_string(&w, "A hypnograph model");
    put_ref(&w, CTX_FILE);
    json_key(&w, "required");
    json_open(&w, '[');
    json_string(&w, "hypnograph");
    json_close(&w);
    json_key(&w, "$defs");
    json_open(&w, '{');
    for (unsigned c = CTX_NONE + 1; c < CTX_COUNT; c++)
        put_context(&w, (enum schema_context)c);
    json_close(&w);
    json_close(&w);
    if (!w.failed)
        fprintf(out, "%s\n", w.text);
    json_fini(&w);
}

void diag_manual(FILE *out)
{
    fputs("# Diagnostics\n\n"
          "Made by `hypno doc` from `runtime/base/diag.def`. E refuses, W warns, R stops a "
          "run and\n"
          "keeps the last checkpoint. `hypno explain E0104` prints one of these rows.\n\n"
          "| code | message | what helps |\n|---|---|---|\n",
          out);
    for (unsigned i = 0; i < DIAG_COUNT; i++) {
        fprintf(out, "| %s | ", diag_code_name((enum diag_code)i));
        put_cell(out, diag_code_text((enum diag_code)i));
        fputs(" | ", out);
        put_cell(out, *diag_code_help((enum diag_code)i) ? diag_code_help((enum diag_code)i)
                                                         : "-");
        fputs(" |\n", out);
    }
}
