// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_disks.c -- the disks of a VM: opened by name when it is made, closed when it is gone.
 *
 * The name decides where a disk comes from:
 *   ramdisk:64M        empty, in memory, gone with the VM (K, M, G)
 *   ramdisk:NAME       the boot module NAME; changes stay in memory
 *   host:DEVICE        a disk or partition of the host (io/storage.h)
 *   anything else      what the disk source set by an upper layer makes of it: a VMDK's path
 * A disk in independent-nonpersistent mode stands under one in memory, which takes the changes.
 *
 * Devices come and go with each reset; the disks here stay from vm_create() to vm_destroy(), so
 * that a reset loses nothing that was written.
 *
 * Invariants
 *   - open[i] belongs to config.disks[i].
 * Locking    none: before the VM runs, after it ran, or in the world that resets it.
 */
#include "vmm/vm_disks.h"

#include "core/log.h"
#include "io/ioshares.h"
#include "io/storage.h"
#include "lib/crc32.h"
#include "lib/format.h"
#include "lib/string.h"
#include "vmm/dev/pvscsi.h"
#include "vmm/dev/virtio_blk.h"
#include "vmm/ram_disk.h"
#include "vmm/vm.h"
#include "vmm/vm_work.h"
#include "vmm/vmm_state.h"

#define WHY_SIZE 128u
#define SECTOR   512u

void vm_disk_source_set(const struct vm_disk_source *source)
{
    this_host()->vmm->disk_source = source;
}

/* What follows a prefix, or null. */
static const char *after(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);

    return strlen(name) >= length && memcmp(name, prefix, length) == 0 ? name + length : NULL;
}

/* "64M": false if it is no such thing. */
static bool size_read(const char *text, uint64_t *out)
{
    static const char units[] = "KMG";
    const char *end;
    uint64_t value;

    if (!parse_u64(text, &end, &value))
        return false;
    for (unsigned i = 0; i < 3; i++) {
        if (end[0] == units[i] && !end[1] && value <= UINT64_MAX >> (10 * (i + 1))) {
            *out = value << (10 * (i + 1));
            return true;
        }
    }
    return false;
}

static vmk_status ram_open(const char *name, struct vm_disk_open *d, char *why)
{
    const void *base = NULL;
    uint64_t size;
    size_t base_size = 0;
    vmk_status status;

    if (!size_read(name, &size)) {
        status = boot_file_find(name, &base, &base_size);
        if (status != VMK_OK) {
            vmk_snprintf(why, WHY_SIZE, "no boot module of that name, and no size like 64M");
            return status;
        }
        size = (base_size + SECTOR - 1) & ~(uint64_t)(SECTOR - 1);
    }
    status = ram_disk_create(name, size, base, base_size, NULL, &d->block);
    if (status != VMK_OK)
        vmk_snprintf(why, WHY_SIZE, "cannot make a disk of %llu bytes in memory: %s",
                     (unsigned long long)size, vmk_status_text(status));
    else
        d->close = ram_disk_destroy;
    return status;
}

static uint32_t shares_of(const struct vm_disk_config *c)
{
    return c->io_shares ? c->io_shares : IOSHARES_NORMAL;
}

/* Whole disks and partitions of the host; their shares are the VM's on that disk. */
static vmk_status host_open(const struct vm *vm, const char *name,
                            const struct vm_disk_config *c, struct vm_disk_open *d, char *why)
{
    vmk_status status = storage_open(name, &d->block);

    if (status != VMK_OK) {
        vmk_snprintf(why, WHY_SIZE, "this host has no such device: %s",
                     vmk_status_text(status));
        return status;
    }
    d->close = storage_close;
    status = storage_shares_set(name, vm->index + 1, shares_of(c));
    if (status != VMK_OK)
        vmk_log(VMK_LOG_WARN, "VM: %s: %s: no shares of its own: %s", vm->config.name, name,
                vmk_status_text(status));
    return VMK_OK;
}

static vmk_status source_open(struct vm *vm, const struct vm_disk_config *c,
                              struct vm_disk_open *d, char *why)
{
    const struct vm_disk_source *source = this_host()->vmm->disk_source;
    vmk_status status;

    if (!source) {
        vmk_snprintf(
            why, WHY_SIZE,
            "no datastore is there to look for it; use ramdisk:SIZE, ramdisk:MODULE or "
            "host:DEVICE");
        return VMK_NOT_FOUND;
    }
    status = source->open(vm, c->file, c->mode == VM_DISK_NONPERSISTENT, shares_of(c),
                          &d->block, why, WHY_SIZE);
    if (status == VMK_OK)
        d->close = source->close;
    return status;
}

