// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/vm.c -- vm COMMAND: virtual machines by their names.
 *
 * Starting is running a vmx in a session of its own and waiting for its word that the guest
 * runs; the rest are requests to the kernel, which knows what runs. Machines that are
 * registered, and so start by `vm autostart`, are lines of /etc/vmware/vm-list.
 *
 * Invariants
 *   - `vm start` says yes only after vCPU 0 began.
 * Locking    none: one thread. Two `vm register` at once may lose one line.
 * Start at   commands[].
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agents/vmtools/vmtools.h"

#define SELF         "/proc/self/exe"
#define STOP_SECONDS 60u
#define START_MS     120000

static const char *const states[] = {"new", "on", "resetting", "stopping", "off"};

static const char *state_name(uint32_t state)
{
    return state < COUNT_OF(states) ? states[state] : "?";
}

/* ---- what there is ---- */

static bool is_running(const char *path, const struct vmk_vm *vms, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(vms[i].config_file, path) == 0)
            return true;
    }
    return false;
}

static int command_list(int argc, char **argv)
{
    uint32_t count;
    struct vmk_vm *vms = vmk_list_get(VMK_LIST_VMS, sizeof(*vms), &count);
    char **registered = vm_list_read();

    (void)argc;
    (void)argv;
    printf("%8s  %8s  %-20s  %-9s  %4s  %8s  %8s  %-8s  %s\n", "World", "Cartel", "Name",
           "State", "vCPU", "MB", "Granted", "Owner", "File");
    for (uint32_t i = 0; i < count; i++)
        printf("%8u  %8u  %-20s  %-9s  %4u  %8u  %8llu  %-8s  %s\n", vms[i].world_id,
               vms[i].cartel_id, vms[i].name, state_name(vms[i].state), vms[i].vcpus,
               vms[i].memory_mb, (unsigned long long)vms[i].granted_pages / 256,
               user_name(vms[i].uid), vms[i].config_file);
    for (char **path = registered; *path; path++) {
        struct vm_brief brief;
        char error[VMK_TEXT_SIZE];

        if (is_running(*path, vms, count))
            continue;
        if (config_read(*path, &brief, error, sizeof(error), NULL, NULL))
            printf("%8s  %8s  %-20s  %-9s  %4u  %8u  %8s  %-8s  %s\n", "-", "-", brief.name,
                   "off", brief.vcpus, brief.memory_mb, "-", "-", *path);
        else
            printf("%8s  %8s  %-20s  %-9s  %4s  %8s  %8s  %-8s  %s\n", "-", "-", "?",
                   "bad file", "-", "-", "-", "-", error);
    }
    return EXIT_DONE;
}

/* Where its memory is; nothing if it is in no list any more. */
static void memory_print(const struct vmk_vm *vm)
{
    uint32_t count;
    struct vmk_vm_memory *all = vmk_list_get(VMK_LIST_VM_MEMORY, sizeof(*all), &count);

    for (uint32_t i = 0; i < count; i++) {
        const struct vmk_vm_memory *m = &all[i];

        if (m->group_id != vm->group_id || strcmp(m->name, vm->name) != 0)
            continue;
        printf("Memory target: %llu MB, active %llu, balloon %llu of %llu (%s driver)\n",
               (unsigned long long)m->target_kb / 1024, (unsigned long long)m->active_kb / 1024,
               (unsigned long long)m->balloon_kb / 1024,
               (unsigned long long)m->balloon_target_kb / 1024,
               m->flags & VMK_VM_BALLOON ? "has a" : "no");
        printf("Memory elsewhere: %llu MB shared (%llu saved), %llu compressed, %llu swapped\n",
               (unsigned long long)m->shared_kb / 1024, (unsigned long long)m->saved_kb / 1024,
               (unsigned long long)m->compressed_kb / 1024,
               (unsigned long long)m->swapped_kb / 1024);
        break;
    }
    free(all);
}

