// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/vsyscall.c -- the page at 0xffffffffff600000 that old programs call for the time.
 *
 * Before C libraries asked the kernel for a vDSO, gettimeofday, time and getcpu were functions
 * at fixed addresses in the kernel's half, and static programs have those addresses in them.
 * Linux today has nothing there but the promise: a call to one of the three faults, and the
 * kernel does the system call and returns for the program. So nothing is mapped here either,
 * and a read of the page is an ordinary fault.
 *
 * Start at   vsyscall().
 * Sources    vdso(7); proc(5); Linux' kernel parameters, "vsyscall="
 */
#include "user/user_internal.h"

#define VSYSCALL_STEP 1024u  // from one entry to the next

enum {
#define SYSCALL(number, name, parameters, handler, note) SYS_##name = number,
#include "user/syscall.def"
};

bool vsyscall(struct thread *t)
{
    static const uint16_t calls[] = {SYS_gettimeofday, SYS_time, SYS_getcpu};
    struct plat_user_regs *r = &t->regs;
    uint64_t offset = r->rip - VSYSCALL_PAGE, caller;

    if (offset % VSYSCALL_STEP || offset / VSYSCALL_STEP >= ARRAY_COUNT(calls) ||
        aspace_copy_in(t->as, &caller, r->gpr[4], sizeof(caller)) != VMK_OK)
        return false;
    r->gpr[0] = calls[offset / VSYSCALL_STEP];
    syscall_dispatch(t);
    /* A function would have touched the bad address itself. */
    if ((int64_t)r->gpr[0] == -L_EFAULT)
        return false;
    r->rip = caller;
    r->gpr[4] += sizeof(caller);
    return true;
}
