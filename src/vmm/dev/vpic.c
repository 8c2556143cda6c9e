// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vpic.c -- a VM's pair of 8259A interrupt controllers, the second behind line 2 of the first.
 *
 * Guests use it in one of two ways: as the only controller (early boot, small kernels), or to
 * move its vectors out of the way and mask everything. Both must be right, and the second must
 * not leave stray interrupts behind.
 *
 * A request is latched in IRR by a rise of its line and, as on the chip, withdrawn when the
 * line falls before the acknowledge; a level line (ELCR) is simply its level. So devices hold a
 * line until they are served. When the CPU acknowledges and nothing is there any more, the
 * answer is the chip's: line 7, with no bit in service.
 *
 * `output` keeps the vector the pair would answer now. It is recomputed after every change, so
 * the run loop asks before each entry with one load.
 *
 * Invariants
 *   - output is what an acknowledge would return, or -1 if INT is low.
 *   - Line 2 of the first chip is the second one's INT and nothing else.
 * Locking    vm->lock; output is read without it.
 * Start at   chip_request(), vpic_acknowledge()
 * Sources    [8259A] Intel data sheet; ELCR: [PIIX3] 2.5.3
 */
#include "vmm/dev/vpic.h"

#include "core/heap.h"
#include "vmm/dev/vioapic.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

#define CASCADE_LINE     2u

#define ICW1_INIT        0x10u
#define ICW1_NEEDS_ICW4  0x01u
#define ICW1_SINGLE      0x02u
#define ICW4_AUTO_EOI    0x02u
#define ICW4_FULLY_NEST  0x10u
#define OCW3_SELECT      0x08u
#define OCW3_READ_ENABLE 0x02u
#define OCW3_READ_ISR    0x01u
#define OCW3_POLL        0x04u
#define OCW3_MASK_ENABLE 0x40u
#define OCW3_MASK_ON     0x20u

/* OCW2 bits 7:5. */
enum ocw2 {
    OCW2_AUTO_ROTATE_OFF = 0,
    OCW2_EOI = 1,
    OCW2_NOTHING = 2,
    OCW2_EOI_SPECIFIC = 3,
    OCW2_AUTO_ROTATE_ON = 4,
    OCW2_EOI_ROTATE = 5,
    OCW2_SET_PRIORITY = 6,
    OCW2_EOI_SPECIFIC_ROTATE = 7,
};

/* What the next write to the data port is. */
enum chip_expects {
    EXPECT_MASK,
    EXPECT_ICW2,
    EXPECT_ICW3,
    EXPECT_ICW4
};

struct vpic_chip {
    uint8_t lines;  // levels now
    uint8_t irr, isr, imr;
    uint8_t level;  // ELCR: level-triggered lines
    uint8_t level_allowed;
    uint8_t base;    // vector of line 0
    uint8_t lowest;  // the line with the lowest priority
    enum chip_expects expects;
    bool needs_icw4, single;
    bool auto_eoi, auto_rotate;
    bool fully_nested;  // special: the master sees past its cascade line in service
    bool special_mask;
    bool read_isr;
    bool poll;
};

enum {
    MASTER,
    SLAVE
};

struct vpic {
    struct vm *vm;
    struct vpic_chip chip[2];
    int output;  // (a)
};

static uint8_t line_bit(unsigned line)
{
    return (uint8_t)(1u << line);
}

/*
 * The line of `set` that comes first in the rotation; 8 if there is none. Position, not number.
 */
static unsigned first_position(const struct vpic_chip *c, uint8_t set)
{
    for (unsigned position = 0; position < 8; position++) {
        if (set & line_bit((c->lowest + 1u + position) & 7u))
            return position;
    }
    return 8;
}

static unsigned position_line(const struct vpic_chip *c, unsigned position)
{
    return (c->lowest + 1u + position) & 7u;
}

/* The line that drives INT, or -1: the first unmasked request that beats what is in service. */
static int chip_request(const struct vpic_chip *c)
{
    uint8_t served = c->isr;

    if (c->special_mask)
        served &= (uint8_t)~c->imr;
    unsigned wanted = first_position(c, c->irr & (uint8_t)~c->imr);
    unsigned serving = first_position(c, served);
    if (wanted == 8)
        return -1;
    int line = (int)position_line(c, wanted);
    if (wanted < serving)
        return line;
    // Special fully nested: the slave may interrupt itself with something more urgent.
    return c->fully_nested && wanted == serving && line == (int)CASCADE_LINE ? line : -1;
}

static void line_set(struct vpic_chip *c, unsigned line, bool high)
{
    uint8_t bit = line_bit(line);
    bool rise = high && !(c->lines & bit);

    c->lines = high ? c->lines | bit : c->lines & (uint8_t)~bit;
    if (!high)
        c->irr &= (uint8_t)~bit;
    else if (rise || (c->level & bit))
        c->irr |= bit;
}

