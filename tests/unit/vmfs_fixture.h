// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/vmfs_fixture.h -- volumes on the modelled disk for tests: format, mount, judge, let time pass.
 */
#pragma once

#include <stdio.h>

#include "fs/vmfs/vmfs.h"
#include "fs/vmfs/vmfs_format.h"
#include "sim/model/disk.h"
#include "tests/unit/kernel_test.h"

#define DISK_SIZE (300ull << 20)

static inline struct vmfs_uuid host_uuid(unsigned n)
{
    return vmfs_uuid_make(1000 + n, 77 * n, 99 * n + 1);
}

static inline uint64_t fixed_seconds(void)
{
    return 1700000000;
}

/* What a mount does that has to wait for other hosts. */
static void (*vmfs_wait)(void);

static inline struct vmfs_volume *mount_as(struct block_device *device, unsigned host,
                                           bool private)
{
    const struct vmfs_mount how = {.host = host_uuid(host),
                                   .host_text = "10.0.0.1",
                                   .private_volume = private,
                                   .seconds = fixed_seconds,
                                   .wait = vmfs_wait};
    struct vmfs_volume *v = NULL;
    vmk_status status = vmfs_mount(&device, 1, &how, &v);

    ck_assert_msg(status == VMK_OK, "mount: %s", vmk_status_text(status));
    return v;
}

static inline void format(struct block_device *device)
{
    const struct vmfs_format how = {
        .label = "test", .seconds = 1700000000, .random = {1, 2, 3, 4}, .host = host_uuid(9)};

    ck_assert_uint_eq(vmfs_format(&device, 1, &how), VMK_OK);
}

/* A formatted disk; the formatting is done once per process. */
static inline struct disk_model *fresh_disk(void)
{
    static struct disk_model *pattern;

    if (!pattern) {
        pattern = disk_model_create("disk", DISK_SIZE);
        format(disk_model_device(pattern));
    }
    return disk_model_clone(pattern);
}

static inline void print_line(void *argument, const char *line)
{
    (void)argument;
    printf("  %s\n", line);
}

static inline unsigned problems(struct vmfs_volume *v)
{
    vmk_status status;
    unsigned count = vmfs_check(v, print_line, NULL, &status);

    ck_assert_uint_eq(status, VMK_OK);
    return count;
}

static inline void pass(void *argument)
{
    plat_ns *end = argument;

    sim_work(*end);
}

static inline void time_passes(plat_ns duration)
{
    sim_test_run(pass, &duration);
}
