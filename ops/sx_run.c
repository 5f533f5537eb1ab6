/*
 * Programs: an expression as a list of lane kernels over a register file.
 *
 * Registers in order: constants (written once), operands, scalars and axes (loaded per
 * run), then temporaries, reused after their last reader.  One element is a block of one
 * lane, so a block and a loop over elements agree to the bit.
 */
#include <string.h>

#include "ops/sx_lane.h"
#include "ops/sx_priv.h"
#include "runtime/base/arena.h"

struct ins {
    sx_lane_fn *fn; /* NULL: a word of site `b` at the element in register a */
    uint32_t dst, a, b, c;
};

struct load {
    uint8_t op, type;
    uint32_t reg, index; /* SX_K: the word, or index of the double in `konst` */
};

struct sx_prog {
    bool f64;
    uint32_t nconst, nload, nins, nreg, nroot;
    struct load *konst, *load; /* constants; leaves to load */
    double *value;             /* of konst, as doubles */
    struct ins *ins;
    uint32_t *root;
    uint8_t *root_type;
};

/* ---- the rows for this machine ---- */

const struct sx_code *sx_lanes(void)
{
#ifdef HYP_HAVE_AVX2_LANES
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return sx_lanes_avx2;
#endif
    return sx_lanes_base;
}

const struct sx_code *sx_code_find(unsigned op, unsigned type, const uint8_t in[3])
{
    const struct sx_code *rows = sx_lanes();
    const unsigned arity = sx_op_info((enum sx_op)op)->arity;

    for (uint32_t i = 0; i < sx_lanes_count; i++) {
        if (rows[i].op == op && rows[i].type == type && !memcmp(rows[i].in, in, arity))
            return &rows[i];
    }
    return NULL;
}

/* ---- compiling ---- */

struct compiler {
    const struct sxb *b;
    struct sx_prog *p;
    sx_id *order;
    uint32_t n;
    uint32_t *reg;      /* by id */
    uint32_t *last_use; /* by id: position in `order`; UINT32_MAX for roots */
    uint32_t *free_reg, nfree;
};

static void add_leaf(struct compiler *cc, sx_id id)
{
    const struct sx_node *n = &cc->b->node[id];
    struct sx_prog *p = cc->p;

    cc->reg[id] = p->nreg;
    if (n->op == SX_K) {
        p->value[p->nconst] = sx_k_double(n);
        p->konst[p->nconst++] = (struct load){n->op, n->type, p->nreg++, n->a};
    } else {
        p->load[p->nload++] = (struct load){n->op, n->type, p->nreg++, n->a};
    }
}

static void find_last_uses(struct compiler *cc, const sx_id *root, uint32_t nroot)
{
    sx_id in[3];

    for (uint32_t k = 0; k < cc->n; k++) {
        for (unsigned i = sx_operands(&cc->b->node[cc->order[k]], in); i-- > 0;)
            cc->last_use[in[i]] = k;
    }
    for (uint32_t i = 0; i < nroot; i++)
        cc->last_use[root[i]] = UINT32_MAX;
}

static void add_ins(struct compiler *cc, uint32_t k)
{
    const sx_id id = cc->order[k];
    const struct sx_node *n = &cc->b->node[id];
    struct sx_prog *p = cc->p;
    struct ins *x = &p->ins[p->nins++];
    uint8_t types[3] = {0};
    sx_id in[3];
    const unsigned arity = sx_operands(n, in);
    uint32_t reg[3] = {0};

    for (unsigned i = 0; i < arity; i++) {
        types[i] = cc->b->node[in[i]].type;
        reg[i] = cc->reg[in[i]];
    }
    *x = (struct ins){NULL, 0, reg[0], reg[1], reg[2]};
    if (n->op == SX_RNG) {
        x->b = n->a;
    } else {
        const struct sx_code *code = sx_code_find(n->op, n->type, types);
        x->fn = p->f64 ? code->f64 : code->f32;
    }
    x->dst = cc->nfree ? cc->free_reg[--cc->nfree] : p->nreg++;
    cc->reg[id] = x->dst;
    for (unsigned i = 0; i < arity; i++) { /* after dst is chosen: kernels never overlap */
        const bool again = (i > 0 && in[i] == in[0]) || (i > 1 && in[i] == in[1]);
        if (!again && cc->last_use[in[i]] == k && cc->b->node[in[i]].op >= SX_RNG)
            cc->free_reg[cc->nfree++] = cc->reg[in[i]];
    }
}

