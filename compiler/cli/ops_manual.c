/* The manual of operations: the language's primitives, and the scalar rows behind them. */
#include "compiler/cli/ops_manual.h"

struct ops_row {
    const char *name, *operands, *value, *adjoint, *doc;
};

static const struct ops_row primitives[] = {
#define PRIM(name, signature, handler, op, doc) {#name, signature, "", "", doc},
#include "compiler/front/primitive.def"
#undef PRIM
};
static const struct ops_row functions[] = {
#define OP_EW(name, a, b, c, lo, hi, f64, value, adjoint, doc)                             \
    {#name, #a #b #c, #f64, #adjoint, doc},
#include "ops/elementwise.def"
#undef OP_EW
};
static const struct ops_row scalar[] = {
#define SX_PRIM(NAME, name, r, a, b, c, commutes, adjoint, doc)                            \
    {#name, #a #b #c, #r, #adjoint, doc},
#include "ops/sx_prim.def"
#undef SX_PRIM
};

/* Inside a table's cell: no bar. */
static void cell(FILE *out, const char *text)
{
    for (; *text; text++)
        fputs(*text == '|' ? "&#124;" : (char[2]){*text, 0}, out);
}

/* `FF_` -> 2 */
static int operands(const char *types)
{
    int n = 0;
    while (types[n] && types[n] != '_')
        n++;
    return n;
}

static void scalar_rows(FILE *out, const struct ops_row *row, size_t n)
{
    fputs("| name | operands | meaning | adjoint of each operand |\n|---|---|---|---|\n",
          out);
    for (size_t i = 0; i < n; i++) {
        fprintf(out, "| `%s` | %d | ", row[i].name, operands(row[i].operands));
        cell(out, row[i].doc);
        fputs(" | `", out);
        cell(out, row[i].adjoint);
        fputs("` |\n", out);
    }
}

void ops_manual(FILE *out)
{
    fputs("# Operations\n\nMade by `hypno doc` from `compiler/front/primitive.def`, "
          "`ops/elementwise.def` and `ops/sx_prim.def`.\n\n"
          "## The language's primitives\n\n| primitive | meaning |\n|---|---|\n",
          out);
    for (size_t i = 0; i < sizeof primitives / sizeof *primitives; i++) {
        fprintf(out, "| `%s(", primitives[i].name);
        cell(out, primitives[i].operands);
        fputs(")` | ", out);
        cell(out, primitives[i].doc);
        fputs(" |\n", out);
    }
    fputs("\n## Functions of one element\n\nEach is a row: a value over X0 to X2, and what "
          "flows into "
          "each operand over G (what arrives), the operands and\nY (the result). 0: "
          "nothing flows.\n\n",
          out);
    scalar_rows(out, functions, sizeof functions / sizeof *functions);
    fputs("\n## What back ends print\n\nEverything above is made of these.\n\n", out);
    scalar_rows(out, scalar, sizeof scalar / sizeof *scalar);
}
