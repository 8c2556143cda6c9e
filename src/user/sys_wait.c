// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_wait.c -- wait4 and waitid: how children ended, stopped or went on.
 *
 * Invariants
 *   - A zombie is collected once: by whoever takes it off the tables under the user lock.
 * Locking    the user lock; the wait is on the parent's child_wait.
 */
#include "lib/string.h"
#include "user/user_internal.h"

struct report {
    uint32_t pid, uid;
    int status;       // as wait4 has it
    int code, value;  // as waitid has it
    uint64_t utime, stime;
    uint64_t faults;
    struct process *collected;  // off the tables, the caller puts it
    struct tty *tty;
};

struct selection {
    int kind;  // L_P_ALL, L_P_PID, L_P_PGID
    uint32_t id;
    uint64_t options;
};

static bool selected(const struct process *child, const struct selection *s)
{
    if (s->kind == L_P_PID)
        return child->pid == s->id;
    if (s->kind == L_P_PGID)
        return child->group == s->id;
    return true;
}

/* Does this child have something to say? User lock held. */
static bool report_of(struct process *child, const struct selection *s, struct report *r)
{
    bool keep = s->options & L_WNOWAIT;

    *r = (struct report){.pid = child->pid, .uid = child->uid};
    if (child->state == PROCESS_ZOMBIE && (s->options & L_WEXITED)) {
        bool killed = child->exit_status & 0x7f;

        r->status = child->exit_status;
        r->code = killed ? L_CLD_KILLED : L_CLD_EXITED;
        r->value = killed ? child->exit_status & 0x7f : child->exit_status >> 8 & 0xff;
        r->utime = child->dead_utime + child->children_utime;
        r->stime = child->dead_stime + child->children_stime;
        r->faults = child->minor_faults;
        if (!keep) {
            r->collected = child;
            process_collect_locked(child, &r->tty);
        }
        return true;
    }
    if (child->report_stop && (s->options & L_WUNTRACED)) {
        r->status = child->stop_signal << 8 | 0x7f;
        r->code = L_CLD_STOPPED;
        r->value = child->stop_signal;
        child->report_stop = keep;
        return true;
    }
    if (child->report_continue && (s->options & L_WCONTINUED)) {
        r->status = 0xffff;
        r->code = L_CLD_CONTINUED;
        r->value = L_SIGCONT;
        child->report_continue = keep;
        return true;
    }
    return false;
}

/* 1: a report; 0: none with WNOHANG; else minus an errno. */
static int64_t wait_for(struct thread *t, const struct selection *s, struct report *r)
{
    struct user_state *user = user_state();
    struct process *p = t->process;
    bool irqs = spin_lock(&user->lock);
    vmk_status status = VMK_OK;

    for (;;) {
        bool any = false;

        list_for_each_safe (node, after, &p->children) {
            struct process *child = list_entry(node, struct process, sibling_link);

            if (!selected(child, s))
                continue;
            any = true;
            if (report_of(child, s, r)) {
                spin_unlock(&user->lock, irqs);
                return 1;
            }
        }
        if (!any || (s->options & L_WNOHANG) || status != VMK_OK) {
            spin_unlock(&user->lock, irqs);
            if (!any)
                return -L_ECHILD;
            return s->options & L_WNOHANG ? 0 : -L_ERESTARTSYS;
        }
        spin_lock_irqs_off(&p->child_wait.lock);
        spin_unlock_irqs_off(&user->lock);
        status = wait_queue_block_interruptible(&p->child_wait, PLAT_NS_NEVER);
        spin_lock_irqs_off(&user->lock);
    }
}

static struct l_timeval timeval_of(uint64_t ns)
{
    return (struct l_timeval){(int64_t)(ns / 1000000000u), (int64_t)(ns % 1000000000u / 1000u)};
}

static int64_t usage_out(struct thread *t, uint64_t at, const struct report *r)
{
    struct l_rusage usage = {.utime = timeval_of(r->utime), .stime = timeval_of(r->stime)};

    usage.minflt = (int64_t)r->faults;
    return at ? user_out(t, at, &usage, sizeof(usage)) : 0;
}

static void report_end(const struct report *r)
{
    if (r->tty)
        tty_put(r->tty);
    if (r->collected)
        process_put(r->collected);
}

int64_t sys_wait4(struct thread *t, const uint64_t *a)
{
    int32_t pid = (int32_t)a[0];
    struct selection s = {.options = a[2] | L_WEXITED};
    struct report r;
    int64_t result;

    if (a[2] & ~(uint64_t)(L_WNOHANG | L_WUNTRACED | L_WCONTINUED | 0xe0000000u))
        return -L_EINVAL;
    if (pid > 0) {
        s.kind = L_P_PID;
        s.id = (uint32_t)pid;
    } else if (pid != -1) {
        s.kind = L_P_PGID;
        s.id = pid == 0 ? t->process->group : (uint32_t)-pid;
    }
    result = wait_for(t, &s, &r);
    if (result <= 0)
        return result;
    result = r.pid;
    if (a[1] && user_out(t, a[1], &r.status, sizeof(r.status)))
        result = -L_EFAULT;
    if (usage_out(t, a[3], &r))
        result = -L_EFAULT;
    report_end(&r);
    return result;
}

int64_t sys_waitid(struct thread *t, const uint64_t *a)
{
    struct selection s = {.kind = (int)a[0], .id = (uint32_t)a[1], .options = a[3]};
    struct l_siginfo info = {0};
    struct report r = {0};
    int64_t result;

    if (a[0] > L_P_PGID || !(a[3] & (L_WEXITED | L_WUNTRACED | L_WCONTINUED)) ||
        (a[3] & ~(uint64_t)(L_WNOHANG | L_WUNTRACED | L_WEXITED | L_WCONTINUED | L_WNOWAIT |
                            0xe0000000u)))
        return -L_EINVAL;
    if (s.kind == L_P_PGID && s.id == 0)
        s.id = t->process->group;
    result = wait_for(t, &s, &r);
    if (result < 0)
        return result;
    if (result) {
        info.signo = L_SIGCHLD;
        info.code = r.code;
        info.pid = (int32_t)r.pid;
        info.uid = r.uid;
        info.child.status = r.value;
    }
    result = a[2] ? user_out(t, a[2], &info, sizeof(info)) : 0;
    if (!result)
        result = usage_out(t, a[4], &r);
    report_end(&r);
    return result;
}
