// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/fat/fat_move.c -- names removed and moved.
 *
 * A rename is one write where the old and the new name fit in one sector. Otherwise the old
 * name goes before the new one comes: two names for one chain would be worse than a chain
 * without a name. A file that replaces another takes over the other's entry, so the replaced
 * name always leads to the old contents or to the new.
 *
 * Invariants
 *   - At no moment two entries on disk name one chain.
 * Locking    none: the caller's.
 * Start at   fat_rename().
 */
#include "core/heap.h"
#include "fs/fat/fat_internal.h"
#include "lib/endian.h"
#include "lib/string.h"

static vmk_status is_empty(struct fat_node *dir)
{
    struct fat_scan *s = heap_alloc(sizeof(*s), MEM_OWNER_FS);
    vmk_status status;

    if (!s)
        return VMK_NO_MEMORY;
    s->dir = dir;
    do
        status = fat_scan_next(s);
    while (status == VMK_OK && fat_is_dot(&s->found));
    heap_free(s);
    return status == VMK_OK ? VMK_NOT_EMPTY : status == VMK_NOT_FOUND ? VMK_OK : status;
}

vmk_status fat_remove(struct fat_node *dir, const char *name, size_t length)
{
    struct fat_node *victim;
    struct fat_scan *s;
    vmk_status status = fat_find(dir, name, length, &s);

    if (status != VMK_OK)
        return status;
    victim = fat_node_new(dir->v, s->found.entry, s->found.place);
    status = victim ? VMK_OK : VMK_NO_MEMORY;
    if (status == VMK_OK && node_is_dir(victim))
        status = is_empty(victim);
    if (status == VMK_OK)
        status = fat_dirty(dir->v);
    if (status == VMK_OK)
        status = fat_name_remove(dir, &s->found);
    if (status == VMK_OK)
        victim->place = 0;
    heap_free(s);
    if (victim)
        fat_node_put(victim);
    return status;
}

static vmk_status dotdot_set(struct fat_node *dir, const struct fat_node *parent)
{
    struct fat_volume *v = dir->v;
    uint32_t first = node_is_root(parent) ? 0 : parent->first;
    uint64_t place;
    uint8_t *e;
    vmk_status status = fat_slot_get(dir, 1, &e, &place);

    if (status != VMK_OK)
        return status;
    put_le16(e + ENTRY_CLUSTER_LOW, (uint16_t)first);
    put_le16(e + ENTRY_CLUSTER_HIGH, v->bits == 32 ? (uint16_t)(first >> 16) : 0);
    status = fat_slot_put(dir, place, e);
    return status == VMK_OK ? fat_barrier(v) : status;
}

struct move {
    struct fat_node *from, *to, *moved;
    struct fat_scan *old;
    struct fat_name *name;
    uint8_t entry[FAT_ENTRY_SIZE];  // what the new name is to say
};

/* Both names in one sector of one directory: one write. False: they do not fit. */
static bool rename_in_sector(const struct move *m, vmk_status *status)
{
    struct fat_volume *v = m->from->v;
    const struct fat_found *f = &m->old->found;
    uint32_t per_sector = v->sector_size / FAT_ENTRY_SIZE;
    uint32_t begin = f->slot - f->slot % per_sector;
    unsigned count = fat_slots_needed(m->name);
    unsigned run = 0;
    uint8_t *s;

    *status = fat_sector_get(v, f->place / v->sector_size, &s);
    if (m->from != m->to || f->first_slot < begin || count > per_sector || *status != VMK_OK)
        return *status != VMK_OK;
    for (uint32_t i = 0; i < per_sector; i++) {
        uint32_t slot = begin + i;
        bool mine = slot >= f->first_slot && slot <= f->slot;

        run = mine || s[i * FAT_ENTRY_SIZE] == FAT_DELETED ? run + 1 : 0;
        if (!s[i * FAT_ENTRY_SIZE])
            return false;
        if (run < count)
            continue;
        for (uint32_t j = f->first_slot; j <= f->slot; j++)
            s[(j - begin) * FAT_ENTRY_SIZE] = FAT_DELETED;
        for (unsigned j = 0; j < count; j++)
            fat_slot_fill(m->name, m->entry, j, s + (i + 1 - count + j) * FAT_ENTRY_SIZE);
        *status = fat_sector_put(v, f->place / v->sector_size, s);
        m->moved->place =
            f->place / v->sector_size * v->sector_size + (uint64_t)i * FAT_ENTRY_SIZE;
        return true;
    }
    return false;
}

