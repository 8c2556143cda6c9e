// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/balloon.c -- VMware's memory balloon, as Linux's vmw_balloon speaks it.
 *
 * The driver asks once a second for its target, takes pages from its own guest until it holds
 * as many and tells us their numbers; the host's memory behind them is free then. So the guest
 * decides what it can do without, which it knows better than the host.
 *
 *   IN EAX, DX   EAX magic, ECX command, RBX argument, RSI count  ──►  EAX status, RBX target
 *
 * A guest that touches a page it gave away gets a new one, and the driver is told to begin anew
 * at its next call (status RESET), because its idea and ours differ from then on.
 *
 * Invariants
 *   - Only pages that the guest names are taken, and each answer is per page; a batch page that
 *     is no RAM, or a number that is none, costs the guest a status.
 *   - What the driver holds is the P2M's count of BALLOONED pages.
 * Locking    the VM's lock, per 64 entries of a batch.
 * Sources    [VMX-BACKDOOR] balloon port; drivers/misc/vmw_balloon.c of Linux as a description
 */
#include "vmm/dev/balloon.h"

#include "core/log.h"
#include "vmm/vm.h"
#include "vmm/vm_large.h"
#include "vmm/vm_reclaim.h"

#define BALLOON_MAGIC 0x456c6d6fu
#define BATCH_ENTRIES 512u
#define BATCH_STEP    64u  // entries under one lock
#define LARGE_PAGES   512u

enum balloon_command {
    BALLOON_START,
    BALLOON_GET_TARGET,
    BALLOON_LOCK,
    BALLOON_UNLOCK,
    BALLOON_GUEST_ID,
    BALLOON_BATCHED_LOCK = 6,
    BALLOON_BATCHED_UNLOCK,
    BALLOON_BATCHED_2M_LOCK,
    BALLOON_BATCHED_2M_UNLOCK,
};

enum balloon_status {
    BALLOON_OK,
    BALLOON_BAD_COMMAND,
    BALLOON_PPN_INVALID,
    BALLOON_PPN_LOCKED,
    BALLOON_PPN_UNLOCKED,
    BALLOON_PPN_PINNED,
    BALLOON_NOT_NEEDED,
    BALLOON_RESET,
    BALLOON_BUSY,
    BALLOON_OK_WITH_CAPS = 0x03000000,
};

#define CAP_BASIC      BIT(1)
#define CAP_BATCHED    BIT(2)
#define CAP_BATCHED_2M BIT(3)
#define CAP_64_BIT     BIT(5)
#define CAPS           ((uint32_t)(CAP_BASIC | CAP_BATCHED | CAP_BATCHED_2M | CAP_64_BIT))

static uint64_t held(const struct vm *vm)
{
    return vm->p2m.count[P2M_BALLOONED];
}

static uint32_t target_of(const struct vm *vm)
{
    return __atomic_load_n(&vm->balloon.target, __ATOMIC_RELAXED);
}

void vm_balloon_reset_locked(struct vm *vm)
{
    for (uint64_t i = 0; held(vm) && i < vm->page_count; i++) {
        if (p2m_get(&vm->p2m, i).state == P2M_BALLOONED)
            p2m_set(&vm->p2m, i, P2M_NONE, mpn_make(MPN_NONE_RAW));
    }
    vm->balloon.connected = false;
    vm->balloon.caps = 0;
    __atomic_store_n(&vm->balloon.popped, false, __ATOMIC_RELAXED);
}

static enum balloon_status lock_status(struct vm *vm, vmk_status status, uint64_t pages)
{
    switch (status) {
    case VMK_OK: vm->balloon.locks += pages; return BALLOON_OK;
    case VMK_EXISTS: return BALLOON_PPN_LOCKED;
    case VMK_BUSY: return BALLOON_PPN_PINNED;
    case VMK_NOT_FOUND: return BALLOON_PPN_INVALID;
    default: return BALLOON_BUSY;
    }
}

static enum balloon_status lock_one(struct vm *vm, ppn_t ppn)
{
    return lock_status(vm, vm_page_take_locked(vm, ppn), 1);
}

