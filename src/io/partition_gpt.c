// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/partition_gpt.c -- GUID partition tables: two copies of a header and an array of entries.
 *
 * A copy is good when its header's CRC, its own place, its bounds and the CRC of its array all
 * check.
 * The primary wins while it is good. Writing goes backup first, so that at every moment one
 * copy is good: before the backup is durable the primary is the old table, afterwards a damaged
 * primary is mended from the new backup.
 *
 * Repair works on the bytes of the array, not on what we understood of them: entries larger
 * than ours and attributes we do not know survive.
 *
 * Invariants
 *   - No field of a header is used before its CRC and bounds have been checked.
 *   - Copies are written from one struct gpt_copy, so both say the same.
 * Locking    none.
 * Start at   partition_gpt_read(), partition_table_write().
 * Sources    UEFI "GPT Header", "GPT Partition Entry Array", "Protective MBR".
 */
#include "core/heap.h"
#include "io/partition_internal.h"
#include "lib/crc32.h"
#include "lib/endian.h"
#include "lib/string.h"
#include "lib/utf16.h"

enum gpt_header_field {
    GPT_SIGNATURE = 0,
    GPT_REVISION = 8,
    GPT_HEADER_SIZE = 12,
    GPT_HEADER_CRC = 16,
    GPT_MY_LBA = 24,
    GPT_OTHER_LBA = 32,
    GPT_FIRST_USABLE = 40,
    GPT_LAST_USABLE = 48,
    GPT_DISK_ID = 56,
    GPT_ARRAY_LBA = 72,
    GPT_ENTRY_COUNT = 80,
    GPT_ENTRY_SIZE = 84,
    GPT_ARRAY_CRC = 88,
    GPT_HEADER_LEAST = 92,
};

enum gpt_entry_field {
    GPT_ENTRY_TYPE = 0,
    GPT_ENTRY_ID = 16,
    GPT_ENTRY_FIRST = 32,
    GPT_ENTRY_LAST = 40,
    GPT_ENTRY_ATTRIBUTES = 48,
    GPT_ENTRY_NAME = 56,
    GPT_ENTRY_LEAST = 128,
    GPT_NAME_UNITS = 36,
};

#define GPT_ARRAY_MOST (1u << 20)

static const char signature[8] = {'E', 'F', 'I', ' ', 'P', 'A', 'R', 'T'};

struct gpt_copy {
    uint64_t my_lba, other_lba, first_usable, last_usable, array_lba;
    uint32_t entry_count, entry_size, array_crc;
    struct partition_guid disk_id;
    uint8_t *array;  // from the heap; entry_count * entry_size bytes
};

static uint64_t blocks_of(const struct block_device *disk)
{
    return disk->size / disk->block_size;
}

static uint64_t array_blocks(const struct block_device *disk, const struct gpt_copy *c)
{
    return ((uint64_t)c->entry_count * c->entry_size + disk->block_size - 1) / disk->block_size;
}

/* Null, or what is wrong with a header; fills *c but for the array. */
static const char *header_decode(const struct block_device *disk, uint64_t lba, uint8_t *h,
                                 struct gpt_copy *c)
{
    uint32_t size = le32(h + GPT_HEADER_SIZE);
    uint32_t crc = le32(h + GPT_HEADER_CRC);
    uint64_t blocks = blocks_of(disk);
    uint64_t bytes;

    if (memcmp(h, signature, sizeof(signature)) != 0)
        return "has no signature";
    if (size < GPT_HEADER_LEAST || size > disk->block_size)
        return "has an impossible header size";
    put_le32(h + GPT_HEADER_CRC, 0);
    if (crc32_add(0, h, size) != crc)
        return "has a wrong checksum";
    c->my_lba = le64(h + GPT_MY_LBA);
    c->other_lba = le64(h + GPT_OTHER_LBA);
    c->first_usable = le64(h + GPT_FIRST_USABLE);
    c->last_usable = le64(h + GPT_LAST_USABLE);
    c->array_lba = le64(h + GPT_ARRAY_LBA);
    c->entry_count = le32(h + GPT_ENTRY_COUNT);
    c->entry_size = le32(h + GPT_ENTRY_SIZE);
    c->array_crc = le32(h + GPT_ARRAY_CRC);
    memcpy(c->disk_id.raw, h + GPT_DISK_ID, sizeof(c->disk_id.raw));
    bytes = (uint64_t)c->entry_count * c->entry_size;
    if (le32(h + GPT_REVISION) >> 16 != 1)
        return "has a revision that is not 1";
    if (c->my_lba != lba)
        return "says that it belongs elsewhere";
    if (c->entry_size < GPT_ENTRY_LEAST || c->entry_size & (c->entry_size - 1) ||
        !c->entry_count || bytes > GPT_ARRAY_MOST)
        return "has an impossible array of entries";
    if (c->array_lba < 2 || c->array_lba >= blocks ||
        array_blocks(disk, c) > blocks - c->array_lba)
        return "has its array off the disk";
    if (c->first_usable < 2 || c->last_usable >= blocks || c->first_usable > c->last_usable + 1)
        return "has impossible bounds";
    if (c->array_lba + array_blocks(disk, c) > c->first_usable &&
        c->array_lba <= c->last_usable)
        return "has its array among the partitions";
    return NULL;
}

