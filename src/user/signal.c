// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/signal.c -- signals: sending, and what a thread does about them before it goes to ring 3.
 *
 * Sending puts the signal on a pending set, of a thread or of the process, and wakes a thread
 * that may take it. Taking happens in the thread itself, in signal_deliver(): ignore, stop,
 * end, or run a handler. What needs no thread to run happens while sending: SIGCONT and SIGKILL
 * wake a stopped process, and stop signals and SIGCONT take each other off.
 *
 * Invariants
 *   - SIGKILL and SIGSTOP are never blocked.
 *   - thread.work has SIGNAL whenever the thread has a signal that it does not block, or must
 *     stop (signal_recalculate_locked(); too often is harmless).
 *   - Signals below 32 are pending once; the others queue, up to USER_SIGNALS_QUEUED of a
 *     process.
 * Locking    the user lock.
 * Start at   signal_send_locked(), signal_deliver().
 * Sources    POSIX.1-2017 "Signal Concepts"
 */
#include "core/assert.h"
#include "core/log.h"
#include "lib/string.h"
#include "user/user_internal.h"

#define STOP_SIGNALS                                                                           \
    (SIGNAL_BIT(L_SIGSTOP) | SIGNAL_BIT(L_SIGTSTP) | SIGNAL_BIT(L_SIGTTIN) |                   \
     SIGNAL_BIT(L_SIGTTOU))
#define DEFAULT_IGNORED                                                                        \
    (SIGNAL_BIT(L_SIGCHLD) | SIGNAL_BIT(L_SIGCONT) | SIGNAL_BIT(L_SIGURG) |                    \
     SIGNAL_BIT(L_SIGWINCH))
#define DEFAULT_CORE                                                                           \
    (SIGNAL_BIT(L_SIGQUIT) | SIGNAL_BIT(L_SIGILL) | SIGNAL_BIT(L_SIGTRAP) |                    \
     SIGNAL_BIT(L_SIGABRT) | SIGNAL_BIT(L_SIGBUS) | SIGNAL_BIT(L_SIGFPE) |                     \
     SIGNAL_BIT(L_SIGSEGV) | SIGNAL_BIT(L_SIGSYS) | SIGNAL_BIT(L_SIGXCPU) |                    \
     SIGNAL_BIT(L_SIGXFSZ))

void pending_init(struct user_pending *pending)
{
    pending->set = 0;
    list_init(&pending->queue);
}

void pending_flush(struct user_pending *pending)
{
    list_for_each_safe (node, after, &pending->queue) {
        list_remove(node);
        heap_free(list_entry(node, struct user_signal, link));
    }
    pending->set = 0;
}

/* Takes the signals of `set` away. */
static void pending_remove(struct process *p, struct user_pending *pending, uint64_t set)
{
    if (!(pending->set & set))
        return;
    pending->set &= ~set;
    list_for_each_safe (node, after, &pending->queue) {
        struct user_signal *s = list_entry(node, struct user_signal, link);

        if (SIGNAL_BIT(s->info.signo) & set) {
            list_remove(node);
            heap_free(s);
            p->queued--;
        }
    }
}

static void remove_everywhere(struct process *p, uint64_t set)
{
    pending_remove(p, &p->pending, set);
    list_for_each (node, &p->threads)
        pending_remove(p, &list_entry(node, struct thread, process_link)->pending, set);
}

static void pending_add(struct process *p, struct user_pending *pending, int signal,
                        const struct l_siginfo *info)
{
    struct user_signal *s;

    if (signal < L_SIGRTMIN && (pending->set & SIGNAL_BIT(signal)))
        return;
    pending->set |= SIGNAL_BIT(signal);
    if (p->queued >= USER_SIGNALS_QUEUED)
        return;  // it is pending, without its details
    s = heap_alloc(sizeof(*s), MEM_OWNER_USER);
    if (!s)
        return;
    if (info)
        s->info = *info;
    else
        s->info.code = L_SI_KERNEL;
    s->info.signo = signal;
    list_init(&s->link);
    list_add_tail(&pending->queue, &s->link);
    p->queued++;
}

/* Takes one signal out of `pending`; queued ones of the same number stay pending. */
static void pending_take(struct process *p, struct user_pending *pending, int signal,
                         struct l_siginfo *info)
{
    bool found = false, more = false;

    list_for_each_safe (node, after, &pending->queue) {
        struct user_signal *s = list_entry(node, struct user_signal, link);

        if (s->info.signo != signal)
            continue;
        if (found) {
            more = true;
            break;
        }
        found = true;
        *info = s->info;
        list_remove(node);
        heap_free(s);
        p->queued--;
    }
    if (!found)
        *info = (struct l_siginfo){.signo = signal, .code = L_SI_USER};
    else if (info->code == L_SI_TIMER)
        posix_timer_taken_locked(p, info);
    if (!more)
        pending->set &= ~SIGNAL_BIT(signal);
}

