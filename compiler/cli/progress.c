#include "compiler/cli/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "compiler/cli/cmd.h"

enum { LINE_SIZE = 512 };
#define TERMINAL_SECONDS 0.1
#define LOG_SECONDS      30.0

struct line {
    char text[LINE_SIZE];
    size_t n;
};

static void add(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct line *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int k = vsnprintf(l->text + l->n, LINE_SIZE - l->n, fmt, ap);
    va_end(ap);
    if (k > 0)
        l->n = l->n + (size_t)k < LINE_SIZE ? l->n + (size_t)k : LINE_SIZE - 1;
}

static void add_time(struct line *l, double seconds)
{
    const long s = lround(seconds);
    if (s >= 3600)
        add(l, "%ld h %02ld min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        add(l, "%ld min %02ld s", s / 60, s % 60);
    else
        add(l, "%ld s", s);
}

static void add_values(struct line *l, const struct hyp_progress *now, bool losses)
{
    for (uint32_t i = 0; i < now->nvalue; i++) {
        const struct hyp_value *v = &now->value[i];
        if (v->known && v->n == 1 && v->loss == losses)
            add(l, "  %s %.4g", v->name, v->v[0]);
    }
}

static void compose(struct line *l, const struct hyp_progress *now)
{
    add(l, "epoch %lld", (long long)now->epoch);
    if (now->epochs >= 0)
        add(l, "/%lld", (long long)now->epochs);
    if (now->epoch_end) {
        add(l, " done, %lld cycles", (long long)now->step);
    } else {
        add(l, " cycle %lld", (long long)now->cycle);
        if (now->cycles >= 0)
            add(l, "/%lld", (long long)now->cycles);
    }
    add_values(l, now, true);
    if (now->samples_per_second > 0)
        add(l, "  %.0f samples/s", now->samples_per_second);
    if (now->eta_seconds >= 0) {
        add(l, "  ETA ");
        add_time(l, now->eta_seconds);
    }
}

static int terminal_width(void)
{
    struct winsize w = {0};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
}

void progress_init(struct progress *p, bool quiet)
{
    const char *term = getenv("TERM");
    *p = (struct progress){.quiet = quiet};
    p->terminal = isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0);
    p->last = cli_now() - TERMINAL_SECONDS;
    if (!p->terminal)
        p->last = cli_now();
}

static void erase(struct progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}

void progress_end(struct progress *p)
{
    if (p->drawn)
        fputc('\n', stderr);
    p->drawn = false;
}

void progress_cycle(void *cx, const struct hyp_progress *now)
{
    struct progress *p = cx;
    struct line l = {.n = 0};
    const double t = cli_now();

    if (p->quiet ||
        (!now->epoch_end && t - p->last < (p->terminal ? TERMINAL_SECONDS : LOG_SECONDS)))
        return;
    p->last = t;
    compose(&l, now);
    if (now->epoch_end)
        add_values(&l, now, false);
    if (!p->terminal || now->epoch_end) {
        erase(p);
        fprintf(stderr, "%s\n", l.text);
        return;
    }
    const int width = terminal_width() - 1;
    fprintf(stderr, "\r\033[K%.*s", width, l.text);
    fflush(stderr);
    p->drawn = true;
}

void progress_message(void *cx, enum hyp_message kind, const char *text)
{
    struct progress *p = cx;
    if (p->quiet && kind == HYP_MESSAGE_INFO)
        return;
    erase(p);
    fprintf(stderr, "%s%s\n", kind == HYP_MESSAGE_WARNING ? "warning: " : "", text);
}