static enum balloon_status unlock_one(struct vm *vm, ppn_t ppn)
{
    if (!vm_is_ram(vm, ppn_to_gpa(ppn)))
        return BALLOON_PPN_INVALID;
    if (vm_page_return_locked(vm, ppn) != VMK_OK)
        return BALLOON_PPN_UNLOCKED;
    vm->balloon.unlocks++;
    return BALLOON_OK;
}

static bool is_large(const struct vm *vm, uint64_t ppn)
{
    uint64_t index = vm_ram_index(vm, ppn_make(ppn));

    return index < vm->page_count && p2m_is_large(&vm->p2m, index);
}

/* A frame of one or 512 pages, all or none. */
static enum balloon_status change(struct vm *vm, uint64_t ppn, bool lock, bool large)
{
    uint64_t count = large ? LARGE_PAGES : 1, done = 0;
    enum balloon_status status = BALLOON_OK;

    if (ppn > BIT(40) || (large && ppn % LARGE_PAGES))
        return BALLOON_PPN_INVALID;
    if (lock && held(vm) + count > target_of(vm))
        return BALLOON_NOT_NEEDED;
    if (lock && large && is_large(vm, ppn)) {
        status =
            lock_status(vm, vm_large_take_locked(vm, vm_ram_index(vm, ppn_make(ppn))), count);
        vm->balloon.refused += status != BALLOON_OK;
        return status;
    }
    while (done < count && status == BALLOON_OK) {
        status =
            lock ? lock_one(vm, ppn_make(ppn + done)) : unlock_one(vm, ppn_make(ppn + done));
        done += status == BALLOON_OK;
    }
    // Back as it was: what was taken comes again as zeroes, but the guest does not use it now.
    for (; status != BALLOON_OK && lock && done > 0; done--)
        (void)unlock_one(vm, ppn_make(ppn + done - 1));
    vm->balloon.refused += status != BALLOON_OK;
    return status;
}

static enum balloon_status batch(struct vm *vm, uint64_t page, uint64_t count, bool lock,
                                 bool large)
{
    uint64_t entries[BATCH_STEP];

    if (count > BATCH_ENTRIES || page > BIT(40))
        return BALLOON_PPN_INVALID;
    for (uint64_t from = 0; from < count; from += BATCH_STEP) {
        gpa_t at = gpa_make((page << PAGE_SHIFT) + from * sizeof(uint64_t));
        size_t part = (size_t)MIN(count - from, (uint64_t)BATCH_STEP);
        bool irqs;
        mpn_t mpn;
        vmk_status status = vm_page_lock(vm, gpa_to_ppn(at), true, &mpn, &irqs);

        if (status != VMK_OK)
            return BALLOON_PPN_INVALID;
        status = vm_memory_read_locked(vm, at, entries, part * sizeof(uint64_t));
        for (size_t i = 0; status == VMK_OK && i < part; i++) {
            uint64_t ppn = entries[i] >> PAGE_SHIFT;

            entries[i] = ppn << PAGE_SHIFT | change(vm, ppn, lock, large);
        }
        if (status == VMK_OK)
            status = vm_memory_write_locked(vm, at, entries, part * sizeof(uint64_t));
        if (lock)
            vm_flush_locked(vm);
        spin_unlock(&vm->lock, irqs);
        if (status != VMK_OK)
            return BALLOON_PPN_INVALID;
    }
    return BALLOON_OK;
}

static enum balloon_status start(struct vm *vm, uint32_t wanted, uint64_t *caps)
{
    bool irqs = spin_lock(&vm->lock);

    vm_balloon_reset_locked(vm);
    vm->balloon.connected = wanted != 0;
    vm->balloon.resets++;
    // Before capabilities the argument was the version, 2, which reads as BASIC alone.
    vm->balloon.caps = wanted == CAP_BASIC ? (uint32_t)CAP_BASIC : wanted & CAPS;
    *caps = vm->balloon.caps;
    spin_unlock(&vm->lock, irqs);
    // A driver that leaves asks for nothing. If it were given that it would forget about 2 MB
    // pages.
    if (wanted == 0)
        return BALLOON_BAD_COMMAND;
    return wanted == CAP_BASIC ? BALLOON_OK : BALLOON_OK_WITH_CAPS;
}

