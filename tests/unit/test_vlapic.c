// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/test_vlapic.c -- the local APIC: priorities, modes, messages, timer.
 *
 * Sources    [SDM] volume 3, chapter "Advanced Programmable Interrupt Controller"
 */
#include <pthread.h>
#include <sched.h>

#include "irq_fixture.h"

#define BASE_EN   0x800ull
#define BASE_EXTD 0x400ull
#define BASE_BSP  0x100ull

static uint32_t get(unsigned vcpu, uint32_t offset)
{
    return vlapic_mmio_read(&fix.vcpu[vcpu], offset);
}

static void set(unsigned vcpu, uint32_t offset, uint32_t value)
{
    vlapic_mmio_write(&fix.vcpu[vcpu], offset, value);
}

static bool wrmsr(unsigned vcpu, uint32_t index, uint64_t value)
{
    return vlapic_msr_write(&fix.vcpu[vcpu], index, value);
}

static uint64_t rdmsr(unsigned vcpu, uint32_t index)
{
    uint64_t value = 0xbad;

    ck_assert_msg(vlapic_msr_read(&fix.vcpu[vcpu], index, &value), "rdmsr %x: #GP", index);
    return value;
}

static void to_x2apic(unsigned vcpu)
{
    ck_assert(wrmsr(vcpu, 0x1b, vlapic_base_msr(&fix.vcpu[vcpu]) | BASE_EXTD));
}

/* ---- priorities ---- */

START_TEST(test_ppr__is_the_higher_of_tpr_and_in_service)
{
    static const struct {
        uint8_t tpr, served, ppr;
    } cases[] = {
        {0x00, 0, 0x00},    {0x35, 0, 0x35},    {0x00, 0x51, 0x50}, {0x50, 0x5f, 0x50},
        {0x5a, 0x51, 0x5a}, {0x4f, 0x51, 0x50}, {0xff, 0x20, 0xff},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        set(0, 0x80, 0);
        if (cases[i].served) {
            vlapic_post(&fix.vcpu[0], cases[i].served, false);
            ck_assert_int_eq(take(0), cases[i].served);
        }
        set(0, 0x80, cases[i].tpr);
        ck_assert_uint_eq(get(0, 0xa0), cases[i].ppr);
        ck_assert_uint_eq(vlapic_cr8(&fix.vcpu[0]), cases[i].tpr >> 4);
        eoi(0);
    }
}
END_TEST

START_TEST(test_pending__respects_priority_class)
{
    vlapic_post(&fix.vcpu[0], 0x51, false);
    ck_assert_int_eq(take(0), 0x51);
    vlapic_post(&fix.vcpu[0], 0x5f, false);  // same class
    ck_assert_int_eq(take(0), -1);
    vlapic_post(&fix.vcpu[0], 0x60, false);
    ck_assert_int_eq(take(0), 0x60);
    eoi(0);
    ck_assert_int_eq(take(0), -1);
    eoi(0);
    ck_assert_int_eq(take(0), 0x5f);
    vlapic_cr8_set(&fix.vcpu[0], 7);
    vlapic_post(&fix.vcpu[0], 0x7f, false);
    ck_assert_int_eq(vlapic_pending(&fix.vcpu[0]), -1);
    vlapic_cr8_set(&fix.vcpu[0], 6);
    ck_assert_int_eq(vlapic_pending(&fix.vcpu[0]), 0x7f);
}
END_TEST

START_TEST(test_eoi__many_vectors__highest_first)
{
    static const uint8_t vectors[] = {0x21, 0x45, 0x83, 0xef, 0xff};

    for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
        vlapic_post(&fix.vcpu[0], vectors[i], false);
        ck_assert_int_eq(take(0), vectors[i]);
    }
    for (size_t i = ARRAY_COUNT(vectors); i-- > 0;) {
        uint8_t v = vectors[i];
        ck_assert_uint_eq(get(0, 0xa0), v & 0xf0u);
        ck_assert(get(0, 0x100 + v / 32u * 16) & 1u << v % 32);
        eoi(0);
        ck_assert(!(get(0, 0x100 + v / 32u * 16) & 1u << v % 32));
    }
    ck_assert_uint_eq(get(0, 0xa0), 0);
    eoi(0);  // nothing in service: nothing happens
}
END_TEST

