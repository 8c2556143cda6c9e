// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmfs.c -- VMFS-5 against a model, through power cuts, and between hosts.
 *
 * The volume lies on the simulated disk (sim/model/disk.c). Random operations are compared with a
 * plain model in memory; histories are cut at every block written and the volume remounted; two
 * hosts share one disk and one dies at every step. The judge is vmfs_check() and what the model
 * says an acknowledged sync has made durable. tests/vmfs/tools.sh has vmfs-tools judge the same
 * writer.
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

static const char *name_of(unsigned i)
{
    static char name[16];

    snprintf(name, sizeof(name), "file%u", i);
    return name;
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

static void begin(void)
{
    sim_test_begin();
}

/* A fresh disk, mounted by host 1. */
static struct vmfs_volume *open_fresh(struct disk_model **disk, bool private)
{
    begin();
    *disk = fresh_disk();
    return mount_as(disk_model_device(*disk), 1, private);
}

static void close_last(struct disk_model *disk, struct vmfs_volume *v)
{
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    disk_model_destroy(disk);
}

/* Dies, and comes back on what the disk has in the order written. */
static struct vmfs_volume *crash(struct disk_model *disk, struct vmfs_volume *v, bool private)
{
    vmfs_abandon(v);
    disk_model_power_on(disk, 0);
    return mount_as(disk_model_device(disk), 1, private);
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

    begin();
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
 * A history with syncs, cut after `cut` blocks. After the remount the check must be clean, and what
 * was synced and not touched since must be there: the model of the last sync, or of a later state.
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

    begin();
    for (uint64_t cut = 0;; cut += 3) {
        if (play_and_cut(cut, 5, survivors[cut / 3 % 4], true))
            break;
    }
    for (uint64_t cut = 3;; cut += 5) {
        if (play_and_cut(cut, 6, survivors[cut / 5 % 4], false))
            break;
    }
    /* Many histories, one cut each: blocks change their use in ways that one history has not. */
    for (uint64_t seed = 100; seed < 300; seed++)
        (void)play_and_cut(seed * 7919 % 700, seed, seed % 5 ? seed : 0, seed & 1);
}
END_TEST

static vmfs_id make(struct vmfs_volume *v, unsigned i, enum vmfs_type type, int byte)
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

static void expect_bytes(struct vmfs_volume *v, vmfs_id id, int byte)
{
    unsigned char data[5000];
    size_t got;

    ck_assert_uint_eq(vmfs_read(v, id, 0, data, sizeof(data), &got), VMK_OK);
    ck_assert_uint_eq(got, sizeof(data));
    for (size_t i = 0; i < got; i++)
        ck_assert_int_eq(data[i], byte);
}

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
 * A volume that ESXi left in the middle of a change: its slot names a journal block with one record in it.
 * Nothing of it is touched, and it can be read; with the header zero, as ESXi leaves it, it is taken over.
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

    begin();
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
    begin();
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

START_TEST(test_vmfs__big_sparse_files__all_kinds_of_map)
{
    static const uint64_t offsets[] = {
        0, 5000, 900000, 300ull << 20, 200ull << 30, 300ull << 30, 40ull << 40};
    struct disk_model *disk;
    struct vmfs_volume *v;
    struct vmfs_statistics before;
    struct vmfs_statistics after;
    vmfs_id file;

    begin();
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
static void soil(struct vmfs_volume *v, uint64_t bytes)
{
    static unsigned char data[1 << 20];
    vmfs_id id;

    memset(data, 0xee, sizeof(data));
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "soil", VMFS_FILE, 0600, 0, 0, NULL, &id),
                      VMK_OK);
    for (uint64_t at = 0; at < bytes; at += sizeof(data))
        ck_assert_uint_eq(vmfs_write(v, id, at, data, sizeof(data)), VMK_OK);
    for (unsigned i = 0; i < 40; i++) {
        char name[16];

        snprintf(name, sizeof(name), "soil%u", i);
        ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), name, VMFS_FILE, 0600, 0, 0, NULL, &id),
                          VMK_OK);
        ck_assert_uint_eq(vmfs_write(v, id, 0, data, 8192), VMK_OK);
    }
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    for (unsigned i = 0; i < 40; i++) {
        char name[16];

        snprintf(name, sizeof(name), "soil%u", i);
        ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), name, false), VMK_OK);
    }
    ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), "soil", false), VMK_OK);
    ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
}

