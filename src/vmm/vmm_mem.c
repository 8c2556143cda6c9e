// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vmm_mem.c -- the memory scheduler at work: a world that watches, decides and shares.
 *
 * Once a second it tells the policy (mem/memsched.h) what each VM holds and how much is free,
 * and hands the balloons their targets; every 15 s it has all targets made anew, and every 30 s
 * it ends a sampling period. In between it offers random guest pages to the table of shared
 * pages.
 *
 * Options: mem.*, in docs/kernel-options.md.
 *
 * Invariants
 *   - Every VM in the table of VMs that has a mem_id is in the policy, by that id.
 * Locking    the mutex guards the policy; VMs are visited (vm_table_hold()) without it held.
 * Sources    [WALDSPURGER02]: periods, sample size, scan rates
 */
#include "vmm/vmm_mem.h"

#include "core/core.h"
#include "core/host.h"
#include "core/log.h"
#include "lib/rng.h"
#include "lib/string.h"
#include "mem/memsched_record.h"
#include "plat/plat.h"
#include "vmm/swap_place.h"
#include "vmm/vm_large.h"
#include "vmm/vm_reclaim.h"
#include "vmm/vm_swap.h"
#include "vmm/vmm_state.h"
#include "vmm/vt.h"
#include "world/mutex.h"
#include "world/world.h"

#define PERIOD_MS       1000u
#define REALLOCATE      15u    // periods
#define SAMPLE_PERIODS  30u    // [WALDSPURGER02] section 5.3
#define SHARE_RATE      50u    // pages a second and VM; section 4.3
#define SHARE_VMS       4u     // as many VMs have that; more divide what these have
#define LARGE_FREE      4u     // times minFree: guests get 2 MB pages. [ESX] `high` of 6.0
#define BREAK_MOST      32u    // large pages of a VM broken in a period
#define OVERHEAD_PAGES  512u   // of a VM: vCPUs, devices, tables
#define FLOOR_SLACK     64u    // VMs stop growing so many pages above the floor, at least
#define FLOOR_PART      4u     // or this part of the floor: for what the VMkernel itself takes
#define HOST_ROOM       1024u  // pages that host programs may have above their most
#define HARD_SLACK      32u    // VMs wait only so many pages below the mark of hard
#define BALLOON_PERCENT 65u    // [ESX] Mem.CtlMaxPercent
#define SALT_GIVEN      (1ull << 63)  // no id is that large
#define SHARE_FRAMES    (1u << 26)  // shared pages and hints at most: 16 bytes each, for 256 GB
#define OVERCOMMIT_ONE  2048u
#define OVERCOMMIT_FINE 12u

_Static_assert(VMM_VMS_MAX <= SHARE_VMS_MAX, "hints are counted by VM");

struct vmm_mem {
    struct mutex mutex;
    struct memsched policy;         // (m)
    struct memsched_record record;  // (m)
    struct share_table share;
    struct rng rng;
    uint32_t next_id;  // (m)
    uint64_t rate, sample, salting;
    plat_ns period;
    uint64_t periods;
    unsigned running;        // VMs at the last look
    uint32_t overcommit[3];  // (m) 1, 5, 15 minutes, in OVERCOMMIT_ONE
    world_id world;
    struct wait_queue hurry;
    bool hurried;  // hurry.lock
    // (a) of the policy, pages: where the next level begins, and hard; the floor with
    //     FLOOR_SLACK
    uint64_t mark, hard, floor;
    uint64_t program_floor;  // (a) the floor with half of that
};

static void observed(void *context, const struct memsched_event *event)
{
    (void)context;
    if (event->kind == MEMSCHED_EVENT_LEVEL) {
        vmk_log(VMK_LOG_INFO, "Mem: free memory is %s: %u MB",
                memsched_level_name((enum memsched_level)event->small), event->a / 256);
    }
}

static vmk_status input(struct vmm_mem *m, const struct memsched_input *in)
{
    vmk_status status;

    mutex_lock(&m->mutex);
    status = memsched_record_step(&m->record, TRACE_NOW, in);
    mutex_unlock(&m->mutex);
    return status;
}

/* ---- VMs come and go ---- */

