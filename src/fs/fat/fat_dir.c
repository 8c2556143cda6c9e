// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/fat/fat_dir.c -- directories: names found and made.
 *
 * A file has one short entry, and in front of it the parts of its long name. What counts is the
 * short entry: it is written last when a name is made and goes first when one is removed, so a
 * power cut leaves parts of a long name that belong to nobody, never a name that leads to
 * another's clusters. In front of the end of a directory nothing is ever written behind it
 * before what lies between.
 *
 * Invariants
 *   - A node's place is where its short entry is, or 0.
 *   - A directory is read no further than 65536 entries.
 * Locking    none: the caller's.
 * Start at   fat_scan_next(), fat_name_add().
 * Sources    FATGEN "Directory Structure".
 */
#include "core/assert.h"
#include "core/heap.h"
#include "fs/fat/fat_internal.h"
#include "lib/endian.h"
#include "lib/string.h"
#include "lib/utf16.h"

/* ---- slots ---- */

/* Where entry `index` of a directory is; NOT_FOUND past its space. */
static vmk_status slot_place(struct fat_node *dir, uint32_t index, uint64_t *place)
{
    struct fat_volume *v = dir->v;
    uint64_t byte = (uint64_t)index * FAT_ENTRY_SIZE;
    uint32_t cluster;
    vmk_status status;

    if (index >= FAT_DIR_MOST)
        return VMK_NOT_FOUND;
    if (node_is_root(dir) && v->bits != 32) {
        if (byte >= (uint64_t)v->root_sectors * v->sector_size)
            return VMK_NOT_FOUND;
        *place = (uint64_t)v->root_begin * v->sector_size + byte;
        return VMK_OK;
    }
    status = fat_node_cluster(dir, (uint32_t)(byte / v->cluster_size), &cluster);
    if (status != VMK_OK)
        return status;
    if (!cluster)
        return VMK_NOT_FOUND;
    *place = cluster_sector(v, cluster) * v->sector_size + byte % v->cluster_size;
    return VMK_OK;
}

vmk_status fat_slot_get(struct fat_node *dir, uint32_t index, uint8_t **entry, uint64_t *place)
{
    struct fat_volume *v = dir->v;
    uint8_t *s;
    vmk_status status = slot_place(dir, index, place);

    if (status == VMK_OK)
        status = fat_sector_get(v, *place / v->sector_size, &s);
    if (status == VMK_OK)
        *entry = s + *place % v->sector_size;
    return status;
}

vmk_status fat_slot_put(struct fat_node *dir, uint64_t place, const uint8_t *entry)
{
    struct fat_volume *v = dir->v;

    vmk_assert(entry);
    return fat_sector_put(v, place / v->sector_size, entry - place % v->sector_size);
}

static const uint8_t long_places[FAT_LONG_UNITS] = {1,  3,  5,  7,  9,  14, 16,
                                                    18, 20, 22, 24, 28, 30};

static void long_part(struct fat_scan *s, const uint8_t *e, uint32_t slot)
{
    unsigned number = e[0] & 0x3f;

    if (e[0] & 0x40) {
        s->expected = number && number <= FAT_LONG_ENTRIES ? number : 0;
        s->sum = e[13];
        s->first_slot = slot;
        s->length = number * FAT_LONG_UNITS;
    } else if (number != s->expected || e[13] != s->sum) {
        s->expected = 0;
    }
    if (!s->expected)
        return;
    for (unsigned i = 0; i < FAT_LONG_UNITS; i++) {
        unsigned at = (number - 1) * FAT_LONG_UNITS + i;
        uint16_t unit = le16(e + long_places[i]);

        put_le16(s->found.units + 2 * at, unit);
        if (!unit)
            s->length = MIN(s->length, at);
    }
    s->expected = number - 1;
    if (!s->expected)
        s->expected = UINT32_MAX;  // complete
}

