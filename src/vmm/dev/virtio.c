// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/virtio.c -- virtio 1.x over PCI: registers, feature negotiation, one split queue.
 *
 * Only the modern interface: four structures in one memory BAR, found by capabilities. A driver
 * negotiates, gives the queue's three addresses and says DRIVER_OK; from then on a notification
 * queues the job and the I/O world walks the ring. All of the ring is guest memory and is read
 * through the checked copies, each value once. A ring that makes no sense stops the device:
 * status NEEDS_RESET, nothing else happens until the driver resets it.
 *
 * Writing 0 to the status resets. What is in flight ends first (a `settle`, see vm.h), so that
 * no buffer is written after the driver read 0 back.
 *
 * Invariants
 *   - Chains are taken only while `live()`; queue addresses do not change then.
 *   - A chain is counted in flight from the time it is taken until its used entry is written.
 * Locking    vm->lock for registers; the work lock for `done` and in_flight.
 * Start at   run() for the ring, common_write() for the registers.
 * Sources    [VIRTIO] "Virtio Over PCI Bus", "Split Virtqueues", "Device Initialization"
 */
#include "vmm/dev/virtio.h"

#include "core/log.h"
#include "lib/endian.h"
#include "lib/string.h"

#define PCI_VENDOR_VIRTIO 0x1af4u
#define PCI_ID_BASE       0x1040u
#define PCI_SUBSYSTEM     0x1100u
#define CAP_VENDOR        0x09u
#define BAR_SIZE          0x8000u
#define AREA_SIZE         0x1000u
#define AREA_COMMON       0x0000u
#define AREA_ISR          0x1000u
#define AREA_CONFIG       0x2000u
#define AREA_NOTIFY       0x3000u
#define MSIX_TABLE        0x6000u
#define MSIX_PENDING      0x7000u
#define VECTORS           2u
#define VECTOR_NONE       0xffffu

enum common_register {
    REG_FEATURE_SELECT = 0x00,
    REG_FEATURE = 0x04,
    REG_DRIVER_FEATURE_SELECT = 0x08,
    REG_DRIVER_FEATURE = 0x0c,
    REG_CONFIG_VECTOR = 0x10,
    REG_QUEUES = 0x12,
    REG_STATUS = 0x14,
    REG_GENERATION = 0x15,
    REG_QUEUE_SELECT = 0x16,
    REG_QUEUE_SIZE = 0x18,
    REG_QUEUE_VECTOR = 0x1a,
    REG_QUEUE_ENABLE = 0x1c,
    REG_QUEUE_NOTIFY_OFF = 0x1e,
    REG_QUEUE_DESCRIPTORS = 0x20,
    REG_QUEUE_AVAILABLE = 0x28,
    REG_QUEUE_USED = 0x30,
    COMMON_SIZE = 0x38
};

#define STATUS_DRIVER_OK    0x04u
#define STATUS_FEATURES_OK  0x08u
#define STATUS_NEEDS_RESET  0x40u
#define ISR_QUEUE           0x01u
#define DESCRIPTOR_SIZE     16u
#define DESCRIPTOR_NEXT     1u
#define DESCRIPTOR_WRITE    2u
#define DESCRIPTOR_INDIRECT 4u
#define AVAILABLE_NO_IRQ    1u
#define CHAIN_BYTES_MAX     (64u << 20)

/* ---- the ring, in the I/O world ---- */

static bool live(struct virtio *v)
{
    bool irqs = spin_lock(&v->vm->lock);
    bool live = (v->status & STATUS_DRIVER_OK) && !(v->status & STATUS_NEEDS_RESET) &&
                v->queue_enabled && !v->resetting;

    spin_unlock(&v->vm->lock, irqs);
    return live;
}

static void ring_broken(struct virtio *v, const char *what)
{
    bool irqs = spin_lock(&v->vm->lock);

    if (!(v->status & STATUS_NEEDS_RESET))
        vmk_log(VMK_LOG_INFO, "VM: %s: virtio: %s; the device waits for a reset",
                v->vm->config.name, what);
    v->status |= STATUS_NEEDS_RESET;
    spin_unlock(&v->vm->lock, irqs);
}

static bool guest_u16(struct virtio *v, uint64_t at, uint16_t *out)
{
    uint8_t bytes[2];

    if (vm_memory_read(v->vm, gpa_make(at), bytes, 2) != VMK_OK)
        return false;
    *out = le16(bytes);
    return true;
}

