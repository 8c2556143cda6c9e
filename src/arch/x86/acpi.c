// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/acpi.c -- the little of ACPI that the bring-up needs: CPUs, IOAPICs, the PM timer, and
 * the way to switch off.
 *
 * Tables are read in place and only after their checksum held; lengths are bounded before use. The
 * sleep type of S5 is looked for in the DSDT and SSDTs as the AML byte pattern of
 * `Name (_S5, Package ...)`, with no interpreter: enough for the constant packages that firmware
 * has there, and no more. This file stands behind the acpi_* calls of arch_internal.h, so that an
 * interpreter can take its place.
 *
 * Runs on CPU 0 at boot; acpi_power_off() and acpi_reset() from anywhere, lock-free.
 * Source: ACPI 6.4 "ACPI Software Programming Model", "Fixed Hardware Programming Model".
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/insn.h"
#include "core/log.h"
#include "lib/endian.h"
#include "lib/string.h"

#define TABLE_SIZE_MAX 0x400000u
#define SSDTS_MAX      32u

struct packed_layout acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision, creator, creator_revision;
};

struct packed_layout acpi_rsdp {
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
};

struct packed_layout acpi_address {
    uint8_t space, width, offset, access;
    uint64_t address;
};

struct packed_layout acpi_fadt {
    struct acpi_header header;
    uint32_t facs, dsdt;
    uint8_t reserved0, profile;
    uint16_t sci;
    uint32_t smi_command;
    uint8_t acpi_enable, acpi_disable, s4bios, pstate;
    uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer;
    uint8_t gap[32];
    uint32_t flags;  // offset 112
    struct acpi_address reset;
    uint8_t reset_value;
    uint16_t arm;
    uint8_t minor;
    uint64_t x_facs, x_dsdt;
};
_Static_assert(offsetof(struct acpi_fadt, pm_timer) == 76, "FADT layout");
_Static_assert(offsetof(struct acpi_fadt, flags) == 112, "FADT layout");
_Static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "FADT layout");

#define FADT_TIMER_32    BIT(8)
#define FADT_RESET       BIT(10)
#define PM1_SLEEP_ENABLE 0x2000u

struct acpi_facts acpi_facts;

static struct {
    const struct acpi_fadt *fadt;
    const struct acpi_header *aml[SSDTS_MAX];  // DSDT and SSDTs
    unsigned aml_count;
    bool sleep_known;
    uint16_t sleep_a, sleep_b;
} acpi;

static bool sum_is_zero(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return sum == 0;
}

static const struct acpi_header *table_at(uint64_t pa)
{
    const struct acpi_header *h;

    if (!pa || pa >= BIT(32))  // what the boot tables map
        return NULL;
    h = paging_map(pa, sizeof(*h), false);
    if (h->length < sizeof(*h) || h->length > TABLE_SIZE_MAX)
        return NULL;
    (void)paging_map(pa, h->length, false);
    return sum_is_zero(h, h->length) ? h : NULL;
}

static const struct acpi_rsdp *scan(uint64_t from, uint64_t to)
{
    for (uint64_t pa = from; pa < to; pa += 16) {
        const struct acpi_rsdp *r = plat_map(paddr_make(pa));

        if (memcmp(r->signature, "RSD PTR ", 8) == 0 && sum_is_zero(r, 20))
            return r;
    }
    return NULL;
}

static const struct acpi_rsdp *find_rsdp(void)
{
    const struct acpi_rsdp *r = NULL;
    const uint16_t *ebda_segment = plat_map(paddr_make(0x40e));
    const uint64_t ebda = (uint64_t)*ebda_segment << 4;

    if (bootinfo_rsdp() && bootinfo_rsdp() < BIT(32)) {
        r = plat_map(paddr_make(bootinfo_rsdp()));
        if (memcmp(r->signature, "RSD PTR ", 8) == 0 && sum_is_zero(r, 20))
            return r;
    }
    if (ebda >= 0x80000 && ebda < 0xa0000)
        r = scan(ebda, ebda + 1024);
    else
        r = NULL;
    return r ? r : scan(0xe0000, 0x100000);
}