vmk_status vmm_mem_add(struct vm *vm)
{
    struct vmm_mem *m = this_host()->vmm->mem;
    const struct vm_config *c = &vm->config;
    struct memsched_input in = {
        .op = MEMSCHED_VM_ADD,
        .small = OVERHEAD_PAGES,
        .a = MEMSCHED_ROOT_ID,
        .b = c->mem_shares ? c->mem_shares : c->mem_per_mb * c->memory_mb,
        .c = (uint32_t)MIN(c->mem_min_mb * 256ull, vm->page_count),
        .d = (uint32_t)vm->page_count,
    };
    char why[160];
    vmk_status status;

    if (!m)
        return VMK_OK;
    mutex_lock(&m->mutex);
    in.id = m->next_id++;
    status = memsched_record_step(&m->record, TRACE_NOW, &in);
    if (status == VMK_OK) {
        memsched_record_name(&m->record, in.id, vm->config.name);
        vm->mem_due = memsched_find(&m->policy, in.id)->target.due;
    }
    memsched_admission_text(&m->policy, why, sizeof(why));
    mutex_unlock(&m->mutex);
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "Mem: %s is not admitted: %s", vm->config.name,
                status == VMK_LIMIT ? why : vmk_status_text(status));
        return status;
    }
    vm->mem_id = in.id;
    if (c->mem_max_mb) {
        const struct memsched_input max = {
            .op = MEMSCHED_SET_MAX, .id = in.id, .a = c->mem_max_mb * 256u};

        if (input(m, &max) != VMK_OK)
            vmk_log(VMK_LOG_WARN, "Mem: %s: sched.mem.max does not hold", c->name);
        else if (max.a < vm->page_count)
            vm->mem_cap = max.a;
    }
    vm->share_salt = m->salting == 0   ? 0
                     : c->mem_salted   ? c->mem_salt | SALT_GIVEN
                     : m->salting == 1 ? 0
                                       : in.id;
    return VMK_OK;
}

void vmm_mem_remove(struct vm *vm)
{
    struct vmm_mem *m = this_host()->vmm->mem;
    struct share_counters c;
    struct world_times times = {0};
    struct memsched_node node;

    if (!m || !vm->mem_id)
        return;
    share_counters_get(&m->share, &c);
    if (c.scanned && world_times_get(m->world, &times) == VMK_OK)
        vmk_log(
            VMK_LOG_INFO,
            "Mem: %s ends: %llu pages looked at, %llu joined, %llu left, %llu unlike, "
            "%llu stale hints; %llu pages in %llu now; %llu full looks, table of %llu bytes; "
            "the scanner ran %llu us",
            vm->config.name, (unsigned long long)c.scanned, (unsigned long long)c.joined,
            (unsigned long long)c.broken, (unsigned long long)c.unlike,
            (unsigned long long)c.stale_hints, (unsigned long long)c.pages,
            (unsigned long long)c.common, (unsigned long long)c.looked,
            (unsigned long long)c.bytes, (unsigned long long)(times.run / 1000));
    if (vmm_mem_find(vm->mem_id, &node))
        vmk_log(VMK_LOG_INFO,
                "Mem: %s ends: it held %llu KB at least after pages were taken (0: none were), "
                "reserved %llu KB; "
                "the host had %llu KB free at least, its floor is %llu KB",
                vm->config.name, (unsigned long long)vm->mem_least * 4,
                (unsigned long long)node.min * 4, (unsigned long long)page_free_least() * 4,
                (unsigned long long)memsched_floor(&m->policy) * 4);
    if (input(m, &(struct memsched_input){.op = MEMSCHED_REMOVE, .id = vm->mem_id}) != VMK_OK)
        vmk_log(VMK_LOG_WARN, "Mem: %s was not known", vm->config.name);
    share_forget(&m->share, (uint16_t)vm->index);
}

/* ---- the world ---- */

