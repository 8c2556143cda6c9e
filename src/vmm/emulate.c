// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/emulate.c -- does by hand what a guest's instruction would have done to a device.
 *
 * A memory access to a device's page exits with an address and nothing else: which register, how
 * wide, read or write, stands in the instruction. So it is fetched through the guest's own page
 * tables, decoded and carried out here, with the device in the place of memory. The same goes for
 * INS and OUTS, whose other side is guest memory. Only what operating systems do to devices is
 * here: moves (those of vector registers too, vmm/emulate_vector.c), string moves, and the plain
 * arithmetic that compilers make of `*reg |= bit`. What is left out (vector arithmetic, MMX, string
 * compares, far transfers) gives #UD and a line in the log. Not modelled:
 * segment limits of the second operand, and a bus lock around a read-modify-write of a device.
 *
 * An instruction either happens as a whole, or leaves every register and byte as it was with a
 * fault queued. String instructions do so per element: the registers show what is done, RIP stays,
 * and the verdict is EXIT_RESUME, which is how a processor takes an interrupt in the middle.
 *
 * Invariants
 *   - Guest bytes are input: nothing here asserts on them.
 *   - The first failed access makes struct work `failed` and nothing is written after that.
 * Locking    runs in the vCPU's world, no lock held; vm_mmio_access() and vm_port_access() take
 *            vm->lock for one access each.
 * Start at   emulate_mmio(), execute().
 * Sources    SDM-2 "Instruction Set Reference"; SDM-1 "EFLAGS Register", "Operand Addressing"
 */
#include "core/log.h"
#include "lib/string.h"
#include "vmm/decode.h"
#include "vmm/emulate_vector.h"
#include "vmm/vm.h"

#define STRING_CHUNK     4096u  // bytes of one string instruction between two looks at interrupts

#define FLAGS_ARITHMETIC (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* One instruction being emulated. */
struct work {
    struct vcpu *v;
    const struct vm_exit *exit;  // the nested fault, or null for string I/O
    struct decoded insn;
    uint64_t rip;
    uint64_t flags, new_flags;
    bool one_operand;  // the faulting address can only be the ModRM operand's
    bool failed;       // a fault is queued: stop
    bool unknown;      // no such instruction here
};

/* ---- registers, segments, addresses ---- */

static uint64_t mask_of(unsigned size)
{
    return size >= 8 ? UINT64_MAX : BIT(8 * size) - 1;
}

static uint64_t sign_bit(unsigned size)
{
    return BIT(8 * size - 1);
}

static uint64_t sign_extend(uint64_t value, unsigned size)
{
    uint64_t sign = sign_bit(size);

    return ((value & mask_of(size)) ^ sign) - sign;
}

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

static uint64_t linear(struct vcpu *v, unsigned mode, unsigned segment, uint64_t offset)
{
    struct vt_segment s;

    if (mode == 64 && segment != DECODE_FS && segment != DECODE_GS)
        return offset;
    vt()->get_segment(v, (enum vt_seg)segment, &s);
    offset += s.base;
    return mode == 64 ? offset : (uint32_t)offset;
}

/* A register of 1, 2, 4 or 8 bytes; AH, CH, DH, BH are byte registers 4-7 without REX. */
static uint64_t reg_get(const struct work *w, unsigned number, unsigned size)
{
    if (size == 1 && !w->insn.rex && number >= 4 && number < 8)
        return (vcpu_gpr(w->v, number - 4) >> 8) & 0xff;
    return vcpu_gpr(w->v, number) & mask_of(size);
}

static void reg_set(struct work *w, unsigned number, unsigned size, uint64_t value)
{
    uint64_t old;

    if (size == 1 && !w->insn.rex && number >= 4 && number < 8) {
        old = vcpu_gpr(w->v, number - 4);
        vcpu_gpr_set(w->v, number - 4, (old & ~0xff00ull) | ((value & 0xff) << 8));
        return;
    }
    if (size >= 4) {
        vcpu_gpr_set(w->v, number, value & mask_of(size));  // 32-bit results clear the top
        return;
    }
    old = vcpu_gpr(w->v, number);
    vcpu_gpr_set(w->v, number, (old & ~mask_of(size)) | (value & mask_of(size)));
}

/* Changes as many bytes of a register as an address has: string pointers and counts. */
static void address_reg_set(struct work *w, unsigned number, uint64_t value)
{
    unsigned size = w->insn.address_size;
    uint64_t old = vcpu_gpr(w->v, number);

    if (size == 2)
        value = (old & ~0xffffull) | (value & 0xffff);
    vcpu_gpr_set(w->v, number, size == 4 ? (uint32_t)value : value);
}

static uint64_t address_reg(const struct work *w, unsigned number)
{
    return vcpu_gpr(w->v, number) & mask_of(w->insn.address_size);
}