static int command_info(int argc, char **argv)
{
    struct vmk_vm *vm = vm_must_find(argv[1]);

    (void)argc;
    printf("Name: %s\nState: %s\nWorld: %u\nCartel: %u\nGroup: %u\nOwner: %s\nUUID: %s\n",
           vm->name, state_name(vm->state), vm->world_id, vm->cartel_id, vm->group_id,
           user_name(vm->uid), uuid_text(vm->uuid));
    printf("vCPUs: %u\nMemory: %u MB, %llu of %llu pages in use, %llu tables\n", vm->vcpus,
           vm->memory_mb, (unsigned long long)vm->granted_pages,
           (unsigned long long)vm->memory_pages, (unsigned long long)vm->overhead_pages);
    memory_print(vm);
    printf("Up: %llu.%03llu s, %u resets\nConsole: %llu bytes out, %llu in\nFile: %s\n",
           (unsigned long long)(vm->uptime_ns / 1000000000u),
           (unsigned long long)(vm->uptime_ns / 1000000u % 1000u), vm->resets,
           (unsigned long long)vm->console_out_bytes, (unsigned long long)vm->console_in_bytes,
           vm->config_file);
    return EXIT_DONE;
}

/* ---- starting ---- */

/* A name is one of the registered machines; anything with a slash or .vmx is a file. */
static char *file_of(const char *what)
{
    size_t length = strlen(what);
    char **registered;
    char *found = NULL;

    if (strchr(what, '/') || (length > 4 && strcmp(what + length - 4, ".vmx") == 0))
        return absolute_path(what);
    registered = vm_list_read();
    for (char **path = registered; *path && !found; path++) {
        struct vm_brief brief;
        char error[VMK_TEXT_SIZE];

        if (config_read(*path, &brief, error, sizeof(error), NULL, NULL) &&
            strcmp(brief.name, what) == 0)
            found = *path;
    }
    if (!found)
        fail(EXIT_NO,
             "%s: no machine of that name in %s; give its .vmx file, or `vm register` it", what,
             VM_LIST_FILE);
    return found;
}

static void become_vmx(const char *path, int ready)
{
    char *number = text_of("%d", ready);
    const char *const arguments[] = {"vmx", "--ready-fd", number, path, NULL};
    int null = open("/dev/null", O_RDWR);

    setsid();
    if (null >= 0) {
        dup2(null, 0);
        dup2(null, 1);
    }
    execvp("vmx", (char *const *)(uintptr_t)arguments);  // by its name, for ps
    execv(SELF, (char *const *)(uintptr_t)arguments);
    complain("%s: %s", SELF, strerror(errno));
    _exit(EXIT_FAILED);
}

/* Waits for "ok" or the end of the pipe. */
static bool said_ok(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char word[4] = "";
    int ready;

    do
        ready = poll(&p, 1, START_MS);
    while (ready < 0 && errno == EINTR);
    return ready > 0 && read(fd, word, 3) == 3 && memcmp(word, "ok\n", 3) == 0;
}

static int start_file(const char *path)
{
    int ends[2];
    int status;
    pid_t pid;
    struct vmk_vm *running = vm_find(path);

    if (running) {
        complain("%s: runs already, world %u", path, running->world_id);
        free(running);
        return EXIT_NO;
    }
    if (pipe2(ends, O_CLOEXEC) < 0)
        fail(EXIT_FAILED, "pipe: %s", strerror(errno));
    fflush(NULL);
    pid = fork();
    if (pid < 0)
        fail(EXIT_FAILED, "%s: no process for its vmx: %s", path, strerror(errno));
    if (pid == 0) {
        fcntl(ends[1], F_SETFD, 0);
        close(ends[0]);
        become_vmx(path, ends[1]);
    }
    close(ends[1]);
    if (said_ok(ends[0])) {
        close(ends[0]);
        return EXIT_DONE;
    }
    close(ends[0]);
    // It said on stderr why; a vmx that hangs is told to go.
    kill(pid, SIGTERM);
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
        return WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILED;
    complain("%s: its vmx did not start the guest", path);
    return EXIT_FAILED;
}

