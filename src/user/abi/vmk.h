// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/abi/vmk.h -- what programs ask of the VMkernel: the device /dev/vmk and the files it hands out.
 *
 * Management programs (esxcli, esxtop, vm, vmx) are ordinary user worlds. Whatever is not a
 * Linux system call goes through ioctl() on one device, with structures of fixed layout,
 * instead of text that both sides would have to parse. The shape is KVM's: the device answers
 * questions about the host and makes virtual machines; a virtual machine is a file descriptor,
 * and when its last descriptor is closed (its vmx ended, however that came about) the machine
 * is powered off and all it had is given back.
 *
 *     fd = open("/dev/vmk", O_RDWR)
 *      |-- VMK_HOST_GET, VMK_LIST, VMK_SCHED_SET, VMK_VM_KILL, VMK_CONSOLE_OPEN
 *      |-- VMK_MEMORY_GET, VMK_MEMORY_SET
 *      |-- VMK_DISK_SET, VMK_DATASTORE_SET, VMK_SWAP_GET, VMK_SWAP_SET
 *      |-- VMK_COREDUMP_GET, VMK_COREDUMP_SET, VMK_FILE_INFO
 *      `-- VMK_VM_CREATE --> vm_fd
 *                             |-- VMK_VM_GET, VMK_VM_TABLES, VMK_VM_START, VMK_VM_POWER
 *                             |-- VMK_VM_EVENT, VMK_VM_ANSWER, VMK_VM_IRQ
 *                             |-- VMK_VM_VCPU, VMK_VM_CONSOLE
 *                             |-- pread(), pwrite(): guest memory, the offset is the address
 *                             `-- poll(): POLLIN while VMK_VM_EVENT would find something
 *
 * Rules, for every structure here
 *   - It begins with struct vmk_head: the size the program was compiled with and
 *     VMK_ABI_VERSION.
 *     Another size or version answers EINVAL, and VMK_HOST_GET says in `head` what the kernel
 *     has.
 *   - Only fixed-width integers and arrays of them; every gap is a named field; reserved fields
 *     must be 0 on the way in and are 0 on the way out. Texts end with NUL inside their array.
 *   - Addresses of the program are uint64_t. They are only ever used through checked copies: a
 *     bad one answers EFAULT and changes nothing.
 *   - Units: _ns nanoseconds, _kb kibibytes, _mb mebibytes, _mhz megahertz, _bytes bytes; pages
 *     have 4096 bytes. Times without another word are since the host came up.
 *   - Lists grow at the end of an entry: the program says how large its entries are, and what
 *     the kernel knows beyond that is left out, what it does not know is 0.
 *
 * Who may: reading needs the device open for reading (mode 0666). Changing a VM or its worlds
 * needs root or the uid that owns the VM; changing anything else needs root. EPERM otherwise.
 *
 * Invariants: layouts never change within one VMK_ABI_VERSION (asserted at the end). Samples of
 * the scheduler have the layout of sched/esxtop.h, which is part of this interface.
 */
#pragma once

#include <stdint.h>

#define VMK_DEVICE      "/dev/vmk"
#define VMK_ABI_VERSION 1u

struct vmk_head {
    uint32_t size;     // of the whole structure
    uint32_t version;  // VMK_ABI_VERSION
};

/* Linux's encoding of "reads and writes `type`". */
#define VMK_IOCTL(number, type)                                                                \
    (0xc0000000u | (uint32_t)sizeof(type) << 16 | 0x5600u | (number))

#define VMK_NAME_SIZE 64u
#define VMK_PATH_SIZE 256u
#define VMK_TEXT_SIZE 256u
#define VMK_UNLIMITED 0xffffffffu  // as a limit in MHz

/* ---- the host ---- */

struct vmk_host {
    struct vmk_head head;  // in: ours, whatever they are; out: the kernel's
    char version[32];      // "0.1"
    char build[32];        // what identifies the build, or empty
    uint64_t uptime_ns;
    int64_t wall_ns;  // since 1970
    uint64_t memory_pages, free_pages;
    uint32_t cpus, worlds, pools, vms, processes, vcpus;
    uint64_t capacity_mhz, reserved_mhz;
    uint64_t tsc_khz;
    uint32_t load_avg[3];  // 1, 5, 15 minutes in 1/2048 of all CPUs busy
    uint32_t numa_nodes;
    char scheduler[16];       // name of the policy
    char virtualization[32];  // "AMD-V", "VT-x", another way, or empty: no VMs
};
#define VMK_HOST_GET VMK_IOCTL(1, struct vmk_host)

