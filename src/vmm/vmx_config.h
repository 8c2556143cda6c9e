// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vmx_config.h -- the .vmx file: `key = "value"` lines with ESXi's keys.
 */
#pragma once

#include "core/status.h"

#define VM_NAME_SIZE    64u
#define VM_CMDLINE_SIZE 1024u
#define VM_INITRD_SIZE  512u
#define VM_DISKS_MAX    16u
#define VM_BUSES_MAX    4u
#define VM_DISK_UNITS   16u  // of a SCSI bus; 7 is the adapter
#define VM_PATH_SIZE    256u

enum vm_firmware {
    VM_FIRMWARE_DIRECT,  // none: the loader starts the kernel
    VM_FIRMWARE_BIOS
};

enum vm_disk_mode {
    VM_DISK_PERSISTENT,
    VM_DISK_NONPERSISTENT,  // independent-nonpersistent: changes are gone at power-off
};

enum vm_disk_bus {
    VM_DISK_SCSI,    // scsiB:U, behind a PVSCSI adapter
    VM_DISK_VIRTIO,  // orrery.virtioB:U, each a virtio-blk device
};

/* One disk that is present. */
struct vm_disk_config {
    enum vm_disk_bus bus;
    uint8_t number, unit;
    enum vm_disk_mode mode;
    uint32_t io_shares;       // sched.scsiB:U.shares; 0: normal (io/ioshares.h)
    char file[VM_PATH_SIZE];  // fileName
};

struct vm_config {
    char name[VM_NAME_SIZE];        // displayName
    uint32_t memory_mb;             // memSize, default 32 as ESXi's
    uint32_t vcpus;                 // numvcpus, default 1
    uint32_t shares;                // sched.cpu.shares: low, normal, high (of each vCPU) ...
    bool shares_of_vm;              // ... or a number (of the VM)
    uint32_t min_mhz;               // sched.cpu.min: reservation
    uint32_t max_mhz;               // sched.cpu.max: limit, 0 for none ("unlimited", -1)
    uint64_t affinity;              // sched.cpu.affinity: "all" (0) or "0,2,4-7"
    uint32_t mem_shares;            // sched.mem.shares: a number, or 0: mem_per_mb each MB
    uint32_t mem_per_mb;            // low 5, normal 10, high 20
    uint32_t mem_min_mb;            // sched.mem.min, sched.mem.minSize: reservation
    uint32_t mem_max_mb;            // sched.mem.max: limit, 0 for none ("unlimited", -1)
    uint32_t mem_balloon_mb;        // sched.mem.maxmemctl: most its balloon may take
    bool mem_unshared;              // sched.mem.pshare.enable = "FALSE"
    bool mem_salted;                // sched.mem.pshare.salt was given
    uint64_t mem_salt;              // a hash of its text: VMs of one salt share with each other
    char swap_dir[VM_PATH_SIZE];    // sched.swap.dir: folder of its swap file, else its own
    char kernel[VM_NAME_SIZE];      // orrery.kernel
    char initrd[VM_INITRD_SIZE];    // orrery.initrd (for Multiboot: "FILE ARGS,FILE ARGS")
    char cmdline[VM_CMDLINE_SIZE];  // orrery.cmdline
    int serial_port;                // serial0.fileName = "com1": machine port 0; -1: none
    char serial_file[VM_NAME_SIZE];             // serial0.fileName that the vmx writes
    bool autostart;                             // autostart = "poweron": by `vm autostart`
    uint8_t uuid[16];                           // uuid.bios, or made from the name
    enum vm_firmware firmware;                  // firmware: "bios"; none by default
    char bios[VM_NAME_SIZE];                    // orrery.bios: its file, default bios-256k.bin
    bool buses[2][VM_BUSES_MAX];                // [enum vm_disk_bus] scsiB.present
    struct vm_disk_config disks[VM_DISKS_MAX];  // in the order of bus, number, unit
    unsigned disk_count;
};

/*
 * Reads `text`; `file` is for messages. On failure `out` holds nothing of use. It is filled in
 * place: two of them would not fit on a world's stack. BAD_FORMAT with `error` filled:
 * "file:line: key: what".
 */
must_check vmk_status vmx_config_parse(const char *file, const char *text, size_t size,
                                       struct vm_config *out, char *error, size_t error_size);
