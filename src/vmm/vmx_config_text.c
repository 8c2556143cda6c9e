// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vmx_config_text.c -- the lines of a .vmx file into keys and values, and values into numbers.
 *
 * One `key = "value"` a line, `#` begins a comment line. Inside a value `|` and two hexadecimal
 * digits stand for one character (`|22` is a quote). No byte of the file is trusted: a zero
 * byte, a key or a value longer than its room, and text behind the value are errors of their
 * line.
 *
 * Invariants
 *   - `key` and `value` end with NUL, whatever was read.
 *   - `line` is the line that an error is about.
 * Locking    none: pure.
 * Start at   vmx_setting_next().
 */
#include "lib/ascii.h"
#include "lib/format.h"
#include "lib/string.h"
#include "vmm/vmx_config_internal.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

vmk_status vmx_fail(struct vmx_parser *p, const char *what)
{
    vmk_snprintf(p->error, p->error_size, "%s:%u: %s: %s", p->file, p->line,
                 p->key[0] ? p->key : "line", what);
    return VMK_BAD_FORMAT;
}

vmk_status vmx_fail_at(struct vmx_parser *p, const char *key, unsigned line, const char *what)
{
    vmk_snprintf(p->key, sizeof(p->key), "%s", key);
    p->line = line;
    return vmx_fail(p, what);
}

/* ---- one line into key and value ---- */

static vmk_status key_read(struct vmx_parser *p, const char **cursor, const char *end)
{
    const char *c = *cursor;
    size_t length = 0;

    while (c < end && *c != '=' && !is_space(*c) && *c != '"') {
        if (length + 1 == VMX_KEY_SIZE) {
            p->key[0] = '\0';
            return vmx_fail(p, "key too long");
        }
        if (*c == '\0')
            return vmx_fail(p, "a zero byte");
        p->key[length++] = *c++;
        p->key[length] = '\0';
    }
    *cursor = c;
    return length ? VMK_OK : vmx_fail(p, "no key");
}

static vmk_status value_read(struct vmx_parser *p, const char **cursor, const char *end)
{
    const char *c = *cursor;
    size_t length = 0;

    while (c < end && *c != '"') {
        char character = *c++;
        if (character == '|' && end - c >= 2 && ascii_hex(c[0]) >= 0 && ascii_hex(c[1]) >= 0) {
            character = (char)(ascii_hex(c[0]) * 16 + ascii_hex(c[1]));
            c += 2;
        }
        if (character == '\0')
            return vmx_fail(p, "a zero byte");
        if (length + 1 == VMX_VALUE_SIZE)
            return vmx_fail(p, "value too long");
        p->value[length++] = character;
    }
    p->value[length] = '\0';
    if (c == end)
        return vmx_fail(p, "no closing quote");
    *cursor = c + 1;
    return VMK_OK;
}

static void spaces_skip(const char **cursor, const char *end)
{
    while (*cursor < end && is_space(**cursor))
        ++*cursor;
}

vmk_status vmx_setting_next(struct vmx_parser *p)
{
    while (p->at < p->size) {
        const char *c = p->text + p->at;
        const char *end = c;
        vmk_status status;

        while (end < p->text + p->size && *end != '\n')
            end++;
        p->at = (size_t)(end - p->text) + 1;
        p->line++;
        p->key[0] = '\0';
        spaces_skip(&c, end);
        if (c == end || *c == '#')
            continue;
        status = key_read(p, &c, end);
        if (status != VMK_OK)
            return status;
        spaces_skip(&c, end);
        if (c == end || *c != '=')
            return vmx_fail(p, "expected: key = \"value\"");
        c++;
        spaces_skip(&c, end);
        if (c == end || *c != '"')
            return vmx_fail(p, "value without quotes");
        c++;
        status = value_read(p, &c, end);
        if (status != VMK_OK)
            return status;
        spaces_skip(&c, end);
        return c == end || *c == '#' ? VMK_OK : vmx_fail(p, "text after the value");
    }
    return VMK_NOT_FOUND;
}

/* ---- values ---- */

vmk_status vmx_number_read(struct vmx_parser *p, uint64_t low, uint64_t high, uint32_t *out)
{
    const char *end;
    uint64_t value;
    char what[64];

    if (!parse_u64(p->value, &end, &value) || *end != '\0')
        return vmx_fail(p, "not a number");
    if (value < low || value > high) {
        vmk_snprintf(what, sizeof(what), "must be from %llu to %llu", (unsigned long long)low,
                     (unsigned long long)high);
        return vmx_fail(p, what);
    }
    *out = (uint32_t)value;
    return VMK_OK;
}

vmk_status vmx_string_copy(struct vmx_parser *p, char *out, size_t room)
{
    size_t length = strlen(p->value);

    if (length + 1 > room)
        return vmx_fail(p, "value too long");
    memcpy(out, p->value, length + 1);
    return VMK_OK;
}

vmk_status vmx_truth_read(struct vmx_parser *p, bool *out)
{
    *out = ascii_same(p->value, "true");
    return *out || ascii_same(p->value, "false") ? VMK_OK
                                                 : vmx_fail(p, "must be TRUE or FALSE");
}

bool vmx_level_read(const struct vmx_parser *p, uint32_t normal, uint32_t *out)
{
    if (ascii_same(p->value, "low"))
        *out = normal / 2;
    else if (ascii_same(p->value, "normal"))
        *out = normal;
    else if (ascii_same(p->value, "high"))
        *out = normal * 2;
    else
        return false;
    return true;
}

bool vmx_key_apply(struct vmx_parser *p, const struct vmx_key *keys, size_t count,
                   struct vm_config *out, vmk_status *status)
{
    for (size_t i = 0; i < count; i++) {
        if (ascii_same(p->key, keys[i].key)) {
            *status = keys[i].set(p, out);
            return true;
        }
    }
    return false;
}