int signal_take_locked(struct thread *t, uint64_t set, struct l_siginfo *info)
{
    struct process *p = t->process;
    uint64_t mine = t->pending.set & set, all = p->pending.set & set;
    /* Faults of the thread itself come first: its registers are about them. */
    const uint64_t synchronous = SIGNAL_BIT(L_SIGSEGV) | SIGNAL_BIT(L_SIGBUS) |
                                 SIGNAL_BIT(L_SIGILL) | SIGNAL_BIT(L_SIGTRAP) |
                                 SIGNAL_BIT(L_SIGFPE) | SIGNAL_BIT(L_SIGSYS);
    uint64_t from = mine & synchronous ? mine & synchronous : mine ? mine : all;
    int signal;

    if (!from)
        return 0;
    signal = __builtin_ctzll(from) + 1;
    pending_take(p, mine ? &t->pending : &p->pending, signal, info);
    return signal;
}

/* ---- sending ---- */

static bool default_ignores(int signal)
{
    return signal < L_SIGRTMIN && (SIGNAL_BIT(signal) & DEFAULT_IGNORED);
}

static bool ignored(const struct process *p, int signal)
{
    uint64_t handler = p->actions->actions[signal - 1].handler;

    if (SIGNAL_BIT(signal) & SIGNAL_UNBLOCKABLE)
        return false;
    return handler == L_SIG_IGN || (handler == L_SIG_DFL && default_ignores(signal));
}

void thread_kick_locked(struct thread *t)
{
    if (!t->world)
        return;  // it looks when it starts
    world_interrupt(t->world);

    uint32_t cpu = __atomic_load_n(&t->on_cpu, __ATOMIC_SEQ_CST);

    if (cpu && t != thread_current())
        plat_cpu_kick(cpu - 1);
}

static bool wanted_by(const struct thread *t, int signal)
{
    return !(t->blocked & SIGNAL_BIT(signal)) || (t->waiting_for & SIGNAL_BIT(signal));
}

static void wake_for(struct thread *t)
{
    __atomic_fetch_or(&t->work, THREAD_WORK_SIGNAL, __ATOMIC_SEQ_CST);
    thread_kick_locked(t);
}

static void process_stop_notify_locked(struct process *p, int code, int status)
{
    struct process *parent = p->parent;
    struct l_siginfo info = {.signo = L_SIGCHLD, .code = code};

    if (!parent || !parent->actions)
        return;
    info.pid = (int32_t)p->pid;
    info.uid = p->uid;
    info.child.status = status;
    if (!(parent->actions->actions[L_SIGCHLD - 1].flags & L_SA_NOCLDSTOP))
        signal_send_locked(parent, NULL, L_SIGCHLD, &info);
    (void)wait_queue_wake(&parent->child_wait, WAIT_QUEUE_ALL);
}

/* SIGCONT or SIGKILL to a stopped process. */
static void resume(struct process *p, bool report)
{
    remove_everywhere(p, STOP_SIGNALS);
    if (!p->stopped)
        return;
    p->stopped = false;
    p->report_stop = false;
    (void)wait_queue_wake(&p->stop_wait, WAIT_QUEUE_ALL);
    if (report) {
        p->report_continue = true;
        process_stop_notify_locked(p, L_CLD_CONTINUED, L_SIGCONT);
    }
}

void signal_send_locked(struct process *p, struct thread *t, int signal,
                        const struct l_siginfo *info)
{
    struct thread *taker = t;

    if (signal < 1 || signal > (int)L_NSIG || p->state != PROCESS_RUNNING || !p->actions)
        return;
    if (signal == L_SIGCONT)
        resume(p, true);
    else if (signal == L_SIGKILL)
        resume(p, false);
    else if (SIGNAL_BIT(signal) & STOP_SIGNALS)
        remove_everywhere(p, SIGNAL_BIT(L_SIGCONT));

    if (!taker) {
        list_for_each (node, &p->threads) {
            struct thread *candidate = list_entry(node, struct thread, process_link);

            if (!taker || wanted_by(candidate, signal)) {
                taker = candidate;
                if (wanted_by(candidate, signal))
                    break;
            }
        }
        if (!taker)
            return;
    }
    if (ignored(p, signal) && wanted_by(taker, signal) &&
        !(taker->waiting_for & SIGNAL_BIT(signal)))
        return;
    /*
     * Process 1 gets only what it asked for: by a handler, or by blocking it for
     * sigtimedwait().
     */
    if (p == user_state()->init && !(taker->blocked & SIGNAL_BIT(signal)) &&
        p->actions->actions[signal - 1].handler == L_SIG_DFL && info &&
        (info->code == L_SI_USER || info->code == L_SI_TKILL))
        return;
    pending_add(p, t ? &t->pending : &p->pending, signal, info);
    signalfds_tell_locked(signal);
    if (wanted_by(taker, signal))
        wake_for(taker);
}

