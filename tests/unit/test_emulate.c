// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_emulate.c -- emulated device accesses against the processor that runs the test.
 *
 * Each read-modify-write form is executed twice from the same bytes: by the host's processor on
 * a plain array, and by emulate_mmio() on a device that holds what is written. Memory,
 * registers and flags must come out equal for all corner values. The rest (addresses, faults)
 * has the expected state written out. Strings are in test_emulate_string.c.
 */
#include "tests/unit/emulate_fixture.h"

static void code(const void *bytes, size_t size)
{
    memcpy(m.ram + CODE_AT, bytes, size);
}

/* ---- against the host's processor ---- */

struct state {
    uint64_t rax, rcx, rdx, flags;
    uint64_t memory[4];
};

// clang-format off
/*
 * Each form uses memory at (%rdi), %rcx and %rax; the host's run also says where its bytes are.
 */
#define FORMS(F)                                                                               \
    F(addb, "addb %%cl, (%%rdi)") F(addw, "addw %%cx, (%%rdi)") F(addl, "addl %%ecx, (%%rdi)") \
    F(addq, "addq %%rcx, (%%rdi)") F(addh, "addb %%ch, (%%rdi)")                               \
    F(addbr, "addb (%%rdi), %%cl") F(addlr, "addl (%%rdi), %%ecx")                             \
    F(adcb, "adcb %%cl, (%%rdi)") F(adcl, "adcl %%ecx, (%%rdi)") F(adcq, "adcq %%rcx, (%%rdi)") \
    F(adcri, "adcl $-1, (%%rdi)") F(sbbb, "sbbb %%cl, (%%rdi)")                                \
    F(sbbl, "sbbl %%ecx, (%%rdi)") F(sbbq, "sbbq %%rcx, (%%rdi)")                              \
    F(subb, "subb %%cl, (%%rdi)") F(subw, "subw %%cx, (%%rdi)") F(subl, "subl %%ecx, (%%rdi)") \
    F(subq, "subq %%rcx, (%%rdi)") F(subqr, "subq (%%rdi), %%rcx")                             \
    F(andl, "andl %%ecx, (%%rdi)") F(andi, "andl $0x7f, (%%rdi)") F(andq, "andq $-2, (%%rdi)") \
    F(orb, "orb $0x80, (%%rdi)") F(orw, "orw $0x1234, (%%rdi)") F(orq, "orq %%rcx, (%%rdi)")   \
    F(xorl, "xorl %%ecx, (%%rdi)") F(xorqr, "xorq (%%rdi), %%rcx")                             \
    F(cmpb, "cmpb %%cl, (%%rdi)") F(cmpl, "cmpl %%ecx, (%%rdi)") F(cmplr, "cmpl (%%rdi), %%ecx") \
    F(cmpq, "cmpq $0x12345678, (%%rdi)") F(testb, "testb %%cl, (%%rdi)")                       \
    F(testi, "testl $0x80000001, (%%rdi)") F(testq, "testq $-1, (%%rdi)")                      \
    F(incb, "incb (%%rdi)") F(incl, "incl (%%rdi)") F(incq, "incq (%%rdi)")                    \
    F(decb, "decb (%%rdi)") F(decw, "decw (%%rdi)") F(decq, "decq (%%rdi)")                    \
    F(notl, "notl (%%rdi)") F(negb, "negb (%%rdi)") F(negl, "negl (%%rdi)")                    \
    F(negq, "negq (%%rdi)") F(xchgb, "xchgb %%ch, (%%rdi)") F(xchgl, "xchgl %%ecx, (%%rdi)")   \
    F(xchgq, "xchgq %%rcx, (%%rdi)") F(xaddb, "lock xaddb %%cl, (%%rdi)")                      \
    F(xaddl, "lock xaddl %%ecx, (%%rdi)") F(xaddq, "xaddq %%rcx, (%%rdi)")                     \
    F(cxb, "lock cmpxchgb %%cl, (%%rdi)") F(cxw, "cmpxchgw %%cx, (%%rdi)")                     \
    F(cxq, "lock cmpxchgq %%rcx, (%%rdi)") F(btl, "btl $5, (%%rdi)") F(btsl, "btsl $31, (%%rdi)") \
    F(btrq, "btrq $40, (%%rdi)") F(btcw, "btcw $15, (%%rdi)")                                  \
    F(movb, "movb %%ch, (%%rdi)") F(movl, "movl %%ecx, (%%rdi)") F(movq, "movq %%rcx, (%%rdi)") \
    F(movbr, "movb (%%rdi), %%ch") F(movwr, "movw (%%rdi), %%cx") F(movlr, "movl (%%rdi), %%ecx") \
    F(movqr, "movq (%%rdi), %%rcx") F(movbi, "movb $-1, (%%rdi)") F(movwi, "movw $-2, (%%rdi)") \
    F(movli, "movl $-3, (%%rdi)") F(movqi, "movq $-4, (%%rdi)")                                \
    F(movzbl, "movzbl (%%rdi), %%ecx") F(movzwq, "movzwq (%%rdi), %%rcx")                      \
    F(movsbw, "movsbw (%%rdi), %%cx") F(movsbl, "movsbl (%%rdi), %%ecx")                       \
    F(movswq, "movswq (%%rdi), %%rcx") F(movslq, "movslq (%%rdi), %%rcx")                      \
    F(movnti, "movnti %%rcx, (%%rdi)") F(setc, "setc (%%rdi)") F(setle, "setle (%%rdi)")       \
    F(cmovc, "cmovcl (%%rdi), %%ecx") F(cmovnc, "cmovncl (%%rdi), %%ecx")                      \
    F(cmovg, "cmovgq (%%rdi), %%rcx") F(sib, "addl %%ecx, 8(%%rdi)")

