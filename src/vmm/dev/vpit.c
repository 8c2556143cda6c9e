// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vpit.c -- a VM's 8254 interval timer, and port 61 with its gate and speaker bits.
 *
 * Nothing ticks. A channel knows the tick at which its count was loaded, and its count and
 * output are computed from the ticks that guest time has made since. Only channel 0 needs the
 * host: a software timer waits for the next rise of its output and pulses line 0. Guests
 * calibrate their clocks against channel 2 by polling port 61, so what is read is exact to the
 * tick.
 *
 * A count written to a running mode 2 or 3 channel takes effect at the end of its period, as on
 * the chip; channel_sync() makes the change when somebody looks after that tick. BCD is
 * accepted and counts binary.
 *
 * Line 0 stays up from one rise to the next and is dropped just before it rises again, so that
 * a guest with interrupts off for half a period of mode 3 loses no tick. Ticks that are due
 * together come as one.
 *
 * The callback takes vm->lock, so nothing that holds it may cancel the timer. It is only moved;
 * a callback that finds nothing due goes away or waits for the right time.
 *
 * Invariants
 *   - reload is 1..65536 while counting.
 *   - start is never after now, except by a count just written.
 * Locking    vm->lock
 * Start at   channel_output(), channel_sync(), timer_fired()
 * Sources    [8254] Intel data sheet; port 61: [PIIX3] 2.5.5.1
 */
#include "vmm/dev/vpit.h"

#include "core/heap.h"
#include "core/timer.h"
#include "plat/plat.h"
#include "vmm/vm.h"

#define PIT_HZ          1193182ull
#define NS_PER_SECOND   1000000000ull
#define CHANNEL_COUNT   3u
#define TICK_NEVER      UINT64_MAX
#define PERIOD_MIN_NS   20000ull
#define REFRESH_TICKS   18u  // channel 1's usual count: memory refresh, 15 us

#define PORT61_GATE     0x01u
#define PORT61_WRITABLE 0x0fu
#define PORT61_REFRESH  0x10u
#define PORT61_OUT2     0x20u

enum access {
    ACCESS_LATCH,
    ACCESS_LOW,
    ACCESS_HIGH,
    ACCESS_BOTH
};

struct pit_channel {
    uint8_t mode;
    uint8_t access;  // enum access
    bool bcd;
    bool gate;
    bool counting;    // start and reload mean something
    bool null_count;  // a count was written and is not loaded yet
    uint32_t reload;
    uint32_t next_reload;  // 0: none waits
    uint64_t start;        // tick of the load (modes 1, 5: of the trigger)
    uint64_t paused;       // ticks counted when the gate closed (modes 0, 4)
    bool second_write, second_read;
    uint8_t low_byte;  // the first of two written
    bool count_latched, status_latched;
    uint16_t latched_count;
    uint8_t latched_status;
};

struct vpit {
    struct vm *vm;
    struct pit_channel channel[CHANNEL_COUNT];
    uint8_t port61;
    struct timer timer;  // channel 0's next rise
    uint64_t due;        // that tick, or TICK_NEVER
};

/* ---- time ---- */

static uint64_t ns_to_ticks(plat_ns ns)
{
    return ns / NS_PER_SECOND * PIT_HZ + ns % NS_PER_SECOND * PIT_HZ / NS_PER_SECOND;
}

/* The first nanosecond at which that tick has been made. */
static plat_ns ticks_to_ns(uint64_t ticks)
{
    return ticks / PIT_HZ * NS_PER_SECOND +
           (ticks % PIT_HZ * NS_PER_SECOND + PIT_HZ - 1) / PIT_HZ;
}

static uint64_t ticks_now(const struct vpit *p)
{
    return ns_to_ticks(vm_time(p->vm));
}

/* ---- a channel at a tick ---- */

