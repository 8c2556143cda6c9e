// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/uc_run.c -- running an engine CPU: counting instructions, ends of runs, making
 * one.
 *
 * The library calls a hook at the entry of each block. The call is patched into a subtraction
 * from a counter in the CPU's state as soon as the block is translated, and the hook itself
 * only runs when that goes below zero. So a run ends before the first block that begins when
 * its instructions are used up, and how it was sliced changes no count. A block that a fault
 * cuts short was counted whole; it is corrected by the length of the block that begins at the
 * fault.
 *
 * Invariants
 *   - limit - left_now() is the number of instructions of all blocks entered in this run.
 *   - A hook is there before the first translation: it is compiled into the blocks.
 * Locking    none: one thread.
 */
#include <stdio.h>

#include "sim/engine/uc_internal.h"

/* subq $imm32, disp32(%rbp) */
static const uint8_t subtract[] = {0x48, 0x81, 0xad};

static bool can_interrupt(const struct uc_env *env)
{
    return (env->eflags & BIT(9)) && !(env->hflags & UC_HF_INHIBIT_IRQ);
}

static uint64_t block_field(void *block, size_t offset, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, at(block, offset), size);
    return value;
}

/*
 * The library begins each block with a call of on_block(): five moves of arguments and the
 * call. In their place goes what nearly always is all there is to do:
 *
 *        subq  $instructions, left(%rbp)      the library keeps its CPU state in RBP
 *        jns   behind the call
 *        nop ...
 *        call  on_block
 */
void uc_shim_block_patch(struct uc_shim *s, void *block)
{
    static const uint8_t no_sign = 0x79;
    uint8_t *code = (uint8_t *)(uintptr_t)block_field(block, TB_CODE, 8);
    uint32_t size = (uint32_t)block_field(block, TB_SIZE, 2);
    uint32_t instructions = (uint32_t)block_field(block, TB_ICOUNT, 2);
    uint32_t left = offsetof(struct uc_env, left);
    unsigned n = 10;  // behind mov $uc, %rdi
    uint32_t found;

    if (code[0] != 0x48 || code[1] != 0xbf || memcmp(code + 2, &s->uc, 8) != 0)
        return;
    if (code[n] == 0xbe)  // mov $pc, %esi
        n += 5;
    else if (code[n] == 0x48 && code[n + 1] == 0xbe)  // mov $pc, %rsi
        n += 10;
    else if (code[n] == 0x48 && (code[n + 1] == 0x8d || code[n + 1] == 0xc7))  // lea, mov
        n += 7;
    else
        return;
    memcpy(&found, code + n + 1, 4);
    if (code[n] != 0xba || found != size)  // mov $size, %edx
        return;
    n += 5;
    if (code[n] != 0x48 || code[n + 1] != 0xb9 || memcmp(code + n + 2, &s, 8) != 0)
        return;
    n += 10;  // behind mov $s, %rcx

    unsigned behind = n + (code[n] == 0xe8 ? 5 : 6);

    if (code[n] != 0xe8 && (code[n] != 0xff || code[n + 1] != 0x15))
        return;
    memcpy(code, subtract, 3);
    memcpy(code + 3, &left, 4);
    memcpy(code + 7, &instructions, 4);
    code[11] = no_sign;
    code[12] = (uint8_t)(behind - 13);
    memset(code + 13, 0x90, n - 13);
    s->counts.blocks_learnt++;
}

static int64_t left_now(const struct uc_shim *s)
{
    return s->watching ? s->hidden : s->env->left;
}

/* While every block has to come by, the counter in the CPU's state stays below zero. */
static void left_set(struct uc_shim *s, int64_t left)
{
    s->hidden = left;
    s->env->left = s->watching ? INT64_MIN / 2 : left;
}

/*
 * Called by translated code at the entry of a block when the counter went below zero, and of
 * every block that could not be patched.
 */
static void on_block(void)
{
    struct uc_shim *s = uc_shim_all.current;
    uintptr_t return_address = (uintptr_t)__builtin_return_address(0);
    void *block = s->tcg ? library.tcg_tb_lookup_x86_64(s->tcg, return_address) : NULL;
    const uint8_t *code;
    int64_t instructions;
    int64_t left = left_now(s);

    if (!block)
        sim_fail("libunicorn runs a block that it does not know");
    code = (const uint8_t *)(uintptr_t)block_field(block, TB_CODE, 8);
    instructions = (int64_t)block_field(block, TB_ICOUNT, 2);
    if (!s->watching && !memcmp(code, subtract, sizeof(subtract)))
        left += instructions;  // the block has done it already
    if (left <= 0 || (s->watching && can_interrupt(s->env))) {
        if (left > 0)
            s->exit->stop = UC_SHIM_STOP_ASKED;
        s->stopped = true;
        uc_emu_stop(s->uc);  // before the block: it is the first of the next run
    } else {
        left -= instructions;
    }
    left_set(s, left);
}

