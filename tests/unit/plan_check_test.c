/* Plans are judged by their nests: what a plan says falsely is found. */
#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/compile.h"
#include "compiler/driver/plan_check.h"
#include "runtime/base/arena.h"

static struct compiled *model;

static struct compiled *compile_batch(const char *batch)
{
    const struct compile_options o = {.model = {.set = &batch, .nset = 1},
                                      .backend = "interp",
                                      .target = "avx2",
                                      .threads = 1};
    char path[4096];
    bool ok = false;
    snprintf(path, sizeof path, "%s/examples/first-model/model.yaml",
             getenv("HYP_SOURCE_DIR"));
    struct compiled *c = compile_model(path, &o, UNTIL_PLAN, &ok);
    return ok ? c : NULL;
}

static int compile_example(void **state)
{
    (void)state;
    model = compile_batch("batch=100");
    return model ? 0 : -1;
}

static int free_example(void **state)
{
    (void)state;
    compiled_free(model);
    return 0;
}

static void judge(const char *want)
{
    struct arena *a = arena_new();
    const char *why = plan_check(model->plan, model->ir.nest, a);
    if (!want)
        assert_null(why);
    else if (!why || !strstr(why, want))
        fail_msg("want \"%s\", got \"%s\"", want, why ? why : "nothing");
    arena_free(a);
}

static const struct hyp_phase *wake(void)
{
    const struct hyp_plan *p = model->plan;
    for (uint32_t i = 0; i < p->nphase; i++)
        if (strcmp(p->phase[i].name, "wake") == 0)
            return &p->phase[i];
    fail();
    return NULL;
}

static void the_plan_is_true(void **state)
{
    (void)state;
    judge(NULL);
}

/* Weights of small layers are set independently of one another: together. */
static void launches_have_several_entries(void **state)
{
    const struct hyp_plan *p = model->plan;
    uint32_t most = 0;
    (void)state;
    for (uint32_t i = 0; i < p->nphase; i++) {
        const struct hyp_phase *ph = &p->phase[i];
        for (uint32_t k = 0; k < ph->nop && strcmp(ph->name, "init") == 0; k++)
            if (ph->op[k].op == HYP_OP_LAUNCH && ph->op[k].b - ph->op[k].a > most)
                most = ph->op[k].b - ph->op[k].a;
    }
    assert_true(most >= 4);
}

/* Every kernel, every buffer, every other use than the true one. */
static void uses_are_compared(void **state)
{
    const struct hyp_plan *p = model->plan;
    unsigned lies = 0;
    (void)state;
    for (uint32_t k = 0; k < p->nkernel; k++)
        for (uint32_t i = 0; i < p->kernel[k].nbuf; i++) {
            uint8_t *use = (uint8_t *)&p->kernel[k].use[i];
            const uint8_t truth = *use;
            if (truth == HYP_PRIVATE)
                continue;
            *use = truth == HYP_READ ? HYP_WRITE : HYP_READ;
            judge(truth == HYP_READ ? "does not write" : "writes a buffer");
            *use = HYP_WRITE;
            if (truth == HYP_READ_WRITE)
                judge("reads a buffer");
            *use = truth;
            lies++;
        }
    assert_true(lies > 50);
    judge(NULL);
}

/* A buffer of the arena that the phase's launch writes; its entry in *entry. */
static struct hyp_buffer *scratch_of(uint32_t op, uint32_t *entry)
{
    const struct hyp_plan *p = model->plan;
    for (uint32_t e = wake()->op[op].a; e < wake()->op[op].b; e++) {
        const struct hyp_kernel *k = &p->kernel[p->entry[e].kernel];
        for (uint32_t i = 0; i < k->nbuf; i++) {
            struct hyp_buffer *b = &p->buffer[p->entry[e].buf[i]];
            if (b->segment == HYP_SEG_SCRATCH && k->use[i] == HYP_WRITE &&
                b->bytes > 4096) {
                *entry = e;
                return b;
            }
        }
    }
    return NULL;
}

static void values_lie_apart(void **state)
{
    struct hyp_buffer *first = NULL, *second = NULL;
    uint32_t e;
    (void)state;
    for (uint32_t i = 0; i < wake()->nop && !second; i++) {
        if (wake()->op[i].op != HYP_OP_LAUNCH)
            continue;
        *(first ? &second : &first) = scratch_of(i, &e);
    }
    assert_non_null(second);
    const uint64_t truth = second->offset;
    second->offset = first->offset + first->bytes - 64;
    judge("lie on one another");
    second->offset = UINT64_C(1) << 40;
    judge("outside of its segment");
    second->offset = truth;
    struct hyp_buffer *state_buffer = NULL;
    for (uint32_t i = 0; i < model->plan->nbuffer; i++) {
        struct hyp_buffer *b = &model->plan->buffer[i];
        if (b->segment == HYP_SEG_STATE && b->offset && !state_buffer)
            state_buffer = b;
    }
    state_buffer->offset -= 64;
    judge("lie on one another");
    state_buffer->offset += 64;
    judge(NULL);
}

/* A launch that runs before what makes its values, or beside it. */
static void order_is_judged(void **state)
{
    struct hyp_op *op = wake()->op;
    uint32_t i = 0;
    (void)state;
    while (op[i].op != HYP_OP_LAUNCH)
        i++;
    assert_int_equal(op[i + 1].op, HYP_OP_LAUNCH);
    const struct hyp_op first = op[i], second = op[i + 1];
    op[i] = second;
    op[i + 1] = first;
    judge("read before it is written");
    op[i] = (struct hyp_op){HYP_OP_LAUNCH, first.a, second.b, 0, 0};
    op[i + 1] = (struct hyp_op){HYP_OP_LAUNCH, 0, 0, 0, 0};
    judge("two entries of a launch");
    op[i] = first;
    op[i + 1] = second;
    judge(NULL);
}

/* The first buffer of an entry that stores around the caches; *count: how many do. */
static struct hyp_buffer *far_buffer(const struct compiled *c, unsigned *count)
{
    struct hyp_buffer *first = NULL;
    *count = 0;
    for (uint32_t e = 0; e < c->plan->nentry; e++) {
        const struct nest *n = c->ir.nest[c->plan->entry[e].kernel];
        for (uint32_t i = 0; i < n->nbuf; i++) {
            struct hyp_buffer *b = &c->plan->buffer[c->plan->entry[e].buf[i]];
            if (!n->buf[i].far || n->buf[i].use != BUF_WRITE)
                continue;
            assert_true(b->bytes >= (uint64_t)c->target->l3);
            first = first ? first : b;
            ++*count;
        }
    }
    return first;
}

static void what_no_cache_holds_is_far(void **state)
{
    struct compiled *large = compile_batch("batch=10000"), *keep = model;
    unsigned count;
    (void)state;
    assert_null(far_buffer(model, &count));
    assert_non_null(large);
    struct hyp_buffer *b = far_buffer(large, &count);
    assert_true(count > 0);
    model = large;
    judge(NULL);
    b->offset += 4;
    judge("does not begin a line");
    model = keep;
    compiled_free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plan_is_true),
        cmocka_unit_test(launches_have_several_entries),
        cmocka_unit_test(uses_are_compared),
        cmocka_unit_test(values_lie_apart),
        cmocka_unit_test(order_is_judged),
        cmocka_unit_test(what_no_cache_holds_is_far),
    };
    return cmocka_run_group_tests(tests, compile_example, free_example);
}
