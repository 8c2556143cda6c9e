// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sysv.h -- System V IPC: what shared memory, semaphores and message queues have in common.
 *
 * Each of the three kinds has a table of objects (struct sysv_ids). An object is known by a key
 * that programs agree on and by an id, which says its place in the table and how often places
 * were used again, so that an old id finds nothing. Objects stay until somebody removes them:
 * who made one and ended does not take it along.
 */
#pragma once

#include "fs/proc/procfs.h"
#include "user/linux_ipc.h"
#include "user/user_internal.h"

#define SYSV_OBJECTS_MAX    4096u  // of each kind
#define SYSV_SHM_BYTES_MAX  (2ull << 30)
#define SYSV_SEMS_PER_SET   32000u
#define SYSV_SEMS_MAX       65536u  // of all sets
#define SYSV_SEM_OPS_MAX    500u
#define SYSV_SEM_VALUE_MAX  32767
#define SYSV_SEM_UNDOS_MAX  (1u << 20)  // semaphores that the undo records of all speak of
#define SYSV_MSG_SIZE_MAX   8192u
#define SYSV_MSG_QUEUE_MAX  16384u       // bytes in one queue, until root says otherwise
#define SYSV_MSG_MEMORY_MAX (16u << 20)  // of the messages of all queues, heads included

/* The head of every object. All but `id` and `index` guarded by the mutex of its table. */
struct sysv_object {
    int32_t id;      // (i)
    uint32_t index;  // (i) place in the table
    int32_t key;
    uint32_t uid, gid;    // who may besides who made it
    uint32_t cuid, cgid;  // (i) who made it
    uint32_t mode;
    int64_t ctime;
};

/* One kind. */
struct sysv_ids {
    struct mutex mutex;           // its objects, too
    struct sysv_object **places;  // null while there is no object
    uint32_t count, last, sequence;
};

struct sysv {
    struct sysv_ids shm, sem, msg;
    uint64_t shm_pages_max;   // (i) of all segments
    uint64_t shm_pages;       // (a) of all segments, mapped or not
    uint32_t sems;            // sem mutex; in all sets
    uint32_t undos;           // sem mutex; semaphores in all undo records
    uint32_t messages;        // msg mutex; in all queues
    uint64_t message_bytes;   // msg mutex; in all queues
    uint64_t message_memory;  // (a) what messages take, also of senders that wait
};

static inline struct sysv *sysv_state(void)
{
    return user_state()->sysv;
}

/*
 * What a get call asks for. create() makes an object with everything but its head; fits(): may
 * who asks so much have that one? Both with the mutex held; 0 or minus an errno.
 */
struct sysv_wish {
    struct sysv_ids *ids;
    int32_t key;
    uint32_t flags;
    uint64_t size;
    int64_t (*create)(struct thread *t, const struct sysv_wish *wish, struct sysv_object **out);
    int64_t (*fits)(const struct sysv_object *object, const struct sysv_wish *wish);
};
int64_t sysv_get(struct thread *t, const struct sysv_wish *wish);

/*
 * What a *_STAT command asks for: the object of an id or, by place, of a place, whose id is
 * then the answer. fill() writes all of *ds but its head, a struct l_ipc_perm; the mutex is
 * held.
 */
struct sysv_query {
    struct sysv_ids *ids;
    bool by_place;
    bool anybody;  // *_STAT_ANY: no permission is needed
    void (*fill)(const struct sysv_object *object, void *ds);
    void *ds;
    size_t size;
};
/* To user memory at `at`. */
int64_t sysv_stat(struct thread *t, const struct sysv_query *query, int32_t id, uint64_t at);

/* ---- mutex held ---- */
/* The object of that id, or null. */
struct sysv_object *sysv_find(const struct sysv_ids *ids, int32_t id);
/* The one at a place, or null. */
struct sysv_object *sysv_at(const struct sysv_ids *ids, uint32_t index);
/* The highest place in use; 0: none is. */
uint32_t sysv_highest(const struct sysv_ids *ids);
/* Off the table. */
void sysv_remove(struct sysv_ids *ids, struct sysv_object *object);
/* Do the permission bits allow `bits`, as in a mode of owner, group and others? */
bool sysv_allows(const struct thread *t, const struct sysv_object *object, uint32_t bits);
/*
 * The object that a *ctl call means: by id, or by place for the *_STAT commands; `bits` as
 * above, 0: anybody. Null: *error says why.
 */
struct sysv_object *sysv_look(const struct thread *t, const struct sysv_ids *ids, int32_t id,
                              bool by_place, uint32_t bits, int64_t *error);
/* The same for IPC_SET and IPC_RMID: its owner, its maker or root. */
struct sysv_object *sysv_look_own(const struct thread *t, const struct sysv_ids *ids,
                                  int32_t id, int64_t *error);
void sysv_perm_out(const struct sysv_object *object, struct l_ipc_perm *out);
/* IPC_SET's part of it. */
int64_t sysv_perm_set(struct sysv_object *object, const struct l_ipc_perm *perm);

/* Seconds since 1970. */
static inline int64_t sysv_now(void)
{
    return vfs_time_now() / 1000000000;
}
static inline uint32_t sysv_pid(void)
{
    const struct thread *t = thread_current();

    return t ? t->process->pid : 0;
}

/* ---- waiting ---- */
/*
 * A thread that waits for an object. Whoever lets it go on has done its work for it, or says
 * what went wrong: so nobody overtakes, and the object may be gone when it wakes.
 */
struct sysv_sleeper {
    struct list link;  // the table's mutex
    struct wait_queue wait;
    bool done;       // wait.lock
    int64_t result;  // before done
};
/*
 * With the mutex held, which is dropped meanwhile. The result that sysv_wake() gave; -EINTR or
 * -EAGAIN (deadline), and then nothing was done for it.
 */
int64_t sysv_sleep(struct sysv_ids *ids, struct list *sleepers, struct sysv_sleeper *s,
                   plat_ns deadline);
/* Mutex held. */
void sysv_wake(struct sysv_sleeper *s, int64_t result);
void sysv_wake_all(struct list *sleepers, int64_t result);

/* ---- one of each kind as a line of /proc/sysvipc ---- */
void sysv_shm_show(const struct sysv_object *object, struct procfs_text *out);
void sysv_sem_show(const struct sysv_object *object, struct procfs_text *out);
void sysv_msg_show(const struct sysv_object *object, struct procfs_text *out);
