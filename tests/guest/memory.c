// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/memory.c -- every page of RAM holds what is written to it, and fresh pages do not alias.
 */
#include "guest.h"

const char guest_name[] = "memory";

void guest_main(void)
{
    uint64_t from = ((uint64_t)(uintptr_t)guest_end + 0x3fffff) & ~0x1fffffull;
    uint64_t to = guest_memory_end() & ~0xfffull, pages = 0, dirty = 0;

    // The last MB is where loaders put tables and their information block.
    if (to > 0x6000000)
        to = 0x6000000;
    to -= 0x100000;
    for (uint64_t at = from; at < to; at += 4096, pages++) {
        volatile uint64_t *p = (volatile uint64_t *)(uintptr_t)at;

        if (p[3])
            dirty++;
        p[0] = at;
        p[511] = ~at;
    }
    for (uint64_t at = from; at < to; at += 4096) {
        volatile uint64_t *p = (volatile uint64_t *)(uintptr_t)at;

        if (p[0] != at || p[511] != ~at) {
            expect_equal(p[0], at, "a page keeps its content");
            expect_equal(p[511], ~at, "to its end");
            break;
        }
    }
    if (!guest_on_plain_tcg() && guest_hypervisor()[0])
        expect_equal(dirty, 0, "fresh pages are zero");
    guest_printf("pages %u\n", (unsigned)pages);
}
