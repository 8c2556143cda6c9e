// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_visorfs.c -- ram disks: quotas, holes, mapped pages, big directories, mounts.
 *
 * Invariants
 *   - Each test ends with the pages and heap bytes it began with, where it can tell.
 * Locking    none; one world.
 */
#include "core/log.h"
#include "fs/proc/procfs.h"
#include "lib/rng.h"
#include "tests/unit/fs_fixture.h"

static struct vfs_where where;

static void up(void)
{
    fs_up();
    where = vfs_where_kernel();
}

static bool log_has(const char *text)
{
    static char ring[65536];
    size_t length = log_ring_copy(ring, sizeof(ring) - 1);

    ring[length] = 0;
    return strstr(ring, text) != NULL;
}

static void mount_small(const char *options)
{
    fs_mkdir("/small");
    ck_assert_int_eq(vfs_mount(&where, "visorfs", "small", "/small", 0, options), VMK_OK);
}

static struct visorfs_usage usage_of(const char *path)
{
    struct visorfs_usage usage;
    struct vnode *vnode;

    ck_assert_int_eq(vfs_walk(&where, path, 0, &vnode), VMK_OK);
    ck_assert_int_eq(visorfs_usage(vnode->mount, &usage), VMK_OK);
    vnode_put(vnode);
    return usage;
}

static void quota_entry(void *argument)
{
    static char block[4096];
    struct file *file;
    size_t done;
    uint64_t pages;

    (void)argument;
    up();
    pages = page_owned_count(MEM_OWNER_FS);
    mount_small("size=64k,mode=755,name=smalldisk");
    file = fs_open("/small/f", VFS_O_RDWR | VFS_O_CREAT, 0644);
    for (unsigned i = 0; i < 16; i++)
        ck_assert_int_eq(file_write(file, block, sizeof(block), &done), VMK_OK);
    ck_assert_int_eq(file_write(file, "x", 1, &done), VMK_NO_SPACE);
    ck_assert(log_has("ram disk smalldisk (on /small) is full: 64 of 64 KB"));
    ck_assert_uint_eq(usage_of("/small").size_used, 65536);
    // A write that partly fits says how far it came.
    ck_assert_int_eq(file_truncate(file, 61440 + 100), VMK_OK);
    ck_assert_int_eq(file_truncate(file, 61440), VMK_OK);
    ck_assert_int_eq(file_pwrite(file, block, sizeof(block), 61440 - 10, &done), VMK_OK);
    ck_assert_uint_eq(done, 4096);
    ck_assert_int_eq(file_pwrite(file, block, sizeof(block), 65536 - 10, &done), VMK_OK);
    ck_assert_uint_eq(done, 10);
    // Holes cost nothing until they are written.
    ck_assert_int_eq(file_truncate(file, 0), VMK_OK);
    ck_assert_int_eq(file_truncate(file, 100u << 20), VMK_OK);
    ck_assert_uint_eq(usage_of("/small").size_used, 0);
    ck_assert_int_eq(file_pwrite(file, "end", 3, (100u << 20) - 3, &done), VMK_OK);
    ck_assert_int_eq(file_pread(file, block, 10, (100u << 20) - 5, &done), VMK_OK);
    ck_assert_uint_eq(done, 5);
    ck_assert_mem_eq(block, "\0\0end", 5);
    ck_assert_uint_eq(usage_of("/small").size_used, 4096);
    ck_assert_int_eq(file_truncate(file, 1ull << 50), VMK_TOO_BIG);
    // Unlinked but open: still counted, gone with the last close.
    ck_assert_int_eq(vfs_unlink(&where, "/small/f"), VMK_OK);
    ck_assert_uint_eq(usage_of("/small").size_used, 4096);
    ck_assert_int_eq(vfs_unmount(&where, "/small"), VMK_BUSY);
    file_put(file);
    ck_assert_uint_eq(usage_of("/small").size_used, 0);
    ck_assert_int_eq(vfs_unmount(&where, "/small"), VMK_OK);
    ck_assert_uint_eq(page_owned_count(MEM_OWNER_FS), pages);
}
FS_TEST(test_visorfs__quota__refused_by_name_and_counted, quota_entry)