static bool descriptor_read(struct virtio *v, uint64_t at, struct virtio_descriptor *out)
{
    uint8_t bytes[DESCRIPTOR_SIZE];

    if (vm_memory_read(v->vm, gpa_make(at), bytes, sizeof(bytes)) != VMK_OK)
        return false;
    *out = (struct virtio_descriptor){le64(bytes), le32(bytes + 8), le16(bytes + 12),
                                      le16(bytes + 14)};
    return true;
}

/*
 * Copies a chain's descriptors into v->descriptors. Returns how many, 0: it makes no sense. An
 * indirect table takes the place of the ring's own; there is none within one.
 */
static unsigned chain_read(struct virtio *v, uint16_t head)
{
    uint64_t table = v->queue_descriptors;
    unsigned size = v->queue_size, count = 0;
    unsigned index = head;
    bool indirect = false;

    for (;;) {
        struct virtio_descriptor *d = &v->descriptors[count];

        if (index >= size || count == VIRTIO_QUEUE_SIZE ||
            !descriptor_read(v, table + (uint64_t)index * DESCRIPTOR_SIZE, d))
            return 0;
        if (d->flags & DESCRIPTOR_INDIRECT) {
            if (indirect || count || (d->flags & DESCRIPTOR_NEXT) ||
                d->size % DESCRIPTOR_SIZE || !d->size)
                return 0;
            indirect = true;
            table = d->address;
            size = MIN(d->size / DESCRIPTOR_SIZE, VIRTIO_QUEUE_SIZE);
            index = 0;
            continue;
        }
        count++;
        if (!(d->flags & DESCRIPTOR_NEXT))
            return count;
        index = d->next;
    }
}

/* Adds the buffers of one direction; those to be read come first in a chain. */
static bool buffers_add(struct virtio *v, unsigned count, bool write, struct vm_scatter *list)
{
    for (unsigned i = 0; i < count; i++) {
        const struct virtio_descriptor *d = &v->descriptors[i];

        if (!(d->flags & DESCRIPTOR_WRITE) == write)
            continue;
        if (vm_dma_add(v->vm, list, gpa_make(d->address), d->size) != VMK_OK)
            return false;
    }
    return true;
}

/* How many segments the chain may need; UINT32_MAX: its sizes make no sense. */
static uint32_t room_of(const struct virtio *v, unsigned count)
{
    uint64_t bytes = 0;
    uint32_t room = 0;
    bool writes = false;

    for (unsigned i = 0; i < count; i++) {
        const struct virtio_descriptor *d = &v->descriptors[i];
        bool write = d->flags & DESCRIPTOR_WRITE;

        bytes += d->size;
        if (bytes > CHAIN_BYTES_MAX || (writes && !write))
            return UINT32_MAX;
        writes |= write;
        room += d->size / (uint32_t)PAGE_SIZE + 2;
    }
    return room;
}

static void chain_drop(struct virtio_chain *c)
{
    vm_dma_release(&c->out);
    vm_dma_release(&c->in);
    heap_free((uint8_t *)c - c->device->ops->chain_size);
}

/*
 * Makes the chain and hands it to the device. NO_MEMORY: later. BAD_FORMAT: it makes no sense.
 */
static vmk_status chain_start(struct virtio *v, uint16_t head)
{
    unsigned count = chain_read(v, head);
    uint32_t room = count ? room_of(v, count) : UINT32_MAX;
    size_t before = v->ops->chain_size;
    struct virtio_chain *c;
    uint8_t *memory;
    bool irqs;

    if (room == UINT32_MAX)
        return VMK_BAD_FORMAT;
    memory = heap_alloc(before + sizeof(*c) +
                            room * (sizeof(c->segments[0]) + sizeof(c->out.pins[0])),
                        MEM_OWNER_VMM);
    if (!memory)
        return VMK_NO_MEMORY;
    c = (struct virtio_chain *)(memory + before);
    c->device = v;
    c->head = head;
    c->out = (struct vm_scatter){.segments = c->segments,
                                 .pins = (uint32_t *)(void *)(c->segments + room),
                                 .room = room};
    if (!buffers_add(v, count, false, &c->out)) {
        chain_drop(c);
        return VMK_BAD_FORMAT;
    }
    // Both arrays go on behind the pages of the first list, of which it has at least as many.
    c->in = (struct vm_scatter){.segments = c->segments + c->out.pin_count,
                                .pins = c->out.pins + c->out.pin_count,
                                .room = room - c->out.pin_count};
    if (!buffers_add(v, count, true, &c->in)) {
        chain_drop(c);
        return VMK_BAD_FORMAT;
    }
    irqs = vm_work_lock(v->vm->work);
    v->in_flight++;
    vm_work_unlock(v->vm->work, irqs);
    v->ops->start(v, c);
    return VMK_OK;
}