/* OK with *wrong set: the copy is damaged, and nothing is held. */
static vmk_status copy_read(struct block_device *disk, uint64_t lba, struct gpt_copy *c,
                            const char **wrong)
{
    uint8_t *header = heap_alloc(disk->block_size, MEM_OWNER_KERNEL);
    vmk_status status = header
                            ? block_read(disk, lba * disk->block_size, header, disk->block_size)
                            : VMK_NO_MEMORY;

    memset(c, 0, sizeof(*c));
    *wrong = NULL;
    if (status == VMK_IO_ERROR) {
        *wrong = "cannot be read";
        status = VMK_OK;
    } else if (status == VMK_OK) {
        *wrong = header_decode(disk, lba, header, c);
    }
    heap_free(header);
    if (status != VMK_OK || *wrong)
        return status;

    uint64_t bytes = array_blocks(disk, c) * disk->block_size;

    c->array = heap_alloc(bytes, MEM_OWNER_KERNEL);
    if (!c->array)
        return VMK_NO_MEMORY;
    status = block_read(disk, c->array_lba * disk->block_size, c->array, bytes);
    if (status == VMK_IO_ERROR) {
        *wrong = "has an array that cannot be read";
        status = VMK_OK;
    } else if (status == VMK_OK &&
               crc32_add(0, c->array, (size_t)c->entry_count * c->entry_size) != c->array_crc) {
        *wrong = "has an array with a wrong checksum";
    }
    if (status != VMK_OK || *wrong) {
        heap_free(c->array);
        c->array = NULL;
    }
    return status;
}

struct gpt_state {
    struct gpt_copy primary, backup;
    const char *primary_wrong, *backup_wrong;
    uint64_t backup_lba;
};

static void state_free(struct gpt_state *s)
{
    heap_free(s->primary.array);
    heap_free(s->backup.array);
}

static const struct gpt_copy *good_copy(const struct gpt_state *s)
{
    return !s->primary_wrong ? &s->primary : !s->backup_wrong ? &s->backup : NULL;
}

static bool copies_differ(const struct gpt_copy *a, const struct gpt_copy *b)
{
    return a->array_crc != b->array_crc || a->entry_count != b->entry_count ||
           a->entry_size != b->entry_size || a->first_usable != b->first_usable ||
           a->last_usable != b->last_usable || a->other_lba != b->my_lba ||
           b->other_lba != a->my_lba || !partition_guid_same(&a->disk_id, &b->disk_id);
}

static vmk_status state_read(struct block_device *disk, struct gpt_state *s)
{
    uint64_t last = blocks_of(disk) - 1;
    vmk_status status = copy_read(disk, 1, &s->primary, &s->primary_wrong);

    s->backup_wrong = "lies off the disk";
    s->backup_lba = last;
    if (status == VMK_OK && !s->primary_wrong && s->primary.other_lba > 1 &&
        s->primary.other_lba < last) {
        s->backup_lba = s->primary.other_lba;
        status = copy_read(disk, s->backup_lba, &s->backup, &s->backup_wrong);
    }
    if (status == VMK_OK && s->backup_wrong) {
        s->backup_lba = last;
        status = copy_read(disk, last, &s->backup, &s->backup_wrong);
    }
    return status;
}

static void entry_read(const uint8_t *e, uint32_t block_size, struct partition *p)
{
    uint64_t most = (UINT64_MAX >> 1) / block_size;
    uint64_t first = MIN(le64(e + GPT_ENTRY_FIRST), most);
    uint64_t last = MIN(le64(e + GPT_ENTRY_LAST), most);
    size_t units = 0;

    memcpy(p->type.raw, e + GPT_ENTRY_TYPE, sizeof(p->type.raw));
    memcpy(p->id.raw, e + GPT_ENTRY_ID, sizeof(p->id.raw));
    p->kind = partition_kind_of_guid(&p->type);
    p->offset = first * block_size;
    p->size = last < first ? 0 : (last - first + 1) * block_size;
    p->attributes = le64(e + GPT_ENTRY_ATTRIBUTES);
    while (units < GPT_NAME_UNITS && le16(e + GPT_ENTRY_NAME + 2 * units))
        units++;
    if (utf8_from_utf16(e + GPT_ENTRY_NAME, units, p->name, sizeof(p->name)) == SIZE_MAX)
        p->name[0] = 0;
}

