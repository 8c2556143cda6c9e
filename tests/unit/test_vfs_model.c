// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vfs_model.c -- vfs and visorfs against the file system of the machine under the test.
 *
 * The same random calls go to a directory of the host (on tmpfs where there is one) and to
 * visorfs; every result, errno, attribute and byte must be the same, and in the end both trees.
 *
 * Invariants
 *   - As root each call is made in a chroot as uid 0, 1000 or 1001; otherwise without ".." as
 *     the user who runs the test.
 * Locking    none; one world.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/rng.h"
#include "tests/unit/fs_fixture.h"

#define OPEN_FILES 6u
#define DATA_MAX   20000u

static struct rng rng;
static struct vfs_where ours;
static struct vfs_cred cred;
static bool as_root;
static char base[40];
static int outside;
static unsigned step;
static unsigned sticky_differs;  // the sticky bit, if the host has protected_symlinks and so on
static bool hard_links_differ;   // protected_hardlinks: only root may link what is not his

static struct pair {
    struct file *file;
    int fd;
    unsigned uid;
} files[OPEN_FILES];

static unsigned pick(unsigned bound)
{
    return (unsigned)rng_below(&rng, bound);
}

/* Few names, so that they meet; paths of up to four parts, with dots, links and slashes. */
static void random_path(char *out, size_t size)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "l1", "l2", "x"};
    unsigned parts = 1 + pick(4);

    out[0] = 0;
    for (unsigned i = 0; i < parts; i++) {
        unsigned odd = pick(40);
        const char *name = odd == 0 ? "."
                           : odd == 1 && as_root
                               ? ".."  // ends at the chroot
                               : names[pick(sizeof(names) / sizeof(names[0]))];

        if (strlen(out) + strlen(name) + 3 > size)
            break;
        if (i)
            strcat(out, pick(30) ? "/" : "//");
        strcat(out, name);
    }
    if (pick(25) == 0)
        strcat(out, "/");
}

static void become(unsigned id)
{
    cred = (struct vfs_cred){.uid = id, .gid = as_root ? id : getgid()};
    if (as_root) {
        ck_assert_int_eq(setegid(id), 0);
        ck_assert_int_eq(seteuid(id), 0);
    }
}

static void become_root(void)
{
    if (as_root) {
        ck_assert_int_eq(seteuid(0), 0);
        ck_assert_int_eq(setegid(0), 0);
    }
}

static void become_root(void);

static void same(const char *what, const char *a, const char *b, vmk_status status, int result)
{
    int theirs = result < 0 ? errno : 0;

    if (fs_errno(status) != theirs && getenv("MODEL_DEBUG")) {
        char command[600];

        become_root();
        if (as_root) {
            ck_assert_int_eq(fchdir(outside), 0);
            ck_assert_int_eq(chroot("."), 0);
        }
        snprintf(command, sizeof(command), "cd %s; ls -laR . >&2", base);
        (void)!system(command);
    }

    ck_assert_msg(fs_errno(status) == theirs,
                  "step %u: %s %s %s (uid %u): ours %d (%s), theirs %d", step, what, a, b,
                  cred.uid, fs_errno(status), vmk_status_name(status), theirs);
}

static void do_symlink(const char *path)
{
    static const char *const targets[] = {"a",       "b/c", "l1",   "l2", "x/",
                                          "nowhere", ".",   "../a", "/b", "/"};
    const char *target = targets[pick(as_root ? 10 : 7)];
    vmk_status status;

    status = vfs_symlink(&ours, target, path);
    same("symlink", target, path, status, symlink(target, path));
}

static void compare_attr(const char *what, const struct vfs_attr *attr, const struct stat *st)
{
    ck_assert_msg(attr->mode == st->st_mode, "step %u: %s: mode %o, theirs %o", step, what,
                  attr->mode, st->st_mode);
    ck_assert_msg(attr->link_count == st->st_nlink, "step %u: %s: %u links, theirs %u", step,
                  what, attr->link_count, (unsigned)st->st_nlink);
    ck_assert_uint_eq(attr->uid, st->st_uid);
    ck_assert_uint_eq(attr->gid, st->st_gid);
    if (!S_ISDIR(st->st_mode))
        ck_assert_msg(attr->size == (uint64_t)st->st_size,
                      "step %u: %s: size %llu, theirs %llu", step, what,
                      (unsigned long long)attr->size, (unsigned long long)st->st_size);
}

static void do_stat(const char *path)
{
    bool follow = pick(2);
    struct vfs_attr attr;
    struct stat st;
    vmk_status status = vfs_stat(&ours, path, follow ? 0 : VFS_WALK_NOFOLLOW, &attr);
    int result = follow ? stat(path, &st) : lstat(path, &st);

    same(follow ? "stat" : "lstat", path, "", status, result);
    if (result == 0)
        compare_attr(path, &attr, &st);
}

