// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_internal.h -- what the files of vmfs/ share: the volume and its layers.
 *
 *   vmfs_volume.c   extents, superblock, mount
 *   vmfs_cache.c    metadata sectors, operations that can be undone
 *   vmfs_journal.c  making a set of changed sectors durable as one
 *   vmfs_lock.c     heartbeats and on-disk locks
 *   vmfs_resource.c the bitmaps: file blocks, descriptors, sub-blocks, pointer blocks
 *   vmfs_fd.c       descriptors and the map from file offset to block
 *   vmfs_dir.c      names;  vmfs_names.c  finding them in large directories
 *   vmfs_file.c     contents
 *   vmfs_format.c   making a volume;  vmfs_check.c  judging one
 */
#pragma once

#include "fs/vmfs/vmfs.h"
#include "fs/vmfs/vmfs_format.h"
#include "lib/list.h"
#include "world/mutex.h"

#define CACHE_BUCKETS     1024u
#define CACHE_CLEAN_MAX   16384u  // sectors: 8 MiB and their heads
#define TXN_AUTO          900u    // so many changed sectors commit by themselves
#define TXN_MAX           1800u   // what one journal block can hold, with its table
#define NAME_TABLES       4u      // directories whose names are in memory
#define NAMES_LEAST       64u     // entries: smaller ones are searched
#define NAMES_MOST        (1u << 20)
#define DIR_CHUNK         29u  // entries read at once: 4,060 bytes
#define LOCKS_AUTO        96u  // so many held locks are let go by themselves
#define LOCKS_AHEAD       8u   // descriptors in 16 KiB, whose locks are read together
#define LV_AT_ONCE        8u   // requests to a device at once

#define SYSTEM_BLOCKS_MAX 1024u  // file blocks of a system file
#define PIECES_MAX        64u    // of the volume, each in one run on its device

struct vmfs_extent {
    struct block_device *device;
    uint64_t first_pe, pes;
    uint64_t data;  // where on the device
};

/* A metadata sector in memory. */
struct meta_sector {
    struct meta_sector *next;  // in its bucket
    struct list dirty_link;    // oldest first
    uint64_t address;          // in the logical volume
    uint64_t op;               // last operation that saved it for undo
    bool dirty;
    bool covered;  // no other host can change it: a lock of ours protects it
    uint8_t data[VMFS_SECTOR];
};

struct undo_sector {
    struct list link;
    struct meta_sector *sector;
    bool was_dirty;
    uint8_t data[VMFS_SECTOR];
};

struct held_lock {
    struct list link;
    uint64_t address;
    uint64_t token;
    uint32_t pins;  // open files and mounts that need it
    bool in_txn;    // protects something in the running transaction
    uint8_t image[VMFS_SECTOR];
    uint8_t freed[VMFS_SECTOR];  // the same, let go
};

/* Another host's heartbeat as last seen, while something of it is wanted. */
struct hb_watch {
    uint64_t address;
    plat_ns since;
    uint8_t image[VMFS_SECTOR];
};

/* The lock of a free descriptor as it was read along with another's. */
struct lock_ahead {
    uint64_t address;  // 0: none
    uint8_t image[VMFS_SECTOR];
};

enum resource_kind {
    RES_FBB,
    RES_FDC,
    RES_PBC,
    RES_SBC,
    RES_PB2,
    RES_COUNT,
};

struct resource {
    uint32_t per_cluster, per_group, header, item_size, group_size, total, groups, clusters;
    uint32_t lock_type;
    uint32_t hint;                            // cluster where the last search ended
    uint32_t file_blocks[SYSTEM_BLOCKS_MAX];  // file block numbers of the system file
    uint32_t file_block_count;
    uint8_t fb_shift;  // as the volume's
};

struct open_file {
    struct list link;
    vmfs_id id;
    uint32_t opens, exclusive;
    bool nameless;  // its lock is pinned, so that no other host takes it for an orphan
};

struct vmfs_volume {
    struct mutex mutex;  // everything below
    struct vmfs_extent extents[PIECES_MAX];
    unsigned extent_count, device_count;
    bool scattered;  // a device has more than one of them: it is not grown
    uint64_t size;   // bytes of the logical volume
    uint8_t super[VMFS_SECTOR];
    uint8_t fb_shift, sb_shift;  // 20 and 13, but on volumes that were VMFS-3 once
    bool old_geometry;           // such a volume: only read
    uint64_t descriptors;        // where the root's descriptor lies
    uint32_t root_generation;
    struct vmfs_mount how;
    vmk_status dead;  // FENCED, or the error that stopped it; VMK_OK: alive
    bool unflushed;   // something was written that only a FLUSH makes durable

