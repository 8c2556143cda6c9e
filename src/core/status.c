// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/status.c -- the names and sentences of core/status.def.
 *
 * Invariants
 *   - Any value gives text; an unknown one says so.
 * Locking    none; constant data.
 */
#include "core/status.h"

static const struct {
    const char *name;
    const char *text;
} statuses[] = {
#define VMK_STATUS(name, text) {#name, text},
#include "core/status.def"
};
_Static_assert(ARRAY_COUNT(statuses) == VMK_STATUS_COUNT, "one row per status");

const char *vmk_status_name(vmk_status status)
{
    return (unsigned)status < VMK_STATUS_COUNT ? statuses[status].name : "UNKNOWN";
}

const char *vmk_status_text(vmk_status status)
{
    return (unsigned)status < VMK_STATUS_COUNT ? statuses[status].text : "an unknown status";
}
