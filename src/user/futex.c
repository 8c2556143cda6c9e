// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/futex.c -- futexes: wait while a word has a value, wake who waits for it.
 *
 * A waiter joins its bucket first and reads the word then, so a wake between the two finds it;
 * the word may have to be faulted in, which no lock allows. What a word is called comes from
 * mem/: the address space and address in private memory, the object and offset in shared
 * memory.
 *
 * Invariants
 *   - A waiter is on a list until somebody, under the futex lock, takes it off; then `woken` is
 *     set.
 *   - The waiter's struct is on its stack: it does not return before it holds the lock once
 *     more.
 * Locking    futex_lock (rank USER); wait queues above it.
 * Start at   futex_wait(), wake_key().
 * Sources    futex(2)
 */
#include "lib/string.h"
#include "user/user_internal.h"

#define ROBUST_MAX 2048u

struct futex_waiter {
    struct list link;
    struct aspace_key key;
    uint32_t bitset;
    bool woken;      // futex lock
    uint32_t owner;  // futex lock; who waits for a lock of its own: his id. 0: for a wake-up
    bool chosen;     // futex lock; it will have the lock: not to give up any more
    bool mine;       // futex lock; woken as the owner, and not to look again
    struct wait_queue queue;
};

void futex_init(void)
{
    struct user_state *user = user_state();

    spin_init(&user->futex_lock, "futex", LOCK_RANK_USER);
    for (unsigned i = 0; i < FUTEX_BUCKETS; i++)
        list_init(&user->futexes[i]);
}

static struct list *bucket_of(const struct aspace_key *key)
{
    uint64_t hash = ((uint64_t)(uintptr_t)key->object >> 6) ^ (key->offset >> 2);

    return &user_state()->futexes[(hash ^ hash >> 8 ^ hash >> 17) % FUTEX_BUCKETS];
}

static bool same(const struct aspace_key *a, const struct aspace_key *b)
{
    return a->object == b->object && a->offset == b->offset;
}

static int64_t key_of(struct thread *t, uint64_t at, struct aspace_key *key)
{
    if (at & 3)
        return -L_EINVAL;
    return aspace_key_of(t->as, at, key) == VMK_OK ? 0 : -L_EFAULT;
}

static uint32_t wake_key(const struct aspace_key *key, uint32_t count, uint32_t bitset)
{
    struct user_state *user = user_state();
    struct list *bucket = bucket_of(key);
    uint32_t woken = 0;
    bool irqs = spin_lock(&user->futex_lock);

    list_for_each_safe (node, after, bucket) {
        struct futex_waiter *w = list_entry(node, struct futex_waiter, link);

        if (woken == count)
            break;
        if (!same(&w->key, key) || !(w->bitset & bitset))
            continue;
        list_remove(node);
        __atomic_store_n(&w->woken, true, __ATOMIC_RELEASE);
        (void)wait_queue_wake(&w->queue, 1);
        woken++;
    }
    spin_unlock(&user->futex_lock, irqs);
    return woken;
}

static int64_t futex_wake(struct thread *t, uint64_t at, uint32_t count, uint32_t bitset)
{
    struct aspace_key key;
    int64_t error = key_of(t, at, &key);

    if (error)
        return error;
    return wake_key(&key, count, bitset);
}

static vmk_status wait_woken(struct futex_waiter *w, const struct wait_deadline *deadline)
{
    vmk_status status = VMK_OK;

    for (;;) {
        bool irqs = plat_irq_save();

        spin_lock_irqs_off(&w->queue.lock);
        if (__atomic_load_n(&w->woken, __ATOMIC_ACQUIRE) || status != VMK_OK) {
            spin_unlock_irqs_off(&w->queue.lock);
            plat_irq_restore(irqs);
            return status;
        }
        status = wait_queue_block_interruptible(&w->queue, wait_deadline_now(deadline));
        plat_irq_restore(irqs);
    }
}

