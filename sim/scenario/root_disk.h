// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/root_disk.h -- a tardisk with Debian's busybox, made while a scenario is
 * prepared.
 */
#pragma once

#include "lib/types.h"

/* Where busybox is: $ORRERY_BUSYBOX, else what scripts/deps.sh fetched. Null: nowhere. */
const char *root_disk_busybox(void);
/* Adds the boot module "root.tgz"; `script` becomes /etc/script, and the file that
 * $ORRERY_PROGRAM names, if any, /bin/program. False: said why. */
must_check bool root_disk_add(const char *script);
/*
 * What the script prints when the host's own kernel runs it with the same busybox, stdout and
 * stderr. Null: said why.
 */
char *root_disk_native(const char *script);
