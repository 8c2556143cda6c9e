// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/driver_boot.h -- drivers take their devices, after the driver maps among the boot modules.
 */
#pragma once

/* The init world, once, before the first user world. [block] */
void driver_boot(void);
