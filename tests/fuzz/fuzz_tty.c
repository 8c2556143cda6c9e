// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_tty.c -- any bytes typed, any settings: the line discipline keeps its books.
 *
 * The input is a list of actions: one byte says which, the next ones are its argument.
 */
#include <stdlib.h>
#include <string.h>

#include "fs/tty_internal.h"
#include "sim/platform/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t room_left;

static size_t room(struct tty *tty)
{
    (void)tty;
    return room_left;
}

static void put(struct tty *tty, const char *text, size_t length)
{
    (void)tty;
    (void)text;
    if (length > room_left)
        abort();
    room_left -= length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tty tty;
    static char buffer[8192];
    static bool is_up;
    bool eof;

    if (!is_up)
        sim_test_begin();
    is_up = true;
    memset(&tty, 0, sizeof(tty));
    tty_setup(&tty, "fuzz", 1);
    tty.room = room;
    tty.put = put;
    for (size_t i = 0; i < size; i++) {
        uint32_t before = tty.termios.lflag;
        uint8_t argument = i + 1 < size ? data[i + 1] : 0;

        room_left = (size_t)argument * 4;
        switch (data[i] % 8) {
        case 0:
        case 1: tty_line_input(&tty, argument); break;
        case 2:
            for (unsigned k = 0; k < 300; k++)
                tty_line_input(&tty, argument);
            break;
        case 3: {
            uint32_t there = tty_line_readable(&tty);
            size_t got = tty_line_read(&tty, buffer, (size_t)argument * 40, &eof);

            if (got > there || got > (size_t)argument * 40)
                abort();
            break;
        }
        case 4: {
            size_t taken = tty_line_output(&tty, buffer, argument);

            if (taken > argument)
                abort();
            break;
        }
        case 5:
            tty.termios.lflag ^= 1u << (argument % 16);
            tty_line_mode_changed(&tty, before);
            break;
        case 6:
            tty.termios.iflag ^= 1u << (argument % 16);
            tty.termios.oflag ^= 1u << (argument / 16);
            break;
        default: tty.termios.cc[argument % 19] = (uint8_t)(argument * 7); break;
        }
        i++;
        if (tty.committed - tty.read > TTY_INPUT_SIZE ||
            tty.end - tty.committed > TTY_INPUT_SIZE || tty.end - tty.read > TTY_INPUT_SIZE)
            abort();
    }
    return 0;
}