void virtio_chain_done(struct virtio_chain *c, uint32_t written)
{
    struct virtio *v = c->device;
    bool irqs = vm_work_lock(v->vm->work);

    c->written = written;
    list_add_tail(&v->done, &c->link);
    vm_work_unlock(v->vm->work, irqs);
    vm_job_queue(v->vm->work, &v->job);
}

static bool used_put(struct virtio *v, const struct virtio_chain *c)
{
    uint64_t at = v->queue_used + 4 + 8ull * (v->used_produced & (v->queue_size - 1u));
    uint8_t entry[8], index[2];

    put_le32(entry, c->head);
    put_le32(entry + 4, c->written);
    put_le16(index, (uint16_t)(v->used_produced + 1));
    if (vm_memory_write(v->vm, gpa_make(at), entry, sizeof(entry)) != VMK_OK ||
        vm_memory_write(v->vm, gpa_make(v->queue_used + 2), index, sizeof(index)) != VMK_OK)
        return false;
    v->used_produced++;
    return true;
}

static void interrupt(struct virtio *v)
{
    uint16_t flags = 0;
    bool irqs;

    if (guest_u16(v, v->queue_available, &flags) && (flags & AVAILABLE_NO_IRQ))
        return;
    irqs = spin_lock(&v->vm->lock);
    if (vpci_messages_on(&v->function)) {
        if (v->queue_vector != VECTOR_NONE)
            vpci_message_send(&v->function, v->queue_vector);
    } else {
        v->isr |= ISR_QUEUE;
        vpci_line_set(&v->function, true);
    }
    spin_unlock(&v->vm->lock, irqs);
}

static struct virtio_chain *done_take(struct virtio *v)
{
    struct virtio_chain *c = NULL;
    bool irqs = vm_work_lock(v->vm->work);

    if (!list_is_empty(&v->done)) {
        c = list_entry(v->done.next, struct virtio_chain, link);
        list_remove(&c->link);
    }
    vm_work_unlock(v->vm->work, irqs);
    return c;
}

static bool answer_all(struct virtio *v)
{
    bool answers = live(v), posted = false, any = false;
    struct virtio_chain *c;

    while ((c = done_take(v)) != NULL) {
        bool irqs;

        any = true;
        if (answers) {
            answers = used_put(v, c);
            posted |= answers;
            if (!answers)
                ring_broken(v, "its used ring is no memory");
        }
        chain_drop(c);
        irqs = vm_work_lock(v->vm->work);
        v->in_flight--;
        vm_work_unlock(v->vm->work, irqs);
    }
    if (posted)
        interrupt(v);
    return any;
}

static bool take_all(struct virtio *v)
{
    bool any = false;

    while (live(v)) {
        uint16_t produced, head;
        uint64_t at =
            v->queue_available + 4 + 2ull * (v->available_seen & (v->queue_size - 1u));
        vmk_status status;

        if (!guest_u16(v, v->queue_available + 2, &produced) ||
            (uint16_t)(produced - v->available_seen) > v->queue_size) {
            ring_broken(v, "its available ring makes no sense");
            break;
        }
        if (produced == v->available_seen)
            break;
        status = guest_u16(v, at, &head) ? chain_start(v, head) : VMK_BAD_FORMAT;
        if (status == VMK_NO_MEMORY)
            break;  // what is in flight ends and queues the job again
        if (status != VMK_OK) {
            ring_broken(v, "a chain of buffers makes no sense");
            break;
        }
        v->available_seen++;
        any = true;
    }
    return any;
}

static void run(struct vm_job *job)
{
    struct virtio *v = container_of(job, struct virtio, job);

    bool answered, taken;

    do {
        answered = answer_all(v);
        taken = take_all(v);
    } while (answered || taken);
}

/* ---- reset ---- */

static bool nothing_in_flight(void *argument)
{
    const struct virtio *v = argument;

    return v->in_flight == 0;
}

static void drain(struct virtio *v)
{
    bool irqs = spin_lock(&v->vm->lock);

    v->resetting = true;
    spin_unlock(&v->vm->lock, irqs);
    vm_job_queue(v->vm->work, &v->job);
    vm_work_wait(v->vm->work, nothing_in_flight, v);
    vm_job_cancel(v->vm->work, &v->job);
}

