// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmfs_locks.c -- who owns a file: two hosts on one disk, one of which dies.
 *
 * Both are mounted in one process, as hosts of different identity. A lock is broken when its
 * host's heartbeat has stood still for the timeout, and never before; whoever dies at whatever
 * step, no file has two owners.
 *
 * Invariants
 *   - Virtual time stands still unless a test moves it.
 * Locking    none.
 */
#include <stdio.h>
#include <string.h>

#include "fs/vmfs/vmfs.h"
#include "fs/vmfs/vmfs_format.h"
#include "io/io.h"
#include "lib/rng.h"
#include "sim/model/disk.h"
#include "tests/unit/vmfs_fixture.h"

START_TEST(test_vmfs__file_locked_by_one_host__contended_for_the_other)
{
    struct disk_model *disk;
    struct vmfs_volume *a;
    struct vmfs_volume *b;
    vmfs_id file;

    a = open_fresh(&disk, false);
    b = mount_as(disk_model_device(disk), 2, false);
    ck_assert_uint_eq(
        vmfs_create(a, vmfs_root(a), "disk.vmdk", VMFS_FILE, 0600, 0, 0, NULL, &file), VMK_OK);
    ck_assert_uint_eq(vmfs_open(a, file, true), VMK_OK);
    ck_assert_uint_eq(vmfs_write(a, file, 0, "from a", 6), VMK_OK);
    ck_assert_uint_eq(vmfs_tick(a), VMK_OK);
    ck_assert_uint_eq(vmfs_open(b, file, true), VMK_CONTENDED);
    ck_assert_uint_eq(vmfs_write(b, file, 0, "from b", 6), VMK_CONTENDED);
    vmfs_close(a, file, true);
    ck_assert_uint_eq(vmfs_tick(a), VMK_OK);
    ck_assert_uint_eq(vmfs_open(b, file, true), VMK_OK);
    ck_assert_uint_eq(vmfs_write(b, file, 0, "from b", 6), VMK_OK);
    ck_assert_uint_eq(vmfs_open(a, file, true), VMK_CONTENDED);
    vmfs_close(b, file, true);
    ck_assert_uint_eq(vmfs_unmount(b), VMK_OK);
    ck_assert_uint_eq(problems(a), 0);
    close_last(disk, a);
}
END_TEST

START_TEST(test_vmfs__dead_host__its_locks_are_broken_after_the_timeout_and_never_before)
{
    struct disk_model *disk;
    struct vmfs_volume *a;
    struct vmfs_volume *b;
    vmfs_id file;
    vmk_status status;
    plat_ns began;

    a = open_fresh(&disk, false);
    b = mount_as(disk_model_device(disk), 2, false);
    ck_assert_uint_eq(vmfs_create(a, vmfs_root(a), "x", VMFS_FILE, 0600, 0, 0, NULL, &file),
                      VMK_OK);
    ck_assert_uint_eq(vmfs_open(a, file, true), VMK_OK);
    ck_assert_uint_eq(vmfs_write(a, file, 0, "durable", 7), VMK_OK);
    ck_assert_uint_eq(vmfs_sync(a), VMK_OK);
    vmfs_abandon(a);
    began = plat_time_now();
    /* The directory and the file are still locked by the dead. */
    do {
        time_passes(1000000000ull);
        ck_assert_uint_eq(vmfs_tick(b), VMK_OK);
        status = vmfs_open(b, file, true);
        if (plat_time_now() - began < HB_DEAD_NS)
            ck_assert_uint_eq(status, VMK_CONTENDED);
        ck_assert(plat_time_now() - began < 2 * HB_DEAD_NS);
    } while (status == VMK_CONTENDED);
    ck_assert_uint_eq(status, VMK_OK);

    char text[16] = "";
    size_t got;

    ck_assert_uint_eq(vmfs_read(b, file, 0, text, sizeof(text), &got), VMK_OK);
    ck_assert_str_eq(text, "durable");
    vmfs_close(b, file, true);
    ck_assert_uint_eq(vmfs_sync(b), VMK_OK);
    ck_assert_uint_eq(problems(b), 0);
    close_last(disk, b);
}
END_TEST