static void inodes_entry(void *argument)
{
    char path[32];
    unsigned made = 0;

    (void)argument;
    up();
    mount_small("size=1m,nr_inodes=10");
    for (; made < 20; made++) {
        snprintf(path, sizeof(path), "/small/%u", made);
        if (fs_open_status(path, VFS_O_CREAT | VFS_O_WRONLY, 0644) != VMK_OK)
            break;
    }
    ck_assert_uint_eq(made, 9);  // and the root
    ck_assert_int_eq(vfs_mkdir(&where, "/small/d", 0755), VMK_NO_SPACE);
    ck_assert_uint_eq(usage_of("/small").refusals, 2);
    ck_assert_int_eq(vfs_unlink(&where, "/small/3"), VMK_OK);
    ck_assert_int_eq(vfs_mkdir(&where, "/small/d", 0755), VMK_OK);
    // More by remounting.
    ck_assert_int_eq(vfs_mount(&where, "", "", "/small", VFS_MOUNT_REMOUNT, "nr_inodes=11"),
                     VMK_OK);
    ck_assert_int_eq(vfs_mkdir(&where, "/small/e", 0755), VMK_OK);
    ck_assert_int_eq(vfs_mkdir(&where, "/small/g", 0755), VMK_NO_SPACE);
}
FS_TEST(test_visorfs__inode_limit__refused_and_raised, inodes_entry)

static void options_entry(void *argument)
{
    static const char *const bad[] = {"size=",
                                      "size=x",
                                      "size=1q",
                                      "size=1mm",
                                      "nr_inodes=",
                                      "mode=9",
                                      "mode=77777",
                                      "mode=",
                                      "colour=red",
                                      "size=1m,",
                                      "size=99999999999999999999",
                                      "uid=-1"};

    (void)argument;
    up();
    fs_mkdir("/m");
    for (size_t i = 0; i < ARRAY_COUNT(bad) - 1; i++) {
        if (strcmp(bad[i], "size=1m,") == 0)
            continue;  // an empty option at the end is nothing
        ck_assert_msg(vfs_mount(&where, "visorfs", "x", "/m", 0, bad[i]) == VMK_BAD_PARAM, "%s",
                      bad[i]);
    }
    ck_assert_int_eq(vfs_mount(&where, "nofs", "x", "/m", 0, ""), VMK_NO_DEVICE);
    ck_assert_int_eq(vfs_mount(&where, "visorfs", "x", "/none", 0, ""), VMK_NOT_FOUND);
    ck_assert_int_eq(
        vfs_mount(&where, "visorfs", "x", "/m", 0, "size=10%,mode=700,uid=5,gid=6"), VMK_OK);
    ck_assert_uint_eq(fs_stat("/m").mode, VFS_TYPE_DIR | 0700);
    ck_assert_uint_eq(fs_stat("/m").uid, 5);
    ck_assert_uint_eq(fs_stat("/m").gid, 6);
    ck_assert_uint_eq(usage_of("/m").size_max / 4096, page_total_count() / 10);
}
FS_TEST(test_visorfs__mount_options__understood_or_refused, options_entry)

/* ---- mounts ---- */

