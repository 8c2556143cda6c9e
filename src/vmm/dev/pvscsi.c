// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/pvscsi.c -- VMware's paravirtual SCSI adapter: registers and commands.
 *
 * The guest gives the adapter a page of indices, a ring of requests and a ring of completions,
 * then writes requests and kicks. What the kick starts is in pvscsi_ring.c and runs in the VM's
 * I/O world; here is what happens in a vCPU's world under the VM's lock: registers, and the
 * commands of the set-up, whose descriptors come in word by word.
 *
 * Commands that change the rings or reset something may do so only when no request is in
 * flight, which takes time, and a register handler may not wait. So they are carried out as a
 * `settle` of the VM: after the handler, without the lock, still before the vCPU goes on
 * (vmm/vm_io.c). The guest's next instruction, the read of the status, finds it done.
 *
 * Not here: message ring (hot plug), request call threshold; both answer "not supported".
 *
 * Invariants
 *   - Rings are mapped only while `active`; they change only when nothing is in flight.
 *   - INTA# is high exactly when status & mask != 0 and no message interrupts are on.
 * Locking    vm->lock for registers and for `active`; the rings belong to the I/O world while
 *            `active`, to the settling vCPU otherwise.
 * Start at   command_execute().
 * Sources    [PVSCSI] "vmw_pvscsi.h": register and structure layout
 */
#include "core/log.h"
#include "lib/endian.h"
#include "lib/string.h"
#include "vmm/dev/pvscsi_internal.h"
#include "vmm/vm_dma.h"

#define PCI_VENDOR_VMWARE 0x15adu
#define PCI_ID_PVSCSI     0x07c0u
#define PCI_CLASS         0x010000u  // SCSI
#define BAR_SIZE          0x8000u
#define MSIX_TABLE        0x6000u
#define MSIX_PENDING      0x7000u

enum pvscsi_register {
    REG_COMMAND = 0x0000,
    REG_COMMAND_DATA = 0x0004,
    REG_COMMAND_STATUS = 0x0008,
    REG_INTR_STATUS = 0x100c,
    REG_INTR_MASK = 0x2010,
    REG_KICK_OTHER = 0x3014,
    REG_KICK_RW = 0x4018,
};

enum pvscsi_command {
    CMD_NONE,
    CMD_ADAPTER_RESET,
    CMD_ISSUE_SCSI,
    CMD_SETUP_RINGS,
    CMD_RESET_BUS,
    CMD_RESET_DEVICE,
    CMD_ABORT,
    CMD_CONFIG,
    CMD_SETUP_MESSAGES,
    CMD_UNPLUG,
    CMD_SETUP_THRESHOLD,
    CMD_COUNT
};
#define STATUS_OK     0u
#define STATUS_FAILED UINT32_MAX

/* Words of each command's descriptor; NOT_HERE: the command is answered "not supported". */
#define NOT_HERE      0xffu
static const uint8_t descriptor_words[CMD_COUNT] = {
    [CMD_NONE] = NOT_HERE,
    [CMD_ADAPTER_RESET] = 0,
    [CMD_ISSUE_SCSI] = NOT_HERE,
    [CMD_SETUP_RINGS] = 132,
    [CMD_RESET_BUS] = 0,
    [CMD_RESET_DEVICE] = 3,
    [CMD_ABORT] = 4,
    [CMD_CONFIG] = 6,
    [CMD_SETUP_MESSAGES] = NOT_HERE,
    [CMD_UNPLUG] = NOT_HERE,
    [CMD_SETUP_THRESHOLD] = NOT_HERE,
};
_Static_assert(132 == PVSCSI_DESCRIPTOR_WORDS, "the longest descriptor is that of the rings");

/* ---- interrupts; vm->lock held ---- */

static void line_update(struct pvscsi *p)
{
    vpci_line_set(&p->function, (p->intr_status & p->intr_mask) != 0);
}

void pvscsi_interrupt(struct pvscsi *p, uint32_t bits)
{
    p->intr_status |= bits;
    if ((p->intr_status & p->intr_mask) && vpci_messages_on(&p->function))
        vpci_message_send(&p->function, 0);
    line_update(p);
}

/* ---- commands that wait until nothing is in flight; no lock held ---- */

static bool nothing_in_flight(void *argument)
{
    const struct pvscsi *p = argument;

    return p->in_flight == 0;
}

/* Nothing new begins; returns when all that began is over. */
static void drain(struct pvscsi *p)
{
    bool irqs = spin_lock(&p->vm->lock);

    p->active = false;
    spin_unlock(&p->vm->lock, irqs);
    vm_job_queue(p->vm->work, &p->job);  // what waits for room in the ring is dropped
    vm_work_wait(p->vm->work, nothing_in_flight, p);
    vm_job_cancel(p->vm->work, &p->job);
}

static void resume(struct pvscsi *p)
{
    bool irqs = spin_lock(&p->vm->lock);

    p->active = p->request_pages != 0;
    spin_unlock(&p->vm->lock, irqs);
    if (p->active)
        vm_job_queue(p->vm->work, &p->job);
}

