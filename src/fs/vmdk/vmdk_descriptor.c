// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/vmdk/vmdk_descriptor.c -- the text that says what a virtual disk is.
 *
 * Lines `key = value`, extent lines, comments. Case does not count, order does not count, keys
 * we do not know are kept and written back. What is wrong is said with line and field, and
 * every line is looked at, so that one reading shows all that has to be mended.
 *
 * Invariants
 *   - The text need not end in a NUL; nothing behind `size` is read.
 *   - A descriptor that parses has 1..VMDK_EXTENTS_MAX extents, no name with a '/', and a
 *     capacity that is the sum of its extents and fits in 64 bits as bytes.
 * Locking    none: pure.
 * Start at   vmdk_descriptor_parse().
 * Sources    VMDK-FORMAT "The disk descriptor"; VDF "Text Descriptor".
 */
#include "core/heap.h"
#include "fs/vmdk/vmdk_internal.h"
#include "lib/ascii.h"
#include "lib/format.h"
#include "lib/string.h"

#define SECTORS_MOST (1ull << 44)

struct parser {
    struct vmdk_descriptor *d;
    const struct vmdk_report *report;
    const char *name;
    unsigned line;
    vmk_status status;
    size_t other_size;
};

/* One line without its end, split at need. */
struct span {
    const char *at;
    size_t length;
};

static void complain(struct parser *p, vmk_status status, const char *what, struct span value)
{
    if (p->status == VMK_OK)
        p->status = status;
    vmdk_say(p->report, "%s: line %u: %s: '%.*s'", p->name, p->line, what,
             (int)MIN(value.length, 60u), value.at);
}

static struct span trim(struct span s)
{
    while (s.length && (*s.at == ' ' || *s.at == '\t')) {
        s.at++;
        s.length--;
    }
    while (s.length && (s.at[s.length - 1] == ' ' || s.at[s.length - 1] == '\t' ||
                        s.at[s.length - 1] == '\r'))
        s.length--;
    return s;
}

static bool is(struct span s, const char *word)
{
    size_t i = 0;

    for (; i < s.length && word[i]; i++) {
        if (ascii_lower(s.at[i]) != ascii_lower(word[i]))
            return false;
    }
    return i == s.length && !word[i];
}

static bool copy(struct span s, char *out, size_t size)
{
    if (s.length >= size)
        return false;
    memcpy(out, s.at, s.length);
    out[s.length] = 0;
    return true;
}

static bool number(struct span s, uint64_t most, uint64_t *out)
{
    char text[24];
    const char *end;

    return s.length && copy(s, text, sizeof(text)) && parse_u64(text, &end, out) && !*end &&
           *out <= most;
}

static bool hex32(struct span s, uint32_t *out)
{
    uint32_t value = 0;

    if (!s.length || s.length > 8)
        return false;
    for (size_t i = 0; i < s.length; i++) {
        int digit = ascii_hex(s.at[i]);

        if (digit < 0)
            return false;
        value = value << 4 | (uint32_t)digit;
    }
    *out = value;
    return true;
}

static struct span word_next(struct span *rest)
{
    struct span word = {rest->at, 0};

    *rest = trim(*rest);
    word.at = rest->at;
    while (word.length < rest->length && word.at[word.length] != ' ' &&
           word.at[word.length] != '\t')
        word.length++;
    rest->at += word.length;
    rest->length -= word.length;
    return word;
}

static const struct {
    const char *name;
    enum vmdk_extent_type type;
} extent_types[] = {
    {"FLAT", VMDK_FLAT},     {"VMFS", VMDK_VMFS},
    {"SPARSE", VMDK_SPARSE}, {"VMFSSPARSE", VMDK_VMFS_SPARSE},
    {"ZERO", VMDK_ZERO},
};

/* "name" between quotes; the rest stays in *rest. */
static bool quoted(struct span *rest, struct span *out)
{
    size_t i;

    *rest = trim(*rest);
    if (rest->length < 2 || *rest->at != '"')
        return false;
    for (i = 1; i < rest->length && rest->at[i] != '"'; i++)
        ;
    if (i == rest->length)
        return false;
    *out = (struct span){rest->at + 1, i - 1};
    rest->at += i + 1;
    rest->length -= i + 1;
    return true;
}

