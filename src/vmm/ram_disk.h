// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/ram_disk.h -- a disk in memory, empty, over a file in memory, or over another disk.
 */
#pragma once

#include "io/block.h"

/*
 * What is written goes into memory; what was not is read from below: the disk `lower`, else the
 * bytes at `base`, else zeros. `lower` and `base` stay the caller's and outlive it. BAD_PARAM:
 * a size that is no multiple of 512. LIMIT: too large. NO_MEMORY.
 */
must_check vmk_status ram_disk_create(const char *name, uint64_t size, const void *base,
                                      uint64_t base_size, struct block_device *lower,
                                      struct block_device **out);
void ram_disk_destroy(struct block_device *device);
