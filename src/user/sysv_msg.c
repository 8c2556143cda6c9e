// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sysv_msg.c -- System V message queues: msgget, msgsnd, msgrcv, msgctl.
 *
 * A message has a type, by which receivers choose. A message goes straight to the first
 * receiver that waits for one like it, else into the queue; and when a message is taken out,
 * what waiting senders hold comes in, in their order. So whoever waits is served by somebody
 * else (sysv_wake()). Only a message that is small enough overtakes senders of larger ones.
 *
 * Invariants
 *   - queue.bytes and .count are what its messages say.
 *   - No receiver waits for a message that the queue has; no sender, if there is room for
 *     what he sends.
 * Locking    sysv.msg.mutex.
 * Start at   sys_msgsnd(), sys_msgrcv().
 * Sources    msgop(2), msgctl(2)
 */
#include "lib/string.h"
#include "user/sysv.h"

struct message {
    struct list link;
    int64_t type;
    size_t size;
    uint8_t bytes[];
};

struct queue {
    struct sysv_object head;
    struct list messages, senders, receivers;
    uint64_t bytes, count, bytes_max;
    int64_t stime, rtime;
    uint32_t lspid, lrpid;
};

struct sender {
    struct sysv_sleeper sleeper;
    struct message *message;
    uint32_t pid;
};

enum wanted {
    WANT_ANY,
    WANT_TYPE,
    WANT_OTHER,       // any type but that
    WANT_UP_TO,       // the lowest type up to that
    WANT_COPY_OF_NTH  // stays in the queue
};

struct receiver {
    struct sysv_sleeper sleeper;
    enum wanted wanted;
    int64_t type;
    size_t room;
    bool cut;  // MSG_NOERROR: what has no room is lost
    uint32_t pid;
    struct message *message;
};

static struct queue *queue_of(const struct sysv_object *object)
{
    return container_of((struct sysv_object *)object, struct queue, head);
}

/* ---- memory ---- */

static struct message *message_make(size_t size)
{
    struct sysv *sysv = sysv_state();
    uint64_t cost = sizeof(struct message) + size;
    struct message *m = NULL;

    if (__atomic_add_fetch(&sysv->message_memory, cost, __ATOMIC_RELAXED) <=
        SYSV_MSG_MEMORY_MAX)
        m = heap_alloc(sizeof(*m) + size, MEM_OWNER_USER);
    if (m)
        m->size = size;
    else
        __atomic_fetch_sub(&sysv->message_memory, cost, __ATOMIC_RELAXED);
    return m;
}

/* Null is fine. */
static void message_free(struct message *m)
{
    if (!m)
        return;
    __atomic_fetch_sub(&sysv_state()->message_memory, sizeof(*m) + m->size, __ATOMIC_RELAXED);
    heap_free(m);
}

/* ---- in and out; mutex held ---- */

static bool has_room(const struct queue *q, size_t size)
{
    return q->bytes + size <= q->bytes_max && q->count + 1 <= q->bytes_max;
}

static bool suits(const struct receiver *r, int64_t type)
{
    switch (r->wanted) {
    case WANT_TYPE: return type == r->type;
    case WANT_OTHER: return type != r->type;
    case WANT_UP_TO: return type <= r->type;
    default: return true;
    }
}

/* To the first who waits for it, else into the queue. */
static void deliver(struct queue *q, struct message *m)
{
    list_for_each_safe (node, after, &q->receivers) {
        struct receiver *r =
            container_of(list_entry(node, struct sysv_sleeper, link), struct receiver, sleeper);

        if (!suits(r, m->type))
            continue;
        if (m->size > r->room && !r->cut) {
            sysv_wake(&r->sleeper, -L_E2BIG);
            continue;
        }
        r->message = m;
        q->lrpid = r->pid;
        q->rtime = sysv_now();
        sysv_wake(&r->sleeper, 0);
        return;
    }
    list_add_tail(&q->messages, &m->link);
    q->bytes += m->size;
    q->count++;
    sysv_state()->message_bytes += m->size;
    sysv_state()->messages++;
}

