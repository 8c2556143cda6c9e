// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_resource.c -- the bitmaps: who owns which file block, descriptor, sub-block, pointer.
 *
 * Five system files of one shape: a header, then groups of 64 cluster heads (a lock and a
 * bitmap each) followed by the clusters' items. File blocks are items without a place of their
 * own: block n is the volume's n-th MiB. Positions inside a system file go through its list of
 * file blocks, which stays below 256, so no system file needs pointer blocks.
 *
 * Hosts allocate from different clusters: a search starts at a place that depends on the
 * heartbeat slot and steps over clusters that another host has locked.
 *
 * Invariants
 *   - In a cluster head: free count = number of set bits, first free = lowest set bit or 0.
 *   - An item freed by the running transaction is not handed out by it (vmfs_volume.freed).
 * Locking    vmfs_volume.mutex; the cluster's on-disk lock for any change.
 * Start at   resource_alloc().
 */
#include "core/heap.h"
#include "core/log.h"
#include "fs/vmfs/vmfs_internal.h"
#include "lib/string.h"

static const struct {
    uint32_t lock_type;
    enum fd_system descriptor;
    const char *name;
} kinds[RES_COUNT] = {
    [RES_FBB] = {LOCK_FBB, FD_FBB, ".fbb.sf"}, [RES_FDC] = {LOCK_FDC, FD_FDC, ".fdc.sf"},
    [RES_PBC] = {LOCK_PBC, FD_PBC, ".pbc.sf"}, [RES_SBC] = {LOCK_SBC, FD_SBC, ".sbc.sf"},
    [RES_PB2] = {LOCK_PB2, FD_PB2, ".pb2.sf"},
};

enum resource_kind resource_of(uint32_t address)
{
    switch (addr_type(address)) {
    case ADDR_FB: return RES_FBB;
    case ADDR_SB: return RES_SBC;
    case ADDR_PB: return RES_PBC;
    case ADDR_PB2: return RES_PB2;
    case ADDR_FD: return RES_FDC;
    default: return RES_COUNT;
    }
}

/* Where byte `offset` of the system file lies in the volume, or 0. */
static uint64_t file_position(const struct resource *r, uint64_t offset)
{
    uint64_t index = offset >> r->fb_shift;

    if (index >= r->file_block_count)
        return 0;
    return ((uint64_t)r->file_blocks[index] << r->fb_shift) +
           (offset & ((1ull << r->fb_shift) - 1));
}

uint64_t resource_cluster_position(const struct resource *r, uint32_t cluster)
{
    return file_position(r, r->header + (uint64_t)(cluster / r->per_group) * r->group_size +
                                (uint64_t)(cluster % r->per_group) * RES_CLUSTER_SIZE);
}

static bool split(const struct resource *r, uint32_t address, uint32_t *cluster, uint32_t *item)
{
    if (addr_type(address) == ADDR_FB) {
        *cluster = addr_fb_block(address) / r->per_cluster;
        *item = addr_fb_block(address) % r->per_cluster;
    } else {
        *cluster = addr_cluster(address);
        *item = addr_item(address);
    }
    return *item < r->per_cluster && *cluster < r->clusters &&
           (uint64_t)*cluster * r->per_cluster + *item < r->total;
}

uint64_t resource_span(const struct vmfs_volume *v, uint32_t address, uint64_t in, size_t *part)
{
    enum resource_kind kind = resource_of(address);
    uint32_t cluster;
    uint32_t item;

    if (kind == RES_COUNT)
        return 0;

    const struct resource *r = &v->resources[kind];

    if (!split(r, address, &cluster, &item))
        return 0;
    if (kind == RES_FBB)
        return ((uint64_t)addr_fb_block(address) << r->fb_shift) + in;

    uint64_t offset =
        r->header + (uint64_t)(cluster / r->per_group) * r->group_size +
        (uint64_t)r->per_group * RES_CLUSTER_SIZE +
        ((uint64_t)(cluster % r->per_group) * r->per_cluster + item) * r->item_size + in;

    *part = MIN(*part, (size_t)(fb_size(v) - (offset & (fb_size(v) - 1))));
    return file_position(r, offset);
}

