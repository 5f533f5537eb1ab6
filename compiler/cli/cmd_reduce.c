/*
 * hypno reduce: the model of a reproduction folder, as small as it still shows the fault.
 *
 * Every try is a process of its own, since it may crash; what it says of the fault, without
 * names and numbers, is the fault's signature.  A try makes the code of a candidate
 * (`check --code`); only where that does not show the fault the command itself is run.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "compiler/cli/fault.h"
#include "compiler/cli/open.h"
#include "compiler/cli/reduce.h"
#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"

enum { PATH = 4096, SIGNATURE = 1024, WORDS = 256, LIMIT = 300 };

struct reduction {
    const char *folder;
    struct arena *arena;
    struct args tried; /* what a try does */
    char try_model[PATH], try_log[PATH], try_folder[PATH], reduced[PATH];
    char signature[SIGNATURE];
    double patience, until; /* of one try; by the clock */
    unsigned tries;
    size_t best; /* bytes of reduced.yaml */
};

static volatile sig_atomic_t interrupted, child;

static void on_interrupt(int number)
{
    interrupted = number;
    if (child > 0)
        kill((pid_t)child, SIGKILL);
}

/* ---- the signature ---- */

/* Of a line: what stands in quotes and every number is left out. */
static size_t add_plain(char *to, size_t room, const char *line, size_t n)
{
    size_t m = 0;
    char quote = 0;
    for (size_t i = 0; i < n && m + 1 < room; i++) {
        const char c = line[i];
        if (quote) {
            quote = c == quote ? 0 : quote;
            continue;
        }
        quote = c == '`' || c == '\'' ? c : 0;
        if (quote == '`')
            quote = memchr(line + i + 1, '`', n - i - 1) ? '`' : '\'';
        if (!quote && !isdigit((unsigned char)c))
            to[m++] = c;
    }
    to[m++] = '\n';
    return m;
}

/* What a try said of a fault, into `out`; "" if it said nothing. */
static void read_signature(const char *text, char out[SIGNATURE])
{
    static const char *const tells[] = {"internal fault:", "error[E9999]", "Assertion `",
                                        "LLVM ERROR"};
    size_t n = 0;
    for (const char *line = text; *line;) {
        const size_t len = strcspn(line, "\n");
        for (size_t i = 0; i < sizeof tells / sizeof *tells; i++) {
            const char *at = strstr(line, tells[i]);
            if (at && at < line + len && n + 2 < SIGNATURE) {
                n += add_plain(out + n, SIGNATURE - n - 1, at, len - (size_t)(at - line));
                break;
            }
        }
        line += len + (line[len] != 0);
    }
    out[n] = 0;
}

/* ---- one try ---- */

static void remove_tree(const char *path)
{
    char inner[PATH];
    DIR *dir = opendir(path);
    for (const struct dirent *e; dir && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            snprintf(inner, sizeof inner, "%s/%s", path, e->d_name) < PATH)
            remove_tree(inner);
    if (dir)
        closedir(dir);
    remove(path);
}

