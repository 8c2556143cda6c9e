// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vcpu_run.c -- the loop of a vCPU's world, over a back end that is a script.
 *
 * Worlds, local APICs and the loop are real. "Entering the guest" calls the test's function,
 * which sees what would be injected and says why the guest exits. So a test decides at which
 * instant of the loop an interrupt, an INIT or the end of the VM arrives.
 *
 * Invariants
 *   - fake_run() fails if irqs are on, a lock is held or the vCPU's state is not RUNNING.
 *   - Every test ends its VM, and vm_wait() comes back.
 * Locking    none; the CPUs of the simulator take turns.
 */
#include <string.h>

#include "core/heap.h"
#include "tests/unit/kernel_test.h"
#include "vmm/vcpu_internal.h"
#include "vmm/vlapic.h"
#include "vmm/vm.h"
#include "vmm/vmm_state.h"

#define MS      1000000ull
#define VCPUS   2u
#define HLT_RIP 0x1000u

/* ---- the back end ---- */

static struct fake {
    uint64_t regs[VT_REG_COUNT];
    struct vt_segment segs[VT_SEG_COUNT];
    bool irq_window, nmi_window;
    bool shadow;            // interrupts cannot be injected
    unsigned runs;          // entries so far
    struct vt_event event;  // what the last entry injected
    void (*guest)(struct vcpu *v, struct vm_exit *exit);
} fakes[VCPUS];

static struct vm *vm;

static struct fake *fake_of(const struct vcpu *v)
{
    return &fakes[v->index];
}

static void fake_run(struct vcpu *v, struct vm_exit *exit)
{
    struct fake *f = fake_of(v);

    ck_assert(!plat_irq_enabled());
    ck_assert_uint_eq(spin_held_count(), 0);
    ck_assert_int_eq(v->state, VCPU_RUNNING);
    ck_assert_uint_eq(v->on_cpu, plat_cpu_self() + 1);
    ck_assert_uint_lt(++f->runs, 100000);
    f->event = v->inject;
    v->inject.valid = false;
    *exit = (struct vm_exit){.kind = VM_EXIT_INTERRUPT, .rip = f->regs[VT_RIP]};
    f->guest(v, exit);
}

static uint64_t fake_get(struct vcpu *v, enum vt_reg reg)
{
    return fake_of(v)->regs[reg];
}

static void fake_set(struct vcpu *v, enum vt_reg reg, uint64_t value)
{
    fake_of(v)->regs[reg] = value;
}

static void fake_get_segment(struct vcpu *v, enum vt_seg seg, struct vt_segment *out)
{
    *out = fake_of(v)->segs[seg];
}

static void fake_set_segment(struct vcpu *v, enum vt_seg seg, const struct vt_segment *in)
{
    fake_of(v)->segs[seg] = *in;
}

static bool fake_can_interrupt(struct vcpu *v)
{
    return (fake_of(v)->regs[VT_RFLAGS] & RFLAGS_IF) && !fake_of(v)->shadow;
}

static bool fake_can_nmi(struct vcpu *v)
{
    return !fake_of(v)->shadow;
}

static void (*at_irq_window)(struct vcpu *v);  // a test's chance between look and entry

static void fake_irq_window(struct vcpu *v, bool on)
{
    fake_of(v)->irq_window = on;
    if (at_irq_window)
        at_irq_window(v);
}

static void fake_nmi_window(struct vcpu *v, bool on)
{
    fake_of(v)->nmi_window = on;
}

static void fake_nothing(struct vcpu *v)
{
    (void)v;
}

static bool fake_step(struct vcpu *v, uint64_t next)
{
    fake_of(v)->regs[VT_RIP] = next;
    return fake_of(v)->regs[VT_RFLAGS] & RFLAGS_TF;
}

