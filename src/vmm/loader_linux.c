// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/loader_linux.c -- loads a Linux bzImage by the 64-bit boot protocol.
 *
 * The 64-bit entry lies 200h bytes into the protected-mode part and expects long mode with the
 * first gigabytes mapped one to one, so the kernel's real-mode and 32-bit start are skipped.
 * What firmware would have said is in the zero page: memory map, command line, initrd, RSDP.
 *
 *     1000   GDT: null, unused, code 10, data 18
 *     2000   PML4, PDPT, four page directories: 4 GB in 2 MB pages
 *     9000   top of a small stack
 *    10000   zero page (boot_params)
 *    11000   command line
 *    ...     kernel at pref_address, or where it fits if it is relocatable
 *    top     initrd, as high as RAM below the hole and initrd_addr_max allow
 *
 * Invariants
 *   - No header field is believed before linux_image_parse() checked it against the file's
 *     size.
 *   - Kernel (with init_size) and initrd lie in RAM below the hole and do not overlap:
 *     placed().
 * Locking    vm->lock not held; the VM is not running.
 * Sources    [LINUX-BOOT] "The Real-Mode Kernel Header", "64-bit Boot Protocol", zero page
 */
#include "core/log.h"
#include "lib/endian.h"
#include "lib/string.h"
#include "vmm/loader.h"

#define GDT_AT     0x1000u
#define TABLES_AT  0x2000u
#define STACK_TOP  0x9000u
#define ZERO_PAGE  0x10000u
#define CMDLINE_AT 0x11000u
#define SECTOR     512u
#define ENTRY_64   0x200u

/* Offsets in the file and, from 1f1 on, in the zero page. */
enum setup_field {
    SETUP_RSDP = 0x070,
    SETUP_MAP_COUNT = 0x1e8,
    SETUP_HEADER = 0x1f1,
    SETUP_SECTORS = 0x1f1,
    SETUP_SYSSIZE = 0x1f4,
    SETUP_BOOT_FLAG = 0x1fe,
    SETUP_JUMP = 0x201,  // its operand: where the header ends
    SETUP_MAGIC = 0x202,
    SETUP_VERSION = 0x206,
    SETUP_LOADER = 0x210,
    SETUP_LOADFLAGS = 0x211,
    SETUP_RAMDISK = 0x218,
    SETUP_RAMDISK_SIZE = 0x21c,
    SETUP_HEAP_END = 0x224,
    SETUP_CMDLINE = 0x228,
    SETUP_INITRD_MAX = 0x22c,
    SETUP_ALIGNMENT = 0x230,
    SETUP_RELOCATABLE = 0x234,
    SETUP_XLOADFLAGS = 0x236,
    SETUP_CMDLINE_SIZE = 0x238,
    SETUP_PREF_ADDRESS = 0x258,
    SETUP_INIT_SIZE = 0x260,
    SETUP_END = 0x268,
    SETUP_MAP = 0x2d0,
    SETUP_HEADER_ROOM = 0x290,
};
#define MAGIC_HDRS       0x53726448u
#define VERSION_MIN      0x020cu
#define LOADED_HIGH      0x01u
#define XLF_KERNEL_64    0x01u
#define LOADER_UNDEFINED 0xffu

bool linux_is_image(const uint8_t *file, size_t size)
{
    return size >= SETUP_END && le32(file + SETUP_MAGIC) == MAGIC_HDRS;
}

