// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sysv_ids.c -- System V IPC: keys, ids, permissions, waiting, and /proc/sysvipc.
 *
 * What shmget, semget and msgget share, and the *ctl calls. Ids are given as Linux gives them:
 * places go round, at least 64 of them, and when a place lies before the last one taken the
 * sequence number in the upper bits grows; so the ids of a fresh host are 0, 1, 2.
 *
 * Invariants
 *   - The table of a kind is there only while it has an object.
 * Locking    ids.mutex for a kind and all its objects; it nests inside mm.map_lock, because
 *            unmapping ends attachments. Of a sleeper: wait.lock (rank WAITQ).
 * Start at   sysv_get(), sysv_sleep().
 * Sources    sysvipc(7), proc(5)
 */
#include "core/assert.h"
#include "core/log.h"
#include "lib/string.h"
#include "user/sysv.h"

#define PLACES_AT_LEAST 64u  // go round before one is used again
#define INDEX_BITS      15u
#define SEQUENCE_MAX    ((uint32_t)INT32_MAX >> INDEX_BITS)

/* ---- the table ---- */

struct sysv_object *sysv_at(const struct sysv_ids *ids, uint32_t index)
{
    return ids->places && index < SYSV_OBJECTS_MAX ? ids->places[index] : NULL;
}

struct sysv_object *sysv_find(const struct sysv_ids *ids, int32_t id)
{
    struct sysv_object *object =
        id < 0 ? NULL : sysv_at(ids, (uint32_t)id & ((1u << INDEX_BITS) - 1));

    return object && object->id == id ? object : NULL;
}

uint32_t sysv_highest(const struct sysv_ids *ids)
{
    uint32_t highest = 0;

    for (uint32_t i = 0; ids->places && i < SYSV_OBJECTS_MAX; i++) {
        if (ids->places[i])
            highest = i;
    }
    return highest;
}

static struct sysv_object *find_key(const struct sysv_ids *ids, int32_t key)
{
    for (uint32_t i = 0; ids->places && i < SYSV_OBJECTS_MAX; i++) {
        if (ids->places[i] && ids->places[i]->key == key)
            return ids->places[i];
    }
    return NULL;
}

/* The next free place, going round; there is one. */
static uint32_t place_find(const struct sysv_ids *ids)
{
    uint32_t round = MIN(MAX(ids->count + ids->count / 2, PLACES_AT_LEAST), SYSV_OBJECTS_MAX);
    uint32_t index = (ids->last + 1) % round;

    for (uint32_t i = 0; i < round; i++, index = (index + 1) % round) {
        if (!ids->places[index])
            return index;
    }
    for (index = 0; ids->places[index];)
        index++;
    return index;
}

/* Gives a new object its head and its place in the table, which is there. */
static void insert(struct thread *t, const struct sysv_wish *wish, struct sysv_object *object)
{
    const struct vfs_cred *cred = &t->process->cred;
    struct sysv_ids *ids = wish->ids;

    object->index = place_find(ids);
    if (object->index <= ids->last && ids->last != UINT32_MAX)
        ids->sequence = ids->sequence == SEQUENCE_MAX ? 0 : ids->sequence + 1;
    ids->last = object->index;
    object->id = (int32_t)(ids->sequence << INDEX_BITS | object->index);
    object->key = wish->key;
    object->uid = object->cuid = cred->uid;
    object->gid = object->cgid = cred->gid;
    object->mode = wish->flags & 0777u;
    object->ctime = sysv_now();
    ids->places[object->index] = object;
    ids->count++;
}

void sysv_remove(struct sysv_ids *ids, struct sysv_object *object)
{
    vmk_assert(ids->places[object->index] == object);
    ids->places[object->index] = NULL;
    if (--ids->count == 0) {
        heap_free(ids->places);
        ids->places = NULL;
    }
}

static int64_t create(struct thread *t, const struct sysv_wish *wish, int32_t *id)
{
    struct sysv_object *object;
    int64_t error;

    if (wish->ids->count >= SYSV_OBJECTS_MAX)
        return -L_ENOSPC;
    /* First the table: then nothing has to be undone. */
    if (!wish->ids->places) {
        wish->ids->places =
            heap_alloc(SYSV_OBJECTS_MAX * sizeof(struct sysv_object *), MEM_OWNER_USER);
        if (!wish->ids->places)
            return -L_ENOMEM;
    }
    error = wish->create(t, wish, &object);
    if (error) {
        if (!wish->ids->count) {
            heap_free(wish->ids->places);
            wish->ids->places = NULL;
        }
        return error;
    }
    insert(t, wish, object);
    *id = object->id;
    return 0;
}

