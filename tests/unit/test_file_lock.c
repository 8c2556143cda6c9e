// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_file_lock.c -- advisory locks on files: ranges, owners, waiting, circles.
 *
 * Random locks are compared with a model that keeps a type for each byte and owner: what may be
 * had, and who is in the way, follows from that alone.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include "fs/file_lock.h"

#include <stdlib.h>

#include "tests/unit/fs_fixture.h"
#include "tests/unit/kernel_test.h"

#define BYTES  24u
#define OWNERS 3u
#define ROUNDS 4000u
#define END    INT64_MAX

static char owners[OWNERS];
static struct file *file;

static struct file_lock lock_of(unsigned owner, enum file_lock_type type, uint64_t start,
                                uint64_t end)
{
    return (struct file_lock){.kind = FILE_LOCK_RECORD,
                              .type = type,
                              .start = start,
                              .end = end,
                              .owner = &owners[owner],
                              .pid = (int32_t)owner + 1};
}

static vmk_status set(unsigned owner, enum file_lock_type type, uint64_t start, uint64_t end,
                      bool wait)
{
    const struct file_lock lock = lock_of(owner, type, start, end);

    return file_lock_set(file->vnode, &lock, wait);
}

/* Who is in the way, by his pid; 0: nobody. */
static int32_t blocker(unsigned owner, enum file_lock_type type, uint64_t start, uint64_t end)
{
    struct file_lock lock = lock_of(owner, type, start, end);

    return file_lock_find(file->vnode, &lock) ? lock.pid : 0;
}

static void begin(void)
{
    fs_up();
    file = fs_open("/locked", VFS_O_RDWR | VFS_O_CREAT, 0644);
}

static void end(void)
{
    for (unsigned i = 0; i < OWNERS; i++)
        file_locks_drop(file->vnode, &owners[i]);
    ck_assert(list_is_empty(&file->vnode->locks));
    file_put(file);
}

static unsigned held_count(void)
{
    unsigned count = 0;

    list_for_each (node, &file->vnode->locks)
        count++;
    return count;
}

/* ---- ranges ---- */

static void ranges(void *unused)
{
    (void)unused;
    begin();
    ck_assert_int_eq(set(0, FILE_LOCK_WRITE, 10, 19, false), VMK_OK);
    ck_assert_int_eq(set(0, FILE_LOCK_WRITE, 20, 29, false), VMK_OK);
    ck_assert_uint_eq(held_count(), 1);  // neighbours of one type are one lock
    ck_assert_int_eq(set(0, FILE_LOCK_NONE, 15, 24, false), VMK_OK);
    ck_assert_uint_eq(held_count(), 2);
    ck_assert_int_eq(set(1, FILE_LOCK_WRITE, 15, 24, false), VMK_OK);
    ck_assert_int_eq(set(1, FILE_LOCK_READ, 14, 14, false), VMK_AGAIN);
    ck_assert_int_eq(blocker(1, FILE_LOCK_READ, 0, END), 1);
    ck_assert_int_eq(blocker(2, FILE_LOCK_READ, 16, 20), 2);
    ck_assert_int_eq(blocker(2, FILE_LOCK_WRITE, 30, END), 0);
    /* To the end of the file, however long it becomes. */
    ck_assert_int_eq(set(2, FILE_LOCK_READ, 30, END, false), VMK_OK);
    ck_assert_int_eq(set(0, FILE_LOCK_READ, 1ull << 40, END, false), VMK_OK);
    ck_assert_int_eq(set(0, FILE_LOCK_WRITE, 1ull << 41, 1ull << 41, false), VMK_AGAIN);
    file_locks_drop(file->vnode, &owners[2]);
    ck_assert_int_eq(set(0, FILE_LOCK_WRITE, 1ull << 41, 1ull << 41, false), VMK_OK);
    /* flock's locks and records do not see each other. */
    struct file_lock whole = lock_of(2, FILE_LOCK_WRITE, 0, END);
    whole.kind = FILE_LOCK_WHOLE;
    ck_assert_int_eq(file_lock_set(file->vnode, &whole, false), VMK_OK);
    end();
}
FS_TEST(test_file_lock_set__ranges__split_and_joined, ranges)

/* ---- against a model ---- */

static enum file_lock_type model[OWNERS][BYTES];

static bool model_allows(unsigned owner, enum file_lock_type type, unsigned from, unsigned to)
{
    for (unsigned o = 0; o < OWNERS; o++) {
        for (unsigned b = from; o != owner && b <= to; b++) {
            if (model[o][b] != FILE_LOCK_NONE &&
                (model[o][b] == FILE_LOCK_WRITE || type == FILE_LOCK_WRITE))
                return false;
        }
    }
    return true;
}

static void random_locks(void *unused)
{
    (void)unused;
    begin();
    srand(7);
    for (unsigned o = 0; o < OWNERS; o++) {
        for (unsigned b = 0; b < BYTES; b++)
            model[o][b] = FILE_LOCK_NONE;
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned owner = (unsigned)rand() % OWNERS, from = (unsigned)rand() % BYTES;
        unsigned to = from + (unsigned)rand() % (BYTES - from);
        enum file_lock_type type = (enum file_lock_type)((unsigned)rand() % 3u);
        bool allowed = type == FILE_LOCK_NONE || model_allows(owner, type, from, to);

        if (type != FILE_LOCK_NONE)
            ck_assert_int_eq(blocker(owner, type, from, to) == 0, allowed);
        ck_assert_int_eq(set(owner, type, from, to, false), allowed ? VMK_OK : VMK_AGAIN);
        for (unsigned b = from; allowed && b <= to; b++)
            model[owner][b] = type;
    }
    end();
}
FS_TEST(test_file_lock_set__random_locks__as_the_model, random_locks)

/* ---- waiting ---- */

static vmk_status waited;

static void wait_for_all(void *owner)
{
    waited = set((unsigned)(uintptr_t)owner, FILE_LOCK_WRITE, 0, 9, true);
}

static void waiting(void *unused)
{
    world_id other;

    (void)unused;
    begin();
    ck_assert_int_eq(set(0, FILE_LOCK_READ, 5, 5, false), VMK_OK);
    ck_assert_int_eq(set(1, FILE_LOCK_WRITE, 20, 20, false), VMK_OK);
    waited = VMK_BUSY;
    other = fs_world(wait_for_all, (void *)1);
    fs_sleep_ms(5);
    ck_assert_int_eq(waited, VMK_BUSY);
    /* He waits for us: waiting for what he has would never end. What he has not may be had. */
    ck_assert_int_eq(set(0, FILE_LOCK_WRITE, 20, 20, true), VMK_DEADLOCK);
    ck_assert_int_eq(set(0, FILE_LOCK_WRITE, 30, 30, true), VMK_OK);
    ck_assert_int_eq(set(0, FILE_LOCK_NONE, 5, 5, false), VMK_OK);
    fs_world_end(other);
    ck_assert_int_eq(waited, VMK_OK);
    ck_assert_int_eq(blocker(0, FILE_LOCK_READ, 0, 0), 2);
    end();
}
FS_TEST(test_file_lock_set__waits__until_it_goes_or_a_circle, waiting)

KERNEL_TEST_MAIN("file_lock", RUNS(test_file_lock_set__ranges__split_and_joined),
                 RUNS(test_file_lock_set__random_locks__as_the_model),
                 RUNS(test_file_lock_set__waits__until_it_goes_or_a_circle))
