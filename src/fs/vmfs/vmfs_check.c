// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_check.c -- judges a volume: every structure against every other.
 *
 * Reads the whole of the metadata and recomputes what must follow from it: which blocks are
 * used (from the descriptors' maps), which descriptors have how many names (from the
 * directories), what each cluster head must say. It sees more than fsck.vmfs does: link counts,
 * lock types and addresses, free counts, heartbeats, LVM tables, block counts.
 *
 * Invariants
 *   - Writes nothing, and no content of the volume makes it loop or leave its tables.
 * Locking    vmfs_volume.mutex for the whole check.
 * Start at   vmfs_check().
 */
#include "core/heap.h"
#include "fs/vmfs/vmfs_internal.h"
#include "lib/format.h"
#include "lib/string.h"

#define LINE_SIZE       200u
#define PROBLEMS_MAX    1000u  // reported; the rest is only counted
#define DIR_ENTRIES_MAX 4000000ull

struct checker {
    struct vmfs_volume *v;
    void (*report)(void *, const char *);
    void *argument;
    unsigned problems;
    uint8_t *used[RES_COUNT];  // bit per item, from the maps
    uint32_t *names;           // per descriptor, from the directories
    uint32_t *subdirs;         // per descriptor
    uint8_t *fd;               // one descriptor
};

static void problem(struct checker *c, const char *format, ...) printf_like(2, 3);

static void problem(struct checker *c, const char *format, ...)
{
    char line[LINE_SIZE];
    va_list arguments;

    if (c->problems++ >= PROBLEMS_MAX || !c->report)
        return;
    va_start(arguments, format);
    vmk_vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    c->report(c->argument, line);
}

/* The item's number among all of its kind, or UINT32_MAX. */
static uint32_t number_of(const struct checker *c, uint32_t address)
{
    const struct resource *r = &c->v->resources[resource_of(address)];

    if (addr_type(address) == ADDR_FB)
        return addr_fb_block(address) < r->total ? addr_fb_block(address) : UINT32_MAX;
    if (!resource_position(c->v, address))
        return UINT32_MAX;
    return addr_cluster(address) * r->per_cluster + addr_item(address);
}

/* Marks an address used. False if it cannot be followed. */
static bool mark(struct checker *c, uint32_t owner, uint32_t address, enum resource_kind kind)
{
    uint32_t number;

    if (resource_of(address) != kind && !(kind == RES_PB2 && resource_of(address) == RES_PBC)) {
        problem(c, "descriptor 0x%08x: address 0x%08x is of the wrong type", owner, address);
        return false;
    }
    kind = resource_of(address);
    number = number_of(c, address);
    if (number == UINT32_MAX) {
        problem(c, "descriptor 0x%08x: address 0x%08x is outside the volume", owner, address);
        return false;
    }
    if (c->used[kind][number / 8] >> (number % 8) & 1) {
        problem(c, "descriptor 0x%08x: 0x%08x is used twice", owner, address);
        return false;
    }
    c->used[kind][number / 8] |= (uint8_t)(1u << (number % 8));
    return true;
}

struct counts {
    uint64_t blocks, tbz, pbs;
};

static vmk_status check_words(struct checker *c, uint32_t owner, const uint8_t *words,
                              uint32_t count, unsigned depth, uint32_t zla, struct counts *n)
{
    uint8_t *table = NULL;
    vmk_status status = VMK_OK;

    for (uint32_t i = 0; i < count && status == VMK_OK; i++) {
        uint32_t word = le32(words + 4ull * i);

        if (!word)
            continue;
        if (!depth) {
            if (!mark(c, owner, word, zla == ZLA_SB ? RES_SBC : RES_FBB))
                continue;
            n->blocks++;
            n->tbz += zla != ZLA_SB && word & ADDR_TBZ;
            continue;
        }
        if (!mark(c, owner, word, depth == 2 || zla == ZLA_PB2_SINGLE ? RES_PB2 : RES_PBC))
            continue;
        n->pbs++;
        if (!table)
            table = vmfs_alloc(VMFS_PB_SIZE);
        status =
            table ? bytes_get(c->v, resource_position(c->v, word), false, table, VMFS_PB_SIZE)
                  : VMK_NO_MEMORY;
        if (status == VMK_OK)
            status = check_words(c, owner, table, VMFS_PB_WORDS, depth - 1, zla, n);
    }
    heap_free(table);
    return status;
}

