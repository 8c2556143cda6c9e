// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_emulate_x87.c -- x87 instructions with memory beside the host's processor.
 *
 * The same instruction runs on the host with the unit in the same state, exceptions masked or
 * not, the register stack empty, in between or full; what FXSAVE and memory say must be equal.
 */
#include "tests/unit/vmm_fixture.h"
#include "vmm/emulate_x87.h"

// clang-format off
#define ARITHMETIC(F, hex, letters, width)                                                      \
    F(hex "07", letters "add" width) F(hex "0f", letters "mul" width)                           \
    F(hex "17", letters "com" width) F(hex "1f", letters "comp" width)                          \
    F(hex "27", letters "sub" width) F(hex "2f", letters "subr" width)                          \
    F(hex "37", letters "div" width) F(hex "3f", letters "divr" width)
#define FORMS(F)                                                                               \
    F("d907", "flds") F("d917", "fsts") F("d91f", "fstps") F("db07", "fildl")                  \
    F("db0f", "fisttpl") F("db17", "fistl") F("db1f", "fistpl") F("db2f", "fldt")              \
    F("db3f", "fstpt") F("dd07", "fldl") F("dd0f", "fisttpll") F("dd17", "fstl")               \
    F("dd1f", "fstpl") F("df07", "filds") F("df0f", "fisttps") F("df17", "fists")              \
    F("df1f", "fistps") F("df27", "fbld") F("df2f", "fildll") F("df37", "fbstp")               \
    F("df3f", "fistpll") ARITHMETIC(F, "d8", "f", "s")                                \
    ARITHMETIC(F, "da", "fi", "l") ARITHMETIC(F, "dc", "f", "l")                                \
    ARITHMETIC(F, "de", "fi", "s")
// clang-format on

static const struct {
    const char *hex, *text;
} forms[] = {
#define FORM(hex, text) {hex, text},
    FORMS(FORM)};

static void host_execute(size_t form, uint8_t *area, uint8_t *bytes)
{
    static uint8_t own[512] __attribute__((aligned(16)));
    size_t i = 0;

    __asm__ volatile("fxsave64 (%0)\n\tfxrstor64 (%1)" : : "r"(own), "r"(area) : "memory");
#define HOST(hex, text)                                                                        \
    if (form == i++)                                                                           \
        __asm__ volatile(text " (%0)" : : "r"(bytes) : "memory");
    FORMS(HOST)
    __asm__ volatile("fxsave64 (%0)\n\tfnclex\n\tfxrstor64 (%1)"
                     :
                     : "r"(area), "r"(own)
                     : "memory");
}

static struct decoded decoded_of(const char *hex)
{
    uint8_t code[DECODE_LENGTH_MAX] = {0};
    struct decoded d;

    for (size_t i = 0; hex[2 * i]; i++)
        code[i] = (uint8_t)strtoul((char[]){hex[2 * i], hex[2 * i + 1], 0}, NULL, 16);
    ck_assert(decode(code, sizeof(code), 64, &d));
    return d;
}

/* What is loaded, or lies on top of the stack: numbers, and what is none or too large. */
static const long double values[] = {
    0.0L,    -0.0L,    1.0L,       -1.5L,     2.5L,    0.1L,       32767.5L,
    32768.L, -32768.L, 2147483647, 1e10L,     9.3e18L, 1e30L,      1e300L,
    1e400L,  1e-40L,   1e-310L,    -1e-4940L, 1e17L,   -999999.5L, __builtin_infl(),
};

/* A state of the unit with so many registers in use and `top` on top. */
static void state_make(uint8_t *area, unsigned used, const long double *top, uint16_t fcw)
{
    static uint8_t own[512] __attribute__((aligned(16)));
    const long double below = 3.25L;

    __asm__ volatile("fxsave64 (%0)\n\tfninit" : : "r"(own) : "memory");
    for (unsigned i = 0; i < used; i++)
        __asm__ volatile("fldt (%0)" : : "r"(i + 1 == used ? top : &below));
    __asm__ volatile("fxsave64 (%0)\n\tfxrstor64 (%1)" : : "r"(area), "r"(own) : "memory");
    memcpy(area, &fcw, 2);
}

static void compare(size_t form, unsigned used, const uint8_t from[10], const long double *top,
                    uint16_t fcw)
{
    static uint8_t area[512] __attribute__((aligned(16)));
    const struct decoded d = decoded_of(forms[form].hex);
    uint8_t host[10], ours[10];
    const uint64_t present = 3, rip = 0x1234, gla = 0x5678;
    enum x87_outcome outcome;
    struct x87_form move;
    const uint8_t *ours_area = cpu->fpu;
    uint64_t remembered;

    ck_assert_msg(x87_form_of(&d, &move), "%s", forms[form].text);
    state_make(area, used, top, fcw);
    memcpy(cpu->fpu, area, sizeof(area));
    memcpy(cpu->fpu + 512, &present, 8);
    memcpy(host, from, 10);
    memcpy(ours, from, 10);
    host_execute(form, area, host);
    outcome = x87_run(cpu, &move, rip, gla, ours);
    ck_assert_int_ne(outcome, X87_PENDING);
    // The exception that keeps a value from being stored must be known, whatever bytes hold.
    if (move.store && memcmp(host, from, 10) != 0)
        ck_assert_int_eq(outcome, X87_DONE);
    if (outcome == X87_NO_VALUE)
        memcpy(ours, from, 10);
    ck_assert_msg(!move.store || memcmp(host, ours, 10) == 0,
                  "%s of %Lg, used %u, fcw %x: memory", forms[form].text, *top, used, fcw);
    ck_assert_msg(memcmp(area, ours_area, 5) == 0,
                  "%s of %Lg, used %u, fcw %x: %02x%02x for %02x%02x", forms[form].text, *top,
                  used, fcw, ours_area[3], ours_area[2], area[3], area[2]);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_msg(memcmp(area + 32 + 16 * i, ours_area + 32 + 16 * i, 10) == 0,
                      "%s of %Lg, used %u, fcw %x: st%u", forms[form].text, *top, used, fcw, i);
    memcpy(&remembered, cpu->fpu + 8, 8);
    ck_assert_uint_eq(remembered, rip);
    memcpy(&remembered, cpu->fpu + 16, 8);
    ck_assert_uint_eq(remembered, gla);
}

