// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/string.c -- the memory and string functions that freestanding C lacks.
 *
 * The compiler calls memcpy, memmove, memset and memcmp by itself, so the image must have them.
 * Copies and fills use the string instructions: short, and fast on every CPU with ERMS; a page
 * clear in nested emulation is then one instruction. Hosted builds use the C library's instead,
 * because the sanitizers check those.
 *
 * Invariants
 *   - No function here keeps state or touches a byte outside the ranges it was given.
 * Locking    none.
 * Sources    [C17] section 7.24
 */
#include "lib/string.h"

#ifdef ORRERY_METAL
void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    void *d = to;

    size_t words = size >> 3, rest = size & 7;

    __asm__ volatile("rep movsq" : "+D"(d), "+S"(from), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(rest) : : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    if ((uintptr_t)to - (uintptr_t)from >= size)
        return memcpy(to, from, size);

    /* The target starts inside the source: copy from the end. */
    char *d = (char *)to + size;
    const char *s = (const char *)from + size;

    while (size--)
        *--d = *--s;
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    void *d = to;
    size_t words = size >> 3, rest = size & 7;
    uint64_t pattern = 0x0101010101010101ull * (uint8_t)byte;

    __asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(rest) : "a"(pattern) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *x = a;
    const unsigned char *y = b;

    for (size_t i = 0; i < size; i++) {
        if (x[i] != y[i])
            return x[i] - y[i];
    }
    return 0;
}

size_t strlen(const char *s)
{
    const char *end = s;

    while (*end)
        end++;
    return (size_t)(end - s);
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t size)
{
    for (; size; size--, a++, b++) {
        if (*a != *b)
            return (unsigned char)*a - (unsigned char)*b;
        if (!*a)
            break;
    }
    return 0;
}

char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)(uintptr_t)s;
        if (!*s)
            return NULL;
    }
}

char *strstr(const char *s, const char *what)
{
    size_t length = strlen(what);

    for (;; s++) {
        if (!strncmp(s, what, length))
            return (char *)(uintptr_t)s;
        if (!*s)
            return NULL;
    }
}
#else
typedef int string_c_is_empty_in_hosted_builds;
#endif
