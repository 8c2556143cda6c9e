// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vmx_config.c -- reads a .vmx file into a struct vm_config.
 *
 * The format is ESXi's: one `key = "value"` a line, `#` begins a comment line, keys in any case,
 * each at most once. Inside a value `|` and two hexadecimal digits stand for one character (`|22`
 * is a quote). Keys that mean nothing here are passed over, as ESXi does: files are shared between
 * products. Keys are rows of a table; a row knows how its value is read and its limits.
 *
 * Invariants
 *   - `out` is complete and within its limits when OK is returned, untouched on an error.
 *   - Strings in `out` end with NUL.
 * Locking    none: pure but for debug lines in the log.
 * Start at   vmx_config_parse().
 */
#include "vmm/vmx_config.h"

#include "core/log.h"
#include "io/ioshares.h"
#include "lib/format.h"
#include "lib/rng.h"
#include "lib/string.h"
#include "plat/plat_types.h"

#define FILE_SIZE_MAX  16384u
#define KEY_SIZE       64u
#define VALUE_SIZE     VM_CMDLINE_SIZE
#define MEMORY_MIN     4u
#define MEMORY_MAX     (1u << 20)  // MB: one terabyte
#define VCPUS_MAX      8u
#define SHARES_NORMAL  1000u
#define MEM_SHARES_MAX 10000000u
#define SHARES_MAX     1000000u
#define MHZ_MAX        64000000u

