// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/tools/vmfs_tool.c -- vmfs-tool: VMFS-5 volumes in image files, without a hypervisor.
 *
 * The same file system code as the kernel's, over image files or block devices. For labs, for
 * moving files in and out of disk images, and for judging them.
 *
 * Invariants
 *   - Bad input ends in a message and a status, never in a crash: 0 done, 1 the volume has
 *     problems, 2 usage, 3 failed.
 *   - A volume is opened read-only unless the command changes it.
 * Locking    none: one thread.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/core.h"
#include "core/log.h"
#include "fs/vmfs/vmfs.h"
#include "fs/vmfs/vmfs_format.h"
#include "io/io.h"
#include "mem/page.h"
#include "sched/sched.h"
#include "sim/model/disk.h"
#include "sim/platform/sim.h"
#include "sim/tools/tool.h"
#include "world/world.h"

#define COPY_SIZE (1u << 20)

static const char usage[] =
    "usage: vmfs-tool IMAGE[,IMAGE...] COMMAND ...\n"
    "\n"
    "An IMAGE is a file or device that holds one VMFS-5 extent (a partition, not a whole "
    "disk);\n"
    "append @OFFSET for one inside a larger file, @pN for partition N. Commands:\n"
    "\n"
    "  mkfs [-L LABEL] [-s SIZE]   make a volume; -s creates the image (273M, 1G, 2T ...)\n"
    "  ls [-l] [PATH]              list a directory\n"
    "  stat PATH                   a file's attributes, map and lock\n"
    "  cat PATH                    a file to standard output\n"
    "  cp FROM TO                  copy; a path in the volume begins with ':' (cp a.iso "
    ":/a.iso)\n"
    "  mkdir PATH, rmdir PATH, rm PATH, mv FROM TO, ln FROM TO, ln -s TARGET PATH\n"
    "  truncate PATH SIZE          set the length\n"
    "  allocate PATH SIZE [zeroed|eager]\n"
    "                              give a file all its blocks\n"
    "  grow [IMAGE [SIZE]]         use what the last image has grown, or add an image\n"
    "  label LABEL                 rename the volume\n"
    "  df                          size, free space, and what else is left\n"
    "  fsck                        check everything; status 1 if there are problems\n"
    "  dump                        heads, superblock, heartbeats, bitmaps as on disk\n"
    "\n"
    "Virtual disks (a path in the volume begins with ':'; IMAGE may be the word none):\n"
    "  vmkfstools OPTIONS PATH     as on the host: create, clone, extend ...; see vmkfstools "
    "--help\n"
    "  vmdk-read PATH OFFSET SIZE, vmdk-write PATH OFFSET <DATA, vmdk-discard PATH OFFSET "
    "SIZE\n"
    "                              bytes of the disk\n"
    "\n"
    "Partition tables (IMAGE is a whole disk):\n"
    "  part-list                   what the table says; status 1 if it has problems\n"
    "  part-create [-s SIZE] [mbr] an empty GPT, or an MBR\n"
    "  part-add TYPE [SIZE [NAME [NUMBER]]]\n"
    "                              TYPE: a GUID, vmfs, vmkcore, efi-system, basic-data, linux "
    "...\n"
    "  part-delete NUMBER\n"
    "  part-repair                 the damaged copy of a GPT from the good one\n"
    "\n"
    "FAT (IMAGE@pN: a partition):\n"
    "  fat-mkfs [-L LABEL] [-F 12|16|32] [-s SIZE], fat-df, fat-ls PATH, fat-find PATH,\n"
    "  fat-cat PATH, fat-cp FROM TO, fat-mkdir PATH, fat-rm PATH, fat-mv FROM TO\n"
    "\n"
    "  -v, --verbose  kernel messages too      -h, --help  this text\n";

static bool verbose;

static uint64_t wall_seconds(void)
{
    return (uint64_t)time(NULL);
}

static int fail(const char *what, vmk_status status)
{
    return tool_fail(what, status);
    return 3;
}

/* ---- devices ---- */

struct volume {
    struct block_device *devices[32];
    unsigned count;
    struct vmfs_volume *v;
};

