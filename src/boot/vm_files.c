// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot/vm_files.c -- the disks of VMs that are files: VMDKs on datastores.
 *
 * vmm/ takes block devices and names no file system; fs/ knows no VMs. Here the two meet: a
 * fileName without '/' in front is looked for beside the .vmx file, as ESXi does.
 *
 * Invariants
 *   - What open() hands out, close() ends: flushed, its world gone.
 * Locking    none.
 */
#include "boot/vm_files.h"

#include "fs/vmdk/vmdk_device.h"
#include "lib/format.h"
#include "lib/string.h"
#include "vmm/vm.h"
#include "vmm/vm_disks.h"

/* Everything of `path` up to its last '/'. */
static size_t folder_of(const char *path)
{
    size_t length = 0;

    for (size_t i = 0; path && path[i]; i++) {
        if (path[i] == '/')
            length = i + 1;
    }
    return length;
}

static vmk_status open_file(struct vm *vm, const char *name, bool read_only, uint32_t shares,
                            struct block_device **out, char *why, size_t why_size)
{
    const char *beside = *name == '/' ? "" : vm->owner.config_file ? vm->owner.config_file : "";
    char path[VMDK_NAME_MAX];
    vmk_status status = VMK_NAME_TOO_LONG;

    if (*name != '/' && !*beside) {
        (void)vmk_snprintf(why, why_size,
                           "must be an absolute path like "
                           "/vmfs/volumes/datastore1/vm/vm.vmdk");
        return VMK_NOT_FOUND;
    }
    if ((size_t)vmk_snprintf(path, sizeof(path), "%.*s%s", (int)folder_of(beside), beside,
                             name) < sizeof(path))
        status = vmdk_device_open(path, read_only, shares, out);
    if (status != VMK_OK)
        (void)vmk_snprintf(why, why_size, "%s as a virtual disk: %s (VMDK: lines say more)",
                           path, vmk_status_text(status));
    return status;
}

static void close_file(struct block_device *device)
{
    device->ops->destroy(device);
}

void vm_files_init(void)
{
    static const struct vm_disk_source source = {.open = open_file, .close = close_file};

    vm_disk_source_set(&source);
}
