// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/model.c -- the host as the records show it.
 *
 * What a record means:
 *
 *   sched_input     the tree: pools, worlds, shares; which worlds are idle ones; YIELD
 *   sched_switch    prev goes to prev_state, next runs
 *   sched_state     anything else a world's state does
 *   sched_waking    a waiting world is ready, where no state record says so
 *   sched_costop    a vCPU is stopped; the switch that may follow says the same
 *   sched_config, world_name    attributes and names, also of who was there before the trace
 *
 * Invariants
 *   - Every change of a world's state goes through set_state(), which tells the interval before
 *     it.
 *   - A world is `current` of at most one CPU: whoever is met running elsewhere is taken off
 *     there.
 * Locking    none: one thread.
 */
#include "trace/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void model_init(struct model *m, const struct model_client *client)
{
    memset(m, 0, sizeof(*m));
    m->client = *client;
}

void model_free(struct model *m)
{
    for (unsigned i = 0; i < m->count; i++)
        free(m->nodes[i]);
    free(m->nodes);
    memset(m, 0, sizeof(*m));
}

static struct model_node **bucket(const struct model *m, uint32_t id)
{
    uint32_t mixed = (id * 2654435761u) >> 20;

    return (struct model_node **)&m->hash[mixed & (ARRAY_COUNT(m->hash) - 1)];
}

struct model_node *model_find(const struct model *m, uint32_t id)
{
    for (struct model_node *n = *bucket(m, id); n; n = n->hash_next) {
        if (n->id == id)
            return n;
    }
    return NULL;
}

static struct model_node *add(struct model *m, uint32_t id, bool is_pool)
{
    struct model_node *n = calloc(1, sizeof(*n));

    if (n && m->count == m->room) {
        unsigned room = m->room ? m->room * 2 : 64;
        struct model_node **nodes = realloc(m->nodes, room * sizeof(void *));

        if (nodes) {
            m->nodes = nodes;
            m->room = room;
        } else {
            free(n);
            n = NULL;
        }
    }
    if (!n) {
        m->failed = true;
        return NULL;
    }
    *n = (struct model_node){
        .id = id,
        .is_pool = is_pool,
        .alive = true,
        .shares = MODEL_SHARES,
        .max_mhz = MODEL_UNLIMITED,
        .state = RECORD_sched_state_NEW,
        .since = m->now,
        .created = m->now,
        .index = m->count,
        .hash_next = *bucket(m, id),
    };
    *bucket(m, id) = n;
    m->nodes[m->count++] = n;
    m->alive++;
    return n;
}

static void tree_changed(struct model *m)
{
    if (m->client.tree)
        m->client.tree(m->client.context);
}

static void tell_interval(struct model *m, struct model_node *w, uint64_t now)
{
    if (w->provisional)
        return;
    if (m->client.interval && now > w->since && !w->is_idle && !w->is_pool)
        m->client.interval(m->client.context, w, w->state, w->since, now);
    w->since = now;
}

static void tell_ran(struct model *m, unsigned cpu, uint64_t now)
{
    struct model_cpu *c = &m->cpus[cpu];

    if (c->current && m->client.ran && now > c->since)
        m->client.ran(m->client.context, cpu, c->current, c->since, now);
    c->since = now;
}

static void drop(struct model *m, struct model_node *n)
{
    struct model_node **at = bucket(m, n->id);

    tell_interval(m, n, m->now);
    while (*at != n)
        at = &(*at)->hash_next;
    *at = n->hash_next;
    n->alive = false;
    n->ended = m->now;
    m->alive--;
    for (unsigned i = 0; i < m->cpu_count; i++) {
        if (m->cpus[i].current == n) {
            tell_ran(m, i, m->now);
            m->cpus[i].current = NULL;
        }
    }
    tree_changed(m);
}

/* Somebody met for the first time was there before, in that state. */
static struct model_node *world(struct model *m, uint32_t id, unsigned state)
{
    struct model_node *w = model_find(m, id);

    if (w) {
        w->provisional = false;
        return w->is_pool ? NULL : w;
    }
    w = add(m, id, false);
    if (!w)
        return NULL;
    w->state = state < MODEL_STATES ? state : RECORD_sched_state_WAIT;
    w->since = w->created = m->begin;
    w->is_idle = id <= MODEL_IDLE_IDS;
    tree_changed(m);
    return w;
}