/* After any change: the cascade, the output, and word to the CPU. */
static void pair_update(struct vpic *p)
{
    struct vpic_chip *master = &p->chip[MASTER], *slave = &p->chip[SLAVE];
    int from_slave = chip_request(slave);
    int output = -1;

    // The slave's INT stays up for a second request, so the cascade input is a level.
    if (from_slave >= 0)
        master->irr |= line_bit(CASCADE_LINE);
    else
        master->irr &= (uint8_t)~line_bit(CASCADE_LINE);
    int line = chip_request(master);
    if (line == (int)CASCADE_LINE)
        output = slave->base + from_slave;
    else if (line >= 0)
        output = master->base + line;

    bool rise = output >= 0 && output != p->output;
    __atomic_store_n(&p->output, output, __ATOMIC_RELEASE);
    // The wire goes to pin 0 of the IOAPIC and to the boot processor's LINT0.
    if (rise)
        vioapic_irq(p->vm, 0, false);
    vioapic_irq(p->vm, 0, output >= 0);
    if (rise && p->vm->vcpus[0])
        vcpu_kick(p->vm->vcpus[0]);
}

void vpic_irq(struct vm *vm, unsigned irq, bool high)
{
    struct vpic *p = vm->pic;

    if (!p || irq >= 16 || irq == CASCADE_LINE)
        return;
    line_set(&p->chip[irq / 8], irq % 8, high);
    pair_update(p);
}

int vpic_pending(struct vm *vm)
{
    return vm->pic ? __atomic_load_n(&vm->pic->output, __ATOMIC_ACQUIRE) : -1;
}

/* Takes the request into service; returns the line, 7 when there is none. */
static unsigned chip_acknowledge(struct vpic_chip *c)
{
    int request = chip_request(c);

    if (request < 0)
        return 7;
    unsigned line = (unsigned)request;
    if (!(c->level & line_bit(line)))
        c->irr &= (uint8_t)~line_bit(line);
    if (!c->auto_eoi)
        c->isr |= line_bit(line);
    else if (c->auto_rotate)
        c->lowest = (uint8_t)line;
    return line;
}

static int pair_acknowledge(struct vpic *p)
{
    struct vpic_chip *master = &p->chip[MASTER], *slave = &p->chip[SLAVE];
    int request = chip_request(master);
    unsigned line = chip_acknowledge(master);
    int vector = master->base + (int)line;

    if (request == (int)CASCADE_LINE)
        vector = slave->base + (int)chip_acknowledge(slave);
    pair_update(p);
    return vector;
}

int vpic_acknowledge(struct vm *vm)
{
    bool irqs = spin_lock(&vm->lock);
    int vector = pair_acknowledge(vm->pic);

    spin_unlock(&vm->lock, irqs);
    return vector;
}

/* ---- command words ---- */

static void icw1_write(struct vpic_chip *c, uint8_t value)
{
    c->needs_icw4 = value & ICW1_NEEDS_ICW4;
    c->single = value & ICW1_SINGLE;
    c->expects = EXPECT_ICW2;
    c->imr = 0;
    c->isr = 0;
    // The edge sense is reset: a line that is up must fall and rise before it counts.
    c->irr = c->lines & c->level;
    c->lowest = 7;
    c->auto_eoi = c->auto_rotate = c->fully_nested = false;
    c->special_mask = c->read_isr = c->poll = false;
}

static void ocw2_write(struct vpic_chip *c, uint8_t value)
{
    enum ocw2 command = (enum ocw2)(value >> 5);
    unsigned line = value & 7u;
    uint8_t served = c->isr;

    switch (command) {
    case OCW2_AUTO_ROTATE_OFF: c->auto_rotate = false; break;
    case OCW2_AUTO_ROTATE_ON: c->auto_rotate = true; break;
    case OCW2_NOTHING: break;
    case OCW2_SET_PRIORITY: c->lowest = (uint8_t)line; break;
    case OCW2_EOI:
    case OCW2_EOI_ROTATE:
        // A line masked in special mask mode is not the one meant.
        if (c->special_mask)
            served &= (uint8_t)~c->imr;
        if (!served)
            break;
        line = position_line(c, first_position(c, served));
        c->isr &= (uint8_t)~line_bit(line);
        if (command == OCW2_EOI_ROTATE)
            c->lowest = (uint8_t)line;
        break;
    case OCW2_EOI_SPECIFIC: c->isr &= (uint8_t)~line_bit(line); break;
    case OCW2_EOI_SPECIFIC_ROTATE:
        c->isr &= (uint8_t)~line_bit(line);
        c->lowest = (uint8_t)line;
        break;
    }
}

static void ocw3_write(struct vpic_chip *c, uint8_t value)
{
    if (value & OCW3_POLL)
        c->poll = true;
    if (value & OCW3_READ_ENABLE)
        c->read_isr = value & OCW3_READ_ISR;
    if (value & OCW3_MASK_ENABLE)
        c->special_mask = (value & OCW3_MASK_ON) != 0;
}

