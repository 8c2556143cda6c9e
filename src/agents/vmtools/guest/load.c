// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/guest/load.c -- the kernel's loaders of guest kernels, at work in ring 3.
 *
 * src/vmm/loader_linux.c and loader_multiboot.c know a struct vm by its configuration and its
 * number of pages, and reach memory by vm_memory_write(). Here that is pwrite() on the VM's
 * descriptor, so a file that is meant to confuse a loader confuses a process of the VM's owner
 * and not the kernel. Why not the other way round: docs/adr/0004-the-vmx-loads-its-guest.md.
 *
 * Invariants
 *   - `machine` below has the sizes that VMK_VM_CREATE answered; nothing else of struct vm is
 *     used.
 * Locking    none: one thread, one load at a time.
 */
#include "agents/vmtools/guest/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "lib/string.h"
#include "vmm/loader.h"

static int descriptor = -1;
static void (*teller)(const char *text);

/* ---- what the loaders call ---- */

void vmk_log(enum vmk_log_level level, const char *format, ...)
{
    char text[512];
    va_list arguments;

    if (level > VMK_LOG_INFO || !teller)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    teller(text);
}

void *heap_alloc(size_t size, enum mem_owner owner)
{
    (void)owner;
    return calloc(1, size);
}

void heap_free(void *pointer)
{
    free(pointer);
}

vmk_status vm_memory_write(struct vm *vm, gpa_t gpa, const void *in, size_t size)
{
    const char *from = in;
    uint64_t at = gpa.raw;

    (void)vm;
    while (size > 0) {
        ssize_t n = pwrite(descriptor, from, size, (off_t)at);

        if (n <= 0)
            return n < 0 && errno == ENOMEM ? VMK_NO_MEMORY : VMK_NOT_FOUND;
        from += n;
        at += (uint64_t)n;
        size -= (size_t)n;
    }
    return VMK_OK;
}

/* ---- */

static struct vm *machine_make(const struct vmk_vm_create *c)
{
    struct vm *vm = calloc(1, sizeof(*vm));

    if (!vm)
        return NULL;
    vm->low_page_count = c->memory_low_bytes / PAGE_SIZE;
    vm->page_count = vm->low_page_count + c->memory_high_bytes / PAGE_SIZE;
    vm->vcpu_count = c->vcpus;
    snprintf(vm->config.name, sizeof(vm->config.name), "%s", c->name);
    snprintf(vm->config.kernel, sizeof(vm->config.kernel), "%.*s",
             (int)sizeof(vm->config.kernel) - 1, c->kernel);
    snprintf(vm->config.initrd, sizeof(vm->config.initrd), "%.*s",
             (int)sizeof(vm->config.initrd) - 1, c->initrd);
    snprintf(vm->config.cmdline, sizeof(vm->config.cmdline), "%s", c->cmdline);
    vm->config.memory_mb =
        (uint32_t)((c->memory_low_bytes + c->memory_high_bytes) / (1024 * 1024));
    return vm;
}

int guest_load(int vm_fd, const struct vmk_vm_create *c, const struct guest_files *files,
               uint64_t rsdp, struct vmk_vm_start *out, void (*say)(const char *text))
{
    struct loader_files loader_files = {.kernel = files->kernel,
                                        .kernel_size = files->kernel_size,
                                        .module_count = !!files->initrd};
    struct loader_entry entry = {0};
    struct vm *vm = machine_make(c);
    vmk_status status = VMK_NO_MEMORY;

    descriptor = vm_fd;
    teller = say;
    if (vm)
        loader_files.modules[0] = (struct loader_module){
            files->initrd, files->initrd_size, vm->config.initrd, strlen(vm->config.initrd)};
    if (!vm) {
        say("no memory to load the guest");
    } else if (linux_is_image(files->kernel, files->kernel_size)) {
        status = linux_load(vm, &loader_files, gpa_make(rsdp), &entry);
    } else if (multiboot_is_image(files->kernel, files->kernel_size)) {
        status = multiboot_load(vm, &loader_files, &entry);
    } else {
        status = VMK_BAD_FORMAT;
        vmk_log(VMK_LOG_ERROR, "Loader: %s: %s: neither a bzImage nor a Multiboot kernel",
                c->name, c->kernel);
    }
    free(vm);
    *out = (struct vmk_vm_start){
        .mode = entry.long_mode ? VMK_START_LONG : VMK_START_PROTECTED,
        .gdt_limit = entry.gdt_limit,
        .rip = entry.rip,
        .rsp = entry.rsp,
        .rax = entry.rax,
        .rbx = entry.rbx,
        .rsi = entry.rsi,
        .cr3 = entry.cr3,
        .gdt_base = entry.gdt_base,
        .code_selector = entry.code_selector,
        .data_selector = entry.data_selector,
    };
    return status == VMK_OK ? 0 : -1;
}
