// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vtx/vtx_dump.c -- a VMCS in the log by field name, and the reason of a failed entry.
 *
 * The CPU says only "bad guest state". So when an entry fails the whole VMCS is read into an
 * image, the software checker looks for the rule that is broken, and both go to the log.
 *
 * Invariants  fields the CPU does not have read as 0 and are not printed, like all zero fields.
 * Locking     none; the VMCS is current on this CPU.
 * Sources     SDM volume 3C, 26.2, 26.3 and 30.4 (error numbers)
 */
#include "core/log.h"
#include "lib/format.h"
#include "vmm/vm.h"
#include "vmm/vtx/vtx_internal.h"

void vmcs_image_read(struct vmcs_image *image)
{
    uint64_t error;

    // A VMREAD that fails is an error of its own, so the error of the entry is read first.
    if (!plat_vmread(VMCS_INSTRUCTION_ERROR, &error))
        error = 0;
    for (unsigned i = 0; i < VMCS_FIELD_COUNT; i++)
        if (!plat_vmread(vmcs_fields[i].encoding, &image->at[i]))
            image->at[i] = 0;
    image->at[VMCS_AT_INSTRUCTION_ERROR] = error;
}

static void image_log(const struct vmcs_image *image)
{
    enum {
        PER_LINE = 4
    };
    char line[200];
    size_t used = 0;
    unsigned on_line = 0;

    for (unsigned i = 0; i < VMCS_FIELD_COUNT; i++) {
        if (!image->at[i])
            continue;
        int n = vmk_snprintf(line + used, sizeof line - used, " %s=%llx", vmcs_fields[i].name,
                             (unsigned long long)image->at[i]);

        used = MIN(used + (size_t)n, sizeof line - 1);
        if (++on_line == PER_LINE) {
            vmk_log(VMK_LOG_INFO, "VT-x: %s", line);
            used = on_line = 0;
        }
    }
    if (on_line)
        vmk_log(VMK_LOG_INFO, "VT-x: %s", line);
}

static void regs_log(const struct vcpu *v)
{
    static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
                                          "rsi", "rdi", "r8",  "r9",  "r10", "r11",
                                          "r12", "r13", "r14", "r15"};

    for (unsigned i = 0; i < 16; i += 4)
        vmk_log(VMK_LOG_INFO, "VT-x:  %s=%llx %s=%llx %s=%llx %s=%llx", names[i],
                (unsigned long long)v->regs.gpr[i], names[i + 1],
                (unsigned long long)v->regs.gpr[i + 1], names[i + 2],
                (unsigned long long)v->regs.gpr[i + 2], names[i + 3],
                (unsigned long long)v->regs.gpr[i + 3]);
}

/* The image is too large for a world's stack to be sure of it. */
static struct vmcs_image *image_take(void)
{
    struct vmcs_image *image = heap_alloc(sizeof *image, MEM_OWNER_VMM);

    if (image)
        vmcs_image_read(image);
    return image;
}

static void dump_image(struct vcpu *v, const struct vmcs_image *image)
{
    const struct vtx_vcpu *x = vtx_of(v);

    vmk_log(VMK_LOG_INFO,
            "VT-x: VM %u vCPU %u: rip=%llx cr2=%llx, VMCS fields that are not 0:", v->vm->index,
            v->index, (unsigned long long)x->rip, (unsigned long long)v->regs.cr2);
    regs_log(v);
    image_log(image);
}

void vtx_dump(struct vcpu *v)
{
    struct vtx_vcpu *x = vtx_of(v);
    bool irqs = vtx_access_begin(x);
    struct vmcs_image *image = image_take();

    vtx_access_end(x, irqs);
    if (image)
        dump_image(v, image);
    heap_free(image);
}

const char *vtx_explain_failure(struct vcpu *v, const char *what)
{
    struct vmcs_image *image = image_take();
    const char *text = "no memory to look for the reason";
    enum vmx_rule rule;

    if (!image)
        return text;
    rule = vmx_check(image, &vtx_of(v)->cpu->facts);
    text = vmx_rule_text(rule);
    vmk_log(VMK_LOG_ERROR,
            "VT-x: %s: vCPU %u: entry failed: %s: rule %s: %s (exit reason %#llx, "
            "qualification %llu, "
            "instruction error %llu)",
            v->vm->config.name, v->index, what, vmx_rule_name(rule), text,
            (unsigned long long)image->at[VMCS_AT_EXIT_REASON],
            (unsigned long long)image->at[VMCS_AT_QUALIFICATION],
            (unsigned long long)image->at[VMCS_AT_INSTRUCTION_ERROR]);
    heap_free(image);
    return text;
}