/* Memory of the host; sums over its VMs are of about one moment. */
struct vmk_host_memory {
    struct vmk_head head;
    uint64_t total_kb, free_kb;
    uint64_t kernel_kb;      // everything but guests and user worlds
    uint64_t least_free_kb;  // the least that was free since boot
    // The memory scheduler's; all 0 if no VM can run.
    uint64_t managed_kb, min_free_kb;
    uint64_t floor_kb;  // free memory below this: only who is short of his reservation gets any
    uint64_t reserved_kb, unreserved_kb;
    uint64_t size_kb;                         // of all VMs
    uint64_t shared_kb, common_kb, zero_kb;   // saving: shared - common
    uint64_t hints, scanned, joined, broken;  // of the table of shared pages
    uint64_t swapped_kb, swap_target_kb;
    uint64_t swapped_in_pages, swapped_out_pages;  // of the VMs that are on
    uint64_t compressed_kb, cache_kb;
    uint64_t balloon_kb, balloon_target_kb, balloon_max_kb;
    uint32_t
        overcommit[3];    // 1, 5, 15 minutes, in 1/2048: VMs' sizes over managed memory, less 1
    uint32_t level;       // 0 high, 1 clear, 2 soft, 3 hard, 4 low
    char level_name[16];  // empty: it does not run
};
#define VMK_MEMORY_GET VMK_IOCTL(6, struct vmk_host_memory)

/* ---- lists ---- */

enum vmk_list_kind {
    VMK_LIST_WORLDS = 1,       // struct vmk_world
    VMK_LIST_PROCESSES = 2,    // struct vmk_process
    VMK_LIST_VMS = 3,          // struct vmk_vm
    VMK_LIST_SAMPLES = 4,      // struct sched_sample, sched/esxtop.h: times, all of one instant
    VMK_LIST_OWNERS = 5,       // struct vmk_owner: who holds machine memory
    VMK_LIST_ADAPTERS = 6,     // struct vmk_adapter
    VMK_LIST_DEVICES = 7,      // struct vmk_device
    VMK_LIST_CPUS = 8,         // struct vmk_cpu
    VMK_LIST_VM_MEMORY = 9,    // struct vmk_vm_memory
    VMK_LIST_DATASTORES = 10,  // struct vmk_datastore
    VMK_LIST_COREDUMPS = 11,   // struct vmk_coredump_partition
};

/*
 * Fills `room` entries of `entry_size` bytes at `buffer`, in the order of their ids, and says
 * how many there are: more than `room` means that some are missing; ask again with more.
 * Entries of one call are of one moment as far as each is concerned, not all together.
 */
struct vmk_list {
    struct vmk_head head;
    uint32_t kind;        // in: enum vmk_list_kind
    uint32_t entry_size;  // in: sizeof of the program's structure
    uint64_t buffer;      // in: address; may be 0 if room is 0
    uint32_t room;        // in: entries
    uint32_t count;       // out: how many there are
    uint64_t time_ns;     // out: when it was asked
};
#define VMK_LIST         VMK_IOCTL(2, struct vmk_list)
#define VMK_LIST_ENTRIES 65536u  // at most, as room

enum vmk_world_kind {
    VMK_WORLD_SYSTEM = 0,
    VMK_WORLD_USER = 1,
    VMK_WORLD_VCPU = 2,
    VMK_WORLD_IDLE = 3
};

enum vmk_world_state {
    VMK_STATE_NEW = 0,
    VMK_STATE_READY = 1,
    VMK_STATE_RUN = 2,
    VMK_STATE_WAIT = 3,
    VMK_STATE_COSTOP = 4,
    VMK_STATE_ENDED = 5
};

struct vmk_world {
    uint32_t world_id;
    uint32_t group_id;   // the pool or VM it hangs in
    uint32_t cartel_id;  // id of its process; of a vCPU: of its vmx; 0: the kernel's
    uint32_t kind;       // enum vmk_world_kind
    uint32_t state;      // enum vmk_world_state
    uint32_t cpu;        // where it is or last was
    uint32_t shares, min_mhz, max_mhz;  // max: VMK_UNLIMITED for none
    uint32_t vcpu;                      // index, of a vCPU
    uint64_t affinity;                  // mask of CPUs
    char name[VMK_NAME_SIZE];
};

