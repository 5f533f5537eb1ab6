/* hypno doc: everything that is generated from tables, into one folder. */
#include <stdlib.h>
#include <string.h>

#include "compiler/cli/cmd.h"
#include "compiler/cli/ops_manual.h"
#include "compiler/driver/explain.h"
#include "compiler/front/schema.h"
#include "runtime/base/file.h"

static const struct manual {
    const char *file;
    void (*write)(FILE *out);
} manuals[] = {
    {"keys.md", schema_manual},      {"hypnograph.schema.json", schema_json},
    {"diagnostics.md", diag_manual}, {"commands.md", command_manual},
    {"ops.md", ops_manual},          {"explain.md", explain_manual},
    {"hypno.1", man_page},           {"hypno.bash", complete_bash},
    {"_hypno", complete_zsh},
};

static int write_manual(const struct manual *m, const char *dir)
{
    struct hyp_error err = {0};
    char path[4096], *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    if (!out)
        return cli_error("out of memory");
    m->write(out);
    fclose(out);
    int status = EXIT_FINE;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, m->file) >= sizeof path)
        status = cli_error("the path is too long");
    else if (file_put(path, text, n, &err) != HYP_OK)
        status = cli_error("%s", err.text);
    free(text);
    return status;
}

int cmd_doc(const struct args *a)
{
    struct hyp_error err = {0};
    if (file_make_dir(a->positional[0], &err) != HYP_OK)
        return cli_error("%s", err.text);
    for (size_t i = 0; i < sizeof manuals / sizeof *manuals; i++)
        if (write_manual(&manuals[i], a->positional[0]) != EXIT_FINE)
            return EXIT_MISTAKE;
    return EXIT_FINE;
}
