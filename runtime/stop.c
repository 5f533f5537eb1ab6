/*
 * SIGINT and SIGTERM while a run is on: the first is noted (the cycle is finished, the
 * state saved), the second ends the process at once.  The one mutable global of the
 * runtime: a handler has nothing else.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "runtime/run.h"

static volatile sig_atomic_t caught;
static struct sigaction before[2];

static void on_signal(int n)
{
    if (caught)
        _exit(128 + n);
    caught = n;
}

void stop_catch(void)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_signal;
    sa.sa_flags = SA_RESTART;
    sigemptyset(&sa.sa_mask);
    caught = 0;
    sigaction(SIGINT, &sa, &before[0]);
    sigaction(SIGTERM, &sa, &before[1]);
}

void stop_release(void)
{
    sigaction(SIGINT, &before[0], NULL);
    sigaction(SIGTERM, &before[1], NULL);
}

int stop_signal(void)
{
    return caught;
}

bool run_stopping(const struct run *r)
{
    return r->opt->signals && caught;
}
