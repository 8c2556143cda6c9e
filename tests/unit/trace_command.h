// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/trace_command.h -- runs a subcommand of orrery-trace in a child, and finds records to change.
 */
#pragma once

#include <sys/wait.h>

#include "tests/unit/trace_fixture.h"

/* Runs a command with stdout kept; its status. */
static char output[16384];

static inline int command(int (*main_of)(int, char **), char *arg1, char *arg2, char *arg3)
{
    char *argv[] = {"command", arg1, arg2, arg3, NULL};
    int argc = arg3 ? 4 : arg2 ? 3 : 2, status, fds[2];
    size_t n = 0;
    pid_t pid;

    ck_assert_int_eq(pipe(fds), 0);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        close(fds[0]);
        close(fds[1]);
        status = main_of(argc, argv);
        fflush(stdout);
        _exit(status);
    }
    close(fds[1]);
    for (ssize_t got; n < sizeof(output) - 1 &&
                      (got = read(fds[0], output + n, sizeof(output) - 1 - n)) > 0;)
        n += (size_t)got;
    output[n] = '\0';
    close(fds[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status), "died: %s", output);
    return WEXITSTATUS(status);
}

/* The file offset of the n-th record of an event, or -1. */
static inline long find_record(const struct fx *x, unsigned id, unsigned n, const char **stream)
{
    char error[TRACE_ERROR];
    struct trace_reader *reader = trace_open(x->directory, error);
    struct trace_record r;
    long found = -1;
    static char name[32];

    while (found < 0 && trace_next(reader, &r) == 1) {
        if (r.event->id == id && n-- == 0) {
            found = (long)r.offset;
            strcpy(name, trace_stream_name(reader, r.stream));
        }
    }
    *stream = name;
    trace_close(reader);
    return found;
}

/* A field of some record, and what `verify` says when it is another. */
struct changed_field {
    unsigned id;
    size_t offset;
    const char *says;
};

/*
 * Flips a bit of the field in the n-th such record; `verify` has to name field, stream and
 * place.
 */
static inline void field_changed_is_found(struct fx *x, const struct changed_field *c,
                                          unsigned n)
{
    const char *stream;
    char expected[64], path[256];
    long at = find_record(x, c->id, n, &stream);
    uint8_t byte;
    FILE *f;

    ck_assert_int_ge(at, 0);
    fx_path(x, stream, path);
    f = fopen(path, "r");
    ck_assert_int_eq(fseek(f, at + (long)c->offset, SEEK_SET), 0);
    byte = (uint8_t)(fgetc(f) ^ 1);
    fclose(f);
    fx_patch(x, stream, at + (long)c->offset, &byte, 1);
    ck_assert_int_eq(command(verify_main, x->directory, NULL, NULL), TOOL_NO);
    ck_assert_msg(strstr(output, c->says) != NULL, "%s", output);
    snprintf(expected, sizeof(expected), "%s, byte %ld", stream, at);
    ck_assert_msg(strstr(output, expected) != NULL, "%s not in %s", expected, output);
}
