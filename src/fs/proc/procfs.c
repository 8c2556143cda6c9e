// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/proc/procfs.c -- the tree of /proc: registered nodes, and the mount that shows them.
 *
 * Subsystems register paths before and after /proc is mounted, so the tree stands by itself;
 * the mount gives each node its vnode. There is one /proc per host. Processes are not in the
 * tree: their directories are made when somebody looks (proc_process.c).
 *
 * Invariants
 *   - A node has a vnode exactly while /proc is mounted (procfs.mount).
 *   - After procfs_unregister() returned, `dead` is set and no call into the owner runs.
 * Locking    vnode.lock (vfs), then procfs.lock, then proc_node.calls; all mutexes. show and
 *            store run under `calls` only.
 * Start at   procfs_register(), node_lookup().
 */
#include "fs/proc/procfs.h"

#include "core/assert.h"
#include "core/log.h"
#include "fs/proc/proc_internal.h"
#include "lib/string.h"

static const struct vnode_ops node_ops;

static struct procfs *procfs_get(void)
{
    return fs_state()->procfs;
}

static struct proc_node *node_of(struct vnode *vnode)
{
    return container_of(vnode, struct proc_node, vnode);
}

/* ---- the tree; procfs.lock held ---- */

static struct proc_node *child_find(struct proc_node *dir, const char *name, size_t length)
{
    list_for_each (node, &dir->children) {
        struct proc_node *child = list_entry(node, struct proc_node, siblings);

        if (strlen(child->name) == length && memcmp(child->name, name, length) == 0)
            return child;
    }
    return NULL;
}

/* Gives the node its vnode in the mounted /proc. */
static void vnode_attach(struct procfs *proc, struct proc_node *n)
{
    vnode_init(&n->vnode, proc->mount, &node_ops, proc->next_inode++,
               n->is_dir ? VFS_TYPE_DIR : VFS_TYPE_REGULAR, 0);
    vnode_keep(&n->vnode);
}

static struct proc_node *node_new(struct procfs *proc, struct proc_node *parent,
                                  const char *name, size_t length, bool is_dir)
{
    struct proc_node *n = heap_alloc(sizeof(*n) + length + 1, MEM_OWNER_FS);

    if (!n)
        return NULL;
    memcpy(n->name, name, length);
    n->parent = parent;
    n->is_dir = is_dir;
    n->permissions = is_dir ? 0555u : 0444u;
    n->cookie = proc->next_cookie++;
    list_init(&n->children);
    list_init(&n->siblings);
    mutex_init(&n->calls, "proc node");
    if (parent)
        list_add_tail(&parent->children, &n->siblings);
    if (proc->mount)
        vnode_attach(proc, n);
    return n;
}

/* Takes a leaf off the tree. Freed at once, or by its last vnode reference. */
static void node_drop(struct procfs *proc, struct proc_node *n)
{
    list_remove(&n->siblings);
    n->parent = NULL;
    if (proc->mount) {
        vnode_unkeep(&n->vnode);
        vnode_put(&n->vnode);
    } else {
        heap_free(n);
    }
}

static void prune_empty(struct procfs *proc, struct proc_node *dir)
{
    while (dir->parent && dir->is_dir && list_is_empty(&dir->children)) {
        struct proc_node *parent = dir->parent;

        node_drop(proc, dir);
        dir = parent;
    }
}

/* The node at `path`; with `make`, directories on the way are made and the last part is new. */
static vmk_status node_walk(struct procfs *proc, const char *path, bool make,
                            struct proc_node **out)
{
    struct proc_node *at = proc->root;

    for (;;) {
        const char *end = path;
        struct proc_node *next;
        size_t length;

        while (*end && *end != '/')
            end++;
        length = (size_t)(end - path);
        if (length == 0 || length > VFS_NAME_MAX)
            return VMK_BAD_PARAM;
        if (!at->is_dir)
            return VMK_BAD_PARAM;
        next = child_find(at, path, length);
        if (next && make && !*end)
            return VMK_EXISTS;
        if (!next && !make)
            return VMK_NOT_FOUND;
        if (!next)
            next = node_new(proc, at, path, length, *end == '/');
        if (!next) {
            prune_empty(proc, at);
            return VMK_NO_MEMORY;
        }
        at = next;
        if (!*end)
            break;
        path = end + 1;
    }
    *out = at;
    return VMK_OK;
}

