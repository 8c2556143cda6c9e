// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/share.h -- page sharing by content: which guest pages are equal, and who holds one together.
 *
 * A scanner offers guest pages in any order. The table knows, by hash, shared machine pages and
 * hints: pages that somebody offered before and that stay writable. The second page with the
 * hash of a hint turns the hinted page into a shared one, if it still holds the same, and joins
 * it; so a page that has no twin never costs its guest a fault.
 *
 *     offered page ─ hash ─► shared machine page: compare all bytes, join
 *                       ├──► hint: still so? freeze it, make it shared, join
 *                       └──► nothing: leave a hint
 *
 * Who holds a shared page has one reference of it (page_share()). The first write faults, and
 * whoever handles that copies the page and leaves (share_leave()). Guests share only with
 * guests of the same salt, so that one cannot find out by timing what a stranger's memory
 * holds.
 *
 * The table moves no mapping: struct share_ops does, for the scanner and under its VM's lock.
 *
 * Invariants
 *   - The contents of a shared machine page do not change while it is in the table.
 *   - A machine page is in the table exactly while somebody holds it as shared;
 *     page_references() counts the holders.
 *   - Two pages are joined only after a comparison of all bytes, with writes to both kept out.
 * Locking    the table's spin lock (rank SHARE) below the VMs' locks; one scanner at a time.
 * Sources    [WALDSPURGER02] section 4
 */
#pragma once

#include "core/spinlock.h"
#include "mem/page.h"

#define SHARE_VMS_MAX 64u

/*
 * All calls with nothing locked; `vm` is a number below SHARE_VMS_MAX that share_forget()
 * retires.
 */
struct share_ops {
    /*
     * The hash of what is there now. False: not to be shared (absent, pinned, shared already).
     */
    bool (*hash)(void *context, uint16_t vm, uint32_t ppn, uint64_t *hash);
    /*
     * Keeps writers out on all CPUs and, under the VM's lock, asks accept(). True: the page is
     * marked shared and stays as it is. False: it is writable again. Answers what it did.
     */
    bool (*freeze)(void *context, uint16_t vm, uint32_t ppn,
                   bool (*accept)(void *argument, mpn_t mpn, uint64_t hash), void *argument);
    /*
     * Keeps writers out, compares with the page `with` and, if equal, maps that one there
     * instead, marked shared, and frees the former. The reference to `with` is the caller's
     * gift.
     */
    bool (*join)(void *context, uint16_t vm, uint32_t ppn, mpn_t with);
};

enum share_result {
    SHARE_NOTHING,  // not to be shared
    SHARE_HINT,     // nobody like it so far
    SHARE_JOINED,
    SHARE_FIRST,  // a twin was found: two pages became one
    SHARE_LOST,   // looked equal and was not, or changed meanwhile
    SHARE_FULL,   // no room for a hint
};

struct share_counters {
    uint64_t pages;   // guest pages that hold a shared machine page
    uint64_t common;  // machine pages they hold; pages - common are saved
    uint64_t zero;    // of `pages`: all zero
    uint64_t hints;
    uint64_t scanned, joined, broken, stale_hints, unlike;
    uint64_t looked;  // of `scanned`: the page's contents were read
    uint64_t bytes;   // of the table: frames and buckets
};

struct share_frame {
    uint32_t next;  // index + 1; 0: the end
    uint32_t hash;  // the bits that do not choose the bucket
    uint32_t page;  // MPN of a shared page, PPN of a hint
    uint32_t who;   // SHARED, or the age and VM of a hint
};

struct share_table {
    struct spinlock lock;  // rank SHARE
    const struct share_ops *ops;
    void *context;
    struct share_frame **chunks;  // (l) made when needed, a page each
    uint32_t made;                // (l) frames in them
    uint32_t *buckets;            // (l) index + 1
    uint32_t capacity, bucket_mask;
    uint32_t free;                     // (l) list of free frames
    uint8_t age;                       // (l) of new hints
    uint32_t hints_of[SHARE_VMS_MAX];  // (l) by VM
    uint64_t zero_hash;
    struct share_counters counters;  // (l)
};

/* 64 bits of a page's contents. */
uint64_t page_hash(const void *page);

/* Room for so many shared pages and hints together. NO_MEMORY. */
must_check vmk_status share_init(struct share_table *t, uint32_t capacity,
                                 const struct share_ops *ops, void *context);
/* Nothing is shared any more (asserted). */
void share_destroy(struct share_table *t);
/* The scanner offers a page. [block] where ops do. */
enum share_result share_page(struct share_table *t, uint16_t vm, uint32_t ppn, uint64_t salt);
/*
 * One holder of a shared page leaves. True: he was the last, the page is his alone again and no
 * longer in the table. False: his reference is gone. His VM's lock is held.
 */
must_check bool share_leave(struct share_table *t, mpn_t mpn, uint64_t salt);
/* The VM is going: no hint names it afterwards. O(capacity). */
void share_forget(struct share_table *t, uint16_t vm);
/* A pass over all guests has begun: hints from before the last one are dropped. O(capacity). */
void share_pass(struct share_table *t);
void share_counters_get(struct share_table *t, struct share_counters *out);
/* How many hints name pages of that VM. */
uint32_t share_hints(struct share_table *t, uint16_t vm);
