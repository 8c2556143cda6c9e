// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/vmx.c -- the process of one virtual machine.
 *
 * It reads the .vmx file, makes the VM (a descriptor), becomes the VM's owner, loads the guest,
 * powers it on, and then answers what the VM asks for: its clock and CMOS memory, the guest's
 * messages, a reload after a reset, and its console if that goes to a file. When the guest
 * ends, or somebody tells this process to (SIGTERM), it writes down how the machine fared and
 * ends with the guest's status. If it is killed, the kernel closes the descriptor and with it
 * ends the VM.
 *
 * Invariants
 *   - Files of the guest are opened as the owner, never as root for somebody else.
 *   - Signals are only taken inside ppoll(): none is lost between looking and waiting.
 * Locking    none: one thread.
 * Start at   run().
 */
#include "agents/vmtools/vmx.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agents/vmtools/guest/load.h"
#include "agents/vmtools/guest/rtc.h"

#define STATUS_TERMINATED 143  // as a shell shows SIGTERM

struct vmx {
    char *path, *folder;
    struct vm_brief brief;
    struct vmk_vm_create machine;
    struct rtc *rtc;
    int console, serial;  // -1: the console goes nowhere
    int ready;            // where "ok" is written once it runs; -1: nowhere
};

static volatile sig_atomic_t told_to_end;

static void on_signal(int number)
{
    (void)number;
    told_to_end = 1;
}

/* ---- before the guest ---- */

static int usage(FILE *to, int code)
{
    fputs(
        "usage: vmx [--log FILE] [--ready-fd N] FILE.vmx\n"
        "\n"
        "Runs the virtual machine of FILE.vmx until it is powered off; `vm start` calls this.\n"
        "Started by root it goes on as the owner of FILE.vmx.\n"
        "  --log FILE    instead of vmware.log beside FILE.vmx; - is stderr, none is none\n"
        "  --ready-fd N  write \"ok\" there once the guest runs, and let the terminal go\n"
        "SIGTERM powers the machine off.\n"
        "status: the guest's; 143 after SIGTERM; 2 usage; 3 it did not start\n",
        to);
    return code;
}

/* The machine belongs to whom the file belongs to. */
static int machine_make(struct vmx *x, const char *text, size_t size)
{
    struct stat about;

    x->machine = (struct vmk_vm_create){.text = (uintptr_t)text,
                                        .text_size = (uint32_t)size,
                                        .owner_uid = VMK_CALLER,
                                        .owner_gid = VMK_CALLER};
    if (geteuid() == 0 && stat(x->path, &about) == 0) {
        x->machine.owner_uid = about.st_uid;
        x->machine.owner_gid = about.st_gid;
    }
    snprintf(x->machine.config_file, sizeof(x->machine.config_file), "%s", x->path);
    if (vmk_call(device(), VMK_VM_CREATE, &x->machine, sizeof(x->machine)) < 0) {
        vmx_log_error("%s: VMK_VM_CREATE: %s", x->path, strerror(errno));
        return -1;
    }
    if (x->machine.fd < 0) {
        vmx_log_error("%s", x->machine.error);
        return -1;
    }
    return 0;
}

static int become_owner(const struct vmx *x)
{
    uid_t uid = x->machine.owner_uid;
    gid_t gid = x->machine.owner_gid;

    if (geteuid() != 0 || uid == VMK_CALLER || uid == 0)
        return 0;
    if (setgroups(1, &gid) < 0 || setgid(gid) < 0 || setuid(uid) < 0) {
        vmx_log_error("%s: cannot become its owner, uid %u: %s", x->path, uid, strerror(errno));
        return -1;
    }
    return 0;
}

