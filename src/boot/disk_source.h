// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/disk_source.h -- gives the VMM virtual disks by the names of their files.
 */
#pragma once

/* From here on a VM's fileName may be a VMDK's path. Before the first VM. */
void disk_source_init(void);