static bool mode_repeats(const struct pit_channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

static bool mode_triggered(const struct pit_channel *c)
{
    return c->mode == 1 || c->mode == 5;
}

/* Ticks since the load, the closed gate's left out. */
static uint64_t channel_elapsed(const struct pit_channel *c, uint64_t now)
{
    if (!c->gate && !mode_triggered(c))
        return c->paused;
    return now > c->start ? now - c->start : 0;
}

/* A waiting count is loaded when its period has ended. */
static void channel_sync(struct pit_channel *c, uint64_t now)
{
    if (!c->next_reload || !c->counting || !c->gate || now < c->start + c->reload)
        return;
    // The period in which the count was written is the last: writes sync first.
    c->start += c->reload;
    c->reload = c->next_reload;
    c->next_reload = 0;
    c->null_count = false;
}

/*
 * Moves start to the beginning of the period that holds `now`, so that its end is the next one.
 */
static void channel_rebase(struct pit_channel *c, uint64_t now)
{
    uint64_t elapsed = channel_elapsed(c, now);

    if (mode_repeats(c) && c->counting && c->gate)
        c->start += elapsed / c->reload * c->reload;
}

static bool channel_output(const struct pit_channel *c, uint64_t now)
{
    uint64_t elapsed = channel_elapsed(c, now);

    if (!c->counting)
        return c->mode != 0;
    switch (c->mode) {
    case 0:
    case 1: return elapsed >= c->reload;
    case 2: return !c->gate || elapsed % c->reload != c->reload - 1 || c->reload == 1;
    case 3: return !c->gate || elapsed % c->reload < (c->reload + 1) / 2;
    default: return elapsed != c->reload;  // 4, 5: a strobe of one tick
    }
}

static uint16_t channel_count(const struct pit_channel *c, uint64_t now)
{
    uint64_t elapsed = channel_elapsed(c, now);

    if (!c->counting)
        return (uint16_t)c->reload;
    switch (c->mode) {
    case 2: return (uint16_t)(c->reload - elapsed % c->reload);
    case 3: {
        // Twice as fast, two half periods; an odd count begins one lower.
        uint64_t half = (c->reload + 1) / 2, at = elapsed % c->reload;
        uint64_t within = at < half ? at : at - half;
        return (uint16_t)((c->reload & ~1u) - 2 * within);
    }
    default: return (uint16_t)(c->reload - elapsed);  // goes on through zero
    }
}

/* The next tick after `now` at which the output rises, or TICK_NEVER. */
static uint64_t channel_next_rise(const struct pit_channel *c, uint64_t now)
{
    uint64_t elapsed = channel_elapsed(c, now);

    if (!c->counting || !c->gate)
        return TICK_NEVER;
    switch (c->mode) {
    case 0:
    case 1: return elapsed < c->reload ? c->start + c->reload : TICK_NEVER;
    case 2:
    case 3: return c->start + (elapsed / c->reload + 1) * c->reload;
    default: return elapsed <= c->reload ? c->start + c->reload + 1 : TICK_NEVER;
    }
}

/* ---- channel 0's interrupt ---- */

static void irq_arm(struct vpit *p, uint64_t now)
{
    p->due = channel_next_rise(&p->channel[0], now);
    if (p->due != TICK_NEVER)
        timer_arm(&p->timer, plat_time_now() + (ticks_to_ns(p->due) - vm_time(p->vm)));
}

static void timer_fired(struct timer *timer)
{
    struct vpit *p = timer->owner;

    spin_lock_irqs_off(&p->vm->lock);
    struct pit_channel *c = &p->channel[0];
    uint64_t now = ticks_now(p);
    if (p->due <= now) {
        vm_irq_line_set(p->vm, 0, false);
        vm_irq_line_set(p->vm, 0, true);
        channel_sync(c, now);
        // A count of a few ticks would leave the CPU no time for anything else.
        uint64_t from =
            c->reload < ns_to_ticks(PERIOD_MIN_NS) ? now + ns_to_ticks(PERIOD_MIN_NS) : now;
        irq_arm(p, from);
    } else if (p->due != TICK_NEVER) {
        irq_arm(p, now);
    }
    spin_unlock_irqs_off(&p->vm->lock);
}

/*
 * After a write to a channel: channel 0's line and timer follow. The line only falls here: the
 * rise that a new mode gives the output on the chip would be one interrupt too many for most
 * guests.
 */
static void channel_changed(struct vpit *p, unsigned index, uint64_t now)
{
    if (index != 0)
        return;
    if (!channel_output(&p->channel[0], now))
        vm_irq_line_set(p->vm, 0, false);
    irq_arm(p, now);
}

/* ---- registers ---- */

static void count_write(struct pit_channel *c, uint16_t value, uint64_t now)
{
    uint32_t reload = value ? value : 0x10000u;

    if (mode_repeats(c) && c->counting && c->gate) {
        channel_rebase(c, now);
        c->next_reload = reload;
        c->null_count = true;
        return;
    }
    c->reload = reload;
    c->next_reload = 0;
    if (mode_triggered(c)) {
        // Waits for the gate; a run under way keeps its end only on the chip.
        c->null_count = true;
        return;
    }
    c->counting = true;
    c->null_count = false;
    c->start = now;
    c->paused = 0;
}

static void data_write(struct vpit *p, unsigned index, uint8_t value)
{
    struct pit_channel *c = &p->channel[index];
    uint64_t now = ticks_now(p);

    channel_sync(c, now);
    switch ((enum access)c->access) {
    case ACCESS_LOW: count_write(c, value, now); break;
    case ACCESS_HIGH: count_write(c, (uint16_t)(value << 8), now); break;
    default:
        c->second_write = !c->second_write;
        if (c->second_write) {
            c->low_byte = value;
            if (c->mode == 0)  // the first byte stops the count
                c->counting = false;
            break;
        }
        count_write(c, (uint16_t)(c->low_byte | value << 8), now);
        break;
    }
    channel_changed(p, index, now);
}

static uint8_t data_read(struct vpit *p, unsigned index)
{
    struct pit_channel *c = &p->channel[index];
    uint64_t now = ticks_now(p);

    if (c->status_latched) {
        c->status_latched = false;
        return c->latched_status;
    }
    channel_sync(c, now);
    uint16_t count = c->count_latched ? c->latched_count : channel_count(c, now);
    bool high = c->access == ACCESS_HIGH;
    bool last = true;
    if (c->access == ACCESS_BOTH) {
        high = c->second_read;
        last = c->second_read;
        c->second_read = !c->second_read;
    }
    if (last)
        c->count_latched = false;
    return (uint8_t)(high ? count >> 8 : count);
}

static void count_latch(struct pit_channel *c, uint64_t now)
{
    if (c->count_latched)
        return;
    channel_sync(c, now);
    c->latched_count = channel_count(c, now);
    c->count_latched = true;
}

static void status_latch(struct pit_channel *c, uint64_t now)
{
    if (c->status_latched)
        return;
    channel_sync(c, now);
    c->latched_status = (uint8_t)(channel_output(c, now) << 7 | c->null_count << 6 |
                                  c->access << 4 | c->mode << 1 | c->bcd);
    c->status_latched = true;
}

static void control_write(struct vpit *p, uint8_t value)
{
    unsigned index = value >> 6;
    unsigned access = (value >> 4) & 3u;
    uint64_t now = ticks_now(p);

    if (index == CHANNEL_COUNT) {  // read-back; its two command bits are active low
        for (unsigned i = 0; i < CHANNEL_COUNT; i++) {
            if (!(value & (2u << i)))
                continue;
            if (!(value & 0x20u))
                count_latch(&p->channel[i], now);
            if (!(value & 0x10u))
                status_latch(&p->channel[i], now);
        }
        return;
    }
    struct pit_channel *c = &p->channel[index];
    if (access == ACCESS_LATCH) {
        count_latch(c, now);
        return;
    }
    unsigned mode = (value >> 1) & 7u;
    c->mode = (uint8_t)(mode > 5 ? mode - 4 : mode);
    c->access = (uint8_t)access;
    c->bcd = value & 1u;
    c->counting = false;
    c->null_count = true;
    c->next_reload = 0;
    c->second_write = c->second_read = false;
    c->count_latched = c->status_latched = false;
    channel_changed(p, index, now);
}

static uint64_t vpit_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    (void)v;
    (void)size;
    return offset < CHANNEL_COUNT ? data_read(device, (unsigned)offset) : 0xff;
}

