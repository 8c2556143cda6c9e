// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/bios.c -- a VM that starts by a BIOS: the ROM, what the BIOS asks for, vCPU 0 at reset.
 *
 * The BIOS is SeaBIOS as Debian builds it for QEMU. It is copied into the RAM below 1 MB, where
 * a PC shadows it (the host bridge says that this has been done), and the processor starts
 * there: the same instructions as at the top of 4 GB, which is a device here and not
 * executable. That copy at the top can be read, for a BIOS that restores itself before it
 * restarts.
 *
 * Tables: ACPI's are written to the end of low memory, which the memory map given to the BIOS
 * keeps from it; only the RSDP goes through the table loader, because it has to lie below 1 MB.
 * SMBIOS tables the BIOS copies where it likes.
 *
 * Ports: 402 takes the BIOS's messages, which go to the VM's log line by line; 92 has the A20
 * gate, always open, and the fast reset.
 *
 * Invariants
 *   - `line` ends before its last byte: debug_write().
 * Locking    vm->lock for the message line; otherwise before the VM runs.
 * Start at   bios_create(), bios_load().
 * Sources    [SEABIOS]; [FWCFG]; SDM-3A "First Instruction Executed"
 */
#include "vmm/dev/bios.h"

#include "core/log.h"
#include "lib/endian.h"
#include "lib/format.h"
#include "lib/string.h"
#include "vmm/dev/acpi_tables.h"
#include "vmm/dev/fw_cfg.h"
#include "vmm/dev/piix.h"
#include "vmm/dev/smbios.h"
#include "vmm/vm.h"
#include "vmm/vm_disks.h"

#define ROM_SIZE_MIN    0x20000u
#define ROM_SIZE_MAX    0x100000u
#define SHADOW_END      0x100000u
#define SHADOW_MAX      0x40000u
#define RESET_SELECTOR  0xf000u
#define RESET_BASE      0xf0000u
#define RESET_RIP       0xfff0u
#define RIGHTS_CODE_16  0x009bu

#define PORT_DEBUG      0x402u
#define DEBUG_PRESENT   0xe9u
#define PORT_A20        0x92u
#define A20_OPEN        0x02u
#define A20_RESET       0x01u

#define TABLES_ROOM     0x10000u  // at the end of low memory
#define RSDP_SIZE       36u
#define SMBIOS_ANCHOR   31u
#define E820_ENTRY      20u
#define E820_RAM        1u
#define E820_RESERVED   2u
#define LOADER_ENTRY    128u
#define LOADER_ALLOCATE 1u
#define ZONE_FSEG       2u
#define LINE_SIZE       128u
#define LINES_MAX       200u  // of the BIOS in the log, so that a guest cannot fill it

struct bios {
    struct vm *vm;
    const uint8_t *rom;  // a boot module
    size_t rom_size;
    struct fw_cfg *fw;
    struct piix *piix;
    char line[LINE_SIZE];
    unsigned line_length, lines;
};

/* ---- ROM and ports ---- */

static uint64_t rom_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    const struct bios *b = device;
    uint64_t value = 0;

    (void)v;
    for (unsigned i = 0; i < size && offset + i < b->rom_size; i++)
        value |= (uint64_t)b->rom[offset + i] << (8 * i);
    return value;
}

static void rom_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                      uint64_t value)
{
    (void)device;
    (void)v;
    (void)offset;
    (void)size;
    (void)value;
}

static const struct vm_io_ops rom_ops = {.read = rom_read, .write = rom_write};

static uint64_t debug_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    (void)device;
    (void)v;
    (void)offset;
    (void)size;
    return DEBUG_PRESENT;
}

static void debug_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                        uint64_t value)
{
    struct bios *b = device;
    char c = (char)value;

    (void)v;
    (void)offset;
    (void)size;
    if (c != '\n' && b->line_length < LINE_SIZE - 1) {
        b->line[b->line_length++] = c >= ' ' && c <= '~' ? c : '?';
        return;
    }
    b->line[b->line_length] = '\0';
    b->line_length = 0;
    // Names it looks for are many and say little.
    if (memcmp(b->line, "Searching ", 10) != 0 && b->lines++ < LINES_MAX)
        vmk_log(VMK_LOG_INFO, "VM: %s: BIOS: %s", b->vm->config.name, b->line);
}

