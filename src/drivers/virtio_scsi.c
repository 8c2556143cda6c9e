// SPDX-License-Identifier: BSD-2-Clause
/*
 * drivers/virtio_scsi.c -- SCSI disks behind a virtio host adapter; they may come off while in use.
 *
 * Targets 0 to 15 and their LUNs 0 to 7 are asked for once, at attach. A disk that is pulled
 * out is announced on the event queue; what is in flight then is answered "bad target", and so
 * NO_DEVICE.
 *
 * Invariants
 *   - Each command owns a slot for good, chosen by its tag: headers, sense, descriptor table.
 *   - A disk's unit is target << 8 | LUN.
 * Locking    disk_queue.lock around its virtqueue; the event queue is used by the handler of
 *            queue 0.
 * Sources    VIRTIO "SCSI Host Device"; SPC4 "Sense data"; SBC3 "READ (16)", "WRITE (16)",
 *            "UNMAP", "COMPARE AND WRITE", "Block Limits VPD page"
 */
#include "core/log.h"
#include "drivers/drivers.h"
#include "drivers/virtio.h"
#include "io/disk.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"

#define F_HOTPLUG BIT(1)

enum {  // configuration
    CONFIG_QUEUES = 0,
    CONFIG_SEG_MAX = 4,
};
enum {
    QUEUE_CONTROL = 0,
    QUEUE_EVENT = 1,
    QUEUE_REQUEST = 2,
};
enum {
    SCSI_INQUIRY = 0x12,
    SCSI_RESERVE_6 = 0x16,
    SCSI_RELEASE_6 = 0x17,
    SCSI_SYNCHRONIZE_CACHE = 0x35,
    SCSI_UNMAP = 0x42,
    SCSI_READ_16 = 0x88,
    SCSI_COMPARE_AND_WRITE = 0x89,
    SCSI_WRITE_16 = 0x8a,
    SCSI_READ_CAPACITY_16 = 0x9e,  // service action 0x10
};
enum {  // sense keys
    SENSE_MEDIUM = 3,
    SENSE_ILLEGAL = 5,
    SENSE_PROTECT = 7,
    SENSE_MISCOMPARE = 14,
};
#define RESPONSE_OK         0u
#define RESPONSE_BAD_TARGET 3u
#define STATUS_GOOD         0u
#define STATUS_CHECK        2u
#define STATUS_RESERVED     0x18u

#define RING_MAX            128u
#define DEPTH               64u
#define EVENTS              8u
#define TARGETS             16u
#define LUNS                8u
#define TABLE_MAX           (DISK_EXTENTS_MAX + 3u)
#define INQUIRY_SIZE        252u

struct packed_layout request {
    uint8_t lun[8];
    uint64_t tag;
    uint8_t attribute, priority, crn;
    uint8_t cdb[32];
};
_Static_assert(sizeof(struct request) == 51, "VIRTIO SCSI request, read by the device");
struct packed_layout response {
    uint32_t sense_size, residual;
    uint16_t qualifier;
    uint8_t status, response;
    uint8_t sense[96];
};
_Static_assert(sizeof(struct response) == 108, "VIRTIO SCSI request, written by the device");
struct packed_layout event {
    uint32_t event;
    uint8_t lun[8];
    uint32_t reason;
};
#define EVENT_TRANSPORT_RESET 1u
#define REASON_REMOVED        2u

struct slot {
    struct virtq_desc table[TABLE_MAX];
    struct request request;
    struct response response;
    uint8_t unmap[24];
};

struct vscsi {
    struct virtio virtio;
    struct disk_port port;
    struct virtq control, events, rings[DISK_QUEUES_MAX];
    unsigned queue_count;
    struct slot *slots[DISK_QUEUES_MAX][DEPTH];
    struct event *event_buffers;
    uint8_t *buffer;  // a page, for answers at attach
    struct disk *disks[DISK_UNITS_MAX];
    unsigned extents;
    bool line;
};

static uint64_t bus_address(const volatile void *what)
{
    return plat_unmap_address((const void *)(uintptr_t)what).raw;
}

/* ---- SCSI ---- */

static void big_endian(uint8_t *to, unsigned bytes, uint64_t value)
{
    while (bytes--) {
        to[bytes] = (uint8_t)value;
        value >>= 8;
    }
}

static uint64_t from_big_endian(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;

    while (bytes--)
        value = value << 8 | *from++;
    return value;
}

static enum disk_result result_of(const struct response *r)
{
    unsigned key;

