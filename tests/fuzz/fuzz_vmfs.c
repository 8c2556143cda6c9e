// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_vmfs.c -- a good volume with bytes changed: a clear error or a correct read.
 *
 * The input is a list of changes (6 bytes each: where in the metadata, what) to a volume of
 * VMFS-5, or, if its last byte is odd, of VMFS-3. The volume is then mounted, checked, listed,
 * read and written. Nothing may crash, hang or leave the volume.
 */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "fs/vmfs/vmfs.h"
#include "io/io.h"
#include "sim/model/disk.h"
#include "sim/platform/sim.h"
#include "tests/unit/vmfs3_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DISK_SIZE (300ull << 20)

static void check(vmk_status status)
{
    (void)status;
}

static struct disk_model *old_pattern(void)
{
    static struct disk_model *disk;

    if (!disk) {
        disk = disk_model_create("old", VMFS3_SIZE);
        if (!vmfs3_write(disk_model_device(disk), 21, true))
            abort();
    }
    return disk;
}

static struct disk_model *pattern(void)
{
    static struct disk_model *disk;
    const struct vmfs_format how = {.label = "fuzz", .seconds = 1, .random = {1, 2, 3, 4}};
    const struct vmfs_mount mount = {.private_volume = true};
    struct block_device *device;
    struct vmfs_volume *v;
    vmfs_id id;
    vmfs_id dir;

    if (disk)
        return disk;
    sim_test_begin();
    log_sinks_set(0);
    disk = disk_model_create("fuzz", DISK_SIZE);
    device = disk_model_device(disk);
    if (vmfs_format(&device, 1, &how) != VMK_OK || vmfs_mount(&device, 1, &mount, &v) != VMK_OK)
        abort();
    check(vmfs_create(v, vmfs_root(v), "d", VMFS_DIRECTORY, 0755, 0, 0, NULL, &dir));
    check(vmfs_create(v, dir, "small", VMFS_FILE, 0644, 0, 0, NULL, &id));
    check(vmfs_write(v, id, 0, "hello", 5));
    check(vmfs_create(v, dir, "big", VMFS_FILE, 0644, 0, 0, NULL, &id));
    check(vmfs_write(v, id, 300ull << 30, "far", 3));
    check(vmfs_create(v, vmfs_root(v), "link", VMFS_SYMLINK, 0777, 0, 0, "d/small", &id));
    if (vmfs_unmount(v) != VMK_OK)
        abort();
    return disk;
}

static void walk(struct vmfs_volume *v, vmfs_id dir, unsigned depth)
{
    struct vmfs_entry entry;

    for (uint64_t i = 0; i < 40 && vmfs_entry(v, dir, i, &entry) == VMK_OK; i++) {
        struct vmfs_attributes a;
        static char buffer[20000];
        size_t got;

        if (vmfs_attributes(v, entry.id, &a) != VMK_OK)
            continue;
        if (vmfs_read(v, entry.id, a.length > 5 ? a.length - 5 : 0, buffer, sizeof(buffer),
                      &got) == VMK_OK &&
            got > sizeof(buffer))
            abort();
        if (a.type == VMFS_DIRECTORY && depth < 3 && entry.name[0] != '.')
            walk(v, entry.id, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool old = size && data[size - 1] & 1;
    struct disk_model *disk = disk_model_clone(old && pattern() ? old_pattern() : pattern());
    struct block_device *device = disk_model_device(disk);
    const struct vmfs_mount mount = {.private_volume = true};
    struct vmfs_volume *v;

    disk_model_durable(disk);

    for (; size >= 6; data += 6, size -= 6) {
        /* Metadata lies in the first 40 MiB. */
        uint64_t at =
            ((uint64_t)data[0] << 18 | (uint64_t)data[1] << 10 | (uint64_t)data[2] << 2) %
            (40u << 20);
        uint8_t sector[512];

        if (data[0] & 1)
            at = 0x1100000 + 0x400000 + ((uint64_t)data[1] << 12 | (uint64_t)data[2] << 4);
        if (block_read(device, at & ~511ull, sector, sizeof(sector)) != VMK_OK)
            continue;
        for (unsigned i = 0; i < 3; i++)
            sector[(at + i) % 512] = data[3 + i];
        check(block_write(device, at & ~511ull, sector, sizeof(sector)));
    }
    if (vmfs_mount(&device, 1, &mount, &v) == VMK_OK) {
        vmk_status status;
        vmfs_id id;

        check((vmk_status)vmfs_check(v, NULL, NULL, &status));
        walk(v, vmfs_root(v), 0);
        check(vmfs_create(v, vmfs_root(v), "new", VMFS_FILE, 0644, 0, 0, NULL, &id));
        check(vmfs_write(v, id, 0, "some bytes", 10));
        check(vmfs_walk(v, "/d/big", &id));
        check(vmfs_truncate(v, id, 1));
        check(vmfs_remove(v, vmfs_root(v), "link", false));
        check(vmfs_unmount(v));
    }
    disk_model_destroy(disk);
    return 0;
}
