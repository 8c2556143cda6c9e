// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/partition.c -- tables of partitions in memory, and a partition as a block device.
 *
 * Which scheme a disk has is decided by sector 0, as firmware does: an entry of type EE
 * announces a GPT. A GPT without that entry counts only where sector 0 holds no partitions of
 * its own, so that an old GPT does not come back to life on a disk that was made MBR since.
 *
 * Invariants
 *   - What a caller gets through partition_open() lies on the disk and overlaps no other
 *     partition.
 *   - A request reaches the disk as a copy: the submitter's own stays as it was, so that it can
 *     be submitted again.
 * Locking    none: a table belongs to its caller; devices hold nothing that changes.
 * Start at   partition_table_read(), partition_open().
 * Sources    UEFI "GUID Partition Table (GPT) Disk Layout"; PARTEDUTIL for ESXi's types.
 */
#include "io/partition.h"

#include "core/heap.h"
#include "core/log.h"
#include "io/partition_internal.h"
#include "lib/ascii.h"
#include "lib/endian.h"
#include "lib/format.h"
#include "lib/string.h"

/* GUIDs in the order of their text. MBR types only where one is customary. */
static const struct kind {
    const char *name, *guid;
    uint8_t mbr_type;
} kinds[PARTITION_KIND_COUNT] = {
    [PARTITION_OTHER] = {"other", "00000000000000000000000000000000", 0},
    [PARTITION_VMFS] = {"vmfs", "AA31E02A400F11DB9590000C2911D1B8", 0xfb},
    [PARTITION_VMKCORE] = {"vmkcore", "9D27538040AD11DBBF97000C2911D1B8", 0xfc},
    [PARTITION_VMWARE_RESERVED] = {"vmware-reserved", "9198EFFC31C011DB8F78000C2911D1B8", 0},
    [PARTITION_VSAN] = {"vsan", "381CFCCC728811E092EE000C2911D0B2", 0},
    [PARTITION_EFI_SYSTEM] = {"efi-system", "C12A7328F81F11D2BA4B00A0C93EC93B", 0xef},
    [PARTITION_BASIC_DATA] = {"basic-data", "EBD0A0A2B9E5443387C068B6B72699C7", 0x0c},
    [PARTITION_LINUX] = {"linux", "0FC63DAF848347728E793D69D8477DE4", 0x83},
    [PARTITION_LINUX_SWAP] = {"linux-swap", "0657FD6DA4AB43C484E50933C84B4F4F", 0x82},
    [PARTITION_LINUX_LVM] = {"linux-lvm", "E6D6D379F50744C2A23C238F2A3DF928", 0x8e},
    [PARTITION_LINUX_RAID] = {"linux-raid", "A19D880F05FC4D3BA006743F0F84911E", 0xfd},
    [PARTITION_BIOS_BOOT] = {"bios-boot", "2168614864496E6F744E656564454649", 0},
};

/* Where each byte of the text stands on disk. */
static const uint8_t text_order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

void partition_guid_text(const struct partition_guid *guid, char out[PARTITION_GUID_TEXT])
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned at = 0;

    for (unsigned i = 0; i < 16; i++) {
        uint8_t byte = guid->raw[text_order[i]];

        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        out[at++] = digits[byte >> 4];
        out[at++] = digits[byte & 15];
    }
    out[at] = 0;
}

bool partition_guid_parse(const char *text, struct partition_guid *out)
{
    unsigned digits = 0;

    memset(out, 0, sizeof(*out));
    for (; *text; text++) {
        int value = ascii_hex(*text);

        if (*text == '-' && digits)
            continue;
        if (value < 0 || digits == 32)
            return false;
        out->raw[text_order[digits / 2]] =
            (uint8_t)((unsigned)out->raw[text_order[digits / 2]] << 4 | (unsigned)value);
        digits++;
    }
    return digits == 32;
}

struct partition_guid partition_guid_make(uint64_t random_a, uint64_t random_b)
{
    struct partition_guid guid;

    put_le64(guid.raw, random_a);
    put_le64(guid.raw + 8, random_b);
    guid.raw[7] = (uint8_t)((guid.raw[7] & 0x0f) | 0x40);
    guid.raw[8] = (uint8_t)((guid.raw[8] & 0x3f) | 0x80);
    return guid;
}

bool partition_guid_same(const struct partition_guid *a, const struct partition_guid *b)
{
    return memcmp(a->raw, b->raw, sizeof(a->raw)) == 0;
}

const char *partition_kind_name(enum partition_kind kind)
{
    return (unsigned)kind < PARTITION_KIND_COUNT ? kinds[kind].name : "other";
}

