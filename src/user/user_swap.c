// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/user_swap.c -- the world that swaps user worlds, and their waiting for memory.
 *
 * When free memory is low, one world takes pages that were not used lately away from processes
 * and writes them, a cluster at a time, to a file on a datastore or to a device; who touches
 * one waits until it is read. VMs come first: as long as there are some that can be swapped,
 * user worlds lose pages only at the floor. Without VMs it begins at the level hard and ends at
 * soft, or near the bound of all user worlds (user_state.host_pages).
 *
 * A user world that wants a page at the floor waits here until the VMs or this world have made
 * room. It takes from the reserve below the floor only if it is to end, or if nobody can make
 * room; what the VMkernel itself takes never waits. Waits for memory have an end (PATIENCE):
 * behind it is the killing for want of memory.
 *
 * The file is made when it is needed first, and has all its blocks then.
 *
 * Errors. A page that cannot be written stays; after several in a row nothing goes out for a
 * while. A page that cannot be read back, or is not what was written, is an error of the
 * process that touches it (SIGBUS, or EFAULT of a system call), and of nobody else.
 *
 * Invariants
 *   - refs[slot] is the number of entries of address spaces that name the slot, and of readers;
 *     0: it is free.
 *   - Only the world reads and writes the store, so no slot is written while it is read.
 * Locking    slots_lock (rank SLOTS) for the slots and counters; waiters.lock for requests;
 *            config (sleeping) for who changes the place. No spin lock is held during I/O.
 * Start at   swap_main(), batch(), wait_for_memory().
 * Sources    docs/design/memory.md
 */
#include "user/user_swap.h"

#include "core/assert.h"
#include "core/log.h"
#include "core/trace.h"
#include "fs/vmfs/datastore.h"
#include "io/storage.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/memsched.h"
#include "mem/page.h"
#include "user/user_swap_internal.h"
#include "vmm/swap_place.h"
#include "vmm/swap_store.h"
#include "vmm/vmm_mem.h"

#define PATIENCE      30000000000ull  // ns that a page is waited for
#define STEP          10000000ull     // ns between two looks of who waits
#define REST          100000000ull    // ns of the world when nothing could be taken
#define RETRY         10000000000ull  // ns after errors, or when the place could not be opened
#define FILE_MOST     (1ull << 30)
#define FILE_PART     4u     // of what is available there, at most
#define FILE_TIMES    2u     // the host's memory, at most
#define LOOKS         1024u  // entries for a cluster
#define ERRORS_IN_ROW 4u
#define READ_TRIES    3u
#define FRUITLESS     4u  // times nothing could be taken until nobody waits for it
#define BOUNCE_ORDER  3u
#define REFS_MAX      UINT16_MAX

_Static_assert(SWAP_RUN_MAX == 1u << BOUNCE_ORDER, "a cluster fits");

/* On the stack of who waits. */
struct request {
    struct list link;
    uint32_t slot;
    void *page;
    bool done;
    vmk_status status;
};

/* ---- slots ---- */

static bool slot_share(uint32_t slot)
{
    struct user_swap *s = user_swap_state();
    bool irqs = spin_lock(&s->slots_lock);
    bool ok = s->refs[slot] < REFS_MAX;

    if (ok)
        s->refs[slot]++;
    spin_unlock(&s->slots_lock, irqs);
    return ok;
}

static void slot_put(uint32_t slot)
{
    struct user_swap *s = user_swap_state();
    bool irqs = spin_lock(&s->slots_lock);

    vmk_assert(s->refs[slot] > 0);
    if (--s->refs[slot] == 0 && s->store.used)
        swap_slot_free(&s->store, slot);
    spin_unlock(&s->slots_lock, irqs);
}

/* ---- is there enough ---- */

static uint64_t floor_of(const struct user_swap *s)
{
    const uint64_t floor = vmm_mem_floor();

    return floor ? floor : s->floor_alone;
}

/* Have user worlds more than that part of what they may have together? */
static bool is_above(unsigned sixteenths)
{
    const uint64_t most = user_state()->host_pages;

    return most && page_owned_count(MEM_OWNER_USER) >= most / 16 * sixteenths;
}

void user_swap_tell(struct user_swap *s, bool *flag)
{
    if (!__atomic_exchange_n(flag, true, __ATOMIC_SEQ_CST))
        wait_queue_wake(&s->work, WAIT_QUEUE_ALL);
}

