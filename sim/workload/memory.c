// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/memory.c -- the memory of a workload's VMs, second by second, under the kernel's policy.
 *
 * Invariants
 *   - What the policy is told is counted, never estimated: pages by state, free frames.
 *   - A run is a function of workload, settings and seed.
 * Locking    none: one thread.
 */
#include "sim/workload/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "sim/workload/memory_internal.h"

#define FIRST_ID     (MEMSCHED_ROOT_ID + 1)
#define SAMPLE_PAGES 100u
#define REALLOCATE   15u
#define WRITE_EVERY  50u  // touches
#define BALLOON_MOST 65u
#define OVERHEAD     512u

/* ---- the policy ---- */

static void put(void *context, plat_ns now, const trace_word *record, size_t words)
{
    const struct memory *m = context;

    if (trace_mask_of(m->trace) & TRACE_CLASS_SYS)
        trace_write_on(m->trace, TRACE_SYS, now, record, words);
}

void memory_put_nothing(void *context, plat_ns now, const trace_word *record, size_t words)
{
    (void)context;
    (void)now;
    (void)record;
    (void)words;
}

static vmk_status input(struct memory *m, struct memsched_input in)
{
    return memsched_record_step(&m->record, m->now, &in);
}

/* What the VM has now. */
static void usage(struct memory *m, struct memory_vm *vm)
{
    struct memory_sample *s = &vm->now;

    s->granted = vm->size - vm->count[PAGE_NONE];
    s->balloon = vm->count[PAGE_BALLOONED];
    s->swapped = vm->count[PAGE_SWAPPED];
    s->compressed = vm->count[PAGE_COMPRESSED];
    s->shared = memory_saved(vm);
    if (input(m, (struct memsched_input){.op = MEMSCHED_USAGE,
                                         .small = vm->driver ? BALLOON_MOST : 0,
                                         .id = vm->id,
                                         .a = s->granted,
                                         .b = s->balloon,
                                         .c = s->swapped,
                                         .d = s->shared,
                                         .e = s->compressed -
                                              memory_cache_frames(s->compressed)}) != VMK_OK)
        abort();
}

/* Usage first: what is free and what is held have to add up. */
void memory_tell_free(struct memory *m)
{
    for (uint32_t i = 0; i < m->vm_count; i++) {
        if (m->vms[i].id)
            usage(m, &m->vms[i]);
    }
    if (input(m, (struct memsched_input){.op = MEMSCHED_FREE, .a = memory_free_frames(m)}) !=
        VMK_OK)
        abort();  // free memory is never refused
}

static const struct memsched_node *node_of(const struct memory *m, const struct memory_vm *vm)
{
    return vm->id ? memsched_find(&m->policy, vm->id) : NULL;
}

/* The pool with memory settings that is next above, or the root. */
static uint32_t parent_of(const struct memory *m, uint32_t index)
{
    while ((index = m->program->pools[index].parent) != PROGRAM_NONE) {
        for (uint32_t i = 0; i < m->pool_count; i++) {
            if (m->pools[i].index == index)
                return m->pools[i].id;
        }
    }
    return MEMSCHED_ROOT_ID;
}

static void vm_on(struct memory *m, struct memory_vm *vm)
{
    uint32_t id = FIRST_ID + vm->index;

    if (input(m, (struct memsched_input){.op = MEMSCHED_VM_ADD,
                                         .small = OVERHEAD,
                                         .id = id,
                                         .a = parent_of(m, vm->index),
                                         .b = vm->shares,
                                         .c = vm->min,
                                         .d = vm->size}) != VMK_OK ||
        (vm->max && input(m, (struct memsched_input){
                                 .op = MEMSCHED_SET_MAX, .id = id, .a = vm->max}) != VMK_OK)) {
        vm->refused = true;
        return;
    }
    vm->id = id;
    vm->sampled_at = m->second;
    memsched_record_name(&m->record, id, m->program->pools[vm->index].name);
}

/* ---- a second ---- */

