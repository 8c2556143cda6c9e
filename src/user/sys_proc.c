// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sys_proc.c -- small system calls about the process: ids, limits, names, scheduling, the host.
 *
 * Locking    the user lock where a process other than the caller is looked at.
 */
#include "core/log.h"
#include "lib/format.h"
#include "lib/rng.h"
#include "lib/string.h"
#include "mem/page.h"
#include "user/user_internal.h"

/* ---- ends ---- */

int64_t sys_exit(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct process *p = t->process;
    bool irqs = spin_lock(&user->lock);

    if (p->thread_count == 1 && !p->group_exiting)
        p->exit_status = (int)(a[0] & 0xff) << 8;
    spin_unlock(&user->lock, irqs);
    thread_exit(t);
}

int64_t sys_exit_group(struct thread *t, const uint64_t *a)
{
    process_exit_begin(t->process, (int)(a[0] & 0xff) << 8);
    thread_exit(t);
}

/* ---- who am I ---- */

int64_t sys_getpid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->process->pid;
}

int64_t sys_gettid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->tid;
}

int64_t sys_getppid(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);
    int64_t pid = t->process->parent ? t->process->parent->pid : 0;

    (void)a;
    spin_unlock(&user->lock, irqs);
    return pid;
}

int64_t sys_set_tid_address(struct thread *t, const uint64_t *a)
{
    t->clear_child_tid = a[0];
    return t->tid;
}

int64_t sys_getuid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->process->uid;
}

int64_t sys_geteuid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->process->euid;
}

int64_t sys_getgid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->process->gid;
}

int64_t sys_getegid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->process->egid;
}

/* ---- credentials: real, effective, saved; -1 leaves one alone ---- */

struct ids {
    uint32_t *real, *effective, *saved;
};

static bool id_allowed(const struct process *p, const struct ids *ids, uint32_t id)
{
    return p->euid == 0 || id == UINT32_MAX || id == *ids->real || id == *ids->effective ||
           id == *ids->saved;
}

static void cred_follow(struct process *p)
{
    p->cred.uid = p->euid;
    p->cred.gid = p->egid;
}

static int64_t ids_set(struct process *p, const struct ids *ids, uint32_t real,
                       uint32_t effective, uint32_t saved)
{
    if (!id_allowed(p, ids, real) || !id_allowed(p, ids, effective) ||
        !id_allowed(p, ids, saved))
        return -L_EPERM;
    if (real != UINT32_MAX)
        *ids->real = real;
    if (effective != UINT32_MAX)
        *ids->effective = effective;
    if (saved != UINT32_MAX)
        *ids->saved = saved;
    cred_follow(p);
    return 0;
}

static struct ids uids(struct process *p)
{
    return (struct ids){&p->uid, &p->euid, &p->suid};
}

static struct ids gids(struct process *p)
{
    return (struct ids){&p->gid, &p->egid, &p->sgid};
}

static int64_t id_set(struct process *p, const struct ids *ids, uint32_t id)
{
    if (id == UINT32_MAX)
        return -L_EINVAL;
    if (p->euid == 0)
        return ids_set(p, ids, id, id, id);
    if (id != *ids->real && id != *ids->saved)
        return -L_EPERM;
    *ids->effective = id;
    cred_follow(p);
    return 0;
}

/*
 * setreuid: the saved id follows when the real one is set, or the effective one to something
 * new.
 */
static int64_t reid_set(struct process *p, const struct ids *ids, uint32_t real,
                        uint32_t effective)
{
    uint32_t old_real = *ids->real;
    uint32_t saved = real != UINT32_MAX || (effective != UINT32_MAX && effective != old_real)
                         ? (effective != UINT32_MAX ? effective : *ids->effective)
                         : UINT32_MAX;

    if (p->euid && real != UINT32_MAX && real != *ids->real && real != *ids->effective)
        return -L_EPERM;
    if (!id_allowed(p, ids, effective))
        return -L_EPERM;
    if (real != UINT32_MAX)
        *ids->real = real;
    if (effective != UINT32_MAX)
        *ids->effective = effective;
    if (saved != UINT32_MAX)
        *ids->saved = saved;
    cred_follow(p);
    return 0;
}

static int64_t ids_out(struct thread *t, const uint64_t *a, const struct ids *ids)
{
    if (user_out(t, a[0], ids->real, 4) || user_out(t, a[1], ids->effective, 4) ||
        user_out(t, a[2], ids->saved, 4))
        return -L_EFAULT;
    return 0;
}

int64_t sys_setuid(struct thread *t, const uint64_t *a)
{
    const struct ids ids = uids(t->process);

    return id_set(t->process, &ids, (uint32_t)a[0]);
}