/* A file of the VM, mapped; names are relative to the .vmx file's folder. */
static int map_file(const struct vmx *x, const char *key, const char *name, const void **data,
                    size_t *size)
{
    char *path = name[0] == '/' ? text_of("%s", name) : text_of("%s/%s", x->folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    void *at = MAP_FAILED;

    if (fd >= 0 && fstat(fd, &about) == 0 && about.st_size == 0)
        errno = ENODATA;
    else if (fd >= 0)
        at = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) {
        vmx_log_error("%s: %s: %s: %s", x->path, key, path, strerror(errno));
    } else {
        *data = at;
        *size = (size_t)about.st_size;
    }
    if (fd >= 0)
        close(fd);
    free(path);
    return at == MAP_FAILED ? -1 : 0;
}

static void loader_says(const char *text)
{
    vmx_log_error("%s", text);
}

/* Puts kernel and initrd into the guest's memory; where vCPU 0 begins. */
static int kernel_load(struct vmx *x, struct vmk_vm_start *start)
{
    struct guest_files files = {NULL, NULL, 0, 0};
    struct vmk_vm_tables tables = {{0, 0}, 0};
    int failed =
        map_file(x, "orrery.kernel", x->machine.kernel, &files.kernel, &files.kernel_size);

    if (!failed && x->machine.initrd[0])
        failed =
            map_file(x, "orrery.initrd", x->machine.initrd, &files.initrd, &files.initrd_size);
    if (!failed && vmk_call(x->machine.fd, VMK_VM_TABLES, &tables, sizeof(tables)) < 0) {
        vmx_log_error("%s: no tables for the guest: %s", x->path, strerror(errno));
        failed = -1;
    }
    if (!failed)
        failed =
            guest_load(x->machine.fd, &x->machine, &files, tables.rsdp, start, loader_says);
    if (!failed)
        vmx_log("Loaded %s (%zu bytes)%s%s, entry %#llx", x->machine.kernel, files.kernel_size,
                x->machine.initrd[0] ? " and " : "", x->machine.initrd,
                (unsigned long long)start->rip);
    if (files.kernel)
        munmap((void *)(uintptr_t)files.kernel, files.kernel_size);
    if (files.initrd)
        munmap((void *)(uintptr_t)files.initrd, files.initrd_size);
    return failed;
}

/*
 * Loads the guest and lets vCPU 0 begin: at power-on, and after each reset. A BIOS is the
 * host's.
 */
static int load_and_start(struct vmx *x)
{
    struct vmk_vm_start start = {.mode = VMK_START_RESET};

    if (!x->brief.bios && kernel_load(x, &start) < 0)
        return -1;
    if (vmk_call(x->machine.fd, VMK_VM_START, &start, sizeof(start)) < 0) {
        vmx_log_error("%s: cannot be powered on: %s%s", x->path, strerror(errno),
                      errno == EMFILE || errno == ENFILE
                          ? ": sched.cpu.min cannot be reserved; see /var/log/vmkernel.log"
                          : "");
        return -1;
    }
    return 0;
}

/* serial0.fileType = "file": what the guest prints is kept beside it. */
static void console_open(struct vmx *x)
{
    struct vmk_console_open open_it = {.fd = -1};
    char *path;

    if (!x->brief.serial_file[0])
        return;
    path = x->brief.serial_file[0] == '/' ? text_of("%s", x->brief.serial_file)
                                          : text_of("%s/%s", x->folder, x->brief.serial_file);
    x->serial = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (x->serial < 0) {
        vmx_log_error("%s: serial0.fileName: %s: %s; the console is not kept", x->path, path,
                      strerror(errno));
    } else if (vmk_call(x->machine.fd, VMK_VM_CONSOLE, &open_it, sizeof(open_it)) < 0) {
        vmx_log_error("%s: serial0.fileName: no console: %s", x->path, strerror(errno));
    } else {
        x->console = open_it.fd;
        fcntl(x->console, F_SETFL, O_NONBLOCK);
    }
    free(path);
}

/* ---- while it runs ---- */

