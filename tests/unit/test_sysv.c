// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_sysv.c -- System V IPC: ids, limits, undoing, killed waiters, and what is left over.
 *
 * Processes make real calls; when they are gone and their objects removed, memory of user
 * worlds is what it was before. What the calls answer is compared with Linux by
 * tests/user/posix/ipc.c.
 *
 * Invariants
 *   - Each test runs in a process of its own (Check forks), so none sees another's host.
 * Locking    none.
 */
#include "user/sysv.h"

#include <string.h>

#include "tests/unit/kernel_test.h"
#include "tests/unit/user_fixture.h"

#define DATA       0x10000000ull
#define AT         0x20000000ull
#define SYS_SHMGET 29u
#define SYS_SHMAT  30u
#define SYS_SHMCTL 31u
#define SYS_SEMGET 64u
#define SYS_SEMOP  65u
#define SYS_SEMCTL 66u
#define SYS_MSGGET 68u
#define SYS_MSGSND 69u
#define SYS_MSGRCV 70u
#define SYS_MSGCTL 71u

static struct thread *me;

static int64_t call(uint64_t number, int64_t a, int64_t b, int64_t c, int64_t d)
{
    const uint64_t arguments[6] = {(uint64_t)a, (uint64_t)b, (uint64_t)c, (uint64_t)d};

    return user_fixture_call(me, number, arguments);
}

static void begin(void *thread)
{
    me = thread;
    user_fixture_begin(me);
    user_fixture_map(me, DATA, 0x4000, ASPACE_READ | ASPACE_WRITE);
}

static int64_t operate(int64_t id, int number, int by, unsigned flags)
{
    const struct l_sembuf op = {(uint16_t)number, (int16_t)by, (int16_t)flags};

    ck_assert_int_eq(aspace_copy_out(me->as, DATA, &op, sizeof(op)), VMK_OK);
    return call(SYS_SEMOP, id, DATA, 1, 0);
}

static int64_t send_bytes(int64_t id, int64_t type, int64_t size, unsigned flags)
{
    ck_assert_int_eq(aspace_copy_out(me->as, DATA, &type, sizeof(type)), VMK_OK);
    return call(SYS_MSGSND, id, DATA, size, flags);
}

/* ---- shared memory ---- */

/* Ends with two mappings, in the order that leaves most to the end. */
static void segment_left_mapped(void *thread)
{
    const struct l_shmid_ds *ds;
    uint8_t bytes[sizeof(*ds)];
    int64_t id;

    begin(thread);
    id = call(SYS_SHMGET, L_IPC_PRIVATE, 3 * PAGE_SIZE, 0600, 0);
    ck_assert_int_eq(id, 0);
    ck_assert_int_eq(call(SYS_SHMAT, id, AT, 0, 0), AT);
    ck_assert_int_ge(call(SYS_SHMAT, id, 0, L_SHM_RDONLY, 0), PAGE_SIZE);
    ck_assert_int_eq(aspace_copy_out(me->as, AT + PAGE_SIZE, "touched", 8), VMK_OK);
    ck_assert_uint_eq(sysv_state()->shm_pages, 3);
    ck_assert_int_eq(call(SYS_SHMCTL, id, L_IPC_STAT, DATA, 0), 0);
    ck_assert_int_eq(aspace_copy_in(me->as, bytes, DATA, sizeof(bytes)), VMK_OK);
    ds = (const struct l_shmid_ds *)bytes;
    ck_assert_uint_eq(ds->nattch, 2);
    ck_assert_uint_eq(ds->lpid, me->process->pid);
    ck_assert_int_eq(call(SYS_SHMCTL, 0, L_SHM_INFO, DATA, 0), 0);
    ck_assert_int_eq(aspace_copy_in(me->as, bytes, DATA, sizeof(struct l_shm_info)), VMK_OK);
    ck_assert_uint_eq(((const struct l_shm_info *)bytes)->resident, 1);
    ck_assert_int_eq(call(SYS_SHMCTL, id, L_IPC_RMID, 0, 0), 0);
    ck_assert_uint_eq(sysv_state()->shm.count, 1);
    user_fixture_exit(me);
}

