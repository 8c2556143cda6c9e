// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/fs_fixture.h -- files brought up in a world of the test host, and short calls on them.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/visorfs/visorfs.h"
#include "fs/vfs.h"
#include "mem/page.h"
#include "tests/unit/kernel_test.h"
#include "world/world.h"

#define FS_MS 1000000ull

/* The errno that the system-call layer makes of a status: the table at the head of vfs.h. */
static inline int fs_errno(vmk_status status)
{
    switch (status) {
    case VMK_OK: return 0;
    case VMK_BAD_PARAM: return EINVAL;
    case VMK_NOT_FOUND: return ENOENT;
    case VMK_EXISTS: return EEXIST;
    case VMK_BUSY: return EBUSY;
    case VMK_AGAIN: return EAGAIN;
    case VMK_INTERRUPTED: return EINTR;
    case VMK_NO_PERMISSION: return EACCES;
    case VMK_NOT_OWNER: return EPERM;
    case VMK_NOT_DIR: return ENOTDIR;
    case VMK_IS_DIR: return EISDIR;
    case VMK_NOT_EMPTY: return ENOTEMPTY;
    case VMK_NAME_TOO_LONG: return ENAMETOOLONG;
    case VMK_TOO_MANY_LINKS: return ELOOP;
    case VMK_CROSS_DEVICE: return EXDEV;
    case VMK_READ_ONLY: return EROFS;
    case VMK_NO_SPACE: return ENOSPC;
    case VMK_TOO_BIG: return EFBIG;
    case VMK_NOT_TTY: return ENOTTY;
    case VMK_BAD_SEEK: return ESPIPE;
    case VMK_BROKEN_PIPE: return EPIPE;
    case VMK_NO_DEVICE: return ENXIO;
    case VMK_IO_ERROR: return EIO;
    case VMK_BAD_HANDLE: return EBADF;
    default: return 1000 + (int)status;
    }
}

static inline void fs_sleep_ms(unsigned ms)
{
    ck_assert_int_eq(world_sleep_until(plat_time_now() + ms * FS_MS), VMK_OK);
}

static inline struct file *fs_open(const char *path, uint32_t flags, uint32_t mode)
{
    const struct vfs_where where = vfs_where_kernel();
    struct file *file = NULL;

    ck_assert_msg(vfs_open(&where, path, flags, mode, &file) == VMK_OK, "open %s", path);
    return file;
}

static inline vmk_status fs_open_status(const char *path, uint32_t flags, uint32_t mode)
{
    const struct vfs_where where = vfs_where_kernel();
    struct file *file = NULL;
    vmk_status status = vfs_open(&where, path, flags, mode, &file);

    if (status == VMK_OK)
        file_put(file);
    return status;
}

static inline void fs_put(struct file *file, const char *text)
{
    size_t done;

    ck_assert_int_eq(file_write(file, text, strlen(text), &done), VMK_OK);
    ck_assert_uint_eq(done, strlen(text));
}

/* One read of at most `size`; ends it with a NUL. */
static inline const char *fs_get(struct file *file, size_t size)
{
    static char text[8192];
    size_t done;

    ck_assert_uint_lt(size, sizeof(text));
    ck_assert_int_eq(file_read(file, text, size, &done), VMK_OK);
    text[done] = 0;
    return text;
}

static inline void fs_write_file(const char *path, const char *text)
{
    struct file *file = fs_open(path, VFS_O_WRONLY | VFS_O_CREAT | VFS_O_TRUNC, 0644);

    fs_put(file, text);
    file_put(file);
}

static inline const char *fs_read_file(const char *path)
{
    struct file *file = fs_open(path, VFS_O_RDONLY, 0);
    const char *text = fs_get(file, 8000);

    file_put(file);
    return text;
}

static inline void fs_mkdir(const char *path)
{
    const struct vfs_where where = vfs_where_kernel();

    ck_assert_msg(vfs_mkdir(&where, path, 0755) == VMK_OK, "mkdir %s", path);
}

static inline struct vfs_attr fs_stat(const char *path)
{
    const struct vfs_where where = vfs_where_kernel();
    struct vfs_attr attr = {.mode = 0};

    ck_assert_msg(vfs_stat(&where, path, VFS_WALK_NOFOLLOW, &attr) == VMK_OK, "stat %s", path);
    return attr;
}

static inline vmk_status fs_stat_status(const char *path)
{
    const struct vfs_where where = vfs_where_kernel();
    struct vfs_attr attr;

    return vfs_stat(&where, path, VFS_WALK_NOFOLLOW, &attr);
}

/* The test's body runs in a world with files up. */
#define FS_TEST(name, body)                                                                    \
    START_TEST(name)                                                                           \
    {                                                                                          \
        sim_test_begin();                                                                      \
        sim_test_run(body, NULL);                                                              \
    }                                                                                          \
    END_TEST

static inline void fs_up(void)
{
    ck_assert_int_eq(fs_init(), VMK_OK);
}

/* Runs `entry` in a world of its own. */
static inline world_id fs_world(void (*entry)(void *), void *argument)
{
    const struct world_params params = {.name = "other", .entry = entry, .argument = argument};
    world_id id;

    ck_assert_int_eq(world_create(&params, &id), VMK_OK);
    return id;
}

static inline void fs_world_end(world_id id)
{
    int code;

    ck_assert_int_eq(world_wait(id, PLAT_NS_NEVER, &code), VMK_OK);
}