uint64_t resource_position(const struct vmfs_volume *v, uint32_t address)
{
    size_t part = 0;

    return resource_span(v, address, 0, &part);
}

static uint32_t address_make(enum resource_kind kind, const struct resource *r,
                             uint32_t cluster, uint32_t item)
{
    switch (kind) {
    case RES_FBB: return addr_fb(cluster * r->per_cluster + item);
    case RES_FDC: return addr_fd(cluster, item);
    case RES_SBC: return addr_sb(cluster, item);
    case RES_PBC: return addr_pb(cluster, item);
    default: return (addr_pb(cluster, item) & ~7u) | ADDR_PB2;
    }
}

/* ---- loading ---- */

/* The list of the system file's blocks, from its descriptor. */
static vmk_status load_blocks(struct vmfs_volume *v, struct resource *r, const uint8_t *fd,
                              const char **wrong)
{
    const uint32_t zla = le32(fd + FD_META + FD_ZLA);
    const uint64_t length = le64(fd + FD_META + FD_LENGTH);
    const uint32_t words = zla == ZLA_FB ? VMFS_FD_WORDS : SYSTEM_BLOCKS_MAX;
    uint8_t *table = NULL;
    vmk_status status = VMK_OK;

    /* The bitmap of more than 50 TiB has secondary pointer blocks between it and its blocks. */
    if (zla != ZLA_FB && zla != ZLA_PB2_SINGLE)
        *wrong = "block list of an unknown kind";
    else if (!length || length > words * fb_size(v))
        *wrong = "length";
    if (*wrong)
        return VMK_OK;
    r->file_block_count = (uint32_t)((length + fb_size(v) - 1) >> v->fb_shift);
    if (zla == ZLA_PB2_SINGLE && !(table = vmfs_alloc(VMFS_PB_SIZE)))
        return VMK_NO_MEMORY;
    for (uint32_t i = 0; i < r->file_block_count && !*wrong && status == VMK_OK; i++) {
        uint32_t word;

        if (table && i % VMFS_PB_WORDS == 0) {
            const uint64_t at =
                resource_position(v, le32(fd + FD_DATA + 4ull * (i / VMFS_PB_WORDS)));

            status = at ? lv_read(v, at, table, VMFS_PB_SIZE) : VMK_CORRUPT;
            if (status != VMK_OK)
                break;
        }
        word = le32((table ? table : fd + FD_DATA) + 4ull * (i % VMFS_PB_WORDS));
        r->file_blocks[i] = addr_fb_block(word);
        if (addr_type(word) != ADDR_FB ||
            ((uint64_t)r->file_blocks[i] + 1) << v->fb_shift > v->size)
            *wrong = "block address";
    }
    heap_free(table);
    return status;
}

