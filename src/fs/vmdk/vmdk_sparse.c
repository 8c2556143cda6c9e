// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk_sparse.c -- extents that hold only what was written: hosted (KDMV) and ESX (COWD).
 *
 * A directory names tables, a table names grains; 0 is absent. Both levels are read through a
 * cache of 2 KiB lines. A new grain is appended to the file, and its entry changes in the cache
 * only. A flush makes three steps of it, each durable before the next:
 *
 *     grains, new tables  |  entries of tables (and their redundant copies)  |  entries of
 *                         directories
 *
 * so a table never names a grain that was not written, and a power cut at any place leaves each
 * grain as it was at the last flush or newer; what is lost is space at the end of the file.
 *
 * Invariants
 *   - A grain or table outside the file is CORRUPT, never read or written.
 *   - Dirty lines are never dropped: a full cache is flushed.
 * Locking    none: the disk's user.
 * Start at   vmdk_sparse_map(), vmdk_sparse_flush().
 * Sources    VMDK-FORMAT "VMDK sparse extent data file", "VMware COW sparse"; VDF "Hosted
 *            Sparse Extents", "ESX Server Sparse Extents".
 */
#include "core/heap.h"
#include "fs/vmdk/vmdk_sparse_internal.h"
#include "lib/endian.h"
#include "lib/string.h"

/* ---- the cache of table lines ---- */

static struct line **bucket_of(struct vmdk_sparse *s, uint64_t sector)
{
    return &s->buckets[(sector / LINE_SECTORS ^ sector >> 8) % LINE_BUCKETS];
}

static struct line *line_take(struct vmdk_sparse *s)
{
    struct line *oldest = NULL;
    struct line **at;

    if (s->line_count < LINES_MAX)
        return &s->lines[s->line_count++];
    for (unsigned i = 0; i < LINES_MAX; i++) {
        struct line *l = &s->lines[i];

        if (!l->dirty && (!oldest || s->clock - l->age > s->clock - oldest->age))
            oldest = l;
    }
    if (!oldest)
        return NULL;
    for (at = bucket_of(s, oldest->sector); *at != oldest; at = &(*at)->next)
        ;
    *at = oldest->next;
    return oldest;
}

/* The line of a table that begins at `table` which holds entry `index`. */
static vmk_status line_get(struct vmdk_sparse *s, uint64_t table, uint32_t index,
                           struct line **out)
{
    uint64_t sector = table + index / LINE_ENTRIES * LINE_SECTORS;
    struct line *l;
    vmk_status status;

    for (l = *bucket_of(s, sector); l; l = l->next) {
        if (l->sector == sector) {
            l->age = ++s->clock;
            *out = l;
            return VMK_OK;
        }
    }
    l = line_take(s);
    if (!l) {
        status = vmdk_sparse_flush(s);
        if (status != VMK_OK)
            return status;
        l = line_take(s);
    }
    l->sector = sector;
    l->copy = 0;
    l->dirty = 0;
    l->directory = false;
    l->age = ++s->clock;
    status = file_read_at(s->file, sector * VMDK_SECTOR, l->data, LINE_SIZE);
    if (status != VMK_OK)
        memset(l->data, 0, LINE_SIZE);
    if (status != VMK_OK)
        l->sector = UINT64_MAX;  // never asked for
    l->next = *bucket_of(s, l->sector);
    *bucket_of(s, l->sector) = l;
    *out = l;
    return status;
}

static uint32_t entry_get(const struct line *l, uint32_t index)
{
    return le32(l->data + 4 * (index % LINE_ENTRIES));
}

static void entry_put(struct vmdk_sparse *s, struct line *l, uint32_t index, uint32_t value)
{
    unsigned at = 4 * (index % LINE_ENTRIES);

    put_le32(l->data + at, value);
    l->dirty |= (uint8_t)(1u << at / VMDK_SECTOR);
    s->dirty = true;
}

static vmk_status line_write(struct vmdk_sparse *s, struct line *l)
{
    for (unsigned i = 0; i < LINE_SECTORS; i++) {
        const uint8_t *data = l->data + i * VMDK_SECTOR;
        vmk_status status = VMK_OK;

        if (!(l->dirty >> i & 1))
            continue;
        if (l->copy)
            status = vmdk_file_write(s->file, (l->copy + i) * VMDK_SECTOR, data, VMDK_SECTOR);
        if (status == VMK_OK)
            status = vmdk_file_write(s->file, (l->sector + i) * VMDK_SECTOR, data, VMDK_SECTOR);
        if (status != VMK_OK)
            return status;
        l->dirty &= (uint8_t) ~(1u << i);
    }
    return VMK_OK;
}

