// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxcli_vm.c -- esxcli vm: what runs, and ending it.
 *
 * Invariants: none.
 * Locking    none: one thread.
 * Sources    [ESXCLI] "vm process"
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agents/vmtools/esxcli.h"

static void process_list_add(struct records *r, const struct call *call, const void *entry)
{
    const struct vmk_vm *v = entry;

    (void)call;
    if (v->state == VMK_VM_NEW || v->state == VMK_VM_OFF)
        return;
    records_add(r, v->name);
    records_number(r, "World ID", v->world_id);
    records_number(r, "Process ID", 0);
    records_number(r, "VMX Cartel ID", v->cartel_id);
    records_text(r, "UUID", "%s", uuid_text(v->uuid));
    records_text(r, "Display Name", "%s", v->name);
    records_text(r, "Config File", "%s", v->config_file);
}

static int process_list(const struct call *call)
{
    return list_records(call, RECORDS_SIMPLE, "VirtualMachine", VMK_LIST_VMS,
                        sizeof(struct vmk_vm), process_list_add);
}

static int process_kill(const struct call *call)
{
    static const char *const types[] = {"", "soft", "hard", "force"};
    struct vmk_vm_kill k = {
        .world_id = (uint32_t)option_number("world-id", call->values[1], UINT32_MAX)};

    for (uint32_t i = VMK_KILL_SOFT; i <= VMK_KILL_FORCE; i++) {
        if (strcmp(call->values[0], types[i]) == 0)
            k.how = i;
    }
    if (!k.how)
        fail(EXIT_USAGE, "vm process kill: --type=%s: must be soft, hard or force",
             call->values[0]);
    if (vmk_call(device(), VMK_VM_KILL, &k, sizeof(k)) == 0)
        return EXIT_DONE;
    if (errno == ENOENT)
        fail(EXIT_NO,
             "Unable to find a virtual machine with the world ID \"%u\"; `esxcli vm process "
             "list` "
             "shows them",
             k.world_id);
    fail(EXIT_FAILED, "vm process kill: world %u: %s%s", k.world_id, strerror(errno),
         errno == EPERM ? ": only its owner or root may" : "");
}

static const struct option_row kill_options[] = {
    {'t', "type", false, true, "soft (its vmx shuts it down), hard (its vmx is killed), force"},
    {'w', "world-id", false, true, "as `vm process list` shows it"},
};

const struct esxcli_command esxcli_vm[] = {
    {"vm process list", "List the virtual machines on this system.", process_list, NULL, 0},
    {"vm process kill", "Forcibly kill the running virtual machine process.", process_kill,
     kill_options, COUNT_OF(kill_options)},
    {NULL, NULL, NULL, NULL, 0},
};