static bool pages_map(struct pvscsi *p, const uint8_t *ppns, uint32_t count, void **out)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t ppn = le64(ppns + 8 * i);

        if (ppn > UINT64_MAX >> PAGE_SHIFT ||
            vm_dma_page(p->vm, (ppn_t){ppn}, &out[i]) != VMK_OK)
            return false;
    }
    return true;
}

/* The guest's pages are its own again; there are no rings. Drained. */
static void rings_end(struct pvscsi *p)
{
    void **const rings[] = {p->requests, p->completions};

    if (p->state)
        vm_dma_page_release(p->state);
    p->state = NULL;
    for (unsigned i = 0; i < ARRAY_COUNT(rings); i++) {
        for (unsigned page = 0; page < PVSCSI_RING_PAGES; page++) {
            if (rings[i][page])
                vm_dma_page_release(rings[i][page]);
            rings[i][page] = NULL;
        }
    }
    p->request_pages = 0;
}

static bool pages_count_ok(uint32_t pages)
{
    return pages >= 1 && pages <= PVSCSI_RING_PAGES && !(pages & (pages - 1));
}

static uint32_t log2_of(uint32_t power)
{
    return 31u - (uint32_t)__builtin_clz(power);
}

/* Drained. False: the descriptor is no good; there are no rings then. */
static bool rings_setup(struct pvscsi *p)
{
    const uint8_t *d = (const uint8_t *)p->descriptor;
    uint32_t requests = le32(d), completions = le32(d + 4);
    void *state = NULL;

    rings_end(p);
    if (!pages_count_ok(requests) || !pages_count_ok(completions) ||
        !pages_map(p, d + 8, 1, &state) || !pages_map(p, d + 16, requests, p->requests) ||
        !pages_map(p, d + 16 + 8 * PVSCSI_RING_PAGES, completions, p->completions)) {
        p->state = state;
        rings_end(p);
        return false;
    }
    p->state = state;
    p->request_pages = requests;
    p->completion_pages = completions;
    p->request_consumed = p->completion_produced = 0;
    p->broken = false;
    p->state->request_produced = p->state->request_consumed = 0;
    p->state->completion_produced = p->state->completion_consumed = 0;
    p->state->request_log2 = log2_of(requests * PVSCSI_REQUESTS_PER_PAGE);
    p->state->completion_log2 = log2_of(completions * PVSCSI_COMPLETIONS_PER_PAGE);
    return true;
}

static void attention(struct pvscsi *p, uint32_t target)
{
    for (uint32_t i = 0; i < PVSCSI_TARGETS; i++) {
        if (p->disks[i].block && (target == UINT32_MAX || target == i))
            scsi_disk_attention(&p->disks[i]);
    }
}

/* The one page there is: how many targets to look for, and names. */
#define PAGE_CONTROLLER   0x1958u
#define PAGE_SIZE_BYTES   480u
#define PAGE_MANUFACTURER 24u
#define PAGE_TARGETS      472u

static uint32_t config_page(struct pvscsi *p)
{
    static const char maker[] = "Orrery";
    const uint8_t *d = (const uint8_t *)p->descriptor;
    uint8_t page[PAGE_SIZE_BYTES] = {0};
    gpa_t to = gpa_make(le64(d));

    if (le32(d + 16) != PAGE_CONTROLLER)
        return STATUS_FAILED;
    put_le32(page, PAGE_CONTROLLER);
    put_le16(page + 4, PAGE_SIZE_BYTES / 4);
    for (size_t i = 0; i < sizeof(maker); i++)
        put_le16(page + PAGE_MANUFACTURER + 2 * i, (uint16_t)maker[i]);
    put_le32(page + PAGE_TARGETS, PVSCSI_TARGETS);
    return vm_memory_write(p->vm, to, page, sizeof(page)) == VMK_OK ? STATUS_OK : STATUS_FAILED;
}

static void settle(struct vm_settle *s)
{
    struct pvscsi *p = container_of(s, struct pvscsi, settle);
    uint32_t status = STATUS_OK;
    bool irqs;

    if (p->settling != CMD_CONFIG)
        drain(p);
    switch ((enum pvscsi_command)p->settling) {
    case CMD_ADAPTER_RESET: rings_end(p); break;
    case CMD_SETUP_RINGS: status = rings_setup(p) ? STATUS_OK : STATUS_FAILED; break;
    case CMD_RESET_BUS: attention(p, UINT32_MAX); break;
    case CMD_RESET_DEVICE: attention(p, p->descriptor[0]); break;
    case CMD_CONFIG: status = config_page(p); break;
    default: break;
    }
    irqs = spin_lock(&p->vm->lock);
    if (p->settling == CMD_ADAPTER_RESET) {
        p->intr_status = p->intr_mask = 0;
        line_update(p);
    }
    p->command_status = status;
    p->settling = CMD_NONE;
    spin_unlock(&p->vm->lock, irqs);
    resume(p);
}

