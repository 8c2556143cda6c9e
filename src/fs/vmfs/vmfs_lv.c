// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_lv.c -- the logical volume: from its addresses to the extents' devices, one request or several.
 *
 * A volume is the concatenation of 256 MiB extents on 1..32 devices. Here alone its devices are
 * read, written, flushed, and compared with what was read before.
 *
 * Invariants
 *   - Every address lies in the volume and in one of its devices, or the answer is CORRUPT.
 *   - Before each write but a swap the lease is looked at (hb_lease()).
 *   - `unflushed` is false only if a FLUSH came behind the last lv_write().
 * Locking    vmfs_volume.mutex; lv_swap() also under vmfs_volume.beat alone.
 * Start at   lv_write(), lv_swap_many().
 */
#include "core/assert.h"
#include "fs/vmfs/vmfs_internal.h"
#include "lib/string.h"

enum lv_how {
    LV_READ,
    LV_WRITE,
    LV_WRITE_FUA,
};

/* The device an address is on, the place there, and how many bytes follow; null: nowhere. */
static struct block_device *device_at(const struct vmfs_volume *v, uint64_t address,
                                      uint64_t *at, uint64_t *room)
{
    const uint64_t pe = address >> LVM_PE_SHIFT;

    for (unsigned i = 0; i < v->extent_count; i++) {
        const struct vmfs_extent *e = &v->extents[i];

        if (pe < e->first_pe || pe - e->first_pe >= e->pes)
            continue;
        *at = address - (e->first_pe << LVM_PE_SHIFT);
        *room = (e->pes << LVM_PE_SHIFT) - *at;
        *at += e->data;
        return e->device;
    }
    return NULL;
}

static vmk_status lv_move(struct vmfs_volume *v, enum lv_how how, uint64_t address, void *data,
                          uint64_t size)
{
    while (size) {
        uint64_t at, part;
        struct block_device *device = device_at(v, address, &at, &part);
        vmk_status status;

        if (!device)
            return VMK_CORRUPT;
        part = MIN(size, part);
        status = how == LV_READ    ? block_read(device, at, data, part)
                 : how == LV_WRITE ? block_write(device, at, data, part)
                                   : block_write_fua(device, at, data, part);
        if (status != VMK_OK)
            return status;
        data = (char *)data + part;
        address += part;
        size -= part;
    }
    return VMK_OK;
}

vmk_status lv_read(struct vmfs_volume *v, uint64_t address, void *to, uint64_t size)
{
    /* Reading needs no lease, but whoever reads for long should not die of it. */
    (void)!hb_lease(v);
    return lv_move(v, LV_READ, address, to, size);
}

/* Before anything is written. */
static vmk_status may_write(struct vmfs_volume *v)
{
    return v->how.read_only ? VMK_READ_ONLY : hb_lease(v);
}

vmk_status lv_write(struct vmfs_volume *v, uint64_t address, const void *from, uint64_t size)
{
    vmk_status status = may_write(v);

    v->unflushed = true;
    /* The pointer serves both directions; a write only reads through it. */
    return status == VMK_OK ? lv_move(v, LV_WRITE, address, (void *)(uintptr_t)from, size)
                            : status;
}

vmk_status lv_write_fua(struct vmfs_volume *v, uint64_t address, const void *from,
                        uint64_t size)
{
    vmk_status status = may_write(v);

    return status == VMK_OK ? lv_move(v, LV_WRITE_FUA, address, (void *)(uintptr_t)from, size)
                            : status;
}

