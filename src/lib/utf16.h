// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/utf16.h -- names on disk are UTF-16, names in memory are UTF-8.
 *
 * For GPT partition names and FAT long names. Units are little-endian bytes, as both have them.
 */
#pragma once

#include "lib/types.h"

/*
 * Reads one code point of `text`, at most `length` bytes; stores how many it took (at least 1).
 * A byte that begins no well-formed sequence answers UTF8_BAD and takes 1.
 */
#define UTF8_BAD UINT32_MAX
uint32_t utf8_next(const char *text, size_t length, size_t *taken);

/*
 * Converts `length` bytes of UTF-8 to at most `room` units of two bytes at `out` (not ended).
 * Answers how many; SIZE_MAX if it does not fit or is no UTF-8.
 */
size_t utf16_from_utf8(const char *text, size_t length, uint8_t *out, size_t room);

/*
 * Converts `units` units to UTF-8 with a NUL in `size` bytes; a lone surrogate becomes U+FFFD.
 * Answers the length without NUL; SIZE_MAX if it does not fit.
 */
size_t utf8_from_utf16(const uint8_t *text, size_t units, char *out, size_t size);