START_TEST(test_post__twice__delivered_once_and_kicked_once)
{
    vlapic_post(&fix.vcpu[0], 0x40, false);
    vlapic_post(&fix.vcpu[0], 0x40, false);
    ck_assert_uint_eq(fix.kicks[0], 1);
    ck_assert_int_eq(take(0), 0x40);
    vlapic_post(&fix.vcpu[0], 0x40, false);  // one in service, one waiting
    eoi(0);
    ck_assert_int_eq(take(0), 0x40);
    eoi(0);
    ck_assert_int_eq(take(0), -1);
}
END_TEST

START_TEST(test_post__every_vector__comes_out)
{
    for (int v = 16; v < 256; v++)
        vlapic_post(&fix.vcpu[0], (uint8_t)v, false);
    for (int v = 255; v >= 16; v--) {
        ck_assert_int_eq(take(0), v);
        eoi(0);
    }
    ck_assert_int_eq(take(0), -1);
}
END_TEST

struct poster {
    uint8_t vector;
    bool done;  // (a)
};

/* Posts its vector again as soon as it went in: a forgotten one would be waited for in vain. */
static void *poster(void *argument)
{
    struct poster *p = argument;

    for (unsigned i = 0; i < 20000; i++) {
        vlapic_post(&fix.vcpu[0], p->vector, false);
        while (get(0, 0x200 + p->vector / 32u * 16) & 1u << p->vector % 32)
            sched_yield();
    }
    __atomic_store_n(&p->done, true, __ATOMIC_RELEASE);
    return NULL;
}

START_TEST(test_post__from_two_threads__no_vector_is_forgotten)
{
    struct poster posters[2] = {{.vector = 0x41}, {.vector = 0x43}};  // one word of IRR
    pthread_t thread[2];
    unsigned taken = 0, idle = 0;

    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, poster, &posters[i]), 0);
    while (!__atomic_load_n(&posters[0].done, __ATOMIC_ACQUIRE) ||
           !__atomic_load_n(&posters[1].done, __ATOMIC_ACQUIRE)) {
        if (take(0) >= 0) {
            taken++;
            eoi(0);
        } else if (++idle % 256 == 0) {
            sched_yield();  // mostly not: the race needs both at once
        }
    }
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    ck_assert_uint_eq(taken, 40000);
    ck_assert_uint_eq(fix.kicks[0], 40000);
}
END_TEST

START_TEST(test_post__illegal_vector__error_interrupt)
{
    set(0, 0x370, 0xfe);
    vlapic_post(&fix.vcpu[0], 0x0f, false);
    ck_assert_int_eq(take(0), 0xfe);
    ck_assert_uint_eq(get(0, 0x280), 0);  // only a write latches it
    set(0, 0x280, 0);
    ck_assert_uint_eq(get(0, 0x280), 0x40);
    set(0, 0x280, 0);
    ck_assert_uint_eq(get(0, 0x280), 0);
    set(0, 0x3a0, 1);  // no such register
    set(0, 0x280, 0);
    ck_assert_uint_eq(get(0, 0x280), 0x80);
}
END_TEST

START_TEST(test_tmr__follows_the_trigger_mode)
{
    vlapic_post(&fix.vcpu[0], 0x41, true);
    ck_assert_uint_eq(get(0, 0x180 + 0x20), 1u << 1);
    vlapic_post(&fix.vcpu[0], 0x41, false);
    ck_assert_uint_eq(get(0, 0x180 + 0x20), 0);
}
END_TEST

/* ---- enable, disable, modes ---- */

START_TEST(test_reset__boot_processor__virtual_wire)
{
    vlapic_reset(&fix.vcpu[0]);
    ck_assert_uint_eq(get(0, 0xf0), 0xff);
    ck_assert_uint_eq(get(0, 0x320), 0x10000);
    ck_assert_uint_eq(get(0, 0x350), 0x700);
    ck_assert_uint_eq(get(0, 0xe0), 0xffffffff);
    ck_assert_uint_eq(get(0, 0x30), 0x50014);
    ck_assert_uint_eq(get(1, 0x20), 1u << 24);
    ck_assert(vlapic_takes_extint(&fix.vcpu[0]));
    ck_assert(!vlapic_takes_extint(&fix.vcpu[1]));
    set(0, 0x350, 0x10700);
    ck_assert(!vlapic_takes_extint(&fix.vcpu[0]));
}
END_TEST

