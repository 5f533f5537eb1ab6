/*
 * From names to values: what the files of the second half of the front end share.
 *
 * Bodies (functions, networks, phases) are evaluated on demand: a frame binds the names of
 * one body, a run says into which region of the graph the nodes go.  An evaluation of one
 * expression carries the site prefix of its draws and the path prefix of its weights.  A
 * value that failed is poison: it has been reported, and what uses it stays silent.
 */
#ifndef HYP_COMPILER_FRONT_BUILD_H
#define HYP_COMPILER_FRONT_BUILD_H

#include "compiler/front/model.h"
#include "compiler/ir/program.h"

#define ARRAY_LEN(x) (sizeof(x) / sizeof((x)[0]))
#define MB_ARGS      48      /* arguments of one call */
#define MB_CALLS     40000   /* calls in all */
#define MB_NEST      2000    /* evaluations inside evaluations */
#define MB_DEPTH     200     /* calls inside calls */
#define MB_PARTS     4096    /* members of a tuple or list */
#define MB_NODES     1000000 /* graph nodes: section 13 of the language */
#define MB_PROBES    1000    /* probes, their repetitions counted */
#define MB_HINTS     1000    /* reports with a hint; those beyond are counted */

/* Values */

enum val_kind {
    VAL_POISON, /* failed, reported */
    VAL_NUM,    /* known when compiling: number or truth value */
    VAL_TENSOR,
    VAL_TUPLE,
    VAL_LIST, /* a list literal: a shape, or a tensor of its items */
    VAL_FUNC,
    VAL_DIST,
    VAL_WORD /* sample batch units member ticks, and the words of optimizers and probes */
};
enum law {
    LAW_NORMAL,
    LAW_UNIFORM,
    LAW_UNIFORM_INT,
    LAW_BERNOULLI,
    LAW_LAPLACE,
    LAW_EXPONENTIAL,
    LAW_CATEGORICAL
};

struct val;
struct frame;
struct func;

struct dist {
    enum law law;
    struct val *arg[2];
    struct val *shape, *like, *per; /* NULL: not given */
    struct loc loc;
};
/* What happened to a draw since: affine steps, newest first. */
enum step_op { STEP_ADD, STEP_SUB, STEP_RSUB, STEP_MUL, STEP_DIV, STEP_NEG, STEP_RESHAPE };
struct step {
    enum step_op op;
    struct val *by;
    struct type type; /* STEP_RESHAPE */
    struct step *next;
};
struct track {
    const struct dist *dist;
    value_id draw;
    uint32_t serial; /* the later draw wins where two meet */
    struct step *step;
};
struct val {
    uint8_t kind;
    bool is_bool; /* VAL_NUM */
    bool is_ext;  /* VAL_TENSOR: also a whole number c + b * batch_size */
    double num;
    value_id v;
    struct ext ext;
    struct val **item;
    uint32_t n, leaves;  /* members; what they hold in all */
    struct frame *frame; /* of the call it came from: parts by name */
    struct track *track;
    const char *lost; /* why a stochastic node has no density any more */
    struct func *func;
    struct val *first; /* VAL_TENSOR: the first argument of the call it is the value of */
    struct dist *dist;
    const char *word;
    struct loc loc; /* the expression it came from */
};

/* Bodies and frames */

