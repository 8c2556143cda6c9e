// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest/rpc.c -- messages through the backdoor: a log line, a value that is set and got again.
 *
 * With a vmx each exchange is answered in ring 3 of the host; without one the command is
 * unknown and answers all ones, which is right too. Words of the command line: "stay" halts for
 * ever at the end, "reset" asks for a reset once (the CMOS remembers that it did), "spin" never
 * halts, "press" writes all of its memory again and again, and gives a little of it to the host
 * when the balloon's port asks.
 */
#include "guest.h"

const char guest_name[] = "rpc";

#define MAGIC         0x564d5868u
#define PORT          0x5658u
#define MESSAGE       30u
#define RPCI          0x49435052u
#define COOKIE        0x80000000u
#define SUCCESS       0x10000u
#define ANSWER        0x20000u
#define BALLOON_MAGIC 0x456c6d6fu
#define BALLOON_PORT  0x5670u
#define BALLOON_BASIC 2u
#define BALLOON_LINUX 1u
#define GIVES_MAX     256u  // pages, of what is asked for
enum {
    BALLOON_START,
    BALLOON_TARGET,
    BALLOON_LOCK,
    BALLOON_ID = 4
};

#define CMOS_AT  0x40u
#define CMOS_SET 0xa5u

struct regs {
    uint32_t eax, ebx, ecx, edx, esi, edi;
};

static void call(struct regs *r)
{
    __asm__ volatile("inl %%dx, %%eax"
                     : "+a"(r->eax), "+b"(r->ebx), "+c"(r->ecx), "+d"(r->edx), "+S"(r->esi),
                       "+D"(r->edi)
                     :
                     : "memory");
}

static struct regs channel;

static struct regs message(uint32_t type, uint32_t ebx)
{
    struct regs r = {
        MAGIC,       ebx,        MESSAGE | type << 16, PORT | (channel.edx & 0xffff0000u),
        channel.esi, channel.edi};

    call(&r);
    return r;
}

static size_t length_of(const char *text)
{
    size_t n = 0;

    while (text[n])
        n++;
    return n;
}

/* Sends a command; the answer in `out`. False: an exchange failed. */
static bool command(const char *text, char *out, size_t room)
{
    size_t length = length_of(text);
    struct regs r = message(1, (uint32_t)length);
    bool good = r.ecx & SUCCESS;
    uint32_t size;

    for (size_t i = 0; good && i < length; i += 4) {
        uint32_t word = 0;

        for (size_t k = 0; k < 4 && i + k < length; k++)
            word |= (uint32_t)(uint8_t)text[i + k] << (8 * k);
        r = message(2, word);
        good = r.ecx & SUCCESS;
    }
    r = message(3, 0);
    good = good && (r.ecx & SUCCESS) && (r.ecx & ANSWER) && (r.edx >> 16) == 1;
    size = r.ebx;
    for (uint32_t i = 0; good && i < size && i + 4 < room; i += 4) {
        r = message(4, 1);
        good = (r.ecx & SUCCESS) && (r.edx >> 16) == 2;
        for (uint32_t k = 0; k < 4; k++)
            out[i + k] = (char)(r.ebx >> (8 * k));
    }
    out[size < room ? size : room - 1] = 0;
    r = message(5, 1);
    return good && (r.ecx & SUCCESS);
}

static bool is(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static void messages(void)
{
    char answer[128];
    unsigned exchanges = 0;

    expect(command("log hello from the guest", answer, sizeof(answer)), "log");
    expect(is(answer, "1 "), "log is answered \"1 \"");
    expect(command("info-set guestinfo.colour blue green", answer, sizeof(answer)), "info-set");
    expect(command("info-get guestinfo.colour", answer, sizeof(answer)), "info-get");
    expect(is(answer, "1 blue green"), "the value comes back");
    expect(command("info-get guestinfo.none", answer, sizeof(answer)), "info-get of nothing");
    expect(is(answer, "0 No value found"), "an unknown key is refused");
    expect(command("format c:", answer, sizeof(answer)), "an unknown command is answered");
    expect(is(answer, "0 Unknown command"), "and refused");
    for (uint64_t start = rdtsc(); exchanges < 100; exchanges++) {
        (void)message(3, 0);
        if (exchanges == 99)
            guest_printf("%u cycles an exchange\n", (unsigned)((rdtsc() - start) / 100));
    }
    channel.esi ^= 1;
    expect(!(message(1, 4).ecx & SUCCESS), "a wrong cookie is refused");
    channel.esi ^= 1;
    expect(message(6, 0).ecx & SUCCESS, "close");
    expect(!(message(1, 4).ecx & SUCCESS), "a closed channel is refused");
}

static void reset_once(void)
{
    if (cmos_get(CMOS_AT) == CMOS_SET) {
        guest_printf("after the reset\n");
        return;
    }
    cmos_set(CMOS_AT, CMOS_SET);
    guest_printf("before the reset\n");
    outb(0xcf9, 6);
    for (;;)
        __asm__ volatile("hlt");
}

static struct regs balloon(uint32_t what, uint32_t argument)
{
    struct regs r = {BALLOON_MAGIC, argument, what, BALLOON_PORT, 0, 0};

    call(&r);
    return r;
}

/*
 * Contents that no packing makes smaller, other ones in each pass; the pages at the end may be
 * given away.
 */
static __attribute__((noreturn)) void press(void)
{
    const uint64_t from = ((uint64_t)(uintptr_t)guest_end + 0xfff) & ~0xfffull;
    uint64_t end = guest_memory_end(), given = 0, mix = 88172645463325252ull;

    (void)balloon(BALLOON_START, BALLOON_BASIC);
    (void)balloon(BALLOON_ID, BALLOON_LINUX);
    for (;;) {
        const uint64_t target =
            balloon(BALLOON_TARGET, (uint32_t)(guest_memory_end() >> 12)).ebx;

        while (given < target && given < GIVES_MAX &&
               balloon(BALLOON_LOCK, (uint32_t)((end >> 12) - 1)).eax == 0) {
            end -= 4096;
            if (++given == 1)
                guest_printf("giving\n");
        }
        for (uint64_t at = from; at < end; at += 8) {
            mix ^= mix << 13;
            mix ^= mix >> 7;
            mix ^= mix << 17;
            *(volatile uint64_t *)(uintptr_t)at = mix;
        }
    }
}

void guest_main(void)
{
    channel = (struct regs){.ebx = 0};
    channel = message(0, RPCI | COOKIE);
    if (channel.eax == UINT32_MAX) {
        guest_printf("nobody answers messages here\n");
    } else if (channel.ecx & SUCCESS) {
        messages();
    } else {
        expect(false, "a channel opens");
    }
    if (guest_has_word("reset"))
        reset_once();
    if (guest_has_word("spin")) {
        guest_printf("spinning\n");
        for (;;)
            __asm__ volatile("pause");
    }
    if (guest_has_word("press"))
        press();
    if (guest_has_word("stay")) {
        guest_printf("staying\n");
        for (;;)
            __asm__ volatile("hlt");
    }
}
