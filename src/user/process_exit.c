// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/process_exit.c -- how threads and processes end, and who collects what they leave.
 *
 * The last thread of a process to end makes it a zombie and tells the parent; wait4
 * (sys_wait.c) takes the zombie off the tables. The world of a thread cannot free its own
 * stack, so a kernel world, the reaper, collects them.
 *
 * A thread that ends gives up the address space (thread_detach()) before it leaves the count of
 * threads: so when the last one frees the memory no CPU can have it loaded.
 *
 * Invariants
 *   - A zombie has no thread and no mm, fds or fs.
 * Locking    the user lock (rank USER) for tables, family and state of all processes.
 * Start at   thread_exit(), process_exit_begin().
 */
#include "core/assert.h"
#include "core/log.h"
#include "mem/page.h"
#include "user/user_internal.h"

/* ---- taking off the tables, giving up ---- */

static void thread_free(struct thread *t)
{
    page_free(paddr_to_mpn(plat_unmap_address(t->fpu)), 0, MEM_OWNER_USER);
    process_put(t->process);
    heap_free(t);
}

/* Off the tables. User lock held. */
static void thread_unlink_locked(struct thread *t)
{
    list_remove(&t->process_link);
    list_remove(&t->hash_link);
    t->process->thread_count--;
    user_state()->thread_count--;
}

void thread_discard(struct thread *t)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    thread_unlink_locked(t);
    pending_flush(&t->pending);
    spin_unlock(&user->lock, irqs);
    thread_free(t);
}

static void actions_put(struct user_actions *actions)
{
    if (actions && __atomic_fetch_sub(&actions->refs, 1, __ATOMIC_ACQ_REL) == 1)
        heap_free(actions);
}

/* Off the tables; the caller holds the user lock and drops the table's reference after it. */
static void process_unlink_locked(struct process *p, struct tty **tty)
{
    struct user_state *user = user_state();

    list_remove(&p->all_link);
    list_remove(&p->sibling_link);
    user->process_count--;
    session_put_locked(p->session, tty);
    p->session = NULL;
    pending_flush(&p->pending);
    actions_put(p->actions);
    p->actions = NULL;
    if (user->init == p)
        user->init = NULL;
}

/* Gives up what a process holds besides its struct; its memory must not be loaded anywhere. */
static void process_release(struct process *p)
{
    struct user_state *user = user_state();
    struct user_fds *fds;
    struct user_fs *fs;
    struct user_mm *mm;
    bool irqs = spin_lock(&user->lock);

    fds = p->fds;
    fs = p->fs;
    mm = p->mm;
    p->fds = NULL;
    p->fs = NULL;
    p->mm = NULL;
    spin_unlock(&user->lock, irqs);
    if (fds)
        fds_put(fds);
    if (mm)
        mm_put(mm);
    if (fs)
        fs_put(fs);
}

void process_discard(struct process *p)
{
    struct user_state *user = user_state();
    struct tty *tty;

    cpu_timers_stop(p);
    process_release(p);

    bool irqs = spin_lock(&user->lock);

    process_unlink_locked(p, &tty);
    spin_unlock(&user->lock, irqs);
    if (tty)
        tty_put(tty);
    process_put(p);
}

void process_collect_locked(struct process *p, struct tty **tty)
{
    struct process *parent = p->parent;

    vmk_assert(p->state == PROCESS_ZOMBIE && p->thread_count == 0);
    if (parent) {
        parent->children_utime += p->dead_utime + p->children_utime;
        parent->children_stime += p->dead_stime + p->children_stime;
    }
    process_unlink_locked(p, tty);
}

void process_vfork_release(struct thread *t)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    if (t->vfork_done) {
        /* Under the lock: the parent takes it before it leaves the frame that these live in. */
        __atomic_store_n(t->vfork_done, true, __ATOMIC_RELEASE);
        (void)wait_queue_wake(t->vfork_wait, WAIT_QUEUE_ALL);
        t->vfork_done = NULL;
    }
    spin_unlock(&user->lock, irqs);
}

