// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vm_swap.c -- a VM's pages go out and come back, with a disk below that fails in every way.
 *
 * The VM, its P2M, cache, store and world are the real ones; the disk is the model, with its
 * faults. A checker knows what each page must hold, and reads all of them: a page may be
 * refused (then the VM has stopped with an error), but never be wrong.
 */
#include "tests/unit/vmm_fixture.h"

#include "fs/vfs.h"
#include "lib/rng.h"
#include "sim/model/disk.h"
#include "vmm/vm_reclaim.h"
#include "vmm/vm_swap_internal.h"

#define PAGES     256u  // of the guest that hold something
#define DISK_SIZE (8u << 20)
#define MS        1000000ull
#define PATIENCE  2000u  // ms of virtual time

static struct disk_model *disk;
static struct rng rng;
static uint64_t versions[PAGES + 8];

/* A third packs well, a third a little, the rest not at all. */
static void content(unsigned page, uint64_t version, uint64_t *out)
{
    struct rng words;

    rng_init(&words, version, "page", page);
    for (unsigned i = 0; i < PAGE_SIZE / 8; i++) {
        out[i] = version * 1000 + page;
        if (page % 3 == 2 || (page % 3 == 1 && i % 3 == 0))
            out[i] = rng_next(&words);
    }
}

static vmk_status page_write(unsigned page, uint64_t version)
{
    uint64_t words[PAGE_SIZE / 8];
    vmk_status status;

    content(page, version, words);
    status = vm_memory_write(vm, gpa_make(page * PAGE_SIZE), words, sizeof(words));
    if (status == VMK_OK)
        versions[page] = version;
    return status;
}

/* OK: and it is right. */
static vmk_status page_check(unsigned page)
{
    uint64_t is[PAGE_SIZE / 8], wanted[PAGE_SIZE / 8];
    vmk_status status = vm_memory_read(vm, gpa_make(page * PAGE_SIZE), is, sizeof(is));

    content(page, versions[page], wanted);
    if (status == VMK_OK)
        ck_assert_msg(memcmp(is, wanted, sizeof(is)) == 0, "page %u is wrong", page);
    return status;
}

static unsigned out_now(void)
{
    bool irqs = spin_lock(&vm->lock);
    uint64_t out = vm->p2m.count[P2M_SWAPPED] + vm->p2m.count[P2M_COMPRESSED];

    spin_unlock(&vm->lock, irqs);
    return (unsigned)out;
}

static void wait_out(unsigned pages)
{
    for (unsigned i = 0; i < PATIENCE && out_now() < pages; i++)
        ck_assert_int_eq(world_sleep_until(plat_time_now() + MS), VMK_OK);
}

static struct vm_swap_counters counters(void)
{
    struct vm_swap_counters c;

    vm_swap_counters_get(vm, &c);
    return c;
}

static void up(bool cache)
{
    ck_assert_int_eq(vm_reclaim_create(vm), VMK_OK);
    ck_assert_int_eq(vm_swap_create(vm), VMK_OK);
    vm->swap->use_cache = cache;
    disk = disk_model_create("swap", DISK_SIZE);
    ck_assert_int_eq(swap_store_open_block(&vm->swap->store, disk_model_device(disk), 0,
                                           DISK_SIZE / PAGE_SIZE, DISK_SIZE / PAGE_SIZE),
                     VMK_OK);
    rng_init(&rng, 9, "test", 0);
    for (unsigned i = 0; i < PAGES; i++)
        ck_assert_int_eq(page_write(i, 1), VMK_OK);
}

static void down(void)
{
    vm->state = VM_STATE_OFF;
    vm_swap_destroy(vm);
    ck_assert_ptr_null(vm->swap);
    disk_model_destroy(disk);
}

/* The guest writes and reads at random while pages go out. Returns the first refusal. */
static vmk_status storm(unsigned steps)
{
    vmk_status status = VMK_OK;

    for (unsigned i = 0; i < steps && status == VMK_OK; i++) {
        unsigned page = (unsigned)rng_below(&rng, PAGES);

        status = rng_below(&rng, 2) ? page_write(page, versions[page] + 1) : page_check(page);
        if (i % 7 == 0)
            ck_assert_int_eq(world_sleep_until(plat_time_now() + MS / 10), VMK_OK);
    }
    return status;
}

static void all_are_right(void)
{
    for (unsigned i = 0; i < PAGES; i++)
        ck_assert_int_eq(page_check(i), VMK_OK);
}

