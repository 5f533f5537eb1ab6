/*
 * Discriminators: scores in wake and in each compared phase, the game between critic and
 * networks, penalties, matched features, and the two update steps.
 */
#include <string.h>

#include "compiler/front/elaborate.h"
#include "runtime/base/arena.h"

struct critic {
    const char *name, *net; /* net: the network that is called */
    struct loc loc;
    const struct doc *d;
    const struct layer **of;
    uint32_t nof;
    struct doc *compare; /* checked: names are moments */
    bool features;
};
struct critics {
    struct elaboration *e;
    struct critic *c;
    uint32_t n;
    struct doc *shared; /* networks of the file that serve as critics */
};

static const char *node(struct critics *s, const char *what, const struct critic *c)
{
    return arena_fmt(s->e->a, "%s.%s", what, c->name);
}

static void unknown(struct critics *s, struct loc loc, const char *what, const char *name,
                    const char *const *names, uint32_t n)
{
    const char *near = diag_nearest(name, names, n);
    diag(s->e->m->diags, E0705, loc, "unknown %s `%s`", what, name);
    if (near)
        diag_hint(s->e->m->diags, "did you mean `%s`?", near);
}

static bool check_function(struct critics *s, struct loc loc, const char *what,
                           const char *name)
{
    const struct model *m = s->e->m;
    if (model_function(m, name))
        return true;
    const char **names = arena_array(s->e->a, m->nfunction + 1, sizeof *names);
    for (uint32_t i = 0; i < m->nfunction; i++)
        names[i] = m->function[i].name;
    unknown(s, loc, what, name, names, m->nfunction);
    diag_hint(s->e->m->diags, "any function of %s will do",
              strcmp(what, "objective") == 0 ? "(wake, other)" : "(critic, wake, other)");
    return false;
}

static void add_layer(struct critics *s, struct critic *c, const char *name, struct loc loc)
{
    const struct layer *l = elaborate_layer(s->e, name);
    if (l)
        c->of[c->nof++] = l;
    else
        elaborate_unknown_layer(s->e, name, loc);
}

/* `of: [x, z]`, `of: x, z`, or its own name */
static void read_of(struct critics *s, struct critic *c)
{
    const struct doc *of = doc_get(c->d, "of");
    struct expr_key k;
    if (!of) {
        c->of = arena_array(s->e->a, 1, sizeof *c->of);
        add_layer(s, c, c->name, c->loc);
    } else if (of->kind == DOC_LIST && !of->bad) {
        c->of = arena_array(s->e->a, of->n + 1, sizeof *c->of);
        for (uint32_t i = 0; i < of->n; i++)
            if (of->entry[i].value->kind == DOC_SCALAR)
                add_layer(s, c, of->entry[i].value->text.text, of->entry[i].value->loc);
    } else if (!of->bad && expr_parse_key(s->e->a, s->e->m->diags, &of->text, &k)) {
        c->of = arena_array(s->e->a, k.npath + 1, sizeof *c->of);
        for (uint32_t i = 0; i < k.npath; i++)
            add_layer(s, c, k.path[i], k.path_loc[i]);
    }
}

static enum moment moment_of(const char *name)
{
    for (enum moment t = OSCILLATION; t < MOMENTS; t++)
        if (strcmp(name, moment_name[t]) == 0)
            return t;
    return MOMENTS;
}

static void read_compare(struct critics *s, struct critic *c)
{
    const struct doc *d = doc_get(c->d, "compare");
    c->compare = doc_map(s->e->a, c->loc);
    for (uint32_t i = 0; d && !d->bad && d->kind == DOC_MAP && i < d->n; i++) {
        const struct doc_entry *x = &d->entry[i];
        if (moment_of(x->key.text) == MOMENTS)
            unknown(s, x->loc, "compared phase", x->key.text, moment_name + 1, MOMENTS - 1);
        else
            doc_push(s->e->a, c->compare, *x);
    }
    if (d && d->kind == DOC_MAP && d->n == 0)
        diag(s->e->m->diags, E0202, d->loc, "a phase to compare with is missing");
}

/* The name of the function or network that makes the critic; NULL: an expression of another
 * kind. */