START_TEST(test_svr__software_disable__masks_lvts_and_refuses)
{
    set(0, 0x320, 0x40);
    vlapic_post(&fix.vcpu[0], 0x33, false);
    set(0, 0xf0, 0xff);
    ck_assert_uint_eq(get(0, 0x320), 0x10040);
    set(0, 0x320, 0x40);
    ck_assert_uint_eq(get(0, 0x320), 0x10040);
    ck_assert_int_eq(take(0), 0x33);  // what was pending stays
    vlapic_post(&fix.vcpu[0], 0x44, false);
    ck_assert_int_eq(take(0), -1);
}
END_TEST

START_TEST(test_base__disable_and_enable__page_goes_and_comes_back_reset)
{
    uint64_t base = vlapic_base_msr(&fix.vcpu[0]);

    ck_assert_uint_eq(base, 0xfee00900);
    ck_assert(vlapic_owns_page(&fix.vcpu[0], 0xfee00fff));
    ck_assert(!vlapic_owns_page(&fix.vcpu[0], 0xfee01000));
    set(0, 0x80, 0x20);
    vlapic_post(&fix.vcpu[0], 0x60, false);
    set(0, 0x380, 1000);

    ck_assert(wrmsr(0, 0x1b, base & ~BASE_EN));
    ck_assert(!vlapic_owns_page(&fix.vcpu[0], 0xfee00000));
    ck_assert_int_eq(vlapic_pending(&fix.vcpu[0]), -1);
    vlapic_post(&fix.vcpu[0], 0x60, false);
    ck_assert_int_eq(vlapic_pending(&fix.vcpu[0]), -1);
    ck_assert(vlapic_takes_extint(&fix.vcpu[0]));
    ck_assert(list_is_empty(&fix.timers));

    ck_assert(wrmsr(0, 0x1b, base));
    ck_assert(vlapic_owns_page(&fix.vcpu[0], 0xfee00000));
    ck_assert_uint_eq(get(0, 0x20), 0);
    ck_assert_uint_eq(get(0, 0x30), 0x50014);
    ck_assert_uint_eq(get(0, 0x80), 0);
    ck_assert_uint_eq(get(0, 0xf0), 0xff);
    set(0, 0xf0, 0x1ff);
    vlapic_post(&fix.vcpu[0], 0x60, false);
    ck_assert_int_eq(take(0), 0x60);
}
END_TEST

START_TEST(test_base__moved__page_is_there)
{
    ck_assert(wrmsr(0, 0x1b, 0xfed00000 | BASE_EN | BASE_BSP));
    ck_assert(vlapic_owns_page(&fix.vcpu[0], 0xfed00010));
    ck_assert(!vlapic_owns_page(&fix.vcpu[0], 0xfee00010));
}
END_TEST

START_TEST(test_base__every_transition__legal_or_gp)
{
    static const uint64_t mode[4] = {0, BASE_EXTD, BASE_EN, BASE_EN | BASE_EXTD};
    // From disabled, xAPIC, x2APIC (rows 0, 2, 3) to each.
    static const bool legal[4][4] = {
        {true, false, true, false}, {0}, {true, false, true, true}, {true, false, false, true}};

    for (unsigned from = 0; from < 4; from++) {
        if (from == 1)
            continue;
        for (unsigned to = 0; to < 4; to++) {
            ck_assert(wrmsr(0, 0x1b, 0xfee00000));
            if (from)
                ck_assert(wrmsr(0, 0x1b, 0xfee00000 | BASE_EN));
            if (from == 3)
                to_x2apic(0);
            ck_assert_msg(wrmsr(0, 0x1b, 0xfee00000 | mode[to]) == legal[from][to],
                          "from %u to %u", from, to);
            unsigned now = legal[from][to] ? to : from;
            ck_assert_uint_eq(vlapic_base_msr(&fix.vcpu[0]), 0xfee00000 | BASE_BSP | mode[now]);
            ck_assert(vlapic_owns_page(&fix.vcpu[0], 0xfee00000) == (now == 2));
            uint64_t value;
            ck_assert(vlapic_msr_read(&fix.vcpu[0], 0x802, &value) == (now == 3));
        }
    }
    ck_assert(!wrmsr(0, 0x1b, 0xfee00001 | BASE_EN));
    ck_assert(!wrmsr(0, 0x1b, 1ull << 60 | BASE_EN));
}
END_TEST