static void mounts_entry(void *argument)
{
    struct vnode *dir;
    char path[256];
    struct vfs_cred user = {.uid = 7, .gid = 7};
    struct vfs_where as_user;

    (void)argument;
    up();
    fs_mkdir("/a");
    fs_mkdir("/a/b");
    fs_write_file("/a/b/under", "covered");
    ck_assert_int_eq(vfs_mount(&where, "visorfs", "one", "/a/b", 0, "mode=755"), VMK_OK);
    ck_assert_int_eq(fs_stat_status("/a/b/under"), VMK_NOT_FOUND);
    fs_mkdir("/a/b/c");
    // One on top of the other, and one below.
    ck_assert_int_eq(vfs_mount(&where, "visorfs", "two", "/a/b/c", 0, "mode=755"), VMK_OK);
    ck_assert_int_eq(vfs_mount(&where, "visorfs", "three", "/a/b/c", 0, "mode=755"), VMK_OK);
    fs_write_file("/a/b/c/top", "x");
    ck_assert_int_eq(fs_stat_status("/a/b/c/../../b/c/top"), VMK_OK);
    ck_assert_uint_ne(fs_stat("/a/b").device, fs_stat("/a").device);
    ck_assert_uint_eq(fs_stat("/a/b/c/..").inode, fs_stat("/a/b").inode);
    ck_assert_int_eq(vfs_rename(&where, "/a/b/c/top", &where, "/a/top", 0), VMK_CROSS_DEVICE);
    ck_assert_int_eq(vfs_link(&where, "/a/b/c/top", &where, "/a/top", 0), VMK_CROSS_DEVICE);
    ck_assert_int_eq(vfs_rmdir(&where, "/a/b"), VMK_BUSY);
    ck_assert_int_eq(vfs_rename(&where, "/a/b", &where, "/a/d", 0), VMK_BUSY);
    ck_assert_int_eq(vfs_unmount(&where, "/a/b"), VMK_BUSY);  // there are mounts in it
    ck_assert_int_eq(vfs_unmount(&where, "/a"), VMK_BAD_PARAM);
    ck_assert_int_eq(vfs_unmount(&where, "/"), VMK_BUSY);

    ck_assert_int_eq(vfs_walk(&where, "/a/b/c", 0, &dir), VMK_OK);
    ck_assert_int_eq(vfs_path_of(where.root, dir, path, sizeof(path)), VMK_OK);
    ck_assert_str_eq(path, "/a/b/c");
    ck_assert_int_eq(vfs_path_of(where.root, dir, path, 5), VMK_NAME_TOO_LONG);
    vnode_put(dir);
    ck_assert_ptr_nonnull(
        strstr(fs_read_file("/proc/mounts"), "\nthree /a/b/c visorfs rw,mode="));

    as_user = where;
    as_user.cred = &user;
    ck_assert_int_eq(vfs_mount(&as_user, "visorfs", "x", "/a", 0, ""), VMK_NOT_OWNER);
    ck_assert_int_eq(vfs_unmount(&as_user, "/a/b/c"), VMK_NOT_OWNER);
    ck_assert_int_eq(vfs_unmount(&where, "/a/b/c"), VMK_OK);
    ck_assert_int_eq(fs_stat_status("/a/b/c/top"), VMK_NOT_FOUND);
    ck_assert_int_eq(vfs_unmount(&where, "/a/b/c"), VMK_OK);
    // Read-only.
    ck_assert_int_eq(
        vfs_mount(&where, "", "", "/a/b", VFS_MOUNT_REMOUNT | VFS_MOUNT_RDONLY, ""), VMK_OK);
    ck_assert_int_eq(vfs_mkdir(&where, "/a/b/new", 0755), VMK_READ_ONLY);
    ck_assert_int_eq(vfs_rmdir(&where, "/a/b/c"), VMK_READ_ONLY);
    ck_assert_int_eq(fs_open_status("/a/b/x", VFS_O_CREAT | VFS_O_RDWR, 0644), VMK_READ_ONLY);
    ck_assert_int_eq(vfs_unmount(&where, "/a/b"), VMK_OK);
    ck_assert_str_eq(fs_read_file("/a/b/under"), "covered");
}
FS_TEST(test_visorfs__mounts__on_top_below_and_away, mounts_entry)

/* ---- a changed root: what chroot gives ---- */

static void root_entry(void *argument)
{
    struct vfs_where inside;
    struct vnode *dir;
    char path[64];

    (void)argument;
    up();
    fs_mkdir("/jail");
    fs_mkdir("/jail/d");
    fs_write_file("/secret", "x");
    ck_assert_int_eq(vfs_symlink(&where, "/secret", "/jail/link"), VMK_OK);
    inside = where;
    ck_assert_int_eq(vfs_walk(&where, "/jail", 0, &inside.root), VMK_OK);
    inside.start = inside.root;
    ck_assert_int_eq(vfs_walk(&inside, "../../secret", 0, &dir), VMK_NOT_FOUND);
    ck_assert_int_eq(vfs_walk(&inside, "link", 0, &dir), VMK_NOT_FOUND);
    ck_assert_int_eq(vfs_walk(&inside, "/d/../../d", 0, &dir), VMK_OK);
    ck_assert_int_eq(vfs_path_of(inside.root, dir, path, sizeof(path)), VMK_OK);
    ck_assert_str_eq(path, "/d");
    vnode_put(dir);
    ck_assert_int_eq(vfs_walk(&where, "/tmp", 0, &dir), VMK_OK);
    ck_assert_int_eq(vfs_path_of(inside.root, dir, path, sizeof(path)), VMK_OK);
    ck_assert_str_eq(path, "(unreachable)/tmp");
    vnode_put(dir);
    vnode_put(inside.root);
}
FS_TEST(test_visorfs__another_root__no_way_out, root_entry)