static void run_child(const struct reduction *r, const struct args *a)
{
    const int log = open(r->try_log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    const int none = open("/dev/null", O_WRONLY);
    setpgid(0, 0); /* Ctrl-C is for the parent */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (log < 0 || none < 0 || dup2(log, STDERR_FILENO) < 0 ||
        dup2(none, STDOUT_FILENO) < 0)
        _exit(EXIT_MISTAKE);
    fault_folder(r->try_folder);
    const int status = cmd_verb[a->verb].run(a);
    fflush(NULL);
    _exit(status);
}

/* Exit status of the child, or -1: it took too long, or we are to stop. */
static int wait_for(const struct reduction *r, pid_t pid)
{
    const struct timespec nap = {0, 1000000};
    double end = cli_now() + r->patience;
    int status = 0;
    end = r->until < end ? r->until : end;
    for (;;) {
        const pid_t done = waitpid(pid, &status, WNOHANG);
        if (done == pid)
            break;
        if (done < 0 || interrupted || cli_now() > end) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return -1;
        }
        nanosleep(&nap, NULL);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int run_try(struct reduction *r, const struct args *a)
{
    fflush(NULL);
    remove_tree(r->try_folder);
    r->tries++;
    const pid_t pid = fork();
    if (pid == 0)
        run_child(r, a);
    child = (sig_atomic_t)pid;
    const int status = pid < 0 ? -1 : wait_for(r, pid);
    child = 0;
    return status;
}

/* What a try reads may be lost: no need to wait for the disk. */
static bool write_try(const struct reduction *r, const char *text)
{
    FILE *f = fopen(r->try_model, "w");
    const bool ok = f && fputs(text, f) >= 0;
    return f && fclose(f) == 0 && ok;
}

/* The fault that a text shows; "" if none. */
static void fault_of(struct reduction *r, const char *text, char out[SIGNATURE])
{
    uint8_t *log = NULL;
    size_t n;
    *out = 0;
    if (write_try(r, text) && run_try(r, &r->tried) == EXIT_FAULT &&
        file_read(r->try_log, 1 << 20, &log, &n, NULL) == HYP_OK)
        read_signature((const char *)log, out);
    hyp_free(log);
}

static bool is_over(void *cx)
{
    const struct reduction *r = cx;
    return interrupted || cli_now() > r->until;
}

static bool shows_fault(void *cx, const char *text)
{
    struct reduction *r = cx;
    char signature[SIGNATURE];
    fault_of(r, text, signature);
    return strcmp(signature, r->signature) == 0;
}

static bool shows_it_smaller(void *cx, const char *text)
{
    struct reduction *r = cx;
    if (!shows_fault(r, text))
        return false;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%zu bytes after %u tries \b", strlen(text), r->tries);
    if (strlen(text) <= r->best && file_put(r->reduced, text, strlen(text), NULL) == HYP_OK)
        r->best = strlen(text);
    return true;
}

/* ---- what was run ---- */

/* The words of a line as the command wrote it: plain, or in single quotes. */
static int split(char *line, char *word[WORDS])
{
    int n = 0;
    for (char *p = line; n < WORDS - 1; n++) {
        p += strspn(p, " \n");
        if (!*p)
            break;
        char *to = word[n] = p;
        for (bool quoted = false; *p && (quoted || (*p != ' ' && *p != '\n')); p++) {
            if (*p == '\'')
                quoted = !quoted;
            else if (*p == '\\' && !quoted && p[1])
                *to++ = *++p;
            else
                *to++ = *p;
        }
        if (*p)
            p++;
        *to = 0;
    }
    word[n] = NULL;
    return n;
}

static bool read_text(struct reduction *r, const char *name, char **text)
{
    char path[PATH];
    uint8_t *data = NULL;
    size_t n;
    struct hyp_error err = {0};
    snprintf(path, sizeof path, "%s/%s", r->folder, name);
    if (file_read(path, 4 << 20, &data, &n, &err) != HYP_OK) {
        cli_error("%s is no reproduction folder: %s", r->folder, err.text);
        return false;
    }
    *text = arena_strn(r->arena, (const char *)data, n);
    hyp_free(data);
    return true;
}

/* The options that compilation depends on; what was merged into the model is done. */
static bool read_command(struct reduction *r, struct args *was, const struct args *a)
{
    char *line, *word[WORDS];
    if (!read_text(r, "command", &line))
        return false;
    memset(was, 0, sizeof *was);
    if (!args_parse(was, split(line, word), word))
        return false;
    was->command = "";
    was->option[OPT_set] = was->option[OPT_condition] = (struct arg_value){0};
    if (a->option[OPT_data].given)
        was->option[OPT_data] = a->option[OPT_data];
    return true;
}

static void try_by_code(struct reduction *r, const struct args *was)
{
    r->tried = *was;
    r->tried.verb = VERB_check;
    r->tried.n = 1;
    r->tried.positional[0] = r->try_model;
    r->tried.option[OPT_code].given = true;
}

static bool try_by_running(struct reduction *r, const struct args *was)
{
    if (was->verb != VERB_train && was->verb != VERB_show && was->verb != VERB_explain)
        return false;
    r->tried = *was;
    r->tried.n = was->n ? was->n : 1;
    r->tried.positional[0] = r->try_model;
    r->tried.option[OPT_resume] = (struct arg_value){0};
    if (was->verb == VERB_train)
        r->tried.option[OPT_out] = (struct arg_value){.given = true, .text = r->try_folder};
    return true;
}

/* Finds what shows the fault, and how long that takes. */
static bool find_fault(struct reduction *r, const struct args *was, const char *text)
{
    const double start = cli_now();
    r->patience = r->until - start;
    try_by_code(r, was);
    fault_of(r, text, r->signature);
    if (!*r->signature && try_by_running(r, was))
        fault_of(r, text, r->signature);
    r->patience = 3 * (cli_now() - start) + 2;
    return *r->signature;
}

/* ---- all ---- */

/* As phases the model is longer, but comes apart at more places. */
static void reduce_phases(struct reduction *r, const struct reducer *how,
                          const struct doc *d)
{
    struct args show = r->tried;
    uint8_t *text = NULL;
    size_t n;
    char phases[PATH], *model = doc_print(d, r->arena);
    if (snprintf(phases, sizeof phases, "%s.phases", r->try_model) >= PATH)
        return;
    show.verb = VERB_show;
    show.option[OPT_code].given = false;
    show.option[OPT_stage] = (struct arg_value){.given = true, .text = "phases"};
    show.option[OPT_output] = (struct arg_value){.given = true, .text = phases};
    if (!write_try(r, model) || run_try(r, &show) != EXIT_FINE ||
        file_read(phases, 4 << 20, &text, &n, NULL) != HYP_OK)
        return;
    struct diag_sink *ds = diag_sink_new(r->arena, 1);
    struct doc *p = doc_read(r->arena, ds, diag_file(ds, "phases", "", 0),
                             arena_strn(r->arena, (const char *)text, n), n);
    if (p && shows_fault(r, doc_print(p, r->arena)))
        reduce_doc(how, p);
    hyp_free(text);
    remove(phases);
}

static unsigned lines(const char *text)
{
    unsigned n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void tell(struct reduction *r, const char *before, double took)
{
    uint8_t *text = NULL;
    size_t n = 0;
    if (isatty(STDERR_FILENO))
        fputc('\n', stderr);
    if (file_read(r->reduced, 4 << 20, &text, &n, NULL) != HYP_OK)
        return;
    printf("the fault: %.*s\n", (int)strcspn(r->signature, "\n"), r->signature);
    printf("%s: %u of %u lines, %zu of %zu bytes, after %u tries in %.1f s; %s\n",
           r->reduced, lines((const char *)text), lines(before), n, strlen(before),
           r->tries, took,
           interrupted  ? "interrupted, so it may become smaller still"
           : is_over(r) ? "the time is over, so it may become smaller still (--limit)"
                        : "nothing more can go");
    if (r->tried.verb == VERB_check)
        printf("`hypno check --code %s` shows it\n", r->reduced);
    hyp_free(text);
}

static void clean_up(const struct reduction *r)
{
    remove(r->try_model);
    remove(r->try_log);
    remove_tree(r->try_folder);
}

static int reduce(struct reduction *r, const struct args *a)
{
    struct args *was = arena_alloc(r->arena, sizeof *was);
    struct diag_sink *ds = diag_sink_new(r->arena, 1);
    const struct reducer how = {r->arena, shows_it_smaller, is_over, r};
    const double start = cli_now();
    char *text;

    if (!read_text(r, "model.yaml", &text) || !read_command(r, was, a))
        return EXIT_MISTAKE;
    struct doc *d = doc_read(r->arena, ds, diag_file(ds, "model.yaml", text, strlen(text)),
                             text, strlen(text));
    if (!d || diag_errors(ds))
        return cli_error("%s/model.yaml is no model", r->folder);
    if (!find_fault(r, was, text)) {
        if (interrupted)
            return EXIT_SIGNAL + interrupted;
        const int status = cli_error("the fault does not show any more");
        cli_hint("it may need the data: --data DIR; %s/command is what was run", r->folder);
        return status;
    }
    r->best = SIZE_MAX;
    if (!shows_it_smaller(r, doc_print(d, r->arena)))
        return cli_error("the fault shows in the model as it was written alone");
    reduce_doc(&how, d);
    if (!is_over(r))
        reduce_phases(r, &how, d);
    tell(r, text, cli_now() - start);
    return interrupted ? EXIT_SIGNAL + interrupted : EXIT_FINE;
}

int cmd_reduce(const struct args *a)
{
    struct reduction *r = hyp_calloc(1, sizeof *r);
    struct sigaction action = {.sa_handler = on_interrupt};
    if (!r)
        return cli_error("out of memory");
    r->folder = a->positional[0];
    r->arena = arena_new();
    r->until = cli_now() + (double)args_number(a, OPT_limit, LIMIT);
    snprintf(r->try_model, PATH, "%s/try.yaml", r->folder);
    snprintf(r->try_log, PATH, "%s/try.log", r->folder);
    snprintf(r->try_folder, PATH, "%s/try", r->folder);
    snprintf(r->reduced, PATH, "%s/reduced.yaml", r->folder);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    const int status = reduce(r, a);
    clean_up(r);
    arena_free(r->arena);
    hyp_free(r);
    return status;
}
