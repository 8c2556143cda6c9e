// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_names.c -- where in a large directory a name stands: tables in memory, by hash.
 *
 * On disk a directory is an array without order. For the few directories used last there is a
 * table from the hash of a name to the number of its entry. What it says is always looked at in
 * the directory, so a table may be old: it is `exact` while the directory's lock has been ours
 * since it was made, or was taken by nobody else in between, which the lock's token tells. Only
 * then does a name that is not in it not exist; otherwise the directory is searched.
 *
 * Invariants
 *   - An exact table holds each entry of its directory once.
 *   - Changes of an operation that is taken back take the tables with them (names_undo()).
 * Locking    vmfs_volume.mutex.
 * Start at   names_find().
 */
#include "core/heap.h"
#include "fs/vmfs/vmfs_internal.h"
#include "lib/fnv.h"
#include "lib/string.h"

#define SLOTS_LEAST 256u

struct name_slot {
    uint32_t hash;
    uint32_t entry;  // its number + 1; 0: never used, SLOT_GONE: searches go on behind it
};
#define SLOT_GONE UINT32_MAX

struct name_table {
    uint64_t position;  // of the directory's descriptor
    uint32_t generation;
    uint64_t token;  // of its lock when the table was exact last
    uint64_t entries;
    uint64_t used;  // when
    uint32_t mask, filled;
    struct name_slot *slots;
};

static uint32_t hash_of(const char *name, size_t length)
{
    const uint32_t hash = fnv1a_32(name, length);

    return hash ^ hash >> 15;
}

static void table_free(struct name_table *t)
{
    if (t)
        heap_free(t->slots);
    heap_free(t);
}

void names_forget(struct vmfs_volume *v)
{
    for (unsigned i = 0; i < NAME_TABLES; i++) {
        table_free(v->names[i]);
        v->names[i] = NULL;
    }
}

void names_undo(struct vmfs_volume *v)
{
    if (v->names_changed == v->op)
        names_forget(v);
}

static struct name_table **table_of(const struct fd *dir)
{
    for (unsigned i = 0; i < NAME_TABLES; i++) {
        struct name_table *t = dir->v->names[i];

        if (t && t->position == dir->position)
            return &dir->v->names[i];
    }
    return NULL;
}

/* Has nobody else changed the directory since the table was made? */
static bool is_exact(struct name_table *t, const struct fd *dir)
{
    const struct held_lock *lock = lock_find(dir->v, dir->position);

    if (t->generation != fd_u32(dir, FD_GENERATION) ||
        t->entries != fd_length(dir) / DIRENT_SIZE)
        return false;
    if (dir->v->how.private_volume)
        return true;
    if (!lock || lock->token - t->token > 1)
        return false;
    t->token = lock->token;
    return true;
}

static void put_slot(struct name_table *t, uint32_t hash, uint32_t entry)
{
    uint32_t at = hash & t->mask;

    while (t->slots[at].entry && t->slots[at].entry != SLOT_GONE)
        at = (at + 1) & t->mask;
    t->filled += !t->slots[at].entry;
    t->slots[at] = (struct name_slot){hash, entry + 1};
}

/* The slot of this name's entry, or null. */
static struct name_slot *slot_of(const struct name_table *t, uint32_t hash, uint32_t entry)
{
    for (uint32_t at = hash & t->mask; t->slots[at].entry; at = (at + 1) & t->mask) {
        if (t->slots[at].hash == hash && t->slots[at].entry == entry + 1)
            return &t->slots[at];
    }
    return NULL;
}

static vmk_status fill(struct name_table *t, struct fd *dir)
{
    uint8_t *chunk = vmfs_alloc(DIR_CHUNK * DIRENT_SIZE);
    vmk_status status = chunk ? VMK_OK : VMK_NO_MEMORY;

    for (uint64_t i = 0; i < t->entries && status == VMK_OK; i += DIR_CHUNK) {
        uint64_t part = MIN(t->entries - i, DIR_CHUNK);

        status = dir_read(dir, i * DIRENT_SIZE, chunk, (size_t)(part * DIRENT_SIZE));
        for (uint64_t k = 0; k < part && status == VMK_OK; k++) {
            const char *name = (const char *)chunk + k * DIRENT_SIZE + DIRENT_NAME;

            put_slot(t, hash_of(name, entry_name_length(name)), (uint32_t)(i + k));
        }
    }
    heap_free(chunk);
    return status;
}