/*
 * A block was counted whole when it was entered; takes off what was not done. Which block it
 * was, the translated code that ended the run says; an exception that is part of the
 * translation is the last instruction of its block.
 */
static void uncount(struct uc_shim *s, const struct uc_shim_exit *exit)
{
    uint64_t rip = s->env->eip;
    void *block = s->left_from ? library.tcg_tb_lookup_x86_64(s->tcg, s->left_from) : NULL;
    uint64_t pc;
    uint64_t end;
    uint64_t instructions;
    uc_tb rest;

    if (!block) {
        if (exit->stop == UC_SHIM_STOP_EXCEPTION && exit->number != 1)
            left_set(s, left_now(s) + 1);
        return;
    }
    pc = block_field(block, TB_PC, 8);
    end = pc + block_field(block, TB_SIZE, 2);
    instructions = block_field(block, TB_ICOUNT, 2);
    if (rip < pc || rip >= end)
        return;
    if (rip != pc) {
        if (sigsetjmp(s->escape, 0) != 0 ||
            uc_ctl(s->uc, CONTROL(UC_CTL_TB_REQUEST_CACHE, 2, 3), rip, &rest) != UC_ERR_OK ||
            rest.pc + rest.size > end)
            return;
        instructions = MIN(instructions, (uint64_t)rest.icount);
    }
    left_set(s, left_now(s) + (int64_t)instructions);
}

/*
 * Some byte sequences that are no instructions (FF EE: a far jump through a register) make the
 * library call abort() in the middle of a translation. Then the block is translated one
 * instruction at a time, and the one that is refused by itself is #UD.
 */
void abort(void)
{
    struct uc_shim *s = uc_shim_all.current;

    if (s && s->translating)
        siglongjmp(s->refused, 1);
    uc_library_need();
    library.abort();
    __builtin_unreachable();
}

