// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/acpi/acpi_route.c -- PCI interrupt pins to global system interrupts, by _PRT.
 *
 * Every device in the namespace that has a _PRT is a bus: a host bridge gives its number by
 * _BBN, a PCI-to-PCI bridge through its secondary bus register, for which its own place must be
 * known first; so parents are resolved before children. An entry of _PRT names the GSI itself,
 * or a link device whose current setting is it; a link that is off is set to its first possible
 * setting.
 *
 * The list is made at boot; look-ups evaluate _PRT each time (drivers ask once per device).
 * Source: ACPI 6.4 "_PRT (PCI Routing Table)", "PCI Interrupt Link".
 */
#include "arch/x86/acpi/acpi_internal.h"
#include "arch/x86/arch_internal.h"
#include "core/log.h"
#include "plat/plat_dev.h"

#define BUSES_MAX     64u
#define BRIDGES_DEEP  8u
#define PCI_HEADER    0x0eu
#define PCI_SECONDARY 0x19u

static struct {
    struct {
        acpi_handle device;
        unsigned bus;
    } buses[BUSES_MAX];
    unsigned count;
} route;

static bool integer_of(acpi_handle device, const char *name, uint64_t *out)
{
    union acpi_object value;
    struct acpi_buffer buffer = {sizeof(value), &value};

    if (acpi_evaluate_object_typed(device, (char *)(uintptr_t)name, NULL, &buffer,
                                   ACPI_TYPE_INTEGER) != AE_OK)
        return false;
    *out = value.integer.value;
    return true;
}

static bool is_host_bridge(acpi_handle device)
{
    struct acpi_device_info *info;
    bool yes;

    if (acpi_get_object_info(device, &info) != AE_OK)
        return false;
    yes = info->flags & ACPI_PCI_ROOT_BRIDGE;
    acpi_os_free(info);
    return yes;
}

/* The number of the bus below that device; false if it is no bridge. */
static bool bus_below(acpi_handle device, unsigned depth, unsigned *out)
{
    acpi_handle parent;
    uint64_t value = 0;
    pci_address at;
    unsigned bus;

    if (is_host_bridge(device)) {
        uint64_t segment = 0;

        if (integer_of(device, "_SEG", &segment) && segment != 0)
            return false;
        *out = integer_of(device, "_BBN", &value) ? (unsigned)(value & 0xff) : 0;
        return true;
    }
    if (depth == 0 || acpi_get_parent(device, &parent) != AE_OK ||
        !integer_of(device, "_ADR", &value) || !bus_below(parent, depth - 1, &bus))
        return false;
    at = pci_address_make(0, bus, (unsigned)(value >> 16), (unsigned)value);
    if ((plat_pci_read(at, PCI_HEADER, 1) & 0x7f) != 1)
        return false;
    *out = plat_pci_read(at, PCI_SECONDARY, 1);
    return *out != 0;
}

static acpi_status visit(acpi_handle device, u32 level, void *context, void **result)
{
    acpi_handle table;
    unsigned bus;

    (void)level;
    (void)context;
    (void)result;
    if (acpi_get_handle(device, "_PRT", &table) != AE_OK ||
        !bus_below(device, BRIDGES_DEEP, &bus))
        return AE_OK;
    if (route.count == BUSES_MAX)
        return AE_CTRL_TERMINATE;
    route.buses[route.count].device = device;
    route.buses[route.count++].bus = bus;
    return AE_OK;
}

void acpi_route_init(void)
{
    (void)acpi_walk_namespace(ACPI_TYPE_DEVICE, ACPI_ROOT_OBJECT, ACPI_UINT32_MAX, visit, NULL,
                              NULL, NULL);
    vmk_log(VMK_LOG_INFO, "ACPI: %u PCI buses with an interrupt routing table", route.count);
}

/* ---- link devices ---- */
struct link_irq {
    bool found;
    struct plat_irq_line line;
};

