// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/emulate_insn.c -- what each emulated instruction does, by opcode map.
 *
 * Only what operating systems do to devices is here: moves (those of vector registers too,
 * vmm/emulate_vector.c, and of x87 ones, vmm/emulate_x87.c), arithmetic on general registers,
 * near calls and jumps through memory; the string instructions are in
 * vmm/emulate_string.c. Each function locates its operand, reads, works and writes,
 * and returns at once when the operand is not to be had.
 *
 * Invariants
 *   - Guest bytes are input: an opcode that is not here sets `unknown`, nothing asserts.
 *   - Flags collect in `new_flags`; emulate_execute() gives them to the guest when all went
 *     well.
 * Locking    runs in the vCPU's world, no lock held (vmm/emulate_operand.c).
 * Start at   emulate_execute().
 * Sources    SDM-2 "Instruction Set Reference", "Opcode Map"
 */
#include "lib/string.h"
#include "vmm/emulate_internal.h"
#include "vmm/emulate_vector.h"
#include "vmm/emulate_x87.h"

/* ---- the instructions with a ModRM operand in memory ---- */

/* The ModRM or moffs operand. False: a fault is queued. */
static bool modrm_find(struct emulation *e, unsigned size, enum gla_access access,
                       struct operand *p)
{
    return operand_find(e, operand_address(e, 0), size, access, p);
}

static void do_load(struct emulation *e, unsigned size, unsigned to_size, bool is_signed)
{
    struct operand p;
    uint64_t value;

    if (!modrm_find(e, size, GLA_READ, &p))
        return;
    value = operand_read(e, &p);
    operand_reg_set(e, e->insn.reg, to_size, is_signed ? alu_sign_extend(value, size) : value);
}

static void do_store(struct emulation *e, unsigned size, uint64_t value)
{
    struct operand p;

    if (modrm_find(e, size, GLA_WRITE, &p))
        operand_write(e, &p, value);
}

/* `op` between memory and `other`; the result goes to memory (CMP and TEST: nowhere). */
static void do_arithmetic_to_memory(struct emulation *e, unsigned op, unsigned size,
                                    uint64_t other)
{
    struct operand p;
    uint64_t result;

    if (!modrm_find(e, size, op == ALU_CMP ? GLA_READ : GLA_WRITE, &p))
        return;
    result = alu_arithmetic(op, operand_read(e, &p), other, size, &e->new_flags);
    if (op != ALU_CMP)
        operand_write(e, &p, result);
}

static void do_arithmetic_to_register(struct emulation *e, unsigned op, unsigned size)
{
    struct operand p;
    uint64_t result;

    if (!modrm_find(e, size, GLA_READ, &p))
        return;
    result = alu_arithmetic(op, operand_reg(e, e->insn.reg, size), operand_read(e, &p), size,
                            &e->new_flags);
    if (op != ALU_CMP)
        operand_reg_set(e, e->insn.reg, size, result);
}

static void do_test(struct emulation *e, unsigned size, uint64_t other)
{
    struct operand p;

    if (modrm_find(e, size, GLA_READ, &p))
        alu_logic(operand_read(e, &p) & other, size, &e->new_flags);
}

static void do_exchange(struct emulation *e, unsigned size, bool add_too)
{
    struct operand p;
    uint64_t old, reg = operand_reg(e, e->insn.reg, size);

    if (!modrm_find(e, size, GLA_WRITE, &p))
        return;
    old = operand_read(e, &p);
    operand_write(e, &p,
                  add_too ? alu_arithmetic(ALU_ADD, old, reg, size, &e->new_flags) : reg);
    operand_reg_set(e, e->insn.reg, size, old);
}

static void do_compare_exchange(struct emulation *e, unsigned size)
{
    struct operand p;
    uint64_t old;

    if (!modrm_find(e, size, GLA_WRITE, &p))
        return;
    old = operand_read(e, &p);
    alu_arithmetic(ALU_CMP, operand_reg(e, GPR_RAX, size), old, size, &e->new_flags);
    if (e->new_flags & RFLAGS_ZF) {
        operand_write(e, &p, operand_reg(e, e->insn.reg, size));
    } else {
        operand_write(e, &p, old);
        operand_reg_set(e, GPR_RAX, size, old);
    }
}

