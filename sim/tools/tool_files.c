// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/tools/tool_files.c -- vmfs-tool's commands on the files of a volume: list, copy, name, size.
 *
 * Locking    none: one thread.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/vmfs/vmfs.h"
#include "sim/tools/tool.h"

#define COPY_SIZE (1u << 20)

/* ---- paths ---- */

/* The directory of a path and its last word. */
static vmk_status parent_of(struct vmfs_volume *v, const char *path, vmfs_id *dir,
                            const char **name)
{
    const char *slash = strrchr(path, '/');
    char head[4096];

    *name = slash ? slash + 1 : path;
    if (!slash) {
        *dir = vmfs_root(v);
        return VMK_OK;
    }
    if ((size_t)(slash - path) >= sizeof(head))
        return VMK_NAME_TOO_LONG;
    memcpy(head, path, (size_t)(slash - path));
    head[slash - path] = 0;
    return vmfs_walk(v, head, dir);
}

static const char *mode_text(const struct vmfs_attributes *a)
{
    static char text[12];
    static const char letters[] = "rwxrwxrwx";

    text[0] = a->type == VMFS_DIRECTORY ? 'd'
              : a->type == VMFS_SYMLINK ? 'l'
              : a->type == VMFS_SYSTEM  ? 's'
              : a->type == VMFS_RDM     ? 'r'
                                        : '-';
    for (unsigned i = 0; i < 9; i++)
        text[1 + i] = a->mode >> (8 - i) & 1 ? letters[i] : '-';
    if (a->mode & 01000)
        text[9] = 't';
    return text;
}

/* ---- commands ---- */

static int show(struct vmfs_volume *v, vmfs_id id, const char *name, bool detail)
{
    struct vmfs_attributes a;
    char when[32] = "";
    char target[4096] = "";
    time_t seconds;
    struct tm tm;
    vmk_status status;

    if (!detail) {
        puts(name);
        return 0;
    }
    status = vmfs_attributes(v, id, &a);
    if (status != VMK_OK)
        return tool_fail(name, status);
    seconds = (time_t)a.mtime;
    if (gmtime_r(&seconds, &tm))
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
    if (a.type == VMFS_SYMLINK) {
        size_t got = 0;

        status = vmfs_read(v, id, 0, target, sizeof(target) - 1, &got);
        target[got] = 0;
    }
    printf("%s %4u %5u %5u %14llu %s %s%s%s\n", mode_text(&a), a.links, a.uid, a.gid,
           (unsigned long long)a.length, when, name, *target ? " -> " : "", target);
    return status == VMK_OK ? 0 : tool_fail(name, status);
}

int tool_ls(struct tool_volume *vol, int argc, char **argv)
{
    bool detail = argc > 1 && !strcmp(argv[1], "-l");
    const char *path = argc > 1 + detail ? argv[1 + detail] : "/";
    struct vmfs_attributes a;
    struct vmfs_entry entry;
    vmfs_id id;
    int result = 0;
    vmk_status status = vmfs_walk(vol->v, path, &id);

    if (status == VMK_OK)
        status = vmfs_attributes(vol->v, id, &a);
    if (status != VMK_OK)
        return tool_fail(path, status);
    if (a.type != VMFS_DIRECTORY)
        return show(vol->v, id, path, detail);
    for (uint64_t i = 0; (status = vmfs_entry(vol->v, id, i, &entry)) == VMK_OK; i++) {
        if (strcmp(entry.name, ".") != 0 && strcmp(entry.name, "..") != 0)
            result |= show(vol->v, entry.id, entry.name, detail);
    }
    return status == VMK_NOT_FOUND ? result : tool_fail(path, status);
}

