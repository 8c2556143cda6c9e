// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/wl_parse.c -- text of the workload language into struct workload: lines and steps.
 *
 * A line that begins with a blank is a step of the world above it, any other line declares
 * something (wl_declare.c); so a file needs no brackets and a million imported steps stay
 * readable.
 * Fields are words or key=value; blanks inside parentheses belong to the field.
 *
 * Invariants
 *   - On failure everything is freed and the error has line, field and a remedy.
 *   - After success every count is within its limit and every loop has its begin
 *     (wl_close_world()).
 * Locking    none: one thread.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/workload/wl_internal.h"

#define LINE_MAX_BYTES 65536u

static bool step_time(struct parser *p, uint32_t at, uint32_t end, struct wl_step *s)
{
    const struct key keys[] = {{"phase", KEY_TIME, &s->phase, 0, WL_TIME_MOST}};

    if (at + 1 >= end ||
        !wl_time_parse(p->field[at + 1].text, p->field[at + 1].length, &s->value))
        return wl_fail(p, at + 1, "%s needs a time such as 10ms", wl_step_words[s->kind]);
    if (s->kind != WL_UNTIL && !s->value)
        return wl_fail(p, at + 1, "%s needs a time above 0", wl_step_words[s->kind]);
    if (at + 2 < end) {
        if (s->kind != WL_EVERY)
            return wl_fail(p, at + 2, "%s takes one time only", wl_step_words[s->kind]);

        uint32_t all = p->count;
        bool good;

        p->count = end;
        good = wl_keys_read(p, at + 2, keys, ARRAY_COUNT(keys));
        p->count = all;
        return good;
    }
    return true;
}

static bool step_dist(struct parser *p, uint32_t at, uint32_t end, struct wl_step *s)
{
    char message[160];
    uint32_t i = at + 1;
    const char *text;
    size_t length;

    if (wl_step_shapes[s->kind] == WL_SHAPE_KIND && i < end) {
        s->wait = WL_WAIT_IO;
        for (size_t k = 0; k < ARRAY_COUNT(wl_wait_words); k++) {
            if (wl_field_is(&p->field[i], wl_wait_words[k])) {
                s->wait = (uint8_t)k;
                i++;
                break;
            }
        }
    }
    if (i + 1 != end)
        return wl_fail(p, MIN(i, end), "%s takes one time or distribution",
                       wl_step_words[s->kind]);
    text = p->field[i].text;
    length = p->field[i].length;
    if (length > 4 && !memcmp(text, "lat=", 4)) {  // block io lat=1.2ms
        text += 4;
        length -= 4;
    }
    return wl_dist_parse(text, length, &s->dist, message, sizeof(message)) ||
           wl_fail(p, i, "%s", message);
}

static bool step_read(struct parser *p, uint32_t at, uint32_t end)
{
    const struct field *word = &p->field[at];
    unsigned kind = 0;
    char name[WL_NAME_SIZE];
    struct wl_step *s;

    while (kind < WL_STEP_COUNT && !wl_field_is(word, wl_step_words[kind]))
        kind++;
    if (kind == WL_STEP_COUNT)
        return wl_fail(p, at, "unknown step '%.*s'; a line that declares begins in column 1",
                       (int)MIN(word->length, 40u), word->text);
    if (p->w->step_count >= WL_STEPS_MAX)
        return wl_fail(p, at, "more than %u steps in all", WL_STEPS_MAX);
    s = wl_add_step(p->w, (enum wl_step_kind)kind, 0);
    s->line = p->line;
    switch (wl_step_shapes[kind]) {
    case WL_SHAPE_NONE:
        if (kind == WL_BEGIN && ++p->depth > WL_NEST_MAX)
            return wl_fail(p, at, "loops nest at most %u deep", WL_NEST_MAX);
        return at + 1 == end || wl_fail(p, at + 1, "%s takes nothing", wl_step_words[kind]);
    case WL_SHAPE_DIST:
    case WL_SHAPE_KIND: return step_dist(p, at, end, s);
    case WL_SHAPE_TIME: return step_time(p, at, end, s);
    case WL_SHAPE_NAME:
        if (at + 2 != end)
            return wl_fail(p, at + 1, "%s takes one name", wl_step_words[kind]);
        if (!wl_name_field(p, at + 1, p->field[at + 1].text, p->field[at + 1].length, true,
                           wl_step_words[kind], name))
            return false;
        s->text = wl_copied(name, strlen(name));
        return true;
    case WL_SHAPE_COUNT:
        if (at + 2 < end ||
            (at + 2 == end && (!wl_number(p->field[at + 1].text, p->field[at + 1].length,
                                          1000000000, &s->value) ||
                               !s->value)))
            return wl_fail(p, at + 1, "loop takes a count from 1 to 1000000000, or nothing");
        if (p->depth)
            p->depth--;
        return true;
    case WL_SHAPE_TEXT:
        for (uint32_t i = at + 1; i < end; i++) {
            if (!p->field[i].key)
                return wl_fail(p, i, "%s takes key=value fields", wl_step_words[kind]);
        }
        if (at + 1 == end)
            return wl_fail(p, at + 1, "%s takes key=value fields", wl_step_words[kind]);
        s->text = wl_copied(p->field[at + 1].text,
                            (size_t)(p->field[end - 1].text + p->field[end - 1].length -
                                     p->field[at + 1].text));
        return true;
    }
    return false;
}