/* The linear address of the ModRM or moffs operand; `rsp_extra` is what POP has added already. */
static uint64_t operand_address(const struct work *w, uint64_t rsp_extra)
{
    const struct decoded *d = &w->insn;
    uint64_t offset = (uint64_t)d->displacement;

    if (d->base == DECODE_REG_RIP)
        offset += w->rip + d->length;
    else if (d->base != DECODE_REG_NONE)
        offset += vcpu_gpr(w->v, (unsigned)d->base) + (d->base == GPR_RSP ? rsp_extra : 0);
    if (d->index != DECODE_REG_NONE)
        offset += vcpu_gpr(w->v, (unsigned)d->index) * d->scale;
    return linear(w->v, d->mode, d->segment, offset & mask_of(d->address_size));
}

/* ---- guest memory and devices behind linear addresses ---- */

/* Where that byte is; queues #PF if nowhere. */
static bool locate(struct work *w, uint64_t gla, enum gla_access access, gpa_t *gpa)
{
    struct gla_fault fault;

    // The hardware has walked the guest's tables for the operand that faulted.
    if (w->exit && w->one_operand &&
        (gla & (PAGE_SIZE - 1)) == (w->exit->nested.gpa.raw & (PAGE_SIZE - 1))) {
        *gpa = w->exit->nested.gpa;
        return true;
    }
    if (gla_translate(w->v, gla, access, gpa, &fault))
        return true;
    vcpu_raise_pf(w->v, fault.address, fault.error);
    w->failed = true;
    return false;
}

static bool is_device(const struct work *w, gpa_t gpa)
{
    if (w->exit && gpa_to_ppn(gpa).raw == gpa_to_ppn(w->exit->nested.gpa).raw)
        return true;
    return !vm_is_ram(w->v->vm, gpa);
}

/* Within one page; a device sees sizes 1, 2, 4, 8 and odd pieces byte by byte. */
static void piece_read(const struct work *w, gpa_t gpa, unsigned size, uint8_t *out)
{
    unsigned step = (size & (size - 1)) ? 1 : MIN(size, 8u);

    if (!is_device(w, gpa) && vm_memory_read(w->v->vm, gpa, out, size) == VMK_OK)
        return;
    for (unsigned i = 0; i < size; i += step) {
        uint64_t value = UINT64_MAX;

        vm_mmio_access(w->v->vm, w->v, gpa_make(gpa.raw + i), step, true, &value);
        memcpy(out + i, &value, step);
    }
}

static void piece_write(const struct work *w, gpa_t gpa, unsigned size, const uint8_t *in)
{
    unsigned step = (size & (size - 1)) ? 1 : MIN(size, 8u);

    if (!is_device(w, gpa) && vm_memory_write(w->v->vm, gpa, in, size) == VMK_OK)
        return;
    for (unsigned i = 0; i < size; i += step) {
        uint64_t value = 0;

        memcpy(&value, in + i, step);
        vm_mmio_access(w->v->vm, w->v, gpa_make(gpa.raw + i), step, false, &value);
    }
}

/* One operand in memory, located for the strongest access it will see. */
struct place {
    gpa_t first, second;
    unsigned first_size, size;
};

static bool place_find(struct work *w, uint64_t gla, unsigned size, enum gla_access access,
                       struct place *out)
{
    unsigned to_end = (unsigned)(PAGE_SIZE - (gla & (PAGE_SIZE - 1)));

    out->size = size;
    out->first_size = MIN(size, to_end);
    if (!locate(w, gla, access, &out->first))
        return false;
    return out->first_size == size || locate(w, gla + out->first_size, access, &out->second);
}

static void place_copy_from(const struct work *w, const struct place *p, uint8_t *bytes)
{
    piece_read(w, p->first, p->first_size, bytes);
    if (p->first_size < p->size)
        piece_read(w, p->second, p->size - p->first_size, bytes + p->first_size);
}

static void place_copy_to(const struct work *w, const struct place *p, const uint8_t *bytes)
{
    piece_write(w, p->first, p->first_size, bytes);
    if (p->first_size < p->size)
        piece_write(w, p->second, p->size - p->first_size, bytes + p->first_size);
}

static uint64_t place_read(const struct work *w, const struct place *p)
{
    uint64_t value = 0;

    place_copy_from(w, p, (uint8_t *)&value);
    return value;
}

static void place_write(const struct work *w, const struct place *p, uint64_t value)
{
    place_copy_to(w, p, (const uint8_t *)&value);
}

/* ---- flags ---- */