int64_t sys_setgid(struct thread *t, const uint64_t *a)
{
    const struct ids ids = gids(t->process);

    return id_set(t->process, &ids, (uint32_t)a[0]);
}

int64_t sys_setreuid(struct thread *t, const uint64_t *a)
{
    const struct ids ids = uids(t->process);

    return reid_set(t->process, &ids, (uint32_t)a[0], (uint32_t)a[1]);
}

int64_t sys_setregid(struct thread *t, const uint64_t *a)
{
    const struct ids ids = gids(t->process);

    return reid_set(t->process, &ids, (uint32_t)a[0], (uint32_t)a[1]);
}

int64_t sys_setresuid(struct thread *t, const uint64_t *a)
{
    const struct ids ids = uids(t->process);

    return ids_set(t->process, &ids, (uint32_t)a[0], (uint32_t)a[1], (uint32_t)a[2]);
}

int64_t sys_setresgid(struct thread *t, const uint64_t *a)
{
    const struct ids ids = gids(t->process);

    return ids_set(t->process, &ids, (uint32_t)a[0], (uint32_t)a[1], (uint32_t)a[2]);
}

int64_t sys_getresuid(struct thread *t, const uint64_t *a)
{
    const struct ids ids = uids(t->process);

    return ids_out(t, a, &ids);
}

int64_t sys_getresgid(struct thread *t, const uint64_t *a)
{
    const struct ids ids = gids(t->process);

    return ids_out(t, a, &ids);
}

/* File accesses use the effective ids; what these calls say is where they already are. */
int64_t sys_setfsuid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->process->euid;
}

int64_t sys_setfsgid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->process->egid;
}

int64_t sys_getgroups(struct thread *t, const uint64_t *a)
{
    const struct vfs_cred *cred = &t->process->cred;
    int32_t room = (int32_t)a[0];

    if (room < 0 || (room && (uint32_t)room < cred->group_count))
        return -L_EINVAL;
    if (room && user_out(t, a[1], cred->groups, cred->group_count * sizeof(cred->groups[0])))
        return -L_EFAULT;
    return cred->group_count;
}

int64_t sys_setgroups(struct thread *t, const uint64_t *a)
{
    struct vfs_cred *cred = &t->process->cred;
    uint32_t groups[VFS_GROUPS_MAX];

    if (t->process->euid)
        return -L_EPERM;
    if (a[0] > VFS_GROUPS_MAX)
        return -L_EINVAL;
    if (user_in(t, groups, a[1], a[0] * sizeof(groups[0])))
        return -L_EFAULT;
    memcpy(cred->groups, groups, a[0] * sizeof(groups[0]));
    cred->group_count = (uint32_t)a[0];
    return 0;
}

/* ---- limits ---- */

static int64_t limit_set(struct process *caller, struct process *p, uint64_t which,
                         const struct l_rlimit *new)
{
    struct l_rlimit *limit = &p->limits[which];

    if (new->current > new->maximum)
        return -L_EINVAL;
    if (new->maximum > limit->maximum && caller->euid)
        return -L_EPERM;
    if (which == L_RLIMIT_NOFILE && new->maximum > USER_FDS_MAX)
        return -L_EPERM;
    *limit = *new;
    if (p == caller)
        mm_limits_apply(p);
    if (which == L_RLIMIT_CPU)
        cpu_timers_changed(p);
    return 0;
}

int64_t sys_prlimit64(struct thread *t, const uint64_t *a)
{
    struct process *p = t->process;
    struct l_rlimit new, old;
    int64_t result = 0;

    if (a[1] >= L_RLIMITS)
        return -L_EINVAL;
    if (a[2] && user_in(t, &new, a[2], sizeof(new)))
        return -L_EFAULT;
    p = a[0] ? process_find((uint32_t)a[0]) : t->process;
    if (!p)
        return -L_ESRCH;
    if (p != t->process && t->process->euid && t->process->uid != p->uid)
        result = -L_EPERM;
    old = p->limits[a[1]];
    if (!result && a[2])
        result = limit_set(t->process, p, a[1], &new);
    if (!result && a[3])
        result = user_out(t, a[3], &old, sizeof(old));
    if (a[0])
        process_put(p);
    return result;
}

int64_t sys_getrlimit(struct thread *t, const uint64_t *a)
{
    if (a[0] >= L_RLIMITS)
        return -L_EINVAL;
    return user_out(t, a[1], &t->process->limits[a[0]], sizeof(struct l_rlimit));
}

int64_t sys_setrlimit(struct thread *t, const uint64_t *a)
{
    struct l_rlimit new;

    if (a[0] >= L_RLIMITS)
        return -L_EINVAL;
    if (user_in(t, &new, a[1], sizeof(new)))
        return -L_EFAULT;
    return limit_set(t->process, t->process, a[0], &new);
}

