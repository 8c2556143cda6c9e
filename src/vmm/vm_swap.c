// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_swap.c -- one world per VM that takes pages out of its memory and brings them back.
 *
 * Out: some random pages are unmapped (LEAVING) and all vCPUs flushed. What nobody touched
 * until then has contents that can no longer change: it is packed into the compression cache if
 * it gets half as small, else written to the swap store, a cluster at a time. A page that is
 * touched on the way is mapped again and stays, so a guest never waits for a page that is
 * going. When the cache is full its oldest pages go on to the store.
 *
 * In: who touches a SWAPPED page leaves a request and blocks (booked as SWPWT). The world
 * serves requests before everything else, also between two steps of a batch. A COMPRESSED page
 * is unpacked on the spot. Because one world reads and writes the store, no slot is written
 * while it is read.
 *
 * Who gives. Above its target a VM gives as the policy says. When it must wait for memory, it
 * gives a page of its own for each that it wants, unless it has less than is due to it: then
 * the others give, and only if it got nothing for a while does it help itself.
 *
 * Victims are random, so that no guest's own replacement falls into step with ours.
 *
 *     target ─► pick, unmap ─► flush, grace ─► pack ─► cache ──full: oldest──┐
 *                  │ touched                    └─ does not pack ─► cluster ─┴► store
 *                  └──► PRESENT again
 *
 * Errors. A write that fails costs nothing: the page is still there. After several in a row, or
 * when the store is full, no more pages go out, and a VM above its share waits at level low. A
 * page that cannot be read back, or is not what was written, stops the VM with an error.
 *
 * Invariants
 *   - Whoever frees a machine page, a slot or a place in the cache changed the P2M's entry
 *     before, with the VM's lock held, from exactly what it looked at when it began.
 *   - No page is freed before its copy elsewhere is complete.
 *   - LEAVING pages are those of the batch this world works at.
 * Locking    the VM's lock for the P2M, the cache, slots and counters; queue.lock (rank WAITQ)
 *            for requests. Nothing is held during I/O or packing.
 * Start at   swap_main(), swap_reclaim(), bring_in().
 * Sources    [WALDSPURGER02] sections 2 and 6; docs/design/memory.md
 */
#include "vmm/vm_swap.h"

#include "core/core.h"
#include "lib/format.h"
#include "vmm/vm_swap_internal.h"
#include "vmm/vmm_mem.h"

#define FORCED            8u   // taken for a page that must come in when there is no memory
#define CACHE_PERCENT     10u  // [ESX] Mem.MemZipMaxPct
#define CACHE_PERCENT_MAX 50u
#define READ_TRIES        3u
#define SHORT_STEP        10000000ull   // ns between two looks of who waits for memory
#define FRUITLESS_STEP    100000000ull  // after a batch that took nothing
// Without a page of the others, until: targets are made anew, it gives its own, it asks again.
#define OTHERS_LOOK       50000000ull
#define OTHERS_PATIENCE   500000000ull
#define OTHERS_AGAIN      5000000000ull

/* On the stack of who waits. */
struct request {
    struct list link;
    uint64_t index;
    bool done;
    vmk_status status;
};

/* ---- life ---- */

vmk_status vm_swap_create(struct vm *vm)
{
    struct vm_swap *s;
    vmk_status status;
    uint64_t percent;
    mpn_t mpn;

    if (!core_option_u64("mem.swap", 1) || !vm->reclaim)
        return VMK_OK;
    s = heap_alloc(sizeof(*s), MEM_OWNER_VMM);
    if (!s)
        return VMK_NO_MEMORY;
    vm->swap = s;
    s->vm = vm;
    wait_queue_init(&s->queue, "vmswap");
    mutex_init(&s->growing, "vmswap");
    list_init(&s->wanted);
    rng_init(&s->rng, plat_entropy(), "swap", vm->index);
    percent = MIN(core_option_u64("mem.compress", CACHE_PERCENT), CACHE_PERCENT_MAX);
    s->use_cache = percent != 0;
    if (s->use_cache) {
        uint64_t limit = MAX(vm->page_count * percent / 100, 1ull);

        status = compressor_create(&s->compressor);
        if (status == VMK_OK)
            status = zip_cache_init(&s->zip, (uint32_t)MIN(limit, UINT32_MAX));
        if (status != VMK_OK)
            return status;
    }
    status = page_alloc(SWAP_BOUNCE_ORDER, MEM_OWNER_VMM, &mpn);
    if (status != VMK_OK)
        return status;
    s->bounce = mpn_map(mpn);
    return swap_place_open(vm, &s->store);
}

