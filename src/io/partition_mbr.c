// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/partition_mbr.c -- the old table: four entries in sector 0, and a chain of further ones.
 *
 * An extended partition holds a chain of tables; each describes one logical partition, relative
 * to itself, and the place of the next table, relative to the extended partition. Nothing but
 * care keeps such a chain from leading in a circle or out of the disk, so both are looked for.
 *
 * Invariants
 *   - A table of the chain is read once at most, and only inside its extended partition.
 *   - A write changes one block: its four entries and the signature. Extended partition and
 *     boot code stay.
 * Locking    none.
 * Start at   partition_mbr_read().
 * Sources    UEFI "Legacy Master Boot Record (MBR)".
 */
#include "core/heap.h"
#include "io/partition_internal.h"
#include "lib/endian.h"
#include "lib/string.h"

#define MBR_HEADS   255u
#define MBR_SECTORS 63u

static bool is_extended(uint8_t type)
{
    return type == 0x05 || type == 0x0f || type == 0x85;
}

/* LBAs of both schemes count device blocks. */
static void entry_read(const uint8_t *e, uint64_t base, uint32_t block_size,
                       struct partition *p)
{
    p->active = e[0] == 0x80;
    p->mbr_type = e[4];
    p->kind = partition_kind_of_mbr(e[4]);
    p->offset = (base + le32(e + 8)) * block_size;
    p->size = (uint64_t)le32(e + 12) * block_size;
}

struct chain {
    uint64_t begin, count;  // of the extended partition, blocks
    uint64_t seen[PARTITIONS_MAX];
    unsigned seen_count;
};

static bool seen_before(const struct chain *c, uint64_t at)
{
    for (unsigned i = 0; i < c->seen_count; i++) {
        if (c->seen[i] == at)
            return true;
    }
    return false;
}

static vmk_status chain_read(struct block_device *disk, struct chain *c, uint8_t *sector,
                             struct partition_table *table,
                             const struct partition_report *report)
{
    uint64_t at = c->begin;
    unsigned number = 5;

    for (;;) {
        const char *wrong = NULL;
        const uint8_t *next = sector + MBR_ENTRIES_AT + MBR_ENTRY_SIZE;
        vmk_status status;

        if (seen_before(c, at))
            wrong = "leads in a circle";
        else if (c->seen_count == PARTITIONS_MAX)
            wrong = "is longer than 128";
        else if (at < c->begin || at - c->begin >= c->count ||
                 at >= table->disk_size / disk->block_size)
            wrong = "leads out of the extended partition";
        if (!wrong) {
            c->seen[c->seen_count++] = at;
            status = block_read(disk, at * disk->block_size, sector, disk->block_size);
            if (status != VMK_OK)
                return status;
            if (le16(sector + MBR_SIGNATURE_AT) != MBR_SIGNATURE)
                wrong = "leads to a block that holds no table";
        }
        if (wrong) {
            table->problems |= PARTITION_BAD_CHAIN;
            partition_say(report,
                          "the chain of logical partitions %s at block %llu; what comes "
                          "behind partition %u is not seen",
                          wrong, (unsigned long long)at, number - 1);
            return VMK_OK;
        }
        if (sector[MBR_ENTRIES_AT + 4]) {
            struct partition *p = partition_new_entry(table);

            if (!p)
                return VMK_OK;
            entry_read(sector + MBR_ENTRIES_AT, at, disk->block_size, p);
            p->number = number++;
        }
        if (!is_extended(next[4]) || !le32(next + 8))
            return VMK_OK;
        at = c->begin + le32(next + 8);
    }
}

vmk_status partition_mbr_read(struct block_device *disk, const uint8_t *sector,
                              struct partition_table *table,
                              const struct partition_report *report)
{
    const uint8_t *extended = NULL;
    struct chain *chain;
    uint8_t *buffer;
    vmk_status status;

    /* A boot sector of FAT ends in the same signature; its bytes there are no boot flags. */
    for (unsigned i = 0; i < 4; i++) {
        if (sector[MBR_ENTRIES_AT + i * MBR_ENTRY_SIZE] & 0x7f)
            return VMK_OK;
    }
    table->scheme = PARTITION_SCHEME_MBR;
    table->signature = le32(sector + MBR_DISK_ID_AT);
    table->usable_begin = disk->block_size;
    table->usable_end = table->disk_size;
    table->slots = 4;
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *e = sector + MBR_ENTRIES_AT + i * MBR_ENTRY_SIZE;
        struct partition *p;

        if (!e[4])
            continue;
        if (is_extended(e[4])) {
            if (!extended) {
                extended = e;
                table->extended_slot = i + 1;
                continue;
            }
            table->problems |= PARTITION_BAD_CHAIN;
            partition_say(report, "entry %u is a second extended partition; it is not read",
                          i + 1);
            continue;
        }
        p = partition_new_entry(table);
        if (!p)
            return VMK_NO_MEMORY;
        entry_read(e, 0, disk->block_size, p);
        p->number = i + 1;
    }
    status = VMK_OK;
    if (extended) {
        chain = heap_alloc(sizeof(*chain), MEM_OWNER_KERNEL);
        buffer = heap_alloc(disk->block_size, MEM_OWNER_KERNEL);
        if (chain && buffer) {
            chain->begin = le32(extended + 8);
            chain->count = le32(extended + 12);
            table->extended = chain->begin * disk->block_size;
            table->extended_size = chain->count * disk->block_size;
            status = chain_read(disk, chain, buffer, table, report);
        } else {
            status = VMK_NO_MEMORY;
        }
        heap_free(buffer);
        heap_free(chain);
    }
    partition_table_check(table, report);
    return status;
}

