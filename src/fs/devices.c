// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/devices.c -- device numbers, their drivers, and the nodes in /dev.
 *
 * /dev is a visorfs like any other, so that login may chown a terminal and syslogd may bind a
 * socket there. A driver that registers gets its node at once, or, before /dev is mounted, when
 * it is. What a node does is decided by its number when it is opened, wherever the node lies.
 *
 * Invariants
 *   - A (type, number) pair has one driver at most (asserted in vfs_device_register()).
 * Locking    fs_state.lock for the list. vfs_device_unregister() returns when every open()
 *            that found the driver has.
 */
#include "core/assert.h"
#include "core/heap.h"
#include "core/log.h"
#include "fs/vfs_internal.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"
#include "world/world.h"

#define OPENING_POLL_NS 1000000ull

/* Lock held. */
static struct vfs_device_driver *driver_of(struct fs_state *fs, uint32_t type, uint64_t device)
{
    list_for_each (node, &fs->devices) {
        struct vfs_device_driver *d = list_entry(node, struct vfs_device_driver, link);

        if (d->type == type && d->device == device)
            return d;
    }
    return NULL;
}

vmk_status device_open(struct vnode *vnode, struct file *file)
{
    struct fs_state *fs = fs_state();
    bool irqs = spin_lock(&fs->lock);
    struct vfs_device_driver *driver = driver_of(fs, vnode->type, vnode->node_device);
    vmk_status status;

    if (driver)
        driver->opening++;
    spin_unlock(&fs->lock, irqs);
    if (!driver)
        return VMK_NO_DEVICE;
    status = driver->open(driver, file);
    irqs = spin_lock(&fs->lock);
    driver->opening--;
    spin_unlock(&fs->lock, irqs);
    return status;
}

static vmk_status node_path(const struct vfs_device_driver *driver, char *path, size_t size)
{
    int length = vmk_snprintf(path, size, "/dev/%s", driver->name);

    return length > 0 && (size_t)length < size ? VMK_OK : VMK_NAME_TOO_LONG;
}

/* The folders between /dev and the node: a driver may ask for "vm/NAME/console". */
static vmk_status folders_make(char *path)
{
    struct vfs_where where = vfs_where_kernel();
    vmk_status status = VMK_OK;

    where.umask = 0;
    for (char *p = path + sizeof("/dev"); *p && status == VMK_OK; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        status = vfs_mkdir(&where, path, 0755);
        *p = '/';
        if (status == VMK_EXISTS)
            status = VMK_OK;
    }
    return status;
}

/* From the node upwards, those that nobody else uses. */
static void folders_remove(char *path)
{
    const struct vfs_where where = vfs_where_kernel();

    for (size_t end = strlen(path); end > sizeof("/dev"); end--) {
        if (path[end] != '/')
            continue;
        path[end] = 0;
        if (vfs_rmdir(&where, path) != VMK_OK)
            return;
    }
}

static void node_make(const struct vfs_device_driver *driver)
{
    struct vfs_where where = vfs_where_kernel();
    char path[64];
    vmk_status status = node_path(driver, path, sizeof(path));

    where.umask = 0;
    if (status == VMK_OK)
        status = folders_make(path);
    if (status == VMK_OK)
        status = vfs_mknod(&where, path, driver->type | driver->mode, driver->device);
    if (status != VMK_OK && status != VMK_EXISTS)
        vmk_log(VMK_LOG_WARN, "FS: no node %s: %s", path, vmk_status_text(status));
}

/* Is /dev there? */
static bool dev_is_mounted(void)
{
    struct vfs_where where;
    struct vnode *dev;
    bool mounted;

    if (!fs_state()->root)
        return false;
    where = vfs_where_kernel();
    if (vfs_walk(&where, "/dev", VFS_WALK_DIRECTORY, &dev) != VMK_OK)
        return false;
    mounted = dev->mount->root == dev && dev->mount != fs_state()->root;
    vnode_put(dev);
    return mounted;
}

vmk_status vfs_device_register(struct vfs_device_driver *driver)
{
    struct fs_state *fs = fs_state();
    bool irqs;

    if (!driver->open || !driver->name ||
        (driver->type != VFS_TYPE_CHAR && driver->type != VFS_TYPE_BLOCK))
        return VMK_BAD_PARAM;
    irqs = spin_lock(&fs->lock);
    if (driver_of(fs, driver->type, driver->device)) {
        spin_unlock(&fs->lock, irqs);
        return VMK_EXISTS;
    }
    list_add_tail(&fs->devices, &driver->link);
    spin_unlock(&fs->lock, irqs);
    if (dev_is_mounted())
        node_make(driver);
    return VMK_OK;
}

static void node_remove(const struct vfs_device_driver *driver)
{
    const struct vfs_where where = vfs_where_kernel();
    char path[64];

    if (node_path(driver, path, sizeof(path)) != VMK_OK)
        return;
    if (vfs_unlink(&where, path) != VMK_OK)
        vmk_log(VMK_LOG_DEBUG, "FS: %s was gone already", path);
    if (strncmp(driver->name, "pts/", 4) != 0)  // programs expect that folder
        folders_remove(path);
}

void vfs_device_unregister(struct vfs_device_driver *driver)
{
    struct fs_state *fs = fs_state();
    bool irqs = spin_lock(&fs->lock);

    list_remove(&driver->link);
    spin_unlock(&fs->lock, irqs);
    if (dev_is_mounted())
        node_remove(driver);
    /* Nobody finds it any more; who did is through soon. */
    while (__atomic_load_n(&driver->opening, __ATOMIC_ACQUIRE))
        (void)!world_sleep_until(plat_time_now() + OPENING_POLL_NS);
}

void fs_devices_make_nodes(void)
{
    struct fs_state *fs = fs_state();
    struct vfs_device_driver *driver = NULL;

    for (size_t i = 0;; i++) {
        size_t k = 0;
        bool irqs = spin_lock(&fs->lock);

        driver = NULL;
        list_for_each (node, &fs->devices) {
            if (k++ == i)
                driver = list_entry(node, struct vfs_device_driver, link);
        }
        spin_unlock(&fs->lock, irqs);
        if (!driver)
            return;
        node_make(driver);
    }
}