START_TEST(test_x2apic__keeps_state_and_derives_ldr)
{
    set(1, 0x80, 0x30);
    set(1, 0x320, 0x20040);
    to_x2apic(1);
    ck_assert_uint_eq(rdmsr(1, 0x802), 1);
    ck_assert_uint_eq(rdmsr(1, 0x80d), 2);
    ck_assert_uint_eq(rdmsr(1, 0x808), 0x30);
    ck_assert_uint_eq(rdmsr(1, 0x832), 0x20040);
    ck_assert_uint_eq(rdmsr(1, 0x80f), 0x1ff);
    vlapic_reset(&fix.vcpu[1]);  // INIT: the mode stays
    ck_assert_uint_eq(rdmsr(1, 0x80f), 0xff);
    ck_assert_uint_eq(rdmsr(1, 0x80d), 2);
    fix.vm.state = VM_STATE_RESETTING;
    vlapic_reset(&fix.vcpu[1]);
    ck_assert_uint_eq(vlapic_base_msr(&fix.vcpu[1]), 0xfee00800);
}
END_TEST

START_TEST(test_x2apic__bad_accesses__gp)
{
    static const uint32_t unreadable[] = {0x80b, 0x80e, 0x80c, 0x831,
                                          0x83f, 0x82f, 0x800, 0x8ff};
    static const struct {
        uint32_t index;
        uint64_t value;
    } unwritable[] = {
        {0x802, 0}, {0x803, 0},     {0x80a, 0},        {0x80b, 1},          {0x80d, 0},
        {0x80e, 0}, {0x810, 0},     {0x820, 0},        {0x828, 1},          {0x830, 1u << 20},
        {0x831, 0}, {0x839, 0},     {0x808, 0x100},    {0x808, 1ull << 32}, {0x832, 1u << 19},
        {0x83e, 4}, {0x83f, 0x100}, {0x80f, 1u << 13},
    };
    uint64_t value;

    ck_assert(!vlapic_msr_read(&fix.vcpu[0], 0x802, &value));  // xAPIC mode
    ck_assert(!wrmsr(0, 0x80b, 0));
    to_x2apic(0);
    for (size_t i = 0; i < ARRAY_COUNT(unreadable); i++)
        ck_assert_msg(!vlapic_msr_read(&fix.vcpu[0], unreadable[i], &value), "%x",
                      unreadable[i]);
    for (size_t i = 0; i < ARRAY_COUNT(unwritable); i++)
        ck_assert_msg(!wrmsr(0, unwritable[i].index, unwritable[i].value), "%x",
                      unwritable[i].index);
}
END_TEST

/* ---- messages ---- */

/* Who has `vector` pending, as a bit mask. */
static unsigned receivers(uint8_t vector)
{
    unsigned mask = 0;

    for (unsigned i = 0; i < fix.vm.vcpu_count; i++) {
        if (vlapic_pending(&fix.vcpu[i]) == vector) {
            mask |= 1u << i;
            vlapic_accept(&fix.vcpu[i], vector);
        }
        bool x2 = (vlapic_base_msr(&fix.vcpu[i]) & BASE_EXTD) != 0;
        if (x2)
            ck_assert(wrmsr(i, 0x80b, 0));
        else
            eoi(i);
    }
    return mask;
}

START_TEST(test_icr__xapic_destinations)
{
    static const struct {
        bool cluster;
        uint8_t destination;
        uint32_t low;
        unsigned who;
    } cases[] = {
        {false, 2, 0, 1u << 2},       {false, 9, 0, 0},
        {false, 0xff, 0, 0xf},        {false, 0, 1u << 18, 1u << 1},  // self
        {false, 0, 2u << 18, 0xf},    {false, 0, 3u << 18, 0xd},
        {false, 0x05, 1u << 11, 0x5},  // flat: a bit mask
        {false, 0xff, 1u << 11, 0xf}, {false, 0x10, 1u << 11, 0},
        {true, 0x03, 1u << 11, 0x3},  // cluster 0: vCPUs 0 and 1; cluster 1: 2 and 3
        {true, 0x12, 1u << 11, 0x8},  {true, 0xf1, 1u << 11, 0x5},
        {true, 0x21, 1u << 11, 0},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        for (unsigned v = 0; v < 4; v++) {
            set(v, 0xe0, cases[i].cluster ? 0x0fffffff : 0xffffffff);
            set(v, 0xd0, (cases[i].cluster ? (v / 2) << 4 | 1u << v % 2 : 1u << v) << 24);
        }
        set(1, 0x310, (uint32_t)cases[i].destination << 24);
        set(1, 0x300, cases[i].low | 0x77);
        ck_assert_msg(receivers(0x77) == cases[i].who, "case %zu", i);
    }
    ck_assert_uint_eq(get(1, 0x310) >> 24, 0x21);
}
END_TEST

