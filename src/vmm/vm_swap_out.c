// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_swap_out.c -- the way out: victims, the grace period, the cache, clusters of the store.
 *
 * A batch is unmapped (LEAVING), all vCPUs are flushed, and what nobody touched until then is
 * packed or written. Each page is looked at again, under the lock, before its memory is freed:
 * one that was touched meanwhile is mapped and its copy thrown away.
 *
 * Invariants, locking, sources: vmm/vm_swap.c.
 * Start at   swap_reclaim().
 */
#include "lib/string.h"
#include "vmm/vm_large.h"
#include "vmm/vm_swap_internal.h"

#define ERRORS_MAX 4u              // writes that fail in a row
#define GRACE_STEP 50000ull        // ns
#define FULL_STEP  10000000000ull  // until a full store is tried again

/* ---- pages, VM's lock held ---- */

/* It is elsewhere now; what it was in can go. */
static void away(struct vm_swap *s, const struct outgoing *o, enum p2m_state to, uint32_t value)
{
    p2m_set_away(&s->vm->p2m, o->index, to, value);
    vm_swap_least_locked(s->vm);
    if (o->from == P2M_COMPRESSED) {
        zip_cache_drop(&s->zip, o->value);
        return;
    }
    page_free(mpn_make(o->value), 0, MEM_OWNER_GUEST);
    hdr_add(&s->latency[VM_SWAP_FREED], plat_time_now() - s->since);
}

/* A page that does not go after all. */
static void stay(struct vm_swap *s, uint64_t index)
{
    struct vm *vm = s->vm;
    const struct p2m_page page = p2m_get(&vm->p2m, index);
    mpn_t mpn = mpn_make(page.value);

    // Its tables are still there, so mapping takes no memory.
    if (page.state == P2M_LEAVING &&
        nested_map(&vm->nested, ppn_to_gpa(vm_ppn_of(vm, index)), mpn, true, false) == VMK_OK)
        p2m_set(&vm->p2m, index, P2M_PRESENT, mpn);
}

/* ---- out ---- */

static bool may_write(struct vm_swap *s)
{
    if (s->full && plat_time_now() >= s->full_until)
        s->full = false;
    return swap_store_is_there(&s->store) && !s->given_up && !s->full;
}

static void write_failed(struct vm_swap *s, vmk_status status)
{
    s->errors_in_row++;
    if (status == VMK_NO_SPACE || status == VMK_OVER_QUOTA) {
        s->full = true;
        s->full_until = plat_time_now() + FULL_STEP;
        vmk_log(VMK_LOG_WARN,
                "Mem: %s: its swap store %s is full: no more pages are taken from it for now; "
                "make room there",
                s->vm->config.name, s->store.name);
    } else if (s->errors_in_row >= ERRORS_MAX) {
        s->given_up = true;
        vmk_log(
            VMK_LOG_ERROR,
            "Mem: %s: its swap store %s cannot be written: %s: no more pages are taken from "
            "it; look after the device, then power the VM off and on",
            s->vm->config.name, s->store.name, vmk_status_text(status));
    }
}

/* The outcome of one write. Returns how many pages are out now. */
static unsigned run_end(struct vm_swap *s, const struct outgoing *out, unsigned count,
                        uint32_t first, vmk_status status, plat_ns since)
{
    bool space = status == VMK_NO_SPACE || status == VMK_OVER_QUOTA;
    bool irqs = spin_lock(&s->vm->lock);
    unsigned done = 0;

    for (unsigned i = 0; i < count; i++) {
        const struct outgoing *o = &out[i];

        if (status == VMK_OK && swap_is_still(s, o->index, o->from, o->value)) {
            away(s, o, P2M_SWAPPED, first + i);
            done++;
            s->counters.swapped_out++;
            s->counters.evicted += o->from == P2M_COMPRESSED;
            TRACE(swap_out, .vm = s->vm->sched_group,
                  .ppn = (uint32_t)vm_ppn_of(s->vm, o->index).raw, .slot = first + i,
                  .latency_us = (uint32_t)((plat_time_now() - since) / 1000));
        } else if (status == VMK_OK || space) {
            swap_slot_free(&s->store, first + i);
            s->counters.stayed += status == VMK_OK;
        } else {
            swap_slot_bad(&s->store, first + i);
        }
    }
    s->counters.errors += status != VMK_OK;
    spin_unlock(&s->vm->lock, irqs);
    return done;
}

/* Writes the cluster. What could not be written is where it was. */
static unsigned cluster_write(struct vm_swap *s)
{
    unsigned at = 0, done = 0;

    while (at < s->out_count && may_write(s)) {
        plat_ns since = plat_time_now();
        bool irqs = spin_lock(&s->vm->lock);
        uint32_t first = 0, count = swap_slot_take(&s->store, s->out_count - at, &first);
        vmk_status status = VMK_NO_SPACE;

        spin_unlock(&s->vm->lock, irqs);
        if (count) {
            status = swap_store_write(&s->store, first, count,
                                      (const uint8_t *)s->bounce + at * PAGE_SIZE);
            done += run_end(s, &s->out[at], count, first, status, since);
        }
        if (status == VMK_OK)
            s->errors_in_row = 0;
        else
            write_failed(s, status);
        at += count;
    }
    s->out_count = 0;
    return done;
}