static acpi_status take_irq(struct acpi_resource *r, void *context)
{
    struct link_irq *out = context;

    if (out->found)
        return AE_OK;
    if (r->type == ACPI_RESOURCE_TYPE_EXTENDED_IRQ &&
        r->data.extended_irq.interrupt_count > 0 && r->data.extended_irq.interrupts[0])
        *out = (struct link_irq){true,
                                 {r->data.extended_irq.interrupts[0],
                                  r->data.extended_irq.polarity == ACPI_ACTIVE_LOW,
                                  r->data.extended_irq.triggering == ACPI_LEVEL_SENSITIVE}};
    else if (r->type == ACPI_RESOURCE_TYPE_IRQ && r->data.irq.interrupt_count > 0 &&
             r->data.irq.interrupts[0])
        *out = (struct link_irq){true,
                                 {r->data.irq.interrupts[0],
                                  r->data.irq.polarity == ACPI_ACTIVE_LOW,
                                  r->data.irq.triggering == ACPI_LEVEL_SENSITIVE}};
    return AE_OK;
}

/* Sets the link to the first interrupt that _PRS offers. */
static bool link_switch_on(acpi_handle link)
{
    struct acpi_buffer buffer = {ACPI_ALLOCATE_BUFFER, NULL};
    struct acpi_resource *r;
    bool done = false;

    if (acpi_get_possible_resources(link, &buffer) != AE_OK)
        return false;
    /*
     * Leave the first interrupt descriptor, with its first number, and end the list behind it.
     */
    for (r = buffer.pointer; r->type != ACPI_RESOURCE_TYPE_END_TAG && !done;
         r = ACPI_NEXT_RESOURCE(r)) {
        if (r->length == 0)
            break;
        if (r->type == ACPI_RESOURCE_TYPE_IRQ && r->data.irq.interrupt_count > 0) {
            r->data.irq.interrupt_count = 1;
        } else if (r->type == ACPI_RESOURCE_TYPE_EXTENDED_IRQ &&
                   r->data.extended_irq.interrupt_count > 0) {
            r->data.extended_irq.interrupt_count = 1;
        } else {
            continue;
        }
        done = acpi_set_current_resources(link, &buffer) == AE_OK;
        break;
    }
    acpi_os_free(buffer.pointer);
    return done;
}

static bool link_line(acpi_handle from, const char *path, struct plat_irq_line *out)
{
    struct link_irq irq = {0};
    acpi_handle link;

    if (acpi_get_handle(from, (char *)(uintptr_t)path, &link) != AE_OK)
        return false;
    (void)acpi_walk_resources(link, "_CRS", take_irq, &irq);
    if (!irq.found && link_switch_on(link))
        (void)acpi_walk_resources(link, "_CRS", take_irq, &irq);
    *out = irq.line;
    return irq.found;
}

/* Numbers below 16 are what a link of the old kind gives: the MADT may move them. */
static void settle(struct plat_irq_line *line)
{
    if (line->gsi < 16)
        line->gsi = plat_irq_isa(line->gsi, true).gsi;
}

static bool look_up(acpi_handle device, unsigned slot, unsigned pin, struct plat_irq_line *out)
{
    struct acpi_buffer buffer = {ACPI_ALLOCATE_BUFFER, NULL};
    const struct acpi_pci_routing_table *e;
    bool found = false;

    if (acpi_get_irq_routing_table(device, &buffer) != AE_OK)
        return false;
    for (e = buffer.pointer; e->length && !found;
         e = (const void *)((const uint8_t *)e + e->length)) {
        if ((e->address >> 16 & 0xffff) != slot || e->pin != pin - 1)
            continue;
        if (e->source[0]) {
            found = link_line(device, e->source, out);
            settle(out);
        } else {
            *out = (struct plat_irq_line){e->source_index, true, true};
            found = true;
        }
    }
    acpi_os_free(buffer.pointer);
    return found;
}

bool acpi_pci_route(unsigned segment, unsigned bus, unsigned device, unsigned pin,
                    uint32_t *gsi, bool *level, bool *active_low)
{
    struct plat_irq_line line = {0};
    bool found = false, was_on;

    if (!acpi_methods_ready || segment != 0 || pin < 1 || pin > 4)
        return false;
    was_on = acpi_use_begin();
    for (unsigned i = 0; i < route.count && !found; i++)
        if (route.buses[i].bus == bus)
            found = look_up(route.buses[i].device, device, pin, &line);
    acpi_use_end(was_on);
    *gsi = line.gsi;
    *level = line.level;
    *active_low = line.active_low;
    return found;
}
