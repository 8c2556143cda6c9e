// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/text_screen.c -- what a terminal shows: cells, a cursor, and the control sequences that move it.
 *
 * Sources    [ECMA-48] section 8.3; [VT102] chapter 5
 */
#include "lib/text_screen.h"

#define PARAM_MOST 9999u
#define OTHER      '?'  // a character that is not ASCII

static void set_cell(struct text_screen *s, unsigned row, unsigned column, uint16_t cell)
{
    if (row >= s->rows || column >= s->columns || s->cells[row][column] == cell)
        return;
    s->cells[row][column] = cell;
    if (s->draw)
        s->draw(s, row, column);
}

/* Blanks of the colours in use, as on a VT102 with colour (background colour erase). */
static void erase(struct text_screen *s, unsigned row, unsigned from, unsigned to)
{
    const uint16_t blank = (uint16_t)(s->attribute << 8 | ' ');

    for (unsigned column = from; column < to; column++)
        set_cell(s, row, column, blank);
}

/* Rows top..bottom move by `count`: up where it is positive. What comes in is blank. */
static void scroll(struct text_screen *s, unsigned top, unsigned bottom, int count)
{
    const unsigned height = bottom - top + 1;
    const unsigned by = MIN(count < 0 ? (unsigned)-count : (unsigned)count, height);

    for (unsigned i = 0; i < height; i++) {
        const unsigned to = count > 0 ? top + i : bottom - i;
        const unsigned from = count > 0 ? to + by : to - by;

        if (i + by >= height) {
            erase(s, to, 0, s->columns);
            continue;
        }
        for (unsigned column = 0; column < s->columns; column++)
            set_cell(s, to, column, s->cells[from][column]);
    }
}

static void line_feed(struct text_screen *s)
{
    if (s->row == s->bottom)
        scroll(s, s->top, s->bottom, 1);
    else if (s->row + 1 < s->rows)
        s->row++;
}

static void reverse_line_feed(struct text_screen *s)
{
    if (s->row == s->top)
        scroll(s, s->top, s->bottom, -1);
    else if (s->row > 0)
        s->row--;
}

static void reset(struct text_screen *s)
{
    s->attribute = s->normal;
    s->reverse = s->cursor_hidden = false;
    s->row = s->column = s->top = 0;
    s->bottom = s->rows - 1;
    s->saved.row = s->saved.column = 0;
    s->saved.attribute = s->normal;
    for (unsigned row = 0; row < s->rows; row++)
        erase(s, row, 0, s->columns);
}

void text_screen_init(struct text_screen *s, unsigned rows, unsigned columns, uint8_t normal,
                      void (*draw)(const struct text_screen *s, unsigned row, unsigned column))
{
    *s = (struct text_screen){.normal = normal, .draw = draw};
    s->rows = MIN(MAX(rows, 1u), TEXT_SCREEN_ROWS);
    s->columns = MIN(MAX(columns, 1u), TEXT_SCREEN_COLUMNS);
    reset(s);
}

/* ---- characters ---- */

/* The attribute in force, its colours exchanged while reverse video is on. */
static uint16_t cell_of(const struct text_screen *s, uint8_t c)
{
    const uint8_t a = s->attribute;
    const unsigned reversed = (a & 0x88u) | (a & 7u) << 4 | (a >> 4 & 7u);

    return (uint16_t)((s->reverse ? reversed : a) << 8 | c);
}

static void show(struct text_screen *s, uint8_t c)
{
    if (s->column >= s->columns) {
        s->column = 0;
        line_feed(s);
    }
    set_cell(s, s->row, s->column, cell_of(s, c));
    s->column++;
}

/* A character outside ASCII is one mark, however many bytes it has. */
static void plain(struct text_screen *s, uint8_t c)
{
    if (c >= 0x80) {
        if (c < 0xc0) {  // goes on, or is no UTF-8
            if (s->utf8_left == 0)
                show(s, OTHER);
            else
                s->utf8_left--;
            return;
        }
        s->utf8_left = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        show(s, OTHER);
        return;
    }
    s->utf8_left = 0;
    switch (c) {
    case '\n':
        s->column = 0;
        line_feed(s);
        return;
    case '\v':
    case '\f': line_feed(s); return;
    case '\r': s->column = 0; return;
    case '\b': s->column = s->column > 0 ? MIN(s->column, s->columns) - 1 : 0; return;
    case '\t': s->column = MIN((s->column | 7) + 1, s->columns - 1); return;
    case 0x1b: s->state = TEXT_SCREEN_ESCAPE; return;
    default:
        if (c >= ' ' && c != 0x7f)
            show(s, c);
    }
}