bool user_swap_is_short(void)
{
    struct user_swap *s = user_swap_state();

    if (!s)
        return false;

    const uint64_t free = page_free_count(), floor = floor_of(s);
    const bool usable = __atomic_load_n(&s->usable, __ATOMIC_RELAXED);

    if (s->world.raw && (free < 2 * floor || is_above(15)))
        user_swap_tell(s, &s->kicked);
    return free < floor || (usable && is_above(16));
}

/* ---- who waits ---- */

/*
 * Is this thread told to end? Looked at between the steps of a wait, which other signals do not
 * end.
 */
static bool is_ending(void)
{
    const struct thread *t = thread_current();

    return world_kill_pending() ||
           (t &&
            ((LOAD(t->work) & THREAD_WORK_EXIT) ||
             ((LOAD(t->pending.set) | LOAD(t->process->pending.set)) & SIGNAL_BIT(L_SIGKILL))));
}

static void waited(struct user_swap *s, plat_ns since)
{
    bool irqs = spin_lock(&s->slots_lock);

    s->waits++;
    s->wait_ns += plat_time_now() - since;
    spin_unlock(&s->slots_lock, irqs);
}

static vmk_status wait_for_memory(bool signals)
{
    struct user_swap *s = user_swap_state();
    const plat_ns since = plat_time_now();
    vmk_status status = VMK_OK;

    if (world_current()->id.raw == s->world.raw)
        return VMK_BUSY;
    while (status == VMK_OK && user_swap_is_short()) {
        bool irqs;

        if (is_ending() || (!vmm_mem_can_take(true) && !LOAD(s->usable))) {
            status = VMK_BUSY;
        } else if (plat_time_now() - since > PATIENCE) {
            status = VMK_NO_MEMORY;
        } else {
            user_swap_tell(s, &s->hungry);
            irqs = plat_irq_save();
            spin_lock_irqs_off(&s->waiters.lock);
            world_waits_for(SCHED_STATE_WAIT_SWAP);
            status = wait_queue_block_as(&s->waiters, plat_time_now() + STEP,
                                         signals ? WAIT_SIGNALS : WAIT_KILLABLE);
            plat_irq_restore(irqs);
            status = status == VMK_TIMEOUT ? VMK_OK : status == VMK_KILLED ? VMK_BUSY : status;
        }
    }
    if (plat_time_now() != since)
        waited(s, since);
    return status;
}

static vmk_status read_again(struct user_swap *s, uint32_t slot, void *page)
{
    vmk_status status = VMK_IO_ERROR;

    for (unsigned i = 0; i < READ_TRIES && status != VMK_OK; i++)
        status = swap_store_read(&s->store, slot, page);
    return status;
}

static vmk_status request_wait(struct user_swap *s, struct request *r)
{
    vmk_status status = VMK_OK;
    bool irqs = spin_lock(&s->waiters.lock);

    list_add_tail(&s->wanted, &r->link);
    spin_unlock(&s->waiters.lock, irqs);
    user_swap_tell(s, &s->asked);
    irqs = plat_irq_save();
    for (;;) {
        spin_lock_irqs_off(&s->waiters.lock);
        if (r->done || status == VMK_KILLED || LOAD(s->stop) || is_ending())
            break;
        world_waits_for(SCHED_STATE_WAIT_SWAP);
        status = wait_queue_block(&s->waiters, plat_time_now() + REST);
    }
    status = r->done ? r->status : LOAD(s->stop) ? VMK_IO_ERROR : VMK_KILLED;
    if (!r->done)
        list_remove(&r->link);
    spin_unlock(&s->waiters.lock, irqs);
    return status;
}