static const char *maker_of(struct critics *s, struct doc *net)
{
    const struct expr *x = expr_parse(s->e->a, s->e->m->diags, net);
    if (x && x->kind == EX_CALL)
        x = x->child[0];
    return x && x->kind == EX_NAME ? x->name : NULL;
}

static const struct doc *network_body(struct critics *s, const char *name)
{
    const struct doc *all = doc_get(s->e->file, "networks");
    for (uint32_t i = 0; all && all->kind == DOC_MAP && i < all->n; i++) {
        const char *key = all->entry[i].key.text;
        const size_t n = strcspn(key, "(");
        if (strlen(name) == n && strncmp(key, name, n) == 0)
            return all->entry[i].value;
    }
    return NULL;
}

/* E0606 */
static void check_taps(struct critics *s, const struct critic *c, struct doc *net)
{
    const char *maker = maker_of(s, net);
    const struct doc *body = maker ? network_body(s, maker) : NULL;
    const struct model_function *f = maker ? model_function(s->e->m, maker) : NULL;
    if (!body && f)
        body = f->body;
    if (!body || body->bad || doc_get(body, "taps"))
        return;
    const struct doc_entry *why = doc_find(c->d, "match_features");
    diag(s->e->m->diags, E0606, why->value->loc, "`match_features`: the net has no `taps`");
    diag_note(s->e->m->diags, body->loc, "`%s` is defined here", maker);
    diag_hint(s->e->m->diags, "name its feature nodes: `taps: f1, f2`");
}

/* A function becomes the network D.name; a network of the file is called as it is. */
static void read_net(struct critics *s, struct critic *c)
{
    struct doc *net = doc_get(c->d, "net");
    struct doc *weight = doc_get(c->d, "match_features");
    const struct expr *x = expr_parse(s->e->a, s->e->m->diags, net);
    if (x && x->kind == EX_NAME && network_body(s, x->name)) {
        c->net = x->name;
        if (!doc_find(s->shared, c->net))
            doc_add(s->e->a, s->shared, c->net, net->loc, net);
    } else {
        c->net = node(s, "D", c);
        doc_add(s->e->a, s->e->networks, c->net, c->loc, net);
    }
    c->features = weight && !weight->bad && !is_number(s->e, weight, 0);
    for (uint32_t i = 0; i < c->nof; i++)
        c->features &= c->of[i]->way[DOWN].entry != NULL;
    if (c->features)
        check_taps(s, c, net);
}

static void read_critics(struct critics *s)
{
    const struct doc *all = doc_get(s->e->file, "discriminators");
    const uint32_t n = all && all->kind == DOC_MAP && !all->bad ? all->n : 0;
    s->c = arena_array(s->e->a, n + 1, sizeof *s->c);
    for (uint32_t i = 0; i < n; i++) {
        struct critic *c = &s->c[s->n];
        *c = (struct critic){.name = all->entry[i].key.text, .loc = all->entry[i].loc};
        c->d = all->entry[i].value;
        struct doc *net = doc_get(c->d, "net");
        if (c->d->bad || c->d->kind != DOC_MAP)
            continue;
        read_of(s, c);
        read_compare(s, c);
        if (!net || net->bad || c->nof == 0 || c->compare->n == 0)
            continue;
        read_net(s, c);
        s->n++;
    }
}

/* What the critic sees in a phase: a layer, or a tuple of layers. */
static struct expr *view(struct critics *s, const struct critic *c, const char *when)
{
    struct expr **item = arena_array(s->e->a, c->nof, sizeof *item);
    for (uint32_t i = 0; i < c->nof; i++)
        item[i] =
            make_name(s->e, c->loc, arena_fmt(s->e->a, "%s.%s", c->of[i]->name, when));
    return make_tuple(s->e, c->loc, item, c->nof);
}

static void add_score(struct critics *s, const struct critic *c, const char *when)
{
    struct expr *arg = view(s, c, when);
    add_node(s->e, s->e->games, c->loc, arena_fmt(s->e->a, "score.%s.%s", c->name, when),
             make_call(s->e, c->loc, c->net, &arg, 1));
}

/* lose.d, gain.d; with several phases or a weight, lose.d.P, gain.d.P and their weighted
 * sums. */
