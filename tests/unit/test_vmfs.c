// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmfs.c -- VMFS-5 against a model, and through power cuts.
 *
 * The volume lies on the simulated disk (sim/model/disk.c). Random operations are compared with
 * a plain model in memory; histories are cut at every block written and the volume remounted.
 * The judge is vmfs_check() and what the model says an acknowledged sync has made durable.
 * tests/tools/vmfs.sh has vmfs-tools judge the same writer.
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

/* ---- the model: flat names, contents with a size limit ---- */

#define MODEL_FILES 12u
#define MODEL_SIZE  (3u << 20)

struct model_file {
    bool exists, directory;
    uint32_t size;
    unsigned char *data;
};

struct model {
    uint32_t room;  // bytes of each file
    struct model_file files[MODEL_FILES];
};

static void model_free(struct model *m)
{
    for (unsigned i = 0; i < MODEL_FILES; i++)
        free(m->files[i].data);
}

static void model_copy(struct model *to, const struct model *from)
{
    to->room = from->room;
    for (unsigned i = 0; i < MODEL_FILES; i++) {
        unsigned char *data = to->files[i].data;

        if (!data)
            data = calloc(1, from->room);
        to->files[i] = from->files[i];
        to->files[i].data = data;
        if (from->files[i].data)
            memcpy(data, from->files[i].data, from->room);
    }
}

/* One random operation on both; the statuses must agree. */
static vmk_status step(struct vmfs_volume *v, struct model *m, struct rng *rng, bool big)
{
    unsigned i = (unsigned)rng_below(rng, MODEL_FILES);
    struct model_file *f = &m->files[i];
    vmfs_id root = vmfs_root(v);
    vmfs_id id = {0, 0};
    vmk_status status = vmfs_lookup(v, root, name_of(i), strlen(name_of(i)), &id);

    if (status != VMK_OK && status != VMK_NOT_FOUND)
        return status;
    ck_assert_int_eq(status == VMK_OK, f->exists);
    switch (rng_below(rng, 8)) {
    case 0:
    case 1: {
        bool directory = rng_below(rng, 4) == 0;

        status = vmfs_create(v, root, name_of(i), directory ? VMFS_DIRECTORY : VMFS_FILE, 0644,
                             0, 0, NULL, &id);
        if (f->exists)
            return status == VMK_EXISTS ? VMK_OK : status;
        if (status == VMK_OK) {
            *f = (struct model_file){true, directory, 0, f->data};
            memset(f->data, 0, m->room);
        }
        return status;
    }
    case 2:
        status = vmfs_remove(v, root, name_of(i), f->directory);
        if (!f->exists)
            return status == VMK_NOT_FOUND ? VMK_OK : status;
        if (status == VMK_OK)
            f->exists = false;
        return status;
    case 3: {
        unsigned k = (unsigned)rng_below(rng, MODEL_FILES);
        struct model_file *g = &m->files[k];
        char from[16];

        strcpy(from, name_of(i));
        status = vmfs_rename(v, root, from, root, name_of(k));
        if (!f->exists)
            return status == VMK_NOT_FOUND ? VMK_OK : status;
        if (g->exists && f->directory != g->directory)
            return status == VMK_IS_DIR || status == VMK_NOT_DIR ? VMK_OK : status;
        if (status == VMK_OK && i != k) {
            unsigned char *data = g->data;

            *g = *f;
            f->data = data;
            f->exists = false;
        }
        return status;
    }
    case 4: {
        uint32_t size = (uint32_t)rng_below(rng, big ? MODEL_SIZE : 20000);

        if (!f->exists || f->directory)
            return VMK_OK;
        status = vmfs_truncate(v, id, size);
        if (status == VMK_OK) {
            if (size < f->size)
                memset(f->data + size, 0, f->size - size);
            f->size = size;
        }
        return status;
    }
    default: {
        static unsigned char data[200000];
        uint32_t size = 1 + (uint32_t)rng_below(rng, big ? sizeof(data) - 1 : 9000);
        uint32_t at = (uint32_t)rng_below(rng, (big ? MODEL_SIZE : 24000) - size);

        if (!f->exists || f->directory)
            return VMK_OK;
        for (uint32_t k = 0; k < size; k++)
            data[k] = (unsigned char)(rng->state >> (k % 56) ^ k);
        rng_next(rng);
        status = vmfs_write(v, id, at, data, size);
        if (status == VMK_OK) {
            memcpy(f->data + at, data, size);
            f->size = MAX(f->size, at + size);
        }
        return status;
    }
    }
}

