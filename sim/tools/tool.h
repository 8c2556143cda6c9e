// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/tools/tool.h -- what the files of vmfs-tool share.
 */
#pragma once

#include "io/block.h"

struct vmfs_volume;

/* Prints "vmfs-tool: WHAT: status" and answers 3. */
int tool_fail(const char *what, vmk_status status);
/* A number with k, m, g or t behind it. */
must_check bool tool_parse_size(const char *text, uint64_t *out);
/*
 * An image file or device; "@OFFSET" behind its name: what lies there, "@pN": its partition N.
 * Made if `size` is not 0. Null and a message when it cannot.
 */
struct block_device *tool_device_open(const char *text, uint64_t size, bool read_only);
/* The only VMFS partition of a whole disk that holds no volume itself; else `disk`. */
struct block_device *tool_partition_of_disk(struct block_device *disk);
uint64_t tool_random(void);

/* A VMFS volume at work. */
struct tool_volume {
    struct block_device *devices[32];
    unsigned count;
    struct vmfs_volume *v;
};

/* Each answers the tool's status; argv[0] is the command. */
typedef int tool_command(struct tool_volume *volume, int argc, char **argv);
tool_command tool_ls, tool_stat, tool_cat, tool_cp, tool_names, tool_size;  // tool_files.c
tool_command tool_label, tool_dump, tool_grow, tool_df, tool_fsck;          // tool_volume.c
int tool_partitions(const char *image, int argc, char **argv);
int tool_fat(const char *image, int argc, char **argv);
int tool_core(const char *image, int argc, char **argv);
/* vmkfstools and vmdk-...; null: no volume. */
int tool_vmdk(struct vmfs_volume *volume, int argc, char **argv);
