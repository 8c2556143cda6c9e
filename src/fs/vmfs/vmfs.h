// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs.h -- VMFS-5 volumes: format, mount, and the operations on files.
 *
 * The file system knows block devices and nothing of VFS or worlds beyond a sleeping lock, so
 * that the kernel, build/vmfs-tool and tests run the same code. All calls: world context,
 * nothing locked; each takes the volume's mutex. [switch]
 *
 * A file is named by its descriptor address (a number that is unique on the volume while the
 * file exists) and the generation that guards it against reuse.
 */
#pragma once

#include "core/status.h"
#include "io/block.h"

struct vmfs_volume;

typedef struct {
    uint32_t address;
    uint32_t generation;
} vmfs_id;

struct vmfs_uuid {
    uint8_t raw[16];
};
#define VMFS_UUID_TEXT 36u  // with the final zero
/* As ESXi prints it: 8-8-4-12 hexadecimal digits. */
void vmfs_uuid_text(const struct vmfs_uuid *uuid, char out[VMFS_UUID_TEXT]);
/* u32 time, u32, u16, u8 mac[6] from three random words. */
struct vmfs_uuid vmfs_uuid_make(uint64_t seconds, uint64_t random_a, uint64_t random_b);

struct vmfs_format {
    const char *label;
    uint64_t seconds;       // since 1970
    uint64_t random[4];     // for UUIDs
    struct vmfs_uuid host;  // who formats
};
/*
 * Makes a VMFS-5 volume over 1..32 devices, of which each holds at least one 256 MiB extent
 * behind 17 MiB of metadata. All that was there is lost. BAD_PARAM (label, count), NO_SPACE
 * (too small), or the device's error.
 */
must_check vmk_status vmfs_format(struct block_device *const *devices, unsigned count,
                                  const struct vmfs_format *how);

struct vmfs_mount {
    struct vmfs_uuid host;  // this host; two hosts must differ
    const char *host_text;  // address shown in the heartbeat; may be null
    bool read_only;         // no heartbeat, no locks, no replay
    bool private_volume;    // devices without COMPARE_WRITE, one host only
    bool break_stale;       // offline tools: another host's stale-looking slot counts as dead
    uint64_t (*seconds)(void);  // since 1970
    /*
     * Lets a second pass: on a small volume every cluster of blocks may be locked by others,
     * alive or dead, when the journal wants one. Null: the mount answers CONTENDED then.
     */
    void (*wait)(void);
};
/*
 * CORRUPT, BAD_FORMAT, NOT_FOUND (an extent is missing), UNSUPPORTED (version); the log says
 * where.
 */
must_check vmk_status vmfs_mount(struct block_device *const *devices, unsigned count,
                                 const struct vmfs_mount *how, struct vmfs_volume **volume);
/*
 * Commits, releases all locks and the heartbeat, frees. The error of the last commit, but gone.
 */
vmk_status vmfs_unmount(struct vmfs_volume *volume);
/* The host died: forgets everything without a write. For tests and for a fenced host. */
void vmfs_abandon(struct vmfs_volume *volume);

/* What the head of a device says about the volume it is part of. */
struct vmfs_extent_info {
    struct vmfs_uuid volume;  // of the logical volume, the same on all its devices
    uint32_t devices;         // that the volume has
    uint64_t first;           // where this one begins in the volume, in 256 MiB
    uint64_t size;            // bytes it gives
};
/* BAD_FORMAT: nothing of VMFS-5 there; or the device's error. Logs nothing. */
must_check vmk_status vmfs_probe(struct block_device *device, struct vmfs_extent_info *out);

struct vmfs_statistics {
    char label[129];
    struct vmfs_uuid uuid;
    uint32_t version;  // 5, or 3: only read
    uint32_t major, minor, extents;
    uint64_t size, free;  // bytes
    uint64_t files, files_free, sub_blocks, sub_blocks_free, pointer_blocks,
        pointer_blocks_free;
    uint64_t transactions, journal_replays, lock_waits, locks_broken, cache_hits, cache_misses;
};
/* What is used and free now, by the bitmaps. */
must_check vmk_status vmfs_statistics(struct vmfs_volume *volume, struct vmfs_statistics *out);
/* Durable when it returns. BAD_PARAM: empty, too long for the superblock, or with a slash. */
must_check vmk_status vmfs_label_set(struct vmfs_volume *volume, const char *label);

/*
 * The volume becomes larger: its last device has grown (extent null), or `extent` joins it and
 * must live as long. Only while no other host has it mounted (BUSY). NO_SPACE: nothing to gain.
 * A power cut leaves the old size or the new one, or new space that is not used until this is
 * called again.
 */
must_check vmk_status vmfs_grow(struct vmfs_volume *volume, struct block_device *extent);

/*
 * Every few seconds (HB_BEAT_NS): beats, commits, lets go of locks nobody here needs. FENCED:
 * stop. vmfs_beat() only beats, and waits for no other call: a world that does nothing else
 * should call it.
 */
must_check vmk_status vmfs_beat(struct vmfs_volume *volume);
must_check vmk_status vmfs_tick(struct vmfs_volume *volume);
/* How often a host whose lock was wanted here was seen to be alive. */
uint64_t vmfs_holder_beats(struct vmfs_volume *volume);
bool vmfs_is_read_only(const struct vmfs_volume *volume);
struct vmfs_uuid vmfs_logical_uuid(const struct vmfs_volume *volume);
/* The extents' devices, with commas, as many as fit. */
void vmfs_device_names(const struct vmfs_volume *volume, char *out, size_t size);
/* What is done so far is durable when it returns. */
must_check vmk_status vmfs_sync(struct vmfs_volume *volume);