static int64_t futex_wait(struct thread *t, uint64_t at, uint32_t value,
                          struct wait_deadline *deadline, uint32_t bitset)
{
    struct user_state *user = user_state();
    struct futex_waiter w = {.bitset = bitset};
    vmk_status status = VMK_OK;
    uint32_t word;
    bool irqs, woken;
    int64_t error;

    if (!bitset)
        return -L_EINVAL;
    error = key_of(t, at, &w.key);
    if (error)
        return error;
    wait_queue_init(&w.queue, "futex");
    list_init(&w.link);
    irqs = spin_lock(&user->futex_lock);
    list_add_tail(bucket_of(&w.key), &w.link);
    spin_unlock(&user->futex_lock, irqs);

    error = user_in(t, &word, at, sizeof(word));
    if (!error && word != value)
        error = -L_EAGAIN;
    if (!error) {
        wait_deadline_begin(deadline, &w.queue);
        status = wait_woken(&w, deadline);
        wait_deadline_end(deadline);
    }

    irqs = spin_lock(&user->futex_lock);
    woken = w.woken;
    list_remove(&w.link);
    spin_unlock(&user->futex_lock, irqs);
    if (woken)
        return 0;  // also if the word had changed: that wake-up was for us
    if (error)
        return error;
    return status == VMK_TIMEOUT ? -L_ETIMEDOUT : -L_ERESTARTSYS;
}

static int64_t requeue(struct thread *t, uint64_t from_at, uint32_t wake, uint32_t move,
                       uint64_t to_at, const uint32_t *expected)
{
    struct user_state *user = user_state();
    struct aspace_key from, to;
    uint32_t word, done = 0, moved = 0;
    int64_t error = key_of(t, from_at, &from);

    if (!error)
        error = key_of(t, to_at, &to);
    if (!error && ((int32_t)wake < 0 || (int32_t)move < 0))
        error = -L_EINVAL;
    if (!error && expected) {
        error = user_in(t, &word, from_at, sizeof(word));
        if (!error && word != *expected)
            error = -L_EAGAIN;
    }
    if (error)
        return error;

    struct list *target = bucket_of(&to);
    bool irqs = spin_lock(&user->futex_lock);

    list_for_each_safe (node, after, bucket_of(&from)) {
        struct futex_waiter *w = list_entry(node, struct futex_waiter, link);

        if (!same(&w->key, &from))
            continue;
        if (done < wake) {
            list_remove(node);
            __atomic_store_n(&w->woken, true, __ATOMIC_RELEASE);
            (void)wait_queue_wake(&w->queue, 1);
            done++;
        } else if (moved < move && !same(&from, &to)) {
            list_remove(node);
            w->key = to;
            list_add_tail(target, node);
            moved++;
            if (bucket_of(&from) == target && after == target)
                break;  // what was moved would be seen again
        } else {
            break;
        }
    }
    spin_unlock(&user->futex_lock, irqs);
    return (int64_t)done + moved;
}

/* FUTEX_WAKE_OP: changes the second word and wakes there too if the old value was so. */
static int64_t wake_op(struct thread *t, uint64_t at, uint32_t count, uint64_t at2,
                       uint32_t count2, uint32_t op)
{
    uint32_t argument = op >> 12 & 0xfff, compare = op & 0xfff, old, seen, value;
    bool holds;
    int64_t result;

    if (op & 0x80000000u)  // FUTEX_OP_OPARG_SHIFT
        argument = 1u << (argument & 31);
    if (user_in(t, &old, at2, sizeof(old)))
        return -L_EFAULT;
    for (;;) {
        switch (op >> 28 & 7) {
        case 0: value = argument; break;
        case 1: value = old + argument; break;
        case 2: value = old | argument; break;
        case 3: value = old & ~argument; break;
        case 4: value = old ^ argument; break;
        default: return -L_ENOSYS;
        }
        if (aspace_compare_exchange32(t->as, at2, old, value, &seen) != VMK_OK)
            return -L_EFAULT;
        if (seen == old)
            break;
        old = seen;
    }
    switch (op >> 24 & 15) {
    case 0: holds = old == compare; break;
    case 1: holds = old != compare; break;
    case 2: holds = (int32_t)old < (int32_t)compare; break;
    case 3: holds = (int32_t)old <= (int32_t)compare; break;
    case 4: holds = (int32_t)old > (int32_t)compare; break;
    case 5: holds = (int32_t)old >= (int32_t)compare; break;
    default: return -L_ENOSYS;
    }
    result = futex_wake(t, at, count, UINT32_MAX);
    if (result >= 0 && holds) {
        int64_t more = futex_wake(t, at2, count2, UINT32_MAX);

        result = more < 0 ? more : result + more;
    }
    return result;
}

