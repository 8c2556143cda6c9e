// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/sample.c -- samples of the host's worlds and pools, for esxtop.
 *
 * All of them at one instant under one hold of the lock, so that a group's line is the sum of
 * its worlds' lines. Holding it for a thousand worlds takes tens of microseconds, once per
 * refresh.
 *
 * Invariants
 *   - Changes nothing in the machine.
 * Locking    sched_state.lock.
 * Start at   sched_samples_get().
 */
#include "core/heap.h"
#include "core/trace.h"
#include "lib/format.h"
#include "lib/string.h"
#include "sched/sched.h"
#include "sched/sched_internal.h"

/* How a walk collects: what does not fit is only counted. */
struct collector {
    const struct sched_machine *m;
    plat_ns now;
    struct sched_sample *out;
    uint32_t room, count;
};

static struct sched_sample of_times(const struct sched_machine *m, plat_ns now,
                                    const struct sched_times *t)
{
    struct sched_sample s = {
        .at = now,
        .created = t->created,
        .elapsed = t->run + t->ready + t->costop + t->wait,
        .run = t->run,
        .ready = t->ready,
        .limited = t->limited,
        .costop = t->costop,
        .wait = t->wait,
        .wait_idle = t->wait_idle,
        .wait_io = t->wait_io,
        .wait_swap = t->wait_swap,
        .system = t->system,
        .overlap = t->overlap,
        .smt = t->smt,
        .switches = t->switches,
        .quantum_expiries = t->quantum_expiries,
        .wakes = t->wakes,
        .cpu = SCHED_NO_CPU,
    };
    plat_ns shared = t->smt * (1000 - m->tunable[SCHED_TUNABLE_SMT_CHARGE]) / 1000;

    s.used = t->run + t->system;
    s.used -= MIN(s.used, t->overlap + shared);
    for (unsigned i = 0; i < MIGRATE_KIND_COUNT; i++)
        s.migrations += t->migrations[i];
    return s;
}

static void set_name(struct sched_sample *s, const char *name)
{
    _Static_assert(SCHED_SAMPLE_NAME == WORLD_NAME_SIZE, "names are cut");
    vmk_snprintf(s->name, sizeof(s->name), "%s", name);
}

static struct sched_sample of_entity(const struct collector *c, const struct sched_entity *e)
{
    const struct sched_node *n = &e->node;
    struct sched_times t;
    struct sched_sample s;

    sched_times_at(e, c->now, &t);
    s = of_times(c->m, c->now, &t);
    s.worlds = 1;
    s.affinity = e->affinity;
    s.cpu = e->cpu;
    s.state = e->state;
    s.kind = e->idle                       ? SCHED_SAMPLE_IDLE
             : n->flags & SCHED_WORLD_VCPU ? SCHED_SAMPLE_VCPU
                                           : SCHED_SAMPLE_WORLD;
    s.group = s.kind == SCHED_SAMPLE_VCPU ? n->parent->node.id : n->id;
    if (e->idle) {
        char name[SCHED_SAMPLE_NAME];

        vmk_snprintf(name, sizeof(name), "idle%u", e->cpu);
        set_name(&s, name);
    } else {
        set_name(&s, container_of(e, const struct world, sched)->name);
    }
    return s;
}

static void store(struct collector *c, uint32_t at, const struct sched_sample *s)
{
    if (at < c->room)
        c->out[at] = *s;
}

/* A node, and all below it behind it. No deeper than the tree: 16 levels. */
static struct sched_sample visit(struct collector *c, const struct sched_node *n)
{
    uint32_t at = c->count++;
    struct sched_sample s;

    if (!n->is_pool) {
        s = of_entity(c, container_of(n, const struct sched_entity, node));
    } else {
        const struct sched_pool *p = container_of(n, const struct sched_pool, node);

        s = (struct sched_sample){.at = c->now, .cpu = SCHED_NO_CPU, .group = n->id};
        s.kind = n->flags & SCHED_POOL_VM ? SCHED_SAMPLE_VM : SCHED_SAMPLE_POOL;
        set_name(&s, sched_pool_name(c->m, p));
        list_for_each (link, &p->children) {
            struct sched_sample part =
                visit(c, list_entry(link, const struct sched_node, siblings));

            sched_sample_add(&s, &part);
        }
    }
    s.id = n->id;
    s.parent = n->parent ? n->parent->node.id : 0;
    s.shares = n->shares;
    s.min_mhz = n->min_mhz;
    s.max_mhz = n->max_mhz;
    store(c, at, &s);
    return s;
}

static struct sched_sample of_idle(const struct collector *c, uint32_t cpu)
{
    const struct sched_entity *idle = &c->m->cpu[cpu].idle;
    struct sched_sample s = of_entity(c, idle);

    s.id = idle->node.id;
    s.max_mhz = SCHED_UNLIMITED;
    return s;
}

static plat_ns now_of(const struct sched_machine *m)
{
    return MAX(plat_time_now(), m->now);
}

uint32_t sched_samples_get(struct sched_sample *out, uint32_t room)
{
    struct sched_state *sched = this_host()->sched;
    bool irqs = spin_lock(&sched->lock);
    const struct sched_machine *m = &sched->machine;
    struct collector c = {.m = m, .now = now_of(m), .out = out, .room = room};

    (void)visit(&c, &m->root->node);
    for (uint64_t rest = m->online; rest; rest &= rest - 1) {
        struct sched_sample s = of_idle(&c, (uint32_t)__builtin_ctzll(rest));

        store(&c, c.count++, &s);
    }
    spin_unlock(&sched->lock, irqs);
    return c.count;
}

vmk_status sched_sample_get(uint32_t id, struct sched_sample *out)
{
    struct sched_state *sched = this_host()->sched;
    bool irqs = spin_lock(&sched->lock);
    const struct sched_machine *m = &sched->machine;
    struct collector c = {.m = m, .now = now_of(m)};
    const struct sched_node *n = sched_node_find(m, id);
    bool found = n != NULL;

    if (n)
        *out = visit(&c, n);
    for (uint64_t rest = n ? 0 : m->online; rest && !found; rest &= rest - 1) {
        uint32_t cpu = (uint32_t)__builtin_ctzll(rest);

        found = m->cpu[cpu].idle.node.id == id;
        if (found)
            *out = of_idle(&c, cpu);
    }
    spin_unlock(&sched->lock, irqs);
    return found ? VMK_OK : VMK_NOT_FOUND;
}

vmk_status sched_names_record(void)
{
    uint32_t room = sched_samples_get(NULL, 0) + 16;  // some may come until they are read
    struct sched_sample *all = heap_alloc(room * sizeof(*all), MEM_OWNER_WORLD);
    uint32_t count;

    if (!all)
        return VMK_NO_MEMORY;
    count = MIN(sched_samples_get(all, room), room);
    for (uint32_t i = 0; i < count; i++) {
        const struct sched_sample *s = &all[i];
        bool is_pool = s->kind == SCHED_SAMPLE_POOL || s->kind == SCHED_SAMPLE_VM;

        TRACE(world_name, .id = s->id,
              .kind = s->kind == SCHED_SAMPLE_VM     ? RECORD_name_kind_VM
                      : s->kind == SCHED_SAMPLE_POOL ? RECORD_name_kind_POOL
                                                     : RECORD_name_kind_WORLD,
              .vm = is_pool || s->group == s->id ? 0 : s->group, .pool = s->parent,
              .name = trace_text16(s->name));
    }
    heap_free(all);
    return VMK_OK;
}
