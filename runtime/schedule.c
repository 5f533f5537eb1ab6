/*
 * The schedule: stages, epochs, cycles, entries; which samples a cycle sees.
 *
 * A source's cursor is (pass, position).  It is moved on lazily: one that stands at the end
 * of its pass begins the next when samples are wanted, so that a checkpoint between two
 * epochs says "at the end of pass p".
 */
#include <string.h>

#include "runtime/run.h"

/* ---- stages ---- */

static bool slot_given(int64_t slot)
{
    return slot >= 0;
}

static int64_t slot_count(const struct run *r, int64_t slot)
{
    const double v = r->x->host[slot];
    return v <= 0 ? 0 : v < 9e15 ? (int64_t)v : (int64_t)9e15;
}

static void add_inputs(struct run *r, const struct hyp_phase *ph)
{
    for (uint32_t k = 0; k < ph->ninput; k++) {
        uint32_t i = 0, at = 0;
        while (r->input[i].buffer != ph->input[k].buffer)
            i++;
        while (at < r->stage.ninput && r->stage.input[at] != i)
            at++;
        if (at == r->stage.ninput)
            r->stage.input[r->stage.ninput++] = i;
        r->used[r->input[i].source] = 1;
        if (r->stage.over < 0)
            r->stage.over = (int32_t)r->input[i].source;
    }
}

static void add_entries(struct run *r, const struct hyp_sched_entry *e, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (e[i].repeat) {
            add_entries(r, e[i].entry, e[i].nentry);
            continue;
        }
        const struct hyp_phase *ph = &r->plan->phase[e[i].phase];
        add_inputs(r, ph);
        if (ph->with_probes >= 0)
            add_inputs(r, &r->plan->phase[ph->with_probes]);
    }
}

void schedule_enter(struct run *r)
{
    const struct hyp_sched_stage *s = &r->plan->stage[r->now.stage];

    run_apply_settings(r, r->x, s->set, s->nset);
    r->stage.over = s->over;
    r->stage.ninput = 0;
    memset(r->used, 0, r->plan->nsource);
    add_entries(r, s->entry, s->nentry);
    r->stage.epochs = slot_given(s->epochs_slot) ? slot_count(r, s->epochs_slot) : 1;
    r->stage.cycles = slot_given(s->cycles_slot) ? slot_count(r, s->cycles_slot) : -1;
    if (r->stage.over >= 0 && slot_given(s->epochs_slot))
        r->stage.cycles = -1; /* the data count */
    else if (r->stage.over < 0 && r->stage.cycles < 0)
        r->stage.cycles = 1;
    if ((r->opt->epochs >= 0 || r->opt->cycles >= 0) && r->now.stage + 1 == r->plan->nstage)
        r->stage.epochs = -1; /* the command says when it ends */
    r->entered = r->now.stage;
}

void schedule_restore_sources(struct run *r)
{
    for (uint32_t i = 0; i < r->plan->nsource; i++)
        if (r->source[i].src)
            data_set_pass(r->source[i].src,
                          r->plan->source[i].scheduled ? r->now.source[i].pass : 0,
                          r->x->seed);
}

bool schedule_ready(struct run *r)
{
    while (r->now.stage < r->plan->nstage) {
        if (r->entered != r->now.stage)
            schedule_enter(r);
        if (r->stage.cycles != 0 &&
            (r->stage.epochs < 0 || r->now.stage_epoch < r->stage.epochs))
            return true;
        r->now.stage++;
        r->now.stage_epoch = r->now.cycle = 0;
    }
    return false;
}

bool schedule_limit_reached(const struct run *r)
{
    return (r->opt->epochs >= 0 && r->now.epoch >= r->opt->epochs) ||
           (r->opt->cycles >= 0 && r->now.step >= r->opt->cycles);
}

void run_apply_settings(const struct run *r, struct exec *x,
                        const struct hyp_stage_set *set, uint32_t nset)
{
    memcpy(x->setting, r->base_setting, r->plan->nsetting_value * sizeof *x->setting);
    exec_host(x);
    for (uint32_t i = 0; i < nset; i++)
        x->setting[set[i].value] = x->host[set[i].slot];
    if (nset)
        exec_host(x);
}

/* ---- samples ---- */

static uint32_t batch_of(const struct run *r, uint32_t source)
{
    const uint32_t b = run_source_batch(r, r->x, source);
    return b < r->plan->batch_max ? b : (uint32_t)r->plan->batch_max;
}

