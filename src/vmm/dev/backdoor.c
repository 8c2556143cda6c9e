// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/backdoor.c -- VMware's backdoor: an IN from port 5658 that is a call to the monitor.
 *
 * A guest that finds it learns its TSC frequency (GETHZ) and skips every calibration against
 * emulated timers. The call is: EAX magic, CX command, EBX argument, EDX port; results come
 * back in the same registers. Without the magic the port is nobody's. Any privilege level may
 * call, as on VMware's products, so nothing here tells more than CPUID or changes anything.
 *
 * Invariants
 *   - A known magic is always answered; an unknown command gives EAX = all ones.
 *   - Results are written as 32-bit registers: the upper halves become zero.
 * A message (command 30) is answered in ring 3, by the VM's vmx: the vCPU waits (vm_client.c).
 *
 * Locking    none: the configuration is immutable, the registers are the running vCPU's own.
 * Sources    [VMX-BACKDOOR] commands 1..68
 */
#include "lib/string.h"
#include "vmm/vm.h"
#include "vmm/vm_client.h"

#define BACKDOOR_PORT  0x5658u
#define BACKDOOR_MAGIC 0x564d5868u
#define LAPIC_BUS_HZ   1000000000u
#define HW_VERSION     13u

enum backdoor_command {
    CMD_GETMHZ = 1,
    CMD_GETVERSION = 10,
    CMD_GETHWVERSION = 17,
    CMD_GETUUID = 19,
    CMD_GETMEMSIZE = 20,
    CMD_GETTIME = 23,
    CMD_MESSAGE = 30,
    CMD_GETHZ = 45,
    CMD_GETTIMEFULL = 46,
    CMD_GETVCPU_INFO = 68,
};
#define VERSION_NUMBER        6u
#define PRODUCT_ESX           2u
#define VCPU_LEGACY_X2APIC_OK BIT(3)

struct backdoor_result {
    uint32_t eax, ebx, ecx, edx, esi;
};

static void time_fill(struct backdoor_result *out, bool full)
{
    plat_ns now = plat_time_now();
    uint64_t seconds = plat_wall_time_at_boot() + now / 1000000000u;

    out->ebx = (uint32_t)(now % 1000000000u / 1000u);  // microseconds
    out->ecx = 1000000;                                // the most we may lag, microseconds
    if (full) {
        out->eax = BACKDOOR_MAGIC;
        out->esi = (uint32_t)(seconds >> 32);
        out->edx = (uint32_t)seconds;
    } else {
        out->eax = (uint32_t)seconds;
        out->edx = 0;  // minutes west of UTC
    }
}

static void command_run(const struct vm *vm, unsigned command, struct backdoor_result *out)
{
    uint64_t hz = plat_tsc_khz() * 1000;

    switch (command) {
    case CMD_GETMHZ: out->eax = (uint32_t)(plat_tsc_khz() / 1000); break;
    case CMD_GETVERSION:
        out->eax = VERSION_NUMBER;
        out->ebx = BACKDOOR_MAGIC;
        out->ecx = PRODUCT_ESX;
        break;
    case CMD_GETHWVERSION: out->eax = HW_VERSION; break;
    case CMD_GETUUID:
        memcpy(&out->eax, vm->config.uuid + 0, 4);
        memcpy(&out->ebx, vm->config.uuid + 4, 4);
        memcpy(&out->ecx, vm->config.uuid + 8, 4);
        memcpy(&out->edx, vm->config.uuid + 12, 4);
        break;
    case CMD_GETMEMSIZE: out->eax = vm->config.memory_mb; break;
    case CMD_GETTIME: time_fill(out, false); break;
    case CMD_GETTIMEFULL: time_fill(out, true); break;
    case CMD_GETHZ:
        out->eax = (uint32_t)hz;
        out->ebx = (uint32_t)(hz >> 32);
        out->ecx = LAPIC_BUS_HZ;
        break;
    case CMD_GETVCPU_INFO: out->eax = VCPU_LEGACY_X2APIC_OK; break;
    default: out->eax = UINT32_MAX; break;
    }
}

/* A message of the guest: its channels are the vmx's. False: nobody answers. */
static bool message(struct vcpu *v)
{
    static const uint8_t order[VM_CALL_REGS] = {GPR_RAX, GPR_RBX, GPR_RCX,
                                                GPR_RDX, GPR_RSI, GPR_RDI};
    uint32_t regs[VM_CALL_REGS];

    for (unsigned i = 0; i < VM_CALL_REGS; i++)
        regs[i] = (uint32_t)v->regs.gpr[order[i]];
    if (!v->vm->client || !vm_client_call(v, VM_CALL_BACKDOOR, regs))
        return false;
    for (unsigned i = 0; i < VM_CALL_REGS; i++)
        v->regs.gpr[order[i]] = regs[i];
    return true;
}

bool vcpu_backdoor(struct vcpu *v, uint16_t port, bool in)
{
    uint64_t *gpr = v->regs.gpr;
    unsigned command;
    struct backdoor_result r = {
        .eax = (uint32_t)gpr[GPR_RAX],
        .ebx = (uint32_t)gpr[GPR_RBX],
        .ecx = (uint32_t)gpr[GPR_RCX],
        .edx = (uint32_t)gpr[GPR_RDX],
        .esi = (uint32_t)gpr[GPR_RSI],
    };

    if (port != BACKDOOR_PORT || !in || r.eax != BACKDOOR_MAGIC)
        return false;
    command = r.ecx & 0xffff;
    if (command == CMD_MESSAGE && message(v))
        return true;
    command_run(v->vm, command, &r);
    gpr[GPR_RAX] = r.eax;
    gpr[GPR_RBX] = r.ebx;
    gpr[GPR_RCX] = r.ecx;
    gpr[GPR_RDX] = r.edx;
    if (command == CMD_GETTIMEFULL)
        gpr[GPR_RSI] = r.esi;
    return true;
}
