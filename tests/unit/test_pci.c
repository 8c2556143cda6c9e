// SPDX-License-Identifier: BSD-2-Clause
/*
 * Unit tests for src/io/pci.c and pci_map.c over a modelled bus, well-behaved, damaged and
 * hostile.
 */
#include <stdio.h>
#include <string.h>

#include "io/pci.h"
#include "lib/endian.h"
#include "lib/rng.h"
#include "tests/unit/kernel_test.h"

#define FUNCTIONS 12u

struct function {
    pci_address at;
    uint8_t config[256];
    uint32_t bar_size[6];   // power of two; 0: no BAR
    bool bar_wide_high[6];  // this register is the upper half of the one before
};

static struct {
    struct function functions[FUNCTIONS];
    unsigned count;
    unsigned reads, writes_while_decoding;
} bus;

static struct function *find(pci_address at)
{
    for (unsigned i = 0; i < bus.count; i++)
        if (bus.functions[i].at.raw == at.raw)
            return &bus.functions[i];
    return NULL;
}

static uint32_t bus_read(void *context, pci_address at, unsigned offset, unsigned size)
{
    struct function *f = find(at);

    (void)context;
    ck_assert_uint_lt(++bus.reads, 400000);  // nothing may go on for ever
    ck_assert(size == 1 || size == 2 || size == 4);
    ck_assert_uint_eq(offset % size, 0);
    if (!f || offset >= 256)
        return size == 4 ? UINT32_MAX : (1u << 8 * size) - 1;
    return size == 4   ? le32(f->config + offset)
           : size == 2 ? le16(f->config + offset)
                       : f->config[offset];
}

static void bus_write(void *context, pci_address at, unsigned offset, unsigned size,
                      uint32_t value)
{
    struct function *f = find(at);

    (void)context;
    if (!f)
        return;
    if (offset >= PCI_BAR0 && offset < PCI_BAR0 + 24 && size == 4) {
        unsigned bar = (offset - PCI_BAR0) / 4;
        uint32_t low = f->config[offset] & (f->config[offset] & 1 ? 3u : 15u);

        if (le16(f->config + PCI_COMMAND) & 3)
            bus.writes_while_decoding++;
        if (f->bar_wide_high[bar])
            put_le32(f->config + offset, value);
        else if (f->bar_size[bar])
            put_le32(f->config + offset, (value & ~(f->bar_size[bar] - 1)) | low);
        return;
    }
    if (size == 2)
        put_le16(f->config + offset, (uint16_t)value);
    else if (size == 4)
        put_le32(f->config + offset, value);
    else
        f->config[offset] = (uint8_t)value;
}

static const struct pci_access access = {bus_read, bus_write, NULL};
static struct pci_table table;

static struct function *add(unsigned b, unsigned d, unsigned f, uint32_t id,
                            uint32_t class_code)
{
    struct function *x = &bus.functions[bus.count++];

    memset(x, 0, sizeof(*x));
    x->at = pci_address_make(0, b, d, f);
    put_le32(x->config, id);
    put_le32(x->config + PCI_REVISION, class_code << 8 | 7);
    return x;
}

static void add_bar(struct function *f, unsigned bar, uint32_t value, uint32_t size)
{
    put_le32(f->config + PCI_BAR0 + 4 * bar, value);
    f->bar_size[bar] = size;
}

static struct function *add_bridge(unsigned b, unsigned d, unsigned secondary)
{
    struct function *f = add(b, d, 0, 0x000c1b36, 0x060400);

    f->config[PCI_HEADER_TYPE] = 1;
    f->config[PCI_SECONDARY_BUS] = (uint8_t)secondary;
    return f;
}

START_TEST(test_scan__bridges__everything_found_once)
{
    struct function *f;

    add(0, 0, 0, 0x12378086, 0x060000);
    add_bridge(0, 1, 5);
    add_bridge(5, 0, 9);
    f = add(9, 31, 0, 0x00105555, 0x010802);
    f->config[PCI_HEADER_TYPE] = 0x80;
    add(9, 31, 7, 0x00115555, 0x020000);
    add(9, 30, 1, 0x00125555, 0x020000);  // no function 0: not there
    pci_scan(&access, &table);
    ck_assert_uint_eq(table.count, 5);
    ck_assert_uint_eq(table.devices[3].vendor, 0x5555);
    ck_assert_uint_eq(table.devices[3].class_code, 0x010802);
    ck_assert_int_eq(table.devices[3].parent, 2);
    ck_assert_int_eq(table.devices[2].parent, 1);
    ck_assert_int_eq(table.devices[0].parent, -1);
    ck_assert_uint_eq(table.devices[4].at.raw, 9 << 8 | 31 << 3 | 7);
}
END_TEST

