// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxcli.c -- esxcli NAMESPACE... COMMAND: finds the command, reads its options.
 *
 * Commands are rows of tables, a file per namespace; here is what they share. An incomplete
 * name lists what could follow, as ESXi's program does.
 *
 * Invariants
 *   - A command runs only with all required options given and no unknown one.
 * Locking    none: one thread.
 * Start at   esxcli_main().
 * Sources    [ESXCLI] names of commands, options and fields
 */
#include "agents/vmtools/esxcli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct esxcli_command *const tables[] = {
    esxcli_host, esxcli_memory, esxcli_sched, esxcli_system, esxcli_vm, esxcli_coredump};

#define WORDS_MAX 8

int list_records(const struct call *call, enum records_form form, const char *type,
                 enum vmk_list_kind kind, size_t entry_size, list_records_fn *add)
{
    struct records *r = records_begin(form, type, true);
    uint32_t count;
    char *entries = vmk_list_get(kind, entry_size, &count);

    for (uint32_t i = 0; i < count; i++)
        add(r, call, entries + i * entry_size);
    free(entries);
    records_end(r, call->form);
    return EXIT_DONE;
}

uint64_t option_number(const char *word, const char *text, uint64_t most)
{
    uint64_t value;

    if (!number_of(text, most, &value))
        fail(EXIT_USAGE, "--%s=%s: a number up to %llu is wanted", word, text,
             (unsigned long long)most);
    return value;
}

/* How many words of `path` the given ones match; -1: they contradict it. */
static int match(const char *path, char *const *words, int count, bool *complete)
{
    int matched = 0;

    *complete = false;
    while (matched < count) {
        size_t length = strcspn(path, " ");

        if (strlen(words[matched]) != length || strncmp(path, words[matched], length) != 0)
            return -1;
        matched++;
        path += length;
        if (!*path) {
            *complete = true;
            return matched;
        }
        path++;
    }
    return matched;
}

static void options_print(const struct esxcli_command *c, FILE *to)
{
    fprintf(to, "Usage: esxcli %s%s\n\nDescription:\n  %s\n\n", c->path,
            c->option_count ? " [cmd options]" : "", c->what);
    if (c->option_count)
        fputs("Cmd options:\n", to);
    for (unsigned i = 0; i < c->option_count; i++)
        fprintf(to, "  -%c|--%s%s\n                        %s%s\n", c->options[i].letter,
                c->options[i].word, c->options[i].flag ? "" : "=<value>", c->options[i].what,
                c->options[i].required ? " (required)" : "");
}

/* What may follow the words, each once. */
static void namespace_print(char *const *words, int count, FILE *to)
{
    char seen[64][48];
    unsigned seen_count = 0;

    fputs("Usage: esxcli [--formatter=csv|keyvalue|xml|table|simple] ", to);
    for (int i = 0; i < count; i++)
        fprintf(to, "%s ", words[i]);
    fputs("{namespace|cmd} [cmd options]\n\nAvailable:\n", to);
    for (size_t t = 0; t < COUNT_OF(tables); t++) {
        for (const struct esxcli_command *c = tables[t]; c->path; c++) {
            const char *rest = c->path;
            bool complete, fresh = true;
            char word[48];

            if (match(c->path, words, count, &complete) != count || complete)
                continue;
            for (int i = 0; i < count; i++)
                rest = strchr(rest, ' ') + 1;
            snprintf(word, sizeof(word), "%.*s", (int)strcspn(rest, " "), rest);
            for (unsigned i = 0; i < seen_count; i++)
                fresh &= strcmp(seen[i], word) != 0;
            if (!fresh || seen_count == COUNT_OF(seen))
                continue;
            snprintf(seen[seen_count++], sizeof(seen[0]), "%s", word);
            fprintf(to, "  %-20s %s\n", word, strchr(rest, ' ') ? "(namespace)" : c->what);
        }
    }
}

static const struct esxcli_command *command_find(char *const *words, int count, int *used)
{
    for (size_t t = 0; t < COUNT_OF(tables); t++) {
        for (const struct esxcli_command *c = tables[t]; c->path; c++) {
            bool complete;

            *used = match(c->path, words, count, &complete);
            if (complete)
                return c;
        }
    }
    return NULL;
}

