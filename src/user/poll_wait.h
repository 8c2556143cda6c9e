// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/poll_wait.h -- waiting for any of several files: the caller's side of fs/vfs.h's poll.
 */
#pragma once

#include "fs/vfs.h"
#include "world/waitq.h"

struct poller;

struct poll_waiter {
    struct poll_entry entry;
    struct poller *poller;
    struct list link;  // of those from the heap
    bool heap;
};

#define POLL_WAITERS_INSIDE 8u
struct poller {
    struct poll_table table;
    struct wait_queue queue;
    bool woken;   // (a)
    bool failed;  // no memory for a waiter: look again now and then
    unsigned used;
    struct list more;
    struct poll_waiter inside[POLL_WAITERS_INSIDE];
};

void poller_init(struct poller *p);
/* OK: look again. TIMEOUT, INTERRUPTED, KILLED as the wait queue says. */
must_check vmk_status poller_wait(struct poller *p, plat_ns deadline);
void poller_end(struct poller *p);
