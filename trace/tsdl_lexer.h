// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/tsdl_lexer.h -- the words of TSDL, for the two parsers of CTF metadata.
 *
 * trace/tsdl.c is strict, since its text is our recorder's; trace/import_tsdl.c takes what perf
 * and LTTng write. So a flaw (a comment without end) is noted in `flaw` and read over: whoever
 * is strict looks there, and nobody has to configure the lexer.
 *
 * Invariants
 *   - The cursor only moves forward, so every text ends.
 * Locking    none: one thread.
 * Sources    [CTF18] appendix C
 */
#pragma once

#include "lib/types.h"

#define TSDL_TOKEN 256u

enum tsdl_token {
    TSDL_END,
    TSDL_WORD,
    TSDL_NUMBER,
    TSDL_STRING,
    TSDL_SIGN
};

struct tsdl_lexer {
    const char *at, *end;
    unsigned line;
    enum tsdl_token token;
    char text
        [TSDL_TOKEN];  // as it stands there; of a STRING what is in the quotes; cut if longer
    uint64_t number;   // of the last NUMBER
    const char *flaw;  // the first one, or null
};

void tsdl_lexer_init(struct tsdl_lexer *l, const char *text, size_t size);
/* To the next token; at the end it stays there. */
void tsdl_lexer_next(struct tsdl_lexer *l);
/* Is the token this word or sign? */
bool tsdl_lexer_is(const struct tsdl_lexer *l, const char *text);
