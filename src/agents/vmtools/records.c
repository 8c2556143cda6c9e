// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/records.c -- collects records and prints them as table, lines, CSV, key=value or XML.
 *
 * The forms are those that esxcli's documentation shows: a table has a line of dashes under its
 * titles and two blanks between columns, numbers to the right; CSV has the names without
 * blanks, in alphabetical order, with a comma behind the last; key-value lines are
 * Type.Name.kind=value.
 *
 * Invariants
 *   - A field is added to the last record only (records_add() first).
 * Locking    none: one thread.
 * Sources    [ESXCLI] output formatting
 */
#include "agents/vmtools/records.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    KIND_TEXT,
    KIND_NUMBER,
    KIND_FLAG
};

struct field {
    const char *name;
    enum kind kind;
    char *value;
};

#define FIELDS_MAX 48u
struct record {
    char *title;
    struct field fields[FIELDS_MAX];
    unsigned count;
};

struct records {
    enum records_form form;
    const char *type;
    bool list;
    struct record *all;
    unsigned count, room;
};

static const char *const kind_names[] = {"string", "integer", "boolean"};

struct records *records_begin(enum records_form form, const char *type, bool list)
{
    struct records *r = allocate(sizeof(*r));

    r->form = form;
    r->type = type;
    r->list = list;
    return r;
}

void records_add(struct records *r, const char *title)
{
    if (r->count == r->room) {
        r->room = r->room ? 2 * r->room : 16;
        r->all = realloc(r->all, r->room * sizeof(*r->all));
        if (!r->all)
            fail(EXIT_FAILED, "no memory for %u records", r->room);
    }
    memset(&r->all[r->count], 0, sizeof(r->all[0]));
    if (title)
        r->all[r->count].title = text_of("%s", title);
    r->count++;
}

static void add(struct records *r, const char *name, enum kind kind, char *value)
{
    struct record *last = &r->all[r->count - 1];

    if (last->count == FIELDS_MAX)
        fail(EXIT_FAILED, "%s: more than %u fields", r->type, FIELDS_MAX);
    last->fields[last->count++] = (struct field){name, kind, value};
}

void records_text(struct records *r, const char *name, const char *format, ...)
{
    va_list arguments;
    char *value;

    va_start(arguments, format);
    if (vasprintf(&value, format, arguments) < 0)
        fail(EXIT_FAILED, "no memory for a text");
    va_end(arguments);
    add(r, name, KIND_TEXT, value);
}

void records_number(struct records *r, const char *name, uint64_t value)
{
    add(r, name, KIND_NUMBER, text_of("%llu", (unsigned long long)value));
}

void records_flag(struct records *r, const char *name, bool value)
{
    add(r, name, KIND_FLAG, text_of("%s", value ? "true" : "false"));
}

/* ---- the forms ---- */

static void print_table(const struct records *r)
{
    size_t width[FIELDS_MAX] = {0};
    unsigned columns = r->count ? r->all[0].count : 0;

    for (unsigned c = 0; c < columns; c++) {
        width[c] = strlen(r->all[0].fields[c].name);
        for (unsigned i = 0; i < r->count; i++) {
            size_t length = strlen(r->all[i].fields[c].value);

            width[c] = length > width[c] ? length : width[c];
        }
    }
    for (int line = -2; columns && line < (int)r->count; line++) {
        for (unsigned c = 0; c < columns; c++) {
            const struct field *f = &r->all[line < 0 ? 0 : line].fields[c];
            const char *text = line == -2 ? f->name : f->value;
            bool last = c + 1 == columns;

            if (line == -1) {
                for (size_t i = 0; i < width[c]; i++)
                    putchar('-');
            } else if (f->kind == KIND_NUMBER) {
                printf("%*s", (int)width[c], text);
            } else {
                printf("%-*s", last ? 0 : (int)width[c], text);
            }
            fputs(last ? "\n" : "  ", stdout);
        }
    }
}

