// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/fat/fat.h -- FAT12, FAT16 and FAT32 with long names: format, mount, and operations on files.
 *
 * The file system knows a block device and nothing of VFS, so that the kernel, vmfs-tool and
 * tests run the same code. A file is a struct fat_node while somebody uses it; one node per
 * file. World context; the caller lets one world at a time into a volume. [switch]
 */
#pragma once

#include "core/status.h"
#include "io/block.h"

struct fat_volume;
struct fat_node;

#define FAT_NAME_MAX   255u                    // units of UTF-16
#define FAT_NAME_BYTES (FAT_NAME_MAX * 3 + 1)  // as UTF-8 with NUL

struct fat_format {
    const char *label;  // null: none; at most 11 characters
    uint32_t id;        // volume id
    unsigned bits;      // 12, 16, 32, or 0: by size
    int64_t now_ns;
};
/*
 * Makes an empty file system; all that was there is lost. NO_SPACE (too small or large for
 * `bits`), BAD_PARAM.
 */
must_check vmk_status fat_format(struct block_device *device, const struct fat_format *how);

/*
 * BAD_FORMAT (no FAT; the log says which field), CORRUPT, NO_MEMORY, the device's error. `now`
 * is asked for times. A volume that was not unmounted cleanly is mounted with a warning.
 */
must_check vmk_status fat_mount(struct block_device *device, bool read_only,
                                int64_t (*now)(void), struct fat_volume **out);
/* Nodes must be put. Marks the volume clean. The first error, but gone. */
vmk_status fat_unmount(struct fat_volume *v);
/* The power went: frees everything without a write. For tests. */
void fat_abandon(struct fat_volume *v);
/* All sizes, the free count; durable when it returns. */
must_check vmk_status fat_sync(struct fat_volume *v);

struct fat_statistics {
    unsigned bits;
    uint32_t cluster_size, clusters, free;
    uint32_t id;
    char label[12];
    bool was_dirty;
};
/* Counts the free clusters the first time, which may take a while. */
must_check vmk_status fat_statistics(struct fat_volume *v, struct fat_statistics *out);
uint32_t fat_cluster_size(const struct fat_volume *v);

struct fat_attr {
    bool directory, read_only, hidden, system;
    uint32_t size;
    uint64_t inode;
    uint32_t clusters;
    int64_t mtime_ns, atime_ns, ctime_ns;
};

/* Each answers a node with one reference more. */
struct fat_node *fat_root(struct fat_volume *v);
must_check vmk_status fat_lookup(struct fat_node *dir, const char *name, size_t length,
                                 struct fat_node **out);
must_check vmk_status fat_parent(struct fat_node *dir, struct fat_node **out);
/* EXISTS, NAME_TOO_LONG, BAD_PARAM (a character FAT has not), NO_SPACE. */
must_check vmk_status fat_create(struct fat_node *dir, const char *name, size_t length,
                                 bool directory, struct fat_node **out);
/* By path from the root, for tools and tests. */
must_check vmk_status fat_walk(struct fat_volume *v, const char *path, struct fat_node **out);
void fat_node_ref(struct fat_node *node);
/* The last one writes the size back, and frees a file without a name. */
void fat_node_put(struct fat_node *node);

/* NOT_EMPTY for directories that are not. The space goes with the last reference. */
must_check vmk_status fat_remove(struct fat_node *dir, const char *name, size_t length);
/* Replaces a file of the new name; a directory must be empty. */
must_check vmk_status fat_rename(struct fat_node *from, const char *name, size_t length,
                                 struct fat_node *to, const char *new_name, size_t new_length);

/* Entry at *position or the next one; NOT_FOUND at the end. *position goes behind it. */
struct fat_entry {
    char name[FAT_NAME_BYTES];
    bool directory;
    uint64_t inode;
};
must_check vmk_status fat_entry(struct fat_node *dir, uint64_t *position,
                                struct fat_entry *out);

/* Of a directory, `size` is what its clusters hold. */
void fat_attr_get(struct fat_node *node, struct fat_attr *out);
#define FAT_SET_READ_ONLY 1u
#define FAT_SET_MTIME     2u
#define FAT_SET_ATIME     4u
/* The FAT_SET_* of `what`; on disk with the next fat_node_sync(). READ_ONLY: the volume is. */
must_check vmk_status fat_attr_set(struct fat_node *node, unsigned what,
                                   const struct fat_attr *from);
/* *done is less than `size` at the end of the file. IS_DIR. */
must_check vmk_status fat_read(struct fat_node *node, uint64_t offset, void *to, size_t size,
                               size_t *done);
/* TOO_BIG past 4 GiB - 1. */
must_check vmk_status fat_write(struct fat_node *node, uint64_t offset, const void *from,
                                size_t size);
/* Shorter or longer; what is added reads as zeros. IS_DIR; TOO_BIG as above. */
must_check vmk_status fat_truncate(struct fat_node *node, uint64_t size);
/* Data, chain, size and times of the file are durable when it returns. */
must_check vmk_status fat_node_sync(struct fat_node *node);
