// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/tsdl_lexer.c -- blanks, comments, words, numbers, strings and signs of TSDL.
 *
 * Numbers are C's, with any suffix. Locking, invariants and sources: trace/tsdl_lexer.h.
 */
#include "trace/tsdl_lexer.h"

#include <stdlib.h>
#include <string.h>

void tsdl_lexer_init(struct tsdl_lexer *l, const char *text, size_t size)
{
    *l = (struct tsdl_lexer){.at = text, .end = text + size, .line = 1};
}

static void note(struct tsdl_lexer *l, const char *flaw)
{
    if (!l->flaw)
        l->flaw = flaw;
}

static bool starts(const struct tsdl_lexer *l, const char *with)
{
    size_t length = strlen(with);

    return (size_t)(l->end - l->at) >= length && !memcmp(l->at, with, length);
}

static void skip_comment(struct tsdl_lexer *l)
{
    for (l->at += 2; l->at < l->end; l->at++) {
        if (starts(l, "*/")) {
            l->at += 2;
            return;
        }
        l->line += *l->at == '\n';
    }
    note(l, "a comment does not end");
}

static void skip_blank(struct tsdl_lexer *l)
{
    while (l->at < l->end) {
        if (*l->at == '\n') {
            l->line++;
            l->at++;
        } else if (*l->at == ' ' || *l->at == '\t' || *l->at == '\r') {
            l->at++;
        } else if (starts(l, "//")) {
            while (l->at < l->end && *l->at != '\n')
                l->at++;
        } else if (starts(l, "/*")) {
            skip_comment(l);
        } else {
            return;
        }
    }
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_';
}

static void add_char(struct tsdl_lexer *l, size_t *n, char c)
{
    if (*n + 1 < TSDL_TOKEN)
        l->text[(*n)++] = c;
    else
        note(l, "a word is too long");
}

static void read_string(struct tsdl_lexer *l, size_t *n)
{
    for (l->at++; l->at < l->end && *l->at != '"'; l->at++) {
        if (*l->at == '\\' && l->end - l->at >= 2)
            l->at++;
        if (*l->at == '\n') {
            note(l, "a string does not end");
            l->line++;
        }
        add_char(l, n, *l->at);
    }
    if (l->at < l->end)
        l->at++;
    else
        note(l, "a string does not end");
}

static void read_sign(struct tsdl_lexer *l, size_t *n)
{
    static const char *const longer[] = {":=", "...", "->"};
    size_t length = 1;

    for (unsigned i = 0; i < ARRAY_COUNT(longer); i++) {
        if (starts(l, longer[i]))
            length = strlen(longer[i]);
    }
    while (length--)
        add_char(l, n, *l->at++);
}

void tsdl_lexer_next(struct tsdl_lexer *l)
{
    size_t n = 0;

    skip_blank(l);
    if (l->at == l->end) {
        l->token = TSDL_END;
    } else if (*l->at == '"') {
        l->token = TSDL_STRING;
        read_string(l, &n);
    } else if (is_word(*l->at)) {
        l->token = *l->at >= '0' && *l->at <= '9' ? TSDL_NUMBER : TSDL_WORD;
        while (l->at < l->end && is_word(*l->at))
            add_char(l, &n, *l->at++);
    } else {
        l->token = TSDL_SIGN;
        read_sign(l, &n);
    }
    l->text[n] = '\0';
    if (l->token == TSDL_NUMBER)
        l->number = strtoull(l->text, NULL, 0);
}

bool tsdl_lexer_is(const struct tsdl_lexer *l, const char *text)
{
    return (l->token == TSDL_WORD || l->token == TSDL_SIGN) && !strcmp(l->text, text);
}
