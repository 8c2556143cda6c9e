// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/visorfs/tardisk.c -- tardisks: archives that the root file system is made of.
 *
 * An archive is unpacked as a stream, straight into the pages of the files it brings: nothing
 * is ever in memory twice, file data begin on a page, and so programs can be mapped from where
 * they are. The tree is built apart from the root and merged into it only when the last
 * checksum was right; until then a damaged archive costs nothing but the time to throw the tree
 * away.
 *
 *     boot module --gunzip--> headers --> tree of its own --(all is well)--> merged into /
 *                                            |
 *                                            +--(anything wrong)--> freed; the log names the
 *                                            member
 *
 * What an archive may not do: lead out of its tree by "..", by an absolute path or through a
 * link it made before; bring more than half of the host's memory; replace a directory that has
 * something in it by something else.
 *
 * Invariants
 *   - Until merge(), nothing of the archive can be reached from the root.
 *   - merge() allocates nothing, so it cannot stop half-way.
 * Locking    the tree apart: none needed. merge(): the root's rename_lock, and each directory's
 *            lock.
 * Start at   visorfs_tardisk_load().
 */
#include "core/assert.h"
#include "core/log.h"
#include "fs/visorfs/gunzip.h"
#include "fs/visorfs/tar.h"
#include "fs/visorfs/visorfs_internal.h"
#include "lib/format.h"
#include "lib/string.h"

#define CHUNK     16384u
#define EXTRA_MAX 65536u  // bytes of extended headers for one member

struct loader {
    struct visorfs *volume;
    struct visor_tardisk *tardisk;
    struct visor_inode *tree;  // one reference; never has a name
    struct gunzip *stream;
    const char *what;  // why it is refused
    uint64_t pages_left;
    struct tar_header header;
    char long_name[TAR_NAME_MAX], long_target[TAR_NAME_MAX];
    char *extra;  // pax records for the next member
    size_t extra_size;
    uint8_t block[TAR_BLOCK];
    uint8_t chunk[CHUNK];
};

static vmk_status refuse(struct loader *l, const char *what)
{
    l->what = what;
    return VMK_BAD_FORMAT;
}

/* ---- the tree apart ---- */

/* Makes an object and its name. The tree keeps the reference. */
static vmk_status add(struct loader *l, struct visor_inode *dir, const char *name,
                      size_t length, uint32_t mode, uint64_t device, struct visor_inode **out)
{
    const struct tar_header *h = &l->header;
    const struct vfs_cred owner = {.uid = h->uid, .gid = h->gid};
    vmk_status status = visor_inode_new(l->volume, mode, &owner, device, out);

    if (status == VMK_OK) {
        status = visor_enter(dir, name, length, *out);
        if (status == VMK_OK) {
            vnode_keep(&(*out)->vnode);
        } else {
            (*out)->link_count = 0;
            vnode_put(&(*out)->vnode);
        }
    }
    if (status != VMK_OK) {
        l->what = vmk_status_text(status);
        return status;
    }
    (*out)->atime_ns = (*out)->mtime_ns = (*out)->ctime_ns = (int64_t)h->mtime * 1000000000;
    (*out)->layer = l->tardisk;
    return VMK_OK;
}

/*
 * The directory of the last part of `path`, made where it is missing; *name is the last part.
 * Links are not followed: what is on the way must be a directory of this archive.
 */
static vmk_status find_parent(struct loader *l, const char *path, bool make,
                              struct visor_inode **dir, const char **name, size_t *length)
{
    struct visor_inode *at = l->tree;

    for (;;) {
        const char *end = path;
        struct visor_entry *e;

        while (*end && *end != '/')
            end++;
        if (!*end) {
            *dir = at;
            *name = path;
            *length = (size_t)(end - path);
            return VMK_OK;
        }
        e = visor_find(at, path, (size_t)(end - path));
        if (e && !vnode_is_dir(&e->inode->vnode))
            return refuse(l, "a path leads through something that is no directory");
        if (!e && !make)
            return refuse(l, "a hard link to something that did not come before");
        if (e) {
            at = e->inode;
        } else {
            struct visor_inode *made;
            vmk_status status =
                add(l, at, path, (size_t)(end - path), VFS_TYPE_DIR | 0755u, 0, &made);

            if (status != VMK_OK)
                return status;
            at = made;
        }
        path = end + 1;
    }
}

/* ---- members ---- */

static vmk_status skip(struct loader *l, uint64_t size)
{
    vmk_status status = VMK_OK;

    while (size && status == VMK_OK) {
        size_t part = (size_t)MIN(size, CHUNK);

        status = gunzip_read(l->stream, l->chunk, part, &l->what);
        size -= part;
    }
    return status;
}

static uint64_t padding_of(uint64_t size)
{
    return round_up(size, TAR_BLOCK) - size;
}

