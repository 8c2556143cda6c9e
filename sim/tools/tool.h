// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/tools/tool.h -- what the files of vmfs-tool share.
 */
#pragma once

#include "io/block.h"

/* Prints "vmfs-tool: WHAT: status" and answers 3. */
int tool_fail(const char *what, vmk_status status);
/* A number with k, m, g or t behind it. */
must_check bool tool_parse_size(const char *text, uint64_t *out);
/*
 * An image file or device; "@OFFSET" behind its name: what lies there, "@pN": its partition N. Made if
 * `size` is not 0. Null and a message when it cannot.
 */
struct block_device *tool_device_open(const char *text, uint64_t size, bool read_only);
uint64_t tool_random(void);

/* Each answers the tool's status; argv[0] is the command. */
int tool_partitions(const char *image, int argc, char **argv);
int tool_fat(const char *image, int argc, char **argv);
struct vmfs_volume;
/* vmkfstools and vmdk-...; null: no volume. */
int tool_vmdk(struct vmfs_volume *volume, int argc, char **argv);