/* CMPXCHG8B and, with REX.W, CMPXCHG16B: EDX:EAX against memory, ECX:EBX into it. */
static void do_compare_exchange_pair(struct emulation *e)
{
    unsigned size = e->insn.operand_size == 8 ? 8 : 4;
    uint64_t gla = operand_address(e, 0), old[2] = {0, 0};
    uint8_t bytes[16];
    struct operand p;

    if (size == 8 && (gla & 15)) {
        vcpu_raise_gp(e->v);
        e->failed = true;
        return;
    }
    if (!operand_find(e, gla, 2 * size, GLA_WRITE, &p))
        return;
    operand_copy_from(e, &p, bytes);
    memcpy(&old[0], bytes, size);
    memcpy(&old[1], bytes + size, size);
    if (old[0] == operand_reg(e, GPR_RAX, size) && old[1] == operand_reg(e, GPR_RDX, size)) {
        old[0] = operand_reg(e, GPR_RBX, size);
        old[1] = operand_reg(e, GPR_RCX, size);
        memcpy(bytes, &old[0], size);
        memcpy(bytes + size, &old[1], size);
        e->new_flags |= RFLAGS_ZF;
    } else {
        operand_reg_set(e, GPR_RAX, size, old[0]);
        operand_reg_set(e, GPR_RDX, size, old[1]);
        e->new_flags &= ~(uint64_t)RFLAGS_ZF;
    }
    operand_copy_to(e, &p, bytes);  // what was there, if they differ
}

static uint64_t bytes_reversed(uint64_t value, unsigned size)
{
    return __builtin_bswap64(value) >> (64 - 8 * size);
}

/* MOVBE loads (F0) and stores (F1) with the bytes in the other order. */
static void do_move_reversed(struct emulation *e)
{
    unsigned size = e->insn.operand_size;
    struct operand p;

    if (!modrm_find(e, size, e->insn.opcode & 1 ? GLA_WRITE : GLA_READ, &p))
        return;
    if (e->insn.opcode & 1)
        operand_write(e, &p, bytes_reversed(operand_reg(e, e->insn.reg, size), size));
    else
        operand_reg_set(e, e->insn.reg, size, bytes_reversed(operand_read(e, &p), size));
}

/* False: no move of a vector register. */
static bool do_vector(struct emulation *e)
{
    uint64_t gla = operand_address(e, 0);
    uint8_t bytes[VECTOR_BYTES];
    struct vector_move m;
    struct operand p;

    if (!vt()->vectors_in_cpu || !vector_move_of(&e->insn, &m))
        return false;
    if (m.aligned && (gla & (m.size - 1u))) {
        vcpu_raise_gp(e->v);
        e->failed = true;
        return true;
    }
    if (!operand_find(e, gla, m.size, m.store ? GLA_WRITE : GLA_READ, &p))
        return true;
    if (m.store) {
        vector_get(e->v, &m, bytes);
        operand_copy_to(e, &p, bytes + m.offset);
    } else {
        operand_copy_from(e, &p, bytes);
        vector_load(e->v, &m, bytes);
    }
    return true;
}

/* False: no x87 instruction with a number in memory. */
static bool do_x87(struct emulation *e)
{
    uint64_t gla = operand_address(e, 0);
    uint8_t bytes[X87_BYTES] = {0};
    struct x87_form m;
    struct operand p;

    if (!vt()->vectors_in_cpu || !x87_form_of(&e->insn, &m))
        return false;
    if (!operand_find(e, gla, m.size, m.store ? GLA_WRITE : GLA_READ, &p))
        return true;
    if (!m.store)
        operand_copy_from(e, &p, bytes);
    switch (x87_run(e->v, &m, e->rip, gla, bytes)) {
    case X87_DONE:
        if (m.store)
            operand_copy_to(e, &p, bytes);
        break;
    case X87_NO_VALUE: break;
    case X87_PENDING:
        vcpu_raise(e->v, VECTOR_MF, false, 0);
        e->failed = true;
        break;
    }
    return true;
}

