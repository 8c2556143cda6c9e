// SPDX-License-Identifier: BSD-2-Clause
/*
 * drivers/virtio_blk.c -- virtio block devices: one queue per CPU where the device has them.
 *
 * Each command owns a header, a status byte and a descriptor table for good, chosen by its tag;
 * with indirect descriptors a command takes one ring entry, without, a fixed share of the ring.
 *
 * Invariants
 *   - A head the device returns is looked up; one that is not in flight is a reason for a
 *     reset.
 * Locking    disk_queue.lock around its virtqueue.
 * Sources    VIRTIO "Block Device"
 */
#include "core/log.h"
#include "drivers/drivers.h"
#include "drivers/virtio.h"
#include "io/disk.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"

#define F_SEG_MAX  BIT(2)
#define F_RO       BIT(5)
#define F_BLK_SIZE BIT(6)
#define F_FLUSH    BIT(9)
#define F_MQ       BIT(12)
#define F_DISCARD  BIT(13)

enum {  // configuration
    CONFIG_CAPACITY = 0,
    CONFIG_SEG_MAX = 12,
    CONFIG_BLK_SIZE = 20,
    CONFIG_QUEUES = 34,
    CONFIG_DISCARD_SECTORS = 36,
};
enum {
    TYPE_IN = 0,
    TYPE_OUT = 1,
    TYPE_FLUSH = 4,
    TYPE_GET_ID = 8,
    TYPE_DISCARD = 11,
};
#define STATUS_OK          0u
#define STATUS_UNSUPPORTED 2u
#define RING_MAX           128u
#define DIRECT_SHARE       8u  // ring entries per command without indirect descriptors
#define TABLE_MAX          (DISK_EXTENTS_MAX + 2u)

/* What the device reads and writes for one command. */
struct slot {
    uint32_t type, reserved;
    uint64_t sector;
    uint64_t discard_sector;
    uint32_t discard_count, discard_flags;
    volatile uint8_t status;
    uint8_t pad[31];
    struct virtq_desc table[TABLE_MAX];
};

struct vblk_queue {
    struct virtq ring;
    struct slot **slots;
};

struct vblk {
    struct virtio virtio;
    struct disk_port port;
    struct disk disk;
    struct vblk_queue queues[DISK_QUEUES_MAX];
    unsigned queue_count;
    bool line;  // one interrupt for all, with a cause to read
};

static uint64_t bus_address(const volatile void *what)
{
    return plat_unmap_address((const void *)(uintptr_t)what).raw;
}

static bool indirect(const struct vblk *b)
{
    return b->virtio.features & VIRTIO_F_INDIRECT;
}

static void issue(struct disk_queue *q, struct disk_command *c)
{
    static const uint32_t types[] = {TYPE_IN, TYPE_OUT, TYPE_FLUSH, TYPE_DISCARD};
    struct vblk *b = q->port->driver;
    struct vblk_queue *vq = &b->queues[q->index];
    struct slot *s = vq->slots[c->tag];
    const unsigned base = indirect(b) ? 0 : c->tag * DIRECT_SHARE;
    struct virtq_desc *table = indirect(b) ? s->table : vq->ring.desc + base;
    const bool in = c->op == BLOCK_READ;
    unsigned n = 0;

    s->type = types[c->op];
    s->sector = c->op == BLOCK_READ || c->op == BLOCK_WRITE ? c->offset / 512 : 0;
    s->status = 0xff;
    virtq_describe(table, &n, base, bus_address(s), 16, false);
    if (c->op == BLOCK_DISCARD) {
        s->discard_sector = c->offset / 512;
        s->discard_count = c->size / 512;
        s->discard_flags = 0;
        virtq_describe(table, &n, base, bus_address(&s->discard_sector), 16, false);
    }
    for (unsigned i = 0; i < c->extent_count; i++)
        virtq_describe(table, &n, base, c->extents[i].address, c->extents[i].size, in);
    virtq_describe(table, &n, base, bus_address(&s->status), 1, true);
    if (indirect(b))
        vq->ring.desc[c->tag] = (struct virtq_desc){
            .address = bus_address(table), .size = 16 * n, .flags = VIRTQ_INDIRECT};
    virtq_add(&vq->ring, indirect(b) ? c->tag : base);
}

static void ring(struct disk_queue *q)
{
    struct vblk *b = q->port->driver;

    virtq_notify(&b->virtio, &b->queues[q->index].ring);
}

