// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/format.c -- printf into a buffer, and numbers out of text.
 *
 * The whole of the kernel's text goes through vmk_vsnprintf(): no allocation, no state, bounded
 * by the caller's buffer, so it may run in a panic. No floating point, because the kernel never
 * touches those registers.
 *
 * Invariants
 *   - At most `size` bytes are written, the last of them a NUL (struct sink, put()).
 *   - The returned length does not depend on `size`.
 * Locking    none.
 * Sources    [C17] section 7.21.6.1 for the format language
 */
#include "lib/format.h"

#include "lib/ascii.h"

struct sink {
    char *out;
    size_t size;
    size_t length;  // characters of the whole text so far
};

struct spec {
    bool left, zero, alternate, plus, space, upper, negative;
    int width;
    int precision;  // -1: none
    int longs;      // -2 hh, -1 h, 1 l, 2 ll, z, j, t
};

static void put(struct sink *s, char c)
{
    if (s->length + 1 < s->size)
        s->out[s->length] = c;
    s->length++;
}

static void put_many(struct sink *s, char c, int count)
{
    while (count-- > 0)
        put(s, c);
}

static void put_text(struct sink *s, const struct spec *spec, const char *text)
{
    int length = 0;

    if (!text)
        text = "(null)";
    while ((spec->precision < 0 || length < spec->precision) && text[length])
        length++;
    if (!spec->left)
        put_many(s, ' ', spec->width - length);
    for (int i = 0; i < length; i++)
        put(s, text[i]);
    if (spec->left)
        put_many(s, ' ', spec->width - length);
}

static void put_number(struct sink *s, const struct spec *spec, uint64_t value, unsigned base)
{
    const char *digits = spec->upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char reversed[24];
    int count = 0;
    const char *prefix = "";

    if (spec->negative)
        prefix = "-";
    else if (spec->plus)
        prefix = "+";
    else if (spec->space)
        prefix = " ";
    else if (spec->alternate && base == 16 && value)
        prefix = spec->upper ? "0X" : "0x";

    for (uint64_t rest = value; rest; rest /= base)
        reversed[count++] = digits[rest % base];
    if (!count && spec->precision != 0)
        reversed[count++] = '0';

    int prefix_length = prefix[0] ? (prefix[1] ? 2 : 1) : 0;
    int zeros = spec->precision > count ? spec->precision - count : 0;

    if (spec->zero && !spec->left && spec->precision < 0)
        zeros = MAX(0, spec->width - prefix_length - count);

    int pad = spec->width - prefix_length - zeros - count;

    if (!spec->left)
        put_many(s, ' ', pad);
    for (; *prefix; prefix++)
        put(s, *prefix);
    put_many(s, '0', zeros);
    while (count)
        put(s, reversed[--count]);
    if (spec->left)
        put_many(s, ' ', pad);
}

/* A width or precision in digits. */
static int read_digits(const char **f)
{
    int value = 0;

    for (; **f >= '0' && **f <= '9'; (*f)++) {
        if (value < 100000)
            value = value * 10 + (**f - '0');
    }
    return value;
}

static bool read_flag(struct spec *spec, char c)
{
    switch (c) {
    case '-': spec->left = true; return true;
    case '0': spec->zero = true; return true;
    case '#': spec->alternate = true; return true;
    case '+': spec->plus = true; return true;
    case ' ': spec->space = true; return true;
    default: return false;
    }
}

/* Flags, width, precision and length of a conversion; *f ends at its letter. */
static struct spec read_spec(const char **f, va_list *arguments)
{
    struct spec spec = {.precision = -1};