static void add_cpu(uint32_t apic_id, uint32_t flags)
{
    if (!(flags & 1))  // present but not enabled
        return;
    for (unsigned i = 0; i < acpi_facts.cpu_count; i++)
        if (acpi_facts.cpu_apic_ids[i] == apic_id)
            return;
    if (acpi_facts.cpu_count < PLAT_CPUS_MAX)
        acpi_facts.cpu_apic_ids[acpi_facts.cpu_count++] = apic_id;
    else
        acpi_facts.cpus_ignored++;
}

static uint32_t word(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static void add_ioapic(uint32_t pa, uint32_t gsi)
{
    if (acpi_facts.ioapic_count == ACPI_IOAPICS_MAX)
        return;
    acpi_facts.ioapic_gsis[acpi_facts.ioapic_count] = gsi;
    acpi_facts.ioapics[acpi_facts.ioapic_count++] = pa;
}

static void add_override(uint8_t irq, uint32_t gsi, uint16_t flags)
{
    if (acpi_facts.override_count == ACPI_OVERRIDES_MAX)
        return;
    acpi_facts.overrides[acpi_facts.override_count].irq = irq;
    acpi_facts.overrides[acpi_facts.override_count].gsi = gsi;
    acpi_facts.overrides[acpi_facts.override_count++].flags = flags;
}

static void parse_madt(const struct acpi_header *h)
{
    const uint8_t *base = (const uint8_t *)h;

    for (uint32_t at = 44; at + 2 <= h->length && base[at + 1] >= 2;) {
        const uint8_t *e = base + at, type = e[0], size = e[1];

        if (at + size > h->length)
            break;
        if (type == 0 && size >= 8)
            add_cpu(e[3], word(e + 4));
        else if (type == 9 && size >= 16)
            add_cpu(word(e + 4), word(e + 8));
        else if (type == 1 && size >= 12)
            add_ioapic(word(e + 4), word(e + 8));
        else if (type == 2 && size >= 10)
            add_override(e[3], word(e + 4), le16(e + 8));
        at += size;
    }
}

/* The first window of segment 0. */
static void parse_mcfg(const struct acpi_header *h)
{
    const uint8_t *base = (const uint8_t *)h;

    for (uint32_t at = 44; at + 16 <= h->length && !acpi_facts.ecam_base; at += 16) {
        if (le16(base + at + 8) != 0)
            continue;
        acpi_facts.ecam_base = le64(base + at);
        acpi_facts.ecam_first = base[at + 10];
        acpi_facts.ecam_last = base[at + 11];
    }
}

static void add_aml(const struct acpi_header *h)
{
    if (h && acpi.aml_count < SSDTS_MAX)
        acpi.aml[acpi.aml_count++] = h;
}

static void parse_fadt(const struct acpi_header *h)
{
    const struct acpi_fadt *f = (const void *)h;
    uint64_t dsdt;

    if (h->length < 116)
        return;
    acpi.fadt = f;
    acpi_facts.pm_timer_port = (uint16_t)f->pm_timer;
    acpi_facts.pm_timer_32 = f->flags & FADT_TIMER_32;
    dsdt = f->dsdt;
    if (h->length >= 148 && f->x_dsdt)
        dsdt = f->x_dsdt;
    add_aml(table_at(dsdt));
}

static void parse_table(const struct acpi_header *h)
{
    if (!h)
        return;
    if (memcmp(h->signature, "APIC", 4) == 0)
        parse_madt(h);
    else if (memcmp(h->signature, "FACP", 4) == 0)
        parse_fadt(h);
    else if (memcmp(h->signature, "MCFG", 4) == 0)
        parse_mcfg(h);
    else if (memcmp(h->signature, "SSDT", 4) == 0)
        add_aml(h);
}

/* One integer of a package; 0xffff if it is not a plain constant. */
static uint16_t aml_byte(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *p = *at;

    if (p < end && (*p == 0 || *p == 1)) {  // ZeroOp, OneOp
        *at = p + 1;
        return *p;
    }
    if (p + 1 < end && *p == 0x0a) {  // BytePrefix
        *at = p + 2;
        return p[1];
    }
    return 0xffff;
}

static bool find_sleep_in(const struct acpi_header *h)
{
    const uint8_t *base = (const uint8_t *)h, *end = base + h->length;

    for (const uint8_t *p = base + sizeof(*h); p + 8 < end; p++) {
        const uint8_t *at = p + 5;

        // Name and object: _S5_, PackageOp; before it NameOp or a root prefix.
        if (memcmp(p, "_S5_", 4) != 0 || p[4] != 0x12 || (p[-1] != 0x08 && p[-1] != '\\'))
            continue;
        at += (*at >> 6) + 1;  // PkgLength
        at++;                  // NumElements
        acpi.sleep_a = aml_byte(&at, end);
        acpi.sleep_b = aml_byte(&at, end);
        if (acpi.sleep_a <= 7)
            return true;
    }
    return false;
}

void acpi_early_init(void)
{
    const struct acpi_rsdp *rsdp = find_rsdp();
    const struct acpi_header *root = NULL;
    bool wide = false;
    uint32_t entry_size;

    if (!rsdp)
        return;
    if (rsdp->revision >= 2 && (root = table_at(rsdp->xsdt)) != NULL)
        wide = true;
    else
        root = table_at(rsdp->rsdt);
    if (!root)
        return;
    entry_size = wide ? 8 : 4;
    for (uint32_t at = sizeof(*root); at + entry_size <= root->length; at += entry_size) {
        uint64_t pa = 0;

        memcpy(&pa, (const uint8_t *)root + at, entry_size);
        parse_table(table_at(pa));
    }
    for (unsigned i = 0; i < acpi.aml_count && !acpi.sleep_known; i++)
        acpi.sleep_known = find_sleep_in(acpi.aml[i]);
}

void acpi_late_init(void)
{
    if (!acpi.fadt)
        vmk_log(VMK_LOG_WARN, "ACPI: no FADT");
    else
        vmk_log(VMK_LOG_INFO, "ACPI: PM1a control %x, PM timer %x, S5 %s",
                acpi.fadt->pm1a_control, acpi.fadt->pm_timer,
                acpi.sleep_known ? "known" : "not found");
}

/* That needs an interpreter. */
bool acpi_pci_route(unsigned segment, unsigned bus, unsigned device, unsigned pin,
                    uint32_t *gsi, bool *level, bool *active_low)
{
    (void)segment;
    (void)bus;
    (void)device;
    (void)pin;
    (void)gsi;
    (void)level;
    (void)active_low;
    return false;
}

void acpi_power_off(void)
{
    const struct acpi_fadt *f = acpi.fadt;
    uint16_t control;

    if (!f || !acpi.sleep_known || !f->pm1a_control)
        return;
    control = insn_inw((uint16_t)f->pm1a_control);
    if (!(control & 1) && f->smi_command && f->acpi_enable) {  // still in legacy mode
        insn_outb((uint16_t)f->smi_command, f->acpi_enable);
        for (unsigned i = 0; i < 1000 && !(insn_inw((uint16_t)f->pm1a_control) & 1); i++)
            clock_delay(1000000);
        control = insn_inw((uint16_t)f->pm1a_control);
    }
    control = (uint16_t)(control & ~0x3c00u);
    insn_outw((uint16_t)f->pm1a_control,
              (uint16_t)(control | (unsigned)acpi.sleep_a << 10 | PM1_SLEEP_ENABLE));
    if (f->pm1b_control && acpi.sleep_b <= 7)
        insn_outw((uint16_t)f->pm1b_control,
                  (uint16_t)(control | (unsigned)acpi.sleep_b << 10 | PM1_SLEEP_ENABLE));
    clock_delay(100000000);
}

void acpi_reset(void)
{
    const struct acpi_fadt *f = acpi.fadt;

    if (f && f->header.length >= 129 && f->flags & FADT_RESET && f->reset.space == 1)
        insn_outb((uint16_t)f->reset.address, f->reset_value);
}
