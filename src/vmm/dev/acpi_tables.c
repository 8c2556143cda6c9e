// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/acpi_tables.c -- builds RSDP, XSDT, RSDT, FADT, FACS, DSDT, MADT and MCFG.
 *
 * A PC guest learns from these where its interrupt controllers, processors, PM registers and
 * PCI windows are. The DSDT is AML: bytecode written by a builder of a few functions, one per
 * term the table needs, because it is short and a compiler for it would be one more thing to
 * install to build the image. It declares \_S5, PCI bus 0 with its windows and interrupt
 * routing (four pins to GSI 16..19), the serial port and the clock.
 *
 * Invariants
 *   - All is laid out from `base` upwards; nothing is written past `room`.
 *   - Every table but FACS sums to zero: table_finish().
 *   - The DSDT's facts are those of the devices: ports and IRQs come from their headers.
 * Locking    none: pure. vm_write_tables() writes guest memory without vm->lock held.
 * Start at   acpi_tables_build().
 * Sources    [ACPI] 4.0 "ACPI Software Programming Model", "ACPI Machine Language"
 */
#include "vmm/dev/acpi_tables.h"

#include "core/log.h"
#include "lib/ascii.h"
#include "vmm/dev/smbios.h"
#include "vmm/dev/table_builder.h"
#include "vmm/dev/vpci.h"
#include "vmm/dev/vpm.h"
#include "vmm/vm.h"

#define OEM_ID       "ORRERY"
#define OEM_TABLE_ID "ORRERYVM"
#define CREATOR_ID   "ORRY"
#define CENTURY_BYTE 0x32u
#define PCI_SLOTS    32u

struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
    uint8_t checksum_extended, reserved[3];
} packed_layout;
_Static_assert(sizeof(struct rsdp) == 36, "RSDP revision 2");

struct sdt_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem_id[6], oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} packed_layout;
_Static_assert(sizeof(struct sdt_header) == 36, "system description table header");

struct gas {
    uint8_t space, width, offset, access;
    uint64_t address;
} packed_layout;

struct fadt {
    struct sdt_header h;
    uint32_t facs, dsdt;
    uint8_t reserved0, profile;
    uint16_t sci_irq;
    uint32_t smi_port;
    uint8_t acpi_on, acpi_off, s4bios, pstate;
    uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer;
    uint32_t gpe0, gpe1;
    uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length;
    uint8_t gpe0_length, gpe1_length, gpe1_base, cst;
    uint16_t c2_latency, c3_latency, flush_size, flush_stride;
    uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
    uint16_t boot_flags;
    uint8_t reserved1;
    uint32_t flags;
    struct gas reset_register;
    uint8_t reset_value, reserved2[3];
    uint64_t x_facs, x_dsdt;
    struct gas x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control, x_pm2_control;
    struct gas x_pm_timer, x_gpe0, x_gpe1;
} packed_layout;
_Static_assert(sizeof(struct fadt) == 244, "FADT revision 4");

#define FADT_WBINVD       BIT(0)
#define FADT_PROC_C1      BIT(2)
#define FADT_SLEEP_BUTTON BIT(5)  // none as fixed hardware
#define FADT_RTC_NO_FIXED BIT(6)  // the RTC wakes through no fixed bit
#define FADT_TIMER_32     BIT(8)
#define FADT_RESET        BIT(10)
#define BOOT_LEGACY       0x01u
#define BOOT_NO_VGA       0x04u  // and, bit 1 clear, no 8042
#define SPACE_IO          1u

struct facs {
    char signature[4];
    uint32_t length, hardware_signature, waking_vector, global_lock, flags;
    uint64_t x_waking_vector;
    uint8_t version, reserved[31];
} packed_layout;
_Static_assert(sizeof(struct facs) == 64, "FACS");

struct madt_header {
    struct sdt_header h;
    uint32_t lapic_address, flags;  // flags bit 0: 8259s are there too
} packed_layout;

