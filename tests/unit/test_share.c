// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_share.c -- page sharing by content, against guests that write when they like.
 *
 * The guests here are arrays of machine pages with a copy of what each must hold. Every read is
 * compared with the copy: joining unlike pages, or writing to a shared one, is seen at once.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include "mem/share.h"

#include "lib/rng.h"
#include "lib/string.h"
#include "tests/unit/kernel_test.h"

#define GUESTS 4u
#define PAGES  120u

struct guest_page {
    mpn_t mpn;
    bool shared;
    uint32_t content;  // what it must hold
};

static struct guest_page guests[GUESTS][PAGES];
static const uint64_t salts[GUESTS] = {7, 7, 7, 8};
static struct share_table table;
static struct rng rng;
static bool interfere;  // guests write in the middle of everything
static uint64_t compared;

static void content_put(mpn_t mpn, uint32_t content)
{
    uint64_t *words = mpn_map(mpn);

    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        words[i] = content ? content * 0x100000001ull + i : 0;
}

static bool content_is(mpn_t mpn, uint32_t content)
{
    const uint64_t *words = mpn_map(mpn);

    for (unsigned i = 0; i < PAGE_SIZE / 8; i++) {
        if (words[i] != (content ? content * 0x100000001ull + i : 0))
            return false;
    }
    return true;
}

/* What the fault handler of a VM does. */
static void guest_write(unsigned vm, unsigned ppn, uint32_t content)
{
    struct guest_page *p = &guests[vm][ppn];

    if (p->shared) {
        mpn_t fresh;

        ck_assert_int_eq(page_alloc(0, MEM_OWNER_TEST, &fresh), VMK_OK);
        memcpy(mpn_map(fresh), mpn_map(p->mpn), PAGE_SIZE);
        if (share_leave(&table, p->mpn, salts[vm]))
            page_free(fresh, 0, MEM_OWNER_TEST);  // it is ours alone
        else
            p->mpn = fresh;
        p->shared = false;
        ck_assert(content_is(p->mpn, p->content));
    }
    ck_assert_uint_eq(page_references(p->mpn), 1);
    p->content = content;
    content_put(p->mpn, content);
}

static void others_write(void)
{
    if (interfere && rng_below(&rng, 3) == 0)
        guest_write((unsigned)rng_below(&rng, GUESTS), (unsigned)rng_below(&rng, PAGES),
                    (uint32_t)rng_below(&rng, 12));
}

static bool op_hash(void *context, uint16_t vm, uint32_t ppn, uint64_t *hash)
{
    (void)context;
    if (guests[vm][ppn].shared)
        return false;
    *hash = page_hash(mpn_map(guests[vm][ppn].mpn));
    others_write();
    return true;
}

static bool op_freeze(void *context, uint16_t vm, uint32_t ppn,
                      bool (*accept)(void *argument, mpn_t mpn, uint64_t hash), void *argument)
{
    struct guest_page *p = &guests[vm][ppn];

    (void)context;
    others_write();
    if (p->shared)
        return false;
    p->shared = accept(argument, p->mpn, page_hash(mpn_map(p->mpn)));
    bool frozen = p->shared;

    others_write();
    return frozen;
}

static bool op_join(void *context, uint16_t vm, uint32_t ppn, mpn_t with)
{
    struct guest_page *p = &guests[vm][ppn];

    (void)context;
    others_write();
    if (p->shared || memcmp(mpn_map(p->mpn), mpn_map(with), PAGE_SIZE) != 0)
        return false;
    page_free(p->mpn, 0, MEM_OWNER_TEST);
    p->mpn = with;
    p->shared = true;
    return true;
}

static const struct share_ops ops = {op_hash, op_freeze, op_join};

static void begin(uint32_t capacity, uint64_t seed)
{
    sim_test_begin();
    rng_init(&rng, seed, "share", 0);
    ck_assert_int_eq(share_init(&table, capacity, &ops, NULL), VMK_OK);
    for (unsigned vm = 0; vm < GUESTS; vm++) {
        for (unsigned ppn = 0; ppn < PAGES; ppn++) {
            ck_assert_int_eq(page_alloc(0, MEM_OWNER_TEST, &guests[vm][ppn].mpn), VMK_OK);
            guests[vm][ppn].shared = false;
            guests[vm][ppn].content = 1000 + vm * PAGES + ppn;
            content_put(guests[vm][ppn].mpn, guests[vm][ppn].content);
        }
    }
}

