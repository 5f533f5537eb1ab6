/*
 * Writing and matching checkpoints.  One list of items says what stands in the file, in
 * which order and where it lives in memory: the writer streams it, the reader compares it
 * and copies only when all of it fits.
 */
#include "runtime/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "runtime/base/sha256.h"
#include "runtime/safetensors.h"

#define CHECKPOINT_LIMIT ((size_t)64 << 30)

/* ---- moments ---- */

/* Whether an output of a scheduled phase stands in no phase before it. */
static bool first_of_its_name(const struct hyp_plan *plan, uint32_t phase, const char *name)
{
    for (uint32_t i = 0; i < phase; i++)
        for (uint32_t o = 0; o < plan->phase[i].noutput; o++)
            if (plan->phase[i].draw != UINT32_MAX && plan->phase[i].output[o].loss &&
                strcmp(plan->phase[i].output[o].name, name) == 0)
                return false;
    return true;
}

uint32_t moment_losses(const struct hyp_plan *plan, const char **name)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < plan->nphase; i++)
        for (uint32_t o = 0; o < plan->phase[i].noutput; o++) {
            const struct hyp_output *out = &plan->phase[i].output[o];
            if (plan->phase[i].draw == UINT32_MAX || !out->loss ||
                !first_of_its_name(plan, i, out->name))
                continue;
            if (name)
                name[n] = out->name;
            n++;
        }
    return n;
}

enum hyp_status moment_init(struct moment *m, const struct hyp_plan *plan, bool whole,
                            struct hyp_error *err)
{
    *m = (struct moment){0};
    m->source = hyp_calloc(plan->nsource + 1U, sizeof *m->source);
    m->plateau = hyp_calloc(plan->nplateau + 1U, sizeof *m->plateau);
    m->nloss = moment_losses(plan, NULL);
    m->unlogged = hyp_calloc(m->nloss + 1U, sizeof *m->unlogged);
    bool ok = m->source && m->plateau && m->unlogged;
    if (whole) {
        m->state = hyp_aligned(64, plan->segment_bytes[HYP_SEG_STATE] + 64);
        m->counter = hyp_calloc(plan->ncounter + 1U, sizeof *m->counter);
        m->draw = hyp_calloc(plan->ndraw + 1U, sizeof *m->draw);
        ok = ok && m->state && m->counter && m->draw;
    }
    if (ok)
        return HYP_OK;
    moment_fini(m, whole);
    return hyp_fail(err, HYP_ENOMEM, "out of memory for a copy of the run's state");
}

void moment_fini(struct moment *m, bool whole)
{
    hyp_free(m->source);
    hyp_free(m->plateau);
    hyp_free(m->unlogged);
    if (whole) {
        hyp_free(m->state);
        hyp_free(m->counter);
        hyp_free(m->draw);
    }
    *m = (struct moment){0};
}

void moment_copy(struct moment *to, const struct moment *from, const struct hyp_plan *plan)
{
    const struct moment own = *to;

    *to = *from;
    to->state = own.state;
    to->counter = own.counter;
    to->draw = own.draw;
    to->source = own.source;
    to->plateau = own.plateau;
    to->unlogged = own.unlogged;
    memcpy(to->state, from->state, plan->segment_bytes[HYP_SEG_STATE]);
    memcpy(to->counter, from->counter, plan->ncounter * sizeof *to->counter);
    memcpy(to->draw, from->draw, plan->ndraw * sizeof *to->draw);
    memcpy(to->source, from->source, plan->nsource * sizeof *to->source);
    memcpy(to->plateau, from->plateau, plan->nplateau * sizeof *to->plateau);
    memcpy(to->unlogged, from->unlogged, to->nloss * sizeof *to->unlogged);
}

/* ---- what stands in the file ---- */

enum item_kind { ITEM_BYTES, ITEM_U64, ITEM_I64, ITEM_F64, ITEM_F64_AS_I64 };
struct item {
    struct safetensor st;
    void *at;
    enum item_kind kind;
    union { /* the 8 bytes of a number, for the writer */
        int64_t i;
        double d;
    } word;
};
struct items {
    struct arena *a;
    struct item *item;
    uint32_t n, cap;
};

