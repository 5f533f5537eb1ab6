/*
 * What the grammars of expressions (expr.c) and of keys (expr_key.c) read by: the token at
 * hand, the next one, and one report of the first mistake.  Once `failed`, nothing is taken
 * any more.
 */
#ifndef HYP_COMPILER_FRONT_PARSER_H
#define HYP_COMPILER_FRONT_PARSER_H

#include "compiler/front/expr.h"
#include "compiler/front/lex.h"

struct parser {
    struct arena *a;
    struct diag_sink *ds;
    struct lexer lex;
    struct token now, next;
    const char *text;
    unsigned nested; /* levels of recursion */
    uint16_t *draw;  /* draws counted so far in this expression */
    struct loc last; /* the token taken last */
    bool failed;
};

void parser_start(struct parser *p, struct arena *a, struct diag_sink *ds,
                  const struct doc_text *t, uint16_t *draw);
void parser_advance(struct parser *p);

/* What stands now. */
bool parser_sees(const struct parser *p, const char *sign);
bool parser_sees_word(const struct parser *p, const char *word);
bool parser_sees_operator(const struct parser *p); /* and, or, not */
const char *parser_name(struct parser *p);         /* as it is spelled */
/* On to the next token, if this sign stands now. */
bool parser_take(struct parser *p, const char *sign);
/* From `from` to the token taken last; on one line. */
struct loc parser_whole(const struct parser *p, struct loc from);

/* E0110, once. */
void parser_unexpected(struct parser *p, const char *wanted);
/* The closing bracket of `open`, or E0111. */
void parser_expect_close(struct parser *p, const char *sign, const struct token *open);

/* expr.c: an expression without commas at its top; NULL: failed. */
struct expr *parser_expr(struct parser *p);

#endif
