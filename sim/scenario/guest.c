// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/guest.c -- a whole virtual machine in the simulation, on the Unicorn back end.
 *
 * The same boot modules as in the image (a kernel and a .vmx file that names it), the same
 * vm_create() and vm_wait(); only the back end differs. What the guest wrote to its COM1 is
 * printed, and its status becomes the status of the run.
 *
 * Invariants
 *   - After the machine is destroyed nothing of it is left in the owner counts.
 * Locking    none.
 */
#include "sim/scenario/guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem/page.h"
#include "sim/engine/guest.h"
#include "sim/scenario/scenario.h"
#include "vmm/vm.h"
#include "vmm/vmm_mem.h"
#include "vmm/vmm_state.h"
#include "vmm/vmx_config.h"

static struct guest_options options;
static struct vm_config config;

/* The file's bytes, for good; null: errno. */
static void *file_read(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    char *data = NULL;
    size_t have = 0;
    size_t room = 0;

    *size = 0;
    while (f) {
        if (have == room) {
            room = room ? room * 2 : 1 << 16;
            data = realloc(data, room);
            if (!data)
                sim_fail("no memory for %s", path);
        }

        size_t n = fread(data + have, 1, room - have, f);

        if (!n)
            break;
        have += n;
    }
    if (f)
        fclose(f);
    *size = have;
    return data;
}

bool guest_prepare(const struct guest_options *wanted)
{
    char text[2048];
    char error[200];
    size_t size;
    void *kernel = file_read(wanted->file, &size);

    options = *wanted;
    if (!kernel) {
        fprintf(stderr, "orrery-sim: cannot read %s: %s\n", wanted->file, strerror(errno));
        return false;
    }
    sim_module_add("guest.elf", kernel, size);
    snprintf(text, sizeof(text),
             "config.version = \"8\"\nvirtualHW.version = \"20\"\ndisplayName = \"guest\"\n"
             "guestOS = \"other-64\"\nmemSize = \"%llu\"\nnumvcpus = \"%llu\"\n"
             "serial0.present = \"TRUE\"\nserial0.fileType = \"device\"\n"
             "serial0.fileName = \"com1\"\norrery.kernel = \"guest.elf\"\n"
             "orrery.cmdline = \"%s\"\n",
             (unsigned long long)(wanted->memory_mb ? wanted->memory_mb : 64),
             (unsigned long long)(wanted->vcpus ? wanted->vcpus : 1),
             wanted->append ? wanted->append : "");
    if (vmx_config_parse("guest.vmx", text, strlen(text), &config, error, sizeof(error)) !=
        VMK_OK) {
        fprintf(stderr, "orrery-sim: %s\n", error);
        return false;
    }
    return true;
}

static void print_exits(const struct vm *vm)
{
    for (unsigned kind = 0; kind < VM_EXIT_KIND_COUNT; kind++) {
        unsigned long long count = 0;

        for (unsigned i = 0; i < vm->vcpu_count; i++)
            count += vm->vcpus[i]->exit_counts[kind];
        if (count)
            printf("exits %-14s %llu\n", vm_exit_name((enum vm_exit_kind)kind), count);
    }
}

static void guest_run(unsigned host)
{
    uint64_t guest_pages = page_owned_count(MEM_OWNER_GUEST);
    uint64_t table_pages = page_owned_count(MEM_OWNER_P2M);
    const char *text;
    struct vm *vm;
    size_t length;
    vmk_status status;
    int result;

    (void)host;
    this_host()->vmm->backend = &vt_backend_unicorn;
    sim_check(vt_init_cpu() == VMK_OK, "the engine cannot run guests");
    vmm_mem_start();
    status = vm_create(&config, &vm);
    sim_check(status == VMK_OK, "%s: cannot make the machine: %s", options.file,
              vmk_status_text(status));
    status = vm_power_on(vm);
    sim_check(status == VMK_OK, "%s: cannot power on: %s", options.file,
              vmk_status_text(status));
    vm_wait(vm);
    text = sim_serial_text(0, &length);
    fwrite(text, 1, length, stdout);
    if (options.exits)
        print_exits(vm);
    result = vm->status;
    vm_destroy(vm);
    sim_check(result == 0, "%s: the guest ended with status %d", options.file, result);
    sim_check(page_owned_count(MEM_OWNER_GUEST) == guest_pages, "guest pages leaked");
    sim_check(page_owned_count(MEM_OWNER_P2M) == table_pages, "nested tables leaked");
}

const struct scenario scenario_guest = {.name = "guest",
                                        .what = "a guest from a file; see `orrery-sim guest`",
                                        .cpus = 2,
                                        .unlisted = true,
                                        .run = guest_run};
