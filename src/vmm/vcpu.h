// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vcpu.h -- one virtual CPU: shared state, run loop, interrupts, emulation entry points.
 */
#pragma once

#include "lib/x86.h"
#include "plat/plat_virt.h"
#include "vmm/code_page.h"
#include "vmm/decode.h"
#include "vmm/vt.h"
#include "world/world.h"

struct vm;
struct vlapic;

enum {
    GPR_RAX,
    GPR_RCX,
    GPR_RDX,
    GPR_RBX,
    GPR_RSP,
    GPR_RBP,
    GPR_RSI,
    GPR_RDI
};

enum vcpu_state {
    VCPU_WAIT_SIPI,
    VCPU_RUNNING,
    VCPU_HALTED
};

/* An instruction that was emulated, by its bytes: vmm/emulate.c. Mode 0: none. */
struct vcpu_decoded {
    uint64_t key[2];
    unsigned mode;
    struct decoded insn;
};

struct vcpu {
    struct vm *vm;                // (i)
    unsigned index;               // (i) also its APIC id
    world_id world;               // (i) after power-on
    struct plat_guest_regs regs;  // (c) RSP through vt()->get/set
    void *backend;                // (c) struct vtx_vcpu or struct svm_vcpu
    struct vt_event inject;       // (c) goes in at the next entry
    struct vt_event injected;     // (c) what went in last, for the trace, which clears `valid`
    uint8_t nmi_pending;          // (a) how many wait: vcpu_nmi_note()
    enum vcpu_state state;        // (a) written by its own world only
    bool init_pending;            // (a) INIT received
    int sipi_vector;              // (a) -1: none
    struct vlapic *lapic;
    struct wait_queue halted;  // woken by vcpu_kick()
    bool kicked;               // (a) something to look at before the next entry
    unsigned on_cpu;           // (a) CPU + 1 while in the guest, else 0
    uint64_t flush_seen;       // (a) flush_number of the VM that it has flushed for
    bool parked;               // (a) its world waits for a page and holds no pointer to another
    uint64_t xcr0;             // (c)
    uint64_t tsc_adjust;       // (c) what the guest added to the TSC of its VM
    uint64_t tsc_aux, misc_enable;
    uint64_t mtrr[32];    // (c) stored, never used
    void *fpu;            // (c) PLAT_FPU_AREA_SIZE
    uint64_t dr[4], dr6;  // (c) dr6: where the back end has none; ask it for VT_DR6
    uint8_t breakpoints;  // (c) L0 to G3 of DR7 as of an exit for a port or a nested fault
    uint64_t exit_counts[VM_EXIT_KIND_COUNT];
    plat_ns guest_ns;       // of guest_cycles, for reports
    uint64_t guest_cycles;  // (c) TSC between entries and exits
    bool window;            // (c) an exit was asked for as soon as it can take an interrupt
    uint32_t step_length;   // (c) what a handler decoded, when vm_exit has no length
    /* (c) What CPUID last answered, by leaf: only what never changes while the VM is on. */
    struct {
        bool valid;
        uint32_t leaf, subleaf;
        struct plat_cpuid out;
    } cpuid_cache[8];
    struct vcpu_decoded decoded[16];    // (c)
    struct code_page code[CODE_PAGES];  // (c)
    plat_ns unknown_logged;  // (c) when emulate.c last logged an instruction it does not know
};

/* The world function of a vCPU; argument is the struct vcpu. vmm/vcpu_run.c */
void vcpu_main(void *argument);
/*
 * Something changed for it (interrupt posted, INIT, stop): it leaves guest or HLT soon. Any
 * context.
 */
void vcpu_kick(struct vcpu *v);
/*
 * An NMI for it. Two may wait: a processor would have taken the first at once, and holds one
 * more while that is served. Any context; the caller kicks.
 */