static int command_start(int argc, char **argv)
{
    int result = EXIT_DONE;

    for (int i = 1; i < argc; i++) {
        int one = start_file(file_of(argv[i]));

        result = result ? result : one;
    }
    return result;
}

static int command_autostart(int argc, char **argv)
{
    char **registered = vm_list_read();
    int result = EXIT_DONE;

    (void)argc;
    (void)argv;
    for (char **path = registered; *path; path++) {
        struct vm_brief brief;
        char error[VMK_TEXT_SIZE];
        int one;

        if (!config_read(*path, &brief, error, sizeof(error), NULL, NULL)) {
            complain("%s", error);
            result = EXIT_FAILED;
            continue;
        }
        if (!brief.autostart)
            continue;
        one = start_file(*path);
        printf("%s: %s\n", brief.name, one ? "not started" : "started");
        result = result ? result : one;
    }
    return result;
}

/* ---- ending ---- */

static int tell(const char *what, uint32_t how, struct vmk_vm **out)
{
    struct vmk_vm *vm = vm_must_find(what);
    struct vmk_vm_kill k = {.world_id = vm->world_id ? vm->world_id : vm->cartel_id,
                            .how = how};

    if (out)
        *out = vm;
    if (vmk_call(device(), VMK_VM_KILL, &k, sizeof(k)) == 0)
        return EXIT_DONE;
    if (errno == ENOENT)
        return EXIT_DONE;  // it ended meanwhile
    fail(EXIT_FAILED, "%s: %s%s", what, strerror(errno),
         errno == EPERM ? ": only its owner or root may" : "");
}

static int wait_until_gone(const struct vmk_vm *vm, uint64_t seconds)
{
    const struct timespec tenth = {.tv_nsec = 100000000};

    for (uint64_t i = 0; i <= seconds * 10; i++) {
        uint32_t count;
        struct vmk_vm *vms = vmk_list_get(VMK_LIST_VMS, sizeof(*vms), &count);
        bool there = false;

        for (uint32_t k = 0; k < count; k++)
            there |= vms[k].world_id == vm->world_id;
        free(vms);
        if (!there)
            return EXIT_DONE;
        if (i < seconds * 10)
            nanosleep(&tenth, NULL);
    }
    return EXIT_NO;
}

static int command_stop(int argc, char **argv)
{
    uint64_t seconds = STOP_SECONDS;
    uint32_t how = VMK_KILL_BUTTON;
    struct vmk_vm *vm;
    int at = 1;

    for (; at < argc - 1; at++) {
        if (strcmp(argv[at], "--off") == 0)
            how = VMK_KILL_SOFT;
        else if (strcmp(argv[at], "--timeout") != 0 || at + 2 >= argc ||
                 !number_of(argv[++at], 86400, &seconds))
            fail(EXIT_USAGE, "stop [--off] [--timeout SECONDS] NAME: not %s", argv[at]);
    }
    (void)tell(argv[at], how, &vm);
    if (wait_until_gone(vm, seconds) == EXIT_DONE)
        return EXIT_DONE;
    complain("%s: runs on after %llu s: the guest ignores its power button; `vm stop --off` or "
             "`vm kill` ends it",
             argv[at], (unsigned long long)seconds);
    return EXIT_NO;
}

static int command_reset(int argc, char **argv)
{
    (void)argc;
    return tell(argv[1], VMK_KILL_RESET, NULL);
}

static int command_kill(int argc, char **argv)
{
    struct vmk_vm *vm;

    (void)argc;
    (void)tell(argv[1], VMK_KILL_HARD, &vm);
    if (wait_until_gone(vm, 5) == EXIT_DONE)
        return EXIT_DONE;
    return tell(argv[1], VMK_KILL_FORCE, NULL);
}

/* ---- the console ---- */

