// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_file.c -- contents and attributes of files.
 *
 * Data goes straight to its block, before the metadata that makes it part of the file: the
 * commit flushes both in that order. A new block is only written where the file has bytes; what
 * lies behind the end is zeroed when the end moves over it, so no reader sees what an earlier
 * owner of the block left there.
 *
 * Invariants
 *   - Bytes of allocated blocks below the length are the file's; above it they are nobody's.
 *   - A file without names is destroyed at its last close, or at the next mount's check.
 * Locking    vmfs_volume.mutex; the descriptor's on-disk lock for writes.
 * Start at   vmfs_write().
 */
#include "core/assert.h"
#include "core/heap.h"
#include "core/log.h"
#include "fs/vmfs/vmfs_internal.h"
#include "lib/string.h"

#define CUT_BUDGET  400u  // blocks freed per operation
#define MAKE_BUDGET 400u  // blocks given per operation
#define ZERO_SIZE   65536u

/* ---- open files ---- */

struct open_file *open_find(const struct vmfs_volume *v, uint32_t address)
{
    list_for_each (node, &v->open_files) {
        struct open_file *open = list_entry(node, struct open_file, link);

        if (open->id.address == address)
            return open;
    }
    return NULL;
}

static vmk_status open_one(struct vmfs_volume *v, vmfs_id file, bool exclusive)
{
    struct open_file *open = open_find(v, file.address);
    struct fd fd;
    vmk_status status = fd_get(v, file, exclusive, &fd);

    if (status != VMK_OK)
        return status;
    if (!open) {
        open = vmfs_alloc(sizeof(*open));
        if (!open)
            return VMK_NO_MEMORY;
        open->id = (vmfs_id){file.address, fd_u32(&fd, FD_GENERATION)};
        list_add_tail(&v->open_files, &open->link);
    }
    open->opens++;
    if (exclusive) {
        struct held_lock *lock = lock_find(v, fd.position);

        open->exclusive++;
        if (lock)
            lock->pins++;
    }
    return VMK_OK;
}

vmk_status vmfs_open(struct vmfs_volume *v, vmfs_id file, bool exclusive)
{
    vmk_status status = volume_enter(v, exclusive);

    if (status == VMK_OK)
        status = op_begin(v);
    if (status == VMK_OK)
        status = op_end(v, open_one(v, file, exclusive));
    return volume_leave(v, status);
}

void vmfs_close(struct vmfs_volume *v, vmfs_id file, bool exclusive)
{
    vmk_status entered = volume_enter(v, false);
    struct open_file *open = open_find(v, file.address);
    uint32_t links = 1;
    struct fd fd;

    vmk_assert(open && open->opens);
    if (exclusive) {
        struct held_lock *lock = lock_find(v, resource_position(v, file.address));

        vmk_assert(open->exclusive);
        open->exclusive--;
        if (lock && lock->pins)
            lock->pins--;
    }
    if (open->opens == 1 && open->nameless) {
        struct held_lock *lock = lock_find(v, resource_position(v, file.address));

        if (lock && lock->pins)
            lock->pins--;
    }
    if (--open->opens) {
        (void)volume_leave(v, entered);
        return;
    }
    if (entered == VMK_OK && fd_get(v, file, false, &fd) == VMK_OK)
        links = fd_u32(&fd, FD_LINKS);
    list_remove(&open->link);
    heap_free(open);
    if (entered == VMK_OK && !links && !v->how.read_only) {
        /* fd_get() refuses a nameless file that is not open. */
        struct open_file dying = {.id = file, .opens = 1};
        vmk_status status;

        list_add_tail(&v->open_files, &dying.link);
        status = file_destroy(v, file);
        list_remove(&dying.link);
        if (status != VMK_OK)
            vmk_log(VMK_LOG_WARN, "VMFS: descriptor 0x%08x not freed at its last close: %s",
                    file.address, vmk_status_text(status));
    }
    (void)volume_leave(v, entered);
}

vmk_status file_nameless(struct vmfs_volume *v, vmfs_id id)
{
    struct open_file *open = open_find(v, id.address);
    struct held_lock *lock = lock_find(v, resource_position(v, id.address));

    if (!open)
        return file_destroy(v, id);
    open->nameless = true;
    if (lock)
        lock->pins++;
    return VMK_OK;
}

