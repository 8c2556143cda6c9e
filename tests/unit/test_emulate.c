// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_emulate.c -- emulated device accesses against the processor that runs the test.
 *
 * Each read-modify-write form is executed twice from the same bytes: by the host's processor on a
 * plain array, and by emulate_mmio() on a device that holds what is written. Memory, registers and
 * flags must come out equal for all corner values. The rest (strings, faults, REP, ports) has the
 * expected state written out. Under the emulator is a machine of a few lines: linear address =
 * physical address, 64 KB of RAM, one device page, holes elsewhere.
 */
#include "vmm/emulate_vector.h"
#include "vmm/vm.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "tests/unit/suite_run.h"

#define RAM_SIZE  0x10000u
#define CODE_AT   0x1000u
#define DEVICE_AT 0xfee00000ull
#define FLAGS     0x8d5ul

static struct machine {
    struct vm vm;
    struct vcpu vcpu;
    uint64_t rip, rflags, rsp, cr0, efer;
    struct vt_segment segments[VT_SEG_COUNT];
    uint8_t ram[RAM_SIZE];
    uint8_t device[PAGE_SIZE];
    unsigned device_accesses, last_size;
    uint8_t port_log[8192];
    unsigned port_accesses, ud, gp, pf;
    uint64_t pf_address;
    uint32_t pf_error;
} m;

/* ---- what the emulator calls ---- */

static uint64_t fake_get(struct vcpu *v, enum vt_reg reg)
{
    (void)v;
    switch (reg) {
    case VT_RIP: return m.rip;
    case VT_RFLAGS: return m.rflags;
    case VT_RSP: return m.rsp;
    case VT_CR0: return m.cr0;
    case VT_EFER: return m.efer;
    default: ck_abort_msg("register %d", (int)reg); return 0;
    }
}

static void fake_set(struct vcpu *v, enum vt_reg reg, uint64_t value)
{
    (void)v;
    ck_assert_int_eq(reg, VT_RFLAGS);
    m.rflags = value;
}

static void fake_get_segment(struct vcpu *v, enum vt_seg seg, struct vt_segment *out)
{
    (void)v;
    *out = m.segments[seg];
}

const struct vt_backend *vt(void)
{
    static const struct vt_backend fake = {
        .name = "test", .get = fake_get, .set = fake_set, .get_segment = fake_get_segment};

    return &fake;
}

uint64_t vcpu_gpr(struct vcpu *v, unsigned number)
{
    return number == GPR_RSP ? m.rsp : v->regs.gpr[number];
}

void vcpu_gpr_set(struct vcpu *v, unsigned number, uint64_t value)
{
    if (number == GPR_RSP)
        m.rsp = value;
    else
        v->regs.gpr[number] = value;
}

void vcpu_raise_gp(struct vcpu *v)
{
    ck_assert_ptr_eq(v, &m.vcpu);
    m.gp++;
}

void vcpu_raise_ud(struct vcpu *v)
{
    (void)v;
    m.ud++;
}

void vcpu_raise_pf(struct vcpu *v, uint64_t address, uint32_t error)
{
    (void)v;
    m.pf++;
    m.pf_address = address;
    m.pf_error = error;
}

bool gla_translate(struct vcpu *v, uint64_t gla, enum gla_access access, gpa_t *out,
                   struct gla_fault *fault)
{
    (void)v;
    if (gla < RAM_SIZE || gla - DEVICE_AT < PAGE_SIZE) {
        *out = gpa_make(gla);
        return true;
    }
    *fault = (struct gla_fault){gla, (uint32_t)access};
    return false;
}

vmk_status gla_read(struct vcpu *v, uint64_t gla, void *out, size_t size,
                    enum gla_access access, struct gla_fault *fault)
{
    gpa_t gpa;

    for (size_t i = 0; i < size; i++) {
        if (!gla_translate(v, gla + i, access, &gpa, fault))
            return VMK_BAD_PARAM;
        if (gpa.raw >= RAM_SIZE)
            return VMK_NOT_FOUND;
        ((uint8_t *)out)[i] = m.ram[gpa.raw];
    }
    return VMK_OK;
}