/* ---- mapped pages ---- */

static void pages_entry(void *argument)
{
    struct file *file;
    mpn_t first, second, third;
    char text[8];
    size_t done;
    uint64_t pages;

    (void)argument;
    up();
    pages = page_owned_count(MEM_OWNER_FS);
    file = fs_open("/tmp/f", VFS_O_RDWR | VFS_O_CREAT, 0644);
    ck_assert_int_eq(file_page_get(file, 0, false, &first), VMK_BAD_PARAM);  // empty file
    fs_put(file, "0123456789");
    ck_assert_int_eq(file_page_get(file, 0, true, &first), VMK_OK);
    ck_assert_int_eq(file_page_get(file, 1, true, &second), VMK_BAD_PARAM);
    ck_assert_mem_eq(mpn_map(first), "0123456789\0\0", 12);
    // One memory: a store shows in read(), a write in the page.
    memcpy(mpn_map(first), "ABC", 3);
    ck_assert_int_eq(file_pread(file, text, 4, 0, &done), VMK_OK);
    ck_assert_mem_eq(text, "ABC3", 4);
    ck_assert_int_eq(file_pwrite(file, "xyz", 3, 7, &done), VMK_OK);
    ck_assert_mem_eq(mpn_map(first), "ABC3456xyz", 10);
    // What a mapping leaves behind the end does not come to light when the file grows.
    memcpy((char *)mpn_map(first) + 10, "junk", 4);
    ck_assert_int_eq(file_truncate(file, 5000), VMK_OK);
    ck_assert_int_eq(file_pread(file, text, 4, 10, &done), VMK_OK);
    ck_assert_mem_eq(text, "\0\0\0\0", 4);
    // Cut off while mapped: the page stays its user's, the file gets another.
    ck_assert_int_eq(file_page_get(file, 0, false, &second), VMK_OK);
    ck_assert_uint_eq(second.raw, first.raw);
    file_page_ref(file, 0, first);
    ck_assert_int_eq(file_truncate(file, 0), VMK_OK);
    ck_assert_mem_eq(mpn_map(first), "ABC3456xyz", 10);
    ck_assert_int_eq(file_pwrite(file, "new", 3, 0, &done), VMK_OK);
    ck_assert_int_eq(file_page_get(file, 0, true, &third), VMK_OK);
    ck_assert_uint_ne(third.raw, first.raw);
    ck_assert_mem_eq(mpn_map(first), "ABC", 3);
    file_page_put(file, 0, first);
    file_page_put(file, 0, first);
    file_page_put(file, 0, third);
    file_page_put(file, 0, first);  // the last: now it is freed
    ck_assert_uint_eq(usage_of("/tmp").size_used, 4096);
    file_put(file);
    ck_assert_int_eq(vfs_unlink(&where, "/tmp/f"), VMK_OK);
    ck_assert_uint_eq(usage_of("/tmp").size_used, 0);
    ck_assert_uint_le(page_owned_count(MEM_OWNER_FS), pages);
}
FS_TEST(test_visorfs__mapped_pages__shared_with_read_and_write, pages_entry)

/* ---- directories ---- */

#define MANY 3000u

struct count_sink {
    struct vfs_dir_sink sink;
    unsigned left;  // room in this call
    unsigned total;
    unsigned char seen[MANY];
};

static bool count_one(struct vfs_dir_sink *sink, const char *name, size_t length,
                      uint64_t inode, uint32_t type, uint64_t next)
{
    struct count_sink *c = container_of(sink, struct count_sink, sink);
    unsigned i = 0;

    (void)inode;
    (void)type;
    (void)next;
    if (!c->left)
        return false;
    c->left--;
    if (name[0] == 'f' && length > 1) {
        for (size_t k = 1; k < length; k++)
            i = i * 10 + (unsigned)(name[k] - '0');
        ck_assert_uint_lt(i, MANY);
        ck_assert_uint_eq(c->seen[i]++, 0);
    }
    c->total++;
    return true;
}

