/* Completions for bash and zsh, the man page and docs/commands.md, all from the table. */
#include <string.h>

#include "compiler/cli/cmd.h"
#include "compiler/cli/version.h"
#include "compiler/ir/target.h"

static bool takes_file(const struct option *o)
{
    return strstr(o->metavar, "FILE") || strstr(o->metavar, "RUN") ||
           strstr(o->metavar, "DIR");
}

static void verb_words(FILE *out)
{
    for (unsigned v = 0; v < VERB_COUNT; v++)
        if (cmd_verb[v].shown)
            fprintf(out, "%s%s", v ? " " : "", cmd_verb[v].name);
}

static void spaced(FILE *out, const char *words)
{
    for (; *words; words++)
        fputc(*words == '|' ? ' ' : *words, out);
}

void complete_bash(FILE *out)
{
    fputs("# bash completion for hypno; made by `hypno doc` from the table of commands\n"
          "_hypno() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} "
          "options=\n"
          "    COMPREPLY=()\n"
          "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
          "        COMPREPLY=($(compgen -W \"",
          out);
    verb_words(out);
    fputs("\" -- \"$cur\"))\n        return\n    fi\n    case \"$prev\" in\n", out);
    for (unsigned o = 0; o < OPT_COUNT; o++)
        if (cmd_option[o].kind == OPT_WORD) {
            fprintf(out, "    %s) COMPREPLY=($(compgen -W \"", cmd_option[o].spelling);
            spaced(out, cmd_option[o].metavar);
            fputs("\" -- \"$cur\")); return ;;\n", out);
        }
    fputs("    esac\n    case \"${COMP_WORDS[1]}\" in\n", out);
    for (unsigned v = 0; v < VERB_COUNT; v++) {
        if (!cmd_verb[v].shown)
            continue;
        fprintf(out, "    %s) options=\"", cmd_verb[v].name);
        for (unsigned o = 0; o < OPT_COUNT; o++)
            if (option_of((enum option_id)o, (enum verb_id)v))
                fprintf(out, "%s ", cmd_option[o].spelling);
        fputs("--help\" ;;\n", out);
    }
    fputs("    esac\n"
          "    case \"$cur\" in\n"
          "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
          "    *) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
          "    esac\n"
          "}\n"
          "complete -o filenames -F _hypno hypno\n",
          out);
}

/* Inside '...[...]' of zsh: brackets, colons and quotes are escaped. */
static void zsh_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else if (strchr("[]:\\", *text))
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

static void zsh_option(FILE *out, const struct option *o)
{
    fprintf(out, "            '%s%s[", o->kind == OPT_TEXTS ? "*" : "", o->spelling);
    zsh_text(out, o->doc);
    fputc(']', out);
    if (o->kind == OPT_WORD) {
        fputs(":word:(", out);
        spaced(out, o->metavar);
        fputc(')', out);
    } else if (o->kind != OPT_FLAG) {
        fputc(':', out);
        zsh_text(out, o->metavar);
        fputs(takes_file(o) ? ":_files" : ":", out);
    }
    fputs("' \\\n", out);
}

void complete_zsh(FILE *out)
{
    fputs("#compdef hypno\n# made by `hypno doc` from the table of commands\n"
          "_hypno() {\n    local -a verbs\n    verbs=(\n",
          out);
    for (unsigned v = 0; v < VERB_COUNT; v++)
        if (cmd_verb[v].shown) {
            fprintf(out, "        '%s:", cmd_verb[v].name);
            zsh_text(out, cmd_verb[v].doc);
            fputs("'\n", out);
        }
    fputs("    )\n    if (( CURRENT == 2 )); then\n        _describe verb verbs\n        "
          "return\n"
          "    fi\n    local verb=$words[2]\n    shift words\n    (( CURRENT-- ))\n"
          "    case $verb in\n",
          out);
    for (unsigned v = 0; v < VERB_COUNT; v++) {
        if (!cmd_verb[v].shown)
            continue;
        fprintf(out, "    %s)\n        _arguments \\\n", cmd_verb[v].name);
        for (unsigned o = 0; o < OPT_COUNT; o++)
            if (option_of((enum option_id)o, (enum verb_id)v))
                zsh_option(out, &cmd_option[o]);
        fputs("            '--help[print help]' '*: :_files' ;;\n", out);
    }
    fputs("    esac\n}\n_hypno \"$@\"\n", out);
}

