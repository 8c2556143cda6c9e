// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/emulate_alu.c -- arithmetic on 1 to 8 bytes, with the flags a processor sets.
 *
 * Carries are read off operands and result bit by bit instead of summing in more bits than the
 * operands have, so one formula serves all sizes, 8 bytes included. AF, which the manual leaves
 * undefined for logic, comes out clear, as processors do it; so do the flags that a product
 * leaves undefined, which tell of its low half.
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

uint64_t alu_shift(unsigned operation, uint64_t a, unsigned count, unsigned size,
                   uint64_t *flags)
{
    const uint64_t sign = alu_sign_bit(size);
    const bool left = !(operation & 1);
    bool carry = *flags & RFLAGS_CF, over = false;

    a &= alu_mask(size);
    count &= size == 8 ? 63 : 31;
    if (!count)
        return a;
    for (; count; count--) {
        bool top = a & sign, low = a & 1, in = false;

        switch (operation) {
        case ALU_ROL:
        case ALU_SAR: in = top; break;
        case ALU_ROR: in = low; break;
        case ALU_RCL:
        case ALU_RCR: in = carry; break;
        default: break;
        }
        carry = left ? top : low;
        a = left ? ((a << 1) | in) & alu_mask(size) : (a >> 1) | (in ? sign : 0);
        over = (bool)(a & sign) != (left ? carry : top);
    }
    if (operation >= ALU_SHL)
        flags_result(a, size, 0, flags);
    *flags &= ~(uint64_t)(RFLAGS_CF | RFLAGS_OF);
    *flags |= (carry ? RFLAGS_CF : 0) | (over ? RFLAGS_OF : 0);
    return a;
}

uint64_t alu_shift_double(bool left, uint64_t a, uint64_t b, unsigned count, unsigned size,
                          uint64_t *flags)
{
    const uint64_t sign = alu_sign_bit(size);
    uint64_t old = a &= alu_mask(size);
    bool carry = false;

    count &= size == 8 ? 63 : 31;
    if (!count)
        return a;
    for (; count; count--) {
        bool in = left ? b & sign : b & 1;

        carry = left ? a & sign : a & 1;
        a = left ? ((a << 1) | in) & alu_mask(size) : (a >> 1) | (in ? sign : 0);
        b = left ? b << 1 : b >> 1;
    }
    flags_result(a, size, (carry ? RFLAGS_CF : 0) | ((a ^ old) & sign ? RFLAGS_OF : 0), flags);
    return a;
}

/* The high half of the product of two 64-bit numbers without signs. */
static uint64_t product_high(uint64_t a, uint64_t b)
{
    return (uint64_t)((unsigned __int128)a * b >> 64);
}

struct alu_pair alu_multiply(bool is_signed, uint64_t a, uint64_t b, unsigned size,
                             uint64_t *flags)
{
    const uint64_t mask = alu_mask(size);
    struct alu_pair product;
    bool over;

    a = is_signed ? alu_sign_extend(a, size) : a & mask;
    b = is_signed ? alu_sign_extend(b, size) : b & mask;
    product.low = a * b;
    product.high = product_high(a, b);
    if (is_signed)
        product.high -= (a >> 63 ? b : 0) + (b >> 63 ? a : 0);
    if (size < 8) {
        product.high = product.low >> (8 * size) & mask;
        product.low &= mask;
    }
    over = product.high != (is_signed && product.low & alu_sign_bit(size) ? mask : 0);
    flags_result(product.low, size, over ? RFLAGS_CF | RFLAGS_OF : 0, flags);
    return product;
}

/* One bit of the quotient after the other, as the remainder does not fit a register. */
static bool divide(struct alu_pair a, uint64_t by, unsigned size, struct alu_pair *out)
{
    uint64_t rest = a.high, quotient = a.low;

    if (a.high >= by)
        return false;  // by zero, or too large a quotient
    for (unsigned i = 0; i < 8 * size; i++) {
        bool top = rest & alu_sign_bit(size);

        rest = (rest << 1 | !!(quotient & alu_sign_bit(size))) & alu_mask(size);
        quotient = quotient << 1 & alu_mask(size);
        if (top || rest >= by) {
            rest = (rest - by) & alu_mask(size);
            quotient |= 1;
        }
    }
    *out = (struct alu_pair){.low = quotient, .high = rest};
    return true;
}

static struct alu_pair pair_negated(struct alu_pair a, unsigned size)
{
    return (struct alu_pair){.low = (0 - a.low) & alu_mask(size),
                             .high = (~a.high + !a.low) & alu_mask(size)};
}

bool alu_divide(bool is_signed, struct alu_pair a, uint64_t by, unsigned size,
                struct alu_pair *out)
{
    const uint64_t sign = alu_sign_bit(size);
    bool negative, by_negative;

    by &= alu_mask(size);
    if (!is_signed)
        return divide(a, by, size, out);
    negative = a.high & sign;
    by_negative = by & sign;
    if (negative)
        a = pair_negated(a, size);
    if (!divide(a, by_negative ? (0 - by) & alu_mask(size) : by, size, out))
        return false;
    // Down to the least negative number, not up to its opposite.
    if (out->low > (negative != by_negative ? sign : sign - 1))
        return false;
    if (negative != by_negative)
        out->low = (0 - out->low) & alu_mask(size);
    if (negative)
        out->high = (0 - out->high) & alu_mask(size);
    return true;
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
