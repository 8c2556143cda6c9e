// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/clone.c -- fork, vfork, clone: a new process or a new thread.
 *
 * Both are a new struct thread with the caller's registers and FPU; they differ in what is
 * copied and what is shared. A vfork parent waits, unkillable only for as long as its child
 * uses its memory: until the child calls execve or ends.
 *
 * Locking    none across steps; each part has its own.
 */
#include "core/assert.h"
#include "lib/string.h"
#include "user/user_internal.h"

struct clone_request {
    uint64_t flags;
    uint64_t stack;  // 0: the caller's
    uint64_t parent_tid, child_tid, tls;
};

static int64_t check(const struct clone_request *c)
{
    uint64_t flags = c->flags;

    if (flags & ~(uint64_t)L_CLONE_KNOWN)
        return -L_EINVAL;
    if ((flags & L_CLONE_SIGHAND) && !(flags & L_CLONE_VM))
        return -L_EINVAL;
    if ((flags & L_CLONE_THREAD) && !(flags & L_CLONE_SIGHAND))
        return -L_EINVAL;
    return 0;
}

/* The registers of the child: the caller's, with 0 as the result. */
static void copy_context(const struct thread *t, struct thread *child,
                         const struct clone_request *c)
{
    bool irqs = plat_irq_save();

    plat_fpu_save(t->fpu, t->fpu_xcr0);
    memcpy(child->fpu, t->fpu, PLAT_FPU_AREA_SIZE);
    plat_fpu_load(t->fpu, t->fpu_xcr0);
    plat_irq_restore(irqs);
    child->regs = t->regs;
    child->regs.gpr[0] = 0;
    if (c->stack)
        child->regs.gpr[4] = c->stack;
    if (c->flags & L_CLONE_SETTLS)
        child->regs.fs_base = c->tls;
    memcpy(child->name, t->name, sizeof(child->name));
    child->blocked = t->blocked;
    child->affinity = t->affinity;
    if (!(c->flags & L_CLONE_VM) || (c->flags & L_CLONE_VFORK))
        child->altstack = t->altstack;
    if (c->flags & L_CLONE_CHILD_SETTID)
        child->set_child_tid = c->child_tid;
    if (c->flags & L_CLONE_CHILD_CLEARTID)
        child->clear_child_tid = c->child_tid;
}

/* What a process has besides threads. On failure the caller discards the process. */
static vmk_status share_or_copy(struct process *from, struct process *p, uint64_t flags)
{
    vmk_status status;

    if (flags & L_CLONE_SIGHAND) {
        p->actions = from->actions;
        __atomic_fetch_add(&p->actions->refs, 1, __ATOMIC_RELAXED);
    } else {
        p->actions = heap_alloc(sizeof(*p->actions), MEM_OWNER_USER);
        if (!p->actions)
            return VMK_NO_MEMORY;
        memcpy(p->actions, from->actions, sizeof(*p->actions));
        p->actions->refs = 1;
    }
    if (flags & L_CLONE_FILES) {
        p->fds = from->fds;
        __atomic_fetch_add(&p->fds->refs, 1, __ATOMIC_RELAXED);
    } else {
        p->fds = fds_copy(from->fds);
    }
    if (flags & L_CLONE_FS) {
        p->fs = from->fs;
        __atomic_fetch_add(&p->fs->refs, 1, __ATOMIC_RELAXED);
    } else {
        p->fs = fs_copy(from->fs);
    }
    if (!p->fds || !p->fs)
        return VMK_NO_MEMORY;
    if (flags & L_CLONE_VM) {
        p->mm = from->mm;
        mm_ref(p->mm);
        return VMK_OK;
    }
    status = mm_fork(from->mm, &p->mm);
    return status;
}

static int64_t errno_of(vmk_status status)
{
    return status == VMK_LIMIT ? -L_EAGAIN : user_errno(status);
}

/* Until the child lets go of our memory. */
static void vfork_wait(struct wait_queue *queue, const bool *done)
{
    struct user_state *user = user_state();

    for (;;) {
        bool irqs = plat_irq_save();

        spin_lock_irqs_off(&queue->lock);
        if (__atomic_load_n(done, __ATOMIC_ACQUIRE)) {
            spin_unlock_irqs_off(&queue->lock);
            plat_irq_restore(irqs);
            break;
        }
        (void)!wait_queue_block_as(queue, PLAT_NS_NEVER, WAIT_FIRM);
        plat_irq_restore(irqs);
    }
    /* The child holds the user lock until it has forgotten `queue` and `done`. */
    spin_unlock(&user->lock, spin_lock(&user->lock));
}