static void do_open(const char *path)
{
    static const uint32_t extra[] = {
        O_CREAT,     O_CREAT,    O_CREAT | O_EXCL,  O_TRUNC, O_APPEND,
        O_DIRECTORY, O_NOFOLLOW, O_CREAT | O_TRUNC, 0,       0};
    uint32_t flags = pick(3) | extra[pick(10)] | O_NONBLOCK;
    struct pair *p = &files[pick(OPEN_FILES)];
    uint32_t mode = pick(2) ? 0644 : pick(01000);
    struct file *file = NULL;
    char text[32];
    vmk_status status;
    int fd;

    if (p->file) {
        file_put(p->file);
        close(p->fd);
        p->file = NULL;
    }
    status = vfs_open(&ours, path, flags, mode, &file);
    fd = open(path, (int)flags, mode);
    snprintf(text, sizeof(text), "%o", flags);
    same("open", path, text, status, fd);
    if (status == VMK_OK)
        *p = (struct pair){file, fd, cred.uid};
}

static void do_io(void)
{
    static unsigned char mine[DATA_MAX], theirs[DATA_MAX];
    struct pair *p = &files[pick(OPEN_FILES)];
    size_t size = pick(3) ? pick(300) : pick(DATA_MAX);
    size_t done = 0;
    off_t offset = (off_t)pick(40000);
    uint64_t position = 0;
    vmk_status status;
    ssize_t result;

    if (!p->file)
        return;
    become_root();
    become(p->uid);  // the rules for set-id bits ask who opened it
    switch (pick(7)) {
    case 0:
    case 1:
        for (size_t i = 0; i < size; i++)
            mine[i] = (unsigned char)(rng_next(&rng) >> 32);
        status = file_write(p->file, mine, size, &done);
        result = write(p->fd, mine, size);
        same("write", "", "", status, (int)result);
        break;
    case 2:
        memset(mine, (int)pick(256), size);
        status = file_pwrite(p->file, mine, size, (uint64_t)offset, &done);
        result = pwrite(p->fd, mine, size, offset);
        same("pwrite", "", "", status, (int)result);
        break;
    case 3:
        status = file_read(p->file, mine, size, &done);
        result = read(p->fd, theirs, size);
        same("read", "", "", status, (int)result);
        if (result > 0)
            ck_assert_mem_eq(mine, theirs, (size_t)result);
        break;
    case 4:
        status = file_pread(p->file, mine, size, (uint64_t)offset, &done);
        result = pread(p->fd, theirs, size, offset);
        same("pread", "", "", status, (int)result);
        if (result > 0)
            ck_assert_mem_eq(mine, theirs, (size_t)result);
        break;
    case 5:
        status = file_truncate(p->file, (uint64_t)offset);
        result = ftruncate(p->fd, offset);
        same("ftruncate", "", "", status, (int)result);
        return;
    default: {
        int whence = (int)pick(3);
        struct stat st;

        ck_assert_int_eq(fstat(p->fd, &st), 0);
        if (S_ISDIR(st.st_mode))
            return;  // positions in a directory are each file system's own
        offset -= 20000;
        status = file_seek(p->file, offset, (unsigned)whence, &position);
        result = lseek(p->fd, offset, whence);
        same("lseek", "", "", status, (int)result);
        if (result >= 0)
            ck_assert_uint_eq(position, (uint64_t)result);
        return;
    }
    }
    if (result >= 0)
        ck_assert_msg(done == (size_t)result, "step %u: %zu bytes, theirs %zd", step, done,
                      result);
}

static void do_chmod(const char *path)
{
    const struct vfs_attr attr = {.mode = pick(010000) & ~sticky_differs};
    struct vnode *vnode;
    vmk_status status = vfs_walk(&ours, path, 0, &vnode);

    if (status == VMK_OK) {
        status = vnode_setattr(vnode, &attr, VFS_SET_MODE, &cred);
        vnode_put(vnode);
    }
    same("chmod", path, "", status, chmod(path, attr.mode));
}

static void do_chown(const char *path)
{
    static const unsigned ids[] = {0, 1000, 1001};
    unsigned what = 1 + pick(3);
    const struct vfs_attr attr = {.uid = ids[pick(3)], .gid = ids[pick(3)]};
    struct vnode *vnode;
    vmk_status status;

    if (!as_root)
        return;
    status = vfs_walk(&ours, path, VFS_WALK_NOFOLLOW, &vnode);
    if (status == VMK_OK) {
        status = vnode_setattr(
            vnode, &attr, (what & 1 ? VFS_SET_UID : 0) | (what & 2 ? VFS_SET_GID : 0), &cred);
        vnode_put(vnode);
    }
    same("lchown", path, "", status,
         lchown(path, what & 1 ? attr.uid : (uid_t)-1, what & 2 ? attr.gid : (gid_t)-1));
}

