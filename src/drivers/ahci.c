// SPDX-License-Identifier: BSD-2-Clause
/*
 * drivers/ahci.c -- SATA disks behind an AHCI controller, with native command queueing.
 *
 * Each port with a disk is a disk_port: it is reset by itself. A failed queued command stops
 * the whole port; the recovery world then reads the disk's error log to learn which one it was.
 * If the disk has no such log (QEMU's has none), disk.c tries them one by one.
 *
 * Invariants
 *   - A command's slot and NCQ tag are its tag.
 *   - Queued and other commands are never in flight together (limits.lone_flush).
 * Locking    disk_queue.lock of the port around its registers; the controller's interrupt
 *            status is read and cleared without one.
 * Sources    AHCI "HBA Memory Registers", "System Memory Structures", "Error Reporting and
 *            Recovery"; SATA "Native Command Queuing"; ATA8
 */
#include "core/log.h"
#include "drivers/ata.h"
#include "drivers/drivers.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"

enum {  // of the controller
    HBA_CAP = 0x00,
    HBA_GHC = 0x04,
    HBA_IS = 0x08,
    HBA_PI = 0x0c,
};
#define GHC_INTERRUPTS 2u
#define GHC_AHCI       0x80000000u
#define CAP_WIDE       0x80000000u
#define CAP_NCQ        0x40000000u

enum {  // of a port, at 0x100 + 0x80 * number
    PORT_CLB = 0x00,
    PORT_FB = 0x08,
    PORT_IS = 0x10,
    PORT_IE = 0x14,
    PORT_CMD = 0x18,
    PORT_TFD = 0x20,
    PORT_SIG = 0x24,
    PORT_SSTS = 0x28,
    PORT_SCTL = 0x2c,
    PORT_SERR = 0x30,
    PORT_SACT = 0x34,
    PORT_CI = 0x38,
};
#define CMD_START    0x0001u
#define CMD_SPIN_UP  0x0002u
#define CMD_POWER    0x0004u
#define CMD_FIS      0x0010u
#define CMD_FIS_ON   0x4000u
#define CMD_RUNNING  0x8000u
#define IS_ERRORS    0x7d000000u  // task file, host bus, interface, overflow
#define IE_ALL       (IS_ERRORS | 0x0000002fu)
#define SIG_DISK     0x00000101u

#define EXTENTS      56u
#define TABLE_SIZE   1024u
#define TRIM_SECTORS 65535u

struct command_header {
    uint32_t flags, bytes, table_low, table_high, reserved[4];
};
struct region {
    uint32_t low, high, reserved, size;  // size - 1
};
struct command_table {
    uint8_t fis[64], atapi[16], reserved[48];
    struct region regions[EXTENTS];
};
_Static_assert(sizeof(struct command_table) == TABLE_SIZE, "AHCI Command Table");

struct ahci;
struct ahci_port {
    struct ahci *hba;
    volatile char *registers;
    unsigned number;
    struct command_header *list;   // 32, then the received FISes at 1024
    struct command_table *tables;  // by tag
    uint8_t *sector;               // 512 bytes for identify and logs
    struct ata_identity id;
    bool ncq;
    uint32_t queued;  // tags in flight as NCQ
    uint32_t causes;  // PORT_IS bits seen and not dealt with
    struct disk_port port;
    struct disk disk;
};

struct ahci {
    struct pci_device *pci;
    volatile char *registers;
    bool wide;
    struct storage_adapter *adapter;
    struct ahci_port *ports[32];
};

static uint32_t port_read(struct ahci_port *p, unsigned at)
{
    return plat_mmio_read32(p->registers + at);
}

static void port_write(struct ahci_port *p, unsigned at, uint32_t value)
{
    plat_mmio_write32(p->registers + at, value);
}

static uint64_t bus_address(const void *what)
{
    return plat_unmap_address(what).raw;
}

/* Until the bits of the register are as wanted. World context. [switch] */
static vmk_status wait_for(struct ahci_port *p, unsigned at, uint32_t mask, uint32_t wanted,
                           unsigned ms)
{
    for (unsigned i = 0;; i++) {
        uint32_t value = port_read(p, at);

        if (value == 0xffffffffu)
            return VMK_NO_DEVICE;
        if ((value & mask) == wanted)
            return VMK_OK;
        if (i == ms)
            return VMK_TIMEOUT;
        disk_pause(1000000);
    }
}

/* ---- commands ---- */