/* A table of the directory as it is, in the place of the one unused for longest. */
static struct name_table *table_make(struct fd *dir)
{
    struct vmfs_volume *v = dir->v;
    const struct held_lock *lock = lock_find(v, dir->position);
    struct name_table **place = table_of(dir);
    struct name_table **oldest = NULL;
    struct name_table *t = vmfs_alloc(sizeof(*t));
    uint64_t entries = fd_length(dir) / DIRENT_SIZE;
    uint32_t slots = SLOTS_LEAST;

    for (unsigned i = 0; i < NAME_TABLES; i++) {
        if (!oldest || !v->names[i] || (*oldest && v->names[i]->used < (*oldest)->used))
            oldest = &v->names[i];
    }
    place = place ? place : oldest;
    if (!t || entries > NAMES_MOST)
        goto none;
    while (slots < 3 * entries)
        slots *= 2;
    t->position = dir->position;
    t->generation = fd_u32(dir, FD_GENERATION);
    t->token = lock ? lock->token : 0;
    t->entries = entries;
    t->mask = slots - 1;
    t->slots = vmfs_alloc(slots * sizeof(*t->slots));
    if (!t->slots || fill(t, dir) != VMK_OK)
        goto none;
    table_free(*place);
    *place = t;
    return t;
none:
    table_free(t);
    return NULL;
}

/*
 * A table that names can be looked up in; *exact: and that says what is not there. Null: none.
 */
static struct name_table *table_get(struct fd *dir, bool *exact)
{
    struct name_table **place = table_of(dir);
    struct name_table *t = place ? *place : NULL;

    *exact = t && is_exact(t, dir);
    if (!*exact && dir->covered) {
        t = table_make(dir);
        *exact = t;
    }
    if (t)
        t->used = ++dir->v->names_uses;
    return t;
}

vmk_status names_find(struct fd *dir, const char *name, size_t length, uint64_t *index,
                      uint8_t found[DIRENT_SIZE])
{
    const uint32_t hash = hash_of(name, length);
    uint64_t count = fd_length(dir) / DIRENT_SIZE;
    struct name_table *t;
    bool exact;

    if (count < NAMES_LEAST)
        return VMK_AGAIN;
    t = table_get(dir, &exact);
    if (!t)
        return VMK_AGAIN;
    for (uint32_t at = hash & t->mask; t->slots[at].entry; at = (at + 1) & t->mask) {
        uint64_t entry = t->slots[at].entry - 1ull;
        vmk_status status;

        if (t->slots[at].hash != hash || t->slots[at].entry == SLOT_GONE || entry >= count)
            continue;
        status = content_get(dir, entry * DIRENT_SIZE, found, DIRENT_SIZE);
        if (status != VMK_OK)
            return status;
        if (entry_is(found, name, length)) {
            *index = entry;
            return VMK_OK;
        }
    }
    return exact ? VMK_NOT_FOUND : VMK_AGAIN;
}

/*
 * The table that follows the change now being made to its directory, or null: there is none any
 * more.
 */
static struct name_table *table_to_change(struct fd *dir)
{
    struct name_table **place = table_of(dir);

    if (!place)
        return NULL;
    dir->v->names_changed = dir->v->op;
    if (is_exact(*place, dir))
        return *place;
    table_free(*place);
    *place = NULL;
    return NULL;
}

void names_added(struct fd *dir, const char *name, size_t length)
{
    struct name_table *t = table_to_change(dir);

    if (!t)
        return;
    if (3ull * t->filled >= 2ull * t->mask) {
        /* The next search makes a larger one. */
        t->generation = 0;
        return;
    }
    put_slot(t, hash_of(name, length), (uint32_t)t->entries++);
}

void names_removed(struct fd *dir, uint64_t index, const uint8_t *entry, const uint8_t *last)
{
    struct name_table *t = table_to_change(dir);
    const char *name = (const char *)entry + DIRENT_NAME;
    const char *moved = (const char *)last + DIRENT_NAME;
    struct name_slot *slot;

    if (!t)
        return;
    slot = slot_of(t, hash_of(name, entry_name_length(name)), (uint32_t)index);
    if (slot)
        slot->entry = SLOT_GONE;
    t->entries--;
    if (index == t->entries)
        return;
    slot = slot_of(t, hash_of(moved, entry_name_length(moved)), (uint32_t)t->entries);
    if (slot)
        slot->entry = (uint32_t)index + 1;
}
