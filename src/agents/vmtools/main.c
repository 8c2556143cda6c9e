// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/main.c -- which program this is: the last part of the name it was called by.
 *
 * Called as vmtools, the first argument is the name: `vmtools esxcli ...`.
 *
 * Invariants: none.
 * Locking    none.
 */
#include <stdio.h>
#include <string.h>

#include "agents/vmtools/vmtools.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} programs[] = {
    {"esxcli", esxcli_main, "the host's settings and lists, as records"},
    {"esxtop", esxtop_main, "who uses CPU and memory, again and again"},
    {"vm", vm_main, "start, stop, list virtual machines; their consoles"},
    {"vmx", vmx_main, "run one virtual machine; vm start calls it"},
    {"vim-cmd", vimcmd_main, "vmsvc/getallvms and its like"},
};

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void usage(FILE *to)
{
    fputs("usage: vmtools PROGRAM [ARGUMENT]...\nprograms, also by these names:\n", to);
    for (size_t i = 0; i < COUNT_OF(programs); i++)
        fprintf(to, "  %-8s %s\n", programs[i].name, programs[i].what);
}

int main(int argc, char **argv)
{
    if (argc > 0)
        program_name = last_part(argv[0]);
    if (argc > 1 && strcmp(program_name, "vmtools") == 0) {
        argc--;
        argv++;
        program_name = argv[0];
    }
    for (size_t i = 0; i < COUNT_OF(programs); i++) {
        if (strcmp(program_name, programs[i].name) == 0)
            return programs[i].run(argc, argv);
    }
    if (strcmp(program_name, "--help") == 0) {
        usage(stdout);
        return EXIT_DONE;
    }
    usage(stderr);
    return EXIT_USAGE;
}
