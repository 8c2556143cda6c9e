// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/fat/fat_table.c -- the file allocation table: chains of clusters, and who is free.
 *
 * All copies are written, the first one first; the first one is read, and another when that
 * fails. An entry changes within one sector, whole or not at all. FAT12 has entries across two
 * sectors: clusters of which that is true are never given out here.
 *
 * A chain is freed from its head on, and each sector of the table is durable before the next:
 * what a power cut leaves of it is a chain that nothing names, and never one that leads into
 * clusters which were given to somebody else.
 *
 * Invariants
 *   - A number read from the table is used only if it is a cluster of the volume.
 * Locking    none: the caller's.
 * Start at   fat_chain_make(), fat_chain_free().
 * Sources    FATGEN "FAT Data Structure".
 */
#include "fs/fat/fat_internal.h"
#include "lib/endian.h"

/* Where an entry stands: byte of the table. */
static uint64_t entry_at(const struct fat_volume *v, uint32_t cluster)
{
    return (uint64_t)cluster * v->bits / 8;
}

static bool crosses(const struct fat_volume *v, uint32_t cluster)
{
    return v->bits == 12 && entry_at(v, cluster) % v->sector_size == v->sector_size - 1;
}

static uint32_t end_mark(const struct fat_volume *v)
{
    return v->bits == 12 ? 0xfff : v->bits == 16 ? 0xffff : 0x0fffffff;
}

static vmk_status table_sector(struct fat_volume *v, uint64_t sector, uint8_t **data)
{
    vmk_status status = VMK_IO_ERROR;

    for (unsigned i = 0; i < v->fats && status == VMK_IO_ERROR; i++)
        status = fat_sector_get(v, v->fat_begin + (uint64_t)i * v->fat_sectors + sector, data);
    return status;
}

static vmk_status raw_get(struct fat_volume *v, uint32_t cluster, uint32_t *value)
{
    uint64_t at = entry_at(v, cluster);
    uint32_t inside = (uint32_t)(at % v->sector_size);
    uint8_t *s;
    vmk_status status = table_sector(v, at / v->sector_size, &s);

    if (status != VMK_OK)
        return status;
    if (v->bits == 32) {
        *value = le32(s + inside) & 0x0fffffff;
        return VMK_OK;
    }
    if (v->bits == 16) {
        *value = le16(s + inside);
        return VMK_OK;
    }

    uint32_t both = s[inside];

    if (crosses(v, cluster)) {
        status = table_sector(v, at / v->sector_size + 1, &s);
        if (status != VMK_OK)
            return status;
        both |= (uint32_t)s[0] << 8;
    } else {
        both |= (uint32_t)s[inside + 1] << 8;
    }
    *value = cluster & 1 ? both >> 4 : both & 0xfff;
    return VMK_OK;
}

/* A sector of the table in every copy. */
static vmk_status table_put(struct fat_volume *v, uint64_t sector, const uint8_t *data)
{
    vmk_status status = VMK_OK;

    for (unsigned i = 0; i < v->fats && status == VMK_OK; i++) {
        uint64_t at = v->fat_begin + (uint64_t)i * v->fat_sectors + sector;

        if (i) {
            /* The copy in memory, if there is one, has to follow. */
            for (unsigned j = 0; j < FAT_BUFFERS; j++) {
                if (v->buffers[j].valid && v->buffers[j].sector == at)
                    v->buffers[j].valid = false;
            }
        }
        status = fat_sector_put(v, at, data);
    }
    return status;
}

static vmk_status byte_put(struct fat_volume *v, uint64_t at, uint8_t mask, uint8_t value)
{
    uint8_t *s;
    vmk_status status = table_sector(v, at / v->sector_size, &s);

    if (status != VMK_OK)
        return status;
    s[at % v->sector_size] = (uint8_t)((s[at % v->sector_size] & ~mask) | value);
    return table_put(v, at / v->sector_size, s);
}

