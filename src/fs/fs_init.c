// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/fs_init.c -- the order in which files come up.
 *
 * Root, tardisks, /dev, /proc and the ram disks. A tardisk that is damaged is refused by name
 * and the boot goes on: what it would have brought is missing, and the log says so.
 *
 * Invariants
 *   - After fs_init() the root is mounted and never unmounted.
 * Locking    none of its own; one world, before anybody else uses files.
 * Start at   fs_init().
 */
#include "core/assert.h"
#include "core/core.h"
#include "core/log.h"
#include "fs/vfs_internal.h"
#include "fs/visorfs/visorfs.h"
#include "fs/vmdk/vmdk_turns.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"

/*
 * The ram disks of the root, as ESXi has them; sizes by the boot options tmp=, root=, var= and
 * shm=.
 */
static const struct {
    const char *path, *name, *option, *size, *mode;
} ram_disks[] = {
    {"/tmp", "tmp", "tmp", "25%", "1777"},
    {"/var", "var", "var", "48m", "755"},
    {"/dev/shm", "shm", "shm", "25%", "1777"},
};

static vmk_status make_dir(const char *path, uint32_t mode)
{
    struct vfs_where where = vfs_where_kernel();
    vmk_status status;

    where.umask = 0;
    status = vfs_mkdir(&where, path, mode);
    return status == VMK_EXISTS ? VMK_OK : status;
}

static vmk_status mount_at(const char *type, const char *source, const char *path,
                           uint32_t flags, const char *options)
{
    const struct vfs_where where = vfs_where_kernel();
    vmk_status status = make_dir(path, 0755);

    if (status == VMK_OK)
        status = vfs_mount(&where, type, source, path, flags, options);
    if (status != VMK_OK)
        vmk_log(VMK_LOG_ERROR, "FS: cannot mount %s on %s: %s", type, path,
                vmk_status_text(status));
    return status;
}

/*
 * A ram disk whose size the boot command line may set. It hides nothing: what the tardisks put
 * below its path is there before, so only an empty directory is covered.
 */
static void mount_ram_disk(unsigned i)
{
    struct vfs_where where = vfs_where_kernel();
    char size[32], options[96];
    struct vfs_attr attr;

    if (vfs_stat(&where, ram_disks[i].path, 0, &attr) == VMK_OK && attr.size > 0) {
        vmk_log(VMK_LOG_INFO, "FS: %s came with a tardisk and stays on the root",
                ram_disks[i].path);
        return;
    }
    if (!core_option(ram_disks[i].option, size, sizeof(size)))
        (void)vmk_snprintf(size, sizeof(size), "%s", ram_disks[i].size);
    (void)vmk_snprintf(options, sizeof(options), "size=%s,mode=%s,name=%s", size,
                       ram_disks[i].mode, ram_disks[i].name);
    (void)!mount_at("visorfs", ram_disks[i].name, ram_disks[i].path,
                    VFS_MOUNT_NOSUID | VFS_MOUNT_NODEV, options);
}

static void load_tardisks(void)
{
    const struct plat_module *modules;
    size_t count = plat_modules(&modules);

    for (size_t i = 0; i < count; i++) {
        if (!visorfs_tardisk_name(modules[i].name))
            continue;
        (void)!visorfs_tardisk_load(modules[i].name, modules[i].data, modules[i].size);
    }
}

static vmk_status mount_root(void)
{
    char size[32], options[96];

    if (!core_option("root", size, sizeof(size)))
        (void)vmk_snprintf(size, sizeof(size), "25%%");
    (void)vmk_snprintf(options, sizeof(options), "size=%s,mode=755,name=root", size);
    return vfs_mount(NULL, "visorfs", "root", "/", 0, options);
}

vmk_status fs_init(void)
{
    vmk_status status;

    vmdk_turns_init();
    vfs_init();
    status = visorfs_type_register();
    if (status == VMK_OK)
        status = procfs_type_register();
    if (status == VMK_OK)
        status = mount_root();
    if (status != VMK_OK)
        return status;
    load_tardisks();
    status = fs_basic_devices_register();
    if (status == VMK_OK)
        status = tty_devices_init();
    if (status == VMK_OK)
        status =
            mount_at("visorfs", "dev", "/dev", VFS_MOUNT_NOSUID, "size=1m,mode=755,name=dev");
    if (status != VMK_OK)
        return status;
    fs_devices_make_nodes();
    status = mount_at("proc", "proc", "/proc",
                      VFS_MOUNT_NOSUID | VFS_MOUNT_NODEV | VFS_MOUNT_NOEXEC, "");
    if (status == VMK_OK)
        status = procfs_system_register();
    for (unsigned i = 0; i < ARRAY_COUNT(ram_disks); i++)
        mount_ram_disk(i);
    return status;
}
