// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_mount.c -- mounting a VMFS volume: its devices, its two worlds, the host's own UUID.
 *
 * Two worlds belong to a volume that may be written: one beats every HB_BEAT_NS and does
 * nothing else, so that no long operation looks like death; one ticks (commits, lets go of
 * locks).
 *
 * Locking    none; mounts are serialised by the VFS, vmfs_*() take the volume's mutex.
 * Start at   mount_vmfs().
 */
#include "core/heap.h"
#include "core/log.h"
#include "fs/vmfs/vmfs_vfs_internal.h"
#include "io/storage.h"
#include "lib/string.h"
#include "plat/plat.h"

#define VMFS_MAGIC 0x2fabf15eu

static vmk_status mount_sync(struct mount *mount)
{
    struct volume *volume = mount->private;

    return volume->read_only ? VMK_OK : vmfs_answer(vmfs_sync(volume->v));
}

static vmk_status mount_statfs(struct mount *mount, struct vfs_statfs *out)
{
    struct volume *volume = mount->private;
    struct vmfs_statistics s;
    vmk_status status = vmfs_statistics(volume->v, &s);

    if (status != VMK_OK)
        return vmfs_answer(status);
    out->magic = VMFS_MAGIC;
    out->block_size = VMFS_FB_SIZE;
    out->blocks = s.size >> VMFS_FB_SHIFT;
    out->blocks_free = out->blocks_available = s.free >> VMFS_FB_SHIFT;
    out->inodes = s.files;
    out->inodes_free = s.files_free;
    out->name_max = VMFS_NAME_MAX;
    return VMK_OK;
}

/* Until the volume is unmounted; a volume that was stopped needs neither. */
static void every_beat(struct volume *volume, vmk_status (*what)(struct vmfs_volume *),
                       const char *name)
{
    vmk_status said = VMK_OK;

    for (;;) {
        vmk_status status = what(volume->v);

        if (status != VMK_OK && status != said)
            vmk_log(VMK_LOG_ERROR, "VMFS: %s: %s: %s", volume->mount->target, name,
                    vmk_status_text(status));
        said = status;
        if (fs_event_wait(&volume->stop, 0, plat_time_now() + HB_BEAT_NS) == VMK_OK)
            return;
    }
}

static void beat_world(void *argument)
{
    every_beat(argument, vmfs_beat, "heartbeat");
}

static void tick_world(void *argument)
{
    every_beat(argument, vmfs_tick, "commit");
}

static void volume_free(struct volume *volume)
{
    for (unsigned i = 0; i < volume->count; i++)
        storage_close(volume->devices[i]);
    heap_free(volume);
}

static void worlds_stop(struct volume *volume)
{
    int code;

    fs_event_signal(&volume->stop);
    if (volume->beater.raw)
        (void)!world_wait(volume->beater, PLAT_NS_NEVER, &code);
    if (volume->ticker.raw)
        (void)!world_wait(volume->ticker, PLAT_NS_NEVER, &code);
}

static vmk_status worlds_start(struct volume *volume)
{
    const struct world_params beat = {
        .name = "vmfs-beat", .entry = beat_world, .argument = volume};
    const struct world_params tick = {
        .name = "vmfs-tick", .entry = tick_world, .argument = volume};
    vmk_status status = world_create(&beat, &volume->beater);

    return status == VMK_OK ? world_create(&tick, &volume->ticker) : status;
}

static void mount_unmount(struct mount *mount)
{
    struct volume *volume = mount->private;
    vmk_status status;

    if (!volume->read_only)
        worlds_stop(volume);
    status = vmfs_unmount(volume->v);
    if (status != VMK_OK)
        vmk_log(VMK_LOG_ERROR, "VMFS: %s: not everything could be written: %s", mount->target,
                vmk_status_text(status));
    volume_free(volume);
}

static const struct mount_ops vmfs_mount_ops = {
    .sync = mount_sync,
    .statfs = mount_statfs,
    .unmount = mount_unmount,
};

