// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxcli_memory.c -- esxcli sched memory and swap: what the host and each VM have, and may have, of memory.
 *
 * Amounts are MB with two digits, as esxtop shows them.
 *
 * Invariants: none.
 * Locking    none: one thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/vmtools/esxcli.h"

static void mb(struct records *r, const char *name, uint64_t kb)
{
    records_text(r, name, "%llu.%02llu", (unsigned long long)kb / 1024,
                 (unsigned long long)kb % 1024 * 100 / 1024);
}

static int host_get(const struct call *call)
{
    struct records *r = records_begin(RECORDS_SIMPLE, "SchedMemoryHost", false);
    struct vmk_host_memory m;

    vmk_memory_get(&m);
    records_add(r, NULL);
    mb(r, "Total", m.total_kb);
    mb(r, "Kernel", m.kernel_kb);
    mb(r, "Free", m.free_kb);
    mb(r, "Least Free", m.least_free_kb);
    mb(r, "Managed", m.managed_kb);
    mb(r, "Min Free", m.min_free_kb);
    mb(r, "Floor", m.floor_kb);
    mb(r, "Reserved", m.reserved_kb);
    mb(r, "Unreserved", m.unreserved_kb);
    records_text(r, "State", "%s", m.level_name[0] ? m.level_name : "off");
    records_text(r, "Overcommit", "%u.%02u, %u.%02u, %u.%02u", m.overcommit[0] / 2048,
                 m.overcommit[0] % 2048 * 100 / 2048, m.overcommit[1] / 2048,
                 m.overcommit[1] % 2048 * 100 / 2048, m.overcommit[2] / 2048,
                 m.overcommit[2] % 2048 * 100 / 2048);
    mb(r, "Configured", m.size_kb);
    mb(r, "Shared", m.shared_kb);
    mb(r, "Common", m.common_kb);
    mb(r, "Zero", m.zero_kb);
    mb(r, "Saved by Sharing", m.shared_kb - m.common_kb);
    records_number(r, "Pages Scanned", m.scanned);
    records_number(r, "Pages Joined", m.joined);
    records_number(r, "Pages Left", m.broken);
    records_number(r, "Hints", m.hints);
    mb(r, "Balloon", m.balloon_kb);
    mb(r, "Balloon Target", m.balloon_target_kb);
    mb(r, "Balloon Max", m.balloon_max_kb);
    mb(r, "Compressed", m.compressed_kb);
    mb(r, "Compression Cache", m.cache_kb);
    mb(r, "Swapped", m.swapped_kb);
    mb(r, "Swap Target", m.swap_target_kb);
    records_number(r, "Pages Swapped In", m.swapped_in_pages);
    records_number(r, "Pages Swapped Out", m.swapped_out_pages);
    records_end(r, call->form);
    return EXIT_DONE;
}

static int swap_get(const struct call *call)
{
    struct records *r = records_begin(RECORDS_SIMPLE, "SchedSwapSystem", false);
    struct vmk_swap s;
    bool datastore, disk;

    vmk_swap_get(&s);
    datastore = s.place == VMK_SWAP_DATASTORE;
    disk = s.place == VMK_SWAP_DEVICE;
    records_add(r, NULL);
    records_flag(r, "Datastore Active", s.active && datastore);
    records_flag(r, "Datastore Enabled", datastore);
    records_text(r, "Datastore Name", "%s", datastore ? s.name : "");
    records_number(r, "Datastore Order", 0);
    records_flag(r, "Device Active", s.active && disk);
    records_flag(r, "Device Enabled", disk);
    records_text(r, "Device Name", "%s", disk ? s.name : "");
    mb(r, "Size", s.size_kb);
    mb(r, "Used", s.used_kb);
    records_number(r, "Pages Swapped Out", s.swapped_out_pages);
    records_number(r, "Pages Swapped In", s.swapped_in_pages);
    records_number(r, "Errors", s.errors);
    records_number(r, "Waits", s.waits);
    records_number(r, "Waited Microseconds", s.waited_ns / 1000);
    records_end(r, call->form);
    return EXIT_DONE;
}

