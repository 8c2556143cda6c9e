// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/loader.c -- puts a guest kernel into memory and vCPU 0 at its first instruction.
 *
 * There is no firmware: the kernel's own boot protocol replaces it. The file's bytes decide the
 * format, bzImage or Multiboot, and the loader of that format says how the processor starts;
 * here are the parts both need. A guest that loads must find the same machine each time, so a
 * reset comes through here again with memory as the guest left it: what a protocol promises to
 * be zero is zeroed.
 *
 * Invariants
 *   - Only vCPU 0 runs afterwards; the others wait for a SIPI as after power-on.
 *   - A bad file is an error with the file's name and the field, never an assertion.
 * Locking    vm->lock not held; the VM is not running.
 * Sources    [LINUX-BOOT]; [MULTIBOOT]
 */
#include "vmm/loader.h"

#include "core/log.h"
#include "lib/format.h"
#include "vmm/dev/acpi_tables.h"
#include "vmm/dev/bios.h"

/* Segment rights: present, S, G; code: execute, read, accessed; data: read, write, accessed. */
#define RIGHTS_CODE_64 0xa09bu
#define RIGHTS_CODE_32 0xc09bu
#define RIGHTS_DATA    0xc093u
#define RIGHTS_TSS     0x008bu
#define RIGHTS_LDT     0x0082u

/* ---- vCPU 0 ---- */

static void segments_set(struct vcpu *v, const struct loader_entry *e)
{
    const struct vt_backend *back = vt();
    struct vt_segment code = {.selector = e->code_selector,
                              .limit = UINT32_MAX,
                              .rights = e->long_mode ? RIGHTS_CODE_64 : RIGHTS_CODE_32};
    struct vt_segment data = {
        .selector = e->data_selector, .limit = UINT32_MAX, .rights = RIGHTS_DATA};
    struct vt_segment tss = {.limit = 0xffff, .rights = RIGHTS_TSS};
    struct vt_segment ldt = {.limit = 0xffff, .rights = RIGHTS_LDT | VT_SEG_UNUSABLE};
    struct vt_segment gdtr = {.base = e->gdt_base, .limit = e->gdt_limit};
    struct vt_segment idtr = {.limit = 0};

    back->set_segment(v, VT_CS, &code);
    back->set_segment(v, VT_SS, &data);
    back->set_segment(v, VT_DS, &data);
    back->set_segment(v, VT_ES, &data);
    back->set_segment(v, VT_FS, &data);
    back->set_segment(v, VT_GS, &data);
    back->set_segment(v, VT_TR, &tss);
    back->set_segment(v, VT_LDTR, &ldt);
    back->set_segment(v, VT_GDTR, &gdtr);
    back->set_segment(v, VT_IDTR, &idtr);
}

void loader_vcpu_start(struct vcpu *v, const struct loader_entry *e)
{
    const struct vt_backend *back = vt();

    for (unsigned i = 0; i < ARRAY_COUNT(v->regs.gpr); i++)
        v->regs.gpr[i] = 0;
    v->regs.gpr[GPR_RAX] = e->rax;
    v->regs.gpr[GPR_RBX] = e->rbx;
    v->regs.gpr[GPR_RSI] = e->rsi;
    // Long mode's order: PAE and CR3 and EFER.LME first, paging last.
    back->set(v, VT_CR3, e->cr3);
    back->set(v, VT_CR4, e->long_mode ? CR4_PAE : 0);
    back->set(v, VT_EFER, e->long_mode ? EFER_LME : 0);
    back->set(v, VT_CR0, CR0_PE | CR0_ET | CR0_NE | (e->long_mode ? CR0_PG : 0));
    back->set(v, VT_EFER, e->long_mode ? EFER_LME | EFER_LMA : 0);
    segments_set(v, e);
    back->set(v, VT_RFLAGS, 0x2);
    back->set(v, VT_RSP, e->rsp);
    back->set(v, VT_RIP, e->rip);
    v->state = VCPU_RUNNING;
}

/* ---- files ---- */

static vmk_status file_find(const struct vm *vm, const char *key, const char *name,
                            const uint8_t **data, size_t *size)
{
    const void *found;
    vmk_status status = boot_file_find(name, &found, size);

    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR, "Loader: %s: %s: no file \"%s\" among the boot modules",
                vm->config.name, key, name);
        return status;
    }
    *data = found;
    return VMK_OK;
}

/*
 * orrery.initrd: one file, or several with commas between. What follows a file's name after a
 * space is for the guest: a Multiboot kernel is given both as the module's string.
 */
static vmk_status modules_find(struct vm *vm, struct loader_files *files)
{
    const char *at = vm->config.initrd;

    while (*at) {
        struct loader_module *m = &files->modules[files->module_count];
        char name[VM_NAME_SIZE];
        size_t length = 0;
        vmk_status status;

        while (*at == ' ')
            at++;
        if (files->module_count == LOADER_MODULES) {
            vmk_log(VMK_LOG_ERROR, "Loader: %s: orrery.initrd: more than %u files",
                    vm->config.name, LOADER_MODULES);
            return VMK_LIMIT;
        }
        m->text = at;
        while (at[length] && at[length] != ',' && at[length] != ' ')
            length++;
        if (length >= sizeof(name)) {
            vmk_log(VMK_LOG_ERROR, "Loader: %s: orrery.initrd: a name of more than %u letters",
                    vm->config.name, VM_NAME_SIZE - 1);
            return VMK_LIMIT;
        }
        vmk_snprintf(name, sizeof(name), "%.*s", (int)length, at);
        status = file_find(vm, "orrery.initrd", name, &m->data, &m->size);
        if (status != VMK_OK)
            return status;
        while (at[length] && at[length] != ',')
            length++;
        m->text_size = length;
        files->module_count++;
        at += length;
        if (*at == ',')
            at++;
    }
    return VMK_OK;
}

vmk_status vm_load_kernel(struct vm *vm)
{
    struct loader_files files = {0};
    struct loader_entry entry = {0};
    gpa_t rsdp;
    vmk_status status;

    if (vm->bios)
        return bios_load(vm);
    status =
        file_find(vm, "orrery.kernel", vm->config.kernel, &files.kernel, &files.kernel_size);
    if (status != VMK_OK)
        return status;
    status = modules_find(vm, &files);
    if (status != VMK_OK)
        return status;
    status = vm_write_tables(vm, &rsdp);
    if (status != VMK_OK)
        return status;
    if (linux_is_image(files.kernel, files.kernel_size)) {
        status = linux_load(vm, &files, rsdp, &entry);
    } else if (multiboot_is_image(files.kernel, files.kernel_size)) {
        status = multiboot_load(vm, &files, &entry);
    } else {
        vmk_log(VMK_LOG_ERROR, "Loader: %s: %s: neither a bzImage nor a Multiboot kernel",
                vm->config.name, vm->config.kernel);
        status = VMK_BAD_FORMAT;
    }
    if (status != VMK_OK)
        return status;
    loader_vcpu_start(vm->vcpus[0], &entry);
    vmk_log(VMK_LOG_INFO, "Loader: %s: %s: %llu KB, entry 0x%llx", vm->config.name,
            vm->config.kernel, (unsigned long long)files.kernel_size / 1024,
            (unsigned long long)entry.rip);
    return VMK_OK;
}
