// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/syscall.c -- from a trap to the function that does it.
 *
 * One table (syscall.def) says what there is. A call nobody has written answers ENOSYS and is
 * logged once per program, so that what a program lacks is seen without drowning the log.
 *
 * Invariants
 *   - A handler gets the six arguments as they came and returns a value or minus an errno.
 *   - thread.syscall is the call's number from here until the thread is on its way back, so
 *     that a signal can restart it (signal.c).
 * Locking    none.
 * Start at   syscall_dispatch().
 */
#include "core/log.h"
#include "core/trace.h"
#include "lib/string.h"
#include "user/user_internal.h"
#include "user/user_swap.h"

static const syscall_handler table[] = {
#define SYSCALL(number, name, parameters, handler, note) [number] = handler,
#include "user/syscall.def"
};

enum {
#define SYSCALL(number, name, parameters, handler, note) SYS_##name = number,
#include "user/syscall.def"
};

int64_t user_errno(vmk_status status)
{
    static const uint8_t numbers[VMK_STATUS_COUNT] = {
        [VMK_BAD_PARAM] = L_EINVAL,
        [VMK_NO_MEMORY] = L_ENOMEM,
        [VMK_NOT_FOUND] = L_ENOENT,
        [VMK_EXISTS] = L_EEXIST,
        [VMK_BUSY] = L_EBUSY,
        [VMK_IO_ERROR] = L_EIO,
        [VMK_TIMEOUT] = L_ETIMEDOUT,
        [VMK_KILLED] = L_EINTR,
        [VMK_BAD_FORMAT] = L_EINVAL,
        [VMK_UNSUPPORTED] = L_EOPNOTSUPP,
        [VMK_LIMIT] = L_EMFILE,
        [VMK_AGAIN] = L_EAGAIN,
        [VMK_INTERRUPTED] = L_EINTR,
        [VMK_FAULT] = L_EFAULT,
        [VMK_NO_PERMISSION] = L_EACCES,
        [VMK_NOT_OWNER] = L_EPERM,
        [VMK_NOT_DIR] = L_ENOTDIR,
        [VMK_IS_DIR] = L_EISDIR,
        [VMK_NOT_EMPTY] = L_ENOTEMPTY,
        [VMK_NAME_TOO_LONG] = L_ENAMETOOLONG,
        [VMK_TOO_MANY_LINKS] = L_ELOOP,
        [VMK_CROSS_DEVICE] = L_EXDEV,
        [VMK_READ_ONLY] = L_EROFS,
        [VMK_NO_SPACE] = L_ENOSPC,
        [VMK_OVER_QUOTA] = L_EDQUOT,
        [VMK_TOO_BIG] = L_EFBIG,
        [VMK_NOT_TTY] = L_ENOTTY,
        [VMK_BAD_SEEK] = L_ESPIPE,
        [VMK_BROKEN_PIPE] = L_EPIPE,
        [VMK_NO_DEVICE] = L_ENXIO,
        [VMK_CORRUPT] = L_EIO,
        [VMK_FENCED] = L_EIO,
        [VMK_CONTENDED] = L_EBUSY,
        [VMK_BAD_HANDLE] = L_EBADF,
        [VMK_REFUSED] = L_ECONNREFUSED,
        [VMK_NOT_CONNECTED] = L_ENOTCONN,
        [VMK_CONNECTED] = L_EISCONN,
        [VMK_ADDRESS_IN_USE] = L_EADDRINUSE,
        [VMK_WRONG_TYPE] = L_EPROTOTYPE,
        [VMK_DEADLOCK] = L_EDEADLK,
    };

    if (status == VMK_OK)
        return 0;
    if ((unsigned)status >= VMK_STATUS_COUNT || numbers[status] == 0)
        return -L_EIO;
    return -(int64_t)numbers[status];
}

int64_t user_errno_restart(vmk_status status)
{
    return status == VMK_INTERRUPTED || status == VMK_KILLED ? -L_ERESTARTSYS
                                                             : user_errno(status);
}

static int64_t missing(struct thread *t, uint64_t number)
{
    struct process *p = t->process;
    uint64_t *word, bit;

    if (number < 64 * ARRAY_COUNT(p->reported_missing)) {
        word = &p->reported_missing[number / 64];
        bit = 1ull << (number % 64);
        if (__atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit)
            return -L_ENOSYS;
        vmk_log(VMK_LOG_INFO, "User: %s (%u): no system call %llu", p->name, p->pid,
                (unsigned long long)number);
    }
    return -L_ENOSYS;
}

/*
 * Calls that make the VMkernel take memory which is not a user page: processes, files, pipes,
 * sockets.
 */
static const bool takes_memory[ARRAY_COUNT(table)] = {
    [SYS_write] = true,    [SYS_pwrite64] = true,   [SYS_writev] = true,  [SYS_pwritev] = true,
    [SYS_open] = true,     [SYS_openat] = true,     [SYS_creat] = true,   [SYS_mkdir] = true,
    [SYS_mkdirat] = true,  [SYS_pipe] = true,       [SYS_pipe2] = true,   [SYS_socket] = true,
    [SYS_clone] = true,    [SYS_socketpair] = true, [SYS_fork] = true,    [SYS_vfork] = true,
    [SYS_execve] = true,   [SYS_sendto] = true,     [SYS_sendmsg] = true, [SYS_mmap] = true,
    [SYS_sendfile] = true, [SYS_ftruncate] = true,  [SYS_shmget] = true,  [SYS_semget] = true,
    [SYS_msgget] = true,   [SYS_msgsnd] = true,
};

void syscall_dispatch(struct thread *t)
{
    struct plat_user_regs *r = &t->regs;
    const uint64_t arguments[6] = {r->gpr[7],  r->gpr[6], r->gpr[2],
                                   r->gpr[10], r->gpr[8], r->gpr[9]};
    uint64_t number = r->gpr[0];
    vmk_status status = VMK_OK;
    int64_t result;

    t->syscall = (int64_t)MIN(number, (uint64_t)INT64_MAX);
    TRACE(sys_enter, .tid = t->tid, .number = (uint32_t)number, .arg0 = arguments[0]);
    if (number < ARRAY_COUNT(table) && takes_memory[number] && user_swap_is_short())
        status = aspace_memory_wait(true);
    if (status == VMK_INTERRUPTED)
        result = -L_ERESTARTSYS;
    else if (status != VMK_OK)
        result = user_errno(status);
    else if (number < ARRAY_COUNT(table) && table[number])
        result = table[number](t, arguments);
    else
        result = missing(t, number);
    TRACE(sys_exit, .tid = t->tid, .number = (uint32_t)number, .result = (uint64_t)result);
    r->gpr[0] = (uint64_t)result;
    if (result <= -L_ERESTARTSYS && result >= -L_ERESTART_RESTARTBLOCK)
        __atomic_fetch_or(&t->work, THREAD_WORK_SIGNAL, __ATOMIC_SEQ_CST);  // decide there
    else if (!__atomic_load_n(&t->work, __ATOMIC_RELAXED))
        t->syscall = -1;
}