/* BT, BTS, BTR, BTC (action 0-3). A register index reaches past the operand, both ways. */
static void do_bit(struct emulation *e, unsigned action, bool from_register)
{
    unsigned size = e->insn.operand_size;
    uint64_t gla = operand_address(e, 0);
    uint64_t bit = e->insn.immediate, old, mask;
    struct operand p;

    if (from_register) {
        int64_t index = (int64_t)alu_sign_extend(operand_reg(e, e->insn.reg, size), size);

        // floor(index / bits) operands further on
        gla += (uint64_t)((index >> (size == 8 ? 6 : size == 4 ? 5 : 4)) * (int64_t)size);
        if (e->insn.mode != 64)
            gla = (uint32_t)gla;
        bit = (uint64_t)index;
    }
    mask = BIT(bit & (8 * size - 1));
    if (!operand_find(e, gla, size, action ? GLA_WRITE : GLA_READ, &p))
        return;
    old = operand_read(e, &p);
    e->new_flags = (e->flags & ~(uint64_t)RFLAGS_CF) | (old & mask ? RFLAGS_CF : 0);
    if (action == 1)
        operand_write(e, &p, old | mask);
    else if (action == 2)
        operand_write(e, &p, old & ~mask);
    else if (action == 3)
        operand_write(e, &p, old ^ mask);
}

/* ROL to SAR, the reg field says which. */
static void do_shift(struct emulation *e, unsigned size, uint64_t count)
{
    struct operand p;

    if (modrm_find(e, size, GLA_WRITE, &p))
        operand_write(e, &p,
                      alu_shift(e->insn.reg & 7, operand_read(e, &p), (unsigned)(count & 0xff),
                                size, &e->new_flags));
}

static void do_shift_double(struct emulation *e, bool left, uint64_t count)
{
    unsigned size = e->insn.operand_size;
    struct operand p;

    if (modrm_find(e, size, GLA_WRITE, &p))
        operand_write(e, &p,
                      alu_shift_double(left, operand_read(e, &p),
                                       operand_reg(e, e->insn.reg, size),
                                       (unsigned)(count & 0xff), size, &e->new_flags));
}

/* The reg operand becomes memory times `other`. */
static void do_multiply_to_register(struct emulation *e, uint64_t other)
{
    unsigned size = e->insn.operand_size;
    struct operand p;

    if (modrm_find(e, size, GLA_READ, &p))
        operand_reg_set(
            e, e->insn.reg, size,
            alu_multiply(true, operand_read(e, &p), other, size, &e->new_flags).low);
}

/* AX or rDX:rAX, which products come out in and dividends go in. */
static struct alu_pair pair_get(const struct emulation *e, unsigned size)
{
    uint64_t ax = vcpu_gpr(e->v, GPR_RAX);

    if (size == 1)
        return (struct alu_pair){.low = ax & 0xff, .high = ax >> 8 & 0xff};
    return (struct alu_pair){.low = operand_reg(e, GPR_RAX, size),
                             .high = operand_reg(e, GPR_RDX, size)};
}

static void pair_set(struct emulation *e, unsigned size, struct alu_pair value)
{
    if (size == 1) {
        operand_reg_set(e, GPR_RAX, 2, value.high << 8 | value.low);
        return;
    }
    operand_reg_set(e, GPR_RAX, size, value.low);
    operand_reg_set(e, GPR_RDX, size, value.high);
}

static void do_multiply(struct emulation *e, bool is_signed, unsigned size)
{
    struct operand p;

    if (modrm_find(e, size, GLA_READ, &p))
        pair_set(e, size,
                 alu_multiply(is_signed, operand_read(e, &p), pair_get(e, size).low, size,
                              &e->new_flags));
}

static void do_divide(struct emulation *e, bool is_signed, unsigned size)
{
    struct alu_pair result;
    struct operand p;

    if (!modrm_find(e, size, GLA_READ, &p))
        return;
    if (alu_divide(is_signed, pair_get(e, size), operand_read(e, &p), size, &result)) {
        pair_set(e, size, result);
        return;
    }
    vcpu_raise(e->v, VECTOR_DE, false, 0);
    e->failed = true;
}

