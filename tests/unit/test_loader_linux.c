// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_loader_linux.c -- a made-up bzImage in a small VM: header checks and placement.
 */
#include "tests/unit/device_fixture.h"
#include "vmm/loader.h"

#define PAYLOAD 3000u
#define SIZE    (5u * 512u + PAYLOAD)

static uint8_t *image;

static void put(size_t at, uint64_t value, size_t size)
{
    memcpy(image + at, &value, size);
}

static void make(void)
{
    image = calloc(1, SIZE);
    for (size_t i = 5 * 512; i < SIZE; i++)
        image[i] = (uint8_t)(i * 7);
    put(0x1f1, 4, 1);
    put(0x1f4, (PAYLOAD + 15) / 16, 4);
    put(0x1fe, 0xaa55, 2);
    put(0x200, 0x66eb, 2);
    memcpy(image + 0x202, "HdrS", 4);
    put(0x206, 0x20f, 2);
    put(0x211, 1, 1);
    put(0x22c, 0x7fffffff, 4);
    put(0x230, 0x200000, 4);
    put(0x234, 1, 1);
    put(0x236, 0x7f, 2);
    put(0x238, 2047, 4);
    put(0x258, 0x200000, 8);
    put(0x260, 0x80000, 4);
}

static uint64_t ram(size_t at, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, fix.ram + at, size);
    return value;
}

const struct vt_backend *vt(void)
{
    return NULL;  // linux_load() needs none
}

START_TEST(test_linux_load__kernel_initrd_zero_page)
{
    struct loader_files files = {.modules = {{(const uint8_t *)"initrd", 6, "i", 1}},
                                 .module_count = 1};
    struct loader_entry entry;

    make();
    files.kernel = image;
    files.kernel_size = SIZE;
    strcpy(fix.vm.config.cmdline, "console=ttyS0");
    ck_assert_int_eq(linux_load(&fix.vm, &files, gpa_make(0xf0000), &entry), VMK_OK);
    ck_assert_uint_eq(entry.rip, 0x200200);
    ck_assert(entry.long_mode);
    ck_assert_mem_eq(fix.ram + 0x200000, image + 5 * 512, PAYLOAD);
    ck_assert_mem_eq(fix.ram + FIX_RAM - 4096, "initrd", 6);
    ck_assert_uint_eq(ram(entry.rsi + 0x218, 4), FIX_RAM - 4096);
    ck_assert_uint_eq(ram(entry.rsi + 0x21c, 4), 6);
    ck_assert_uint_eq(ram(entry.rsi + 0x202, 4), 0x53726448);
    ck_assert_uint_eq(ram(entry.rsi + 0x210, 1), 0xff);
    ck_assert_uint_eq(ram(entry.rsi + 0x070, 8), 0xf0000);
    ck_assert_str_eq((char *)fix.ram + ram(entry.rsi + 0x228, 4), "console=ttyS0");
    ck_assert_uint_eq(ram(entry.rsi + 0x1e8, 1), 4);
    ck_assert_uint_eq(ram(entry.rsi + 0x2d0 + 8, 8), 0x9fc00);
    // Page tables: 4 GB one to one.
    for (uint64_t page = 0; page < 2048; page++) {
        uint64_t pdpt = ram(entry.cr3, 8) & ~0xfffull;
        uint64_t pd = ram(pdpt + page / 512 * 8, 8) & ~0xfffull;
        ck_assert_uint_eq(ram(pd + page % 512 * 8, 8), page << 21 | 0x83);
    }
    ck_assert_uint_eq(ram(entry.gdt_base + 0x10, 8), 0x00af9b000000ffff);
    ck_assert_uint_eq(fix.heap_blocks, 0);
    free(image);
}
END_TEST

START_TEST(test_linux_load__does_not_fit)
{
    struct loader_files files = {0};
    struct loader_entry entry;

    make();
    put(0x260, FIX_RAM, 4);
    files.kernel = image;
    files.kernel_size = SIZE;
    ck_assert_int_eq(linux_load(&fix.vm, &files, gpa_make(0), &entry), VMK_NO_MEMORY);
    ck_assert_ptr_nonnull(strstr(fix.log, "memSize"));
    put(0x260, 0x80000, 4);
    put(0x258, 0x40000000, 8);  // out of RAM, but relocatable
    ck_assert_int_eq(linux_load(&fix.vm, &files, gpa_make(0), &entry), VMK_OK);
    ck_assert_uint_eq(entry.rip, 0x200200);
    put(0x234, 0, 1);
    ck_assert_int_eq(linux_load(&fix.vm, &files, gpa_make(0), &entry), VMK_NO_MEMORY);
    put(0x234, 1, 1);
    put(0x238, 4, 4);
    strcpy(fix.vm.config.cmdline, "longer");
    ck_assert_int_eq(linux_load(&fix.vm, &files, gpa_make(0), &entry), VMK_LIMIT);
    free(image);
}
END_TEST

static const struct {
    size_t at;
    uint64_t value;
    size_t size;
    const char *field;
} bad[] = {
    {0x1fe, 0, 2, "boot_flag"},
    {0x206, 0x20b, 2, "version"},
    {0x211, 0, 1, "loadflags"},
    {0x236, 0x7e, 2, "xloadflags"},
    {0x201, 0x10, 1, "jump"},
    {0x201, 0xff, 1, "jump"},
    {0x1f1, 60, 1, "setup_sects"},
    {0x1f4, 0xffffffff, 4, "syssize"},
    {0x230, 0x30000, 4, "kernel_alignment"},
    {0x230, 0, 4, "kernel_alignment"},
    {0x258, 0x1000, 8, "pref_address"},
    {0x258, UINT64_MAX, 8, "pref_address"},
};

START_TEST(test_linux_image_parse__names_the_bad_field)
{
    struct linux_image parsed;
    const char *what;

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        make();
        put(bad[i].at, bad[i].value, bad[i].size);
        ck_assert_int_ne(linux_image_parse(image, SIZE, &parsed, &what), VMK_OK);
        ck_assert_msg(strstr(what, bad[i].field) != NULL, "%s: %s", bad[i].field, what);
        free(image);
    }
}
END_TEST

START_TEST(test_linux_image_parse__cut_off_anywhere)
{
    struct linux_image parsed;
    const char *what;

    make();
    for (size_t size = 0; size < SIZE - 15; size++) {
        uint8_t *exact = malloc(size + !size);
        memcpy(exact, image, size);
        ck_assert_int_ne(linux_image_parse(exact, size, &parsed, &what), VMK_OK);
        free(exact);
    }
    free(image);
}
END_TEST

TEST_MAIN("loader_linux", test_linux_load__kernel_initrd_zero_page,
          test_linux_load__does_not_fit, test_linux_image_parse__names_the_bad_field,
          test_linux_image_parse__cut_off_anywhere)