static void watch(struct vmm_mem *m, struct vm *vm)
{
    struct memsched_input in = {.op = MEMSCHED_USAGE, .id = vm->mem_id};
    const struct memsched_node *node;
    bool irqs = spin_lock(&vm->lock);
    const uint64_t *count = vm->p2m.count;
    struct share_counters shared;
    uint32_t target = 0, swap = 0, out;
    bool presses = false;
    uint64_t min = 0, cap = 0, due = 0;

    if (vm->reclaim)
        vm_limbo_collect_locked(vm);
    if (vm->balloon.connected)
        in.small = (uint16_t)MIN(BALLOON_PERCENT, 100ull * vm->config.mem_balloon_mb /
                                                      MAX(vm->config.memory_mb, 1u));
    in.a = (uint32_t)(vm->page_count - count[P2M_NONE]);
    in.b = (uint32_t)count[P2M_BALLOONED];
    out = vm_swap_out_locked(vm);
    in.c = (uint32_t)MIN(count[P2M_SWAPPED], out);
    in.e = out - in.c;
    if (in.b)
        vm_swap_least_locked(vm);
    in.d = (uint32_t)count[P2M_SHARED];
    spin_unlock(&vm->lock, irqs);
    // Its part of what sharing saves, as if each of its shared pages were held by as many as
    // the mean.
    share_counters_get(&m->share, &shared);
    in.d = shared.pages ? (uint32_t)(in.d * (shared.pages - shared.common) / shared.pages) : 0;
    mutex_lock(&m->mutex);
    if (memsched_record_step(&m->record, TRACE_NOW, &in) == VMK_OK) {
        node = memsched_find(&m->policy, vm->mem_id);
        target = node->target.balloon;
        swap = node->target.swap;
        min = node->min;
        due = (uint64_t)node->target.due + node->saved;
        if (node->target.cap < node->size) {
            cap = (uint64_t)MAX(node->target.cap, node->min) + node->saved;
            presses = target > in.b || swap > out;
        }
    }
    mutex_unlock(&m->mutex);
    __atomic_store_n(&vm->balloon.target, target, __ATOMIC_RELAXED);
    __atomic_store_n(&vm->mem_min, min, __ATOMIC_RELAXED);
    __atomic_store_n(&vm->mem_due, due, __ATOMIC_RELAXED);
    __atomic_store_n(&vm->mem_cap, cap, __ATOMIC_RELAXED);
    vm->mem_presses = presses;
    vm_swap_target_set(vm, swap);
}

static void sample(struct vmm_mem *m, struct vm *vm)
{
    struct memsched_input in = {.op = MEMSCHED_SAMPLE, .small = 1, .id = vm->mem_id};

    vm_sample(vm, &in.a, &in.b);
    if (in.b && input(m, &in) != VMK_OK)
        vmk_log(VMK_LOG_WARN, "Mem: the sample of %s is refused", vm->config.name);
}

static void share(struct vmm_mem *m, struct vm *vm)
{
    uint16_t index = (uint16_t)vm->index;
    uint64_t pages = vm->page_count, salt = vm->share_salt;
    uint64_t count = m->rate * (m->period / 1000000u) / 1000u;

    if (vm->config.mem_unshared)
        return;
    if (m->running > SHARE_VMS)
        count = (count * SHARE_VMS + m->running - 1) / m->running;

    for (uint64_t i = 0; i < count && !world_kill_pending(); i++)
        (void)share_page(&m->share, index, (uint32_t)rng_below(&m->rng, pages), salt);
}

/* Calls visit() for every VM that runs. */
static void for_each_vm(struct vmm_mem *m, void (*visit)(struct vmm_mem *m, struct vm *vm))
{
    for (unsigned i = 0; i < VMM_VMS_MAX; i++) {
        struct vm *vm = vm_table_hold(i);

        if (!vm)
            continue;
        if (vm->mem_id && __atomic_load_n(&vm->state, __ATOMIC_RELAXED) == VM_STATE_ON)
            visit(m, vm);
        vm_table_release(vm);
    }
}

/* How much is free; where the next level begins. */
static void free_tell(struct vmm_mem *m)
{
    uint64_t mark, floor, slack;

    (void)input(
        m, &(struct memsched_input){.op = MEMSCHED_FREE, .a = (uint32_t)page_free_count()});
    mutex_lock(&m->mutex);
    mark = memsched_mark(&m->policy);
    __atomic_store_n(&m->mark, mark, __ATOMIC_RELAXED);
    __atomic_store_n(&m->hard, memsched_hard_mark(&m->policy), __ATOMIC_RELAXED);
    floor = memsched_floor(&m->policy);
    mutex_unlock(&m->mutex);
    slack = MAX(floor / FLOOR_PART, (uint64_t)FLOOR_SLACK);
    __atomic_store_n(&m->floor, floor + slack, __ATOMIC_RELAXED);
    __atomic_store_n(&m->program_floor, floor + slack / 2, __ATOMIC_RELAXED);
    __atomic_store_n(&this_host()->vmm->mem_plenty, MAX(mark, 2 * (floor + slack)),
                     __ATOMIC_RELAXED);
}

/* Free memory fell below a mark: the level changes, and with it the targets. */
static void look(struct vmm_mem *m)
{
    for_each_vm(m, watch);
    free_tell(m);
    (void)input(m, &(struct memsched_input){.op = MEMSCHED_TICK});
    for_each_vm(m, watch);
}

