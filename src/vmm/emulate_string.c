// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/emulate_string.c -- MOVS, STOS, LODS, CMPS, SCAS on devices, INS and OUTS: many elements, one instruction.
 *
 * A string instruction happens element by element: the registers show what is done, RIP stays,
 * and the verdict is EXIT_RESUME after a chunk, which is how a processor takes an interrupt in
 * the middle. A fault leaves the elements before it done. A guest that single-steps (TF) gets
 * its trap behind each.
 *
 * Invariants
 *   - Guest bytes are input: nothing here asserts on them.
 *   - After each element (INS, OUTS: each run inside one page) the registers are right.
 * Locking    runs in the vCPU's world, no lock held; vm_port_access() takes vm->lock for one
 *            access.
 * Start at   emulate_string(), emulate_string_io().
 * Sources    SDM-2 "REP/REPE/REPZ/REPNE/REPNZ", "CMPS/CMPSB/CMPSW/CMPSD/CMPSQ",
 *            "INS/INSB/INSW/INSD", "OUTS/OUTSB/OUTSW/OUTSD"; SDM-3B "Single-Step Exception
 *            Condition"
 */
#include "vmm/emulate_internal.h"

/* One element forward or back; counts it when there is REP. */
static void string_step(struct emulation *e, bool source, bool destination, unsigned size,
                        uint64_t elements)
{
    uint64_t by = size * elements;

    if (e->flags & RFLAGS_DF)
        by = 0 - by;
    if (source)
        operand_pointer_set(e, GPR_RSI, operand_pointer(e, GPR_RSI) + by);
    if (destination)
        operand_pointer_set(e, GPR_RDI, operand_pointer(e, GPR_RDI) + by);
    if (e->insn.rep || e->insn.repne)
        operand_pointer_set(e, GPR_RCX, operand_pointer(e, GPR_RCX) - elements);
}

/* Where the element at that string pointer is. False: a fault is queued. */
static bool element_find(struct emulation *e, unsigned segment, unsigned pointer, unsigned size,
                         enum gla_access access, struct operand *out)
{
    return operand_find(
        e, operand_linear(e->v, e->insn.mode, segment, operand_pointer(e, pointer)), size,
        access, out);
}

/*
 * The trap between two elements, of a single step or a breakpoint; RIP stays. False always: not
 * all done.
 */
static bool string_trap(struct emulation *e)
{
    if (e->new_flags != e->flags)
        vt()->set(e->v, VT_RFLAGS, e->new_flags);
    breakpoint_step(e->v, e->rip, e->hits);
    return false;
}

bool emulate_string(struct emulation *e)
{
    const struct decoded *d = &e->insn;
    bool repeated = d->rep || d->repne;
    unsigned size = d->opcode & 1 ? d->operand_size : 1;
    unsigned kind = d->opcode & 0xfe;  // A4 MOVS, A6 CMPS, AA STOS, AC LODS, AE SCAS
    bool source = kind == 0xa4 || kind == 0xa6 || kind == 0xac;
    bool destination = kind != 0xac;
    bool compares = kind == 0xa6 || kind == 0xae;

    for (unsigned done = 0; !repeated || operand_pointer(e, GPR_RCX); done += size) {
        struct operand from, to;
        uint64_t value;

        if (done && (e->hits || (e->flags & RFLAGS_TF)))
            return string_trap(e);
        if (done >= EMULATE_STRING_CHUNK)
            return false;
        if (source && !element_find(e, d->segment, GPR_RSI, size, GLA_READ, &from))
            return false;
        if (destination &&
            !element_find(e, DECODE_ES, GPR_RDI, size, compares ? GLA_READ : GLA_WRITE, &to))
            return false;
        value = source ? operand_read(e, &from) : operand_reg(e, GPR_RAX, size);
        if (compares)
            alu_arithmetic(ALU_CMP, value, operand_read(e, &to), size, &e->new_flags);
        else if (destination)
            operand_write(e, &to, value);
        else
            operand_reg_set(e, GPR_RAX, size, value);
        string_step(e, source, destination, size, 1);
        // REPE goes on while they are equal, REPNE while they differ.
        if (!repeated || (compares && (bool)(e->new_flags & RFLAGS_ZF) == d->repne))
            break;
    }
    return true;
}
/* ---- INS and OUTS ---- */