static vmk_status check_entries(struct checker *c, uint32_t address)
{
    struct vmfs_volume *v = c->v;
    struct fd dir;
    uint8_t e[DIRENT_SIZE];
    uint64_t count;
    bool dots = true;
    vmk_status status = fd_get(v, (vmfs_id){address, 0}, false, &dir);

    if (status != VMK_OK)
        return status == VMK_NOT_FOUND ? VMK_OK : status;
    count = fd_length(&dir) / DIRENT_SIZE;
    if (fd_length(&dir) % DIRENT_SIZE || count > DIR_ENTRIES_MAX) {
        problem(c, "directory 0x%08x: length %llu is no number of entries", address,
                (unsigned long long)fd_length(&dir));
        return VMK_OK;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint32_t target;
        uint32_t number;
        const char *name = (const char *)e + DIRENT_NAME;
        uint8_t meta[VMFS_SECTOR];

        status = content_get(&dir, i * DIRENT_SIZE, e, sizeof(e));
        if (status == VMK_CORRUPT) {
            problem(c, "directory 0x%08x: its map cannot be followed", address);
            return VMK_OK;
        }
        if (status != VMK_OK)
            return status;
        target = le32(e + DIRENT_FD);
        if (memcmp(name, "", 1) == 0 || e[DIRENT_SIZE - 1]) {
            problem(c, "directory 0x%08x: entry %llu has no good name", address,
                    (unsigned long long)i);
            continue;
        }
        if (i < 2) {
            dots = dots && !strcmp(name, i ? ".." : ".");
            if (!i && target != address)
                problem(c, "directory 0x%08x: '.' is 0x%08x", address, target);
        } else if (!strcmp(name, ".") || !strcmp(name, "..")) {
            problem(c, "directory 0x%08x: '%s' stands at %llu", address, name,
                    (unsigned long long)i);
        }
        number = addr_type(target) == ADDR_FD ? number_of(c, target) : UINT32_MAX;
        if (number == UINT32_MAX) {
            problem(c, "directory 0x%08x: '%s' names 0x%08x, which is no descriptor", address,
                    name, target);
            continue;
        }
        c->names[number]++;
        status =
            bytes_get(v, resource_position(v, target) + FD_META, false, meta, sizeof(meta));
        if (status != VMK_OK)
            return status;
        if (le32(meta + FD_TYPE) != le32(e + DIRENT_TYPE) ||
            le32(meta + FD_GENERATION) != le32(e + DIRENT_GENERATION))
            problem(c, "directory 0x%08x: '%s': type or generation is not its descriptor's",
                    address, name);
        if (i >= 2 && le32(meta + FD_TYPE) == FD_TYPE_DIR)
            c->subdirs[number_of(c, address)]++;
    }
    if (count < 2 || !dots)
        problem(c, "directory 0x%08x: does not begin with '.' and '..'", address);
    return VMK_OK;
}

