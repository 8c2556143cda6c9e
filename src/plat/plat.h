// SPDX-License-Identifier: BSD-2-Clause
/*
 * plat/plat.h -- everything the kernel asks of the machine under it.
 *
 * Two implementations, chosen at link time: src/arch/x86/ and sim/platform/. Under the
 * simulator a call marked [switch] may let another CPU run or virtual time move; nothing else
 * may. All other calls return the same answer for the same seed.
 * Calls inside `#ifndef ORRERY_METAL` are inline in the image: plat/plat_inline.h has their
 * bodies.
 *
 * Contexts: "any" means any interrupt state and any locks held; "irqs off" means the caller has
 * interrupts off. No call allocates.
 */
#pragma once

#include "plat/plat_types.h"
#ifdef ORRERY_METAL
#include "plat/plat_inline.h"
#endif

struct host;

/* Time. Monotone since boot, equal on all CPUs, never steps back. Any context. */
plat_ns plat_time_now(void);
#ifndef ORRERY_METAL
uint64_t plat_tsc_now(void);  // raw cycle counter, the guest's TSC before its offset
#endif
uint64_t plat_tsc_khz(void);  // calibrated; constant after boot
/* Seconds since 1970 at boot, from the RTC; a constant in the simulator. */
uint64_t plat_wall_time_at_boot(void);

/*
 * One one-shot timer per CPU; the latest call wins; PLAT_NS_NEVER disarms. When it is due the
 * handler given to plat_handlers_set() runs on this CPU with interrupts off. A deadline in the
 * past fires at once. Irqs off.
 */
void plat_timer_arm(plat_ns deadline);

/* CPUs are numbered 0..count-1, 0 is the one that booted. plat_cpu_self(): irqs off. */
#ifndef ORRERY_METAL
unsigned plat_cpu_self(void);
#endif
unsigned plat_cpu_count(void);
/*
 * Which core, last-level cache, package and NUMA node a CPU is in: each numbered from 0 over
 * the whole machine. Any context.
 */
struct plat_cpu_place {
    uint16_t core, llc, package, node;
};
struct plat_cpu_place plat_cpu_place(unsigned cpu);
/*
 * Starts a secondary CPU in `entry` on its own stack with irqs off; returns false on time-out.
 */
must_check bool plat_cpu_start(unsigned cpu, void (*entry)(void));
/* That CPU leaves guest or idle soon and calls the kick handler. Never waits. Any context. */
void plat_cpu_kick(unsigned cpu);
void plat_cpu_relax(void);  // [switch] inside every spin
/*
 * [switch] Turns interrupts on and waits for one, as one step; returns with them off. Irqs off.
 */
void plat_cpu_idle(void);

#ifndef ORRERY_METAL
bool plat_irq_save(void);            // turns interrupts off; returns: were they on
void plat_irq_restore(bool was_on);  // [switch] if it turns them on
bool plat_irq_enabled(void);
#endif

/* What the platform calls with interrupts off when something happens. Set once, before irqs. */
struct plat_handlers {
    void (*timer)(void);      // this CPU's one-shot timer is due
    void (*kick)(void);       // somebody called plat_cpu_kick() for this CPU
    void (*irq_exit)(void);   // last thing of every interrupt; may switch worlds
    void (*irq_enter)(void);  // before and after the work of every interrupt, irq_exit() not
    void (*irq_leave)(void);  // included; both or none
};
void plat_handlers_set(const struct plat_handlers *handlers);

/*
 * Contexts. A context is a saved stack pointer (metal) or a coroutine (simulator).
 * plat_context_init() prepares `context` so that the first switch to it calls entry(argument)
 * with irqs off on [stack, stack + size); entry must not return. plat_context_release() frees
 * what the simulator holds for it; the context must not be running.
 */
struct plat_context {
    void *opaque[4];
};
void plat_context_init(struct plat_context *context, void *stack, size_t size,
                       void (*entry)(void *), void *argument);
void plat_context_release(struct plat_context *context);
/* [switch] Irqs off; returns when somebody switches back to `from`. */
void plat_context_switch(struct plat_context *from, struct plat_context *to);

/* Memory. The regions do not overlap and are sorted; returns how many there are. */
size_t plat_memory_map(struct plat_region *out, size_t room);
/*
 * Where the kernel sees that machine address (direct map). All RAM and ACPI memory. Any
 * context.
 */
void *plat_map(paddr_t pa);
paddr_t plat_unmap_address(const void *va);  // its inverse, for direct-mapped addresses

/* Boot information. Strings and modules live as long as the host. */
const char *plat_command_line(void);
size_t plat_modules(const struct plat_module **out);

uint64_t plat_entropy(void);  // seeded under the simulator

/* Serial ports by index (0 = COM1, 1 = COM2) and the screen. Poll-mode writes. Any context. */
void plat_console_write(const char *text, size_t length);  // screen (and e9 where present)
void plat_serial_write(unsigned port, const char *text, size_t length);
/* One received byte, or -1. Any context. */
int plat_serial_read(unsigned port);
/* One scan code (set 1) of the machine's own keyboard, or -1. Any context. */
int plat_keyboard_read(void);

/*
 * A way out for traces, apart from the console: "disk", a disk whose model is the name below
 * (no other disk is ever written), or "com2". plat_trace_out_write() sends head and body as one
 * piece that begins on a new sector, and returns false when it fails or the disk is full. Irqs
 * off, one CPU at a time. Reset: forgets a piece that was cut short by a panic.
 */
#define PLAT_TRACE_DISK_MODEL "ORRERY TRACE"
must_check bool plat_trace_out_open(const char *where);
must_check bool plat_trace_out_write(const void *head, size_t head_size, const void *body,
                                     size_t body_size);
void plat_trace_out_reset(void);

/* Stops the other CPUs where they are (NMI); only plat_stop() or power off may follow. */
void plat_cpus_halt_others(void);
noreturn_fn void plat_stop(void);       // after a panic: halt; simulator: ends with status 3
noreturn_fn void plat_power_off(void);  // orderly
noreturn_fn void plat_reset(void);
/* Frame-pointer backtrace of the caller; stores return addresses, returns how many. */
size_t plat_backtrace(uint64_t *out, size_t room);

const struct host *plat_host_self(void);  // simulator: the host whose turn it is
/* Simulator with --shake: may switch here. Nothing on metal. [switch] */
void plat_shake_point(void);
