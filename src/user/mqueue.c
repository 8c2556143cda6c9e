// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/mqueue.c -- POSIX message queues: mq_open(3) and its family.
 *
 * Queues have names of their own, not in any directory, and stay until they are unlinked and
 * nobody has them open. A descriptor of one is a file: poll, epoll and close work. Messages are
 * kept by priority and age, each in a block of the heap; what all queues of a user may hold at
 * most counts against RLIMIT_MSGQUEUE when a queue is made.
 *
 * Invariants
 *   - A queue has at most max_messages messages of at most message_size bytes.
 *   - A queue is freed when it has no name and its last reference goes.
 *   - A notification is sent when a message comes to an empty queue that nobody waits for,
 *     once. What SIGEV_THREAD registers is a netlink socket, which also hears when the
 *     registration ends.
 * Locking    user.mqueue_mutex for names, counts and references; queue.wait.lock (rank WAITQ)
 *            for messages and the notification. Signals are sent with neither.
 * Start at   sys_mq_open(), sys_mq_timedsend().
 * Sources    mq_overview(7); POSIX.1-2017 "Message Passing"
 */
#include "core/assert.h"
#include "lib/format.h"
#include "lib/string.h"
#include "user/user_internal.h"

#define QUEUES_MAX       256u
#define PRIORITIES       32768u
#define MESSAGES_DEFAULT 10
#define SIZE_DEFAULT     8192
#define MESSAGES_MAX     10  // of a user who is not root
#define SIZE_MAX_USER    8192
#define MESSAGES_ROOT    65536
#define SIZE_ROOT        (1 << 20)
#define MESSAGE_COST     64u  // what a message takes beyond its bytes

struct l_mq_attr {
    int64_t flags, max_messages, message_size, messages, reserved[4];
};

struct message {
    struct list link;
    uint32_t priority;
    size_t size;
    uint8_t bytes[];
};

/* Whom to tell of a message, and how. */
struct notice {
    const struct user_fds *owner;  // who registered; null: nobody
    uint32_t pid;
    int notify, signal;
    uint64_t value;
    struct file *socket;  // SIGEV_THREAD: referenced
    uint8_t note[NETLINK_NOTE_SIZE];
};
#define NOTE_MESSAGE 1u  // the last byte of the note
#define NOTE_REMOVED 2u

struct mqueue {
    struct list link;         // mqueue_mutex; on the table while it has a name
    struct list charge_link;  // mqueue_mutex; on the list of all
    char name[VFS_NAME_MAX + 1];
    uint32_t refs;  // mqueue_mutex; open files
    uint32_t owner;
    struct vfs_attr attr;  // mode, uid, gid
    uint64_t cost;         // of the owner's RLIMIT_MSGQUEUE
    int64_t max_messages, message_size;

    struct wait_queue wait;
    struct poll_head poll;
    struct list messages;  // wait.lock; first out first
    int64_t count;         // wait.lock
    uint32_t receivers;    // wait.lock; who wait
    struct notice notice;  // wait.lock
};

static struct mqueue *queue_of(struct file *file)
{
    return file->private;
}

/* Mutex held. */
static struct mqueue *find(const char *name)
{
    list_for_each (node, &user_state()->mqueues) {
        struct mqueue *q = list_entry(node, struct mqueue, link);

        if (strcmp(q->name, name) == 0)
            return q;
    }
    return NULL;
}

static void free_messages(struct mqueue *q)
{
    list_for_each_safe (node, after, &q->messages) {
        list_remove(node);
        heap_free(list_entry(node, struct message, link));
    }
}

/* Mutex held. */
static void put_locked(struct mqueue *q)
{
    struct user_state *user = user_state();

    if (q->refs || list_is_linked(&q->link))
        return;
    file_put(q->notice.socket);
    user->mqueue_count--;
    list_remove(&q->charge_link);
    free_messages(q);
    heap_free(q);
}

/* ---- notification ---- */

/* Takes the registration away: the caller ends it with no lock held. wait.lock held. */
static struct notice notice_take_locked(struct mqueue *q)
{
    struct notice n = q->notice;

    q->notice = (struct notice){.owner = NULL};
    return n;
}

/* By a socket: a message came, or the registration ends. */
static void notice_end(struct notice *n, uint8_t why)
{
    if (!n->socket)
        return;
    n->note[NETLINK_NOTE_SIZE - 1] = why;
    netlink_put(n->socket, n->note);
    file_put(n->socket);
}

