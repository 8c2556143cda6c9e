// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/proc/proc_process.c -- /proc/<pid>: directories that are made when somebody looks.
 *
 * Nothing is kept per process: an inode number says all there is to know (pid and which entry),
 * so a vnode can be made from it at any time and thrown away with its last reference. Whether
 * the process is still there is asked at each use, from the provider that user/ registered.
 *
 *     63   56 55      24 23              0
 *    | 0x50  |   pid    |  which          |  which: 0 the directory, 1.. files, 0x400.. links,
 *                                            0x800 fd/, 0x801 task/, 0x802 task/<tid> and
 *                                            0x810.. its files (there pid is the tid),
 *                                            0x1000.. the links in fd/, 0x800000..
 *                                            what such a link leads to that has no vnode (a
 *                                            pipe), 0xffffff self
 *
 * Invariants
 *   - One inode number, one vnode (vnode_publish()).
 * Locking    none of its own; the provider's functions lock what they need.
 */
#include "core/assert.h"
#include "fs/proc/proc_internal.h"
#include "lib/format.h"
#include "lib/string.h"

#define INODE_MARK   (0x50ull << 56)
#define WHICH_DIR    0u
#define WHICH_FILE   1u
#define WHICH_LINK   0x400u
#define WHICH_FDS    0x800u
#define WHICH_TASKS  0x801u
#define WHICH_TASK   0x802u
#define WHICH_TFILE  0x810u
#define WHICH_FD     0x1000u
#define WHICH_OBJECT 0x800000u
#define WHICH_SELF   0xffffffu
#define FD_MAX       (WHICH_OBJECT - WHICH_FD - 1)

static const struct vnode_ops process_ops;

static const struct procfs_processes *provider(void)
{
    return __atomic_load_n(&fs_state()->processes, __ATOMIC_ACQUIRE);
}

static uint64_t inode_make(uint32_t pid, uint32_t which)
{
    return INODE_MARK | ((uint64_t)pid << 24) | which;
}
static uint32_t pid_of(const struct vnode *vnode)
{
    return (uint32_t)(vnode->inode >> 24);
}
static uint32_t which_of(const struct vnode *vnode)
{
    return (uint32_t)vnode->inode & 0xffffffu;
}

static bool is_task(uint32_t which)
{
    return which >= WHICH_TASK && which < WHICH_FD;
}

/* The process it belongs to; 0: its thread is gone. */
static uint32_t process_of(const struct vnode *vnode)
{
    return is_task(which_of(vnode)) ? provider()->thread_process(pid_of(vnode)) : pid_of(vnode);
}

static bool is_there(const struct vnode *vnode)
{
    uint32_t pid = process_of(vnode);

    return pid && provider()->exists(pid);
}

static bool is_object(const struct vnode *vnode)
{
    return which_of(vnode) >= WHICH_OBJECT && which_of(vnode) != WHICH_SELF;
}

static uint32_t type_of(uint32_t which)
{
    if (which == WHICH_SELF || which >= WHICH_FD || (which >= WHICH_LINK && which < WHICH_FDS))
        return VFS_TYPE_LINK;
    return which == WHICH_DIR || (which >= WHICH_FDS && which <= WHICH_TASK) ? VFS_TYPE_DIR
                                                                             : VFS_TYPE_REGULAR;
}

static vmk_status vnode_make(struct mount *mount, uint32_t pid, uint32_t which, uint32_t type,
                             struct vnode **out)
{
    uint64_t inode = inode_make(pid, which);
    struct vnode *fresh;

    *out = vnode_find(mount, inode);
    if (*out)
        return VMK_OK;
    fresh = heap_alloc(sizeof(*fresh), MEM_OWNER_FS);
    if (!fresh)
        return VMK_NO_MEMORY;
    vnode_init(fresh, mount, &process_ops, inode, type, 0);
    *out = vnode_publish(fresh);
    if (*out != fresh) {
        vnode_end(fresh);
        heap_free(fresh);
    }
    return VMK_OK;
}

static vmk_status vnode_of(struct mount *mount, uint32_t pid, uint32_t which,
                           struct vnode **out)
{
    return vnode_make(mount, pid, which, type_of(which), out);
}

static void process_release(struct vnode *vnode)
{
    vnode_end(vnode);
    heap_free(vnode);
}

/* ---- names ---- */

/* All digits, no leading zero, at most 9 of them. */
static bool read_number(const char *name, size_t length, uint32_t *value)
{
    uint32_t v = 0;

    if (length == 0 || length > 9 || (name[0] == '0' && length > 1))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        v = v * 10 + (uint32_t)(name[i] - '0');
    }
    *value = v;
    return true;
}

