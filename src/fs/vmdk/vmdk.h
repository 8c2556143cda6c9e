// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk.h -- virtual disks in files: open, read, write, create, clone, snapshot.
 *
 *     descriptor  vm-000001.vmdk  parentCID ----> vm.vmdk          text: what the disk is
 *     extents     vm-000001-delta.vmdk            vm-flat.vmdk     bytes: what is on it
 *
 * Kinds of extents: flat (FLAT, VMFS), hosted sparse (SPARSE: monolithicSparse,
 * twoGbMaxExtentSparse, streamOptimized, the last one read only), ESX sparse (VMFSSPARSE: redo
 * logs), ZERO. The code knows files only through struct vmdk_store, so that the kernel,
 * vmfs-tool and the program vmkfstools run the same. One world at a time uses one open disk;
 * vmdk_device.h puts a queue in front of it.
 */
#pragma once

#include "core/status.h"
#include "lib/types.h"

#define VMDK_NAME_MAX  512u  // bytes of a file's path, with NUL
#define VMDK_SECTOR    512u
#define VMDK_CHAIN_MAX 64u  // disk and parents
#define VMDK_NO_PARENT 0xffffffffu

/* ---- where the files are ---- */

enum vmdk_open_how {
    VMDK_OPEN_READ,
    VMDK_OPEN_WRITE,
    VMDK_OPEN_CREATE,  // a new file; EXISTS if there is one
};

enum vmdk_provision {
    VMDK_THIN,          // nothing: space comes with the first write
    VMDK_ZEROED_THICK,  // space is there, zeroed when first touched
    VMDK_EAGER_ZEROED,  // space is there and zero
    VMDK_MONO_FLAT,     // monolithicFlat: the hosted products' flat disk
    VMDK_MONO_SPARSE,   // monolithicSparse
    VMDK_STREAM,        // streamOptimized: compressed, for export; by vmdk_clone() only
};
/* "thin", "zeroedthick", "eagerzeroedthick", ...; false: no such name. */
must_check bool vmdk_provision_find(const char *name, enum vmdk_provision *out);

struct vmdk_store;
struct vmdk_store_ops {
    /* `name` as the caller of vmdk_open() gave it, or beside that. */
    vmk_status (*open)(struct vmdk_store *store, const char *name, enum vmdk_open_how how,
                       void **file);
    void (*close)(struct vmdk_store *store, void *file);
    /* Past the end: zeros. */
    vmk_status (*read)(struct vmdk_store *store, void *file, uint64_t offset, void *to,
                       size_t size);
    vmk_status (*write)(struct vmdk_store *store, void *file, uint64_t offset, const void *from,
                        size_t size);
    vmk_status (*size)(struct vmdk_store *store, void *file, uint64_t *size);
    vmk_status (*truncate)(struct vmdk_store *store, void *file, uint64_t size);
    vmk_status (*sync)(struct vmdk_store *store, void *file);
    vmk_status (*rename)(struct vmdk_store *store, const char *from, const char *to);
    vmk_status (*remove)(struct vmdk_store *store, const char *name);
    /*
     * May be null, or answer UNSUPPORTED: then zeros are written. Makes it at least that long.
     */
    vmk_status (*allocate)(struct vmdk_store *store, void *file, uint64_t size,
                           enum vmdk_provision how);
    /* Bytes that occupy space. May be null. */
    vmk_status (*used)(struct vmdk_store *store, void *file, uint64_t *bytes);
    /* Contents become zeros or stay. May be null. */
    vmk_status (*discard)(struct vmdk_store *store, void *file, uint64_t offset, uint64_t size);
    uint64_t (*random)(struct vmdk_store *store);
};
struct vmdk_store {
    const struct vmdk_store_ops *ops;
    void *context;
};

/* Gets one line per problem, with file, line and field; null: nobody. */
struct vmdk_report {
    void (*line)(void *argument, const char *text);
    void *argument;
};

/* ---- descriptors ---- */

enum vmdk_extent_type {
    VMDK_FLAT,
    VMDK_VMFS,
    VMDK_SPARSE,
    VMDK_VMFS_SPARSE,
    VMDK_ZERO,
};

struct vmdk_extent {
    bool writable;  // RW
    enum vmdk_extent_type type;
    uint64_t sectors, offset;  // offset: FLAT, where it begins in the file
    char name[256];
};

struct vmdk_descriptor {
    uint32_t version, cid, parent_cid;
    char create_type[32];
    char parent_hint[VMDK_NAME_MAX];
    uint32_t hw_version, tools_version, cylinders, heads, sectors;
    char adapter[16], uuid[56], long_content_id[40];
    bool thin;
    uint64_t capacity;  // sectors
    unsigned extent_count;
    struct vmdk_extent *extents;  // from the heap
    char *other;                  // lines we do not know, each with its end; from the heap
    size_t cid_at, cid_length;    // where the value of CID stands in the text
};