struct vmk_process {
    uint32_t pid;  // also its cartel id
    uint32_t parent;
    uint32_t uid, gid;  // effective
    uint32_t threads;
    uint32_t state;  // R S T Z
    uint64_t virtual_kb, resident_kb;
    uint64_t started_ns;
    uint64_t user_ns, system_ns;
    char name[VMK_NAME_SIZE];
    uint64_t swapped_kb;
};

enum vmk_vm_state {
    VMK_VM_NEW = 0,
    VMK_VM_ON = 1,
    VMK_VM_RESETTING = 2,
    VMK_VM_STOPPING = 3,
    VMK_VM_OFF = 4
};

struct vmk_vm {
    struct vmk_head head;  // of VMK_VM_GET; in a list as the kernel has it
    uint32_t world_id;     // of its first vCPU: what VMK_VM_KILL names; 0: never powered on
    uint32_t cartel_id;    // pid of its vmx; 0: started by the kernel itself
    uint32_t group_id;     // of its vCPUs in the scheduler, 0: none
    uint32_t state;        // enum vmk_vm_state
    uint32_t uid, gid;     // the owner
    uint32_t vcpus;
    uint32_t memory_mb;
    uint64_t memory_pages;    // what memSize says
    uint64_t granted_pages;   // of them with machine memory behind
    uint64_t overhead_pages;  // tables
    uint64_t uptime_ns;       // since power-on
    int32_t status;           // what the guest said at its end
    uint32_t resets;
    uint64_t console_out_bytes, console_in_bytes;  // of its first serial port
    uint8_t uuid[16];
    char name[VMK_NAME_SIZE];
    char config_file[VMK_PATH_SIZE];
    char reason[VMK_TEXT_SIZE];  // why it ended
};

enum vmk_vm_memory_flags {
    VMK_VM_BALLOON = 1,  // its guest has a balloon driver
    VMK_VM_BLOCKED = 2   // it may not grow now: the host is at level low
};

/* What a VM has of the host's memory, in esxtop's words. Sums since power-on never fall. */
struct vmk_vm_memory {
    uint32_t group_id;   // as struct vmk_vm; 0: not in the scheduler
    uint32_t memory_id;  // in the memory scheduler: what VMK_MEMORY_SET names; 0: not in it
    uint32_t shares;
    uint32_t flags;           // enum vmk_vm_memory_flags
    uint64_t min_kb, max_kb;  // reservation, limit (UINT64_MAX: none)
    uint64_t size_kb;         // MEMSZ
    uint64_t granted_kb;      // GRANT: guest memory with machine memory behind
    uint64_t held_kb;         // machine memory it takes: less what sharing saves
    uint64_t target_kb;       // SZTGT
    uint64_t touched_kb;      // TCHD: slow average of the working set
    uint64_t active_kb;       // ACTV: the estimate that counts
    uint32_t
        active_permille;  // %ACTV, of the size; then slow, fast and with the running period
    uint32_t slow_permille, fast_permille, next_permille;
    uint64_t balloon_kb, balloon_target_kb, balloon_max_kb;  // MCTLSZ, MCTLTGT, MCTLMAX
    uint64_t swapped_kb, swap_target_kb;                     // SWCUR, SWTGT
    uint64_t swapped_in_pages, swapped_out_pages;            // since power-on
    uint64_t compressed_kb;                 // guest memory that is in the cache
    uint64_t cache_kb, cache_used_bytes;    // CACHESZ: machine memory; CACHEUSD: packed pages
    uint64_t zipped_pages, unzipped_pages;  // since power-on
    uint64_t shared_kb, zero_kb, saved_kb;  // SHRD, ZERO, SHRDSVD
    uint64_t hints_kb;  // COWH: pages that the table of shared pages has hints of
    uint64_t overhead_kb, overhead_max_kb;  // OVHD: tables; OVHDMAX: reserved
    uint64_t least_kb;  // least held after something was taken from it; 0: nothing was
    uint64_t balloon_locks, balloon_unlocks, balloon_refused, balloon_resets;
    char name[VMK_NAME_SIZE];
};

struct vmk_owner {
    char name[32];
    uint64_t pages;       // whole pages
    uint64_t heap_bytes;  // out of the kernel's heap, whose pages are the owner "heap"'s
};