static vmk_status load_one(struct vmfs_volume *v, enum resource_kind kind)
{
    struct resource *r = &v->resources[kind];
    uint64_t at = v->descriptors + (uint64_t)kinds[kind].descriptor * VMFS_FD_SIZE;
    uint8_t fd[VMFS_FD_SIZE];
    uint8_t head[VMFS_SECTOR];
    vmk_status status;
    const char *wrong = NULL;

    r->fb_shift = v->fb_shift;
    if (v->old_geometry && kind == RES_PB2) {
        /* Made when the volume was upgraded, wherever there was a descriptor. */
        at = le32(v->super + FS_MAJOR_AT) == FS_MAJOR ? le64(v->super + FS_PB2_ADDRESS) : 0;
        if (!at)
            return VMK_OK;
    }
    status = lv_read(v, at, fd, sizeof(fd));
    if (status != VMK_OK)
        return status;

    if (kind == RES_PB2 && !le32(fd + LOCK_TYPE)) {
        /* Only files of more than 256 GiB need it, but such a volume is not one of ours. */
        vmk_log(VMK_LOG_WARN, "VMFS: %s: no %s: read only", v->extents[0].device->name,
                kinds[kind].name);
        v->how.read_only = true;
        return VMK_OK;
    }
    if (le32(fd + LOCK_TYPE) != LOCK_FD || le32(fd + FD_META + FD_TYPE) != FD_TYPE_SYSTEM)
        wrong = "no system file's descriptor";
    else
        status = load_blocks(v, r, fd, &wrong);
    if (status != VMK_OK)
        return status;
    if (!wrong) {
        status = lv_read(v, file_position(r, 0), head, sizeof(head));
        if (status != VMK_OK)
            return status;
        r->per_cluster = le32(head + RES_H_PER_CLUSTER);
        r->per_group = le32(head + RES_H_PER_GROUP);
        r->header = le32(head + RES_H_HEADER);
        r->item_size = le32(head + RES_H_ITEM_SIZE);
        r->group_size = le32(head + RES_H_GROUP_SIZE);
        r->total = le32(head + RES_H_TOTAL);
        r->groups = le32(head + RES_H_GROUPS);
        r->lock_type = kinds[kind].lock_type;

        const uint32_t sizes[RES_COUNT] = {[RES_FDC] = VMFS_FD_SIZE,
                                           [RES_PBC] = VMFS_PB_SIZE,
                                           [RES_SBC] = (uint32_t)sb_size(v),
                                           [RES_PB2] = VMFS_PB_SIZE};

        if (!r->per_cluster || r->per_cluster > RES_BITMAP_SIZE * 8 || !r->per_group ||
            r->per_group > 1024 || r->header < VMFS_SECTOR || r->header % VMFS_SECTOR)
            wrong = "cluster geometry";
        else if (r->item_size != sizes[kind])
            wrong = "item size";
        else if (r->group_size != (uint64_t)r->per_group * RES_CLUSTER_SIZE +
                                      (uint64_t)r->per_group * r->per_cluster * r->item_size)
            wrong = "group size";
        else {
            r->clusters =
                (uint32_t)(((uint64_t)r->total + r->per_cluster - 1) / r->per_cluster);
            if (!r->total || r->groups < (r->clusters + r->per_group - 1) / r->per_group)
                wrong = "totals";
            /* The last cluster's head, and so every other, lies in the file. */
            else if (!resource_cluster_position(r, r->clusters - 1))
                wrong = "file too short for its clusters";
            else if (kind == RES_FBB && r->total > v->size >> v->fb_shift)
                wrong = "more file blocks than the volume has";
        }
    }
    if (wrong) {
        vmk_log(VMK_LOG_ERROR, "VMFS: %s: %s", kinds[kind].name, wrong);
        return VMK_CORRUPT;
    }
    r->hint = (uint32_t)((v->hb_address / VMFS_SECTOR) % r->clusters);
    return VMK_OK;
}

vmk_status resources_load(struct vmfs_volume *v)
{
    /* The others may need it to find their blocks. */
    vmk_status status = load_one(v, RES_PB2);

    for (unsigned kind = 0; kind < RES_COUNT && status == VMK_OK; kind++) {
        if (kind != RES_PB2)
            status = load_one(v, (enum resource_kind)kind);
    }
    return status;
}

/* ---- taking and giving ---- */

static bool is_held_back(const struct vmfs_volume *v, uint32_t address)
{
    for (uint32_t i = 0; i < v->freed_count; i++) {
        if ((v->freed[i] & ~ADDR_TBZ) == (address & ~ADDR_TBZ))
            return true;
    }
    return false;
}

/* The lowest free item that may be used, or per_cluster. */
static uint32_t first_usable(const struct vmfs_volume *v, enum resource_kind kind,
                             const uint8_t *meta, uint32_t cluster)
{
    const struct resource *r = &v->resources[kind];
    uint32_t count = MIN(le32(meta + RES_C_COUNT), r->per_cluster);

    for (uint32_t i = le32(meta + RES_C_FIRST_FREE); i < count; i++) {
        if (meta[RES_C_BITMAP + i / 8] >> (i % 8) & 1 &&
            (uint64_t)cluster * r->per_cluster + i < r->total &&
            (!v->freed_count || !is_held_back(v, address_make(kind, r, cluster, i))))
            return i;
    }
    return r->per_cluster;
}