/* Puts a disk in memory over one whose changes are not to stay. */
static vmk_status overlay(struct vm_disk_open *d, char *why)
{
    vmk_status status;

    d->lower = d->block;
    d->block = NULL;
    status = ram_disk_create(d->lower->name, d->lower->size & ~(uint64_t)(SECTOR - 1), NULL, 0,
                             d->lower, &d->block);
    if (status != VMK_OK)
        vmk_snprintf(why, WHY_SIZE, "no memory for its changes: %s", vmk_status_text(status));
    return status;
}

static vmk_status disk_open(struct vm *vm, const struct vm_disk_config *c,
                            struct vm_disk_open *d)
{
    char why[WHY_SIZE] = "";
    const char *name;
    vmk_status status;

    if ((name = after(c->file, "ramdisk:")) != NULL)
        status = ram_open(name, d, why);
    else if ((name = after(c->file, "host:")) != NULL)
        status = host_open(vm, name, c, d, why);
    else
        status = source_open(vm, c, d, why);
    if (status == VMK_OK && c->mode == VM_DISK_NONPERSISTENT)
        status = overlay(d, why);
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "VM: %s: %s%u:%u.fileName: \"%s\": %s", vm->config.name,
                c->bus == VM_DISK_SCSI ? "scsi" : "orrery.virtio", c->number, c->unit, c->file,
                why[0] ? why : vmk_status_text(status));
        return status;
    }
    d->id = (uint64_t)crc32_add(0, vm->config.uuid, sizeof(vm->config.uuid)) << 32 |
            (uint32_t)c->bus << 16 | (uint32_t)c->number << 8 | c->unit;
    vmk_log(VMK_LOG_INFO, "VM: %s: %s%u:%u: %s, %llu KB%s", vm->config.name,
            c->bus == VM_DISK_SCSI ? "scsi" : "virtio", c->number, c->unit, c->file,
            (unsigned long long)d->block->size / 1024,
            c->mode == VM_DISK_NONPERSISTENT ? ", nonpersistent" : "");
    return VMK_OK;
}

unsigned vm_disk_slot(const struct vm_config *config, unsigned index)
{
    const struct vm_disk_config *c = &config->disks[index];

    return c->bus == VM_DISK_SCSI ? PVSCSI_SLOT(c->number) : VIRTIO_BLK_SLOT(index);
}

static bool has_adapters(const struct vm_config *c)
{
    for (unsigned i = 0; i < VM_BUSES_MAX; i++) {
        if (c->buses[VM_DISK_SCSI][i])
            return true;
    }
    return c->disk_count != 0;
}

vmk_status vm_disks_open(struct vm *vm)
{
    vmk_status status;

    if (!has_adapters(&vm->config))
        return VMK_OK;
    vm->disks = heap_alloc(sizeof(*vm->disks), MEM_OWNER_VMM);
    if (!vm->disks)
        return VMK_NO_MEMORY;
    status = vm_work_create(vm);
    for (unsigned i = 0; status == VMK_OK && i < vm->config.disk_count; i++)
        status = disk_open(vm, &vm->config.disks[i], &vm->disks->open[i]);
    return status;
}

void vm_disks_close(struct vm *vm)
{
    if (!vm->disks)
        return;
    for (unsigned i = 0; i < VM_DISKS_MAX; i++) {
        struct vm_disk_open *d = &vm->disks->open[i];
        const char *host = after(vm->config.disks[i].file, "host:");

        if (d->lower && d->block)
            ram_disk_destroy(d->block);
        if (d->lower)
            d->block = d->lower;
        if (d->block && host)
            (void)!storage_shares_set(host, vm->index + 1, 0);
        if (d->block && d->close)
            d->close(d->block);
    }
    heap_free(vm->disks);
    vm->disks = NULL;
}

vmk_status vm_disks_attach(struct vm *vm)
{
    vmk_status status = VMK_OK;

    if (!vm->disks)
        return VMK_OK;
    for (unsigned i = 0; i < VM_BUSES_MAX && status == VMK_OK; i++) {
        if (vm->config.buses[VM_DISK_SCSI][i])
            status = pvscsi_create(vm, i, &vm->disks->pvscsi[i]);
    }
    for (unsigned i = 0; i < vm->config.disk_count && status == VMK_OK; i++) {
        if (vm->config.disks[i].bus == VM_DISK_VIRTIO)
            status = virtio_blk_create(vm, i, &vm->disks->virtio[i]);
    }
    if (status != VMK_OK)
        vm_disks_detach(vm);
    return status;
}

void vm_disks_detach(struct vm *vm)
{
    if (!vm->disks)
        return;
    for (unsigned i = 0; i < VM_DISKS_MAX; i++) {
        if (vm->disks->virtio[i])
            virtio_blk_destroy(vm->disks->virtio[i]);
        vm->disks->virtio[i] = NULL;
    }
    for (unsigned i = 0; i < VM_BUSES_MAX; i++) {
        if (vm->disks->pvscsi[i])
            pvscsi_destroy(vm->disks->pvscsi[i]);
        vm->disks->pvscsi[i] = NULL;
    }
}