struct madt_lapic {
    uint8_t type, length, processor, apic_id;
    uint32_t flags;
} packed_layout;

struct madt_ioapic {
    uint8_t type, length, id, reserved;
    uint32_t address, gsi_base;
} packed_layout;

struct madt_override {
    uint8_t type, length, bus, source;
    uint32_t gsi;
    uint16_t flags;
} packed_layout;

struct madt_lapic_nmi {
    uint8_t type, length, processor;
    uint16_t flags;
    uint8_t lint;
} packed_layout;

struct mcfg {
    struct sdt_header h;
    uint64_t reserved0, base;
    uint16_t segment;
    uint8_t first_bus, last_bus;
    uint32_t reserved1;
} packed_layout;
_Static_assert(sizeof(struct mcfg) == 60, "MCFG with one range");

#define MADT_ACTIVE_HIGH 0x1u
#define MADT_LEVEL       0xcu

static void put_8(struct table_builder *b, unsigned value)
{
    uint8_t byte = (uint8_t)value;

    table_put(b, &byte, 1);
}

static void put_16(struct table_builder *b, unsigned value)
{
    uint16_t word = (uint16_t)value;

    table_put(b, &word, 2);
}

static void put_32(struct table_builder *b, uint32_t value)
{
    table_put(b, &value, 4);
}

static void align(struct table_builder *b, size_t to)
{
    while (b->size % to && !b->full)
        put_8(b, 0);
}

static struct sdt_header sdt_header(const char *signature, uint8_t revision)
{
    struct sdt_header h = {.revision = revision, .oem_revision = 1, .creator_revision = 1};

    memcpy(h.signature, signature, 4);
    memcpy(h.oem_id, OEM_ID, 6);
    memcpy(h.oem_table_id, OEM_TABLE_ID, 8);
    memcpy(h.creator_id, CREATOR_ID, 4);
    return h;
}

/* Sets length and checksum of the table that began at `start` and ends here. */
static void table_finish(struct table_builder *b, size_t start)
{
    struct sdt_header h;

    if (b->full)
        return;
    memcpy(&h, b->out + start, sizeof(h));
    h.length = (uint32_t)(b->size - start);
    h.checksum = 0;
    memcpy(b->out + start, &h, sizeof(h));
    h.checksum = (uint8_t)-table_sum(b->out + start, h.length);
    memcpy(b->out + start, &h, sizeof(h));
}

/* ---- AML ---- */

enum aml_op {
    AML_ZERO = 0x00,
    AML_ONE = 0x01,
    AML_NAME = 0x08,
    AML_BYTE = 0x0a,
    AML_WORD = 0x0b,
    AML_DWORD = 0x0c,
    AML_SCOPE = 0x10,
    AML_BUFFER = 0x11,
    AML_PACKAGE = 0x12,
    AML_EXT = 0x5b,
    AML_EXT_DEVICE = 0x82
};

/* A PkgLength of two bytes is reserved and patched by aml_end(); the longest is 4095. */
static size_t aml_begin(struct table_builder *b)
{
    size_t start = b->size;

    put_16(b, 0);
    return start;
}

static void aml_end(struct table_builder *b, size_t start)
{
    size_t length = b->size - start;

    if (b->full)
        return;
    if (length > 0xfff) {
        b->full = true;
        return;
    }
    b->out[start] = (uint8_t)(0x40 | (length & 0xf));
    b->out[start + 1] = (uint8_t)(length >> 4);
}

static void aml_integer(struct table_builder *b, uint32_t value)
{
    if (value <= 1) {
        put_8(b, value);
    } else if (value <= 0xff) {
        put_8(b, AML_BYTE);
        put_8(b, value);
    } else if (value <= 0xffff) {
        put_8(b, AML_WORD);
        put_16(b, value);
    } else {
        put_8(b, AML_DWORD);
        put_32(b, value);
    }
}

