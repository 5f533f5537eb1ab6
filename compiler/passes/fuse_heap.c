#include "compiler/passes/fuse.h"

static bool before(const struct fuse_item *x, const struct fuse_item *y)
{
    return x->key > y->key || (!(x->key < y->key) && x->id < y->id);
}

void fuse_push(struct fuse_heap *h, struct arena *a, struct fuse_item x)
{
    h->item = arena_grow(a, h->item, &h->cap, h->n + 1, sizeof *h->item);
    uint32_t i = h->n++;
    for (; i && before(&x, &h->item[(i - 1) / 2]); i = (i - 1) / 2)
        h->item[i] = h->item[(i - 1) / 2];
    h->item[i] = x;
}

bool fuse_pop(struct fuse_heap *h, struct fuse_item *x)
{
    if (!h->n)
        return false;
    *x = h->item[0];
    const struct fuse_item last = h->item[--h->n];
    uint32_t i = 0;
    for (uint32_t k = 1; k < h->n; k = 2 * i + 1) {
        if (k + 1 < h->n && before(&h->item[k + 1], &h->item[k]))
            k++;
        if (!before(&h->item[k], &last))
            break;
        h->item[i] = h->item[k];
        i = k;
    }
    h->item[i] = last;
    return true;
}
