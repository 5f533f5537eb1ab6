/* Tables of a plan: settings, sources, schedule, probes, plateaus. */
#include <string.h>

#include "compiler/driver/plan_internal.h"
#include "runtime/base/arena.h"

void plan_settings(struct builder *b)
{
    const struct program *pr = b->program;
    struct hyp_plan *p = b->plan;
    uint32_t total = 0;
    for (uint32_t i = 0; i < pr->nsetting; i++)
        total += pr->setting[i].n;
    p->setting = arena_array(b->a, pr->nsetting + 1U, sizeof *p->setting);
    p->setting_value = arena_array(b->a, total + 1U, sizeof(double));
    for (uint32_t i = 0; i < pr->nsetting; i++) {
        const struct prog_setting *s = &pr->setting[i];
        p->setting[p->nsetting++] = (struct hyp_setting){
            s->name, p->nsetting_value, s->n, s->is_list, s->has_range, s->lo, s->hi};
        for (uint32_t k = 0; k < s->n; k++)
            p->setting_value[p->nsetting_value++] = s->value[k];
    }
}

void plan_sources(struct builder *b)
{
    const struct program *pr = b->program;
    struct hyp_plan *p = b->plan;
    p->source = arena_array(b->a, pr->nsource + 1U, sizeof *p->source);
    for (uint32_t i = 0; i < pr->nsource; i++) {
        const struct prog_source *s = &pr->source[i];
        struct hyp_source *d = &p->source[p->nsource++];
        *d = (struct hyp_source){.name = s->name,
                                 .kind = s->kind,
                                 .split = s->split,
                                 .file = s->file,
                                 .parts = s->parts,
                                 .parts_seed = s->parts_seed,
                                 .take_from = s->take_from,
                                 .take_to = s->take_to,
                                 .per_class = s->per_class,
                                 .resize = {s->resize[0], s->resize[1]},
                                 .scale_lo = s->scale_lo,
                                 .scale_hi = s->scale_hi,
                                 .nmean = s->nmean,
                                 .random = s->random && (s->scheduled || s->ordered),
                                 .drop_last = s->drop_last,
                                 .scheduled = s->scheduled,
                                 .unread = !s->used,
                                 .keep_phase = -1};
        memcpy(d->mean, s->mean, sizeof d->mean);
        memcpy(d->std, s->std, sizeof d->std);
        d->batch = s->batch ? host_slot(&b->host, s->batch) : 0;
        d->field = arena_array(b->a, s->nfield + 1U, sizeof *d->field);
        for (uint32_t k = 0; k < s->nfield; k++) {
            const struct type *t = &s->field[k].type;
            struct hyp_field *f = &d->field[d->nfield++];
            f->name = s->field[k].name;
            f->is_int = t->dtype == DT_I32;
            f->used = s->field[k].used;
            f->rank = (uint8_t)(t->rank - 1);
            for (unsigned j = 1; j < t->rank; j++)
                f->dim[j - 1] = t->dim[j].c;
        }
    }
}

static int32_t source_index(const struct hyp_plan *p, const char *name)
{
    for (uint32_t i = 0; name && i < p->nsource; i++)
        if (strcmp(p->source[i].name, name) == 0)
            return (int32_t)i;
    return -1;
}

static int64_t opt_slot(struct builder *b, value_id v)
{
    return v ? (int64_t)host_slot(&b->host, v) : -1;
}

static struct hyp_sched_entry *sched_entries(struct builder *b, const struct phase_map *m,
                                             const struct prog_entry *e, uint32_t n)
{
    struct hyp_sched_entry *out = arena_array(b->a, n + 1U, sizeof *out);
    for (uint32_t i = 0; i < n; i++) {
        out[i].repeat = e[i].repeat;
        out[i].times_slot = opt_slot(b, e[i].times);
        out[i].when_slot = opt_slot(b, e[i].when);
        if (e[i].repeat) {
            out[i].entry = sched_entries(b, m, e[i].entry, e[i].nentry);
            out[i].nentry = e[i].nentry;
        } else {
            out[i].phase =
                m->variant[b->program->phase[e[i].phase].region][e[i].variant] - 1;
        }
    }
    return out;
}

static struct hyp_stage_set *stage_sets(struct builder *b, const struct prog_named *set,
                                        uint32_t n)
{
    struct hyp_stage_set *out = arena_array(b->a, n + 1U, sizeof *out);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < b->plan->nsetting; k++)
            if (strcmp(b->plan->setting[k].name, set[i].name) == 0)
                out[i].value = b->plan->setting[k].first + set[i].element;
        out[i].slot = host_slot(&b->host, set[i].value);
    }
    return out;
}

