// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/user_boot.h -- the boot's way into ring 3.
 */
#pragma once

#include "lib/types.h"
#include "user/user.h"

/*
 * Files and user worlds come up; then process 1 starts: what init= says, else /sbin/init if
 * there is one and the option batch is not. True: it runs. A world.
 */
bool user_boot_start(void);
/* Does process 1 start the VMs of the boot modules? Not one of init=: then the kernel does. */
bool user_boot_starts_vms(void);
/* Blocks until process 1 has ended or wants the host off, and says which. */
enum user_end user_boot_wait(void);
/* Writes back what files hold, and shows the whole log on the console again. */
void user_boot_end(void);
