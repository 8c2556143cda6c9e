// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/platform/fiber.c -- kernel contexts as fibers of one host thread.
 *
 * Each has a large stack of its own, whatever stack the kernel has made for it: that one is too
 * small for the C library under a sanitizer. AddressSanitizer is told of every switch, or it
 * would take the change of stack for an overrun.
 *
 * Locking    none: one thread.
 * Start at   fiber_switch(), plat_context_init()
 */
#define _GNU_SOURCE  // MAP_ANONYMOUS
#include <stdlib.h>
#include <sys/mman.h>

#include "sim/platform/platform_internal.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifndef WITH_ASAN
#define WITH_ASAN 0
#endif
#if WITH_ASAN
#include <sanitizer/common_interface_defs.h>
const char *__asan_default_options(void);
/* Fiber stacks and arenas are no roots for the leak finder. */
const char *__asan_default_options(void)
{
    return "detect_leaks=0:detect_stack_use_after_return=0";
}
#endif

#define FIBER_STACK_SIZE (256u << 10)

static void fiber_arrived(void)
{
#if WITH_ASAN
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
    if (sim.garbage) {
        munmap(sim.garbage->stack, sim.garbage->stack_size);
        free(sim.garbage);
        sim.garbage = NULL;
    }
}

void fiber_switch(struct fiber *to)
{
    struct fiber *from = sim.fiber;

    if (to == from)
        return;
    sim.fiber = to;
#if WITH_ASAN
    void *fake;

    __sanitizer_start_switch_fiber(&fake, to->stack, to->stack_size);
#endif
    swapcontext(&from->context, &to->context);
    fiber_arrived();
}

static void fiber_main(void)
{
    struct fiber *self = sim.fiber;

    fiber_arrived();
    if (self->cpu_entry)
        self->cpu_entry();
    else
        self->entry(self->argument);
    sim_fail("a context returned from its entry");
}

struct fiber *fiber_create(void)
{
    struct fiber *f = calloc(1, sizeof(*f));

    f->id = ++sim.fiber_ids;
    f->stack_size = FIBER_STACK_SIZE;
    f->stack = mmap(NULL, f->stack_size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (f->stack == MAP_FAILED)
        sim_fail("no memory for a stack");
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = f->stack_size;
    makecontext(&f->context, fiber_main, 0);
    return f;
}

void plat_context_init(struct plat_context *context, void *stack, size_t size,
                       void (*entry)(void *), void *argument)
{
    struct fiber *f = fiber_create();

    /* The kernel's stack is too small for the C library under a sanitizer; fibers bring
     * theirs. */
    (void)stack;
    (void)size;
    f->entry = entry;
    f->argument = argument;
    context->opaque[0] = f;
}

void plat_context_release(struct plat_context *context)
{
    struct fiber *f = context->opaque[0];

    context->opaque[0] = NULL;
    if (f) {
        munmap(f->stack, f->stack_size);
        free(f);
    }
}