static void compile_into(struct compiler *cc, struct arena *a, const sx_id *root,
                         uint32_t nroot, sx_id max)
{
    struct sx_prog *p = cc->p;

    p->konst = arena_array(a, cc->n + 1, sizeof *p->konst);
    p->value = arena_array(a, cc->n + 1, sizeof *p->value);
    p->load = arena_array(a, cc->n + 1, sizeof *p->load);
    p->ins = arena_array(a, cc->n + 1, sizeof *p->ins);
    cc->reg = arena_array(a, (size_t)max + 1, sizeof *cc->reg);
    cc->last_use = arena_array(a, (size_t)max + 1, sizeof *cc->last_use);
    cc->free_reg = arena_array(a, cc->n + 1, sizeof *cc->free_reg);
    find_last_uses(cc, root, nroot);
    for (int leaves = 0; leaves < 2; leaves++) { /* constants first */
        for (uint32_t k = 0; k < cc->n; k++) {
            const unsigned op = cc->b->node[cc->order[k]].op;
            if (op < SX_RNG && (op != SX_K) == leaves)
                add_leaf(cc, cc->order[k]);
        }
    }
    for (uint32_t k = 0; k < cc->n; k++) {
        if (cc->b->node[cc->order[k]].op >= SX_RNG)
            add_ins(cc, k);
    }
    for (uint32_t i = 0; i < nroot; i++) {
        p->root[i] = cc->reg[root[i]];
        p->root_type[i] = cc->b->node[root[i]].type;
    }
}

struct sx_prog *sx_compile(struct arena *a, const struct sxb *b, const sx_id *root,
                           uint32_t nroot, bool f64)
{
    struct sx_prog *p = arena_alloc(a, sizeof *p);
    struct arena *scratch = arena_new();
    struct compiler cc = {.p = p};
    sx_id *own = arena_array(scratch, nroot + 1, sizeof *own), max = 0;
    struct sxb store;

    sx_init(&store, scratch);
    p->f64 = f64;
    p->nroot = nroot;
    p->root = arena_array(a, nroot + 1, sizeof *p->root);
    p->root_type = arena_array(a, nroot + 1, 1);
    for (uint32_t i = 0; i < nroot; i++) {
        own[i] = sx_import(&store, b, root[i], NULL, 0);
        if (!f64)
            own[i] = sx_expand(&store, own[i]);
        max = own[i] > max ? own[i] : max;
    }
    cc.b = &store;
    cc.n = sx_postorder(&store, own, nroot, scratch, &cc.order);
    compile_into(&cc, a, own, nroot, max);
    arena_free(scratch);
    return p;
}

/* ---- running ---- */

/* Where registers are: `stride` bytes each. */
struct file {
    unsigned char *base;
    size_t stride;
};

static void *at(const struct file *f, uint32_t reg)
{
    return f->base + reg * f->stride;
}

static void fill_float(const struct sx_prog *p, void *d, double x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (p->f64)
            ((double *)d)[i] = x;
        else
            ((float *)d)[i] = (float)x;
    }
}

static void fill_word(void *d, uint32_t w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        ((uint32_t *)d)[i] = w;
}

static void load_constants(const struct sx_prog *p, const struct file *f, uint32_t n)
{
    for (uint32_t i = 0; i < p->nconst; i++) {
        if (p->konst[i].type == SX_FLOAT)
            fill_float(p, at(f, p->konst[i].reg), p->value[i], n);
        else
            fill_word(at(f, p->konst[i].reg), p->konst[i].index, n);
    }
}

/* A double that stands for a value of any type, as the word of an integer type. */
static uint32_t to_word(unsigned type, double x)
{
    return type == SX_I32 ? (uint32_t)(int32_t)x : (uint32_t)x;
}