    if (r->response == RESPONSE_BAD_TARGET)
        return DISK_GONE;
    if (r->response != RESPONSE_OK)
        return DISK_TRANSIENT;
    if (r->status == STATUS_RESERVED)
        return DISK_RESERVED;
    if (r->status != STATUS_CHECK)
        return r->status == STATUS_GOOD ? DISK_OK : DISK_TRANSIENT;
    key = (r->sense[0] & 0x7e) == 0x72 ? r->sense[1] & 15 : r->sense[2] & 15;
    switch (key) {
    case SENSE_MEDIUM: return DISK_MEDIUM;
    case SENSE_ILLEGAL: return DISK_UNSUPPORTED;
    case SENSE_PROTECT: return DISK_PROTECTED;
    case SENSE_MISCOMPARE: return DISK_MISCOMPARE;
    default: return DISK_TRANSIENT;  // unit attention, aborted, hardware
    }
}

/* ---- commands ---- */

static void address(struct slot *s, unsigned unit)
{
    memset(&s->request, 0, sizeof(s->request));
    memset(&s->response, 0xff, sizeof(s->response));
    s->request.lun[0] = 1;
    s->request.lun[1] = (uint8_t)(unit >> 8);
    s->request.lun[2] = 0x40;
    s->request.lun[3] = (uint8_t)unit;
}

/* The chain: request, what is written, response, what is read. */
static void send(struct virtq *ring, unsigned tag, struct slot *s,
                 const struct disk_extent *extents, unsigned count, bool in)
{
    unsigned n = 0;

    virtq_describe(s->table, &n, 0, bus_address(&s->request), sizeof(s->request), false);
    for (unsigned i = 0; i < count && !in; i++)
        virtq_describe(s->table, &n, 0, extents[i].address, extents[i].size, false);
    virtq_describe(s->table, &n, 0, bus_address(&s->response), sizeof(s->response), true);
    for (unsigned i = 0; i < count && in; i++)
        virtq_describe(s->table, &n, 0, extents[i].address, extents[i].size, true);
    ring->desc[tag] = (struct virtq_desc){
        .address = bus_address(s->table), .size = 16 * n, .flags = VIRTQ_INDIRECT};
    virtq_add(ring, tag);
}

static void issue(struct disk_queue *q, struct disk_command *c)
{
    struct vscsi *v = q->port->driver;
    struct slot *s = v->slots[q->index][c->tag];
    const uint32_t block = c->disk->block.block_size;
    uint8_t *cdb = s->request.cdb;
    struct disk_extent unmap = {bus_address(s->unmap), sizeof(s->unmap)};

    address(s, c->disk->unit);
    s->request.tag = c->tag;
    switch (c->op) {
    case BLOCK_FLUSH: cdb[0] = SCSI_SYNCHRONIZE_CACHE; break;
    case BLOCK_RESERVE: cdb[0] = SCSI_RESERVE_6; break;
    case BLOCK_RELEASE: cdb[0] = SCSI_RELEASE_6; break;
    case BLOCK_DISCARD:
        cdb[0] = SCSI_UNMAP;
        big_endian(cdb + 7, 2, sizeof(s->unmap));
        big_endian(s->unmap, 2, sizeof(s->unmap) - 2);
        big_endian(s->unmap + 2, 2, 16);
        big_endian(s->unmap + 8, 8, c->offset / block);
        big_endian(s->unmap + 16, 4, c->size / block);
        big_endian(s->unmap + 20, 4, 0);
        send(&v->rings[q->index], c->tag, s, &unmap, 1, false);
        return;
    case BLOCK_COMPARE_WRITE:  // the data are the expected block, then the new one
        cdb[0] = SCSI_COMPARE_AND_WRITE;
        big_endian(cdb + 2, 8, c->offset / block);
        cdb[13] = 1;
        break;
    default:
        cdb[0] = c->op == BLOCK_READ ? SCSI_READ_16 : SCSI_WRITE_16;
        cdb[1] = c->fua ? 8 : 0;
        big_endian(cdb + 2, 8, c->offset / block);
        big_endian(cdb + 10, 4, c->size / block);
        break;
    }
    send(&v->rings[q->index], c->tag, s, c->extents, c->extent_count, c->op == BLOCK_READ);
}

static void ring(struct disk_queue *q)
{
    struct vscsi *v = q->port->driver;

    virtq_notify(&v->virtio, &v->rings[q->index]);
}

