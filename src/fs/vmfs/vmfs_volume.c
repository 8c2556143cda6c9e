// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_volume.c -- extents, superblock, mount and unmount, growing.
 *
 * A volume is the concatenation of 256 MiB extents on 1..32 devices, each of which carries a
 * header that names the volume, which of its extents it holds, and how many devices there are.
 *
 * Invariants
 *   - After `dead` is set nothing is written (volume_enter()).
 * Locking    vmfs_volume.mutex.
 * Start at   vmfs_mount().
 */
#include "core/heap.h"
#include "core/log.h"
#include "fs/vmfs/vmfs_internal.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"

void *vmfs_alloc(size_t size)
{
    return heap_alloc(size, MEM_OWNER_KERNEL);
}

void vmfs_uuid_text(const struct vmfs_uuid *uuid, char out[VMFS_UUID_TEXT])
{
    const uint8_t *r = uuid->raw;

    vmk_snprintf(out, VMFS_UUID_TEXT, "%08x-%08x-%04x-%02x%02x%02x%02x%02x%02x", le32(r),
                 le32(r + 4), le16(r + 8), r[10], r[11], r[12], r[13], r[14], r[15]);
}

struct vmfs_uuid vmfs_uuid_make(uint64_t seconds, uint64_t random_a, uint64_t random_b)
{
    struct vmfs_uuid uuid;

    put_le32(uuid.raw, (uint32_t)seconds);
    put_le32(uuid.raw + 4, (uint32_t)random_a);
    put_le16(uuid.raw + 8, (uint16_t)(random_a >> 32));
    for (unsigned i = 0; i < 6; i++)
        uuid.raw[10 + i] = (uint8_t)(random_b >> (8 * i));
    uuid.raw[10] = (uint8_t)((uuid.raw[10] & 0xfcu) | 2);  // a locally made MAC address
    return uuid;
}

uint32_t volume_seconds(const struct vmfs_volume *v)
{
    return (uint32_t)(v->how.seconds
                          ? v->how.seconds()
                          : plat_wall_time_at_boot() + plat_time_now() / 1000000000ull);
}

vmk_status volume_enter(struct vmfs_volume *v, bool write)
{
    vmk_status status;

    mutex_lock(&v->mutex);
    /* What the cache holds is good only while nobody could break our locks. */
    status = hb_lease(v);
    if (v->dead != VMK_OK)
        return v->dead == VMK_FENCED || write ? v->dead : VMK_OK;
    if (status != VMK_OK)
        return status;
    return write && v->how.read_only ? VMK_READ_ONLY : VMK_OK;
}

vmk_status volume_leave(struct vmfs_volume *v, vmk_status status)
{
    meta_drop_uncovered(v);
    mutex_unlock(&v->mutex);
    return status;
}

vmk_status volume_settle(struct vmfs_volume *v)
{
    vmk_status status = journal_commit(v);

    if (status == VMK_OK && v->lock_count > LOCKS_AUTO) {
        status = lv_flush(v);
        if (status == VMK_OK)
            status = locks_release(v);
    }
    return status;
}

/* ---- mounting ---- */

/* The two sectors at the head of an extent. */
static vmk_status head_read(struct block_device *device, uint8_t *head, uint8_t *entry)
{
    vmk_status status = block_read(device, LVM_BASE, head, VMFS_SECTOR);

    return status == VMK_OK ? block_read(device, LVM_VOLUME, entry, VMFS_SECTOR) : status;
}

static bool major_known(const uint8_t *head)
{
    return le32(head + LVM_D_MAJOR) == LVM_MAJOR || le32(head + LVM_D_MAJOR) == LVM_MAJOR_OLD;
}

vmk_status vmfs_probe(struct block_device *device, struct vmfs_extent_info *out)
{
    uint8_t head[VMFS_SECTOR];
    uint8_t entry[VMFS_SECTOR];
    vmk_status status;

    if (device->block_size != VMFS_SECTOR || device->size < LVM_DATA)
        return VMK_BAD_FORMAT;
    status = head_read(device, head, entry);
    if (status != VMK_OK)
        return status;
    if (le32(head + LVM_D_MAGIC) != LVM_MAGIC || !major_known(head))
        return VMK_BAD_FORMAT;
    memcpy(out->volume.raw, entry + LVM_V_UUID, VMFS_UUID_SIZE);
    out->devices = le32(entry + LVM_V_DEVICES);
    out->first = le64(entry + LVM_V_FIRST_PE);
    out->size = (uint64_t)le32(entry + LVM_V_PES) << LVM_PE_SHIFT;
    return VMK_OK;
}