/* False: nothing was there. */
static bool console_copy(struct vmx *x)
{
    char bytes[4096];
    ssize_t n = read(x->console, bytes, sizeof(bytes));

    if (n <= 0)
        return false;
    if (write(x->serial, bytes, (size_t)n) != n) {
        vmx_log("serial0.fileName: %s; the rest of the console is not kept", strerror(errno));
        close(x->console);
        x->console = -1;
        return false;
    }
    return true;
}

static void call_answer(struct vmx *x, const struct vmk_vm_event *e)
{
    struct vmk_vm_answer answer = {.vcpu = e->vcpu, .sequence = e->sequence};

    memcpy(answer.regs, e->regs, sizeof(answer.regs));
    if (e->call == VMK_CALL_PORT)
        rtc_port(x->rtc, answer.regs);
    else
        vmx_rpc(answer.regs);
    // ENOENT: the VM was reset or ended meanwhile.
    if (vmk_call(x->machine.fd, VMK_VM_ANSWER, &answer, sizeof(answer)) < 0 && errno != ENOENT)
        vmx_log("VMK_VM_ANSWER: %s", strerror(errno));
}

static void power_off(struct vmx *x, int status)
{
    struct vmk_vm_power power = {.op = VMK_POWER_OFF, .status = status};

    if (vmk_call(x->machine.fd, VMK_VM_POWER, &power, sizeof(power)) < 0)
        vmx_log("VMK_VM_POWER: %s", strerror(errno));
}

/* One event; false: the VM has ended. */
static bool event_take(struct vmx *x, int *status)
{
    struct vmk_vm_event e = {.kind = VMK_EVENT_NONE};

    if (vmk_call(x->machine.fd, VMK_VM_EVENT, &e, sizeof(e)) < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return true;
        vmx_log("VMK_VM_EVENT: %s", strerror(errno));
        *status = EXIT_FAILED;
        return false;
    }
    switch (e.kind) {
    case VMK_EVENT_CALL: call_answer(x, &e); return true;
    case VMK_EVENT_RESET:
        vmx_log("Reset");
        vmx_rpc_reset();
        rtc_reset(x->rtc);
        if (load_and_start(x) < 0)
            power_off(x, 1);
        return true;
    case VMK_EVENT_ENDED:
        vmx_log("Powered off: %s, status %d", e.text, e.status);
        *status = e.status & 0xff;
        return false;
    default: return true;
    }
}

static int wait_for_end(struct vmx *x, const sigset_t *waiting)
{
    struct pollfd fds[2] = {{.fd = x->machine.fd, .events = POLLIN},
                            {.fd = x->console, .events = POLLIN}};
    bool told = false;
    struct timespec left;
    int status = EXIT_FAILED;

    for (;;) {
        fds[1].fd = x->console;
        if (ppoll(fds, 2, rtc_due(x->rtc, &left) ? &left : NULL, waiting) < 0 &&
            errno != EINTR) {
            vmx_log("ppoll: %s", strerror(errno));
            return EXIT_FAILED;
        }
        rtc_tick(x->rtc);
        if (told_to_end && !told) {
            told = true;
            vmx_log("Told to end: powering off");
            power_off(x, STATUS_TERMINATED);
        }
        if (x->console >= 0 && fds[1].revents && !console_copy(x) &&
            (fds[1].revents & POLLHUP)) {
            close(x->console);
            x->console = -1;
        }
        if (fds[0].revents && !event_take(x, &status))
            return status;
        fds[0].revents = fds[1].revents = 0;
    }
}