static void notice_send(struct thread *t, struct notice *n)
{
    struct process *p;
    struct l_siginfo info;

    notice_end(n, NOTE_MESSAGE);
    if (n->notify != L_SIGEV_SIGNAL || !n->signal)
        return;
    p = process_find(n->pid);
    if (!p)
        return;
    memset(&info, 0, sizeof(info));
    info.signo = n->signal;
    info.code = L_SI_MESGQ;
    info.pid = (int32_t)t->process->pid;
    info.uid = t->process->uid;
    info.value = n->value;
    signal_send(p, NULL, n->signal, &info);
    process_put(p);
}

/* Takes back what that table of descriptors registered, if it did. */
static void notice_withdraw(struct mqueue *q, const struct user_fds *owner)
{
    struct notice n = {.owner = NULL};
    bool irqs = spin_lock(&q->wait.lock);

    if (q->notice.owner == owner)
        n = notice_take_locked(q);
    spin_unlock(&q->wait.lock, irqs);
    notice_end(&n, NOTE_REMOVED);
}

/* ---- the file ---- */

static unsigned queue_poll(struct file *file, struct poll_table *table)
{
    struct mqueue *q = queue_of(file);
    unsigned events = 0;
    bool irqs;

    poll_wait_on(table, &q->poll);
    irqs = spin_lock(&q->wait.lock);
    if (q->count > 0)
        events |= VFS_POLLIN | VFS_POLLRDNORM;
    if (q->count < q->max_messages)
        events |= VFS_POLLOUT | VFS_POLLWRNORM;
    spin_unlock(&q->wait.lock, irqs);
    return events;
}

static void queue_release(struct file *file)
{
    struct user_state *user = user_state();
    struct mqueue *q = queue_of(file);

    mutex_lock(&user->mqueue_mutex);
    q->refs--;
    put_locked(q);
    mutex_unlock(&user->mqueue_mutex);
}

static int queue_describe(struct file *file, char *out, size_t size)
{
    return vmk_snprintf(out, size, "/%s", queue_of(file)->name);
}

static vmk_status queue_getattr(struct file *file, struct vfs_attr *out)
{
    *out = queue_of(file)->attr;
    return VMK_OK;
}

/* A process that closes a descriptor of the queue takes its registration back. */
static void queue_closed(struct file *file, const void *owner)
{
    notice_withdraw(queue_of(file), owner);
}

static const struct file_ops queue_ops = {
    .poll = queue_poll,
    .getattr = queue_getattr,
    .describe = queue_describe,
    .closed = queue_closed,
    .release = queue_release,
};

void mqueue_init(void)
{
    struct user_state *user = user_state();

    mutex_init(&user->mqueue_mutex, "message queues");
    list_init(&user->mqueues);
    list_init(&user->mqueue_charges);
}

/*
 * A name of the user, one part of a path, as the C libraries pass it: without the first slash.
 */
static int64_t name_in(struct thread *t, uint64_t at, char *name)
{
    size_t length = 0;
    vmk_status status = aspace_copy_string(t->as, name, at, VFS_NAME_MAX + 1, &length);

    if (status != VMK_OK)
        return status == VMK_NAME_TOO_LONG ? -L_ENAMETOOLONG : -L_EFAULT;
    if (strchr(name, '/'))
        return -L_EACCES;
    return name[0] ? 0 : -L_ENOENT;
}

static int64_t attr_check(const struct l_mq_attr *attr, bool root)
{
    if (attr->max_messages <= 0 || attr->message_size <= 0)
        return -L_EINVAL;
    if (attr->max_messages > (root ? MESSAGES_ROOT : MESSAGES_MAX) ||
        attr->message_size > (root ? SIZE_ROOT : SIZE_MAX_USER))
        return -L_EINVAL;
    return 0;
}

