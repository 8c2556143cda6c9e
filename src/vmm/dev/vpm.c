// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vpm.c -- ACPI fixed hardware and the ways a PC is reset.
 *
 * PM1a status and enable, PM1a control (S5 powers the VM off), the 32-bit PM timer, the SCI on
 * IRQ 9, level-triggered, active high as the MADT says. The machine is always in ACPI mode:
 * SCI_EN reads 1 and there is no SMI command port. Resets come through port cf9 (the FADT's
 * reset register) or the keyboard controller's command fe at port 64; nothing else of that
 * controller exists, its ports read all ones.
 *
 * The PM timer's carry (TMR_STS) is not reported: a 32-bit timer that is read as such needs no
 * overflow interrupt, and no timer of the host has to run for it.
 *
 * Invariants
 *   - IRQ 9 is high exactly when status & enable != 0: line_update().
 * Locking    vm->lock.
 * Sources    [ACPI] "ACPI Hardware Specification", PM1 registers, PM timer
 */
#include "vmm/dev/vpm.h"

#include "lib/string.h"
#include "vmm/vm.h"

#define PM1_PWRBTN   0x0100u
#define PM1_WRITABLE 0x0721u  // TMR, BM/GBL, PWRBTN, SLPBTN, RTC
#define CNT_SCI_EN   0x0001u
#define CNT_SLP_EN   0x2000u
#define CNT_KEPT     0x1c02u  // SLP_TYP, BM_RLD
#define RESET_CPU    0x04u
#define KBC_PORT     0x64u
#define KBC_RESET    0xfeu

_Static_assert(VPM_EVENT_PORT == VM_PM_BASE, "one base for PM registers");

struct vpm {
    struct vm *vm;                     // (i)
    uint16_t status, enable, control;  // (w) vm->lock
    bool line;
};

static void line_update(struct vpm *pm)
{
    bool high = pm->status & pm->enable;

    if (high == pm->line)
        return;
    pm->line = high;
    vm_irq_line_set(pm->vm, VM_SCI_IRQ, high);
}

void vpm_power_button_locked(struct vpm *pm)
{
    pm->status |= PM1_PWRBTN;
    line_update(pm);
}

static uint32_t timer_value(const struct vpm *pm)
{
    plat_ns time = vm_time(pm->vm);
    uint64_t seconds = time / 1000000000u;
    uint64_t rest = time % 1000000000u;

    return (uint32_t)(seconds * VPM_TIMER_HZ + rest * VPM_TIMER_HZ / 1000000000u);
}

/* The registers as one 16-byte little-endian array, so that any width and place reads right. */
static void registers(const struct vpm *pm, uint8_t out[16])
{
    uint32_t timer = timer_value(pm);
    uint16_t control = pm->control | CNT_SCI_EN;

    memset(out, 0, 16);
    memcpy(out + 0, &pm->status, 2);
    memcpy(out + 2, &pm->enable, 2);
    memcpy(out + 4, &control, 2);
    memcpy(out + 8, &timer, 4);
}

static uint64_t vpm_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    uint8_t bytes[16];
    uint64_t value = 0;

    (void)v;
    registers(device, bytes);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)(offset + i < sizeof(bytes) ? bytes[offset + i] : 0xff) << (8 * i);
    return value;
}

static void control_write(struct vpm *pm, uint16_t value)
{
    pm->control = value & CNT_KEPT;
    if (!(value & CNT_SLP_EN))
        return;
    if (((value >> 10) & 7u) == VPM_SLP_TYP_S5)
        vm_stop(pm->vm, 0, "powered off by the guest");
}

/*
 * A byte of a register replaces its part; SLP_EN lives in the high byte, status bits clear by
 * 1.
 */
static void byte_write(struct vpm *pm, uint64_t offset, uint8_t byte)
{
    unsigned shift = offset & 1 ? 8 : 0;
    uint16_t mask = (uint16_t)(0xffu << shift);
    uint16_t value = (uint16_t)((unsigned)byte << shift);

    switch (offset & ~1ull) {
    case 0: pm->status &= (uint16_t)~value; break;
    case 2: pm->enable = (uint16_t)(((pm->enable & ~mask) | value) & PM1_WRITABLE); break;
    case 4: control_write(pm, (uint16_t)((pm->control & ~mask) | value)); break;
    default: break;
    }
}

static void vpm_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                      uint64_t value)
{
    struct vpm *pm = device;

    (void)v;
    for (unsigned i = 0; i < size; i++) {
        // A 16-bit write to control is one write: SLP_TYP and SLP_EN are in the same byte
        // anyway.
        byte_write(pm, offset + i, (uint8_t)(value >> (8 * i)));
    }
    line_update(pm);
}

static const struct vm_io_ops vpm_ops = {.read = vpm_read, .write = vpm_write};

void vpm_reset_control_write(struct vm *vm, uint8_t value)
{
    if (value & RESET_CPU)
        vm_request_reset(vm, "reset register");
}

static uint64_t kbc_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    (void)device;
    (void)v;
    (void)offset;
    (void)size;
    return UINT64_MAX;
}

static void kbc_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                      uint64_t value)
{
    struct vpm *pm = device;

    (void)v;
    (void)offset;
    (void)size;
    if ((value & 0xff) == KBC_RESET)
        vm_request_reset(pm->vm, "keyboard controller");
}

static const struct vm_io_ops kbc_ops = {.read = kbc_read, .write = kbc_write};

vmk_status vpm_create(struct vm *vm)
{
    struct vpm *pm = heap_alloc(sizeof(*pm), MEM_OWNER_VMM);
    vmk_status status;

    if (!pm)
        return VMK_NO_MEMORY;
    pm->vm = vm;
    status = vm_port_register(vm, VPM_EVENT_PORT, 16, &vpm_ops, pm);
    if (status == VMK_OK)
        status = vm_port_register(vm, KBC_PORT, 1, &kbc_ops, pm);
    if (status != VMK_OK) {
        heap_free(pm);
        return status;
    }
    vm->pm = pm;
    return VMK_OK;
}

void vpm_destroy(struct vm *vm)
{
    struct vpm *pm = vm->pm;
    bool irqs = spin_lock(&vm->lock);

    vm->pm = NULL;  // whoever presses the button looks under the lock
    spin_unlock(&vm->lock, irqs);
    heap_free(pm);
}