static void segment_limits(void *thread)
{
    int64_t id;

    begin(thread);
    sysv_state()->shm_pages_max = 4;
    ck_assert_int_eq(call(SYS_SHMGET, 1, 5 * PAGE_SIZE, 0600 | L_IPC_CREAT, 0), -L_ENOSPC);
    ck_assert_uint_eq(heap_owned(MEM_OWNER_USER) && sysv_state()->shm.places, 0);
    id = call(SYS_SHMGET, 1, 4 * PAGE_SIZE - 1, 0600 | L_IPC_CREAT, 0);
    ck_assert_int_eq(id, 0);
    ck_assert_int_eq(call(SYS_SHMGET, 2, 1, 0600 | L_IPC_CREAT, 0), -L_ENOSPC);
    ck_assert_int_eq(call(SYS_SHMGET, 3, (int64_t)SYSV_SHM_BYTES_MAX + 1, L_IPC_CREAT, 0),
                     -L_EINVAL);
    ck_assert_int_eq(call(SYS_SHMCTL, id, L_IPC_RMID, 0, 0), 0);
    ck_assert_uint_eq(sysv_state()->shm_pages, 0);
    /* An id is not given again at once, and an old one finds nothing. */
    id = call(SYS_SHMGET, 2, 1, 0600 | L_IPC_CREAT, 0);
    ck_assert_int_eq(id, 1);
    ck_assert_int_eq(call(SYS_SHMAT, 0, 0, 0, 0), -L_EINVAL);
    ck_assert_int_eq(call(SYS_SHMCTL, id, L_IPC_RMID, 0, 0), 0);
    for (int i = 0; i < 62; i++) {
        id = call(SYS_SHMGET, 2, 1, 0600 | L_IPC_CREAT, 0);
        ck_assert_int_eq(id, i + 2);
        ck_assert_int_eq(call(SYS_SHMCTL, id, L_IPC_RMID, 0, 0), 0);
    }
    id = call(SYS_SHMGET, 2, 1, 0600 | L_IPC_CREAT, 0);
    ck_assert_int_eq(id, 1 << 15);
    ck_assert_int_eq(call(SYS_SHMCTL, 0, L_IPC_RMID, 0, 0), -L_EINVAL);
    ck_assert_int_eq(call(SYS_SHMCTL, id, L_IPC_RMID, 0, 0), 0);
    user_fixture_exit(me);
}

/* A user who is neither owner nor in the group. */
static void stranger(void *thread)
{
    struct vfs_cred *cred;
    int64_t closed, open;

    begin(thread);
    cred = &me->process->cred;
    closed = call(SYS_SHMGET, 5, 1, 0640 | L_IPC_CREAT, 0);
    open = call(SYS_SHMGET, 6, 1, 0604 | L_IPC_CREAT, 0);
    cred->uid = cred->gid = 7;
    ck_assert_int_eq(call(SYS_SHMGET, 5, 1, 0, 0), closed);  // asks for nothing
    ck_assert_int_eq(call(SYS_SHMGET, 5, 1, 0400, 0), -L_EACCES);
    ck_assert_int_eq(call(SYS_SHMAT, closed, 0, L_SHM_RDONLY, 0), -L_EACCES);
    ck_assert_int_eq(call(SYS_SHMCTL, closed, L_IPC_STAT, DATA, 0), -L_EACCES);
    ck_assert_int_eq(call(SYS_SHMCTL, 0, L_SHM_STAT, DATA, 0), -L_EACCES);
    ck_assert_int_eq(call(SYS_SHMCTL, 0, L_SHM_STAT_ANY, DATA, 0), closed);
    ck_assert_int_eq(call(SYS_SHMAT, open, 0, 0, 0), -L_EACCES);
    ck_assert_int_eq(call(SYS_SHMAT, open, AT, L_SHM_RDONLY, 0), AT);
    ck_assert_int_eq(aspace_copy_out(me->as, AT, "", 1), VMK_NO_PERMISSION);
    ck_assert_int_eq(call(SYS_SHMCTL, open, L_IPC_STAT, DATA, 0), 0);
    ck_assert_int_eq(call(SYS_SHMCTL, open, L_IPC_SET, DATA, 0), -L_EPERM);
    ck_assert_int_eq(call(SYS_SHMCTL, open, L_IPC_RMID, 0, 0), -L_EPERM);
    ck_assert_int_eq(call(SYS_SHMCTL, open, L_SHM_LOCK, 0, 0), -L_EPERM);
    cred->groups[0] = 0;
    cred->group_count = 1;  // now in the group of its owner
    ck_assert_int_ge(call(SYS_SHMAT, closed, 0, L_SHM_RDONLY, 0), PAGE_SIZE);
    ck_assert_int_eq(call(SYS_SHMAT, open, 0, L_SHM_RDONLY, 0), -L_EACCES);
    cred->uid = 0;
    ck_assert_int_eq(call(SYS_SHMCTL, open, L_IPC_RMID, 0, 0), 0);
    ck_assert_int_eq(call(SYS_SHMCTL, closed, L_IPC_RMID, 0, 0), 0);
    user_fixture_exit(me);
}

