// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/ioapic.c -- the IOAPIC: entries, edges and levels, masks, Remote IRR, every delivery mode.
 *
 * The line that it raises and drops at will is COM1's: an idle UART asserts it while IER asks
 * for "transmitter empty" and nobody has read IIR.
 */
#include "guest.h"

const char guest_name[] = "ioapic";

#define COM1        0x3f8
#define PIN         4u
#define IOAPIC      0xfec00000ull
#define EDGE        0x71u
#define LEVEL       0x82u

#define MODE_LOWEST 0x100u
#define MODE_SMI    0x200u
#define MODE_NMI    0x400u
#define MODE_INIT   0x500u
#define MODE_EXTINT 0x700u
#define LOGICAL     0x800u
#define ACTIVE_LOW  0x2000u
#define REMOTE_IRR  0x4000u
#define TRIGGER     0x8000u
#define MASKED      0x10000u

static volatile unsigned edges, levels, nmis, pics, keep, other_count, cpus;
static volatile uint32_t irr_in_handler, tmr_in_handler, handled_on;
static volatile bool reconfigure;
static uint32_t self;

static uint32_t io_read(unsigned reg)
{
    *(volatile uint32_t *)(uintptr_t)IOAPIC = reg;
    return *(volatile uint32_t *)(uintptr_t)(IOAPIC + 0x10);
}

static void io_write(unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)(uintptr_t)IOAPIC = reg;
    *(volatile uint32_t *)(uintptr_t)(IOAPIC + 0x10) = value;
}

static uint32_t low(void)
{
    return io_read(0x10 + 2 * PIN);
}

static void entry(uint32_t destination, uint32_t value)
{
    io_write(0x10 + 2 * PIN, MASKED);
    io_write(0x11 + 2 * PIN, destination << 24);
    io_write(0x10 + 2 * PIN, value);
}

static void line(bool up)
{
    outb(COM1 + 4, 0x0b);
    outb(COM1 + 1, up ? 2 : 0);
}

static void pulse(void)
{
    line(true);
    line(false);
}

static void window(void)
{
    __asm__ volatile("sti; nop; nop; nop; cli" : : : "memory");
}

static bool in_tmr(unsigned vector)
{
    return apic_read(0x180 + vector / 32 * 0x10) >> vector % 32 & 1;
}

static void on_edge(struct guest_frame *frame)
{
    (void)frame;
    handled_on = apic_id();
    tmr_in_handler = in_tmr(EDGE);
    apic_eoi();
    edges++;  // behind the end: whoever waits for it may ask who has the lower priority
}

static void on_level(struct guest_frame *frame)
{
    (void)frame;
    handled_on = apic_id();
    irr_in_handler = low() & REMOTE_IRR;
    tmr_in_handler = in_tmr(LEVEL);
    levels++;
    if (reconfigure)
        io_write(0x10 + 2 * PIN, EDGE | MASKED);
    if (levels > keep)
        line(false);
    apic_eoi();
}

static void on_nmi(struct guest_frame *frame)
{
    (void)frame;
    nmis++;
}

static void on_pic(struct guest_frame *frame)
{
    (void)frame;
    pics++;
    outb(0x20, 0x20);
}

static void registers(void)
{
    uint32_t version = io_read(1);

    expect((version & 0xff) >= 0x11 && (version & 0xff) < 0x30, "the version is an IOAPIC's");
    expect_equal(version >> 16 & 0xff, 23, "24 entries");
    for (unsigned pin = 0; pin < 24; pin++)
        expect_equal(io_read(0x10 + 2 * pin), MASKED, "an entry is masked at power-up");
    io_write(0, 0x05000000);
    expect_equal(io_read(0), 0x05000000, "the id is writable");
    io_write(0, 0xffffffff);
    expect_equal(io_read(0), 0x0f000000, "and has four bits");
    io_write(0, 0);
    io_write(1, 0);
    expect_equal(io_read(1), version, "the version is not writable");
    *(volatile uint32_t *)(uintptr_t)IOAPIC = 0x12;
    expect_equal(*(volatile uint32_t *)(uintptr_t)IOAPIC, 0x12, "the index reads back");
    io_write(0x11 + 2 * PIN, 0xffffffff);
    expect_equal(io_read(0x11 + 2 * PIN), 0xff000000, "the destination has eight bits");
    io_write(0x10 + 2 * PIN, 0xffffffff);
    expect_equal(low(), 0x1afff, "delivery status and Remote IRR are read-only");
    io_write(0x10 + 2 * PIN, MASKED);
}

