// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/swap_store.c -- slots on a file (through the VFS) or on a part of a block device.
 *
 * Neighbouring slots are given to pages that go together, so that a cluster is one write. Where
 * the file system can set space aside (VMFS), the file has all its blocks when it is opened.
 * Elsewhere opening checks that there is room now, and a file system that fills up later ends
 * reclamation (NO_SPACE), not the guest.
 *
 * Invariants, locking: vmm/swap_store.h.
 */
#include "vmm/swap_store.h"

#include "core/assert.h"
#include "core/heap.h"
#include "core/log.h"
#include "fs/vfs.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/share.h"

#define SWAP_FILE_MODE 0600u

static uint32_t sum_of(const void *page)
{
    uint64_t hash = page_hash(page);

    return (uint32_t)(hash ^ hash >> 32);
}

static vmk_status slots_make(struct swap_store *s, uint64_t slots, uint64_t room)
{
    if (slots == 0 || room < slots || room > UINT32_MAX - 64)
        return VMK_LIMIT;
    s->used = heap_alloc((room + 63) / 64 * sizeof(uint64_t), MEM_OWNER_VMM);
    s->sums = heap_alloc(room * sizeof(uint32_t), MEM_OWNER_VMM);
    s->slots = (uint32_t)slots;
    s->room = (uint32_t)room;
    return s->used && s->sums ? VMK_OK : VMK_NO_MEMORY;
}

static vmk_status room_check(struct file *file, uint64_t size, uint64_t *available)
{
    struct vfs_statfs fs;
    vmk_status status = vnode_statfs(file->vnode, &fs);

    if (status != VMK_OK)
        return status;
    *available = fs.blocks_available * fs.block_size;
    return *available < size ? VMK_NO_SPACE : VMK_OK;
}

/* The file has blocks for its first `slots`, where its file system can set them aside. */
static vmk_status file_fit(struct swap_store *s, uint64_t slots)
{
    const vmk_status status = file_allocate(s->file, slots * PAGE_SIZE);

    return status == VMK_UNSUPPORTED ? file_truncate(s->file, slots * PAGE_SIZE) : status;
}

vmk_status swap_store_grow(struct swap_store *s, uint64_t slots, uint64_t *available)
{
    vmk_status status = VMK_OK;

    *available = 0;
    if (slots <= s->slots)
        return VMK_OK;
    if (slots > s->room)
        return VMK_LIMIT;
    if (s->file)
        status = room_check(s->file, (slots - s->slots) * PAGE_SIZE, available);
    return status == VMK_OK && s->file ? file_fit(s, slots) : status;
}

vmk_status swap_store_open_file(struct swap_store *s, const char *path, uint64_t slots,
                                uint64_t room, uint64_t *available)
{
    const struct vfs_where where = vfs_where_kernel();
    size_t length = strlen(path) + 1;
    vmk_status status;

    *s = (struct swap_store){0};
    *available = 0;
    vmk_snprintf(s->name, sizeof(s->name), "%s", path);
    status = vfs_open(&where, path, VFS_O_RDWR | VFS_O_CREAT | VFS_O_TRUNC | VFS_O_NOFOLLOW,
                      SWAP_FILE_MODE, &s->file);
    if (status != VMK_OK) {
        s->file = NULL;
        return status;
    }
    s->path = heap_alloc(length, MEM_OWNER_VMM);
    if (s->path)
        memcpy(s->path, path, length);
    status = slots_make(s, slots, room);
    if (status == VMK_OK)
        status = room_check(s->file, slots * PAGE_SIZE, available);
    if (status == VMK_OK)
        status = file_fit(s, slots);
    if (status != VMK_OK)
        swap_store_close(s);
    return status;
}

