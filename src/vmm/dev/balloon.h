// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/balloon.h -- VMware's memory balloon: pages that the guest's driver gives to the host.
 */
#pragma once

#include "lib/types.h"

#define BALLOON_PORT 0x5670u

struct vcpu;
struct vm;

struct vm_balloon {
    bool connected;        // (w) a driver said START
    bool popped;           // (a) the guest touched a page that it had given away
    uint32_t caps;         // (w) agreed
    uint32_t target;       // (a) pages it should hold
    uint64_t guest_pages;  // (w) what the driver says the guest has
    uint64_t locks, unlocks, refused, resets;  // (w)
};

/* IN from BALLOON_PORT. False: the magic does not match, so the port is nobody's. */
bool vcpu_balloon(struct vcpu *v, bool in);
/* The guest starts anew: nothing is given away any more. VM lock held. */
void vm_balloon_reset_locked(struct vm *vm);
/* What it did, into the log. */
void vm_balloon_log(const struct vm *vm);
