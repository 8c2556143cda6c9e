// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_emulate_vector.c -- which moves of vector registers are known, and the save area after them.
 */
#include "tests/unit/vmm_fixture.h"
#include "vmm/emulate_vector.h"

static struct vector_move move_of(const char *hex, unsigned mode, bool *known)
{
    uint8_t bytes[DECODE_LENGTH_MAX] = {0};
    struct vector_move move;
    struct decoded d;

    for (size_t i = 0; hex[2 * i]; i++)
        bytes[i] = (uint8_t)strtoul((char[]){hex[2 * i], hex[2 * i + 1], 0}, NULL, 16);
    ck_assert(decode(bytes, sizeof(bytes), mode, &d));
    *known = vector_move_of(&d, &move);
    return move;
}

START_TEST(test_vector_move__forms__size_side_and_alignment)
{
    static const struct {
        const char *hex;
        struct vector_move move;
    } rows[] = {
        {"440f1007", {.size = 16, .reg = 8}},                        // movups
        {"0f2907", {.size = 16, .store = true, .aligned = true}},    // movaps
        {"f30f1107", {.size = 4, .store = true}},                    // movss
        {"f20f1007", {.size = 8}},                                   // movsd
        {"0f1607", {.size = 8, .offset = 8, .merge = true}},         // movhps
        {"660f6e07", {.size = 4}},                                   // movd
        {"66480f7e07", {.size = 8, .store = true}},                  // movq
        {"660f6f07", {.size = 16, .aligned = true}},                 // movdqa
        {"f30f7f07", {.size = 16, .store = true}},                   // movdqu
        {"660fe707", {.size = 16, .store = true, .aligned = true}},  // movntdq
        {"660f382a07", {.size = 16, .aligned = true}},               // movntdqa
        {"c5fe6f07", {.size = 32, .zero_upper = true}},              // vmovdqu ymm
        {"c5f87f07", {0}},                                           // no prefix: none
        {"c5f92907", {.size = 16, .store = true, .aligned = true, .zero_upper = true}},
        {"440f6f07", {.size = 8, .mmx = true}},  // movq mm0
        {"0f7f1f", {.size = 8, .mmx = true, .store = true, .reg = 3}},
        {"0f6e07", {.size = 4, .mmx = true}},                   // movd
        {"480f7e07", {.size = 8, .mmx = true, .store = true}},  // movq
        {"0fe707", {.size = 8, .mmx = true, .store = true}},    // movntq
        {"c5f86f07", {0}},                                      // no VEX form
        {"0f5807", {0}},                                        // ADDPS
        {"c5f01607", {0}},                                      // VMOVHPS with three operands
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        bool known;
        struct vector_move move = move_of(rows[i].hex, 64, &known);

        ck_assert_msg(known == (rows[i].move.size != 0), "%s", rows[i].hex);
        if (known)
            ck_assert_msg(memcmp(&move, &rows[i].move, sizeof(move)) == 0, "%s", rows[i].hex);
    }
}
END_TEST

START_TEST(test_vector_load__save_area__only_what_the_move_names)
{
    uint8_t *area = cpu->fpu;
    const uint8_t from[32] = {[0] = 1, [7] = 8, [15] = 16, [31] = 32};
    uint8_t bytes[VECTOR_BYTES];
    uint64_t present = 0;

    memset(area, 0xcc, PLAT_FPU_AREA_SIZE);
    memcpy(area + 512, &present, 8);  // XSTATE_BV: all is zero, whatever stands there
    vector_get(cpu, &(struct vector_move){.reg = 3}, bytes);
    ck_assert_uint_eq(bytes[0], 0);
    vector_load(cpu, &(struct vector_move){.size = 16, .reg = 3}, from);
    vector_get(cpu, &(struct vector_move){.reg = 3}, bytes);
    ck_assert_int_eq(memcmp(bytes, from, 16), 0);
    vector_get(cpu, &(struct vector_move){.reg = 4}, bytes);
    ck_assert_uint_eq(bytes[0], 0);
    vector_load(cpu, &(struct vector_move){.size = 32, .reg = 3, .zero_upper = true}, from);
    vector_get(cpu, &(struct vector_move){.reg = 3}, bytes);
    ck_assert_int_eq(memcmp(bytes, from, 32), 0);
    vector_load(cpu, &(struct vector_move){.size = 8, .offset = 8, .merge = true, .reg = 3},
                from);
    vector_get(cpu, &(struct vector_move){.reg = 3}, bytes);
    ck_assert_uint_eq(bytes[7], 8);
    ck_assert_uint_eq(bytes[8], 1);
    ck_assert_uint_eq(bytes[31], 32);
    vector_load(cpu, &(struct vector_move){.size = 4, .reg = 3, .zero_upper = true}, from);
    vector_get(cpu, &(struct vector_move){.reg = 3}, bytes);
    ck_assert_uint_eq(bytes[0], 1);
    ck_assert_uint_eq(bytes[7] | bytes[15] | bytes[31], 0);
}
END_TEST