static bool devices_open(struct volume *vol, const char *images, uint64_t size, bool read_only)
{
    char *copy = strdup(images);

    for (char *word = strtok(copy, ","); word; word = strtok(NULL, ",")) {
        if (vol->count == 32) {
            fputs("vmfs-tool: a volume has at most 32 extents\n", stderr);
            return false;
        }
        vol->devices[vol->count] = tool_device_open(word, size, read_only);
        if (!vol->devices[vol->count])
            return false;
        vol->count++;
    }
    free(copy);
    return vol->count > 0;
}

static struct vmfs_uuid tool_uuid(void)
{
    struct vmfs_uuid uuid;

    for (unsigned i = 0; i < 16; i++)
        uuid.raw[i] = (uint8_t) "vmfs-tool on file"[i];
    return uuid;
}

static int volume_open(struct volume *vol, const char *images, bool write)
{
    const struct vmfs_mount how = {.host = tool_uuid(),
                                   .host_text = "vmfs-tool",
                                   .read_only = !write,
                                   .private_volume = true,
                                   .seconds = wall_seconds};
    vmk_status status;

    if (!devices_open(vol, images, 0, !write))
        return 3;
    status = vmfs_mount(vol->devices, vol->count, &how, &vol->v);
    if (status != VMK_OK)
        return fail(images, status);
    return 0;
}

/* The unmount of a volume that was written can fail, and then the work is not done. */
static int volume_close(struct volume *vol, int result)
{
    vmk_status status = vmfs_unmount(vol->v);

    if (status != VMK_OK && !result)
        return fail("unmount", status);
    return result;
}

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
        return fail(name, status);
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
    return status == VMK_OK ? 0 : fail(name, status);
}

static int command_ls(struct volume *vol, int argc, char **argv)
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
        return fail(path, status);
    if (a.type != VMFS_DIRECTORY)
        return show(vol->v, id, path, detail);
    for (uint64_t i = 0; (status = vmfs_entry(vol->v, id, i, &entry)) == VMK_OK; i++) {
        if (strcmp(entry.name, ".") != 0 && strcmp(entry.name, "..") != 0)
            result |= show(vol->v, entry.id, entry.name, detail);
    }
    return status == VMK_NOT_FOUND ? result : fail(path, status);
}

static int command_stat(struct volume *vol, int argc, char **argv)
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
        return fail(argc > 1 ? argv[1] : "stat PATH", status);
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
    return status == VMK_OK ? result : fail(path, status);
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
    return status == VMK_OK ? 0 : fail(path, status);
}

static int command_cat(struct volume *vol, int argc, char **argv)
{
    if (argc < 2)
        return fail("cat PATH", VMK_BAD_PARAM);
    return copy_out(vol->v, argv[1], STDOUT_FILENO, "standard output");
}

static int command_cp(struct volume *vol, int argc, char **argv)
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

static int command_names(struct volume *vol, int argc, char **argv)
{
    const char *what = argv[0];
    const char *name;
    const char *new_name;
    vmfs_id dir;
    vmfs_id to;
    vmfs_id id;
    vmk_status status;

    if (argc < 2)
        return fail(what, VMK_BAD_PARAM);
    if (!strcmp(what, "ln") && argc == 4 && !strcmp(argv[1], "-s")) {
        status = parent_of(vol->v, argv[3], &dir, &name);
        if (status == VMK_OK)
            status = vmfs_create(vol->v, dir, name, VMFS_SYMLINK, 0777, 0, 0, argv[2], &id);
        return status == VMK_OK ? 0 : fail(argv[3], status);
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
            return fail(what, VMK_BAD_PARAM);
        status = parent_of(vol->v, argv[2], &to, &new_name);
        if (status == VMK_OK && !strcmp(what, "mv")) {
            status = vmfs_rename(vol->v, dir, name, to, new_name);
        } else if (status == VMK_OK) {
            status = vmfs_lookup(vol->v, dir, name, strlen(name), &id);
            if (status == VMK_OK)
                status = vmfs_link(vol->v, id, to, new_name);
        }
    }
    return status == VMK_OK ? 0 : fail(argv[1], status);
}

static int command_size(struct volume *vol, int argc, char **argv)
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
    return status == VMK_OK ? 0 : fail(argv[1], status);
}

