// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/keymap.c -- from a keyboard's scan codes to the bytes that a terminal sends.
 *
 * Sources    [PS2] "Scan code set 1"; [VT220] section 3.2
 */
#include "lib/keymap.h"

#include "lib/string.h"

#define RELEASE 0x80u

enum {
    CODE_CONTROL = 0x1d,
    CODE_LEFT_SHIFT = 0x2a,
    CODE_RIGHT_SHIFT = 0x36,
    CODE_ALT = 0x38,
    CODE_CAPS = 0x3a,
    CODE_EXTENDED = 0xe0,
    CODE_PAUSE = 0xe1,
};

/* By scan code; 0: sends nothing by itself. */
static const char normal[0x54] =
    "\0\0331234567890-=\177\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 "
    "\0\0\0\0\0\0\0\0\0\0\0\0\000789-456+1230.";
static const char shifted[0x54] =
    "\0\033!@#$%^&*()_+\177\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 "
    "\0\0\0\0\0\0\0\0\0\0\0\0\000789-456+1230.";

static const struct {
    uint8_t code;
    const char *text;
} extended_keys[] =
    {
        {0x1c, "\r"},      {0x35, "/"},       {0x47, "\033[1~"}, {0x48, "\033[A"},
        {0x49, "\033[5~"}, {0x4b, "\033[D"},  {0x4d, "\033[C"},  {0x4f, "\033[4~"},
        {0x50, "\033[B"},  {0x51, "\033[6~"}, {0x52, "\033[2~"}, {0x53, "\033[3~"},
},
  function_keys[] = {
      {0x3b, "\033OP"},   {0x3c, "\033OQ"},   {0x3d, "\033OR"},   {0x3e, "\033OS"},
      {0x3f, "\033[15~"}, {0x40, "\033[17~"}, {0x41, "\033[18~"}, {0x42, "\033[19~"},
      {0x43, "\033[20~"}, {0x44, "\033[21~"}, {0x57, "\033[23~"}, {0x58, "\033[24~"},
};

static size_t send(char out[KEYMAP_TEXT], const char *text)
{
    const size_t length = strlen(text);

    memcpy(out, text, length);
    return length;
}

/* Shift, Control, Alt, Caps Lock: pressed or let go. False: another key. */
static bool modifier(struct keymap *k, unsigned key, bool pressed, bool extended)
{
    switch (key) {
    case CODE_LEFT_SHIFT:
        if (!extended)  // an extended one only frames other keys
            k->left_shift = pressed;
        return true;
    case CODE_RIGHT_SHIFT:
        if (!extended)
            k->right_shift = pressed;
        return true;
    case CODE_CONTROL:
        *(extended ? &k->right_control : &k->left_control) = pressed;
        return true;
    case CODE_ALT: k->alt = pressed; return true;
    case CODE_CAPS: k->caps ^= pressed; return true;
    default: return false;
    }
}

/* Control keeps the low five bits, as on every ASCII terminal; Control with space is NUL. */
static char with_control(char c)
{
    if (c >= '@' && c <= '~')
        return (char)(c & 0x1f);
    return c == ' ' || c == '2' ? '\0' : c == '/' ? 0x1f : c == '6' ? 0x1e : c;
}

size_t keymap_code(struct keymap *k, uint8_t code, char out[KEYMAP_TEXT])
{
    const bool pressed = !(code & RELEASE), extended = k->extended;
    const unsigned key = code & ~RELEASE;
    bool shift;
    size_t length = 0;
    char c;

    if (k->skip) {
        k->skip--;
        return 0;
    }
    if (code == CODE_PAUSE) {
        k->skip = 5;  // e1 1d 45 e1 9d c5
        return 0;
    }
    k->extended = code == CODE_EXTENDED;
    if (k->extended || modifier(k, key, pressed, extended) || !pressed)
        return 0;
    if (extended) {
        for (unsigned i = 0; i < ARRAY_COUNT(extended_keys); i++)
            if (extended_keys[i].code == key)
                return send(out, extended_keys[i].text);
        return 0;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(function_keys); i++)
        if (function_keys[i].code == key)
            return send(out, function_keys[i].text);
    if (key >= sizeof(normal) || !normal[key])
        return 0;
    shift = k->left_shift || k->right_shift;
    c = normal[key];
    if (c >= 'a' && c <= 'z')
        shift ^= k->caps;
    if (shift)
        c = shifted[key];
    if (k->left_control || k->right_control)
        c = with_control(c);
    if (k->alt)
        out[length++] = 0x1b;
    out[length++] = c;
    return length;
}
