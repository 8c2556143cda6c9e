// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/wl_declare.c -- lines that declare: host, costs, policies, pools, VMs, worlds, objects, claims.
 *
 * Invariants
 *   - Each declaration has a table of its keys; whoever names another is told those that exist.
 *   - Names are resolved later, in program.c: a file may signal a world that comes after.
 * Locking    none.
 */
#include <stdlib.h>
#include <string.h>

#include "sched/machine.h"
#include "sim/workload/wl_internal.h"

#define RESOURCE_KEYS(r)                                                                       \
    {"shares", KEY_U32, &(r)->shares, 1, 1000000}, {"min", KEY_AMOUNT, &(r)->min, 0, 0},       \
    {                                                                                          \
        "max", KEY_AMOUNT, &(r)->max, 0, 0                                                     \
    }

static bool resources_check(struct parser *p, const struct wl_resources *r)
{
    if (r->min.value != WL_UNSET && r->max.value != WL_UNSET && r->min.unit == r->max.unit &&
        r->min.value > r->max.value)
        return wl_fail(p, 0, "min is more than max: lower min or raise max");
    return true;
}

static bool declare_workload(struct parser *p)
{
    return wl_name_here(p, "workload", p->w->name) &&
           (p->count == 2 || wl_fail(p, 2, "workload takes a name only"));
}

static bool declare_source(struct parser *p)
{
    const struct field *last = &p->field[p->count - 1];

    if (p->count < 2)
        return wl_fail(p, 1, "source needs a text: where this came from");
    free(p->w->source);
    p->w->source =
        wl_copied(p->field[1].text, (size_t)(last->text + last->length - p->field[1].text));
    return true;
}

static bool declare_replay(struct parser *p)
{
    if (p->count != 2 ||
        (!wl_field_is(&p->field[1], "open") && !wl_field_is(&p->field[1], "closed")))
        return wl_fail(p, 1,
                       "loop is open (wakes at fixed times) or closed (wakes follow work)");
    p->w->open_loop = wl_field_is(&p->field[1], "open");
    return true;
}

static bool declare_duration(struct parser *p)
{
    uint64_t ns;

    if (p->count != 2 || !wl_time_parse(p->field[1].text, p->field[1].length, &ns) || !ns)
        return wl_fail(p, 1, "duration needs a time such as 10s");
    p->w->duration = ns;
    return true;
}

static bool declare_host(struct parser *p)
{
    struct wl_host *h = &p->w->host;
    const struct key keys[] = {
        {"cpus", KEY_U32, &h->cpus, 1, 64}, {"threads", KEY_U32, &h->threads, 1, 8},
        {"llc", KEY_U32, &h->llc, 0, 64},   {"package", KEY_U32, &h->package, 0, 64},
        {"numa", KEY_U32, &h->numa, 0, 64}, {"speed", KEY_MHZ, &h->mhz, 100, 100000},
    };

    return wl_keys_read(p, 1, keys, ARRAY_COUNT(keys));
}

static bool declare_cost(struct parser *p)
{
    struct wl_costs *c = &p->w->costs;
    const struct key keys[] = {
        {"switch", KEY_TIME, &c->context_switch, 0, 1000000},
        {"smt", KEY_TIME, &c->smt, 0, 10000000},
        {"llc", KEY_TIME, &c->llc, 0, 10000000},
        {"package", KEY_TIME, &c->package, 0, 10000000},
        {"numa", KEY_TIME, &c->numa, 0, 10000000},
        {"remote", KEY_PERCENT, &c->remote_percent, 0, 1000},
        {"smt_speed", KEY_PERCENT, &c->smt_percent, 10, 100},
    };

    return wl_keys_read(p, 1, keys, ARRAY_COUNT(keys));
}

static bool memory_field_is(const struct field *f)
{
    return f->key > 4 && !memcmp(f->text, "mem.", 4);
}

/* `mem.NAME=VALUE` goes behind those that `list` has. */
static bool memory_setting(struct parser *p, uint32_t i, char *list, size_t room)
{
    const struct field *f = &p->field[i];
    size_t at = strlen(list);

    if (at + f->length + 1 >= room)
        return wl_fail(p, i, "the settings of memory are too long");
    if (at)
        list[at++] = ' ';
    memcpy(list + at, f->text + 4, f->length - 4);
    list[at + f->length - 4] = '\0';
    return true;
}

