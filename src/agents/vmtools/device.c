// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/device.c -- questions to the VMkernel through /dev/vmk, and finding VMs.
 *
 * Invariants
 *   - A list is asked for until it fitted, so nobody works with half of one.
 * Locking    none: one thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agents/vmtools/vmtools.h"

#define LIST_FIRST 64u

int device(void)
{
    static int fd = -1;

    if (fd >= 0)
        return fd;
    fd = open(VMK_DEVICE, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        fail(EXIT_FAILED, "%s: %s; this program only works on the host itself", VMK_DEVICE,
             strerror(errno));
    return fd;
}

int vmk_call(int fd, unsigned long request, void *data, size_t size)
{
    struct vmk_head *head = data;

    head->size = (uint32_t)size;
    head->version = VMK_ABI_VERSION;
    return ioctl(fd, request, data);
}

void vmk_host_get(struct vmk_host *out)
{
    memset(out, 0, sizeof(*out));
    if (vmk_call(device(), VMK_HOST_GET, out, sizeof(*out)) < 0)
        fail(EXIT_FAILED,
             "%s: it does not know this program's requests: %s; both must be of one version",
             VMK_DEVICE, strerror(errno));
    if (out->head.version != VMK_ABI_VERSION)
        fail(EXIT_FAILED, "%s: speaks version %u, this program version %u", VMK_DEVICE,
             out->head.version, VMK_ABI_VERSION);
}

void vmk_memory_get(struct vmk_host_memory *out)
{
    memset(out, 0, sizeof(*out));
    if (vmk_call(device(), VMK_MEMORY_GET, out, sizeof(*out)) < 0)
        fail(EXIT_FAILED, "%s: no word about memory: %s", VMK_DEVICE, strerror(errno));
}

void vmk_swap_get(struct vmk_swap *out)
{
    memset(out, 0, sizeof(*out));
    if (vmk_call(device(), VMK_SWAP_GET, out, sizeof(*out)) < 0)
        fail(EXIT_FAILED, "%s: no word about swap space: %s", VMK_DEVICE, strerror(errno));
}

void name_put(char *to, size_t room, const char *name)
{
    if (strlen(name) >= room)
        fail(EXIT_FAILED, "%s: longer than any name can be (%zu)", name, room - 1);
    strcpy(to, name);
}

void *vmk_list_get(enum vmk_list_kind kind, size_t entry_size, uint32_t *count)
{
    struct vmk_list list = {
        .kind = kind, .entry_size = (uint32_t)entry_size, .room = LIST_FIRST};
    void *entries;

    for (;;) {
        entries = allocate(list.room * entry_size);
        list.buffer = (uintptr_t)entries;
        if (vmk_call(device(), VMK_LIST, &list, sizeof(list)) < 0)
            fail(EXIT_FAILED, "%s: list %d: %s", VMK_DEVICE, (int)kind, strerror(errno));
        if (list.count <= list.room)
            break;
        free(entries);
        list.room = list.count + LIST_FIRST;
    }
    *count = list.count;
    return entries;
}

static bool is_called(const struct vmk_vm *vm, const char *what)
{
    uint64_t id;

    if (strcmp(vm->name, what) == 0 ||
        (vm->config_file[0] && strcmp(vm->config_file, what) == 0))
        return true;
    return number_of(what, UINT32_MAX, &id) && id != 0 &&
           (id == vm->world_id || id == vm->cartel_id);
}

struct vmk_vm *vm_find(const char *what)
{
    uint32_t count;
    struct vmk_vm *vms = vmk_list_get(VMK_LIST_VMS, sizeof(*vms), &count);
    struct vmk_vm *found = NULL;

    for (uint32_t i = 0; i < count && !found; i++) {
        if (is_called(&vms[i], what)) {
            found = allocate(sizeof(*found));
            *found = vms[i];
        }
    }
    free(vms);
    return found;
}

struct vmk_vm *vm_must_find(const char *what)
{
    struct vmk_vm *vm = vm_find(what);

    if (!vm)
        fail(EXIT_NO,
             "%s: no VM of that name, world id or file is running; `vm list` shows them", what);
    return vm;
}

const char *uuid_text(const uint8_t uuid[16])
{
    static char text[3 * 16 + 1];

    for (int i = 0; i < 16; i++)
        snprintf(text + 3 * i, 4, "%02x%s", uuid[i], i == 7 ? "-" : i == 15 ? "" : " ");
    return text;
}

const char *user_name(uint32_t uid)
{
    static char text[64];
    char line[256];
    FILE *f = fopen("/etc/passwd", "re");

    // Not getpwuid(): a static program would need the shared libraries that it loads.
    snprintf(text, sizeof(text), "%u", uid);
    while (f && fgets(line, sizeof(line), f)) {
        char *password = strchr(line, ':');
        char *number = password ? strchr(password + 1, ':') : NULL;

        if (number && strtoul(number + 1, NULL, 10) == uid) {
            *password = 0;
            snprintf(text, sizeof(text), "%.*s", (int)sizeof(text) - 1, line);
            break;
        }
    }
    if (f)
        fclose(f);
    return text;
}
