// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_decode.c -- the instruction decoder against binutils, and its fields by hand.
 *
 * tests/golden/decode.txt holds instructions as `as` encoded them and objdump cut them apart.
 * For each the length must be the same, every shorter input must be called truncated, and bytes
 * that follow must change nothing. DECODE_GOLDEN in the environment names another such file.
 */
#include "vmm/decode.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/unit/suite_run.h"

static size_t unhex(const char *text, uint8_t *out, size_t room)
{
    size_t n = 0;
    unsigned byte;

    while (n < room && sscanf(text + 2 * n, "%2x", &byte) == 1)
        out[n++] = (uint8_t)byte;
    return n;
}

static void check_boundaries(unsigned mode, const uint8_t *bytes, size_t length,
                             const char *text)
{
    uint8_t padded[32];
    struct decoded d;

    ck_assert_msg(decode(bytes, length, mode, &d), "mode %u %s: not decoded", mode, text);
    ck_assert_msg(d.length == length, "mode %u %s: length %u", mode, text, d.length);
    for (size_t i = 0; i < length; i++)
        ck_assert_msg(!decode(bytes, i, mode, &d) && d.truncated, "mode %u %s: %zu bytes pass",
                      mode, text, i);
    memset(padded, 0x66, sizeof(padded));
    memcpy(padded, bytes, length);
    ck_assert_msg(decode(padded, sizeof(padded), mode, &d) && d.length == length,
                  "mode %u %s: length changes with what follows", mode, text);
}

START_TEST(test_decode__golden_corpus__same_lengths)
{
    const char *path = getenv("DECODE_GOLDEN");
    FILE *file = fopen(path ? path : "tests/golden/decode.txt", "r");
    unsigned mode, count = 0;
    char text[64];

    ck_assert_msg(file != NULL, "run from the root of the tree");
    while (fscanf(file, "%u %63s", &mode, text) == 2) {
        uint8_t bytes[16];
        size_t length = unhex(text, bytes, sizeof(bytes));

        check_boundaries(mode, bytes, length, text);
        count++;
    }
    fclose(file);
    ck_assert_uint_gt(count, 300);
}
END_TEST

static struct decoded decoded_of(unsigned mode, const char *hex)
{
    uint8_t bytes[16];
    size_t length = unhex(hex, bytes, sizeof(bytes));
    struct decoded d;

    ck_assert_msg(decode(bytes, length, mode, &d), "%s", hex);
    ck_assert_uint_eq(d.length, length);
    return d;
}

START_TEST(test_decode__mov_with_sib__fields)
{
    struct decoded d = decoded_of(64, "4e8b4c83f0");  // mov -0x10(%rbx,%r8,4), %r9

    ck_assert_uint_eq(d.opcode, 0x8b);
    ck_assert_uint_eq(d.operand_size, 8);
    ck_assert_uint_eq(d.address_size, 8);
    ck_assert_uint_eq(d.reg, 9);
    ck_assert_int_eq(d.base, 3);
    ck_assert_int_eq(d.index, 8);
    ck_assert_uint_eq(d.scale, 4);
    ck_assert_int_eq(d.displacement, -0x10);
    ck_assert_uint_eq(d.segment, DECODE_DS);
}
END_TEST

START_TEST(test_decode__rip_relative__base_is_rip)
{
    struct decoded d = decoded_of(64, "c705040000002a000000");  // movl $42, 4(%rip)

    ck_assert_int_eq(d.base, DECODE_REG_RIP);
    ck_assert_int_eq(d.displacement, 4);
    ck_assert_uint_eq(d.immediate, 42);
    ck_assert_uint_eq(d.immediate_size, 4);
    d = decoded_of(32, "c705040000002a000000");
    ck_assert_int_eq(d.base, DECODE_REG_NONE);
}
END_TEST

START_TEST(test_decode__stack_bases__use_ss)
{
    ck_assert_uint_eq(decoded_of(64, "890424").segment, DECODE_SS);    // (%rsp)
    ck_assert_uint_eq(decoded_of(64, "894500").segment, DECODE_SS);    // (%rbp)
    ck_assert_uint_eq(decoded_of(64, "41894500").segment, DECODE_DS);  // (%r13)
    ck_assert_uint_eq(decoded_of(16, "8902").segment, DECODE_SS);      // (%bp,%si)
    ck_assert_uint_eq(decoded_of(32, "64890424").segment, DECODE_FS);
    ck_assert_uint_eq(decoded_of(64, "2e890424").segment, DECODE_SS);  // CS: means nothing
}
END_TEST

