// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/irq_fixture.h -- a VM with nothing but interrupt controllers, and a clock to turn.
 *
 * The devices are the real ones. Under them is a platform of a few lines: time that moves when
 * the test says so, timers in a list, locks that complain when taken twice, kicks that are
 * counted. So a test shows what a controller did to a vCPU without a world, a scheduler or a
 * guest.
 *
 * Include it in one file of a test program: it defines what the devices call.
 */
#pragma once

#include <check.h>
#include <stdlib.h>

#include "core/heap.h"
#include "core/timer.h"
#include "plat/plat.h"
#include "vmm/dev/vioapic.h"
#include "vmm/dev/vpic.h"
#include "vmm/dev/vpit.h"
#include "vmm/vlapic.h"
#include "vmm/vm.h"
#include "tests/unit/suite_run.h"

#define FIXTURE_TSC_KHZ 2000000ull  // two cycles a nanosecond
#define FIXTURE_START   1000000ull  // the VM was powered on then

static struct fixture {
    plat_ns now;
    struct list timers;
    struct vm vm;
    struct vcpu vcpu[VM_VCPUS_MAX];
    unsigned kicks[VM_VCPUS_MAX];
    unsigned timers_run;
    bool locked;
    unsigned heap_blocks;
} fix;

/* ---- what the devices call ---- */

void *heap_alloc(size_t size, enum mem_owner owner)
{
    (void)owner;
    fix.heap_blocks++;
    return calloc(1, size);
}

void heap_free(void *pointer)
{
    fix.heap_blocks -= pointer != NULL;
    free(pointer);
}

plat_ns plat_time_now(void)
{
    return fix.now;
}

uint64_t plat_tsc_khz(void)
{
    return FIXTURE_TSC_KHZ;
}

plat_ns vm_time(const struct vm *vm)
{
    return fix.now - vm->power_on_time;
}

uint64_t vm_tsc(const struct vm *vm)
{
    return fix.now * 2 + vm->tsc_offset;
}

void vcpu_kick(struct vcpu *v)
{
    __atomic_fetch_add(&fix.kicks[v->index], 1, __ATOMIC_RELAXED);
}

void spin_lock_irqs_off(struct spinlock *lock)
{
    ck_assert_ptr_eq(lock, &fix.vm.lock);
    ck_assert_msg(!fix.locked, "vm->lock taken twice");
    fix.locked = true;
}

void spin_unlock_irqs_off(struct spinlock *lock)
{
    ck_assert_ptr_eq(lock, &fix.vm.lock);
    ck_assert(fix.locked);
    fix.locked = false;
}

bool spin_lock(struct spinlock *lock)
{
    spin_lock_irqs_off(lock);
    return true;
}

void spin_unlock(struct spinlock *lock, bool irqs_were_on)
{
    (void)irqs_were_on;
    spin_unlock_irqs_off(lock);
}

void timer_init(struct timer *timer, void (*callback)(struct timer *), void *owner)
{
    *timer = (struct timer){.callback = callback, .owner = owner};
    list_init(&timer->link);
}

void timer_arm(struct timer *timer, plat_ns deadline)
{
    list_remove(&timer->link);
    timer->deadline = deadline;
    timer->armed = true;
    list_add_tail(&fix.timers, &timer->link);
}

void timer_cancel(struct timer *timer)
{
    ck_assert_msg(!fix.locked, "timer cancelled under the lock that its callback may take");
    list_remove(&timer->link);
    timer->armed = false;
}

vmk_status vm_port_register(struct vm *vm, uint16_t base, uint16_t count,
                            const struct vm_io_ops *ops, void *device)
{
    vm->ports[vm->port_range_count++] = (struct vm_io_range){base, count, ops, device};
    return VMK_OK;
}

vmk_status vm_mmio_register(struct vm *vm, gpa_t base, uint64_t size,
                            const struct vm_io_ops *ops, void *device)
{
    vm->mmio[vm->mmio_range_count++] = (struct vm_io_range){base.raw, size, ops, device};
    return VMK_OK;
}

/* ---- what a test does ---- */

/* A VM of `vcpus`, its local APICs enabled by software, with PIC, IOAPIC and PIT. */
static void fixture_start(unsigned vcpus)
{
    fix = (struct fixture){.now = FIXTURE_START};
    list_init(&fix.timers);
    fix.vm.power_on_time = FIXTURE_START;
    fix.vm.vcpu_count = vcpus;
    for (unsigned i = 0; i < vcpus; i++) {
        fix.vcpu[i] = (struct vcpu){.vm = &fix.vm, .index = i, .sipi_vector = -1};
        fix.vcpu[i].state = i == 0 ? VCPU_RUNNING : VCPU_WAIT_SIPI;
        fix.vm.vcpus[i] = &fix.vcpu[i];
        ck_assert_int_eq(vlapic_create(&fix.vcpu[i]), VMK_OK);
        vlapic_mmio_write(&fix.vcpu[i], 0xf0, 0x1ff);
    }
    ck_assert_int_eq(vpic_create(&fix.vm), VMK_OK);
    ck_assert_int_eq(vioapic_create(&fix.vm), VMK_OK);
    ck_assert_int_eq(vpit_create(&fix.vm), VMK_OK);
}