/*
 * The manual leaves some flags of these undefined: OF of shifts by more than one, all but CF
 * and OF of products.
 */
#define UNDEFINED_FORMS(F)                                                                     \
    F(rolb, "rolb %%cl, (%%rdi)", OF) F(rolw, "rolw $3, (%%rdi)", OF) F(rorq, "rorq %%cl, (%%rdi)", OF) \
    F(rorl, "rorl $1, (%%rdi)", 0) F(roll, "roll $1, (%%rdi)", 0) F(rclb, "rclb %%cl, (%%rdi)", OF) \
    F(rclw, "rclw %%cl, (%%rdi)", OF) F(rclq, "rclq $1, (%%rdi)", 0) F(rcrl, "rcrl %%cl, (%%rdi)", OF) \
    F(rcrw, "rcrw %%cl, (%%rdi)", OF) F(rcrb, "rcrb $1, (%%rdi)", 0) F(shll, "shll %%cl, (%%rdi)", OF | AF) \
    F(shlb1, "shlb $1, (%%rdi)", AF) F(shlq, "shlq $63, (%%rdi)", OF | AF)                      \
    F(shrl, "shrl %%cl, (%%rdi)", OF | AF) F(shrw1, "shrw $1, (%%rdi)", AF)                     \
    F(shrq, "shrq %%cl, (%%rdi)", OF | AF) F(sarb, "sarb $7, (%%rdi)", OF | AF)                 \
    F(sarl, "sarl %%cl, (%%rdi)", OF | AF) F(sarq1, "sarq $1, (%%rdi)", AF)                     \
    F(shldl, "shldl $7, %%ecx, (%%rdi)", OF | AF) F(shldq, "shldq %%cl, %%rax, (%%rdi)", OF | AF) \
    F(shrdl, "shrdl %%cl, %%eax, (%%rdi)", OF | AF) F(shrdw, "shrdw $1, %%cx, (%%rdi)", AF)      \
    F(shldw, "shldw $15, %%cx, (%%rdi)", OF | AF)                                              \
    F(imulw, "imulw (%%rdi), %%cx", PRODUCT) F(imull, "imull (%%rdi), %%ecx", PRODUCT)         \
    F(imulq, "imulq (%%rdi), %%rcx", PRODUCT) F(imuli, "imull $1000, (%%rdi), %%ecx", PRODUCT) \
    F(imulib, "imulq $-3, (%%rdi), %%rcx", PRODUCT) F(mulb, "mulb (%%rdi)", PRODUCT)           \
    F(mulw, "mulw (%%rdi)", PRODUCT) F(mull, "mull (%%rdi)", PRODUCT) F(mulq, "mulq (%%rdi)", PRODUCT) \
    F(imul1b, "imulb (%%rdi)", PRODUCT) F(imul1l, "imull (%%rdi)", PRODUCT)                    \
    F(imul1q, "imulq (%%rdi)", PRODUCT) F(bsfl, "bsfl (%%rdi), %%ecx", SCAN)                   \
    F(bsfq, "bsfq (%%rdi), %%rcx", SCAN) F(bsrw, "bsrw (%%rdi), %%cx", SCAN)                   \
    F(bsrq, "bsrq (%%rdi), %%rcx", SCAN) F(popcntl, "popcntl (%%rdi), %%ecx", 0)               \
    F(popcntq, "popcntq (%%rdi), %%rcx", 0)

