// SPDX-License-Identifier: BSD-2-Clause
/*
 * drivers/virtio.c -- the PCI transport of virtio, modern and legacy, and split virtqueues.
 *
 * Transitional devices are driven the modern way when they offer it.
 *
 * Invariants
 *   - What the device says about where its registers are is bounded by the BAR it names.
 *   - A queue's rings are 4096-aligned, in one piece, in the legacy layout, which suits both.
 * Locking    none here: the user of a queue guards it.
 * Sources    VIRTIO "Virtio Over PCI Bus", "Split Virtqueues"
 */
#include "drivers/virtio.h"

#include "core/log.h"
#include "io/disk.h"
#include "lib/string.h"
#include "mem/page.h"

enum {  // modern: the common configuration
    COMMON_DEVICE_SELECT = 0,
    COMMON_DEVICE_FEATURES = 4,
    COMMON_DRIVER_SELECT = 8,
    COMMON_DRIVER_FEATURES = 12,
    COMMON_MSIX = 16,
    COMMON_STATUS = 20,
    COMMON_QUEUE_SELECT = 22,
    COMMON_QUEUE_SIZE = 24,
    COMMON_QUEUE_VECTOR = 26,
    COMMON_QUEUE_ENABLE = 28,
    COMMON_QUEUE_NOTIFY = 30,
    COMMON_QUEUE_DESC = 32,
    COMMON_QUEUE_AVAIL = 40,
    COMMON_QUEUE_USED = 48,
    COMMON_SIZE = 56,
};
enum {  // legacy: ports
    LEGACY_DEVICE_FEATURES = 0,
    LEGACY_DRIVER_FEATURES = 4,
    LEGACY_QUEUE_PAGE = 8,
    LEGACY_QUEUE_SIZE = 12,
    LEGACY_QUEUE_SELECT = 14,
    LEGACY_QUEUE_NOTIFY = 16,
    LEGACY_STATUS = 18,
    LEGACY_ISR = 19,
    LEGACY_MSIX = 20,
    LEGACY_QUEUE_VECTOR = 22,
    LEGACY_CONFIG = 20,  // 24 with MSI-X
};
#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER      2u
#define STATUS_DRIVER_OK   4u
#define STATUS_FEATURES_OK 8u

static volatile uint32_t *common(struct virtio *v, unsigned at)
{
    return (volatile uint32_t *)(volatile void *)(v->common + at);
}

static uint32_t status_read(struct virtio *v)
{
    return v->modern ? plat_mmio_read8(v->common + COMMON_STATUS)
                     : plat_port_read((uint16_t)(v->port + LEGACY_STATUS), 1);
}

static void status_write(struct virtio *v, uint32_t status)
{
    if (v->modern)
        plat_mmio_write8(v->common + COMMON_STATUS, (uint8_t)status);
    else
        plat_port_write((uint16_t)(v->port + LEGACY_STATUS), 1, status);
}

static bool virtio_is_gone(struct virtio *v)
{
    return pci_read(v->pci, PCI_VENDOR, 2) == 0xffff;
}

