/* Axes with round numbers (steps of 1, 2 or 5 times a power of ten), and the SVG text. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/plot_impl.h"

/* ---- text ---- */

static bool make_room(struct svg *s, size_t n)
{
    if (s->failed || s->cap - s->n > n)
        return !s->failed;
    const size_t cap = (s->cap + n) * 2 + 1024;
    char *more = hyp_realloc(s->text, cap);
    s->failed = !more;
    if (more) {
        s->text = more;
        s->cap = cap;
    }
    return !s->failed;
}

void svg_add(struct svg *s, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && make_room(s, (size_t)n + 1)) {
        vsnprintf(s->text + s->n, s->cap - s->n, fmt, again);
        s->n += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

void svg_words(struct svg *s, const char *words)
{
    for (; *words; words++) {
        const char c = *words;
        if (c == '<')
            svg_add(s, "&lt;");
        else if (c == '>')
            svg_add(s, "&gt;");
        else if (c == '&')
            svg_add(s, "&amp;");
        else if ((unsigned char)c >= 32)
            svg_add(s, "%c", c);
    }
}

void svg_text(struct svg *s, double x, double y, const char *anchor, const char *style,
              const char *words)
{
    svg_add(s, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" %s>", x, y, anchor, style);
    svg_words(s, words);
    svg_add(s, "</text>\n");
}

double svg_width(const char *words)
{
    double n = 0;
    for (; *words; words++)
        n += ((unsigned char)*words & 0xC0) != 0x80; /* bytes that begin a character */
    return n * 6.6;
}

/* ---- axes ---- */

bool axis_shows(const struct axis *a, double v)
{
    return fabs(v) < 1e300 && (!a->log || v > 0); /* false for NaN too */
}

static double scaled(const struct axis *a, double v)
{
    return a->log ? log10(v) : v;
}

void axis_cover(struct axis *a, double v)
{
    if (!axis_shows(a, v))
        return;
    v = scaled(a, v);
    if (a->empty || v < a->low)
        a->low = v;
    if (a->empty || v > a->high)
        a->high = v;
    a->empty = false;
}

double axis_place(const struct axis *a, double v)
{
    return a->from + (scaled(a, v) - a->low) / (a->high - a->low) * (a->to - a->from);
}

/* The round step nearest to `rough` from above. */
static double round_step(double rough)
{
    const double power = pow(10, floor(log10(rough)));
    const double digit = rough / power;
    return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

/* Plain for everyday numbers, else 3e-5. */
static void write_number(char out[AXIS_LABEL], double v, double step)
{
    const double size = fabs(v);
    if (v == 0 && step < 1e-4) {
        snprintf(out, AXIS_LABEL, "0");
        return;
    }
    if (v == 0 || (size < 1e5 && step >= 1e-4)) {
        int decimals = 0;
        for (double s = step; decimals < 4 && fabs(s - round(s)) > 1e-6 * s; s *= 10)
            decimals++;
        snprintf(out, AXIS_LABEL, "%.*f", decimals, v == 0 ? 0.0 : v);
        return;
    }
    int digits = 0;
    for (const double lead = size / pow(10, floor(log10(size) + 1e-9));
         digits < 4 && fabs(lead * pow(10, digits) - round(lead * pow(10, digits))) > 1e-6;)
        digits++;
    snprintf(out, AXIS_LABEL, "%.*e", digits, v);
    char *e = strchr(out, 'e'), *to = e + 1; /* 1e+05 becomes 1e5 */
    const char *from = e + 1;
    if (*from == '-')
        to++;
    for (from++; *from == '0' && from[1]; from++)
        ;
    memmove(to, from, strlen(from) + 1);
}

static void add_tick(struct axis *a, double v, double step)
{
    if (a->ntick == AXIS_MAX_TICKS)
        return;
    a->tick[a->ntick] = v;
    write_number(a->label[a->ntick++], v, step);
}

static void linear_ticks(struct axis *a, unsigned want)
{
    const double step = round_step((a->high - a->low) / want);
    a->low = floor(a->low / step + 1e-9) * step;
    a->high = ceil(a->high / step - 1e-9) * step;
    for (unsigned k = 0; k <= 2 * want && a->low + k * step <= a->high + step * 1e-3; k++)
        add_tick(a, (round(a->low / step) + k) * step, step);
}

/* Powers of ten; within two decades also their doubles and fives. */
static void log_ticks(struct axis *a, unsigned want)
{
    const double first = floor(a->low), last = ceil(a->high);
    const double stride = ceil((last - first) / want);
    const bool fine = a->high - a->low <= 2;

    if (!fine) {
        a->low = first;
        a->high = first + ceil((a->high - first) / stride - 1e-9) * stride;
    }
    for (unsigned i = 0; i <= want; i++)
        for (unsigned k = 0; k < (fine ? 3U : 1U); k++) {
            static const double digit[] = {1, 2, 5};
            const double unit = pow(10, first + i * stride), at = log10(digit[k] * unit);
            if (at >= a->low - 1e-9 && at <= a->high + 1e-9)
                add_tick(a, digit[k] * unit, unit);
        }
}

void axis_finish(struct axis *a, unsigned want, bool zero)
{
    if (a->empty) {
        a->low = 0;
        a->high = 1;
        a->empty = false;
    }
    if (zero && !a->log) {
        a->low = a->low > 0 ? 0 : a->low;
        a->high = a->high < 0 ? 0 : a->high;
    }
    if (!(a->high - a->low > 1e-9 * (fabs(a->high) + fabs(a->low)) + 1e-290)) {
        const double pad = a->log ? 0.5 : fabs(a->low) < 1e-280 ? 1 : fabs(a->low) * 0.1;
        a->low -= pad;
        a->high += pad;
    }
    a->ntick = 0;
    if (a->log)
        log_ticks(a, want);
    else
        linear_ticks(a, want);
}
