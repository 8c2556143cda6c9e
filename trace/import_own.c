// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/import_own.c -- our own traces, of the image or of the kernel in the simulation, into demand.
 *
 * Such a trace says more than a foreign one: inputs name who woke whom and why, and the tree of
 * pools, VMs, shares, reservations and limits is in it. A wake-up with reason EVENT by a world
 * that is running is an edge; timers and devices are from outside. What a virtual CPU waited
 * for, idle or device, is in the state it left with.
 *
 * Invariants
 *   - A world, VM or pool of the workload has the resources that it had at the end of the
 *     trace.
 * Locking    none.
 */
#include <stdlib.h>
#include <string.h>

#include "sched/machine_enums.h"
#include "trace/import.h"

#define ROOT_ID    100u
#define POOL_IS_VM 1u
#define TUNABLE    0xffffu
#define NODES_MAX  65536u
#define IDS_QUICK  (1u << 20)

/* What inputs and names said of a world, VM or pool. */
struct node {
    uint32_t id, parent;
    bool is_pool, is_vm, is_idle;
    uint32_t shares, min_mhz, max_mhz;
    uint64_t affinity;
    char name[WL_NAME_SIZE];
};

struct own {
    struct node *nodes;
    uint32_t *by_id;  // index + 1, of small ids
    size_t count;
    uint64_t switch_cost;
    uint32_t mhz, cpus;
    uint64_t last;
};

static struct node *node_of(struct own *o, uint32_t id)
{
    if (id < IDS_QUICK && o->by_id[id])
        return &o->nodes[o->by_id[id] - 1];
    for (size_t i = id < IDS_QUICK ? 0 : o->count; i-- > 0;) {
        if (o->nodes[i].id == id)
            return &o->nodes[i];
    }
    if (o->count == NODES_MAX)
        return &o->nodes[0];
    o->nodes[o->count] = (struct node){.id = id, .parent = ROOT_ID, .max_mhz = UINT32_MAX};
    if (id < IDS_QUICK)
        o->by_id[id] = (uint32_t)o->count + 1;
    return &o->nodes[o->count++];
}

static void input(struct own *o, struct demand *d, const struct trace_record *r, unsigned op,
                  uint32_t small, uint32_t id, uint32_t arg, uint64_t value)
{
    struct node *n;

    switch (op) {
    case SCHED_OP_CPU_ONLINE: node_of(o, id)->is_idle = true; break;
    case SCHED_OP_TOPOLOGY:
        o->mhz = value ? (uint32_t)value : o->mhz;
        o->cpus = MAX(o->cpus, small + 1);
        break;
    case SCHED_OP_POLICY: break;
    case SCHED_OP_POOL_ADD:
    case SCHED_OP_WORLD_ADD:
        n = node_of(o, id);
        n->is_pool = op == SCHED_OP_POOL_ADD;
        n->is_vm = n->is_pool && (small & POOL_IS_VM);
        n->parent = arg ? arg : ROOT_ID;
        n->shares = (uint32_t)value;
        break;
    case SCHED_OP_SET_SHARES: node_of(o, id)->shares = arg; break;
    case SCHED_OP_SET_MIN: node_of(o, id)->min_mhz = arg; break;
    case SCHED_OP_SET_MAX: node_of(o, id)->max_mhz = arg; break;
    case SCHED_OP_SET_AFFINITY: node_of(o, id)->affinity = value; break;
    case SCHED_OP_SET_POOL: node_of(o, id)->parent = arg; break;
    case SCHED_OP_WAKE:
        demand_wake(d, r->time, r->cpu, id, NULL,
                    small == WAKE_REASON_EVENT && arg ? arg : DEMAND_IDLE, NULL);
        break;
    default: break;
    }
}

static enum demand_leave leave_of(unsigned state)
{
    switch (state) {
    case SCHED_STATE_WAIT: return DEMAND_SLEEP;
    case SCHED_STATE_WAIT_IDLE: return DEMAND_HALT;
    case SCHED_STATE_WAIT_IO:
    case SCHED_STATE_WAIT_SWAP: return DEMAND_IO;
    case SCHED_STATE_ZOMBIE: return DEMAND_EXIT;
    default: return DEMAND_PREEMPTED;
    }
}

static uint32_t task_of(struct own *o, uint32_t tid)
{
    return node_of(o, tid)->is_idle ? DEMAND_IDLE : tid;
}

static void record(struct own *o, struct demand *d, const struct trace_record *r)
{
    o->last = MAX(o->last, r->time);
    switch (r->event->id) {
    case RECORD_sched_input: {
        const struct record_sched_input *in = TRACE_AS(sched_input, r);

        input(o, d, r, in->op, in->small, in->id, in->arg, 0);
        break;
    }
    case RECORD_sched_input_wide: {
        const struct record_sched_input_wide *in = TRACE_AS(sched_input_wide, r);

        input(o, d, r, in->op, in->small, in->id, in->arg, in->value);
        break;
    }
    case RECORD_sched_switch: {
        const struct record_sched_switch *s = TRACE_AS(sched_switch, r);

        demand_switch(d, r->time, r->cpu, task_of(o, s->prev_tid), NULL,
                      leave_of(s->prev_state), task_of(o, s->next_tid), NULL);
        break;
    }
    case RECORD_world_name: {
        const struct record_world_name *w = TRACE_AS(world_name, r);
        size_t length = strnlen(w->name.text, sizeof(w->name.text));

        wl_name_make(node_of(o, w->id)->name, w->name.text, length);
        break;
    }
    default: break;
    }
}

