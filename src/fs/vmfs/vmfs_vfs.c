// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_vfs.c -- a VMFS volume below the VFS: inodes, names, locks of open files.
 *
 * An inode is a descriptor: its number is (generation, address), so a descriptor that another
 * host freed and used again is another inode. While a vnode lives, the file is open in the
 * volume, which keeps its storage when the last name goes. The first open for writing takes the
 * file's on-disk lock and keeps it until the vnode goes: until then any other host's open for
 * writing answers BUSY. Reading takes no lock; what another host writes meanwhile is seen or
 * not.
 *
 * Somebody else's lock that is only kept from an operation just done is let go at his next
 * tick, and a dead host's after its heartbeat has not moved for HB_DEAD_NS. So CONTENDED is
 * tried again for that long, but an open gives up as soon as the holder was seen to be alive
 * for some seconds.
 *
 * Listing. A directory is an array whose last entry moves into each hole, so an index is no
 * position that lasts. Entries are listed by the hash of their name: the position is the hash,
 * and an entry that stays is seen once, whatever comes and goes beside it.
 *
 * Invariants
 *   - A vnode in the table has its file open in the volume, once; twice if `exclusive`.
 * Locking    vnode.lock (taken by vfs), then the volume's mutex inside vmfs_*().
 * Start at   vmfs_node_get(), node_open().
 */
#include "core/heap.h"
#include "fs/vmfs/vmfs_vfs_internal.h"
#include "lib/fnv.h"
#include "lib/string.h"
#include "plat/plat.h"

#define RETRY_NS     200000000ull
#define WAIT_NS      (HB_DEAD_NS + 2 * HB_BEAT_NS)
#define OPEN_WAIT_NS (2 * HB_BEAT_NS)
#define LIST_BATCH   128u
#define LIST_CHUNK   32u

struct node {
    struct vnode vnode;
    struct volume *volume;
    vmfs_id id;
    bool exclusive;
};

static const struct vnode_ops node_ops;

static struct node *node_of(struct vnode *vnode)
{
    return container_of(vnode, struct node, vnode);
}

static struct volume *volume_of(const struct vnode *vnode)
{
    return vnode->mount->private;
}

/* ---- waiting for other hosts ---- */

struct patience {
    plat_ns began;
    uint64_t beats;
};

/*
 * Was it refused because of another host's lock, and is it worth another try? Has slept then.
 */
static bool again(struct volume *volume, struct patience *p, vmk_status status, bool open)
{
    plat_ns now = plat_time_now();

    if (status != VMK_CONTENDED)
        return false;
    if (!p->began) {
        p->began = now;
        p->beats = vmfs_holder_beats(volume->v);
    }
    if (now - p->began > WAIT_NS ||
        (open && now - p->began > OPEN_WAIT_NS && vmfs_holder_beats(volume->v) != p->beats))
        return false;
    return world_sleep_until(now + RETRY_NS) == VMK_OK;
}

/* Does `call`, whose result is in `status`, until no other host is in its way. */
#define PATIENTLY(volume, status, call)                                                        \
    do {                                                                                       \
        struct patience patience_ = {0, 0};                                                    \
        do                                                                                     \
            (status) = (call);                                                                 \
        while (again((volume), &patience_, (status), false));                                  \
        (status) = vmfs_answer(status);                                                        \
    } while (0)

/* ---- inodes ---- */

static uint64_t inode_of(vmfs_id id)
{
    return (uint64_t)id.generation << 32 | id.address;
}

static uint32_t type_of(enum vmfs_type type)
{
    return type == VMFS_DIRECTORY ? VFS_TYPE_DIR
           : type == VMFS_SYMLINK ? VFS_TYPE_LINK
                                  : VFS_TYPE_REGULAR;
}

/* The vnode of a file, referenced. */
vmk_status vmfs_node_get(struct volume *volume, vmfs_id id, struct vnode **out)
{
    struct vmfs_attributes a;
    struct node *node;
    vmk_status status;

    *out = vnode_find(volume->mount, inode_of(id));
    if (*out)
        return VMK_OK;
    status = vmfs_open(volume->v, id, false);
    if (status != VMK_OK)
        return vmfs_answer(status);
    status = vmfs_attributes(volume->v, id, &a);
    node = status == VMK_OK ? heap_alloc(sizeof(*node), MEM_OWNER_FS) : NULL;
    if (!node) {
        vmfs_close(volume->v, id, false);
        return status == VMK_OK ? VMK_NO_MEMORY : vmfs_answer(status);
    }
    node->volume = volume;
    node->id = id;
    vnode_init(&node->vnode, volume->mount, &node_ops, inode_of(id), type_of(a.type), 0);
    *out = vnode_publish(&node->vnode);
    if (*out != &node->vnode) {  // somebody was faster
        vmfs_close(volume->v, id, false);
        vnode_end(&node->vnode);
        heap_free(node);
    }
    return VMK_OK;
}