/* Nothing more of this pass is to be had. */
static bool pass_is_over(const struct run *r, uint32_t source)
{
    const uint64_t n = r->source[source].n, at = r->now.source[source].position;
    const uint32_t b = batch_of(r, source);
    return at >= n || (r->plan->source[source].drop_last && n >= b && n - at < b);
}

static void begin_pass_if_over(struct run *r, uint32_t source)
{
    struct run_cursor *c = &r->now.source[source];
    if (!pass_is_over(r, source))
        return;
    c->pass++;
    c->position = 0;
    data_set_pass(r->source[source].src, c->pass, r->x->seed);
}

static void gather_piece(struct run *r, uint32_t source, uint32_t count, uint32_t row)
{
    struct run_cursor *c = &r->now.source[source];
    for (uint32_t k = 0; k < r->stage.ninput; k++) {
        const struct run_input *in = &r->input[r->stage.input[k]];
        if (in->source != source)
            continue;
        const struct gather g = {r, r->x, in, (uint32_t)c->position, count, row, false};
        gather_rows(&g);
    }
    c->position += count;
}

/* The next batch of every source that the stage reads. */
static void take_samples(struct run *r)
{
    const int32_t over = r->stage.over;

    if (over < 0) {
        r->batch = run_setting_batch(r, r->x);
        return;
    }
    begin_pass_if_over(r, (uint32_t)over);
    const uint64_t left = r->source[over].n - r->now.source[over].position;
    const uint32_t b = batch_of(r, (uint32_t)over);
    r->batch = left < b ? (int64_t)left : b;
    for (uint32_t s = 0; s < r->plan->nsource; s++) {
        uint32_t done = 0;
        while (r->used[s] && done < r->batch) {
            begin_pass_if_over(r, s);
            const uint64_t more = r->source[s].n - r->now.source[s].position;
            const uint32_t want = (uint32_t)r->batch - done;
            const uint32_t n = more < want ? (uint32_t)more : want;
            gather_piece(r, s, n, done);
            done += n;
        }
    }
}

/* ---- a cycle ---- */

static enum hyp_status run_phase(struct run *r, uint32_t phase, struct hyp_error *err)
{
    const struct hyp_phase *ph = &r->plan->phase[phase];
    const uint32_t whole = ph->variant_of ? ph->variant_of - 1 : phase;
    const bool probed = r->with_probes[whole] && ph->with_probes >= 0;
    const uint32_t id = probed ? (uint32_t)ph->with_probes : phase;

    if (r->blame)
        blame_phase(r->blame, id);
    const enum hyp_status st = exec_phase(r->x, id, r->batch, err);
    r->ran[probed ? (uint32_t)r->plan->phase[whole].with_probes : whole] = st == HYP_OK;
    for (uint32_t i = 0; st == HYP_OK && i < r->nloss; i++) {
        if (r->loss[i].phase != id)
            continue;
        const double v = exec_number(r->x, &r->plan->phase[id].output[r->loss[i].output]);
        values_set(&r->values, r->loss[i].value, &v, 1, false, NULL);
    }
    return st;
}

static int64_t times_of(const struct run *r, const struct hyp_sched_entry *e)
{
    if (slot_given(e->when_slot) && r->x->host[e->when_slot] == 0)
        return 0;
    return slot_given(e->times_slot) ? slot_count(r, e->times_slot) : 1;
}

static enum hyp_status run_entries(struct run *r, const struct hyp_sched_entry *e,
                                   uint32_t n, struct hyp_error *err)
{
    enum hyp_status st = HYP_OK;
    for (uint32_t i = 0; st == HYP_OK && i < n; i++) {
        exec_host(r->x);
        const int64_t times = times_of(r, &e[i]);
        for (int64_t k = 0; st == HYP_OK && k < times; k++) {
            if (k > 0)
                take_samples(r);
            st = e[i].repeat ? run_entries(r, e[i].entry, e[i].nentry, err)
                             : run_phase(r, e[i].phase, err);
        }
    }
    return st;
}

enum hyp_status schedule_cycle(struct run *r, struct hyp_error *err)
{
    const struct hyp_sched_stage *s = &r->plan->stage[r->now.stage];

