// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/root_disk.h -- the image's own system tardisk for a scenario, and its script on top.
 */
#pragma once

#include "lib/types.h"

/*
 * Adds the boot modules "system.v00" and "script.v01"; `script` becomes /etc/script, and the
 * file that $ORRERY_PROGRAM names, if any, /bin/program. False: said why.
 */
must_check bool root_disk_add(const char *script);
/* One file, link or folder of a tardisk. */
struct root_disk_entry {
    const char *name;
    const char *path;  // of this computer: its bytes
    const char *text;  // or these bytes
    const char *link;  // or a symbolic link to there; all null: a folder
    unsigned mode;     // 0: 0755
};
/* Adds a boot module of these, to be loaded over the others. False: said why. */
bool root_disk_more(const char *module, const struct root_disk_entry *entries, size_t count);
/* A file of the build, beside the simulator: "agents/vmtools". */
const char *root_disk_built(const char *name);
/*
 * What the script prints when the host's own kernel runs it with the same busybox, stdout and
 * stderr. Null: said why.
 */
char *root_disk_native(const char *script);