static void flags_result(struct work *w, uint64_t result, unsigned size, uint32_t others)
{
    uint32_t f = others;

    result &= mask_of(size);
    if (!result)
        f |= RFLAGS_ZF;
    if (result & sign_bit(size))
        f |= RFLAGS_SF;
    if (!(__builtin_popcount((unsigned)(result & 0xff)) & 1))
        f |= RFLAGS_PF;
    w->new_flags = (w->flags & ~(uint64_t)FLAGS_ARITHMETIC) | f;
}

static uint64_t add(struct work *w, uint64_t a, uint64_t b, unsigned carry, unsigned size)
{
    uint64_t mask = mask_of(size);
    uint64_t sum = (a + b + carry) & mask;
    uint64_t carries = (a & b) | ((a | b) & ~sum);
    uint32_t f = 0;

    if (carries & sign_bit(size))
        f |= RFLAGS_CF;
    if (carries & 8)
        f |= RFLAGS_AF;
    if ((a ^ sum) & (b ^ sum) & sign_bit(size))
        f |= RFLAGS_OF;
    flags_result(w, sum, size, f);
    return sum;
}

static uint64_t subtract(struct work *w, uint64_t a, uint64_t b, unsigned borrow, unsigned size)
{
    uint64_t mask = mask_of(size);
    uint64_t rest = (a - b - borrow) & mask;
    uint64_t borrows = (~a & b) | ((~a | b) & rest);
    uint32_t f = 0;

    if (borrows & sign_bit(size))
        f |= RFLAGS_CF;
    if (borrows & 8)
        f |= RFLAGS_AF;
    if ((a ^ b) & (a ^ rest) & sign_bit(size))
        f |= RFLAGS_OF;
    flags_result(w, rest, size, f);
    return rest;
}

static uint64_t logic(struct work *w, uint64_t result, unsigned size)
{
    flags_result(w, result, size, 0);
    return result & mask_of(size);
}

enum {
    OP_ADD,
    OP_OR,
    OP_ADC,
    OP_SBB,
    OP_AND,
    OP_SUB,
    OP_XOR,
    OP_CMP
};

static uint64_t arithmetic(struct work *w, unsigned op, uint64_t a, uint64_t b, unsigned size)
{
    unsigned carry = w->flags & RFLAGS_CF ? 1 : 0;

    a &= mask_of(size);
    b &= mask_of(size);
    switch (op) {
    case OP_ADD: return add(w, a, b, 0, size);
    case OP_OR: return logic(w, a | b, size);
    case OP_ADC: return add(w, a, b, carry, size);
    case OP_SBB: return subtract(w, a, b, carry, size);
    case OP_AND: return logic(w, a & b, size);
    case OP_XOR: return logic(w, a ^ b, size);
    default: return subtract(w, a, b, 0, size);  // SUB, CMP
    }
}

/* INC and DEC leave the carry flag. */
static uint64_t step_by_one(struct work *w, uint64_t a, bool up, unsigned size)
{
    uint64_t result = up ? add(w, a, 1, 0, size) : subtract(w, a, 1, 0, size);

    w->new_flags = (w->new_flags & ~(uint64_t)RFLAGS_CF) | (w->flags & RFLAGS_CF);
    return result;
}

static bool condition(uint64_t flags, unsigned code)
{
    bool sign_differs = !(flags & RFLAGS_SF) != !(flags & RFLAGS_OF);
    bool result;

    switch (code >> 1) {
    case 0: result = flags & RFLAGS_OF; break;
    case 1: result = flags & RFLAGS_CF; break;
    case 2: result = flags & RFLAGS_ZF; break;
    case 3: result = flags & (RFLAGS_CF | RFLAGS_ZF); break;
    case 4: result = flags & RFLAGS_SF; break;
    case 5: result = flags & RFLAGS_PF; break;
    case 6: result = sign_differs; break;
    default: result = sign_differs || (flags & RFLAGS_ZF); break;
    }
    return result != (bool)(code & 1);
}

/* ---- fetching ---- */

/*
 * Decoding the same few instructions over and over is most of what a device's page costs, so what
 * came out last is kept per vCPU, by the bytes themselves: they cannot have changed unnoticed.
 */
static bool decode_kept(struct work *w, const uint8_t bytes[DECODE_LENGTH_MAX + 1],
                        unsigned mode)
{
    struct vcpu_decoded *kept =
        &w->v->decoded[(w->rip ^ w->rip >> 4) % ARRAY_COUNT(w->v->decoded)];
    uint64_t key[2];

    __builtin_memcpy(key, bytes, sizeof(key));
    if (kept->mode != mode || kept->key[0] != key[0] || kept->key[1] != key[1]) {
        if (!decode(bytes, DECODE_LENGTH_MAX, mode, &w->insn))
            return false;
        *kept = (struct vcpu_decoded){{key[0], key[1]}, mode, w->insn};
        return true;
    }
    w->insn = kept->insn;
    return true;
}