struct vmk_adapter {
    char name[16];  // vmhba0
    char driver[32];
    char location[32];
    char description[64];
    uint32_t devices;
    uint32_t reserved;
};

enum vmk_device_flags {
    VMK_DEVICE_READ_ONLY = 1,
    VMK_DEVICE_ROTATIONAL = 2,
    VMK_DEVICE_REMOVABLE = 4,
    VMK_DEVICE_GONE = 8
};

struct vmk_device {
    char name[96];     // naa..., t10..., mpx...
    char adapter[16];  // vmhba0
    char driver[32];
    char path[32];  // vmhba0:C0:T0:L0
    char vendor[16], model[48], revision[16], serial[48];
    uint64_t size_bytes;
    uint32_t block_bytes;
    uint32_t flags;  // enum vmk_device_flags
    uint32_t users;
    uint32_t reserved;
    uint64_t reads, writes, read_bytes, written_bytes, errors;
};

struct vmk_cpu {
    uint32_t cpu;
    uint32_t package, core, cache, node;  // cache: who share the last-level cache
    uint32_t mhz;
    uint32_t apic_id;
    uint32_t family, model, stepping;
    uint64_t used_ns;  // it was not idle
    char vendor[16];
    char brand[64];
};

#define VMK_DISK_NAME_SIZE 96u   // of a disk, or of its partition: with ":N"
#define VMK_LABEL_SIZE     136u  // of a datastore
#define VMK_UUID_TEXT_SIZE 40u
#define VMK_EXTENTS_SIZE   256u

enum vmk_datastore_flags {
    VMK_DATASTORE_READ_ONLY = 1
};

/* A VMFS volume that is mounted. */
struct vmk_datastore {
    char label[VMK_LABEL_SIZE];
    char uuid[VMK_UUID_TEXT_SIZE];
    char path[64];                   // where it is mounted
    char extents[VMK_EXTENTS_SIZE];  // their partitions, in order, with commas
    uint64_t size_bytes, free_bytes;
    uint32_t extent_count;
    uint32_t minor;  // of its version
    uint32_t flags;  // enum vmk_datastore_flags
    uint32_t reserved;
};

enum vmk_coredump_state {
    VMK_COREDUMP_EMPTY = 0,
    VMK_COREDUMP_NEW = 1,
    VMK_COREDUMP_COLLECTED = 2,  // copied to a file
    VMK_COREDUMP_CORRUPT = 3
};

/* A partition that a panic can be saved on. */
struct vmk_coredump_partition {
    char name[VMK_DISK_NAME_SIZE];
    uint64_t size_bytes;
    uint32_t state;  // enum vmk_coredump_state
    uint32_t reserved;
};

/* ---- changing ---- */

enum vmk_sched_what {
    VMK_SET_SHARES = 1,
    VMK_SET_MIN = 2,
    VMK_SET_MAX = 4,
    VMK_SET_AFFINITY = 8,  // of a world
    VMK_SET_POOL = 16
};

/*
 * Of a world, a pool or a VM's group; ENOENT: there is none. `reason` is empty, or says what
 * could not be had (admission control); settings before that one, in the order of the bits,
 * stay.
 */
struct vmk_sched_set {
    struct vmk_head head;
    uint32_t id;
    uint32_t what;  // bits of enum vmk_sched_what
    uint32_t shares, min_mhz, max_mhz;
    uint32_t pool_id;
    uint64_t affinity;
    char reason[VMK_TEXT_SIZE];  // out
};
#define VMK_SCHED_SET VMK_IOCTL(3, struct vmk_sched_set)

/*
 * Of a VM in the memory scheduler, in MB (VMK_UNLIMITED: no limit). ENOENT: there is none of
 * that id;
 * EINVAL: out of range. `reason` is empty, or says what could not be had (admission control).
 */
struct vmk_memory_set {
    struct vmk_head head;
    uint32_t id;    // memory_id of struct vmk_vm_memory
    uint32_t what;  // VMK_SET_SHARES, VMK_SET_MIN, VMK_SET_MAX
    uint32_t shares, min_mb, max_mb;
    uint32_t reserved;
    char reason[VMK_TEXT_SIZE];  // out
};
#define VMK_MEMORY_SET VMK_IOCTL(7, struct vmk_memory_set)