static vmk_status destroy_step(struct vmfs_volume *v, vmfs_id id, bool *more)
{
    struct fd fd;
    struct open_file dying = {.id = id, .opens = 1};
    uint64_t left = 0;
    vmk_status status;

    list_add_tail(&v->open_files, &dying.link);
    status = fd_get(v, id, true, &fd);
    list_remove(&dying.link);
    if (status == VMK_OK)
        status = map_cut(&fd, 0, CUT_BUDGET, &left);
    *more = left > 0;
    if (status == VMK_OK && !*more)
        status = fd_free(&fd);
    return status;
}

vmk_status file_destroy(struct vmfs_volume *v, vmfs_id id)
{
    bool more = true;
    vmk_status status = VMK_OK;

    while (more && status == VMK_OK) {
        status = op_begin(v);
        if (status == VMK_OK)
            status = op_end(v, destroy_step(v, id, &more));
    }
    return status;
}

/* ---- attributes ---- */

vmk_status vmfs_attributes(struct vmfs_volume *v, vmfs_id file, struct vmfs_attributes *out)
{
    struct fd fd;
    vmk_status status = volume_enter(v, false);

    if (status == VMK_OK)
        status = fd_get(v, file, false, &fd);
    if (status == VMK_OK) {
        out->id = (vmfs_id){fd.address, fd_u32(&fd, FD_GENERATION)};
        out->type = (enum vmfs_type)fd_u32(&fd, FD_TYPE);
        out->links = fd_u32(&fd, FD_LINKS);
        out->mode = fd_u32(&fd, FD_MODE) & 07777;
        out->uid = fd_u32(&fd, FD_UID);
        out->gid = fd_u32(&fd, FD_GID);
        out->length = fd_length(&fd);
        out->blocks = le64(fd.meta->data + FD_BLOCKS);
        out->block_size = le64(fd.meta->data + FD_BLOCK_SIZE);
        out->tbz_blocks = fd_u32(&fd, FD_TBZ_COUNT);
        out->mtime = fd_u32(&fd, FD_MTIME);
        out->ctime = fd_u32(&fd, FD_CTIME);
        out->atime = fd_u32(&fd, FD_ATIME);
        out->zla = fd_u32(&fd, FD_ZLA);
        if (out->type == VMFS_SYSTEM && fd_u32(&fd, FD_MODE) & 040000)
            out->type = VMFS_DIRECTORY;
    }
    return volume_leave(v, status);
}

static vmk_status attributes_set(struct vmfs_volume *v, vmfs_id file, unsigned what,
                                 const struct vmfs_attributes *from)
{
    struct fd fd;
    vmk_status status = fd_get(v, file, true, &fd);

    if (status == VMK_OK && fd_u32(&fd, FD_TYPE) == FD_TYPE_SYSTEM)
        status = VMK_NO_PERMISSION;
    if (status == VMK_OK && what & VMFS_SET_MODE)
        status = fd_put32(&fd, FD_MODE, from->mode & 07777);
    if (status == VMK_OK && what & VMFS_SET_OWNER)
        status = fd_put32(&fd, FD_UID, from->uid);
    if (status == VMK_OK && what & VMFS_SET_OWNER)
        status = fd_put32(&fd, FD_GID, from->gid);
    if (status == VMK_OK && what & VMFS_SET_MTIME)
        status = fd_put32(&fd, FD_MTIME, from->mtime);
    if (status == VMK_OK && what & VMFS_SET_ATIME)
        status = fd_put32(&fd, FD_ATIME, from->atime);
    return status == VMK_OK ? fd_put32(&fd, FD_CTIME, volume_seconds(v)) : status;
}

vmk_status vmfs_attributes_set(struct vmfs_volume *v, vmfs_id file, unsigned what,
                               const struct vmfs_attributes *from)
{
    vmk_status status = volume_enter(v, true);

    if (status == VMK_OK)
        status = op_begin(v);
    if (status == VMK_OK)
        status = op_end(v, attributes_set(v, file, what, from));
    return volume_leave(v, status);
}

/* ---- reading ---- */

static uint64_t block_mask(const struct fd *fd)
{
    return (1ull << fd_shift(fd)) - 1;
}

