// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmfs_names.c -- large directories: names are found by count of work, and as they are on disk.
 *
 * Work is counted in look-ups of sectors. Two hosts change one directory in turn, so that what
 * one has in memory of it is old.
 *
 * Invariants
 *   - Virtual time stands still unless a test moves it.
 * Locking    none.
 */
#include <stdio.h>
#include <string.h>

#include "fs/vmfs/vmfs.h"
#include "lib/rng.h"
#include "sim/model/disk.h"
#include "tests/unit/vmfs_fixture.h"

#define NAMES 1200u

static const char *nth(unsigned i)
{
    static char name[32];

    snprintf(name, sizeof(name), "a-name-%u", i);
    return name;
}

static vmfs_id find_id(struct vmfs_volume *v, const char *name, vmk_status wanted)
{
    vmfs_id id = {0, 0};

    ck_assert_msg(vmfs_lookup(v, vmfs_root(v), name, strlen(name), &id) == wanted, "%s", name);
    return id;
}

static uint64_t work(struct vmfs_volume *v)
{
    struct vmfs_statistics s;

    ck_assert_uint_eq(vmfs_statistics(v, &s), VMK_OK);
    return s.cache_hits + s.cache_misses;
}

static void link_names(struct vmfs_volume *v, vmfs_id file, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        ck_assert_uint_eq(vmfs_link(v, file, vmfs_root(v), nth(i)), VMK_OK);
}

START_TEST(test_vmfs_names__many_names__each_costs_the_same)
{
    struct disk_model *disk;
    struct vmfs_volume *v = open_fresh(&disk, _i == 0);
    vmfs_id file = make(v, 0, VMFS_FILE, 1);
    uint64_t first;
    uint64_t last;

    link_names(v, file, 0, 200);
    first = work(v);
    link_names(v, file, 200, 700);
    first = work(v) - first;
    link_names(v, file, 700, 4000);
    last = work(v);
    link_names(v, file, 4000, 4500);
    last = work(v) - last;
    ck_assert_msg(last < 2 * first, "500 names: %llu among few, %llu among many",
                  (unsigned long long)first, (unsigned long long)last);
    last = work(v);
    for (unsigned i = 0; i < 500; i++)
        (void)find_id(v, nth(i * 9), VMK_OK);
    ck_assert_uint_lt(work(v) - last, 500 * 20);
    ck_assert_uint_eq(problems(v), 0);
    close_last(disk, v);
}
END_TEST

/* Random changes beside a list of what must be there; operations that fail change nothing. */
START_TEST(test_vmfs_names__random_changes__found_as_the_list_says)
{
    struct disk_model *disk;
    struct vmfs_volume *v = open_fresh(&disk, _i % 2);
    vmfs_id file = make(v, 0, VMFS_FILE, 1);
    static bool there[NAMES];
    struct rng rng;

    rng_init(&rng, (uint64_t)_i, "names", 0);
    memset(there, 0, sizeof(there));
    for (unsigned i = 0; i < 8000; i++) {
        unsigned a = (unsigned)rng_below(&rng, NAMES);
        unsigned b = (unsigned)rng_below(&rng, NAMES);
        char name[32];

        strcpy(name, nth(a));
        switch (rng_below(&rng, 8)) {
        case 0:
        case 1:
        case 2:
            ck_assert_uint_eq(vmfs_link(v, file, vmfs_root(v), name),
                              there[a] ? VMK_EXISTS : VMK_OK);
            there[a] = true;
            break;
        case 3:
            ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), name, false),
                              there[a] ? VMK_OK : VMK_NOT_FOUND);
            there[a] = false;
            break;
        case 4:
            ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), name, true),
                              there[a] ? VMK_NOT_DIR : VMK_NOT_FOUND);
            break;
        case 5:
            /* Names of one file: neither goes. */
            ck_assert_uint_eq(vmfs_rename(v, vmfs_root(v), name, vmfs_root(v), nth(b)),
                              there[a] ? VMK_OK : VMK_NOT_FOUND);
            if (there[a] && !there[b]) {
                there[a] = false;
                there[b] = true;
            }
            break;
        case 6:
            if (rng_below(&rng, 50) == 0)
                ck_assert_uint_eq(vmfs_tick(v), VMK_OK);
            break;
        default: (void)find_id(v, name, there[a] ? VMK_OK : VMK_NOT_FOUND); break;
        }
    }
    for (unsigned i = 0; i < NAMES; i++)
        (void)find_id(v, nth(i), there[i] ? VMK_OK : VMK_NOT_FOUND);
    ck_assert_uint_eq(problems(v), 0);
    close_last(disk, v);
}
END_TEST

START_TEST(test_vmfs_names__changed_by_another_host__found_as_on_disk)
{
    struct disk_model *disk;
    struct vmfs_volume *one = open_fresh(&disk, false);
    struct vmfs_volume *two = mount_as(disk_model_device(disk), 2, false);
    vmfs_id file = make(one, 0, VMFS_FILE, 1);

    link_names(one, file, 0, 300);
    for (unsigned round = 0; round < 5; round++) {
        ck_assert_uint_eq(vmfs_tick(one), VMK_OK);
        /* The other host takes one away, so another takes its place, and adds one. */
        ck_assert_uint_eq(vmfs_remove(two, vmfs_root(two), nth(round * 7), false), VMK_OK);
        ck_assert_uint_eq(vmfs_link(two, file, vmfs_root(two), nth(1000 + round)), VMK_OK);
        ck_assert_uint_eq(vmfs_tick(two), VMK_OK);

        (void)find_id(one, nth(round * 7), VMK_NOT_FOUND);
        (void)find_id(one, nth(1000 + round), VMK_OK);
        (void)find_id(one, nth(299 - round), VMK_OK);
        ck_assert_uint_eq(vmfs_link(one, file, vmfs_root(one), nth(1000 + round)), VMK_EXISTS);
        ck_assert_uint_eq(vmfs_link(one, file, vmfs_root(one), nth(2000 + round)), VMK_OK);
        ck_assert_uint_eq(vmfs_tick(one), VMK_OK);
        (void)find_id(two, nth(2000 + round), VMK_OK);
        (void)find_id(two, nth(round * 7), VMK_NOT_FOUND);
    }
    ck_assert_uint_eq(problems(one), 0);
    ck_assert_uint_eq(vmfs_unmount(two), VMK_OK);
    close_last(disk, one);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vmfs_names");
    TCase *tcase = tcase_create("vmfs_names");

    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, test_vmfs_names__many_names__each_costs_the_same, 0, 2);
    tcase_add_loop_test(tcase, test_vmfs_names__random_changes__found_as_the_list_says, 0, 4);
    tcase_add_test(tcase, test_vmfs_names__changed_by_another_host__found_as_on_disk);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
