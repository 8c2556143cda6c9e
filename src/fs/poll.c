// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/poll.c -- who waits for a file: lists of entries that are called at each change.
 *
 * A world can block on one wait queue only, and poll() waits for many files, epoll for
 * thousands without a world at all. So readiness is announced by a callback under the head's
 * lock, and the callback decides what that means: wake a world, or put the file on an epoll's
 * ready list.
 *
 * Invariants
 *   - entry.head is not null exactly while the entry is on that head's list.
 *   - poll_entry_remove() takes the same lock as poll_notify(), so woken() is over when it
 *     returns.
 *   - poll_entry_add() and poll_notify() each have a fence between what was written before and
 *     what is read after, so that the notifier sees the entry or the poller sees the news.
 * Locking    poll_head.lock (rank POLL); woken() runs under it.
 */
#include "core/assert.h"
#include "fs/vfs.h"

void poll_head_init(struct poll_head *head, const char *name)
{
    spin_init(&head->lock, name, LOCK_RANK_POLL);
    list_init(&head->entries);
}

void poll_notify(struct poll_head *head, unsigned events)
{
    bool irqs;

    /* Most files have nobody who polls. Who is about to looks at the file behind its fence. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&head->entries.next, __ATOMIC_RELAXED) == &head->entries)
        return;
    irqs = spin_lock(&head->lock);
    list_for_each_safe (node, after, &head->entries) {
        struct poll_entry *entry = list_entry(node, struct poll_entry, link);

        entry->woken(entry, events);
    }
    spin_unlock(&head->lock, irqs);
}

void poll_entry_add(struct poll_head *head, struct poll_entry *entry)
{
    bool irqs = spin_lock(&head->lock);

    vmk_assert(!entry->head && entry->woken);
    entry->head = head;
    list_add_tail(&head->entries, &entry->link);
    spin_unlock(&head->lock, irqs);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void poll_entry_remove(struct poll_entry *entry)
{
    struct poll_head *head = entry->head;

    if (!head)
        return;

    bool irqs = spin_lock(&head->lock);

    list_remove(&entry->link);
    entry->head = NULL;
    spin_unlock(&head->lock, irqs);
}
