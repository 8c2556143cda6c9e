// SPDX-License-Identifier: BSD-2-Clause
/*
 * fs/proc/proc_trace.c -- the trace recorder under /proc/vmware/trace.
 *
 *   classes            which classes are on; write "sched,vm", "all" or "none" to change it
 *   status             what was recorded and lost
 *   metadata, pcpuN, sys  the complete packets that the rings hold now: copied into one
 *                         directory of their own they are a CTF trace
 *
 * A packet is copied while its CPU may be writing the next ones: after the copy the ring is
 * asked whether that slot was still this packet's.
 *
 * Invariants
 *   - Writing "classes" in a way that is not understood changes nothing.
 * Locking    none; see core/trace.c.
 */
#include "core/log.h"
#include "core/trace_control.h"
#include "fs/proc/proc_internal.h"
#include "lib/ascii.h"
#include "lib/format.h"
#include "plat/plat.h"
#include "sched/sched.h"

static vmk_status show_classes(struct procfs_text *out, void *argument)
{
    uint32_t classes = trace_classes();
    bool any = false;

    (void)argument;
    for (unsigned bit = 0; trace_class_name(bit); bit++) {
        if (!(classes & BIT(bit)))
            continue;
        for (const char *c = trace_class_name(bit); *c; c++)
            procfs_printf(out, "%s%c", any && c == trace_class_name(bit) ? "," : "",
                          ascii_lower(*c));
        any = true;
    }
    procfs_printf(out, "%s\n", any ? "" : "none");
    return VMK_OK;
}

static vmk_status store_classes(const char *text, size_t length, void *argument)
{
    char words[96];
    const char *bad;
    uint32_t classes;
    vmk_status status;
    bool was_off;

    (void)argument;
    if (!procfs_line(text, length, words, sizeof(words)))
        return VMK_BAD_PARAM;
    if (!trace_classes_parse(words, &classes, &bad)) {
        vmk_log(
            VMK_LOG_INFO,
            "Trace: /proc/vmware/trace/classes: \"%s\" is no class; there are sched, vm, mem, "
            "io, user, trace, all and none",
            bad);
        return VMK_BAD_PARAM;
    }
    was_off = !trace_classes();
    status = trace_classes_set(classes);
    if (status == VMK_OK && was_off)
        status = sched_names_record();  // of who came before
    if (status != VMK_OK)
        vmk_log(VMK_LOG_INFO, "Trace: cannot record: %s", vmk_status_text(status));
    return status;
}

static vmk_status show_status(struct procfs_text *out, void *argument)
{
    struct trace_totals sum;

    (void)argument;
    trace_totals_get(&sum);
    procfs_printf(out,
                  "records %llu\npackets %llu\ndiscarded %llu\noverwritten %llu\n"
                  "refused_nmi %llu\nstepped_back %llu\nwriter_waits %llu\nbytes_sent %llu\n",
                  (unsigned long long)sum.records, (unsigned long long)sum.packets,
                  (unsigned long long)sum.discarded, (unsigned long long)sum.overwritten,
                  (unsigned long long)sum.refused, (unsigned long long)sum.stepped_back,
                  (unsigned long long)sum.waits, (unsigned long long)sum.bytes);
    return VMK_OK;
}

static vmk_status show_metadata(struct procfs_text *out, void *argument)
{
    char *text = heap_alloc(TRACE_METADATA_MAX, MEM_OWNER_TRACE);

    (void)argument;
    if (!text)
        return VMK_NO_MEMORY;

    size_t length = trace_metadata(this_host()->trace, text, TRACE_METADATA_MAX);

    procfs_write(out, text, MIN(length, (size_t)TRACE_METADATA_MAX - 1));
    heap_free(text);
    return VMK_OK;
}

static vmk_status show_stream(struct procfs_text *out, void *argument)
{
    unsigned stream = (unsigned)(uintptr_t)argument;
    uint64_t number = 0;
    void *packet = heap_alloc(TRACE_PACKET_SIZE, MEM_OWNER_TRACE);

    if (!packet)
        return VMK_NO_MEMORY;
    for (; trace_packet_copy(stream, &number, packet); number++)
        procfs_write(out, packet, TRACE_PACKET_SIZE);
    heap_free(packet);
    return VMK_OK;
}

vmk_status procfs_trace_register(void)
{
    static const struct {
        const char *name;
        procfs_show show;
        procfs_store store;
    } nodes[] = {
        {"vmware/trace/classes", show_classes, store_classes},
        {"vmware/trace/status", show_status, NULL},
        {"vmware/trace/metadata", show_metadata, NULL},
    };
    vmk_status status = VMK_OK;
    char name[32];

    for (size_t i = 0; i < ARRAY_COUNT(nodes) && status == VMK_OK; i++)
        status = procfs_register(nodes[i].name, nodes[i].show, nodes[i].store, NULL);
    for (unsigned cpu = 0; cpu < plat_cpu_count() && status == VMK_OK; cpu++) {
        vmk_snprintf(name, sizeof(name), "vmware/trace/pcpu%u", cpu);
        status = procfs_register(name, show_stream, NULL, (void *)(uintptr_t)cpu);
    }
    if (status == VMK_OK)
        status = procfs_register("vmware/trace/sys", show_stream, NULL,
                                 (void *)(uintptr_t)TRACE_SYS);
    return status;
}