static void table_fill(const struct gpt_copy *c, struct partition_table *table,
                       const struct partition_report *report)
{
    static const struct partition_guid none;

    table->scheme = PARTITION_SCHEME_GPT;
    table->disk_id = c->disk_id;
    table->usable_begin = c->first_usable * table->block_size;
    table->usable_end = (c->last_usable + 1) * table->block_size;
    table->slots = c->entry_count;
    for (unsigned i = 0; i < c->entry_count; i++) {
        const uint8_t *e = c->array + (size_t)i * c->entry_size;
        struct partition *p;

        if (memcmp(e + GPT_ENTRY_TYPE, none.raw, sizeof(none.raw)) == 0)
            continue;
        p = partition_new_entry(table);
        if (!p) {
            partition_say(report,
                          "more than %u partitions; those behind number %u are not seen",
                          PARTITIONS_MAX, table->partitions[PARTITIONS_MAX - 1].number);
            break;
        }
        entry_read(e, table->block_size, p);
        p->number = i + 1;
    }
    partition_table_check(table, report);
}

static void judge(const struct block_device *disk, const struct gpt_state *s, bool protective,
                  struct partition_table *table, const struct partition_report *report)
{
    static const char remedy[] = "gpt-repair writes it anew from the other copy";

    if (s->primary_wrong) {
        table->problems |= PARTITION_BAD_PRIMARY;
        partition_say(report, "the primary GPT (block 1) %s; %s", s->primary_wrong, remedy);
    }
    if (s->backup_wrong) {
        table->problems |= PARTITION_BAD_BACKUP;
        partition_say(report, "the backup GPT (block %llu) %s; %s",
                      (unsigned long long)s->backup_lba, s->backup_wrong, remedy);
    } else if (s->backup_lba != blocks_of(disk) - 1) {
        table->problems |= PARTITION_BACKUP_MISPLACED;
        partition_say(report,
                      "the backup GPT is at block %llu and not at the disk's end: the disk "
                      "grew; gpt-repair moves it",
                      (unsigned long long)s->backup_lba);
    }
    if (!s->primary_wrong && !s->backup_wrong && copies_differ(&s->primary, &s->backup)) {
        table->problems |= PARTITION_COPIES_DIFFER;
        partition_say(report, "the two GPTs differ; the primary counts, and gpt-repair copies "
                              "it over the backup");
    }
    if (!protective) {
        table->problems |= PARTITION_BAD_PROTECTIVE;
        partition_say(report, "sector 0 has no protective entry for the GPT; gpt-repair "
                              "writes it");
    }
}

vmk_status partition_gpt_read(struct block_device *disk, bool protective,
                              struct partition_table *table,
                              const struct partition_report *report)
{
    struct gpt_state s = {.backup_lba = 0};
    const struct gpt_copy *good;
    vmk_status status = state_read(disk, &s);

    if (status == VMK_OK) {
        good = good_copy(&s);
        if (good) {
            judge(disk, &s, protective, table, report);
            table_fill(good, table, report);
        } else if (protective) {
            partition_say(report, "the primary GPT %s, the backup GPT %s: nothing to go by",
                          s.primary_wrong, s.backup_wrong);
            status = VMK_CORRUPT;
        }
    }
    state_free(&s);
    return status;
}

/* ---- writing ---- */

/* Header and array of one copy; durable when it returns. */
static vmk_status copy_write(struct block_device *disk, const struct gpt_copy *c)
{
    uint8_t *h = heap_alloc(disk->block_size, MEM_OWNER_KERNEL);
    vmk_status status;

    if (!h)
        return VMK_NO_MEMORY;
    memcpy(h, signature, sizeof(signature));
    put_le32(h + GPT_REVISION, 0x10000);
    put_le32(h + GPT_HEADER_SIZE, GPT_HEADER_LEAST);
    put_le64(h + GPT_MY_LBA, c->my_lba);
    put_le64(h + GPT_OTHER_LBA, c->other_lba);
    put_le64(h + GPT_FIRST_USABLE, c->first_usable);
    put_le64(h + GPT_LAST_USABLE, c->last_usable);
    memcpy(h + GPT_DISK_ID, c->disk_id.raw, sizeof(c->disk_id.raw));
    put_le64(h + GPT_ARRAY_LBA, c->array_lba);
    put_le32(h + GPT_ENTRY_COUNT, c->entry_count);
    put_le32(h + GPT_ENTRY_SIZE, c->entry_size);
    put_le32(h + GPT_ARRAY_CRC, c->array_crc);
    put_le32(h + GPT_HEADER_CRC, crc32_add(0, h, GPT_HEADER_LEAST));
    status = block_write(disk, c->array_lba * disk->block_size, c->array,
                         array_blocks(disk, c) * disk->block_size);
    if (status == VMK_OK)
        status = block_write(disk, c->my_lba * disk->block_size, h, disk->block_size);
    if (status == VMK_OK)
        status = block_flush(disk);
    heap_free(h);
    return status;
}