vmk_status linux_image_parse(const uint8_t *file, size_t size, struct linux_image *out,
                             const char **what)
{
    uint64_t sectors, syssize;

    *what = "setup header: magic \"HdrS\" missing";
    if (!linux_is_image(file, size))
        return VMK_BAD_FORMAT;
    *what = "setup header: boot_flag is not aa55";
    if (le16(file + SETUP_BOOT_FLAG) != 0xaa55)
        return VMK_BAD_FORMAT;
    *what = "setup header: version below 2.12";
    if (le16(file + SETUP_VERSION) < VERSION_MIN)
        return VMK_UNSUPPORTED;
    *what = "setup header: loadflags: not a bzImage (LOADED_HIGH clear)";
    if (!(file[SETUP_LOADFLAGS] & LOADED_HIGH))
        return VMK_UNSUPPORTED;
    *what = "setup header: xloadflags: no 64-bit entry";
    if (!(le16(file + SETUP_XLOADFLAGS) & XLF_KERNEL_64))
        return VMK_UNSUPPORTED;
    *what = "setup header: jump past the file or the header's room";
    out->header_end = SETUP_MAGIC + file[SETUP_JUMP];
    if (out->header_end < SETUP_END || out->header_end > SETUP_HEADER_ROOM ||
        out->header_end > size)
        return VMK_BAD_FORMAT;
    sectors = file[SETUP_SECTORS] ? file[SETUP_SECTORS] : 4;
    out->payload_offset = (sectors + 1) * SECTOR;
    *what = "setup header: setup_sects: the file ends before its kernel";
    if (out->payload_offset + ENTRY_64 >= size)
        return VMK_BAD_FORMAT;
    syssize = (uint64_t)le32(file + SETUP_SYSSIZE) * 16;
    out->payload_size = size - out->payload_offset;
    *what = "setup header: syssize: the file is cut off";
    // syssize counts whole paragraphs and may count a checksum that was cut; allow one
    // paragraph.
    if (syssize > out->payload_size + 15)
        return VMK_BAD_FORMAT;
    out->address = le64(file + SETUP_PREF_ADDRESS);
    out->init_size = le32(file + SETUP_INIT_SIZE);
    out->alignment = le32(file + SETUP_ALIGNMENT);
    out->relocatable = file[SETUP_RELOCATABLE] != 0;
    out->initrd_max = le32(file + SETUP_INITRD_MAX);
    out->cmdline_max = le32(file + SETUP_CMDLINE_SIZE);
    *what = "setup header: kernel_alignment is no power of two";
    if (!out->alignment || (out->alignment & (out->alignment - 1)))
        return VMK_BAD_FORMAT;
    *what = "setup header: pref_address is below 1 MB or above 4 GB";
    if (out->address < BIT(20) || out->address >= BIT(32))
        return VMK_BAD_FORMAT;
    out->init_size = MAX(out->init_size, out->payload_size);
    return VMK_OK;
}

struct placement {
    uint64_t kernel;
    uint64_t initrd;  // 0: none
};

/* Kernel where it wants or lower, initrd at the top. Null if they fit, else what does not. */
static const char *placed(const struct linux_image *image, uint64_t low_bytes,
                          uint64_t initrd_size, struct placement *out)
{
    uint64_t top = MIN(low_bytes, image->initrd_max + 1);
    uint64_t end;

    out->kernel = image->address;
    if (out->kernel + image->init_size > low_bytes && image->relocatable)
        out->kernel = round_up(BIT(20), image->alignment);
    end = out->kernel + image->init_size;
    if (end > low_bytes)
        return "memSize: too little for the kernel";
    out->initrd = 0;
    if (initrd_size == 0)
        return NULL;
    if (initrd_size > top || round_down(top - initrd_size, PAGE_SIZE) < end)
        return "memSize: too little for the kernel and its initrd";
    out->initrd = round_down(top - initrd_size, PAGE_SIZE);
    return NULL;
}

/* GDT with 64-bit code at 10 and data at 18, and tables that map 4 GB one to one. */
static vmk_status low_tables_write(struct vm *vm)
{
    static const uint64_t gdt[4] = {0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff};
    const size_t size = 6 * PAGE_SIZE;
    uint64_t *tables = heap_alloc(size, MEM_OWNER_VMM);
    vmk_status status;

    if (!tables)
        return VMK_NO_MEMORY;
    tables[0] = (TABLES_AT + PAGE_SIZE) | 0x3;  // present, writable
    for (uint64_t i = 0; i < 4; i++)
        tables[512 + i] = (TABLES_AT + (2 + i) * PAGE_SIZE) | 0x3;
    for (uint64_t i = 0; i < 4 * 512; i++)
        tables[1024 + i] = i << 21 | 0x83;  // and a 2 MB page
    status = vm_memory_write(vm, gpa_make(TABLES_AT), tables, size);
    heap_free(tables);
    if (status != VMK_OK)
        return status;
    return vm_memory_write(vm, gpa_make(GDT_AT), gdt, sizeof(gdt));
}