/* ---- commands; vm->lock held ---- */

/* All words of the descriptor are here. */
static void command_execute(struct pvscsi *p)
{
    uint32_t command = p->command;

    p->command = CMD_NONE;
    switch ((enum pvscsi_command)command) {
    case CMD_ADAPTER_RESET:
    case CMD_SETUP_RINGS:
    case CMD_RESET_BUS:
    case CMD_RESET_DEVICE:
    case CMD_CONFIG:
        p->settling = command;
        p->vm->settle = &p->settle;
        break;
    case CMD_ABORT:
        // What the disk has begun it also ends; the guest sees the completion then.
        p->command_status = STATUS_OK;
        break;
    default: break;
    }
}

static void command_begin(struct pvscsi *p, uint32_t command)
{
    if (p->settling)
        return;  // another vCPU is at it: no driver does that
    p->command = CMD_NONE;
    p->data_count = 0;
    if (command >= CMD_COUNT || descriptor_words[command] == NOT_HERE) {
        p->command_status = STATUS_FAILED;
        return;
    }
    p->command = command;
    p->command_status = descriptor_words[command];
    if (descriptor_words[command] == 0)
        command_execute(p);
}

static void command_data(struct pvscsi *p, uint32_t word)
{
    if (p->settling || p->command == CMD_NONE)
        return;
    p->descriptor[p->data_count++] = word;
    if (p->data_count == descriptor_words[p->command])
        command_execute(p);
}

/* ---- registers ---- */

static uint64_t pvscsi_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    const struct pvscsi *p = device;

    (void)v;
    if (size != 4)
        return UINT64_MAX;
    switch ((enum pvscsi_register)offset) {
    case REG_COMMAND_STATUS: return p->command_status;
    case REG_INTR_STATUS: return p->intr_status;
    case REG_INTR_MASK: return p->intr_mask;
    default: return 0;
    }
}

static void pvscsi_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                         uint64_t value)
{
    struct pvscsi *p = device;

    (void)v;
    if (size != 4)
        return;
    switch ((enum pvscsi_register)offset) {
    case REG_COMMAND: command_begin(p, (uint32_t)value); break;
    case REG_COMMAND_DATA: command_data(p, (uint32_t)value); break;
    case REG_INTR_STATUS:
        p->intr_status &= ~(uint32_t)value;
        line_update(p);
        if (p->waits_for_room)
            vm_job_queue(p->vm->work, &p->job);
        break;
    case REG_INTR_MASK:
        p->intr_mask = (uint32_t)value & PVSCSI_INTR_ALL;
        line_update(p);
        break;
    case REG_KICK_OTHER:
    case REG_KICK_RW:
        if (p->active)
            vm_job_queue(p->vm->work, &p->job);
        break;
    default: break;
    }
}

static const struct vm_io_ops pvscsi_ops = {.read = pvscsi_read, .write = pvscsi_write};

/* ---- making ---- */

static void function_fill(struct pvscsi *p, unsigned number)
{
    struct vpci_function *f = &p->function;

    f->devfn = (uint8_t)(PVSCSI_SLOT(number) << 3);
    f->device = p;
    vpci_header_set(f, PCI_VENDOR_VMWARE, PCI_ID_PVSCSI, PCI_CLASS, 2, PCI_VENDOR_VMWARE,
                    PCI_ID_PVSCSI);
    vpci_bar_set(f, 0, BAR_SIZE, false, &pvscsi_ops, p);
    vpci_msi_add(f);
    vpci_msix_add(f, 1, 0, MSIX_TABLE, MSIX_PENDING);
}

static void disks_attach(struct pvscsi *p, unsigned number)
{
    for (unsigned i = 0; i < p->vm->config.disk_count; i++) {
        const struct vm_disk_config *c = &p->vm->config.disks[i];

        if (c->bus == VM_DISK_SCSI && c->number == number && p->vm->disks->open[i].block)
            scsi_disk_init(&p->disks[c->unit], p->vm->disks->open[i].block, p->vm->index + 1,
                           p->vm->disks->open[i].id);
    }
}

vmk_status pvscsi_create(struct vm *vm, unsigned number, struct pvscsi **out)
{
    struct pvscsi *p = heap_alloc(sizeof(*p), MEM_OWNER_VMM);
    vmk_status status;

    if (!p)
        return VMK_NO_MEMORY;
    p->vm = vm;
    list_init(&p->done);
    vm_job_init(&p->job, pvscsi_run);
    p->settle.run = settle;
    disks_attach(p, number);
    function_fill(p, number);
    status = vpci_add_function(vm->pci, &p->function);
    if (status != VMK_OK) {
        heap_free(p);
        return status;
    }
    *out = p;
    return VMK_OK;
}

void pvscsi_destroy(struct pvscsi *p)
{
    drain(p);
    rings_end(p);
    vpci_remove_function(p->vm->pci, &p->function);
    heap_free(p);
}