/* The deadline of a wait. `absolute`: FUTEX_WAIT_BITSET's. */
static int64_t deadline_of(struct thread *t, uint64_t at, bool absolute, bool realtime,
                           struct wait_deadline *deadline)
{
    plat_ns when;
    int64_t error;

    *deadline = (struct wait_deadline){.at = PLAT_NS_NEVER};
    if (!at)
        return 0;
    error = timespec_in(t, at, &when);
    if (error)
        return error;
    deadline->wall = absolute && realtime;
    deadline->at = absolute ? when : deadline_after(when);
    return 0;
}

/* ---- locks whose word is the owner's id: FUTEX_LOCK_PI ---- */

/*
 * Who wants the lock joins the bucket, then tries the word: free, he takes it; else he sets
 * WAITERS in it and waits. Who unlocks chooses the first who waits, writes his id into the word
 * and wakes him. A waiter that joined after the look and before the word became free finds it
 * free. The owner runs with his own shares meanwhile: priority is not inherited.
 */
static void waiter_leave(struct futex_waiter *w)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->futex_lock);

    list_remove(&w->link);
    spin_unlock(&user->futex_lock, irqs);
}

/* Takes the word if it is free; -EAGAIN: it is another's, and says that somebody waits. */
static int64_t pi_take(struct thread *t, uint64_t at, bool wait)
{
    struct user_state *user = user_state();
    uint32_t word, wanted, seen;
    bool irqs, there;

    if (user_in(t, &word, at, sizeof(word)))
        return -L_EFAULT;
    for (;;) {
        uint32_t owner = word & L_FUTEX_TID_MASK;

        if (owner == t->tid)
            return -L_EDEADLK;
        if (!owner) {
            wanted = (word & (L_FUTEX_WAITERS | L_FUTEX_OWNER_DIED)) | t->tid;
        } else {
            irqs = spin_lock(&user->lock);
            there = thread_find_locked(owner);
            spin_unlock(&user->lock, irqs);
            if (!there)
                return -L_ESRCH;
            wanted = word | L_FUTEX_WAITERS;
            if (!wait || wanted == word)
                return -L_EAGAIN;
        }
        if (aspace_compare_exchange32(t->as, at, word, wanted, &seen) != VMK_OK)
            return -L_EFAULT;
        if (seen == word)
            return owner ? -L_EAGAIN : 0;
        word = seen;
    }
}

/* Waits until it is the owner (0), may look again (-EAGAIN), or gives up. */
static int64_t pi_wait(struct futex_waiter *w, struct wait_deadline *deadline)
{
    struct user_state *user = user_state();
    struct wait_deadline never = {.at = PLAT_NS_NEVER};
    vmk_status status;
    bool irqs, woken;

    wait_deadline_begin(deadline, &w->queue);
    status = wait_woken(w, deadline);
    wait_deadline_end(deadline);
    irqs = spin_lock(&user->futex_lock);
    woken = w->woken;
    if (!woken && !w->chosen)
        list_remove(&w->link);
    else
        status = VMK_OK;
    spin_unlock(&user->futex_lock, irqs);
    while (status == VMK_OK && !woken) {  // it is just being made the owner
        (void)!wait_woken(w, &never);
        irqs = spin_lock(&user->futex_lock);
        woken = w->woken;
        spin_unlock(&user->futex_lock, irqs);
    }
    if (status != VMK_OK)
        return status == VMK_TIMEOUT ? -L_ETIMEDOUT : -L_ERESTARTNOINTR;
    return w->mine ? 0 : -L_EAGAIN;
}

