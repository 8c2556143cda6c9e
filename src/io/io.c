// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/io.c -- the state of the block layer and of what stands on it.
 *
 * Invariants
 *   - The wait queues live as long as the host, so who wakes a waiter never touches its stack
 *     last.
 * Locking    none: called once at boot.
 */
#include "io/io.h"

#include "core/host.h"
#include "io/storage.h"

HOST_STATE(io);

void io_init(void)
{
    struct io_state *io = this_host()->io;

    for (unsigned i = 0; i < ARRAY_COUNT(io->waiters); i++)
        wait_queue_init(&io->waiters[i], "block");
    storage_init();
}