static void node_release(struct vnode *vnode)
{
    struct node *node = node_of(vnode);

    if (node->exclusive)
        vmfs_close(node->volume->v, node->id, true);
    vmfs_close(node->volume->v, node->id, false);
    vnode_end(vnode);
    heap_free(node);
}

static vmk_status node_open(struct vnode *vnode, struct file *file)
{
    struct node *node = node_of(vnode);
    struct patience patience = {0, 0};
    vmk_status status = VMK_OK;

    if (vnode->type != VFS_TYPE_REGULAR || !file_may_write(file))
        return VMK_OK;
    mutex_lock(&vnode->lock);
    if (!node->exclusive) {
        do
            status = vmfs_open(node->volume->v, node->id, true);
        while (again(node->volume, &patience, status, true));
        node->exclusive = status == VMK_OK;
    }
    mutex_unlock(&vnode->lock);
    return vmfs_answer(status);
}

/* ---- names ---- */

struct name {
    char text[VMFS_NAME_MAX + 1];
};

static vmk_status name_copy(struct name *name, const char *text, size_t length)
{
    if (length > VMFS_NAME_MAX)
        return VMK_NAME_TOO_LONG;
    memcpy(name->text, text, length);
    name->text[length] = 0;
    return VMK_OK;
}

static vmk_status node_lookup(struct vnode *dir, const char *name, size_t length,
                              struct vnode **out)
{
    struct volume *volume = volume_of(dir);
    vmfs_id id;
    vmk_status status;

    if (length > VMFS_NAME_MAX)
        return VMK_NAME_TOO_LONG;
    PATIENTLY(volume, status, vmfs_lookup(volume->v, node_of(dir)->id, name, length, &id));
    return status == VMK_OK ? vmfs_node_get(volume, id, out) : status;
}

static vmk_status make(struct vnode *dir, const char *text, size_t length, enum vmfs_type type,
                       uint32_t mode, const struct vfs_cred *cred, const char *target,
                       struct vnode **out)
{
    struct volume *volume = volume_of(dir);
    struct vmfs_attributes a;
    struct name name;
    vmfs_id id;
    uint32_t gid = cred->gid;
    vmk_status status = name_copy(&name, text, length);

    if (status == VMK_OK)
        status = vmfs_answer(vmfs_attributes(volume->v, node_of(dir)->id, &a));
    if (status != VMK_OK)
        return status;
    if (a.mode & VFS_MODE_SETGID) {
        gid = a.gid;
        if (type == VMFS_DIRECTORY)
            mode |= VFS_MODE_SETGID;
    }
    PATIENTLY(volume, status,
              vmfs_create(volume->v, node_of(dir)->id, name.text, type, mode & VFS_MODE_BITS,
                          cred->uid, gid, target, &id));
    return status == VMK_OK && out ? vmfs_node_get(volume, id, out) : status;
}

static vmk_status node_create(struct vnode *dir, const char *name, size_t length, uint32_t mode,
                              const struct vfs_cred *cred, struct vnode **out)
{
    return make(dir, name, length, VMFS_FILE, mode, cred, NULL, out);
}

static vmk_status node_mkdir(struct vnode *dir, const char *name, size_t length, uint32_t mode,
                             const struct vfs_cred *cred, struct vnode **out)
{
    return make(dir, name, length, VMFS_DIRECTORY, mode, cred, NULL, out);
}

static vmk_status node_symlink(struct vnode *dir, const char *name, size_t length,
                               const char *target, const struct vfs_cred *cred)
{
    return make(dir, name, length, VMFS_SYMLINK, 0777, cred, target, NULL);
}

static vmk_status node_link(struct vnode *dir, const char *text, size_t length,
                            struct vnode *target)
{
    struct volume *volume = volume_of(dir);
    struct name name;
    vmk_status status = name_copy(&name, text, length);

    if (status == VMK_OK)
        PATIENTLY(volume, status,
                  vmfs_link(volume->v, node_of(target)->id, node_of(dir)->id, name.text));
    return status;
}

static vmk_status remove_as(struct vnode *dir, const char *text, size_t length, bool is_dir)
{
    struct volume *volume = volume_of(dir);
    struct name name;
    vmk_status status = name_copy(&name, text, length);

    if (status == VMK_OK)
        PATIENTLY(volume, status, vmfs_remove(volume->v, node_of(dir)->id, name.text, is_dir));
    return status;
}

static vmk_status node_unlink(struct vnode *dir, const char *name, size_t length,
                              struct vnode *victim)
{
    (void)victim;
    return remove_as(dir, name, length, false);
}