START_TEST(test_icr__x2apic_destinations)
{
    static const struct {
        uint32_t destination;
        uint32_t low;
        unsigned who;
    } cases[] = {
        {2, 0, 4},
        {0xff, 0, 0},
        {0xffffffff, 0, 0xf},
        {0x0000000a, 1u << 11, 0xa},
        {0x0001000f, 1u << 11, 0},
        {0xffffffff, 1u << 11, 0xf},
        {7, 1u << 18, 2},
        {7, 3u << 18, 0xd},
    };

    for (unsigned v = 0; v < 4; v++)
        to_x2apic(v);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        ck_assert(wrmsr(1, 0x830, (uint64_t)cases[i].destination << 32 | cases[i].low | 0x77));
        ck_assert_msg(receivers(0x77) == cases[i].who, "case %zu", i);
    }
    ck_assert(wrmsr(1, 0x83f, 0x99));
    ck_assert_uint_eq(fix.kicks[1], 0);  // a vCPU does not kick itself
    ck_assert_uint_eq(receivers(0x99), 2);
}
END_TEST

START_TEST(test_icr__lowest_priority__takes_the_idlest)
{
    set(0, 0x80, 0x50);
    set(1, 0x80, 0x20);
    set(2, 0x80, 0x40);
    set(3, 0x80, 0x20);
    set(0, 0x310, 0xff000000);
    set(0, 0x300, 0x177);
    ck_assert_uint_eq(receivers(0x77), 2);
    set(1, 0xf0, 0xff);  // off: not a candidate
    set(0, 0x300, 0x177);
    ck_assert_uint_eq(receivers(0x77), 8);
}
END_TEST

START_TEST(test_icr__illegal_vector__send_error)
{
    set(0, 0x300, 2u << 18 | 0x0e);
    set(0, 0x280, 0);
    ck_assert_uint_eq(get(0, 0x280), 0x20);
    ck_assert_uint_eq(fix.kicks[1], 0);
}
END_TEST

START_TEST(test_icr__init_sipi_nmi)
{
    set(0, 0x310, 1u << 24);
    set(0, 0x300, 0x4500);
    ck_assert(!fix.vcpu[1].init_pending);  // it waits already
    set(0, 0x300, 0x4609);
    ck_assert_int_eq(fix.vcpu[1].sipi_vector, 9);
    fix.vcpu[1].state = VCPU_RUNNING;
    set(0, 0x300, 0x4500);
    ck_assert(fix.vcpu[1].init_pending);
    ck_assert_int_eq(fix.vcpu[1].sipi_vector, -1);
    set(0, 0x300, 0x4608);  // not waiting yet, but the INIT comes first
    ck_assert_int_eq(fix.vcpu[1].sipi_vector, 8);
    fix.vcpu[1].init_pending = false;
    fix.vcpu[1].state = VCPU_RUNNING;
    fix.vcpu[1].sipi_vector = -1;
    set(0, 0x300, 0x4608);
    ck_assert_int_eq(fix.vcpu[1].sipi_vector, -1);
    set(0, 0x300, 0x8500);  // INIT level de-assert
    ck_assert(!fix.vcpu[1].init_pending);
    set(0, 0x300, 0x4400);
    ck_assert_uint_eq(fix.vcpu[1].nmi_pending, 1);
    ck_assert(!fix.vcpu[2].nmi_pending);
    set(0, 0x300, 3u << 18 | 0x4400);
    ck_assert(fix.vcpu[2].nmi_pending && fix.vcpu[3].nmi_pending && !fix.vcpu[0].nmi_pending);
    ck_assert_uint_ge(fix.kicks[3], 1);
}
END_TEST

/* ---- timer ---- */

