// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/vpci_msi.c -- interrupts as messages: the MSI and MSI-X capabilities.
 *
 * A message is a write of a data word to an address, both the guest's; at fee00000 the local
 * APICs take it. Whatever else the guest put there goes nowhere. MSI here has one vector and no
 * mask bits; MSI-X has a table in a BAR with a mask for each entry, and a message that is
 * masked waits as a pending bit.
 *
 * Invariants
 *   - A pending bit is set only while its entry or the function is masked: vpci_msix_changed().
 * Locking    vm->lock.
 * Sources    [PCI] "MSI Capability Structure", "MSI-X Capability Structure"; SDM-3A "Message
 *            Signalled Interrupts"
 */
#include "core/assert.h"
#include "lib/endian.h"
#include "vmm/dev/vpci.h"
#include "vmm/vlapic.h"
#include "vmm/vm.h"

#define CAP_MSI         0x05u
#define CAP_MSIX        0x11u
#define MSI_ENABLE      0x0001u
#define MSI_64          0x0080u
#define MSIX_ENABLE     0x8000u
#define MSIX_MASK_ALL   0x4000u
#define ENTRY_SIZE      16u
#define ENTRY_MASKED    1u
#define MESSAGE_BASE    0xfee00000ull
#define MESSAGE_LOGICAL 0x4u
#define MESSAGE_TRIGGER 0x8000u
#define COMMAND_MASTER  0x4u
#define VECTOR_FIRST    16u

void vpci_msi_add(struct vpci_function *f)
{
    f->msi = (uint8_t)vpci_capability_add(f, CAP_MSI, 14);
    vpci_field_set(f, f->msi + 2u, 2, MSI_64);
    f->writable[f->msi + 2] = MSI_ENABLE;
    for (unsigned i = 4; i < 14; i++)
        f->writable[f->msi + i] = 0xff;
    f->writable[f->msi + 4] = 0xfc;
}

void vpci_msix_add(struct vpci_function *f, unsigned vectors, unsigned bar, uint32_t table,
                   uint32_t pending)
{
    vmk_assert(vectors >= 1 && vectors <= VPCI_MSIX_VECTORS);
    f->msix = (uint8_t)vpci_capability_add(f, CAP_MSIX, 12);
    f->msix_vectors = vectors;
    f->msix_bar = bar;
    f->msix_table = table;
    f->msix_pending_at = pending;
    vpci_field_set(f, f->msix + 2u, 2, vectors - 1);
    vpci_field_set(f, f->msix + 4u, 4, table | bar);
    vpci_field_set(f, f->msix + 8u, 4, pending | bar);
    f->writable[f->msix + 3] = (MSIX_ENABLE | MSIX_MASK_ALL) >> 8;
    for (unsigned i = 0; i < vectors; i++)
        f->msix_entries[i].control = ENTRY_MASKED;
}

static unsigned msi_control(const struct vpci_function *f)
{
    return f->msi ? le16(f->config + f->msi + 2) : 0;
}

static unsigned msix_control(const struct vpci_function *f)
{
    return f->msix ? le16(f->config + f->msix + 2) : 0;
}

bool vpci_messages_on(const struct vpci_function *f)
{
    return (msi_control(f) & MSI_ENABLE) || (msix_control(f) & MSIX_ENABLE);
}

/* A function that may not be bus master cannot write a message either. */
static void message_write(struct vpci_function *f, uint64_t address, uint32_t data,
                          struct vm *vm)
{
    uint8_t vector = (uint8_t)data;

    if (!(f->config[4] & COMMAND_MASTER) || (address & ~0xfffffull) != MESSAGE_BASE ||
        vector < VECTOR_FIRST)
        return;
    (void)vlapic_deliver(vm->vcpus[0], (uint32_t)(address >> 12) & 0xff,
                         (address & MESSAGE_LOGICAL) != 0, (data >> 8) & 7u, vector,
                         (data & MESSAGE_TRIGGER) != 0);
}

static bool entry_open(const struct vpci_function *f, unsigned vector)
{
    return !(msix_control(f) & MSIX_MASK_ALL) &&
           !(f->msix_entries[vector].control & ENTRY_MASKED);
}

void vpci_message_send(struct vpci_function *f, unsigned vector)
{
    if (msix_control(f) & MSIX_ENABLE) {
        if (vector >= f->msix_vectors)
            return;
        if (entry_open(f, vector))
            message_write(f, f->msix_entries[vector].address, f->msix_entries[vector].data,
                          vpci_vm(f->bus));
        else
            f->msix_pending |= (uint32_t)BIT(vector);
    } else if (msi_control(f) & MSI_ENABLE) {
        message_write(f, le64(f->config + f->msi + 4), le16(f->config + f->msi + 12),
                      vpci_vm(f->bus));
    }
}

void vpci_msix_changed(struct vpci_function *f)
{
    if (!(msix_control(f) & MSIX_ENABLE)) {
        f->msix_pending = 0;
        return;
    }
    for (unsigned i = 0; i < f->msix_vectors; i++) {
        if (!(f->msix_pending & BIT(i)) || !entry_open(f, i))
            continue;
        f->msix_pending &= ~(uint32_t)BIT(i);
        message_write(f, f->msix_entries[i].address, f->msix_entries[i].data, vpci_vm(f->bus));
    }
}

static uint32_t *entry_word(struct vpci_function *f, uint64_t offset)
{
    struct vpci_msix_entry *e = &f->msix_entries[offset / ENTRY_SIZE];

    return (uint32_t *)e + offset % ENTRY_SIZE / 4;
}
_Static_assert(sizeof(struct vpci_msix_entry) == ENTRY_SIZE,
               "laid out as the table in the BAR");

/* The table is made of 32-bit words; accesses are of whole words, one or two. */
static void table_access(struct vpci_function *f, uint64_t offset, unsigned size, bool read,
                         uint64_t *value)
{
    if (read)
        *value = 0;
    if ((size != 4 && size != 8) || offset % size)
        return;
    for (unsigned i = 0; i < size; i += 4) {
        uint32_t *word = entry_word(f, offset + i);

        if (read)
            *value |= (uint64_t)*word << (8 * i);
        else
            *word = (uint32_t)(*value >> (8 * i)) &
                    ((offset + i) % ENTRY_SIZE == 12 ? ENTRY_MASKED : ~0u);
    }
    if (!read)
        vpci_msix_changed(f);
}

bool vpci_msix_access(struct vpci_function *f, unsigned bar, uint64_t offset, unsigned size,
                      bool read, uint64_t *value)
{
    if (!f->msix || bar != f->msix_bar)
        return false;
    if (offset >= f->msix_table &&
        offset + size <= f->msix_table + (uint64_t)f->msix_vectors * ENTRY_SIZE) {
        table_access(f, offset - f->msix_table, size, read, value);
        return true;
    }
    if (offset >= f->msix_pending_at && offset < f->msix_pending_at + 8u) {
        if (read)
            *value = (uint64_t)f->msix_pending >> (8 * (offset - f->msix_pending_at));
        return true;
    }
    return false;
}
