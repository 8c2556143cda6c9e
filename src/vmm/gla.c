// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/gla.c -- guest-linear to guest-physical: the processor's page walk, done for the emulator.
 *
 * The three paged modes are one loop over levels with different widths; without paging linear
 * is physical. A walk that succeeds sets accessed and dirty bits as the processor would.
 *
 * Invariants: nothing the guest put into its tables can do more than give a fault or NOT_FOUND.
 * Locking: takes the VM's lock per table entry; none held by the caller.
 *
 * Sources: SDM-3A, "Paging".
 */
#include "lib/string.h"
#include "vmm/vm.h"

#define PF_PRESENT 1u
#define PF_USER    4u
#define PF_FETCH   16u

struct walk {
    struct vm *vm;
    uint64_t cr0, cr4, efer;
    bool user;
    enum gla_access access;
};

static bool walk_fault(const struct walk *w, uint64_t gla, bool present,
                       struct gla_fault *fault)
{
    fault->address = gla;
    fault->error =
        (present ? PF_PRESENT : 0) | (w->access & GLA_WRITE) | (w->user ? PF_USER : 0);
    if ((w->access & GLA_FETCH) &&
        ((w->cr4 & CR4_SMEP) || ((w->efer & EFER_NXE) && (w->cr4 & CR4_PAE))))
        fault->error |= PF_FETCH;
    return false;
}

/* One try; false: the entry was not `*was`, which is what it is then. */
static bool entry_swap(void *at, unsigned size, uint64_t *was, uint64_t to)
{
    uint32_t narrow = (uint32_t)*was;
    bool done;

    if (size == 8)
        return __atomic_compare_exchange_n((uint64_t *)at, was, to, false, __ATOMIC_RELAXED,
                                           __ATOMIC_RELAXED);
    done = __atomic_compare_exchange_n((uint32_t *)at, &narrow, (uint32_t)to, false,
                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    *was = narrow;
    return done;
}

/*
 * Sets accessed and dirty bits in an entry that was `was`, without losing those of another
 * vCPU's walk.
 * An entry that a vCPU wrote anew meanwhile stays as it is.
 */
static void entry_mark(struct vm *vm, uint64_t gpa, unsigned size, uint64_t was, uint64_t bits)
{
    uint64_t now = was;
    bool irqs;
    mpn_t mpn;
    void *at;

    if (vm_page_lock(vm, gpa_to_ppn(gpa_make(gpa)), true, &mpn, &irqs) != VMK_OK)
        return;
    at = (uint8_t *)mpn_map(mpn) + (gpa & (PAGE_SIZE - 1));
    while (((now ^ was) & ~(PTE_A | PTE_D)) == 0 && !entry_swap(at, size, &now, now | bits))
        ;
    spin_unlock(&vm->lock, irqs);
}

/* May this access be done with the rights collected on the way? */
static bool rights_allow(const struct walk *w, struct vcpu *v, uint64_t rights, bool nx)
{
    bool page_user = rights & PTE_U;

    if (w->access & GLA_FETCH) {
        if (nx || (w->user && !page_user))
            return false;
        return w->user || !page_user || !(w->cr4 & CR4_SMEP);
    }
    if (w->user && !page_user)
        return false;
    if ((w->access & GLA_WRITE) && !(rights & PTE_W) && (w->user || (w->cr0 & CR0_WP)))
        return false;
    if (!w->user && page_user && (w->cr4 & CR4_SMAP))
        return vt()->get(v, VT_RFLAGS) & RFLAGS_AC;
    return true;
}

/* One entry of a guest's page table; entries do not straddle pages. */
static bool entry_read(struct vm *vm, uint64_t slot, unsigned size, uint64_t *entry)
{
    const void *at = vm_ram_at(vm, gpa_make(slot));

    if (__builtin_expect(!at, 0)) {
        *entry = 0;
        return vm_memory_read(vm, gpa_make(slot), entry, size) == VMK_OK;
    }
    *entry = size == 8 ? __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED)
                       : __atomic_load_n((const uint32_t *)at, __ATOMIC_RELAXED);
    return true;
}

bool gla_translate(struct vcpu *v, uint64_t gla, enum gla_access access, gpa_t *out,
                   struct gla_fault *fault)
{
    struct walk w = {.vm = v->vm, .cr0 = vt()->get(v, VT_CR0), .access = access};

    if (!(w.cr0 & CR0_PG)) {
        *out = gpa_make((uint32_t)gla);
        return true;
    }
    w.cr4 = vt()->get(v, VT_CR4);
    w.efer = vt()->get(v, VT_EFER);
    w.user = vt()->cpl(v) == 3 && !(access & GLA_SYSTEM);