/* ---- semaphores ---- */

/* Owes the set 3 at its end, and is killed while it waits. */
static void semaphore_waits(void *thread)
{
    int64_t id;

    begin(thread);
    id = call(SYS_SEMGET, 77, 2, 0600 | L_IPC_CREAT, 0);
    ck_assert_int_eq(id, 0);
    ck_assert_int_eq(operate(id, 0, 5, 0), 0);
    ck_assert_int_eq(operate(id, 0, -3, L_SEM_UNDO), 0);
    ck_assert_int_eq(operate(id, 1, -1, L_SEM_UNDO), -L_EINTR);
    user_fixture_exit(me);
}

static void semaphore_after(void *thread)
{
    int64_t id;

    begin(thread);
    id = call(SYS_SEMGET, 77, 0, 0, 0);
    ck_assert_int_eq(id, 0);
    ck_assert_int_eq(call(SYS_SEMCTL, id, 0, L_GETVAL, 0), 5);
    ck_assert_int_eq(call(SYS_SEMCTL, id, 1, L_GETNCNT, 0), 0);
    ck_assert_uint_eq(sysv_state()->undos, 0);
    ck_assert_int_eq(call(SYS_SEMCTL, id, 0, L_IPC_RMID, 0), 0);
    ck_assert_uint_eq(sysv_state()->sems, 0);
    user_fixture_exit(me);
}

static void semaphore_limits(void *thread)
{
    int64_t id[2], third;

    begin(thread);
    for (unsigned i = 0; i < 2; i++)
        id[i] = call(SYS_SEMGET, L_IPC_PRIVATE, SYSV_SEMS_PER_SET, 0600, 0);
    ck_assert_int_eq(call(SYS_SEMGET, L_IPC_PRIVATE, SYSV_SEMS_PER_SET + 1, 0600, 0),
                     -L_EINVAL);
    ck_assert_int_eq(call(SYS_SEMGET, L_IPC_PRIVATE, SYSV_SEMS_PER_SET, 0600, 0), -L_ENOSPC);
    third = call(SYS_SEMGET, L_IPC_PRIVATE, 1, 0600, 0);
    ck_assert_int_eq(third, 2);
    sysv_state()->undos = SYSV_SEM_UNDOS_MAX;  // as many processes would leave it
    ck_assert_int_eq(operate(third, 0, 1, L_SEM_UNDO), -L_ENOSPC);
    ck_assert_int_eq(operate(third, 0, 1, 0), 0);
    sysv_state()->undos = 0;
    ck_assert_int_eq(operate(third, 0, -2, L_SEM_UNDO | L_IPC_NOWAIT), -L_EAGAIN);
    ck_assert_int_eq(call(SYS_SEMCTL, id[0], 0, L_IPC_RMID, 0), 0);
    ck_assert_int_eq(call(SYS_SEMCTL, id[1], 0, L_IPC_RMID, 0), 0);
    ck_assert_int_eq(call(SYS_SEMCTL, third, 0, L_IPC_RMID, 0), 0);
    user_fixture_exit(me);
}

/* ---- messages ---- */

static void receiver_waits(void *thread)
{
    begin(thread);
    ck_assert_int_eq(call(SYS_MSGGET, 78, 0600 | L_IPC_CREAT, 0, 0), 0);
    (void)call(SYS_MSGRCV, 0, DATA, 100, 0);
    user_fixture_exit(me);
}

static void sender_waits(void *thread)
{
    begin(thread);
    ck_assert_int_eq(call(SYS_MSGGET, 78, 0, 0, 0), 0);
    ck_assert_int_eq(send_bytes(0, 1, 8192, 0), 0);
    ck_assert_int_eq(send_bytes(0, 1, 8192, 0), 0);
    ck_assert_int_eq(send_bytes(0, 1, 1, L_IPC_NOWAIT), -L_EAGAIN);
    (void)send_bytes(0, 1, 1, 0);
    user_fixture_exit(me);
}

