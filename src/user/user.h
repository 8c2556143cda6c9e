// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/user.h -- user worlds from outside: start programs and wait for them.
 *
 * A user world is a process with one or more threads, each thread a world of the scheduler. It
 * runs static ELF programs that speak the Linux x86-64 system-call ABI; docs/syscalls.md lists
 * the calls.
 */
#pragma once

#include "core/status.h"
#include "lib/types.h"

/* After fs_init(), in a world: tables, terminals' hooks, /proc/<pid>. */
void user_init(void);

/*
 * Starts a program as process 1 if there is none yet, else as a child of process 1, with the
 * file `console` (a path, may be null) as its descriptors 0, 1 and 2 and as its controlling
 * terminal. argv and envp end with null. A status, and the reason is in the log.
 */
must_check vmk_status user_start(const char *path, const char *const *argv,
                                 const char *const *envp, const char *console, uint32_t *pid);
/* Blocks until that process, started by user_start(), is gone; its wait status as wait4 has it.
 * NOT_FOUND. [switch] */
must_check vmk_status user_wait(uint32_t pid, int *status);

/* The end of the host: nothing is swapped any more, and the file is gone. World context. */
void user_swap_stop(void);

enum user_end {
    USER_END_EXIT,       // the process is gone
    USER_END_POWER_OFF,  // a program asks for it: reboot(2)
    USER_END_RESET,
};
/*
 * The same, or until a program asks for the host to be switched off or restarted, which then is
 * the caller's to do; without anybody here the platform does it at once. *status is set for
 * EXIT only.
 * NOT_FOUND. [switch]
 */
must_check vmk_status user_wait_end(uint32_t pid, enum user_end *end, int *status);
/* Tells who waits in user_wait_end(); false: nobody does. Any context, also interrupts. */
must_check bool user_power_request(enum user_end how);
