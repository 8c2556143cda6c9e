// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_aspace.c -- user address spaces against a model of what each page must hold.
 *
 * Goal: no sequence of maps, unmaps, protections, moves, forks, discards and writes may show a
 * byte that the model does not have, allow an access that it forbids, or keep a page when all
 * is gone.
 * Method: random operations on a window of pages in several spaces that fork from each other;
 * the model is an array of pages per space, private ones with their value, shared ones with a
 * slot of an object.
 *
 * Invariants
 *   - After each test every page and heap byte of user memory is given back.
 * Locking    none: one world at a time.
 */
#include "mem/aspace.h"

#include <string.h>

#include "lib/rng.h"
#include "mem/page.h"
#include "tests/unit/kernel_test.h"

#define WINDOW      48u
#define BASE        0x10000000ull
#define SPACES      4u
#define OBJECTS     3u
#define OBJECT_SIZE 16u
#define PAGE        4096u

static const struct aspace_limits limits = {
    .virtual_bytes = UINT64_MAX, .stack_bytes = 1 << 20, .host_pages = 0};

struct model_page {
    bool mapped;
    unsigned protection;
    int object;      // -1: private
    unsigned index;  // in the object
    uint64_t value;  // private: its first word
};

struct model {
    struct aspace *as;  // null: not in use
    struct model_page pages[WINDOW];
};

static struct model models[SPACES];
static struct aspace_object *objects[OBJECTS];
static uint64_t object_values[OBJECTS][OBJECT_SIZE];
static struct rng rng;

static unsigned below(unsigned n)
{
    return (unsigned)rng_below(&rng, n);
}

static uint64_t *value_of(struct model_page *p)
{
    return p->object < 0 ? &p->value : &object_values[p->object][p->index];
}

static void check_page(struct model *m, unsigned i)
{
    struct model_page *p = &m->pages[i];
    uint64_t at = BASE + i * PAGE, word = 0x5555;
    vmk_status status = aspace_copy_in(m->as, &word, at, sizeof(word));

    if (!p->mapped) {
        ck_assert_int_eq(status, VMK_FAULT);
    } else if (!p->protection) {
        ck_assert_int_eq(status, VMK_NO_PERMISSION);
    } else {
        ck_assert_int_eq(status, VMK_OK);
        ck_assert_msg(word == *value_of(p), "page %u holds %llx, not %llx", i,
                      (unsigned long long)word, (unsigned long long)*value_of(p));
    }
}

static void op_map(struct model *m)
{
    unsigned first = below(WINDOW), count = 1 + below(WINDOW - first < 8 ? WINDOW - first : 8);
    bool shared = below(3) == 0;
    unsigned object = below(OBJECTS), offset = below(OBJECT_SIZE - 8);
    struct aspace_map map = {.address = BASE + first * PAGE,
                             .size = count * PAGE,
                             .protection = below(8),
                             .fixed = true,
                             .replace = below(4) != 0,
                             .shared = shared,
                             .object = shared ? objects[object] : NULL,
                             .offset = shared ? offset : 0};
    bool free = true;
    uint64_t address;
    vmk_status status = aspace_map(m->as, &map, &address);

    for (unsigned i = first; i < first + count; i++)
        free &= !m->pages[i].mapped;
    if (!map.replace && !free) {
        ck_assert_int_eq(status, VMK_EXISTS);
        return;
    }
    ck_assert_int_eq(status, VMK_OK);
    for (unsigned i = 0; i < count; i++)
        m->pages[first + i] = (struct model_page){.mapped = true,
                                                  .protection = map.protection,
                                                  .object = shared ? (int)object : -1,
                                                  .index = offset + i};
}

static void op_unmap(struct model *m)
{
    unsigned first = below(WINDOW), count = 1 + below(WINDOW - first);

    ck_assert_int_eq(aspace_unmap(m->as, BASE + first * PAGE, count * PAGE), VMK_OK);
    for (unsigned i = first; i < first + count; i++)
        m->pages[i].mapped = false;
}

