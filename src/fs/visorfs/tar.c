// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/visorfs/tar.c -- the headers of a ustar archive: bytes in, facts or a complaint out.
 *
 * vmm/boot_file.c reads plain archives in memory and takes only files. Here every kind of
 * member counts, names may be long in GNU's and in POSIX's way, and the archive is a stream; so
 * it is another reader, which only looks at one block at a time and keeps nothing.
 *
 * Invariants
 *   - What is OK here has a NUL in name and target, and a size below 2^48.
 * Locking    none; pure functions.
 * Sources    [POSIX] pax, ustar interchange format; GNU tar manual for the long names
 */
#include "fs/visorfs/tar.h"

#include "lib/string.h"

/* Where the fields are. */
#define AT_NAME     0u
#define AT_MODE     100u
#define AT_UID      108u
#define AT_GID      116u
#define AT_SIZE     124u
#define AT_MTIME    136u
#define AT_CHECKSUM 148u
#define AT_TYPE     156u
#define AT_TARGET   157u
#define AT_MAGIC    257u
#define AT_MAJOR    329u
#define AT_MINOR    337u
#define AT_PREFIX   345u

#define SIZE_LIMIT  (1ull << 48)

/*
 * Octal digits between blanks and NULs, or GNU's binary form (top bit of the first byte set).
 */
static bool read_number(const uint8_t *field, size_t size, uint64_t *value)
{
    uint64_t v = 0;
    size_t i = 0;

    if (field[0] & 0x80) {
        if (field[0] != 0x80)
            return false;  // negative, or larger than anything here
        for (i = 1; i < size; i++) {
            if (v >> 56)
                return false;
            v = v << 8 | field[i];
        }
        *value = v;
        return true;
    }
    while (i < size && field[i] == ' ')
        i++;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
        if (v >> 60)
            return false;
        v = v << 3 | (uint64_t)(field[i] - '0');
    }
    *value = v;
    return i == size || field[i] == ' ' || field[i] == 0;
}

static size_t text_length(const uint8_t *field, size_t size)
{
    size_t length = 0;

    while (length < size && field[length])
        length++;
    return length;
}

static bool checksum_fits(const uint8_t block[TAR_BLOCK])
{
    uint64_t want, sum = 0;

    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= AT_CHECKSUM && i < AT_CHECKSUM + 8 ? ' ' : block[i];
    return read_number(block + AT_CHECKSUM, 8, &want) && want == sum;
}

static bool is_zero(const uint8_t block[TAR_BLOCK])
{
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        if (block[i])
            return false;
    }
    return true;
}

static vmk_status bad(const char **what, const char *text)
{
    *what = text;
    return VMK_BAD_FORMAT;
}

static bool kind_of(uint8_t type, enum tar_kind *kind)
{
    switch (type) {
    case 0:
    case '0':
    case '7': *kind = TAR_FILE; return true;
    case '1': *kind = TAR_HARD_LINK; return true;
    case '2': *kind = TAR_LINK; return true;
    case '3': *kind = TAR_CHAR; return true;
    case '4': *kind = TAR_BLOCK_DEVICE; return true;
    case '5': *kind = TAR_DIR; return true;
    case '6': *kind = TAR_FIFO; return true;
    case 'L': *kind = TAR_LONG_NAME; return true;
    case 'K': *kind = TAR_LONG_LINK; return true;
    case 'x': *kind = TAR_PAX; return true;
    case 'g': *kind = TAR_PAX_GLOBAL; return true;
    default: return false;
    }
}

static void read_name(const uint8_t block[TAR_BLOCK], char *name)
{
    /* GNU's old magic has other things where ustar has the prefix. */
    bool posix = memcmp(block + AT_MAGIC, "ustar\0", 6) == 0;
    size_t prefix = posix ? text_length(block + AT_PREFIX, 155) : 0;
    size_t length = text_length(block + AT_NAME, 100);

    if (prefix) {
        memcpy(name, block + AT_PREFIX, prefix);
        name[prefix++] = '/';
    }
    memcpy(name + prefix, block + AT_NAME, length);
    name[prefix + length] = 0;
}