/* ---- control sequences ---- */

static unsigned param(const struct text_screen *s, unsigned i, unsigned otherwise)
{
    return i < s->param_count && s->params[i] ? s->params[i] : otherwise;
}

static void move(struct text_screen *s, unsigned row, unsigned column)
{
    s->row = MIN(row, s->rows - 1);
    s->column = MIN(column, s->columns - 1);
}

static void erase_display(struct text_screen *s, unsigned which)
{
    const unsigned row = s->row;

    for (unsigned i = 0; i < s->rows; i++) {
        if ((which == 0 && i < row) || (which == 1 && i > row))
            continue;
        erase(s, i, which == 0 && i == row ? s->column : 0,
              which == 1 && i == row ? MIN(s->column + 1, s->columns) : s->columns);
    }
}

static void erase_line(struct text_screen *s, unsigned which)
{
    erase(s, s->row, which == 0 ? s->column : 0,
          which == 1 ? MIN(s->column + 1, s->columns) : s->columns);
}

/* The rest of the line moves right (to make room) or left (over what is deleted). */
static void shift_line(struct text_screen *s, unsigned count, bool right)
{
    const unsigned from = MIN(s->column, s->columns - 1);
    const unsigned width = s->columns - from, row = s->row;

    count = MIN(count, width);
    for (unsigned i = 0; i + count < width; i++) {
        const unsigned to = right ? s->columns - 1 - i : from + i;

        set_cell(s, row, to, s->cells[row][right ? to - count : to + count]);
    }
    erase(s, row, right ? from : s->columns - count, right ? from + count : s->columns);
}

/*
 * [ECMA-48] "SGR". Colours are numbered red 1, green 2, blue 4; VGA's blue 1, green 2, red 4.
 */
static void rendition(struct text_screen *s)
{
    static const uint8_t vga[8] = {0, 4, 2, 6, 1, 5, 3, 7};

    for (unsigned i = 0; i < MAX(s->param_count, 1u); i++) {
        const unsigned n = i < s->param_count ? s->params[i] : 0;

        if (n == 0) {
            s->attribute = s->normal;
            s->reverse = false;
        } else if (n == 1) {
            s->attribute |= 8;
        } else if (n == 22) {
            s->attribute &= (uint8_t)~8u;
        } else if (n == 7 || n == 27) {
            s->reverse = n == 7;
        } else if (n >= 30 && n <= 37) {
            s->attribute = (uint8_t)((s->attribute & 0xf8) | vga[n - 30]);
        } else if (n == 39) {
            s->attribute = (uint8_t)((s->attribute & 0xf8) | (s->normal & 7));
        } else if (n >= 40 && n <= 47) {
            s->attribute = (uint8_t)((s->attribute & 0x8f) | vga[n - 40] << 4);
        } else if (n == 49) {
            s->attribute = (uint8_t)((s->attribute & 0x8f) | (s->normal & 0x70));
        } else if (n == 38 || n == 48) {
            return;  // 256 colours: the rest belongs to it
        }
    }
}

static void set_region(struct text_screen *s)
{
    const unsigned top = param(s, 0, 1) - 1, bottom = MIN(param(s, 1, s->rows), s->rows) - 1;

    if (top >= bottom)
        return;
    s->top = top;
    s->bottom = bottom;
    move(s, 0, 0);
}

static void save_cursor(struct text_screen *s)
{
    s->saved.row = s->row;
    s->saved.column = s->column;
    s->saved.attribute = s->attribute;
}

static void restore_cursor(struct text_screen *s)
{
    move(s, s->saved.row, s->saved.column);
    s->attribute = s->saved.attribute;
}

