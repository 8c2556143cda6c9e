// SPDX-License-Identifier: BSD-2-Clause
/*
 * scripts/bench/user.c -- what the kernel costs a program, in TSC ticks: process 1 of a machine of its own.
 *
 * With QEMU's -icount shift=0 a tick is an instruction. The same static program is the init of
 * an initramfs on Linux and init= of a tardisk on Orrery, so the two columns have equal user
 * code. Each figure is the second of two runs, without the loop around it. A context switch is
 * measured by two processes that yield to each other, and by two that wait for each other's
 * byte in a pipe.
 *
 * usage: user (as process 1, with a static busybox as /true)
 */
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS  10000
#define PINGS  1000
#define FORKS  100
#define YIELDS 5000
#define PAGES  1000

static uint64_t ticks(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence\n rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static void null_call(void)
{
    for (int i = 0; i < CALLS; i++)
        syscall(SYS_getppid);
}

static void ping(void)
{
    int there[2], back[2];
    char byte = 0;

    if (pipe(there) || pipe(back))
        return;
    if (fork() == 0) {
        for (int i = 0; i < PINGS; i++) {
            if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    for (int i = 0; i < PINGS; i++) {
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            return;
    }
    wait(NULL);
    for (int i = 0; i < 2; i++) {
        close(there[i]);
        close(back[i]);
    }
}

static void fork_wait(void)
{
    for (int i = 0; i < FORKS; i++) {
        if (fork() == 0)
            _exit(0);
        wait(NULL);
    }
}

static void run_true(int share)
{
    for (int i = 0; i < FORKS; i++) {
        if ((share ? vfork() : fork()) == 0) {
            execl("/true", "true", (char *)NULL);
            _exit(127);
        }
        wait(NULL);
    }
}

static void fork_exec_wait(void)
{
    run_true(0);
}

static void vfork_exec_wait(void)
{
    run_true(1);
}

static void yields(void)
{
    if (fork() == 0) {
        for (int i = 0; i < YIELDS; i++)
            sched_yield();
        _exit(0);
    }
    for (int i = 0; i < YIELDS; i++)
        sched_yield();
    wait(NULL);
}

static void pages(void)
{
    char *at =
        mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    madvise(at, PAGES * 4096, MADV_NOHUGEPAGE);
    for (int i = 0; i < PAGES; i++)
        at[i * 4096] = 1;
    munmap(at, PAGES * 4096);
}

static const struct {
    const char *name;
    void (*run)(void);
    int count;
} rows[] = {
    {"null system call", null_call, CALLS},
    {"context switch by sched_yield", yields, 2 * YIELDS},
    {"context switch by a pipe", ping, 2 * PINGS},
    {"fork and exit and wait", fork_wait, FORKS},
    {"fork and exec and wait of true", fork_exec_wait, FORKS},
    {"vfork and exec and wait of true", vfork_exec_wait, FORKS},
    {"touch of a fresh page", pages, PAGES},
};

int main(void)
{
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t before;

        rows[i].run();
        before = ticks();
        rows[i].run();
        printf("bench %s|%llu\n", rows[i].name,
               (unsigned long long)((ticks() - before) / (uint64_t)rows[i].count));
        fflush(stdout);
    }
    sync();
    usleep(100000);
    reboot(RB_POWER_OFF);
    return 0;
}