static bool is_named(const char *name, size_t length, const char *what)
{
    return strlen(what) == length && memcmp(name, what, length) == 0;
}

vmk_status proc_process_lookup(struct vnode *root, const char *name, size_t length,
                               struct vnode **out)
{
    const struct procfs_processes *p = provider();
    uint32_t pid;

    if (!p)
        return VMK_NOT_FOUND;
    if (is_named(name, length, "self"))
        return vnode_of(root->mount, 0, WHICH_SELF, out);
    if (!read_number(name, length, &pid) || !p->exists(pid))
        return VMK_NOT_FOUND;
    return vnode_of(root->mount, pid, WHICH_DIR, out);
}

static vmk_status lookup_in_process(const struct procfs_processes *p, struct vnode *dir,
                                    const char *name, size_t length, struct vnode **out)
{
    for (uint32_t i = 0; i < p->file_count; i++) {
        if (is_named(name, length, p->files[i].name))
            return vnode_of(dir->mount, pid_of(dir), WHICH_FILE + i, out);
    }
    for (uint32_t i = 0; i < p->link_count; i++) {
        if (is_named(name, length, p->links[i].name))
            return vnode_of(dir->mount, pid_of(dir), WHICH_LINK + i, out);
    }
    if (p->fd_next && is_named(name, length, "fd"))
        return vnode_of(dir->mount, pid_of(dir), WHICH_FDS, out);
    if (p->thread_next && is_named(name, length, "task"))
        return vnode_of(dir->mount, pid_of(dir), WHICH_TASKS, out);
    return VMK_NOT_FOUND;
}

/* In task/ and in task/<tid>. */
static vmk_status lookup_task(const struct procfs_processes *p, struct vnode *dir,
                              const char *name, size_t length, struct vnode **out)
{
    uint32_t tid;

    if (which_of(dir) == WHICH_TASKS) {
        if (!read_number(name, length, &tid) || p->thread_process(tid) != pid_of(dir))
            return VMK_NOT_FOUND;
        return vnode_of(dir->mount, tid, WHICH_TASK, out);
    }
    for (uint32_t i = 0; i < p->thread_file_count; i++) {
        if (is_named(name, length, p->thread_files[i].name))
            return vnode_of(dir->mount, pid_of(dir), WHICH_TFILE + i, out);
    }
    return VMK_NOT_FOUND;
}

static vmk_status process_lookup(struct vnode *dir, const char *name, size_t length,
                                 struct vnode **out)
{
    const struct procfs_processes *p = provider();
    uint32_t number, found;

    if (is_named(name, length, "..")) {
        if (which_of(dir) == WHICH_TASK && is_there(dir))
            return vnode_of(dir->mount, process_of(dir), WHICH_TASKS, out);
        if (which_of(dir) != WHICH_DIR)
            return vnode_of(dir->mount, pid_of(dir), WHICH_DIR, out);
        *out = dir->mount->root;
        vnode_ref(*out);
        return VMK_OK;
    }
    if (!is_there(dir))
        return VMK_NOT_FOUND;
    if (which_of(dir) == WHICH_DIR)
        return lookup_in_process(p, dir, name, length, out);
    if (which_of(dir) != WHICH_FDS)
        return lookup_task(p, dir, name, length, out);
    if (!read_number(name, length, &number) || number > FD_MAX ||
        !p->fd_next(pid_of(dir), number, &found) || found != number)
        return VMK_NOT_FOUND;
    return vnode_of(dir->mount, pid_of(dir), WHICH_FD + number, out);
}

/* ---- listings ---- */

static bool emit_number(struct vfs_dir_sink *sink, uint32_t number, uint64_t inode,
                        uint32_t type, uint64_t next)
{
    char name[12];
    int length = vmk_snprintf(name, sizeof(name), "%u", number);

    return sink->emit(sink, name, (size_t)length, inode, type, next);
}

vmk_status proc_process_readdir(struct vnode *root, uint64_t *position,
                                struct vfs_dir_sink *sink)
{
    const struct procfs_processes *p = provider();
    uint32_t pid;

