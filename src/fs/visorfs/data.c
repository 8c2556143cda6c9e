// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/visorfs/data.c -- the pages of files in memory, and who pays for them.
 *
 * A file is an array of slots, one word a page. The first 64 are one array that grows with the
 * file, because most files are small; the rest are pages of 512 slots, so a hole costs nothing.
 * The pages are the file: mmap hands out the very same ones.
 *
 * Pages that came with a tardisk belong to nobody's quota. The first write to one moves it to
 * the quota of the ram disk it is in: from then on it is the ram disk's, and that is all
 * "copy-up" has to mean here, since nothing else refers to the page. (Read: visorfs.h on why
 * layers merge.)
 *
 * Invariants
 *   - volume.pages_used = slots without SLOT_TARDISK + orphans without it, over all its files.
 *   - Bytes of the last page beyond the size are zero whenever the file grows over them.
 *   - A page is freed when it is in no slot and has no users.
 * Locking    vnode.lock (the caller's) for slots; data.lock for users and orphans; volume.lock
 *            for the quota, never inside data.lock (same rank).
 * Start at   visor_write(), visor_truncate(), visor_page_get().
 */
#include "core/assert.h"
#include "fs/visorfs/visorfs_internal.h"
#include "lib/string.h"

void visor_data_init(struct visor_data *data)
{
    *data = (struct visor_data){.near = NULL};
    spin_init(&data->lock, "file pages", LOCK_RANK_FILEPAGE);
}

/* ---- the quota ---- */

static bool charge(struct visorfs *volume)
{
    bool irqs = spin_lock(&volume->lock);
    bool fits = volume->pages_used < volume->pages_max;

    if (fits)
        volume->pages_used++;
    spin_unlock(&volume->lock, irqs);
    return fits;
}

static void uncharge(struct visorfs *volume, uint64_t slot)
{
    bool irqs = spin_lock(&volume->lock);

    if (slot & SLOT_TARDISK) {
        vmk_assert(volume->tardisk_pages > 0);
        volume->tardisk_pages--;
    } else {
        vmk_assert(volume->pages_used > 0);
        volume->pages_used--;
    }
    if (volume->pages_used < volume->pages_max - volume->pages_max / 10)
        volume->full_logged = false;
    spin_unlock(&volume->lock, irqs);
}

static void drop_page(struct visorfs *volume, uint64_t slot)
{
    page_free(slot_page(slot), 0, MEM_OWNER_FS);
    uncharge(volume, slot);
}

/* ---- slots ---- */

/* Where the slot of that page is; null: there is none yet, so it reads as a hole. */
static uint64_t *slot_of(const struct visor_data *data, uint64_t index)
{
    if (index < DATA_NEAR)
        return index < data->near_count ? &data->near[index] : NULL;
    index -= DATA_NEAR;
    if (index / DATA_NODE >= data->node_count || !data->nodes[index / DATA_NODE])
        return NULL;
    return &data->nodes[index / DATA_NODE][index % DATA_NODE];
}

/* Makes the near array hold `index`: 1, 4, 16, then 64 slots. */
static bool grow_near(struct visor_data *data, uint64_t index)
{
    uint32_t count = data->near_count ? data->near_count : 1;
    uint64_t *near;

    while (count <= index)
        count *= 4;
    near = heap_alloc(count * sizeof(*near), MEM_OWNER_FS);
    if (!near)
        return false;
    if (data->near_count)
        memcpy(near, data->near, data->near_count * sizeof(*near));

    uint64_t *old = data->near;
    bool irqs = spin_lock(&data->lock);  // page_put() may read it

    data->near = near;
    data->near_count = count;
    spin_unlock(&data->lock, irqs);
    heap_free(old);
    return true;
}

static bool grow_nodes(struct visor_data *data, uint64_t node)
{
    uint32_t count = data->node_count ? data->node_count : 2;
    uint64_t **nodes;

    while (count <= node)
        count *= 2;
    nodes = heap_alloc(count * sizeof(*nodes), MEM_OWNER_FS);
    if (!nodes)
        return false;
    if (data->node_count)
        memcpy(nodes, data->nodes, data->node_count * sizeof(*nodes));

    uint64_t **old = data->nodes;
    bool irqs = spin_lock(&data->lock);

    data->nodes = nodes;
    data->node_count = count;
    spin_unlock(&data->lock, irqs);
    heap_free(old);
    return true;
}

static uint64_t *slot_make_room(struct visor_data *data, uint64_t index)
{
    if (index < DATA_NEAR) {
        if (index >= data->near_count && !grow_near(data, index))
            return NULL;
        return &data->near[index];
    }

    uint64_t node = (index - DATA_NEAR) / DATA_NODE;
    mpn_t page;

    if (node >= data->node_count && !grow_nodes(data, node))
        return NULL;
    if (!data->nodes[node]) {
        if (page_alloc_zeroed(0, MEM_OWNER_FS, &page) != VMK_OK)
            return NULL;
        data->nodes[node] = mpn_map(page);
    }
    return &data->nodes[node][(index - DATA_NEAR) % DATA_NODE];
}

/* A tardisk's page becomes the ram disk's own. */
static vmk_status adopt(struct visor_inode *inode, uint64_t *slot)
{
    struct visorfs *volume = inode->volume;
    bool irqs;

    if (!charge(volume))
        return visor_refuse(volume, VMK_NO_SPACE, "changing a file of a tardisk");
    irqs = spin_lock(&volume->lock);
    volume->tardisk_pages--;
    spin_unlock(&volume->lock, irqs);
    irqs = spin_lock(&inode->data.lock);
    *slot &= ~SLOT_TARDISK;
    spin_unlock(&inode->data.lock, irqs);
    return VMK_OK;
}

/* The slot of a page that may be written: made, zeroed and charged, or adopted. */
static vmk_status writable(struct visor_inode *inode, uint64_t index, uint64_t **out)
{
    struct visorfs *volume = inode->volume;
    uint64_t *slot = slot_make_room(&inode->data, index);
    mpn_t page;

    if (!slot)
        return VMK_NO_MEMORY;
    *out = slot;
    if (*slot)
        return (*slot & SLOT_TARDISK) ? adopt(inode, slot) : VMK_OK;
    if (!charge(volume))
        return visor_refuse(volume, VMK_NO_SPACE, "writing");
    if (page_alloc_zeroed(0, MEM_OWNER_FS, &page) != VMK_OK) {
        uncharge(volume, 0);
        return VMK_NO_MEMORY;
    }

    bool irqs = spin_lock(&inode->data.lock);

    *slot = slot_make(page, 0);
    inode->data.pages++;
    spin_unlock(&inode->data.lock, irqs);
    return VMK_OK;
}

/* ---- reading and writing ---- */

vmk_status visor_read(struct vnode *vnode, struct vfs_iov *iov)
{
    struct visor_inode *inode = visor_of(vnode);

    while (iov->done < iov->size && iov->offset + iov->done < inode->size) {
        uint64_t at = iov->offset + iov->done;
        uint64_t in_page = at & (PAGE_SIZE - 1);
        size_t chunk = (size_t)MIN(MIN(PAGE_SIZE - in_page, (uint64_t)(iov->size - iov->done)),
                                   inode->size - at);
        const uint64_t *slot = slot_of(&inode->data, at >> PAGE_SHIFT);
        char *to = (char *)iov->to + iov->done;

        if (slot && *slot)
            memcpy(to, (char *)mpn_map(slot_page(*slot)) + in_page, chunk);
        else
            memset(to, 0, chunk);
        iov->done += chunk;
    }
    if (iov->done && !(vnode->mount->flags & (VFS_MOUNT_NOATIME | VFS_MOUNT_RDONLY)))
        inode->atime_ns = vfs_time_now();
    return VMK_OK;
}

/*
 * Zeroes what lies behind the end of file in its last page: a mapping may have written there.
 */
static void clear_tail(struct visor_inode *inode)
{
    uint64_t in_page = inode->size & (PAGE_SIZE - 1);
    const uint64_t *slot = slot_of(&inode->data, inode->size >> PAGE_SHIFT);

    if (in_page && slot && *slot)
        memset((char *)mpn_map(slot_page(*slot)) + in_page, 0, (size_t)(PAGE_SIZE - in_page));
}

static void changed(struct visor_inode *inode)
{
    inode->mtime_ns = inode->ctime_ns = vfs_time_now();
    inode->layer = NULL;
}

vmk_status visor_write(struct vnode *vnode, struct vfs_iov *iov)
{
    struct visor_inode *inode = visor_of(vnode);
    vmk_status status = VMK_OK;

    if (iov->offset > DATA_SIZE_MAX || iov->size > DATA_SIZE_MAX - iov->offset)
        return VMK_TOO_BIG;
    if (iov->offset > inode->size)
        clear_tail(inode);
    while (iov->done < iov->size) {
        uint64_t at = iov->offset + iov->done;
        uint64_t in_page = at & (PAGE_SIZE - 1);
        size_t chunk = (size_t)MIN(PAGE_SIZE - in_page, (uint64_t)(iov->size - iov->done));
        uint64_t *slot;

        status = writable(inode, at >> PAGE_SHIFT, &slot);
        if (status != VMK_OK)
            break;
        memcpy((char *)mpn_map(slot_page(*slot)) + in_page, (const char *)iov->from + iov->done,
               chunk);
        iov->done += chunk;
    }
    if (iov->done) {
        if (iov->offset + iov->done > inode->size) {
            inode->size = iov->offset + iov->done;
            clear_tail(inode);
        }
        changed(inode);
    }
    return status;
}

/*
 * Cuts one page off. One in use becomes an orphan, whose memory must be had first; without it
 * the page stays in place and is zeroed, which nobody can tell apart.
 */
static void cut(struct visor_inode *inode, uint64_t *slot)
{
    struct orphan *orphan = NULL;
    uint64_t cut_off;
    bool irqs;

    if (!*slot)
        return;
    if (slot_users(*slot))
        orphan = heap_alloc(sizeof(*orphan), MEM_OWNER_FS);
    irqs = spin_lock(&inode->data.lock);
    cut_off = *slot;
    if (slot_users(cut_off) && !orphan) {
        memset(mpn_map(slot_page(cut_off)), 0, PAGE_SIZE);
        spin_unlock(&inode->data.lock, irqs);
        return;
    }
    *slot = 0;
    inode->data.pages--;
    if (slot_users(cut_off)) {
        *orphan = (struct orphan){.next = inode->data.orphans, .slot = cut_off};
        inode->data.orphans = orphan;
        orphan = NULL;
        cut_off = 0;
    }
    spin_unlock(&inode->data.lock, irqs);
    heap_free(orphan);
    if (cut_off)
        drop_page(inode->volume, cut_off);
}

static void cut_from(struct visor_inode *inode, uint64_t first)
{
    struct visor_data *data = &inode->data;

    for (uint64_t i = first; i < data->near_count; i++)
        cut(inode, &data->near[i]);
    for (uint64_t n = 0; n < data->node_count; n++) {
        uint64_t base = DATA_NEAR + n * DATA_NODE;
        uint64_t *node = data->nodes[n];
        bool empty = true;

        if (!node || base + DATA_NODE <= first)
            continue;
        for (uint64_t i = first > base ? first - base : 0; i < DATA_NODE; i++)
            cut(inode, &node[i]);
        for (uint64_t i = 0; i < DATA_NODE && empty; i++)
            empty = node[i] == 0;
        if (empty) {
            bool irqs = spin_lock(&data->lock);

            data->nodes[n] = NULL;
            spin_unlock(&data->lock, irqs);
            page_free(paddr_to_mpn(plat_unmap_address(node)), 0, MEM_OWNER_FS);
        }
    }
}

vmk_status visor_truncate(struct vnode *vnode, uint64_t size)
{
    struct visor_inode *inode = visor_of(vnode);
    uint64_t *slot;
    vmk_status status;

    if (size > DATA_SIZE_MAX)
        return VMK_TOO_BIG;
    if (size < inode->size) {
        /* The last page keeps its head; what is cut of it must read as zeros later. */
        slot = (size & (PAGE_SIZE - 1)) ? slot_of(&inode->data, size >> PAGE_SHIFT) : NULL;
        if (slot && (*slot & SLOT_TARDISK)) {
            status = adopt(inode, slot);
            if (status != VMK_OK)
                return status;
        }
        cut_from(inode, (size + PAGE_SIZE - 1) >> PAGE_SHIFT);
        inode->size = size;
        clear_tail(inode);
    } else if (size > inode->size) {
        clear_tail(inode);
        inode->size = size;
    }
    changed(inode);
    return VMK_OK;
}

vmk_status visor_append_tardisk(struct visor_inode *inode, const void *bytes, size_t size)
{
    struct visorfs *volume = inode->volume;
    size_t done = 0;

    while (done < size) {
        uint64_t in_page = inode->size & (PAGE_SIZE - 1);
        size_t chunk = MIN((size_t)(PAGE_SIZE - in_page), size - done);
        uint64_t *slot = slot_make_room(&inode->data, inode->size >> PAGE_SHIFT);
        mpn_t page;

        if (!slot)
            return VMK_NO_MEMORY;
        if (!*slot) {
            bool irqs;

            if (page_alloc_zeroed(0, MEM_OWNER_FS, &page) != VMK_OK)
                return VMK_NO_MEMORY;
            *slot = slot_make(page, SLOT_TARDISK);
            inode->data.pages++;
            irqs = spin_lock(&volume->lock);
            volume->tardisk_pages++;
            spin_unlock(&volume->lock, irqs);
        }
        memcpy((char *)mpn_map(slot_page(*slot)) + in_page, (const char *)bytes + done, chunk);
        inode->size += chunk;
        done += chunk;
    }
    return VMK_OK;
}

/* ---- mapped pages ---- */

vmk_status visor_page_get(struct vnode *vnode, uint64_t index, bool for_write, mpn_t *out)
{
    struct visor_inode *inode = visor_of(vnode);
    uint64_t *slot;
    vmk_status status = VMK_OK;
    bool irqs;

    if (index >= (inode->size + PAGE_SIZE - 1) >> PAGE_SHIFT)
        return VMK_BAD_PARAM;
    slot = slot_of(&inode->data, index);
    if (!slot || !*slot || for_write) {
        /* A hole that is only read gets its page too: somebody may map and write it later. */
        status = writable(inode, index, &slot);
        if (status != VMK_OK)
            return status;
    }
    if (index == inode->size >> PAGE_SHIFT)
        clear_tail(inode);
    irqs = spin_lock(&inode->data.lock);
    if (slot_users(*slot) == SLOT_USERS_MAX) {
        status = VMK_LIMIT;
    } else {
        *slot += SLOT_USER;
        *out = slot_page(*slot);
    }
    spin_unlock(&inode->data.lock, irqs);
    if (status == VMK_OK && for_write)
        changed(inode);
    return status;
}

/* Lock held. Where the word of that page in use is. */
static uint64_t *used_slot(struct visor_data *data, uint64_t index, mpn_t page)
{
    uint64_t *slot = slot_of(data, index);

    if (slot && slot_page(*slot).raw == page.raw)
        return slot;
    for (struct orphan *o = data->orphans; o; o = o->next) {
        if (slot_page(o->slot).raw == page.raw)
            return &o->slot;
    }
    vmk_panic("page %llx of a file is nowhere", (unsigned long long)page.raw);
}

void visor_page_ref(struct vnode *vnode, uint64_t index, mpn_t page)
{
    struct visor_data *data = &visor_of(vnode)->data;
    bool irqs = spin_lock(&data->lock);
    uint64_t *slot = used_slot(data, index, page);

    vmk_assert(slot_users(*slot) && slot_users(*slot) < SLOT_USERS_MAX);
    *slot += SLOT_USER;
    spin_unlock(&data->lock, irqs);
}

void visor_page_put(struct vnode *vnode, uint64_t index, mpn_t page)
{
    struct visor_inode *inode = visor_of(vnode);
    struct visor_data *data = &inode->data;
    struct orphan *gone = NULL;
    bool irqs = spin_lock(&data->lock);
    uint64_t *slot = used_slot(data, index, page);

    vmk_assert(slot_users(*slot));
    *slot -= SLOT_USER;
    if (!slot_users(*slot) && slot != slot_of(data, index)) {
        struct orphan **at = &data->orphans;

        while (&(*at)->slot != slot)
            at = &(*at)->next;
        gone = *at;
        *at = gone->next;
    }
    spin_unlock(&data->lock, irqs);
    if (gone) {
        drop_page(inode->volume, gone->slot);
        heap_free(gone);
    }
}

void visor_data_free(struct visor_inode *inode)
{
    struct visor_data *data = &inode->data;

    cut_from(inode, 0);
    vmk_assert_msg(!data->pages && !data->orphans, "a file went while it was mapped");
    heap_free(data->near);
    heap_free(data->nodes);
    *data = (struct visor_data){.near = NULL};
}