/* The guest: first what it grows by, then its working set, in an order of its own. */
static void guest(struct memory *m, struct memory_vm *vm)
{
    uint32_t used = MIN(vm->used, vm->size), active = MIN(vm->active, used), first;
    uint32_t until = MIN(used, vm->grown + m->fill_rate);
    uint32_t *fresh = &vm->fresh[m->second % FRESH_SECONDS];

    vm->now = (struct memory_sample){.on = true};
    *fresh = 0;
    for (; vm->grown < until; vm->grown++) {
        if (vm->pages[vm->grown].state != PAGE_NONE)
            continue;
        if (!memory_access(m, vm, vm->grown, false))
            break;
        *fresh += vm->grown >= active;
    }
    active = MIN(active, vm->grown);
    first = active ? (uint32_t)rng_below(&vm->rng, active) : 0;
    for (uint32_t i = 0, k = first; i < active && !vm->now.lost;
         i++, k = k + 1 < active ? k + 1 : 0) {
        uint64_t page = (uint64_t)vm->base % vm->grown + k;

        page -= page >= vm->grown ? vm->grown : 0;
        vm->now.wanted++;
        vm->now.done += memory_access(m, vm, (uint32_t)page, i % WRITE_EVERY == 0);
    }
}

static bool is_active(const struct memory_vm *vm, uint32_t page)
{
    uint32_t from = vm->grown ? vm->base % vm->grown : 0;

    return vm->grown && (page + vm->grown - from) % vm->grown < MIN(vm->active, vm->grown);
}

/* Limits are as good a reason as levels. */
static bool is_early(const struct memory *m, const struct memory_vm *vm,
                     enum memsched_level level)
{
    const struct memsched_node *n = node_of(m, vm);

    return m->policy.level < level && n->target.cap >= n->size;
}

static void pop(struct memory *m, struct memory_vm *vm)
{
    for (uint32_t i = 0; i < vm->size; i++)
        memory_return(m, vm, i);
    vm->grown = 0;
    vm->reset = false;
}

static void inflate(struct memory *m, struct memory_vm *vm, uint32_t target)
{
    uint32_t left = m->balloon_rate, taken = 0;

    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < vm->size && taken < left && vm->count[PAGE_BALLOONED] < target;
             i++) {
            uint32_t page = vm->balloon_at = (vm->balloon_at ? vm->balloon_at : vm->size) - 1;

            if ((pass || page >= vm->grown || !is_active(vm, page)) &&
                (!vm->refuse || rng_below(&vm->rng, 100) >= vm->refuse))
                taken += memory_take_balloon(m, vm, page);
        }
    }
    vm->now.early += is_early(m, vm, MEMSCHED_SOFT) ? taken : 0;
}

/* A guest may take its time to take pages back. */
static void deflate(struct memory *m, struct memory_vm *vm, uint32_t target)
{
    uint32_t left = m->balloon_rate;

    if (vm->count[PAGE_BALLOONED] <= target) {
        vm->surplus_since = m->second;
        return;
    }
    if (m->second - vm->surplus_since < vm->late)
        return;
    for (uint32_t i = 0; i < vm->size && left && vm->count[PAGE_BALLOONED] > target; i++) {
        if (vm->pages[i].state == PAGE_BALLOONED) {
            memory_return(m, vm, i);
            left--;
            vm->grown = MIN(vm->grown, i);  // it will be used again
        }
    }
}

/*
 * The driver: the guest gives free pages first, then idle ones; what it works with last. A
 * driver that is unloaded or reset gives all back at once, without a word about single pages.
 */
static void balloon(struct memory *m, struct memory_vm *vm, uint32_t target)
{
    if ((vm->reset || !vm->driver) && vm->count[PAGE_BALLOONED])
        pop(m, vm);
    else if (vm->driver && rng_below(&vm->rng, 100) >= m->balloon_refused) {
        inflate(m, vm, target);
        deflate(m, vm, target);
    }
}

/* Victims are random: the host knows nothing better. */
static void take_out(struct memory *m, struct memory_vm *vm, uint32_t target)
{
    uint32_t tries = 4 * m->swap_rate;

    while (tries-- && vm->out_left && memory_out_now(vm) < target) {
        if (!memory_take_out(m, vm, (uint32_t)rng_below(&vm->rng, vm->size)))
            continue;
        vm->out_left--;
        vm->now.early += is_early(m, vm, MEMSCHED_HARD);
    }
}

