// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/storage.h -- the host's disks: adapters, the paths they found, devices, partitions by name.
 *
 * A driver adds an adapter (vmhba0, vmhba1, ... in the order found) and, for each disk behind
 * it, a path with the block device it made. One path makes one device here; its name follows
 * ESXi: naa.<id> or t10.<vendor model serial> where the disk has a world-wide name, otherwise
 * mpx.vmhba0:C0:T0:L0. "<device>:N" is its partition N as the partition table says
 * (io/partition.h).
 *
 * Locking    the table's mutex; a device that is open is never freed under its user: a disk
 *            that disappears answers errors until it is closed.
 */
#pragma once

#include "io/block.h"

struct partition_report;
struct partition_table;

#define STORAGE_ADAPTER_NAME 16u
#define STORAGE_DEVICES_MAX  64u

struct storage_inquiry {
    char vendor[9], model[41], revision[9], serial[41];
    char wwn[88];  // "naa.5000..." or "t10....", or empty
};

struct storage_adapter;

/* What a listing shows; a copy, valid without any lock. */
struct storage_device_info {
    char name[BLOCK_NAME_SIZE];
    char adapter[STORAGE_ADAPTER_NAME], driver[24];
    char path[32];  // vmhba0:C0:T0:L0
    struct storage_inquiry inquiry;
    uint64_t size;
    uint32_t block_size;
    bool read_only, rotational, removable, gone;
    unsigned users;
    struct block_stats stats;
};
struct storage_adapter_info {
    char name[STORAGE_ADAPTER_NAME], driver[24], location[32];  // location: PCI 0000:00:04.0
    char description[64];
    unsigned devices;
};

/* Called by io_init(). */
void storage_init(void);
/* A driver's side. The adapter's name is given here. NO_MEMORY, NO_SPACE. [block] */
must_check vmk_status storage_adapter_add(const char *driver, const char *location,
                                          const char *description,
                                          struct storage_adapter **out);
/*
 * The block device stays the driver's; its name is filled in here. NO_MEMORY, NO_SPACE. [block]
 */
must_check vmk_status storage_device_add(struct storage_adapter *adapter, unsigned channel,
                                         unsigned target, unsigned lun,
                                         struct block_device *block,
                                         const struct storage_inquiry *inquiry);
/*
 * The disk is gone (or its driver gives up): new opens fail, I/O fails, users close in their
 * time.
 */
void storage_device_gone(struct block_device *block);

/*
 * Where ":N" at the end of a partition's name begins, N a decimal number from 1; null without
 * one. Any context.
 */
const char *storage_number_at_end(const char *name, uint64_t *number);
/*
 * Are two names of one disk, or of a disk and a partition of it, or of one partition? Any
 * context.
 */
bool storage_names_meet(const char *a, const char *b);
/*
 * Disk or partition by name; counted. NOT_FOUND, BAD_FORMAT (no such partition), NO_MEMORY.
 * [block]
 */
must_check vmk_status storage_open(const char *name, struct block_device **out);
void storage_close(struct block_device *device);
/* The partition table of a disk by its name, as partition_table_read() has it. [block] */
must_check vmk_status storage_table_read(const char *disk,
                                         const struct partition_report *report,
                                         struct partition_table **out);

/*
 * How much of a disk a client (block_request.client: a VM) gets while others want it too:
 * io/ioshares.h.
 * 0 shares: the client is gone. A partition's name stands for its disk. NOT_FOUND, BAD_PARAM,
 * LIMIT. Any context.
 */
must_check vmk_status storage_shares_set(const char *name, uint32_t client, uint32_t shares);

/* Listings: false past the end. [block] */
bool storage_device_get(unsigned index, struct storage_device_info *out);
bool storage_adapter_get(unsigned index, struct storage_adapter_info *out);
