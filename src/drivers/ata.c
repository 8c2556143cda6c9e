// SPDX-License-Identifier: BSD-2-Clause
/*
 * drivers/ata.c -- ATA disks on PIIX-like IDE controllers: bus-master DMA, else programmed I/O.
 *
 * For Bochs and old PCs. A channel is a disk_port with one command at a time for its two
 * drives. DMA where the controller is a bus master and the memory lies below 4 GB, else the CPU
 * moves the words, sector by sector, in the interrupt handler.
 *
 * Invariants
 *   - One command per channel is in flight; while none is, an interrupt is acknowledged and
 *     dropped.
 *   - A channel that the platform uses itself (a disk that takes a trace) is left alone.
 * Locking    disk_queue.lock of the channel around its registers.
 * Sources    ATA8; PIIX3 "PCI IDE Controller Registers"; BMIDE
 */
#include "drivers/ata.h"

#include "core/log.h"
#include "drivers/drivers.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"

enum {  // at the channel's first port
    REG_DATA = 0,
    REG_ERROR = 1,  // write: features
    REG_COUNT = 2,
    REG_LBA = 3,  // three
    REG_DEVICE = 6,
    REG_STATUS = 7,  // write: command
};
#define CONTROL_RESET 4u
enum {  // bus master
    BM_COMMAND = 0,
    BM_STATUS = 2,
    BM_TABLE = 4,
};
#define BM_START     1u
#define BM_TO_MEMORY 8u
#define BM_ERROR     2u
#define BM_INTERRUPT 4u

#define PRD_LAST     0x80000000u
#define PRDS_MAX     DISK_EXTENTS_MAX
#define SECTOR       512u

struct ata_channel {
    struct pci_device *pci;
    uint16_t base, control, bus_master;  // bus_master 0: none
    unsigned index;
    uint32_t *prds;  // pairs, one page below 4 GB; null: no DMA
    struct ata_identity ids[2];
    struct disk disks[2];
    struct disk_port port;
    // The command in flight.
    struct disk_command *command;
    bool dma;
    uint32_t moved;  // bytes, programmed I/O
};

static unsigned get(struct ata_channel *ch, unsigned reg)
{
    return plat_port_read((uint16_t)(ch->base + reg), 1);
}

static void put(struct ata_channel *ch, unsigned reg, unsigned value)
{
    plat_port_write((uint16_t)(ch->base + reg), 1, value);
}

/* Reading it says nothing to the drive, and four times takes the 400 ns a drive may need. */
static unsigned alternate_status(struct ata_channel *ch)
{
    unsigned status = 0;

    for (unsigned i = 0; i < 4; i++)
        status = plat_port_read(ch->control, 1);
    return status;
}

static void bm_put(struct ata_channel *ch, unsigned reg, unsigned size, uint32_t value)
{
    if (ch->bus_master)
        plat_port_write((uint16_t)(ch->bus_master + reg), size, value);
}

/* ---- moving data by the CPU ---- */

/* One sector between the port and the command's extents, from byte c->moved on. */
static void move_sector(struct ata_channel *ch)
{
    const struct disk_command *c = ch->command;
    const bool in = c->op == BLOCK_READ;
    uint16_t words[SECTOR / 2];
    char *bytes = (char *)words;
    uint32_t skip = ch->moved;
    uint32_t done = 0;

    if (in)
        plat_port_read_words(ch->base, words, SECTOR / 2);
    for (unsigned i = 0; i < c->extent_count && done < SECTOR; i++) {
        const struct disk_extent *e = &c->extents[i];
        uint32_t part;
        char *at;

        if (skip >= e->size) {
            skip -= e->size;
            continue;
        }
        part = MIN(e->size - skip, SECTOR - done);
        at = (char *)plat_map(paddr_make(e->address)) + skip;
        memcpy(in ? at : bytes + done, in ? bytes + done : at, part);
        done += part;
        skip = 0;
    }
    if (!in)
        plat_port_write_words(ch->base, words, SECTOR / 2);
    ch->moved += SECTOR;
}

