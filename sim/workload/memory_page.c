// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/memory_page.c -- pages of modelled guests: where each is, what it holds, how it moves.
 *
 * Invariants
 *   - A frame, cache place or swap slot has one page, but a common frame, which is counted.
 *   - A page's content leaves its old place only when the new one has it.
 * Locking    none: one thread.
 */
#include <stdlib.h>

#include "sim/workload/memory_internal.h"

#define CACHE_PERCENT 10u  // of a VM may be compressed, as ESXi's Mem.MemZipMaxPct
#define FORCED        8u   // pages given for one that must come in
#define FORCED_TRIES  64u
#define READ_TRIES    3u
#define FLOOR_SLACK   64u  // frames above the floor at least, as src/vmm/vmm_mem.c
#define SLACK_PART    4u
#define PART_ONE      65536u  // of a common frame
#define TELL_EVERY    512u

static uint64_t mix(uint64_t a, uint64_t b)
{
    a = (a ^ b) * 0x9e3779b97f4a7c15ull;
    return a ^ a >> 29;
}

static uint64_t content_of(const struct memory_vm *vm, uint32_t page)
{
    const struct memory_page *p = &vm->pages[page];

    return p->common ? mix(1, page) : mix(mix(vm->index + 2, page), p->version);
}

bool memory_store_init(struct memory_store *s, uint32_t room)
{
    s->content = calloc(room + 1u, sizeof(*s->content));
    s->free = calloc(room + 1u, sizeof(*s->free));
    if (!s->content || !s->free)
        return false;
    s->room = room;
    for (uint32_t i = 0; i < room; i++)
        s->free[s->free_count++] = room - 1 - i;
    return true;
}

void memory_store_free(struct memory_store *s)
{
    free(s->content);
    free(s->free);
}

static bool place_take(struct memory_store *s, uint64_t content, uint32_t *where)
{
    if (!s->free_count)
        return false;
    *where = s->free[--s->free_count];
    s->content[*where] = content;
    return true;
}

static void place_give(struct memory_store *s, uint32_t where)
{
    s->content[where] = ~0ull;  // whoever still reads it sees that it is gone
    s->free[s->free_count++] = where;
}

uint32_t memory_free_frames(const struct memory *m)
{
    uint32_t cache = memory_cache_frames(m->cache.room - m->cache.free_count);

    return m->frames.free_count > cache ? m->frames.free_count - cache : 0;
}

/* Free memory is looked at after each frame that goes. */
static void frames_seen(struct memory *m)
{
    uint32_t free = memory_free_frames(m);

    m->least_free = MIN(m->least_free, free);
    m->under += free < memsched_floor(&m->policy);
}

uint64_t memory_held_now(const struct memory_vm *vm)
{
    uint64_t there = (uint64_t)vm->count[PAGE_HERE] + vm->count[PAGE_SHARED] +
                     memory_cache_frames(vm->count[PAGE_COMPRESSED]);

    return there > vm->now.shared ? there - vm->now.shared : 0;
}

/*
 * As vmm_mem_is_short(): the host is at its floor and the VM has its reservation, or it is at
 * its limit.
 */
static bool is_short(const struct memory *m, const struct memory_vm *vm)
{
    const struct memsched_node *n = memsched_find(&m->policy, vm->id);
    uint64_t floor = memsched_floor(&m->policy), held = memory_held_now(vm);

    if (!n)
        return false;
    if (n->target.cap < n->size && held >= MAX(n->target.cap, n->min))
        return true;
    return memory_free_frames(m) < floor + MAX((uint64_t)FLOOR_SLACK, floor / SLACK_PART) &&
           held >= n->min;
}

/* Up to `most` of its pages go, as fast as it may this second; how many did. */
static uint32_t give(struct memory *m, struct memory_vm *vm, uint32_t most)
{
    uint32_t given = 0;

    for (uint32_t i = 0; i < FORCED_TRIES && given < most && vm->out_left; i++) {
        if (memory_take_out(m, vm, (uint32_t)rng_below(&vm->rng, vm->size))) {
            given++;
            vm->out_left--;
        }
    }
    return given;
}

enum turn {
    TURN_OWN,     // it has what is due to it, or the others cannot give
    TURN_DONE,    // they gave
    TURN_OTHERS,  // they gave what they can this second
};

/* As vm_swap.c: a VM that has less than is due to it waits for those who have too much. */
static enum turn others_give(struct memory *m, const struct memory_vm *vm)
{
    const struct memsched_node *n = memsched_find(&m->policy, vm->id);
    const uint64_t held = memory_held_now(vm);
    bool later = false;
    uint32_t given = 0;

