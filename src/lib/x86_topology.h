// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/x86_topology.h -- which CPUs share a core, a last-level cache and a package, out of CPUID.
 */
#pragma once

#include "lib/types.h"

struct x86_cpuid_answer {
    uint32_t eax, ebx, ecx, edx;
};
typedef struct x86_cpuid_answer (*x86_cpuid_fn)(uint32_t leaf, uint32_t subleaf);

/*
 * An x86 CPU says where it is by its APIC id: two CPUs are in one core, cache or package if
 * their ids are equal after a shift by that many bits.
 */
struct x86_topology {
    unsigned core_shift, llc_shift, package_shift;  // ascending, at most 31
};

/*
 * `cpuid` answers as any one CPU of the machine does. Never fails: what is not said is not
 * shared, but for the cache, which then is the package's.
 */
struct x86_topology x86_topology_read(x86_cpuid_fn cpuid);