vmk_status procfs_register(const char *path, procfs_show show, procfs_store store,
                           void *argument)
{
    struct procfs *proc = procfs_get();
    struct proc_node *n;
    vmk_status status;

    if (!proc)
        return VMK_NO_DEVICE;
    if (!show && !store)
        return VMK_BAD_PARAM;
    mutex_lock(&proc->lock);
    status = node_walk(proc, path, true, &n);
    if (status == VMK_OK) {
        n->show = show;
        n->store = store;
        n->argument = argument;
        n->permissions = (show ? 0444u : 0) | (store ? 0200u : 0);
    }
    mutex_unlock(&proc->lock);
    return status;
}

void procfs_unregister(const char *path)
{
    struct procfs *proc = procfs_get();
    struct proc_node *n;

    if (!proc)
        return;
    mutex_lock(&proc->lock);
    if (node_walk(proc, path, false, &n) == VMK_OK && !n->is_dir) {
        struct proc_node *parent = n->parent;

        mutex_lock(&n->calls);  // waits for a call that runs
        n->dead = true;
        mutex_unlock(&n->calls);
        node_drop(proc, n);
        prune_empty(proc, parent);
    }
    mutex_unlock(&proc->lock);
}

/* ---- the calls of vfs ---- */

static vmk_status node_lookup(struct vnode *vnode, const char *name, size_t length,
                              struct vnode **out)
{
    struct procfs *proc = procfs_get();
    struct proc_node *dir = node_of(vnode);
    struct proc_node *found;
    bool is_root = vnode == vnode->mount->root;

    mutex_lock(&proc->lock);
    if (length == 2 && name[0] == '.' && name[1] == '.')
        found = dir->parent;
    else
        found = child_find(dir, name, length);
    if (found) {
        vnode_ref(&found->vnode);
        *out = &found->vnode;
    }
    mutex_unlock(&proc->lock);
    if (found)
        return VMK_OK;
    return is_root ? proc_process_lookup(vnode, name, length, out) : VMK_NOT_FOUND;
}

static vmk_status node_readdir(struct vnode *vnode, uint64_t *position,
                               struct vfs_dir_sink *sink)
{
    struct procfs *proc = procfs_get();
    struct proc_node *dir = node_of(vnode);
    bool full = false;

    mutex_lock(&proc->lock);
    list_for_each (node, &dir->children) {
        const struct proc_node *n = list_entry(node, struct proc_node, siblings);

        if (n->cookie < *position)
            continue;
        full = !sink->emit(sink, n->name, strlen(n->name), n->vnode.inode, n->vnode.type,
                           n->cookie + 1);
        if (full)
            break;
        *position = n->cookie + 1;
    }
    mutex_unlock(&proc->lock);
    if (!full && vnode == vnode->mount->root)
        return proc_process_readdir(vnode, position, sink);
    return VMK_OK;
}

struct vfs_attr proc_attr(const struct vnode *vnode, uint32_t permissions)
{
    int64_t now = vfs_time_now();

    return (struct vfs_attr){.mode = vnode->type | permissions,
                             .link_count = vnode->type == VFS_TYPE_DIR ? 2 : 1,
                             .inode = vnode->inode,
                             .device = vnode->mount->device,
                             .block_size = 1024,
                             .atime_ns = now,
                             .mtime_ns = now,
                             .ctime_ns = now};
}

static vmk_status node_getattr(struct vnode *vnode, struct vfs_attr *out)
{
    *out = proc_attr(vnode, node_of(vnode)->permissions);
    return VMK_OK;
}

