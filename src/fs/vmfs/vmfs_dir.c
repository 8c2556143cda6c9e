// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmfs/vmfs_dir.c -- names: directories as flat arrays of 140-byte entries.
 *
 * Entries 0 and 1 are `.` and `..`. Removing moves the last entry into the hole, because a
 * zeroed entry would be seen as a nameless file by other readers.
 *
 * Invariants
 *   - length = 140 * entries; names are 1..127 bytes without '/', unique in their directory.
 *   - a directory's link count is 2 plus its sub-directories.
 * Locking    vmfs_volume.mutex; the directory's and the file's on-disk locks for any change,
 *            directories before what is in them.
 * Start at   dir_find(), vmfs_create().
 */
#include "core/assert.h"
#include "core/heap.h"
#include "fs/vmfs/vmfs_internal.h"
#include "lib/string.h"

#define DIR_AHEAD 65536u  // bytes of a directory that are read together

static vmk_status check_directory(const struct fd *fd)
{
    uint32_t type = fd_u32(fd, FD_TYPE);

    /* .sdd.sf is a directory of type system. */
    if (type != FD_TYPE_DIR && !(type == FD_TYPE_SYSTEM && fd_u32(fd, FD_MODE) & 040000))
        return VMK_NOT_DIR;
    return fd_length(fd) % DIRENT_SIZE || fd_length(fd) > FD_SINGLE_BYTES ? VMK_CORRUPT
                                                                          : VMK_OK;
}

static vmk_status check_name(const char *name, size_t length)
{
    if (!length)
        return VMK_BAD_PARAM;
    if (length > VMFS_NAME_MAX)
        return VMK_NAME_TOO_LONG;
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '/' || !name[i])
            return VMK_BAD_PARAM;
    }
    return VMK_OK;
}