void signal_send(struct process *p, struct thread *t, int signal, const struct l_siginfo *info)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    signal_send_locked(p, t, signal, info);
    spin_unlock(&user->lock, irqs);
}

void signal_force(struct thread *t, int signal, int code, uint64_t address)
{
    struct user_state *user = user_state();
    struct l_siginfo info = {.signo = signal, .code = code};
    struct l_sigaction *action;
    bool irqs = spin_lock(&user->lock);

    info.address = address;
    action = &t->process->actions->actions[signal - 1];
    if (action->handler == L_SIG_IGN || (t->blocked & SIGNAL_BIT(signal))) {
        action->handler = L_SIG_DFL;
        t->blocked &= ~SIGNAL_BIT(signal);
    }
    pending_add(t->process, &t->pending, signal, &info);
    __atomic_fetch_or(&t->work, THREAD_WORK_SIGNAL, __ATOMIC_SEQ_CST);
    spin_unlock(&user->lock, irqs);
}

unsigned signal_group_locked(uint32_t group, int signal, const struct l_siginfo *info)
{
    unsigned count = 0;

    list_for_each_safe (node, after, &user_state()->processes) {
        struct process *p = list_entry(node, struct process, all_link);

        if (p->group != group)
            continue;
        count++;
        if (signal)
            signal_send_locked(p, NULL, signal, info);
    }
    return count;
}

void signal_recalculate_locked(struct thread *t)
{
    uint64_t set = (t->pending.set | t->process->pending.set) & ~t->blocked;

    if (set || t->process->stopped)
        wake_for(t);
}

bool signal_pending(struct thread *t)
{
    return ((t->pending.set | t->process->pending.set) & ~t->blocked) ||
           (__atomic_load_n(&t->work, __ATOMIC_SEQ_CST) & THREAD_WORK_EXIT);
}

void signal_mask_set(struct thread *t, uint64_t mask)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    t->blocked = mask & ~SIGNAL_UNBLOCKABLE;
    /* A signal of the process that only this thread let in may now be another thread's. */
    list_for_each (node, &t->process->threads)
        signal_recalculate_locked(list_entry(node, struct thread, process_link));
    spin_unlock(&user->lock, irqs);
}

bool signal_ignored_by(struct thread *t, int signal)
{
    return (t->blocked & SIGNAL_BIT(signal)) ||
           t->process->actions->actions[signal - 1].handler == L_SIG_IGN;
}

/* ---- stopping ---- */

static void stop_locked(struct process *p, int signal)
{
    p->stopped = true;
    p->stop_signal = signal;
    p->report_stop = true;
    p->report_continue = false;
    list_for_each (node, &p->threads)
        wake_for(list_entry(node, struct thread, process_link));
    process_stop_notify_locked(p, L_CLD_STOPPED, signal);
}

/* ---- taking ---- */

enum action {
    ACTION_IGNORE,
    ACTION_STOP,
    ACTION_END,
    ACTION_CORE,
    ACTION_HANDLER,
};

static enum action action_of(const struct process *p, int signal)
{
    uint64_t handler = p->actions->actions[signal - 1].handler;
    uint64_t bit = SIGNAL_BIT(signal);

    if (handler == L_SIG_IGN && !(bit & SIGNAL_UNBLOCKABLE))
        return ACTION_IGNORE;
    if (handler != L_SIG_DFL && !(bit & SIGNAL_UNBLOCKABLE))
        return ACTION_HANDLER;
    if (default_ignores(signal))
        return ACTION_IGNORE;
    if (bit & STOP_SIGNALS) {
        /* Nobody could continue an orphaned group that its terminal stops. */
        if (signal != L_SIGSTOP && job_group_orphaned_locked(p->group, NULL))
            return ACTION_IGNORE;
        return ACTION_STOP;
    }
    return signal < L_SIGRTMIN && (bit & DEFAULT_CORE) ? ACTION_CORE : ACTION_END;
}

