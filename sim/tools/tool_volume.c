// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/tools/tool_volume.c -- vmfs-tool's commands on a volume as a whole: label, dump, grow, df, fsck.
 *
 * Locking    none: one thread.
 */
#include <stdio.h>
#include <string.h>

#include "fs/vmfs/vmfs.h"
#include "fs/vmfs/vmfs_format.h"
#include "sim/model/disk.h"
#include "sim/tools/tool.h"

int tool_label(struct tool_volume *vol, int argc, char **argv)
{
    vmk_status status = argc > 1 ? vmfs_label_set(vol->v, argv[1]) : VMK_BAD_PARAM;

    return status == VMK_OK ? 0 : tool_fail("label", status);
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

int tool_dump(struct tool_volume *vol, int argc, char **argv)
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
        return tool_fail(argv[0], status);
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
    return status == VMK_OK ? 0 : tool_fail(argv[0], status);
}

int tool_grow(struct tool_volume *vol, int argc, char **argv)
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
    return status == VMK_OK ? 0 : tool_fail("grow", status);
}

int tool_df(struct tool_volume *vol, int argc, char **argv)
{
    struct vmfs_statistics s;
    char uuid[VMFS_UUID_TEXT];
    vmk_status status = vmfs_statistics(vol->v, &s);

    (void)argc;
    if (status != VMK_OK)
        return tool_fail(argv[0], status);
    vmfs_uuid_text(&s.uuid, uuid);
    printf("%-24s VMFS-%u.%u (%u extent%s) %s\n", s.label, s.version, s.minor, s.extents,
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

int tool_fsck(struct tool_volume *vol, int argc, char **argv)
{
    vmk_status status;
    unsigned problems = vmfs_check(vol->v, print_problem, NULL, &status);

    (void)argc;
    if (status != VMK_OK)
        return tool_fail(argv[0], status);
    printf("%u problem%s\n", problems, problems == 1 ? "" : "s");
    return problems ? 1 : 0;
}
