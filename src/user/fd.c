// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/fd.c -- descriptor tables, working directories, and buffers for copies.
 *
 * Invariants
 *   - No free descriptor is below lowest_free.
 *   - An entry holds one reference to its file.
 * Locking    fds.lock and fs.lock (rank USER), alone; files are put after the lock is dropped.
 */
#include "core/assert.h"
#include "lib/string.h"
#include "mem/page.h"
#include "user/user_internal.h"

#define FDS_FIRST 16u

struct user_fds *fds_create(void)
{
    struct user_fds *fds = heap_alloc(sizeof(*fds), MEM_OWNER_USER);

    if (!fds)
        return NULL;
    fds->entries = heap_alloc(FDS_FIRST * sizeof(*fds->entries), MEM_OWNER_USER);
    if (!fds->entries) {
        heap_free(fds);
        return NULL;
    }
    fds->size = FDS_FIRST;
    fds->refs = 1;
    spin_init(&fds->lock, "descriptors", LOCK_RANK_USER);
    return fds;
}

struct user_fds *fds_copy(struct user_fds *from)
{
    struct user_fds *fds = fds_create();

    while (fds) {
        uint32_t size = __atomic_load_n(&from->size, __ATOMIC_RELAXED);

        if (size > fds->size) {
            heap_free(fds->entries);
            fds->entries = heap_alloc(size * sizeof(*fds->entries), MEM_OWNER_USER);
            if (!fds->entries) {
                heap_free(fds);
                return NULL;
            }
            fds->size = size;
        }

        bool irqs = spin_lock(&from->lock);

        if (from->size > fds->size) {  // it grew meanwhile
            spin_unlock(&from->lock, irqs);
            continue;
        }
        memcpy(fds->entries, from->entries, from->size * sizeof(*fds->entries));
        for (uint32_t i = 0; i < from->size; i++) {
            if (fds->entries[i].file)
                file_ref(fds->entries[i].file);
        }
        fds->lowest_free = from->lowest_free;
        spin_unlock(&from->lock, irqs);
        break;
    }
    return fds;
}

