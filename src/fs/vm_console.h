// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vm_console.h -- the far end of a VM's serial line, as a file that programs attach to.
 *
 *     guest <-> UART (vmm/dev/vserial.c) <-> struct vm_console <-> any number of open files
 *                                            keeps the last       /dev/vm/NAME/console, or
 *                                            64 KB                vm_console_open()
 *
 * What the guest writes is kept whether somebody reads or not; a file begins with the oldest
 * byte that is kept and then follows. What is written to a file is typed at the guest, in the
 * order of the writes; a write waits while the guest does not take it. When the VM is gone
 * reads end (0 bytes) and writes fail (IO_ERROR); the node goes, open files keep what they
 * have.
 * `vm-console NAME` copies between such a file and a terminal; Ctrl-] leaves.
 */
#pragma once

#include "core/status.h"
#include "lib/types.h"

struct file;
struct vm_console;

#define VM_CONSOLE_KEPT 65536u

/*
 * Makes one, with the node /dev/vm/NAME/console if files are up; what a path cannot have
 * becomes "_", and a name that is taken gets ".2" and so on. Owned by the caller until
 * vm_console_end(). A world.
 */
must_check vmk_status vm_console_create(const char *vm_name, struct vm_console **out);
/* The VM is gone. Null is fine. A world; may block. */
void vm_console_end(struct vm_console *c);

/*
 * Who is on the line: typed(owner) is called, in a world and with no spin lock held, when bytes
 * were typed. Null: nobody, and when the call returns none is running.
 */
void vm_console_attach(struct vm_console *c, void (*typed)(void *owner), void *owner);
/* The guest sent these. Any context, ranks below CONSOLE held. */
void vm_console_put(struct vm_console *c, const char *text, size_t length);
/* The next byte for the guest, or -1. The same contexts. */
int vm_console_take(struct vm_console *c);

/* A file to read, write and poll; VFS_O_* flags. A world. */
must_check vmk_status vm_console_open(struct vm_console *c, uint32_t flags, struct file **out);
/* Bytes so far: from the guest, and taken by it. */
void vm_console_counts(struct vm_console *c, uint64_t *from_guest, uint64_t *to_guest);