/* Bytes [from, to) of the file are `byte`. */
static void expect_range(struct vmfs_volume *v, vmfs_id id, uint64_t from, uint64_t to,
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

enum {
    GROW_ALLOCATE,
    GROW_ZEROED,
    GROW_TRUNCATE,
    GROW_WRITE,
    GROW_WAYS
};

/* Each way to make a file longer, from each kind of map, over blocks that held something else. */
START_TEST(test_vmfs__file_grown_over_old_blocks__reads_as_zeros)
{
    static const uint64_t starts[] = {0, 700, 5000, 8192, 9000, 1 << 20, (1 << 20) + 77};
    static const uint64_t ends[] = {6000, 8192, 20000, (1 << 20) - 5, (3 << 20) + 100};
    struct disk_model *disk;
    struct vmfs_volume *v = open_fresh(&disk, false);

    soil(v, 40 << 20);
    for (unsigned s = 0; s < ARRAY_COUNT(starts); s++) {
        for (unsigned e = 0; e < ARRAY_COUNT(ends); e++) {
            static unsigned char data[2 << 20];
            uint64_t start = starts[s];
            uint64_t end = ends[e];
            vmfs_id id;

            if (end <= start)
                continue;
            ck_assert_uint_eq(
                vmfs_create(v, vmfs_root(v), "g", VMFS_FILE, 0600, 0, 0, NULL, &id), VMK_OK);
            memset(data, 0x33, sizeof(data));
            ck_assert_uint_eq(vmfs_write(v, id, 0, data, start), VMK_OK);
            switch (_i) {
            case GROW_ALLOCATE:
                ck_assert_uint_eq(vmfs_allocate(v, id, end, VMFS_EAGER_ZEROED), VMK_OK);
                break;
            case GROW_ZEROED:
                ck_assert_uint_eq(vmfs_allocate(v, id, end, VMFS_ZEROED_THICK), VMK_OK);
                ck_assert_uint_eq(vmfs_allocate(v, id, end, VMFS_EAGER_ZEROED), VMK_OK);
                break;
            case GROW_TRUNCATE: ck_assert_uint_eq(vmfs_truncate(v, id, end), VMK_OK); break;
            default: ck_assert_uint_eq(vmfs_write(v, id, end - 1, "", 1), VMK_OK); break;
            }
            expect_range(v, id, 0, start, 0x33);
            expect_range(v, id, start, end, 0);
            ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), "g", false), VMK_OK);
            ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
        }
    }
    ck_assert_uint_eq(problems(v), 0);
    close_last(disk, v);
}
END_TEST

START_TEST(test_vmfs__large_truncate_cut_in_the_middle__nothing_old_behind_the_end)
{
    const uint64_t blocks = 430;  // more than one operation frees
    struct disk_model *pattern;
    struct vmfs_volume *v;
    vmfs_id id;

    begin();
    pattern = disk_model_create("disk", 600ull << 20);
    format(disk_model_device(pattern));
    v = mount_as(disk_model_device(pattern), 1, true);
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "t", VMFS_FILE, 0600, 0, 0, NULL, &id),
                      VMK_OK);
    for (uint64_t at = 0; at < blocks; at++) {
        ck_assert_uint_eq(vmfs_write(v, id, at << 20, "old", 3), VMK_OK);
        if (at % 16 == 0)
            ck_assert_uint_eq(vmfs_sync(v), VMK_OK);
    }
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    for (uint64_t cut = 0; cut < 2200; cut += 73) {
        struct disk_model *disk = disk_model_clone(pattern);
        struct vmfs_attributes a;

        v = mount_as(disk_model_device(disk), 1, true);
        disk_model_cut_after(disk, cut);
        if (vmfs_truncate(v, id, 1) == VMK_OK)
            (void)!vmfs_sync(v);
        v = crash(disk, v, true);
        ck_assert_uint_eq(problems(v), 0);
        ck_assert_uint_eq(vmfs_attributes(v, id, &a), VMK_OK);
        if (a.length < blocks << 20) {
            uint64_t at = round_up(a.length, 1ull << 20);

            ck_assert_uint_eq(vmfs_truncate(v, id, blocks << 20), VMK_OK);
            for (; at < blocks << 20; at += 1 << 20)
                expect_range(v, id, at, at + 3, 0);
        }
        close_last(disk, v);
    }
    disk_model_destroy(pattern);
}
END_TEST

