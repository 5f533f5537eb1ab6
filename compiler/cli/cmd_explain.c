/* hypno explain CODE, hypno version. */
#include <ctype.h>
#include <string.h>

#include "compiler/cli/cmd.h"
#include "compiler/cli/version.h"
#include "runtime/base/diag.h"

int cmd_explain(const struct args *a)
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

int cmd_version(const struct args *a)
{
    (void)a;
    puts("hypno " HYP_VERSION);
    return EXIT_FINE;
}