/* Is it the first of those on its device? */
static bool is_first_piece(const struct vmfs_volume *v, unsigned piece)
{
    unsigned i = 0;

    while (v->extents[i].device != v->extents[piece].device)
        i++;
    return i == piece;
}

/* A run of the volume that lies in one piece on its device. What is wrong with it, or null. */
static const char *piece_add(struct vmfs_volume *v, const struct vmfs_extent *e)
{
    struct vmfs_extent *before = v->extent_count ? &v->extents[v->extent_count - 1] : NULL;

    for (unsigned i = 0; i < v->extent_count; i++) {
        const struct vmfs_extent *o = &v->extents[i];

        if (e->first_pe < o->first_pe + o->pes && o->first_pe < e->first_pe + e->pes)
            return "the same extents as another device";
    }
    if (before && before->device == e->device &&
        before->first_pe + before->pes == e->first_pe &&
        before->data + (before->pes << LVM_PE_SHIFT) == e->data) {
        before->pes += e->pes;
        return NULL;
    }
    if (v->extent_count == PIECES_MAX)
        return "the volume is in too many pieces";
    v->extents[v->extent_count++] = *e;
    return NULL;
}

/*
 * A device that was grown while others followed it in the volume: only its table of extents
 * says which it has. All devices of our own volumes, and nearly all of others, have one run.
 */
static vmk_status load_table(struct vmfs_volume *v, struct block_device *device, uint64_t pes,
                             bool reads, const char **wrong)
{
    const uint64_t room = (device->size - LVM_DATA) >> LVM_PE_SHIFT;
    uint8_t sector[VMFS_SECTOR];

    v->scattered = true;
    for (uint64_t i = 0; pes && !*wrong; i++) {
        const uint64_t at = lvm_pe_entry(i);
        const uint8_t *entry = sector + at % VMFS_SECTOR;

        if (i == (uint64_t)LVM_PES_PER_MAP * LVM_PE_MAPS_MAX || (i >= room && !reads)) {
            *wrong = "fewer extents in its table than it should have";
            break;
        }
        if (at % VMFS_SECTOR == 0) {
            vmk_status status = block_read(device, at, sector, sizeof(sector));

            if (status != VMK_OK)
                return status;
        }
        if (entry[LVM_P_USED] != 1)
            continue;

        const uint64_t volume_at = le64(entry + LVM_P_VOLUME_AT);
        const struct vmfs_extent e = {.device = device,
                                      .first_pe = volume_at >> LVM_PE_SHIFT,
                                      .pes = 1,
                                      .data = LVM_DATA + (i << LVM_PE_SHIFT)};

        if (volume_at % LVM_PE_SIZE || e.first_pe >> 20 ||
            le64(entry + LVM_P_LENGTH) != LVM_PE_SIZE ||
            le64(entry + LVM_P_DEVICE_AT) != e.data)
            *wrong = "table of extents";
        else
            *wrong = piece_add(v, &e);
        pes--;
    }
    return VMK_OK;
}

