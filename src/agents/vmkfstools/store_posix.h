// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmkfstools/store_posix.h -- the files of virtual disks by ordinary file calls.
 */
#pragma once

#include "fs/vmdk/vmdk.h"

/* One for all files; lives as long as the program. */
struct vmdk_store *store_posix(void);
