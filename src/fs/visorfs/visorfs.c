// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/visorfs/visorfs.c -- files in memory: volumes, inodes, and the calls of vfs on them.
 *
 * The root, /dev and each ram disk are volumes of this kind. Everything is in machine pages and
 * in the heap under one owner; a volume counts what it uses and refuses what goes beyond its
 * quota, once with a line in the log, so that a runaway program fills its ram disk and not the
 * host.
 *
 * An inode lives while it has a name (the file system's kept reference, see vnode_keep()) or
 * while anybody holds its vnode: an open file whose name is gone keeps its data until it is
 * closed.
 *
 * Why tardisks merge into the tree of the root instead of staying layers under a union: every
 * look-up would ask each layer, and rename and readdir would have to hide what lies below. What
 * a union is wanted for stays: a later tardisk replaces an earlier one's files, its pages cost
 * no quota until they are written, and each inode remembers its layer until it is changed.
 *
 * Invariants
 *   - volume.inodes_used = inodes on volume.inodes.
 *   - link_count = 0 exactly for inodes without a name; those have no kept reference.
 * Locking    vnode.lock (taken by vfs) for the inode; volume.lock for counts and the list.
 * Start at   visorfs_mount(), visor_inode_new().
 */
#include "core/assert.h"
#include "core/log.h"
#include "fs/visorfs/visorfs_internal.h"
#include "lib/format.h"
#include "lib/string.h"

#define VISORFS_MAGIC 0x5653464fu
#define INODES_PER_MB 256u

vmk_status visor_refuse(struct visorfs *volume, vmk_status status, const char *what)
{
    bool irqs = spin_lock(&volume->lock);
    bool say = !volume->full_logged;

    volume->refusals++;
    volume->full_logged = true;
    spin_unlock(&volume->lock, irqs);
    if (say)
        vmk_log(
            VMK_LOG_WARN,
            "visorfs: ram disk %s (on %s) is full: %llu of %llu KB and %u of %u inodes used; "
            "%s fails until files are removed",
            volume->name, volume->mount->target,
            (unsigned long long)volume->pages_used * (PAGE_SIZE / 1024),
            (unsigned long long)volume->pages_max * (PAGE_SIZE / 1024), volume->inodes_used,
            volume->inodes_max, what);
    return status;
}

/* ---- inodes ---- */

vmk_status visor_inode_new(struct visorfs *volume, uint32_t mode, const struct vfs_cred *cred,
                           uint64_t device, struct visor_inode **out)
{
    struct visor_inode *inode;
    uint64_t number = 0;
    bool irqs = spin_lock(&volume->lock);

    if (volume->inodes_used < volume->inodes_max) {
        volume->inodes_used++;
        number = volume->next_inode++;
    }
    spin_unlock(&volume->lock, irqs);
    if (!number)
        return visor_refuse(volume, VMK_NO_SPACE, "making a file");
    inode = heap_alloc(sizeof(*inode), MEM_OWNER_FS);
    irqs = spin_lock(&volume->lock);
    if (inode)
        list_add_tail(&volume->inodes, &inode->volume_link);
    else
        volume->inodes_used--;
    spin_unlock(&volume->lock, irqs);
    if (!inode)
        return VMK_NO_MEMORY;

    vnode_init(&inode->vnode, volume->mount, &visor_ops, number, mode & VFS_TYPE_MASK, device);
    inode->volume = volume;
    inode->mode = mode;
    inode->uid = cred->uid;
    inode->gid = cred->gid;
    inode->atime_ns = inode->mtime_ns = inode->ctime_ns = vfs_time_now();
    if (vnode_is_dir(&inode->vnode)) {
        visor_dir_init(inode, NULL);
        inode->link_count = 1;  // its "."
    } else if (inode->vnode.type == VFS_TYPE_REGULAR) {
        visor_data_init(&inode->data);
    }
    *out = inode;
    return VMK_OK;
}

static void visor_release(struct vnode *vnode)
{
    struct visor_inode *inode = visor_of(vnode);
    struct visorfs *volume = inode->volume;
    bool irqs;

    if (vnode_is_dir(vnode))
        visor_dir_free(inode);
    else if (vnode->type == VFS_TYPE_REGULAR)
        visor_data_free(inode);
    else if (vnode->type == VFS_TYPE_LINK)
        heap_free(inode->target);
    vnode_end(vnode);
    irqs = spin_lock(&volume->lock);
    list_remove(&inode->volume_link);
    volume->inodes_used--;
    spin_unlock(&volume->lock, irqs);
    heap_free(inode);
}

/* Its last name went: what is left are the references of those who hold it. */
static void unkeep_if_nameless(struct visor_inode *inode)
{
    uint32_t own = vnode_is_dir(&inode->vnode) ? 1 : 0;  // its "."

    if (inode->link_count > own)
        return;
    inode->link_count = 0;
    if (own)
        inode->dir.parent = NULL;
    vnode_unkeep(&inode->vnode);
    vnode_put(&inode->vnode);  // the caller of unlink or rmdir holds one more
}

void visor_remove(struct visor_inode *dir, struct visor_entry *entry)
{
    struct visor_inode *inode = entry->inode;

    visor_leave(dir, entry);
    unkeep_if_nameless(inode);
}

/* ---- names ---- */

static vmk_status visor_lookup(struct vnode *vnode, const char *name, size_t length,
                               struct vnode **out)
{
    struct visor_inode *dir = visor_of(vnode);
    struct visor_inode *found;

    if (length == 2 && name[0] == '.' && name[1] == '.') {
        found = dir->dir.parent;
    } else {
        struct visor_entry *e = visor_find(dir, name, length);

        found = e ? e->inode : NULL;
    }
    if (!found)
        return VMK_NOT_FOUND;
    vnode_ref(&found->vnode);
    *out = &found->vnode;
    return VMK_OK;
}

/* A new inode under a new name; the kept reference is the file system's, *out the caller's. */
static vmk_status make(struct vnode *vnode, const char *name, size_t length, uint32_t mode,
                       uint64_t device, const struct vfs_cred *cred, struct visor_inode **out)
{
    struct visor_inode *dir = visor_of(vnode);
    struct visor_inode *inode;
    vmk_status status;

    if (dir->link_count == 0)
        return VMK_NOT_FOUND;
    status = visor_inode_new(dir->volume, mode, cred, device, &inode);
    if (status != VMK_OK)
        return status;
    if (dir->mode & VFS_MODE_SETGID) {
        inode->gid = dir->gid;
        if (vnode_is_dir(&inode->vnode))
            inode->mode |= VFS_MODE_SETGID;
    }
    status = visor_enter(dir, name, length, inode);
    if (status != VMK_OK) {
        inode->link_count = 0;
        vnode_put(&inode->vnode);
        return status;
    }
    vnode_ref(&inode->vnode);
    vnode_keep(&inode->vnode);
    *out = inode;
    return VMK_OK;
}

static vmk_status visor_mknod(struct vnode *dir, const char *name, size_t length, uint32_t mode,
                              uint64_t device, const struct vfs_cred *cred, struct vnode **out)
{
    struct visor_inode *inode;
    vmk_status status = make(dir, name, length, mode, device, cred, &inode);

    if (status == VMK_OK)
        *out = &inode->vnode;
    return status;
}

static vmk_status visor_create(struct vnode *dir, const char *name, size_t length,
                               uint32_t mode, const struct vfs_cred *cred, struct vnode **out)
{
    return visor_mknod(dir, name, length, mode, 0, cred, out);
}

static vmk_status visor_symlink(struct vnode *dir, const char *name, size_t length,
                                const char *target, const struct vfs_cred *cred)
{
    size_t size = strlen(target);
    char *copy = heap_alloc(size + 1, MEM_OWNER_FS);
    struct visor_inode *inode;
    vmk_status status;

    if (!copy)
        return VMK_NO_MEMORY;
    memcpy(copy, target, size + 1);
    status = make(dir, name, length, VFS_TYPE_LINK | 0777u, 0, cred, &inode);
    if (status != VMK_OK) {
        heap_free(copy);
        return status;
    }
    inode->target = copy;
    inode->size = size;
    vnode_put(&inode->vnode);
    return VMK_OK;
}

static vmk_status visor_link(struct vnode *vnode, const char *name, size_t length,
                             struct vnode *target)
{
    struct visor_inode *dir = visor_of(vnode);
    struct visor_inode *inode = visor_of(target);

    if (dir->link_count == 0 || inode->link_count == 0)
        return VMK_NOT_FOUND;
    if (inode->link_count >= 65000)
        return VMK_TOO_MANY_LINKS;
    return visor_enter(dir, name, length, inode);
}

static vmk_status visor_unlink(struct vnode *dir, const char *name, size_t length,
                               struct vnode *victim)
{
    visor_leave(visor_of(dir), visor_find(visor_of(dir), name, length));
    unkeep_if_nameless(visor_of(victim));
    return VMK_OK;
}

static vmk_status visor_rmdir(struct vnode *dir, const char *name, size_t length,
                              struct vnode *victim)
{
    if (visor_of(victim)->dir.entry_count)
        return VMK_NOT_EMPTY;
    return visor_unlink(dir, name, length, victim);
}

static vmk_status visor_rename(struct vnode *old_dir, const char *old_name, size_t old_length,
                               struct vnode *new_dir, const char *new_name, size_t new_length,
                               struct vnode *moved, struct vnode *victim)
{
    struct visor_inode *to = visor_of(new_dir);
    struct visor_inode *inode = visor_of(moved);
    vmk_status status;

    if (to->link_count == 0)
        return VMK_NOT_FOUND;
    if (victim && vnode_is_dir(victim) && visor_of(victim)->dir.entry_count)
        return VMK_NOT_EMPTY;
    /*
     * Enter first, so that a lack of memory leaves all as it was; then the old name goes. The
     * new entry is the youngest, so the victim's is found first only by its cookie: take it
     * before.
     */
    struct visor_entry *replaced = victim ? visor_find(to, new_name, new_length) : NULL;

    status = visor_enter(to, new_name, new_length, inode);
    if (status != VMK_OK)
        return status;
    if (replaced) {
        visor_leave(to, replaced);
        unkeep_if_nameless(visor_of(victim));
    }
    /* Renaming within one directory: the old name is another name than the new. */
    visor_leave(visor_of(old_dir), visor_find(visor_of(old_dir), old_name, old_length));
    if (vnode_is_dir(moved))
        inode->dir.parent = to;
    return VMK_OK;
}

static vmk_status visor_readdir(struct vnode *vnode, uint64_t *position,
                                struct vfs_dir_sink *sink)
{
    struct visor_inode *dir = visor_of(vnode);

    list_for_each (node, &dir->dir.entries) {
        const struct visor_entry *e = list_entry(node, struct visor_entry, by_cookie);

        if (e->cookie < *position)
            continue;
        if (!sink->emit(sink, e->name, e->length, e->inode->vnode.inode, e->inode->vnode.type,
                        e->cookie + 1))
            break;
        *position = e->cookie + 1;
    }
    dir->atime_ns = vfs_time_now();
    return VMK_OK;
}

static vmk_status visor_readlink(struct vnode *vnode, char *out, size_t size, size_t *length)
{
    struct visor_inode *inode = visor_of(vnode);

    *length = (size_t)inode->size;
    memcpy(out, inode->target, MIN(size, *length));
    return VMK_OK;
}

/* ---- attributes ---- */

static vmk_status visor_getattr(struct vnode *vnode, struct vfs_attr *out)
{
    const struct visor_inode *inode = visor_of(vnode);

    *out = (struct vfs_attr){.mode = inode->mode,
                             .link_count = inode->link_count,
                             .uid = inode->uid,
                             .gid = inode->gid,
                             .inode = vnode->inode,
                             .node_device = vnode->node_device,
                             .device = vnode->mount->device,
                             .size = inode->size,
                             .block_size = (uint32_t)PAGE_SIZE,
                             .atime_ns = inode->atime_ns,
                             .mtime_ns = inode->mtime_ns,
                             .ctime_ns = inode->ctime_ns};
    if (vnode->type == VFS_TYPE_REGULAR)
        out->blocks = inode->data.pages * (PAGE_SIZE / 512);
    else if (vnode_is_dir(vnode))
        out->size = 20u * (inode->dir.entry_count + 2);  // as tmpfs: never empty
    return VMK_OK;
}

static vmk_status visor_setattr(struct vnode *vnode, const struct vfs_attr *attr, unsigned what)
{
    struct visor_inode *inode = visor_of(vnode);

    if (what & VFS_SET_MODE)
        inode->mode = (inode->mode & VFS_TYPE_MASK) | (attr->mode & VFS_MODE_BITS);
    if (what & VFS_SET_UID)
        inode->uid = attr->uid;
    if (what & VFS_SET_GID)
        inode->gid = attr->gid;
    if (what & VFS_SET_ATIME)
        inode->atime_ns = attr->atime_ns;
    if (what & VFS_SET_MTIME)
        inode->mtime_ns = attr->mtime_ns;
    inode->ctime_ns = vfs_time_now();
    return VMK_OK;
}

static vmk_status visor_fsync(struct vnode *vnode, bool data_only)
{
    (void)vnode;
    (void)data_only;
    return VMK_OK;
}

const struct vnode_ops visor_ops = {
    .lookup = visor_lookup,
    .create = visor_create,
    .mknod = visor_mknod,
    .mkdir = visor_create,
    .symlink = visor_symlink,
    .link = visor_link,
    .unlink = visor_unlink,
    .rmdir = visor_rmdir,
    .rename = visor_rename,
    .readdir = visor_readdir,
    .readlink = visor_readlink,
    .getattr = visor_getattr,
    .setattr = visor_setattr,
    .read = visor_read,
    .write = visor_write,
    .truncate = visor_truncate,
    .fsync = visor_fsync,
    .page_get = visor_page_get,
    .page_put = visor_page_put,
    .page_ref = visor_page_ref,
    .release = visor_release,
};

/* ---- volumes ---- */

static vmk_status visorfs_statfs(struct mount *mount, struct vfs_statfs *out)
{
    struct visorfs *volume = mount->private;
    bool irqs = spin_lock(&volume->lock);

    out->magic = VISORFS_MAGIC;
    out->blocks = volume->pages_max;
    out->blocks_free = volume->pages_max - MIN(volume->pages_used, volume->pages_max);
    out->blocks_available = out->blocks_free;
    out->inodes = volume->inodes_max;
    out->inodes_free = volume->inodes_max - MIN(volume->inodes_used, volume->inodes_max);
    spin_unlock(&volume->lock, irqs);
    return VMK_OK;
}

vmk_status visorfs_usage(struct mount *mount, struct visorfs_usage *out)
{
    struct visorfs *volume = mount->private;

    if (!mount->root || mount->root->ops != &visor_ops)
        return VMK_UNSUPPORTED;

    bool irqs = spin_lock(&volume->lock);

    *out = (struct visorfs_usage){.size_max = volume->pages_max * PAGE_SIZE,
                                  .size_used = volume->pages_used * PAGE_SIZE,
                                  .tardisk_size = volume->tardisk_pages * PAGE_SIZE,
                                  .inodes_max = volume->inodes_max,
                                  .inodes_used = volume->inodes_used,
                                  .refusals = volume->refusals};
    memcpy(out->name, volume->name, sizeof(out->name));
    spin_unlock(&volume->lock, irqs);
    return VMK_OK;
}

/* No recursion: always the first entry, deepest first. */
void visor_clear(struct visor_inode *tree)
{
    struct visor_inode *at = tree;

    while (at != tree || at->dir.entry_count) {
        if (!at->dir.entry_count) {
            at = at->dir.parent;
            visor_remove(at, list_entry(at->dir.entries.next, struct visor_entry, by_cookie));
            continue;
        }

        struct visor_entry *e = list_entry(at->dir.entries.next, struct visor_entry, by_cookie);

        if (vnode_is_dir(&e->inode->vnode) && e->inode->dir.entry_count)
            at = e->inode;
        else
            visor_remove(at, e);
    }
}

static void visorfs_unmount(struct mount *mount)
{
    struct visorfs *volume = mount->private;
    struct visor_inode *root = visor_of(mount->root);

    visor_clear(root);
    vmk_assert_msg(volume->inodes_used == 1, "%s: %u inodes are left", volume->name,
                   volume->inodes_used);
    root->link_count = 0;
    vnode_unkeep(&root->vnode);
    vnode_put(&root->vnode);
    vmk_assert(volume->pages_used == 0 && volume->tardisk_pages == 0);
    heap_free(volume);
}

struct options {
    uint64_t pages;
    uint32_t inodes;
    uint32_t mode, uid, gid;
    char name[32];
};

static bool read_octal(const char *text, uint32_t *value)
{
    uint32_t v = 0;

    if (!*text || *text == ',')
        return false;
    for (; *text >= '0' && *text <= '7'; text++) {
        v = v * 8 + (uint32_t)(*text - '0');
        if (v > VFS_MODE_BITS)
            return false;
    }
    *value = v;
    return *text == 0 || *text == ',';
}

/* BYTES, or with k, m, g, or a percentage of the host's memory; in pages. */
static bool read_size(const char *text, uint64_t *pages)
{
    const char *end;
    uint64_t value;
    unsigned shift = 0;

    if (!parse_u64(text, &end, &value) || value > (1ull << 40))
        return false;
    switch (*end) {
    case 'k':
    case 'K': shift = 10; break;
    case 'm':
    case 'M': shift = 20; break;
    case 'g':
    case 'G': shift = 30; break;
    case '%':
        *pages = page_total_count() * MIN(value, 100u) / 100;
        return end[1] == 0 || end[1] == ',';
    default: break;
    }
    if (shift)
        end++;
    if (value > (UINT64_MAX >> 1) >> shift)
        return false;
    *pages = ((value << shift) + PAGE_SIZE - 1) >> PAGE_SHIFT;
    return *end == 0 || *end == ',';
}

static bool read_u32(const char *text, uint32_t *out)
{
    const char *end;
    uint64_t value;

    if (!parse_u64(text, &end, &value) || value > UINT32_MAX || (*end && *end != ','))
        return false;
    *out = (uint32_t)value;
    return true;
}

static const char *value_of(const char *option, const char *key)
{
    size_t length = strlen(key);

    return strncmp(option, key, length) == 0 && option[length] == '=' ? option + length + 1
                                                                      : NULL;
}

static bool read_option(const char *at, struct options *o)
{
    const char *value;

    if ((value = value_of(at, "size")))
        return read_size(value, &o->pages);
    if ((value = value_of(at, "nr_inodes")))
        return read_u32(value, &o->inodes);
    if ((value = value_of(at, "mode")))
        return read_octal(value, &o->mode);
    if ((value = value_of(at, "uid")))
        return read_u32(value, &o->uid);
    if ((value = value_of(at, "gid")))
        return read_u32(value, &o->gid);
    if ((value = value_of(at, "name"))) {
        size_t length = 0;

        while (value[length] && value[length] != ',')
            length++;
        length = MIN(length, sizeof(o->name) - 1);
        memset(o->name, 0, sizeof(o->name));
        memcpy(o->name, value, length);
        return true;
    }
    return strncmp(at, "defaults", 8) == 0;
}

static vmk_status read_options(const char *options, struct options *o)
{
    const char *at = options;

    while (*at) {
        const char *end = strchr(at, ',');

        if (!read_option(at, o)) {
            vmk_log(VMK_LOG_WARN,
                    "visorfs: mount option not understood at \"%s\"; there are size=, "
                    "nr_inodes=, mode=, uid=, gid=, name=",
                    at);
            return VMK_BAD_PARAM;
        }
        if (!end)
            break;
        at = end + 1;
    }
    return VMK_OK;
}

static vmk_status visorfs_remount(struct mount *mount, uint32_t flags, const char *options)
{
    struct visorfs *volume = mount->private;
    struct options o = {.pages = volume->pages_max, .inodes = volume->inodes_max};
    vmk_status status = read_options(options, &o);

    (void)flags;
    if (status == VMK_OK) {
        bool irqs = spin_lock(&volume->lock);

        volume->pages_max = o.pages;
        volume->inodes_max = o.inodes;
        volume->full_logged = false;
        spin_unlock(&volume->lock, irqs);
    }
    return status;
}

static const struct mount_ops visorfs_mount_ops = {
    .statfs = visorfs_statfs,
    .remount = visorfs_remount,
    .unmount = visorfs_unmount,
};

static vmk_status visorfs_mount(struct mount *mount, const char *source, const char *options)
{
    struct options o = {.pages = page_total_count() / 4, .mode = 01777};
    struct visorfs *volume;
    struct visor_inode *root;
    vmk_status status = read_options(options, &o);

    if (status != VMK_OK)
        return status;
    volume = heap_alloc(sizeof(*volume), MEM_OWNER_FS);
    if (!volume)
        return VMK_NO_MEMORY;
    spin_init(&volume->lock, "visorfs", LOCK_RANK_FILEPAGE);
    list_init(&volume->inodes);
    volume->mount = mount;
    volume->pages_max = o.pages;
    volume->inodes_max =
        o.inodes ? o.inodes
                 : (uint32_t)MIN(64 + (o.pages * INODES_PER_MB >> (20 - PAGE_SHIFT)), 1u << 20);
    volume->next_inode = 1;
    if (o.name[0])
        memcpy(volume->name, o.name, sizeof(volume->name));
    else
        (void)vmk_snprintf(volume->name, sizeof(volume->name), "%s", source);
    mount->private = volume;
    mount->ops = &visorfs_mount_ops;
    status = visor_inode_new(volume, VFS_TYPE_DIR | o.mode,
                             &(struct vfs_cred){.uid = o.uid, .gid = o.gid}, 0, &root);
    if (status != VMK_OK) {
        heap_free(volume);
        return status;
    }
    root->link_count = 2;
    vnode_ref(&root->vnode);
    vnode_keep(&root->vnode);
    mount->root = &root->vnode;
    return VMK_OK;
}

vmk_status visorfs_type_register(void)
{
    static const char *const names[] = {"visorfs", "tmpfs", "devtmpfs"};

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct vfs_type *type = heap_alloc(sizeof(*type), MEM_OWNER_FS);

        if (!type)
            return VMK_NO_MEMORY;
        type->name = names[i];
        type->mount = visorfs_mount;
        vfs_type_register(type);
    }
    return VMK_OK;
}
