// SPDX-License-Identifier: BSD-2-Clause
/*
 * drivers/nvme.c -- NVMe controllers: an admin queue, a queue pair per CPU, namespaces as disks.
 *
 * The admin queue is used by one world at a time (attach, then recovery) and is polled, also by
 * the interrupt handler, since a line interrupt stays up until its completions are taken. Fused
 * compare-and-write is not offered: few controllers have it, and none that tests could reach.
 *
 * Invariants
 *   - A command's identifier is its tag; the queue has one entry more than commands.
 *   - A completion is taken once: the phase bit says which are new.
 * Locking    disk_queue.lock around its pair of rings; admin_lock (rank IO) around the admin
 *            pair.
 * Start at   attach(); bring_up() is the reset too.
 * Sources    NVME "Controller Initialization", "Admin Command Set", "NVM Command Set",
 *            "Physical Region Page Entry and List"
 */
#include "core/log.h"
#include "drivers/drivers.h"
#include "io/disk.h"
#include "lib/endian.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mem/page.h"

enum {
    REG_CAP = 0x00,
    REG_INTMS = 0x0c,
    REG_INTMC = 0x10,
    REG_CC = 0x14,
    REG_CSTS = 0x1c,
    REG_AQA = 0x24,
    REG_ASQ = 0x28,
    REG_ACQ = 0x30,
    REG_DOORBELLS = 0x1000,
};
#define CC_ENABLE  (1u | 6u << 16 | 4u << 20)  // entries of 64 and 16 bytes
#define CSTS_READY 1u
#define CSTS_FATAL 2u

enum {
    ADMIN_CREATE_SQ = 0x01,
    ADMIN_CREATE_CQ = 0x05,
    ADMIN_IDENTIFY = 0x06,
    ADMIN_ABORT = 0x08,
    ADMIN_SET_FEATURES = 0x09,
};
#define FEATURE_QUEUES 7u
enum {
    IO_FLUSH = 0,
    IO_WRITE = 1,
    IO_READ = 2,
    IO_DATASET = 9,
};
#define RW_FUA        BIT(30)
#define DATASET_TRIM  4u

#define RING_SIZE     64u   // entries: a page of submissions
#define LIST_BYTES    512u  // a PRP list per command, or its range to discard
#define LIST_MAX      (LIST_BYTES / 8)
#define ADMIN_TIMEOUT 5000000000ull

struct nvme_entry {
    uint32_t word0;  // opcode, identifier << 16
    uint32_t nsid;
    uint64_t reserved, metadata;
    uint64_t prp1, prp2;
    uint32_t word10, word11, word12, word13, word14, word15;
};
_Static_assert(sizeof(struct nvme_entry) == 64, "NVME Submission Queue Entry");

struct nvme_completion {
    uint32_t result, reserved;
    uint16_t sq_head, sq_id, id, status;
};
_Static_assert(sizeof(struct nvme_completion) == 16, "NVME Completion Queue Entry");

struct ring {
    struct nvme_entry *entries;                // a page
    volatile struct nvme_completion *answers;  // a page
    char *lists;                               // LIST_BYTES per tag
    unsigned tail, head;
    uint16_t phase;
};

struct nvme {
    struct pci_device *pci;
    volatile char *registers;
    unsigned stride;  // bytes between doorbells
    bool line;        // interrupts by a line, which stays up until it is dealt with or masked
    plat_ns ready_timeout;
    struct spinlock admin_lock;
    struct ring admin;
    bool admin_done;
    struct nvme_completion admin_answer;
    char *page;  // for identify
    struct disk_port port;
    struct ring rings[DISK_QUEUES_MAX];
    unsigned queue_count;
    struct disk disks[DISK_UNITS_MAX];
    struct storage_adapter *adapter;
};

static uint32_t read32(struct nvme *n, unsigned at)
{
    return plat_mmio_read32(n->registers + at);
}