static const struct vm_io_ops debug_ops = {.read = debug_read, .write = debug_write};

static uint64_t a20_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    (void)device;
    (void)v;
    (void)offset;
    (void)size;
    return A20_OPEN;
}

static void a20_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                      uint64_t value)
{
    struct bios *b = device;

    (void)v;
    (void)offset;
    (void)size;
    if (value & A20_RESET)
        vm_request_reset(b->vm, "port 92");
}

static const struct vm_io_ops a20_ops = {.read = a20_read, .write = a20_write};

/* ---- files ---- */

static uint64_t tables_base(const struct vm *vm)
{
    return vm->low_page_count * PAGE_SIZE - TABLES_ROOM;
}

static uint8_t *e820_put(uint8_t *at, uint64_t base, uint64_t size, uint32_t kind)
{
    put_le64(at, base);
    put_le64(at + 8, size);
    put_le32(at + 16, kind);
    return at + E820_ENTRY;
}

static vmk_status e820_add(struct bios *b)
{
    const struct vm *vm = b->vm;
    uint64_t high = (vm->page_count - vm->low_page_count) * PAGE_SIZE;
    uint8_t map[3 * E820_ENTRY], *end;

    end = e820_put(map, 0, tables_base(vm), E820_RAM);
    end = e820_put(end, tables_base(vm), TABLES_ROOM, E820_RESERVED);
    if (high)
        end = e820_put(end, BIT(32), high, E820_RAM);
    return fw_cfg_file_add(b->fw, "etc/e820", map, (size_t)(end - map));
}

/* The order of the disks in the configuration, as Open Firmware paths. */
static vmk_status boot_order_add(struct bios *b)
{
    char text[VM_DISKS_MAX * 64];
    size_t at = 0;

    for (unsigned i = 0; i < b->vm->config.disk_count; i++) {
        const struct vm_disk_config *c = &b->vm->config.disks[i];
        unsigned slot = vm_disk_slot(&b->vm->config, i);

        if (c->bus == VM_DISK_SCSI)
            at +=
                (size_t)vmk_snprintf(text + at, sizeof(text) - at,
                                     "/pci@i0cf8/scsi@%x/channel@0/disk@%x,0\n", slot, c->unit);
        else
            at += (size_t)vmk_snprintf(text + at, sizeof(text) - at,
                                       "/pci@i0cf8/scsi@%x/disk@0,0\n", slot);
    }
    return fw_cfg_file_add(b->fw, "bootorder", text, at + 1);  // with the final NUL
}

/* ACPI: tables into memory, the RSDP and the order to put it below 1 MB as files. */
static vmk_status acpi_add(struct bios *b, uint8_t *buffer)
{
    struct vm *vm = b->vm;
    uint64_t base = tables_base(vm);
    uint8_t loader[LOADER_ENTRY] = {0};
    size_t size = acpi_tables_build(vm->vcpu_count, base, buffer, TABLES_ROOM);
    vmk_status status;

    if (!size)
        return VMK_LIMIT;
    status = vm_memory_write(vm, gpa_make(base), buffer, size);
    if (status == VMK_OK)
        status = fw_cfg_file_add(b->fw, "etc/acpi/rsdp", buffer, RSDP_SIZE);
    put_le32(loader, LOADER_ALLOCATE);
    vmk_snprintf((char *)loader + 4, FW_CFG_NAME_SIZE, "etc/acpi/rsdp");
    put_le32(loader + 4 + FW_CFG_NAME_SIZE, 16);
    loader[8 + FW_CFG_NAME_SIZE] = ZONE_FSEG;
    if (status == VMK_OK)
        status = fw_cfg_file_add(b->fw, "etc/table-loader", loader, sizeof(loader));
    return status;
}

static vmk_status smbios_add(struct bios *b, uint8_t *buffer)
{
    struct vm *vm = b->vm;
    uint64_t low = vm->low_page_count * PAGE_SIZE;
    uint64_t high = (vm->page_count - vm->low_page_count) * PAGE_SIZE;
    size_t size = smbios_build(&vm->config, low, high, SMBIOS_BASE, buffer, SMBIOS_SIZE);
    vmk_status status;

    if (!size)
        return VMK_LIMIT;
    status = fw_cfg_file_add(b->fw, "etc/smbios/smbios-anchor", buffer, SMBIOS_ANCHOR);
    if (status == VMK_OK)
        status = fw_cfg_file_add(b->fw, "etc/smbios/smbios-tables", buffer + SMBIOS_ENTRY_SIZE,
                                 size - SMBIOS_ENTRY_SIZE);
    return status;
}