static vmk_status node_show(const struct proc_source *source, struct procfs_text *out)
{
    struct proc_node *n = source->node;
    vmk_status status = VMK_NO_DEVICE;

    mutex_lock(&n->calls);
    if (!n->dead)
        status = n->show(out, n->argument);
    mutex_unlock(&n->calls);
    return status;
}

static vmk_status node_store(const struct proc_source *source, const char *text, size_t length)
{
    struct proc_node *n = source->node;
    vmk_status status = VMK_NO_DEVICE;

    mutex_lock(&n->calls);
    if (!n->dead)
        status = n->store(text, length, n->argument);
    mutex_unlock(&n->calls);
    return status;
}

static vmk_status node_open(struct vnode *vnode, struct file *file)
{
    struct proc_node *n = node_of(vnode);
    const struct proc_source source = {
        .show = n->show ? node_show : NULL, .store = n->store ? node_store : NULL, .node = n};

    return n->is_dir ? VMK_OK : proc_file_open(file, &source);
}

static void node_release(struct vnode *vnode)
{
    vnode_end(vnode);
    heap_free(node_of(vnode));
}

static const struct vnode_ops node_ops = {
    .lookup = node_lookup,
    .readdir = node_readdir,
    .getattr = node_getattr,
    .open = node_open,
    .release = node_release,
};

/* ---- the mount ---- */

/* A node that follows `n` in a walk over the whole tree, or null. */
static struct proc_node *tree_next(struct proc_node *root, struct proc_node *n)
{
    if (!list_is_empty(&n->children))
        return list_entry(n->children.next, struct proc_node, siblings);
    while (n != root) {
        if (n->siblings.next != &n->parent->children)
            return list_entry(n->siblings.next, struct proc_node, siblings);
        n = n->parent;
    }
    return NULL;
}

static void proc_unmount(struct mount *mount)
{
    struct procfs *proc = mount->private;

    /*
     * The nodes stay; their vnodes have the kept reference only, which goes without a release.
     */
    mutex_lock(&proc->lock);
    proc->mount = NULL;
    mutex_unlock(&proc->lock);
}

static vmk_status proc_statfs(struct mount *mount, struct vfs_statfs *out)
{
    (void)mount;
    out->magic = 0x9fa0;
    return VMK_OK;
}

static const struct mount_ops proc_mount_ops = {.statfs = proc_statfs, .unmount = proc_unmount};

static vmk_status proc_mount(struct mount *mount, const char *source, const char *options)
{
    struct procfs *proc = procfs_get();
    vmk_status status = VMK_OK;

    (void)source;
    (void)options;
    mutex_lock(&proc->lock);
    if (proc->mount) {
        status = VMK_BUSY;
    } else {
        proc->mount = mount;
        mount->ops = &proc_mount_ops;
        mount->private = proc;
        for (struct proc_node *n = proc->root; n; n = tree_next(proc->root, n))
            vnode_attach(proc, n);
        vnode_ref(&proc->root->vnode);
        mount->root = &proc->root->vnode;
    }
    mutex_unlock(&proc->lock);
    return status;
}

vmk_status procfs_type_register(void)
{
    struct fs_state *fs = fs_state();
    struct procfs *proc = heap_alloc(sizeof(*proc), MEM_OWNER_FS);
    struct vfs_type *type = heap_alloc(sizeof(*type), MEM_OWNER_FS);

    if (!proc || !type)
        return VMK_NO_MEMORY;
    mutex_init(&proc->lock, "procfs");
    mutex_init(&proc->loads, "load average");
    proc->next_cookie = 2;
    proc->next_inode = 1;
    proc->root = node_new(proc, NULL, "", 0, true);
    if (!proc->root)
        return VMK_NO_MEMORY;
    fs->procfs = proc;
    type->name = "proc";
    type->mount = proc_mount;
    vfs_type_register(type);
    return VMK_OK;
}

void procfs_processes_set(const struct procfs_processes *processes)
{
    __atomic_store_n(&fs_state()->processes, processes, __ATOMIC_RELEASE);
}