/*
 * How many elements from `gla` on lie in its page, going up; 1 when going down or straddling.
 */
static uint64_t elements_in_page(const struct emulation *e, uint64_t gla, unsigned size,
                                 uint64_t wanted)
{
    uint64_t fit = (PAGE_SIZE - (gla & (PAGE_SIZE - 1))) / size;

    if (e->flags & RFLAGS_DF)
        return 1;
    // An offset that wraps around (16-bit addresses) goes one by one too.
    if (e->insn.address_size == 2)
        return 1;
    return MAX(1ull, MIN(fit, wanted));
}

/*
 * One run of at most `most` elements inside one page; false: a fault is queued and nothing of
 * the run happened.
 */
static bool string_io_run(struct emulation *e, uint16_t port, unsigned size, bool in,
                          uint64_t *left, uint64_t most)
{
    const struct decoded *d = &e->insn;
    uint64_t offset = operand_pointer(e, in ? GPR_RDI : GPR_RSI);
    uint64_t gla = operand_linear(e->v, d->mode, in ? DECODE_ES : d->segment, offset);
    uint64_t count = elements_in_page(e, gla, size, MIN(*left, most));
    struct operand p;

    if (!operand_find(e, gla, size, in ? GLA_WRITE : GLA_READ, &p))
        return false;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t value = in ? UINT32_MAX : (uint32_t)operand_read(e, &p);

        vm_port_access(e->v->vm, e->v, port, size, in, &value);
        if (in)
            operand_write(e, &p, value);
        p.first.raw += size;
    }
    string_step(e, !in, in, size, count);
    *left -= count;
    return true;
}

enum exit_verdict emulate_string_io(struct vcpu *v, const struct vm_exit *exit,
                                    uint32_t *length)
{
    struct emulation e = emulation_make(v, NULL);
    uint64_t left = 1, budget;
    unsigned size;
    bool in;

    if (!emulation_fetch(&e))
        return EXIT_RESUME;
    e.new_flags = e.flags;
    // 6C INSB, 6D INSW/D, 6E OUTSB, 6F OUTSW/D; another vCPU may have rewritten the code since.
    if (e.insn.encoding != DECODE_LEGACY || e.insn.map != DECODE_MAP_ONE ||
        (e.insn.opcode & 0xfc) != 0x6c) {
        vcpu_raise_ud(v);
        return EXIT_RESUME;
    }
    in = !(e.insn.opcode & 2);
    size = e.insn.opcode & 1 ? MIN(e.insn.operand_size, 4u) : 1;
    if (e.insn.rep || e.insn.repne)
        left = operand_pointer(&e, GPR_RCX);
    budget = EMULATE_STRING_CHUNK / size;
    if (v->breakpoints || (e.flags & RFLAGS_TF))
        budget = 1;
    while (left && budget) {
        uint64_t before = left;

        if (!string_io_run(&e, exit->io.port, size, in, &left, budget))
            return EXIT_RESUME;
        budget -= MIN(budget, before - left);
        if (v->breakpoints)
            e.hits |= breakpoint_hits(v, exit->io.port, size, BREAKPOINT_IO);
    }
    if (left && (e.hits || (e.flags & RFLAGS_TF)))
        (void)string_trap(&e);
    if (left)
        return EXIT_RESUME;
    if (e.hits) {
        breakpoint_step(v, e.rip + e.insn.length, e.hits);
        return EXIT_RESUME;
    }
    *length = e.insn.length;
    return EXIT_RESUME_NEXT;
}