static vmk_status load_extent(struct vmfs_volume *v, struct block_device *device,
                              uint8_t *volume_entry)
{
    uint8_t head[VMFS_SECTOR];
    uint8_t entry[VMFS_SECTOR];
    vmk_status status;
    const char *wrong = NULL;
    bool reads = v->how.read_only || device->read_only;

    if (device->block_size != VMFS_SECTOR) {
        vmk_log(VMK_LOG_ERROR, "LVM: %s: blocks of %u bytes, VMFS-5 needs 512", device->name,
                device->block_size);
        return VMK_UNSUPPORTED;
    }
    if (device->size < LVM_DATA + (reads ? 0 : LVM_PE_SIZE)) {
        vmk_log(VMK_LOG_ERROR, "LVM: %s: too small for a VMFS volume", device->name);
        return VMK_BAD_FORMAT;
    }
    status = head_read(device, head, entry);
    if (status != VMK_OK)
        return status;
    if (le32(head + LVM_D_MAGIC) != LVM_MAGIC) {
        vmk_log(VMK_LOG_ERROR, "LVM: %s: no VMFS volume here (magic 0x%08x)", device->name,
                le32(head + LVM_D_MAGIC));
        return VMK_BAD_FORMAT;
    }
    if (!major_known(head)) {
        vmk_log(VMK_LOG_ERROR, "LVM: %s: version %u; VMFS-5 and VMFS-3 are known", device->name,
                le32(head + LVM_D_MAJOR));
        return VMK_UNSUPPORTED;
    }

    const struct vmfs_extent e = {.device = device,
                                  .first_pe = le64(entry + LVM_V_FIRST_PE),
                                  .pes = le32(entry + LVM_V_PES),
                                  .data = LVM_DATA};
    const uint64_t last = le64(entry + LVM_V_LAST_PE);
    const bool in_one = last - e.first_pe + 1 == e.pes;

    if (!e.pes || e.pes >> 20 || e.first_pe >> 20 ||
        (!in_one && (last >> 20 || last < e.first_pe || last - e.first_pe < e.pes)))
        wrong = "range of extents";
    else if (e.pes > (device->size - LVM_DATA) >> LVM_PE_SHIFT && !reads)
        wrong = "more extents than the device holds";
    else if (!le32(entry + LVM_V_DEVICES) || le32(entry + LVM_V_DEVICES) > LVM_EXTENTS_MAX)
        wrong = "number of devices";
    else if (v->device_count &&
             memcmp(entry + LVM_V_UUID, volume_entry + LVM_V_UUID, VMFS_UUID_SIZE) != 0)
        wrong = "of another volume (UUID)";
    else if (in_one)
        wrong = piece_add(v, &e);
    else
        status = load_table(v, device, e.pes, reads, &wrong);
    if (status != VMK_OK)
        return status;
    if (wrong) {
        vmk_log(VMK_LOG_ERROR, "LVM: %s: %s", device->name, wrong);
        return VMK_CORRUPT;
    }
    if (e.pes > (device->size - LVM_DATA) >> LVM_PE_SHIFT)
        vmk_log(VMK_LOG_WARN, "LVM: %s: %llu bytes of %llu are here: the rest cannot be read",
                device->name, (unsigned long long)device->size,
                (unsigned long long)(LVM_DATA + (e.pes << LVM_PE_SHIFT)));
    /* The oldest head counts: see settle_extents(). */
    if (!v->device_count ||
        le64(entry + LVM_V_GENERATION) < le64(volume_entry + LVM_V_GENERATION))
        memcpy(volume_entry, entry, sizeof(entry));
    v->device_count++;
    return VMK_OK;
}

/*
 * Heads of one volume may differ if the power went while it grew: the last extent was made
 * larger, or added, before the first one knew of it. What the oldest head says is what
 * everything else on the volume agrees with; the rest is cut off, until the volume is grown
 * again.
 */
static void settle_extents(struct vmfs_volume *v, const uint8_t *volume_entry)
{
    uint64_t pes = le64(volume_entry + LVM_V_SIZE) >> LVM_PE_SHIFT;
    unsigned kept = 0;

    v->size = 0;
    for (unsigned i = 0; i < v->extent_count; i++) {
        struct vmfs_extent e = v->extents[i];

        if (e.first_pe >= pes || e.pes > pes - e.first_pe)
            vmk_log(VMK_LOG_WARN, "LVM: %s: the volume was not grown to its end: grow it again",
                    e.device->name);
        if (e.first_pe >= pes)
            continue;
        e.pes = MIN(e.pes, pes - e.first_pe);
        v->extents[kept++] = e;
        v->size += e.pes << LVM_PE_SHIFT;
    }
    v->extent_count = kept;
    v->device_count = 0;
    for (unsigned i = 0; i < kept; i++)
        v->device_count += is_first_piece(v, i);
}

