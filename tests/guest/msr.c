// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/msr.c -- model-specific registers: those that must be there, and #GP for the rest.
 */
#include "guest.h"

const char guest_name[] = "msr";

#define READ(index) CATCH("rdmsr", : : "c"(index) : "rax", "rdx", "memory")
#define WRITE(index, value)                                                                    \
    CATCH("wrmsr",                                                                             \
          :                                                                                    \
          : "c"(index), "a"((uint32_t)(value)), "d"((uint32_t)((uint64_t)(value) >> 32))       \
          : "memory")

/* A write moves this processor's counter, and TSC_ADJUST by as much. */
static void tsc(void)
{
    uint64_t adjust = 0, now;
    const bool adjusts = cpuid(0).eax >= 7 && (cpuid(7).ebx >> 1 & 1);

    if (adjusts)
        adjust = rdmsr(0x3b);
    wrmsr(0x10, 0x123456789abcull);
    now = rdtsc();
    expect(now >= 0x123456789abcull && now < 0x123456789abcull + 1000000000,
           "TSC goes on from what is written");
    now = rdmsr(0x10);
    expect(now >= 0x123456789abcull && now < 0x123456789abcull + 1000000000,
           "and RDMSR sees the same");
    if (!adjusts) {
        guest_printf("note: no TSC_ADJUST here\n");
        return;
    }
    expect(rdmsr(0x3b) != adjust, "TSC_ADJUST follows");
    now = rdtsc();
    wrmsr(0x3b, rdmsr(0x3b) + (1ull << 40));
    expect(rdtsc() - now >= 1ull << 40, "TSC follows TSC_ADJUST");
    wrmsr(0x3b, adjust);
    expect_equal(rdmsr(0x3b), adjust, "TSC_ADJUST reads back");
}

void guest_main(void)
{
    static const uint32_t kept[] = {0xc0000081, 0xc0000082, 0xc0000084, 0xc0000100,
                                    0xc0000101, 0xc0000102, 0x174,      0x277};
    uint64_t efer = rdmsr(0xc0000080);

    expect((efer & 0x500) == 0x500, "EFER says long mode is enabled and active");
    for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        uint64_t old = rdmsr(kept[i]),
                 wanted = kept[i] == 0x277 ? 0x0007010600070106ull : 0x3400;

        wrmsr(kept[i], wanted);
        expect_equal(rdmsr(kept[i]), wanted, "a register keeps what is written");
        wrmsr(kept[i], old);
    }
    WRITE(0xc0000080, efer | 1);
    expect_no_fault("EFER.SCE");
    expect_equal(rdmsr(0xc0000080), efer | 1, "EFER reads back");
    wrmsr(0xc0000080, efer);
    if (guest_on_plain_tcg()) {
        guest_printf("note: this emulator answers 0 for unknown registers\n");
        return;
    }
    tsc();
    READ(0x12345678);
    expect_caught(13, 0, "reading an unknown register");
    WRITE(0x12345678, 0);
    expect_caught(13, 0, "writing an unknown register");
    WRITE(0xc0000082, 0x8000000000000000ull);
    expect_caught(13, 0, "a non-canonical LSTAR");
    WRITE(0xc0000080, efer | 1ull << 63);
    expect_caught(13, 0, "a reserved bit of EFER");
    WRITE(0x1b, 1ull << 63);
    expect_caught(13, 0, "a reserved bit of APIC_BASE");
    WRITE(0x1b, rdmsr(0x1b) | 1ull << (cpuid(0x80000008).eax & 0xff));
    expect_caught(13, 0, "an address that the processor does not have in APIC_BASE");
    WRITE(0x277, 0x02);
    expect_caught(13, 0, "a reserved memory type in PAT");
}