/* Until the period is over. False: the world is to end. */
static bool period_wait(struct vmm_mem *m)
{
    const plat_ns end = plat_time_now() + m->period;
    vmk_status status = VMK_OK;

    while (status == VMK_OK) {
        bool irqs = plat_irq_save(), hurried;

        spin_lock_irqs_off(&m->hurry.lock);
        hurried = m->hurried;
        m->hurried = false;
        if (hurried)
            spin_unlock_irqs_off(&m->hurry.lock);
        else
            status = wait_queue_block(&m->hurry, end);
        plat_irq_restore(irqs);
        if (hurried)
            look(m);
    }
    return status != VMK_KILLED;
}

/* The targets are looked at now, not at the end of the period. */
static void hurry(struct vmm_mem *m)
{
    if (!__atomic_exchange_n(&m->hurried, true, __ATOMIC_SEQ_CST))
        wait_queue_wake(&m->hurry, WAIT_QUEUE_ALL);
}

void vmm_mem_hurry(void)
{
    struct vmm_mem *m = this_host()->vmm->mem;

    if (m)
        hurry(m);
}

bool vmm_mem_may_grow(const struct vm *vm, uint64_t pages)
{
    const uint64_t cap = __atomic_load_n(&vm->mem_cap, __ATOMIC_RELAXED);

    return __builtin_expect(!cap, 1) ||
           p2m_granted(&vm->p2m) + vm_swap_cache_pages(vm) + pages <= cap;
}

/*
 * What the host's own programs had at most they may have again, and a little more: no VM grows
 * into it.
 * Not more than the floor; and memory is hard for the policy too when VMs wait for it, or they
 * would take only from themselves and the others would keep theirs.
 */
static uint64_t host_room(const struct vmm_mem *m, uint64_t floor)
{
    const uint64_t most = page_owned_most(MEM_OWNER_USER);
    const uint64_t hard = __atomic_load_n(&m->hard, __ATOMIC_RELAXED);
    const uint64_t room = hard > floor + HARD_SLACK ? hard - floor - HARD_SLACK : 0;

    return most ? MIN(most - MIN(most, page_owned_count(MEM_OWNER_USER)) + HOST_ROOM,
                      MIN(room, floor))
                : 0;
}

static bool is_below_floor(const struct vmm_mem *m, const struct vm *vm, uint64_t free)
{
    const uint64_t floor = __atomic_load_n(&m->floor, __ATOMIC_RELAXED);

    if (free >= 2 * floor)
        return false;  // host_room() is no more than the floor
    return free < floor + host_room(m, floor) &&
           p2m_granted(&vm->p2m) >= __atomic_load_n(&vm->mem_min, __ATOMIC_RELAXED);
}

bool vmm_mem_looks_short(struct vm *vm)
{
    struct vmm_mem *m = this_host()->vmm->mem;
    const uint64_t free = page_free_count();

    if (!vmm_mem_may_grow(vm, 1) && vm_swap_can_take(vm))
        return true;
    if (!m)
        return false;
    if (__builtin_expect(free < __atomic_load_n(&m->mark, __ATOMIC_RELAXED), 0))
        hurry(m);
    return is_below_floor(m, vm, free) && vm_swap_can_wait(vm);
}

uint64_t vmm_mem_floor(void)
{
    const struct vmm_mem *m = this_host()->vmm->mem;

    return m ? __atomic_load_n(&m->program_floor, __ATOMIC_RELAXED) : 0;
}

bool vmm_mem_can_take(bool now)
{
    struct vmm_mem *m = this_host()->vmm->mem;
    bool more = false;

    for (unsigned i = 0; m && i < VMM_VMS_MAX && !more; i++) {
        struct vm *vm = vm_table_hold(i);

        if (!vm)
            continue;
        more = vm->mem_id && __atomic_load_n(&vm->state, __ATOMIC_RELAXED) == VM_STATE_ON &&
               vm_swap_can_wait(vm) &&
               p2m_granted(&vm->p2m) > __atomic_load_n(&vm->mem_min, __ATOMIC_RELAXED);
        vm_table_release(vm);
    }
    if (more && now)
        hurry(m);
    return more;
}

