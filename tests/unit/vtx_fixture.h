// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/vtx_fixture.h -- the few things below the VT-x back end, for its unit tests.
 *
 * A VMCS is an array by encoding, current after VMPTRLD. An entry asks the test's `script` what
 * the guest does. Pages and MSRs are arrays. Include it in one file of a test program: it
 * defines what the back end calls, so nothing else of the platform is linked.
 */
#pragma once

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "core/host.h"
#include "core/log.h"
#include "vmm/vm.h"
#include "vmm/vmm_state.h"
#include "vmm/vtx/vtx_internal.h"

enum {
    FAKE_PAGES = 64,
    FAKE_FIRST_PAGE = 16
};

static struct {
    uint64_t vmcs[FAKE_PAGES][0x8000];
    bool launched[FAKE_PAGES];
    int current;  // page of the current VMCS, -1: none
    uint8_t pages[FAKE_PAGES][PAGE_SIZE];
    unsigned pages_used, pages_free, heap_blocks;
    uint64_t msr[256];  // by a few low and high bits
    uint64_t cr[8];
    uint64_t cpuid_1_ecx;
    bool vmx_on;
    uint64_t guest_pdptes[4];
    unsigned fpu_loads, fpu_saves, invepts, invvpids, interrupts, nmis, last_vector;
    unsigned (*script)(struct plat_guest_regs *regs);  // the entry's result; writes exit fields
} fake;
static struct vmm_state fake_vmm;
static uint64_t fake_entry_fault = UINT64_MAX;  // the boot option

const struct host *plat_host_self(void)
{
    static const struct host host = {.vmm = &fake_vmm};

    return &host;
}

static unsigned fake_page(uint64_t pa)
{
    uint64_t index = (pa >> PAGE_SHIFT) - FAKE_FIRST_PAGE;

    ck_assert_uint_lt(index, FAKE_PAGES);
    return (unsigned)index;
}

uint64_t core_option_u64(const char *key, uint64_t otherwise)
{
    return strcmp(key, "entry-fault") == 0 ? fake_entry_fault : otherwise;
}

void *plat_map(paddr_t pa)
{
    return fake.pages[fake_page(pa.raw)] + pa.raw % PAGE_SIZE;
}

vmk_status page_alloc(unsigned order, enum mem_owner owner, mpn_t *out)
{
    (void)order;
    (void)owner;
    if (fake.pages_used == FAKE_PAGES)
        return VMK_NO_MEMORY;
    *out = mpn_make(FAKE_FIRST_PAGE + fake.pages_used++);
    return VMK_OK;
}

vmk_status page_alloc_zeroed(unsigned order, enum mem_owner owner, mpn_t *out)
{
    return page_alloc(order, owner, out);
}

void page_free(mpn_t mpn, unsigned order, enum mem_owner owner)
{
    (void)mpn;
    (void)order;
    (void)owner;
    fake.pages_free++;
}

void *heap_alloc(size_t size, enum mem_owner owner)
{
    (void)owner;
    fake.heap_blocks++;
    return calloc(1, size);
}

void heap_free(void *pointer)
{
    fake.heap_blocks -= pointer != NULL;
    free(pointer);
}

void vmk_log(enum vmk_log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
}

void vmk_panic_at(const char *file, int line, const char *format, ...)
{
    fprintf(stderr, "%s:%d: panic: %s\n", file, line, format);
    __builtin_trap();  // abort() is the engine's in the archive
}

/* Guest memory: four page-directory pointers wherever CR3 points, nothing from 2 GB on. */
vmk_status vm_memory_read(struct vm *vm, gpa_t gpa, void *out, size_t size)
{
    (void)vm;
    if (gpa.raw >= 0x80000000)
        return VMK_NOT_FOUND;
    memcpy(out, fake.guest_pdptes, MIN(size, sizeof fake.guest_pdptes));
    return VMK_OK;
}

unsigned plat_cpu_self(void)
{
    return 0;
}

bool plat_irq_save(void)
{
    return false;
}

void plat_irq_restore(bool was_on)
{
    (void)was_on;
}

struct plat_cpuid plat_cpuid(uint32_t leaf, uint32_t subleaf)
{
    (void)subleaf;
    if (leaf == 1)
        return (struct plat_cpuid){.ecx = (uint32_t)fake.cpuid_1_ecx};
    if (leaf == 0x80000000)
        return (struct plat_cpuid){.eax = 0x80000008};
    return (struct plat_cpuid){.eax = leaf == 0x80000008 ? 0x3028 : 0};
}