/* The next name in s->found; NOT_FOUND at the end. */
vmk_status fat_scan_next(struct fat_scan *s)
{
    for (;;) {
        uint32_t slot = s->next;
        struct fat_found *f = &s->found;
        uint64_t place;
        uint8_t *e;
        vmk_status status = fat_slot_get(s->dir, slot, &e, &place);

        if (status != VMK_OK)
            return status;
        if (!e[0])
            return VMK_NOT_FOUND;
        s->next++;
        if (e[0] == FAT_DELETED) {
            s->expected = 0;
            continue;
        }
        if ((e[ENTRY_ATTR] & 0x3f) == FAT_ATTR_LONG) {
            long_part(s, e, slot);
            continue;
        }
        if (e[ENTRY_ATTR] & FAT_ATTR_LABEL) {
            s->expected = 0;
            continue;
        }
        memcpy(f->entry, e, FAT_ENTRY_SIZE);
        f->place = place;
        f->slot = slot;
        f->first_slot = slot;
        f->short_length = fat_short_units(e, f->short_units);
        if (s->expected == UINT32_MAX && s->sum == fat_name_sum(e) && s->length) {
            f->first_slot = s->first_slot;
            f->length = s->length;
        } else {
            memcpy(f->units, f->short_units, 2 * f->short_length);
            f->length = f->short_length;
        }
        s->expected = 0;
        return VMK_OK;
    }
}

bool fat_is_dot(const struct fat_found *f)
{
    return f->entry[0] == '.' &&
           (f->entry[1] == ' ' || (f->entry[1] == '.' && f->entry[2] == ' '));
}

/* A scan is large, so it comes from the heap. */
vmk_status fat_find(struct fat_node *dir, const char *name, size_t length,
                    struct fat_scan **out)
{
    struct fat_name *wanted = heap_alloc(sizeof(*wanted), MEM_OWNER_FS);
    struct fat_scan *s = heap_alloc(sizeof(*s), MEM_OWNER_FS);
    vmk_status status = wanted && s ? VMK_OK : VMK_NO_MEMORY;

    if (status == VMK_OK && !node_is_dir(dir))
        status = VMK_NOT_DIR;
    if (status == VMK_OK && !dir->place && !node_is_root(dir))
        status = VMK_NOT_FOUND;
    if (status == VMK_OK) {
        status = fat_name_make(name, length, wanted);
        if (status == VMK_BAD_PARAM)
            status = VMK_NOT_FOUND;
    }
    if (status == VMK_OK)
        s->dir = dir;
    while (status == VMK_OK) {
        status = fat_scan_next(s);
        if (status == VMK_OK && !fat_is_dot(&s->found) &&
            (fat_units_equal(s->found.units, s->found.length, wanted->units, wanted->length) ||
             fat_units_equal(s->found.short_units, s->found.short_length, wanted->units,
                             wanted->length)))
            break;
    }
    heap_free(wanted);
    if (status != VMK_OK) {
        heap_free(s);
        return status;
    }
    *out = s;
    return VMK_OK;
}

vmk_status fat_lookup(struct fat_node *dir, const char *name, size_t length,
                      struct fat_node **out)
{
    struct fat_scan *s;
    vmk_status status = fat_find(dir, name, length, &s);

    if (status != VMK_OK)
        return status;
    *out = fat_node_new(dir->v, s->found.entry, s->found.place);
    heap_free(s);
    return *out ? VMK_OK : VMK_NO_MEMORY;
}

vmk_status fat_walk(struct fat_volume *v, const char *path, struct fat_node **out)
{
    struct fat_node *n = fat_root(v);

    for (;;) {
        struct fat_node *next;
        size_t length = 0;
        vmk_status status;

        while (*path == '/')
            path++;
        while (path[length] && path[length] != '/')
            length++;
        if (!length) {
            *out = n;
            return VMK_OK;
        }
        status = fat_lookup(n, path, length, &next);
        fat_node_put(n);
        if (status != VMK_OK)
            return status;
        n = next;
        path += length;
    }
}

/* The first cluster that entry ".." names; 0: the root. */
static vmk_status dotdot_of(struct fat_node *dir, uint32_t *first)
{
    uint64_t place;
    uint8_t *e;
    vmk_status status = fat_slot_get(dir, 1, &e, &place);

    if (status != VMK_OK)
        return status;
    if (e[0] != '.' || e[1] != '.')
        return VMK_CORRUPT;
    *first = fat_entry_first(dir->v, e);
    if (*first == dir->v->root_cluster)
        *first = 0;
    return VMK_OK;
}