static vmk_status slot_read(uint32_t slot, void *page)
{
    struct user_swap *s = user_swap_state();
    const plat_ns since = plat_time_now();
    struct request r = {.slot = slot, .page = page};
    vmk_status status;

    if (world_current()->id.raw == s->world.raw)
        status = read_again(s, slot, page);
    else
        status = request_wait(s, &r);
    waited(s, since);
    if (status == VMK_OK) {
        bool irqs = spin_lock(&s->slots_lock);

        s->in++;
        spin_unlock(&s->slots_lock, irqs);
        TRACE(swap_in, .slot = slot,
              .latency_us = (uint32_t)((plat_time_now() - since) / 1000));
    } else if (status != VMK_KILLED) {
        const struct thread *t = thread_current();

        vmk_log(VMK_LOG_ERROR,
                "User: a page of %s (%u) cannot be brought back from %s: %s; what touches it "
                "fails",
                t ? t->process->name : "?", t ? t->process->pid : 0, s->store.name,
                vmk_status_text(status));
    }
    return status;
}

/* ---- the world: pages in ---- */

/* Reads what is wanted, the one that waits longest first. */
static void serve(struct user_swap *s)
{
    STORE(s->asked, false);
    for (;;) {
        bool irqs = spin_lock(&s->waiters.lock);
        bool any = !list_is_empty(&s->wanted);
        uint32_t slot = any ? list_entry(s->wanted.next, struct request, link)->slot : 0;
        vmk_status status;

        spin_unlock(&s->waiters.lock, irqs);
        if (!any)
            return;
        status = read_again(s, slot, s->incoming);
        irqs = spin_lock(&s->waiters.lock);
        list_for_each_safe (node, after, &s->wanted) {
            struct request *r = list_entry(node, struct request, link);

            if (r->slot != slot)
                continue;
            list_remove(&r->link);
            if (status == VMK_OK)
                memcpy(r->page, s->incoming, PAGE_SIZE);
            r->status = status;
            r->done = true;
        }
        spin_unlock(&s->waiters.lock, irqs);
        wait_queue_wake(&s->waiters, WAIT_QUEUE_ALL);
    }
}

/* ---- the world: pages out ---- */

/* Writes `count` victims of one space to neighbouring slots. How many went. */
static unsigned write_out(struct user_swap *s, struct aspace *as,
                          const struct aspace_victim *victims, unsigned count)
{
    const plat_ns since = plat_time_now();
    unsigned gone = 0, got, i;
    vmk_status status;
    uint32_t first = 0;
    bool irqs;

    for (i = 0; i < count; i++)
        memcpy((char *)s->bounce + i * PAGE_SIZE, mpn_map(victims[i].mpn), PAGE_SIZE);
    irqs = spin_lock(&s->slots_lock);
    got = swap_slot_take(&s->store, count, &first);
    for (i = 0; i < got; i++)
        s->refs[first + i] = 1;
    spin_unlock(&s->slots_lock, irqs);
    status = got ? swap_store_write(&s->store, first, got, s->bounce) : VMK_NO_SPACE;
    for (i = 0; i < count; i++) {
        if (i < got && status == VMK_OK && aspace_victim_done(as, &victims[i], first + i)) {
            gone++;
            TRACE(swap_out, .ppn = (uint32_t)(victims[i].va >> PAGE_SHIFT), .slot = first + i,
                  .latency_us = (uint32_t)((plat_time_now() - since) / 1000));
            continue;
        }
        aspace_victim_keep(as, &victims[i]);
        if (i < got)
            slot_put(first + i);
    }
    irqs = spin_lock(&s->slots_lock);
    s->out += gone;
    s->stayed += count - gone;
    s->errors += got && status != VMK_OK;
    spin_unlock(&s->slots_lock, irqs);
    s->errors_in_row = status == VMK_OK ? 0 : s->errors_in_row + (got != 0);
    return gone;
}

/*
 * The space at the hand, referenced; null: the hand is behind the last process, and begins
 * anew.
 */
static struct user_mm *mm_at_hand(struct user_swap *s)
{
    uint32_t pid = s->pid ? s->pid - 1 : 0;
    struct user_mm *mm = mm_after(&pid);

    if (!mm || pid != s->pid)
        s->va = 0;
    s->pid = mm ? pid : 0;
    return mm;
}

/*
 * Takes a cluster from the next process that has pages to give. 0: nobody has, after two turns
 * of the hand.
 */