static void vpit_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                       uint64_t value)
{
    (void)v;
    (void)size;
    if (offset < CHANNEL_COUNT)
        data_write(device, (unsigned)offset, (uint8_t)value);
    else
        control_write(device, (uint8_t)value);
}

/* ---- port 61 ---- */

static void gate_set(struct pit_channel *c, bool open, uint64_t now)
{
    if (c->gate == open)
        return;
    channel_sync(c, now);
    if (!open) {
        c->paused = channel_elapsed(c, now);
        c->gate = false;
        return;
    }
    c->gate = true;
    switch (c->mode) {
    case 0:
    case 4: c->start = now - c->paused; break;
    default:  // a rising gate loads the count and starts
        if (c->next_reload)
            c->reload = c->next_reload;
        c->next_reload = 0;
        c->start = now;
        if (c->reload && (c->null_count || c->counting)) {
            c->counting = true;
            c->null_count = false;
        }
        break;
    }
}

static uint64_t port61_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    struct vpit *p = device;
    uint64_t now = ticks_now(p);
    uint8_t value = p->port61;

    (void)v;
    (void)offset;
    (void)size;
    channel_sync(&p->channel[2], now);
    if (now / REFRESH_TICKS & 1)
        value |= PORT61_REFRESH;
    if (channel_output(&p->channel[2], now))
        value |= PORT61_OUT2;
    return value;
}

