// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_sched.c -- sched_setscheduler(2) and its family, over a scheduler that has shares.
 *
 * Policies are kept with the process and reported; they change nothing, because nice values
 * (shares), reservations and limits are this host's way to say what is urgent. Programs that
 * only ask, and those that set SCHED_OTHER, work as they do on Linux; a real-time policy needs
 * root, as there.
 *
 * Locking    the user lock for other processes; policy and priority are words of their own.
 */
#include "sched/sched.h"
#include "user/user_internal.h"

#define POLICY_OTHER 0
#define POLICY_FIFO  1
#define POLICY_RR    2
#define POLICY_BATCH 3
#define POLICY_IDLE  5
#define RESET_FLAG   0x40000000
#define PRIORITY_MAX 99
#define SLICE_NS     100000000

static bool policy_known(int policy)
{
    return (policy >= POLICY_OTHER && policy <= POLICY_BATCH) || policy == POLICY_IDLE;
}

static bool real_time(int policy)
{
    return policy == POLICY_FIFO || policy == POLICY_RR;
}

/* The process of a thread id, 0 the caller's; referenced, or null. */
static struct process *target(struct thread *t, uint64_t tid)
{
    struct user_state *user = user_state();
    struct process *p = NULL;
    struct thread *other;
    bool irqs;

    if (tid > USER_PID_MAX)
        return NULL;
    irqs = spin_lock(&user->lock);
    other = tid ? thread_find_locked((uint32_t)tid) : t;
    if (other) {
        p = other->process;
        process_ref(p);
    }
    spin_unlock(&user->lock, irqs);
    return p;
}

static int64_t set(struct thread *t, uint64_t tid, const int *policy, uint64_t param_at)
{
    struct process *p;
    int priority, wanted;
    int64_t result = 0;

    if ((int32_t)tid < 0 || !param_at)
        return -L_EINVAL;
    if (user_in(t, &priority, param_at, sizeof(priority)))
        return -L_EFAULT;
    p = target(t, tid);
    if (!p)
        return -L_ESRCH;
    wanted = policy ? *policy & ~RESET_FLAG : p->sched_policy;
    if (!policy_known(wanted) || priority < (real_time(wanted) ? 1 : 0) ||
        priority > (real_time(wanted) ? PRIORITY_MAX : 0))
        result = -L_EINVAL;
    else if (t->process->euid &&
             (real_time(wanted) || (t->process->euid != p->uid && t->process->euid != p->euid)))
        result = -L_EPERM;
    if (!result) {
        p->sched_policy = wanted;
        p->sched_priority = priority;
    }
    process_put(p);
    return result;
}

int64_t sys_sched_setparam(struct thread *t, const uint64_t *a)
{
    return set(t, a[0], NULL, a[1]);
}

int64_t sys_sched_setscheduler(struct thread *t, const uint64_t *a)
{
    const int policy = (int)a[1];

    return policy < 0 ? -L_EINVAL : set(t, a[0], &policy, a[2]);
}

int64_t sys_sched_getparam(struct thread *t, const uint64_t *a)
{
    struct process *p;
    int priority;

    if ((int32_t)a[0] < 0 || !a[1])
        return -L_EINVAL;
    p = target(t, a[0]);
    if (!p)
        return -L_ESRCH;
    priority = p->sched_priority;
    process_put(p);
    return user_out(t, a[1], &priority, sizeof(priority));
}

int64_t sys_sched_getscheduler(struct thread *t, const uint64_t *a)
{
    struct process *p;
    int policy;

    if ((int32_t)a[0] < 0)
        return -L_EINVAL;
    p = target(t, a[0]);
    if (!p)
        return -L_ESRCH;
    policy = p->sched_policy;
    process_put(p);
    return policy;
}

/* struct sched_attr, its first version. */
struct l_sched_attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};
_Static_assert(sizeof(struct l_sched_attr) == 48, "SCHED_ATTR_SIZE_VER0");

