// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/acpi/acpi_power.c -- full ACPI: the namespace, the power button, off and reset.
 *
 * Whatever the firmware's AML is like, the host comes up: each step that fails is logged and
 * leaves less, in the end nothing but the static tables. Loops in AML are ended after
 * AML_SECONDS.
 *
 * Runs on CPU 0 at boot; power-off and reset from anywhere with interrupts off.
 * Source: ACPI 6.4 "Sleeping/Wake Control", "Reset Register".
 */
#include "arch/x86/acpi/acpi_internal.h"
#include "arch/x86/arch_internal.h"
#include "core/log.h"

#define AML_SECONDS 2u

bool acpi_methods_ready;

static bool step(const char *what, acpi_status status)
{
    if (status != AE_OK)
        vmk_log(VMK_LOG_WARN, "ACPI: %s: %s", what, acpi_format_exception(status));
    return status == AE_OK;
}

static u32 power_button(void *context)
{
    (void)context;
    vmk_log(VMK_LOG_INFO, "ACPI: power button");
    trap_power_button();
    return ACPI_INTERRUPT_HANDLED;
}

/* _PIC 1: interrupts come through the IOAPIC. Firmware without the method is fine. */
static void use_ioapic(void)
{
    union acpi_object argument = {.integer = {ACPI_TYPE_INTEGER, 1}};
    struct acpi_object_list arguments = {1, &argument};
    const acpi_status status = acpi_evaluate_object(NULL, "\\_PIC", &arguments, NULL);

    if (status != AE_OK && status != AE_NOT_FOUND)
        (void)step("_PIC", status);
}

static void bring_up(void)
{
    acpi_gbl_max_loop_iterations = AML_SECONDS;
    if (!step("start", acpi_initialize_subsystem()) ||
        !step("table list", acpi_reallocate_root_table()))
        return;
    /* A table that does not load leaves the others; without hardware mode there is no more. */
    (void)step("namespace", acpi_load_tables());
    if (!step("hardware mode", acpi_enable_subsystem(ACPI_FULL_INITIALIZATION)))
        return;
    acpi_methods_ready = true;
    (void)step("devices", acpi_initialize_objects(ACPI_FULL_INITIALIZATION));
    use_ioapic();
    acpi_route_init();
    if (!(acpi_gbl_FADT.flags & ACPI_FADT_POWER_BUTTON))
        (void)step("power button", acpi_install_fixed_event_handler(ACPI_EVENT_POWER_BUTTON,
                                                                    power_button, NULL));
}

void acpi_late_init(void)
{
    const uint64_t start = plat_tsc_now();
    u8 a, b;
    bool was_on;

    acpi_os_late();
    if (!acpi_facts.tables) {
        vmk_log(VMK_LOG_WARN, "ACPI: no tables");
        return;
    }
    was_on = acpi_use_begin();
    bring_up();
    acpi_os_settle();
    vmk_log(VMK_LOG_INFO, "ACPI: ACPICA %x, %s, S5 %s, %llu ticks", ACPI_CA_VERSION,
            acpi_methods_ready ? "namespace loaded" : "static tables only",
            acpi_get_sleep_type_data(ACPI_STATE_S5, &a, &b) == AE_OK ? "known" : "not found",
            (unsigned long long)(plat_tsc_now() - start));
    acpi_use_end(was_on);
}

void acpi_power_off(void)
{
    if (!acpi_methods_ready)
        return;
    acpi_use_force();
    if (step("S5", acpi_enter_sleep_state_prep(ACPI_STATE_S5)))
        (void)step("S5", acpi_enter_sleep_state(ACPI_STATE_S5));
    clock_delay(100000000);
}

bool acpi_reset_machine(void)
{
    return acpi_facts.tables && acpi_reset() == AE_OK;
}