static vmk_status super_is_wrong(const struct vmfs_volume *v, const char *what)
{
    vmk_log(VMK_LOG_ERROR, "VMFS: %s: superblock: %s", v->extents[0].device->name, what);
    return VMK_CORRUPT;
}

/* The place of the root's descriptor, and what of it is needed to find it by its name. */
static vmk_status find_descriptors(struct vmfs_volume *v)
{
    uint64_t base = MAX(fb_size(v), FDC_BASE);
    uint8_t head[VMFS_SECTOR];
    vmk_status status = lv_read(v, base, head, sizeof(head));
    uint32_t header = le32(head + RES_H_HEADER);
    uint32_t per_group = le32(head + RES_H_PER_GROUP);
    const uint32_t said_header = le32(v->super + FS_FDC_HEADER);
    const uint32_t said_clusters = le32(v->super + FS_FDC_CLUSTERS);

    if (status != VMK_OK)
        return status;
    /* The superblock of VMFS-3 does not say it. */
    if (!v->old_geometry && ((said_header && said_header != header) ||
                             (said_clusters && said_clusters != per_group)))
        return super_is_wrong(v, "place of the descriptors");
    if (header < VMFS_SECTOR || header % VMFS_SECTOR || header > fb_size(v) || !per_group ||
        per_group > 1024)
        return super_is_wrong(v, "geometry of .fdc.sf");
    v->descriptors = base + header + (uint64_t)per_group * RES_CLUSTER_SIZE;
    status = lv_read(v, v->descriptors + FD_META, head, sizeof(head));
    v->root_generation = le32(head + FD_GENERATION);
    return status;
}

/*
 * Volumes made as VMFS-3 keep their blocks of 1 to 8 MiB, sub-blocks of 64 KiB and groups of 32
 * clusters when they are upgraded. Nothing is written to one.
 */
static vmk_status load_geometry(struct vmfs_volume *v)
{
    uint32_t major = le32(v->super + FS_MAJOR_AT);
    uint64_t block = le64(v->super + FS_BLOCK_SIZE);
    uint32_t sub = le32(v->super + FS_SUB_BLOCK);

    v->fb_shift = VMFS_FB_SHIFT;
    v->sb_shift = VMFS_SB_SHIFT;
    while (v->fb_shift < FB_SHIFT_MAX && block > fb_size(v))
        v->fb_shift++;
    while (v->sb_shift < SB_SHIFT_MAX && sub > sb_size(v))
        v->sb_shift++;
    v->old_geometry = major != FS_MAJOR || block != VMFS_FB_SIZE || sub != VMFS_SB_SIZE ||
                      !(le32(v->super + FS_MODE) & FS_MODE_DENSE);
    if (major < FS_MAJOR_OLDEST || major > FS_MAJOR || block != fb_size(v) ||
        sub != sb_size(v)) {
        vmk_log(VMK_LOG_ERROR,
                "VMFS: %s: version %u.%u, blocks %llu, sub-blocks %u: VMFS-5 and VMFS-3 are "
                "known",
                v->extents[0].device->name, major, v->super[FS_MINOR_AT],
                (unsigned long long)block, sub);
        return VMK_UNSUPPORTED;
    }
    if (v->old_geometry && !v->how.read_only) {
        vmk_log(VMK_LOG_WARN,
                "VMFS: %s: version %u.%u, blocks %llu, sub-blocks %u: a volume made as VMFS-3 "
                "is read only",
                v->extents[0].device->name, major, v->super[FS_MINOR_AT],
                (unsigned long long)block, sub);
        v->how.read_only = true;
    }
    return find_descriptors(v);
}

static vmk_status load_super(struct vmfs_volume *v, const uint8_t *volume_entry)
{
    vmk_status status;

    if (v->device_count < le32(volume_entry + LVM_V_DEVICES) ||
        v->size != le64(volume_entry + LVM_V_SIZE)) {
        vmk_log(VMK_LOG_ERROR, "LVM: %u of %u devices are here: give all extents",
                v->device_count, le32(volume_entry + LVM_V_DEVICES));
        return VMK_NOT_FOUND;
    }
    status = lv_read(v, FS_BASE, v->super, VMFS_SECTOR);
    if (status != VMK_OK)
        return status;
    if (le32(v->super + FS_MAGIC_AT) != FS_MAGIC)
        return super_is_wrong(v, "magic");
    if (memcmp(v->super + FS_LV_UUID, volume_entry + LVM_V_UUID, VMFS_UUID_SIZE) != 0)
        return super_is_wrong(v, "UUID of the logical volume");
    return load_geometry(v);
}

