// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/tools/tool_vmdk.c -- vmfs-tool's virtual disks: vmkfstools on a volume in an image, and raw bytes.
 *
 * A path that begins with ':' is in the volume, any other is a file of this computer, so a
 * clone also moves disks in and out. IMAGE "none" is no volume at all.
 *
 * Locking    none: one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents/vmkfstools/cli.h"
#include "agents/vmkfstools/store_posix.h"
#include "fs/vmfs/vmfs.h"
#include "sim/tools/tool.h"

#define PIECE (1u << 20)

/* ---- files of a VMFS volume ---- */

struct volume_file {
    vmfs_id id;
    bool exclusive;
};

static struct vmfs_volume *volume_of(struct vmdk_store *store)
{
    return store->context;
}

static vmk_status parent_of(struct vmfs_volume *v, const char *path, vmfs_id *dir,
                            const char **name)
{
    const char *slash = strrchr(path, '/');
    char head[VMDK_NAME_MAX];

    *name = slash ? slash + 1 : path;
    snprintf(head, sizeof(head), "%.*s", slash ? (int)(slash - path) : 0, path);
    return vmfs_walk(v, head[0] ? head : "/", dir);
}

static vmk_status volume_open(struct vmdk_store *store, const char *path,
                              enum vmdk_open_how how, void **out)
{
    struct vmfs_volume *v = volume_of(store);
    struct volume_file *file;
    struct vmfs_attributes a;
    const char *name;
    vmfs_id dir;
    vmfs_id id = {0};
    vmk_status status = parent_of(v, path, &dir, &name);

    if (status == VMK_OK && how == VMDK_OPEN_CREATE)
        status = vmfs_create(v, dir, name, VMFS_FILE, 0600, 0, 0, NULL, &id);
    else if (status == VMK_OK)
        status = vmfs_lookup(v, dir, name, strlen(name), &id);
    if (status == VMK_OK)
        status = vmfs_attributes(v, id, &a);
    if (status == VMK_OK && a.type != VMFS_FILE)
        status = VMK_IS_DIR;
    if (status == VMK_OK)
        status = vmfs_open(v, id, how != VMDK_OPEN_READ);
    if (status != VMK_OK)
        return status;
    file = calloc(1, sizeof(*file));
    file->id = id;
    file->exclusive = how != VMDK_OPEN_READ;
    *out = file;
    return VMK_OK;
}

static void volume_close(struct vmdk_store *store, void *handle)
{
    struct volume_file *file = handle;

    vmfs_close(volume_of(store), file->id, file->exclusive);
    free(file);
}

static vmk_status volume_read(struct vmdk_store *store, void *handle, uint64_t offset, void *to,
                              size_t size)
{
    const struct volume_file *file = handle;

    while (size) {
        size_t got = 0;
        vmk_status status = vmfs_read(volume_of(store), file->id, offset, to, size, &got);

        if (status != VMK_OK)
            return status;
        if (!got) {
            memset(to, 0, size);
            break;
        }
        to = (char *)to + got;
        offset += got;
        size -= got;
    }
    return VMK_OK;
}

static vmk_status volume_write(struct vmdk_store *store, void *handle, uint64_t offset,
                               const void *from, size_t size)
{
    const struct volume_file *file = handle;

    return vmfs_write(volume_of(store), file->id, offset, from, size);
}

static vmk_status volume_size(struct vmdk_store *store, void *handle, uint64_t *size)
{
    const struct volume_file *file = handle;
    struct vmfs_attributes a = {.length = 0};
    vmk_status status = vmfs_attributes(volume_of(store), file->id, &a);

    *size = a.length;
    return status;
}

static vmk_status volume_truncate(struct vmdk_store *store, void *handle, uint64_t size)
{
    const struct volume_file *file = handle;

    return vmfs_truncate(volume_of(store), file->id, size);
}

static vmk_status volume_sync(struct vmdk_store *store, void *handle)
{
    (void)handle;
    return vmfs_sync(volume_of(store));
}

static vmk_status volume_rename(struct vmdk_store *store, const char *from, const char *to)
{
    struct vmfs_volume *v = volume_of(store);
    const char *old_name;
    const char *new_name;
    vmfs_id old_dir;
    vmfs_id new_dir;
    vmk_status status = parent_of(v, from, &old_dir, &old_name);

    if (status == VMK_OK)
        status = parent_of(v, to, &new_dir, &new_name);
    if (status == VMK_OK)
        status = vmfs_rename(v, old_dir, old_name, new_dir, new_name);
    return status == VMK_OK ? vmfs_sync(v) : status;
}

static vmk_status volume_remove(struct vmdk_store *store, const char *path)
{
    struct vmfs_volume *v = volume_of(store);
    const char *name;
    vmfs_id dir;
    vmk_status status = parent_of(v, path, &dir, &name);

    if (status == VMK_OK)
        status = vmfs_remove(v, dir, name, false);
    return status == VMK_OK ? vmfs_sync(v) : status;
}

static vmk_status volume_allocate(struct vmdk_store *store, void *handle, uint64_t size,
                                  enum vmdk_provision how)
{
    const struct volume_file *file = handle;

    return vmfs_allocate(volume_of(store), file->id, size,
                         how == VMDK_ZEROED_THICK ? VMFS_ZEROED_THICK : VMFS_EAGER_ZEROED);
}