/* Text for troff: no line begins with a dot or quote, dashes stay dashes. */
static void troff(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\\\", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

static void man_verb(FILE *out, enum verb_id v)
{
    const struct verb *verb = &cmd_verb[v];
    fprintf(out, ".SS hypno %s %s\n", verb->name, verb->arguments);
    troff(out, verb->doc);
    fputs(".\n", out);
    troff(out, verb->about);
    if (*verb->about)
        fputc('\n', out);
    for (unsigned o = 0; o < OPT_COUNT; o++) {
        char left[96];
        if (!option_of((enum option_id)o, v))
            continue;
        help_spelling(left, sizeof left, (enum option_id)o);
        fputs(".TP\n.B ", out);
        troff(out, left);
        fputc('\n', out);
        troff(out, cmd_option[o].doc);
        fputs(".\n", out);
    }
    fputs(".PP\nExample:\n.RS\n.nf\n", out);
    troff(out, verb->example);
    fputs("\n.fi\n.RE\n", out);
}

void man_page(FILE *out)
{
    fputs(".\\\" made by `hypno doc` from the table of commands\n"
          ".TH HYPNO 1 \"\" \"hypnograph " HYP_VERSION "\" \"User Commands\"\n"
          ".SH NAME\nhypno \\- neural models in one YAML file that wake, sleep and dream\n"
          ".SH SYNOPSIS\n.B hypno\n.I VERB\n[arguments] [options]\n.SH VERBS\n",
          out);
    for (unsigned v = 0; v < VERB_COUNT; v++)
        if (cmd_verb[v].shown)
            man_verb(out, (enum verb_id)v);
    fputs(
        ".SH EXIT STATUS\n"
        "0: fine.  1: a mistake in what was given, or a run that could not go on.  2: "
        "usage.\n"
        "3: an internal fault, with a reproduction folder.  128 + n: after signal n.\n"
        ".SH ENVIRONMENT\n.TP\n.B HYPNO_CACHE\nFolder where compiled kernels are kept; "
        "off: "
        "nowhere.  If it is not set: hypno in XDG_CACHE_HOME or in ~/.cache.\n.TP\n.B "
        "HYPNO_DATA\nFolders, separated by colons, where data "
        "files are "
        "looked for after \\-\\-data.\n.TP\n.B HYPNO_TARGET\nThe kind of processor to make "
        "code for, instead of this one:",
        out);
    const struct target *t;
    for (unsigned i = 0; (t = target_at(i)); i++)
        fprintf(out, "%s %s", i ? "," : "", t->name);
    fputs("; for the last, none: the interpreter runs.\n.TP\n.B NO_COLOR\nIf set, nothing "
          "is coloured.\n",
          out);
}

void command_manual(FILE *out)
{
    fputs("# The command `hypno`\n\nMade by `hypno doc` from `compiler/cli/cmd.def`.\n\n"
          "Exit status: 0 fine; 1 a mistake in what was given, or a run that could not go "
          "on; 2 "
          "usage; 3 an internal fault, with a\nreproduction folder; 128 + n after signal "
          "n.\n",
          out);
    for (unsigned v = 0; v < VERB_COUNT; v++) {
        if (!cmd_verb[v].shown)
            continue;
        fprintf(out, "\n## %s\n\n```\n", cmd_verb[v].name);
        help_verb(out, (enum verb_id)v, false);
        fputs("```\n", out);
    }
}