#define RUN(name, text, ...)                                                                      \
    static void run_##name(struct state *s, const uint8_t **from, const uint8_t **to)          \
    {                                                                                          \
        __asm__ volatile("leaq -256(%%rsp), %%rsp\n\tpushq %2\n\tpopfq\n"                      \
                         "771:\t" text "\n772:\tpushfq\n\tpopq %2\n\t"                         \
                         "leaq 256(%%rsp), %%rsp\n\tleaq 771b(%%rip), %3\n\t"                  \
                         "leaq 772b(%%rip), %4"                                                \
                         : "+a"(s->rax), "+c"(s->rcx), "+r"(s->flags), "=&r"(*from), "=&r"(*to), "+d"(s->rdx) \
                         : "D"(s->memory)                                                      \
                         : "memory", "cc");                                                    \
    }
FORMS(RUN)
UNDEFINED_FORMS(RUN)

enum {
    OF = 0x800,
    AF = 0x10,
    PRODUCT = 0x0d4,  // SF ZF AF PF
    SCAN = 0x895      // all but ZF
};

static const struct form {
    const char *text;
    void (*run)(struct state *s, const uint8_t **from, const uint8_t **to);
    uint64_t undefined;
} forms[] = {
#define ROW(name, text, ...) {text, run_##name, (0 __VA_OPT__(|) __VA_ARGS__)},
    FORMS(ROW) UNDEFINED_FORMS(ROW)};

// clang-format on
START_TEST(test_emulate_mmio__like_the_processor__all)
{
    static const uint64_t values[] = {0,
                                      1,
                                      0x7f,
                                      0x80,
                                      0xff,
                                      0x7fff,
                                      0x8000,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      0x8000000000000000,
                                      0x7fffffffffffffff,
                                      UINT64_MAX,
                                      0x123456789abcdef0};
    const struct form *form = &forms[_i];

    for (size_t i = 0; i < ARRAY_COUNT(values) * ARRAY_COUNT(values) * 2; i++) {
        uint64_t start = values[i / 2 % ARRAY_COUNT(values)];
        uint64_t other = values[i / 2 / ARRAY_COUNT(values)];
        uint64_t flags = i & 1 ? 0x2 | FLAGS : 0x2;
        const uint64_t judged = FLAGS & ~form->undefined;
        struct state s = {start ^ (i & 8), other, ~other, flags, {start, start, 0, 0}};
        const uint8_t *from, *to;
        uint32_t length;

        machine_reset(64);
        m.vcpu.regs.gpr[GPR_RAX] = s.rax;
        m.vcpu.regs.gpr[GPR_RCX] = other;
        m.vcpu.regs.gpr[GPR_RDX] = ~other;
        m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT + 0x40;
        m.rflags = flags;
        memcpy(m.device + 0x40, s.memory, sizeof(s.memory));
        form->run(&s, &from, &to);
        code(from, (size_t)(to - from));
        ck_assert_msg(
            mmio(DEVICE_AT +
                     (strchr(form->text, '8') && strstr(form->text, "8(") ? 0x48 : 0x40),
                 &length) == EXIT_RESUME_NEXT,
            "%s: not emulated", form->text);
        ck_assert_uint_eq(length, (uint32_t)(to - from));
        ck_assert_msg(!memcmp(m.device + 0x40, s.memory, sizeof(s.memory)),
                      "%s: %lx and %lx: memory", form->text, start, other);
        ck_assert_msg(m.vcpu.regs.gpr[GPR_RCX] == s.rcx, "%s: %lx and %lx: rcx %lx, not %lx",
                      form->text, start, other, m.vcpu.regs.gpr[GPR_RCX], s.rcx);
        ck_assert_msg(m.vcpu.regs.gpr[GPR_RAX] == s.rax && m.vcpu.regs.gpr[GPR_RDX] == s.rdx,
                      "%s: %lx and %lx: rax or rdx", form->text, start, other);
        ck_assert_msg((m.rflags & judged) == (s.flags & judged),
                      "%s: %lx and %lx: flags %lx, not %lx", form->text, start, other,
                      m.rflags & judged, s.flags & judged);
    }
}
END_TEST

