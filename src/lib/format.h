// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/format.h -- printf into a buffer, and numbers out of text.
 */
#pragma once

#include "lib/types.h"

/*
 * Formats as C's snprintf does: at most size-1 characters and a NUL; returns the length the
 * whole text would have. Knows %d %i %u %x %X %p %s %c %% with flags - 0 # +, width, precision,
 * `*`, and the lengths hh h l ll z. No floating point.
 */
int vmk_snprintf(char *out, size_t size, const char *format, ...) printf_like(3, 4);
int vmk_vsnprintf(char *out, size_t size, const char *format, va_list arguments)
    printf_like(3, 0);

/*
 * Reads an unsigned number (decimal, or hexadecimal after 0x) at the start of `text`. Stores it
 * and, when `end` is not null, where it stopped. False if there is no digit or it does not fit.
 */
must_check bool parse_u64(const char *text, const char **end, uint64_t *value);