static int command_label(struct volume *vol, int argc, char **argv)
{
    vmk_status status = argc > 1 ? vmfs_label_set(vol->v, argv[1]) : VMK_BAD_PARAM;

    return status == VMK_OK ? 0 : fail("label", status);
}

static void dump_uuid(const char *name, const uint8_t *raw)
{
    struct vmfs_uuid uuid;
    char text[VMFS_UUID_TEXT];

    memcpy(uuid.raw, raw, sizeof(uuid.raw));
    vmfs_uuid_text(&uuid, text);
    printf("  %-14s %s\n", name, text);
}

/* The LVM head and the volume entry of one extent. */
static vmk_status dump_lvm(struct block_device *device)
{
    uint8_t head[VMFS_SECTOR];
    uint8_t entry[VMFS_SECTOR];
    vmk_status status = block_read(device, LVM_BASE, head, sizeof(head));

    if (status == VMK_OK)
        status = block_read(device, LVM_VOLUME, entry, sizeof(entry));
    if (status != VMK_OK)
        return status;
    printf("LVM %s\n", device->name);
    printf("  %-14s 0x%08x, version %u.%u\n", "magic", le32(head + LVM_D_MAGIC),
           le32(head + LVM_D_MAJOR), le32(head + LVM_D_MINOR));
    printf("  %-14s %llu, %u extents of 256 MiB from 0x%llx\n", "bytes",
           (unsigned long long)le64(head + LVM_D_TOTAL_BYTES), le32(head + LVM_D_PES),
           (unsigned long long)le64(head + LVM_D_DATA));
    dump_uuid("device", head + LVM_D_UUID);
    dump_uuid("volume", entry + LVM_V_UUID);
    printf("  %-14s %llu bytes on %u devices, generation %llu, here extents %llu to %llu\n",
           "volume", (unsigned long long)le64(entry + LVM_V_SIZE), le32(entry + LVM_V_DEVICES),
           (unsigned long long)le64(entry + LVM_V_GENERATION),
           (unsigned long long)le64(entry + LVM_V_FIRST_PE),
           (unsigned long long)le64(entry + LVM_V_LAST_PE));
    return VMK_OK;
}

/* The system files' heads: where and how large each bitmap is. All lie in the first extent. */
static vmk_status dump_resources(struct block_device *device)
{
    static const struct {
        unsigned item;
        const char *name;
    } files[] = {{FD_FBB, ".fbb.sf"},
                 {FD_FDC, ".fdc.sf"},
                 {FD_PBC, ".pbc.sf"},
                 {FD_SBC, ".sbc.sf"},
                 {FD_PB2, ".pb2.sf"}};

    for (unsigned i = 0; i < ARRAY_COUNT(files); i++) {
        uint8_t fd[VMFS_FD_SIZE];
        uint8_t head[VMFS_SECTOR];
        uint64_t at = FS_BASE + (2u << 20) + 0x20000u + files[i].item * VMFS_FD_SIZE;
        vmk_status status = block_read(device, LVM_DATA + at, fd, sizeof(fd));
        uint64_t block = addr_fb_block(le32(fd + FD_DATA));

        if (status == VMK_OK)
            status =
                block_read(device, LVM_DATA + (block << VMFS_FB_SHIFT), head, sizeof(head));
        if (status != VMK_OK)
            return status;
        printf("%s at block %llu, %llu bytes\n", files[i].name, (unsigned long long)block,
               (unsigned long long)le64(fd + FD_META + FD_LENGTH));
        printf("  %u items of %u bytes, %u per cluster, %u clusters per group, %u groups of %u "
               "bytes\n",
               le32(head + RES_H_TOTAL), le32(head + RES_H_ITEM_SIZE),
               le32(head + RES_H_PER_CLUSTER), le32(head + RES_H_PER_GROUP),
               le32(head + RES_H_GROUPS), le32(head + RES_H_GROUP_SIZE));
    }
    return VMK_OK;
}