/* A flipped bit in each field that the check claims to know; and the clean volume has none. */
START_TEST(test_vmfs__rotten_bit__check_finds_it)
{
    static const struct {
        uint64_t at;  // in the volume
        unsigned bit;
    } places[] = {
        {FS_BASE + (2u << 20) + 0x20000 + FD_META + FD_LINKS, 3},           // the root's links
        {FS_BASE + (2u << 20) + 0x20000 + 2048 + FD_META + FD_LENGTH, 20},  // .fbb.sf's length
        {0x600000 + 0x10000 + LOCK_TYPE, 1},                                // lock of a cluster
        {0x600000 + 0x10000 + VMFS_SECTOR + RES_C_FREE, 0},                 // its free count
        {0x600000 + 0x10000 + VMFS_SECTOR + RES_C_BITMAP, 1},      // a used block is free
        {0x600000 + 0x10000 + VMFS_SECTOR + RES_C_BITMAP + 8, 1},  // a free one is lost
        {0x400000 + 0x10000 + VMFS_SECTOR + RES_C_BITMAP + 2, 7},  // a descriptor
        {0x500000 + 3 * DIRENT_SIZE + DIRENT_GENERATION, 4},       // a name's generation
        {0x500000 + 3 * DIRENT_SIZE + DIRENT_FD, 25},              // whom it names
        {HB_BASE + 77 * VMFS_SECTOR + HB_ADDRESS, 12},             // a heartbeat slot
    };

    for (unsigned i = 0; i < ARRAY_COUNT(places); i++) {
        struct disk_model *disk;
        struct vmfs_volume *v;
        struct block_device *device;
        const struct vmfs_mount how = {.read_only = true, .private_volume = true};

        v = open_fresh(&disk, true);
        ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
        disk_model_rot(disk, LVM_DATA + places[i].at + places[i].bit / 8, places[i].bit % 8);
        device = disk_model_device(disk);
        if (vmfs_mount(&device, 1, &how, &v) == VMK_OK) {
            vmk_status status;

            ck_assert_msg(vmfs_check(v, NULL, NULL, &status) > 0 || status != VMK_OK,
                          "place %u was not noticed", i);
            ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
        }
        disk_model_destroy(disk);
    }
}
END_TEST

/* Every byte that the volume has is the file's, and it is all there after a remount. */
static void fill_and_check(struct block_device *const *devices, unsigned count, uint64_t blocks)
{
    const struct vmfs_mount how = {.host = host_uuid(1), .seconds = fixed_seconds};
    struct vmfs_statistics s;
    struct vmfs_volume *v;
    vmfs_id ids[20];
    char name[16];
    static const unsigned char data[1 << 20];

    ck_assert_uint_eq(vmfs_mount(devices, count, &how, &v), VMK_OK);
    ck_assert_uint_eq(problems(v), 0);
    ck_assert_uint_eq(vmfs_statistics(v, &s), VMK_OK);
    ck_assert_uint_eq(s.size >> 20, blocks);
    ck_assert_uint_eq(s.extents, count);
    for (uint64_t at = 0; at < s.free >> 20; at++) {
        /* A grown volume has no more pointer blocks than it had: files below 256 MiB need none. */
        if (at % 200 == 0) {
            snprintf(name, sizeof(name), "fill%llu", (unsigned long long)at / 200);
            ck_assert_uint_eq(
                vmfs_create(v, vmfs_root(v), name, VMFS_FILE, 0600, 0, 0, NULL, &ids[at / 200]),
                VMK_OK);
        }
        ck_assert_uint_eq(
            vmfs_allocate(v, ids[at / 200], (at % 200 + 1) << 20, VMFS_ZEROED_THICK), VMK_OK);
        ck_assert_uint_eq(vmfs_write(v, ids[at / 200], (at % 200) << 20, data, sizeof(data)),
                          VMK_OK);
        ck_assert_uint_eq(
            vmfs_write(v, ids[at / 200], ((at % 200) << 20) + 77, &at, sizeof(at)), VMK_OK);
    }
    ck_assert_uint_eq(vmfs_write(v, ids[0], 201ull << 20, data, sizeof(data)), VMK_NO_SPACE);
    for (uint64_t at = 0; at < s.free >> 20; at++) {
        uint64_t value = 0;
        size_t got;

        ck_assert_uint_eq(
            vmfs_read(v, ids[at / 200], ((at % 200) << 20) + 77, &value, sizeof(value), &got),
            VMK_OK);
        if (value != at)
            ck_abort_msg("block %llu has %llu", (unsigned long long)at,
                         (unsigned long long)value);
    }
    ck_assert_uint_eq(problems(v), 0);
    for (uint64_t at = 0; at < s.free >> 20; at += 200) {
        snprintf(name, sizeof(name), "fill%llu", (unsigned long long)at / 200);
        ck_assert_uint_eq(vmfs_remove(v, vmfs_root(v), name, false), VMK_OK);
    }
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
}