    (void)root;
    if (!p)
        return VMK_OK;
    if (*position <= PROC_POSITION_SELF) {
        if (!sink->emit(sink, "self", 4, inode_make(0, WHICH_SELF), VFS_TYPE_LINK,
                        PROC_POSITION_PIDS))
            return VMK_OK;
        *position = PROC_POSITION_PIDS;
    }
    pid = (uint32_t)(*position - PROC_POSITION_PIDS);
    while (p->next(pid, &pid)) {
        uint64_t next = PROC_POSITION_PIDS + pid;

        if (!emit_number(sink, pid, inode_make(pid, WHICH_DIR), VFS_TYPE_DIR, next))
            break;
        *position = next;
    }
    return VMK_OK;
}

static vmk_status list_entries(const struct procfs_processes *p, struct vnode *dir,
                               uint64_t *position, struct vfs_dir_sink *sink)
{
    const uint32_t named = (uint32_t)(p->file_count + p->link_count);
    uint64_t count = named + (p->fd_next ? 1u : 0u) + (p->thread_next ? 1u : 0u);

    while (*position - 2 < count) {
        uint32_t i = (uint32_t)(*position - 2);
        uint32_t which;
        const char *name;

        if (i < p->file_count) {
            which = WHICH_FILE + i;
            name = p->files[i].name;
        } else if (i < named) {
            which = WHICH_LINK + i - (uint32_t)p->file_count;
            name = p->links[i - p->file_count].name;
        } else if (i == named && p->fd_next) {
            which = WHICH_FDS;
            name = "fd";
        } else {
            which = WHICH_TASKS;
            name = "task";
        }
        if (!sink->emit(sink, name, strlen(name), inode_make(pid_of(dir), which),
                        type_of(which), *position + 1))
            break;
        ++*position;
    }
    return VMK_OK;
}

static vmk_status list_tasks(const struct procfs_processes *p, struct vnode *dir,
                             uint64_t *position, struct vfs_dir_sink *sink)
{
    uint32_t tid = (uint32_t)(*position - 2);

    while (p->thread_next(pid_of(dir), tid, &tid)) {
        if (!emit_number(sink, tid, inode_make(tid, WHICH_TASK), VFS_TYPE_DIR,
                         (uint64_t)tid + 2))
            break;
        *position = (uint64_t)tid + 2;
    }
    return VMK_OK;
}

static vmk_status list_thread_files(const struct procfs_processes *p, struct vnode *dir,
                                    uint64_t *position, struct vfs_dir_sink *sink)
{
    for (; *position - 2 < p->thread_file_count; ++*position) {
        uint32_t i = (uint32_t)(*position - 2);
        const char *name = p->thread_files[i].name;

        if (!sink->emit(sink, name, strlen(name), inode_make(pid_of(dir), WHICH_TFILE + i),
                        VFS_TYPE_REGULAR, *position + 1))
            break;
    }
    return VMK_OK;
}

static vmk_status process_readdir(struct vnode *dir, uint64_t *position,
                                  struct vfs_dir_sink *sink)
{
    const struct procfs_processes *p = provider();
    uint32_t fd = (uint32_t)(*position - 2);

    if (!is_there(dir))
        return VMK_NOT_FOUND;
    if (which_of(dir) == WHICH_DIR)
        return list_entries(p, dir, position, sink);
    if (which_of(dir) == WHICH_TASKS)
        return list_tasks(p, dir, position, sink);
    if (which_of(dir) == WHICH_TASK)
        return list_thread_files(p, dir, position, sink);
    while (fd <= FD_MAX && p->fd_next(pid_of(dir), fd, &fd)) {
        if (!emit_number(sink, fd, inode_make(pid_of(dir), WHICH_FD + fd), VFS_TYPE_LINK,
                         (uint64_t)fd + 3))
            break;
        *position = (uint64_t)fd + 3;
        fd++;
    }
    return VMK_OK;
}

/* ---- links ---- */

static vmk_status link_text(struct vnode *link, char *out, size_t size)
{
    const struct procfs_processes *p = provider();
    uint32_t which = which_of(link);
    struct file *file;
    vmk_status status;

    if (which == WHICH_SELF) {
        uint32_t pid = p->self();

        (void)vmk_snprintf(out, size, "%u", pid);
        return pid ? VMK_OK : VMK_NOT_FOUND;
    }
    if (which < WHICH_FD)
        return p->links[which - WHICH_LINK].path(pid_of(link), out, size);
    status = p->fd_file(pid_of(link), which - WHICH_FD, &file);
    if (status == VMK_OK) {
        status = file_path(fs_state()->root->root, file, out, size);
        file_put(file);
    }
    return status;
}

