// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/partition.h -- GPT and MBR: read, check, repair, write; a partition as a block device.
 *
 * A table is read whole into memory, with every contradiction reported in a line of its own.
 * What is contradictory is listed and not opened. Both GPT headers and both arrays are checked;
 * the good one serves, and repairs the other when asked to.
 */
#pragma once

#include "io/block.h"

#define PARTITIONS_MAX      128u
#define PARTITION_NAME_SIZE 112u  // 36 units of UTF-16 as UTF-8
#define PARTITION_ALIGN     (1ull << 20)

struct partition_guid {
    uint8_t raw[16];  // as on disk: the first three fields little-endian
};
#define PARTITION_GUID_TEXT 37u  // with the final zero
/* 8-4-4-4-12 hexadecimal digits, upper case. */
void partition_guid_text(const struct partition_guid *guid, char out[PARTITION_GUID_TEXT]);
/* With or without dashes. False: no GUID, or more behind it. */
must_check bool partition_guid_parse(const char *text, struct partition_guid *out);
/* A random (version 4) GUID from two random words. */
struct partition_guid partition_guid_make(uint64_t random_a, uint64_t random_b);
bool partition_guid_same(const struct partition_guid *a, const struct partition_guid *b);

enum partition_kind {
    PARTITION_OTHER,
    PARTITION_VMFS,
    PARTITION_VMKCORE,  // ESXi's diagnostic partition
    PARTITION_VMWARE_RESERVED,
    PARTITION_VSAN,
    PARTITION_EFI_SYSTEM,
    PARTITION_BASIC_DATA,  // FAT, NTFS
    PARTITION_LINUX,
    PARTITION_LINUX_SWAP,
    PARTITION_LINUX_LVM,
    PARTITION_LINUX_RAID,
    PARTITION_BIOS_BOOT,
    PARTITION_KIND_COUNT
};
/* "vmfs", "vmkcore", ...; and back. PARTITION_KIND_COUNT: no such name. */
const char *partition_kind_name(enum partition_kind kind);
enum partition_kind partition_kind_find(const char *name);
/* All zero for PARTITION_OTHER. */
struct partition_guid partition_kind_guid(enum partition_kind kind);

enum partition_scheme {
    PARTITION_SCHEME_NONE,
    PARTITION_SCHEME_MBR,
    PARTITION_SCHEME_GPT,
};

struct partition {
    unsigned number;        // 1 and up; logical ones of an MBR from 5
    uint64_t offset, size;  // bytes
    enum partition_kind kind;
    struct partition_guid type, id;  // GPT
    uint8_t mbr_type;                // MBR
    bool active;                     // MBR: the boot flag
    bool bad;                        // off the disk or over another: not opened
    uint64_t attributes;             // GPT
    char name[PARTITION_NAME_SIZE];  // GPT, UTF-8
};

/* What is wrong with a table; bits. */
#define PARTITION_BAD_PRIMARY      1u  // header or array does not check
#define PARTITION_BAD_BACKUP       2u
#define PARTITION_COPIES_DIFFER    4u  // both are good and say different things: the first wins
#define PARTITION_BACKUP_MISPLACED 8u  // the disk grew: the backup is not at its end
#define PARTITION_BAD_PROTECTIVE   16u  // sector 0 does not say that there is a GPT
#define PARTITION_BAD_ENTRY        32u  // some partition is bad
#define PARTITION_BAD_CHAIN        64u  // the chain of logical partitions is broken or a loop
#define PARTITION_REPAIRABLE       31u  // what partition_table_repair() mends

struct partition_table {
    enum partition_scheme scheme;
    unsigned problems;
    uint32_t block_size;
    uint64_t disk_size;
    uint64_t usable_begin, usable_end;  // GPT: bytes
    struct partition_guid disk_id;      // GPT
    uint32_t signature;                 // MBR
    unsigned slots;                     // entries in the array; of an MBR 4
    uint64_t extended, extended_size;   // MBR: the extended partition, bytes; size 0: none
    unsigned extended_slot;             // MBR: which of the four it is
    unsigned count;
    struct partition partitions[PARTITIONS_MAX];  // by number
};

/* Gets one line per problem; null: the kernel log. */
struct partition_report {
    void (*line)(void *argument, const char *text);
    void *argument;
};
/* For who reads a table that somebody else has reported on. */
extern const struct partition_report partition_report_none;

/*
 * Reads a disk's table. A disk without one is OK with PARTITION_SCHEME_NONE. NO_MEMORY, the
 * device's error, CORRUPT (a GPT of which neither copy checks; reported). [block]
 */
must_check vmk_status partition_table_read(struct block_device *disk,
                                           const struct partition_report *report,
                                           struct partition_table **out);
void partition_table_free(struct partition_table *table);
const struct partition *partition_find(const struct partition_table *table, unsigned number);

/*
 * Writes the good copy of a GPT over the damaged one, puts the backup at the end of the disk
 * and the protective MBR at its beginning. BAD_FORMAT: there is no GPT. [block]
 */
must_check vmk_status partition_table_repair(struct block_device *disk,
                                             const struct partition_report *report);

/* An empty GPT for `disk`, in memory only. NO_SPACE: too small. */
must_check vmk_status partition_table_new(const struct block_device *disk,
                                          const struct partition_guid *disk_id,
                                          struct partition_table **out);
/* The same for an MBR; `signature` is not 0. Partitions may begin below 2^32 blocks. */
must_check vmk_status partition_table_new_mbr(const struct block_device *disk,
                                              uint32_t signature, struct partition_table **out);
/*
 * Adds a partition in memory. number 0: the lowest free one; offset 0: the first aligned place
 * where it fits; size 0: all that is free there up to an aligned end (with offset 0 too: the
 * largest gap). The result is in *wanted. EXISTS (number), NO_SPACE, BAD_PARAM (bounds,
 * overlap, name), LIMIT. An MBR takes primary partitions only, of a kind or an mbr_type:
 * UNSUPPORTED.
 */
must_check vmk_status partition_add(struct partition_table *table, struct partition *wanted);
/* NOT_FOUND; UNSUPPORTED: a logical partition of an MBR. */
must_check vmk_status partition_remove(struct partition_table *table, unsigned number);
/*
 * Writes the table. A GPT: the backup copy first, then the primary, then the protective MBR,
 * each durable before the next. An MBR is one block: boot code and extended partition stay, and
 * a GPT that was there is wiped. A power cut leaves the old table or the new one. BAD_FORMAT:
 * bad partitions. [block]
 */
must_check vmk_status partition_table_write(struct block_device *disk,
                                            const struct partition_table *table);

/*
 * A device over partition `number` of `disk`, which must stay open longer. NOT_FOUND,
 * BAD_FORMAT (the partition is bad), or what partition_table_read() answers. Closed by
 * partition_close() or ops->destroy. [block]
 */
must_check vmk_status partition_open(struct block_device *disk, unsigned number,
                                     struct block_device **out);
/* The same over any aligned part of a device. BAD_PARAM, NO_MEMORY. */
must_check vmk_status partition_slice(struct block_device *disk, const char *name,
                                      uint64_t offset, uint64_t size,
                                      struct block_device **out);
void partition_close(struct block_device *device);