/*
 * A host writes by the number of a file that the other has removed; the descriptor is wanted
 * for a new one.
 */
START_TEST(test_vmfs__descriptor_locked_by_its_old_number__nobody_loses_a_lock)
{
    struct disk_model *disk;
    struct vmfs_volume *a = open_fresh(&disk, false);
    struct vmfs_volume *b = mount_as(disk_model_device(disk), 2, false);
    vmfs_id old = make(a, 1, VMFS_FILE, 1);
    vmfs_id fresh;
    vmk_status status;

    ck_assert_uint_eq(vmfs_tick(a), VMK_OK);
    ck_assert_uint_eq(vmfs_open(b, old, false), VMK_OK);
    ck_assert_uint_eq(vmfs_remove(a, vmfs_root(a), name_of(1), false), VMK_OK);
    ck_assert_uint_eq(vmfs_tick(a), VMK_OK);
    ck_assert_uint_ne(vmfs_truncate(b, (vmfs_id){old.address, old.generation + 1}, 5), VMK_OK);
    status = vmfs_create(a, vmfs_root(a), name_of(2), VMFS_FILE, 0600, 0, 0, NULL, &fresh);
    ck_assert(status == VMK_CONTENDED || fresh.address != old.address);
    ck_assert_uint_eq(vmfs_tick(a), VMK_OK);
    vmfs_close(b, old, false);
    ck_assert_uint_eq(vmfs_tick(b), VMK_OK);
    ck_assert_uint_eq(
        vmfs_create(a, vmfs_root(a), name_of(3), VMFS_FILE, 0600, 0, 0, NULL, &fresh), VMK_OK);
    ck_assert_uint_eq(vmfs_unmount(b), VMK_OK);
    ck_assert_uint_eq(problems(a), 0);
    close_last(disk, a);
}
END_TEST

/*
 * Writes what another implementation leaves in the lock of a file that `readers` hosts share,
 * by turns these two.
 */
static void share_lock(struct block_device *device, uint64_t lock, uint32_t mode,
                       uint32_t readers, const uint8_t (*slots)[VMFS_SECTOR])
{
    uint8_t sector[VMFS_SECTOR];

    ck_assert_uint_eq(block_read(device, LVM_DATA + lock, sector, sizeof(sector)), VMK_OK);
    put_le32(sector + LOCK_MODE, mode);
    memset(sector + LOCK_OWNER, 0, VMFS_UUID_SIZE);
    put_le32(sector + LOCK_HOLDERS, readers);
    for (unsigned i = 0; i < MIN(readers, LOCK_HOLDERS_MAX); i++) {
        uint8_t *holder = sector + LOCK_HOLDER + (size_t)i * LOCK_HOLDER_SIZE;

        put_le64(holder, le64(slots[i % 2] + HB_ADDRESS));
        put_le64(holder + 8, le64(slots[i % 2] + HB_GENERATION));
        memcpy(holder + 16, slots[i % 2] + HB_OWNER, VMFS_UUID_SIZE);
    }
    ck_assert_uint_eq(block_write(device, LVM_DATA + lock, sector, sizeof(sector)), VMK_OK);
}

/* The slot that the host has, as it stands. */
static void slot_of_host(struct block_device *device, unsigned host, uint8_t *slot)
{
    const struct vmfs_uuid uuid = host_uuid(host);

    for (unsigned i = 0; i < HB_SLOTS; i++) {
        ck_assert_uint_eq(
            block_read(device, LVM_DATA + HB_BASE + i * VMFS_SECTOR, slot, VMFS_SECTOR),
            VMK_OK);
        if (le32(slot + HB_STATE) == HB_IN_USE &&
            !memcmp(slot + HB_OWNER, uuid.raw, sizeof(uuid.raw)))
            return;
    }
    ck_abort_msg("host %u has no heartbeat", host);
}