static void poll(struct disk_queue *q)
{
    struct vblk *b = q->port->driver;
    struct vblk_queue *vq = &b->queues[q->index];
    unsigned head;
    uint32_t written;

    while (virtq_next_used(&vq->ring, &head, &written)) {
        unsigned tag = indirect(b) ? head : head / DIRECT_SHARE;
        struct disk_command *c = disk_command_of(q, tag);
        uint8_t status;

        if (!c || (!indirect(b) && head % DIRECT_SHARE)) {
            vmk_log(VMK_LOG_WARN, "virtio_blk: %s: an answer to nothing: %u", q->port->name,
                    head);
            disk_port_fail(q->port);
            return;
        }
        status = vq->slots[tag]->status;
        disk_command_done(q, c,
                          status == STATUS_OK            ? DISK_OK
                          : status == STATUS_UNSUPPORTED ? DISK_UNSUPPORTED
                                                         : DISK_MEDIUM);
    }
}

static void interrupt(void *argument)
{
    struct disk_queue *q = argument;
    struct vblk *b = q->port->driver;

    if (!b->line) {
        (void)disk_queue_interrupt(q);
        return;
    }
    if (!(virtio_isr(&b->virtio) & 1))  // somebody else's, or a change of configuration
        return;
    for (unsigned i = 0; i < b->queue_count; i++)
        (void)disk_queue_interrupt(&b->port.queues[i]);
}

/* From a reset device to a working one. */
static vmk_status bring_up(struct vblk *b, enum pci_irq_kind kind)
{
    vmk_status status;

    if (!virtio_negotiate(&b->virtio, F_SEG_MAX | F_RO | F_BLK_SIZE | F_FLUSH | F_MQ |
                                          F_DISCARD | VIRTIO_F_INDIRECT))
        return VMK_UNSUPPORTED;
    for (unsigned i = 0; i < b->queue_count; i++) {
        status = virtio_queue_init(&b->virtio, &b->queues[i].ring, i, RING_MAX,
                                   kind == PCI_IRQ_MSIX ? i : VIRTIO_VECTOR_NONE);
        if (status != VMK_OK)
            return status;
    }
    virtio_start(&b->virtio);
    return VMK_OK;
}

static vmk_status reset(struct disk_port *port)
{
    struct vblk *b = port->driver;
    vmk_status status = virtio_reset(&b->virtio);

    return status == VMK_OK ? bring_up(b, b->virtio.msix ? PCI_IRQ_MSIX : PCI_IRQ_LINE)
                            : status;
}

static void silence(struct disk_port *port)
{
    struct vblk *b = port->driver;

    pci_write(b->virtio.pci, PCI_COMMAND, 2,
              pci_read(b->virtio.pci, PCI_COMMAND, 2) & ~PCI_COMMAND_MASTER);
}

static const struct disk_driver ops = {
    .name = "virtio_blk",
    .issue = issue,
    .ring = ring,
    .poll = poll,
    .reset = reset,
    .silence = silence,
};

static vmk_status make_slots(struct vblk *b, unsigned depth)
{
    for (unsigned i = 0; i < b->queue_count; i++) {
        struct vblk_queue *vq = &b->queues[i];

        vq->slots = heap_alloc(depth * sizeof(*vq->slots), MEM_OWNER_KERNEL);
        if (!vq->slots)
            return VMK_NO_MEMORY;
        // Each by itself: the heap's objects do not cross what must be in one piece.
        for (unsigned tag = 0; tag < depth; tag++) {
            vq->slots[tag] = heap_alloc(sizeof(struct slot), MEM_OWNER_KERNEL);
            if (!vq->slots[tag])
                return VMK_NO_MEMORY;
        }
    }
    return VMK_OK;
}

