// SPDX-License-Identifier: BSD-2-Clause
/*
 * plat/plat_types.h -- the types the seam speaks: machine addresses, time, memory regions.
 */
#pragma once

#include "lib/types.h"

typedef uint64_t plat_ns;  // nanoseconds since boot; plain arithmetic

#define PLAT_NS_NEVER UINT64_MAX
#define PLAT_CPUS_MAX 64u
#define PAGE_SIZE     4096ull
#define PAGE_SHIFT    12u

/* A machine (host physical) address. One field, so that it cannot be mixed with a guest's. */
typedef struct {
    uint64_t raw;
} paddr_t;

static inline paddr_t paddr_make(uint64_t raw)
{
    return (paddr_t){raw};
}

enum plat_region_kind {
    PLAT_REGION_RAM,       // free for use
    PLAT_REGION_RESERVED,  // firmware, devices
    PLAT_REGION_ACPI,      // ACPI tables, reclaimable
    PLAT_REGION_NVS,
    PLAT_REGION_KERNEL,  // this image
    PLAT_REGION_MODULE,  // boot modules
    PLAT_REGION_LOADER,  // loader's information
};

struct plat_region {
    paddr_t base;
    uint64_t size;  // bytes
    enum plat_region_kind kind;
};

/* A file the loader put into memory beside the kernel. */
struct plat_module {
    const char *name;  // last word of its command line, or a made-up one
    const void *data;
    size_t size;
};