static vmk_status node_rmdir(struct vnode *dir, const char *name, size_t length,
                             struct vnode *victim)
{
    (void)victim;
    return remove_as(dir, name, length, true);
}

static vmk_status node_rename(struct vnode *old_dir, const char *old_text, size_t old_length,
                              struct vnode *new_dir, const char *new_text, size_t new_length,
                              struct vnode *moved, struct vnode *victim)
{
    struct volume *volume = volume_of(old_dir);
    struct name old_name;
    struct name new_name;
    vmk_status status = name_copy(&old_name, old_text, old_length);

    (void)moved;
    (void)victim;
    if (status == VMK_OK)
        status = name_copy(&new_name, new_text, new_length);
    if (status == VMK_OK)
        PATIENTLY(volume, status,
                  vmfs_rename(volume->v, node_of(old_dir)->id, old_name.text,
                              node_of(new_dir)->id, new_name.text));
    return status;
}

static vmk_status node_readlink(struct vnode *link, char *out, size_t size, size_t *length)
{
    struct volume *volume = volume_of(link);
    struct vmfs_attributes a;
    size_t got = 0;
    vmk_status status = vmfs_attributes(volume->v, node_of(link)->id, &a);

    if (status == VMK_OK)
        status = vmfs_read(volume->v, node_of(link)->id, 0, out, size, &got);
    *length = status == VMK_OK ? (size_t)a.length : 0;
    return vmfs_answer(status);
}

/* ---- listing ---- */

struct listed {
    uint64_t position;
    struct vmfs_entry entry;
};

/* 2 .. 2^62: where a name stands in the listing of any directory. */
static uint64_t position_of(const char *name)
{
    uint64_t hash = fnv1a_64(name, strlen(name));

    hash ^= hash >> 29;
    hash *= 0x9e3779b97f4a7c15ull;
    return 2 + (hash >> 2 & ~(1ull << 62)) % ((1ull << 62) - 4);
}

/* Puts an entry into the `count` lowest so far, in order. */
static void keep_lowest(struct listed **sorted, unsigned *count, const struct vmfs_entry *entry,
                        uint64_t position)
{
    struct listed *slot;
    unsigned at;

    if (*count == LIST_BATCH && sorted[LIST_BATCH - 1]->position < position)
        return;
    /* sorted[] always holds all slots: those behind *count are free. */
    at = MIN(*count, LIST_BATCH - 1);
    slot = sorted[at];
    *count = MIN(*count + 1, LIST_BATCH);
    while (at > 0 && sorted[at - 1]->position > position) {
        sorted[at] = sorted[at - 1];
        at--;
    }
    sorted[at] = slot;
    slot->position = position;
    slot->entry = *entry;
}

struct listing {
    struct listed slots[LIST_BATCH];
    struct listed *sorted[LIST_BATCH];
    unsigned count;
    struct vmfs_entry chunk[LIST_CHUNK];
};

/* The lowest entries at or behind `from`. */
static vmk_status collect(struct volume *volume, vmfs_id dir, uint64_t from, struct listing *l)
{
    l->count = 0;
    for (unsigned i = 0; i < LIST_BATCH; i++)
        l->sorted[i] = &l->slots[i];
    for (uint64_t index = 0;;) {
        unsigned got;
        vmk_status status = vmfs_entries(volume->v, dir, index, l->chunk, LIST_CHUNK, &got);

        if (status != VMK_OK || !got)
            return vmfs_answer(status);
        for (unsigned i = 0; i < got; i++) {
            const struct vmfs_entry *e = &l->chunk[i];
            uint64_t position = position_of(e->name);

            if (strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0 && e->name[0] &&
                position >= from)
                keep_lowest(l->sorted, &l->count, e, position);
        }
        index += got;
    }
}

static vmk_status node_readdir(struct vnode *dir, uint64_t *position, struct vfs_dir_sink *sink)
{
    struct volume *volume = volume_of(dir);
    struct listing *l = heap_alloc(sizeof(*l), MEM_OWNER_FS);
    vmk_status status = l ? VMK_OK : VMK_NO_MEMORY;
    bool more = true;

    while (status == VMK_OK && more) {
        status = collect(volume, node_of(dir)->id, *position, l);
        more = status == VMK_OK && l->count == LIST_BATCH;
        for (unsigned i = 0; status == VMK_OK && i < l->count; i++) {
            const struct listed *e = l->sorted[i];

            if (!sink->emit(sink, e->entry.name, strlen(e->entry.name), inode_of(e->entry.id),
                            type_of(e->entry.type), e->position + 1)) {
                more = false;
                break;
            }
            *position = e->position + 1;
        }
    }
    heap_free(l);
    return status;
}

/* ---- attributes ---- */