void fds_put(struct user_fds *fds)
{
    if (__atomic_fetch_sub(&fds->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    for (uint32_t i = 0; i < fds->size; i++)
        file_close(fds->entries[i].file, fds);
    heap_free(fds->entries);
    heap_free(fds);
}

void fds_close_on_exec(struct user_fds *fds)
{
    for (uint32_t i = 0; i < fds->size; i++) {
        struct file *file = NULL;
        bool irqs = spin_lock(&fds->lock);

        if (fds->entries[i].file && fds->entries[i].cloexec) {
            file = fds->entries[i].file;
            fds->entries[i].file = NULL;
            fds->lowest_free = MIN(fds->lowest_free, i);
        }
        spin_unlock(&fds->lock, irqs);
        file_close(file, fds);
    }
}

struct file *user_fd_get(struct thread *t, uint64_t fd)
{
    struct user_fds *fds = t->process->fds;
    struct file *file = NULL;
    bool irqs = spin_lock(&fds->lock);

    if (fd < fds->size)
        file = fds->entries[fd].file;
    if (file)
        file_ref(file);
    spin_unlock(&fds->lock, irqs);
    return file;
}

/* Makes room for that descriptor. Not locked on call or return. */
static bool grow(struct user_fds *fds, uint32_t fd)
{
    uint32_t size = FDS_FIRST;
    struct user_fd *entries, *old = NULL;

    while (size <= fd)
        size *= 2;
    entries = heap_alloc(size * sizeof(*entries), MEM_OWNER_USER);
    if (!entries)
        return false;

    bool irqs = spin_lock(&fds->lock);

    if (size > fds->size) {
        memcpy(entries, fds->entries, fds->size * sizeof(*entries));
        old = fds->entries;
        fds->entries = entries;
        fds->size = size;
        entries = NULL;
    }
    spin_unlock(&fds->lock, irqs);
    heap_free(entries);
    heap_free(old);
    return true;
}

static uint32_t fd_limit(const struct thread *t)
{
    return (uint32_t)MIN(t->process->limits[L_RLIMIT_NOFILE].current, (uint64_t)USER_FDS_MAX);
}

int64_t user_fd_install(struct thread *t, struct file *file, uint32_t from, bool cloexec)
{
    struct user_fds *fds = t->process->fds;
    uint32_t limit = fd_limit(t);

    for (;;) {
        bool irqs = spin_lock(&fds->lock);
        uint32_t fd = MAX(from, fds->lowest_free);

        while (fd < fds->size && fds->entries[fd].file)
            fd++;
        if (fd >= limit) {
            spin_unlock(&fds->lock, irqs);
            file_put(file);
            return -L_EMFILE;
        }
        if (fd < fds->size) {
            fds->entries[fd] = (struct user_fd){file, cloexec};
            if (from <= fds->lowest_free)
                fds->lowest_free = fd + 1;
            spin_unlock(&fds->lock, irqs);
            return fd;
        }
        spin_unlock(&fds->lock, irqs);
        if (!grow(fds, fd)) {
            file_put(file);
            return -L_ENOMEM;
        }
    }
}

int64_t user_fd_replace(struct thread *t, struct file *file, uint64_t fd, bool cloexec)
{
    struct user_fds *fds = t->process->fds;
    struct file *old;

    if (fd >= fd_limit(t)) {
        file_put(file);
        return -L_EBADF;
    }
    if (fd >= fds->size && !grow(fds, (uint32_t)fd)) {
        file_put(file);
        return -L_ENOMEM;
    }

    bool irqs = spin_lock(&fds->lock);

    old = fds->entries[fd].file;
    fds->entries[fd] = (struct user_fd){file, cloexec};
    spin_unlock(&fds->lock, irqs);
    file_close(old, fds);
    return (int64_t)fd;
}

int64_t user_fd_close(struct thread *t, uint64_t fd)
{
    struct user_fds *fds = t->process->fds;
    struct file *file = NULL;
    bool irqs = spin_lock(&fds->lock);

    if (fd < fds->size) {
        file = fds->entries[fd].file;
        fds->entries[fd].file = NULL;
        if (file)
            fds->lowest_free = MIN(fds->lowest_free, (uint32_t)fd);
    }
    spin_unlock(&fds->lock, irqs);
    if (!file)
        return -L_EBADF;
    file_close(file, fds);
    return 0;
}

bool fds_next(struct user_fds *fds, uint32_t from, uint32_t *fd, struct file **file)
{
    bool irqs = spin_lock(&fds->lock);
    bool found = false;

    for (; from < fds->size && !found; from++) {
        if (!fds->entries[from].file)
            continue;
        found = true;
        *fd = from;
        if (file) {
            *file = fds->entries[from].file;
            file_ref(*file);
        }
    }
    spin_unlock(&fds->lock, irqs);
    return found;
}

/* ---- working directories ---- */

struct user_fs *fs_create(struct vnode *root, struct vnode *cwd, uint32_t umask)
{
    struct user_fs *fs = heap_alloc(sizeof(*fs), MEM_OWNER_USER);

    if (!fs)
        return NULL;
    fs->refs = 1;
    spin_init(&fs->lock, "cwd", LOCK_RANK_USER);
    vnode_ref(root);
    vnode_ref(cwd);
    fs->root = root;
    fs->cwd = cwd;
    fs->umask = umask;
    return fs;
}

struct user_fs *fs_copy(struct user_fs *from)
{
    bool irqs = spin_lock(&from->lock);
    struct vnode *root = from->root, *cwd = from->cwd;
    uint32_t umask = from->umask;

    vnode_ref(root);
    vnode_ref(cwd);
    spin_unlock(&from->lock, irqs);

    struct user_fs *fs = fs_create(root, cwd, umask);

    vnode_put(root);
    vnode_put(cwd);
    return fs;
}

void fs_put(struct user_fs *fs)
{
    if (__atomic_fetch_sub(&fs->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    vnode_put(fs->root);
    vnode_put(fs->cwd);
    heap_free(fs);
}

/* ---- buffers ---- */

#define BUFFER_ORDER 2u
#define BUFFERS_KEPT 8u
_Static_assert(USER_BUFFER_SIZE == PAGE_SIZE << BUFFER_ORDER, "a buffer is a block of pages");

void *buffer_get(void)
{
    struct user_state *user = user_state();
    struct list *node = NULL;
    bool irqs = spin_lock(&user->buffer_lock);
    mpn_t mpn;

    if (!list_is_empty(&user->buffers)) {
        node = user->buffers.next;
        list_remove(node);
        user->buffer_count--;
    }
    spin_unlock(&user->buffer_lock, irqs);
    if (node)
        return node;
    return page_alloc(BUFFER_ORDER, MEM_OWNER_USER, &mpn) == VMK_OK ? mpn_map(mpn) : NULL;
}

void buffer_put(void *buffer)
{
    struct user_state *user = user_state();
    bool kept = false;

    if (!buffer)
        return;

    bool irqs = spin_lock(&user->buffer_lock);

    if (user->buffer_count < BUFFERS_KEPT) {
        struct list *node = buffer;

        list_add_head(&user->buffers, node);
        user->buffer_count++;
        kept = true;
    }
    spin_unlock(&user->buffer_lock, irqs);
    if (!kept)
        page_free(paddr_to_mpn(plat_unmap_address(buffer)), BUFFER_ORDER, MEM_OWNER_USER);
}
