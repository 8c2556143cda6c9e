// SPDX-License-Identifier: BSD-2-Clause
/*
 * arch/x86/paging.c -- the kernel's page tables: four levels, one set for all CPUs.
 *
 * Invariants: no page is both writable and executable (the image's text is also seen through
 * the direct map, writable but not executable there); nothing is mapped below KERNEL space, so
 * a null pointer faults; device registers are uncached. The direct map holds every page that is
 * RAM, ACPI or loader memory, in pages as large as alignment allows (1 GB if the CPU can).
 *
 * Built on CPU 0 before the others start. paging_map() may add later, one CPU at a time; never
 * below a top-level entry that is new once there are user worlds, which have copies of those.
 * Source: SDM-3A "4-Level Paging and 5-Level Paging".
 */
#include "arch/x86/arch_internal.h"
#include "arch/x86/insn.h"
#include "core/assert.h"
#include "lib/string.h"

#define POOL_PAGES   64u
#define WISHES_MAX   128u
#define DATA_FLAGS   (PTE_P | PTE_W | PTE_G | PTE_NX)
#define DEVICE_FLAGS (DATA_FLAGS | PTE_PCD | PTE_PWT)
#define SIZE_2M      0x200000ull
#define SIZE_1G      0x40000000ull

struct wish {
    uint64_t base, end, flags;
};

static struct {
    uint64_t *top;
    uint8_t *pool;
    unsigned pool_left;
    struct wish wishes[WISHES_MAX];  // paging_map() before the final tables
    unsigned wish_count;
    bool huge;   // 1 GB pages
    bool final;  // the map is handed out: the pool does not grow any more
    bool busy;   // (a) a bare flag: maps are made before locks work
} paging;

void *plat_map(paddr_t pa)
{
    return (void *)(uintptr_t)(pa.raw + DIRECT_BASE);
}

paddr_t plat_unmap_address(const void *va)
{
    return paddr_make((uint64_t)(uintptr_t)va - DIRECT_BASE);
}

static uint64_t *table_new(void)
{
    uint64_t *table;

    if (paging.pool_left == 0) {
        vmk_assert(!paging.final);
        paging.pool = bootinfo_take(POOL_PAGES * PAGE_SIZE);
        paging.pool_left = POOL_PAGES;
    }
    table = (uint64_t *)(void *)paging.pool;
    paging.pool += PAGE_SIZE;
    paging.pool_left--;
    return table;
}

static uint64_t *table_below(uint64_t *entry)
{
    if (!(*entry & PTE_P))
        *entry = plat_unmap_address(table_new()).raw | PTE_P | PTE_W;
    return plat_map(paddr_make(*entry & PTE_ADDRESS));
}

/* Maps one page, the largest that fits; returns its size. What is mapped already stays. */
static uint64_t map_one(uint64_t va, uint64_t pa, uint64_t size, uint64_t flags)
{
    uint64_t *entry = &paging.top[va >> 39 & 511];

    entry = &table_below(entry)[va >> 30 & 511];
    if (*entry & PTE_PS)
        return SIZE_1G - (va & (SIZE_1G - 1));
    if (paging.huge && !(*entry & PTE_P) && !((va | pa) & (SIZE_1G - 1)) && size >= SIZE_1G) {
        *entry = pa | flags | PTE_PS;
        return SIZE_1G;
    }
    entry = &table_below(entry)[va >> 21 & 511];
    if (*entry & PTE_PS)
        return SIZE_2M - (va & (SIZE_2M - 1));
    if (!(*entry & PTE_P) && !((va | pa) & (SIZE_2M - 1)) && size >= SIZE_2M) {
        *entry = pa | flags | PTE_PS;
        return SIZE_2M;
    }
    entry = &table_below(entry)[va >> 12 & 511];
    if (!(*entry & PTE_P))
        *entry = pa | flags;
    return PAGE_SIZE;
}