static void add(struct items *l, const char *name, enum item_kind kind, void *at)
{
    const bool real = kind == ITEM_F64;
    l->item = arena_grow(l->a, l->item, &l->cap, l->n + 1, sizeof *l->item);
    struct item *it = &l->item[l->n++];
    it->st.name = name;
    it->st.dtype = real ? SAFETENSORS_F64 : SAFETENSORS_I64;
    it->st.nbytes = 8;
    it->at = at;
    it->kind = kind;
}

static enum safetensors_dtype file_dtype(const struct hyp_plan *plan, uint8_t dtype)
{
    switch (dtype) {
    case HYP_I32:
        return SAFETENSORS_I32;
    case HYP_BOOL:
        return SAFETENSORS_U8;
    case HYP_F64:
        return SAFETENSORS_F64;
    default:
        return plan->f64 ? SAFETENSORS_F64 : SAFETENSORS_F32;
    }
}

static void tensor_of(const struct hyp_plan *plan, const struct hyp_tensor *t,
                      struct safetensor *out)
{
    uint64_t n = 1;
    *out = (struct safetensor){
        .name = t->name, .dtype = file_dtype(plan, t->dtype), .rank = t->rank};
    for (uint32_t i = 0; i < t->rank && i < SAFETENSORS_MAX_RANK; i++) {
        out->dim[i] = (uint64_t)(t->dim[i].c + t->dim[i].b * plan->batch_max);
        n *= out->dim[i];
    }
    out->nbytes = n * safetensors_dtype_size(out->dtype);
}

static void add_tensors(struct items *l, const struct hyp_plan *plan, struct moment *m)
{
    for (uint32_t i = 0; i < plan->ntensor; i++) {
        const struct hyp_tensor *t = &plan->tensor[i];
        add(l, t->name, ITEM_BYTES, m->state + t->offset);
        tensor_of(plan, t, &l->item[l->n - 1].st);
    }
    for (uint32_t i = 0; i < plan->ncounter; i++) {
        const struct hyp_named_counter *c = &plan->counter[i];
        const char *name = c->saved ? c->name : arena_fmt(l->a, "cursor/%s", c->name);
        add(l, name, c->is_float ? ITEM_F64 : ITEM_F64_AS_I64, &m->counter[i]);
    }
}

static const char *draw_phase(const struct hyp_plan *plan, uint32_t draw)
{
    for (uint32_t i = 0; i < plan->nphase; i++)
        if (plan->phase[i].draw == draw)
            return plan->phase[i].name; /* a twin comes after its phase */
    return "phase";
}

static void add_losses(struct items *l, const struct hyp_plan *plan, struct moment *m)
{
    const char **name = arena_array(l->a, m->nloss + 1U, sizeof *name);
    moment_losses(plan, name);
    for (uint32_t i = 0; i < m->nloss; i++)
        add(l, arena_fmt(l->a, "cursor/unlogged/%s", name[i]), ITEM_F64, &m->unlogged[i]);
}

static void add_cursors(struct items *l, const struct hyp_plan *plan, struct moment *m)
{
    add(l, "cursor/seed", ITEM_U64, &m->seed);
    add(l, "cursor/epoch", ITEM_I64, &m->epoch);
    add(l, "cursor/cycle", ITEM_I64, &m->cycle);
    add(l, "cursor/step", ITEM_I64, &m->step);
    add(l, "cursor/stage", ITEM_I64, &m->stage);
    add(l, "cursor/stage_epoch", ITEM_I64, &m->stage_epoch);
    add(l, "cursor/metrics.csv", ITEM_U64, &m->csv_bytes);
    add(l, "cursor/metrics.jsonl", ITEM_U64, &m->jsonl_bytes);
    for (uint32_t i = 0; i < plan->ndraw; i++)
        add(l, arena_fmt(l->a, "cursor/%s/draw", draw_phase(plan, i)), ITEM_U64,
            &m->draw[i]);
    for (uint32_t i = 0; i < plan->nsource; i++) {
        const char *s = plan->source[i].name;
        add(l, arena_fmt(l->a, "cursor/%s/pass", s), ITEM_U64, &m->source[i].pass);
        add(l, arena_fmt(l->a, "cursor/%s/position", s), ITEM_U64, &m->source[i].position);
    }
    for (uint32_t i = 0; i < plan->nplateau; i++) {
        add(l, arena_fmt(l->a, "cursor/plateau/%u/best", i), ITEM_F64, &m->plateau[i].best);
        add(l, arena_fmt(l->a, "cursor/plateau/%u/wait", i), ITEM_F64, &m->plateau[i].wait);
    }
    add_losses(l, plan, m);
}

