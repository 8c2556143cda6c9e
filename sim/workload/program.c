// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/program.c -- links a workload: expands groups, resolves names, finds mistakes.
 *
 * The engine meets no names: a signal is an index. An edge between two worlds (`signal b` in a,
 * `wait a` in b) becomes an event of its own, so that two senders do not take each other's
 * signals; that keeps recorded wake chains in order when a replay reorders them.
 *
 * Invariants
 *   - Every index in the result is inside its array.
 *   - Order of worlds, pools and objects is the order of the file; nothing depends on hashing.
 * Locking    none.
 */
#include "sim/workload/program.h"

#include <stdlib.h>
#include <string.h>

#include "lib/fnv.h"
#include "sim/workload/memory.h"

/* Names to numbers: open addressing. */
struct entry {
    char name[2 * WL_NAME_SIZE + 2];
    uint32_t kind, index;
};
enum {
    NAME_WORLD = 1,
    NAME_POOL,
    NAME_OBJECT,
    NAME_EDGE
};
struct names {
    struct entry *entries;
    size_t size, count;
};

struct linker {
    struct program *p;
    const struct workload *w;
    struct wl_error *error;
    struct names worlds, pools, objects;
};

static void *allocated(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size);

    if (!block) {
        fputs("orrery: no memory for the workload\n", stderr);
        exit(3);
    }
    return block;
}

static bool fail(struct linker *l, uint32_t line, const char *what, const char *name)
{
    l->error->line = line;
    l->error->field = 1;
    snprintf(l->error->text, sizeof(l->error->text), what, name);
    return false;
}

static struct entry *slot(struct names *n, const char *name)
{
    const uint64_t hash = fnv1a_64(name, strlen(name));
    size_t i;

    for (i = (hash ^ hash >> 29) & (n->size - 1);
         n->entries[i].kind && strcmp(n->entries[i].name, name) != 0;)
        i = (i + 1) & (n->size - 1);
    return &n->entries[i];
}

/* The entry of a name, new (kind 0) when it was not there. */
static struct entry *names_enter(struct names *n, const char *name)
{
    struct entry *e;

    if (2 * n->count >= n->size) {
        struct names bigger = {.size = n->size ? 2 * n->size : 64, .count = n->count};

        bigger.entries = allocated(bigger.size, sizeof(*bigger.entries));
        for (size_t i = 0; i < n->size; i++) {
            if (n->entries[i].kind)
                *slot(&bigger, n->entries[i].name) = n->entries[i];
        }
        free(n->entries);
        *n = bigger;
    }
    e = slot(n, name);
    if (!e->kind) {
        strcpy(e->name, name);
        n->count++;
    }
    return e;
}

static const struct entry *names_find(struct names *n, const char *name)
{
    const struct entry *e = n->size ? slot(n, name) : NULL;

    return e && e->kind ? e : NULL;
}

static uint32_t mhz_of(const struct workload *w, struct wl_amount a, uint32_t unset)
{
    if (a.value == WL_UNSET)
        return unset;
    if (a.unit == WL_UNIT_MHZ)
        return a.value;
    return (uint32_t)MIN((uint64_t)a.value * w->host.mhz / 10000, 0xfffffffeull);
}

static struct program_resources resources_of(const struct workload *w,
                                             const struct wl_resources *r)
{
    return (struct program_resources){
        .shares = r->shares == WL_UNSET ? 0 : r->shares,
        .min_mhz = mhz_of(w, r->min, 0),
        .max_mhz = mhz_of(w, r->max, UINT32_MAX),
    };
}

static void policy_note(struct program_resources *r)
{
    if (r->max_mhz != UINT32_MAX && r->min_mhz > r->max_mhz)
        r->min_mhz = r->max_mhz;
}

/*
 * --- pools and VMs --------------------------------------------------------------------------
 */

static bool pool_enter(struct linker *l, const char *name, const char *parent, uint32_t line)
{
    struct program *p = l->p;
    struct entry *e = names_enter(&l->pools, name);
    const struct entry *up;

    if (e->kind)
        return fail(l, line, "%s is declared twice: choose another name", name);
    e->kind = NAME_POOL;
    e->index = p->pool_count;
    strcpy(p->pools[p->pool_count].name, name);
    p->pools[p->pool_count].parent = PROGRAM_NONE;
    if (parent[0]) {
        up = names_find(&l->pools, parent);
        if (!up || up->index == p->pool_count)
            return fail(l, line, "no pool %s above this line: declare it first", parent);
        if (p->pools[up->index].vm)
            return fail(l, line, "%s is a VM, and pools lie only in pools", parent);
        p->pools[p->pool_count].parent = up->index;
    }
    return true;
}

