#include "tests/train/library_case.h"

#include "tests/unit/cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/file.h"

const char *library_path(const struct library_case *f, const char *file)
{
    const char *root = getenv("HYP_SOURCE_DIR");
    return arena_fmt(f->a, "%s/tests/reference/%s/%s", root ? root : ".", f->folder, file);
}

char *library_read(const struct library_case *f, const char *path, size_t *n)
{
    uint8_t *data = NULL;
    struct hyp_error err = {0};
    if (file_read(path, 1U << 26, &data, n, &err) != HYP_OK)
        fail_msg("%s", err.text);
    char *copy = arena_copy(f->a, data, *n + 1);
    hyp_free(data);
    return copy;
}

static struct safetensors read_tensors(const struct library_case *f, const char *file)
{
    size_t n = 0;
    struct safetensors s;
    struct hyp_error err = {0};
    const char *path = library_path(f, file);
    char *bytes = library_read(f, path, &n);
    if (safetensors_parse(f->a, (uint8_t *)bytes, n, path, &s, &err) != HYP_OK)
        fail_msg("%s", err.text);
    return s;
}

void library_open(struct library_case *f, struct arena *a, const char *folder)
{
    f->a = a;
    f->folder = folder;
    f->init = read_tensors(f, "init.safetensors");
    f->expect = read_tensors(f, "expect.safetensors");
}

bool library_is_after(const char *name)
{
    return strncmp(name, "after.", 6) == 0;
}

double library_number(const struct safetensor *t, int64_t i)
{
    return t->dtype == SAFETENSORS_F32 ? (double)((const float *)t->data)[i]
                                       : ((const double *)t->data)[i];
}

int64_t library_size(const struct safetensor *t)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= (int64_t)t->dim[i];
    return n;
}

double library_error(const struct safetensor *want, const double *got, int64_t n)
{
    double d = 0, norm = 0;
    if (n != library_size(want))
        fail_msg("%s has %d elements, the reference %d", want->name, (int)n,
                 (int)library_size(want));
    for (int64_t i = 0; i < n; i++) {
        const double w = library_number(want, i);
        d += (got[i] - w) * (got[i] - w);
        norm += w * w;
    }
    return norm > 1e-24 ? sqrt(d / norm) : sqrt(d);
}

/* "w.CASE.PATH" is the gradient of CASE for a weight; everything else is a node. */
static char *expression(const struct library_case *f, const char *name)
{
    size_t best = 0;
    if (strncmp(name, "w.", 2) != 0)
        return arena_str(f->a, name);
    name += 2;
    for (uint32_t i = 0; i < f->expect.ntensor; i++) {
        const char *other = f->expect.tensor[i].name;
        const size_t n = strlen(other);
        if (n > best && strncmp(name, other, n) == 0 && name[n] == '.')
            best = n;
    }
    assert_true(best > 0);
    return arena_fmt(f->a, "'grad(%.*s, %s)'", (int)best, name, name + best + 1);
}

/* "eval.NODE" is a node where a source evaluates the model, not in training. */
static char *probe_of(const struct library_case *f, const char *name)
{
    if (strncmp(name, "eval.", 5) == 0)
        return arena_fmt(f->a, "%s, from: given", expression(f, name + 5));
    return expression(f, name);
}

/* The reference's model, with a probe for every value that is to be compared. */
const char *library_model(const struct library_case *f)
{
    size_t n = 0;
    const char *text = library_read(f, library_path(f, "model.yaml"), &n);
    char *out = arena_fmt(f->a, "%sprobes:\n", text);
    char *path = arena_str(f->a, "/tmp/hypnograph-library-XXXXXX");
    struct hyp_error err = {0};
    for (uint32_t i = 0; i < f->expect.ntensor; i++)
        if (!library_is_after(f->expect.tensor[i].name))
            out = arena_fmt(f->a, "%s  p%u: {image: %s}\n", out, i,
                            probe_of(f, f->expect.tensor[i].name));
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    if (file_put(path, out, strlen(out), &err) != HYP_OK)
        fail_msg("%s", err.text);
    return path;
}
