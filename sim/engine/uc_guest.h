// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/uc_guest.h -- a guest's registers, segments and intercepts in an engine CPU.
 */
#pragma once

#include "sim/engine/uc_shim.h"
#include "vmm/vt.h"

/*
 * Turns the intercepts on. `vmcb` is the machine address of a page in AMD's layout, of which
 * the library only reads where the MSR permission map is.
 */
void uc_guest_init(struct uc_shim *s, uint64_t vmcb, uint64_t msr_map);
/* CR8 and what has no place in the library's state (DR7, PAT) is not here. */
uint64_t uc_guest_get(struct uc_shim *s, enum vt_reg reg);
void uc_guest_set(struct uc_shim *s, enum vt_reg reg, uint64_t value);
void uc_guest_get_segment(struct uc_shim *s, enum vt_seg seg, struct vt_segment *out);
void uc_guest_set_segment(struct uc_shim *s, enum vt_seg seg, const struct vt_segment *in);
unsigned uc_guest_cpl(struct uc_shim *s);
/* General registers but RSP. */
void uc_guest_load(struct uc_shim *s, const uint64_t gpr[16]);
void uc_guest_store(struct uc_shim *s, uint64_t gpr[16]);
/* The one instruction after STI or MOV SS. */
bool uc_guest_shadow(struct uc_shim *s);
void uc_guest_clear_shadow(struct uc_shim *s);
void uc_guest_intercept_iret(struct uc_shim *s, bool on);
void uc_guest_tsc_aux(struct uc_shim *s, uint64_t value);
/* DR6 bits that a debug exception sets; reading clears them. */
uint64_t uc_guest_debug_status(struct uc_shim *s);
