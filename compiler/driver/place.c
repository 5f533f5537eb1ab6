#include "compiler/driver/place.h"

#include <string.h>

#include "compiler/front/model.h"
#include "runtime/base/arena.h"

static const char *file_of(const struct graph *g, const struct diag_sink *ds, place_id id)
{
    const struct loc *loc = &g->place[id].loc;
    const char *name = loc->file ? diag_file_name(ds, loc->file) : NULL;
    return name ? name : "-";
}

/* Where a place of the library is called from, in a file of the user's; 0: nowhere. */
static place_id caller_of(const struct graph *g, const struct diag_sink *ds, place_id id)
{
    size_t n;
    if (!library_text(file_of(g, ds, id), &n))
        return 0;
    while (id && (!g->place[id].loc.file || library_text(file_of(g, ds, id), &n)))
        id = g->place[id].parent;
    return id;
}

struct hyp_place place_of(const struct graph *g, const struct diag_sink *ds, place_id id)
{
    const struct place *pl = &g->place[id];
    const place_id from = caller_of(g, ds, id);
    const char *why = pl->why == WHY_GRADIENT_OF  ? "gradient of "
                      : pl->why == WHY_UPDATED_BY ? "update of "
                                                  : "";
    return (struct hyp_place){why,
                              graph_place_name(g, id),
                              file_of(g, ds, id),
                              pl->loc.line,
                              from ? file_of(g, ds, from) : NULL,
                              g->place[from].loc.line};
}

const char *place_text(const struct graph *g, const struct diag_sink *ds, place_id id,
                       struct arena *a)
{
    const struct hyp_place p = place_of(g, ds, id);
    return arena_fmt(a, "%s%s (%s:%u)", p.why, p.name, p.file, p.line);
}

static bool same_place(const struct hyp_place *x, const struct hyp_place *y)
{
    return x->line == y->line && x->from_line == y->from_line && !strcmp(x->why, y->why) &&
           !strcmp(x->name, y->name) && !strcmp(x->file, y->file);
}

uint32_t place_once(struct hyp_place *list, uint32_t n, struct hyp_place p)
{
    for (uint32_t i = 0; i < n; i++)
        if (same_place(&list[i], &p))
            return n;
    list[n] = p;
    return n + 1;
}

void place_add(struct place_names *s, const char *name, const char *line)
{
    uint32_t i = 0, k = 0;
    while (i < s->n && strcmp(s->item[i].name, name) != 0)
        i++;
    if (i == s->n) {
        s->item = arena_grow(s->a, s->item, &s->cap, i + 1, sizeof *s->item);
        s->item[s->n++].name = arena_str(s->a, name);
    }
    struct place_name *p = &s->item[i];
    while (k < p->n && strcmp(p->line[k], line) != 0)
        k++;
    if (k < p->n || !*line)
        return;
    p->line = arena_grow(s->a, p->line, &p->cap, k + 1, sizeof *p->line);
    p->line[p->n++] = arena_str(s->a, line);
}

const char *place_lines(const struct place_names *s, uint32_t i)
{
    const struct place_name *p = &s->item[i];
    const char *out = p->n ? p->line[0] : "";
    for (uint32_t k = 1; k < p->n; k++) {
        const char *colon = strrchr(p->line[k], ':');
        const size_t file = colon ? (size_t)(colon - p->line[k]) : 0;
        const bool same = colon && strncmp(p->line[k - 1], p->line[k], file + 1) == 0;
        out = arena_fmt(s->a, "%s, %s", out, same ? colon : p->line[k]);
    }
    return out;
}
