// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/debug_exit.h -- port f4: a write ends the VM with that status.
 */
#pragma once

#include "core/status.h"

struct vm;

/* No state, so no inverse. LIMIT. */
must_check vmk_status debug_exit_create(struct vm *vm);
