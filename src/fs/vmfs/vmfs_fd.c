// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_fd.c -- file descriptors, and the map from a file's offset to its block.
 *
 * A descriptor holds 256 addresses, whose meaning is its ZLA: the content itself (resident, up
 * to 1 KiB), sub-blocks (8 KiB), file blocks (1 MiB), pointer blocks of 1,024 file blocks, or
 * two levels of pointer blocks. A file moves up through these as it grows and never down.
 * Our own files: empty ones are resident, as ESXi makes them; up to 8 KiB lies in one
 * sub-block, so that the older readers, which take resident content for addresses, stay clean.
 *
 * Invariants
 *   - A descriptor's own address, its lock's address and its place agree (checked in fd_get()).
 *   - number of blocks = addresses in use at the lowest level (file blocks or sub-blocks).
 * Locking    vmfs_volume.mutex; the descriptor's on-disk lock for any change.
 * Start at   fd_get() and map_make().
 */
#include "core/assert.h"
#include "core/heap.h"
#include "core/log.h"
#include "fs/vmfs/vmfs_internal.h"
#include "lib/string.h"

#define DIR_SB_MAX                                                                             \
    16u  // sub-blocks of a directory: its move to a file block is one transaction

/* ---- descriptors ---- */

static vmk_status load(struct fd *fd, vmfs_id id)
{
    vmk_status status = meta_get(fd->v, fd->position + FD_META, fd->covered, &fd->meta);

    if (status != VMK_OK)
        return status;

    const uint8_t *meta = fd->meta->data;

    if (le32(meta + FD_ADDRESS) != id.address || !le32(meta + FD_LINKS) ||
        (id.generation && le32(meta + FD_GENERATION) != id.generation)) {
        /* Without names but still open here: it is ours until the last close. */
        if (le32(meta + FD_ADDRESS) == id.address && open_find(fd->v, id.address) &&
            le32(meta + FD_GENERATION) == id.generation)
            return VMK_OK;
        return VMK_NOT_FOUND;
    }
    return VMK_OK;
}

vmk_status fd_get(struct vmfs_volume *v, vmfs_id id, bool write, struct fd *fd)
{
    fd->v = v;
    fd->address = id.address;
    fd->position = addr_type(id.address) == ADDR_FD ? resource_position(v, id.address) : 0;
    if (!fd->position)
        return VMK_NOT_FOUND;
    if (write) {
        vmk_status status = lock_acquire(v, fd->position, LOCK_FD);

        if (status != VMK_OK)
            return status;
    }
    fd->covered = lock_covers(v, fd->position);
    meta_prefetch(v, fd->position + FD_META, VMFS_SECTOR, FD_DATA - FD_META + FD_DATA_SIZE,
                  fd->covered);
    return load(fd, id);
}

vmk_status fd_put32(struct fd *fd, enum fd_field field, uint32_t value)
{
    vmk_status status = meta_dirty(fd->v, fd->meta);

    if (status == VMK_OK)
        put_le32(fd->meta->data + field, value);
    return status;
}

vmk_status fd_put64(struct fd *fd, enum fd_field field, uint64_t value)
{
    vmk_status status = meta_dirty(fd->v, fd->meta);

    if (status == VMK_OK)
        put_le64(fd->meta->data + field, value);
    return status;
}

vmk_status fd_touch(struct fd *fd)
{
    vmk_status status = fd_put32(fd, FD_MTIME, volume_seconds(fd->v));

    return status == VMK_OK ? fd_put32(fd, FD_CTIME, volume_seconds(fd->v)) : status;
}

static uint32_t zla_for(uint64_t length, enum vmfs_type type)
{
    if (!length)
        return type == VMFS_FILE ? ZLA_RESIDENT : ZLA_SB;
    if (type == VMFS_DIRECTORY)
        return length <= DIR_SB_MAX * VMFS_SB_SIZE ? ZLA_SB : ZLA_FB;
    if (length <= VMFS_SB_SIZE)
        return ZLA_SB;
    if (length <= FD_DIRECT_BYTES)
        return ZLA_FB;
    return length <= FD_SINGLE_BYTES ? ZLA_PB : ZLA_DOUBLE;
}

static uint32_t shift_of(const struct vmfs_volume *v, uint32_t zla)
{
    return zla == ZLA_SB || zla == ZLA_RESIDENT ? v->sb_shift : v->fb_shift;
}

