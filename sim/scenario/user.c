// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/user.c -- programs that we did not write, in ring 3 of simulated hosts.
 *
 * busybox        a shell script of pipelines, loops, text tools and signals; the terminal shows
 * byte for
 *                byte what the same busybox prints on the computer the simulation runs on
 * busybox-smp    the same on four CPUs
 * commands       tests/user/busybox.sh, several hundred commands, likewise
 * user-speed     rows for `make bench`: system calls, forks and a shell loop in CPU time
 * processes      a thousand processes at once, then 10,000 that come and go: nothing stays
 *                behind
 * nice           shell loops of nice 0, 10 and later 5 beside each other: time as their shares
 *                say
 * program        the program that ORRERY_PROGRAM names, with nothing else; its output and
 *                status
 * boot           init from /etc/inittab, rcS, a shell on the console; somebody types at it, the
 * shell
 *                starts programs and jobs, and poweroff ends the host
 *
 * Invariants
 *   - Nothing a program prints here depends on time, process ids or memory size.
 * Locking    the console's output comes from one CPU at a time; only this file reads it.
 */
#include "user/user.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/heap.h"
#include "fs/tty.h"
#include "fs/vfs.h"
#include "mem/page.h"
#include "sim/scenario/root_disk.h"
#include "sim/scenario/scenario.h"

static char screen[1 << 20];
static size_t shown;
static char *expected;

/* Carriage returns are the terminal's, not the program's. */
static void show(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '\r' && shown < sizeof(screen) - 1)
            screen[shown++] = text[i];
    }
    screen[shown] = 0;
}

static void files_and_programs(void)
{
    vmk_status status = fs_init();

    sim_check(status == VMK_OK, "fs_init: %s", vmk_status_text(status));
    user_init();
    tty_console_output(show);
}

static const char *const environment[] = {"PATH=/bin", "HOME=/", "TERM=linux", NULL};

/* ---- busybox ---- */

static const char script[] =
    "cd ${TMPDIR:-.}\n"
    "echo one two three | tr ' ' '\\n' | sort -r | sed 's/^/- /'\n"
    "i=0; while [ $i -lt 500 ]; do i=$((i+1)); done; echo counted $i\n"
    "mkdir -p d/e; for n in 1 2 3 4 5; do echo line $n >>d/e/f; done\n"
    "find d | sort; wc -l <d/e/f; awk '{ s += $2 } END { print \"sum\", s }' d/e/f\n"
    "seq 1 1000 | md5sum; seq 1 100 | tail -n 3 | xargs echo\n"
    "tar cf t.tar d; rm -r d; tar xf t.tar; cat d/e/f | gzip | gunzip | sha256sum\n"
    "(exit 3); echo status $?; false || echo no; true && echo yes\n"
    "trap 'echo caught' USR1; kill -USR1 $$; echo after\n"
    "sleep 0.01 & wait $!; echo waited $?\n"
    "(sleep 100) & p=$!; kill $p; wait $p 2>/dev/null; echo killed $?\n"
    "echo 'a b c' >x; read a b c <x; echo \"$c$b$a\"; ln -s x y; cat y; readlink y\n"
    "dd if=/dev/zero bs=1000 count=100 2>/dev/null | wc -c; head -c 5 /dev/zero | od -c\n"
    "cat /nowhere; ls nowhere; echo $?; f() { return 7; }; f; echo $?\n"
    "printf '%s %05d %x\\n' text 42 255; expr 6 '*' 7; echo $((1 << 40))\n"
    "yes | head -n 2; echo hello | cut -c 2-4; printf 'b\\na\\nb\\n' | sort | uniq -c\n"
    "ls -1; rm -rf d t.tar x y; ls | wc -l; echo end\n";

__asm__(".pushsection .rodata\ncommands_text: .incbin \"tests/user/busybox.sh\"\n.byte 0\n"
        ".popsection");
extern const char commands_text[];

/* Through a file, so that no command sees a terminal. */
static bool commands_prepare(void)
{
    static char text[1 << 17];

    snprintf(text, sizeof(text),
             "cat >script <<'END OF SCRIPT'\n%s\nEND OF SCRIPT\n"
             "sh script work >out 2>&1; cat out\n",
             commands_text);
    if (!root_disk_add(commands_text))
        return false;
    expected = root_disk_native(text);
    return expected;
}

static bool busybox_prepare(void)
{
    if (!root_disk_add(script))
        return false;
    expected = root_disk_native(script);
    return expected;
}

