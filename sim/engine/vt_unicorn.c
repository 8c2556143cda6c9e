// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/vt_unicorn.c -- the third way to run a guest: each vCPU is an engine CPU of its
 * own.
 *
 * The engine executes the guest's instructions over its own tables and the host's nested table
 * (guest_memory.c) and stops for the same things as a processor with AMD-V; what it stopped for
 * becomes the same struct vm_exit. It delivers no event itself, so exceptions of the guest that
 * nobody intercepts go into the guest here (guest_event.c) and the run goes on, as hardware
 * would.
 *
 * Time is as in ring 3 (user.c): instructions, charged when the engine has stopped. Host
 * interrupts are not served in here; one that is due ends the run with VM_EXIT_INTERRUPT.
 *
 * Invariants
 *   - The guest's registers are in the engine CPU for good, but for v->regs.gpr outside run().
 *   - Exits change nothing but what struct vm_exit says; RIP is at the instruction.
 * Locking    none: a vCPU belongs to the CPU that has it loaded.
 * Sources    APM-2, "Secure Virtual Machine"
 */
#include <stdlib.h>

#include "core/assert.h"
#include "core/log.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "mem/page.h"
#include "plat/plat.h"
#include "sim/engine/engine.h"
#include "sim/engine/guest.h"
#include "sim/engine/uc_state.h"
#include "sim/platform/sim.h"
#include "vmm/decode.h"
#include "vmm/svm/vmcb.h"
#include "vmm/vm.h"

#define MSR_MAP_ORDER 1u
#define PAT_RESET     0x0007040600070406ull

/* uc_shim_exit.number of an intercepted exit: this and its code. */
#define STOP_EXIT     0x100u

static const struct nested_format unicorn_format = {
    .name = "engine",
    .table_bits = 7,
    .leaf_bits = 7,
    .large_bits = BIT(7),
    .write_bit = BIT(1),
    .present_mask = BIT(0),
};

static struct guest_cpu *guest_of(const struct vcpu *v)
{
    return v->backend;
}

/* ---- life ---- */

static bool unicorn_probe(void)
{
    return true;
}

/* CPUID of the host is what guests are offered a part of: only what the engine executes. */
static vmk_status unicorn_cpu_enable(void)
{
    static const uint32_t leaves[] = {
        0x0, 0x1,        0x2,        0x4,        0x6,        0x7,        0xb,
        0xd, 0x80000000, 0x80000001, 0x80000005, 0x80000006, 0x80000007, 0x80000008};
    const struct plat_cpuid none = {0, 0, 0, 0};

    for (size_t i = 0; i < ARRAY_COUNT(leaves); i++) {
        uint32_t r[4] = {leaves[i]};

        engine_user_cpuid(NULL, r);
        if (leaves[i] == 7)
            r[1] |= (uint32_t)(BIT(7) | BIT(20));  // SMEP, SMAP
        sim_cpuid_set(leaves[i], 0, (struct plat_cpuid){r[0], r[1], r[2], r[3]});
    }
    sim_cpuid_set(0xd, 1, none);
    sim_cpuid_set(0xd, 2, none);
    return VMK_OK;
}

static void unicorn_cpu_disable(void)
{
}

static uint64_t guest_tsc(void *context, uint64_t executed)
{
    const struct guest_cpu *g = context;

    return engine_tsc(executed, g->carry);
}

/* The enabled breakpoints of DR7 that watch any of these bytes, as bits of DR6. */
static unsigned breakpoints_at(const struct guest_cpu *g, uint64_t va, uint64_t size,
                               unsigned *accesses)
{
    static const uint8_t sizes[] = {1, 2, 8, 4};
    unsigned hit = 0;

    *accesses = 0;
    for (unsigned i = 0; i < 4 && (g->dr7 & 0xff); i++) {
        uint64_t length = sizes[g->dr7 >> (18 + 4 * i) & 3];
        uint64_t base = g->v->dr[i] & ~(length - 1);
        unsigned kind = g->dr7 >> (16 + 4 * i) & 3;

        if (!(g->dr7 >> 2 * i & 3) || !(kind & 1) || va >= base + length || base >= va + size)
            continue;
        hit |= 1u << i;
        *accesses |= kind == 3 ? 3 : 2;
    }
    return hit;
}