struct parser {
    const char *file;
    const char *text;
    size_t size;
    size_t at;      // first byte of the next line
    unsigned line;  // number of the current one, from 1
    char key[KEY_SIZE];
    char value[VALUE_SIZE];
    bool serial_absent;          // serial0.present = "FALSE"
    bool serial_is_file;         // serial0.fileType = "file"
    unsigned serial_line;        // of serial0.fileName
    char mem_min_key[KEY_SIZE];  // which of its two names was given
    unsigned mem_min_line, mem_max_line;
    /* The disks of which a key was seen are in the configuration until disks_finish() sorts them out. */
    struct vm_disk_config *disks;
    bool disk_present[VM_DISKS_MAX];
    unsigned disk_count;
    char *error;
    size_t error_size;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_word(const char *a, const char *b)
{
    while (*a && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

static int hex_digit(char c)
{
    c = lower(c);
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static vmk_status fail(struct parser *p, const char *what)
{
    vmk_snprintf(p->error, p->error_size, "%s:%u: %s: %s", p->file, p->line,
                 p->key[0] ? p->key : "line", what);
    return VMK_BAD_FORMAT;
}

/* ---- one line into key and value ---- */

static vmk_status key_read(struct parser *p, const char **cursor, const char *end)
{
    const char *c = *cursor;
    size_t length = 0;

    while (c < end && *c != '=' && !is_space(*c) && *c != '"') {
        if (length + 1 == KEY_SIZE) {
            p->key[0] = '\0';
            return fail(p, "key too long");
        }
        if (*c == '\0')
            return fail(p, "a zero byte");
        p->key[length++] = *c++;
        p->key[length] = '\0';
    }
    *cursor = c;
    return length ? VMK_OK : fail(p, "no key");
}

static vmk_status value_read(struct parser *p, const char **cursor, const char *end)
{
    const char *c = *cursor;
    size_t length = 0;

    while (c < end && *c != '"') {
        char character = *c++;
        if (character == '|' && end - c >= 2 && hex_digit(c[0]) >= 0 && hex_digit(c[1]) >= 0) {
            character = (char)(hex_digit(c[0]) * 16 + hex_digit(c[1]));
            c += 2;
        }
        if (character == '\0')
            return fail(p, "a zero byte");
        if (length + 1 == VALUE_SIZE)
            return fail(p, "value too long");
        p->value[length++] = character;
    }
    p->value[length] = '\0';
    if (c == end)
        return fail(p, "no closing quote");
    *cursor = c + 1;
    return VMK_OK;
}

static void spaces_skip(const char **cursor, const char *end)
{
    while (*cursor < end && is_space(**cursor))
        ++*cursor;
}

/* Reads the next line that holds a setting. NOT_FOUND: the end of the file. */
static vmk_status setting_next(struct parser *p)
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
            return fail(p, "expected: key = \"value\"");
        c++;
        spaces_skip(&c, end);
        if (c == end || *c != '"')
            return fail(p, "value without quotes");
        c++;
        status = value_read(p, &c, end);
        if (status != VMK_OK)
            return status;
        spaces_skip(&c, end);
        return c == end || *c == '#' ? VMK_OK : fail(p, "text after the value");
    }
    return VMK_NOT_FOUND;
}

/* ---- values ---- */

static vmk_status number_read(struct parser *p, uint64_t low, uint64_t high, uint32_t *out)
{
    const char *end;
    uint64_t value;
    char what[64];

    if (!parse_u64(p->value, &end, &value) || *end != '\0')
        return fail(p, "not a number");
    if (value < low || value > high) {
        vmk_snprintf(what, sizeof(what), "must be from %llu to %llu", (unsigned long long)low,
                     (unsigned long long)high);
        return fail(p, what);
    }
    *out = (uint32_t)value;
    return VMK_OK;
}

static vmk_status string_copy(struct parser *p, char *out, size_t room)
{
    size_t length = strlen(p->value);

    if (length + 1 > room)
        return fail(p, "value too long");
    memcpy(out, p->value, length + 1);
    return VMK_OK;
}

static vmk_status set_name(struct parser *p, struct vm_config *out)
{
    if (p->value[0] == '\0')
        return fail(p, "empty");
    return string_copy(p, out->name, sizeof(out->name));
}

static vmk_status set_memory(struct parser *p, struct vm_config *out)
{
    return number_read(p, MEMORY_MIN, MEMORY_MAX, &out->memory_mb);
}

static vmk_status set_vcpus(struct parser *p, struct vm_config *out)
{
    return number_read(p, 1, VCPUS_MAX, &out->vcpus);
}

static vmk_status set_shares(struct parser *p, struct vm_config *out)
{
    static const struct {
        const char *word;
        uint32_t shares;
    } levels[] = {
        {"low", SHARES_NORMAL / 2}, {"normal", SHARES_NORMAL}, {"high", SHARES_NORMAL * 2}};

    for (size_t i = 0; i < ARRAY_COUNT(levels); i++) {
        if (same_word(p->value, levels[i].word)) {
            out->shares = levels[i].shares;
            return VMK_OK;
        }
    }
    out->shares_of_vm = true;
    return number_read(p, 1, SHARES_MAX, &out->shares);
}

static vmk_status set_cpu_min(struct parser *p, struct vm_config *out)
{
    return number_read(p, 0, MHZ_MAX, &out->min_mhz);
}

static vmk_status set_cpu_max(struct parser *p, struct vm_config *out)
{
    out->max_mhz = 0;
    if (same_word(p->value, "unlimited") || same_word(p->value, "-1"))
        return VMK_OK;
    return number_read(p, 1, MHZ_MAX, &out->max_mhz);
}

static vmk_status truth_read(struct parser *p, bool *out)
{
    *out = same_word(p->value, "true");
    return *out || same_word(p->value, "false") ? VMK_OK : fail(p, "must be TRUE or FALSE");
}

static vmk_status set_mem_shares(struct parser *p, struct vm_config *out)
{
    static const struct {
        const char *word;
        uint32_t per_mb;
    } levels[] = {{"low", 5}, {"normal", 10}, {"high", 20}};

    for (size_t i = 0; i < ARRAY_COUNT(levels); i++) {
        if (same_word(p->value, levels[i].word)) {
            out->mem_per_mb = levels[i].per_mb;
            return VMK_OK;
        }
    }
    return number_read(p, 1, MEM_SHARES_MAX, &out->mem_shares);
}

static vmk_status set_mem_min(struct parser *p, struct vm_config *out)
{
    memcpy(p->mem_min_key, p->key, sizeof(p->mem_min_key));
    p->mem_min_line = p->line;
    return number_read(p, 0, MEMORY_MAX, &out->mem_min_mb);
}

static vmk_status set_mem_max(struct parser *p, struct vm_config *out)
{
    p->mem_max_line = p->line;
    if (same_word(p->value, "unlimited") || same_word(p->value, "-1"))
        return VMK_OK;
    return number_read(p, MEMORY_MIN, MEMORY_MAX, &out->mem_max_mb);
}

static vmk_status set_mem_balloon(struct parser *p, struct vm_config *out)
{
    if (same_word(p->value, "-1"))
        return VMK_OK;
    return number_read(p, 0, MEMORY_MAX, &out->mem_balloon_mb);
}

static vmk_status set_mem_share(struct parser *p, struct vm_config *out)
{
    bool on = true;
    vmk_status status = truth_read(p, &on);

    out->mem_unshared = !on;
    return status;
}

/* What can be said of bounds only when all are known. */
static vmk_status mem_finish(struct parser *p, const struct vm_config *out)
{
    if (out->mem_min_mb > out->memory_mb) {
        memcpy(p->key, p->mem_min_key, sizeof(p->key));
        p->line = p->mem_min_line;
        return fail(p, "is more than memSize");
    }
    if (out->mem_max_mb && out->mem_max_mb < out->mem_min_mb) {
        memcpy(p->key, "sched.mem.max", sizeof("sched.mem.max"));
        p->line = p->mem_max_line;
        return fail(p, "is less than sched.mem.min");
    }
    return VMK_OK;
}

/* "all", or CPUs and ranges of them with commas between. */
static vmk_status set_affinity(struct parser *p, struct vm_config *out)
{
    static const char wrong[] = "must be all, or CPUs below 64 like 0,2,4-7";
    const char *at = p->value;

    out->affinity = 0;
    if (same_word(at, "all"))
        return VMK_OK;
    for (;;) {
        uint64_t first, last;

        if (!parse_u64(at, &at, &first))
            return fail(p, wrong);
        last = first;
        if (*at == '-' && !parse_u64(at + 1, &at, &last))
            return fail(p, wrong);
        if (first > last || last >= PLAT_CPUS_MAX)
            return fail(p, wrong);
        for (uint64_t cpu = first; cpu <= last; cpu++)
            out->affinity |= BIT(cpu);
        if (*at != ',')
            break;
        at++;
    }
    return *at ? fail(p, wrong) : VMK_OK;
}

static vmk_status set_kernel(struct parser *p, struct vm_config *out)
{
    return string_copy(p, out->kernel, sizeof(out->kernel));
}

static vmk_status set_initrd(struct parser *p, struct vm_config *out)
{
    return string_copy(p, out->initrd, sizeof(out->initrd));
}

static vmk_status set_cmdline(struct parser *p, struct vm_config *out)
{
    return string_copy(p, out->cmdline, sizeof(out->cmdline));
}

static vmk_status set_serial(struct parser *p, struct vm_config *out)
{
    p->serial_line = p->line;
    out->serial_port = -1;
    if (p->value[0] == '\0' || same_word(p->value, "none"))
        return VMK_OK;
    if (same_word(p->value, "com1"))
        out->serial_port = 0;
    else if (same_word(p->value, "com2"))
        out->serial_port = 1;
    else
        return string_copy(p, out->serial_file, sizeof(out->serial_file));
    return VMK_OK;
}

/* What serial0.fileName names: a port of the machine (device), or a file the vmx writes. */
static vmk_status set_serial_type(struct parser *p, struct vm_config *out)
{
    (void)out;
    p->serial_is_file = same_word(p->value, "file");
    if (p->serial_is_file || same_word(p->value, "device") || same_word(p->value, "pipe"))
        return VMK_OK;
    return fail(p, "must be device or file");
}

static vmk_status set_autostart(struct parser *p, struct vm_config *out)
{
    out->autostart = same_word(p->value, "poweron") || same_word(p->value, "true");
    if (out->autostart || same_word(p->value, "none") || same_word(p->value, "false"))
        return VMK_OK;
    return fail(p, "must be poweron or none");
}

static vmk_status set_serial_present(struct parser *p, struct vm_config *out)
{
    (void)out;
    p->serial_absent = same_word(p->value, "false");
    if (p->serial_absent || same_word(p->value, "true"))
        return VMK_OK;
    return fail(p, "must be TRUE or FALSE");
}

/* "56 4d 01 02 03 04 05 06-07 08 09 0a 0b 0c 0d 0e" */
static vmk_status set_uuid(struct parser *p, struct vm_config *out)
{
    const char *c = p->value;

    for (unsigned i = 0; i < 16; i++) {
        while (*c == ' ' || *c == '-')
            c++;
        if (hex_digit(c[0]) < 0 || hex_digit(c[1]) < 0)
            return fail(p, "expected 16 bytes of two hexadecimal digits");
        out->uuid[i] = (uint8_t)(hex_digit(c[0]) * 16 + hex_digit(c[1]));
        c += 2;
    }
    return *c == '\0' ? VMK_OK : fail(p, "expected 16 bytes, found more");
}

static vmk_status set_firmware(struct parser *p, struct vm_config *out)
{
    if (!same_word(p->value, "bios"))
        return fail(p, "must be bios; without this key a kernel is started directly");
    out->firmware = VM_FIRMWARE_BIOS;
    return VMK_OK;
}

static vmk_status set_bios(struct parser *p, struct vm_config *out)
{
    return p->value[0] ? string_copy(p, out->bios, sizeof(out->bios)) : fail(p, "empty");
}

static vmk_status set_swap_dir(struct parser *p, struct vm_config *out)
{
    if (p->value[0] != '/')
        return fail(p, "must be an absolute path like /vmfs/volumes/datastore1");
    return string_copy(p, out->swap_dir, sizeof(out->swap_dir));
}

/* Texts, not numbers: who knows the same text shares. The hash is not secret, the host's files are. */
static vmk_status set_mem_salt(struct parser *p, struct vm_config *out)
{
    struct rng hash;

    if (!p->value[0])
        return fail(p, "must not be empty; leave the key out for a salt of its own");
    out->mem_salted = true;
    rng_init(&hash, 0, p->value, 0);
    out->mem_salt = rng_next(&hash);
    return VMK_OK;
}

struct key_row {
    const char *key;
    vmk_status (*set)(struct parser *p, struct vm_config *out);
};

static const struct key_row key_rows[] = {
    {"displayName", set_name},
    {"memSize", set_memory},
    {"numvcpus", set_vcpus},
    {"sched.cpu.shares", set_shares},
    {"sched.cpu.min", set_cpu_min},
    {"sched.cpu.max", set_cpu_max},
    {"sched.cpu.affinity", set_affinity},
    {"sched.mem.shares", set_mem_shares},
    {"sched.mem.min", set_mem_min},
    {"sched.mem.minSize", set_mem_min},
    {"sched.mem.max", set_mem_max},
    {"sched.mem.maxmemctl", set_mem_balloon},
    {"sched.mem.pshare.enable", set_mem_share},
    {"sched.mem.pshare.salt", set_mem_salt},
    {"sched.swap.dir", set_swap_dir},
    {"orrery.kernel", set_kernel},
    {"orrery.initrd", set_initrd},
    {"orrery.cmdline", set_cmdline},
    {"serial0.present", set_serial_present},
    {"serial0.fileName", set_serial},
    {"serial0.fileType", set_serial_type},
    {"autostart", set_autostart},
    {"firmware", set_firmware},
    {"orrery.bios", set_bios},
    {"uuid.bios", set_uuid},
};

/* ---- disks: scsiB.*, scsiB:U.*, orrery.virtioB.*, orrery.virtioB:U.*, sched.scsiB:U.shares ---- */

static const char *const bus_words[] = {
    [VM_DISK_SCSI] = "scsi", [VM_DISK_VIRTIO] = "orrery.virtio"};

/* A decimal number of at most two digits at *at, stepped over; -1: none. */
static int small_number(const char **at)
{
    const char *c = *at;
    int value = -1;

    for (unsigned i = 0; i < 2 && *c >= '0' && *c <= '9'; i++)
        value = (value < 0 ? 0 : value * 10) + (*c++ - '0');
    *at = c;
    return value;
}

/* Does the key begin with that word in any case? What follows it, or null. */
static const char *after_word(const char *key, const char *word)
{
    while (*word && lower(*key) == lower(*word)) {
        key++;
        word++;
    }
    return *word ? NULL : key;
}

/* Disks appear in the table as their first key is seen, whether they are present or not: a number, or
 * VM_DISKS_MAX if there is no room. */
static unsigned disk_of(struct parser *p, enum vm_disk_bus bus, unsigned number, unsigned unit)
{
    unsigned i = 0;

    while (i < p->disk_count &&
           (p->disks[i].bus != bus || p->disks[i].number != number || p->disks[i].unit != unit))
        i++;
    if (i == p->disk_count && i < VM_DISKS_MAX) {
        p->disks[i] = (struct vm_disk_config){
            .bus = bus, .number = (uint8_t)number, .unit = (uint8_t)unit};
        p->disk_count++;
    }
    return i;
}

static vmk_status set_bus(struct parser *p, struct vm_config *out, enum vm_disk_bus bus,
                          unsigned number, const char *property)
{
    if (same_word(property, "present"))
        return truth_read(p, &out->buses[bus][number]);
    if (same_word(property, "virtualDev") && bus == VM_DISK_SCSI &&
        !same_word(p->value, "pvscsi"))
        return fail(p, "no such adapter here; use pvscsi");
    return VMK_OK;
}

static vmk_status set_disk_shares(struct parser *p, struct vm_disk_config *d)
{
    static const struct {
        const char *word;
        uint32_t shares;
    } levels[] = {{"low", IOSHARES_LOW}, {"normal", IOSHARES_NORMAL}, {"high", IOSHARES_HIGH}};

    for (size_t i = 0; i < ARRAY_COUNT(levels); i++) {
        if (same_word(p->value, levels[i].word)) {
            d->io_shares = levels[i].shares;
            return VMK_OK;
        }
    }
    return number_read(p, 1, IOSHARES_MAX, &d->io_shares);
}

static vmk_status set_disk(struct parser *p, unsigned disk, const char *property)
{
    struct vm_disk_config *d = &p->disks[disk];

    if (same_word(property, "present"))
        return truth_read(p, &p->disk_present[disk]);
    if (same_word(property, "fileName"))
        return p->value[0] ? string_copy(p, d->file, sizeof(d->file)) : fail(p, "empty");
    if (same_word(property, "deviceType")) {
        if (same_word(p->value, "disk") || same_word(p->value, "scsi-hardDisk"))
            return VMK_OK;
        return fail(p, "must be disk or scsi-hardDisk");
    }
    if (same_word(property, "mode")) {
        bool keeps =
            same_word(p->value, "persistent") || same_word(p->value, "independent-persistent");

        if (!keeps && !same_word(p->value, "independent-nonpersistent"))
            return fail(p, "must be persistent, independent-persistent or "
                           "independent-nonpersistent");
        d->mode = keeps ? VM_DISK_PERSISTENT : VM_DISK_NONPERSISTENT;
    }
    return VMK_OK;
}

/* True: the key is one of these, and `status` says how it went. */
static bool disk_key(struct parser *p, struct vm_config *out, vmk_status *status)
{
    const char *sched = after_word(p->key, "sched.");

    for (unsigned bus = 0; bus < ARRAY_COUNT(bus_words); bus++) {
        const char *at = after_word(sched ? sched : p->key, bus_words[bus]);
        int number, unit;

        if (!at || (number = small_number(&at)) < 0 || (*at != '.' && *at != ':'))
            continue;
        if (number >= (int)VM_BUSES_MAX) {
            *status = fail(p, "there are buses 0 to 3");
            return true;
        }
        if (*at == '.') {
            *status = sched ? VMK_OK
                            : set_bus(p, out, (enum vm_disk_bus)bus, (unsigned)number, at + 1);
            return true;
        }
        at++;
        unit = small_number(&at);
        if (unit < 0 || unit >= (int)VM_DISK_UNITS || *at != '.' ||
            (bus == VM_DISK_SCSI && unit == 7)) {
            *status = fail(p, "there are units 0 to 15, and 7 is the adapter");
            return true;
        }

        unsigned disk = disk_of(p, (enum vm_disk_bus)bus, (unsigned)number, (unsigned)unit);

        if (disk >= VM_DISKS_MAX)
            *status = fail(p, "more than 16 disks");
        else if (!sched)
            *status = set_disk(p, disk, at + 1);
        else if (same_word(at + 1, "shares"))
            *status = set_disk_shares(p, &p->disks[disk]);
        else
            *status = VMK_OK;
        return true;
    }
    return false;
}

/* Controllers that a file from another product may have, and that are not here. */
static vmk_status foreign_controller(struct parser *p)
{
    static const char *const words[] = {"sata", "nvme", "ide"};

    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        const char *at = after_word(p->key, words[i]);

        if (at && small_number(&at) >= 0 && *at == ':') {
            at++;
            if (small_number(&at) >= 0 && same_word(at, ".present") &&
                same_word(p->value, "true"))
                return fail(p, "no such controller here; use scsi with pvscsi");
        }
    }
    return VMK_OK;
}

/* A key that is wrong only together with others; the line is the file's last. */
static vmk_status fail_disk(struct parser *p, const struct vm_disk_config *d, const char *what)
{
    vmk_snprintf(p->key, sizeof(p->key), "%s%u:%u", bus_words[d->bus], d->number, d->unit);
    return fail(p, what);
}

static unsigned disk_order(const struct vm_disk_config *d)
{
    return (d->bus * VM_BUSES_MAX + d->number) * VM_DISK_UNITS + d->unit;
}

/* What is present stays in the configuration, in the order of bus, number and unit. */
static vmk_status disks_finish(struct parser *p, struct vm_config *out)
{
    unsigned count = 0;

    for (unsigned i = 0; i < p->disk_count; i++) {
        const struct vm_disk_config d = out->disks[i];
        unsigned at = count;

        if (!p->disk_present[i])
            continue;
        if (!d.file[0])
            return fail_disk(p, &d, "present but without fileName");
        if (!out->buses[d.bus][d.number])
            return fail_disk(p, &d, "its bus is not present: set the bus's .present");
        for (; at > 0 && disk_order(&out->disks[at - 1]) > disk_order(&d); at--)
            out->disks[at] = out->disks[at - 1];
        out->disks[at] = d;
        count++;
    }
    memset(&out->disks[count], 0, (VM_DISKS_MAX - count) * sizeof(out->disks[0]));
    out->disk_count = count;
    return VMK_OK;
}

/* ---- the file ---- */

static bool key_seen_before(const struct parser *p)
{
    struct parser earlier = {.file = p->file, .text = p->text, .size = p->size};

    while (setting_next(&earlier) == VMK_OK && earlier.line < p->line) {
        if (same_word(earlier.key, p->key))
            return true;
    }
    return false;
}

static vmk_status setting_apply(struct parser *p, struct vm_config *out, bool *uuid_given)
{
    vmk_status status;

    for (size_t i = 0; i < ARRAY_COUNT(key_rows); i++) {
        if (!same_word(p->key, key_rows[i].key))
            continue;
        if (key_rows[i].set == set_uuid)
            *uuid_given = true;
        return key_rows[i].set(p, out);
    }
    if (disk_key(p, out, &status))
        return status;
    status = foreign_controller(p);
    if (status != VMK_OK)
        return status;
    vmk_log(VMK_LOG_DEBUG, "Config: %s:%u: %s: unknown key ignored", p->file, p->line, p->key);
    return VMK_OK;
}

/* The same name always gives the same UUID; marked as random and of the usual variant. */
static void uuid_make(struct vm_config *out)
{
    struct rng r;

    rng_init(&r, 0, out->name, 0);
    for (unsigned i = 0; i < 16; i += 8) {
        uint64_t word = rng_next(&r);
        memcpy(out->uuid + i, &word, 8);
    }
    out->uuid[0] = 0x56;  // as VMware's begin
    out->uuid[1] = 0x4d;
    out->uuid[6] = (uint8_t)((out->uuid[6] & 0x0f) | 0x40);
    out->uuid[8] = (uint8_t)((out->uuid[8] & 0x3f) | 0x80);
}

/* A file without displayName is named after the file, without folder and extension. */
static void name_make(const char *file, struct vm_config *out)
{
    const char *base = file;
    size_t length;

    for (const char *c = file; *c; c++) {
        if (*c == '/')
            base = c + 1;
    }
    length = strlen(base);
    if (length > 4 && same_word(base + length - 4, ".vmx"))
        length -= 4;
    length = MIN(length, sizeof(out->name) - 1);
    memcpy(out->name, base, length);
    out->name[length] = '\0';
}

vmk_status vmx_config_parse(const char *file, const char *text, size_t size,
                            struct vm_config *out, char *error, size_t error_size)
{
    struct parser p = {.file = file,
                       .text = text,
                       .size = size,
                       .disks = out->disks,
                       .error = error,
                       .error_size = error_size};
    bool uuid_given = false;
    vmk_status status;