/* Files that lost their last name in a transaction of a dead host but not yet their storage. */
static vmk_status destroy_orphans(struct vmfs_volume *v)
{
    const struct resource *r = &v->resources[RES_FDC];

    if (!v->orphans_wanted)
        return VMK_OK;
    v->orphans_wanted = false;
    for (uint32_t cluster = 0; cluster < r->clusters; cluster++) {
        uint64_t at = resource_cluster_position(r, cluster);
        uint8_t head[VMFS_SECTOR];
        vmk_status status = lv_read(v, at + VMFS_SECTOR, head, sizeof(head));

        if (status != VMK_OK)
            return status;
        for (uint32_t item = 0; item < MIN(le32(head + RES_C_COUNT), r->per_cluster); item++) {
            uint32_t address = addr_fd(cluster, item);
            uint64_t position = resource_position(v, address);
            uint8_t meta[VMFS_SECTOR];

            if (head[RES_C_BITMAP + item / 8] >> (item % 8) & 1 || !position)
                continue;
            status = lv_read(v, position + FD_META, meta, sizeof(meta));
            if (status != VMK_OK)
                return status;
            if (le32(meta + FD_LINKS) || le32(meta + FD_ADDRESS) != address)
                continue;

            vmfs_id id = {address, le32(meta + FD_GENERATION)};

            if (open_find(v, address))
                continue;
            status = file_destroy(v, id);
            /* Another host may have it open. */
            if (status != VMK_OK && status != VMK_CONTENDED && status != VMK_NOT_FOUND)
                return status;
        }
    }
    return VMK_OK;
}

static void free_volume(struct vmfs_volume *v)
{
    meta_forget_all(v);
    names_forget(v);
    locks_forget(v);
    list_for_each_safe (node, after, &v->open_files)
        heap_free(list_entry(node, struct open_file, link));
    heap_free(v->freed);
    heap_free(v->journal_buffer);
    heap_free(v);
}

vmk_status vmfs_mount(struct block_device *const *devices, unsigned count,
                      const struct vmfs_mount *how, struct vmfs_volume **volume)
{
    uint8_t volume_entry[VMFS_SECTOR];
    struct vmfs_volume *v;
    vmk_status status = VMK_OK;

    if (!count || count > LVM_EXTENTS_MAX)
        return VMK_BAD_PARAM;
    v = vmfs_alloc(sizeof(*v));
    if (!v)
        return VMK_NO_MEMORY;
    mutex_init(&v->mutex, "vmfs");
    mutex_init(&v->beat, "vmfs heartbeat");
    list_init(&v->dirty);
    list_init(&v->undo);
    list_init(&v->locks);
    list_init(&v->open_files);
    v->how = *how;
    v->op = 1;
    for (unsigned i = 0; i < count && status == VMK_OK; i++) {
        status = load_extent(v, devices[i], volume_entry);
        if (devices[i]->read_only)
            v->how.read_only = true;
        if (!devices[i]->can_compare_write && !v->how.private_volume && !v->how.read_only) {
            vmk_log(VMK_LOG_WARN,
                    "VMFS: %s cannot compare and write: mounted for this host alone",
                    devices[i]->name);
            v->how.private_volume = true;
        }
    }
    if (status == VMK_OK) {
        settle_extents(v, volume_entry);
        status = load_super(v, volume_entry);
    }
    if (status == VMK_OK)
        status = resources_load(v);
    if (status == VMK_OK && !v->how.read_only) {
        v->journal_buffer = vmfs_alloc(VMFS_FB_SIZE);
        status = v->journal_buffer ? hb_claim(v) : VMK_NO_MEMORY;
        if (status == VMK_OK)
            status = resources_load(v);  // the hint follows the heartbeat slot
        v->orphans_wanted = v->buried;
        if (status == VMK_OK)
            status = destroy_orphans(v);
    }
    if (status != VMK_OK) {
        free_volume(v);
        return status;
    }
    *volume = v;
    return VMK_OK;
}

