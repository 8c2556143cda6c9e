// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/emulate_x87.c -- x87 loads, stores and arithmetic, with a device in the place of memory.
 *
 * Rounding, conversions and exceptions are what the processor knows best: it does the
 * instruction itself, on the guest's x87 state and on ten bytes of ours. An exception that the
 * guest has not masked is only noted by that, and is the affair of its next x87 instruction;
 * but then no value may have been stored.
 *
 * The processor has looked at CR0 before it touched memory, so that is not done again. Left
 * out: control words, FLDENV, FSAVE and their kin.
 *
 * Locking    none; the vCPU's world. Interrupts are off while the unit is in use, so that no
 *            world switch saves it.
 * Start at   x87_run().
 * Sources    SDM-1 "x87 FPU Exception Handling"; SDM-2 "FXSAVE", "FLD", "FST", "FIST"
 */
#include "vmm/emulate_x87.h"

#include "lib/string.h"
#include "plat/plat.h"
#include "vmm/emulate_vector.h"
#include "vmm/vcpu.h"

#define AREA_FCW   0u
#define AREA_FSW   2u
#define AREA_FIP   8u
#define AREA_FDP   16u
#define AREA_SIZE  512u
#define EXCEPTIONS 0x3fu  // IE, DE, ZE, OE, UE, PE
#define INEXACT    0x20u  // a store is made all the same

/* Of the top of the stack and a number in memory. */
#define X87_ARITHMETIC(X, opcode, size, letters, width)                                        \
    X(opcode, 0, size, false, letters "add" width)                                             \
    X(opcode, 1, size, false, letters "mul" width)                                             \
    X(opcode, 2, size, false, letters "com" width)                                             \
    X(opcode, 3, size, false, letters "comp" width)                                            \
    X(opcode, 4, size, false, letters "sub" width)                                             \
    X(opcode, 5, size, false, letters "subr" width)                                            \
    X(opcode, 6, size, false, letters "div" width)                                             \
    X(opcode, 7, size, false, letters "divr" width)

/* X(opcode, reg field, bytes, store, instruction) */
#define X87_FORMS(X)                                                                           \
    X87_ARITHMETIC(X, 0xd8, 4, "f", "s")                                                       \
    X87_ARITHMETIC(X, 0xda, 4, "fi", "l")                                                      \
    X87_ARITHMETIC(X, 0xdc, 8, "f", "l")                                                       \
    X87_ARITHMETIC(X, 0xde, 2, "fi", "s")                                                      \
    X(0xd9, 0, 4, false, "flds")                                                               \
    X(0xd9, 2, 4, true, "fsts")                                                                \
    X(0xd9, 3, 4, true, "fstps")                                                               \
    X(0xdb, 0, 4, false, "fildl")                                                              \
    X(0xdb, 1, 4, true, "fisttpl")                                                             \
    X(0xdb, 2, 4, true, "fistl")                                                               \
    X(0xdb, 3, 4, true, "fistpl")                                                              \
    X(0xdb, 5, 10, false, "fldt")                                                              \
    X(0xdb, 7, 10, true, "fstpt")                                                              \
    X(0xdd, 0, 8, false, "fldl")                                                               \
    X(0xdd, 1, 8, true, "fisttpll")                                                            \
    X(0xdd, 2, 8, true, "fstl")                                                                \
    X(0xdd, 3, 8, true, "fstpl")                                                               \
    X(0xdf, 0, 2, false, "filds")                                                              \
    X(0xdf, 1, 2, true, "fisttps")                                                             \
    X(0xdf, 2, 2, true, "fists")                                                               \
    X(0xdf, 3, 2, true, "fistps")                                                              \
    X(0xdf, 4, 10, false, "fbld")                                                              \
    X(0xdf, 5, 8, false, "fildll")                                                             \
    X(0xdf, 6, 10, true, "fbstp")                                                              \
    X(0xdf, 7, 8, true, "fistpll")

bool x87_form_of(const struct decoded *d, struct x87_form *out)
{
    static const struct x87_form forms[] = {
#define X(opcode, reg, size, store, text) {opcode, reg, size, store},
        X87_FORMS(X)
#undef X
    };

    if (d->map != DECODE_MAP_ONE || !d->has_memory)
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(forms); i++) {
        if (forms[i].opcode == d->opcode && forms[i].reg == (d->reg & 7)) {
            *out = forms[i];
            return true;
        }
    }
    return false;
}

/* The instruction itself, on the state in `area`. */
static void execute(const struct x87_form *m, uint8_t *area, uint8_t bytes[X87_BYTES])
{
    uint8_t own[AREA_SIZE] __attribute__((aligned(16)));

    __asm__ volatile("fxsave64 (%0)\n\tfxrstor64 (%1)" : : "r"(own), "r"(area) : "memory");
    switch (m->opcode << 8 | m->reg) {
#define X(opcode, reg, size, store, text)                                                      \
    case (opcode) << 8 | (reg): __asm__ volatile(text " (%0)" : : "r"(bytes) : "memory"); break;
        X87_FORMS(X)
#undef X
    default: break;
    }
    __asm__ volatile("fxsave64 (%0)\n\tfxrstor64 (%1)" : : "r"(area), "r"(own) : "memory");
}

static uint16_t word_get(const uint8_t *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

enum x87_outcome x87_run(struct vcpu *v, const struct x87_form *m, uint64_t rip, uint64_t gla,
                         uint8_t bytes[X87_BYTES])
{
    uint8_t area[AREA_SIZE] __attribute__((aligned(16)));
    const bool irqs = plat_irq_save();
    const uint64_t xcr0 = plat_xcr0_read();
    enum x87_outcome outcome = X87_PENDING;
    uint16_t unmasked;

    plat_fpu_save(v->fpu, xcr0);
    vector_area_x87(v->fpu);
    memcpy(area, v->fpu, sizeof(area));
    unmasked = (uint16_t)(EXCEPTIONS & ~word_get(area + AREA_FCW));
    if (!(word_get(area + AREA_FSW) & unmasked)) {
        execute(m, area, bytes);
        memcpy(area + AREA_FIP, &rip, sizeof(rip));
        memcpy(area + AREA_FDP, &gla, sizeof(gla));
        memcpy(v->fpu, area, sizeof(area));
        outcome = word_get(area + AREA_FSW) & unmasked & ~INEXACT ? X87_NO_VALUE : X87_DONE;
    }
    plat_fpu_load(v->fpu, xcr0);
    plat_irq_restore(irqs);
    return outcome;
}