/* Null if the volume holds what the model holds, else what differs. */
static const char *differs(struct vmfs_volume *v, const struct model *m)
{
    static unsigned char data[MODEL_SIZE];
    static char text[80];

    for (unsigned i = 0; i < MODEL_FILES; i++) {
        const struct model_file *f = &m->files[i];
        struct vmfs_attributes a;
        size_t got;
        vmfs_id id;
        vmk_status status = vmfs_lookup(v, vmfs_root(v), name_of(i), strlen(name_of(i)), &id);

        snprintf(text, sizeof(text), "%s: lookup %s", name_of(i), vmk_status_name(status));
        if ((status == VMK_OK) != f->exists)
            return text;
        if (!f->exists)
            continue;
        if (vmfs_attributes(v, id, &a) != VMK_OK || (a.type == VMFS_DIRECTORY) != f->directory)
            return "type";
        if (f->directory)
            continue;
        snprintf(text, sizeof(text), "%s: length %llu, not %u", name_of(i),
                 (unsigned long long)a.length, f->size);
        if (a.length != f->size)
            return text;
        if (vmfs_read(v, id, 0, data, sizeof(data), &got) != VMK_OK || got != f->size)
            return "read";
        for (uint32_t k = 0; k < f->size; k++) {
            if (data[k] == f->data[k])
                continue;
            snprintf(text, sizeof(text), "%s: byte %u of %u", name_of(i), k, f->size);
            return text;
        }
    }
    return NULL;
}

START_TEST(test_vmfs__fresh_volume__is_clean)
{
    struct disk_model *disk;
    struct vmfs_volume *v;
    struct vmfs_statistics s;

    v = open_fresh(&disk, false);
    ck_assert_uint_eq(problems(v), 0);
    ck_assert_uint_eq(vmfs_statistics(v, &s), VMK_OK);
    ck_assert_str_eq(s.label, "test");
    ck_assert_uint_eq(s.size, 256ull << 20);
    /* 13 for the system files, one for the journal. */
    ck_assert_uint_eq(s.free, (256ull - 14) << 20);
    close_last(disk, v);
}
END_TEST

START_TEST(test_vmfs__random_work__as_the_model)
{
    struct model m = {0};
    struct model empty = {.room = MODEL_SIZE};
    struct disk_model *disk;
    struct vmfs_volume *v;
    struct rng rng;
    bool private = _i & 1;

    sim_test_begin();
    model_copy(&m, &empty);
    rng_init(&rng, (uint64_t)_i, "vmfs", 0);
    disk = fresh_disk();
    v = mount_as(disk_model_device(disk), 1, private);
    for (unsigned i = 0; i < 600; i++) {
        ck_assert_uint_eq(step(v, &m, &rng, true), VMK_OK);
        if (i % 100 == 50)
            ck_assert_uint_eq(vmfs_tick(v), VMK_OK);
        if (i % 200 == 150) {
            ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
            v = mount_as(disk_model_device(disk), 1, private);
            ck_assert_msg(!differs(v, &m), "%s", differs(v, &m));
        }
    }
    ck_assert_msg(!differs(v, &m), "%s", differs(v, &m));
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    ck_assert_uint_eq(problems(v), 0);
    close_last(disk, v);
    model_free(&m);
    model_free(&empty);
}
END_TEST

/*
 * A history with syncs, cut after `cut` blocks. After the remount the check must be clean, and
 * what was synced and not touched since must be there: the model of the last sync, or of a
 * later state.
 */
