// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/emulate_vector.h -- which bytes of which vector register an MMX, SSE or AVX move takes to memory.
 */
#pragma once

#include "vmm/decode.h"

struct vcpu;

#define VECTOR_BYTES 32u

struct vector_move {
    bool store;
    bool mmx;         // an MMX register: eight of them, eight bytes each
    bool aligned;     // #GP unless the address is a multiple of size
    bool merge;       // a load leaves the rest of the low 16 bytes; otherwise it is zeroed
    bool zero_upper;  // a load zeroes what lies above: VEX
    uint8_t size;     // 4, 8, 16, 32
    uint8_t offset;   // in the register: 8 for the high half
    uint8_t reg;
};

/* False: not a move between a vector register and memory, or one that is not known. Pure. */
must_check bool vector_move_of(const struct decoded *d, struct vector_move *out);
/*
 * The register's bytes, as the guest has them; MMX: and the x87 unit as after a store. In the
 * vCPU's world.
 */
void vector_get(struct vcpu *v, const struct vector_move *m, uint8_t bytes[VECTOR_BYTES]);
void vector_load(struct vcpu *v, const struct vector_move *m, const uint8_t *bytes);
/* The x87 part of a save area that XSTATE_BV says is initial gets the values it stands for. */
void vector_area_x87(uint8_t *area);
