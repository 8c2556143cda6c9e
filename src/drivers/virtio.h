// SPDX-License-Identifier: BSD-2-Clause
/*
 * drivers/virtio.h -- virtio over PCI, modern (1.0) or legacy, and its split queues.
 */
#pragma once

#include "io/pci.h"

#define VIRTIO_F_INDIRECT  BIT(28)
#define VIRTIO_F_VERSION_1 BIT(32)
#define VIRTIO_VECTOR_NONE 0xffffu

#define VIRTQ_NEXT         1u
#define VIRTQ_WRITE        2u  // the device writes it
#define VIRTQ_INDIRECT     4u

struct virtq_desc {
    uint64_t address;
    uint32_t size;
    uint16_t flags, next;
};
_Static_assert(sizeof(struct virtq_desc) == 16, "VIRTIO The Virtqueue Descriptor Table");

/* One queue. Guarded by its user's lock. */
struct virtq {
    unsigned index, size;
    struct virtq_desc *desc;
    volatile uint16_t *avail;  // flags, index, ring[size]
    volatile uint16_t *used;   // flags, index, then pairs of 32 bits
    uint16_t avail_index, used_index;
    volatile void *notify;  // modern
    unsigned order;         // pages of the ring
};

struct virtio {
    struct pci_device *pci;
    bool modern;
    uint16_t port;  // legacy
    volatile char *common, *isr, *config, *notify;
    uint32_t config_size, notify_size, notify_multiplier;
    bool msix;  // legacy: moves the device's configuration
    uint64_t features;
};

/*
 * Finds the transport and resets the device. UNSUPPORTED (nothing usable), NO_DEVICE. [switch]
 */
must_check vmk_status virtio_open(struct virtio *v, struct pci_device *pci);
/* Reset, and wait for it. TIMEOUT, NO_DEVICE. [switch] */
must_check vmk_status virtio_reset(struct virtio *v);
/* Takes what both know; false if the device does not accept it. Before queues. */
must_check bool virtio_negotiate(struct virtio *v, uint64_t wanted);
/*
 * Makes (or, after a reset, sets up again) queue `index`; at most `most` entries (legacy: the
 * device's size). UNSUPPORTED, NO_MEMORY.
 */
must_check vmk_status virtio_queue_init(struct virtio *v, struct virtq *q, unsigned index,
                                        unsigned most, unsigned vector);
/* DRIVER_OK. */
void virtio_start(struct virtio *v);
/* Reads and so acknowledges the interrupt cause of a line. */
uint8_t virtio_isr(struct virtio *v);
/* size 1, 2, 4; past the end of the configuration 0. */
uint32_t virtio_config_read(struct virtio *v, unsigned offset, unsigned size);

/* Adds the chain that begins with descriptor `head`; virtq_notify() tells the device. */
void virtq_add(struct virtq *q, unsigned head);
void virtq_notify(struct virtio *v, struct virtq *q);
/* The next chain that has come back; false: none. */
must_check bool virtq_next_used(struct virtq *q, unsigned *head, uint32_t *written);
/*
 * Appends one piece of memory to a chain of *n descriptors whose first has index `base` in its
 * table.
 */
void virtq_describe(struct virtq_desc *table, unsigned *n, unsigned base, uint64_t address,
                    uint32_t size, bool device_writes);
