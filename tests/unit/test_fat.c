// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_fat.c -- FAT against a model, through power cuts that fsck.fat judges, and mounted.
 *
 * Random operations are compared with a plain model. Histories are cut at every block written,
 * with every kind of survival, and Debian's fsck.fat -n looks at what is left: space may be
 * lost, a size may be behind its chain, and nothing else may be wrong; what was synced before
 * and not touched since must be there. tests/tools/fat.sh has mtools read the same writer.
 *
 * Locking    none.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/fat/fat.h"
#include "fs/fat/fat_vfs.h"
#include "io/storage.h"
#include "lib/rng.h"
#include "sim/model/disk.h"
#include "tests/unit/fs_fixture.h"

#define FILES 8u
#define ROOM  60000u

static int64_t fixed_now(void)
{
    return 1700000000000000000;
}

static const struct {
    unsigned bits;
    uint64_t size;
} kinds[] = {{12, 1474560}, {16, 5 << 20}, {32, 36 << 20}};

static struct disk_model *make_disk(unsigned kind)
{
    struct disk_model *disk = disk_model_create("fat", kinds[kind].size);
    const struct fat_format how = {.label = "TEST", .id = 7, .bits = kinds[kind].bits};

    ck_assert_int_eq(fat_format(disk_model_device(disk), &how), VMK_OK);
    return disk;
}

static struct fat_volume *mount_disk(struct disk_model *disk)
{
    struct fat_volume *v = NULL;

    ck_assert_int_eq(fat_mount(disk_model_device(disk), false, fixed_now, &v), VMK_OK);
    return v;
}

/* ---- the judge ---- */

static char found_text[4000];

/* What fsck.fat says about a disk; null if it is fine or may be so after a cut. */
static const char *fsck(const struct disk_model *disk, bool after_cut)
{
    /*
     * What must never be: each is a cluster with two owners, or none where there must be one.
     */
    static const char *const never[] = {
        "share clusters", "ontains a free", "Circular",      "out of range",
        "eyond",          "Duplicate",      "Bad ",          "chain length is 0",
        "Start ",         "corrupt. ",      "not a valid",   "Expected",
        "not empty",      "Entry",          "Root directory"};
    static char line[512];
    char path[64];
    char command[128];
    size_t at = 0;
    FILE *pipe;

    snprintf(path, sizeof(path), "/tmp/orrery-fat-%d.img", (int)getpid());
    ck_assert(disk_model_save(disk, path));
    snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin fsck.fat -n %s 2>&1", path);
    pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    found_text[0] = 0;
    while (fgets(line, sizeof(line), pipe))
        at +=
            (size_t)snprintf(found_text + at, sizeof(found_text) - MIN(at, 3999u), "%s", line);
    int status = pclose(pipe);

    unlink(path);
    ck_assert_msg(strstr(found_text, "fsck.fat") != NULL, "no fsck.fat: %s", found_text);
    if (!status)
        return NULL;
    if (!after_cut)
        return found_text;
    for (size_t i = 0; i < ARRAY_COUNT(never); i++) {
        if (strstr(found_text, never[i]))
            return found_text;
    }
    /* "length is > N" is space behind the size; "length is N" is a size without space. */
    for (const char *p = found_text; (p = strstr(p, "chain length is ")); p++) {
        if (p[16] != '>')
            return found_text;
    }
    return NULL;
}

/* ---- the model ---- */

static const char *const names[FILES] = {
    "SHORT.TXT",
    "a long name in small letters.text",
    "sub/inner file with a name that needs several entries",
    "sub/X",
    "grüße 漢字",
    "sub/deep/er.bin",
    "Mixed.Case",
    "sub/deep/another rather long name"};

struct model_file {
    bool there, touched;  // touched: changed since the last sync
    uint32_t size;
    unsigned char data[ROOM];
};
struct model {
    struct model_file files[FILES];
};
static struct model now_model, synced_model;