static bool pools_link(struct linker *l)
{
    struct program *p = l->p;
    const struct workload *w = l->w;

    p->pools = allocated((size_t)w->pool_count + w->vm_count, sizeof(*p->pools));
    for (uint32_t i = 0; i < w->pool_count; i++) {
        const struct wl_pool *from = &w->pools[i];

        if (!pool_enter(l, from->name, from->parent, from->line))
            return false;
        p->pools[p->pool_count].resources = resources_of(w, &from->resources);
        p->pools[p->pool_count].expandable = from->expandable;
        policy_note(&p->pools[p->pool_count++].resources);
    }
    for (uint32_t i = 0; i < w->vm_count; i++) {
        const struct wl_vm *from = &w->vms[i];

        if (!pool_enter(l, from->name, from->pool, from->line))
            return false;
        p->pools[p->pool_count].resources = resources_of(w, &from->resources);
        p->pools[p->pool_count].vm = true;
        p->pools[p->pool_count].expandable = true;
        p->pools[p->pool_count].cosched = from->cosched;
        policy_note(&p->pools[p->pool_count++].resources);
    }
    return true;
}

/*
 * --- worlds ---------------------------------------------------------------------------------
 */

static bool worlds_link(struct linker *l)
{
    struct program *p = l->p;
    const struct workload *w = l->w;

    p->worlds = allocated(w->worlds_expanded, sizeof(*p->worlds));
    for (uint32_t g = 0; g < w->world_count; g++) {
        const struct wl_world *from = &w->worlds[g];
        uint32_t vm = PROGRAM_NONE, pool = PROGRAM_NONE;
        const struct entry *e;

        if (from->vm[0]) {
            e = names_find(&l->pools, from->vm);
            if (!e || !p->pools[e->index].vm)
                return fail(l, from->line, "no VM %s: declare it by a line `vm NAME`",
                            from->vm);
            vm = e->index;
        }
        if (from->pool[0]) {
            e = names_find(&l->pools, from->pool);
            if (!e || p->pools[e->index].vm)
                return fail(l, from->line, "no pool %s: declare it by a line `pool NAME`",
                            from->pool);
            if (vm != PROGRAM_NONE)
                return fail(l, from->line, "a vCPU is in the pool of its VM: put pool=%s there",
                            from->pool);
            pool = e->index;
        }
        for (uint32_t i = 0; i < from->count; i++) {
            struct program_world *to = &p->worlds[p->world_count];
            struct entry *own;

            if (from->indexed)
                snprintf(to->name, sizeof(to->name), "%.*s%u", (int)WL_NAME_SIZE - 10,
                         from->name, from->first + i);
            else
                strcpy(to->name, from->name);
            own = names_enter(&l->worlds, to->name);
            if (own->kind)
                return fail(l, from->line, "two worlds are called %s", to->name);
            own->kind = NAME_WORLD;
            own->index = p->world_count++;
            to->vm = vm;
            to->pool = pool;
            to->resources = resources_of(w, &from->resources);
            policy_note(&to->resources);
            to->affinity = from->affinity;
            to->start = &from->start;
        }
    }
    return true;
}

/*
 * --- objects --------------------------------------------------------------------------------
 */

static uint32_t object_add(struct program *p, struct program_object object)
{
    if (p->object_count == p->object_room) {
        p->object_room = p->object_room ? 2 * p->object_room : 64;
        p->objects = realloc(p->objects, p->object_room * sizeof(*p->objects));
        if (!p->objects) {
            fputs("orrery: no memory for the workload\n", stderr);
            exit(3);
        }
    }
    p->objects[p->object_count] = object;
    return p->object_count++;
}

static bool objects_link(struct linker *l)
{
    for (uint32_t i = 0; i < l->w->object_count; i++) {
        const struct wl_object *from = &l->w->objects[i];
        struct entry *e = names_enter(&l->objects, from->name);

        if (e->kind || names_find(&l->worlds, from->name))
            return fail(l, from->line, "%s is declared twice: choose another name", from->name);
        e->kind = NAME_OBJECT;
        e->index = object_add(l->p, (struct program_object){.kind = from->kind,
                                                            .lock = from->lock,
                                                            .spin = from->spin,
                                                            .parties = from->parties,
                                                            .count = from->count});
    }
    return true;
}