static int command_dump(struct volume *vol, int argc, char **argv)
{
    struct block_device *first = vol->devices[0];
    uint8_t super[VMFS_SECTOR];
    uint8_t slot[VMFS_SECTOR];
    vmk_status status = VMK_OK;

    (void)argc;
    for (unsigned i = 0; i < vol->count && status == VMK_OK; i++) {
        struct vmfs_extent_info info;

        status = dump_lvm(vol->devices[i]);
        if (status == VMK_OK && vmfs_probe(vol->devices[i], &info) == VMK_OK && !info.first)
            first = vol->devices[i];
    }
    if (status == VMK_OK)
        status = block_read(first, LVM_DATA + FS_BASE, super, sizeof(super));
    if (status != VMK_OK)
        return fail(argv[0], status);
    printf("superblock\n  %-14s 0x%08x, version %u.%u, mode %u\n", "magic",
           le32(super + FS_MAGIC_AT), le32(super + FS_MAJOR_AT), super[FS_MINOR_AT],
           le32(super + FS_MODE));
    dump_uuid("file system", super + FS_UUID);
    dump_uuid("made by", super + FS_HOST);
    printf("  %-14s %.128s\n  %-14s %llu, sub-blocks %u, made %u\n", "label",
           (const char *)super + FS_LABEL, "block size",
           (unsigned long long)le64(super + FS_BLOCK_SIZE), le32(super + FS_SUB_BLOCK),
           le32(super + FS_CREATED));
    for (unsigned i = 0; i < HB_SLOTS && status == VMK_OK; i++) {
        status = block_read(first, LVM_DATA + HB_BASE + i * VMFS_SECTOR, slot, sizeof(slot));
        if (status != VMK_OK || le32(slot + HB_STATE) == HB_FREE)
            continue;
        printf("heartbeat %u\n  %-14s 0x%08x, generation %llu, stamp %llu us, journal block "
               "%u, %.45s\n",
               i, "state", le32(slot + HB_STATE),
               (unsigned long long)le64(slot + HB_GENERATION),
               (unsigned long long)le64(slot + HB_STAMP),
               addr_fb_block(le32(slot + HB_JOURNAL_FB)), (const char *)slot + HB_HOST);
        dump_uuid("owner", slot + HB_OWNER);
    }
    if (status == VMK_OK)
        status = dump_resources(first);
    return status == VMK_OK ? 0 : fail(argv[0], status);
}

static int command_grow(struct volume *vol, int argc, char **argv)
{
    struct block_device *extra = NULL;
    uint64_t size = 0;
    vmk_status status;

    if (argc > 3 || (argc == 3 && !tool_parse_size(argv[2], &size))) {
        fputs("vmfs-tool: grow [IMAGE [SIZE]]\n", stderr);
        return 2;
    }
    if (argc > 1) {
        extra = disk_file_open(argv[1], size, false);
        if (!extra)
            return 3;
    }
    status = vmfs_grow(vol->v, extra);
    return status == VMK_OK ? 0 : fail("grow", status);
}

static int command_df(struct volume *vol, int argc, char **argv)
{
    struct vmfs_statistics s;
    char uuid[VMFS_UUID_TEXT];
    vmk_status status = vmfs_statistics(vol->v, &s);

    (void)argc;
    if (status != VMK_OK)
        return fail(argv[0], status);
    vmfs_uuid_text(&s.uuid, uuid);
    printf("%-24s VMFS-5.%u (%u extent%s) %s\n", s.label, s.minor, s.extents,
           s.extents == 1 ? "" : "s", uuid);
    printf("%-16s %14s %14s %14s\n", "", "total", "used", "free");
    printf("%-16s %14llu %14llu %14llu\n", "MiB", (unsigned long long)(s.size >> 20),
           (unsigned long long)((s.size - s.free) >> 20), (unsigned long long)(s.free >> 20));
    printf("%-16s %14llu %14llu %14llu\n", "files", (unsigned long long)s.files,
           (unsigned long long)(s.files - s.files_free), (unsigned long long)s.files_free);
    printf("%-16s %14llu %14llu %14llu\n", "sub-blocks", (unsigned long long)s.sub_blocks,
           (unsigned long long)(s.sub_blocks - s.sub_blocks_free),
           (unsigned long long)s.sub_blocks_free);
    printf("%-16s %14llu %14llu %14llu\n", "pointer blocks",
           (unsigned long long)s.pointer_blocks,
           (unsigned long long)(s.pointer_blocks - s.pointer_blocks_free),
           (unsigned long long)s.pointer_blocks_free);
    return 0;
}

static void print_problem(void *argument, const char *line)
{
    (void)argument;
    puts(line);
}

