// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/wl_field.c -- the fields of a line: errors, names, numbers, key=value by a table.
 *
 * Invariants
 *   - A key that its table does not have ends in an error that lists those it has.
 *   - The first error counts; what follows from it is not reported.
 * Locking    none.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim/workload/wl_internal.h"

bool wl_fail(struct parser *p, uint32_t field, const char *format, ...)
{
    va_list arguments;

    if (p->failed)
        return false;
    p->failed = true;
    p->error->line = p->line;
    p->error->field = field + 1;
    va_start(arguments, format);
    vsnprintf(p->error->text, sizeof(p->error->text), format, arguments);
    va_end(arguments);
    return false;
}

/* Letters, digits and _.:/-+@ ; with `template` also {i}, {i+1}, {i-1}. */
bool wl_name_field(struct parser *p, uint32_t i, const char *text, size_t length, bool template,
                   const char *what, char out[WL_NAME_SIZE])
{
    if (!length || length >= WL_NAME_SIZE)
        return wl_fail(p, i, "%s: a name has 1 to %u characters", what, WL_NAME_SIZE - 1);
    for (size_t k = 0; k < length; k++) {
        if (!wl_name_char(text[k]) && !(template && (text[k] == '{' || text[k] == '}')))
            return wl_fail(p, i, "%s '%.*s': a name has letters, digits and _.:/-+@ only", what,
                           (int)length, text);
    }
    memcpy(out, text, length);
    out[length] = 0;
    return true;
}

bool wl_number(const char *text, size_t length, uint64_t max, uint64_t *value)
{
    uint64_t n = 0;

    if (!length)
        return false;
    for (size_t k = 0; k < length; k++) {
        if (text[k] < '0' || text[k] > '9' || n > max)
            return false;
        n = n * 10 + (uint64_t)(text[k] - '0');
    }
    *value = n;
    return n <= max;
}

/* "0,2-3" or "all" or a hexadecimal mask. */
static bool affinity_text(const char *text, size_t length, uint64_t *mask)
{
    uint64_t set = 0;
    size_t k = 0;

    if (length == 3 && !memcmp(text, "all", 3)) {
        *mask = 0;
        return true;
    }
    while (k < length) {
        unsigned first = 0, last, digits = 0;

        for (; k < length && text[k] >= '0' && text[k] <= '9' && first < 64; k++, digits++)
            first = first * 10 + (unsigned)(text[k] - '0');
        last = first;
        if (digits && k < length && text[k] == '-') {
            digits = 0;
            last = 0;
            for (k++; k < length && text[k] >= '0' && text[k] <= '9' && last < 64;
                 k++, digits++)
                last = last * 10 + (unsigned)(text[k] - '0');
        }
        if (!digits || last > 63 || first > last)
            return false;
        for (unsigned c = first; c <= last; c++)
            set |= BIT(c);
        if (k < length && text[k++] != ',')
            return false;
    }
    *mask = set;
    return set != 0;
}

static bool amount_text(const char *text, size_t length, struct wl_amount *out)
{
    uint64_t n;

    if (length == 2 && !memcmp(text, "-1", 2)) {  // esxcli's word for unlimited
        out->value = WL_UNSET;
        return true;
    }
    if (length > 3 && !memcmp(text + length - 3, "MHz", 3)) {
        out->unit = WL_UNIT_MHZ;
        if (!wl_number(text, length - 3, 100000000, &n))
            return false;
    } else if (length > 1 && text[length - 1] == '%') {
        char copy[24] = "";
        uint64_t ns;

        /* Two decimals are read as those of a time in microseconds. */
        out->unit = WL_UNIT_PERCENT;
        if (length > 16)
            return false;
        snprintf(copy, sizeof(copy), "%.*sus", (int)length - 1, text);
        if (!wl_time_parse(copy, length + 1, &ns) || ns % 10 || ns / 10 > 1000000000)
            return false;
        n = ns / 10;
    } else {
        out->unit = WL_UNIT_MHZ;
        if (!wl_number(text, length, 100000000, &n))
            return false;
    }
    out->value = (uint32_t)n;
    return true;
}

