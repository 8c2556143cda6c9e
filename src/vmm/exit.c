// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/exit.c -- one handler per reason a guest gives the CPU back.
 *
 * A handler reads struct vm_exit and the guest's registers, changes registers, and answers with
 * a verdict; it never moves RIP and never enters. A handler that raises an exception answers
 * RESUME.
 *
 * Invariants: the table below has a handler for every row of vm_exit.def.
 * Locking: irqs on, no lock held; handlers take what they need.
 */
#include "core/log.h"
#include "core/trace.h"
#include "vmm/vcpu_internal.h"
#include "vmm/vlapic.h"
#include "vmm/vm.h"

const char *vm_exit_name(enum vm_exit_kind kind)
{
    static const char *const names[] = {
#define VM_EXIT(name, handler, carries) #name,
#include "vmm/vm_exit.def"
    };

    return (unsigned)kind < ARRAY_COUNT(names) ? names[kind] : "?";
}

/* The trace names exits by the same numbers (trace/enums.def). */
#define VM_EXIT(name, handler, carries)                                                        \
    _Static_assert((unsigned)VM_EXIT_##name == (unsigned)RECORD_vm_exit_##name, #name);
#include "vmm/vm_exit.def"

enum exit_verdict vm_exit_dispatch(struct vcpu *v, const struct vm_exit *exit)
{
    static enum exit_verdict (*const handlers[])(struct vcpu *, const struct vm_exit *) = {
#define VM_EXIT(name, handler, carries) handler,
#include "vmm/vm_exit.def"
    };

    v->exit_counts[exit->kind]++;
    return handlers[exit->kind](v, exit);
}

enum exit_verdict exit_interrupt(struct vcpu *v, const struct vm_exit *exit)
{
    (void)exit;
    if (world_kill_pending())
        vm_stop(v->vm, 1, "a vCPU's world was told to end");
    return EXIT_RESUME;
}

enum exit_verdict exit_nmi(struct vcpu *v, const struct vm_exit *exit)
{
    (void)v;
    (void)exit;
    return EXIT_RESUME;
}

enum exit_verdict exit_irq_window(struct vcpu *v, const struct vm_exit *exit)
{
    (void)exit;
    v->window = false;
    vt()->want_interrupt_window(v, false);
    return EXIT_RESUME;
}

enum exit_verdict exit_nmi_window(struct vcpu *v, const struct vm_exit *exit)
{
    (void)exit;
    vt()->want_nmi_window(v, false);
    return EXIT_RESUME;
}

enum exit_verdict exit_timer(struct vcpu *v, const struct vm_exit *exit)
{
    (void)v;
    (void)exit;
    return EXIT_RESUME;
}

/* Is the faulting instruction IN or OUT with DX? Its length, or 0; `in` says which. */
static uint32_t port_instruction_length(struct vcpu *v, bool *in)
{
    struct vt_segment cs;
    struct gla_fault fault;
    uint64_t rip = vt()->get(v, VT_RIP);

    vt()->get_segment(v, VT_CS, &cs);

    bool wide = (vt()->get(v, VT_EFER) & EFER_LMA) && (cs.rights & VT_SEG_L);

    for (uint32_t i = 0; i < 4; i++) {
        uint64_t at = wide ? rip + i : (uint32_t)(cs.base + (uint32_t)(rip + i));
        uint8_t byte;

        if (gla_read(v, at, &byte, 1, GLA_FETCH, &fault) != VMK_OK)
            return 0;
        if ((byte & 0xfc) == 0xec || (byte & 0xfc) == 0x6c) {
            *in = !(byte & 2);
            return i + 1;
        }
        if (byte != 0x66 && byte != 0x67 && byte != 0xf2 && byte != 0xf3 &&
            (byte & 0xf0) != 0x40)
            return 0;
    }
    return 0;
}

/* #GP: perhaps the backdoor from CPL 3, which no I/O permission map allows. */
enum exit_verdict exit_exception(struct vcpu *v, const struct vm_exit *exit)
{
    uint16_t port = (uint16_t)v->regs.gpr[GPR_RDX];
    uint32_t length;
    bool in;

    if (exit->exception.vector == 13 && !v->inject.valid &&
        (uint32_t)v->regs.gpr[GPR_RAX] == BACKDOOR_MAGIC &&
        (port == BACKDOOR_PORT || port == BACKDOOR_PORT + 1)) {
        length = port_instruction_length(v, &in);
        if (length && vcpu_backdoor(v, port, in)) {
            v->step_length = length;
            return EXIT_RESUME_NEXT;
        }
    }
    if (exit->exception.vector == 14)
        vcpu_raise_pf(v, exit->exception.cr2, exit->exception.error);
    else
        vcpu_raise(v, exit->exception.vector, exit->exception.has_error, exit->exception.error);
    return EXIT_RESUME;
}

enum exit_verdict exit_triple_fault(struct vcpu *v, const struct vm_exit *exit)
{
    vmk_log(VMK_LOG_WARN, "VM: %s: vCPU %u: triple fault at %#llx", v->vm->config.name,
            v->index, (unsigned long long)exit->rip);
    vt()->dump(v);
    v->inject.valid = false;
    vm_triple_fault(v->vm);
    return EXIT_RESUME;
}

enum exit_verdict exit_hlt(struct vcpu *v, const struct vm_exit *exit)
{
    (void)v;
    (void)exit;
    return EXIT_BLOCK;
}

enum exit_verdict exit_skip(struct vcpu *v, const struct vm_exit *exit)
{
    (void)v;
    (void)exit;
    return EXIT_RESUME_NEXT;
}

enum exit_verdict exit_invlpg(struct vcpu *v, const struct vm_exit *exit)
{
    (void)exit;
    vt()->flush_vcpu(v);
    return EXIT_RESUME_NEXT;
}

static void set_edx_eax(struct vcpu *v, uint64_t value)
{
    v->regs.gpr[GPR_RAX] = (uint32_t)value;
    v->regs.gpr[GPR_RDX] = value >> 32;
}

static uint64_t get_edx_eax(const struct vcpu *v)
{
    return (uint32_t)v->regs.gpr[GPR_RAX] | v->regs.gpr[GPR_RDX] << 32;
}

/* No performance counters, but VMware's three pseudo-counters. */
enum exit_verdict exit_rdpmc(struct vcpu *v, const struct vm_exit *exit)
{
    (void)exit;
    switch ((uint32_t)v->regs.gpr[GPR_RCX]) {
    case 0x10000: set_edx_eax(v, plat_tsc_now()); return EXIT_RESUME_NEXT;
    case 0x10001:
    case 0x10002: set_edx_eax(v, vm_time(v->vm)); return EXIT_RESUME_NEXT;
    default: vcpu_raise_gp(v); return EXIT_RESUME;
    }
}

enum exit_verdict exit_rdtsc(struct vcpu *v, const struct vm_exit *exit)
{
    (void)exit;
    set_edx_eax(v, vcpu_tsc(v));
    return EXIT_RESUME_NEXT;
}

enum exit_verdict exit_call(struct vcpu *v, const struct vm_exit *exit)
{
    (void)exit;
    if ((uint32_t)v->regs.gpr[GPR_RAX] == BACKDOOR_MAGIC &&
        vcpu_backdoor(v, BACKDOOR_PORT, true))
        return EXIT_RESUME_NEXT;
    vcpu_raise_ud(v);
    return EXIT_RESUME;
}

enum exit_verdict exit_undefined(struct vcpu *v, const struct vm_exit *exit)
{
    (void)exit;
    vcpu_raise_ud(v);
    return EXIT_RESUME;
}

enum exit_verdict exit_io(struct vcpu *v, const struct vm_exit *exit)
{
    uint64_t *rax = &v->regs.gpr[GPR_RAX];
    unsigned size = exit->io.size;
    uint32_t value;

    _Static_assert(BACKDOOR_PORT >> 8 == BALLOON_PORT >> 8, "one look finds both");
    if (__builtin_expect(exit->io.port >> 8 == BACKDOOR_PORT >> 8, 0)) {
        if ((exit->io.port & ~1u) == BACKDOOR_PORT &&
            vcpu_backdoor(v, exit->io.port, exit->io.in))
            return EXIT_RESUME_NEXT;
        if (exit->io.port == BALLOON_PORT && vcpu_balloon(v, exit->io.in))
            return EXIT_RESUME_NEXT;
    }
    if (__builtin_expect(exit->io.string, 0)) {
        uint32_t length = 0;
        enum exit_verdict verdict = emulate_string_io(v, exit, &length);

        v->step_length = verdict == EXIT_RESUME_NEXT ? length : 0;
        return verdict;
    }
    value = (uint32_t)*rax;
    vm_port_access(v->vm, v, exit->io.port, size, exit->io.in, &value);
    if (exit->io.in) {
        if (__builtin_expect(size == 1, 1))
            *rax = (*rax & ~0xffull) | (uint8_t)value;
        else if (size == 4)
            *rax = value;
        else
            *rax = (*rax & ~0xffffull) | (uint16_t)value;
    }
    if (__builtin_expect(v->breakpoints, 0)) {
        uint64_t hits = breakpoint_hits(v, exit->io.port, size, BREAKPOINT_IO);

        if (hits) {
            breakpoint_step(v, exit->rip + exit->length, hits);
            return EXIT_RESUME;
        }
    }
    return EXIT_RESUME_NEXT;
}

enum exit_verdict exit_msr_read(struct vcpu *v, const struct vm_exit *exit)
{
    uint32_t index = (uint32_t)v->regs.gpr[GPR_RCX];
    uint64_t value = 0;

    if (!vcpu_msr_read(v, index, &value)) {
        vmk_log(VMK_LOG_DEBUG, "VM: RDMSR %#x at %#llx gives #GP", index,
                (unsigned long long)exit->rip);
        vcpu_raise_gp(v);
        return EXIT_RESUME;
    }
    set_edx_eax(v, value);
    return EXIT_RESUME_NEXT;
}

enum exit_verdict exit_msr_write(struct vcpu *v, const struct vm_exit *exit)
{
    uint32_t index = (uint32_t)v->regs.gpr[GPR_RCX];

    // The local APIC first: EOI and ICR are most of what a busy guest writes.
    if (!(index - 0x800u < 0x100u ? vlapic_msr_write(v, index, get_edx_eax(v))
                                  : vcpu_msr_write(v, index, get_edx_eax(v)))) {
        vmk_log(VMK_LOG_DEBUG, "VM: WRMSR %#x = %#llx at %#llx gives #GP", index,
                (unsigned long long)get_edx_eax(v), (unsigned long long)exit->rip);
        vcpu_raise_gp(v);
        return EXIT_RESUME;
    }
    return EXIT_RESUME_NEXT;
}

enum exit_verdict exit_pause(struct vcpu *v, const struct vm_exit *exit)
{
    (void)v;
    (void)exit;
    world_yield();
    return EXIT_RESUME_NEXT;
}

enum exit_verdict exit_nested_fault(struct vcpu *v, const struct vm_exit *exit)
{
    struct vm *vm = v->vm;
    enum exit_verdict verdict;
    uint32_t length = 0;
    mpn_t mpn;

    TRACE(ept_fault, .tid = v->world.raw,
          .flags = (uint32_t)exit->nested.read | (uint32_t)exit->nested.write << 1 |
                   (uint32_t)exit->nested.fetch << 2,
          .ppn = exit->nested.gpa.raw >> 12);
    if (vm_is_ram(vm, exit->nested.gpa)) {
        bool irqs;
        vmk_status status =
            vm_page_lock(vm, gpa_to_ppn(exit->nested.gpa), exit->nested.write, &mpn, &irqs);

        if (status == VMK_OK) {
            spin_unlock(&vm->lock, irqs);
            return EXIT_AGAIN;
        }
        // The VM ends, or its world is to: who said so logged it.
        if (status == VMK_KILLED || status == VMK_IO_ERROR || status == VMK_CORRUPT) {
            vm_stop(vm, 1, "a vCPU's world was told to end");
            return EXIT_RESUME;
        }
        vmk_log(VMK_LOG_ERROR, "VM: %s: no memory for guest page %#llx: %s", vm->config.name,
                (unsigned long long)exit->nested.gpa.raw, vmk_status_text(status));
        vm_stop(vm, 1, "the host is out of memory");
        return EXIT_RESUME;
    }
    verdict = emulate_mmio(v, exit, &length);
    v->step_length = verdict == EXIT_RESUME_NEXT ? length : 0;
    return verdict;
}

enum exit_verdict exit_entry_failed(struct vcpu *v, const struct vm_exit *exit)
{
    vmk_log(VMK_LOG_ERROR, "VM: %s: vCPU %u: entry failed, reason %#x: %s", v->vm->config.name,
            v->index, exit->raw_reason, exit->failure.rule ? exit->failure.rule : "?");
    vt()->dump(v);
    return EXIT_KILL_VM;
}

enum exit_verdict exit_unknown(struct vcpu *v, const struct vm_exit *exit)
{
    vmk_log(VMK_LOG_ERROR, "VM: %s: vCPU %u: exit %#x, which nobody asked for (%#llx)",
            v->vm->config.name, v->index, exit->raw_reason,
            (unsigned long long)exit->qualification);
    vt()->dump(v);
    return EXIT_KILL_VM;
}
