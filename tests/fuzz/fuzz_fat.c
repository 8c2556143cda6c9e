// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_fat.c -- a good FAT with bytes changed: a clear error or a correct read.
 *
 * The first byte chooses FAT12, 16 or 32; the rest is a list of changes (4 bytes each: which
 * part, where, what) to boot sector, tables, root and a directory. The volume is then mounted,
 * walked, read, written and unmounted. Nothing may crash, hang or leave the volume, and no
 * memory may be left.
 */
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "core/heap.h"
#include "core/log.h"
#include "fs/fat/fat.h"
#include "lib/endian.h"
#include "sim/model/disk.h"
#include "sim/platform/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition)
        abort();
}

static int64_t now(void)
{
    return 1700000000000000000;
}

static struct disk_model *pattern(unsigned kind)
{
    static struct disk_model *disks[3];
    static const struct {
        unsigned bits;
        uint64_t size;
    } kinds[] = {{12, 256 << 10}, {16, 5 << 20}, {32, 36 << 20}};
    const struct fat_format how = {.label = "FUZZ", .bits = kinds[kind].bits};
    static char data[9000];
    struct fat_volume *v;
    struct fat_node *root;
    struct fat_node *dir;
    struct fat_node *n;

    if (disks[kind])
        return disks[kind];
    disks[kind] = disk_model_create("fuzz", kinds[kind].size);
    check(fat_format(disk_model_device(disks[kind]), &how) == VMK_OK);
    check(fat_mount(disk_model_device(disks[kind]), false, now, &v) == VMK_OK);
    root = fat_root(v);
    check(fat_create(root, "a directory", 11, true, &dir) == VMK_OK);
    check(fat_create(dir, "a file with a long name", 23, false, &n) == VMK_OK);
    check(fat_write(n, 0, data, sizeof(data)) == VMK_OK);
    fat_node_put(n);
    check(fat_create(dir, "SHORT", 5, false, &n) == VMK_OK);
    check(fat_write(n, 0, data, 3000) == VMK_OK);
    fat_node_put(n);
    fat_node_put(dir);
    fat_node_put(root);
    check(fat_unmount(v) == VMK_OK);
    return disks[kind];
}

static void walk(struct fat_node *dir, unsigned depth)
{
    static char buffer[20000];
    uint64_t at = 0;

    for (unsigned i = 0; i < 30; i++) {
        struct fat_entry *e = malloc(sizeof(*e));
        struct fat_node *n;
        struct fat_attr a;
        size_t done;

        if (fat_entry(dir, &at, e) != VMK_OK ||
            fat_lookup(dir, e->name, strlen(e->name), &n) != VMK_OK) {
            free(e);
            break;
        }
        fat_attr_get(n, &a);
        if (fat_read(n, a.size > 7000 ? a.size - 7000 : 0, buffer, sizeof(buffer), &done) ==
            VMK_OK)
            check(done <= sizeof(buffer));
        if (a.directory && depth < 3) {
            struct fat_node *up;

            walk(n, depth + 1);
            if (fat_parent(n, &up) == VMK_OK)
                fat_node_put(up);
        }
        fat_node_put(n);
        free(e);
    }
}

static void change(struct fat_volume *v)
{
    struct fat_node *root = fat_root(v);
    struct fat_node *dir;
    struct fat_node *n;

    if (fat_walk(v, "a directory", &dir) != VMK_OK) {
        dir = root;
        fat_node_ref(dir);
    }
    if (fat_create(dir, "something new with a name", 25, false, &n) == VMK_OK) {
        (void)!fat_write(n, 5000, "data", 4);
        (void)!fat_truncate(n, 100);
        fat_node_put(n);
    }
    if (fat_lookup(dir, "SHORT", 5, &n) == VMK_OK) {
        (void)!fat_write(n, 2900, "more and more", 13);
        (void)!fat_truncate(n, 600);
        fat_node_put(n);
    }
    (void)!fat_rename(dir, "SHORT", 5, root, "a file in the root now", 22);
    (void)!fat_remove(dir, "a file with a long name", 23);
    if (fat_create(root, "another", 7, true, &n) == VMK_OK)
        fat_node_put(n);
    fat_node_put(dir);
    fat_node_put(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_up;
    struct disk_model *disk;
    struct block_device *device;
    struct fat_volume *v;
    uint8_t boot[512];
    uint64_t parts[4];
    uint64_t heap;
    unsigned kind;

    if (!is_up) {
        sim_test_begin();
        log_sinks_set(0);
    }
    is_up = true;
    if (size < 1)
        return 0;
    kind = data[0] % 3;
    disk = disk_model_clone(pattern(kind));
    device = disk_model_device(disk);
    heap = heap_owned(MEM_OWNER_FS);
    check(block_read(device, 0, boot, sizeof(boot)) == VMK_OK);
    parts[0] = 0;
    parts[1] = le16(boot + 14) * 512ull;
    parts[2] = parts[1] + 2ull * (le16(boot + 22) ? le16(boot + 22) : le32(boot + 36)) * 512;
    parts[3] = parts[2] + (kind == 2 ? boot[13] * 512ull : 512 * 32);
    for (size_t i = 1; i + 4 <= size; i += 4) {
        uint64_t at = parts[data[i] & 3] + ((uint64_t)(data[i] >> 2) << 8 | data[i + 1]) % 4096;
        uint8_t sector[512];

        check(block_read(device, at & ~511ull, sector, 512) == VMK_OK);
        sector[at & 511] = data[i + 2];
        sector[(at + 1) & 511] = data[i + 3];
        check(block_write(device, at & ~511ull, sector, 512) == VMK_OK);
    }
    if (fat_mount(device, false, now, &v) == VMK_OK) {
        struct fat_statistics s;
        struct fat_node *root = fat_root(v);

        (void)!fat_statistics(v, &s);
        walk(root, 0);
        fat_node_put(root);
        change(v);
        (void)!fat_sync(v);
        (void)!fat_unmount(v);
    }
    check(heap_owned(MEM_OWNER_FS) == heap);
    disk_model_destroy(disk);
    return 0;
}
