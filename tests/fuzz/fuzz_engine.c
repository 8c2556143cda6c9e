// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/fuzz/fuzz_engine.c -- any bytes as a program in ring 3 and as a guest.
 *
 * Nothing that a program or a guest executes may end the simulation: the engine ends the
 * process when the library does what it does not expect, which here is a finding. The first
 * byte picks ring 3 or the guest's mode, the next eight become registers, the rest is code.
 *
 * Invariants
 *   - After a trap the program goes on behind it, or at its start when that is not executable.
 * Locking    none.
 */
#include <stdint.h>
#include <string.h>

#include "mem/page.h"
#include "plat/plat.h"
#include "plat/plat_user.h"
#include "plat/plat_virt.h"
#include "sim/engine/guest.h"
#include "sim/platform/sim.h"
#include "vmm/vm.h"
#include "vmm/vmm_state.h"

#define CODE      0x400000ull
#define DATA      0x10000ull
#define TRAPS_MAX 16u
#define RUN_NS    2000u
#define PAGES     24u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static paddr_t root;
static unsigned char *code;
static paddr_t code_page;
static struct vm vm;
static struct vcpu vcpu;
static unsigned char *pages[PAGES];

static uint64_t *entry_of(uint64_t va)
{
    uint64_t *table = plat_map(root);

    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint64_t *entry = &table[(va >> shift) & 511];
        mpn_t mpn;

        if (!*entry) {
            sim_check(page_alloc_zeroed(0, MEM_OWNER_USER, &mpn) == VMK_OK, "memory");
            *entry = mpn_to_paddr(mpn).raw | 7;
        }
        table = plat_map(paddr_make(*entry & ~0xfffull));
    }
    return &table[(va >> 12) & 511];
}

static paddr_t page_map(uint64_t va, uint64_t bits)
{
    mpn_t mpn;

    sim_check(page_alloc_zeroed(0, MEM_OWNER_USER, &mpn) == VMK_OK, "memory");
    *entry_of(va) = mpn_to_paddr(mpn).raw | bits;
    return mpn_to_paddr(mpn);
}

static void begin(void)
{
    mpn_t mpn;

    sim_test_begin();
    sim_check(page_alloc_zeroed(0, MEM_OWNER_USER, &mpn) == VMK_OK, "memory");
    root = mpn_to_paddr(mpn);
    plat_user_root_init(root);
    code_page = page_map(CODE, 7);
    code = plat_map(code_page);
    (void)page_map(CODE + PAGE_SIZE, 7);
    for (unsigned i = 0; i < 4; i++)
        (void)page_map(DATA + i * PAGE_SIZE, 7 | BIT(63));

    this_host()->vmm->backend = &vt_backend_unicorn;
    sim_check(vt_init_cpu() == VMK_OK, "vt");
    sim_check(nested_init(&vm.nested, vt_backend_unicorn.nested_format) == VMK_OK, "nested");
    for (unsigned i = 0; i < PAGES; i++) {
        sim_check(page_alloc_zeroed(0, MEM_OWNER_GUEST, &mpn) == VMK_OK, "memory");
        sim_check(nested_map(&vm.nested, gpa_make((uint64_t)i << 12), mpn, i % 8 != 7, false) ==
                      VMK_OK,
                  "map");
        pages[i] = mpn_map(mpn);
    }
    vm.vcpus[0] = &vcpu;
    vm.vcpu_count = 1;
    vcpu.vm = &vm;
    sim_check(vt_backend_unicorn.vcpu_create(&vcpu) == VMK_OK, "vcpu");
}

static void run_user(const uint8_t *seed, const uint8_t *text, size_t size)
{
    static unsigned char area[PLAT_FPU_AREA_SIZE] __attribute__((aligned(64)));
    struct plat_user_regs regs = {.rip = CODE, .rflags = 0x202};

    for (unsigned i = 0; i < 16; i++)
        regs.gpr[i] = DATA + 64u * seed[i % 8];
    memset(code, 0xf4, PAGE_SIZE);
    memcpy(code, text, size < PAGE_SIZE ? size : PAGE_SIZE);
    plat_user_code_changed(code_page, PAGE_SIZE);
    plat_user_tlb_flush(root, 0, PLAT_USER_FLUSH_ALL);
    plat_fpu_area_init(area);
    memcpy(area, text, size < 512 ? size : 512);
    area[26] = area[27] = 0;
    plat_fpu_load(area, 3);
    for (unsigned i = 0; i < TRAPS_MAX; i++) {
        struct plat_user_trap trap;
        uint64_t before = regs.rip;

        plat_timer_arm(plat_time_now() + RUN_NS);
        plat_user_run(&regs, root, &trap);
        if (trap.kind == PLAT_USER_EXCEPTION)
            regs.rip = before >= CODE && before < CODE + PAGE_SIZE ? before + 1 : CODE + i;
    }
    plat_timer_arm(PLAT_NS_NEVER);
    plat_fpu_save(area, 3);
}

