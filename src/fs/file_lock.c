// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/file_lock.c -- advisory locks on files: fcntl's records and flock's whole files.
 *
 * Each vnode has a list of what is locked, by first byte. A lock replaces what its owner had of
 * the range, so an owner's locks never overlap and neighbours of one type are one lock. Who
 * cannot have a lock waits until any lock anywhere goes and then looks again: locks are few and
 * held for long.
 *
 * Before an owner waits for another, the chain of who waits for whom is followed from there; if
 * it leads back, waiting would never end and the call fails. Locks of open files are not
 * followed: any process that has the file may let go of them.
 *
 * Invariants
 *   - No two locks of different owners overlap on a vnode if one of them is for writing.
 *   - A vnode with locks is referenced: its owners have it open, and let go before they close
 *     it.
 * Locking    fs.locks_mutex for all locks and waiters; fs.locks_changed for those who wait.
 * Start at   file_lock_set(), replace().
 * Sources    fcntl(2), flock(2); POSIX.1-2017 "fcntl"
 */
#include "fs/file_lock.h"

#include "fs/vfs_internal.h"

#define LOCKS_MAX 65536u  // of the host
#define CHAIN_MAX 256u    // owners that a search for a circle visits

struct held {
    struct list link;  // vnode.locks
    struct file_lock lock;
};

struct waiter {
    struct list link;  // fs.lock_waiters
    const void *owner, *blocker;
};

void file_locks_init(void)
{
    struct fs_state *fs = fs_state();

    mutex_init(&fs->locks_mutex, "file locks");
    fs_event_init(&fs->locks_changed, "file locks");
    list_init(&fs->lock_waiters);
}

static bool overlap(const struct file_lock *a, const struct file_lock *b)
{
    return a->start <= b->end && b->start <= a->end;
}

/* Who is in the way, or null. Mutex held. */
static struct held *conflict(struct vnode *vnode, const struct file_lock *lock)
{
    list_for_each (node, &vnode->locks) {
        struct held *h = list_entry(node, struct held, link);

        if (h->lock.kind == lock->kind && h->lock.owner != lock->owner &&
            overlap(&h->lock, lock) &&
            (h->lock.type == FILE_LOCK_WRITE || lock->type == FILE_LOCK_WRITE))
            return h;
    }
    return NULL;
}

/* Does `owner` wait, over others, for `me`? Mutex held. */
static bool waits_for(const void *owner, const void *me)
{
    for (unsigned step = 0; owner && step < CHAIN_MAX; step++) {
        const void *next = NULL;

        if (owner == me)
            return true;
        list_for_each (node, &fs_state()->lock_waiters) {
            const struct waiter *w = list_entry(node, struct waiter, link);

            if (w->owner == owner) {
                next = w->blocker;
                break;
            }
        }
        owner = next;
    }
    return false;
}

static struct held *held_new(const struct file_lock *lock)
{
    struct held *h = heap_alloc(sizeof(*h), MEM_OWNER_FS);

    if (h) {
        list_init(&h->link);
        h->lock = *lock;
        fs_state()->lock_count++;
    }
    return h;
}

static void held_free(struct held *h)
{
    list_remove(&h->link);
    heap_free(h);
    fs_state()->lock_count--;
}

static void insert(struct vnode *vnode, struct held *h)
{
    struct list *at = vnode->locks.next;

    while (at != &vnode->locks && list_entry(at, struct held, link)->lock.start < h->lock.start)
        at = at->next;
    list_insert_before(at, &h->link);
}

/* Neighbours or overlapping, so that two of one type become one? */
static bool touches(const struct file_lock *a, const struct file_lock *b)
{
    return (a->start == 0 || a->start - 1 <= b->end) &&
           (b->start == 0 || b->start - 1 <= a->end);
}

/*
 * Takes `lock` out of what its owner has, or joins it with that. Nothing is in its way. Mutex
 * held.
 */