static void poll(struct disk_queue *q)
{
    struct vscsi *v = q->port->driver;
    unsigned tag;
    uint32_t written;

    while (virtq_next_used(&v->rings[q->index], &tag, &written)) {
        struct disk_command *c = disk_command_of(q, tag);

        if (!c) {
            vmk_log(VMK_LOG_WARN, "virtio_scsi: %s: an answer to nothing: %u", q->port->name,
                    tag);
            disk_port_fail(q->port);
            return;
        }
        disk_command_done(q, c, result_of(&v->slots[q->index][tag]->response));
    }
}

/* ---- events ---- */

static void removed(struct vscsi *v, unsigned unit)
{
    for (unsigned i = 0; i < v->port.disk_count; i++) {
        struct disk *disk = v->port.disks[i];

        if (disk->unit == unit && !__atomic_exchange_n(&disk->gone, true, __ATOMIC_ACQ_REL))
            storage_device_gone(&disk->block);
    }
}

static void offer_event(struct vscsi *v, unsigned i)
{
    memset(&v->event_buffers[i], 0, sizeof(v->event_buffers[i]));
    v->events.desc[i] = (struct virtq_desc){.address = bus_address(&v->event_buffers[i]),
                                            .size = sizeof(struct event),
                                            .flags = VIRTQ_WRITE};
    virtq_add(&v->events, i);
}

static void take_events(struct vscsi *v)
{
    unsigned i;
    uint32_t written;

    while (virtq_next_used(&v->events, &i, &written)) {
        const struct event *e = &v->event_buffers[i % EVENTS];

        if ((e->event & 0x7fffffff) == EVENT_TRANSPORT_RESET && e->reason == REASON_REMOVED)
            removed(v, e->lun[1] * 256u + e->lun[3]);
        offer_event(v, i % EVENTS);
        virtq_notify(&v->virtio, &v->events);
    }
}

static void interrupt_one(struct disk_queue *q)
{
    if (q->index == 0)
        take_events(q->port->driver);
    (void)disk_queue_interrupt(q);
}

static void interrupt(void *argument)
{
    struct disk_queue *q = argument;
    struct vscsi *v = q->port->driver;

    if (!v->line) {
        interrupt_one(q);
        return;
    }
    if (!(virtio_isr(&v->virtio) & 1))
        return;
    for (unsigned i = 0; i < v->queue_count; i++)
        interrupt_one(&v->port.queues[i]);
}

/* ---- bringing up ---- */

static vmk_status bring_up(struct vscsi *v)
{
    const unsigned none = VIRTIO_VECTOR_NONE;
    vmk_status status;

    if (!virtio_negotiate(&v->virtio, F_HOTPLUG | VIRTIO_F_INDIRECT) ||
        !(v->virtio.features & VIRTIO_F_INDIRECT))
        return VMK_UNSUPPORTED;
    status = virtio_queue_init(&v->virtio, &v->control, QUEUE_CONTROL, RING_MAX, none);
    if (status == VMK_OK)
        status = virtio_queue_init(&v->virtio, &v->events, QUEUE_EVENT, RING_MAX,
                                   v->virtio.msix ? 0 : none);
    for (unsigned i = 0; i < v->queue_count && status == VMK_OK; i++) {
        status = virtio_queue_init(&v->virtio, &v->rings[i], QUEUE_REQUEST + i, RING_MAX,
                                   v->virtio.msix ? i : none);
        if (status == VMK_OK && v->rings[i].size < DEPTH)
            status = VMK_UNSUPPORTED;
    }
    if (status != VMK_OK)
        return status;
    virtio_start(&v->virtio);
    for (unsigned i = 0; i < EVENTS && i < v->events.size; i++)
        offer_event(v, i);
    virtq_notify(&v->virtio, &v->events);
    return VMK_OK;
}

static vmk_status reset(struct disk_port *port)
{
    struct vscsi *v = port->driver;
    vmk_status status = virtio_reset(&v->virtio);

    return status == VMK_OK ? bring_up(v) : status;
}

static void silence(struct disk_port *port)
{
    struct vscsi *v = port->driver;

    pci_write(v->virtio.pci, PCI_COMMAND, 2,
              pci_read(v->virtio.pci, PCI_COMMAND, 2) & ~PCI_COMMAND_MASTER);
}

static const struct disk_driver ops = {
    .name = "virtio_scsi",
    .issue = issue,
    .ring = ring,
    .poll = poll,
    .reset = reset,
    .silence = silence,
};

/*
 * One command by polling, the answer in v->buffer; before interrupts. World context. [switch]
 */