static void do_access(const char *path)
{
    unsigned may = pick(8);
    struct vnode *vnode;
    vmk_status status = vfs_walk(&ours, path, 0, &vnode);

    if (status == VMK_OK) {
        status = vnode_access(vnode, may, &cred);
        vnode_put(vnode);
    }
    same("access", path, "", status, faccessat(AT_FDCWD, path, (int)may, AT_EACCESS));
}

static void do_readlink(const char *path)
{
    char mine[64] = "", theirs[64] = "";
    size_t length = 0;
    struct vnode *vnode;
    vmk_status status = vfs_walk(&ours, path, VFS_WALK_NOFOLLOW, &vnode);
    ssize_t result;

    if (status == VMK_OK) {
        status = vnode_readlink(vnode, mine, sizeof(mine), &length);
        vnode_put(vnode);
    }
    result = readlink(path, theirs, sizeof(theirs));
    same("readlink", path, "", status, (int)result);
    if (result >= 0) {
        ck_assert_uint_eq(length, (size_t)result);
        ck_assert_str_eq(mine, theirs);
    }
}

static void one_step(void)
{
    static const unsigned ids[] = {0, 0, 0, 1000, 1001};
    char path[256], other[256];
    vmk_status status;

    random_path(path, 200);
    random_path(other, 200);
    become(as_root ? ids[pick(5)] : getuid());
    ours.umask = 022;
    switch (pick(24)) {
    case 0:
    case 1:
    case 2:
        status = vfs_mkdir(&ours, path, 0777);
        same("mkdir", path, "", status, mkdir(path, 0777));
        break;
    case 3:
        status = vfs_rmdir(&ours, path);
        same("rmdir", path, "", status, rmdir(path));
        break;
    case 4:
    case 5:
        status = vfs_unlink(&ours, path);
        same("unlink", path, "", status, unlink(path));
        break;
    case 6:
    case 7:
    case 8:
        status = vfs_rename(&ours, path, &ours, other, 0);
        same("rename", path, other, status, rename(path, other));
        break;
    case 9: {
        bool follow = pick(2);

        if (hard_links_differ && cred.uid != 0)
            break;

        status = vfs_link(&ours, path, &ours, other, follow ? VFS_LINK_FOLLOW : 0);
        same("link", path, other, status,
             linkat(AT_FDCWD, path, AT_FDCWD, other, follow ? AT_SYMLINK_FOLLOW : 0));
        break;
    }
    case 10: do_symlink(path); break;
    case 11: do_readlink(path); break;
    case 12:
        if (pick(4) == 0)
            do_chmod(path);
        break;
    case 13:
        if (pick(4) == 0)
            do_chown(path);
        break;
    case 14: do_access(path); break;
    case 15:
        if (pick(3) == 0) {
            status = vfs_mknod(&ours, path, VFS_TYPE_FIFO | 0666, 0);
            same("mkfifo", path, "", status, mkfifo(path, 0666));
        }
        break;
    case 16: do_stat(path); break;
    case 17:
    case 18:
    case 19: do_open(path); break;
    default: do_io(); break;
    }
    become_root();
}

/* ---- the trees ---- */

struct names {
    struct vfs_dir_sink sink;
    char names[256][16];
    unsigned count;
};

