// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/ascii.h -- letters in any case, and hexadecimal digits, of configuration files and tables.
 *
 * Bytes above 127 are no letters: they equal themselves only. All pure.
 */
#pragma once

#include "lib/types.h"

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* 0-15, or -1: no hexadecimal digit. */
static inline int ascii_hex(char c)
{
    c = ascii_lower(c);
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* As strcmp(), whatever the case of letters. */
static inline int ascii_compare(const char *a, const char *b)
{
    while (*a && ascii_lower(*a) == ascii_lower(*b)) {
        a++;
        b++;
    }
    return ascii_lower(*a) - ascii_lower(*b);
}

static inline bool ascii_same(const char *a, const char *b)
{
    return ascii_compare(a, b) == 0;
}