static void sample(struct memory *m, struct memory_vm *vm)
{
    uint32_t touched = 0, sampled = 0;

    if (!m->sample || m->second - vm->sampled_at < m->sample ||
        vm->count[PAGE_NONE] == vm->size)
        return;
    for (uint32_t tries = 0; tries < 100 * SAMPLE_PAGES && sampled < SAMPLE_PAGES; tries++) {
        const struct memory_page *p = &vm->pages[rng_below(&vm->rng, vm->size)];
        bool there = p->state != PAGE_NONE && p->state != PAGE_BALLOONED;

        sampled += there;
        touched += there && p->touched > vm->sampled_at + 1;
    }
    vm->sampled_at = m->second;
    if (sampled && input(m, (struct memsched_input){.op = MEMSCHED_SAMPLE,
                                                    .small = 1,
                                                    .id = vm->id,
                                                    .a = touched,
                                                    .b = sampled}) != VMK_OK)
        abort();
}

/* What it touched in a period: its working set, and what it grew by outside of that. */
static uint32_t true_active(const struct memory *m, const struct memory_vm *vm)
{
    uint32_t pages = MIN(vm->active, vm->used);

    for (uint32_t i = 0; i < MIN(m->sample, FRESH_SECONDS) && i <= m->second; i++)
        pages += vm->fresh[(m->second - i) % FRESH_SECONDS];
    return MIN(pages, vm->size);
}

static void tell(struct memory *m, struct memory_vm *vm)
{
    struct memory_sample *s = &vm->now;
    const struct memsched_node *n;
    uint64_t low;

    s->true_active = true_active(m, vm);
    usage(m, vm);
    sample(m, vm);
    n = node_of(m, vm);
    s->held = (uint32_t)memsched_held(n);
    s->active = (uint32_t)memsched_active_pages(n);
    low = MIN((uint64_t)n->min, (uint64_t)s->granted - s->shared);
    // A page that came out of the cache may have emptied a frame of it: that one is no loss.
    s->below = s->held + 1 < low ? (uint32_t)(low - s->held) : 0;
    s->over = n->target.cap < n->size && memory_held_now(vm) > MAX(n->target.cap, n->min)
                  ? (uint32_t)(memory_held_now(vm) - MAX(n->target.cap, n->min))
                  : 0;
    put(m, m->now,
        TRACE_RECORD(mem_truth, .vm = vm->id, .active = s->true_active,
                     .missing = s->wanted - s->done, .faults = s->faults),
        TRACE_WORDS(mem_truth));
}

static void keep(struct memory *m)
{
    struct memory_sample *row;

    if (m->result.seconds == m->room)
        return;
    row = &m->result.samples[(size_t)m->result.seconds++ * m->result.pool_count];
    for (uint32_t i = 0; i < m->vm_count; i++) {
        struct memory_vm *vm = &m->vms[i];
        const struct memsched_node *n = node_of(m, vm);

        if (!n)
            continue;
        vm->now.target = n->target.entitlement;
        vm->now.free = MIN(m->least_free, memory_free_frames(m));
        vm->now.under = m->under;
        vm->now.wrong += !memory_audit(m);
        vm->now.level = m->policy.level;
        row[vm->index] = vm->now;
    }
}

/* A page is lost: an error ends the VM, so that it never goes on with something else. */
static void stop(struct memory *m, struct memory_vm *vm)
{
    struct memory_sample *row =
        m->result.samples + (size_t)m->result.seconds * m->result.pool_count;

    vm->now.free = m->least_free;
    vm->now.under = m->under;
    vm->now.level = m->policy.level;
    if (m->result.seconds < m->room)
        row[vm->index] = vm->now;
    memory_vm_drop(m, vm);
    if (input(m, (struct memsched_input){.op = MEMSCHED_REMOVE, .id = vm->id}) != VMK_OK)
        abort();
    vm->id = 0;
    vm->stopped = true;
}

void memory_second(struct memory *m, uint64_t now)
{
    m->now = now;
    m->least_free = UINT32_MAX;
    m->under = 0;
    for (uint32_t i = 0; i < m->vm_count; i++) {
        struct memory_vm *vm = &m->vms[i];
        const struct memsched_node *n;

        memory_kernel_step(m);
        vm->out_left = m->swap_rate;
        if (!vm->id && !vm->refused && !vm->stopped && vm->on < now)
            vm_on(m, vm);
        n = node_of(m, vm);
        if (!n)
            continue;
        guest(m, vm);
        if (vm->now.lost) {
            stop(m, vm);
            continue;
        }
        for (uint32_t k = 0; k < m->share_rate; k++)
            (void)memory_share(m, vm, (uint32_t)rng_below(&vm->rng, vm->size));
        usage(m, vm);
        balloon(m, vm, n->target.balloon);
        usage(m, vm);
        take_out(m, vm, n->target.swap);
        tell(m, vm);
    }
    memory_tell_free(m);
    m->second++;
    if (m->second % REALLOCATE == 0 &&
        input(m, (struct memsched_input){.op = MEMSCHED_TICK}) != VMK_OK)
        abort();
    keep(m);
}

