// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/tsdl.c -- a parser of the part of TSDL that our metadata uses.
 *
 * CTF 1.8 describes its streams in a C-like language. A reader of our own profile knows the
 * layout from the table already; it reads the metadata to learn the uuid, the clock and the
 * environment, and to find out whether the trace was written from the same table. So this is no
 * type system: a member has a name and a size, and whatever does not matter is skipped by its
 * brackets.
 *
 * Invariants
 *   - A flaw of the text is an error: it is our recorder's, or damaged.
 *   - Depth of brackets is counted, never recursed into, in what is skipped; structures are
 *     read to one level.
 * Locking    none: one thread.
 * Sources    [CTF18] section 7 and appendix C
 */
#include "trace/tsdl.h"

#include <stdio.h>
#include <string.h>

#include "lib/ascii.h"
#include "trace/tsdl_lexer.h"

#define TYPES_MAX 64u

struct parser {
    struct tsdl_lexer lex;
    char *error;
    size_t room;
    bool failed;
    unsigned type_count;
    struct {
        char name[TSDL_NAME];
        uint32_t bits;
    } types[TYPES_MAX];
    struct tsdl *out;
};

printf_like(2, 3) static bool fail(struct parser *p, const char *format, ...)
{
    if (!p->failed) {
        va_list args;
        int n = snprintf(p->error, p->room, "line %u: ", p->lex.line);

        va_start(args, format);
        if (n > 0 && (size_t)n < p->room)
            vsnprintf(p->error + n, p->room - (size_t)n, format, args);
        va_end(args);
    }
    p->failed = true;
    p->lex.token = TSDL_END;
    return false;
}

static void next_token(struct parser *p)
{
    if (p->failed)
        return;
    tsdl_lexer_next(&p->lex);
    if (p->lex.flaw)
        fail(p, "%s", p->lex.flaw);
}

static bool is(const struct parser *p, const char *text)
{
    return tsdl_lexer_is(&p->lex, text);
}

static bool take(struct parser *p, const char *text)
{
    if (!is(p, text))
        return fail(p, "expected %s, found \"%s\"", text, p->lex.text);
    next_token(p);
    return !p->failed;
}

/* From a { to behind its }. */
static bool skip_braces(struct parser *p)
{
    unsigned depth = 0;

    do {
        if (p->lex.token == TSDL_END)
            return fail(p, "a { has no }");
        if (p->lex.token == TSDL_SIGN && p->lex.text[0] == '{')
            depth++;
        else if (p->lex.token == TSDL_SIGN && p->lex.text[0] == '}')
            depth--;
        next_token(p);
    } while (depth);
    return !p->failed;
}

/* To behind the ; that ends what we stand in, over any braces. */
static bool skip_statement(struct parser *p)
{
    while (!is(p, ";")) {
        if (p->lex.token == TSDL_END)
            return p->failed ? false : fail(p, "a statement has no ;");
        if (is(p, "}"))
            return fail(p, "a } too many");
        if (is(p, "{")) {
            if (!skip_braces(p))
                return false;
        } else {
            next_token(p);
        }
    }
    next_token(p);
    return !p->failed;
}

static void copy(char *to, size_t room, const char *from)
{
    snprintf(to, room, "%.*s", (int)(room - 1), from);
}

static uint32_t type_bits(const struct parser *p, const char *name)
{
    for (unsigned i = 0; i < p->type_count; i++) {
        if (!strcmp(p->types[i].name, name))
            return p->types[i].bits;
    }
    return 0;
}

/* { size = 8; align = 8; ... } of an integer, the cursor on the {. */
static bool integer_body(struct parser *p, uint32_t *bits)
{
    *bits = 0;
    if (!take(p, "{"))
        return false;
    while (!is(p, "}")) {
        bool size = is(p, "size");

        if (p->lex.token != TSDL_WORD)
            return fail(p, "expected an attribute of integer, found \"%s\"", p->lex.text);
        next_token(p);
        if (!take(p, "="))
            return false;
        if (size) {
            if (p->lex.token != TSDL_NUMBER || p->lex.number == 0 || p->lex.number > 64)
                return fail(p, "integers have 1 to 64 bits, not \"%s\"", p->lex.text);
            *bits = (uint32_t)p->lex.number;
        }
        if (!skip_statement(p))
            return false;
    }
    if (!*bits)
        return fail(p, "an integer without a size");
    return take(p, "}");
}