START_TEST(test_decode__prefixes__sizes)
{
    ck_assert_uint_eq(decoded_of(16, "8907").operand_size, 2);
    ck_assert_uint_eq(decoded_of(16, "668907").operand_size, 4);
    ck_assert_uint_eq(decoded_of(16, "678907").address_size, 4);
    ck_assert_uint_eq(decoded_of(32, "668907").operand_size, 2);
    ck_assert_uint_eq(decoded_of(32, "678907").address_size, 2);
    ck_assert_uint_eq(decoded_of(64, "668907").operand_size, 2);
    ck_assert_uint_eq(decoded_of(64, "66488907").operand_size, 8);
    ck_assert_uint_eq(decoded_of(64, "48668907").operand_size, 2);  // REX before a prefix
    ck_assert_uint_eq(decoded_of(64, "678907").address_size, 4);
    ck_assert(decoded_of(64, "f3a4").rep);
    ck_assert(decoded_of(64, "f0480fc10a").lock);
}
END_TEST

START_TEST(test_decode__moffs__is_memory)
{
    struct decoded d = decoded_of(64, "a18003e0fe00000000");

    ck_assert(d.has_memory);
    ck_assert_int_eq(d.base, DECODE_REG_NONE);
    ck_assert_int_eq(d.displacement, 0xfee00380);
}
END_TEST

START_TEST(test_decode__sixteen_bytes__is_too_long)
{
    uint8_t bytes[16];
    struct decoded d;

    memset(bytes, 0x66, sizeof(bytes));
    bytes[14] = 0x90;
    ck_assert(decode(bytes, 16, 64, &d));
    ck_assert_uint_eq(d.length, 15);
    bytes[14] = 0x66;
    bytes[15] = 0x90;
    ck_assert(!decode(bytes, 16, 64, &d));
    ck_assert(!d.truncated);
}
END_TEST

START_TEST(test_decode__gone_in_64_bit_mode__refused)
{
    static const char *const gone[] = {"06",         "1e",         "27", "60",  "d40a",
                                       "ea00000000", "9a00000000", "ce", "8200"};
    uint8_t bytes[16];
    struct decoded d;
    size_t length = unhex(gone[_i], bytes, sizeof(bytes));

    ck_assert(!decode(bytes, length, 64, &d));
    ck_assert(!d.truncated);
}
END_TEST

/*
 * Every one- and two-byte opcode with every ModRM byte, in each mode: no bad read, sane length.
 */
START_TEST(test_decode__opcodes__all)
{
    static const unsigned modes[] = {16, 32, 64};
    unsigned mode = modes[_i % 3];
    bool two = _i >= 3;

    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned modrm = 0; modrm < 256; modrm++)
            for (size_t count = 0; count <= 15; count++) {
                uint8_t *bytes = calloc(1, count ? count : 1);  // for ASan: no byte more
                uint8_t full[15] = {0};
                size_t at = 0;
                struct decoded d;

                if (two)
                    full[at++] = 0x0f;
                full[at++] = (uint8_t)opcode;
                full[at] = (uint8_t)modrm;
                memcpy(bytes, full, count);
                if (decode(bytes, count, mode, &d)) {
                    ck_assert_uint_ge(d.length, 1);
                    ck_assert_uint_le(d.length, count);
                }
                free(bytes);
            }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("decode");
    TCase *all = tcase_create("decode");

    tcase_set_timeout(all, 120);
    tcase_add_test(all, test_decode__golden_corpus__same_lengths);
    tcase_add_test(all, test_decode__mov_with_sib__fields);
    tcase_add_test(all, test_decode__rip_relative__base_is_rip);
    tcase_add_test(all, test_decode__stack_bases__use_ss);
    tcase_add_test(all, test_decode__prefixes__sizes);
    tcase_add_test(all, test_decode__moffs__is_memory);
    tcase_add_test(all, test_decode__sixteen_bytes__is_too_long);
    tcase_add_loop_test(all, test_decode__gone_in_64_bit_mode__refused, 0, 9);
    tcase_add_loop_test(all, test_decode__opcodes__all, 0, 6);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