static bool ask(struct vscsi *v, unsigned unit, const uint8_t *cdb, unsigned cdb_size,
                uint32_t size)
{
    struct slot *s = v->slots[0][0];
    struct disk_extent into = {bus_address(v->buffer), size};
    unsigned tag;
    uint32_t written;

    for (unsigned tries = 0; tries < 3; tries++) {  // the first may be a unit attention
        address(s, unit);
        memcpy(s->request.cdb, cdb, cdb_size);
        memset(v->buffer, 0, PAGE_SIZE);
        send(&v->rings[0], 0, s, &into, 1, true);
        virtq_notify(&v->virtio, &v->rings[0]);
        for (unsigned i = 0; !virtq_next_used(&v->rings[0], &tag, &written); i++) {
            if (i == 3000)
                return false;
            if (i > 100)
                disk_pause(1000000);
        }
        if (result_of(&s->response) != DISK_TRANSIENT)
            return result_of(&s->response) == DISK_OK;
    }
    return false;
}

static void text(char *to, const uint8_t *from, unsigned size)
{
    memcpy(to, from, size);
    to[size] = 0;
}

/* The best of the names of page 83h: an NAA identifier. */
static void read_name(struct vscsi *v, unsigned unit, struct storage_inquiry *q)
{
    static const uint8_t page83[6] = {SCSI_INQUIRY, 1, 0x83, 0, INQUIRY_SIZE};
    static const uint8_t page80[6] = {SCSI_INQUIRY, 1, 0x80, 0, INQUIRY_SIZE};
    const uint8_t *b = v->buffer;
    int n = 0;

    if (ask(v, unit, page80, 6, INQUIRY_SIZE) && b[1] == 0x80)
        text(q->serial, b + 4, MIN((unsigned)b[3], 40u));
    if (!ask(v, unit, page83, 6, INQUIRY_SIZE) || b[1] != 0x83)
        return;
    for (unsigned at = 4; at + 4 <= INQUIRY_SIZE && at < 4u + b[3]; at += 4u + b[at + 3]) {
        const unsigned size = b[at + 3];

        if ((b[at + 1] & 0x3f) != 3 || (size != 8 && size != 16) ||
            at + 4 + size > INQUIRY_SIZE)
            continue;
        n = vmk_snprintf(q->wwn, sizeof(q->wwn), "naa.");
        for (unsigned i = 0; i < size; i++)
            n += vmk_snprintf(q->wwn + n, sizeof(q->wwn) - (size_t)n, "%02x", b[at + 4 + i]);
        return;
    }
}

/*
 * Page B0h: what the device takes in one COMPARE AND WRITE; 0: it does not know it, or does not
 * say.
 */
static bool can_compare_write(struct vscsi *v, unsigned unit)
{
    static const uint8_t page_b0[6] = {SCSI_INQUIRY, 1, 0xb0, 0, INQUIRY_SIZE};
    const uint8_t *b = v->buffer;

    return ask(v, unit, page_b0, 6, INQUIRY_SIZE) && b[1] == 0xb0 && b[3] >= 2 && b[5];
}

/* False: no disk at that place. */
static bool read_disk(struct vscsi *v, unsigned unit, struct disk *disk,
                      struct storage_inquiry *q)
{
    static const uint8_t inquiry[6] = {SCSI_INQUIRY, 0, 0, 0, 36};
    static const uint8_t capacity[16] = {SCSI_READ_CAPACITY_16, 0x10, [13] = 32};
    const uint8_t *b = v->buffer;
    uint64_t blocks;

    if (!ask(v, unit, inquiry, 6, 36) || b[0] != 0)  // a direct-access device that is there
        return false;
    disk->block.removable = b[1] & 0x80;
    text(q->vendor, b + 8, 8);
    text(q->model, b + 16, 16);
    text(q->revision, b + 32, 4);
    if (!ask(v, unit, capacity, 16, 32))
        return false;
    blocks = from_big_endian(b, 8) + 1;
    disk->block.block_size = (uint32_t)from_big_endian(b + 8, 4);
    if (!blocks || blocks > UINT64_MAX >> 17 || disk->block.block_size < 512 ||
        disk->block.block_size > 65536 || disk->block.block_size & (disk->block.block_size - 1))
        return false;
    disk->block.size = blocks * disk->block.block_size;
    disk->block.can_reserve = true;  // one that cannot answers ILLEGAL REQUEST
    disk->block.can_discard = b[14] & 0x80;
    disk->block.rotational = true;
    disk->unit = unit;
    disk->limits.transfer_max = 1u << 20;
    disk->limits.discard_max = 1u << 30;
    disk->limits.extents = v->extents;
    disk->limits.has_fua = true;
    read_name(v, unit, q);
    disk->block.can_compare_write = can_compare_write(v, unit);
    return true;
}