void *tb_gen_code_x86_64(void *cpu, uint64_t pc, uint64_t base, uint32_t flags, uint32_t cflags)
{
    struct uc_shim *s = uc_shim_of_cpu(cpu);
    int exception = 6;
    void *block;

    uc_library_need();
    if (!s || s != uc_shim_all.current)
        return library.tb_gen_code_x86_64(cpu, pc, base, flags, cflags);
    if (sigsetjmp(s->refused, 0) == 0) {
        s->translating = true;
        block = library.tb_gen_code_x86_64(cpu, pc, base, flags, cflags);
        s->translating = false;
        return block;
    }
    s->translating = false;
    if ((cflags & CFLAGS_COUNT) != 1)
        return tb_gen_code_x86_64(cpu, pc, base, flags, (cflags & ~CFLAGS_COUNT) | 1);
    if (!s->running)
        siglongjmp(s->escape, 1);
    s->env->eip = pc - base;
    s->stopped = true;
    memcpy(at(cpu, CPU_EXCEPTION), &exception, sizeof(exception));
    library.cpu_loop_exit_x86_64(cpu);
    return NULL;
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
    s->env->exception_is_int = 0;  // an exit would leave it, and RIP follow it
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

/* Some instruction's code ends the run in the middle of its block. */
bool cpu_restore_state_x86_64(void *cpu, uintptr_t return_address, bool leaves)
{
    struct uc_shim *s = uc_shim_of_cpu(cpu);

    if (s && leaves)
        s->left_from = return_address;
    uc_library_need();
    return library.cpu_restore_state_x86_64(cpu, return_address, leaves);
}

/* INT n, INT3, INTO: only here is it known how long the instruction is. */
void helper_raise_interrupt_x86_64(struct uc_env *env, int number, int length)
{
    if (uc_shim_all.current && uc_shim_all.current->env == env)
        uc_shim_all.current->exit->length = (uint32_t)length;
    uc_library_need();
    library.helper_raise_interrupt_x86_64(env, number, length);
}

/* The library lets every program use every port: here IN and OUT end the run before they do
 * it. */
static void port_stop(struct uc_shim *s, uint32_t port, uint32_t size, bool in,
                      void *return_address)
{
    s->exit->stop = UC_SHIM_STOP_PORT;
    s->exit->number = port & 0xffff;
    s->exit->port_size = (uint8_t)size;
    s->exit->port_in = in;
    uc_shim_leave(s, (uintptr_t)return_address);
}

#define PORT_HELPERS(letter, size)                                                             \
    uint64_t helper_in##letter##_x86_64(struct uc_env *env, uint32_t port)                     \
    {                                                                                          \
        if (uc_shim_all.current && uc_shim_all.current->env == env)                            \
            port_stop(uc_shim_all.current, port, size, true, __builtin_return_address(0));     \
        uc_library_need();                                                                     \
        return library.helper_in##letter##_x86_64(env, port);                                  \
    }                                                                                          \
    void helper_out##letter##_x86_64(struct uc_env *env, uint32_t port, uint32_t value)        \
    {                                                                                          \
        if (uc_shim_all.current && uc_shim_all.current->env == env)                            \
            port_stop(uc_shim_all.current, port, size, false, __builtin_return_address(0));    \
        uc_library_need();                                                                     \
        library.helper_out##letter##_x86_64(env, port, value);                                 \
    }
PORT_HELPERS(b, 1)
PORT_HELPERS(w, 2)
PORT_HELPERS(l, 4)

void uc_shim_tsc_offset(struct uc_shim *s, uint64_t offset)
{
    s->tsc_offset = offset;
}

uint64_t cpu_get_tsc_x86_64(struct uc_env *env)
{
    struct uc_shim *s = uc_shim_all.current;

    if (!s || s->env != env) {
        uc_library_need();
        return library.cpu_get_tsc_x86_64(env);
    }
    /* The time at the end of the block; two in one block still differ. */
    s->last_tsc =
        MAX(s->last_tsc + 1, s->owner->tsc(s->context, (uint64_t)(s->limit - left_now(s))));
    return s->last_tsc + s->tsc_offset;
}

void uc_shim_run(struct uc_shim *s, uint64_t instructions, struct uc_shim_exit *exit)
{
    struct uc_shim *before = uc_shim_all.current;
    uc_err error = UC_ERR_OK;

    *exit = (struct uc_shim_exit){.stop = UC_SHIM_STOP_LIMIT};
    uc_shim_all.current = s;
    s->exit = exit;
    s->limit = (int64_t)MIN(instructions, (uint64_t)INT64_MAX);
    s->left_from = 0;
    left_set(s, s->limit);
    s->translating = false;
    s->stopped = false;
    s->counts.runs++;
    if (s->flush_pending)
        uc_shim_flush_now(s);
    s->running = true;
    do {
        s->flushed = false;
        error = uc_emu_start(s->uc, s->env->eip, 0, 0, 0);
    } while (error == UC_ERR_OK && !s->stopped && s->flushed);
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
        uncount(s, exit);
    exit->executed = (uint64_t)(s->limit - left_now(s));
    uc_shim_all.current = before;
}

void uc_shim_watch_data(struct uc_shim *s, bool on)
{
    s->data_ignored = !on;
}

void uc_shim_watch_interrupts(struct uc_shim *s, bool on)
{
    s->watching = on;
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
    uc_library_need();
    if (uc_shim_all.being_made && !uc_shim_all.being_made->cpu)
        uc_shim_all.being_made->cpu = cpu;
    library.cpu_exec_realizefn_x86_64(cpu);
}

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

    uc_library_need();
    if (memory->cpu_count == CPUS_MAX || uc_shim_all.count == ARRAY_COUNT(uc_shim_all.cpus))
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
    uc_shim_all.being_made = s;
    error = uc_open(UC_ARCH_X86, UC_MODE_64, &s->uc);
    if (error == UC_ERR_OK)
        error = uc_mem_map_ptr(s->uc, 0, memory->size, UC_PROT_ALL, memory->base);
    if (error == UC_ERR_OK)
        error = uc_ctl(s->uc, CONTROL(UC_CTL_UC_USE_EXITS, 1, 1), 1);
    if (error != UC_ERR_OK || !s->cpu)
        sim_fail("libunicorn cannot make a CPU: %s", uc_strerror(error));
    memcpy(&s->env, at(s->cpu, CPU_ENV), sizeof(void *));
    features_add(s->env);
    /* All before the first translation: a hook is compiled into the block. */
    hook_add(s, UC_HOOK_BLOCK, (void *)(uintptr_t)on_block, 0);
    hook_add(s, UC_HOOK_INTR, (void *)(uintptr_t)on_exception, 0);
    hook_add(s, UC_HOOK_INSN, (void *)(uintptr_t)on_syscall, UC_X86_INS_SYSCALL);
    if (owner->cpuid)
        hook_add(s, UC_HOOK_INSN, (void *)(uintptr_t)on_cpuid, UC_X86_INS_CPUID);
    uc_shim_all.cpus[uc_shim_all.count++] = s;
    memory->cpus[memory->cpu_count++] = s;
    uc_shim_all.being_made = NULL;
    return s;
}

void uc_shim_destroy(struct uc_shim *s)
{
    struct uc_shim_memory *m = s->memory;

    for (uint64_t page = 0; page < m->size >> 12; page++)
        uc_shim_code_gone(s, page);
    for (unsigned i = 0; i < m->cpu_count; i++) {
        if (m->cpus[i] == s)
            m->cpus[i] = m->cpus[--m->cpu_count];
    }
    for (unsigned i = 0; i < uc_shim_all.count; i++) {
        if (uc_shim_all.cpus[i] == s)
            uc_shim_all.cpus[i] = uc_shim_all.cpus[--uc_shim_all.count];
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
    const char *missing = uc_library_find();
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