void vm_swap_destroy(struct vm *vm)
{
    struct vm_swap *s = vm->swap;

    if (!s)
        return;
    vm_swap_stop(vm);
    swap_place_close(vm, &s->store);
    zip_cache_destroy(&s->zip);
    compressor_destroy(s->compressor);
    if (s->bounce)
        page_free(paddr_to_mpn(plat_unmap_address(s->bounce)), SWAP_BOUNCE_ORDER,
                  MEM_OWNER_VMM);
    heap_free(s);
    vm->swap = NULL;
}

vmk_status vm_swap_reserve(struct vm *vm, uint64_t min)
{
    const uint64_t slots = vm->page_count - MIN(min, vm->page_count);
    struct vm_swap *s = vm->swap;
    vmk_status status;
    bool irqs;

    if (!s || !swap_store_is_there(&s->store))
        return VMK_OK;
    mutex_lock(&s->growing);
    status = swap_place_grow(vm, &s->store, slots);
    irqs = spin_lock(&vm->lock);
    if (status == VMK_OK && slots > s->store.slots)
        s->store.slots = (uint32_t)slots;
    spin_unlock(&vm->lock, irqs);
    mutex_unlock(&s->growing);
    return status;
}

static void swap_main(void *argument);

/* Makes the world when there is something for it to do. A world, nothing locked. */
static void start(struct vm_swap *s)
{
    char name[WORLD_NAME_SIZE];
    struct world_params params = {
        .name = name,
        .entry = swap_main,
        .argument = s,
        .sched = {.pool = s->vm->sched_group},
    };
    bool irqs = spin_lock(&s->queue.lock);
    bool mine = !s->stop && !s->starting && !s->world.raw &&
                (s->use_cache || swap_store_is_there(&s->store));
    world_id id = {0};

    if (mine)
        s->starting = true;
    spin_unlock(&s->queue.lock, irqs);
    if (!mine)
        return;
    vmk_snprintf(name, sizeof(name), "vmswap:%.16s", s->vm->config.name);
    if (world_create(&params, &id) != VMK_OK)
        vmk_log(VMK_LOG_WARN, "Mem: %s: no world to swap yet", s->vm->config.name);
    irqs = spin_lock(&s->queue.lock);
    s->world = id;
    s->starting = false;
    spin_unlock(&s->queue.lock, irqs);
}

void vm_swap_stop(struct vm *vm)
{
    struct vm_swap *s = vm->swap;
    const struct vm_swap_counters *c;
    bool irqs;
    int code;

    if (!s)
        return;
    irqs = spin_lock(&s->queue.lock);
    s->stop = true;
    spin_unlock(&s->queue.lock, irqs);
    while (LOAD(s->starting)) {
        world_yield();
        plat_cpu_relax();
    }
    if (!s->world.raw)
        return;
    vm_swap_kick(vm);
    // A dying caller cannot sleep; the world has nothing to wait for but its I/O.
    while (world_wait(s->world, PLAT_NS_NEVER, &code) == VMK_KILLED)
        world_yield();
    s->world = (world_id){0};
    c = &s->counters;
    if (c->compressed || c->swapped_out)
        vmk_log(
            VMK_LOG_INFO,
            "Mem: %s: %llu pages compressed, %llu back; %llu swapped out (%llu of them from "
            "the cache), %llu in; %llu stayed, %llu errors, %llu us waited",
            vm->config.name, (unsigned long long)c->compressed,
            (unsigned long long)c->decompressed, (unsigned long long)c->swapped_out,
            (unsigned long long)c->evicted, (unsigned long long)c->swapped_in,
            (unsigned long long)c->stayed, (unsigned long long)c->errors,
            (unsigned long long)c->in_wait_ns / 1000);
    for (unsigned i = 0; i < VM_SWAP_LATENCY_COUNT; i++) {
        struct vm_swap_latency l;

        vm_swap_latency_get(vm, (enum vm_swap_latency_kind)i, &l);
        if (l.count)
            vmk_log(VMK_LOG_INFO,
                    "Mem: %s: latency %s: %llu times, p50 %llu p99 %llu max %llu ns",
                    vm->config.name, vm_swap_latency_name((enum vm_swap_latency_kind)i),
                    (unsigned long long)l.count, (unsigned long long)l.p50,
                    (unsigned long long)l.p99, (unsigned long long)l.most);
    }
}