/* mode: 0 real, 1 protected without paging, 2 long with tables made of the input. */
static void run_guest(unsigned mode, const uint8_t *seed, const uint8_t *text, size_t size)
{
    const struct vt_backend *b = vt();
    const struct vt_segment flat[] = {
        {0, 0xffff, 0x9b, 0}, {8, 0xffffffff, 0xc09b, 0}, {8, 0xffffffff, 0xa09b, 0}};
    const struct vt_segment data = {16, 0xffffffff, 0xc093, 0};
    uint64_t *tables = (uint64_t *)pages[16];
    struct vm_exit exit;

    vcpu_reset(&vcpu);
    for (unsigned i = 0; i < PAGES; i++)
        memset(pages[i], 0xf4, PAGE_SIZE);
    memcpy(pages[8], text, size < PAGE_SIZE ? size : PAGE_SIZE);
    memcpy(pages[0], text, size < PAGE_SIZE ? size : PAGE_SIZE);  // as IVT, IDT, GDT
    for (unsigned i = 0; i < PAGES; i++)
        plat_user_code_changed(plat_unmap_address(pages[i]), PAGE_SIZE);
    for (unsigned i = 0; i < 16; i++)
        vcpu.regs.gpr[i] = 64u * seed[i % 8] + 0x1000u * (i & 7);
    b->set_segment(&vcpu, VT_CS, &flat[mode]);
    if (mode) {
        for (enum vt_seg s = VT_ES; s <= VT_GS; s++) {
            if (s != VT_CS)
                b->set_segment(&vcpu, s, &data);
        }
        b->set_segment(&vcpu, VT_GDTR, &(struct vt_segment){.limit = 0xff});
        b->set_segment(&vcpu, VT_IDTR, &(struct vt_segment){.limit = 0xfff});
        b->set(&vcpu, VT_CR0, 0x33);
    }
    if (mode == 2) {
        for (unsigned i = 16; i < 20; i++)
            memset(pages[i], 0, PAGE_SIZE);
        tables[0] = 0x11000 | 7;
        ((uint64_t *)pages[17])[0] = 0x12000 | 7;
        ((uint64_t *)pages[18])[0] = 0x13000 | 7;
        for (uint64_t i = 0; i < 512; i++)
            ((uint64_t *)pages[19])[i] = i << 12 | 7;
        memcpy((uint64_t *)pages[19] + 40, text, size < 512 ? size : 512);
        b->set(&vcpu, VT_CR4, 0x620);
        b->set(&vcpu, VT_EFER, 0x901);
        b->set(&vcpu, VT_CR3, 0x10000);
        b->set(&vcpu, VT_CR0, 0x80010033);
    }
    b->set(&vcpu, VT_RIP, 0x8000);
    b->set(&vcpu, VT_RSP, 0x6000);
    for (unsigned i = 0; i < TRAPS_MAX; i++) {
        plat_timer_arm(plat_time_now() + RUN_NS);
        b->run(&vcpu, &exit);
        if (exit.kind == VM_EXIT_TRIPLE_FAULT || exit.kind == VM_EXIT_TASK_SWITCH)
            break;
        if (exit.kind == VM_EXIT_EXCEPTION)
            vcpu.inject = (struct vt_event){.valid = true,
                                            .type = VT_EVENT_EXCEPTION,
                                            .vector = exit.exception.vector,
                                            .has_error = mode != 0 && exit.exception.has_error,
                                            .error = exit.exception.error};
        else if (exit.kind == VM_EXIT_NESTED_FAULT) {
            vcpu.inject.valid = false;
            (void)b->step(&vcpu, exit.rip + 1);
        } else if (exit.kind != VM_EXIT_INTERRUPT) {
            (void)b->step(&vcpu, exit.rip + exit.length);
        }
    }
    vcpu.inject.valid = false;
    plat_timer_arm(PLAT_NS_NEVER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool begun;
    bool irqs;

    if (!begun)
        begin();
    begun = true;
    if (size < 10)
        return 0;
    irqs = plat_irq_save();
    if (data[0] & 1)
        run_user(data + 1, data + 9, size - 9);
    else
        run_guest((data[0] >> 1) % 3, data + 1, data + 9, size - 9);
    plat_irq_restore(irqs);
    return 0;
}
