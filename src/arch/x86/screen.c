// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/screen.c -- the screen: VGA text or a linear framebuffer, with what lib/text_screen.h shows.
 *
 * Invariants
 *   - Nothing outside the rows and columns that the mode has is written (lib/text_screen.h).
 * Locking    none: the log serialises its own lines, and a panic must get through whoever was
 *            writing.
 *            Two writers at once can mix characters, nothing worse.
 * Sources    [VGA]; [MULTIBOOT2] "Framebuffer info"
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/font.h"
#include "arch/x86/insn.h"
#include "lib/string.h"
#include "lib/text_screen.h"

#define VGA_COLUMNS     80u
#define VGA_ROWS        25u
#define ATTRIBUTE_PANIC 0x5fu  // white on magenta, which screen_panic_begin() makes purple
#define CRTC_INDEX      0x3d4
#define CRTC_CURSOR     0x0e  // high byte; the low one is behind it

static struct {
    bool on, panic;
    volatile uint16_t *vga;
    uint8_t *pixels;  // null: text mode
    uint32_t pitch, pixel_size;
    uint32_t palette[16];
    struct {
        unsigned row, column;
        bool shown;
    } cursor;
    struct text_screen text;
} screen;

static void draw_pixels(unsigned row, unsigned column, bool inverse)
{
    const uint16_t cell = screen.text.cells[row][column];
    const uint32_t ink = screen.palette[cell >> 8 & 15], paper = screen.palette[cell >> 12 & 7];

    for (unsigned y = 0; y < 16; y++) {
        uint8_t *at = screen.pixels + (size_t)(row * 16 + y) * screen.pitch +
                      (size_t)column * 8 * screen.pixel_size;
        const uint8_t bits = font_row((uint8_t)cell, y / 2);

        for (unsigned x = 0; x < 8; x++, at += screen.pixel_size) {
            const uint32_t pixel = !(bits & 0x80 >> x) == inverse ? ink : paper;

            if (screen.pixel_size == 4)
                __builtin_memcpy(at, &pixel,
                                 4);  // one store: a scrolled screen is a million of them
            else
                memcpy(at, &pixel, screen.pixel_size);
        }
    }
}

static void draw(const struct text_screen *s, unsigned row, unsigned column)
{
    if (screen.pixels)
        draw_pixels(row, column, false);
    else
        screen.vga[row * VGA_COLUMNS + column] = s->cells[row][column];
}

/* Where the next character goes: the CRT controller's own cursor, or an inverted cell. */
static void show_cursor(void)
{
    const struct text_screen *s = &screen.text;
    const unsigned row = MIN(s->row, s->rows - 1), column = MIN(s->column, s->columns - 1);

    if (!screen.pixels) {
        const unsigned at =
            s->cursor_hidden ? VGA_ROWS * VGA_COLUMNS : row * VGA_COLUMNS + column;

        for (unsigned i = 0; i < 2; i++) {
            insn_outb(CRTC_INDEX, (uint8_t)(CRTC_CURSOR + i));
            insn_outb(CRTC_INDEX + 1, (uint8_t)(i ? at : at >> 8));
        }
        return;
    }
    if (screen.cursor.shown)
        draw_pixels(screen.cursor.row, screen.cursor.column, false);
    screen.cursor.row = row;
    screen.cursor.column = column;
    screen.cursor.shown = !s->cursor_hidden && !screen.panic;
    if (screen.cursor.shown)
        draw_pixels(row, column, true);
}

void screen_write(const char *text, size_t length)
{
    if (!screen.on)
        return;
    for (size_t i = 0; i < length; i++)
        text_screen_put(&screen.text, (uint8_t)text[i]);
    show_cursor();
}

static uint32_t colour(uint32_t red, uint32_t green, uint32_t blue)
{
    const struct boot_framebuffer *f = bootinfo_framebuffer();

    return f ? red << f->red_shift | green << f->green_shift | blue << f->blue_shift : 0;
}

/* VGA's sixteen colours: two thirds of full brightness, with bit 3 one third more. */
static void palette_init(void)
{
    for (unsigned i = 0; i < 16; i++) {
        const uint32_t low = i & 8 ? 0x55 : 0, high = i & 8 ? 0xff : 0xaa;

        screen.palette[i] = colour(i & 4 ? high : low, i & 2 ? high : low, i & 1 ? high : low);
    }
}

static void start(uint8_t attribute)
{
    screen.cursor.shown = false;
    text_screen_init(&screen.text, screen.text.rows, screen.text.columns, attribute, draw);
    for (unsigned row = 0; row < screen.text.rows; row++)
        for (unsigned column = 0; column < screen.text.columns; column++)
            draw(&screen.text, row, column);
}

void screen_panic_begin(void)
{
    if (screen.panic)
        return;
    screen.panic = true;
    if (!screen.on)
        return;
    screen.palette[ATTRIBUTE_PANIC & 15] = colour(0xff, 0xff, 0xff);
    screen.palette[ATTRIBUTE_PANIC >> 4] = colour(0x4b, 0x0f, 0x6e);
    if (!screen.pixels) {  // DAC entry of attribute 5 becomes a darker purple
        insn_outb(0x3c8, 5);
        insn_outb(0x3c9, 0x13);
        insn_outb(0x3c9, 0x04);
        insn_outb(0x3c9, 0x1c);
    }
    start(ATTRIBUTE_PANIC);
}

/* After paging: text mode is there unless the loader gave pixels; a machine without VGA reads
 * back nothing from its memory. */
void screen_init(void)
{
    const struct boot_framebuffer *f = bootinfo_framebuffer();

    palette_init();
    if (f && f->address && f->width >= 8 && f->height >= 16) {
        screen.pixels = paging_map(f->address, (uint64_t)f->pitch * f->height, true);
        screen.pitch = f->pitch;
        screen.pixel_size = f->bits / 8u;
        screen.text.columns = MIN(f->width / 8, TEXT_SCREEN_COLUMNS);
        screen.text.rows = MIN(f->height / 16, TEXT_SCREEN_ROWS);
    } else {
        screen.vga = plat_map(paddr_make(0xb8000));
        screen.text.columns = VGA_COLUMNS;
        screen.text.rows = VGA_ROWS;
        screen.vga[0] = 0x0741;
        if (screen.vga[0] != 0x0741)
            return;
    }
    start(TEXT_SCREEN_NORMAL);
    screen.on = true;
}