/* A few microseconds at most for a drive that is well; time-outs are for the others. */
static bool wait_request(struct ata_channel *ch)
{
    for (unsigned i = 0; i < 10000; i++) {
        unsigned status = alternate_status(ch);

        if (!(status & ATA_STATUS_BSY))
            return status & ATA_STATUS_DRQ;
    }
    return false;
}

/* ---- commands ---- */

/* False: some of the memory is out of the bus master's reach. */
static bool prds_build(struct ata_channel *ch, const struct disk_command *c)
{
    for (unsigned i = 0; i < c->extent_count; i++) {
        const struct disk_extent *e = &c->extents[i];

        if (e->address + e->size > BIT(32))
            return false;
        ch->prds[2 * i] = (uint32_t)e->address;
        ch->prds[2 * i + 1] =
            (e->size & 0xffff) | (i + 1 == c->extent_count ? PRD_LAST : 0);  // 0: 64 KB
    }
    return c->extent_count;
}

static unsigned command_byte(const struct ata_channel *ch, const struct disk_command *c)
{
    static const uint8_t bytes[2][2][2] = {
        // narrow read, write; wide read, write; each programmed, DMA
        {{ATA_READ, ATA_READ_DMA}, {ATA_WRITE, ATA_WRITE_DMA}},
        {{ATA_READ_EXT, ATA_READ_DMA_EXT}, {ATA_WRITE_EXT, ATA_WRITE_DMA_EXT}},
    };
    const bool wide = ch->ids[c->disk->unit].wide;

    if (c->op == BLOCK_FLUSH)
        return wide ? ATA_FLUSH_EXT : ATA_FLUSH;
    return bytes[wide][c->op == BLOCK_WRITE][ch->dma];
}

static void issue(struct disk_queue *q, struct disk_command *c)
{
    struct ata_channel *ch = q->port->driver;
    const bool wide = ch->ids[c->disk->unit].wide;
    const uint64_t lba = c->offset / SECTOR;
    const unsigned count = c->size / SECTOR;
    const unsigned device = 0xa0 | ATA_DEVICE_LBA | c->disk->unit << 4;

    ch->command = c;
    ch->moved = 0;
    ch->dma =
        c->op != BLOCK_FLUSH && ch->prds && ch->ids[c->disk->unit].dma && prds_build(ch, c);
    put(ch, REG_DEVICE, device | (wide ? 0 : (unsigned)(lba >> 24 & 15)));
    (void)alternate_status(ch);
    if (wide) {  // the high halves first
        put(ch, REG_COUNT, count >> 8);
        for (unsigned i = 0; i < 3; i++)
            put(ch, REG_LBA + i, (unsigned)(lba >> (24 + 8 * i) & 0xff));
    }
    put(ch, REG_COUNT, count & 0xff);
    for (unsigned i = 0; i < 3; i++)
        put(ch, REG_LBA + i, (unsigned)(lba >> 8 * i & 0xff));
    if (ch->dma) {
        bm_put(ch, BM_COMMAND, 1, 0);
        bm_put(ch, BM_STATUS, 1, BM_INTERRUPT | BM_ERROR);
        bm_put(ch, BM_TABLE, 4, (uint32_t)plat_unmap_address(ch->prds).raw);
        bm_put(ch, BM_COMMAND, 1, c->op == BLOCK_READ ? BM_TO_MEMORY : 0);
    }
    put(ch, REG_STATUS, command_byte(ch, c));
    if (ch->dma)
        bm_put(ch, BM_COMMAND, 1, BM_START | (c->op == BLOCK_READ ? BM_TO_MEMORY : 0));
    else if (c->op == BLOCK_WRITE && wait_request(ch))
        move_sector(ch);  // the first comes without an interrupt
}

static void end(struct disk_queue *q, unsigned status)
{
    struct ata_channel *ch = q->port->driver;
    struct disk_command *c = ch->command;
    enum disk_result result =
        ata_result(status, status & ATA_STATUS_ERR ? get(ch, REG_ERROR) : 0);

    ch->command = NULL;
    disk_command_done(q, c, result);
}

