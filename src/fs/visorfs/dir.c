// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/visorfs/dir.c -- directories in memory: names, found by hash, listed by age.
 *
 * readdir must survive that entries come and go between two calls (rm -r reads and removes in
 * turn).
 * So each entry gets a cookie, a number that only grows, and a position is a cookie: "go on
 * with the first entry of this number or above". Small directories are searched in that list;
 * above eight entries a table of chains is kept beside it.
 *
 * Invariants
 *   - Every entry is on by_cookie, and in its bucket if there are buckets.
 *   - inode.link_count = the entries that name it, + for a directory its own "." and the ".."
 *     of each directory in it.
 *   - A directory without a name has parent = null and takes no new entries.
 * Locking    the directory's vnode.lock; link counts under the inode's own vnode.lock.
 */
#include "core/assert.h"
#include "fs/visorfs/visorfs_internal.h"
#include "lib/fnv.h"
#include "lib/string.h"

#define BUCKETS_FROM 8u  // entries

void visor_dir_init(struct visor_inode *dir, struct visor_inode *parent)
{
    list_init(&dir->dir.entries);
    dir->dir.next_cookie = 2;
    dir->dir.parent = parent;
}

static bool is_named(const struct visor_entry *e, uint32_t hash, const char *name,
                     size_t length)
{
    return e->hash == hash && e->length == length && memcmp(e->name, name, length) == 0;
}

struct visor_entry *visor_find(struct visor_inode *dir, const char *name, size_t length)
{
    uint32_t hash = fnv1a_32(name, length);

    if (dir->dir.buckets) {
        struct visor_entry *e = dir->dir.buckets[hash & (dir->dir.bucket_count - 1)];

        while (e && !is_named(e, hash, name, length))
            e = e->chain;
        return e;
    }
    list_for_each (node, &dir->dir.entries) {
        struct visor_entry *e = list_entry(node, struct visor_entry, by_cookie);

        if (is_named(e, hash, name, length))
            return e;
    }
    return NULL;
}

static void chain_in(struct visor_inode *dir, struct visor_entry *e)
{
    struct visor_entry **bucket = &dir->dir.buckets[e->hash & (dir->dir.bucket_count - 1)];

    e->chain = *bucket;
    *bucket = e;
}

/*
 * Keeps the table at least as large as the entries. Without memory it stays smaller, only
 * slower.
 */
static void rehash(struct visor_inode *dir)
{
    uint32_t count = dir->dir.bucket_count ? dir->dir.bucket_count * 4 : 2 * BUCKETS_FROM;
    struct visor_entry **buckets;

    if (dir->dir.entry_count < BUCKETS_FROM || dir->dir.entry_count <= dir->dir.bucket_count)
        return;
    buckets = heap_alloc(count * sizeof(struct visor_entry *), MEM_OWNER_FS);
    if (!buckets)
        return;
    heap_free(dir->dir.buckets);
    dir->dir.buckets = buckets;
    dir->dir.bucket_count = count;
    list_for_each (node, &dir->dir.entries)
        chain_in(dir, list_entry(node, struct visor_entry, by_cookie));
}

/* Takes an entry off its directory and uncounts; it is still there. */
static void take_off(struct visor_inode *dir, struct visor_entry *entry)
{
    if (dir->dir.buckets) {
        struct visor_entry **at = &dir->dir.buckets[entry->hash & (dir->dir.bucket_count - 1)];

        while (*at != entry)
            at = &(*at)->chain;
        *at = entry->chain;
    }
    list_remove(&entry->by_cookie);
    dir->dir.entry_count--;
    entry->inode->link_count--;
    if (vnode_is_dir(&entry->inode->vnode))
        dir->link_count--;
    dir->mtime_ns = dir->ctime_ns = vfs_time_now();
}

/* The reverse. */
static void put_on(struct visor_inode *dir, struct visor_entry *entry)
{
    entry->cookie = dir->dir.next_cookie++;
    list_add_tail(&dir->dir.entries, &entry->by_cookie);
    dir->dir.entry_count++;
    if (dir->dir.buckets)
        chain_in(dir, entry);
    rehash(dir);
    entry->inode->link_count++;
    if (vnode_is_dir(&entry->inode->vnode)) {
        entry->inode->dir.parent = dir;
        dir->link_count++;
    }
    dir->mtime_ns = dir->ctime_ns = vfs_time_now();
}

vmk_status visor_enter(struct visor_inode *dir, const char *name, size_t length,
                       struct visor_inode *inode)
{
    struct visor_entry *e = heap_alloc(sizeof(*e) + length, MEM_OWNER_FS);

    vmk_assert(length >= 1 && length <= VFS_NAME_MAX);
    if (!e)
        return VMK_NO_MEMORY;
    memcpy(e->name, name, length);
    e->length = (uint8_t)length;
    e->hash = fnv1a_32(name, length);
    e->inode = inode;
    put_on(dir, e);
    inode->ctime_ns = dir->ctime_ns;
    return VMK_OK;
}

void visor_leave(struct visor_inode *dir, struct visor_entry *entry)
{
    take_off(dir, entry);
    entry->inode->ctime_ns = dir->ctime_ns;
    heap_free(entry);
}

void visor_move(struct visor_inode *from, struct visor_inode *to, struct visor_entry *entry)
{
    take_off(from, entry);
    put_on(to, entry);
}

void visor_dir_free(struct visor_inode *dir)
{
    vmk_assert(list_is_empty(&dir->dir.entries));
    heap_free(dir->dir.buckets);
}