static vmk_status read_file(struct loader *l, struct visor_inode *inode)
{
    uint64_t left = l->header.size;
    uint64_t pages = (left + PAGE_SIZE - 1) >> PAGE_SHIFT;
    vmk_status status = VMK_OK;

    if (pages > l->pages_left)
        return refuse(l, "it unpacks to more than half of the memory");
    l->pages_left -= pages;
    while (left && status == VMK_OK) {
        size_t part = (size_t)MIN(left, CHUNK);

        status = gunzip_read(l->stream, l->chunk, part, &l->what);
        if (status == VMK_OK) {
            status = visor_append_tardisk(inode, l->chunk, part);
            if (status != VMK_OK)
                l->what = vmk_status_text(status);
        }
        left -= part;
    }
    l->tardisk->facts.size += l->header.size;
    return status == VMK_OK ? skip(l, padding_of(l->header.size)) : status;
}

static vmk_status add_hard_link(struct loader *l, struct visor_inode *dir, const char *name,
                                size_t length)
{
    struct visor_inode *of;
    struct visor_entry *e;
    const char *last;
    size_t last_length;
    vmk_status status = tar_name_check(l->header.target, &l->what);

    if (status == VMK_OK)
        status = find_parent(l, l->header.target, false, &of, &last, &last_length);
    if (status != VMK_OK)
        return status;
    e = last_length ? visor_find(of, last, last_length) : NULL;
    if (!e || vnode_is_dir(&e->inode->vnode))
        return refuse(l, "a hard link to something that did not come before");
    status = visor_enter(dir, name, length, e->inode);
    if (status != VMK_OK)
        l->what = vmk_status_text(status);
    return status;
}

static vmk_status add_link(struct loader *l, struct visor_inode *dir, const char *name,
                           size_t length)
{
    size_t size = strlen(l->header.target);
    struct visor_inode *inode;
    char *copy;
    vmk_status status;

    if (!size)
        return refuse(l, "a link without a target");
    copy = heap_alloc(size + 1, MEM_OWNER_FS);
    if (!copy)
        return VMK_NO_MEMORY;
    memcpy(copy, l->header.target, size);
    status = add(l, dir, name, length, VFS_TYPE_LINK | 0777u, 0, &inode);
    if (status != VMK_OK) {
        heap_free(copy);
        return status;
    }
    inode->target = copy;
    inode->size = size;
    return VMK_OK;
}

static void set_attributes(struct loader *l, struct visor_inode *inode)
{
    const struct tar_header *h = &l->header;

    inode->mode = (inode->mode & VFS_TYPE_MASK) | h->mode;
    inode->uid = h->uid;
    inode->gid = h->gid;
    inode->mtime_ns = (int64_t)h->mtime * 1000000000;
}

static vmk_status add_dir(struct loader *l, struct visor_inode *dir, const char *name,
                          size_t length)
{
    struct visor_entry *e = visor_find(dir, name, length);
    struct visor_inode *inode;

    if (!e)
        return add(l, dir, name, length, VFS_TYPE_DIR | l->header.mode, 0, &inode);
    set_attributes(l, e->inode);
    return VMK_OK;
}

/* An object whose name in the archive was checked. A later one of the same name replaces it. */
static vmk_status add_member(struct loader *l)
{
    static const uint32_t types[] = {[TAR_FILE] = VFS_TYPE_REGULAR,
                                     [TAR_CHAR] = VFS_TYPE_CHAR,
                                     [TAR_BLOCK_DEVICE] = VFS_TYPE_BLOCK,
                                     [TAR_FIFO] = VFS_TYPE_FIFO};
    const struct tar_header *h = &l->header;
    struct visor_inode *dir, *inode;
    struct visor_entry *there;
    const char *name;
    size_t length;
    vmk_status status = find_parent(l, h->name, true, &dir, &name, &length);

    if (status != VMK_OK)
        return status;
    if (!length) {  // "./"
        set_attributes(l, l->tree);
        return h->kind == TAR_DIR ? VMK_OK : refuse(l, "a member without a name");
    }
    there = visor_find(dir, name, length);
    if (there && vnode_is_dir(&there->inode->vnode) != (h->kind == TAR_DIR))
        return refuse(l, "one name is both a directory and something else");
    if (h->kind == TAR_DIR)
        return add_dir(l, dir, name, length);
    if (h->kind == TAR_HARD_LINK && there)
        return VMK_OK;
    if (there)
        visor_remove(dir, there);
    l->tardisk->facts.files++;
    switch (h->kind) {
    case TAR_HARD_LINK: return add_hard_link(l, dir, name, length);
    case TAR_LINK: return add_link(l, dir, name, length);
    default: break;
    }
    status = add(l, dir, name, length, types[h->kind] | h->mode,
                 h->kind == TAR_FILE ? 0 : vfs_device(h->major, h->minor), &inode);
    if (status == VMK_OK && h->kind == TAR_FILE)
        status = read_file(l, inode);
    return status;
}

