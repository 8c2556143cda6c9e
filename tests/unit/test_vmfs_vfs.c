// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vmfs_vfs.c -- VMFS below the VFS: POSIX answers, listings, datastores.
 *
 * A list of calls with the errno that POSIX wants (in the manner of pjdfstest) runs on visorfs
 * and on a VMFS volume on the modelled disk, and everything they say is also compared with each
 * other.
 */
#include "fs/vmfs/datastore.h"
#include "fs/vmfs/vmfs_vfs.h"
#include "io/io.h"
#include "io/partition.h"
#include "io/storage.h"
#include "sim/model/disk.h"
#include "tests/unit/fs_fixture.h"

#define DISK_SIZE (2100ull << 20)

static struct disk_model *disk;

/* Files up, and a disk with one VMFS partition on adapter vmhba0. */
static void disk_up(void)
{
    const struct storage_inquiry inquiry = {.vendor = "Orrery", .model = "Model"};
    const struct partition_guid id = partition_guid_make(1, 2);
    struct partition wanted = {.kind = PARTITION_VMFS,
                               .type = partition_kind_guid(PARTITION_VMFS)};
    struct partition_table *table;
    struct storage_adapter *adapter;

    fs_up();
    ck_assert_int_eq(vmfs_type_register(), VMK_OK);
    disk = disk_model_create("disk", DISK_SIZE);
    wanted.id = partition_guid_make(3, 4);
    ck_assert_int_eq(partition_table_new(disk_model_device(disk), &id, &table), VMK_OK);
    ck_assert_int_eq(partition_add(table, &wanted), VMK_OK);
    ck_assert_int_eq(partition_table_write(disk_model_device(disk), table), VMK_OK);
    partition_table_free(table);
    ck_assert_int_eq(storage_adapter_add("model", "nowhere", "the modelled disk", &adapter),
                     VMK_OK);
    ck_assert_int_eq(storage_device_add(adapter, 0, 0, 0, disk_model_device(disk), &inquiry),
                     VMK_OK);
}

static struct datastore lab_up(void)
{
    struct datastore d;
    char name[BLOCK_NAME_SIZE + 8];

    disk_up();
    snprintf(name, sizeof(name), "%s:1", disk_model_device(disk)->name);
    ck_assert_int_eq(datastore_create(name, "lab"), VMK_OK);
    ck_assert(datastore_get(0, &d));
    return d;
}

static void lab_down(void)
{
    ck_assert_uint_eq(datastore_unmount_all(), 0);
}

/* ---- the same calls on two file systems ---- */

enum what {
    CREATE,
    MKDIR,
    RMDIR,
    UNLINK,
    RENAME,
    LINK,
    SYMLINK,
    CHMOD,
    CHOWN,
    TRUNCATE,
    WRITE,  // number: offset
    APPEND,
    OPEN,    // number: O_*
    EXISTS,  // created with O_EXCL
    LIST,
    BECOME,  // number: uid and gid
    MTIME,
};