static int command_fsck(struct volume *vol, int argc, char **argv)
{
    vmk_status status;
    unsigned problems = vmfs_check(vol->v, print_problem, NULL, &status);

    (void)argc;
    if (status != VMK_OK)
        return fail(argv[0], status);
    printf("%u problem%s\n", problems, problems == 1 ? "" : "s");
    return problems ? 1 : 0;
}

static int make_volume(const char *images, int argc, char **argv)
{
    struct vmfs_format how = {
        .label = "datastore1", .seconds = wall_seconds(), .host = tool_uuid()};
    struct volume vol = {.count = 0};
    uint64_t size = 0;
    vmk_status status;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-L") && i + 1 < argc) {
            how.label = argv[++i];
        } else if (!strcmp(argv[i], "-s") && i + 1 < argc &&
                   tool_parse_size(argv[i + 1], &size)) {
            i++;
        } else {
            fprintf(stderr, "vmfs-tool: mkfs: '%s'? mkfs [-L LABEL] [-s SIZE]\n", argv[i]);
            return 2;
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        FILE *random = fopen("/dev/urandom", "rb");

        if (!random || fread(&how.random[i], sizeof(how.random[i]), 1, random) != 1)
            how.random[i] = wall_seconds() * 2654435761u + i;
        if (random)
            fclose(random);
    }
    if (!devices_open(&vol, images, size, false))
        return 3;
    status = vmfs_format(vol.devices, vol.count, &how);
    return status == VMK_OK ? 0 : fail(images, status);
}

static int command_vmdk(struct volume *vol, int argc, char **argv)
{
    return tool_vmdk(vol->v, argc, argv);
}

static const struct {
    const char *name;
    int (*run)(struct volume *, int, char **);
    bool write;
} commands[] = {
    {"ls", command_ls, false},          {"stat", command_stat, false},
    {"cat", command_cat, false},        {"cp", command_cp, true},
    {"mkdir", command_names, true},     {"rmdir", command_names, true},
    {"rm", command_names, true},        {"mv", command_names, true},
    {"ln", command_names, true},        {"truncate", command_size, true},
    {"allocate", command_size, true},   {"label", command_label, true},
    {"grow", command_grow, true},       {"df", command_df, false},
    {"dump", command_dump, false},      {"fsck", command_fsck, false},
    {"vmkfstools", command_vmdk, true}, {"vmdk-read", command_vmdk, false},
    {"vmdk-write", command_vmdk, true}, {"vmdk-discard", command_vmdk, true},
};

int main(int argc, char **argv)
{
    struct volume vol = {.count = 0};
    const char *images;
    int result;

    while (argc > 1 && argv[1][0] == '-') {
        if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[1], "-v") != 0 && strcmp(argv[1], "--verbose") != 0) {
            fputs(usage, stderr);
            return 2;
        }
        verbose = true;
        argv++;
        argc--;
    }
    if (argc < 3) {
        fputs(usage, stderr);
        return 2;
    }

    const struct sim_options options = {.seed = 1, .verbose = true, .command = "vmfs-tool"};

    sim_options_set(&options);
    sim_test_begin();
    log_level_set(verbose ? VMK_LOG_DEBUG : VMK_LOG_ERROR);
    images = argv[1];
    argv += 2;
    argc -= 2;
    if (!strncmp(argv[0], "part-", 5))
        return tool_partitions(images, argc, argv);
    if (!strncmp(argv[0], "fat-", 4))
        return tool_fat(images, argc, argv);
    if (!strcmp(argv[0], "mkfs"))
        return make_volume(images, argc, argv);
    for (unsigned i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(commands[i].name, argv[0]) != 0)
            continue;
        if (!strcmp(images, "none") && commands[i].run == command_vmdk)
            return tool_vmdk(NULL, argc, argv);
        /* Copying out changes nothing. */
        bool write =
            commands[i].write && !(!strcmp(argv[0], "cp") && argc > 1 && *argv[1] == ':');

        result = volume_open(&vol, images, write);
        if (result)
            return result;
        result = commands[i].run(&vol, argc, argv);
        return volume_close(&vol, result);
    }
    fprintf(stderr, "vmfs-tool: no command '%s'; see vmfs-tool --help\n", argv[0]);
    return 2;
}