/* Every quotient of bytes, and of wider operands what the host's own 128-bit division says. */
START_TEST(test_emulate_mmio__divide__quotient_rest_or_exception)
{
    static const char *const forms_of[] = {"f637", "f63f", "66f737", "66f73f",
                                           "f737", "f73f", "48f737", "48f73f"};
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      0x7f,
                                      0x80,
                                      0xff,
                                      0x7fff,
                                      0x8000,
                                      10,
                                      0x12345678,
                                      0x80000000,
                                      0xffffffff,
                                      0xfffffff6,
                                      3,
                                      0x8000000000000000,
                                      UINT64_MAX,
                                      0x7fffffffffffffff};
    const unsigned size = 1u << _i / 2, bits = 8 * size;
    const bool is_signed = _i & 1;
    const unsigned count = ARRAY_COUNT(values);

    for (unsigned i = 0; i < count * count * count; i++) {
        uint64_t mask = size == 8 ? UINT64_MAX : BIT(bits) - 1, quotient = 0, rest = 0;
        uint64_t low = values[i % count] & mask, high = values[i / count % count] & mask;
        uint64_t by = values[i / count / count] & mask;
        unsigned __int128 dividend = (unsigned __int128)high << bits | low;
        bool good = by != 0;
        uint32_t length;

        if (good && !is_signed) {
            good = dividend / by <= mask;
            quotient = (uint64_t)(dividend / by) & mask;
            rest = (uint64_t)(dividend % by);
        } else if (good) {
            __int128 value = (__int128)(dividend << (128 - 2 * bits)) >> (128 - 2 * bits);
            int64_t divisor = (int64_t)(by << (64 - bits)) >> (64 - bits);

            // The one quotient that does not fit the host's own type.
            good = !(size == 8 && high == BIT(63) && !low && divisor == -1);
            if (good) {
                __int128 whole = value / divisor;

                good = whole <= (__int128)(mask >> 1) && whole >= -(__int128)(mask >> 1) - 1;
                quotient = (uint64_t)whole & mask;
                rest = (uint64_t)(value % divisor) & mask;
            }
        }
        machine_reset(64);
        code_hex(forms_of[_i]);
        m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT;
        m.vcpu.regs.gpr[GPR_RAX] = size == 1 ? high << 8 | low : low;
        m.vcpu.regs.gpr[GPR_RDX] = high;
        memcpy(m.device, &by, sizeof(by));
        ck_assert_int_eq(mmio(DEVICE_AT, &length), good ? EXIT_RESUME_NEXT : EXIT_RESUME);
        ck_assert_uint_eq(m.de, !good);
        if (good && size == 1) {
            ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RAX], rest << 8 | quotient);
        } else if (good) {
            ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RAX], quotient);
            ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RDX], rest);
        } else {
            ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RDX], high);
        }
    }
}
END_TEST

/* ---- addresses ---- */