static bool note(struct vfs_dir_sink *sink, const char *name, size_t length, uint64_t inode,
                 uint32_t type, uint64_t next)
{
    struct names *n = container_of(sink, struct names, sink);

    (void)inode;
    (void)type;
    (void)next;
    ck_assert_uint_lt(n->count, 256);
    ck_assert_uint_lt(length, 16);
    memcpy(n->names[n->count], name, length);
    n->names[n->count++][length] = 0;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void compare_tree(const char *path)
{
    struct names *mine = calloc(1, sizeof(*mine)), *theirs = calloc(1, sizeof(*theirs));
    struct file *dir;
    struct dirent *entry;
    DIR *d = opendir(path);

    mine->sink.emit = note;
    ck_assert_int_eq(vfs_open(&ours, path, VFS_O_RDONLY | VFS_O_DIRECTORY, 0, &dir), VMK_OK);
    for (unsigned before = ~0u; before != mine->count;) {
        before = mine->count;
        ck_assert_int_eq(file_readdir(dir, &mine->sink), VMK_OK);
    }
    file_put(dir);
    while ((entry = readdir(d)))
        strcpy(theirs->names[theirs->count++], entry->d_name);
    closedir(d);
    qsort(mine->names, mine->count, 16, by_name);
    qsort(theirs->names, theirs->count, 16, by_name);
    ck_assert_msg(mine->count == theirs->count, "step %u: %s has %u names, theirs %u", step,
                  path, mine->count, theirs->count);
    for (unsigned i = 0; i < mine->count; i++) {
        char below[512];
        struct vfs_attr attr;
        struct stat st;

        ck_assert_str_eq(mine->names[i], theirs->names[i]);
        if (strcmp(mine->names[i], ".") == 0 || strcmp(mine->names[i], "..") == 0)
            continue;
        snprintf(below, sizeof(below), "%s/%s", path, mine->names[i]);
        ck_assert_int_eq(lstat(below, &st), 0);
        ck_assert_int_eq(vfs_stat(&ours, below, VFS_WALK_NOFOLLOW, &attr), VMK_OK);
        compare_attr(below, &attr, &st);
        if (S_ISDIR(st.st_mode)) {
            compare_tree(below);
        } else if (S_ISREG(st.st_mode)) {
            static unsigned char a[65536], b[65536];
            size_t done;
            int fd = open(below, O_RDONLY);
            ssize_t result = read(fd, b, sizeof(b));

            close(fd);
            ck_assert_int_eq(vfs_open(&ours, below, 0, 0, &dir), VMK_OK);
            ck_assert_int_eq(file_read(dir, a, sizeof(a), &done), VMK_OK);
            file_put(dir);
            ck_assert_int_eq((int)done, (int)result);
            ck_assert_mem_eq(a, b, done);
        }
    }
    free(mine);
    free(theirs);
}

static bool host_protects(const char *what)
{
    char path[64];
    FILE *f;
    int value = 0;

    snprintf(path, sizeof(path), "/proc/sys/fs/protected_%s", what);
    f = fopen(path, "r");
    if (f && fscanf(f, "%d", &value) != 1)
        value = 1;
    if (f)
        fclose(f);
    return value != 0;
}

static unsigned steps = 6000, seeds = 12;

static void model_entry(void *argument)
{
    uint64_t heap_before = 0, pages_before = 0;

    (void)argument;
    fs_up();
    as_root = getuid() == 0;
    hard_links_differ = host_protects("hardlinks");
    if (host_protects("symlinks") || host_protects("regular") || host_protects("fifos"))
        sticky_differs = VFS_MODE_STICKY;
    umask(022);
    outside = open("/", O_RDONLY | O_DIRECTORY);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        char command[256];
        struct vfs_where kernel = vfs_where_kernel();

        rng_init(&rng, seed, "vfs model", 0);
        snprintf(base, sizeof(base), "%s/orrery.XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(base));
        ck_assert_int_eq(chmod(base, 0777), 0);
        ck_assert_int_eq(chdir(base), 0);
        if (as_root)
            ck_assert_int_eq(chroot("."), 0);
        kernel.umask = 0;
        ck_assert_int_eq(vfs_mkdir(&kernel, "/tmp/model", 0777), VMK_OK);
        ours = kernel;
        ours.cred = &cred;
        ck_assert_int_eq(vfs_walk(&kernel, "/tmp/model", 0, &ours.start), VMK_OK);
        if (as_root)
            ours.root = ours.start;
        if (!as_root) {
            const struct vfs_attr mine = {.uid = getuid(), .gid = getgid()};

            ck_assert_int_eq(vnode_setattr(ours.start, &mine, VFS_SET_UID | VFS_SET_GID, NULL),
                             VMK_OK);
        }
        for (step = 0; step < steps; step++) {
            one_step();
            if (step % 1000 == 999) {
                cred = vfs_cred_root;
                compare_tree(".");
            }
        }
        for (unsigned i = 0; i < OPEN_FILES; i++) {
            if (files[i].file) {
                file_put(files[i].file);
                close(files[i].fd);
                files[i].file = NULL;
            }
        }
        vnode_put(ours.start);
        if (as_root) {
            ck_assert_int_eq(fchdir(outside), 0);
            ck_assert_int_eq(chroot("."), 0);
        }
        snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", base, base);
        ck_assert_int_eq(system(command), 0);
        ck_assert_int_eq(vfs_unmount(&kernel, "/tmp"), VMK_OK);
        // Everything of that ram disk is gone: the second round begins as the first.
        if (seed > 1) {
            ck_assert_uint_eq(heap_owned(MEM_OWNER_FS), heap_before);
            ck_assert_uint_eq(page_owned_count(MEM_OWNER_FS), pages_before);
        }
        heap_before = heap_owned(MEM_OWNER_FS);
        pages_before = page_owned_count(MEM_OWNER_FS);
        ck_assert_int_eq(vfs_mount(&kernel, "visorfs", "tmp", "/tmp", 0, "mode=1777"), VMK_OK);
    }
}

FS_TEST(test_vfs_model__random_calls__same_as_the_host, model_entry)

KERNEL_TEST_MAIN("vfs_model", RUNS(test_vfs_model__random_calls__same_as_the_host))