/* Decodes at RIP. False: a fault is queued. */
static bool fetch(struct work *w)
{
    struct vcpu *v = w->v;
    unsigned mode = code_mode(v);
    uint8_t bytes[DECODE_LENGTH_MAX + 1];
    uint64_t gla = linear(v, mode, DECODE_CS, w->rip);
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
        if (have == DECODE_LENGTH_MAX ? decode_kept(w, bytes, mode)
                                      : decode(bytes, have, mode, &w->insn))
            return true;
        if (w->insn.truncated) {
            status = gla_read(v, gla + have, bytes + have, DECODE_LENGTH_MAX - have, GLA_FETCH,
                              &fault);
            if (status == VMK_OK && decode(bytes, DECODE_LENGTH_MAX, mode, &w->insn))
                return true;
        }
    }
    if (status == VMK_BAD_PARAM)
        vcpu_raise_pf(v, fault.address, fault.error);
    else
        vcpu_raise_ud(v);  // no instruction, or code in a device
    return false;
}

/* ---- string instructions ---- */

/* One element forward or back; counts it when there is REP. */
static void string_step(struct work *w, bool source, bool destination, unsigned size,
                        uint64_t elements)
{
    uint64_t by = size * elements;

    if (w->flags & RFLAGS_DF)
        by = 0 - by;
    if (source)
        address_reg_set(w, GPR_RSI, address_reg(w, GPR_RSI) + by);
    if (destination)
        address_reg_set(w, GPR_RDI, address_reg(w, GPR_RDI) + by);
    if (w->insn.rep || w->insn.repne)
        address_reg_set(w, GPR_RCX, address_reg(w, GPR_RCX) - elements);
}

/* MOVS, STOS, LODS: elements until done, failed or a chunk's worth. True: all done. */
static bool string_move(struct work *w)
{
    const struct decoded *d = &w->insn;
    bool repeated = d->rep || d->repne;
    unsigned size = d->opcode & 1 ? d->operand_size : 1;
    unsigned kind = d->opcode & 0xfe;  // A4 MOVS, AA STOS, AC LODS
    bool reads = kind != 0xaa, writes = kind != 0xac;

    for (unsigned moved = 0; !repeated || address_reg(w, GPR_RCX); moved += size) {
        struct place from, to;
        uint64_t value;

        if (moved >= STRING_CHUNK)
            return false;
        if (reads && !place_find(w, linear(w->v, d->mode, d->segment, address_reg(w, GPR_RSI)),
                                 size, GLA_READ, &from))
            return false;
        if (writes && !place_find(w, linear(w->v, d->mode, DECODE_ES, address_reg(w, GPR_RDI)),
                                  size, GLA_WRITE, &to))
            return false;
        value = reads ? place_read(w, &from) : reg_get(w, GPR_RAX, size);
        if (writes)
            place_write(w, &to, value);
        else
            reg_set(w, GPR_RAX, size, value);
        string_step(w, reads, writes, size, 1);
        if (!repeated)
            break;
    }
    return true;
}

/* ---- the instructions with a ModRM operand in memory ---- */

/* reads the operand, writes it back, or both; what lies between is the caller's. */
static bool operand(struct work *w, unsigned size, enum gla_access access, struct place *p)
{
    return place_find(w, operand_address(w, 0), size, access, p);
}

static void do_load(struct work *w, unsigned size, unsigned to_size, bool is_signed)
{
    struct place p;
    uint64_t value;

    if (!operand(w, size, GLA_READ, &p))
        return;
    value = place_read(w, &p);
    reg_set(w, w->insn.reg, to_size, is_signed ? sign_extend(value, size) : value);
}

static void do_store(struct work *w, unsigned size, uint64_t value)
{
    struct place p;

    if (operand(w, size, GLA_WRITE, &p))
        place_write(w, &p, value);
}

/* `op` between memory and `other`; the result goes to memory (CMP and TEST: nowhere). */
static void do_arithmetic_to_memory(struct work *w, unsigned op, unsigned size, uint64_t other)
{
    struct place p;
    uint64_t result;

    if (!operand(w, size, op == OP_CMP ? GLA_READ : GLA_WRITE, &p))
        return;
    result = arithmetic(w, op, place_read(w, &p), other, size);
    if (op != OP_CMP)
        place_write(w, &p, result);
}

static void do_arithmetic_to_register(struct work *w, unsigned op, unsigned size)
{
    struct place p;
    uint64_t result;

    if (!operand(w, size, GLA_READ, &p))
        return;
    result = arithmetic(w, op, reg_get(w, w->insn.reg, size), place_read(w, &p), size);
    if (op != OP_CMP)
        reg_set(w, w->insn.reg, size, result);
}

static void do_test(struct work *w, unsigned size, uint64_t other)
{
    struct place p;

    if (operand(w, size, GLA_READ, &p))
        logic(w, place_read(w, &p) & other, size);
}

