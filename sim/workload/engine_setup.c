// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/engine_setup.c -- tells the scheduler what the program has: host, policy, pools, worlds, changes.
 *
 * Everything goes in as inputs of the state machine, recorded like any other, so that a trace
 * says by itself on what host and under which settings it was made, and verify can begin from
 * nothing.
 *
 * Invariants
 *   - A refused input ends the run with the machine's reason (told()).
 * Locking    none: one thread.
 */
#include <stdio.h>
#include <string.h>

#include "sim/workload/engine_internal.h"

#define IDLE_BASE      1u
#define SKEW_PERIOD_NS 100000u

static bool told(struct engine *e, const char *what, const char *name,
                 const struct sched_input *input)
{
    struct sched_decision d = engine_input(e, input);
    char why[128] = "";

    if (d.status == VMK_OK)
        return true;
    if (d.status == VMK_LIMIT)
        (void)sched_admission_text(e->machine, why, sizeof(why));
    return engine_fail(e, "%s %s: %s%s%s", what, name, vmk_status_name(d.status),
                       why[0] ? ": " : "", why);
}

#define TELL(e, what, name, ...)                                                               \
    told((e), (what), (name), &(const struct sched_input){__VA_ARGS__})

static bool setup_host(struct engine *e)
{
    const struct wl_host *h = &e->program->source->host;
    uint32_t llc = h->llc ? h->llc : e->cpus, package = h->package ? h->package : e->cpus,
             numa = h->numa ? h->numa : e->cpus;

    for (unsigned i = 0; i < e->cpus; i++) {
        struct engine_cpu *c = &e->cpu[i];

        c->world = NOBODY;
        c->speed = NOMINAL;
        c->deadline = c->alarm = PLAT_NS_NEVER;
        c->core = i / MAX(h->threads, 1u);
        c->llc = i / llc;
        c->package = i / package;
        c->node = i / numa;
        if (!TELL(e, "CPU", "topology", .op = SCHED_OP_TOPOLOGY, .small = i,
                  .id = c->core | c->llc << 16, .arg = c->package | c->node << 16,
                  .value = h->mhz))
            return false;
    }
    return true;
}

static bool setup_tunables(struct engine *e, const struct wl_policy *o)
{
    for (uint32_t i = 0; i < o->tunable_count; i++) {
        const struct wl_tunable *t = &o->tunables[i];

        if (!TELL(e, "tunable", wl_tunable_names[t->tunable], .op = SCHED_OP_POLICY,
                  .small = SCHED_POLICY_TUNABLE, .id = t->tunable, .value = t->value))
            return false;
    }
    return true;
}

static bool setup_policy(struct engine *e)
{
    const struct workload *w = e->program->source;
    const struct wl_costs *c = &w->costs;
    const struct wl_policy *v = e->options->variant;
    const struct wl_policy costs = {
        .tunables = {{SCHED_TUNABLE_COST_SWITCH, true, c->context_switch},
                     {SCHED_TUNABLE_COST_SMT, true, c->smt},
                     {SCHED_TUNABLE_COST_LLC, true, c->llc},
                     {SCHED_TUNABLE_COST_PACKAGE, true, c->package},
                     {SCHED_TUNABLE_COST_NUMA, true, c->numa}},
        .tunable_count = 5};
    const char *name = w->policy.policy[0] ? w->policy.policy : "share";
    enum sched_policy_id id;

    if (v && v->policy[0])
        name = v->policy;
    if (e->options->policy)
        name = e->options->policy;
    id = sched_policy_by_name(name);
    if (id == SCHED_POLICY_COUNT)
        return engine_fail(e, "no policy %s: share, credit2, rr or edf", name);
    snprintf(e->result->policy, sizeof(e->result->policy), "%.60s", name);
    return TELL(e, "policy", name, .op = SCHED_OP_POLICY, .small = id) &&
           setup_tunables(e, &costs) && setup_tunables(e, &w->policy) &&
           (!v || setup_tunables(e, v));
}

static void config_trace(struct engine *e, const struct sched_node *n, uint32_t vm)
{
    TRACE_ON(e->trace, 0, e->now, sched_config, .id = n->id, .shares = n->shares,
             .min_mhz = n->min_mhz, .max_mhz = n->max_mhz,
             .parent = n->parent ? n->parent->node.id : 0, .vm = vm);
}

static bool setup_resources(struct engine *e, const char *what, const char *name, uint32_t id,
                            const struct program_resources *r)
{
    return (!r->min_mhz ||
            TELL(e, what, name, .op = SCHED_OP_SET_MIN, .id = id, .arg = r->min_mhz)) &&
           (r->max_mhz == UINT32_MAX ||
            TELL(e, what, name, .op = SCHED_OP_SET_MAX, .id = id, .arg = r->max_mhz));
}

static uint32_t pool_id(const struct engine *e, uint32_t pool)
{
    return pool == PROGRAM_NONE ? SCHED_ROOT_ID : e->pool_base + pool;
}

static bool setup_pools(struct engine *e)
{
    for (uint32_t i = 0; i < e->program->pool_count; i++) {
        const struct program_pool *p = &e->program->pools[i];
        uint32_t id = e->pool_base + i;

        e->pools[i] = engine_allocated(1, sched_pool_size(e->cpus));
        TRACE_ON(e->trace, 0, e->now, world_name, .id = id,
                 .kind = p->vm ? RECORD_name_kind_VM : RECORD_name_kind_POOL,
                 .vm = p->vm ? id : 0, .pool = pool_id(e, p->parent),
                 .name = trace_text16(p->name));
        if (!TELL(e, "pool", p->name, .op = SCHED_OP_POOL_ADD,
                  .small = (uint32_t)((p->vm && p->cosched ? SCHED_POOL_VM : 0) |
                                      (p->expandable ? SCHED_POOL_EXPANDABLE : 0)),
                  .id = id, .arg = pool_id(e, p->parent), .value = p->resources.shares,
                  .storage = e->pools[i]) ||
            !setup_resources(e, "pool", p->name, id, &p->resources))
            return false;
        config_trace(e, &e->pools[i]->node, p->vm ? id : 0);
    }
    return true;
}

