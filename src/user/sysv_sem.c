// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sysv_sem.c -- System V semaphores: semget, semop, semtimedop, semctl, and undoing at exit.
 *
 * A call of semop is a list of operations that are done all at once or not at all. Who cannot
 * do its list waits in the order of coming; whenever a value changed, whoever changed it looks
 * through those who wait and does their lists for them. SEM_UNDO keeps a record, per set and
 * process, of what its operations added up to; the end of the process takes that back.
 *
 * Invariants
 *   - A value is 0 to SYSV_SEM_VALUE_MAX.
 *   - No one waits whose list could be done.
 *   - A process with an undo record has process.sem_undo set.
 * Locking    sysv.sem.mutex.
 * Start at   sys_semtimedop(), attempt().
 * Sources    semop(2), semctl(2)
 */
#include "lib/string.h"
#include "user/sysv.h"

#define OPS_FEW 16u  // as many stand on the stack

struct semaphore {
    int32_t value;
    uint32_t pid;  // who changed it last
};

struct set {
    struct sysv_object head;
    struct list sleepers, undos;
    int64_t otime;
    uint32_t count;
    struct semaphore sems[];
};

/* What the end of a process adds to each semaphore of a set. */
struct undo {
    struct list link;
    const struct process *process;
    int16_t by[];
};

/* A list of operations, tried now or waiting. */
struct request {
    struct sysv_sleeper sleeper;
    const struct l_sembuf *ops;
    unsigned count;
    unsigned blocked_at;  // the operation that could not be done
    bool alters;
    uint32_t pid;
    struct undo *undo;
};

static struct set *set_of(const struct sysv_object *object)
{
    return container_of((struct sysv_object *)object, struct set, head);
}

static struct request *request_of(struct list *node)
{
    return container_of(list_entry(node, struct sysv_sleeper, link), struct request, sleeper);
}

/* ---- operations; mutex held ---- */

#define MUST_WAIT 1

/* One operation: 0, MUST_WAIT, or minus an errno. */
static int64_t step(struct set *set, struct request *r, const struct l_sembuf *op)
{
    struct semaphore *sem = &set->sems[op->number];
    int32_t value = sem->value + op->by;

    if (op->by == 0 ? sem->value != 0 : value < 0)
        return op->flags & (int16_t)L_IPC_NOWAIT ? -L_EAGAIN : MUST_WAIT;
    if (value > SYSV_SEM_VALUE_MAX)
        return -L_ERANGE;
    if (op->flags & L_SEM_UNDO) {
        int32_t by = r->undo->by[op->number] - op->by;

        if (by < -SYSV_SEM_VALUE_MAX - 1 || by > SYSV_SEM_VALUE_MAX)
            return -L_ERANGE;
        r->undo->by[op->number] = (int16_t)by;
    }
    sem->value = value;
    return 0;
}

/* The whole list, or nothing of it. */
static int64_t attempt(struct set *set, struct request *r)
{
    int64_t result = 0;
    unsigned i;

    for (i = 0; i < r->count && !result; i++)
        result = step(set, r, &r->ops[i]);
    if (!result) {
        for (i = 0; i < r->count; i++)
            set->sems[r->ops[i].number].pid = r->pid;
        set->otime = sysv_now();
        return 0;
    }
    r->blocked_at = --i;
    while (i-- > 0) {
        const struct l_sembuf *op = &r->ops[i];

        set->sems[op->number].value -= op->by;
        if (op->flags & L_SEM_UNDO)
            r->undo->by[op->number] = (int16_t)(r->undo->by[op->number] + op->by);
    }
    return result;
}

/* Values changed: whoever can go on now does. */
static void serve(struct set *set)
{
    struct list *node = set->sleepers.next;

    while (node != &set->sleepers) {
        struct request *r = request_of(node);
        int64_t result = attempt(set, r);

        node = node->next;
        if (result == MUST_WAIT)
            continue;
        sysv_wake(&r->sleeper, result);
        if (!result && r->alters)
            node = set->sleepers.next;  // an earlier one may go on now
    }
}

/* ---- undo records; mutex held ---- */

static void undo_free(struct set *set, struct undo *undo)
{
    list_remove(&undo->link);
    sysv_state()->undos -= set->count;
    heap_free(undo);
}

/* The record of that process, made if there is none; null: no memory, or too many. */
static struct undo *undo_get(struct set *set, struct process *p, int64_t *error)
{
    struct sysv *sysv = sysv_state();
    struct undo *undo;