    if (held >= n->target.due || (n->target.cap < n->size && held >= n->target.cap))
        return TURN_OWN;
    for (uint32_t i = 0; i < m->vm_count; i++) {
        struct memory_vm *other = &m->vms[i];
        const uint32_t out = memory_out_now(other);

        n = other->id && other != vm ? memsched_find(&m->policy, other->id) : NULL;
        if (n && n->target.swap > out) {
            given += give(m, other, MIN(n->target.swap - out, FORCED));
            later = later || !other->out_left;
        }
    }
    return given ? TURN_DONE : later ? TURN_OTHERS : TURN_OWN;
}

/* For a VM that may not grow others give pages, or it gives some of its own. */
static bool make_room(struct memory *m, struct memory_vm *vm)
{
    const struct memsched_node *n = memsched_find(&m->policy, vm->id);
    uint64_t held = memory_held_now(vm), above = held >= n->min ? held - n->min + 1 : 0;
    uint32_t given = 0;
    enum turn turn;

    do {
        turn = others_give(m, vm);
        if (turn == TURN_OWN && held < n->target.due && vm->looked_at != m->second + 1) {
            vm->looked_at = m->second + 1;  // the policy may not know yet how short it is
            memory_tell_free(m);
            turn = others_give(m, vm);
        }
    } while (turn == TURN_DONE && is_short(m, vm));
    if (turn == TURN_DONE)
        return true;
    // No more than its reservation leaves, the page that comes in counted.
    if (turn == TURN_OWN)
        given = give(m, vm, (uint32_t)MIN(above, (uint64_t)FORCED));
    vm->now.stalled += !given;
    return given && !is_short(m, vm);
}

static bool frame_take(struct memory *m, struct memory_vm *vm, uint64_t content,
                       uint32_t *where)
{
    if (is_short(m, vm) && !make_room(m, vm))
        return false;
    if (!place_take(&m->frames, content, where))
        return false;
    frames_seen(m);
    if (m->frames.free_count % TELL_EVERY == 0)
        memory_tell_free(m);
    return true;
}

void memory_kernel_step(struct memory *m)
{
    uint32_t wanted = m->kernel_most ? (uint32_t)rng_below(&m->rng, m->kernel_most + 1) : 0;

    while (m->kernel_count < wanted &&
           place_take(&m->frames, 0, &m->kernel_frames[m->kernel_count])) {
        m->kernel_count++;
        frames_seen(m);
    }
    while (m->kernel_count > wanted)
        place_give(&m->frames, m->kernel_frames[--m->kernel_count]);
}

static void state_set(struct memory_vm *vm, uint32_t page, enum memory_page_state state)
{
    vm->count[vm->pages[page].state]--;
    vm->pages[page].state = (uint8_t)state;
    vm->count[state]++;
}

/* What a place holds is what the page should have; else the guest would see wrong data. */
static void check(struct memory_vm *vm, uint32_t page, uint64_t content)
{
    vm->now.wrong += content != content_of(vm, page);
}

/* Adds (or takes off) each sharer's part of a common frame. */
static void parts_add(struct memory *m, uint32_t page, int sign)
{
    for (uint32_t i = 0; m->common_refs[page] && i < m->vm_count; i++) {
        struct memory_vm *vm = &m->vms[i];

        if (page < vm->size && vm->pages[page].state == PAGE_SHARED)
            vm->shared_parts += sign * (int64_t)(PART_ONE / m->common_refs[page]);
    }
}

static void common_leave(struct memory *m, struct memory_vm *vm, uint32_t page)
{
    parts_add(m, page, -1);
    state_set(vm, page, PAGE_NONE);
    if (--m->common_refs[page] == 0) {
        place_give(&m->frames, m->common_frame[page]);
        m->common_used--;
    }
    parts_add(m, page, 1);
}

static uint32_t sum_of(uint64_t content)
{
    return (uint32_t)(mix(3, content) >> 16);
}

static bool is_read(const struct memory *m, struct memory_vm *vm)
{
    unsigned tries = 0;

    while (tries < READ_TRIES && rng_below(&vm->rng, 100) < m->swap_errors)
        tries++;
    return tries < READ_TRIES;
}

/* The page is in a frame of its own afterwards. */
static bool bring(struct memory *m, struct memory_vm *vm, uint32_t page)
{
    struct memory_page *p = &vm->pages[page];
    struct memory_store *from = p->state == PAGE_COMPRESSED ? &m->cache : &m->swap;
    uint32_t frame;
    uint64_t content;

    switch (p->state) {
    case PAGE_HERE: return true;
    case PAGE_NONE:
        p->common = page % 100 < vm->share_percent;
        p->version++;
        if (!frame_take(m, vm, content_of(vm, page), &frame))
            return false;
        break;
    case PAGE_SHARED:
        content = m->frames.content[m->common_frame[page]];
        if (!frame_take(m, vm, content, &frame))
            return false;
        common_leave(m, vm, page);
        break;
    case PAGE_COMPRESSED:
    case PAGE_SWAPPED:
        content = from->content[p->where];
        // Looked at before it is mapped: what cannot be read, or is another, no guest ever
        // sees.
        if (p->state == PAGE_SWAPPED && (!is_read(m, vm) || p->sum != sum_of(content))) {
            vm->now.lost++;
            return false;
        }
        if (!frame_take(m, vm, content, &frame))
            return false;
        place_give(from, p->where);
        vm->now.faults++;
        break;
    default: return false;
    }
    p->where = frame;
    state_set(vm, page, PAGE_HERE);
    return true;
}

