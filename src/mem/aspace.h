// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/aspace.h -- a user address space: regions, page tables, faults and checked copies.
 *
 * The tables are ordinary x86-64 four-level tables in machine pages. The processor walks them
 * in the image, the engine walks them in the simulation, and the kernel walks them in software:
 * it never dereferences a user pointer, so no copy can fault, whatever the pointer says.
 *
 * Calls that change the map (those that say [map]) must not run at the same time for one
 * address space: user/ serialises them with a sleeping lock. Faults and copies may come at any
 * time, from any CPU. Nothing here may be called with a lock of rank ASPACE or above held; what
 * may read a file says [block].
 */
#pragma once

#include "core/spinlock.h"
#include "core/status.h"
#include "lib/list.h"
#include "mem/addr.h"

/*
 * User addresses are [ASPACE_LOWEST, ASPACE_END). The last page below the hole stays out: a
 * SYSCALL at its end would leave a return address that SYSRET refuses in ring 0.
 */
#define ASPACE_LOWEST 0x10000ull
#define ASPACE_END    0x00007ffffffff000ull

#define ASPACE_READ   1u
#define ASPACE_WRITE  2u
#define ASPACE_EXEC   4u

enum aspace_region_kind {
    ASPACE_REGION_PLAIN,
    ASPACE_REGION_HEAP,   // brk
    ASPACE_REGION_STACK,  // grows down by itself
};

/*
 * What stands behind a mapping that is not private and anonymous. Embedded in the owner's
 * struct. page_get() [block] returns page `index`, which stays that machine page until as many
 * page_put();
 * `write` says that it will be written through the mapping. Another status than NO_MEMORY
 * becomes SIGBUS. page_ref() counts one more user of a page that the caller already uses; it
 * and page_put() never block; page_ref() is called with the address space locked.
 */
struct aspace_object {
    const struct aspace_object_ops *ops;
};
struct aspace_object_ops {
    vmk_status (*page_get)(struct aspace_object *object, uint64_t index, bool write,
                           mpn_t *out);
    void (*page_put)(struct aspace_object *object, uint64_t index, mpn_t page);
    void (*page_ref)(struct aspace_object *object, uint64_t index, mpn_t page);
    void (*ref)(struct aspace_object *object);
    void (*unref)(struct aspace_object *object);  // [block]
    /*
     * What the memory is, whoever mapped it: two mappings of one file have two objects. Null:
     * the object itself.
     */
    const void *(*identity)(const struct aspace_object *object);
    /* For /proc/PID/maps: a name, and the numbers that the line shows. May be null. */
    void (*describe)(struct aspace_object *object, char *name, size_t size, uint64_t *device,
                     uint64_t *inode);
    /*
     * One region more that maps it, or one less. More: an address space may be locked. Less:
     * before its unref() [block]. May be null.
     */
    void (*mapped)(struct aspace_object *object, bool more);
};

struct aspace;

/*
 * What is above an address space: memory that is waited for, and a store for pages that were
 * taken away. One per host, set once before the first space. A slot of the store has one
 * reference for each entry that names it.
 */
struct aspace_pager {
    /* Should who wants a page wait first? Any context, a space locked. */
    bool (*is_short)(void);
    /*
     * Until there is memory. OK: look again. BUSY: not worth waiting for, or this world is to
     * end, so take what there is. NO_MEMORY: in vain. INTERRUPTED, if `signals` end the wait.
     * [block]
     */
    vmk_status (*wait)(bool signals);
    /* One more reference; false: too many. A space locked or not, as slot_put(). */
    bool (*slot_share)(uint32_t slot);
    void (*slot_put)(uint32_t slot);
    /* What was written there, or a status and it is lost: KILLED, IO_ERROR, CORRUPT. [block] */
    vmk_status (*slot_read)(uint32_t slot, void *page);
};
void aspace_pager_set(const struct aspace_pager *pager);
/*
 * [block] Waits if the host is short of memory; for pages that a user world is given otherwise
 * than by a fault. As aspace_pager.wait, but BUSY is OK.
 */
must_check vmk_status aspace_memory_wait(bool signals);

struct aspace_limits {
    uint64_t virtual_bytes;  // RLIMIT_AS
    uint64_t stack_bytes;    // RLIMIT_STACK: how far the stack grows
    uint64_t host_pages;     // pages all user worlds together may have; 0: no bound
};

