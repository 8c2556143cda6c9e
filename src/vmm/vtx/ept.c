// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vtx/ept.c -- the bits of EPT entries and of the EPT pointer.
 *
 * The walker is vmm/nested.c, shared with AMD-V; this says only which bits it sets. All guest
 * memory is ordinary RAM and no device is passed through, so a leaf is write-back whatever the
 * guest's PAT says ("ignore PAT"): a guest cannot make host memory uncached, and CR0.CD costs
 * nothing.
 *
 * Invariants
 *   - An entry is never write-without-read: that is a misconfiguration, not a violation.
 *   - Table entries carry full rights, leaves decide.
 * Locking    none: constants and a pure function.
 * Sources    SDM volume 3C, 28.2.2 and tables 28-1..28-6
 */
#include "vmm/vtx/vtx_internal.h"

#define EPT_READ       BIT(0)
#define EPT_WRITE      BIT(1)
#define EPT_EXECUTE    BIT(2)
#define EPT_WRITE_BACK (6ull << 3)
#define EPT_IGNORE_PAT BIT(6)
#define EPT_LARGE      BIT(7)

const struct nested_format nested_format_ept = {
    .name = "EPT",
    .table_bits = EPT_READ | EPT_WRITE | EPT_EXECUTE,
    .leaf_bits = EPT_READ | EPT_WRITE | EPT_EXECUTE | EPT_WRITE_BACK | EPT_IGNORE_PAT,
    .large_bits = EPT_LARGE,
    .write_bit = EPT_WRITE,
    .present_mask = EPT_READ | EPT_WRITE | EPT_EXECUTE,
};

uint64_t vmx_eptp(const struct vmx_facts *facts, mpn_t root)
{
    uint64_t type = facts->ept_vpid & BIT(14) ? 6 : 0;

    /* Accessed and dirty bits stay off: nobody reads them yet and they cost writes. */
    return mpn_to_paddr(root).raw | (3ull << 3) | type;
}