static vmk_status check_descriptor(struct checker *c, uint32_t address)
{
    struct vmfs_volume *v = c->v;
    uint64_t position = resource_position(v, address);
    const uint8_t *meta = c->fd + FD_META;
    struct counts n = {0, 0, 0};
    uint32_t zla;
    uint32_t type;
    uint64_t length;
    uint64_t shift;
    vmk_status status = bytes_get(v, position, false, c->fd, VMFS_FD_SIZE);

    if (status != VMK_OK)
        return status;
    zla = le32(meta + FD_ZLA);
    type = le32(meta + FD_TYPE);
    length = le64(meta + FD_LENGTH);
    if (le32(c->fd + LOCK_TYPE) != LOCK_FD || le64(c->fd + LOCK_ADDRESS) != position)
        problem(c, "descriptor 0x%08x: its lock is not its own", address);
    if (le32(meta + FD_ADDRESS) != address)
        problem(c, "descriptor 0x%08x: says it is 0x%08x", address, le32(meta + FD_ADDRESS));
    if (type < FD_TYPE_DIR || type > FD_TYPE_RDM)
        problem(c, "descriptor 0x%08x: type %u", address, type);
    if (le32(meta + FD_MODE) & ~047777u)
        problem(c, "descriptor 0x%08x: mode 0%o", address, le32(meta + FD_MODE));
    if (!le32(meta + FD_LINKS))
        problem(c, "descriptor 0x%08x: allocated, but has no names", address);
    if (type == FD_TYPE_RDM)
        return VMK_OK;
    shift = zla == ZLA_SB || zla == ZLA_RESIDENT ? v->sb_shift : v->fb_shift;
    if (le64(meta + FD_BLOCK_SIZE) != 1ull << shift ||
        (!v->old_geometry && meta[FD_BLOCK_SHIFT] != shift))
        problem(c, "descriptor 0x%08x: block size %llu does not fit its map %u", address,
                (unsigned long long)le64(meta + FD_BLOCK_SIZE), zla);
    switch (zla) {
    case ZLA_RESIDENT:
        if (length > FD_RESIDENT_MAX)
            problem(c, "descriptor 0x%08x: %llu bytes resident", address,
                    (unsigned long long)length);
        break;
    case ZLA_FB:
    case ZLA_SB:
        if (length > (uint64_t)VMFS_FD_WORDS << shift)
            problem(c, "descriptor 0x%08x: longer than its map", address);
        status = check_words(c, address, c->fd + FD_DATA, VMFS_FD_WORDS, 0, zla, &n);
        break;
    case ZLA_PB:
    case ZLA_PB2_SINGLE:
    case ZLA_DOUBLE: {
        uint8_t *words = vmfs_alloc(FD_DATA_SIZE);

        if (!words)
            return VMK_NO_MEMORY;
        memcpy(words, c->fd + FD_DATA, FD_DATA_SIZE);
        status =
            check_words(c, address, words, VMFS_FD_WORDS, zla == ZLA_DOUBLE ? 2 : 1, zla, &n);
        heap_free(words);
        break;
    }
    default: problem(c, "descriptor 0x%08x: unknown map %u", address, zla); return VMK_OK;
    }
    if (status != VMK_OK)
        return status;
    if (n.blocks != le64(meta + FD_BLOCKS))
        problem(c, "descriptor 0x%08x: says %llu blocks, has %llu", address,
                (unsigned long long)le64(meta + FD_BLOCKS), (unsigned long long)n.blocks);
    if (n.tbz != le32(meta + FD_TBZ_COUNT))
        problem(c, "descriptor 0x%08x: says %u blocks to zero, has %llu", address,
                le32(meta + FD_TBZ_COUNT), (unsigned long long)n.tbz);
    return VMK_OK;
}

static const char *const kind_names[RES_COUNT] = {[RES_FBB] = "file block",
                                                  [RES_FDC] = "descriptor",
                                                  [RES_PBC] = "pointer block",
                                                  [RES_SBC] = "sub-block",
                                                  [RES_PB2] = "secondary pointer block"};

/* A file block that a live host's journal occupies. */
static bool is_journal(const uint8_t *slots, uint32_t block)
{
    for (unsigned i = 0; i < HB_SLOTS; i++) {
        const uint8_t *slot = slots + (size_t)i * VMFS_SECTOR;

        if (le32(slot + HB_STATE) != HB_FREE && le32(slot + HB_JOURNAL_FB) &&
            addr_fb_block(le32(slot + HB_JOURNAL_FB)) == block)
            return true;
    }
    return false;
}

