// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk_internal.h -- what the files of virtual disks share.
 */
#pragma once

#include "fs/vmdk/vmdk.h"

struct vmdk_file {
    struct vmdk_store *store;
    void *handle;
    uint64_t size;
};

static inline vmk_status file_read_at(const struct vmdk_file *f, uint64_t offset, void *to,
                                      size_t size)
{
    return f->store->ops->read(f->store, f->handle, offset, to, size);
}
/* By the store's names; `out` keeps the size. */
vmk_status vmdk_file_open(struct vmdk_store *store, const char *name, enum vmdk_open_how how,
                          struct vmdk_file *out);
void vmdk_file_close(struct vmdk_file *file);
/* Keeps file->size right. */
vmk_status vmdk_file_write(struct vmdk_file *file, uint64_t offset, const void *from,
                           size_t size);
vmk_status vmdk_file_sync(struct vmdk_file *file);

/* A line for whoever asked for the operation; `report` may be null. */
void vmdk_say(const struct vmdk_report *report, const char *format, ...) printf_like(2, 3);
/*
 * `name` with its directory replaced or its ".vmdk" followed by something: into VMDK_NAME_MAX
 * bytes.
 */
vmk_status vmdk_beside(const char *path, const char *name, char out[VMDK_NAME_MAX]);
vmk_status vmdk_suffix(const char *path, const char *suffix, char out[VMDK_NAME_MAX]);
bool vmdk_all_zero(const void *data, size_t size);

/* ---- a disk that is open ---- */

struct extent {
    struct vmdk_file file;  // handle null: ZERO, or the layer's main file
    struct vmdk_file *in;   // where its bytes are
    struct vmdk_sparse *sparse;
    const struct vmdk_extent *line;
    uint64_t begin, size;  // bytes of the disk
};

struct layer {
    char name[VMDK_NAME_MAX];
    struct vmdk_file file;  // with the descriptor
    uint64_t text_at;       // where that lies in it
    struct vmdk_descriptor *d;
    struct extent *extents;
    unsigned extent_count;
};

struct vmdk {
    struct vmdk_store *store;
    bool read_only, stream, touched;
    unsigned layer_count;
    uint64_t size;
    struct layer *layers[VMDK_CHAIN_MAX];
    uint8_t *grain;  // room for a new grain
    uint32_t grain_size;
    uint8_t *unpacked;  // streams: the grain whose marker is at unpacked_at of
    const struct extent *unpacked_of;
    uint64_t unpacked_at;
};

/* ---- sparse extents ---- */

enum vmdk_where {
    VMDK_IN_FILE,
    VMDK_IS_ZERO,
    VMDK_ABSENT,      // ask the parent
    VMDK_COMPRESSED,  // one grain
};

struct vmdk_map {
    enum vmdk_where where;
    uint64_t length;  // bytes from the asked offset on that are alike
    uint64_t offset;  // IN_FILE: in the file; COMPRESSED: of the grain's marker
};

struct vmdk_sparse;

/* The header of a hosted or ESX sparse extent is at the file's beginning. */
vmk_status vmdk_sparse_open(struct vmdk_file *file, const char *name, bool writable,
                            const struct vmdk_report *report, struct vmdk_sparse **out);
void vmdk_sparse_free(struct vmdk_sparse *s);
uint64_t vmdk_sparse_sectors(const struct vmdk_sparse *s);
uint32_t vmdk_sparse_grain_size(const struct vmdk_sparse *s);
bool vmdk_sparse_is_stream(const struct vmdk_sparse *s);
/* Where an embedded descriptor lies, in bytes; false: there is none. */
bool vmdk_sparse_descriptor(const struct vmdk_sparse *s, uint64_t *at, size_t *size);
vmk_status vmdk_sparse_map(struct vmdk_sparse *s, uint64_t offset, uint64_t size,
                           struct vmdk_map *out);
/*
 * Space for one grain that is absent or zero, to be filled by the caller; then the tables are
 * told, durably at the next flush.
 */
vmk_status vmdk_sparse_place(struct vmdk_sparse *s, uint64_t *file_offset);
vmk_status vmdk_sparse_enter(struct vmdk_sparse *s, uint64_t offset, uint64_t file_offset);
/* Forgets a grain: it becomes zero. Nothing happens where the format cannot say so. */
vmk_status vmdk_sparse_forget(struct vmdk_sparse *s, uint64_t offset, bool has_parent);
vmk_status vmdk_sparse_flush(struct vmdk_sparse *s);
/* Marks the extent as being written to, or as in order. */
vmk_status vmdk_sparse_unclean(struct vmdk_sparse *s, bool unclean);
vmk_status vmdk_sparse_check(struct vmdk_sparse *s, const char *name,
                             const struct vmdk_report *report, struct vmdk_check_result *out);

/* New extents. `descriptor` is embedded if not null. */
vmk_status vmdk_sparse_create_hosted(struct vmdk_file *file, uint64_t sectors,
                                     const char *descriptor, size_t length);
vmk_status vmdk_sparse_create_esx(struct vmdk_file *file, uint64_t sectors);

#define VMDK_HOSTED_MAGIC 0x564d444bu  // "KDMV" in the file
#define VMDK_ESX_MAGIC    0x44574f43u  // "COWD"

/* ---- compressed grains ---- */

/* Reads the grain whose marker is at `at` into `out`, zeros behind what there is. */
vmk_status vmdk_stream_grain(const struct vmdk_file *file, uint64_t at, uint64_t lba, void *out,
                             uint32_t grain_size);
/* Writes all of `disk` as a streamOptimized file. */
vmk_status vmdk_stream_write(struct vmdk *disk, struct vmdk_file *to, const char *descriptor,
                             size_t length, const struct vmdk_progress *progress);

#define VMDK_GRAIN_SECTORS 128u  // of hosted extents that we make
#define VMDK_GT_ENTRIES    512u
#define VMDK_EMBED_SECTORS 20u

enum vmdk_hosted_field {
    HOSTED_MAGIC = 0,
    HOSTED_VERSION = 4,
    HOSTED_FLAGS = 8,
    HOSTED_CAPACITY = 12,
    HOSTED_GRAIN = 20,
    HOSTED_DESCRIPTOR = 28,
    HOSTED_DESCRIPTOR_SIZE = 36,
    HOSTED_GT_ENTRIES = 44,
    HOSTED_RGD = 48,
    HOSTED_GD = 56,
    HOSTED_OVERHEAD = 64,
    HOSTED_UNCLEAN = 72,
    HOSTED_LINE_ENDS = 73,
    HOSTED_COMPRESSION = 77,
};
#define HOSTED_FLAG_LINE_ENDS  1u
#define HOSTED_FLAG_RGD        2u
#define HOSTED_FLAG_ZERO_GRAIN 4u
#define HOSTED_FLAG_COMPRESSED 0x10000u
#define HOSTED_FLAG_MARKERS    0x20000u
#define HOSTED_GD_AT_END       UINT64_MAX

enum vmdk_esx_field {
    ESX_MAGIC = 0,
    ESX_VERSION = 4,
    ESX_FLAGS = 8,
    ESX_CAPACITY = 12,
    ESX_GRAIN = 16,
    ESX_GD = 20,
    ESX_GD_ENTRIES = 24,
    ESX_NEXT_FREE = 28,
    ESX_UNCLEAN = 1648,
    ESX_HEADER_SIZE = 2048,
};
#define ESX_GT_ENTRIES 4096u

void vmdk_hosted_header(uint8_t *h, uint64_t sectors, uint32_t flags, uint32_t version);
