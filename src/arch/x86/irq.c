// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/irq.c -- interrupts of devices: vectors, I/O APIC pins, message-signalled interrupts.
 *
 * A message gets a vector of its own and goes to one CPU. A line gets one vector however many
 * devices share it, and goes to CPU 0. Vectors are the same on all CPUs: 192 of them are more
 * than a machine of this size uses, and one table is easier to read than one per CPU.
 *
 * Invariants
 *   - A slot, once published, never changes or goes away, so the interrupt path reads without
 *     lock.
 *   - A level-triggered line is acknowledged (EOI) after its handlers have run, or it would
 *     fire again.
 * Locking    irq.lock (rank IO) for attaching; dispatch takes none.
 * Sources    SDM-3A "Message Signalled Interrupts"; 82093AA data sheet; ACPI 6.4 "Multiple APIC
 *            Description Table (MADT)"
 */
#include "arch/x86/arch_internal.h"
#include "core/log.h"
#include "core/spinlock.h"
#include "plat/plat_dev.h"

#define VECTORS    (VECTOR_TIMER - VECTOR_DEVICE)
#define SLOTS      384u
#define PINS_MAX   240u
#define LINES_MAX  64u

#define PIN_MASKED 0x10000u
#define PIN_LEVEL  0x8000u
#define PIN_LOW    0x2000u

struct slot {
    plat_irq_handler handler;
    void *argument;
    struct slot *next;  // same vector
};

static struct {
    struct spinlock lock;
    struct slot slots[SLOTS];
    unsigned slot_count, vector_count;
    struct slot *first[VECTORS];
    struct {
        uint32_t gsi;
        unsigned vector;
    } lines[LINES_MAX];
    unsigned line_count;
} irq;

/* ---- I/O APIC ---- */
static void pin_write(unsigned ioapic, unsigned pin, uint32_t low, uint32_t high)
{
    volatile uint32_t *window = plat_map(paddr_make(acpi_facts.ioapics[ioapic]));

    window[0] = 0x10 + 2 * pin;
    window[4] = PIN_MASKED;  // never half old, half new
    window[0] = 0x11 + 2 * pin;
    window[4] = high;
    window[0] = 0x10 + 2 * pin;
    window[4] = low;
}

static unsigned pin_count(unsigned ioapic)
{
    volatile uint32_t *window = plat_map(paddr_make(acpi_facts.ioapics[ioapic]));

    window[0] = 1;  // version
    return MIN((window[4] >> 16 & 0xff) + 1, PINS_MAX);
}

void irq_init(void)
{
    spin_init(&irq.lock, "irq", LOCK_RANK_IO);
    for (unsigned i = 0; i < acpi_facts.ioapic_count; i++) {
        (void)paging_map(acpi_facts.ioapics[i], PAGE_SIZE, true);
        for (unsigned pin = 0; pin < pin_count(i); pin++)
            pin_write(i, pin, PIN_MASKED, 0);
    }
}

static bool pin_of(uint32_t gsi, unsigned *ioapic, unsigned *pin)
{
    for (unsigned i = 0; i < acpi_facts.ioapic_count; i++) {
        const uint32_t base = acpi_facts.ioapic_gsis[i];

        if (gsi >= base && gsi - base < pin_count(i)) {
            *ioapic = i;
            *pin = gsi - base;
            return true;
        }
    }
    return false;
}

/* ---- attaching ---- */

/* With the lock held. The slot is whole before it can be seen. */
static bool add(unsigned vector, plat_irq_handler handler, void *argument)
{
    struct slot **end = &irq.first[vector - VECTOR_DEVICE];
    struct slot *s;

    if (irq.slot_count == SLOTS)
        return false;
    s = &irq.slots[irq.slot_count++];
    *s = (struct slot){handler, argument, NULL};
    while (*end)
        end = &(*end)->next;
    __atomic_store_n(end, s, __ATOMIC_RELEASE);
    return true;
}

/* With the lock held; 0: none is left. */
static unsigned new_vector(void)
{
    return irq.vector_count < VECTORS ? VECTOR_DEVICE + irq.vector_count++ : 0;
}

bool plat_irq_attach_msi(unsigned cpu, plat_irq_handler handler, void *argument,
                         struct plat_msi *out)
{
    bool irqs;
    bool good;
    unsigned vector;

    if (cpu >= arch_cpu_total || arch_cpus[cpu].apic_id > 255)  // 8 bits without remapping
        return false;
    irqs = spin_lock(&irq.lock);
    vector = new_vector();
    good = vector && add(vector, handler, argument);
    spin_unlock(&irq.lock, irqs);
    out->address = 0xfee00000u | arch_cpus[cpu].apic_id << 12;  // physical, fixed
    out->data = vector;                                         // edge
    return good;
}

bool plat_irq_attach_line(const struct plat_irq_line *line, plat_irq_handler handler,
                          void *argument)
{
    unsigned ioapic, pin, vector = 0;
    bool fresh;
    bool good;
    bool irqs;

    if (!pin_of(line->gsi, &ioapic, &pin))
        return false;
    irqs = spin_lock(&irq.lock);
    for (unsigned i = 0; i < irq.line_count; i++)
        if (irq.lines[i].gsi == line->gsi)
            vector = irq.lines[i].vector;
    fresh = !vector;
    if (fresh && irq.line_count < LINES_MAX)
        vector = new_vector();
    good = vector && add(vector, handler, argument);
    if (good && fresh) {
        irq.lines[irq.line_count].gsi = line->gsi;
        irq.lines[irq.line_count++].vector = vector;
        pin_write(ioapic, pin,
                  vector | (line->level ? PIN_LEVEL : 0) | (line->active_low ? PIN_LOW : 0),
                  arch_cpus[0].apic_id << 24);
    }
    spin_unlock(&irq.lock, irqs);
    return good;
}

struct plat_irq_line plat_irq_isa(unsigned isa, bool pci)
{
    struct plat_irq_line line = {.gsi = isa, .level = pci, .active_low = pci};

    for (unsigned i = 0; i < acpi_facts.override_count; i++) {
        const uint16_t flags = acpi_facts.overrides[i].flags;

        if (acpi_facts.overrides[i].irq != isa)
            continue;
        line.gsi = acpi_facts.overrides[i].gsi;
        if (flags & 3)  // 1 high, 3 low; 0: as the bus has it
            line.active_low = (flags & 3) == 3;
        if (flags >> 2 & 3)  // 1 edge, 3 level
            line.level = (flags >> 2 & 3) == 3;
    }
    return line;
}

bool plat_irq_route(pci_address at, unsigned pin, struct plat_irq_line *out)
{
    return acpi_pci_route(at.raw >> 16, at.raw >> 8 & 255, at.raw >> 3 & 31, pin, &out->gsi,
                          &out->level, &out->active_low);
}

/* ---- dispatch ---- */
void irq_dispatch(unsigned vector)
{
    const struct slot *s =
        __atomic_load_n(&irq.first[vector - VECTOR_DEVICE], __ATOMIC_ACQUIRE);

    for (; s; s = __atomic_load_n(&s->next, __ATOMIC_ACQUIRE))
        s->handler(s->argument);
    apic_eoi();
}