static void write32(struct nvme *n, unsigned at, uint32_t value)
{
    plat_mmio_write32(n->registers + at, value);
}

static void write64(struct nvme *n, unsigned at, uint64_t value)
{
    write32(n, at, (uint32_t)value);
    write32(n, at + 4, (uint32_t)(value >> 32));
}

static uint64_t bus_address(const volatile void *what)
{
    return plat_unmap_address((const void *)(uintptr_t)what).raw;
}

static void *new_pages(unsigned order)
{
    mpn_t mpn;

    return page_alloc_zeroed(order, MEM_OWNER_KERNEL, &mpn) == VMK_OK ? mpn_map(mpn) : NULL;
}

/* ---- rings ---- */

static bool ring_make(struct ring *r, bool with_lists)
{
    r->entries = new_pages(0);
    r->answers = new_pages(0);
    r->lists = with_lists ? new_pages(3) : NULL;  // 64 of 512 bytes
    return r->entries && r->answers && (r->lists || !with_lists);
}

static void ring_clear(struct ring *r)
{
    memset(r->entries, 0, PAGE_SIZE);
    memset((void *)(uintptr_t)r->answers, 0, PAGE_SIZE);
    r->tail = r->head = 0;
    r->phase = 1;
}

static void ring_put(struct ring *r, const struct nvme_entry *entry)
{
    r->entries[r->tail] = *entry;
    r->tail = (r->tail + 1) % RING_SIZE;
}

/* queue 0 is the admin's. The entries are in memory before the device is told. */
static void ring_doorbell(struct nvme *n, unsigned queue, unsigned which, unsigned value)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    write32(n, REG_DOORBELLS + (2 * queue + which) * n->stride, value);
}

static bool ring_take(struct ring *r, struct nvme_completion *out)
{
    volatile struct nvme_completion *at = &r->answers[r->head];

    if ((at->status & 1) != r->phase)
        return false;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    *out = (struct nvme_completion){.result = at->result, .id = at->id, .status = at->status};
    if (++r->head == RING_SIZE) {
        r->head = 0;
        r->phase ^= 1;
    }
    return true;
}

/* ---- admin commands ---- */

static void admin_poll(struct nvme *n)
{
    bool irqs = spin_lock(&n->admin_lock);
    struct nvme_completion answer;
    bool any = false;

    while (n->admin.answers && ring_take(&n->admin, &answer)) {
        any = true;
        if (answer.id == (uint16_t)(n->admin.tail - 1)) {
            n->admin_answer = answer;
            __atomic_store_n(&n->admin_done, true, __ATOMIC_RELEASE);
        }
    }
    if (any)
        ring_doorbell(n, 0, 1, n->admin.head);
    spin_unlock(&n->admin_lock, irqs);
}

/* Sends one and waits for the answer. IO_ERROR: refused. TIMEOUT. World context. [switch] */
static vmk_status admin(struct nvme *n, struct nvme_entry *entry, uint32_t *result)
{
    const plat_ns until = plat_time_now() + ADMIN_TIMEOUT;
    bool irqs = spin_lock(&n->admin_lock);

    n->admin_done = false;
    entry->word0 = (entry->word0 & 0xffff) | ((n->admin.tail + 1) % RING_SIZE - 1) << 16;
    ring_put(&n->admin, entry);
    ring_doorbell(n, 0, 0, n->admin.tail);
    spin_unlock(&n->admin_lock, irqs);
    for (unsigned i = 0;; i++) {
        admin_poll(n);
        if (__atomic_load_n(&n->admin_done, __ATOMIC_ACQUIRE))
            break;
        if (read32(n, REG_CSTS) == 0xffffffffu)
            return VMK_NO_DEVICE;
        if (plat_time_now() > until)
            return VMK_TIMEOUT;
        if (i > 100)
            disk_pause(1000000);
    }
    if (result)
        *result = n->admin_answer.result;
    return n->admin_answer.status >> 1 ? VMK_IO_ERROR : VMK_OK;
}

