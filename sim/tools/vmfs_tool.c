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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "fs/vmfs/vmfs.h"
#include "sim/platform/sim.h"
#include "sim/tools/tool.h"

static const char usage[] =
    "usage: vmfs-tool IMAGE[,IMAGE...] COMMAND ...\n"
    "\n"
    "An IMAGE is a file or device that holds one VMFS-5 extent, or a whole disk with one VMFS\n"
    "partition; append @OFFSET for one inside a larger file, @pN for partition N. Commands:\n"
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
    "Core dumps (IMAGE is a file vmkernel-zdump.N, or IMAGE@pN: a vmkcore partition):\n"
    "  core-list                   when, why, and the sections\n"
    "  core-get SECTION            panic, log, worlds: text; trace: for trace-split\n"
    "\n"
    "  -v, --verbose  kernel messages too      -h, --help  this text\n";

static bool verbose;

static uint64_t wall_seconds(void)
{
    return (uint64_t)time(NULL);
}

/* ---- devices ---- */

/* `find`: in a whole disk, its one VMFS partition. */
static bool devices_open(struct tool_volume *vol, const char *images, uint64_t size,
                         bool read_only, bool find)
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
        if (find)
            vol->devices[vol->count] = tool_partition_of_disk(vol->devices[vol->count]);
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

static int volume_open(struct tool_volume *vol, const char *images, bool write)
{
    const struct vmfs_mount how = {.host = tool_uuid(),
                                   .host_text = "vmfs-tool",
                                   .read_only = !write,
                                   .private_volume = true,
                                   .seconds = wall_seconds};
    vmk_status status;

    if (!devices_open(vol, images, 0, !write, true))
        return 3;
    status = vmfs_mount(vol->devices, vol->count, &how, &vol->v);
    if (status != VMK_OK)
        return tool_fail(images, status);
    return 0;
}

/* The unmount of a volume that was written can fail, and then the work is not done. */
static int volume_close(struct tool_volume *vol, int result)
{
    vmk_status status = vmfs_unmount(vol->v);

    if (status != VMK_OK && !result)
        return tool_fail("unmount", status);
    return result;
}

static int make_volume(const char *images, int argc, char **argv)
{
    struct vmfs_format how = {
        .label = "datastore1", .seconds = wall_seconds(), .host = tool_uuid()};
    struct tool_volume vol = {.count = 0};
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
    for (unsigned i = 0; i < ARRAY_COUNT(how.random); i++)
        how.random[i] = tool_random();
    if (!devices_open(&vol, images, size, false, false))
        return 3;
    status = vmfs_format(vol.devices, vol.count, &how);
    return status == VMK_OK ? 0 : tool_fail(images, status);
}

static int command_vmdk(struct tool_volume *vol, int argc, char **argv)
{
    return tool_vmdk(vol->v, argc, argv);
}

static const struct {
    const char *name;
    tool_command *run;
    bool write;
} commands[] = {
    {"ls", tool_ls, false},
    {"stat", tool_stat, false},
    {"cat", tool_cat, false},
    {"cp", tool_cp, true},
    {"mkdir", tool_names, true},
    {"rmdir", tool_names, true},
    {"rm", tool_names, true},
    {"mv", tool_names, true},
    {"ln", tool_names, true},
    {"truncate", tool_size, true},
    {"allocate", tool_size, true},
    {"label", tool_label, true},
    {"grow", tool_grow, true},
    {"df", tool_df, false},
    {"dump", tool_dump, false},
    {"fsck", tool_fsck, false},
    {"vmkfstools", command_vmdk, true},
    {"vmdk-read", command_vmdk, false},
    {"vmdk-write", command_vmdk, true},
    {"vmdk-discard", command_vmdk, true},
};

int main(int argc, char **argv)
{
    struct tool_volume vol = {.count = 0};
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
    if (!strncmp(argv[0], "core-", 5))
        return tool_core(images, argc, argv);
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