/* Several hosts have a file open to read: the lock lists them, and names no owner. */
START_TEST(test_vmfs__lock_shared_by_readers__broken_when_all_are_dead_and_not_before)
{
    const uint32_t mode = _i ? LOCK_MULTI_WRITER : LOCK_SHARED;
    struct disk_model *disk;
    struct vmfs_volume *a = open_fresh(&disk, false);
    struct vmfs_volume *b = mount_as(disk_model_device(disk), 2, false);
    struct vmfs_volume *c;
    uint8_t slots[2][VMFS_SECTOR];
    struct vmfs_lock_info lock;
    vmk_status status;
    plat_ns began;
    vmfs_id file;

    ck_assert_uint_eq(vmfs_tick(a), VMK_OK);
    ck_assert_uint_eq(vmfs_tick(b), VMK_OK);
    c = mount_as(disk_model_device(disk), 3, false);
    ck_assert_uint_eq(vmfs_tick(c), VMK_OK);
    ck_assert_uint_eq(vmfs_create(a, vmfs_root(a), "x", VMFS_FILE, 0600, 0, 0, NULL, &file),
                      VMK_OK);
    ck_assert_uint_eq(vmfs_tick(a), VMK_OK);
    ck_assert_uint_eq(vmfs_lock_info(a, file, &lock), VMK_OK);
    slot_of_host(disk_model_device(disk), 2, slots[0]);
    slot_of_host(disk_model_device(disk), 3, slots[1]);
    share_lock(disk_model_device(disk), lock.address, mode, 2, slots);
    vmfs_abandon(b);
    began = plat_time_now();
    while (plat_time_now() - began < 3 * HB_DEAD_NS) {  // the second one lives
        time_passes(1000000000ull);
        ck_assert_uint_eq(vmfs_tick(a), VMK_OK);
        ck_assert_uint_eq(vmfs_tick(c), VMK_OK);
        ck_assert_uint_eq(vmfs_write(a, file, 0, "mine", 4), VMK_CONTENDED);
    }
    vmfs_abandon(c);
    began = plat_time_now();
    do {
        time_passes(1000000000ull);
        ck_assert_uint_eq(vmfs_tick(a), VMK_OK);
        status = vmfs_write(a, file, 0, "mine", 4);
        if (plat_time_now() - began < HB_DEAD_NS)
            ck_assert_uint_eq(status, VMK_CONTENDED);
        ck_assert(plat_time_now() - began < 3 * HB_DEAD_NS);
    } while (status == VMK_CONTENDED);
    ck_assert_uint_eq(status, VMK_OK);
    ck_assert_uint_eq(vmfs_tick(a), VMK_OK);
    /* More than its sector lists: nobody can say that they are all dead. */
    share_lock(disk_model_device(disk), lock.address, mode, LOCK_HOLDERS_MAX + 1, slots);
    ck_assert_uint_eq(vmfs_write(a, file, 0, "mine", 4), VMK_CONTENDED);
    share_lock(disk_model_device(disk), lock.address, LOCK_FREE, 0, slots);
    ck_assert_uint_eq(problems(a), 0);
    close_last(disk, a);
}
END_TEST

/*
 * The locks of the descriptors behind a new one are read with its own. Meanwhile another host
 * had one of them, by the number of a file that is gone: what was read is old, and that is
 * seen.
 */
START_TEST(test_vmfs__locks_read_ahead__fewer_reads_and_never_an_old_one)
{
    enum {
        FILES = 6
    };
    struct disk_model *disk;
    struct vmfs_volume *a = open_fresh(&disk, false);
    struct vmfs_volume *b = mount_as(disk_model_device(disk), 2, false);
    const struct block_stats *stats = &disk_model_device(disk)->stats;
    struct vmfs_lock_info before, after;
    uint64_t reads[FILES];
    vmfs_id old[FILES], fresh[FILES];

    for (unsigned i = 0; i < FILES; i++)
        old[i] = make(a, i, VMFS_FILE, 1);
    for (unsigned i = 0; i < FILES; i++)
        ck_assert_uint_eq(vmfs_remove(a, vmfs_root(a), name_of(i), false), VMK_OK);
    ck_assert_uint_eq(vmfs_tick(a), VMK_OK);
    for (unsigned i = 0; i < FILES; i++) {
        uint64_t began;

        if (i == 3) {
            ck_assert_uint_ne(vmfs_truncate(b, old[i], 5), VMK_OK);
            ck_assert_uint_eq(vmfs_tick(b), VMK_OK);
        }
        began = stats->reads;
        ck_assert_uint_eq(
            vmfs_create(a, vmfs_root(a), name_of(i), VMFS_FILE, 0600, 0, 0, NULL, &fresh[i]),
            VMK_OK);
        reads[i] = stats->reads - began;
        ck_assert_uint_eq(fresh[i].address, old[i].address);
    }
    ck_assert_uint_eq(reads[2], reads[4]);
    ck_assert_uint_gt(reads[3], reads[4]);
    /* A token never goes back. */
    ck_assert_uint_eq(vmfs_lock_info(a, fresh[3], &before), VMK_OK);
    ck_assert_uint_eq(vmfs_tick(a), VMK_OK);
    ck_assert_uint_eq(vmfs_write(b, fresh[3], 0, "b", 1), VMK_OK);
    ck_assert_uint_eq(vmfs_lock_info(b, fresh[3], &after), VMK_OK);
    ck_assert_uint_gt(after.token, before.token);
    ck_assert_uint_eq(vmfs_unmount(b), VMK_OK);
    ck_assert_uint_eq(problems(a), 0);
    close_last(disk, a);
}
END_TEST