static void run_and_compare(const char *command)
{
    const char *const arguments[] = {"sh", "-c", command, NULL};
    uint32_t pid = 0;
    int result = -1;
    vmk_status status;
    size_t same = 0;

    files_and_programs();
    status = user_start("/bin/sh", arguments, environment, "/dev/console", &pid);
    sim_check(status == VMK_OK, "user_start: %s", vmk_status_text(status));
    status = user_wait(pid, &result);
    sim_check(status == VMK_OK, "user_wait: %s", vmk_status_text(status));
    fputs(screen, stdout);
    while (screen[same] && screen[same] == expected[same])
        same++;
    sim_check(screen[same] == expected[same],
              "byte %zu differs from the computer's own: '%.40s', not '%.40s'", same,
              screen + same, expected + same);
    sim_check(result == 0, "the shell ended with %#x", result);
}

static void busybox_run(unsigned host)
{
    (void)host;
    run_and_compare("cd /tmp; . /etc/script");
}

static void commands_run(unsigned host)
{
    (void)host;
    run_and_compare("cd /root; cp /etc/script script; sh script work >out 2>&1; cat out");
}

/* ---- user-speed ---- */

static bool speed_prepare(void)
{
    return root_disk_add("");
}

static double seconds_of(const char *const *arguments)
{
    struct timespec before;
    struct timespec after;
    uint32_t pid = 0;
    int result = -1;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    sim_check(user_start(arguments[0], arguments, environment, "/dev/console", &pid) ==
                      VMK_OK &&
                  user_wait(pid, &result) == VMK_OK && result == 0,
              "%s ends with %#x; name tests/user/bench.c's program by ORRERY_PROGRAM",
              arguments[0], result);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    return (double)(after.tv_sec - before.tv_sec) +
           (double)(after.tv_nsec - before.tv_nsec) * 1e-9;
}

static void speed_run(unsigned host)
{
    static const char *const calls[] = {"/bin/program", "null", "1000000", NULL};
    static const char *const forks[] = {
        "/bin/sh", "-c", "i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done", NULL};
    static const char *const loop[] = {
        "/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done", NULL};
    plat_ns start;
    double seconds;

    (void)host;
    files_and_programs();
    printf("null system call of a user world,simulation,%.0f,thousand/s,,,\n",
           1e3 / seconds_of(calls));
    printf("fork and exec and wait of a user world,simulation,%.0f,1/s,,,\n",
           300 / seconds_of(forks));
    start = plat_time_now();
    seconds = seconds_of(loop);
    printf("shell loop in a user world,simulation,%.0f,MIPS,,,\n",
           (double)(plat_time_now() - start) / seconds / 1e6);
}

/* ---- processes ---- */

static void shell_run(const char *command)
{
    const char *const arguments[] = {"sh", "-c", command, NULL};
    uint32_t pid = 0;
    int result = -1;

    sim_check(user_start("/bin/sh", arguments, environment, "/dev/console", &pid) == VMK_OK &&
                  user_wait(pid, &result) == VMK_OK && result == 0,
              "%.40s ends with %#x", command, (unsigned)result);
}

/* ---- nice ---- */

#define NICE_LOOP "while true; do :; done"

struct nicety {
    uint32_t pid, world;
    struct sched_usage before, after;
};

static struct sched_usage usage_of(uint32_t world)
{
    struct sched_usage u;

    sim_check(sched_usage_get(world, &u) == VMK_OK, "no world %u", world);
    return u;
}

struct busiest {
    uint32_t world[64];
    unsigned count;
};

static void collect(struct world *w, void *argument)
{
    struct busiest *b = argument;

    if (w->id.raw > SCHED_ROOT_ID && b->count < ARRAY_COUNT(b->world))
        b->world[b->count++] = w->id.raw;
}

/* The world with these shares that wants to run. */
static uint32_t loop_with(uint32_t shares)
{
    struct busiest all = {.count = 0};

    world_for_all(collect, &all);
    for (unsigned i = 0; i < all.count; i++) {
        struct sched_usage u = usage_of(all.world[i]);

        if (u.shares == shares && u.times.run > 1000000 && u.times.wait < u.times.ready)
            return all.world[i];
    }
    sim_check(false, "no busy world of %u shares", shares);
    return 0;
}