static struct model_node *pool(struct model *m, uint32_t id)
{
    struct model_node *n;

    if (!id)
        id = MODEL_ROOT_ID;
    n = model_find(m, id);
    if (n)
        return n->is_pool ? n : NULL;
    n = add(m, id, true);
    if (n)
        tree_changed(m);
    return n;
}

bool model_state_waits(unsigned state)
{
    return state >= RECORD_sched_state_WAIT && state <= RECORD_sched_state_WAIT_SWAP;
}

bool model_state_wants(unsigned state)
{
    return state == RECORD_sched_state_RUN || state == RECORD_sched_state_READY ||
           state == RECORD_sched_state_COSTOP || state == RECORD_sched_state_MLMTD;
}

static void set_state(struct model *m, struct model_node *w, unsigned state)
{
    unsigned old = w->state;

    if (old == state || state >= MODEL_STATES)
        return;
    tell_interval(m, w, m->now);
    w->state = state;
    if (model_state_waits(old) && model_state_wants(state)) {
        w->woken = true;
        w->woken_at = m->now;
    }
    if (m->client.transition && !w->is_idle)
        m->client.transition(m->client.context, w, old, state, m->now);
    if (!model_state_wants(state) || state == RECORD_sched_state_RUN)
        w->woken = false;
}

static struct model_cpu *cpu_at(struct model *m, unsigned cpu)
{
    if (cpu >= MODEL_CPUS_MAX)
        return NULL;
    if (cpu >= m->cpu_count)
        m->cpu_count = cpu + 1;
    return &m->cpus[cpu];
}

static void feed_switch(struct model *m, unsigned cpu, const struct record_sched_switch *e)
{
    struct model_cpu *c = cpu_at(m, cpu);
    struct model_node *prev = world(m, e->prev_tid, RECORD_sched_state_RUN);
    struct model_node *next = world(m, e->next_tid, RECORD_sched_state_READY);
    bool voluntary;

    if (!c || !prev || !next)
        return;
    c->online = true;
    if (!c->known) {
        c->known = true;
        c->current = prev;
        c->since = prev->is_idle ? m->begin : prev->since;
    }
    tell_ran(m, cpu, m->now);
    voluntary = e->prev_state != RECORD_sched_state_READY &&
                e->prev_state != RECORD_sched_state_MLMTD &&
                e->prev_state != RECORD_sched_state_COSTOP;
    if (m->client.stopped && !prev->is_idle && prev != next)
        m->client.stopped(m->client.context, cpu, prev, voluntary || c->yielded);
    c->yielded = false;
    if (prev != next)
        set_state(m, prev, e->prev_state);
    for (unsigned i = 0; i < m->cpu_count; i++) {
        if (i != cpu && m->cpus[i].current == next) {
            tell_ran(m, i, m->now);
            m->cpus[i].current = NULL;
        }
    }
    c->current = next;
    c->since = m->now;
    next->cpu = cpu;
    set_state(m, next, RECORD_sched_state_RUN);
}

static void cpu_online(struct model *m, unsigned cpu, uint32_t id)
{
    struct model_cpu *c = cpu_at(m, cpu);
    struct model_node *idle = model_find(m, id);

    if (!c)
        return;
    if (!idle)
        idle = add(m, id, false);
    if (!idle || idle->is_pool)
        return;
    idle->is_idle = true;
    idle->provisional = false;
    idle->state = RECORD_sched_state_RUN;
    tell_ran(m, cpu, m->now);
    c->online = c->known = true;
    c->current = idle;
    c->since = m->now;
    tree_changed(m);
}

static void set_parent(struct model *m, struct model_node *n, uint32_t parent)
{
    struct model_node *p = pool(m, parent);

    if (p != n && n->id != MODEL_ROOT_ID)
        n->parent = p;
}

/*
 * Somebody is added: the node for it, fresh; null if the input was refused or there is no
 * memory.
 */
static struct model_node *added(struct model *m, uint32_t id, bool is_pool)
{
    struct model_node *n = model_find(m, id);

    if (!n)
        return add(m, id, is_pool);
    if (!n->provisional || n->is_pool != is_pool)
        return NULL;
    /* Its name came first. */
    n->provisional = n->is_idle = false;
    n->created = n->since = m->now;
    n->state = RECORD_sched_state_NEW;
    return n;
}

