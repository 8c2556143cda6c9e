// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/decode.h -- x86 instruction bytes into length, operands and prefixes.
 *
 * Pure: bytes in, struct out. It knows the length of every encoding, and what an instruction
 * means of none: emulate.c looks at map and opcode.
 */
#pragma once

#include "lib/types.h"

#define DECODE_LENGTH_MAX 15u

enum decode_encoding {
    DECODE_LEGACY,
    DECODE_VEX,
    DECODE_EVEX
};

/* Opcode maps by the numbers that VEX gives them. */
enum {
    DECODE_MAP_ONE = 0,
    DECODE_MAP_0F = 1,
    DECODE_MAP_0F38 = 2,
    DECODE_MAP_0F3A = 3
};

/* Registers by instruction number 0..15; these stand for the rest. */
enum {
    DECODE_REG_NONE = -1,
    DECODE_REG_RIP = 16
};

/* Segment registers by instruction number, which is also enum vt_seg's order. */
enum {
    DECODE_ES,
    DECODE_CS,
    DECODE_SS,
    DECODE_DS,
    DECODE_FS,
    DECODE_GS
};

struct decoded {
    uint8_t length;        // of the whole instruction, 1..15
    uint8_t mode;          // 16, 32, 64
    uint8_t operand_size;  // 2, 4, 8: what the prefixes say; byte instructions ignore it
    uint8_t address_size;  // 2, 4, 8
    enum decode_encoding encoding;
    uint8_t map;
    uint8_t opcode;
    uint8_t rex;  // the REX byte or 0
    bool lock;
    bool rep;             // F3
    bool repne;           // F2
    bool operand_prefix;  // 66
    bool vector_256;      // VEX.L
    bool has_modrm;
    uint8_t mod;
    uint8_t reg;         // with REX.R
    uint8_t rm;          // with REX.B; a register when mod is 3
    bool has_memory;     // ModRM or moffs names memory; string instructions do not count
    int8_t base, index;  // DECODE_REG_...; index is always none without SIB or in 16-bit forms
    uint8_t scale;       // 1, 2, 4, 8
    int64_t displacement;
    uint8_t segment;  // of the memory operand: override, else SS or DS by the base
    bool segment_override;
    uint8_t immediate_size;  // 0, 1, 2, 4, 8; far pointers and ENTER hold all their bytes here
    uint64_t immediate;      // zero-extended
    bool truncated;  // only when decode() is false: more bytes could make an instruction
};

/*
 * Decodes one instruction in `mode` (16, 32 or 64: the code segment's default size). False if
 * the bytes are no instruction, or end too early (`truncated`). Near branches with an
 * operand-size prefix have a 4-byte displacement in 64-bit mode, as on Intel's processors.
 */
must_check bool decode(const uint8_t *bytes, size_t count, unsigned mode, struct decoded *out);