    list_for_each (node, &set->undos) {
        undo = list_entry(node, struct undo, link);
        if (undo->process == p)
            return undo;
    }
    *error = -L_ENOSPC;
    if (sysv->undos + set->count > SYSV_SEM_UNDOS_MAX)
        return NULL;
    *error = -L_ENOMEM;
    undo = heap_alloc(sizeof(*undo) + set->count * sizeof(undo->by[0]), MEM_OWNER_USER);
    if (!undo)
        return NULL;
    *error = 0;
    undo->process = p;
    sysv->undos += set->count;
    list_add_tail(&set->undos, &undo->link);
    p->sem_undo = true;
    return undo;
}

/* The value was set: nobody takes back what he did to it. */
static void undo_forget(struct set *set, uint32_t number)
{
    list_for_each (node, &set->undos)
        list_entry(node, struct undo, link)->by[number] = 0;
}

static void undo_apply(struct set *set, struct undo *undo)
{
    for (uint32_t i = 0; i < set->count; i++) {
        struct semaphore *sem = &set->sems[i];

        if (!undo->by[i])
            continue;
        sem->value = MAX(MIN(sem->value + undo->by[i], SYSV_SEM_VALUE_MAX), 0);
        sem->pid = undo->process->pid;
        set->otime = sysv_now();
    }
    undo_free(set, undo);
    serve(set);
}

void sysv_process_end(struct process *p)
{
    struct sysv_ids *ids = &sysv_state()->sem;

    if (!p->sem_undo)
        return;
    mutex_lock(&ids->mutex);
    for (uint32_t i = 0; ids->places && i < SYSV_OBJECTS_MAX; i++) {
        struct set *set = ids->places[i] ? set_of(ids->places[i]) : NULL;

        if (!set)
            continue;
        list_for_each (node, &set->undos) {
            struct undo *undo = list_entry(node, struct undo, link);

            if (undo->process == p) {
                undo_apply(set, undo);
                break;
            }
        }
    }
    mutex_unlock(&ids->mutex);
}

/* ---- semget ---- */

static int64_t set_create(struct thread *t, const struct sysv_wish *wish,
                          struct sysv_object **out)
{
    struct sysv *sysv = sysv_state();
    struct set *set;

    (void)t;
    if (wish->size == 0)
        return -L_EINVAL;
    if (sysv->sems + wish->size > SYSV_SEMS_MAX)
        return -L_ENOSPC;
    set = heap_alloc(sizeof(*set) + wish->size * sizeof(set->sems[0]), MEM_OWNER_USER);
    if (!set)
        return -L_ENOMEM;
    list_init(&set->sleepers);
    list_init(&set->undos);
    set->count = (uint32_t)wish->size;
    sysv->sems += set->count;
    *out = &set->head;
    return 0;
}

static int64_t set_fits(const struct sysv_object *object, const struct sysv_wish *wish)
{
    return wish->size <= set_of(object)->count ? 0 : -L_EINVAL;
}

int64_t sys_semget(struct thread *t, const uint64_t *a)
{
    const struct sysv_wish wish = {.ids = &sysv_state()->sem,
                                   .key = (int32_t)a[0],
                                   .size = (uint32_t)a[1],
                                   .flags = (uint32_t)a[2],
                                   .create = set_create,
                                   .fits = set_fits};

    return (uint32_t)a[1] > SYSV_SEMS_PER_SET ? -L_EINVAL : sysv_get(t, &wish);
}

/* ---- semop ---- */

/* Are the numbers right, and may he? */
static int64_t request_check(struct thread *t, const struct set *set, struct request *r,
                             bool *undoes)
{
    *undoes = r->alters = false;
    for (unsigned i = 0; i < r->count; i++) {
        if (r->ops[i].number >= set->count)
            return -L_EFBIG;
        r->alters |= r->ops[i].by != 0;
        *undoes |= (r->ops[i].flags & L_SEM_UNDO) != 0;
    }
    return sysv_allows(t, &set->head, r->alters ? 0222 : 0444) ? 0 : -L_EACCES;
}

static int64_t operate(struct thread *t, int32_t id, struct request *r, plat_ns deadline)
{
    struct sysv_ids *ids = &sysv_state()->sem;
    struct sysv_object *object;
    struct set *set = NULL;
    int64_t error;
    bool undoes = false;

    mutex_lock(&ids->mutex);
    object = sysv_look(t, ids, id, false, 0, &error);
    if (object) {
        set = set_of(object);
        error = request_check(t, set, r, &undoes);
    }
    if (!error && undoes)
        r->undo = undo_get(set, t->process, &error);
    if (!error)
        error = attempt(set, r);
    if (error == MUST_WAIT)
        error = sysv_sleep(ids, &set->sleepers, &r->sleeper, deadline);
    else if (!error && r->alters)
        serve(set);
    mutex_unlock(&ids->mutex);
    return error;
}

