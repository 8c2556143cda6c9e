// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_loader_multiboot.c -- made-up Multiboot kernels, and vCPU 0's state at its start.
 */
#include "tests/unit/device_fixture.h"
#include "vmm/dev/bios.h"
#include "vmm/loader.h"

/* No guest here has a BIOS. */
vmk_status bios_load(struct vm *vm)
{
    (void)vm;
    return VMK_UNSUPPORTED;
}

#define SIZE 0x400u

static uint8_t *image;

static void put(size_t at, uint32_t value, size_t size)
{
    memcpy(image + at, &value, size);
}

/* Header at 0x100, one segment of 0x100 bytes at 1 MB with 0x2000 bytes of memory. */
static void make(uint32_t flags)
{
    static const uint32_t segment[8] = {1, 0x200, 0xc0100000, 0x100000, 0x100, 0x2000, 7, 4096};

    image = calloc(1, SIZE);
    memcpy(image,
           "\x7f"
           "ELF\1\1\1",
           7);
    put(0x18, 0x100010, 4);
    put(0x1c, 0x34, 4);
    put(0x2a, 32, 2);
    put(0x2c, 1, 2);
    memcpy(image + 0x34, segment, 32);
    put(0x100, 0x1badb002, 4);
    put(0x104, flags, 4);
    put(0x108, 0u - 0x1badb002u - flags, 4);
    memset(image + 0x200, 0xcc, 0x100);
}

static uint32_t ram(size_t at)
{
    uint32_t value;

    memcpy(&value, fix.ram + at, 4);
    return value;
}

/* ---- a back end that writes down what it is told ---- */

static uint64_t regs[VT_REG_COUNT];
static struct vt_segment segments[VT_SEG_COUNT];

static void set(struct vcpu *v, enum vt_reg reg, uint64_t value)
{
    (void)v;
    regs[reg] = value;
}

static void set_segment(struct vcpu *v, enum vt_seg seg, const struct vt_segment *in)
{
    (void)v;
    segments[seg] = *in;
}

const struct vt_backend *vt(void)
{
    static const struct vt_backend recorder = {.set = set, .set_segment = set_segment};

    return &recorder;
}

START_TEST(test_vm_load_kernel__multiboot_entry_state)
{
    uint32_t info;

    make(3);
    fix.modules[0] = (struct plat_module){"k.elf", image, SIZE};
    fix.modules[1] = (struct plat_module){"mod", "module!", 7};
    fix.modules[2] = (struct plat_module){"second", "more", 4};
    fix.module_count = 3;
    strcpy(fix.vm.config.kernel, "k.elf");
    strcpy(fix.vm.config.initrd, "mod, second with words");
    strcpy(fix.vm.config.cmdline, "a b");
    memset(fix.ram, 0xee, FIX_RAM);
    ck_assert_int_eq(vm_load_kernel(&fix.vm), VMK_OK);
    ck_assert_uint_eq(fix.vcpu.regs.gpr[GPR_RAX], 0x2badb002);
    info = (uint32_t)fix.vcpu.regs.gpr[GPR_RBX];
    ck_assert_uint_eq(regs[VT_RIP], 0x100010);
    ck_assert_uint_eq(regs[VT_CR0] & 0x80000001u, 1);
    ck_assert_uint_eq(regs[VT_EFER], 0);
    ck_assert_uint_eq(regs[VT_RFLAGS], 2);
    ck_assert_uint_eq(segments[VT_CS].rights, 0xc09b);
    ck_assert_uint_eq(segments[VT_CS].limit, UINT32_MAX);
    ck_assert_int_eq(fix.vcpu.state, VCPU_RUNNING);
    ck_assert_uint_eq(ram(0x100000), 0xcccccccc);
    ck_assert_uint_eq(ram(0x100100), 0);  // BSS
    ck_assert_uint_eq(ram(0x101ffc), 0);
    ck_assert_uint_eq(ram(0x102000 + 7 + 1), 0xeeeeeeee);
    ck_assert_uint_eq(ram(info), 0x24d);
    ck_assert_uint_eq(ram(info + 4), 639);
    ck_assert_uint_eq(ram(info + 8), (FIX_RAM - (1 << 20)) / 1024);
    ck_assert_str_eq((char *)fix.ram + ram(info + 16), "k.elf a b");
    ck_assert_uint_eq(ram(info + 20), 2);
    ck_assert_uint_eq(ram(ram(info + 24)), 0x102000);
    ck_assert_uint_eq(ram(ram(info + 24) + 4), 0x102007);
    ck_assert_mem_eq(fix.ram + 0x102000, "module!", 7);
    ck_assert_str_eq((char *)fix.ram + ram(ram(info + 24) + 8), "mod");
    ck_assert_uint_eq(ram(ram(info + 24) + 16), 0x103000);
    ck_assert_uint_eq(ram(ram(info + 24) + 20), 0x103004);
    ck_assert_mem_eq(fix.ram + 0x103000, "more", 4);
    ck_assert_str_eq((char *)fix.ram + ram(ram(info + 24) + 24), "second with words");
    // What a BIOS would have left: EBDA, size of low memory, vectors that return.
    ck_assert_uint_eq(ram(0x40e) & 0xffff, 0x9fc0);
    ck_assert_uint_eq(ram(0x413) & 0xffff, 639);
    ck_assert_uint_eq(ram(0x10 * 4), 0xf000ff53);
    ck_assert_uint_eq(ram(0xfff53) & 0xff, 0xcf);
    ck_assert_uint_eq(ram(0x15 * 4), 0xf000ff54);
    ck_assert_uint_eq(ram(0xfff54) & 0xffffff, 0xe58955);
    ck_assert_uint_eq(ram(0x12 * 4), 0xf000ff5d);
    ck_assert_uint_eq(ram(0xfff5d), 0xcf027fb8);
    ck_assert_uint_eq(ram(info + 44), 4 * 24);
    ck_assert_uint_eq(ram(ram(info + 48)), 20);
    ck_assert_uint_eq(ram(ram(info + 48) + 12), 0x9fc00);
    ck_assert_str_eq((char *)fix.ram + ram(info + 64), "Orrery");
    ck_assert_uint_eq(fix.heap_blocks, 0);
    free(image);
}
END_TEST