/* Contents are right, references are the holders, and the counters say what is. */
static void check_all(void)
{
    uint64_t shared = 0, zero = 0, pages = 0;

    for (unsigned vm = 0; vm < GUESTS; vm++) {
        for (unsigned ppn = 0; ppn < PAGES; ppn++) {
            const struct guest_page *p = &guests[vm][ppn];
            uint32_t holders = 0;

            ck_assert(content_is(p->mpn, p->content));
            compared++;
            shared += p->shared;
            zero += p->shared && p->content == 0;
            for (unsigned v = 0; v < GUESTS; v++) {
                for (unsigned q = 0; q < PAGES; q++) {
                    bool same = guests[v][q].mpn.raw == p->mpn.raw;

                    ck_assert(!same || salts[v] == salts[vm]);
                    holders += same;
                }
            }
            ck_assert_uint_eq(page_references(p->mpn), holders);
            ck_assert(p->shared || holders == 1);
        }
    }
    pages = page_owned_count(MEM_OWNER_TEST);
    ck_assert_uint_eq(table.counters.pages, shared);
    ck_assert_uint_eq(table.counters.zero, zero);
    ck_assert_uint_eq(pages, GUESTS * PAGES - (table.counters.pages - table.counters.common));
}

static void end(void)
{
    for (unsigned vm = 0; vm < GUESTS; vm++) {
        for (unsigned ppn = 0; ppn < PAGES; ppn++) {
            struct guest_page *p = &guests[vm][ppn];

            if (!p->shared || share_leave(&table, p->mpn, salts[vm]))
                page_free(p->mpn, 0, MEM_OWNER_TEST);
        }
        share_forget(&table, (uint16_t)vm);
    }
    ck_assert_uint_eq(table.counters.hints, 0);
    ck_assert_uint_eq(table.counters.pages, 0);
    share_destroy(&table);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_TEST), 0);
}

static enum share_result offer(unsigned vm, unsigned ppn)
{
    return share_page(&table, (uint16_t)vm, ppn, salts[vm]);
}

START_TEST(test_share__twins__one_page_until_one_writes)
{
    begin(1000, 1);
    guest_write(0, 1, 5);
    guest_write(1, 2, 5);
    guest_write(2, 3, 5);
    ck_assert_int_eq(offer(0, 1), SHARE_HINT);
    ck_assert(!guests[0][1].shared);  // a hint costs nothing
    ck_assert_int_eq(offer(0, 1), SHARE_HINT);
    ck_assert_uint_eq(table.counters.hints, 1);  // its own, not a second one
    ck_assert_uint_eq(share_hints(&table, 0), 1);
    ck_assert_int_eq(offer(1, 2), SHARE_FIRST);
    ck_assert_uint_eq(share_hints(&table, 0) + share_hints(&table, 1), 0);
    ck_assert_int_eq(offer(2, 3), SHARE_JOINED);
    ck_assert_int_eq(offer(2, 3), SHARE_NOTHING);
    ck_assert_uint_eq(table.counters.looked, table.counters.scanned - 1);
    ck_assert_uint_eq(guests[0][1].mpn.raw, guests[2][3].mpn.raw);
    check_all();
    guest_write(1, 2, 6);
    guest_write(0, 1, 7);
    check_all();
    ck_assert_uint_eq(table.counters.common, 1);
    guest_write(2, 3, 8);  // the last one needs no copy
    ck_assert_uint_eq(table.counters.common, 0);
    end();
}
END_TEST

START_TEST(test_share__other_salt__never_together)
{
    begin(1000, 1);
    guest_write(0, 1, 5);
    guest_write(3, 1, 5);
    guest_write(3, 2, 5);
    ck_assert_int_eq(offer(0, 1), SHARE_HINT);
    ck_assert_int_eq(offer(3, 1), SHARE_HINT);
    ck_assert_int_eq(offer(3, 2), SHARE_FIRST);
    ck_assert(!guests[0][1].shared);
    check_all();
    end();
}
END_TEST

START_TEST(test_share__hint_written_since__dropped)
{
    begin(1000, 1);
    guest_write(0, 1, 5);
    ck_assert_int_eq(offer(0, 1), SHARE_HINT);
    guest_write(0, 1, 6);
    guest_write(1, 1, 5);
    ck_assert_int_eq(offer(1, 1), SHARE_HINT);
    ck_assert_uint_eq(table.counters.stale_hints, 1);
    ck_assert_uint_eq(table.counters.hints, 1);
    check_all();
    end();
}
END_TEST