static int64_t pi_lock(struct thread *t, uint64_t at, struct wait_deadline *deadline)
{
    struct user_state *user = user_state();
    int64_t result;

    do {
        struct futex_waiter w = {.bitset = UINT32_MAX, .owner = t->tid};
        bool irqs;

        result = key_of(t, at, &w.key);
        if (result)
            return result;
        wait_queue_init(&w.queue, "futex lock");
        list_init(&w.link);
        irqs = spin_lock(&user->futex_lock);
        list_add_tail(bucket_of(&w.key), &w.link);
        spin_unlock(&user->futex_lock, irqs);
        result = pi_take(t, at, true);
        if (result == -L_EAGAIN) {
            result = pi_wait(&w, deadline);
            continue;
        }
        irqs = spin_lock(&user->futex_lock);
        bool chosen = w.chosen;
        spin_unlock(&user->futex_lock, irqs);
        if (chosen)
            result = pi_wait(&w, deadline);
        else
            waiter_leave(&w);
    } while (result == -L_EAGAIN);
    return result;
}

/* The first who waits for that lock, off the list; *more: others do too. */
static struct futex_waiter *pi_choose(const struct aspace_key *key, bool *more)
{
    struct user_state *user = user_state();
    struct futex_waiter *chosen = NULL;
    bool irqs = spin_lock(&user->futex_lock);

    *more = false;
    list_for_each_safe (node, after, bucket_of(key)) {
        struct futex_waiter *w = list_entry(node, struct futex_waiter, link);

        if (!w->owner || !same(&w->key, key))
            continue;
        if (chosen) {
            *more = true;
            break;
        }
        chosen = w;
        w->chosen = true;
        list_remove(node);
    }
    spin_unlock(&user->futex_lock, irqs);
    return chosen;
}

static int64_t pi_unlock(struct thread *t, uint64_t at)
{
    struct user_state *user = user_state();
    struct futex_waiter *next;
    struct aspace_key key;
    uint32_t word, seen, wanted;
    bool more, irqs;
    int64_t error = key_of(t, at, &key);

    if (!error)
        error = user_in(t, &word, at, sizeof(word));
    if (error)
        return error;
    if ((word & L_FUTEX_TID_MASK) != t->tid)
        return -L_EPERM;
    next = pi_choose(&key, &more);
    for (;;) {
        wanted = next ? next->owner | (more ? L_FUTEX_WAITERS : 0u) : 0;
        if (aspace_compare_exchange32(t->as, at, word, wanted, &seen) != VMK_OK)
            error = -L_EFAULT;
        if (error || seen == word)
            break;
        if ((seen & L_FUTEX_TID_MASK) != t->tid) {
            error = -L_EPERM;
            break;
        }
        word = seen;  // somebody set WAITERS
        if (!next)
            next = pi_choose(&key, &more);
        else
            more = true;
    }
    if (next) {
        irqs = spin_lock(&user->futex_lock);
        next->mine = !error;
        __atomic_store_n(&next->woken, true, __ATOMIC_RELEASE);
        (void)wait_queue_wake(&next->queue, 1);
        spin_unlock(&user->futex_lock, irqs);
    }
    return error;
}

