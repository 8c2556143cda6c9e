// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/loader.h -- between vmm/loader.c and the kernel formats it knows.
 *
 * Each format has a pure parser over the file's bytes, which tests and fuzzers call, and a
 * loader that puts the parsed image into a VM's memory and says how vCPU 0 must start.
 */
#pragma once

#include "mem/addr.h"
#include "vmm/vm.h"

/* Memory map entries as both protocols count them. */
#define LOADER_MAP_MAX      8u
#define LOADER_MAP_RAM      1u
#define LOADER_MAP_RESERVED 2u
#define LOADER_LOW_END      0x9fc00ull  // the last kilobyte is an EBDA by tradition

struct loader_map_entry {
    uint64_t base, size;
    uint32_t kind;
};
/* RAM and what is reserved of the first megabyte; returns how many entries. */
size_t loader_memory_map(uint64_t low_bytes, uint64_t high_bytes,
                         struct loader_map_entry out[LOADER_MAP_MAX]);

/* How vCPU 0 starts. Segments are flat; `long_mode` chooses 64-bit code with paging on. */
struct loader_entry {
    bool long_mode;
    uint64_t rip, rsp, rax, rbx, rsi, cr3;
    uint64_t gdt_base;
    uint32_t gdt_limit;
    uint16_t code_selector, data_selector;
};

/* Sets a vCPU's registers. It has never run, or the caller is its world. vmm/loader.c */
void loader_vcpu_start(struct vcpu *v, const struct loader_entry *e);

/*
 * A file beside the kernel, with the words of orrery.initrd that name it: its name and what
 * follows.
 */
#define LOADER_MODULES 8u
struct loader_module {
    const uint8_t *data;
    size_t size;
    const char *text;
    size_t text_size;
};

/*
 * The files of a configuration, found among the boot modules. Linux takes the first module
 * alone.
 */
struct loader_files {
    const uint8_t *kernel;
    size_t kernel_size;
    struct loader_module modules[LOADER_MODULES];
    size_t module_count;
};

/* Zeroes [gpa, gpa + size) in guest memory. NOT_FOUND: not all of it is RAM. */
must_check vmk_status loader_memory_clear(struct vm *vm, uint64_t gpa, uint64_t size);

/*
 * The BIOS data area, EBDA and real-mode vectors, for kernels that look; vmm/loader_legacy.c.
 */
must_check vmk_status loader_legacy_write(struct vm *vm);

/* ---- Linux bzImage, 64-bit boot protocol; vmm/loader_linux.c ---- */
struct linux_image {
    uint64_t payload_offset, payload_size;  // the protected-mode part in the file
    uint64_t address;                       // where it wants to be
    uint64_t init_size;                     // memory it needs from there on
    uint64_t alignment;
    uint64_t initrd_max;   // highest address an initrd may use
    uint32_t cmdline_max;  // without NUL
    bool relocatable;
    size_t header_end;  // setup header: file bytes [0x1f1, header_end)
};
/* By its magic number alone; linux_image_parse() checks the rest. */
bool linux_is_image(const uint8_t *file, size_t size);
/* BAD_FORMAT, UNSUPPORTED: `*what` names the field (static text). */
must_check vmk_status linux_image_parse(const uint8_t *file, size_t size,
                                        struct linux_image *out, const char **what);
/*
 * Kernel, initrd, command line and zero page into the memory of a VM that does not run yet;
 * `out` is where vCPU 0 begins. LIMIT: it does not fit.
 */
must_check vmk_status linux_load(struct vm *vm, const struct loader_files *files, gpa_t rsdp,
                                 struct loader_entry *out);

/* ---- Multiboot 1: ELF or the header's own addresses; vmm/loader_multiboot.c ---- */
#define MULTIBOOT_SEGMENTS 16u
struct multiboot_segment {
    uint64_t file_offset, file_size;
    uint64_t address, memory_size;
};
struct multiboot_image {
    struct multiboot_segment segments[MULTIBOOT_SEGMENTS];
    size_t segment_count;
    uint64_t entry;
    uint64_t end;  // first byte after everything loaded
};
/* Is there a header with its checksum in the first 8 KB? */
bool multiboot_is_image(const uint8_t *file, size_t size);
/* BAD_FORMAT, UNSUPPORTED: `*what` names the field (static text). */
must_check vmk_status multiboot_image_parse(const uint8_t *file, size_t size,
                                            struct multiboot_image *out, const char **what);
/* Kernel, modules and boot information; else as linux_load(). */
must_check vmk_status multiboot_load(struct vm *vm, const struct loader_files *files,
                                     struct loader_entry *out);