static int command_console(int argc, char **argv)
{
    struct vmk_vm *vm = vm_must_find(argv[1]);
    struct vmk_console_open c = {.world_id = vm->world_id, .fd = -1};
    char *number;

    (void)argc;
    if (vmk_call(device(), VMK_CONSOLE_OPEN, &c, sizeof(c)) < 0)
        fail(EXIT_FAILED, "%s: no console: %s%s", argv[1], strerror(errno),
             errno == EPERM ? ": only its owner or root may" : "");
    fcntl(c.fd, F_SETFD, 0);
    number = text_of("%d", c.fd);
    execlp("vm-console", "vm-console", "--fd", number, vm->name, (char *)NULL);
    fail(EXIT_FAILED, "vm-console: %s", strerror(errno));
}

/* ---- the list ---- */

static void list_write(char *const *paths, const char *without, const char *with)
{
    char *temporary = text_of("%s.new", VM_LIST_FILE);
    FILE *f = fopen(temporary, "we");
    bool good = f;

    for (; good && *paths; paths++) {
        if (!without || strcmp(*paths, without) != 0)
            good = fprintf(f, "%s\n", *paths) > 0;
    }
    if (good && with)
        good = fprintf(f, "%s\n", with) > 0;
    if (f && fclose(f) != 0)
        good = false;
    if (!good || rename(temporary, VM_LIST_FILE) < 0)
        fail(EXIT_FAILED, "%s: %s", VM_LIST_FILE, strerror(errno));
    free(temporary);
}

static bool is_listed(char *const *paths, const char *path)
{
    for (; *paths; paths++) {
        if (strcmp(*paths, path) == 0)
            return true;
    }
    return false;
}

static int command_register(int argc, char **argv)
{
    char *path = absolute_path(argv[1]);
    char **paths = vm_list_read();
    struct vm_brief brief;
    char error[VMK_TEXT_SIZE];

    (void)argc;
    if (!config_read(path, &brief, error, sizeof(error), NULL, NULL))
        fail(EXIT_FAILED, "%s", error);
    if (is_listed(paths, path))
        fail(EXIT_NO, "%s: is registered already", path);
    list_write(paths, NULL, path);
    return EXIT_DONE;
}

static int command_unregister(int argc, char **argv)
{
    char *path = file_of(argv[1]);
    char **paths = vm_list_read();

    (void)argc;
    if (!is_listed(paths, path))
        fail(EXIT_NO, "%s: is not in %s", path, VM_LIST_FILE);
    list_write(paths, path, NULL);
    return EXIT_DONE;
}

/* ---- commands ---- */

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    int least, most;  // arguments
    const char *arguments, *what;
} commands[] = {
    {"list", command_list, 0, 0, "", "what runs, and what is registered"},
    {"info", command_info, 1, 1, "VM", "one that runs"},
    {"start", command_start, 1, 64, "NAME|FILE...", "run registered machines, or .vmx files"},
    {"stop", command_stop, 1, 4, "[--off] [--timeout SECONDS] VM",
     "press its power button (--off: switch it off) and wait"},
    {"reset", command_reset, 1, 1, "VM", "as a PC's reset button"},
    {"kill", command_kill, 1, 1, "VM", "end it at once, its vmx too"},
    {"console", command_console, 1, 1, "VM", "its serial port on this terminal; Ctrl-] leaves"},
    {"register", command_register, 1, 1, "FILE", "add it to /etc/vmware/vm-list"},
    {"unregister", command_unregister, 1, 1, "NAME|FILE", "take it off the list"},
    {"autostart", command_autostart, 0, 0, "",
     "start those of the list that have autostart = \"poweron\""},
};

static int usage(FILE *to, int code)
{
    fputs("usage: vm COMMAND [ARGUMENT]...\n\nVM is a name, a world id, or a .vmx file.\n", to);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        fprintf(to, "  %-10s %-32s %s\n", commands[i].name, commands[i].arguments,
                commands[i].what);
    fputs("status: 0; 1 no such VM, or it did not end in time; 2 usage; 3 it failed\n", to);
    return code;
}