#define VMDK_DESCRIPTOR_MAX 65536u
#define VMDK_EXTENTS_MAX    1024u
/* BAD_FORMAT, UNSUPPORTED, NO_MEMORY; reported by line. `name` is for the report. */
must_check vmk_status vmdk_descriptor_parse(const char *text, size_t size, const char *name,
                                            const struct vmdk_report *report,
                                            struct vmdk_descriptor **out);
void vmdk_descriptor_free(struct vmdk_descriptor *d);
/* As snprintf: the length the whole text has. */
size_t vmdk_descriptor_write(const struct vmdk_descriptor *d, char *out, size_t size);

/* ---- disks ---- */

struct vmdk;

/*
 * Opens a disk and its chain of parents; only the first is written to. BAD_FORMAT and CORRUPT
 * are reported; NOT_FOUND (a file), UNSUPPORTED (kind), READ_ONLY (stream).
 */
must_check vmk_status vmdk_open(struct vmdk_store *store, const char *name, bool read_only,
                                const struct vmdk_report *report, struct vmdk **out);
/* Flushes. The error of the flush, but closed. */
vmk_status vmdk_close(struct vmdk *disk);
uint64_t vmdk_capacity(const struct vmdk *disk);  // bytes
bool vmdk_read_only(const struct vmdk *disk);
/* Of layer `depth`, 0 the disk itself; null past the last parent. */
const struct vmdk_descriptor *vmdk_descriptor_of(const struct vmdk *disk, unsigned depth);

/* Any bytes within the disk. */
must_check vmk_status vmdk_read(struct vmdk *disk, uint64_t offset, void *to, size_t size);
/* A power cut loses nothing that was written before the last vmdk_flush(), and no neighbour. */
must_check vmk_status vmdk_write(struct vmdk *disk, uint64_t offset, const void *from,
                                 size_t size);
must_check vmk_status vmdk_flush(struct vmdk *disk);
/* The bytes may become zeros. */
must_check vmk_status vmdk_discard(struct vmdk *disk, uint64_t offset, uint64_t size);
/*
 * True with *length set if nothing is stored from `offset` on for so long: zeros in every
 * layer.
 */
must_check vmk_status vmdk_is_hole(struct vmdk *disk, uint64_t offset, uint64_t size,
                                   bool *hole, uint64_t *length);

/* ---- what vmkfstools does; each needs the disk closed ---- */

struct vmdk_progress {
    void (*step)(void *argument, uint64_t done, uint64_t of);
    void *argument;
};

struct vmdk_create {
    uint64_t size;  // bytes, a multiple of a sector
    enum vmdk_provision how;
    const char *adapter;  // null: lsilogic
};
/*
 * A new disk: descriptor and extents. EXISTS; UNSUPPORTED: streamOptimized, which only a clone
 * makes.
 */
must_check vmk_status vmdk_create(struct vmdk_store *store, const char *name,
                                  const struct vmdk_create *what,
                                  const struct vmdk_progress *progress);
/* A delta disk over `parent`. */
must_check vmk_status vmdk_snapshot(struct vmdk_store *store, const char *parent,
                                    const char *name, const struct vmdk_report *report);
must_check vmk_status vmdk_clone(struct vmdk_store *from_store, const char *from,
                                 struct vmdk_store *to_store, const char *to,
                                 enum vmdk_provision how, const struct vmdk_report *report,
                                 const struct vmdk_progress *progress);
/* Flat disks: all space is there and zero afterwards. */
must_check vmk_status vmdk_inflate(struct vmdk_store *store, const char *name,
                                   const struct vmdk_report *report,
                                   const struct vmdk_progress *progress);
/* Flat disks without a parent. BAD_PARAM: smaller than it is. */
must_check vmk_status vmdk_extend(struct vmdk_store *store, const char *name, uint64_t size,
                                  enum vmdk_provision how, const struct vmdk_report *report,
                                  const struct vmdk_progress *progress);
/* Descriptor and extents; parents stay. */
must_check vmk_status vmdk_remove(struct vmdk_store *store, const char *name,
                                  const struct vmdk_report *report);
/* Extents that are named after the disk get the new name too. */
must_check vmk_status vmdk_rename(struct vmdk_store *store, const char *from, const char *to,
                                  const struct vmdk_report *report);

struct vmdk_check_result {
    uint64_t grains, grain_size;  // allocated in the disk itself
    unsigned problems;
};
/* Tables of a sparse disk: every grain in the file, none used twice, copies alike. */
must_check vmk_status vmdk_check(struct vmdk_store *store, const char *name,
                                 const struct vmdk_report *report,
                                 struct vmdk_check_result *out);