START_TEST(test_vm_load_kernel__too_many_modules)
{
    make(3);
    fix.modules[0] = (struct plat_module){"k.elf", image, SIZE};
    fix.module_count = 1;
    strcpy(fix.vm.config.kernel, "k.elf");
    strcpy(fix.vm.config.initrd, "k.elf,k.elf,k.elf,k.elf,k.elf,k.elf,k.elf,k.elf,k.elf");
    ck_assert_int_eq(vm_load_kernel(&fix.vm), VMK_LIMIT);
    ck_assert_ptr_nonnull(strstr(fix.log, "orrery.initrd: more than 8 files"));
    strcpy(fix.vm.config.initrd, "k.elf,none");
    ck_assert_int_eq(vm_load_kernel(&fix.vm), VMK_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(fix.log, "no file \"none\" among"));
    free(image);
}
END_TEST

START_TEST(test_multiboot_image_parse__elf64_counts_by_its_segments)
{
    static const uint64_t segment[7] = {
        7ull << 32 | 1, 0x200, 0xffff800000100000, 0x100000, 0x100, 0x2000, 4096};
    struct multiboot_image parsed;
    const char *what;

    make(3);
    image[4] = 2;
    memset(image + 0x14, 0, 0x100 - 0x14);
    put(0x18, 0x100010, 4);
    put(0x20, 0x40, 4);
    put(0x36, 56, 2);
    put(0x38, 1, 2);
    memcpy(image + 0x40, segment, 56);
    ck_assert_int_eq(multiboot_image_parse(image, SIZE, &parsed, &what), VMK_OK);
    ck_assert_uint_eq(parsed.entry, 0x100010);
    ck_assert_uint_eq(parsed.segment_count, 1);
    ck_assert_uint_eq(parsed.segments[0].address, 0x100000);
    ck_assert_uint_eq(parsed.segments[0].file_offset, 0x200);
    ck_assert_uint_eq(parsed.segments[0].memory_size, 0x2000);
    put(0x1c, 1, 4);
    ck_assert_int_eq(multiboot_image_parse(image, SIZE, &parsed, &what), VMK_BAD_FORMAT);
    ck_assert_ptr_nonnull(strstr(what, "entry"));
    put(0x1c, 0, 4);
    put(0x40 + 24 + 4, 1, 4);  // physical address: 4 GB and more
    ck_assert_int_eq(multiboot_image_parse(image, SIZE, &parsed, &what), VMK_BAD_FORMAT);
    ck_assert_ptr_nonnull(strstr(what, "4 GB"));
    put(0x40 + 24 + 4, 0, 4);
    put(0x40 + 40 + 4, 0xffffffff, 4);  // a size that wraps
    ck_assert_int_eq(multiboot_image_parse(image, SIZE, &parsed, &what), VMK_BAD_FORMAT);
    free(image);
}
END_TEST

