// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/core_report.c -- what the log says when a user world dies of a fault.
 *
 * Registers, what is mapped, and the return addresses along the frame pointers: enough to find
 * the place in a disassembly. No file is written. A program that faults in a loop of children
 * must not drown the log, so only every report within a bound per second is printed in full.
 *
 * Invariants
 *   - Reads of the dead program's memory are checked copies; a wild frame pointer ends the
 *     trace.
 * Locking    none.
 */
#include "core/log.h"
#include "lib/format.h"
#include "lib/string.h"
#include "user/user_internal.h"

#define FRAMES_MAX     16u
#define REGIONS_MAX    40u
#define REPORTS_SECOND 3u
#define ULL(x)         ((unsigned long long)(x))

static bool allowed(struct user_state *user)
{
    plat_ns now = plat_time_now();
    bool irqs = spin_lock(&user->lock);
    bool yes;

    if (now - user->report_window > 1000000000u) {
        user->report_window = now;
        user->reports = 0;
    }
    yes = user->reports++ < REPORTS_SECOND;
    spin_unlock(&user->lock, irqs);
    return yes;
}

static void print_registers(const struct plat_user_regs *r)
{
    static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
                                          "rsi", "rdi", "r8",  "r9",  "r10", "r11",
                                          "r12", "r13", "r14", "r15"};

    for (unsigned i = 0; i < 16; i += 4)
        vmk_log(VMK_LOG_INFO, "User:   %3s %016llx %3s %016llx %3s %016llx %3s %016llx",
                names[i], ULL(r->gpr[i]), names[i + 1], ULL(r->gpr[i + 1]), names[i + 2],
                ULL(r->gpr[i + 2]), names[i + 3], ULL(r->gpr[i + 3]));
    vmk_log(VMK_LOG_INFO, "User:   rip %016llx flags %llx fs %llx gs %llx", ULL(r->rip),
            ULL(r->rflags), ULL(r->fs_base), ULL(r->gs_base));
}

static void print_regions(struct aspace *as)
{
    struct aspace_region_info info;
    uint64_t at = 0;
    unsigned count = 0;

    while (count++ < REGIONS_MAX && aspace_region_next(as, at, &info)) {
        vmk_log(VMK_LOG_INFO, "User:   %012llx-%012llx %c%c%c%c %s", ULL(info.start),
                ULL(info.end), info.protection & ASPACE_READ ? 'r' : '-',
                info.protection & ASPACE_WRITE ? 'w' : '-',
                info.protection & ASPACE_EXEC ? 'x' : '-', info.shared ? 's' : 'p',
                info.kind == ASPACE_REGION_HEAP    ? "[heap]"
                : info.kind == ASPACE_REGION_STACK ? "[stack]"
                                                   : info.name);
        at = info.end;
    }
}

static void print_backtrace(struct thread *t)
{
    uint64_t frame = t->regs.gpr[5];

    for (unsigned i = 0; i < FRAMES_MAX; i++) {
        uint64_t pair[2];

        if ((frame & 7) || aspace_copy_in(t->as, pair, frame, sizeof(pair)) != VMK_OK ||
            pair[1] == 0)
            break;
        vmk_log(VMK_LOG_INFO, "User:   called from %016llx", ULL(pair[1]));
        if (pair[0] <= frame)
            break;
        frame = pair[0];
    }
}

void core_report(struct thread *t, int signal, const struct l_siginfo *info)
{
    struct process *p = t->process;
    uint8_t code[16];
    char text[3 * sizeof(code) + 1] = "not readable";

    if (!allowed(user_state()))
        return;
    vmk_log(VMK_LOG_INFO, "User: %s (%u, thread %u) ends by signal %d, code %d, address %llx",
            p->name, p->pid, t->tid, signal, info->code, ULL(info->address));
    print_registers(&t->regs);
    if (aspace_copy_in(t->as, code, t->regs.rip, sizeof(code)) == VMK_OK) {
        for (unsigned i = 0; i < sizeof(code); i++)
            vmk_snprintf(text + 3 * i, 4, "%02x ", code[i]);
    }
    vmk_log(VMK_LOG_INFO, "User:   code %s", text);
    print_backtrace(t);
    print_regions(t->as);
}