/* BSF, BSR and, behind F3, TZCNT, LZCNT, POPCNT. */
static void do_bit_scan(struct emulation *e)
{
    const struct decoded *d = &e->insn;
    unsigned size = d->operand_size, bits = 8 * size;
    uint64_t value, result;
    struct operand p;

    if (!modrm_find(e, size, GLA_READ, &p))
        return;
    value = operand_read(e, &p);
    if (d->opcode == 0xb8) {
        alu_logic(value, size, &e->new_flags);
        e->new_flags &= ~(uint64_t)(RFLAGS_SF | RFLAGS_PF);
        for (result = 0; value; value &= value - 1)
            result++;
        operand_reg_set(e, d->reg, size, result);
        return;
    }
    if (!value)
        result = bits;
    else if (d->opcode == 0xbc)
        result = (uint64_t)__builtin_ctzll(value);
    else if (d->rep)
        result = (uint64_t)__builtin_clzll(value) - (64 - bits);
    else
        result = 63 - (uint64_t)__builtin_clzll(value);
    e->new_flags &= ~(uint64_t)(RFLAGS_CF | RFLAGS_ZF);
    if (d->rep ? !result : !value)
        e->new_flags |= RFLAGS_ZF;
    if (d->rep && !value)
        e->new_flags |= RFLAGS_CF;
    if (d->rep || value)  // BSF and BSR of nothing leave the register
        operand_reg_set(e, d->reg, size, result);
}

static void do_group3(struct emulation *e, unsigned size)
{
    struct operand p;
    uint64_t old;

    switch (e->insn.reg & 7) {
    case 0:
    case 1: do_test(e, size, alu_sign_extend(e->insn.immediate, MIN(size, 4u))); return;
    case 2:
        if (modrm_find(e, size, GLA_WRITE, &p))
            operand_write(e, &p, ~operand_read(e, &p));
        return;
    case 3:
        if (modrm_find(e, size, GLA_WRITE, &p)) {
            old = operand_read(e, &p);
            operand_write(e, &p, alu_arithmetic(ALU_SUB, 0, old, size, &e->new_flags));
        }
        return;
    case 4:
    case 5: do_multiply(e, e->insn.reg & 1, size); return;
    default: do_divide(e, e->insn.reg & 1, size);
    }
}

/* PUSH and POP are 64 bits wide in 64-bit mode, or 16 with the prefix. */
static unsigned stack_size(const struct emulation *e)
{
    return e->insn.mode == 64 && e->insn.operand_size != 2 ? 8 : e->insn.operand_size;
}

/* The part of RSP that this stack uses: B of SS, or all in 64-bit mode. */
static unsigned stack_address_size(const struct emulation *e)
{
    struct vt_segment ss;

    if (e->insn.mode == 64)
        return 8;
    vt()->get_segment(e->v, VT_SS, &ss);
    return ss.rights & VT_SEG_DB ? 4 : 2;
}

static void stack_move(struct emulation *e, uint64_t by)
{
    uint64_t mask = alu_mask(stack_address_size(e)), old = vcpu_gpr(e->v, GPR_RSP);

    vcpu_gpr_set(e->v, GPR_RSP, (old & ~mask) | ((old + by) & mask));
}

static void do_push(struct emulation *e)
{
    unsigned size = stack_size(e);
    uint64_t sp = (vcpu_gpr(e->v, GPR_RSP) - size) & alu_mask(stack_address_size(e));
    struct operand from, to;

    if (!operand_find(e, operand_address(e, 0), size, GLA_READ, &from))
        return;
    e->one_operand = false;
    if (!operand_find(e, operand_linear(e->v, e->insn.mode, DECODE_SS, sp), size, GLA_WRITE,
                      &to))
        return;
    operand_write(e, &to, operand_read(e, &from));
    stack_move(e, 0ull - size);
}

/*
 * CALL and JMP through memory, near. In 64-bit mode the operand has 8 bytes, as on Intel's
 * processors also behind 66.
 */
static void do_jump(struct emulation *e, bool call)
{
    unsigned size = e->insn.mode == 64 ? 8 : e->insn.operand_size;
    uint64_t sp = (vcpu_gpr(e->v, GPR_RSP) - size) & alu_mask(stack_address_size(e));
    struct operand from, to;

    if (!operand_find(e, operand_address(e, 0), size, GLA_READ, &from))
        return;
    e->one_operand = false;
    if (call && !operand_find(e, operand_linear(e->v, e->insn.mode, DECODE_SS, sp), size,
                              GLA_WRITE, &to))
        return;
    e->target = operand_read(e, &from);
    if (e->insn.mode == 64 && !x86_is_canonical(e->target)) {
        vcpu_raise_gp(e->v);
        e->failed = true;
        return;
    }
    if (call) {
        operand_write(e, &to, e->rip + e->insn.length);
        stack_move(e, 0ull - size);
    }
    e->jumps = true;
}

