/* hypno check: through the whole compiler up to the memory plan, then what the model is. */
#include <string.h>

#include "compiler/cli/open.h"
#include "runtime/base/arena.h"

/* 1,234,567 */
static const char *grouped(char text[32], uint64_t n)
{
    char plain[32];
    const int len = snprintf(plain, sizeof plain, "%llu", (unsigned long long)n);
    int at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = plain[i];
    }
    text[at] = 0;
    return text;
}

static uint64_t weights(const struct hyp_plan *p)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < p->ntensor; i++)
        if (p->tensor[i].weight)
            n += p->tensor[i].bytes / (p->f64 ? 8 : 4);
    return n;
}

static uint64_t memory(const struct hyp_plan *p)
{
    uint64_t n = 0;
    for (unsigned s = 0; s < HYP_SEG_COUNT; s++)
        n += p->segment_bytes[s];
    return n;
}

/* What is made when it is first run: probes, dreams. */
static int make_code(struct compiled *c)
{
    struct hyp_plan *p = c->plan;
    struct hyp_error err = {0};
    for (uint32_t i = 0; i < p->nphase; i++) {
        const enum hyp_status s = p->load_phase(p, i, &err);
        if (s != HYP_OK)
            return open_runtime_error(c, s, &err);
    }
    return EXIT_FINE;
}

int cmd_check(const struct args *a)
{
    struct opening w;
    int status;

    opening_init(&w, a);
    w.o.model.go_on = true;
    const bool code = a->option[OPT_code].given;
    struct compiled *c =
        open_model(a->positional[0], &w.o, code ? UNTIL_CODE : UNTIL_PLAN, &status);
    if (status == EXIT_FINE && code)
        status = make_code(c);
    if (status == EXIT_FINE) {
        const struct hyp_plan *p = c->plan;
        char weight[32], kernel[32], mib[32];
        printf("%s: fine; %s weights, %s kernels, %s MiB at batch %lld\n", a->positional[0],
               grouped(weight, weights(p)), grouped(kernel, p->nkernel),
               grouped(mib, (memory(p) + (1 << 20) - 1) >> 20), (long long)p->batch_max);
    }
    compiled_free(c);
    opening_fini(&w);
    return status;
}