static void directory_entry(void *argument)
{
    static struct count_sink c;
    char path[32];
    struct file *dir;
    unsigned before;

    (void)argument;
    up();
    fs_mkdir("/tmp/d");
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(path, sizeof(path), "/tmp/d/f%u", i);
        ck_assert_int_eq(fs_open_status(path, VFS_O_CREAT | VFS_O_WRONLY, 0644), VMK_OK);
    }
    // Listed in small pieces, every second file removed as it goes and new ones made: the rest
    // is seen once each.
    dir = fs_open("/tmp/d", VFS_O_RDONLY | VFS_O_DIRECTORY, 0);
    c.sink.emit = count_one;
    for (unsigned round = 0;; round++) {
        before = c.total;
        c.left = 7;
        ck_assert_int_eq(file_readdir(dir, &c.sink), VMK_OK);
        if (c.total == before)
            break;
        if (round * 2 + 1 < MANY) {
            snprintf(path, sizeof(path), "/tmp/d/f%u", MANY - 1 - round * 2);
            (void)!vfs_unlink(&where, path);
        }
        snprintf(path, sizeof(path), "/tmp/d/f%u", MANY - 1 - round * 2);
    }
    file_put(dir);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(path, sizeof(path), "/tmp/d/f%u", i);
        if (fs_stat_status(path) == VMK_OK)
            ck_assert_msg(c.seen[i] == 1, "%s seen %u times", path, c.seen[i]);
    }
    ck_assert_int_eq(vfs_rmdir(&where, "/tmp/d"), VMK_NOT_EMPTY);
}
FS_TEST(test_visorfs__listing_while_it_changes__each_once, directory_entry)

/* Two worlds move directories into each other's: neither a deadlock nor a loop off the tree. */
static void mover(void *argument)
{
    static const char *const from[2] = {"/tmp/a/x", "/tmp/b/y"};
    static const char *const to[2] = {"/tmp/b/y/x", "/tmp/a/x/y"};
    uintptr_t i = (uintptr_t)argument;

    for (unsigned n = 0; n < 60; n++) {
        vmk_status status = vfs_rename(&where, from[i], &where, to[i], 0);

        if (status == VMK_OK)
            ck_assert_int_eq(vfs_rename(&where, to[i], &where, from[i], 0), VMK_OK);
        else
            ck_assert(status == VMK_NOT_FOUND || status == VMK_BAD_PARAM);
    }
}

static void race_entry(void *argument)
{
    world_id ids[2];

    (void)argument;
    fs_sleep_ms(1);
    up();
    fs_mkdir("/tmp/a");
    fs_mkdir("/tmp/b");
    fs_mkdir("/tmp/a/x");
    fs_mkdir("/tmp/b/y");
    for (uint64_t seed = 1; seed <= 20; seed++) {
        sim_options_set(&(struct sim_options){.seed = seed, .shake = true});
        for (uintptr_t i = 0; i < 2; i++)
            ids[i] = fs_world(mover, (void *)i);
        for (unsigned i = 0; i < 2; i++)
            fs_world_end(ids[i]);
        ck_assert_int_eq(fs_stat_status("/tmp/a/x"), VMK_OK);
        ck_assert_int_eq(fs_stat_status("/tmp/b/y"), VMK_OK);
    }
}

START_TEST(test_visorfs__directories_moved_across__no_deadlock_no_loop)
{
    sim_test_begin_cpus(2);
    sim_test_run(race_entry, NULL);
}
END_TEST

/* ---- many at once: whatever they do, all of it can be unmounted in the end ---- */

static uint64_t stress_seed;

static void stress_path(struct rng *rng, char *out)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    unsigned parts = 1 + (unsigned)rng_below(rng, 4);

    strcpy(out, "/small");
    for (unsigned i = 0; i < parts; i++) {
        strcat(out, "/");
        strcat(out, rng_below(rng, 12) ? names[rng_below(rng, 4)] : "..");
    }
}