/* The queue has what was sent, and nobody waits; then all the memory that messages may take. */
static void messages_after(void *thread)
{
    static const char head[] = "       key      msqid perms      cbytes       qnum";
    const struct vfs_where where = vfs_where_kernel();
    char text[512] = {0};
    struct file *file;
    int64_t result = 0;
    size_t done;
    unsigned queues = 0;

    begin(thread);
    ck_assert_int_eq(vfs_open(&where, "/proc/sysvipc/msg", 0, 0, &file), VMK_OK);
    ck_assert_int_eq(file_read(file, text, sizeof(text) - 1, &done), VMK_OK);
    file_put(file);
    ck_assert_int_eq(strncmp(text, head, sizeof(head) - 1), 0);
    ck_assert_ptr_nonnull(
        strstr(text, "\n        78          0   600       16384          2 "));
    while (result == 0) {
        int64_t id = call(SYS_MSGGET, L_IPC_PRIVATE, 0600, 0, 0);

        ck_assert_int_ge(id, 0);
        queues++;
        for (unsigned i = 0; i < 2 && result == 0; i++)
            result = send_bytes(id, 1, 8192, L_IPC_NOWAIT);
    }
    ck_assert_int_eq(result, -L_ENOMEM);
    ck_assert_uint_ge(queues, 1000);
    ck_assert_uint_le(sysv_state()->message_memory, SYSV_MSG_MEMORY_MAX);
    for (uint32_t i = 0; sysv_state()->msg.count; i++) {
        if (sysv_at(&sysv_state()->msg, i))
            ck_assert_int_eq(
                call(SYS_MSGCTL, sysv_at(&sysv_state()->msg, i)->id, L_IPC_RMID, 0, 0), 0);
    }
    ck_assert_uint_eq(sysv_state()->message_memory, 0);
    ck_assert_uint_eq(sysv_state()->message_bytes, 0);
    user_fixture_exit(me);
}

/* ---- running them ---- */

static void (*const *bodies)(void *thread);

static void run(void *unused)
{
    uint64_t before;

    user_fixture_up(unused);
    before = heap_owned(MEM_OWNER_USER);
    for (unsigned i = 0; bodies[i]; i++)
        user_fixture_join(user_fixture_start(bodies[i])->process->pid);
    user_fixture_same("bytes of user worlds", before, heap_owned(MEM_OWNER_USER));
    user_fixture_same("shared pages", 0, sysv_state()->shm_pages);
    if (page_owned_count(MEM_OWNER_USER) > USER_FIXTURE_BUFFERS)
        abort();
}

static void test(void (*const *with)(void *thread))
{
    bodies = with;
    sim_test_begin();
    sim_test_run(run, NULL);
}

START_TEST(test_shm__removed_and_mapped_at_exit__all_given_back)
{
    static void (*const steps[])(void *thread) = {segment_left_mapped, NULL};

    test(steps);
}
END_TEST

START_TEST(test_shm__limits_and_ids__kept)
{
    static void (*const steps[])(void *thread) = {segment_limits, NULL};

    test(steps);
}
END_TEST

START_TEST(test_shm__stranger__may_what_the_mode_says)
{
    static void (*const steps[])(void *thread) = {stranger, NULL};

    test(steps);
}
END_TEST

START_TEST(test_semop__killed_waiter_with_undo__taken_back)
{
    static void (*const steps[])(void *thread) = {semaphore_waits, semaphore_after, NULL};

    test(steps);
}
END_TEST

START_TEST(test_sem__limits__kept)
{
    static void (*const steps[])(void *thread) = {semaphore_limits, NULL};

    test(steps);
}
END_TEST

START_TEST(test_msg__killed_waiters_and_limits__nothing_left)
{
    static void (*const steps[])(void *thread) = {receiver_waits, sender_waits, messages_after,
                                                  NULL};

    test(steps);
}
END_TEST

KERNEL_TEST_MAIN("sysv", RUNS(test_shm__removed_and_mapped_at_exit__all_given_back),
                 RUNS(test_shm__limits_and_ids__kept),
                 RUNS(test_shm__stranger__may_what_the_mode_says),
                 RUNS(test_semop__killed_waiter_with_undo__taken_back),
                 RUNS(test_sem__limits__kept),
                 RUNS(test_msg__killed_waiters_and_limits__nothing_left))
