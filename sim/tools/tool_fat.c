// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/tools/tool_fat.c -- vmfs-tool's fat-... commands: FAT file systems in image files.
 *
 * A path in the volume begins with ':' where a command takes both kinds.
 *
 * Locking    none: one thread.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/fat/fat.h"
#include "sim/tools/tool.h"

#define PIECE (1u << 20)

static int64_t now(void)
{
    return (int64_t)time(NULL) * 1000000000;
}

/* The directory of a path, referenced, and its last word. */
static vmk_status parent_of(struct fat_volume *v, const char *path, struct fat_node **dir,
                            const char **name)
{
    const char *slash = strrchr(path, '/');
    char *head = strndup(path, slash ? (size_t)(slash - path) : 0);
    vmk_status status = fat_walk(v, head, dir);

    free(head);
    *name = slash ? slash + 1 : path;
    return status;
}

static vmk_status list(struct fat_volume *v, const char *path, bool deep)
{
    struct fat_entry *e = malloc(sizeof(*e));
    struct fat_node *dir;
    uint64_t at = 0;
    vmk_status status = fat_walk(v, path, &dir);

    while (status == VMK_OK && (status = fat_entry(dir, &at, e)) == VMK_OK) {
        struct fat_node *n;
        struct fat_attr a;

        status = fat_lookup(dir, e->name, strlen(e->name), &n);
        if (status != VMK_OK)
            break;
        fat_attr_get(n, &a);
        printf("%c %10u %s%s%s\n", a.directory ? 'd' : '-', a.directory ? 0 : a.size,
               deep ? path : "", deep ? "/" : "", e->name);
        fat_node_put(n);
        if (a.directory && deep) {
            char *below;

            if (asprintf(&below, "%s/%s", path, e->name) < 0)
                abort();
            status = list(v, below, true);
            free(below);
            if (status != VMK_OK)
                break;
        }
    }
    if (status == VMK_NOT_FOUND && at)
        status = VMK_OK;
    if (status == VMK_NOT_FOUND && fat_walk(v, path, &dir) == VMK_OK)
        status = VMK_OK;  // empty
    free(e);
    return status;
}

static vmk_status copy_out(struct fat_volume *v, const char *path, FILE *to)
{
    char *buffer = malloc(PIECE);
    struct fat_node *n;
    uint64_t at = 0;
    size_t done = 1;
    vmk_status status = fat_walk(v, path, &n);

    while (status == VMK_OK && done) {
        status = fat_read(n, at, buffer, PIECE, &done);
        if (status == VMK_OK && fwrite(buffer, 1, done, to) != done)
            status = VMK_IO_ERROR;
        at += done;
    }
    free(buffer);
    return status;
}

static vmk_status copy_in(struct fat_volume *v, FILE *from, const char *path)
{
    char *buffer = malloc(PIECE);
    struct fat_node *dir;
    struct fat_node *n;
    const char *name;
    uint64_t at = 0;
    size_t part;
    vmk_status status = parent_of(v, path, &dir, &name);

    if (status == VMK_OK) {
        status = fat_create(dir, name, strlen(name), false, &n);
        if (status == VMK_EXISTS) {
            status = fat_lookup(dir, name, strlen(name), &n);
            if (status == VMK_OK)
                status = fat_truncate(n, 0);
        }
        if (status == VMK_OK) {
            while (status == VMK_OK && (part = fread(buffer, 1, PIECE, from)) > 0) {
                status = fat_write(n, at, buffer, part);
                at += part;
            }
            fat_node_put(n);
        }
        fat_node_put(dir);
    }
    free(buffer);
    return status;
}

static vmk_status names(struct fat_volume *v, const char *what, int argc, char **argv)
{
    struct fat_node *dir;
    struct fat_node *to;
    struct fat_node *made;
    const char *name;
    const char *new_name;
    vmk_status status;

    if (argc < 2)
        return VMK_BAD_PARAM;
    status = parent_of(v, argv[1], &dir, &name);
    if (status != VMK_OK)
        return status;
    if (!strcmp(what, "fat-mkdir")) {
        status = fat_create(dir, name, strlen(name), true, &made);
        if (status == VMK_OK)
            fat_node_put(made);
    } else if (!strcmp(what, "fat-rm")) {
        status = fat_remove(dir, name, strlen(name));
    } else if (argc == 3) {
        status = parent_of(v, argv[2], &to, &new_name);
        if (status == VMK_OK) {
            status = fat_rename(dir, name, strlen(name), to, new_name, strlen(new_name));
            fat_node_put(to);
        }
    } else {
        status = VMK_BAD_PARAM;
    }
    fat_node_put(dir);
    return status;
}