static bool steps_read(struct parser *p)
{
    uint32_t at = 0;

    if (!p->in_world)
        return wl_fail(p, 0, "a step without a world: a line that declares begins in column 1");
    for (uint32_t i = 0; i <= p->count; i++) {
        if (i < p->count && !wl_field_is(&p->field[i], ";"))
            continue;
        if (i > at && !step_read(p, at, i))
            return false;
        at = i + 1;
    }
    return true;
}

/*
 * --- lines ----------------------------------------------------------------------------------
 */

/* Cuts the line into fields; blanks and ';' inside parentheses belong to the field. */
static bool split(struct parser *p, const char *text, size_t length)
{
    size_t i = 0;

    p->count = 0;
    for (;;) {
        while (i < length && (text[i] == ' ' || text[i] == '\t'))
            i++;
        if (i == length || text[i] == '#')
            return true;
        if (p->count == WL_FIELDS_MAX)
            return wl_fail(p, WL_FIELDS_MAX, "more than %u fields: use more lines",
                           WL_FIELDS_MAX);

        struct field *f = &p->field[p->count++];
        int depth = 0;

        *f = (struct field){.text = text + i};
        if (text[i] == ';') {
            f->length = 1;
            i++;
            continue;
        }
        for (; i < length; i++) {
            char c = text[i];

            if (!depth && (c == ' ' || c == '\t' || c == ';' || c == '#'))
                break;
            depth += c == '(';
            depth -= c == ')';
            if (c == '=' && !f->key && !depth)
                f->key = (size_t)(text + i - f->text);
            if (depth < 0)
                return wl_fail(p, p->count - 1, "')' without '('");
        }
        if (depth)
            return wl_fail(p, p->count - 1, "'(' without ')'");
        f->length = (size_t)(text + i - f->text);
    }
}

static bool line_read(struct parser *p, const char *text, size_t length)
{
    if (length && text[length - 1] == '\r')
        length--;
    if (length > LINE_MAX_BYTES)
        return wl_fail(p, 0, "the line has more than %u bytes", LINE_MAX_BYTES);
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < 32 && text[i] != '\t')
            return wl_fail(p, 0, "byte %zu is a control character (0x%02x): not a text file?",
                           i + 1, (unsigned char)text[i]);
    }
    if (!split(p, text, length))
        return false;
    if (!p->count)
        return true;
    return text[0] == ' ' || text[0] == '\t' ? steps_read(p) : wl_declare(p);
}

bool wl_parse(const char *text, size_t size, struct workload *w, struct wl_error *error)
{
    struct parser p = {.w = w, .error = error};

    wl_init(w);
    *error = (struct wl_error){.line = 0};
    while (size && !p.failed) {
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t)(end - text) : size;

        p.line++;
        (void)line_read(&p, text, length);
        text += length + (end != NULL);
        size -= length + (end != NULL);
    }
    if (!p.failed)
        (void)wl_close_world(&p);
    if (!p.failed && !w->world_count) {
        p.line++;
        (void)wl_fail(&p, 0, "no world in the file: add at least `world NAME` and its steps");
    }
    if (p.failed)
        wl_free(w);
    return !p.failed;
}

bool wl_parse_file(const char *path, struct workload *w, struct wl_error *error)
{
    FILE *file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    size_t size = 0, room = 1u << 16;
    char *text = malloc(room);
    bool good;

    *error = (struct wl_error){.line = 0};
    if (!file || !text) {
        snprintf(error->text, sizeof(error->text), "cannot be opened; check the name");
        if (file && file != stdin)
            fclose(file);
        free(text);
        return false;
    }
    for (;;) {
        size_t got = fread(text + size, 1, room - size, file);

        size += got;
        if (!got)
            break;
        if (size == room) {
            char *bigger = realloc(text, room *= 2);

            if (!bigger) {
                fputs("orrery: no memory for the workload\n", stderr);
                exit(3);
            }
            text = bigger;
        }
    }
    good = !ferror(file);
    if (file != stdin)
        fclose(file);
    if (!good)
        snprintf(error->text, sizeof(error->text), "cannot be read; is it a file?");
    else
        good = wl_parse(text, size, w, error);
    free(text);
    return good;
}
