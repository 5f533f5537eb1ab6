/* Help texts from the table. */
#include <string.h>

#include "compiler/cli/cmd.h"

enum { HELP_WIDTH = 92, HELP_INDENT = 26 };

static void bold(FILE *out, bool colour, const char *text)
{
    fprintf(out, "%s%s%s", colour ? "\033[1m" : "", text, colour ? "\033[0m" : "");
}

void cli_wrapped(FILE *out, const char *text, int col, int indent)
{
    bool first = true;
    while (*(text += strspn(text, " "))) {
        const int n = (int)strcspn(text, " ");
        if (!first && col + 1 + n > HELP_WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            col = indent;
        } else if (!first) {
            fputc(' ', out);
            col++;
        }
        fprintf(out, "%.*s", n, text);
        col += n;
        text += n;
        first = false;
    }
    fputc('\n', out);
}

void help_spelling(char *text, size_t size, enum option_id o)
{
    const struct option *opt = &cmd_option[o];
    char letter[8] = "";
    if (opt->letter)
        snprintf(letter, sizeof letter, "-%c, ", opt->letter);
    snprintf(text, size, "%s%s%s%s", letter, opt->spelling, *opt->metavar ? " " : "",
             opt->metavar);
}

static void row(FILE *out, const char *left, const char *right)
{
    const int n = (int)strlen(left);
    if (n + 4 <= HELP_INDENT)
        fprintf(out, "  %-*s", HELP_INDENT - 2, left);
    else
        fprintf(out, "  %s\n%*s", left, HELP_INDENT, "");
    cli_wrapped(out, right, HELP_INDENT, HELP_INDENT);
}

void help_all(FILE *out, bool colour)
{
    bold(out, colour, "hypno");
    fputs(": neural models in one YAML file that wake, sleep and dream\n\n"
          "usage: hypno VERB [arguments] [options]\n\n",
          out);
    for (unsigned v = 0; v < VERB_COUNT; v++) {
        char left[64];
        if (!cmd_verb[v].shown)
            continue;
        snprintf(left, sizeof left, "%s %s", cmd_verb[v].name, cmd_verb[v].arguments);
        row(out, left, cmd_verb[v].doc);
    }
    fputs("\nEvery verb has --help.  For example:\n", out);
    fprintf(out, "    %s\n    hypno train examples/first-model/model.yaml\n",
            cmd_verb[VERB_check].example);
    fputs(
        "\nexit status: 0 fine; 1 a mistake in what was given, or a run that could not go\n"
        "on; 2 usage; 3 an internal fault (with a reproduction folder); 128 + n after\n"
        "signal n\n",
        out);
}

void help_verb(FILE *out, enum verb_id v, bool colour)
{
    const struct verb *verb = &cmd_verb[v];
    bool any = false;
    fputs("usage: ", out);
    bold(out, colour, "hypno ");
    bold(out, colour, verb->name);
    fprintf(out, "%s%s [options]\n\n", *verb->arguments ? " " : "", verb->arguments);
    fprintf(out, "  %s\n", verb->doc);
    if (*verb->about) {
        fputs("\n", out);
        cli_wrapped(out, verb->about, 0, 0);
    }
    for (unsigned o = 0; o < OPT_COUNT; o++) {
        char left[96];
        if (!option_of((enum option_id)o, v))
            continue;
        if (!any)
            fputs("\noptions:\n", out);
        any = true;
        help_spelling(left, sizeof left, (enum option_id)o);
        row(out, left, cmd_option[o].doc);
    }
    fprintf(out, "%sexample:\n  %s\n", any ? "\n" : "\noptions:\n  --help\n\n",
            verb->example);
}