static const struct vt_backend backend = {
    .name = "script",
    .vcpu_load = fake_nothing,
    .vcpu_put = fake_nothing,
    .run = fake_run,
    .get = fake_get,
    .set = fake_set,
    .get_segment = fake_get_segment,
    .set_segment = fake_set_segment,
    .can_inject_interrupt = fake_can_interrupt,
    .can_inject_nmi = fake_can_nmi,
    .want_interrupt_window = fake_irq_window,
    .want_nmi_window = fake_nmi_window,
    .clear_shadow = fake_nothing,
    .step = fake_step,
    .flush_vcpu = fake_nothing,
    .dump = fake_nothing,
};

/* ---- the VM ---- */

#define APIC_SVR      0xf0u
#define APIC_ICR_LOW  0x300u
#define APIC_ICR_HIGH 0x310u

static void power_on(unsigned vcpus, void (*guest0)(struct vcpu *, struct vm_exit *),
                     void (*guest1)(struct vcpu *, struct vm_exit *))
{
    ck_assert_int_eq(world_sleep_until(plat_time_now() + MS), VMK_OK);  // all CPUs are up
    sim_virt_reset();
    this_host()->vmm->backend = &backend;
    vm = heap_alloc(sizeof(*vm), MEM_OWNER_TEST);
    spin_init(&vm->lock, "vm", LOCK_RANK_VM);
    wait_queue_init(&vm->ended, "vm");
    vm->vcpu_count = vcpus;
    fakes[0].guest = guest0;
    fakes[1].guest = guest1;
    for (unsigned i = 0; i < vcpus; i++) {
        struct vcpu *v = vm->vcpus[i] = heap_alloc(sizeof(*v), MEM_OWNER_TEST);

        v->vm = vm;
        v->index = i;
        v->state = i ? VCPU_WAIT_SIPI : VCPU_RUNNING;
        v->sipi_vector = -1;
        wait_queue_init(&v->halted, "vcpu");
        ck_assert_int_eq(vlapic_create(v), VMK_OK);
        vlapic_mmio_write(v, APIC_SVR, 0x1ff);
        fakes[i].regs[VT_RIP] = HLT_RIP;
        fakes[i].regs[VT_RFLAGS] = 2 | RFLAGS_IF;
    }
    ck_assert_int_eq(vm_power_on(vm), VMK_OK);
}

static void power_off(int status)
{
    int code;

    vm_wait(vm);
    ck_assert_int_eq(vm->state, VM_STATE_OFF);
    ck_assert_int_eq(vm->status, status);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ck_assert_int_eq(world_wait(vm->vcpus[i]->world, PLAT_NS_NEVER, &code), VMK_OK);
}

static void sleep_ms(unsigned ms)
{
    ck_assert_int_eq(world_sleep_until(plat_time_now() + ms * MS), VMK_OK);
}

static void send_ipi(struct vcpu *from, unsigned to, uint32_t low)
{
    vlapic_mmio_write(from, APIC_ICR_HIGH, to << 24);
    vlapic_mmio_write(from, APIC_ICR_LOW, low);
}
#define IPI_INIT    0x4500u
#define IPI_SIPI(v) (0x4600u | (v))

static void run(unsigned cpus, void (*entry)(void *))
{
    sim_test_begin_cpus(cpus);
    sim_test_run(entry, NULL);
}

/* ---- guests ---- */

/* Halts; leaves the VM when something was injected. */
static void guest_hlt(struct vcpu *v, struct vm_exit *exit)
{
    if (fake_of(v)->event.valid) {
        vm_stop(v->vm, 42, "test");
        return;
    }
    exit->kind = VM_EXIT_HLT;
    exit->length = 1;
}

static void guest_spin(struct vcpu *v, struct vm_exit *exit)
{
    (void)v;
    (void)exit;
    sim_work(10000);
}

/* ---- HLT ---- */