static bool play_and_cut(uint64_t cut, uint64_t seed, uint64_t survivors, bool private)
{
    struct model now = {0};
    struct model synced = {0};
    struct model empty = {.room = 32768};
    bool touched[MODEL_FILES] = {false};
    struct disk_model *disk = fresh_disk();
    struct vmfs_volume *v;
    struct rng rng;
    bool finished = true;

    model_copy(&now, &empty);
    model_copy(&synced, &empty);
    rng_init(&rng, seed, "history", 0);
    v = mount_as(disk_model_device(disk), 1, private);
    disk_model_cut_after(disk, cut);
    for (unsigned i = 0; i < 40; i++) {
        struct model before = {0};
        vmk_status status;

        model_copy(&before, &now);
        status = i % 8 == 7 ? vmfs_sync(v) : step(v, &now, &rng, false);
        for (unsigned k = 0; k < MODEL_FILES; k++)
            touched[k] = touched[k] || before.files[k].exists != now.files[k].exists ||
                         before.files[k].size != now.files[k].size ||
                         memcmp(before.files[k].data, now.files[k].data, 32768) != 0;
        model_free(&before);
        if (status != VMK_OK) {
            ck_assert_msg(disk_model_is_cut(disk), "%s", vmk_status_text(status));
            /* What the failed operation would have touched is unknown. */
            memset(touched, 1, sizeof(touched));
            finished = false;
            break;
        }
        if (i % 8 == 7) {
            model_copy(&synced, &now);
            memset(touched, 0, sizeof(touched));
        }
    }
    vmfs_abandon(v);
    disk_model_power_on(disk, survivors);
    v = mount_as(disk_model_device(disk), 1, private);
    ck_assert_msg(problems(v) == 0, "cut %llu seed %llu survivors %llu",
                  (unsigned long long)cut, (unsigned long long)seed,
                  (unsigned long long)survivors);
    for (unsigned k = 0; k < MODEL_FILES; k++) {
        vmfs_id id;

        if (touched[k])
            continue;
        ck_assert_int_eq(vmfs_lookup(v, vmfs_root(v), name_of(k), strlen(name_of(k)), &id) ==
                             VMK_OK,
                         synced.files[k].exists);
        if (synced.files[k].exists && !synced.files[k].directory) {
            static unsigned char data[65536];
            size_t got;

            ck_assert_uint_eq(vmfs_read(v, id, 0, data, sizeof(data), &got), VMK_OK);
            ck_assert_uint_eq(got, synced.files[k].size);
            ck_assert_mem_eq(data, synced.files[k].data, got);
        }
    }
    close_last(disk, v);
    model_free(&now);
    model_free(&synced);
    model_free(&empty);
    return finished;
}

START_TEST(test_vmfs__power_cut_at_every_block__clean_and_synced_data_there)
{
    static const uint64_t survivors[] = {0, UINT64_MAX, 1, 2};

    sim_test_begin();
    for (uint64_t cut = 0;; cut += 3) {
        if (play_and_cut(cut, 5, survivors[cut / 3 % 4], true))
            break;
    }
    for (uint64_t cut = 3;; cut += 5) {
        if (play_and_cut(cut, 6, survivors[cut / 5 % 4], false))
            break;
    }
    /*
     * Many histories, one cut each: blocks change their use in ways that one history has not.
     */
    for (uint64_t seed = 100; seed < 300; seed++)
        (void)play_and_cut(seed * 7919 % 700, seed, seed % 5 ? seed : 0, seed & 1);
}
END_TEST

START_TEST(test_vmfs__directory_block_reused_for_data__replay_leaves_the_data)
{
    struct disk_model *disk;
    struct vmfs_volume *v;
    vmfs_id file;

    v = open_fresh(&disk, true);
    make(v, 0, VMFS_DIRECTORY, 0);
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), name_of(0), true), VMK_OK);
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    file = make(v, 1, VMFS_FILE, 0x5a);
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    v = crash(disk, v, true);
    expect_bytes(v, file, 0x5a);
    close_last(disk, v);
}
END_TEST

