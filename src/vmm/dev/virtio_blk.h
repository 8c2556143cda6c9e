// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/virtio_blk.h -- a virtio block device (virtio 1.x over PCI), one per disk.
 */
#pragma once

#include "core/status.h"

#define VIRTIO_BLK_SLOT(index) (8u + (index))  // on the guest's PCI bus, by the disk's index

struct virtio_blk;
struct vm;

/*
 * The device of config.disks[index]. World context, vm->lock not held. NO_MEMORY, LIMIT,
 * EXISTS.
 */
must_check vmk_status virtio_blk_create(struct vm *vm, unsigned index, struct virtio_blk **out);
/* Waits for what is in flight. World context. */
void virtio_blk_destroy(struct virtio_blk *b);