static int64_t clone_process(struct thread *t, const struct clone_request *c)
{
    struct process *p;
    struct thread *child;
    struct wait_queue queue;
    bool done = false;
    uint32_t pid;
    vmk_status status = process_create(t->process, &p);

    if (status != VMK_OK)
        return errno_of(status);
    p->exit_signal = (int)(c->flags & 0xff);
    status = share_or_copy(t->process, p, c->flags);
    if (status != VMK_OK)
        goto discard_process;
    status = thread_create(p, &child);
    if (status != VMK_OK)
        goto discard_process;
    copy_context(t, child, c);
    memcpy(p->name, t->name, sizeof(p->name));
    pid = p->pid;
    if (p->limits[L_RLIMIT_CPU].current != L_RLIM_INFINITY)
        cpu_timers_changed(p);
    if (c->flags & L_CLONE_PARENT_SETTID)
        (void)!user_out(t, c->parent_tid, &pid, sizeof(pid));
    if (c->flags & L_CLONE_VFORK) {
        wait_queue_init(&queue, "vfork");
        child->vfork_wait = &queue;
        child->vfork_done = &done;
    }
    status = thread_start(child);
    if (status != VMK_OK) {
        thread_discard(child);
        goto discard_process;
    }
    if (c->flags & L_CLONE_VFORK)
        vfork_wait(&queue, &done);
    return pid;

discard_process:
    process_discard(p);
    return errno_of(status);
}

static int64_t clone_thread(struct thread *t, const struct clone_request *c)
{
    struct thread *child;
    uint32_t tid;
    vmk_status status = thread_create(t->process, &child);

    if (status != VMK_OK)
        return errno_of(status);
    copy_context(t, child, c);
    tid = child->tid;
    if (c->flags & L_CLONE_PARENT_SETTID)
        (void)!user_out(t, c->parent_tid, &tid, sizeof(tid));
    status = thread_start(child);
    if (status != VMK_OK) {
        thread_discard(child);
        return errno_of(status);
    }
    return tid;
}

static int64_t clone_act(struct thread *t, const struct clone_request *c)
{
    int64_t error = check(c);

    if (error)
        return error;
    return c->flags & L_CLONE_THREAD ? clone_thread(t, c) : clone_process(t, c);
}

int64_t sys_clone(struct thread *t, const uint64_t *a)
{
    const struct clone_request c = {a[0], a[1], a[2], a[3], a[4]};

    return clone_act(t, &c);
}

int64_t sys_fork(struct thread *t, const uint64_t *a)
{
    const struct clone_request c = {.flags = L_SIGCHLD};

    (void)a;
    return clone_act(t, &c);
}

int64_t sys_vfork(struct thread *t, const uint64_t *a)
{
    const struct clone_request c = {.flags = L_SIGCHLD | L_CLONE_VM | L_CLONE_VFORK};

    (void)a;
    return clone_act(t, &c);
}

/*
 * Handlers made default, a file that stands for the child, chosen numbers and control groups
 * are refused.
 */
int64_t sys_clone3(struct thread *t, const uint64_t *a)
{
    struct l_clone_args args = {0};

    if (a[1] < L_CLONE_ARGS_SIZE_FIRST)
        return -L_EINVAL;
    if (a[1] > sizeof(args))
        return -L_E2BIG;
    if (user_in(t, &args, a[0], a[1]))
        return -L_EFAULT;
    if ((args.flags & L_CSIGNAL) || args.exit_signal > L_NSIG || args.set_tid_size ||
        !args.stack != !args.stack_size || args.stack > UINT64_MAX - args.stack_size)
        return -L_EINVAL;

    const struct clone_request c = {.flags = args.flags | args.exit_signal,
                                    .stack = args.stack + args.stack_size,
                                    .parent_tid = args.parent_tid,
                                    .child_tid = args.child_tid,
                                    .tls = args.tls};

    return clone_act(t, &c);
}