static vmk_status files_add(struct bios *b)
{
    uint8_t *buffer = heap_alloc(TABLES_ROOM, MEM_OWNER_VMM);
    vmk_status status;

    if (!buffer)
        return VMK_NO_MEMORY;
    status = e820_add(b);
    if (status == VMK_OK)
        status = boot_order_add(b);
    if (status == VMK_OK)
        status = acpi_add(b, buffer);
    if (status == VMK_OK)
        status = smbios_add(b, buffer);
    heap_free(buffer);
    return status;
}

/* ---- making ---- */

static vmk_status rom_find(struct bios *b)
{
    const struct vm_config *c = &b->vm->config;
    const void *data;
    vmk_status status = boot_file_find(c->bios, &data, &b->rom_size);

    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "VM: %s: orrery.bios: no file \"%s\" among the boot modules",
                c->name, c->bios);
        return status;
    }
    b->rom = data;
    if (b->rom_size < ROM_SIZE_MIN || b->rom_size > ROM_SIZE_MAX || b->rom_size % PAGE_SIZE) {
        vmk_log(VMK_LOG_ERROR, "VM: %s: orrery.bios: %s: %llu bytes; must be 128 KB to 1 MB",
                c->name, c->bios, (unsigned long long)b->rom_size);
        return VMK_BAD_FORMAT;
    }
    if (c->memory_mb < 16) {
        vmk_log(VMK_LOG_ERROR, "VM: %s: memSize: a VM with a BIOS needs 16 MB", c->name);
        return VMK_LIMIT;
    }
    return VMK_OK;
}

static vmk_status ranges_register(struct bios *b)
{
    struct vm *vm = b->vm;
    vmk_status status =
        vm_mmio_register(vm, gpa_make(BIT(32) - b->rom_size), b->rom_size, &rom_ops, b);

    if (status == VMK_OK)
        status = vm_port_register(vm, PORT_DEBUG, 1, &debug_ops, b);
    if (status == VMK_OK)
        status = vm_port_register(vm, PORT_A20, 1, &a20_ops, b);
    return status;
}

vmk_status bios_create(struct vm *vm)
{
    struct bios *b;
    vmk_status status;

    if (vm->config.firmware != VM_FIRMWARE_BIOS)
        return VMK_OK;
    b = heap_alloc(sizeof(*b), MEM_OWNER_VMM);
    if (!b)
        return VMK_NO_MEMORY;
    b->vm = vm;
    vm->bios = b;
    status = rom_find(b);
    if (status == VMK_OK)
        status = ranges_register(b);
    if (status == VMK_OK)
        status = fw_cfg_create(vm, &b->fw);
    if (status == VMK_OK)
        status = piix_create(vm, &b->piix);
    if (status == VMK_OK)
        status = files_add(b);
    if (status != VMK_OK)
        bios_destroy(vm);
    return status;
}

void bios_destroy(struct vm *vm)
{
    struct bios *b = vm->bios;

    if (!b)
        return;
    if (b->piix)
        piix_destroy(b->piix);
    if (b->fw)
        fw_cfg_destroy(b->fw);
    heap_free(b);
    vm->bios = NULL;
}

vmk_status bios_load(struct vm *vm)
{
    static const struct vt_segment code = {RESET_SELECTOR, 0xffff, RIGHTS_CODE_16, RESET_BASE};
    const struct bios *b = vm->bios;
    size_t size = MIN(b->rom_size, (size_t)SHADOW_MAX);
    vmk_status status =
        vm_memory_write(vm, gpa_make(SHADOW_END - size), b->rom + b->rom_size - size, size);

    if (status != VMK_OK)
        return status;
    vcpu_reset(vm->vcpus[0]);
    vt()->set_segment(vm->vcpus[0], VT_CS, &code);
    vt()->set(vm->vcpus[0], VT_RIP, RESET_RIP);
    vm->vcpus[0]->state = VCPU_RUNNING;
    vmk_log(VMK_LOG_INFO, "Loader: %s: %s: %llu KB of BIOS", vm->config.name, vm->config.bios,
            (unsigned long long)b->rom_size / 1024);
    return VMK_OK;
}