int tool_stat(struct tool_volume *vol, int argc, char **argv)
{
    struct vmfs_attributes a;
    struct vmfs_lock_info lock;
    char owner[VMFS_UUID_TEXT];
    vmfs_id id;
    vmk_status status = argc > 1 ? vmfs_walk(vol->v, argv[1], &id) : VMK_BAD_PARAM;

    if (status == VMK_OK)
        status = vmfs_attributes(vol->v, id, &a);
    if (status == VMK_OK)
        status = vmfs_lock_info(vol->v, id, &lock);
    if (status != VMK_OK)
        return tool_fail(argc > 1 ? argv[1] : "stat PATH", status);
    vmfs_uuid_text(&lock.owner, owner);
    printf("%s  descriptor 0x%08x generation %u\n", argv[1], a.id.address, a.id.generation);
    printf("mode %s links %u uid %u gid %u\n", mode_text(&a), a.links, a.uid, a.gid);
    printf("length %llu, %llu blocks of %llu, map %u, %llu to be zeroed\n",
           (unsigned long long)a.length, (unsigned long long)a.blocks,
           (unsigned long long)a.block_size, a.zla, (unsigned long long)a.tbz_blocks);
    printf("lock [type %08x offset %llu v %llu, hb offset %llu gen %llu, mode %u, owner %s]\n",
           lock.type, (unsigned long long)lock.address, (unsigned long long)lock.token,
           (unsigned long long)lock.heartbeat, (unsigned long long)lock.heartbeat_generation,
           lock.mode, owner);
    return 0;
}

static void progress(uint64_t done, uint64_t of)
{
    static time_t began, last;
    time_t now = time(NULL);

    if (!began)
        began = now;
    if (!isatty(STDERR_FILENO) || now == last || now - began < 2)
        return;
    last = now;
    fprintf(stderr, "\r%llu of %llu MiB", (unsigned long long)(done >> 20),
            (unsigned long long)(of >> 20));
    if (done >= of)
        fputc('\n', stderr);
}

static int copy_out(struct vmfs_volume *v, const char *path, int fd, const char *to)
{
    char *buffer = malloc(COPY_SIZE);
    struct vmfs_attributes a;
    vmfs_id id;
    int result = 0;
    vmk_status status = vmfs_walk(v, path, &id);

    if (status == VMK_OK)
        status = vmfs_attributes(v, id, &a);
    for (uint64_t at = 0; status == VMK_OK && !result && at < a.length;) {
        size_t got;

        status = vmfs_read(v, id, at, buffer, COPY_SIZE, &got);
        for (size_t done = 0; status == VMK_OK && done < got;) {
            ssize_t n = write(fd, buffer + done, got - done);

            if (n < 0) {
                fprintf(stderr, "vmfs-tool: %s: %s\n", to, strerror(errno));
                result = 3;
                break;
            }
            done += (size_t)n;
        }
        if (!got)
            break;
        at += got;
        progress(at, a.length);
    }
    free(buffer);
    return status == VMK_OK ? result : tool_fail(path, status);
}

static bool all_zero(const char *data, size_t size)
{
    return !size || (!*data && !memcmp(data, data + 1, size - 1));
}

static int copy_in(struct vmfs_volume *v, const char *from, const char *path)
{
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    char *buffer = malloc(COPY_SIZE);
    struct vmfs_attributes a;
    struct stat st;
    const char *name;
    vmfs_id dir;
    vmfs_id id;
    vmk_status status;
    uint64_t at = 0;
    ssize_t n = 0;

    if (fd < 0 || fstat(fd, &st) < 0) {
        fprintf(stderr, "vmfs-tool: %s: %s\n", from, strerror(errno));
        free(buffer);
        return 3;
    }
    /* Into a directory: under its own name. */
    status = vmfs_walk(v, path, &id);
    if (status == VMK_OK && vmfs_attributes(v, id, &a) == VMK_OK && a.type == VMFS_DIRECTORY) {
        dir = id;
        name = strrchr(from, '/') ? strrchr(from, '/') + 1 : from;
    } else {
        status = parent_of(v, path, &dir, &name);
    }
    if (status == VMK_OK) {
        status = vmfs_lookup(v, dir, name, strlen(name), &id);
        if (status == VMK_NOT_FOUND)
            status = vmfs_create(v, dir, name, VMFS_FILE, st.st_mode & 07777, 0, 0, NULL, &id);
        else if (status == VMK_OK)
            status = vmfs_truncate(v, id, 0);
    }
    while (status == VMK_OK && (n = read(fd, buffer, COPY_SIZE)) > 0) {
        /* Holes stay holes. */
        if (!all_zero(buffer, (size_t)n) || (uint64_t)st.st_size <= 8192)
            status = vmfs_write(v, id, at, buffer, (size_t)n);
        at += (uint64_t)n;
        progress(at, (uint64_t)st.st_size);
    }
    if (n < 0) {
        fprintf(stderr, "vmfs-tool: %s: %s\n", from, strerror(errno));
        status = VMK_IO_ERROR;
    }
    if (status == VMK_OK)
        status = vmfs_truncate(v, id, at);
    close(fd);
    free(buffer);
    return status == VMK_OK ? 0 : tool_fail(path, status);
}

