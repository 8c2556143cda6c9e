// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/scsi_pages.c -- what a SCSI disk says of itself: INQUIRY, vital product data, MODE SENSE.
 *
 * Names are those of VMware's virtual disk, so that guests with rules for it apply them. The
 * disk has a volatile write cache (a block device promises durability after a flush or with FUA
 * only), and says so: a guest that was not told would not flush.
 *
 * Invariants  nothing is written past SCSI_PAGE_ROOM: the longest page is known.
 * Locking     none: pure.
 * Sources     [SPC4] "Standard INQUIRY data", "Vital product data parameters"; [SBC3] "Block
 *             Limits VPD page", "Mode parameters for direct access block devices"
 */
#include "lib/ascii.h"
#include "lib/endian.h"
#include "lib/string.h"
#include "vmm/dev/scsi_disk.h"

#define VERSION_SPC4    6u
#define PAGE_CACHING    0x08u
#define PAGE_CONTROL    0x0au
#define PAGE_ALL        0x3fu
#define DEVICE_WP       0x80u
#define DEVICE_DPOFUA   0x10u
#define MODE_CHANGEABLE 1u
#define MODE_SAVED      3u

static void text(uint8_t *out, const char *words, size_t size)
{
    size_t length = strlen(words);

    memset(out, ' ', size);
    memcpy(out, words, MIN(length, size));
}

static size_t standard(uint8_t *out)
{
    out[2] = VERSION_SPC4;
    out[3] = 0x02;  // response data format
    out[4] = 36 - 5;
    out[7] = 0x02;  // command queueing
    text(out + 8, "VMware", 8);
    text(out + 16, "Virtual disk", 16);
    text(out + 32, "2.0", 4);
    return 36;
}

/* NAA 6: VMware's OUI 000c29 and the serial number's digits. */
static size_t page_names(const struct scsi_disk *disk, uint8_t *out)
{
    uint8_t *d = out + 4;

    d[0] = 0x01;  // binary
    d[1] = 0x03;  // NAA, of the logical unit
    d[3] = 16;
    d[4] = 0x60;
    d[5] = 0x00;
    d[6] = 0xc2;
    d[7] = 0x90;
    for (unsigned i = 0; i < 16; i += 2) {
        unsigned value = 0;

        for (unsigned j = 0; j < 2; j++) {
            value = value << 4 | (unsigned)ascii_hex(disk->serial[i + j]);
        }
        d[12 + i / 2] = (uint8_t)value;
    }
    return 24;
}

/* Block limits: what WRITE SAME, UNMAP and COMPARE AND WRITE take at once. */
static size_t page_limits(const struct scsi_disk *disk, uint8_t *out)
{
    const struct block_device *b = disk->block;

    out[5] = b->can_compare_write ? 1 : 0;
    if (b->can_discard) {
        put_be32(out + 20, UINT32_MAX);
        put_be32(out + 24, SCSI_UNMAP_LIST_MAX);
    }
    put_be64(out + 36, SCSI_WRITE_SAME_MAX);
    return 64;
}

static size_t vital(const struct scsi_disk *disk, unsigned page, uint8_t *out)
{
    static const uint8_t pages[] = {0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2};
    size_t size;

    switch (page) {
    case 0x00:
        memcpy(out + 4, pages, sizeof(pages));
        size = 4 + sizeof(pages);
        break;
    case 0x80:
        text(out + 4, disk->serial, 16);
        size = 20;
        break;
    case 0x83: size = page_names(disk, out); break;
    case 0xb0: size = page_limits(disk, out); break;
    case 0xb1:
        put_be16(out + 4, disk->block->rotational ? 7200 : 1);
        size = 64;
        break;
    case 0xb2:
        out[5] = disk->block->can_discard ? 0x80 : 0;  // UNMAP
        out[6] = disk->block->can_discard ? 0x02 : 0;  // thin
        size = 8;
        break;
    default: return 0;
    }
    out[1] = (uint8_t)page;
    put_be16(out + 2, (uint16_t)(size - 4));
    return size;
}

size_t scsi_inquiry(const struct scsi_disk *disk, const uint8_t *cdb,
                    uint8_t out[SCSI_PAGE_ROOM])
{
    memset(out, 0, SCSI_PAGE_ROOM);
    if (cdb[1] & 1)
        return vital(disk, cdb[2], out);
    return cdb[2] ? 0 : standard(out);
}

static size_t mode_page(unsigned page, bool changeable, uint8_t *out)
{
    switch (page) {
    case PAGE_CACHING:
        out[0] = PAGE_CACHING;
        out[1] = 18;
        out[2] = changeable ? 0 : 0x04;  // WCE
        return 20;
    case PAGE_CONTROL:
        out[0] = PAGE_CONTROL;
        out[1] = 10;
        out[3] = changeable ? 0 : 0x10;  // may reorder
        return 12;
    default: return 0;
    }
}

/* MODE SENSE(6) and (10): header, one block descriptor unless DBD, pages. */
size_t scsi_mode_sense(const struct scsi_disk *disk, const uint8_t *cdb,
                       uint8_t out[SCSI_PAGE_ROOM])
{
    bool ten = cdb[0] == 0x5a;
    unsigned page = cdb[2] & 0x3f, control = cdb[2] >> 6;
    uint64_t blocks = disk->block->size / disk->block->block_size;
    size_t header = ten ? 8 : 4, size = header, pages;

    memset(out, 0, SCSI_PAGE_ROOM);
    if (control == MODE_SAVED || (cdb[3] && cdb[3] != 0xff))
        return 0;
    out[ten ? 3 : 2] = (uint8_t)(DEVICE_DPOFUA | (disk->block->read_only ? DEVICE_WP : 0));
    if (!(cdb[1] & 0x08)) {
        put_be32(out + size, blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)blocks);
        put_be32(out + size + 4, disk->block->block_size);  // the top byte is reserved and 0
        out[ten ? 7 : 3] = 8;
        size += 8;
    }
    pages = size;
    if (page == PAGE_ALL || page == PAGE_CACHING)
        size += mode_page(PAGE_CACHING, control == MODE_CHANGEABLE, out + size);
    if (page == PAGE_ALL || page == PAGE_CONTROL)
        size += mode_page(PAGE_CONTROL, control == MODE_CHANGEABLE, out + size);
    if (size == pages)
        return 0;
    if (ten)
        put_be16(out, (uint16_t)(size - 2));
    else
        out[0] = (uint8_t)(size - 1);
    return size;
}