/* Tunables of the scheduler, and for a variant also policy=NAME. */
static bool policy_keys(struct parser *p, uint32_t first, struct wl_policy *o)
{
    char message[160];

    o->line = p->line;
    for (uint32_t i = first; i < p->count; i++) {
        const struct field *f = &p->field[i];

        if (f->key == 6 && !memcmp(f->text, "policy", 6)) {
            if (!wl_name_field(p, i, f->text + 7, f->length - 7, false, "policy", o->policy))
                return false;
            if (sched_policy_by_name(o->policy) == SCHED_POLICY_COUNT)
                return wl_fail(p, i, "no policy %s: share, credit2, rr or edf", o->policy);
            continue;
        }
        if (memory_field_is(f)) {
            if (!memory_setting(p, i, o->memory, sizeof(o->memory)))
                return false;
            continue;
        }
        if (o->tunable_count == WL_TUNABLES_MAX)
            return wl_fail(p, i, "more than %u tunables", WL_TUNABLES_MAX);
        if (!wl_tunable_parse(f->text, f->length, &o->tunables[o->tunable_count++], message,
                              sizeof(message)))
            return wl_fail(p, i, "%s", message);
    }
    return true;
}

static bool declare_policy(struct parser *p)
{
    p->w->policy = (struct wl_policy){.tunable_count = 0};
    if (!wl_name_here(p, "policy", p->w->policy.policy))
        return false;
    if (sched_policy_by_name(p->w->policy.policy) == SCHED_POLICY_COUNT)
        return wl_fail(p, 1, "no policy %s: share, credit2, rr or edf", p->w->policy.policy);
    return policy_keys(p, 2, &p->w->policy);
}

static bool declare_variant(struct parser *p)
{
    struct wl_policy *v = ADD(p->w, variants, variant_count);

    return wl_name_here(p, "variant", v->name) && policy_keys(p, 2, v);
}

static bool declare_pool(struct parser *p)
{
    struct wl_pool *pool = wl_add_pool(p->w, "");
    const struct key keys[] = {{"parent", KEY_NAME, pool->parent, 0, 0},
                               {"expandable", KEY_YES, &pool->expandable, 0, 0},
                               RESOURCE_KEYS(&pool->resources)};

    pool->line = p->line;
    return wl_name_here(p, "pool", pool->name) && wl_keys_read(p, 2, keys, ARRAY_COUNT(keys)) &&
           resources_check(p, &pool->resources);
}

static bool declare_vm(struct parser *p)
{
    struct wl_vm *vm = wl_add_vm(p->w, "");
    const struct key keys[] = {{"pool", KEY_NAME, vm->pool, 0, 0},
                               {"cosched", KEY_YES, &vm->cosched, 0, 0},
                               RESOURCE_KEYS(&vm->resources)};

    vm->line = p->line;
    return wl_name_here(p, "vm", vm->name) && wl_keys_read(p, 2, keys, ARRAY_COUNT(keys)) &&
           resources_check(p, &vm->resources);
}

static bool declare_memory_of_host(struct parser *p)
{
    const struct field *last = &p->field[p->count - 1];

    if (p->count < 2)
        return wl_fail(p, 1, "memory needs keys, such as size=1GB swap=4GB");
    free(p->w->memory);
    p->w->memory =
        wl_copied(p->field[1].text, (size_t)(last->text + last->length - p->field[1].text));
    return true;
}

static bool declare_memory(struct parser *p)
{
    char name[WL_NAME_SIZE];
    const struct field *last = &p->field[p->count - 1];
    char **to = NULL;

    if (!wl_name_here(p, "mem", name))
        return false;
    for (uint32_t i = 0; i < p->w->vm_count; i++) {
        if (strcmp(p->w->vms[i].name, name) == 0)
            to = &p->w->vms[i].memory;
    }
    for (uint32_t i = 0; i < p->w->pool_count; i++) {
        if (strcmp(p->w->pools[i].name, name) == 0)
            to = &p->w->pools[i].memory;
    }
    if (!to)
        return wl_fail(p, 1, "no VM %s, nor a pool: put its line before its mem line", name);
    for (uint32_t k = 2; k < p->count; k++) {
        if (!p->field[k].key)
            return wl_fail(p, k, "expected key=value, such as size=1024M");
    }
    if (p->count < 3)
        return wl_fail(p, 2, "mem needs keys, such as size=1024M");
    if (*to)
        return wl_fail(p, 1, "a second mem line of %s: leave one out", name);
    *to = wl_copied(p->field[2].text, (size_t)(last->text + last->length - p->field[2].text));
    return true;
}