static vmk_status check_clusters(struct checker *c, enum resource_kind kind,
                                 const uint8_t *slots)
{
    const struct resource *r = &c->v->resources[kind];
    uint8_t head[RES_CLUSTER_SIZE];
    const uint8_t *meta = head + VMFS_SECTOR;

    for (uint32_t k = 0; k < r->clusters; k++) {
        uint64_t at = resource_cluster_position(r, k);
        uint32_t count = MIN(r->per_cluster, r->total - k * r->per_cluster);
        uint32_t free_count = 0;
        uint32_t first = UINT32_MAX;
        vmk_status status = bytes_get(c->v, at, false, head, sizeof(head));

        if (status != VMK_OK)
            return status;
        if (le32(head + LOCK_TYPE) != r->lock_type || le64(head + LOCK_ADDRESS) != at)
            problem(c, "%s cluster %u: its lock is not its own", kind_names[kind], k);
        if (le32(meta + RES_C_NUMBER) != k || le32(meta + RES_C_COUNT) != count)
            problem(c, "%s cluster %u: says it is %u with %u items", kind_names[kind], k,
                    le32(meta + RES_C_NUMBER), le32(meta + RES_C_COUNT));
        for (uint32_t i = 0; i < RES_BITMAP_SIZE * 8; i++) {
            bool is_free = meta[RES_C_BITMAP + i / 8] >> (i % 8) & 1;
            uint32_t number = k * r->per_cluster + i;
            bool used;

            if (i >= count) {
                if (is_free)
                    problem(c, "%s cluster %u: bit %u is behind its end", kind_names[kind], k,
                            i);
                continue;
            }
            used = c->used[kind][number / 8] >> (number % 8) & 1;
            free_count += is_free;
            if (is_free && first == UINT32_MAX)
                first = i;
            if (is_free && used)
                problem(c, "%s %u is used but not allocated", kind_names[kind], number);
            if (!is_free && !used && !(kind == RES_FBB && is_journal(slots, number)))
                problem(c, "%s %u is allocated but lost", kind_names[kind], number);
        }
        if (free_count != le32(meta + RES_C_FREE))
            problem(c, "%s cluster %u: says %u free, has %u", kind_names[kind], k,
                    le32(meta + RES_C_FREE), free_count);
        else if (le32(meta + RES_C_FIRST_FREE) != (first == UINT32_MAX ? 0 : first))
            problem(c, "%s cluster %u: first free is not %u", kind_names[kind], k,
                    le32(meta + RES_C_FIRST_FREE));
    }
    return VMK_OK;
}

static vmk_status check_links(struct checker *c)
{
    const struct resource *r = &c->v->resources[RES_FDC];

    for (uint32_t number = 0; number < r->total; number++) {
        uint32_t address = addr_fd(number / r->per_cluster, number % r->per_cluster);
        uint8_t meta[VMFS_SECTOR];
        uint32_t links;
        vmk_status status;

        if (!(c->used[RES_FDC][number / 8] >> (number % 8) & 1)) {
            if (c->names[number])
                problem(c, "descriptor 0x%08x is free but has %u names", address,
                        c->names[number]);
            continue;
        }
        status = bytes_get(c->v, resource_position(c->v, address) + FD_META, false, meta,
                           sizeof(meta));
        if (status != VMK_OK)
            return status;
        links = le32(meta + FD_LINKS);
        /* '.' and '..' are names too, .sdd.sf's '..' among the root's. */
        if (links && c->names[number] != links)
            problem(c, "descriptor 0x%08x: link count %u, but %u names", address, links,
                    c->names[number]);
        if (links && le32(meta + FD_TYPE) == FD_TYPE_DIR && number != FD_ROOT &&
            links != c->subdirs[number] + 2)
            problem(c, "directory 0x%08x: link count %u with %u sub-directories", address,
                    links, c->subdirs[number]);
        if (!c->names[number])
            problem(c, "descriptor 0x%08x is an orphan", address);
    }
    return VMK_OK;
}

static void check_heartbeats(struct checker *c, const uint8_t *slots)
{
    for (unsigned i = 0; i < HB_SLOTS; i++) {
        const uint8_t *slot = slots + (size_t)i * VMFS_SECTOR;
        uint32_t state = le32(slot + HB_STATE);

        if (le64(slot + HB_ADDRESS) != HB_BASE + i * VMFS_SECTOR)
            problem(c, "heartbeat slot %u: its address is 0x%llx", i,
                    (unsigned long long)le64(slot + HB_ADDRESS));
        if (state != HB_FREE && state != HB_IN_USE)
            problem(c, "heartbeat slot %u: state 0x%08x", i, state);
    }
}