    bool long_mode = w.efer & EFER_LMA;
    bool pae = long_mode || (w.cr4 & CR4_PAE);
    unsigned bits = pae ? 9 : 10, entry_size = pae ? 8 : 4;
    unsigned level = long_mode ? 4 : pae ? 3 : 2;
    uint64_t cr3 = vt()->get(v, VT_CR3);
    uint64_t table = long_mode ? cr3 & PTE_ADDRESS
                     : pae     ? cr3 & 0xffffffe0ull
                               : cr3 & 0xfffff000ull;
    uint64_t rights = PTE_W | PTE_U;
    uint64_t slots[4], entries[4];
    unsigned slot_count = 0;
    bool nx = false;

    if (!long_mode)
        gla = (uint32_t)gla;
    else if (!x86_is_canonical(gla))
        return walk_fault(&w, gla, false, fault);
    for (;; level--) {
        unsigned shift = PAGE_SHIFT + bits * (level - 1);
        uint64_t slot = table + (gla >> shift & (BIT(bits) - 1)) * entry_size;
        uint64_t entry;

        if (!entry_read(v->vm, slot, entry_size, &entry) || !(entry & PTE_P))
            return walk_fault(&w, gla, false, fault);

        bool pae_root = pae && !long_mode && level == 3;

        if (!pae_root) {
            rights &= entry;
            nx = nx || ((w.efer & EFER_NXE) && pae && (entry & PTE_NX));
            slots[slot_count] = slot;
            entries[slot_count++] = entry;
        }

        bool large = level > 1 && level < 4 && !pae_root && (entry & PTE_PS) &&
                     (pae || (w.cr4 & CR4_PSE));

        if (level > 1 && !large) {
            table = pae ? entry & PTE_ADDRESS : entry & 0xfffff000ull;
            continue;
        }
        if (!rights_allow(&w, v, rights, nx))
            return walk_fault(&w, gla, true, fault);

        uint64_t base = entry & PTE_ADDRESS & ~(BIT(shift) - 1);

        if (!pae) {
            base = entry & 0xffffffffull & ~(BIT(shift) - 1);
            if (large)
                base |= (entry >> 13 & 0xff) << 32;  // PSE-36
        }
        for (unsigned i = 0; i < slot_count; i++) {
            bool leaf = i == slot_count - 1;
            uint64_t wanted = PTE_A | (leaf && (access & GLA_WRITE) ? PTE_D : 0);

            if ((entries[i] & wanted) != wanted)
                entry_mark(v->vm, slots[i], entry_size, entries[i], wanted);
        }
        *out = gpa_make(base | (gla & (BIT(shift) - 1)));
        return true;
    }
}

vmk_status gla_read(struct vcpu *v, uint64_t gla, void *out, size_t size,
                    enum gla_access access, struct gla_fault *fault)
{
    uint8_t *to = out;

    while (size) {
        size_t part = MIN(size, (size_t)(PAGE_SIZE - (gla & (PAGE_SIZE - 1))));
        gpa_t gpa;

        if (!gla_translate(v, gla, access, &gpa, fault))
            return VMK_BAD_PARAM;

        const void *from = vm_ram_at(v->vm, gpa);
        vmk_status status = VMK_OK;

        if (from)
            memcpy(to, from, part);
        else
            status = vm_memory_read(v->vm, gpa, to, part);

        if (status != VMK_OK)
            return status;
        gla += part;
        to += part;
        size -= part;
    }
    return VMK_OK;
}

vmk_status gla_write(struct vcpu *v, uint64_t gla, const void *in, size_t size,
                     struct gla_fault *fault)
{
    const uint8_t *from = in;
    uint64_t last = gla + size - 1;
    gpa_t gpa;

    if (!size)
        return VMK_OK;
    // A write that will fault on its second page must not have changed the first.
    if ((gla ^ last) & ~(PAGE_SIZE - 1)) {
        if (!gla_translate(v, last & ~(PAGE_SIZE - 1), GLA_WRITE, &gpa, fault))
            return VMK_BAD_PARAM;
    }
    while (size) {
        size_t part = MIN(size, (size_t)(PAGE_SIZE - (gla & (PAGE_SIZE - 1))));

        if (!gla_translate(v, gla, GLA_WRITE, &gpa, fault))
            return VMK_BAD_PARAM;

        vmk_status status = vm_memory_write(v->vm, gpa, from, part);

        if (status != VMK_OK)
            return status;
        gla += part;
        from += part;
        size -= part;
    }
    return VMK_OK;
}