void memory_touch(struct memory *m, uint32_t vm, uint32_t active, uint32_t used, uint32_t base)
{
    for (uint32_t i = 0; i < m->vm_count; i++) {
        struct memory_vm *v = &m->vms[i];

        if (v->index != vm)
            continue;
        v->active = active != WL_UNSET ? active : v->active;
        v->base = base != WL_UNSET ? base : v->base;
        v->used = MAX(used != WL_UNSET ? used : v->used, v->active);
    }
}

static void set(struct memory *m, uint32_t op, uint32_t id, uint32_t value, const char *what)
{
    if (id && input(m, (struct memsched_input){.op = op, .id = id, .a = value}) != VMK_OK)
        fprintf(stderr, "orrery-sim: at %.3f s the memory scheduler refuses: %s\n",
                (double)m->now / 1e9, what);
}

/* Settings of a VM or pool that the policy knows. */
static void settings(struct memory *m, uint32_t id, const struct memory_vm *was,
                     const struct memory_vm *is, const char *text)
{
    if (is->shares != was->shares)
        set(m, MEMSCHED_SET_SHARES, id, is->shares, text);
    if (is->min < was->min)
        set(m, MEMSCHED_SET_MIN, id, is->min, text);
    if (is->max != was->max)
        set(m, MEMSCHED_SET_MAX, id, is->max ? is->max : MEMSCHED_UNLIMITED, text);
    if (is->min > was->min)
        set(m, MEMSCHED_SET_MIN, id, is->min, text);
}

void memory_change(struct memory *m, uint64_t now, uint32_t pool, const char *text)
{
    char error[200];
    bool good = true;

    m->now = now;
    if (pool == PROGRAM_NONE)
        good = memory_host_words(m, text, false, error, sizeof(error));
    for (uint32_t i = 0; i < m->vm_count; i++) {
        struct memory_vm was = m->vms[i];

        if (was.index != pool)
            continue;
        good = memory_vm_words(&m->vms[i], "", text, false, error, sizeof(error));
        settings(m, was.id, &was, &m->vms[i], text);
    }
    for (uint32_t i = 0; i < m->pool_count; i++) {
        struct memory_pool *p = &m->pools[i];
        struct memory_vm was = {.shares = p->shares, .min = p->min, .max = p->max}, is = was;

        if (p->index != pool)
            continue;
        good = memory_vm_words(&is, "", text, false, error, sizeof(error));
        settings(m, p->id, &was, &is, text);
        p->shares = is.shares;
        p->min = is.min;
        p->max = is.max;
    }
    if (!good)
        abort();  // program.c looked at the words
}

/* ---- life ---- */

static bool vm_init(struct memory *m, struct memory_vm *vm, const char *text, char *error,
                    size_t room)
{
    const char *name = m->program->pools[vm->index].name;

    vm->driver = true;
    if (!memory_vm_words(vm, name, text, true, error, room))
        return false;
    if (!vm->size || vm->min > vm->size || (vm->max && vm->max < vm->min)) {
        snprintf(error, room, "mem %s: give a size, and min no larger than size and max", name);
        return false;
    }
    vm->pages = calloc(vm->size, sizeof(*vm->pages));
    vm->count[PAGE_NONE] = vm->size;
    return vm->pages != NULL;
}

static bool vms_init(struct memory *m, uint64_t seed, char *error, size_t room)
{
    const struct workload *w = m->program->source;

    for (uint32_t i = 0; i < w->vm_count; i++) {
        struct memory_vm *vm = &m->vms[m->vm_count];
        uint32_t index = 0;

        if (!w->vms[i].memory)
            continue;
        while (index < m->program->pool_count &&
               strcmp(m->program->pools[index].name, w->vms[i].name) != 0)
            index++;
        vm->index = index;
        rng_init(&vm->rng, seed, "memory", index);
        m->vm_count++;
        if (!vm_init(m, vm, w->vms[i].memory, error, room))
            return false;
        m->common_count = MAX(m->common_count, vm->size);
    }
    return true;
}