int tool_cat(struct tool_volume *vol, int argc, char **argv)
{
    if (argc < 2)
        return tool_fail("cat PATH", VMK_BAD_PARAM);
    return copy_out(vol->v, argv[1], STDOUT_FILENO, "standard output");
}

int tool_cp(struct tool_volume *vol, int argc, char **argv)
{
    int result;
    int fd;

    if (argc != 3 || (*argv[1] == ':') == (*argv[2] == ':')) {
        fputs("vmfs-tool: cp: exactly one of FROM and TO begins with ':'\n", stderr);
        return 2;
    }
    if (*argv[2] == ':')
        return copy_in(vol->v, argv[1], argv[2] + 1);
    fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        fprintf(stderr, "vmfs-tool: %s: %s\n", argv[2], strerror(errno));
        return 3;
    }
    result = copy_out(vol->v, argv[1] + 1, fd, argv[2]);
    if (close(fd) < 0 && !result) {
        fprintf(stderr, "vmfs-tool: %s: %s\n", argv[2], strerror(errno));
        result = 3;
    }
    return result;
}

int tool_names(struct tool_volume *vol, int argc, char **argv)
{
    const char *what = argv[0];
    const char *name;
    const char *new_name;
    vmfs_id dir;
    vmfs_id to;
    vmfs_id id;
    vmk_status status;

    if (argc < 2)
        return tool_fail(what, VMK_BAD_PARAM);
    if (!strcmp(what, "ln") && argc == 4 && !strcmp(argv[1], "-s")) {
        status = parent_of(vol->v, argv[3], &dir, &name);
        if (status == VMK_OK)
            status = vmfs_create(vol->v, dir, name, VMFS_SYMLINK, 0777, 0, 0, argv[2], &id);
        return status == VMK_OK ? 0 : tool_fail(argv[3], status);
    }
    status = parent_of(vol->v, argv[1], &dir, &name);
    if (status == VMK_OK && !strcmp(what, "mkdir")) {
        status = vmfs_create(vol->v, dir, name, VMFS_DIRECTORY, 0755, 0, 0, NULL, &id);
    } else if (status == VMK_OK && !strcmp(what, "rm")) {
        status = vmfs_remove(vol->v, dir, name, false);
    } else if (status == VMK_OK && !strcmp(what, "rmdir")) {
        status = vmfs_remove(vol->v, dir, name, true);
    } else if (status == VMK_OK) {
        if (argc != 3)
            return tool_fail(what, VMK_BAD_PARAM);
        status = parent_of(vol->v, argv[2], &to, &new_name);
        if (status == VMK_OK && !strcmp(what, "mv")) {
            status = vmfs_rename(vol->v, dir, name, to, new_name);
        } else if (status == VMK_OK) {
            status = vmfs_lookup(vol->v, dir, name, strlen(name), &id);
            if (status == VMK_OK)
                status = vmfs_link(vol->v, id, to, new_name);
        }
    }
    return status == VMK_OK ? 0 : tool_fail(argv[1], status);
}

int tool_size(struct tool_volume *vol, int argc, char **argv)
{
    uint64_t size;
    vmfs_id id;
    vmk_status status;

    if (argc < 3 || !tool_parse_size(argv[2], &size)) {
        fprintf(stderr, "vmfs-tool: %s PATH SIZE\n", argv[0]);
        return 2;
    }
    status = vmfs_walk(vol->v, argv[1], &id);
    if (status == VMK_NOT_FOUND) {
        const char *name;
        vmfs_id dir;

        status = parent_of(vol->v, argv[1], &dir, &name);
        if (status == VMK_OK)
            status = vmfs_create(vol->v, dir, name, VMFS_FILE, 0644, 0, 0, NULL, &id);
    }
    if (status == VMK_OK && !strcmp(argv[0], "truncate"))
        status = vmfs_truncate(vol->v, id, size);
    else if (status == VMK_OK)
        status = vmfs_allocate(vol->v, id, size,
                               argc > 3 && !strcmp(argv[3], "zeroed") ? VMFS_ZEROED_THICK
                                                                      : VMFS_EAGER_ZEROED);
    return status == VMK_OK ? 0 : tool_fail(argv[1], status);
}