static void extent_line(struct parser *p, struct span access, struct span rest)
{
    struct vmdk_descriptor *d = p->d;
    struct vmdk_extent *e = &d->extents[d->extent_count];
    struct span sectors = word_next(&rest);
    struct span type = word_next(&rest);
    struct span name = {"", 0};
    bool known = false;

    if (!is(access, "RW") && !is(access, "RDONLY"))
        complain(p, VMK_UNSUPPORTED, "an extent without access cannot be used", access);
    e->writable = is(access, "RW");
    if (!number(sectors, SECTORS_MOST, &e->sectors) || !e->sectors)
        complain(p, VMK_BAD_FORMAT, "the extent's size is no number of sectors", sectors);
    for (unsigned i = 0; i < ARRAY_COUNT(extent_types); i++) {
        if (is(type, extent_types[i].name)) {
            e->type = extent_types[i].type;
            known = true;
        }
    }
    if (!known) {
        bool raw = is(type, "VMFSRDM") || is(type, "VMFSRAW") || is(type, "SESPARSE");

        complain(p, raw ? VMK_UNSUPPORTED : VMK_BAD_FORMAT,
                 raw ? "this type of extent is not supported"
                     : "the extent's type is none of FLAT, VMFS, SPARSE, VMFSSPARSE, ZERO",
                 type);
        return;
    }
    if (e->type != VMDK_ZERO) {
        if (!quoted(&rest, &name) || !name.length || !copy(name, e->name, sizeof(e->name)))
            complain(p, VMK_BAD_FORMAT,
                     "the extent's file name in quotes is missing or too long", rest);
        else if (strchr(e->name, '/') || !strcmp(e->name, ".."))
            complain(p, VMK_BAD_FORMAT, "an extent's file lies beside its descriptor; no '/'",
                     name);
    }
    rest = trim(rest);
    if (e->type == VMDK_FLAT && rest.length &&
        !number(word_next(&rest), SECTORS_MOST, &e->offset))
        complain(p, VMK_BAD_FORMAT, "the extent's offset is no number of sectors", rest);
    d->capacity += MIN(e->sectors, SECTORS_MOST);
    if (d->capacity > SECTORS_MOST)
        complain(p, VMK_BAD_FORMAT, "the extents together are too large", sectors);
    d->extent_count++;
}

/* Keys with one number or one short text. */
struct key {
    const char *name;
    size_t at, size;  // size 0: a number of 32 bits
};
#define NUMBER_KEY(n, f)                                                                       \
    {                                                                                          \
        n, offsetof(struct vmdk_descriptor, f), 0                                              \
    }
#define TEXT_KEY(n, f)                                                                         \
    {                                                                                          \
        n, offsetof(struct vmdk_descriptor, f), sizeof(((struct vmdk_descriptor *)0)->f)       \
    }
static const struct key keys[] = {
    NUMBER_KEY("version", version),
    TEXT_KEY("createType", create_type),
    TEXT_KEY("parentFileNameHint", parent_hint),
    NUMBER_KEY("ddb.virtualHWVersion", hw_version),
    NUMBER_KEY("ddb.toolsVersion", tools_version),
    NUMBER_KEY("ddb.geometry.cylinders", cylinders),
    NUMBER_KEY("ddb.geometry.heads", heads),
    NUMBER_KEY("ddb.geometry.sectors", sectors),
    TEXT_KEY("ddb.adapterType", adapter),
    TEXT_KEY("ddb.uuid", uuid),
    TEXT_KEY("ddb.longContentID", long_content_id),
};

static void keep(struct parser *p, struct span line)
{
    memcpy(p->d->other + p->other_size, line.at, line.length);
    p->other_size += line.length;
    p->d->other[p->other_size++] = '\n';
    p->d->other[p->other_size] = 0;
}