static void do_pop(struct emulation *e)
{
    unsigned size = stack_size(e);
    uint64_t sp = vcpu_gpr(e->v, GPR_RSP) & alu_mask(stack_address_size(e));
    struct operand from, to;

    if (!operand_find(e, operand_linear(e->v, e->insn.mode, DECODE_SS, sp), size, GLA_READ,
                      &from))
        return;
    if (!operand_find(e, operand_address(e, size), size, GLA_WRITE, &to))
        return;
    operand_write(e, &to, operand_read(e, &from));
    stack_move(e, size);
}

static void execute_one_byte(struct emulation *e)
{
    const struct decoded *d = &e->insn;
    unsigned size = d->opcode & 1 ? d->operand_size : 1;
    uint64_t signed_imm =
        d->immediate_size ? alu_sign_extend(d->immediate, d->immediate_size) : 0;
    struct operand p;
    uint64_t old;

    if (d->opcode < 0x40 && (d->opcode & 7) < 2) {
        do_arithmetic_to_memory(e, d->opcode >> 3, size, operand_reg(e, d->reg, size));
        return;
    }
    if (d->opcode < 0x40 && (d->opcode & 7) < 4) {
        do_arithmetic_to_register(e, d->opcode >> 3, size);
        return;
    }
    switch (d->opcode) {
    case 0x63:  // MOVSXD; ARPL outside 64-bit mode
        if (d->mode == 64)
            do_load(e, MIN(d->operand_size, 4), d->operand_size, true);
        else
            e->unknown = true;
        return;
    case 0x69:
    case 0x6b: do_multiply_to_register(e, signed_imm); return;
    case 0x80:
    case 0x81:
    case 0x82:
    case 0x83: do_arithmetic_to_memory(e, d->reg & 7, size, signed_imm); return;
    case 0x84:
    case 0x85: do_test(e, size, operand_reg(e, d->reg, size)); return;
    case 0x86:
    case 0x87: do_exchange(e, size, false); return;
    case 0x88:
    case 0x89: do_store(e, size, operand_reg(e, d->reg, size)); return;
    case 0x8a:
    case 0x8b: do_load(e, size, size, false); return;
    case 0x8c: {
        struct vt_segment s;

        if ((d->reg & 7) >= VT_SEG_COUNT) {
            e->unknown = true;
            return;
        }
        vt()->get_segment(e->v, (enum vt_seg)(d->reg & 7), &s);
        do_store(e, 2, s.selector);
        return;
    }
    case 0xa0:
    case 0xa1:
        if (modrm_find(e, size, GLA_READ, &p))
            operand_reg_set(e, GPR_RAX, size, operand_read(e, &p));
        return;
    case 0xa2:
    case 0xa3: do_store(e, size, operand_reg(e, GPR_RAX, size)); return;
    case 0x8f:
        if ((d->reg & 7) == 0)
            do_pop(e);
        else
            e->unknown = true;
        return;
    case 0xc0:
    case 0xc1: do_shift(e, size, d->immediate); return;
    case 0xd0:
    case 0xd1: do_shift(e, size, 1); return;
    case 0xd2:
    case 0xd3: do_shift(e, size, vcpu_gpr(e->v, GPR_RCX)); return;
    case 0xc6:
    case 0xc7:
        if ((d->reg & 7) == 0)
            do_store(e, size, signed_imm);
        else
            e->unknown = true;
        return;
    case 0xd8 ... 0xdf: e->unknown = !do_x87(e); return;
    case 0xf6:
    case 0xf7: do_group3(e, size); return;
    case 0xfe:
    case 0xff:
        if ((d->reg & 7) < 2) {
            if (!modrm_find(e, size, GLA_WRITE, &p))
                return;
            old = operand_read(e, &p);
            operand_write(e, &p, alu_step(old, (d->reg & 7) == 0, size, &e->new_flags));
        } else if (d->opcode == 0xff && (d->reg & 7) == 6) {
            do_push(e);
        } else if (d->opcode == 0xff && ((d->reg & 7) == 2 || (d->reg & 7) == 4)) {
            do_jump(e, (d->reg & 7) == 2);
        } else {
            e->unknown = true;
        }
        return;
    default: e->unknown = true;
    }
}

