// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/scsi_disk.h -- a SCSI disk over a block device: command blocks in, data, status and sense
 * out. Knows no adapter.
 */
#pragma once

#include "io/block.h"

#define SCSI_GOOD            0x00u
#define SCSI_CHECK_CONDITION 0x02u
#define SCSI_SENSE_SIZE      18u
#define SCSI_CDB_SIZE        16u

struct scsi_disk {
    struct block_device *block;  // (i)
    uint32_t client;             // (i) for its requests
    char serial[17];             // (i) 16 hexadecimal digits: the NAA name's too
    bool attention;              // (a) a unit attention waits: it was reset
};

/* One command. The submitter fills the first part and keeps it all until done. */
struct scsi_task {
    struct scsi_disk *disk;
    uint8_t cdb[SCSI_CDB_SIZE];
    unsigned cdb_size;
    /* Where data comes from or goes to. Consumed: changed while the command runs. */
    struct block_segment *segments;
    uint32_t segment_count;
    /* Called once, any context, perhaps before scsi_disk_start() returns. */
    void (*done)(struct scsi_task *task);

    // The answer.
    uint8_t status;
    uint8_t sense[SCSI_SENSE_SIZE];
    unsigned sense_size;   // 0: none
    uint64_t transferred;  // bytes of data that moved

    // scsi_disk.c's own.
    struct block_request request;
    struct block_segment pattern;    // a buffer: WRITE SAME writes it again and again
    struct block_segment halves[2];  // COMPARE AND WRITE: expected, new
    int state;                       // (a) who goes on after a part
    uint64_t left;                   // bytes not asked for yet
    struct block_segment *cursor;    // first segment not used up
    uint32_t cut;                    // what the last segment of the part lost
    uint8_t *list;                   // UNMAP's list
    unsigned list_size, list_at;
};

/* `id` makes serial number and name, the same for the same disk each time. */
void scsi_disk_init(struct scsi_disk *disk, struct block_device *block, uint32_t client,
                    uint64_t id);
/* Starts a command. World context, nothing locked. */
void scsi_disk_start(struct scsi_task *task);
/* After a reset of the bus or the unit: the next command hears of it. */
void scsi_disk_attention(struct scsi_disk *disk);

/* ---- between scsi_disk.c and scsi_pages.c ---- */
/* The answers that are tables: how many bytes of `out` they have, 0: there is no such page. */
#define SCSI_PAGE_ROOM 512u
size_t scsi_inquiry(const struct scsi_disk *disk, const uint8_t *cdb,
                    uint8_t out[SCSI_PAGE_ROOM]);
size_t scsi_mode_sense(const struct scsi_disk *disk, const uint8_t *cdb,
                       uint8_t out[SCSI_PAGE_ROOM]);
#define SCSI_WRITE_SAME_MAX 65536u  // blocks
#define SCSI_UNMAP_LIST_MAX 256u    // descriptors
