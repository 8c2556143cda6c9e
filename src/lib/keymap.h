// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/keymap.h -- from a keyboard's scan codes to the bytes that a terminal sends.
 *
 * Scan code set 1, US layout. Function and cursor keys send the sequences of a VT220 and xterm,
 * as the Linux console does. Alt puts an escape in front.
 *
 * Locking    none: one reader feeds one struct keymap.
 * Sources    [PS2] "Scan code set 1"; [VT220] section 3.2
 */
#pragma once

#include "lib/types.h"

#define KEYMAP_TEXT 8u  // bytes that one key may send

struct keymap {
    bool left_shift, right_shift, left_control, right_control, alt, caps, extended;
    unsigned skip;  // codes of the Pause key that are still to come
};

/*
 * One scan code; what it sends goes to `out`. Returns the length: 0 for a release or a key
 * without meaning.
 */
size_t keymap_code(struct keymap *k, uint8_t code, char out[KEYMAP_TEXT]);