static bool declare_object(struct parser *p, enum wl_object_kind kind)
{
    struct wl_object *o = ADD(p->w, objects, object_count);
    const struct key event[] = {{"count", KEY_U32, &o->count, 0, 1000000}};
    const struct key lock[] = {{"kind", KEY_LOCK, &o->lock, 0, 0},
                               {"spin", KEY_TIME, &o->spin, 0, WL_TIME_MOST}};
    const struct key barrier[] = {{"n", KEY_U32, &o->parties, 1, WL_WORLDS_MAX},
                                  {"spin", KEY_TIME, &o->spin, 0, WL_TIME_MOST}};

    o->kind = kind;
    o->line = p->line;
    o->spin = kind == WL_OBJECT_LOCK ? 20000 : 0;
    if (!wl_name_here(p, "an event, lock or barrier", o->name))
        return false;
    if (kind == WL_OBJECT_EVENT)
        return wl_keys_read(p, 2, event, ARRAY_COUNT(event));
    if (kind == WL_OBJECT_LOCK)
        return wl_keys_read(p, 2, lock, ARRAY_COUNT(lock));
    return wl_keys_read(p, 2, barrier, ARRAY_COUNT(barrier)) &&
           (o->parties || wl_fail(p, 2, "a barrier needs n=, how many worlds meet there"));
}

static bool declare_recorded(struct parser *p)
{
    struct wl_recorded *r = ADD(p->w, recorded, recorded_count);
    const struct key keys[] = {{"run", KEY_TIME, &r->run, 0, WL_TIME_MOST},
                               {"ready", KEY_TIME, &r->ready, 0, WL_TIME_MOST},
                               {"switches", KEY_U32, &r->switches, 0, UINT32_MAX}};

    return wl_name_here(p, "recorded", r->name) && wl_keys_read(p, 2, keys, ARRAY_COUNT(keys));
}

/* selfreplay run=0.01% ready=0.2% */
static bool declare_selfreplay(struct parser *p)
{
    double *to[] = {&p->w->self_replay_run, &p->w->self_replay_ready};
    static const char *const names[] = {"run=", "ready="};

    p->w->self_replay = true;
    for (uint32_t i = 1; i < p->count; i++) {
        const struct field *f = &p->field[i];
        unsigned k = 0;
        char number[24] = "";
        uint64_t ns;

        while (k < 2 && (f->length < strlen(names[k]) ||
                         memcmp(f->text, names[k], strlen(names[k])) != 0))
            k++;
        if (k < 2 && f->length - strlen(names[k]) < sizeof(number) - 2)
            snprintf(number, sizeof(number), "%.*s", (int)(f->length - strlen(names[k])),
                     f->text + strlen(names[k]));
        if (k == 2 || !number[0] || number[strlen(number) - 1] != '%')
            return wl_fail(p, i, "write: selfreplay run=0.01%% ready=0.2%%");
        strcpy(number + strlen(number) - 1, "ms");
        if (!wl_time_parse(number, strlen(number), &ns))
            return wl_fail(p, i, "a percentage has at most six decimals");
        *to[k] = (double)ns / 1e8;
    }
    return true;
}

static bool declare_at(struct parser *p)
{
    struct wl_change *c = ADD(p->w, changes, change_count);
    const struct key keys[] = {{"affinity", KEY_AFFINITY, &c->affinity, 0, 0},
                               {"pool", KEY_NAME, c->pool, 0, 0},
                               RESOURCE_KEYS(&c->resources)};

    c->resources = wl_resources_unset;
    c->line = p->line;
    if (p->count < 5 || !wl_field_is(&p->field[2], "set"))
        return wl_fail(p, 2, "write: at TIME set NAME key=value");
    if (!wl_time_parse(p->field[1].text, p->field[1].length, &c->time))
        return wl_fail(p, 1, "at needs a time such as 5s");
    if (!wl_name_field(p, 3, p->field[3].text, p->field[3].length, false, "set", c->name))
        return false;
    if (!memory_field_is(&p->field[4]))
        return wl_keys_read(p, 4, keys, ARRAY_COUNT(keys)) && resources_check(p, &c->resources);
    for (uint32_t i = 4; i < p->count; i++) {
        if (!memory_field_is(&p->field[i]))
            return wl_fail(p, i, "settings of memory have a line of their own");
        if (!memory_setting(p, i, c->memory, sizeof(c->memory)))
            return false;
    }
    return true;
}

static bool declare_expect(struct parser *p)
{
    const struct field *last = &p->field[p->count - 1];
    struct wl_expect *e = ADD(p->w, expects, expect_count);
    char message[160];

    e->line = p->line;
    if (p->count < 2)
        return wl_fail(p, 1, "expect needs a claim, such as: run(a) >= 2 * run(b) within 1%%");
    if (!wl_expect_parse(p->field[1].text,
                         (size_t)(last->text + last->length - p->field[1].text), e, message,
                         sizeof(message)))
        return wl_fail(p, 1, "%s", message);
    return true;
}