static void map_range(uint64_t va, uint64_t pa, uint64_t size, uint64_t flags)
{
    for (uint64_t done = 0; done < size;)
        done += map_one(va + done, pa + done, size - done, flags);
}

static void map_direct(uint64_t base, uint64_t end, uint64_t flags)
{
    map_range(DIRECT_BASE + base, base, end - base, flags);
}

static void map_image(const uint8_t *start, const uint8_t *end, uint64_t flags)
{
    uint64_t va = (uint64_t)(uintptr_t)start;

    map_range(va, va - KERNEL_BASE, (uint64_t)(end - start), flags);
}

void paging_init(void)
{
    static struct plat_region regions[512];
    uint64_t base = 0, end = 0;
    size_t count;

    paging.huge = plat_cpuid(0x80000001, 0).edx & BIT(26);
    paging.top = table_new();

    // The first megabyte has its own rules: firmware tables, the VGA window.
    map_direct(0, 0xa0000, DATA_FLAGS);
    map_direct(0xa0000, 0xc0000, DEVICE_FLAGS);
    map_direct(0xc0000, 0x100000, DATA_FLAGS);

    // table_new() may carve pages out of the map: that changes kinds, not what is mapped here.
    count = plat_memory_map(regions, ARRAY_COUNT(regions));
    for (size_t i = 0; i < count; i++) {
        const struct plat_region *r = &regions[i];

        if (r->kind == PLAT_REGION_RESERVED || r->base.raw + r->size <= 0x100000)
            continue;
        if (r->base.raw != end) {
            if (end > base)
                map_direct(base, end, DATA_FLAGS);
            base = MAX(r->base.raw, 0x100000ull);
        }
        end = r->base.raw + r->size;
    }
    if (end > base)
        map_direct(base, end, DATA_FLAGS);

    for (unsigned i = 0; i < paging.wish_count; i++)
        map_direct(paging.wishes[i].base, paging.wishes[i].end, paging.wishes[i].flags);

    map_image(image_text_start, image_text_end, PTE_P | PTE_G);
    map_image(image_rodata_start, image_rodata_end, PTE_P | PTE_G | PTE_NX);
    map_image(image_data_start, image_end, DATA_FLAGS);

    if (paging.pool_left < 32) {
        paging.pool = bootinfo_take(POOL_PAGES * PAGE_SIZE);
        paging.pool_left = POOL_PAGES;
    }
    paging.final = true;
}

void paging_load(void)
{
    insn_wrmsr(MSR_EFER, insn_rdmsr(MSR_EFER) | EFER_NXE);
    insn_write_cr3(plat_unmap_address(paging.top).raw);
    insn_write_cr4(insn_read_cr4() | CR4_PGE);
}

paddr_t paging_root(void)
{
    return plat_unmap_address(paging.top);
}

const uint64_t *paging_upper_half(void)
{
    return paging.top + 256;
}

void *paging_map(uint64_t pa, uint64_t size, bool device)
{
    const struct wish wish = {round_down(pa, PAGE_SIZE), round_up(pa + size, PAGE_SIZE),
                              device ? DEVICE_FLAGS : DATA_FLAGS};
    bool was_on, fits;

    if (!paging.final) {  // the boot tables have it; remember it for the final ones
        vmk_assert(paging.wish_count < WISHES_MAX);
        paging.wishes[paging.wish_count++] = wish;
        return plat_map(paddr_make(pa));
    }
    was_on = plat_irq_save();
    while (__atomic_exchange_n(&paging.busy, true, __ATOMIC_ACQUIRE))
        insn_pause();
    // Worst case: a level 3 table, a level 2 table per GB, two level 1 tables at the ends.
    fits = paging.pool_left >= 5 + ((wish.end - wish.base) >> 30);
    if (fits)
        map_direct(wish.base, wish.end, wish.flags);
    __atomic_store_n(&paging.busy, false, __ATOMIC_RELEASE);
    plat_irq_restore(was_on);
    return fits ? plat_map(paddr_make(pa)) : NULL;
}
