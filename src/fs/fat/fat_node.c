// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/fat/fat_node.c -- files in use: one node for each, its times and attributes.
 *
 * A node is known by the place of its directory entry, and so is its inode number, as long as
 * no other node has that number already: one that was renamed keeps its own.
 *
 * Invariants
 *   - One node per place; place 0 is the root, or a file whose name is gone and whose clusters
 *     go with the last reference.
 * Locking    none: the caller's.
 * Start at   fat_node_new(), fat_node_put().
 * Sources    FATGEN "Date and Time Formats".
 */
#include "core/assert.h"
#include "core/heap.h"
#include "fs/fat/fat_internal.h"
#include "lib/endian.h"

/* ---- times ---- */

static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;

    int64_t era = year / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int64_t fat_time_get(uint16_t date, uint16_t time, uint8_t ten_ms)
{
    unsigned month = date >> 5 & 15;
    unsigned day = date & 31;
    int64_t seconds;

    if (!month || month > 12 || !day)
        return 315532800ll * 1000000000;  // 1980
    seconds = days_of(1980 + (date >> 9), month, day) * 86400 + (time >> 11) * 3600 +
              (time >> 5 & 63) * 60 + (time & 31) * 2;
    return seconds * 1000000000 + MIN(ten_ms, 199) * 10000000ll;
}

void fat_time_put(int64_t ns, uint8_t *out, bool date_only)
{
    int64_t seconds = MAX(ns / 1000000000, 315532800ll);
    int64_t days = MIN(seconds / 86400, 47481);  // 2099
    int64_t of_day = seconds % 86400;
    int64_t z = days + 719468;
    int64_t of_era = z % 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t mp = (5 * of_year + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = year_of_era + z / 146097 * 400 + (month <= 2);
    uint16_t date =
        (uint16_t)((year - 1980) << 9 | month << 5 | (of_year - (153 * mp + 2) / 5 + 1));

    if (date_only) {
        put_le16(out, date);
        return;
    }
    put_le16(out, (uint16_t)(of_day / 3600 << 11 | of_day / 60 % 60 << 5 | of_day % 60 / 2));
    put_le16(out + 2, date);
}

/* ---- nodes ---- */

uint32_t fat_entry_first(const struct fat_volume *v, const uint8_t *e)
{
    uint32_t low = le16(e + ENTRY_CLUSTER_LOW);

    return v->bits == 32 ? low | (uint32_t)(le16(e + ENTRY_CLUSTER_HIGH) & 0x0fff) << 16 : low;
}

static struct fat_node *node_at(struct fat_volume *v, uint64_t place)
{
    list_for_each (at, &v->nodes) {
        struct fat_node *n = list_entry(at, struct fat_node, link);

        if (n->place == place)
            return n;
    }
    return NULL;
}

uint64_t fat_inode_of(struct fat_volume *v, uint64_t place)
{
    const struct fat_node *there = node_at(v, place);

    return there ? there->inode : place / FAT_ENTRY_SIZE + 2;
}

struct fat_node *fat_node_new(struct fat_volume *v, const uint8_t *e, uint64_t place)
{
    struct fat_node *n = node_at(v, place);
    uint64_t inode = place / FAT_ENTRY_SIZE + 2;

    if (n) {
        n->refs++;
        return n;
    }
    n = heap_alloc(sizeof(*n), MEM_OWNER_FS);
    if (!n)
        return NULL;
    list_for_each (at, &v->nodes) {
        if (list_entry(at, struct fat_node, link)->inode == inode)
            inode = v->next_inode++;
    }
    *n = (struct fat_node){.v = v,
                           .refs = 1,
                           .place = place,
                           .inode = inode,
                           .first = fat_entry_first(v, e),
                           .size = le32(e + ENTRY_SIZE),
                           .attr = e[ENTRY_ATTR],
                           .chain = UINT32_MAX};
    n->mtime_ns = fat_time_get(le16(e + ENTRY_MODIFIED + 2), le16(e + ENTRY_MODIFIED), 0);
    n->ctime_ns = fat_time_get(le16(e + ENTRY_CREATED + 2), le16(e + ENTRY_CREATED),
                               e[ENTRY_CREATED_10MS]);
    n->atime_ns = fat_time_get(le16(e + ENTRY_ACCESSED), 0, 0);
    list_add_tail(&v->nodes, &n->link);
    return n;
}

struct fat_node *fat_root(struct fat_volume *v)
{
    v->root->refs++;
    return v->root;
}

void fat_node_ref(struct fat_node *n)
{
    n->refs++;
}

void fat_node_put(struct fat_node *n)
{
    vmk_assert(n->refs > 0);
    if (--n->refs || node_is_root(n))
        return;
    if (!n->place) {
        if (n->first && fat_barrier(n->v) == VMK_OK)
            (void)!fat_chain_free(n->v, n->first);
    } else if (n->changed) {
        (void)!fat_node_sync(n);
    }
    list_remove(&n->link);
    heap_free(n);
}

/* ---- attributes ---- */

void fat_attr_get(struct fat_node *n, struct fat_attr *out)
{
    uint32_t chain = 0;

    (void)!fat_node_chain(n, &chain);
    *out = (struct fat_attr){.directory = node_is_dir(n),
                             .read_only = n->attr & FAT_ATTR_READONLY,
                             .hidden = n->attr & FAT_ATTR_HIDDEN,
                             .system = n->attr & FAT_ATTR_SYSTEM,
                             .size = n->size,
                             .inode = n->inode,
                             .clusters = chain,
                             .mtime_ns = n->mtime_ns,
                             .atime_ns = n->atime_ns,
                             .ctime_ns = n->ctime_ns};
    if (node_is_dir(n))
        out->size = node_is_root(n) && n->v->bits != 32
                        ? n->v->root_sectors * n->v->sector_size
                        : (uint32_t)MIN((uint64_t)chain * n->v->cluster_size, UINT32_MAX);
}

vmk_status fat_attr_set(struct fat_node *n, unsigned what, const struct fat_attr *from)
{
    vmk_status status = fat_dirty(n->v);

    if (status != VMK_OK)
        return status;
    if (what & FAT_SET_READ_ONLY)
        n->attr = (uint8_t)((n->attr & ~FAT_ATTR_READONLY) |
                            (from->read_only ? FAT_ATTR_READONLY : 0));
    if (what & FAT_SET_MTIME)
        n->mtime_ns = from->mtime_ns;
    if (what & FAT_SET_ATIME)
        n->atime_ns = from->atime_ns;
    n->changed = true;
    return VMK_OK;
}