/*
 * What FXSAVE says after some pushes, then after an MMX move on the host; and of ours on the
 * first.
 */
static void host_mmx(unsigned pushes, bool store, uint64_t *value, uint8_t before[512],
                     uint8_t after[512])
{
    __asm__ volatile("fninit");
    for (unsigned i = 0; i < pushes; i++)
        __asm__ volatile("fildl %0" : : "m"(pushes));
    __asm__ volatile("fxsave (%0)" : : "r"(before) : "memory");
    if (store)
        __asm__ volatile("movq %%mm5, %0" : "=m"(*value));
    else
        __asm__ volatile("movq %0, %%mm5" : : "m"(*value));
    __asm__ volatile("fxsave (%0)\n\temms\n\tfninit" : : "r"(after) : "memory");
}

static void mmx_compare(bool store, unsigned pushes)
{
    static uint8_t before[512] __attribute__((aligned(16)));
    static uint8_t after[512] __attribute__((aligned(16)));
    const struct vector_move move = {.size = 8, .mmx = true, .reg = 5, .store = store};
    const uint64_t present = 3;
    uint64_t value = 0x1122334455667788;
    uint8_t bytes[VECTOR_BYTES] = {0};

    host_mmx(pushes, store, &value, before, after);
    memcpy(cpu->fpu, before, sizeof(before));
    memcpy(cpu->fpu + 512, &present, 8);
    if (store) {
        vector_get(cpu, &move, bytes);
        ck_assert_int_eq(memcmp(bytes, &value, 8), 0);
    } else {
        memcpy(bytes, &value, 8);
        vector_load(cpu, &move, bytes);
    }
    ck_assert_int_eq(memcmp(cpu->fpu, after, 5), 0);  // FCW, FSW, FTW
    for (unsigned i = 0; i < 8; i++)
        ck_assert_msg(memcmp(cpu->fpu + 32 + 16 * i, after + 32 + 16 * i, 10) == 0, "st%u", i);
}

START_TEST(test_vector_move__mmx__x87_unit_like_the_processor)
{
    for (unsigned pushes = 0; pushes <= 8; pushes++) {
        mmx_compare(false, pushes);
        mmx_compare(true, pushes);
    }
}
END_TEST

START_TEST(test_vector_load__mmx_without_state__starts_from_reset)
{
    const uint8_t from[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    const struct vector_move move = {.size = 4, .mmx = true, .reg = 7};
    uint8_t bytes[VECTOR_BYTES];
    uint64_t present = 0;

    memset(cpu->fpu, 0xcc, PLAT_FPU_AREA_SIZE);
    memcpy(cpu->fpu + 512, &present, 8);
    vector_load(cpu, &move, from);
    vector_get(cpu, &move, bytes);
    ck_assert_int_eq(memcmp(bytes, "\1\2\3\4\0\0\0\0", 8), 0);  // MOVD zeroes the rest
    ck_assert_int_eq(memcmp(cpu->fpu, "\x7f\3\0\0\xff", 5), 0);
    memcpy(&present, cpu->fpu + 512, 8);
    ck_assert_uint_eq(present, 1);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {test_vector_move__forms__size_side_and_alignment,
                                  test_vector_load__save_area__only_what_the_move_names,
                                  test_vector_move__mmx__x87_unit_like_the_processor,
                                  test_vector_load__mmx_without_state__starts_from_reset};

    return fixture_run("emulate_vector", tests, ARRAY_COUNT(tests));
}
