// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/bench.c -- how fast ring 3 runs, beside qemu-x86_64 on the same program.
 *
 * Speeds are in CPU time of this process and of the peer's, taken in the same run, so that the
 * ratio says something on a busy machine, too. The program is tests/user/bench.c; what it needs
 * of a kernel is two system calls, answered here, so the figure is the engine's and not the
 * kernel's.
 *
 * Invariants
 *   - Instruction counts are exact and equal in every run.
 * Locking    none: one thread.
 */
#include "sim/engine/bench.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plat/plat.h"
#include "plat/plat_user.h"
#include "plat/plat_virt.h"
#include "sim/engine/engine.h"
#include "sim/platform/sim.h"

#define SYS_EXIT    60
#define STACK_END   0x7ffffff00000ull
#define STACK_PAGES 4u
#define FIRST_PAGE  0x400000ull
#define CPU_ROUNDS  "400"
#define NULL_CALLS  "2000000"
#define SLICE_NS    1000u

struct program {
    unsigned char *file;
    size_t size;
    uint64_t next_page;
    paddr_t root;
    struct plat_user_regs regs;
};

struct result {
    double seconds;
    uint64_t instructions, calls, slices;
    int status;
};

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t page_new(struct program *p)
{
    uint64_t page = p->next_page;

    p->next_page += PAGE_SIZE;
    memset(plat_map(paddr_make(page)), 0, PAGE_SIZE);
    return page;
}

/* Where the program's byte is, in a page of its own. */
static unsigned char *byte_at(struct program *p, uint64_t va)
{
    uint64_t table = p->root.raw;

    for (unsigned shift = 39;; shift -= 9) {
        uint64_t *entry = &((uint64_t *)plat_map(paddr_make(table)))[(va >> shift) & 511];

        if (!*entry)
            *entry = page_new(p) | 7;
        table = *entry & ~0xfffull;
        if (shift == 12)
            return (unsigned char *)plat_map(paddr_make(table)) + (va & 0xfff);
    }
}

static void bytes_put(struct program *p, uint64_t va, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        *byte_at(p, va + i) = ((const unsigned char *)bytes)[i];
}

/* False: not a static ELF program. */
static bool program_load(struct program *p, const char *what, const char *count)
{
    Elf64_Ehdr header;
    uint64_t stack[8] = {3};
    uint64_t top = STACK_END - 64;

    p->next_page = FIRST_PAGE;
    p->root = paddr_make(page_new(p));
    plat_user_root_init(p->root);
    if (p->size < sizeof(header))
        return false;
    memcpy(&header, p->file, sizeof(header));
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_type != ET_EXEC)
        return false;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr segment;
        size_t at = header.e_phoff + i * sizeof(segment);

        if (at + sizeof(segment) > p->size)
            return false;
        memcpy(&segment, p->file + at, sizeof(segment));
        if (segment.p_type != PT_LOAD)
            continue;
        if (segment.p_offset > p->size || segment.p_filesz > p->size - segment.p_offset)
            return false;
        bytes_put(p, segment.p_vaddr, p->file + segment.p_offset, segment.p_filesz);
        for (uint64_t va = segment.p_vaddr; va < segment.p_vaddr + segment.p_memsz; va++)
            (void)byte_at(p, va);
    }
    for (unsigned i = 1; i <= STACK_PAGES; i++)
        (void)byte_at(p, STACK_END - i * PAGE_SIZE);
    bytes_put(p, top, what, strlen(what) + 1);
    bytes_put(p, top + 32, count, strlen(count) + 1);
    stack[1] = stack[2] = top;
    stack[3] = top + 32;
    bytes_put(p, top - sizeof(stack), stack, sizeof(stack));
    plat_user_code_changed(paddr_make(FIRST_PAGE), p->next_page - FIRST_PAGE);
    p->regs = (struct plat_user_regs){.rip = header.e_entry, .rflags = 0x202};
    p->regs.gpr[4] = top - sizeof(stack);
    return true;
}

/* slice: nanoseconds of virtual time after which it is interrupted, 0 never. */
static struct result program_run(struct program *p, plat_ns slice)
{
    struct result r = {.status = -1};
    struct plat_user_trap trap;
    plat_ns start = plat_time_now();
    double cpu = cpu_seconds();
    bool irqs = plat_irq_save();