static void goes_and_comes(void *argument)
{
    bool cache = argument != NULL;
    struct vm_swap_latency freed, waited;
    struct vm_swap_counters c;

    up(cache);
    vm_swap_target_set(vm, PAGES * 3 / 4);
    wait_out(PAGES * 3 / 4);
    ck_assert_uint_ge(out_now(), PAGES * 3 / 4);
    c = counters();
    ck_assert_int_eq(c.compressed > 0, cache);
    ck_assert_uint_gt(c.swapped_out, 0);
    all_are_right();
    ck_assert_int_eq(storm(4000), VMK_OK);
    vm_swap_target_set(vm, 0);
    all_are_right();
    c = counters();
    ck_assert_uint_gt(c.swapped_in, 0);
    ck_assert_uint_eq(c.errors, 0);
    ck_assert_uint_eq(vm->state, VM_STATE_ON);
    // Everything is in, so nothing is left outside.
    ck_assert_uint_eq(out_now(), 0);
    ck_assert_uint_eq(vm->swap->store.used_count, 0);
    ck_assert_uint_eq(c.zip_pages, 0);
    vm_swap_latency_get(vm, VM_SWAP_FREED, &freed);
    ck_assert_uint_eq(freed.count, c.compressed + c.swapped_out - c.evicted);
    ck_assert_uint_le(freed.p50, freed.p99);
    ck_assert_uint_le(freed.p99, freed.most);
    vm_swap_latency_get(vm, VM_SWAP_PAGE, &waited);
    ck_assert_uint_ge(waited.count, c.swapped_in);
    down();
}

START_TEST(test_vm_swap__with_cache__every_page_comes_back)
{
    sim_test_run(goes_and_comes, "cache");
}
END_TEST

START_TEST(test_vm_swap__without_cache__every_page_comes_back)
{
    sim_test_run(goes_and_comes, NULL);
}
END_TEST

static void cache_full(void *argument)
{
    (void)argument;
    up(true);
    vm->swap->zip.limit = 4;
    vm_swap_target_set(vm, PAGES - 20);
    wait_out(PAGES - 20);
    ck_assert_uint_gt(counters().evicted, 0);
    ck_assert_uint_le(counters().zip_pages, 4);
    ck_assert_int_eq(storm(2000), VMK_OK);
    all_are_right();
    down();
}

START_TEST(test_vm_swap__full_cache__hands_its_oldest_to_the_disk)
{
    sim_test_run(cache_full, NULL);
}
END_TEST

static void writes_fail(void *argument)
{
    (void)argument;
    up(false);
    disk_model_fail(disk, 0, DISK_SIZE, 3);
    vm_swap_target_set(vm, PAGES / 2);
    wait_out(PAGES / 2);
    // Three errors are no reason to give up, and cost no page.
    ck_assert_uint_eq(counters().errors, 3);
    ck_assert_uint_ge(out_now(), PAGES / 2);
    ck_assert_uint_gt(vm->swap->store.bad_count, 0);
    all_are_right();
    vm_swap_target_set(vm, 0);
    all_are_right();
    ck_assert_uint_eq(out_now(), 0);
    disk_model_fail(disk, 0, DISK_SIZE, 1000000);
    vm_swap_target_set(vm, PAGES / 2);
    for (unsigned i = 0; i < 500; i++)
        ck_assert_int_eq(world_sleep_until(plat_time_now() + MS), VMK_OK);
    ck_assert(vm->swap->given_up);
    ck_assert_uint_eq(out_now(), 0);
    all_are_right();
    ck_assert_uint_eq(vm->state, VM_STATE_ON);
    down();
}

START_TEST(test_vm_swap__writes_that_fail__lose_nothing)
{
    sim_test_run(writes_fail, NULL);
}
END_TEST

static void store_full(void *argument)
{
    (void)argument;
    up(false);
    swap_store_close(&vm->swap->store);
    ck_assert_int_eq(
        swap_store_open_block(&vm->swap->store, disk_model_device(disk), 0, 50, 50), VMK_OK);
    vm_swap_target_set(vm, PAGES / 2);
    for (unsigned i = 0; i < 500; i++)
        ck_assert_int_eq(world_sleep_until(plat_time_now() + MS), VMK_OK);
    ck_assert_uint_eq(out_now(), 50);
    ck_assert(vm->swap->full);
    ck_assert_uint_eq(counters().errors, 0);
    all_are_right();
    ck_assert_uint_eq(vm->state, VM_STATE_ON);
    down();
}

