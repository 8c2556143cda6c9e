// SPDX-License-Identifier: BSD-2-Clause
/*
 * io/pci_map.c -- which driver for which PCI function, as text.
 *
 * ESXi keeps such lines in /etc/vmware/driver.map.d; so can an administrator here, by a boot
 * module whose name ends in .map. Its rules come before the built-in ones (drivers/drivers.c).
 *
 * Invariants
 *   - A rule's id has at most 22 characters, each a dot or a lower-case hexadecimal digit.
 *   - A damaged line changes nothing but the count of damaged lines.
 * Locking    none: boot, CPU 0.
 */
#include "core/host.h"
#include "core/log.h"
#include "io/pci.h"
#include "lib/ascii.h"
#include "lib/format.h"
#include "lib/string.h"

struct pci_map_rule {
    char id[23];  // 22 characters at most
    char driver[24];
};

#define ID_DIGITS 22u  // 4 + 4 + 4 + 4 + 6

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool starts_with(const char *at, const char *end, const char *word)
{
    size_t n = strlen(word);

    return (size_t)(end - at) >= n && memcmp(at, word, n) == 0;
}

static const char *read_id(const char *at, const char *end, char id[ID_DIGITS + 1])
{
    size_t n = 0;

    for (; at < end; at++) {
        char c = ascii_lower(*at);

        if (ascii_hex(c) < 0 && c != '.')
            return "id= has a character that is no hexadecimal digit and no dot";
        if (n == ID_DIGITS)
            return "id= is longer than 22 digits";
        id[n++] = c;
    }
    id[n] = 0;
    return n ? NULL : "id= is empty";
}

static const char *read_driver(const char *at, const char *end, char *driver, size_t room)
{
    size_t n = (size_t)(end - at);

    if (n == 0 || n >= room)
        return "driver= has no name, or one longer than 23 characters";
    for (const char *c = at; c < end; c++)
        if (!(*c >= 'a' && *c <= 'z') && !(*c >= '0' && *c <= '9') && *c != '_' && *c != '-')
            return "driver= has a character other than a-z, 0-9, _ and -";
    memcpy(driver, at, n);
    driver[n] = 0;
    return NULL;
}

/*
 * One line's worth. False: not a rule; error->what is null if the line is empty or a comment.
 */
static bool pci_map_line(const char *line, size_t length, struct pci_map_rule *rule,
                         struct pci_map_error *error)
{
    const char *end = line + length;
    unsigned seen = 0;

    error->what = NULL;
    memset(rule, 0, sizeof(*rule));
    while (line < end && is_blank(*line))
        line++;
    while (line < end && is_blank(end[-1]))
        end--;
    if (line == end || *line == '#')
        return false;
    while (line < end && !error->what) {
        const char *comma = line;
        unsigned field = 0;

        while (comma < end && *comma != ',')
            comma++;
        if (starts_with(line, comma, "regtype=")) {
            field = 1;
            if (!starts_with(line, comma, "regtype=native") || comma - line != 14)
                error->what = "regtype= is not native";
        } else if (starts_with(line, comma, "bus=")) {
            field = 2;
            if (!starts_with(line, comma, "bus=pci") || comma - line != 7)
                error->what = "bus= is not pci";
        } else if (starts_with(line, comma, "id=")) {
            field = 4;
            error->what = read_id(line + 3, comma, rule->id);
        } else if (starts_with(line, comma, "driver=")) {
            field = 8;
            error->what = read_driver(line + 7, comma, rule->driver, sizeof(rule->driver));
        } else {
            error->what = "a field other than regtype=, bus=, id= and driver=";
        }
        if (seen & field)
            error->what = "a field stands twice";
        seen |= field;
        line = comma + (comma < end);
    }
    if (!error->what && (seen & 12) != 12)
        error->what = "id= or driver= is missing";
    return !error->what;
}

static bool pci_map_matches(const struct pci_map_rule *rule, const struct pci_device *d)
{
    char id[ID_DIGITS + 1];

    vmk_snprintf(id, sizeof(id), "%04x%04x%04x%04x%06x", d->vendor, d->device, d->subvendor,
                 d->subdevice, d->class_code & 0xffffff);
    for (unsigned i = 0; rule->id[i]; i++)
        if (rule->id[i] != '.' && rule->id[i] != id[i])
            return false;
    return true;
}

unsigned pci_map_apply(const char *text, size_t size, struct pci_table *table,
                       void (*report)(void *argument, const struct pci_map_error *error),
                       void *argument)
{
    const char *end = text + size;
    struct pci_map_error error = {0};
    struct pci_map_rule rule;
    unsigned damaged = 0;

    while (text < end) {
        const char *stop = text;

        while (stop < end && *stop != '\n')
            stop++;
        error.line++;
        if (pci_map_line(text, (size_t)(stop - text), &rule, &error)) {
            for (unsigned i = 0; i < table->count; i++) {
                struct pci_device *d = &table->devices[i];

                if (!d->driver[0] && !d->is_bridge && pci_map_matches(&rule, d))
                    memcpy(d->driver, rule.driver, sizeof(d->driver));
            }
        } else if (error.what) {
            damaged++;
            report(argument, &error);
        }
        text = stop + 1;
    }
    return damaged;
}

static void log_damage(void *argument, const struct pci_map_error *error)
{
    vmk_log(VMK_LOG_WARN, "PCI: %s: line %u: %s; the line is left out", (const char *)argument,
            error->line, error->what);
}

void pci_map_load(const char *name, const char *text, size_t size)
{
    struct pci_device *first = pci_device_get(0);

    if (first)
        (void)pci_map_apply(text, size, container_of(first, struct pci_table, devices[0]),
                            log_damage, (void *)(uintptr_t)name);
}