/*
 * A volume that ESXi left in the middle of a change: its slot names a journal block with one
 * record in it.
 * Nothing of it is touched, and it can be read; with the header zero, as ESXi leaves it, it is
 * taken over.
 */
START_TEST(test_vmfs__journal_of_esxi_open__only_read)
{
    struct disk_model *disk;
    struct block_device *device;
    const uint64_t slot = LVM_DATA + HB_BASE + 984 * VMFS_SECTOR;
    const uint64_t journal = LVM_DATA + (100ull << VMFS_FB_SHIFT);
    struct vmfs_mount how = {
        .host = host_uuid(1), .private_volume = true, .seconds = fixed_seconds};
    struct vmfs_volume *v;
    uint8_t image[VMFS_SECTOR];
    uint8_t before[VMFS_SECTOR];
    uint8_t head[2 * VMFS_SECTOR] = {7};

    sim_test_begin();
    disk = fresh_disk();
    device = disk_model_device(disk);
    ck_assert_uint_eq(block_read(device, slot, image, sizeof(image)), VMK_OK);
    put_le32(image + HB_STATE, HB_IN_USE);
    put_le64(image + HB_GENERATION, 9);
    memset(image + HB_OWNER, 0x55, VMFS_UUID_SIZE);
    put_le32(image + HB_JOURNAL_FB, addr_fb(100));
    ck_assert_uint_eq(block_write(device, slot, image, sizeof(image)), VMK_OK);
    put_le32(head + 0x350, 1);
    put_le64(head + 0x360, 0x410000);
    put_le64(head + 0x368, 1024);
    ck_assert_uint_eq(block_write(device, journal, head, sizeof(head)), VMK_OK);
    ck_assert_uint_eq(vmfs_mount(&device, 1, &how, &v), VMK_UNSUPPORTED);
    ck_assert_uint_eq(block_read(device, slot, before, sizeof(before)), VMK_OK);
    ck_assert_mem_eq(before, image, sizeof(image));
    how.read_only = true;
    ck_assert_uint_eq(vmfs_mount(&device, 1, &how, &v), VMK_OK);
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    head[0] = 0;
    ck_assert_uint_eq(block_write(device, journal, head, sizeof(head)), VMK_OK);
    v = mount_as(device, 1, true);
    ck_assert_uint_eq(block_read(device, slot, image, sizeof(image)), VMK_OK);
    ck_assert_uint_eq(le32(image + HB_STATE), HB_FREE);
    ck_assert_uint_eq(problems(v), 0);
    close_last(disk, v);
}
END_TEST

START_TEST(test_vmfs__beating_host__is_never_taken_for_dead)
{
    struct disk_model *disk;
    struct vmfs_volume *a;
    struct vmfs_volume *b;
    vmfs_id file;

    a = open_fresh(&disk, false);
    b = mount_as(disk_model_device(disk), 2, false);
    ck_assert_uint_eq(vmfs_create(a, vmfs_root(a), "x", VMFS_FILE, 0600, 0, 0, NULL, &file),
                      VMK_OK);
    ck_assert_uint_eq(vmfs_open(a, file, true), VMK_OK);
    for (unsigned i = 0; i < 30; i++) {
        time_passes(HB_BEAT_NS);
        ck_assert_uint_eq(vmfs_tick(a), VMK_OK);
        ck_assert_uint_eq(vmfs_open(b, file, true), VMK_CONTENDED);
    }
    vmfs_abandon(b);
    vmfs_close(a, file, true);
    close_last(disk, a);
}
END_TEST