enum vmk_disk_what {
    VMK_DISK_RESERVE = 1,
    VMK_DISK_RELEASE = 2,
    VMK_DISK_RESET = 3  // of its adapter: what others reserved is free again
};

/*
 * SCSI reservations of a whole disk. EBUSY: another host has it; ENOENT: there is no such disk;
 * EINVAL: it knows none.
 */
struct vmk_disk_set {
    struct vmk_head head;
    uint32_t what;  // enum vmk_disk_what
    uint32_t reserved;
    char name[VMK_DISK_NAME_SIZE];
};
#define VMK_DISK_SET VMK_IOCTL(8, struct vmk_disk_set)

enum vmk_datastore_what {
    VMK_DATASTORE_RESCAN = 1,  // mounts volumes that are not mounted yet
    VMK_DATASTORE_CREATE = 2   // on a partition of type VMFS on which no volume is
};

/*
 * Of CREATE: EBUSY: a volume is there; EEXIST: a datastore has this label; ENOENT: there is no
 * such partition; EINVAL: it is of another type. The log says more.
 */
struct vmk_datastore_set {
    struct vmk_head head;
    uint32_t what;   // enum vmk_datastore_what
    uint32_t found;  // out, of RESCAN: how many were mounted
    char partition[VMK_DISK_NAME_SIZE];
    char label[VMK_LABEL_SIZE];
    char uuid[VMK_UUID_TEXT_SIZE];  // out, of CREATE
};
#define VMK_DATASTORE_SET VMK_IOCTL(9, struct vmk_datastore_set)

enum vmk_swap_place {
    VMK_SWAP_NOWHERE = 0,
    VMK_SWAP_DATASTORE = 1,  // a file there
    VMK_SWAP_DEVICE = 2      // a disk or partition, whose contents are lost
};

/* Where pages of user worlds are swapped to. */
struct vmk_swap {
    struct vmk_head head;
    uint32_t place;   // enum vmk_swap_place
    uint32_t active;  // the file is there, or the device in use
    uint64_t size_kb, used_kb;
    uint64_t swapped_out_pages, swapped_in_pages;  // since boot, as all that follows
    uint64_t stayed_pages;                         // that were looked at and not taken
    uint64_t errors;
    uint64_t waits, waited_ns;  // of programs, for memory or for a page
    char name[VMK_LABEL_SIZE];  // of the datastore or device
};
#define VMK_SWAP_GET VMK_IOCTL(10, struct vmk_swap)

/*
 * Until the next boot. ENOENT, ENXIO: there is none of that name; EBUSY: what is swapped out
 * now finds no memory.
 */
struct vmk_swap_set {
    struct vmk_head head;
    uint32_t place;  // enum vmk_swap_place
    uint32_t reserved;
    char name[VMK_LABEL_SIZE];  // empty for VMK_SWAP_NOWHERE
};
#define VMK_SWAP_SET VMK_IOCTL(11, struct vmk_swap_set)

enum vmk_coredump_place {
    VMK_COREDUMP_NOWHERE = 0,
    VMK_COREDUMP_FOUND = 1,  // the first partition that will do
    VMK_COREDUMP_NAMED = 2
};

/* Where a panic is saved. */
struct vmk_coredump {
    struct vmk_head head;
    uint32_t place;  // enum vmk_coredump_place: how it was chosen
    uint32_t reserved;
    char active[VMK_DISK_NAME_SIZE];      // empty: it would not be saved
    char configured[VMK_DISK_NAME_SIZE];  // of VMK_COREDUMP_NAMED
};
#define VMK_COREDUMP_GET VMK_IOCTL(12, struct vmk_coredump)

/*
 * Until the next boot. ENOENT: no partition for core dumps has this name; ENXIO: this host
 * saves no panics.
 */
struct vmk_coredump_set {
    struct vmk_head head;
    uint32_t place;  // enum vmk_coredump_place
    uint32_t reserved;
    char name[VMK_DISK_NAME_SIZE];  // of VMK_COREDUMP_NAMED, else empty
};
#define VMK_COREDUMP_SET VMK_IOCTL(13, struct vmk_coredump_set)

enum vmk_kill_how {
    VMK_KILL_SOFT =
        1,  // SIGTERM to its vmx, which shuts the VM down; a VM without vmx: as HARD
    VMK_KILL_HARD = 2,    // SIGKILL to its vmx
    VMK_KILL_FORCE = 3,   // the kernel stops the VM without asking anybody
    VMK_KILL_BUTTON = 4,  // its ACPI power button: the guest may shut itself down
    VMK_KILL_RESET = 5    // as a PC's reset button
};