static inline void vcpu_nmi_note(struct vcpu *v)
{
    const uint8_t most = 2;
    uint8_t waiting = __atomic_load_n(&v->nmi_pending, __ATOMIC_SEQ_CST);

    while (waiting < most &&
           !__atomic_compare_exchange_n(&v->nmi_pending, &waiting, (uint8_t)(waiting + 1),
                                        false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
}

/* Queue an exception; merges with one in v->inject (double fault, triple fault: VM reset). */
void vcpu_raise(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error);
void vcpu_raise_gp(struct vcpu *v);  // #GP(0)
void vcpu_raise_ud(struct vcpu *v);
void vcpu_raise_db(struct vcpu *v, uint64_t bits);                     // sets those of DR6
void vcpu_raise_pf(struct vcpu *v, uint64_t address, uint32_t error);  // sets CR2
void vcpu_raise_nmi(struct vcpu *v);
/*
 * What INIT does to a processor. A reset of the machine also clears the FPU and TSC_ADJUST
 * (vcpu_run.c).
 * By its world, or before there is one.
 */
void vcpu_reset(struct vcpu *v);

/* GPR including RSP, by number. */
uint64_t vcpu_gpr(struct vcpu *v, unsigned number);
void vcpu_gpr_set(struct vcpu *v, unsigned number, uint64_t value);

/* ---- handlers that live in files of their own ---- */
void vcpu_cpuid(struct vcpu *v, uint32_t leaf, uint32_t subleaf,
                struct plat_cpuid *out);  // cpuid.c
/* False: unknown or bad, #GP. vmm/msr.c */
must_check bool vcpu_msr_read(struct vcpu *v, uint32_t index, uint64_t *value);
must_check bool vcpu_msr_write(struct vcpu *v, uint32_t index, uint64_t value);
/* The VMware backdoor; false: the magic does not match. vmm/dev/backdoor.c */
bool vcpu_backdoor(struct vcpu *v, uint16_t port, bool in);

/* ---- guest-linear memory, vmm/gla.c: walks the guest's own page tables ---- */
struct gla_fault {
    uint64_t address;
    uint32_t error;  // #PF error code
};
enum gla_access {
    GLA_READ = 0,
    GLA_WRITE = 2,
    GLA_FETCH = 16,
    GLA_SYSTEM = 32,  // or-ed: the processor's own tables, which CPL 3 does not matter for
};
/* Translates; false with `fault` filled. Honours CPL, WP, NX, SMEP, SMAP, PAE, large pages. */
must_check bool gla_translate(struct vcpu *v, uint64_t gla, enum gla_access access, gpa_t *out,
                              struct gla_fault *fault);
/* OK; BAD_PARAM: `fault` says which #PF to raise; NOT_FOUND: translated to no RAM. */
must_check vmk_status gla_read(struct vcpu *v, uint64_t gla, void *out, size_t size,
                               enum gla_access access, struct gla_fault *fault);
must_check vmk_status gla_write(struct vcpu *v, uint64_t gla, const void *in, size_t size,
                                struct gla_fault *fault);

/* ---- breakpoints on what is done in the processor's place, vmm/breakpoint.c ---- */
enum breakpoint_kind {
    BREAKPOINT_WRITE = 1,
    BREAKPOINT_IO = 2,
    BREAKPOINT_READ = 3
};
/*
 * The bits of DR6 for those of DR0-3 that watch any of these bytes (linear addresses or ports).
 */
uint64_t breakpoint_hits(struct vcpu *v, uint64_t at, unsigned size, enum breakpoint_kind kind);
/* Goes on at `next`, with the trap of `hits`, if any, and of the single step. */
void breakpoint_step(struct vcpu *v, uint64_t next, uint64_t hits);

/* ---- instruction emulation, vmm/emulate.c over vmm/decode.c ---- */
/* Emulates the instruction at RIP whose memory operand is MMIO at exit->nested.gpa. */
enum exit_verdict emulate_mmio(struct vcpu *v, const struct vm_exit *exit, uint32_t *length);
/* INS/OUTS: all iterations, or a part (then the verdict is EXIT_RESUME). */
enum exit_verdict emulate_string_io(struct vcpu *v, const struct vm_exit *exit,
                                    uint32_t *length);
/* The length of the instruction at RIP, 0 if it cannot be fetched (a #PF is queued then). */
uint32_t emulate_length(struct vcpu *v);
/* Is HLT the instruction at RIP? Queues nothing. */
bool emulate_next_is_hlt(struct vcpu *v);
/*
 * The word in memory that the instruction at RIP names (LMSW). False: it cannot be read; a
 * fault that says so may be queued, otherwise the instruction runs again.
 */
must_check bool emulate_read_word(struct vcpu *v, uint16_t *value, uint32_t *length);
