// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/emulate_x87.h -- x87 loads, stores and arithmetic, with a device in the place of memory.
 */
#pragma once

#include "vmm/decode.h"

struct vcpu;

#define X87_BYTES 10u

struct x87_form {
    uint8_t opcode, reg;  // D9 to DF and what ModRM adds
    uint8_t size;         // 2, 4, 8, 10
    bool store;
};

/* False: not x87, or not with one number in memory. Pure. */
must_check bool x87_form_of(const struct decoded *d, struct x87_form *out);
enum x87_outcome {
    X87_DONE,
    X87_NO_VALUE,  // an exception that is not masked: noted for the next, nothing to store
    X87_PENDING    // one was noted before: #MF, nothing was done
};
/*
 * Does it on the guest's registers, from `bytes` or to them; rip and gla are what the unit
 * remembers of its last instruction. In the vCPU's world.
 */
must_check enum x87_outcome x87_run(struct vcpu *v, const struct x87_form *m, uint64_t rip,
                                    uint64_t gla, uint8_t bytes[X87_BYTES]);