static void data_write(struct vpic_chip *c, uint8_t value)
{
    switch (c->expects) {
    case EXPECT_MASK: c->imr = value; break;
    case EXPECT_ICW2:
        c->base = value & 0xf8u;
        c->expects = !c->single ? EXPECT_ICW3 : c->needs_icw4 ? EXPECT_ICW4 : EXPECT_MASK;
        break;
    case EXPECT_ICW3:  // the wiring is fixed
        c->expects = c->needs_icw4 ? EXPECT_ICW4 : EXPECT_MASK;
        break;
    case EXPECT_ICW4:
        c->auto_eoi = (value & ICW4_AUTO_EOI) != 0;
        c->fully_nested = (value & ICW4_FULLY_NEST) != 0;
        c->expects = EXPECT_MASK;
        break;
    }
}

/* ---- ports ---- */

static uint64_t vpic_read(struct vpic *p, unsigned which, bool data)
{
    struct vpic_chip *c = &p->chip[which];

    if (c->poll) {
        // A read in place of the acknowledge; bit 7 says that there was a request.
        c->poll = false;
        uint8_t there = chip_request(c) >= 0 ? 0x80u : 0u;
        uint8_t answer = (uint8_t)(there | chip_acknowledge(c));
        pair_update(p);
        return answer;
    }
    if (data)
        return c->imr;
    return c->read_isr ? c->isr : c->irr;
}

static void vpic_write(struct vpic *p, unsigned which, bool data, uint8_t value)
{
    struct vpic_chip *c = &p->chip[which];

    if (data)
        data_write(c, value);
    else if (value & ICW1_INIT)
        icw1_write(c, value);
    else if (value & OCW3_SELECT)
        ocw3_write(c, value);
    else
        ocw2_write(c, value);
    // The second chip has no cascade of its own.
    if (which == SLAVE)
        c->fully_nested = false;
    pair_update(p);
}

static uint64_t master_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    (void)v;
    (void)size;
    return vpic_read(device, MASTER, offset != 0);
}

static void master_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                         uint64_t value)
{
    (void)v;
    (void)size;
    vpic_write(device, MASTER, offset != 0, (uint8_t)value);
}

static uint64_t slave_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    (void)v;
    (void)size;
    return vpic_read(device, SLAVE, offset != 0);
}

static void slave_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                        uint64_t value)
{
    (void)v;
    (void)size;
    vpic_write(device, SLAVE, offset != 0, (uint8_t)value);
}

static uint64_t elcr_read(void *device, struct vcpu *v, uint64_t offset, unsigned size)
{
    const struct vpic *p = device;

    (void)v;
    // A 16-bit read takes both.
    if (size >= 2 && offset == 0)
        return (uint64_t)p->chip[MASTER].level | (uint64_t)p->chip[SLAVE].level << 8;
    return p->chip[offset & 1].level;
}

static void elcr_set(struct vpic_chip *c, uint8_t value)
{
    c->level = value & c->level_allowed;
    c->irr = (uint8_t)((c->irr & ~c->level) | (c->lines & c->level));
}

static void elcr_write(void *device, struct vcpu *v, uint64_t offset, unsigned size,
                       uint64_t value)
{
    struct vpic *p = device;

    (void)v;
    elcr_set(&p->chip[offset & 1], (uint8_t)value);
    if (size >= 2 && offset == 0)
        elcr_set(&p->chip[SLAVE], (uint8_t)(value >> 8));
    pair_update(p);
}

static const struct vm_io_ops master_ops = {.read = master_read, .write = master_write};
static const struct vm_io_ops slave_ops = {.read = slave_read, .write = slave_write};
static const struct vm_io_ops elcr_ops = {.read = elcr_read, .write = elcr_write};

/* State after power-up; the lines stay as the devices hold them. vm->lock held. */
static void vpic_reset(struct vm *vm)
{
    for (unsigned i = 0; i < 2; i++) {
        struct vpic_chip *c = &vm->pic->chip[i];

        icw1_write(c, 0);
        c->expects = EXPECT_MASK;
        c->imr = 0xff;  // what firmware leaves: nothing before the guest asks
        c->base = i == MASTER ? 0x08 : 0x70;
        c->level = 0;
        c->irr = 0;
        // Lines that cannot be level-triggered: timer, keyboard, cascade; RTC, coprocessor.
        c->level_allowed = i == MASTER ? 0xf8 : 0xde;
    }
    pair_update(vm->pic);
}

vmk_status vpic_create(struct vm *vm)
{
    struct vpic *p = heap_alloc(sizeof(*p), MEM_OWNER_VMM);
    vmk_status status;

    if (!p)
        return VMK_NO_MEMORY;
    p->vm = vm;
    p->output = -1;
    vm->pic = p;
    vpic_reset(vm);
    status = vm_port_register(vm, 0x20, 2, &master_ops, p);
    if (status == VMK_OK)
        status = vm_port_register(vm, 0xa0, 2, &slave_ops, p);
    if (status == VMK_OK)
        status = vm_port_register(vm, 0x4d0, 2, &elcr_ops, p);
    return status;
}

void vpic_destroy(struct vm *vm)
{
    heap_free(vm->pic);
    vm->pic = NULL;
}