/* Name (name, ...: the object follows. Names are four characters. */
static void aml_name(struct table_builder *b, const char *name)
{
    put_8(b, AML_NAME);
    table_put(b, name, 4);
}

static void aml_name_integer(struct table_builder *b, const char *name, uint32_t value)
{
    aml_name(b, name);
    aml_integer(b, value);
}

static size_t aml_device(struct table_builder *b, const char *name)
{
    size_t start;

    put_8(b, AML_EXT);
    put_8(b, AML_EXT_DEVICE);
    start = aml_begin(b);
    table_put(b, name, 4);
    return start;
}

/*
 * EisaId ("PNP0A03"): three letters of 5 bits and four hex digits, most significant byte first.
 */
static void aml_hid(struct table_builder *b, const char *id)
{
    unsigned letters =
        (unsigned)(id[0] - '@') << 10 | (unsigned)(id[1] - '@') << 5 | (unsigned)(id[2] - '@');

    aml_name(b, "_HID");
    put_8(b, AML_DWORD);
    put_8(b, letters >> 8);
    put_8(b, letters);
    put_8(b, (unsigned)ascii_hex(id[3]) << 4 | (unsigned)ascii_hex(id[4]));
    put_8(b, (unsigned)ascii_hex(id[5]) << 4 | (unsigned)ascii_hex(id[6]));
}

/* ---- resource templates ---- */

/* Name (_CRS, Buffer ...: `templ` holds the descriptors without the end tag. */
static void aml_crs(struct table_builder *b, const struct table_builder *templ)
{
    size_t start;

    if (templ->full)
        b->full = true;
    aml_name(b, "_CRS");
    put_8(b, AML_BUFFER);
    start = aml_begin(b);
    aml_integer(b, (uint32_t)templ->size + 2);
    table_put(b, templ->out, templ->size);
    put_8(b, 0x79);  // end tag; checksum 0: not checked
    put_8(b, 0);
    aml_end(b, start);
}

static void res_io(struct table_builder *b, unsigned port, unsigned count)
{
    put_8(b, 0x47);
    put_8(b, 1);  // decodes 16 bits
    put_16(b, port);
    put_16(b, port);
    put_8(b, 1);
    put_8(b, count);
}

static void res_irq(struct table_builder *b, unsigned irq)
{
    put_8(b, 0x22);
    put_16(b, 1u << irq);
}

enum res_space {
    RES_MEMORY = 0,
    RES_IO = 1,
    RES_BUS = 2
};

/* Address space descriptors of a bridge: minimum and maximum fixed, positively decoded. */
static void res_window_16(struct table_builder *b, enum res_space space, unsigned first,
                          unsigned last)
{
    put_8(b, 0x88);
    put_16(b, 13);
    put_8(b, space);
    put_8(b, 0x0c);
    put_8(b, space == RES_IO ? 3 : 0);  // entire range
    put_16(b, 0);
    put_16(b, first);
    put_16(b, last);
    put_16(b, 0);
    put_16(b, last - first + 1);
}

static void res_window_32(struct table_builder *b, uint32_t first, uint32_t last)
{
    put_8(b, 0x87);
    put_16(b, 23);
    put_8(b, RES_MEMORY);
    put_8(b, 0x0c);
    put_8(b, 1);  // read-write, not cacheable
    put_32(b, 0);
    put_32(b, first);
    put_32(b, last);
    put_32(b, 0);
    put_32(b, last - first + 1);
}

/* ---- DSDT ---- */

static void dsdt_s5(struct table_builder *b)
{
    size_t start;

    aml_name(b, "_S5_");
    put_8(b, AML_PACKAGE);
    start = aml_begin(b);
    put_8(b, 4);
    aml_integer(b, VPM_SLP_TYP_S5);
    aml_integer(b, VPM_SLP_TYP_S5);
    aml_integer(b, 0);
    aml_integer(b, 0);
    aml_end(b, start);
}

