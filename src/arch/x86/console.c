// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/console.c -- serial ports, the screen (VGA text or a linear framebuffer), port 0xE9.
 *
 * Polled and without a lock: the log serialises its own lines, and a panic must get through whoever
 * was writing. Two writers at once can mix characters, nothing worse. Every wait is bounded.
 * Sources: 16550 data sheet; IBM VGA text mode; Multiboot2 framebuffer tag.
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/font.h"
#include "arch/x86/insn.h"
#include "lib/string.h"

#define VGA_COLUMNS      80u
#define VGA_ROWS         25u
#define ATTRIBUTE_NORMAL 0x07u
#define ATTRIBUTE_PANIC  0x5fu  // white on magenta, which console_panic_begin() makes purple
#define COLUMNS_MAX      256u
#define ROWS_MAX         128u

static const uint16_t uart_ports[2] = {0x3f8, 0x2f8};
static bool uart_present[2];
static uint8_t uart_room[2];  // bytes the FIFO takes without asking

static struct {
    bool e9, text, panic;
    volatile uint16_t *vga;
    uint8_t *pixels;  // null: text mode
    uint32_t pitch, pixel_size, colour, background;
    unsigned columns, rows, column, row;
    uint8_t cells[ROWS_MAX][COLUMNS_MAX];  // reading pixels back is slow: scroll from here
} screen;

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

/* ---- screen ---- */
static uint32_t colour(uint32_t red, uint32_t green, uint32_t blue)
{
    const struct boot_framebuffer *f = bootinfo_framebuffer();

    return f ? red << f->red_shift | green << f->green_shift | blue << f->blue_shift : 0;
}

static void draw_cell(unsigned row, unsigned column)
{
    const uint8_t c = screen.cells[row][column];

    if (!screen.pixels) {
        screen.vga[row * VGA_COLUMNS + column] =
            (uint16_t)((screen.panic ? ATTRIBUTE_PANIC : ATTRIBUTE_NORMAL) << 8 | c);
        return;
    }
    for (unsigned y = 0; y < 16; y++) {
        uint8_t *at = screen.pixels + (size_t)(row * 16 + y) * screen.pitch +
                      (size_t)column * 8 * screen.pixel_size;
        const uint8_t bits = font_row(c, y / 2);

        for (unsigned x = 0; x < 8; x++, at += screen.pixel_size)
            memcpy(at, bits & 0x80 >> x ? &screen.colour : &screen.background,
                   screen.pixel_size);
    }
}

static void draw_all(void)
{
    for (unsigned row = 0; row < screen.rows; row++)
        for (unsigned column = 0; column < screen.columns; column++)
            draw_cell(row, column);
}

static void clear(void)
{
    for (unsigned row = 0; row < screen.rows; row++)
        memset(screen.cells[row], ' ', screen.columns);
    screen.row = screen.column = 0;
    draw_all();
}

static void scroll(void)
{
    for (unsigned row = 1; row < screen.rows; row++)
        for (unsigned column = 0; column < screen.columns; column++)
            if (screen.cells[row - 1][column] != screen.cells[row][column]) {
                screen.cells[row - 1][column] = screen.cells[row][column];
                draw_cell(row - 1, column);
            }
    for (unsigned column = 0; column < screen.columns; column++)
        if (screen.cells[screen.rows - 1][column] != ' ') {
            screen.cells[screen.rows - 1][column] = ' ';
            draw_cell(screen.rows - 1, column);
        }
    screen.row = screen.rows - 1;
}

static void screen_put(char c)
{
    if (c == '\r') {
        screen.column = 0;
    } else if (c == '\n') {
        screen.column = 0;
        if (++screen.row >= screen.rows)
            scroll();
    } else {
        if (screen.column >= screen.columns) {
            screen.column = 0;
            if (++screen.row >= screen.rows)
                scroll();
        }
        screen.cells[screen.row][screen.column] = (uint8_t)c;
        draw_cell(screen.row, screen.column++);
    }
}

void plat_console_write(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (screen.e9)
            insn_outb(0xe9, (uint8_t)text[i]);
        if (screen.text)
            screen_put(text[i]);
    }
}

void console_panic_begin(void)
{
    if (screen.panic)
        return;
    screen.panic = true;
    screen.colour = colour(0xff, 0xff, 0xff);
    screen.background = colour(0x4b, 0x0f, 0x6e);
    if (!screen.text)
        return;
    if (!screen.pixels) {  // DAC entry of attribute 5 becomes a darker purple
        insn_outb(0x3c8, 5);
        insn_outb(0x3c9, 0x13);
        insn_outb(0x3c9, 0x04);
        insn_outb(0x3c9, 0x1c);
    }
    clear();
}

void console_init(void)
{
    uart_init(0);
    uart_init(1);
    screen.e9 = insn_inb(0xe9) == 0xe9;
}

/* After paging: text mode is there unless the loader gave pixels; a machine without VGA reads
 * back nothing from its memory. */
void console_framebuffer_init(void)
{
    const struct boot_framebuffer *f = bootinfo_framebuffer();

    screen.colour = colour(0xc0, 0xc0, 0xc0);
    if (f && f->address && f->width >= 8 && f->height >= 16) {
        screen.pixels = paging_map(f->address, (uint64_t)f->pitch * f->height, true);
        screen.pitch = f->pitch;
        screen.pixel_size = f->bits / 8u;
        screen.columns = MIN(f->width / 8, COLUMNS_MAX);
        screen.rows = MIN(f->height / 16, ROWS_MAX);
    } else {
        screen.vga = plat_map(paddr_make(0xb8000));
        screen.columns = VGA_COLUMNS;
        screen.rows = VGA_ROWS;
        screen.vga[0] = 0x0741;
        if (screen.vga[0] != 0x0741)
            return;
    }
    screen.text = true;
    clear();
}
