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

/* ---- one volume on one disk ---- */

static inline const char *name_of(unsigned i)
{
    static char name[16];

    snprintf(name, sizeof(name), "file%u", i);
    return name;
}

/* A fresh disk, mounted by host 1. */
static inline struct vmfs_volume *open_fresh(struct disk_model **disk, bool private)
{
    sim_test_begin();
    *disk = fresh_disk();
    return mount_as(disk_model_device(*disk), 1, private);
}

static inline void close_last(struct disk_model *disk, struct vmfs_volume *v)
{
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    disk_model_destroy(disk);
}

/* Dies, and comes back on what the disk has in the order written. */
static inline struct vmfs_volume *crash(struct disk_model *disk, struct vmfs_volume *v,
                                        bool private)
{
    vmfs_abandon(v);
    disk_model_power_on(disk, 0);
    return mount_as(disk_model_device(disk), 1, private);
}

static inline vmfs_id make(struct vmfs_volume *v, unsigned i, enum vmfs_type type, int byte)
{
    static unsigned char data[5000];
    vmfs_id id;

    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), name_of(i), type, 0700, 0, 0, NULL, &id),
                      VMK_OK);
    memset(data, byte, sizeof(data));
    if (type == VMFS_FILE)
        ck_assert_uint_eq(vmfs_write(v, id, 0, data, sizeof(data)), VMK_OK);
    return id;
}

static inline void expect_bytes(struct vmfs_volume *v, vmfs_id id, int byte)
{
    unsigned char data[5000];
    size_t got;

    ck_assert_uint_eq(vmfs_read(v, id, 0, data, sizeof(data), &got), VMK_OK);
    ck_assert_uint_eq(got, sizeof(data));
    for (size_t i = 0; i < got; i++)
        ck_assert_int_eq(data[i], byte);
}

/* Bytes [from, to) of the file are `byte`. */
static inline void expect_range(struct vmfs_volume *v, vmfs_id id, uint64_t from, uint64_t to,
                                int byte)
{
    static unsigned char data[1 << 20];

    while (from < to) {
        size_t got = 0;

        ck_assert_uint_eq(
            vmfs_read(v, id, from, data, (size_t)MIN(to - from, sizeof(data)), &got), VMK_OK);
        ck_assert_uint_gt(got, 0);
        for (size_t i = 0; i < got; i++) {
            if (data[i] != byte)
                ck_abort_msg("byte %llu is 0x%02x", (unsigned long long)(from + i), data[i]);
        }
        from += got;
    }
}
