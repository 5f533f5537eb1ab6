/* Shared by the files that elaborate layered models (docs/language.md, section 6). */
#ifndef HYP_COMPILER_FRONT_ELABORATE_H
#define HYP_COMPILER_FRONT_ELABORATE_H

#include "compiler/front/expr_edit.h"
#include "compiler/front/model_internal.h"

enum direction { UP, DOWN };
enum moment { WAKE, OSCILLATION, SLEEP, MOMENTS };
extern const char *const moment_name[MOMENTS];

struct pathway {                   /* into a layer, in one direction */
    const struct doc_entry *entry; /* NULL: none */
    const char **arg;              /* the layers it reads, in reading order */
    uint32_t narg;
    bool one_layer; /* credit stops here */
};
struct layer {
    const char *name;
    const struct doc_entry *entry;
    struct doc *shape, *drive, *prior;
    struct pathway way[2];
};
struct elaboration {
    struct model *m;
    struct arena *a;
    const struct doc *file;
    struct layer *layer;
    uint32_t nlayer;
    struct doc *index;    /* layer name -> a document whose n is its number */
    struct doc *networks; /* made here */
    struct doc *values;   /* L.wake, L.oscillation, L.sleep of all layers */
    struct doc *games;    /* scores, objectives, penalties, losses */
    struct doc *phase;    /* of compare, less `nodes` */
};

/* Layers, their pathways, their values. */
void elaborate_layers(struct elaboration *e);
void elaborate_unknown_layer(struct elaboration *e, const char *name, struct loc loc);
struct layer *elaborate_layer(const struct elaboration *e, const char *name);
/* Discriminators: networks, games and updates. */
void elaborate_critics(struct elaboration *e);
/* The nodes of `compare` with the file's own laid over, without values that nothing reads.
 */
struct doc *elaborate_prune(struct elaboration *e, const struct doc *phase);

/* Trees. NULL children make NULL; too deep is reported. */
struct expr *make_name(struct elaboration *e, struct loc loc, const char *name);
struct expr *make_call(struct elaboration *e, struct loc loc, const char *callee,
                       struct expr *const *arg, uint32_t narg);
struct expr *make_tuple(struct elaboration *e, struct loc loc, struct expr *const *item,
                        uint32_t n);
struct expr *make_binary(struct elaboration *e, struct loc loc, enum expr_op op,
                         struct expr *x, struct expr *y);
struct expr *make_draw(struct elaboration *e, struct expr *distribution);
/* The expression of a document, copied; NULL: it is bad. */
struct expr *make_copy(struct elaboration *e, struct doc *d);
/* weight * x, or x where the weight is the number 1 */
struct expr *make_scaled(struct elaboration *e, struct doc *weight, struct expr *x);
bool is_number(struct elaboration *e, struct doc *d, double value);
void add_node(struct elaboration *e, struct doc *to, struct loc loc, const char *key,
              struct expr *x);

#endif
