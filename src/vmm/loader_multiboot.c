// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/loader_multiboot.c -- loads a Multiboot-1 kernel: ELF segments or the header's addresses.
 *
 * Teaching and test kernels come so. The kernel starts in 32-bit protected mode without paging,
 * EAX the magic, EBX the information structure. That structure with everything it points to
 * (command line, memory map, the modules of orrery.initrd, names) is one block, put at 9000 if
 * the kernel leaves that place free and behind the kernel otherwise; the modules follow the
 * kernel, each on a page of its own. An ELF64 file is taken as GRUB takes it: only its segments
 * count, and the kernel still starts in 32-bit mode.
 *
 * Invariants
 *   - Segments parsed lie in the file; each is checked against RAM by vm_memory_write().
 *   - Information block and modules overlap no segment: both lie outside [lowest, end) or in a
 *     place that info_place() found free.
 * Locking    vm->lock not held; the VM is not running.
 * Sources    [MULTIBOOT] 0.6.96 "The specification"; [ELF] "Program Header"
 */
#include "core/log.h"
#include "lib/elf.h"
#include "lib/format.h"
#include "lib/string.h"
#include "vmm/loader.h"

#define SEARCH_BYTES     8192u
#define HEADER_MAGIC     0x1badb002u
#define ENTRY_MAGIC      0x2badb002u
#define HEADER_REQUIRED  0x0000ffffu
#define HEADER_KNOWN     0x00000007u  // page-aligned modules, memory info, video (a wish)
#define HEADER_ADDRESSES 0x00010000u
#define INFO_LOW         0x9000u
#define INFO_SIZE        0x2000u

struct multiboot_header {
    uint32_t magic, flags, checksum;
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
} packed_layout;

struct multiboot_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table;
    uint32_t boot_loader_name, apm_table;
    uint32_t vbe[4];
} packed_layout;
_Static_assert(sizeof(struct multiboot_info) == 88, "Multiboot information up to VBE");

#define INFO_MEMORY  BIT(0)
#define INFO_CMDLINE BIT(2)
#define INFO_MODS    BIT(3)
#define INFO_MMAP    BIT(6)
#define INFO_LOADER  BIT(9)

struct multiboot_module {
    uint32_t start, end, string, reserved;
} packed_layout;

struct multiboot_map {
    uint32_t size;  // of what follows
    uint64_t base, length;
    uint32_t kind;
} packed_layout;
_Static_assert(sizeof(struct multiboot_map) == 24, "Multiboot memory map entry");

/* Everything the kernel is told, as it lies in guest memory. */
struct info_block {
    struct multiboot_info info;
    struct multiboot_module modules[LOADER_MODULES];
    struct multiboot_map map[LOADER_MAP_MAX];
    char loader[8];
    char module_strings[VM_INITRD_SIZE];  // one after the other, each with its NUL
    char cmdline[VM_NAME_SIZE + 1 + VM_CMDLINE_SIZE];
} packed_layout;
_Static_assert(sizeof(struct info_block) <= INFO_SIZE, "information block fits its place");

/* Finds the header; false if there is none. */
static bool header_find(const uint8_t *file, size_t size, struct multiboot_header *out,
                        uint64_t *offset)
{
    size_t end = MIN(size, (size_t)SEARCH_BYTES);

    for (size_t at = 0; at + 12 <= end; at += 4) {
        memset(out, 0, sizeof(*out));
        memcpy(out, file + at, MIN(sizeof(*out), size - at));
        if (out->magic != HEADER_MAGIC || out->magic + out->flags + out->checksum != 0)
            continue;
        *offset = at;
        return true;
    }
    return false;
}

bool multiboot_is_image(const uint8_t *file, size_t size)
{
    struct multiboot_header header;
    uint64_t offset;

    return header_find(file, size, &header, &offset);
}

