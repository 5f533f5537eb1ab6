/*
 * Keys: a list of names, a signature with parameters, or a rate.  Defaults of parameters
 * are expressions.
 */
#include "compiler/front/parser.h"
#include "runtime/base/arena.h"

/* `du/dt` */
static bool parse_rate(struct parser *p, struct expr_key *out)
{
    if (p->now.kind != TK_PATH || p->now.dotted || p->now.n < 2 ||
        p->text[p->now.from] != 'd' || !token_is(&p->next, "/"))
        return false;
    out->path = arena_array(p->a, 1, sizeof *out->path);
    out->path_loc = arena_array(p->a, 1, sizeof *out->path_loc);
    out->path[0] = arena_strn(p->a, p->text + p->now.from + 1, p->now.n - 1);
    out->path_loc[0] = p->now.loc;
    out->path_loc[0].col++;
    out->path_loc[0].len--;
    out->npath = 1;
    out->is_rate = true;
    parser_advance(p);
    parser_advance(p);
    if (!parser_sees_word(p, "dt"))
        parser_unexpected(p, "a rate is written `du/dt`");
    else
        parser_advance(p);
    return true;
}

static void parse_params(struct parser *p, struct expr_key *out)
{
    const struct token open = p->now;
    uint32_t cap = 0;
    out->is_call = true;
    parser_advance(p);
    while (!p->failed && !parser_sees(p, ")")) {
        if (p->now.kind != TK_PATH || p->now.dotted || parser_sees_operator(p)) {
            if (p->now.kind == TK_END)
                break;
            parser_unexpected(p, "the name of an argument may stand here");
            return;
        }
        out->param =
            arena_grow(p->a, out->param, &cap, out->nparam + 1, sizeof *out->param);
        struct expr_param *q = &out->param[out->nparam++];
        *q = (struct expr_param){parser_name(p), p->now.loc, NULL};
        parser_advance(p);
        if (parser_take(p, "="))
            q->value = parser_expr(p);
        if (!parser_take(p, ","))
            break;
    }
    parser_expect_close(p, ")", &open);
}

static void parse_paths(struct parser *p, struct expr_key *out)
{
    uint32_t cap = 0, loc_cap = 0;
    do {
        if (p->now.kind != TK_PATH || parser_sees_operator(p)) {
            parser_unexpected(
                p, "a name may stand here: letters, digits, `_`, and `.` between names");
            return;
        }
        out->path = arena_grow(p->a, out->path, &cap, out->npath + 1, sizeof *out->path);
        out->path_loc = arena_grow(p->a, out->path_loc, &loc_cap, out->npath + 1,
                                   sizeof *out->path_loc);
        out->path_loc[out->npath] = p->now.loc;
        out->path[out->npath++] = parser_name(p);
        parser_advance(p);
    } while (parser_take(p, ","));
    if (!p->failed && out->npath == 1 && parser_sees(p, "("))
        parse_params(p, out);
}

bool expr_parse_key(struct arena *a, struct diag_sink *ds, const struct doc_text *t,
                    struct expr_key *out)
{
    struct parser p;
    uint16_t draw = 0;
    *out = (struct expr_key){0};
    parser_start(&p, a, ds, t, &draw);
    if (!parse_rate(&p, out))
        parse_paths(&p, out);
    if (!p.failed && p.now.kind != TK_END)
        parser_unexpected(&p, "a key is a list of names, `name(arguments)` or `du/dt`");
    return !p.failed;
}