static void fis_build(uint8_t *fis, unsigned command, uint64_t lba, unsigned count,
                      unsigned features, unsigned device)
{
    memset(fis, 0, 64);
    fis[0] = 0x27;  // register, host to device
    fis[1] = 0x80;  // a command
    fis[2] = (uint8_t)command;
    fis[3] = (uint8_t)features;
    fis[11] = (uint8_t)(features >> 8);
    for (unsigned i = 0; i < 3; i++) {
        fis[4 + i] = (uint8_t)(lba >> 8 * i);
        fis[8 + i] = (uint8_t)(lba >> (24 + 8 * i));
    }
    fis[7] = (uint8_t)device;
    fis[12] = (uint8_t)count;
    fis[13] = (uint8_t)(count >> 8);
}

static void region_set(struct region *r, uint64_t address, uint32_t size)
{
    *r = (struct region){
        .low = (uint32_t)address, .high = (uint32_t)(address >> 32), .size = size - 1};
}

static void header_set(struct ahci_port *p, unsigned slot, unsigned regions, bool write)
{
    const uint64_t table = bus_address(&p->tables[slot]);

    p->list[slot] = (struct command_header){.flags = 5u | (write ? 0x40u : 0) | regions << 16,
                                            .table_low = (uint32_t)table,
                                            .table_high = (uint32_t)(table >> 32)};
}

/*
 * Up to 64 ranges of 65535 sectors in the command's own sector: discard_max bounds it to one.
 */
static void trim_data(struct ahci_port *p, const struct disk_command *c)
{
    memset(p->sector, 0, 512);
    put_le64(p->sector, c->offset / c->disk->block.block_size |
                            (uint64_t)(c->size / c->disk->block.block_size) << 48);
}

static void issue(struct disk_queue *q, struct disk_command *c)
{
    struct ahci_port *p = q->port->driver;
    struct command_table *table = &p->tables[c->tag];
    const uint64_t lba = c->offset / c->disk->block.block_size;
    const unsigned count = c->size / c->disk->block.block_size;
    const bool write = c->op == BLOCK_WRITE || c->op == BLOCK_DISCARD;
    unsigned regions = 0;
    bool queued = false;

    for (; regions < c->extent_count; regions++)
        region_set(&table->regions[regions], c->extents[regions].address,
                   c->extents[regions].size);
    if (c->op == BLOCK_FLUSH) {
        fis_build(table->fis, p->id.wide ? ATA_FLUSH_EXT : ATA_FLUSH, 0, 0, 0, ATA_DEVICE_LBA);
    } else if (c->op == BLOCK_DISCARD) {
        trim_data(p, c);
        region_set(&table->regions[regions++], bus_address(p->sector), 512);
        fis_build(table->fis, ATA_DATASET, 0, 1, 1, ATA_DEVICE_LBA);
    } else if (p->ncq) {
        queued = true;
        fis_build(table->fis, write ? ATA_WRITE_QUEUED : ATA_READ_QUEUED, lba, c->tag << 3,
                  count, ATA_DEVICE_LBA | (c->fua ? ATA_DEVICE_FUA : 0));
    } else if (p->id.wide) {
        fis_build(table->fis,
                  !write   ? ATA_READ_DMA_EXT
                  : c->fua ? ATA_WRITE_DMA_FUA_EXT
                           : ATA_WRITE_DMA_EXT,
                  lba, count, 0, ATA_DEVICE_LBA);
    } else {
        fis_build(table->fis, write ? ATA_WRITE_DMA : ATA_READ_DMA, lba & 0xffffff, count, 0,
                  ATA_DEVICE_LBA | (unsigned)(lba >> 24 & 15));
    }
    header_set(p, c->tag, regions, write);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (queued) {
        p->queued |= 1u << c->tag;
        port_write(p, PORT_SACT, 1u << c->tag);
    }
    port_write(p, PORT_CI, 1u << c->tag);
}

/* Those that have left the hardware. */
static void complete(struct disk_queue *q, uint32_t active)
{
    struct ahci_port *p = q->port->driver;

    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    for (unsigned tag = 0; tag < q->depth; tag++) {
        struct disk_command *c = disk_command_of(q, tag);

        if (c && !(active >> tag & 1)) {
            p->queued &= ~(1u << tag);
            disk_command_done(q, c, DISK_OK);
        }
    }
}

static uint32_t active_slots(struct ahci_port *p)
{
    return (port_read(p, PORT_SACT) & p->queued) | port_read(p, PORT_CI);
}

