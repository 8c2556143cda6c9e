// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/loader_legacy.c -- what a PC's firmware leaves in the first megabyte, for kernels without one.
 *
 * A kernel that is started directly finds no BIOS. Some look for its traces all the same: Xen
 * puts its trampoline below the EBDA that the BIOS data area names, with or without calling the
 * BIOS. So the data area and the EBDA say what the memory map says, and each interrupt vector
 * of real mode leads to code that returns: hardware interrupts and unknown services just so,
 * disk and system services with carry set, which means "no such function", and INT 12h with the
 * size of low memory.
 *
 * Invariants
 *   - Written before the kernel, which may put itself over any of it.
 * Locking    vm->lock not held; the VM is not running.
 * Sources    [SEABIOS] src/std/bda.h and src/misc.c for the layout of the data area
 */
#include "lib/endian.h"
#include "lib/string.h"
#include "vmm/loader.h"

#define BDA            0x400u
#define BDA_SIZE       0x100u
#define BDA_COM1       0x00u
#define BDA_EBDA       0x0eu
#define BDA_EQUIPMENT  0x10u
#define BDA_MEMORY_KB  0x13u
#define EQUIPMENT_COM1 (1u << 9)
#define VECTORS        256u
#define STUB_SEGMENT   0xf000u
#define STUB_OFFSET    0xff53u  // where the first PC's BIOS had its IRET

/* Code at STUB_SEGMENT:STUB_OFFSET, and where its parts begin. */
static const uint8_t stubs[] = {
    0xcf,  // iret
    0x55,
    0x89,
    0xe5,
    0x80,
    0x4e,
    0x06,
    0x01,
    0x5d,  // carry into the flags that iret restores
    0xcf,  //
    0xb8,
    LOADER_LOW_END / 1024 & 0xff,
    LOADER_LOW_END / 1024 >> 8,
    0xcf,  // mov $KB, %ax
};
#define STUB_RETURN 0u
#define STUB_CARRY  1u
#define STUB_MEMORY 10u

static uint32_t stub_of(unsigned vector)
{
    switch (vector) {
    case 0x12: return STUB_MEMORY;
    case 0x13:
    case 0x15:
    case 0x1a: return STUB_CARRY;
    default: return STUB_RETURN;
    }
}

vmk_status loader_legacy_write(struct vm *vm)
{
    uint8_t page[VECTORS * 4 + BDA_SIZE] = {0}, *bda = page + BDA;
    uint8_t ebda_kilobytes = 1;
    vmk_status status;

    for (unsigned i = 0; i < VECTORS; i++)
        put_le32(page + i * 4, STUB_SEGMENT << 16 | (STUB_OFFSET + stub_of(i)));
    put_le16(bda + BDA_COM1, 0x3f8);
    put_le16(bda + BDA_EBDA, LOADER_LOW_END >> 4);
    put_le16(bda + BDA_EQUIPMENT, EQUIPMENT_COM1);
    put_le16(bda + BDA_MEMORY_KB, LOADER_LOW_END / 1024);
    status = vm_memory_write(vm, gpa_make(0), page, sizeof(page));
    if (status == VMK_OK)
        status = vm_memory_write(vm, gpa_make(LOADER_LOW_END), &ebda_kilobytes, 1);
    if (status == VMK_OK)
        status = vm_memory_write(vm, gpa_make((STUB_SEGMENT << 4) + STUB_OFFSET), stubs,
                                 sizeof(stubs));
    return status;
}