static void bit_change(uint8_t *meta, uint32_t item, bool to_free)
{
    uint8_t *byte = &meta[RES_C_BITMAP + item / 8];
    uint32_t free_count = le32(meta + RES_C_FREE);
    uint32_t first = 0;

    *byte = (uint8_t)(to_free ? *byte | 1u << (item % 8) : *byte & ~(1u << (item % 8)));
    free_count = to_free ? free_count + 1 : free_count - 1;
    put_le32(meta + RES_C_FREE, free_count);
    if (free_count) {
        uint32_t old = le32(meta + RES_C_FIRST_FREE);

        /* Nothing below the old first was free, unless this one is. */
        first = to_free && (item < old || free_count == 1) ? item : old;
        while (first < RES_BITMAP_SIZE * 8 &&
               !(meta[RES_C_BITMAP + first / 8] >> (first % 8) & 1))
            first++;
    }
    put_le32(meta + RES_C_FIRST_FREE, first);
}

/* The cluster's metadata, its lock held. */
static vmk_status cluster_lock(struct vmfs_volume *v, const struct resource *r,
                               uint32_t cluster, struct meta_sector **meta)
{
    uint64_t at = resource_cluster_position(r, cluster);
    vmk_status status;

    if (!at)
        return VMK_CORRUPT;
    status = lock_acquire(v, at, r->lock_type);
    if (status == VMK_OK)
        status = meta_get(v, at + VMFS_SECTOR, true, meta);
    if (status == VMK_OK && le32((*meta)->data + RES_C_NUMBER) != cluster) {
        vmk_log(VMK_LOG_ERROR, "VMFS: cluster head at 0x%llx is of another cluster",
                (unsigned long long)at);
        status = VMK_CORRUPT;
    }
    return status;
}

vmk_status resource_alloc(struct vmfs_volume *v, enum resource_kind kind, uint32_t near,
                          uint32_t *address, uint32_t *generation)
{
    struct resource *r = &v->resources[kind];
    uint32_t start = near < r->clusters ? near : r->hint % r->clusters;
    bool contended = false;

    for (uint32_t i = 0; i < r->clusters; i++) {
        uint32_t cluster = (start + i) % r->clusters;
        uint64_t at = resource_cluster_position(r, cluster);
        struct meta_sector *meta;
        uint32_t item;
        vmk_status status = meta_get(v, at + VMFS_SECTOR, lock_covers(v, at), &meta);

        if (status != VMK_OK)
            return status;
        /* A look without the lock: most full clusters are passed by for one read. */
        if (!le32(meta->data + RES_C_FREE))
            continue;
        status = cluster_lock(v, r, cluster, &meta);
        if (status == VMK_CONTENDED) {
            contended = true;
            continue;
        }
        if (status != VMK_OK)
            return status;
        item = first_usable(v, kind, meta->data, cluster);
        if (item == r->per_cluster)
            continue;
        status = meta_dirty(v, meta);
        if (status != VMK_OK)
            return status;
        bit_change(meta->data, item, false);
        if (generation) {
            *generation = le32(meta->data + RES_C_TYPE_DATA) + 1;
            put_le32(meta->data + RES_C_TYPE_DATA, *generation);
        }
        if (near >= r->clusters)
            r->hint = cluster;
        *address = address_make(kind, r, cluster, item);
        return VMK_OK;
    }
    return contended ? VMK_CONTENDED : VMK_NO_SPACE;
}

vmk_status resource_free(struct vmfs_volume *v, uint32_t address)
{
    enum resource_kind kind = resource_of(address);
    struct meta_sector *meta;
    uint32_t cluster;
    uint32_t item;
    vmk_status status;

    if (kind == RES_COUNT || !split(&v->resources[kind], address, &cluster, &item))
        return VMK_CORRUPT;
    status = cluster_lock(v, &v->resources[kind], cluster, &meta);
    if (status != VMK_OK)
        return status;
    if (meta->data[RES_C_BITMAP + item / 8] >> (item % 8) & 1) {
        vmk_log(VMK_LOG_ERROR, "VMFS: address 0x%08x freed twice", address);
        return VMK_CORRUPT;
    }
    if (v->freed_count == v->freed_room) {
        uint32_t room = v->freed_room ? 2 * v->freed_room : 256;
        uint32_t *more = vmfs_alloc(room * sizeof(*more));

        if (!more)
            return VMK_NO_MEMORY;
        if (v->freed_count)
            memcpy(more, v->freed, v->freed_count * sizeof(*more));
        heap_free(v->freed);
        v->freed = more;
        v->freed_room = room;
    }
    status = meta_dirty(v, meta);
    if (status != VMK_OK)
        return status;
    v->freed[v->freed_count++] = address;
    bit_change(meta->data, item, true);
    return VMK_OK;
}