static void poll(struct disk_queue *q)
{
    struct ahci_port *p = q->port->driver;
    const uint32_t causes = port_read(p, PORT_IS);

    if (causes == 0xffffffffu) {
        disk_port_gone(q->port);
        return;
    }
    port_write(p, PORT_IS, causes);
    p->causes |= causes;
    // With an error up, what has left SACT is known to be good, what has left CI is not.
    if (p->causes & IS_ERRORS)
        disk_port_fail(q->port);
    else
        complete(q, active_slots(p));
}

static void interrupt(void *argument)
{
    struct ahci *hba = argument;
    uint32_t which;

    // A message comes once: look until nothing is new.
    for (unsigned rounds = 0; rounds < 64; rounds++) {
        which = plat_mmio_read32(hba->registers + HBA_IS);
        if (which == 0)
            return;
        for (unsigned i = 0; i < 32; i++) {
            struct ahci_port *p = hba->ports[i];

            if (!(which >> i & 1) || !p)
                continue;
            if (!disk_queue_interrupt(&p->port.queues[0]))  // being reset: only quiet
                port_write(p, PORT_IS, port_read(p, PORT_IS));
        }
        plat_mmio_write32(hba->registers + HBA_IS, which);
    }
}

/* ---- the port ---- */

static vmk_status engine_stop(struct ahci_port *p)
{
    vmk_status status;

    port_write(p, PORT_CMD, port_read(p, PORT_CMD) & ~CMD_START);
    status = wait_for(p, PORT_CMD, CMD_RUNNING, 0, 500);
    if (status != VMK_OK)
        return status;
    port_write(p, PORT_CMD, port_read(p, PORT_CMD) & ~CMD_FIS);
    return wait_for(p, PORT_CMD, CMD_FIS_ON, 0, 500);
}

static void engine_start(struct ahci_port *p)
{
    const uint64_t list = bus_address(p->list);
    const uint64_t fis = list + 1024;

    port_write(p, PORT_CLB, (uint32_t)list);
    port_write(p, PORT_CLB + 4, (uint32_t)(list >> 32));
    port_write(p, PORT_FB, (uint32_t)fis);
    port_write(p, PORT_FB + 4, (uint32_t)(fis >> 32));
    port_write(p, PORT_SERR, 0xffffffffu);
    port_write(p, PORT_IS, 0xffffffffu);
    port_write(p, PORT_CMD, port_read(p, PORT_CMD) | CMD_FIS | CMD_SPIN_UP | CMD_POWER);
    port_write(p, PORT_CMD, port_read(p, PORT_CMD) | CMD_START);
    p->causes = p->queued = 0;
}

/* COMRESET, and wait until the disk is there again. */
static vmk_status link_reset(struct ahci_port *p)
{
    const uint32_t control = port_read(p, PORT_SCTL) & ~15u;

    port_write(p, PORT_SCTL, control | 1);
    disk_pause(2000000);
    port_write(p, PORT_SCTL, control);
    if (wait_for(p, PORT_SSTS, 15, 3, 1000) != VMK_OK)
        return VMK_NO_DEVICE;
    port_write(p, PORT_SERR, 0xffffffffu);
    return VMK_OK;
}

/* One command by polling, slot 0, its data in p->sector. The port has nothing else. [switch] */
static vmk_status polled_read(struct ahci_port *p, unsigned command, unsigned lba,
                              unsigned count)
{
    vmk_status status;

    fis_build(p->tables[0].fis, command, lba, count, 0, ATA_DEVICE_LBA);
    region_set(&p->tables[0].regions[0], bus_address(p->sector), 512);
    header_set(p, 0, 1, false);
    memset(p->sector, 0, 512);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    port_write(p, PORT_CI, 1);
    for (unsigned i = 0; i < 3000; i++) {
        if (port_read(p, PORT_IS) & IS_ERRORS)
            return VMK_IO_ERROR;
        if (!(port_read(p, PORT_CI) & 1))
            break;
        disk_pause(1000000);
    }
    status = port_read(p, PORT_CI) & 1                                   ? VMK_TIMEOUT
             : port_read(p, PORT_TFD) & (ATA_STATUS_ERR | ATA_STATUS_DF) ? VMK_IO_ERROR
                                                                         : VMK_OK;
    port_write(p, PORT_IS, port_read(p, PORT_IS));
    return status;
}

