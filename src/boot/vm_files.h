// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/vm_files.h -- the disks of VMs that are files: VMDKs on datastores.
 */
#pragma once

/* From then on a disk's fileName may name a VMDK. After fs_init(), before the first VM. */
void vm_files_init(void);