/* {i}, {i+N}, {i-N} become the number of the world in its group, around the ends. */
static bool template_expand(const struct wl_world *group, uint32_t i, const char *text,
                            char out[WL_NAME_SIZE])
{
    size_t n = 0;

    while (*text) {
        uint64_t shift = 0;
        bool minus;
        int length;

        if (*text != '{') {
            if (*text == '}' || n + 1 >= WL_NAME_SIZE)
                return false;
            out[n++] = *text++;
            continue;
        }
        if (*++text != 'i')
            return false;
        minus = *++text == '-';
        if (*text == '+' || *text == '-') {
            const char *digits = ++text;

            for (; *text >= '0' && *text <= '9' && shift < 1000000; text++)
                shift = shift * 10 + (uint64_t)(*text - '0');
            if (text == digits)
                return false;
        }
        if (*text++ != '}')
            return false;
        shift %= group->count;
        if (minus)
            shift = group->count - shift;
        length = snprintf(out + n, WL_NAME_SIZE - n, "%u",
                          group->first + (uint32_t)((i + shift) % group->count));
        if (length < 0 || (size_t)length >= WL_NAME_SIZE - n)
            return false;
        n += (size_t)length;
    }
    out[n] = 0;
    return n != 0;
}

/* The event that carries signals from one world to another. */
static uint32_t edge(struct linker *l, const char *from, const char *to)
{
    char name[2 * WL_NAME_SIZE + 2];
    struct entry *e;

    snprintf(name, sizeof(name), "%s>%s", from, to);
    e = names_enter(&l->objects, name);
    if (!e->kind) {
        e->kind = NAME_EDGE;
        e->index = object_add(l->p, (struct program_object){.kind = WL_OBJECT_EVENT});
    }
    return e->index;
}

static bool target_link(struct linker *l, const struct wl_step *s, const char *self,
                        const char *name, uint32_t *target)
{
    static const enum wl_object_kind wanted[WL_STEP_COUNT] = {[WL_LOCK] = WL_OBJECT_LOCK,
                                                              [WL_UNLOCK] = WL_OBJECT_LOCK,
                                                              [WL_BARRIER] = WL_OBJECT_BARRIER};
    static const char *const declare[] = {
        "no event or world %s: declare it by a line `event NAME` or `world NAME`",
        "no lock %s: declare it by a line `lock NAME kind=spin`",
        "no barrier %s: declare it by a line `barrier NAME n=2`"};
    const struct entry *e = names_find(&l->objects, name);

    if (e && e->kind == NAME_OBJECT) {
        if (l->p->objects[e->index].kind != wanted[s->kind])
            return fail(l, s->line, declare[wanted[s->kind]], name);
        *target = e->index;
        return true;
    }
    if ((s->kind == WL_WAIT || s->kind == WL_SIGNAL) && names_find(&l->worlds, name)) {
        *target = s->kind == WL_WAIT ? edge(l, name, self) : edge(l, self, name);
        return true;
    }
    return fail(l, s->line, declare[wanted[s->kind]], name);
}

/*
 * --- steps ----------------------------------------------------------------------------------
 */

static bool body_link(struct linker *l, const struct wl_world *group, uint32_t i,
                      const char *self, struct program_op *ops)
{
    uint32_t begin[WL_NEST_MAX + 1];
    uint32_t depth = 0;

    for (uint32_t k = 0; k < group->step_count; k++) {
        const struct wl_step *s = &l->w->steps[group->step_first + k];
        struct program_op *op = &ops[k];
        char name[WL_NAME_SIZE];

        *op = (struct program_op){.kind = s->kind,
                                  .wait = s->wait,
                                  .value = s->value,
                                  .phase = s->phase,
                                  .dist = &s->dist,
                                  .target = PROGRAM_NONE,
                                  .line = s->line};
        if (s->kind == WL_TOUCH && l->w->memory) {
            uint32_t active, used, base;

            if (!memory_touch_parse(s->text, &active, &used, &base))
                return fail(l, s->line,
                            "touch %s: active=, used= and base= with an amount such as 64MB",
                            s->text);
            op->value = active | (uint64_t)used << 32;
            op->phase = base;
        }
        if (s->kind == WL_BEGIN) {
            begin[depth++] = k + 1;
        } else if (s->kind == WL_LOOP) {
            op->target = depth ? begin[depth - 1] : 0;
            op->level = (uint8_t)depth;
            depth -= depth != 0;
        } else if (wl_step_shapes[s->kind] == WL_SHAPE_NAME) {
            if (!template_expand(group, i, s->text, name))
                return fail(l, s->line, "%s: a template is {i}, {i+1} or {i-1}", s->text);
            if (!target_link(l, s, self, name, &op->target))
                return false;
        }
    }
    return true;
}