enum partition_kind partition_kind_find(const char *name)
{
    for (unsigned i = 0; i < PARTITION_KIND_COUNT; i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return (enum partition_kind)i;
    }
    return PARTITION_KIND_COUNT;
}

struct partition_guid partition_kind_guid(enum partition_kind kind)
{
    struct partition_guid guid = {{0}};

    if ((unsigned)kind < PARTITION_KIND_COUNT)
        (void)!partition_guid_parse(kinds[kind].guid, &guid);
    return guid;
}

enum partition_kind partition_kind_of_guid(const struct partition_guid *guid)
{
    for (unsigned i = 1; i < PARTITION_KIND_COUNT; i++) {
        struct partition_guid known = partition_kind_guid((enum partition_kind)i);

        if (partition_guid_same(guid, &known))
            return (enum partition_kind)i;
    }
    return PARTITION_OTHER;
}

enum partition_kind partition_kind_of_mbr(uint8_t type)
{
    for (unsigned i = 1; i < PARTITION_KIND_COUNT; i++) {
        if (kinds[i].mbr_type == type && type)
            return (enum partition_kind)i;
    }
    switch (type) {  // the FAT family and NTFS
    case 0x01:
    case 0x04:
    case 0x06:
    case 0x07:
    case 0x0b:
    case 0x0e: return PARTITION_BASIC_DATA;
    default: return PARTITION_OTHER;
    }
}

uint8_t partition_kind_mbr_type(enum partition_kind kind)
{
    return (unsigned)kind < PARTITION_KIND_COUNT ? kinds[kind].mbr_type : 0;
}

void partition_say(const struct partition_report *report, const char *format, ...)
{
    char text[160];
    va_list arguments;

    va_start(arguments, format);
    (void)vmk_vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (report)
        report->line(report->argument, text);
    else
        vmk_log(VMK_LOG_WARN, "Partition: %s", text);
}

struct partition *partition_new_entry(struct partition_table *table)
{
    if (table->count == PARTITIONS_MAX)
        return NULL;

    struct partition *p = &table->partitions[table->count++];

    memset(p, 0, sizeof(*p));
    return p;
}

static bool overlap(const struct partition *a, const struct partition *b)
{
    return a->offset < b->offset + b->size && b->offset < a->offset + a->size;
}

/* Where the extended partition of an MBR is, nothing else can be. */
static bool in_extended(const struct partition_table *table, const struct partition *p)
{
    const struct partition extended = {.offset = table->extended, .size = table->extended_size};

    return extended.size && overlap(p, &extended);
}

void partition_table_check(struct partition_table *table, const struct partition_report *report)
{
    table->problems &= ~PARTITION_BAD_ENTRY;
    for (unsigned i = 0; i < table->count; i++) {
        struct partition *p = &table->partitions[i];

        p->bad = !p->size || p->offset < table->usable_begin || p->offset > table->usable_end ||
                 p->size > table->usable_end - p->offset;
        if (p->bad) {
            table->problems |= PARTITION_BAD_ENTRY;
            partition_say(report,
                          "partition %u: blocks %llu to %llu are not within %llu to %llu; "
                          "it is not opened: delete it or make it anew",
                          p->number, (unsigned long long)(p->offset / table->block_size),
                          (unsigned long long)((p->offset + p->size) / table->block_size) - 1,
                          (unsigned long long)(table->usable_begin / table->block_size),
                          (unsigned long long)(table->usable_end / table->block_size) - 1);
        }
    }
    for (unsigned i = 0; i < table->count; i++) {
        for (unsigned j = 0; j < i; j++) {
            struct partition *a = &table->partitions[j];
            struct partition *b = &table->partitions[i];

            if (!a->size || !b->size || !overlap(a, b))
                continue;
            a->bad = b->bad = true;
            table->problems |= PARTITION_BAD_ENTRY;
            partition_say(report,
                          "partitions %u and %u overlap; neither is opened: delete the one "
                          "that is wrong",
                          a->number, b->number);
        }
    }
}

static void no_line(void *argument, const char *text)
{
    (void)argument;
    (void)text;
}

const struct partition_report partition_report_none = {.line = no_line};

vmk_status partition_table_read(struct block_device *disk,
                                const struct partition_report *report,
                                struct partition_table **out)
{
    struct partition_table *table;
    uint8_t *sector;
    vmk_status status;
    bool protective = false;
    bool own = false;