static unsigned guest_watched(void *context, uint64_t va, uint64_t size)
{
    unsigned accesses;

    (void)breakpoints_at(context, va, size, &accesses);
    return accesses;
}

static const struct uc_shim_owner guest_owner = {
    .translate = guest_translate, .tsc = guest_tsc, .watched = guest_watched};

/* The same MSRs go without an exit as on AMD-V: what SYSCALL, SYSENTER, FS and GS use. */
static void msr_map_fill(uint8_t *map)
{
    static const uint32_t passed[] = {0x174,      0x175,      0x176,      0xc0000081,
                                      0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100,
                                      0xc0000101, 0xc0000102};

    memset(map, 0xff, PAGE_SIZE << MSR_MAP_ORDER);
    for (size_t i = 0; i < ARRAY_COUNT(passed); i++) {
        uint32_t msr = passed[i];
        uint32_t bit = msr < 0x2000 ? msr * 2 : 0x4000 + (msr - 0xc0000000) * 2;
        bool read_only = msr == 0xc0000082 || msr == 0xc0000083;

        map[bit / 8] = (uint8_t)(map[bit / 8] & ~((read_only ? 1u : 3u) << bit % 8));
    }
}

static vmk_status unicorn_vcpu_create(struct vcpu *v)
{
    struct guest_cpu *g = heap_alloc(sizeof(*g), MEM_OWNER_VMM);
    mpn_t vmcb;
    mpn_t map;
    vmk_status status;

    if (!g)
        return VMK_NO_MEMORY;
    status = page_alloc_zeroed(0, MEM_OWNER_VMM, &vmcb);
    if (status != VMK_OK) {
        heap_free(g);
        return status;
    }
    status = page_alloc_zeroed(MSR_MAP_ORDER, MEM_OWNER_VMM, &map);
    if (status != VMK_OK) {
        page_free(vmcb, 0, MEM_OWNER_VMM);
        heap_free(g);
        return status;
    }
    *g = (struct guest_cpu){.v = v, .vmcb = mpn_to_paddr(vmcb), .msr_map = mpn_to_paddr(map)};
    g->pat = PAT_RESET;
    g->cpu = uc_shim_create(engine_memory(), &guest_owner, g);
    msr_map_fill(mpn_map(map));
    uc_guest_init(g->cpu, g->vmcb.raw, g->msr_map.raw);
    v->backend = g;
    vcpu_reset(v);
    return VMK_OK;
}

static void unicorn_vcpu_destroy(struct vcpu *v)
{
    struct guest_cpu *g = guest_of(v);

    if (!g)
        return;
    uc_shim_destroy(g->cpu);
    page_free(paddr_to_mpn(g->vmcb), 0, MEM_OWNER_VMM);
    page_free(paddr_to_mpn(g->msr_map), MSR_MAP_ORDER, MEM_OWNER_VMM);
    heap_free(g);
    v->backend = NULL;
}

static void unicorn_vcpu_load(struct vcpu *v)
{
    uc_state_fpu_set(guest_of(v)->cpu, v->fpu);
}

static void unicorn_vcpu_put(struct vcpu *v)
{
    uc_state_fpu_get(guest_of(v)->cpu, v->fpu);
}

/* ---- registers ---- */

static uint64_t unicorn_get(struct vcpu *v, enum vt_reg reg)
{
    struct guest_cpu *g = guest_of(v);

    if (reg == VT_DR6)
        return v->dr6;
    if (reg == VT_DR7)
        return g->dr7;
    return reg == VT_PAT ? g->pat : uc_guest_get(g->cpu, reg);
}

static void unicorn_set(struct vcpu *v, enum vt_reg reg, uint64_t value)
{
    struct guest_cpu *g = guest_of(v);

    if (reg == VT_DR6) {
        v->dr6 = value;
    } else if (reg == VT_DR7) {
        g->dr7 = value;
        v->breakpoints = (uint8_t)value;
        uc_shim_flush(g->cpu);
    } else if (reg == VT_PAT)
        g->pat = value;
    else
        uc_guest_set(g->cpu, reg, value);
}

