/*
 * Tokens.  Places are counted on from token to token, so that a long text costs no more
 * than its length.
 */
#include "compiler/front/lex.h"

#include <stdlib.h>
#include <string.h>

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static char look(const struct lexer *x, uint32_t ahead)
{
    return x->at + ahead < x->t->n ? x->t->text[x->at + ahead] : 0;
}

void lexer_start(struct lexer *x, const struct doc_text *t)
{
    *x = (struct lexer){.t = t};
    if (t->nmark > 0) {
        x->line = t->mark[0].line;
        x->col = t->mark[0].col;
    }
}

/* The place of byte `offset`, not before the last one asked for. */
static struct loc place(struct lexer *x, uint32_t offset)
{
    while (x->mark + 1 < x->t->nmark && x->t->mark[x->mark + 1].offset <= offset) {
        x->mark++;
        x->counted = x->t->mark[x->mark].offset;
        x->line = x->t->mark[x->mark].line;
        x->col = x->t->mark[x->mark].col;
    }
    for (; x->counted < offset; x->counted++)
        x->col += ((unsigned char)x->t->text[x->counted] & 0xC0) != 0x80;
    return (struct loc){x->t->file, x->line, x->col, 0};
}

static void take_path(struct lexer *x, struct token *k)
{
    k->kind = TK_PATH;
    for (;;) {
        while (letter(look(x, 0)) || digit(look(x, 0)) || look(x, 0) == '_')
            x->at++;
        if (look(x, 0) != '.' || (k->from > 0 && x->t->text[k->from - 1] == '@'))
            return; /* `u@now.x` is a part of `u@now` */
        if (digit(look(x, 1))) {
            uint32_t n = 1;
            while (digit(look(x, n)))
                n++;
            if (letter(look(x, n)) || look(x, n) == '_')
                return;
        } else if (!letter(look(x, 1))) {
            return;
        }
        k->dotted = true;
        x->at++;
    }
}

static void take_number(struct lexer *x, struct token *k)
{
    k->kind = TK_NUMBER;
    while (digit(look(x, 0)))
        x->at++;
    if (look(x, 0) == '.' && digit(look(x, 1)))
        for (x->at++; digit(look(x, 0)); x->at++)
            ;
    if (look(x, 0) == 'e' || look(x, 0) == 'E') {
        const uint32_t skip = look(x, 1) == '+' || look(x, 1) == '-' ? 2 : 1;
        if (digit(look(x, skip)))
            for (x->at += skip; digit(look(x, 0)); x->at++)
                ;
    }
    k->number = strtod(x->t->text + k->from, NULL);
}

static void take_sign(struct lexer *x, struct token *k)
{
    static const char *const sign[] = {"**", "<=", ">=", "==", "!=", "+", "-", "*",
                                       "/",  "~",  "<",  ">",  "=",  "(", ")", "[",
                                       "]",  ",",  ".",  ":",  "$",  "_", "@"};
    for (unsigned i = 0; i < sizeof sign / sizeof *sign; i++) {
        const uint32_t n = (uint32_t)strlen(sign[i]);
        if (x->at + n <= x->t->n && memcmp(x->t->text + x->at, sign[i], n) == 0) {
            k->kind = TK_SIGN;
            memcpy(k->sign, sign[i], n + 1);
            x->at += n;
            return;
        }
    }
    k->kind = TK_WRONG;
    for (x->at++; ((unsigned char)look(x, 0) & 0xC0) == 0x80; x->at++)
        ;
}

struct token lexer_next(struct lexer *x)
{
    while (look(x, 0) == ' ' || look(x, 0) == '\t' || look(x, 0) == '\n')
        x->at++;
    struct token k = {.kind = TK_END, .from = x->at};
    if (x->at >= x->t->n) {
        k.loc = place(x, x->at);
        k.loc.len = 1;
        return k;
    }
    if (letter(look(x, 0)))
        take_path(x, &k);
    else if (digit(look(x, 0)))
        take_number(x, &k);
    else
        take_sign(x, &k);
    k.n = x->at - k.from;
    k.loc = place(x, k.from);
    for (uint32_t i = k.from; i < x->at; i++)
        k.loc.len += ((unsigned char)x->t->text[i] & 0xC0) != 0x80;
    return k;
}

bool token_is(const struct token *k, const char *sign)
{
    return k->kind == TK_SIGN && strcmp(k->sign, sign) == 0;
}
