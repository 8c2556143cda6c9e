// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/disk_internal.h -- what the files of io/disk share.
 */
#pragma once

#include "io/disk.h"

/* Makes the port's world and timer. */
must_check vmk_status disk_recovery_start(struct disk_port *port);
/* Queue lock held: the command is not with the device any more and is to be tried again. */
void disk_command_again(struct disk_queue *queue, struct disk_command *command, bool counted);
/* Queue lock held: everything that waits for that disk is answered NO_DEVICE. */
void disk_queue_fail_waiting(struct disk_queue *queue, struct disk *disk);
const char *disk_op_name(enum block_op op);
/* Forgets everything the queue had. Nobody else uses it. */
void disk_queue_clear(struct disk_queue *queue);
/* block_ops.panic_write of a disk; disk_panic.c. */
must_check vmk_status disk_panic_write(struct block_device *device, uint64_t offset,
                                       const void *from, uint32_t size);