int64_t sys_semtimedop(struct thread *t, const uint64_t *a)
{
    struct l_sembuf few[OPS_FEW], *ops = few;
    struct request r = {.count = (unsigned)a[2], .pid = t->process->pid};
    plat_ns deadline = PLAT_NS_NEVER;
    int64_t error = 0;

    if ((uint32_t)a[2] < 1 || (int32_t)a[0] < 0)
        return -L_EINVAL;
    if ((uint32_t)a[2] > SYSV_SEM_OPS_MAX)
        return -L_E2BIG;
    if (a[3]) {
        error = timespec_in(t, a[3], &deadline);
        deadline = deadline_after(deadline);
    }
    if (error)
        return error;
    if (r.count > OPS_FEW)
        ops = heap_alloc(r.count * sizeof(ops[0]), MEM_OWNER_USER);
    if (!ops)
        return -L_ENOMEM;
    r.ops = ops;
    error = user_in(t, ops, a[1], r.count * sizeof(ops[0]));
    if (!error)
        error = operate(t, (int32_t)a[0], &r, deadline);
    if (ops != few)
        heap_free(ops);
    return error;
}

int64_t sys_semop(struct thread *t, const uint64_t *a)
{
    const uint64_t arguments[6] = {a[0], a[1], a[2], 0};

    return sys_semtimedop(t, arguments);
}

/* ---- semctl ---- */

static int64_t info_sem(struct thread *t, int command, uint64_t at)
{
    struct sysv *sysv = sysv_state();
    struct l_seminfo info = {.semmap = SYSV_SEMS_MAX,
                             .semmni = SYSV_OBJECTS_MAX,
                             .semmns = SYSV_SEMS_MAX,
                             .semmnu = SYSV_SEM_UNDOS_MAX,
                             .semmsl = SYSV_SEMS_PER_SET,
                             .semopm = SYSV_SEM_OPS_MAX,
                             .semume = SYSV_SEM_OPS_MAX,
                             .semusz = 20,
                             .semvmx = SYSV_SEM_VALUE_MAX,
                             .semaem = SYSV_SEM_VALUE_MAX};
    uint32_t highest;

    mutex_lock(&sysv->sem.mutex);
    highest = sysv_highest(&sysv->sem);
    if (command == L_SEM_INFO) {
        info.semusz = (int32_t)sysv->sem.count;
        info.semaem = (int32_t)sysv->sems;
    }
    mutex_unlock(&sysv->sem.mutex);
    return user_out(t, at, &info, sizeof(info)) ? -L_EFAULT : (int64_t)highest;
}

static void fill_sem(const struct sysv_object *object, void *out)
{
    struct l_semid_ds *ds = out;

    ds->otime = set_of(object)->otime;
    ds->ctime = object->ctime;
    ds->nsems = set_of(object)->count;
}

static int64_t stat_sem(struct thread *t, int32_t id, int command, uint64_t at)
{
    struct l_semid_ds ds = {.perm = {.key = 0}};
    const struct sysv_query query = {.ids = &sysv_state()->sem,
                                     .by_place = command != L_IPC_STAT,
                                     .anybody = command == L_SEM_STAT_ANY,
                                     .fill = fill_sem,
                                     .ds = &ds,
                                     .size = sizeof(ds)};

    return sysv_stat(t, &query, id, at);
}

static int64_t own_sem(struct thread *t, int32_t id, const struct l_semid_ds *ds)
{
    struct sysv_ids *ids = &sysv_state()->sem;
    struct sysv_object *object;
    int64_t error;

    mutex_lock(&ids->mutex);
    object = sysv_look_own(t, ids, id, &error);
    if (object && ds) {
        error = sysv_perm_set(object, &ds->perm);
    } else if (object) {
        struct set *set = set_of(object);

        sysv_wake_all(&set->sleepers, -L_EIDRM);
        list_for_each_safe (node, after, &set->undos)
            undo_free(set, list_entry(node, struct undo, link));
        sysv_state()->sems -= set->count;
        sysv_remove(ids, object);
        heap_free(set);
    }
    mutex_unlock(&ids->mutex);
    return error;
}

/* How many wait for that semaphore to grow, or (`zero`) to become 0. */
static int64_t waiting(const struct set *set, uint32_t number, bool zero)
{
    int64_t count = 0;

    list_for_each (node, &set->sleepers) {
        const struct request *r = request_of(node);
        const struct l_sembuf *op = &r->ops[r->blocked_at];

        count += op->number == number && (op->by == 0) == zero;
    }
    return count;
}