static void do_exchange(struct work *w, unsigned size, bool add_too)
{
    struct place p;
    uint64_t old, reg = reg_get(w, w->insn.reg, size);

    if (!operand(w, size, GLA_WRITE, &p))
        return;
    old = place_read(w, &p);
    place_write(w, &p, add_too ? arithmetic(w, OP_ADD, old, reg, size) : reg);
    reg_set(w, w->insn.reg, size, old);
}

static void do_compare_exchange(struct work *w, unsigned size)
{
    struct place p;
    uint64_t old;

    if (!operand(w, size, GLA_WRITE, &p))
        return;
    old = place_read(w, &p);
    arithmetic(w, OP_CMP, reg_get(w, GPR_RAX, size), old, size);
    if (w->new_flags & RFLAGS_ZF) {
        place_write(w, &p, reg_get(w, w->insn.reg, size));
    } else {
        place_write(w, &p, old);
        reg_set(w, GPR_RAX, size, old);
    }
}

/* CMPXCHG8B and, with REX.W, CMPXCHG16B: EDX:EAX against memory, ECX:EBX into it. */
static void do_compare_exchange_pair(struct work *w)
{
    unsigned size = w->insn.operand_size == 8 ? 8 : 4;
    uint64_t gla = operand_address(w, 0), old[2] = {0, 0};
    uint8_t bytes[16];
    struct place p;

    if (size == 8 && (gla & 15)) {
        vcpu_raise_gp(w->v);
        w->failed = true;
        return;
    }
    if (!place_find(w, gla, 2 * size, GLA_WRITE, &p))
        return;
    place_copy_from(w, &p, bytes);
    memcpy(&old[0], bytes, size);
    memcpy(&old[1], bytes + size, size);
    if (old[0] == reg_get(w, GPR_RAX, size) && old[1] == reg_get(w, GPR_RDX, size)) {
        old[0] = reg_get(w, GPR_RBX, size);
        old[1] = reg_get(w, GPR_RCX, size);
        memcpy(bytes, &old[0], size);
        memcpy(bytes + size, &old[1], size);
        w->new_flags |= RFLAGS_ZF;
    } else {
        reg_set(w, GPR_RAX, size, old[0]);
        reg_set(w, GPR_RDX, size, old[1]);
        w->new_flags &= ~(uint64_t)RFLAGS_ZF;
    }
    place_copy_to(w, &p, bytes);  // what was there, if they differ
}

static uint64_t bytes_reversed(uint64_t value, unsigned size)
{
    return __builtin_bswap64(value) >> (64 - 8 * size);
}

/* MOVBE loads (F0) and stores (F1) with the bytes in the other order. */
static void do_move_reversed(struct work *w)
{
    unsigned size = w->insn.operand_size;
    struct place p;

    if (!operand(w, size, w->insn.opcode & 1 ? GLA_WRITE : GLA_READ, &p))
        return;
    if (w->insn.opcode & 1)
        place_write(w, &p, bytes_reversed(reg_get(w, w->insn.reg, size), size));
    else
        reg_set(w, w->insn.reg, size, bytes_reversed(place_read(w, &p), size));
}

/* False: no move of a vector register. */
static bool do_vector(struct work *w)
{
    uint64_t gla = operand_address(w, 0);
    uint8_t bytes[VECTOR_BYTES];
    struct vector_move m;
    struct place p;

    if (!vt()->vectors_in_cpu || !vector_move_of(&w->insn, &m))
        return false;
    if (m.aligned && (gla & (m.size - 1u))) {
        vcpu_raise_gp(w->v);
        w->failed = true;
        return true;
    }
    if (!place_find(w, gla, m.size, m.store ? GLA_WRITE : GLA_READ, &p))
        return true;
    if (m.store) {
        vector_get(w->v, m.reg, bytes);
        place_copy_to(w, &p, bytes + m.offset);
    } else {
        place_copy_from(w, &p, bytes);
        vector_load(w->v, &m, bytes);
    }
    return true;
}

/* BT, BTS, BTR, BTC (action 0-3). A register index reaches past the operand, both ways. */
static void do_bit(struct work *w, unsigned action, bool from_register)
{
    unsigned size = w->insn.operand_size;
    uint64_t gla = operand_address(w, 0);
    uint64_t bit = w->insn.immediate, old, mask;
    struct place p;

    if (from_register) {
        int64_t index = (int64_t)sign_extend(reg_get(w, w->insn.reg, size), size);

        // floor(index / bits) operands further on
        gla += (uint64_t)((index >> (size == 8 ? 6 : size == 4 ? 5 : 4)) * (int64_t)size);
        if (w->insn.mode != 64)
            gla = (uint32_t)gla;
        bit = (uint64_t)index;
    }
    mask = BIT(bit & (8 * size - 1));
    if (!place_find(w, gla, size, action ? GLA_WRITE : GLA_READ, &p))
        return;
    old = place_read(w, &p);
    w->new_flags = (w->flags & ~(uint64_t)RFLAGS_CF) | (old & mask ? RFLAGS_CF : 0);
    if (action == 1)
        place_write(w, &p, old | mask);
    else if (action == 2)
        place_write(w, &p, old & ~mask);
    else if (action == 3)
        place_write(w, &p, old ^ mask);
}

