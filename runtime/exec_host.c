/*
 * The host program: scalars that kernels do not compute (rates, batch sizes, conditions of
 * the schedule), from settings and counters, in double.
 */
#include <math.h>

#include "runtime/exec.h"

static double host_leaf(const struct exec *x, const struct hyp_sinst *s)
{
    if (s->op == HYP_S_CONST)
        return s->k;
    if (s->op == HYP_S_SETTING)
        return x->setting[s->a];
    return s->a < HYP_COUNTER_FIRST ? x->fixed[s->a] : x->counter[s->a - HYP_COUNTER_FIRST];
}

/* Functions of one number that are no operators. */
static double host_function(uint8_t op, double a)
{
    switch (op) {
    case HYP_S_EXPM1:
        return expm1(a);
    case HYP_S_SIGMOID:
        return a < 0 ? exp(a) / (1 + exp(a)) : 1 / (1 + exp(-a));
    case HYP_S_SOFTPLUS:
        return (a > 0 ? a : 0) + log1p(exp(-fabs(a)));
    case HYP_S_ERF:
        return erf(a);
    case HYP_S_ACOS:
        return acos(a);
    case HYP_S_RSQRT:
        return 1 / sqrt(a);
    default:
        return a; /* HYP_S_COPY */
    }
}

static double host_value(const struct exec *x, const struct hyp_sinst *s)
{
    const double *h = x->host;
    const double a = h[s->a], b = h[s->b], c = h[s->c];
    switch (s->op) {
    case HYP_S_ADD:
        return a + b;
    case HYP_S_SUB:
        return a - b;
    case HYP_S_MUL:
        return a * b;
    case HYP_S_DIV:
        return a / b;
    case HYP_S_NEG:
        return -a;
    case HYP_S_FMA:
        return fma(a, b, c);
    case HYP_S_MIN:
        return a < b ? a : b;
    case HYP_S_MAX:
        return a > b ? a : b;
    case HYP_S_ABS:
        return fabs(a);
    case HYP_S_SQRT:
        return sqrt(a);
    case HYP_S_FLOOR:
        return floor(a);
    case HYP_S_POW:
        return pow(a, b);
    case HYP_S_EXP:
        return exp(a);
    case HYP_S_LOG:
        return log(a);
    case HYP_S_SIN:
        return sin(a);
    case HYP_S_COS:
        return cos(a);
    case HYP_S_TANH:
        return tanh(a);
    case HYP_S_ROUND:
        return nearbyint(a);
    case HYP_S_MOD:
        return a - b * floor(a / b);
    case HYP_S_LT:
        return a < b;
    case HYP_S_LE:
        return a <= b;
    case HYP_S_EQ:
        return a == b;
    case HYP_S_AND:
        return a != 0 && b != 0;
    case HYP_S_OR:
        return a != 0 || b != 0;
    case HYP_S_NOT:
        return a == 0;
    case HYP_S_SEL:
        return a != 0 ? b : c;
    case HYP_S_CLIP:
        return a < b ? b : a > c ? c : a;
    case HYP_S_SIGN:
        return a > 0 ? 1 : a < 0 ? -1 : 0;
    default:
        return host_function(s->op, a);
    }
}

void exec_host(struct exec *x)
{
    for (uint32_t i = 0; i < x->plan->nsinst; i++)
        x->host[i] = x->plan->sinst[i].op <= HYP_S_COUNTER
                         ? host_leaf(x, &x->plan->sinst[i])
                         : host_value(x, &x->plan->sinst[i]);
}