    struct meta_sector *buckets[CACHE_BUCKETS];
    struct list dirty;
    struct list undo;
    uint32_t dirty_count, clean_count;
    bool any_uncovered;  // a sector may be in memory that no lock of ours protects
    uint64_t op;
    uint64_t hits, misses;

    struct list locks;  // empty in a private volume
    unsigned lock_count;
    struct lock_ahead ahead[LOCKS_AHEAD];
    uint64_t burying;      // slot of the dead host whose things are being given back
    uint64_t bury_wanted;  // slot whose host was found dead in the middle of an operation
    bool orphans_wanted;   // a host was buried: it may have left files without names
    struct mutex beat;     // inside `mutex`, or alone: hb_image and beaten
    uint8_t hb_image[VMFS_SECTOR];
    uint64_t hb_address, hb_generation;
    plat_ns beaten;  // the last beat that came through was begun then
    struct hb_watch watches[4];
    uint64_t lock_waits, locks_broken, replays, buried;
    uint64_t holder_beats;  // (a)

    uint32_t journal_fb;
    uint32_t journal_at;  // next sector of the ring
    uint64_t journal_sequence;
    uint8_t *journal_buffer;
    uint64_t transactions;

    struct resource resources[RES_COUNT];
    uint32_t *freed;  // addresses freed by the running transaction: not to be reused yet
    uint32_t freed_count, freed_room, freed_before;

    struct list open_files;

    struct name_table *names[NAME_TABLES];
    uint64_t names_uses;
    uint64_t names_changed;  // the operation that changed a table last
};

/* ---- volume: raw access to the logical volume; [switch] ---- */
must_check vmk_status lv_read(struct vmfs_volume *v, uint64_t address, void *to, uint64_t size);
must_check vmk_status lv_write(struct vmfs_volume *v, uint64_t address, const void *from,
                               uint64_t size);
must_check vmk_status lv_write_fua(struct vmfs_volume *v, uint64_t address, const void *from,
                                   uint64_t size);
/* Sectors from `data`, each to its place in the table; several at once. */
must_check vmk_status lv_write_sectors(struct vmfs_volume *v, const uint8_t *table,
                                       uint8_t *data, uint32_t count);
must_check vmk_status lv_flush(struct vmfs_volume *v);
/* Compare-and-write of one sector; in a private volume a plain write. */
must_check vmk_status lv_swap(struct vmfs_volume *v, uint64_t address, const void *expected,
                              const void *fresh);

/* The same of up to LV_AT_ONCE at once; each has its outcome. */
struct lv_swap {
    uint64_t address;
    const void *expected, *fresh;
    vmk_status status;
};
void lv_swap_many(struct vmfs_volume *v, struct lv_swap *swaps, uint32_t count);
/* Commits; if many locks are held, makes all durable in place and lets them go. */
must_check vmk_status volume_settle(struct vmfs_volume *v);
uint32_t volume_seconds(const struct vmfs_volume *v);
/* Locks the mutex and says whether the volume may be used (written, if `write`). */
must_check vmk_status volume_enter(struct vmfs_volume *v, bool write);
/* Drops what is not covered and unlocks. Returns `status`. */
vmk_status volume_leave(struct vmfs_volume *v, vmk_status status);
void *vmfs_alloc(size_t size);

/* ---- cache ---- */
must_check vmk_status meta_get(struct vmfs_volume *v, uint64_t address, bool covered,
                               struct meta_sector **out);
/* The same without reading: the caller writes all of it. */
must_check vmk_status meta_new(struct vmfs_volume *v, uint64_t address,
                               struct meta_sector **out);
/* Before changing ->data. NO_MEMORY. */
must_check vmk_status meta_dirty(struct vmfs_volume *v, struct meta_sector *s);
/*
 * `size` bytes are wanted: if some are not in memory, they and what follows, up to `ahead`, are
 * read at once.
 * Only a hint.
 */
void meta_prefetch(struct vmfs_volume *v, uint64_t address, size_t size, size_t ahead,
                   bool covered);
void meta_drop_uncovered(struct vmfs_volume *v);
void meta_drop_clean(struct vmfs_volume *v);
void meta_forget_all(struct vmfs_volume *v);
/* An operation: all its changes, or none. It may start with a commit of earlier ones. */
must_check vmk_status op_begin(struct vmfs_volume *v);
/* OK keeps the changes, anything else takes them back. Returns `status`. */
vmk_status op_end(struct vmfs_volume *v, vmk_status status);
must_check vmk_status word_get(struct vmfs_volume *v, uint64_t address, bool covered,
                               uint32_t *value);
