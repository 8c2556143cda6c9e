// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/sysv_shm.c -- System V shared memory: shmget, shmat, shmdt, shmctl.
 *
 * A segment is what processes map: an aspace_object over anonymous shared memory. It stands in
 * the table until it was removed and nobody has it mapped, whichever comes last; the pages are
 * made when first touched. All segments together may have half of what user worlds may have.
 *
 * Invariants
 *   - segment.attached is the number of regions, in all processes, that map it, and of calls
 *     of shmat that are about to.
 *   - A segment in the table has one reference for that; its pages go with the last one.
 * Locking    sysv.shm.mutex; refs and attached are atomic, because fork counts with an address
 *            space locked. attached falls to 0 with the mutex held only.
 * Start at   sys_shmget(), sys_shmat().
 * Sources    shmget(2), shmop(2), shmctl(2)
 */
#include "core/assert.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"
#include "user/sysv.h"

struct segment {
    struct sysv_object head;
    struct aspace_object object;  // what is mapped
    struct aspace_object *pages;  // (i) referenced
    uint32_t refs;                // (a)
    uint32_t attached;            // (a)
    uint64_t size;                // (i) bytes, as they were asked for
    int64_t atime, dtime;
    uint32_t cpid, lpid;
    bool gone;  // from the table
};

static struct segment *segment_of(const struct sysv_object *object)
{
    return container_of((struct sysv_object *)object, struct segment, head);
}

static struct segment *segment_of_object(const struct aspace_object *object)
{
    return container_of((struct aspace_object *)object, struct segment, object);
}

static uint64_t pages_of(uint64_t size)
{
    return round_up(size, PAGE_SIZE) >> PAGE_SHIFT;
}

/* ---- as memory ---- */

static vmk_status segment_page_get(struct aspace_object *object, uint64_t index, bool write,
                                   mpn_t *out)
{
    struct aspace_object *pages = segment_of_object(object)->pages;

    return pages->ops->page_get(pages, index, write, out);
}

static void segment_page_put(struct aspace_object *object, uint64_t index, mpn_t page)
{
    struct aspace_object *pages = segment_of_object(object)->pages;

    pages->ops->page_put(pages, index, page);
}

static void segment_page_ref(struct aspace_object *object, uint64_t index, mpn_t page)
{
    struct aspace_object *pages = segment_of_object(object)->pages;

    pages->ops->page_ref(pages, index, page);
}

static void segment_ref(struct aspace_object *object)
{
    __atomic_fetch_add(&segment_of_object(object)->refs, 1, __ATOMIC_RELAXED);
}