static void op_protect(struct model *m)
{
    unsigned first = below(WINDOW), count = 1 + below(WINDOW - first), protection = below(8);
    vmk_status wanted = VMK_OK;

    for (unsigned i = first; i < first + count && wanted == VMK_OK; i++) {
        if (!m->pages[i].mapped)
            wanted = VMK_NO_MEMORY;
        else
            m->pages[i].protection = protection;
    }
    ck_assert_int_eq(aspace_protect(m->as, BASE + first * PAGE, count * PAGE, protection),
                     wanted);
}

static void op_write(struct model *m)
{
    unsigned i = below(WINDOW);
    struct model_page *p = &m->pages[i];
    uint64_t word = rng_next(&rng), at = BASE + i * PAGE;
    bool poke = below(6) == 0;
    vmk_status status = poke ? aspace_poke(m->as, at, &word, sizeof(word))
                             : aspace_copy_out(m->as, at, &word, sizeof(word));
    bool allowed = p->mapped && ((p->protection & ASPACE_WRITE) || (poke && p->object < 0));

    ck_assert_int_eq(status, allowed ? VMK_OK : !p->mapped ? VMK_FAULT : VMK_NO_PERMISSION);
    if (allowed)
        *value_of(p) = word;
}

static void op_discard(struct model *m)
{
    unsigned first = below(WINDOW), count = 1 + below(WINDOW - first);

    ck_assert_int_eq(aspace_discard(m->as, BASE + first * PAGE, count * PAGE), VMK_OK);
    for (unsigned i = first; i < first + count; i++) {
        if (m->pages[i].object < 0)
            m->pages[i].value = 0;
    }
}

/* Moves or resizes a run that is one mapping in the model; the target is in the window too. */
static void op_remap(struct model *m)
{
    unsigned first = below(WINDOW), count = 1 + below(4), target = below(WINDOW);
    struct model_page moved[4];
    uint64_t fixed = BASE + target * PAGE, out;

    if (first + count > WINDOW || target + count > WINDOW ||
        (target < first + count && first < target + count))
        return;
    for (unsigned i = 0; i < count; i++) {
        const struct model_page *p = &m->pages[first + i], *q = &m->pages[first];

        if (!p->mapped || p->protection != q->protection || p->object != q->object ||
            (p->object >= 0 && p->index != q->index + i))
            return;
        moved[i] = *p;
    }
    /* Neighbours of one kind are one region: else the kernel may see two, which it refuses. */
    vmk_status status = aspace_remap(m->as, BASE + first * PAGE, count * PAGE, count * PAGE,
                                     true, &fixed, &out);

    if (status == VMK_FAULT)
        return;
    ck_assert_int_eq(status, VMK_OK);
    ck_assert_uint_eq(out, fixed);
    for (unsigned i = 0; i < count; i++) {
        m->pages[first + i].mapped = false;
        m->pages[target + i] = moved[i];
    }
}

static void op_gone(struct model *m);

static void op_fork(struct model *m)
{
    struct model *child = &models[below(SPACES)];

    if (child == m)
        return;
    op_gone(NULL);
    if (child->as)
        aspace_unref(child->as);
    ck_assert_int_eq(aspace_fork(m->as, &child->as), VMK_OK);
    memcpy(child->pages, m->pages, sizeof(m->pages));
}

/* ---- a store for pages that leave ---- */

#define SLOTS 1024u

static struct {
    unsigned refs;
    uint8_t page[PAGE];
} slots[SLOTS];
static unsigned slots_refused;  // so many reads fail
static struct {
    struct model *model;
    struct aspace_victim pages[4];
    unsigned count;
} leaving;

static bool slot_share(uint32_t slot)
{
    ck_assert_uint_gt(slots[slot].refs, 0);
    slots[slot].refs++;
    return true;
}

