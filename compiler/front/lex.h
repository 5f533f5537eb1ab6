/* Tokens of expressions and keys. */
#ifndef HYP_COMPILER_FRONT_LEX_H
#define HYP_COMPILER_FRONT_LEX_H

#include "compiler/front/doc.h"

enum token_kind {
    TK_END,
    TK_NUMBER, /* number; its unit is a name that follows */
    TK_PATH,   /* a dotted path without blanks: z.wake, encode.1.bias */
    TK_SIGN,   /* sign: one of the operators below, NUL-terminated */
    TK_WRONG   /* a character that begins no token */
};
struct token {
    enum token_kind kind;
    uint32_t from, n; /* bytes of the text */
    struct loc loc;
    double number;
    char sign[3];
    bool dotted; /* TK_PATH: of more than one part */
};
struct lexer {
    const struct doc_text *t;
    uint32_t at;
    uint32_t mark;      /* index of the doc_mark in use */
    uint32_t counted;   /* byte up to which col has been counted */
    uint32_t line, col; /* place of `counted` */
};
void lexer_start(struct lexer *x, const struct doc_text *t);
struct token lexer_next(struct lexer *x);
bool token_is(const struct token *k, const char *sign);

#endif