struct body_node {
    const char **name;
    struct loc *name_loc;
    uint32_t nname;
    struct doc *value;
    struct loc loc;
    bool used;
};
struct body {
    const struct doc *doc;
    struct body_node *node;
    uint32_t nnode;
    struct doc *weights, *state, *next, *taps, *ret;
    struct body *link;
    uint8_t weighted; /* 0 unknown, 1 being asked, 2 no, 3 yes */
    bool bad;
    bool refused; /* a part of it is not built yet: what it would have said is not missed */
};
enum bind_kind { BIND_VALUE, BIND_DEFAULT, BIND_NODE, BIND_WEIGHT, BIND_STATE };
struct bind {
    const char *name;
    uint8_t kind, state;   /* state: 0 not yet, 1 being evaluated, 2 done */
    uint32_t part, nparts; /* BIND_NODE of a key list; nparts 1: the whole */
    struct body_node *node;
    struct doc *doc;
    struct expr *expr; /* BIND_DEFAULT */
    struct loc loc;
    struct val *value;
    struct bind *whole; /* the first name of its key list, which holds the tuple */
    struct val *tuple;
    bool used;
};
struct run {
    region_id region;
    bool training, is_main;
    const char *prefix;         /* of sites: "" or "probe/error/" */
    const char *from, *replace; /* source `replace` is read from `from` instead */
    struct frame **phase;       /* by index, made on demand */
    const char **reset;         /* states that take their initial value in this run */
    struct loc *reset_loc;
    uint32_t nreset;
    struct pending *fresh;   /* those values, once asked for */
    struct pending *pending; /* states that earlier calls in this run have advanced */
};
struct pending {
    leaf_id leaf;
    value_id value;
    struct pending *link;
};
struct frame {
    struct run *run;
    struct frame *outer; /* lexical: a probe's nodes see the phases; else NULL */
    const char *what;    /* for messages */
    struct body *body;
    struct bind *bind;
    uint32_t nbind;
    struct names index;     /* of the binds, where they are many */
    const char *site;       /* "compare/z.wake/up.z" */
    const char *path;       /* "up.z"; NULL: nothing here may own weights */
    const char *state_path; /* of states where path is NULL: "compare.z" */
    place_id place;
    struct loc call;    /* where it was called */
    const void *callee; /* function or network, to find recursion */
    struct frame *caller;
    uint32_t depth, pass;
    struct val *ret;
    uint8_t ret_state;
    bool in_init, is_phase, is_probe, next_done, told;
    uint32_t phase_index;
};

/* How many members of maps and links of chains one expression has called, by name. */
struct tally {
    const char *name;
    uint32_t n;
    struct tally *next;
};
/* One expression being evaluated. */
struct ecx {
    struct frame *f;
    const struct expr *root;
    const char *site, *path, *state_path; /* with the node's name */
    const char *suffix;   /* "#2" of a map member or chain link; NULL: none is set */
    struct tally **tally; /* members so far, by name; NULL: there are none */
    const char *number;   /* ".2" of a chain link, or "" */
};

/* Functions as values */

struct param {
    const char *name;
    bool has_default;
    struct expr *expr; /* default of a function's parameter */
};
struct prim;
enum func_kind { FUNC_PRIM, FUNC_MODEL, FUNC_NET, FUNC_ADJOINT };
struct slot {
    struct val *val;  /* NULL: a place left open */
    const char *name; /* keyword, or NULL */
    struct loc loc;
};
struct func {
    enum func_kind kind;
    const struct prim *prim;
    const struct model_function *fn;
    struct net *net;
    struct val *of; /* FUNC_ADJOINT: the node n of n.T */
    const char *written;
    struct slot *slot;
    uint32_t nslot;
    bool partial;
    struct loc loc;
};
struct net {
    const char *name;
    struct expr_key key;
    bool is_call; /* has a signature; else the body is an expression for a function */
    struct doc *body;
    struct loc loc;
    bool used;
};
struct args {                 /* of a primitive, bound by its signature */
    struct val *val[MB_ARGS]; /* NULL: not given, no default */
    struct loc at[MB_ARGS];
    uint32_t n; /* positions of the signature; variadic ones follow */
    uint32_t nall;
    const struct expr *call; /* NULL: made by the compiler */
    struct loc loc;          /* of the call */
};
struct mb;
typedef struct val *prim_fn(struct mb *b, struct ecx *x, const struct prim *p,
                            struct args *a);
struct prim {
    const char *name, *sig;
    prim_fn *fn;
    int op; /* sx_op, law, ... */
    const char *doc;
};

/* Model-wide */