void vm_swap_kick(struct vm *vm)
{
    if (vm->swap)
        wait_queue_wake(&vm->swap->queue, WAIT_QUEUE_ALL);
}

bool vm_swap_can_wait(struct vm *vm)
{
    return vm->swap &&
           (swap_store_is_there(&vm->swap->store) || LOAD(vm->state) == VM_STATE_NEW);
}

bool vm_swap_can_take(struct vm *vm)
{
    return vm->swap && swap_is_on(vm->swap) && swap_store_is_there(&vm->swap->store) &&
           !LOAD(vm->swap->given_up) && !LOAD(vm->swap->full);
}

/* ---- what the policy says and asks ---- */

void vm_swap_target_set(struct vm *vm, uint32_t pages)
{
    struct vm_swap *s = vm->swap;
    uint32_t before;
    bool irqs;

    if (!s)
        return;
    before = __atomic_exchange_n(&s->target, pages, __ATOMIC_SEQ_CST);
    if (before == 0 && pages == 0 && !LOAD(s->short_waits))
        return;
    irqs = spin_lock(&s->queue.lock);
    s->moved = true;
    if (pages > before && !s->asked)
        s->asked = plat_time_now();
    spin_unlock(&s->queue.lock, irqs);
    if (!s->world.raw)
        start(s);
    vm_swap_kick(vm);
}

uint64_t vm_swap_cache_pages(const struct vm *vm)
{
    return vm->swap ? vm->swap->zip.count : 0;
}

uint32_t vm_swap_out_locked(struct vm *vm)
{
    uint64_t out = vm->p2m.count[P2M_COMPRESSED] + vm->p2m.count[P2M_SWAPPED];
    uint64_t cache = vm_swap_cache_pages(vm);

    return (uint32_t)(out > cache ? out - cache : 0);
}

void vm_swap_least_locked(struct vm *vm)
{
    uint64_t held = p2m_granted(&vm->p2m) + vm_swap_cache_pages(vm);

    if (!vm->mem_least || held < vm->mem_least)
        vm->mem_least = held;
}

void vm_swap_counters_get(struct vm *vm, struct vm_swap_counters *out)
{
    *out = (struct vm_swap_counters){0};
    if (vm->swap) {
        bool irqs = spin_lock(&vm->lock);

        *out = vm->swap->counters;
        out->zip_pages = vm->swap->zip.count;
        out->zip_bytes = vm->swap->zip.bytes;
        spin_unlock(&vm->lock, irqs);
    }
}

void vm_swap_latency_get(struct vm *vm, enum vm_swap_latency_kind kind,
                         struct vm_swap_latency *out)
{
    const struct hdr *h;
    bool irqs;

    *out = (struct vm_swap_latency){0};
    if (!vm->swap)
        return;
    h = &vm->swap->latency[kind];
    irqs = spin_lock(&vm->lock);
    *out = (struct vm_swap_latency){.count = h->count,
                                    .p50 = hdr_permille(h, 500),
                                    .p99 = hdr_permille(h, 990),
                                    .most = h->max};
    spin_unlock(&vm->lock, irqs);
}

const char *vm_swap_latency_name(enum vm_swap_latency_kind kind)
{
    static const char *const names[] = {[VM_SWAP_FREED] = "freed",
                                        [VM_SWAP_MEMORY] = "memory-wait",
                                        [VM_SWAP_PAGE] = "page-wait"};

    return names[kind];
}

/* ---- pages, VM's lock held ---- */

void vm_swap_drop_locked(struct vm *vm, struct p2m_page page)
{
    if (page.state == P2M_COMPRESSED)
        zip_cache_drop(&vm->swap->zip, page.value);
    else if (page.state == P2M_SWAPPED)
        swap_slot_free(&vm->swap->store, page.value);
}

static void lost(struct vm *vm, ppn_t ppn, const char *where, vmk_status why)
{
    vmk_log(VMK_LOG_ERROR,
            "Mem: %s: guest page %#llx cannot be brought back from %s: %s; the VM is stopped",
            vm->config.name, (unsigned long long)ppn.raw, where, vmk_status_text(why));
    vm_stop(vm, 1, "a page of its memory is lost");
}

