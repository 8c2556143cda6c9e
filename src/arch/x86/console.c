// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/console.c -- where text goes: serial ports, port 0xE9, and the screen (screen.c).
 *
 * Polled, so that it works in a panic and before interrupts do.
 *
 * Invariants
 *   - Every wait is bounded: a port that does not answer loses characters, it stops nobody.
 * Locking    none: the log serialises its own lines, and a panic must get through whoever was
 *            writing.
 *            Two writers at once can mix characters, nothing worse.
 * Sources    [PC16550D]
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/insn.h"

static const uint16_t uart_ports[2] = {0x3f8, 0x2f8};
static bool uart_present[2];
static uint8_t uart_room[2];  // bytes the FIFO takes without asking

static bool debug_port;  // 0xE9 answers: Bochs, or QEMU's debugcon

/* ---- serial ---- */
static void uart_init(unsigned port)
{
    const uint16_t io = uart_ports[port];

    insn_outb((uint16_t)(io + 7), 0x5a);  // scratch: is anybody there?
    uart_present[port] = insn_inb((uint16_t)(io + 7)) == 0x5a;
    if (!uart_present[port])
        return;
    insn_outb((uint16_t)(io + 1), 0);     // no interrupts
    insn_outb((uint16_t)(io + 3), 0x80);  // divisor
    insn_outb(io, 1);                     // 115200
    insn_outb((uint16_t)(io + 1), 0);
    insn_outb((uint16_t)(io + 3), 3);  // 8n1
    insn_outb((uint16_t)(io + 2), 7);  // FIFO on and empty
    insn_outb((uint16_t)(io + 4), 3);  // DTR, RTS
}

static void uart_put(unsigned port, char c)
{
    const uint16_t io = uart_ports[port];

    if (uart_room[port] == 0) {
        for (unsigned i = 0; i < 1000000 && !(insn_inb((uint16_t)(io + 5)) & 0x20); i++)
            insn_pause();
        uart_room[port] = 16;
    }
    uart_room[port]--;
    insn_outb(io, (uint8_t)c);
}

void plat_serial_write(unsigned port, const char *text, size_t length)
{
    if (port >= ARRAY_COUNT(uart_ports) || !uart_present[port])
        return;
    uart_room[port] = 0;
    for (size_t i = 0; i < length; i++)
        uart_put(port, text[i]);
}

int plat_serial_read(unsigned port)
{
    if (port >= ARRAY_COUNT(uart_ports) || !uart_present[port] ||
        !(insn_inb((uint16_t)(uart_ports[port] + 5)) & 1))
        return -1;
    return insn_inb(uart_ports[port]);
}

void console_drain(void)
{
    for (unsigned port = 0; port < ARRAY_COUNT(uart_ports); port++)
        for (unsigned i = 0; uart_present[port] && i < 10000000 &&
                             !(insn_inb((uint16_t)(uart_ports[port] + 5)) & 0x40);
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
    uart_init(0);
    uart_init(1);
    debug_port = insn_inb(0xe9) == 0xe9;
}