/* An entry alone is durable by the journal's own write; data and locks need a FLUSH. */
START_TEST(test_vmfs__file_made_durable__flushes_only_for_what_needs_it)
{
    const bool private = _i;
    struct disk_model *disk;
    struct vmfs_volume *v = open_fresh(&disk, private);
    const uint64_t *flushes = &disk_model_device(disk)->stats.flushes;
    uint64_t before;
    vmfs_id file;

    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    before = *flushes;
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "empty", VMFS_FILE, 0600, 0, 0, NULL, &file),
                      VMK_OK);
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    ck_assert_uint_eq(*flushes - before, private ? 0 : 1);
    before = *flushes;
    file = make(v, 1, VMFS_FILE, 0x5a);
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    ck_assert_uint_eq(*flushes - before, 1);
    vmfs_abandon(v);
    disk_model_power_on(disk, UINT64_MAX);
    v = mount_as(disk_model_device(disk), 1, private);
    expect_bytes(v, file, 0x5a);
    ck_assert_uint_eq(vmfs_lookup(v, vmfs_root(v), "empty", 5, &file), VMK_OK);
    ck_assert_uint_eq(problems(v), 0);
    close_last(disk, v);
}
END_TEST

/* Who has a file open for writing stands in its lock; a small room cuts the text. */
START_TEST(test_vmfs__description_of_an_open_file__lock_owner_and_descriptor)
{
    struct disk_model *disk;
    struct vmfs_volume *v = open_fresh(&disk, false);
    char text[VMFS_DESCRIBE_SIZE];
    char small[20];
    char owner[VMFS_UUID_TEXT];
    const struct vmfs_uuid host = host_uuid(1);
    vmfs_id file = make(v, 1, VMFS_FILE, 0x5a);

    vmfs_uuid_text(&host, owner);
    ck_assert_uint_eq(vmfs_open(v, file, true), VMK_OK);
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    ck_assert_uint_eq(vmfs_describe(v, file, text, sizeof(text)), VMK_OK);
    ck_assert_ptr_nonnull(strstr(text, "Lock [type 10c00001 offset "));
    ck_assert_ptr_nonnull(strstr(text, "mode 1, owner "));
    ck_assert_ptr_nonnull(strstr(text, owner));
    ck_assert_ptr_nonnull(strstr(text, "\nnum 0 gblnum 0 gblgen 0 gblbrk 0]\nAddr <4, "));
    ck_assert_ptr_nonnull(strstr(text, "links 1, type reg, "));
    ck_assert_int_eq(text[strlen(text) - 1], '\n');
    ck_assert_uint_eq(vmfs_describe(v, file, small, sizeof(small)), VMK_OK);
    ck_assert_int_eq(memcmp(small, text, sizeof(small) - 1), 0);
    ck_assert_int_eq(small[sizeof(small) - 1], 0);
    vmfs_close(v, file, true);
    close_last(disk, v);
}
END_TEST

START_TEST(test_vmfs__block_freed_but_not_committed__is_not_reused)
{
    struct disk_model *disk;
    struct vmfs_volume *v;
    vmfs_id file;

    v = open_fresh(&disk, true);
    file = make(v, 0, VMFS_FILE, 0x11);
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), name_of(0), false), VMK_OK);
    make(v, 1, VMFS_FILE, 0x22);
    /* The power goes before any commit: the removal never was. */
    v = crash(disk, v, true);
    expect_bytes(v, file, 0x11);
    close_last(disk, v);
}
END_TEST

START_TEST(test_vmfs__big_sparse_files__all_kinds_of_map)
{
    static const uint64_t offsets[] = {
        0, 5000, 900000, 300ull << 20, 200ull << 30, 300ull << 30, 40ull << 40};
    struct disk_model *disk;
    struct vmfs_volume *v;
    struct vmfs_statistics before;
    struct vmfs_statistics after;
    vmfs_id file;

    sim_test_begin();
    disk = disk_model_create("disk", 600ull << 20);
    format(disk_model_device(disk));
    v = mount_as(disk_model_device(disk), 1, true);
    ck_assert_uint_eq(vmfs_statistics(v, &before), VMK_OK);
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "big", VMFS_FILE, 0600, 0, 0, NULL, &file),
                      VMK_OK);
    for (unsigned i = 0; i < ARRAY_COUNT(offsets); i++) {
        ck_assert_uint_eq(vmfs_write(v, file, offsets[i], &offsets[i], sizeof(offsets[i])),
                          VMK_OK);
        for (unsigned k = 0; k <= i; k++) {
            uint64_t value[2] = {1, 1};
            size_t got;

            ck_assert_uint_eq(vmfs_read(v, file, offsets[k], value, sizeof(value), &got),
                              VMK_OK);
            ck_assert_uint_eq(value[0], offsets[k]);
            if (k < i)
                ck_assert_uint_eq(value[1], 0);
        }
        ck_assert_uint_eq(problems(v), 0);
    }
    ck_assert_uint_eq(vmfs_write(v, file, VMFS_FILE_MAX - 1, "ab", 2), VMK_TOO_BIG);
    ck_assert_uint_eq(vmfs_truncate(v, file, 0), VMK_OK);
    ck_assert_uint_eq(problems(v), 0);
    ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), "big", false), VMK_OK);
    ck_assert_uint_eq(vmfs_statistics(v, &after), VMK_OK);
    ck_assert_uint_eq(after.free, before.free);
    ck_assert_uint_eq(after.pointer_blocks_free, before.pointer_blocks_free);
    close_last(disk, v);
}
END_TEST