static const struct step {
    enum what what;
    const char *a, *b;
    uint64_t number;
    int wanted;
} steps[] = {
    {CREATE, "f", NULL, 0644, 0},
    {EXISTS, "f", NULL, 0644, EEXIST},
    {CREATE, "no/f", NULL, 0644, ENOENT},
    {CREATE, "f/x", NULL, 0644, ENOTDIR},
    {MKDIR, "d", NULL, 0755, 0},
    {MKDIR, "d", NULL, 0755, EEXIST},
    {MKDIR, "f", NULL, 0755, EEXIST},
    {MKDIR, "no/d", NULL, 0755, ENOENT},
    {MKDIR, "f/d", NULL, 0755, ENOTDIR},
    {MKDIR, "d/e", NULL, 0700, 0},
    {MKDIR, "d/e/g", NULL, 0711, 0},
    {RMDIR, "d/e", NULL, 0, ENOTEMPTY},
    {RMDIR, "d/e/g", NULL, 0, 0},
    {RMDIR, "d/e/g", NULL, 0, ENOENT},
    {RMDIR, "f", NULL, 0, ENOTDIR},
    {UNLINK, "d", NULL, 0, EISDIR},
    {UNLINK, "no", NULL, 0, ENOENT},
    {UNLINK, "f/x", NULL, 0, ENOTDIR},
    {LIST, "d", NULL, 0, 0},
    {WRITE, "f", "hello", 0, 0},
    {WRITE, "f", "tail", 20000, 0},
    {APPEND, "f", "more", 0, 0},
    {TRUNCATE, "f", NULL, 8192, 0},
    {TRUNCATE, "f", NULL, 3, 0},
    {TRUNCATE, "f", NULL, 1048577, 0},
    {TRUNCATE, "d", NULL, 0, EISDIR},
    {TRUNCATE, "no", NULL, 0, ENOENT},
    {OPEN, "d", NULL, VFS_O_WRONLY, EISDIR},
    {OPEN, "f", NULL, VFS_O_DIRECTORY, ENOTDIR},
    {OPEN, "no", NULL, VFS_O_RDONLY, ENOENT},
    {OPEN, "f", NULL, VFS_O_RDWR | VFS_O_TRUNC, 0},
    {LINK, "f", "h", 0, 0},
    {LINK, "f", "h", 0, EEXIST},
    {LINK, "d", "hd", 0, EPERM},
    {LINK, "no", "h2", 0, ENOENT},
    {LINK, "f", "no/h", 0, ENOENT},
    {UNLINK, "f", NULL, 0, 0},
    {LINK, "h", "f", 0, 0},
    {RENAME, "f", "h", 0, 0},
    {LIST, ".", NULL, 0, 0},
    {SYMLINK, "s", "f", 0, 0},
    {SYMLINK, "s", "f", 0, EEXIST},
    {OPEN, "s", NULL, VFS_O_RDONLY, 0},
    {OPEN, "s", NULL, VFS_O_NOFOLLOW, ELOOP},
    {SYMLINK, "loop", "loop", 0, 0},
    {OPEN, "loop", NULL, VFS_O_RDONLY, ELOOP},
    {CREATE, "loop", NULL, 0600, ELOOP},
    {SYMLINK, "to-d", "d", 0, 0},
    {CREATE, "to-d/in", NULL, 0600, 0},
    {RMDIR, "to-d", NULL, 0, ENOTDIR},
    {UNLINK, "to-d/in", NULL, 0, 0},
    {SYMLINK, "dangling", "not-there", 0, 0},
    {OPEN, "dangling", NULL, VFS_O_RDONLY, ENOENT},
    {CREATE, "dangling", NULL, 0640, 0},
    {UNLINK, "not-there", NULL, 0, 0},
    {RENAME, "no", "x", 0, ENOENT},
    {RENAME, "f", "no/x", 0, ENOENT},
    {RENAME, "f", "d", 0, EISDIR},
    {RENAME, "d", "f", 0, ENOTDIR},
    {RENAME, "d", "d/e/d", 0, EINVAL},
    {RENAME, "d", "d", 0, 0},
    {MKDIR, "full", NULL, 0755, 0},
    {CREATE, "full/x", NULL, 0644, 0},
    {RENAME, "d", "full", 0, ENOTEMPTY},
    {MKDIR, "empty", NULL, 0755, 0},
    {RENAME, "d", "empty", 0, 0},
    {LIST, "empty", NULL, 0, 0},
    {RENAME, "empty/e", "full/e", 0, 0},
    {LIST, "full", NULL, 0, 0},
    {RENAME, "full/x", "f", 0, 0},
    {RENAME, "s", "s2", 0, 0},
    {CHMOD, "f", NULL, 04755, 0},
    {CHMOD, "f", NULL, 01777, 0},
    {CHMOD, "no", NULL, 0600, ENOENT},
    {CHOWN, "f", NULL, 1000, 0},
    {CHOWN, "full", NULL, 1000, 0},
    {MTIME, "f", NULL, 1234567890, 0},
    {BECOME, NULL, NULL, 1000, 0},
    {CREATE, "mine", NULL, 0600, EACCES},
    {CREATE, "full/mine", NULL, 0666, 0},
    {MKDIR, "full/dir", NULL, 0777, 0},
    {CHMOD, "full/mine", NULL, 0400, 0},
    {OPEN, "full/mine", NULL, VFS_O_RDWR, EACCES},
    {CHMOD, "empty", NULL, 0777, EPERM},
    {CHOWN, "full/mine", NULL, 1001, EPERM},
    {UNLINK, "h", NULL, 0, EACCES},
    {RENAME, "full/mine", "mine", 0, EACCES},
    {BECOME, NULL, NULL, 2000, 0},
    {OPEN, "full/mine", NULL, VFS_O_RDONLY, EACCES},
    {CHMOD, "f", NULL, 0600, EPERM},
    {WRITE, "f", "by another", 0, 0},
    {BECOME, NULL, NULL, 0, 0},
    {CHMOD, "full", NULL, 02775, 0},
    {CREATE, "full/inherits", NULL, 0644, 0},
    {MKDIR, "full/deep", NULL, 0755, 0},
    {CHMOD, "full", NULL, 01777, 0},
    {BECOME, NULL, NULL, 2000, 0},
    {UNLINK, "full/inherits", NULL, 0, EPERM},
    {RENAME, "full/inherits", "full/taken", 0, EPERM},
    {CREATE, "full/own", NULL, 0600, 0},
    {UNLINK, "full/own", NULL, 0, 0},
    {BECOME, NULL, NULL, 0, 0},
    {CREATE,
     "a-name-of-one-hundred-and-twenty-seven-bytes-0123456789-0123456789-0123456789-"
     "0123456789-0123456789-0123456789-0123456789-abc",
     NULL, 0600, 0},
    {CREATE, ".", NULL, 0600, EISDIR},
    {MKDIR, ".", NULL, 0700, EEXIST},
    {RMDIR, ".", NULL, 0, EINVAL},
    {RMDIR, "full/..", NULL, 0, ENOTEMPTY},
    {LIST, "full", NULL, 0, 0},
    {LIST, ".", NULL, 0, 0},
};