/* Any world of a VM names it. ENOENT: no VM has that world. Returns before the VM is gone. */
struct vmk_vm_kill {
    struct vmk_head head;
    uint32_t world_id;
    uint32_t how;  // enum vmk_kill_how
};
#define VMK_VM_KILL VMK_IOCTL(4, struct vmk_vm_kill)

/* The first serial port of any VM: a file to read, write and poll. Reading begins with what is
 * still kept of the past (16 KB); it ends (0 bytes) when the VM is gone. */
struct vmk_console_open {
    struct vmk_head head;
    uint32_t world_id;
    int32_t fd;  // out
};
#define VMK_CONSOLE_OPEN VMK_IOCTL(5, struct vmk_console_open)

/* ---- files ---- */

/*
 * The lock and the descriptor of a file of a VMFS volume as they stand on disk, as lines of
 * text. The file is one that the caller has open. EINVAL: it is not on VMFS.
 */
struct vmk_file_info {
    struct vmk_head head;
    int32_t fd;
    uint32_t reserved;
    char text[1024];  // out
};
#define VMK_FILE_INFO VMK_IOCTL(14, struct vmk_file_info)

/* ---- a virtual machine ---- */

/*
 * Makes the VM of a .vmx text, which the kernel reads with the same parser as at boot; it is
 * not running and its memory is empty. When that cannot be, fd is -1 and
 * `error` says why ("file:line: key: what"). Out: what the program must load, as the text says.
 * The owner is the caller; root may make it for another (EPERM for anybody else). A user who is
 * not root may have a quarter of free memory for his VMs together, and all such users half.
 */
struct vmk_vm_create {
    struct vmk_head head;
    uint64_t text;  // in: address of the .vmx text
    uint32_t text_size;
    int32_t fd;                       // out
    char config_file[VMK_PATH_SIZE];  // in: its absolute path
    char error[VMK_TEXT_SIZE];        // out
    char name[VMK_NAME_SIZE];         // out: displayName
    uint64_t memory_low_bytes;        // out: RAM from address 0
    uint64_t memory_high_bytes;       // out: RAM from 4 GB
    uint32_t vcpus;                   // out
    uint32_t owner_uid, owner_gid;    // in: VMK_CALLER for the caller's
    uint32_t reserved;
    char kernel[VMK_PATH_SIZE], initrd[VMK_PATH_SIZE];
    char cmdline[1024];
};
#define VMK_CALLER    0xffffffffu
#define VMK_VM_CREATE VMK_IOCTL(16, struct vmk_vm_create)

/* struct vmk_vm of this VM. */
#define VMK_VM_GET    VMK_IOCTL(17, struct vmk_vm)

/* Writes the ACPI and SMBIOS tables into guest memory; where the RSDP is. */
struct vmk_vm_tables {
    struct vmk_head head;
    uint64_t rsdp;  // out
};
#define VMK_VM_TABLES VMK_IOCTL(18, struct vmk_vm_tables)

enum vmk_start_mode {
    VMK_START_PROTECTED = 0,  // flat 32-bit segments, paging off
    VMK_START_LONG = 1,       // flat 64-bit segments, paging on with cr3
    VMK_START_RESET =
        2  // as out of reset, in the host's BIOS if it has one; the rest is ignored
};

/* vCPU 0 begins there: powers the VM on, or lets it go on after VMK_EVENT_RESET. */
struct vmk_vm_start {
    struct vmk_head head;
    uint32_t mode;  // enum vmk_start_mode
    uint32_t gdt_limit;
    uint64_t rip, rsp, rax, rbx, rsi, cr3, gdt_base;
    uint16_t code_selector, data_selector;
    uint32_t reserved;
};
#define VMK_VM_START VMK_IOCTL(19, struct vmk_vm_start)

enum vmk_power_op {
    VMK_POWER_OFF = 1,    // at once
    VMK_POWER_RESET = 2,  // VMK_EVENT_RESET follows
    VMK_POWER_BUTTON = 3  // the guest's ACPI power button: it may shut itself down
};
struct vmk_vm_power {
    struct vmk_head head;
    uint32_t op;     // enum vmk_power_op
    int32_t status;  // of OFF: what becomes its status
};
#define VMK_VM_POWER VMK_IOCTL(20, struct vmk_vm_power)