static void hlt_entry(void *argument)
{
    struct world_times times;

    (void)argument;
    power_on(1, guest_hlt, NULL);
    sleep_ms(5);
    ck_assert_uint_eq(fakes[0].runs, 1);
    ck_assert_int_eq(vm->vcpus[0]->state, VCPU_HALTED);
    ck_assert_int_eq(world_times_get(vm->vcpus[0]->world, &times), VMK_OK);
    ck_assert_uint_eq(times.wait, 5 * MS);  // a halted vCPU costs nothing
    vlapic_post(vm->vcpus[0], 0x41, false);
    power_off(42);
    ck_assert_uint_eq(fakes[0].runs, 2);
    ck_assert_uint_eq(fakes[0].regs[VT_RIP], HLT_RIP + 1);
    ck_assert_int_eq(fakes[0].event.type, VT_EVENT_INTERRUPT);
    ck_assert_uint_eq(fakes[0].event.vector, 0x41);
}

START_TEST(test_vcpu_run__hlt__interrupt_wakes_and_goes_in)
{
    run(1, hlt_entry);
}
END_TEST

static void hlt_closed_entry(void *argument)
{
    (void)argument;
    power_on(1, guest_hlt, NULL);
    fakes[0].regs[VT_RFLAGS] = 2;
    sleep_ms(1);
    vlapic_post(vm->vcpus[0], 0x41, false);
    sleep_ms(5);
    ck_assert_uint_eq(fakes[0].runs, 1);
    ck_assert_int_eq(vm->vcpus[0]->state, VCPU_HALTED);
    vcpu_raise_nmi(vm->vcpus[0]);
    power_off(42);
    ck_assert_uint_eq(fakes[0].runs, 2);
    ck_assert_int_eq(fakes[0].event.type, VT_EVENT_NMI);
    ck_assert_uint_eq(fakes[0].event.vector, 2);
    ck_assert(fakes[0].irq_window);  // the interrupt still waits
}

START_TEST(test_vcpu_run__hlt_with_if_clear__only_an_nmi_wakes)
{
    run(1, hlt_closed_entry);
}
END_TEST

/* The interrupt is there before HLT. */
static void guest_post_hlt(struct vcpu *v, struct vm_exit *exit)
{
    if (fake_of(v)->runs == 1)
        vlapic_post(v, 0x42, false);
    guest_hlt(v, exit);
}

static void hlt_late_entry(void *argument)
{
    plat_ns start;

    (void)argument;
    power_on(1, guest_post_hlt, NULL);
    start = plat_time_now();
    power_off(42);
    ck_assert_uint_eq(fakes[0].runs, 2);
    ck_assert_uint_eq(fakes[0].event.vector, 0x42);
    ck_assert_uint_eq(plat_time_now(), start);
}

START_TEST(test_vcpu_run__interrupt_right_before_hlt__no_wait)
{
    run(1, hlt_late_entry);
}
END_TEST

/* ---- injection ---- */

static void guest_window(struct vcpu *v, struct vm_exit *exit)
{
    struct fake *f = fake_of(v);

    switch (f->runs) {
    case 1:
        ck_assert(!f->irq_window);
        f->shadow = true;
        vlapic_post(v, 0x31, false);
        vlapic_post(v, 0x51, false);
        break;
    case 2:
        ck_assert(!f->event.valid);
        ck_assert(f->irq_window);
        f->shadow = false;
        exit->kind = VM_EXIT_IRQ_WINDOW;
        break;
    case 3:
        ck_assert(f->event.valid && f->event.type == VT_EVENT_INTERRUPT);
        ck_assert_uint_eq(f->event.vector, 0x51);
        ck_assert(!f->irq_window);      // 0x31 is below what is in service
        vlapic_mmio_write(v, 0xb0, 0);  // EOI
        break;
    case 4:
        ck_assert(f->event.valid);
        ck_assert_uint_eq(f->event.vector, 0x31);
        ck_assert(!f->irq_window);
        break;
    default: vm_stop(v->vm, 42, "test");
    }
}

