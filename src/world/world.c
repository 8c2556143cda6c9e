// SPDX-License-Identifier: BSD-2-Clause
/*
 * world/world.c -- the life of worlds: create, end, kill, wait, find.
 *
 * A world that ended stays as a zombie until somebody collects its exit code, as processes do,
 * because its parent may ask late. Several may ask: the first gets the code, the rest
 * NOT_FOUND, and the last one out frees the struct (refs).
 *
 * Invariants
 *   - Ids grow and are never reused.
 *   - refs = 1 for the table + everybody inside world_wait() for it; freed at 0.
 *   - A stack is freed only after its world's last switch: the reaper takes the scheduler's
 *     lock and sees ZOMBIE (reap()).
 * Locking    world.lock (rank WORLD) for table, refs and reaped; exit_waiters.lock for exited.
 * Start at   world_create(), world_exit(), world_wait().
 */
#include "world/world.h"

#include "core/assert.h"
#include "core/core.h"
#include "core/heap.h"
#include "core/log.h"
#include "core/trace.h"
#include "lib/string.h"
#include "mem/page.h"
#include "sched/sched_internal.h"
#include "world/world_internal.h"

HOST_STATE(world);

static uint32_t current_id(void)
{
    const struct world *w = sched_own()->current;

    return w ? w->id.raw : 0;
}

static void name_set(struct world *w, const char *name)
{
    size_t length = MIN(strlen(name), (size_t)WORLD_NAME_SIZE - 1);

    memcpy(w->name, name, length);
    w->name[length] = 0;
}

uint32_t world_id_take(void)
{
    struct world_state *worlds = this_host()->world;
    bool irqs = spin_lock(&worlds->lock);
    uint32_t id = worlds->next_id++;

    spin_unlock(&worlds->lock, irqs);
    return id;
}

static void world_prepare(struct world *w, uint32_t id, const char *name)
{
    w->id.raw = id;
    name_set(w, name);
    w->refs = 1;
    list_init(&w->wait_link);
    list_init(&w->all_link);
    wait_queue_init(&w->exit_waiters, "world exit");
}

/* The running context becomes this CPU's idle world. */
static void idle_adopt(void)
{
    struct world_state *worlds = this_host()->world;
    bool irqs = plat_irq_save();
    unsigned cpu = plat_cpu_self();
    struct world *w = &worlds->idle[cpu];
    char name[] = "idle00";

    name[4] = (char)('0' + cpu / 10);
    name[5] = (char)('0' + cpu % 10);
    world_prepare(w, cpu + 1, name);
    sched_cpu_online(w);
    spin_lock_irqs_off(&worlds->lock);
    list_add_tail(&worlds->all, &w->all_link);
    spin_unlock_irqs_off(&worlds->lock);
    plat_irq_restore(irqs);
}

void world_init(void)
{
    struct world_state *worlds = this_host()->world;

    spin_init(&worlds->lock, "worlds", LOCK_RANK_WORLD);
    list_init(&worlds->all);
    worlds->next_id = WORLD_ID_FIRST;
    core_world_id_hook(current_id);
    idle_adopt();
}

void world_cpu_main(void)
{
    idle_adopt();
    world_idle_loop();
}

struct world *world_current(void)
{
    bool irqs = plat_irq_save();
    struct world *w = sched_own()->current;

    plat_irq_restore(irqs);
    return w;
}

static void world_free(struct world *w)
{
    if (w->stack) {
        plat_context_release(&w->context);
        page_free(paddr_to_mpn(plat_unmap_address(w->stack)), WORLD_STACK_ORDER,
                  MEM_OWNER_WORLD);
    }
    heap_free(w);
}

vmk_status world_create(const struct world_params *params, world_id *id)
{
    struct world_state *worlds = this_host()->world;
    struct world *w;
    mpn_t stack;
    vmk_status status;

    if (!params->entry || !params->name)
        return VMK_BAD_PARAM;
    w = heap_alloc(sizeof(*w), MEM_OWNER_WORLD);
    if (!w)
        return VMK_NO_MEMORY;
    if (page_alloc(WORLD_STACK_ORDER, MEM_OWNER_WORLD, &stack) != VMK_OK) {
        heap_free(w);
        return VMK_NO_MEMORY;
    }

    bool irqs = spin_lock(&worlds->lock);

    world_prepare(w, worlds->next_id++, params->name);
    worlds->count++;
    w->entry = params->entry;
    w->argument = params->argument;
    w->switch_in = params->switch_in;
    w->switch_out = params->switch_out;
    w->owner = params->owner;
    w->stack = mpn_map(stack);
    w->stack_size = (size_t)(PAGE_SIZE << WORLD_STACK_ORDER);
    *(uint64_t *)w->stack = WORLD_STACK_MARK;
    plat_context_init(&w->context, w->stack, w->stack_size, world_begin, w);
    list_add_tail(&worlds->all, &w->all_link);
    *id = w->id;
    TRACE(world_name, .id = w->id.raw, .kind = RECORD_name_kind_WORLD,
          .name = trace_text16(w->name));
    /* Under the lock, or the new world could run, end and be freed before it is readied. */
    status = sched_world_add(w, &params->sched, params->affinity, params->vcpu);
    if (status == VMK_OK) {
        sched_ready(w, WAKE_REASON_NEW);
    } else {
        list_remove(&w->all_link);
        worlds->count--;
    }
    spin_unlock(&worlds->lock, irqs);
    if (status != VMK_OK)
        world_free(w);
    return status;
}