static bool is_yes(const char *word, const char *text)
{
    if (strcmp(text, "true") && strcmp(text, "false") && strcmp(text, "1") && strcmp(text, "0"))
        fail(EXIT_USAGE, "sched swap system set: --%s=%s: true or false", word, text);
    return strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
}

static int swap_set(const struct call *call)
{
    const char *enabled = call->values[0], *name = call->values[1], *disk = call->values[2];
    struct vmk_swap_set s = {.place = disk ? VMK_SWAP_DEVICE : VMK_SWAP_DATASTORE};
    struct vmk_swap now;

    if (name && disk)
        fail(EXIT_USAGE, "sched swap system set: --datastore-name or --device, not both");
    if (!enabled && !name && !disk)
        fail(EXIT_USAGE, "sched swap system set: nothing to set; --help lists what can be");
    vmk_swap_get(&now);
    if (enabled && !is_yes("datastore-enabled", enabled)) {
        s.place = VMK_SWAP_NOWHERE;
        name = "";
    } else if (disk) {
        name = disk;
    } else if (!name) {
        name = now.place == VMK_SWAP_DATASTORE ? now.name : "datastore1";
    }
    name_put(s.name, sizeof(s.name), name);
    if (vmk_call(device(), VMK_SWAP_SET, &s, sizeof(s)) < 0)
        fail(EXIT_FAILED, "sched swap system set: %s: %s%s", *name ? name : "off",
             strerror(errno),
             errno == EBUSY    ? ": there is no memory for what is swapped out now"
             : errno == EINVAL ? ": that is no name of a datastore or device"
             : errno == EPERM  ? ": only root may"
             : errno == ENOENT || errno == ENXIO ? ": there is no such datastore or device"
                                                 : "");
    return EXIT_DONE;
}

static const struct option_row swap_options[] = {
    {'d', "datastore-enabled", false, false, "true or false: swap user worlds"},
    {'n', "datastore-name", false, false, "the datastore with the file; by default datastore1"},
    {'D', "device", false, false, "a disk or partition instead, whose contents are lost"},
};

static int vm_list(const struct call *call)
{
    struct records *r = records_begin(RECORDS_TABLE, "SchedMemoryVM", true);
    uint32_t count;
    struct vmk_vm_memory *all = vmk_list_get(VMK_LIST_VM_MEMORY, sizeof(*all), &count);

    for (uint32_t i = 0; i < count; i++) {
        const struct vmk_vm_memory *m = &all[i];

        records_add(r, NULL);
        records_number(r, "Id", m->memory_id);
        records_number(r, "Group", m->group_id);
        records_number(r, "Shares", m->shares);
        mb(r, "Min", m->min_kb);
        if (m->max_kb == UINT64_MAX)
            records_text(r, "Max", "unlimited");
        else
            mb(r, "Max", m->max_kb);
        mb(r, "Size", m->size_kb);
        mb(r, "Granted", m->granted_kb);
        mb(r, "Held", m->held_kb);
        mb(r, "Target", m->target_kb);
        mb(r, "Active", m->active_kb);
        mb(r, "Balloon", m->balloon_kb);
        mb(r, "Balloon Target", m->balloon_target_kb);
        mb(r, "Shared", m->shared_kb);
        mb(r, "Zero", m->zero_kb);
        mb(r, "Saved", m->saved_kb);
        mb(r, "Hints", m->hints_kb);
        mb(r, "Compressed", m->compressed_kb);
        mb(r, "Cache", m->cache_kb);
        mb(r, "Swapped", m->swapped_kb);
        mb(r, "Swap Target", m->swap_target_kb);
        mb(r, "Overhead", m->overhead_kb);
        if (m->least_kb)
            mb(r, "Least Held", m->least_kb);
        else
            records_text(r, "Least Held", "-");
        records_flag(r, "Blocked", m->flags & VMK_VM_BLOCKED);
        records_text(r, "Name", "%s", m->name);
    }
    free(all);
    records_end(r, call->form);
    return EXIT_DONE;
}