static void stress_world(void *argument)
{
    struct rng rng;
    struct file *kept = NULL;

    rng_init(&rng, stress_seed, "stress", (uintptr_t)argument);
    for (unsigned n = 0; n < 150; n++) {
        char a[64], b[64], data[600];
        struct file *file;
        struct vfs_attr attr;
        size_t done;
        mpn_t page;

        stress_path(&rng, a);
        stress_path(&rng, b);
        if (strncmp(a, "/small/..", 9) == 0 || strncmp(b, "/small/..", 9) == 0)
            continue;
        switch (rng_below(&rng, 12)) {
        case 0:
        case 1: (void)!vfs_mkdir(&where, a, 0755); break;
        case 2: (void)!vfs_rmdir(&where, a); break;
        case 3: (void)!vfs_unlink(&where, a); break;
        case 4:
        case 5: (void)!vfs_rename(&where, a, &where, b, 0); break;
        case 6: (void)!vfs_link(&where, a, &where, b, 0); break;
        case 7: (void)!vfs_symlink(&where, "../a", a); break;
        case 8: (void)!vfs_stat(&where, a, 0, &attr); break;
        case 9:
            file_put(kept);
            kept = NULL;
            if (vfs_open(&where, a, VFS_O_RDONLY, 0, &kept) != VMK_OK)
                kept = NULL;
            break;
        default:
            if (vfs_open(&where, a, VFS_O_CREAT | VFS_O_RDWR, 0644, &file) != VMK_OK)
                break;
            memset(data, (int)n, sizeof(data));
            (void)!file_pwrite(file, data, sizeof(data), rng_below(&rng, 9000), &done);
            if (file_page_get(file, 0, false, &page) == VMK_OK) {
                (void)!file_truncate(file, rng_below(&rng, 5000));
                file_page_put(file, 0, page);
            }
            file_put(file);
            break;
        }
    }
    file_put(kept);
}

static void stress_entry(void *argument)
{
    world_id ids[4];

    (void)argument;
    fs_sleep_ms(1);
    up();
    fs_mkdir("/small");
    for (stress_seed = 1; stress_seed <= 25; stress_seed++) {
        sim_options_set(&(struct sim_options){.seed = stress_seed, .shake = true});
        ck_assert_int_eq(vfs_mount(&where, "visorfs", "small", "/small", 0, "size=200k"),
                         VMK_OK);
        for (uintptr_t i = 0; i < 4; i++)
            ids[i] = fs_world(stress_world, (void *)i);
        for (unsigned i = 0; i < 4; i++)
            fs_world_end(ids[i]);
        ck_assert_int_eq(vfs_unmount(&where, "/small"), VMK_OK);  // asserts that all is counted
    }
}

START_TEST(test_visorfs__four_worlds_at_random__no_deadlock_and_all_counted)
{
    sim_test_begin_cpus(2);
    sim_test_run(stress_entry, NULL);
}
END_TEST

/* ---- devices ---- */

static void devices_entry(void *argument)
{
    static unsigned char a[64], b[64], zeros[64];
    struct file *file;
    size_t done;

    (void)argument;
    up();
    file = fs_open("/dev/null", VFS_O_RDWR, 0);
    fs_put(file, "gone");
    ck_assert_str_eq(fs_get(file, 10), "");
    file_put(file);
    file = fs_open("/dev/full", VFS_O_WRONLY, 0);
    ck_assert_int_eq(file_write(file, "x", 1, &done), VMK_NO_SPACE);
    file_put(file);
    file = fs_open("/dev/zero", VFS_O_RDONLY, 0);
    memset(a, 1, sizeof(a));
    ck_assert_int_eq(file_read(file, a, sizeof(a), &done), VMK_OK);
    ck_assert_mem_eq(a, zeros, sizeof(a));
    file_put(file);
    file = fs_open("/dev/urandom", VFS_O_RDONLY, 0);
    ck_assert_int_eq(file_read(file, a, sizeof(a), &done), VMK_OK);
    ck_assert_int_eq(file_read(file, b, sizeof(b), &done), VMK_OK);
    ck_assert_mem_ne(a, b, sizeof(a));
    ck_assert_mem_ne(a, zeros, sizeof(a));
    file_put(file);
    ck_assert_uint_eq(fs_stat("/dev/null").mode, VFS_TYPE_CHAR | 0666);
    ck_assert_uint_eq(fs_stat("/dev/null").node_device, vfs_device(1, 3));
    ck_assert_int_eq(vfs_mknod(&where, "/dev/nothing", VFS_TYPE_CHAR | 0666, vfs_device(77, 1)),
                     VMK_OK);
    ck_assert_int_eq(fs_open_status("/dev/nothing", VFS_O_RDONLY, 0), VMK_NO_DEVICE);
    // Ram disks are mounted without devices.
    ck_assert_int_eq(vfs_mknod(&where, "/tmp/null", VFS_TYPE_CHAR | 0666, vfs_device(1, 3)),
                     VMK_OK);
    ck_assert_int_eq(fs_open_status("/tmp/null", VFS_O_RDONLY, 0), VMK_NO_PERMISSION);
}
FS_TEST(test_visorfs__device_nodes__do_what_their_number_says, devices_entry)