START_TEST(test_vmfs__grown_twice__all_of_it_can_be_used)
{
    struct disk_model *disks[2];
    struct block_device *devices[2];
    struct vmfs_volume *v;
    struct vmfs_volume *other;
    vmfs_id id;

    begin();
    for (unsigned i = 0; i < 2; i++) {
        disks[i] = disk_model_create(i ? "second" : "first", 1500ull << 20);
        disk_model_durable(disks[i]);
        devices[i] = disk_model_device(disks[i]);
    }
    devices[0]->size = DISK_SIZE;
    format(devices[0]);
    v = mount_as(devices[0], 1, false);
    ck_assert_uint_eq(vmfs_create(v, vmfs_root(v), "old", VMFS_FILE, 0600, 0, 0, NULL, &id),
                      VMK_OK);
    ck_assert_uint_eq(vmfs_write(v, id, 0, "kept", 4), VMK_OK);
    ck_assert_uint_eq(vmfs_grow(v, NULL), VMK_NO_SPACE);
    devices[0]->size = 1100ull << 20;
    other = mount_as(devices[0], 2, false);
    ck_assert_uint_eq(vmfs_grow(v, NULL), VMK_BUSY);
    ck_assert_uint_eq(vmfs_unmount(other), VMK_OK);
    ck_assert_uint_eq(vmfs_grow(v, NULL), VMK_OK);
    ck_assert_uint_eq(problems(v), 0);
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    fill_and_check(devices, 1, 1024);
    v = mount_as(devices[0], 1, false);
    ck_assert_uint_eq(vmfs_grow(v, devices[1]), VMK_OK);
    ck_assert_uint_eq(problems(v), 0);
    expect_range(v, id, 1, 2, 'e');
    ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
    fill_and_check(devices, 2, 1024 + 1280);
    for (unsigned i = 0; i < 2; i++)
        disk_model_destroy(disks[i]);
}
END_TEST

/* One device: whatever write the power goes at, the volume is there with the old or the new size. */
START_TEST(test_vmfs__power_cut_while_it_grows__old_or_new_size_and_again_works)
{
    struct disk_model *pattern;
    uint64_t cut = 0;
    bool finished = false;

    begin();
    pattern = disk_model_create("disk", 1500ull << 20);
    disk_model_device(pattern)->size = DISK_SIZE;
    format(disk_model_device(pattern));
    disk_model_device(pattern)->size = 1500ull << 20;
    for (; !finished; cut += cut < 40 || cut > 2040 ? 1 : 97) {
        struct disk_model *disk = disk_model_clone(pattern);
        struct vmfs_volume *v;
        struct vmfs_statistics s;
        vmk_status status;

        v = mount_as(disk_model_device(disk), 1, false);
        disk_model_cut_after(disk, cut);
        finished = vmfs_grow(v, NULL) == VMK_OK;
        vmfs_abandon(v);
        disk_model_power_on(disk, cut % 3 ? cut : 0);
        v = mount_as(disk_model_device(disk), 1, false);
        status = vmfs_grow(v, NULL);
        ck_assert_msg(status == VMK_OK || status == VMK_NO_SPACE, "cut %llu: %s",
                      (unsigned long long)cut, vmk_status_text(status));
        ck_assert_uint_eq(problems(v), 0);
        ck_assert_uint_eq(vmfs_statistics(v, &s), VMK_OK);
        ck_assert_uint_eq(s.size >> 20, 1280);
        ck_assert_uint_eq(s.free >> 20, 1280 - 14);
        close_last(disk, v);
    }
    ck_assert_uint_gt(cut, 2040);
    disk_model_destroy(pattern);
}
END_TEST