/* Package (4) {slot << 16 | 0xffff, pin, 0, GSI}: pins rotate over four lines by slot. */
static void dsdt_prt_entry(struct table_builder *b, unsigned slot, unsigned pin)
{
    size_t start;

    put_8(b, AML_PACKAGE);
    start = aml_begin(b);
    put_8(b, 4);
    aml_integer(b, slot << 16 | 0xffff);
    aml_integer(b, pin);
    aml_integer(b, 0);
    aml_integer(b, vpci_gsi(slot, pin));
    aml_end(b, start);
}

static void dsdt_prt(struct table_builder *b)
{
    size_t start;

    aml_name(b, "_PRT");
    put_8(b, AML_PACKAGE);
    start = aml_begin(b);
    put_8(b, (PCI_SLOTS - 1) * 4);
    for (unsigned slot = 1; slot < PCI_SLOTS; slot++) {
        for (unsigned pin = 0; pin < 4; pin++)
            dsdt_prt_entry(b, slot, pin);
    }
    aml_end(b, start);
}

static void dsdt_pci(struct table_builder *b)
{
    uint8_t room[160];
    struct table_builder crs = {.out = room, .room = sizeof(room)};
    size_t start = aml_device(b, "PCI0");

    aml_hid(b, "PNP0A03");
    aml_name_integer(b, "_UID", 0);
    aml_name_integer(b, "_BBN", 0);
    res_window_16(&crs, RES_BUS, 0, 0);
    res_io(&crs, 0xcf8, 8);
    res_window_16(&crs, RES_IO, 0, 0xcf7);
    res_window_16(&crs, RES_IO, VPCI_IO_BASE, 0xffff);
    res_window_32(&crs, VM_LOW_HOLE, 0xbffff);
    res_window_32(&crs, VM_MMIO_HOLE, VPCI_ECAM_BASE - 1);
    res_window_32(&crs, VPCI_ECAM_BASE + VPCI_ECAM_SIZE, VM_IOAPIC_BASE - 1);
    aml_crs(b, &crs);
    dsdt_prt(b);
    aml_end(b, start);
}

/* A device on the ISA bus: ports and one IRQ. */
static void dsdt_isa(struct table_builder *b, const char *name, const char *id, unsigned port,
                     unsigned count, unsigned irq)
{
    uint8_t room[32];
    struct table_builder crs = {.out = room, .room = sizeof(room)};
    size_t start = aml_device(b, name);

    aml_hid(b, id);
    aml_name_integer(b, "_UID", 1);
    aml_name_integer(b, "_STA", 0xf);
    res_io(&crs, port, count);
    res_irq(&crs, irq);
    aml_crs(b, &crs);
    aml_end(b, start);
}

/* Memory that no device may be given: the configuration space, which the MCFG table names. */
static void dsdt_motherboard(struct table_builder *b)
{
    uint8_t room[32];
    struct table_builder crs = {.out = room, .room = sizeof(room)};
    size_t start = aml_device(b, "MB00");

    aml_hid(b, "PNP0C02");
    aml_name_integer(b, "_UID", 0);
    put_8(&crs, 0x86);  // a fixed 32-bit memory range
    put_16(&crs, 9);
    put_8(&crs, 1);  // writable
    put_32(&crs, VPCI_ECAM_BASE);
    put_32(&crs, VPCI_ECAM_SIZE);
    aml_crs(b, &crs);
    aml_end(b, start);
}

static size_t put_dsdt(struct table_builder *b)
{
    struct sdt_header h = sdt_header("DSDT", 2);
    size_t start = b->size;
    size_t scope;

    table_put(b, &h, sizeof(h));
    dsdt_s5(b);
    put_8(b, AML_SCOPE);
    scope = aml_begin(b);
    table_put(b, "\\_SB_", 5);
    dsdt_pci(b);
    dsdt_motherboard(b);
    dsdt_isa(b, "COM1", "PNP0501", 0x3f8, 8, VM_COM1_IRQ);
    dsdt_isa(b, "RTC0", "PNP0B00", 0x70, 2, VM_RTC_IRQ);
    aml_end(b, scope);
    table_finish(b, start);
    return start;
}

