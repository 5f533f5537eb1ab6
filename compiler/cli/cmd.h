/*
 * The command `hypno`: its verbs and options as tables (cmd.def), and what verbs share.
 *
 * A verb is a function in cmd_NAME.c that takes parsed arguments and returns the exit
 * status.
 */
#ifndef HYP_COMPILER_CLI_CMD_H
#define HYP_COMPILER_CLI_CMD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum exit_status {
    EXIT_FINE = 0,
    EXIT_MISTAKE = 1, /* the user's, or a run that could not go on */
    EXIT_USAGE = 2,
    EXIT_FAULT = 3,   /* ours; with a reproduction folder */
    EXIT_SIGNAL = 128 /* plus the signal's number */
};

enum verb_id {
#define VERB(name, ...) VERB_##name,
#include "compiler/cli/cmd.def"
    VERB_COUNT
};
enum option_id {
#define OPTION(id, ...) OPT_##id,
#include "compiler/cli/cmd.def"
    OPT_COUNT
};
enum option_kind { OPT_FLAG, OPT_TEXT, OPT_TEXTS, OPT_COUNT_, OPT_SIZE, OPT_WORD };

struct args;
typedef int verb_fn(const struct args *a);

struct verb {
    const char *name, *arguments;
    unsigned least, most; /* positional arguments */
    bool shown;
    const char *doc, *example, *about;
    verb_fn *run;
};
struct option {
    const char *spelling;
    char letter; /* 0: none */
    enum option_kind kind;
    const char *metavar;
    uint32_t verbs; /* a bit each */
    const char *doc;
};
extern const struct verb cmd_verb[VERB_COUNT];
extern const struct option cmd_option[OPT_COUNT];

enum { ARGS_TEXTS = 64, ARGS_POSITIONAL = 2 };
struct arg_value {
    bool given;
    const char *text; /* TEXT, WORD; of the others as written */
    uint64_t number;  /* COUNT, SIZE */
    const char *texts[ARGS_TEXTS];
    uint32_t n;
};
struct args {
    enum verb_id verb;
    bool help;
    const char *positional[ARGS_POSITIONAL];
    unsigned n;
    struct arg_value option[OPT_COUNT];
    const char *command; /* the whole line, for the run folder */
    double started;      /* CLOCK_MONOTONIC at process start */
};

/* False: a line was printed; exit with EXIT_USAGE. */
bool args_parse(struct args *out, int argc, char **argv);
const char *args_text(const struct args *a, enum option_id id, const char *otherwise);
uint64_t args_number(const struct args *a, enum option_id id, uint64_t otherwise);

/* help.c */
void help_all(FILE *out, bool colour);
void help_verb(FILE *out, enum verb_id v, bool colour);
bool option_of(enum option_id o, enum verb_id v);
/* The form for people: `-n, --count N`. */
void help_spelling(char *text, size_t size, enum option_id o);

/* complete.c: from the tables */
void complete_bash(FILE *out);
void complete_zsh(FILE *out);
void man_page(FILE *out);
void command_manual(FILE *out);

/* What compiling has freed, back to the system. */
void cli_trim(void);
/* On a terminal, and NO_COLOR is not set. */
bool cli_colour(FILE *out);
/* `hypno: error: ...` on standard error; returns EXIT_MISTAKE. */
int cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void cli_hint(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* `text` from column `col` on, wrapped; further lines begin at `indent`. */
void cli_wrapped(FILE *out, const char *text, int col, int indent);
double cli_now(void);

#define VERB(name, ...) verb_fn cmd_##name;
#include "compiler/cli/cmd.def"

#endif
