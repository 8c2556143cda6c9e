// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_vmk_device.c -- random requests to /dev/vmk and to VMs it made: nothing may crash,
 * hang, or stay behind.
 *
 * An input is a list of requests: on the device or on one of the VMs, a number that exists or
 * not, and bytes for the structure, of which the head is mostly right. VMs come from .vmx texts
 * of the input too. A VM is never started, so that no guest runs here; that is fuzz_engine's
 * matter.
 *
 * Invariants
 *   - When the process is gone, memory of VMs and of user worlds is what it was before.
 * Locking    none: one input at a time.
 */
#include <string.h>

#include "tests/unit/user_fixture.h"
#include "user/abi/vmk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DATA         0x10000000ull
#define OUT          0x20000000ull
#define SIZE         0x10000ull
#define REQUESTS_MAX 16u
#define VMS          3u
#define SYS_OPEN     2u
#define SYS_CLOSE    3u
#define SYS_IOCTL    16u
#define SYS_PREAD    17u
#define SYS_PWRITE   18u
#define SYS_FCNTL    72u

static const uint8_t *input;
static size_t left;

static uint64_t take(size_t bytes)
{
    uint64_t value = 0;

    for (; bytes; bytes--) {
        value = value << 8 | (left ? *input++ : 0u);
        left -= left != 0;
    }
    return value;
}

static int64_t call(struct thread *t, uint64_t number, uint64_t a, uint64_t b, uint64_t c,
                    uint64_t d)
{
    const uint64_t arguments[6] = {a, b, c, d, 0, 0};

    return user_fixture_call(t, number, arguments);
}

static int32_t vm_make(struct thread *t, int64_t device)
{
    static const char fixed[] = "memSize = \"4\"\norrery.kernel = \"k\"\n";
    struct vmk_vm_create c = {.head = {sizeof(c), VMK_ABI_VERSION},
                              .text = OUT,
                              .owner_uid = VMK_CALLER,
                              .owner_gid = VMK_CALLER,
                              .config_file = "/f.vmx"};
    char text[256];
    size_t length = (size_t)take(1) % 64;

    memcpy(text, fixed, sizeof(fixed));
    for (size_t i = 0; i < length; i++)
        text[sizeof(fixed) - 1 + i] = (char)take(1);
    c.text_size = (uint32_t)(sizeof(fixed) - 1 + length);
    (void)!aspace_copy_out(t->as, OUT, text, sizeof(text));
    (void)!aspace_copy_out(t->as, DATA, &c, sizeof(c));
    if (call(t, SYS_IOCTL, (uint64_t)device, VMK_VM_CREATE, DATA, 0) != 0 ||
        aspace_copy_in(t->as, &c, DATA, sizeof(c)) != VMK_OK)
        return -1;
    if (c.fd >= 0)
        (void)call(t, SYS_FCNTL, (uint64_t)c.fd, 4, VFS_O_NONBLOCK, 0);
    return c.fd;
}

static uint32_t number_take(void)
{
    static const uint32_t numbers[] = {
        VMK_HOST_GET,   VMK_LIST,         VMK_SCHED_SET,    VMK_VM_KILL,       VMK_CONSOLE_OPEN,
        VMK_MEMORY_GET, VMK_MEMORY_SET,   VMK_DISK_SET,     VMK_DATASTORE_SET, VMK_SWAP_GET,
        VMK_SWAP_SET,   VMK_COREDUMP_GET, VMK_COREDUMP_SET, VMK_VM_CREATE,     VMK_VM_GET,
        VMK_VM_TABLES,  VMK_VM_POWER,     VMK_VM_EVENT,     VMK_VM_ANSWER,     VMK_VM_VCPU,
        VMK_VM_CONSOLE, VMK_FILE_INFO};
    uint64_t choice = take(1);

    return choice < 240 ? numbers[choice % ARRAY_COUNT(numbers)] : (uint32_t)take(4);
}

static void request(struct thread *t, int64_t fd)
{
    uint32_t number = number_take();
    uint32_t size = (number >> 16) & 0x3fff;
    uint8_t bytes[4096] = {0};
    const struct vmk_head head = {size, VMK_ABI_VERSION};
    unsigned edits = (unsigned)take(1) % 12;

    if (number == VMK_VM_START || ((number & 0xffff) == (VMK_VM_START & 0xffff)))
        return;
    if (size > sizeof(bytes))
        size = sizeof(bytes);
    for (unsigned i = 0; i < edits && size; i++) {
        static const uint64_t values[] = {
            0, 1, 2, 8, 64, 112, OUT, OUT + SIZE - 8, UINT32_MAX, UINT64_MAX};
        size_t at = (size_t)take(1) * 4 % size;
        uint64_t value = values[take(1) % ARRAY_COUNT(values)];

        memcpy(bytes + at, &value, size - at < 8 ? size - at : 8);
    }
    if (take(1) < 250 && size >= sizeof(head))
        memcpy(bytes, &head, sizeof(head));
    (void)!aspace_copy_out(t->as, DATA, bytes, size);
    (void)call(t, SYS_IOCTL, (uint64_t)fd, number, take(1) < 250 ? DATA : OUT + SIZE - take(1),
               0);
}

static void calls(void *thread)
{
    static const char path[] = VMK_DEVICE;
    struct thread *t = thread;
    int64_t files[1 + VMS] = {-1, -1, -1, -1};

    user_fixture_begin(t);
    user_fixture_map(t, DATA, SIZE, ASPACE_READ | ASPACE_WRITE);
    user_fixture_map(t, OUT, SIZE, ASPACE_READ | ASPACE_WRITE);
    (void)!aspace_copy_out(t->as, DATA, path, sizeof(path));
    files[0] = call(t, SYS_OPEN, DATA, VFS_O_RDWR, 0, 0);
    if (take(1) & 1)
        t->process->euid = t->process->cred.uid = 1000;
    for (unsigned i = 0; i < REQUESTS_MAX && left; i++) {
        unsigned file = (unsigned)take(1);
        unsigned slot = 1 + file / 8 % VMS;

        switch (file % 8) {
        case 0: files[slot] = files[slot] < 0 ? vm_make(t, files[0]) : files[slot]; break;
        case 1:
            if (files[slot] >= 0)
                (void)call(t, SYS_CLOSE, (uint64_t)files[slot], 0, 0, 0);
            files[slot] = -1;
            break;
        case 2:
            (void)call(t, take(1) & 1 ? SYS_PREAD : SYS_PWRITE, (uint64_t)files[slot], OUT,
                       take(2), take(1) & 1 ? take(3) : take(8));
            break;
        case 3:
        case 4: request(t, files[0]); break;
        default: request(t, files[slot]); break;
        }
    }
    user_fixture_exit(t);
}

static void one(void *unused)
{
    (void)unused;
    user_fixture_run(calls);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data;
    left = size;
    user_fixture_fuzz(one);
    return 0;
}