vmk_status vm_swap_in_locked(struct vm *vm, ppn_t ppn, mpn_t *mpn)
{
    struct vm_swap *s = vm->swap;
    uint64_t index = vm_ram_index(vm, ppn);
    const struct p2m_page page = p2m_get(&vm->p2m, index);
    plat_ns since = plat_time_now();
    const void *packed;
    size_t size;
    uint32_t whose;
    vmk_status status;

    if (page.state == P2M_SWAPPED)
        return VMK_AGAIN;
    packed = zip_cache_data(&s->zip, page.value, &size, &whose);
    vmk_assert(whose == index);
    status = page_alloc(0, MEM_OWNER_GUEST, mpn);
    if (status != VMK_OK)
        return status;
    if (!compressor_unpack(s->compressor, packed, size, mpn_map(*mpn))) {
        lost(vm, ppn, "the compression cache", VMK_CORRUPT);
        status = VMK_CORRUPT;
    }
    if (status == VMK_OK)
        status = nested_map(&vm->nested, ppn_to_gpa(ppn), *mpn, true, false);
    if (status != VMK_OK) {
        page_free(*mpn, 0, MEM_OWNER_GUEST);
        return status;
    }
    p2m_set(&vm->p2m, index, P2M_PRESENT, *mpn);
    zip_cache_drop(&s->zip, page.value);
    s->counters.decompressed++;
    TRACE(decompress, .vm = vm->sched_group, .ppn = (uint32_t)ppn.raw,
          .bytes_out = (uint32_t)size, .ns = (uint32_t)(plat_time_now() - since));
    return VMK_OK;
}

/* ---- requests ---- */

bool swap_is_wanted(struct vm_swap *s)
{
    bool irqs = spin_lock(&s->queue.lock);
    bool any = !list_is_empty(&s->wanted);

    spin_unlock(&s->queue.lock, irqs);
    return any;
}

static void answer(struct vm_swap *s, uint64_t index, vmk_status status)
{
    bool irqs = spin_lock(&s->queue.lock);

    list_for_each_safe (node, after, &s->wanted) {
        struct request *r = list_entry(node, struct request, link);

        if (r->index == index) {
            list_remove(&r->link);
            r->status = status;
            r->done = true;
        }
    }
    spin_unlock(&s->queue.lock, irqs);
    wait_queue_wake(&s->queue, WAIT_QUEUE_ALL);
}

static vmk_status read_again(struct vm_swap *s, uint32_t slot, void *page)
{
    vmk_status status = VMK_IO_ERROR;

    for (unsigned i = 0; i < READ_TRIES && status != VMK_OK; i++)
        status = swap_store_read(&s->store, slot, page);
    return status;
}

/* NO_MEMORY: not now. IO_ERROR: lost, and the VM stops. */
static vmk_status bring_in(struct vm_swap *s, uint64_t index)
{
    struct vm *vm = s->vm;
    ppn_t ppn = vm_ppn_of(vm, index);
    plat_ns since = plat_time_now();
    bool irqs = spin_lock(&vm->lock);
    const struct p2m_page page = p2m_get(&vm->p2m, index);
    vmk_status status;
    mpn_t mpn;

    spin_unlock(&vm->lock, irqs);
    if (page.state != P2M_SWAPPED)
        return VMK_OK;
    if (page_alloc(0, MEM_OWNER_GUEST, &mpn) != VMK_OK)
        return VMK_NO_MEMORY;
    status = read_again(s, page.value, mpn_map(mpn));
    irqs = spin_lock(&vm->lock);
    if (!swap_is_still(s, index, P2M_SWAPPED, page.value)) {
        page_free(mpn, 0, MEM_OWNER_GUEST);  // given away meanwhile
        status = VMK_OK;
    } else if (status != VMK_OK) {
        page_free(mpn, 0, MEM_OWNER_GUEST);
        lost(vm, ppn, s->store.name, status);
        status = VMK_IO_ERROR;
    } else {
        status = nested_map(&vm->nested, ppn_to_gpa(ppn), mpn, true, false);
        if (status == VMK_OK) {
            p2m_set(&vm->p2m, index, P2M_PRESENT, mpn);
            swap_slot_free(&s->store, page.value);
            s->counters.swapped_in++;
            TRACE(swap_in, .vm = vm->sched_group, .ppn = (uint32_t)ppn.raw, .slot = page.value,
                  .latency_us = (uint32_t)((plat_time_now() - since) / 1000));
        } else {
            page_free(mpn, 0, MEM_OWNER_GUEST);
        }
    }
    spin_unlock(&vm->lock, irqs);
    return status;
}