/* ---- writing ---- */

bool partition_mbr_is_empty(const uint8_t *sector)
{
    for (unsigned i = 0; i < MBR_SIGNATURE_AT; i++) {
        if (sector[i] && i - MBR_DISK_ID_AT >= 4)
            return false;
    }
    return le32(sector + MBR_DISK_ID_AT) && le16(sector + MBR_SIGNATURE_AT) == MBR_SIGNATURE;
}

vmk_status partition_table_new_mbr(const struct block_device *disk, uint32_t signature,
                                   struct partition_table **out)
{
    struct partition_table *table;

    if (disk->block_size < 512 || disk->size / disk->block_size < 4)
        return VMK_NO_SPACE;
    table = heap_alloc(sizeof(*table), MEM_OWNER_KERNEL);
    if (!table)
        return VMK_NO_MEMORY;
    table->scheme = PARTITION_SCHEME_MBR;
    table->block_size = disk->block_size;
    table->disk_size = disk->size - disk->size % disk->block_size;
    table->usable_begin = disk->block_size;
    table->usable_end = table->disk_size;
    table->signature = signature;
    table->slots = 4;
    *out = table;
    return VMK_OK;
}

/*
 * Cylinder, head and sector as a BIOS of 255 heads counts them; what is beyond it is FE FF FF.
 */
static void chs_write(uint8_t *to, uint64_t lba)
{
    const uint64_t cylinder = lba / (MBR_HEADS * MBR_SECTORS);

    if (cylinder > 1023) {
        to[0] = 0xfe;
        to[1] = to[2] = 0xff;
        return;
    }
    to[0] = (uint8_t)(lba / MBR_SECTORS % MBR_HEADS);
    to[1] = (uint8_t)(lba % MBR_SECTORS + 1 + (cylinder >> 8 << 6));
    to[2] = (uint8_t)cylinder;
}

static bool entry_write(uint8_t *e, const struct partition *p, uint32_t block_size)
{
    const uint64_t first = p->offset / block_size;
    const uint64_t count = p->size / block_size;

    if (!count || first > UINT32_MAX || count > UINT32_MAX)
        return false;
    e[0] = p->active ? 0x80 : 0;
    chs_write(e + 1, first);
    e[4] = p->mbr_type;
    chs_write(e + 5, first + count - 1);
    put_le32(e + 8, (uint32_t)first);
    put_le32(e + 12, (uint32_t)count);
    return true;
}

vmk_status partition_mbr_write(struct block_device *disk, const struct partition_table *table)
{
    uint8_t *sector;
    vmk_status status;

    if (table->problems & PARTITION_BAD_ENTRY || table->block_size != disk->block_size)
        return VMK_BAD_FORMAT;
    sector = heap_alloc(disk->block_size, MEM_OWNER_KERNEL);
    status = sector ? block_read(disk, 0, sector, disk->block_size) : VMK_NO_MEMORY;
    for (unsigned i = 0; i < 4 && status == VMK_OK; i++) {
        uint8_t *e = sector + MBR_ENTRIES_AT + i * MBR_ENTRY_SIZE;
        const struct partition *p = partition_find(table, i + 1);

        if (i + 1 == table->extended_slot)
            continue;  // as it stands there
        memset(e, 0, MBR_ENTRY_SIZE);
        if (p && !entry_write(e, p, disk->block_size))
            status = VMK_BAD_PARAM;
    }
    if (status == VMK_OK) {
        put_le32(sector + MBR_DISK_ID_AT, table->signature);
        put_le16(sector + MBR_SIGNATURE_AT, MBR_SIGNATURE);
        status = block_write(disk, 0, sector, disk->block_size);
    }
    if (status == VMK_OK)
        status = block_flush(disk);
    if (status == VMK_OK)
        status = partition_gpt_wipe(disk);
    heap_free(sector);
    return status;
}