uint32_t fd_shift(const struct fd *fd)
{
    return shift_of(fd->v, fd_u32(fd, FD_ZLA));
}

static vmk_status zla_set(struct fd *fd, uint32_t zla)
{
    vmk_status status = meta_dirty(fd->v, fd->meta);

    if (status != VMK_OK)
        return status;
    put_le32(fd->meta->data + FD_ZLA, zla);
    put_le64(fd->meta->data + FD_BLOCK_SIZE, 1ull << shift_of(fd->v, zla));
    put_le32(fd->meta->data + FD_TBZ_SHIFT, shift_of(fd->v, zla));
    fd->meta->data[FD_BLOCK_SHIFT] = (uint8_t)shift_of(fd->v, zla);
    return VMK_OK;
}

vmk_status fd_make(struct vmfs_volume *v, enum vmfs_type type, uint32_t mode, uint32_t uid,
                   uint32_t gid, uint32_t near, struct fd *fd)
{
    uint32_t now = volume_seconds(v);
    uint32_t generation;
    struct meta_sector *data;
    vmk_status status = resource_alloc(v, RES_FDC, near, &fd->address, &generation);

    if (status != VMK_OK)
        return status;
    fd->v = v;
    fd->position = resource_position(v, fd->address);
    vmk_assert(fd->position);
    status = lock_create(v, fd->position, LOCK_FD);
    if (status == VMK_OK)
        status = meta_new(v, fd->position + FD_META, &fd->meta);
    for (unsigned i = 0; i < FD_DATA_SIZE / VMFS_SECTOR && status == VMK_OK; i++)
        status = meta_new(v, fd->position + FD_DATA + i * VMFS_SECTOR, &data);
    if (status != VMK_OK)
        return status;
    fd->covered = true;

    uint8_t *meta = fd->meta->data;

    put_le32(meta + FD_ADDRESS, fd->address);
    put_le32(meta + FD_GENERATION, generation);
    put_le32(meta + FD_LINKS, 1);
    put_le32(meta + FD_TYPE, (uint32_t)type);
    put_le32(meta + FD_MTIME, now);
    put_le32(meta + FD_CTIME, now);
    put_le32(meta + FD_ATIME, now);
    put_le32(meta + FD_UID, uid);
    put_le32(meta + FD_GID, gid);
    put_le32(meta + FD_MODE, mode & 07777);
    put_le32(meta + FD_AFFINITY, fd->address);
    return zla_set(fd, zla_for(0, type));
}

vmk_status fd_free(struct fd *fd)
{
    vmk_status status = fd_put32(fd, FD_LINKS, 0);

    if (status == VMK_OK)
        status = fd_put64(fd, FD_LENGTH, 0);
    return status == VMK_OK ? resource_free(fd->v, fd->address) : status;
}

/* ---- the map ---- */

static uint64_t word_position(const struct fd *fd, uint64_t index)
{
    return fd->position + FD_DATA + 4 * index;
}

static vmk_status count_blocks(struct fd *fd, int by)
{
    vmk_status status =
        fd_put64(fd, FD_BLOCKS, le64(fd->meta->data + FD_BLOCKS) + (uint64_t)by);

    if (status == VMK_OK)
        put_le32(fd->meta->data + FD_NEW_COUNT, fd_u32(fd, FD_BLOCKS));
    return status;
}

/* A pointer block at *at, made if `make`. Its place, or 0 for a hole. */
static vmk_status pointer_block(struct fd *fd, uint64_t at, enum resource_kind kind, bool make,
                                uint64_t *position)
{
    struct vmfs_volume *v = fd->v;
    uint32_t word;
    vmk_status status = word_get(v, at, fd->covered, &word);

    *position = 0;
    if (status != VMK_OK)
        return status;
    if (!word) {
        if (!make)
            return VMK_OK;
        status = resource_alloc(v, kind, UINT32_MAX, &word, NULL);
        if (status != VMK_OK)
            return status;
        *position = resource_position(v, word);
        for (unsigned i = 0; i < VMFS_PB_SIZE / VMFS_SECTOR && status == VMK_OK; i++) {
            struct meta_sector *s;

            status = meta_new(v, *position + i * VMFS_SECTOR, &s);
        }
        if (status == VMK_OK)
            status = word_put(v, at, word);
        return status == VMK_OK ? fd_put32(fd, FD_PB_COUNT, fd_u32(fd, FD_PB_COUNT) + 1)
                                : status;
    }
    if (addr_type(word) == (kind == RES_PB2 ? ADDR_PB2 : ADDR_PB) || addr_type(word) == ADDR_PB)
        *position = resource_position(v, word);
    return *position ? VMK_OK : VMK_CORRUPT;
}

