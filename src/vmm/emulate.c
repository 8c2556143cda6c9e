// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/emulate.c -- does by hand what a guest's instruction would have done to a device.
 *
 * A memory access to a device's page exits with an address and nothing else: which register,
 * how wide, read or write, stands in the instruction. So it is fetched through the guest's own
 * page tables, decoded (vmm/decode.c) and carried out, with the device in the place of memory:
 * in emulate_insn.c, or element by element in emulate_string.c, which also has INS and OUTS,
 * whose other side is guest memory. What is left out (vector arithmetic, far transfers of
 * control, segment registers) gives #UD and a line in the log.
 *
 * An instruction either happens as a whole, or leaves every register and byte as it was with a
 * fault queued; string instructions do so per element.
 *
 * Invariants
 *   - Guest bytes are input: nothing here asserts on them.
 *   - The first failed access makes struct emulation `failed` and nothing is written after
 *     that.
 * Locking    runs in the vCPU's world, no lock held; vm_mmio_access() and vm_port_access() take
 *            vm->lock for one access each.
 * Start at   emulate_mmio().
 * Sources    SDM-2 "Instruction Format"; SDM-3A "Code-Segment Descriptor in 64-bit Mode"
 */
#include "core/log.h"
#include "vmm/emulate_internal.h"

/* ---- fetching ---- */

static unsigned code_mode(struct vcpu *v)
{
    struct vt_segment cs;

    vt()->get_segment(v, VT_CS, &cs);
    if ((vt()->get(v, VT_EFER) & EFER_LMA) && (cs.rights & VT_SEG_L))
        return 64;
    if (!(vt()->get(v, VT_CR0) & CR0_PE) || (vt()->get(v, VT_RFLAGS) & RFLAGS_VM))
        return 16;
    return cs.rights & VT_SEG_DB ? 32 : 16;
}

/*
 * Decoding the same few instructions over and over is most of what a device's page costs, so
 * what came out last is kept per vCPU, by the bytes themselves: they cannot have changed
 * unnoticed.
 */
static bool decode_kept(struct emulation *e, const uint8_t bytes[DECODE_LENGTH_MAX + 1],
                        unsigned mode)
{
    struct vcpu_decoded *kept =
        &e->v->decoded[(e->rip ^ e->rip >> 4) % ARRAY_COUNT(e->v->decoded)];
    uint64_t key[2];

    __builtin_memcpy(key, bytes, sizeof(key));
    if (kept->mode != mode || kept->key[0] != key[0] || kept->key[1] != key[1]) {
        if (!decode(bytes, DECODE_LENGTH_MAX, mode, &e->insn))
            return false;
        *kept = (struct vcpu_decoded){{key[0], key[1]}, mode, e->insn};
        return true;
    }
    e->insn = kept->insn;
    return true;
}

bool emulation_fetch(struct emulation *e)
{
    struct vcpu *v = e->v;
    unsigned mode = code_mode(v);
    uint8_t bytes[DECODE_LENGTH_MAX + 1];
    uint64_t gla = operand_linear(v, mode, DECODE_CS, e->rip);
    size_t have = (size_t)MIN(DECODE_LENGTH_MAX, PAGE_SIZE - (gla & (PAGE_SIZE - 1)));
    struct gla_fault fault;
    const uint8_t *kept = have == DECODE_LENGTH_MAX ? code_page_find(v, gla) : NULL;
    vmk_status status = VMK_OK;

    if (kept) {
        __builtin_memcpy(bytes, kept, DECODE_LENGTH_MAX);
    } else {
        status = gla_read(v, gla, bytes, have, GLA_FETCH, &fault);
        if (status == VMK_OK)
            code_page_keep(v, gla);
    }
    if (status == VMK_OK) {
        bytes[DECODE_LENGTH_MAX] = 0;
        if (have == DECODE_LENGTH_MAX ? decode_kept(e, bytes, mode)
                                      : decode(bytes, have, mode, &e->insn))
            return true;
        if (e->insn.truncated) {
            status = gla_read(v, gla + have, bytes + have, DECODE_LENGTH_MAX - have, GLA_FETCH,
                              &fault);
            if (status == VMK_OK && decode(bytes, DECODE_LENGTH_MAX, mode, &e->insn))
                return true;
        }
    }
    if (status == VMK_BAD_PARAM)
        vcpu_raise_pf(v, fault.address, fault.error);
    else
        vcpu_raise_ud(v);  // no instruction, or code in a device
    return false;
}

/* ---- what the exits call ---- */

static void log_unknown(const struct emulation *e)
{
    struct vcpu *v = e->v;
    plat_ns now = plat_time_now();

    if (v->unknown_logged && now - v->unknown_logged < 1000000000ull)
        return;
    v->unknown_logged = now;
    vmk_log(VMK_LOG_INFO,
            "VMM: vcpu %u: no emulation of opcode %x (map %u) at rip %llx for address %llx",
            v->index, e->insn.opcode, e->insn.map, (unsigned long long)e->rip,
            (unsigned long long)e->exit->nested.gpa.raw);
}

struct emulation emulation_make(struct vcpu *v, const struct vm_exit *exit)
{
    return (struct emulation){
        .v = v, .exit = exit, .rip = vt()->get(v, VT_RIP), .flags = vt()->get(v, VT_RFLAGS)};
}

enum exit_verdict emulate_mmio(struct vcpu *v, const struct vm_exit *exit, uint32_t *length)
{
    struct emulation e = emulation_make(v, exit);

    if (exit->nested.fetch) {
        vcpu_raise_ud(v);  // nobody's memory reads as all ones, which is no instruction
        return EXIT_RESUME;
    }
    if (!emulation_fetch(&e))
        return EXIT_RESUME;
    if (emulate_execute(&e)) {
        if (__builtin_expect(e.hits != 0 || e.jumps, 0)) {
            breakpoint_step(v, e.jumps ? e.target : e.rip + e.insn.length, e.hits);
            return EXIT_RESUME;
        }
        *length = e.insn.length;
        return EXIT_RESUME_NEXT;
    }
    if (e.unknown) {
        log_unknown(&e);
        vcpu_raise_ud(v);
    }
    return EXIT_RESUME;
}

uint32_t emulate_length(struct vcpu *v)
{
    struct emulation e = emulation_make(v, NULL);

    return emulation_fetch(&e) ? e.insn.length : 0;
}

bool emulate_next_is_hlt(struct vcpu *v)
{
    uint64_t gla = operand_linear(v, code_mode(v), DECODE_CS, vt()->get(v, VT_RIP));
    struct gla_fault fault;
    uint8_t byte;

    return gla_read(v, gla, &byte, 1, GLA_FETCH, &fault) == VMK_OK && byte == 0xf4;
}

bool emulate_read_word(struct vcpu *v, uint16_t *value, uint32_t *length)
{
    struct emulation e = emulation_make(v, NULL);
    struct operand from;

    if (!emulation_fetch(&e) || !e.insn.has_memory ||
        !operand_find(&e, operand_address(&e, 0), sizeof(*value), GLA_READ, &from))
        return false;
    *value = (uint16_t)operand_read(&e, &from);
    *length = e.insn.length;
    return true;
}
