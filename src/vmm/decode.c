// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/decode.c -- x86 instruction bytes into length, operands and prefixes.
 *
 * A hypervisor must know an instruction when the hardware does not say what it did: a memory
 * access to a device, string I/O, and on processors without next-RIP saving the length of
 * whatever made the guest exit. Lengths follow from a few facts per opcode (is there a ModRM
 * byte, how long is the immediate), so those are two tables of one letter per opcode; meaning
 * is left to emulate.c. Opcodes that no manual defines but whose place in the table has a shape
 * get that shape's length: the processor raised #UD for them long before we are asked.
 *
 * Invariants
 *   - Never reads past `count` bytes nor past the 15th: take() is the only place that reads.
 *   - A result that is true has 1 <= length <= 15.
 * Locking    none; pure.
 * Start at   decode().
 * Sources    SDM-2 "Instruction Format", "Opcode Map"; APM-3 "Instruction Encoding"
 */
#include "vmm/decode.h"

#include "lib/string.h"

/*
 * One letter per opcode:
 *   .  nothing follows          M  ModRM                 x  prefix or escape, handled apart
 *   1  8-bit immediate          B  ModRM, 8 bits         -  undefined
 *   w  16 bits                  Z  ModRM, 16 or 32       o  address-sized offset
 *   z  16 or 32 bits            g  ModRM, 8 bits if reg is 0 or 1 (group 3), G the same with z
 *   v  16, 32 or 64 bits        p  far pointer           e  16 + 8 bits (ENTER)
 *   j  branch displacement, 16 or 32 bits
 */
static const char one_byte_map[257] = "MMMM1z..MMMM1z.x"   // 0
                                      "MMMM1z..MMMM1z.."   // 1
                                      "MMMM1zx.MMMM1zx."   // 2
                                      "MMMM1zx.MMMM1zx."   // 3
                                      "................"   // 4
                                      "................"   // 5
                                      "..MMxxxxzZ1B...."   // 6
                                      "1111111111111111"   // 7
                                      "BZBBMMMMMMMMMMMM"   // 8
                                      "..........p....."   // 9
                                      "oooo....1z......"   // A
                                      "11111111vvvvvvvv"   // B
                                      "BBw.MMBZe.w..1.."   // C
                                      "MMMM11-.MMMMMMMM"   // D
                                      "11111111jjp1...."   // E
                                      "x.xx..gG......MM";  // F

static const char two_byte_map[257] = "MMMM-.....-.-M.B"   // 0
                                      "MMMMMMMMMMMMMMMM"   // 1
                                      "MMMM----MMMMMMMM"   // 2
                                      "......-.x-x-----"   // 3
                                      "MMMMMMMMMMMMMMMM"   // 4
                                      "MMMMMMMMMMMMMMMM"   // 5
                                      "MMMMMMMMMMMMMMMM"   // 6
                                      "BBBBMMM.MM--MMMM"   // 7
                                      "jjjjjjjjjjjjjjjj"   // 8
                                      "MMMMMMMMMMMMMMMM"   // 9
                                      "...MBM--...MBMMM"   // A
                                      "MMMMMMMMMMBMMMMM"   // B
                                      "MMBMBBBM........"   // C
                                      "MMMMMMMMMMMMMMMM"   // D
                                      "MMMMMMMMMMMMMMMM"   // E
                                      "MMMMMMMMMMMMMMMM";  // F

/* One-byte opcodes that 64-bit mode took away (82 included). */
static const uint8_t not_in_64[] = {0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37,
                                    0x3f, 0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4, 0xd5, 0xea};

struct reader {
    const uint8_t *bytes;
    size_t count;  // at most 15
    size_t at;
    bool ended;      // read past count
    bool cut_short;  // count was below 15, so a longer input may do better
};

static uint64_t take(struct reader *r, unsigned size)
{
    uint64_t value = 0;

    if (r->ended || r->count - r->at < size) {
        r->ended = true;
        return 0;
    }
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)r->bytes[r->at + i] << (8 * i);
    r->at += size;
    return value;
}