START_TEST(test_timer__one_shot__counts_down_and_fires_once)
{
    set(0, 0x3e0, 0xb);  // by 1
    set(0, 0x320, 0x40);
    set(0, 0x380, 100000);
    fixture_advance(40000);
    ck_assert_uint_eq(get(0, 0x390), 60000);
    fixture_advance(59999);
    ck_assert_int_eq(take(0), -1);
    ck_assert_uint_eq(get(0, 0x390), 1);
    fixture_advance(1);
    ck_assert_int_eq(take(0), 0x40);
    eoi(0);
    ck_assert_uint_eq(get(0, 0x390), 0);
    fixture_advance(1000000);
    ck_assert_int_eq(take(0), -1);
    ck_assert_uint_eq(get(0, 0x380), 100000);
}
END_TEST

START_TEST(test_timer__divide__every_value)
{
    static const struct {
        uint8_t value, by;
    } cases[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {0xa, 128}, {0xb, 1}};

    set(0, 0x320, 0x40);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        set(0, 0x3e0, cases[i].value);
        set(0, 0x380, 1000);
        fixture_advance(400u * cases[i].by);
        ck_assert_uint_eq(get(0, 0x390), 600);
        fixture_advance(600u * cases[i].by);
        ck_assert_int_eq(take(0), 0x40);
        eoi(0);
    }
}
END_TEST

START_TEST(test_timer__divide_changed_while_counting__goes_on_slower)
{
    set(0, 0x320, 0x40);
    set(0, 0x3e0, 0xb);
    set(0, 0x380, 100000);
    fixture_advance(50000);
    set(0, 0x3e0, 0);
    fixture_advance(50000);
    ck_assert_uint_eq(get(0, 0x390), 25000);
}
END_TEST

START_TEST(test_timer__periodic__does_not_drift_and_coalesces)
{
    set(0, 0x3e0, 0xb);
    set(0, 0x320, 0x20040);
    set(0, 0x380, 1000000);
    for (unsigned i = 0; i < 5; i++) {
        fixture_advance(1000000);
        ck_assert_int_eq(take(0), 0x40);
        eoi(0);
    }
    fixture_jump(3500000);  // three periods and a half late
    ck_assert_uint_eq(fix.timers_run, 6);
    ck_assert_int_eq(take(0), 0x40);
    eoi(0);
    ck_assert_int_eq(take(0), -1);
    ck_assert_uint_eq(get(0, 0x390), 500000);
    fixture_advance(499999);
    ck_assert_int_eq(take(0), -1);
    fixture_advance(1);  // on the old grid
    ck_assert_int_eq(take(0), 0x40);
}
END_TEST

START_TEST(test_timer__periodic_absurdly_fast__host_is_spared)
{
    set(0, 0x3e0, 0xb);
    set(0, 0x320, 0x20040);
    set(0, 0x380, 1);
    fixture_advance(10000000);
    ck_assert_uint_le(fix.timers_run, 502);
    ck_assert_int_eq(take(0), 0x40);
}
END_TEST

START_TEST(test_timer__masked__runs_silently)
{
    set(0, 0x3e0, 0xb);
    set(0, 0x320, 0x30040);
    set(0, 0x380, 100000);
    fixture_advance(250000);
    ck_assert_int_eq(take(0), -1);
    set(0, 0x320, 0x20040);
    fixture_advance(50000);
    ck_assert_int_eq(take(0), 0x40);
    set(0, 0x380, 0);
    eoi(0);
    fixture_advance(1000000);
    ck_assert_int_eq(take(0), -1);
}
END_TEST

/* The host's timer is late: the guest sees a count of zero, and then writes the entry. */
START_TEST(test_timer__mode_changed_behind_the_end__ends_first)
{
    set(0, 0x3e0, 0xb);
    set(0, 0x320, 0x40);
    set(0, 0x380, 1000000);
    fix.now += 1200000;
    ck_assert_uint_eq(get(0, 0x390), 0);
    set(0, 0x320, 0x20041);
    ck_assert_uint_eq(get(0, 0x390), 0);
    ck_assert_int_eq(take(0), 0x40);
    eoi(0);
    fixture_advance(5000000);
    ck_assert_int_eq(take(0), -1);
    set(0, 0x380, 1000000);
    fix.now += 1200000;  // and the other way: its next period is its last
    set(0, 0x320, 0x42);
    ck_assert_int_eq(take(0), 0x41);
    eoi(0);
    ck_assert_uint_eq(get(0, 0x390), 800000);
    fixture_advance(800000);
    ck_assert_int_eq(take(0), 0x42);
    eoi(0);
    fixture_advance(5000000);
    ck_assert_int_eq(take(0), -1);
}
END_TEST