START_TEST(test_vmfs__full_volume__no_space_and_nothing_lost)
{
    static unsigned char data[1 << 20];
    struct disk_model *disk;
    struct vmfs_volume *v;
    vmk_status status = VMK_OK;
    vmfs_id file;
    uint64_t at = 0;

    v = open_fresh(&disk, false);
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "all", VMFS_FILE, 0600, 0, 0, NULL, &file),
                      VMK_OK);
    while (status == VMK_OK) {
        memset(data, (int)(at >> 20) + 1, sizeof(data));
        status = vmfs_write(v, file, at, data, sizeof(data));
        if (status == VMK_OK)
            at += sizeof(data);
    }
    ck_assert_uint_eq(status, VMK_NO_SPACE);
    ck_assert_uint_eq(at, (256ull - 14) << 20);
    ck_assert_uint_eq(problems(v), 0);
    ck_assert_uint_eq(vmfs_truncate(v, file, 1 << 20), VMK_OK);
    ck_assert_uint_eq(vmfs_write(v, file, 1 << 20, data, sizeof(data)), VMK_OK);
    ck_assert_uint_eq(problems(v), 0);
    close_last(disk, v);
}
END_TEST

START_TEST(test_vmfs__disk_errors__reported_and_undone)
{
    struct disk_model *disk;
    struct vmfs_volume *v;
    vmfs_id file;

    v = open_fresh(&disk, false);
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "a", VMFS_FILE, 0600, 0, 0, NULL, &file),
                      VMK_OK);
    disk_model_fail(disk, 0, DISK_SIZE, 1);
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "b", VMFS_FILE, 0600, 0, 0, NULL, &file),
                      VMK_IO_ERROR);
    ck_assert_uint_eq(vmfs_lookup(v, vmfs_root(v), "b", 1, &file), VMK_NOT_FOUND);
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "b", VMFS_FILE, 0600, 0, 0, NULL, &file),
                      VMK_OK);
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    ck_assert_uint_eq(problems(v), 0);
    close_last(disk, v);
}
END_TEST

/* All free blocks hold 0xee afterwards: what a file shows of them is a leak. */
int main(void)
{
    Suite *suite = suite_create("vmfs");
    TCase *tcase = tcase_create("vmfs");

    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, test_vmfs__fresh_volume__is_clean);
    tcase_add_loop_test(tcase, test_vmfs__random_work__as_the_model, 0, 6);
    tcase_add_test(tcase, test_vmfs__power_cut_at_every_block__clean_and_synced_data_there);
    tcase_add_test(tcase, test_vmfs__directory_block_reused_for_data__replay_leaves_the_data);
    tcase_add_loop_test(tcase, test_vmfs__file_made_durable__flushes_only_for_what_needs_it, 0,
                        2);
    tcase_add_test(tcase, test_vmfs__description_of_an_open_file__lock_owner_and_descriptor);
    tcase_add_test(tcase, test_vmfs__block_freed_but_not_committed__is_not_reused);
    tcase_add_test(tcase, test_vmfs__big_sparse_files__all_kinds_of_map);
    tcase_add_test(tcase, test_vmfs__full_volume__no_space_and_nothing_lost);
    tcase_add_test(tcase, test_vmfs__disk_errors__reported_and_undone);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
