// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/uc_shim.h -- one Unicorn CPU over the simulated machine's memory, made fast and
 * exact.
 *
 * Everything that depends on libunicorn's insides is behind this header (uc_shim.c) and behind
 * uc_env.h (uc_state.c); the rest of the engine sees a CPU that runs until a number of
 * instructions is done or something happens, and asks its owner for every translation.
 */
#pragma once

#include <stddef.h>

#include "lib/types.h"

struct uc_env;
struct uc_shim;
struct uc_shim_memory;

enum uc_shim_access {
    UC_SHIM_LOAD,
    UC_SHIM_STORE,
    UC_SHIM_FETCH
};

/* As whom: SMAP applies to the first. The numbers are the library's MMU indexes. */
enum uc_shim_mode {
    UC_SHIM_KERNEL_SMAP,
    UC_SHIM_USER,
    UC_SHIM_KERNEL
};

/* Where a page is and what may be done to it without asking again. */
struct uc_shim_page {
    uint64_t machine;  // address of the 4 KB page in the memory
    bool writable, executable;
};

struct uc_shim_owner {
    /*
     * Translates for one access and sets accessed and dirty bits. False: it faults; the CPU
     * stops with UC_SHIM_STOP_FAULT at that instruction, unless `probe`: then the CPU only
     * wanted to know, and what the owner keeps about the last fault must stay.
     */
    bool (*translate)(void *context, uint64_t va, enum uc_shim_access access,
                      enum uc_shim_mode mode, bool probe, struct uc_shim_page *out);
    /*
     * Data breakpoints: which accesses (1 load, 2 store) to any of these bytes are watched.
     * Null: none. Asked again only after a flush.
     */
    unsigned (*watched)(void *context, uint64_t va, uint64_t size);
    /* The time stamp counter after so many instructions of this run. */
    uint64_t (*tsc)(void *context, uint64_t executed);
    /* CPUID; null: libunicorn's own answer. In and out: EAX EBX ECX EDX. */
    void (*cpuid)(void *context, uint32_t regs[4]);
};

enum uc_shim_stop {
    UC_SHIM_STOP_LIMIT,      // that many instructions, rounded up to the end of a block
    UC_SHIM_STOP_SYSCALL,    // RIP is behind it, nothing else of it is done
    UC_SHIM_STOP_FAULT,      // a translation failed: fault_*
    UC_SHIM_STOP_EXCEPTION,  // number, error_code
    UC_SHIM_STOP_PORT,       // IN, OUT, INS, OUTS of port `number`; RIP is at it
    UC_SHIM_STOP_HALT,       // HLT; RIP is behind it
    UC_SHIM_STOP_WATCH,  // a watched access is next: fault_address, fault_size; RIP is at it
    UC_SHIM_STOP_ASKED,  // one of the owner's functions asked for it
};

struct uc_shim_exit {
    enum uc_shim_stop stop;
    uint64_t executed;  // instructions of this run
    uint64_t fault_address;
    enum uc_shim_access fault_access;
    unsigned fault_size;
    /* Vector, or 0x100 + SVM exit code when intercepts are on. */
    uint32_t number;
    uint32_t error_code;
    uint8_t port_size;
    bool port_in;
    bool software;    // INT n, INT3, INTO; RIP is at it
    uint32_t length;  // if software
};

/* Is this libunicorn the one the shim knows? Null, or what is wrong and what to do. */
const char *uc_shim_unusable(void);

/* The machine's memory: one for all CPUs of a host; it lives for ever. */
struct uc_shim_memory *uc_shim_memory_create(void *base, uint64_t size);
/* The kernel or a device changed bytes that may be code: forget what was translated from
 * them. */
void uc_shim_code_changed(struct uc_shim_memory *memory, uint64_t machine, uint64_t size);
/* Aborts the run with a message if a page is executed whose bytes are not those translated. */
void uc_shim_check_code(struct uc_shim_memory *memory, bool on);

struct uc_shim *uc_shim_create(struct uc_shim_memory *memory, const struct uc_shim_owner *owner,
                               void *context);
void uc_shim_destroy(struct uc_shim *s);
/* Runs from the state in uc_shim_env() until a stop. Not from within an owner's function. */
void uc_shim_run(struct uc_shim *s, uint64_t instructions, struct uc_shim_exit *exit);
struct uc_env *uc_shim_env(struct uc_shim *s);
/* After the x87 or SSE control word was changed there. */
void uc_shim_fpu_changed(struct uc_shim *s);
/* From now on the run also ends, asked, as soon as an external interrupt could be taken. */
void uc_shim_watch_interrupts(struct uc_shim *s, bool on);
/* For going over a watched access. */
void uc_shim_watch_data(struct uc_shim *s, bool on);
/* Forget translations of addresses; not from within a run. */
void uc_shim_flush(struct uc_shim *s);
void uc_shim_flush_page(struct uc_shim *s, uint64_t va);
/* What RDTSC adds to the virtual clock: a guest's offset. */
void uc_shim_tsc_offset(struct uc_shim *s, uint64_t offset);

/* For the benchmark and the tests. */
struct uc_shim_counts {
    uint64_t runs, blocks_learnt, fills, flushes, code_flushes, invalidations, code_full;
};
const struct uc_shim_counts *uc_shim_counts(const struct uc_shim *s);
/*
 * How many bytes of translated code each CPU keeps before it forgets all; for tests, which have
 * little code.
 */
void uc_shim_code_limit(size_t bytes);