static void unicorn_get_segment(struct vcpu *v, enum vt_seg seg, struct vt_segment *out)
{
    uc_guest_get_segment(guest_of(v)->cpu, seg, out);
}

static void unicorn_set_segment(struct vcpu *v, enum vt_seg seg, const struct vt_segment *in)
{
    uc_guest_set_segment(guest_of(v)->cpu, seg, in);
}

static unsigned unicorn_cpl(struct vcpu *v)
{
    return uc_guest_cpl(guest_of(v)->cpu);
}

static bool unicorn_can_inject_interrupt(struct vcpu *v)
{
    struct uc_shim *cpu = guest_of(v)->cpu;

    return (uc_guest_get(cpu, VT_RFLAGS) & RFLAGS_IF) && !uc_guest_shadow(cpu);
}

static bool unicorn_can_inject_nmi(struct vcpu *v)
{
    return !guest_of(v)->nmi_masked && !uc_guest_shadow(guest_of(v)->cpu);
}

static void unicorn_want_interrupt_window(struct vcpu *v, bool on)
{
    struct guest_cpu *g = guest_of(v);

    g->window = on;
    uc_shim_watch_interrupts(g->cpu, on);
}

/* While an NMI is masked its IRET is intercepted anyway. */
static void unicorn_want_nmi_window(struct vcpu *v, bool on)
{
    guest_of(v)->nmi_window = on;
}

static void unicorn_clear_shadow(struct vcpu *v)
{
    struct guest_cpu *g = guest_of(v);

    uc_guest_clear_shadow(g->cpu);
    g->nmi_masked = false;
    g->nmi_iret = false;
    uc_guest_intercept_iret(g->cpu, false);
}

static bool unicorn_step(struct vcpu *v, uint64_t next)
{
    struct uc_shim *cpu = guest_of(v)->cpu;

    uc_guest_set(cpu, VT_RIP, next);
    uc_guest_clear_shadow(cpu);
    return uc_guest_get(cpu, VT_RFLAGS) & RFLAGS_TF;
}

static void unicorn_flush_address(struct vcpu *v, uint64_t gla)
{
    uc_shim_flush_page(guest_of(v)->cpu, gla);
}

static void unicorn_flush_vcpu(struct vcpu *v)
{
    uc_shim_flush(guest_of(v)->cpu);
}

/* ---- what it stopped for ---- */

enum next {
    GO_ON,  // what it was has been done, or is in v->inject
    LEAVE,  // *exit is filled
};

static enum next leave(struct vm_exit *exit, enum vm_exit_kind kind)
{
    exit->kind = kind;
    return LEAVE;
}

static enum next raise(struct guest_cpu *g, uint8_t vector, bool has_error, uint32_t error)
{
    g->v->inject =
        (struct vt_event){.valid = true,
                          .type = VT_EVENT_EXCEPTION,
                          .vector = vector,
                          .has_error = has_error && (uc_guest_get(g->cpu, VT_CR0) & BIT(0)),
                          .error = error};
    return GO_ON;
}

/* #GP is intercepted for the sake of the backdoor's port. */
static enum next general_protection(struct vm_exit *exit)
{
    exit->exception.vector = VECTOR_GP;
    exit->exception.has_error = true;
    exit->exception.error = 0;
    exit->exception.cr2 = 0;
    return leave(exit, VM_EXIT_EXCEPTION);
}

/* The guest's #PF, or an exit because the host has nothing there. */
static enum next stop_fault(struct guest_cpu *g, struct vm_exit *exit)
{
    const struct guest_fault *f = &g->fault;

    if (f->kind == GUEST_FAULT_PAGE) {
        uc_guest_set(g->cpu, VT_CR2, f->address);
        return raise(g, VECTOR_PF, true, f->error);
    }
    if (f->kind == GUEST_FAULT_GENERAL)
        return general_protection(exit);
    exit->nested.gpa = gpa_make(f->gpa);
    exit->nested.write = f->write;
    exit->nested.fetch = f->fetch;
    exit->nested.read = !f->write && !f->fetch;
    exit->nested.gla_valid = false;
    exit->nested.gla = 0;
    exit->qualification = f->gpa;
    return leave(exit, VM_EXIT_NESTED_FAULT);
}

