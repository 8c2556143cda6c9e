// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/guest/rtc.c -- the guest's clock and CMOS memory, in its vmx.
 *
 * The machine is vmm/dev/mc146818.c, the kernel's own. Here it gets its time from the system
 * call, its timer from the time-out of the vmx's ppoll(), and its interrupt line is an ioctl. A
 * periodic interrupt is raised no oftener than this process is run; a guest that has not read
 * register C yet causes none.
 *
 * Locking    none: one thread.
 * Start at   rtc_port().
 */
#include "agents/vmtools/guest/rtc.h"

#include <sys/ioctl.h>

#include "vmm/dev/mc146818.h"

#define NS 1000000000ull

struct rtc {
    struct mc146818 machine;
    int vm_fd;
    bool line;  // as the VM has it
};

static struct rtc the_rtc;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t = {0, 0};

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* EBUSY: a reset makes the machine anew, and VMK_EVENT_RESET will say so. */
static void line_settle(struct rtc *rtc)
{
    struct vmk_vm_irq irq = {.head = {sizeof(irq), VMK_ABI_VERSION},
                             .line = MC146818_IRQ,
                             .high = rtc->machine.line};

    if (rtc->machine.line != rtc->line && ioctl(rtc->vm_fd, VMK_VM_IRQ, &irq) == 0)
        rtc->line = rtc->machine.line;
}

struct rtc *rtc_new(int vm_fd, uint64_t memory_low_bytes, unsigned vcpus)
{
    uint64_t now = now_ns();
    uint64_t wall = clock_ns(CLOCK_REALTIME);

    the_rtc.vm_fd = vm_fd;
    mc146818_init(&the_rtc.machine, wall > now ? (wall - now + NS / 2) / NS : 0, now,
                  memory_low_bytes, vcpus);
    return &the_rtc;
}

void rtc_port(struct rtc *rtc, uint32_t regs[VMK_CALL_REGS])
{
    unsigned offset = (unsigned)(regs[VMK_REG_DX] - MC146818_PORT);
    unsigned size = (unsigned)regs[VMK_REG_BX];

    if (offset >= MC146818_PORTS)
        return;
    if (regs[VMK_REG_CX])
        regs[VMK_REG_AX] = mc146818_read(&rtc->machine, now_ns(), offset, size);
    else
        mc146818_write(&rtc->machine, now_ns(), offset, size, regs[VMK_REG_AX]);
    line_settle(rtc);
}

void rtc_reset(struct rtc *rtc)
{
    mc146818_reset(&rtc->machine, now_ns());
    rtc->line = false;
}

bool rtc_due(const struct rtc *rtc, struct timespec *left)
{
    uint64_t next = mc146818_next(&rtc->machine);
    uint64_t now = now_ns();
    uint64_t ns = next > now ? next - now : 0;

    if (next == MC146818_NEVER)
        return false;
    *left = (struct timespec){.tv_sec = (time_t)(ns / NS), .tv_nsec = (long)(ns % NS)};
    return true;
}

void rtc_tick(struct rtc *rtc)
{
    uint64_t now = now_ns();

    if (mc146818_next(&rtc->machine) > now)
        return;
    mc146818_tick(&rtc->machine, now);
    line_settle(rtc);
}
