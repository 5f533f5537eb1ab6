/* Expressions of the model language (grammar: docs/language.md section 3). */
#ifndef HYP_COMPILER_FRONT_EXPR_H
#define HYP_COMPILER_FRONT_EXPR_H

#include "compiler/front/doc.h"

enum expr_kind {
    EX_NUMBER,  /* number, unit */
    EX_NAME,    /* name: a dotted path "z.wake" as long as written; resolved later */
    EX_SETTING, /* $name */
    EX_HOLE,    /* _ */
    EX_TUPLE,   /* ( a, b ) or top-level a, b */
    EX_LIST,    /* [ a, b ] */
    EX_CALL,    /* child 0: callee; then arguments (named ones have arg_name) */
    EX_DOT,    /* child 0 . name (perhaps a path), where child 0 is no plain path: E(x).z */
    EX_INDEX,  /* child 0 [ items ]; an item may be EX_RANGE */
    EX_RANGE,  /* from : to; either child may be NULL */
    EX_UNARY,  /* - ~ not */
    EX_BINARY, /* + - * / ** < <= > >= == != and or */
    EX_AT      /* child 0 @now (delay 0) or @-k (delay k) */
};
enum expr_op {
    XO_NEG,
    XO_DRAW,
    XO_NOT,
    XO_ADD,
    XO_SUB,
    XO_MUL,
    XO_DIV,
    XO_POW,
    XO_LT,
    XO_LE,
    XO_GT,
    XO_GE,
    XO_EQ,
    XO_NE,
    XO_AND,
    XO_OR
};
enum expr_unit { UNIT_NONE, UNIT_S, UNIT_MS, UNIT_US, UNIT_HZ, UNIT_KHZ };

struct expr {
    uint8_t kind, op, unit;
    uint16_t depth; /* of the tree below, from 1: at most EXPR_DEPTH */
    uint16_t delay;
    uint16_t draw;  /* XO_DRAW: the k-th ~ of its expression, from 1, in reading order */
    struct loc loc; /* of the whole; of names and operators: the token's */
    double number;
    const char *name;
    const char *arg_name; /* as an argument: its keyword, or NULL */
    struct loc arg_loc;
    struct expr **child;
    uint32_t n;
};

enum { EXPR_DEPTH = 256, EXPR_BYTES = 64 << 10 };

struct expr_param {
    const char *name;
    struct loc loc;
    struct expr *value; /* default, or NULL */
};
/* A key: a list of paths, a signature with parameters, or du/dt. */
struct expr_key {
    const char **path; /* "x", "z.wake"; of du/dt: "u" */
    struct loc *path_loc;
    uint32_t npath;
    bool is_call, is_rate;
    struct expr_param *param;
    uint32_t nparam;
};

/* NULL: reported. Parsed once per doc (cached in d->expr). Depth at most 256, text at most
 * 64 KiB. */
struct expr *expr_parse(struct arena *a, struct diag_sink *ds, struct doc *d);
bool expr_parse_key(struct arena *a, struct diag_sink *ds, const struct doc_text *t,
                    struct expr_key *out);
char *expr_print(const struct expr *e, struct arena *a); /* parses back to the same tree */

#endif