int64_t sys_sched_setattr(struct thread *t, const uint64_t *a)
{
    struct l_sched_attr attr;
    int policy;
    uint64_t priority_at = a[1] + offsetof(struct l_sched_attr, priority);
    int64_t error;

    if (!a[1] || (int32_t)a[0] < 0 || a[2])
        return -L_EINVAL;
    if (user_in(t, &attr, a[1], sizeof(attr)))
        return -L_EFAULT;
    if (attr.size && attr.size < sizeof(attr))
        return -L_E2BIG;
    policy = (int)attr.policy;
    if (policy < 0)
        return -L_EINVAL;
    error = set(t, a[0], &policy, priority_at);
    if (!error && (policy == POLICY_OTHER || policy == POLICY_BATCH)) {
        const uint64_t nice[3] = {0, a[0], (uint64_t)(int64_t)attr.nice};

        error = sys_setpriority(t, nice);
    }
    return error;
}

int64_t sys_sched_getattr(struct thread *t, const uint64_t *a)
{
    struct l_sched_attr attr = {.size = sizeof(attr)};
    struct process *p;

    if (!a[1] || (int32_t)a[0] < 0 || a[2] < sizeof(attr) || a[2] > PAGE_SIZE || a[3])
        return -L_EINVAL;
    p = target(t, a[0]);
    if (!p)
        return -L_ESRCH;
    attr.policy = (uint32_t)p->sched_policy;
    attr.priority = (uint32_t)p->sched_priority;
    attr.nice = real_time(p->sched_policy) ? 0 : p->nice;
    process_put(p);
    return user_out(t, a[1], &attr, sizeof(attr));
}

int64_t sys_sched_get_priority_max(struct thread *t, const uint64_t *a)
{
    (void)t;
    return !policy_known((int)a[0]) ? -L_EINVAL : real_time((int)a[0]) ? PRIORITY_MAX : 0;
}

int64_t sys_sched_get_priority_min(struct thread *t, const uint64_t *a)
{
    (void)t;
    return !policy_known((int)a[0]) ? -L_EINVAL : real_time((int)a[0]) ? 1 : 0;
}

int64_t sys_sched_rr_get_interval(struct thread *t, const uint64_t *a)
{
    struct l_timespec slice = {0, 0};
    struct process *p;

    if ((int32_t)a[0] < 0)
        return -L_EINVAL;
    p = target(t, a[0]);
    if (!p)
        return -L_ESRCH;
    slice.nsec = p->sched_policy == POLICY_RR ? SLICE_NS : SLICE_NS / 25;
    process_put(p);
    return user_out(t, a[1], &slice, sizeof(slice));
}

/* ---- affinity: of one thread; what it makes later has the same ---- */

static uint64_t all_cpus(void)
{
    unsigned count = plat_cpu_count();

    return count >= 64 ? ~0ull : BIT(count) - 1;
}

int64_t sys_sched_getaffinity(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct thread *other;
    uint64_t mask = 0;
    bool irqs;

    if (a[1] < 8 || (a[1] & 7))
        return -L_EINVAL;
    irqs = spin_lock(&user->lock);
    other = a[0] ? thread_find_locked((uint32_t)a[0]) : t;
    if (other)
        mask = other->affinity ? other->affinity : all_cpus();
    spin_unlock(&user->lock, irqs);
    if (!other)
        return -L_ESRCH;
    return user_out(t, a[2], &mask, 8) ? -L_EFAULT : 8;
}

int64_t sys_sched_setaffinity(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct thread *other;
    uint64_t mask = 0;
    int64_t result = 0;
    bool irqs;

    if (user_in(t, &mask, a[2], (size_t)MIN(a[1], 8u)))
        return -L_EFAULT;
    mask &= all_cpus();
    if (!mask)
        return -L_EINVAL;
    irqs = spin_lock(&user->lock);
    other = a[0] ? thread_find_locked((uint32_t)a[0]) : t;
    if (!other) {
        result = -L_ESRCH;
    } else if (t->process->euid && t->process->euid != other->process->uid &&
               t->process->euid != other->process->euid) {
        result = -L_EPERM;
    } else {
        other->affinity = mask;
        /* One that has not run yet starts with it. */
        if (other->world && sched_set_affinity(other->world_id.raw, mask) != VMK_OK)
            result = -L_EINVAL;
    }
    spin_unlock(&user->lock, irqs);
    return result;
}
