// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_vfs.h -- VMFS as a mount type, and what belongs to a mounted volume.
 */
#pragma once

#include "fs/vfs.h"
#include "fs/vmfs/vmfs.h"

/*
 * Registers the type "vmfs". Its source is the extents' names for storage_open(), with commas.
 */
must_check vmk_status vmfs_type_register(void);

/*
 * The volume of a mount of that type, or null. Good while the mount is referenced and mounted.
 */
struct vmfs_volume *vmfs_of_mount(const struct mount *mount);
/* The file that a vnode of such a mount is. False: it is of another file system. */
must_check bool vmfs_of_vnode(const struct vnode *vnode, struct vmfs_volume **volume,
                              vmfs_id *file);
/* The UUID of the volume on these devices, from its superblock; the first extent decides. */
must_check vmk_status vmfs_source_uuid(const char *source, char uuid[VMFS_UUID_TEXT]);
/*
 * Who this host is in heartbeats and locks: the same for all its volumes, another after each
 * boot. So what it held before a crash is broken as any dead host's is, after HB_DEAD_NS, or at
 * once where no other host can be (a device without compare-and-write).
 */
struct vmfs_uuid vmfs_host_uuid(void);