/* One input; `value` is 0 for the narrow record. */
static void feed_input(struct model *m, unsigned cpu, const struct record_sched_input *e,
                       uint64_t value)
{
    struct model_node *n = model_find(m, e->id);
    struct model_cpu *c = cpu_at(m, cpu);

    if (c && e->op >= RECORD_sched_op_BLOCK && e->op <= RECORD_sched_op_EXIT)
        c->yielded = e->op == RECORD_sched_op_YIELD;
    switch (e->op) {
    case RECORD_sched_op_CPU_ONLINE: cpu_online(m, cpu, e->id); return;
    case RECORD_sched_op_TOPOLOGY:
        if (e->small < MODEL_CPUS_MAX && (uint32_t)value)
            m->cpus[e->small].mhz = (uint32_t)value;
        return;
    case RECORD_sched_op_POOL_ADD:
        n = added(m, e->id, true);
        if (!n)
            return;
        n->is_vm = e->small & 1;
        n->shares = (uint32_t)value ? (uint32_t)value : MODEL_SHARES;
        set_parent(m, n, e->arg);
        break;
    case RECORD_sched_op_WORLD_ADD:
        n = added(m, e->id, false);
        if (!n)
            return;
        n->shares = (uint32_t)value ? (uint32_t)value : MODEL_SHARES;
        set_parent(m, n, e->arg);
        break;
    case RECORD_sched_op_POOL_REMOVE:
        /* Refused while it has children. */
        for (unsigned i = 0; n && i < m->count; i++) {
            if (m->nodes[i]->alive && m->nodes[i]->parent == n)
                return;
        }
        if (n && n->is_pool && n->id != MODEL_ROOT_ID)
            drop(m, n);
        return;
    case RECORD_sched_op_WORLD_REMOVE:
        /* Refused while it lives. */
        if (n && !n->is_pool && !n->is_idle &&
            (n->state == RECORD_sched_state_ZOMBIE || n->state == RECORD_sched_state_NEW))
            drop(m, n);
        return;
    case RECORD_sched_op_SET_SHARES:
        if (n && e->arg)
            n->shares = e->arg;
        break;
    case RECORD_sched_op_SET_MIN:
        if (n)
            n->min_mhz = e->arg;
        break;
    case RECORD_sched_op_SET_MAX:
        if (n)
            n->max_mhz = e->arg;
        break;
    case RECORD_sched_op_SET_POOL:
        if (n)
            set_parent(m, n, e->arg);
        break;
    default: return;
    }
    tree_changed(m);
}

/* Named before anything else is known of it. */
static struct model_node *by_name(struct model *m, uint32_t id, bool is_pool)
{
    struct model_node *n = is_pool ? pool(m, id) : world(m, id, RECORD_sched_state_WAIT);

    if (n) {
        n->provisional = true;
        n->is_idle = false;
    }
    return n;
}

static void feed_config(struct model *m, const struct record_sched_config *e)
{
    struct model_node *n = model_find(m, e->id);

    if (!n)
        n = by_name(m, e->id, false);
    if (!n)
        return;
    n->shares = e->shares ? e->shares : MODEL_SHARES;
    n->min_mhz = e->min_mhz;
    n->max_mhz = e->max_mhz ? e->max_mhz : MODEL_UNLIMITED;
    if (e->vm)
        n->vm = e->vm;
    if (e->parent && e->parent != e->id)
        set_parent(m, n, e->parent);
    tree_changed(m);
}

static void feed_name(struct model *m, const struct record_world_name *e)
{
    bool is_world = e->kind == RECORD_name_kind_WORLD;
    struct model_node *n = model_find(m, e->id);

    if (!n)
        n = by_name(m, e->id, !is_world);
    if (!n)
        return;
    memset(n->name, 0, sizeof(n->name));
    for (unsigned i = 0; i < 16 && e->name.text[i]; i++)
        n->name[i] = e->name.text[i] >= 0x20 && e->name.text[i] < 0x7f ? e->name.text[i] : '?';
    if (e->kind == RECORD_name_kind_VM && n->is_pool)
        n->is_vm = true;
    if (!n->is_pool)
        n->vm = e->vm;
    if (!n->parent && e->pool && e->pool != e->id)
        set_parent(m, n, e->pool);
    tree_changed(m);
}