static vmk_status identify(struct nvme *n, unsigned what, uint32_t nsid)
{
    struct nvme_entry entry = {
        .word0 = ADMIN_IDENTIFY, .nsid = nsid, .prp1 = bus_address(n->page), .word10 = what};

    return admin(n, &entry, NULL);
}

static vmk_status create_pair(struct nvme *n, unsigned queue, unsigned vector)
{
    struct ring *r = &n->rings[queue - 1];
    struct nvme_entry cq = {.word0 = ADMIN_CREATE_CQ,
                            .prp1 = bus_address(r->answers),
                            .word10 = (RING_SIZE - 1) << 16 | queue,
                            .word11 = vector << 16 | 3};  // interrupts, in one piece
    struct nvme_entry sq = {.word0 = ADMIN_CREATE_SQ,
                            .prp1 = bus_address(r->entries),
                            .word10 = (RING_SIZE - 1) << 16 | queue,
                            .word11 = queue << 16 | 1};
    vmk_status status;

    ring_clear(r);
    status = admin(n, &cq, NULL);
    return status == VMK_OK ? admin(n, &sq, NULL) : status;
}

static vmk_status wait_ready(struct nvme *n, bool ready)
{
    const plat_ns until = plat_time_now() + n->ready_timeout;

    for (;;) {
        uint32_t status = read32(n, REG_CSTS);

        if (status == 0xffffffffu)
            return VMK_NO_DEVICE;
        if (ready && status & CSTS_FATAL)
            return VMK_IO_ERROR;
        if (((status & CSTS_READY) != 0) == ready)
            return VMK_OK;
        if (plat_time_now() > until)
            return VMK_TIMEOUT;
        disk_pause(1000000);
    }
}

/* Off, on, admin queue. */
static vmk_status restart(struct nvme *n)
{
    vmk_status status;

    write32(n, REG_CC, 0);
    status = wait_ready(n, false);
    if (status != VMK_OK)
        return status;
    ring_clear(&n->admin);
    write32(n, REG_AQA, (RING_SIZE - 1) << 16 | (RING_SIZE - 1));
    write64(n, REG_ASQ, bus_address(n->admin.entries));
    write64(n, REG_ACQ, bus_address(n->admin.answers));
    write32(n, REG_CC, CC_ENABLE);
    if (n->line)
        write32(n, REG_INTMC, 1);
    return wait_ready(n, true);
}

static vmk_status create_queues(struct nvme *n)
{
    vmk_status status = VMK_OK;

    for (unsigned i = 0; i < n->queue_count && status == VMK_OK; i++)
        status = create_pair(n, i + 1, i);
    return status;
}

/* ---- what disk.h asks ---- */

/* Every page of the command's memory after the first, into its list. */
static void set_pages(struct nvme_entry *entry, const struct disk_command *c, uint64_t *list)
{
    unsigned n = 0;

    entry->prp1 = c->extents[0].address;
    for (unsigned i = 0; i < c->extent_count; i++) {
        const struct disk_extent *e = &c->extents[i];
        uint64_t at = i ? e->address : round_down(e->address, PAGE_SIZE) + PAGE_SIZE;

        for (; at < e->address + e->size; at += PAGE_SIZE)
            list[n++] = at;
    }
    entry->prp2 = n == 1 ? list[0] : n ? bus_address(list) : 0;
}

