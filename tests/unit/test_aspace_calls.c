// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_aspace_calls.c -- an address space's rarer calls: locks, moves, cuts, what /proc shows, refusals.
 *
 * Random maps, unmaps and writes against a model are test_aspace.c's. Here each answer is
 * written out, and every allocation of a call is made to fail once.
 *
 * Invariants
 *   - done() finds every page and heap byte of user memory given back.
 * Locking    none: one world at a time.
 */
#include <string.h>

#include "mem/aspace.h"
#include "mem/page.h"
#include "tests/unit/kernel_test.h"

#define BASE 0x10000000ull
#define PAGE 4096ull
#define RW   (ASPACE_READ | ASPACE_WRITE)

static const struct aspace_limits no_limits = {
    .virtual_bytes = UINT64_MAX, .stack_bytes = 1 << 20, .host_pages = 0};

static struct aspace *fresh(void)
{
    struct aspace *as;

    sim_test_begin();
    ck_assert_int_eq(aspace_create(&no_limits, &as), VMK_OK);
    return as;
}

static void done(struct aspace *as)
{
    aspace_unref(as);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_USER), 0);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_USER), 0);
}

static void map_at(struct aspace *as, uint64_t at, unsigned pages, unsigned protection)
{
    const struct aspace_map map = {
        .address = at, .size = pages * PAGE, .protection = protection, .fixed = true};
    uint64_t address;

    ck_assert_int_eq(aspace_map(as, &map, &address), VMK_OK);
    ck_assert_uint_eq(address, at);
}

static struct aspace_use use_of(struct aspace *as)
{
    struct aspace_use use;

    aspace_use_get(as, &use);
    return use;
}

static unsigned regions_of(struct aspace *as)
{
    struct aspace_region_info info;
    unsigned count = 0;

    for (uint64_t at = 0; aspace_region_next(as, at, &info); at = info.end)
        count++;
    return count;
}

/* ---- locks ---- */

START_TEST(test_aspace_lock__part_of_a_region__counted_and_merged_again)
{
    struct aspace *as = fresh();

    map_at(as, BASE, 8, RW);
    ck_assert(!aspace_range_locked(as, BASE, 8 * PAGE));
    ck_assert_int_eq(aspace_lock(as, BASE + 2 * PAGE, 3 * PAGE, true), VMK_OK);
    ck_assert_uint_eq(use_of(as).locked_pages, 3);
    ck_assert_uint_eq(regions_of(as), 3);
    ck_assert(aspace_range_locked(as, BASE + 4 * PAGE, PAGE));
    ck_assert(!aspace_range_locked(as, BASE + 5 * PAGE, 3 * PAGE));
    ck_assert(!aspace_range_locked(as, BASE, 2 * PAGE));
    ck_assert_int_eq(aspace_lock(as, BASE, 8 * PAGE, false), VMK_OK);
    ck_assert_uint_eq(use_of(as).locked_pages, 0);
    ck_assert_uint_eq(regions_of(as), 1);
    done(as);
}
END_TEST

START_TEST(test_aspace_lock__hole_in_the_range__what_came_before_is_locked)
{
    struct aspace *as = fresh();

    map_at(as, BASE, 2, RW);
    map_at(as, BASE + 3 * PAGE, 2, RW);
    ck_assert_int_eq(aspace_lock(as, BASE, 5 * PAGE, true), VMK_NO_MEMORY);
    ck_assert(aspace_range_locked(as, BASE, 2 * PAGE));
    ck_assert(!aspace_range_locked(as, BASE + 3 * PAGE, 2 * PAGE));
    ck_assert_int_eq(aspace_lock(as, BASE + 1, PAGE, true), VMK_NO_MEMORY);
    ck_assert_int_eq(aspace_lock(as, 0, PAGE, true), VMK_NO_MEMORY);
    ck_assert_int_eq(aspace_lock(as, BASE, UINT64_MAX - PAGE + 1, true), VMK_NO_MEMORY);
    ck_assert_uint_eq(use_of(as).locked_pages, 2);
    done(as);
}
END_TEST

START_TEST(test_aspace_lock_all__now_and_future__each_by_itself)
{
    struct aspace *as = fresh();

    map_at(as, BASE, 2, RW);
    aspace_lock_all(as, false, true);
    ck_assert_uint_eq(use_of(as).locked_pages, 0);
    map_at(as, BASE + 16 * PAGE, 3, RW);
    ck_assert_uint_eq(use_of(as).locked_pages, 3);
    aspace_lock_all(as, true, false);
    ck_assert_uint_eq(use_of(as).locked_pages, 5);
    map_at(as, BASE + 32 * PAGE, 1, RW);
    ck_assert_uint_eq(use_of(as).locked_pages, 5);
    aspace_lock_all(as, false, false);  // munlockall()
    ck_assert_uint_eq(use_of(as).locked_pages, 0);
    done(as);
}
END_TEST