static bool templated(const struct workload *w, const struct wl_world *group)
{
    for (uint32_t k = 0; k < group->step_count; k++) {
        const struct wl_step *s = &w->steps[group->step_first + k];

        /* An edge depends on who waits or signals, even when its name is fixed. */
        if (s->kind == WL_WAIT || s->kind == WL_SIGNAL ||
            (wl_step_shapes[s->kind] == WL_SHAPE_NAME && strchr(s->text, '{')))
            return true;
    }
    return false;
}

static bool ops_link(struct linker *l)
{
    struct program *p = l->p;
    const struct workload *w = l->w;
    size_t room = 0, next = 0;
    uint32_t world = 0;

    for (uint32_t g = 0; g < w->world_count; g++) {
        room += (size_t)w->worlds[g].step_count *
                (templated(w, &w->worlds[g]) ? w->worlds[g].count : 1);
    }
    if (room > 2 * (size_t)WL_STEPS_MAX)
        return fail(l, 1, "more than %s steps when groups are expanded", "32 million");
    p->ops = allocated(room, sizeof(*p->ops));
    p->op_count = room;
    for (uint32_t g = 0; g < w->world_count; g++) {
        const struct wl_world *group = &w->worlds[g];
        bool own = templated(w, group);

        for (uint32_t i = 0; i < group->count; i++) {
            p->worlds[world].ops = p->ops + next;
            p->worlds[world].op_count = group->step_count;
            if ((own || !i) && !body_link(l, group, i, p->worlds[world].name, p->ops + next))
                return false;
            next += own ? group->step_count : 0;
            world++;
        }
        next += own ? 0 : group->step_count;
    }
    return true;
}

/*
 * --- changes at run time --------------------------------------------------------------------
 */

/* `mem.` settings are of the host, or of a VM or pool that has a mem line. */
static bool change_memory_check(struct linker *l, const struct wl_change *c, bool is_pool)
{
    bool is_host = strcmp(c->name, "host") == 0 && !is_pool;
    char why[200];

    if (!is_host && !is_pool)
        return fail(l, c->line, "no VM, pool or host is called %s: mem. settings are theirs",
                    c->name);
    return memory_change_check(c->name, c->memory, is_host, why, sizeof(why)) ||
           fail(l, c->line, "%s", why);
}

static bool changes_link(struct linker *l)
{
    struct program *p = l->p;
    const struct workload *w = l->w;

    p->changes = allocated(w->change_count, sizeof(*p->changes));
    for (uint32_t i = 0; i < w->change_count; i++) {
        const struct wl_change *from = &w->changes[i];
        const struct entry *world = names_find(&l->worlds, from->name);
        const struct entry *pool = names_find(&l->pools, from->name);
        const struct entry *to = names_find(&l->pools, from->pool);
        struct program_change change = {
            .time = from->time,
            .world = world ? world->index : PROGRAM_NONE,
            .pool = pool && !world ? pool->index : PROGRAM_NONE,
            .shares = from->resources.shares,
            .min_mhz = mhz_of(w, from->resources.min, WL_UNSET),
            .max_mhz = mhz_of(w, from->resources.max, WL_UNSET),
            .affinity = from->affinity,
            .to_pool = to ? to->index : PROGRAM_NONE,
            .memory = from->memory[0] ? from->memory : NULL,
        };
        uint32_t at = p->change_count++;

        if (change.memory && !change_memory_check(l, from, pool && !world))
            return false;
        if (!world && !pool && !change.memory)
            return fail(l, from->line, "no world, VM or pool is called %s", from->name);
        if (from->pool[0] && !to)
            return fail(l, from->line, "no pool %s", from->pool);
        if (from->affinity && !world)
            return fail(l, from->line, "%s is no world: affinity is a world's", from->name);
        /* By time, those of one time in the file's order. */
        for (; at && p->changes[at - 1].time > change.time; at--)
            p->changes[at] = p->changes[at - 1];
        p->changes[at] = change;
    }
    return true;
}

bool program_link(const struct workload *w, struct program *p, struct wl_error *error)
{
    struct linker l = {.p = p, .w = w, .error = error};
    bool good;

    *p = (struct program){.source = w};
    *error = (struct wl_error){.line = 0};
    good = pools_link(&l) && worlds_link(&l) && objects_link(&l) && ops_link(&l) &&
           changes_link(&l);
    free(l.worlds.entries);
    free(l.pools.entries);
    free(l.objects.entries);
    if (!good)
        program_free(p);
    return good;
}

void program_free(struct program *p)
{
    free(p->worlds);
    free(p->pools);
    free(p->objects);
    free(p->changes);
    free(p->ops);
    *p = (struct program){.source = NULL};
}