static vmk_status segment_add(struct multiboot_image *image, struct multiboot_segment s,
                              size_t size, const char **what)
{
    *what = "segment: its bytes lie outside the file";
    if (s.file_offset > size || s.file_size > size - s.file_offset)
        return VMK_BAD_FORMAT;
    *what = "segment: larger in the file than in memory";
    if (s.file_size > s.memory_size)
        return VMK_BAD_FORMAT;
    *what = "segment: does not end below 4 GB";
    if (s.address > UINT32_MAX || s.memory_size > UINT32_MAX - s.address)
        return VMK_BAD_FORMAT;
    *what = "too many segments";
    if (image->segment_count == MULTIBOOT_SEGMENTS)
        return VMK_LIMIT;
    image->segments[image->segment_count++] = s;
    image->end = MAX(image->end, s.address + s.memory_size);
    return VMK_OK;
}

/* The header's own addresses: one segment, and its BSS. */
static vmk_status addresses_parse(const struct multiboot_header *h, uint64_t header_offset,
                                  size_t size, struct multiboot_image *out, const char **what)
{
    struct multiboot_segment s = {.address = h->load_addr};

    *what = "Multiboot header: load_addr is above header_addr";
    if (h->load_addr > h->header_addr)
        return VMK_BAD_FORMAT;
    *what = "Multiboot header: load_addr lies before the file's start";
    if (h->header_addr - h->load_addr > header_offset)
        return VMK_BAD_FORMAT;
    s.file_offset = header_offset - (h->header_addr - h->load_addr);
    *what = "Multiboot header: load_end_addr is below load_addr";
    if (h->load_end_addr && h->load_end_addr < h->load_addr)
        return VMK_BAD_FORMAT;
    s.file_size = h->load_end_addr ? h->load_end_addr - h->load_addr : size - s.file_offset;
    *what = "Multiboot header: bss_end_addr is below the loaded part";
    if (h->bss_end_addr && h->bss_end_addr < s.address + s.file_size)
        return VMK_BAD_FORMAT;
    s.memory_size = h->bss_end_addr ? h->bss_end_addr - s.address : s.file_size;
    out->entry = h->entry_addr;
    return segment_add(out, s, size, what);
}

/* The two classes of ELF, as what both have. */
struct elf_facts {
    uint64_t entry, table;
    unsigned count, entry_size, wanted_size;
};

static struct elf_facts elf_facts_read(const uint8_t *file, bool wide)
{
    if (wide) {
        struct elf64_header e;

        memcpy(&e, file, sizeof(e));
        return (struct elf_facts){e.entry, e.phoff, e.phnum, e.phentsize,
                                  sizeof(struct elf64_segment)};
    }

    struct elf32_header e;

    memcpy(&e, file, sizeof(e));
    return (struct elf_facts){e.entry, e.phoff, e.phnum, e.phentsize,
                              sizeof(struct elf32_segment)};
}

/* False: nothing to load. */
static bool elf_segment_read(const uint8_t *at, bool wide, struct multiboot_segment *out)
{
    if (wide) {
        struct elf64_segment p;

        memcpy(&p, at, sizeof(p));
        *out = (struct multiboot_segment){p.offset, p.filesz, p.paddr, p.memsz};
        return p.type == PT_LOAD && p.memsz;
    }

    struct elf32_segment p;

    memcpy(&p, at, sizeof(p));
    *out = (struct multiboot_segment){p.offset, p.filesz, p.paddr, p.memsz};
    return p.type == PT_LOAD && p.memsz;
}