/* Where the address of the block at `offset` stands, or 0: beyond or behind a hole. */
static vmk_status slot_of(struct fd *fd, uint64_t offset, bool make, uint64_t *slot)
{
    uint32_t zla = fd_u32(fd, FD_ZLA);
    uint64_t block = offset >> shift_of(fd->v, zla);
    uint64_t at;
    vmk_status status;

    *slot = 0;
    switch (zla) {
    case ZLA_FB:
    case ZLA_SB:
        if (block < VMFS_FD_WORDS)
            *slot = word_position(fd, block);
        return VMK_OK;
    case ZLA_PB:
    case ZLA_PB2_SINGLE:
        if (block >> 10 >= VMFS_FD_WORDS)
            return VMK_OK;
        status = pointer_block(fd, word_position(fd, block >> 10),
                               zla == ZLA_PB ? RES_PBC : RES_PB2, make, &at);
        break;
    case ZLA_DOUBLE:
        if (block >> 20 >= VMFS_FD_WORDS)
            return VMK_OK;
        status = pointer_block(fd, word_position(fd, block >> 20), RES_PB2, make, &at);
        if (status == VMK_OK && at)
            status = pointer_block(fd, at + 4 * (block >> 10 & 1023), RES_PBC, make, &at);
        break;
    default:
        vmk_log(VMK_LOG_ERROR, "VMFS: descriptor 0x%08x: unknown block list %u", fd->address,
                zla);
        return VMK_CORRUPT;
    }
    if (status == VMK_OK && at)
        *slot = at + 4 * (block & 1023);
    return status;
}

static bool fits(const struct fd *fd, uint32_t word)
{
    enum address_type want = fd_u32(fd, FD_ZLA) == ZLA_SB ? ADDR_SB : ADDR_FB;

    return addr_type(word) == want && resource_position(fd->v, word);
}

vmk_status map_get(struct fd *fd, uint64_t offset, uint32_t *address)
{
    uint64_t slot;
    vmk_status status = slot_of(fd, offset, false, &slot);

    *address = ADDR_NONE;
    if (status != VMK_OK || !slot)
        return status;
    status = word_get(fd->v, slot, fd->covered, address);
    if (status == VMK_OK && *address && !fits(fd, *address)) {
        vmk_log(VMK_LOG_ERROR, "VMFS: descriptor 0x%08x: bad block address 0x%08x at %llu",
                fd->address, *address, (unsigned long long)offset);
        return VMK_CORRUPT;
    }
    return status;
}

vmk_status map_put(struct fd *fd, uint64_t offset, uint32_t address)
{
    uint64_t slot;
    vmk_status status = slot_of(fd, offset, true, &slot);

    if (status == VMK_OK && !slot)
        return VMK_TOO_BIG;
    return status == VMK_OK ? word_put(fd->v, slot, address) : status;
}

vmk_status map_make(struct fd *fd, uint64_t offset, bool tbz, uint32_t *address, bool *fresh)
{
    vmk_status status = map_get(fd, offset, address);
    bool sub = fd_u32(fd, FD_ZLA) == ZLA_SB;

    *fresh = false;
    if (status != VMK_OK || *address)
        return status;
    /* Pointer blocks first: a block without a place in the map would be lost. */
    uint64_t slot;

    status = slot_of(fd, offset, true, &slot);
    if (status == VMK_OK && !slot)
        return VMK_TOO_BIG;
    if (status == VMK_OK)
        status = resource_alloc(fd->v, sub ? RES_SBC : RES_FBB, UINT32_MAX, address, NULL);
    if (status != VMK_OK)
        return status;
    if (tbz && !sub) {
        *address |= ADDR_TBZ;
        status = fd_put32(fd, FD_TBZ_COUNT, fd_u32(fd, FD_TBZ_COUNT) + 1);
    }
    if (status == VMK_OK)
        status = word_put(fd->v, slot, *address);
    *fresh = true;
    return status == VMK_OK ? count_blocks(fd, 1) : status;
}

/* ---- growing through the kinds of map ---- */

