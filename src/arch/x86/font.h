// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/font.h -- the built-in screen font: 8 x 8, printable ASCII.
 */
#pragma once

#include "lib/types.h"

/* Row 0..7 of a character, most significant bit left. Unknown characters are a box. */
uint8_t font_row(uint8_t character, unsigned row);