static void add_game(struct critics *s, const struct critic *c)
{
    struct elaboration *e = s->e;
    struct doc *objective = doc_get(c->d, "objective"), *high = doc_get(c->d, "high_on");
    const char *f = objective && !objective->bad ? objective->text.text : "wasserstein";
    const struct loc loc = objective ? objective->loc : c->loc;
    const bool swap = high && !high->bad && strcmp(high->text.text, "sleep") == 0;
    const bool sums = c->compare->n > 1 || !is_number(e, c->compare->entry[0].value, 1);
    struct expr *lose = NULL, *gain = NULL;
    if (!check_function(s, loc, "objective", f))
        return;
    for (uint32_t i = 0; i < c->compare->n; i++) {
        const struct doc_entry *p = &c->compare->entry[i];
        const char *one = sums ? arena_fmt(e->a, "%s.%s", c->name, p->key.text) : c->name;
        struct expr *wake = make_name(e, loc, arena_fmt(e->a, "score.%s.wake", c->name));
        struct expr *other =
            make_name(e, loc, arena_fmt(e->a, "score.%s.%s", c->name, p->key.text));
        struct expr *const arg[] = {swap ? other : wake, swap ? wake : other};
        add_node(e, e->games, c->loc, arena_fmt(e->a, "lose.%s, gain.%s", one, one),
                 make_call(e, loc, f, arg, 2));
        if (!sums)
            continue;
        struct expr *l =
            make_scaled(e, p->value, make_name(e, p->loc, arena_fmt(e->a, "lose.%s", one)));
        struct expr *g =
            make_scaled(e, p->value, make_name(e, p->loc, arena_fmt(e->a, "gain.%s", one)));
        lose = i ? make_binary(e, c->loc, XO_ADD, lose, l) : l;
        gain = i ? make_binary(e, c->loc, XO_ADD, gain, g) : g;
    }
    if (sums) {
        add_node(e, e->games, c->loc, node(s, "lose", c), lose);
        add_node(e, e->games, c->loc, node(s, "gain", c), gain);
    }
}

static const char *first_phase(const struct critic *c)
{
    return c->compare->entry[0].key.text;
}

static void add_gap(struct critics *s, const struct critic *c)
{
    struct elaboration *e = s->e;
    struct expr *wake = make_name(e, c->loc, arena_fmt(e->a, "score.%s.wake", c->name));
    struct expr *other =
        make_name(e, c->loc, arena_fmt(e->a, "score.%s.%s", c->name, first_phase(c)));
    add_node(e, e->games, c->loc, node(s, "gap", c),
             make_binary(e, c->loc, XO_SUB, make_call(e, c->loc, "mean", &wake, 1),
                         make_call(e, c->loc, "mean", &other, 1)));
}

/* True: there is a penalty.d */
static bool add_penalty(struct critics *s, const struct critic *c)
{
    struct elaboration *e = s->e;
    const struct doc *all = doc_get(c->d, "penalty");
    struct expr *sum = NULL;
    bool any = false;
    for (uint32_t i = 0; all && all->kind == DOC_MAP && !all->bad && i < all->n; i++) {
        const struct doc_entry *p = &all->entry[i];
        if (p->value->bad || is_number(e, p->value, 0) ||
            !check_function(s, p->loc, "penalty", p->key.text))
            continue;
        struct expr *const arg[] = {make_name(e, p->loc, c->net), view(s, c, "wake"),
                                    view(s, c, first_phase(c))};
        struct expr *x =
            make_scaled(e, p->value, make_call(e, p->loc, p->key.text, arg, 3));
        sum = any ? make_binary(e, p->loc, XO_ADD, sum, x) : x;
        any = true;
    }
    if (any)
        add_node(e, e->games, c->loc, node(s, "penalty", c), sum);
    return any;
}

static void add_features(struct critics *s, const struct critic *c)
{
    struct elaboration *e = s->e;
    const struct loc loc = doc_find(c->d, "match_features")->loc;
    struct expr *const arg[] = {make_name(e, loc, c->net), view(s, c, "wake"),
                                view(s, c, "oscillation")};
    add_node(e, e->games, loc, node(s, "features", c),
             make_call(e, loc, "feature_distance", arg, 3));
}