/* ---- refusals ---- */

START_TEST(test_aspace__ranges_that_are_none__refused_and_nothing_changed)
{
    struct aspace *as = fresh();
    struct aspace_map map = {.address = BASE, .size = 0, .protection = RW, .fixed = true};
    uint64_t out = 1;

    map_at(as, BASE, 4, RW);
    ck_assert_int_eq(aspace_map(as, &map, &out), VMK_BAD_PARAM);
    map.size = UINT64_MAX;
    ck_assert_int_eq(aspace_map(as, &map, &out), VMK_NO_MEMORY);
    map.size = PAGE;
    map.address = BASE + 1;
    ck_assert_int_eq(aspace_map(as, &map, &out), VMK_BAD_PARAM);
    map.replace = true;
    ck_assert_int_eq(aspace_map(as, &map, &out), VMK_BAD_PARAM);
    map.address = ASPACE_END;
    ck_assert_int_eq(aspace_map(as, &map, &out), VMK_BAD_PARAM);
    ck_assert_int_eq(aspace_unmap(as, BASE + 1, PAGE), VMK_BAD_PARAM);
    ck_assert_int_eq(aspace_unmap(as, BASE, 0), VMK_BAD_PARAM);
    ck_assert_int_eq(aspace_unmap(as, BASE, UINT64_MAX), VMK_BAD_PARAM);
    ck_assert_int_eq(aspace_unmap(as, ASPACE_END, PAGE), VMK_BAD_PARAM);
    ck_assert_int_eq(aspace_unmap(as, 0, PAGE), VMK_OK);  // holes are no error
    ck_assert_int_eq(aspace_protect(as, BASE + 1, PAGE, RW), VMK_BAD_PARAM);
    ck_assert_int_eq(aspace_protect(as, BASE, 0, RW), VMK_OK);
    ck_assert_int_eq(aspace_protect(as, 0, PAGE, RW), VMK_NO_MEMORY);
    ck_assert_int_eq(aspace_discard(as, BASE + 1, PAGE), VMK_BAD_PARAM);
    ck_assert_int_eq(aspace_discard(as, BASE, UINT64_MAX), VMK_BAD_PARAM);
    ck_assert_uint_eq(use_of(as).virtual_pages, 4);
    ck_assert_uint_eq(regions_of(as), 1);
    done(as);
}
END_TEST

START_TEST(test_aspace_unmap__from_below_the_lowest_address__takes_the_rest)
{
    struct aspace *as = fresh();

    map_at(as, ASPACE_LOWEST, 4, RW);
    ck_assert_int_eq(aspace_unmap(as, 0, ASPACE_LOWEST + 2 * PAGE), VMK_OK);
    ck_assert_uint_eq(use_of(as).virtual_pages, 2);
    done(as);
}
END_TEST

START_TEST(test_aspace_remap__refusals__nothing_moved)
{
    struct aspace *as = fresh();
    const uint64_t inside = BASE + 2 * PAGE, odd = BASE + 64 * PAGE + 1;
    uint64_t out = 0, word = 77;

    map_at(as, BASE, 4, RW);
    map_at(as, BASE + 4 * PAGE, 1, ASPACE_READ);
    ck_assert_int_eq(aspace_copy_out(as, BASE, &word, 8), VMK_OK);
    ck_assert_int_eq(aspace_remap(as, BASE + 1, PAGE, PAGE, true, NULL, &out), VMK_BAD_PARAM);
    ck_assert_int_eq(aspace_remap(as, BASE, PAGE, 0, true, NULL, &out), VMK_BAD_PARAM);
    ck_assert_int_eq(aspace_remap(as, BASE, 4 * PAGE, 4 * PAGE, true, &inside, &out),
                     VMK_BAD_PARAM);
    ck_assert_int_eq(aspace_remap(as, BASE, PAGE, PAGE, true, &odd, &out), VMK_BAD_PARAM);
    ck_assert_int_eq(aspace_remap(as, BASE + 64 * PAGE, PAGE, PAGE, true, NULL, &out),
                     VMK_FAULT);
    ck_assert_int_eq(aspace_remap(as, BASE, 5 * PAGE, 6 * PAGE, true, NULL, &out), VMK_FAULT);
    ck_assert_int_eq(aspace_remap(as, BASE, 4 * PAGE, 5 * PAGE, false, NULL, &out),
                     VMK_NO_MEMORY);
    ck_assert_int_eq(aspace_copy_in(as, &word, BASE, 8), VMK_OK);
    ck_assert_uint_eq(word, 77);
    ck_assert_uint_eq(use_of(as).virtual_pages, 5);
    done(as);
}
END_TEST

