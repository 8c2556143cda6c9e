// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/fat/fat_name.c -- long names and the short ones that each file has besides.
 *
 * A name that is 8.3 in capitals is stored as such; any other also as a long name, with a short
 * one made of its letters and "~number". Short names of others are read with code page 437, and
 * with the bits that say "this part is in small letters".
 *
 * Invariants
 *   - A name that fat_name_make() accepts can be stored and read back as the same units.
 * Locking    none: pure.
 * Sources    FATGEN "Directory Structure", "Long Name Implementation"; CP437.
 */
#include "fs/fat/fat_internal.h"
#include "lib/endian.h"
#include "lib/format.h"
#include "lib/string.h"
#include "lib/utf16.h"

#define CASE_BASE      0x08u
#define CASE_EXTENSION 0x10u

/* CP437, 0x80 to 0xff. */
static const uint16_t high_half[128] = {
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8,
    0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2,
    0x00fb, 0x00f9, 0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1,
    0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd,
    0x00bc, 0x00a1, 0x00ab, 0x00bb, 0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562,
    0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510, 0x2514, 0x2534,
    0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569, 0x2566, 0x2560,
    0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b,
    0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580, 0x03b1, 0x00df, 0x0393,
    0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6,
    0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248, 0x00b0,
    0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};

/* Latin, Greek and Cyrillic letters; others are themselves. */
static uint16_t upper(uint16_t unit)
{
    if ((unit >= 'a' && unit <= 'z') || (unit >= 0xe0 && unit <= 0xfe && unit != 0xf7) ||
        (unit >= 0x3b1 && unit <= 0x3c9 && unit != 0x3c2) || (unit >= 0x430 && unit <= 0x44f))
        return (uint16_t)(unit - 32);
    if (unit >= 0x450 && unit <= 0x45f)
        return (uint16_t)(unit - 80);
    if (unit >= 0x100 && unit <= 0x137)
        return unit & ~1u & 0xffff;
    return unit;
}

bool fat_units_equal(const uint8_t *a, unsigned a_length, const uint8_t *b, unsigned b_length)
{
    if (a_length != b_length)
        return false;
    for (unsigned i = 0; i < a_length; i++) {
        if (upper(le16(a + 2 * i)) != upper(le16(b + 2 * i)))
            return false;
    }
    return true;
}

static bool short_char(uint16_t unit)
{
    return (unit >= 'A' && unit <= 'Z') || (unit >= '0' && unit <= '9') ||
           (unit > ' ' && unit < 0x7f && strchr("$%'-_@~`!(){}^#&", unit));
}

/* Letters of one part into `out`. */
static unsigned short_part(struct fat_name *n, unsigned from, unsigned to, uint8_t *out,
                           unsigned room)
{
    unsigned length = 0;

    for (unsigned i = from; i < to; i++) {
        uint16_t unit = le16(n->units + 2 * i);
        uint16_t letter = upper(unit);

        if (letter == ' ' || letter == '.') {
            n->lossy = true;
            continue;
        }
        if (!short_char(letter)) {
            letter = '_';
            n->lossy = true;
        }
        if (letter != unit)
            n->needs_long = true;
        if (length == room) {
            n->lossy = true;
            break;
        }
        out[length++] = (uint8_t)letter;
    }
    return length;
}

vmk_status fat_name_make(const char *name, size_t length, struct fat_name *out)
{
    unsigned dot;
    size_t units;
    unsigned base;

    memset(out, 0, sizeof(*out));
    units = utf16_from_utf8(name, length, out->units, FAT_NAME_MAX);
    if (units == SIZE_MAX) {
        size_t taken;

        for (size_t i = 0; i < length; i += taken) {
            if (utf8_next(name + i, length - i, &taken) == UTF8_BAD)
                return VMK_BAD_PARAM;
        }
        return VMK_NAME_TOO_LONG;
    }
    out->length = (unsigned)units;
    for (unsigned i = 0; i < units; i++) {
        uint16_t unit = le16(out->units + 2 * i);

        if (unit < ' ' || (unit < 0x7f && strchr("\"*/:<>?\\|", unit)))
            return VMK_BAD_PARAM;
    }
    /* Dots and blanks at the end would be lost on the way. */
    if (!units || le16(out->units + 2 * (units - 1)) == '.' ||
        le16(out->units + 2 * (units - 1)) == ' ')
        return VMK_BAD_PARAM;
    dot = out->length;
    for (unsigned i = 1; i < out->length; i++) {
        if (le16(out->units + 2 * i) == '.')
            dot = i;
    }
    memset(out->short_name, ' ', sizeof(out->short_name));
    base = short_part(out, 0, dot, out->short_name, 8);
    if (!base) {
        out->short_name[0] = '_';
        out->lossy = true;
    }
    if (dot < out->length)
        (void)short_part(out, dot + 1, out->length, out->short_name + 8, 3);
    out->needs_long |= out->lossy;
    return VMK_OK;
}

void fat_name_tail(struct fat_name *name, unsigned number)
{
    char tail[12];
    unsigned length = (unsigned)vmk_snprintf(tail, sizeof(tail), "~%u", number);
    unsigned base = 0;

    while (base < 8 && name->short_name[base] != ' ')
        base++;
    base = MIN(base, 8 - length);
    memset(name->short_name + base, ' ', 8 - base);
    memcpy(name->short_name + base, tail, length);
}

uint8_t fat_name_sum(const uint8_t short_name[11])
{
    unsigned sum = 0;

    for (unsigned i = 0; i < 11; i++)
        sum = ((sum & 1) << 7 | (sum & 0xff) >> 1) + short_name[i];
    return (uint8_t)sum;
}

unsigned fat_short_units(const uint8_t *entry, uint8_t out[2 * 12])
{
    unsigned length = 0;

    for (unsigned i = 0; i < 11; i++) {
        uint8_t c = entry[i];
        bool small = entry[ENTRY_CASE] & (i < 8 ? CASE_BASE : CASE_EXTENSION);

        if (!i && c == 0x05)
            c = FAT_DELETED;
        if (i == 8) {
            while (length && le16(out + 2 * (length - 1)) == ' ')
                length--;
            if (entry[8] == ' ' && entry[9] == ' ' && entry[10] == ' ')
                break;
            put_le16(out + 2 * length++, '.');
        }
        if (small && c >= 'A' && c <= 'Z')
            c |= 32;
        put_le16(out + 2 * length++,
                 c < 0x80 ? (c < ' ' || c == 0x7f ? '_' : c) : high_half[c - 0x80]);
    }
    while (length && le16(out + 2 * (length - 1)) == ' ')
        length--;
    return length;
}
