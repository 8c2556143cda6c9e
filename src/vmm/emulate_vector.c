// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/emulate_vector.c -- which bytes of which vector register an SSE or AVX move takes to memory.
 *
 * Drivers copy to and from devices with the widest move they have. Moves are all that is known here:
 * arithmetic on device memory with vector registers is nothing that compilers or drivers write. The
 * processor has checked CR0, CR4 and XCR0 before it touched memory, so that is not done again.
 *
 * The guest's registers are in the processor while its world runs. They are brought into the vCPU's
 * save area, changed there and loaded again, with interrupts off so that no world switch does the
 * same in between. A component whose bit in XSTATE_BV is clear is zero, whatever the area says.
 *
 * Left out: MMX registers, masked moves, gathers, EVEX.
 *
 * Invariants: nothing here looks at memory of the guest.
 * Locking: none; the vCPU's world.
 * Sources: SDM-2 "Opcode Map"; SDM-1 "XSAVE-Supported Features", "Standard Form".
 */
#include "vmm/emulate_vector.h"

#include "lib/string.h"
#include "plat/plat.h"
#include "vmm/vcpu.h"

#define AREA_MXCSR  24u
#define AREA_XMM    160u
#define AREA_BV     512u  // XSTATE_BV
#define AREA_YMM    576u  // the upper halves
#define STATE_SSE   BIT(1)
#define STATE_AVX   BIT(2)
#define MXCSR_RESET 0x1f80u

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
    case 0x6e: return pp == PP_66 && part(m, false, d->operand_size == 8 ? 8 : 4);
    case 0x6f: return (pp == PP_66 || pp == PP_F3) && whole(m, d, false, pp == PP_66);
    case 0x7e:
        if (pp == PP_F3)
            return part(m, false, 8);
        return pp == PP_66 && part(m, true, d->operand_size == 8 ? 8 : 4);
    case 0x7f: return (pp == PP_66 || pp == PP_F3) && whole(m, d, true, pp == PP_66);
    case 0xd6: return pp == PP_66 && part(m, true, 8);
    case 0xe7: return pp == PP_66 && whole(m, d, true, true);    // MOVNTDQ
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

void vector_get(struct vcpu *v, unsigned reg, uint8_t bytes[VECTOR_BYTES])
{
    bool irqs = plat_irq_save();
    uint64_t xcr0 = plat_xcr0_read();

    plat_fpu_save(v->fpu, xcr0);
    area_read(v->fpu, reg & 15, bytes);
    plat_fpu_load(v->fpu, xcr0);
    plat_irq_restore(irqs);
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
    area_write(v->fpu, m, bytes);
    plat_fpu_load(v->fpu, xcr0);
    plat_irq_restore(irqs);
}