static vmk_status check_lvm(struct checker *c)
{
    for (unsigned i = 0; i < c->v->extent_count; i++) {
        const struct vmfs_extent *e = &c->v->extents[i];
        const uint64_t at = lvm_pe_entry((e->data - LVM_DATA) >> LVM_PE_SHIFT);
        uint8_t head[VMFS_SECTOR];
        uint8_t table[VMFS_SECTOR];
        const uint8_t *entry = table + at % VMFS_SECTOR;
        vmk_status status = block_read(e->device, LVM_BASE, head, sizeof(head));

        if (status == VMK_OK)
            status = block_read(e->device, round_down(at, VMFS_SECTOR), table, sizeof(table));
        if (status != VMK_OK)
            return status;
        if ((!c->v->scattered && le32(head + LVM_D_PES) != e->pes) ||
            le64(head + LVM_D_DATA) != LVM_DATA ||
            le64(head + LVM_D_TOTAL_BYTES) > e->device->size)
            problem(c, "%s: LVM head does not fit its volume", e->device->name);
        if (entry[LVM_P_USED] != 1 || le64(entry + LVM_P_DEVICE_AT) != e->data ||
            le64(entry + LVM_P_VOLUME_AT) != e->first_pe << LVM_PE_SHIFT)
            problem(c, "%s: an entry of the extent table is wrong", e->device->name);
    }
    return VMK_OK;
}

static vmk_status run(struct checker *c, uint8_t *slots)
{
    const struct resource *r = &c->v->resources[RES_FDC];
    vmk_status status = lv_read(c->v, HB_BASE, slots, HB_SLOTS * VMFS_SECTOR);

    if (status == VMK_OK)
        status = check_lvm(c);
    if (status == VMK_OK)
        check_heartbeats(c, slots);
    for (uint32_t cluster = 0; cluster < r->clusters && status == VMK_OK; cluster++) {
        uint8_t head[VMFS_SECTOR];

        status = bytes_get(c->v, resource_cluster_position(r, cluster) + VMFS_SECTOR, false,
                           head, sizeof(head));
        for (uint32_t i = 0; i < r->per_cluster && status == VMK_OK; i++) {
            uint32_t address = addr_fd(cluster, i);
            uint32_t type;

            if (cluster * r->per_cluster + i >= r->total ||
                head[RES_C_BITMAP + i / 8] >> (i % 8) & 1)
                continue;
            c->used[RES_FDC][(cluster * r->per_cluster + i) / 8] |=
                (uint8_t)(1u << ((cluster * r->per_cluster + i) % 8));
            status = check_descriptor(c, address);
            type = le32(c->fd + FD_META + FD_TYPE);
            if (status == VMK_OK &&
                (type == FD_TYPE_DIR ||
                 (type == FD_TYPE_SYSTEM && le32(c->fd + FD_META + FD_MODE) & 040000)))
                status = check_entries(c, address);
            meta_drop_uncovered(c->v);
        }
    }
    for (unsigned kind = 0; kind < RES_COUNT && status == VMK_OK; kind++)
        status = check_clusters(c, (enum resource_kind)kind, slots);
    return status == VMK_OK ? check_links(c) : status;
}

unsigned vmfs_check(struct vmfs_volume *v, void (*report)(void *, const char *line),
                    void *argument, vmk_status *status)
{
    struct checker c = {.v = v, .report = report, .argument = argument};
    uint8_t *slots = vmfs_alloc(HB_SLOTS * VMFS_SECTOR);
    bool good = slots != NULL;

    c.fd = vmfs_alloc(VMFS_FD_SIZE);
    c.names = vmfs_alloc(v->resources[RES_FDC].total * sizeof(uint32_t));
    c.subdirs = vmfs_alloc(v->resources[RES_FDC].total * sizeof(uint32_t));
    good = good && c.fd && c.names && c.subdirs;
    for (unsigned i = 0; i < RES_COUNT; i++) {
        c.used[i] = vmfs_alloc(v->resources[i].total / 8 + 1);
        good = good && c.used[i];
    }
    *status = good ? volume_enter(v, false) : VMK_NO_MEMORY;
    if (good) {
        if (*status == VMK_OK)
            *status = run(&c, slots);
        *status = volume_leave(v, *status);
    }
    for (unsigned i = 0; i < RES_COUNT; i++)
        heap_free(c.used[i]);
    heap_free(c.subdirs);
    heap_free(c.names);
    heap_free(c.fd);
    heap_free(slots);
    return c.problems;
}
