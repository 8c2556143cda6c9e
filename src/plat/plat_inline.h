// SPDX-License-Identifier: BSD-2-Clause
/*
 * plat/plat_inline.h -- the image's bodies of calls that are one or two instructions long.
 *
 * Included by plat.h and plat_virt.h in the image only. An exit, a lock and a switch make a
 * dozen of these calls, so calling cost more than doing: a CPUID exit got a tenth shorter. The
 * contracts stand with the declarations in those two headers; the simulator links functions of
 * the same names.
 *
 * Why not in arch/x86: the layers above may include plat/ and may not include arch/.
 */
#pragma once

#include "plat/plat_types.h"

static inline uint64_t plat_tsc_now(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* GS:0 is the index in struct arch_cpu (arch/x86/arch_internal.h asserts it). */
static inline unsigned plat_cpu_self(void)
{
    uint32_t index;

    __asm__ volatile("movl %%gs:0, %0" : "=r"(index));
    return index;
}

static inline bool plat_irq_enabled(void)
{
    uint64_t flags;

    __asm__ volatile("pushfq; popq %0" : "=r"(flags) : : "memory");
    return flags >> 9 & 1;
}

static inline bool plat_irq_save(void)
{
    bool was_on = plat_irq_enabled();

    __asm__ volatile("cli" : : : "memory");
    return was_on;
}

static inline void plat_irq_restore(bool was_on)
{
    if (was_on)
        __asm__ volatile("sti" : : : "memory");
}

static inline must_check bool plat_vmread(uint32_t field, uint64_t *value)
{
    bool failed;

    __asm__ volatile("vmread %2, %1" : "=@ccbe"(failed), "=r"(*value) : "r"((uint64_t)field));
    return !failed;
}

static inline must_check bool plat_vmwrite(uint32_t field, uint64_t value)
{
    bool failed;

    __asm__ volatile("vmwrite %1, %2"
                     : "=@ccbe"(failed)
                     : "r"(value), "r"((uint64_t)field)
                     : "memory");
    return !failed;
}
