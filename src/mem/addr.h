// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/addr.h -- address types that cannot be mixed: machine, guest-physical, guest-linear.
 *
 * MPN machine page number, PPN guest-physical page number, VPN virtual, as ESXi names them.
 */
#pragma once

#include "plat/plat_types.h"

typedef struct {
    uint64_t raw;
} mpn_t;

typedef struct {
    uint64_t raw;
} ppn_t;

typedef struct {
    uint64_t raw;
} gpa_t;

#define MPN_NONE_RAW 0ull  // machine page 0 is never handed out

static inline mpn_t mpn_make(uint64_t raw)
{
    return (mpn_t){raw};
}

static inline ppn_t ppn_make(uint64_t raw)
{
    return (ppn_t){raw};
}

static inline gpa_t gpa_make(uint64_t raw)
{
    return (gpa_t){raw};
}

static inline paddr_t mpn_to_paddr(mpn_t mpn)
{
    return paddr_make(mpn.raw << PAGE_SHIFT);
}

static inline mpn_t paddr_to_mpn(paddr_t pa)
{
    return mpn_make(pa.raw >> PAGE_SHIFT);
}

static inline ppn_t gpa_to_ppn(gpa_t gpa)
{
    return ppn_make(gpa.raw >> PAGE_SHIFT);
}

static inline gpa_t ppn_to_gpa(ppn_t ppn)
{
    return gpa_make(ppn.raw << PAGE_SHIFT);
}
