/*
 * JSON: a writer that streams into a growing buffer, and a reader into an arena tree.
 *
 * Numbers are written with the fewest digits that read back equal; not finite ones as null.
 */
#ifndef HYP_RUNTIME_BASE_JSON_H
#define HYP_RUNTIME_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

/* Writer.  Commas and quoting are its business; mistakes of nesting are asserted. */
struct json_writer {
    char *text; /* NUL-terminated, owned; hyp_free */
    size_t n, cap;
    uint64_t first;  /* one bit a depth: nothing written yet */
    uint64_t object; /* one bit a depth: opened by '{' */
    unsigned depth;
    bool after_key, failed; /* failed: out of memory, text is NULL */
};
void json_init(struct json_writer *w);
void json_fini(struct json_writer *w);
void json_open(struct json_writer *w, char bracket); /* '{' or '[' */
void json_close(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);
void json_string(struct json_writer *w, const char *s);
void json_number(struct json_writer *w, double x);
void json_float(struct json_writer *w, float x); /* shortest for a float */
void json_int(struct json_writer *w, int64_t x);
void json_bool(struct json_writer *w, bool x);
void json_null(struct json_writer *w);

/*
 * The fewest digits that read back equal as double (or as float), plain from 1e-6 up to
 * 1e21; "null" if x is not finite.  Returns the length.
 */
int json_format_double(char out[32], double x);
int json_format_float(char out[32], float x);

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_LIST, JSON_OBJECT };
struct json {
    enum json_kind kind;
    double number; /* also 0 or 1 for a bool */
    const char *string, *key;
    struct json *child, *next; /* first member; next sibling */
    uint32_t n;
};
/* NULL on damage: *where is then the byte offset.  Depth at most 64. */
const struct json *json_parse(struct arena *a, const char *text, size_t n, size_t *where);
const struct json *json_get(const struct json *object, const char *key); /* NULL: absent */

#endif