static void key_line(struct parser *p, struct span line, size_t equals, const char *text)
{
    struct vmdk_descriptor *d = p->d;
    struct span key = trim((struct span){line.at, equals});
    struct span value = trim((struct span){line.at + equals + 1, line.length - equals - 1});
    uint64_t n;

    if (value.length >= 2 && *value.at == '"' && value.at[value.length - 1] == '"')
        value = (struct span){value.at + 1, value.length - 2};
    if (is(key, "CID")) {
        if (!hex32(value, &d->cid))
            complain(p, VMK_BAD_FORMAT, "CID is not up to eight hexadecimal digits", value);
        d->cid_at = (size_t)(value.at - text);
        d->cid_length = value.length;
        return;
    }
    if (is(key, "parentCID")) {
        if (!hex32(value, &d->parent_cid))
            complain(p, VMK_BAD_FORMAT, "parentCID is not up to eight hexadecimal digits",
                     value);
        return;
    }
    if (is(key, "ddb.thinProvisioned")) {
        d->thin = is(value, "1");
        return;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(keys); i++) {
        char *field = (char *)d + keys[i].at;

        if (!is(key, keys[i].name))
            continue;
        if (keys[i].size && !copy(value, field, keys[i].size)) {
            complain(p, VMK_BAD_FORMAT, "the value is too long", line);
        } else if (!keys[i].size) {
            if (!number(value, UINT32_MAX, &n))
                complain(p, VMK_BAD_FORMAT, "the value is no number", line);
            else
                *(uint32_t *)(void *)field = (uint32_t)n;
        }
        return;
    }
    keep(p, line);
}

static size_t lines_count(const char *text, size_t size)
{
    size_t lines = 1;

    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    return lines;
}

static void parse_line(struct parser *p, struct span line, const char *text)
{
    struct span rest = line;
    struct span word;
    size_t equals = 0;

    line = trim(line);
    if (!line.length || *line.at == '#')
        return;
    word = word_next(&rest);
    if (is(word, "RW") || is(word, "RDONLY") || is(word, "NOACCESS")) {
        if (p->d->extent_count == VMDK_EXTENTS_MAX)
            complain(p, VMK_BAD_FORMAT, "more than 1024 extents", line);
        else
            extent_line(p, word, rest);
        return;
    }
    while (equals < line.length && line.at[equals] != '=')
        equals++;
    if (equals == line.length)
        complain(p, VMK_BAD_FORMAT, "neither 'key = value' nor an extent", line);
    else
        key_line(p, line, equals, text);
}

static void judge(struct parser *p)
{
    struct vmdk_descriptor *d = p->d;

    if (p->status != VMK_OK)
        return;
    if (d->version < 1 || d->version > 3) {
        p->status = VMK_UNSUPPORTED;
        vmdk_say(p->report, "%s: version is %u; known are 1 to 3", p->name, d->version);
    } else if (!d->cid_length || !d->create_type[0]) {
        p->status = VMK_BAD_FORMAT;
        vmdk_say(p->report, "%s: the line %s is missing", p->name,
                 d->create_type[0] ? "CID=" : "createType=");
    } else if (!d->extent_count) {
        p->status = VMK_BAD_FORMAT;
        vmdk_say(p->report, "%s: no extent is described", p->name);
    } else if (d->parent_cid != VMDK_NO_PARENT && !d->parent_hint[0]) {
        p->status = VMK_BAD_FORMAT;
        vmdk_say(p->report, "%s: parentCID names a parent, parentFileNameHint= is missing",
                 p->name);
    }
}

