// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_user_swap.c -- pages of processes go to a disk that fails in every way, and come back.
 *
 * Address spaces, the swap world and the store are the real ones, the disk is the model with
 * its faults. A checker knows what each page must hold: a page may be refused, but never be
 * wrong.
 */
#include "user/user_swap.h"

#include <check.h>
#include <string.h>

#include "io/storage.h"
#include "lib/rng.h"
#include "mem/memsched.h"
#include "sim/model/disk.h"
#include "tests/unit/kernel_test.h"
#include "tests/unit/user_fixture.h"

#define PAGES     512u
#define BASE      0x10000000ull
#define DISK_SIZE (16u << 20)
#define ROOM      200u  // pages that may be in memory, more or less

static struct disk_model *disk;
static char place[112];

static void up(void *unused)
{
    const struct storage_inquiry inquiry = {.vendor = "Orrery", .model = "Swap"};
    struct storage_adapter *adapter;
    struct storage_device_info info;

    user_fixture_up(unused);
    disk = disk_model_create("swap", DISK_SIZE);
    disk_model_latency(disk, 50000, 1000, 4);
    ck_assert_int_eq(storage_adapter_add("model", "nowhere", "a disk", &adapter), VMK_OK);
    ck_assert_int_eq(storage_device_add(adapter, 0, 0, 0, disk_model_device(disk), &inquiry),
                     VMK_OK);
    ck_assert(storage_device_get(0, &info));
    snprintf(place, sizeof(place), "host:%s", info.name);
    ck_assert_int_eq(user_swap_set(place), VMK_OK);
}

static void content(unsigned page, uint64_t version, uint64_t *words)
{
    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        words[i] = version * 0x9e3779b97f4a7c15ull + page * 512ull + i;
}

static vmk_status page_write(struct aspace *as, unsigned page, uint64_t version)
{
    uint64_t words[PAGE_SIZE / 8];

    content(page, version, words);
    return aspace_copy_out(as, BASE + page * PAGE_SIZE, words, sizeof(words));
}

/* OK: and it is right. */
static vmk_status page_check(struct aspace *as, unsigned page, uint64_t version)
{
    uint64_t is[PAGE_SIZE / 8], wanted[PAGE_SIZE / 8];
    vmk_status status = aspace_copy_in(as, is, BASE + page * PAGE_SIZE, sizeof(is));

    content(page, version, wanted);
    if (status == VMK_OK)
        ck_assert_msg(memcmp(is, wanted, sizeof(is)) == 0, "page %u is wrong", page);
    return status;
}

static struct user_swap_summary summary(void)
{
    struct user_swap_summary s;

    user_swap_get(&s);
    return s;
}

/* User worlds may have so many pages more than now. */
static void room(uint64_t pages)
{
    user_state()->host_pages = page_owned_count(MEM_OWNER_USER) + pages;
}

static void fill(struct thread *t)
{
    user_fixture_begin(t);
    user_fixture_map(t, BASE, PAGES * PAGE_SIZE, ASPACE_READ | ASPACE_WRITE);
    room(ROOM);
    mm_limits_apply(t->process);
    for (unsigned i = 0; i < PAGES; i++)
        ck_assert_int_eq(page_write(t->as, i, 1), VMK_OK);
    ck_assert_uint_gt(summary().used, PAGES - ROOM);
}

static void all_are_right(struct aspace *as)
{
    for (unsigned i = 0; i < PAGES; i++)
        ck_assert_int_eq(page_check(as, i, 1), VMK_OK);
}

/*
 * After every process has ended nothing is in the store, and the memory of the file is given
 * back.
 */
static void finish(void (*body)(void *))
{
    uint64_t pages;

    room(1u << 20);
    user_fixture_join(user_fixture_start(body)->process->pid);
    pages = page_owned_count(MEM_OWNER_USER);
    ck_assert_uint_le(pages, USER_FIXTURE_BUFFERS + 16);
    ck_assert_uint_eq(summary().used, 0);
    user_swap_stop();
    disk_model_destroy(disk);
}

static void goes_and_comes(void *argument)
{
    struct thread *t = argument;
    struct user_mm *child;

    fill(t);
    all_are_right(t->as);
    ck_assert_uint_gt(summary().in, 100);
    ck_assert_uint_eq(summary().errors, 0);
    ck_assert_uint_gt(summary().wait_ns, 0);
    // A child has the same, also what is out; each its own after a write. Its memory is no
    // process's, so it stays.
    user_state()->host_pages += PAGES;
    mm_limits_apply(t->process);
    ck_assert_int_eq(mm_fork(t->process->mm, &child), VMK_OK);
    for (unsigned i = 0; i < PAGES; i += 3)
        ck_assert_int_eq(page_write(child->as, i, 2), VMK_OK);
    all_are_right(t->as);
    for (unsigned i = 0; i < PAGES; i++)
        ck_assert_int_eq(page_check(child->as, i, i % 3 ? 1 : 2), VMK_OK);
    mm_put(child);
    all_are_right(t->as);
    user_fixture_exit(t);
}