must_check vmk_status word_put(struct vmfs_volume *v, uint64_t address, uint32_t value);
must_check vmk_status bytes_get(struct vmfs_volume *v, uint64_t address, bool covered, void *to,
                                size_t size);
must_check vmk_status bytes_put(struct vmfs_volume *v, uint64_t address, const void *from,
                                size_t size);

/* ---- journal ---- */
must_check vmk_status journal_commit(struct vmfs_volume *v);
/* Applies what a dead host's journal holds; its locks decide what is still its business. */
/*
 * OK: journal_replay() knows what a dead host's journal holds. UNSUPPORTED: it is ESXi's, with
 * something in it.
 */
must_check vmk_status journal_is_ours(struct vmfs_volume *v, const uint8_t *hb_image);
must_check vmk_status journal_replay(struct vmfs_volume *v, const uint8_t *hb_image);

/* ---- locks ---- */
must_check vmk_status hb_claim(struct vmfs_volume *v);
/* Between operations: the host whose lock was wanted has been silent for long enough. */
must_check vmk_status hb_bury_wanted(struct vmfs_volume *v);
must_check vmk_status hb_name_journal(struct vmfs_volume *v, uint32_t block);
must_check vmk_status hb_beat(struct vmfs_volume *v);
/*
 * Before anything that only a host taken for alive may do: beats if the last beat is
 * HB_LEASE_NS old.
 */
must_check vmk_status hb_lease(struct vmfs_volume *v);
void hb_release(struct vmfs_volume *v);
/* CONTENDED: somebody alive has it. FENCED, CORRUPT (not a lock). Nothing dirty there yet. */
must_check vmk_status lock_acquire(struct vmfs_volume *v, uint64_t address, uint32_t type);
struct held_lock *lock_find(const struct vmfs_volume *v, uint64_t address);
bool lock_covers(const struct vmfs_volume *v, uint64_t address);
/* Writes and takes the lock of an object that was free; its cluster's lock is held. */
must_check vmk_status lock_create(struct vmfs_volume *v, uint64_t address, uint32_t type);
/* Lets go of all locks without pins. Everything must be durable. */
must_check vmk_status locks_release(struct vmfs_volume *v);
void locks_forget(struct vmfs_volume *v);
/* The one reading of a lock sector. */
struct vmfs_lock_info lock_fields(const uint8_t *sector);
/* Makes the image of a fresh, free lock. */
void lock_image_make(uint8_t *image, uint32_t type, uint64_t address, uint64_t mtime);

/* ---- resources ---- */
must_check vmk_status resources_load(struct vmfs_volume *v);
enum resource_kind resource_of(uint32_t address);
/* Where the item lies; 0 if the address is outside the volume's tables. */
uint64_t resource_position(const struct vmfs_volume *v, uint32_t address);
/*
 * The same of byte `in` of it; *part becomes less if fewer bytes follow there (sub-blocks of 64
 * KiB may lie across two file blocks).
 */
uint64_t resource_span(const struct vmfs_volume *v, uint32_t address, uint64_t in,
                       size_t *part);
uint64_t resource_cluster_position(const struct resource *r, uint32_t cluster);
/* Bytes of a file block and of a sub-block. */
static inline uint64_t fb_size(const struct vmfs_volume *v)
{
    return 1ull << v->fb_shift;
}
static inline uint64_t sb_size(const struct vmfs_volume *v)
{
    return 1ull << v->sb_shift;
}
/*
 * Takes one; `near` is a cluster to begin at, UINT32_MAX: go on where the last ended. NO_SPACE.
 */
must_check vmk_status resource_alloc(struct vmfs_volume *v, enum resource_kind kind,
                                     uint32_t near, uint32_t *address, uint32_t *generation);
must_check vmk_status resource_free(struct vmfs_volume *v, uint32_t address);
must_check vmk_status resource_count_free(struct vmfs_volume *v, enum resource_kind kind,
                                          uint64_t *count);
/* The file blocks become `total`; the volume has them already. May commit. */
must_check vmk_status resource_grow(struct vmfs_volume *v, uint32_t total);
/* Writes the LVM heads for `count` devices, of which the last may be new. */
must_check vmk_status lvm_grow(struct vmfs_volume *v, struct block_device *const *devices,
                               const uint64_t *pes, unsigned count);
