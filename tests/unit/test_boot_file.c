// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_boot_file.c -- modules and archives as files.
 */
#include "tests/unit/device_fixture.h"
#include "vmm/boot_file.h"

static char archive[16384];
static size_t archive_size;

/* Appends a member; `break_sum` spoils its checksum. */
static void member(const char *name, char kind, const char *data, bool break_sum)
{
    char *h = archive + archive_size;
    size_t size = strlen(data);
    unsigned sum = break_sum;

    memset(h, 0, 512);
    strcpy(h, name);
    sprintf(h + 124, "%011zo", size);
    h[156] = kind;
    memcpy(h + 257, "ustar\00000", 8);
    memset(h + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)h[i];
    sprintf(h + 148, "%06o", sum);
    memcpy(h + 512, data, size);
    archive_size += 512 + round_up(size, 512);
}

static void module(const char *name, const void *data, size_t size)
{
    fix.modules[fix.module_count++] = (struct plat_module){name, data, size};
}

START_TEST(test_boot_file__modules_and_archive_members)
{
    const void *data;
    const char *name;
    size_t size;

    member("./vmlinuz", '0', "kernel", false);
    member("vms/", '5', "", false);
    member("vms/a.vmx", '0', "config", false);
    archive_size += 1024;
    module("plain", "hello", 5);
    module("modules.tar", archive, archive_size);
    ck_assert_uint_eq(boot_file_count(), 3);
    ck_assert(boot_file_at(2, &name, &data, &size));
    ck_assert_str_eq(name, "vms/a.vmx");
    ck_assert(!boot_file_at(3, &name, &data, &size));
    ck_assert_int_eq(boot_file_find("vmlinuz", &data, &size), VMK_OK);
    ck_assert_uint_eq(size, 6);
    ck_assert_mem_eq(data, "kernel", 6);
    ck_assert_int_eq(boot_file_find("a.vmx", &data, &size), VMK_OK);
    ck_assert_int_eq(boot_file_find("/boot/plain", &data, &size), VMK_OK);
    ck_assert_int_eq(boot_file_find("modules.tar", &data, &size), VMK_NOT_FOUND);
    ck_assert_int_eq(boot_file_find("vms/", &data, &size), VMK_NOT_FOUND);
    ck_assert_int_eq(boot_file_find("", &data, &size), VMK_NOT_FOUND);
}
END_TEST

START_TEST(test_boot_file__damaged_archive_is_named_and_skipped)
{
    member("good", '0', "1", false);
    member("bad", '0', "2", true);
    module("broken.tar", archive, archive_size);
    module("plain", "hello", 5);
    ck_assert_uint_eq(boot_file_count(), 1);
    ck_assert_str_eq(fix.log, "Boot: broken.tar: archive skipped: bad header checksum");
}
END_TEST

START_TEST(test_boot_file__archive_cut_off_anywhere)
{
    char *exact;

    member("a", '0', "1234567890", false);
    member("b", '0', "1234567890", false);
    for (size_t size = 0; size <= archive_size; size++) {
        exact = malloc(size + !size);  // the sanitizer watches its end
        memcpy(exact, archive, size);
        fix.module_count = 0;
        module("x.tar", exact, size);
        // A member counts when all of it is there: 512 bytes of head, 512 of data.
        ck_assert_uint_le(boot_file_count(), size < 1024 ? 1 : 2);
        free(exact);
    }
    fix.module_count = 0;
    module("x.tar", archive, archive_size);
    ck_assert_uint_eq(boot_file_count(), 2);
}
END_TEST

START_TEST(test_boot_file__bytes_spoiled_anywhere)
{
    uint32_t seed = 1;

    member("a", '0', "1234567890", false);
    member("b", '0', "1234567890", false);
    for (int i = 0; i < 20000; i++) {
        size_t at;
        char before;
        seed = seed * 1664525 + 1013904223;
        at = (seed >> 8) % archive_size;
        before = archive[at];
        archive[at] = (char)(seed >> 3);
        fix.module_count = 0;
        module("x.tar", archive, archive_size);
        ck_assert_uint_le(boot_file_count(), 2);
        archive[at] = before;
    }
}
END_TEST

TEST_MAIN("boot_file", test_boot_file__modules_and_archive_members,
          test_boot_file__damaged_archive_is_named_and_skipped,
          test_boot_file__archive_cut_off_anywhere, test_boot_file__bytes_spoiled_anywhere)