static void poll_dma(struct disk_queue *q)
{
    struct ata_channel *ch = q->port->driver;
    const unsigned bm = plat_port_read((uint16_t)(ch->bus_master + BM_STATUS), 1);
    unsigned status;

    if (!(bm & BM_INTERRUPT))
        return;
    bm_put(ch, BM_COMMAND, 1, 0);
    status = get(ch, REG_STATUS);
    bm_put(ch, BM_STATUS, 1, BM_INTERRUPT | BM_ERROR);
    end(q, bm & BM_ERROR && !(status & ATA_STATUS_ERR) ? ATA_STATUS_DF : status);
}

static void poll_words(struct disk_queue *q)
{
    struct ata_channel *ch = q->port->driver;
    const struct disk_command *c = ch->command;
    unsigned status = alternate_status(ch);

    if (status & ATA_STATUS_BSY)
        return;
    status = get(ch, REG_STATUS);  // takes the interrupt away
    bm_put(ch, BM_STATUS, 1, BM_INTERRUPT);
    if (c->op == BLOCK_FLUSH || status & (ATA_STATUS_ERR | ATA_STATUS_DF)) {
        end(q, status);
        return;
    }
    if (status & ATA_STATUS_DRQ && ch->moved < c->size) {
        move_sector(ch);
        if (c->op == BLOCK_WRITE || ch->moved < c->size)
            return;
    }
    if (ch->moved == c->size && !(alternate_status(ch) & ATA_STATUS_DRQ))
        end(q, 0);
}

static void poll(struct disk_queue *q)
{
    struct ata_channel *ch = q->port->driver;

    if (!ch->command)
        (void)get(ch, REG_STATUS);
    else if (ch->dma)
        poll_dma(q);
    else
        poll_words(q);
}

static void interrupt(void *argument)
{
    (void)disk_queue_interrupt(argument);
}

/* ---- reset, attach ---- */

static vmk_status wait_idle(struct ata_channel *ch, unsigned ms)
{
    for (unsigned i = 0;; i++) {
        unsigned status = alternate_status(ch);

        if (status == 0xff)
            return VMK_NO_DEVICE;
        if (!(status & (ATA_STATUS_BSY | ATA_STATUS_DRQ)))
            return VMK_OK;
        if (i == ms)
            return VMK_TIMEOUT;
        disk_pause(1000000);
    }
}

static vmk_status reset(struct disk_port *port)
{
    struct ata_channel *ch = port->driver;

    bm_put(ch, BM_COMMAND, 1, 0);
    ch->command = NULL;
    plat_port_write(ch->control, 1, CONTROL_RESET);
    disk_pause(1000000);
    plat_port_write(ch->control, 1, 0);
    disk_pause(3000000);
    return wait_idle(ch, 10000);
}

static void silence(struct disk_port *port)
{
    struct ata_channel *ch = port->driver;

    bm_put(ch, BM_COMMAND, 1, 0);
    plat_port_write(ch->control, 1, 2);  // no interrupts
}

static const struct disk_driver ops = {
    .name = "vmkata",
    .issue = issue,
    .poll = poll,
    .reset = reset,
    .silence = silence,
};

/* IDENTIFY by polling; false: no disk there. */
static bool identify(struct ata_channel *ch, unsigned unit)
{
    uint16_t words[SECTOR / 2];

    put(ch, REG_DEVICE, 0xa0 | unit << 4);
    if (alternate_status(ch) == 0xff || alternate_status(ch) == 0)
        return false;
    if (wait_idle(ch, 1000) != VMK_OK)
        return false;
    put(ch, REG_STATUS, ATA_IDENTIFY);
    if (alternate_status(ch) == 0)
        return false;
    for (unsigned i = 0; alternate_status(ch) & ATA_STATUS_BSY; i++) {
        if (i == 1000)
            return false;
        disk_pause(1000000);
    }
    // A CD-ROM answers with an error and its signature.
    if (!(get(ch, REG_STATUS) & ATA_STATUS_DRQ))
        return false;
    plat_port_read_words(ch->base, words, SECTOR / 2);
    return ata_identify((const uint8_t *)words, &ch->ids[unit]) &&
           ch->ids[unit].sector_size == SECTOR &&
           strcmp(ch->ids[unit].inquiry.model, PLAT_TRACE_DISK_MODEL) != 0;
}