static unsigned batch(struct user_swap *s)
{
    unsigned turns = 0, gone = 0;

    while (turns <= 2 && !gone && !LOAD(s->stop) && s->errors_in_row < ERRORS_IN_ROW) {
        struct aspace_victim victims[SWAP_RUN_MAX];
        struct user_mm *mm = mm_at_hand(s);
        unsigned count;

        serve(s);
        if (!mm) {
            turns++;
            continue;
        }
        count = aspace_victims_take(mm->as, &s->va, LOOKS, victims, SWAP_RUN_MAX);
        if (!s->va)
            s->pid++;
        if (count)
            gone = write_out(s, mm->as, victims, count);
        mm_put(mm);
        if (count && s->store.used_count == s->store.slots)
            break;
    }
    return gone;
}

/* Must pages go? */
static bool is_needed(struct user_swap *s)
{
    const uint64_t free = page_free_count(), floor = floor_of(s);
    const bool vms = vmm_mem_can_take(false);

    if (s->active)
        s->active = free < (vms ? floor + floor / 8 : 4 * floor) || is_above(14);
    else
        s->active = free < (vms ? floor : 2 * floor) || is_above(15);
    return s->active;
}

/* ---- the place ---- */

static vmk_status open_file(struct user_swap *s, const char *name)
{
    uint64_t size, available;
    struct datastore d;
    char path[160], host[sizeof(user_state()->hostname)];

    if (!datastore_find(name, &d))
        return VMK_NOT_FOUND;
    size = MIN(FILE_MOST, page_total_count() * PAGE_SIZE * FILE_TIMES);
    size = MIN(size, d.free / FILE_PART);
    if (!size)
        return VMK_NOT_FOUND;
    memcpy(host, user_state()->hostname, sizeof(host));
    for (char *at = host; *at; at++) {
        if (*at == '/')
            *at = '_';
    }
    vmk_snprintf(path, sizeof(path), "%s/.userworlds-%s.vswp", d.path, host);
    return swap_store_open_file(&s->store, path, size / PAGE_SIZE, size / PAGE_SIZE,
                                &available);
}

static vmk_status open_device(struct user_swap *s, const char *name)
{
    vmk_status status = storage_open(name, &s->device);
    uint64_t slots;

    if (status != VMK_OK) {
        s->device = NULL;
        return status;
    }
    if (swap_place_uses(s->device->name)) {
        vmk_log(VMK_LOG_WARN, "User: %s is what mem.swap.space= gives the VMs",
                s->device->name);
        return VMK_BUSY;
    }
    slots = MIN(s->device->size, FILE_MOST) / PAGE_SIZE;
    return swap_store_open_block(&s->store, s->device, 0, slots, slots);
}

/*
 * Pages that are still out are lost; their slots' references stay for the entries that name
 * them.
 */
static void close_place(struct user_swap *s)
{
    struct swap_store store;
    bool irqs = spin_lock(&s->slots_lock);
    uint16_t *refs = s->store.used_count ? NULL : s->refs;

    store = s->store;
    s->store = (struct swap_store){0};
    if (refs)
        s->refs = NULL;
    spin_unlock(&s->slots_lock, irqs);
    if (store.name[0])
        swap_store_close(&store);
    if (s->device)
        storage_close(s->device);
    s->device = NULL;
    heap_free(refs);
}

static bool open_place(struct user_swap *s)
{
    vmk_status status = strncmp(s->place, "host:", 5) == 0 ? open_device(s, s->place + 5)
                                                           : open_file(s, s->place + 10);

    if (status == VMK_OK) {
        s->refs = heap_alloc(s->store.slots * sizeof(*s->refs), MEM_OWNER_USER);
        status = s->refs ? VMK_OK : VMK_NO_MEMORY;
    }
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_WARN,
                "User: no swap space in %s: %s; name another by mem.user-swap or esxcli sched "
                "swap system set",
                s->place, vmk_status_text(status));
        close_place(s);
        return false;
    }
    vmk_log(VMK_LOG_INFO, "User: memory is short: pages of user worlds go to %s, %u MB",
            s->store.name, s->store.slots / 256);
    return true;
}

/* Everything comes back, as far as it can. */
static void bring_all_back(struct user_swap *s)
{
    uint32_t pid = 0;
    struct user_mm *mm;

    while ((mm = mm_after(&pid))) {
        serve(s);
        if (aspace_bring_back(mm->as, ASPACE_LOWEST, ASPACE_END - ASPACE_LOWEST) != VMK_OK)
            vmk_log(VMK_LOG_WARN, "User: process %u has pages that do not come back", pid);
        mm_put(mm);
    }
}