START_TEST(test_aspace_remap__longer__in_place_or_elsewhere_with_its_bytes)
{
    struct aspace *as = fresh();
    uint64_t out = 0, word = 77;

    map_at(as, BASE, 2, RW);
    ck_assert_int_eq(aspace_copy_out(as, BASE + PAGE, &word, 8), VMK_OK);
    ck_assert_int_eq(aspace_remap(as, BASE, 2 * PAGE, 4 * PAGE, false, NULL, &out), VMK_OK);
    ck_assert_uint_eq(out, BASE);
    ck_assert_int_eq(aspace_remap(as, BASE, 4 * PAGE, 3 * PAGE, false, NULL, &out), VMK_OK);
    ck_assert_uint_eq(use_of(as).virtual_pages, 3);
    map_at(as, BASE + 3 * PAGE, 1, ASPACE_READ);
    ck_assert_int_eq(aspace_remap(as, BASE, 3 * PAGE, 8 * PAGE, true, NULL, &out), VMK_OK);
    ck_assert_uint_ne(out, BASE);
    word = 0;
    ck_assert_int_eq(aspace_copy_in(as, &word, out + PAGE, 8), VMK_OK);
    ck_assert_uint_eq(word, 77);
    ck_assert_int_eq(aspace_copy_in(as, &word, BASE + PAGE, 8), VMK_FAULT);
    ck_assert_uint_eq(use_of(as).virtual_pages, 9);
    done(as);
}
END_TEST

/* ---- objects ---- */

static bool is_that(const struct aspace_object *object, const void *what)
{
    return object == what;
}

START_TEST(test_aspace_object_cut__pages_behind__asked_for_again)
{
    struct aspace *as = fresh();
    struct aspace_object *one, *other;
    uint64_t address, word = 5;

    ck_assert_int_eq(aspace_shared_create(8, &one), VMK_OK);
    ck_assert_int_eq(aspace_shared_create(8, &other), VMK_OK);

    struct aspace_map map = {.address = BASE,
                             .size = 6 * PAGE,
                             .protection = RW,
                             .fixed = true,
                             .shared = true,
                             .object = one,
                             .offset = 2};

    ck_assert_int_eq(aspace_map(as, &map, &address), VMK_OK);
    map.address = BASE + 16 * PAGE;
    map.object = other;
    ck_assert_int_eq(aspace_map(as, &map, &address), VMK_OK);
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_int_eq(aspace_copy_out(as, BASE + i * PAGE, &word, 8), VMK_OK);
        ck_assert_int_eq(aspace_copy_out(as, BASE + (16 + i) * PAGE, &word, 8), VMK_OK);
    }
    ck_assert_uint_eq(use_of(as).resident_pages, 12);
    aspace_object_cut(as, is_that, one, 5);  // the object's page 5 is the mapping's page 3
    ck_assert_uint_eq(use_of(as).resident_pages, 9);
    aspace_object_cut(as, is_that, one, 8);  // behind its end
    ck_assert_uint_eq(use_of(as).resident_pages, 9);
    aspace_object_cut(as, is_that, one, 0);
    ck_assert_uint_eq(use_of(as).resident_pages, 6);
    word = 0;
    ck_assert_int_eq(aspace_copy_in(as, &word, BASE + 3 * PAGE, 8), VMK_OK);
    ck_assert_uint_eq(word, 5);  // the object still has it
    one->ops->unref(one);
    other->ops->unref(other);
    done(as);
}
END_TEST

START_TEST(test_aspace_shared__sizes_and_pages_beyond__refused)
{
    struct aspace *as = fresh();
    struct aspace_object *object;
    struct aspace_map map = {
        .address = BASE, .size = 3 * PAGE, .protection = RW, .fixed = true, .shared = true};
    uint64_t address, word = 1;

    ck_assert_int_eq(aspace_shared_create(0, &object), VMK_NO_MEMORY);
    ck_assert_int_eq(aspace_shared_create(UINT64_MAX, &object), VMK_NO_MEMORY);
    ck_assert_int_eq(aspace_shared_create(2, &object), VMK_OK);
    map.object = object;
    ck_assert_int_eq(aspace_map(as, &map, &address), VMK_OK);
    ck_assert_int_eq(aspace_copy_out(as, BASE + PAGE, &word, 8), VMK_OK);
    ck_assert_int_ne(aspace_copy_out(as, BASE + 2 * PAGE, &word, 8), VMK_OK);
    object->ops->unref(object);
    done(as);
}
END_TEST