static bool is_dots(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

static const char *entry_name(const uint8_t *entry)
{
    return (const char *)entry + DIRENT_NAME;
}

bool entry_is(const uint8_t *entry, const char *name, size_t length)
{
    return entry_name_length(entry_name(entry)) == length &&
           !memcmp(entry_name(entry), name, length);
}

static vmfs_id entry_id(const uint8_t *entry)
{
    return (vmfs_id){le32(entry + DIRENT_FD), le32(entry + DIRENT_GENERATION)};
}

vmk_status dir_read(struct fd *dir, uint64_t offset, void *to, size_t size)
{
    content_prefetch(dir, offset, size, (size_t)MIN(fd_length(dir) - offset, DIR_AHEAD));
    return content_get(dir, offset, to, size);
}

static vmk_status dir_find(struct fd *dir, const char *name, size_t length, uint64_t *index,
                           uint8_t found[DIRENT_SIZE])
{
    uint64_t count = fd_length(dir) / DIRENT_SIZE;
    uint8_t *chunk;
    vmk_status status = check_directory(dir);

    if (status == VMK_OK)
        status = names_find(dir, name, length, index, found);
    if (status != VMK_AGAIN)
        return status;
    chunk = vmfs_alloc(DIR_CHUNK * DIRENT_SIZE);
    if (!chunk)
        return VMK_NO_MEMORY;
    status = VMK_NOT_FOUND;
    for (uint64_t i = 0; i < count && status == VMK_NOT_FOUND; i += DIR_CHUNK) {
        uint64_t part = MIN(count - i, DIR_CHUNK);
        vmk_status got = dir_read(dir, i * DIRENT_SIZE, chunk, (size_t)(part * DIRENT_SIZE));

        if (got != VMK_OK) {
            status = got;
            break;
        }
        for (uint64_t k = 0; k < part; k++) {
            const uint8_t *entry = chunk + k * DIRENT_SIZE;

            if (entry_is(entry, name, length)) {
                *index = i + k;
                memcpy(found, entry, DIRENT_SIZE);
                status = VMK_OK;
                break;
            }
        }
    }
    heap_free(chunk);
    return status;
}

static void entry_make(uint8_t *entry, const char *name, size_t length, enum vmfs_type type,
                       vmfs_id id)
{
    memset(entry, 0, DIRENT_SIZE);
    put_le32(entry + DIRENT_TYPE, (uint32_t)type);
    put_le32(entry + DIRENT_FD, id.address);
    put_le32(entry + DIRENT_GENERATION, id.generation);
    memcpy(entry + DIRENT_NAME, name, length);
}

static vmk_status dir_add(struct fd *dir, const char *name, enum vmfs_type type, vmfs_id id)
{
    uint64_t length = fd_length(dir);
    uint8_t entry[DIRENT_SIZE];
    vmk_status status = map_fit(dir, length + DIRENT_SIZE);

    if (status != VMK_OK)
        return status;
    entry_make(entry, name, strlen(name), type, id);
    status = content_put(dir, length, entry, DIRENT_SIZE);
    if (status == VMK_OK) {
        names_added(dir, name, strlen(name));
        status = fd_put64(dir, FD_LENGTH, length + DIRENT_SIZE);
    }
    return status == VMK_OK ? fd_touch(dir) : status;
}

static vmk_status dir_remove(struct fd *dir, uint64_t index)
{
    uint64_t last = fd_length(dir) / DIRENT_SIZE - 1;
    uint8_t entry[DIRENT_SIZE];
    uint8_t gone[DIRENT_SIZE];
    uint64_t left;
    vmk_status status = content_get(dir, index * DIRENT_SIZE, gone, DIRENT_SIZE);

    if (status == VMK_OK)
        status = content_get(dir, last * DIRENT_SIZE, entry, DIRENT_SIZE);
    if (status == VMK_OK && index != last)
        status = content_put(dir, index * DIRENT_SIZE, entry, DIRENT_SIZE);
    if (status == VMK_OK) {
        names_removed(dir, index, gone, entry);
        status = fd_put64(dir, FD_LENGTH, last * DIRENT_SIZE);
    }
    if (status == VMK_OK)
        status = map_cut(dir, last * DIRENT_SIZE, 8, &left);
    return status == VMK_OK ? fd_touch(dir) : status;
}

/* ---- the public calls ---- */

vmfs_id vmfs_root(struct vmfs_volume *v)
{
    return (vmfs_id){addr_fd(0, FD_ROOT), v->root_generation};
}

static vmk_status lookup(struct vmfs_volume *v, vmfs_id directory, const char *name,
                         size_t length, vmfs_id *found)
{
    uint8_t entry[DIRENT_SIZE];
    uint64_t index;
    struct fd dir;
    vmk_status status = fd_get(v, directory, false, &dir);

    if (status == VMK_OK)
        status = dir_find(&dir, name, length, &index, entry);
    if (status == VMK_OK)
        *found = entry_id(entry);
    return status;
}

vmk_status vmfs_lookup(struct vmfs_volume *v, vmfs_id directory, const char *name,
                       size_t length, vmfs_id *found)
{
    vmk_status status = volume_enter(v, false);

    return volume_leave(v,
                        status == VMK_OK ? lookup(v, directory, name, length, found) : status);
}

vmk_status vmfs_walk(struct vmfs_volume *v, const char *path, vmfs_id *found)
{
    vmk_status status = VMK_OK;

    *found = vmfs_root(v);
    while (status == VMK_OK) {
        size_t length = 0;

        while (*path == '/')
            path++;
        if (!*path)
            break;
        while (path[length] && path[length] != '/')
            length++;
        status = vmfs_lookup(v, *found, path, length, found);
        path += length;
    }
    return status;
}

static vmk_status entries(struct vmfs_volume *v, vmfs_id directory, uint64_t index,
                          struct vmfs_entry *out, unsigned room, unsigned *got)
{
    uint8_t entry[DIRENT_SIZE];
    struct fd dir;
    vmk_status status = fd_get(v, directory, false, &dir);

    if (status == VMK_OK)
        status = check_directory(&dir);
    while (status == VMK_OK && *got < room && index < fd_length(&dir) / DIRENT_SIZE) {
        status = dir_read(&dir, index++ * DIRENT_SIZE, entry, DIRENT_SIZE);
        if (status != VMK_OK)
            break;
        memset(out, 0, sizeof(*out));
        memcpy(out->name, entry_name(entry), entry_name_length(entry_name(entry)));
        out->type = (enum vmfs_type)le32(entry + DIRENT_TYPE);
        out->id = entry_id(entry);
        out++;
        ++*got;
    }
    return status;
}

vmk_status vmfs_entries(struct vmfs_volume *v, vmfs_id directory, uint64_t index,
                        struct vmfs_entry *out, unsigned room, unsigned *got)
{
    vmk_status status = volume_enter(v, false);

    *got = 0;
    if (status == VMK_OK)
        status = entries(v, directory, index, out, room, got);
    return volume_leave(v, status);
}

vmk_status vmfs_entry(struct vmfs_volume *v, vmfs_id directory, uint64_t index,
                      struct vmfs_entry *out)
{
    unsigned got;
    vmk_status status = vmfs_entries(v, directory, index, out, 1, &got);

    return status == VMK_OK && !got ? VMK_NOT_FOUND : status;
}

static vmk_status links_change(struct fd *fd, int by)
{
    uint32_t links = fd_u32(fd, FD_LINKS);

    if (by > 0 && links >= 65000)
        return VMK_TOO_MANY_LINKS;
    return fd_put32(fd, FD_LINKS, links + (uint32_t)by);
}

static vmfs_id fd_id(const struct fd *fd)
{
    return (vmfs_id){fd->address, fd_u32(fd, FD_GENERATION)};
}

static vmk_status create(struct vmfs_volume *v, vmfs_id directory, const char *name,
                         enum vmfs_type type, uint32_t mode, uint32_t uid, uint32_t gid,
                         const char *target, vmfs_id *made)
{
    uint8_t entry[DIRENT_SIZE];
    uint64_t index;
    struct fd dir;
    struct fd fd;
    vmk_status status = check_name(name, strlen(name));

    if (status == VMK_OK && type != VMFS_FILE && type != VMFS_DIRECTORY && type != VMFS_SYMLINK)
        status = VMK_BAD_PARAM;
    if (status == VMK_OK)
        status = fd_get(v, directory, true, &dir);
    if (status != VMK_OK)
        return status;
    if (!fd_u32(&dir, FD_LINKS) || fd_u32(&dir, FD_TYPE) == FD_TYPE_SYSTEM)
        return fd_u32(&dir, FD_LINKS) ? VMK_NO_PERMISSION : VMK_NOT_FOUND;
    status = dir_find(&dir, name, strlen(name), &index, entry);
    if (status != VMK_NOT_FOUND)
        return status == VMK_OK ? VMK_EXISTS : status;
    status = fd_make(v, type, mode, uid, gid, UINT32_MAX, &fd);
    if (status != VMK_OK)
        return status;
    if (type == VMFS_DIRECTORY) {
        status = dir_add(&fd, ".", VMFS_DIRECTORY, fd_id(&fd));
        if (status == VMK_OK)
            status = dir_add(&fd, "..", VMFS_DIRECTORY, fd_id(&dir));
        if (status == VMK_OK)
            status = links_change(&fd, 1);
        if (status == VMK_OK)
            status = links_change(&dir, 1);
    } else if (type == VMFS_SYMLINK) {
        size_t length = target ? strlen(target) : 0;

        if (!length || length >= VMFS_PB_SIZE)
            return length ? VMK_NAME_TOO_LONG : VMK_BAD_PARAM;
        status = content_put(&fd, 0, target, length);
        if (status == VMK_OK)
            status = fd_put64(&fd, FD_LENGTH, length);
    }
    if (status == VMK_OK)
        status = dir_add(&dir, name, type, fd_id(&fd));
    if (status == VMK_OK)
        *made = fd_id(&fd);
    return status;
}

vmk_status vmfs_create(struct vmfs_volume *v, vmfs_id directory, const char *name,
                       enum vmfs_type type, uint32_t mode, uint32_t uid, uint32_t gid,
                       const char *target, vmfs_id *made)
{
    vmk_status status = volume_enter(v, true);

    if (status == VMK_OK)
        status = op_begin(v);
    if (status == VMK_OK)
        status = op_end(v, create(v, directory, name, type, mode, uid, gid, target, made));
    return volume_leave(v, status);
}

/* Takes a name away. *gone: the file has no names left. */
static vmk_status unlink_entry(struct vmfs_volume *v, struct fd *dir, uint64_t index,
                               const uint8_t *entry, bool is_directory, bool *gone)
{
    struct fd fd;
    vmk_status status = fd_get(v, entry_id(entry), true, &fd);

    *gone = false;
    if (status != VMK_OK)
        return status == VMK_NOT_FOUND ? VMK_CORRUPT : status;

    uint32_t type = fd_u32(&fd, FD_TYPE);

    if (type == FD_TYPE_SYSTEM)
        return VMK_NO_PERMISSION;
    if (is_directory != (type == FD_TYPE_DIR))
        return is_directory ? VMK_NOT_DIR : VMK_IS_DIR;
    if (is_directory) {
        if (fd_length(&fd) > 2 * DIRENT_SIZE)
            return VMK_NOT_EMPTY;
        status = links_change(&fd, -1);
        if (status == VMK_OK)
            status = links_change(dir, -1);
    }
    if (status == VMK_OK)
        status = links_change(&fd, -1);
    if (status == VMK_OK)
        status = fd_put32(&fd, FD_CTIME, volume_seconds(v));
    if (status == VMK_OK)
        status = dir_remove(dir, index);
    *gone = status == VMK_OK && !fd_u32(&fd, FD_LINKS);
    if (!*gone || open_find(v, fd.address))
        return status;

    /* Small enough for this transaction: all in one, and no orphan after a power cut. */
    uint64_t left;

    status = map_cut(&fd, 0, 256, &left);
    if (status == VMK_OK && left)
        return status;  // the rest by file_destroy()
    *gone = false;
    return status == VMK_OK ? fd_free(&fd) : status;
}

static vmk_status remove_name(struct vmfs_volume *v, vmfs_id directory, const char *name,
                              bool is_directory, vmfs_id *victim, bool *gone)
{
    uint8_t entry[DIRENT_SIZE];
    uint64_t index;
    struct fd dir;
    vmk_status status = is_dots(name) ? VMK_BAD_PARAM : fd_get(v, directory, true, &dir);

    if (status == VMK_OK)
        status = dir_find(&dir, name, strlen(name), &index, entry);
    if (status != VMK_OK)
        return status;
    *victim = entry_id(entry);
    return unlink_entry(v, &dir, index, entry, is_directory, gone);
}

vmk_status vmfs_remove(struct vmfs_volume *v, vmfs_id directory, const char *name,
                       bool is_directory)
{
    vmfs_id victim = {0, 0};
    bool gone = false;
    vmk_status status = volume_enter(v, true);

    if (status == VMK_OK)
        status = op_begin(v);
    if (status == VMK_OK)
        status = op_end(v, remove_name(v, directory, name, is_directory, &victim, &gone));
    if (status == VMK_OK && gone)
        status = file_nameless(v, victim);
    return volume_leave(v, status);
}

static vmk_status add_link(struct vmfs_volume *v, vmfs_id file, vmfs_id directory,
                           const char *name)
{
    uint8_t entry[DIRENT_SIZE];
    uint64_t index;
    struct fd dir;
    struct fd fd;
    vmk_status status = check_name(name, strlen(name));

    if (status == VMK_OK)
        status = fd_get(v, directory, true, &dir);
    if (status == VMK_OK)
        status = fd_get(v, file, true, &fd);
    if (status != VMK_OK)
        return status;
    if (fd_u32(&fd, FD_TYPE) == FD_TYPE_DIR || fd_u32(&fd, FD_TYPE) == FD_TYPE_SYSTEM)
        return VMK_NOT_OWNER;
    if (!fd_u32(&fd, FD_LINKS) || !fd_u32(&dir, FD_LINKS))
        return VMK_NOT_FOUND;
    status = dir_find(&dir, name, strlen(name), &index, entry);
    if (status != VMK_NOT_FOUND)
        return status == VMK_OK ? VMK_EXISTS : status;
    status = links_change(&fd, 1);
    if (status == VMK_OK)
        status = fd_put32(&fd, FD_CTIME, volume_seconds(v));
    return status == VMK_OK ? dir_add(&dir, name, (enum vmfs_type)fd_u32(&fd, FD_TYPE), file)
                            : status;
}

vmk_status vmfs_link(struct vmfs_volume *v, vmfs_id file, vmfs_id directory, const char *name)
{
    vmk_status status = volume_enter(v, true);

    if (status == VMK_OK)
        status = op_begin(v);
    if (status == VMK_OK)
        status = op_end(v, add_link(v, file, directory, name));
    return volume_leave(v, status);
}

/* Is `inner` the directory `outer` or somewhere below it? */
static vmk_status is_below(struct vmfs_volume *v, vmfs_id inner, vmfs_id outer, bool *below)
{
    vmfs_id root = vmfs_root(v);

    *below = false;
    for (unsigned depth = 0; depth < 4096; depth++) {
        vmk_status status;

        if (inner.address == outer.address) {
            *below = true;
            return VMK_OK;
        }
        if (inner.address == root.address)
            return VMK_OK;
        status = lookup(v, inner, "..", 2, &inner);
        if (status != VMK_OK)
            return status;
    }
    return VMK_CORRUPT;
}

static vmk_status rename_name(struct vmfs_volume *v, vmfs_id from, const char *name, vmfs_id to,
                              const char *new_name, vmfs_id *victim, bool *gone)
{
    uint8_t entry[DIRENT_SIZE];
    uint8_t target[DIRENT_SIZE];
    uint64_t index;
    uint64_t target_index;
    struct fd source;
    struct fd dest;
    struct fd fd;
    bool same = from.address == to.address;
    vmk_status status = check_name(new_name, strlen(new_name));

    if (status == VMK_OK && (is_dots(name) || is_dots(new_name)))
        status = VMK_BAD_PARAM;
    /* Two directories in one order for all hosts. */
    if (status == VMK_OK && !same && to.address < from.address)
        status = fd_get(v, to, true, &dest);
    if (status == VMK_OK)
        status = fd_get(v, from, true, &source);
    if (status == VMK_OK)
        status = fd_get(v, to, true, &dest);
    if (status == VMK_OK)
        status = dir_find(&source, name, strlen(name), &index, entry);
    if (status == VMK_OK)
        status = fd_get(v, entry_id(entry), true, &fd);
    if (status != VMK_OK)
        return status;
    if (fd_u32(&fd, FD_TYPE) == FD_TYPE_SYSTEM)
        return VMK_NO_PERMISSION;
    if (!fd_u32(&dest, FD_LINKS))
        return VMK_NOT_FOUND;

    bool is_directory = fd_u32(&fd, FD_TYPE) == FD_TYPE_DIR;
    bool below;

    if (is_directory && !same) {
        status = is_below(v, to, entry_id(entry), &below);
        if (status != VMK_OK || below)
            return status != VMK_OK ? status : VMK_BAD_PARAM;
    } else if (is_directory && to.address == le32(entry + DIRENT_FD)) {
        return VMK_BAD_PARAM;
    }
    status = dir_find(&dest, new_name, strlen(new_name), &target_index, target);
    if (status != VMK_OK && status != VMK_NOT_FOUND)
        return status;
    if (status == VMK_OK) {
        if (le32(target + DIRENT_FD) == le32(entry + DIRENT_FD))
            return VMK_OK;  // two names of one file: nothing happens
        *victim = entry_id(target);
        status = unlink_entry(v, &dest, target_index, target, is_directory, gone);
        if (status != VMK_OK)
            return status;
        if (same) {
            /* The entry may have moved into the hole. */
            status = dir_find(&source, name, strlen(name), &index, entry);
            if (status != VMK_OK)
                return status;
        }
    }
    status = dir_remove(&source, index);
    if (status == VMK_OK)
        status = dir_add(&dest, new_name, (enum vmfs_type)fd_u32(&fd, FD_TYPE), fd_id(&fd));
    if (status == VMK_OK)
        status = fd_put32(&fd, FD_CTIME, volume_seconds(v));
    if (status != VMK_OK || !is_directory || same)
        return status;
    status = dir_find(&fd, "..", 2, &index, entry);
    if (status == VMK_OK) {
        entry_make(entry, "..", 2, VMFS_DIRECTORY, fd_id(&dest));
        status = content_put(&fd, index * DIRENT_SIZE, entry, DIRENT_SIZE);
    }
    if (status == VMK_OK)
        status = links_change(&source, -1);
    return status == VMK_OK ? links_change(&dest, 1) : status;
}

vmk_status vmfs_rename(struct vmfs_volume *v, vmfs_id from, const char *name, vmfs_id to,
                       const char *new_name)
{
    vmfs_id victim = {0, 0};
    bool gone = false;
    vmk_status status = volume_enter(v, true);

    if (status == VMK_OK)
        status = op_begin(v);
    if (status == VMK_OK)
        status = op_end(v, rename_name(v, from, name, to, new_name, &victim, &gone));
    if (status == VMK_OK && gone)
        status = file_nameless(v, victim);
    return volume_leave(v, status);
}
