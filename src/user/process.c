// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/process.c -- processes and threads: their tables, how they begin, what they say of themselves.
 *
 * A process is what its threads share: memory, descriptors, signals, a parent that will ask how
 * it ended. A thread is a world. How they end is in process_exit.c.
 *
 *      process_create() --thread_start()--> RUNNING --last thread_exit()--> ZOMBIE --wait-->
 *      freed
 *
 * Invariants
 *   - Numbers are not reused while a process or thread of that number, a group or a session
 *     exists.
 *   - thread_count is the number of threads on the list.
 *   - A process has one reference for the tables, one per thread struct and one per visitor.
 * Locking    the user lock (rank USER) for tables, family, state and signals of all processes.
 * Start at   process_create(), thread_create().
 */
#include "core/assert.h"
#include "lib/string.h"
#include "mem/page.h"
#include "user/user_internal.h"

HOST_STATE(user);

struct thread *thread_current(void)
{
    struct world *w = world_current();

    return w && w->switch_in == thread_switch_in ? w->owner : NULL;
}

/* ---- tables; user lock held ---- */

struct thread *thread_find_locked(uint32_t tid)
{
    list_for_each (node, &user_state()->threads[tid % USER_PID_HASH]) {
        struct thread *t = list_entry(node, struct thread, hash_link);

        if (t->tid == tid)
            return t;
    }
    return NULL;
}

struct process *process_find_locked(uint32_t pid)
{
    const struct thread *t = thread_find_locked(pid);

    if (t && t->process->pid == pid)
        return t->process;
    /* The first thread may be gone. */
    list_for_each (node, &user_state()->processes) {
        struct process *p = list_entry(node, struct process, all_link);

        if (p->pid == pid)
            return p;
    }
    return NULL;
}

struct process *process_find(uint32_t pid)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);
    struct process *p = process_find_locked(pid);

    if (p)
        process_ref(p);
    spin_unlock(&user->lock, irqs);
    return p;
}

static bool pid_taken(uint32_t pid)
{
    if (thread_find_locked(pid))
        return true;
    list_for_each (node, &user_state()->processes) {
        const struct process *p = list_entry(node, struct process, all_link);

        if (p->pid == pid || p->group == pid || p->session->id == pid)
            return true;
    }
    return false;
}

static uint32_t pid_new_locked(void)
{
    struct user_state *user = user_state();
    for (;;) {
        uint32_t pid = ++user->next_pid;

        if (pid >= USER_PID_MAX) {
            user->next_pid = 300;
            user->pids_wrapped = true;
            continue;
        }
        /* Before the first wrap all numbers are new; the walk is only for after it. */
        if (!user->pids_wrapped || !pid_taken(pid))
            return pid;
    }
}

void process_ref(struct process *p)
{
    __atomic_fetch_add(&p->refs, 1, __ATOMIC_RELAXED);
}

