// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/text_screen.h -- what a terminal shows: cells, a cursor, and the control sequences that move it.
 *
 * A state machine without a device: bytes go in, cells change, and `draw` is told which. The
 * sequences are those that full-screen programs send to a TERM of linux, vt100 or vt102: cursor
 * movement, erasing, scrolling regions, inserting and deleting, colours. What is not known is
 * swallowed, not shown.
 *
 * Invariants
 *   - row < rows, column <= columns (behind the last column: the next character wraps first).
 *   - top <= bottom < rows; whatever comes in, no cell outside rows x columns is touched.
 * Locking    none here. Two writers at once mix characters, and nothing worse: bounds are
 *            checked on local copies.
 * Sources    [ECMA-48] section 8.3; [VT102] chapter 5
 */
#pragma once

#include "lib/types.h"

#define TEXT_SCREEN_ROWS    128u
#define TEXT_SCREEN_COLUMNS 256u
#define TEXT_SCREEN_PARAMS  8u
/* Attributes are VGA's: foreground in bits 0-2, bright 3, background 4-6. */
#define TEXT_SCREEN_NORMAL  0x07u

struct text_screen {
    unsigned rows, columns;
    unsigned row, column;
    unsigned top, bottom;  // the scrolling region, both included
    struct {
        unsigned row, column;
        uint8_t attribute;
    } saved;
    uint8_t attribute, normal;
    bool reverse, cursor_hidden;
    uint16_t cells[TEXT_SCREEN_ROWS][TEXT_SCREEN_COLUMNS];  // attribute << 8 | character
    /* The cell is new. Called for cells inside rows x columns only; may be null. */
    void (*draw)(const struct text_screen *s, unsigned row, unsigned column);
    enum {
        TEXT_SCREEN_PLAIN,
        TEXT_SCREEN_ESCAPE,
        TEXT_SCREEN_CONTROL,
        TEXT_SCREEN_CHARSET
    } state;
    bool is_private;  // "CSI ?"
    unsigned params[TEXT_SCREEN_PARAMS], param_count;
    unsigned utf8_left;  // bytes of a character that are still to come
};

/*
 * Blank, at most TEXT_SCREEN_ROWS x TEXT_SCREEN_COLUMNS; draws every cell. `normal`: attribute
 * after a reset.
 */
void text_screen_init(struct text_screen *s, unsigned rows, unsigned columns, uint8_t normal,
                      void (*draw)(const struct text_screen *s, unsigned row, unsigned column));
/*
 * One byte of output. A line feed also returns to column 0: lines of the log end in nothing
 * else.
 */
void text_screen_put(struct text_screen *s, uint8_t byte);
