// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/emulate_alu.c -- sums, differences and logic of 1 to 8 bytes, with the flags a processor sets.
 *
 * Carries are read off operands and result bit by bit instead of summing in more bits than the
 * operands have, so one formula serves all sizes, 8 bytes included. AF, which the manual leaves
 * undefined for logic, comes out clear, as processors do it.
 *
 * Locking    none: pure.
 * Start at   alu_arithmetic().
 * Sources    SDM-1 "EFLAGS Register"; SDM-2 "Instruction Set Reference"
 */
#include "vmm/emulate_alu.h"

#include "lib/x86.h"

#define FLAGS_ARITHMETIC (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

static void flags_result(uint64_t result, unsigned size, uint32_t others, uint64_t *flags)
{
    uint32_t f = others;

    result &= alu_mask(size);
    if (!result)
        f |= RFLAGS_ZF;
    if (result & alu_sign_bit(size))
        f |= RFLAGS_SF;
    if (!(__builtin_popcount((unsigned)(result & 0xff)) & 1))
        f |= RFLAGS_PF;
    *flags = (*flags & ~(uint64_t)FLAGS_ARITHMETIC) | f;
}

static uint64_t add(uint64_t a, uint64_t b, unsigned carry, unsigned size, uint64_t *flags)
{
    uint64_t mask = alu_mask(size);
    uint64_t sum = (a + b + carry) & mask;
    uint64_t carries = (a & b) | ((a | b) & ~sum);
    uint32_t f = 0;

    if (carries & alu_sign_bit(size))
        f |= RFLAGS_CF;
    if (carries & 8)
        f |= RFLAGS_AF;
    if ((a ^ sum) & (b ^ sum) & alu_sign_bit(size))
        f |= RFLAGS_OF;
    flags_result(sum, size, f, flags);
    return sum;
}

static uint64_t subtract(uint64_t a, uint64_t b, unsigned borrow, unsigned size,
                         uint64_t *flags)
{
    uint64_t mask = alu_mask(size);
    uint64_t rest = (a - b - borrow) & mask;
    uint64_t borrows = (~a & b) | ((~a | b) & rest);
    uint32_t f = 0;

    if (borrows & alu_sign_bit(size))
        f |= RFLAGS_CF;
    if (borrows & 8)
        f |= RFLAGS_AF;
    if ((a ^ b) & (a ^ rest) & alu_sign_bit(size))
        f |= RFLAGS_OF;
    flags_result(rest, size, f, flags);
    return rest;
}

uint64_t alu_logic(uint64_t result, unsigned size, uint64_t *flags)
{
    flags_result(result, size, 0, flags);
    return result & alu_mask(size);
}

uint64_t alu_arithmetic(unsigned operation, uint64_t a, uint64_t b, unsigned size,
                        uint64_t *flags)
{
    unsigned carry = *flags & RFLAGS_CF ? 1 : 0;

    a &= alu_mask(size);
    b &= alu_mask(size);
    switch (operation) {
    case ALU_ADD: return add(a, b, 0, size, flags);
    case ALU_OR: return alu_logic(a | b, size, flags);
    case ALU_ADC: return add(a, b, carry, size, flags);
    case ALU_SBB: return subtract(a, b, carry, size, flags);
    case ALU_AND: return alu_logic(a & b, size, flags);
    case ALU_XOR: return alu_logic(a ^ b, size, flags);
    default: return subtract(a, b, 0, size, flags);  // SUB, CMP
    }
}

uint64_t alu_step(uint64_t a, bool up, unsigned size, uint64_t *flags)
{
    uint64_t carry = *flags & RFLAGS_CF;
    uint64_t result = up ? add(a, 1, 0, size, flags) : subtract(a, 1, 0, size, flags);

    *flags = (*flags & ~(uint64_t)RFLAGS_CF) | carry;
    return result;
}

bool alu_condition(uint64_t flags, unsigned code)
{
    bool sign_differs = !(flags & RFLAGS_SF) != !(flags & RFLAGS_OF);
    bool result;

    switch (code >> 1) {
    case 0: result = flags & RFLAGS_OF; break;
    case 1: result = flags & RFLAGS_CF; break;
    case 2: result = flags & RFLAGS_ZF; break;
    case 3: result = flags & (RFLAGS_CF | RFLAGS_ZF); break;
    case 4: result = flags & RFLAGS_SF; break;
    case 5: result = flags & RFLAGS_PF; break;
    case 6: result = sign_differs; break;
    default: result = sign_differs || (flags & RFLAGS_ZF); break;
    }
    return result != (bool)(code & 1);
}
