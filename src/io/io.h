// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/io.h -- bringing up the block layer, and what its files share.
 */
#pragma once

#include "world/waitq.h"

struct io_state {
    struct wait_queue waiters[16];  // each batch takes the next: who waits in block_batch_end()
    uint32_t batches;               // (a)
};

/* After world_init(), before the first request. */
void io_init(void);