/* What two loops ran in 0.6 s: the first so many times the second, within a tenth. */
static void nice_measure(struct nicety loops[2], double wanted)
{
    double run[2];

    for (unsigned i = 0; i < 2; i++)
        loops[i].before = usage_of(loops[i].world);
    sim_check(world_sleep_until(plat_time_now() + 600000000) == VMK_OK, "sleep");
    for (unsigned i = 0; i < 2; i++) {
        loops[i].after = usage_of(loops[i].world);
        run[i] = (double)(loops[i].after.times.run - loops[i].before.times.run) / 1e6;
    }
    printf("shares %u and %u: ran %.0f and %.0f ms, 1:%.2f; wanted 1:%.2f\n",
           loops[0].after.shares, loops[1].after.shares, run[0], run[1], run[0] / run[1],
           wanted);
    sim_check(run[0] + run[1] > 594, "the CPU was idle");
    sim_check(run[0] / run[1] > wanted * 0.9 && run[0] / run[1] < wanted * 1.1,
              "not as their nice values say");
}

static void nice_run(unsigned host)
{
    static const char *const commands[2] = {"exec sh -c '" NICE_LOOP "'",
                                            "exec nice -n 10 sh -c '" NICE_LOOP "'"};
    static const char *const first[] = {"sleep", "2", NULL};
    struct nicety loops[2];
    char command[64];
    uint32_t init;
    int result;

    (void)host;
    files_and_programs();
    // Nobody kills process 1.
    sim_check(user_start("/bin/sleep", first, environment, "/dev/console", &init) == VMK_OK,
              "user_start");
    for (unsigned i = 0; i < 2; i++) {
        const char *const arguments[] = {"sh", "-c", commands[i], NULL};

        sim_check(user_start("/bin/sh", arguments, environment, "/dev/console",
                             &loops[i].pid) == VMK_OK,
                  "user_start");
    }
    sim_check(world_sleep_until(plat_time_now() + 100000000) == VMK_OK, "sleep");
    loops[0].world = loop_with(1000);
    loops[1].world = loop_with(105);  // a fifth less each step, ten times
    nice_measure(loops, 1000.0 / 105);
    snprintf(command, sizeof(command), "renice 5 -p %u", loops[1].pid);
    shell_run(command);
    nice_measure(loops, 1000.0 / 327);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(command, sizeof(command), "kill -9 %u", loops[i].pid);
        shell_run(command);
        sim_check(user_wait(loops[i].pid, &result) == VMK_OK, "user_wait");
    }
    sim_check(user_wait(init, &result) == VMK_OK, "user_wait");
}

/* ---- processes: nothing stays ---- */

struct owned {
    uint64_t user_pages, user_heap, fs_pages, fs_heap, worlds;
};

/* After what is freed by the reaper is freed. */
static struct owned owned_now(void)
{
    sim_check(world_sleep_until(plat_time_now() + 100000000) == VMK_OK, "sleep");
    return (struct owned){
        .user_pages = page_owned_count(MEM_OWNER_USER),
        .user_heap = heap_owned(MEM_OWNER_USER),
        .fs_pages = page_owned_count(MEM_OWNER_FS),
        .fs_heap = heap_owned(MEM_OWNER_FS),
        .worlds = heap_owned(MEM_OWNER_WORLD),
    };
}

static void processes_run(unsigned host)
{
    struct owned before, after;

    (void)host;
    files_and_programs();
    shell_run(
        "m() { awk '/MemFree/ { print $2 }' /proc/meminfo; }; free=$(m); "
        "for i in $(seq 1000); do sleep 3 & done; n=$(ls -d /proc/[0-9]* | wc -l); "
        "each=$(((free - $(m)) / 1000)); wait; "
        "echo at once $((n >= 1000)), $each KB each; [ $n -ge 1000 ] && [ $each -le 160 ]");
    before = owned_now();  // the books of shared pages have grown to what they need
    shell_run("i=0; while [ $i -lt 10000 ]; do (exit 0); i=$((i+1)); done; echo forked $i");
    after = owned_now();
    fputs(screen, stdout);
    printf("pages %llu, heap %llu of user worlds, before and after\n",
           (unsigned long long)after.user_pages, (unsigned long long)after.user_heap);
    sim_check(memcmp(&before, &after, sizeof(before)) == 0,
              "user pages %llu then %llu, heap %llu then %llu, fs pages %llu then %llu, heap "
              "%llu then "
              "%llu, worlds %llu then %llu",
              (unsigned long long)before.user_pages, (unsigned long long)after.user_pages,
              (unsigned long long)before.user_heap, (unsigned long long)after.user_heap,
              (unsigned long long)before.fs_pages, (unsigned long long)after.fs_pages,
              (unsigned long long)before.fs_heap, (unsigned long long)after.fs_heap,
              (unsigned long long)before.worlds, (unsigned long long)after.worlds);
}

/* ---- program ---- */

/* As it comes: a program that hangs has shown how far it was. */
static void print(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '\r')
            putchar(text[i]);
    }
    fflush(stdout);
}