/* A new queue with that name; mutex held. Null: *error says why. */
static struct mqueue *create(struct thread *t, const char *name, uint32_t mode,
                             const struct l_mq_attr *attr, int64_t *error)
{
    struct user_state *user = user_state();
    const struct process *p = t->process;
    uint64_t charged = 0, cost;
    struct mqueue *q = NULL;

    cost = (uint64_t)attr->max_messages * ((uint64_t)attr->message_size + MESSAGE_COST);
    list_for_each (node, &user->mqueue_charges) {
        const struct mqueue *other = list_entry(node, struct mqueue, charge_link);

        if (other->owner == p->uid)
            charged += other->cost;
    }
    *error = -L_EMFILE;
    if (p->limits[L_RLIMIT_MSGQUEUE].current != L_RLIM_INFINITY &&
        charged + cost > p->limits[L_RLIMIT_MSGQUEUE].current)
        return NULL;
    *error = -L_ENOSPC;
    if (user->mqueue_count >= QUEUES_MAX)
        return NULL;
    *error = -L_ENOMEM;
    q = heap_alloc(sizeof(*q), MEM_OWNER_USER);
    if (!q)
        return NULL;
    memcpy(q->name, name, strlen(name) + 1);
    q->owner = p->uid;
    q->cost = cost;
    q->max_messages = attr->max_messages;
    q->message_size = attr->message_size;
    q->attr.mode = VFS_TYPE_REGULAR | (mode & 0777u & ~p->fs->umask);
    q->attr.uid = p->cred.uid;
    q->attr.gid = p->cred.gid;
    q->attr.link_count = 1;
    wait_queue_init(&q->wait, "message queue");
    poll_head_init(&q->poll, "message queue");
    list_init(&q->messages);
    list_add_tail(&user->mqueues, &q->link);
    list_add_tail(&user->mqueue_charges, &q->charge_link);
    user->mqueue_count++;
    *error = 0;
    return q;
}

/* May the caller open it so? */
static int64_t permitted(struct thread *t, const struct mqueue *q, uint32_t flags)
{
    static const unsigned may[4] = {VFS_MAY_READ, VFS_MAY_WRITE, VFS_MAY_READ | VFS_MAY_WRITE,
                                    0};
    unsigned wanted = may[flags & VFS_O_ACCMODE];

    if (!wanted)
        return -L_EINVAL;
    return vfs_attr_allows(&q->attr, wanted, &t->process->cred) ? 0 : -L_EACCES;
}

int64_t sys_mq_open(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    struct l_mq_attr attr = {.max_messages = MESSAGES_DEFAULT, .message_size = SIZE_DEFAULT};
    uint32_t flags = (uint32_t)a[1];
    char name[VFS_NAME_MAX + 1];
    struct file *file = NULL;
    struct mqueue *q;
    int64_t error = name_in(t, a[0], name);

    if (!error && (flags & VFS_O_CREAT) && a[3])
        error = user_in(t, &attr, a[3], sizeof(attr));
    if (error)
        return error;
    mutex_lock(&user->mqueue_mutex);
    q = find(name);
    if (q && (flags & VFS_O_CREAT) && (flags & VFS_O_EXCL))
        error = -L_EEXIST;
    else if (q)
        error = permitted(t, q, flags);
    else if (!(flags & VFS_O_CREAT))
        error = -L_ENOENT;
    else if ((flags & VFS_O_ACCMODE) == VFS_O_ACCMODE)
        error = -L_EINVAL;
    else
        error = attr_check(&attr, t->process->cred.uid == 0);
    if (!error && !q)
        q = create(t, name, (uint32_t)a[2], &attr, &error);
    if (!error) {
        error = user_errno(
            file_create(&queue_ops, q, flags & (VFS_O_ACCMODE | VFS_O_NONBLOCK), &file));
        if (!error)
            q->refs++;
        else
            put_locked(q);
    }
    mutex_unlock(&user->mqueue_mutex);
    return error ? error : user_fd_install(t, file, 0, flags & VFS_O_CLOEXEC);
}

int64_t sys_mq_unlink(struct thread *t, const uint64_t *a)
{
    struct user_state *user = user_state();
    char name[VFS_NAME_MAX + 1];
    struct mqueue *q;
    int64_t error = name_in(t, a[0], name);

    if (error)
        return error;
    mutex_lock(&user->mqueue_mutex);
    q = find(name);
    if (!q) {
        error = -L_ENOENT;
    } else if (t->process->cred.uid && t->process->cred.uid != q->attr.uid) {
        error = -L_EACCES;
    } else {
        list_remove(&q->link);
        put_locked(q);
    }
    mutex_unlock(&user->mqueue_mutex);
    return error;
}

