// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/engine_fixture.h -- page tables built by hand and programs in bytes, for the
 * engine.
 *
 * Programs are written as assembly in the test itself, position independent, between PROGRAM()
 * and its end; they are copied into simulated memory and mapped at CODE.
 */
#pragma once

#include <string.h>

#include "lib/x86.h"
#include "plat/plat.h"
#include "plat/plat_user.h"
#include "plat/plat_virt.h"
#include "sim/platform/sim.h"
#include "tests/unit/kernel_test.h"

#define CODE  0x400000ull
#define DATA  0x7f1234567000ull
#define STACK 0x7ffffffff000ull  // its end

#define RAX   0
#define RCX   1
#define RDX   2
#define RBX   3
#define RSP   4
#define RSI   6
#define RDI   7
#define R11   11

#define PROGRAM(name, text)                                                                    \
    extern const unsigned char name[], name##_end[];                                           \
    __asm__(".pushsection .rodata\n" #name ":\n" text "\n" #name "_end:\n.popsection\n")

/* Machine pages of a test: taken in order, never given back. */
static uint64_t next_page = 0x400000;

static inline paddr_t page_new(void)
{
    paddr_t page = paddr_make(next_page);

    next_page += PAGE_SIZE;
    memset(plat_map(page), 0, PAGE_SIZE);
    return page;
}

static inline uint64_t *pte_of(paddr_t root, uint64_t va)
{
    uint64_t *table = plat_map(root);

    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint64_t *entry = &table[(va >> shift) & 511];

        if (!(*entry & PTE_P))
            *entry = page_new().raw | PTE_P | PTE_W | PTE_U;
        table = plat_map(paddr_make(*entry & ~0xfffull));
    }
    return &table[(va >> 12) & 511];
}

static inline void map_page(paddr_t root, uint64_t va, paddr_t page, uint64_t bits)
{
    *pte_of(root, va) = page.raw | PTE_P | PTE_U | bits;
}

static inline paddr_t root_new(void)
{
    paddr_t root = page_new();

    plat_user_root_init(root);
    return root;
}

/* A space with the program at CODE, one page of data and one of stack. */
struct space {
    paddr_t root, code, data, stack;
    struct plat_user_regs regs;
    struct plat_user_trap trap;
};

static inline void space_make(struct space *s, const void *text, const void *end)
{
    size_t size = (size_t)((const char *)end - (const char *)text);

    ck_assert_uint_le(size, PAGE_SIZE);
    *s = (struct space){
        .root = root_new(), .code = page_new(), .data = page_new(), .stack = page_new()};
    memcpy(plat_map(s->code), text, size);
    plat_user_code_changed(s->code, PAGE_SIZE);
    map_page(s->root, CODE, s->code, 0);
    map_page(s->root, DATA, s->data, PTE_W | PTE_NX);
    map_page(s->root, STACK - PAGE_SIZE, s->stack, PTE_W | PTE_NX);
    s->regs.rip = CODE;
    s->regs.rflags = 0x202;
    s->regs.gpr[RSP] = STACK - 64;
}
#define SPACE(s, program) space_make(s, program, program##_end)

static inline void space_run(struct space *s)
{
    bool irqs = plat_irq_save();

    plat_user_run(&s->regs, s->root, &s->trap);
    plat_irq_restore(irqs);
}

/* Runs on over interrupts. */
static inline void space_run_to_trap(struct space *s)
{
    do
        space_run(s);
    while (s->trap.kind == PLAT_USER_INTERRUPT);
}

#define CHECK_EXCEPTION(s, number, error)                                                      \
    do {                                                                                       \
        ck_assert_int_eq((s)->trap.kind, PLAT_USER_EXCEPTION);                                 \
        ck_assert_uint_eq((s)->trap.vector, number);                                           \
        ck_assert_uint_eq((s)->trap.error_code, error);                                        \
    } while (0)
