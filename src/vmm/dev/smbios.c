// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/smbios.c -- builds the SMBIOS 2.8 tables of a virtual machine.
 *
 * Guests read here who made the machine. Linux takes it for VMware's if the serial number
 * begins with "VMware", and loads drivers by the manufacturer's name, so both follow VMware's.
 * Structures:
 * BIOS (0), system (1), enclosure (3), processor (4) per vCPU, memory array (16), device (17)
 * and mapped ranges (19), boot information (32), end (127).
 *
 * A structure is a formatted part whose strings follow it, numbered from 1; the builder writes
 * the formatted part, then each string in the order in which string() was called.
 *
 * Invariants
 *   - Nothing is written past `room`; `full` remembers that something did not fit.
 *   - The length byte of a structure is its formatted size: structure() gets it from sizeof.
 * Locking    none: pure.
 * Sources    [SMBIOS] 2.8 "Entry Point", "Structure Definitions"
 */
#include "vmm/dev/smbios.h"

#include "lib/format.h"
#include "lib/string.h"
#include "vmm/dev/table_builder.h"
#include "vmm/vmx_config.h"

struct entry_32 {  // "_SM_"
    char anchor[4];
    uint8_t checksum, length, major, minor;
    uint16_t largest;
    uint8_t revision, formatted[5];
    char middle_anchor[5];
    uint8_t middle_checksum;
    uint16_t table_length;
    uint32_t table_address;
    uint16_t count;
    uint8_t bcd_revision;
} packed_layout;
_Static_assert(sizeof(struct entry_32) == 31, "SMBIOS 2.1 entry point");

struct entry_64 {  // "_SM3_"
    char anchor[5];
    uint8_t checksum, length, major, minor, docrev, revision, reserved;
    uint32_t table_length;
    uint64_t table_address;
} packed_layout;
_Static_assert(sizeof(struct entry_64) == 24, "SMBIOS 3.0 entry point");

struct header {
    uint8_t type, length;
    uint16_t handle;
} packed_layout;

struct bios {
    struct header h;
    uint8_t vendor, version;
    uint16_t segment;
    uint8_t date, rom_size;
    uint64_t features;
    uint8_t features_2[2], major, minor, ec_major, ec_minor;
} packed_layout;
_Static_assert(sizeof(struct bios) == 0x18, "type 0");

struct system {
    struct header h;
    uint8_t manufacturer, product, version, serial;
    uint8_t uuid[16];
    uint8_t wake_up, sku, family;
} packed_layout;
_Static_assert(sizeof(struct system) == 0x1b, "type 1");

struct enclosure {
    struct header h;
    uint8_t manufacturer, kind, version, serial, asset;
    uint8_t boot_state, power_state, thermal_state, security;
    uint32_t oem;
    uint8_t height, power_cords, element_count, element_size, sku;
} packed_layout;
_Static_assert(sizeof(struct enclosure) == 0x16, "type 3");

struct processor {
    struct header h;
    uint8_t socket, kind, family, manufacturer;
    uint64_t id;
    uint8_t version, voltage;
    uint16_t clock, max_speed, speed;
    uint8_t status, upgrade;
    uint16_t cache[3];
    uint8_t serial, asset, part, cores, cores_on, threads;
    uint16_t features, family_2;
} packed_layout;
_Static_assert(sizeof(struct processor) == 0x2a, "type 4");

struct memory_array {
    struct header h;
    uint8_t location, use, correction;
    uint32_t capacity_kb;
    uint16_t error_handle, devices;
    uint64_t capacity;
} packed_layout;
_Static_assert(sizeof(struct memory_array) == 0x17, "type 16");

struct memory_device {
    struct header h;
    uint16_t array, error_handle, total_width, data_width, size_mb;
    uint8_t form, set, locator, bank, kind;
    uint16_t detail, speed;
    uint8_t manufacturer, serial, asset, part, attributes;
    uint32_t size_ext_mb;
    uint16_t clock, min_mv, max_mv, mv;
} packed_layout;
_Static_assert(sizeof(struct memory_device) == 0x28, "type 17");

struct memory_range {
    struct header h;
    uint32_t start_kb, end_kb;
    uint16_t array;
    uint8_t width;
    uint64_t start, end;
} packed_layout;
_Static_assert(sizeof(struct memory_range) == 0x1f, "type 19");