/* Where a number lives in memory to what the file has, and back. */
static void to_word(struct item *it)
{
    if (it->kind == ITEM_F64)
        it->word.d = *(const double *)it->at;
    else if (it->kind == ITEM_F64_AS_I64)
        it->word.i = (int64_t) * (const double *)it->at;
    else if (it->kind == ITEM_U64)
        it->word.i = (int64_t) * (const uint64_t *)it->at;
    else
        it->word.i = *(const int64_t *)it->at;
}

static void from_file(const struct item *it, const void *data)
{
    int64_t i;
    memcpy(&i, data, it->kind == ITEM_BYTES ? 0 : 8);
    switch (it->kind) {
    case ITEM_BYTES:
        memcpy(it->at, data, it->st.nbytes);
        break;
    case ITEM_F64:
        memcpy(it->at, data, sizeof(double));
        break;
    case ITEM_F64_AS_I64:
        *(double *)it->at = (double)i;
        break;
    case ITEM_U64:
        *(uint64_t *)it->at = (uint64_t)i;
        break;
    case ITEM_I64:
        *(int64_t *)it->at = i;
        break;
    }
}

/* ---- writing ---- */

static enum hyp_status stream(struct file_writer *w, const struct safetensors *s,
                              struct hyp_error *err)
{
    enum hyp_status st = safetensors_header(w, s, err);
    for (uint32_t i = 0; st == HYP_OK && i < s->ntensor; i++)
        st = file_write(w, s->tensor[i].data, s->tensor[i].nbytes, err);
    return st == HYP_OK ? file_commit(w, err) : st;
}

enum hyp_status checkpoint_write(const char *path, const struct hyp_plan *plan,
                                 const struct moment *m, struct hyp_error *err)
{
    struct items l = {.a = arena_new()};
    struct moment copy = *m; /* the list points at members; nothing is written through it */
    char hash[65];
    struct file_writer w;

    add_tensors(&l, plan, &copy);
    add_cursors(&l, plan, &copy);
    struct safetensor *all = arena_array(l.a, l.n, sizeof *all);
    for (uint32_t i = 0; i < l.n; i++) {
        all[i] = l.item[i].st;
        all[i].data = l.item[i].at;
        if (l.item[i].kind != ITEM_BYTES) {
            to_word(&l.item[i]);
            all[i].data = &l.item[i].word;
        }
    }
    sha256_hex(plan->model_hash, hash);
    const struct safetensors_note note[] = {
        {"format", "hypnograph checkpoint"}, {"version", "1"}, {"model", hash}};
    const struct safetensors s = {l.n, 3, all, note};
    enum hyp_status st = file_begin(&w, path, err);
    if (st == HYP_OK)
        st = stream(&w, &s, err);
    if (st != HYP_OK)
        file_abandon(&w);
    arena_free(l.a);
    return st;
}

/* ---- reading ---- */

static void shape_text(char out[160], const struct safetensor *t)
{
    int n = snprintf(out, 160, "%s[", safetensors_dtype_name(t->dtype));
    for (uint32_t i = 0; i < t->rank && n < 130; i++)
        n += snprintf(out + n, (size_t)(160 - n), "%s%llu", i ? ", " : "",
                      (unsigned long long)t->dim[i]);
    snprintf(out + n, (size_t)(160 - n), "]");
}