vmk_status fat_parent(struct fat_node *dir, struct fat_node **out)
{
    struct fat_volume *v = dir->v;
    struct fat_node above = {.v = v, .attr = FAT_ATTR_DIR, .chain = UINT32_MAX};
    struct fat_node parent = above;
    struct fat_scan *s;
    vmk_status status;

    if (!dir->place)
        return VMK_NOT_FOUND;
    status = dotdot_of(dir, &parent.first);
    if (status != VMK_OK)
        return status;
    if (!parent.first) {
        *out = fat_root(v);
        return VMK_OK;
    }
    list_for_each (at, &v->nodes) {
        struct fat_node *n = list_entry(at, struct fat_node, link);

        if (n->first == parent.first && node_is_dir(n) && n->place) {
            n->refs++;
            *out = n;
            return VMK_OK;
        }
    }
    /* Its entry is in the directory above it. */
    status = dotdot_of(&parent, &above.first);
    s = status == VMK_OK ? heap_alloc(sizeof(*s), MEM_OWNER_FS) : NULL;
    if (!s)
        return status == VMK_OK ? VMK_NO_MEMORY : status;
    s->dir = above.first ? &above : v->root;
    do
        status = fat_scan_next(s);
    while (status == VMK_OK &&
           (fat_is_dot(&s->found) || fat_entry_first(v, s->found.entry) != parent.first ||
            !(s->found.entry[ENTRY_ATTR] & FAT_ATTR_DIR)));
    if (status == VMK_OK) {
        *out = fat_node_new(v, s->found.entry, s->found.place);
        status = *out ? VMK_OK : VMK_NO_MEMORY;
    }
    heap_free(s);
    return status;
}

vmk_status fat_entry(struct fat_node *dir, uint64_t *position, struct fat_entry *out)
{
    struct fat_scan *s;
    vmk_status status;

    if (!node_is_dir(dir))
        return VMK_NOT_DIR;
    if (*position >= FAT_DIR_MOST || (!dir->place && !node_is_root(dir)))
        return VMK_NOT_FOUND;
    s = heap_alloc(sizeof(*s), MEM_OWNER_FS);
    if (!s)
        return VMK_NO_MEMORY;
    s->dir = dir;
    s->next = (uint32_t)*position;
    do
        status = fat_scan_next(s);
    while (status == VMK_OK &&
           (fat_is_dot(&s->found) || utf8_from_utf16(s->found.units, s->found.length, out->name,
                                                     sizeof(out->name)) == SIZE_MAX));
    if (status == VMK_OK) {
        *position = s->next;
        out->directory = s->found.entry[ENTRY_ATTR] & FAT_ATTR_DIR;
        out->inode = fat_inode_of(dir->v, s->found.place);
    }
    heap_free(s);
    return status;
}

/* ---- making names ---- */

/* A short name that nobody in the directory has. */
vmk_status fat_short_name_choose(struct fat_node *dir, struct fat_name *name)
{
    struct fat_scan *s = heap_alloc(sizeof(*s), MEM_OWNER_FS);
    unsigned most = 0;
    bool taken = false;
    vmk_status status;

    if (!s)
        return VMK_NO_MEMORY;
    s->dir = dir;
    while ((status = fat_scan_next(s)) == VMK_OK) {
        const uint8_t *e = s->found.entry;
        unsigned tilde = 0;
        unsigned number = 0;

        taken |= memcmp(e, name->short_name, 11) == 0;
        if (memcmp(e + 8, name->short_name + 8, 3) != 0)
            continue;
        for (unsigned i = 1; i < 8; i++) {
            if (e[i] == '~')
                tilde = i;
        }
        if (!tilde || memcmp(e, name->short_name, tilde) != 0)
            continue;
        for (unsigned i = tilde + 1; i < 8 && e[i] >= '0' && e[i] <= '9'; i++)
            number = number * 10 + (unsigned)(e[i] - '0');
        most = MAX(most, number);
    }
    heap_free(s);
    if (status != VMK_NOT_FOUND)
        return status;
    if (!name->needs_long)
        return taken ? VMK_EXISTS : VMK_OK;
    if (!name->lossy && !taken)
        return VMK_OK;
    if (most >= 999999)
        return VMK_NO_SPACE;
    fat_name_tail(name, most + 1);
    return VMK_OK;
}

unsigned fat_slots_needed(const struct fat_name *name)
{
    return name->needs_long ? 1 + (name->length + FAT_LONG_UNITS - 1) / FAT_LONG_UNITS : 1;
}