static void map_fill(const struct vm *vm, uint8_t *page)
{
    struct loader_map_entry map[LOADER_MAP_MAX];
    size_t count = loader_memory_map(vm->low_page_count * PAGE_SIZE,
                                     (vm->page_count - vm->low_page_count) * PAGE_SIZE, map);

    for (size_t i = 0; i < count; i++) {
        uint8_t *entry = page + SETUP_MAP + i * 20;
        put_le64(entry, map[i].base);
        put_le64(entry + 8, map[i].size);
        put_le32(entry + 16, map[i].kind);
    }
    page[SETUP_MAP_COUNT] = (uint8_t)count;
}

static vmk_status zero_page_write(struct vm *vm, const struct loader_files *files,
                                  const struct linux_image *image,
                                  const struct placement *place, gpa_t rsdp)
{
    uint8_t *page = heap_alloc(PAGE_SIZE, MEM_OWNER_VMM);
    vmk_status status;

    if (!page)
        return VMK_NO_MEMORY;
    memcpy(page + SETUP_HEADER, files->kernel + SETUP_HEADER, image->header_end - SETUP_HEADER);
    page[SETUP_LOADER] = LOADER_UNDEFINED;
    put_le32(page + SETUP_CMDLINE, CMDLINE_AT);
    put_le32(page + SETUP_RAMDISK, (uint32_t)place->initrd);
    put_le32(page + SETUP_RAMDISK_SIZE, place->initrd ? (uint32_t)files->modules[0].size : 0);
    put_le64(page + SETUP_RSDP, rsdp.raw);
    map_fill(vm, page);
    status = vm_memory_write(vm, gpa_make(ZERO_PAGE), page, PAGE_SIZE);
    heap_free(page);
    return status;
}

static vmk_status linux_fail(const struct vm *vm, const char *what, vmk_status status)
{
    vmk_log(VMK_LOG_ERROR, "Loader: %s: %s: %s", vm->config.name, vm->config.kernel, what);
    return status;
}

static vmk_status image_write(struct vm *vm, const struct loader_files *files,
                              const struct linux_image *image, const struct placement *place)
{
    const char *cmdline = vm->config.cmdline;
    vmk_status status =
        vm_memory_write(vm, gpa_make(place->kernel), files->kernel + image->payload_offset,
                        (size_t)image->payload_size);

    if (status == VMK_OK && place->initrd)
        status = vm_memory_write(vm, gpa_make(place->initrd), files->modules[0].data,
                                 files->modules[0].size);
    if (status == VMK_OK)
        status = vm_memory_write(vm, gpa_make(CMDLINE_AT), cmdline, strlen(cmdline) + 1);
    return status;
}

vmk_status linux_load(struct vm *vm, const struct loader_files *files, gpa_t rsdp,
                      struct loader_entry *out)
{
    struct linux_image image;
    struct placement place;
    const char *what;
    vmk_status status = linux_image_parse(files->kernel, files->kernel_size, &image, &what);

    if (status != VMK_OK)
        return linux_fail(vm, what, status);
    if (strlen(vm->config.cmdline) > image.cmdline_max)
        return linux_fail(vm, "orrery.cmdline: longer than this kernel takes", VMK_LIMIT);
    what = placed(&image, vm->low_page_count * PAGE_SIZE, files->modules[0].size, &place);
    if (what)
        return linux_fail(vm, what, VMK_NO_MEMORY);
    status = low_tables_write(vm);
    if (status == VMK_OK)
        status = image_write(vm, files, &image, &place);
    if (status == VMK_OK)
        status = zero_page_write(vm, files, &image, &place, rsdp);
    if (status != VMK_OK)
        return linux_fail(vm, vmk_status_text(status), status);
    *out = (struct loader_entry){
        .long_mode = true,
        .rip = place.kernel + ENTRY_64,
        .rsp = STACK_TOP,
        .rsi = ZERO_PAGE,
        .cr3 = TABLES_AT,
        .gdt_base = GDT_AT,
        .gdt_limit = 4 * 8 - 1,
        .code_selector = 0x10,
        .data_selector = 0x18,
    };
    return VMK_OK;
}