static void issue(struct disk_queue *q, struct disk_command *c)
{
    struct nvme *n = q->port->driver;
    struct ring *r = &n->rings[q->index];
    char *list = r->lists + c->tag * LIST_BYTES;
    const uint32_t block = c->disk->block.block_size;
    struct nvme_entry entry = {.word0 = c->tag << 16, .nsid = c->disk->unit};

    switch (c->op) {
    case BLOCK_FLUSH: entry.word0 |= IO_FLUSH; break;
    case BLOCK_DISCARD:
        put_le32(list, 0);
        put_le32(list + 4, c->size / block);
        put_le64(list + 8, c->offset / block);
        entry.word0 |= IO_DATASET;
        entry.prp1 = bus_address(list);
        entry.word11 = DATASET_TRIM;
        break;
    default:
        entry.word0 |= c->op == BLOCK_READ ? IO_READ : IO_WRITE;
        set_pages(&entry, c, (uint64_t *)(void *)list);
        entry.word10 = (uint32_t)(c->offset / block);
        entry.word11 = (uint32_t)(c->offset / block >> 32);
        entry.word12 = (c->size / block - 1) | (c->fua ? (uint32_t)RW_FUA : 0);
        break;
    }
    ring_put(r, &entry);
}

static void ring_bell(struct disk_queue *q)
{
    struct nvme *n = q->port->driver;

    ring_doorbell(n, q->index + 1, 0, n->rings[q->index].tail);
}

static enum disk_result result_of(uint16_t status)
{
    const unsigned code = status >> 1 & 0xff;
    const unsigned type = status >> 9 & 7;
    const bool final = status & 0x8000;  // do not retry

    if (!(status >> 1 & 0x7ff))
        return DISK_OK;
    if (type == 2)
        return DISK_MEDIUM;
    if (type == 0 && (code == 1 || code == 2))
        return DISK_UNSUPPORTED;
    if (type == 0 && code == 0x20)
        return DISK_PROTECTED;
    return final ? DISK_MEDIUM : DISK_TRANSIENT;
}

static void poll(struct disk_queue *q)
{
    struct nvme *n = q->port->driver;
    struct ring *r = &n->rings[q->index];
    struct nvme_completion answer;
    bool any = false;

    while (ring_take(r, &answer)) {
        struct disk_command *c = disk_command_of(q, answer.id);

        any = true;
        if (c) {
            disk_command_done(q, c, result_of(answer.status));
        } else {
            vmk_log(VMK_LOG_WARN, "nvme: %s: an answer to nothing: %u", q->port->name,
                    answer.id);
            disk_port_fail(q->port);
        }
    }
    if (any)
        ring_doorbell(n, q->index + 1, 1, r->head);
}

static void interrupt(void *argument)
{
    struct disk_queue *q = argument;
    struct nvme *n = q->port->driver;

    if (q->index == 0)
        admin_poll(n);
    if (!disk_queue_interrupt(q) && n->line)
        write32(n, REG_INTMS, 1);  // until the reset is over
}

/* The controller may abort it or not; if so, the command itself is answered soon. */
static bool abort_command(struct disk_queue *q, struct disk_command *c)
{
    struct nvme *n = q->port->driver;
    struct nvme_entry entry = {.word0 = ADMIN_ABORT, .word10 = c->tag << 16 | (q->index + 1)};
    uint32_t result;

    if (admin(n, &entry, &result) != VMK_OK || result & 1)
        return false;
    for (unsigned i = 0; i < 100; i++) {
        bool irqs = spin_lock(&q->lock);
        bool over;

        poll(q);
        over = !c->request || !c->blamed;
        disk_queue_leave(q, irqs);
        if (over)
            return true;
        disk_pause(1000000);
    }
    return false;
}

static vmk_status reset(struct disk_port *port)
{
    struct nvme *n = port->driver;
    vmk_status status = restart(n);

    return status == VMK_OK ? create_queues(n) : status;
}

static void quiet(struct nvme *n)
{
    write32(n, REG_CC, 0);
    pci_write(n->pci, PCI_COMMAND, 2, pci_read(n->pci, PCI_COMMAND, 2) & ~PCI_COMMAND_MASTER);
}

static void silence(struct disk_port *port)
{
    quiet(port->driver);
}

static const struct disk_driver ops = {
    .name = "nvme_pcie",
    .issue = issue,
    .ring = ring_bell,
    .poll = poll,
    .abort = abort_command,
    .reset = reset,
    .silence = silence,
};

