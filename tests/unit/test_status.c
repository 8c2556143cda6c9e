// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_status.c -- the names and sentences of statuses.
 *
 * The names are written out here, because what is compared with its own .def cannot be wrong.
 *
 * Invariants
 *   - The list below has every status: a new one fails the count until it is added.
 * Locking    none.
 */
#include <string.h>

#include "core/status.h"
#include "tests/unit/kernel_test.h"

static const struct {
    vmk_status status;
    const char *name;
} all[] = {
    {VMK_OK, "OK"},
    {VMK_BAD_PARAM, "BAD_PARAM"},
    {VMK_NO_MEMORY, "NO_MEMORY"},
    {VMK_NOT_FOUND, "NOT_FOUND"},
    {VMK_EXISTS, "EXISTS"},
    {VMK_BUSY, "BUSY"},
    {VMK_IO_ERROR, "IO_ERROR"},
    {VMK_TIMEOUT, "TIMEOUT"},
    {VMK_KILLED, "KILLED"},
    {VMK_BAD_FORMAT, "BAD_FORMAT"},
    {VMK_UNSUPPORTED, "UNSUPPORTED"},
    {VMK_LIMIT, "LIMIT"},
    {VMK_AGAIN, "AGAIN"},
    {VMK_INTERRUPTED, "INTERRUPTED"},
    {VMK_FAULT, "FAULT"},
    {VMK_NO_PERMISSION, "NO_PERMISSION"},
    {VMK_NOT_OWNER, "NOT_OWNER"},
    {VMK_NOT_DIR, "NOT_DIR"},
    {VMK_IS_DIR, "IS_DIR"},
    {VMK_NOT_EMPTY, "NOT_EMPTY"},
    {VMK_NAME_TOO_LONG, "NAME_TOO_LONG"},
    {VMK_TOO_MANY_LINKS, "TOO_MANY_LINKS"},
    {VMK_CROSS_DEVICE, "CROSS_DEVICE"},
    {VMK_READ_ONLY, "READ_ONLY"},
    {VMK_NO_SPACE, "NO_SPACE"},
    {VMK_OVER_QUOTA, "OVER_QUOTA"},
    {VMK_TOO_BIG, "TOO_BIG"},
    {VMK_NOT_TTY, "NOT_TTY"},
    {VMK_BAD_SEEK, "BAD_SEEK"},
    {VMK_BROKEN_PIPE, "BROKEN_PIPE"},
    {VMK_NO_DEVICE, "NO_DEVICE"},
    {VMK_CORRUPT, "CORRUPT"},
    {VMK_FENCED, "FENCED"},
    {VMK_CONTENDED, "CONTENDED"},
    {VMK_BAD_HANDLE, "BAD_HANDLE"},
    {VMK_REFUSED, "REFUSED"},
    {VMK_NOT_CONNECTED, "NOT_CONNECTED"},
    {VMK_CONNECTED, "CONNECTED"},
    {VMK_ADDRESS_IN_USE, "ADDRESS_IN_USE"},
    {VMK_WRONG_TYPE, "WRONG_TYPE"},
    {VMK_DEADLOCK, "DEADLOCK"},
};

START_TEST(test_status__each__its_name_and_a_text)
{
    ck_assert_int_eq(VMK_OK, 0);
    ck_assert_uint_eq(ARRAY_COUNT(all), VMK_STATUS_COUNT);
    for (unsigned i = 0; i < ARRAY_COUNT(all); i++) {
        ck_assert_str_eq(vmk_status_name(all[i].status), all[i].name);
        ck_assert_uint_gt(strlen(vmk_status_text(all[i].status)), 0);
        ck_assert_str_ne(vmk_status_text(all[i].status), "an unknown status");
    }
}
END_TEST

START_TEST(test_status__texts__all_different)
{
    for (int a = 0; a < VMK_STATUS_COUNT; a++) {
        for (int b = 0; b < a; b++)
            ck_assert_str_ne(vmk_status_text((vmk_status)a), vmk_status_text((vmk_status)b));
    }
}
END_TEST

START_TEST(test_status__out_of_range__says_so)
{
    unsigned values[] = {VMK_STATUS_COUNT, VMK_STATUS_COUNT + 1u, 0x7fffffffu};

    for (unsigned i = 0; i < ARRAY_COUNT(values); i++) {
        ck_assert_str_eq(vmk_status_name((vmk_status)values[i]), "UNKNOWN");
        ck_assert_str_eq(vmk_status_text((vmk_status)values[i]), "an unknown status");
    }
}
END_TEST

KERNEL_TEST_MAIN("status", RUNS(test_status__each__its_name_and_a_text),
                 RUNS(test_status__texts__all_different),
                 RUNS(test_status__out_of_range__says_so))
