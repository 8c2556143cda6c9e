// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/common.c -- messages, memory, numbers and files, for all programs of this folder.
 *
 * Invariants: fail() and allocate() never return in vain.
 * Locking    none: one thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agents/vmtools/vmtools.h"

const char *program_name = "vmtools";

static void say(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));
static void say(const char *format, va_list arguments)
{
    fflush(stdout);
    fprintf(stderr, "%s: ", program_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void complain(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void fail(int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    exit(code);
}

void *allocate(size_t size)
{
    void *memory = calloc(1, size ? size : 1);

    if (!memory)
        fail(EXIT_FAILED, "no memory for %zu bytes", size);
    return memory;
}

char *text_of(const char *format, ...)
{
    va_list arguments;
    char *text = NULL;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        fail(EXIT_FAILED, "no memory for a text");
    va_end(arguments);
    return text;
}

bool number_of(const char *text, uint64_t most, uint64_t *out)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *out = strtoull(text, &end, 0);
    return errno == 0 && *end == 0 && *out <= most;
}

char *file_text(const char *path, size_t most, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = NULL;
    struct stat about;
    ssize_t n = 0;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &about) == 0 && S_ISDIR(about.st_mode)) {
        close(fd);
        errno = EISDIR;
        return NULL;
    }
    text = allocate(most + 2);
    *size = 0;
    while (*size <= most && (n = read(fd, text + *size, most + 1 - *size)) > 0)
        *size += (size_t)n;
    close(fd);
    if (n < 0 || *size > most) {
        errno = n < 0 ? errno : EFBIG;
        free(text);
        return NULL;
    }
    return text;
}