static vmk_status lines_write(struct vmdk_sparse *s, bool directory, bool *any)
{
    for (unsigned i = 0; i < s->line_count; i++) {
        struct line *l = &s->lines[i];
        vmk_status status;

        if (!l->dirty || l->directory != directory)
            continue;
        status = line_write(s, l);
        if (status != VMK_OK)
            return status;
        *any = true;
    }
    return VMK_OK;
}

vmk_status vmdk_sparse_flush(struct vmdk_sparse *s)
{
    bool tables = false;
    bool directories = false;
    vmk_status status = vmdk_file_sync(s->file);

    if (status != VMK_OK || !s->dirty)
        return status;
    status = lines_write(s, false, &tables);
    if (status == VMK_OK && tables)
        status = vmdk_file_sync(s->file);
    if (status == VMK_OK)
        status = lines_write(s, true, &directories);
    if (status == VMK_OK && !s->hosted && (tables || directories)) {
        uint8_t next[4];

        put_le32(next, (uint32_t)s->next_free);
        status = vmdk_file_write(s->file, ESX_NEXT_FREE, next, sizeof(next));
    }
    if (status == VMK_OK && directories)
        status = vmdk_file_sync(s->file);
    if (status == VMK_OK) {
        s->dirty = false;
        s->reusable_count = s->forgotten_count;
    }
    return status;
}

/* ---- from an offset to a grain ---- */

/* *table 0: the directory names none. */
static vmk_status table_find(struct vmdk_sparse *s, uint32_t gd_index, uint64_t *table)
{
    struct line *l;
    vmk_status status = line_get(s, s->gd, gd_index, &l);
    uint64_t bytes = (uint64_t)s->gt_entries * 4;

    if (status != VMK_OK)
        return status;
    *table = entry_get(l, gd_index);
    if (!*table)
        return VMK_OK;
    if (*table < (s->hosted ? 1 : s->first_grain) || *table * VMDK_SECTOR > s->file->size ||
        bytes > s->file->size - *table * VMDK_SECTOR)
        return VMK_CORRUPT;
    return VMK_OK;
}

static vmk_status grain_find(struct vmdk_sparse *s, uint64_t grain, struct vmdk_map *m)
{
    uint32_t index = (uint32_t)(grain % s->gt_entries);
    uint64_t table = 0;
    struct line *l;
    uint32_t entry;
    vmk_status status = table_find(s, (uint32_t)(grain / s->gt_entries), &table);

    m->where = VMDK_ABSENT;
    m->offset = 0;
    if (status != VMK_OK || !table)
        return status;
    status = line_get(s, table, index, &l);
    if (status != VMK_OK)
        return status;
    entry = entry_get(l, index);
    if (!entry)
        return VMK_OK;
    if (entry == 1 && s->zero_grains) {
        m->where = VMDK_IS_ZERO;
        return VMK_OK;
    }
    if (entry < s->first_grain || (uint64_t)entry * VMDK_SECTOR >= s->file->size)
        return VMK_CORRUPT;
    m->where = s->stream ? VMDK_COMPRESSED : VMDK_IN_FILE;
    m->offset = (uint64_t)entry * VMDK_SECTOR;
    return VMK_OK;
}

vmk_status vmdk_sparse_map(struct vmdk_sparse *s, uint64_t offset, uint64_t size,
                           struct vmdk_map *out)
{
    uint64_t grain_size = s->grain_sectors * VMDK_SECTOR;
    uint64_t grain = offset / grain_size;
    uint64_t inside = offset % grain_size;
    vmk_status status = grain_find(s, grain, out);

    out->length = MIN(grain_size - inside, size);
    if (status != VMK_OK)
        return status;
    if (out->where == VMDK_COMPRESSED)
        return VMK_OK;
    /* Whole runs at once, where they are alike. */
    while (out->length < size) {
        struct vmdk_map next;

        status = grain_find(s, ++grain, &next);
        if (status != VMK_OK || next.where != out->where ||
            (out->where == VMDK_IN_FILE && next.offset != out->offset + out->length + inside))
            break;  // an error is told when it is asked for
        out->length = MIN(out->length + grain_size, size);
    }
    if (out->where == VMDK_IN_FILE)
        out->offset += inside;
    return VMK_OK;
}

/* ---- writing ---- */

