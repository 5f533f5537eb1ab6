/* See tiny_plan.h.  Buffers are one list; every kernel is one stage of one unit. */
#include "tests/unit/tiny_plan.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/philox.h"

enum buffer {
    B_W,
    B_M,
    B_SEEN,
    B_A,
    B_B,
    B_Y,
    B_LOSS,
    B_MEAN,
    B_ERROR,
    B_DREAM,
    B_R,
    B_COUNT
};

struct tiny_log tiny_log;
double tiny_setting[4];

static float noise(uint64_t seed, uint32_t site, uint32_t draw, uint32_t sample, uint32_t i)
{
    return hyp_uniform(hyp_random_word(seed, site, draw, sample, i)) - 0.5F;
}

static void run_init(const struct hyp_kargs *k, int64_t lo, int64_t hi, void *scratch)
{
    float *w = k->buf[0], *m = k->buf[1], *seen = k->buf[2];
    (void)lo, (void)hi, (void)scratch;
    for (uint32_t i = 0; i < 2; i++) {
        w[i] = noise(k->seed, 1, 0, 0, i);
        m[i] = 0;
    }
    seen[0] = 0;
}

static void note_run(const struct hyp_kargs *k, const float *a, float *w, float seen)
{
    struct tiny_log *l = &tiny_log;
    l->batch[l->cycles % 4096] = k->batch;
    l->first[l->cycles % 4096] = a[0];
    l->samples += k->batch;
    l->allocations[l->cycles % 4096] = hyp_alloc_count();
    l->cycles++;
    if (l->poison && seen == (float)l->poison)
        w[0] = INFINITY;
    k->watch[0] |= isfinite(w[0]) ? 0 : 1;
    if (l->cycles == l->kill)
        kill(getpid(), SIGKILL);
    if (l->cycles == l->interrupt)
        raise(SIGINT);
}

/* buf: w m seen a b y r loss; scalar: lr, draw */
static void run_learn(const struct hyp_kargs *k, int64_t lo, int64_t hi, void *scratch)
{
    float *w = k->buf[0], *m = k->buf[1], *seen = k->buf[2];
    const float *a = k->buf[3], *b = k->buf[4], *y = k->buf[5];
    float *r = k->buf[6], *loss = k->buf[7];
    float g[2] = {0, 0}, sum = 0;
    const float n = (float)k->batch;

    (void)lo, (void)hi, (void)scratch;
    for (int64_t i = 0; i < k->batch; i++) {
        r[i] = w[0] * a[i] + w[1] * b[i] - y[i] +
               0.1F * noise(k->seed, 2, k->scalar[1].u, (uint32_t)i, 0);
        sum += r[i] * r[i];
        g[0] += 2 * r[i] * a[i] / n;
        g[1] += 2 * r[i] * b[i] / n;
    }
    loss[0] = sum / n;
    for (unsigned i = 0; i < 2; i++) {
        m[i] = 0.5F * m[i] + g[i];
        w[i] -= k->scalar[0].f * m[i];
    }
    seen[0] += n;
    note_run(k, a, w, seen[0]);
}

/* buf: a b mean: of a + b over the batch */
static void run_mean(const struct hyp_kargs *k, int64_t lo, int64_t hi, void *scratch)
{
    const float *a = k->buf[0], *b = k->buf[1];
    float *mean = k->buf[2], sum = 0;
    (void)lo, (void)hi, (void)scratch;
    for (int64_t i = 0; i < k->batch; i++)
        sum += a[i] + b[i];
    mean[0] = sum / (float)k->batch;
}

/* buf: w a b y error */
static void run_error(const struct hyp_kargs *k, int64_t lo, int64_t hi, void *scratch)
{
    const float *w = k->buf[0], *a = k->buf[1], *b = k->buf[2], *y = k->buf[3];
    float *error = k->buf[4], sum = 0;
    (void)lo, (void)hi, (void)scratch;
    for (int64_t i = 0; i < k->batch; i++) {
        const float r = w[0] * a[i] + w[1] * b[i] - y[i];
        sum += r * r;
    }
    error[0] = sum / (float)k->batch;
    if (++tiny_log.errors == tiny_log.interrupt_error)
        raise(SIGINT);
}

/* buf: w dream; scalar: draw */
static void run_dream(const struct hyp_kargs *k, int64_t lo, int64_t hi, void *scratch)
{
    const float *w = k->buf[0];
    float *out = k->buf[1];
    (void)lo, (void)hi, (void)scratch;
    for (int64_t i = 0; i < k->batch; i++)
        for (uint32_t j = 0; j < 4; j++)
            out[i * 4 + j] = w[0] + noise(k->seed, 3, k->scalar[0].u, (uint32_t)i, j);
}