static vmk_status volume_used(struct vmdk_store *store, void *handle, uint64_t *bytes)
{
    const struct volume_file *file = handle;
    struct vmfs_attributes a = {.blocks = 0};
    vmk_status status = vmfs_attributes(volume_of(store), file->id, &a);

    *bytes = a.blocks * a.block_size;
    return status;
}

static uint64_t volume_random(struct vmdk_store *store)
{
    (void)store;
    return tool_random();
}

static const struct vmdk_store_ops volume_ops = {
    .open = volume_open,
    .close = volume_close,
    .read = volume_read,
    .write = volume_write,
    .size = volume_size,
    .truncate = volume_truncate,
    .sync = volume_sync,
    .rename = volume_rename,
    .remove = volume_remove,
    .allocate = volume_allocate,
    .used = volume_used,
    .random = volume_random,
};

static struct vmdk_store *store_for(void *context, const char **path)
{
    struct vmdk_store *store = context;

    if (**path != ':')
        return store_posix();
    if (!store->context) {
        fprintf(stderr, "vmfs-tool: %s: no volume: name its image in the place of 'none'\n",
                *path);
        return NULL;
    }
    ++*path;
    return store;
}

/* ---- attributes of the volume, as ESXi prints them ---- */

static int query(void *context, const char *path, bool human)
{
    const struct vmdk_store *store = context;
    struct vmfs_statistics s;
    char uuid[VMFS_UUID_TEXT];
    vmk_status status = store->context ? vmfs_statistics(store->context, &s) : VMK_BAD_PARAM;

    if (status != VMK_OK)
        return tool_fail(path, status);
    vmfs_uuid_text(&s.uuid, uuid);
    printf("VMFS-%u.%u (Raw Major Version: %u) file system spanning %u partitions.\n",
           s.version, s.minor, s.major, s.extents);
    printf("File system label (if any): %s\nMode: public\n", s.label);
    if (human)
        printf("Capacity %.1f GB, %.1f GB available, file block size 1 MB, max supported file "
               "size 62.9 TB\n",
               (double)s.size / 1e9, (double)s.free / 1e9);
    else
        printf("Capacity %llu (%llu file blocks * 1048576), %llu (%llu blocks) avail, max "
               "supported file size 69201586814976\n",
               (unsigned long long)s.size, (unsigned long long)(s.size >> 20),
               (unsigned long long)s.free, (unsigned long long)(s.free >> 20));
    printf("UUID: %s\n", uuid);
    return 0;
}

static int dump_lock(void *context, const char *path)
{
    const struct vmdk_store *store = context;
    char text[VMFS_DESCRIBE_SIZE];
    vmfs_id id = {0};
    vmk_status status = VMK_BAD_PARAM;

    if (*path == ':' && store->context)
        status = vmfs_walk(store->context, path + 1, &id);
    if (status == VMK_OK)
        status = vmfs_describe(store->context, id, text, sizeof(text));
    if (status != VMK_OK)
        return tool_fail(path, status);
    fputs(text, stdout);
    return 0;
}

/* ---- raw bytes, for tests and for looking ---- */

static void print_line(void *argument, const char *text)
{
    (void)argument;
    fprintf(stderr, "vmfs-tool: %s\n", text);
}

static const struct vmdk_report report = {.line = print_line};

/* vmdk-read PATH OFFSET SIZE, vmdk-write PATH OFFSET, vmdk-discard PATH OFFSET SIZE */
static int raw(struct vmdk_store *volume, int argc, char **argv)
{
    bool write = !strcmp(argv[0], "vmdk-write");
    bool discard = !strcmp(argv[0], "vmdk-discard");
    uint64_t offset;
    uint64_t size = UINT64_MAX;
    const char *path = argc > 1 ? argv[1] : "";
    struct vmdk_store *store = store_for(volume, &path);
    char *buffer = malloc(PIECE);
    struct vmdk *disk;
    vmk_status closed;
    vmk_status status;

    if (argc != (write ? 3 : 4) || !tool_parse_size(argv[2], &offset) ||
        (!write && !tool_parse_size(argv[3], &size))) {
        fprintf(stderr, "vmfs-tool: %s PATH OFFSET%s\n", argv[0], write ? " <DATA" : " SIZE");
        free(buffer);
        return 2;
    }
    status = store ? vmdk_open(store, path, !write && !discard, &report, &disk) : VMK_NOT_FOUND;
    if (status != VMK_OK) {
        free(buffer);
        return tool_fail(path, status);
    }
    if (discard)
        status = vmdk_discard(disk, offset, size);
    while (!discard && status == VMK_OK && size) {
        size_t part = (size_t)MIN(size, PIECE);

        if (write) {
            part = fread(buffer, 1, PIECE, stdin);
            if (!part)
                break;
            status = vmdk_write(disk, offset, buffer, part);
        } else {
            status = vmdk_read(disk, offset, buffer, part);
            if (status == VMK_OK && fwrite(buffer, 1, part, stdout) != part)
                status = VMK_IO_ERROR;
        }
        offset += part;
        size -= part;
    }
    closed = vmdk_close(disk);
    free(buffer);
    if (status == VMK_OK)
        status = closed;
    return status == VMK_OK ? 0 : tool_fail(path, status);
}

int tool_vmdk(struct vmfs_volume *v, int argc, char **argv)
{
    struct vmdk_store volume = {.ops = &volume_ops, .context = v};
    const struct vmkfstools where = {
        .context = &volume, .store = store_for, .query = query, .dump_lock = dump_lock};

    if (!strcmp(argv[0], "vmkfstools"))
        return vmkfstools_run(&where, argc, argv);
    return raw(&volume, argc, argv);
}
