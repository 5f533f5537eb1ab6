#include "runtime/base/status.h"

#include <stdarg.h>
#include <stdio.h>

#undef hyp_fail /* a macro for the analyzer */

const char *hyp_strerror(enum hyp_status s)
{
    switch (s) {
#define STATUS(name, code, text)                                                           \
    case name:                                                                             \
        return text;
#include "runtime/base/status.def"
#undef STATUS
    }
    return "unknown status";
}

enum hyp_status hyp_fail(struct hyp_error *err, enum hyp_status s, const char *fmt, ...)
{
    if (!err || err->status != HYP_OK)
        return s;
    va_list ap;
    va_start(ap, fmt);
    err->status = s;
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    return s;
}
