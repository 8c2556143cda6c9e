// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxcli_sched.c -- esxcli sched: what worlds, VMs and pools may have of the CPUs.
 *
 * Invariants: none.
 * Locking    none: one thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agents/vmtools/esxcli.h"
#include "sched/esxtop.h"

static void limit_add(struct records *r, uint32_t mhz)
{
    if (mhz == VMK_UNLIMITED || mhz == 0)
        records_text(r, "Max", "unlimited");
    else
        records_text(r, "Max", "%u", mhz);
}

static void group_list_add(struct records *r, const struct call *call, const void *entry)
{
    const struct sched_sample *s = entry;

    (void)call;
    if (s->kind != SCHED_SAMPLE_POOL && s->kind != SCHED_SAMPLE_VM)
        return;
    records_add(r, NULL);
    records_number(r, "Id", s->id);
    records_number(r, "Parent", s->parent);
    records_text(r, "Kind", s->kind == SCHED_SAMPLE_VM ? "vm" : "pool");
    records_number(r, "Worlds", s->worlds);
    records_number(r, "Shares", s->shares);
    records_number(r, "Min", s->min_mhz);
    limit_add(r, s->max_mhz);
    records_text(r, "Name", "%s", s->name);
}

static int group_list(const struct call *call)
{
    return list_records(call, RECORDS_TABLE, "SchedGroup", VMK_LIST_SAMPLES,
                        sizeof(struct sched_sample), group_list_add);
}

static void world_list_add(struct records *r, const struct call *call, const void *entry)
{
    static const char *const states[] = {"new", "ready", "run", "wait", "costop", "ended"};
    const struct vmk_world *w = entry;

    (void)call;
    records_add(r, NULL);
    records_number(r, "Id", w->world_id);
    records_number(r, "Group", w->group_id);
    records_text(r, "State", "%s", w->state < COUNT_OF(states) ? states[w->state] : "?");
    records_number(r, "CPU", w->cpu);
    records_number(r, "Shares", w->shares);
    records_number(r, "Min", w->min_mhz);
    limit_add(r, w->max_mhz);
    records_text(r, "Affinity", "%#llx", (unsigned long long)w->affinity);
    records_text(r, "Name", "%s", w->name);
}

static int world_list(const struct call *call)
{
    return list_records(call, RECORDS_TABLE, "SchedWorld", VMK_LIST_WORLDS,
                        sizeof(struct vmk_world), world_list_add);
}

static int set(const struct call *call)
{
    struct vmk_sched_set s = {.id = (uint32_t)option_number("id", call->values[0], UINT32_MAX)};

    if (call->values[1]) {
        s.what |= VMK_SET_SHARES;
        s.shares = (uint32_t)option_number("shares", call->values[1], UINT32_MAX);
    }
    if (call->values[2]) {
        s.what |= VMK_SET_MIN;
        s.min_mhz = (uint32_t)option_number("min", call->values[2], UINT32_MAX);
    }
    if (call->values[3]) {
        s.what |= VMK_SET_MAX;
        s.max_mhz = strcmp(call->values[3], "unlimited") == 0
                        ? VMK_UNLIMITED
                        : (uint32_t)option_number("max", call->values[3], UINT32_MAX);
    }
    if (call->values[4]) {
        s.what |= VMK_SET_AFFINITY;
        s.affinity = option_number("affinity", call->values[4], UINT64_MAX);
    }
    if (call->values[5]) {
        s.what |= VMK_SET_POOL;
        s.pool_id = (uint32_t)option_number("group", call->values[5], UINT32_MAX);
    }
    if (!s.what)
        fail(EXIT_USAGE, "sched set: nothing to set; --help lists what can be");
    if (vmk_call(device(), VMK_SCHED_SET, &s, sizeof(s)) < 0)
        fail(errno == ENOENT ? EXIT_NO : EXIT_FAILED, "sched set: %u: %s%s", s.id,
             strerror(errno),
             errno == ENOENT   ? ": no world or group has that id"
             : errno == EPERM  ? ": root may; the owner of a VM may divide its shares"
             : errno == EINVAL ? ": a value is out of range"
                               : "");
    if (s.reason[0])
        fail(EXIT_FAILED, "sched set: %u: %s", s.id, s.reason);
    return EXIT_DONE;
}

static const struct option_row set_options[] = {
    {'i', "id", false, true, "a world or group, as the lists show them"},
    {'s', "shares", false, false, "its weight among its siblings (1000 is normal)"},
    {'m', "min", false, false, "reservation, MHz"},
    {'x', "max", false, false, "limit, MHz, or unlimited"},
    {'a', "affinity", false, false, "mask of CPUs, of a world"},
    {'g', "group", false, false, "the group it hangs in from now on"},
};

const struct esxcli_command esxcli_sched[] = {
    {"sched group list", "List resource pools and VMs as the scheduler has them.", group_list,
     NULL, 0},
    {"sched world list", "List worlds with their state and settings.", world_list, NULL, 0},
    {"sched set", "Set what a world or group may have of the CPUs.", set, set_options,
     COUNT_OF(set_options)},
    {NULL, NULL, NULL, NULL, 0},
};