static void slot_put(uint32_t slot)
{
    ck_assert_uint_gt(slots[slot].refs, 0);
    slots[slot].refs--;
}

static vmk_status slot_read(uint32_t slot, void *page)
{
    ck_assert_uint_ge(slots[slot].refs, 2);  // the entry's and the reader's
    if (slots_refused) {
        slots_refused--;
        return VMK_IO_ERROR;
    }
    memcpy(page, slots[slot].page, PAGE);
    return VMK_OK;
}

static bool never_short(void)
{
    return false;
}

static const struct aspace_pager pager = {.is_short = never_short,
                                          .slot_share = slot_share,
                                          .slot_put = slot_put,
                                          .slot_read = slot_read};

static uint32_t slot_take(const void *page)
{
    uint32_t slot = below(SLOTS);

    while (slots[slot].refs)
        slot = (slot + 1) % SLOTS;
    slots[slot].refs = 1;
    memcpy(slots[slot].page, page, PAGE);
    return slot;
}

/* What left before is done with, each page in its own way. */
static void op_gone(struct model *m)
{
    (void)m;
    for (unsigned i = 0; i < leaving.count; i++) {
        const struct aspace_victim *v = &leaving.pages[i];
        uint32_t slot;

        if (below(4) == 0) {
            aspace_victim_keep(leaving.model->as, v);
            continue;
        }
        slot = slot_take(mpn_map(v->mpn));
        if (!aspace_victim_done(leaving.model->as, v, slot))
            slot_put(slot);
    }
    leaving.count = 0;
}

static void op_leave(struct model *m)
{
    uint64_t va = BASE + below(WINDOW) * PAGE;

    op_gone(m);
    leaving.model = m;
    leaving.count = aspace_victims_take(m->as, &va, 1 + below(WINDOW), leaving.pages, 4);
}

static unsigned slots_used(void)
{
    unsigned used = 0;

    for (unsigned i = 0; i < SLOTS; i++)
        used += slots[i].refs != 0;
    return used;
}

START_TEST(test_aspace__random_operations__as_the_model)
{
    static void (*const operations[])(struct model *) = {
        op_map,     op_map,   op_unmap, op_protect, op_write, op_write, op_write, op_write,
        op_discard, op_remap, op_fork,  op_leave,   op_leave, op_leave, op_leave, op_gone};
    unsigned most = 0;

    sim_test_begin();
    aspace_pager_set(&pager);
    rng_init(&rng, 7, "aspace", (uint64_t)_i);

    uint64_t pages = page_owned_count(MEM_OWNER_USER);

    for (unsigned i = 0; i < OBJECTS; i++)
        ck_assert_int_eq(aspace_shared_create(OBJECT_SIZE, &objects[i]), VMK_OK);
    ck_assert_int_eq(aspace_create(&limits, &models[0].as), VMK_OK);
    for (unsigned step = 0; step < 6000; step++) {
        struct model *m = &models[below(SPACES)];

        if (!m->as)
            m = &models[0];
        operations[below(sizeof(operations) / sizeof(operations[0]))](m);
        most = MAX(most, slots_used());
        for (unsigned i = 0; i < 4; i++)
            check_page(m, below(WINDOW));
        if (step % 200 == 0) {
            op_gone(NULL);
            for (unsigned s = 0; s < SPACES; s++) {
                for (unsigned i = 0; models[s].as && i < WINDOW; i++)
                    check_page(&models[s], i);
            }
        }
    }
    op_gone(NULL);
    ck_assert_uint_gt(most, 8);
    for (unsigned s = 0; s < SPACES; s++) {
        if (models[s].as)
            aspace_unref(models[s].as);
    }
    ck_assert_uint_eq(slots_used(), 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        objects[i]->ops->unref(objects[i]);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_USER), pages);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_USER), 0);
}
END_TEST

static struct aspace *fresh(void)
{
    struct aspace *as;