static bool key_value(struct parser *p, uint32_t i, const struct key *k, const char *text,
                      size_t length)
{
    uint64_t n = 0;
    char message[160] = "";

    switch (k->type) {
    case KEY_MHZ:
    case KEY_PERCENT:
        if (k->type == KEY_MHZ && length > 3 && !memcmp(text + length - 3, "MHz", 3))
            length -= 3;
        else if (k->type == KEY_PERCENT && length > 1 && text[length - 1] == '%')
            length--;
        fall_through;
    case KEY_U32:
        if (!wl_number(text, length, k->most, &n) || n < k->least)
            return wl_fail(p, i, "%s=%.*s: a number from %llu to %llu", k->name,
                           (int)MIN(length, 40u), text, (unsigned long long)k->least,
                           (unsigned long long)k->most);
        *(uint32_t *)k->to = (uint32_t)n;
        return true;
    case KEY_TIME:
        if (!wl_time_parse(text, length, &n) || n < k->least || n > k->most) {
            char least[32];

            wl_time_print(k->least, least);
            return wl_fail(p, i, "%s=%.*s: a time such as 2ms, at least %s", k->name,
                           (int)MIN(length, 40u), text, least);
        }
        *(uint64_t *)k->to = n;
        return true;
    case KEY_NAME: return wl_name_field(p, i, text, length, false, k->name, k->to);
    case KEY_AMOUNT:
        if (!amount_text(text, length, k->to))
            return wl_fail(p, i, "%s=%.*s: write 500MHz, or 25%% of a CPU", k->name,
                           (int)MIN(length, 40u), text);
        return true;
    case KEY_YES:
        if (length == 3 && !memcmp(text, "yes", 3))
            *(bool *)k->to = true;
        else if (length == 2 && !memcmp(text, "no", 2))
            *(bool *)k->to = false;
        else
            return wl_fail(p, i, "%s=%.*s: yes or no", k->name, (int)MIN(length, 40u), text);
        return true;
    case KEY_AFFINITY:
        if (!affinity_text(text, length, k->to))
            return wl_fail(p, i, "%s=%.*s: CPUs below 64 such as 0,2-3, or all", k->name,
                           (int)MIN(length, 40u), text);
        return true;
    case KEY_DIST:
        free(((struct wl_dist *)k->to)->choice);
        if (!wl_dist_parse(text, length, k->to, message, sizeof(message)))
            return wl_fail(p, i, "%s: %s", k->name, message);
        return true;
    case KEY_LOCK:
        for (unsigned l = 0; l < ARRAY_COUNT(wl_lock_words); l++) {
            if (strlen(wl_lock_words[l]) == length && !memcmp(wl_lock_words[l], text, length)) {
                *(enum wl_lock_kind *)k->to = (enum wl_lock_kind)l;
                return true;
            }
        }
        return wl_fail(p, i, "%s=%.*s: spin, ticket, adaptive or block", k->name,
                       (int)MIN(length, 40u), text);
    }
    return false;
}

/* All key=value fields from `first` on, by the table. */
bool wl_keys_read(struct parser *p, uint32_t first, const struct key *keys, size_t count)
{
    uint64_t used = 0;  // bits of keys

    for (uint32_t i = first; i < p->count; i++) {
        const struct field *f = &p->field[i];
        size_t k = 0;

        if (!f->key)
            return wl_fail(p, i, "'%.*s': expected key=value here", (int)MIN(f->length, 40u),
                           f->text);
        while (k < count &&
               (strlen(keys[k].name) != f->key || memcmp(keys[k].name, f->text, f->key) != 0))
            k++;
        if (k == count) {
            char known[160] = "";
            size_t length = 0;

            for (k = 0; k < count && length < sizeof(known) - 24; k++)
                length += (size_t)snprintf(known + length, sizeof(known) - length, " %s",
                                           keys[k].name);
            return wl_fail(p, i, "unknown key '%.*s'; known here:%s", (int)MIN(f->key, 24u),
                           f->text, known);
        }
        if (used & 1ull << k)
            return wl_fail(p, i, "%s stands twice on this line", keys[k].name);
        used |= 1ull << k;
        if (!key_value(p, i, &keys[k], f->text + f->key + 1, f->length - f->key - 1))
            return false;
    }
    return true;
}

bool wl_field_is(const struct field *f, const char *word)
{
    return strlen(word) == f->length && !memcmp(word, f->text, f->length);
}

/* The name in field 1. */
bool wl_name_here(struct parser *p, const char *what, char out[WL_NAME_SIZE])
{
    if (p->count < 2 || p->field[1].key)
        return wl_fail(p, 1, "%s needs a name after it", what);
    return wl_name_field(p, 1, p->field[1].text, p->field[1].length, false, what, out);
}