static void copy_lanes(void *restrict d, const void *restrict s, size_t size, int32_t step,
                       uint32_t n)
{
    if (step == 1) {
        memcpy(d, s, n * size);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        memcpy((unsigned char *)d + i * size,
               (const unsigned char *)s + (ptrdiff_t)i * step * (ptrdiff_t)size, size);
}

static void load_axis(int32_t *d, int64_t first, int32_t step, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        d[i] = (int32_t)(first + (int64_t)i * step);
}

static void load_block(const struct sx_prog *p, const struct file *f,
                       const struct sx_block *env, uint32_t n)
{
    for (uint32_t i = 0; i < p->nload; i++) {
        const struct load *x = &p->load[i];
        void *d = at(f, x->reg);
        if (x->op == SX_ARG)
            copy_lanes(d, env->arg[x->index], p->f64 && x->type == SX_FLOAT ? 8 : 4,
                       env->arg_step[x->index], n);
        else if (x->op == SX_AXIS)
            load_axis(d, env->axis[x->index], env->axis_step[x->index], n);
        else if (x->type == SX_FLOAT)
            fill_float(p, d, env->scalar[x->index], n);
        else
            fill_word(d, to_word(x->type, env->scalar[x->index]), n);
    }
}

static void load_one(const struct sx_prog *p, const struct file *f,
                     const struct sx_env *env)
{
    for (uint32_t i = 0; i < p->nload; i++) {
        const struct load *x = &p->load[i];
        void *d = at(f, x->reg);
        const double *from = x->op == SX_ARG ? env->arg : env->scalar;
        if (x->op == SX_AXIS)
            load_axis(d, env->axis[x->index], 0, 1);
        else if (x->type == SX_FLOAT)
            fill_float(p, d, from[x->index], 1);
        else
            fill_word(d, to_word(x->type, from[x->index]), 1);
    }
}

void sx_prog_prepare(const struct sx_prog *p, void *scratch)
{
    const struct file f = {scratch, SX_BLOCK * (p->f64 ? sizeof(double) : sizeof(float))};
    load_constants(p, &f, SX_BLOCK);
}

void sx_prog_run_block(const struct sx_prog *p, const struct sx_block *env, uint32_t n,
                       void *scratch, void *const *out)
{
    const size_t size = p->f64 ? sizeof(double) : sizeof(float);
    const struct file f = {scratch, SX_BLOCK * size};

    load_block(p, &f, env, n);
    for (const struct ins *x = p->ins; x < p->ins + p->nins; x++) {
        uint32_t *d = at(&f, x->dst);
        const int32_t *e = at(&f, x->a);
        if (x->fn) {
            x->fn(d, e, at(&f, x->b), at(&f, x->c), n);
            continue;
        }
        for (uint32_t i = 0; i < n; i++)
            d[i] = env->rng(env->cx, x->b, e[i], i);
    }
    for (uint32_t k = 0; k < p->nroot; k++)
        memcpy(out[k], at(&f, p->root[k]), n * (p->root_type[k] == SX_FLOAT ? size : 4));
}

static double as_double(const struct sx_prog *p, unsigned type, const void *v)
{
    if (type == SX_FLOAT)
        return p->f64 ? *(const double *)v : (double)*(const float *)v;
    return type == SX_I32 ? (double)*(const int32_t *)v : (double)*(const uint32_t *)v;
}

void sx_prog_run(const struct sx_prog *p, const struct sx_env *env, double *reg,
                 double *out)
{
    const struct file f = {(unsigned char *)reg, sizeof *reg};

    load_constants(p, &f, 1);
    load_one(p, &f, env);
    for (const struct ins *x = p->ins; x < p->ins + p->nins; x++) {
        if (x->fn)
            x->fn(at(&f, x->dst), at(&f, x->a), at(&f, x->b), at(&f, x->c), 1);
        else
            *(uint32_t *)at(&f, x->dst) = env->rng(env->cx, x->b, *(int32_t *)at(&f, x->a));
    }
    for (uint32_t k = 0; k < p->nroot; k++)
        out[k] = as_double(p, p->root_type[k], at(&f, p->root[k]));
}

uint32_t sx_prog_regs(const struct sx_prog *p)
{
    return p->nreg;
}

size_t sx_prog_scratch(const struct sx_prog *p)
{
    return (size_t)p->nreg * SX_BLOCK * (p->f64 ? sizeof(double) : sizeof(float));
}

static double eval(const struct sxb *b, sx_id root, const struct sx_env *env, bool f64)
{
    struct arena *a = arena_new();
    const struct sx_prog *p = sx_compile(a, b, &root, 1, f64);
    double out = 0;

    sx_prog_run(p, env, arena_array(a, p->nreg, sizeof(double)), &out);
    arena_free(a);
    return out;
}

double sx_eval_f64(const struct sxb *b, sx_id root, const struct sx_env *env)
{
    return eval(b, root, env, true);
}

double sx_eval_f32(const struct sxb *b, sx_id root, const struct sx_env *env)
{
    return eval(b, root, env, false);
}