static void execute_two_byte(struct emulation *e)
{
    const struct decoded *d = &e->insn;
    unsigned size = d->operand_size;
    unsigned by_low_bit = d->opcode & 1 ? size : 1;
    struct operand p;

    if ((d->opcode & 0xf0) == 0x40) {  // CMOVcc reads memory in any case
        uint64_t value;

        if (!modrm_find(e, size, GLA_READ, &p))
            return;
        value = operand_read(e, &p);
        operand_reg_set(
            e, d->reg, size,
            alu_condition(e->flags, d->opcode & 15u) ? value : operand_reg(e, d->reg, size));
        return;
    }
    if ((d->opcode & 0xf0) == 0x90) {
        do_store(e, 1, alu_condition(e->flags, d->opcode & 15u));
        return;
    }
    switch (d->opcode) {
    case 0xa3:
    case 0xab:
    case 0xb3:
    case 0xbb: do_bit(e, (d->opcode >> 3) & 3u, true); return;
    case 0xba:
        if ((d->reg & 7) >= 4)
            do_bit(e, d->reg & 3u, false);
        else
            e->unknown = true;
        return;
    case 0xa4:
    case 0xac: do_shift_double(e, d->opcode == 0xa4, d->immediate); return;
    case 0xa5:
    case 0xad: do_shift_double(e, d->opcode == 0xa5, vcpu_gpr(e->v, GPR_RCX)); return;
    case 0xaf: do_multiply_to_register(e, operand_reg(e, d->reg, size)); return;
    case 0xb8:
        if (d->rep)
            do_bit_scan(e);
        else
            e->unknown = true;
        return;
    case 0xbc:
    case 0xbd: do_bit_scan(e); return;
    case 0xb0:
    case 0xb1: do_compare_exchange(e, by_low_bit); return;
    case 0xb6: do_load(e, 1, size, false); return;
    case 0xb7: do_load(e, 2, size, false); return;
    case 0xbe: do_load(e, 1, size, true); return;
    case 0xbf: do_load(e, 2, size, true); return;
    case 0xc0:
    case 0xc1: do_exchange(e, by_low_bit, true); return;
    case 0xc3: do_store(e, size, operand_reg(e, d->reg, size)); return;  // MOVNTI
    case 0xc7:
        if ((d->reg & 7) == 1)
            do_compare_exchange_pair(e);
        else
            e->unknown = true;
        return;
    default: e->unknown = !do_vector(e);
    }
}

bool emulate_execute(struct emulation *e)
{
    const struct decoded *d = &e->insn;

    e->one_operand = d->has_memory && !(d->map == DECODE_MAP_ONE && d->opcode == 0x8f);
    e->new_flags = e->flags;
    if (d->encoding != DECODE_LEGACY) {
        e->unknown = !d->has_memory || !do_vector(e);
    } else if (d->map == DECODE_MAP_ONE && !d->has_memory) {
        switch (d->opcode & 0xfe) {
        case 0xa4:
        case 0xa6:
        case 0xaa:
        case 0xac:
        case 0xae:
            if (!emulate_string(e))
                return false;
            break;
        default: e->unknown = true;
        }
    } else if (!d->has_memory) {
        e->unknown = true;
    } else if (d->map == DECODE_MAP_ONE) {
        execute_one_byte(e);
    } else if (d->map == DECODE_MAP_0F) {
        execute_two_byte(e);
    } else if (d->map == DECODE_MAP_0F38 && (d->opcode & 0xfe) == 0xf0 && !d->repne) {
        do_move_reversed(e);
    } else {
        e->unknown = !do_vector(e);
    }
    if (e->unknown || e->failed)
        return false;
    if (e->new_flags != e->flags)
        vt()->set(e->v, VT_RFLAGS, e->new_flags);
    return true;
}
