// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/gdb.c -- two names for the debugger: where the host's state hangs, and where machine
 * memory is mapped.
 *
 * scripts/gdb/vmk.gdb starts from these; the simulator has the same two names, so the commands
 * are the same on both. Nothing in the kernel reads them.
 *
 * Invariants: constants.
 * Locking: none.
 */
#include "arch/x86/x86.h"
#include "core/host.h"

extern const struct host *const vmk_host_now;
extern char *const vmk_direct_map;

__attribute__((used)) const struct host *const vmk_host_now = &host_0;
__attribute__((used)) char *const vmk_direct_map = (char *)DIRECT_BASE;