/* ---- the tables ---- */

#define STAGE(f)                                                                           \
    {                                                                                      \
        .fn = f, .symbol = #f, .units = {1, 0}, .units_div = 1, .units_times = 1           \
    }
static struct hyp_stage stages[] = {STAGE(run_init), STAGE(run_learn), STAGE(run_mean),
                                    STAGE(run_error), STAGE(run_dream)};
static const uint8_t writes[] = {HYP_WRITE, HYP_WRITE, HYP_WRITE};
static const uint8_t use_learn[] = {HYP_READ_WRITE, HYP_READ_WRITE, HYP_READ_WRITE,
                                    HYP_READ,       HYP_READ,       HYP_READ,
                                    HYP_WRITE,      HYP_WRITE};
static const uint8_t use_last[] = {HYP_READ, HYP_READ, HYP_READ, HYP_READ, HYP_WRITE};
static struct hyp_kernel kernel[] = {
    {.name = "init", .stage = &stages[0], .nstage = 1, .nbuf = 3, .use = writes},
    {.name = "learn",
     .stage = &stages[1],
     .nstage = 1,
     .nbuf = 8,
     .nscalar = 2,
     .use = use_learn},
    {.name = "mean", .stage = &stages[2], .nstage = 1, .nbuf = 3, .use = use_last + 2},
    {.name = "error", .stage = &stages[3], .nstage = 1, .nbuf = 5, .use = use_last},
    {.name = "dream",
     .stage = &stages[4],
     .nstage = 1,
     .nbuf = 2,
     .nscalar = 1,
     .use = use_last + 3},
};
static struct hyp_place place[] = {{"update of ", "learn.w", "tiny.yaml", 7, NULL, 0}};
static struct hyp_buffer buffer[B_COUNT] = {
    {HYP_SEG_STATE, HYP_F32, 0, 8, 0},    {HYP_SEG_STATE, HYP_F32, 64, 8, 0},
    {HYP_SEG_STATE, HYP_F32, 128, 4, 0},  {HYP_SEG_INPUT, HYP_F32, 0, 32, 0},
    {HYP_SEG_INPUT, HYP_F32, 64, 32, 0},  {HYP_SEG_INPUT, HYP_F32, 128, 32, 0},
    {HYP_SEG_OUTPUT, HYP_F32, 0, 4, 0},   {HYP_SEG_OUTPUT, HYP_F32, 64, 4, 0},
    {HYP_SEG_OUTPUT, HYP_F32, 128, 4, 0}, {HYP_SEG_OUTPUT, HYP_F32, 192, 128, 0},
    {HYP_SEG_SCRATCH, HYP_F32, 0, 32, 0},
};
static uint32_t buf_init[] = {B_W, B_M, B_SEEN},
                buf_learn[] = {B_W, B_M, B_SEEN, B_A, B_B, B_Y, B_R, B_LOSS},
                buf_mean[] = {B_A, B_B, B_MEAN},
                buf_error[] = {B_W, B_A, B_B, B_Y, B_ERROR}, buf_dream[] = {B_W, B_DREAM};
static uint32_t scalar_learn[] = {0, 1}, scalar_dream[] = {2};
static struct hyp_entry entry[] = {{.kernel = 0, .buf = buf_init},
                                   {1, buf_learn, scalar_learn, place, 1, 0},
                                   {.kernel = 2, .buf = buf_mean},
                                   {.kernel = 3, .buf = buf_error},
                                   {.kernel = 4, .buf = buf_dream, .scalar = scalar_dream}};
static struct hyp_param param[] = {
    {HYP_PARAM_HOST_F32, TINY_S_LR}, {HYP_PARAM_DRAW_LO, 0}, {HYP_PARAM_DRAW_LO, 0}};

static struct hyp_op op_init[] = {{HYP_OP_LAUNCH, 0, 1, 0, 0}};
static struct hyp_op op_learn[] = {{HYP_OP_COUNT, 0, 1, 0, 0},
                                   {HYP_OP_SCALARS, 0, TINY_S_COUNT, 0, 2},
                                   {HYP_OP_LAUNCH, 1, 2, 0, 0},
                                   {HYP_OP_LAUNCH, 2, 3, 0, 0}};