static void find_memory(struct ata_channel *ch)
{
    mpn_t mpn;

    if (!ch->bus_master || page_alloc_zeroed(0, MEM_OWNER_KERNEL, &mpn) != VMK_OK)
        return;
    if (mpn_to_paddr(mpn).raw < BIT(32))
        ch->prds = mpn_map(mpn);
    else
        page_free(mpn, 0, MEM_OWNER_KERNEL);
}

static void fill_disk(struct ata_channel *ch, unsigned unit)
{
    struct disk *disk = &ch->disks[unit];

    ata_disk_fill(disk, &ch->ids[unit]);
    disk->unit = unit;
    disk->limits.transfer_max = (ch->ids[unit].wide ? 1024u : 256u) * SECTOR;
    disk->limits.extent_max = 1u << 16;
    disk->limits.extent_boundary = 1u << 16;
    disk->limits.extents = PRDS_MAX;
}

static bool attach_irq(struct ata_channel *ch, bool native)
{
    const struct pci_irq irq = {interrupt, &ch->port.queues[0], 0};
    const struct plat_irq_line line = plat_irq_isa(14 + ch->index, false);
    enum pci_irq_kind kind;

    return native ? pci_irq_attach(ch->pci, &irq, 1, &kind) != 0
                  : plat_irq_attach_line(&line, interrupt, &ch->port.queues[0]);
}

static vmk_status add_channel(struct ata_channel *ch, struct storage_adapter *adapter,
                              bool native)
{
    bool there[2];
    char pci[PCI_NAME_SIZE];
    vmk_status status;

    plat_port_write(ch->control, 1, 2);  // quiet while there is no handler
    for (unsigned unit = 0; unit < 2; unit++)
        there[unit] = identify(ch, unit);
    if (!there[0] && !there[1])
        return VMK_OK;
    find_memory(ch);
    pci_name(ch->pci, pci);
    vmk_snprintf(ch->port.name, sizeof(ch->port.name), "%s:%u", pci, ch->index);
    status = disk_port_init(&ch->port, ch->port.name, &ops, ch, 1, 1);
    if (status == VMK_OK && !attach_irq(ch, native))
        status = VMK_UNSUPPORTED;
    plat_port_write(ch->control, 1, 0);
    (void)get(ch, REG_STATUS);
    for (unsigned unit = 0; unit < 2 && status == VMK_OK; unit++) {
        if (!there[unit])
            continue;
        fill_disk(ch, unit);
        status = disk_add(&ch->port, &ch->disks[unit]);
        if (status == VMK_OK)
            status = storage_device_add(adapter, ch->index, unit, 0, &ch->disks[unit].block,
                                        &ch->ids[unit].inquiry);
    }
    return status;
}

/* Where the channel's registers are: fixed, or in BARs in native mode. */
static bool place(struct ata_channel *ch, bool native)
{
    const struct pci_bar *bars = ch->pci->bars;
    const struct pci_bar *command = &bars[2 * ch->index];

    ch->base = ch->index ? 0x170 : 0x1f0;
    ch->control = ch->index ? 0x376 : 0x3f6;
    if (native) {
        if (!command[0].io || command[0].size < 8 || !command[1].io || command[1].size < 4)
            return false;
        ch->base = (uint16_t)command[0].base;
        ch->control = (uint16_t)(command[1].base + 2);
    }
    if (bars[4].io && bars[4].size >= 16)
        ch->bus_master = (uint16_t)(bars[4].base + 8 * ch->index);
    return !plat_port_reserved(ch->base);
}

static vmk_status attach(struct pci_device *pci)
{
    struct storage_adapter *adapter;
    char name[PCI_NAME_SIZE];
    vmk_status status;

    pci_name(pci, name);
    pci_enable(pci);
    status = storage_adapter_add(ops.name, name, "IDE controller", &adapter);
    for (unsigned i = 0; i < 2 && status == VMK_OK; i++) {
        struct ata_channel *ch = heap_alloc(sizeof(*ch), MEM_OWNER_KERNEL);
        const bool native = pci->class_code >> (2 * i) & 1;

        if (!ch)
            return VMK_NO_MEMORY;
        ch->pci = pci;
        ch->index = i;
        if (!place(ch, native))
            continue;
        status = add_channel(ch, adapter, native);
    }
    return status;
}

const struct driver driver_ata = {"vmkata", "IDE controllers", attach};
