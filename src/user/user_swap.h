// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/user_swap.h -- the swap file of user worlds, and their waiting for memory.
 */
#pragma once

#include "core/status.h"
#include "lib/types.h"

#define USER_SWAP_PLACE 96u  // bytes of a place, with its end

struct user_swap_summary {
    bool enabled;                 // there is a place, and it may be used
    bool is_open;                 // the file is there, or the device in use
    char place[USER_SWAP_PLACE];  // "datastore:NAME" or "host:DEVICE"; empty: none
    uint64_t slots, used;
    uint64_t out, in, stayed, errors;  // pages, since boot
    uint64_t waits, wait_ns;           // for memory or for a page
};
/* Before the first process. Options: see user_swap.c. World context. */
void user_swap_init(void);
void user_swap_get(struct user_swap_summary *out);
/* Should who wants memory for a user world wait first? Any context. */
bool user_swap_is_short(void);
/*
 * "datastore:NAME", "host:DEVICE", or "off". A place that is in use is left first: its pages
 * come back. BAD_PARAM, or what the new place says. World context. [block]
 */
must_check vmk_status user_swap_set(const char *place);
