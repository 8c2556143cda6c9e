// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/virtio.h -- a virtio 1.x device on the guest's PCI bus with one queue.
 *
 * The transport knows registers, features and the ring; what a chain of buffers means is the
 * device's. Chains are taken and answered in the VM's I/O world.
 */
#pragma once

#include "vmm/dev/vpci.h"
#include "vmm/vm.h"
#include "vmm/vm_dma.h"
#include "vmm/vm_work.h"

#define VIRTIO_QUEUE_SIZE  128u
#define VIRTIO_F_INDIRECT  BIT(28)
#define VIRTIO_F_VERSION_1 BIT(32)
#define VIRTIO_CONFIG_SIZE 64u

struct virtio;

/* A chain the guest made available: what the device may read, then what it may write. */
struct virtio_chain {
    struct list link;  // work lock
    struct virtio *device;
    uint16_t head;
    uint32_t written;           // bytes, for the used ring
    void *status_byte;          // the device's: where its answer goes
    struct vm_scatter out, in;  // from the guest, to the guest
    struct block_segment segments[];
};

struct virtio_ops {
    /* Starts on a chain; virtio_chain_done() follows, perhaps before it returns. I/O world. */
    void (*start)(struct virtio *v, struct virtio_chain *chain);
    size_t chain_size;  // bytes in front of each chain, the device's own; a multiple of 16
};

/* One descriptor, as read from the guest. */
struct virtio_descriptor {
    uint64_t address;
    uint32_t size;
    uint16_t flags, next;
};

struct virtio {
    struct vm *vm;                  // (i)
    const struct virtio_ops *ops;   // (i)
    struct vpci_function function;  // vm->lock, as all registers
    struct vm_settle settle;
    uint64_t features;                   // (i) offered
    uint8_t config[VIRTIO_CONFIG_SIZE];  // (i) the device's own fields
    uint32_t feature_select, driver_feature_select;
    uint64_t driver_features;
    uint16_t queue_select, queue_size, queue_vector, config_vector;
    uint64_t queue_descriptors, queue_available, queue_used;
    uint8_t status, isr;
    bool queue_enabled;
    bool resetting;

    // The I/O world's.
    uint16_t available_seen, used_produced;
    struct virtio_descriptor descriptors[VIRTIO_QUEUE_SIZE];

    // Work lock.
    struct vm_job job;
    struct list done;
    unsigned in_flight;
};

/* Fills in the transport's part and adds the function. `id` is virtio's device id. */
must_check vmk_status virtio_create(struct virtio *v, struct vm *vm, unsigned slot, unsigned id,
                                    unsigned class_code);
/* Nothing is in flight afterwards, and the function is gone. World context. */
void virtio_destroy(struct virtio *v);
/* The device is through with it. Any context. */
void virtio_chain_done(struct virtio_chain *chain, uint32_t written);