/* ---- the other tables ---- */

static size_t put_facs(struct table_builder *b)
{
    struct facs f = {.length = sizeof(f), .version = 1};
    size_t start;

    align(b, 64);
    start = b->size;
    memcpy(f.signature, "FACS", 4);
    table_put(b, &f, sizeof(f));
    return start;
}

static struct gas io_gas(unsigned port, unsigned bytes)
{
    return (struct gas){.space = SPACE_IO,
                        .width = (uint8_t)(bytes * 8),
                        .access = (uint8_t)(bytes == 1   ? 1
                                            : bytes == 2 ? 2
                                                         : 3),
                        .address = port};
}

static size_t put_fadt(struct table_builder *b, uint64_t facs, uint64_t dsdt)
{
    struct fadt f = {
        .h = sdt_header("FACP", 4),
        .facs = (uint32_t)facs,
        .dsdt = (uint32_t)dsdt,
        .profile = 4,  // enterprise server
        .sci_irq = VM_SCI_IRQ,
        .pm1a_event = VPM_EVENT_PORT,
        .pm1a_control = VPM_CONTROL_PORT,
        .pm_timer = VPM_TIMER_PORT,
        .pm1_event_length = 4,
        .pm1_control_length = 2,
        .pm_timer_length = 4,
        .c2_latency = 0xfff,
        .c3_latency = 0xfff,  // neither is there
        .century = CENTURY_BYTE,
        .boot_flags = BOOT_LEGACY | BOOT_NO_VGA,
        .flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLEEP_BUTTON | FADT_RTC_NO_FIXED |
                 FADT_TIMER_32 | FADT_RESET,
        .reset_register = io_gas(VPM_RESET_PORT, 1),
        .reset_value = VPM_RESET_VALUE,
        .x_facs = facs,
        .x_dsdt = dsdt,
        .x_pm1a_event = io_gas(VPM_EVENT_PORT, 4),
        .x_pm1a_control = io_gas(VPM_CONTROL_PORT, 2),
        .x_pm_timer = io_gas(VPM_TIMER_PORT, 4),
    };
    size_t start;

    f.x_pm1a_event.access = 2;  // two 16-bit registers side by side
    align(b, 16);
    start = b->size;
    table_put(b, &f, sizeof(f));
    table_finish(b, start);
    return start;
}

static size_t put_madt(struct table_builder *b, unsigned vcpus)
{
    struct madt_header h = {
        .h = sdt_header("APIC", 3), .lapic_address = VM_LAPIC_BASE, .flags = 1};
    struct madt_ioapic ioapic = {
        .type = 1, .length = sizeof(ioapic), .id = (uint8_t)vcpus, .address = VM_IOAPIC_BASE};
    struct madt_override timer = {.type = 2, .length = sizeof(timer), .source = 0, .gsi = 2};
    struct madt_override sci = {.type = 2,
                                .length = sizeof(sci),
                                .source = VM_SCI_IRQ,
                                .gsi = VM_SCI_IRQ,
                                .flags = MADT_ACTIVE_HIGH | MADT_LEVEL};
    struct madt_lapic_nmi nmi = {
        .type = 4, .length = sizeof(nmi), .processor = 0xff, .lint = 1};
    size_t start;

    align(b, 16);
    start = b->size;
    table_put(b, &h, sizeof(h));
    for (unsigned i = 0; i < vcpus; i++) {
        struct madt_lapic lapic = {.type = 0,
                                   .length = sizeof(lapic),
                                   .processor = (uint8_t)i,
                                   .apic_id = (uint8_t)i,
                                   .flags = 1};
        table_put(b, &lapic, sizeof(lapic));
    }
    table_put(b, &ioapic, sizeof(ioapic));
    table_put(b, &timer, sizeof(timer));
    table_put(b, &sci, sizeof(sci));
    table_put(b, &nmi, sizeof(nmi));
    table_finish(b, start);
    return start;
}

