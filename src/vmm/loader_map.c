// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/loader_map.c -- what every kernel format's loader needs: cleared memory, and the map of it.
 *
 * Apart from loader.c because it knows no vCPU: the loaders over it are also part of the vmx,
 * which loads its guest from ring 3 (src/agents/vmtools/guest/load.c gives them its own
 * vm_memory_write()).
 *
 * Invariants
 *   - Entries of the map do not overlap and ascend.
 * Locking    none.
 */
#include "vmm/dev/acpi_tables.h"
#include "vmm/loader.h"

#define CHUNK 0x10000u

static const uint8_t zeroes[CHUNK];

vmk_status loader_memory_clear(struct vm *vm, uint64_t gpa, uint64_t size)
{
    while (size) {
        size_t part = (size_t)MIN(size, (uint64_t)CHUNK);
        vmk_status status = vm_memory_write(vm, gpa_make(gpa), zeroes, part);
        if (status != VMK_OK)
            return status;
        gpa += part;
        size -= part;
    }
    return VMK_OK;
}

size_t loader_memory_map(uint64_t low_bytes, uint64_t high_bytes,
                         struct loader_map_entry out[LOADER_MAP_MAX])
{
    const uint64_t megabyte = BIT(20);
    size_t count = 0;

    out[count++] = (struct loader_map_entry){0, LOADER_LOW_END, LOADER_MAP_RAM};
    out[count++] = (struct loader_map_entry){LOADER_LOW_END, VM_LOW_HOLE - LOADER_LOW_END,
                                             LOADER_MAP_RESERVED};
    out[count++] = (struct loader_map_entry){ACPI_TABLES_BASE, megabyte - ACPI_TABLES_BASE,
                                             LOADER_MAP_RESERVED};
    if (low_bytes > megabyte)
        out[count++] =
            (struct loader_map_entry){megabyte, low_bytes - megabyte, LOADER_MAP_RAM};
    if (high_bytes)
        out[count++] = (struct loader_map_entry){BIT(32), high_bytes, LOADER_MAP_RAM};
    return count;
}