/* The bytes of a resident or one-sub-block file into a block of the next kind. */
static vmk_status move_content(struct fd *fd, uint64_t from, size_t size, uint32_t zla,
                               bool through_cache)
{
    struct vmfs_volume *v = fd->v;
    uint8_t *data = vmfs_alloc(VMFS_SB_SIZE);
    uint32_t address;
    bool fresh;
    vmk_status status;

    if (!data)
        return VMK_NO_MEMORY;
    status = through_cache ? bytes_get(v, from, fd->covered, data, size)
                           : lv_read(v, from, data, round_up(size, VMFS_SECTOR));
    for (unsigned i = 0; i < FD_DATA_SIZE / VMFS_SECTOR && status == VMK_OK; i++) {
        struct meta_sector *s;

        status = meta_new(v, fd->position + FD_DATA + i * VMFS_SECTOR, &s);
    }
    if (status == VMK_OK)
        status = zla_set(fd, zla);
    if (status == VMK_OK)
        status = fd_put64(fd, FD_BLOCKS, 0);
    if (status == VMK_OK && size) {
        status = map_make(fd, 0, false, &address, &fresh);
        /* Data before metadata: the block is ours, and the commit flushes. */
        if (status == VMK_OK)
            status =
                lv_write(v, resource_position(v, address), data, round_up(size, VMFS_SECTOR));
    }
    heap_free(data);
    return status;
}

/* Puts the present 256 addresses into a new pointer block and that into word 0. */
static vmk_status deepen(struct fd *fd, uint32_t zla, enum resource_kind kind)
{
    struct vmfs_volume *v = fd->v;
    uint8_t words[FD_DATA_SIZE];
    uint64_t position;
    bool any = false;
    vmk_status status = bytes_get(v, word_position(fd, 0), fd->covered, words, sizeof(words));

    for (unsigned i = 0; i < sizeof(words); i++)
        any = any || words[i];
    for (unsigned i = 0; i < FD_DATA_SIZE / VMFS_SECTOR && status == VMK_OK; i++) {
        struct meta_sector *s;

        status = meta_new(v, word_position(fd, 0) + i * VMFS_SECTOR, &s);
    }
    if (status == VMK_OK)
        status = zla_set(fd, zla);
    if (status != VMK_OK || !any)
        return status;
    status = pointer_block(fd, word_position(fd, 0), kind, true, &position);
    return status == VMK_OK ? bytes_put(v, position, words, sizeof(words)) : status;
}

/* A directory outgrows its sub-blocks: everything into one file block. */
static vmk_status directory_to_block(struct fd *fd)
{
    struct vmfs_volume *v = fd->v;
    uint64_t length = fd_length(fd);
    uint32_t blocks = (uint32_t)((length + VMFS_SB_SIZE - 1) >> VMFS_SB_SHIFT);
    uint8_t words[FD_DATA_SIZE];
    uint8_t *data = vmfs_alloc(VMFS_SB_SIZE);
    vmk_status status = VMK_NO_MEMORY;

    if (!data)
        return status;
    status = bytes_get(v, word_position(fd, 0), fd->covered, words, sizeof(words));
    for (unsigned i = 0; i < FD_DATA_SIZE / VMFS_SECTOR && status == VMK_OK; i++) {
        struct meta_sector *s;

        status = meta_new(v, word_position(fd, 0) + i * VMFS_SECTOR, &s);
    }
    if (status == VMK_OK)
        status = zla_set(fd, ZLA_FB);
    if (status == VMK_OK)
        status = fd_put64(fd, FD_BLOCKS, 0);
    for (uint32_t i = 0; i < blocks && status == VMK_OK; i++) {
        uint32_t old = le32(words + 4ull * i);
        uint64_t offset = (uint64_t)i << VMFS_SB_SHIFT;
        uint32_t address;
        bool fresh;

        status = bytes_get(v, resource_position(v, old), fd->covered, data, VMFS_SB_SIZE);
        if (status == VMK_OK)
            status = map_make(fd, offset, false, &address, &fresh);
        if (status == VMK_OK)
            status = bytes_put(v, resource_position(v, address) + offset, data,
                               (size_t)MIN(length - offset, VMFS_SB_SIZE));
        if (status == VMK_OK)
            status = resource_free(v, old);
    }
    heap_free(data);
    return status;
}