static vmk_status elf_parse(const uint8_t *file, size_t size, struct multiboot_image *out,
                            const char **what)
{
    struct elf_facts e;
    bool wide;

    *what = "neither an ELF file nor a Multiboot header with addresses";
    if (size < sizeof(struct elf32_header) || memcmp(file,
                                                     "\x7f"
                                                     "ELF",
                                                     4) != 0)
        return VMK_UNSUPPORTED;
    wide = file[4] == ELF_CLASS_64;
    *what = "ELF header: neither 32 nor 64 bits, or not little endian";
    if ((file[4] != ELF_CLASS_32 && !wide) || file[5] != ELF_LITTLE_ENDIAN)
        return VMK_UNSUPPORTED;
    *what = "ELF header: program headers lie outside the file";
    if (wide && size < sizeof(struct elf64_header))
        return VMK_BAD_FORMAT;
    e = elf_facts_read(file, wide);
    *what = "ELF header: e_phentsize is not that of its class";
    if (e.count && e.entry_size != e.wanted_size)
        return VMK_BAD_FORMAT;
    *what = "ELF header: program headers lie outside the file";
    if (e.table > size || (uint64_t)e.count * e.wanted_size > size - e.table)
        return VMK_BAD_FORMAT;
    for (unsigned i = 0; i < e.count; i++) {
        struct multiboot_segment s;
        vmk_status status;

        if (!elf_segment_read(file + e.table + (uint64_t)i * e.wanted_size, wide, &s))
            continue;
        status = segment_add(out, s, size, what);
        if (status != VMK_OK)
            return status;
    }
    *what = "ELF header: the entry is not below 4 GB";
    if (e.entry > UINT32_MAX)
        return VMK_BAD_FORMAT;
    out->entry = e.entry;
    *what = "ELF header: nothing to load";
    return out->segment_count ? VMK_OK : VMK_BAD_FORMAT;
}

vmk_status multiboot_image_parse(const uint8_t *file, size_t size, struct multiboot_image *out,
                                 const char **what)
{
    struct multiboot_header header;
    uint64_t offset;

    memset(out, 0, sizeof(*out));
    *what = "no Multiboot header in the first 8 KB";
    if (!header_find(file, size, &header, &offset))
        return VMK_BAD_FORMAT;
    *what = "Multiboot header: flags ask for something unknown";
    if (header.flags & HEADER_REQUIRED & ~HEADER_KNOWN)
        return VMK_UNSUPPORTED;
    if (header.flags & HEADER_ADDRESSES)
        return addresses_parse(&header, offset, size, out, what);
    return elf_parse(file, size, out, what);
}

static bool is_free(const struct multiboot_image *image, uint64_t base, uint64_t size)
{
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct multiboot_segment *s = &image->segments[i];
        if (s->address < base + size && base < s->address + s->memory_size)
            return false;
    }
    return true;
}

/* Where the block goes; moves *end behind it if that is after the kernel. */
static uint64_t info_place(const struct multiboot_image *image, uint64_t *end)
{
    uint64_t place;

    if (is_free(image, INFO_LOW, INFO_SIZE))
        return INFO_LOW;
    place = round_up(*end, PAGE_SIZE);
    *end = place + INFO_SIZE;
    return place;
}

static vmk_status segments_write(struct vm *vm, const uint8_t *file,
                                 const struct multiboot_image *image)
{
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct multiboot_segment *s = &image->segments[i];
        vmk_status status = VMK_OK;
        if (s->file_size)
            status = vm_memory_write(vm, gpa_make(s->address), file + s->file_offset,
                                     (size_t)s->file_size);
        if (status == VMK_OK)
            status = loader_memory_clear(vm, s->address + s->file_size,
                                         s->memory_size - s->file_size);
        if (status != VMK_OK)
            return status;
    }
    return VMK_OK;
}

/* The guest address of a part of the block. */
#define INFO_AT(place, member) ((uint32_t)((place) + offsetof(struct info_block, member)))

/* The modules' places and strings; `strings` takes them one after the other. */
static void modules_fill(uint64_t place, const struct loader_files *files,
                         const uint32_t *addresses, struct info_block *out)
{
    size_t at = 0;

    for (size_t i = 0; i < files->module_count; i++) {
        const struct loader_module *m = &files->modules[i];

        out->modules[i] =
            (struct multiboot_module){.start = addresses[i],
                                      .end = (uint32_t)(addresses[i] + m->size),
                                      .string = INFO_AT(place, module_strings) + (uint32_t)at};
        at += (size_t)vmk_snprintf(out->module_strings + at, sizeof(out->module_strings) - at,
                                   "%.*s", (int)m->text_size, m->text) +
              1;
    }
}