struct talk {
    char text[1 << 17];
    size_t length;
    struct vfs_cred cred;
    struct vnode *base;
};

static void say(struct talk *t, const char *format, ...) printf_like(2, 3);
static void say(struct talk *t, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    t->length +=
        (size_t)vsnprintf(t->text + t->length, sizeof(t->text) - t->length, format, arguments);
    va_end(arguments);
    ck_assert_uint_lt(t->length, sizeof(t->text));
}

static struct vfs_where where_of(struct talk *t)
{
    struct vfs_where where = vfs_where_kernel();

    where.cred = &t->cred;
    where.start = t->base;
    where.umask = 0;
    return where;
}

static void say_attributes(struct talk *t, const char *path)
{
    const struct vfs_where where = where_of(t);
    struct vfs_attr a;

    if (!path || vfs_stat(&where, path, VFS_WALK_NOFOLLOW, &a) != VMK_OK)
        return;
    say(t, " [%s %o %u:%u %u", path, a.mode, a.uid, a.gid, a.link_count);
    if ((a.mode & VFS_TYPE_MASK) != VFS_TYPE_DIR)
        say(t, " %llu", (unsigned long long)a.size);
    say(t, "]");
}

struct names {
    struct vfs_dir_sink sink;
    char names[64][140];
    unsigned count;
};