static vmk_status devices_open(struct volume *volume, const char *source)
{
    while (*source) {
        char name[BLOCK_NAME_SIZE];
        size_t length = 0;
        vmk_status status;

        while (source[length] && source[length] != ',')
            length++;
        if (!length || length >= sizeof(name) || volume->count == LVM_EXTENTS_MAX)
            return VMK_BAD_PARAM;
        memcpy(name, source, length);
        name[length] = 0;
        status = storage_open(name, &volume->devices[volume->count]);
        if (status != VMK_OK) {
            vmk_log(VMK_LOG_ERROR, "VMFS: %s: %s", name, vmk_status_text(status));
            return status;
        }
        volume->count++;
        source += length + (source[length] == ',');
    }
    return volume->count ? VMK_OK : VMK_BAD_PARAM;
}

vmk_status vmfs_source_uuid(const char *source, char uuid[VMFS_UUID_TEXT])
{
    struct volume *volume = heap_alloc(sizeof(*volume), MEM_OWNER_FS);
    vmk_status status = volume ? devices_open(volume, source) : VMK_NO_MEMORY;

    for (unsigned i = 0; status == VMK_OK && i < volume->count; i++) {
        struct vmfs_extent_info info;
        uint8_t super[VMFS_SECTOR];

        status = vmfs_probe(volume->devices[i], &info);
        if (status != VMK_OK || info.first)
            continue;
        status = block_read(volume->devices[i], LVM_DATA + FS_BASE, super, sizeof(super));
        if (status == VMK_OK && le32(super + FS_MAGIC_AT) != FS_MAGIC)
            status = VMK_BAD_FORMAT;
        if (status == VMK_OK) {
            struct vmfs_uuid raw;

            memcpy(raw.raw, super + FS_UUID, VMFS_UUID_SIZE);
            vmfs_uuid_text(&raw, uuid);
            volume_free(volume);
            return VMK_OK;
        }
    }
    if (volume)
        volume_free(volume);
    return status == VMK_OK ? VMK_NOT_FOUND : status;
}

struct vmfs_uuid vmfs_host_uuid(void)
{
    struct fs_state *fs = fs_state();
    struct vmfs_uuid uuid = {0};

    memcpy(uuid.raw, fs->host_uuid, sizeof(uuid.raw));
    if (!le32(uuid.raw + 4)) {
        uint64_t random[2];

        vfs_random(random, sizeof(random));
        uuid = vmfs_uuid_make((uint64_t)vfs_time_now() / 1000000000u, random[0] | 1, random[1]);
        memcpy(fs->host_uuid, uuid.raw, sizeof(uuid.raw));
    }
    return uuid;
}

static void wait_a_second(void)
{
    (void)!world_sleep_until(plat_time_now() + 1000000000ull);
}

static vmk_status mount_vmfs(struct mount *mount, const char *source, const char *options)
{
    struct vmfs_mount how = {.host = vmfs_host_uuid(),
                             .wait = wait_a_second,
                             .read_only = mount->flags & VFS_MOUNT_RDONLY};
    struct volume *volume = heap_alloc(sizeof(*volume), MEM_OWNER_FS);
    vmk_status status;

    if (!volume)
        return VMK_NO_MEMORY;
    (void)options;
    volume->mount = mount;
    fs_event_init(&volume->stop, "vmfs stop");
    status = devices_open(volume, source);
    if (status == VMK_OK)
        status = vmfs_mount(volume->devices, volume->count, &how, &volume->v);
    if (status != VMK_OK) {
        volume_free(volume);
        return vmfs_answer(status);
    }
    volume->read_only = vmfs_is_read_only(volume->v);
    mount->private = volume;
    mount->ops = &vmfs_mount_ops;
    if (volume->read_only)
        mount->flags |= VFS_MOUNT_RDONLY;
    status = vmfs_node_get(volume, vmfs_root(volume->v), &mount->root);
    if (status == VMK_OK && !volume->read_only)
        status = worlds_start(volume);
    if (status != VMK_OK) {
        vnode_put(mount->root);
        mount_unmount(mount);
    }
    return status;
}

struct vmfs_volume *vmfs_of_mount(const struct mount *mount)
{
    return mount->ops == &vmfs_mount_ops ? ((struct volume *)mount->private)->v : NULL;
}

vmk_status vmfs_type_register(void)
{
    struct vfs_type *type = heap_alloc(sizeof(*type), MEM_OWNER_FS);

    if (!type)
        return VMK_NO_MEMORY;
    type->name = "vmfs";
    type->mount = mount_vmfs;
    vfs_type_register(type);
    return VMK_OK;
}
