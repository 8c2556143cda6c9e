// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/model/test_host.c -- a brought-up host for unit tests.
 *
 * The platform cannot bring up the kernel, because it is below it; this is the smallest boot.
 *
 * Invariants
 *   - After sim_test_begin() the calling thread is CPU 0 and its idle world, irqs off.
 * Locking    none.
 */
#include "core/assert.h"
#include "core/core.h"
#include "io/io.h"
#include "mem/page.h"
#include "sched/sched_internal.h"
#include "sim/platform/sim.h"
#include "world/world.h"

void sim_test_begin(void)
{
    sim_test_begin_cpus(1);
}

void sim_test_begin_cpus(unsigned cpus)
{
    core_init();
    mem_init();
    sched_init();
    world_init();
    io_init();
    for (unsigned i = 1; i < cpus; i++)
        vmk_assert(plat_cpu_start(i, world_cpu_main));
}

struct test_run {
    void (*entry)(void *);
    void *argument;
};

static void run_entry(void *argument)
{
    struct test_run *run = argument;

    run->entry(run->argument);
}

/*
 * The idle world may not block, so it idles until the world is a zombie and then collects it.
 */
static void look(struct world *w, void *argument)
{
    world_id *id = argument;

    if (w->id.raw == id->raw && __atomic_load_n(&w->exited, __ATOMIC_RELAXED))
        id->raw = 0;
}

void sim_test_run(void (*entry)(void *), void *argument)
{
    struct test_run run = {entry, argument};
    /* Pinned: its last switch then brings CPU 0 back to the loop below. */
    const struct world_params params = {
        .name = "test", .entry = run_entry, .argument = &run, .affinity = 1};
    world_id id;
    world_id ended;
    int code;

    vmk_assert(world_create(&params, &id) == VMK_OK);
    (void)plat_irq_save();
    for (ended = id; ended.raw;) {
        sched_idle_once();
        world_for_all(look, &ended);
    }
    vmk_assert(world_wait(id, PLAT_NS_NEVER, &code) == VMK_OK);
}