static void print_simple(const struct records *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        const struct record *one = &r->all[i];

        if (one->title)
            printf("%s\n", one->title);
        for (unsigned c = 0; c < one->count; c++)
            printf("   %s: %s\n", one->fields[c].name, one->fields[c].value);
        if (one->title && i + 1 < r->count)
            putchar('\n');
    }
}

/* "VMX Cartel ID" as VMXCartelID; "System?" as System. */
static char *word_of(const char *name)
{
    char *word = allocate(strlen(name) + 1);
    size_t n = 0;

    for (; *name; name++) {
        if (isalnum((unsigned char)*name))
            word[n++] = *name;
    }
    return word;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct field *const *)a)->name,
                  (*(const struct field *const *)b)->name);
}

static unsigned sorted(const struct record *one, const struct field *out[FIELDS_MAX])
{
    for (unsigned c = 0; c < one->count; c++)
        out[c] = &one->fields[c];
    qsort(out, one->count, sizeof(out[0]), by_name);
    return one->count;
}

/* Quoted if it holds what would end it. */
static void csv_value(const char *text)
{
    bool quote = strpbrk(text, ",\"\n\r");

    if (quote)
        putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    if (quote)
        putchar('"');
    putchar(',');
}

static void print_csv(const struct records *r)
{
    const struct field *fields[FIELDS_MAX];

    for (unsigned i = 0; i < r->count; i++) {
        unsigned columns = sorted(&r->all[i], fields);

        for (unsigned c = 0; i == 0 && c < columns; c++) {
            char *word = word_of(fields[c]->name);

            csv_value(word);
            free(word);
        }
        if (i == 0)
            putchar('\n');
        for (unsigned c = 0; c < columns; c++)
            csv_value(fields[c]->value);
        putchar('\n');
    }
}

static void print_keyvalue(const struct records *r)
{
    const struct field *fields[FIELDS_MAX];

    for (unsigned i = 0; i < r->count; i++) {
        unsigned columns = sorted(&r->all[i], fields);

        for (unsigned c = 0; c < columns; c++) {
            char *word = word_of(fields[c]->name);

            fputs(r->type, stdout);
            if (r->list)
                printf("[%u]", i);
            printf(".%s.%s=%s\n", word, kind_names[fields[c]->kind], fields[c]->value);
            free(word);
        }
    }
}

static void xml_text(const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<': fputs("&lt;", stdout); break;
        case '>': fputs("&gt;", stdout); break;
        case '&': fputs("&amp;", stdout); break;
        case '"': fputs("&quot;", stdout); break;
        default: putchar(*text); break;
        }
    }
}

static void print_xml(const struct records *r)
{
    puts("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
         "<output xmlns=\"http://www.vmware.com/Products/ESX/5.0/esxcli\">\n<root>");
    if (r->list)
        puts("   <list type=\"structure\">");
    for (unsigned i = 0; i < r->count; i++) {
        const struct record *one = &r->all[i];

        printf("      <structure typeName=\"%s\">\n", r->type);
        for (unsigned c = 0; c < one->count; c++) {
            const struct field *f = &one->fields[c];
            char *word = word_of(f->name);

            printf("         <field name=\"%s\">\n            <%s>", word, kind_names[f->kind]);
            xml_text(f->value);
            printf("</%s>\n         </field>\n", kind_names[f->kind]);
            free(word);
        }
        puts("      </structure>");
    }
    if (r->list)
        puts("   </list>");
    puts("</root>\n</output>");
}

void records_end(struct records *r, enum records_form wanted)
{
    switch (wanted == RECORDS_DEFAULT ? r->form : wanted) {
    case RECORDS_CSV: print_csv(r); break;
    case RECORDS_KEYVALUE: print_keyvalue(r); break;
    case RECORDS_XML: print_xml(r); break;
    case RECORDS_TABLE: print_table(r); break;
    case RECORDS_SIMPLE:
    case RECORDS_DEFAULT: print_simple(r); break;
    }
    for (unsigned i = 0; i < r->count; i++) {
        for (unsigned c = 0; c < r->all[i].count; c++)
            free(r->all[i].fields[c].value);
        free(r->all[i].title);
    }
    free(r->all);
    free(r);
}
