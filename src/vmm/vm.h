// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm.h -- a virtual machine: vCPUs, guest memory, devices, power state.
 *
 * Guest memory is given page by page at the first touch. Ports and MMIO ranges belong to
 * devices that registered them; a port nobody owns reads all ones, memory nobody owns likewise.
 */
#pragma once

#include "core/spinlock.h"
#include "core/timer.h"
#include "mem/p2m.h"
#include "vmm/dev/balloon.h"
#include "vmm/nested.h"
#include "vmm/vcpu.h"
#include "vmm/vmx_config.h"

#define VM_VCPUS_MAX    8u
#define VM_PORT_RANGES  48u
#define VM_PORT_GROUP   8u     // ports with one slot
#define VM_PORT_SEVERAL 0xffu  // more than one range among them
#define VM_MMIO_RANGES  16u

/* Fixed places in guest-physical memory. */
#define VM_LOW_HOLE     0xa0000ull     // up to 1 MB: ROM, tables
#define VM_MMIO_HOLE    0xc0000000ull  // RAM ends here at the latest, goes on at 4 GB
#define VM_IOAPIC_BASE  0xfec00000ull
#define VM_LAPIC_BASE   0xfee00000ull
#define VM_PM_BASE      0x600u  // PM1a event 600, control 604, timer 608
#define VM_SCI_IRQ      9u
#define VM_COM1_IRQ     4u
#define VM_RTC_IRQ      8u

struct vm_io_ops {
    /* Offset from the range's base; size 1, 2, 4 (MMIO also 8). Called with vm->lock held, irqs
     * off, in the world of `v`. */
    uint64_t (*read)(void *device, struct vcpu *v, uint64_t offset, unsigned size);
    void (*write)(void *device, struct vcpu *v, uint64_t offset, unsigned size, uint64_t value);
    /*
     * Of a port only, instead of both: without the lock, irqs on; may block. For IN it sets
     * *value.
     */
    void (*outside)(struct vcpu *v, uint16_t port, unsigned size, bool in, uint32_t *value);
};

/*
 * Work that a register handler may not do, because it waits. The handler leaves it in
 * vm->settle; it is run in the same vCPU's world right after the handler, the lock dropped,
 * before the guest goes on.
 */
struct vm_settle {
    void (*run)(struct vm_settle *settle);
};

struct vm_io_range {
    uint64_t base, size;
    const struct vm_io_ops *ops;
    void *device;
};

enum vm_state {
    VM_STATE_NEW,
    VM_STATE_ON,
    VM_STATE_RESETTING,
    VM_STATE_STOPPING,
    VM_STATE_OFF
};

struct vm_reclaim;
struct vm_swap;
struct vpic;
struct vpit;
struct vioapic;
struct vm_console;
struct vserial;
struct vrtc;
struct vpm;
struct bios;
struct vpci;
struct vm_disks;
struct vm_work;
struct vm_client;

/* Who made a VM. */
struct vm_owner {
    uint32_t uid, gid;
    uint32_t cartel;          // pid of its vmx, 0: none
    const char *config_file;  // its path, or null; lives as long as the VM
};

struct vm {
    struct spinlock lock;  // rank VM: devices, nested table, p2m
    struct vm_config config;
    unsigned index;  // in the host's table
    unsigned vcpu_count;
    uint32_t sched_group;  // id of its vCPUs' group in the scheduler; 0: none yet
    struct vcpu *vcpus[VM_VCPUS_MAX];

    // Guest memory.
    uint64_t page_count;      // RAM pages
    uint64_t low_page_count;  // of them below VM_MMIO_HOLE
    struct p2m p2m;           // index: RAM page number
    struct nested_table nested;
    uint64_t flush_number;       // (a) of changes that vCPUs have to flush for; vm_reclaim.c
    struct vm_reclaim *reclaim;  // (i)
    struct vm_swap *swap;        // (i) null: neither compressed nor swapped
    uint64_t mem_min;            // (a) its reservation: below the floor it grows to that
    uint64_t mem_due;            // (a) pages up to which others give for it
    uint64_t mem_cap;            // (a) pages it may have by limits; 0: no limit
    bool mem_presses;            // of the world memsched: its limit asks for pages
    uint64_t mem_least;          // (w) least pages held after some were taken; 0: none were
    struct vm_balloon balloon;
    struct {
        uint64_t now, given, split, joined;  // (w) 2 MB pages
        uint64_t zeroes;  // (w) pages of them that held nothing and were freed
        uint64_t cursor;  // where vm_large_break() goes on
    } large;
    uint64_t share_salt;  // (i) shares pages with VMs of the same
    uint32_t mem_id;      // (i) in the memory scheduler; 0: none
    unsigned visitors;    // (a) who keeps it from being freed: vm_table_hold()