void process_exit_begin(struct process *p, int status)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    if (!p->group_exiting) {
        p->group_exiting = true;
        p->exit_status = status;
        p->stopped = false;
        (void)wait_queue_wake(&p->stop_wait, WAIT_QUEUE_ALL);
    }
    list_for_each (node, &p->threads) {
        struct thread *t = list_entry(node, struct thread, process_link);

        __atomic_fetch_or(&t->work, THREAD_WORK_EXIT, __ATOMIC_SEQ_CST);
        thread_kick_locked(t);
    }
    spin_unlock(&user->lock, irqs);
}

bool process_single_thread(struct thread *self)
{
    struct user_state *user = user_state();
    struct process *p = self->process;
    bool irqs = spin_lock(&user->lock);

    if (p->group_exiting || p->group_execing) {
        spin_unlock(&user->lock, irqs);
        return false;
    }
    p->group_execing = true;
    list_for_each (node, &p->threads) {
        struct thread *t = list_entry(node, struct thread, process_link);

        if (t == self)
            continue;
        __atomic_fetch_or(&t->work, THREAD_WORK_EXIT, __ATOMIC_SEQ_CST);
        thread_kick_locked(t);
    }
    while (p->thread_count > 1) {
        spin_lock_irqs_off(&p->stop_wait.lock);
        spin_unlock_irqs_off(&user->lock);
        (void)!wait_queue_block_as(&p->stop_wait, PLAT_NS_NEVER, WAIT_FIRM);
        spin_lock_irqs_off(&user->lock);
    }
    /* What is left is the process: it has its number from now on. */
    if (self->tid != p->pid) {
        list_remove(&self->hash_link);
        self->tid = p->pid;
        list_add_tail(&user->threads[self->tid % USER_PID_HASH], &self->hash_link);
    }
    p->group_execing = false;
    spin_unlock(&user->lock, irqs);
    return true;
}

/* The children of a process that ends get a new parent. User lock held. */
static void reparent_locked(struct process *p)
{
    struct process *init = user_state()->init, *up = p->parent;

    if (init == p)
        init = NULL;
    while (up && (!up->subreaper || up->state != PROCESS_RUNNING))
        up = up->parent;
    if (up)
        init = up;
    list_for_each_safe (node, after, &p->children) {
        struct process *child = list_entry(node, struct process, sibling_link);

        if (child->parent_death_signal)
            signal_send_locked(child, NULL, child->parent_death_signal, NULL);
        list_remove(&child->sibling_link);
        child->parent = init;
        child->exit_signal = L_SIGCHLD;
        if (init)
            list_add_tail(&init->children, &child->sibling_link);
        job_check_orphans_locked(child, p);
        if (child->state == PROCESS_ZOMBIE && init) {
            signal_send_locked(init, NULL, L_SIGCHLD, NULL);
            (void)wait_queue_wake(&init->child_wait, WAIT_QUEUE_ALL);
        }
    }
}

/* Tells the parent; true if nobody will ask for the status. User lock held. */
static bool tell_parent_locked(struct process *p)
{
    struct process *parent = p->parent;
    const struct l_sigaction *action;
    struct l_siginfo info = {.signo = p->exit_signal};
    bool killed = p->exit_status & 0x7f;

    if (!parent) {
        (void)wait_queue_wake(&user_state()->kernel_wait, WAIT_QUEUE_ALL);
        return !p->kernel_child;
    }
    if (!p->exit_signal)
        return false;
    action = &parent->actions->actions[L_SIGCHLD - 1];
    info.code = killed ? L_CLD_KILLED : L_CLD_EXITED;
    info.pid = (int32_t)p->pid;
    info.uid = p->uid;
    info.child.status = killed ? p->exit_status & 0x7f : p->exit_status >> 8 & 0xff;
    info.child.utime = (int64_t)(p->dead_utime / (1000000000u / L_HZ));
    info.child.stime = (int64_t)(p->dead_stime / (1000000000u / L_HZ));

    bool unwanted = p->exit_signal == L_SIGCHLD &&
                    (action->handler == L_SIG_IGN || (action->flags & L_SA_NOCLDWAIT));

    signal_send_locked(parent, NULL, p->exit_signal, &info);
    (void)wait_queue_wake(&parent->child_wait, WAIT_QUEUE_ALL);
    return unwanted;
}

/* No CPU has its memory loaded because of this thread from here on. */
static void thread_detach(struct thread *t)
{
    bool irqs = plat_irq_save();

    aspace_switch_out(t->as);
    t->as = NULL;
    plat_irq_restore(irqs);
}