int64_t sysv_get(struct thread *t, const struct sysv_wish *wish)
{
    struct sysv_object *object = NULL;
    int64_t error = 0;
    int32_t id = -1;

    mutex_lock(&wish->ids->mutex);
    if (wish->key != L_IPC_PRIVATE)
        object = find_key(wish->ids, wish->key);
    if (!object && wish->key != L_IPC_PRIVATE && !(wish->flags & L_IPC_CREAT))
        error = -L_ENOENT;
    else if (!object)
        error = create(t, wish, &id);
    else if ((wish->flags & L_IPC_CREAT) && (wish->flags & L_IPC_EXCL))
        error = -L_EEXIST;
    else
        error = wish->fits(object, wish);
    if (!error && object) {
        if (sysv_allows(t, object, wish->flags))
            id = object->id;
        else
            error = -L_EACCES;
    }
    mutex_unlock(&wish->ids->mutex);
    return error ? error : id;
}

/* ---- permissions ---- */

bool sysv_allows(const struct thread *t, const struct sysv_object *object, uint32_t bits)
{
    const struct vfs_cred *cred = &t->process->cred;
    uint32_t wanted = (bits >> 6 | bits >> 3 | bits) & 7u;
    uint32_t granted = object->mode;

    if (cred->uid == 0)
        return true;
    if (cred->uid == object->cuid || cred->uid == object->uid)
        granted >>= 6;
    else if (vfs_in_group(cred, object->cgid) || vfs_in_group(cred, object->gid))
        granted >>= 3;
    return (wanted & ~granted) == 0;
}

struct sysv_object *sysv_look(const struct thread *t, const struct sysv_ids *ids, int32_t id,
                              bool by_place, uint32_t bits, int64_t *error)
{
    struct sysv_object *object = by_place ? sysv_at(ids, (uint32_t)id) : sysv_find(ids, id);

    *error = 0;
    if (!object) {
        *error = -L_EINVAL;
    } else if (bits && !sysv_allows(t, object, bits)) {
        *error = -L_EACCES;
        object = NULL;
    }
    return object;
}

struct sysv_object *sysv_look_own(const struct thread *t, const struct sysv_ids *ids,
                                  int32_t id, int64_t *error)
{
    struct sysv_object *object = sysv_look(t, ids, id, false, 0, error);
    uint32_t uid = t->process->cred.uid;

    if (object && uid && uid != object->uid && uid != object->cuid) {
        *error = -L_EPERM;
        object = NULL;
    }
    return object;
}

void sysv_perm_out(const struct sysv_object *object, struct l_ipc_perm *out)
{
    *out = (struct l_ipc_perm){.key = object->key,
                               .uid = object->uid,
                               .gid = object->gid,
                               .cuid = object->cuid,
                               .cgid = object->cgid,
                               .mode = object->mode,
                               .sequence = (uint16_t)((uint32_t)object->id >> INDEX_BITS)};
}

int64_t sysv_perm_set(struct sysv_object *object, const struct l_ipc_perm *perm)
{
    if (perm->uid == UINT32_MAX || perm->gid == UINT32_MAX)
        return -L_EINVAL;
    object->uid = perm->uid;
    object->gid = perm->gid;
    object->mode = (object->mode & ~0777u) | (perm->mode & 0777u);
    object->ctime = sysv_now();
    return 0;
}

int64_t sysv_stat(struct thread *t, const struct sysv_query *query, int32_t id, uint64_t at)
{
    const struct sysv_object *object;
    int64_t error;

    mutex_lock(&query->ids->mutex);
    object = sysv_look(t, query->ids, id, query->by_place, query->anybody ? 0 : 0444, &error);
    if (object) {
        sysv_perm_out(object, query->ds);
        query->fill(object, query->ds);
        error = query->by_place ? object->id : 0;
    }
    mutex_unlock(&query->ids->mutex);
    if (error >= 0 && user_out(t, at, query->ds, query->size))
        return -L_EFAULT;
    return error;
}

/* ---- waiting ---- */

int64_t sysv_sleep(struct sysv_ids *ids, struct list *sleepers, struct sysv_sleeper *s,
                   plat_ns deadline)
{
    vmk_status status = VMK_OK;
    bool irqs, done;

    wait_queue_init(&s->wait, "System V IPC");
    s->done = false;
    list_add_tail(sleepers, &s->link);
    mutex_unlock(&ids->mutex);
    irqs = plat_irq_save();
    spin_lock_irqs_off(&s->wait.lock);
    while (!s->done && status == VMK_OK) {
        status = wait_queue_block_interruptible(&s->wait, deadline);
        spin_lock_irqs_off(&s->wait.lock);
    }
    spin_unlock(&s->wait.lock, irqs);
    mutex_lock(&ids->mutex);
    /* Nobody is inside sysv_wake() of it any more; it may have come after a signal. */
    irqs = spin_lock(&s->wait.lock);
    done = s->done;
    spin_unlock(&s->wait.lock, irqs);
    if (done)
        return s->result;
    list_remove(&s->link);
    return status == VMK_TIMEOUT ? -L_EAGAIN : -L_EINTR;
}

