// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/x86_topology.c -- which CPUs share a core, a last-level cache and a package, out of CPUID.
 *
 * Three generations of leaves say it. The newest present is believed: 1FH and 0BH (levels with
 * a shift each), AMD's 8000_0008H and 8000_001EH (counts), leaf 1 and 4 (counts of the first
 * multi-core parts). The last-level cache is the highest level of leaf 4 or of AMD's
 * 8000_001DH, which look the same. All CPUs of a machine answer alike here, so one is asked.
 *
 * Invariants
 *   - core_shift <= llc_shift <= package_shift <= 31, whatever CPUID says.
 * Locking    none; no state.
 * Sources    SDM-2A "CPUID--CPU Identification"; APM-3 "Extended Feature"
 */
#include "lib/x86_topology.h"

#define LEVELS_MAX        8u
#define CACHES_MAX        16u
#define LEAF_CACHES       4u
#define LEAF_LEVELS       0x0bu
#define LEAF_LEVELS_MORE  0x1fu
#define LEAF_AMD_FEATURES 0x80000001u
#define LEAF_AMD_SIZES    0x80000008u
#define LEAF_AMD_CACHES   0x8000001du
#define LEAF_AMD_CORE     0x8000001eu
#define LEVEL_SMT         1u
#define AMD_TOPOEXT       BIT(22)
#define FEATURE_HTT       BIT(28)

/* Bits needed for `count` different numbers. */
static unsigned bits_for(uint32_t count)
{
    unsigned bits = 0;

    while (bits < 31 && 1u << bits < count)
        bits++;
    return bits;
}

static bool from_levels(x86_cpuid_fn cpuid, uint32_t leaf, struct x86_topology *out)
{
    bool any = false;

    for (uint32_t i = 0; i < LEVELS_MAX; i++) {
        const struct x86_cpuid_answer a = cpuid(leaf, i);
        const unsigned type = a.ecx >> 8 & 0xff, shift = a.eax & 31;

        if (type == 0 || (a.ebx & 0xffff) == 0)
            break;
        if (type == LEVEL_SMT)
            out->core_shift = shift;
        out->package_shift = shift;
        any = true;
    }
    return any;
}

static bool from_amd(x86_cpuid_fn cpuid, uint32_t extended_max, bool topoext,
                     struct x86_topology *out)
{
    struct x86_cpuid_answer sizes;

    if (extended_max < LEAF_AMD_SIZES)
        return false;
    sizes = cpuid(LEAF_AMD_SIZES, 0);
    if ((sizes.ecx & 0xff) == 0)
        return false;
    out->package_shift = sizes.ecx >> 12 & 15;
    if (out->package_shift == 0)
        out->package_shift = bits_for((sizes.ecx & 0xff) + 1);
    if (topoext && extended_max >= LEAF_AMD_CORE)
        out->core_shift = bits_for((cpuid(LEAF_AMD_CORE, 0).ebx >> 8 & 0xff) + 1);
    return true;
}

static void from_counts(x86_cpuid_fn cpuid, uint32_t max, struct x86_topology *out)
{
    const struct x86_cpuid_answer one = cpuid(1, 0);
    const uint32_t threads = one.edx & FEATURE_HTT ? MAX(one.ebx >> 16 & 0xff, 1u) : 1;
    const uint32_t cores = max >= LEAF_CACHES ? (cpuid(LEAF_CACHES, 0).eax >> 26) + 1 : 1;

    out->package_shift = bits_for(threads);
    out->core_shift = bits_for(threads / MIN(cores, threads));
}

/*
 * Bits of the APIC id inside the cache of the highest level; `otherwise` if none is described.
 */
static unsigned last_cache(x86_cpuid_fn cpuid, uint32_t leaf, unsigned otherwise)
{
    unsigned best_level = 0, shift = otherwise;

    for (uint32_t i = 0; i < CACHES_MAX; i++) {
        const uint32_t eax = cpuid(leaf, i).eax;

        if ((eax & 31) == 0)
            break;
        if ((eax >> 5 & 7) > best_level) {
            best_level = eax >> 5 & 7;
            shift = bits_for((eax >> 14 & 0xfff) + 1);
        }
    }
    return shift;
}

struct x86_topology x86_topology_read(x86_cpuid_fn cpuid)
{
    struct x86_topology t = {0};
    const uint32_t max = cpuid(0, 0).eax, extended_max = cpuid(0x80000000u, 0).eax;
    const bool topoext =
        extended_max >= LEAF_AMD_FEATURES && cpuid(LEAF_AMD_FEATURES, 0).ecx & AMD_TOPOEXT;

    if (!(max >= LEAF_LEVELS_MORE && from_levels(cpuid, LEAF_LEVELS_MORE, &t)) &&
        !(max >= LEAF_LEVELS && from_levels(cpuid, LEAF_LEVELS, &t)) &&
        !from_amd(cpuid, extended_max, topoext, &t))
        from_counts(cpuid, max, &t);
    t.llc_shift = t.package_shift;
    if (max >= LEAF_CACHES)
        t.llc_shift = last_cache(cpuid, LEAF_CACHES, t.llc_shift);
    if (topoext && extended_max >= LEAF_AMD_CACHES)
        t.llc_shift = last_cache(cpuid, LEAF_AMD_CACHES, t.llc_shift);
    t.package_shift = MAX(t.package_shift, t.core_shift);
    t.llc_shift = MIN(MAX(t.llc_shift, t.core_shift), t.package_shift);
    return t;
}