static void read_geometry(struct vblk *b, struct disk *disk)
{
    struct virtio *v = &b->virtio;
    uint32_t block = v->features & F_BLK_SIZE ? virtio_config_read(v, CONFIG_BLK_SIZE, 4) : 512;
    uint32_t seg_max = v->features & F_SEG_MAX ? virtio_config_read(v, CONFIG_SEG_MAX, 4) : 1;

    disk->block.size = (virtio_config_read(v, CONFIG_CAPACITY, 4) |
                        (uint64_t)virtio_config_read(v, CONFIG_CAPACITY + 4, 4) << 32)
                       << 9;
    disk->block.block_size =
        block >= 512 && block <= 65536 && !(block & (block - 1)) ? block : 512;
    disk->block.size -= disk->block.size % disk->block.block_size;
    disk->block.read_only = v->features & F_RO;
    disk->block.can_discard = v->features & F_DISCARD;
    disk->limits.no_cache = !(v->features & F_FLUSH);
    disk->limits.extents =
        MIN(indirect(b) ? DISK_EXTENTS_MAX : DIRECT_SHARE - 2, MAX(seg_max, 1u));
    disk->limits.transfer_max = 1u << 20;
    if (disk->block.can_discard) {
        uint32_t sectors = virtio_config_read(v, CONFIG_DISCARD_SECTORS, 4);

        disk->limits.discard_max =
            (MIN(sectors, 1u << 21) << 9) & ~(disk->block.block_size - 1);
        disk->block.can_discard = disk->limits.discard_max;
    }
}

static vmk_status attach_irqs(struct vblk *b)
{
    struct pci_irq irqs[DISK_QUEUES_MAX];
    enum pci_irq_kind kind;
    unsigned got;

    for (unsigned i = 0; i < b->queue_count; i++)
        irqs[i] = (struct pci_irq){interrupt, &b->port.queues[i], i};
    got = pci_irq_attach(b->virtio.pci, irqs, b->queue_count, &kind);
    if (!got)
        return VMK_UNSUPPORTED;
    b->virtio.msix = kind == PCI_IRQ_MSIX;
    b->line = !b->virtio.msix;
    return got < b->queue_count && !b->line ? VMK_LIMIT : VMK_OK;
}

static vmk_status attach(struct pci_device *pci)
{
    struct vblk *b = heap_alloc(sizeof(*b), MEM_OWNER_KERNEL);
    struct storage_inquiry inquiry = {.vendor = "VirtIO", .model = "Block device"};
    struct storage_adapter *adapter;
    char name[PCI_NAME_SIZE];
    unsigned depth;
    vmk_status status;

    if (!b)
        return VMK_NO_MEMORY;
    status = virtio_open(&b->virtio, pci);
    if (status != VMK_OK || !virtio_negotiate(&b->virtio, F_MQ | VIRTIO_F_INDIRECT)) {
        heap_free(b);
        return status != VMK_OK ? status : VMK_UNSUPPORTED;
    }
    b->queue_count =
        b->virtio.features & F_MQ ? virtio_config_read(&b->virtio, CONFIG_QUEUES, 2) : 1;
    b->queue_count = MIN(MAX(b->queue_count, 1u), MIN(plat_cpu_count(), DISK_QUEUES_MAX));
    if (b->queue_count > (pci->msix ? pci->msix_count : 1u))
        b->queue_count = MAX(pci->msix_count, 1);
    // The ring of a legacy device is as long as it says; ours are at least this long or
    // refused.
    depth = indirect(b) ? RING_MAX / 2 : RING_MAX / DIRECT_SHARE;
    pci_name(pci, name);
    status = disk_port_init(&b->port, name, &ops, b, b->queue_count, depth);
    if (status == VMK_OK)
        status = make_slots(b, depth);
    if (status == VMK_OK)
        status = attach_irqs(b);
    if (status == VMK_OK)
        status = virtio_reset(&b->virtio);
    if (status == VMK_OK)
        status = bring_up(b, b->virtio.msix ? PCI_IRQ_MSIX : PCI_IRQ_LINE);
    for (unsigned i = 0; i < b->queue_count && status == VMK_OK; i++)
        if (b->queues[i].ring.size < depth * (indirect(b) ? 1 : DIRECT_SHARE))
            status = VMK_UNSUPPORTED;
    if (status != VMK_OK)
        return status;  // its memory may be the device's: it is kept
    read_geometry(b, &b->disk);
    if (!b->disk.block.size)
        return VMK_UNSUPPORTED;
    status = disk_add(&b->port, &b->disk);
    if (status == VMK_OK)
        status = storage_adapter_add(ops.name, name, "Virtio block device", &adapter);
    if (status == VMK_OK)
        status = storage_device_add(adapter, 0, 0, 0, &b->disk.block, &inquiry);
    return status;
}

const struct driver driver_virtio_blk = {"virtio_blk", "Virtio block devices", attach};