/* The instruction at RIP. False: its bytes cannot be had; g->fault. */
static bool decode_here(struct guest_cpu *g, struct decoded *d)
{
    struct vt_segment cs;
    uint8_t bytes[15];
    size_t count = guest_fetch(g, bytes, sizeof(bytes));
    unsigned mode;

    uc_guest_get_segment(g->cpu, VT_CS, &cs);
    mode = (uc_guest_get(g->cpu, VT_EFER) & EFER_LMA) && (cs.rights & VT_SEG_L) ? 64
           : (cs.rights & VT_SEG_DB)                                            ? 32
                                                                                : 16;
    return decode(bytes, count, mode, d);
}

static enum next stop_port(struct guest_cpu *g, const struct uc_shim_exit *stop,
                           struct vm_exit *exit)
{
    struct decoded d;

    g->fault.kind = GUEST_FAULT_NONE;
    if (!guest_port_allowed(g, (uint16_t)stop->number, stop->port_size)) {
        if (g->fault.kind != GUEST_FAULT_NONE)
            return stop_fault(g, exit);
        return general_protection(exit);
    }
    if (!decode_here(g, &d))
        return stop_fault(g, exit);
    exit->io.port = (uint16_t)stop->number;
    exit->io.size = stop->port_size;
    exit->io.in = stop->port_in;
    exit->io.string = (d.opcode & 0xfc) == 0x6c;
    exit->io.rep = d.rep || d.repne;
    exit->length = d.length;
    return leave(exit, VM_EXIT_IO);
}

static enum next stop_register(struct guest_cpu *g, uint32_t code, const struct decoded *d,
                               struct vm_exit *exit)
{
    if (code >= SVM_EXIT_DR_READ) {
        exit->dr.number = code & 15;
        exit->dr.write = code >= SVM_EXIT_DR_WRITE;
        exit->dr.gpr = d->rm;
        uc_shim_flush(g->cpu);  // what is watched may change
        return leave(exit, VM_EXIT_DR_ACCESS);
    }
    exit->cr.number = code & 15;
    exit->cr.write = code >= SVM_EXIT_CR_WRITE;
    exit->cr.gpr = d->rm;
    exit->cr.kind = VM_CR_MOV;
    exit->cr.value = 0;
    if (d->opcode == 0x06) {
        exit->cr.kind = VM_CR_CLTS;
    } else if (d->opcode == 0x01) {
        exit->cr.kind = VM_CR_LMSW;
        uc_guest_store(g->cpu, g->v->regs.gpr);
        if (d->has_memory) {
            uint16_t word;

            if (!emulate_read_word(g->v, &word, &exit->length))
                return leave(exit, VM_EXIT_INTERRUPT);
            exit->cr.value = word;
        } else {
            exit->cr.value =
                (uint16_t)(d->rm == 4 ? uc_guest_get(g->cpu, VT_RSP) : g->v->regs.gpr[d->rm]);
        }
    }
    return leave(exit, VM_EXIT_CR_ACCESS);
}

static enum next stop_intercept(struct guest_cpu *g, const struct uc_shim_exit *stop,
                                struct vm_exit *exit)
{
    uint32_t code = stop->number - STOP_EXIT;
    struct decoded d;

    exit->raw_reason = code;
    exit->qualification = stop->error_code;
    switch (code) {
    case SVM_EXIT_TASK: return leave(exit, VM_EXIT_TASK_SWITCH);
    case SVM_EXIT_MONITOR:
    case SVM_EXIT_MWAIT: return leave(exit, VM_EXIT_MONITOR);
    case SVM_EXIT_IRET:
        g->nmi_iret = true;
        g->nmi_iret_rip = exit->rip;
        uc_guest_intercept_iret(g->cpu, false);
        return GO_ON;
    default: break;
    }
    if (!decode_here(g, &d))
        return stop_fault(g, exit);
    exit->length = d.length;
    if (code < SVM_EXIT_DR_WRITE + 16)
        return stop_register(g, code, &d, exit);
    switch (code) {
    case SVM_EXIT_CPUID: return leave(exit, VM_EXIT_CPUID);
    case SVM_EXIT_HLT: return leave(exit, VM_EXIT_HLT);
    case SVM_EXIT_RDPMC: return leave(exit, VM_EXIT_RDPMC);
    case SVM_EXIT_INVD:
    case SVM_EXIT_WBINVD: return leave(exit, VM_EXIT_INVD);
    case SVM_EXIT_MSR:
        return leave(exit, (stop->error_code & 1) ? VM_EXIT_MSR_WRITE : VM_EXIT_MSR_READ);
    default: return leave(exit, VM_EXIT_VIRT_INSN);
    }
}