START_TEST(test_timer__tsc_deadline)
{
    fix.vm.tsc_offset = 12345;
    ck_assert(wrmsr(0, 0x6e0, vm_tsc(&fix.vm) + 1000));  // wrong mode: ignored
    ck_assert_uint_eq(rdmsr(0, 0x6e0), 0);
    set(0, 0x320, 0x40040);
    set(0, 0x380, 500);  // ignored now
    ck_assert_uint_eq(get(0, 0x380), 0);
    uint64_t deadline = vm_tsc(&fix.vm) + 2000;
    ck_assert(wrmsr(0, 0x6e0, deadline));
    ck_assert_uint_eq(rdmsr(0, 0x6e0), deadline);
    fixture_advance(999);
    ck_assert_int_eq(take(0), -1);
    fixture_advance(1);
    ck_assert_int_eq(take(0), 0x40);
    ck_assert_uint_eq(rdmsr(0, 0x6e0), 0);
    eoi(0);
    ck_assert(wrmsr(0, 0x6e0, 1));  // past: at once
    ck_assert_int_eq(take(0), 0x40);
    eoi(0);
    ck_assert(wrmsr(0, 0x6e0, UINT64_MAX));
    ck_assert(wrmsr(0, 0x6e0, vm_tsc(&fix.vm) + 2000));
    ck_assert(wrmsr(0, 0x6e0, 0));  // disarmed
    fixture_advance(100000);
    ck_assert_int_eq(take(0), -1);
}
END_TEST

START_TEST(test_timer__mode_change_to_deadline__stops)
{
    set(0, 0x320, 0x40);
    set(0, 0x380, 1000);
    set(0, 0x320, 0x40040);
    ck_assert_uint_eq(get(0, 0x390), 0);
    fixture_advance(100000);
    ck_assert_int_eq(take(0), -1);
}
END_TEST

static void start_four(void)
{
    fixture_start(4);
}

static void add_tests(TCase *t)
{
    tcase_add_checked_fixture(t, start_four, fixture_stop);
    tcase_set_timeout(t, 30);  // two threads on a busy machine
    tcase_add_test(t, test_ppr__is_the_higher_of_tpr_and_in_service);
    tcase_add_test(t, test_pending__respects_priority_class);
    tcase_add_test(t, test_eoi__many_vectors__highest_first);
    tcase_add_test(t, test_post__twice__delivered_once_and_kicked_once);
    tcase_add_test(t, test_post__every_vector__comes_out);
    tcase_add_test(t, test_post__from_two_threads__no_vector_is_forgotten);
    tcase_add_test(t, test_post__illegal_vector__error_interrupt);
    tcase_add_test(t, test_tmr__follows_the_trigger_mode);
    tcase_add_test(t, test_reset__boot_processor__virtual_wire);
    tcase_add_test(t, test_svr__software_disable__masks_lvts_and_refuses);
    tcase_add_test(t, test_base__disable_and_enable__page_goes_and_comes_back_reset);
    tcase_add_test(t, test_base__moved__page_is_there);
    tcase_add_test(t, test_base__every_transition__legal_or_gp);
    tcase_add_test(t, test_x2apic__keeps_state_and_derives_ldr);
    tcase_add_test(t, test_x2apic__bad_accesses__gp);
    tcase_add_test(t, test_icr__xapic_destinations);
    tcase_add_test(t, test_icr__x2apic_destinations);
    tcase_add_test(t, test_icr__lowest_priority__takes_the_idlest);
    tcase_add_test(t, test_icr__illegal_vector__send_error);
    tcase_add_test(t, test_icr__init_sipi_nmi);
    tcase_add_test(t, test_timer__one_shot__counts_down_and_fires_once);
    tcase_add_test(t, test_timer__divide__every_value);
    tcase_add_test(t, test_timer__divide_changed_while_counting__goes_on_slower);
    tcase_add_test(t, test_timer__periodic__does_not_drift_and_coalesces);
    tcase_add_test(t, test_timer__periodic_absurdly_fast__host_is_spared);
    tcase_add_test(t, test_timer__masked__runs_silently);
    tcase_add_test(t, test_timer__mode_changed_behind_the_end__ends_first);
    tcase_add_test(t, test_timer__tsc_deadline);
    tcase_add_test(t, test_timer__mode_change_to_deadline__stops);
}

int main(void)
{
    return fixture_run("vlapic", add_tests);
}
