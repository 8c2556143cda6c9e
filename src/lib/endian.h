// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/endian.h -- integers of either byte order at any address, aligned or not.
 *
 * On-disk and boot formats put their fields where they like; byte by byte is right everywhere
 * and the compilers make one move of it.
 */
#pragma once

#include "lib/types.h"

static inline uint16_t le16(const void *at)
{
    const uint8_t *p = at;

    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t le32(const void *at)
{
    const uint8_t *p = at;

    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t le64(const void *at)
{
    return le32(at) | (uint64_t)le32((const uint8_t *)at + 4) << 32;
}

static inline void put_le16(void *at, uint16_t value)
{
    uint8_t *p = at;

    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static inline void put_le32(void *at, uint32_t value)
{
    put_le16(at, (uint16_t)value);
    put_le16((uint8_t *)at + 2, (uint16_t)(value >> 16));
}

static inline void put_le64(void *at, uint64_t value)
{
    put_le32(at, (uint32_t)value);
    put_le32((uint8_t *)at + 4, (uint32_t)(value >> 32));
}

/* ---- big endian: SCSI, networks ---- */

static inline uint16_t be16(const void *at)
{
    const uint8_t *p = at;

    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t be32(const void *at)
{
    return (uint32_t)be16(at) << 16 | be16((const uint8_t *)at + 2);
}

static inline uint64_t be64(const void *at)
{
    return (uint64_t)be32(at) << 32 | be32((const uint8_t *)at + 4);
}

static inline void put_be16(void *at, uint16_t value)
{
    uint8_t *p = at;

    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void put_be32(void *at, uint32_t value)
{
    put_be16(at, (uint16_t)(value >> 16));
    put_be16((uint8_t *)at + 2, (uint16_t)value);
}

static inline void put_be64(void *at, uint64_t value)
{
    put_be32(at, (uint32_t)(value >> 32));
    put_be32((uint8_t *)at + 4, (uint32_t)value);
}
