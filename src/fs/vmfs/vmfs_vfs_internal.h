// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_vfs_internal.h -- a mounted volume, for the two files that put VMFS below the VFS.
 */
#pragma once

#include "fs/vfs_internal.h"
#include "fs/vmfs/vmfs_format.h"
#include "fs/vmfs/vmfs_vfs.h"
#include "world/world.h"

struct volume {
    struct vmfs_volume *v;
    struct mount *mount;
    struct block_device *devices[LVM_EXTENTS_MAX];
    unsigned count;
    bool read_only;
    world_id beater, ticker;
    struct fs_event stop;
};
/* vmfs_vfs.c: the vnode of a file, referenced. */
must_check vmk_status vmfs_node_get(struct volume *volume, vmfs_id id, struct vnode **out);

/* What the VFS calls a status of the volume. */
static inline vmk_status vmfs_answer(vmk_status status)
{
    return status == VMK_CONTENDED ? VMK_BUSY : status == VMK_FENCED ? VMK_IO_ERROR : status;
}
