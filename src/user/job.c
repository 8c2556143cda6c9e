// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/job.c -- sessions, process groups, and what terminals ask about them.
 *
 * A group is orphaned when no member has a parent in another group of the same session: then
 * nobody would continue it, so terminals do not stop it, and when it becomes so with stopped
 * members they are sent SIGHUP and SIGCONT (POSIX.1-2017 "Orphaned Process Group").
 *
 * Locking    the user lock; terminals are called without it.
 */
#include "core/assert.h"
#include "lib/string.h"
#include "user/user_internal.h"

/* ---- orphans ---- */

/* `without` counts as gone already. */
bool job_group_orphaned_locked(uint32_t group, const struct process *without)
{
    list_for_each (node, &user_state()->processes) {
        const struct process *p = list_entry(node, struct process, all_link);

        // cppcheck-suppress nullPointerRedundantCheck
        if (p->group != group || p == without || p->state == PROCESS_ZOMBIE || !p->parent ||
            p->parent->state == PROCESS_ZOMBIE)
            continue;
        if (p->parent->group != group && p->parent->session == p->session)
            return false;
    }
    return true;
}

static bool has_stopped_locked(uint32_t group)
{
    list_for_each (node, &user_state()->processes) {
        const struct process *p = list_entry(node, struct process, all_link);

        if (p->group == group && p->stopped)
            return true;
    }
    return false;
}

void job_check_orphans_locked(struct process *p, struct process *parent)
{
    const struct process *gone = p->thread_count == 0 ? p : NULL;

    /* Only if the tie that is cut was one that counted. */
    if (!parent || parent->group == p->group || parent->session != p->session)
        return;
    if (!job_group_orphaned_locked(p->group, gone) || !has_stopped_locked(p->group))
        return;
    (void)signal_group_locked(p->group, L_SIGHUP, NULL);
    (void)signal_group_locked(p->group, L_SIGCONT, NULL);
}

/* ---- system calls ---- */

int64_t sys_setpgid(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct process *self = t->process, *p;
    uint32_t pid = (uint32_t)a[0], group = (uint32_t)a[1];
    bool exists = false;
    int64_t result = 0;

    if ((int32_t)group < 0)
        return -L_EINVAL;

    bool irqs = spin_lock(&user->lock);

    p = pid ? process_find_locked(pid) : self;
    if (p && !group)
        group = p->pid;
    if (!p || (p != self && p->parent != self)) {
        result = -L_ESRCH;
    } else if (p->session != self->session || p->session->id == p->pid) {
        result = -L_EPERM;
    } else if (p != self && p->execed) {
        result = -L_EACCES;
    } else if (group != p->pid) {
        list_for_each (node, &user->processes) {
            const struct process *other = list_entry(node, struct process, all_link);

            exists |= other->group == group && other->session == p->session;
        }
        if (!exists)
            result = -L_EPERM;
    }
    if (!result)
        p->group = group;
    spin_unlock(&user->lock, irqs);
    return result;
}

int64_t sys_getpgid(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);
    const struct process *p = a[0] ? process_find_locked((uint32_t)a[0]) : t->process;
    int64_t result = p ? (int64_t)p->group : -L_ESRCH;

    spin_unlock(&user->lock, irqs);
    return result;
}

int64_t sys_getpgrp(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->process->group;
}

int64_t sys_getsid(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);
    const struct process *p = a[0] ? process_find_locked((uint32_t)a[0]) : t->process;
    int64_t result = p ? (int64_t)p->session->id : -L_ESRCH;

    spin_unlock(&user->lock, irqs);
    return result;
}

int64_t sys_setsid(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct process *p = t->process;
    struct user_session *fresh = heap_alloc(sizeof(*fresh), MEM_OWNER_USER);
    struct tty *tty = NULL;
    int64_t result = p->pid;

    (void)a;
    if (!fresh)
        return -L_ENOMEM;

    bool irqs = spin_lock(&user->lock);

    list_for_each (node, &user->processes) {
        const struct process *other = list_entry(node, struct process, all_link);

        if (other->group == p->pid)
            result = -L_EPERM;
    }
    if (result > 0) {
        fresh->id = p->pid;
        session_put_locked(p->session, &tty);
        process_session_set_locked(p, fresh);
        p->group = p->pid;
        fresh = NULL;
    }
    spin_unlock(&user->lock, irqs);
    heap_free(fresh);
    if (tty)
        tty_put(tty);
    return result;
}

/* ---- for terminals ---- */

static bool hook_current(struct tty_process *out)
{
    struct thread *t = thread_current();
    struct user_state *user = user_state();

    if (!t)
        return false;

    bool irqs = spin_lock(&user->lock);

    out->pid = t->process->pid;
    out->group = t->process->group;
    out->session = t->process->session->id;
    out->session_leader = out->session == out->pid;
    spin_unlock(&user->lock, irqs);
    return true;
}

static struct tty *hook_controlling(void)
{
    struct thread *t = thread_current();
    struct user_state *user = user_state();
    struct tty *tty;

    if (!t)
        return NULL;

    bool irqs = spin_lock(&user->lock);

    tty = t->process->session->tty;
    if (tty)
        tty_ref(tty);
    spin_unlock(&user->lock, irqs);
    return tty;
}

static void hook_controlling_set(uint32_t session, struct tty *tty)
{
    struct user_state *user = user_state();
    struct user_session *found = NULL;
    struct tty *old = NULL;
    bool irqs = spin_lock(&user->lock);

    list_for_each (node, &user->processes) {
        struct process *p = list_entry(node, struct process, all_link);

        if (p->session->id == session)
            found = p->session;
    }
    if (found && found->tty != tty) {
        old = found->tty;
        found->tty = tty;
        if (tty)
            tty_ref(tty);
    }
    spin_unlock(&user->lock, irqs);
    if (old)
        tty_put(old);
}

static vmk_status hook_signal_group(uint32_t group, unsigned signal)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);
    unsigned count = signal_group_locked(group, (int)signal, NULL);

    spin_unlock(&user->lock, irqs);
    return count ? VMK_OK : VMK_NOT_FOUND;
}

static bool hook_signal_ignored(unsigned signal)
{
    struct thread *t = thread_current();

    return t && signal_ignored_by(t, (int)signal);
}

static bool hook_group_orphaned(uint32_t group)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);
    bool orphaned = job_group_orphaned_locked(group, NULL);

    spin_unlock(&user->lock, irqs);
    return orphaned;
}

static bool hook_group_in_session(uint32_t group, uint32_t session)
{
    struct user_state *user = user_state();
    bool found = false;
    bool irqs = spin_lock(&user->lock);

    list_for_each (node, &user->processes) {
        const struct process *p = list_entry(node, struct process, all_link);

        found |= p->group == group && p->session->id == session;
    }
    spin_unlock(&user->lock, irqs);
    return found;
}

void job_init(void)
{
    static const struct tty_hooks hooks = {
        .current = hook_current,
        .controlling = hook_controlling,
        .controlling_set = hook_controlling_set,
        .signal_group = hook_signal_group,
        .signal_ignored = hook_signal_ignored,
        .group_orphaned = hook_group_orphaned,
        .group_in_session = hook_group_in_session,
    };

    tty_hooks_set(&hooks);
}