/* The command the disk's own log names as the culprit, and what it says of it. */
static void blame_by_log(struct ahci_port *p)
{
    struct disk_queue *q = &p->port.queues[0];
    struct disk_command *c;
    bool irqs;

    if (polled_read(p, ATA_READ_LOG_EXT, 0x10, 1) != VMK_OK || p->sector[0] & 0x80)
        return;
    irqs = spin_lock(&q->lock);
    c = disk_command_of(q, p->sector[0] & 31);
    if (c)
        disk_command_done(q, c, ata_result(p->sector[2] | ATA_STATUS_ERR, p->sector[3]));
    spin_unlock(&q->lock, irqs);
}

static vmk_status reset(struct disk_port *port)
{
    struct ahci_port *p = port->driver;
    struct disk_queue *q = &port->queues[0];
    const uint32_t causes = p->causes | port_read(p, PORT_IS);
    const uint32_t tfd = port_read(p, PORT_TFD);
    const uint32_t running = port_read(p, PORT_CMD) >> 8 & 31;
    const bool failed = tfd & (ATA_STATUS_ERR | ATA_STATUS_DF) && causes & IS_ERRORS;
    const bool was_queued = p->queued;
    bool irqs = spin_lock(&q->lock);
    vmk_status status;

    if (failed && was_queued) {
        complete(q, port_read(p, PORT_SACT));
        if (q->in_flight == 1)
            disk_command_done(q, list_entry(q->issued.next, struct disk_command, link),
                              ata_result(tfd & 0xff, tfd >> 8 & 0xff));
    } else if (failed && disk_command_of(q, running)) {
        disk_command_done(q, disk_command_of(q, running),
                          ata_result(tfd & 0xff, tfd >> 8 & 0xff));
    }
    spin_unlock(&q->lock, irqs);

    status = engine_stop(p);
    if (status == VMK_NO_DEVICE)
        return status;
    // A disk that answered with an error is not hung: the link stays up, and so does the log.
    if (status != VMK_OK || !failed || tfd & (ATA_STATUS_BSY | ATA_STATUS_DRQ)) {
        status = link_reset(p);
        if (status != VMK_OK)
            return status;
        (void)engine_stop(p);
    }
    engine_start(p);
    status = wait_for(p, PORT_TFD, ATA_STATUS_BSY | ATA_STATUS_DRQ, 0, 10000);
    if (status == VMK_OK && failed && was_queued && q->in_flight > 1)
        blame_by_log(p);
    if (status == VMK_OK && port_read(p, PORT_IS) & IS_ERRORS) {  // no such log
        status = engine_stop(p);
        engine_start(p);
    }
    return status;
}

static void silence(struct disk_port *port)
{
    (void)engine_stop(port->driver);
}

static const struct disk_driver ops = {
    .name = "vmw_ahci",
    .issue = issue,
    .poll = poll,
    .reset = reset,
    .silence = silence,
};

/* ---- attach ---- */

static void *new_pages(const struct ahci *hba, unsigned order)
{
    mpn_t mpn;

    if (page_alloc_zeroed(order, MEM_OWNER_KERNEL, &mpn) != VMK_OK)
        return NULL;
    if (!hba->wide && mpn_to_paddr(mpn).raw + (PAGE_SIZE << order) > BIT(32)) {
        page_free(mpn, order, MEM_OWNER_KERNEL);
        return NULL;
    }
    return mpn_map(mpn);
}

static vmk_status port_identify(struct ahci_port *p, unsigned slots, bool can_queue)
{
    struct disk *disk = &p->disk;
    vmk_status status = engine_stop(p);

    if (status == VMK_OK && (port_read(p, PORT_SSTS) & 15) != 3)
        status = link_reset(p);
    if (status != VMK_OK)
        return status;
    engine_start(p);
    status = wait_for(p, PORT_TFD, ATA_STATUS_BSY | ATA_STATUS_DRQ, 0, 10000);
    if (status == VMK_OK && port_read(p, PORT_SIG) != SIG_DISK)
        return VMK_UNSUPPORTED;  // a CD-ROM, a port multiplier
    if (status == VMK_OK)
        status = polled_read(p, ATA_IDENTIFY, 0, 0);
    if (status != VMK_OK)
        return status;
    if (!ata_identify(p->sector, &p->id))
        return VMK_UNSUPPORTED;
    p->ncq = can_queue && p->id.queue_depth && p->id.wide;
    ata_disk_fill(disk, &p->id);
    disk->block.can_discard = p->id.trim;
    disk->limits.discard_max = TRIM_SECTORS * p->id.sector_size;
    disk->limits.extents = EXTENTS;
    disk->limits.extent_max = 1u << 22;
    disk->limits.transfer_max = p->id.wide ? 1u << 20 : 256u * 512;
    disk->limits.has_fua = p->ncq || p->id.fua;
    disk->limits.lone_flush = true;
    if (!p->hba->wide)
        disk->limits.address_max = BIT(32) - 1;
    return disk_port_init(&p->port, p->port.name, &ops, p, 1,
                          p->ncq ? MIN(slots, p->id.queue_depth) : 1);
}

