/* Text of the loop IR: what kernels and nests have in common. */
#ifndef HYP_CODEGEN_LOOP_TEXT_H
#define HYP_CODEGEN_LOOP_TEXT_H

#include "codegen/loop/loop.h"
#include "runtime/base/arena.h"
#include "runtime/base/diag.h"

struct out { /* growing text */
    struct arena *a;
    char *text;
    uint32_t n, cap;
    bool flat; /* no indentation: for a machine */
};
/* Conversions: %s %c %d %+d %u %llu %.17g %%. */
void out_fmt(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
typedef void axis_name_fn(const void *cx, unsigned axis, char name[16]);
void out_ext(struct out *o, struct ext e);
void out_index(struct out *o, const struct index *x, axis_name_fn *name, const void *cx);
void out_guards(struct out *o, const struct guard *g, unsigned n, axis_name_fn *name,
                const void *cx);
void out_pick(struct out *o, const struct pick *p);
void out_quoted(struct out *o, const char *s); /* NULL as "" */
void out_bufs(struct out *o, const struct kbuf *b, uint32_t n, uint32_t nprivate);
void out_sx(struct out *o, const struct sxb *b, sx_id e);
void out_kernel(struct out *o, const struct kernel *k);
void out_nest(struct out *o, const struct nest *n);

struct in { /* a cursor over text; the first mistake is reported and everything after fails
             */
    struct arena *a;
    const char *text, *at;
    struct diag_sink *ds;
    uint32_t file;
    bool failed;
};
typedef int axis_find_fn(const void *cx, const char *name, size_t n); /* -1: none */
void in_fail(struct in *in, const char *what);
void in_space(struct in *in);
bool in_is(struct in *in, const char *word); /* consumed if it is next */
void in_want(struct in *in, const char *word);
int64_t in_number(struct in *in);
uint32_t in_count(struct in *in, uint32_t most); /* 0 .. most */
double in_double(struct in *in);
const char *in_quoted(struct in *in);
struct ext in_ext(struct in *in);
struct index in_index(struct in *in, axis_find_fn *find, const void *cx);
struct guard *in_guards(struct in *in, uint8_t *n, axis_find_fn *find, const void *cx);
struct pick in_pick(struct in *in);
int in_axis(struct in *in, axis_find_fn *find, const void *cx);
sx_id in_sx(struct in *in, struct sxb *b);
struct kbuf *in_bufs(struct in *in, uint32_t *n, uint32_t *nprivate);
int in_choice(struct in *in, const char *const *word,
              unsigned n); /* index of the word next */

extern const char *const text_dtypes[3];
extern const char *const text_orders[3];
extern const char *const text_uses[3];

#endif
