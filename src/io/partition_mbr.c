// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/partition_mbr.c -- the old table: four entries in sector 0, and a chain of further ones.
 *
 * An extended partition holds a chain of tables; each describes one logical partition, relative to
 * itself, and the place of the next table, relative to the extended partition. Nothing but care keeps
 * such a chain from leading in a circle or out of the disk, so both are looked for.
 *
 * Invariants
 *   - A table of the chain is read once at most, and only inside its extended partition.
 * Locking    none.
 * Start at   partition_mbr_read().
 * Sources    UEFI "Legacy Master Boot Record (MBR)".
 */
#include "core/heap.h"
#include "io/partition_internal.h"
#include "lib/endian.h"
#include "lib/string.h"

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
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *e = sector + MBR_ENTRIES_AT + i * MBR_ENTRY_SIZE;
        struct partition *p;

        if (!e[4])
            continue;
        if (is_extended(e[4])) {
            if (!extended) {
                extended = e;
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