void plan_schedule(struct builder *b, const struct phase_map *m)
{
    const struct program *pr = b->program;
    b->plan->stage = arena_array(b->a, pr->nstage + 1U, sizeof *b->plan->stage);
    for (uint32_t i = 0; i < pr->nstage; i++) {
        const struct prog_stage *s = &pr->stage[i];
        struct hyp_sched_stage *d = &b->plan->stage[b->plan->nstage++];
        d->entry = sched_entries(b, m, s->entry, s->nentry);
        d->nentry = s->nentry;
        d->epochs_slot = opt_slot(b, s->epochs);
        d->cycles_slot = opt_slot(b, s->cycles);
        d->until_slot = opt_slot(b, s->until);
        d->over = source_index(b->plan, s->over);
        d->set = stage_sets(b, s->set, s->nset);
        d->nset = s->nset;
    }
}

/* The output of `phase` called "probe/PROBE/NAME" (or "dream/..."). */
static bool find_output(const struct hyp_phase *ph, const char *name, uint32_t *out)
{
    for (uint32_t i = 0; i < ph->noutput; i++)
        if (strcmp(ph->output[i].name, name) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static void probe_value(struct builder *b, const struct phase_map *m,
                        const struct prog_probe *pr, const struct prog_named *v,
                        struct hyp_probe *d)
{
    struct hyp_probe_value *out = &d->value[d->nvalue];
    const char *name = arena_fmt(b->a, "probe/%s/%s", v->of ? v->of : pr->name, v->name);

    if (!m->probed[v->region])
        return;
    out->name = v->name;
    out->phase = m->probed[v->region] - 1;
    const struct hyp_phase *ph = &b->plan->phase[out->phase];
    if (!find_output(ph, name, &out->output))
        return;
    const struct prog_phase *own = plan_phase_of(b->program, v->region);
    out->source = own || !ph->ninput ? -1 : (int32_t)ph->input[0].source;
    d->nvalue++;
}

static void add_probe(struct builder *b, const struct phase_map *m,
                      const struct prog_probe *pr)
{
    struct hyp_probe *d = &b->plan->probe[b->plan->nprobe++];
    *d = (struct hyp_probe){.name = pr->name,
                            .metric = pr->metric,
                            .kind = (uint8_t)pr->kind,
                            .every = (uint8_t)pr->every,
                            .period = pr->period,
                            .epoch = pr->epoch,
                            .nepoch = pr->nepoch,
                            .from = source_index(b->plan, pr->from),
                            .base = pr->base,
                            .over = pr->over,
                            .at = pr->at,
                            .run = pr->run,
                            .runs = pr->runs,
                            .item = pr->item,
                            .nitem = pr->nitem,
                            .image_hi = 1};
    for (uint32_t i = 0; i < b->plan->nsource; i++)
        if (b->plan->source[i].scheduled) {
            d->image_lo = b->plan->source[i].scale_lo;
            d->image_hi = b->plan->source[i].scale_hi;
            break;
        }
    d->value = arena_array(b->a, pr->nvalue + 1U, sizeof *d->value);
    for (uint32_t i = 0; i < pr->nvalue; i++)
        probe_value(b, m, pr, &pr->value[i], d);
    d->param = arena_array(b->a, pr->nparam + 1U, sizeof *d->param);
    d->nparam = pr->nparam;
    for (uint32_t i = 0; i < pr->nparam; i++)
        d->param[i] = (struct hyp_probe_param){pr->param[i].name, pr->param[i].text,
                                               pr->param[i].number};
    d->set = stage_sets(b, pr->set, pr->nset);
    d->nset = pr->nset;
}

static void add_plateaus(struct builder *b)
{
    const struct program *pr = b->program;
    b->plan->plateau = arena_array(b->a, pr->nplateau + 1U, sizeof *b->plan->plateau);
    for (uint32_t i = 0; i < pr->nplateau; i++) {
        const struct prog_plateau *x = &pr->plateau[i];
        struct hyp_plateau *d = &b->plan->plateau[b->plan->nplateau++];
        d->probe = -1;
        for (uint32_t k = 0; k < pr->nprobe; k++)
            if (strcmp(pr->probe[k].name, x->watch) == 0)
                d->probe = (int32_t)k;
        d->goal_max = x->goal_max;
        d->factor_slot = host_slot(&b->host, x->factor);
        d->patience_slot = host_slot(&b->host, x->patience);
        d->counter = host_counter(&b->host, x->counter) - HYP_COUNTER_FIRST;
    }
}

static void find_dream(struct builder *b)
{
    b->plan->dream_phase = -1;
    for (uint32_t i = 0; i < b->plan->nphase; i++)
        for (uint32_t o = 0; o < b->plan->phase[i].noutput; o++)
            if (strncmp(b->plan->phase[i].output[o].name, "dream/", 6) == 0 &&
                b->plan->dream_phase < 0) {
                b->plan->dream_phase = (int32_t)i;
                b->plan->dream_output = o;
            }
}

void plan_probes(struct builder *b, const struct phase_map *m)
{
    const struct program *p = b->program;
    b->plan->probe = arena_array(b->a, p->nprobe + 1U, sizeof *b->plan->probe);
    for (uint32_t i = 0; i < p->nprobe; i++)
        add_probe(b, m, &p->probe[i]);
    add_plateaus(b);
    find_dream(b);
}