static void segment_unref(struct aspace_object *object)
{
    struct segment *s = segment_of_object(object);

    if (__atomic_fetch_sub(&s->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    __atomic_fetch_sub(&sysv_state()->shm_pages, pages_of(s->size), __ATOMIC_RELAXED);
    s->pages->ops->unref(s->pages);
    heap_free(s);
}

/* Off the table, if that is due. Mutex held; true: the caller drops the table's reference. */
static bool remove_if_due(struct segment *s)
{
    if (s->gone || !(s->head.mode & L_SHM_DEST) ||
        __atomic_load_n(&s->attached, __ATOMIC_ACQUIRE))
        return false;
    s->gone = true;
    sysv_remove(&sysv_state()->shm, &s->head);
    return true;
}

static void detach(struct segment *s, bool counts)
{
    struct sysv *sysv = sysv_state();
    bool remove;

    mutex_lock(&sysv->shm.mutex);
    if (counts) {
        s->dtime = sysv_now();
        s->lpid = sysv_pid();
    }
    __atomic_fetch_sub(&s->attached, 1, __ATOMIC_ACQ_REL);
    remove = remove_if_due(s);
    mutex_unlock(&sysv->shm.mutex);
    if (remove)
        segment_unref(&s->object);
}

static void segment_mapped(struct aspace_object *object, bool more)
{
    struct segment *s = segment_of_object(object);

    if (more)
        __atomic_fetch_add(&s->attached, 1, __ATOMIC_RELAXED);
    else
        detach(s, true);
}

static void segment_describe(struct aspace_object *object, char *name, size_t size,
                             uint64_t *device, uint64_t *inode)
{
    const struct segment *s = segment_of_object(object);

    (void)vmk_snprintf(name, size, "/SYSV%08x (deleted)", (uint32_t)s->head.key);
    *device = 1;
    *inode = (uint32_t)s->head.id;
}

static const struct aspace_object_ops segment_ops = {
    .page_get = segment_page_get,
    .page_put = segment_page_put,
    .page_ref = segment_page_ref,
    .ref = segment_ref,
    .unref = segment_unref,
    .mapped = segment_mapped,
    .describe = segment_describe,
};

/* ---- shmget ---- */

static int64_t segment_create(struct thread *t, const struct sysv_wish *wish,
                              struct sysv_object **out)
{
    struct sysv *sysv = sysv_state();
    uint64_t pages = pages_of(wish->size);
    struct segment *s;
    vmk_status status;

    if (wish->size == 0 || wish->size > SYSV_SHM_BYTES_MAX || (wish->flags & L_SHM_HUGETLB))
        return -L_EINVAL;
    if (__atomic_load_n(&sysv->shm_pages, __ATOMIC_RELAXED) + pages > sysv->shm_pages_max)
        return -L_ENOSPC;
    s = heap_alloc(sizeof(*s), MEM_OWNER_USER);
    if (!s)
        return -L_ENOMEM;
    status = aspace_shared_create(pages, &s->pages);
    if (status != VMK_OK) {
        heap_free(s);
        return user_errno(status);
    }
    __atomic_fetch_add(&sysv->shm_pages, pages, __ATOMIC_RELAXED);
    s->object.ops = &segment_ops;
    s->refs = 1;
    s->size = wish->size;
    s->cpid = t->process->pid;
    *out = &s->head;
    return 0;
}

static int64_t segment_fits(const struct sysv_object *object, const struct sysv_wish *wish)
{
    return wish->size <= segment_of(object)->size ? 0 : -L_EINVAL;
}

int64_t sys_shmget(struct thread *t, const uint64_t *a)
{
    const struct sysv_wish wish = {.ids = &sysv_state()->shm,
                                   .key = (int32_t)a[0],
                                   .size = a[1],
                                   .flags = (uint32_t)a[2],
                                   .create = segment_create,
                                   .fits = segment_fits};

    return sysv_get(t, &wish);
}

/* ---- shmat, shmdt ---- */

/* The segment, referenced and about to be mapped; null: *error says why. */
static struct segment *attach_begin(struct thread *t, int32_t id, uint32_t bits, int64_t *error)
{
    struct sysv *sysv = sysv_state();
    struct sysv_object *object;
    struct segment *s = NULL;

    mutex_lock(&sysv->shm.mutex);
    object = sysv_look(t, &sysv->shm, id, false, bits, error);
    if (object) {
        s = segment_of(object);
        __atomic_fetch_add(&s->attached, 1, __ATOMIC_RELAXED);
        segment_ref(&s->object);
    }
    mutex_unlock(&sysv->shm.mutex);
    return s;
}

static void attach_end(struct segment *s, bool mapped)
{
    struct sysv *sysv = sysv_state();

    if (mapped) {
        mutex_lock(&sysv->shm.mutex);
        s->atime = sysv_now();
        s->lpid = sysv_pid();
        mutex_unlock(&sysv->shm.mutex);
    }
    detach(s, false);
    segment_unref(&s->object);
}

int64_t sys_shmat(struct thread *t, const uint64_t *a)
{
    struct user_mm *mm = t->process->mm;
    uint32_t flags = (uint32_t)a[2], bits = 0400;
    struct aspace_map map = {.address = a[1], .fixed = a[1] != 0, .shared = true};
    uint64_t address = 0;
    struct segment *s;
    int64_t error;
    vmk_status status;

    if ((int32_t)a[0] < 0 || (!a[1] && (flags & L_SHM_REMAP)))
        return -L_EINVAL;
    if (flags & L_SHM_RND)
        map.address &= ~(uint64_t)(PAGE_SIZE - 1);
    if (map.address & (PAGE_SIZE - 1))
        return -L_EINVAL;
    map.replace = flags & L_SHM_REMAP;
    map.never_write = flags & L_SHM_RDONLY;
    map.protection = ASPACE_READ;
    if (!(flags & L_SHM_RDONLY)) {
        map.protection |= ASPACE_WRITE;
        bits |= 0200;
    }
    if (flags & L_SHM_EXEC) {
        map.protection |= ASPACE_EXEC;
        bits |= 0100;
    }
    s = attach_begin(t, (int32_t)a[0], bits, &error);
    if (!s)
        return error;
    map.size = s->size;
    map.object = &s->object;
    mutex_lock(&mm->map_lock);
    status = aspace_map(mm->as, &map, &address);
    mutex_unlock(&mm->map_lock);
    attach_end(s, status == VMK_OK);
    if (status == VMK_EXISTS)
        return -L_EINVAL;
    return status == VMK_OK ? (int64_t)address : user_errno(status);
}

/*
 * The segment attached at `start`, as far as it is still mapped: regions that were cut or
 * protected apart are found by their place in it. Map lock held.
 */
static const struct segment *attached_at(struct aspace *as, uint64_t start, uint64_t *from)
{
    struct aspace_region_info info;

    for (*from = start; aspace_region_next(as, *from, &info); *from = info.end) {
        if (info.object && info.object->ops == &segment_ops && info.start >= start &&
            info.start - start == info.offset) {
            *from = info.start;
            return segment_of_object(info.object);
        }
    }
    return NULL;
}

int64_t sys_shmdt(struct thread *t, const uint64_t *a)
{
    struct user_mm *mm = t->process->mm;
    struct aspace_region_info info;
    const struct segment *s;
    vmk_status status = VMK_OK;
    uint64_t at, end;

    if (a[0] & (PAGE_SIZE - 1))
        return -L_EINVAL;
    mutex_lock(&mm->map_lock);
    s = attached_at(mm->as, a[0], &at);
    /* Its last part may take the segment along: nothing of it is looked at after that. */
    end = s ? a[0] + round_up(s->size, PAGE_SIZE) : 0;
    while (s && status == VMK_OK && at < end && aspace_region_next(mm->as, at, &info) &&
           info.start < end) {
        at = info.end;
        if (info.object == &s->object && info.start - a[0] == info.offset)
            status = aspace_unmap(mm->as, info.start, info.end - info.start);
    }
    mutex_unlock(&mm->map_lock);
    return s ? user_errno(status) : -L_EINVAL;
}

/* ---- shmctl ---- */

static uint64_t resident(const struct segment *s)
{
    return aspace_shared_resident(s->pages);
}

static int64_t info_shm(struct thread *t, uint64_t at)
{
    struct sysv *sysv = sysv_state();
    struct l_shminfo info = {.shmmax = SYSV_SHM_BYTES_MAX,
                             .shmmin = 1,
                             .shmmni = SYSV_OBJECTS_MAX,
                             .shmseg = SYSV_OBJECTS_MAX,
                             .shmall = sysv->shm_pages_max};
    uint32_t highest;

    mutex_lock(&sysv->shm.mutex);
    highest = sysv_highest(&sysv->shm);
    mutex_unlock(&sysv->shm.mutex);
    return user_out(t, at, &info, sizeof(info)) ? -L_EFAULT : (int64_t)highest;
}

static int64_t use_shm(struct thread *t, uint64_t at)
{
    struct sysv *sysv = sysv_state();
    struct l_shm_info info = {0};
    uint32_t highest;

    mutex_lock(&sysv->shm.mutex);
    highest = sysv_highest(&sysv->shm);
    info.used_ids = (int32_t)sysv->shm.count;
    for (uint32_t i = 0; sysv->shm.count && i <= highest; i++) {
        if (sysv_at(&sysv->shm, i)) {
            const struct segment *s = segment_of(sysv_at(&sysv->shm, i));

            info.total += pages_of(s->size);
            info.resident += resident(s);
        }
    }
    mutex_unlock(&sysv->shm.mutex);
    return user_out(t, at, &info, sizeof(info)) ? -L_EFAULT : (int64_t)highest;
}

static void fill_shm(const struct sysv_object *object, void *out)
{
    const struct segment *s = segment_of(object);
    struct l_shmid_ds *ds = out;

    ds->segsz = s->size;
    ds->atime = s->atime;
    ds->dtime = s->dtime;
    ds->ctime = object->ctime;
    ds->cpid = s->cpid;
    ds->lpid = s->lpid;
    ds->nattch = __atomic_load_n(&s->attached, __ATOMIC_RELAXED);
}

static int64_t stat_shm(struct thread *t, int32_t id, int command, uint64_t at)
{
    struct l_shmid_ds ds = {.perm = {.key = 0}};
    const struct sysv_query query = {.ids = &sysv_state()->shm,
                                     .by_place = command != L_IPC_STAT,
                                     .anybody = command == L_SHM_STAT_ANY,
                                     .fill = fill_shm,
                                     .ds = &ds,
                                     .size = sizeof(ds)};

    return sysv_stat(t, &query, id, at);
}

static int64_t set_shm(struct thread *t, int32_t id, const struct l_shmid_ds *ds)
{
    struct sysv *sysv = sysv_state();
    struct sysv_object *object;
    int64_t error;

    mutex_lock(&sysv->shm.mutex);
    object = sysv_look_own(t, &sysv->shm, id, &error);
    if (object)
        error = sysv_perm_set(object, &ds->perm);
    mutex_unlock(&sysv->shm.mutex);
    return error;
}

/* From now on nobody finds it by its key; it goes when nobody has it mapped. */
static int64_t remove_shm(struct thread *t, int32_t id)
{
    struct sysv *sysv = sysv_state();
    struct sysv_object *object;
    bool now = false;
    int64_t error;

    mutex_lock(&sysv->shm.mutex);
    object = sysv_look_own(t, &sysv->shm, id, &error);
    if (object) {
        object->mode |= L_SHM_DEST;
        object->key = L_IPC_PRIVATE;
        now = remove_if_due(segment_of(object));
    }
    mutex_unlock(&sysv->shm.mutex);
    if (now)
        segment_unref(&segment_of(object)->object);
    return error;
}

/* Shared pages are never taken away, so all there is to locking is the mark. */
static int64_t lock_shm(struct thread *t, int32_t id, bool lock)
{
    struct sysv *sysv = sysv_state();
    struct sysv_object *object;
    int64_t error;

    mutex_lock(&sysv->shm.mutex);
    object = sysv_look_own(t, &sysv->shm, id, &error);
    if (object && lock && t->process->cred.uid &&
        t->process->limits[L_RLIMIT_MEMLOCK].current < segment_of(object)->size)
        error = t->process->limits[L_RLIMIT_MEMLOCK].current ? -L_ENOMEM : -L_EPERM;
    else if (object)
        object->mode = lock ? object->mode | L_SHM_LOCKED : object->mode & ~L_SHM_LOCKED;
    mutex_unlock(&sysv->shm.mutex);
    return error;
}

int64_t sys_shmctl(struct thread *t, const uint64_t *a)
{
    int32_t id = (int32_t)a[0];
    int command = (int)a[1];
    struct l_shmid_ds ds;

    if (id < 0 || command < 0)
        return -L_EINVAL;
    switch (command) {
    case L_IPC_INFO: return info_shm(t, a[2]);
    case L_SHM_INFO: return use_shm(t, a[2]);
    case L_IPC_STAT:
    case L_SHM_STAT:
    case L_SHM_STAT_ANY: return stat_shm(t, id, command, a[2]);
    case L_IPC_SET: return user_in(t, &ds, a[2], sizeof(ds)) ? -L_EFAULT : set_shm(t, id, &ds);
    case L_IPC_RMID: return remove_shm(t, id);
    case L_SHM_LOCK:
    case L_SHM_UNLOCK: return lock_shm(t, id, command == L_SHM_LOCK);
    default: return -L_EINVAL;
    }
}

void sysv_shm_show(const struct sysv_object *object, struct procfs_text *out)
{
    const struct segment *s = segment_of(object);
    const unsigned long long resident_bytes = resident(s) << PAGE_SHIFT;

    procfs_printf(out,
                  "%10d %10d  %4o %21llu %5u %5u  %5u %5u %5u %5u %5u %10lld %10lld %10lld "
                  "%21llu %21u\n",
                  object->key, object->id, object->mode, (unsigned long long)s->size, s->cpid,
                  s->lpid, __atomic_load_n(&s->attached, __ATOMIC_RELAXED), object->uid,
                  object->gid, object->cuid, object->cgid, (long long)s->atime,
                  (long long)s->dtime, (long long)object->ctime, resident_bytes, 0u);
}
