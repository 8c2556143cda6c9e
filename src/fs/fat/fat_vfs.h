// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/fat/fat_vfs.h -- FAT as a file system that can be mounted: type "vfat".
 */
#pragma once

#include "core/status.h"
#include "io/block.h"

/*
 * The source of a mount is a disk or partition by its name in io/storage.h, with or without
 * /dev/disks/ or /vmfs/devices/disks/ in front. Options: uid=, gid=, umask= (octal).
 */
must_check vmk_status fat_type_register(void);