vmk_status vmfs_unmount(struct vmfs_volume *v)
{
    vmk_status status;

    mutex_lock(&v->mutex);
    status = v->dead;
    if (status == VMK_OK && !v->how.read_only) {
        status = journal_commit(v);
        if (status == VMK_OK)
            status = lv_flush(v);
        if (status == VMK_OK) {
            list_for_each (node, &v->locks)
                list_entry(node, struct held_lock, link)->pins = 0;
            status = locks_release(v);
        }
        if (status == VMK_OK) {
            hb_release(v);
            list_for_each (node, &v->locks)
                list_entry(node, struct held_lock, link)->in_txn = false;
            status = locks_release(v);
        }
        if (status == VMK_OK)
            status = lv_flush(v);
    }
    mutex_unlock(&v->mutex);
    free_volume(v);
    return status;
}

void vmfs_abandon(struct vmfs_volume *v)
{
    free_volume(v);
}

vmk_status vmfs_sync(struct vmfs_volume *v)
{
    vmk_status status = volume_enter(v, false);

    if (status == VMK_OK && !v->how.read_only)
        status = v->dead != VMK_OK ? v->dead : volume_settle(v);
    return volume_leave(v, status);
}

/* ---- growing ---- */

static vmk_status grow(struct vmfs_volume *v, struct block_device *extent)
{
    struct block_device *devices[LVM_EXTENTS_MAX];
    uint64_t pes[LVM_EXTENTS_MAX];
    unsigned count = v->extent_count;
    uint64_t old = v->size >> LVM_PE_SHIFT;
    uint64_t total = 0;
    bool others;
    vmk_status status = hb_others(v, &others);

    if (status != VMK_OK || others)
        return status == VMK_OK ? VMK_BUSY : status;
    if (v->scattered)
        return VMK_UNSUPPORTED;
    /* In the order of the volume. */
    for (unsigned i = 0; i < count; i++) {
        unsigned place = 0;

        for (unsigned k = 0; k < count; k++)
            place += v->extents[k].first_pe < v->extents[i].first_pe;
        devices[place] = v->extents[i].device;
        pes[place] = v->extents[i].pes;
    }
    if (extent) {
        if (count == LVM_EXTENTS_MAX)
            return VMK_LIMIT;
        if (extent->block_size != VMFS_SECTOR || extent->read_only ||
            extent->can_compare_write < devices[0]->can_compare_write)
            return VMK_UNSUPPORTED;
        devices[count] = extent;
        pes[count++] = 0;
    }

    struct block_device *last = devices[count - 1];

    if (last->size > LVM_DATA)
        pes[count - 1] = MAX(pes[count - 1], MIN((last->size - LVM_DATA) >> LVM_PE_SHIFT,
                                                 (uint64_t)LVM_PES_PER_MAP * LVM_PE_MAPS_MAX));
    for (unsigned i = 0; i < count; i++)
        total += pes[i];
    /* The heads may have grown already, before the power went. */
    if (!pes[count - 1] ||
        (total == old && v->resources[RES_FBB].total == old << (LVM_PE_SHIFT - VMFS_FB_SHIFT)))
        return VMK_NO_SPACE;
    if (total > 50ull * 4096)
        return VMK_TOO_BIG;
    status = journal_commit(v);
    if (status == VMK_OK)
        status = lvm_grow(v, devices, pes, count);
    if (status != VMK_OK)
        return status;
    v->size = 0;
    for (unsigned i = 0; i < count; i++) {
        v->extents[i].device = devices[i];
        v->extents[i].pes = pes[i];
        v->extents[i].first_pe = v->size >> LVM_PE_SHIFT;
        v->extents[i].data = LVM_DATA;
        v->size += pes[i] << LVM_PE_SHIFT;
    }
    v->extent_count = v->device_count = count;
    return resource_grow(v, (uint32_t)(total << (LVM_PE_SHIFT - VMFS_FB_SHIFT)));
}

