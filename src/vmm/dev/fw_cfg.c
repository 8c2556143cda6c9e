// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/fw_cfg.c -- how a BIOS learns what it cannot probe: named files at two ports.
 *
 * A 16-bit write to port 510 selects an item, each byte read at 511 is the item's next; past
 * its end there are zeros. Item 19 is a directory of files by name. SeaBIOS asks for the
 * signature, the number of processors, the memory map, ACPI and SMBIOS tables, and the boot
 * order, and does without what it does not find; test kernels without a BIOS ask for processors
 * and memory. There is no DMA interface: the id says so.
 *
 * Invariants
 *   - Nothing the guest writes changes an item.
 * Locking    vm->lock for `selected` and `at`; files are fixed once the VM runs.
 * Sources    [FWCFG] "Selector Register", "Firmware Configuration Items", "File Directory"
 */
#include "vmm/dev/fw_cfg.h"

#include "lib/endian.h"
#include "lib/format.h"
#include "lib/string.h"
#include "vmm/vm.h"

#define PORT          0x510u
#define KEY_SIGNATURE 0x00u
#define KEY_ID        0x01u
#define KEY_RAM       0x03u
#define KEY_CPUS      0x05u
#define KEY_CPUS_MAX  0x0fu
#define KEY_DIRECTORY 0x19u
#define KEY_FILES     0x20u
#define ID_PORTS      1u  // the traditional interface, and no other
#define ENTRY_SIZE    64u

struct file {
    char name[FW_CFG_NAME_SIZE];
    uint8_t *data;
    size_t size;
};

struct fw_cfg {
    struct vm *vm;  // (i)
    struct file files[FW_CFG_FILES];
    unsigned file_count;
    uint16_t selected;
    uint32_t at;
    uint8_t directory[4 + FW_CFG_FILES * ENTRY_SIZE];
};

/* The bytes of an item; those of the small ones go into `room`. */
static size_t item(const struct fw_cfg *fw, const uint8_t **data, uint8_t room[8])
{
    *data = room;
    switch (fw->selected) {
    case KEY_SIGNATURE: memcpy(room, "QEMU", 4); return 4;
    case KEY_ID: put_le32(room, ID_PORTS); return 4;
    case KEY_RAM: put_le64(room, fw->vm->page_count * PAGE_SIZE); return 8;
    case KEY_CPUS:
    case KEY_CPUS_MAX: put_le16(room, (uint16_t)fw->vm->vcpu_count); return 2;
    case KEY_DIRECTORY: *data = fw->directory; return 4 + fw->file_count * ENTRY_SIZE;
    default: break;
    }
    if (fw->selected < KEY_FILES || fw->selected - KEY_FILES >= fw->file_count)
        return 0;
    *data = fw->files[fw->selected - KEY_FILES].data;
    return fw->files[fw->selected - KEY_FILES].size;
}

static uint64_t fw_cfg_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    struct fw_cfg *fw = device;
    const uint8_t *data;
    uint8_t room[8];
    size_t have;

    (void)v;
    if (offset != 1 || size != 1)
        return UINT64_MAX;
    have = item(fw, &data, room);
    return fw->at < have ? data[fw->at++] : 0;
}

static void fw_cfg_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                         uint64_t value)
{
    struct fw_cfg *fw = device;

    (void)v;
    if (offset || size != 2)
        return;
    fw->selected = (uint16_t)value;
    fw->at = 0;
}

static const struct vm_io_ops fw_cfg_ops = {.read = fw_cfg_read, .write = fw_cfg_write};

vmk_status fw_cfg_file_add(struct fw_cfg *fw, const char *name, const void *data, size_t size)
{
    struct file *f = &fw->files[fw->file_count];
    uint8_t *entry = fw->directory + 4 + fw->file_count * ENTRY_SIZE;

    if (fw->file_count == FW_CFG_FILES || strlen(name) >= FW_CFG_NAME_SIZE)
        return VMK_LIMIT;
    f->data = heap_alloc(MAX(size, (size_t)1), MEM_OWNER_VMM);
    if (!f->data)
        return VMK_NO_MEMORY;
    memcpy(f->data, data, size);
    f->size = size;
    vmk_snprintf(f->name, sizeof(f->name), "%s", name);
    put_be32(entry, (uint32_t)size);
    put_be16(entry + 4, (uint16_t)(KEY_FILES + fw->file_count));
    memcpy(entry + 8, f->name, FW_CFG_NAME_SIZE);
    fw->file_count++;
    put_be32(fw->directory, fw->file_count);
    return VMK_OK;
}

vmk_status fw_cfg_create(struct vm *vm, struct fw_cfg **out)
{
    struct fw_cfg *fw = heap_alloc(sizeof(*fw), MEM_OWNER_VMM);
    vmk_status status;

    if (!fw)
        return VMK_NO_MEMORY;
    fw->vm = vm;
    status = vm_port_register(vm, PORT, 2, &fw_cfg_ops, fw);
    if (status != VMK_OK) {
        heap_free(fw);
        return status;
    }
    *out = fw;
    return VMK_OK;
}

void fw_cfg_destroy(struct fw_cfg *fw)
{
    for (unsigned i = 0; i < fw->file_count; i++)
        heap_free(fw->files[i].data);
    heap_free(fw);
}