/* The boot code before the entries stays. */
static vmk_status protective_write(struct block_device *disk)
{
    uint8_t *sector = heap_alloc(disk->block_size, MEM_OWNER_KERNEL);
    vmk_status status = sector ? block_read(disk, 0, sector, disk->block_size) : VMK_NO_MEMORY;
    uint8_t *e;

    if (status == VMK_OK) {
        e = sector + MBR_ENTRIES_AT;
        memset(e, 0, 4 * MBR_ENTRY_SIZE);
        e[2] = 2;  // cylinder 0, head 0, sector 2
        e[4] = MBR_TYPE_GPT;
        memset(e + 5, 0xff, 3);
        put_le32(e + 8, 1);
        put_le32(e + 12, (uint32_t)MIN(blocks_of(disk) - 1, UINT32_MAX));
        put_le16(sector + MBR_SIGNATURE_AT, MBR_SIGNATURE);
        status = block_write(disk, 0, sector, disk->block_size);
    }
    if (status == VMK_OK)
        status = block_flush(disk);
    heap_free(sector);
    return status;
}

/* `c` has everything but its places; the array stays the caller's. */
static vmk_status both_write(struct block_device *disk, struct gpt_copy *c)
{
    uint64_t last = blocks_of(disk) - 1;
    uint64_t blocks = array_blocks(disk, c);
    vmk_status status;

    c->my_lba = last;
    c->other_lba = 1;
    c->array_lba = last - blocks;
    status = copy_write(disk, c);
    if (status != VMK_OK)
        return status;
    c->my_lba = 1;
    c->other_lba = last;
    c->array_lba = 2;
    return copy_write(disk, c);
}

/* Sector 0 stays where it announces a GPT already: it may hold more (a hybrid table). */
static bool is_protected(struct block_device *disk)
{
    uint8_t *sector = heap_alloc(disk->block_size, MEM_OWNER_KERNEL);
    bool found = false;

    if (sector && block_read(disk, 0, sector, disk->block_size) == VMK_OK &&
        le16(sector + MBR_SIGNATURE_AT) == MBR_SIGNATURE) {
        for (unsigned i = 0; i < 4; i++)
            found |= sector[MBR_ENTRIES_AT + i * MBR_ENTRY_SIZE + 4] == MBR_TYPE_GPT;
    }
    heap_free(sector);
    return found;
}

vmk_status partition_table_repair(struct block_device *disk,
                                  const struct partition_report *report)
{
    struct gpt_state s = {.backup_lba = 0};
    const struct gpt_copy *good;
    struct gpt_copy c;
    vmk_status status;

    if (disk->block_size < 512 || disk->size / disk->block_size < 8)
        return VMK_NO_SPACE;
    status = state_read(disk, &s);
    good = status == VMK_OK ? good_copy(&s) : NULL;
    if (status == VMK_OK && !good) {
        partition_say(report, "the primary GPT %s, the backup GPT %s: nothing to repair from",
                      s.primary_wrong, s.backup_wrong);
        status = VMK_BAD_FORMAT;
    }
    if (status == VMK_OK) {
        uint64_t last_usable = blocks_of(disk) - array_blocks(disk, good) - 2;

        c = *good;
        /* A disk that grew has more room now; partitions may lie up to the old bound. */
        if (s.backup_lba != blocks_of(disk) - 1 && last_usable > c.last_usable)
            c.last_usable = last_usable;
        if (c.last_usable > last_usable || 2 + array_blocks(disk, good) > c.first_usable) {
            partition_say(report, "partitions may lie where a GPT has to be written; repair "
                                  "by hand");
            status = VMK_BAD_FORMAT;
        } else {
            status = both_write(disk, &c);
        }
    }
    if (status == VMK_OK && !is_protected(disk))
        status = protective_write(disk);
    state_free(&s);
    return status;
}

