#include "compiler/cli/fault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/cli/cmd.h"
#ifdef HYP_WITH_LLVM
#include "codegen/llvm/llvm.h"
#endif
#include "compiler/driver/compile.h"
#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"

/* What a signal handler needs lies ready here: it may neither allocate nor format. */
static struct {
    const char *command;
    char *model;
    char folder[4096];
    char path[4][4160]; /* of the files below */
} fault;

enum { FILE_COMMAND, FILE_MODEL, FILE_DIAGNOSTICS, FILE_CODE };
static const char *const file_name[] = {"command", "model.yaml", "diagnostics.txt",
                                        "code.txt"};

static void put(unsigned file, const char *text)
{
    if (!text)
        return;
    const int fd = open(fault.path[file], O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0)
        return;
    for (size_t n = strlen(text); n > 0;) {
        const ssize_t k = write(fd, text, n);
        if (k <= 0)
            break;
        text += k;
        n -= (size_t)k;
    }
    close(fd);
}

static void say(const char *text)
{
    const ssize_t n = write(STDERR_FILENO, text, strlen(text));
    (void)n;
}

static void write_folder(void)
{
    if (mkdir(fault.folder, 0777) != 0 && access(fault.folder, W_OK) != 0) {
        say("hypno: the reproduction folder could not be made here\n");
        return;
    }
    put(FILE_COMMAND, fault.command);
    put(FILE_MODEL, fault.model);
    say("hypno: what reproduces it: ");
    say(fault.folder);
    say("/ (please report it with this folder; `hypno reduce` makes it smaller)\n");
}

static void on_crash(int number)
{
    signal(number, SIG_DFL);
    say("\nhypno: internal fault: ");
    say(number == SIGABRT ? "an assertion failed\n" : "the program crashed\n");
    write_folder();
    _exit(EXIT_FAULT);
}

static void catch_crashes(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    static char stack[65536]; /* a stack that ran over leaves none */
    const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK};
    sigaltstack(&alternative, NULL);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], &action, NULL);
#else
    (void)on_crash;
#endif
}

void fault_folder(const char *path)
{
    snprintf(fault.folder, sizeof fault.folder, "%s", path);
    for (unsigned i = 0; i < 4; i++)
        snprintf(fault.path[i], sizeof fault.path[i], "%s/%s", fault.folder, file_name[i]);
}

void fault_init(const char *command)
{
    char folder[64];
    fault.command = command;
    snprintf(folder, sizeof folder, "hypno-fault-%ld", (long)getpid());
    fault_folder(folder);
    catch_crashes();
}

void fault_fini(void)
{
    hyp_free(fault.model);
    fault.model = NULL;
}

void fault_model(const char *text)
{
    char *copy = hyp_strdup(text);
    hyp_free(fault.model);
    fault.model = copy;
}

static void put_nests(const struct compiled *c)
{
    FILE *out = fopen(fault.path[FILE_CODE], "w");
    if (!out)
        return;
    for (uint32_t k = 0; c->ir.nest && c->plan && k < c->plan->nkernel; k++)
        fprintf(out, "%s\n", nest_print(c->ir.nest[k], c->arena));
    fclose(out);
}

/* What LLVM does not take stands alone, with its module. */
static void put_refused(const struct compiled *c)
{
#ifdef HYP_WITH_LLVM
    const uint32_t n = c->ir.nest && c->plan ? c->plan->nkernel : 0;
    if (c->backend != &backend_llvm || n == 0)
        return;
    const uint32_t k = llvm_refused(c->ir.nest, n, c->target);
    if (k < n)
        llvm_reproduce(c->ir.nest[k], c->target, fault.folder);
#else
    (void)c;
#endif
}

int fault_report(const struct compiled *c, const char *what)
{
    fprintf(stderr, "hypno: internal fault: %s\n", what);
    write_folder();
    if (c) {
        FILE *out = fopen(fault.path[FILE_DIAGNOSTICS], "w");
        if (out) {
            diag_print(c->diags, out, false);
            fclose(out);
        }
        put_nests(c);
        put_refused(c);
    }
    return EXIT_FAULT;
}