static void figures(const struct vmx *x)
{
    struct vmk_vm vm = {.world_id = 0};

    if (vmk_call(x->machine.fd, VMK_VM_GET, &vm, sizeof(vm)) == 0)
        vmx_log("Memory: %llu of %llu pages were used, %llu tables; %u resets; console %llu "
                "out, %llu in",
                (unsigned long long)vm.granted_pages, (unsigned long long)vm.memory_pages,
                (unsigned long long)vm.overhead_pages, vm.resets,
                (unsigned long long)vm.console_out_bytes,
                (unsigned long long)vm.console_in_bytes);
    for (uint32_t i = 0; i < x->machine.vcpus; i++) {
        struct vmk_vm_vcpu vcpu = {.vcpu = i};

        if (vmk_call(x->machine.fd, VMK_VM_VCPU, &vcpu, sizeof(vcpu)) < 0)
            continue;
        vmx_log("vCPU %u: %llu us in the guest", i, (unsigned long long)vcpu.guest_ns / 1000);
        if (i == 0 && vcpu.user_calls)
            vmx_log("Calls answered here: %llu, %llu ns each",
                    (unsigned long long)vcpu.user_calls,
                    (unsigned long long)(vcpu.user_call_ns / vcpu.user_calls));
        for (uint32_t k = 0; k < vcpu.exit_kinds && k < VMK_EXIT_KINDS; k++) {
            if (vcpu.exits[k])
                vmx_log("vCPU %u: exits %-15s %llu", i, vcpu.exit_names[k],
                        (unsigned long long)vcpu.exits[k]);
        }
    }
}

/* Tells who started it, and no longer holds their terminal. */
static void ready(struct vmx *x)
{
    int null;

    if (x->ready < 0)
        return;
    if (write(x->ready, "ok\n", 3) != 3)
        vmx_log("--ready-fd: %s", strerror(errno));
    close(x->ready);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
}

static int run(struct vmx *x, const char *log)
{
    char error[VMK_TEXT_SIZE];
    sigset_t blocked, waiting;
    char *text;
    size_t size;
    int status;

    if (!config_read(x->path, &x->brief, error, sizeof(error), &text, &size)) {
        complain("%s", error);
        return EXIT_FAILED;
    }
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGHUP);
    sigprocmask(SIG_BLOCK, &blocked, &waiting);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (machine_make(x, text, size) < 0 || become_owner(x) < 0)
        return EXIT_FAILED;
    free(text);
    vmx_log_open(log);
    vmx_log("Log for Orrery pid=%d uid=%u config=%s", (int)getpid(), (unsigned)getuid(),
            x->path);
    vmx_log("%s: %u vCPU, %u MB, UUID from the file or its name", x->machine.name,
            x->machine.vcpus, x->brief.memory_mb);
    fcntl(x->machine.fd, F_SETFL, O_NONBLOCK);
    console_open(x);
    x->rtc = rtc_new(x->machine.fd, x->machine.memory_low_bytes, x->machine.vcpus);
    if (load_and_start(x) < 0)
        return EXIT_FAILED;
    vmx_log("Powered on");
    ready(x);
    status = wait_for_end(x, &waiting);
    while (x->console >= 0 && console_copy(x))
        continue;
    figures(x);
    vmx_log("VMX ends with status %d", status);
    return status;
}

int vmx_main(int argc, char **argv)
{
    struct vmx x = {.console = -1, .serial = -1, .ready = -1};
    const char *log = NULL;
    uint64_t number;
    int at = 1;

    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--help") == 0)
            return usage(stdout, EXIT_DONE);
        if (at + 1 >= argc)
            return usage(stderr, EXIT_USAGE);
        if (strcmp(argv[at], "--log") == 0) {
            log = argv[++at];
        } else if (strcmp(argv[at], "--ready-fd") == 0) {
            if (!number_of(argv[++at], 1023, &number))
                fail(EXIT_USAGE, "--ready-fd %s: not a descriptor", argv[at]);
            x.ready = (int)number;
            fcntl(x.ready, F_SETFD, FD_CLOEXEC);
        } else {
            return usage(stderr, EXIT_USAGE);
        }
    }
    if (at + 1 != argc)
        return usage(stderr, EXIT_USAGE);
    x.path = absolute_path(argv[at]);
    x.folder = text_of("%s", x.path);
    x.folder = text_of("%s", dirname(x.folder));
    if (log && strcmp(log, "none") == 0)
        log = "";
    return run(&x, log ? log : text_of("%s/vmware.log", x.folder));
}