/* An empty address space with one reference, or NO_MEMORY. */
must_check vmk_status aspace_create(const struct aspace_limits *limits, struct aspace **out);
/* [block] After the last reference everything is freed; no CPU may be in it any more. */
void aspace_unref(struct aspace *as);
paddr_t aspace_root(const struct aspace *as);
void aspace_limits_set(struct aspace *as, const struct aspace_limits *limits);

/* [map] A copy for fork: private pages are shared until one side writes. */
must_check vmk_status aspace_fork(struct aspace *parent, struct aspace **out);

struct aspace_map {
    uint64_t address;  // with `fixed` exactly there, else a hint; 0: anywhere
    uint64_t size;     // rounded up to pages
    unsigned protection;
    bool fixed;
    bool replace;  // with `fixed`: what is there goes; otherwise EXISTS
    bool shared;
    bool never_write;  // mprotect cannot make it writable: the object was got for reading
    enum aspace_region_kind kind;
    struct aspace_object
        *object;      // null: anonymous; else the call takes a reference of its own
    uint64_t offset;  // into the object, in pages
};
/* [map][block] BAD_PARAM, NO_MEMORY (no room or over the limit), EXISTS. */
must_check vmk_status aspace_map(struct aspace *as, const struct aspace_map *map,
                                 uint64_t *address);
/* [map][block] Anonymous shared memory for MAP_SHARED | MAP_ANONYMOUS: one reference. */
must_check vmk_status aspace_shared_create(uint64_t pages, struct aspace_object **out);
/* How many of its pages were touched. */
uint64_t aspace_shared_resident(const struct aspace_object *object);
/* [map][block] Holes are no error. */
must_check vmk_status aspace_unmap(struct aspace *as, uint64_t address, uint64_t size);
/*
 * [map] NO_MEMORY if part of the range is not mapped; NO_PERMISSION: it may never be written.
 * What comes before that part is changed.
 */
must_check vmk_status aspace_protect(struct aspace *as, uint64_t address, uint64_t size,
                                     unsigned protection);
/*
 * [map] mlock and munlock: marks what is mapped in the range; NO_MEMORY if part of the range is
 * not mapped.
 */
must_check vmk_status aspace_lock(struct aspace *as, uint64_t address, uint64_t size,
                                  bool lock);
/* [map] The same of everything there is (`now`), and of what is mapped later. */
void aspace_lock_all(struct aspace *as, bool now, bool future);
/* Is any page of the range locked? */
bool aspace_range_locked(struct aspace *as, uint64_t address, uint64_t size);
/* What a child that fork() makes gets of a region: a copy, unless one of these is set. */
#define ASPACE_FORK_LEAVES_OUT 1u
#define ASPACE_FORK_WIPES      2u  // zeros; only of private anonymous memory
/*
 * [map] Sets or clears one of them. NO_MEMORY if part of the range is not mapped, BAD_PARAM if
 * part of it cannot be so; what comes before that part is changed.
 */
must_check vmk_status aspace_at_fork(struct aspace *as, uint64_t address, uint64_t size,
                                     unsigned flag, bool on);
#define ASPACE_REMAP_MAY_MOVE 1u
#define ASPACE_REMAP_KEEP     2u  // with MAY_MOVE: the old range stays, without its pages
/* [map][block] BAD_PARAM, FAULT (not one region), NO_MEMORY. */
must_check vmk_status aspace_remap(struct aspace *as, uint64_t address, uint64_t old_size,
                                   uint64_t new_size, unsigned flags, const uint64_t *fixed,
                                   uint64_t *out);
/* [map] Forgets the contents of private anonymous pages, as MADV_DONTNEED does. */
must_check vmk_status aspace_discard(struct aspace *as, uint64_t address, uint64_t size);
/*
 * [map][block] Pages from index `first` of those objects are gone: the next access asks the
 * object again.
 * Private copies of them go too.
 */
void aspace_object_cut(struct aspace *as,
                       bool (*is_it)(const struct aspace_object *object, const void *what),
                       const void *what, uint64_t first);
/*
 * [map][block] The heap: where it starts, and its end; a wish it cannot fulfil leaves it alone.
 */
void aspace_heap_set(struct aspace *as, uint64_t start);
uint64_t aspace_heap_move(struct aspace *as, uint64_t end, uint64_t size_max);