static vmk_status add_disks(struct vscsi *v, struct storage_adapter *adapter)
{
    static const struct storage_inquiry none;
    struct storage_inquiry *names =
        heap_alloc(DISK_UNITS_MAX * sizeof(*names), MEM_OWNER_KERNEL);
    unsigned count = 0;
    vmk_status status = names ? VMK_OK : VMK_NO_MEMORY;

    for (unsigned place = 0; names && place < TARGETS * LUNS && count < DISK_UNITS_MAX;
         place++) {
        struct disk *disk = heap_alloc(sizeof(*disk), MEM_OWNER_KERNEL);
        const unsigned unit = (place / LUNS) << 8 | place % LUNS;

        names[count] = none;
        if (disk && read_disk(v, unit, disk, &names[count]))
            v->disks[count++] = disk;
        else
            heap_free(disk);
    }
    // Now that nobody polls the queue any more, requests may come.
    for (unsigned i = 0; i < count && status == VMK_OK; i++) {
        status = disk_add(&v->port, v->disks[i]);
        if (status == VMK_OK)
            status =
                storage_device_add(adapter, 0, v->disks[i]->unit >> 8, v->disks[i]->unit & 255,
                                   &v->disks[i]->block, &names[i]);
    }
    heap_free(names);
    return status;
}

static vmk_status get_memory(struct vscsi *v)
{
    mpn_t mpn;

    if (page_alloc_zeroed(0, MEM_OWNER_KERNEL, &mpn) != VMK_OK)
        return VMK_NO_MEMORY;
    v->buffer = mpn_map(mpn);
    v->event_buffers = heap_alloc(EVENTS * sizeof(struct event), MEM_OWNER_KERNEL);
    if (!v->event_buffers)
        return VMK_NO_MEMORY;
    for (unsigned i = 0; i < v->queue_count; i++) {
        for (unsigned tag = 0; tag < DEPTH; tag++) {
            v->slots[i][tag] = heap_alloc(sizeof(struct slot), MEM_OWNER_KERNEL);
            if (!v->slots[i][tag])
                return VMK_NO_MEMORY;
        }
    }
    return VMK_OK;
}

static vmk_status attach(struct pci_device *pci)
{
    struct vscsi *v = heap_alloc(sizeof(*v), MEM_OWNER_KERNEL);
    struct pci_irq irqs[DISK_QUEUES_MAX];
    struct storage_adapter *adapter;
    char name[PCI_NAME_SIZE];
    enum pci_irq_kind kind = PCI_IRQ_NONE;
    vmk_status status;

    if (!v)
        return VMK_NO_MEMORY;
    status = virtio_open(&v->virtio, pci);
    if (status != VMK_OK) {
        heap_free(v);
        return status;
    }
    v->queue_count = virtio_config_read(&v->virtio, CONFIG_QUEUES, 4);
    v->queue_count = MIN(MAX(v->queue_count, 1u), MIN(plat_cpu_count(), DISK_QUEUES_MAX));
    v->queue_count = MIN(v->queue_count, MAX(pci->msix_count, 1u));
    v->extents = virtio_config_read(&v->virtio, CONFIG_SEG_MAX, 4);
    v->extents = MIN(MAX(v->extents, 1u), DISK_EXTENTS_MAX);
    pci_name(pci, name);
    status = disk_port_init(&v->port, name, &ops, v, v->queue_count, DEPTH);
    if (status == VMK_OK)
        status = get_memory(v);
    for (unsigned i = 0; i < v->queue_count; i++)
        irqs[i] = (struct pci_irq){interrupt, &v->port.queues[i], i};
    // While disks are looked for the queue is polled: handlers keep off until then.
    __atomic_store_n(&v->port.stopped, true, __ATOMIC_RELEASE);
    if (status == VMK_OK && pci_irq_attach(pci, irqs, v->queue_count, &kind) < v->queue_count)
        status = VMK_UNSUPPORTED;
    v->virtio.msix = kind == PCI_IRQ_MSIX;
    v->line = !v->virtio.msix;
    if (status == VMK_OK)
        status = virtio_reset(&v->virtio);
    if (status == VMK_OK)
        status = bring_up(v);
    if (status == VMK_OK)
        status = storage_adapter_add(ops.name, name, "Virtio SCSI adapter", &adapter);
    if (status == VMK_OK)
        status = add_disks(v, adapter);
    __atomic_store_n(&v->port.stopped, false, __ATOMIC_RELEASE);
    return status;
}

const struct driver driver_virtio_scsi = {"virtio_scsi", "Virtio SCSI adapters", attach};