void process_put(struct process *p)
{
    if (__atomic_fetch_sub(&p->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    vmk_assert(!p->mm && !p->fds && !p->fs);
    heap_free(p);
}

/* ---- sessions ---- */

void session_put_locked(struct user_session *session, struct tty **tty_to_put)
{
    *tty_to_put = NULL;
    if (session && --session->refs == 0) {
        *tty_to_put = session->tty;
        heap_free(session);
    }
}

void process_session_set_locked(struct process *p, struct user_session *session)
{
    session->refs++;
    p->session = session;
}

/* ---- birth ---- */

static void limits_default(struct process *p)
{
    for (unsigned i = 0; i < L_RLIMITS; i++)
        p->limits[i] = (struct l_rlimit){L_RLIM_INFINITY, L_RLIM_INFINITY};
    p->limits[L_RLIMIT_STACK].current = 8u << 20;
    p->limits[L_RLIMIT_CORE].current = 0;
    p->limits[L_RLIMIT_NOFILE] = (struct l_rlimit){1024, 65536};
    p->limits[L_RLIMIT_NPROC] = (struct l_rlimit){2048, 2048};
    p->limits[L_RLIMIT_SIGPENDING] =
        (struct l_rlimit){USER_SIGNALS_QUEUED, USER_SIGNALS_QUEUED};
    p->limits[L_RLIMIT_MEMLOCK] = (struct l_rlimit){8u << 20, 8u << 20};
    p->limits[L_RLIMIT_NICE] = (struct l_rlimit){0, 0};
    p->limits[L_RLIMIT_RTPRIO] = (struct l_rlimit){0, 0};
    p->limits[L_RLIMIT_MSGQUEUE] = (struct l_rlimit){819200, 819200};
}

/* How many processes the user of `p` has. User lock held. */
static uint32_t processes_of(uint32_t uid)
{
    uint32_t count = 0;

    list_for_each (node, &user_state()->processes)
        count += list_entry(node, struct process, all_link)->uid == uid;
    return count;
}

static void inherit_locked(struct process *p, struct process *parent)
{
    p->group = parent->group;
    process_session_set_locked(p, parent->session);
    p->uid = parent->uid;
    p->euid = parent->euid;
    p->suid = parent->suid;
    p->gid = parent->gid;
    p->egid = parent->egid;
    p->sgid = parent->sgid;
    p->cred = parent->cred;
    memcpy(p->limits, parent->limits, sizeof(p->limits));
    memcpy(p->name, parent->name, sizeof(p->name));
    p->nice = parent->nice;
    p->sched_policy = parent->sched_policy;
    p->sched_priority = parent->sched_priority;
    p->dumpable = parent->dumpable;
    p->no_new_privileges = parent->no_new_privileges;
    memcpy(p->reported_missing, parent->reported_missing, sizeof(p->reported_missing));
    p->parent = parent;
    list_add_tail(&parent->children, &p->sibling_link);
}

static void alarm_rings(struct timer *timer)
{
    struct user_state *user = user_state();
    struct process *p = timer->owner;
    bool irqs = spin_lock(&user->lock);
    plat_ns at = p->alarm_at;

    if (at && p->state == PROCESS_RUNNING) {
        plat_ns now = plat_time_now();

        p->alarm_at = 0;
        if (p->alarm_interval) {
            at += p->alarm_interval;
            if (at <= now)
                at = now + p->alarm_interval;
            p->alarm_at = at;
        }
        signal_send_locked(p, NULL, L_SIGALRM, NULL);
    }
    at = p->alarm_at;
    spin_unlock(&user->lock, irqs);
    if (at)
        timer_arm(timer, at);
}

static struct process *process_alloc(void)
{
    struct process *p = heap_alloc(sizeof(*p), MEM_OWNER_USER);

    if (!p)
        return NULL;
    p->refs = 1;
    p->started = plat_time_now();
    p->exit_signal = L_SIGCHLD;
    p->dumpable = true;
    list_init(&p->all_link);
    list_init(&p->children);
    list_init(&p->sibling_link);
    list_init(&p->threads);
    pending_init(&p->pending);
    wait_queue_init(&p->child_wait, "wait4");
    wait_queue_init(&p->stop_wait, "stopped");
    timer_init(&p->alarm, alarm_rings, p);
    cpu_timers_init(p);
    list_init(&p->timers);
    limits_default(p);
    return p;
}

static struct user_session *session_alloc(uint32_t id)
{
    struct user_session *session = heap_alloc(sizeof(*session), MEM_OWNER_USER);

    if (session)
        session->id = id;
    return session;
}

vmk_status process_create(struct process *parent, struct process **out)
{
    struct user_state *user = user_state();
    struct process *p = process_alloc();
    struct user_session *session = parent ? NULL : session_alloc(0);
    vmk_status status = VMK_OK;

    if (!p || (!parent && !session)) {
        heap_free(p);
        heap_free(session);
        return VMK_NO_MEMORY;
    }

    bool irqs = spin_lock(&user->lock);

    if (user->thread_count >= USER_THREADS_MAX)
        status = VMK_LIMIT;
    else if (parent && parent->uid != 0 &&
             processes_of(parent->uid) >= parent->limits[L_RLIMIT_NPROC].current)
        status = VMK_LIMIT;
    if (status == VMK_OK) {
        p->pid = pid_new_locked();
        if (parent) {
            inherit_locked(p, parent);
        } else {
            p->group = p->pid;
            session->id = p->pid;
            process_session_set_locked(p, session);
            p->kernel_child = true;
        }
        list_add_tail(&user->processes, &p->all_link);
        user->process_count++;
    }
    spin_unlock(&user->lock, irqs);
    if (status != VMK_OK) {
        heap_free(p);
        heap_free(session);
        return status;
    }
    *out = p;
    return VMK_OK;
}

vmk_status thread_create(struct process *process, struct thread **out)
{
    struct user_state *user = user_state();
    struct thread *t = heap_alloc(sizeof(*t), MEM_OWNER_USER);
    mpn_t fpu;

    if (!t)
        return VMK_NO_MEMORY;
    _Static_assert(PLAT_FPU_AREA_SIZE == PAGE_SIZE, "one page holds it");
    if (page_alloc(0, MEM_OWNER_USER, &fpu) != VMK_OK) {
        heap_free(t);
        return VMK_NO_MEMORY;
    }
    t->fpu = mpn_map(fpu);
    t->syscall = -1;
    t->process = process;
    memcpy(t->name, process->name, sizeof(t->name));
    t->altstack.flags = L_SS_DISABLE;
    pending_init(&t->pending);
    list_init(&t->process_link);
    list_init(&t->hash_link);
    list_init(&t->dead_link);
    thread_fpu_reset(t);
    process_ref(process);

    bool irqs = spin_lock(&user->lock);
    bool full = user->thread_count >= USER_THREADS_MAX || process->group_exiting ||
                process->group_execing;

    if (!full) {
        t->tid = process->thread_count ? pid_new_locked() : process->pid;
        user->thread_count++;
        process->thread_count++;
        list_add_tail(&process->threads, &t->process_link);
        list_add_tail(&user->threads[t->tid % USER_PID_HASH], &t->hash_link);
    }
    spin_unlock(&user->lock, irqs);
    if (full) {
        process_put(process);
        page_free(fpu, 0, MEM_OWNER_USER);
        heap_free(t);
        return VMK_LIMIT;
    }
    *out = t;
    return VMK_OK;
}

vmk_status thread_start(struct thread *t)
{
    const struct world_params params = {
        .name = t->process->name,
        .entry = thread_main,
        .argument = t,
        .switch_in = thread_switch_in,
        .switch_out = thread_switch_out,
        .owner = t,
        .sched = {.shares = nice_shares(t->process->nice)},
        .affinity = t->affinity,
    };

    /* It may have run, ended and been freed when this returns. */
    t->as = t->process->mm->as;
    return world_create(&params, &t->world_id);
}

/* ---- times ---- */

void thread_times(struct thread *t, uint64_t *utime_ns, uint64_t *stime_ns)
{
    struct world_times times = {0};
    uint64_t khz = plat_tsc_khz();
    uint64_t entered = __atomic_load_n(&t->user_entered, __ATOMIC_RELAXED);
    uint64_t now = entered ? plat_tsc_now() : 0;
    uint64_t user = t->user_tsc + (now > entered ? now - entered : 0);

    (void)!world_times_get(t->world_id, &times);
    user = khz ? user / khz * 1000000 + user % khz * 1000000 / khz : 0;
    *utime_ns = MIN(user, times.run);
    *stime_ns = times.run - *utime_ns;
}

void process_times_locked(struct process *p, uint64_t *utime_ns, uint64_t *stime_ns)
{
    *utime_ns = p->dead_utime;
    *stime_ns = p->dead_stime;
    list_for_each (node, &p->threads) {
        struct thread *t = list_entry(node, struct thread, process_link);
        uint64_t u, s;

        if (!t->world)
            continue;
        thread_times(t, &u, &s);
        *utime_ns += u;
        *stime_ns += s;
    }
}

void process_times(struct process *p, uint64_t *utime_ns, uint64_t *stime_ns)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    process_times_locked(p, utime_ns, stime_ns);
    spin_unlock(&user->lock, irqs);
}

char thread_state_letter_locked(const struct thread *t)
{
    if (t->process->stopped)
        return 'T';
    return t->world && !__atomic_load_n(&t->world->waiting_on, __ATOMIC_RELAXED) ? 'R' : 'S';
}

char process_state_letter_locked(const struct process *p)
{
    if (p->state == PROCESS_ZOMBIE)
        return 'Z';
    if (p->stopped)
        return 'T';
    list_for_each (node, &p->threads) {
        if (thread_state_letter_locked(list_entry(node, struct thread, process_link)) == 'R')
            return 'R';
    }
    return 'S';
}

void thread_name_set_locked(struct thread *t, const char *name)
{
    memcpy(t->name, name, sizeof(t->name));
    if (t->tid == t->process->pid)
        memcpy(t->process->name, name, sizeof(t->name));
}

void thread_name_set(struct thread *t, const char *name)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    thread_name_set_locked(t, name);
    spin_unlock(&user->lock, irqs);
}

void process_init(void)
{
    static const struct world_params params = {.name = "user-reaper", .entry = process_reaper};
    struct user_state *user = user_state();
    world_id id;

    spin_init(&user->lock, "user", LOCK_RANK_USER);
    spin_init(&user->buffer_lock, "user buffers", LOCK_RANK_USER);
    list_init(&user->processes);
    list_init(&user->dead);
    list_init(&user->buffers);
    list_init(&user->clock_watches);
    list_init(&user->signalfds);
    for (unsigned i = 0; i < USER_PID_HASH; i++)
        list_init(&user->threads[i]);
    wait_queue_init(&user->dead_wait, "user dead");
    wait_queue_init(&user->kernel_wait, "user wait");
    memcpy(user->hostname, "localhost", 10);
    memcpy(user->domainname, "(none)", 7);
    /*
     * User worlds together get at most three quarters of what is free now: the host stays up.
     */
    user->host_pages = page_free_count() / 4 * 3;
    if (world_create(&params, &id) != VMK_OK)
        vmk_panic("no world to collect user worlds");
}