static vmk_status replace(struct vnode *vnode, const struct file_lock *lock)
{
    struct file_lock whole = *lock;
    struct held *fresh = NULL, *rest = NULL;

    if (fs_state()->lock_count + 2 > LOCKS_MAX)
        return VMK_LIMIT;
    /* Both that may be needed, first: then nothing can fail half way. */
    if (lock->type != FILE_LOCK_NONE)
        fresh = held_new(lock);
    rest = held_new(lock);
    if (!rest || (lock->type != FILE_LOCK_NONE && !fresh)) {
        if (fresh)
            held_free(fresh);
        if (rest)
            held_free(rest);
        return VMK_NO_MEMORY;
    }
    list_for_each_safe (node, after, &vnode->locks) {
        struct held *h = list_entry(node, struct held, link);
        struct file_lock *old = &h->lock;

        if (old->kind != lock->kind || old->owner != lock->owner)
            continue;
        if (old->type == lock->type) {
            if (!touches(old, &whole))
                continue;
            whole.start = MIN(whole.start, old->start);
            whole.end = MAX(whole.end, old->end);
            held_free(h);
        } else if (overlap(old, lock)) {
            if (old->start < lock->start && old->end > lock->end) {
                rest->lock = *old;
                rest->lock.start = lock->end + 1;
                old->end = lock->start - 1;
                insert(vnode, rest);
                rest = NULL;
                break;  // its locks do not overlap: no other can
            }
            if (old->start < lock->start)
                old->end = lock->start - 1;
            else if (old->end > lock->end)
                old->start = lock->end + 1;
            else
                held_free(h);
        }
    }
    if (fresh) {
        fresh->lock = whole;
        insert(vnode, fresh);
    }
    if (rest)
        held_free(rest);
    return VMK_OK;
}

vmk_status file_lock_set(struct vnode *vnode, const struct file_lock *lock, bool wait)
{
    struct fs_state *fs = fs_state();
    struct file_lock before = *lock;
    vmk_status status = VMK_OK;
    struct held *other;

    mutex_lock(&fs->locks_mutex);
    /*
     * A flock that becomes another lets go of the first, else two who share could wait forever.
     */
    before.type = FILE_LOCK_NONE;
    if (lock->kind == FILE_LOCK_WHOLE && conflict(vnode, lock))
        status = replace(vnode, &before);
    while (status == VMK_OK && lock->type != FILE_LOCK_NONE &&
           (other = conflict(vnode, lock))) {
        struct waiter w = {.owner = lock->owner, .blocker = other->lock.owner};
        uint32_t count = fs_event_count(&fs->locks_changed);

        status = VMK_AGAIN;
        if (wait && lock->kind == FILE_LOCK_RECORD && lock->pid >= 0 &&
            waits_for(w.blocker, lock->owner))
            status = VMK_DEADLOCK;
        if (!wait || status == VMK_DEADLOCK)
            break;
        list_add_tail(&fs->lock_waiters, &w.link);
        mutex_unlock(&fs->locks_mutex);
        status = fs_event_wait(&fs->locks_changed, count, PLAT_NS_NEVER);
        mutex_lock(&fs->locks_mutex);
        list_remove(&w.link);
    }
    if (status == VMK_OK)
        status = replace(vnode, lock);
    mutex_unlock(&fs->locks_mutex);
    fs_event_signal(&fs->locks_changed);
    return status;
}

bool file_lock_find(struct vnode *vnode, struct file_lock *lock)
{
    struct fs_state *fs = fs_state();
    struct held *other;

    mutex_lock(&fs->locks_mutex);
    other = conflict(vnode, lock);
    if (other)
        *lock = other->lock;
    mutex_unlock(&fs->locks_mutex);
    return other;
}

void file_locks_drop(struct vnode *vnode, const void *owner)
{
    struct fs_state *fs = fs_state();
    bool dropped = false;

    if (list_is_empty(&vnode->locks))  // those of this owner are set by now, or will not be
        return;
    mutex_lock(&fs->locks_mutex);
    list_for_each_safe (node, after, &vnode->locks) {
        struct held *h = list_entry(node, struct held, link);

        if (h->lock.owner == owner) {
            held_free(h);
            dropped = true;
        }
    }
    mutex_unlock(&fs->locks_mutex);
    if (dropped)
        fs_event_signal(&fs->locks_changed);
}