static void do_group3(struct work *w, unsigned size)
{
    struct place p;
    uint64_t old;

    switch (w->insn.reg & 7) {
    case 0:
    case 1: do_test(w, size, sign_extend(w->insn.immediate, MIN(size, 4u))); return;
    case 2:
        if (operand(w, size, GLA_WRITE, &p))
            place_write(w, &p, ~place_read(w, &p));
        return;
    case 3:
        if (operand(w, size, GLA_WRITE, &p)) {
            old = place_read(w, &p);
            place_write(w, &p, arithmetic(w, OP_SUB, 0, old, size));
        }
        return;
    default: w->unknown = true;
    }
}

/* PUSH and POP are 64 bits wide in 64-bit mode, or 16 with the prefix. */
static unsigned stack_size(const struct work *w)
{
    return w->insn.mode == 64 && w->insn.operand_size != 2 ? 8 : w->insn.operand_size;
}

/* The part of RSP that this stack uses: B of SS, or all in 64-bit mode. */
static unsigned stack_address_size(const struct work *w)
{
    struct vt_segment ss;

    if (w->insn.mode == 64)
        return 8;
    vt()->get_segment(w->v, VT_SS, &ss);
    return ss.rights & VT_SEG_DB ? 4 : 2;
}

static void stack_move(struct work *w, uint64_t by)
{
    uint64_t mask = mask_of(stack_address_size(w)), old = vcpu_gpr(w->v, GPR_RSP);

    vcpu_gpr_set(w->v, GPR_RSP, (old & ~mask) | ((old + by) & mask));
}

static void do_push(struct work *w)
{
    unsigned size = stack_size(w);
    uint64_t sp = (vcpu_gpr(w->v, GPR_RSP) - size) & mask_of(stack_address_size(w));
    struct place from, to;

    if (!place_find(w, operand_address(w, 0), size, GLA_READ, &from))
        return;
    w->one_operand = false;
    if (!place_find(w, linear(w->v, w->insn.mode, DECODE_SS, sp), size, GLA_WRITE, &to))
        return;
    place_write(w, &to, place_read(w, &from));
    stack_move(w, 0ull - size);
}

static void do_pop(struct work *w)
{
    unsigned size = stack_size(w);
    uint64_t sp = vcpu_gpr(w->v, GPR_RSP) & mask_of(stack_address_size(w));
    struct place from, to;

    if (!place_find(w, linear(w->v, w->insn.mode, DECODE_SS, sp), size, GLA_READ, &from))
        return;
    if (!place_find(w, operand_address(w, size), size, GLA_WRITE, &to))
        return;
    place_write(w, &to, place_read(w, &from));
    stack_move(w, size);
}

static void execute_one_byte(struct work *w)
{
    const struct decoded *d = &w->insn;
    unsigned size = d->opcode & 1 ? d->operand_size : 1;
    uint64_t signed_imm = d->immediate_size ? sign_extend(d->immediate, d->immediate_size) : 0;
    struct place p;
    uint64_t old;

    if (d->opcode < 0x40 && (d->opcode & 7) < 2) {
        do_arithmetic_to_memory(w, d->opcode >> 3, size, reg_get(w, d->reg, size));
        return;
    }
    if (d->opcode < 0x40 && (d->opcode & 7) < 4) {
        do_arithmetic_to_register(w, d->opcode >> 3, size);
        return;
    }
    switch (d->opcode) {
    case 0x63:  // MOVSXD; ARPL outside 64-bit mode
        if (d->mode == 64)
            do_load(w, MIN(d->operand_size, 4), d->operand_size, true);
        else
            w->unknown = true;
        return;
    case 0x80:
    case 0x81:
    case 0x82:
    case 0x83: do_arithmetic_to_memory(w, d->reg & 7, size, signed_imm); return;
    case 0x84:
    case 0x85: do_test(w, size, reg_get(w, d->reg, size)); return;
    case 0x86:
    case 0x87: do_exchange(w, size, false); return;
    case 0x88:
    case 0x89: do_store(w, size, reg_get(w, d->reg, size)); return;
    case 0x8a:
    case 0x8b: do_load(w, size, size, false); return;
    case 0xa0:
    case 0xa1:
        if (operand(w, size, GLA_READ, &p))
            reg_set(w, GPR_RAX, size, place_read(w, &p));
        return;
    case 0xa2:
    case 0xa3: do_store(w, size, reg_get(w, GPR_RAX, size)); return;
    case 0x8f:
        if ((d->reg & 7) == 0)
            do_pop(w);
        else
            w->unknown = true;
        return;
    case 0xc6:
    case 0xc7:
        if ((d->reg & 7) == 0)
            do_store(w, size, signed_imm);
        else
            w->unknown = true;
        return;
    case 0xf6:
    case 0xf7: do_group3(w, size); return;
    case 0xfe:
    case 0xff:
        if ((d->reg & 7) < 2) {
            if (!operand(w, size, GLA_WRITE, &p))
                return;
            old = place_read(w, &p);
            place_write(w, &p, step_by_one(w, old, (d->reg & 7) == 0, size));
        } else if (d->opcode == 0xff && (d->reg & 7) == 6) {
            do_push(w);
        } else {
            w->unknown = true;
        }
        return;
    default: w->unknown = true;
    }
}