    // Devices.
    struct vm_io_range ports[VM_PORT_RANGES];
    unsigned port_range_count;
    uint8_t port_slots[0x10000 / VM_PORT_GROUP];  // 0: nobody; else the range's number + 1
    struct vm_io_range mmio[VM_MMIO_RANGES];
    unsigned mmio_range_count;
    struct vpic *pic;
    struct vpit *pit;
    struct vioapic *ioapic;
    struct vserial *serial;
    struct vm_console *console;  // (i) the far end of the serial line; null in tests
    struct vrtc *rtc;
    struct vpm *pm;
    struct vpci *pci;
    struct bios *bios;         // (i) null: a kernel is started directly
    struct fw_cfg *fw_cfg;     // of a kernel started directly
    struct vm_work *work;      // (i) its I/O world; null: a VM without disks
    struct vm_disks *disks;    // (i)
    struct vm_settle *settle;  // (w) what a handler wants done after it, without the lock

    // Time: guest TSC = host TSC + offset, one value for all vCPUs.
    uint64_t tsc_offset;
    uint64_t first_entry_tsc;  // (c) of vCPU 0: the host's counter before its first entry
    plat_ns power_on_time;

    enum vm_state state;  // (a)
    bool stop_begun;      // (a) somebody sets status and end_reason
    int status;           // what the guest said at its end (port 0xf4), or 0
    const char *end_reason;
    unsigned worlds_left;  // (a)
    struct wait_queue ended;
    unsigned reset_arrived;     // (w) ended.lock: vCPUs that wait for the reset
    unsigned resets;            // (w) ended.lock: how many are done
    unsigned triple_faults;     // (a) lately
    plat_ns triple_fault_time;  // (a) of the last
    bool devices_made;          // (i)

    // Whose it is, when a user world made it (vmm/vm_client.h).
    struct vm_client *client;  // (i) null: the kernel's own
    struct vm_owner owner;     // (i) all 0: the kernel or root
    uint32_t reset_count;      // (a)
};

/* ---- memory; world context, vm->lock not held unless _locked ---- */
/*
 * Takes the VM's lock with memory at that PPN of RAM, giving it if there is none and waiting
 * for what is swapped out. `write`: the page becomes the VM's own; for a reader a shared page
 * stays shared. Not OK: the lock is not held. NOT_FOUND: not RAM. NO_MEMORY. CORRUPT: lost.
 * KILLED and IO_ERROR as vm_page_wait() says. World context, nothing locked. [switch]
 */
must_check vmk_status vm_page_lock(struct vm *vm, ppn_t ppn, bool write, mpn_t *mpn,
                                   bool *irqs);
/* The RAM page number of a PPN, or page_count if it is not RAM. */
static inline uint64_t vm_ram_index(const struct vm *vm, ppn_t ppn)
{
    const uint64_t four_gb = BIT(32) >> PAGE_SHIFT;

    if (__builtin_expect(ppn.raw < vm->low_page_count, 1))
        return ppn.raw;
    if (ppn.raw >= four_gb && ppn.raw - four_gb < vm->page_count - vm->low_page_count)
        return ppn.raw - four_gb + vm->low_page_count;
    return vm->page_count;
}
static inline bool vm_is_ram(const struct vm *vm, gpa_t gpa)
{
    return vm_ram_index(vm, gpa_to_ppn(gpa)) < vm->page_count;
}
/* Copies between guest-physical memory and the kernel. NOT_FOUND if any byte is no RAM. */
must_check vmk_status vm_memory_read(struct vm *vm, gpa_t gpa, void *out, size_t size);
/*
 * The RAM there, up to the end of its page; null if it is none, or a page nobody has touched.
 */
void *vm_ram_at(struct vm *vm, gpa_t gpa);
must_check vmk_status vm_memory_write(struct vm *vm, gpa_t gpa, const void *in, size_t size);
/* The same with vm->lock held (device handlers). */
must_check vmk_status vm_memory_read_locked(struct vm *vm, gpa_t gpa, void *out, size_t size);
must_check vmk_status vm_memory_write_locked(struct vm *vm, gpa_t gpa, const void *in,
                                             size_t size);