struct boot_information {
    struct header h;
    uint8_t reserved[6], status;
} packed_layout;
_Static_assert(sizeof(struct boot_information) == 11, "type 32");

#define NO_HANDLE 0xfffeu

struct builder {
    struct table_builder table;
    size_t start;      // of the structure being built
    unsigned strings;  // of it
    uint16_t count, largest;
};

/* Writes the formatted part with its type, length and handle; strings follow with string(). */
static uint16_t structure(struct builder *b, uint8_t type, void *formatted, size_t size)
{
    struct header *h = formatted;

    h->type = type;
    h->length = (uint8_t)size;
    h->handle = (uint16_t)(type * 0x100 + b->count);
    b->start = b->table.size;
    b->strings = 0;
    b->count++;
    table_put(&b->table, formatted, size);
    return h->handle;
}

static void string(struct builder *b, const char *text)
{
    table_put(&b->table, text, strlen(text) + 1);
    b->strings++;
}

static void structure_end(struct builder *b)
{
    table_put(&b->table, "\0", b->strings ? 1 : 2);
    b->largest = MAX(b->largest, (uint16_t)(b->table.size - b->start));
}

/* "VMware-56 4d 01 02 03 04 05 06-07 08 ...", as uuid.bios is written. */
static void serial_number(const uint8_t uuid[16], char *out, size_t room)
{
    size_t at = (size_t)vmk_snprintf(out, room, "VMware-");

    for (unsigned i = 0; i < 16 && at + 4 < room; i++) {
        const char *gap = i == 15 ? "" : i == 7 ? "-" : " ";
        at += (size_t)vmk_snprintf(out + at, room - at, "%02x%s", uuid[i], gap);
    }
}

static void put_machine(struct builder *b, const struct vm_config *config)
{
    struct bios bios = {.vendor = 1,
                        .version = 2,
                        .segment = 0xf000,
                        .date = 3,
                        .features = BIT(3),          // "characteristics not supported"
                        .features_2 = {0x01, 0x18},  // ACPI; targeted content, virtual machine
                        .major = 1,
                        .minor = 0,
                        .ec_major = 0xff,
                        .ec_minor = 0xff};
    struct system system = {.manufacturer = 1,
                            .product = 2,
                            .version = 3,
                            .serial = 4,
                            .wake_up = 6};  // power switch
    struct enclosure enclosure = {.manufacturer = 1,
                                  .kind = 1,
                                  .boot_state = 3,
                                  .power_state = 3,
                                  .thermal_state = 3,
                                  .security = 3};
    char serial[64];

    serial_number(config->uuid, serial, sizeof(serial));
    // The standard's UUID has its first three fields little endian.
    for (unsigned i = 0; i < 16; i++) {
        static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
        system.uuid[i] = config->uuid[order[i]];
    }
    structure(b, 0, &bios, sizeof(bios));
    string(b, "Orrery");
    string(b, "1.0");
    string(b, "01/01/2026");
    structure_end(b);
    structure(b, 1, &system, sizeof(system));
    string(b, "VMware, Inc.");
    string(b, "Orrery Virtual Platform");
    string(b, "None");
    string(b, serial);
    structure_end(b);
    structure(b, 3, &enclosure, sizeof(enclosure));
    string(b, "No Enclosure");
    structure_end(b);
}

static void put_processors(struct builder *b, const struct vm_config *config)
{
    for (unsigned i = 0; i < config->vcpus; i++) {
        struct processor p = {.socket = 1,
                              .kind = 3,
                              .family = 2,
                              .manufacturer = 2,
                              .status = 0x41,
                              .upgrade = 1,  // populated, enabled; other
                              .cache = {0xffff, 0xffff, 0xffff},
                              .cores = 1,
                              .cores_on = 1,
                              .threads = 1,
                              .features = BIT(2),
                              .family_2 = 2};
        char socket[16];

        vmk_snprintf(socket, sizeof(socket), "CPU #%03u", i);
        structure(b, 4, &p, sizeof(p));
        string(b, socket);
        string(b, "Orrery");
        structure_end(b);
    }
}

