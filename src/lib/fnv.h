// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/fnv.h -- FNV-1a, for tables of names and streams of random numbers.
 *
 * One multiplication a byte, no table, the same on every machine. Its low bits are the good
 * ones; whoever takes others mixes it first. Not for input of somebody who wants collisions.
 *
 * Sources    [FNV]
 */
#pragma once

#include "lib/types.h"

static inline uint32_t fnv1a_32(const char *bytes, size_t length)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)bytes[i]) * 16777619u;
    return hash;
}

static inline uint64_t fnv1a_64(const char *bytes, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325ull;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)bytes[i]) * 0x100000001b3ull;
    return hash;
}