int vm_main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout, EXIT_DONE);
    for (size_t i = 0; argc > 1 && i < COUNT_OF(commands); i++) {
        const struct command *c = &commands[i];

        if (strcmp(c->name, argv[1]) != 0)
            continue;
        if (argc > 2 && strcmp(argv[2], "--help") == 0) {
            printf("usage: vm %s %s\n%s\n", c->name, c->arguments, c->what);
            return EXIT_DONE;
        }
        if (argc - 2 < c->least || argc - 2 > c->most)
            fail(EXIT_USAGE, "usage: vm %s %s", c->name, c->arguments);
        return c->run(argc - 1, argv + 1);
    }
    return usage(stderr, EXIT_USAGE);
}

/* ---- vim-cmd: the few that scripts use ---- */

static uint64_t vmid_of(const char *path, char *const *registered)
{
    for (uint64_t i = 0; registered[i]; i++) {
        if (strcmp(registered[i], path) == 0)
            return i + 1;
    }
    return 0;
}

static int getallvms(void)
{
    char **registered = vm_list_read();

    printf("%-6s %-20s %-50s %-12s %-8s %s\n", "Vmid", "Name", "File", "Guest OS", "Version",
           "Annotation");
    for (char **path = registered; *path; path++) {
        struct vm_brief brief;
        char error[VMK_TEXT_SIZE];
        bool good = config_read(*path, &brief, error, sizeof(error), NULL, NULL);

        printf("%-6llu %-20s %-50s %-12s %-8s \n",
               (unsigned long long)vmid_of(*path, registered), good ? brief.name : "?", *path,
               "other-64", "vmx-20");
    }
    return EXIT_DONE;
}

/* A Vmid is a line of the list, from 1. */
static char *vmid_file(const char *text)
{
    char **registered = vm_list_read();
    uint64_t id;

    for (uint64_t i = 0; number_of(text, 65536, &id) && registered[i]; i++) {
        if (i + 1 == id)
            return registered[i];
    }
    fail(EXIT_NO, "Unable to find a VM corresponding to \"%s\"", text);
}

int vimcmd_main(int argc, char **argv)
{
    static const char *const verbs[][2] = {
        {"vmsvc/power.on", "start"},       {"vmsvc/power.off", "stop --off"},
        {"vmsvc/power.shutdown", "stop"},  {"vmsvc/power.reset", "reset"},
        {"vmsvc/get.summary", "info"},     {"solo/registervm", "register"},
        {"vmsvc/unregister", "unregister"}};
    char *arguments[6] = {"vm", NULL, NULL, NULL, NULL, NULL};
    int count = 2;

    if (argc == 2 && strcmp(argv[1], "vmsvc/getallvms") == 0)
        return getallvms();
    if (argc == 3 && strcmp(argv[1], "vmsvc/power.getstate") == 0) {
        printf("Retrieved runtime info\nPowered %s\n",
               vm_find(vmid_file(argv[2])) ? "on" : "off");
        return EXIT_DONE;
    }
    for (size_t i = 0; argc == 3 && i < COUNT_OF(verbs); i++) {
        if (strcmp(argv[1], verbs[i][0]) != 0)
            continue;
        arguments[1] = text_of("%s", verbs[i][1]);
        if (strchr(arguments[1], ' ')) {
            arguments[count] = strchr(arguments[1], ' ') + 1;
            *strchr(arguments[1], ' ') = 0;
            count++;
        }
        arguments[count++] = strncmp(argv[1], "solo/", 5) == 0 ? argv[2] : vmid_file(argv[2]);
        return vm_main(count, arguments);
    }
    fputs("usage: vim-cmd vmsvc/getallvms | COMMAND VMID | solo/registervm FILE\ncommands: "
          "vmsvc/power.getstate",
          argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        fprintf(argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr, " %s",
                verbs[i][0]);
    fputc('\n', argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
    return argc == 2 && strcmp(argv[1], "--help") == 0 ? EXIT_DONE : EXIT_USAGE;
}
