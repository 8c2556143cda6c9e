// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/spinlock.c -- ranked ticket locks.
 *
 * Tickets make the lock fair: with many CPUs on one lock a plain test-and-set starves the far
 * ones. The rank check costs a load and a compare and finds every possible deadlock on the
 * first run that takes two locks in the wrong order, on one CPU already. There is one lock
 * type, it turns interrupts off, so nothing can be preempted while holding one.
 *
 * Invariants
 *   - The ranks on a CPU's held stack rise; equal ranks only through
 *     spin_try_lock_irqs_off(). There are at most CORE_HELD_MAX (order_panic()).
 *   - A CPU that panics waits for nobody: it takes what a stopped CPU holds (core_panicking()).
 *   - A lock on a CPU's held stack is not free; the CPU may change worlds while holding one
 *     (the scheduler's lock), so the stack belongs to the CPU.
 * Locking    it is the locking. Held stacks: own CPU, irqs off.
 * Start at   spin_lock_irqs_off().
 * Sources    [MCS91] section 2 for tickets; docs/lock-order.md
 */
#include "core/spinlock.h"

#include "core/assert.h"
#include "core/core_internal.h"
#include "plat/plat.h"

void spin_init(struct spinlock *lock, const char *name, enum lock_rank rank)
{
    *lock = (struct spinlock){.rank = rank, .name = name};
}

/* Here and not in panic.c: programs with a panic of their own have these locks too. */
bool core_panicking(void)
{
    return __atomic_load_n(&this_host()->core->panicking, __ATOMIC_RELAXED) ==
           plat_cpu_self() + 1;
}

static noreturn_fn void __attribute__((noinline, cold))
order_panic(const struct core_cpu *cpu, const struct spinlock *lock)
{
    const struct spinlock *top = cpu->held_count ? cpu->held[cpu->held_count - 1] : NULL;

    vmk_panic("lock order: taking %s (rank %u) with %u held, the last %s (rank %u)", lock->name,
              (unsigned)lock->rank, cpu->held_count, top ? top->name : "-",
              top ? (unsigned)top->rank : 0);
}

static inline void push(struct core_cpu *cpu, struct spinlock *lock)
{
    cpu->held[cpu->held_count++] = lock;
}

/* Apart, so that the way to a free lock saves no registers. */
static void __attribute__((noinline, cold))
wait_turn(const struct spinlock *lock, uint32_t ticket)
{
    while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket) {
        if (core_panicking())  // whoever has it is stopped
            break;
        plat_cpu_relax();
    }
}

static inline void take(struct core_cpu *cpu, unsigned self, struct spinlock *lock)
{
    uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

    if (__builtin_expect(__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket, 0))
        wait_turn(lock, ticket);
    __atomic_store_n(&lock->holder, self + 1, __ATOMIC_RELAXED);
    push(cpu, lock);
}

static inline __attribute__((always_inline)) void lock_now(struct spinlock *lock)
{
#ifndef ORRERY_METAL
    vmk_assert(!plat_irq_enabled());
    plat_shake_point();
#endif
    unsigned self = plat_cpu_self();
    struct core_cpu *cpu = &this_host()->core->cpus[self];
    uint32_t count = cpu->held_count;

    if (count &&
        __builtin_expect(cpu->held[count - 1]->rank >= lock->rank || count >= CORE_HELD_MAX, 0))
        order_panic(cpu, lock);
    take(cpu, self, lock);
}

void spin_lock_irqs_off(struct spinlock *lock)
{
    lock_now(lock);
}

bool spin_lock(struct spinlock *lock)
{
    bool were_on = plat_irq_save();

    lock_now(lock);
    return were_on;
}

/* From under others. */
static __attribute__((noinline, cold)) void held_remove(struct core_cpu *cpu,
                                                        struct spinlock *lock)
{
    uint32_t i = cpu->held_count;

    while (i && cpu->held[i - 1] != lock)
        i--;
    vmk_assert_msg(i, "unlocking %s", lock->name);
    for (cpu->held_count--; i < cpu->held_count + 1; i++)
        cpu->held[i - 1] = cpu->held[i];
}

static inline __attribute__((always_inline)) void unlock_now(struct spinlock *lock)
{
    struct core_cpu *cpu = &this_host()->core->cpus[plat_cpu_self()];
    uint32_t i = cpu->held_count;

    /* Nearly always the top one; a wait queue drops its lock from under the scheduler's. */
    if (__builtin_expect(!i || cpu->held[i - 1] != lock, 0))
        held_remove(cpu, lock);
    else
        cpu->held_count = i - 1;
    __atomic_store_n(&lock->holder, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
}

void spin_unlock_irqs_off(struct spinlock *lock)
{
    unlock_now(lock);
}

void spin_unlock(struct spinlock *lock, bool irqs_were_on)
{
    unlock_now(lock);
    plat_irq_restore(irqs_were_on);
}

bool spin_try_lock_irqs_off(struct spinlock *lock)
{
    unsigned self = plat_cpu_self();
    struct core_cpu *cpu = &this_host()->core->cpus[self];
    uint32_t serving = __atomic_load_n(&lock->serving, __ATOMIC_RELAXED);
    uint32_t count = cpu->held_count;

    if (count && (cpu->held[count - 1]->rank > lock->rank || count >= CORE_HELD_MAX))
        order_panic(cpu, lock);
    if (!__atomic_compare_exchange_n(&lock->next, &serving, serving + 1, false,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return false;
    __atomic_store_n(&lock->holder, self + 1, __ATOMIC_RELAXED);
    push(cpu, lock);
    return true;
}

bool spin_held(const struct spinlock *lock)
{
    return __atomic_load_n(&lock->holder, __ATOMIC_RELAXED) == plat_cpu_self() + 1;
}

unsigned spin_held_count(void)
{
    return this_host()->core->cpus[plat_cpu_self()].held_count;
}

void spin_print_held(void (*print)(const char *format, ...))
{
    const struct core_cpu *cpu = &this_host()->core->cpus[plat_cpu_self()];

    for (uint32_t i = 0; i < cpu->held_count && i < CORE_HELD_MAX; i++)
        print("  holds %s (rank %u)\n", cpu->held[i]->name, (unsigned)cpu->held[i]->rank);
}