vmk_status virtio_reset(struct virtio *v)
{
    status_write(v, 0);
    for (unsigned i = 0; status_read(v) != 0; i++) {
        if (virtio_is_gone(v))
            return VMK_NO_DEVICE;
        if (i == 1000)
            return VMK_TIMEOUT;
        disk_pause(1000000);
    }
    status_write(v, STATUS_ACKNOWLEDGE);
    status_write(v, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    return VMK_OK;
}

/* The structure a vendor capability tells of; its size goes to *size. */
static volatile char *structure(struct virtio *v, unsigned cap, uint32_t least, uint32_t *size)
{
    const unsigned bar = pci_read(v->pci, cap + 4, 1);
    const uint32_t offset = pci_read(v->pci, cap + 8, 4);
    volatile char *base;

    *size = pci_read(v->pci, cap + 12, 4);
    if (bar >= PCI_BARS || v->pci->bars[bar].io || *size < least ||
        (uint64_t)offset + *size > v->pci->bars[bar].size)
        return NULL;
    base = pci_map(v->pci, bar, (uint64_t)offset + *size);
    return base ? base + offset : NULL;
}

static bool open_modern(struct virtio *v)
{
    uint8_t caps[16];
    unsigned count = pci_capabilities(v->pci, PCI_CAPABILITY_VENDOR, caps, ARRAY_COUNT(caps));
    uint32_t size;

    for (unsigned i = 0; i < count; i++) {
        if (caps[i] > 256 - 20)
            continue;
        switch (pci_read(v->pci, caps[i] + 3u, 1)) {
        case 1:
            if (!v->common)
                v->common = structure(v, caps[i], COMMON_SIZE, &size);
            break;
        case 2:
            if (!v->notify) {
                v->notify = structure(v, caps[i], 2, &v->notify_size);
                v->notify_multiplier = pci_read(v->pci, caps[i] + 16u, 4);
            }
            break;
        case 3:
            if (!v->isr)
                v->isr = structure(v, caps[i], 1, &size);
            break;
        case 4:
            if (!v->config)
                v->config = structure(v, caps[i], 4, &v->config_size);
            break;
        default: break;
        }
    }
    return v->common && v->notify && v->isr && v->config;
}

vmk_status virtio_open(struct virtio *v, struct pci_device *pci)
{
    v->pci = pci;
    pci_enable(pci);
    v->modern = open_modern(v);
    if (!v->modern) {
        if (!pci->bars[0].io || pci->bars[0].size < 24 || pci->device >= 0x1040)
            return VMK_UNSUPPORTED;
        v->port = (uint16_t)pci->bars[0].base;
        v->config_size = (uint32_t)pci->bars[0].size - 24;
    }
    return virtio_reset(v);
}

bool virtio_negotiate(struct virtio *v, uint64_t wanted)
{
    if (!v->modern) {
        v->features = plat_port_read((uint16_t)(v->port + LEGACY_DEVICE_FEATURES), 4) & wanted;
        plat_port_write((uint16_t)(v->port + LEGACY_DRIVER_FEATURES), 4, (uint32_t)v->features);
        return true;
    }
    plat_mmio_write32(common(v, COMMON_DEVICE_SELECT), 0);
    v->features = plat_mmio_read32(common(v, COMMON_DEVICE_FEATURES));
    plat_mmio_write32(common(v, COMMON_DEVICE_SELECT), 1);
    v->features |= (uint64_t)plat_mmio_read32(common(v, COMMON_DEVICE_FEATURES)) << 32;
    v->features &= wanted | VIRTIO_F_VERSION_1;
    if (!(v->features & VIRTIO_F_VERSION_1))
        return false;
    plat_mmio_write32(common(v, COMMON_DRIVER_SELECT), 0);
    plat_mmio_write32(common(v, COMMON_DRIVER_FEATURES), (uint32_t)v->features);
    plat_mmio_write32(common(v, COMMON_DRIVER_SELECT), 1);
    plat_mmio_write32(common(v, COMMON_DRIVER_FEATURES), (uint32_t)(v->features >> 32));
    plat_mmio_write16(v->common + COMMON_MSIX, VIRTIO_VECTOR_NONE);
    status_write(v, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
    return status_read(v) & STATUS_FEATURES_OK;
}

/* Memory for a ring of `size`: descriptors, avail, and used from the next page on. */
static uint64_t used_offset(unsigned size)
{
    return round_up(16ull * size + 6 + 2ull * size, PAGE_SIZE);
}

static vmk_status ring_memory(struct virtq *q, unsigned size)
{
    const uint64_t bytes = used_offset(size) + 6 + 8ull * size;
    char *ring;
    mpn_t mpn;

    if (!q->desc) {
        q->size = size;
        while (PAGE_SIZE << q->order < bytes)
            q->order++;
        if (page_alloc(q->order, MEM_OWNER_KERNEL, &mpn) != VMK_OK)
            return VMK_NO_MEMORY;
        q->desc = mpn_map(mpn);
    }
    ring = (char *)q->desc;
    memset(ring, 0, PAGE_SIZE << q->order);
    q->avail = (volatile uint16_t *)(void *)(ring + 16ull * q->size);
    q->used = (volatile uint16_t *)(void *)(ring + used_offset(q->size));
    q->avail_index = q->used_index = 0;
    return VMK_OK;
}

static vmk_status queue_legacy(struct virtio *v, struct virtq *q, unsigned vector)
{
    unsigned size;
    vmk_status status;

    plat_port_write((uint16_t)(v->port + LEGACY_QUEUE_SELECT), 2, q->index);
    size = plat_port_read((uint16_t)(v->port + LEGACY_QUEUE_SIZE), 2);
    if (size < 2 || size > 4096 || size & (size - 1) || (q->desc && q->size != size))
        return VMK_UNSUPPORTED;
    status = ring_memory(q, size);
    if (status != VMK_OK)
        return status;
    plat_port_write((uint16_t)(v->port + LEGACY_QUEUE_PAGE), 4,
                    (uint32_t)(plat_unmap_address(q->desc).raw >> PAGE_SHIFT));
    if (v->msix) {
        plat_port_write((uint16_t)(v->port + LEGACY_MSIX), 2, VIRTIO_VECTOR_NONE);
        plat_port_write((uint16_t)(v->port + LEGACY_QUEUE_VECTOR), 2, vector);
        if (plat_port_read((uint16_t)(v->port + LEGACY_QUEUE_VECTOR), 2) != vector)
            return VMK_UNSUPPORTED;
    }
    return VMK_OK;
}

static void address_write(struct virtio *v, unsigned at, const volatile void *what)
{
    const uint64_t address = plat_unmap_address((const void *)(uintptr_t)what).raw;

    plat_mmio_write32(common(v, at), (uint32_t)address);
    plat_mmio_write32(common(v, at + 4), (uint32_t)(address >> 32));
}

vmk_status virtio_queue_init(struct virtio *v, struct virtq *q, unsigned index, unsigned most,
                             unsigned vector)
{
    unsigned size;
    uint64_t offset;
    vmk_status status;

    q->index = index;
    if (!v->modern)
        return queue_legacy(v, q, vector);
    plat_mmio_write16(v->common + COMMON_QUEUE_SELECT, (uint16_t)index);
    size = plat_mmio_read16(v->common + COMMON_QUEUE_SIZE);
    if (size < 2 || size > 32768 || size & (size - 1))
        return VMK_UNSUPPORTED;
    while (size > most)
        size /= 2;
    offset = (uint64_t)plat_mmio_read16(v->common + COMMON_QUEUE_NOTIFY) * v->notify_multiplier;
    if (offset + 2 > v->notify_size)
        return VMK_UNSUPPORTED;
    status = ring_memory(q, size);
    if (status != VMK_OK)
        return status;
    q->notify = v->notify + offset;
    plat_mmio_write16(v->common + COMMON_QUEUE_SIZE, (uint16_t)q->size);
    plat_mmio_write16(v->common + COMMON_QUEUE_VECTOR, (uint16_t)vector);
    if (plat_mmio_read16(v->common + COMMON_QUEUE_VECTOR) != vector)
        return VMK_UNSUPPORTED;
    address_write(v, COMMON_QUEUE_DESC, q->desc);
    address_write(v, COMMON_QUEUE_AVAIL, q->avail);
    address_write(v, COMMON_QUEUE_USED, q->used);
    plat_mmio_write16(v->common + COMMON_QUEUE_ENABLE, 1);
    return VMK_OK;
}

void virtio_start(struct virtio *v)
{
    status_write(v, status_read(v) | STATUS_DRIVER_OK);
}

uint8_t virtio_isr(struct virtio *v)
{
    return v->modern ? plat_mmio_read8(v->isr)
                     : (uint8_t)plat_port_read((uint16_t)(v->port + LEGACY_ISR), 1);
}

uint32_t virtio_config_read(struct virtio *v, unsigned offset, unsigned size)
{
    volatile char *at = v->config + offset;

    if (offset + size > v->config_size)
        return 0;
    if (!v->modern)
        return plat_port_read(
            (uint16_t)(v->port + LEGACY_CONFIG + (v->msix ? 4u : 0u) + offset), size);
    return size == 4   ? plat_mmio_read32(at)
           : size == 2 ? plat_mmio_read16(at)
                       : plat_mmio_read8(at);
}

void virtq_add(struct virtq *q, unsigned head)
{
    q->avail[2 + (q->avail_index & (q->size - 1))] = (uint16_t)head;
    q->avail_index++;
    // The device may look at the index at any time: what it points to comes first.
    __atomic_thread_fence(__ATOMIC_RELEASE);
    q->avail[1] = q->avail_index;
}

void virtq_notify(struct virtio *v, struct virtq *q)
{
    // Our index before the device's flag: else both could wait for the other.
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (q->used[0] & 1)  // it is looking anyway
        return;
    if (v->modern)
        plat_mmio_write16(q->notify, (uint16_t)q->index);
    else
        plat_port_write((uint16_t)(v->port + LEGACY_QUEUE_NOTIFY), 2, q->index);
}

bool virtq_next_used(struct virtq *q, unsigned *head, uint32_t *written)
{
    const volatile uint32_t *entry;

    if (q->used[1] == q->used_index)
        return false;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    entry = (const volatile uint32_t *)(const volatile void *)(q->used + 2) +
            2 * (q->used_index & (q->size - 1));
    *head = entry[0];
    *written = entry[1];
    q->used_index++;
    return true;
}

void virtq_describe(struct virtq_desc *table, unsigned *n, unsigned base, uint64_t address,
                    uint32_t size, bool device_writes)
{
    if (*n) {
        table[*n - 1].flags |= VIRTQ_NEXT;
        table[*n - 1].next = (uint16_t)(base + *n);
    }
    table[(*n)++] = (struct virtq_desc){
        .address = address, .size = size, .flags = (uint16_t)(device_writes ? VIRTQ_WRITE : 0)};
}
