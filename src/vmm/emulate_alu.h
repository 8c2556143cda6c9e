// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/emulate_alu.h -- arithmetic on 1 to 8 bytes, with the flags a processor sets.
 */
#pragma once

#include "lib/types.h"

/* The eight operations of opcodes 00-3F and 80-83, numbered as those opcodes do (bits 5-3). */
enum alu_operation {
    ALU_ADD,
    ALU_OR,
    ALU_ADC,
    ALU_SBB,
    ALU_AND,
    ALU_SUB,
    ALU_XOR,
    ALU_CMP
};

/* By the reg field of C0, C1, D0-D3; what is even goes left. */
enum {
    ALU_ROL,
    ALU_ROR,
    ALU_RCL,
    ALU_RCR,
    ALU_SHL,
    ALU_SHR,
    ALU_SHL_TOO,
    ALU_SAR
};

/* A product or a dividend; of a division `low` is the quotient and `high` the rest. */
struct alu_pair {
    uint64_t low, high;
};

/* All bits of an operand of `size` bytes: 1, 2, 4 or 8. */
static inline uint64_t alu_mask(unsigned size)
{
    return size >= 8 ? UINT64_MAX : BIT(8 * size) - 1;
}

static inline uint64_t alu_sign_bit(unsigned size)
{
    return BIT(8 * size - 1);
}

static inline uint64_t alu_sign_extend(uint64_t value, unsigned size)
{
    uint64_t sign = alu_sign_bit(size);

    return ((value & alu_mask(size)) ^ sign) - sign;
}

/*
 * All pure. `flags` is RFLAGS: the carry goes in where the operation takes one, and the
 * arithmetic flags come out; the other bits stay. Results have no bits beyond `size` bytes.
 */

/* The result; of ALU_CMP the difference, which only its flags are wanted of. */
uint64_t alu_arithmetic(unsigned operation, uint64_t a, uint64_t b, unsigned size,
                        uint64_t *flags);
/* `result` as that of AND, OR, XOR and TEST: no carry, no overflow. */
uint64_t alu_logic(uint64_t result, unsigned size, uint64_t *flags);
/* INC (up) and DEC: the carry flag stays. */
uint64_t alu_step(uint64_t a, bool up, unsigned size, uint64_t *flags);
/* `count` is masked here, as the processor does it. */
uint64_t alu_shift(unsigned operation, uint64_t a, unsigned count, unsigned size,
                   uint64_t *flags);
/* SHLD, SHRD: what leaves `b` comes into `a`. */
uint64_t alu_shift_double(bool left, uint64_t a, uint64_t b, unsigned count, unsigned size,
                          uint64_t *flags);
struct alu_pair alu_multiply(bool is_signed, uint64_t a, uint64_t b, unsigned size,
                             uint64_t *flags);
/* False: #DE. Flags are left as they were, which is one way of being undefined. */
must_check bool alu_divide(bool is_signed, struct alu_pair a, uint64_t by, unsigned size,
                           struct alu_pair *out);
/* Does condition 0-15 of Jcc, SETcc, CMOVcc hold? */
bool alu_condition(uint64_t flags, unsigned code);