/* ---- the host ---- */

static void text_set(char *out, size_t size, const char *text)
{
    size_t length = MIN(strlen(text), size - 1);

    memset(out, 0, size);
    memcpy(out, text, length);  // NOLINT(bugprone-not-null-terminated-result): out is zeroed
}

int64_t sys_uname(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct l_utsname name;

    text_set(name.sysname, sizeof(name.sysname), "VMkernel");
    text_set(name.nodename, sizeof(name.nodename), user->hostname);
    text_set(name.release, sizeof(name.release), "6.0.0");
    text_set(name.version, sizeof(name.version), "#1 SMP Orrery");
    text_set(name.machine, sizeof(name.machine), "x86_64");
    text_set(name.domainname, sizeof(name.domainname), user->domainname);
    return user_out(t, a[0], &name, sizeof(name));
}

static int64_t name_in(struct thread *t, const uint64_t *a, char *out)
{
    char name[65] = {0};

    if (t->process->euid)
        return -L_EPERM;
    if (a[1] > 64)
        return -L_EINVAL;
    if (user_in(t, name, a[0], (size_t)a[1]))
        return -L_EFAULT;
    memcpy(out, name, sizeof(name));
    return 0;
}

int64_t sys_sethostname(struct thread *t, const uint64_t *a)
{
    return name_in(t, a, user_state()->hostname);
}

int64_t sys_setdomainname(struct thread *t, const uint64_t *a)
{
    return name_in(t, a, user_state()->domainname);
}

int64_t sys_sysinfo(struct thread *t, const uint64_t *a)
{
    struct l_sysinfo info = {
        .uptime = (int64_t)(plat_time_now() / 1000000000u),
        .totalram = page_total_count() << PAGE_SHIFT,
        .freeram = page_free_count() << PAGE_SHIFT,
        .procs = (uint16_t)user_state()->process_count,
        .mem_unit = 1,
    };

    return user_out(t, a[0], &info, sizeof(info));
}

int64_t sys_getrandom(struct thread *t, const uint64_t *a)
{
    uint64_t words[32];
    uint64_t size = MIN(a[1], 0x1ffffffull), done = 0;

    if (a[2] & ~7ull)
        return -L_EINVAL;
    while (done < size) {
        size_t part = (size_t)MIN(size - done, sizeof(words));

        for (size_t i = 0; i < (part + 7) / 8; i++)
            words[i] = plat_entropy();
        if (user_out(t, a[0] + done, words, part))
            return done ? (int64_t)done : -L_EFAULT;
        done += part;
        if (done >= 256 && signal_pending(t))
            break;
    }
    return (int64_t)done;
}

/* ---- scheduling ---- */

int64_t sys_sched_yield(struct thread *t, const uint64_t *a)
{
    (void)t;
    (void)a;
    world_yield();
    return 0;
}

int64_t sys_getcpu(struct thread *t, const uint64_t *a)
{
    const uint32_t node = 0;
    bool irqs = plat_irq_save();
    uint32_t cpu = plat_cpu_self();

    plat_irq_restore(irqs);
    if ((a[0] && user_out(t, a[0], &cpu, 4)) || (a[1] && user_out(t, a[1], &node, 4)))
        return -L_EFAULT;
    return 0;
}

/* Calls visit() for the processes that (which, who) of getpriority names. User lock held. */
static bool priority_selected(const struct thread *t, const struct process *p, int which,
                              uint32_t who)
{
    switch (which) {
    case 0: return p->pid == (who ? who : t->process->pid);
    case 1: return p->group == (who ? who : t->process->group);
    case 2: return p->uid == (who ? who : t->process->uid);
    default: return false;
    }
}

int64_t sys_getpriority(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    int64_t best = -L_ESRCH;

    if (a[0] > 2)
        return -L_EINVAL;

    bool irqs = spin_lock(&user->lock);

    list_for_each (node, &user->processes) {
        const struct process *p = list_entry(node, struct process, all_link);

        if (priority_selected(t, p, (int)a[0], (uint32_t)a[1]))
            best = MAX(best, (int64_t)(20 - p->nice));
    }
    spin_unlock(&user->lock, irqs);
    return best;
}