/* Nothing is kept: every fetch walks. tests/unit/test_code_page.c has the rest. */
const uint8_t *code_page_find(struct vcpu *v, uint64_t gla)
{
    (void)v;
    (void)gla;
    return NULL;
}

void code_page_keep(struct vcpu *v, uint64_t gla)
{
    (void)v;
    (void)gla;
}

/* No vector moves: tests/unit/test_emulate_vector.c has those. */
bool vector_move_of(const struct decoded *d, struct vector_move *out)
{
    (void)d;
    (void)out;
    return false;
}

void vector_get(struct vcpu *v, unsigned reg, uint8_t bytes[VECTOR_BYTES])
{
    (void)v;
    (void)reg;
    (void)bytes;
}

void vector_load(struct vcpu *v, const struct vector_move *move, const uint8_t *bytes)
{
    (void)v;
    (void)move;
    (void)bytes;
}

bool vm_is_ram(const struct vm *vm, gpa_t gpa)
{
    (void)vm;
    return gpa.raw < RAM_SIZE;
}

vmk_status vm_memory_read(struct vm *vm, gpa_t gpa, void *out, size_t size)
{
    (void)vm;
    if (gpa.raw + size > RAM_SIZE)
        return VMK_NOT_FOUND;
    memcpy(out, m.ram + gpa.raw, size);
    return VMK_OK;
}

vmk_status vm_memory_write(struct vm *vm, gpa_t gpa, const void *in, size_t size)
{
    (void)vm;
    if (gpa.raw + size > RAM_SIZE)
        return VMK_NOT_FOUND;
    memcpy(m.ram + gpa.raw, in, size);
    return VMK_OK;
}

bool vm_mmio_access(struct vm *vm, struct vcpu *v, gpa_t gpa, unsigned size, bool read,
                    uint64_t *value)
{
    uint64_t at = gpa.raw - DEVICE_AT;

    (void)vm;
    (void)v;
    ck_assert_uint_le(at + size, PAGE_SIZE);
    m.device_accesses++;
    m.last_size = size;
    if (read) {
        *value = 0;
        memcpy(value, m.device + at, size);
    } else {
        memcpy(m.device + at, value, size);
    }
    return true;
}

bool vm_port_access(struct vm *vm, struct vcpu *v, uint16_t port, unsigned size, bool in,
                    uint32_t *value)
{
    (void)vm;
    (void)v;
    ck_assert_uint_eq(port, 0x1f0);
    for (unsigned i = 0; i < size; i++) {
        if (in)
            *value =
                i ? *value | (m.port_accesses & 0xffu) << (8 * i) : m.port_accesses & 0xffu;
        else
            m.port_log[m.port_accesses * size + i] = (uint8_t)(*value >> (8 * i));
    }
    m.port_accesses++;
    return true;
}

plat_ns plat_time_now(void)
{
    return 1;
}

void vmk_log(enum vmk_log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
}

/* ---- running one instruction ---- */

static void machine_reset(unsigned mode)
{
    memset(&m, 0, sizeof(m));
    m.vcpu.vm = &m.vm;
    m.rip = CODE_AT;
    m.rsp = 0x8000;
    m.rflags = 2;
    m.cr0 = 1;
    m.efer = mode == 64 ? BIT(10) : 0;
    m.segments[VT_CS].rights = mode == 64 ? VT_SEG_L : mode == 32 ? VT_SEG_DB : 0;
    m.segments[VT_SS].rights = mode == 16 ? 0 : VT_SEG_DB;
}

static void code(const void *bytes, size_t size)
{
    memcpy(m.ram + CODE_AT, bytes, size);
}

static void code_hex(const char *hex)
{
    for (size_t i = 0; hex[2 * i]; i++)
        m.ram[CODE_AT + i] =
            (uint8_t)strtoul((char[]){hex[2 * i], hex[2 * i + 1], 0}, NULL, 16);
}

static enum exit_verdict mmio(uint64_t gpa, uint32_t *length)
{
    struct vm_exit exit = {.kind = VM_EXIT_NESTED_FAULT, .nested = {.gpa = gpa_make(gpa)}};

    *length = 0;
    return emulate_mmio(&m.vcpu, &exit, length);
}