/* #UD: VMCALL and VMMCALL are unknown to the library. */
static enum next stop_undefined(struct guest_cpu *g, struct vm_exit *exit)
{
    uint8_t bytes[3];

    if (guest_fetch(g, bytes, sizeof(bytes)) == sizeof(bytes) && bytes[0] == 0x0f &&
        bytes[1] == 0x01 && (bytes[2] == 0xc1 || bytes[2] == 0xd9)) {
        exit->length = sizeof(bytes);
        return leave(exit, VM_EXIT_CALL);
    }
    return raise(g, VECTOR_UD, false, 0);
}

static enum next stop_exception(struct guest_cpu *g, const struct uc_shim_exit *stop,
                                struct vm_exit *exit)
{
    struct vt_event *e = &g->v->inject;

    if (stop->number >= STOP_EXIT)
        return stop_intercept(g, stop, exit);
    if (stop->software) {
        *e = (struct vt_event){.valid = true,
                               .type = stop->number == 3 || stop->number == 4
                                           ? VT_EVENT_SOFT_EXCEPTION
                                           : VT_EVENT_SOFT_INTERRUPT,
                               .vector = (uint8_t)stop->number,
                               .length = stop->length};
        return GO_ON;
    }
    switch (stop->number) {
    case VECTOR_UD: return stop_undefined(g, exit);
    case VECTOR_GP:
        exit->exception.vector = VECTOR_GP;
        exit->exception.has_error = true;
        exit->exception.error = stop->error_code;
        exit->exception.cr2 = 0;
        return leave(exit, VM_EXIT_EXCEPTION);
    case VECTOR_DB: g->v->dr6 |= uc_guest_debug_status(g->cpu); break;
    default: break;
    }
    return raise(g, (uint8_t)stop->number,
                 stop->number == 8 || (stop->number >= 10 && stop->number <= 14) ||
                     stop->number == 17,
                 stop->error_code);
}

/* The library leaves out all of SYSCALL but the step over it. */
static enum next stop_syscall(struct guest_cpu *g)
{
    struct uc_shim *cpu = g->cpu;
    uint64_t star = uc_guest_get(cpu, VT_STAR);
    uint64_t rflags = uc_guest_get(cpu, VT_RFLAGS);
    uint16_t selector = (uint16_t)(star >> 32 & 0xfffc);
    bool wide = uc_guest_get(cpu, VT_EFER) & EFER_LMA;
    struct vt_segment cs = {selector, 0xffffffff, wide ? 0xa09bu : 0xc09bu, 0};
    struct vt_segment ss = {(uint16_t)(selector + 8), 0xffffffff, 0xc093, 0};
    struct vt_segment old;
    uint64_t rip = uc_guest_get(cpu, VT_RIP);
    uint64_t gpr[16];

    if (!(uc_guest_get(cpu, VT_EFER) & BIT(0))) {
        uc_guest_set(cpu, VT_RIP, rip - 2);
        return raise(g, VECTOR_UD, false, 0);
    }
    uc_guest_get_segment(cpu, VT_CS, &old);
    uc_guest_store(cpu, gpr);
    gpr[1] = rip;
    if (wide)
        gpr[11] = rflags & ~BIT(16);
    uc_guest_load(cpu, gpr);
    uc_guest_set_segment(cpu, VT_SS, &ss);
    uc_guest_set_segment(cpu, VT_CS, &cs);
    if (wide) {
        uc_guest_set(cpu, VT_RIP,
                     uc_guest_get(cpu, (old.rights & VT_SEG_L) ? VT_LSTAR : VT_CSTAR));
        uc_guest_set(cpu, VT_RFLAGS, rflags & ~uc_guest_get(cpu, VT_SFMASK) & ~BIT(16));
    } else {
        uc_guest_set(cpu, VT_RIP, (uint32_t)star);
        uc_guest_set(cpu, VT_RFLAGS, rflags & ~(RFLAGS_IF | BIT(17) | BIT(16)));
    }
    return GO_ON;
}

