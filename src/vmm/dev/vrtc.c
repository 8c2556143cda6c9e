// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vrtc.c -- the MC146818 of vmm/dev/mc146818.h as a device in the kernel.
 *
 * For a VM that no vmx looks after: one of a boot without user worlds, or of the hosted
 * simulation.
 * A VM with a vmx has the same machine there (docs/adr/0005). Here are what ring 3 has as
 * system calls: the time, a timer, the interrupt line.
 *
 * Invariants
 *   - After `closing` is set under vm->lock the timer is never armed again.
 * Locking    vm->lock. The timer callback holds nothing and takes it.
 * Start at   vrtc_read(), vrtc_write(), tick().
 */
#include "vmm/dev/vrtc.h"

#include "vmm/dev/mc146818.h"
#include "vmm/vm.h"

_Static_assert(MC146818_IRQ == VM_RTC_IRQ, "its line");

struct vrtc {
    struct vm *vm;  // (i)
    struct timer timer;
    bool closing;  // (w) vm->lock, as all below
    bool line;     // as the VM has it
    struct mc146818 machine;
};

/* After every call of the machine: its line and its next tick. */
static void settle(struct vrtc *r)
{
    uint64_t next = mc146818_next(&r->machine);

    if (r->machine.line != r->line) {
        r->line = r->machine.line;
        vm_irq_line_set(r->vm, VM_RTC_IRQ, r->line);
    }
    if (next != MC146818_NEVER && !r->closing)
        timer_arm(&r->timer, next);
}

static void tick(struct timer *timer)
{
    struct vrtc *r = timer->owner;

    spin_lock_irqs_off(&r->vm->lock);
    mc146818_tick(&r->machine, plat_time_now());
    settle(r);
    spin_unlock_irqs_off(&r->vm->lock);
}

static uint64_t vrtc_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    struct vrtc *r = device;
    uint32_t value = mc146818_read(&r->machine, plat_time_now(), (unsigned)offset, size);

    (void)v;
    settle(r);
    return value;
}

static void vrtc_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                       uint64_t value)
{
    struct vrtc *r = device;

    (void)v;
    mc146818_write(&r->machine, plat_time_now(), (unsigned)offset, size, (uint32_t)value);
    settle(r);
}

static const struct vm_io_ops vrtc_ops = {.read = vrtc_read, .write = vrtc_write};

vmk_status vrtc_create(struct vm *vm)
{
    struct vrtc *r = heap_alloc(sizeof(*r), MEM_OWNER_VMM);
    vmk_status status;

    if (!r)
        return VMK_NO_MEMORY;
    r->vm = vm;
    mc146818_init(&r->machine, plat_wall_time_at_boot(), plat_time_now(),
                  vm->low_page_count << PAGE_SHIFT, vm->vcpu_count);
    timer_init(&r->timer, tick, r);
    status = vm_port_register(vm, MC146818_PORT, MC146818_PORTS, &vrtc_ops, r);
    if (status != VMK_OK) {
        heap_free(r);
        return status;
    }
    vm->rtc = r;
    return VMK_OK;
}

void vrtc_destroy(struct vm *vm)
{
    struct vrtc *r = vm->rtc;
    bool irqs;

    if (!r)
        return;
    irqs = spin_lock(&vm->lock);
    r->closing = true;
    spin_unlock(&vm->lock, irqs);
    timer_cancel(&r->timer);
    vm->rtc = NULL;
    heap_free(r);
}
