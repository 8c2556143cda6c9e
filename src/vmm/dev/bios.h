// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/bios.h -- a VM that starts by a BIOS: the ROM, what the BIOS asks for, vCPU 0 at reset.
 */
#pragma once

#include "core/status.h"

struct bios;
struct vm;

/* Rows of dev/devices.c; nothing for a VM without a BIOS. World context, vm->lock not held. */
must_check vmk_status bios_create(struct vm *vm);
void bios_destroy(struct vm *vm);
/* Puts the BIOS into memory and vCPU 0 at its first instruction. In the place of a kernel. */
must_check vmk_status bios_load(struct vm *vm);
