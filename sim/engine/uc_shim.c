// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/uc_shim.c -- libunicorn 2.0.1 made usable: its own functions replaced from outside.
 *
 * As packaged, Unicorn takes 130 ns for a store, forces physical = virtual addresses, reads the
 * host's TSC and cannot count instructions cheaply. But its shared library exports every internal
 * function and calls them through its PLT, so a program that defines a function of the same name
 * is called instead. Each replacement below does its work for the CPUs made here and hands every
 * other Unicorn in the process to the original.
 *
 *   x86_cpu_tlb_fill        the MMU: asks the owner; a fault ends the run at that instruction
 *   cpu_check_watchpoint, cpu_watchpoint_address_matches   data breakpoints (empty in the library)
 *   memory_mapping          virtual addresses pass the check against mapped regions
 *   tlb_protect_code, tlb_unprotect_code, tb_invalidate_phys_page_fast, page_collection_*
 *                           stores are slow only where code was translated, on any CPU of the host
 *   tcg_tb_insert, tb_flush where translated code is
 *   helper_in*, helper_out*  ports end the run at the instruction
 *   cpu_get_tsc             virtual time
 *   cpu_exec_realizefn      how we learn the CPU's address
 *
 * Counting: Unicorn calls a hook at the entry of each block from the translated code itself, so
 * the hook's return address names the block, whatever address space it runs in. A table from return
 * address to instruction count, filled from the library's own index of blocks, makes that exact.
 * A block that a fault cuts short is corrected by the length of the block that begins at the fault.
 *
 * Stores: a page's entry in the software TLB is made fast when it is filled, unless some CPU has
 * code from it. `fast[]` remembers for which pages that was done since the last flush; when code is
 * translated from such a page, that CPU's TLB is flushed first. So a store to code always takes
 * the slow path, which forgets the translations in all CPUs.
 *
 * Invariants
 *   - code_count[page] = how many CPUs have the page's bit in `code`.
 *   - A CPU that is not running has no live frame in libunicorn.
 *   - A machine address is the library's RAM offset: the memory is its first and only block.
 * Locking    none: one thread.
 */
#define _GNU_SOURCE  // RTLD_NEXT
#include "sim/engine/uc_shim.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicorn/unicorn.h>

#include "sim/engine/uc_env.h"
#include "sim/platform/sim.h"

#define CPU_ENV        296u    // CPUState: env_ptr
#define CPU_EXCEPTION  33184u  // CPUState: exception_index
#define ENV_FEATURES   5600u   // behind the context
#define EXCEPTION_STOP 0x10001
#define TB_PC          0u
#define TB_ICOUNT      22u
#define PROT_READ_     1
#define PROT_WRITE_    2
#define PROT_EXEC_     4
#define BLOCKS         (1u << 16)
#define CPUS_MAX       64u
/* The header's own macro shifts into the sign. Number of arguments; 1 write, 3 both ways. */
#define CONTROL(kind, count, way)                                                              \
    ((uc_control_type)((unsigned)(kind) | (count) << 26 | (unsigned)(way) << 30))

struct uc_shim_memory {
    unsigned char *base;
    uint64_t size;
    uint16_t *code_count;  // by page
    uint64_t *code_sums;   // by page, when checking
    bool checking;
    struct uc_shim *cpus[CPUS_MAX];
    unsigned cpu_count;
};

struct uc_shim {
    uc_engine *uc;
    void *cpu;  // libunicorn's CPUState
    struct uc_env *env;
    void *tcg;
    struct uc_shim_memory *memory;
    const struct uc_shim_owner *owner;
    void *context;
    bool running;
    bool flush_pending;
    bool watching;
    bool data_ignored;  // data breakpoints are off
    /* This run. */
    uint64_t executed, limit;
    uint64_t block_start;  // `executed` before the block below
    uint64_t block_pc, block_size;
    bool stopped;
    struct uc_shim_exit *exit;
    uint64_t last_tsc;
    sigjmp_buf escape;  // out of a translation outside a run
    /* By page. */
    uint64_t *code;  // bits
    uint32_t *fast;  // = generation: writable in the TLB without a look
    uint32_t generation;
    struct {
        uint32_t return_address;  // its low half; the code buffer is smaller than 4 GB
        uint32_t instructions;
    } blocks[BLOCKS];
    struct uc_shim_counts counts;
};

