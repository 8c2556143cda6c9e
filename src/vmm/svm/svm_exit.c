// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/svm/svm_exit.c -- turns the VMCB's exit code into struct vm_exit.
 *
 * Without next-RIP save, the length of an intercepted instruction is found by decoding it and
 * remembered by (RIP, CR3, exit code): the code of the exit already says which instruction it
 * is, so only its prefixes are taken on trust. Without decode assists, the register of a CR or
 * DR access is decoded too.
 *
 * Locking: none; a vCPU belongs to the CPU that has it loaded.
 * Start at svm_exit_fill()
 *
 * Sources: APM-2, "SVM Intercept Exit Codes".
 */
#include "vmm/svm/svm.h"
#include "vmm/vcpu_internal.h"
#include "vmm/vm.h"

/* ---- instruction decoding, where the hardware does not help ---- */

struct operand {
    uint8_t opcode;  // after 0F
    uint8_t modrm;
    uint8_t reg, rm;  // with REX
    bool lock;
    uint32_t length;  // when it has no memory operand
};

/* Fetches and takes apart a two-byte-opcode instruction at RIP. False: a #PF is queued. */
static bool decode_0f(struct vcpu *v, struct operand *out)
{
    struct vmcb *b = svm_of(v)->vmcb;
    bool long_mode = (b->efer & EFER_LMA) && (b->cs.attributes & BIT(9));
    uint8_t rex = 0;

    *out = (struct operand){0};
    for (uint32_t i = 0; i < 15; i++) {
        uint64_t at = long_mode ? b->rip + i : (uint32_t)(b->cs.base + (uint32_t)(b->rip + i));
        struct gla_fault fault;
        uint8_t byte;
        vmk_status status = gla_read(v, at, &byte, 1, GLA_FETCH, &fault);

        if (status == VMK_BAD_PARAM)
            vcpu_raise_pf(v, fault.address, fault.error);
        if (status != VMK_OK)
            return false;
        if (out->opcode) {
            out->modrm = byte;
            out->reg = (uint8_t)((byte >> 3 & 7) | (rex & 4) << 1);
            out->rm = (uint8_t)((byte & 7) | (rex & 1) << 3);
            out->length = i + 1;
            return true;
        }
        if (byte == 0x0f) {
            status = gla_read(v, at + 1, &out->opcode, 1, GLA_FETCH, &fault);
            if (status != VMK_OK) {
                if (status == VMK_BAD_PARAM)
                    vcpu_raise_pf(v, fault.address, fault.error);
                return false;
            }
            i++;
            if (out->opcode == 0x06) {  // CLTS has no ModRM
                out->length = i + 1;
                return true;
            }
        } else if (long_mode && (byte & 0xf0) == 0x40) {
            rex = byte;
        } else {
            rex = 0;
            if (byte == 0xf0)
                out->lock = true;
        }
    }
    return false;
}

/* CR and DR exits say only which register. */
static __attribute__((noinline)) bool fill_register_access(struct vcpu *v, struct vm_exit *exit,
                                                           uint32_t code)
{
    struct operand o;

    if (!decode_0f(v, &o))
        return false;
    exit->length = o.length;
    if (code >= SVM_EXIT_DR_READ) {
        exit->kind = VM_EXIT_DR_ACCESS;
        exit->dr.number = code & 15;
        exit->dr.write = code >= SVM_EXIT_DR_WRITE;
        exit->dr.gpr = o.rm;
        return true;
    }
    exit->kind = VM_EXIT_CR_ACCESS;
    exit->cr.number = code & 15;
    exit->cr.write = code >= SVM_EXIT_CR_WRITE;
    exit->cr.gpr = o.rm;
    exit->cr.kind = VM_CR_MOV;
    exit->cr.value = 0;
    if (o.opcode == 0x06) {
        exit->cr.kind = VM_CR_CLTS;
    } else if (o.opcode == 0x01) {
        exit->cr.kind = VM_CR_LMSW;
        if ((o.modrm & 0xc0) != 0xc0) {
            uint16_t word;

            if (!emulate_read_word(v, &word, &exit->length))
                return false;
            exit->cr.value = word;
        } else {
            exit->cr.value = (uint16_t)vcpu_gpr(v, o.rm);
        }
    }
    return true;
}

/*
 * QEMU (7.2) says "invalid" instead of #GP when a guest loads CR3 with bits that no address
 * has.
 */
