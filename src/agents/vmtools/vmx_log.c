// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/vmx_log.c -- vmware.log: what a VM's vmx did, a line each, with the older ones kept.
 *
 * Invariants
 *   - A line is written at once and whole, so that the log of a vmx that was killed tells the
 *     end.
 * Locking    none: one thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agents/vmtools/vmx.h"

#define LOGS_KEPT 6
#define LINE_SIZE 1024

static int log_fd = -1;

/* "vmware.log" becomes "vmware-1.log"; what was -1 becomes -2. */
static void rotate(const char *path)
{
    size_t stem = strlen(path) >= 4 ? strlen(path) - 4 : strlen(path);

    for (int i = LOGS_KEPT; i > 0; i--) {
        char *to = text_of("%.*s-%d%s", (int)stem, path, i, path + stem);
        char *from = i == 1 ? text_of("%s", path)
                            : text_of("%.*s-%d%s", (int)stem, path, i - 1, path + stem);

        if (rename(from, to) < 0 && errno != ENOENT && i == 1)
            complain("%s: cannot be renamed to %s: %s", from, to, strerror(errno));
        free(from);
        free(to);
    }
}

void vmx_log_open(const char *path)
{
    if (!*path)
        return;
    if (strcmp(path, "-") == 0) {
        log_fd = STDERR_FILENO;
        return;
    }
    rotate(path);
    log_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (log_fd < 0)
        complain("%s: %s; the VM runs without a log", path, strerror(errno));
}

static void line(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));
static void line(const char *format, va_list arguments)
{
    char text[LINE_SIZE];
    struct timespec now;
    struct tm date;
    int n;

    if (log_fd < 0)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &date);
    n = (int)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &date);
    n += snprintf(text + n, sizeof(text) - (size_t)n,
                  ".%03ldZ| vmx| I005: ", now.tv_nsec / 1000000);
    n += vsnprintf(text + n, sizeof(text) - (size_t)n, format, arguments);
    if (n > LINE_SIZE - 2)
        n = LINE_SIZE - 2;
    text[n++] = '\n';
    if (write(log_fd, text, (size_t)n) < 0 && log_fd != STDERR_FILENO) {
        complain("vmware.log: %s; no more lines", strerror(errno));
        close(log_fd);
        log_fd = -1;
    }
}

void vmx_log(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    line(format, arguments);
    va_end(arguments);
}

void vmx_log_error(const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (log_fd != STDERR_FILENO)
        complain("%s", text);
    vmx_log("%s", text);
}