    while (read_flag(&spec, **f))
        (*f)++;
    if (**f == '*') {
        (*f)++;
        spec.width = va_arg(*arguments, int);
        if (spec.width < 0) {
            spec.left = true;
            spec.width = -spec.width;
        }
    } else {
        spec.width = read_digits(f);
    }
    if (**f == '.') {
        (*f)++;
        if (**f == '*') {
            (*f)++;
            spec.precision = va_arg(*arguments, int);
        } else {
            spec.precision = read_digits(f);
        }
    }
    for (; **f == 'h' || **f == 'l' || **f == 'z' || **f == 'j' || **f == 't'; (*f)++)
        spec.longs = **f == 'h' ? spec.longs - 1 : **f == 'l' ? spec.longs + 1 : 2;
    return spec;
}

static void put_signed(struct sink *s, struct spec *spec, va_list *arguments)
{
    int64_t number = spec->longs > 0 ? va_arg(*arguments, int64_t) : va_arg(*arguments, int);

    if (spec->longs == -1)
        number = (int16_t)number;
    else if (spec->longs < -1)
        number = (int8_t)number;
    spec->negative = number < 0;
    put_number(s, spec, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 10);
}

static void put_unsigned(struct sink *s, struct spec *spec, va_list *arguments, unsigned base)
{
    uint64_t value =
        spec->longs > 0 ? va_arg(*arguments, uint64_t) : va_arg(*arguments, unsigned);

    if (spec->longs == -1)
        value = (uint16_t)value;
    else if (spec->longs < -1)
        value = (uint8_t)value;
    spec->plus = spec->space = false;
    put_number(s, spec, value, base);
}

static void put_character(struct sink *s, const struct spec *spec, char c)
{
    const char text[2] = {c, 0};

    if (c)
        put_text(s, spec, text);
    else
        put(s, 0);
}

/* One conversion; `f` is behind its %. Returns where its letter is. */
static const char *convert(struct sink *s, const char *f, va_list *arguments)
{
    struct spec spec = read_spec(&f, arguments);

    switch (*f) {
    case 'd':
    case 'i': put_signed(s, &spec, arguments); break;
    case 'u': put_unsigned(s, &spec, arguments, 10); break;
    case 'o': put_unsigned(s, &spec, arguments, 8); break;
    case 'X': spec.upper = true; fall_through;
    case 'x': put_unsigned(s, &spec, arguments, 16); break;
    case 'p':
        spec.alternate = true;
        put_number(s, &spec, (uintptr_t)va_arg(*arguments, void *), 16);
        break;
    case 's': put_text(s, &spec, va_arg(*arguments, const char *)); break;
    case 'c': put_character(s, &spec, (char)va_arg(*arguments, int)); break;
    case '%': put(s, '%'); break;
    case 0: return f - 1;  // a lone % at the end
    default:
        put(s, '%');
        put(s, *f);
        break;
    }
    return f;
}

int vmk_vsnprintf(char *out, size_t size, const char *f, va_list arguments)
{
    struct sink s = {.out = out, .size = size};
    va_list a;

    va_copy(a, arguments);
    for (; *f; f++) {
        if (*f == '%')
            f = convert(&s, f + 1, &a);
        else
            put(&s, *f);
    }
    va_end(a);
    if (size)
        out[MIN(s.length, size - 1)] = 0;
    return (int)s.length;
}

int vmk_snprintf(char *out, size_t size, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);

    int length = vmk_vsnprintf(out, size, format, arguments);

    va_end(arguments);
    return length;
}

/* -1: no digit of that base, which is 10 or 16. */
static int digit_value(char c, int base)
{
    int value = ascii_hex(c);

    return value < base ? value : -1;
}

bool parse_u64(const char *text, const char **end, uint64_t *value)
{
    int base = 10;
    uint64_t total = 0;

    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X') && ascii_hex(text[2]) >= 0) {
        base = 16;
        text += 2;
    }
    if (digit_value(*text, base) < 0)
        return false;
    for (; digit_value(*text, base) >= 0; text++) {
        uint64_t next;

        if (__builtin_mul_overflow(total, (uint64_t)base, &next) ||
            __builtin_add_overflow(next, (uint64_t)digit_value(*text, base), &next))
            return false;
        total = next;
    }
    *value = total;
    if (end)
        *end = text;
    return true;
}