static void window_entry(void *argument)
{
    (void)argument;
    power_on(1, guest_window, NULL);
    power_off(42);
    ck_assert_uint_eq(fakes[0].runs, 5);
    ck_assert(!fakes[0].event.valid);
}

START_TEST(test_vcpu_run__interrupt_cannot_go_in__window_then_injected)
{
    run(1, window_entry);
}
END_TEST

static void guest_nmi_window(struct vcpu *v, struct vm_exit *exit)
{
    struct fake *f = fake_of(v);

    switch (f->runs) {
    case 1:
        f->shadow = true;
        vcpu_raise_nmi(v);
        break;
    case 2:
        ck_assert(!f->event.valid && f->nmi_window);
        f->shadow = false;
        exit->kind = VM_EXIT_NMI_WINDOW;
        break;
    case 3: ck_assert(f->event.valid && f->event.type == VT_EVENT_NMI && !f->nmi_window); break;
    default:
        ck_assert(!f->event.valid);  // once
        vm_stop(v->vm, 42, "test");
    }
}

static void nmi_window_entry(void *argument)
{
    (void)argument;
    power_on(1, guest_nmi_window, NULL);
    power_off(42);
    ck_assert_uint_eq(fakes[0].runs, 4);
}

START_TEST(test_vcpu_run__nmi_cannot_go_in__window_then_once)
{
    run(1, nmi_window_entry);
}
END_TEST

static void guest_cpuid(struct vcpu *v, struct vm_exit *exit)
{
    struct fake *f = fake_of(v);

    if (f->runs == 1)
        vlapic_post(v, 0x61, false);
    if (f->runs == 2) {
        ck_assert_uint_eq(f->regs[VT_RIP], HLT_RIP + 2);
        ck_assert(f->event.valid);
        ck_assert_uint_eq(f->event.vector, 0x61);
        vm_stop(v->vm, 42, "test");
    }
    exit->kind = VM_EXIT_CPUID;
    exit->length = 2;
}

static void cpuid_entry(void *argument)
{
    (void)argument;
    power_on(1, guest_cpuid, NULL);
    power_off(42);
    ck_assert_uint_eq(fakes[0].runs, 2);
}

START_TEST(test_vcpu_run__kick_during_cpuid__next_entry_injects)
{
    run(1, cpuid_entry);
}
END_TEST

static void nmi_once(struct vcpu *v)
{
    at_irq_window = NULL;
    vcpu_raise_nmi(v);
}

static void late_kick_entry(void *argument)
{
    (void)argument;
    power_on(1, guest_hlt, NULL);
    vm->vcpus[0]->window = true;  // so that the look ends with a call of the back end
    at_irq_window = nmi_once;     // the loop has looked and is about to enter
    power_off(42);
    ck_assert_uint_eq(fakes[0].runs, 1);
    ck_assert_int_eq(fakes[0].event.type, VT_EVENT_NMI);
}

START_TEST(test_vcpu_run__kick_after_the_look__entry_refused)
{
    run(1, late_kick_entry);
}
END_TEST

/* ---- INIT and SIPI ---- */

static void guest_starts_other(struct vcpu *v, struct vm_exit *exit)
{
    if (fake_of(v)->runs == 3) {
        send_ipi(v, 1, IPI_INIT);
        send_ipi(v, 1, IPI_SIPI(0x12));  // right behind
    }
    guest_spin(v, exit);
}

static void guest_started(struct vcpu *v, struct vm_exit *exit)
{
    struct fake *f = fake_of(v);

    (void)exit;
    ck_assert_uint_eq(f->runs, 1);
    ck_assert_uint_eq(f->segs[VT_CS].selector, 0x1200);
    ck_assert_uint_eq(f->segs[VT_CS].base, 0x12000);
    ck_assert_uint_eq(f->regs[VT_RIP], 0);
    vm_stop(v->vm, 42, "test");
}