vmk_status map_fit(struct fd *fd, uint64_t length)
{
    enum vmfs_type type = (enum vmfs_type)fd_u32(fd, FD_TYPE);
    uint64_t now = fd_length(fd);
    vmk_status status = VMK_OK;

    if (length > VMFS_FILE_MAX)
        return VMK_TOO_BIG;
    for (;;) {
        uint32_t zla = fd_u32(fd, FD_ZLA);
        uint32_t want = zla_for(MAX(length, now), type);

        if (status != VMK_OK)
            return status;
        switch (zla) {
        case ZLA_RESIDENT:
            if (want == ZLA_RESIDENT)
                return VMK_OK;
            if (now > FD_RESIDENT_MAX)
                return VMK_CORRUPT;
            status = move_content(fd, word_position(fd, 0), (size_t)now,
                                  want == ZLA_SB ? ZLA_SB : ZLA_FB, true);
            break;
        case ZLA_SB: {
            uint32_t address;

            if (want == ZLA_SB || want == ZLA_RESIDENT)
                return VMK_OK;
            if (type == VMFS_DIRECTORY) {
                /* A foreign directory of more sub-blocks stays as it is. */
                if (now > DIR_SB_MAX * VMFS_SB_SIZE)
                    return length <= VMFS_FD_WORDS * VMFS_SB_SIZE ? VMK_OK : VMK_UNSUPPORTED;
                status = directory_to_block(fd);
                break;
            }
            if (now > VMFS_SB_SIZE)
                return VMK_UNSUPPORTED;  // a foreign file of several sub-blocks
            status = map_get(fd, 0, &address);
            if (status == VMK_OK)
                status = move_content(fd, address ? resource_position(fd->v, address) : 0,
                                      address ? (size_t)now : 0, ZLA_FB, false);
            if (status == VMK_OK && address)
                status = resource_free(fd->v, address);
            break;
        }
        case ZLA_FB:
            if (want != ZLA_PB && want != ZLA_DOUBLE)
                return VMK_OK;
            status = deepen(fd, ZLA_PB, RES_PBC);
            break;
        case ZLA_PB:
            if (want != ZLA_DOUBLE)
                return VMK_OK;
            status = deepen(fd, ZLA_DOUBLE, RES_PB2);
            break;
        case ZLA_DOUBLE: return VMK_OK;
        /* A foreign file, which is not made deeper. */
        case ZLA_PB2_SINGLE: return want == ZLA_DOUBLE ? VMK_UNSUPPORTED : VMK_OK;
        default: return VMK_CORRUPT;
        }
    }
}

/* ---- shrinking ---- */

struct cut {
    struct fd *fd;
    uint64_t keep;    // blocks that stay
    uint64_t gone;    // every block from this one on is freed
    unsigned budget;  // blocks still to be freed in this operation
};

/*
 * Frees what is behind `keep` of a leaf table at `table`, whose first word is for block `base`.
 */
static vmk_status cut_leaf(struct cut *c, uint64_t table, uint32_t words, uint64_t base)
{
    struct fd *fd = c->fd;
    uint32_t first = c->keep > base ? (uint32_t)MIN(c->keep - base, words) : 0;

    for (uint32_t i = words; i > first && c->budget; i--) {
        uint32_t word;
        vmk_status status = word_get(fd->v, table + 4ull * (i - 1), fd->covered, &word);

        if (status != VMK_OK)
            return status;
        if (!word)
            continue;
        if (!fits(fd, word))
            return VMK_CORRUPT;
        if (addr_type(word) == ADDR_FB && word & ADDR_TBZ)
            status = fd_put32(fd, FD_TBZ_COUNT, fd_u32(fd, FD_TBZ_COUNT) - 1);
        if (status == VMK_OK)
            status = resource_free(fd->v, word);
        if (status == VMK_OK)
            status = word_put(fd->v, table + 4ull * (i - 1), 0);
        if (status == VMK_OK)
            status = count_blocks(fd, -1);
        if (status != VMK_OK)
            return status;
        c->gone = base + i - 1;
        c->budget--;
    }
    return VMK_OK;
}

/*
 * The same for a table whose words each reach `1 << reach` blocks. An emptied pointer block is
 * freed too.
 */