START_TEST(test_vm_swap__full_store__takes_no_more_and_loses_nothing)
{
    sim_test_run(store_full, NULL);
}
END_TEST

/* One page is lost: the reader is refused and the VM stops; the others are still right. */
static void page_lost(void)
{
    unsigned refused = 0;

    for (unsigned i = 0; i < PAGES && !refused; i++) {
        vmk_status status = page_check(i);

        refused += status != VMK_OK;
        ck_assert(status == VMK_OK || status == VMK_IO_ERROR);
    }
    ck_assert_uint_eq(refused, 1);
    ck_assert_uint_eq(vm->state, VM_STATE_STOPPING);
    ck_assert_str_eq(vm->end_reason, "a page of its memory is lost");
    ck_assert_int_ne(vm->status, 0);
}

static void reads_fail(void *argument)
{
    (void)argument;
    up(false);
    vm_swap_target_set(vm, PAGES / 2);
    wait_out(PAGES / 2);
    vm_swap_target_set(vm, 0);
    // Two errors: the third try is good.
    disk_model_fail(disk, 0, DISK_SIZE, 2);
    for (unsigned i = 0; i < PAGES / 4; i++)
        ck_assert_int_eq(page_check(i), VMK_OK);
    ck_assert_uint_eq(vm->swap->store.errors, 2);
    ck_assert_uint_gt(out_now(), 0);
    disk_model_fail(disk, 0, DISK_SIZE, 1000000);
    page_lost();
    down();
}

START_TEST(test_vm_swap__reads_that_fail__stop_the_vm)
{
    sim_test_run(reads_fail, NULL);
}
END_TEST

static void rot(void *argument)
{
    uint32_t slot = UINT32_MAX;

    (void)argument;
    up(false);
    vm_swap_target_set(vm, PAGES / 2);
    wait_out(PAGES / 2);
    vm_swap_target_set(vm, 0);
    for (unsigned i = 0; i < PAGES; i++) {
        struct p2m_page page = p2m_get(&vm->p2m, i);

        if (page.state == P2M_SWAPPED)
            slot = page.value;
    }
    ck_assert_uint_ne(slot, UINT32_MAX);
    disk_model_rot(disk, slot * PAGE_SIZE + 77, 3);
    page_lost();
    ck_assert_uint_gt(vm->swap->store.rotten, 0);
    down();
}

START_TEST(test_vm_swap__a_rotten_page__stops_the_vm)
{
    sim_test_run(rot, NULL);
}
END_TEST

/* Pages that the guest's balloon takes while they are out give their places back. */
static void balloon_takes(void *argument)
{
    (void)argument;
    up(true);
    vm_swap_target_set(vm, PAGES * 3 / 4);
    wait_out(PAGES * 3 / 4);
    vm_swap_target_set(vm, 0);
    for (unsigned i = 0; i < PAGES; i += 2) {
        bool irqs = spin_lock(&vm->lock);

        ck_assert_int_eq(vm_page_take_locked(vm, ppn_make(i)), VMK_OK);
        vm_flush_locked(vm);
        vm_limbo_collect_locked(vm);
        spin_unlock(&vm->lock, irqs);
    }
    for (unsigned i = 1; i < PAGES; i += 2)
        ck_assert_int_eq(page_check(i), VMK_OK);
    ck_assert_uint_eq(out_now(), 0);
    ck_assert_uint_eq(vm->swap->store.used_count, 0);
    ck_assert_uint_eq(vm->swap->zip.count, 0);
    down();
}

START_TEST(test_vm_swap__pages_for_the_balloon__leave_cache_and_disk)
{
    sim_test_run(balloon_takes, NULL);
}
END_TEST

/* Disk errors at random times, many seeds: a page is right, or the VM has stopped. */
static void random_faults(void *argument)
{
    struct rng seeds;
    vmk_status status = VMK_OK;

    up(true);
    rng_init(&seeds, *(const unsigned *)argument, "faults", 0);
    disk_model_latency(disk, 200000, 1000, 4);
    vm_swap_target_set(vm, PAGES * 3 / 4);
    for (unsigned i = 0; i < 40 && status == VMK_OK; i++) {
        if (rng_below(&seeds, 3) == 0)
            disk_model_fail(disk, rng_below(&seeds, DISK_SIZE), PAGE_SIZE * 16,
                            (unsigned)rng_below(&seeds, 4));
        if (rng_below(&seeds, 20) == 0)
            disk_model_rot(disk, rng_below(&seeds, 400 * PAGE_SIZE), 1);
        status = storm(60);
    }
    if (status == VMK_OK)
        ck_assert_uint_eq(vm->state, VM_STATE_ON);
    else
        ck_assert_uint_eq(vm->state, VM_STATE_STOPPING);
    down();
}