static vmk_status process_readlink(struct vnode *link, char *out, size_t size, size_t *length)
{
    char *text = heap_alloc(VFS_PATH_MAX, MEM_OWNER_FS);
    vmk_status status;

    if (!text)
        return VMK_NO_MEMORY;
    status = link_text(link, text, VFS_PATH_MAX);
    if (status == VMK_OK) {
        *length = strlen(text);
        memcpy(out, text, MIN(size, *length));
    }
    heap_free(text);
    return status;
}

static vmk_status walk_text(struct vnode *link, struct vnode **vnode)
{
    char *text = heap_alloc(VFS_PATH_MAX, MEM_OWNER_FS);
    struct vfs_where where = vfs_where_kernel();
    vmk_status status;

    if (!text)
        return VMK_NO_MEMORY;
    where.start = link->mount->root;  // "self" is a text below /proc
    status = link_text(link, text, VFS_PATH_MAX);
    if (status == VMK_OK)
        status = vfs_walk(&where, text, 0, vnode);
    heap_free(text);
    return status;
}

/* A vnode that says of itself what `file`, which has none, says. */
static vmk_status object_of(struct vnode *link, struct file *file, struct vnode **out)
{
    struct vfs_attr attr;
    vmk_status status = file_getattr(file, &attr);

    if (status != VMK_OK)
        return status;
    return vnode_make(link->mount, pid_of(link), which_of(link) - WHICH_FD + WHICH_OBJECT,
                      attr.mode & VFS_TYPE_MASK, out);
}

static vmk_status process_follow(struct vnode *link, struct vnode **vnode, struct file **file)
{
    const struct procfs_processes *p = provider();
    uint32_t which = which_of(link);

    if (which >= WHICH_FD && which != WHICH_SELF) {
        struct file *found;
        vmk_status status = p->fd_file(pid_of(link), which - WHICH_FD, &found);

        if (status != VMK_OK)
            return status;
        if (found->vnode) {
            *vnode = found->vnode;
            vnode_ref(*vnode);
            file_put(found);
            return VMK_OK;
        }
        status = object_of(link, found, vnode);
        if (status == VMK_OK)
            *file = found;
        else
            file_put(found);
        return status;
    }
    if (which != WHICH_SELF && p->links[which - WHICH_LINK].target)
        return p->links[which - WHICH_LINK].target(pid_of(link), vnode);
    return walk_text(link, vnode);
}

/* ---- files ---- */

static vmk_status process_getattr(struct vnode *vnode, struct vfs_attr *out)
{
    const struct procfs_processes *p = provider();
    uint32_t which = which_of(vnode);
    uint32_t permissions = 0555;

    if (is_object(vnode)) {
        struct file *file;
        vmk_status status = p->fd_file(pid_of(vnode), which - WHICH_OBJECT, &file);

        if (status == VMK_OK) {
            status = file_getattr(file, out);
            file_put(file);
        }
        return status;
    }
    if (vnode->type == VFS_TYPE_LINK)
        permissions = 0777;
    else if (which == WHICH_FDS)
        permissions = 0500;
    else if (which >= WHICH_TFILE)
        permissions = p->thread_files[which - WHICH_TFILE].mode;
    else if (vnode->type == VFS_TYPE_REGULAR)
        permissions = p->files[which - WHICH_FILE].mode;
    *out = proc_attr(vnode, permissions);
    if (which == WHICH_SELF)
        return VMK_OK;
    return p->owner(process_of(vnode), &out->uid, &out->gid);
}

static vmk_status process_show(const struct proc_source *source, struct procfs_text *out)
{
    return source->process_file->show(out, source->pid);
}

static vmk_status process_store(const struct proc_source *source, const char *text,
                                size_t length)
{
    return source->process_file->store(text, length, source->pid);
}

static vmk_status process_open(struct vnode *vnode, struct file *file)
{
    const struct procfs_processes *p = provider();
    struct proc_source source = {.pid = pid_of(vnode)};

    if (vnode->type != VFS_TYPE_REGULAR)
        return VMK_OK;
    source.process_file = which_of(vnode) >= WHICH_TFILE
                              ? &p->thread_files[which_of(vnode) - WHICH_TFILE]
                              : &p->files[which_of(vnode) - WHICH_FILE];
    source.show = source.process_file->show ? process_show : NULL;
    source.store = source.process_file->store ? process_store : NULL;
    return proc_file_open(file, &source);
}

static const struct vnode_ops process_ops = {
    .lookup = process_lookup,
    .readdir = process_readdir,
    .readlink = process_readlink,
    .follow = process_follow,
    .getattr = process_getattr,
    .open = process_open,
    .release = process_release,
};
