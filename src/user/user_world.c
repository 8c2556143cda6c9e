// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/user_world.c -- the loop of a thread: into ring 3, out with a trap, what the trap asks for.
 *
 * plat_user_run() is a function call: it returns when ring 3 made a system call, faulted, or an
 * interrupt was taken. Everything a thread is told from outside (a signal, that its process
 * ends) is a bit in thread.work; who sets it kicks the CPU, and the loop looks before it goes
 * back. The look is made with interrupts off, so a kick that comes after it is taken in ring 3
 * at once.
 *
 * Invariants
 *   - The FPU registers hold this thread's state while its world runs (thread_switch_in()).
 *   - Ring 3 runs only between aspace_enter() and aspace_leave().
 * Locking    none here.
 * Start at   thread_main().
 */
#include "core/assert.h"
#include "core/log.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "user/user_internal.h"

#define OOM_TRIES   50u
#define OOM_WAIT_NS 10000000u

#define PF_WRITE    BIT(1)
#define PF_FETCH    BIT(4)

void thread_switch_in(struct world *w)
{
    struct thread *t = w->owner;

    __atomic_store_n(&t->on_cpu, plat_cpu_self() + 1, __ATOMIC_SEQ_CST);
    plat_fpu_load(t->fpu, t->fpu_xcr0);
}

void thread_switch_out(struct world *w)
{
    struct thread *t = w->owner;

    __atomic_store_n(&t->on_cpu, 0, __ATOMIC_SEQ_CST);
    plat_fpu_save(t->fpu, t->fpu_xcr0);
    if (t->as)
        aspace_switch_out(t->as);
}

/*
 * No page for this thread. The process that has most of them is to blame: it is killed, and who
 * faulted tries again when it is gone. False: that is he himself, or nothing came of it.
 */
static bool make_room(struct thread *t)
{
    struct user_state *user = user_state();
    struct process *largest = NULL;
    uint64_t pages = 0;
    bool irqs;

    if (++t->short_of_memory > OOM_TRIES)
        return false;
    irqs = spin_lock(&user->lock);
    list_for_each (node, &user->processes) {
        struct process *p = list_entry(node, struct process, all_link);
        struct aspace_use use = {0};

        if (p == user->init || p->state != PROCESS_RUNNING || !p->mm)
            continue;
        aspace_use_get(p->mm->as, &use);
        if (use.resident_pages > pages) {
            pages = use.resident_pages;
            largest = p;
        }
    }
    if (largest == t->process)
        largest = NULL;
    if (largest && !largest->group_exiting && t->short_of_memory == 1) {
        vmk_log(VMK_LOG_WARN, "User: no memory for %s (%u): %s (%u) has most and is killed",
                t->process->name, t->process->pid, largest->name, largest->pid);
        signal_send_locked(largest, NULL, L_SIGKILL, NULL);
    }
    spin_unlock(&user->lock, irqs);
    if (largest)
        (void)!world_sleep_until(plat_time_now() + OOM_WAIT_NS);
    return largest;
}

static void page_fault(struct thread *t, const struct plat_user_trap *trap)
{
    unsigned access = trap->error_code & PF_FETCH   ? ASPACE_EXEC
                      : trap->error_code & PF_WRITE ? ASPACE_WRITE
                                                    : ASPACE_READ;
    vmk_status status;

    if (access == ASPACE_EXEC && trap->address == t->regs.rip && vsyscall(t))
        return;
    status = aspace_fault(t->as, trap->address, access);
    t->process->minor_faults++;
    switch (status) {
    case VMK_OK: t->short_of_memory = 0; return;
    case VMK_KILLED:
    case VMK_INTERRUPTED: return;
    case VMK_FAULT: signal_force(t, L_SIGSEGV, L_SEGV_MAPERR, trap->address); return;
    case VMK_NO_PERMISSION: signal_force(t, L_SIGSEGV, L_SEGV_ACCERR, trap->address); return;
    case VMK_NO_MEMORY:
        if (make_room(t))
            return;
        vmk_log(VMK_LOG_WARN, "User: %s (%u): no memory for a page, killed", t->process->name,
                t->process->pid);
        process_exit_begin(t->process, L_SIGKILL);
        return;
    default: signal_force(t, L_SIGBUS, L_BUS_ADRERR, trap->address); return;
    }
}

static void exception(struct thread *t, const struct plat_user_trap *trap)
{
    uint64_t rip = t->regs.rip;

    t->fault_vector = trap->vector;
    t->fault_error = trap->error_code;
    t->fault_address = trap->address;
    switch (trap->vector) {
    case VECTOR_PF: page_fault(t, trap); break;
    case VECTOR_DE: signal_force(t, L_SIGFPE, L_FPE_INTDIV, rip); break;
    case VECTOR_DB: signal_force(t, L_SIGTRAP, L_TRAP_TRACE, rip); break;
    case VECTOR_BP: signal_force(t, L_SIGTRAP, L_SI_KERNEL, 0); break;
    case VECTOR_UD: signal_force(t, L_SIGILL, L_ILL_ILLOPN, rip); break;
    case VECTOR_MF:
    case VECTOR_XM: signal_force(t, L_SIGFPE, L_FPE_FLTINV, rip); break;
    case VECTOR_AC: signal_force(t, L_SIGBUS, L_BUS_ADRALN, 0); break;
    case VECTOR_SS: signal_force(t, L_SIGBUS, L_SI_KERNEL, 0); break;
    case VECTOR_OF:
    case VECTOR_BR:
    case VECTOR_GP:
    default: signal_force(t, L_SIGSEGV, L_SI_KERNEL, 0); break;
    }
}

/* One visit to ring 3. Irqs off on call, on on return. */
static void run_once(struct thread *t, struct plat_user_trap *trap)
{
    struct aspace *as = t->as;
    uint64_t began, ticks, *of_cpu;

    aspace_enter(as);
    began = plat_tsc_now();
    __atomic_store_n(&t->user_entered, began, __ATOMIC_RELAXED);
    plat_user_run(&t->regs, aspace_root(as), trap);
    __atomic_store_n(&t->user_entered, 0, __ATOMIC_RELAXED);
    ticks = plat_tsc_now() - began;
    t->user_tsc += ticks;
    of_cpu = &user_state()->cpu_user_tsc[plat_cpu_self()];
    __atomic_store_n(of_cpu, *of_cpu + ticks, __ATOMIC_RELAXED);
    aspace_leave(as);
    plat_irq_restore(true);
}

void thread_main(void *argument)
{
    struct thread *t = argument;
    struct user_state *user = user_state();
    struct plat_user_trap trap;
    bool irqs = spin_lock(&user->lock);

    t->world = world_current();
    signal_recalculate_locked(t);
    spin_unlock(&user->lock, irqs);
    if (t->set_child_tid)
        (void)!aspace_copy_out(t->as, t->set_child_tid, &t->tid, sizeof(t->tid));
    for (;;) {
        (void)plat_irq_save();
        if (__atomic_load_n(&t->work, __ATOMIC_SEQ_CST) || world_kill_pending()) {
            plat_irq_restore(true);
            if (world_kill_pending())
                process_exit_begin(t->process, L_SIGKILL);
            signal_deliver(t);
            continue;
        }
        run_once(t, &trap);
        switch (trap.kind) {
        case PLAT_USER_SYSCALL: syscall_dispatch(t); break;
        case PLAT_USER_EXCEPTION: exception(t, &trap); break;
        case PLAT_USER_INTERRUPT: break;
        }
    }
}