vmk_status tar_header_decode(const uint8_t block[TAR_BLOCK], struct tar_header *out,
                             const char **what)
{
    uint64_t mode, uid, gid, major = 0, minor = 0;

    memset(out, 0, sizeof(*out));
    if (is_zero(block)) {
        out->kind = TAR_END;
        return VMK_OK;
    }
    if (!checksum_fits(block))
        return bad(what, "the checksum of a header is wrong");
    if (memcmp(block + AT_MAGIC, "ustar", 5) != 0)
        return bad(what, "a header is not of ustar format");
    if (!kind_of(block[AT_TYPE], &out->kind))
        return bad(what, "a member is of an unknown type");
    if (!read_number(block + AT_MODE, 8, &mode) || !read_number(block + AT_UID, 8, &uid) ||
        !read_number(block + AT_GID, 8, &gid) ||
        !read_number(block + AT_SIZE, 12, &out->size) ||
        !read_number(block + AT_MTIME, 12, &out->mtime))
        return bad(what, "a number in a header is not octal");
    if (out->kind == TAR_CHAR || out->kind == TAR_BLOCK_DEVICE) {
        if (!read_number(block + AT_MAJOR, 8, &major) ||
            !read_number(block + AT_MINOR, 8, &minor))
            return bad(what, "a device number is not octal");
    }
    if (out->size >= SIZE_LIMIT || uid > UINT32_MAX || gid > UINT32_MAX || major > 0xfff ||
        minor > 0xfffff)
        return bad(what, "a number in a header is out of range");
    out->mode = (uint32_t)mode & 07777u;
    out->uid = (uint32_t)uid;
    out->gid = (uint32_t)gid;
    out->major = (uint32_t)major;
    out->minor = (uint32_t)minor;
    out->mtime = MIN(out->mtime, 1ull << 33);
    if (out->kind == TAR_HARD_LINK || out->kind == TAR_LINK || out->kind == TAR_DIR ||
        out->kind == TAR_CHAR || out->kind == TAR_BLOCK_DEVICE || out->kind == TAR_FIFO)
        out->size = 0;
    read_name(block, out->name);

    size_t length = text_length(block + AT_TARGET, 100);

    memcpy(out->target, block + AT_TARGET, length);
    return VMK_OK;
}

/* ---- pax ---- */

static bool read_decimal(const char *text, size_t size, size_t *used, uint64_t *value)
{
    uint64_t v = 0;
    size_t i = 0;

    for (; i < size && text[i] >= '0' && text[i] <= '9'; i++) {
        if (v > SIZE_LIMIT)
            return false;
        v = v * 10 + (uint64_t)(text[i] - '0');
    }
    *used = i;
    *value = v;
    return i > 0;
}

static bool copy_value(char out[TAR_NAME_MAX], const char *value, size_t length)
{
    if (length >= TAR_NAME_MAX || text_length((const uint8_t *)value, length) != length)
        return false;
    memcpy(out, value, length);
    out[length] = 0;
    return true;
}

static bool is_key(const char *key, size_t length, const char *name)
{
    return strlen(name) == length && memcmp(key, name, length) == 0;
}

static vmk_status apply_one(struct tar_header *header, const char *key, size_t key_length,
                            const char *value, size_t length, const char **what)
{
    size_t used;

    if (is_key(key, key_length, "path")) {
        if (!copy_value(header->name, value, length))
            return bad(what, "a path is too long");
    } else if (is_key(key, key_length, "linkpath")) {
        if (!copy_value(header->target, value, length))
            return bad(what, "the target of a link is too long");
    } else if (is_key(key, key_length, "size")) {
        if (!read_decimal(value, length, &used, &header->size) || used != length ||
            header->size >= SIZE_LIMIT)
            return bad(what, "an extended size is no number");
    } else if (is_key(key, key_length, "mtime")) {
        if (!read_decimal(value, length, &used, &header->mtime))
            return bad(what, "an extended time is no number");
        header->mtime = MIN(header->mtime, 1ull << 33);
    }
    return VMK_OK;
}

vmk_status tar_pax_apply(const char *records, size_t size, struct tar_header *header,
                         const char **what)
{
    size_t at = 0;

    while (at < size) {
        uint64_t length;
        size_t digits, key, equals;

        if (!read_decimal(records + at, size - at, &digits, &length) || length > size - at ||
            length < digits + 3 || records[at + digits] != ' ' ||
            records[at + length - 1] != '\n')
            return bad(what, "an extended header is malformed");
        key = at + digits + 1;
        for (equals = key; equals < at + length && records[equals] != '='; equals++)
            ;
        if (equals >= at + length - 1)
            return bad(what, "an extended header has no value");

        vmk_status status = apply_one(header, records + key, equals - key, records + equals + 1,
                                      at + (size_t)length - 1 - (equals + 1), what);

        if (status != VMK_OK)
            return status;
        at += (size_t)length;
    }
    return VMK_OK;
}

/* ---- names ---- */

vmk_status tar_name_check(char *name, const char **what)
{
    char *to = name;
    const char *at = name;

    if (*at == '/')
        return bad(what, "a path begins with a slash");
    while (*at) {
        const char *end = at;
        size_t length;

        while (*end && *end != '/')
            end++;
        length = (size_t)(end - at);
        if (length == 2 && at[0] == '.' && at[1] == '.')
            return bad(what, "a path leads upwards with \"..\"");
        if (length > 255)
            return bad(what, "a name is longer than 255 bytes");
        if (length && !(length == 1 && at[0] == '.')) {
            if (to != name)
                *to++ = '/';
            memmove(to, at, length);
            to += length;
        }
        at = *end ? end + 1 : end;
    }
    *to = 0;
    return VMK_OK;
}
