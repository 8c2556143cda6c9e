// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/partition_internal.h -- what the files of partition tables share.
 */
#pragma once

#include "io/partition.h"

#define MBR_SIGNATURE_AT 510u
#define MBR_ENTRIES_AT   446u
#define MBR_ENTRY_SIZE   16u
#define MBR_DISK_ID_AT   440u
#define MBR_TYPE_GPT     0xeeu
#define MBR_SIGNATURE    0xaa55u

/* One line for the operator. */
void partition_say(const struct partition_report *report, const char *format, ...)
    printf_like(2, 3);
/* Marks what lies off the disk's usable part or over another; sets PARTITION_BAD_ENTRY. */
void partition_table_check(struct partition_table *table,
                           const struct partition_report *report);
enum partition_kind partition_kind_of_guid(const struct partition_guid *guid);
enum partition_kind partition_kind_of_mbr(uint8_t type);
/* 0: none is customary. */
uint8_t partition_kind_mbr_type(enum partition_kind kind);
/* A new entry, or null when there are 128. */
struct partition *partition_new_entry(struct partition_table *table);

/* Sector 0 is in `sector` (block_size bytes). */
vmk_status partition_mbr_read(struct block_device *disk, const uint8_t *sector,
                              struct partition_table *table,
                              const struct partition_report *report);
/* Sector 0 is an MBR without entries, as partition_mbr_write() leaves it. */
bool partition_mbr_is_empty(const uint8_t *sector);
vmk_status partition_mbr_write(struct block_device *disk, const struct partition_table *table);
/* Neither copy of a GPT is found any more; written only where there is one. */
vmk_status partition_gpt_wipe(struct block_device *disk);
/* OK with scheme NONE: neither copy is there at all. `protective`: sector 0 announces a GPT. */
vmk_status partition_gpt_read(struct block_device *disk, bool protective,
                              struct partition_table *table,
                              const struct partition_report *report);
