// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/memsched_internal.h -- what the files of the memory scheduler share.
 */
#pragma once

#include "mem/memsched.h"

static inline uint64_t memsched_tune(const struct memsched *m, enum memsched_tunable t)
{
    return m->tunable[t];
}

static inline uint64_t memsched_percent(uint64_t of, uint64_t percent)
{
    return of * percent / 100;
}

/*
 * memsched_admit.c: may `node` hold `reserved` pages for others or itself? Commits if so.
 * LIMIT.
 */
must_check vmk_status memsched_admit(struct memsched *m, struct memsched_node *node,
                                     uint64_t reserved);
/* The same for the space that swapping may need. */
must_check vmk_status memsched_admit_swap(struct memsched *m, uint32_t id, uint64_t more);
/*
 * What a VM takes from its parent: its reservation, or all of it where nothing can be taken
 * back.
 */
uint64_t memsched_vm_reserved(const struct memsched *m, const struct memsched_node *vm);
/* The sum of what the children of a pool take. */
uint64_t memsched_promised(const struct memsched *m, const struct memsched_node *pool);
bool memsched_tunable_fits(enum memsched_tunable t, uint64_t value);

/* memsched_target.c: all targets anew, from what the nodes hold now. */
void memsched_reallocate(struct memsched *m);
/* A VM told what it has: targets that its level lets only fall, and what limits say. */
void memsched_target_follow(struct memsched *m, struct memsched_node *vm);

/* memsched_sample.c: a period of sampling, or a part of one. */
void memsched_sampled(const struct memsched *m, struct memsched_active *active,
                      uint32_t touched, uint32_t sampled, bool ended);