static void info_fill(const struct vm *vm, uint64_t place, const struct loader_files *files,
                      const uint32_t *addresses, struct info_block *out)
{
    uint64_t low = vm->low_page_count * PAGE_SIZE;
    struct loader_map_entry map[LOADER_MAP_MAX];
    size_t count =
        loader_memory_map(low, (vm->page_count - vm->low_page_count) * PAGE_SIZE, map);

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < count; i++)
        out->map[i] = (struct multiboot_map){.size = sizeof(out->map[0]) - 4,
                                             .base = map[i].base,
                                             .length = map[i].size,
                                             .kind = map[i].kind};
    memcpy(out->loader, "Orrery", 7);
    vmk_snprintf(out->cmdline, sizeof(out->cmdline), "%s%s%s", vm->config.kernel,
                 vm->config.cmdline[0] ? " " : "", vm->config.cmdline);
    modules_fill(place, files, addresses, out);
    out->info = (struct multiboot_info){
        .flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODS | INFO_MMAP | INFO_LOADER,
        .mem_lower = LOADER_LOW_END / 1024,
        .mem_upper = low > BIT(20) ? (uint32_t)((low - BIT(20)) / 1024) : 0,
        .cmdline = INFO_AT(place, cmdline),
        .mods_count = (uint32_t)files->module_count,
        .mods_addr = INFO_AT(place, modules),
        .mmap_length = (uint32_t)(count * sizeof(out->map[0])),
        .mmap_addr = INFO_AT(place, map),
        .boot_loader_name = INFO_AT(place, loader),
    };
}

static vmk_status info_write(struct vm *vm, uint64_t place, const struct loader_files *files,
                             const uint32_t *addresses)
{
    struct info_block *block = heap_alloc(sizeof(*block), MEM_OWNER_VMM);
    vmk_status status;

    if (!block)
        return VMK_NO_MEMORY;
    info_fill(vm, place, files, addresses, block);
    status = vm_memory_write(vm, gpa_make(place), block, sizeof(*block));
    heap_free(block);
    return status;
}

/* Each on a page of its own from `end` on. */
static vmk_status modules_write(struct vm *vm, uint64_t end, const struct loader_files *files,
                                uint32_t *addresses)
{
    vmk_status status = VMK_OK;

    for (size_t i = 0; i < files->module_count && status == VMK_OK; i++) {
        const struct loader_module *m = &files->modules[i];

        end = round_up(end, PAGE_SIZE);
        if (end > UINT32_MAX || m->size > UINT32_MAX - end)
            return VMK_LIMIT;
        addresses[i] = (uint32_t)end;
        status = vm_memory_write(vm, gpa_make(end), m->data, m->size);
        end += m->size;
    }
    return status;
}

vmk_status multiboot_load(struct vm *vm, const struct loader_files *files,
                          struct loader_entry *out)
{
    struct multiboot_image image;
    const char *what;
    uint64_t end, info;
    uint32_t addresses[LOADER_MODULES] = {0};
    vmk_status status = multiboot_image_parse(files->kernel, files->kernel_size, &image, &what);

    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "Loader: %s: %s: %s", vm->config.name, vm->config.kernel, what);
        return status;
    }
    end = MAX(image.end, BIT(20));
    info = info_place(&image, &end);
    status = loader_legacy_write(vm);
    if (status == VMK_OK)
        status = segments_write(vm, files->kernel, &image);
    if (status == VMK_OK)
        status = modules_write(vm, end, files, addresses);
    if (status == VMK_OK)
        status = info_write(vm, info, files, addresses);
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "Loader: %s: %s: does not fit into memSize %u MB: %s",
                vm->config.name, vm->config.kernel, vm->config.memory_mb,
                vmk_status_text(status));
        return status;
    }
    *out = (struct loader_entry){
        .rip = image.entry,
        .rax = ENTRY_MAGIC,
        .rbx = info,
        .code_selector = 0x08,
        .data_selector = 0x10,
    };
    return VMK_OK;
}
