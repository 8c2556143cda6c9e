// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/string.h -- the memory and string functions that freestanding C lacks.
 *
 * Standard names and meanings: on metal lib/string.c defines them, in hosted builds the C
 * library does (and gcc may call the mem* family by itself in both).
 */
#pragma once

#include "lib/types.h"

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t size);
char *strchr(const char *s, int c);
char *strstr(const char *s, const char *what);
