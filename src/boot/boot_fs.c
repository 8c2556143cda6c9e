// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/boot_fs.c -- the boot modules as files below /boot, read-only.
 *
 * The host shell starts the VMs of the boot modules like any other, by a vmx in ring 3, and a
 * vmx reads files. The files are where the loader put them, so they cost no memory; a program
 * that maps one gets private pages (user/ reads them, since members of an archive do not begin
 * at pages).
 * One flat directory; a member whose name has a slash is left out.
 *
 * Invariants
 *   - Nodes are made at the mount and stay until the unmount; the modules stay for ever.
 * Locking    none: nothing changes.
 * Start at   boot_mount().
 */
#include "boot/boot_fs.h"

#include "core/heap.h"
#include "fs/vfs.h"
#include "lib/string.h"
#include "vmm/boot_file.h"

#define FOLDER "/boot"
#define MAGIC  0x746f6f62u  // "boot"

struct boot_node {
    struct vnode vnode;
    const char *name;
    const uint8_t *data;
    size_t size;
};

struct boot_fs {
    size_t count;
    struct boot_node nodes[];  // the first is the folder
};

static struct boot_node *node_of(struct vnode *vnode)
{
    return container_of(vnode, struct boot_node, vnode);
}

static vmk_status boot_lookup(struct vnode *dir, const char *name, size_t length,
                              struct vnode **out)
{
    struct boot_fs *fs = dir->mount->private;

    for (size_t i = 1; i < fs->count; i++) {
        if (strlen(fs->nodes[i].name) == length &&
            memcmp(fs->nodes[i].name, name, length) == 0) {
            *out = &fs->nodes[i].vnode;
            vnode_ref(*out);
            return VMK_OK;
        }
    }
    return VMK_NOT_FOUND;
}

static vmk_status boot_readdir(struct vnode *dir, uint64_t *position, struct vfs_dir_sink *sink)
{
    const struct boot_fs *fs = dir->mount->private;

    while (*position - 1 < fs->count) {
        const struct boot_node *n = &fs->nodes[*position - 1];

        if (!sink->emit(sink, n->name, strlen(n->name), n->vnode.inode, n->vnode.type,
                        *position + 1))
            break;
        ++*position;
    }
    return VMK_OK;
}

static vmk_status boot_getattr(struct vnode *vnode, struct vfs_attr *out)
{
    bool is_dir = vnode->type == VFS_TYPE_DIR;

    *out = (struct vfs_attr){
        .mode = vnode->type | (is_dir ? 0555u : 0444u),
        .link_count = is_dir ? 2 : 1,
        .inode = vnode->inode,
        .device = vnode->mount->device,
        .size = node_of(vnode)->size,
        .block_size = 4096,
        .blocks = (node_of(vnode)->size + 511) / 512,
    };
    return VMK_OK;
}

static vmk_status boot_read(struct vnode *vnode, struct vfs_iov *iov)
{
    const struct boot_node *n = node_of(vnode);

    iov->done = iov->offset < n->size ? MIN(iov->size, n->size - iov->offset) : 0;
    if (iov->done)
        memcpy(iov->to, n->data + iov->offset, iov->done);
    return VMK_OK;
}

/* The nodes are freed together. */
static void boot_release(struct vnode *vnode)
{
    vnode_end(vnode);
}

static const struct vnode_ops boot_ops = {
    .lookup = boot_lookup,
    .readdir = boot_readdir,
    .getattr = boot_getattr,
    .read = boot_read,
    .release = boot_release,
};

static void boot_unmount(struct mount *mount)
{
    heap_free(mount->private);
}

static vmk_status boot_statfs(struct mount *mount, struct vfs_statfs *out)
{
    (void)mount;
    out->magic = MAGIC;
    return VMK_OK;
}

static const struct mount_ops boot_mount_ops = {.statfs = boot_statfs, .unmount = boot_unmount};

static vmk_status boot_mount(struct mount *mount, const char *source, const char *options)
{
    size_t files = boot_file_count();
    struct boot_fs *fs =
        heap_alloc(sizeof(*fs) + (files + 1) * sizeof(struct boot_node), MEM_OWNER_FS);
    const char *name;
    const void *data;
    size_t size;

    (void)source;
    (void)options;
    if (!fs)
        return VMK_NO_MEMORY;
    fs->count = 1;
    vnode_init(&fs->nodes[0].vnode, mount, &boot_ops, 1, VFS_TYPE_DIR, 0);
    for (size_t i = 0; i < files; i++) {
        struct boot_node *n = &fs->nodes[fs->count];

        if (!boot_file_at(i, &name, &data, &size) || !*name || strchr(name, '/') ||
            strlen(name) > VFS_NAME_MAX)
            continue;
        n->name = name;
        n->data = data;
        n->size = size;
        vnode_init(&n->vnode, mount, &boot_ops, ++fs->count, VFS_TYPE_REGULAR, 0);
        vnode_keep(&n->vnode);
    }
    mount->ops = &boot_mount_ops;
    mount->private = fs;
    mount->root = &fs->nodes[0].vnode;
    return VMK_OK;
}

vmk_status boot_fs_start(void)
{
    static const char options[] = "ro";
    struct vfs_where where = vfs_where_kernel();
    struct vfs_type *type;
    vmk_status status;

    if (boot_file_count() == 0)
        return VMK_OK;
    type = heap_alloc(sizeof(*type), MEM_OWNER_FS);
    if (!type)
        return VMK_NO_MEMORY;
    type->name = "bootfs";
    type->mount = boot_mount;
    vfs_type_register(type);
    where.umask = 0;
    status = vfs_mkdir(&where, FOLDER, 0755);
    if (status != VMK_OK && status != VMK_EXISTS)
        return status;
    return vfs_mount(&where, "bootfs", "boot modules", FOLDER,
                     VFS_MOUNT_RDONLY | VFS_MOUNT_NOSUID | VFS_MOUNT_NODEV | VFS_MOUNT_NOEXEC,
                     options);
}
