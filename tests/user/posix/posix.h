// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/posix.h -- seventeen programs in one file: what they share.
 *
 * Each is a function that prints what it finds; nothing printed depends on time, process ids or
 * the machine, so that Linux's output is the expected one. Linked statically with the C library
 * of the computer that builds it.
 */
#pragma once

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Prints a call's result, and errno's name when it is -1. */
#define SHOW(call)                                                                             \
    do {                                                                                       \
        long show_result;                                                                      \
        errno = 0;                                                                             \
        show_result = (long)(call);                                                            \
        printf("%s = %ld%s%s\n", #call, show_result, show_result == -1 ? " " : "",             \
               show_result == -1 ? strerrorname_np(errno) : "");                               \
    } while (0)

int test_signals(void);
int test_threads(void);
int test_robust(void);
int test_sockets(void);
int test_timers(void);
int test_epoll(void);
int test_memory(void);
int test_ptys(void);
int test_files(void);
int test_processes(void);
int test_locks(void);
int test_queues(void);
int test_anonymous(void);
int test_crowd(void);
int test_ipc(void);
int test_watches(void);
int test_tasks(void);
