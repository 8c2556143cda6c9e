// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/disk_source.c -- gives the VMM virtual disks by the names of their files.
 *
 * vmm/ names no file system and fs/ knows no VMs; both meet here. A name that is no absolute path is
 * beside the VM's .vmx file, as ESXi has it. A VM that came as a boot module has no folder: its disks
 * need absolute names.
 *
 * Invariants none.
 * Locking    none: vmdk_device_open() has its own.
 */
#include "boot/disk_source.h"

#include "core/log.h"
#include "fs/vmdk/vmdk_device.h"
#include "lib/format.h"
#include "lib/string.h"
#include "vmm/vm.h"
#include "vmm/vm_disks.h"

/* The path of a disk's file. False: too long, or nobody knows beside what. */
static bool path_make(const struct vm *vm, const char *name, char *out, size_t room)
{
    const char *file = vm->owner.config_file;
    const char *slash = NULL;
    int length;

    if (name[0] == '/') {
        length = vmk_snprintf(out, room, "%s", name);
    } else {
        for (const char *at = file ? file : ""; *at; at++) {
            if (*at == '/')
                slash = at;
        }
        if (!slash)
            return false;
        length = vmk_snprintf(out, room, "%.*s/%s", (int)(slash - file), file, name);
    }
    return length > 0 && (size_t)length < room;
}

static vmk_status source_open(struct vm *vm, const char *name, bool read_only,
                              struct block_device **out, char *why, size_t why_size)
{
    char path[VMDK_NAME_MAX];
    vmk_status status;

    if (!path_make(vm, name, path, sizeof(path))) {
        vmk_snprintf(why, why_size,
                     "must be an absolute path like /vmfs/volumes/datastore1/vm/vm.vmdk");
        return VMK_NOT_FOUND;
    }
    status = vmdk_device_open(path, read_only, out);
    if (status != VMK_OK)
        vmk_snprintf(why, why_size, "cannot open %s: %s", path, vmk_status_text(status));
    return status;
}

static void source_close(struct block_device *device)
{
    device->ops->destroy(device);
}

void disk_source_init(void)
{
    static const struct vm_disk_source source = {.open = source_open, .close = source_close};

    vm_disk_source_set(&source);
}