struct sum {
    struct expr *x;
    bool any;
};

static void add_term(struct critics *s, struct sum *sum, struct loc loc, struct expr *x)
{
    sum->x = sum->any ? make_binary(s->e, loc, XO_ADD, sum->x, x) : x;
    sum->any = true;
}

static void add_losses(struct critics *s, const bool *penalty)
{
    struct elaboration *e = s->e;
    struct sum critic = {0}, net = {0};
    for (uint32_t i = 0; i < s->n; i++) {
        const struct critic *c = &s->c[i];
        add_term(s, &critic, c->loc, make_name(e, c->loc, node(s, "lose", c)));
        if (penalty[i])
            add_term(s, &critic, c->loc, make_name(e, c->loc, node(s, "penalty", c)));
        add_term(s, &net, c->loc, make_name(e, c->loc, node(s, "gain", c)));
        if (c->features)
            add_term(s, &net, c->loc,
                     make_scaled(e, doc_get(c->d, "match_features"),
                                 make_name(e, c->loc, node(s, "features", c))));
    }
    add_node(e, e->games, s->c[0].loc, "loss.D", critic.x);
    add_node(e, e->games, s->c[0].loc, "loss.net", net.x);
}

static void add_step(struct critics *s, struct doc *update, const char *groups,
                     const char *loss, struct loc loc)
{
    struct doc *step = doc_map(s->e->a, loc);
    if (!*groups)
        return;
    add_node(s->e, step, loc, groups, make_name(s->e, loc, loss));
    doc_add(s->e->a, update, NULL, loc, step);
}

static void add_update(struct critics *s)
{
    struct elaboration *e = s->e;
    const struct loc loc = s->c[0].loc;
    struct doc *update = doc_list(e->a, loc);
    const char *critics = "", *nets = "";
    bool has[2] = {false, false};
    for (uint32_t i = 0; i < s->n; i++)
        if (strncmp(s->c[i].net, "D.", 2) == 0 && !doc_find(s->shared, s->c[i].net))
            critics = "D";
    for (uint32_t i = 0; i < s->shared->n; i++)
        critics = arena_fmt(e->a, "%s%s%s", critics, *critics ? ", " : "",
                            s->shared->entry[i].key.text);
    for (uint32_t i = 0; i < e->nlayer; i++)
        for (int d = UP; d <= DOWN; d++)
            has[d] |= e->layer[i].way[d].entry != NULL;
    nets = has[UP] && has[DOWN] ? "up, down" : has[UP] ? "up" : has[DOWN] ? "down" : "";
    add_step(s, update, critics, "loss.D", loc);
    add_step(s, update, nets, "loss.net", loc);
    doc_add(e->a, e->phase, "update", loc, update);
}

void elaborate_critics(struct elaboration *e)
{
    struct critics s = {.e = e, .shared = doc_map(e->a, (struct loc){0})};
    read_critics(&s);
    if (s.n * 2 > EXPR_DEPTH - 2) { /* the losses add up what each of them gives */
        diag(e->m->diags, E0902, s.c[s.n - 1].loc,
             "limit exceeded: a model has at most %d discriminators", EXPR_DEPTH / 2 - 1);
        return;
    }
    bool *penalty = arena_array(e->a, s.n + 1, sizeof *penalty);
    for (uint32_t i = 0; i < s.n; i++) {
        add_score(&s, &s.c[i], "wake");
        for (uint32_t k = 0; k < s.c[i].compare->n; k++)
            add_score(&s, &s.c[i], s.c[i].compare->entry[k].key.text);
    }
    for (uint32_t i = 0; i < s.n; i++)
        add_game(&s, &s.c[i]);
    for (uint32_t i = 0; i < s.n; i++)
        add_gap(&s, &s.c[i]);
    for (uint32_t i = 0; i < s.n; i++)
        penalty[i] = add_penalty(&s, &s.c[i]);
    for (uint32_t i = 0; i < s.n; i++)
        if (s.c[i].features)
            add_features(&s, &s.c[i]);
    if (s.n) {
        add_losses(&s, penalty);
        add_update(&s);
    }
}