vmk_status swap_store_open_block(struct swap_store *s, struct block_device *block,
                                 uint64_t base, uint64_t slots, uint64_t room)
{
    vmk_status status;

    *s = (struct swap_store){.base = base};
    if (base > block->size || slots > (block->size - base) / PAGE_SIZE)
        return VMK_NO_SPACE;
    if (block->block_size > PAGE_SIZE || block->read_only)
        return VMK_UNSUPPORTED;
    vmk_snprintf(s->name, sizeof(s->name), "%s", block->name);
    status = slots_make(s, slots, room);
    s->block = block;
    if (status != VMK_OK)
        swap_store_close(s);
    return status;
}

void swap_store_close(struct swap_store *s)
{
    file_put(s->file);
    if (s->path) {
        const struct vfs_where where = vfs_where_kernel();

        if (vfs_unlink(&where, s->path) != VMK_OK)
            vmk_log(VMK_LOG_WARN, "Mem: %s cannot be removed; remove it by hand", s->path);
    }
    heap_free(s->path);
    heap_free(s->used);
    heap_free(s->sums);
    s->file = NULL;
    s->block = NULL;
    s->path = NULL;
    s->used = NULL;
    s->sums = NULL;
    s->slots = s->room = 0;
}

/* ---- slots ---- */

static bool is_used(const struct swap_store *s, uint32_t slot)
{
    return s->used[slot / 64] >> slot % 64 & 1;
}

uint32_t swap_slot_take(struct swap_store *s, uint32_t want, uint32_t *first)
{
    uint32_t at = s->cursor, count = 0;

    if (s->used_count == s->slots)
        return 0;
    while (is_used(s, at))
        at = at + 1 < s->slots ? at + 1 : 0;
    *first = at;
    while (count < want && at < s->slots && !is_used(s, at)) {
        s->used[at / 64] |= 1ull << at % 64;
        count++;
        at++;
    }
    s->used_count += count;
    s->cursor = at < s->slots ? at : 0;
    return count;
}

void swap_slot_free(struct swap_store *s, uint32_t slot)
{
    vmk_assert(slot < s->slots && is_used(s, slot));
    s->used[slot / 64] &= ~(1ull << slot % 64);
    s->used_count--;
}

void swap_slot_bad(struct swap_store *s, uint32_t slot)
{
    vmk_assert(slot < s->slots && is_used(s, slot));
    s->bad_count++;
}

/* ---- transfers ---- */

static vmk_status whole(vmk_status status, size_t done, size_t size)
{
    return status == VMK_OK && done != size ? VMK_IO_ERROR : status;
}

vmk_status swap_store_write(struct swap_store *s, uint32_t first, uint32_t count,
                            const void *pages)
{
    uint64_t at = s->base + (uint64_t)first * PAGE_SIZE;
    size_t size = count * PAGE_SIZE, done = 0;
    vmk_status status;

    vmk_assert(count >= 1 && count <= SWAP_RUN_MAX && first + count <= s->slots);
    for (uint32_t i = 0; i < count; i++)
        s->sums[first + i] = sum_of((const uint8_t *)pages + i * PAGE_SIZE);
    if (s->file) {
        status = file_pwrite(s->file, pages, size, at, &done);
        status = whole(status, done, size);
    } else {
        status = block_write(s->block, at, pages, size);
    }
    s->writes += count;
    if (status != VMK_OK)
        s->errors++;
    return status;
}

vmk_status swap_store_read(struct swap_store *s, uint32_t slot, void *page)
{
    uint64_t at = s->base + (uint64_t)slot * PAGE_SIZE;
    size_t done = 0;
    vmk_status status;

    vmk_assert(slot < s->slots);
    if (s->file) {
        status = file_pread(s->file, page, PAGE_SIZE, at, &done);
        status = whole(status, done, PAGE_SIZE);
    } else {
        status = block_read(s->block, at, page, PAGE_SIZE);
    }
    s->reads++;
    if (status != VMK_OK) {
        s->errors++;
    } else if (sum_of(page) != s->sums[slot]) {
        s->rotten++;
        status = VMK_CORRUPT;
    }
    return status;
}