static vmk_status dir_of(struct fat_volume *v, const char *path, struct fat_node **dir,
                         const char **name)
{
    const char *slash = strrchr(path, '/');
    char head[64];

    snprintf(head, sizeof(head), "%.*s", slash ? (int)(slash - path) : 0, path);
    *name = slash ? slash + 1 : path;
    return fat_walk(v, head, dir);
}

static vmk_status file_open(struct fat_volume *v, unsigned i, struct fat_node **out)
{
    struct fat_node *dir;
    const char *name;
    vmk_status status = dir_of(v, names[i], &dir, &name);

    if (status != VMK_OK)
        return status;
    status = fat_lookup(dir, name, strlen(name), out);
    if (status == VMK_NOT_FOUND)
        status = fat_create(dir, name, strlen(name), false, out);
    fat_node_put(dir);
    return status;
}

/*
 * The file of that name, made if it is not there, which the model then knows too; null: it
 * cannot be.
 */
static struct fat_node *file_to_change(struct fat_volume *v, unsigned i)
{
    struct model_file *f = &now_model.files[i];
    struct fat_node *n;

    f->touched = true;
    if (file_open(v, i, &n) != VMK_OK)
        return NULL;
    if (!f->there)
        f->size = 0;
    f->there = true;
    return n;
}

static void prepare(struct fat_volume *v)
{
    struct fat_node *root = fat_root(v);
    struct fat_node *sub;
    struct fat_node *deep;

    ck_assert_int_eq(fat_create(root, "sub", 3, true, &sub), VMK_OK);
    ck_assert_int_eq(fat_create(sub, "deep", 4, true, &deep), VMK_OK);
    fat_node_put(deep);
    fat_node_put(sub);
    fat_node_put(root);
    ck_assert_int_eq(fat_sync(v), VMK_OK);
    memset(&now_model, 0, sizeof(now_model));
    memset(&synced_model, 0, sizeof(synced_model));
}

/* One random operation; false when the disk is gone. */
static bool step(struct fat_volume *v, struct rng *rng)
{
    static unsigned char data[ROOM];
    unsigned i = (unsigned)rng_below(rng, FILES);
    unsigned j = (unsigned)rng_below(rng, FILES);
    struct model_file *f = &now_model.files[i];
    struct model_file *g = &now_model.files[j];
    struct fat_node *n;
    struct fat_node *dir;
    struct fat_node *to;
    const char *name;
    const char *new_name;
    vmk_status status;

    switch (rng_below(rng, 10)) {
    case 0:
        status = fat_sync(v);
        if (status == VMK_OK) {
            for (unsigned k = 0; k < FILES; k++)
                now_model.files[k].touched = false;
            synced_model = now_model;
        }
        return status == VMK_OK;
    case 1:
    case 2:
        if (!f->there)
            return true;
        f->touched = true;
        status = dir_of(v, names[i], &dir, &name);
        if (status == VMK_OK) {
            status = fat_remove(dir, name, strlen(name));
            fat_node_put(dir);
        }
        f->there = status == VMK_OK ? false : f->there;
        return status == VMK_OK;
    case 3:
    case 4:
        if (!f->there || i == j)
            return true;
        f->touched = g->touched = true;
        status = dir_of(v, names[i], &dir, &name);
        if (status != VMK_OK)
            return false;
        status = dir_of(v, names[j], &to, &new_name);
        if (status == VMK_OK) {
            status = fat_rename(dir, name, strlen(name), to, new_name, strlen(new_name));
            fat_node_put(to);
        }
        fat_node_put(dir);
        if (status == VMK_OK) {
            *g = *f;
            f->there = false;
        }
        return status == VMK_OK;
    case 5: {
        uint32_t size = (uint32_t)rng_below(rng, ROOM / 2);

        n = file_to_change(v, i);
        if (!n)
            return false;
        status = fat_truncate(n, size);
        fat_node_put(n);
        if (status == VMK_OK) {
            if (size > f->size)
                memset(f->data + f->size, 0, size - f->size);
            f->size = size;
        }
        return status == VMK_OK;
    }
    default: {
        uint32_t at = (uint32_t)rng_below(rng, rng_below(rng, 3) ? 3000 : ROOM / 2);
        uint32_t size = (uint32_t)(1 + rng_below(rng, rng_below(rng, 3) ? 900 : ROOM / 3));

        for (uint32_t k = 0; k < size; k++)
            data[k] = (unsigned char)rng_next(rng);
        n = file_to_change(v, i);
        if (!n)
            return false;
        status = fat_write(n, at, data, size);
        fat_node_put(n);
        if (status == VMK_OK) {
            if (at > f->size)
                memset(f->data + f->size, 0, at - f->size);
            memcpy(f->data + at, data, size);
            f->size = MAX(f->size, at + size);
        }
        return status == VMK_OK;
    }
    }
}