/* ---- extended headers ---- */

static vmk_status read_extra(struct loader *l, char *to, size_t room)
{
    uint64_t size = l->header.size;
    vmk_status status;

    if (size >= room)
        return refuse(l, "a path is too long");
    status = gunzip_read(l->stream, to, (size_t)size, &l->what);
    if (status == VMK_OK)
        status = skip(l, padding_of(size));
    to[size] = 0;
    return status;
}

static vmk_status read_pax(struct loader *l)
{
    uint64_t size = l->header.size;

    heap_free(l->extra);
    l->extra = NULL;
    if (size > EXTRA_MAX)
        return refuse(l, "an extended header is too long");
    if (l->header.kind == TAR_PAX_GLOBAL)
        return skip(l, round_up(size, TAR_BLOCK));
    l->extra = heap_alloc((size_t)size + 1, MEM_OWNER_FS);
    if (!l->extra)
        return VMK_NO_MEMORY;
    l->extra_size = (size_t)size;
    return read_extra(l, l->extra, (size_t)size + 1);
}

/* Puts what came before a header into it. */
static vmk_status apply_extras(struct loader *l)
{
    struct tar_header *h = &l->header;
    vmk_status status = VMK_OK;

    if (l->long_name[0])
        memcpy(h->name, l->long_name, sizeof(h->name));
    if (l->long_target[0])
        memcpy(h->target, l->long_target, sizeof(h->target));
    if (l->extra) {
        uint64_t size = h->size;

        status = tar_pax_apply(l->extra, l->extra_size, h, &l->what);
        if (h->kind != TAR_FILE)
            h->size = size;
    }
    l->long_name[0] = l->long_target[0] = 0;
    heap_free(l->extra);
    l->extra = NULL;
    return status;
}

/* One header and what belongs to it. *end after the two blocks of zeros. */
static vmk_status read_member(struct loader *l, bool *end)
{
    struct tar_header *h = &l->header;
    vmk_status status = gunzip_read(l->stream, l->block, TAR_BLOCK, &l->what);

    if (status == VMK_OK)
        status = tar_header_decode(l->block, h, &l->what);
    if (status != VMK_OK)
        return status;
    switch (h->kind) {
    case TAR_END:
        status = gunzip_read(l->stream, l->block, TAR_BLOCK, &l->what);
        if (status == VMK_OK)
            status = tar_header_decode(l->block, h, &l->what);
        if (status == VMK_OK && h->kind != TAR_END)
            return refuse(l, "one block of zeros among the members");
        *end = true;
        return status;
    case TAR_LONG_NAME: return read_extra(l, l->long_name, sizeof(l->long_name));
    case TAR_LONG_LINK: return read_extra(l, l->long_target, sizeof(l->long_target));
    case TAR_PAX:
    case TAR_PAX_GLOBAL: return read_pax(l);
    default: break;
    }
    status = apply_extras(l);
    if (status == VMK_OK)
        status = tar_name_check(h->name, &l->what);
    return status == VMK_OK ? add_member(l) : status;
}

/* ---- merging ---- */

/*
 * Puts the first entry of `from` into `to`, in place of what has its name. Directories that
 * meet are left to the caller. Returns the directory of `to` to merge into, or null.
 */
static struct visor_inode *merge_entry(struct loader *l, struct visor_inode *from,
                                       struct visor_inode *to)
{
    struct visor_entry *e = list_entry(from->dir.entries.next, struct visor_entry, by_cookie);
    struct visor_inode *into = NULL;

    mutex_lock(&to->vnode.lock);

    struct visor_entry *there = visor_find(to, e->name, e->length);

    if (there && vnode_is_dir(&there->inode->vnode)) {
        if (vnode_is_dir(&e->inode->vnode)) {
            into = there->inode;
            mutex_unlock(&to->vnode.lock);
            return into;
        }
        if (there->inode->dir.entry_count || there->inode->vnode.mounted_here) {
            mutex_unlock(&to->vnode.lock);
            vmk_log(
                VMK_LOG_WARN,
                "visorfs: tardisk %s: \"%.*s\" is left out: there is a directory of that name "
                "with something in it",
                l->tardisk->facts.name, e->length, e->name);
            visor_remove(from, e);
            return NULL;
        }
    }
    if (there)
        visor_remove(to, there);
    visor_move(from, to, e);
    mutex_unlock(&to->vnode.lock);
    return NULL;
}

