// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_tardisk.c -- any bytes as a tardisk: refused or merged, and nothing left behind.
 *
 * The first byte chooses: the rest as it is (gzip or plain), or as ustar whose checksums are
 * made right first, so that the fuzzer gets behind them.
 */
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "core/log.h"
#include "fs/visorfs/tar.h"
#include "fs/visorfs/visorfs_internal.h"
#include "mem/page.h"
#include "sim/platform/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition)
        abort();
}

static void up(void)
{
    sim_test_begin();
    log_sinks_set(0);
    vfs_init();
    check(visorfs_type_register() == VMK_OK);
    check(vfs_mount(NULL, "visorfs", "root", "/", 0, "size=50%") == VMK_OK);
}

static void fix_checksums(uint8_t *archive, size_t size)
{
    static const char digits[] = "01234567";

    for (size_t at = 0; at + TAR_BLOCK <= size; at += TAR_BLOCK) {
        uint8_t *h = archive + at;
        unsigned sum = 0;

        if (memcmp(h + 257, "ustar", 5) != 0)
            continue;
        memset(h + 148, ' ', 8);
        for (unsigned i = 0; i < TAR_BLOCK; i++)
            sum += h[i];
        for (unsigned i = 6; i--; sum /= 8)
            h[148 + i] = (uint8_t)digits[sum % 8];
        h[154] = 0;
    }
}

/* What was merged goes again, so each input begins with an empty root. */
static void forget(struct visorfs *root)
{
    visor_clear(visor_of(root->mount->root));
    while (!list_is_empty(&fs_state()->tardisks)) {
        struct visor_tardisk *t =
            list_entry(fs_state()->tardisks.next, struct visor_tardisk, link);

        list_remove(&t->link);
        heap_free(t);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_up;
    static uint64_t heap;
    struct visorfs *root;
    uint8_t *copy;

    if (!is_up)
        up();
    root = fs_state()->root->private;
    if (!is_up)
        heap = heap_owned(MEM_OWNER_FS);
    is_up = true;
    if (size < 1)
        return 0;
    copy = malloc(size);
    memcpy(copy, data + 1, size - 1);
    if (data[0] & 1)
        fix_checksums(copy, size - 1);
    (void)!visorfs_tardisk_load("fuzz", copy, size - 1);
    free(copy);
    forget(root);
    check(root->inodes_used == 1 && root->tardisk_pages == 0 && root->pages_used == 0);
    if (heap_owned(MEM_OWNER_FS) != heap) {  // the root directory's table may have grown once
        struct visor_inode *dir = visor_of(root->mount->root);

        heap_free(dir->dir.buckets);
        dir->dir.buckets = NULL;
        dir->dir.bucket_count = 0;
        check(heap_owned(MEM_OWNER_FS) == heap);
    }
    return 0;
}
