// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/emulate_internal.h -- one instruction being emulated, as the emulate*.c files share it.
 */
#pragma once

#include "vmm/decode.h"
#include "vmm/emulate_alu.h"
#include "vmm/vm.h"

/*
 * An instruction whose element count is large is left at its RIP after so many bytes, for
 * interrupts.
 */
#define EMULATE_STRING_CHUNK 4096u

/* Lives on the stack of the vCPU's world for one exit; only that world touches it. */
struct emulation {
    struct vcpu *v;
    const struct vm_exit *exit;  // the nested fault, or null for string I/O
    struct decoded insn;
    uint64_t rip;
    uint64_t flags, new_flags;
    bool one_operand;  // the faulting address can only be the ModRM operand's
    bool failed;       // a fault is queued: stop
    uint64_t hits;     // bits of DR6: the breakpoints that what is done has met
    bool unknown;      // no such instruction here
    bool jumps;        // to `target` instead of the next instruction
    uint64_t target;
};

/* One operand in memory, located for the strongest access it will see. */
struct operand {
    gpa_t first, second;
    uint64_t gla;
    unsigned first_size, size;
};

/* ---- emulate_operand.c ---- */

/* A register of 1, 2, 4 or 8 bytes; AH, CH, DH, BH are byte registers 4-7 without REX. */
uint64_t operand_reg(const struct emulation *e, unsigned number, unsigned size);
void operand_reg_set(struct emulation *e, unsigned number, unsigned size, uint64_t value);
/* As many bytes of a register as an address has: string pointers and counts. */
uint64_t operand_pointer(const struct emulation *e, unsigned number);
void operand_pointer_set(struct emulation *e, unsigned number, uint64_t value);
/* `segment` is a DECODE_ name, `mode` 16, 32 or 64. Limits are not looked at. */
uint64_t operand_linear(struct vcpu *v, unsigned mode, unsigned segment, uint64_t offset);
/*
 * The linear address of the ModRM or moffs operand; `rsp_extra` is what POP has added already.
 */
uint64_t operand_address(const struct emulation *e, uint64_t rsp_extra);
/* Where `size` bytes at that linear address are. False: #PF is queued and `failed` set. */
must_check bool operand_find(struct emulation *e, uint64_t gla, unsigned size,
                             enum gla_access access, struct operand *out);
/*
 * RAM or device, over a page's end or not. A device sees sizes 1, 2, 4, 8, and odd pieces byte
 * by byte.
 */
void operand_copy_from(struct emulation *e, const struct operand *p, uint8_t *bytes);
void operand_copy_to(struct emulation *e, const struct operand *p, const uint8_t *bytes);
uint64_t operand_read(struct emulation *e,
                      const struct operand *p);  // of at most 8 bytes
void operand_write(struct emulation *e, const struct operand *p, uint64_t value);

/* ---- emulate.c ---- */

struct emulation emulation_make(struct vcpu *v, const struct vm_exit *exit);
/* Fetches and decodes at RIP. False: a fault is queued. */
must_check bool emulation_fetch(struct emulation *e);

/* ---- emulate_insn.c ---- */

/*
 * Carries out e->insn. True: done, step over it. Otherwise failed, unknown or to be continued.
 */
must_check bool emulate_execute(struct emulation *e);

/* ---- emulate_string.c ---- */

/*
 * MOVS, STOS, LODS, CMPS, SCAS: elements until done, failed or a chunk's worth. True: all done.
 */
must_check bool emulate_string(struct emulation *e);