/* Of one semaphore. Mutex held. */
static int64_t one_sem(struct thread *t, struct set *set, uint32_t number, int command,
                       int32_t value)
{
    struct semaphore *sem = &set->sems[number];

    switch (command) {
    case L_GETPID: return sem->pid;
    case L_GETVAL: return sem->value;
    case L_GETNCNT: return waiting(set, number, false);
    case L_GETZCNT: return waiting(set, number, true);
    default:
        undo_forget(set, number);
        sem->value = value;
        sem->pid = t->process->pid;
        set->head.ctime = sysv_now();
        serve(set);
        return 0;
    }
}

/*
 * All values, to or from `values`, which has room for `*room` of them; if the set has more,
 * nothing happens and *room says how many.
 */
static int64_t all_sems(struct thread *t, int32_t id, bool write, uint16_t *values,
                        uint32_t *room)
{
    struct sysv_ids *ids = &sysv_state()->sem;
    struct sysv_object *object;
    struct set *set = NULL;
    int64_t error;
    bool fits = false;

    mutex_lock(&ids->mutex);
    object = sysv_look(t, ids, id, false, write ? 0222 : 0444, &error);
    if (object) {
        set = set_of(object);
        fits = set->count <= *room;
        *room = set->count;
    }
    for (uint32_t i = 0; fits && !write && i < set->count; i++)
        values[i] = (uint16_t)set->sems[i].value;
    for (uint32_t i = 0; fits && write && i < set->count; i++) {
        if (values[i] > SYSV_SEM_VALUE_MAX)
            error = -L_ERANGE;
    }
    if (fits && write && !error) {
        for (uint32_t i = 0; i < set->count; i++) {
            undo_forget(set, i);
            set->sems[i] = (struct semaphore){values[i], t->process->pid};
        }
        object->ctime = sysv_now();
        serve(set);
    }
    mutex_unlock(&ids->mutex);
    return error;
}

/* GETALL and SETALL: first how many there are, then a buffer for them. */
static int64_t copy_sems(struct thread *t, int32_t id, bool write, uint64_t at)
{
    uint32_t count = 0;
    int64_t error = all_sems(t, id, write, NULL, &count);
    uint16_t *values;

    if (error)
        return error;
    values = heap_alloc(count * sizeof(values[0]), MEM_OWNER_USER);
    if (!values)
        return -L_ENOMEM;
    if (write)
        error = user_in(t, values, at, count * sizeof(values[0]));
    if (!error) {
        uint32_t now = count;

        error = all_sems(t, id, write, values, &now);
        if (!error && now != count)
            error = -L_EIDRM;  // another set has the id: this one is gone
    }
    if (!error && !write)
        error = user_out(t, at, values, count * sizeof(values[0]));
    heap_free(values);
    return error;
}

static int64_t control_one(struct thread *t, int32_t id, uint32_t number, int command,
                           int32_t value)
{
    struct sysv_ids *ids = &sysv_state()->sem;
    struct sysv_object *object;
    int64_t error;

    if (command == L_SETVAL && (value < 0 || value > SYSV_SEM_VALUE_MAX))
        return -L_ERANGE;
    mutex_lock(&ids->mutex);
    object = sysv_look(t, ids, id, false, command == L_SETVAL ? 0222 : 0444, &error);
    if (object)
        error = number < set_of(object)->count
                    ? one_sem(t, set_of(object), number, command, value)
                    : -L_EINVAL;
    mutex_unlock(&ids->mutex);
    return error;
}

int64_t sys_semctl(struct thread *t, const uint64_t *a)
{
    int32_t id = (int32_t)a[0];
    int command = (int)a[2];
    struct l_semid_ds ds;

    if (id < 0)
        return -L_EINVAL;
    switch (command) {
    case L_IPC_INFO:
    case L_SEM_INFO: return info_sem(t, command, a[3]);
    case L_IPC_STAT:
    case L_SEM_STAT:
    case L_SEM_STAT_ANY: return stat_sem(t, id, command, a[3]);
    case L_GETALL:
    case L_SETALL: return copy_sems(t, id, command == L_SETALL, a[3]);
    case L_GETPID:
    case L_GETVAL:
    case L_GETNCNT:
    case L_GETZCNT:
    case L_SETVAL: return control_one(t, id, (uint32_t)a[1], command, (int32_t)a[3]);
    case L_IPC_SET: return user_in(t, &ds, a[3], sizeof(ds)) ? -L_EFAULT : own_sem(t, id, &ds);
    case L_IPC_RMID: return own_sem(t, id, NULL);
    default: return -L_EINVAL;
    }
}

void sysv_sem_show(const struct sysv_object *object, struct procfs_text *out)
{
    const struct set *set = set_of(object);

    procfs_printf(out, "%10d %10d  %4o %10u %5u %5u %5u %5u %10lld %10lld\n", object->key,
                  object->id, object->mode, set->count, object->uid, object->gid, object->cuid,
                  object->cgid, (long long)set->otime, (long long)object->ctime);
}