/* Changes an entry in a sector that is in memory. */
static void raw_set(const struct fat_volume *v, uint8_t *s, uint32_t cluster, uint32_t value)
{
    uint32_t inside = (uint32_t)(entry_at(v, cluster) % v->sector_size);

    if (v->bits == 32)
        put_le32(s + inside, (le32(s + inside) & 0xf0000000) | value);
    else if (v->bits == 16)
        put_le16(s + inside, (uint16_t)value);
    else if (cluster & 1)
        put_le16(s + inside, (uint16_t)((le16(s + inside) & 0x000f) | value << 4));
    else
        put_le16(s + inside, (uint16_t)((le16(s + inside) & 0xf000) | value));
}

static vmk_status raw_put(struct fat_volume *v, uint32_t cluster, uint32_t value)
{
    uint64_t at = entry_at(v, cluster);
    uint8_t *s;
    vmk_status status;

    if (crosses(v, cluster)) {
        uint32_t both = cluster & 1 ? value << 4 : value;

        status = byte_put(v, at, cluster & 1 ? 0xf0 : 0xff, (uint8_t)both);
        return status == VMK_OK
                   ? byte_put(v, at + 1, cluster & 1 ? 0xff : 0x0f, (uint8_t)(both >> 8))
                   : status;
    }
    status = table_sector(v, at / v->sector_size, &s);
    if (status != VMK_OK)
        return status;
    raw_set(v, s, cluster, value);
    return table_put(v, at / v->sector_size, s);
}

vmk_status fat_next(struct fat_volume *v, uint32_t cluster, uint32_t *next)
{
    uint32_t value;
    vmk_status status;

    if (!cluster_valid(v, cluster))
        return VMK_CORRUPT;
    status = raw_get(v, cluster, &value);
    if (status != VMK_OK)
        return status;
    if (value >= (end_mark(v) & ~7u)) {
        *next = 0;
        return VMK_OK;
    }
    *next = value;
    return cluster_valid(v, value) ? VMK_OK : VMK_CORRUPT;
}

vmk_status fat_link(struct fat_volume *v, uint32_t cluster, uint32_t next)
{
    return cluster_valid(v, cluster) ? raw_put(v, cluster, next ? next : end_mark(v))
                                     : VMK_CORRUPT;
}

/* Takes a free cluster behind `last` (0: the first); its sector of the table stays in *held. */
static vmk_status take(struct fat_volume *v, uint32_t cluster, uint32_t last, uint64_t *held)
{
    uint64_t sector = entry_at(v, cluster) / v->sector_size;
    uint8_t *s;
    vmk_status status = table_sector(v, sector, &s);

    if (status != VMK_OK)
        return status;
    raw_set(v, s, cluster, end_mark(v));
    *held = sector;
    if (!last)
        return VMK_OK;
    if (entry_at(v, last) / v->sector_size == sector) {
        raw_set(v, s, last, cluster);
        return VMK_OK;
    }
    /* The link lies in another sector: it may not be there before what it names. */
    *held = UINT64_MAX;
    status = table_put(v, sector, s);
    if (status == VMK_OK)
        status = fat_barrier(v);
    return status == VMK_OK ? raw_put(v, last, cluster) : status;
}

/* Writes the sector that take() left in memory. */
static vmk_status held_put(struct fat_volume *v, uint64_t *held)
{
    uint64_t sector = *held;
    uint8_t *s;
    vmk_status status;

    if (sector == UINT64_MAX)
        return VMK_OK;
    *held = UINT64_MAX;
    status = table_sector(v, sector, &s);
    return status == VMK_OK ? table_put(v, sector, s) : status;
}