static bool cr3_write_refused(struct vcpu *v, struct vm_exit *exit, const struct vmcb *b)
{
    struct operand o;

    if (!(b->efer & EFER_LMA) || !decode_0f(v, &o) || o.opcode != 0x22 || (o.reg & 7) != 3 ||
        !(vcpu_gpr(v, o.rm) & cpuid_address_reserved(v)))
        return false;
    return fill_register_access(v, exit, SVM_EXIT_CR_WRITE + 3);
}

/*
 * In ring 3 the processor, for which SVM is on, says #GP of VMRUN to INVLPGA before it exits.
 */
static bool is_virt_insn(struct vcpu *v, const struct vmcb *b)
{
    struct operand o;

    return b->cpl && !b->exit_info1 && decode_0f(v, &o) && o.opcode == 0x01 &&
           (o.modrm & 0xf8) == 0xd8;
}

/*
 * Apart from exit_length(), which nearly every exit goes through and which saves no registers
 * this way.
 */
static __attribute__((noinline)) uint32_t length_learn(struct vcpu *v, struct svm_length *slot,
                                                       uint32_t code)
{
    const struct vmcb *b = svm_of(v)->vmcb;
    const uint32_t length = emulate_length(v);

    if (length) {
        slot[1] = slot[0];
        slot[0] = (struct svm_length){b->rip, b->cr3, code, length};
    }
    return length;
}

/* The length of the instruction that exited; 0: it cannot be fetched and a #PF is queued. */
static uint32_t exit_length(struct vcpu *v, struct svm_vcpu *s, uint32_t code)
{
    struct vmcb *b = s->vmcb;
    struct svm_length *slot = s->lengths[(b->rip ^ b->rip >> 6) % SVM_LENGTH_SETS];

    if ((s->cpu->features & SVM_FEATURE_NRIPS) && b->next_rip > b->rip &&
        b->next_rip - b->rip <= 15)
        return (uint32_t)(b->next_rip - b->rip);
    for (unsigned way = 0; way < SVM_LENGTH_WAYS; way++)
        if (slot[way].rip == b->rip && slot[way].cr3 == b->cr3 && slot[way].code == code &&
            slot[way].length)
            return slot[way].length;

    return length_learn(v, slot, code);
}

static void fill_io(struct vcpu *v, struct vm_exit *exit, const struct vmcb *b)
{
    uint64_t info = b->exit_info1;

    exit->kind = VM_EXIT_IO;
    v->breakpoints = (uint8_t)b->dr7;
    exit->length = (uint32_t)(b->exit_info2 - b->rip);
    exit->io.port = (uint16_t)(info >> 16);
    exit->io.size = (uint8_t)(info >> 4 & 7);
    exit->io.in = info & BIT(0);
    exit->io.string = info & BIT(2);
    exit->io.rep = info & BIT(3);
}

/*
 * In QEMU (7.2) another CPU's FXRSTOR may put the first CPU's flag for nested paging back to
 * what it was before VMRUN or #VMEXIT. Then the kernel's own code behind VMRUN goes through the
 * guest's table, that exits once more, and what is saved as the guest's is the kernel's state.
 * The guest's is lost.
 */
static bool is_lost(const struct vmcb *b)
{
    return (b->exit_info1 & NPF_GUEST_TABLE) && (b->exit_info2 ^ b->cr3) < PAGE_SIZE &&
           b->cr3 == plat_cr_read(3);
}

static void fill_nested_fault(struct vm_exit *exit, const struct vmcb *b)
{
    exit->kind = VM_EXIT_NESTED_FAULT;
    exit->nested.gpa = gpa_make(b->exit_info2);
    exit->nested.write = b->exit_info1 & BIT(1);
    exit->nested.fetch = b->exit_info1 & BIT(4);
    exit->nested.read = !exit->nested.write && !exit->nested.fetch;
    exit->nested.gla_valid = false;
    exit->nested.gla = 0;
}

/* Kinds that need the instruction's length, by exit code - 0x60. */
static const uint8_t length_kinds[] = {
    [SVM_EXIT_RDTSC - 0x60] = VM_EXIT_RDTSC,   [SVM_EXIT_RDPMC - 0x60] = VM_EXIT_RDPMC,
    [SVM_EXIT_CPUID - 0x60] = VM_EXIT_CPUID,   [SVM_EXIT_INVD - 0x60] = VM_EXIT_INVD,
    [SVM_EXIT_PAUSE - 0x60] = VM_EXIT_PAUSE,   [SVM_EXIT_HLT - 0x60] = VM_EXIT_HLT,
    [SVM_EXIT_INVLPG - 0x60] = VM_EXIT_INVLPG, [SVM_EXIT_VMMCALL - 0x60] = VM_EXIT_CALL,
    [SVM_EXIT_WBINVD - 0x60] = VM_EXIT_INVD,   [SVM_EXIT_XSETBV - 0x60] = VM_EXIT_XSETBV,
};