/* The queue of a descriptor, its file referenced; null: *error says why. */
static struct mqueue *queue_get(struct thread *t, uint64_t fd, struct file **file,
                                int64_t *error)
{
    *error = -L_EBADF;
    *file = user_fd_get(t, fd);
    if (!*file)
        return NULL;
    if ((*file)->ops != &queue_ops) {
        file_put(*file);
        return NULL;
    }
    *error = 0;
    return queue_of(*file);
}

/* When to give up; `at` 0: never. */
static int64_t deadline_in(struct thread *t, uint64_t at, struct wait_deadline *deadline)
{
    *deadline = (struct wait_deadline){.wall = at != 0, .at = PLAT_NS_NEVER};
    return at ? timespec_in(t, at, &deadline->at) : 0;
}

/* Behind those of its priority. wait.lock held. */
static void insert_locked(struct mqueue *q, struct message *m)
{
    struct list *before = q->messages.prev;

    while (before != &q->messages &&
           list_entry(before, struct message, link)->priority < m->priority)
        before = before->prev;
    list_add_head(before, &m->link);
    q->count++;
}

/*
 * Waits until the queue is not full (sending) or not empty; wait.lock is held again when it
 * returns.
 */
static vmk_status wait_for(struct mqueue *q, bool sending, bool nonblock,
                           const struct wait_deadline *deadline)
{
    vmk_status status = VMK_OK;

    while (sending ? q->count >= q->max_messages : q->count == 0) {
        if (status != VMK_OK)
            return status;
        if (nonblock)
            return VMK_AGAIN;
        q->receivers += !sending;
        status = wait_queue_block_interruptible(&q->wait, wait_deadline_now(deadline));
        spin_lock_irqs_off(&q->wait.lock);
        q->receivers -= !sending;
    }
    return VMK_OK;
}

static int64_t wait_errno(vmk_status status, const struct wait_deadline *deadline)
{
    if (status == VMK_TIMEOUT)
        return -L_ETIMEDOUT;
    if (deadline->wall && status == VMK_INTERRUPTED)
        return -L_EINTR;
    return user_errno_restart(status);
}

static void changed(struct mqueue *q, unsigned events)
{
    (void)wait_queue_wake(&q->wait, WAIT_QUEUE_ALL);
    poll_notify(&q->poll, events);
}

/*
 * Puts *m into the queue, or takes the first message out of it into *m, when there is room or
 * one.
 * A registration that this ends is in *notice.
 */
static int64_t pass(struct mqueue *q, bool sending, struct message **m, bool nonblock,
                    struct wait_deadline *deadline, struct notice *notice)
{
    vmk_status status;
    bool irqs;

    wait_deadline_begin(deadline, &q->wait);
    irqs = plat_irq_save();
    spin_lock_irqs_off(&q->wait.lock);
    status = wait_for(q, sending, nonblock, deadline);
    if (status == VMK_OK && sending) {
        if (q->count == 0 && !q->receivers)
            *notice = notice_take_locked(q);
        insert_locked(q, *m);
    } else if (status == VMK_OK) {
        *m = list_entry(q->messages.next, struct message, link);
        list_remove(&(*m)->link);
        q->count--;
    }
    spin_unlock(&q->wait.lock, irqs);
    wait_deadline_end(deadline);
    if (status != VMK_OK)
        return wait_errno(status, deadline);
    changed(q, sending ? VFS_POLLIN | VFS_POLLRDNORM : VFS_POLLOUT | VFS_POLLWRNORM);
    return 0;
}

/*
 * The queue that a[0] names, if the caller may send a[2] bytes to it or receive so many; its
 * file is referenced. Null: *error says why.
 */
static struct mqueue *queue_for(struct thread *t, const uint64_t *a, bool sending,
                                struct file **file, int64_t *error)
{
    struct mqueue *q = queue_get(t, a[0], file, error);

    if (!q)
        return NULL;
    if (!(sending ? file_may_write(*file) : file_may_read(*file)))
        *error = -L_EBADF;
    else if (sending ? a[2] > (uint64_t)q->message_size : a[2] < (uint64_t)q->message_size)
        *error = -L_EMSGSIZE;
    if (!*error)
        return q;
    file_put(*file);
    return NULL;
}