/* ---- faults ---- */
/*
 * [block] Ring 3 (or a copy) wants that access and the tables do not allow it. OK: try again.
 * FAULT: nothing is mapped there. NO_PERMISSION: mapped otherwise. NO_MEMORY: the machine or a
 * limit has no more. KILLED, INTERRUPTED: this world has something else to do first. Anything
 * else: the object behind it, or the pager's store, has no such page (SIGBUS).
 */
must_check vmk_status aspace_fault(struct aspace *as, uint64_t address, unsigned access);

/*
 * ---- checked copies; all [block] and all or nothing is NOT promised: `done` may be null ----
 */
must_check vmk_status aspace_copy_in(struct aspace *as, void *to, uint64_t from, size_t size);
must_check vmk_status aspace_copy_out(struct aspace *as, uint64_t to, const void *from,
                                      size_t size);
must_check vmk_status aspace_zero(struct aspace *as, uint64_t to, size_t size);
/* How many bytes could be copied before the first page that refused. */
size_t aspace_copy_in_some(struct aspace *as, void *to, uint64_t from, size_t size);
size_t aspace_copy_out_some(struct aspace *as, uint64_t to, const void *from, size_t size);
/* A string with its NUL into `to`; NAME_TOO_LONG if there is no NUL in `room` bytes. */
must_check vmk_status aspace_copy_string(struct aspace *as, char *to, uint64_t from,
                                         size_t room, size_t *length);
/* For debuggers and execve: writes whatever the protection says, as long as it is mapped. */
must_check vmk_status aspace_poke(struct aspace *as, uint64_t to, const void *from,
                                  size_t size);
/* Atomic on an aligned word: *old = *at; if that is `expected`, *at = value. */
must_check vmk_status aspace_compare_exchange32(struct aspace *as, uint64_t at,
                                                uint32_t expected, uint32_t value,
                                                uint32_t *old);
/*
 * What a futex word is called: in private memory (as, address), in shared memory (object,
 * offset).
 */
struct aspace_key {
    const void *object;
    uint64_t offset;
};
/*
 * Brings the page in if it must, so that both names of a shared word are one key. FAULT.
 * [block]
 */
must_check vmk_status aspace_key_of(struct aspace *as, uint64_t at, struct aspace_key *out);

/* ---- pages out to the pager's store: one world does it ---- */
/*
 * A page that leaves: out of reach of ring 3 and of copies, with its contents, until somebody
 * touches it, and then it stays. Only private pages of regions that are not locked.
 */
struct aspace_victim {
    uint64_t va;
    mpn_t mpn;
};
/*
 * Looks at up to `looks` pages from *va on, and takes up to `room` of those that were not used
 * since they were looked at last. Returns how many; *va is where to go on, 0: that was the end.
 * No CPU has them any more.
 */
unsigned aspace_victims_take(struct aspace *as, uint64_t *va, unsigned looks,
                             struct aspace_victim *out, unsigned room);
/* Its contents are in that slot: the page is freed. False: it was touched, and stays. */
must_check bool aspace_victim_done(struct aspace *as, const struct aspace_victim *victim,
                                   uint32_t slot);
/* It stays. */
void aspace_victim_keep(struct aspace *as, const struct aspace_victim *victim);
/*
 * [block] Brings back what is in the store of that range: for mlock. A status: of a page that
 * did not come.
 */
must_check vmk_status aspace_bring_back(struct aspace *as, uint64_t address, uint64_t size);

/* ---- around plat_user_run(); irqs off ---- */
/* Before: translations of this CPU are up to date and it answers shootdowns from now on. */
void aspace_enter(struct aspace *as);
void aspace_leave(struct aspace *as);
/* Another world gets the CPU: nothing of this address space is loaded any more. */
void aspace_switch_out(struct aspace *as);

/* ---- what /proc and a core report show ---- */
struct aspace_region_info {
    uint64_t start, end;
    unsigned protection;
    bool shared;
    enum aspace_region_kind kind;
    uint64_t offset;  // bytes
    uint64_t device, inode;
    char name[128];
    const struct aspace_object *object;  // good as long as no [map] call runs, or null
};
/* The first region that ends above `from`; false: none. [block] */
bool aspace_region_next(struct aspace *as, uint64_t from, struct aspace_region_info *out);
struct aspace_use {
    uint64_t virtual_pages, resident_pages, table_pages, peak_pages, stack_pages, heap_pages,
        exec_pages, locked_pages, swapped_pages;
};
/* In pages; peak_pages is the most that were resident at one moment. */
void aspace_use_get(struct aspace *as, struct aspace_use *out);
