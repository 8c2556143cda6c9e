// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/console.c -- where text goes: serial ports, port 0xE9, and the screen (screen.c);
 * and what comes in at the serial ports.
 *
 * Output is polled, so that it works in a panic and before interrupts do. Input is fetched by
 * the port's interrupt into a ring: a UART keeps 16 bytes, which a line at 115200 baud fills in
 * 1.4 ms, and whoever reads the console looks every 10 ms. A reader that finds the ring empty
 * asks the port itself, so a port whose interrupt never comes is slow, not deaf.
 *
 * Invariants
 *   - Every wait is bounded: a port that does not answer loses characters, it stops nobody.
 *   - What the ring has no room for stays in the UART, so nothing is lost if the far end waits.
 * Locking    none for output: the log serialises its own lines, and a panic must get through
 *            whoever was writing. Two writers at once can mix characters, nothing worse.
 *            uart.lock (rank IO) for the ring and the register behind it.
 * Sources    [PC16550D]
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/insn.h"
#include "core/spinlock.h"
#include "plat/plat_dev.h"

#define UART_DATA          0
#define UART_INTERRUPTS    1  // with DLAB: the divisor's high byte
#define UART_FIFO          2
#define UART_LINE          3
#define UART_MODEM         4
#define UART_STATUS        5
#define UART_SCRATCH       7

#define INTERRUPT_RECEIVED 0x01
#define FIFO_ON_AND_EMPTY  0x07  // interrupts from the first byte on
#define LINE_8N1           0x03
#define LINE_DLAB          0x80
#define MODEM_DTR_RTS      0x03
#define MODEM_OUT2         0x08  // on a PC: lets the interrupt through
#define STATUS_RECEIVED    0x01
#define STATUS_ROOM        0x20
#define STATUS_IDLE        0x40

#define UART_FIFO_SIZE     16
#define RING_SIZE          4096u  // a power of two: `taken` and `put` wrap around

static struct uart {
    uint16_t io;   // (c)
    uint8_t isa;   // (c) its interrupt
    bool present;  // (i)
    uint8_t room;  // bytes the FIFO takes without asking
    struct spinlock lock;
    uint32_t taken, put;      // lock: bytes so far
    uint8_t ring[RING_SIZE];  // lock
} uarts[] = {{.io = 0x3f8, .isa = 4}, {.io = 0x2f8, .isa = 3}};

static bool debug_port;  // 0xE9 answers: Bochs, or QEMU's debugcon

/* ---- serial ---- */
static uint8_t uart_in(const struct uart *u, unsigned at)
{
    return insn_inb((uint16_t)(u->io + at));
}

static void uart_out(const struct uart *u, unsigned at, uint8_t value)
{
    insn_outb((uint16_t)(u->io + at), value);
}

static void uart_init(struct uart *u)
{
    spin_init(&u->lock, "uart", LOCK_RANK_IO);
    uart_out(u, UART_SCRATCH, 0x5a);  // is anybody there?
    u->present = uart_in(u, UART_SCRATCH) == 0x5a;
    if (!u->present)
        return;
    uart_out(u, UART_INTERRUPTS, 0);
    uart_out(u, UART_LINE, LINE_DLAB);
    uart_out(u, UART_DATA, 1);  // 115200
    uart_out(u, UART_INTERRUPTS, 0);
    uart_out(u, UART_LINE, LINE_8N1);
    uart_out(u, UART_FIFO, FIFO_ON_AND_EMPTY);
    uart_out(u, UART_MODEM, MODEM_DTR_RTS);
}

static void uart_put(struct uart *u, char c)
{
    if (u->room == 0) {
        for (unsigned i = 0; i < 1000000 && !(uart_in(u, UART_STATUS) & STATUS_ROOM); i++)
            insn_pause();
        u->room = UART_FIFO_SIZE;
    }
    u->room--;
    uart_out(u, UART_DATA, (uint8_t)c);
}

void plat_serial_write(unsigned port, const char *text, size_t length)
{
    if (port >= ARRAY_COUNT(uarts) || !uarts[port].present)
        return;
    uarts[port].room = 0;
    for (size_t i = 0; i < length; i++)
        uart_put(&uarts[port], text[i]);
}

/* Lock held. */
static void fetch(struct uart *u)
{
    while (u->put - u->taken < RING_SIZE && uart_in(u, UART_STATUS) & STATUS_RECEIVED)
        u->ring[u->put++ % RING_SIZE] = uart_in(u, UART_DATA);
}

/* Edge-triggered: the UART is emptied, or the next interrupt comes only after a reader did. */
static void received(void *argument)
{
    struct uart *u = argument;

    spin_lock_irqs_off(&u->lock);
    fetch(u);
    spin_unlock_irqs_off(&u->lock);
}

void console_listen(void)
{
    for (unsigned port = 0; port < ARRAY_COUNT(uarts); port++) {
        struct uart *u = &uarts[port];
        const struct plat_irq_line line = plat_irq_isa(u->isa, false);

        if (!u->present || !plat_irq_attach_line(&line, received, u))
            continue;
        uart_out(u, UART_MODEM, MODEM_DTR_RTS | MODEM_OUT2);
        uart_out(u, UART_INTERRUPTS, INTERRUPT_RECEIVED);
    }
}

int plat_serial_read(unsigned port)
{
    struct uart *u;
    int byte = -1;
    bool irqs;

    if (port >= ARRAY_COUNT(uarts) || !uarts[port].present)
        return -1;
    u = &uarts[port];
    irqs = spin_lock(&u->lock);
    if (u->taken == u->put)
        fetch(u);
    if (u->taken != u->put)
        byte = u->ring[u->taken++ % RING_SIZE];
    spin_unlock(&u->lock, irqs);
    return byte;
}

void console_drain(void)
{
    for (unsigned port = 0; port < ARRAY_COUNT(uarts); port++)
        for (unsigned i = 0; uarts[port].present && i < 10000000 &&
                             !(uart_in(&uarts[port], UART_STATUS) & STATUS_IDLE);
             i++)
            insn_pause();
}

void plat_console_write(const char *text, size_t length)
{
    for (size_t i = 0; debug_port && i < length; i++)
        insn_outb(0xe9, (uint8_t)text[i]);
    screen_write(text, length);
}

void console_init(void)
{
    for (unsigned port = 0; port < ARRAY_COUNT(uarts); port++)
        uart_init(&uarts[port]);
    debug_port = insn_inb(0xe9) == 0xe9;
}