START_TEST(test_share__passes_and_ends__hints_age_and_go_with_their_vm)
{
    begin(1000, 1);
    offer(0, 1);
    offer(1, 1);
    share_pass(&table);
    ck_assert_uint_eq(table.counters.hints, 2);
    offer(1, 2);
    share_forget(&table, 0);
    ck_assert_uint_eq(table.counters.hints, 2);
    share_pass(&table);
    ck_assert_uint_eq(table.counters.hints, 1);
    for (unsigned i = 0; i < 300; i++)  // the age wraps
        share_pass(&table);
    ck_assert_uint_eq(table.counters.hints, 0);
    end();
}
END_TEST

START_TEST(test_share__table_full__says_so_and_loses_nothing)
{
    begin(10, 1);
    for (unsigned ppn = 0; ppn < 10; ppn++)
        ck_assert_int_eq(offer(0, ppn), SHARE_HINT);
    ck_assert_int_eq(offer(0, 10), SHARE_FULL);
    share_forget(&table, 0);
    ck_assert_int_eq(offer(0, 10), SHARE_HINT);
    check_all();
    end();
}
END_TEST

/*
 * The host's whole memory may be in it, whatever size it has: the heap gives no block above 4
 * MB.
 */
START_TEST(test_share__hosts_of_2_to_256_gb__a_table)
{
    for (unsigned bits = 19; bits <= 26; bits++) {
        sim_test_begin();
        ck_assert_int_eq(share_init(&table, (1u << bits) + 1, &ops, NULL), VMK_OK);
        share_destroy(&table);
    }
}
END_TEST

START_TEST(test_share__four_guests_alike__two_thirds_and_more_are_saved)
{
    begin(1000, 1);
    for (unsigned vm = 0; vm < 3; vm++) {
        for (unsigned ppn = 0; ppn < PAGES; ppn++)
            guest_write(vm, ppn, ppn % 3 ? ppn : 0);
    }
    for (unsigned vm = 0; vm < 3; vm++) {
        for (unsigned ppn = 0; ppn < PAGES; ppn++)
            offer(vm, ppn);
    }
    check_all();
    ck_assert_uint_eq(table.counters.pages, 3 * PAGES);
    ck_assert_uint_eq(table.counters.zero, PAGES);
    ck_assert_uint_eq(table.counters.common, PAGES * 2 / 3 + 1);
    end();
}
END_TEST

START_TEST(test_share__guests_write_at_any_moment__contents_hold)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        begin(400, seed);
        interfere = true;
        for (unsigned step = 0; step < 6000; step++) {
            others_write();
            offer((unsigned)rng_below(&rng, GUESTS), (unsigned)rng_below(&rng, PAGES));
            if (step % 1000 == 999) {
                check_all();
                share_pass(&table);
            }
        }
        interfere = false;
        ck_assert_uint_gt(table.counters.joined, 500);
        ck_assert_uint_gt(table.counters.unlike, 0);
        ck_assert_uint_gt(table.counters.stale_hints, 0);
        end();
    }
    ck_assert_uint_eq(compared, 3 * 6 * GUESTS * PAGES);
}
END_TEST

START_TEST(test_page_hash__one_bit_anywhere__another_hash)
{
    static uint64_t page[PAGE_SIZE / 8];
    uint64_t before = page_hash(page);

    for (unsigned bit = 0; bit < PAGE_SIZE * 8; bit += 7) {
        page[bit / 64] ^= 1ull << bit % 64;
        ck_assert_uint_ne(page_hash(page), before);
        page[bit / 64] ^= 1ull << bit % 64;
    }
}
END_TEST

KERNEL_TEST_MAIN("share", RUNS(test_share__twins__one_page_until_one_writes),
                 RUNS(test_share__other_salt__never_together),
                 RUNS(test_share__hint_written_since__dropped),
                 RUNS(test_share__passes_and_ends__hints_age_and_go_with_their_vm),
                 RUNS(test_share__table_full__says_so_and_loses_nothing),
                 RUNS(test_share__hosts_of_2_to_256_gb__a_table),
                 RUNS(test_share__four_guests_alike__two_thirds_and_more_are_saved),
                 RUNS(test_share__guests_write_at_any_moment__contents_hold),
                 RUNS(test_page_hash__one_bit_anywhere__another_hash))
