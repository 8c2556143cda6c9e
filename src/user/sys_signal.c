// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_signal.c -- system calls about signals.
 *
 * Locking    the user lock.
 */
#include "lib/string.h"
#include "user/user_internal.h"

int64_t sys_rt_sigaction(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct l_sigaction new = {0}, old;
    int signal = (int)a[0];

    if (a[3] != 8 || signal < 1 || signal > (int)L_NSIG)
        return -L_EINVAL;
    if (a[1]) {
        if (SIGNAL_BIT(signal) & SIGNAL_UNBLOCKABLE)
            return -L_EINVAL;
        if (user_in(t, &new, a[1], sizeof(new)))
            return -L_EFAULT;
        new.mask &= ~SIGNAL_UNBLOCKABLE;
    }

    bool irqs = spin_lock(&user->lock);
    struct l_sigaction *action = &t->process->actions->actions[signal - 1];

    old = *action;
    if (a[1])
        *action = new;
    spin_unlock(&user->lock, irqs);
    return a[2] ? user_out(t, a[2], &old, sizeof(old)) : 0;
}

int64_t sys_rt_sigprocmask(struct thread *t, const uint64_t *a)
{
    uint64_t old = t->blocked, set;

    if (a[3] != 8)
        return -L_EINVAL;
    if (a[1]) {
        if (user_in(t, &set, a[1], sizeof(set)))
            return -L_EFAULT;
        switch ((int)a[0]) {
        case L_SIG_BLOCK: set |= old; break;
        case L_SIG_UNBLOCK: set = old & ~set; break;
        case L_SIG_SETMASK: break;
        default: return -L_EINVAL;
        }
        signal_mask_set(t, set);
    }
    return a[2] ? user_out(t, a[2], &old, sizeof(old)) : 0;
}

int64_t sys_rt_sigreturn(struct thread *t, const uint64_t *a)
{
    (void)a;
    return sigframe_pop(t);
}

int64_t sys_rt_sigpending(struct thread *t, const uint64_t *a)
{
    uint64_t set = (t->pending.set | t->process->pending.set) & t->blocked;

    if (a[1] > 8)
        return -L_EINVAL;
    return user_out(t, a[0], &set, (size_t)a[1]);
}

int64_t sys_rt_sigsuspend(struct thread *t, const uint64_t *a)
{
    uint64_t mask;

    if (a[1] != 8)
        return -L_EINVAL;
    if (user_in(t, &mask, a[0], sizeof(mask)))
        return -L_EFAULT;
    t->saved_mask = t->blocked;
    t->restore_mask = true;
    signal_mask_set(t, mask);
    return sys_pause(t, a);
}

int64_t sys_rt_sigtimedwait(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct wait_queue queue;
    struct l_siginfo info;
    plat_ns deadline = PLAT_NS_NEVER, duration;
    vmk_status status = VMK_OK;
    uint64_t set;
    int signal;

    if (a[3] != 8)
        return -L_EINVAL;
    if (user_in(t, &set, a[0], sizeof(set)))
        return -L_EFAULT;
    if (a[2]) {
        int64_t error = timespec_in(t, a[2], &duration);

        if (error)
            return error;
        deadline = deadline_after(duration);
    }
    set &= ~SIGNAL_UNBLOCKABLE;
    wait_queue_init(&queue, "sigtimedwait");

    bool irqs = spin_lock(&user->lock);

    for (;;) {
        signal = signal_take_locked(t, set, &info);
        if (signal || status != VMK_OK || plat_time_now() >= deadline)
            break;
        t->waiting_for = set;
        spin_lock_irqs_off(&queue.lock);
        spin_unlock_irqs_off(&user->lock);
        status = wait_queue_block_interruptible(&queue, deadline);
        spin_lock_irqs_off(&user->lock);
    }
    t->waiting_for = 0;
    spin_unlock(&user->lock, irqs);
    if (!signal)
        return status == VMK_INTERRUPTED || status == VMK_KILLED ? -L_EINTR : -L_EAGAIN;
    if (a[1] && user_out(t, a[1], &info, sizeof(info)))
        return -L_EFAULT;
    return signal;
}

