/* Tokens one by one, with one to look ahead, and the words for the first mistake. */
#include "compiler/front/parser.h"

#include <string.h>

#include "runtime/base/arena.h"

void parser_start(struct parser *p, struct arena *a, struct diag_sink *ds,
                  const struct doc_text *t, uint16_t *draw)
{
    *p = (struct parser){.a = a, .ds = ds, .text = t->text, .draw = draw};
    lexer_start(&p->lex, t);
    p->now = lexer_next(&p->lex);
    p->next = lexer_next(&p->lex);
}

void parser_advance(struct parser *p)
{
    p->last = p->now.loc;
    p->now = p->next;
    p->next = lexer_next(&p->lex);
}

bool parser_sees(const struct parser *p, const char *sign)
{
    return token_is(&p->now, sign);
}

bool parser_sees_word(const struct parser *p, const char *word)
{
    return p->now.kind == TK_PATH && p->now.n == strlen(word) &&
           memcmp(p->text + p->now.from, word, p->now.n) == 0;
}

bool parser_sees_operator(const struct parser *p)
{
    return parser_sees_word(p, "and") || parser_sees_word(p, "or") ||
           parser_sees_word(p, "not");
}

const char *parser_name(struct parser *p)
{
    return arena_strn(p->a, p->text + p->now.from, p->now.n);
}

bool parser_take(struct parser *p, const char *sign)
{
    if (p->failed || !parser_sees(p, sign))
        return false;
    parser_advance(p);
    return true;
}

struct loc parser_whole(const struct parser *p, struct loc from)
{
    if (p->last.line == from.line && p->last.col + p->last.len > from.col)
        from.len = p->last.col + p->last.len - from.col;
    return from;
}

void parser_unexpected(struct parser *p, const char *wanted)
{
    if (p->failed)
        return;
    p->failed = true;
    if (p->now.kind == TK_END)
        diag(p->ds, E0110, p->now.loc, "unexpected end of the expression");
    else
        diag(p->ds, E0110, p->now.loc, "unexpected `%s` in an expression", parser_name(p));
    if (parser_sees(p, ":"))
        diag_hint(p->ds, "keyword arguments take `=`");
    else
        diag_hint(p->ds, "%s", wanted);
}

void parser_expect_close(struct parser *p, const char *sign, const struct token *open)
{
    if (parser_take(p, sign) || p->failed)
        return;
    if (p->now.kind == TK_END) {
        diag(p->ds, E0111, open->loc, "`%s` is never closed", open->sign);
        p->failed = true;
        return;
    }
    parser_unexpected(p, arena_fmt(p->a, "`,` or `%s` may stand here", sign));
    diag_note(p->ds, open->loc, "the `%s` stands here", open->sign);
}