/* What VMs were promised over what there is, less 1: averages over 1, 5 and 15 minutes. */
static void overcommit_update(struct vmm_mem *m)
{
    static const uint64_t seconds[] = {60, 300, 900};
    const uint64_t period_ms = m->period / 1000000u;
    uint64_t size = 0, now;

    mutex_lock(&m->mutex);
    for (unsigned i = 1; i < MEMSCHED_NODES_MAX; i++) {
        const struct memsched_node *n = &m->policy.nodes[i];

        if (n->id && !n->is_pool)
            size += (uint64_t)n->size + n->overhead;
    }
    now = size > m->policy.managed
              ? (size - m->policy.managed) * OVERCOMMIT_ONE / MAX(m->policy.managed, 1ull)
              : 0;
    for (unsigned i = 0; i < ARRAY_COUNT(seconds); i++) {
        // Kept finer than it is shown, or a slow average would never arrive.
        const uint64_t span = MAX(seconds[i] * 1000u, period_ms);

        m->overcommit[i] = (uint32_t)(((uint64_t)m->overcommit[i] * (span - period_ms) +
                                       (MIN(now, 1u << 16) << OVERCOMMIT_FINE) * period_ms) /
                                      span);
    }
    mutex_unlock(&m->mutex);
}

static void mem_world(void *argument)
{
    struct vmm_mem *m = argument;

    while (period_wait(m)) {
        unsigned running = 0;

        m->periods++;
        for (unsigned i = 0; i < VMM_VMS_MAX; i++) {
            struct vm *vm = vm_table_hold(i);

            if (!vm)
                continue;
            if (vm->mem_id && __atomic_load_n(&vm->state, __ATOMIC_RELAXED) == VM_STATE_ON) {
                running++;
                watch(m, vm);
                if (m->policy.level >= MEMSCHED_CLEAR || vm->mem_presses)
                    (void)vm_large_break(vm, BREAK_MOST);
                if (m->sample && m->periods % m->sample == 0)
                    sample(m, vm);
                share(m, vm);
            }
            vm_table_release(vm);
        }
        m->running = running;
        overcommit_update(m);
        free_tell(m);
        if (m->periods % REALLOCATE == 0)
            (void)input(m, &(struct memsched_input){.op = MEMSCHED_TICK});
        if (m->periods % 3600 == 0)
            share_pass(&m->share);
    }
    world_exit(0);
}

