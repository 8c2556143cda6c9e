// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/uc_internal.h -- what uc_shim.c and uc_run.c share: the CPU, and the library's
 * functions.
 */
#pragma once

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unicorn/unicorn.h>

#include "sim/engine/uc_env.h"
#include "sim/engine/uc_shim.h"
#include "sim/platform/sim.h"

/* Offsets in the library's structures: CPUState, CPUX86State behind the context, block. */
#define CPU_ENV        296u
#define CPU_EXCEPTION  33184u
#define ENV_FEATURES   5600u
#define TB_PC          0u
#define TB_SIZE        20u
#define TB_ICOUNT      22u
#define TB_CODE        32u
#define EXCEPTION_STOP 0x10001  // an exception number that ends the run
#define CFLAGS_COUNT   0x7fffu  // of a block: at most so many instructions
#define CPUS_MAX       64u
/* The header's own macro shifts into the sign. Number of arguments; 1 write, 3 both ways. */
#define CONTROL(kind, count, way)                                                              \
    ((uc_control_type)((unsigned)(kind) | (count) << 26 | (unsigned)(way) << 30))

struct uc_shim_memory {
    unsigned char *base;
    uint64_t size;
    uint16_t *code_count;  // by page
    uint64_t *code_sums;   // by page; 0: not known
    bool checking;
    struct uc_shim *cpus[CPUS_MAX];
    unsigned cpu_count;
};

struct uc_shim {
    uc_engine *uc;
    void *cpu;  // libunicorn's CPUState
    struct uc_env *env;
    void *tcg;
    unsigned char *code_first;  // of its blocks since the last tb_flush()
    size_t code_used;           // bytes from there to the last
    bool flushed;               // this run ended in tb_flush(), and goes on
    struct uc_shim_memory *memory;
    const struct uc_shim_owner *owner;
    void *context;
    bool running;
    bool flush_pending;
    bool watching;
    bool data_ignored;  // data breakpoints are off
    /* This run. */
    int64_t limit;
    int64_t hidden;       // what env->left would be, while it is kept below zero
    uintptr_t left_from;  // translated code whose instruction ended the run; 0: its block did
    bool stopped;
    struct uc_shim_exit *exit;
    uint64_t last_tsc;    // grows with each reading; before the offset
    uint64_t tsc_offset;  // a guest's
    sigjmp_buf escape;    // out of a translation outside a run
    sigjmp_buf refused;   // out of the library's abort() in a translation
    bool translating;
    /* By page. */
    uint64_t *code;  // bits
    uint32_t *fast;  // = generation: writable in the TLB without a look
    uint32_t generation;
    struct uc_shim_counts counts;
};

/* All CPUs, for the functions that only get libunicorn's pointer; the first is the likely
 * one. */
struct uc_shim_all {
    struct uc_shim *current;  // runs
    struct uc_shim *being_made;
    struct uc_shim *cpus[8 * CPUS_MAX];
    unsigned count;
    size_t code_limit;  // bytes of translated code of a CPU; a test may want few
};
extern struct uc_shim_all uc_shim_all;

/* A CPUState, CPUX86State, TCGContext, TranslationBlock of the library is a void pointer
 * here. */
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
    X(void *, tb_gen_code_x86_64,                                                              \
      (void *cpu, uint64_t pc, uint64_t base, uint32_t flags, uint32_t cflags))                \
    X(void, abort, (void))                                                                     \
    X(void, tcg_tb_insert_x86_64, (void *tcg, void *block))                                    \
    X(void *, tcg_tb_alloc_x86_64, (void *tcg))                                                \
    X(void, tb_flush_x86_64, (void *cpu))                                                      \
    X(void, helper_raise_interrupt_x86_64, (struct uc_env * env, int number, int length))      \
    X(uint64_t, helper_inb_x86_64, (struct uc_env * env, uint32_t port))                       \
    X(uint64_t, helper_inw_x86_64, (struct uc_env * env, uint32_t port))                       \
    X(uint64_t, helper_inl_x86_64, (struct uc_env * env, uint32_t port))                       \
    X(void, helper_outb_x86_64, (struct uc_env * env, uint32_t port, uint32_t value))          \
    X(void, helper_outw_x86_64, (struct uc_env * env, uint32_t port, uint32_t value))          \
    X(void, helper_outl_x86_64, (struct uc_env * env, uint32_t port, uint32_t value))          \
    X(bool, cpu_restore_state_x86_64, (void *cpu, uintptr_t return_address, bool leaves))      \
    X(uint64_t, cpu_get_tsc_x86_64, (struct uc_env * env))
#define CALLED                                                                                 \
    X(void, tlb_set_page_with_attrs_x86_64,                                                    \
      (void *cpu, uint64_t va, uint64_t machine, uint32_t attributes, int protection,          \
       int index, uint64_t size))                                                              \
    X(void, tlb_set_dirty_x86_64, (void *cpu, uint64_t va))                                    \
    X(void, tlb_flush_x86_64, (void *cpu))                                                     \
    X(void, tlb_flush_page_x86_64, (void *cpu, uint64_t va))                                   \
    X(void, cpu_loop_exit_x86_64, (void *cpu))                                                 \
    X(void, cpu_loop_exit_restore_x86_64, (void *cpu, uintptr_t return_address))               \
    X(void, tb_invalidate_phys_range_x86_64, (uc_engine * uc, uint64_t start, uint64_t end))   \
    X(void *, tcg_tb_lookup_x86_64, (void *tcg, uintptr_t return_address))                     \
    X(void, update_fp_status_x86_64, (struct uc_env * env))                                    \
    X(void, update_mxcsr_status_x86_64, (struct uc_env * env))

#define X(type, name, parameters) __attribute__((visibility("default"))) type name parameters;
REPLACED
#undef X
struct uc_library {
#define X(type, name, parameters) type(*name) parameters;
    REPLACED CALLED
#undef X
};
/* The originals. */
extern struct uc_library library;
/* Null, or the name of a function that the library lacks. */
const char *uc_library_find(void);
/* Ends the run if there is one; called before the first CPU, too, by a Unicorn that is not
 * ours. */
void uc_library_need(void);

static inline void *at(void *base, size_t offset)
{
    return (unsigned char *)base + offset;
}

/* The CPU of the library's pointer, or null: one that is not ours. */
struct uc_shim *uc_shim_of_cpu(const void *cpu);
/* Ends the run at the instruction whose translated code called. */
noreturn_fn void uc_shim_leave(struct uc_shim *s, uintptr_t return_address);
void uc_shim_flush_now(struct uc_shim *s);
/* This CPU has no code of that page any more. */
void uc_shim_code_gone(struct uc_shim *s, uint64_t page);
/* A block was translated: counts itself from now on. */
void uc_shim_block_patch(struct uc_shim *s, void *block);