vmk_status lv_write_sectors(struct vmfs_volume *v, const uint8_t *table, uint8_t *data,
                            uint32_t count)
{
    struct block_request requests[LV_AT_ONCE];
    struct block_segment segments[LV_AT_ONCE];
    vmk_status result = VMK_OK;

    for (uint32_t i = 0; i < count && result == VMK_OK;) {
        vmk_status status = VMK_OK;
        struct block_batch batch;
        uint32_t n = 0;

        block_batch_begin(&batch);
        while (n < LV_AT_ONCE && i < count) {
            const uint64_t address = le64(table + 8ull * i);
            uint64_t at, room;
            struct block_device *device = device_at(v, address, &at, &room);
            uint32_t run = 1;

            /* Each asks again: the world may have stood still behind the one before. */
            status = device ? may_write(v) : VMK_CORRUPT;
            if (status != VMK_OK)
                break;
            if (device->max_transfer)
                room = MIN(room, device->max_transfer);
            while (i + run < count && (run + 1ull) * VMFS_SECTOR <= room &&
                   le64(table + 8ull * (i + run)) == address + run * VMFS_SECTOR)
                run++;
            segments[n] = (struct block_segment){.data = data + (size_t)i * VMFS_SECTOR,
                                                 .size = run * VMFS_SECTOR};
            requests[n] = (struct block_request){.op = BLOCK_WRITE,
                                                 .offset = at,
                                                 .size = segments[n].size,
                                                 .segments = &segments[n],
                                                 .segment_count = 1};
            block_batch_add(&batch, device, &requests[n++]);
            i += run;
        }
        result = block_batch_end(&batch, requests, n);
        if (result == VMK_OK)
            result = status;
    }
    return result;
}

vmk_status lv_flush(struct vmfs_volume *v)
{
    for (unsigned i = 0; i < v->extent_count; i++) {
        vmk_status status = block_flush(v->extents[i].device);

        if (status != VMK_OK)
            return status;
    }
    v->unflushed = false;
    return VMK_OK;
}

/*
 * A device whose answer got lost was asked twice, and the second time it finds what the first
 * wrote. Nobody else writes this: it carries our name, token or stamp.
 */
static vmk_status swap_outcome(struct block_device *device, const struct block_request *request,
                               const void *fresh)
{
    uint8_t now[VMFS_SECTOR];

    if (request->status == VMK_AGAIN &&
        block_read(device, request->offset, now, sizeof(now)) == VMK_OK &&
        !memcmp(now, fresh, sizeof(now)))
        return VMK_OK;
    return request->status;
}

void lv_swap_many(struct vmfs_volume *v, struct lv_swap *swaps, uint32_t count)
{
    struct block_request requests[LV_AT_ONCE];
    struct block_segment segments[LV_AT_ONCE][2];
    struct block_device *devices[LV_AT_ONCE];
    struct block_batch batch;
    uint32_t n = 0;

    vmk_assert(count <= LV_AT_ONCE);
    block_batch_begin(&batch);
    for (; n < count && !v->how.read_only; n++) {
        struct lv_swap *s = &swaps[n];
        uint64_t at, room;
        bool plain;

        devices[n] = device_at(v, s->address, &at, &room);
        if (!devices[n])
            break;
        plain = v->how.private_volume && !devices[n]->can_compare_write;
        /* The pointers serve both directions; a swap only reads through them. */
        segments[n][0] = (struct block_segment){(void *)(uintptr_t)s->expected, VMFS_SECTOR};
        segments[n][1] = (struct block_segment){(void *)(uintptr_t)s->fresh, VMFS_SECTOR};
        requests[n] = (struct block_request){.op = plain ? BLOCK_WRITE : BLOCK_COMPARE_WRITE,
                                             .offset = at,
                                             .size = VMFS_SECTOR,
                                             .segments = &segments[n][plain],
                                             .segment_count = plain ? 1 : 2};
        block_batch_add(&batch, devices[n], &requests[n]);
    }
    (void)!block_batch_end(&batch, requests, n);
    for (uint32_t i = 0; i < count; i++)
        swaps[i].status = i < n ? swap_outcome(devices[i], &requests[i], swaps[i].fresh)
                          : v->how.read_only ? VMK_READ_ONLY
                                             : VMK_CORRUPT;
}

vmk_status lv_swap(struct vmfs_volume *v, uint64_t address, const void *expected,
                   const void *fresh)
{
    struct lv_swap swap = {.address = address, .expected = expected, .fresh = fresh};

    lv_swap_many(v, &swap, 1);
    return swap.status;
}