    *out = NULL;
    if (disk->block_size < 512 || disk->size / disk->block_size < 2)
        return VMK_NO_SPACE;
    table = heap_alloc(sizeof(*table), MEM_OWNER_KERNEL);
    sector = heap_alloc(disk->block_size, MEM_OWNER_KERNEL);
    status = table && sector ? block_read(disk, 0, sector, disk->block_size) : VMK_NO_MEMORY;
    if (status != VMK_OK)
        goto failed;
    table->block_size = disk->block_size;
    table->disk_size = disk->size - disk->size % disk->block_size;
    if (le16(sector + MBR_SIGNATURE_AT) == MBR_SIGNATURE) {
        for (unsigned i = 0; i < 4; i++) {
            uint8_t type = sector[MBR_ENTRIES_AT + i * MBR_ENTRY_SIZE + 4];

            protective |= type == MBR_TYPE_GPT;
            own |= type && type != MBR_TYPE_GPT;
        }
    }
    if (protective || !own)
        status = partition_gpt_read(disk, protective, table, report);
    if (status == VMK_OK && table->scheme == PARTITION_SCHEME_NONE &&
        (own || partition_mbr_is_empty(sector)))
        status = partition_mbr_read(disk, sector, table, report);
    if (status != VMK_OK)
        goto failed;
    heap_free(sector);
    *out = table;
    return VMK_OK;

failed:
    heap_free(sector);
    heap_free(table);
    return status;
}

void partition_table_free(struct partition_table *table)
{
    heap_free(table);
}

const struct partition *partition_find(const struct partition_table *table, unsigned number)
{
    for (unsigned i = 0; i < table->count; i++) {
        if (table->partitions[i].number == number)
            return &table->partitions[i];
    }
    return NULL;
}

/* ---- changing a table in memory ---- */

/*
 * The first free place of at least `size` bytes at or behind `from`; its whole length in *room.
 */
static uint64_t gap_find(const struct partition_table *table, uint64_t from, uint64_t size,
                         uint64_t *room)
{
    uint64_t at = round_up(MAX(from, table->usable_begin), PARTITION_ALIGN);

    while (at < table->usable_end) {
        uint64_t end = table->usable_end;
        uint64_t past = 0;

        for (unsigned i = 0; i < table->count; i++) {
            const struct partition *p = &table->partitions[i];

            if (p->offset <= at && at < p->offset + p->size)
                past = MAX(past, p->offset + p->size);
            else if (p->offset > at)
                end = MIN(end, p->offset);
        }
        if (table->extended <= at && at < table->extended + table->extended_size)
            past = MAX(past, table->extended + table->extended_size);
        else if (table->extended_size && table->extended > at)
            end = MIN(end, table->extended);
        if (!past && end - at >= MAX(size, 1u)) {
            *room = end - at;
            return at;
        }
        at = round_up(past ? past : end, PARTITION_ALIGN);
    }
    return 0;
}

static vmk_status place(const struct partition_table *table, struct partition *p)
{
    uint64_t room = 0;
    bool rest = !p->size;

    if (p->offset) {
        if (!p->size) {
            uint64_t at = gap_find(table, p->offset, 1, &room);

            if (at != p->offset)
                return VMK_BAD_PARAM;
            p->size = room;
        }
    } else if (p->size) {
        p->offset = gap_find(table, 0, p->size, &room);
    } else {
        for (uint64_t at = gap_find(table, 0, 1, &room); at;
             at = gap_find(table, at + room, 1, &room)) {
            if (room > p->size) {
                p->offset = at;
                p->size = room;
            }
        }
    }
    if (rest && p->size > PARTITION_ALIGN)
        p->size = round_down(p->offset + p->size, PARTITION_ALIGN) - p->offset;
    if (!p->offset)
        return VMK_NO_SPACE;
    p->size = round_up(p->size, table->block_size);
    if (p->offset % table->block_size || p->offset < table->usable_begin ||
        p->offset > table->usable_end || p->size > table->usable_end - p->offset ||
        in_extended(table, p))
        return VMK_BAD_PARAM;
    for (unsigned i = 0; i < table->count; i++) {
        if (overlap(p, &table->partitions[i]))
            return VMK_BAD_PARAM;
    }
    return VMK_OK;
}

