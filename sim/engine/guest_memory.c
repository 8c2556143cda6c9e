// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/engine/guest_memory.c -- two page walks in one: the guest's tables over the host's nested
 * ones.
 *
 * What the processor's table walker does in hardware. Each entry of the guest's tables is
 * itself at a guest-physical address, so the nested table is asked for it, too, and an entry
 * whose page the host has not given yet is a nested fault like any other.
 *
 * Invariants
 *   - Nothing that a guest puts into its tables does more than fail a translation.
 *   - An entry changes only by bits set with one atomic instruction.
 * Locking    none: one thread; the nested table is only read.
 * Sources    SDM-3A, "Paging", "Access Rights"
 */
#include <string.h>

#include "lib/x86.h"
#include "mem/addr.h"
#include "plat/plat.h"
#include "plat/plat_user.h"
#include "sim/engine/guest.h"
#include "vmm/vm.h"

static bool nested_walk(struct guest_cpu *g, uint64_t gpa, bool write, bool fetch,
                        uint64_t *machine, bool *writable)
{
    const struct nested_table *t = &g->v->vm->nested;
    unsigned level;
    uint64_t entry = nested_lookup(t, gpa_make(gpa), &level);
    uint64_t inside = level == 2 ? BIT(21) - 1 : 0xfff;

    if (!entry || (write && !(entry & t->format->write_bit))) {
        g->fault = (struct guest_fault){
            .kind = GUEST_FAULT_NESTED, .gpa = gpa, .write = write, .fetch = fetch};
        return false;
    }
    *machine = (entry & PTE_ADDRESS & ~inside) | (gpa & inside);
    if (writable)
        *writable = entry & t->format->write_bit;
    return true;
}

static bool page_fault(struct guest_cpu *g, uint64_t va, bool present, bool write, bool fetch,
                       enum uc_shim_mode mode)
{
    uint64_t cr4 = uc_guest_get(g->cpu, VT_CR4);
    bool tells_fetch =
        (cr4 & CR4_SMEP) || ((uc_guest_get(g->cpu, VT_EFER) & EFER_NXE) && (cr4 & CR4_PAE));

    g->fault = (struct guest_fault){.kind = GUEST_FAULT_PAGE,
                                    .address = va,
                                    .error = (present ? 1u : 0) | (write ? 2u : 0) |
                                             (mode == UC_SHIM_USER ? 4u : 0) |
                                             (fetch && tells_fetch ? 16u : 0)};
    return false;
}

struct step {
    uint64_t gpa;
    uint8_t *entry;  // in the host's view
    uint64_t value;
};

/* The entry at a guest-physical address; 4 or 8 bytes. */
static bool entry_at(struct guest_cpu *g, uint64_t gpa, unsigned size, struct step *out)
{
    uint64_t machine;

    if (!nested_walk(g, gpa, false, false, &machine, NULL))
        return false;
    out->gpa = gpa;
    out->entry = plat_map(paddr_make(machine));
    out->value = 0;
    memcpy(&out->value, out->entry, size);
    return true;
}

/* A write like any other: the page may be shared, and then it is a nested fault. */
static bool entry_set(struct guest_cpu *g, const struct step *step, uint64_t bits)
{
    uint64_t machine;

    if ((step->value & bits) == bits)
        return true;
    if (!nested_walk(g, step->gpa, true, false, &machine, NULL))
        return false;
    __atomic_fetch_or(step->entry, (uint8_t)bits, __ATOMIC_RELAXED);
    return true;
}

struct rights {
    bool write, user, nx, dirty;
};

/* The guest's own walk; without paging everything is allowed. */
static bool guest_walk(struct guest_cpu *g, uint64_t va, enum uc_shim_access access,
                       enum uc_shim_mode mode, uint64_t *gpa, struct rights *rights)
{
    uint64_t cr0 = uc_guest_get(g->cpu, VT_CR0);
    uint64_t cr4 = uc_guest_get(g->cpu, VT_CR4);
    uint64_t efer = uc_guest_get(g->cpu, VT_EFER);
    bool write = access == UC_SHIM_STORE;
    bool fetch = access == UC_SHIM_FETCH;
    bool long_mode = efer & EFER_LMA;
    bool pae = cr4 & CR4_PAE;
    unsigned bits = pae ? 9 : 10;
    unsigned levels = long_mode ? 4 : pae ? 3 : 2;
    uint64_t table = uc_guest_get(g->cpu, VT_CR3) & (pae ? PTE_ADDRESS : 0xfffff000);
    struct step steps[4];
    unsigned count = 0;
    unsigned shift;

