/* Lookup in the shipped library. */
#include "compiler/front/library.h"

#include <string.h>

#include "compiler/front/model.h"

const char *library_text(const char *name, size_t *nbytes)
{
    for (const struct library_file *f = library_file; f->name; f++) {
        if (strcmp(f->name, name) == 0) {
            *nbytes = f->nbytes;
            return (const char *)f->text;
        }
    }
    return NULL;
}

const char *library_name(unsigned i)
{
    for (const struct library_file *f = library_file; f->name; f++)
        if (i-- == 0)
            return f->name;
    return NULL;
}