bool memory_access(struct memory *m, struct memory_vm *vm, uint32_t page, bool write)
{
    struct memory_page *p = &vm->pages[page];

    if (p->state == PAGE_SHARED && !write) {
        check(vm, page, m->frames.content[m->common_frame[page]]);
    } else {
        if (!bring(m, vm, page))
            return false;
        check(vm, page, m->frames.content[p->where]);
    }
    p->touched = m->second + 1;
    if (write) {
        p->common = false;
        p->version++;
        m->frames.content[p->where] = content_of(vm, page);
    }
    return true;
}

/* What the page has is nobody's any more. */
static void let_go(struct memory *m, struct memory_vm *vm, uint32_t page)
{
    struct memory_page *p = &vm->pages[page];

    switch (p->state) {
    case PAGE_HERE: place_give(&m->frames, p->where); break;
    case PAGE_SHARED: common_leave(m, vm, page); break;
    case PAGE_COMPRESSED: place_give(&m->cache, p->where); break;
    case PAGE_SWAPPED: place_give(&m->swap, p->where); break;
    default: break;
    }
}

/* The guest gives what it can do without: the content is gone, and it knows. */
bool memory_take_balloon(struct memory *m, struct memory_vm *vm, uint32_t page)
{
    if (vm->pages[page].state == PAGE_BALLOONED)
        return false;
    let_go(m, vm, page);
    state_set(vm, page, PAGE_BALLOONED);
    return true;
}

void memory_vm_drop(struct memory *m, struct memory_vm *vm)
{
    for (uint32_t i = 0; i < vm->size; i++) {
        let_go(m, vm, i);
        state_set(vm, i, PAGE_NONE);
    }
}

bool memory_audit(const struct memory *m)
{
    uint64_t here = m->kernel_count + m->common_used, compressed = 0, swapped = 0;

    for (uint32_t i = 0; i < m->vm_count; i++) {
        here += m->vms[i].count[PAGE_HERE];
        compressed += m->vms[i].count[PAGE_COMPRESSED];
        swapped += m->vms[i].count[PAGE_SWAPPED];
    }
    return here == m->frames.room - m->frames.free_count &&
           compressed == m->cache.room - m->cache.free_count &&
           swapped == m->swap.room - m->swap.free_count;
}

void memory_return(struct memory *m, struct memory_vm *vm, uint32_t page)
{
    (void)m;
    if (vm->pages[page].state == PAGE_BALLOONED)
        state_set(vm, page, PAGE_NONE);
}

/* Half of all pages compress to less than half. */
bool memory_take_out(struct memory *m, struct memory_vm *vm, uint32_t page)
{
    struct memory_page *p = &vm->pages[page];
    uint64_t content;
    uint32_t where;
    bool compress;

    if (p->state != PAGE_HERE)
        return false;
    content = m->frames.content[p->where];
    compress =
        content & 1 && vm->count[PAGE_COMPRESSED] < (uint64_t)vm->size * CACHE_PERCENT / 100;
    if (!compress && (m->swap_full || rng_below(&vm->rng, 100) < m->swap_errors))
        return false;
    if (!place_take(compress ? &m->cache : &m->swap, content, &where))
        return false;
    p->sum = sum_of(content);
    if (!compress && m->swap_rot && rng_below(&vm->rng, 1000000) < m->swap_rot)
        m->swap.content[where] ^= 1;
    place_give(&m->frames, p->where);
    p->where = where;
    state_set(vm, page, compress ? PAGE_COMPRESSED : PAGE_SWAPPED);
    return true;
}

bool memory_share(struct memory *m, struct memory_vm *vm, uint32_t page)
{
    struct memory_page *p = &vm->pages[page];
    uint64_t content;

    if (p->state != PAGE_HERE)
        return false;
    content = m->frames.content[p->where];
    if (content != mix(1, page))  // nobody has the same
        return false;
    parts_add(m, page, -1);
    if (m->common_refs[page]++ == 0) {
        m->common_frame[page] = p->where;
        m->common_used++;
    } else {
        place_give(&m->frames, p->where);
    }
    state_set(vm, page, PAGE_SHARED);
    parts_add(m, page, 1);
    return true;
}

uint32_t memory_saved(const struct memory_vm *vm)
{
    uint64_t parts = (uint64_t)vm->shared_parts / PART_ONE;

    return vm->count[PAGE_SHARED] - (uint32_t)MIN(parts, vm->count[PAGE_SHARED]);
}
