#include "compiler/driver/place.h"

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