/* ---- the world ---- */

/* Blocks until there is something to do. */
static void wait_for_work(struct user_swap *s)
{
    bool irqs = plat_irq_save();

    for (;;) {
        bool due = plat_time_now() >= s->idle_until, more;

        spin_lock_irqs_off(&s->work.lock);
        more = LOAD(s->hungry) || LOAD(s->kicked) || s->active;
        if (LOAD(s->stop) || LOAD(s->moving) || LOAD(s->asked) || (due && more))
            break;
        (void)!wait_queue_block_as(&s->work, more ? s->idle_until : PLAT_NS_NEVER, WAIT_FIRM);
    }
    spin_unlock(&s->work.lock, irqs);
}

static void take(struct user_swap *s)
{
    const plat_ns now = plat_time_now();
    unsigned gone = 0;

    STORE(s->kicked, false);
    STORE(s->hungry, false);
    if (!s->place[0] || !is_needed(s)) {
        s->active = false;
        return;
    }
    if (!swap_store_is_there(&s->store) && !open_place(s))
        s->idle_until = now + RETRY;
    else
        gone = batch(s);
    s->fruitless = gone ? 0 : s->fruitless + 1;
    if (gone) {
        wait_queue_wake(&s->waiters, WAIT_QUEUE_ALL);  // for memory
    } else if (s->errors_in_row >= ERRORS_IN_ROW) {
        vmk_log(VMK_LOG_WARN, "User: %s cannot be written; no page goes there for %u s",
                s->store.name, (unsigned)(RETRY / 1000000000u));
        s->idle_until = now + RETRY;
        s->errors_in_row = 0;
    } else if (s->idle_until <= now) {
        s->idle_until = now + (s->fruitless < FRUITLESS ? STEP : REST);
    }
    if (!gone)
        s->active = false;
    STORE(s->usable, swap_store_is_there(&s->store) && s->fruitless < FRUITLESS);
}

/* To the place in `next`, after all pages came back. */
static void move(struct user_swap *s)
{
    bool irqs;

    STORE(s->usable, false);
    bring_all_back(s);
    s->moved = s->store.used_count ? VMK_BUSY : VMK_OK;
    if (s->moved == VMK_OK) {
        close_place(s);
        irqs = spin_lock(&s->slots_lock);
        memcpy(s->place, s->next, sizeof(s->place));
        spin_unlock(&s->slots_lock, irqs);
        s->idle_until = 0;
    }
    STORE(s->usable, s->place[0] != 0);
    STORE(s->moving, false);
    wait_queue_wake(&s->waiters, WAIT_QUEUE_ALL);
}

static void swap_main(void *argument)
{
    struct user_swap *s = argument;

    plat_irq_restore(true);
    while (!LOAD(s->stop)) {
        wait_for_work(s);
        serve(s);
        if (LOAD(s->moving))
            move(s);
        else if (!LOAD(s->stop) && plat_time_now() >= s->idle_until)
            take(s);
    }
    serve(s);
    close_place(s);
    world_exit(0);
}

void user_swap_pager_set(void)
{
    static const struct aspace_pager pager = {.is_short = user_swap_is_short,
                                              .wait = wait_for_memory,
                                              .slot_share = slot_share,
                                              .slot_put = slot_put,
                                              .slot_read = slot_read};

    aspace_pager_set(&pager);
}

vmk_status user_swap_start(struct user_swap *s)
{
    const struct world_params params = {.name = "userswap", .entry = swap_main, .argument = s};
    mpn_t bounce, incoming;
    vmk_status status;

    if (s->world.raw)
        return VMK_OK;
    if (LOAD(s->stop))
        return VMK_KILLED;
    status = page_alloc(BOUNCE_ORDER, MEM_OWNER_USER, &bounce);
    if (status != VMK_OK)
        return status;
    status = page_alloc(0, MEM_OWNER_USER, &incoming);
    if (status == VMK_OK) {
        s->bounce = mpn_map(bounce);
        s->incoming = mpn_map(incoming);
        status = world_create(&params, &s->world);
        if (status == VMK_OK)
            return VMK_OK;
        page_free(incoming, 0, MEM_OWNER_USER);
    }
    page_free(bounce, BOUNCE_ORDER, MEM_OWNER_USER);
    return status;
}