static void program_run(unsigned host)
{
    const char *const arguments[] = {"sh", "-c", "cd /tmp; exec program </dev/null", NULL};
    uint32_t pid = 0;
    int result = -1;
    vmk_status status;

    (void)host;
    files_and_programs();
    tty_console_output(print);
    status = user_start("/bin/sh", arguments, environment, "/dev/console", &pid);
    if (status == VMK_OK)
        status = user_wait(pid, &result);
    sim_check(status == VMK_OK && result == 0, "the program: %s, status %#x",
              vmk_status_text(status), (unsigned)result);
}

/* ---- boot ---- */

static const char *const typed[] = {
    "echo $((6 * 7)) > /tmp/answer; cat /tmp/answer",
    "ps | grep -c init",
    "sleep 1 & jobs; wait; echo waited",
    "for i in 1 2 3; do echo $i; done | tac",
    "cat /etc/hostname; grep -q init.d: /var/log/vmkernel.log && echo logged",
    "poweroff",
};

static unsigned typed_lines;

static bool boot_prepare(void)
{
    return root_disk_add(script);
}

/* The next line is typed when the shell has printed its prompt. */
static void boot_run(unsigned host)
{
    const char *const arguments[] = {"init", NULL};
    uint32_t pid = 0;
    size_t seen = 0;
    vmk_status status;

    (void)host;
    files_and_programs();
    status = user_start("/sbin/init", arguments, environment, "/dev/console", &pid);
    sim_check(status == VMK_OK, "user_start: %s", vmk_status_text(status));
    for (unsigned tick = 0;; tick++) {
        sim_check(tick < 20000, "nothing happens; the screen:\n%s", screen);
        sim_check(world_sleep_until(plat_time_now() + 1000000) == VMK_OK, "sleep");
        if (typed_lines < ARRAY_COUNT(typed) && strstr(screen + seen, "# ")) {
            seen = shown;
            tty_console_input(typed[typed_lines], strlen(typed[typed_lines]));
            tty_console_input("\r", 1);
            typed_lines++;
        }
    }
}

/* The host has powered itself off. */
static void boot_check(void)
{
    fputs(screen, stdout);
    sim_check(typed_lines == ARRAY_COUNT(typed), "only %u lines were typed", typed_lines);
    sim_check(strstr(screen, "\n42\n"), "no answer on the screen");
    sim_check(strstr(screen, "root has no password"), "the login shell did not say so");
    sim_check(strstr(screen, "\norrery\nlogged\n"), "init.d or the logging did not run");
    sim_check(strstr(screen, "waited\n") && strstr(screen, "3\n2\n1\n"), "jobs, pipelines");
}

const struct scenario scenario_busybox = {.name = "busybox",
                                          .what =
                                              "a shell script prints what it prints on Linux",
                                          .cpus = 1,
                                          .one_host = true,
                                          .prepare = busybox_prepare,
                                          .run = busybox_run};
const struct scenario scenario_busybox_smp = {.name = "busybox-smp",
                                              .what = "the same on four CPUs",
                                              .cpus = 4,
                                              .one_host = true,
                                              .prepare = busybox_prepare,
                                              .run = busybox_run};
const struct scenario scenario_commands = {.name = "commands",
                                           .what = "several hundred commands, as on Linux",
                                           .cpus = 2,
                                           .one_host = true,
                                           .prepare = commands_prepare,
                                           .run = commands_run};
const struct scenario scenario_user_speed = {.name = "user-speed",
                                             .what = "rows for make bench",
                                             .cpus = 1,
                                             .unlisted = true,
                                             .prepare = speed_prepare,
                                             .run = speed_run};
const struct scenario scenario_nice = {.name = "nice",
                                       .what = "nice values of processes are shares",
                                       .cpus = 1,
                                       .cpus_fixed = true,
                                       .one_host = true,
                                       .prepare = speed_prepare,
                                       .run = nice_run};
const struct scenario scenario_processes = {.name = "processes",
                                            .what = "1,000 processes, 10,000 forks, no leak",
                                            .cpus = 2,
                                            .one_host = true,
                                            .prepare = speed_prepare,
                                            .run = processes_run};
const struct scenario scenario_program = {.name = "program",
                                          .what = "the program ORRERY_PROGRAM names",
                                          .cpus = 2,
                                          .unlisted = true,
                                          .prepare = speed_prepare,
                                          .run = program_run};
const struct scenario scenario_boot = {.name = "boot",
                                       .what = "init, a shell that is typed at, poweroff",
                                       .cpus = 2,
                                       .one_host = true,
                                       .prepare = boot_prepare,
                                       .run = boot_run,
                                       .check = boot_check};