static bool namespace_exists(char *const *words, int count)
{
    for (size_t t = 0; t < COUNT_OF(tables); t++) {
        for (const struct esxcli_command *c = tables[t]; c->path; c++) {
            bool complete;

            if (match(c->path, words, count, &complete) == count)
                return true;
        }
    }
    return false;
}

/* Does this argument name that option? `value`: what stands behind "=", or null. */
static bool names(const char *argument, const struct option_row *o, const char **value)
{
    size_t length = strlen(o->word);

    *value = NULL;
    if (argument[1] == o->letter && (!argument[2] || !o->flag)) {
        if (argument[2])
            *value = argument + (argument[2] == '=' ? 3 : 2);
        return true;
    }
    if (argument[1] != '-' || strncmp(argument + 2, o->word, length) != 0 ||
        (argument[2 + length] && argument[2 + length] != '='))
        return false;
    if (argument[2 + length])
        *value = argument + 3 + length;
    return true;
}

static int options_read(const struct esxcli_command *c, int argc, char **argv,
                        struct call *call)
{
    for (int i = 0; i < argc; i++) {
        const char *value = NULL;
        unsigned o = 0;

        while (o < c->option_count && argv[i][0] == '-' &&
               !names(argv[i], &c->options[o], &value))
            o++;
        if (argv[i][0] != '-' || o == c->option_count) {
            complain("%s: %s: unknown option or argument; --help lists the options", c->path,
                     argv[i]);
            return EXIT_USAGE;
        }
        if (c->options[o].flag)
            value = "true";
        else if (!value && i + 1 < argc)
            value = argv[++i];
        if (!value) {
            complain("%s: --%s: needs a value", c->path, c->options[o].word);
            return EXIT_USAGE;
        }
        call->values[o] = value;
    }
    for (unsigned o = 0; o < c->option_count; o++) {
        if (c->options[o].required && !call->values[o]) {
            complain("%s: Missing required parameter -%c|--%s", c->path, c->options[o].letter,
                     c->options[o].word);
            return EXIT_USAGE;
        }
    }
    return EXIT_DONE;
}

static enum records_form form_of(const char *text)
{
    static const char *const forms[] = {"default", "table", "simple", "csv", "keyvalue", "xml"};

    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        if (strcmp(text, forms[i]) == 0)
            return (enum records_form)i;
    }
    fail(EXIT_USAGE, "--formatter=%s: must be csv, keyvalue, xml, table or simple", text);
}

int esxcli_main(int argc, char **argv)
{
    struct call call = {.form = RECORDS_DEFAULT};
    const struct esxcli_command *c;
    int at = 1, count = 0, used = 0, result;
    bool help = false;

    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strncmp(argv[at], "--formatter=", 12) == 0)
            call.form = form_of(argv[at] + 12);
        else if (strcmp(argv[at], "--formatter") == 0 && at + 1 < argc)
            call.form = form_of(argv[++at]);
        else if (strcmp(argv[at], "--help") == 0)
            help = true;
        else
            fail(EXIT_USAGE, "%s: unknown option; --help lists what there is", argv[at]);
    }
    while (at + count < argc && count < WORDS_MAX && argv[at + count][0] != '-')
        count++;
    c = command_find(argv + at, count, &used);
    if (!c) {
        help = help || (at + count < argc && strcmp(argv[at + count], "--help") == 0);
        if (!namespace_exists(argv + at, count)) {
            complain("Unknown command or namespace %s", argv[at]);
            return EXIT_USAGE;
        }
        namespace_print(argv + at, count, help ? stdout : stderr);
        return help ? EXIT_DONE : EXIT_USAGE;
    }
    at += used;
    if (help ||
        (at < argc && (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0))) {
        options_print(c, stdout);
        return EXIT_DONE;
    }
    result = options_read(c, argc - at, argv + at, &call);
    if (result == EXIT_DONE)
        result = c->run(&call);
    if (fflush(stdout) != 0)
        fail(EXIT_FAILED, "output: it could not be written");
    return result;
}
