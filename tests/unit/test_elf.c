// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_elf.c -- the reader of program headers.
 *
 * Goal: a good file is described exactly, and each thing that can be wrong is refused with a
 * reason.
 * Method: one good header pair, damaged in one field at a time.
 */
#include "user/elf.h"

#include <string.h>

#include "lib/elf.h"
#include "mem/aspace.h"
#include "tests/unit/kernel_test.h"

struct file {
    struct elf64_header head;
    struct elf64_segment program[3];
};

static struct file good(void)
{
    struct file f = {
        .head = {.ident = {0x7f, 'E', 'L', 'F', 2, 1, 1},
                 .type = 2,
                 .machine = 62,
                 .entry = 0x401010,
                 .phoff = 64,
                 .phentsize = 56,
                 .phnum = 3},
        .program = {{1, 4, 0, 0x400000, 0, 0x200, 0x200, 4096},
                    {1, 5, 0x1000, 0x401000, 0, 0x800, 0x800, 4096},
                    {1, 6, 0x1800, 0x402800, 0, 0x100, 0x2000, 4096}},
    };

    return f;
}

static vmk_status parse(const struct file *f, struct elf_image *image, const char **why)
{
    uint64_t offset, size;

    *why = "head";
    if (elf_head(&f->head, &offset, &size) != VMK_OK)
        return VMK_BAD_FORMAT;
    ck_assert_uint_eq(offset, 64);
    ck_assert_uint_eq(size, sizeof(f->program));
    return elf_parse(&f->head, f->program, 0x2000, image, why);
}

START_TEST(test_elf__good_file__is_described)
{
    struct file f = good();
    struct elf_image image;
    const char *why;

    ck_assert_int_eq(parse(&f, &image, &why), VMK_OK);
    ck_assert_uint_eq(image.entry, 0x401010);
    ck_assert_uint_eq(image.headers, 0x400040);
    ck_assert_uint_eq(image.segment_count, 3);
    ck_assert_uint_eq(image.low, 0x400000);
    ck_assert_uint_eq(image.high, 0x405000);
    ck_assert_uint_eq(image.segments[1].protection, ASPACE_READ | ASPACE_EXEC);
    ck_assert_uint_eq(image.segments[2].memory_size, 0x2000);
    ck_assert(!image.relocatable);
}
END_TEST

START_TEST(test_elf__one_thing_wrong__is_refused)
{
    struct elf_image image;
    const char *why;

    for (unsigned i = 0; i < 16; i++) {
        struct file f = good();

        switch (i) {
        case 0: f.head.ident[0] = 0; break;
        case 1: f.head.ident[4] = 1; break;  // 32 bit
        case 2: f.head.machine = 3; break;
        case 3: f.head.type = 1; break;
        case 4: f.head.phnum = 0; break;
        case 5: f.head.phentsize = 32; break;
        case 6: f.head.entry = 0x500000; break;
        case 7: f.program[1].filesz = 0x900, f.program[1].memsz = 0x800; break;
        case 8: f.program[1].offset = 0x3000; break;
        case 9: f.program[2].filesz = UINT64_MAX; break;
        case 10: f.program[2].memsz = UINT64_MAX - 0x1000; break;
        case 11: f.program[2].vaddr = ASPACE_END; break;
        case 12: f.program[2].vaddr = 0x401800; break;  // shares a page
        case 13: f.program[0].vaddr = 0x1000; break;    // below user space
        case 14: f.program[1].vaddr = 0x401004; break;  // offset and address differ
        case 15: f.program[0].type = f.program[1].type = f.program[2].type = 0; break;
        }
        why = NULL;
        ck_assert_msg(parse(&f, &image, &why) == VMK_BAD_FORMAT, "case %u is accepted", i);
        ck_assert_ptr_nonnull(why);
    }
}
END_TEST

START_TEST(test_elf__position_independent__may_start_at_zero)
{
    struct file f = good();
    struct elf_image image;
    const char *why;

    f.head.type = 3;
    f.head.entry -= 0x400000;
    for (unsigned i = 0; i < 3; i++)
        f.program[i].vaddr -= 0x400000;
    ck_assert_int_eq(parse(&f, &image, &why), VMK_OK);
    ck_assert(image.relocatable);
    ck_assert_uint_eq(image.low, 0);
}
END_TEST

KERNEL_TEST_MAIN("elf", RUNS(test_elf__good_file__is_described),
                 RUNS(test_elf__one_thing_wrong__is_refused),
                 RUNS(test_elf__position_independent__may_start_at_zero))