static void take_out(struct queue *q, struct message *m)
{
    list_remove(&m->link);
    q->bytes -= m->size;
    q->count--;
    sysv_state()->message_bytes -= m->size;
    sysv_state()->messages--;
}

/* There may be room. */
static void serve_senders(struct queue *q)
{
    list_for_each_safe (node, after, &q->senders) {
        struct sender *s =
            container_of(list_entry(node, struct sysv_sleeper, link), struct sender, sleeper);

        if (!has_room(q, s->message->size))
            continue;
        q->lspid = s->pid;
        q->stime = sysv_now();
        deliver(q, s->message);
        sysv_wake(&s->sleeper, 0);
    }
}

/* The message that one who asks so gets, still in the queue, or null. */
static struct message *choose(const struct queue *q, const struct receiver *r)
{
    struct message *lowest = NULL;
    int64_t index = 0;

    list_for_each (node, &q->messages) {
        struct message *m = list_entry(node, struct message, link);

        if (r->wanted == WANT_COPY_OF_NTH) {
            if (index++ == r->type)
                return m;
        } else if (suits(r, m->type)) {
            if (r->wanted != WANT_UP_TO)
                return m;
            if (!lowest || m->type < lowest->type)
                lowest = m;
        }
    }
    return lowest;
}

/* ---- msgget ---- */

static int64_t queue_create(struct thread *t, const struct sysv_wish *wish,
                            struct sysv_object **out)
{
    struct queue *q = heap_alloc(sizeof(*q), MEM_OWNER_USER);

    (void)t;
    (void)wish;
    if (!q)
        return -L_ENOMEM;
    list_init(&q->messages);
    list_init(&q->senders);
    list_init(&q->receivers);
    q->bytes_max = SYSV_MSG_QUEUE_MAX;
    *out = &q->head;
    return 0;
}

static int64_t queue_fits(const struct sysv_object *object, const struct sysv_wish *wish)
{
    (void)object;
    (void)wish;
    return 0;
}

int64_t sys_msgget(struct thread *t, const uint64_t *a)
{
    const struct sysv_wish wish = {.ids = &sysv_state()->msg,
                                   .key = (int32_t)a[0],
                                   .flags = (uint32_t)a[1],
                                   .create = queue_create,
                                   .fits = queue_fits};

    return sysv_get(t, &wish);
}

/* ---- msgsnd ---- */

/* Takes the message over, if it answers 0. */
static int64_t send(struct thread *t, int32_t id, struct message *m, bool nowait)
{
    struct sysv_ids *ids = &sysv_state()->msg;
    struct sender s = {.message = m, .pid = t->process->pid};
    struct sysv_object *object;
    int64_t error;

    mutex_lock(&ids->mutex);
    object = sysv_look(t, ids, id, false, 0222, &error);
    if (object) {
        struct queue *q = queue_of(object);

        if (has_room(q, m->size)) {
            q->lspid = s.pid;
            q->stime = sysv_now();
            deliver(q, m);
        } else if (nowait) {
            error = -L_EAGAIN;
        } else {
            error = sysv_sleep(ids, &q->senders, &s.sleeper, PLAT_NS_NEVER);
        }
    }
    mutex_unlock(&ids->mutex);
    return error == -L_EINTR ? -L_ERESTARTNOHAND : error;
}

int64_t sys_msgsnd(struct thread *t, const uint64_t *a)
{
    struct message *m;
    int64_t type, error;

    if (user_in(t, &type, a[1], sizeof(type)))
        return -L_EFAULT;
    if (a[2] > SYSV_MSG_SIZE_MAX || (int32_t)a[0] < 0 || type < 1)
        return -L_EINVAL;
    m = message_make(a[2]);
    if (!m)
        return -L_ENOMEM;
    m->type = type;
    error = user_in(t, m->bytes, a[1] + sizeof(type), a[2]);
    if (!error)
        error = send(t, (int32_t)a[0], m, (uint32_t)a[3] & L_IPC_NOWAIT);
    if (error)
        message_free(m);
    return error;
}

/* ---- msgrcv ---- */