vmk_status fat_chain_make(struct fat_volume *v, uint32_t near, uint32_t count, uint32_t *first)
{
    uint32_t cluster = near ? near : v->hint;
    uint32_t last = 0;
    uint32_t done = 0;
    uint64_t held = UINT64_MAX;
    vmk_status status = VMK_OK;

    *first = 0;
    if (!cluster_valid(v, cluster))
        cluster = 2;
    for (uint32_t i = 0; i < v->clusters && done < count && status == VMK_OK; i++) {
        uint32_t value = 1;

        if (held != UINT64_MAX && entry_at(v, cluster) / v->sector_size != held)
            status = held_put(v, &held);
        if (status == VMK_OK && !crosses(v, cluster))
            status = raw_get(v, cluster, &value);
        if (status == VMK_OK && !value) {
            status = take(v, cluster, last, &held);
            *first = *first ? *first : cluster;
            last = cluster;
            done++;
            if (v->free_count != UINT32_MAX && v->free_count)
                v->free_count--;
        }
        cluster = cluster - 1 < v->clusters ? cluster + 1 : 2;
    }
    if (status == VMK_OK)
        status = held_put(v, &held);
    if (status == VMK_OK && done < count)
        status = VMK_NO_SPACE;
    if (status == VMK_OK) {
        v->hint = cluster;
        return VMK_OK;
    }
    if (*first)
        (void)!fat_chain_free(v, *first);
    *first = 0;
    return status;
}

vmk_status fat_chain_free(struct fat_volume *v, uint32_t first)
{
    uint64_t held = UINT64_MAX;  // sector of the table that has changes
    uint8_t *s = NULL;
    vmk_status status = VMK_OK;

    for (uint32_t cluster = first; cluster_valid(v, cluster);) {
        uint64_t sector = entry_at(v, cluster) / v->sector_size;
        uint32_t value;

        if (sector != held && held != UINT64_MAX) {
            status = table_put(v, held, s);
            if (status == VMK_OK)
                status = fat_barrier(v);
            if (status != VMK_OK)
                return status;
            held = UINT64_MAX;
        }
        status = raw_get(v, cluster, &value);
        if (status != VMK_OK || !value)
            break;  // free already: the chain was damaged
        if (crosses(v, cluster)) {
            if (held != UINT64_MAX)
                status = table_put(v, held, s);
            held = UINT64_MAX;
            if (status == VMK_OK)
                status = raw_put(v, cluster, 0);
            if (status == VMK_OK)
                status = fat_barrier(v);
        } else {
            status = table_sector(v, sector, &s);
            if (status == VMK_OK) {
                raw_set(v, s, cluster, 0);
                held = sector;
            }
        }
        if (status != VMK_OK)
            return status;
        if (v->free_count != UINT32_MAX)
            v->free_count++;
        cluster = value;
    }
    if (held != UINT64_MAX) {
        vmk_status put = table_put(v, held, s);

        status = status == VMK_OK ? put : status;
    }
    return status;
}

vmk_status fat_count_free(struct fat_volume *v)
{
    uint32_t count = 0;

    for (uint32_t cluster = 2; cluster < v->clusters + 2; cluster++) {
        uint32_t value;
        vmk_status status = raw_get(v, cluster, &value);

        if (status != VMK_OK)
            return status;
        count += !value;
    }
    v->free_count = count;
    return VMK_OK;
}

vmk_status fat_state_get(struct fat_volume *v, bool *clean)
{
    uint32_t value = 0;
    vmk_status status = v->bits == 12 ? VMK_OK : raw_get(v, 1, &value);

    *clean = v->bits == 12 || value >> (v->bits == 16 ? 15 : 27) & 1;
    return status;
}

vmk_status fat_state_set(struct fat_volume *v, bool clean)
{
    uint32_t bit = v->bits == 16 ? 1u << 15 : 1u << 27;
    uint32_t value = 0;
    vmk_status status;

    if (v->bits == 12)
        return VMK_OK;
    status = raw_get(v, 1, &value);
    if (status != VMK_OK)
        return status;
    return raw_put(v, 1, clean ? value | bit : value & ~bit);
}