/* Zombies that nobody will ask for, when there is no process 1 to inherit them. */
static void collect_orphans(void)
{
    struct user_state *user = user_state();

    for (;;) {
        struct process *found = NULL;
        struct tty *tty = NULL;
        bool irqs = spin_lock(&user->lock);

        list_for_each (node, &user->processes) {
            struct process *p = list_entry(node, struct process, all_link);

            if (p->state == PROCESS_ZOMBIE && !p->parent && !p->kernel_child)
                found = p;
        }
        if (found)
            process_collect_locked(found, &tty);
        spin_unlock(&user->lock, irqs);
        if (tty)
            tty_put(tty);
        if (!found)
            return;
        process_put(found);
    }
}

/* The last thread of a process is gone: what the process leaves to others. */
static void process_end(struct process *p)
{
    struct user_state *user = user_state();
    struct tty *tty = NULL, *session_tty = NULL;
    bool unwanted, no_heir;

    alarm_stop(p);
    cpu_timers_stop(p);
    posix_timers_delete(p);
    process_release(p);
    sysv_process_end(p);

    bool irqs = spin_lock(&user->lock);

    if (p->session->id == p->pid && p->session->tty) {
        session_tty = p->session->tty;
        p->session->tty = NULL;
    }
    spin_unlock(&user->lock, irqs);
    if (session_tty) {
        tty_session_ended(session_tty, p->pid);
        tty_put(session_tty);
    }

    irqs = spin_lock(&user->lock);
    reparent_locked(p);
    job_check_orphans_locked(p, p->parent);
    p->state = PROCESS_ZOMBIE;
    if (user->init == p)
        vmk_log(VMK_LOG_WARN, "User: process 1 (%s) ended, status %x", p->name,
                (unsigned)p->exit_status);
    no_heir = !user->init || user->init == p;
    unwanted = tell_parent_locked(p);
    if (unwanted)
        process_collect_locked(p, &tty);
    spin_unlock(&user->lock, irqs);
    if (unwanted) {
        if (tty)
            tty_put(tty);
        process_put(p);
    }
    if (no_heir)
        collect_orphans();
}

void thread_exit(struct thread *t)
{
    struct user_state *user = user_state();
    struct process *p = t->process;
    uint64_t utime, stime;
    bool last;

    futex_thread_exit(t);
    process_vfork_release(t);
    thread_detach(t);
    thread_times(t, &utime, &stime);

    bool irqs = spin_lock(&user->lock);

    p->dead_utime += utime;
    p->dead_stime += stime;
    t->world = NULL;
    pending_flush(&t->pending);
    thread_unlink_locked(t);
    last = p->thread_count == 0;
    if (!last)
        (void)wait_queue_wake(&p->stop_wait, WAIT_QUEUE_ALL);
    spin_unlock(&user->lock, irqs);
    if (last)
        process_end(p);

    irqs = spin_lock(&user->lock);
    list_add_tail(&user->dead, &t->dead_link);
    spin_unlock(&user->lock, irqs);
    (void)wait_queue_wake(&user->dead_wait, 1);
    world_exit(0);
}

/* ---- the reaper ---- */

static struct thread *next_dead(struct user_state *user)
{
    bool irqs = spin_lock(&user->lock);

    while (list_is_empty(&user->dead)) {
        spin_lock_irqs_off(&user->dead_wait.lock);
        spin_unlock_irqs_off(&user->lock);
        (void)!wait_queue_block_as(&user->dead_wait, PLAT_NS_NEVER, WAIT_FIRM);
        spin_lock_irqs_off(&user->lock);
    }

    struct thread *t = list_entry(user->dead.next, struct thread, dead_link);

    list_remove(&t->dead_link);
    spin_unlock(&user->lock, irqs);
    return t;
}

void process_reaper(void *argument)
{
    struct user_state *user = user_state();

    (void)argument;
    for (;;) {
        struct thread *t = next_dead(user);
        vmk_status status;
        int code;

        do
            status = world_wait(t->world_id, PLAT_NS_NEVER, &code);
        while (status == VMK_TIMEOUT);
        thread_free(t);
    }
}
