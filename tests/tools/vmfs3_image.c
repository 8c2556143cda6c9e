// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/tools/vmfs3_image.c -- an image file with a volume as VMFS-3 makes it, for vmfs3.sh.
 *
 * usage: vmfs3-image FILE SHIFT old|upgraded   (SHIFT: 20 to 23, of the file blocks' size)
 *        vmfs3-image content ITEM OFFSET SIZE  the bytes that a file of it holds, to standard
 *                                              output
 *
 * Locking    none: one thread.
 */
#include <stdio.h>

#include "sim/model/disk.h"
#include "sim/platform/sim.h"
#include "tests/unit/vmfs3_image.h"

static int content(char **argv)
{
    unsigned item = (unsigned)strtoul(argv[2], NULL, 0);
    uint64_t offset = strtoull(argv[3], NULL, 0);
    uint64_t end = offset + strtoull(argv[4], NULL, 0);

    while (offset < end)
        putchar(vmfs3_byte(item, offset++));
    return 0;
}

int main(int argc, char **argv)
{
    const struct sim_options options = {.seed = 1, .command = "vmfs3-image"};
    struct block_device *device;

    if (argc == 5 && !strcmp(argv[1], "content"))
        return content(argv);
    if (argc != 4) {
        fputs("usage: vmfs3-image FILE SHIFT old|upgraded\n", stderr);
        return 2;
    }
    sim_options_set(&options);
    sim_test_begin();
    device = disk_file_open(argv[1], VMFS3_SIZE, false);
    if (!device || !vmfs3_write(device, (unsigned)strtoul(argv[2], NULL, 0),
                                !strcmp(argv[3], "upgraded"))) {
        fprintf(stderr, "vmfs3-image: %s: cannot write it\n", argv[1]);
        return 3;
    }
    return 0;
}