vmk_status vmfs_grow(struct vmfs_volume *v, struct block_device *extent)
{
    vmk_status status = volume_enter(v, true);

    return volume_leave(v, status == VMK_OK ? grow(v, extent) : status);
}

uint64_t vmfs_holder_beats(struct vmfs_volume *v)
{
    return __atomic_load_n(&v->holder_beats, __ATOMIC_RELAXED);
}

struct vmfs_uuid vmfs_logical_uuid(const struct vmfs_volume *v)
{
    struct vmfs_uuid uuid = {0};

    memcpy(uuid.raw, v->super + FS_LV_UUID, VMFS_UUID_SIZE);
    return uuid;
}

void vmfs_device_names(const struct vmfs_volume *v, char *out, size_t size)
{
    size_t at = 0;

    out[0] = 0;
    for (unsigned i = 0; i < v->extent_count && at < size; i++) {
        if (is_first_piece(v, i))
            at += (size_t)vmk_snprintf(out + at, size - at, "%s%s", i ? "," : "",
                                       v->extents[i].device->name);
    }
}

bool vmfs_is_read_only(const struct vmfs_volume *v)
{
    return v->how.read_only;
}

vmk_status vmfs_beat(struct vmfs_volume *v)
{
    return v->how.read_only ? VMK_OK : hb_beat(v);
}

vmk_status vmfs_tick(struct vmfs_volume *v)
{
    vmk_status status = volume_enter(v, true);

    if (status == VMK_OK)
        status = hb_beat(v);
    if (status == VMK_OK)
        status = destroy_orphans(v);
    if (status == VMK_OK)
        status = journal_commit(v);
    if (status == VMK_OK && v->lock_count) {
        status = lv_flush(v);
        if (status == VMK_OK)
            status = locks_release(v);
    }
    return volume_leave(v, status);
}

vmk_status vmfs_statistics(struct vmfs_volume *v, struct vmfs_statistics *out)
{
    vmk_status status = volume_enter(v, false);
    uint64_t fb = 0;

    memset(out, 0, sizeof(*out));
    if (status == VMK_OK)
        status = resource_count_free(v, RES_FBB, &fb);
    if (status == VMK_OK)
        status = resource_count_free(v, RES_FDC, &out->files_free);
    if (status == VMK_OK)
        status = resource_count_free(v, RES_SBC, &out->sub_blocks_free);
    if (status == VMK_OK)
        status = resource_count_free(v, RES_PBC, &out->pointer_blocks_free);
    memcpy(out->label, v->super + FS_LABEL, VMFS_LABEL_SIZE);
    memcpy(out->uuid.raw, v->super + FS_UUID, VMFS_UUID_SIZE);
    out->version = le32(v->super + FS_MAJOR_AT) == FS_MAJOR ? 5 : 3;
    out->major = le32(v->super + FS_MAJOR_AT);
    out->minor = v->super[FS_MINOR_AT];
    out->extents = v->device_count;
    out->size = v->size;
    out->free = fb << v->fb_shift;
    out->files = v->resources[RES_FDC].total;
    out->sub_blocks = v->resources[RES_SBC].total;
    out->pointer_blocks = v->resources[RES_PBC].total;
    out->transactions = v->transactions;
    out->journal_replays = v->replays;
    out->lock_waits = v->lock_waits;
    out->locks_broken = v->locks_broken;
    out->cache_hits = v->hits;
    out->cache_misses = v->misses;
    return volume_leave(v, status);
}

vmk_status vmfs_label_set(struct vmfs_volume *v, const char *label)
{
    size_t length = strlen(label);
    vmk_status status;

    if (!length || length >= VMFS_LABEL_SIZE || strchr(label, '/'))
        return VMK_BAD_PARAM;
    status = volume_enter(v, true);
    if (status == VMK_OK)
        status = op_begin(v);
    if (status == VMK_OK) {
        memset(v->super + FS_LABEL, 0, VMFS_LABEL_SIZE);
        memcpy(v->super + FS_LABEL, label, length);
        status = op_end(v, bytes_put(v, FS_BASE, v->super, VMFS_SECTOR));
    }
    if (status == VMK_OK)
        status = journal_commit(v);
    return volume_leave(v, status);
}
