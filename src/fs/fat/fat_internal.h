// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/fat/fat_internal.h -- what the files of FAT share: the volume, nodes, and bytes on disk.
 */
#pragma once

#include "fs/fat/fat.h"
#include "lib/list.h"

#define FAT_ENTRY_SIZE    32u
#define FAT_ATTR_READONLY 0x01u
#define FAT_ATTR_HIDDEN   0x02u
#define FAT_ATTR_SYSTEM   0x04u
#define FAT_ATTR_LABEL    0x08u
#define FAT_ATTR_DIR      0x10u
#define FAT_ATTR_ARCHIVE  0x20u
#define FAT_ATTR_LONG     0x0fu
#define FAT_DELETED       0xe5u
#define FAT_DIR_MOST      65536u  // entries in a directory
#define FAT_LONG_UNITS    13u     // of a name in one entry
#define FAT_LONG_ENTRIES  20u

enum fat_boot_field {
    BOOT_SECTOR_SIZE = 11,
    BOOT_CLUSTER_SECTORS = 13,
    BOOT_RESERVED = 14,
    BOOT_FATS = 16,
    BOOT_ROOT_ENTRIES = 17,
    BOOT_SECTORS_16 = 19,
    BOOT_MEDIA = 21,
    BOOT_FAT_SECTORS_16 = 22,
    BOOT_TRACK = 24,
    BOOT_HEADS = 26,
    BOOT_HIDDEN = 28,
    BOOT_SECTORS_32 = 32,
    BOOT_FAT_SECTORS_32 = 36,
    BOOT_FLAGS_32 = 40,
    BOOT_ROOT_32 = 44,
    BOOT_FSINFO_32 = 48,
    BOOT_BACKUP_32 = 50,
    BOOT_EXTENDED_16 = 36,  // drive, state, signature 0x29, id, label, type
    BOOT_EXTENDED_32 = 64,
    BOOT_SIGNATURE = 510,
};

enum fat_entry_field {
    ENTRY_NAME = 0,
    ENTRY_ATTR = 11,
    ENTRY_CASE = 12,
    ENTRY_CREATED_10MS = 13,
    ENTRY_CREATED = 14,
    ENTRY_ACCESSED = 18,
    ENTRY_CLUSTER_HIGH = 20,
    ENTRY_MODIFIED = 22,
    ENTRY_CLUSTER_LOW = 26,
    ENTRY_SIZE = 28,
};

#define FAT_BUFFERS 64u

struct fat_buffer {
    uint64_t sector;
    uint32_t age;
    bool valid;
    uint8_t *data;
};

struct fat_volume {
    struct block_device *device;
    int64_t (*now)(void);
    bool read_only;
    bool was_dirty, dirty;  // dirty: the disk says that it is being written to
    bool unflushed;         // writes that the next step may not overtake
    unsigned bits, fats;
    uint32_t sector_size, cluster_sectors, cluster_size;
    uint32_t fat_begin, fat_sectors;    // sectors
    uint32_t root_begin, root_sectors;  // FAT12/16: the fixed root
    uint32_t data_begin, clusters;      // valid numbers: 2 .. clusters + 1
    uint32_t root_cluster, fsinfo;      // FAT32
    uint32_t id, hint;
    uint32_t free_count;  // UINT32_MAX: not counted yet
    char label[12];
    uint64_t next_inode;  // for nodes whose place is another's number
    struct list nodes;
    struct fat_node *root;
    uint8_t *buffer_memory;
    struct fat_buffer buffers[FAT_BUFFERS];
    uint32_t clock;
    uint8_t *bounce;  // one sector, for parts of sectors of data
};

struct fat_node {
    struct list link;  // of the volume
    struct fat_volume *v;
    unsigned refs;
    uint64_t place;  // byte on disk of the short entry; 0: the root, or no name any more
    uint64_t inode;
    uint32_t first, size;
    uint8_t attr;
    bool changed;  // the entry on disk is behind
    int64_t mtime_ns, atime_ns, ctime_ns;
    uint32_t cursor_index, cursor_cluster;  // a place in the chain; cluster 0: none
    uint32_t chain;                         // clusters it has; UINT32_MAX: not counted yet
};

static inline bool node_is_dir(const struct fat_node *n)
{
    return n->attr & FAT_ATTR_DIR;
}

static inline bool node_is_root(const struct fat_node *n)
{
    return n == n->v->root;
}

/* ---- fat_volume.c: sectors ---- */

/* Valid until some ten further calls. */
vmk_status fat_sector_get(struct fat_volume *v, uint64_t sector, uint8_t **data);
/* Writes a sector that was got and changed. */
vmk_status fat_sector_put(struct fat_volume *v, uint64_t sector, const uint8_t *data);
/* What was written before is durable before what is written after. */
vmk_status fat_barrier(struct fat_volume *v);
/* Before the first change: the disk says that it is in use. */
vmk_status fat_dirty(struct fat_volume *v);
static inline uint64_t cluster_sector(const struct fat_volume *v, uint32_t cluster)
{
    return v->data_begin + (uint64_t)(cluster - 2) * v->cluster_sectors;
}
static inline bool cluster_valid(const struct fat_volume *v, uint32_t cluster)
{
    return cluster >= 2 && cluster - 2 < v->clusters;
}