static enum exit_verdict string_io(bool in, uint32_t *length)
{
    struct vm_exit exit = {.kind = VM_EXIT_IO,
                           .io = {.port = 0x1f0, .in = in, .string = true, .rep = true}};

    *length = 0;
    return emulate_string_io(&m.vcpu, &exit, length);
}

/* ---- against the host's processor ---- */

struct state {
    uint64_t rax, rcx, flags;
    uint64_t memory[4];
};

// clang-format off
/* Each form uses memory at (%rdi), %rcx and %rax; the host's run also says where its bytes are. */
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

#define RUN(name, text)                                                                        \
    static void run_##name(struct state *s, const uint8_t **from, const uint8_t **to)          \
    {                                                                                          \
        __asm__ volatile("leaq -256(%%rsp), %%rsp\n\tpushq %2\n\tpopfq\n"                      \
                         "771:\t" text "\n772:\tpushfq\n\tpopq %2\n\t"                         \
                         "leaq 256(%%rsp), %%rsp\n\tleaq 771b(%%rip), %3\n\t"                  \
                         "leaq 772b(%%rip), %4"                                                \
                         : "+a"(s->rax), "+c"(s->rcx), "+r"(s->flags), "=&r"(*from), "=&r"(*to) \
                         : "D"(s->memory)                                                      \
                         : "memory", "cc");                                                    \
    }
FORMS(RUN)

static const struct form {
    const char *text;
    void (*run)(struct state *s, const uint8_t **from, const uint8_t **to);
} forms[] = {
#define ROW(name, text) {text, run_##name},
    FORMS(ROW)};

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
        struct state s = {start ^ (i & 8), other, flags, {start, start, 0, 0}};
        const uint8_t *from, *to;
        uint32_t length;

        machine_reset(64);
        m.vcpu.regs.gpr[GPR_RAX] = s.rax;
        m.vcpu.regs.gpr[GPR_RCX] = other;
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
        ck_assert_msg(m.vcpu.regs.gpr[GPR_RAX] == s.rax, "%s: %lx and %lx: rax", form->text,
                      start, other);
        ck_assert_msg((m.rflags & FLAGS) == (s.flags & FLAGS),
                      "%s: %lx and %lx: flags %lx, not %lx", form->text, start, other,
                      (uint64_t)(m.rflags & FLAGS), (uint64_t)(s.flags & FLAGS));
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

/* ---- strings ---- */

START_TEST(test_emulate_mmio__rep_movs__in_chunks)
{
    unsigned rounds = 0;
    uint32_t length;

    machine_reset(64);
    code_hex("f3a4");  // rep movsb, from the device into RAM and again over it
    m.vcpu.regs.gpr[GPR_RSI] = DEVICE_AT;
    m.vcpu.regs.gpr[GPR_RDI] = 0x4000;
    m.vcpu.regs.gpr[GPR_RCX] = PAGE_SIZE;
    memset(m.device, 0x5c, sizeof(m.device));
    while (mmio(DEVICE_AT, &length) == EXIT_RESUME)
        ck_assert_uint_lt(++rounds, 3);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 0);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RDI], 0x5000);
    ck_assert_uint_eq(m.ram[0x4fff], 0x5c);
    ck_assert_uint_eq(m.ram[0x5000], 0);
}
END_TEST

START_TEST(test_emulate_mmio__rep_stos_down__into_hole_stops_there)
{
    uint32_t length;

    machine_reset(64);
    code_hex("f3ab");
    m.rflags |= RFLAGS_DF;
    m.vcpu.regs.gpr[GPR_RDI] = DEVICE_AT + 8;
    m.vcpu.regs.gpr[GPR_RCX] = 9;
    m.vcpu.regs.gpr[GPR_RAX] = 0x01020304;
    ck_assert_int_eq(mmio(DEVICE_AT + 8, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.device_accesses, 3);
    ck_assert_uint_eq(m.pf_address, DEVICE_AT - 4);
    ck_assert_uint_eq(m.pf_error, GLA_WRITE);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 6);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RDI], DEVICE_AT - 4);
}
END_TEST