/* Entry `i` of the slots of a name; the last one is `entry` with the short name in it. */
void fat_slot_fill(const struct fat_name *name, const uint8_t *entry, unsigned i, uint8_t *out)
{
    unsigned count = fat_slots_needed(name);
    unsigned number = count - 1 - i;

    if (i == count - 1) {
        memcpy(out, entry, FAT_ENTRY_SIZE);
        memcpy(out, name->short_name, 11);
        out[ENTRY_CASE] = 0;
        if (out[0] == FAT_DELETED)
            out[0] = 0x05;
        return;
    }
    memset(out, 0, FAT_ENTRY_SIZE);
    out[0] = (uint8_t)(number | (i ? 0 : 0x40));
    out[ENTRY_ATTR] = FAT_ATTR_LONG;
    out[13] = fat_name_sum(name->short_name);
    for (unsigned j = 0; j < FAT_LONG_UNITS; j++) {
        unsigned at = (number - 1) * FAT_LONG_UNITS + j;
        uint16_t unit = 0xffff;

        if (at < name->length)
            unit = le16(name->units + 2 * at);
        else if (at == name->length)
            unit = 0;
        put_le16(out + long_places[j], unit);
    }
}

/* `count` slots that are free and behind each other; the directory grows if it must. */
vmk_status fat_slots_find(struct fat_node *dir, unsigned count, uint32_t *first, bool *past_end)
{
    struct fat_volume *v = dir->v;
    uint32_t run = 0;
    bool ended = false;

    *past_end = false;
    for (uint32_t i = 0;; i++) {
        uint64_t place;
        uint8_t *e;
        vmk_status status = fat_slot_get(dir, i, &e, &place);

        if (status == VMK_NOT_FOUND) {
            uint32_t fresh;

            if (i >= FAT_DIR_MOST || (node_is_root(dir) && v->bits != 32))
                return VMK_NO_SPACE;
            status = fat_chain_make(v, 0, 1, &fresh);
            if (status != VMK_OK)
                return status;
            status = fat_zero_clusters(v, fresh, 1);
            if (status == VMK_OK)
                status = fat_node_append(dir, fresh, 1);
            if (status != VMK_OK) {
                (void)!fat_chain_free(v, fresh);
                return status;
            }
            status = fat_slot_get(dir, i, &e, &place);
        }
        if (status != VMK_OK)
            return status;
        ended |= !e[0];
        run = ended || e[0] == FAT_DELETED ? run + 1 : 0;
        if (run == count) {
            *first = i + 1 - count;
            *past_end = ended;
            return VMK_OK;
        }
    }
}

/* Whatever lies from `slot` on behind the end of a directory must look like its end. */
static vmk_status slots_end(struct fat_node *dir, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i <= to; i++) {
        uint64_t place;
        uint8_t *e;
        vmk_status status = fat_slot_get(dir, i, &e, &place);

        if (status == VMK_NOT_FOUND)
            break;
        if (status == VMK_OK && e[0] && e[0] != FAT_DELETED) {
            memset(e, 0, FAT_ENTRY_SIZE);
            status = fat_slot_put(dir, place, e);
        }
        if (status != VMK_OK)
            return status;
    }
    return fat_barrier(dir->v);
}

/* Sector by sector, in order, each durable before the next. */
static vmk_status slots_write(struct fat_node *dir, uint32_t first, const struct fat_name *name,
                              const uint8_t *entry, uint64_t *place)
{
    struct fat_volume *v = dir->v;
    unsigned count = fat_slots_needed(name);
    uint64_t held = UINT64_MAX;
    uint8_t *held_entry = NULL;
    uint64_t held_place = 0;
    vmk_status status = VMK_OK;

    for (unsigned i = 0; i < count; i++) {
        uint64_t at;
        uint8_t *e;

        status = slot_place(dir, first + i, &at);
        if (status == VMK_OK && held != UINT64_MAX && at / v->sector_size != held) {
            status = fat_slot_put(dir, held_place, held_entry);
            if (status == VMK_OK)
                status = fat_barrier(v);
        }
        if (status == VMK_OK)
            status = fat_slot_get(dir, first + i, &e, &at);
        if (status != VMK_OK)
            return status;
        fat_slot_fill(name, entry, i, e);
        held = at / v->sector_size;
        held_place = at;
        held_entry = e;
        *place = at;
    }
    return fat_slot_put(dir, held_place, held_entry);
}

/* A name for what `entry` says; the name and its short name are known not to be there. */
vmk_status fat_name_add(struct fat_node *dir, struct fat_name *name, const uint8_t *entry,
                        uint64_t *place)
{
    unsigned count = fat_slots_needed(name);
    uint32_t first;
    bool past_end;
    vmk_status status = fat_slots_find(dir, count, &first, &past_end);

    if (status == VMK_OK && past_end)
        status = slots_end(dir, first, first + count);
    if (status == VMK_OK)
        status = fat_barrier(dir->v);
    return status == VMK_OK ? slots_write(dir, first, name, entry, place) : status;
}