static void compare(struct fat_volume *v, const struct model *m, bool untouched_only)
{
    static unsigned char data[ROOM];

    for (unsigned i = 0; i < FILES; i++) {
        const struct model_file *f = &m->files[i];
        struct fat_node *n;
        struct fat_attr a;
        size_t done;
        vmk_status status;

        if (untouched_only && now_model.files[i].touched)
            continue;
        status = fat_walk(v, names[i], &n);
        ck_assert_msg((status == VMK_OK) == f->there, "%s: %s", names[i],
                      vmk_status_text(status));
        if (status != VMK_OK)
            continue;
        fat_attr_get(n, &a);
        ck_assert_msg(a.size == f->size, "%s: %u bytes, wanted %u", names[i], a.size, f->size);
        ck_assert_int_eq(fat_read(n, 0, data, ROOM, &done), VMK_OK);
        ck_assert_uint_eq(done, f->size);
        ck_assert_msg(memcmp(data, f->data, done) == 0, "%s", names[i]);
        fat_node_put(n);
    }
}

START_TEST(test_fat__random_work__as_model)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct disk_model *disk = make_disk((unsigned)_i);
        struct fat_volume *v = mount_disk(disk);
        struct fat_statistics before;
        struct fat_statistics after;
        const char *wrong;
        struct rng rng;

        prepare(v);
        ck_assert_int_eq(fat_statistics(v, &before), VMK_OK);
        ck_assert_uint_eq(before.bits, kinds[_i].bits);
        rng_init(&rng, seed, "fat", (unsigned)_i);
        for (unsigned session = 0; session < 4; session++) {
            for (unsigned i = 0; i < 60; i++)
                ck_assert(step(v, &rng));
            compare(v, &now_model, false);
            ck_assert_int_eq(fat_unmount(v), VMK_OK);
            wrong = fsck(disk, false);
            ck_assert_msg(!wrong, "%s", wrong);
            v = mount_disk(disk);
            compare(v, &now_model, false);
        }
        for (unsigned i = 0; i < FILES; i++) {
            struct fat_node *dir;
            const char *name;

            if (!now_model.files[i].there)
                continue;
            ck_assert_int_eq(dir_of(v, names[i], &dir, &name), VMK_OK);
            ck_assert_int_eq(fat_remove(dir, name, strlen(name)), VMK_OK);
            fat_node_put(dir);
        }
        ck_assert_int_eq(fat_statistics(v, &after), VMK_OK);
        /* Directories keep the clusters they grew by. */
        ck_assert_uint_le(before.free - after.free, 8);
        ck_assert_int_eq(fat_unmount(v), VMK_OK);
        disk_model_destroy(disk);
    }
}
END_TEST