START_TEST(test_emulate_string_io__outsb__whole_and_order)
{
    uint32_t length;

    machine_reset(64);
    code_hex("f36e");
    for (unsigned i = 0; i < 300; i++)
        m.ram[0x3f80 + i] = (uint8_t)(i * 7);
    m.vcpu.regs.gpr[GPR_RSI] = 0x3f80;
    m.vcpu.regs.gpr[GPR_RCX] = 300;
    ck_assert_int_eq(string_io(false, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(length, 2);
    ck_assert(!memcmp(m.port_log, m.ram + 0x3f80, 300));
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RSI], 0x3f80 + 300);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 0);
}
END_TEST

START_TEST(test_emulate_string_io__ins_into_hole__page_fault_with_rest)
{
    uint32_t length;

    machine_reset(64);
    code_hex("f36d");  // rep insl
    m.vcpu.regs.gpr[GPR_RDI] = RAM_SIZE - 10;
    m.vcpu.regs.gpr[GPR_RCX] = 5;
    ck_assert_int_eq(string_io(true, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.pf, 1);
    ck_assert_uint_eq(m.pf_address, RAM_SIZE);
    ck_assert_uint_eq(m.port_accesses, 2);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 3);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RDI], RAM_SIZE - 2);
}
END_TEST

START_TEST(test_emulate_string_io__long_run__comes_in_chunks)
{
    uint32_t length;

    machine_reset(64);
    code_hex("f36c");
    m.vcpu.regs.gpr[GPR_RDI] = 0x4000;
    m.vcpu.regs.gpr[GPR_RCX] = 5000;
    ck_assert_int_eq(string_io(true, &length), EXIT_RESUME);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 5000 - 4096);
    ck_assert_int_eq(string_io(true, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 0);
    ck_assert_uint_eq(m.port_accesses, 5000);
}
END_TEST

START_TEST(test_emulate_string_io__16_bit__wraps_at_64k)
{
    uint32_t length;

    machine_reset(16);
    code_hex("f36c");
    m.vcpu.regs.gpr[GPR_RDI] = 0xabc0fffe;
    m.vcpu.regs.gpr[GPR_RCX] = 0x70004;
    ck_assert_int_eq(string_io(true, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RDI], 0xabc00002);
    ck_assert_uint_eq(m.vcpu.regs.gpr[GPR_RCX], 0x70000);
    ck_assert_uint_eq(m.ram[0xffff], 1);
    ck_assert_uint_eq(m.ram[1], 3);
}
END_TEST

START_TEST(test_emulate_string_io__count_zero__does_nothing)
{
    uint32_t length;

    machine_reset(64);
    code_hex("f36c");
    ck_assert_int_eq(string_io(true, &length), EXIT_RESUME_NEXT);
    ck_assert_uint_eq(m.port_accesses, 0);
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
    tcase_add_test(all, test_emulate_mmio__moffs__address_size);
    tcase_add_test(all, test_emulate_mmio__segment_base__added);
    tcase_add_test(all, test_emulate_mmio__bit_index_in_register__reaches_past_operand);
    tcase_add_test(all, test_emulate_mmio__push_and_pop__move_rsp);
    tcase_add_test(all, test_emulate_mmio__rep_movs__in_chunks);
    tcase_add_test(all, test_emulate_mmio__rep_stos_down__into_hole_stops_there);
    tcase_add_test(all, test_emulate_string_io__outsb__whole_and_order);
    tcase_add_test(all, test_emulate_string_io__ins_into_hole__page_fault_with_rest);
    tcase_add_test(all, test_emulate_string_io__long_run__comes_in_chunks);
    tcase_add_test(all, test_emulate_string_io__16_bit__wraps_at_64k);
    tcase_add_test(all, test_emulate_string_io__count_zero__does_nothing);
    tcase_add_loop_test(all, test_emulate_mmio__unknown__undefined_opcode, 0, 6);
    tcase_add_test(all, test_emulate_mmio__compare_exchange_pair__both_outcomes);
    tcase_add_test(all, test_emulate_mmio__movbe__bytes_reversed);
    tcase_add_test(all, test_emulate_mmio__fetch_over_page_end__second_page_only_if_needed);
    tcase_add_test(all, test_emulate_length__any_instruction__length);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