static uint8_t take_byte(struct reader *r)
{
    return (uint8_t)take(r, 1);
}

static uint8_t peek_byte(struct reader *r)
{
    if (r->ended || r->at >= r->count) {
        r->ended = true;
        return 0;
    }
    return r->bytes[r->at];
}

static int64_t take_signed(struct reader *r, unsigned size)
{
    uint64_t value = take(r, size);

    switch (size) {
    case 1: return (int8_t)value;
    case 2: return (int16_t)value;
    case 4: return (int32_t)value;
    default: return (int64_t)value;
    }
}

/* What the prefixes said, until the opcode is known. */
struct prefixes {
    bool operand, address;
    uint8_t rex;
};

static bool take_prefix(uint8_t byte, struct decoded *out, struct prefixes *p)
{
    switch (byte) {
    case 0x26: out->segment = DECODE_ES; break;
    case 0x2e: out->segment = DECODE_CS; break;
    case 0x36: out->segment = DECODE_SS; break;
    case 0x3e: out->segment = DECODE_DS; break;
    case 0x64: out->segment = DECODE_FS; break;
    case 0x65: out->segment = DECODE_GS; break;
    case 0x66: p->operand = true; return true;
    case 0x67: p->address = true; return true;
    case 0xf0: out->lock = true; return true;
    case 0xf2:
        out->repne = true;
        out->rep = false;
        return true;
    case 0xf3:
        out->rep = true;
        out->repne = false;
        return true;
    default: return false;
    }
    // In 64-bit mode the four old segment prefixes are accepted and mean nothing.
    if (out->mode != 64 || byte == 0x64 || byte == 0x65)
        out->segment_override = true;
    return true;
}

/* Legacy prefixes and REX; returns the first byte that is neither. */
static uint8_t take_prefixes(struct reader *r, struct decoded *out, struct prefixes *p)
{
    for (;;) {
        uint8_t byte = take_byte(r);

        if (r->ended)
            return 0;
        if (take_prefix(byte, out, p)) {
            p->rex = 0;  // a REX that is not last counts for nothing
            continue;
        }
        if (out->mode != 64 || (byte & 0xf0) != 0x40)
            return byte;
        p->rex = byte;
    }
}

static void set_sizes(struct decoded *out, const struct prefixes *p)
{
    if (out->mode == 64) {
        out->operand_size = p->operand ? 2 : 4;
        if (p->rex & 8)
            out->operand_size = 8;
        out->address_size = p->address ? 4 : 8;
    } else {
        out->operand_size = (out->mode == 16) != p->operand ? 2 : 4;
        out->address_size = (out->mode == 16) != p->address ? 2 : 4;
    }
}

/* VEX after its C4 or C5, and XOP after 8F; the prefix bits go into rep and repne. */
static bool take_vex(struct reader *r, uint8_t first, struct decoded *out, struct prefixes *p)
{
    uint8_t a = take_byte(r), last = a;

    out->encoding = DECODE_VEX;
    out->map = DECODE_MAP_0F;
    p->rex = (uint8_t)(0x40 | ((~a >> 5) & 4));
    if (first != 0xc5) {
        last = take_byte(r);
        out->map = a & 31;
        p->rex |= (uint8_t)(((~a >> 5) & 3) | ((last >> 4) & 8));
    }
    if (out->mode != 64)
        p->rex = 0;
    p->operand = (last & 3) == 1;
    out->vector_256 = last & 4;
    out->rep = (last & 3) == 2;
    out->repne = (last & 3) == 3;
    if (first == 0x8f)
        return out->map >= 8 && out->map <= 10;
    return out->map >= DECODE_MAP_0F && out->map <= DECODE_MAP_0F3A;
}

/*
 * EVEX after its 62. Map 4 is APX's and not known here; 5 and 6 hold half-precision arithmetic.
 */
