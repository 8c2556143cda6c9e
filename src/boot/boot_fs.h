// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/boot_fs.h -- the boot modules as files below /boot, read-only.
 */
#pragma once

#include "core/status.h"

/* Registers the type "bootfs" and mounts it on /boot; nothing if there is no boot module. */
must_check vmk_status boot_fs_start(void);
