// SPDX-License-Identifier: BSD-2-Clause
/*
 * scripts/bench/nvme.c -- the peer of diskbench=: 4 KB direct reads from /dev/nvme0n1 under Linux.
 *
 * First process of an initramfs. As the kernel's own bench: one at a time, then 32 in flight by
 * Linux' asynchronous requests, the next sent where one ended. A process of the idle class
 * counts meanwhile in a loop of two instructions: what it did not get is what the reads took.
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <limits.h>
#include <linux/aio_abi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEPTH 32
#define READ  4096
#define TURN  2   // instructions of the counting loop
#define PARTS 10  // of a measurement: the least counts

static long count;
static unsigned long long blocks, state = 1;

static long long place(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (long long)(state % blocks) * READ;
}

static volatile unsigned long long *turns;

static unsigned long long now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned long long)t.tv_sec * 1000000000 + (unsigned long long)t.tv_nsec;
}

/* Counts for ever, when nobody else wants the CPU. */
static void start_counting(void)
{
    struct sched_param none = {0};

    turns = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fork() == 0) {
        sched_setscheduler(0, SCHED_IDLE, &none);
        __asm__ volatile("1: incq %0; jmp 1b" : "+m"(*turns) : : "cc");
    }
}

static void one_by_one(int fd, char *buffer)
{
    for (long i = 0; i < count; i++)
        if (pread(fd, buffer, READ, place()) != READ)
            printf("bench: a read failed\n");
}

static void many(int fd, char *buffer)
{
    static struct iocb blocks_of[DEPTH];
    struct io_event events[DEPTH];
    aio_context_t context = 0;
    long sent = 0;
    long over = 0;

    if (syscall(SYS_io_setup, DEPTH, &context) < 0)
        printf("bench: no asynchronous requests\n");
    for (int i = 0; i < DEPTH; i++, sent++) {
        struct iocb *one = &blocks_of[i];

        *one = (struct iocb){.aio_lio_opcode = IOCB_CMD_PREAD,
                             .aio_fildes = (unsigned)fd,
                             .aio_buf = (unsigned long)(buffer + i * READ),
                             .aio_nbytes = READ,
                             .aio_offset = place()};
        syscall(SYS_io_submit, context, 1, &one);
    }
    while (over < count) {
        long got = syscall(SYS_io_getevents, context, 1, DEPTH, events, NULL);

        for (long i = 0; i < got; i++) {
            struct iocb *one = (struct iocb *)(unsigned long)events[i].obj;

            over++;
            if (events[i].res != READ)
                printf("bench: a read failed\n");
            if (sent == count)
                continue;
            sent++;
            one->aio_offset = place();
            syscall(SYS_io_submit, context, 1, &one);
        }
    }
}

static void measure(const char *name, int fd, char *buffer, void (*run)(int, char *))
{
    long long least = LLONG_MAX;

    for (int part = 0; part < PARTS; part++) {
        unsigned long long start = now(), before = *turns;
        long long took;

        run(fd, buffer);
        took = (long long)(now() - start) - TURN * (long long)(*turns - before);
        least = took / count < least ? took / count : least;
    }
    printf("bench %s %lld\n", name, least);
}

int main(void)
{
    char *buffer;
    int fd = -1;

    mount("proc", "/proc", "proc", 0, NULL);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    for (int i = 0; i < 100 && fd < 0; i++) {  // it is looked for in the background
        usleep(100000);
        fd = open("/dev/nvme0n1", O_RDONLY | O_DIRECT);
    }
    blocks = (unsigned long long)lseek(fd, 0, SEEK_END) / READ;
    count = (getenv("count") ? atol(getenv("count")) : 5000) / PARTS;
    if (fd < 0 || !blocks || posix_memalign((void **)&buffer, READ, DEPTH * READ))
        printf("bench: no disk\n");
    else {
        start_counting();
        measure("depth1", fd, buffer, one_by_one);
        measure("depth32", fd, buffer, many);
    }
    fflush(stdout);
    sync();
    reboot(RB_POWER_OFF);
    return 0;
}
