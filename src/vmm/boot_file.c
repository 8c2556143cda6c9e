// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/boot_file.c -- finds configurations, kernels and disks' stand-ins among the boot modules.
 *
 * A boot loader's menu entry with one module line per file is tedious, so a module may be a
 * ustar archive and its members are files like the others. Nothing is unpacked or remembered:
 * names and data point into the module, and every look walks the headers again. There are a few
 * files.
 *
 * An archive is used only if all of it can be read: a damaged one is logged by its name and
 * skipped as a whole, for half a guest is worse than none.
 *
 * Invariants
 *   - No byte outside [module, module + size) is read: ustar_next() checks before each access.
 * Locking    none: modules never change.
 * Sources    [POSIX] "ustar Interchange Format"
 */
#include "vmm/boot_file.h"

#include "core/log.h"
#include "lib/string.h"
#include "plat/plat.h"
#include "vmm/vm.h"

#define BLOCK 512u

struct ustar_header {
    char name[100], mode[8], uid[8], gid[8], size[12], time[12], checksum[8];
    char kind;
    char link[100], magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155];
    char pad[12];
};
_Static_assert(sizeof(struct ustar_header) == BLOCK, "ustar header block");

/* An octal field: spaces, digits, then NUL, space or the end. */
static bool octal(const char *field, size_t size, uint64_t *value)
{
    size_t i = 0;

    *value = 0;
    while (i < size && field[i] == ' ')
        i++;
    if (i == size || field[i] < '0' || field[i] > '7')
        return false;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
        *value = *value * 8 + (uint64_t)(field[i] - '0');
    return i == size || field[i] == '\0' || field[i] == ' ';
}

/* The sum of the header's bytes with the checksum field taken as spaces. */
static uint64_t header_sum(const struct ustar_header *h)
{
    const uint8_t *p = (const uint8_t *)h;
    uint64_t total = 0;

    for (size_t i = 0; i < BLOCK; i++) {
        bool in_checksum = i >= offsetof(struct ustar_header, checksum) &&
                           i < offsetof(struct ustar_header, kind);
        total += in_checksum && i < offsetof(struct ustar_header, checksum) + 8 ? ' ' : p[i];
    }
    return total;
}

static bool is_zero_block(const struct ustar_header *h)
{
    const uint8_t *p = (const uint8_t *)h;

    for (size_t i = 0; i < BLOCK; i++) {
        if (p[i])
            return false;
    }
    return true;
}

bool ustar_is_archive(const void *archive, size_t size)
{
    const struct ustar_header *h = archive;

    return size >= BLOCK && memcmp(h->magic, "ustar", 5) == 0;
}

vmk_status ustar_next(const void *archive, size_t size, size_t *offset,
                      struct ustar_member *out, const char **what)
{
    const struct ustar_header *h;
    uint64_t length, sum;
    size_t left = size - *offset;

    if (left == 0)
        return VMK_NOT_FOUND;
    *what = "cut off in a header";
    if (left < BLOCK)
        return VMK_BAD_FORMAT;
    h = (const struct ustar_header *)((const char *)archive + *offset);
    if (is_zero_block(h))
        return VMK_NOT_FOUND;
    *what = "bad header checksum";
    if (!octal(h->checksum, sizeof(h->checksum), &sum) || sum != header_sum(h))
        return VMK_BAD_FORMAT;
    *what = "not a ustar header";
    if (memcmp(h->magic, "ustar", 5) != 0)
        return VMK_BAD_FORMAT;
    *what = "name longer than 99 characters";
    if (h->name[sizeof(h->name) - 1] != '\0' || h->prefix[0] != '\0')
        return VMK_BAD_FORMAT;
    *what = "bad size field";
    if (!octal(h->size, sizeof(h->size), &length))
        return VMK_BAD_FORMAT;
    left -= BLOCK;
    *what = "cut off in a file";
    if (length > left)
        return VMK_BAD_FORMAT;
    out->name = h->name[0] == '.' && h->name[1] == '/' ? h->name + 2 : h->name;
    out->data = h + 1;
    out->size = (size_t)length;
    out->is_file = h->kind == '0' || h->kind == '\0';
    *offset += BLOCK + (size_t)MIN(round_up(length, BLOCK), (uint64_t)left);
    return VMK_OK;
}

/* Walks it all: is every member readable? */
static bool archive_is_whole(const struct plat_module *m, const char **what)
{
    struct ustar_member member;
    size_t offset = 0;
    vmk_status status;

    do
        status = ustar_next(m->data, m->size, &offset, &member, what);
    while (status == VMK_OK);
    return status == VMK_NOT_FOUND;
}

struct file {
    const char *name;
    const void *data;
    size_t size;
};

/*
 * Calls visit() for each file until it returns true; did it? `log_damage`: name bad archives.
 */
static bool for_each_file(bool (*visit)(const struct file *f, void *argument), void *argument,
                          bool log_damage)
{
    const struct plat_module *modules;
    size_t count = plat_modules(&modules);

    for (size_t i = 0; i < count; i++) {
        const struct plat_module *m = &modules[i];
        struct file f = {m->name, m->data, m->size};
        struct ustar_member member;
        const char *what = "";
        size_t offset = 0;

        if (!ustar_is_archive(m->data, m->size)) {
            if (visit(&f, argument))
                return true;
            continue;
        }
        if (!archive_is_whole(m, &what)) {
            if (log_damage)
                vmk_log(VMK_LOG_WARN, "Boot: %s: archive skipped: %s", m->name, what);
            continue;
        }
        while (ustar_next(m->data, m->size, &offset, &member, &what) == VMK_OK) {
            f = (struct file){member.name, member.data, member.size};
            if (member.is_file && visit(&f, argument))
                return true;
        }
    }
    return false;
}

static bool visit_count(const struct file *f, void *argument)
{
    size_t *count = argument;

    (void)f;
    (*count)++;
    return false;
}

size_t boot_file_count(void)
{
    size_t count = 0;

    (void)for_each_file(visit_count, &count, true);
    return count;
}

struct search {
    size_t index;        // visit_index: how many to pass over
    const char *wanted;  // visit_name, visit_last_part
    struct file found;
};

static bool visit_index(const struct file *f, void *argument)
{
    struct search *s = argument;

    s->found = *f;
    return s->index-- == 0;
}

bool boot_file_at(size_t i, const char **name, const void **data, size_t *size)
{
    struct search s = {.index = i};

    if (!for_each_file(visit_index, &s, false))
        return false;
    *name = s.found.name;
    *data = s.found.data;
    *size = s.found.size;
    return true;
}

static const char *last_part(const char *path)
{
    const char *last = path;

    for (const char *p = path; *p; p++) {
        if (*p == '/')
            last = p + 1;
    }
    return last;
}

static bool visit_name(const struct file *f, void *argument)
{
    struct search *s = argument;

    s->found = *f;
    return strcmp(f->name, s->wanted) == 0;
}

static bool visit_last_part(const struct file *f, void *argument)
{
    struct search *s = argument;

    s->found = *f;
    return strcmp(last_part(f->name), last_part(s->wanted)) == 0;
}

/*
 * A full match wins; else the last parts of the paths decide, for loaders keep or drop folders.
 */
vmk_status boot_file_find(const char *name, const void **data, size_t *size)
{
    struct search s = {.wanted = name};

    if (last_part(name)[0] == '\0')
        return VMK_NOT_FOUND;
    if (!for_each_file(visit_name, &s, false) && !for_each_file(visit_last_part, &s, false))
        return VMK_NOT_FOUND;
    *data = s.found.data;
    *size = s.found.size;
    return VMK_OK;
}