    *rights = (struct rights){.write = true, .user = true, .dirty = true};
    if (!(cr0 & CR0_PG)) {
        *gpa = (uint32_t)va;
        return true;
    }
    if (long_mode && (uint64_t)((int64_t)(va << 16) >> 16) != va) {
        g->fault = (struct guest_fault){.kind = GUEST_FAULT_GENERAL, .address = va};
        return false;
    }
    if (!long_mode)
        va = (uint32_t)va;
    if (pae && !long_mode)
        table = uc_guest_get(g->cpu, VT_CR3) & 0xffffffe0;
    for (unsigned level = levels;; level--) {
        uint64_t at =
            (va >> (shift = 12 + bits * (level - 1)) & (BIT(bits) - 1)) * (pae ? 8 : 4);
        bool root_of_pae = pae && !long_mode && level == 3;
        struct step *step = &steps[count];

        if (!entry_at(g, table + (root_of_pae ? at & 0x18 : at), pae ? 8 : 4, step))
            return false;
        if (!(step->value & PTE_P))
            return page_fault(g, va, false, write, fetch, mode);
        if (!root_of_pae) {
            rights->write = rights->write && (step->value & PTE_W);
            rights->user = rights->user && (step->value & PTE_U);
            rights->nx = rights->nx || (pae && (efer & EFER_NXE) && (step->value & PTE_NX));
            count++;
        }
        table = step->value & (pae ? PTE_ADDRESS : 0xfffff000);
        if (level == 1)
            break;
        if (level < 4 && !root_of_pae && (step->value & PTE_PS) && (pae || (cr4 & CR4_PSE))) {
            if (!pae)
                table |= (step->value >> 13 & 0xff) << 32;
            break;
        }
    }
    *gpa = (table & ~(BIT(shift) - 1)) | (va & (BIT(shift) - 1));

    bool user = mode == UC_SHIM_USER;
    bool may_write = rights->write || (!user && !(cr0 & CR0_WP));
    bool smap = mode == UC_SHIM_KERNEL_SMAP && !fetch && rights->user && (cr4 & BIT(21));
    bool smep = !user && rights->user && (cr4 & CR4_SMEP);

    if ((user && !rights->user) || (write && !may_write) || (fetch && (rights->nx || smep)) ||
        smap)
        return page_fault(g, va, true, write, fetch, mode);
    for (unsigned i = 0; i < count; i++) {
        if (!entry_set(g, &steps[i], PTE_A | (write && i + 1 == count ? PTE_D : 0)))
            return false;
    }
    rights->dirty = write || (steps[count - 1].value & PTE_D);
    rights->write = may_write;
    rights->nx = rights->nx || smep;
    return true;
}

bool guest_translate(void *context, uint64_t va, enum uc_shim_access access,
                     enum uc_shim_mode mode, bool probe, struct uc_shim_page *out)
{
    struct guest_cpu *g = context;
    struct rights rights;
    uint64_t gpa = 0;
    const struct guest_fault before = g->fault;

    bool found;

    g->fault.kind = GUEST_FAULT_NONE;
    found = guest_walk(g, va, access, mode, &gpa, &rights) &&
            nested_walk(g, gpa, access == UC_SHIM_STORE, access == UC_SHIM_FETCH, &out->machine,
                        &out->writable);
    if (probe)
        g->fault = before;
    if (found) {
        out->writable = out->writable && rights.write && rights.dirty;
        out->executable = !rights.nx;
    }
    return found;
}

/* One page's part of a copy. */
static bool copy_part(struct guest_cpu *g, uint64_t va, void *out, const void *in, size_t size,
                      enum uc_shim_mode mode)
{
    struct uc_shim_page page;

    if (!guest_translate(g, va, in ? UC_SHIM_STORE : UC_SHIM_LOAD, mode, false, &page))
        return false;

    paddr_t at = paddr_make((page.machine & ~0xfffull) | (va & 0xfff));

    if (in) {
        memcpy(plat_map(at), in, size);
        plat_user_code_changed(at, size);
    } else {
        memcpy(out, plat_map(at), size);
    }
    return true;
}

static bool copy(struct guest_cpu *g, uint64_t va, void *out, const void *in, size_t size,
                 enum uc_shim_mode mode)
{
    while (size) {
        size_t part = MIN(size, (size_t)(PAGE_SIZE - (va & (PAGE_SIZE - 1))));

        if (!copy_part(g, va, out, in, part, mode))
            return false;
        va += part;
        size -= part;
        if (in)
            in = (const uint8_t *)in + part;
        else
            out = (uint8_t *)out + part;
    }
    return true;
}

bool guest_read(struct guest_cpu *g, uint64_t va, void *out, size_t size,
                enum uc_shim_mode mode)
{
    return copy(g, va, out, NULL, size, mode);
}

/* A write that fails has written nothing: both pages are looked up first. */
bool guest_write(struct guest_cpu *g, uint64_t va, const void *in, size_t size,
                 enum uc_shim_mode mode)
{
    struct uc_shim_page page;

    if ((va & (PAGE_SIZE - 1)) + size > PAGE_SIZE &&
        !guest_translate(g, va + size - 1, UC_SHIM_STORE, mode, false, &page))
        return false;
    return copy(g, va, NULL, in, size, mode);
}

size_t guest_fetch(struct guest_cpu *g, uint8_t *out, size_t room)
{
    struct vt_segment cs;
    uint64_t rip = uc_guest_get(g->cpu, VT_RIP);
    bool wide;
    size_t n = 0;
    enum uc_shim_mode mode = uc_guest_cpl(g->cpu) == 3 ? UC_SHIM_USER : UC_SHIM_KERNEL;

    uc_guest_get_segment(g->cpu, VT_CS, &cs);
    wide = (uc_guest_get(g->cpu, VT_EFER) & EFER_LMA) && (cs.rights & VT_SEG_L);
    while (n < room) {
        uint64_t va = wide ? rip + n : (uint32_t)(cs.base + (uint32_t)(rip + n));
        size_t part = MIN(room - n, (size_t)(PAGE_SIZE - (va & (PAGE_SIZE - 1))));

        if (!copy_part(g, va, out + n, NULL, part, mode))
            break;
        n += part;
    }
    return n;
}