int64_t sys_sigaltstack(struct thread *t, const uint64_t *a)
{
    struct l_stack old = t->altstack, new;
    uint64_t sp = t->regs.gpr[4];
    bool active = !(old.flags & L_SS_DISABLE) && sp > old.sp && sp - old.sp <= old.size;

    if (active)
        old.flags |= L_SS_ONSTACK;
    if (a[0]) {
        if (user_in(t, &new, a[0], sizeof(new)))
            return -L_EFAULT;
        if (active)
            return -L_EPERM;
        if ((new.flags & ~(L_SS_DISABLE | L_SS_ONSTACK | L_SS_AUTODISARM)) ||
            (new.flags &(L_SS_DISABLE | L_SS_ONSTACK)) == (L_SS_DISABLE | L_SS_ONSTACK))
            return -L_EINVAL;
        if (new.flags & L_SS_DISABLE)
            new = (struct l_stack){.flags = L_SS_DISABLE};
        else if (new.size < L_MINSIGSTKSZ)
            return -L_ENOMEM;
        new.flags &= ~L_SS_ONSTACK;
        new.pad = 0;
        t->altstack = new;
    }
    return a[1] ? user_out(t, a[1], &old, sizeof(old)) : 0;
}

/* ---- kill ---- */

static bool may_signal(const struct process *from, const struct process *to, int signal)
{
    if (from->euid == 0 || from->euid == to->suid || from->euid == to->uid ||
        from->uid == to->suid || from->uid == to->uid)
        return true;
    return signal == L_SIGCONT && from->session == to->session;
}

static struct l_siginfo info_of(const struct process *p, int signal, int code)
{
    struct l_siginfo info = {.signo = signal, .code = code};

    info.pid = (int32_t)p->pid;
    info.uid = p->uid;
    return info;
}

/* kill(2) to a group (0: all but process 1 and the caller). User lock held. */
static int64_t kill_many_locked(struct process *from, uint32_t group, int signal,
                                const struct l_siginfo *info)
{
    struct user_state *user = user_state();
    bool found = false, allowed = false;

    list_for_each_safe (node, after, &user->processes) {
        struct process *p = list_entry(node, struct process, all_link);

        if (group ? p->group != group : p == user->init || p == from)
            continue;
        found = true;
        if (!may_signal(from, p, signal))
            continue;
        allowed = true;
        if (signal)
            signal_send_locked(p, NULL, signal, info);
    }
    return !found ? -L_ESRCH : allowed ? 0 : -L_EPERM;
}

/* To one process (thread null: any of its threads), if `from` may. User lock held. */
static int64_t kill_one_locked(const struct process *from, struct process *p,
                               struct thread *thread, int signal, const struct l_siginfo *info)
{
    if (!p)
        return -L_ESRCH;
    if (!may_signal(from, p, signal))
        return -L_EPERM;
    if (signal)
        signal_send_locked(p, thread, signal, info);
    return 0;
}

int64_t sys_kill(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    int32_t pid = (int32_t)a[0];
    int signal = (int)a[1];
    struct l_siginfo info = info_of(t->process, signal, L_SI_USER);
    struct process *p;
    int64_t result;

    if (signal < 0 || signal > (int)L_NSIG)
        return -L_EINVAL;

    bool irqs = spin_lock(&user->lock);

    if (pid > 0) {
        const struct thread *thread = thread_find_locked((uint32_t)pid);

        p = process_find_locked((uint32_t)pid);
        if (!p && thread)
            p = thread->process;
        result = kill_one_locked(t->process, p, NULL, signal, &info);
    } else if (pid == -1) {
        result = kill_many_locked(t->process, 0, signal, &info);
    } else {
        result = kill_many_locked(t->process, pid ? (uint32_t)-pid : t->process->group, signal,
                                  &info);
    }
    spin_unlock(&user->lock, irqs);
    return result;
}