int64_t sys_mq_timedsend(struct thread *t, const uint64_t *a)
{
    struct notice notice = {.owner = NULL};
    struct wait_deadline deadline;
    struct message *m;
    struct file *file;
    struct mqueue *q;
    int64_t error = deadline_in(t, a[4], &deadline);

    if (!error && a[3] >= PRIORITIES)
        error = -L_EINVAL;
    if (error)
        return error;
    q = queue_for(t, a, true, &file, &error);
    if (!q)
        return error;
    m = heap_alloc(sizeof(*m) + a[2], MEM_OWNER_USER);
    error = m ? user_in(t, m->bytes, a[1], a[2]) : -L_ENOMEM;
    if (!error) {
        m->priority = (uint32_t)a[3];
        m->size = a[2];
        error = pass(q, true, &m, file->flags & VFS_O_NONBLOCK, &deadline, &notice);
    }
    if (error)
        heap_free(m);
    else
        notice_send(t, &notice);
    file_put(file);
    return error;
}

int64_t sys_mq_timedreceive(struct thread *t, const uint64_t *a)
{
    struct message *m = NULL;
    struct file *file;
    struct mqueue *q;
    struct wait_deadline deadline;
    int64_t error = deadline_in(t, a[4], &deadline);

    if (error)
        return error;
    q = queue_for(t, a, false, &file, &error);
    if (!q)
        return error;
    error = pass(q, false, &m, file->flags & VFS_O_NONBLOCK, &deadline, NULL);
    file_put(file);
    if (error)
        return error;
    error = (int64_t)m->size;
    if (user_out(t, a[1], m->bytes, m->size) ||
        (a[3] && user_out(t, a[3], &m->priority, sizeof(m->priority))))
        error = -L_EFAULT;
    heap_free(m);
    return error;
}

int64_t sys_mq_notify(struct thread *t, const uint64_t *a)
{
    struct l_sigevent event = {.notify = L_SIGEV_NONE};
    struct notice notice = {.owner = t->process->fds, .pid = t->process->pid};
    struct file *file;
    struct mqueue *q;
    int64_t error = 0;
    bool irqs;

    if (a[1] && user_in(t, &event, a[1], sizeof(event)))
        return -L_EFAULT;
    if (event.notify == L_SIGEV_SIGNAL && (event.signal < 0 || event.signal > (int32_t)L_NSIG))
        return -L_EINVAL;
    if (event.notify == L_SIGEV_THREAD) {
        notice.socket = user_fd_get(t, (uint32_t)event.signal);
        if (!notice.socket || !netlink_is(notice.socket))
            error = -L_EBADF;
        else
            error = user_in(t, notice.note, event.value, sizeof(notice.note));
    } else if (event.notify != L_SIGEV_NONE && event.notify != L_SIGEV_SIGNAL) {
        error = -L_EINVAL;
    }
    q = error ? NULL : queue_get(t, a[0], &file, &error);
    if (!q) {
        file_put(notice.socket);
        return error;
    }
    notice.notify = event.notify;
    notice.signal = event.signal;
    notice.value = event.value;
    if (a[1]) {
        irqs = spin_lock(&q->wait.lock);
        if (q->notice.owner)
            error = -L_EBUSY;
        else
            q->notice = notice;
        spin_unlock(&q->wait.lock, irqs);
        if (error)
            file_put(notice.socket);
    } else {
        notice_withdraw(q, t->process->fds);
    }
    file_put(file);
    return error;
}

int64_t sys_mq_getsetattr(struct thread *t, const uint64_t *a)
{
    struct l_mq_attr now = {0}, set;
    struct file *file;
    struct mqueue *q;
    int64_t error = 0;
    bool irqs;

    if (a[1] && user_in(t, &set, a[1], sizeof(set)))
        return -L_EFAULT;
    if (a[1] && (set.flags & ~(int64_t)VFS_O_NONBLOCK))
        return -L_EINVAL;
    q = queue_get(t, a[0], &file, &error);
    if (!q)
        return error;
    irqs = spin_lock(&q->wait.lock);
    now.messages = q->count;
    spin_unlock(&q->wait.lock, irqs);
    now.flags = file->flags & VFS_O_NONBLOCK;
    now.max_messages = q->max_messages;
    now.message_size = q->message_size;
    if (a[1])
        file_flags_set(file, (file->flags & ~VFS_O_NONBLOCK) | (uint32_t)set.flags);
    file_put(file);
    return a[2] ? user_out(t, a[2], &now, sizeof(now)) : 0;
}