static void options_take(struct vmm_mem *m)
{
    static const struct {
        const char *name;
        enum memsched_tunable tunable;
    } options[] = {
#define MEMSCHED_TUNABLE(id, name, normal, least, most, what)                                  \
    {"mem." name, MEMSCHED_TUNABLE_##id},
#include "mem/memsched_tunables.def"
    };

    for (unsigned i = 0; i < ARRAY_COUNT(options); i++) {
        uint64_t value = core_option_u64(options[i].name, UINT64_MAX);
        const struct memsched_input in = {
            .op = MEMSCHED_TUNE, .small = (uint16_t)options[i].tunable, .a = (uint32_t)value};

        if (value != UINT64_MAX && (value > UINT32_MAX || input(m, &in) != VMK_OK))
            vmk_log(VMK_LOG_WARN, "Mem: %s=%llu is out of range; the default stays",
                    options[i].name, (unsigned long long)value);
    }
    m->rate =
        core_option_u64("mem.share", 1) ? core_option_u64("mem.share.rate", SHARE_RATE) : 0;
    m->sample = core_option_u64("mem.sample", SAMPLE_PERIODS);
    m->salting = core_option_u64("mem.salting", 2);
    m->period = MAX(core_option_u64("mem.period", PERIOD_MS), 1ull) * 1000000u;
}

void vmm_mem_start(void)
{
    struct vmm_state *vmm = this_host()->vmm;
    struct vmm_mem *m = heap_alloc(sizeof(*m), MEM_OWNER_VMM);
    const struct world_params params = {.name = "memsched", .entry = mem_world, .argument = m};

    if (!vmm->backend || !m ||
        share_init(&m->share, (uint32_t)MIN(page_total_count(), SHARE_FRAMES), &vm_share_ops,
                   vmm) != VMK_OK) {
        if (vmm->backend)
            vmk_log(VMK_LOG_ERROR, "Mem: no memory for the memory scheduler: VMs are admitted "
                                   "unseen, and nothing is taken from them");
        heap_free(m);
        return;
    }
    mutex_init(&m->mutex, "memsched");
    wait_queue_init(&m->hurry, "memsched");
    rng_init(&m->rng, plat_entropy(), "share", 0);
    memsched_init(&m->policy);
    memsched_record_init(&m->record, &m->policy);
    m->record.then.event = observed;
    m->next_id = MEMSCHED_ROOT_ID + 1;
    options_take(m);
    swap_place_start();
    // Swap space is asked for VM by VM (vm_swap_create()), and not counted here: mem.swap=0 is
    // strict.
    if (input(m, &(struct memsched_input){.op = MEMSCHED_HOST,
                                          .a = (uint32_t)page_total_count(),
                                          .b = UINT32_MAX}) != VMK_OK ||
        world_create(&params, &m->world) != VMK_OK) {
        vmk_log(VMK_LOG_WARN, "Mem: the memory scheduler does not start");
        share_destroy(&m->share);
        heap_free(m);
        return;
    }
    if (core_option_u64("mem.large", 1) && (!vt()->large_pages || vt()->large_pages()))
        vmm->large_above = LARGE_FREE * m->policy.min_free;
    free_tell(m);  // the marks: a guest may take all there is before the first period ends
    vmm->share = &m->share;
    vmm->mem = m;
}

/* ---- for /proc (vmm_mem_proc.c) ---- */

bool vmm_mem_row(uint32_t slot, struct memsched_node *out, record_text16 *name)
{
    struct vmm_mem *m = this_host()->vmm->mem;
    bool there = false;

    if (!m || slot >= MEMSCHED_NODES_MAX)
        return false;
    mutex_lock(&m->mutex);
    *out = m->policy.nodes[slot];
    *name = m->record.name[slot];
    there = out->id && !out->is_pool;
    mutex_unlock(&m->mutex);
    return there;
}

bool vmm_mem_find(uint32_t id, struct memsched_node *out)
{
    struct vmm_mem *m = this_host()->vmm->mem;
    const struct memsched_node *n = NULL;

    if (!m || !id)
        return false;
    mutex_lock(&m->mutex);
    n = memsched_find(&m->policy, id);
    if (n)
        *out = *n;
    mutex_unlock(&m->mutex);
    return n;
}

void vmm_mem_shared(struct share_counters *out)
{
    struct share_table *share = this_host()->vmm->share;

    *out = (struct share_counters){0};
    if (share)
        share_counters_get(share, out);
}

uint32_t vmm_mem_hints(const struct vm *vm)
{
    struct share_table *share = this_host()->vmm->share;

    return share ? share_hints(share, (uint16_t)vm->index) : 0;
}

void vmm_mem_refusal(char *out, size_t room)
{
    struct vmm_mem *m = this_host()->vmm->mem;

    out[0] = 0;
    if (!m)
        return;
    mutex_lock(&m->mutex);
    (void)memsched_admission_text(&m->policy, out, room);
    mutex_unlock(&m->mutex);
}

bool vmm_mem_host(struct memsched_summary *out)
{
    struct vmm_mem *m = this_host()->vmm->mem;

    if (!m)
        return false;
    mutex_lock(&m->mutex);
    *out = (struct memsched_summary){.managed = m->policy.managed,
                                     .free = m->policy.free,
                                     .min_free = m->policy.min_free,
                                     .level = m->policy.level,
                                     .inputs = m->policy.inputs,
                                     .refused = m->policy.refused,
                                     .reallocations = m->policy.reallocations,
                                     .floor = memsched_floor(&m->policy),
                                     .reserved = m->policy.nodes[0].reserved};
    for (unsigned i = 0; i < ARRAY_COUNT(out->overcommit); i++)
        out->overcommit[i] = m->overcommit[i] >> OVERCOMMIT_FINE;
    mutex_unlock(&m->mutex);
    return true;
}

/* What it may lose with a lower reservation must have a place first. */
static vmk_status swap_reserve(uint32_t id, uint64_t min)
{
    vmk_status status = VMK_OK;

    for (unsigned i = 0; i < VMM_VMS_MAX; i++) {
        struct vm *vm = vm_table_hold(i);

        if (vm && vm->mem_id == id)
            status = vm_swap_reserve(vm, min);
        if (vm)
            vm_table_release(vm);
    }
    return status;
}

vmk_status vmm_mem_set(uint32_t op, uint32_t id, uint32_t value)
{
    struct vmm_mem *m = this_host()->vmm->mem;
    vmk_status status;

    if (!m)
        return VMK_NOT_FOUND;
    status = op == MEMSCHED_SET_MIN ? swap_reserve(id, value) : VMK_OK;
    if (status == VMK_OK)
        status = input(m, &(struct memsched_input){.op = op, .id = id, .a = value});
    if (status == VMK_OK)
        hurry(m);
    return status;
}