/* The redundant copy of a line of table `gd_index`. */
static vmk_status copy_find(struct vmdk_sparse *s, uint32_t gd_index, uint32_t index,
                            uint64_t *copy)
{
    uint8_t entry[4];
    vmk_status status;
    uint64_t table;

    *copy = 0;
    if (!s->rgd)
        return VMK_OK;
    status = file_read_at(s->file, s->rgd * VMDK_SECTOR + 4ull * gd_index, entry, 4);
    table = le32(entry);
    if (status != VMK_OK || !table)
        return status;
    if (table * VMDK_SECTOR > s->file->size ||
        (uint64_t)s->gt_entries * 4 > s->file->size - table * VMDK_SECTOR)
        return VMK_CORRUPT;
    *copy = table + index / LINE_ENTRIES * LINE_SECTORS;
    return VMK_OK;
}

static vmk_status append(struct vmdk_sparse *s, uint64_t align, uint64_t sectors, uint64_t *at)
{
    uint64_t first = (s->next_free + align - 1) / align * align;

    if (first + sectors > UINT32_MAX)
        return VMK_TOO_BIG;
    s->next_free = first + sectors;
    *at = first;
    return VMK_OK;
}

/* A table of zeros at the end of the file, and its place in the directory. */
static vmk_status table_make(struct vmdk_sparse *s, uint32_t gd_index, uint64_t *table)
{
    uint64_t bytes = round_up((uint64_t)s->gt_entries * 4, VMDK_SECTOR);
    uint8_t *zeros = heap_alloc(bytes, MEM_OWNER_FS);
    struct line *l;
    vmk_status status;

    if (!zeros)
        return VMK_NO_MEMORY;
    status = append(s, 1, bytes / VMDK_SECTOR, table);
    if (status == VMK_OK)
        status = vmdk_file_write(s->file, *table * VMDK_SECTOR, zeros, bytes);
    heap_free(zeros);
    if (status == VMK_OK)
        status = line_get(s, s->gd, gd_index, &l);
    if (status != VMK_OK)
        return status;
    l->directory = true;
    entry_put(s, l, gd_index, (uint32_t)*table);
    return VMK_OK;
}

/* The line of a grain's entry, made if it has no table yet. */
static vmk_status entry_line(struct vmdk_sparse *s, uint64_t grain, struct line **out)
{
    uint32_t gd_index = (uint32_t)(grain / s->gt_entries);
    uint32_t index = (uint32_t)(grain % s->gt_entries);
    uint64_t table = 0;
    uint64_t copy = 0;
    vmk_status status = table_find(s, gd_index, &table);

    if (status == VMK_OK && !table)
        status = table_make(s, gd_index, &table);
    else if (status == VMK_OK)
        status = copy_find(s, gd_index, index, &copy);
    if (status == VMK_OK)
        status = line_get(s, table, index, out);
    if (status == VMK_OK)
        (*out)->copy = copy;
    return status;
}

vmk_status vmdk_sparse_place(struct vmdk_sparse *s, uint64_t *file_offset)
{
    uint64_t sector = 0;
    vmk_status status = VMK_OK;

    if (s->reusable_count) {
        sector = s->forgotten[--s->reusable_count];
        s->forgotten[s->reusable_count] = s->forgotten[--s->forgotten_count];
    } else {
        status = append(s, s->hosted ? s->grain_sectors : 1, s->grain_sectors, &sector);
    }
    *file_offset = sector * VMDK_SECTOR;
    return status;
}

vmk_status vmdk_sparse_enter(struct vmdk_sparse *s, uint64_t offset, uint64_t file_offset)
{
    uint64_t grain = offset / VMDK_SECTOR / s->grain_sectors;
    struct line *l;
    vmk_status status = entry_line(s, grain, &l);

    if (status == VMK_OK)
        entry_put(s, l, (uint32_t)(grain % s->gt_entries),
                  (uint32_t)(file_offset / VMDK_SECTOR));
    return status;
}

vmk_status vmdk_sparse_forget(struct vmdk_sparse *s, uint64_t offset, bool has_parent)
{
    uint64_t grain = offset / VMDK_SECTOR / s->grain_sectors;
    struct vmdk_map m;
    struct line *l;
    vmk_status status = grain_find(s, grain, &m);

    if (status != VMK_OK || m.where == VMDK_IS_ZERO || (has_parent && !s->zero_grains) ||
        (m.where == VMDK_ABSENT && !has_parent))
        return status;
    status = entry_line(s, grain, &l);
    if (status != VMK_OK)
        return status;
    entry_put(s, l, (uint32_t)(grain % s->gt_entries), has_parent ? 1 : 0);
    if (m.where == VMDK_IN_FILE && s->forgotten_count < FORGOTTEN_MAX)
        s->forgotten[s->forgotten_count++] = (uint32_t)(m.offset / VMDK_SECTOR);
    return VMK_OK;
}