static size_t put_mcfg(struct table_builder *b)
{
    struct mcfg m = {.h = sdt_header("MCFG", 1), .base = VPCI_ECAM_BASE};
    size_t start;

    align(b, 16);
    start = b->size;
    table_put(b, &m, sizeof(m));
    table_finish(b, start);
    return start;
}

/* XSDT and RSDT list the same tables, for new guests and old ones. */
static size_t put_root(struct table_builder *b, bool wide, const uint64_t tables[3])
{
    struct sdt_header h = sdt_header(wide ? "XSDT" : "RSDT", 1);
    size_t start;

    align(b, 16);
    start = b->size;
    table_put(b, &h, sizeof(h));
    for (unsigned i = 0; i < 3; i++) {
        put_32(b, (uint32_t)tables[i]);
        if (wide)
            put_32(b, (uint32_t)(tables[i] >> 32));
    }
    table_finish(b, start);
    return start;
}

static void rsdp_write(uint8_t *out, uint64_t rsdt, uint64_t xsdt)
{
    struct rsdp r = {.revision = 2, .rsdt = (uint32_t)rsdt, .length = sizeof(r), .xsdt = xsdt};

    memcpy(r.signature, "RSD PTR ", 8);
    memcpy(r.oem_id, OEM_ID, 6);
    r.checksum = (uint8_t)-table_sum(&r, 20);
    r.checksum_extended = (uint8_t)-table_sum(&r, sizeof(r));
    memcpy(out, &r, sizeof(r));
}

size_t acpi_tables_build(unsigned vcpus, uint64_t base, uint8_t *out, size_t room)
{
    struct table_builder b = {.out = out, .room = room, .size = 64};
    uint64_t facs, dsdt, xsdt, rsdt, tables[3];

    if (room < b.size)
        return 0;
    memset(out, 0, b.size);
    facs = base + put_facs(&b);
    dsdt = base + put_dsdt(&b);
    tables[0] = base + put_fadt(&b, facs, dsdt);
    tables[1] = base + put_madt(&b, vcpus);
    tables[2] = base + put_mcfg(&b);
    xsdt = base + put_root(&b, true, tables);
    rsdt = base + put_root(&b, false, tables);
    if (b.full)
        return 0;
    rsdp_write(out, rsdt, xsdt);
    return b.size;
}

vmk_status vm_write_tables(struct vm *vm, gpa_t *rsdp)
{
    uint64_t low = vm->low_page_count * PAGE_SIZE;
    uint64_t high = (vm->page_count - vm->low_page_count) * PAGE_SIZE;
    uint8_t *buffer = heap_alloc(ACPI_TABLES_SIZE, MEM_OWNER_VMM);
    vmk_status status = VMK_LIMIT;
    size_t size;

    if (!buffer)
        return VMK_NO_MEMORY;
    size = acpi_tables_build(vm->vcpu_count, ACPI_TABLES_BASE, buffer, ACPI_TABLES_SIZE);
    if (size)
        status = vm_memory_write(vm, gpa_make(ACPI_TABLES_BASE), buffer, size);
    if (status == VMK_OK) {
        size = smbios_build(&vm->config, low, high, SMBIOS_BASE, buffer, SMBIOS_SIZE);
        status = size ? vm_memory_write(vm, gpa_make(SMBIOS_BASE), buffer, size) : VMK_LIMIT;
    }
    heap_free(buffer);
    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "VM: %s: no room for ACPI and SMBIOS tables: %s",
                vm->config.name, vmk_status_text(status));
        return status;
    }
    *rsdp = gpa_make(ACPI_TABLES_BASE);
    return VMK_OK;
}