bool model_feed(struct model *m, const struct trace_record *r)
{
    struct model_node *w;

    if (!m->begun) {
        m->begun = true;
        m->begin = m->now = r->time;
    }
    if (r->time > m->now) {
        if (m->client.advance)
            m->client.advance(m->client.context, r->time);
        m->now = r->time;
    }
    switch (r->event->id) {
    case RECORD_sched_switch: feed_switch(m, r->cpu, TRACE_AS(sched_switch, r)); break;
    case RECORD_sched_state:
        w = world(m, TRACE_AS(sched_state, r)->tid, TRACE_AS(sched_state, r)->state);
        if (w)
            set_state(m, w, TRACE_AS(sched_state, r)->state);
        break;
    case RECORD_sched_waking:
        w = world(m, TRACE_AS(sched_waking, r)->tid, RECORD_sched_state_WAIT);
        if (w && model_state_waits(w->state))
            set_state(m, w, RECORD_sched_state_READY);
        break;
    case RECORD_sched_costop:
        w = world(m, TRACE_AS(sched_costop, r)->tid, RECORD_sched_state_RUN);
        if (w && w->state != RECORD_sched_state_RUN)
            set_state(m, w, RECORD_sched_state_COSTOP);
        break;
    case RECORD_sched_costart:
        w = world(m, TRACE_AS(sched_costart, r)->tid, RECORD_sched_state_COSTOP);
        if (w && w->state == RECORD_sched_state_COSTOP)
            set_state(m, w, RECORD_sched_state_READY);
        break;
    case RECORD_sched_config: feed_config(m, TRACE_AS(sched_config, r)); break;
    case RECORD_sched_input: feed_input(m, r->cpu, TRACE_AS(sched_input, r), 0); break;
    case RECORD_sched_input_wide:
        /* The wide record begins like the narrow one. */
        feed_input(m, r->cpu, (const struct record_sched_input *)(const void *)r->bytes,
                   TRACE_AS(sched_input_wide, r)->value);
        break;
    case RECORD_world_name: feed_name(m, TRACE_AS(world_name, r)); break;
    default: break;
    }
    return !m->failed;
}

void model_settle(struct model *m, uint64_t now)
{
    if (now > m->now) {
        if (m->client.advance)
            m->client.advance(m->client.context, now);
        m->now = now;
    }
    for (unsigned i = 0; i < m->count; i++) {
        if (m->nodes[i]->alive)
            tell_interval(m, m->nodes[i], m->now);
    }
    for (unsigned i = 0; i < m->cpu_count; i++)
        tell_ran(m, i, m->now);
}

unsigned model_online(const struct model *m)
{
    unsigned count = 0;

    for (unsigned i = 0; i < m->cpu_count; i++)
        count += m->cpus[i].online;
    return count ? count : 1;
}

double model_mhz(const struct model *m)
{
    double sum = 0;
    unsigned count = 0;

    for (unsigned i = 0; i < m->cpu_count; i++) {
        if (m->cpus[i].online) {
            sum += m->cpus[i].mhz ? m->cpus[i].mhz : MODEL_MHZ;
            count++;
        }
    }
    return count ? sum / count : MODEL_MHZ;
}

struct model_node *model_vm_of(const struct model_node *n)
{
    struct model_node *p = n->parent;

    for (unsigned depth = 0; p && depth < 64; depth++, p = p->parent) {
        if (p->is_vm)
            return p;
    }
    return NULL;
}

struct model_node *model_pool_of(const struct model_node *n)
{
    struct model_node *p = n->parent;

    for (unsigned depth = 0; p && depth < 64; depth++, p = p->parent) {
        if (!p->is_vm)
            return p;
    }
    return NULL;
}

const char *model_name(const struct model_node *n, char out[32])
{
    if (n->name[0])
        snprintf(out, 32, "%s", n->name);
    else if (n->id == MODEL_ROOT_ID && n->is_pool)
        snprintf(out, 32, "root");
    else
        snprintf(out, 32, "%s %u",
                 n->is_vm     ? "vm"
                 : n->is_pool ? "pool"
                 : n->is_idle ? "idle"
                              : "world",
                 n->id);
    return out;
}