START_TEST(test_aspace_region_next__each_region__what_proc_shows)
{
    struct aspace *as = fresh();
    struct aspace_object *object;
    struct aspace_region_info info;
    uint64_t address;

    ck_assert_int_eq(aspace_shared_create(4, &object), VMK_OK);

    const struct aspace_map map = {.address = BASE + 8 * PAGE,
                                   .size = 2 * PAGE,
                                   .protection = ASPACE_READ,
                                   .fixed = true,
                                   .shared = true,
                                   .object = object,
                                   .offset = 1};

    map_at(as, BASE, 3, RW | ASPACE_EXEC);
    ck_assert_int_eq(aspace_map(as, &map, &address), VMK_OK);
    object->ops->unref(object);
    ck_assert(aspace_region_next(as, 0, &info));
    ck_assert(info.start == BASE && info.end == BASE + 3 * PAGE && !info.shared);
    ck_assert_uint_eq(info.protection, RW | ASPACE_EXEC);
    ck_assert_str_eq(info.name, "");
    ck_assert(aspace_region_next(as, info.end, &info));
    ck_assert(info.start == BASE + 8 * PAGE && info.end == BASE + 10 * PAGE && info.shared);
    ck_assert_uint_eq(info.offset, PAGE);
    ck_assert_str_eq(info.name, "/dev/zero (deleted)");
    ck_assert(!aspace_region_next(as, info.end, &info));
    done(as);
}
END_TEST

/* ---- memory that ends ---- */

/* Takes what is free but `left` pages; the heap's own pages count too. */
static mpn_t *memory_end(uint64_t left, uint64_t *count)
{
    static mpn_t taken[20000];

    *count = 0;
    while (page_free_count() > left)
        ck_assert_int_eq(page_alloc(0, MEM_OWNER_TEST, &taken[(*count)++]), VMK_OK);
    return taken;
}

START_TEST(test_aspace__memory_ends_at_any_page__refused_nothing_lost)
{
    const uint64_t word = 9;

    vmk_status status = VMK_NO_MEMORY;

    for (uint64_t left = 0; status == VMK_NO_MEMORY; left++) {
        struct aspace *as = NULL, *child = NULL;
        uint64_t address, count;
        mpn_t *taken;
        struct aspace_map map = {.address = BASE, .size = 3 * PAGE, .protection = RW};

        ck_assert_uint_lt(left, 64);
        if (!left)
            sim_test_begin();
        taken = memory_end(left, &count);
        status = aspace_create(&no_limits, &as);
        if (status == VMK_OK)
            status = aspace_map(as, &map, &address);
        if (status == VMK_OK)
            status = aspace_copy_out(as, address, &word, 8);
        if (status == VMK_OK)
            status = aspace_fork(as, &child);
        if (status == VMK_OK)
            status = aspace_copy_out(child, address, &word, 8);
        ck_assert(status == VMK_NO_MEMORY || (status == VMK_OK && left > 6));
        if (child)
            aspace_unref(child);
        if (as)
            aspace_unref(as);
        ck_assert_uint_eq(page_owned_count(MEM_OWNER_USER), 0);
        ck_assert_uint_eq(heap_owned(MEM_OWNER_USER), 0);
        while (count)
            page_free(taken[--count], 0, MEM_OWNER_TEST);
    }
}
END_TEST

KERNEL_TEST_MAIN("aspace_calls",
                 RUNS(test_aspace_lock__part_of_a_region__counted_and_merged_again),
                 RUNS(test_aspace_lock__hole_in_the_range__what_came_before_is_locked),
                 RUNS(test_aspace_lock_all__now_and_future__each_by_itself),
                 RUNS(test_aspace__ranges_that_are_none__refused_and_nothing_changed),
                 RUNS(test_aspace_unmap__from_below_the_lowest_address__takes_the_rest),
                 RUNS(test_aspace_remap__refusals__nothing_moved),
                 RUNS(test_aspace_remap__longer__in_place_or_elsewhere_with_its_bytes),
                 RUNS(test_aspace_object_cut__pages_behind__asked_for_again),
                 RUNS(test_aspace_shared__sizes_and_pages_beyond__refused),
                 RUNS(test_aspace_region_next__each_region__what_proc_shows),
                 RUNS(test_aspace__memory_ends_at_any_page__refused_nothing_lost))