void svm_exit_fill(struct vcpu *v, struct svm_vcpu *s, struct vm_exit *exit)
{
    const struct vmcb *b = s->vmcb;
    uint64_t code = b->exit_code;

    exit->raw_reason = (uint32_t)code;
    exit->length = 0;
    exit->qualification = b->exit_info1;
    exit->rip = b->rip;

    uint64_t index = code - 0x60;

    if (index < ARRAY_COUNT(length_kinds) && length_kinds[index]) {
        exit->kind = (enum vm_exit_kind)length_kinds[index];
        exit->length = exit_length(v, s, (uint32_t)code);
        if (!exit->length)
            exit->kind = VM_EXIT_INTERRUPT;  // go back and take the #PF
        return;
    }
    switch (code) {
    case SVM_EXIT_MSR:
        exit->kind = (b->exit_info1 & 1) ? VM_EXIT_MSR_WRITE : VM_EXIT_MSR_READ;
        exit->length = exit_length(v, s, SVM_EXIT_MSR);
        if (!exit->length)
            exit->kind = VM_EXIT_INTERRUPT;
        return;
    case SVM_EXIT_IOIO: fill_io(v, exit, b); return;
    case SVM_EXIT_NPF:
        if (__builtin_expect(is_lost(b), 0)) {
            exit->kind = VM_EXIT_ENTRY_FAILED;
            exit->failure.rule =
                "the emulator has mixed up the host and the guest, whose state is lost: "
                "keep VMs off the first CPU (docs/caveats.md)";
            return;
        }
        v->breakpoints = (uint8_t)b->dr7;
        fill_nested_fault(exit, b);
        return;
    case SVM_EXIT_INTR:
    case SVM_EXIT_SMI:
    case SVM_EXIT_INIT: exit->kind = VM_EXIT_INTERRUPT; return;
    case SVM_EXIT_NMI: exit->kind = VM_EXIT_NMI; return;
    case SVM_EXIT_VINTR: exit->kind = VM_EXIT_IRQ_WINDOW; return;
    case SVM_EXIT_IRET:
        svm_iret_seen(s);
        exit->kind = VM_EXIT_INTERRUPT;
        return;
    case SVM_EXIT_SHUTDOWN: exit->kind = VM_EXIT_TRIPLE_FAULT; return;
    case SVM_EXIT_TASK:  // not asked for: the processor does it
        exit->kind = VM_EXIT_TASK_SWITCH;
        exit->task.source = VM_TASK_UNKNOWN;
        return;
    case SVM_EXIT_MONITOR:
    case SVM_EXIT_MWAIT:
    case SVM_EXIT_MWAIT_COND: exit->kind = VM_EXIT_MONITOR; return;
    case SVM_EXIT_INVLPGA:
    case SVM_EXIT_VMRUN:
    case SVM_EXIT_VMLOAD:
    case SVM_EXIT_VMSAVE:
    case SVM_EXIT_STGI:
    case SVM_EXIT_CLGI:
    case SVM_EXIT_SKINIT:
    case SVM_EXIT_RDPRU:
    case SVM_EXIT_RSM: exit->kind = VM_EXIT_VIRT_INSN; return;
    case UINT32_MAX:  // as QEMU (7.2) writes it
    case SVM_EXIT_INVALID:
        if (cr3_write_refused(v, exit, b))
            return;
        exit->kind = VM_EXIT_ENTRY_FAILED;
        exit->failure.rule = "VMRUN refused the VMCB (VMEXIT_INVALID)";
        return;
    default: break;
    }
    if (code < SVM_EXIT_EXCEPTION) {
        if (!fill_register_access(v, exit, (uint32_t)code))
            exit->kind = VM_EXIT_INTERRUPT;
        return;
    }
    if (code < SVM_EXIT_INTR) {
        if (code == SVM_EXIT_EXCEPTION + VECTOR_GP && is_virt_insn(v, b)) {
            exit->kind = VM_EXIT_VIRT_INSN;
            return;
        }
        exit->kind = VM_EXIT_EXCEPTION;
        exit->exception.vector = (uint8_t)(code - SVM_EXIT_EXCEPTION);
        exit->exception.error = (uint32_t)b->exit_info1;
        exit->exception.has_error = BIT(exit->exception.vector) & 0x27d00ull;
        exit->exception.cr2 = b->exit_info2;
        return;
    }
    exit->kind = VM_EXIT_UNKNOWN;
}