START_TEST(test_vmfs__two_hosts_one_killed_at_every_step__no_file_has_two_owners)
{
    sim_test_begin();
    for (unsigned kill = 0; kill < 60; kill += 5) {
        struct disk_model *disk = fresh_disk();
        struct vmfs_volume *v[2];
        bool own[2][4] = {{false}};
        vmfs_id files[4];
        struct rng rng;

        rng_init(&rng, kill, "owners", 0);
        v[0] = mount_as(disk_model_device(disk), 1, false);
        v[1] = mount_as(disk_model_device(disk), 2, false);
        for (unsigned i = 0; i < 4; i++)
            ck_assert_uint_eq(vmfs_create(v[0], vmfs_root(v[0]), name_of(i), VMFS_FILE, 0600, 0,
                                          0, NULL, &files[i]),
                              VMK_OK);
        ck_assert_uint_eq(vmfs_tick(v[0]), VMK_OK);
        for (unsigned i = 0; i < 100; i++) {
            unsigned host = (unsigned)rng_below(&rng, 2);
            unsigned f = (unsigned)rng_below(&rng, 4);

            if (i == kill) {
                vmfs_abandon(v[0]);
                v[0] = NULL;
            }
            if (i % 3 == 0)
                time_passes(HB_BEAT_NS);
            for (unsigned h = 0; h < 2; h++) {
                if (v[h])
                    ck_assert_uint_eq(vmfs_tick(v[h]), VMK_OK);
            }
            if (!v[host])
                continue;
            if (own[host][f]) {
                ck_assert_uint_eq(vmfs_write(v[host], files[f], i * 1000ull, "mine", 4),
                                  VMK_OK);
                if (rng_below(&rng, 2)) {
                    vmfs_close(v[host], files[f], true);
                    ck_assert_uint_eq(vmfs_tick(v[host]), VMK_OK);
                    own[host][f] = false;
                }
            } else {
                vmk_status status = vmfs_open(v[host], files[f], true);

                if (status == VMK_OK) {
                    own[host][f] = true;
                    ck_assert_msg(!v[!host] || !own[!host][f], "two owners, kill at %u", kill);
                } else {
                    ck_assert_uint_eq(status, VMK_CONTENDED);
                }
            }
        }
        for (unsigned h = 0; h < 2; h++) {
            if (!v[h])
                continue;
            for (unsigned f = 0; f < 4; f++) {
                if (own[h][f])
                    vmfs_close(v[h], files[f], true);
            }
            ck_assert_uint_eq(vmfs_tick(v[h]), VMK_OK);
        }
        ck_assert_uint_eq(problems(v[1]), 0);
        for (unsigned h = 0; h < 2; h++) {
            if (v[h])
                ck_assert_uint_eq(vmfs_unmount(v[h]), VMK_OK);
        }
        disk_model_destroy(disk);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vmfs_locks");
    TCase *tcase = tcase_create("vmfs_locks");

    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, test_vmfs__file_locked_by_one_host__contended_for_the_other);
    tcase_add_test(
        tcase, test_vmfs__dead_host__its_locks_are_broken_after_the_timeout_and_never_before);
    tcase_add_test(tcase, test_vmfs__descriptor_locked_by_its_old_number__nobody_loses_a_lock);
    tcase_add_test(tcase, test_vmfs__journal_of_esxi_open__only_read);
    tcase_add_test(tcase, test_vmfs__locks_read_ahead__fewer_reads_and_never_an_old_one);
    tcase_add_loop_test(
        tcase, test_vmfs__lock_shared_by_readers__broken_when_all_are_dead_and_not_before, 0,
        2);
    tcase_add_test(tcase, test_vmfs__beating_host__is_never_taken_for_dead);
    tcase_add_test(tcase,
                   test_vmfs__two_hosts_one_killed_at_every_step__no_file_has_two_owners);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