START_TEST(test_emulate_mmio__moffs__address_size)
{
    uint32_t length;

    machine_reset(64);
    code_hex("a32000e0fe00000000");  // movabs %eax, 0xfee00020
    m.vcpu.regs.gpr[GPR_RAX] = 0x11223344;
    ck_assert_int_eq(mmio(DEVICE_AT + 0x20, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(length, 9);
    ck_assert_uint_eq(m.device[0x20], 0x44);
    machine_reset(32);
    code_hex("a12000e0fe");
    m.device[0x23] = 0x80;
    ck_assert_int_eq(mmio(DEVICE_AT + 0x20, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RAX], 0x80000000);
}
END_TEST

START_TEST(test_emulate_mmio__segment_base__added)
{
    uint32_t length;

    machine_reset(16);
    m.segments[VT_DS].base = DEVICE_AT;
    code_hex("894704");  // mov %ax, 4(%bx)
    m.vcpu.regs.gpr[GPR_RAX] = 0x5566;
    m.vcpu.regs.gpr[GPR_RBX] = 0xffff0010;  // only BX counts
    ck_assert_int_eq(mmio(DEVICE_AT + 0x14, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(m.device[0x14], 0x66);
    ck_assert_uint_eq(m.device[0x15], 0x55);
    ck_assert_uint_eq(m.device[0x16], 0);
}
END_TEST

START_TEST(test_emulate_mmio__bit_index_in_register__reaches_past_operand)
{
    uint32_t length;

    machine_reset(64);
    code_hex("0fab0f");  // bts %ecx, (%rdi)
    m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT + 0x40;
    m.vcpu.regs.gpr[GPR_RCX] = 0xffffffff;  // -1: the last bit of the dword before
    ck_assert_int_eq(mmio(DEVICE_AT + 0x3c, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(m.device[0x3f], 0x80);
    m.vcpu.regs.gpr[GPR_RCX] = 33;
    ck_assert_int_eq(mmio(DEVICE_AT + 0x44, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(m.device[0x44], 2);
}
END_TEST

START_TEST(test_emulate_mmio__push_and_pop__move_rsp)
{
    uint32_t length;
    uint64_t value;

    machine_reset(64);
    code_hex("ff37");  // push (%rdi)
    m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT;
    memset(m.device, 0xab, 8);
    ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(m.rsp, 0x7ff8);
    memcpy(&value, m.ram + 0x7ff8, 8);
    ck_assert_uint_eq(value, 0xabababababababab);
    code_hex("8f4708");  // pop 8(%rdi)
    ck_assert_int_eq(mmio(DEVICE_AT + 8, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(m.rsp, 0x8000);
    ck_assert_uint_eq(m.device[15], 0xab);
    m.rsp = 0x20000;
    ck_assert_int_eq(mmio(DEVICE_AT + 8, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.pf_address, 0x20000);
    ck_assert_uint_eq(m.rsp, 0x20000);
}
END_TEST

START_TEST(test_emulate_mmio__call_and_jump__go_where_the_device_says)
{
    static const struct {
        const char *hex;
        unsigned mode;
        uint64_t target, rsp;
    } rows[] = {
        {"ff17", 64, 0x7ffffffff123, 0x7ff8},  // call *(%rdi)
        {"ff27", 64, 0xffff800000000000, 0x8000},
        {"66ff17", 64, 0x7ffffffff123, 0x7ff8},  // the prefix is ignored
        {"ff17", 32, 0x89abcdef, 0x7ffc},
        {"66ff27", 32, 0xcdef, 0x8000},
        {"67ff17", 16, 0xcdef, 0x7ffe},
    };
    const uint64_t wide = rows[_i].mode == 64 ? rows[_i].target : 0x123489abcdef;
    uint64_t back = 0;
    uint32_t length;

    machine_reset(rows[_i].mode);
    code_hex(rows[_i].hex);
    m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT;
    memcpy(m.device, &wide, 8);
    ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.rip, rows[_i].target);
    ck_assert_uint_eq(m.rsp, rows[_i].rsp);
    memcpy(&back, m.ram + m.rsp, 0x8000 - m.rsp);
    ck_assert_uint_eq(back, m.rsp == 0x8000 ? 0 : CODE_AT + strlen(rows[_i].hex) / 2);
    ck_assert_uint_eq(m.ud + m.gp + m.pf, 0);
}
END_TEST

START_TEST(test_emulate_mmio__call__fault_leaves_all_as_it_was)
{
    const uint64_t nowhere = 0x800000000000;
    uint32_t length;

    machine_reset(64);
    code_hex("ff17");
    m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT;
    memcpy(m.device, &nowhere, 8);  // not canonical
    ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.gp, 1);
    ck_assert_uint_eq(m.rip, CODE_AT);
    ck_assert_uint_eq(m.rsp, 0x8000);
    m.rsp = 0x20000;
    ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.pf_address, 0x1fff8);
    ck_assert_uint_eq(m.pf_error, GLA_WRITE);
    ck_assert_uint_eq(m.rip, CODE_AT);
    ck_assert_uint_eq(m.rsp, 0x20000);
}
END_TEST

/* ---- what it cannot or must not do ---- */

START_TEST(test_emulate_mmio__unknown__undefined_opcode)
{
    static const char *const strange[] = {"0f2807", "c5fc1007", "f7f1",
                                          "d8c0",   "0fc737",   "0f0b"};
    uint32_t length;

    machine_reset(64);
    m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT;
    code_hex(strange[_i]);
    ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.ud, 1);
    ck_assert_uint_eq(m.device_accesses, 0);
}
END_TEST

START_TEST(test_emulate_mmio__compare_exchange_pair__both_outcomes)
{
    uint64_t *const gpr = m.vcpu.regs.gpr;
    const uint32_t old[2] = {0x11111111, 0x22222222};
    uint32_t now[4], length;

    machine_reset(64);
    gpr[GPR_RDI] = DEVICE_AT;
    memcpy(m.device, old, sizeof(old));
    gpr[GPR_RAX] = 0xffffffff11111111;  // the upper halves do not count
    gpr[GPR_RDX] = 0x22222222;
    gpr[GPR_RBX] = 0x33333333;
    gpr[GPR_RCX] = 0x44444444;
    code_hex("f00fc70f");
    ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(length, 4);
    memcpy(now, m.device, sizeof(now));
    ck_assert_uint_eq(now[0], 0x33333333);
    ck_assert_uint_eq(now[1], 0x44444444);
    ck_assert(m.rflags & RFLAGS_ZF);
    ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME_NEXT);
    ck_assert(!(m.rflags & RFLAGS_ZF));
    ck_assert_uint_eq(gpr[GPR_RAX], 0x33333333);
    ck_assert_uint_eq(gpr[GPR_RDX], 0x44444444);

    code_hex("f0480fc70f");
    gpr[GPR_RDI] = DEVICE_AT + 8;
    ck_assert_int_eq(mmio(DEVICE_AT + 8, &length), EXIT_RESUME);  // 16 bytes, not aligned
    ck_assert_uint_eq(m.gp, 1);
}
END_TEST

START_TEST(test_emulate_mmio__movbe__bytes_reversed)
{
    uint32_t length;
    uint64_t now;

    machine_reset(64);
    m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT;
    m.vcpu.regs.gpr[GPR_RCX] = 0x8877665544332211;
    code_hex("480f38f10f");
    ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME_NEXT);
    memcpy(&now, m.device, 8);
    ck_assert_uint_eq(now, 0x1122334455667788);
    code_hex("660f38f00f");
    ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 0x8877665544338877);
}
END_TEST

START_TEST(test_emulate_mmio__fetch_over_page_end__second_page_only_if_needed)
{
    uint32_t length;

    machine_reset(64);
    m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT;
    m.rip = RAM_SIZE - 2;
    m.ram[RAM_SIZE - 2] = 0x89;  // mov %eax, (%rdi): ends with the page
    m.ram[RAM_SIZE - 1] = 0x07;
    ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME_NEXT);
    m.ram[RAM_SIZE - 1] = 0x47;  // has a displacement behind it
    ck_assert_int_eq(mmio(DEVICE_AT, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.pf_address, RAM_SIZE);
    ck_assert_uint_eq(m.pf_error, GLA_FETCH);
}
END_TEST

START_TEST(test_emulate_length__any_instruction__length)
{
    machine_reset(64);
    code_hex("0fa2");
    ck_assert_uint_eq(emulate_length(&m.vcpu), 2);
    code_hex("66660f3a0fc104");
    ck_assert_uint_eq(emulate_length(&m.vcpu), 7);
    m.rip = 0x7000000;
    ck_assert_uint_eq(emulate_length(&m.vcpu), 0);
    ck_assert_uint_eq(m.pf, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("emulate");
    TCase *all = tcase_create("emulate");

    tcase_add_loop_test(all, test_emulate_mmio__like_the_processor__all, 0,
                        (int)ARRAY_COUNT(forms));
    tcase_add_loop_test(all, test_emulate_mmio__divide__quotient_rest_or_exception, 0, 8);
    tcase_add_test(all, test_emulate_mmio__moffs__address_size);
    tcase_add_test(all, test_emulate_mmio__segment_base__added);
    tcase_add_test(all, test_emulate_mmio__bit_index_in_register__reaches_past_operand);
    tcase_add_test(all, test_emulate_mmio__push_and_pop__move_rsp);
    tcase_add_loop_test(all, test_emulate_mmio__call_and_jump__go_where_the_device_says, 0, 6);
    tcase_add_test(all, test_emulate_mmio__call__fault_leaves_all_as_it_was);
    tcase_add_loop_test(all, test_emulate_mmio__unknown__undefined_opcode, 0, 6);
    tcase_add_test(all, test_emulate_mmio__compare_exchange_pair__both_outcomes);
    tcase_add_test(all, test_emulate_mmio__movbe__bytes_reversed);
    tcase_add_test(all, test_emulate_mmio__fetch_over_page_end__second_page_only_if_needed);
    tcase_add_test(all, test_emulate_length__any_instruction__length);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