    sim_test_begin();
    ck_assert_int_eq(aspace_create(&limits, &as), VMK_OK);
    return as;
}

static uint64_t map_at(struct aspace *as, uint64_t at, uint64_t size,
                       enum aspace_region_kind kind)
{
    const struct aspace_map map = {.address = at,
                                   .size = size,
                                   .protection = ASPACE_READ | ASPACE_WRITE,
                                   .fixed = at,
                                   .kind = kind};
    uint64_t address = 0;

    ck_assert_int_eq(aspace_map(as, &map, &address), VMK_OK);
    return address;
}

START_TEST(test_aspace__bad_pointers__are_a_status)
{
    static const uint64_t bad[] = {0,          1,          0xffff,     ASPACE_END,
                                   UINT64_MAX, 1ull << 63, 1ull << 47, ASPACE_END - 4};
    struct aspace *as = fresh();
    uint8_t bytes[64];
    size_t length;
    uint32_t old;
    struct aspace_key key;

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_int_ne(aspace_copy_in(as, bytes, bad[i], sizeof(bytes)), VMK_OK);
        ck_assert_int_ne(aspace_copy_out(as, bad[i], bytes, sizeof(bytes)), VMK_OK);
        ck_assert_int_ne(aspace_zero(as, bad[i], 1), VMK_OK);
        ck_assert_int_ne(aspace_copy_string(as, (char *)bytes, bad[i], 8, &length), VMK_OK);
        ck_assert_int_ne(aspace_compare_exchange32(as, bad[i], 0, 1, &old), VMK_OK);
        ck_assert_int_ne(aspace_key_of(as, bad[i], &key), VMK_OK);
    }
    aspace_unref(as);
}
END_TEST

START_TEST(test_aspace__copies__stop_at_the_first_bad_page)
{
    struct aspace *as = fresh();
    uint64_t at = map_at(as, BASE, 2 * PAGE, ASPACE_REGION_PLAIN);
    uint8_t bytes[3 * PAGE];
    size_t length;

    memset(bytes, 7, sizeof(bytes));
    ck_assert_uint_eq(aspace_copy_out_some(as, at + 100, bytes, sizeof(bytes)), 2 * PAGE - 100);
    ck_assert_uint_eq(aspace_copy_in_some(as, bytes, at, sizeof(bytes)), 2 * PAGE);
    ck_assert_int_eq(aspace_copy_out(as, at + PAGE - 3, "abcdefg", 8), VMK_OK);
    ck_assert_int_eq(aspace_copy_string(as, (char *)bytes, at + PAGE - 3, 8, &length), VMK_OK);
    ck_assert_str_eq((char *)bytes, "abcdefg");
    ck_assert_int_eq(aspace_copy_string(as, (char *)bytes, at + PAGE - 3, 7, &length),
                     VMK_NAME_TOO_LONG);
    ck_assert_int_eq(
        aspace_copy_string(as, (char *)bytes, at + 2 * PAGE - 3, sizeof(bytes), &length),
        VMK_FAULT);
    aspace_unref(as);
}
END_TEST

START_TEST(test_aspace__stack__grows_to_its_limit_and_no_further)
{
    struct aspace *as = fresh();
    uint64_t top = 0x70000000;
    uint64_t word = 1;

    (void)map_at(as, top - PAGE, PAGE, ASPACE_REGION_STACK);
    ck_assert_int_eq(aspace_copy_out(as, top - 100 * PAGE, &word, 8), VMK_OK);
    ck_assert_int_eq(aspace_copy_out(as, top - (1 << 20), &word, 8), VMK_OK);
    ck_assert_int_eq(aspace_copy_out(as, top - (1 << 20) - 8, &word, 8), VMK_FAULT);
    aspace_unref(as);
}
END_TEST

