/* Arguments against the table: spellings, kinds, ranges, and what was probably meant. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/cli/cmd.h"
#include "runtime/base/diag.h"

#define V(name)    (UINT32_C(1) << VERB_##name)
#define KIND_FLAG  OPT_FLAG
#define KIND_TEXT  OPT_TEXT
#define KIND_TEXTS OPT_TEXTS
#define KIND_COUNT OPT_COUNT_
#define KIND_SIZE  OPT_SIZE
#define KIND_WORD  OPT_WORD

const struct verb cmd_verb[VERB_COUNT] = {
#define VERB(name, arguments, least, most, shown, doc, example, about)                     \
    {#name, arguments, least, most, shown, doc, example, about, cmd_##name},
#include "compiler/cli/cmd.def"
};
const struct option cmd_option[OPT_COUNT] = {
#define OPTION(id, spelling, letter, kind, metavar, verbs, doc)                            \
    {spelling, letter, KIND_##kind, metavar, verbs, doc},
#include "compiler/cli/cmd.def"
};

bool option_of(enum option_id o, enum verb_id v)
{
    return cmd_option[o].verbs & UINT32_C(1) << v;
}

static bool usage(enum verb_id v)
{
    if (v < VERB_COUNT)
        fprintf(stderr, "usage: hypno %s%s%s [options]   (hypno %s --help)\n",
                cmd_verb[v].name, *cmd_verb[v].arguments ? " " : "", cmd_verb[v].arguments,
                cmd_verb[v].name);
    else
        fputs("usage: hypno VERB ...   (hypno help)\n", stderr);
    return false;
}

static bool find_verb(const char *word, enum verb_id *out)
{
    const char *names[VERB_COUNT];
    unsigned n = 0;
    for (unsigned v = 0; v < VERB_COUNT; v++) {
        if (strcmp(word, cmd_verb[v].name) == 0) {
            *out = (enum verb_id)v;
            return true;
        }
        if (cmd_verb[v].shown)
            names[n++] = cmd_verb[v].name;
    }
    cli_error("no verb `%s`", word);
    const char *near = diag_nearest(word, names, n);
    if (near)
        cli_hint("did you mean `%s`?", near);
    return usage(VERB_COUNT);
}

/* The option of this verb with that spelling (n bytes of it); OPT_COUNT: none. */
static unsigned find_option(enum verb_id v, const char *word, size_t n)
{
    for (unsigned o = 0; o < OPT_COUNT; o++) {
        const struct option *opt = &cmd_option[o];
        if (!option_of((enum option_id)o, v))
            continue;
        if (strlen(opt->spelling) == n && memcmp(opt->spelling, word, n) == 0)
            return o;
        if (opt->letter && n == 2 && word[0] == '-' && word[1] == opt->letter)
            return o;
    }
    return OPT_COUNT;
}

static bool unknown_option(enum verb_id v, const char *word, size_t n)
{
    const char *names[OPT_COUNT + 1];
    char name[64];
    unsigned count = 0;
    for (unsigned o = 0; o < OPT_COUNT; o++)
        if (option_of((enum option_id)o, v))
            names[count++] = cmd_option[o].spelling;
    names[count++] = "--help";
    snprintf(name, sizeof name, "%.*s", (int)n, word);
    cli_error("`hypno %s` has no option `%s`", cmd_verb[v].name, name);
    const char *near = diag_nearest(name, names, count);
    if (near)
        cli_hint("did you mean `%s`?", near);
    return usage(v);
}

static bool parse_number(const struct option *opt, const char *text, uint64_t *out)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    errno = 0;
    const unsigned long long n = strtoull(text, &end, 10);
    const bool digits = text[0] >= '0' && text[0] <= '9' && errno == 0;
    const char *unit = digits && *end ? strchr(units, *end) : NULL;
    unsigned shift = 0;
    if (opt->kind == OPT_SIZE && unit) {
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
        if (*end == 'i')
            end++;
        if (*end == 'B')
            end++;
    }
    if (!digits || *end || n > UINT64_MAX >> (shift + 1)) {
        cli_error("%s %s: expected %s", opt->spelling, text,
                  opt->kind == OPT_SIZE ? "a size such as 512M or 4G" : "a whole number");
        return false;
    }
    *out = (uint64_t)n << shift;
    return true;
}

/* Is `text` one of the words in a|b|c? */
static bool parse_word(const struct option *opt, const char *text)
{
    const size_t n = strlen(text);
    for (const char *p = opt->metavar; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (strncmp(p, text, n) == 0 && (p[n] == '|' || p[n] == 0) && n > 0)
            return true;
    cli_error("%s %s: expected one of %s", opt->spelling, text, opt->metavar);
    return false;
}

static bool take_value(struct args *a, unsigned o, const char *text)
{
    const struct option *opt = &cmd_option[o];
    struct arg_value *v = &a->option[o];
    v->given = true;
    v->text = text;
    switch (opt->kind) {
    case OPT_COUNT_:
    case OPT_SIZE:
        return parse_number(opt, text, &v->number);
    case OPT_WORD:
        return parse_word(opt, text);
    case OPT_TEXTS:
        if (v->n == ARGS_TEXTS) {
            cli_error("%s: more than %d of them", opt->spelling, ARGS_TEXTS);
            return false;
        }
        v->texts[v->n++] = text;
        return true;
    case OPT_FLAG:
    case OPT_TEXT:
        break;
    }
    return true;
}

/* One option at argv[*i]; moves *i over its value. */
static bool take_option(struct args *a, int argc, char **argv, int *i)
{
    const char *word = argv[*i];
    const char *equals = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
    const size_t n = equals ? (size_t)(equals - word) : strlen(word);
    const char *value = equals ? equals + 1 : NULL;

    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        a->help = true;
        return true;
    }
    const unsigned o = find_option(a->verb, word, n);
    if (o == OPT_COUNT)
        return unknown_option(a->verb, word, n);
    if (cmd_option[o].kind == OPT_FLAG) {
        if (value)
            cli_error("%s takes no value", cmd_option[o].spelling);
        else
            a->option[o].given = true;
        return !value;
    }
    if (!value && *i + 1 < argc)
        value = argv[++*i];
    if (!value) {
        cli_error("%s: expected %s", word, cmd_option[o].metavar);
        return usage(a->verb);
    }
    return take_value(a, o, value);
}

static bool too_many(const struct args *a, const char *word)
{
    cli_error("one argument too many: `%s`", word);
    return usage(a->verb);
}

bool args_parse(struct args *a, int argc, char **argv)
{
    bool options = true;
    if (argc < 2)
        return usage(VERB_COUNT);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        a->verb = VERB_help;
    else if (strcmp(argv[1], "--version") == 0)
        a->verb = VERB_version;
    else if (!find_verb(argv[1], &a->verb))
        return false;
    for (int i = 2; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            if (!take_option(a, argc, argv, &i))
                return false;
        } else if (a->n >= cmd_verb[a->verb].most) {
            return too_many(a, argv[i]);
        } else {
            a->positional[a->n++] = argv[i];
        }
    }
    if (!a->help && a->n < cmd_verb[a->verb].least) {
        cli_error("expected %s", cmd_verb[a->verb].arguments);
        return usage(a->verb);
    }
    return true;
}

const char *args_text(const struct args *a, enum option_id id, const char *otherwise)
{
    return a->option[id].given ? a->option[id].text : otherwise;
}

uint64_t args_number(const struct args *a, enum option_id id, uint64_t otherwise)
{
    return a->option[id].given ? a->option[id].number : otherwise;
}