START_TEST(test_vm_swap__random_faults__no_page_is_ever_wrong)
{
    unsigned seed = (unsigned)_i;

    sim_test_run(random_faults, &seed);
}
END_TEST

/* ---- the swap file, through the VFS ---- */

static void folder_up(const char *options)
{
    struct vfs_where where;

    ck_assert(!vfs_is_up());
    ck_assert_int_eq(fs_init(), VMK_OK);
    where = vfs_where_kernel();
    ck_assert_int_eq(vfs_mkdir(&where, "/swap", 0755), VMK_OK);
    ck_assert_int_eq(vfs_mount(&where, "visorfs", "none", "/swap", 0, options), VMK_OK);
    strcpy(vm->config.name, "small");
    strcpy(vm->config.swap_dir, "/swap");
    ck_assert_int_eq(vm_reclaim_create(vm), VMK_OK);
}

static vmk_status file_look(void)
{
    const struct vfs_where where = vfs_where_kernel();
    struct vfs_attr attr;
    vmk_status status = vfs_stat(&where, "/swap/small-0.vswp", 0, &attr);

    if (status == VMK_OK)
        ck_assert_uint_eq(attr.size, vm->page_count * PAGE_SIZE);
    return status;
}

static void folder_too_small(void *argument)
{
    (void)argument;
    folder_up("size=1m");
    ck_assert_int_eq(vm_swap_create(vm), VMK_NO_SPACE);
    vm_swap_destroy(vm);
    ck_assert_int_eq(file_look(), VMK_NOT_FOUND);
}

START_TEST(test_vm_swap__folder_too_small__refuses_the_vm)
{
    sim_test_run(folder_too_small, NULL);
}
END_TEST

/* Somebody else fills the file system while pages go out. */
static void folder_fills(void *argument)
{
    static uint8_t block[64 << 10];
    struct vfs_where where;
    struct file *other;
    size_t done = 1;

    (void)argument;
    folder_up("size=5m");
    where = vfs_where_kernel();
    ck_assert_int_eq(vm_swap_create(vm), VMK_OK);
    vm->swap->use_cache = false;
    ck_assert_int_eq(file_look(), VMK_OK);
    rng_init(&rng, 9, "test", 0);
    for (unsigned i = 0; i < PAGES; i++)
        ck_assert_int_eq(page_write(i, 1), VMK_OK);
    vm_swap_target_set(vm, PAGES / 4);
    wait_out(PAGES / 4);
    ck_assert_uint_ge(out_now(), PAGES / 4);
    ck_assert_int_eq(vfs_open(&where, "/swap/other", VFS_O_WRONLY | VFS_O_CREAT, 0600, &other),
                     VMK_OK);
    while (file_write(other, block, sizeof(block), &done) == VMK_OK && done)
        ;
    file_put(other);
    vm_swap_target_set(vm, PAGES);
    for (unsigned i = 0; i < 500; i++)
        ck_assert_int_eq(world_sleep_until(plat_time_now() + MS), VMK_OK);
    ck_assert(vm->swap->full);
    ck_assert_uint_lt(out_now(), PAGES);
    all_are_right();
    ck_assert_uint_eq(vm->state, VM_STATE_ON);
    vm->state = VM_STATE_OFF;
    vm_swap_destroy(vm);
    ck_assert_int_eq(file_look(), VMK_NOT_FOUND);
}

static uint64_t file_size(void)
{
    const struct vfs_where where = vfs_where_kernel();
    struct vfs_attr attr;

    ck_assert_int_eq(vfs_stat(&where, "/swap/small-0.vswp", 0, &attr), VMK_OK);
    return attr.size;
}

