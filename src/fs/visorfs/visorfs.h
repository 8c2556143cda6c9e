// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/visorfs/visorfs.h -- files in memory: the root, ram disks, and the tardisks they are filled from.
 *
 * As a mount type it is named "visorfs" (and "tmpfs"). Options, comma-separated: size=BYTES
 * with k, m, g or % of memory; nr_inodes=N; mode=OCTAL; uid=N; gid=N; name=TEXT for messages.
 */
#pragma once

#include "fs/vfs.h"

/* What one ram disk or the root uses; for `visorfs ramdisk list`, df and /proc. */
struct visorfs_usage {
    char name[32];
    uint64_t size_max, size_used;  // bytes that count against the quota
    uint64_t tardisk_size;         // bytes of tardisks, which do not
    uint32_t inodes_max, inodes_used;
    uint32_t refusals;  // writes refused for want of room
};
/* UNSUPPORTED: not a visorfs. */
must_check vmk_status visorfs_usage(struct mount *mount, struct visorfs_usage *out);

/*
 * Reads a tardisk, a ustar archive in gzip (or plain), into the root's tree, on top of those
 * before it: directories merge, anything else replaces what had its name. All or nothing: a
 * damaged one changes nothing, and the log names the archive, the member and what is wrong. A
 * world; may block.
 */
must_check vmk_status visorfs_tardisk_load(const char *name, const void *data, size_t size);

struct visorfs_tardisk {
    char name[32];
    uint64_t packed_size, size;  // bytes as loaded; bytes of file data
    uint32_t files;
};
/* In the order of loading; false from the count on. */
must_check bool visorfs_tardisk_at(size_t index, struct visorfs_tardisk *out);
/* Does the name of a boot module say that it is one? .tgz .vgz .v00 ... .v99 .tar.gz */
bool visorfs_tardisk_name(const char *name);
