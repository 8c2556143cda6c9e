// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/main.c -- the program: `posix NAME...`, or all of them.
 */
#include "posix.h"

static const struct {
    const char *name;
    int (*run)(void);
} tests[] = {{"signals", test_signals},     {"threads", test_threads}, {"robust", test_robust},
             {"sockets", test_sockets},     {"timers", test_timers},   {"epoll", test_epoll},
             {"memory", test_memory},       {"ptys", test_ptys},       {"files", test_files},
             {"processes", test_processes}, {"locks", test_locks},     {"queues", test_queues},
             {"anonymous", test_anonymous}, {"crowd", test_crowd},     {"ipc", test_ipc},
             {"watches", test_watches},     {"tasks", test_tasks}};

int main(int argc, char **argv)
{
    int status = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        int wanted = argc == 1;

        for (int a = 1; a < argc; a++)
            wanted |= strcmp(argv[a], tests[i].name) == 0;
        if (!wanted)
            continue;
        printf("== %s\n", tests[i].name);
        status |= tests[i].run();
    }
    return status;
}