START_TEST(test_scan__bridges_in_a_circle__ends)
{
    add_bridge(0, 1, 5);
    add_bridge(5, 0, 0);
    add_bridge(5, 1, 5);
    add_bridge(0, 2, 5);
    add_bridge(0, 3, 255);
    pci_scan(&access, &table);
    ck_assert_uint_eq(table.count, 5);
}
END_TEST

START_TEST(test_bars__all_kinds__sized_and_restored)
{
    struct function *f = add(0, 3, 0, 0x00105555, 0x010601);
    const struct pci_device *d = &table.devices[0];

    put_le16(f->config + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    add_bar(f, 0, 0xc001, 0x20);
    add_bar(f, 1, 0xfebf0000, 0x1000);
    add_bar(f, 2, 0x0000000c, 0x80000000);  // 64 bits, prefetchable, 2 GB at 16 GB
    put_le32(f->config + PCI_BAR0 + 12, 4);
    f->bar_wide_high[3] = true;
    add_bar(f, 5, 0, 0x100);  // no place given
    pci_scan(&access, &table);
    ck_assert(d->bars[0].io && d->bars[0].base == 0xc000 && d->bars[0].size == 0x20);
    ck_assert(!d->bars[1].io && d->bars[1].base == 0xfebf0000 && d->bars[1].size == 0x1000);
    ck_assert(d->bars[2].wide && d->bars[2].prefetchable);
    ck_assert_uint_eq(d->bars[2].base, 0x400000000ull);
    ck_assert_uint_eq(d->bars[2].size, 0x80000000ull);
    ck_assert_uint_eq(d->bars[3].size + d->bars[4].size + d->bars[5].size, 0);
    ck_assert_uint_eq(le32(f->config + PCI_BAR0), 0xc001);
    ck_assert_uint_eq(le32(f->config + PCI_BAR0 + 12), 4);
    ck_assert_uint_eq(le16(f->config + PCI_COMMAND), 3);
    ck_assert_uint_eq(bus.writes_while_decoding, 0);
}
END_TEST

START_TEST(test_bars__damaged__left_out)
{
    struct function *f = add(0, 3, 0, 0x00105555, 0x010601);

    add_bar(f, 0, 0xfebf0800, 0x800);
    put_le32(f->config + PCI_BAR0, 0xfebf0c00);  // not at a multiple of its size
    add_bar(f, 5, 0xfeb00004, 0x1000);           // 64 bits with no second half
    pci_scan(&access, &table);
    ck_assert_uint_eq(table.count, 1);
    ck_assert_uint_eq(table.devices[0].bars[5].size, 0);
}
END_TEST

START_TEST(test_capabilities__descending_and_circular__each_once)
{
    struct function *f = add(0, 3, 0, 0x00105555, 0x010601);
    uint8_t at[8];

    put_le16(f->config + PCI_STATUS, PCI_STATUS_CAPS);
    f->config[PCI_CAPABILITIES] = 0x98;
    memcpy(f->config + 0x98, "\x11\x70\x03\x00", 4);
    memcpy(f->config + 0x70, "\x09\x60\x10\x01", 4);
    memcpy(f->config + 0x60, "\x09\x50\x10\x02", 4);
    memcpy(f->config + 0x50, "\x05\x98\x00\x00", 4);  // back to the first
    pci_scan(&access, &table);
    ck_assert_uint_eq(table.devices[0].msix, 0x98);
    ck_assert_uint_eq(table.devices[0].msix_count, 4);
    ck_assert_uint_eq(table.devices[0].msi, 0x50);
    ck_assert_uint_eq(pci_capabilities(&table.devices[0], PCI_CAPABILITY_VENDOR, at, 8), 2);
    ck_assert(at[0] == 0x70 && at[1] == 0x60);
    ck_assert_uint_eq(pci_capabilities(&table.devices[0], PCI_CAPABILITY_VENDOR, at, 1), 1);
    // One that would run over the end.
    f->config[PCI_CAPABILITIES] = 0xfc;
    memcpy(f->config + 0xfc, "\x11\x00\x03\x00", 4);
    pci_scan(&access, &table);
    ck_assert_uint_eq(table.devices[0].msix, 0);
}
END_TEST

START_TEST(test_scan__random_bytes__bounded_and_consistent)
{
    struct rng rng;

    rng_init(&rng, 99, "pci", 0);
    for (unsigned round = 0; round < 200; round++) {
        bus.count = bus.reads = 0;
        for (unsigned i = 0; i < FUNCTIONS; i++) {
            struct function *f = add((unsigned)rng_below(&rng, 4), (unsigned)rng_below(&rng, 4),
                                     (unsigned)rng_below(&rng, 2), 0, 0);

            for (unsigned b = 0; b < 256; b++)
                f->config[b] = (uint8_t)rng_next(&rng);
            for (unsigned b = 0; b < 6; b++)
                f->bar_size[b] = 1u << rng_below(&rng, 32);
            if (rng_below(&rng, 2))
                f->config[PCI_HEADER_TYPE] = (uint8_t)rng_below(&rng, 2);
            f->config[PCI_SECONDARY_BUS] = (uint8_t)rng_below(&rng, 4);
        }
        pci_scan(&access, &table);
        ck_assert_uint_le(table.count, FUNCTIONS);
        for (unsigned i = 0; i < table.count; i++) {
            const struct pci_device *d = &table.devices[i];

            ck_assert_int_lt(d->parent, (int)i);
            for (unsigned b = 0; b < PCI_BARS; b++) {
                ck_assert_uint_eq(d->bars[b].size & (d->bars[b].size - 1), 0);
                if (d->bars[b].size)
                    ck_assert_uint_eq(d->bars[b].base % d->bars[b].size, 0);
            }
            ck_assert(!d->msix || d->msix <= 256 - 12);
        }
    }
}
END_TEST

START_TEST(test_machine__empty_bus__no_devices)
{
    sim_test_begin();
    pci_init();
    ck_assert_ptr_null(pci_device_get(0));
}
END_TEST

/* ---- driver maps ---- */

static unsigned reported, last_line;
static const char *last_what;
static void report(void *argument, const struct pci_map_error *error)
{
    (void)argument;
    reported++;
    last_line = error->line;
    last_what = error->what;
}

static const char *driver_for(const char *text)
{
    table.count = 1;
    table.devices[0] = (struct pci_device){.vendor = 0x8086,
                                           .device = 0x2922,
                                           .subvendor = 0x1af4,
                                           .subdevice = 0x1100,
                                           .class_code = 0x010601};
    reported = 0;
    (void)pci_map_apply(text, strlen(text), &table, report, NULL);
    return table.devices[0].driver;
}

START_TEST(test_map__rules__first_match_decides)
{
    ck_assert_str_eq(driver_for("regtype=native,bus=pci,id=80862922,driver=vmw_ahci\n"),
                     "vmw_ahci");
    ck_assert_str_eq(
        driver_for("id=80862923,driver=a\n# id=8086,driver=b\n\n id=8086 ,driver=c\r\n"), "");
    ck_assert_str_eq(driver_for("id=80862923,driver=a\nid=8086,driver=c\nid=80862922,driver=d"),
                     "c");
    ck_assert_str_eq(driver_for("id=................010601,driver=ahci"), "ahci");
    ck_assert_str_eq(driver_for("id=................010602,driver=ahci"), "");
    ck_assert_str_eq(driver_for("id=8086....1AF4,driver=x"), "x");
    ck_assert_uint_eq(reported, 0);
}
END_TEST

START_TEST(test_map__damaged_lines__named_and_left_out)
{
    static const char *const bad[] = {"id=8086",
                                      "driver=x",
                                      "id=80862922010601010601010601,driver=x",
                                      "id=80g6,driver=x",
                                      "id=,driver=x",
                                      "id=8086,driver=",
                                      "id=8086,driver=UPPER",
                                      "id=8086,id=8087,driver=x",
                                      "bus=usb,id=8086,driver=x",
                                      "regtype=linux,id=8086,driver=x",
                                      "id=8086,driver=x,more=y",
                                      "id=8086,driver=aaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                      "nonsense",
                                      ",",
                                      "id=8086,,driver=x"};

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        char text[160];

        snprintf(text, sizeof(text), "# first\n%s\nid=8086,driver=good\n", bad[i]);
        ck_assert_str_eq(driver_for(text), "good");
        ck_assert_msg(reported == 1 && last_line == 2 && last_what, "%s", bad[i]);
    }
}
END_TEST

KERNEL_TEST_MAIN("pci", RUNS(test_scan__bridges__everything_found_once),
                 RUNS(test_scan__bridges_in_a_circle__ends),
                 RUNS(test_bars__all_kinds__sized_and_restored),
                 RUNS(test_bars__damaged__left_out),
                 RUNS(test_capabilities__descending_and_circular__each_once),
                 RUNS(test_scan__random_bytes__bounded_and_consistent),
                 RUNS(test_machine__empty_bus__no_devices),
                 RUNS(test_map__rules__first_match_decides),
                 RUNS(test_map__damaged_lines__named_and_left_out))