static void registers_reset(struct virtio *v)
{
    v->feature_select = v->driver_feature_select = 0;
    v->driver_features = 0;
    v->queue_select = 0;
    v->queue_size = VIRTIO_QUEUE_SIZE;
    v->queue_vector = v->config_vector = VECTOR_NONE;
    v->queue_descriptors = v->queue_available = v->queue_used = 0;
    v->queue_enabled = false;
    v->status = v->isr = 0;
    v->available_seen = v->used_produced = 0;
}

static void settle(struct vm_settle *s)
{
    struct virtio *v = container_of(s, struct virtio, settle);
    bool irqs;

    drain(v);
    irqs = spin_lock(&v->vm->lock);
    registers_reset(v);
    vpci_line_set(&v->function, false);
    v->resetting = false;
    spin_unlock(&v->vm->lock, irqs);
}

/* ---- registers; vm->lock held ---- */

static void common_image(const struct virtio *v, uint8_t out[COMMON_SIZE])
{
    bool first = v->queue_select == 0;

    memset(out, 0, COMMON_SIZE);
    put_le32(out + REG_FEATURE_SELECT, v->feature_select);
    if (v->feature_select < 2)
        put_le32(out + REG_FEATURE, (uint32_t)(v->features >> (32 * v->feature_select)));
    put_le32(out + REG_DRIVER_FEATURE_SELECT, v->driver_feature_select);
    if (v->driver_feature_select < 2)
        put_le32(out + REG_DRIVER_FEATURE,
                 (uint32_t)(v->driver_features >> (32 * v->driver_feature_select)));
    put_le16(out + REG_CONFIG_VECTOR, v->config_vector);
    put_le16(out + REG_QUEUES, 1);
    out[REG_STATUS] = v->status;
    put_le16(out + REG_QUEUE_SELECT, v->queue_select);
    put_le16(out + REG_QUEUE_SIZE, first ? v->queue_size : 0);
    put_le16(out + REG_QUEUE_VECTOR, first ? v->queue_vector : VECTOR_NONE);
    put_le16(out + REG_QUEUE_ENABLE, first && v->queue_enabled);
    put_le64(out + REG_QUEUE_DESCRIPTORS, v->queue_descriptors);
    put_le64(out + REG_QUEUE_AVAILABLE, v->queue_available);
    put_le64(out + REG_QUEUE_USED, v->queue_used);
}

static void status_write(struct virtio *v, uint8_t status)
{
    if (status == 0) {
        if (!v->resetting) {
            v->resetting = true;
            v->vm->settle = &v->settle;
        }
        return;
    }
    if ((status & STATUS_FEATURES_OK) && !(v->status & STATUS_FEATURES_OK) &&
        (!(v->driver_features & VIRTIO_F_VERSION_1) || (v->driver_features & ~v->features)))
        status &= (uint8_t)~STATUS_FEATURES_OK;  // the driver reads it back and gives up
    // A driver only adds bits; what the device set itself stays.
    v->status |= status & (uint8_t)~STATUS_NEEDS_RESET;
}

static uint16_t vector_checked(uint64_t value)
{
    return value < VECTORS ? (uint16_t)value : VECTOR_NONE;
}

/* Fields of the queue: only of queue 0, and only before it is enabled. */
static void queue_write(struct virtio *v, uint64_t offset, unsigned size, uint64_t value)
{
    uint64_t *addresses[] = {&v->queue_descriptors, &v->queue_available, &v->queue_used};

    if (v->queue_select || v->queue_enabled)
        return;
    if (offset == REG_QUEUE_SIZE && size == 2) {
        if (value && value <= VIRTIO_QUEUE_SIZE && !(value & (value - 1)))
            v->queue_size = (uint16_t)value;
    } else if (offset == REG_QUEUE_VECTOR && size == 2) {
        v->queue_vector = vector_checked(value);
    } else if (offset == REG_QUEUE_ENABLE && size == 2) {
        v->queue_enabled = value == 1;
    } else if (offset >= REG_QUEUE_DESCRIPTORS && offset % 4 == 0 && size >= 4) {
        uint64_t *at = addresses[(offset - REG_QUEUE_DESCRIPTORS) / 8];

        if (size == 8 && offset % 8 == 0)
            *at = value;
        else if (offset % 8)
            *at = (*at & UINT32_MAX) | value << 32;
        else
            *at = (*at & ~(uint64_t)UINT32_MAX) | (uint32_t)value;
    }
}