/*
 * Has it less than is due to it, and does it get more from the others? Then it gives none for
 * what it wants.
 */
static bool others_give(struct vm_swap *s)
{
    const struct vm *vm = s->vm;
    const uint64_t held = p2m_granted(&vm->p2m) + vm_swap_cache_pages(vm);
    const plat_ns now = plat_time_now();
    plat_ns waited;
    bool irqs, look;

    if (held >= LOAD(vm->mem_due) || !vmm_mem_may_grow(vm, 1))
        return false;
    irqs = spin_lock(&s->queue.lock);
    if (held > s->wait_held || now - s->wait_since > OTHERS_AGAIN) {
        s->wait_held = held;
        s->wait_since = now;
        s->wait_looked = false;
    }
    waited = now - s->wait_since;
    look = waited >= OTHERS_LOOK && !s->wait_looked;
    s->wait_looked |= look;
    spin_unlock(&s->queue.lock, irqs);
    if (look)
        vmm_mem_hurry();
    return waited < OTHERS_PATIENCE;
}

/* How many pages it gives for one that must come in: no more than its reservation leaves it. */
static unsigned forced_count(struct vm *vm)
{
    uint64_t held = p2m_granted(&vm->p2m) + vm_swap_cache_pages(vm), min = LOAD(vm->mem_min);

    return held > min ? (unsigned)MIN(held - min + 1, (uint64_t)FORCED) : 1;
}

/*
 * All requests there are. `forced`: a VM that may not grow, or a host without memory, gives
 * other pages of its own for each. False: no memory for one.
 */
bool swap_serve(struct vm_swap *s, bool forced)
{
    for (;;) {
        bool irqs = spin_lock(&s->queue.lock);
        bool any = !list_is_empty(&s->wanted);
        uint64_t index = any ? list_entry(s->wanted.next, struct request, link)->index : 0;
        vmk_status status;

        spin_unlock(&s->queue.lock, irqs);
        if (!any)
            return true;
        if (forced && vmm_mem_is_short(s->vm)) {
            if (others_give(s))
                return false;
            (void)swap_reclaim(s, forced_count(s->vm));
        }
        status = bring_in(s, index);
        if (status == VMK_NO_MEMORY && forced && !others_give(s) &&
            swap_reclaim(s, forced_count(s->vm)))
            status = bring_in(s, index);
        if (status == VMK_NO_MEMORY)
            return false;
        answer(s, index, status);
    }
}

/* ---- the world ---- */

/* How many pages must still go. */
static uint32_t missing(struct vm_swap *s)
{
    bool irqs = spin_lock(&s->vm->lock);
    uint32_t out = vm_swap_out_locked(s->vm), target = LOAD(s->target);

    spin_unlock(&s->vm->lock, irqs);
    return target > out ? target - out : 0;
}

/* Blocks until there is something to do. False: the world is to end. */
static bool wait_for_work(struct vm_swap *s)
{
    bool irqs = plat_irq_save(), go;

    for (;;) {
        bool due = plat_time_now() >= s->idle_until;
        bool more = swap_is_on(s) && missing(s);

        spin_lock_irqs_off(&s->queue.lock);
        go = !s->stop;
        if (!go || (due && (more || s->short_waits)) ||
            (!list_is_empty(&s->wanted) && (due || !s->starved)))
            break;
        if (s->moved) {  // perhaps after missing() had looked
            s->moved = false;
            spin_unlock_irqs_off(&s->queue.lock);
            continue;
        }
        vmk_assert(wait_queue_block_as(&s->queue, due ? PLAT_NS_NEVER : s->idle_until,
                                       WAIT_FIRM) != VMK_KILLED);
    }
    spin_unlock(&s->queue.lock, irqs);
    return go;
}