static int copy(struct fat_volume *v, int argc, char **argv)
{
    bool in = argc == 3 && *argv[2] == ':';
    FILE *file;
    vmk_status status;

    if (argc != 3 || (*argv[1] == ':') == in) {
        fputs("vmfs-tool: fat-cp: exactly one of FROM and TO begins with ':'\n", stderr);
        return 2;
    }
    file = fopen(argv[in ? 1 : 2], in ? "rb" : "wb");
    if (!file) {
        fprintf(stderr, "vmfs-tool: %s: %s\n", argv[in ? 1 : 2], strerror(errno));
        return 3;
    }
    status = in ? copy_in(v, file, argv[2] + 1) : copy_out(v, argv[1] + 1, file);
    if (fclose(file) && status == VMK_OK)
        status = VMK_IO_ERROR;
    return status == VMK_OK ? 0 : tool_fail(argv[1], status);
}

static int statistics(struct fat_volume *v)
{
    struct fat_statistics s;
    vmk_status status = fat_statistics(v, &s);

    if (status != VMK_OK)
        return tool_fail("fat-df", status);
    printf("%s FAT%u, %u clusters of %u bytes, %u free\n", *s.label ? s.label : "-", s.bits,
           s.clusters, s.cluster_size, s.free);
    return 0;
}

static int format(const char *image, int argc, char **argv)
{
    struct fat_format how = {.id = (uint32_t)tool_random(), .now_ns = now()};
    struct block_device *device;
    uint64_t size = 0;
    vmk_status status;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-L") && i + 1 < argc) {
            how.label = argv[++i];
        } else if (!strcmp(argv[i], "-F") && i + 1 < argc) {
            how.bits = (unsigned)strtoul(argv[++i], NULL, 10);
        } else if (!strcmp(argv[i], "-s") && i + 1 < argc &&
                   tool_parse_size(argv[i + 1], &size)) {
            i++;
        } else {
            fputs("vmfs-tool: fat-mkfs [-L LABEL] [-F 12|16|32] [-s SIZE]\n", stderr);
            return 2;
        }
    }
    device = tool_device_open(image, size, false);
    if (!device)
        return 3;
    status = fat_format(device, &how);
    return status == VMK_OK ? 0 : tool_fail(image, status);
}

int tool_fat(const char *image, int argc, char **argv)
{
    const char *what = argv[0];
    const char *path = argc > 1 ? argv[1] : "";
    bool reads = !strcmp(what, "fat-ls") || !strcmp(what, "fat-find") ||
                 !strcmp(what, "fat-cat") || !strcmp(what, "fat-df") ||
                 (!strcmp(what, "fat-cp") && *path == ':');
    struct block_device *device;
    struct fat_volume *v;
    int result = 0;
    vmk_status closed;
    vmk_status status;

    if (!strcmp(what, "fat-mkfs"))
        return format(image, argc, argv);
    device = tool_device_open(image, 0, reads);
    if (!device)
        return 3;
    status = fat_mount(device, reads, now, &v);
    if (status != VMK_OK)
        return tool_fail(image, status);
    if (!strcmp(what, "fat-ls") || !strcmp(what, "fat-find"))
        status = list(v, path, !strcmp(what, "fat-find"));
    else if (!strcmp(what, "fat-cat"))
        status = copy_out(v, path, stdout);
    else if (!strcmp(what, "fat-cp"))
        result = copy(v, argc, argv);
    else if (!strcmp(what, "fat-df"))
        result = statistics(v);
    else
        status = names(v, what, argc, argv);
    if (status != VMK_OK)
        result = tool_fail(path, status);
    closed = fat_unmount(v);
    return closed != VMK_OK && !result ? tool_fail("unmount", closed) : result;
}