static void first_start_entry(void *argument)
{
    (void)argument;
    power_on(2, guest_starts_other, guest_started);
    ck_assert_uint_eq(fakes[1].runs, 0);
    power_off(42);
    ck_assert_uint_eq(fakes[1].runs, 1);
}

START_TEST(test_vcpu_run__init_and_sipi__other_starts_at_the_vector)
{
    run(2, first_start_entry);
}
END_TEST

/* vCPU 1 halts or spins; INIT with a SIPI right behind starts it anew. */
static unsigned restarts;
static unsigned restart_every = 20;
static bool restart_from_hlt;

static void guest_restarts_other(struct vcpu *v, struct vm_exit *exit)
{
    unsigned n = fake_of(v)->runs;

    if (n % restart_every == 0) {
        send_ipi(v, 1, IPI_INIT);
        send_ipi(v, 1, IPI_SIPI(0x20 + n / restart_every));
    }
    guest_spin(v, exit);
}

static void guest_restarted(struct vcpu *v, struct vm_exit *exit)
{
    struct fake *f = fake_of(v);

    if (f->regs[VT_RIP] == 0) {  // just started
        restarts++;
        ck_assert_uint_eq(f->segs[VT_CS].base, (0x20 + restarts) << 12);
        if (restarts > 1)
            ck_assert_uint_eq(f->regs[VT_CR3], 0);  // reset, not only moved
        ck_assert(!f->event.valid);
        f->regs[VT_CR3] = 0x5000;
        f->regs[VT_RIP] = HLT_RIP;
        if (restarts == 5)
            vm_stop(v->vm, 42, "test");
    }
    if (restart_from_hlt) {
        exit->kind = VM_EXIT_HLT;
        exit->length = 1;
        exit->rip = f->regs[VT_RIP];
    } else {
        sim_work(7000);
    }
}

static void restart_entry(void *argument)
{
    (void)argument;
    power_on(2, guest_restarts_other, guest_restarted);
    power_off(42);
    ck_assert_uint_eq(restarts, 5);
}

START_TEST(test_vcpu_run__sipi_right_behind_init__running_one_restarts)
{
    run(2, restart_entry);
}
END_TEST

START_TEST(test_vcpu_run__sipi_right_behind_init__halted_one_restarts)
{
    restart_from_hlt = true;
    run(2, restart_entry);
}
END_TEST

START_TEST(test_vcpu_run__sipi_right_behind_init__one_cpu)
{
    restart_every = 3000;  // more than a quantum
    run(1, restart_entry);
}
END_TEST

static void guest_init_only(struct vcpu *v, struct vm_exit *exit)
{
    if (fake_of(v)->runs == 10) {
        send_ipi(v, 1, IPI_INIT);
        send_ipi(v, 1, IPI_SIPI(0x21));
    }
    if (fake_of(v)->runs == 50)
        send_ipi(v, 1, IPI_SIPI(0x33));  // without INIT: ignored
    if (fake_of(v)->runs == 100)
        send_ipi(v, 1, IPI_INIT);
    guest_spin(v, exit);
}

static void guest_counts(struct vcpu *v, struct vm_exit *exit)
{
    ck_assert_uint_eq(fake_of(v)->segs[VT_CS].base, 0x21000);
    guest_spin(v, exit);
}

static void init_only_entry(void *argument)
{
    unsigned runs;

    (void)argument;
    power_on(2, guest_init_only, guest_counts);
    sleep_ms(2);
    ck_assert_uint_gt(fakes[0].runs, 110);
    ck_assert_int_eq(vm->vcpus[1]->state, VCPU_WAIT_SIPI);
    runs = fakes[1].runs;
    ck_assert_uint_gt(runs, 60);
    sleep_ms(2);
    ck_assert_uint_eq(fakes[1].runs, runs);  // it stands still
    vm_stop(vm, 42, "test");
    power_off(42);
}

