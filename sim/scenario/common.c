// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/common.c -- what scenarios share: spawn, join, the accounting check.
 *
 * Invariants
 *   - A scenario never goes on after a failed step.
 * Locking    none of its own.
 */
#include "sim/scenario/scenario.h"

world_id scenario_spawn(const char *name, void (*entry)(void *), void *argument,
                        uint32_t shares, uint64_t affinity)
{
    const struct world_params params = {.name = name,
                                        .entry = entry,
                                        .argument = argument,
                                        .sched.shares = shares,
                                        .affinity = affinity};
    world_id id;
    vmk_status status = world_create(&params, &id);

    sim_check(status == VMK_OK, "world_create: %s", vmk_status_name(status));
    return id;
}

int scenario_join(world_id id)
{
    int code = -1;
    vmk_status status = world_wait(id, PLAT_NS_NEVER, &code);

    sim_check(status == VMK_OK, "world_wait(%u): %s", id.raw, vmk_status_name(status));
    return code;
}

#define IDS_MAX 4096u
struct ids {
    world_id id[IDS_MAX];
    unsigned count;
};

static void collect(struct world *w, void *argument)
{
    struct ids *ids = argument;

    if (ids->count < IDS_MAX)
        ids->id[ids->count++] = w->id;
}

void scenario_check_times(void)
{
    struct ids ids = {.count = 0};

    world_for_all(collect, &ids);
    for (unsigned i = 0; i < ids.count; i++) {
        struct world_times t;
        plat_ns before = plat_time_now();

        if (world_times_get(ids.id[i], &t) != VMK_OK)
            continue;

        plat_ns sum = t.run + t.ready + t.costop + t.wait;

        sim_check(sum >= before - t.created && sum <= plat_time_now() - t.created,
                  "world %u: times add up to %llu", ids.id[i].raw, (unsigned long long)sum);
    }
}
