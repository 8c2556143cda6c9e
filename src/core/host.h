// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/host.h -- the one root: every mutable thing of a host hangs from struct host.
 *
 * In the image this_host() folds to static addresses; in hosted builds it is the host whose
 * turn it is, so that one process can hold several. A subsystem `x` has one struct x_state,
 * declared in its own folder, and says HOST_STATE(x); once at file scope.
 */
#pragma once

#include "lib/types.h"

#define HOST_PART(name) struct name##_state;
#include "core/host.def"

struct host {
#define HOST_PART(name) struct name##_state *name;
#include "core/host.def"
};

#ifdef ORRERY_METAL
#define HOST_PART(name) extern struct name##_state name##_state_0;
#include "core/host.def"
static const struct host host_0 = {
#define HOST_PART(name) .name = &name##_state_0,
#include "core/host.def"
};
static inline const struct host *this_host(void)
{
    return &host_0;
}
#define HOST_STATE(name) struct name##_state name##_state_0
#else
#include "plat/plat.h"
static inline const struct host *this_host(void)
{
    return plat_host_self();
}
#define HOST_STATE(name)                                                                       \
    extern const size_t name##_state_size;                                                     \
    const size_t name##_state_size = sizeof(struct name##_state)
#endif