START_TEST(test_vcpu_run__sipi_alone_ignored__init_alone_stops)
{
    run(3, init_only_entry);
}
END_TEST

/* ---- the end ---- */

static void stop_spinning_entry(void *argument)
{
    plat_ns start;

    (void)argument;
    power_on(2, guest_spin, guest_spin);  // vCPU 1 waits for a SIPI
    sleep_ms(3);
    start = plat_time_now();
    vm_stop(vm, 7, "test");
    vm_stop(vm, 8, "too late");
    power_off(7);
    ck_assert_str_eq(vm->end_reason, "test");
    ck_assert_uint_le(plat_time_now() - start, 20 * MS);
    ck_assert_uint_eq(fakes[1].runs, 0);
}

START_TEST(test_vcpu_run__stopped_while_one_runs_one_waits__both_leave)
{
    run(2, stop_spinning_entry);
}
END_TEST

static void stop_halted_entry(void *argument)
{
    plat_ns start;

    (void)argument;
    power_on(1, guest_hlt, NULL);
    sleep_ms(3);
    start = plat_time_now();
    vm_stop(vm, 7, "test");
    power_off(7);
    ck_assert_uint_eq(plat_time_now(), start);
    ck_assert_uint_eq(fakes[0].runs, 1);
}

START_TEST(test_vcpu_run__stopped_while_halted__leaves_at_once)
{
    run(1, stop_halted_entry);
}
END_TEST

static void kill_entry(void *argument)
{
    (void)argument;
    power_on(2, guest_hlt, NULL);
    sleep_ms(3);
    ck_assert_int_eq(world_kill(vm->vcpus[0]->world), VMK_OK);
    power_off(1);
    ck_assert_ptr_nonnull(strstr(vm->end_reason, "told to end"));
}

START_TEST(test_vcpu_run__world_killed__vm_ends)
{
    run(2, kill_entry);
}
END_TEST

static void guest_bad_state(struct vcpu *v, struct vm_exit *exit)
{
    (void)v;
    exit->kind = VM_EXIT_ENTRY_FAILED;
    exit->failure.rule = "test";
}

static void bad_state_entry(void *argument)
{
    (void)argument;
    power_on(2, guest_bad_state, NULL);
    power_off(1);
    ck_assert_uint_eq(fakes[0].runs, 1);
}

START_TEST(test_vcpu_run__entry_fails__vm_ends_host_stays)
{
    run(2, bad_state_entry);
}
END_TEST

KERNEL_TEST_MAIN("vcpu_run", RUNS(test_vcpu_run__hlt__interrupt_wakes_and_goes_in),
                 RUNS(test_vcpu_run__hlt_with_if_clear__only_an_nmi_wakes),
                 RUNS(test_vcpu_run__interrupt_right_before_hlt__no_wait),
                 RUNS(test_vcpu_run__interrupt_cannot_go_in__window_then_injected),
                 RUNS(test_vcpu_run__nmi_cannot_go_in__window_then_once),
                 RUNS(test_vcpu_run__kick_during_cpuid__next_entry_injects),
                 RUNS(test_vcpu_run__kick_after_the_look__entry_refused),
                 RUNS(test_vcpu_run__init_and_sipi__other_starts_at_the_vector),
                 RUNS(test_vcpu_run__sipi_right_behind_init__running_one_restarts),
                 RUNS(test_vcpu_run__sipi_right_behind_init__halted_one_restarts),
                 RUNS(test_vcpu_run__sipi_right_behind_init__one_cpu),
                 RUNS(test_vcpu_run__sipi_alone_ignored__init_alone_stops),
                 RUNS(test_vcpu_run__stopped_while_one_runs_one_waits__both_leave),
                 RUNS(test_vcpu_run__stopped_while_halted__leaves_at_once),
                 RUNS(test_vcpu_run__world_killed__vm_ends),
                 RUNS(test_vcpu_run__entry_fails__vm_ends_host_stays))
