/* hypno explain CODE | MODEL [NODE], hypno version. */
#include <ctype.h>
#include <string.h>

#include "compiler/cli/open.h"
#include "compiler/cli/version.h"
#include "compiler/driver/explain.h"
#include "runtime/base/diag.h"
#include "runtime/base/file.h"

/* A letter and four digits, and no file. */
static bool is_code(const char *word)
{
    if (!isalpha((unsigned char)word[0]) || strlen(word) != 5)
        return false;
    for (unsigned i = 1; i < 5; i++)
        if (!isdigit((unsigned char)word[i]))
            return false;
    return !file_exists(word);
}

static int explain_code(const struct args *a)
{
    const char *names[DIAG_COUNT];
    char word[16];
    enum diag_code code;
    size_t n = 0;

    for (; a->positional[0][n] && n + 1 < sizeof word; n++)
        word[n] = (char)toupper((unsigned char)a->positional[0][n]);
    word[n] = 0;
    if (!diag_code_find(word, &code)) {
        for (unsigned i = 0; i < DIAG_COUNT; i++)
            names[i] = diag_code_name((enum diag_code)i);
        const char *near = diag_nearest(word, names, DIAG_COUNT);
        const int status = cli_error("no diagnostic `%s`", a->positional[0]);
        if (near)
            cli_hint("did you mean `%s`?", near);
        else
            cli_hint("docs/diagnostics.md lists them all");
        return status;
    }
    const char *help = diag_code_help(code);
    const bool colour = cli_colour(stdout);
    printf("%s%s%s: %s\n", colour ? "\033[1m" : "", word, colour ? "\033[0m" : "",
           diag_code_text(code));
    printf("%s\n", word[0] == 'W'   ? "A warning: the model is still accepted."
                   : word[0] == 'R' ? "Stops a run; the last checkpoint is kept."
                                    : "An error: the model is refused.");
    if (help && *help)
        cli_wrapped(stdout, help, 0, 0);
    return EXIT_FINE;
}

static int explain_to(const struct args *a, const struct compiled *c, FILE *out)
{
    const struct explain_options o = {.path = a->positional[0],
                                      .phase = args_text(a, OPT_phase, NULL),
                                      .all = a->option[OPT_all].given,
                                      .colour = cli_colour(out)};
    const char *near = NULL;

    if (a->option[OPT_json].given)
        explain_json(c, &o, out);
    else if (a->n < 2)
        explain_model(c, &o, out);
    else if (!explain_name(c, &o, a->positional[1], out, &near)) {
        const int status =
            cli_error("the model has no node, weight or phase `%s`", a->positional[1]);
        if (near)
            cli_hint("did you mean `%s`?", near);
        return status;
    }
    return EXIT_FINE;
}

static int explain_file(const struct args *a)
{
    struct opening w;
    int status;

    opening_init(&w, a);
    struct compiled *c = open_model(a->positional[0], &w.o, UNTIL_PLAN, &status);
    if (status == EXIT_FINE && !open_has_phase(c, args_text(a, OPT_phase, NULL)))
        status = EXIT_MISTAKE;
    if (status == EXIT_FINE)
        status = explain_to(a, c, stdout);
    compiled_free(c);
    opening_fini(&w);
    return status;
}

int cmd_explain(const struct args *a)
{
    if (a->n == 2 && a->option[OPT_json].given) {
        cli_error("--json is of the whole model: leave out `%s`", a->positional[1]);
        return EXIT_USAGE;
    }
    return a->n == 1 && is_code(a->positional[0]) ? explain_code(a) : explain_file(a);
}

int cmd_version(const struct args *a)
{
    (void)a;
    puts("hypno " HYP_VERSION);
    return EXIT_FINE;
}
