// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk_device.h -- a virtual disk as a block device, and its files through the VFS.
 */
#pragma once

#include "fs/vmdk/vmdk.h"
#include "io/block.h"

/*
 * A device over an open disk, which becomes the device's: ops->destroy flushes and closes it.
 * Requests are served in order by a world of their own, so submit() never blocks. `name` is its path, and
 * `shares` its part of that datastore while others want it too (IOSHARES_NORMAL ...). NO_MEMORY.
 */
must_check vmk_status vmdk_device_create(struct vmdk *disk, const char *name, uint32_t shares,
                                         struct block_device **out);
/*
 * Opens the disk whose descriptor is at `path` in the VFS, as root. Problems go to the log. What
 * vmdk_open() answers. World context; nobody may have requests in flight at destroy. [switch]
 */
must_check vmk_status vmdk_device_open(const char *path, bool read_only, uint32_t shares,
                                       struct block_device **out);
/* Files by absolute path in the VFS, as root. Lives as long as the host. */
struct vmdk_store *vmdk_vfs_store(void);
