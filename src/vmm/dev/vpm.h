// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vpm.h -- ACPI fixed hardware: PM1a event and control, PM timer, SCI; reset ports.
 */
#pragma once

#include "core/status.h"

struct vm;
struct vpm;

#define VPM_EVENT_PORT   0x600u  // status 600, enable 602
#define VPM_CONTROL_PORT 0x604u
#define VPM_TIMER_PORT   0x608u
#define VPM_TIMER_HZ     3579545u
#define VPM_SLP_TYP_S5   0u  // what \_S5 of the DSDT tells the guest to write, as in the PIIX4
#define VPM_RESET_PORT   0xcf9u
#define VPM_RESET_VALUE  0x06u

/* vm->lock not held. NO_MEMORY, LIMIT. */
must_check vmk_status vpm_create(struct vm *vm);
void vpm_destroy(struct vm *vm);
/* A byte written to the reset control register, port cf9 (which lies inside PCI's range). */
void vpm_reset_control_write(struct vm *vm, uint8_t value);
/* Presses the power button: a guest that enabled it gets an SCI. vm->lock held. */
void vpm_power_button_locked(struct vpm *pm);
