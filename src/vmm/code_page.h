// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/code_page.h -- where the guest's code lies that is being emulated, kept from one exit to the next.
 */
#pragma once

#include "lib/types.h"

struct vcpu;

#define CODE_PAGES       4u
#define CODE_PAGE_LEVELS 4u

/* One page of code and the walk that led there. `bytes` null: none. */
struct code_page {
    const uint8_t *bytes;
    uint64_t gla;  // of the page
    uint64_t cr0, cr3, cr4, efer;
    uint64_t flush_number;  // the VM's when the pointers were taken
    unsigned cpl, levels;
    const uint64_t *slots[CODE_PAGE_LEVELS];  // of the guest's page tables
    uint64_t entries[CODE_PAGE_LEVELS];       // and what stood there
};

/*
 * The byte at that linear address, and what follows in its page, if a walk now would find it
 * there.
 * Null: walk. In the vCPU's world; the pointer is good until that world blocks.
 */
const uint8_t *code_page_find(struct vcpu *v, uint64_t gla);
/* A walk for a fetch from there has just gone well. */
void code_page_keep(struct vcpu *v, uint64_t gla);