/* The reservation of a VM that runs gets lower; not below what its folder has room for. */
static void reservation_falls(void *argument)
{
    const uint64_t pages = vm->page_count;

    (void)argument;
    vm->config.mem_min_mb = (uint32_t)(pages / 256 - 1);
    folder_up("size=2m");
    ck_assert_int_eq(vm_swap_create(vm), VMK_OK);
    vm->swap->use_cache = false;
    rng_init(&rng, 9, "test", 0);
    ck_assert_uint_eq(file_size(), 1 << 20);
    for (unsigned i = 0; i < PAGES; i++)
        ck_assert_int_eq(page_write(i, 1), VMK_OK);
    vm_swap_target_set(vm, PAGES / 2);
    wait_out(PAGES / 2);
    ck_assert_int_eq(vm_swap_reserve(vm, pages - 512), VMK_OK);
    ck_assert_uint_eq(file_size(), 2 << 20);
    ck_assert_uint_eq(vm->swap->store.slots, 512);
    ck_assert_int_eq(vm_swap_reserve(vm, 0), VMK_NO_SPACE);
    ck_assert_uint_eq(vm->swap->store.slots, 512);
    ck_assert_int_eq(vm_swap_reserve(vm, pages), VMK_OK);
    ck_assert_uint_eq(vm->swap->store.slots, 512);
    all_are_right();
    ck_assert_int_eq(storm(1000), VMK_OK);
    vm->state = VM_STATE_OFF;
    vm_swap_destroy(vm);
}

START_TEST(test_vm_swap__reservation_gets_lower__its_file_grows_or_it_stays)
{
    sim_test_run(reservation_falls, NULL);
}
END_TEST

START_TEST(test_vm_swap__folder_fills_up__takes_no_more_and_loses_nothing)
{
    sim_test_run(folder_fills, NULL);
}
END_TEST

/*
 * The guest's memory grows to its limit, and from there on it gives a page for each that it
 * gets.
 */
static void at_the_limit(void *argument)
{
    uint64_t most = 0;

    (void)argument;
    up(false);
    vm_swap_target_set(vm, PAGES / 2);
    wait_out(PAGES / 2);
    vm->mem_cap = p2m_granted(&vm->p2m);
    vm_swap_target_set(vm, 0);
    for (unsigned i = 0; i < PAGES; i++) {
        ck_assert_int_eq(page_check(i), VMK_OK);
        most = MAX(most, p2m_granted(&vm->p2m));
    }
    ck_assert_uint_le(most, vm->mem_cap);
    // A store that takes nothing any more: rather above the limit than stopped for ever.
    vm->swap->given_up = true;
    all_are_right();
    ck_assert_uint_gt(p2m_granted(&vm->p2m), vm->mem_cap);
    down();
}

START_TEST(test_vm_swap__limit__waits_for_a_page_of_its_own)
{
    sim_test_run(at_the_limit, NULL);
}
END_TEST

#define HELD_MAX 65536u

struct held {
    mpn_t pages[HELD_MAX];
    unsigned count;
};

static void all_taken(struct held *h)
{
    h->count = 0;
    while (h->count < HELD_MAX &&
           page_alloc(0, MEM_OWNER_KERNEL, &h->pages[h->count]) == VMK_OK)
        h->count++;
    ck_assert_uint_lt(h->count, HELD_MAX);
}

static void given_back(struct held *h, unsigned count)
{
    while (count-- && h->count)
        page_free(h->pages[--h->count], 0, MEM_OWNER_KERNEL);
}

static void gives_soon(void *argument)
{
    ck_assert_int_eq(world_sleep_until(plat_time_now() + 200 * MS), VMK_OK);
    given_back(argument, 64);
    world_exit(0);
}

/* A new page, or one that is out. */
static vmk_status page_want(unsigned page)
{
    return page < PAGES ? page_check(page) : page_write(page, 1);
}

/*
 * The host has no memory, and the VM less than is due to it: it waits for others, and gives its
 * own when they give nothing.
 */
