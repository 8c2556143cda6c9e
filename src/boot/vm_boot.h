// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/vm_boot.h -- the virtual machines that came with the boot modules.
 */
#pragma once

#include "lib/types.h"

struct vm_boot;

/*
 * Starts the VM of every .vmx module; what cannot start is in the log. Null: no memory. A
 * world.
 */
struct vm_boot *vm_boot_start(void);
unsigned vm_boot_count(const struct vm_boot *boot);
/* From now on each VM that ends is reported and freed at once, by a world of its own. */
void vm_boot_watch(struct vm_boot *boot);
/* Tells all that run to stop. `reason` is static text. */
void vm_boot_stop(struct vm_boot *boot, const char *reason);
/* Blocks until all have ended and were reported. */
void vm_boot_wait(struct vm_boot *boot);
