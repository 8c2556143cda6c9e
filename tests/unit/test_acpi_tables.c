// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_acpi_tables.c -- the tables' checksums, links and limits, and that the standard's
 * compiler can read the AML where it is installed.
 */
#include "tests/unit/device_fixture.h"

#include <unistd.h>

#include "vmm/dev/acpi_tables.h"

#define BASE 0xf0000u

static uint8_t tables[ACPI_TABLES_SIZE];

static uint32_t word(size_t at)
{
    uint32_t value;

    memcpy(&value, tables + at, 4);
    return value;
}

static uint8_t sum(size_t at, size_t size)
{
    uint8_t total = 0;

    while (size-- > 0)
        total = (uint8_t)(total + tables[at++]);
    return total;
}

/*
 * The offset of the table of that name, through the XSDT; its checksum is checked on the way.
 */
static size_t find(const char *name)
{
    size_t xsdt = word(24) - BASE;

    ck_assert_int_eq(memcmp(tables + xsdt, "XSDT", 4), 0);
    ck_assert_uint_eq(sum(xsdt, word(xsdt + 4)), 0);
    for (size_t at = xsdt + 36; at < xsdt + word(xsdt + 4); at += 8) {
        size_t table = word(at) - BASE;
        ck_assert_uint_eq(word(at + 4), 0);
        ck_assert_uint_eq(sum(table, word(table + 4)), 0);
        if (memcmp(tables + table, name, 4) == 0)
            return table;
    }
    ck_abort_msg("no %s", name);
    return 0;
}

START_TEST(test_acpi_tables__chain_and_checksums)
{
    size_t size = acpi_tables_build(4, BASE, tables, sizeof(tables));
    size_t fadt, dsdt, facs, rsdt;

    ck_assert_uint_gt(size, 0);
    ck_assert_int_eq(memcmp(tables, "RSD PTR ", 8), 0);
    ck_assert_uint_eq(sum(0, 20), 0);
    ck_assert_uint_eq(sum(0, 36), 0);
    fadt = find("FACP");
    facs = word(fadt + 36) - BASE;
    dsdt = word(fadt + 40) - BASE;
    rsdt = word(16) - BASE;
    ck_assert_int_eq(memcmp(tables + facs, "FACS", 4), 0);
    ck_assert_uint_eq((BASE + facs) % 64, 0);
    ck_assert_int_eq(memcmp(tables + dsdt, "DSDT", 4), 0);
    ck_assert_uint_eq(sum(dsdt, word(dsdt + 4)), 0);
    ck_assert_uint_eq(sum(rsdt, word(rsdt + 4)), 0);
    ck_assert_uint_eq(word(fadt + 140), BASE + dsdt);  // X_DSDT
    ck_assert_uint_eq(word(fadt + 76), 0x608);
}
END_TEST

START_TEST(test_acpi_tables__madt_counts_vcpus)
{
    for (unsigned vcpus = 1; vcpus <= VM_VCPUS_MAX; vcpus++) {
        size_t madt;
        unsigned lapics = 0;
        ck_assert_uint_gt(acpi_tables_build(vcpus, BASE, tables, sizeof(tables)), 0);
        madt = find("APIC");
        for (size_t at = madt + 44; at < madt + word(madt + 4); at += tables[at + 1]) {
            lapics += tables[at] == 0;
            if (tables[at] == 1)
                ck_assert_uint_eq(tables[at + 2], vcpus);
        }
        ck_assert_uint_eq(lapics, vcpus);
    }
}
END_TEST

START_TEST(test_acpi_tables__too_little_room_is_zero)
{
    size_t size = acpi_tables_build(8, BASE, tables, sizeof(tables));

    for (size_t room = 0; room < size; room++) {
        uint8_t *exact = malloc(room + !room);  // the sanitizer watches its end
        ck_assert_uint_eq(acpi_tables_build(8, BASE, exact, room), 0);
        free(exact);
    }
}
END_TEST

START_TEST(test_acpi_tables__aml_disassembles)
{
    char name[] = "/tmp/orrery-dsdt-XXXXXX";
    char command[256];
    size_t dsdt;
    int file;

    if (system("command -v iasl >/dev/null") != 0)
        return;
    ck_assert_uint_gt(acpi_tables_build(2, BASE, tables, sizeof(tables)), 0);
    dsdt = word(find("FACP") + 40) - BASE;
    file = mkstemp(name);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, tables + dsdt, word(dsdt + 4)), (ssize_t)word(dsdt + 4));
    close(file);
    // Disassembled and compiled again without errors, warnings or remarks.
    snprintf(command, sizeof(command),
             "iasl -d %s >%s.log 2>&1 && iasl %s.dsl >%s.log 2>&1 && "
             "grep -q '0 Errors, 0 Warnings, 0 Remarks' %s.log",
             name, name, name, name, name);
    if (system(command) != 0) {
        snprintf(command, sizeof(command), "cat %s.log %s.dsl", name, name);
        ck_assert_int_ge(system(command), 0);
        ck_abort_msg("iasl is not content");
    }
    snprintf(command, sizeof(command), "rm -f %s %s.*", name, name);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(test_vm_write_tables__lie_below_1_mb)
{
    gpa_t rsdp;

    ck_assert_int_eq(vm_write_tables(&fix.vm, &rsdp), VMK_OK);
    ck_assert_uint_eq(rsdp.raw, BASE);
    ck_assert_int_eq(memcmp(fix.ram + BASE, "RSD PTR ", 8), 0);
    ck_assert_int_eq(memcmp(fix.ram + SMBIOS_BASE, "_SM_", 4), 0);
    ck_assert_uint_eq(fix.heap_blocks, 0);
    fix.heap_left = 1;
    ck_assert_int_eq(vm_write_tables(&fix.vm, &rsdp), VMK_NO_MEMORY);
}
END_TEST

TEST_MAIN("acpi_tables", test_acpi_tables__chain_and_checksums,
          test_acpi_tables__madt_counts_vcpus, test_acpi_tables__too_little_room_is_zero,
          test_acpi_tables__aml_disassembles, test_vm_write_tables__lie_below_1_mb)