void sysv_wake(struct sysv_sleeper *s, int64_t result)
{
    bool irqs;

    list_remove(&s->link);
    s->result = result;
    irqs = spin_lock(&s->wait.lock);
    s->done = true;
    spin_unlock(&s->wait.lock, irqs);
    (void)wait_queue_wake(&s->wait, WAIT_QUEUE_ALL);
}

void sysv_wake_all(struct list *sleepers, int64_t result)
{
    list_for_each_safe (node, after, sleepers)
        sysv_wake(list_entry(node, struct sysv_sleeper, link), result);
}

/* ---- /proc ---- */

struct proc_table {
    size_t ids;  // in struct sysv
    void (*show)(const struct sysv_object *object, struct procfs_text *out);
    const char *head;
};

static vmk_status show_table(struct procfs_text *out, void *argument)
{
    const struct proc_table *table = argument;
    struct sysv_ids *ids = (struct sysv_ids *)((char *)sysv_state() + table->ids);

    procfs_printf(out, "%s\n", table->head);
    mutex_lock(&ids->mutex);
    for (uint32_t i = 0; ids->places && i < SYSV_OBJECTS_MAX; i++) {
        if (ids->places[i])
            table->show(ids->places[i], out);
    }
    mutex_unlock(&ids->mutex);
    return VMK_OK;
}

static vmk_status show_number(struct procfs_text *out, void *argument)
{
    procfs_printf(out, "%llu\n", *(const unsigned long long *)argument);
    return VMK_OK;
}

static vmk_status show_shmall(struct procfs_text *out, void *argument)
{
    (void)argument;
    procfs_printf(out, "%llu\n", (unsigned long long)sysv_state()->shm_pages_max);
    return VMK_OK;
}

static vmk_status show_sem(struct procfs_text *out, void *argument)
{
    (void)argument;
    procfs_printf(out, "%u\t%u\t%u\t%u\n", SYSV_SEMS_PER_SET, SYSV_SEMS_MAX, SYSV_SEM_OPS_MAX,
                  SYSV_OBJECTS_MAX);
    return VMK_OK;
}

static void proc_register(void)
{
    static const struct proc_table shm = {
        offsetof(struct sysv, shm), sysv_shm_show,
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid"
        "  cgid      atime      dtime      ctime                   rss                  swap"};
    static const struct proc_table sem = {
        offsetof(struct sysv, sem), sysv_sem_show,
        "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime"};
    static const struct proc_table msg = {
        offsetof(struct sysv, msg), sysv_msg_show,
        "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid"
        "      stime      rtime      ctime"};
    static const unsigned long long objects = SYSV_OBJECTS_MAX, shm_bytes = SYSV_SHM_BYTES_MAX,
                                    size = SYSV_MSG_SIZE_MAX, queue = SYSV_MSG_QUEUE_MAX;
    static const struct {
        const char *path;
        procfs_show show;
        const void *argument;
    } files[] = {{"sysvipc/shm", show_table, &shm},
                 {"sysvipc/sem", show_table, &sem},
                 {"sysvipc/msg", show_table, &msg},
                 {"sys/kernel/shmmax", show_number, &shm_bytes},
                 {"sys/kernel/shmmni", show_number, &objects},
                 {"sys/kernel/shmall", show_shmall, NULL},
                 {"sys/kernel/sem", show_sem, NULL},
                 {"sys/kernel/msgmax", show_number, &size},
                 {"sys/kernel/msgmnb", show_number, &queue},
                 {"sys/kernel/msgmni", show_number, &objects}};

    for (unsigned i = 0; i < ARRAY_COUNT(files); i++) {
        if (procfs_register(files[i].path, files[i].show, NULL, (void *)files[i].argument) !=
            VMK_OK)
            vmk_log(VMK_LOG_WARN, "User: no /proc/%s", files[i].path);
    }
}

static void ids_init(struct sysv_ids *ids, const char *name)
{
    mutex_init(&ids->mutex, name);
    ids->last = UINT32_MAX;
}

void sysv_init(void)
{
    struct user_state *user = user_state();

    user->sysv = heap_alloc(sizeof(*user->sysv), MEM_OWNER_USER);
    if (!user->sysv)
        vmk_panic("no memory for System V IPC");
    user->sysv->shm_pages_max = user->host_pages / 2;
    ids_init(&user->sysv->shm, "shared memory segments");
    ids_init(&user->sysv->sem, "semaphore sets");
    ids_init(&user->sysv->msg, "System V message queues");
    proc_register();
}
