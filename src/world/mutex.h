// SPDX-License-Identifier: BSD-2-Clause
/*
 * world/mutex.h -- a sleeping lock, for what may block while it is held: files, directories, disks.
 *
 * Spin locks cannot be held across a block. A mutex can: who finds it taken sleeps. Only worlds
 * take one (no interrupt, no idle world, no spin lock held). It is not recursive. The wait
 * ignores signals and kills, since the holder is sure to let go. Mutexes have no ranks: each
 * user states its order in its file head (the order of fs/ is in fs/vfs.h).
 */
#pragma once

#include "world/waitq.h"

struct world;

struct mutex {
    struct wait_queue queue;
    struct world *holder;  // queue.lock
    uint32_t waiting;      // queue.lock
};

/* `name` is kept, not copied. */
void mutex_init(struct mutex *mutex, const char *name);
/* Any world, irqs on or off, no spin lock held. [switch] */
void mutex_lock(struct mutex *mutex);
/* False, at once, if it is held. */
must_check bool mutex_try_lock(struct mutex *mutex);
/* By its holder; the first that waits holds it next. Does not block. */
void mutex_unlock(struct mutex *mutex);
/* Does the current world hold it? For asserts. */
bool mutex_held(const struct mutex *mutex);