/* A history, cut behind `cut` blocks. False: it ended before. */
static bool cut_once(struct disk_model *pattern, uint64_t history, uint64_t cut, uint64_t seed)
{
    struct disk_model *disk = disk_model_clone(pattern);
    struct fat_volume *v = mount_disk(disk);
    const char *wrong;
    struct rng rng;
    bool alive = true;

    prepare(v);
    rng_init(&rng, history, "history", 0);
    disk_model_cut_after(disk, cut);
    for (unsigned i = 0; i < 22 && alive; i++)
        alive = step(v, &rng);
    fat_abandon(v);
    disk_model_power_on(disk, seed);
    wrong = fsck(disk, true);
    ck_assert_msg(!wrong, "history %u, cut %u, seed %u: %s", (unsigned)history, (unsigned)cut,
                  (unsigned)seed, wrong);
    v = mount_disk(disk);
    compare(v, &synced_model, true);
    ck_assert_int_eq(fat_unmount(v), VMK_OK);
    disk_model_destroy(disk);
    return !alive;
}

START_TEST(test_fat__power_cut_at_each_block__loses_space_at_most)
{
    static const uint64_t seeds[] = {0, 1, 2, UINT64_MAX, 3};
    struct disk_model *pattern = make_disk((unsigned)_i);
    uint64_t cuts = 0;
    uint64_t stride = _i == 2 ? 7 : 3;

    for (uint64_t history = 1; history <= 5; history++) {
        for (uint64_t cut = history; cut_once(pattern, history, cut, seeds[cuts % 5]);
             cut += 1 + cuts % stride)
            cuts++;
    }
    ck_assert_uint_ge(cuts, 150);
    disk_model_destroy(pattern);
}
END_TEST

START_TEST(test_fat__full_disk__is_refused_and_stays_whole)
{
    static unsigned char data[ROOM];
    struct disk_model *disk = make_disk((unsigned)_i);
    struct fat_volume *v = mount_disk(disk);
    struct fat_node *root = fat_root(v);
    struct fat_node *n;
    vmk_status status = VMK_OK;
    const char *wrong;

    for (unsigned i = 0; status == VMK_OK && i < 3000; i++) {
        char name[64];

        snprintf(name, sizeof(name), "file number %u", i);
        status = fat_create(root, name, strlen(name), i % 10 == 9, &n);
        if (status != VMK_OK)
            break;
        if (i % 10 != 9)
            status = fat_write(n, 0, data, _i == 2 ? ROOM : 20000);
        fat_node_put(n);
    }
    ck_assert_int_eq(status, VMK_NO_SPACE);
    fat_node_put(root);
    ck_assert_int_eq(fat_unmount(v), VMK_OK);
    wrong = fsck(disk, false);
    ck_assert_msg(!wrong, "%s", wrong);
    disk_model_destroy(disk);
}
END_TEST

START_TEST(test_fat__open_file_without_a_name__keeps_its_data)
{
    struct disk_model *disk = make_disk(0);
    struct fat_volume *v = mount_disk(disk);
    struct fat_node *root = fat_root(v);
    struct fat_statistics before;
    struct fat_statistics after;
    struct fat_node *n;
    char data[3000];
    size_t done;

    ck_assert_int_eq(fat_statistics(v, &before), VMK_OK);
    ck_assert_int_eq(fat_create(root, "gone", 4, false, &n), VMK_OK);
    ck_assert_int_eq(fat_create(root, "GONE", 4, false, &n), VMK_EXISTS);
    memset(data, 'g', sizeof(data));
    ck_assert_int_eq(fat_write(n, 0, data, sizeof(data)), VMK_OK);
    ck_assert_int_eq(fat_remove(root, "Gone", 4), VMK_OK);
    ck_assert_int_eq(fat_lookup(root, "gone", 4, &n), VMK_NOT_FOUND);
    ck_assert_int_eq(fat_read(n, 2999, data, 10, &done), VMK_OK);
    ck_assert_uint_eq(done, 1);
    fat_node_put(n);
    ck_assert_int_eq(fat_statistics(v, &after), VMK_OK);
    ck_assert_uint_eq(before.free, after.free);
    fat_node_put(root);
    ck_assert_int_eq(fat_unmount(v), VMK_OK);
    disk_model_destroy(disk);
}
END_TEST