/* NAME or NAME[first..last] */
static bool world_name(struct parser *p, struct wl_world *world)
{
    const struct field *f = &p->field[1];
    const char *open = p->count > 1 ? memchr(f->text, '[', f->length) : NULL;

    if (!open)
        return wl_name_here(p, "world", world->name);

    size_t base = (size_t)(open - f->text);
    const char *inside = open + 1;
    size_t length = f->length - base - 1;
    const char *dots = length ? memchr(inside, '.', length) : NULL;
    uint64_t first, last;

    if (f->text[f->length - 1] != ']' || !dots || dots + 2 > f->text + f->length ||
        dots[1] != '.' || !wl_number(inside, (size_t)(dots - inside), 10000000, &first) ||
        !wl_number(dots + 2, (size_t)(f->text + f->length - 1 - dots - 2), 10000000, &last) ||
        last < first || last - first >= WL_WORLDS_MAX || base + 8 >= WL_NAME_SIZE)
        return wl_fail(p, 1, "a group of worlds is written NAME[0..15], at most %u",
                       WL_WORLDS_MAX);
    world->indexed = true;
    world->first = (uint32_t)first;
    world->count = (uint32_t)(last - first + 1);
    return wl_name_field(p, 1, f->text, base, false, "world", world->name);
}

static bool declare_world(struct parser *p)
{
    struct wl_world *world = wl_add_world(p->w, "");
    const struct key keys[] = {{"vm", KEY_NAME, world->vm, 0, 0},
                               {"pool", KEY_NAME, world->pool, 0, 0},
                               {"affinity", KEY_AFFINITY, &world->affinity, 0, 0},
                               {"start", KEY_DIST, &world->start, 0, 0},
                               RESOURCE_KEYS(&world->resources)};

    world->line = p->line;
    if (!world_name(p, world) || !wl_keys_read(p, 2, keys, ARRAY_COUNT(keys)) ||
        !resources_check(p, &world->resources))
        return false;
    p->w->worlds_expanded += world->count - 1;
    if (p->w->worlds_expanded > WL_WORLDS_MAX)
        return wl_fail(p, 1, "more than %u worlds in all", WL_WORLDS_MAX);
    p->in_world = true;
    p->depth = 0;
    return true;
}

bool wl_close_world(struct parser *p)
{
    if (p->in_world && p->depth)
        return wl_fail(p, 0, "a begin of the world above has no loop");
    p->in_world = false;
    return true;
}

bool wl_declare(struct parser *p)
{
    static const struct {
        const char *word;
        bool (*read)(struct parser *p);
        bool once;
    } words[] = {
        {"workload", declare_workload, true},
        {"source", declare_source, true},
        {"loop", declare_replay, true},
        {"duration", declare_duration, true},
        {"host", declare_host, false},
        {"cost", declare_cost, false},
        {"policy", declare_policy, true},
        {"variant", declare_variant, false},
        {"pool", declare_pool, false},
        {"vm", declare_vm, false},
        {"memory", declare_memory_of_host, true},
        {"mem", declare_memory, false},
        {"world", declare_world, false},
        {"recorded", declare_recorded, false},
        {"selfreplay", declare_selfreplay, true},
        {"at", declare_at, false},
        {"expect", declare_expect, false},
    };
    const struct field *f = &p->field[0];

    if (!wl_close_world(p))
        return false;
    if (wl_field_is(f, "event"))
        return declare_object(p, WL_OBJECT_EVENT);
    if (wl_field_is(f, "lock"))
        return declare_object(p, WL_OBJECT_LOCK);
    if (wl_field_is(f, "barrier"))
        return declare_object(p, WL_OBJECT_BARRIER);
    for (unsigned i = 0; i < ARRAY_COUNT(words); i++) {
        if (!wl_field_is(f, words[i].word))
            continue;
        if (words[i].once && p->declared & 1u << i)
            return wl_fail(p, 0, "a second %s line: leave one out", words[i].word);
        p->declared |= 1u << i;
        return words[i].read(p);
    }
    for (unsigned i = 0; i < WL_STEP_COUNT; i++) {
        if (wl_field_is(f, wl_step_words[i]))
            return wl_fail(p, 0, "%s is a step of a world: begin the line with a blank",
                           wl_step_words[i]);
    }
    return wl_fail(p, 0, "unknown word '%.*s'; see docs/workloads.md", (int)MIN(f->length, 40u),
                   f->text);
}
