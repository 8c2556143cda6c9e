// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/memory.c -- who has how much memory, as the memory scheduler's records show it.
 *
 * Invariants, locking: trace/memory.h.
 */
#include "trace/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const memory_figure_names[MEMORY_FIGURE_COUNT] = {
#define MEMORY_FIGURE(name, what) #name,
    MEMORY_FIGURES(MEMORY_FIGURE)
#undef MEMORY_FIGURE
};

void memory_init(struct memory_model *m)
{
    *m = (struct memory_model){.to = UINT64_MAX};
}

void memory_free(struct memory_model *m)
{
    free(m->vms);
    m->vms = NULL;
}

const char *memory_level_name(unsigned level)
{
    static const char *const names[MEMORY_LEVELS] = {"high", "clear", "soft", "hard", "low"};

    return level < MEMORY_LEVELS ? names[level] : "?";
}

double memory_mean(const struct memory_vm *vm, enum memory_figure figure)
{
    return vm->lived > 0 ? vm->sum[figure] / vm->lived : vm->now[figure];
}

bool memory_is_decided(const struct trace_event *event)
{
    switch (event->id) {
    case RECORD_mem_state:
    case RECORD_mem_sample:
    case RECORD_mem_target:
    case RECORD_mem_input:
    case RECORD_mem_refused:
    case RECORD_mem_checkpoint:
    case RECORD_mem_tunable:
    case RECORD_mem_node: return true;
    default: return false;
    }
}

bool memory_concerns(const struct trace_event *event)
{
    return memory_is_decided(event) || event->id == RECORD_mem_truth;
}

static struct memory_vm *find(struct memory_model *m, uint32_t id)
{
    for (unsigned i = m->count; i-- > 0;) {
        if (m->vms[i].id == id && m->vms[i].alive)
            return &m->vms[i];
    }
    return NULL;
}

static struct memory_vm *added(struct memory_model *m, uint32_t id)
{
    struct memory_vm *vm = find(m, id);

    if (vm)
        return vm;
    if (m->count == m->room) {
        unsigned room = m->room ? 2 * m->room : 16;

        vm = realloc(m->vms, room * sizeof(*vm));
        if (!vm) {
            m->failed = true;
            return NULL;
        }
        m->vms = vm;
        m->room = room;
    }
    vm = &m->vms[m->count++];
    *vm = (struct memory_vm){.id = id, .alive = true, .max = UINT32_MAX};
    snprintf(vm->name, sizeof(vm->name), "vm %u", id);
    return vm;
}

/* ---- time ---- */

static void advance(struct memory_model *m, uint64_t now)
{
    uint64_t begin = MAX(m->time, m->from), end = MIN(now, m->to);
    double part = end > begin ? (double)(end - begin) : 0;

    m->time = MAX(m->time, now);
    if (part <= 0)
        return;
    m->measured += part;
    m->free_sum += part * (double)m->free;
    if (m->level < MEMORY_LEVELS)
        m->level_ns[m->level] += part;
    for (unsigned i = 0; i < m->count; i++) {
        struct memory_vm *vm = &m->vms[i];

        if (!vm->alive)
            continue;
        vm->lived += part;
        vm->blocked_ns += vm->blocked ? part : 0;
        for (unsigned f = 0; f < MEMORY_FIGURE_COUNT; f++) {
            vm->sum[f] += part * vm->now[f];
            vm->most[f] = MAX(vm->most[f], vm->now[f]);
        }
    }
}

void memory_settle(struct memory_model *m, uint64_t now)
{
    if (m->any)
        advance(m, now);
}

/* ---- records ---- */

static void held_set(struct memory_vm *vm)
{
    uint64_t gone = (uint64_t)vm->now[MEMORY_balloon] + vm->now[MEMORY_shared] +
                    vm->now[MEMORY_compressed] + vm->now[MEMORY_swapped];

    vm->now[MEMORY_held] =
        vm->now[MEMORY_granted] > gone ? (uint32_t)(vm->now[MEMORY_granted] - gone) : 0;
}