START_TEST(test_fat_names__what_cannot_be_stored__is_refused)
{
    static const struct {
        const char *name;
        vmk_status status;
    } cases[] = {{"a:b", VMK_BAD_PARAM},
                 {"star*", VMK_BAD_PARAM},
                 {"ends.", VMK_BAD_PARAM},
                 {"blank ", VMK_BAD_PARAM},
                 {"\xff\xfe", VMK_BAD_PARAM},
                 {"tab\t", VMK_BAD_PARAM},
                 {".hidden", VMK_OK},
                 {"a.b.c.d", VMK_OK},
                 {"+,;=[]", VMK_OK},
                 {"~", VMK_OK},
                 {"CON", VMK_OK}};
    struct disk_model *disk = make_disk(0);
    struct fat_volume *v = mount_disk(disk);
    struct fat_node *root = fat_root(v);
    char longest[260];
    struct fat_node *n;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        vmk_status status = fat_create(root, cases[i].name, strlen(cases[i].name), false, &n);

        ck_assert_msg(status == cases[i].status, "%s: %s", cases[i].name,
                      vmk_status_text(status));
        if (status == VMK_OK)
            fat_node_put(n);
    }
    memset(longest, 'n', sizeof(longest));
    ck_assert_int_eq(fat_create(root, longest, 256, false, &n), VMK_NAME_TOO_LONG);
    ck_assert_int_eq(fat_create(root, longest, 255, false, &n), VMK_OK);
    fat_node_put(n);
    ck_assert_int_eq(fat_lookup(root, longest, 255, &n), VMK_OK);
    fat_node_put(n);
    fat_node_put(root);
    ck_assert_int_eq(fat_unmount(v), VMK_OK);
    ck_assert_ptr_null(fsck(disk, false));
    disk_model_destroy(disk);
}
END_TEST

/* ---- mounted ---- */

static void mounted_body(void *argument)
{
    static const struct storage_inquiry inquiry = {.vendor = "SIM", .model = "DISK"};
    struct disk_model *disk = make_disk(1);
    struct vfs_where where;
    struct storage_adapter *adapter;
    struct block_device *device = disk_model_device(disk);
    struct vfs_attr attr;
    struct file *file;
    char source[BLOCK_NAME_SIZE + 32];

    (void)argument;
    fs_up();
    where = vfs_where_kernel();
    ck_assert_int_eq(storage_adapter_add("sim", "-", "simulated", &adapter), VMK_OK);
    ck_assert_int_eq(storage_device_add(adapter, 0, 0, 0, device, &inquiry), VMK_OK);
    ck_assert_int_eq(fat_type_register(), VMK_OK);
    fs_mkdir("/scratch");
    snprintf(source, sizeof(source), "%s", device->name);
    ck_assert_int_eq(vfs_mount(&where, "vfat", source, "/scratch", 0, "nonsense"),
                     VMK_BAD_PARAM);
    ck_assert_int_eq(vfs_mount(&where, "vfat", "nothing", "/scratch", 0, ""), VMK_NOT_FOUND);
    ck_assert_int_eq(vfs_mount(&where, "vfat", source, "/scratch", 0, "uid=5,umask=077"),
                     VMK_OK);
    fs_mkdir("/scratch/Log files");
    fs_write_file("/scratch/Log files/vmkernel.log", "first line\n");
    ck_assert_str_eq(fs_read_file("/scratch/LOG FILES/VMKERNEL.LOG"), "first line\n");
    attr = fs_stat("/scratch/Log files/vmkernel.log");
    ck_assert_uint_eq(attr.mode, VFS_TYPE_REGULAR | 0700);
    ck_assert_uint_eq(attr.uid, 5);
    ck_assert_uint_eq(attr.size, 11);
    ck_assert_int_eq(
        vfs_rename(&where, "/scratch/Log files/vmkernel.log", &where, "/scratch/moved", 0),
        VMK_OK);
    ck_assert_uint_eq(fs_stat("/scratch/moved").size, 11);
    ck_assert_int_eq(vfs_symlink(&where, "moved", "/scratch/link"), VMK_NOT_OWNER);
    ck_assert_int_eq(vfs_rmdir(&where, "/scratch"), VMK_BUSY);
    file = fs_open("/scratch/moved", VFS_O_RDWR | VFS_O_APPEND, 0);
    fs_put(file, "second");
    ck_assert_int_eq(vfs_unlink(&where, "/scratch/moved"), VMK_OK);
    ck_assert_int_eq(fs_stat_status("/scratch/moved"), VMK_NOT_FOUND);
    ck_assert_int_eq(vfs_unmount(&where, "/scratch"), VMK_BUSY);
    file_put(file);
    ck_assert_int_eq(vfs_walk(&where, "/scratch/Log files/..", 0, &(struct vnode *){NULL}),
                     VMK_OK);
}