static void edge(void)
{
    edges = 0;
    entry(self, EDGE);
    line(true);
    window();
    expect_equal(edges, 1, "a rise is an interrupt");
    expect_equal(tmr_in_handler, 0, "an edge has no TMR bit");
    window();
    expect_equal(edges, 1, "a line that stays up is no other");
    line(false);
    window();
    expect_equal(edges, 1, "nor is a fall");
    pulse();
    pulse();
    window();
    expect_equal(edges, 2, "two rises before it is taken are one");
    io_write(0x10 + 2 * PIN, EDGE | MASKED);
    line(true);
    io_write(0x10 + 2 * PIN, EDGE);
    window();
    expect_equal(edges, 2, "a rise of a masked entry is lost");
    line(false);
    pulse();
    window();
    expect_equal(edges, 3, "the next one is not");
    line(true);
    entry(self, EDGE | ACTIVE_LOW);
    expect_equal(low() & ACTIVE_LOW, ACTIVE_LOW, "the polarity reads back");
    line(false);
    entry(self, EDGE);
    window();
    edges = 0;
}

static void level(void)
{
    levels = keep = 0;
    entry(self, LEVEL | TRIGGER);
    line(true);
    window();
    expect_equal(levels, 1, "a level is an interrupt");
    expect_equal(irr_in_handler, REMOTE_IRR, "Remote IRR is up while it is served");
    expect_equal(tmr_in_handler, 1, "and TMR has its bit");
    expect_equal(low() & REMOTE_IRR, 0, "the EOI takes Remote IRR down");
    levels = 0;
    keep = 3;
    line(true);
    window();
    window();
    expect_equal(levels, 4, "a level that stays comes again behind each EOI");
    levels = keep = 0;
    pulse();
    window();
    expect_equal(levels, 1, "a level that went before it is taken still comes");
    levels = 0;
    io_write(0x10 + 2 * PIN, LEVEL | TRIGGER | MASKED);
    line(true);
    window();
    expect_equal(levels, 0, "not while masked");
    io_write(0x10 + 2 * PIN, LEVEL | TRIGGER);
    window();
    expect_equal(levels, 1, "but then");
    // Masked between acceptance and EOI, and open again: once more only if the line is still
    // up.
    levels = 0;
    line(true);
    io_write(0x10 + 2 * PIN, LEVEL | TRIGGER | MASKED);
    expect_equal(low() & REMOTE_IRR, REMOTE_IRR, "masking leaves Remote IRR");
    window();
    expect_equal(levels, 1, "what was accepted comes");
    io_write(0x10 + 2 * PIN, LEVEL | TRIGGER);
    window();
    expect_equal(levels, 1, "and once");
    // Remote IRR goes by way of edge mode, and by the EOI register.
    levels = 0;
    line(true);
    expect_equal(low() & REMOTE_IRR, REMOTE_IRR, "Remote IRR before the interrupt is taken");
    line(false);
    io_write(0x10 + 2 * PIN, LEVEL | MASKED);
    expect_equal(low() & REMOTE_IRR, 0, "edge mode clears Remote IRR");
    window();
    expect_equal(levels, 1, "the interrupt is the local APIC's by then");
    entry(self, LEVEL | TRIGGER);
    line(true);
    line(false);
    *(volatile uint32_t *)(uintptr_t)(IOAPIC + 0x40) = LEVEL;
    expect_equal(low() & REMOTE_IRR, 0, "so does the EOI register");
    window();
    // The handler itself makes it an edge.
    levels = keep = 0;
    reconfigure = true;
    entry(self, LEVEL | TRIGGER);
    line(true);
    window();
    reconfigure = false;
    expect_equal(levels, 1, "an entry that its handler changes comes once");
    expect_equal(low(), EDGE | MASKED, "and has no Remote IRR");
    // The same vector as an edge again: TMR goes.
    entry(self, EDGE | TRIGGER);
    edges = 0;
    line(true);
    line(false);
    window();
    expect_equal(tmr_in_handler, 1, "TMR follows the last acceptance: level");
    entry(self, EDGE);
    pulse();
    window();
    expect_equal(tmr_in_handler, 0, "then edge");
}

static unsigned arrives(uint32_t destination, uint32_t value)
{
    edges = 0;
    entry(destination, value);
    pulse();
    window();
    return edges;
}