START_TEST(test_aspace__limits__refuse_and_leave_all_as_it_was)
{
    struct aspace_limits small = {
        .virtual_bytes = 16 * PAGE, .stack_bytes = 0, .host_pages = 0};
    struct aspace *as = fresh();
    struct aspace_map map = {.size = 17 * PAGE, .protection = ASPACE_READ | ASPACE_WRITE};
    struct aspace_use use;
    uint64_t address, word = 1;

    aspace_limits_set(as, &small);
    ck_assert_int_eq(aspace_map(as, &map, &address), VMK_NO_MEMORY);
    map.size = 16 * PAGE;
    ck_assert_int_eq(aspace_map(as, &map, &address), VMK_OK);
    small.host_pages = page_owned_count(MEM_OWNER_USER) + 5;  // three tables and two pages
    aspace_limits_set(as, &small);
    ck_assert_int_eq(aspace_copy_out(as, address, &word, 8), VMK_OK);
    ck_assert_int_eq(aspace_copy_out(as, address + PAGE, &word, 8), VMK_OK);
    ck_assert_int_eq(aspace_copy_out(as, address + 2 * PAGE, &word, 8), VMK_NO_MEMORY);
    aspace_use_get(as, &use);
    ck_assert_uint_eq(use.virtual_pages, 16);
    ck_assert_uint_eq(use.resident_pages, 2);
    aspace_unref(as);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_USER), 0);
}
END_TEST

START_TEST(test_aspace__heap__moves_both_ways)
{
    struct aspace *as = fresh();
    uint64_t word = 5;

    aspace_heap_set(as, BASE);
    ck_assert_uint_eq(aspace_heap_move(as, 0, UINT64_MAX), BASE);
    ck_assert_uint_eq(aspace_heap_move(as, BASE + 100, UINT64_MAX), BASE + 100);
    ck_assert_int_eq(aspace_copy_out(as, BASE, &word, 8), VMK_OK);
    ck_assert_uint_eq(aspace_heap_move(as, BASE + 5 * PAGE, UINT64_MAX), BASE + 5 * PAGE);
    ck_assert_uint_eq(aspace_heap_move(as, BASE + 9 * PAGE, 6 * PAGE), BASE + 5 * PAGE);
    ck_assert_uint_eq(aspace_heap_move(as, BASE, UINT64_MAX), BASE);
    ck_assert_int_eq(aspace_copy_in(as, &word, BASE, 8), VMK_FAULT);
    aspace_unref(as);
}
END_TEST

/* Puts all pages of [at, at + count pages) out that can go; how many did. */
static unsigned all_out(struct aspace *as, uint64_t at, unsigned count)
{
    unsigned gone = 0;

    for (unsigned turn = 0; turn < 2; turn++) {  // the first marks them unused
        for (uint64_t va = at; va && va < at + count * PAGE;) {
            struct aspace_victim v[4];
            unsigned got = aspace_victims_take(as, &va, 8, v, 4);

            for (unsigned i = 0; i < got; i++) {
                uint32_t slot = slot_take(mpn_map(v[i].mpn));

                if (aspace_victim_done(as, &v[i], slot))
                    gone++;
                else
                    slot_put(slot);
            }
        }
    }
    return gone;
}

