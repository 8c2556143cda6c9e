// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/virtio_blk.c -- a virtio block device: what a chain of buffers asks for.
 *
 * A request is a header (type, sector), data, and a status byte, spread over buffers as the
 * driver likes. It is carried out by the SCSI disk behind it: reads, writes, flushes, discards
 * and zeroing have commands there, and so the checks, the splitting and the error paths exist
 * once.
 *
 * Invariants
 *   - The status byte is the last one the device may write; it is written in any case.
 * Locking    none of its own: chains are in one place at a time.
 * Start at   start().
 * Sources    [VIRTIO] "Block Device"
 */
#include "vmm/dev/virtio_blk.h"

#include "lib/endian.h"
#include "lib/string.h"
#include "vmm/dev/scsi_disk.h"
#include "vmm/dev/virtio.h"
#include "vmm/vm_disks.h"

#define VIRTIO_ID_BLOCK 2u
#define PCI_CLASS       0x010000u

#define F_SEG_MAX       BIT(2)
#define F_READ_ONLY     BIT(5)
#define F_BLOCK_SIZE    BIT(6)
#define F_FLUSH         BIT(9)
#define F_DISCARD       BIT(13)
#define F_WRITE_ZEROES  BIT(14)

enum request_type {
    TYPE_IN = 0,
    TYPE_OUT = 1,
    TYPE_FLUSH = 4,
    TYPE_GET_ID = 8,
    TYPE_DISCARD = 11,
    TYPE_WRITE_ZEROES = 13,
};
#define STATUS_OK          0u
#define STATUS_IO_ERROR    1u
#define STATUS_UNSUPPORTED 2u
#define HEADER_SIZE        16u
#define RANGE_SIZE         16u  // of discard and zeroing: sector, count, flags
#define ID_SIZE            20u
#define SECTOR             512u

struct virtio_blk {
    struct virtio virtio;
    struct scsi_disk disk;
};

/* Lies in front of the chain. */
struct request {
    struct scsi_task task;
    enum request_type type;
    uint8_t unmap_list[24];
    struct block_segment unmap_segment;
} __attribute__((aligned(16)));
_Static_assert(sizeof(struct request) % 16 == 0, "the chain behind it is aligned");

static struct virtio_chain *chain_of(struct request *r)
{
    return (struct virtio_chain *)(r + 1);
}

/* Cuts `size` bytes off the front of a list. It has that many. */
static void front_cut(struct vm_scatter *list, uint64_t size)
{
    list->size -= size;
    while (size) {
        uint32_t part = (uint32_t)MIN(size, (uint64_t)list->segments[0].size);

        list->segments[0].data = (uint8_t *)list->segments[0].data + part;
        list->segments[0].size -= part;
        size -= part;
        if (!list->segments[0].size) {
            list->segments++;
            list->count--;
            list->room--;
        }
    }
}

static void answer(struct virtio_chain *c, uint8_t status, uint64_t written)
{
    if (c->status_byte) {
        *(uint8_t *)c->status_byte = status;
        written++;
    }
    virtio_chain_done(c, (uint32_t)written);
}

static void task_done(struct scsi_task *task)
{
    struct request *r = container_of(task, struct request, task);
    bool good = task->status == SCSI_GOOD;

    answer(chain_of(r), (uint8_t)(good ? STATUS_OK : STATUS_IO_ERROR),
           r->type == TYPE_IN ? task->transferred : 0);
}

/* ---- requests to commands ---- */

static void cdb_16(struct scsi_task *t, uint8_t opcode, uint64_t lba, uint64_t count)
{
    memset(t->cdb, 0, sizeof(t->cdb));
    t->cdb[0] = opcode;
    put_be64(t->cdb + 2, lba);
    put_be32(t->cdb + 10, (uint32_t)MIN(count, (uint64_t)UINT32_MAX));
    t->cdb_size = 16;
}

/* Sectors to blocks. False: not a whole number of them. */
static bool to_blocks(const struct scsi_disk *disk, uint64_t sectors, uint64_t *out)
{
    uint32_t each = disk->block->block_size / SECTOR;

    *out = sectors / each;
    return sectors % each == 0;
}

static bool fill_transfer(struct request *r, struct vm_scatter *data, uint64_t sector,
                          uint8_t opcode)
{
    uint64_t lba, count;

    if (data->size % SECTOR || !to_blocks(r->task.disk, sector, &lba) ||
        !to_blocks(r->task.disk, data->size / SECTOR, &count))
        return false;
    cdb_16(&r->task, opcode, lba, count);
    r->task.segments = data->segments;
    r->task.segment_count = data->count;
    return true;
}

