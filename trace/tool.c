// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/tool.c -- what the subcommands of orrery-trace share.
 *
 * Invariants
 *   - Progress is written only to a terminal, at most ten times a second, and wiped at the end.
 * Locking    none: one thread.
 */
#include "trace/tool.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool progress_shown;

int tool_fail(const char *format, ...)
{
    va_list args;

    tool_progress_end();
    fputs("orrery-trace: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return TOOL_BAD;
}

int tool_usage(const char *command, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "orrery-trace %s: ", command);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; see orrery-trace %s --help\n", command);
    return TOOL_USAGE;
}

int tool_not_understood(const char *command, const char *option, const char *value,
                        const char *wants)
{
    return tool_usage(command, "%s%s%s: %s", option, value ? " " : "", value ? value : "",
                      wants ? wants : "not understood");
}

bool tool_help(int argc, char **argv, const char *help)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(help, stdout);
            return true;
        }
    }
    return false;
}

bool tool_number(const char *text, uint64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoull(text, &end, 0);
    return text[0] >= '0' && text[0] <= '9' && !*end && !errno;
}

bool tool_events(char *list, bool ids[256])
{
    for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
        bool found = false;

        for (unsigned id = 0; id < 256; id++) {
            const struct trace_event *event = trace_event_of(id);

            if (event && (!strcmp(event->name, name) || !strcasecmp(event->class_name, name)))
                found = ids[id] = true;
        }
        if (!found)
            return false;
    }
    return true;
}

bool tool_time(const char *text, uint64_t *ns)
{
    static const struct {
        const char *suffix;
        double ns;
    } units[] = {{"", 1e9}, {"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"ns", 1}};
    char *end;
    double value = strtod(text, &end);

    if (end == text || !(value >= 0))
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (!strcmp(end, units[i].suffix)) {
            if (value * units[i].ns > 9e18)
                return false;
            *ns = (uint64_t)(value * units[i].ns + 0.5);
            return true;
        }
    }
    return false;
}

FILE *tool_create(const char *path)
{
    if (!strcmp(path, "-"))
        return stdout;

    FILE *file = fopen(path, "we");

    if (!file)
        tool_fail("%s: cannot write: %s", path, strerror(errno));
    return file;
}

bool tool_finish(FILE *file, const char *path)
{
    bool bad = fflush(file) != 0 || ferror(file);

    if (file != stdout)
        bad = fclose(file) != 0 || bad;
    if (bad)
        tool_fail("%s: not all was written: %s", path, strerror(errno));
    return !bad;
}

bool tool_mkdir(const char *path)
{
    char part[4096];

    if (strlen(path) >= sizeof(part)) {
        tool_fail("%s: the path is too long", path);
        return false;
    }
    strcpy(part, path);
    for (char *at = part + 1;; at++) {
        if (*at && *at != '/')
            continue;

        bool whole = !*at;

        *at = '\0';
        if (mkdir(part, 0777) < 0 && errno != EEXIST) {
            tool_fail("%s: cannot make the directory: %s", part, strerror(errno));
            return false;
        }
        if (whole)
            return true;
        *at = '/';
    }
}

bool tool_mkdir_new(const char *path)
{
    DIR *there;
    struct dirent *e;
    bool empty = true;

    if (!tool_mkdir(path))
        return false;
    there = opendir(path);
    while (there && empty && (e = readdir(there)) != NULL)
        empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    if (!there)
        (void)tool_fail("%s: %s", path, strerror(errno));
    else if (!empty)
        (void)tool_fail("%s: is not empty; name a new directory", path);
    if (there)
        closedir(there);
    return there && empty;
}

bool tool_gnuplot(const char *directory, const char *script)
{
    char command[4400];

    if (strpbrk(directory, "'\\")) {
        (void)tool_fail("%s: a name with quotes: run gnuplot on %s there yourself", directory,
                        script);
        return false;
    }
    snprintf(command, sizeof(command), "cd '%s' && gnuplot %s", directory, script);
    if (system(command) != 0) {
        (void)tool_fail("gnuplot failed on %s/%s; is gnuplot-nox installed?", directory,
                        script);
        return false;
    }
    return true;
}

void tool_progress(const char *command, unsigned percent)
{
    static struct timespec begun, shown;
    static unsigned calls;
    struct timespec now;

    if (++calls % 4096 || !isatty(STDERR_FILENO))
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!begun.tv_sec)
        begun = now;
    if (now.tv_sec - begun.tv_sec < 2 ||
        (now.tv_sec - shown.tv_sec) * 1000 + (now.tv_nsec - shown.tv_nsec) / 1000000 < 100)
        return;
    shown = now;
    progress_shown = true;
    fprintf(stderr, "\r%s: %u %% ", command, percent);
}

void tool_progress_end(void)
{
    if (progress_shown)
        fputs("\r                                \r", stderr);
    progress_shown = false;
}

bool tool_part_there(const char *directory, const struct trace_info *info, uint64_t from,
                     uint64_t to)
{
    uint64_t lost = MAX(info->lost_records, info->lost_marked);

    if (info->records && (from > info->last_time || to < info->first_time)) {
        (void)tool_fail("%s: nothing between these times: it goes from %.6f s to %.6f s",
                        directory, (double)info->first_time / 1e9,
                        (double)info->last_time / 1e9);
        return false;
    }
    if (lost || info->lost_packets)
        fprintf(stderr,
                "orrery-trace: %s: the recorder lost %" PRIu64 " records, %" PRIu64
                " packets: figures are too small\n",
                directory, lost, info->lost_packets);
    else if (info->seq_gaps || info->missing)
        fprintf(stderr,
                "orrery-trace: %s: %" PRIu64 " records are missing (a "
                "file of the trace is not there?): figures are too small\n",
                directory, MAX(info->seq_gaps, info->missing));
    return true;
}
