/* hypno: reads its arguments, runs the verb, turns results into exit statuses. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "compiler/cli/cmd.h"
#include "compiler/cli/fault.h"
#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"

enum { LARGE_BLOCK = 8 << 20 };

double cli_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool cli_colour(FILE *out)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fileno(out)) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

int cli_error(const char *fmt, ...)
{
    const bool colour = cli_colour(stderr);
    va_list ap;
    fprintf(stderr, "hypno: %serror:%s ", colour ? "\033[1;31m" : "",
            colour ? "\033[0m" : "");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return EXIT_MISTAKE;
}

void cli_hint(const char *fmt, ...)
{
    va_list ap;
    fputs("hint: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* Large blocks go back to the system when they are freed: glibc would keep any as large as
 * the largest freed before, a file of 30 MB as a hole. */
static void return_large_blocks(void)
{
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
#endif
}

void cli_trim(void)
{
#ifdef M_MMAP_THRESHOLD
    malloc_trim(0);
#endif
}

/* Called by arenas; nothing may be allocated any more. */
static void out_of_memory(void)
{
    static const char line[] = "hypno: error: out of memory\n";
    const ssize_t n = write(STDERR_FILENO, line, sizeof line - 1);
    (void)n;
    _exit(EXIT_MISTAKE);
}

/* The command as one line that a shell reads back; NULL: no memory. */
static char *command_line(int argc, char **argv)
{
    size_t n = 1;
    for (int i = 0; i < argc; i++)
        n += 4 * strlen(argv[i]) + 3;
    char *text = hyp_malloc(n), *p = text;
    for (int i = 0; text && i < argc; i++) {
        const bool plain = *argv[i] && !strpbrk(argv[i], " \t\n'\"\\$`*?[]{}()<>|&;#~!");
        if (i)
            *p++ = ' ';
        if (!plain)
            *p++ = '\'';
        for (const char *s = argv[i]; *s; s++) {
            if (*s == '\'')
                p = stpcpy(p, "'\\''");
            else
                *p++ = *s;
        }
        if (!plain)
            *p++ = '\'';
    }
    if (text)
        *p = 0;
    return text;
}

int cmd_help(const struct args *a)
{
    const bool colour = cli_colour(stdout);
    if (a->n == 0) {
        help_all(stdout, colour);
        return EXIT_FINE;
    }
    for (unsigned v = 0; v < VERB_COUNT; v++)
        if (strcmp(a->positional[0], cmd_verb[v].name) == 0) {
            help_verb(stdout, (enum verb_id)v, colour);
            return EXIT_FINE;
        }
    cli_error("no verb `%s`", a->positional[0]);
    return EXIT_USAGE;
}

/* Output that could not be written (a full disk, a closed pipe) is no success. */
static int finish(int status)
{
    if (fflush(stdout) != 0 && status == EXIT_FINE)
        status = cli_error("standard output could not be written");
    return status;
}

int main(int argc, char **argv)
{
    const double started = cli_now();
    static struct args a;
    int status;

    return_large_blocks();
    arena_on_oom(out_of_memory);
    if (!args_parse(&a, argc, argv))
        return EXIT_USAGE;
    a.started = started;
    char *line = command_line(argc, argv);
    if (!line)
        out_of_memory();
    a.command = line;
    fault_init(line);
    if (a.help) {
        help_verb(stdout, a.verb, cli_colour(stdout));
        status = EXIT_FINE;
    } else {
        status = cmd_verb[a.verb].run(&a);
    }
    fault_fini();
    hyp_free(line);
    return finish(status);
}
