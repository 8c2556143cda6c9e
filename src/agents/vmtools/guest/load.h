// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/guest/load.h -- a guest's kernel, put into its memory from ring 3.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "user/abi/vmk.h"

struct guest_files {
    const void *kernel, *initrd;  // initrd null: none
    size_t kernel_size, initrd_size;
};

/*
 * Recognises bzImage and Multiboot, writes all to the memory behind `vm_fd` and says how vCPU 0
 * begins.
 * 0, or -1 after say() told why. `rsdp` is where the ACPI tables are.
 */
int guest_load(int vm_fd, const struct vmk_vm_create *machine, const struct guest_files *files,
               uint64_t rsdp, struct vmk_vm_start *out, void (*say)(const char *text));