/* Any bytes of the volume, through a bounce where sectors are cut. */
static vmk_status raw_move(struct vmfs_volume *v, uint64_t at, void *to, const void *from,
                           size_t size)
{
    uint8_t sector[VMFS_SECTOR];

    while (size) {
        size_t in = at % VMFS_SECTOR;
        size_t part;
        vmk_status status;

        if (!in && size >= VMFS_SECTOR) {
            part = size - size % VMFS_SECTOR;
            status = to ? lv_read(v, at, to, part) : lv_write(v, at, from, part);
        } else {
            part = MIN(size, VMFS_SECTOR - in);
            status = lv_read(v, at - in, sector, VMFS_SECTOR);
            if (status == VMK_OK && to)
                memcpy(to, sector + in, part);
            if (status == VMK_OK && from) {
                memcpy(sector + in, from, part);
                status = lv_write(v, at - in, sector, VMFS_SECTOR);
            }
        }
        if (status != VMK_OK)
            return status;
        at += part;
        to = to ? (char *)to + part : NULL;
        from = from ? (const char *)from + part : NULL;
        size -= part;
    }
    return VMK_OK;
}

static bool is_tbz(uint32_t address)
{
    return addr_type(address) == ADDR_FB && address & ADDR_TBZ;
}

static vmk_status read_some(struct vmfs_volume *v, vmfs_id file, uint64_t offset, void *to,
                            size_t size, size_t *got)
{
    char *out = to;
    struct fd fd;
    vmk_status status = fd_get(v, file, false, &fd);

    if (status != VMK_OK)
        return status;
    if (offset >= fd_length(&fd))
        return VMK_OK;
    size = (size_t)MIN(size, fd_length(&fd) - offset);

    uint32_t type = fd_u32(&fd, FD_TYPE);

    if (type == FD_TYPE_RDM)
        return VMK_UNSUPPORTED;
    if (type == FD_TYPE_DIR || type == FD_TYPE_LINK || fd_u32(&fd, FD_ZLA) == ZLA_RESIDENT) {
        status = content_get(&fd, offset, to, size);
        *got = status == VMK_OK ? size : 0;
        return status;
    }
    while (size) {
        uint64_t mask = block_mask(&fd);
        size_t part = (size_t)MIN(size, mask + 1 - (offset & mask));
        uint32_t address;

        status = map_get(&fd, offset, &address);
        if (status != VMK_OK)
            return status;
        if (!address || is_tbz(address)) {
            memset(out, 0, part);
        } else {
            uint64_t at = resource_span(v, address, offset & mask, &part);

            status = at ? raw_move(v, at, out, NULL, part) : VMK_CORRUPT;
        }
        if (status != VMK_OK)
            return status;
        out += part;
        offset += part;
        size -= part;
        *got += part;
    }
    return VMK_OK;
}

vmk_status vmfs_read(struct vmfs_volume *v, vmfs_id file, uint64_t offset, void *to,
                     size_t size, size_t *got)
{
    vmk_status status = volume_enter(v, false);

    *got = 0;
    if (status == VMK_OK)
        status = read_some(v, file, offset, to, size, got);
    return volume_leave(v, status);
}

/* ---- writing ---- */

vmk_status zero_range(struct vmfs_volume *v, uint64_t at, uint64_t size)
{
    uint8_t *zero = vmfs_alloc(ZERO_SIZE);
    vmk_status status = zero ? VMK_OK : VMK_NO_MEMORY;

    while (size && status == VMK_OK) {
        size_t part = (size_t)MIN(size, ZERO_SIZE - at % VMFS_SECTOR);

        status = raw_move(v, at, NULL, zero, part);
        at += part;
        size -= part;
    }
    heap_free(zero);
    return status;
}

/* Zeroes [from, to) of the file where blocks are. */
static vmk_status zero_file(struct fd *fd, uint64_t from, uint64_t to)
{
    while (from < to) {
        uint64_t mask = block_mask(fd);
        uint64_t end = MIN(to, (from | mask) + 1);
        uint32_t address;
        vmk_status status = map_get(fd, from, &address);

        if (status == VMK_OK && address && !is_tbz(address))
            status = zero_range(fd->v, resource_position(fd->v, address) + (from & mask),
                                end - from);
        if (status != VMK_OK)
            return status;
        from = end;
    }
    return VMK_OK;
}

/*
 * The end moves up over what may hold an earlier owner's bytes: at most one block has any. The
 * sector of the new end is zeroed whole, so that a power cut shows each sector as it was at one
 * time.
 */