/* A second extent joins: the heads of two devices change, and the power goes between any two writes. */
START_TEST(test_vmfs__power_cut_while_an_extent_joins__mounts_and_again_works)
{
    struct disk_model *patterns[2];
    bool finished = false;

    begin();
    for (unsigned i = 0; i < 2; i++)
        patterns[i] = disk_model_create(i ? "second" : "first", 600ull << 20);
    format(disk_model_device(patterns[0]));
    for (uint64_t cut = 0; !finished; cut += cut < 4000 ? 73 : 1) {
        struct disk_model *disks[2];
        struct block_device *devices[2];
        const struct vmfs_mount how = {.host = host_uuid(1), .seconds = fixed_seconds};
        struct vmfs_statistics s;
        struct vmfs_volume *v;
        vmk_status status;

        for (unsigned i = 0; i < 2; i++) {
            disks[i] = disk_model_clone(patterns[i]);
            devices[i] = disk_model_device(disks[i]);
        }
        v = mount_as(devices[0], 1, false);
        disk_model_cut_after(disks[cut & 1], cut);
        status = vmfs_grow(v, devices[1]);
        finished = status == VMK_OK && cut > 4400;
        vmfs_abandon(v);
        for (unsigned i = 0; i < 2; i++)
            disk_model_power_on(disks[i], 0);
        status = vmfs_mount(devices, 2, &how, &v);
        if (status == VMK_BAD_FORMAT) {  // the new one is not part of anything yet
            v = mount_as(devices[0], 1, false);
            status = VMK_OK;
        }
        ck_assert_msg(status == VMK_OK, "cut %llu: %s", (unsigned long long)cut,
                      vmk_status_text(status));
        ck_assert_uint_eq(vmfs_statistics(v, &s), VMK_OK);
        status = vmfs_grow(v, s.extents == 1 ? devices[1] : NULL);
        ck_assert_msg(status == VMK_OK || status == VMK_NO_SPACE, "cut %llu: %s",
                      (unsigned long long)cut, vmk_status_text(status));
        ck_assert_uint_eq(problems(v), 0);
        ck_assert_uint_eq(vmfs_statistics(v, &s), VMK_OK);
        ck_assert_uint_eq(s.size >> 20, 1024);
        ck_assert_uint_eq(s.extents, 2);
        ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
        ck_assert_uint_eq(vmfs_mount(devices, 2, &how, &v), VMK_OK);
        ck_assert_uint_eq(problems(v), 0);
        ck_assert_uint_eq(vmfs_unmount(v), VMK_OK);
        for (unsigned i = 0; i < 2; i++)
            disk_model_destroy(disks[i]);
    }
    for (unsigned i = 0; i < 2; i++)
        disk_model_destroy(patterns[i]);
}
END_TEST

static int run_all(void)
{
    Suite *suite = suite_create("vmfs");
    TCase *tcase = tcase_create("vmfs");

    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, test_vmfs__fresh_volume__is_clean);
    tcase_add_loop_test(tcase, test_vmfs__random_work__as_the_model, 0, 6);
    tcase_add_test(tcase, test_vmfs__power_cut_at_every_block__clean_and_synced_data_there);
    tcase_add_test(tcase, test_vmfs__directory_block_reused_for_data__replay_leaves_the_data);
    tcase_add_test(tcase, test_vmfs__block_freed_but_not_committed__is_not_reused);
    tcase_add_test(tcase, test_vmfs__file_locked_by_one_host__contended_for_the_other);
    tcase_add_test(
        tcase, test_vmfs__dead_host__its_locks_are_broken_after_the_timeout_and_never_before);
    tcase_add_test(tcase, test_vmfs__journal_of_esxi_open__only_read);
    tcase_add_test(tcase, test_vmfs__beating_host__is_never_taken_for_dead);
    tcase_add_test(tcase,
                   test_vmfs__two_hosts_one_killed_at_every_step__no_file_has_two_owners);
    tcase_add_test(tcase, test_vmfs__big_sparse_files__all_kinds_of_map);
    tcase_add_test(tcase, test_vmfs__full_volume__no_space_and_nothing_lost);
    tcase_add_test(tcase, test_vmfs__disk_errors__reported_and_undone);
    tcase_add_loop_test(tcase, test_vmfs__file_grown_over_old_blocks__reads_as_zeros, 0,
                        GROW_WAYS);
    tcase_add_test(tcase,
                   test_vmfs__large_truncate_cut_in_the_middle__nothing_old_behind_the_end);
    tcase_add_test(tcase, test_vmfs__rotten_bit__check_finds_it);
    tcase_add_test(tcase, test_vmfs__grown_twice__all_of_it_can_be_used);
    tcase_add_test(tcase, test_vmfs__power_cut_while_it_grows__old_or_new_size_and_again_works);
    tcase_add_test(tcase, test_vmfs__power_cut_while_an_extent_joins__mounts_and_again_works);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}

int main(void)
{
    return run_all();
}
