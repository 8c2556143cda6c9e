// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/devices.c -- device numbers, their drivers, and the nodes in /dev.
 *
 * /dev is a visorfs like any other, so that login may chown a terminal and syslogd may bind a socket
 * there. A driver that registers gets its node at once, or, before /dev is mounted, when it is. What
 * a node does is decided by its number when it is opened, wherever the node lies.
 *
 * Invariants
 *   - A (type, number) pair has one driver at most (asserted in vfs_device_register()).
 * Locking    fs_state.lock for the list. A driver must stay until its last open() returned; those
 *            that come and go (terminals) refuse to open once they are closing.
 */
#include "core/assert.h"
#include "core/heap.h"
#include "core/log.h"
#include "fs/vfs_internal.h"
#include "lib/format.h"
#include "lib/string.h"

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

    spin_unlock(&fs->lock, irqs);
    return driver ? driver->open(driver, file) : VMK_NO_DEVICE;
}

static vmk_status node_path(const struct vfs_device_driver *driver, char *path, size_t size)
{
    int length = vmk_snprintf(path, size, "/dev/%s", driver->name);

    return length > 0 && (size_t)length < size ? VMK_OK : VMK_NAME_TOO_LONG;
}

static void node_make(const struct vfs_device_driver *driver)
{
    struct vfs_where where = vfs_where_kernel();
    const char *slash = strchr(driver->name, '/');
    char path[64];
    vmk_status status = node_path(driver, path, sizeof(path));

    where.umask = 0;
    if (status == VMK_OK && slash) {
        size_t length = strlen(path) - strlen(slash);

        path[length] = 0;
        status = vfs_mkdir(&where, path, 0755);
        path[length] = '/';
        if (status == VMK_EXISTS)
            status = VMK_OK;
    }
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

void vfs_device_unregister(struct vfs_device_driver *driver)
{
    struct fs_state *fs = fs_state();
    struct vfs_where where;
    char path[64];
    bool irqs = spin_lock(&fs->lock);

    list_remove(&driver->link);
    spin_unlock(&fs->lock, irqs);
    if (dev_is_mounted() && node_path(driver, path, sizeof(path)) == VMK_OK) {
        where = vfs_where_kernel();
        if (vfs_unlink(&where, path) != VMK_OK)
            vmk_log(VMK_LOG_DEBUG, "FS: %s was gone already", path);
    }
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
