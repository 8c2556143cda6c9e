// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_smbios.c -- entry points, structures and their strings.
 */
#include "tests/unit/device_fixture.h"
#include "vmm/dev/smbios.h"

static uint8_t out[0x4000];

static uint8_t sum(size_t at, size_t size)
{
    uint8_t total = 0;

    while (size-- > 0)
        total = (uint8_t)(total + out[at++]);
    return total;
}

/*
 * The offset of the n-th structure of a type, 0 if there is none; string `s` of it goes to
 * *text.
 */
static size_t find(uint8_t type, unsigned n, unsigned s, const char **text)
{
    size_t at = SMBIOS_ENTRY_SIZE;

    for (;;) {
        size_t strings = at + out[at + 1];
        size_t next = strings;
        bool mine = out[at] == type && n-- == 0;
        for (unsigned i = 1; out[next]; i++) {
            if (mine && i == s)
                *text = (const char *)out + next;
            next += strlen((const char *)out + next) + 1;
        }
        next += next == strings ? 2 : 1;
        if (mine)
            return at;
        if (out[at] == 127)
            return 0;
        at = next;
    }
}

static size_t build(void)
{
    for (unsigned i = 0; i < 16; i++)
        fix.vm.config.uuid[i] = (uint8_t)(0x56 + i);
    fix.vm.config.vcpus = 3;
    fix.vm.config.memory_mb = 4096;
    return smbios_build(&fix.vm.config, 3ull << 30, 1ull << 30, 0xf8000, out, sizeof(out));
}

START_TEST(test_smbios_entry__checksums_and_table)
{
    size_t size = build();
    uint16_t length;
    uint32_t address;

    ck_assert_uint_gt(size, SMBIOS_ENTRY_SIZE);
    ck_assert_int_eq(memcmp(out, "_SM_", 4), 0);
    ck_assert_uint_eq(sum(0, out[5]), 0);
    ck_assert_uint_eq(sum(16, 15), 0);
    ck_assert_int_eq(memcmp(out + 32, "_SM3_", 5), 0);
    ck_assert_uint_eq(sum(32, out[32 + 6]), 0);
    memcpy(&length, out + 0x16, 2);
    memcpy(&address, out + 0x18, 4);
    ck_assert_uint_eq(length, size - SMBIOS_ENTRY_SIZE);
    ck_assert_uint_eq(address, 0xf8000 + SMBIOS_ENTRY_SIZE);
}
END_TEST

START_TEST(test_smbios_system__vmware_by_its_serial_number)
{
    const char *text = NULL;
    size_t at;

    build();
    at = find(1, 0, 1, &text);
    ck_assert_str_eq(text, "VMware, Inc.");
    find(1, 0, 4, &text);
    ck_assert_str_eq(text, "VMware-56 57 58 59 5a 5b 5c 5d-5e 5f 60 61 62 63 64 65");
    ck_assert_uint_eq(out[at + 8], 0x59);   // first field little endian
    ck_assert_uint_eq(out[at + 16], 0x5e);  // last one as it stands
}
END_TEST

START_TEST(test_smbios_structures__processors_memory_end)
{
    const char *text = NULL;

    build();
    ck_assert_uint_ne(find(4, 2, 1, &text), 0);
    ck_assert_str_eq(text, "CPU #002");
    ck_assert_uint_eq(find(4, 3, 1, &text), 0);
    ck_assert_uint_ne(find(16, 0, 0, &text), 0);
    ck_assert_uint_ne(find(17, 0, 0, &text), 0);
    ck_assert_uint_ne(find(19, 1, 0, &text), 0);  // above 4 GB
    ck_assert_uint_ne(find(127, 0, 0, &text), 0);
}
END_TEST

START_TEST(test_smbios_room__too_little_is_zero)
{
    size_t size = build();

    for (size_t room = 0; room < size; room++) {
        uint8_t *exact = malloc(room + !room);
        ck_assert_uint_eq(smbios_build(&fix.vm.config, 3ull << 30, 1ull << 30, 0, exact, room),
                          0);
        free(exact);
    }
}
END_TEST

TEST_MAIN("smbios", test_smbios_entry__checksums_and_table,
          test_smbios_system__vmware_by_its_serial_number,
          test_smbios_structures__processors_memory_end, test_smbios_room__too_little_is_zero)