static enum next stopped(struct guest_cpu *g, const struct uc_shim_exit *stop,
                         struct vm_exit *exit);

/* A data breakpoint traps behind the instruction: goes over it by TF, then #DB. */
static enum next stop_watch(struct guest_cpu *g, const struct uc_shim_exit *stop,
                            struct vm_exit *exit)
{
    uint64_t rflags = uc_guest_get(g->cpu, VT_RFLAGS);
    unsigned accesses;
    unsigned hit = breakpoints_at(g, stop->fault_address, stop->fault_size, &accesses);
    struct uc_shim_exit over;

    uc_guest_set(g->cpu, VT_RFLAGS, rflags | RFLAGS_TF);
    uc_shim_watch_data(g->cpu, false);
    uc_shim_run(g->cpu, 1, &over);
    uc_shim_watch_data(g->cpu, true);
    if (!(rflags & RFLAGS_TF))
        uc_guest_set(g->cpu, VT_RFLAGS, uc_guest_get(g->cpu, VT_RFLAGS) & ~RFLAGS_TF);
    if (over.stop != UC_SHIM_STOP_EXCEPTION || over.number != VECTOR_DB)
        return stopped(g, &over, exit);
    if (rflags & RFLAGS_TF)
        g->v->dr6 |= DR6_BS;
    (void)uc_guest_debug_status(g->cpu);
    g->v->dr6 |= hit;
    return raise(g, VECTOR_DB, false, 0);
}

static enum next stopped(struct guest_cpu *g, const struct uc_shim_exit *stop,
                         struct vm_exit *exit)
{
    exit->rip = uc_guest_get(g->cpu, VT_RIP);
    switch (stop->stop) {
    case UC_SHIM_STOP_LIMIT:
    case UC_SHIM_STOP_ASKED: return GO_ON;
    case UC_SHIM_STOP_SYSCALL: return stop_syscall(g);
    case UC_SHIM_STOP_FAULT: return stop_fault(g, exit);
    case UC_SHIM_STOP_EXCEPTION: return stop_exception(g, stop, exit);
    case UC_SHIM_STOP_PORT: return stop_port(g, stop, exit);
    case UC_SHIM_STOP_WATCH: return stop_watch(g, stop, exit);
    case UC_SHIM_STOP_HALT: break;
    }
    sim_fail("the engine stopped in a guest at %#llx", (unsigned long long)exit->rip);
}

/* ---- entry ---- */

/* v->inject goes in. */
static enum next inject(struct guest_cpu *g, struct vm_exit *exit)
{
    struct vcpu *v = g->v;
    struct vt_event event = v->inject;

    v->injected = event;
    v->inject.valid = false;
    switch (guest_deliver(g, &event)) {
    case GUEST_DELIVERED: break;
    case GUEST_NESTED_FAULT: v->inject = event; return stop_fault(g, exit);
    case GUEST_TRIPLE_FAULT: return leave(exit, VM_EXIT_TRIPLE_FAULT);
    case GUEST_TASK_GATE: return leave(exit, VM_EXIT_TASK_SWITCH);
    }
    if (event.type == VT_EVENT_NMI) {
        g->nmi_masked = true;
        g->nmi_iret = false;
        uc_guest_intercept_iret(g->cpu, true);
    }
    return GO_ON;
}

/* Runs until something is to be done about it. */
static enum next run_once(struct guest_cpu *g, struct vm_exit *exit)
{
    struct vcpu *v = g->v;
    struct uc_shim_exit stop;
    uint64_t limit;
    plat_ns slice;
    bool pending;