vmk_status vmdk_descriptor_parse(const char *text, size_t size, const char *name,
                                 const struct vmdk_report *report, struct vmdk_descriptor **out)
{
    struct parser p = {.report = report, .name = name};
    size_t end = 0;

    while (end < size && text[end])
        end++;
    if (end > VMDK_DESCRIPTOR_MAX) {
        vmdk_say(report, "%s: longer than 64 KiB: no descriptor", name);
        return VMK_BAD_FORMAT;
    }
    p.d = heap_alloc(sizeof(*p.d), MEM_OWNER_FS);
    if (!p.d)
        return VMK_NO_MEMORY;
    p.d->parent_cid = VMDK_NO_PARENT;
    p.d->extents = heap_alloc(
        MIN(lines_count(text, end), VMDK_EXTENTS_MAX) * sizeof(*p.d->extents), MEM_OWNER_FS);
    p.d->other = heap_alloc(end + 2, MEM_OWNER_FS);
    if (!p.d->extents || !p.d->other) {
        vmdk_descriptor_free(p.d);
        return VMK_NO_MEMORY;
    }
    for (size_t at = 0; at < end;) {
        size_t length = 0;

        while (at + length < end && text[at + length] != '\n')
            length++;
        p.line++;
        parse_line(&p, (struct span){text + at, length}, text);
        at += length + 1;
    }
    judge(&p);
    if (p.status != VMK_OK) {
        vmdk_descriptor_free(p.d);
        return p.status;
    }
    *out = p.d;
    return VMK_OK;
}

void vmdk_descriptor_free(struct vmdk_descriptor *d)
{
    if (!d)
        return;
    heap_free(d->extents);
    heap_free(d->other);
    heap_free(d);
}

/* ---- writing ---- */

struct writer {
    char *out;
    size_t size, at;
};

static void put(struct writer *w, const char *format, ...) printf_like(2, 3);
static void put(struct writer *w, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vmk_vsnprintf(w->at < w->size ? w->out + w->at : NULL,
                           w->at < w->size ? w->size - w->at : 0, format, arguments);
    va_end(arguments);
    w->at += (size_t)length;
}

/* Lines of the disk data base, or the others. */
static void put_others(struct writer *w, const char *other, bool ddb)
{
    if (!other)
        return;
    while (*other) {
        int length = 0;

        while (other[length] && other[length] != '\n')
            length++;
        length += other[length] != '\0';
        if ((strncmp(other, "ddb.", 4) == 0) == ddb)
            put(w, "%.*s", length, other);
        other += length;
    }
}

size_t vmdk_descriptor_write(const struct vmdk_descriptor *d, char *out, size_t size)
{
    struct writer w = {out, size, 0};

    put(&w, "# Disk DescriptorFile\nversion=%u\n", d->version);
    put(&w, "CID=%08x\nparentCID=%08x\n", d->cid, d->parent_cid);
    put(&w, "createType=\"%s\"\n", d->create_type);
    if (d->parent_hint[0])
        put(&w, "parentFileNameHint=\"%s\"\n", d->parent_hint);
    put_others(&w, d->other, false);
    put(&w, "\n# Extent description\n");
    for (unsigned i = 0; i < d->extent_count; i++) {
        const struct vmdk_extent *e = &d->extents[i];

        put(&w, "%s %llu %s", e->writable ? "RW" : "RDONLY", (unsigned long long)e->sectors,
            extent_types[e->type].name);
        if (e->type != VMDK_ZERO)
            put(&w, " \"%s\"", e->name);
        if (e->type == VMDK_FLAT)
            put(&w, " %llu", (unsigned long long)e->offset);
        put(&w, "\n");
    }
    put(&w, "\n# The Disk Data Base\n#DDB\n\n");
    if (d->adapter[0])
        put(&w, "ddb.adapterType = \"%s\"\n", d->adapter);
    if (d->cylinders)
        put(&w,
            "ddb.geometry.cylinders = \"%u\"\nddb.geometry.heads = \"%u\"\n"
            "ddb.geometry.sectors = \"%u\"\n",
            d->cylinders, d->heads, d->sectors);
    if (d->long_content_id[0])
        put(&w, "ddb.longContentID = \"%s\"\n", d->long_content_id);
    if (d->thin)
        put(&w, "ddb.thinProvisioned = \"1\"\n");
    if (d->tools_version)
        put(&w, "ddb.toolsVersion = \"%u\"\n", d->tools_version);
    if (d->uuid[0])
        put(&w, "ddb.uuid = \"%s\"\n", d->uuid);
    if (d->hw_version)
        put(&w, "ddb.virtualHWVersion = \"%u\"\n", d->hw_version);
    put_others(&w, d->other, true);
    return w.at;
}