static int64_t kill_thread(struct thread *t, uint32_t group, uint32_t tid, int signal)
{
    struct user_state *user = user_state();
    struct l_siginfo info = info_of(t->process, signal, L_SI_TKILL);
    struct thread *target;
    int64_t result = -L_ESRCH;

    if (signal < 0 || signal > (int)L_NSIG || (int32_t)tid <= 0)
        return -L_EINVAL;

    bool irqs = spin_lock(&user->lock);

    target = thread_find_locked(tid);
    if (target && (!group || target->process->pid == group))
        result = kill_one_locked(t->process, target->process, target, signal, &info);
    spin_unlock(&user->lock, irqs);
    return result;
}

int64_t sys_tgkill(struct thread *t, const uint64_t *a)
{
    if ((int32_t)a[0] <= 0)
        return -L_EINVAL;
    return kill_thread(t, (uint32_t)a[0], (uint32_t)a[1], (int)a[2]);
}

int64_t sys_tkill(struct thread *t, const uint64_t *a)
{
    return kill_thread(t, 0, (uint32_t)a[0], (int)a[1]);
}

int64_t sys_rt_sigqueueinfo(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct l_siginfo info;
    int signal = (int)a[1];
    int64_t result;

    if (signal < 0 || signal > (int)L_NSIG)
        return -L_EINVAL;
    if (user_in(t, &info, a[2], sizeof(info)))
        return -L_EFAULT;
    if (info.code >= 0 || info.code == L_SI_TKILL)
        return -L_EPERM;
    info.signo = signal;

    bool irqs = spin_lock(&user->lock);

    result =
        kill_one_locked(t->process, process_find_locked((uint32_t)a[0]), NULL, signal, &info);
    spin_unlock(&user->lock, irqs);
    return result;
}

int64_t sys_rt_tgsigqueueinfo(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct l_siginfo info;
    struct thread *to;
    int signal = (int)a[2];
    int64_t result = -L_ESRCH;

    if (signal < 0 || signal > (int)L_NSIG || (int32_t)a[0] <= 0 || (int32_t)a[1] <= 0)
        return -L_EINVAL;
    if (user_in(t, &info, a[3], sizeof(info)))
        return -L_EFAULT;
    if (info.code >= 0 || info.code == L_SI_TKILL)
        return -L_EPERM;
    info.signo = signal;

    bool irqs = spin_lock(&user->lock);

    to = thread_find_locked((uint32_t)a[1]);
    if (to && to->process->pid == (uint32_t)a[0])
        result = kill_one_locked(t->process, to->process, to, signal, &info);
    spin_unlock(&user->lock, irqs);
    return result;
}

/* ---- a mask for the time of a call ---- */

int64_t temporary_mask_begin(struct thread *t, uint64_t mask_at, uint64_t size)
{
    uint64_t mask;

    if (!mask_at)
        return 0;
    if (size != 8)
        return -L_EINVAL;
    if (user_in(t, &mask, mask_at, sizeof(mask)))
        return -L_EFAULT;
    t->saved_mask = t->blocked;
    t->restore_mask = true;
    signal_mask_set(t, mask);
    return 0;
}

/* After an interruption the handler runs with the temporary mask; else it ends here. */
void temporary_mask_end(struct thread *t, int64_t result)
{
    if (!t->restore_mask)
        return;
    if (result == -L_EINTR || result == -L_ERESTARTNOHAND) {
        __atomic_fetch_or(&t->work, THREAD_WORK_SIGNAL, __ATOMIC_SEQ_CST);
        return;
    }
    t->restore_mask = false;
    signal_mask_set(t, t->saved_mask);
}
