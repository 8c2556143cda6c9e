// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/emulate_operand.c -- what an emulated instruction works on: registers, and bytes of RAM or devices.
 *
 * A linear address becomes a guest-physical one through the guest's own page tables; behind it
 * is the VM's memory or a device, and an operand may straddle two pages of which one is either.
 * So an operand is located as a whole first, for its strongest access, and touched after that:
 * an instruction that faults has changed nothing. Not modelled: segment limits, and a bus lock
 * around a read-modify-write of a device.
 *
 * Invariants
 *   - Guest bytes are input: nothing here asserts on them.
 *   - The first address that leads nowhere queues #PF and makes struct emulation `failed`.
 * Locking    runs in the vCPU's world, no lock held; vm_mmio_access() takes vm->lock for one
 *            access.
 * Start at   operand_find().
 * Sources    SDM-1 "Operand Addressing", "General-Purpose Registers"
 */
#include "lib/string.h"
#include "vmm/emulate_internal.h"

/* ---- registers, segments, addresses ---- */

uint64_t operand_linear(struct vcpu *v, unsigned mode, unsigned segment, uint64_t offset)
{
    struct vt_segment s;

    if (mode == 64 && segment != DECODE_FS && segment != DECODE_GS)
        return offset;
    vt()->get_segment(v, (enum vt_seg)segment, &s);
    offset += s.base;
    return mode == 64 ? offset : (uint32_t)offset;
}

uint64_t operand_reg(const struct emulation *e, unsigned number, unsigned size)
{
    if (size == 1 && !e->insn.rex && number >= 4 && number < 8)
        return (vcpu_gpr(e->v, number - 4) >> 8) & 0xff;
    return vcpu_gpr(e->v, number) & alu_mask(size);
}

void operand_reg_set(struct emulation *e, unsigned number, unsigned size, uint64_t value)
{
    uint64_t old;

    if (size == 1 && !e->insn.rex && number >= 4 && number < 8) {
        old = vcpu_gpr(e->v, number - 4);
        vcpu_gpr_set(e->v, number - 4, (old & ~0xff00ull) | ((value & 0xff) << 8));
        return;
    }
    if (size >= 4) {
        vcpu_gpr_set(e->v, number, value & alu_mask(size));  // 32-bit results clear the top
        return;
    }
    old = vcpu_gpr(e->v, number);
    vcpu_gpr_set(e->v, number, (old & ~alu_mask(size)) | (value & alu_mask(size)));
}

void operand_pointer_set(struct emulation *e, unsigned number, uint64_t value)
{
    unsigned size = e->insn.address_size;
    uint64_t old = vcpu_gpr(e->v, number);

    if (size == 2)
        value = (old & ~0xffffull) | (value & 0xffff);
    vcpu_gpr_set(e->v, number, size == 4 ? (uint32_t)value : value);
}

uint64_t operand_pointer(const struct emulation *e, unsigned number)
{
    return vcpu_gpr(e->v, number) & alu_mask(e->insn.address_size);
}

uint64_t operand_address(const struct emulation *e, uint64_t rsp_extra)
{
    const struct decoded *d = &e->insn;
    uint64_t offset = (uint64_t)d->displacement;

    if (d->base == DECODE_REG_RIP)
        offset += e->rip + d->length;
    else if (d->base != DECODE_REG_NONE)
        offset += vcpu_gpr(e->v, (unsigned)d->base) + (d->base == GPR_RSP ? rsp_extra : 0);
    if (d->index != DECODE_REG_NONE)
        offset += vcpu_gpr(e->v, (unsigned)d->index) * d->scale;
    return operand_linear(e->v, d->mode, d->segment, offset & alu_mask(d->address_size));
}

/* ---- guest memory and devices behind linear addresses ---- */

/* Where that byte is; queues #PF if nowhere. */
static bool locate(struct emulation *e, uint64_t gla, enum gla_access access, gpa_t *gpa)
{
    struct gla_fault fault;

    // The hardware has walked the guest's tables for the operand that faulted.
    if (e->exit && e->one_operand &&
        (gla & (PAGE_SIZE - 1)) == (e->exit->nested.gpa.raw & (PAGE_SIZE - 1))) {
        *gpa = e->exit->nested.gpa;
        return true;
    }
    if (gla_translate(e->v, gla, access, gpa, &fault))
        return true;
    vcpu_raise_pf(e->v, fault.address, fault.error);
    e->failed = true;
    return false;
}

static bool is_device(const struct emulation *e, gpa_t gpa)
{
    if (e->exit && gpa_to_ppn(gpa).raw == gpa_to_ppn(e->exit->nested.gpa).raw)
        return true;
    return !vm_is_ram(e->v->vm, gpa);
}

/* Within one page; a device sees sizes 1, 2, 4, 8 and odd pieces byte by byte. */
static void piece_read(const struct emulation *e, gpa_t gpa, unsigned size, uint8_t *out)
{
    unsigned step = (size & (size - 1)) ? 1 : MIN(size, 8u);

    if (!is_device(e, gpa) && vm_memory_read(e->v->vm, gpa, out, size) == VMK_OK)
        return;
    for (unsigned i = 0; i < size; i += step) {
        uint64_t value = UINT64_MAX;

        vm_mmio_access(e->v->vm, e->v, gpa_make(gpa.raw + i), step, true, &value);
        memcpy(out + i, &value, step);
    }
}

static void piece_write(const struct emulation *e, gpa_t gpa, unsigned size, const uint8_t *in)
{
    unsigned step = (size & (size - 1)) ? 1 : MIN(size, 8u);

    if (!is_device(e, gpa) && vm_memory_write(e->v->vm, gpa, in, size) == VMK_OK)
        return;
    for (unsigned i = 0; i < size; i += step) {
        uint64_t value = 0;

        memcpy(&value, in + i, step);
        vm_mmio_access(e->v->vm, e->v, gpa_make(gpa.raw + i), step, false, &value);
    }
}

bool operand_find(struct emulation *e, uint64_t gla, unsigned size, enum gla_access access,
                  struct operand *out)
{
    unsigned to_end = (unsigned)(PAGE_SIZE - (gla & (PAGE_SIZE - 1)));

    out->size = size;
    out->gla = gla;
    out->first_size = MIN(size, to_end);
    if (!locate(e, gla, access, &out->first))
        return false;
    return out->first_size == size || locate(e, gla + out->first_size, access, &out->second);
}

void operand_copy_from(struct emulation *e, const struct operand *p, uint8_t *bytes)
{
    if (__builtin_expect(e->v->breakpoints, 0))
        e->hits |= breakpoint_hits(e->v, p->gla, p->size, BREAKPOINT_READ);
    piece_read(e, p->first, p->first_size, bytes);
    if (p->first_size < p->size)
        piece_read(e, p->second, p->size - p->first_size, bytes + p->first_size);
}

void operand_copy_to(struct emulation *e, const struct operand *p, const uint8_t *bytes)
{
    if (__builtin_expect(e->v->breakpoints, 0))
        e->hits |= breakpoint_hits(e->v, p->gla, p->size, BREAKPOINT_WRITE);
    piece_write(e, p->first, p->first_size, bytes);
    if (p->first_size < p->size)
        piece_write(e, p->second, p->size - p->first_size, bytes + p->first_size);
}

uint64_t operand_read(struct emulation *e, const struct operand *p)
{
    uint64_t value = 0;

    operand_copy_from(e, p, (uint8_t *)&value);
    return value;
}

void operand_write(struct emulation *e, const struct operand *p, uint64_t value)
{
    operand_copy_to(e, p, (const uint8_t *)&value);
}