/* Distinct for the MSRs used: 3a, 174-176, 277, 480-491, c0000080-84, c0000100-103. */
static uint64_t *fake_msr(uint32_t index)
{
    if (index >= 0xc0000100)
        return &fake.msr[0x60 + (index & 7)];
    if (index >= 0xc0000080)
        return &fake.msr[0x50 + (index & 7)];
    if (index >= 0x480)
        return &fake.msr[0x80 + (index & 0x1f)];
    return &fake.msr[index & 0x3f];
}

uint64_t plat_msr_read(uint32_t index)
{
    return *fake_msr(index);
}

void plat_msr_write(uint32_t index, uint64_t value)
{
    *fake_msr(index) = value;
}

bool plat_msr_try_read(uint32_t index, uint64_t *value)
{
    *value = *fake_msr(index);
    return true;
}

uint64_t plat_cr_read(unsigned number)
{
    return fake.cr[number];
}

void plat_cr_write(unsigned number, uint64_t value)
{
    fake.cr[number] = value;
}

bool plat_vmxon(paddr_t region)
{
    const uint32_t *revision = plat_map(region);

    fake.vmx_on = (fake.cr[4] & CR4_VMXE) && *revision == 0x2b;
    return fake.vmx_on;
}

void plat_vmxoff(void)
{
    fake.vmx_on = false;
}

bool plat_vmclear(paddr_t vmcs)
{
    unsigned page = fake_page(vmcs.raw);

    fake.launched[page] = false;
    if (fake.current == (int)page)
        fake.current = -1;
    return true;
}

bool plat_vmptrld(paddr_t vmcs)
{
    fake.current = (int)fake_page(vmcs.raw);
    return true;
}

bool plat_vmread(uint32_t field, uint64_t *value)
{
    if (fake.current < 0)
        return false;
    *value = fake.vmcs[fake.current][field & 0x7fff];
    return true;
}

bool plat_vmwrite(uint32_t field, uint64_t value)
{
    if (fake.current < 0)
        return false;
    fake.vmcs[fake.current][field & 0x7fff] = value;
    return true;
}

void plat_invept(uint64_t type, uint64_t eptp)
{
    (void)type;
    (void)eptp;
    fake.invepts++;
}

void plat_invvpid(uint64_t type, uint16_t vpid, uint64_t address)
{
    (void)type;
    (void)vpid;
    (void)address;
    fake.invvpids++;
}

unsigned plat_vmx_enter(struct plat_guest_regs *regs, bool launched)
{
    if (fake.current < 0 || launched != fake.launched[fake.current])
        return 2;

    unsigned result = fake.script ? fake.script(regs) : 0;

    if (!result && !(fake.vmcs[fake.current][VMCS_EXIT_REASON] & REASON_ENTRY_FAILED)) {
        fake.launched[fake.current] = true;
        fake.vmcs[fake.current][VMCS_ENTRY_EVENT] &= ~EVENT_VALID;
    }
    return result;
}

void plat_host_segments(struct plat_host_segments *out)
{
    *out = (struct plat_host_segments){.cs = 8, .ss = 16, .ds = 16, .es = 16, .tr = 24};
}

void plat_interrupt_dispatch(unsigned vector)
{
    fake.interrupts++;
    fake.last_vector = vector;
}

void plat_nmi_dispatch(void)
{
    fake.nmis++;
}

void plat_fpu_save(void *area, uint64_t xcr0)
{
    (void)area;
    (void)xcr0;
    fake.fpu_saves++;
}

void plat_fpu_load(const void *area, uint64_t xcr0)
{
    (void)area;
    (void)xcr0;
    fake.fpu_loads++;
}

/* A CPU like Bochs's skylake_x, in long mode, VMX not on. */
static void fake_reset(void)
{
    static const uint64_t vmx[18] = {
        0x00d810000000002b,
        0x0000007f00000016,
        0xf7f9fffe0401e172,
        0x007fffff00036dff,
        0x0000ffff000011ff,
        0x600401e0,
        0x80000021,
        0xffffffff,
        0x2000,
        0x3727ff,
        0x34,
        0x02177fff00000000,
        0xf0106334141,
        0x0000007f00000016,
        0xf7f9fffe04006172,
        0x007fffff00036dfb,
        0x0000ffff000011fb,
        1,
    };

    memset(&fake, 0, sizeof fake);
    memset(&fake_vmm, 0, sizeof fake_vmm);
    fake.current = -1;
    fake.cpuid_1_ecx = BIT(5);
    memcpy(&fake.msr[0x80], vmx, sizeof vmx);
    *fake_msr(MSR_EFER) = 0xd01;
    *fake_msr(MSR_PAT) = 0x0007040600070406;
    fake.cr[0] = 0x80010013;
    fake.cr[3] = 0x1000;
    fake.cr[4] = 0x620;
}