/* What the driver in the guest calls by the same words (its debugfs file). */
static int balloon_list(const struct call *call)
{
    struct records *r = records_begin(RECORDS_TABLE, "SchedMemoryBalloon", true);
    uint32_t count;
    struct vmk_vm_memory *all = vmk_list_get(VMK_LIST_VM_MEMORY, sizeof(*all), &count);

    for (uint32_t i = 0; i < count; i++) {
        const struct vmk_vm_memory *m = &all[i];

        records_add(r, NULL);
        records_number(r, "Group", m->group_id);
        records_flag(r, "Driver", m->flags & VMK_VM_BALLOON);
        records_number(r, "Target Pages", m->balloon_target_kb / 4);
        records_number(r, "Pages", m->balloon_kb / 4);
        records_number(r, "Max Pages", m->balloon_max_kb / 4);
        records_number(r, "Locks", m->balloon_locks);
        records_number(r, "Unlocks", m->balloon_unlocks);
        records_number(r, "Refused", m->balloon_refused);
        records_number(r, "Resets", m->balloon_resets);
        records_text(r, "Name", "%s", m->name);
    }
    free(all);
    records_end(r, call->form);
    return EXIT_DONE;
}

static int set(const struct call *call)
{
    struct vmk_memory_set s = {.id =
                                   (uint32_t)option_number("id", call->values[0], UINT32_MAX)};

    if (call->values[1]) {
        s.what |= VMK_SET_SHARES;
        s.shares = (uint32_t)option_number("shares", call->values[1], UINT32_MAX);
    }
    if (call->values[2]) {
        s.what |= VMK_SET_MIN;
        s.min_mb = (uint32_t)option_number("min", call->values[2], UINT32_MAX);
    }
    if (call->values[3]) {
        s.what |= VMK_SET_MAX;
        s.max_mb = strcmp(call->values[3], "unlimited") == 0
                       ? VMK_UNLIMITED
                       : (uint32_t)option_number("max", call->values[3], UINT32_MAX);
    }
    if (!s.what)
        fail(EXIT_USAGE, "sched memory set: nothing to set; --help lists what can be");
    if (vmk_call(device(), VMK_MEMORY_SET, &s, sizeof(s)) < 0)
        fail(errno == ENOENT ? EXIT_NO : EXIT_FAILED, "sched memory set: %u: %s%s", s.id,
             strerror(errno),
             errno == ENOENT  ? ": no VM has that id; `esxcli sched memory list` shows them"
             : errno == EPERM ? ": only root may"
             : errno == EINVAL
                 ? ": a value is out of range (min is at most the VM's size, max at least min)"
                 : "");
    if (s.reason[0])
        fail(EXIT_FAILED, "sched memory set: %u: %s", s.id, s.reason);
    return EXIT_DONE;
}

static const struct option_row set_options[] = {
    {'i', "id", false, true, "a VM, as `sched memory list` shows it"},
    {'s', "shares", false, false, "its weight among its siblings (10 for each MB is normal)"},
    {'m', "min", false, false, "reservation, MB"},
    {'x', "max", false, false, "limit, MB, or unlimited"},
};

const struct esxcli_command esxcli_memory[] = {
    {"sched memory get", "What the host has of memory, and how short it is.", host_get, NULL,
     0},
    {"sched memory list", "What each VM has of memory, and what it should have.", vm_list, NULL,
     0},
    {"sched memory balloon list", "The balloon of each VM, in pages.", balloon_list, NULL, 0},
    {"sched memory set", "Set what a VM may have of the host's memory.", set, set_options,
     COUNT_OF(set_options)},
    {"sched swap system get", "Where pages of the host's own programs are swapped to.",
     swap_get, NULL, 0},
    {"sched swap system set", "Set where they are swapped to; it holds until the next boot.",
     swap_set, swap_options, COUNT_OF(swap_options)},
    {NULL, NULL, NULL, NULL, 0},
};