START_TEST(test_x87_run__like_the_processor__all)
{
    static const uint16_t controls[] = {0x37f, 0x340, 0xf7f, 0x77f, 0xb40,
                                        0x35f, 0x37e, 0x377, 0x36f, 0x37d};
    static const uint8_t odd[][10] = {
        {1, 0, 0x80, 0x7f},                       // a signalling NaN of 4 bytes
        {1, 0, 0, 0, 0, 0, 0xf0, 0x7f},           // of 8
        {1, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x7f},  // of 10
        {1},                                      // denormal
        {0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 9, 0x80},  // a decimal
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
    };
    size_t form = (size_t)_i;
    uint8_t from[10];
    long double top;

    for (unsigned used = 0; used <= 8; used += used == 1 ? 6 : 1) {
        for (size_t c = 0; c < ARRAY_COUNT(controls); c++) {
            for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
                memcpy(from, &values[i], 10);
                compare(form, used, from, &values[i], controls[c]);
            }
            for (size_t i = 0; i < ARRAY_COUNT(odd); i++) {
                memset(&top, 0, sizeof(top));
                memcpy(&top, odd[i], 10);
                compare(form, used, odd[i], &top, controls[c]);
            }
        }
    }
}
END_TEST

START_TEST(test_x87_run__state_that_is_initial__starts_from_reset)
{
    const struct decoded d = decoded_of("dd07");
    const double one = 1;
    uint8_t bytes[X87_BYTES];
    uint64_t present = 0;
    struct x87_form move;

    memset(cpu->fpu, 0xcc, PLAT_FPU_AREA_SIZE);
    memcpy(cpu->fpu + 512, &present, 8);
    memset(cpu->fpu + 24, 0, 8);  // MXCSR
    memcpy(bytes, &one, sizeof(one));
    ck_assert(x87_form_of(&d, &move));
    ck_assert_int_eq(x87_run(cpu, &move, 1, 2, bytes), X87_DONE);
    ck_assert_int_eq(memcmp(cpu->fpu, "\x7f\3\0\x38\x80", 5), 0);
    ck_assert_int_eq(memcmp(cpu->fpu + 32, "\0\0\0\0\0\0\0\x80\xff\x3f", 10), 0);
    memcpy(&present, cpu->fpu + 512, 8);
    ck_assert_uint_eq(present, 1);
}
END_TEST

START_TEST(test_x87_run__exception_pending__nothing_done)
{
    static uint8_t area[512] __attribute__((aligned(16)));
    const struct decoded d = decoded_of("dd1f");
    const long double one = 1;
    const uint64_t present = 3;
    uint8_t bytes[X87_BYTES] = {7};
    uint8_t *ours = cpu->fpu;
    struct x87_form move;

    state_make(area, 1, &one, 0x37e);
    area[2] |= 0x81;  // IE, which is not masked, and ES
    memcpy(ours, area, sizeof(area));
    memcpy(ours + 512, &present, 8);
    ck_assert(x87_form_of(&d, &move));
    ck_assert_int_eq(x87_run(cpu, &move, 1, 2, bytes), X87_PENDING);
    ck_assert_int_eq(memcmp(ours, area, sizeof(area)), 0);
    ck_assert_uint_eq(bytes[0], 7);
}
END_TEST

START_TEST(test_x87_form_of__others__unknown)
{
    static const char *const others[] = {"d8c1", "dcc1", "dac1", "dec1",  "d927",
                                         "d937", "d92f", "dd27", "dd37",  "d9c0",
                                         "dbe3", "dd3f", "8b07", "0fd907"};
    const struct decoded d = decoded_of(others[_i]);
    struct x87_form move;

    ck_assert_msg(!x87_form_of(&d, &move), "%s", others[_i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("emulate_x87");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, fixture_start, fixture_stop);
    tcase_add_loop_test(all, test_x87_run__like_the_processor__all, 0, (int)ARRAY_COUNT(forms));
    tcase_add_test(all, test_x87_run__state_that_is_initial__starts_from_reset);
    tcase_add_test(all, test_x87_run__exception_pending__nothing_done);
    tcase_add_loop_test(all, test_x87_form_of__others__unknown, 0, 14);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