vmk_status partition_add(struct partition_table *table, struct partition *wanted)
{
    const bool mbr = table->scheme == PARTITION_SCHEME_MBR;
    vmk_status status;
    unsigned at;

    if (table->scheme == PARTITION_SCHEME_NONE)
        return VMK_BAD_FORMAT;
    if (mbr) {
        if (wanted->kind != PARTITION_OTHER)
            wanted->mbr_type = partition_kind_mbr_type(wanted->kind);
        if (!wanted->mbr_type || wanted->number > 4)
            return VMK_UNSUPPORTED;
    }
    if (table->count == PARTITIONS_MAX)
        return VMK_LIMIT;
    if (!wanted->number) {
        for (wanted->number = 1; partition_find(table, wanted->number) ||
                                 (mbr && wanted->number == table->extended_slot);)
            wanted->number++;
    } else if (partition_find(table, wanted->number) ||
               (mbr && wanted->number == table->extended_slot)) {
        return VMK_EXISTS;
    }
    if (wanted->number > table->slots)
        return VMK_LIMIT;
    status = place(table, wanted);
    if (status != VMK_OK)
        return status;
    if (wanted->kind != PARTITION_OTHER && !mbr)
        wanted->type = partition_kind_guid(wanted->kind);
    for (at = table->count; at && table->partitions[at - 1].number > wanted->number; at--)
        table->partitions[at] = table->partitions[at - 1];
    table->partitions[at] = *wanted;
    table->count++;
    return VMK_OK;
}

vmk_status partition_remove(struct partition_table *table, unsigned number)
{
    for (unsigned i = 0; i < table->count; i++) {
        if (table->partitions[i].number != number)
            continue;
        if (table->scheme == PARTITION_SCHEME_MBR && number > 4)
            return VMK_UNSUPPORTED;
        table->count--;
        memmove(&table->partitions[i], &table->partitions[i + 1],
                (table->count - i) * sizeof(table->partitions[0]));
        partition_table_check(table, NULL);
        return VMK_OK;
    }
    return VMK_NOT_FOUND;
}

/* ---- a partition as a device ---- */

struct slice {
    struct block_device device;
    struct block_device *disk;  // (i)
    uint64_t offset;            // (i) bytes
};

static void slice_done(struct block_request *part)
{
    struct block_request *request = part->context;

    request->status = part->status;
    heap_free(part);
    request->done(request);
}

static void slice_submit(struct block_device *device, struct block_request *request)
{
    const struct slice *slice = device->context;
    struct block_request *part = heap_alloc(sizeof(*part), MEM_OWNER_KERNEL);

    if (!part) {
        request->status = VMK_NO_MEMORY;
        request->done(request);
        return;
    }
    part->op = request->op;
    part->fua = request->fua;
    part->offset = request->op == BLOCK_FLUSH ? 0 : request->offset + slice->offset;
    part->size = request->size;
    part->segments = request->segments;
    part->segment_count = request->segment_count;
    part->client = request->client;
    part->done = slice_done;
    part->context = request;
    block_submit(slice->disk, part);
}

static void slice_destroy(struct block_device *device)
{
    heap_free(device->context);
}

static vmk_status slice_panic_write(struct block_device *device, uint64_t offset,
                                    const void *from, uint32_t size)
{
    const struct slice *slice = device->context;

    return block_panic_write(slice->disk, slice->offset + offset, from, size);
}

static const struct block_ops slice_ops = {
    .submit = slice_submit, .destroy = slice_destroy, .panic_write = slice_panic_write};

vmk_status partition_slice(struct block_device *disk, const char *name, uint64_t offset,
                           uint64_t size, struct block_device **out)
{
    struct slice *slice;

    if ((offset | size) % disk->block_size || offset > disk->size || size > disk->size - offset)
        return VMK_BAD_PARAM;
    slice = heap_alloc(sizeof(*slice), MEM_OWNER_KERNEL);
    if (!slice)
        return VMK_NO_MEMORY;
    slice->device = (struct block_device){.ops = &slice_ops,
                                          .size = size,
                                          .block_size = disk->block_size,
                                          .max_transfer = disk->max_transfer,
                                          .read_only = disk->read_only,
                                          .can_discard = disk->can_discard,
                                          .can_compare_write = disk->can_compare_write,
                                          .rotational = disk->rotational,
                                          .removable = disk->removable,
                                          .context = slice};
    (void)vmk_snprintf(slice->device.name, sizeof(slice->device.name), "%s", name);
    slice->disk = disk;
    slice->offset = offset;
    *out = &slice->device;
    return VMK_OK;
}

vmk_status partition_open(struct block_device *disk, unsigned number, struct block_device **out)
{
    struct partition_table *table;
    const struct partition *p;
    char name[BLOCK_NAME_SIZE];
    vmk_status status = partition_table_read(disk, NULL, &table);

    if (status != VMK_OK)
        return status;
    p = partition_find(table, number);
    if (!p) {
        status = VMK_NOT_FOUND;
    } else if (p->bad) {
        status = VMK_BAD_FORMAT;
    } else {
        (void)vmk_snprintf(name, sizeof(name), "%s:%u", disk->name, number);
        status = partition_slice(disk, name, p->offset, p->size, out);
    }
    partition_table_free(table);
    return status;
}

void partition_close(struct block_device *device)
{
    if (device)
        device->ops->destroy(device);
}