static enum balloon_status single(struct vm *vm, uint64_t ppn, bool lock)
{
    bool irqs = spin_lock(&vm->lock);
    enum balloon_status status = change(vm, ppn, lock, false);

    if (lock)
        vm_flush_locked(vm);
    spin_unlock(&vm->lock, irqs);
    return status;
}

static bool may(const struct vm *vm, uint64_t command)
{
    static const uint32_t needs[] = {
        [BALLOON_LOCK] = CAP_BASIC,
        [BALLOON_UNLOCK] = CAP_BASIC,
        [BALLOON_BATCHED_LOCK] = CAP_BATCHED,
        [BALLOON_BATCHED_UNLOCK] = CAP_BATCHED,
        [BALLOON_BATCHED_2M_LOCK] = CAP_BATCHED_2M,
        [BALLOON_BATCHED_2M_UNLOCK] = CAP_BATCHED_2M,
    };

    return command < ARRAY_COUNT(needs) &&
           (needs[command] == 0 ||
            (vm->balloon.connected && (vm->balloon.caps & needs[command])));
}

bool vcpu_balloon(struct vcpu *v, bool in)
{
    struct vm *vm = v->vm;
    uint64_t *gpr = v->regs.gpr;
    uint64_t command = (uint32_t)gpr[GPR_RCX], argument = gpr[GPR_RBX];
    enum balloon_status status = BALLOON_BAD_COMMAND;

    if (!in || (uint32_t)gpr[GPR_RAX] != BALLOON_MAGIC)
        return false;
    if (!vm->reclaim || !may(vm, command)) {
        gpr[GPR_RAX] = BALLOON_BAD_COMMAND;
        return true;
    }
    if (command != BALLOON_START && command != BALLOON_GUEST_ID &&
        __atomic_load_n(&vm->balloon.popped, __ATOMIC_RELAXED)) {
        gpr[GPR_RAX] = BALLOON_RESET;
        return true;
    }
    switch (command) {
    case BALLOON_START: status = start(vm, (uint32_t)argument, &gpr[GPR_RCX]); break;
    case BALLOON_GET_TARGET:
        vm->balloon.guest_pages = argument;
        status = vm->balloon.connected ? BALLOON_OK : BALLOON_RESET;
        break;
    case BALLOON_LOCK: status = single(vm, argument, true); break;
    case BALLOON_UNLOCK: status = single(vm, argument, false); break;
    case BALLOON_GUEST_ID: status = BALLOON_OK; break;
    case BALLOON_BATCHED_LOCK: status = batch(vm, argument, gpr[GPR_RSI], true, false); break;
    case BALLOON_BATCHED_UNLOCK:
        status = batch(vm, argument, gpr[GPR_RSI], false, false);
        break;
    case BALLOON_BATCHED_2M_LOCK: status = batch(vm, argument, gpr[GPR_RSI], true, true); break;
    case BALLOON_BATCHED_2M_UNLOCK:
        status = batch(vm, argument, gpr[GPR_RSI], false, true);
        break;
    default: break;
    }
    gpr[GPR_RAX] = status;
    if (status == BALLOON_OK && command != BALLOON_GUEST_ID)
        gpr[GPR_RBX] = target_of(vm);
    return true;
}

void vm_balloon_log(const struct vm *vm)
{
    const struct vm_balloon *b = &vm->balloon;

    if (!b->resets)
        return;
    vmk_log(VMK_LOG_INFO,
            "VM: %s: balloon: %llu pages given, %llu taken back, %llu refused, %llu starts, "
            "%llu in it now; the driver sees %llu pages",
            vm->config.name, (unsigned long long)b->locks, (unsigned long long)b->unlocks,
            (unsigned long long)b->refused, (unsigned long long)b->resets,
            (unsigned long long)held(vm), (unsigned long long)b->guest_pages);
}