enum vmk_event_kind {
    VMK_EVENT_NONE = 0,   // the descriptor is O_NONBLOCK and nothing is there: EAGAIN instead
    VMK_EVENT_ENDED = 1,  // every vCPU has left; status and text say why. Stays
    VMK_EVENT_RESET = 2,  // all vCPUs stand still: load again and VMK_VM_START
    VMK_EVENT_CALL = 3,   // a vCPU waits for VMK_VM_ANSWER: regs are its registers
};
enum vmk_call_kind {
    VMK_CALL_BACKDOOR = 1,  // an IN from port 5658: regs as enum vmk_call_reg says
    // An access to a port of the vmx's devices (70 and 71): AX the value, for IN in the answer;
    // BX its size 1, 2 or 4; CX 1 for IN, 0 for OUT; DX the port.
    VMK_CALL_PORT = 2,
};
enum vmk_call_reg {
    VMK_REG_AX,
    VMK_REG_BX,
    VMK_REG_CX,
    VMK_REG_DX,
    VMK_REG_SI,
    VMK_REG_DI,
    VMK_CALL_REGS
};

/*
 * The next thing that the VM wants of its vmx; blocks until there is one (EINTR by a signal).
 * Nothing is queued without bound: a vCPU that has called waits, so there is one call per vCPU
 * at most.
 */
struct vmk_vm_event {
    struct vmk_head head;
    uint32_t kind;  // out: enum vmk_event_kind
    uint32_t call;  // out: enum vmk_call_kind
    uint32_t vcpu;
    int32_t status;
    uint64_t time_ns;
    uint32_t sequence;  // of a call: VMK_VM_ANSWER repeats it
    uint32_t regs[VMK_CALL_REGS];
    uint32_t reserved;
    char text[VMK_TEXT_SIZE];
};
#define VMK_VM_EVENT VMK_IOCTL(21, struct vmk_vm_event)

/* ENOENT: that vCPU does not wait for that answer (any more). */
struct vmk_vm_answer {
    struct vmk_head head;
    uint32_t vcpu, sequence;
    uint32_t regs[VMK_CALL_REGS];
};
#define VMK_VM_ANSWER  VMK_IOCTL(22, struct vmk_vm_answer)

#define VMK_EXIT_KINDS 40u
/* Of one vCPU; EINVAL: there is no such vCPU. */
struct vmk_vm_vcpu {
    struct vmk_head head;
    uint32_t vcpu;  // in
    uint32_t world_id;
    uint64_t guest_ns;                  // spent in the guest
    uint64_t user_calls, user_call_ns;  // answered by its vmx, and how long it waited for that
    uint32_t exit_kinds;                // of the arrays below
    uint32_t reserved;
    uint64_t exits[VMK_EXIT_KINDS];
    char exit_names[VMK_EXIT_KINDS][16];
};
#define VMK_VM_VCPU VMK_IOCTL(23, struct vmk_vm_vcpu)

/*
 * An interrupt line of the vmx's devices: 8, the clock's. EINVAL: any other; EBUSY: the machine
 * is being made anew after a reset, in which every line is low.
 */
struct vmk_vm_irq {
    struct vmk_head head;
    uint32_t line;
    uint32_t high;  // 0 or 1
};
#define VMK_VM_IRQ     VMK_IOCTL(25, struct vmk_vm_irq)

/* As VMK_CONSOLE_OPEN, of this VM; world_id is ignored. */
#define VMK_VM_CONSOLE VMK_IOCTL(24, struct vmk_console_open)

/* ---- layouts ---- */

_Static_assert(sizeof(struct vmk_world) == 112, "vmk_world");
_Static_assert(sizeof(struct vmk_vm_memory) == 344, "vmk_vm_memory");
_Static_assert(sizeof(struct vmk_list) == 40, "vmk_list");
_Static_assert(sizeof(struct vmk_datastore) == 528, "vmk_datastore");
_Static_assert(sizeof(struct vmk_coredump_partition) == 112, "vmk_coredump_partition");
_Static_assert(sizeof(struct vmk_file_info) == 1040, "vmk_file_info");
_Static_assert(sizeof(struct vmk_vm_event) == 320, "vmk_vm_event");
