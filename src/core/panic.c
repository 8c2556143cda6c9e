// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/panic.c -- the end of a host that found itself wrong.
 *
 * A wrong kernel must not go on writing to disks and guests, so it stops the other CPUs first
 * and then says everything it knows, without a lock and without memory: reason, place, CPU,
 * world, locks held, backtrace. Last an upper layer may save it (core_panic_hook()): the dump
 * partition. A panic inside the panic prints one line and stops.
 *
 * Invariants
 *   - Only one CPU ever prints (core.panicking); the others stop where they are.
 *   - Nothing here takes a lock or allocates.
 * Locking    none, on purpose.
 */
#include "core/assert.h"
#include "core/core_internal.h"
#include "core/symbols.h"
#include "core/trace_control.h"
#include "lib/format.h"
#include "plat/plat.h"

#define BACKTRACE_MAX 24u

static void print(const char *format, ...) printf_like(1, 2);

static void print(const char *format, ...)
{
    char text[LOG_LINE_MAX];
    va_list arguments;

    va_start(arguments, format);

    size_t length = (size_t)vmk_vsnprintf(text, sizeof(text), format, arguments);

    va_end(arguments);
    log_emergency_write(text, MIN(length, sizeof(text) - 1));
}

static void print_backtrace(void)
{
    uint64_t addresses[BACKTRACE_MAX];
    size_t count = plat_backtrace(addresses, BACKTRACE_MAX);

    for (size_t i = 0; i < count; i++) {
        uint64_t offset;
        const char *name = symbol_find(addresses[i], &offset);

        print("  [%2u] %016llx %s+0x%llx\n", (unsigned)i, (unsigned long long)addresses[i],
              name, (unsigned long long)offset);
    }
}

void core_panic_hook(void (*save)(const struct core_panic *panic))
{
    this_host()->core->panic_hook = save;
}

/* blueScreenTimeout=SECONDS: how long the screen stays; without it, for ever. */
static void restart_if_asked(void)
{
    const uint64_t seconds = core_option_u64("blueScreenTimeout", 0);
    const plat_ns until = plat_time_now() + seconds * 1000000000u;

    if (!seconds)
        return;
    print("  restarting in %llu s\n", (unsigned long long)seconds);
    while (plat_time_now() < until)
        plat_cpu_relax();
    plat_reset();
}

void vmk_panic_at(const char *file, int line, const char *format, ...)
{
    (void)plat_irq_save();

    struct core_state *core = this_host()->core;
    unsigned cpu = plat_cpu_self();
    uint32_t nobody = 0;
    char reason[LOG_LINE_MAX];
    va_list arguments;

    if (!__atomic_compare_exchange_n(&core->panicking, &nobody, cpu + 1, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        if (nobody == cpu + 1)
            print("panic within the panic, at %s:%d\n", file, line);
        plat_stop();
    }
    plat_cpus_halt_others();

    va_start(arguments, format);
    vmk_vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);

    plat_ns now = plat_time_now();

    TRACE(assert, .id = (uint32_t)line, .arg = cpu);
    print("\nPANIC: %s\n", reason);
    print("  at %s:%d, cpu%u, world %u, %llu.%06llu s after boot\n", file, line, cpu,
          core->world_id ? core->world_id() : 0, (unsigned long long)(now / 1000000000u),
          (unsigned long long)(now / 1000u % 1000000u));
    spin_print_held(print);
    print_backtrace();
    if (trace_panic(print))
        print("  and the reason again: %s\n", reason);
    if (core->panic_hook) {
        const struct core_panic panic = {
            reason, file, line, cpu, core->world_id ? core->world_id() : 0, now, print};

        // What this CPU holds is of no use to anybody any more, and must not stop a driver.
        core->cpus[cpu].held_count = 0;
        core->panic_hook(&panic);
    }
    restart_if_asked();
    plat_stop();
}