/* Discard and zeroing have one range each, in the data. */
static bool fill_range(struct request *r, struct vm_scatter *data)
{
    uint8_t range[RANGE_SIZE];
    uint64_t lba, count;

    if (data->size != RANGE_SIZE ||
        scatter_read(data->segments, data->count, 0, range, RANGE_SIZE) != RANGE_SIZE ||
        !to_blocks(r->task.disk, le64(range), &lba) ||
        !to_blocks(r->task.disk, le32(range + 8), &count))
        return false;
    if (r->type == TYPE_WRITE_ZEROES) {
        cdb_16(&r->task, 0x93, lba, count);  // WRITE SAME, no data: zeros
        r->task.cdb[1] = 0x01;
        return true;
    }
    memset(r->task.cdb, 0, sizeof(r->task.cdb));
    r->task.cdb[0] = 0x42;  // UNMAP
    put_be16(r->task.cdb + 7, sizeof(r->unmap_list));
    r->task.cdb_size = 10;
    put_be16(r->unmap_list, sizeof(r->unmap_list) - 2);
    put_be16(r->unmap_list + 2, RANGE_SIZE);
    put_be64(r->unmap_list + 8, lba);
    put_be32(r->unmap_list + 16, (uint32_t)count);
    r->unmap_segment =
        (struct block_segment){.data = r->unmap_list, .size = sizeof(r->unmap_list)};
    r->task.segments = &r->unmap_segment;
    r->task.segment_count = 1;
    return true;
}

static void get_id(struct virtio_blk *b, struct virtio_chain *c)
{
    char id[ID_SIZE] = {0};

    memcpy(id, b->disk.serial, 16);
    answer(c, STATUS_OK,
           scatter_write(c->in.segments, c->in.count, 0, id, MIN(c->in.size - 1, ID_SIZE)));
}

static void start(struct virtio *v, struct virtio_chain *c)
{
    struct virtio_blk *b = container_of(v, struct virtio_blk, virtio);
    struct request *r = (struct request *)c - 1;
    struct vm_scatter data = c->in;
    uint8_t header[HEADER_SIZE];
    uint64_t sector;
    bool sensible;

    if (!c->in.size ||
        scatter_read(c->out.segments, c->out.count, 0, header, HEADER_SIZE) != HEADER_SIZE) {
        answer(c, STATUS_IO_ERROR, 0);
        return;
    }
    front_cut(&c->out, HEADER_SIZE);
    // The last byte is the status: out of the data.
    data.segments[data.count - 1].size--;
    data.size--;
    c->status_byte =
        (uint8_t *)data.segments[data.count - 1].data + data.segments[data.count - 1].size;
    if (!data.segments[data.count - 1].size)
        data.count--;
    r->type = (enum request_type)le32(header);
    sector = le64(header + 8);
    r->task.disk = &b->disk;
    r->task.done = task_done;
    switch (r->type) {
    case TYPE_IN: sensible = fill_transfer(r, &data, sector, 0x88); break;
    case TYPE_OUT: sensible = fill_transfer(r, &c->out, sector, 0x8a); break;
    case TYPE_FLUSH:
        cdb_16(&r->task, 0x91, 0, 0);
        sensible = true;
        break;
    case TYPE_DISCARD:
    case TYPE_WRITE_ZEROES: sensible = fill_range(r, &c->out); break;
    case TYPE_GET_ID: get_id(b, c); return;
    default: answer(c, STATUS_UNSUPPORTED, 0); return;
    }
    if (sensible)
        scsi_disk_start(&r->task);
    else
        answer(c, STATUS_IO_ERROR, 0);
}

static const struct virtio_ops blk_ops = {.start = start, .chain_size = sizeof(struct request)};

/* ---- making ---- */

static void config_fill(struct virtio_blk *b)
{
    const struct block_device *block = b->disk.block;
    uint8_t *c = b->virtio.config;

    b->virtio.features = F_SEG_MAX | F_BLOCK_SIZE | F_FLUSH | F_WRITE_ZEROES;
    if (block->read_only)
        b->virtio.features |= F_READ_ONLY;
    if (block->can_discard)
        b->virtio.features |= F_DISCARD;
    put_le64(c, block->size / SECTOR);
    put_le32(c + 12, VIRTIO_QUEUE_SIZE - 2);
    put_le32(c + 20, block->block_size);
    c[32] = 1;  // write-back
    put_le16(c + 34, 1);
    put_le32(c + 36, UINT32_MAX / SECTOR);
    put_le32(c + 40, 1);
    put_le32(c + 44, block->block_size / SECTOR);
    put_le32(c + 48, SCSI_WRITE_SAME_MAX * (block->block_size / SECTOR));
    put_le32(c + 52, 1);
}

vmk_status virtio_blk_create(struct vm *vm, unsigned index, struct virtio_blk **out)
{
    struct virtio_blk *b = heap_alloc(sizeof(*b), MEM_OWNER_VMM);
    const struct vm_disk_open *d = &vm->disks->open[index];
    vmk_status status;

    if (!b)
        return VMK_NO_MEMORY;
    scsi_disk_init(&b->disk, d->block, vm->index + 1, d->id);
    b->virtio.ops = &blk_ops;
    config_fill(b);
    status = virtio_create(&b->virtio, vm, VIRTIO_BLK_SLOT(index), VIRTIO_ID_BLOCK, PCI_CLASS);
    if (status != VMK_OK) {
        heap_free(b);
        return status;
    }
    *out = b;
    return VMK_OK;
}

void virtio_blk_destroy(struct virtio_blk *b)
{
    virtio_destroy(&b->virtio);
    heap_free(b);
}
