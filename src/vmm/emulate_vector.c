// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/emulate_vector.c -- which bytes of which vector register an MMX, SSE or AVX move takes to memory.
 *
 * Drivers copy to and from devices with the widest move they have. Moves are all that is known
 * here: arithmetic on device memory with vector registers is nothing that compilers or drivers
 * write. The processor has checked CR0, CR4 and XCR0 before it touched memory, so that is not
 * done again.
 *
 * The guest's registers are in the processor while its world runs. They are brought into the
 * vCPU's save area, changed there and loaded again, with interrupts off so that no world switch
 * does the same in between. A component whose bit in XSTATE_BV is clear is zero, whatever the
 * area says.
 *
 * An MMX register is the low half of an x87 one. Whatever touches one makes register 0 the top
 * of the x87 stack and all of them valid, and the area has them in the order of that stack.
 *
 * Left out: masked moves, gathers, EVEX.
 *
 * Invariants: nothing here looks at memory of the guest.
 * Locking: none; the vCPU's world.
 * Sources: SDM-2 "Opcode Map"; SDM-1 "XSAVE-Supported Features", "Standard Form",
 * "Effect of MMX Instructions on x87 FPU Tag Word"; "FXSAVE" in SDM-2.
 */
#include "vmm/emulate_vector.h"

#include "lib/string.h"
#include "plat/plat.h"
#include "vmm/vcpu.h"

#define AREA_FSW    2u
#define AREA_FTW    4u  // a bit for each register that is not empty
#define AREA_MXCSR  24u
#define AREA_ST     32u
#define AREA_XMM    160u
#define AREA_BV     512u  // XSTATE_BV
#define AREA_YMM    576u  // the upper halves
#define STATE_X87   BIT(0)
#define STATE_SSE   BIT(1)
#define STATE_AVX   BIT(2)
#define MXCSR_RESET 0x1f80u
#define FCW_RESET   0x037fu
#define FSW_TOP     11u  // 3 bits
#define ST_COUNT    8u
#define ST_STRIDE   16u

enum pp {
    PP_NONE,
    PP_66,
    PP_F3,
    PP_F2
};

static enum pp prefix_of(const struct decoded *d)
{
    return d->repne ? PP_F2 : d->rep ? PP_F3 : d->operand_prefix ? PP_66 : PP_NONE;
}

/* Moves of the whole register. */
static bool whole(struct vector_move *m, const struct decoded *d, bool store, bool aligned)
{
    m->size = d->vector_256 ? 32 : 16;
    m->store = store;
    m->aligned = aligned;
    return true;
}

static bool part(struct vector_move *m, bool store, unsigned size)
{
    m->size = (uint8_t)size;
    m->store = store;
    return true;
}

/* Without a prefix these opcodes name MMX registers, and there is no VEX form. */
static bool mmx(struct vector_move *m, const struct decoded *d, bool store, unsigned size)
{
    m->mmx = true;
    m->reg = d->reg & 7;
    return d->encoding == DECODE_LEGACY && part(m, store, size);
}

/* MOVLPS, MOVHPS and their 64-bit kin: the VEX loads have a third operand and are left out. */
static bool half(struct vector_move *m, bool vex, bool store, unsigned offset)
{
    m->offset = (uint8_t)offset;
    m->merge = true;
    return (store || !vex) && part(m, store, 8);
}

static bool moves_0f(const struct decoded *d, struct vector_move *m)
{
    bool vex = d->encoding == DECODE_VEX;
    bool odd = d->opcode & 1;
    unsigned word = d->operand_size == 8 ? 8 : 4;
    enum pp pp = prefix_of(d);

    switch (d->opcode) {
    case 0x10:
    case 0x11:
        if (pp == PP_F3 || pp == PP_F2)
            return part(m, odd, pp == PP_F3 ? 4 : 8);  // MOVSS, MOVSD
        return whole(m, d, odd, false);                // MOVUPS, MOVUPD
    case 0x12:
    case 0x13: return pp <= PP_66 && half(m, vex, odd, 0);
    case 0x16:
    case 0x17: return pp <= PP_66 && half(m, vex, odd, 8);
    case 0x28:
    case 0x29: return pp <= PP_66 && whole(m, d, odd, true);   // MOVAPS, MOVAPD
    case 0x2b: return pp <= PP_66 && whole(m, d, true, true);  // MOVNTPS, MOVNTPD
    case 0x6e:
        return pp == PP_NONE ? mmx(m, d, false, word) : pp == PP_66 && part(m, false, word);
    case 0x6f:
        if (pp == PP_NONE)
            return mmx(m, d, false, 8);
        return (pp == PP_66 || pp == PP_F3) && whole(m, d, false, pp == PP_66);
    case 0x7e:
        if (pp == PP_F3)
            return part(m, false, 8);
        return pp == PP_NONE ? mmx(m, d, true, word) : pp == PP_66 && part(m, true, word);
    case 0x7f:
        if (pp == PP_NONE)
            return mmx(m, d, true, 8);
        return (pp == PP_66 || pp == PP_F3) && whole(m, d, true, pp == PP_66);
    case 0xd6: return pp == PP_66 && part(m, true, 8);
    case 0xe7:  // MOVNTQ, MOVNTDQ
        return pp == PP_NONE ? mmx(m, d, true, 8) : pp == PP_66 && whole(m, d, true, true);
    case 0xf0: return pp == PP_F2 && whole(m, d, false, false);  // LDDQU
    default: return false;
    }
}

