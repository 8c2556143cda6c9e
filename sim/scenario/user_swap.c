// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/user_swap.c -- programs that need more memory than their host has.
 *
 * user-swap      busybox's sort and awk, several at once, print what they print on a computer
 *                with enough of it; then a disk that fails ends the program whose pages it has,
 *                and no other; nothing stays behind
 *
 * Invariants
 *   - Free memory never falls below the floor.
 */
#include "user/user_swap.h"

#include <stdio.h>
#include <string.h>

#include "fs/tty.h"
#include "fs/vfs.h"
#include "io/storage.h"
#include "mem/memsched.h"
#include "mem/page.h"
#include "sim/model/disk.h"
#include "sim/scenario/root_disk.h"
#include "sim/scenario/scenario.h"
#include "user/user.h"

#define DISK_SIZE  (64u << 20)
#define ROOM_PAGES 700u  // above the floor

static const char script[] =
    "cd ${TMPDIR:-.}\n"
    "for i in 1 2 3; do (seq $i 3 45000 | sort -r | md5sum >s$i) & done; wait\n"
    "cat s1 s2 s3; rm s1 s2 s3\n"
    "awk 'BEGIN { for (i = 0; i < 20000; i++) a[i] = i * 7; system(\"echo forked\");\n"
    "  for (i = 0; i < 20000; i++) s += a[i]; print s }'\n"
    "awk 'BEGIN { for (i = 0; i < 20000; i++) a[i] = i; system(\"sleep 30\") }' & p=$!\n"
    "seq 20000 | sort -n | tail -n 1; kill -9 $p; wait $p 2>/dev/null; echo killed $?\n";

/* An array, a pause, and its sum. */
#define SUM                                                                                    \
    "BEGIN { for (i = 0; i < 15000; i++) a[i] = i; system(\"sleep %u\"); for (i = 0; i < "     \
    "15000; i++) s += a[i]; print s }"

static const char *const environment[] = {"PATH=/bin:/sbin", "HOME=/", "TERM=linux", NULL};
static struct disk_model *disk;
static const char *expected;
static char screen[1 << 16];
static size_t shown;
static char place[BLOCK_NAME_SIZE + 8];

static void show(const char *text, size_t length)
{
    for (size_t i = 0; i < length && shown < sizeof(screen) - 1; i++) {
        if (text[i] != '\r')
            screen[shown++] = text[i];
    }
    screen[shown] = 0;
}

static bool prepare(void)
{
    if (!root_disk_add(script))
        return false;
    expected = root_disk_native(script);
    return expected;
}

static void up(void)
{
    const struct storage_inquiry inquiry = {.vendor = "Orrery", .model = "Swap"};
    struct storage_adapter *adapter;
    struct storage_device_info info;

    sim_check(fs_init() == VMK_OK, "fs_init");
    user_init();
    tty_console_output(show);
    disk = disk_model_create("swap", DISK_SIZE);
    disk_model_latency(disk, 100000, 2000, 4);
    sim_check(storage_adapter_add("model", "nowhere", "a disk", &adapter) == VMK_OK &&
                  storage_device_add(adapter, 0, 0, 0, disk_model_device(disk), &inquiry) ==
                      VMK_OK &&
                  storage_device_get(0, &info),
              "no disk");
    snprintf(place, sizeof(place), "host:%s", info.name);
    sim_check(user_swap_set(place) == VMK_OK, "no swap space");
}

/* The host becomes small: all but `room` pages are somebody's who never gives them back. */
static void shrink(uint64_t room)
{
    mpn_t mpn;

    while (page_free_count() > room)
        sim_check(page_alloc(0, MEM_OWNER_TEST, &mpn) == VMK_OK, "page_alloc");
}

static uint32_t start(const char *const *arguments)
{
    char path[32];
    uint32_t pid = 0;

    snprintf(path, sizeof(path), "/bin/%s", arguments[0]);
    sim_check(user_start(path, arguments, environment, "/dev/console", &pid) == VMK_OK,
              "user_start");
    return pid;
}

static int end_of(uint32_t pid)
{
    int status = -1;

    sim_check(user_wait(pid, &status) == VMK_OK, "user_wait");
    return status;
}