vmk_status partition_table_new(const struct block_device *disk,
                               const struct partition_guid *disk_id,
                               struct partition_table **out)
{
    uint64_t blocks = disk->block_size >= 512 ? blocks_of(disk) : 0;
    uint64_t array =
        blocks ? (PARTITIONS_MAX * GPT_ENTRY_LEAST + disk->block_size - 1) / disk->block_size
               : 0;
    struct partition_table *table;

    if (blocks < 2 * array + 4)
        return VMK_NO_SPACE;
    table = heap_alloc(sizeof(*table), MEM_OWNER_KERNEL);
    if (!table)
        return VMK_NO_MEMORY;
    table->scheme = PARTITION_SCHEME_GPT;
    table->block_size = disk->block_size;
    table->disk_size = blocks * disk->block_size;
    table->usable_begin = (2 + array) * disk->block_size;
    table->usable_end = (blocks - array - 1) * disk->block_size;
    table->disk_id = *disk_id;
    table->slots = PARTITIONS_MAX;
    *out = table;
    return VMK_OK;
}

static bool entry_write(uint8_t *e, const struct partition *p, uint32_t block_size)
{
    memcpy(e + GPT_ENTRY_TYPE, p->type.raw, sizeof(p->type.raw));
    memcpy(e + GPT_ENTRY_ID, p->id.raw, sizeof(p->id.raw));
    put_le64(e + GPT_ENTRY_FIRST, p->offset / block_size);
    put_le64(e + GPT_ENTRY_LAST, (p->offset + p->size) / block_size - 1);
    put_le64(e + GPT_ENTRY_ATTRIBUTES, p->attributes);
    return utf16_from_utf8(p->name, strlen(p->name), e + GPT_ENTRY_NAME, GPT_NAME_UNITS) !=
           SIZE_MAX;
}

static vmk_status header_wipe(struct block_device *disk, uint64_t lba, uint8_t *block)
{
    vmk_status status = block_read(disk, lba * disk->block_size, block, disk->block_size);

    if (status != VMK_OK || memcmp(block, signature, sizeof(signature)) != 0)
        return status;
    memset(block, 0, disk->block_size);
    status = block_write(disk, lba * disk->block_size, block, disk->block_size);
    return status == VMK_OK ? block_flush(disk) : status;
}

vmk_status partition_gpt_wipe(struct block_device *disk)
{
    uint8_t *block = heap_alloc(disk->block_size, MEM_OWNER_KERNEL);
    vmk_status status = block ? header_wipe(disk, 1, block) : VMK_NO_MEMORY;

    if (status == VMK_OK)
        status = header_wipe(disk, blocks_of(disk) - 1, block);
    heap_free(block);
    return status;
}

vmk_status partition_table_write(struct block_device *disk, const struct partition_table *table)
{
    struct gpt_copy c = {.entry_size = GPT_ENTRY_LEAST,
                         .entry_count = MAX(table->slots, PARTITIONS_MAX),
                         .first_usable = table->usable_begin / table->block_size,
                         .last_usable = table->usable_end / table->block_size - 1,
                         .disk_id = table->disk_id};
    uint64_t blocks = array_blocks(disk, &c);
    vmk_status status = VMK_OK;

    if (table->scheme == PARTITION_SCHEME_MBR)
        return partition_mbr_write(disk, table);
    if (table->scheme != PARTITION_SCHEME_GPT ||
        table->problems & (PARTITION_BAD_ENTRY | PARTITION_BACKUP_MISPLACED) ||
        table->block_size != disk->block_size || table->slots > 1024)
        return VMK_BAD_FORMAT;
    if (2 + blocks > c.first_usable || c.last_usable + blocks + 1 >= blocks_of(disk))
        return VMK_BAD_FORMAT;
    c.array = heap_alloc(blocks * disk->block_size, MEM_OWNER_KERNEL);
    if (!c.array)
        return VMK_NO_MEMORY;
    for (unsigned i = 0; i < table->count && status == VMK_OK; i++) {
        const struct partition *p = &table->partitions[i];

        if (!entry_write(c.array + (size_t)(p->number - 1) * GPT_ENTRY_LEAST, p,
                         table->block_size))
            status = VMK_BAD_PARAM;
    }
    c.array_crc = crc32_add(0, c.array, (size_t)c.entry_count * GPT_ENTRY_LEAST);
    if (status == VMK_OK)
        status = both_write(disk, &c);
    if (status == VMK_OK && !is_protected(disk))
        status = protective_write(disk);
    heap_free(c.array);
    return status;
}
