// SPDX-License-Identifier: BSD-2-Clause
/*
 * scripts/bench/ksm.c -- the peer of our sharing scan: what Linux' KSM takes for a page it looks at.
 *
 * First process of an initramfs under -icount, where a nanosecond is an instruction. Two
 * fillings of 64 MB, the same as tests/guest/bench_memory.c's: all pages unlike; and a quarter
 * zero, a quarter equal in pairs, the rest unlike. ksmd goes over each several times. What it
 * took is divided by its full looks, in which it read the whole page: in each pass, the pages
 * that were not merged before it. Its run time is the scheduler's own count
 * (/proc/PID/schedstat).
 */
#define _GNU_SOURCE

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGES 16384u
#define PAGE  4096u
#define KSM   "/sys/kernel/mm/ksm/"

static unsigned long long number(const char *path)
{
    unsigned long long value = 0;
    FILE *f = fopen(path, "r");

    if (!f || fscanf(f, "%llu", &value) != 1)
        printf("bench: %s cannot be read\n", path);
    if (f)
        fclose(f);
    return value;
}

static void set(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        printf("bench: %s cannot be set\n", path);
    close(fd);
}

/* The path of ksmd's run time. */
static int ksmd_find(char out[64])
{
    DIR *dir = opendir("/proc");
    struct dirent *e;
    int found = 0;

    while (dir && !found && (e = readdir(dir))) {
        char path[64], name[32] = "";
        FILE *f;

        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "/proc/%.16s/comm", e->d_name);
        f = fopen(path, "r");
        if (f && fscanf(f, "%31s", name) == 1 && strcmp(name, "ksmd") == 0) {
            snprintf(out, 64, "/proc/%.16s/schedstat", e->d_name);
            found = 1;
        }
        if (f)
            fclose(f);
    }
    if (dir)
        closedir(dir);
    return found;
}

/* Bytes of the objects of KSM's caches. */
static unsigned long long books(void)
{
    unsigned long long sum = 0, active, all, size;
    char line[512], name[64];
    FILE *f = fopen("/proc/slabinfo", "r");

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%63s %llu %llu %llu", name, &active, &all, &size) == 4 &&
            strncmp(name, "ksm_", 4) == 0)
            sum += active * size;
    }
    if (f)
        fclose(f);
    return sum;
}

#define PASSES 5u

/*
 * All pages unlike, or as the head says. The first pass of ksmd only notes checksums; it counts
 * as full looks too.
 */
static void measure(const char *name, const char *path, int alike)
{
    unsigned long long ran, looks = 0;
    unsigned long long *memory =
        mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED || madvise(memory, PAGES * PAGE, MADV_MERGEABLE) != 0) {
        printf("bench: no KSM\n");
        reboot(RB_POWER_OFF);
    }
    for (unsigned i = 0; i < PAGES; i++) {
        unsigned long long *page = memory + i * (PAGE / 8);
        unsigned long long seed = alike && i % 8 == 6 ? i - 4 : i;
        unsigned long long state = (seed + 1) * 0x9e3779b97f4a7c15ull;

        for (unsigned k = 0; k < PAGE / 8; k++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            page[k] = alike && i % 4 == 0 ? 0 : state;
        }
    }
    ran = number(path);
    set(KSM "run", "1");
    for (unsigned pass = 0; pass < PASSES; pass++) {
        unsigned long long done = number(KSM "full_scans");
        unsigned long long merged = number(KSM "pages_shared") + number(KSM "pages_sharing");

        looks += PAGES - merged;
        while (number(KSM "full_scans") == done)
            usleep(1000);
    }
    ran = number(path) - ran;
    printf("bench ksm-%s-look %llu\n", name, ran / looks);
    printf("bench ksm-%s-shared %llu\n", name, number(KSM "pages_shared"));
    printf("bench ksm-%s-sharing %llu\n", name, number(KSM "pages_sharing"));
    printf("bench ksm-%s-bytes %llu\n", name, books() / PAGES);
    set(KSM "run", "2");  // unmerges all, forgets all
    munmap(memory, PAGES * PAGE);
}

int main(void)
{
    char path[64];

    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    if (!ksmd_find(path)) {
        printf("bench: no ksmd\n");
        reboot(RB_POWER_OFF);
    }
    set(KSM "sleep_millisecs", "0");
    set(KSM "pages_to_scan", "512");
    measure("unlike", path, 0);
    measure("alike", path, 1);
    fflush(stdout);
    reboot(RB_POWER_OFF);
    return 0;
}