static struct user_swap_summary summary(void)
{
    struct user_swap_summary s;

    user_swap_get(&s);
    return s;
}

/*
 * Two programs have pages out when the disk fails; only the one that wants them meanwhile ends.
 */
static void disk_fails(void)
{
    char early[160], late[160];
    const char *const late_one[] = {"awk", late, NULL}, *const early_one[] = {"awk", early,
                                                                              NULL};
    const char *const third[] = {"sh", "-c", "seq 30000 | sort -r | md5sum", NULL};
    uint32_t late_pid, early_pid;
    int status;

    snprintf(late, sizeof(late), SUM, 60u);
    snprintf(early, sizeof(early), SUM, 20u);
    late_pid = start(late_one);
    early_pid = start(early_one);
    sim_check(world_sleep_until(plat_time_now() + 5000000000ull) == VMK_OK, "sleep");
    sim_check(end_of(start(third)) == 0, "a third program");
    shown = 0;
    disk_model_fail(disk, 0, DISK_SIZE, 1000000);
    status = end_of(early_pid);
    sim_check((status & 0x7f) == 7, "the disk failed, and the program ended with %#x",
              (unsigned)status);
    disk_model_fail(disk, 0, DISK_SIZE, 0);
    status = end_of(late_pid);
    sim_check(status == 0 && strstr(screen, "112492500\n"), "the other ended with %#x: %s",
              (unsigned)status, screen);
}

/* esxcli says what there is, and its `set` leaves the place and takes it again. */
static void shows(void)
{
    static const char get[] = "esxcli sched swap system get";
    char command[1024];

    snprintf(command, sizeof(command),
             "%s | grep 'Device Active: true' && %s | grep 'Device Name: %s' && "
             "esxcli sched swap system set -d false && %s | grep 'Device Enabled: false' && "
             "! esxcli sched swap system set -n nowhere && "
             "esxcli sched swap system set -D %s && %s | grep 'Device Enabled: true'",
             get, get, place + 5, get, place + 5, get);
    shown = 0;
    screen[0] = 0;
    sim_check(end_of(start((const char *const[]){"sh", "-c", command, NULL})) == 0,
              "esxcli says:\n%s", screen);
    fputs(screen, stdout);
}

static void run(unsigned host)
{
    const char *const arguments[] = {"sh", "-c", "cd /tmp; . /etc/script", NULL};
    const uint64_t floor = memsched_min_free(page_total_count()) * 16 / 100;
    struct user_swap_summary s;
    uint64_t pages;
    int status;

    (void)host;
    up();
    pages = page_owned_count(MEM_OWNER_USER);
    shrink(floor + ROOM_PAGES);
    status = end_of(start(arguments));
    s = summary();
    fputs(screen, stdout);
    printf("%llu pages went out, %llu came back\n", (unsigned long long)s.out,
           (unsigned long long)s.in);
    sim_check(status == 0 && strcmp(screen, expected) == 0, "not as on Linux:\n%s", expected);
    sim_check(s.out > 500 && s.in > 100 && s.errors == 0, "%llu out, %llu in, %llu errors",
              (unsigned long long)s.out, (unsigned long long)s.in,
              (unsigned long long)s.errors);
    disk_fails();
    shows();
    sim_check(world_sleep_until(plat_time_now() + 100000000) == VMK_OK, "sleep");
    sim_check(summary().used == 0, "%llu slots are nobody's",
              (unsigned long long)summary().used);
    sim_check(page_owned_count(MEM_OWNER_USER) <= pages + 80, "user pages %llu, were %llu",
              (unsigned long long)page_owned_count(MEM_OWNER_USER), (unsigned long long)pages);
    printf("least free %llu pages, floor %llu\n", (unsigned long long)page_free_least(),
           (unsigned long long)floor);
    sim_check(page_free_least() >= floor, "%llu pages were free, the floor is %llu",
              (unsigned long long)page_free_least(), (unsigned long long)floor);
    user_swap_stop();
}

const struct scenario scenario_user_swap = {.name = "user-swap",
                                            .what = "programs that need more memory than "
                                                    "there is, and a disk that fails",
                                            .cpus = 2,
                                            .prepare = prepare,
                                            .run = run};
