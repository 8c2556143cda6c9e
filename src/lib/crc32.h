// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/crc32.h -- the CRC of gzip, GPT and our journal: polynomial 0xEDB88320, reflected.
 */
#pragma once

#include "lib/types.h"

/* Continues `crc` (0 to begin) over `size` bytes. */
uint32_t crc32_add(uint32_t crc, const void *data, size_t size);
