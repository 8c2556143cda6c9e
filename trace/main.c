// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/main.c -- orrery-trace: one tool for everything that is done with a trace.
 *
 * Each subcommand is a file of its own; the table is trace/command.def.
 *
 * Invariants
 *   - A bad trace ends in a message that names file and offset, and status 3; never in a crash.
 * Locking    none: one thread.
 * Sources    docs/orrery-trace.md
 */
#include <locale.h>
#include <string.h>

#include "trace/tool.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
#define TRACE_COMMAND(name, function, what) {#name, function, what},
#include "trace/command.def"
};

static void usage(FILE *out)
{
    fputs("usage: orrery-trace COMMAND ...\n"
          "\n"
          "Reads traces: directories written by orrery-sim run --trace DIR and by\n"
          "scripts/run.sh --trace DIR (CTF 1.8; babeltrace2 reads them too).\n"
          "\n",
          out);
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].what);
    fputs("\n"
          "orrery-trace COMMAND --help says more. Exit status: 0 done, 1 the answer is no\n"
          "(verify, diff), 2 wrong usage, 3 bad input or failure.\n",
          out);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "C");
    if (argc < 2) {
        usage(stderr);
        return TOOL_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return TOOL_OK;
    }
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "orrery-trace: no command %s; orrery-trace --help lists them\n", argv[1]);
    return TOOL_USAGE;
}