/* Is a heartbeat in use that is not ours? */
must_check vmk_status hb_others(struct vmfs_volume *v, bool *others);
must_check vmk_status zero_range(struct vmfs_volume *v, uint64_t at, uint64_t size);
/* The journal block: taken and given back in place, outside any transaction. */
must_check vmk_status journal_block_take(struct vmfs_volume *v, uint32_t *block);
must_check vmk_status journal_block_give(struct vmfs_volume *v, uint32_t block);

/* ---- descriptors ---- */
struct fd {
    struct vmfs_volume *v;
    uint32_t address;
    uint64_t position;  // of its lock sector
    bool covered;
    struct meta_sector *meta;
};

/* Loads and checks one; `write` also takes its lock. NOT_FOUND: freed or reused meanwhile. */
must_check vmk_status fd_get(struct vmfs_volume *v, vmfs_id id, bool write, struct fd *fd);
static inline uint32_t fd_u32(const struct fd *fd, enum fd_field field)
{
    return le32(fd->meta->data + field);
}
static inline uint64_t fd_length(const struct fd *fd)
{
    return le64(fd->meta->data + FD_LENGTH);
}
/* log2 of the size of what its map names: file blocks or sub-blocks. */
uint32_t fd_shift(const struct fd *fd);
must_check vmk_status fd_put32(struct fd *fd, enum fd_field field, uint32_t value);
must_check vmk_status fd_put64(struct fd *fd, enum fd_field field, uint64_t value);
must_check vmk_status fd_touch(struct fd *fd);  // mtime and ctime
/* Fills a new descriptor. */
must_check vmk_status fd_make(struct vmfs_volume *v, enum vmfs_type type, uint32_t mode,
                              uint32_t uid, uint32_t gid, uint32_t near, struct fd *fd);
/* Gives back the descriptor; its blocks are gone already. */
must_check vmk_status fd_free(struct fd *fd);

/* The address in the map for the block that holds `offset`; ADDR_NONE for a hole. */
must_check vmk_status map_get(struct fd *fd, uint64_t offset, uint32_t *address);
/* The same, giving the hole a block (`tbz`: marked to be zeroed). *fresh: it was a hole. */
must_check vmk_status map_make(struct fd *fd, uint64_t offset, bool tbz, uint32_t *address,
                               bool *fresh);
must_check vmk_status map_put(struct fd *fd, uint64_t offset, uint32_t address);
/*
 * Turns the map into one that reaches `length` (resident, sub-blocks, blocks, pointer blocks).
 */
must_check vmk_status map_fit(struct fd *fd, uint64_t length);
/*
 * Frees what lies wholly behind `length`, from the end, at most `budget` blocks. *left is how
 * far the map may still reach: `length`, or more, and then it has to be called again.
 */
must_check vmk_status map_cut(struct fd *fd, uint64_t length, unsigned budget, uint64_t *left);
/* Bytes of metadata-like content (directories, symbolic links), through the cache. */
must_check vmk_status content_get(struct fd *fd, uint64_t offset, void *to, size_t size);
/* The same of content, as far as it lies together. */
void content_prefetch(struct fd *fd, uint64_t offset, size_t size, size_t ahead);
must_check vmk_status content_put(struct fd *fd, uint64_t offset, const void *from,
                                  size_t size);

/* ---- names ---- */

static inline size_t entry_name_length(const char *name)
{
    size_t n = 0;

    while (n < 128 && name[n])
        n++;
    return n;
}
/* content_get() that expects to go on. */
must_check vmk_status dir_read(struct fd *dir, uint64_t offset, void *to, size_t size);
bool entry_is(const uint8_t *entry, const char *name, size_t length);
/* OK, NOT_FOUND, or AGAIN: search the directory. */
must_check vmk_status names_find(struct fd *dir, const char *name, size_t length,
                                 uint64_t *index, uint8_t found[DIRENT_SIZE]);
/*
 * Before the directory's length changes: a name behind its last; entry `index`, whose place the
 * last takes.
 */
void names_added(struct fd *dir, const char *name, size_t length);
void names_removed(struct fd *dir, uint64_t index, const uint8_t *entry, const uint8_t *last);
/* The running operation is taken back. */
void names_undo(struct vmfs_volume *v);
void names_forget(struct vmfs_volume *v);

struct open_file *open_find(const struct vmfs_volume *v, uint32_t address);
/* The last name of a file is gone: it is destroyed now, or at the last close. */
must_check vmk_status file_nameless(struct vmfs_volume *v, vmfs_id id);
/* Frees a file without names that nobody has open, in as many operations as it takes. */
must_check vmk_status file_destroy(struct vmfs_volume *v, vmfs_id id);