static vmk_status cut_table(struct cut *c, uint64_t table, uint32_t words, unsigned reach,
                            uint64_t base)
{
    struct fd *fd = c->fd;

    if (!reach)
        return cut_leaf(c, table, words, base);
    for (uint32_t i = words; i > 0 && c->budget; i--) {
        uint64_t start = base + ((uint64_t)(i - 1) << reach);
        uint64_t at = table + 4ull * (i - 1);
        uint64_t position;
        uint32_t word;
        vmk_status status;

        if (start + (1ull << reach) <= c->keep)
            return VMK_OK;
        status = word_get(fd->v, at, fd->covered, &word);
        if (status != VMK_OK)
            return status;
        if (!word)
            continue;
        position = resource_position(fd->v, word);
        if (!position || (addr_type(word) != ADDR_PB && addr_type(word) != ADDR_PB2))
            return VMK_CORRUPT;
        status = cut_table(c, position, VMFS_PB_WORDS, reach - 10, start);
        if (status != VMK_OK || !c->budget)
            return status;
        if (start < c->keep)
            continue;
        c->gone = start;
        c->budget--;
        status = resource_free(fd->v, word);
        if (status == VMK_OK)
            status = word_put(fd->v, at, 0);
        if (status == VMK_OK)
            status = fd_put32(fd, FD_PB_COUNT, MAX(fd_u32(fd, FD_PB_COUNT), 1u) - 1);
        if (status != VMK_OK)
            return status;
    }
    return VMK_OK;
}

vmk_status map_cut(struct fd *fd, uint64_t length, unsigned budget, uint64_t *left)
{
    uint32_t zla = fd_u32(fd, FD_ZLA);
    uint32_t shift = shift_of(fd->v, zla);
    struct cut c = {.fd = fd, .budget = budget, .gone = UINT64_MAX};
    unsigned reach;
    vmk_status status;

    c.keep = (length + (1ull << shift) - 1) >> shift;
    *left = length;
    switch (zla) {
    case ZLA_RESIDENT: return VMK_OK;
    case ZLA_FB:
    case ZLA_SB: reach = 0; break;
    case ZLA_PB:
    case ZLA_PB2_SINGLE: reach = 10; break;
    case ZLA_DOUBLE: reach = 20; break;
    default: return VMK_CORRUPT;
    }
    status = cut_table(&c, word_position(fd, 0), VMFS_FD_WORDS, reach, 0);
    /*
     * Words that are holes cost nothing, so the end of the budget means that something was
     * freed.
     */
    if (!c.budget)
        *left = MAX(c.gone << shift, length + 1);
    return status;
}

/* ---- content through the cache ---- */

static vmk_status content_move(struct fd *fd, uint64_t offset, void *to, const void *from,
                               size_t size)
{
    while (size) {
        uint32_t shift = fd_shift(fd);
        size_t in = (size_t)(offset & ((1ull << shift) - 1));
        size_t part = MIN(size, (size_t)(1u << shift) - in);
        uint32_t address;
        bool fresh = false;
        uint64_t at;
        vmk_status status;

        if (fd_u32(fd, FD_ZLA) == ZLA_RESIDENT) {
            if (offset + size > FD_RESIDENT_MAX)
                return VMK_CORRUPT;
            at = word_position(fd, 0) + offset;
        } else {
            status = from ? map_make(fd, offset, false, &address, &fresh)
                          : map_get(fd, offset, &address);
            if (status != VMK_OK)
                return status;
            at = address ? resource_span(fd->v, address, in, &part) : 0;
            if (address && !at)
                return VMK_CORRUPT;
        }
        if (!at) {
            memset(to, 0, part);
            status = VMK_OK;
        } else if (from) {
            status = bytes_put(fd->v, at, from, part);
        } else {
            status = bytes_get(fd->v, at, fd->covered, to, part);
        }
        if (status != VMK_OK)
            return status;
        to = to ? (char *)to + part : NULL;
        from = from ? (const char *)from + part : NULL;
        offset += part;
        size -= part;
    }
    return VMK_OK;
}

void content_prefetch(struct fd *fd, uint64_t offset, size_t size, size_t ahead)
{
    uint64_t in = offset & ((1ull << fd_shift(fd)) - 1);
    size_t part = (size_t)MIN(ahead, (1ull << fd_shift(fd)) - in);
    uint32_t address;
    uint64_t at;

    if (fd_u32(fd, FD_ZLA) == ZLA_RESIDENT || map_get(fd, offset, &address) != VMK_OK ||
        !address)
        return;
    at = resource_span(fd->v, address, in, &part);
    if (at)
        meta_prefetch(fd->v, at, MIN(size, part), part, fd->covered);
}

vmk_status content_get(struct fd *fd, uint64_t offset, void *to, size_t size)
{
    return content_move(fd, offset, to, NULL, size);
}

vmk_status content_put(struct fd *fd, uint64_t offset, const void *from, size_t size)
{
    return content_move(fd, offset, NULL, from, size);
}
