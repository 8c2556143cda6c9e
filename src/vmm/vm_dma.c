// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_dma.c -- guest memory as a scatter list of kernel addresses, for devices that move data.
 *
 * Addresses come from the guest and are believed in nothing: a list is made only of RAM of this
 * VM, checked page by page, and what a device or a disk then touches is what was checked,
 * because each page of a list is pinned until vm_dma_release(): reclamation leaves it alone. So
 * a request in flight needs no lock.
 *
 * Invariants
 *   - Neighbours in a list that are neighbours in memory are one segment.
 *   - `size` is the sum of the segments.
 *   - A page is pinned as often as lists and rings hold it, and noted for each.
 * Locking    vm->lock around each page, taken here.
 */
#include "vmm/vm_dma.h"

#include "lib/string.h"
#include "mem/page.h"
#include "vmm/vm.h"
#include "vmm/vm_reclaim.h"

vmk_status vm_dma_page(struct vm *vm, ppn_t ppn, void **out)
{
    uint64_t before = __atomic_load_n(&vm->flush_number, __ATOMIC_SEQ_CST), number;
    bool irqs;
    mpn_t mpn;
    vmk_status status = vm_page_lock(vm, ppn, true, &mpn, &irqs);

    if (status != VMK_OK)
        return status;
    number = vm->flush_number;
    if (!page_pin(mpn))
        status = VMK_BUSY;
    spin_unlock(&vm->lock, irqs);
    if (status != VMK_OK)
        return status;
    // If it was shared it moved: who sees what the device writes must not read the old one
    // after.
    if (number != before)
        vm_flush_wait(vm, number);
    *out = mpn_map(mpn);
    return VMK_OK;
}

void vm_dma_page_release(void *page)
{
    page_unpin(paddr_to_mpn(plat_unmap_address(page)));
}

static void release_from(struct vm_scatter *list, uint32_t from)
{
    while (list->pin_count > from)
        page_unpin(mpn_make(list->pins[--list->pin_count]));
}

void vm_dma_release(struct vm_scatter *list)
{
    release_from(list, 0);
}

static bool append(struct vm_scatter *list, uint8_t *at, uint32_t size)
{
    struct block_segment *last = list->count ? &list->segments[list->count - 1] : NULL;

    if (last && (uint8_t *)last->data + last->size == at && last->size + size > last->size) {
        last->size += size;
    } else {
        if (list->count == list->room)
            return false;
        list->segments[list->count++] = (struct block_segment){.data = at, .size = size};
    }
    list->size += size;
    return true;
}

vmk_status vm_dma_add(struct vm *vm, struct vm_scatter *list, gpa_t gpa, uint64_t size)
{
    struct vm_scatter before = *list;
    uint32_t last_size = list->count ? list->segments[list->count - 1].size : 0;
    vmk_status status = VMK_OK;

    if (gpa.raw + size < gpa.raw)
        return VMK_NOT_FOUND;
    while (size && status == VMK_OK) {
        uint64_t offset = gpa.raw & (PAGE_SIZE - 1);
        uint32_t part = (uint32_t)MIN(size, PAGE_SIZE - offset);
        void *page;

        status =
            list->pin_count < list->room ? vm_dma_page(vm, gpa_to_ppn(gpa), &page) : VMK_LIMIT;
        if (status == VMK_OK) {
            // Never more pages than segments there is room for: each page may be one.
            list->pins[list->pin_count++] =
                (uint32_t)paddr_to_mpn(plat_unmap_address(page)).raw;
            if (!append(list, (uint8_t *)page + offset, part))
                status = VMK_LIMIT;
        }
        if (status != VMK_OK) {
            release_from(list, before.pin_count);
            *list = before;
            if (list->count)
                list->segments[list->count - 1].size = last_size;
        }
        gpa.raw += part;
        size -= part;
    }
    return status;
}

uint64_t scatter_step(struct scatter_cursor *c, void *buffer, uint64_t size, bool to_list)
{
    uint64_t done = 0;

    while (done < size && c->count) {
        uint32_t part = (uint32_t)MIN(size - done, (uint64_t)(c->segment->size - c->offset));
        uint8_t *at = (uint8_t *)c->segment->data + c->offset;
        uint8_t *mine = buffer ? (uint8_t *)buffer + done : NULL;

        if (mine && to_list)
            memcpy(at, mine, part);
        else if (mine)
            memcpy(mine, at, part);
        done += part;
        c->offset += part;
        if (c->offset == c->segment->size) {
            c->segment++;
            c->count--;
            c->offset = 0;
        }
    }
    return done;
}

uint64_t scatter_write(const struct block_segment *segments, uint32_t count, uint64_t offset,
                       const void *from, uint64_t size)
{
    struct scatter_cursor c = {segments, count, 0};

    (void)scatter_step(&c, NULL, offset, false);
    return scatter_step(&c, (void *)(uintptr_t)from, size, true);
}

uint64_t scatter_read(const struct block_segment *segments, uint32_t count, uint64_t offset,
                      void *to, uint64_t size)
{
    struct scatter_cursor c = {segments, count, 0};

    (void)scatter_step(&c, NULL, offset, false);
    return scatter_step(&c, to, size, false);
}

uint64_t scatter_size(const struct block_segment *segments, uint32_t count)
{
    uint64_t size = 0;

    for (uint32_t i = 0; i < count; i++)
        size += segments[i].size;
    return size;
}