static void destinations(void)
{
    expect_equal(arrives(0x0e, EDGE), 0, "nobody has that id");
    expect_equal(arrives(0xff, EDGE), cpus, "the physical destination FF is everybody");
    apic_write(APIC_DFR, 0xffffffff);
    apic_write(APIC_LDR, 0x01000000);
    expect_equal(arrives(0x01, EDGE | LOGICAL), 1, "flat: its bit");
    expect_equal(arrives(0x81, EDGE | LOGICAL), 1, "flat: its bit and others");
    expect_equal(arrives(0x80, EDGE | LOGICAL), 0, "flat: another bit");
    expect_equal(arrives(0x01, EDGE | LOGICAL | MODE_LOWEST), 1, "lowest priority, one of one");
    apic_write(APIC_DFR, 0x0fffffff);
    apic_write(APIC_LDR, 0x32000000);
    expect_equal(arrives(0x32, EDGE | LOGICAL), 1, "cluster: its bit");
    expect_equal(arrives(0x3f, EDGE | LOGICAL), 1, "cluster: all of the cluster");
    expect_equal(arrives(0x31, EDGE | LOGICAL), 0, "cluster: another of the cluster");
    expect_equal(arrives(0x22, EDGE | LOGICAL), 0, "another cluster");
    expect_equal(arrives(0xf2, EDGE | LOGICAL), 1, "cluster F is every cluster");
    apic_write(APIC_DFR, 0xffffffff);
    apic_write(APIC_LDR, 0x01000000);
    expect_equal(arrives(self, EDGE | MODE_LOWEST), 1, "lowest priority, physical");
}

static void other_modes(void)
{
    guest_on(2, on_nmi);
    entry(self, MODE_NMI);
    line(true);
    window();
    expect_equal(nmis, 1, "NMI mode, whatever the vector");
    line(false);
    entry(self, MODE_NMI | TRIGGER | EDGE);
    pulse();
    window();
    expect_equal(nmis, 2, "NMIs are edges even if the entry says level");
    expect_equal(low() & REMOTE_IRR, 0, "and have no Remote IRR");
    expect_equal(arrives(self, EDGE | MODE_SMI), 0, "an SMI is nobody's");
    guest_on(2, NULL);
}

/* Pin 0 is the pair of 8259s: with ExtINT they say the vector. */
static void extint(void)
{
    outb(0x20, 0x11);
    outb(0x21, 0x50);
    outb(0x21, 4);
    outb(0x21, 1);
    outb(0xa0, 0x11);
    outb(0xa1, 0x58);
    outb(0xa1, 2);
    outb(0xa1, 1);
    outb(0xa1, 0xff);
    outb(0x21, 0xff & ~(1u << PIN));
    guest_on(0x50 + PIN, on_pic);
    apic_write(APIC_LVT_LINT0, MASKED | 0x700);
    entry(self, MASKED);
    pulse();
    window();
    expect_equal(pics, 0, "the PICs' output goes nowhere while LINT0 and pin 0 are masked");
    outb(0x21, 0xff);
    outb(0x20, 0x20);
    outb(0x21, 0xff & ~(1u << PIN));
    io_write(0x11, self << 24);
    io_write(0x10, MODE_EXTINT);
    line(true);
    window();
    expect_equal(pics, 1, "ExtINT through pin 0 has the PIC's vector");
    expect_equal(apic_read(APIC_ISR + 0x20), 0, "and no bit in ISR");
    line(false);
    line(true);
    window();
    expect_equal(pics, 2, "once more");
    line(false);
    io_write(0x10, MASKED);
    outb(0x21, 0xff);
}

static void other(unsigned number)
{
    (void)number;
    apic_write(APIC_DFR, 0xffffffff);
    apic_write(APIC_LDR, 0x02000000);
    __atomic_add_fetch(&other_count, 1, __ATOMIC_SEQ_CST);
    for (;;)
        wait_irq();
}

/* One vector, who takes it. */
static uint32_t taken_by(uint32_t destination, uint32_t value)
{
    edges = 0;
    handled_on = ~0u;
    entry(destination, value);
    pulse();
    window();
    while (!edges)
        __asm__ volatile("pause");
    return handled_on;
}

static void two_processors(void)
{
    const uint32_t second = guest_apic_ids[1];

    expect_equal(taken_by(second, EDGE), second, "physical, to the second processor");
    expect_equal(taken_by(0x02, EDGE | LOGICAL), second, "logical, to the second processor");
    apic_write(APIC_TPR, 0x60);
    expect_equal(taken_by(0x03, EDGE | LOGICAL | MODE_LOWEST), second,
                 "the lower priority takes it");
    apic_write(APIC_TPR, 0);
    keep = 0;
    levels = 0;
    entry(second, LEVEL | TRIGGER);
    line(true);
    while (!levels || (low() & REMOTE_IRR))
        __asm__ volatile("pause");
    expect_equal(handled_on, second, "a level, served by the second");
    expect_equal(levels, 1, "once");
}

void guest_main(void)
{
    self = apic_id();
    cpus = 1;
    apic_enable();
    apic_write(APIC_LVT_LINT0, MASKED);
    guest_on(EDGE, on_edge);
    guest_on(LEVEL, on_level);
    line(false);
    registers();
    edge();
    level();
    destinations();
    other_modes();
    extint();
    if (guest_cpu_count() > 1) {
        guest_start_others(other);
        while (!other_count)
            __asm__ volatile("pause");
        two_processors();
    }
}