static vmk_status rename_apart(struct move *m)
{
    bool past_end;
    uint32_t first;
    uint64_t place;
    /* Room first: what fails then fails before anything has changed. */
    vmk_status status = fat_slots_find(m->to, fat_slots_needed(m->name), &first, &past_end);

    if (status == VMK_OK)
        status = fat_name_remove(m->from, &m->old->found);
    if (status == VMK_OK)
        status = fat_barrier(m->from->v);
    if (status != VMK_OK)
        return status;
    m->moved->place = 0;
    if (node_is_dir(m->moved) && m->from != m->to)
        status = dotdot_set(m->moved, m->to);
    if (status == VMK_OK)
        status = fat_name_add(m->to, m->name, m->entry, &place);
    if (status == VMK_OK)
        m->moved->place = place;
    return status;
}

/* The victim's entry says from now on what the moved one's said. */
static vmk_status rename_over(struct move *m, const struct fat_found *victim)
{
    struct fat_volume *v = m->from->v;
    uint64_t place = victim->place;
    struct fat_node *replaced = fat_node_new(v, victim->entry, place);
    uint8_t *s;
    uint8_t *e;
    vmk_status status = replaced ? VMK_OK : VMK_NO_MEMORY;

    if (status == VMK_OK && node_is_dir(replaced))
        status = is_empty(replaced);
    if (status == VMK_OK)
        status = fat_name_remove(m->from, &m->old->found);
    if (status == VMK_OK)
        status = fat_barrier(v);
    if (status == VMK_OK && node_is_dir(m->moved) && m->from != m->to)
        status = dotdot_set(m->moved, m->to);
    if (status == VMK_OK)
        status = fat_sector_get(v, place / v->sector_size, &s);
    if (status == VMK_OK) {
        e = s + place % v->sector_size;
        memcpy(e + ENTRY_ATTR, m->entry + ENTRY_ATTR, 1);
        memcpy(e + ENTRY_CREATED_10MS, m->entry + ENTRY_CREATED_10MS,
               FAT_ENTRY_SIZE - ENTRY_CREATED_10MS);
        status = fat_sector_put(v, place / v->sector_size, s);
    }
    if (status == VMK_OK) {
        replaced->place = 0;
        m->moved->place = place;
    }
    if (replaced)
        fat_node_put(replaced);
    return status;
}

vmk_status fat_rename(struct fat_node *from, const char *name, size_t length,
                      struct fat_node *to, const char *new_name, size_t new_length)
{
    struct move m = {.from = from, .to = to};
    struct fat_volume *v = from->v;
    struct fat_scan *victim = NULL;
    vmk_status status = fat_find(from, name, length, &m.old);

    if (status != VMK_OK)
        return status;
    m.name = heap_alloc(sizeof(*m.name), MEM_OWNER_FS);
    m.moved = fat_node_new(v, m.old->found.entry, m.old->found.place);
    status = m.name && m.moved ? fat_name_make(new_name, new_length, m.name) : VMK_NO_MEMORY;
    if (status == VMK_OK)
        status = fat_find(to, new_name, new_length, &victim);
    if (status == VMK_NOT_FOUND && (to->place || node_is_root(to)))
        status = VMK_OK;
    if (victim && victim->found.place == m.old->found.place) {  // another spelling of itself
        heap_free(victim);
        victim = NULL;
    }
    if (status == VMK_OK)
        status = fat_dirty(v);
    if (status == VMK_OK)
        status = fat_node_sync(m.moved);
    if (status == VMK_OK) {
        uint8_t *s;

        status = fat_sector_get(v, m.moved->place / v->sector_size, &s);
        if (status == VMK_OK)
            memcpy(m.entry, s + m.moved->place % v->sector_size, FAT_ENTRY_SIZE);
    }
    if (status == VMK_OK && victim) {
        status = rename_over(&m, &victim->found);
    } else if (status == VMK_OK) {
        status = fat_short_name_choose(to, m.name);
        if (status == VMK_EXISTS && from == to)
            status = VMK_OK;  // its own short name
        if (status == VMK_OK && !rename_in_sector(&m, &status) && status == VMK_OK)
            status = rename_apart(&m);
    }
    heap_free(victim);
    heap_free(m.name);
    heap_free(m.old);
    if (m.moved)
        fat_node_put(m.moved);
    return status;
}