struct weight_info {
    uint32_t index;      /* in program->weight */
    uint32_t pass;       /* the network call that touched it last */
    const void *owner;   /* the frame within that call */
    struct frame *frame; /* for its init */
    struct doc *decl;
    value_id init;
    uint8_t init_state;
    bool updated, is_reported;
};
struct phase_info {
    const char *name;
    struct doc *doc;
    struct loc loc;
    bool scheduled;
    struct run *run; /* its own */
};
struct data_info {
    const char *name;
    struct doc *doc; /* `all` merged in */
    bool used;
};
struct discrete { /* a discrete draw: no gradient passes it */
    value_id value;
    struct loc loc;
    bool is_reported;
};
struct mb {
    struct arena *a;
    struct diag_sink *ds;
    struct model *m;
    struct program *p;
    struct graph *g;
    struct body *bodies[4096]; /* by their document */
    struct net *net;
    uint32_t nnet;
    struct phase_info *phase;
    uint32_t nphase;
    struct data_info *data;
    uint32_t ndata;
    struct weight_info *weight; /* parallel to program->weight */
    uint32_t cweight;
    struct frame *constants, *states, *host;
    struct run *host_run, *init_run;
    bool *setting_used;
    const struct type *use; /* of an initial value: the shape that draws take */
    uint32_t serial, pass, ncall, nest;
    struct names net_index, weight_index, site_index;
    uint32_t *seen, cseen, stamp; /* marks of walks over the graph, by node */
    struct discrete *discrete;
    uint32_t ndiscrete, cdiscrete;
    bool over_limit;
};

/* The same dims and kind; dtypes may differ. */
static inline bool mb_same_shape(const struct type *x, const struct type *y)
{
    bool same = x->rank == y->rank && x->sample == y->sample;
    for (unsigned i = 0; same && i < x->rank; i++)
        same = ext_eq(x->dim[i], y->dim[i]);
    return same;
}

/* value.c */
struct val *mb_poison(struct mb *b);
struct val *mb_num(struct mb *b, double x);
struct val *mb_bool(struct mb *b, bool x);
struct val *mb_word(struct mb *b, const char *w);
struct val *mb_tensor(struct mb *b, value_id v);
struct val *mb_tuple(struct mb *b, struct val *const *item, uint32_t n);
bool mb_is(const struct val *v, enum val_kind k);
/* One tensor; what is none is reported at `loc` (E0307, E0309). 0: failed. */
value_id mb_value(struct mb *b, struct val *v, struct loc loc);
value_id mb_f32(struct mb *b, struct val *v, struct loc loc); /* the same, converted */
value_id mb_to_f32(struct mb *b, value_id v);
bool mb_is_host(const struct mb *b, value_id v); /* a host scalar */
/* The sum of of[k] * batch_size^k, k up to `degree` > 0, as a host scalar; of an extent. */
value_id mb_polynomial(struct mb *b, const double *of, unsigned degree);
value_id mb_ext(struct mb *b, struct ext e);
bool mb_whole(struct mb *b, struct val *v, struct loc loc, int64_t *out); /* E0305 */
bool mb_ext_of(struct mb *b, struct val *v, struct loc loc, struct ext *out);
bool mb_shape(struct mb *b, struct val *v, struct loc loc,
              struct type *out);                  /* dims only */
char *mb_show(struct mb *b, const struct val *v); /* its type, for messages */
char *mb_shape_text(struct mb *b, const struct type *t);
const char *mb_kind_text(const struct val *v);
/* elementwise.c: over tensors, numbers and tuples */
struct val *mb_ew(struct mb *b, int op, struct val *const *x, uint32_t n, struct loc loc);
struct val *mb_ew1(struct mb *b, int op, struct val *x, struct loc loc);
struct val *mb_ew2(struct mb *b, int op, struct val *x, struct val *y, struct loc loc);
value_id mb_map(struct mb *b, sx_id fn, const value_id *in, uint32_t n,
                const struct type *wide);
value_id mb_widen(struct mb *b, value_id v, const struct type *t);
bool mb_join(struct mb *b, struct val *const *x, uint32_t n, struct loc loc,
             struct type *out);