static vmk_status zero_gap(struct fd *fd, uint64_t from, uint64_t to)
{
    uint64_t mask = block_mask(fd);

    if (fd_u32(fd, FD_ZLA) == ZLA_RESIDENT || !(from & mask))
        return VMK_OK;
    return zero_file(fd, from, MIN(round_up(to, VMFS_SECTOR), (from | mask) + 1));
}

/* The block at `offset` was promised to read as zeros: from now on it holds its own bytes. */
static vmk_status tbz_clear(struct fd *fd, uint64_t offset, uint32_t *address)
{
    vmk_status status;

    *address &= ~ADDR_TBZ;
    status = map_put(fd, offset, *address);
    return status == VMK_OK ? fd_put32(fd, FD_TBZ_COUNT, fd_u32(fd, FD_TBZ_COUNT) - 1) : status;
}

/* One block's part of a write; the map reaches it. */
static vmk_status write_part(struct fd *fd, uint64_t offset, const char *from, size_t part)
{
    struct vmfs_volume *v = fd->v;
    uint64_t mask = block_mask(fd);
    uint64_t start = offset & ~mask;
    uint64_t length = fd_length(fd);
    uint32_t address;
    bool fresh;
    vmk_status status = map_make(fd, offset, false, &address, &fresh);

    if (status != VMK_OK)
        return status;

    uint64_t at = resource_position(v, address);

    if (is_tbz(address)) {
        fresh = true;
        status = tbz_clear(fd, offset, &address);
    }
    if (fresh && status == VMK_OK) {
        /* A hole inside the file read as zeros: what this write leaves of it still must. */
        if (offset > start)
            status = zero_range(v, at, offset - start);
        uint64_t end = MIN(length, start + mask + 1);

        if (status == VMK_OK && offset + part < end)
            status = zero_range(v, at + (offset + part - start), end - (offset + part));
    }
    return status == VMK_OK ? raw_move(v, at + (offset - start), NULL, from, part) : status;
}

static vmk_status write_step(struct vmfs_volume *v, vmfs_id file, uint64_t offset,
                             const char *from, size_t size, size_t *done)
{
    unsigned blocks = 0;
    struct fd fd;
    vmk_status status = fd_get(v, file, true, &fd);

    *done = 0;
    if (status != VMK_OK)
        return status;
    if (fd_u32(&fd, FD_TYPE) != FD_TYPE_FILE)
        return fd_u32(&fd, FD_TYPE) == FD_TYPE_DIR ? VMK_IS_DIR : VMK_NO_PERMISSION;
    if (offset > VMFS_FILE_MAX || size > VMFS_FILE_MAX - offset)
        return VMK_TOO_BIG;
    status = map_fit(&fd, offset + size);
    if (status == VMK_OK && offset > fd_length(&fd))
        status = zero_gap(&fd, fd_length(&fd), offset);
    while (size && status == VMK_OK && blocks++ < MAKE_BUDGET) {
        size_t part = (size_t)MIN(size, block_mask(&fd) + 1 - (offset & block_mask(&fd)));

        if (fd_u32(&fd, FD_ZLA) == ZLA_RESIDENT) {
            part = size;
            status = content_put(&fd, offset, from, size);
        } else {
            status = write_part(&fd, offset, from, part);
        }
        if (status != VMK_OK)
            break;
        offset += part;
        from += part;
        size -= part;
        *done += part;
        if (offset > fd_length(&fd))
            status = fd_put64(&fd, FD_LENGTH, offset);
    }
    /* What fitted before the disk was full stays. */
    if (status == VMK_NO_SPACE && *done)
        status = VMK_OK;
    return status == VMK_OK ? fd_touch(&fd) : status;
}

vmk_status vmfs_write(struct vmfs_volume *v, vmfs_id file, uint64_t offset, const void *from,
                      size_t size)
{
    size_t done;

    return vmfs_write_some(v, file, offset, from, size, &done);
}

vmk_status vmfs_write_some(struct vmfs_volume *v, vmfs_id file, uint64_t offset,
                           const void *from, size_t size, size_t *all)
{
    const char *in = from;
    vmk_status status = volume_enter(v, true);

    *all = 0;

    while (size && status == VMK_OK) {
        size_t done = 0;

        status = op_begin(v);
        if (status == VMK_OK)
            status = op_end(v, write_step(v, file, offset, in, size, &done));
        if (status == VMK_NO_SPACE && v->freed_count) {
            /* What this transaction freed is free only after it. */
            status = volume_settle(v);
            if (status == VMK_OK)
                continue;
        }
        if (status != VMK_OK)
            break;
        in += done;
        offset += done;
        size -= done;
        *all += done;
    }
    return volume_leave(v, status);
}