/* ---- attach ---- */

static void trimmed(char *out, const char *from, unsigned size)
{
    memcpy(out, from, size);
    out[size] = 0;
    while (size && out[size - 1] == ' ')
        out[--size] = 0;
}

struct controller {
    struct storage_inquiry inquiry;
    uint32_t transfer_max;
    bool volatile_cache, can_discard;
};

static void read_controller(struct nvme *n, struct controller *out)
{
    const char *p = n->page;
    const unsigned mdts = (uint8_t)p[77];
    const uint32_t most = (LIST_MAX - 1) * (uint32_t)PAGE_SIZE;

    memcpy(out->inquiry.vendor, "NVMe", 5);
    trimmed(out->inquiry.serial, p + 4, 20);
    trimmed(out->inquiry.model, p + 24, 40);
    trimmed(out->inquiry.revision, p + 64, 8);
    out->transfer_max = mdts && mdts < 12 ? MIN(most, (uint32_t)PAGE_SIZE << mdts) : most;
    out->can_discard = le16(p + 520) & 4;
    out->volatile_cache = p[525] & 1;
}

/* A namespace whose data is in the page; false: nothing to use. */
static bool read_namespace(struct nvme *n, const struct controller *controller, uint32_t nsid,
                           struct disk *disk, char *wwn, size_t room)
{
    const char *p = n->page;
    const uint32_t format = le32(p + 128 + 4 * (p[26] & 15));
    const unsigned shift = format >> 16 & 0xff;
    const uint64_t blocks = le64(p);

    if (!blocks || shift < 9 || shift > 16 || blocks > UINT64_MAX >> 17)
        return false;
    if (format & 0xffff) {
        vmk_log(VMK_LOG_WARN, "nvme: %s: namespace %u has metadata with its blocks: not used",
                n->port.name, nsid);
        return false;
    }
    disk->unit = nsid;
    disk->block.size = blocks << shift;
    disk->block.block_size = 1u << shift;
    disk->block.read_only = p[99] & 1;
    disk->block.can_discard = controller->can_discard;
    disk->limits.transfer_max = controller->transfer_max & ~((1u << shift) - 1);
    disk->limits.discard_max = 1u << 30;
    disk->limits.align = 4;
    disk->limits.inner_align = PAGE_SIZE;
    disk->limits.has_fua = true;
    disk->limits.no_cache = !controller->volatile_cache;
    wwn[0] = 0;
    if (le64(p + 120)) {
        int length = vmk_snprintf(wwn, room, "eui.");

        for (unsigned i = 0; i < 8; i++)
            length +=
                vmk_snprintf(wwn + length, room - (size_t)length, "%02x", (uint8_t)p[120 + i]);
    } else {
        disk_name_t10(wwn, room, "NVMe", controller->inquiry.model, controller->inquiry.serial);
    }
    return true;
}

static vmk_status add_namespaces(struct nvme *n)
{
    struct controller controller = {0};
    uint32_t nsids[DISK_UNITS_MAX];
    unsigned count = 0;
    vmk_status status = identify(n, 1, 0);

    if (status != VMK_OK)
        return status;
    read_controller(n, &controller);
    status = identify(n, 2, 0);
    if (status != VMK_OK)
        return status;
    while (count < DISK_UNITS_MAX && le32(n->page + 4 * count)) {
        nsids[count] = le32(n->page + 4 * count);
        count++;
    }
    for (unsigned i = 0; i < count && status == VMK_OK; i++) {
        struct disk *disk = &n->disks[i];
        struct storage_inquiry inquiry = controller.inquiry;

        if (identify(n, 0, nsids[i]) != VMK_OK ||
            !read_namespace(n, &controller, nsids[i], disk, inquiry.wwn, sizeof(inquiry.wwn)))
            continue;
        status = disk_add(&n->port, disk);
        if (status == VMK_OK)
            status = storage_device_add(n->adapter, 0, 0, nsids[i] - 1, &disk->block, &inquiry);
    }
    return status;
}