START_TEST(test_aspace__swapped_pages__come_back_or_are_an_error)
{
    struct aspace *as = fresh(), *child;
    uint64_t word, at = map_at(as, BASE, 8 * PAGE, ASPACE_REGION_PLAIN);
    struct aspace_use use;

    aspace_pager_set(&pager);
    for (unsigned i = 0; i < 8; i++) {
        word = 100 + i;
        ck_assert_int_eq(aspace_copy_out(as, at + i * PAGE, &word, 8), VMK_OK);
    }
    ck_assert_int_eq(aspace_lock(as, at, 2 * PAGE, true), VMK_OK);
    ck_assert_uint_eq(all_out(as, at, 8), 6);  // two are locked
    aspace_use_get(as, &use);
    ck_assert_uint_eq(use.resident_pages, 2);
    ck_assert_uint_eq(use.swapped_pages, 6);
    // A page that cannot be read is an error, each time; it does not become another.
    slots_refused = 2;
    ck_assert_int_eq(aspace_copy_in(as, &word, at + 2 * PAGE, 8), VMK_IO_ERROR);
    ck_assert_int_eq(aspace_fault(as, at + 2 * PAGE, ASPACE_READ), VMK_IO_ERROR);
    ck_assert_int_eq(aspace_copy_in(as, &word, at + 2 * PAGE, 8), VMK_OK);
    ck_assert_uint_eq(word, 102);
    // A child has what its parent had swapped, each a page of its own.
    ck_assert_int_eq(aspace_fork(as, &child), VMK_OK);
    word = 7;
    ck_assert_int_eq(aspace_copy_out(child, at + 3 * PAGE, &word, 8), VMK_OK);
    ck_assert_int_eq(aspace_copy_in(as, &word, at + 3 * PAGE, 8), VMK_OK);
    ck_assert_uint_eq(word, 103);
    ck_assert_int_eq(aspace_copy_in(child, &word, at + 3 * PAGE, 8), VMK_OK);
    ck_assert_uint_eq(word, 7);
    ck_assert_uint_eq(all_out(as, at + 2 * PAGE, 6), 2);  // page 2 stays the child's
    aspace_unref(as);
    ck_assert_int_eq(aspace_bring_back(child, at, 8 * PAGE), VMK_OK);
    aspace_use_get(child, &use);
    ck_assert_uint_eq(use.swapped_pages, 0);
    ck_assert_uint_eq(use.resident_pages, 8);
    for (unsigned i = 4; i < 8; i++) {
        ck_assert_int_eq(aspace_copy_in(child, &word, at + i * PAGE, 8), VMK_OK);
        ck_assert_uint_eq(word, 100 + i);
    }
    ck_assert_uint_eq(slots_used(), 0);
    aspace_unref(child);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_USER), 0);
}
END_TEST

START_TEST(test_aspace__page_locked_while_it_leaves__stays)
{
    struct aspace *as = fresh();
    uint64_t word = 5, at = map_at(as, BASE, PAGE, ASPACE_REGION_PLAIN), va = 0;
    struct aspace_victim v;
    uint32_t slot;

    aspace_pager_set(&pager);
    ck_assert_int_eq(aspace_copy_out(as, at, &word, 8), VMK_OK);
    ck_assert_uint_eq(aspace_victims_take(as, &va, 8, &v, 1), 0);  // it was used
    va = 0;
    ck_assert_uint_eq(aspace_victims_take(as, &va, 8, &v, 1), 1);
    ck_assert_int_eq(aspace_lock(as, at, PAGE, true), VMK_OK);
    slot = slot_take(mpn_map(v.mpn));
    ck_assert(!aspace_victim_done(as, &v, slot));
    slot_put(slot);
    ck_assert_int_eq(aspace_copy_in(as, &word, at, 8), VMK_OK);
    ck_assert_uint_eq(word, 5);
    aspace_unref(as);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_USER), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("aspace");
    TCase *tcase = tcase_create("aspace");

    tcase_add_loop_test(tcase, test_aspace__random_operations__as_the_model, 0, 6);
    tcase_add_test(tcase, test_aspace__swapped_pages__come_back_or_are_an_error);
    tcase_add_test(tcase, test_aspace__page_locked_while_it_leaves__stays);
    tcase_add_test(tcase, test_aspace__bad_pointers__are_a_status);
    tcase_add_test(tcase, test_aspace__copies__stop_at_the_first_bad_page);
    tcase_add_test(tcase, test_aspace__stack__grows_to_its_limit_and_no_further);
    tcase_add_test(tcase, test_aspace__limits__refuse_and_leave_all_as_it_was);
    tcase_add_test(tcase, test_aspace__heap__moves_both_ways);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
