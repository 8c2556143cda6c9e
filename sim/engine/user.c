// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/user.c -- plat_user.h for the simulation: ring 3 on an engine CPU per simulated
 * CPU.
 *
 * The engine executes the program's instructions over the page tables that mem/aspace.c built
 * in the simulated machine's memory, and stops for what a processor would trap. Instructions
 * are time: a run is as long as nothing can interrupt it, its instructions become nanoseconds,
 * and only then may other CPUs go on (sim_user_slice(), sim_user_elapsed()). So a timer is
 * exact to the end of a block, and a kick finds the program at most one slice ahead.
 *
 * Invariants
 *   - `root` is the table that the engine's TLB has entries of; 0: none.
 *   - A program's registers are in *regs whenever another CPU or world can run; only the FPU
 *     stays in
 *     the engine, until plat_fpu_save().
 * Locking    none: one thread.
 * Sources    SDM-3A, "4-Level Paging"; SDM-2B, "SYSCALL"
 */
#include <stdlib.h>
#include <string.h>

#include "lib/x86.h"
#include "plat/plat.h"
#include "plat/plat_user.h"
#include "sim/engine/engine.h"
#include "sim/engine/uc_state.h"
#include "sim/platform/sim.h"

#define HOSTS_MAX     8u

#define ERROR_PRESENT BIT(0)
#define ERROR_WRITE   BIT(1)
#define ERROR_USER    BIT(2)
#define ERROR_FETCH   BIT(4)

#define RFLAGS_FIXED  0x202ull     // IF, and the bit that is always 1
#define RFLAGS_USER   0x240dd5ull  // CF PF AF ZF SF TF DF OF AC ID
#define FLUSH_ONE_MAX 64u

struct engine_user {
    struct uc_shim *cpu;
    uint64_t root;
    uint32_t fault_error;
    uint64_t carry;  // instructions that are not a whole nanosecond yet, times 1000
};

static struct engine_host {
    struct uc_shim_memory *memory;
    struct engine_user *users[PLAT_CPUS_MAX];
} hosts[HOSTS_MAX];

static uint64_t rate(void)
{
    uint64_t per_us = sim_options_get()->instructions_per_us;

    return per_us ? per_us : ENGINE_INSTRUCTIONS_PER_US;
}

/* ---- the page walk ---- */