enum vmfs_type {
    VMFS_DIRECTORY = 2,
    VMFS_FILE = 3,
    VMFS_SYMLINK = 4,
    VMFS_SYSTEM = 5,
    VMFS_RDM = 6,
};

struct vmfs_attributes {
    vmfs_id id;
    enum vmfs_type type;
    uint32_t links, mode, uid, gid;
    uint64_t length, blocks, block_size, tbz_blocks;
    uint32_t mtime, ctime, atime;
    uint32_t zla;
};

/* The root directory. */
vmfs_id vmfs_root(struct vmfs_volume *volume);
/* One name in one directory; the name need not end with a zero. NOT_FOUND, NOT_DIR. */
must_check vmk_status vmfs_lookup(struct vmfs_volume *volume, vmfs_id directory,
                                  const char *name, size_t length, vmfs_id *found);
/* Follows a path from the root; no symbolic links. For tools. */
must_check vmk_status vmfs_walk(struct vmfs_volume *volume, const char *path, vmfs_id *found);
must_check vmk_status vmfs_attributes(struct vmfs_volume *volume, vmfs_id file,
                                      struct vmfs_attributes *out);
#define VMFS_SET_MODE  1u
#define VMFS_SET_OWNER 2u
#define VMFS_SET_MTIME 4u
#define VMFS_SET_ATIME 8u
/* The VMFS_SET_* of `what`. */
must_check vmk_status vmfs_attributes_set(struct vmfs_volume *volume, vmfs_id file,
                                          unsigned what, const struct vmfs_attributes *from);

/*
 * `target` for symbolic links only. EXISTS, NAME_TOO_LONG, NO_SPACE, NOT_DIR, BUSY (contended).
 */
must_check vmk_status vmfs_create(struct vmfs_volume *volume, vmfs_id directory,
                                  const char *name, enum vmfs_type type, uint32_t mode,
                                  uint32_t uid, uint32_t gid, const char *target,
                                  vmfs_id *made);
/* Directories must be empty. The storage goes with the last name and the last vmfs_open(). */
must_check vmk_status vmfs_remove(struct vmfs_volume *volume, vmfs_id directory,
                                  const char *name, bool is_directory);
must_check vmk_status vmfs_link(struct vmfs_volume *volume, vmfs_id file, vmfs_id directory,
                                const char *name);
/* Replaces an existing target as POSIX says. */
must_check vmk_status vmfs_rename(struct vmfs_volume *volume, vmfs_id from, const char *name,
                                  vmfs_id to, const char *new_name);

struct vmfs_entry {
    char name[129];
    enum vmfs_type type;
    vmfs_id id;
};
/* Entry `index`; NOT_FOUND past the end. Indices move when entries are removed. */
must_check vmk_status vmfs_entry(struct vmfs_volume *volume, vmfs_id directory, uint64_t index,
                                 struct vmfs_entry *out);

/* Up to `room` entries from `index` on; *got is 0 at the end. */
must_check vmk_status vmfs_entries(struct vmfs_volume *volume, vmfs_id directory,
                                   uint64_t index, struct vmfs_entry *out, unsigned room,
                                   unsigned *got);

/*
 * An open file keeps its storage when its last name goes, and, if exclusive, its on-disk lock,
 * so that no other host opens it so. CONTENDED: another host has it.
 */
must_check vmk_status vmfs_open(struct vmfs_volume *volume, vmfs_id file, bool exclusive);
void vmfs_close(struct vmfs_volume *volume, vmfs_id file, bool exclusive);

/* *got is less than `size` at the end of the file. What was never written reads as zeros. */
must_check vmk_status vmfs_read(struct vmfs_volume *volume, vmfs_id file, uint64_t offset,
                                void *to, size_t size, size_t *got);
/* The file grows as it must. Durable after vmfs_sync(). */
must_check vmk_status vmfs_write(struct vmfs_volume *volume, vmfs_id file, uint64_t offset,
                                 const void *from, size_t size);
/* The same; *done is what was written before an error. */
must_check vmk_status vmfs_write_some(struct vmfs_volume *volume, vmfs_id file, uint64_t offset,
                                      const void *from, size_t size, size_t *done);
/* Shorter: blocks behind are freed. Longer: reads as zeros, no blocks. */
must_check vmk_status vmfs_truncate(struct vmfs_volume *volume, vmfs_id file, uint64_t length);

enum vmfs_provision {
    VMFS_THIN,          // nothing: blocks come with the first write
    VMFS_ZEROED_THICK,  // blocks are there, zeroed when first touched
    VMFS_EAGER_ZEROED,  // blocks are there and zero
};
/* Gives [0, length) its blocks and makes the file at least that long. */
must_check vmk_status vmfs_allocate(struct vmfs_volume *volume, vmfs_id file, uint64_t length,
                                    enum vmfs_provision how);
/* A lock as it stands on disk. */
struct vmfs_lock_info {
    uint64_t address, heartbeat, heartbeat_generation, token, mtime;
    uint32_t type, mode, holders;
    struct vmfs_uuid owner;
};
/* That of a file. */
must_check vmk_status vmfs_lock_info(struct vmfs_volume *volume, vmfs_id file,
                                     struct vmfs_lock_info *out);
/* That and the descriptor as lines of text; VMFS_DESCRIBE_SIZE bytes are enough. */
#define VMFS_DESCRIBE_SIZE 1024u
must_check vmk_status vmfs_describe(struct vmfs_volume *volume, vmfs_id file, char *out,
                                    size_t room);

/*
 * Checks every structure against every other; `report` gets one line per problem. Returns how
 * many, or the device's error in *status. Writes nothing.
 */
unsigned vmfs_check(struct vmfs_volume *volume, void (*report)(void *, const char *line),
                    void *argument, vmk_status *status);