static bool pools_init(struct memory *m, char *error, size_t room)
{
    const struct workload *w = m->program->source;

    for (uint32_t i = 0; i < w->pool_count; i++) {
        struct memory_vm words = {.expandable = w->pools[i].expandable};
        struct memory_pool *p = &m->pools[m->pool_count];
        vmk_status status;

        if (!w->pools[i].memory)
            continue;
        if (!memory_vm_words(&words, w->pools[i].name, w->pools[i].memory, true, error, room))
            return false;
        // Pools come first in the program, in the file's order.
        *p = (struct memory_pool){.id = FIRST_ID + i, .index = i};
        status =
            input(m, (struct memsched_input){.op = MEMSCHED_POOL_ADD,
                                             .small = words.expandable,
                                             .id = p->id,
                                             .a = parent_of(m, i),
                                             .b = words.shares ? words.shares : 1000,
                                             .c = words.min,
                                             .d = words.max ? words.max : MEMSCHED_UNLIMITED});
        if (status != VMK_OK) {
            snprintf(error, room,
                     "mem %s: the pool is refused: min is more than max, or than "
                     "its parent has left",
                     w->pools[i].name);
            return false;
        }
        p->shares = words.shares;
        p->min = words.min;
        p->max = words.max;
        memsched_record_name(&m->record, p->id, w->pools[i].name);
        m->pool_count++;
    }
    return true;
}

static bool stores_init(struct memory *m)
{
    m->common_frame = calloc(m->common_count + 1u, sizeof(*m->common_frame));
    m->common_refs = calloc(m->common_count + 1u, sizeof(*m->common_refs));
    m->kernel_frames = calloc(m->size + 1u, sizeof(*m->kernel_frames));
    return m->kernel_frames && m->common_frame && m->common_refs &&
           memory_store_init(&m->frames, m->size) && memory_store_init(&m->cache, m->size) &&
           memory_store_init(&m->swap, m->swap_size);
}

struct memory *memory_create(const struct program *p, const char *change, uint64_t seed,
                             uint64_t duration, struct trace_state *trace, char *error,
                             size_t room)
{
    const struct workload *w = p->source;
    struct memory *m;

    error[0] = '\0';
    if (!w->memory)
        return NULL;
    m = calloc(1, sizeof(*m));
    snprintf(error, room, "no memory for the model of memory");
    if (!m)
        return NULL;
    *m = (struct memory){.program = p,
                         .trace = trace,
                         .balloon_rate = 32 * 256,
                         .swap_rate = 16 * 256,
                         .share_rate = 256,
                         .fill_rate = 32 * 256,
                         .sample = 30};
    memsched_init(&m->policy);
    memsched_record_init(&m->record, &m->policy);
    m->record.put = put;
    m->record.context = m;
    rng_init(&m->rng, seed, "memory-kernel", 0);
    m->vms = calloc(w->vm_count + 1u, sizeof(*m->vms));
    m->pools = calloc(w->pool_count + 1u, sizeof(*m->pools));
    m->room = (uint32_t)(duration / MEMORY_SECOND) + 1;
    m->result.pool_count = p->pool_count;
    m->result.samples =
        calloc((size_t)m->room * (p->pool_count + 1u), sizeof(*m->result.samples));
    if (m->vms && m->pools && m->result.samples &&
        memory_host_words(m, w->memory, true, error, room) &&
        memory_host_words(m, change, true, error, room)) {
        if (!m->size)
            snprintf(error, room, "memory: give the host's size, as in memory size=1GB");
        else if (vms_init(m, seed, error, room) && stores_init(m) &&
                 input(m, (struct memsched_input){.op = MEMSCHED_HOST,
                                                  .a = m->size,
                                                  .b = m->swap_size,
                                                  .c = m->min_free}) == VMK_OK &&
                 pools_init(m, error, room)) {
            memory_tell_free(m);
            error[0] = '\0';
            return m;
        }
    }
    memory_destroy(m);
    return NULL;
}

struct memory_result memory_take_result(struct memory *m)
{
    struct memory_result r = m->result;

    m->result.samples = NULL;
    return r;
}

void memory_destroy(struct memory *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; m->vms && i < m->vm_count; i++)
        free(m->vms[i].pages);
    memory_store_free(&m->frames);
    memory_store_free(&m->cache);
    memory_store_free(&m->swap);
    free(m->common_frame);
    free(m->common_refs);
    free(m->kernel_frames);
    free(m->pools);
    free(m->vms);
    free(m->result.samples);
    free(m);
}