    memset(out, 0, sizeof(*out));
    out->memory_mb = 32;
    out->vcpus = 1;
    out->mem_per_mb = 10;
    out->mem_balloon_mb = UINT32_MAX;
    out->shares = SHARES_NORMAL;
    out->serial_port = -1;
    memcpy(out->bios, "bios-256k.bin", sizeof("bios-256k.bin"));
    if (size > FILE_SIZE_MAX)
        return fail(&p, "file longer than 16384 bytes");
    while ((status = setting_next(&p)) == VMK_OK) {
        if (key_seen_before(&p))
            return fail(&p, "given twice");
        status = setting_apply(&p, out, &uuid_given);
        if (status != VMK_OK)
            return status;
    }
    if (status != VMK_NOT_FOUND)
        return status;
    status = mem_finish(&p, out);
    if (status != VMK_OK)
        return status;
    status = disks_finish(&p, out);
    if (status != VMK_OK)
        return status;
    if (out->kernel[0] == '\0' && out->firmware == VM_FIRMWARE_DIRECT) {
        memcpy(p.key, "orrery.kernel", sizeof("orrery.kernel"));
        return fail(&p, "missing");
    }
    if (out->serial_file[0] && !p.serial_is_file) {
        memcpy(p.key, "serial0.fileName", sizeof("serial0.fileName"));
        p.line = p.serial_line;
        return fail(&p, "must be com1, com2 or none; serial0.fileType = \"file\" for a file");
    }
    if (p.serial_absent) {
        out->serial_port = -1;
        out->serial_file[0] = '\0';
    }
    if (out->name[0] == '\0')
        name_make(file, out);
    if (!uuid_given)
        uuid_make(out);
    return VMK_OK;
}
