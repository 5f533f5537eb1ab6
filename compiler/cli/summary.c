#include "compiler/cli/summary.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"

static void print_value(const struct hyp_value *v, int width)
{
    printf("  %-*s ", width, v->name);
    for (uint32_t i = 0; i < v->n; i++)
        printf(" %.6g", v->v[i]);
    putchar('\n');
}

void summary_values(const struct hyp_summary *s)
{
    int width = 0;
    for (uint32_t i = 0; i < s->nvalue; i++)
        if (s->value[i].known && (int)strlen(s->value[i].name) > width)
            width = (int)strlen(s->value[i].name);
    for (uint32_t i = 0; i < s->nvalue; i++)
        if (s->value[i].known && s->value[i].n)
            print_value(&s->value[i], width);
}

void summary_text(const struct hyp_summary *s, const char *run)
{
    summary_values(s);
    printf("%lld cycles in %lld epochs", (long long)s->cycles, (long long)s->epochs);
    if (s->seconds_per_cycle > 0)
        printf(", %.3g ms per cycle", 1e3 * s->seconds_per_cycle);
    if (s->first_cycle_seconds > 0)
        printf(", the first after %.2f s (%.2f s of compiling)", s->first_cycle_seconds,
               s->compile_seconds);
    printf("; %llu MiB of memory\n", (unsigned long long)(s->peak_rss_bytes >> 20));
    if (run)
        printf("run folder: %s\n", run);
}

bool summary_json(const struct hyp_summary *s)
{
    char *text = hyp_summary_json(s);
    if (!text)
        return false;
    puts(text);
    hyp_free(text);
    return true;
}