static int64_t wish_of(const uint64_t *a, struct receiver *r)
{
    uint32_t flags = (uint32_t)a[4];
    int64_t type = (int64_t)a[3];

    if ((int32_t)a[0] < 0 || (int64_t)a[2] < 0)
        return -L_EINVAL;
    if ((flags & L_MSG_COPY) && ((flags & L_MSG_EXCEPT) || !(flags & L_IPC_NOWAIT)))
        return -L_EINVAL;
    r->room = a[2];
    r->cut = flags & L_MSG_NOERROR;
    r->type = type;
    if (flags & L_MSG_COPY) {
        r->wanted = WANT_COPY_OF_NTH;
    } else if (type < 0) {
        r->wanted = WANT_UP_TO;
        r->type = type == INT64_MIN ? INT64_MAX : -type;
    } else if (type > 0) {
        r->wanted = flags & L_MSG_EXCEPT ? WANT_OTHER : WANT_TYPE;
    }
    return 0;
}

/* Mutex held: what it gets now is in r->message; -ENOMSG: there is nothing. */
static int64_t receive_now(struct queue *q, struct receiver *r)
{
    struct message *m = choose(q, r);

    if (!m)
        return -L_ENOMSG;
    if (m->size > r->room && !r->cut)
        return -L_E2BIG;
    if (r->wanted == WANT_COPY_OF_NTH) {
        r->message = message_make(m->size);
        if (!r->message)
            return -L_ENOMEM;
        r->message->type = m->type;
        memcpy(r->message->bytes, m->bytes, m->size);
        return 0;
    }
    take_out(q, m);
    r->message = m;
    q->lrpid = r->pid;
    q->rtime = sysv_now();
    serve_senders(q);
    return 0;
}

static int64_t receive(struct thread *t, int32_t id, struct receiver *r, bool nowait)
{
    struct sysv_ids *ids = &sysv_state()->msg;
    struct sysv_object *object;
    int64_t error;

    mutex_lock(&ids->mutex);
    object = sysv_look(t, ids, id, false, 0444, &error);
    if (object)
        error = receive_now(queue_of(object), r);
    if (error == -L_ENOMSG && !nowait)
        error = sysv_sleep(ids, &queue_of(object)->receivers, &r->sleeper, PLAT_NS_NEVER);
    mutex_unlock(&ids->mutex);
    return error == -L_EINTR ? -L_ERESTARTNOHAND : error;
}

int64_t sys_msgrcv(struct thread *t, const uint64_t *a)
{
    struct receiver r = {.wanted = WANT_ANY, .pid = t->process->pid};
    int64_t error = wish_of(a, &r);
    size_t size;

    if (!error)
        error = receive(t, (int32_t)a[0], &r, (uint32_t)a[4] & L_IPC_NOWAIT);
    if (error)
        return error;
    size = MIN(r.message->size, r.room);
    error = (int64_t)size;
    if (user_out(t, a[1], &r.message->type, sizeof(r.message->type)) ||
        user_out(t, a[1] + sizeof(r.message->type), r.message->bytes, size))
        error = -L_EFAULT;
    message_free(r.message);
    return error;
}

/* ---- msgctl ---- */

static int64_t info_msg(struct thread *t, int command, uint64_t at)
{
    struct sysv *sysv = sysv_state();
    struct l_msginfo info = {.msgpool = SYSV_OBJECTS_MAX * (SYSV_MSG_QUEUE_MAX / 1024),
                             .msgmap = SYSV_MSG_QUEUE_MAX,
                             .msgmax = SYSV_MSG_SIZE_MAX,
                             .msgmnb = SYSV_MSG_QUEUE_MAX,
                             .msgmni = SYSV_OBJECTS_MAX,
                             .msgssz = 16,
                             .msgtql = SYSV_MSG_QUEUE_MAX,
                             .msgseg = UINT16_MAX};
    uint32_t highest;

    mutex_lock(&sysv->msg.mutex);
    highest = sysv_highest(&sysv->msg);
    if (command == L_MSG_INFO) {
        info.msgpool = (int32_t)sysv->msg.count;
        info.msgmap = (int32_t)sysv->messages;
        info.msgtql = (int32_t)sysv->message_bytes;
    }
    mutex_unlock(&sysv->msg.mutex);
    return user_out(t, at, &info, sizeof(info)) ? -L_EFAULT : (int64_t)highest;
}