static void common_write(struct virtio *v, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset + size > COMMON_SIZE)
        return;
    switch ((enum common_register)offset) {
    case REG_FEATURE_SELECT: v->feature_select = (uint32_t)value; break;
    case REG_DRIVER_FEATURE_SELECT: v->driver_feature_select = (uint32_t)value; break;
    case REG_DRIVER_FEATURE:
        if (v->driver_feature_select == 0)
            v->driver_features = (v->driver_features & ~(uint64_t)UINT32_MAX) | (uint32_t)value;
        else if (v->driver_feature_select == 1)
            v->driver_features = (v->driver_features & UINT32_MAX) | value << 32;
        break;
    case REG_CONFIG_VECTOR: v->config_vector = vector_checked(value); break;
    case REG_STATUS: status_write(v, (uint8_t)value); break;
    case REG_QUEUE_SELECT: v->queue_select = (uint16_t)value; break;
    default: queue_write(v, offset, size, value); break;
    }
}

static uint64_t bytes_read(const uint8_t *bytes, uint64_t room, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)(offset + i < room ? bytes[offset + i] : 0) << (8 * i);
    return value;
}

static uint64_t virtio_read(void *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    struct virtio *v = device;
    uint8_t common[COMMON_SIZE];
    uint64_t value;

    (void)vcpu;
    switch (offset & ~(uint64_t)(AREA_SIZE - 1)) {
    case AREA_COMMON:
        common_image(v, common);
        return bytes_read(common, sizeof(common), offset, size);
    case AREA_ISR:
        value = offset == AREA_ISR ? v->isr : 0;
        if (offset == AREA_ISR) {
            v->isr = 0;
            vpci_line_set(&v->function, false);
        }
        return value;
    case AREA_CONFIG:
        return bytes_read(v->config, sizeof(v->config), offset - AREA_CONFIG, size);
    default: return 0;
    }
}

static void virtio_write(void *device, struct vcpu *vcpu, uint64_t offset, unsigned size,
                         uint64_t value)
{
    struct virtio *v = device;

    (void)vcpu;
    if (v->resetting)
        return;  // another vCPU resets it: no driver writes now
    switch (offset & ~(uint64_t)(AREA_SIZE - 1)) {
    case AREA_COMMON: common_write(v, offset, size, value); break;
    case AREA_NOTIFY:
        if ((v->status & STATUS_DRIVER_OK) && v->queue_enabled)
            vm_job_queue(v->vm->work, &v->job);
        break;
    default: break;
    }
}

static const struct vm_io_ops virtio_io_ops = {.read = virtio_read, .write = virtio_write};

/* ---- making ---- */

static void capability(struct vpci_function *f, unsigned type, unsigned area, unsigned size)
{
    unsigned length = type == 2 ? 20 : 16;
    unsigned at = vpci_capability_add(f, CAP_VENDOR, length);

    f->config[at + 2] = (uint8_t)length;
    f->config[at + 3] = (uint8_t)type;
    vpci_field_set(f, at + 8, 4, area);
    vpci_field_set(f, at + 12, 4, size);
    if (type == 2)
        vpci_field_set(f, at + 16, 4, 4);  // bytes between the notify addresses of two queues
}

vmk_status virtio_create(struct virtio *v, struct vm *vm, unsigned slot, unsigned id,
                         unsigned class_code)
{
    struct vpci_function *f = &v->function;

    v->vm = vm;
    list_init(&v->done);
    vm_job_init(&v->job, run);
    v->settle.run = settle;
    v->features |= VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT;
    registers_reset(v);
    f->devfn = (uint8_t)(slot << 3);
    f->device = v;
    vpci_header_set(f, PCI_VENDOR_VIRTIO, PCI_ID_BASE + id, class_code, 1, PCI_VENDOR_VIRTIO,
                    PCI_SUBSYSTEM);
    vpci_bar_set(f, 0, BAR_SIZE, false, &virtio_io_ops, v);
    vpci_msix_add(f, VECTORS, 0, MSIX_TABLE, MSIX_PENDING);
    capability(f, 1, AREA_COMMON, COMMON_SIZE);
    capability(f, 2, AREA_NOTIFY, AREA_SIZE);
    capability(f, 3, AREA_ISR, 1);
    capability(f, 4, AREA_CONFIG, VIRTIO_CONFIG_SIZE);
    return vpci_add_function(vm->pci, f);
}

void virtio_destroy(struct virtio *v)
{
    drain(v);
    vpci_remove_function(v->vm->pci, &v->function);
}
