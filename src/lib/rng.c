// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/rng.c -- named random streams.
 *
 * One shared generator would make every draw depend on every earlier draw anywhere, and a test
 * that draws once more would change all the others. So each user mixes its name and index into
 * the seed (FNV-1a) and has a splitmix64 of its own.
 *
 * Invariants
 *   - Same (seed, name, index): same numbers, on every machine.
 * Locking    the caller's.
 * Sources    [SPLITMIX] (Steele, Lea, Flood 2014)
 */
#include "lib/rng.h"

#include "lib/fnv.h"
#include "lib/string.h"

void rng_init(struct rng *r, uint64_t seed, const char *name, uint64_t index)
{
    r->state = seed ^ fnv1a_64(name, strlen(name));
    r->state = rng_next(r) ^ index;
    (void)rng_next(r);
}

uint64_t rng_next(struct rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

uint64_t rng_below(struct rng *r, uint64_t bound)
{
    /* Draws below 2^64 mod bound would make the small results likelier: throw them away. */
    uint64_t reject = (0 - bound) % bound;
    uint64_t value;

    do
        value = rng_next(r);
    while (value < reject);
    return value % bound;
}