/*
 * One operation's worth; *more: again. Blocks go from the end and the length goes with them, so
 * that after a power cut in between no old bytes lie behind the end.
 */
static vmk_status truncate_step(struct vmfs_volume *v, vmfs_id file, uint64_t length,
                                bool *more)
{
    struct fd fd;
    vmk_status status = fd_get(v, file, true, &fd);

    uint64_t left = length;

    *more = false;
    if (status != VMK_OK)
        return status;
    if (fd_u32(&fd, FD_TYPE) != FD_TYPE_FILE)
        return fd_u32(&fd, FD_TYPE) == FD_TYPE_DIR ? VMK_IS_DIR : VMK_NO_PERMISSION;
    if (length > VMFS_FILE_MAX)
        return VMK_TOO_BIG;
    if (length > fd_length(&fd)) {
        status = map_fit(&fd, length);
        if (status == VMK_OK)
            status = zero_gap(&fd, fd_length(&fd), length);
    } else if (length < fd_length(&fd)) {
        status = map_cut(&fd, length, CUT_BUDGET, &left);
        *more = left > length;
        left = MIN(left, fd_length(&fd));
    }
    if (status == VMK_OK)
        status = fd_put64(&fd, FD_LENGTH, left);
    return status == VMK_OK ? fd_touch(&fd) : status;
}

vmk_status vmfs_truncate(struct vmfs_volume *v, vmfs_id file, uint64_t length)
{
    bool more = true;
    vmk_status status = volume_enter(v, true);

    while (more && status == VMK_OK) {
        status = op_begin(v);
        if (status == VMK_OK)
            status = op_end(v, truncate_step(v, file, length, &more));
    }
    return volume_leave(v, status);
}

/*
 * The block at `offset` gets its storage: to be zeroed by whoever touches it first, or zeros
 * now.
 */
static vmk_status allocate_block(struct fd *fd, uint64_t offset, enum vmfs_provision how)
{
    uint32_t address;
    bool fresh;
    vmk_status status = map_make(fd, offset, how == VMFS_ZEROED_THICK, &address, &fresh);

    if (status != VMK_OK || how != VMFS_EAGER_ZEROED)
        return status;
    if (is_tbz(address)) {
        fresh = true;
        status = tbz_clear(fd, offset, &address);
    }
    return status == VMK_OK && fresh
               ? zero_range(fd->v, resource_position(fd->v, address), block_mask(fd) + 1)
               : status;
}

static vmk_status allocate_step(struct vmfs_volume *v, vmfs_id file, uint64_t *offset,
                                uint64_t length, enum vmfs_provision how)
{
    struct fd fd;
    vmk_status status = fd_get(v, file, true, &fd);

    if (status != VMK_OK)
        return status;
    if (fd_u32(&fd, FD_TYPE) != FD_TYPE_FILE)
        return VMK_NO_PERMISSION;
    /* A thick file has file blocks, however small. */
    status = map_fit(&fd, MAX(length, VMFS_SB_SIZE + 1ull));
    for (unsigned i = 0; i < MAKE_BUDGET / 2 && *offset < length && status == VMK_OK; i++) {
        status = allocate_block(&fd, *offset, how);
        *offset = MIN(length, (*offset | block_mask(&fd)) + 1);
    }
    if (status != VMK_OK || *offset <= fd_length(&fd))
        return status;
    status = zero_gap(&fd, fd_length(&fd), *offset);
    return status == VMK_OK ? fd_put64(&fd, FD_LENGTH, *offset) : status;
}

vmk_status vmfs_allocate(struct vmfs_volume *v, vmfs_id file, uint64_t length,
                         enum vmfs_provision how)
{
    uint64_t offset = 0;
    vmk_status status;

    if (how == VMFS_THIN) {
        struct vmfs_attributes a;

        status = vmfs_attributes(v, file, &a);
        if (status != VMK_OK || a.length >= length)
            return status;
        return vmfs_truncate(v, file, length);
    }
    status = volume_enter(v, true);
    while (offset < length && status == VMK_OK) {
        status = op_begin(v);
        if (status == VMK_OK)
            status = op_end(v, allocate_step(v, file, &offset, length, how));
    }
    return volume_leave(v, status);
}