static struct hyp_op op_error[] = {{HYP_OP_LAUNCH, 3, 4, 0, 0}};
static struct hyp_op op_dream[] = {{HYP_OP_SCALARS, 0, TINY_S_COUNT, 2, 3},
                                   {HYP_OP_LAUNCH, 4, 5, 0, 0}};
static uint32_t count_list[] = {0};
static struct hyp_output output[] = {
    {.name = "learn.loss", .buffer = B_LOSS, .loss = true},
    {.name = "probe/mean/value", .buffer = B_MEAN},
    {.name = "probe/error/value", .buffer = B_ERROR},
    {.name = "dream/x",
     .buffer = B_DREAM,
     .rank = 2,
     .sample = true,
     .dim = {{0, 1}, {4, 0}}},
};
static struct hyp_input input[] = {{0, 0, B_A}, {0, 1, B_B}, {0, 2, B_Y}};
static struct hyp_phase phase[TINY_PHASES];

static struct hyp_tensor tensor[] = {
    {.name = "w",
     .weight = true,
     .rank = 1,
     .dim = {{2, 0}},
     .offset = 0,
     .bytes = 8,
     .file = "tiny.yaml",
     .line = 3},
    {.name = "optimizer/w/m", .rank = 1, .dim = {{2, 0}}, .offset = 64, .bytes = 8},
    {.name = "seen", .rank = 1, .dim = {{1, 0}}, .offset = 128, .bytes = 4},
};
static struct hyp_setting setting[] = {{.name = "batch", .first = 0, .n = 1},
                                       {.name = "lr", .first = 1, .n = 1},
                                       {.name = "epochs", .first = 2, .n = 1},
                                       {.name = "cycles", .first = 3, .n = 1}};
static struct hyp_named_counter counter[] = {{"optimizer/w/t", 0, true, false},
                                             {"probe/error", 0, false, true}};
static struct hyp_sinst sinst[TINY_S_COUNT] = {
    {.op = HYP_S_SETTING, .a = 0},
    {.op = HYP_S_SETTING, .a = 1},
    {.op = HYP_S_SETTING, .a = 2},
    {.op = HYP_S_SETTING, .a = 3},
    {.op = HYP_S_COUNTER, .a = HYP_COUNTER_FIRST},
    {.op = HYP_S_COUNTER, .a = HYP_COUNTER_STEP},
    {.op = HYP_S_CONST, .k = 3},
    {.op = HYP_S_MOD, .a = TINY_S_STEP, .b = TINY_S_TWO},
    {.op = HYP_S_CONST, .k = 2},
};
static struct hyp_field field[] = {
    {.name = "a", .used = true}, {.name = "b", .used = true}, {.name = "y", .used = true}};
static struct hyp_probe_value v_mean[] = {{"value", TINY_LEARN_PROBED, 1, -1}},
                              v_error[] = {{"value", TINY_ERROR, 0, 0}},
                              v_dreams[] = {{"image", TINY_DREAM, 0, -1}};
static struct hyp_probe_param p_grid[] = {
    {"grid.0", NULL, 2}, {"grid.1", NULL, 3}, {"shape.0", NULL, 2}, {"shape.1", NULL, 2}};
static uint32_t epochs_listed[] = {0, 2};

struct hyp_source tiny_source[1];
struct hyp_sched_stage tiny_stage[2];
struct hyp_sched_entry tiny_entry[2], tiny_inner[1];
struct hyp_probe tiny_probe[TINY_PROBES];
struct hyp_plan tiny;

static void reset_phases(void)
{
    const struct hyp_phase fresh[TINY_PHASES] = {
        {.name = "init", .op = op_init, .nop = 1, .with_probes = -1, .draw = UINT32_MAX},
        {.name = "learn",
         .op = op_learn,
         .nop = 3,
         .count_list = count_list,
         .output = output,
         .noutput = 1,
         .input = input,
         .ninput = 3,
         .with_probes = TINY_LEARN_PROBED},
        {.name = "learn (with probes)",
         .op = op_learn,
         .nop = 4,
         .count_list = count_list,
         .output = output,
         .noutput = 2,
         .input = input,
         .ninput = 3,
         .with_probes = -1},
        {.name = "error",
         .op = op_error,
         .nop = 1,
         .output = &output[2],
         .noutput = 1,
         .input = input,
         .ninput = 3,
         .with_probes = -1,
         .draw = UINT32_MAX},
        {.name = "dream",
         .op = op_dream,
         .nop = 2,
         .output = &output[3],
         .noutput = 1,
         .with_probes = -1,
         .draw = UINT32_MAX}};
    memcpy(phase, fresh, sizeof phase);
}