/* resolve.c */
struct body *mb_body(struct mb *b, const struct doc *d, const char *what);
struct bind *mb_find(struct frame *f, const char *name);
struct val *mb_bound(struct mb *b, struct frame *f, struct bind *bind);
struct val *mb_name(struct mb *b, struct ecx *x, const struct expr *e);
struct val *mb_part(struct mb *b, struct val *v, const char *name, struct loc loc);
struct val *mb_callee(struct mb *b, struct ecx *x, const struct expr *e);
struct net *mb_net(struct mb *b, const char *name);
struct frame *mb_phase_frame(struct mb *b, struct run *r, uint32_t i);

/* callnumber.c */
bool mb_weighted(struct mb *b, const struct doc *body, const struct expr_key *key);
unsigned mb_call_number(struct mb *b, struct ecx *x, const struct expr *call,
                        unsigned *total);
unsigned mb_call_ordinal(const struct expr *root, const struct expr *call);
unsigned mb_call_count(const struct expr *root, const char *name);

/* eval.c */
struct val *mb_eval(struct mb *b, struct ecx *x, const struct expr *e);
struct val *mb_eval_doc(struct mb *b, struct frame *f, struct doc *d, const char *site,
                        const char *path);
struct val *mb_arith(struct mb *b, enum expr_op op, struct val *x, struct val *y,
                     struct loc loc);

/* frame.c */
struct frame *mb_frame(struct mb *b, struct run *r, const char *what);
void mb_bind_body(struct mb *b, struct frame *f);
struct val *mb_node(struct mb *b, struct frame *f, struct bind *bind);
struct val *mb_return(struct mb *b, struct frame *f);
/* New nodes belong to node `name` of f, written at `loc`, until mb_leave. */
struct mb_saved {
    region_id at;
    place_id where;
    uint32_t expr;
};
struct mb_saved mb_enter(struct mb *b, struct frame *f, const char *name, struct loc loc);
void mb_leave(struct mb *b, struct mb_saved s);
/* The expression of one name, under the name `as` (the first of its key list). */
struct val *mb_eval_named(struct mb *b, struct frame *f, const struct expr *e,
                          const char *as, struct loc loc);

/* instance.c */
struct val *mb_call(struct mb *b, struct ecx *x, const struct expr *call, struct func *fn,
                    struct slot *slot, uint32_t nslot, struct loc loc);
/* A call with places left open; a function of them. */
struct val *mb_partial(struct mb *b, const struct func *fn, struct slot *slot,
                       uint32_t nslot, struct loc loc);
struct val *mb_taps(struct mb *b, struct ecx *x, const struct expr *call, struct val *fn,
                    struct val *arg, struct loc loc);
char *mb_signature(struct mb *b, const struct func *fn);
void mb_next(struct mb *b, struct frame *f);

/* layer.c: v, node `node` of the elaborated phase; E0604 and a value of the layer's shape
 */
struct val *mb_layer_value(struct mb *b, const char *node, struct val *v, struct loc loc);

/* weight.c */
struct val *mb_weight(struct mb *b, struct frame *f, struct bind *bind);
struct val *mb_state(struct mb *b, struct frame *f, struct bind *bind);
int mb_weight_find(const struct mb *b, const char *path);
/* `name` of f (or of the model) becomes v when the run ends: E0402, E0404. */
void mb_commit(struct mb *b, struct run *r, struct frame *f, const char *name,
               struct loc loc, struct val *v);
bool mb_path_under(const char *path, const char *group);

/* phase.c: E0505, and why where that is known */
void mb_no_weights(struct mb *b, const char *group, struct loc loc);

/* The value that `reset` gives state i of program->weight in a run; 0: it is not reset. */
value_id mb_reset_value(struct mb *b, struct run *r, int i);
void mb_reset_all(struct mb *b, struct run *r);

