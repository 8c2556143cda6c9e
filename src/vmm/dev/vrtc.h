// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vrtc.h -- the guest's CMOS clock and memory at ports 70 and 71, IRQ 8.
 */
#pragma once

#include "core/status.h"

struct vm;
struct vrtc;

/* A calendar date in the proleptic Gregorian calendar, UTC. */
struct vrtc_date {
    unsigned year, month, day;  // 1970.., 1..12, 1..31
    unsigned hour, minute, second;
    unsigned weekday;  // 1 = Sunday
};
void vrtc_date_from_seconds(uint64_t seconds, struct vrtc_date *out);
/* Dates out of range count on into the next unit; never fails. */
uint64_t vrtc_seconds_from_date(const struct vrtc_date *date);

/* vm->lock not held. NO_MEMORY, LIMIT. */
must_check vmk_status vrtc_create(struct vm *vm);
void vrtc_destroy(struct vm *vm);
