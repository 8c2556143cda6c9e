// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/import_tsdl.c -- the parser for the metadata of foreign CTF 1.8 traces.
 *
 * TSDL is C's declarations with attributes. Names of types (typedef, typealias, `struct name
 * {`) go into one list; a scope is not kept, since neither perf nor LTTng needs one. Attributes
 * that say nothing about the layout (encoding, base, precision) are read and passed over.
 *
 * Invariants
 *   - Any text is safe: nesting is bounded (DEPTH_MAX), and the first error ends with its line.
 *   - Every type is in metadata.all and is freed once.
 * Locking    none.
 * Sources    [CTF18] "TSDL"
 */
#include "trace/import_tsdl.h"

#include <stdlib.h>
#include <string.h>

#include "trace/tool.h"
#include "trace/tsdl_lexer.h"

#define DEPTH_MAX  32u
#define FIELDS_MAX 512u
#define RANGES_MAX 4096u
#define ARRAY_MOST (1u << 20)

struct named {
    struct named *next;
    const struct ctf_type *type;
    char name[];
};

struct parser {
    struct ctf_metadata *m;
    struct tsdl_lexer lex;
    uint32_t depth;
    bool failed;
    char *error;
    size_t room;
};

static bool fail(struct parser *p, const char *what)
{
    if (!p->failed)
        snprintf(p->error, p->room, "line %u: %s at '%.40s'", p->lex.line, what, p->lex.text);
    p->failed = true;
    return false;
}

static void *allocated(size_t size)
{
    void *block = calloc(1, size);

    if (!block) {
        fputs("orrery-trace: no memory for the metadata\n", stderr);
        exit(TOOL_BAD);
    }
    return block;
}

static char *copied(const char *text)
{
    char *copy = allocated(strlen(text) + 1);

    strcpy(copy, text);
    return copy;
}

static void next(struct parser *p)
{
    tsdl_lexer_next(&p->lex);
}

static bool is(const struct parser *p, const char *text)
{
    return tsdl_lexer_is(&p->lex, text);
}

static bool take(struct parser *p, const char *text)
{
    if (!is(p, text))
        return false;
    next(p);
    return true;
}

static bool expect(struct parser *p, const char *text)
{
    char what[64];

    if (take(p, text))
        return true;
    snprintf(what, sizeof(what), "expected %s", text);
    return fail(p, what);
}

static struct ctf_type *type_new(struct parser *p, enum ctf_kind kind)
{
    struct ctf_type *t = allocated(sizeof(*t));

    t->kind = kind;
    t->align = 1;
    t->next = p->m->all;
    p->m->all = t;
    return t;
}

static void name_set(struct parser *p, const char *name, const struct ctf_type *type)
{
    struct named *n = allocated(sizeof(*n) + strlen(name) + 1);

    strcpy(n->name, name);
    n->type = type;
    n->next = p->m->names;
    p->m->names = n;
}

static const struct ctf_type *name_get(const struct parser *p, const char *name)
{
    for (const struct named *n = p->m->names; n; n = n->next) {
        if (!strcmp(n->name, name))
            return n->type;
    }
    return NULL;
}

static const struct ctf_type *type_read(struct parser *p);

static enum ctf_order order_of(const char *word)
{
    if (!strcmp(word, "be") || !strcmp(word, "network"))
        return CTF_ORDER_BIG;
    return strcmp(word, "le") ? CTF_ORDER_NATIVE : CTF_ORDER_LITTLE;
}

/* `{ key = value; ... }` of an integer, string or float. The brace is the current token. */
static bool attributes(struct parser *p, struct ctf_type *t)
{
    if (!expect(p, "{"))
        return false;
    while (!p->failed && !take(p, "}")) {
        char key[TSDL_TOKEN];

        if (p->lex.token != TSDL_WORD)
            return fail(p, "expected an attribute");
        strcpy(key, p->lex.text);
        next(p);
        if (!expect(p, "="))
            return false;
        if (!strcmp(key, "size") || !strcmp(key, "align") || !strcmp(key, "exp_dig") ||
            !strcmp(key, "mant_dig")) {
            if (p->lex.token != TSDL_NUMBER || p->lex.number < 1 || p->lex.number > 64)
                return fail(p, "a size or an alignment is 1 to 64 bits");
            if (!strcmp(key, "align"))
                t->align = (uint32_t)p->lex.number;
            else if (!strcmp(key, "size"))
                t->size = (uint32_t)p->lex.number;
            else
                t->size += (uint32_t)p->lex.number;
        } else if (!strcmp(key, "signed")) {
            t->is_signed = !strcmp(p->lex.text, "true") || !strcmp(p->lex.text, "TRUE") ||
                           !strcmp(p->lex.text, "1");
        } else if (!strcmp(key, "encoding")) {
            t->text = !strcmp(p->lex.text, "UTF8") || !strcmp(p->lex.text, "ASCII");
        } else if (!strcmp(key, "map")) {
            t->clock = true;
        } else if (!strcmp(key, "byte_order")) {
            t->order = order_of(p->lex.text);
        }
        while (!p->failed && p->lex.token != TSDL_END && !take(p, ";"))
            next(p);
        if (p->lex.token == TSDL_END)
            return fail(p, "the attributes do not end");
    }
    if (t->kind == CTF_INTEGER && (!t->size || t->size > 64))
        return fail(p, "an integer needs a size of 1 to 64 bits");
    if (t->align & (t->align - 1))
        return fail(p, "an alignment is a power of two");
    return true;
}

/* `name`, `name[8]`, `name[length_field]` behind a type; the name into `out`. */
static const struct ctf_type *declarator(struct parser *p, const struct ctf_type *type,
                                         char out[TSDL_TOKEN])
{
    if (p->lex.token != TSDL_WORD) {
        fail(p, "expected a name");
        return NULL;
    }
    strcpy(out, p->lex.text);
    next(p);
    while (!p->failed && take(p, "[")) {
        struct ctf_type *t;

        if (p->lex.token == TSDL_NUMBER) {
            if (p->lex.number > ARRAY_MOST) {
                fail(p, "an array is too long");
                return NULL;
            }
            t = type_new(p, CTF_ARRAY);
            t->length = p->lex.number;
            next(p);
        } else {
            char tag[TSDL_TOKEN] = "";

            while (p->lex.token == TSDL_WORD || is(p, ".")) {  // the last word counts
                if (p->lex.token == TSDL_WORD)
                    strcpy(tag, p->lex.text);
                next(p);
            }
            t = type_new(p, CTF_SEQUENCE);
            t->tag = copied(tag);
        }
        t->element = type;
        t->align = type->align;
        type = t;
        if (!expect(p, "]"))
            return NULL;
    }
    return type;
}

static bool fields_read(struct parser *p, struct ctf_type *t)
{
    uint32_t room = 0;

    if (!expect(p, "{"))
        return false;
    while (!p->failed && !take(p, "}")) {
        const struct ctf_type *type;
        char name[TSDL_TOKEN];

        if (p->lex.token == TSDL_END || t->field_count == FIELDS_MAX)
            return fail(p, "a structure does not end, or is too long");
        type = type_read(p);
        if (!type || (type = declarator(p, type, name)) == NULL || !expect(p, ";"))
            return false;
        if (t->field_count == room) {
            room = room ? 2 * room : 16;
            t->fields = realloc(t->fields, room * sizeof(*t->fields));
            if (!t->fields)
                exit(TOOL_BAD);
        }
        t->fields[t->field_count++] = (struct ctf_field){copied(name), type};
        if (t->kind == CTF_STRUCT)
            t->align = MAX(t->align, type->align);
    }
    return !p->failed;
}

static bool align_read(struct parser *p, struct ctf_type *t)
{
    if (!take(p, "align"))
        return true;
    if (!expect(p, "("))
        return false;
    if (p->lex.token != TSDL_NUMBER || p->lex.number < 1 || p->lex.number > 64 ||
        (p->lex.number & (p->lex.number - 1)))
        return fail(p, "an alignment is a power of two up to 64");
    t->align = MAX(t->align, (uint32_t)p->lex.number);
    next(p);
    return expect(p, ")");
}

static int64_t signed_number(struct parser *p)
{
    int64_t sign = take(p, "-") ? -1 : 1;
    int64_t value = (int64_t)(p->lex.number * (uint64_t)sign);

    if (p->lex.token != TSDL_NUMBER)
        fail(p, "expected a number");
    next(p);
    return value;
}

static bool ranges_read(struct parser *p, struct ctf_type *t)
{
    int64_t value = 0;
    uint32_t room = 0;

    if (!expect(p, "{"))
        return false;
    while (!p->failed && !take(p, "}")) {
        struct ctf_range r = {.name = NULL};

        if ((p->lex.token != TSDL_WORD && p->lex.token != TSDL_STRING) ||
            t->range_count == RANGES_MAX)
            return fail(p, "expected a name of the enumeration");
        r.name = copied(p->lex.text);
        next(p);
        r.first = r.last = value;
        if (take(p, "=")) {
            r.first = r.last = signed_number(p);
            if (take(p, "..."))
                r.last = signed_number(p);
        }
        value = (int64_t)((uint64_t)r.last + 1);
        if (t->range_count == room) {
            room = room ? 2 * room : 16;
            t->ranges = realloc(t->ranges, room * sizeof(*t->ranges));
            if (!t->ranges)
                exit(TOOL_BAD);
        }
        t->ranges[t->range_count++] = r;
        if (!take(p, ",") && !is(p, "}"))
            return fail(p, "expected , or }");
    }
    return !p->failed;
}

static const struct ctf_type *enum_read(struct parser *p)
{
    struct ctf_type *t = type_new(p, CTF_ENUM);
    char name[TSDL_TOKEN + 8] = "";

    if (p->lex.token == TSDL_WORD) {
        snprintf(name, sizeof(name), "enum %s", p->lex.text);
        next(p);
    }
    if (take(p, ":"))
        t->element = type_read(p);
    else
        t->element = name_get(p, "int");
    if (name[0] && !is(p, "{"))
        return name_get(p, name);
    if (!t->element || t->element->kind != CTF_INTEGER) {
        fail(p, "an enumeration needs an integer type");
        return NULL;
    }
    t->align = t->element->align;
    if (!ranges_read(p, t))
        return NULL;
    if (name[0])
        name_set(p, name, t);
    return t;
}

/* The fields of a variant that was declared without a tag, in one that has one. */
static const struct ctf_type *variant_tagged(struct ctf_type *t, const struct ctf_type *known)
{
    t->fields = allocated((known->field_count + 1) * sizeof(*t->fields));
    for (; t->field_count < known->field_count; t->field_count++) {
        const struct ctf_field *f = &known->fields[t->field_count];

        t->fields[t->field_count] = (struct ctf_field){copied(f->name), f->type};
    }
    if (!t->tag && known->tag)
        t->tag = copied(known->tag);
    return t;
}

static const struct ctf_type *struct_read(struct parser *p, enum ctf_kind kind)
{
    char name[TSDL_TOKEN + 8] = "";
    struct ctf_type *t;

    if (p->lex.token == TSDL_WORD && !is(p, "align")) {
        snprintf(name, sizeof(name), "%s %s", kind == CTF_STRUCT ? "struct" : "variant",
                 p->lex.text);
        next(p);
        if (kind == CTF_STRUCT && !is(p, "{")) {
            const struct ctf_type *known = name_get(p, name);

            if (!known)
                fail(p, "a structure that was not declared");
            return known;
        }
    }
    t = type_new(p, kind);
    if (kind == CTF_VARIANT && take(p, "<")) {
        while (p->lex.token == TSDL_WORD || is(p, ".")) {
            if (p->lex.token == TSDL_WORD) {
                free(t->tag);
                t->tag = copied(p->lex.text);
            }
            next(p);
        }
        if (!expect(p, ">"))
            return NULL;
    }
    if (kind == CTF_VARIANT && name[0] && !is(p, "{")) {
        const struct ctf_type *known = name_get(p, name);

        if (!known || known->kind != CTF_VARIANT) {
            fail(p, "a variant that was not declared");
            return NULL;
        }
        return variant_tagged(t, known);
    }
    if (!fields_read(p, t) || !align_read(p, t))
        return NULL;
    if (name[0])
        name_set(p, name, t);
    return t;
}

/*
 * "unsigned long int": as many words as make a known name, but the last may be the declarator.
 */
static const struct ctf_type *named_read(struct parser *p)
{
    char name[TSDL_TOKEN] = "";
    const struct ctf_type *type = NULL;

    while (p->lex.token == TSDL_WORD) {
        char longer[2 * TSDL_TOKEN + 2];

        snprintf(longer, sizeof(longer), "%s%s%s", name, name[0] ? " " : "", p->lex.text);
        if (type && !name_get(p, longer))
            return type;
        if (strlen(longer) >= TSDL_TOKEN)
            break;
        strcpy(name, longer);
        type = name_get(p, name);
        next(p);
    }
    if (!type)
        fail(p, "a type that was not declared");
    return type;
}

static const struct ctf_type *type_read(struct parser *p)
{
    const struct ctf_type *type = NULL;

    if (++p->depth > DEPTH_MAX) {
        fail(p, "types nest too deep");
    } else if (take(p, "integer")) {
        struct ctf_type *t = type_new(p, CTF_INTEGER);

        type = attributes(p, t) ? t : NULL;
    } else if (take(p, "floating_point")) {
        struct ctf_type *t = type_new(p, CTF_FLOAT);

        type = attributes(p, t) ? t : NULL;
    } else if (take(p, "string")) {
        struct ctf_type *t = type_new(p, CTF_STRING);

        type = !is(p, "{") || attributes(p, t) ? t : NULL;
        t->align = 8;
    } else if (take(p, "struct")) {
        type = struct_read(p, CTF_STRUCT);
    } else if (take(p, "variant")) {
        type = struct_read(p, CTF_VARIANT);
    } else if (take(p, "enum")) {
        type = enum_read(p);
    } else {
        type = named_read(p);
    }
    p->depth--;
    return p->failed ? NULL : type;
}

/*
 * --- blocks ---------------------------------------------------------------------------------
 */

/* typealias TYPE := name words; */
static bool typealias(struct parser *p)
{
    const struct ctf_type *type = type_read(p);
    char name[TSDL_TOKEN] = "";

    if (!type || !expect(p, ":="))
        return false;
    while (p->lex.token == TSDL_WORD) {
        size_t used = strlen(name);

        if (used + strlen(p->lex.text) + 2 > sizeof(name))
            return fail(p, "a name is too long");
        if (used)
            name[used++] = ' ';
        strcpy(name + used, p->lex.text);
        next(p);
    }
    name_set(p, name, type);
    return expect(p, ";");
}

static bool typedefed(struct parser *p)
{
    const struct ctf_type *type = type_read(p);
    char name[TSDL_TOKEN];

    if (!type || (type = declarator(p, type, name)) == NULL)
        return false;
    name_set(p, name, type);
    return expect(p, ";");
}

struct block {
    const struct ctf_type *header, *context, *event_header, *event_context, *fields;
    uint64_t id, stream_id;
    char name[TSDL_TOKEN];
    bool has_id;
};

/* `key.key := type;` or `key = value;` until the brace closes. */
static bool block_read(struct parser *p, struct block *b, const char *what)
{
    if (!expect(p, "{"))
        return false;
    while (!p->failed && !take(p, "}")) {
        char key[2 * TSDL_TOKEN] = "";

        if (p->lex.token == TSDL_END)
            return fail(p, "a block does not end");
        if (is(p, "typealias") || is(p, "typedef")) {
            bool alias = is(p, "typealias");

            next(p);
            if (!(alias ? typealias(p) : typedefed(p)))
                return false;
            continue;
        }
        while (p->lex.token == TSDL_WORD || is(p, ".")) {
            if (strlen(key) + strlen(p->lex.text) + 1 < sizeof(key))
                strcat(key, p->lex.text);
            next(p);
        }
        if (take(p, ":=")) {
            const struct ctf_type *type = type_read(p);

            if (!type)
                return false;
            if (!strcmp(key, "packet.header"))
                b->header = type;
            else if (!strcmp(key, "packet.context"))
                b->context = type;
            else if (!strcmp(key, "event.header"))
                b->event_header = type;
            else if (!strcmp(key, "event.context") || !strcmp(key, "context"))
                b->event_context = type;
            else if (!strcmp(key, "fields"))
                b->fields = type;
            if (!expect(p, ";"))
                return false;
            continue;
        }
        if (!expect(p, "="))
            return false;
        if (!strcmp(key, "id")) {
            b->id = p->lex.number;
            b->has_id = true;
        } else if (!strcmp(key, "stream_id")) {
            b->stream_id = p->lex.number;
        } else if (!strcmp(key, "name")) {
            strcpy(b->name, p->lex.text);
        } else if (!strcmp(key, "freq") && !strcmp(what, "clock")) {
            p->m->clock_freq = p->lex.number;
        } else if (!strcmp(key, "byte_order") && !strcmp(what, "trace")) {
            p->m->big_endian = order_of(p->lex.text) == CTF_ORDER_BIG;
        } else if (!strcmp(key, "tracer_name")) {
            p->m->lttng = !strncmp(p->lex.text, "lttng", 5);
            p->m->perf = !strcmp(p->lex.text, "perf");
        }
        while (!p->failed && p->lex.token != TSDL_END && !take(p, ";"))
            next(p);
    }
    return !p->failed && (take(p, ";") || true);
}

static bool stream_add(struct parser *p, const struct block *b)
{
    struct ctf_metadata *m = p->m;

    if (m->stream_count == CTF_STREAMS_MAX)
        return fail(p, "too many stream classes");
    m->streams[m->stream_count++] =
        (struct ctf_stream_class){b->id, b->context, b->event_header, b->event_context};
    return true;
}

static bool event_add(struct parser *p, const struct block *b)
{
    struct ctf_metadata *m = p->m;
    uint32_t stream = 0;

    while (stream < m->stream_count && m->streams[stream].id != b->stream_id)
        stream++;
    if (stream == m->stream_count || m->event_count == CTF_EVENTS_MAX)
        return fail(p, "an event of a stream that was not declared, or too many events");
    if (!(m->event_count & (m->event_count - 1))) {
        m->events = realloc(m->events, MAX(1u, 2 * m->event_count) * sizeof(*m->events));
        if (!m->events)
            exit(TOOL_BAD);
    }
    m->events[m->event_count++] =
        (struct ctf_event){copied(b->name), b->id, stream, b->event_context, b->fields};
    return true;
}

static bool top(struct parser *p)
{
    struct block b = {.id = 0};

    if (take(p, "typealias"))
        return typealias(p);
    if (take(p, "typedef"))
        return typedefed(p);
    if (take(p, "trace")) {
        if (!block_read(p, &b, "trace"))
            return false;
        p->m->packet_header = b.header;
        return true;
    }
    if (take(p, "stream"))
        return block_read(p, &b, "stream") && stream_add(p, &b);
    if (take(p, "event"))
        return block_read(p, &b, "event") && event_add(p, &b);
    if (is(p, "env") || is(p, "clock") || is(p, "callsite")) {
        char what[16];

        snprintf(what, sizeof(what), "%.15s", p->lex.text);
        next(p);
        return block_read(p, &b, what);
    }
    if (is(p, "struct") || is(p, "variant") || is(p, "enum"))
        return type_read(p) != NULL && expect(p, ";");
    return fail(p, "a declaration that is not known");
}

bool ctf_metadata_parse(const char *text, size_t size, struct ctf_metadata *m, char *error,
                        size_t room)
{
    struct parser p = {.m = m, .error = error, .room = room};

    tsdl_lexer_init(&p.lex, text, size);
    *m = (struct ctf_metadata){.clock_freq = 1000000000};
    next(&p);
    while (!p.failed && p.lex.token != TSDL_END) {
        if (!top(&p))
            (void)fail(&p, "cannot be read");
    }
    if (!p.failed && (!m->stream_count || !m->clock_freq))
        (void)fail(&p, "no stream declared, or a clock of 0 Hz");
    if (p.failed)
        ctf_metadata_free(m);
    return !p.failed;
}

void ctf_metadata_free(struct ctf_metadata *m)
{
    for (struct ctf_type *t = m->all, *after; t; t = after) {
        after = t->next;
        for (uint32_t i = 0; i < t->field_count; i++)
            free(t->fields[i].name);
        for (uint32_t i = 0; i < t->range_count; i++)
            free(t->ranges[i].name);
        free(t->fields);
        free(t->ranges);
        free(t->tag);
        free(t);
    }
    for (struct named *n = m->names, *after; n; n = after) {
        after = n->next;
        free(n);
    }
    for (uint32_t i = 0; i < m->event_count; i++)
        free(m->events[i].name);
    free(m->events);
    *m = (struct ctf_metadata){.packet_header = NULL};
}