static void execute_two_byte(struct work *w)
{
    const struct decoded *d = &w->insn;
    unsigned size = d->operand_size;
    unsigned by_low_bit = d->opcode & 1 ? size : 1;
    struct place p;

    if ((d->opcode & 0xf0) == 0x40) {  // CMOVcc reads memory in any case
        uint64_t value;

        if (!operand(w, size, GLA_READ, &p))
            return;
        value = place_read(w, &p);
        reg_set(w, d->reg, size,
                condition(w->flags, d->opcode & 15u) ? value : reg_get(w, d->reg, size));
        return;
    }
    if ((d->opcode & 0xf0) == 0x90) {
        do_store(w, 1, condition(w->flags, d->opcode & 15u));
        return;
    }
    switch (d->opcode) {
    case 0xa3:
    case 0xab:
    case 0xb3:
    case 0xbb: do_bit(w, (d->opcode >> 3) & 3u, true); return;
    case 0xba:
        if ((d->reg & 7) >= 4)
            do_bit(w, d->reg & 3u, false);
        else
            w->unknown = true;
        return;
    case 0xb0:
    case 0xb1: do_compare_exchange(w, by_low_bit); return;
    case 0xb6: do_load(w, 1, size, false); return;
    case 0xb7: do_load(w, 2, size, false); return;
    case 0xbe: do_load(w, 1, size, true); return;
    case 0xbf: do_load(w, 2, size, true); return;
    case 0xc0:
    case 0xc1: do_exchange(w, by_low_bit, true); return;
    case 0xc3: do_store(w, size, reg_get(w, d->reg, size)); return;  // MOVNTI
    case 0xc7:
        if ((d->reg & 7) == 1)
            do_compare_exchange_pair(w);
        else
            w->unknown = true;
        return;
    default: w->unknown = !do_vector(w);
    }
}

/* Carries out w->insn. True: done, step over it. Otherwise failed, unknown or to be continued. */
static bool execute(struct work *w)
{
    const struct decoded *d = &w->insn;

    w->one_operand = d->has_memory && !(d->map == DECODE_MAP_ONE && d->opcode == 0x8f);
    w->new_flags = w->flags;
    if (d->encoding != DECODE_LEGACY) {
        w->unknown = !d->has_memory || !do_vector(w);
    } else if (d->map == DECODE_MAP_ONE && !d->has_memory) {
        unsigned kind = d->opcode & 0xfe;

        if (kind == 0xa4 || kind == 0xaa || kind == 0xac)
            return string_move(w) && !w->failed;
        w->unknown = true;
    } else if (!d->has_memory) {
        w->unknown = true;
    } else if (d->map == DECODE_MAP_ONE) {
        execute_one_byte(w);
    } else if (d->map == DECODE_MAP_0F) {
        execute_two_byte(w);
    } else if (d->map == DECODE_MAP_0F38 && (d->opcode & 0xfe) == 0xf0 && !d->repne) {
        do_move_reversed(w);
    } else {
        w->unknown = !do_vector(w);
    }
    if (w->unknown || w->failed)
        return false;
    if (w->new_flags != w->flags)
        vt()->set(w->v, VT_RFLAGS, w->new_flags);
    return true;
}

static void log_unknown(const struct work *w)
{
    struct vcpu *v = w->v;
    plat_ns now = plat_time_now();

    if (v->unknown_logged && now - v->unknown_logged < 1000000000ull)
        return;
    v->unknown_logged = now;
    vmk_log(VMK_LOG_INFO,
            "VMM: vcpu %u: no emulation of opcode %x (map %u) at rip %llx for address %llx",
            v->index, w->insn.opcode, w->insn.map, (unsigned long long)w->rip,
            (unsigned long long)w->exit->nested.gpa.raw);
}

