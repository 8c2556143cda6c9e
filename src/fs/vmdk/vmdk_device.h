// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk_device.h -- a virtual disk as a block device, and its files through the VFS.
 */
#pragma once

#include "fs/vmdk/vmdk.h"
#include "io/block.h"

/*
 * A device over the disk whose descriptor is at `path` in the VFS, opened as root; `shares` is
 * its part of that datastore while others want it too (IOSHARES_NORMAL ...). Requests are
 * served in order by a world of their own, so submit() never blocks; ops->destroy flushes and
 * closes the disk. Problems go to the log. What vmdk_open() answers. World context; nobody may
 * have requests in flight at destroy. [switch]
 */
must_check vmk_status vmdk_device_open(const char *path, bool read_only, uint32_t shares,
                                       struct block_device **out);
/* Files by absolute path in the VFS, as root. Lives as long as the host. */
struct vmdk_store *vmdk_vfs_store(void);
