// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/rng.h -- named random streams: splitmix64 seeded by (seed, name, index).
 *
 * Every user of randomness has a stream of its own, so a new draw in one place moves no other.
 */
#pragma once

#include "lib/types.h"

struct rng {
    uint64_t state;
};

/* A stream is named by all three; `index` tells like things apart (worlds, disks). */
void rng_init(struct rng *r, uint64_t seed, const char *name, uint64_t index);
/* 64 random bits. */
uint64_t rng_next(struct rng *r);
/* Uniform in [0, bound), bound > 0. */
uint64_t rng_below(struct rng *r, uint64_t bound);