/* A system call that was interrupted: what it returns, now that a handler will run. */
static void syscall_ends(struct thread *t, const struct l_sigaction *action)
{
    int64_t result = (int64_t)t->regs.gpr[0];
    bool again = result == -L_ERESTARTNOINTR ||
                 (result == -L_ERESTARTSYS && (action->flags & L_SA_RESTART));

    if (t->syscall < 0)
        return;
    if (again) {
        t->regs.gpr[0] = (uint64_t)t->syscall;
        t->regs.rip -= 2;
    } else if (result == -L_ERESTARTSYS || result == -L_ERESTARTNOHAND ||
               result == -L_ERESTART_RESTARTBLOCK) {
        t->regs.gpr[0] = (uint64_t)-L_EINTR;
    }
    t->syscall = -1;
}

/* No handler ran: as if nothing had happened. */
static void syscall_restarts(struct thread *t)
{
    int64_t result = (int64_t)t->regs.gpr[0];

    if (t->syscall < 0)
        return;
    if (result == -L_ERESTARTSYS || result == -L_ERESTARTNOINTR ||
        result == -L_ERESTARTNOHAND) {
        t->regs.gpr[0] = (uint64_t)t->syscall;
        t->regs.rip -= 2;
    } else if (result == -L_ERESTART_RESTARTBLOCK) {
        t->regs.gpr[0] = 219;  // restart_syscall
        t->regs.rip -= 2;
    }
    t->syscall = -1;
}

static void run_handler(struct thread *t, int signal, const struct l_siginfo *info,
                        const struct l_sigaction *action)
{
    uint64_t mask = t->restore_mask ? t->saved_mask : t->blocked;

    syscall_ends(t, action);
    t->restore_mask = false;
    if (!sigframe_push(t, signal, action, info, mask)) {
        vmk_log(VMK_LOG_INFO, "User: %s (%u): no room on the stack for signal %d",
                t->process->name, t->process->pid, signal);
        core_report(t, L_SIGSEGV, info);
        process_exit_begin(t->process, L_SIGSEGV);
        return;
    }
    signal_mask_set(t, t->blocked | action->mask |
                           (action->flags & L_SA_NODEFER ? 0 : SIGNAL_BIT(signal)));
}

/* Waits until the process goes on. User lock held, dropped meanwhile. */
static void stay_stopped(struct user_state *user, struct process *p, struct thread *t)
{
    while (p->stopped && !(__atomic_load_n(&t->work, __ATOMIC_SEQ_CST) & THREAD_WORK_EXIT)) {
        spin_lock_irqs_off(&p->stop_wait.lock);
        spin_unlock_irqs_off(&user->lock);
        (void)!wait_queue_block_as(&p->stop_wait, PLAT_NS_NEVER, WAIT_FIRM);
        spin_lock_irqs_off(&user->lock);
    }
}

/* One round; false: nothing is left to do. */
static bool deliver_one(struct thread *t)
{
    struct user_state *user = user_state();
    struct process *p = t->process;
    struct l_sigaction action;
    struct l_siginfo info;
    enum action what;
    int signal;

    (void)world_interrupt_clear();

    bool irqs = spin_lock(&user->lock);

    if (__atomic_load_n(&t->work, __ATOMIC_SEQ_CST) & THREAD_WORK_EXIT) {
        spin_unlock(&user->lock, irqs);
        thread_exit(t);
    }
    if (p->stopped)
        stay_stopped(user, p, t);
    signal = signal_take_locked(t, ~t->blocked, &info);
    if (!signal) {
        bool more =
            p->stopped || (__atomic_load_n(&t->work, __ATOMIC_SEQ_CST) & THREAD_WORK_EXIT);

        if (!more)
            __atomic_fetch_and(&t->work, ~THREAD_WORK_SIGNAL, __ATOMIC_SEQ_CST);
        spin_unlock(&user->lock, irqs);
        return more;
    }
    what = action_of(p, signal);
    action = p->actions->actions[signal - 1];
    if (what == ACTION_HANDLER && (action.flags & L_SA_RESETHAND))
        p->actions->actions[signal - 1].handler = L_SIG_DFL;
    if (what == ACTION_STOP)
        stop_locked(p, signal);
    spin_unlock(&user->lock, irqs);

    if (what == ACTION_CORE)
        core_report(t, signal, &info);
    if (what == ACTION_CORE || what == ACTION_END)
        process_exit_begin(p, signal);
    if (what == ACTION_HANDLER)
        run_handler(t, signal, &info, &action);
    return true;
}

void signal_deliver(struct thread *t)
{
    while (deliver_one(t))
        ;
    syscall_restarts(t);
    if (t->restore_mask) {
        t->restore_mask = false;
        signal_mask_set(t, t->saved_mask);
    }
}