static bool setup_worlds(struct engine *e)
{
    for (uint32_t i = 0; i < e->program->world_count; i++) {
        const struct program_world *p = &e->program->worlds[i];
        struct engine_world *w = &e->worlds[i];
        bool vcpu = p->vm != PROGRAM_NONE && e->program->pools[p->vm].cosched;
        uint32_t id = e->world_base + i;
        uint32_t parent = p->vm != PROGRAM_NONE ? p->vm : p->pool;
        uint64_t mask = p->affinity;

        w->program = p;
        w->index = i;
        w->mode = MODE_NEW;
        w->wake_time = UINT64_MAX;
        w->object = w->next = w->prev = NOBODY;
        rng_init(&w->rng, e->options->seed, p->name, 0);
        TRACE_ON(e->trace, 0, e->now, world_name, .id = id, .kind = RECORD_name_kind_WORLD,
                 .vm = p->vm != PROGRAM_NONE ? pool_id(e, p->vm) : 0,
                 .pool = pool_id(e, parent), .name = trace_text16(p->name));
        if (!TELL(e, "world", p->name, .op = SCHED_OP_WORLD_ADD,
                  .small = vcpu ? SCHED_WORLD_VCPU : 0, .id = id, .arg = pool_id(e, parent),
                  .value = p->resources.shares, .storage = &w->entity) ||
            !setup_resources(e, "world", p->name, id, &p->resources))
            return false;
        if (e->cpus < 64)
            mask &= BIT(e->cpus) - 1;
        if (p->affinity && !mask)
            return engine_fail(e, "world %s: none of its CPUs is among the %u of the host",
                               p->name, e->cpus);
        if (mask && !TELL(e, "affinity of", p->name, .op = SCHED_OP_SET_AFFINITY, .id = id,
                          .value = mask))
            return false;
        config_trace(e, &w->entity.node, p->vm != PROGRAM_NONE ? pool_id(e, p->vm) : 0);
        evheap_set(&e->events, SLOT_WORLD(e, i), wl_dist_sample(p->start, &w->rng, 0));
    }
    return true;
}

bool engine_setup(struct engine *e)
{
    const struct program *p = e->program;

    if (!setup_host(e) || !setup_policy(e))
        return false;
    for (unsigned i = 0; i < e->cpus; i++) {
        if (!TELL(e, "CPU", "online", .op = SCHED_OP_CPU_ONLINE, .cpu = i, .id = IDLE_BASE + i))
            return false;
    }
    if (!setup_pools(e) || !setup_worlds(e))
        return false;
    for (uint32_t i = 0; i < p->object_count; i++) {
        e->objects[i] = (struct engine_object){
            .first = NOBODY, .last = NOBODY, .owner = NOBODY, .count = p->objects[i].count};
        if (p->objects[i].kind == WL_OBJECT_BARRIER)
            e->objects[i].count = 0;
    }
    if (p->change_count)
        evheap_set(&e->events, SLOT_CHANGE(e), p->changes[0].time);
    if (e->options->sample_period)
        evheap_set(&e->events, SLOT_SAMPLE(e), e->options->sample_period);
    if (e->options->skew)
        evheap_set(&e->events, SLOT_SKEW(e), SKEW_PERIOD_NS);
    return true;
}
static void change(struct engine *e, const struct program_change *c)
{
    bool is_world = c->world != PROGRAM_NONE;
    uint32_t id = is_world ? e->world_base + c->world : e->pool_base + c->pool;
    const char *name;

    if (c->memory) {
        if (e->memory)
            memory_change(e->memory, e->now, c->pool, c->memory);
        return;
    }
    name = is_world ? e->program->worlds[c->world].name : e->program->pools[c->pool].name;

    if ((c->shares != WL_UNSET &&
         !TELL(e, "shares of", name, .op = SCHED_OP_SET_SHARES, .id = id, .arg = c->shares)) ||
        (c->max_mhz != WL_UNSET &&
         !TELL(e, "max of", name, .op = SCHED_OP_SET_MAX, .id = id, .arg = c->max_mhz)) ||
        (c->min_mhz != WL_UNSET &&
         !TELL(e, "min of", name, .op = SCHED_OP_SET_MIN, .id = id, .arg = c->min_mhz)) ||
        (c->affinity && !TELL(e, "affinity of", name, .op = SCHED_OP_SET_AFFINITY, .id = id,
                              .value = c->affinity)) ||
        (c->to_pool != PROGRAM_NONE && !TELL(e, "pool of", name, .op = SCHED_OP_SET_POOL,
                                             .id = id, .arg = pool_id(e, c->to_pool))))
        return;
    config_trace(e, is_world ? &e->worlds[c->world].entity.node : &e->pools[c->pool]->node, 0);
}

void engine_changes(struct engine *e)
{
    const struct program *p = e->program;

    while (e->next_change < p->change_count && p->changes[e->next_change].time <= e->now)
        change(e, &p->changes[e->next_change++]);
    if (e->next_change < p->change_count)
        evheap_set(&e->events, SLOT_CHANGE(e), p->changes[e->next_change].time);
}
