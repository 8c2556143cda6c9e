// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/status.h -- how a call says whether it worked.
 */
#pragma once

#include "lib/types.h"

typedef enum vmk_status {
#define VMK_STATUS(name, text) VMK_##name,
#include "core/status.def"
    VMK_STATUS_COUNT
} vmk_status;

/* The status's name ("NO_MEMORY") and its sentence. Never null. */
const char *vmk_status_name(vmk_status status);
const char *vmk_status_text(vmk_status status);