    exit->rip = uc_guest_get(g->cpu, VT_RIP);
    if (v->inject.valid && inject(g, exit) == LEAVE)
        return LEAVE;
    if (g->nmi_iret && uc_guest_get(g->cpu, VT_RIP) != g->nmi_iret_rip) {
        g->nmi_iret = false;
        g->nmi_masked = false;
    }
    exit->rip = uc_guest_get(g->cpu, VT_RIP);
    if (g->window && unicorn_can_inject_interrupt(v))
        return leave(exit, VM_EXIT_IRQ_WINDOW);
    if (g->nmi_window && unicorn_can_inject_nmi(v))
        return leave(exit, VM_EXIT_NMI_WINDOW);
    slice = sim_user_slice();
    if (!slice)
        return leave(exit, VM_EXIT_INTERRUPT);
    limit = engine_instructions(slice, g->carry);
    if (g->nmi_iret)
        limit = 1;
    uc_shim_run(g->cpu, limit, &stop);
    pending = sim_guest_elapsed(engine_elapsed(stop.executed, &g->carry));
    if (stopped(g, &stop, exit) == LEAVE)
        return LEAVE;
    return pending && !v->inject.valid ? leave(exit, VM_EXIT_INTERRUPT) : GO_ON;
}

static void unicorn_run(struct vcpu *v, struct vm_exit *exit)
{
    struct guest_cpu *g = guest_of(v);

    uc_guest_load(g->cpu, v->regs.gpr);
    uc_guest_tsc_aux(g->cpu, v->tsc_aux);
    uc_shim_tsc_offset(g->cpu, vcpu_tsc_offset(v));
    exit->raw_reason = 0;
    exit->length = 0;
    exit->qualification = 0;
    while (run_once(g, exit) == GO_ON)
        ;
    uc_guest_store(g->cpu, v->regs.gpr);
    sim_hash_add(exit->rip ^ (uint64_t)exit->kind << 56);
}

static void unicorn_dump(struct vcpu *v)
{
    static const char *const names[] = {"ES", "CS",   "SS", "DS",   "FS",
                                        "GS", "LDTR", "TR", "GDTR", "IDTR"};

    vmk_log(VMK_LOG_ERROR, "VT: RIP %#llx RSP %#llx RFLAGS %#llx CPL %u",
            (unsigned long long)unicorn_get(v, VT_RIP),
            (unsigned long long)unicorn_get(v, VT_RSP),
            (unsigned long long)unicorn_get(v, VT_RFLAGS), unicorn_cpl(v));
    vmk_log(
        VMK_LOG_ERROR, "VT: CR0 %#llx CR2 %#llx CR3 %#llx CR4 %#llx EFER %#llx",
        (unsigned long long)unicorn_get(v, VT_CR0), (unsigned long long)unicorn_get(v, VT_CR2),
        (unsigned long long)unicorn_get(v, VT_CR3), (unsigned long long)unicorn_get(v, VT_CR4),
        (unsigned long long)unicorn_get(v, VT_EFER));
    for (unsigned i = 0; i < VT_SEG_COUNT; i++) {
        struct vt_segment s;

        unicorn_get_segment(v, (enum vt_seg)i, &s);
        vmk_log(VMK_LOG_ERROR, "VT: %-4s %04x base %#llx limit %#x rights %#x", names[i],
                s.selector, (unsigned long long)s.base, s.limit, s.rights);
    }
}

const struct vt_backend vt_backend_unicorn = {
    .name = "the Unicorn engine",
    .probe = unicorn_probe,
    .cpu_enable = unicorn_cpu_enable,
    .cpu_disable = unicorn_cpu_disable,
    .vcpu_create = unicorn_vcpu_create,
    .vcpu_destroy = unicorn_vcpu_destroy,
    .vcpu_load = unicorn_vcpu_load,
    .vcpu_put = unicorn_vcpu_put,
    .run = unicorn_run,
    .get = unicorn_get,
    .set = unicorn_set,
    .get_segment = unicorn_get_segment,
    .set_segment = unicorn_set_segment,
    .can_inject_interrupt = unicorn_can_inject_interrupt,
    .can_inject_nmi = unicorn_can_inject_nmi,
    .want_interrupt_window = unicorn_want_interrupt_window,
    .want_nmi_window = unicorn_want_nmi_window,
    .clear_shadow = unicorn_clear_shadow,
    .step = unicorn_step,
    .flush_address = unicorn_flush_address,
    .flush_vcpu = unicorn_flush_vcpu,
    .cpl = unicorn_cpl,
    .nested_format = &unicorn_format,
    .dump = unicorn_dump,
};
