// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/uc_state.h -- registers in and out of an engine CPU, in the kernel's own formats.
 */
#pragma once

#include "plat/plat_user.h"
#include "sim/engine/uc_shim.h"

/* 64-bit code at CPL 3 with flat segments, as a user world finds it. */
void uc_state_user_init(struct uc_shim *s);
void uc_state_user_set(struct uc_shim *s, const struct plat_user_regs *regs);
void uc_state_user_get(struct uc_shim *s, struct plat_user_regs *regs);

/* The legacy region of an XSAVE area: what FXSAVE64 writes and FXRSTOR64 reads. */
void uc_state_fpu_get(struct uc_shim *s, void *area);
void uc_state_fpu_set(struct uc_shim *s, const void *area);