static void port_add(struct ahci *hba, unsigned number, unsigned slots, bool can_queue)
{
    struct ahci_port *p = heap_alloc(sizeof(*p), MEM_OWNER_KERNEL);
    char pci[PCI_NAME_SIZE];
    vmk_status status;

    if (!p)
        return;
    p->hba = hba;
    p->number = number;
    p->registers = hba->registers + 0x100 + 0x80 * number;
    p->list = new_pages(hba, 0);
    p->tables = new_pages(hba, 3);
    p->sector = new_pages(hba, 0);
    pci_name(hba->pci, pci);
    vmk_snprintf(p->port.name, sizeof(p->port.name), "%s:%u", pci, number);
    status =
        p->list && p->tables && p->sector ? port_identify(p, slots, can_queue) : VMK_NO_MEMORY;
    if (status == VMK_OK)
        status = disk_add(&p->port, &p->disk);
    if (status != VMK_OK) {
        if (status != VMK_UNSUPPORTED)
            vmk_log(VMK_LOG_WARN, "vmw_ahci: %s: %s", p->port.name, vmk_status_text(status));
        (void)engine_stop(p);
        return;  // what the port may write to stays allocated
    }
    hba->ports[number] = p;
    port_write(p, PORT_IS, 0xffffffffu);
    port_write(p, PORT_IE, IE_ALL);
}

static vmk_status attach(struct pci_device *pci)
{
    struct ahci *hba = heap_alloc(sizeof(*hba), MEM_OWNER_KERNEL);
    const struct pci_irq irq = {interrupt, hba, 0};
    char name[PCI_NAME_SIZE];
    enum pci_irq_kind kind;
    uint32_t cap;
    uint32_t implemented;
    vmk_status status;

    if (!hba)
        return VMK_NO_MEMORY;
    hba->pci = pci;
    pci_name(pci, name);
    pci_enable(pci);
    hba->registers = pci_map(pci, 5, 0x180);
    if (hba->registers)  // as many ports as the BAR has room for
        hba->registers = pci_map(pci, 5, MIN(pci->bars[5].size, 0x1100ull));
    if (!hba->registers) {
        heap_free(hba);
        return VMK_UNSUPPORTED;
    }
    plat_mmio_write32(hba->registers + HBA_GHC, GHC_AHCI);
    cap = plat_mmio_read32(hba->registers + HBA_CAP);
    implemented = plat_mmio_read32(hba->registers + HBA_PI);
    hba->wide = cap & CAP_WIDE;
    status = storage_adapter_add(ops.name, name, "SATA controller (AHCI)", &hba->adapter);
    if (status != VMK_OK || implemented == 0xffffffffu)
        return status != VMK_OK ? status : VMK_NO_DEVICE;
    for (unsigned i = 0; i < 32 && 0x180 + 0x80 * i <= pci->bars[5].size; i++) {
        volatile char *port = hba->registers + 0x100 + 0x80 * i;

        if (implemented >> i & 1 && (plat_mmio_read32(port + PORT_SSTS) & 15) != 0)
            port_add(hba, i, (cap >> 8 & 31) + 1, cap & CAP_NCQ);
    }
    if (pci_irq_attach(pci, &irq, 1, &kind) == 0)
        return VMK_UNSUPPORTED;
    plat_mmio_write32(hba->registers + HBA_IS, 0xffffffffu);
    plat_mmio_write32(hba->registers + HBA_GHC, GHC_AHCI | GHC_INTERRUPTS);
    for (unsigned i = 0; i < 32; i++) {
        struct ahci_port *p = hba->ports[i];

        if (p &&
            storage_device_add(hba->adapter, 0, i, 0, &p->disk.block, &p->id.inquiry) != VMK_OK)
            hba->ports[i] = NULL;
    }
    return VMK_OK;
}

const struct driver driver_ahci = {"vmw_ahci", "SATA controllers (AHCI)", attach};
