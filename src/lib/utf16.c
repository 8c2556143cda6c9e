// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/utf16.c -- names on disk are UTF-16, names in memory are UTF-8.
 *
 * Only the shortest form of a code point is UTF-8, and surrogates are none: so a name has one
 * spelling, and comparing bytes compares names.
 *
 * Invariants
 *   - Nothing outside the given lengths is read or written.
 * Locking    none: pure.
 * Sources    RFC3629 "UTF-8 definition"; RFC2781 "Encoding UTF-16".
 */
#include "lib/utf16.h"

#include "lib/endian.h"

#define REPLACEMENT 0xfffdu

uint32_t utf8_next(const char *text, size_t length, size_t *taken)
{
    const uint8_t *p = (const uint8_t *)text;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    unsigned more;
    uint32_t code;

    *taken = 1;
    if (!length)
        return UTF8_BAD;
    if (p[0] < 0x80)
        return p[0];
    if ((p[0] & 0xe0) == 0xc0) {
        more = 1;
        code = p[0] & 0x1f;
    } else if ((p[0] & 0xf0) == 0xe0) {
        more = 2;
        code = p[0] & 0x0f;
    } else if ((p[0] & 0xf8) == 0xf0) {
        more = 3;
        code = p[0] & 0x07;
    } else {
        return UTF8_BAD;
    }
    if (length <= more)
        return UTF8_BAD;
    for (unsigned i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return UTF8_BAD;
        code = code << 6 | (p[i] & 0x3f);
    }
    if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return UTF8_BAD;
    *taken = more + 1;
    return code;
}

size_t utf16_from_utf8(const char *text, size_t length, uint8_t *out, size_t room)
{
    size_t units = 0;

    while (length) {
        size_t taken;
        uint32_t code = utf8_next(text, length, &taken);
        unsigned need = code >= 0x10000 ? 2 : 1;

        if (code == UTF8_BAD || room - units < need)
            return SIZE_MAX;
        if (need == 2) {
            put_le16(out + 2 * units++, (uint16_t)(0xd800 + ((code - 0x10000) >> 10)));
            put_le16(out + 2 * units++, (uint16_t)(0xdc00 + ((code - 0x10000) & 0x3ff)));
        } else {
            put_le16(out + 2 * units++, (uint16_t)code);
        }
        text += taken;
        length -= taken;
    }
    return units;
}

size_t utf8_from_utf16(const uint8_t *text, size_t units, char *out, size_t size)
{
    size_t done = 0;

    for (size_t i = 0; i < units; i++) {
        uint32_t code = le16(text + 2 * i);
        unsigned need;

        if (code >= 0xd800 && code < 0xe000) {
            uint32_t low = code < 0xdc00 && i + 1 < units ? le16(text + 2 * i + 2) : 0;

            if (low >= 0xdc00 && low < 0xe000) {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                i++;
            } else {
                code = REPLACEMENT;
            }
        }
        need = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        if (size - done <= need)
            return SIZE_MAX;
        if (need == 1) {
            out[done++] = (char)code;
            continue;
        }
        for (unsigned j = need - 1; j; j--, code >>= 6)
            out[done + j] = (char)(0x80 | (code & 0x3f));
        out[done] = (char)((0xf00u >> need & 0xf0u) | code);
        done += need;
    }
    if (done >= size)
        return SIZE_MAX;
    out[done] = 0;
    return done;
}
