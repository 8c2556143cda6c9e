// SPDX-License-Identifier: BSD-2-Clause
/*
 * drivers/ata.h -- what ATA disks have in common, whoever carries the commands: ahci.c, ata.c.
 */
#pragma once

#include "io/disk.h"
#include "lib/endian.h"

enum {
    ATA_DATASET = 0x06,
    ATA_READ = 0x20,
    ATA_READ_EXT = 0x24,
    ATA_READ_DMA_EXT = 0x25,
    ATA_READ_LOG_EXT = 0x2f,
    ATA_WRITE = 0x30,
    ATA_WRITE_EXT = 0x34,
    ATA_WRITE_DMA_EXT = 0x35,
    ATA_WRITE_DMA_FUA_EXT = 0x3d,
    ATA_READ_QUEUED = 0x60,
    ATA_WRITE_QUEUED = 0x61,
    ATA_READ_DMA = 0xc8,
    ATA_WRITE_DMA = 0xca,
    ATA_FLUSH = 0xe7,
    ATA_FLUSH_EXT = 0xea,
    ATA_IDENTIFY = 0xec,
};
#define ATA_STATUS_ERR      0x01u
#define ATA_STATUS_DRQ      0x08u
#define ATA_STATUS_DF       0x20u
#define ATA_STATUS_BSY      0x80u

#define ATA_ERROR_ABORT     0x04u
#define ATA_ERROR_NOT_FOUND 0x10u
#define ATA_ERROR_MEDIUM    0x40u
#define ATA_ERROR_CRC       0x80u
#define ATA_DEVICE_LBA      0x40u
#define ATA_DEVICE_FUA      0x80u

struct ata_identity {
    struct storage_inquiry inquiry;
    uint64_t sectors;
    uint32_t sector_size;
    unsigned queue_depth;  // 0: no NCQ
    bool wide;             // 48-bit addresses
    bool dma, fua, trim, cache, rotational;
};

/*
 * Reads the 512 bytes of IDENTIFY DEVICE; false: not a disk that can be used. (ata_identify.c)
 */
must_check bool ata_identify(const uint8_t data[512], struct ata_identity *out);
/* What a block device over it looks like. */
void ata_disk_fill(struct disk *disk, const struct ata_identity *id);
/* What status and error register mean. */
enum disk_result ata_result(unsigned status, unsigned error);