START_TEST(test_vm_load_kernel__missing_and_unknown_files)
{
    strcpy(fix.vm.config.kernel, "nothing");
    strcpy(fix.vm.config.name, "vm1");
    ck_assert_int_eq(vm_load_kernel(&fix.vm), VMK_NOT_FOUND);
    ck_assert_str_eq(fix.log,
                     "Loader: vm1: orrery.kernel: no file \"nothing\" among the boot modules");
    fix.modules[0] = (struct plat_module){"nothing", "text", 4};
    fix.module_count = 1;
    ck_assert_int_eq(vm_load_kernel(&fix.vm), VMK_BAD_FORMAT);
    ck_assert_ptr_nonnull(strstr(fix.log, "neither a bzImage nor a Multiboot kernel"));
}
END_TEST

START_TEST(test_multiboot_load__segment_outside_ram)
{
    struct loader_files files = {0};
    struct loader_entry entry;

    make(0);
    put(0x34 + 12, FIX_RAM - 0x1000, 4);
    files.kernel = image;
    files.kernel_size = SIZE;
    ck_assert_int_eq(multiboot_load(&fix.vm, &files, &entry), VMK_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(fix.log, "memSize 4 MB"));
    free(image);
}
END_TEST

START_TEST(test_multiboot_load__information_moves_away_from_a_low_kernel)
{
    struct loader_files files = {0};
    struct loader_entry entry;

    make(0);
    put(0x34 + 12, 0x8000, 4);
    files.kernel = image;
    files.kernel_size = SIZE;
    ck_assert_int_eq(multiboot_load(&fix.vm, &files, &entry), VMK_OK);
    ck_assert_uint_eq(entry.rbx, 0x100000);
    free(image);
}
END_TEST

START_TEST(test_multiboot_image_parse__addresses_in_the_header)
{
    struct multiboot_image parsed;
    const char *what;

    make(0x10003);
    put(0x10c, 0x200100, 4);  // header_addr
    put(0x110, 0x200080, 4);  // load_addr: file offset 0x80
    put(0x114, 0, 4);         // to the end of the file
    put(0x118, 0x201000, 4);
    put(0x11c, 0x200123, 4);
    ck_assert_int_eq(multiboot_image_parse(image, SIZE, &parsed, &what), VMK_OK);
    ck_assert_uint_eq(parsed.segment_count, 1);
    ck_assert_uint_eq(parsed.segments[0].file_offset, 0x80);
    ck_assert_uint_eq(parsed.segments[0].file_size, SIZE - 0x80);
    ck_assert_uint_eq(parsed.segments[0].memory_size, 0x201000 - 0x200080);
    ck_assert_uint_eq(parsed.entry, 0x200123);
    put(0x110, 0x200000 - 1, 4);
    ck_assert_int_eq(multiboot_image_parse(image, SIZE, &parsed, &what), VMK_BAD_FORMAT);
    free(image);
}
END_TEST

static const struct {
    size_t at;
    uint32_t value;
    size_t size;
    const char *word;
} bad[] = {
    {4, 3, 1, "32 nor 64"},
    {0, 0, 4, "neither"},
    {0x1c, 0xfffffff0, 4, "program headers"},
    {0x2a, 56, 2, "e_phentsize"},
    {0x2c, 0, 2, "nothing to load"},
    {0x2c, 0xffff, 2, "program headers"},
    {0x34 + 4, 0xffffff00, 4, "outside the file"},
    {0x34 + 16, 0x3000, 4, "outside the file"},
    {0x34 + 20, 0x10, 4, "larger in the file"},
    {0x34 + 12, 0xfffff000, 4, "4 GB"},
    {0x108, 1, 4, "no Multiboot header"},
};

START_TEST(test_multiboot_image_parse__names_what_is_bad)
{
    struct multiboot_image parsed;
    const char *what;

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        make(0);
        put(bad[i].at, bad[i].value, bad[i].size);
        ck_assert_int_ne(multiboot_image_parse(image, SIZE, &parsed, &what), VMK_OK);
        ck_assert_msg(strstr(what, bad[i].word) != NULL, "%s: %s", bad[i].word, what);
        free(image);
    }
    make(0x8);
    ck_assert_int_eq(multiboot_image_parse(image, SIZE, &parsed, &what), VMK_UNSUPPORTED);
    free(image);
}
END_TEST

TEST_MAIN("loader_multiboot", test_vm_load_kernel__too_many_modules,
          test_multiboot_image_parse__elf64_counts_by_its_segments,
          test_vm_load_kernel__multiboot_entry_state,
          test_vm_load_kernel__missing_and_unknown_files,
          test_multiboot_load__segment_outside_ram,
          test_multiboot_load__information_moves_away_from_a_low_kernel,
          test_multiboot_image_parse__addresses_in_the_header,
          test_multiboot_image_parse__names_what_is_bad)