static void reads_fail(void *argument)
{
    struct thread *t = argument;
    unsigned lost = 0;

    fill(t);
    disk_model_fail(disk, 0, DISK_SIZE, 30);
    for (unsigned i = 0; i < PAGES; i++) {
        vmk_status status = page_check(t->as, i, 1);

        lost += status == VMK_IO_ERROR;
        ck_assert(status == VMK_OK || status == VMK_IO_ERROR);
    }
    ck_assert_uint_gt(lost, 0);
    all_are_right(t->as);  // the disk is well again, and nothing was given up
    user_fixture_exit(t);
}

static void disk_rots(void *argument)
{
    struct thread *t = argument;
    unsigned lost = 0;

    fill(t);
    for (unsigned slot = 0; slot < PAGES; slot += 2)
        disk_model_rot(disk, slot * PAGE_SIZE + 77, 3);
    for (unsigned i = 0; i < PAGES; i++) {
        vmk_status status = page_check(t->as, i, 1);

        lost += status == VMK_CORRUPT;
        ck_assert(status == VMK_OK || status == VMK_CORRUPT);
    }
    ck_assert_uint_gt(lost, 10);
    user_fixture_exit(t);
}

static void writes_fail(void *argument)
{
    struct thread *t = argument;
    unsigned there = 0;

    user_fixture_begin(t);
    user_fixture_map(t, BASE, PAGES * PAGE_SIZE, ASPACE_READ | ASPACE_WRITE);
    room(ROOM);
    mm_limits_apply(t->process);
    disk_model_fail(disk, 0, DISK_SIZE, 1000000);
    while (there < PAGES && page_write(t->as, there, 1) == VMK_OK)
        there++;
    ck_assert_uint_ge(there, ROOM - 20);  // and then there was no memory
    ck_assert_uint_lt(there, ROOM + 1);
    ck_assert_uint_gt(summary().errors, 0);
    ck_assert_uint_eq(summary().used, 0);
    disk_model_fail(disk, 0, DISK_SIZE, 0);
    for (unsigned i = 0; i < there; i++)
        ck_assert_int_eq(page_check(t->as, i, 1), VMK_OK);
    user_fixture_exit(t);
}

static void place_changes(void *argument)
{
    struct thread *t = argument;

    fill(t);
    ck_assert_int_eq(user_swap_set("off"), VMK_BUSY);  // no room for what is out
    ck_assert(summary().enabled);
    all_are_right(t->as);
    room(2u * PAGES);
    mm_limits_apply(t->process);
    ck_assert_int_eq(user_swap_set("off"), VMK_OK);
    ck_assert(!summary().enabled);
    ck_assert(!summary().is_open);
    ck_assert_uint_eq(summary().used, 0);
    all_are_right(t->as);
    ck_assert_int_eq(user_swap_set("nonsense"), VMK_BAD_PARAM);
    ck_assert_int_eq(user_swap_set("datastore:"), VMK_BAD_PARAM);
    ck_assert_int_eq(user_swap_set("datastore:../x"), VMK_BAD_PARAM);
    ck_assert_int_eq(user_swap_set(place), VMK_OK);
    user_fixture_exit(t);
}

/* Switched off while pages still have to go: a world that never waits stops the clock. */
static void off_under_pressure(void *argument)
{
    struct thread *t = argument;

    fill(t);
    room(2u * PAGES);
    mm_limits_apply(t->process);
    ck_assert_int_eq(user_swap_set("off"), VMK_OK);
    user_fixture_sleep_ms(10);
    all_are_right(t->as);
    user_fixture_exit(t);
}

/*
 * The rest of the host's memory is somebody else's: what is free never falls below the floor.
 */
static void at_the_floor(void *argument)
{
    const uint64_t floor = memsched_min_free(page_total_count()) * 16 / 100;
    struct thread *t = argument;
    uint64_t taken = 0, least = UINT64_MAX;
    mpn_t first = {0}, mpn;

    user_fixture_begin(t);
    user_fixture_map(t, BASE, PAGES * PAGE_SIZE, ASPACE_READ | ASPACE_WRITE);
    while (page_free_count() > floor + ROOM) {
        ck_assert_int_eq(page_alloc(0, MEM_OWNER_TEST, &mpn), VMK_OK);
        *(uint64_t *)mpn_map(mpn) = first.raw;
        first = mpn;
        taken++;
    }
    for (unsigned i = 0; i < PAGES; i++) {
        ck_assert_int_eq(page_write(t->as, i, 1), VMK_OK);
        least = MIN(least, page_free_count());
    }
    all_are_right(t->as);
    ck_assert_uint_ge(least, floor);
    ck_assert_uint_gt(summary().out, PAGES - ROOM);
    while (taken--) {
        mpn = first;
        first.raw = *(uint64_t *)mpn_map(mpn);
        page_free(mpn, 0, MEM_OWNER_TEST);
    }
    user_fixture_exit(t);
}