static bool same_shape(const struct safetensor *a, const struct safetensor *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->dim, b->dim, a->rank * sizeof *a->dim) == 0;
}

static void tell(checkpoint_differs *differs, void *cx, struct arena *a,
                 const struct safetensor *file, const struct safetensor *model)
{
    char have[160], want[160];
    if (!differs)
        return;
    if (!file || !model) {
        differs(cx, file ? arena_fmt(a, "`%s` is not in the model", file->name)
                         : arena_fmt(a, "`%s` is not in the file", model->name));
        return;
    }
    shape_text(have, file);
    shape_text(want, model);
    differs(cx, arena_fmt(a, "`%s` is %s in the file and %s in the model", file->name, have,
                          want));
}

static bool is_item(const struct items *l, const char *name)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (strcmp(l->item[i].st.name, name) == 0)
            return true;
    return false;
}

static uint32_t compare(const struct items *l, const struct safetensors *s,
                        checkpoint_differs *differs, void *cx)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        const struct safetensor *t = safetensors_find(s, l->item[i].st.name);
        if (t && same_shape(t, &l->item[i].st))
            continue;
        tell(differs, cx, l->a, t, &l->item[i].st);
        bad++;
    }
    for (uint32_t i = 0; i < s->ntensor; i++)
        if (!is_item(l, s->tensor[i].name)) {
            tell(differs, cx, l->a, &s->tensor[i], NULL);
            bad++;
        }
    return bad;
}

enum hyp_status checkpoint_read(const char *path, const struct hyp_plan *plan,
                                struct moment *m, checkpoint_differs *differs, void *cx,
                                bool *same_model, struct hyp_error *err)
{
    struct items l = {.a = arena_new()};
    struct safetensors s;
    uint8_t *bytes = NULL;
    size_t n = 0;
    char hash[65];

    enum hyp_status st = file_read(path, CHECKPOINT_LIMIT, &bytes, &n, err);
    if (st == HYP_OK)
        st = safetensors_parse(l.a, bytes, n, path, &s, err);
    if (st == HYP_OK) {
        add_tensors(&l, plan, m);
        add_cursors(&l, plan, m);
        const char *model = safetensors_note(&s, "model");
        const uint32_t bad = compare(&l, &s, differs, cx);
        sha256_hex(plan->model_hash, hash);
        *same_model = model && strcmp(model, hash) == 0;
        if (bad)
            st = hyp_fail(err, HYP_EMISMATCH, "%s does not fit the model: %u differences",
                          path, bad);
    }
    for (uint32_t i = 0; st == HYP_OK && i < l.n; i++)
        from_file(&l.item[i], safetensors_find(&s, l.item[i].st.name)->data);
    hyp_free(bytes);
    arena_free(l.a);
    return st;
}

enum hyp_status checkpoint_read_weights(const char *path, const struct hyp_plan *plan,
                                        uint8_t *state, checkpoint_differs *differs,
                                        void *cx, uint32_t *loaded, struct hyp_error *err)
{
    struct arena *a = arena_new();
    struct safetensors s;
    uint8_t *bytes = NULL;
    size_t n = 0;

    *loaded = 0;
    enum hyp_status st = file_read(path, CHECKPOINT_LIMIT, &bytes, &n, err);
    if (st == HYP_OK)
        st = safetensors_parse(a, bytes, n, path, &s, err);
    for (uint32_t i = 0; st == HYP_OK && i < plan->ntensor; i++) {
        const struct hyp_tensor *t = &plan->tensor[i];
        struct safetensor want;
        if (!t->weight)
            continue;
        tensor_of(plan, t, &want);
        const struct safetensor *have = safetensors_find(&s, t->name);
        if (!have || !same_shape(have, &want)) {
            tell(differs, cx, a, have, &want);
            continue;
        }
        memcpy(state + t->offset, have->data, want.nbytes);
        ++*loaded;
    }
    hyp_free(bytes);
    arena_free(a);
    return st;
}
