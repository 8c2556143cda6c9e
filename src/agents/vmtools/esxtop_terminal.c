// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxtop_terminal.c -- esxtop's terminal: keys as they are pressed, and questions.
 *
 * Invariants
 *   - The terminal gets its old mode back however the program ends, except by SIGKILL.
 * Locking    none: one thread.
 * Start at   top_terminal_raw(), top_ask().
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "agents/vmtools/esxtop.h"

static struct termios saved;
static bool saved_valid;

void top_terminal_restore(void)
{
    if (saved_valid)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
    saved_valid = false;
}

static void on_signal(int number)
{
    top_terminal_restore();
    signal(number, SIG_DFL);
    raise(number);
}

/* Interrupts the wait for a key, so that the next look has the new size. */
static void on_resize(int number)
{
    (void)number;
}

void top_terminal_raw(void)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &saved) != 0)
        return;
    saved_valid = true;
    signal(SIGTERM, on_signal);
    signal(SIGHUP, on_signal);
    signal(SIGINT, on_signal);
    (void)sigaction(SIGWINCH, &(struct sigaction){.sa_handler = on_resize}, NULL);
    raw = saved;
    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

bool top_ask(unsigned row, const char *question, char *line, size_t size)
{
    char *end;
    bool got;

    top_terminal_restore();
    printf("\033[%u;1H\033[K%s: ", row, question);
    fflush(stdout);
    clearerr(stdin);  // a change of size may have interrupted the last one
    got = fgets(line, (int)size, stdin) != NULL;
    end = got ? strchr(line, '\n') : NULL;
    if (end)
        *end = 0;
    top_terminal_raw();
    return got && *line;
}

bool top_ask_number(unsigned row, const char *question, uint64_t most, uint64_t *number)
{
    char line[16];

    return top_ask(row, question, line, sizeof(line)) && number_of(line, most, number);
}