static void swap_main(void *argument)
{
    struct vm_swap *s = argument;

    plat_irq_restore(true);
    while (wait_for_work(s)) {
        bool irqs, forced;
        unsigned done = 0;
        uint32_t more;

        s->starved = !swap_serve(s, true);
        irqs = spin_lock(&s->queue.lock);
        forced = s->short_waits;
        s->short_waits = false;
        spin_unlock(&s->queue.lock, irqs);
        more = missing(s);
        if (more || forced) {
            unsigned count = (unsigned)MIN(more, SWAP_BATCH);

            done = swap_reclaim(s, forced ? MAX(count, forced_count(s->vm)) : count);
        }
        if (done)
            vm_swap_kick(s->vm);  // who waits for memory
        s->idle_until = 0;
        if (s->starved || ((more || forced) && !done))
            s->idle_until = plat_time_now() + (s->starved ? SHORT_STEP : FRUITLESS_STEP);
    }
    world_exit(0);
}

/* ---- who waits ---- */

/* The vCPU whose world this is, or null. */
static struct vcpu *vcpu_here(struct vm *vm)
{
    uint32_t self = world_current()->id.raw;

    for (unsigned i = 0; self && i < vm->vcpu_count; i++) {
        if (vm->vcpus[i] && vm->vcpus[i]->world.raw == self)
            return vm->vcpus[i];
    }
    return NULL;
}

static bool is_over(const struct vm *vm)
{
    enum vm_state state = LOAD(vm->state);

    return state == VM_STATE_STOPPING || state == VM_STATE_OFF;
}

/* Until it is done or there is no hope. */
static vmk_status request_wait(struct vm_swap *s, struct request *r)
{
    vmk_status status = VMK_OK;
    bool irqs = spin_lock(&s->queue.lock);

    list_add_tail(&s->wanted, &r->link);
    spin_unlock(&s->queue.lock, irqs);
    wait_queue_wake(&s->queue, WAIT_QUEUE_ALL);
    irqs = plat_irq_save();
    for (;;) {
        spin_lock_irqs_off(&s->queue.lock);
        if (r->done || s->stop || is_over(s->vm) || status == VMK_KILLED)
            break;
        world_waits_for(SCHED_STATE_WAIT_SWAP);
        status = wait_queue_block(&s->queue, PLAT_NS_NEVER);
    }
    status = r->done ? r->status : VMK_KILLED;
    if (!r->done)
        list_remove(&r->link);
    spin_unlock(&s->queue.lock, irqs);
    return status;
}

/*
 * A while, for memory that reclamation makes: here, but for a VM that is being loaded, or has
 * less than is due to it, elsewhere.
 */
static vmk_status memory_wait(struct vm_swap *s)
{
    vmk_status status;
    bool irqs;

    if (LOAD(s->vm->state) != VM_STATE_NEW && !others_give(s)) {
        irqs = spin_lock(&s->queue.lock);
        s->short_waits = true;
        if (!s->asked)
            s->asked = plat_time_now();
        spin_unlock(&s->queue.lock, irqs);
        wait_queue_wake(&s->queue, WAIT_QUEUE_ALL);
    }
    irqs = plat_irq_save();
    spin_lock_irqs_off(&s->queue.lock);
    world_waits_for(SCHED_STATE_WAIT_SWAP);
    status = wait_queue_block(&s->queue, plat_time_now() + SHORT_STEP);
    plat_irq_restore(irqs);
    return status == VMK_KILLED || LOAD(s->stop) || is_over(s->vm) ? VMK_KILLED : VMK_OK;
}

vmk_status vm_page_wait(struct vm *vm, ppn_t ppn)
{
    struct vm_swap *s = vm->swap;
    struct request r = {.index = vm_ram_index(vm, ppn)};
    struct vcpu *v = s ? vcpu_here(vm) : NULL;
    plat_ns since = plat_time_now(), waited;
    vmk_status status;
    bool irqs, swapped;

    if (!s || r.index >= vm->page_count)
        return VMK_KILLED;
    // Between two exits or not: it holds no pointer to a page while it is here.
    if (v)
        STORE(v->parked, true);
    swapped = p2m_look(&vm->p2m, r.index).state == P2M_SWAPPED;
    status = swapped ? request_wait(s, &r) : memory_wait(s);
    if (v)
        STORE(v->parked, false);
    irqs = spin_lock(&vm->lock);
    waited = plat_time_now() - since;
    s->counters.in_wait_ns += waited;
    hdr_add(&s->latency[swapped ? VM_SWAP_PAGE : VM_SWAP_MEMORY], waited);
    spin_unlock(&vm->lock, irqs);
    return status;
}