static void below_its_due(void *argument)
{
    static struct held held;
    const struct world_params other = {.name = "other", .entry = gives_soon, .argument = &held};
    const bool is_out = argument != NULL;
    unsigned page;
    plat_ns since;
    world_id id;

    up(false);
    vm_swap_target_set(vm, PAGES / 2);
    wait_out(PAGES / 2);
    vm_swap_target_set(vm, 0);
    for (page = is_out ? 0 : PAGES; is_out && p2m_look(&vm->p2m, page).state != P2M_SWAPPED;)
        page++;
    vm->mem_due = vm->page_count;
    for (unsigned round = 0; round < 3; round++) {
        const uint64_t out = counters().swapped_out;

        if (round == 0)
            ck_assert_int_eq(world_create(&other, &id), VMK_OK);
        if (round == 2)
            vm->mem_due = p2m_granted(&vm->p2m);
        if (round)
            ck_assert_int_eq(world_sleep_until(plat_time_now() + 6000 * MS), VMK_OK);
        all_taken(&held);
        since = plat_time_now();
        ck_assert_int_eq(page_want(page++), VMK_OK);
        since = plat_time_now() - since;
        given_back(&held, HELD_MAX);
        while (is_out && p2m_look(&vm->p2m, page).state != P2M_SWAPPED)
            page++;
        // Others give; they do not; it has what is due to it.
        ck_assert_int_eq(counters().swapped_out > out, round != 0);
        ck_assert_int_eq(since >= 150 * MS, round != 2);
        ck_assert_int_eq(since >= 500 * MS, round == 1);
        ck_assert_uint_le(since, 700 * MS);
    }
    ck_assert_uint_eq(vm->state, VM_STATE_ON);
    down();
}

START_TEST(test_vm_swap__new_page_below_its_due__waits_for_others_first)
{
    sim_test_run(below_its_due, NULL);
}
END_TEST

START_TEST(test_vm_swap__swapped_page_below_its_due__waits_for_others_first)
{
    sim_test_run(below_its_due, "out");
}
END_TEST

static void gives_later(void *argument)
{
    ck_assert_int_eq(world_sleep_until(plat_time_now() + 1000 * MS), VMK_OK);
    given_back(argument, 64);
    world_exit(0);
}

/* While a VM is loaded, the host has no memory; first some comes, then none. */
static void loading(void *argument)
{
    static struct held held;
    const struct world_params other = {
        .name = "other", .entry = gives_later, .argument = &held};
    char bytes[8] = "loaded";
    plat_ns since;
    world_id id;

    (void)argument;
    ck_assert_int_eq(vm_reclaim_create(vm), VMK_OK);
    ck_assert_int_eq(vm_swap_create(vm), VMK_OK);
    ck_assert_int_eq(vm_memory_write(vm, gpa_make(0), bytes, 8), VMK_OK);
    vm->state = VM_STATE_NEW;
    ck_assert_int_eq(world_create(&other, &id), VMK_OK);
    all_taken(&held);
    since = plat_time_now();
    ck_assert_int_eq(vm_memory_write(vm, gpa_make(PAGE_SIZE), bytes, 8), VMK_OK);
    ck_assert_uint_ge(plat_time_now() - since, 900 * MS);
    given_back(&held, HELD_MAX);
    all_taken(&held);
    ck_assert_int_eq(vm_memory_write(vm, gpa_make(2 * PAGE_SIZE), bytes, 8), VMK_NO_MEMORY);
    given_back(&held, HELD_MAX);
    vm->state = VM_STATE_OFF;
    vm_swap_destroy(vm);
}

START_TEST(test_vm_swap__host_without_memory__loading_waits_a_minute)
{
    sim_test_run(loading, NULL);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_vm_swap__with_cache__every_page_comes_back,
        test_vm_swap__without_cache__every_page_comes_back,
        test_vm_swap__full_cache__hands_its_oldest_to_the_disk,
        test_vm_swap__writes_that_fail__lose_nothing,
        test_vm_swap__full_store__takes_no_more_and_loses_nothing,
        test_vm_swap__reads_that_fail__stop_the_vm,
        test_vm_swap__a_rotten_page__stops_the_vm,
        test_vm_swap__pages_for_the_balloon__leave_cache_and_disk,
        test_vm_swap__folder_too_small__refuses_the_vm,
        test_vm_swap__folder_fills_up__takes_no_more_and_loses_nothing,
        test_vm_swap__reservation_gets_lower__its_file_grows_or_it_stays,
        test_vm_swap__limit__waits_for_a_page_of_its_own,
        test_vm_swap__host_without_memory__loading_waits_a_minute,
        test_vm_swap__new_page_below_its_due__waits_for_others_first,
        test_vm_swap__swapped_page_below_its_due__waits_for_others_first,
    };
    Suite *suite = suite_create("vm_swap");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, fixture_start, fixture_stop);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tcase_add_test(all, tests[i]);
    tcase_add_loop_test(all, test_vm_swap__random_faults__no_page_is_ever_wrong, 0, 20);
    tcase_set_timeout(all, 120);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