static struct work work_make(struct vcpu *v, const struct vm_exit *exit)
{
    return (struct work){
        .v = v, .exit = exit, .rip = vt()->get(v, VT_RIP), .flags = vt()->get(v, VT_RFLAGS)};
}

enum exit_verdict emulate_mmio(struct vcpu *v, const struct vm_exit *exit, uint32_t *length)
{
    struct work w = work_make(v, exit);

    if (exit->nested.fetch) {
        vcpu_raise_ud(v);  // nobody's memory reads as all ones, which is no instruction
        return EXIT_RESUME;
    }
    if (!fetch(&w))
        return EXIT_RESUME;
    if (execute(&w)) {
        *length = w.insn.length;
        return EXIT_RESUME_NEXT;
    }
    if (w.unknown) {
        log_unknown(&w);
        vcpu_raise_ud(v);
    }
    return EXIT_RESUME;
}

/* ---- INS and OUTS ---- */

/* How many elements from `gla` on lie in its page, going up; 1 when going down or straddling. */
static uint64_t elements_in_page(const struct work *w, uint64_t gla, unsigned size,
                                 uint64_t wanted)
{
    uint64_t fit = (PAGE_SIZE - (gla & (PAGE_SIZE - 1))) / size;

    if (w->flags & RFLAGS_DF)
        return 1;
    // An offset that wraps around (16-bit addresses) goes one by one too.
    if (w->insn.address_size == 2)
        return 1;
    return MAX(1ull, MIN(fit, wanted));
}

/* One run of elements inside one page; false: a fault is queued and nothing of the run happened. */
static bool string_io_run(struct work *w, uint16_t port, unsigned size, bool in, uint64_t *left)
{
    const struct decoded *d = &w->insn;
    uint64_t offset = address_reg(w, in ? GPR_RDI : GPR_RSI);
    uint64_t gla = linear(w->v, d->mode, in ? DECODE_ES : d->segment, offset);
    uint64_t count = elements_in_page(w, gla, size, MIN(*left, STRING_CHUNK / size));
    struct place p;

    if (!place_find(w, gla, size, in ? GLA_WRITE : GLA_READ, &p))
        return false;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t value = in ? UINT32_MAX : (uint32_t)place_read(w, &p);

        vm_port_access(w->v->vm, w->v, port, size, in, &value);
        if (in)
            place_write(w, &p, value);
        p.first.raw += size;
    }
    string_step(w, !in, in, size, count);
    *left -= count;
    return true;
}

enum exit_verdict emulate_string_io(struct vcpu *v, const struct vm_exit *exit,
                                    uint32_t *length)
{
    struct work w = work_make(v, NULL);
    uint64_t left = 1, budget;
    unsigned size;
    bool in;

    if (!fetch(&w))
        return EXIT_RESUME;
    // 6C INSB, 6D INSW/D, 6E OUTSB, 6F OUTSW/D; another vCPU may have rewritten the code since.
    if (w.insn.encoding != DECODE_LEGACY || w.insn.map != DECODE_MAP_ONE ||
        (w.insn.opcode & 0xfc) != 0x6c) {
        vcpu_raise_ud(v);
        return EXIT_RESUME;
    }
    in = !(w.insn.opcode & 2);
    size = w.insn.opcode & 1 ? MIN(w.insn.operand_size, 4u) : 1;
    if (w.insn.rep || w.insn.repne)
        left = address_reg(&w, GPR_RCX);
    budget = STRING_CHUNK / size;
    while (left && budget) {
        uint64_t before = left;

        if (!string_io_run(&w, exit->io.port, size, in, &left))
            return EXIT_RESUME;
        budget -= MIN(budget, before - left);
    }
    if (left)
        return EXIT_RESUME;
    *length = w.insn.length;
    return EXIT_RESUME_NEXT;
}

uint32_t emulate_length(struct vcpu *v)
{
    struct work w = work_make(v, NULL);

    return fetch(&w) ? w.insn.length : 0;
}

bool emulate_next_is_hlt(struct vcpu *v)
{
    uint64_t gla = linear(v, code_mode(v), DECODE_CS, vt()->get(v, VT_RIP));
    struct gla_fault fault;
    uint8_t byte;

    return gla_read(v, gla, &byte, 1, GLA_FETCH, &fault) == VMK_OK && byte == 0xf4;
}

bool emulate_read_word(struct vcpu *v, uint16_t *value, uint32_t *length)
{
    struct work w = work_make(v, NULL);
    struct place from;

    if (!fetch(&w) || !w.insn.has_memory ||
        !place_find(&w, operand_address(&w, 0), sizeof(*value), GLA_READ, &from))
        return false;
    *value = (uint16_t)place_read(&w, &from);
    *length = w.insn.length;
    return true;
}