int64_t sys_setpriority(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    int nice = (int)a[2];
    int64_t result = -L_ESRCH;

    if (a[0] > 2)
        return -L_EINVAL;
    nice = MAX(-20, MIN(19, nice));

    bool irqs = spin_lock(&user->lock);

    list_for_each (node, &user->processes) {
        struct process *p = list_entry(node, struct process, all_link);

        if (!priority_selected(t, p, (int)a[0], (uint32_t)a[1]))
            continue;
        if (t->process->euid && t->process->euid != p->uid && t->process->euid != p->euid) {
            result = -L_EPERM;
        } else if (t->process->euid && nice < p->nice) {
            result = -L_EACCES;
        } else {
            p->nice = nice;
            list_for_each (thread_node, &p->threads)
                thread_nice_apply(list_entry(thread_node, struct thread, process_link));
            result = 0;
        }
    }
    spin_unlock(&user->lock, irqs);
    return result;
}

/* ---- prctl ---- */

#define PR_GET_DUMPABLE     3
#define PR_SET_DUMPABLE     4
#define PR_SET_PDEATHSIG    1
#define PR_GET_PDEATHSIG    2
#define PR_GET_KEEPCAPS     7
#define PR_SET_KEEPCAPS     8
#define PR_GET_SECCOMP      21
#define PR_CAPBSET_READ     23
#define PR_SET_TIMERSLACK   29
#define PR_GET_TIMERSLACK   30
#define PR_SET_THP_DISABLE  41
#define PR_GET_THP_DISABLE  42
#define PR_SUBREAPER_SET    36
#define PR_SUBREAPER_GET    37
#define CAPABILITY_LAST     40u
#define TIMER_SLACK_NS      50000
#define PR_SET_NAME         15
#define PR_GET_NAME         16
#define PR_SET_NO_NEW_PRIVS 38
#define PR_GET_NO_NEW_PRIVS 39

int64_t sys_prctl(struct thread *t, const uint64_t *a)
{
    struct process *p = t->process;
    char name[USER_NAME_SIZE] = {0};
    size_t length;

    switch ((int)a[0]) {
    case PR_SET_PDEATHSIG:
        if (a[1] > L_NSIG)
            return -L_EINVAL;
        p->parent_death_signal = (int)a[1];
        return 0;
    case PR_GET_PDEATHSIG:
        return user_out(t, a[1], &p->parent_death_signal, sizeof(p->parent_death_signal));
    case PR_SUBREAPER_SET: p->subreaper = a[1] != 0; return 0;
    case PR_SUBREAPER_GET: {
        const int32_t set = p->subreaper;

        return user_out(t, a[1], &set, sizeof(set));
    }
    case PR_CAPBSET_READ: return a[1] > CAPABILITY_LAST ? -L_EINVAL : 1;
    case PR_SET_TIMERSLACK: return 0;
    case PR_GET_TIMERSLACK: return TIMER_SLACK_NS;
    case PR_SET_KEEPCAPS: return a[1] > 1 ? -L_EINVAL : 0;
    case PR_SET_THP_DISABLE:
    case PR_GET_THP_DISABLE:
    case PR_GET_KEEPCAPS:
    case PR_GET_SECCOMP: return 0;
    case PR_GET_DUMPABLE: return p->dumpable;
    case PR_SET_DUMPABLE:
        if (a[1] > 1)
            return -L_EINVAL;
        p->dumpable = a[1];
        return 0;
    case PR_SET_NAME:
        if (aspace_copy_string(t->as, name, a[1], sizeof(name), &length) == VMK_FAULT)
            return -L_EFAULT;
        name[sizeof(name) - 1] = 0;
        thread_name_set(t, name);
        return 0;
    case PR_GET_NAME: return user_out(t, a[1], t->name, sizeof(t->name));
    case PR_SET_NO_NEW_PRIVS:
        if (a[1] != 1 || a[2] || a[3] || a[4])
            return -L_EINVAL;
        p->no_new_privileges = true;
        return 0;
    case PR_GET_NO_NEW_PRIVS: return p->no_new_privileges;
    default: return -L_EINVAL;
    }
}

int64_t sys_arch_prctl(struct thread *t, const uint64_t *a)
{
    switch ((int)a[0]) {
    case L_ARCH_SET_FS:
    case L_ARCH_SET_GS:
        if (a[1] >= ASPACE_END)
            return -L_EPERM;
        *((int)a[0] == L_ARCH_SET_FS ? &t->regs.fs_base : &t->regs.gs_base) = a[1];
        return 0;
    case L_ARCH_GET_FS: return user_out(t, a[1], &t->regs.fs_base, 8);
    case L_ARCH_GET_GS: return user_out(t, a[1], &t->regs.gs_base, 8);
    default: return -L_EINVAL;
    }
}

/* Restartable sequences: glibc asks at every start and is content without. */
int64_t sys_rseq(struct thread *t, const uint64_t *a)
{
    (void)t;
    (void)a;
    return -L_ENOSYS;
}