vmk_status vmdk_sparse_unclean(struct vmdk_sparse *s, bool unclean)
{
    uint8_t byte = unclean;

    return vmdk_file_write(s->file, s->hosted ? HOSTED_UNCLEAN : ESX_UNCLEAN, &byte, 1);
}

/* ---- checking ---- */

#define CHECK_WINDOW (1u << 20)  // sectors looked at in one pass

/* One bit per sector of the file within [base, base + CHECK_WINDOW). */
static bool mark(uint8_t *bits, uint64_t base, uint64_t sector, uint64_t count)
{
    bool twice = false;

    for (uint64_t i = sector; i < sector + count; i++) {
        if (i < base || i - base >= CHECK_WINDOW)
            continue;
        twice |= bits[(i - base) / 8] >> ((i - base) % 8) & 1;
        bits[(i - base) / 8] |= (uint8_t)(1u << (i - base) % 8);
    }
    return twice;
}

struct check {
    struct vmdk_sparse *s;
    const char *name;
    const struct vmdk_report *report;
    struct vmdk_check_result *out;
    uint8_t *bits;
    uint64_t base;
};

static void problem(struct check *c, uint64_t grain, const char *what)
{
    if (++c->out->problems <= 20)
        vmdk_say(c->report, "%s: grain %llu %s", c->name, (unsigned long long)grain, what);
}

static vmk_status check_table(struct check *c, uint32_t gd_index, uint64_t table)
{
    struct vmdk_sparse *s = c->s;
    uint64_t grain = (uint64_t)gd_index * s->gt_entries;
    uint64_t copy = 0;

    for (uint32_t i = 0; i < s->gt_entries; i++, grain++) {
        struct vmdk_map m;
        struct line *l;
        vmk_status status = grain_find(s, grain, &m);

        if (status == VMK_CORRUPT) {
            if (!c->base)
                problem(c, grain, "lies off the file");
            continue;
        }
        if (status != VMK_OK)
            return status;
        if (m.where == VMDK_IN_FILE &&
            mark(c->bits, c->base, m.offset / VMDK_SECTOR, s->grain_sectors))
            problem(c, grain, "shares its place with another grain or table");
        if (c->base)
            continue;
        c->out->grains += m.where == VMDK_IN_FILE || m.where == VMDK_COMPRESSED;
        if (s->rgd && i % LINE_ENTRIES == 0) {
            uint8_t other[LINE_SIZE];

            if (copy_find(s, gd_index, i, &copy) != VMK_OK) {
                problem(c, grain, "has a redundant table off the file");
                continue;
            }
            status = line_get(s, table, i, &l);
            if (status == VMK_OK)
                status = file_read_at(s->file, copy * VMDK_SECTOR, other, LINE_SIZE);
            if (status != VMK_OK)
                return status;
            if (copy && memcmp(other, l->data, MIN(LINE_SIZE, s->gt_entries * 4)) != 0)
                problem(c, grain, "and its neighbours differ in the redundant table");
        }
    }
    return VMK_OK;
}

vmk_status vmdk_sparse_check(struct vmdk_sparse *s, const char *name,
                             const struct vmdk_report *report, struct vmdk_check_result *out)
{
    struct check c = {.s = s, .name = name, .report = report, .out = out};
    vmk_status status = VMK_OK;

    c.bits = heap_alloc(CHECK_WINDOW / 8, MEM_OWNER_FS);
    if (!c.bits)
        return VMK_NO_MEMORY;
    for (; c.base * VMDK_SECTOR < s->file->size && status == VMK_OK; c.base += CHECK_WINDOW) {
        memset(c.bits, 0, CHECK_WINDOW / 8);
        (void)mark(c.bits, c.base, 0, 1);
        (void)mark(c.bits, c.base, s->gd, directory_sectors(s));
        if (s->rgd)
            (void)mark(c.bits, c.base, s->rgd, directory_sectors(s));
        for (uint32_t i = 0; i < s->gd_entries && status == VMK_OK; i++) {
            uint64_t table = 0;

            status = table_find(s, i, &table);
            if (status == VMK_CORRUPT) {
                if (!c.base)
                    problem(&c, (uint64_t)i * s->gt_entries, "has a table off the file");
                status = VMK_OK;
                continue;
            }
            if (status != VMK_OK || !table)
                continue;
            if (!s->stream &&
                mark(c.bits, c.base, table, ((uint64_t)s->gt_entries * 4 + 511) / VMDK_SECTOR))
                problem(&c, (uint64_t)i * s->gt_entries, "has a table that overlaps another");
            status = check_table(&c, i, table);
        }
    }
    heap_free(c.bits);
    return status;
}