void world_exit(int code)
{
    (void)plat_irq_save();

    struct world *w = sched_own()->current;

    vmk_assert_msg(w != sched_own()->idle, "an idle world may not exit");
    spin_lock_irqs_off(&w->exit_waiters.lock);
    w->exit_code = code;
    w->exited = true;
    spin_unlock_irqs_off(&w->exit_waiters.lock);
    (void)wait_queue_wake(&w->exit_waiters, WAIT_QUEUE_ALL);
    sched_current_stop(SCHED_STATE_ZOMBIE);
    sched_switch_away();
    vmk_unreachable();
}

/* Lock held. Null if there is none, or it was reaped; idle worlds are found like others. */
static struct world *find_locked(struct world_state *worlds, world_id id)
{
    list_for_each (node, &worlds->all) {
        struct world *w = list_entry(node, struct world, all_link);

        if (w->id.raw == id.raw)
            return w;
    }
    return NULL;
}

/* Waits for the last switch of a world that has `exited`: a few instructions of another CPU. */
static void wait_for_last_switch(struct world *w)
{
    while (!sched_world_is_gone(w))
        plat_cpu_relax();
    sched_world_remove(w);
}

/* Gives back one reference; true if it was the last. Irqs off. */
static bool put(struct world_state *worlds, struct world *w, uint32_t count)
{
    spin_lock_irqs_off(&worlds->lock);
    w->refs -= count;

    bool last = w->refs == 0;

    spin_unlock_irqs_off(&worlds->lock);
    return last;
}

/* Takes an exited world off the table; false if somebody was faster. Irqs off. */
static bool reap(struct world_state *worlds, struct world *w)
{
    spin_lock_irqs_off(&worlds->lock);

    bool first = !w->reaped;

    if (first) {
        w->reaped = true;
        list_remove(&w->all_link);
        worlds->count--;
    }
    spin_unlock_irqs_off(&worlds->lock);
    if (first)
        wait_for_last_switch(w);
    return first;
}

vmk_status world_wait(world_id id, plat_ns deadline, int *code)
{
    struct world_state *worlds = this_host()->world;
    vmk_status status = VMK_OK;
    uint32_t references = 1;
    bool irqs = spin_lock(&worlds->lock);
    struct world *w = find_locked(worlds, id);

    if (!w || id.raw < WORLD_ID_FIRST) {
        spin_unlock(&worlds->lock, irqs);
        return VMK_NOT_FOUND;
    }
    w->refs++;
    spin_unlock_irqs_off(&worlds->lock);

    for (;;) {
        spin_lock_irqs_off(&w->exit_waiters.lock);
        if (w->exited) {
            spin_unlock_irqs_off(&w->exit_waiters.lock);
            status = VMK_OK;
            break;
        }
        if (status != VMK_OK) {
            spin_unlock_irqs_off(&w->exit_waiters.lock);
            break;
        }
        status = wait_queue_block(&w->exit_waiters, deadline);
    }

    if (status == VMK_OK) {
        if (reap(worlds, w)) {
            *code = w->exit_code;
            references++;  // the table's
        } else {
            status = VMK_NOT_FOUND;
        }
    }
    if (put(worlds, w, references))
        world_free(w);
    plat_irq_restore(irqs);
    return status;
}

vmk_status world_kill(world_id id)
{
    struct world_state *worlds = this_host()->world;
    bool irqs = spin_lock(&worlds->lock);
    struct world *w = find_locked(worlds, id);

    if (w && id.raw >= WORLD_ID_FIRST) {
        world_wake_for_kill(w);
        /* If it runs, its CPU should look soon. */
        plat_cpu_kick(__atomic_load_n(&w->sched.cpu, __ATOMIC_RELAXED));
    }
    spin_unlock(&worlds->lock, irqs);
    return w && id.raw >= WORLD_ID_FIRST ? VMK_OK : VMK_NOT_FOUND;
}

bool world_kill_pending(void)
{
    return world_is_killed(world_current());
}

vmk_status world_sleep_until(plat_ns deadline)
{
    struct wait_queue nobody;
    bool irqs = plat_irq_save();
    vmk_status status;

    wait_queue_init(&nobody, "sleep");
    spin_lock_irqs_off(&nobody.lock);
    status = wait_queue_block(&nobody, deadline);
    plat_irq_restore(irqs);
    return status == VMK_TIMEOUT ? VMK_OK : status;
}

vmk_status world_times_get(world_id id, struct world_times *out)
{
    struct world_state *worlds = this_host()->world;
    bool irqs = spin_lock(&worlds->lock);
    struct world *w = find_locked(worlds, id);

    if (w) {
        struct sched_times t;

        sched_world_times(w, &t);
        *out = (struct world_times){.run = t.run,
                                    .ready = t.ready,
                                    .costop = t.costop,
                                    .wait = t.wait,
                                    .system = t.system,
                                    .overlap = t.overlap,
                                    .created = t.created,
                                    .switches = t.switches};
    }
    spin_unlock(&worlds->lock, irqs);
    return w ? VMK_OK : VMK_NOT_FOUND;
}

void world_for_all(void (*visit)(struct world *, void *), void *argument)
{
    struct world_state *worlds = this_host()->world;
    bool irqs = spin_lock(&worlds->lock);

    list_for_each (node, &worlds->all)
        visit(list_entry(node, struct world, all_link), argument);
    spin_unlock(&worlds->lock, irqs);
}