static void fill_msg(const struct sysv_object *object, void *out)
{
    const struct queue *q = queue_of(object);
    struct l_msqid_ds *ds = out;

    ds->stime = q->stime;
    ds->rtime = q->rtime;
    ds->ctime = object->ctime;
    ds->cbytes = q->bytes;
    ds->qnum = q->count;
    ds->qbytes = q->bytes_max;
    ds->lspid = q->lspid;
    ds->lrpid = q->lrpid;
}

static int64_t stat_msg(struct thread *t, int32_t id, int command, uint64_t at)
{
    struct l_msqid_ds ds = {.perm = {.key = 0}};
    const struct sysv_query query = {.ids = &sysv_state()->msg,
                                     .by_place = command != L_IPC_STAT,
                                     .anybody = command == L_MSG_STAT_ANY,
                                     .fill = fill_msg,
                                     .ds = &ds,
                                     .size = sizeof(ds)};

    return sysv_stat(t, &query, id, at);
}

static int64_t set_msg(struct thread *t, int32_t id, const struct l_msqid_ds *ds)
{
    struct sysv_ids *ids = &sysv_state()->msg;
    struct sysv_object *object;
    int64_t error;

    mutex_lock(&ids->mutex);
    object = sysv_look_own(t, ids, id, &error);
    if (object && ds->qbytes > SYSV_MSG_QUEUE_MAX && t->process->cred.uid)
        error = -L_EPERM;
    else if (object)
        error = sysv_perm_set(object, &ds->perm);
    if (object && !error) {
        queue_of(object)->bytes_max = ds->qbytes;
        serve_senders(queue_of(object));
    }
    mutex_unlock(&ids->mutex);
    return error;
}

static int64_t remove_msg(struct thread *t, int32_t id)
{
    struct sysv_ids *ids = &sysv_state()->msg;
    struct sysv_object *object;
    int64_t error;

    mutex_lock(&ids->mutex);
    object = sysv_look_own(t, ids, id, &error);
    if (object) {
        struct queue *q = queue_of(object);

        sysv_wake_all(&q->senders, -L_EIDRM);
        sysv_wake_all(&q->receivers, -L_EIDRM);
        list_for_each_safe (node, after, &q->messages) {
            struct message *m = list_entry(node, struct message, link);

            take_out(q, m);
            message_free(m);
        }
        sysv_remove(ids, object);
        heap_free(q);
    }
    mutex_unlock(&ids->mutex);
    return error;
}

int64_t sys_msgctl(struct thread *t, const uint64_t *a)
{
    int32_t id = (int32_t)a[0];
    int command = (int)a[1];
    struct l_msqid_ds ds;

    if (id < 0 || command < 0)
        return -L_EINVAL;
    switch (command) {
    case L_IPC_INFO:
    case L_MSG_INFO: return info_msg(t, command, a[2]);
    case L_IPC_STAT:
    case L_MSG_STAT:
    case L_MSG_STAT_ANY: return stat_msg(t, id, command, a[2]);
    case L_IPC_SET: return user_in(t, &ds, a[2], sizeof(ds)) ? -L_EFAULT : set_msg(t, id, &ds);
    case L_IPC_RMID: return remove_msg(t, id);
    default: return -L_EINVAL;
    }
}

void sysv_msg_show(const struct sysv_object *object, struct procfs_text *out)
{
    const struct queue *q = queue_of(object);

    procfs_printf(
        out, "%10d %10d  %4o  %10llu %10llu %5u %5u %5u %5u %5u %5u %10lld %10lld %10lld\n",
        object->key, object->id, object->mode, (unsigned long long)q->bytes,
        (unsigned long long)q->count, q->lspid, q->lrpid, object->uid, object->gid,
        object->cuid, object->cgid, (long long)q->stime, (long long)q->rtime,
        (long long)object->ctime);
}