    r->x->fixed[HYP_COUNTER_EPOCH] = (double)r->now.epoch;
    r->x->fixed[HYP_COUNTER_CYCLE] = (double)r->now.cycle;
    r->x->fixed[HYP_COUNTER_STEP] = (double)r->now.step;
    r->x->fixed[HYP_COUNTER_TICK] = 0;
    if (s->nset)
        run_apply_settings(r, r->x, s->set, s->nset);
    else
        exec_host(r->x);
    take_samples(r);
    memset(r->ran, 0, r->plan->nphase * sizeof *r->ran);
    const uint64_t pass = r->stage.over >= 0 ? r->now.source[r->stage.over].pass : 0;
    const enum hyp_status st = run_entries(r, s->entry, s->nentry, err);
    if (st != HYP_OK)
        return st;
    r->now.cycle++;
    r->now.step++;
    r->cycle_ran = true;
    r->epoch_over = r->stage.cycles >= 0 ? r->now.cycle >= r->stage.cycles
                                         : pass_is_over(r, (uint32_t)r->stage.over) ||
                                               r->now.source[r->stage.over].pass != pass;
    return HYP_OK;
}

/* ---- what is to come ---- */

/* How many batches the entries take, the one that the cycle begins with left out. */
static int64_t further_batches(const struct run *r, const struct hyp_sched_entry *e,
                               uint32_t n)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        const int64_t times = times_of(r, &e[i]);
        if (times < 1)
            continue;
        sum += times - 1;
        if (e[i].repeat)
            sum += times * further_batches(r, e[i].entry, e[i].nentry);
    }
    return sum;
}

bool schedule_epoch_ends(const struct run *r)
{
    const struct hyp_sched_stage *s = &r->plan->stage[r->now.stage];

    if (r->stage.cycles >= 0)
        return r->now.cycle + 1 >= r->stage.cycles;
    const uint32_t over = (uint32_t)r->stage.over;
    const uint64_t n = r->source[over].n, b = batch_of(r, over);
    const uint64_t at = pass_is_over(r, over) ? 0 : r->now.source[over].position;
    const uint64_t takes = 1 + (uint64_t)further_batches(r, s->entry, s->nentry);
    const uint64_t end = at + takes * b;
    return end >= n || (r->plan->source[over].drop_last && n - end < b);
}

bool schedule_run_ends(const struct run *r)
{
    const bool last_stage = r->now.stage + 1 == r->plan->nstage;
    if (r->opt->cycles >= 0 && r->now.step + 1 >= r->opt->cycles)
        return true;
    if (!schedule_epoch_ends(r))
        return false;
    if (r->opt->epochs >= 0)
        return r->now.epoch + 1 >= r->opt->epochs;
    return last_stage && r->stage.epochs >= 0 && r->now.stage_epoch + 1 >= r->stage.epochs;
}

void schedule_end_epoch(struct run *r)
{
    r->now.epoch++;
    r->now.stage_epoch++;
    r->now.cycle = 0;
}

void schedule_until(struct run *r)
{
    const struct hyp_sched_stage *s = &r->plan->stage[r->now.stage];

    if (!slot_given(s->until_slot))
        return;
    r->x->fixed[HYP_COUNTER_EPOCH] = (double)r->now.epoch;
    exec_host(r->x);
    if (r->x->host[s->until_slot] != 0) {
        r->now.stage++;
        r->now.stage_epoch = 0;
    }
}

static int64_t cycles_per_epoch(const struct run *r)
{
    if (r->stage.cycles >= 0)
        return r->stage.cycles;
    const uint32_t over = (uint32_t)r->stage.over;
    const uint32_t b = batch_of(r, over);
    return r->plan->source[over].drop_last ? r->source[over].n / b
                                           : (r->source[over].n + b - 1) / b;
}

int64_t schedule_cycles_in_epoch(const struct run *r)
{
    return r->entered == r->now.stage && r->now.stage < r->plan->nstage
               ? cycles_per_epoch(r)
               : -1;
}

int64_t schedule_epochs(const struct run *r)
{
    if (r->opt->epochs >= 0)
        return r->opt->epochs;
    if (r->plan->nstage != 1 || r->stage.epochs < 0)
        return -1;
    return r->stage.epochs;
}

int64_t schedule_cycles_left(const struct run *r)
{
    const int64_t per = schedule_cycles_in_epoch(r), epochs = schedule_epochs(r);
    int64_t left = -1;

    if (epochs >= 0 && per >= 0)
        left = (epochs - r->now.epoch) * per - r->now.cycle;
    if (r->opt->cycles >= 0 && (left < 0 || r->opt->cycles - r->now.step < left))
        left = r->opt->cycles - r->now.step;
    return left < 0 ? -1 : left;
}
