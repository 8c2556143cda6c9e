// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/signalfd.c -- signalfd(2): signals that are read instead of delivered.
 *
 * A descriptor has a mask. Who reads it takes pending signals of that mask, his own or his
 * process's; they have to be blocked, or they are delivered first. Whoever sends a signal tells
 * every descriptor whose mask has it: there are few.
 *
 * Invariants
 *   - A descriptor is on user.signalfds from its creation to its release.
 * Locking    the user lock for the list and masks; waiters and poll heads below it.
 * Start at   signalfd_read(), signalfds_tell_locked().
 * Sources    signalfd(2)
 */
#include "lib/format.h"
#include "lib/string.h"
#include "user/user_internal.h"

struct signalfd {
    struct list link;  // user.signalfds
    uint64_t mask;     // user lock
    struct wait_queue queue;
    struct poll_head poll;
};

/* struct signalfd_siginfo */
struct l_signalfd_info {
    uint32_t signo;
    int32_t error, code;
    uint32_t pid, uid;
    int32_t fd;
    uint32_t tid, band, overrun, trap;
    int32_t status, value;
    uint64_t pointer, utime, stime, address;
    uint8_t pad[48];
};
_Static_assert(sizeof(struct l_signalfd_info) == 128, "struct signalfd_siginfo");

static struct signalfd *signalfd_of(const struct file *file)
{
    return file->private;
}

static void fill(struct l_signalfd_info *out, const struct l_siginfo *info)
{
    memset(out, 0, sizeof(*out));
    out->signo = (uint32_t)info->signo;
    out->error = info->error;
    out->code = info->code;
    if (info->code == L_SI_TIMER) {
        out->tid = (uint32_t)info->timer;
        out->overrun = (uint32_t)info->overrun;
        out->value = (int32_t)info->timer_value;
        out->pointer = info->timer_value;
        return;
    }
    out->pid = (uint32_t)info->pid;
    out->uid = info->uid;
    if (info->signo == L_SIGCHLD && info->code > 0) {
        out->status = info->child.status;
        out->utime = (uint64_t)info->child.utime;
        out->stime = (uint64_t)info->child.stime;
    } else {
        out->value = (int32_t)info->value;
        out->pointer = info->value;
    }
}

static vmk_status signalfd_read(struct file *file, struct vfs_iov *iov)
{
    struct user_state *user = user_state();
    struct signalfd *s = signalfd_of(file);
    struct thread *t = thread_current();
    struct l_signalfd_info out;
    struct l_siginfo info;
    vmk_status status = VMK_OK;
    bool irqs;

    if (!t || iov->size < sizeof(out))
        return VMK_BAD_PARAM;
    irqs = spin_lock(&user->lock);
    while (iov->size - iov->done >= sizeof(out)) {
        if (signal_take_locked(t, s->mask, &info)) {
            fill(&out, &info);
            memcpy((uint8_t *)iov->to + iov->done, &out, sizeof(out));
            iov->done += sizeof(out);
            continue;
        }
        if (iov->done || iov->nonblock || status != VMK_OK)
            break;
        spin_lock_irqs_off(&s->queue.lock);
        spin_unlock_irqs_off(&user->lock);
        status = wait_queue_block_interruptible(&s->queue, PLAT_NS_NEVER);
        spin_lock_irqs_off(&user->lock);
    }
    spin_unlock(&user->lock, irqs);
    return iov->done ? VMK_OK : status == VMK_OK ? VMK_AGAIN : status;
}

static unsigned signalfd_poll(struct file *file, struct poll_table *table)
{
    struct user_state *user = user_state();
    struct signalfd *s = signalfd_of(file);
    struct thread *t = thread_current();
    bool irqs, ready;

    poll_wait_on(table, &s->poll);
    if (!t)
        return 0;
    irqs = spin_lock(&user->lock);
    ready = (t->pending.set | t->process->pending.set) & s->mask;
    spin_unlock(&user->lock, irqs);
    return ready ? VFS_POLLIN | VFS_POLLRDNORM : 0;
}

static int signalfd_describe(struct file *file, char *out, size_t size)
{
    (void)file;
    return vmk_snprintf(out, size, "anon_inode:[signalfd]");
}

static void signalfd_release(struct file *file)
{
    struct user_state *user = user_state();
    struct signalfd *s = signalfd_of(file);
    bool irqs = spin_lock(&user->lock);

    list_remove(&s->link);
    spin_unlock(&user->lock, irqs);
    heap_free(s);
}

static const struct file_ops signalfd_ops = {
    .read = signalfd_read,
    .poll = signalfd_poll,
    .describe = signalfd_describe,
    .release = signalfd_release,
};

void signalfds_tell_locked(int signal)
{
    list_for_each (node, &user_state()->signalfds) {
        struct signalfd *s = list_entry(node, struct signalfd, link);

        if (!(s->mask & SIGNAL_BIT(signal)))
            continue;
        (void)wait_queue_wake(&s->queue, WAIT_QUEUE_ALL);
        poll_notify(&s->poll, VFS_POLLIN | VFS_POLLRDNORM);
    }
}

static int64_t create(struct thread *t, uint64_t mask, uint64_t flags)
{
    struct user_state *user = user_state();
    struct signalfd *s = heap_alloc(sizeof(*s), MEM_OWNER_USER);
    struct file *file;
    vmk_status status;
    bool irqs;

    if (!s)
        return -L_ENOMEM;
    s->mask = mask;
    wait_queue_init(&s->queue, "signalfd");
    poll_head_init(&s->poll, "signalfd");
    status =
        file_create(&signalfd_ops, s, VFS_O_RDWR | ((uint32_t)flags & VFS_O_NONBLOCK), &file);
    if (status != VMK_OK) {
        heap_free(s);
        return user_errno(status);
    }
    irqs = spin_lock(&user->lock);
    list_add_tail(&user->signalfds, &s->link);
    spin_unlock(&user->lock, irqs);
    return user_fd_install(t, file, 0, flags & VFS_O_CLOEXEC);
}

int64_t sys_signalfd4(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct file *file;
    uint64_t mask;
    bool irqs;

    if (a[2] != 8 || (a[3] & ~(uint64_t)(VFS_O_CLOEXEC | VFS_O_NONBLOCK)))
        return -L_EINVAL;
    if (user_in(t, &mask, a[1], sizeof(mask)))
        return -L_EFAULT;
    mask &= ~SIGNAL_UNBLOCKABLE;
    if ((int32_t)a[0] == -1)
        return create(t, mask, a[3]);
    file = user_fd_get(t, a[0]);
    if (!file)
        return -L_EBADF;
    if (file->ops != &signalfd_ops) {
        file_put(file);
        return -L_EINVAL;
    }
    irqs = spin_lock(&user->lock);
    signalfd_of(file)->mask = mask;
    spin_unlock(&user->lock, irqs);
    file_put(file);
    return (int64_t)a[0];
}

int64_t sys_signalfd(struct thread *t, const uint64_t *a)
{
    const uint64_t arguments[4] = {a[0], a[1], a[2], 0};

    return sys_signalfd4(t, arguments);
}