static bool take_name(struct vfs_dir_sink *sink, const char *name, size_t length,
                      uint64_t inode, uint32_t type, uint64_t next)
{
    struct names *n = container_of(sink, struct names, sink);

    (void)inode;
    (void)next;
    ck_assert_uint_lt(n->count, 64);
    snprintf(n->names[n->count++], sizeof(n->names[0]), "%.*s:%o", (int)length, name, type);
    return true;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static vmk_status say_list(struct talk *t, const char *path)
{
    const struct vfs_where where = where_of(t);
    struct names n = {.sink.emit = take_name};
    struct file *file;
    vmk_status status = vfs_open(&where, path, VFS_O_RDONLY | VFS_O_DIRECTORY, 0, &file);

    if (status != VMK_OK)
        return status;
    status = file_readdir(file, &n.sink);
    file_put(file);
    qsort(n.names, n.count, sizeof(n.names[0]), compare);
    for (unsigned i = 0; i < n.count; i++)
        say(t, " %s", n.names[i]);
    return status;
}

static vmk_status set(struct talk *t, const char *path, const struct vfs_attr *attr,
                      unsigned what)
{
    const struct vfs_where where = where_of(t);
    struct vnode *vnode;
    vmk_status status = vfs_walk(&where, path, 0, &vnode);

    if (status == VMK_OK) {
        status = vnode_setattr(vnode, attr, what, &t->cred);
        vnode_put(vnode);
    }
    return status;
}

static vmk_status open_and(struct talk *t, const struct step *s, uint32_t flags)
{
    const struct vfs_where where = where_of(t);
    struct file *file;
    vmk_status status = vfs_open(&where, s->a, flags, (uint32_t)s->number, &file);

    if (status != VMK_OK)
        return status;
    if (s->what == WRITE || s->what == APPEND) {
        size_t done;

        status = s->what == WRITE ? file_pwrite(file, s->b, strlen(s->b), s->number, &done)
                                  : file_write(file, s->b, strlen(s->b), &done);
    }
    if (status == VMK_OK && s->what != CREATE)
        status = file_fsync(file, false);
    file_put(file);
    return status;
}

static vmk_status perform(struct talk *t, const struct step *s)
{
    const struct vfs_where where = where_of(t);
    const struct vfs_attr attr = {.mode = (uint32_t)s->number,
                                  .uid = (uint32_t)s->number,
                                  .gid = (uint32_t)s->number,
                                  .size = s->number,
                                  .mtime_ns = (int64_t)s->number * 1000000000};

    switch (s->what) {
    case CREATE: return open_and(t, s, VFS_O_CREAT | VFS_O_RDWR);
    case EXISTS: return open_and(t, s, VFS_O_CREAT | VFS_O_EXCL | VFS_O_RDWR);
    case MKDIR: return vfs_mkdir(&where, s->a, (uint32_t)s->number);
    case RMDIR: return vfs_rmdir(&where, s->a);
    case UNLINK: return vfs_unlink(&where, s->a);
    case RENAME: return vfs_rename(&where, s->a, &where, s->b, 0);
    case LINK: return vfs_link(&where, s->a, &where, s->b, 0);
    case SYMLINK: return vfs_symlink(&where, s->b, s->a);
    case CHMOD: return set(t, s->a, &attr, VFS_SET_MODE);
    case CHOWN: return set(t, s->a, &attr, VFS_SET_UID | VFS_SET_GID);
    case TRUNCATE: return set(t, s->a, &attr, VFS_SET_SIZE);
    case MTIME: return set(t, s->a, &attr, VFS_SET_MTIME);
    case WRITE: return open_and(t, s, VFS_O_WRONLY);
    case APPEND: return open_and(t, s, VFS_O_WRONLY | VFS_O_APPEND);
    case OPEN: return open_and(t, s, (uint32_t)s->number);
    case LIST: return say_list(t, s->a);
    case BECOME: t->cred.uid = t->cred.gid = (uint32_t)s->number; return VMK_OK;
    }
    return VMK_BAD_PARAM;
}

static void play(struct talk *t, const char *base)
{
    const struct vfs_where where = vfs_where_kernel();

    memset(t, 0, sizeof(*t));
    ck_assert_int_eq(vfs_mkdir(&where, base, 0755), VMK_OK);
    ck_assert_int_eq(vfs_walk(&where, base, 0, &t->base), VMK_OK);
    for (unsigned i = 0; i < ARRAY_COUNT(steps); i++) {
        int result = fs_errno(perform(t, &steps[i]));

        ck_assert_msg(result == steps[i].wanted, "%s: step %u (%d %s %s): errno %d, not %d",
                      base, i, (int)steps[i].what, steps[i].a, steps[i].b ? steps[i].b : "",
                      result, steps[i].wanted);
        say(t, "%u: %d", i, result);
        say_attributes(t, steps[i].a);
        say_attributes(t, steps[i].what == SYMLINK ? NULL : steps[i].b);
        say_attributes(t, ".");
        say(t, "\n");
    }
    vnode_put(t->base);
}

static struct talk talks[2];

static void same_answers(void *argument)
{
    const struct datastore d = lab_up();
    char base[128];
    const char *a = talks[0].text;
    const char *b = talks[1].text;
    unsigned line = 0;

    (void)argument;
    play(&talks[0], "/tmp/posix");
    snprintf(base, sizeof(base), "%s/posix", d.path);
    play(&talks[1], base);
    while (*a && *a == *b) {
        line += *a == '\n';
        a++;
        b++;
    }
    ck_assert_msg(*a == *b, "line %u: visorfs '%.60s', vmfs '%.60s'", line, a, b);
    lab_down();
}
FS_TEST(test_vmfs_vfs__posix_list__as_wanted_and_as_visorfs, same_answers)

/* ---- listings ---- */

struct counting {
    struct vfs_dir_sink sink;
    uint8_t seen[600];
    unsigned room;
    const char *base;
};

static bool count_name(struct vfs_dir_sink *sink, const char *name, size_t length,
                       uint64_t inode, uint32_t type, uint64_t next)
{
    struct counting *c = container_of(sink, struct counting, sink);
    unsigned long n;

    (void)inode;
    (void)type;
    (void)next;
    if (!c->room)
        return false;
    c->room--;
    if (name[0] == 'f' && length < 8) {
        n = strtoul(name + 1, NULL, 10);
        ck_assert_uint_lt(n, 600);
        c->seen[n]++;
    }
    return true;
}

/* rm -r reads some names and removes them, in turn. */
static void list_while_it_changes(void *argument)
{
    const struct datastore d = lab_up();
    const struct vfs_where where = vfs_where_kernel();
    static struct counting c;
    struct file *dir;
    char path[128];

    (void)argument;
    for (unsigned i = 0; i < 300; i++) {
        snprintf(path, sizeof(path), "%s/f%u", d.path, i);
        fs_write_file(path, "");
    }
    dir = fs_open(d.path, VFS_O_RDONLY | VFS_O_DIRECTORY, 0);
    c = (struct counting){.sink.emit = count_name};
    for (unsigned round = 0, before = 1; before; round++) {
        static uint8_t old[600];

        memcpy(old, c.seen, sizeof(old));
        c.room = 37;
        ck_assert_int_eq(file_readdir(dir, &c.sink), VMK_OK);
        before = 37 - c.room;
        /* Half of what was just seen goes; others, not seen yet, come. */
        for (unsigned i = 0; i < 300; i += 2) {
            snprintf(path, sizeof(path), "%s/f%u", d.path, i);
            if (c.seen[i] && !old[i])
                ck_assert_int_eq(vfs_unlink(&where, path), VMK_OK);
        }
        snprintf(path, sizeof(path), "%s/f%u", d.path, 300 + round);
        fs_write_file(path, "");
    }
    file_put(dir);
    for (unsigned i = 0; i < 300; i++)
        ck_assert_msg(c.seen[i] == 1, "f%u was seen %u times", i, c.seen[i]);
    lab_down();
}
FS_TEST(test_vmfs_vfs__listing_while_names_go__each_lasting_one_once, list_while_it_changes)

/* ---- life of files and datastores ---- */

static void open_without_name(void *argument)
{
    const struct datastore d = lab_up();
    const struct vfs_where where = vfs_where_kernel();
    struct datastore after;
    struct file *file;
    char path[128];
    static char data[3 << 20];
    size_t done;

    (void)argument;
    snprintf(path, sizeof(path), "%s/gone", d.path);
    file = fs_open(path, VFS_O_RDWR | VFS_O_CREAT, 0600);
    memset(data, 7, sizeof(data));
    ck_assert_int_eq(file_write(file, data, sizeof(data), &done), VMK_OK);
    ck_assert_int_eq(vfs_unlink(&where, path), VMK_OK);
    ck_assert_int_eq(datastore_unmount("lab"), VMK_BUSY);
    ck_assert_int_eq(file_pwrite(file, "x", 1, 5 << 20, &done), VMK_OK);
    ck_assert_int_eq(file_pread(file, data, 10, 100, &done), VMK_OK);
    ck_assert_uint_eq(done, 10);
    ck_assert_int_eq(data[9], 7);
    file_put(file);
    ck_assert(datastore_get(0, &after));
    ck_assert_int_eq(datastore_unmount("lab"), VMK_OK);
    ck_assert_uint_eq(datastore_scan(), 1);
    ck_assert(datastore_get(0, &after));
    ck_assert_uint_eq(after.free, d.free);
    lab_down();
}
FS_TEST(test_vmfs_vfs__unlinked_open_file__lives_until_closed_and_its_blocks_return,
        open_without_name)

static void scan_again(void *argument)
{
    struct datastore d = lab_up();
    const struct vfs_where where = vfs_where_kernel();
    struct vfs_attr attr;
    struct mount *m;
    struct vfs_statfs s;
    struct vnode *root;

    (void)argument;
    ck_assert_str_eq(d.label, "lab");
    ck_assert_uint_eq(d.extents, 1);
    fs_write_file("/vmfs/volumes/lab/hello.txt", "kept");
    ck_assert_uint_eq(datastore_scan(), 0);
    ck_assert_int_eq(datastore_create(d.devices, "lab"), VMK_EXISTS);
    ck_assert_int_eq(datastore_unmount(d.uuid), VMK_OK);
    ck_assert(!datastore_get(0, &d));
    ck_assert_int_eq(vfs_stat(&where, "/vmfs/volumes/lab", VFS_WALK_NOFOLLOW, &attr),
                     VMK_NOT_FOUND);
    ck_assert_uint_eq(datastore_scan(), 1);
    ck_assert_str_eq(fs_read_file("/vmfs/volumes/lab/hello.txt"), "kept");
    ck_assert(datastore_get(0, &d));
    ck_assert_int_eq(vfs_walk(&where, d.path, 0, &root), VMK_OK);
    ck_assert_int_eq(vnode_statfs(root, &s), VMK_OK);
    ck_assert_uint_eq(s.blocks, 2048);
    ck_assert_uint_eq(s.block_size, 1 << 20);
    m = root->mount;
    ck_assert_ptr_nonnull(vmfs_of_mount(m));
    vnode_put(root);
    lab_down();
}
FS_TEST(test_vmfs_vfs__scan__mounts_what_is_new_and_finds_what_was_there, scan_again)

/* A power cut under a mounted datastore: what was synced is there after the next scan. */
static void power_cut(void *argument)
{
    const struct datastore d = lab_up();
    struct file *file;
    char path[128];

    (void)argument;
    snprintf(path, sizeof(path), "%s/f", d.path);
    file = fs_open(path, VFS_O_RDWR | VFS_O_CREAT, 0600);
    fs_put(file, "synced");
    ck_assert_int_eq(file_fsync(file, false), VMK_OK);
    fs_put(file, " and not");
    disk_model_cut_after(disk, 0);
    ck_assert_int_ne(file_fsync(file, false), VMK_OK);
    ck_assert_int_ne(fs_open_status(path, VFS_O_RDWR | VFS_O_TRUNC, 0), VMK_OK);
    file_put(file);
    (void)!datastore_unmount("lab");
    disk_model_power_on(disk, UINT64_MAX);
    ck_assert_uint_eq(datastore_scan(), 1);
    ck_assert_int_eq(strncmp(fs_read_file(path), "synced", 6), 0);
    lab_down();
}
FS_TEST(test_vmfs_vfs__power_cut_under_a_mount__next_mount_has_what_was_synced, power_cut)

/* Space that was set aside is there when the volume has none for anybody else. */
static void set_aside(void *argument)
{
    const struct datastore d = lab_up();
    const uint64_t size = 40ull << 20;
    struct file *kept, *filler, *other;
    struct vfs_attr attr;
    char path[128];
    uint64_t offset = 0, blocks = 0;
    size_t done;

    (void)argument;
    snprintf(path, sizeof(path), "%s/kept", d.path);
    kept = fs_open(path, VFS_O_RDWR | VFS_O_CREAT, 0600);
    ck_assert_int_eq(file_allocate(kept, size), VMK_OK);
    ck_assert_int_eq(file_getattr(kept, &attr), VMK_OK);
    ck_assert_uint_eq(attr.size, size);
    snprintf(path, sizeof(path), "%s/filler", d.path);
    filler = fs_open(path, VFS_O_RDWR | VFS_O_CREAT, 0600);
    ck_assert_int_eq(file_allocate(filler, DISK_SIZE), VMK_NO_SPACE);
    snprintf(path, sizeof(path), "%s/other", d.path);
    other = fs_open(path, VFS_O_RDWR | VFS_O_CREAT, 0600);
    // What the failed step gave back goes block by block.
    while (file_allocate(other, (blocks + 1) << 20) == VMK_OK)
        blocks++;
    ck_assert_uint_lt(blocks, 1024);
    for (; offset < size; offset += 5u << 20)
        ck_assert(file_pwrite(kept, "page", 4, offset, &done) == VMK_OK && done == 4);
    file_put(other);
    file_put(filler);
    file_put(kept);
    lab_down();
}
FS_TEST(test_vmfs_vfs__space_set_aside__is_there_when_the_volume_is_full, set_aside)

KERNEL_TEST_MAIN(
    "vmfs_vfs", RUNS(test_vmfs_vfs__posix_list__as_wanted_and_as_visorfs),
    RUNS(test_vmfs_vfs__listing_while_names_go__each_lasting_one_once),
    RUNS(test_vmfs_vfs__unlinked_open_file__lives_until_closed_and_its_blocks_return),
    RUNS(test_vmfs_vfs__scan__mounts_what_is_new_and_finds_what_was_there),
    RUNS(test_vmfs_vfs__power_cut_under_a_mount__next_mount_has_what_was_synced),
    RUNS(test_vmfs_vfs__space_set_aside__is_there_when_the_volume_is_full))
