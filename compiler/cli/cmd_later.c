/* Verbs that run models, in a tree without runtime/train.c: refused. */
#include "compiler/cli/cmd.h"

int cmd_train(const struct args *a)
{
    return cli_error("`hypno %s` is not built yet", cmd_verb[a->verb].name);
}

int cmd_eval(const struct args *a)
{
    return cmd_train(a);
}

int cmd_dream(const struct args *a)
{
    return cmd_train(a);
}