/* A type where a member or alias begins: its size; the cursor ends behind it. */
static bool type_spec(struct parser *p, uint32_t *bits)
{
    if (is(p, "integer")) {
        next_token(p);
        return integer_body(p, bits);
    }
    if (is(p, "enum")) {
        *bits = 0;
        next_token(p);
        if (p->lex.token == TSDL_WORD && !is(p, "integer")) {
            *bits = type_bits(p, p->lex.text);
            next_token(p);
        }
        if (is(p, ":")) {
            next_token(p);
            if (!type_spec(p, bits))
                return false;
        }
        if (is(p, "{") && !skip_braces(p))
            return false;
        return *bits ? true : fail(p, "an enum without a known size");
    }
    if (p->lex.token != TSDL_WORD)
        return fail(p, "expected a type, found \"%s\"", p->lex.text);
    *bits = type_bits(p, p->lex.text);
    if (!*bits)
        return fail(p, "unknown type %s", p->lex.text);
    next_token(p);
    return true;
}

static bool add_type(struct parser *p, const char *name, uint32_t bits)
{
    if (p->type_count == TYPES_MAX)
        return fail(p, "more than %u types", TYPES_MAX);
    copy(p->types[p->type_count].name, TSDL_NAME, name);
    p->types[p->type_count++].bits = bits;
    return true;
}

/* typealias TYPE := NAME; and enum NAME : TYPE { ... }; a struct alias is of no interest. */
static bool type_alias(struct parser *p)
{
    uint32_t bits;

    next_token(p);
    if (!is(p, "integer") && !is(p, "enum"))
        return skip_statement(p);
    if (!type_spec(p, &bits) || !take(p, ":="))
        return false;
    if (p->lex.token != TSDL_WORD)
        return fail(p, "expected the name of a type, found \"%s\"", p->lex.text);
    if (!add_type(p, p->lex.text, bits))
        return false;
    next_token(p);
    return skip_statement(p);
}

static bool named_enum(struct parser *p)
{
    char name[TSDL_NAME];
    uint32_t bits;

    next_token(p);
    copy(name, sizeof(name), p->lex.text);
    if (p->lex.token != TSDL_WORD)
        return skip_statement(p);
    next_token(p);
    if (!take(p, ":") || !type_spec(p, &bits) || !add_type(p, name, bits))
        return false;
    if (is(p, "{") && !skip_braces(p))
        return false;
    return skip_statement(p);
}

static bool uuid_value(struct parser *p)
{
    unsigned n = 0;

    for (const char *c = p->lex.text; *c; c++) {
        int digit = ascii_hex(*c);

        if (*c == '-')
            continue;
        if (digit < 0 || n == 32)
            return fail(p, "uuid \"%s\" is not 32 hexadecimal digits", p->lex.text);
        p->out->uuid[n / 2] = (uint8_t)(p->out->uuid[n / 2] << 4 | digit);
        n++;
    }
    if (n != 32)
        return fail(p, "uuid \"%s\" is not 32 hexadecimal digits", p->lex.text);
    p->out->has_uuid = true;
    return true;
}

/*
 * The body of a trace, env, clock or stream block: NAME = VALUE; what else there is, skipped.
 */
static bool block(struct parser *p, bool (*take_value)(struct parser *p, const char *name))
{
    next_token(p);
    if (!take(p, "{"))
        return false;
    while (!is(p, "}")) {
        char name[TSDL_NAME];

        copy(name, sizeof(name), p->lex.text);
        if (p->lex.token != TSDL_WORD)
            return fail(p, "expected a name, found \"%s\"", p->lex.text);
        next_token(p);
        if (is(p, "=")) {
            next_token(p);
            if (!take_value(p, name))
                return false;
        }
        if (!skip_statement(p))
            return false;
    }
    next_token(p);
    return is(p, ";") ? skip_statement(p) : !p->failed;
}

static bool trace_value(struct parser *p, const char *name)
{
    if (!strcmp(name, "uuid"))
        return uuid_value(p);
    if (!strcmp(name, "byte_order") && !is(p, "le"))
        return fail(p, "byte order %s: only le is ours", p->lex.text);
    return true;
}

static bool env_value(struct parser *p, const char *name)
{
    struct tsdl *out = p->out;

    if (out->env_count < TSDL_ENV_MAX) {
        copy(out->env[out->env_count].name, TSDL_NAME, name);
        copy(out->env[out->env_count].value, sizeof(out->env[0].value), p->lex.text);
        out->env_count++;
    }
    return true;
}

static bool clock_value(struct parser *p, const char *name)
{
    if (!strcmp(name, "freq")) {
        if (p->lex.token != TSDL_NUMBER || !p->lex.number)
            return fail(p, "the clock's freq is \"%s\"", p->lex.text);
        p->out->clock_freq = p->lex.number;
    }
    return true;
}