/* ---- fat_table.c: chains ---- */

/* *next 0: the end. CORRUPT: free, bad or out of bounds. */
vmk_status fat_next(struct fat_volume *v, uint32_t cluster, uint32_t *next);
vmk_status fat_link(struct fat_volume *v, uint32_t cluster, uint32_t next);  // next 0: the end
/* A chain of `count` new clusters, ended, that nothing names yet. */
vmk_status fat_chain_make(struct fat_volume *v, uint32_t near, uint32_t count, uint32_t *first);
/* Nothing durable may name it any more. A chain that is damaged is freed as far as it goes. */
vmk_status fat_chain_free(struct fat_volume *v, uint32_t first);
vmk_status fat_count_free(struct fat_volume *v);
/* The state bits of entry 1. */
vmk_status fat_state_get(struct fat_volume *v, bool *clean);
vmk_status fat_state_set(struct fat_volume *v, bool clean);

/* ---- fat_name.c ---- */

struct fat_name {
    uint8_t units[2 * FAT_NAME_MAX];
    unsigned length;  // units
    uint8_t short_name[11];
    bool needs_long;  // the short name does not say all
    bool lossy;       // and not even but for small letters
};
/* BAD_PARAM, NAME_TOO_LONG. */
vmk_status fat_name_make(const char *name, size_t length, struct fat_name *out);
/* Basis with ~number. */
void fat_name_tail(struct fat_name *name, unsigned number);
uint8_t fat_name_sum(const uint8_t short_name[11]);
/* As UTF-16; answers the units. */
unsigned fat_short_units(const uint8_t *entry, uint8_t out[2 * 12]);
bool fat_units_equal(const uint8_t *a, unsigned a_length, const uint8_t *b, unsigned b_length);

/* ---- fat_file.c ---- */

/* Cluster `index` of a node's chain; *cluster 0: past the end. */
vmk_status fat_node_cluster(struct fat_node *n, uint32_t index, uint32_t *cluster);
vmk_status fat_node_chain(struct fat_node *n, uint32_t *count);
/* Appends clusters whose contents are ready. */
vmk_status fat_node_append(struct fat_node *n, uint32_t first, uint32_t count);
vmk_status fat_zero_clusters(struct fat_volume *v, uint32_t first, uint32_t count);

/* ---- fat_dir.c: entries ---- */

struct fat_found {
    uint32_t first_slot, slot;  // of the long name, of the short entry
    uint64_t place;
    uint8_t entry[FAT_ENTRY_SIZE];
    uint8_t units[2 * FAT_LONG_ENTRIES * FAT_LONG_UNITS];
    unsigned length;
    uint8_t short_units[24];
    unsigned short_length;
};

struct fat_scan {
    struct fat_node *dir;
    uint32_t next;
    /* The long name that is being read: the number expected next, 0 for none. */
    unsigned expected, length;
    uint8_t sum;
    uint32_t first_slot;
    struct fat_found found;
};

/* Entry `index` of a directory and its place on disk; NOT_FOUND past its space. */
vmk_status fat_slot_get(struct fat_node *dir, uint32_t index, uint8_t **entry, uint64_t *place);
/* Writes the sector of an entry that was got and changed. */
vmk_status fat_slot_put(struct fat_node *dir, uint64_t place, const uint8_t *entry);
/* The next name in s->found; NOT_FOUND at the end. */
vmk_status fat_scan_next(struct fat_scan *s);
bool fat_is_dot(const struct fat_found *f);
/* A name's entry in a scan from the heap. */
vmk_status fat_find(struct fat_node *dir, const char *name, size_t length,
                    struct fat_scan **out);
/* A short name that nobody in the directory has. */
vmk_status fat_short_name_choose(struct fat_node *dir, struct fat_name *name);
unsigned fat_slots_needed(const struct fat_name *name);
/* Entry `i` of a name; the last one is `entry` with the short name in it. */
void fat_slot_fill(const struct fat_name *name, const uint8_t *entry, unsigned i, uint8_t *out);
/* `count` slots that are free and behind each other; the directory grows if it must. */
vmk_status fat_slots_find(struct fat_node *dir, unsigned count, uint32_t *first,
                          bool *past_end);
vmk_status fat_name_add(struct fat_node *dir, struct fat_name *name, const uint8_t *entry,
                        uint64_t *place);
vmk_status fat_name_remove(struct fat_node *dir, const struct fat_found *f);

/* ---- fat_node.c ---- */

uint32_t fat_entry_first(const struct fat_volume *v, const uint8_t *e);
/* The number that a file with its entry at `place` has or would have. */
uint64_t fat_inode_of(struct fat_volume *v, uint64_t place);
struct fat_node *fat_node_new(struct fat_volume *v, const uint8_t *entry, uint64_t place);
void fat_time_put(int64_t ns, uint8_t *date_and_time, bool date_only);
