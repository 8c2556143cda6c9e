// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/user_boot.h -- files and the first user world, during the bring-up.
 */
#pragma once

#include "lib/types.h"

/* Brings files up, loads the tardisks among the boot files and starts what init= names as process 1
 * on the console. False: no init= option, or it could not be started (the log says why). A world. */
bool user_boot_start(void);
/* Until process 1 ended; logs its status. */
void user_boot_wait(void);