vmk_status resource_count_free(struct vmfs_volume *v, enum resource_kind kind, uint64_t *count)
{
    const struct resource *r = &v->resources[kind];

    *count = 0;
    for (uint32_t i = 0; i < r->clusters; i++) {
        uint64_t at = resource_cluster_position(r, i);
        uint32_t free_count;
        vmk_status status =
            word_get(v, at + VMFS_SECTOR + RES_C_FREE, lock_covers(v, at), &free_count);

        if (status != VMK_OK)
            return status;
        *count += free_count;
    }
    return VMK_OK;
}

/* ---- growing ---- */

/* Blocks for the bitmaps of so many groups; not used until the totals say so. */
static vmk_status grow_file(struct vmfs_volume *v, uint32_t groups)
{
    struct resource *r = &v->resources[RES_FBB];
    uint64_t length = r->header + (uint64_t)groups * r->group_size;
    uint32_t blocks = (uint32_t)((length + VMFS_FB_SIZE - 1) >> VMFS_FB_SHIFT);
    struct fd fd;
    vmk_status status;

    if (blocks > VMFS_FD_WORDS)
        return VMK_TOO_BIG;
    status = fd_get(v, (vmfs_id){addr_fd(0, FD_FBB), 0}, true, &fd);
    for (uint32_t i = r->file_block_count; i < blocks && status == VMK_OK; i++) {
        uint32_t address;

        status = resource_alloc(v, RES_FBB, UINT32_MAX, &address, NULL);
        if (status == VMK_OK)
            status = zero_range(v, resource_position(v, address), VMFS_FB_SIZE);
        if (status == VMK_OK)
            status = word_put(v, fd.position + FD_DATA + 4ull * i, address);
        if (status == VMK_OK)
            status = fd_put64(&fd, FD_BLOCKS, i + 1ull);
        if (status == VMK_OK)
            status = fd_put32(&fd, FD_NEW_COUNT, i + 1);
        if (status == VMK_OK)
            r->file_blocks[i] = addr_fb_block(address);
    }
    if (status == VMK_OK && length > fd_length(&fd))
        status = fd_put64(&fd, FD_LENGTH, length);
    return status;
}

/* Heads of clusters that nothing counts yet. */
static vmk_status grow_heads(struct vmfs_volume *v, uint32_t clusters, uint32_t total)
{
    const struct resource *r = &v->resources[RES_FBB];
    uint8_t head[RES_CLUSTER_SIZE];
    vmk_status status = VMK_OK;

    for (uint32_t c = r->clusters; c < clusters && status == VMK_OK; c++) {
        uint32_t count = MIN(r->per_cluster, total - c * r->per_cluster);
        uint64_t at = resource_cluster_position(r, c);
        uint8_t *meta = head + VMFS_SECTOR;

        memset(head, 0, sizeof(head));
        lock_image_make(head, r->lock_type, at, 1u << 20 | c);
        put_le32(meta + RES_C_NUMBER, c);
        put_le32(meta + RES_C_COUNT, count);
        put_le32(meta + RES_C_FREE, count);
        for (uint32_t i = 0; i < count; i++)
            meta[RES_C_BITMAP + i / 8] |= (uint8_t)(1u << (i % 8));
        status = at ? lv_write(v, at, head, sizeof(head)) : VMK_CORRUPT;
    }
    return status == VMK_OK ? lv_flush(v) : status;
}