static void fixture_stop(void)
{
    vpit_destroy(&fix.vm);
    vioapic_destroy(&fix.vm);
    vpic_destroy(&fix.vm);
    for (unsigned i = 0; i < fix.vm.vcpu_count; i++)
        vlapic_destroy(&fix.vcpu[i]);
    ck_assert_uint_eq(fix.heap_blocks, 0);
    ck_assert(list_is_empty(&fix.timers));
}

/* Time goes on; timers run at their deadlines. */
__attribute__((unused)) static void fixture_advance(plat_ns ns)
{
    plat_ns until = fix.now + ns;

    for (;;) {
        struct timer *next = NULL;
        list_for_each (node, &fix.timers) {
            struct timer *t = list_entry(node, struct timer, link);
            if (t->deadline <= until && (!next || t->deadline < next->deadline))
                next = t;
        }
        if (!next)
            break;
        fix.now = MAX(fix.now, next->deadline);
        list_remove(&next->link);
        next->armed = false;
        fix.timers_run++;
        next->callback(next);
    }
    fix.now = until;
}

/* Time jumps: the timers run once, late, as after a long time without this CPU. */
__attribute__((unused)) static void fixture_jump(plat_ns ns)
{
    fix.now += ns;
    fixture_advance(0);
}

static struct vm_io_range *fixture_range(struct vm_io_range *ranges, unsigned count,
                                         uint64_t address)
{
    for (unsigned i = 0; i < count; i++) {
        if (address >= ranges[i].base && address < ranges[i].base + ranges[i].size)
            return &ranges[i];
    }
    ck_abort_msg("nobody at %llx", (unsigned long long)address);
    return NULL;
}

__attribute__((unused)) static uint8_t port_in(uint16_t port)
{
    struct vm_io_range *r = fixture_range(fix.vm.ports, fix.vm.port_range_count, port);

    spin_lock_irqs_off(&fix.vm.lock);
    uint64_t value = r->ops->read(r->device, &fix.vcpu[0], port - r->base, 1);
    spin_unlock_irqs_off(&fix.vm.lock);
    return (uint8_t)value;
}

__attribute__((unused)) static void port_out(uint16_t port, uint8_t value)
{
    struct vm_io_range *r = fixture_range(fix.vm.ports, fix.vm.port_range_count, port);

    spin_lock_irqs_off(&fix.vm.lock);
    r->ops->write(r->device, &fix.vcpu[0], port - r->base, 1, value);
    spin_unlock_irqs_off(&fix.vm.lock);
}

__attribute__((unused)) static uint32_t mmio_in(uint64_t gpa)
{
    struct vm_io_range *r = fixture_range(fix.vm.mmio, fix.vm.mmio_range_count, gpa);

    spin_lock_irqs_off(&fix.vm.lock);
    uint64_t value = r->ops->read(r->device, &fix.vcpu[0], gpa - r->base, 4);
    spin_unlock_irqs_off(&fix.vm.lock);
    return (uint32_t)value;
}

__attribute__((unused)) static void mmio_out(uint64_t gpa, uint32_t value)
{
    struct vm_io_range *r = fixture_range(fix.vm.mmio, fix.vm.mmio_range_count, gpa);

    spin_lock_irqs_off(&fix.vm.lock);
    r->ops->write(r->device, &fix.vcpu[0], gpa - r->base, 4, value);
    spin_unlock_irqs_off(&fix.vm.lock);
}

/* A device moves its line. */
__attribute__((unused)) static void line(unsigned gsi, bool high)
{
    spin_lock_irqs_off(&fix.vm.lock);
    vm_irq_line_set(&fix.vm, gsi, high);
    spin_unlock_irqs_off(&fix.vm.lock);
}

/* The vCPU takes its highest interrupt, as the run loop does; -1: there is none. */
__attribute__((unused)) static int take(unsigned vcpu)
{
    int vector = vlapic_pending(&fix.vcpu[vcpu]);

    if (vector >= 0)
        vlapic_accept(&fix.vcpu[vcpu], (uint8_t)vector);
    return vector;
}

__attribute__((unused)) static void eoi(unsigned vcpu)
{
    vlapic_mmio_write(&fix.vcpu[vcpu], 0xb0, 0);
}

/* A test program's main. */
static int fixture_run(const char *name, void (*add)(TCase *))
{
    Suite *suite = suite_create(name);
    TCase *tests = tcase_create(name);

    add(tests);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