/*
 * ChaCha20's block function: the vector of RFC 8439, "Test Vector for the ChaCha20 Block
 * Function".
 */
void chacha20_block(const uint32_t state[16], uint8_t out[64]);

START_TEST(test_visorfs__chacha20__vector_of_the_rfc)
{
    static const uint8_t want[16] = {0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15,
                                     0x50, 0x0f, 0xdd, 0x1f, 0xa3, 0x20, 0x71, 0xc4};
    uint32_t state[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    uint8_t out[64];

    for (uint32_t i = 0; i < 8; i++)
        state[4 + i] = 0x03020100u + 0x04040404u * i;
    state[12] = 1;
    state[13] = 0x09000000;
    state[14] = 0x4a000000;
    chacha20_block(state, out);
    ck_assert_mem_eq(out, want, sizeof(want));
}
END_TEST

/* ---- every allocation fails once ---- */

static void starve_entry(void *argument)
{
    static mpn_t taken[16384];
    unsigned count = 0, refused = 0;

    (void)argument;
    up();
    // Leaves so few pages that the work below stops at a different place each time.
    while (page_alloc(0, MEM_OWNER_TEST, &taken[count]) == VMK_OK)
        count++;
    for (unsigned leave = 0; leave < 40; leave++) {
        struct file *file;
        size_t done;
        static char block[20000];

        if (vfs_mkdir(&where, "/tmp/d", 0755) != VMK_OK)
            refused++;
        if (vfs_symlink(&where, "target", "/tmp/d/l") != VMK_OK)
            refused++;
        if (vfs_open(&where, "/tmp/d/f", VFS_O_CREAT | VFS_O_RDWR, 0644, &file) != VMK_OK) {
            refused++;
        } else {
            if (file_write(file, block, sizeof(block), &done) != VMK_OK || done < sizeof(block))
                refused++;
            (void)!file_pwrite(file, block, 100, 1u << 20, &done);
            if (vfs_rename(&where, "/tmp/d/f", &where, "/tmp/d/a-longer-name", 0) != VMK_OK)
                refused++;
            file_put(file);
        }
        (void)!vfs_unlink(&where, "/tmp/d/f");
        (void)!vfs_unlink(&where, "/tmp/d/a-longer-name");
        (void)!vfs_unlink(&where, "/tmp/d/l");
        (void)!vfs_rmdir(&where, "/tmp/d");
        ck_assert_uint_eq(usage_of("/tmp").size_used, 0);
        ck_assert_uint_eq(usage_of("/tmp").inodes_used, 1);
        page_free(taken[--count], 0, MEM_OWNER_TEST);
    }
    ck_assert_uint_gt(refused, 3);
    while (count)
        page_free(taken[--count], 0, MEM_OWNER_TEST);
    fs_write_file("/tmp/again", "fine");
    ck_assert_str_eq(fs_read_file("/tmp/again"), "fine");
}
FS_TEST(test_visorfs__memory_ends_anywhere__refused_and_nothing_lost, starve_entry)

KERNEL_TEST_MAIN("visorfs", RUNS(test_visorfs__quota__refused_by_name_and_counted),
                 RUNS(test_visorfs__inode_limit__refused_and_raised),
                 RUNS(test_visorfs__mount_options__understood_or_refused),
                 RUNS(test_visorfs__mounts__on_top_below_and_away),
                 RUNS(test_visorfs__another_root__no_way_out),
                 RUNS(test_visorfs__mapped_pages__shared_with_read_and_write),
                 RUNS(test_visorfs__listing_while_it_changes__each_once),
                 RUNS(test_visorfs__directories_moved_across__no_deadlock_no_loop),
                 RUNS(test_visorfs__four_worlds_at_random__no_deadlock_and_all_counted),
                 RUNS(test_visorfs__device_nodes__do_what_their_number_says),
                 RUNS(test_visorfs__chacha20__vector_of_the_rfc),
                 RUNS(test_visorfs__memory_ends_anywhere__refused_and_nothing_lost))