static bool take_evex(struct reader *r, struct decoded *out, struct prefixes *p)
{
    uint8_t a = take_byte(r), b = take_byte(r), c = take_byte(r);

    (void)c;
    out->encoding = DECODE_EVEX;
    out->map = a & 7;
    p->rex = (uint8_t)(0x40 | ((~a >> 5) & 7) | ((b >> 4) & 8));
    if (out->mode != 64)
        p->rex = 0;
    p->operand = (b & 3) == 1;
    out->rep = (b & 3) == 2;
    out->repne = (b & 3) == 3;
    return !(a & 8) && (b & 4) && out->map != 0 && out->map != 4 && out->map != 7;
}

/* Is what looks like LES, LDS, BOUND or POP really VEX, EVEX or XOP? */
static bool is_vector_form(struct reader *r, uint8_t byte, const struct decoded *out)
{
    if (byte == 0x8f)
        return (peek_byte(r) & 0x1f) >= 8;  // POP has reg 0, XOP a map of 8 to 10 there
    if (byte != 0xc4 && byte != 0xc5 && byte != 0x62)
        return false;
    return out->mode == 64 || (peek_byte(r) >> 6) == 3;
}

static void take_memory_16(struct reader *r, struct decoded *out)
{
    static const int8_t bases[8] = {3, 3, 5, 5, 6, 7, 5, 3};
    static const int8_t indexes[8] = {6, 7, 6, 7, -1, -1, -1, -1};
    unsigned rm = out->rm & 7;

    out->base = bases[rm];
    out->index = indexes[rm];
    if (out->mod == 0 && rm == 6) {
        out->base = DECODE_REG_NONE;
        out->displacement = take_signed(r, 2);
    } else if (out->mod == 1) {
        out->displacement = take_signed(r, 1);
    } else if (out->mod == 2) {
        out->displacement = take_signed(r, 2);
    }
}

static void take_memory_32(struct reader *r, struct decoded *out, uint8_t rex)
{
    unsigned low = out->rm & 7;

    out->base = (int8_t)out->rm;
    if (low == 4) {
        uint8_t sib = take_byte(r);
        unsigned index = ((sib >> 3) & 7u) | ((rex & 2u) << 2);

        low = sib & 7;
        out->base = (int8_t)(low | ((rex & 1u) << 3));
        out->scale = (uint8_t)(1u << (sib >> 6));
        if (index != 4)
            out->index = (int8_t)index;
        if (low == 5 && out->mod == 0) {
            out->base = DECODE_REG_NONE;
            out->displacement = take_signed(r, 4);
        }
    } else if (low == 5 && out->mod == 0) {
        out->base = out->mode == 64 ? DECODE_REG_RIP : DECODE_REG_NONE;
        out->displacement = take_signed(r, 4);
    }
    if (out->mod == 1)
        out->displacement = take_signed(r, 1);
    else if (out->mod == 2)
        out->displacement = take_signed(r, 4);
}

static void take_modrm(struct reader *r, struct decoded *out, uint8_t rex)
{
    uint8_t modrm = take_byte(r);

    out->has_modrm = true;
    out->mod = modrm >> 6;
    out->reg = (uint8_t)(((modrm >> 3) & 7) | ((rex & 4) << 1));
    out->rm = (uint8_t)((modrm & 7) | ((rex & 1) << 3));
    // MOV to and from control and debug registers reads every mod as 3.
    if (out->map == DECODE_MAP_0F && out->encoding == DECODE_LEGACY &&
        (out->opcode & 0xfc) == 0x20)
        out->mod = 3;
    if (out->mod == 3)
        return;
    out->has_memory = true;
    if (out->address_size == 2)
        take_memory_16(r, out);
    else
        take_memory_32(r, out, rex);
}

/*
 * The table's letter for this opcode; vector forms differ from the legacy maps in few places.
 */
static char shape_of(const struct decoded *out)
{
    if (out->map == DECODE_MAP_ONE)
        return one_byte_map[out->opcode];
    if (out->map == DECODE_MAP_0F3A)
        return 'B';
    if (out->map == 8)
        return 'B';
    if (out->map == 10)
        return 'Z';
    if (out->map != DECODE_MAP_0F)
        return 'M';
    if (out->encoding == DECODE_LEGACY)
        return two_byte_map[out->opcode];
    if (out->opcode == 0x77 && out->encoding == DECODE_VEX)
        return '.';  // VZEROUPPER, VZEROALL
    return two_byte_map[out->opcode] == 'B' && out->opcode >= 0x70 ? 'B' : 'M';
}