/* Empties the tree into the root. `from` and `to` go down and up together. */
static void merge(struct loader *l)
{
    struct visor_inode *from = l->tree;
    struct visor_inode *to = visor_of(l->volume->mount->root);

    mutex_lock(&l->volume->mount->rename_lock);
    for (;;) {
        if (from->dir.entry_count) {
            struct visor_inode *into = merge_entry(l, from, to);

            if (into) {
                from = list_entry(from->dir.entries.next, struct visor_entry, by_cookie)->inode;
                to = into;
            }
            continue;
        }
        if (from == l->tree)
            break;
        mutex_lock(&to->vnode.lock);
        to->mode = from->mode;
        to->uid = from->uid;
        to->gid = from->gid;
        mutex_unlock(&to->vnode.lock);
        from = from->dir.parent;
        to = to->dir.parent;
        visor_remove(from, list_entry(from->dir.entries.next, struct visor_entry, by_cookie));
    }
    mutex_unlock(&l->volume->mount->rename_lock);
}

/* ---- loading ---- */

static vmk_status load(struct loader *l)
{
    bool end = false;
    vmk_status status = VMK_OK;

    while (status == VMK_OK && !end)
        status = read_member(l, &end);
    if (status == VMK_OK) {
        l->header.name[0] = 0;
        status = gunzip_finish(l->stream, &l->what);
    }
    return status;
}

static void name_set(struct visorfs_tardisk *facts, const char *name)
{
    size_t length = MIN(strlen(name), sizeof(facts->name) - 1);

    memcpy(facts->name, name, length);
}

static vmk_status loader_open(struct loader *l, const char *name, const void *data, size_t size)
{
    static const struct vfs_cred root = {.uid = 0};
    vmk_status status;

    l->volume = fs_state()->root->private;
    l->pages_left = page_total_count() / 2;
    l->tardisk = heap_alloc(sizeof(*l->tardisk), MEM_OWNER_FS);
    if (!l->tardisk)
        return VMK_NO_MEMORY;
    name_set(&l->tardisk->facts, name);
    l->tardisk->facts.packed_size = size;
    status = visor_inode_new(l->volume, VFS_TYPE_DIR | 0755u, &root, 0, &l->tree);
    if (status != VMK_OK)
        return status;
    return gunzip_open(data, size, &l->stream);
}

static void loader_close(struct loader *l)
{
    if (l->stream)
        gunzip_close(l->stream);
    if (l->tree) {
        visor_clear(l->tree);
        l->tree->link_count = 0;
        vnode_put(&l->tree->vnode);
    }
    heap_free(l->extra);
    heap_free(l->tardisk);
    heap_free(l);
}

vmk_status visorfs_tardisk_load(const char *name, const void *data, size_t size)
{
    struct fs_state *fs = fs_state();
    struct loader *l = heap_alloc(sizeof(*l), MEM_OWNER_FS);
    vmk_status status;

    if (!l)
        return VMK_NO_MEMORY;
    l->what = "no memory";
    status = loader_open(l, name, data, size);
    if (status == VMK_OK)
        status = load(l);
    if (status != VMK_OK) {
        vmk_log(
            VMK_LOG_ERROR,
            "visorfs: tardisk %s refused: %s%s%s%s; the boot goes on without it, replace the "
            "file in the boot bank",
            name, l->what, l->header.name[0] ? " (at \"" : "", l->header.name,
            l->header.name[0] ? "\")" : "");
    } else {
        bool irqs;

        merge(l);
        irqs = spin_lock(&fs->lock);
        list_add_tail(&fs->tardisks, &l->tardisk->link);
        spin_unlock(&fs->lock, irqs);
        vmk_log(VMK_LOG_INFO, "visorfs: tardisk %s: %u files, %llu KB from %llu KB", name,
                l->tardisk->facts.files, (unsigned long long)l->tardisk->facts.size / 1024,
                (unsigned long long)size / 1024);
        l->tardisk = NULL;
    }
    loader_close(l);
    return status;
}

bool visorfs_tardisk_at(size_t index, struct visorfs_tardisk *out)
{
    struct fs_state *fs = fs_state();
    bool found = false;
    bool irqs = spin_lock(&fs->lock);

    list_for_each (node, &fs->tardisks) {
        if (index-- == 0) {
            *out = list_entry(node, struct visor_tardisk, link)->facts;
            found = true;
            break;
        }
    }
    spin_unlock(&fs->lock, irqs);
    return found;
}

static bool ends_with(const char *name, const char *tail)
{
    size_t n = strlen(name), t = strlen(tail);

    return n > t && strcmp(name + n - t, tail) == 0;
}

bool visorfs_tardisk_name(const char *name)
{
    size_t n = strlen(name);

    if (ends_with(name, ".tgz") || ends_with(name, ".vgz") || ends_with(name, ".tar.gz"))
        return true;
    return n > 4 && name[n - 4] == '.' && name[n - 3] == 'v' && name[n - 2] >= '0' &&
           name[n - 2] <= '9' && name[n - 1] >= '0' && name[n - 1] <= '9';
}