/* All CPUs, for the functions that only get libunicorn's pointer; the first is the likely one. */
static struct uc_shim *current;
static struct uc_shim *all[8 * CPUS_MAX];
static unsigned all_count;
static unsigned char pages_locked;  // stands for a locked collection of pages
static struct uc_shim *being_made;

/* ---- the library's functions, as far as we replace or call them ---- */

/* A CPUState, CPUX86State, TCGContext, TranslationBlock of the library is a void pointer here. */
#define REPLACED                                                                               \
    X(void, cpu_exec_realizefn_x86_64, (void *cpu))                                            \
    X(void *, memory_mapping, (uc_engine * uc, uint64_t address))                              \
    X(bool, x86_cpu_tlb_fill_x86_64,                                                           \
      (void *cpu, uint64_t va, int size, int access, int index, bool probe,                    \
       uintptr_t return_address))                                                              \
    X(void, tlb_protect_code_x86_64, (uc_engine * uc, uint64_t machine))                       \
    X(void, tlb_unprotect_code_x86_64, (uc_engine * uc, uint64_t machine))                     \
    X(void, tb_invalidate_phys_page_fast_x86_64,                                               \
      (uc_engine * uc, void *pages, uint64_t start, int length, uintptr_t return_address))     \
    X(void *, page_collection_lock_x86_64, (uc_engine * uc, uint64_t start, uint64_t end))     \
    X(void, page_collection_unlock_x86_64, (void *pages))                                      \
    X(int, cpu_watchpoint_address_matches_x86_64, (void *cpu, uint64_t va, uint64_t size))     \
    X(void, cpu_check_watchpoint_x86_64,                                                       \
      (void *cpu, uint64_t va, uint64_t size, uint32_t attributes, int flags,                  \
       uintptr_t return_address))                                                              \
    X(void, tcg_tb_insert_x86_64, (void *tcg, void *block))                                    \
    X(void, tb_flush_x86_64, (void *cpu))                                                      \
    X(void, helper_raise_interrupt_x86_64, (struct uc_env * env, int number, int length))      \
    X(uint64_t, helper_inb_x86_64, (struct uc_env * env, uint32_t port))                       \
    X(uint64_t, helper_inw_x86_64, (struct uc_env * env, uint32_t port))                       \
    X(uint64_t, helper_inl_x86_64, (struct uc_env * env, uint32_t port))                       \
    X(void, helper_outb_x86_64, (struct uc_env * env, uint32_t port, uint32_t value))          \
    X(void, helper_outw_x86_64, (struct uc_env * env, uint32_t port, uint32_t value))          \
    X(void, helper_outl_x86_64, (struct uc_env * env, uint32_t port, uint32_t value))          \
    X(uint64_t, cpu_get_tsc_x86_64, (struct uc_env * env))
#define CALLED                                                                                 \
    X(void, tlb_set_page_with_attrs_x86_64,                                                    \
      (void *cpu, uint64_t va, uint64_t machine, uint32_t attributes, int protection,          \
       int index, uint64_t size))                                                              \
    X(void, tlb_set_dirty_x86_64, (void *cpu, uint64_t va))                                    \
    X(void, tlb_flush_x86_64, (void *cpu))                                                     \
    X(void, tlb_flush_page_x86_64, (void *cpu, uint64_t va))                                   \
    X(void, cpu_loop_exit_restore_x86_64, (void *cpu, uintptr_t return_address))               \
    X(void, tb_invalidate_phys_range_x86_64, (uc_engine * uc, uint64_t start, uint64_t end))   \
    X(void *, tcg_tb_lookup_x86_64, (void *tcg, uintptr_t return_address))                     \
    X(void, update_fp_status_x86_64, (struct uc_env * env))                                    \
    X(void, update_mxcsr_status_x86_64, (struct uc_env * env))

#define X(type, name, parameters) __attribute__((visibility("default"))) type name parameters;
REPLACED
#undef X
static struct {
#define X(type, name, parameters) type(*name) parameters;
    REPLACED CALLED
#undef X
} library;