static void control(struct text_screen *s, uint8_t final)
{
    const unsigned n = param(s, 0, 1);
    const bool inside = s->row >= s->top && s->row <= s->bottom;

    if (s->is_private) {
        if ((final == 'h' || final == 'l') && param(s, 0, 0) == 25)
            s->cursor_hidden = final == 'l';
        return;
    }
    switch (final) {
    case 'A': move(s, s->row - MIN(n, s->row), s->column); break;
    case 'B':
    case 'e': move(s, s->row + n, s->column); break;
    case 'C':
    case 'a': move(s, s->row, s->column + n); break;
    case 'D': move(s, s->row, s->column - MIN(n, s->column)); break;
    case 'E': move(s, s->row + n, 0); break;
    case 'F': move(s, s->row - MIN(n, s->row), 0); break;
    case 'G':
    case '`': move(s, s->row, n - 1); break;
    case 'd': move(s, n - 1, s->column); break;
    case 'H':
    case 'f': move(s, n - 1, param(s, 1, 1) - 1); break;
    case 'J': erase_display(s, param(s, 0, 0)); break;
    case 'K': erase_line(s, param(s, 0, 0)); break;
    case 'L':
        if (inside)
            scroll(s, s->row, s->bottom, -(int)n);
        break;
    case 'M':
        if (inside)
            scroll(s, s->row, s->bottom, (int)n);
        break;
    case 'S': scroll(s, s->top, s->bottom, (int)n); break;
    case 'T': scroll(s, s->top, s->bottom, -(int)n); break;
    case '@': shift_line(s, n, true); break;
    case 'P': shift_line(s, n, false); break;
    case 'X': erase(s, s->row, s->column, MIN(s->column + n, s->columns)); break;
    case 'm': rendition(s); break;
    case 'r': set_region(s); break;
    case 's': save_cursor(s); break;
    case 'u': restore_cursor(s); break;
    default: break;
    }
}

static void escape(struct text_screen *s, uint8_t c)
{
    s->state = TEXT_SCREEN_PLAIN;
    switch (c) {
    case '[':
        s->state = TEXT_SCREEN_CONTROL;
        s->is_private = false;
        s->param_count = 0;
        break;
    case '(':
    case ')':
    case '#': s->state = TEXT_SCREEN_CHARSET; break;  // one byte more, which means nothing here
    case '7': save_cursor(s); break;
    case '8': restore_cursor(s); break;
    case 'D': line_feed(s); break;
    case 'E':
        s->column = 0;
        line_feed(s);
        break;
    case 'M': reverse_line_feed(s); break;
    case 'c': reset(s); break;
    default: break;
    }
}

/* Inside "CSI". Parameters beyond the last are read and forgotten. */
static void control_byte(struct text_screen *s, uint8_t c)
{
    if (c == '?' || c == '>' || c == '=') {
        s->is_private = true;
    } else if (c >= '0' && c <= '9') {
        const unsigned at = s->param_count > 0 ? s->param_count - 1 : 0;

        if (s->param_count == 0)
            s->params[s->param_count++] = 0;
        if (at < TEXT_SCREEN_PARAMS)
            s->params[at] = MIN(s->params[at] * 10 + (c - '0'), PARAM_MOST);
    } else if (c == ';') {
        if (s->param_count == 0)
            s->params[s->param_count++] = 0;
        if (s->param_count < TEXT_SCREEN_PARAMS)
            s->params[s->param_count] = 0;
        s->param_count = MIN(s->param_count + 1, TEXT_SCREEN_PARAMS + 1);
    } else if (c >= 0x40 && c <= 0x7e) {
        s->state = TEXT_SCREEN_PLAIN;
        s->param_count = MIN(s->param_count, TEXT_SCREEN_PARAMS);
        control(s, c);
    } else if (c < ' ') {
        if (c == 0x18 || c == 0x1a)  // CAN, SUB: give the sequence up
            s->state = TEXT_SCREEN_PLAIN;
        else if (c == 0x1b)
            s->state = TEXT_SCREEN_ESCAPE;
        else
            plain(s, c);
    }
}

void text_screen_put(struct text_screen *s, uint8_t byte)
{
    switch (s->state) {
    case TEXT_SCREEN_ESCAPE: escape(s, byte); break;
    case TEXT_SCREEN_CONTROL: control_byte(s, byte); break;
    case TEXT_SCREEN_CHARSET: s->state = TEXT_SCREEN_PLAIN; break;
    default: plain(s, byte);
    }
}
