// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/code_page.c -- where the guest's code lies that is being emulated, kept from one exit to the next.
 *
 * To emulate an instruction its bytes are fetched through the guest's page tables, and that
 * walk would be a third of what an access to a device costs. A driver's loop is at the same few
 * addresses all the time, so the pages last fetched from are kept with everything that the walk
 * depended on: the registers, and each table entry by its place and value. All of it is
 * compared at each use, so a guest that edits its tables or its code sees what it would see
 * after a walk; only the arithmetic is saved. An entry whose accessed bit the guest cleared
 * differs, too.
 *
 * The places are host pointers into guest memory. Whoever takes a page from a VM counts
 * flush_number up and gives the page away only when each vCPU has seen that or is stopped
 * (vmm/vm_reclaim.c), so with the number unchanged the pointers are good.
 *
 * Long mode only: the other modes walk.
 *
 * Invariants: `bytes` is set last; a page's copy is never of another page than `gla` names.
 * Locking: none; the vCPU's world.
 * Sources: SDM-3A, "Paging".
 */
#include "vmm/code_page.h"

#include "vmm/vm.h"

static struct code_page *place_of(struct vcpu *v, uint64_t gla)
{
    return &v->code[(gla >> PAGE_SHIFT) % CODE_PAGES];
}

const uint8_t *code_page_find(struct vcpu *v, uint64_t gla)
{
    const struct code_page *c = place_of(v, gla);
    const struct vt_backend *b = vt();

    if (!c->bytes || c->gla != (gla & ~(PAGE_SIZE - 1)) ||
        c->flush_number != __atomic_load_n(&v->vm->flush_number, __ATOMIC_SEQ_CST) ||
        c->cr3 != b->get(v, VT_CR3) || c->cr4 != b->get(v, VT_CR4) ||
        c->efer != b->get(v, VT_EFER) || c->cr0 != b->get(v, VT_CR0) || c->cpl != b->cpl(v))
        return NULL;
    for (unsigned i = 0; i < c->levels; i++) {
        if (__atomic_load_n(c->slots[i], __ATOMIC_RELAXED) != c->entries[i])
            return NULL;
    }
    return c->bytes + (gla & (PAGE_SIZE - 1));
}

void code_page_keep(struct vcpu *v, uint64_t gla)
{
    struct code_page *c = place_of(v, gla);
    const struct vt_backend *b = vt();
    uint64_t table, base = 0;
    const uint8_t *bytes;
    struct gla_fault fault;
    gpa_t gpa;

    c->bytes = NULL;
    c->flush_number = __atomic_load_n(&v->vm->flush_number, __ATOMIC_SEQ_CST);
    c->efer = b->get(v, VT_EFER);
    if (!(c->efer & EFER_LMA))
        return;
    c->gla = gla & ~(PAGE_SIZE - 1);
    c->cr0 = b->get(v, VT_CR0);
    c->cr3 = b->get(v, VT_CR3);
    c->cr4 = b->get(v, VT_CR4);
    c->cpl = b->cpl(v);
    c->levels = 0;
    table = c->cr3 & PTE_ADDRESS;
    for (unsigned level = CODE_PAGE_LEVELS; level; level--) {
        unsigned shift = PAGE_SHIFT + 9 * (level - 1);
        uint64_t index = gla >> shift & 511, entry;
        const uint64_t *slot = vm_ram_at(v->vm, gpa_make(table + index * sizeof(*slot)));

        if (!slot)
            return;
        entry = __atomic_load_n(slot, __ATOMIC_RELAXED);
        if ((entry & (PTE_P | PTE_A)) != (PTE_P | PTE_A))
            return;
        c->slots[c->levels] = slot;
        c->entries[c->levels++] = entry;
        table = entry & PTE_ADDRESS;
        if (level == 1 || (level < CODE_PAGE_LEVELS && (entry & PTE_PS))) {
            base = (table & ~(BIT(shift) - 1)) | (c->gla & (BIT(shift) - 1));
            break;
        }
    }
    // Another vCPU may have changed an entry since the walk that went well.
    bytes = vm_ram_at(v->vm, gpa_make(base));
    if (!bytes || !gla_translate(v, c->gla, GLA_FETCH, &gpa, &fault) || gpa.raw != base)
        return;
    c->bytes = bytes;
    if (!code_page_find(v, gla))
        c->bytes = NULL;
}