int64_t sys_futex(struct thread *t, const uint64_t *a)
{
    uint32_t op = (uint32_t)a[1] & L_FUTEX_CMD_MASK;
    uint32_t value = (uint32_t)a[2], value3 = (uint32_t)a[5];
    bool absolute = op == L_FUTEX_WAIT_BITSET;
    struct wait_deadline deadline;
    int64_t error;

    switch (op) {
    case L_FUTEX_WAIT:
    case L_FUTEX_WAIT_BITSET:
        error = deadline_of(t, a[3], absolute, a[1] & L_FUTEX_CLOCK_REALTIME, &deadline);
        if (error)
            return error;
        error = futex_wait(t, a[0], value, &deadline, absolute ? value3 : UINT32_MAX);
        /* A relative time-out would begin anew. */
        return error == -L_ERESTARTSYS && a[3] && !absolute ? -L_EINTR : error;
    case L_FUTEX_LOCK_PI:
    case L_FUTEX_LOCK_PI2:
        error = deadline_of(
            t, a[3], true, op == L_FUTEX_LOCK_PI || (a[1] & L_FUTEX_CLOCK_REALTIME), &deadline);
        return error ? error : pi_lock(t, a[0], &deadline);
    case L_FUTEX_TRYLOCK_PI: return pi_take(t, a[0], false);
    case L_FUTEX_UNLOCK_PI: return pi_unlock(t, a[0]);
    case L_FUTEX_WAKE: return futex_wake(t, a[0], value, UINT32_MAX);
    case L_FUTEX_WAKE_BITSET: return value3 ? futex_wake(t, a[0], value, value3) : -L_EINVAL;
    case L_FUTEX_REQUEUE: return requeue(t, a[0], value, (uint32_t)a[3], a[4], NULL);
    case L_FUTEX_CMP_REQUEUE: return requeue(t, a[0], value, (uint32_t)a[3], a[4], &value3);
    case L_FUTEX_WAKE_OP: return wake_op(t, a[0], value, a[4], (uint32_t)a[3], value3);
    default: return -L_ENOSYS;
    }
}

/* ---- what a thread leaves behind ---- */

/* The owner died: mark the word and wake one who waits. */
static void robust_one(struct thread *t, uint64_t at)
{
    uint32_t word, seen;

    if ((at & 3) || user_in(t, &word, at, sizeof(word)))
        return;
    for (;;) {
        if ((word & L_FUTEX_TID_MASK) != t->tid)
            return;
        if (aspace_compare_exchange32(t->as, at, word,
                                      (word & L_FUTEX_WAITERS) | L_FUTEX_OWNER_DIED,
                                      &seen) != VMK_OK)
            return;
        if (seen == word)
            break;
        word = seen;
    }
    if (word & L_FUTEX_WAITERS)
        (void)futex_wake(t, at, 1, UINT32_MAX);
}

/* struct robust_list_head: first entry, offset of the word in an entry, entry being taken. */
static void robust_walk(struct thread *t)
{
    uint64_t head[3], entry, next;

    if (!t->robust_list || user_in(t, head, t->robust_list, sizeof(head)))
        return;
    entry = head[0] & ~1ull;
    for (unsigned i = 0; i < ROBUST_MAX && entry != t->robust_list; i++) {
        bool fault = user_in(t, &next, entry, sizeof(next));

        if (entry != (head[2] & ~1ull))
            robust_one(t, entry + head[1]);
        if (fault)
            break;
        entry = next & ~1ull;
    }
    if (head[2] & ~1ull)
        robust_one(t, (head[2] & ~1ull) + head[1]);
}

void futex_thread_exit(struct thread *t)
{
    const uint32_t zero = 0;

    robust_walk(t);
    t->robust_list = 0;
    /* Only if somebody else can see it. */
    if (t->clear_child_tid &&
        __atomic_load_n(&t->process->mm->refs, __ATOMIC_ACQUIRE) + t->process->thread_count >
            2 &&
        !user_out(t, t->clear_child_tid, &zero, sizeof(zero)))
        (void)futex_wake(t, t->clear_child_tid, 1, UINT32_MAX);
    t->clear_child_tid = 0;
}

int64_t sys_set_robust_list(struct thread *t, const uint64_t *a)
{
    if (a[1] != 24)
        return -L_EINVAL;
    t->robust_list = a[0];
    return 0;
}

int64_t sys_get_robust_list(struct thread *t, const uint64_t *a)
{
    const uint64_t size = 24;

    if (a[0] && a[0] != t->tid)
        return -L_EPERM;
    if (user_out(t, a[1], &t->robust_list, 8) || user_out(t, a[2], &size, 8))
        return -L_EFAULT;
    return 0;
}