static bool is_canonical(uint64_t va)
{
    return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

static bool user_translate(void *context, uint64_t va, enum uc_shim_access access,
                           enum uc_shim_mode mode, bool probe, struct uc_shim_page *out)
{
    struct engine_user *u = context;
    uint64_t need = PTE_P | PTE_U | (access == UC_SHIM_STORE ? PTE_W : 0);
    uint64_t *path[4];
    uint64_t rights = PTE_W | PTE_U;
    uint64_t nx = 0;
    uint64_t table = u->root;
    unsigned depth = 0;
    uint32_t error = (uint32_t)(ERROR_USER | (access == UC_SHIM_STORE ? ERROR_WRITE : 0) |
                                (access == UC_SHIM_FETCH ? ERROR_FETCH : 0));

    (void)mode;
    if (!probe)
        u->fault_error = error;
    if (!is_canonical(va))
        return false;
    for (unsigned shift = 39;; shift -= 9) {
        uint64_t *entry = &((uint64_t *)plat_map(paddr_make(table)))[(va >> shift) & 511];

        if (!(*entry & PTE_P))
            return false;
        path[depth++] = entry;
        rights &= *entry;
        nx |= *entry & PTE_NX;
        table = *entry & PTE_ADDRESS;
        if (shift == 12 || (shift < 39 && (*entry & PTE_PS))) {
            uint64_t inside = BIT(shift) - 1;

            table = (table & ~inside) | (va & inside & ~0xfffull);
            break;
        }
    }
    if (((rights | PTE_P) & need) != need || (access == UC_SHIM_FETCH && nx)) {
        if (!probe)
            u->fault_error = error | (uint32_t)ERROR_PRESENT;
        return false;
    }
    for (unsigned i = 0; i < depth; i++)
        *path[i] |= PTE_A;
    if (access == UC_SHIM_STORE)
        *path[depth - 1] |= PTE_D;
    out->machine = table;
    /* A clean page stays unwritable here, so that its first store comes by and sets D. */
    out->writable = (rights & PTE_W) && (*path[depth - 1] & PTE_D);
    out->executable = !nx;
    return true;
}

/* ---- time and identity ---- */

uint64_t engine_instructions(plat_ns slice, uint64_t carry)
{
    uint64_t budget = slice * rate();

    return MAX((budget - MIN(carry, budget)) / 1000, 1ull);
}

plat_ns engine_elapsed(uint64_t executed, uint64_t *carry)
{
    plat_ns elapsed;

    *carry += executed * 1000;
    elapsed = *carry / rate();
    *carry %= rate();
    return elapsed;
}

uint64_t engine_tsc(uint64_t executed, uint64_t carry)
{
    return plat_tsc_now() + (executed * 1000 + carry) * (plat_tsc_khz() / 1000) / rate() / 1000;
}

static uint64_t user_tsc(void *context, uint64_t executed)
{
    const struct engine_user *u = context;

    return engine_tsc(executed, u->carry);
}

void engine_user_cpuid(void *context, uint32_t regs[4])
{
    /* What the engine executes, as a plain AMD processor without AVX; caches for the C
     * library. */
    static const struct {
        uint32_t leaf, eax, ebx, ecx, edx;
    } leaves[] = {
        {0x0, 0x7, 0x68747541, 0x444d4163, 0x69746e65},  // AuthenticAMD
        {0x1, 0x00060fb1, 0x00010800, 0x02d82203, 0x178bfbff},
        {0x7, 0, 0x00080308, 0, 0},
        {0x80000000, 0x80000008, 0x68747541, 0x444d4163, 0x69746e65},
        {0x80000001, 0x00060fb1, 0, 0x21, 0x2c100800},
        {0x80000002, 0x6572724f, 0x65207972, 0x6e69676e, 0x00000065},  // "Orrery engine"
        {0x80000005, 0, 0, 0x40080140, 0x40080140},
        {0x80000006, 0, 0, 0x02006140, 0x00406140},
        {0x80000007, 0, 0, 0, 0x100},
        {0x80000008, 0x3028, 0, 0, 0},
    };
    uint32_t leaf = regs[0];

    (void)context;
    memset(regs, 0, 4 * sizeof(*regs));
    for (size_t i = 0; i < ARRAY_COUNT(leaves); i++) {
        if (leaves[i].leaf != leaf)
            continue;
        regs[0] = leaves[i].eax;
        regs[1] = leaves[i].ebx;
        regs[2] = leaves[i].ecx;
        regs[3] = leaves[i].edx;
    }
}

static const struct uc_shim_owner user_owner = {
    .translate = user_translate, .tsc = user_tsc, .cpuid = engine_user_cpuid};

/* ---- the CPUs ---- */

struct uc_shim_memory *engine_memory(void)
{
    struct engine_host *h = &hosts[sim_host_index(sim_host_current())];

    if (!h->memory) {
        engine_selftest();
        h->memory = uc_shim_memory_create(plat_map(paddr_make(0)), sim_memory_size());
        uc_shim_check_code(h->memory, sim_options_get()->shake);
    }
    return h->memory;
}

static struct engine_user **slot(void)
{
    return &hosts[sim_host_index(sim_host_current())].users[plat_cpu_self()];
}

static struct engine_user *user_of_cpu(void)
{
    struct engine_user **u = slot();
    uint64_t area[PLAT_FPU_AREA_SIZE / 8];

    if (*u)
        return *u;  // cppcheck-suppress identicalInnerCondition
    *u = calloc(1, sizeof(**u));
    if (!*u)
        sim_fail("no memory for an engine CPU");
    (*u)->cpu = uc_shim_create(engine_memory(), &user_owner, *u);
    uc_state_user_init((*u)->cpu);
    plat_fpu_area_init(area);
    uc_state_fpu_set((*u)->cpu, area);
    return *u;
}

struct uc_shim *engine_of_cpu(void)
{
    return user_of_cpu()->cpu;
}

static void fpu_save(void *area)
{
    uc_state_fpu_get(user_of_cpu()->cpu, area);
}

static void fpu_load(const void *area)
{
    uc_state_fpu_set(user_of_cpu()->cpu, area);
}

static void code_changed(paddr_t pa, uint64_t size)
{
    struct uc_shim_memory *memory = hosts[sim_host_index(sim_host_current())].memory;

    if (memory)
        uc_shim_code_changed(memory, pa.raw, size);
}

__attribute__((constructor)) static void engine_begin(void)
{
    sim_engine_hooks(fpu_save, fpu_load, code_changed);
}

/* ---- plat_user.h ---- */

static void trap_exception(struct plat_user_trap *trap, uint8_t vector, uint32_t error)
{
    *trap = (struct plat_user_trap){
        .kind = PLAT_USER_EXCEPTION, .vector = vector, .error_code = error};
}

static void trap_fault(const struct engine_user *u, const struct uc_shim_exit *exit,
                       struct plat_user_trap *trap)
{
    if (!is_canonical(exit->fault_address)) {
        trap_exception(trap, 13, 0);
        return;
    }
    trap_exception(trap, 14, u->fault_error);
    trap->address = exit->fault_address;
}

/* The gates of the kernel's IDT: 3 (and 4) may be called from ring 3, others are #GP. */
static void trap_interrupt(const struct uc_shim_exit *exit, struct plat_user_regs *regs,
                           struct plat_user_trap *trap)
{
    if (exit->software && exit->number != 3 && exit->number != 4) {
        trap_exception(trap, 13, exit->number * 8 + 2);
        return;
    }
    if (exit->software)
        regs->rip += exit->length;
    if (exit->number > 31) {
        trap_exception(trap, 13, 0);
        return;
    }
    trap_exception(trap, (uint8_t)exit->number, exit->software ? 0 : exit->error_code);
}

/* Does that vector push an error code? What the engine has in its place is of an earlier
 * one. */
static bool has_error_code(unsigned vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

/* Runs for at most that long. False: nothing trapped. */
static bool run_once(struct engine_user *u, struct plat_user_regs *regs, uint64_t limit,
                     struct plat_user_trap *trap, struct uc_shim_exit *exit)
{
    uc_state_user_set(u->cpu, regs);
    uc_shim_run(u->cpu, limit, exit);
    uc_state_user_get(u->cpu, regs);
    switch (exit->stop) {
    case UC_SHIM_STOP_LIMIT:
    case UC_SHIM_STOP_ASKED: return false;
    case UC_SHIM_STOP_SYSCALL:
        regs->gpr[1] = regs->rip;
        regs->gpr[11] = regs->rflags;
        *trap = (struct plat_user_trap){.kind = PLAT_USER_SYSCALL};
        return true;
    case UC_SHIM_STOP_PORT: trap_exception(trap, 13, 0); return true;
    case UC_SHIM_STOP_FAULT: trap_fault(u, exit, trap); return true;
    case UC_SHIM_STOP_EXCEPTION:
        if (!has_error_code(exit->number))
            exit->error_code = 0;
        trap_interrupt(exit, regs, trap);
        return true;
    case UC_SHIM_STOP_WATCH:
    case UC_SHIM_STOP_HALT: break;
    }
    sim_fail("the engine stopped in ring 3 at %#llx", (unsigned long long)regs->rip);
}

void plat_user_run(struct plat_user_regs *regs, paddr_t root, struct plat_user_trap *trap)
{
    regs->rflags = (regs->rflags & RFLAGS_USER) | RFLAGS_FIXED;
    if (!is_canonical(regs->rip) || !is_canonical(regs->fs_base) ||
        !is_canonical(regs->gs_base)) {
        trap_exception(trap, 13, 0);
        return;
    }
    for (;;) {
        struct engine_user *u = user_of_cpu();
        plat_ns slice = sim_user_slice();
        struct uc_shim_exit exit = {.executed = 0};
        bool trapped = false;

        if (u->root != root.raw) {
            u->root = root.raw;
            uc_shim_flush(u->cpu);
        }
        if (slice)
            trapped = run_once(u, regs, engine_instructions(slice, u->carry), trap, &exit);

        plat_ns elapsed = engine_elapsed(exit.executed, &u->carry);

        if (trapped) {
            sim_hash_add(regs->rip ^ (uint64_t)trap->vector << 48 ^ exit.executed << 32);
            (void)sim_user_elapsed(elapsed);
            return;
        }
        /* Another world may have run meanwhile, and this one may be on another CPU now. */
        if (sim_user_elapsed(elapsed) || !slice) {
            *trap = (struct plat_user_trap){.kind = PLAT_USER_INTERRUPT};
            return;
        }
    }
}

void plat_user_root_init(paddr_t root)
{
    struct engine_host *h = &hosts[sim_host_index(sim_host_current())];

    /* Ring 0 is not in the tables here. The page may have been another world's table. */
    memset((uint64_t *)plat_map(root) + 256, 0, 256 * sizeof(uint64_t));
    for (unsigned i = 0; i < PLAT_CPUS_MAX; i++) {
        if (h->users[i] && h->users[i]->root == root.raw)
            h->users[i]->root = 0;
    }
}

void plat_user_tlb_flush(paddr_t root, uint64_t va, uint64_t count)
{
    struct engine_user *u = *slot();

    if (!u || u->root != root.raw)
        return;
    if (count > FLUSH_ONE_MAX) {
        uc_shim_flush(u->cpu);
        return;
    }
    for (uint64_t i = 0; i < count; i++)
        uc_shim_flush_page(u->cpu, va + (i << PAGE_SHIFT));
}
