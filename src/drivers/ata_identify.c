// SPDX-License-Identifier: BSD-2-Clause
/*
 * drivers/ata_identify.c -- what an ATA disk says about itself.
 *
 * Invariants
 *   - No size that could overflow: 48-bit sector numbers, sectors of 512 to 4096 bytes.
 * Locking    none: pure.
 * Sources    ATA8 "IDENTIFY DEVICE"
 */
#include "drivers/ata.h"
#include "lib/format.h"
#include "lib/string.h"

static uint16_t word(const uint8_t *data, unsigned index)
{
    return le16(data + 2 * index);
}

bool ata_identify(const uint8_t data[512], struct ata_identity *out)
{
    struct storage_inquiry *q = &out->inquiry;

    memset(out, 0, sizeof(*out));
    if (word(data, 0) & 0x8000 || !(word(data, 49) & 0x200))  // not ATA; no LBA
        return false;
    memcpy(q->vendor, "ATA", 4);
    disk_ata_text(q->serial, sizeof(q->serial), data + 20, 20);
    disk_ata_text(q->revision, sizeof(q->revision), data + 46, 8);
    disk_ata_text(q->model, sizeof(q->model), data + 54, 40);
    out->wide = word(data, 83) & 0x400;
    out->sectors =
        out->wide ? le64(data + 200) & 0xffffffffffffull : le32(data + 120) & 0x0fffffff;
    if (out->wide && !out->sectors)
        out->sectors = le32(data + 120) & 0x0fffffff;
    out->sector_size = 512;
    if ((word(data, 106) & 0xd000) == 0x5000)
        out->sector_size = 2 * le32(data + 234);
    out->dma = word(data, 49) & 0x100;
    out->fua = out->wide && word(data, 84) & 0x40;
    out->cache = word(data, 85) & 0x20;
    out->trim = word(data, 169) & 1;
    out->rotational = word(data, 217) != 1;
    if (word(data, 76) != 0xffff && word(data, 76) & 0x100)
        out->queue_depth = (word(data, 75) & 31) + 1u;
    if (word(data, 87) & 0x100 && (word(data, 87) & 0xc000) == 0x4000 && word(data, 108))
        vmk_snprintf(q->wwn, sizeof(q->wwn), "naa.%04x%04x%04x%04x", word(data, 108),
                     word(data, 109), word(data, 110), word(data, 111));
    else
        disk_name_t10(q->wwn, sizeof(q->wwn), "ATA", q->model, q->serial);
    return out->sectors && (out->sector_size == 512 || out->sector_size == 1024 ||
                            out->sector_size == 2048 || out->sector_size == 4096);
}

void ata_disk_fill(struct disk *disk, const struct ata_identity *id)
{
    disk->block.size = id->sectors * id->sector_size;
    disk->block.block_size = id->sector_size;
    disk->block.rotational = id->rotational;
    disk->limits.no_cache = !id->cache;
    disk->limits.align = 2;
}

enum disk_result ata_result(unsigned status, unsigned error)
{
    if (!(status & (ATA_STATUS_ERR | ATA_STATUS_DF)))
        return DISK_OK;
    if (status & ATA_STATUS_DF || error & ATA_ERROR_CRC)
        return DISK_TRANSIENT;
    return error & (ATA_ERROR_MEDIUM | ATA_ERROR_NOT_FOUND) ? DISK_MEDIUM : DISK_TRANSIENT;
}