static void reset_schedule(void)
{
    memset(tiny_entry, 0, sizeof tiny_entry);
    memset(tiny_inner, 0, sizeof tiny_inner);
    tiny_entry[0].phase = tiny_entry[1].phase = tiny_inner[0].phase = TINY_LEARN;
    for (unsigned i = 0; i < 2; i++)
        tiny_entry[i].times_slot = tiny_entry[i].when_slot = -1;
    tiny_inner[0].times_slot = tiny_inner[0].when_slot = -1;
    for (unsigned i = 0; i < 2; i++)
        tiny_stage[i] = (struct hyp_sched_stage){.entry = tiny_entry,
                                                 .nentry = 1,
                                                 .epochs_slot = TINY_S_EPOCHS,
                                                 .cycles_slot = -1,
                                                 .until_slot = -1,
                                                 .over = -1};
}

static void reset_probes(void)
{
    const struct hyp_probe fresh[TINY_PROBES] = {
        {.name = "mean",
         .every = HYP_EVERY_CYCLES,
         .period = 3,
         .from = -1,
         .value = v_mean,
         .nvalue = 1},
        {.name = "error", .every = HYP_EVERY_EPOCH, .value = v_error, .nvalue = 1},
        {.name = "dreams",
         .kind = HYP_PROBE_IMAGE,
         .every = HYP_EVERY_EPOCH,
         .from = -1,
         .image_lo = -1,
         .image_hi = 1,
         .value = v_dreams,
         .nvalue = 1,
         .param = p_grid,
         .nparam = 4},
        {.name = "last", .every = HYP_EVERY_END, .value = v_error, .nvalue = 1},
        {.name = "list",
         .every = HYP_EVERY_LIST,
         .epoch = epochs_listed,
         .nepoch = 2,
         .value = v_error,
         .nvalue = 1}};
    memcpy(tiny_probe, fresh, sizeof tiny_probe);
}

void tiny_reset(void)
{
    memset(&tiny_log, 0, sizeof tiny_log);
    tiny_setting[0] = TINY_BATCH;
    tiny_setting[1] = 0.05;
    tiny_setting[2] = 4;
    tiny_setting[3] = 7;
    reset_phases();
    reset_schedule();
    reset_probes();
    tiny_source[0] = (struct hyp_source){.name = "table",
                                         .kind = "csv",
                                         .file = "tiny.csv",
                                         .take_from = -1,
                                         .take_to = -1,
                                         .scale_hi = 1,
                                         .random = true,
                                         .scheduled = true,
                                         .batch = TINY_S_BATCH,
                                         .field = field,
                                         .nfield = 3,
                                         .keep_phase = -1};
    tiny = (struct hyp_plan){.version = HYP_PLAN_VERSION,
                             .name = "tiny",
                             .target = "test",
                             .backend = "test",
                             .batch_max = TINY_DREAM_BATCH,
                             .segment_bytes = {256, 128, 256, 512},
                             .buffer = buffer,
                             .nbuffer = B_COUNT,
                             .kernel = kernel,
                             .nkernel = 5,
                             .entry = entry,
                             .nentry = 5,
                             .phase = phase,
                             .nphase = TINY_PHASES,
                             .init_phase = TINY_INIT,
                             .tensor = tensor,
                             .ntensor = 3,
                             .setting = setting,
                             .nsetting = 4,
                             .setting_value = tiny_setting,
                             .nsetting_value = 4,
                             .counter = counter,
                             .ncounter = 2,
                             .sinst = sinst,
                             .nsinst = TINY_S_COUNT,
                             .control1 = TINY_S_COUNT,
                             .param = param,
                             .nparam = 3,
                             .ndraw = 1,
                             .source = tiny_source,
                             .nsource = 1,
                             .stage = tiny_stage,
                             .nstage = 1,
                             .probe = tiny_probe,
                             .nprobe = TINY_PROBES,
                             .dream_phase = TINY_DREAM};
}

void tiny_write_table(const char *folder)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/tiny.csv", folder);
    FILE *f = fopen(path, "w");
    if (!f)
        return;
    fprintf(f, "a,b,y\n");
    for (int i = 0; i < TINY_SAMPLES; i++) {
        const double a = 0.1 * i - 1, b = 0.5 - 0.03 * i * (i % 3);
        fprintf(f, "%.3f,%.3f,%.3f\n", a, b, 2 * a - b);
    }
    fclose(f);
}