/* The totals, and the rest of the cluster that was not full. */
static vmk_status grow_totals(struct vmfs_volume *v, uint32_t groups, uint32_t total)
{
    const struct resource *r = &v->resources[RES_FBB];
    uint32_t last = r->clusters - 1;
    uint32_t end = MIN(r->per_cluster, total - last * r->per_cluster);
    struct meta_sector *meta;
    vmk_status status = cluster_lock(v, r, last, &meta);

    if (status == VMK_OK)
        status = meta_dirty(v, meta);
    if (status != VMK_OK)
        return status;
    for (uint32_t i = le32(meta->data + RES_C_COUNT); i < end; i++)
        bit_change(meta->data, i, true);
    put_le32(meta->data + RES_C_COUNT, end);
    status = word_put(v, file_position(r, 0) + RES_H_TOTAL, total);
    return status == VMK_OK ? word_put(v, file_position(r, 0) + RES_H_GROUPS, groups) : status;
}

vmk_status resource_grow(struct vmfs_volume *v, uint32_t total)
{
    struct resource *r = &v->resources[RES_FBB];
    uint32_t clusters = (total + r->per_cluster - 1) / r->per_cluster;
    uint32_t groups = (clusters + r->per_group - 1) / r->per_group;
    vmk_status status = op_begin(v);

    if (status == VMK_OK)
        status = op_end(v, grow_file(v, groups));
    if (status == VMK_OK)
        status = journal_commit(v);
    if (status == VMK_OK) {
        uint64_t length = r->header + (uint64_t)groups * r->group_size;

        r->file_block_count =
            MAX(r->file_block_count, (uint32_t)((length + VMFS_FB_SIZE - 1) >> VMFS_FB_SHIFT));
        status = grow_heads(v, clusters, total);
    }
    if (status == VMK_OK)
        status = op_begin(v);
    if (status == VMK_OK)
        status = op_end(v, grow_totals(v, groups, total));
    if (status == VMK_OK)
        status = journal_commit(v);
    if (status == VMK_OK) {
        r->total = total;
        r->clusters = clusters;
        r->groups = groups;
    }
    return status;
}

/* ---- the journal block: outside any transaction, because there is no journal yet ---- */

static vmk_status journal_bit(struct vmfs_volume *v, uint32_t block, bool to_free)
{
    const struct resource *r = &v->resources[RES_FBB];
    uint32_t cluster = block / r->per_cluster;
    uint32_t item = block % r->per_cluster;
    struct meta_sector *meta;
    vmk_status status = cluster_lock(v, r, cluster, &meta);

    if (status != VMK_OK)
        return status;
    if ((meta->data[RES_C_BITMAP + item / 8] >> (item % 8) & 1) == to_free)
        return VMK_OK;  // it was never set, or is cleared already
    bit_change(meta->data, item, to_free);
    return lv_write(v, meta->address, meta->data, VMFS_SECTOR);
}

vmk_status journal_block_take(struct vmfs_volume *v, uint32_t *block)
{
    const struct resource *r = &v->resources[RES_FBB];
    vmk_status status = VMK_NO_SPACE;

    for (uint32_t i = 0; i < r->clusters; i++) {
        uint32_t cluster = (r->hint + i) % r->clusters;
        struct meta_sector *meta;
        uint32_t item;

        status = cluster_lock(v, r, cluster, &meta);
        if (status == VMK_CONTENDED)
            continue;
        if (status != VMK_OK)
            return status;
        item = first_usable(v, RES_FBB, meta->data, cluster);
        status = VMK_NO_SPACE;
        if (item == r->per_cluster)
            continue;
        *block = cluster * r->per_cluster + item;
        memset(v->journal_buffer, 0, VMFS_FB_SIZE);
        status =
            lv_write(v, (uint64_t)*block << VMFS_FB_SHIFT, v->journal_buffer, VMFS_FB_SIZE);
        if (status == VMK_OK)
            status = lv_flush(v);
        if (status == VMK_OK)
            status = hb_name_journal(v, *block);
        if (status == VMK_OK)
            status = lv_flush(v);
        if (status == VMK_OK)
            status = journal_bit(v, *block, false);
        break;
    }
    if (status == VMK_NO_SPACE)
        vmk_log(VMK_LOG_ERROR, "VMFS: no free block for the journal: mount it read-only");
    return status;
}

vmk_status journal_block_give(struct vmfs_volume *v, uint32_t block)
{
    if (block >= v->resources[RES_FBB].total)
        return VMK_CORRUPT;
    return journal_bit(v, block, true);
}