/*
 * Queues and interrupts: as many pairs as there are CPUs, vectors, and queues on the
 * controller.
 */
static vmk_status add_queues(struct nvme *n, unsigned wanted)
{
    struct pci_irq irqs[DISK_QUEUES_MAX];
    struct nvme_entry entry = {.word0 = ADMIN_SET_FEATURES,
                               .word10 = FEATURE_QUEUES,
                               .word11 = (wanted - 1) << 16 | (wanted - 1)};
    enum pci_irq_kind kind;
    uint32_t got;
    vmk_status status = admin(n, &entry, &got);

    if (status != VMK_OK)
        return status;
    wanted = MIN(wanted, MIN(got & 0xffff, got >> 16) + 1);
    n->queue_count = wanted;
    for (unsigned i = 0; i < wanted; i++)
        if (!ring_make(&n->rings[i], true))
            return VMK_NO_MEMORY;
    status = disk_port_init(&n->port, n->port.name, &ops, n, wanted, RING_SIZE - 1);
    if (status != VMK_OK)
        return status;
    for (unsigned i = 0; i < wanted; i++)
        irqs[i] = (struct pci_irq){interrupt, &n->port.queues[i], i};
    if (pci_irq_attach(n->pci, irqs, wanted, &kind) < wanted)
        return VMK_UNSUPPORTED;
    n->line = kind == PCI_IRQ_LINE;
    return create_queues(n);
}

static vmk_status bring_up(struct nvme *n)
{
    const uint64_t cap = read32(n, REG_CAP) | (uint64_t)read32(n, REG_CAP + 4) << 32;
    unsigned wanted = MIN(plat_cpu_count(), DISK_QUEUES_MAX);
    vmk_status status;

    if (cap == UINT64_MAX)
        return VMK_NO_DEVICE;
    n->stride = 4u << (cap >> 32 & 15);
    n->ready_timeout = MAX(cap >> 24 & 0xff, 1ull) * 500000000;
    // Our page size, and a ring of 64, have to be possible.
    if ((cap >> 48 & 15) != 0 || (cap & 0xffff) + 1 < RING_SIZE || n->stride > 1024)
        return VMK_UNSUPPORTED;
    wanted = MIN(wanted, MAX(n->pci->msix_count, 1u));
    n->registers = pci_map(n->pci, 0, REG_DOORBELLS + 2ull * (wanted + 1) * n->stride);
    if (!n->registers)
        return VMK_UNSUPPORTED;
    status = restart(n);
    if (status == VMK_OK)
        status = add_queues(n, wanted);
    return status;
}

static vmk_status attach(struct pci_device *pci)
{
    struct nvme *n = heap_alloc(sizeof(*n), MEM_OWNER_KERNEL);
    char name[PCI_NAME_SIZE];
    vmk_status status;

    if (!n)
        return VMK_NO_MEMORY;
    n->pci = pci;
    spin_init(&n->admin_lock, "nvme admin", LOCK_RANK_IO);
    pci_name(pci, name);
    memcpy(n->port.name, name, sizeof(name));
    pci_enable(pci);
    n->registers = pci_map(pci, 0, REG_DOORBELLS + 16);
    n->page = new_pages(0);
    if (!n->registers || !n->page || !ring_make(&n->admin, false))
        return n->registers ? VMK_NO_MEMORY : VMK_UNSUPPORTED;
    status = bring_up(n);
    if (status == VMK_OK)
        status = storage_adapter_add(ops.name, name, "NVMe controller", &n->adapter);
    if (status == VMK_OK)
        status = add_namespaces(n);
    if (status != VMK_OK)
        quiet(n);  // what it may write to stays allocated
    return status;
}

const struct driver driver_nvme = {"nvme_pcie", "NVMe controllers", attach};
