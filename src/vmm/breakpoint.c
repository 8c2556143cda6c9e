// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/breakpoint.c -- DR0 to DR3 for accesses that the VMM makes in the processor's place.
 *
 * The processor watches what the guest's instructions touch. What exits it does not see: a
 * port, a device's memory, and the other operand of the instruction that touches one. The trap
 * comes behind the instruction, or behind one round of a repeated one, as with the processor.
 *
 * Invariants: asked only when v->breakpoints says that one is on.
 * Locking: none; the vCPU's world.
 * Sources: SDM-3B, "Debug Registers", "Breakpoint Field Recognition".
 */
#include "vmm/vm.h"

uint64_t breakpoint_hits(struct vcpu *v, uint64_t at, unsigned size, enum breakpoint_kind kind)
{
    static const uint8_t sizes[4] = {1, 2, 8, 4};
    uint64_t dr7 = vt()->get(v, VT_DR7), hits = 0;

    if (kind == BREAKPOINT_IO && !(vt()->get(v, VT_CR4) & CR4_DE))
        return 0;
    for (unsigned i = 0; i < ARRAY_COUNT(v->dr); i++) {
        unsigned on = dr7 >> (2 * i) & 3, watches = dr7 >> (16 + 4 * i) & 3;
        uint64_t length = sizes[dr7 >> (18 + 4 * i) & 3];
        uint64_t base = v->dr[i] & ~(length - 1);
        bool same = watches == (unsigned)kind ||
                    (watches == BREAKPOINT_READ && kind == BREAKPOINT_WRITE);

        if (on && same && at < base + length && base < at + size)
            hits |= BIT(i);
    }
    return hits;
}

void breakpoint_step(struct vcpu *v, uint64_t next, uint64_t hits)
{
    if (!(vt()->get(v, VT_EFER) & EFER_LMA))
        next = (uint32_t)next;
    if (vt()->step(v, next))
        hits |= DR6_BS;
    if (hits)
        vcpu_raise_db(v, hits);
}