    for (;;) {
        if (slice)
            plat_timer_arm(plat_time_now() + slice);
        plat_user_run(&p->regs, p->root, &trap);
        if (trap.kind == PLAT_USER_INTERRUPT) {
            r.slices++;
        } else if (trap.kind == PLAT_USER_SYSCALL && p->regs.gpr[0] != SYS_EXIT) {
            r.calls++;
            p->regs.gpr[0] = 1;
        } else {
            break;
        }
    }
    plat_timer_arm(PLAT_NS_NEVER);
    plat_irq_restore(irqs);
    if (trap.kind == PLAT_USER_SYSCALL)
        r.status = (int)p->regs.gpr[7];
    r.seconds = cpu_seconds() - cpu;
    r.instructions = (plat_time_now() - start) * ENGINE_INSTRUCTIONS_PER_US / 1000;
    return r;
}

/* CPU seconds of `qemu-x86_64 FILE WHAT COUNT`; negative: it cannot be run. */
static double peer_seconds(const char *file, const char *what, const char *count)
{
    struct rusage usage;
    int status;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        execlp("qemu-x86_64", "qemu-x86_64", file, what, count, (char *)NULL);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child || status != 0)
        return -1;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/* What the peer takes for the counted work alone. */
static double peer_net(const char *file, const char *what, const char *count)
{
    double idle = peer_seconds(file, what, "0");
    double busy = peer_seconds(file, what, count);

    return idle < 0 || busy < idle ? -1 : busy - idle;
}

static void row(const char *name, double value, const char *unit, double peer)
{
    if (peer > 0)
        printf("%s,engine,%.0f,%s,qemu-x86_64 in the same run,%.0f,%.2f\n", name, value, unit,
               peer, value / peer);
    else
        printf("%s,engine,%.0f,%s,,,\n", name, value, unit);
}

static bool measure(struct program *p, const char *what, const char *count, plat_ns slice,
                    struct result *out)
{
    if (!program_load(p, what, count)) {
        fprintf(stderr, "orrery-sim: the file is not a static ELF program\n");
        return false;
    }
    *out = program_run(p, slice);
    if (out->status != 0)
        fprintf(stderr, "orrery-sim: the program failed in the engine\n");
    return out->status == 0;
}

int engine_bench(const char *file)
{
    static unsigned char area[PLAT_FPU_AREA_SIZE] __attribute__((aligned(64)));
    struct program p = {.file = NULL};
    struct result r;
    double peer;
    FILE *f = fopen(file, "rb");

    if (f) {
        p.file = malloc(1 << 20);
        p.size = p.file ? fread(p.file, 1, 1 << 20, f) : 0;
        fclose(f);
    }
    if (!p.size) {
        fprintf(stderr, "orrery-sim: cannot read %s; make bench builds it\n", file);
        free(p.file);
        return 3;
    }
    plat_fpu_area_init(area);
    plat_fpu_load(area, 3);
    if (!measure(&p, "cpu", CPU_ROUNDS, 0, &r))
        return 3;
    peer = peer_net(file, "cpu", CPU_ROUNDS);
    row("user code", (double)r.instructions / r.seconds / 1e6, "MIPS",
        peer > 0 ? (double)r.instructions / peer / 1e6 : 0);
    if (!measure(&p, "cpu", CPU_ROUNDS, SLICE_NS, &r))
        return 3;
    // The peer knows no slices: it is what it runs without a stop.
    row("user code in slices of 1000", (double)r.instructions / r.seconds / 1e6, "MIPS",
        peer > 0 ? (double)r.instructions / peer / 1e6 : 0);
    row("slices of 1000", (double)r.slices / r.seconds / 1e3, "thousand/s",
        peer > 0 ? (double)r.slices / peer / 1e3 : 0);
    if (!measure(&p, "null", NULL_CALLS, 0, &r))
        return 3;
    peer = peer_net(file, "null", NULL_CALLS);
    row("null system call to the kernel", (double)r.calls / r.seconds / 1e3, "thousand/s",
        peer > 0 ? (double)r.calls / peer / 1e3 : 0);
    return 0;
}
