// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vmm_mem_proc.c -- /proc/vmware/sched/mem: who has how much memory, and changing its shares and bounds; memlatency.
 *
 * Read: the host, then a line per VM, MB but for id and shares. Written: "ID shares N", "ID min
 * MB", "ID max MB" ("ID max -1": none); it holds at once.
 *
 * Locking    none of its own.
 */
#include "core/log.h"
#include "fs/proc/procfs.h"
#include "lib/string.h"
#include "mem/page.h"
#include "vmm/vm.h"
#include "vmm/vm_swap.h"
#include "vmm/vmm_mem.h"
#include "vmm/vmm_state.h"

#define MB(pages) ((unsigned long long)(pages) / 256)

static vmk_status show(struct procfs_text *out, void *argument)
{
    struct memsched_summary s;
    struct memsched_node n;
    record_text16 name;
    size_t length;

    (void)argument;
    if (!vmm_mem_host(&s)) {
        procfs_printf(out, "the memory scheduler does not run: no VM can\n");
        return VMK_OK;
    }
    procfs_printf(out, "managed %llu MB free %llu MB minfree %llu MB level %s", MB(s.managed),
                  MB(s.free), MB(s.min_free), memsched_level_name(s.level));
    procfs_printf(out,
                  " inputs %llu refused %llu reallocations %llu least-free %llu MB "
                  "floor %llu MB\n",
                  (unsigned long long)s.inputs, (unsigned long long)s.refused,
                  (unsigned long long)s.reallocations, MB(page_free_least()), MB(s.floor));
    procfs_printf(out, "id shares min max size granted held active target balloon "
                       "balloontgt shared compressed swapped swaptgt blocked name\n");
    for (uint32_t slot = 0; slot < MEMSCHED_NODES_MAX; slot++) {
        if (!vmm_mem_row(slot, &n, &name))
            continue;
        procfs_printf(out, "%u %u %llu ", n.id, n.shares, MB(n.min));
        if (n.max == MEMSCHED_UNLIMITED)
            procfs_printf(out, "-1 ");
        else
            procfs_printf(out, "%llu ", MB(n.max));
        procfs_printf(out, "%llu %llu %llu %llu %llu %llu %llu ", MB(n.size), MB(n.touched),
                      MB(memsched_held(&n)), MB(memsched_active_pages(&n)),
                      MB(n.target.entitlement), MB(n.ballooned), MB(n.target.balloon));
        procfs_printf(out, "%llu %llu %llu %llu %u ", MB(n.saved), MB(n.compressed),
                      MB(n.swapped), MB(n.target.swap), n.target.blocked);
        for (length = 0; length < sizeof(name.text) && name.text[length];)
            length++;
        procfs_write(out, name.text, length);
        procfs_printf(out, "\n");
    }
    return VMK_OK;
}

/* A decimal number below 2^32 at *at, stepped over. */
static bool number(const char **at, uint32_t *out)
{
    uint64_t value = 0;
    const char *c = *at;

    for (; *c >= '0' && *c <= '9' && value <= UINT32_MAX; c++)
        value = value * 10 + (uint64_t)(*c - '0');
    if (c == *at || value > UINT32_MAX)
        return false;
    *at = c;
    *out = (uint32_t)value;
    return true;
}

static vmk_status change(const char *text)
{
    static const struct {
        const char *word;
        enum memsched_op op;
    } words[] = {{" shares ", MEMSCHED_SET_SHARES},
                 {" min ", MEMSCHED_SET_MIN},
                 {" max ", MEMSCHED_SET_MAX}};
    uint32_t id, value;

    if (!number(&text, &id) || id == MEMSCHED_ROOT_ID)
        return VMK_BAD_PARAM;
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        size_t length = strlen(words[i].word);

        if (strncmp(text, words[i].word, length) != 0)
            continue;
        text += length;
        if (words[i].op == MEMSCHED_SET_MAX && !strncmp(text, "-1", 2)) {
            value = MEMSCHED_UNLIMITED;
            text += 2;
        } else if (!number(&text, &value)) {
            return VMK_BAD_PARAM;
        } else if (words[i].op != MEMSCHED_SET_SHARES) {
            if (value > UINT32_MAX / 256 - 1)
                return VMK_BAD_PARAM;
            value *= 256;
        }
        if (words[i].op == MEMSCHED_SET_SHARES && (value == 0 || value > 10000000))
            return VMK_BAD_PARAM;
        return *text == '\0' || *text == '\n' ? vmm_mem_set(words[i].op, id, value)
                                              : VMK_BAD_PARAM;
    }
    return VMK_BAD_PARAM;
}

static vmk_status store(const char *text, size_t length, void *argument)
{
    vmk_status status = change(text);

    (void)length;
    (void)argument;
    if (status == VMK_BAD_PARAM)
        vmk_log(VMK_LOG_WARN,
                "Mem: /proc/vmware/sched/mem takes \"ID shares N\", \"ID min MB\" "
                "no more than the VM's size, or \"ID max MB\" no less than min");
    return status;
}

/* How long reclamation took, and who waited for it; ns since power-on. */
static vmk_status latency_show(struct procfs_text *out, void *argument)
{
    (void)argument;
    procfs_printf(out, "id what count p50ns p99ns maxns name\n");
    for (unsigned i = 0; i < VMM_VMS_MAX; i++) {
        struct vm *vm = vm_table_hold(i);

        for (unsigned kind = 0; vm && kind < VM_SWAP_LATENCY_COUNT; kind++) {
            struct vm_swap_latency l;

            vm_swap_latency_get(vm, (enum vm_swap_latency_kind)kind, &l);
            procfs_printf(out, "%u %s %llu %llu %llu %llu %s\n", vm->mem_id,
                          vm_swap_latency_name((enum vm_swap_latency_kind)kind),
                          (unsigned long long)l.count, (unsigned long long)l.p50,
                          (unsigned long long)l.p99, (unsigned long long)l.most,
                          vm->config.name);
        }
        if (vm)
            vm_table_release(vm);
    }
    return VMK_OK;
}

static void add(const char *path, procfs_show read, procfs_store write)
{
    vmk_status status = procfs_register(path, read, write, NULL);

    if (status != VMK_OK)
        vmk_log(VMK_LOG_WARN, "Mem: no /proc/%s: %s", path, vmk_status_text(status));
}

void vmm_mem_proc_start(void)
{
    add("vmware/sched/mem", show, store);
    add("vmware/sched/memlatency", latency_show, NULL);
}