static void take_immediate(struct reader *r, struct decoded *out, unsigned size)
{
    out->immediate = take(r, size);
    out->immediate_size = (uint8_t)size;
}

static bool take_operands(struct reader *r, struct decoded *out, const struct prefixes *p)
{
    unsigned z = out->operand_size == 2 ? 2 : 4;
    char shape = shape_of(out);

    if (strchr("MBZgG", shape))
        take_modrm(r, out, p->rex);
    switch (shape) {
    case '.': break;
    case 'M':
        // EXTRQ and INSERTQ of SSE4a share 0F 78 with VMREAD and have two immediate bytes.
        if (out->map == DECODE_MAP_0F && out->encoding == DECODE_LEGACY &&
            out->opcode == 0x78 && (p->operand || out->repne))
            take_immediate(r, out, 2);
        break;
    case '1':
    case 'B': take_immediate(r, out, 1); break;
    case 'w': take_immediate(r, out, 2); break;
    case 'z':
    case 'Z': take_immediate(r, out, z); break;
    case 'v': take_immediate(r, out, out->operand_size); break;
    case 'e': take_immediate(r, out, 3); break;
    case 'p': take_immediate(r, out, z + 2); break;
    case 'j': take_immediate(r, out, out->mode == 64 ? 4 : z); break;
    case 'g':
        if ((out->reg & 7) < 2)
            take_immediate(r, out, 1);
        break;
    case 'G':
        if ((out->reg & 7) < 2)
            take_immediate(r, out, z);
        break;
    case 'o':
        out->has_memory = true;
        out->displacement = (int64_t)take(r, out->address_size);
        break;
    default: return false;
    }
    return true;
}

static bool take_opcode(struct reader *r, struct decoded *out, struct prefixes *p)
{
    uint8_t byte = take_prefixes(r, out, p);
    bool prefixed = p->operand || p->rex || out->lock || out->rep || out->repne;

    if (r->ended)
        return false;
    if (is_vector_form(r, byte, out)) {
        bool good = byte == 0x62 ? take_evex(r, out, p) : take_vex(r, byte, out, p);

        if (!good || prefixed)
            return false;
        out->opcode = take_byte(r);
        return true;
    }
    if (byte == 0x0f) {
        out->map = DECODE_MAP_0F;
        byte = take_byte(r);
        if (byte == 0x38 || byte == 0x3a) {
            out->map = byte == 0x38 ? DECODE_MAP_0F38 : DECODE_MAP_0F3A;
            byte = take_byte(r);
        }
    } else if (out->mode == 64) {
        for (size_t i = 0; i < ARRAY_COUNT(not_in_64); i++)
            if (byte == not_in_64[i])
                return false;
    }
    out->opcode = byte;
    return true;
}

bool decode(const uint8_t *bytes, size_t count, unsigned mode, struct decoded *out)
{
    struct reader r = {.bytes = bytes,
                       .count = MIN(count, DECODE_LENGTH_MAX),
                       .cut_short = count < DECODE_LENGTH_MAX};
    struct prefixes p = {0};
    bool good;

    *out = (struct decoded){.mode = (uint8_t)mode,
                            .base = DECODE_REG_NONE,
                            .index = DECODE_REG_NONE,
                            .scale = 1,
                            .segment = DECODE_DS};
    good = take_opcode(&r, out, &p);
    if (good) {
        out->rex = out->encoding == DECODE_LEGACY ? p.rex : 0;
        out->operand_prefix = p.operand;
        set_sizes(out, &p);
        good = take_operands(&r, out, &p);
    }
    if (r.ended) {
        out->truncated = r.cut_short;
        return false;
    }
    if (!out->segment_override)
        out->segment = out->base == 4 || out->base == 5 ? DECODE_SS : DECODE_DS;
    out->length = (uint8_t)r.at;
    return good;
}