static void put_range(struct builder *b, uint16_t array, uint64_t start, uint64_t size)
{
    struct memory_range r = {
        .start_kb = UINT32_MAX, .end_kb = UINT32_MAX, .array = array, .width = 1};

    if (size == 0)
        return;
    if ((start + size - 1) / 1024 < UINT32_MAX) {
        r.start_kb = (uint32_t)(start / 1024);
        r.end_kb = (uint32_t)((start + size - 1) / 1024);
    } else {
        r.start = start;
        r.end = start + size - 1;
    }
    structure(b, 19, &r, sizeof(r));
    structure_end(b);
}

static void put_memory(struct builder *b, const struct vm_config *config, uint64_t low,
                       uint64_t high)
{
    uint64_t kb = (uint64_t)config->memory_mb * 1024;
    struct memory_array array = {
        .location = 1, .use = 3, .correction = 3, .error_handle = NO_HANDLE, .devices = 1};
    struct memory_device device = {.error_handle = NO_HANDLE,
                                   .total_width = 64,
                                   .data_width = 64,
                                   .form = 9,
                                   .locator = 1,
                                   .bank = 2,
                                   .kind = 7,
                                   .detail = BIT(1)};
    uint16_t handle;

    if (kb < 0x80000000u)
        array.capacity_kb = (uint32_t)kb;
    else {
        array.capacity_kb = 0x80000000u;
        array.capacity = kb * 1024;
    }
    device.size_mb = config->memory_mb < 0x7fff ? (uint16_t)config->memory_mb : 0x7fff;
    device.size_ext_mb = config->memory_mb < 0x7fff ? 0 : config->memory_mb;
    handle = structure(b, 16, &array, sizeof(array));
    structure_end(b);
    device.array = handle;
    structure(b, 17, &device, sizeof(device));
    string(b, "RAM slot #0");
    string(b, "RAM slot #0");
    structure_end(b);
    put_range(b, handle, 0, low);
    put_range(b, handle, BIT(32), high);
}

static void put_end(struct builder *b)
{
    struct boot_information boot = {.status = 0};
    struct header end = {0};

    structure(b, 32, &boot, sizeof(boot));
    structure_end(b);
    structure(b, 127, &end, sizeof(end));
    structure_end(b);
}

static void entries_write(const struct builder *b, uint64_t table, uint8_t *out)
{
    struct entry_32 e = {.anchor = "_SM_",
                         .length = sizeof(e),
                         .major = 2,
                         .minor = 8,
                         .largest = b->largest,
                         .middle_anchor = {'_', 'D', 'M', 'I', '_'},
                         .table_length = (uint16_t)b->table.size,
                         .table_address = (uint32_t)table,
                         .count = b->count,
                         .bcd_revision = 0x28};
    struct entry_64 e3 = {.anchor = {'_', 'S', 'M', '3', '_'},
                          .length = sizeof(e3),
                          .major = 2,
                          .minor = 8,
                          .revision = 1,
                          .table_length = (uint32_t)b->table.size,
                          .table_address = table};

    e.middle_checksum = (uint8_t)-table_sum(e.middle_anchor, sizeof(e) - 16);
    e.checksum = (uint8_t)-table_sum(&e, sizeof(e));
    e3.checksum = (uint8_t)-table_sum(&e3, sizeof(e3));
    memcpy(out, &e, sizeof(e));
    memcpy(out + 32, &e3, sizeof(e3));
}

size_t smbios_build(const struct vm_config *config, uint64_t low, uint64_t high, uint64_t base,
                    uint8_t *out, size_t room)
{
    struct builder b = {0};

    if (room < SMBIOS_ENTRY_SIZE)
        return 0;
    memset(out, 0, SMBIOS_ENTRY_SIZE);
    b.table.out = out + SMBIOS_ENTRY_SIZE;
    b.table.room = MIN(room - SMBIOS_ENTRY_SIZE, 0xffffu);
    put_machine(&b, config);
    put_processors(&b, config);
    put_memory(&b, config, low, high);
    put_end(&b);
    if (b.table.full)
        return 0;
    entries_write(&b, base + SMBIOS_ENTRY_SIZE, out);
    return SMBIOS_ENTRY_SIZE + b.table.size;
}