static void port61_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                         uint64_t value)
{
    struct vpit *p = device;

    (void)v;
    (void)offset;
    (void)size;
    p->port61 = (uint8_t)value & PORT61_WRITABLE;
    gate_set(&p->channel[2], value & PORT61_GATE, ticks_now(p));
}

static const struct vm_io_ops vpit_ops = {.read = vpit_read, .write = vpit_write};
static const struct vm_io_ops port61_ops = {.read = port61_read, .write = port61_write};

/* ---- life ---- */

/* Nothing counts. vm->lock held. */
static void vpit_reset(struct vm *vm)
{
    struct vpit *p = vm->pit;

    for (unsigned i = 0; i < CHANNEL_COUNT; i++) {
        p->channel[i] = (struct pit_channel){
            .mode = 3, .access = ACCESS_BOTH, .gate = i != 2, .reload = 0x10000u};
    }
    p->port61 = 0;
    p->due = TICK_NEVER;
}

vmk_status vpit_create(struct vm *vm)
{
    struct vpit *p = heap_alloc(sizeof(*p), MEM_OWNER_VMM);
    vmk_status status;

    if (!p)
        return VMK_NO_MEMORY;
    p->vm = vm;
    timer_init(&p->timer, timer_fired, p);
    vm->pit = p;
    vpit_reset(vm);
    status = vm_port_register(vm, 0x40, 4, &vpit_ops, p);
    if (status == VMK_OK)
        status = vm_port_register(vm, 0x61, 1, &port61_ops, p);
    return status;
}

void vpit_destroy(struct vm *vm)
{
    if (!vm->pit)
        return;
    // After this no callback arms it again, and one that did so before is cancelled.
    bool irqs = spin_lock(&vm->lock);
    vm->pit->due = TICK_NEVER;
    spin_unlock(&vm->lock, irqs);
    timer_cancel(&vm->pit->timer);
    heap_free(vm->pit);
    vm->pit = NULL;
}