/* ---- device registration, at creation ---- */
must_check vmk_status vm_port_register(struct vm *vm, uint16_t base, uint16_t count,
                                       const struct vm_io_ops *ops, void *device);
must_check vmk_status vm_mmio_register(struct vm *vm, gpa_t base, uint64_t size,
                                       const struct vm_io_ops *ops, void *device);
/*
 * Accesses; take vm->lock, and may block at a port that somebody outside answers. False: nobody
 * is there (reads give all ones).
 */
bool vm_port_access(struct vm *vm, struct vcpu *v, uint16_t port, unsigned size, bool in,
                    uint32_t *value);
bool vm_mmio_access(struct vm *vm, struct vcpu *v, gpa_t gpa, unsigned size, bool read,
                    uint64_t *value);

/* ---- interrupt lines: GSI 0..23; drives PIC and IOAPIC. vm->lock held ---- */
void vm_irq_line_set(struct vm *vm, unsigned gsi, bool high);

/* ---- power ---- */
/* Makes the VM of a configuration: memory, vCPUs, devices, kernel loaded. Not running yet. */
must_check vmk_status vm_create(const struct vm_config *config, struct vm **out);
/*
 * The same without a kernel, for `owner` (null: the kernel), whose disks are opened for him;
 * `client` loads it (null: nobody asks).
 */
must_check vmk_status vm_create_empty(const struct vm_config *config,
                                      const struct vm_owner *owner, struct vm_client *client,
                                      struct vm **out);
/*
 * Calls visit() for each VM of the host until one says true; was there one? Under the lock of
 * the table: VMs stay meanwhile, and only locks above rank VMS may be taken. vmm/vm_table.c
 */
bool vm_table_visit(bool (*visit)(struct vm *vm, void *argument), void *argument);
/* Is that world, or the group of them, this VM's? */
bool vm_has_world(const struct vm *vm, uint32_t world);
/*
 * A VM by its place in the table, kept from ending until vm_table_release(); null if there is
 * none.
 */
struct vm *vm_table_hold(unsigned index);
void vm_table_release(struct vm *vm);
must_check vmk_status vm_table_add(struct vm *vm);  // LIMIT
void vm_table_remove(struct vm *vm);
must_check vmk_status vm_power_on(struct vm *vm);
/*
 * The guest or the host ends it: every vCPU leaves soon. `reason` is static text. Any context.
 */
void vm_stop(struct vm *vm, int status, const char *reason);
/* Guest asked for a reset: the VM is loaded again and restarts. */
void vm_request_reset(struct vm *vm, const char *reason);
/* A vCPU triple-faulted: a reset, or the end of a VM that does nothing else. */
void vm_triple_fault(struct vm *vm);
/* Blocks until every vCPU world has ended; then vm_destroy() may follow. */
void vm_wait(struct vm *vm);
/* Logs its exits by reason and its vCPUs' times, and gives everything back. */
void vm_destroy(struct vm *vm);
/* Guest time: nanoseconds since power-on. */
plat_ns vm_time(const struct vm *vm);
uint64_t vm_tsc(const struct vm *vm);
/* What the hardware adds to its counter for this vCPU. */
static inline uint64_t vcpu_tsc_offset(const struct vcpu *v)
{
    return v->vm->tsc_offset + v->tsc_adjust;
}
static inline uint64_t vcpu_tsc(const struct vcpu *v)
{
    return vm_tsc(v->vm) + v->tsc_adjust;
}

/* ---- boot: finds files among the boot modules (ustar archives included) ---- */
must_check vmk_status boot_file_find(const char *name, const void **data, size_t *size);
/*
 * Loads kernel, initrd and command line of the config and sets vCPU 0's registers
 * (vmm/loader.c).
 * Recognises bzImage and Multiboot-1 ELF32. Errors are logged with file and field.
 */
must_check vmk_status vm_load_kernel(struct vm *vm);
/*
 * Writes ACPI, SMBIOS tables into guest memory (vmm/dev/acpi_tables.c); the RSDP's address out.
 */
must_check vmk_status vm_write_tables(struct vm *vm, gpa_t *rsdp);
/* Creates every device and registers its ranges (vmm/dev/devices.c); the inverse frees them. */
must_check vmk_status vm_devices_create(struct vm *vm);
void vm_devices_destroy(struct vm *vm);