static void unmounted_body(void *argument)
{
    static const struct storage_inquiry inquiry = {.vendor = "SIM", .model = "DISK"};
    struct disk_model *disk = make_disk(1);
    struct vfs_where where;
    struct storage_adapter *adapter;
    struct block_device *device = disk_model_device(disk);
    const char *wrong;

    (void)argument;
    fs_up();
    where = vfs_where_kernel();
    ck_assert_int_eq(storage_adapter_add("sim", "-", "simulated", &adapter), VMK_OK);
    ck_assert_int_eq(storage_device_add(adapter, 0, 0, 0, device, &inquiry), VMK_OK);
    ck_assert_int_eq(fat_type_register(), VMK_OK);
    fs_mkdir("/s");
    for (unsigned round = 0; round < 2; round++) {
        ck_assert_int_eq(vfs_mount(&where, "vfat", device->name, "/s", 0, ""), VMK_OK);
        if (!round) {
            fs_mkdir("/s/d");
            for (unsigned i = 0; i < 40; i++) {
                char path[64];

                snprintf(path, sizeof(path), "/s/d/a file with number %u", i);
                fs_write_file(path, path);
            }
        } else {
            ck_assert_str_eq(fs_read_file("/s/d/a file with number 39"),
                             "/s/d/a file with number 39");
        }
        ck_assert_int_eq(vfs_unmount(&where, "/s"), VMK_OK);
        wrong = fsck(disk, false);
        ck_assert_msg(!wrong, "%s", wrong);
    }
}

FS_TEST(test_fat_mounted__calls_of_vfs, mounted_body)
FS_TEST(test_fat_mounted__unmounted__is_clean, unmounted_body)

int main(void)
{
    Suite *suite = suite_create("fat");
    TCase *tcase = tcase_create("volume");
    TCase *kernel = tcase_create("mounted");

    tcase_add_checked_fixture(tcase, sim_test_begin, NULL);
    tcase_add_loop_test(tcase, test_fat__random_work__as_model, 0, 3);
    tcase_add_loop_test(tcase, test_fat__power_cut_at_each_block__loses_space_at_most, 0, 3);
    tcase_add_loop_test(tcase, test_fat__full_disk__is_refused_and_stays_whole, 0, 3);
    tcase_add_test(tcase, test_fat__open_file_without_a_name__keeps_its_data);
    tcase_add_test(tcase, test_fat_names__what_cannot_be_stored__is_refused);
    tcase_add_test(kernel, test_fat_mounted__calls_of_vfs);
    tcase_add_test(kernel, test_fat_mounted__unmounted__is_clean);
    tcase_set_timeout(tcase, 240);
    suite_add_tcase(suite, tcase);
    suite_add_tcase(suite, kernel);
    return suite_run(suite);
}
