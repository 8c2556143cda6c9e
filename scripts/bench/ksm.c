// SPDX-License-Identifier: BSD-2-Clause
/*
 * scripts/bench/ksm.c -- the peer of our sharing scan: what Linux' KSM takes for a page it looks at.
 *
 * First process of an initramfs under -icount, where a nanosecond is an instruction. 64 MB: a quarter of
 * the pages zero, a quarter equal in pairs, half unlike all others; ksmd goes over them until it finds nothing
 * more, and over again. Its run time is the scheduler's own count (/proc/PID/schedstat).
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

static void wait_scans(unsigned long long count)
{
    unsigned long long until = number(KSM "full_scans") + count;

    while (number(KSM "full_scans") < until)
        usleep(20000);
}

int main(void)
{
    unsigned long long *memory, ran, scans, first_ran, first_scans,
        state = 88172645463325252ull;
    char path[64];

    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    memory =
        mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || !ksmd_find(path) ||
        madvise(memory, PAGES * PAGE, MADV_MERGEABLE) != 0) {
        printf("bench: no KSM\n");
        reboot(RB_POWER_OFF);
    }
    for (unsigned i = 0; i < PAGES; i++) {
        unsigned long long *page = memory + i * (PAGE / 8);
        // Zero, the twin of the page before, and pages of their own.
        unsigned long long seed = i % 4 == 0 ? 0 : i % 4 == 2 && i % 8 < 4 ? i - 1 : i;

        if (i % 8 == 5)
            seed = 0x1000000ull + i / 8 / 2;
        state = (seed + 1) * 0x9e3779b97f4a7c15ull;
        for (unsigned k = 0; k < PAGE / 8; k++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            page[k] = seed ? state : 0;
        }
    }
    set(KSM "sleep_millisecs", "0");
    set(KSM "pages_to_scan", "512");
    first_ran = ran = number(path);
    first_scans = scans = number(KSM "full_scans");
    set(KSM "run", "1");
    wait_scans(4);
    ran = number(path);
    scans = number(KSM "full_scans");
    printf("bench ksm-merge %llu\n", (ran - first_ran) / ((scans - first_scans) * PAGES));
    wait_scans(4);
    printf("bench ksm-scan %llu\n",
           (number(path) - ran) / ((number(KSM "full_scans") - scans) * PAGES));
    printf("bench ksm-shared %llu\n", number(KSM "pages_shared"));
    printf("bench ksm-sharing %llu\n", number(KSM "pages_sharing"));
    printf("bench ksm-bytes %llu\n", books() / PAGES);
    fflush(stdout);
    reboot(RB_POWER_OFF);
    return 0;
}