static vmk_status node_getattr(struct vnode *vnode, struct vfs_attr *out)
{
    struct vmfs_attributes a;
    vmk_status status = vmfs_attributes(volume_of(vnode)->v, node_of(vnode)->id, &a);

    if (status != VMK_OK)
        return vmfs_answer(status);
    *out = (struct vfs_attr){.mode = vnode->type | a.mode,
                             .link_count = a.links,
                             .uid = a.uid,
                             .gid = a.gid,
                             .inode = vnode->inode,
                             .device = vnode->mount->device,
                             .size = a.length,
                             .blocks = a.blocks * (a.block_size / 512),
                             .block_size = 65536,
                             .atime_ns = a.atime * 1000000000ll,
                             .mtime_ns = a.mtime * 1000000000ll,
                             .ctime_ns = a.ctime * 1000000000ll};
    return VMK_OK;
}

static uint32_t seconds_of(int64_t ns)
{
    return ns < 0 ? 0 : (uint32_t)MIN(ns / 1000000000, (int64_t)UINT32_MAX);
}

static vmk_status node_setattr(struct vnode *vnode, const struct vfs_attr *attr, unsigned what)
{
    struct volume *volume = volume_of(vnode);
    struct vmfs_attributes a;
    unsigned set = 0;
    vmk_status status = vmfs_attributes(volume->v, node_of(vnode)->id, &a);

    if (status != VMK_OK)
        return vmfs_answer(status);
    if (what & VFS_SET_MODE) {
        set |= VMFS_SET_MODE;
        a.mode = attr->mode & VFS_MODE_BITS;
    }
    if (what & (VFS_SET_UID | VFS_SET_GID)) {
        set |= VMFS_SET_OWNER;
        a.uid = what & VFS_SET_UID ? attr->uid : a.uid;
        a.gid = what & VFS_SET_GID ? attr->gid : a.gid;
    }
    if (what & VFS_SET_MTIME) {
        set |= VMFS_SET_MTIME;
        a.mtime = seconds_of(attr->mtime_ns);
    }
    if (what & VFS_SET_ATIME) {
        set |= VMFS_SET_ATIME;
        a.atime = seconds_of(attr->atime_ns);
    }
    PATIENTLY(volume, status, vmfs_attributes_set(volume->v, node_of(vnode)->id, set, &a));
    return status;
}

/* ---- data ---- */

static vmk_status node_read(struct vnode *vnode, struct vfs_iov *iov)
{
    return vmfs_answer(vmfs_read(volume_of(vnode)->v, node_of(vnode)->id, iov->offset, iov->to,
                                 iov->size, &iov->done));
}

static vmk_status node_write(struct vnode *vnode, struct vfs_iov *iov)
{
    struct volume *volume = volume_of(vnode);
    struct patience patience = {0, 0};
    vmk_status status;

    do {
        size_t done = 0;

        status =
            vmfs_write_some(volume->v, node_of(vnode)->id, iov->offset + iov->done,
                            (const char *)iov->from + iov->done, iov->size - iov->done, &done);
        iov->done += done;
    } while (again(volume, &patience, status, false));
    return iov->done ? VMK_OK : vmfs_answer(status);
}

static vmk_status node_truncate(struct vnode *vnode, uint64_t size)
{
    struct volume *volume = volume_of(vnode);
    vmk_status status;

    PATIENTLY(volume, status, vmfs_truncate(volume->v, node_of(vnode)->id, size));
    return status;
}

static vmk_status node_allocate(struct vnode *vnode, uint64_t size)
{
    struct volume *volume = volume_of(vnode);
    vmk_status status;

    PATIENTLY(volume, status,
              vmfs_allocate(volume->v, node_of(vnode)->id, size, VMFS_ZEROED_THICK));
    return status;
}

static vmk_status node_fsync(struct vnode *vnode, bool data_only)
{
    (void)data_only;
    return volume_of(vnode)->read_only ? VMK_OK : vmfs_answer(vmfs_sync(volume_of(vnode)->v));
}

static const struct vnode_ops node_ops = {
    .lookup = node_lookup,
    .create = node_create,
    .mkdir = node_mkdir,
    .symlink = node_symlink,
    .link = node_link,
    .unlink = node_unlink,
    .rmdir = node_rmdir,
    .rename = node_rename,
    .readdir = node_readdir,
    .readlink = node_readlink,
    .getattr = node_getattr,
    .setattr = node_setattr,
    .read = node_read,
    .write = node_write,
    .truncate = node_truncate,
    .allocate = node_allocate,
    .fsync = node_fsync,
    .open = node_open,
    .release = node_release,
};

bool vmfs_of_vnode(const struct vnode *vnode, struct vmfs_volume **volume, vmfs_id *file)
{
    if (vnode->ops != &node_ops)
        return false;
    *volume = volume_of(vnode)->v;
    *file = container_of(vnode, const struct node, vnode)->id;
    return true;
}