/*
 * --- the tree -------------------------------------------------------------------------------
 */

/* Unique: names are cut to sixteen bytes in the trace. */
static void node_name(const struct node *n, char out[WL_NAME_SIZE])
{
    snprintf(out, WL_NAME_SIZE, "%.40s-%u",
             n->name[0]   ? n->name
             : n->is_pool ? "pool"
                          : "world",
             n->id);
}

static void resources_set(const struct node *n, struct wl_resources *r)
{
    if (n->shares)
        r->shares = n->shares;
    if (n->min_mhz)
        r->min = (struct wl_amount){n->min_mhz, WL_UNIT_MHZ};
    if (n->max_mhz != UINT32_MAX)
        r->max = (struct wl_amount){n->max_mhz, WL_UNIT_MHZ};
}

static const struct node *find(const struct own *o, uint32_t id)
{
    for (size_t i = 0; i < o->count; i++) {
        if (o->nodes[i].id == id)
            return &o->nodes[i];
    }
    return NULL;
}

static void tree_make(const struct own *o, struct workload *w)
{
    for (size_t i = 0; i < o->count; i++) {
        const struct node *n = &o->nodes[i];
        const struct node *up = find(o, n->parent);
        char name[WL_NAME_SIZE], parent[WL_NAME_SIZE] = "";

        if (!n->is_pool || n->id == ROOT_ID)
            continue;
        node_name(n, name);
        if (up && up->is_pool && up->id != ROOT_ID)
            node_name(up, parent);
        if (n->is_vm) {
            struct wl_vm *vm = wl_add_vm(w, name);

            strcpy(vm->pool, parent);
            resources_set(n, &vm->resources);
        } else {
            struct wl_pool *pool = wl_add_pool(w, name);

            strcpy(pool->parent, parent);
            resources_set(n, &pool->resources);
        }
    }
}

static void worlds_set(const struct own *o, const struct demand *d, struct workload *w)
{
    struct demand_world t;

    for (uint32_t i = 0; demand_world_at(d, i, &t); i++) {
        const struct node *n = find(o, t.task), *up = n ? find(o, n->parent) : NULL;
        struct wl_world *world = &w->worlds[i];

        if (!n)
            continue;
        resources_set(n, &world->resources);
        world->affinity = n->affinity == UINT64_MAX ? 0 : n->affinity;
        if (up && up->is_pool && up->id != ROOT_ID)
            node_name(up, up->is_vm ? world->vm : world->pool);
    }
}

bool import_own(const char *directory, uint64_t switch_cost, struct workload *w,
                struct demand_summary *out)
{
    const struct demand_options options = {.switch_cost = switch_cost};
    struct own o = {.nodes = calloc(NODES_MAX, sizeof(*o.nodes)),
                    .by_id = calloc(IDS_QUICK, sizeof(*o.by_id)),
                    .mhz = 1000};
    char error[TRACE_ERROR];
    struct trace_reader *reader = trace_open(directory, error);
    struct demand *d = demand_create(&options);
    struct trace_record r;
    int more = -1;

    if (!o.nodes || !o.by_id) {
        fputs("orrery-trace: no memory\n", stderr);
        exit(TOOL_BAD);
    }
    if (!reader) {
        (void)tool_fail("%s", error);
    } else {
        while ((more = trace_next(reader, &r)) == 1) {
            record(&o, d, &r);
            tool_progress("whatif", trace_percent(reader));
        }
        tool_progress_end();
        if (more < 0)
            (void)tool_fail("%s", trace_error(reader));
        else
            (void)tool_part_there(directory, trace_info(reader), 0, UINT64_MAX);
    }
    if (more == 0) {
        for (size_t i = 0; i < o.count; i++) {
            if (!o.nodes[i].is_pool && !o.nodes[i].is_idle && o.nodes[i].name[0])
                demand_name(d, o.nodes[i].id, o.nodes[i].name);
        }
        tree_make(&o, w);
        demand_finish(d, o.last, w, out);
        worlds_set(&o, d, w);
        w->host.mhz = MIN(MAX(o.mhz, 100u), 100000u);
        if (o.cpus && o.cpus <= 64)
            w->host.cpus = o.cpus;
        if (!out->switches) {
            (void)tool_fail("%s: no sched_switch record: record the class sched", directory);
            more = -1;
        }
    }
    demand_free(d);
    trace_close(reader);
    free(o.nodes);
    free(o.by_id);
    return more == 0;
}