/* Null, or the name that is missing. */
static const char *library_find(void)
{
    void *found;

    if (library.tcg_tb_lookup_x86_64)
        return NULL;
#define X(type, name, parameters)                                                              \
    found = dlsym(RTLD_NEXT, #name);                                                           \
    if (!found)                                                                                \
        return #name;                                                                          \
    memcpy(&library.name, &found, sizeof(found));
    REPLACED CALLED
#undef X
        return NULL;
}

/* Called before the first CPU of ours, too, by a Unicorn that is not ours. */
static void library_need(void)
{
    const char *missing = library_find();

    if (missing)
        sim_fail("libunicorn has no function %s: see uc_shim_unusable()", missing);
}

static void *at(void *base, size_t offset)
{
    return (unsigned char *)base + offset;
}

static struct uc_shim *of_uc(const uc_engine *uc)
{
    if (current && current->uc == uc)
        return current;
    for (unsigned i = 0; i < all_count; i++) {
        if (all[i]->uc == uc)
            return all[i];
    }
    return being_made && being_made->uc == uc ? being_made : NULL;
}

static struct uc_shim *of_cpu(const void *cpu)
{
    if (current && current->cpu == cpu)
        return current;
    for (unsigned i = 0; i < all_count; i++) {
        if (all[i]->cpu == cpu)
            return all[i];
    }
    return being_made && being_made->cpu == cpu ? being_made : NULL;
}

/* ---- the MMU ---- */

static void flush_now(struct uc_shim *s)
{
    s->generation++;
    s->flush_pending = false;
    s->counts.flushes++;
    library.tlb_flush_x86_64(s->cpu);
}

static uint64_t page_sum(const struct uc_shim_memory *m, uint64_t page)
{
    const uint64_t *words = (const uint64_t *)(m->base + (page << 12));
    uint64_t sum = 1;

    for (unsigned i = 0; i < 512; i++)
        sum = (sum ^ words[i]) * 0x9e3779b97f4a7c15ull + (sum >> 29);
    return sum;
}

static void install(struct uc_shim *s, uint64_t va, int access, int index,
                    const struct uc_shim_page *page)
{
    struct uc_shim_memory *m = s->memory;
    uint64_t frame = page->machine >> 12;
    int protection =
        PROT_READ_ | (page->writable ? PROT_WRITE_ : 0) | (page->executable ? PROT_EXEC_ : 0);

    va &= ~0xfffull;
    if (page->machine >= m->size)
        sim_fail("the page table maps %#llx to machine address %#llx, which is beyond memory",
                 (unsigned long long)va, (unsigned long long)page->machine);
    s->counts.fills++;
    if (m->checking && access == UC_SHIM_FETCH && m->code_count[frame]) {
        uint64_t sum = page_sum(m, frame);

        if (m->code_sums[frame] && m->code_sums[frame] != sum) {
            sim_fail(
                "machine page %#llx is executed at %#llx but changed since it was translated: "
                "plat_user_code_changed() was not called",
                (unsigned long long)frame, (unsigned long long)va);
        }
        m->code_sums[frame] = sum;
    }
    /* Data where code was in an earlier life of the page: nothing of that is left. */
    if (access == UC_SHIM_STORE && !page->executable && m->code_count[frame])
        uc_shim_code_changed(m, page->machine & ~0xfffull, 4096);
    library.tlb_set_page_with_attrs_x86_64(s->cpu, va, page->machine & ~0xfffull, 0, protection,
                                           index, 4096);
    if (page->writable && !m->code_count[frame]) {
        library.tlb_set_dirty_x86_64(s->cpu, va);
        s->fast[frame] = s->generation;
    }
}

/* Ends the run at the instruction whose translated code called. */
static noreturn_fn void run_leave(struct uc_shim *s, uintptr_t return_address)
{
    int exception = EXCEPTION_STOP;

    s->stopped = true;
    memcpy(at(s->cpu, CPU_EXCEPTION), &exception, sizeof(exception));
    library.cpu_loop_exit_restore_x86_64(s->cpu, return_address);
    abort();
}

bool x86_cpu_tlb_fill_x86_64(void *cpu, uint64_t va, int size, int access, int index,
                             bool probe, uintptr_t return_address)
{
    struct uc_shim *s = of_cpu(cpu);
    struct uc_shim_page page;

    if (!s) {
        library_need();
        return library.x86_cpu_tlb_fill_x86_64(cpu, va, size, access, index, probe,
                                               return_address);
    }
    if (s->owner->translate(s->context, va, (enum uc_shim_access)access,
                            (enum uc_shim_mode)index, probe, &page)) {
        install(s, va, access, index, &page);
        return true;
    }
    if (probe)
        return false;
    if (!s->running)
        siglongjmp(s->escape, 1);
    s->exit->stop = UC_SHIM_STOP_FAULT;
    s->exit->fault_address = va;
    s->exit->fault_access = (enum uc_shim_access)access;
    run_leave(s, return_address);
}

/* Pages with a data breakpoint have no fast path; each access to one comes to the second. */
int cpu_watchpoint_address_matches_x86_64(void *cpu, uint64_t va, uint64_t size)
{
    struct uc_shim *s = of_cpu(cpu);

    return s && s->owner->watched ? (int)s->owner->watched(s->context, va, size) : 0;
}

void cpu_check_watchpoint_x86_64(void *cpu, uint64_t va, uint64_t size, uint32_t attributes,
                                 int flags, uintptr_t return_address)
{
    struct uc_shim *s = of_cpu(cpu);

    (void)attributes;
    if (!s || !s->running || !s->owner->watched || s->data_ignored ||
        !(s->owner->watched(s->context, va, size) & (unsigned)flags))
        return;
    s->exit->stop = UC_SHIM_STOP_WATCH;
    s->exit->fault_address = va;
    s->exit->fault_size = (unsigned)size;
    run_leave(s, return_address);
}

/* With translation of our own, every address is one of the memory's. */
void *memory_mapping(uc_engine *uc, uint64_t address)
{
    library_need();
    return library.memory_mapping(uc, of_uc(uc) ? 0 : address);
}

/* ---- code ---- */

static bool has_code(const struct uc_shim *s, uint64_t page)
{
    return s->code[page / 64] & BIT(page % 64);
}

void tlb_protect_code_x86_64(uc_engine *uc, uint64_t machine)
{
    struct uc_shim *s = of_uc(uc);
    uint64_t page = machine >> 12;

    if (!s) {
        library_need();
        library.tlb_protect_code_x86_64(uc, machine);
        return;
    }
    if (page >= s->memory->size >> 12 || has_code(s, page))
        return;
    s->code[page / 64] |= BIT(page % 64);
    if (s->memory->code_count[page]++ == 0 && s->memory->checking)
        s->memory->code_sums[page] = page_sum(s->memory, page);
    for (unsigned i = 0; i < s->memory->cpu_count; i++) {
        struct uc_shim *other = s->memory->cpus[i];

        if (other->fast[page] != other->generation)
            continue;
        s->counts.code_flushes++;
        if (other->running)
            flush_now(other);
        else
            other->flush_pending = true;
        /* Nothing is fast any more, so that this is done once. */
        other->fast[page] = other->generation - 1;
    }
}

static void code_gone(struct uc_shim *s, uint64_t page)
{
    if (page >= s->memory->size >> 12 || !has_code(s, page))
        return;
    s->code[page / 64] &= ~BIT(page % 64);
    s->memory->code_count[page]--;
}

void tlb_unprotect_code_x86_64(uc_engine *uc, uint64_t machine)
{
    struct uc_shim *s = of_uc(uc);

    if (s) {
        code_gone(s, machine >> 12);
        return;
    }
    library_need();
    library.tlb_unprotect_code_x86_64(uc, machine);
}

/* A store on the slow path: by the running CPU, to a page that has, or lately had, code. */
void tb_invalidate_phys_page_fast_x86_64(uc_engine *uc, void *pages, uint64_t start, int length,
                                         uintptr_t return_address)
{
    struct uc_shim *s = of_uc(uc);
    uint64_t page = start >> 12;

    if (!s) {
        library_need();
        library.tb_invalidate_phys_page_fast_x86_64(uc, pages, start, length, return_address);
        return;
    }
    if (page >= s->memory->size >> 12 || !s->memory->code_count[page])
        return;
    s->counts.invalidations++;
    for (unsigned i = 0; i < s->memory->cpu_count; i++) {
        struct uc_shim *other = s->memory->cpus[i];

        if (other != s && has_code(other, page)) {
            library.tb_invalidate_phys_range_x86_64(other->uc, start, start + (uint64_t)length);
        }
    }
    if (s->memory->checking && s->memory->code_count[page])
        s->memory->code_sums[page] = 0;
    /* May leave this run and come back to the store as a block of its own. */
    if (has_code(s, page)) {
        library.tb_invalidate_phys_page_fast_x86_64(uc, pages, start, length, return_address);
    }
}

/* The originals build a tree of pages to lock them; nothing needs that in one thread. */
void *page_collection_lock_x86_64(uc_engine *uc, uint64_t start, uint64_t end)
{
    if (of_uc(uc))
        return &pages_locked;
    library_need();
    return library.page_collection_lock_x86_64(uc, start, end);
}

void page_collection_unlock_x86_64(void *pages)
{
    if (pages == &pages_locked)
        return;
    library_need();
    library.page_collection_unlock_x86_64(pages);
}

void tcg_tb_insert_x86_64(void *tcg, void *block)
{
    if (current && current->running)
        current->tcg = tcg;
    library_need();
    library.tcg_tb_insert_x86_64(tcg, block);
}

/* The buffer of translated code is full: all of it goes, and return addresses are used again. */
void tb_flush_x86_64(void *cpu)
{
    struct uc_shim *s = of_cpu(cpu);

    library_need();
    if (s) {
        memset(s->blocks, 0, sizeof(s->blocks));
        for (uint64_t page = 0; page < s->memory->size >> 12; page++)
            code_gone(s, page);
    }
    library.tb_flush_x86_64(cpu);
}

void uc_shim_code_changed(struct uc_shim_memory *memory, uint64_t machine, uint64_t size)
{
    uint64_t end = MIN(machine + size, memory->size);

    for (uint64_t start = machine; start < end; start = (start & ~0xfffull) + 4096) {
        uint64_t page = start >> 12;
        uint64_t stop = MIN(end, (start & ~0xfffull) + 4096);

        for (unsigned i = 0; i < memory->cpu_count && memory->code_count[page]; i++) {
            struct uc_shim *s = memory->cpus[i];

            if (has_code(s, page)) {
                s->counts.invalidations++;
                library.tb_invalidate_phys_range_x86_64(s->uc, start, stop);
            }
        }
        if (memory->checking && memory->code_count[page])
            memory->code_sums[page] = page_sum(memory, page);
    }
}

/* ---- counting and stops ---- */

static uint32_t block_learn(struct uc_shim *s, uintptr_t return_address, uint64_t pc)
{
    void *block = s->tcg ? library.tcg_tb_lookup_x86_64(s->tcg, return_address) : NULL;
    uint64_t block_pc;
    uint16_t instructions;

    if (!block)
        sim_fail("libunicorn runs a block at %#llx that it does not know",
                 (unsigned long long)pc);
    memcpy(&block_pc, at(block, TB_PC), sizeof(block_pc));
    memcpy(&instructions, at(block, TB_ICOUNT), sizeof(instructions));
    if (block_pc != pc || !instructions)
        sim_fail("libunicorn's block at %#llx is at %#llx, has %u instructions",
                 (unsigned long long)pc, (unsigned long long)block_pc, instructions);
    s->counts.blocks_learnt++;
    return instructions;
}

static bool can_interrupt(const struct uc_env *env)
{
    return (env->eflags & BIT(9)) && !(env->hflags & UC_HF_INHIBIT_IRQ);
}

/* Called by translated code at the entry of each block. */
static void on_block(uc_engine *uc, uint64_t pc, uint32_t size, void *user)
{
    struct uc_shim *s = user;
    uintptr_t return_address = (uintptr_t)__builtin_return_address(0);
    uint32_t index = (uint32_t)(return_address >> 4) & (BLOCKS - 1);

    if (s->blocks[index].return_address != (uint32_t)return_address) {
        s->blocks[index].instructions = block_learn(s, return_address, pc);
        s->blocks[index].return_address = (uint32_t)return_address;
    }
    if (s->executed >= s->limit || (s->watching && can_interrupt(s->env))) {
        if (s->executed < s->limit)
            s->exit->stop = UC_SHIM_STOP_ASKED;
        s->stopped = true;
        uc_emu_stop(uc);  // before the block: it is the first of the next run
        return;
    }
    s->block_start = s->executed;
    s->executed += s->blocks[index].instructions;
    s->block_pc = pc;
    s->block_size = size;
}

/* A block of which some instructions were not done was counted whole: takes them off. */
static void uncount(struct uc_shim *s)
{
    uint64_t rip = s->env->eip;
    uc_tb rest;

    if (rip < s->block_pc || rip >= s->block_pc + s->block_size)
        return;
    if (rip == s->block_pc) {
        s->executed = s->block_start;
        return;
    }
    if (sigsetjmp(s->escape, 0) != 0)
        return;
    if (uc_ctl(s->uc, CONTROL(UC_CTL_TB_REQUEST_CACHE, 2, 3), rip, &rest) != UC_ERR_OK)
        return;
    if (rest.pc + rest.size <= s->block_pc + s->block_size)
        s->executed -= MIN((uint64_t)rest.icount, s->executed - s->block_start);
}

static void on_syscall(uc_engine *uc, void *user)
{
    struct uc_shim *s = user;

    s->exit->stop = UC_SHIM_STOP_SYSCALL;
    s->stopped = true;
    uc_emu_stop(uc);
}

static void on_exception(uc_engine *uc, uint32_t number, void *user)
{
    struct uc_shim *s = user;

    s->exit->stop = UC_SHIM_STOP_EXCEPTION;
    s->exit->number = number;
    s->exit->error_code = s->env->error_code;
    s->exit->software = number < 0x100 && s->env->exception_is_int;
    /* The library has moved RIP behind the instruction. */
    if (s->exit->software)
        s->env->eip -= s->exit->length;
    s->env->old_exception = UINT32_MAX;  // delivered: the next is no double fault
    s->stopped = true;
    uc_emu_stop(uc);
}

static int on_cpuid(uc_engine *uc, void *user)
{
    struct uc_shim *s = user;
    uint64_t *r = s->env->regs;
    uint32_t regs[4] = {(uint32_t)r[0], (uint32_t)r[3], (uint32_t)r[1], (uint32_t)r[2]};

    (void)uc;
    s->owner->cpuid(s->context, regs);
    r[0] = regs[0];
    r[3] = regs[1];
    r[1] = regs[2];
    r[2] = regs[3];
    return 1;
}

/* INT n, INT3, INTO: only here is it known how long the instruction is. */
void helper_raise_interrupt_x86_64(struct uc_env *env, int number, int length)
{
    if (current && current->env == env)
        current->exit->length = (uint32_t)length;
    library_need();
    library.helper_raise_interrupt_x86_64(env, number, length);
}

/* The library lets every program use every port: here IN and OUT end the run before they do it. */
static void port_stop(struct uc_shim *s, uint32_t port, uint32_t size, bool in,
                      void *return_address)
{
    s->exit->stop = UC_SHIM_STOP_PORT;
    s->exit->number = port & 0xffff;
    s->exit->port_size = (uint8_t)size;
    s->exit->port_in = in;
    run_leave(s, (uintptr_t)return_address);
}

#define PORT_HELPERS(letter, size)                                                             \
    uint64_t helper_in##letter##_x86_64(struct uc_env *env, uint32_t port)                     \
    {                                                                                          \
        if (current && current->env == env)                                                    \
            port_stop(current, port, size, true, __builtin_return_address(0));                 \
        library_need();                                                                        \
        return library.helper_in##letter##_x86_64(env, port);                                  \
    }                                                                                          \
    void helper_out##letter##_x86_64(struct uc_env *env, uint32_t port, uint32_t value)        \
    {                                                                                          \
        if (current && current->env == env)                                                    \
            port_stop(current, port, size, false, __builtin_return_address(0));                \
        library_need();                                                                        \
        library.helper_out##letter##_x86_64(env, port, value);                                 \
    }
PORT_HELPERS(b, 1)
PORT_HELPERS(w, 2)
PORT_HELPERS(l, 4)

uint64_t cpu_get_tsc_x86_64(struct uc_env *env)
{
    struct uc_shim *s = current;

    if (!s || s->env != env) {
        library_need();
        return library.cpu_get_tsc_x86_64(env);
    }
    /* The time at the entry of the block; two in one block still differ. */
    s->last_tsc = MAX(s->last_tsc + 1, s->owner->tsc(s->context, s->block_start));
    return s->last_tsc;
}

void uc_shim_run(struct uc_shim *s, uint64_t instructions, struct uc_shim_exit *exit)
{
    struct uc_shim *before = current;
    uc_err error;

    *exit = (struct uc_shim_exit){.stop = UC_SHIM_STOP_LIMIT};
    current = s;
    s->exit = exit;
    s->executed = 0;
    s->block_start = 0;
    s->block_pc = 0;
    s->block_size = 0;
    s->limit = instructions;
    s->stopped = false;
    s->counts.runs++;
    if (s->flush_pending)
        flush_now(s);
    s->running = true;
    error = uc_emu_start(s->uc, s->env->eip, 0, 0, 0);
    s->running = false;
    if (error == UC_ERR_INSN_INVALID) {
        exit->stop = UC_SHIM_STOP_EXCEPTION;
        exit->number = 6;
    } else if (error != UC_ERR_OK) {
        sim_fail("libunicorn stops at %#llx: %s", (unsigned long long)s->env->eip,
                 uc_strerror(error));
    } else if (!s->stopped) {
        exit->stop = UC_SHIM_STOP_HALT;
    }
    if (exit->stop == UC_SHIM_STOP_FAULT || exit->stop == UC_SHIM_STOP_PORT ||
        exit->stop == UC_SHIM_STOP_WATCH ||
        (exit->stop == UC_SHIM_STOP_EXCEPTION && !exit->software))
        uncount(s);
    exit->executed = s->executed;
    current = before;
}

void uc_shim_stop(struct uc_shim *s)
{
    if (s->exit->stop == UC_SHIM_STOP_LIMIT)
        s->exit->stop = UC_SHIM_STOP_ASKED;
    s->stopped = true;
    uc_emu_stop(s->uc);
}

void uc_shim_watch_data(struct uc_shim *s, bool on)
{
    s->data_ignored = !on;
}

void uc_shim_watch_interrupts(struct uc_shim *s, bool on)
{
    s->watching = on;
}

void uc_shim_flush(struct uc_shim *s)
{
    s->flush_pending = true;
}

void uc_shim_flush_page(struct uc_shim *s, uint64_t va)
{
    if (!s->flush_pending)
        library.tlb_flush_page_x86_64(s->cpu, va);
}

void uc_shim_fpu_changed(struct uc_shim *s)
{
    library.update_fp_status_x86_64(s->env);
    library.update_mxcsr_status_x86_64(s->env);
}

struct uc_env *uc_shim_env(struct uc_shim *s)
{
    return s->env;
}

const struct uc_shim_counts *uc_shim_counts(const struct uc_shim *s)
{
    return &s->counts;
}

/* ---- making one ---- */

void cpu_exec_realizefn_x86_64(void *cpu)
{
    library_need();
    if (being_made && !being_made->cpu)
        being_made->cpu = cpu;
    library.cpu_exec_realizefn_x86_64(cpu);
}

struct uc_shim_memory *uc_shim_memory_create(void *base, uint64_t size)
{
    struct uc_shim_memory *m = calloc(1, sizeof(*m));

    if (m)
        m->code_count = calloc(size >> 12, sizeof(*m->code_count));
    if (!m || !m->code_count)
        sim_fail("no memory for the engine's page counts");
    m->base = base;
    m->size = size;
    return m;
}

void uc_shim_check_code(struct uc_shim_memory *memory, bool on)
{
    if (on && !memory->code_sums)
        memory->code_sums = calloc(memory->size >> 12, sizeof(*memory->code_sums));
    memory->checking = on && memory->code_sums;
}

/* What TCG can execute but the CPU model does not name: CPUID words by index. */
static void features_add(struct uc_env *env)
{
    static const struct {
        unsigned word;
        uint64_t bits;
    } more[] = {
        {0, 0x178bfbff},                           // leaf 1 EDX: what every x86-64 has
        {1, BIT(0) | BIT(1) | BIT(22) | BIT(23)},  // leaf 1 ECX: SSE3 PCLMUL MOVBE POPCNT
        {6, BIT(11) | BIT(20) | BIT(26)},          // 0x80000001 EDX: SYSCALL NX 1G
        {7, BIT(0) | BIT(2) | BIT(5)},             // 0x80000001 ECX: LAHF SVM LZCNT
    };

    for (size_t i = 0; i < ARRAY_COUNT(more); i++) {
        uint64_t *word = at(env, ENV_FEATURES + 8 * more[i].word);

        *word |= more[i].bits;
    }
}

static void hook_add(struct uc_shim *s, int type, void *function, int instruction)
{
    uc_hook hook;
    uc_err error = uc_hook_add(s->uc, &hook, type, function, s, 1, 0, instruction);

    if (error != UC_ERR_OK)
        sim_fail("uc_hook_add: %s", uc_strerror(error));
}

struct uc_shim *uc_shim_create(struct uc_shim_memory *memory, const struct uc_shim_owner *owner,
                               void *context)
{
    struct uc_shim *s = calloc(1, sizeof(*s));
    uint64_t pages = memory->size >> 12;
    uc_err error;

    library_need();
    if (memory->cpu_count == CPUS_MAX || all_count == ARRAY_COUNT(all))
        sim_fail("more than %u engine CPUs", CPUS_MAX);
    if (s) {
        s->code = calloc(pages / 64 + 1, sizeof(*s->code));
        s->fast = calloc(pages, sizeof(*s->fast));
    }
    if (!s || !s->code || !s->fast)
        sim_fail("no memory for an engine CPU");
    s->memory = memory;
    s->owner = owner;
    s->context = context;
    s->generation = 1;
    being_made = s;
    error = uc_open(UC_ARCH_X86, UC_MODE_64, &s->uc);
    if (error == UC_ERR_OK)
        error = uc_mem_map_ptr(s->uc, 0, memory->size, UC_PROT_ALL, memory->base);
    if (error == UC_ERR_OK)
        error = uc_ctl(s->uc, CONTROL(UC_CTL_UC_USE_EXITS, 1, 1), 1);
    if (error != UC_ERR_OK || !s->cpu)
        sim_fail("libunicorn cannot make a CPU: %s", uc_strerror(error));
    memcpy(&s->env, at(s->cpu, CPU_ENV), sizeof(s->env));
    features_add(s->env);
    /* All before the first translation: a hook is compiled into the block. */
    hook_add(s, UC_HOOK_BLOCK, (void *)(uintptr_t)on_block, 0);
    hook_add(s, UC_HOOK_INTR, (void *)(uintptr_t)on_exception, 0);
    hook_add(s, UC_HOOK_INSN, (void *)(uintptr_t)on_syscall, UC_X86_INS_SYSCALL);
    if (owner->cpuid)
        hook_add(s, UC_HOOK_INSN, (void *)(uintptr_t)on_cpuid, UC_X86_INS_CPUID);
    all[all_count++] = s;
    memory->cpus[memory->cpu_count++] = s;
    being_made = NULL;
    return s;
}

void uc_shim_destroy(struct uc_shim *s)
{
    struct uc_shim_memory *m = s->memory;

    for (uint64_t page = 0; page < m->size >> 12; page++)
        code_gone(s, page);
    for (unsigned i = 0; i < m->cpu_count; i++) {
        if (m->cpus[i] == s)
            m->cpus[i] = m->cpus[--m->cpu_count];
    }
    for (unsigned i = 0; i < all_count; i++) {
        if (all[i] == s)
            all[i] = all[--all_count];
    }
    uc_close(s->uc);
    free(s->code);
    free(s->fast);
    free(s);
}

const char *uc_shim_unusable(void)
{
    static char text[200];
    uc_engine *uc = NULL;
    const char *missing = library_find();
    size_t size = 0;
    unsigned major = 0;
    unsigned minor = 0;

    uc_version(&major, &minor);
    if (!missing && uc_open(UC_ARCH_X86, UC_MODE_64, &uc) == UC_ERR_OK) {
        size = uc_context_size(uc);
        uc_close(uc);
    }
    if (!missing && major == 2 && minor == 0 && size == UC_CONTEXT_SIZE)
        return NULL;
    snprintf(
        text, sizeof(text),
        "libunicorn %u.%u with a context of %zu bytes%s%s is not the one the engine knows; "
        "install libunicorn2 2.0.1 (Debian 12)",
        major, minor, size, missing ? ", without " : "", missing ? missing : "");
    return text;
}
