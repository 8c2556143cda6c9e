// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vmx_config.h -- the .vmx file: `key = "value"` lines with ESXi's keys.
 */
#pragma once

#include "core/status.h"

#define VM_NAME_SIZE    64u
#define VM_CMDLINE_SIZE 1024u

struct vm_config {
    char name[VM_NAME_SIZE];        // displayName
    uint32_t memory_mb;             // memSize, default 32 as ESXi's
    uint32_t vcpus;                 // numvcpus, default 1
    uint32_t shares;                // sched.cpu.shares: low, normal, high (of each vCPU) ...
    bool shares_of_vm;              // ... or a number (of the VM)
    uint32_t min_mhz;               // sched.cpu.min: reservation
    uint32_t max_mhz;               // sched.cpu.max: limit, 0 for none ("unlimited", -1)
    uint64_t affinity;              // sched.cpu.affinity: "all" (0) or "0,2,4-7"
    char kernel[VM_NAME_SIZE];      // orrery.kernel
    char initrd[VM_NAME_SIZE];      // orrery.initrd (for Multiboot: the module)
    char cmdline[VM_CMDLINE_SIZE];  // orrery.cmdline
    int serial_port;                // serial0.fileName = "com1": machine port 0; -1: none
    uint8_t uuid[16];               // uuid.bios, or made from the name
};

/* Reads `text`; `file` is for messages. BAD_FORMAT with `error` filled: "file:line: key: what". */
must_check vmk_status vmx_config_parse(const char *file, const char *text, size_t size,
                                       struct vm_config *out, char *error, size_t error_size);