static bool stream_value(struct parser *p, const char *name)
{
    if (!strcmp(name, "id") && (p->lex.token != TSDL_NUMBER || p->lex.number > 1))
        return fail(p, "stream id %s: ours are 0 and 1", p->lex.text);
    return true;
}

/* TYPE name; or TYPE name[n]; */
static bool member(struct parser *p, struct tsdl_event *event)
{
    struct tsdl_field *field = &event->fields[event->field_count];
    uint32_t bits;
    uint64_t count = 1;

    if (event->field_count == TSDL_FIELDS_MAX)
        return fail(p, "more than %u fields", TSDL_FIELDS_MAX);
    if (!type_spec(p, &bits))
        return false;
    if (p->lex.token != TSDL_WORD)
        return fail(p, "expected the name of a field, found \"%s\"", p->lex.text);
    /* Names that are words of TSDL stand behind an underscore, which is no part of them. */
    copy(field->name, sizeof(field->name),
         p->lex.text[0] == '_' ? p->lex.text + 1 : p->lex.text);
    next_token(p);
    if (is(p, "[")) {
        next_token(p);
        count = p->lex.number;
        if (p->lex.token != TSDL_NUMBER || !count || count > 4096)
            return fail(p, "an array of \"%s\" elements", p->lex.text);
        next_token(p);
        if (!take(p, "]"))
            return false;
    }
    if (bits % 8)
        return fail(p, "field %s has %u bits, which are no bytes", field->name, bits);
    field->bytes = (uint32_t)(bits / 8 * count);
    event->field_count++;
    return take(p, ";");
}

static bool event_fields(struct parser *p, struct tsdl_event *event)
{
    next_token(p);
    if (!take(p, ":=") || !take(p, "struct") || !take(p, "{"))
        return false;
    while (!is(p, "}")) {
        if (!member(p, event))
            return false;
    }
    next_token(p);
    return skip_statement(p);
}

static bool event_block(struct parser *p)
{
    struct tsdl_event event = {.present = true, .line = p->lex.line};
    uint64_t id = TSDL_EVENTS_MAX;
    uint64_t stream = 0;

    next_token(p);
    if (!take(p, "{"))
        return false;
    while (!is(p, "}")) {
        if (is(p, "fields")) {
            if (!event_fields(p, &event))
                return false;
            continue;
        }
        char name[TSDL_NAME];

        copy(name, sizeof(name), p->lex.text);
        if (p->lex.token != TSDL_WORD)
            return fail(p, "expected an attribute of event, found \"%s\"", p->lex.text);
        next_token(p);
        if (!take(p, "="))
            return false;
        if (!strcmp(name, "name"))
            copy(event.name, sizeof(event.name), p->lex.text);
        else if (!strcmp(name, "id") && p->lex.token == TSDL_NUMBER)
            id = p->lex.number;
        else if (!strcmp(name, "stream_id") && p->lex.token == TSDL_NUMBER)
            stream = p->lex.number;
        if (!skip_statement(p))
            return false;
    }
    if (id >= TSDL_EVENTS_MAX || !event.name[0])
        return fail(p, "an event needs a name and an id below %u", TSDL_EVENTS_MAX);
    if (stream >= TSDL_STREAMS)
        return fail(p, "event %s belongs to stream %u: ours are 0 and 1", event.name,
                    (unsigned)MIN(stream, 999));
    if (p->out->events[stream][id].present)
        return fail(p, "stream %u has two events with id %u", (unsigned)stream, (unsigned)id);
    p->out->events[stream][id] = event;
    next_token(p);
    return is(p, ";") ? skip_statement(p) : !p->failed;
}

static bool statement(struct parser *p)
{
    if (is(p, "typealias"))
        return type_alias(p);
    if (is(p, "enum"))
        return named_enum(p);
    if (is(p, "trace"))
        return block(p, trace_value);
    if (is(p, "env"))
        return block(p, env_value);
    if (is(p, "clock"))
        return block(p, clock_value);
    if (is(p, "stream"))
        return block(p, stream_value);
    if (is(p, "event"))
        return event_block(p);
    return skip_statement(p);
}

bool tsdl_parse(const char *text, size_t size, struct tsdl *out, char *error, size_t room)
{
    static const char first[] = "/* CTF 1.8";
    struct parser p = {
        .error = error,
        .room = room,
        .out = out,
    };

    tsdl_lexer_init(&p.lex, text, size);
    memset(out, 0, sizeof(*out));
    if (size < sizeof(first) - 1 || memcmp(text, first, sizeof(first) - 1) != 0)
        return fail(&p, "does not begin with \"/* CTF 1.8 */\", so this is no trace of ours");
    next_token(&p);
    while (p.lex.token != TSDL_END) {
        if (!statement(&p))
            return false;
    }
    return !p.failed;
}