/* The short entry goes first, the parts of the long name after it. */
vmk_status fat_name_remove(struct fat_node *dir, const struct fat_found *f)
{
    struct fat_volume *v = dir->v;
    uint64_t sector = f->place / v->sector_size;
    vmk_status status = VMK_OK;

    for (unsigned pass = 0; pass < 2 && status == VMK_OK; pass++) {
        for (uint32_t i = f->first_slot; i <= f->slot && status == VMK_OK; i++) {
            uint64_t place;
            uint8_t *e;

            status = fat_slot_get(dir, i, &e, &place);
            if (status != VMK_OK || (place / v->sector_size == sector) == (pass == 1))
                continue;
            e[0] = FAT_DELETED;
            if (pass || i == f->slot)  // one write for the sector with the short entry
                status = fat_slot_put(dir, place, e);
        }
        if (status == VMK_OK && !pass)
            status = fat_barrier(v);
    }
    return status;
}

static void entry_make(struct fat_volume *v, uint8_t attr, uint32_t first, uint8_t *e)
{
    int64_t now = v->now();

    memset(e, 0, FAT_ENTRY_SIZE);
    e[ENTRY_ATTR] = attr;
    put_le16(e + ENTRY_CLUSTER_LOW, (uint16_t)first);
    put_le16(e + ENTRY_CLUSTER_HIGH, v->bits == 32 ? (uint16_t)(first >> 16) : 0);
    fat_time_put(now, e + ENTRY_CREATED, false);
    e[ENTRY_CREATED_10MS] = (uint8_t)(now / 10000000 % 200);
    fat_time_put(now, e + ENTRY_ACCESSED, true);
    fat_time_put(now, e + ENTRY_MODIFIED, false);
}

/* A cluster with "." and "..". */
static vmk_status directory_make(struct fat_node *parent, uint32_t *first)
{
    struct fat_volume *v = parent->v;
    uint8_t *s;
    vmk_status status = fat_chain_make(v, 0, 1, first);

    if (status != VMK_OK)
        return status;
    status = fat_zero_clusters(v, *first, 1);
    if (status == VMK_OK)
        status = fat_sector_get(v, cluster_sector(v, *first), &s);
    if (status == VMK_OK) {
        entry_make(v, FAT_ATTR_DIR, *first, s);
        memcpy(s, ".          ", 11);
        entry_make(v, FAT_ATTR_DIR, node_is_root(parent) ? 0 : parent->first,
                   s + FAT_ENTRY_SIZE);
        memcpy(s + FAT_ENTRY_SIZE, "..         ", 11);
        status = fat_sector_put(v, cluster_sector(v, *first), s);
    }
    if (status != VMK_OK)
        (void)!fat_chain_free(v, *first);
    return status;
}

vmk_status fat_create(struct fat_node *dir, const char *name, size_t length, bool directory,
                      struct fat_node **out)
{
    struct fat_volume *v = dir->v;
    struct fat_name *fat_name;
    struct fat_scan *there;
    uint8_t entry[FAT_ENTRY_SIZE];
    uint32_t first = 0;
    uint64_t place;
    vmk_status status = fat_find(dir, name, length, &there);

    if (status == VMK_OK) {
        heap_free(there);
        return VMK_EXISTS;
    }
    if (status != VMK_NOT_FOUND || (!dir->place && !node_is_root(dir)))
        return status;
    fat_name = heap_alloc(sizeof(*fat_name), MEM_OWNER_FS);
    status = fat_name ? fat_name_make(name, length, fat_name) : VMK_NO_MEMORY;
    if (status == VMK_OK)
        status = fat_dirty(v);
    if (status == VMK_OK && directory)
        status = directory_make(dir, &first);
    if (status == VMK_OK) {
        entry_make(v, directory ? FAT_ATTR_DIR : FAT_ATTR_ARCHIVE, first, entry);
        status = fat_short_name_choose(dir, fat_name);
        if (status == VMK_OK)
            status = fat_name_add(dir, fat_name, entry, &place);
        if (status != VMK_OK && first)
            (void)!fat_chain_free(v, first);
    }
    heap_free(fat_name);
    if (status != VMK_OK)
        return status;
    *out = fat_node_new(v, entry, place);
    return *out ? VMK_OK : VMK_NO_MEMORY;
}