bool vector_move_of(const struct decoded *d, struct vector_move *out)
{
    *out = (struct vector_move){.reg = d->reg, .zero_upper = d->encoding == DECODE_VEX};
    if (!d->has_memory || d->encoding == DECODE_EVEX || d->lock)
        return false;
    if (d->map == DECODE_MAP_0F)
        return moves_0f(d, out);
    return d->map == DECODE_MAP_0F38 && d->opcode == 0x2a && prefix_of(d) == PP_66 &&
           whole(out, d, false, true);  // MOVNTDQA
}

void vector_area_x87(uint8_t *area)
{
    const uint16_t fcw = FCW_RESET;
    uint64_t present;

    memcpy(&present, area + AREA_BV, sizeof(present));
    if (present & STATE_X87)
        return;
    memset(area, 0, AREA_MXCSR);
    memset(area + AREA_ST, 0, ST_COUNT * ST_STRIDE);
    memcpy(area, &fcw, sizeof(fcw));
    present |= STATE_X87;
    memcpy(area + AREA_BV, &present, sizeof(present));
}

/* What every MMX instruction does to the x87 unit in the save area. */
static void area_mmx_enter(uint8_t *area)
{
    uint8_t stack[ST_COUNT * ST_STRIDE];
    uint16_t fsw;
    unsigned top;

    vector_area_x87(area);
    memcpy(&fsw, area + AREA_FSW, sizeof(fsw));
    memcpy(stack, area + AREA_ST, sizeof(stack));
    top = fsw >> FSW_TOP & (ST_COUNT - 1);
    for (unsigned i = 0; i < ST_COUNT; i++)
        memcpy(area + AREA_ST + ST_STRIDE * i,
               stack + ST_STRIDE * ((i + ST_COUNT - top) % ST_COUNT), ST_STRIDE);
    fsw = (uint16_t)(fsw & ~((ST_COUNT - 1) << FSW_TOP));
    memcpy(area + AREA_FSW, &fsw, sizeof(fsw));
    area[AREA_FTW] = UINT8_MAX;
}

static uint8_t *area_mmx(uint8_t *area, unsigned reg)
{
    return area + AREA_ST + ST_STRIDE * reg;
}

/* Halves of a register in the save area, which is up to date. */
static void area_read(const uint8_t *area, unsigned reg, uint8_t bytes[VECTOR_BYTES])
{
    uint64_t present;

    memcpy(&present, area + AREA_BV, sizeof(present));
    memset(bytes, 0, VECTOR_BYTES);
    if (present & STATE_SSE)
        memcpy(bytes, area + AREA_XMM + 16 * reg, 16);
    if (present & STATE_AVX)
        memcpy(bytes + 16, area + AREA_YMM + 16 * reg, 16);
}

void vector_get(struct vcpu *v, const struct vector_move *m, uint8_t bytes[VECTOR_BYTES])
{
    bool irqs = plat_irq_save();
    uint64_t xcr0 = plat_xcr0_read();

    plat_fpu_save(v->fpu, xcr0);
    if (m->mmx) {
        area_mmx_enter(v->fpu);
        memcpy(bytes, area_mmx(v->fpu, m->reg), 8);
    } else {
        area_read(v->fpu, m->reg & 15, bytes);
    }
    plat_fpu_load(v->fpu, xcr0);
    plat_irq_restore(irqs);
}

/* The rest of the x87 register that an MMX one is part of reads as a NaN. */
static void area_mmx_write(uint8_t *area, const struct vector_move *m, const uint8_t *from)
{
    uint8_t *reg = area_mmx(area, m->reg);

    area_mmx_enter(area);
    memset(reg, 0, 8);
    memcpy(reg, from, m->size);
    memset(reg + 8, 0xff, 2);
}

static void area_write(uint8_t *area, const struct vector_move *m, const uint8_t *from)
{
    const uint32_t mxcsr = MXCSR_RESET;
    unsigned reg = m->reg & 15u;
    uint8_t bytes[VECTOR_BYTES];
    uint64_t present;

    memcpy(&present, area + AREA_BV, sizeof(present));
    area_read(area, reg, bytes);
    if (!(present & STATE_SSE)) {
        memset(area + AREA_XMM, 0, 256);
        if (!(present & STATE_AVX))
            memcpy(area + AREA_MXCSR, &mxcsr, sizeof(mxcsr));
    }
    if (!m->merge)
        memset(bytes, 0, m->zero_upper ? VECTOR_BYTES : 16);
    memcpy(bytes + m->offset, from, m->size);
    memcpy(area + AREA_XMM + 16 * reg, bytes, 16);
    present |= STATE_SSE;
    if (m->zero_upper) {
        if (!(present & STATE_AVX))
            memset(area + AREA_YMM, 0, 256);
        memcpy(area + AREA_YMM + 16 * reg, bytes + 16, 16);
        present |= STATE_AVX;
    }
    memcpy(area + AREA_BV, &present, sizeof(present));
}

void vector_load(struct vcpu *v, const struct vector_move *m, const uint8_t *bytes)
{
    bool irqs = plat_irq_save();
    uint64_t xcr0 = plat_xcr0_read();

    plat_fpu_save(v->fpu, xcr0);
    if (m->mmx)
        area_mmx_write(v->fpu, m, bytes);
    else
        area_write(v->fpu, m, bytes);
    plat_fpu_load(v->fpu, xcr0);
    plat_irq_restore(irqs);
}