/* The oldest pages of the cache go on to the store. */
static unsigned evict(struct vm_swap *s, unsigned *done)
{
    unsigned evicted;
    uint32_t handle;
    bool irqs;

    *done += cluster_write(s);
    if (!may_write(s))
        return 0;
    irqs = spin_lock(&s->vm->lock);
    handle = zip_cache_oldest(&s->zip);
    for (unsigned i = 0; i < SWAP_RUN_MAX && handle; i++) {
        struct outgoing *o = &s->out[s->out_count];
        uint32_t index;
        size_t size;
        const void *packed = zip_cache_data(&s->zip, handle, &size, &index);

        *o = (struct outgoing){.index = index, .from = P2M_COMPRESSED, .value = handle};
        // One that cannot be unpacked stays, and is found lost when the guest wants it.
        if (compressor_unpack(s->compressor, packed, size,
                              (uint8_t *)s->bounce + s->out_count * PAGE_SIZE))
            s->out_count++;
        handle = zip_cache_younger(&s->zip, handle);
    }
    spin_unlock(&s->vm->lock, irqs);
    evicted = cluster_write(s);
    return evicted;
}

/* Into the cache. False: it has no room, or the page did not stay as it was. */
static bool cache_store(struct vm_swap *s, const struct outgoing *o, size_t size, plat_ns since)
{
    bool irqs = spin_lock(&s->vm->lock);
    uint32_t handle = 0;

    if (swap_is_still(s, o->index, o->from, o->value))
        handle = zip_cache_store(&s->zip, (uint32_t)o->index, s->packed, size);
    if (handle) {
        away(s, o, P2M_COMPRESSED, handle);
        s->counters.compressed++;
        TRACE(compress, .vm = s->vm->sched_group,
              .ppn = (uint32_t)vm_ppn_of(s->vm, o->index).raw, .bytes_out = (uint32_t)size,
              .ns = (uint32_t)(plat_time_now() - since));
    }
    spin_unlock(&s->vm->lock, irqs);
    return handle != 0;
}

/* One victim after the grace period. */
static void page_out(struct vm_swap *s, uint64_t index, unsigned *done)
{
    plat_ns since = plat_time_now();
    bool irqs = spin_lock(&s->vm->lock);
    const struct p2m_page page = p2m_get(&s->vm->p2m, index);
    const struct outgoing o = {.index = index, .from = P2M_LEAVING, .value = page.value};
    const void *from;
    size_t size = 0;

    s->counters.stayed += page.state != P2M_LEAVING;
    spin_unlock(&s->vm->lock, irqs);
    if (page.state != P2M_LEAVING)
        return;
    // A page that is touched while we read it is found out by swap_is_still().
    from = mpn_map(mpn_make(page.value));
    if (s->use_cache)
        size = compressor_pack(s->compressor, from, s->packed, sizeof(s->packed));
    if (size && (cache_store(s, &o, size, since) ||
                 (evict(s, done) && cache_store(s, &o, size, since)))) {
        ++*done;
        return;
    }
    if (!may_write(s))
        return;
    memcpy((uint8_t *)s->bounce + s->out_count * PAGE_SIZE, from, PAGE_SIZE);
    s->out[s->out_count++] = o;
    if (s->out_count == SWAP_RUN_MAX)
        *done += cluster_write(s);
}

/* Unmaps up to `count` random pages; their indices are in victims. */
static unsigned pick(struct vm_swap *s, unsigned count, uint64_t *number)
{
    struct vm *vm = s->vm;
    bool irqs = spin_lock(&vm->lock);
    unsigned picked = 0;

    for (unsigned try = 0; try < 16 * count && picked < count; try++) {
        uint64_t index = rng_below(&s->rng, vm->page_count);
        const struct p2m_page page = p2m_get(&vm->p2m, index);

        if (page.state != P2M_PRESENT || vm_page_is_pinned(page) ||
            vm_large_split_locked(vm, index) != VMK_OK ||
            nested_unmap(&vm->nested, ppn_to_gpa(vm_ppn_of(vm, index))) != VMK_OK)
            continue;
        p2m_set(&vm->p2m, index, P2M_LEAVING, mpn_make(page.value));
        s->victims[picked++] = index;
    }
    if (picked)
        vm_flush_locked(vm);
    *number = vm->flush_number;
    spin_unlock(&vm->lock, irqs);
    return picked;
}

/* False: the VM ends. */
static bool grace(struct vm_swap *s, uint64_t number)
{
    while (!vm_flush_is_seen(s->vm, number)) {
        if (!swap_is_on(s) || world_sleep_until(plat_time_now() + GRACE_STEP) == VMK_KILLED)
            return false;
        (void)swap_serve(s, false);
    }
    return swap_is_on(s);
}

/* Takes up to `count` pages from the guest; how many went. */
unsigned swap_reclaim(struct vm_swap *s, unsigned count)
{
    unsigned done = 0, picked;
    uint64_t number;
    bool irqs;

    if (!swap_is_on(s) || (!s->use_cache && !may_write(s)))
        return 0;
    irqs = spin_lock(&s->queue.lock);
    s->since = s->asked ? s->asked : plat_time_now();
    s->asked = 0;
    spin_unlock(&s->queue.lock, irqs);
    picked = pick(s, MIN(count, SWAP_BATCH), &number);
    if (picked && grace(s, number)) {
        for (unsigned i = 0; i < picked; i++) {
            if (swap_is_wanted(s))
                (void)swap_serve(s, false);
            page_out(s, s->victims[i], &done);
        }
        done += cluster_write(s);
    }
    irqs = spin_lock(&s->vm->lock);
    for (unsigned i = 0; i < picked; i++)
        stay(s, s->victims[i]);
    spin_unlock(&s->vm->lock, irqs);
    return done;
}