/* track.c */
struct density { /* of a distribution, or of a stochastic node as it has become */
    enum law law;
    struct val *arg[2];
    struct val *shift, *slope; /* the law's value times slope, plus shift; NULL: as it is */
    struct type type;          /* the node's, f32; rank 0: a distribution's */
};
bool mb_density(struct mb *b, struct val *v, struct loc loc,
                struct density *out); /* E0311 */
struct val *mb_wide(struct mb *b, struct val *v, const struct type *t);
void mb_track(struct mb *b, struct val *out, int op, struct val *const *x, uint32_t n);
void mb_track_reshape(struct mb *b, struct val *out, const struct val *x);
bool mb_depends(struct mb *b, value_id v, value_id on);
void mb_new_walk(struct mb *b); /* nothing is marked in b->seen */

/* draw.c */
struct val *mb_draw(struct mb *b, struct ecx *x, struct val *d, const char *site,
                    const struct type *use, struct loc loc);

/* adjoint.c */
struct val *mb_transposed(struct mb *b, struct val *v, struct loc loc); /* n.T */
struct val *mb_adjoint(struct mb *b, const struct func *fn, const struct slot *slot,
                       uint32_t nslot, struct loc loc); /* n.T(e) */

/* prim.c */
const struct prim *mb_prim(const char *name);
uint32_t mb_prim_params(struct mb *b, const struct prim *p, struct param *out,
                        bool *variadic);
struct val *mb_prim_call(struct mb *b, struct ecx *x, const struct expr *call,
                         struct func *fn, const struct slot *slot, uint32_t nslot,
                         struct loc loc);
bool mb_bind_args(struct mb *b, const struct func *fn, const struct param *param,
                  uint32_t nparam, const struct slot *slot, uint32_t nslot, struct loc loc,
                  struct val **val);
extern const struct prim mb_prims[];
extern const unsigned mb_nprims;

/* choose.c: element `at` (one number, which the run knows) of an axis. 0: reported */
value_id mb_pick(struct mb *b, value_id v, unsigned axis, struct val *at, struct loc loc);
/* The i32 of a whole number or a list of them; a setting or counter is rounded down. 0:
 * reported. */
value_id mb_index(struct mb *b, struct val *v, struct loc loc);
/* Elements of v by their number in a sample, ranges not checked. 0: reported */
value_id mb_take_at(struct mb *b, value_id v, value_id at, struct loc loc);

struct val *mb_flat(struct mb *b, struct val *x, struct loc loc);
/* Values of one shape on a new first axis. */
struct val *mb_stack_values(struct mb *b, struct val *const *x, uint32_t n, struct loc loc);
/* reduce.c */
struct val *mb_reduce_sum(struct mb *b, struct val *x, bool units, bool batch,
                          struct loc loc);

/* data.c, phase.c, optimizer.c, schedule.c, probe.c */
void mb_settings(struct mb *b);
void mb_constants(struct mb *b);
void mb_data(struct mb *b);
int mb_data_find(const struct mb *b, const char *name);
struct val *mb_field(struct mb *b, struct run *r, int source, const char *field,
                     struct loc loc);
struct val *mb_setting(struct mb *b, const char *name, struct loc loc);
void mb_find_phases(struct mb *b);
void mb_phases(struct mb *b);
struct run *mb_run(struct mb *b, region_id region, bool training, const char *prefix);
void mb_optimizers(struct mb *b);
void mb_schedule(struct mb *b);
/* phase.c: the stage's entries run variants of their phases, without the groups of d. */
void mb_stage_freeze(struct mb *b, struct prog_stage *s, const struct doc *d);
void mb_scheduled_names(struct mb *b);
bool mb_setting_values(struct mb *b, const struct doc *d, struct prog_named **out,
                       uint32_t *n);
void mb_probes(struct mb *b);
value_id mb_host_value(struct mb *b, struct doc *d); /* a host scalar; 0: reported */
/* The n numbers of a list into out; false: reported. */
bool mb_host_list(struct mb *b, struct doc *d, uint32_t n, value_id *out);
value_id mb_host_of(struct mb *b, struct val *v, struct loc loc);
void mb_unused(struct mb *b);

#endif