static void feed_input(struct memory_model *m, const struct record_mem_input *e)
{
    bool adds = e->op == RECORD_mem_op_VM_ADD || e->op == RECORD_mem_op_POOL_ADD;
    bool of_host = e->op == RECORD_mem_op_HOST || e->op == RECORD_mem_op_FREE ||
                   e->op == RECORD_mem_op_TICK || e->op == RECORD_mem_op_TUNE;
    struct memory_vm *vm = of_host ? NULL : adds ? added(m, e->id) : find(m, e->id);

    m->inputs++;
    if (e->op == RECORD_mem_op_HOST)
        m->managed = e->a;
    if (e->op == RECORD_mem_op_FREE)
        m->free = e->a;
    if (!vm)
        return;
    switch (e->op) {
    case RECORD_mem_op_POOL_ADD:
    case RECORD_mem_op_VM_ADD:
        vm->is_pool = e->op == RECORD_mem_op_POOL_ADD;
        vm->shares = e->b;
        vm->min = e->c;
        *(vm->is_pool ? &vm->max : &vm->size) = e->d;
        if (!vm->shares && !vm->is_pool)
            vm->shares = (uint32_t)MAX((uint64_t)e->d * 10 / 256, 1u);
        break;
    case RECORD_mem_op_REMOVE: vm->alive = false; break;
    case RECORD_mem_op_SET_SHARES: vm->shares = e->a; break;
    case RECORD_mem_op_SET_MIN: vm->min = e->a; break;
    case RECORD_mem_op_SET_MAX: vm->max = e->a; break;
    case RECORD_mem_op_USAGE:
        vm->now[MEMORY_granted] = e->a;
        vm->now[MEMORY_balloon] = e->b;
        vm->now[MEMORY_swapped] = e->c;
        vm->now[MEMORY_shared] = e->d;
        vm->now[MEMORY_compressed] = e->e;
        held_set(vm);
        break;
    default: break;
    }
}

/*
 * The input in front of it was not taken. What it would have changed is small: it is taken back
 * by the next USAGE or checkpoint, except for somebody who never was.
 */
static void feed_refused(struct memory_model *m, const struct record_mem_refused *e)
{
    struct memory_vm *vm = find(m, e->id);

    m->refused++;
    if (vm && vm == &m->vms[m->count - 1] && vm->lived <= 0 && !vm->now[MEMORY_granted])
        m->count--;
}

static void feed_node(struct memory_model *m, const struct record_mem_node *e)
{
    struct memory_vm *vm = e->slot ? added(m, e->id) : NULL;

    if (!vm)
        return;
    vm->is_pool = e->flags & 1;
    vm->blocked = e->flags & 8;
    vm->shares = e->shares;
    vm->min = e->min;
    vm->max = e->max;
    vm->size = e->size;
    vm->now[MEMORY_granted] = e->touched;
    vm->now[MEMORY_balloon] = e->ballooned;
    vm->now[MEMORY_swapped] = e->swapped;
    vm->now[MEMORY_compressed] = e->compressed;
    vm->now[MEMORY_shared] = e->saved;
    vm->now[MEMORY_target] = e->entitlement;
    vm->now[MEMORY_balloon_target] = e->balloon_target;
    vm->now[MEMORY_swap_target] = e->swap_target;
    held_set(vm);
    for (unsigned i = 0; i < 16 && e->name.text[0]; i++) {
        char c = e->name.text[i];

        vm->name[i] = c ? (c >= 0x20 && c < 0x7f ? c : '?') : '\0';
        vm->name[i + 1] = '\0';
        if (!c)
            break;
    }
}

bool memory_feed(struct memory_model *m, const struct trace_record *r)
{
    struct memory_vm *vm;

    if (!memory_concerns(r->event))
        return true;
    if (!m->any)
        m->time = r->time;
    m->any = true;
    advance(m, r->time);
    switch (r->event->id) {
    case RECORD_mem_input: feed_input(m, TRACE_AS(mem_input, r)); break;
    case RECORD_mem_refused: feed_refused(m, TRACE_AS(mem_refused, r)); break;
    case RECORD_mem_node: feed_node(m, TRACE_AS(mem_node, r)); break;
    case RECORD_mem_state:
        m->free = TRACE_AS(mem_state, r)->host_free;
        m->level = TRACE_AS(mem_state, r)->level;
        break;
    case RECORD_mem_checkpoint:
        m->managed = TRACE_AS(mem_checkpoint, r)->managed;
        m->free = TRACE_AS(mem_checkpoint, r)->free;
        m->min_free = TRACE_AS(mem_checkpoint, r)->min_free;
        m->level = TRACE_AS(mem_checkpoint, r)->level;
        break;
    case RECORD_mem_sample:
        vm = find(m, TRACE_AS(mem_sample, r)->vm);
        if (vm)
            vm->now[MEMORY_active] = TRACE_AS(mem_sample, r)->est_active;
        break;
    case RECORD_mem_target:
        vm = find(m, TRACE_AS(mem_target, r)->vm);
        m->targets++;
        if (vm) {
            vm->now[MEMORY_target] = TRACE_AS(mem_target, r)->entitlement;
            vm->now[MEMORY_balloon_target] = TRACE_AS(mem_target, r)->balloon_target;
            vm->now[MEMORY_swap_target] = TRACE_AS(mem_target, r)->swap_target;
            vm->blocked = TRACE_AS(mem_target, r)->blocked;
        }
        break;
    default:
        vm = find(m, TRACE_AS(mem_truth, r)->vm);
        if (vm) {
            vm->has_truth = true;
            vm->now[MEMORY_true_active] = TRACE_AS(mem_truth, r)->active;
            vm->now[MEMORY_missing] = TRACE_AS(mem_truth, r)->missing;
            vm->faults = TRACE_AS(mem_truth, r)->faults;
        }
        break;
    }
    return !m->failed;
}