/* Four threads of one space read and write while its pages go. */
#define WRITERS 4u
#define TURNS   400u

static struct thread *shared;
static unsigned writers_done;

static void writer(void *argument)
{
    const unsigned self = (unsigned)(uintptr_t)argument;
    uint64_t versions[PAGES / WRITERS];
    struct rng rng;

    rng_init(&rng, 5, "writer", self);
    for (unsigned i = 0; i < PAGES / WRITERS; i++)
        versions[i] = 1;
    for (unsigned turn = 0; turn < TURNS; turn++) {
        unsigned i = (unsigned)rng_below(&rng, PAGES / WRITERS);

        if (rng_below(&rng, 2))
            ck_assert_int_eq(page_write(shared->as, i * WRITERS + self, ++versions[i]), VMK_OK);
        else
            ck_assert_int_eq(page_check(shared->as, i * WRITERS + self, versions[i]), VMK_OK);
    }
    __atomic_fetch_add(&writers_done, 1, __ATOMIC_SEQ_CST);
    world_exit(0);
}

static void many_at_once(void *argument)
{
    struct thread *t = argument;
    world_id id;

    fill(t);
    shared = t;
    for (unsigned i = 0; i < WRITERS; i++) {
        const struct world_params params = {
            .name = "writer", .entry = writer, .argument = (void *)(uintptr_t)i};

        ck_assert_int_eq(world_create(&params, &id), VMK_OK);
    }
    while (__atomic_load_n(&writers_done, __ATOMIC_SEQ_CST) < WRITERS)
        user_fixture_sleep_ms(1);
    ck_assert_uint_gt(summary().in, TURNS);
    user_fixture_exit(t);
}

/* Until SIGKILL: the disk answers after an hour. */
static void disk_hangs(void *argument)
{
    struct thread *t = argument;
    vmk_status status = VMK_OK;

    fill(t);
    disk_model_latency(disk, 3600000000000ull, 0, 4);
    for (unsigned i = 0; i < PAGES && status == VMK_OK; i++)
        status = page_check(t->as, i, 1);
    ck_assert_int_eq(status, VMK_KILLED);
    user_fixture_exit(t);
}

static void (*const bodies[])(void *) = {goes_and_comes, reads_fail,    disk_rots,
                                         writes_fail,    place_changes, at_the_floor,
                                         many_at_once,   disk_hangs,    off_under_pressure};

static void one(void *argument)
{
    finish(bodies[(uintptr_t)argument]);
}

#define TEST(name, index)                                                                      \
    START_TEST(name)                                                                           \
    {                                                                                          \
        sim_test_begin();                                                                      \
        sim_test_run(up, NULL);                                                                \
        sim_test_run(one, (void *)(uintptr_t)(index));                                         \
    }                                                                                          \
    END_TEST

TEST(test_user_swap__more_than_fits__comes_back_and_leaves_nothing, 0)
TEST(test_user_swap__reads_that_fail__are_errors_and_never_wrong, 1)
TEST(test_user_swap__rotten_pages__are_errors_and_never_wrong, 2)
TEST(test_user_swap__writes_that_fail__end_in_no_memory_with_all_pages, 3)
TEST(test_user_swap__place__is_left_when_all_came_back, 4)
TEST(test_user_swap__host_at_its_floor__stays_above_it, 5)
TEST(test_user_swap__many_threads__see_their_own_bytes, 6)

TEST(test_user_swap__kill_while_the_disk_hangs__ends_the_process, 7)
TEST(test_user_swap__switched_off_under_pressure__waits, 8)

KERNEL_TEST_MAIN("user_swap",
                 RUNS(test_user_swap__more_than_fits__comes_back_and_leaves_nothing),
                 RUNS(test_user_swap__reads_that_fail__are_errors_and_never_wrong),
                 RUNS(test_user_swap__rotten_pages__are_errors_and_never_wrong),
                 RUNS(test_user_swap__writes_that_fail__end_in_no_memory_with_all_pages),
                 RUNS(test_user_swap__place__is_left_when_all_came_back),
                 RUNS(test_user_swap__host_at_its_floor__stays_above_it),
                 RUNS(test_user_swap__many_threads__see_their_own_bytes),
                 RUNS(test_user_swap__kill_while_the_disk_hangs__ends_the_process),
                 RUNS(test_user_swap__switched_off_under_pressure__waits))
