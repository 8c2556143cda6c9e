// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/unit/user_fixture.h -- a process that is real but for its ring 3: its calls are made in C.
 *
 * For tests and fuzzers of system calls. A failure of the fixture itself is abort().
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "core/log.h"
#include "mem/page.h"
#include "sim/engine/guest.h"
#include "sim/platform/sim.h"
#include "user/sysv.h"
#include "vmm/vmm_state.h"
#include "vmm/vt.h"

#define USER_FIXTURE_BUFFERS 32u  // pages that buffer_put() may keep

/* User worlds, and VMs on the engine; a body for sim_test_run(). */
static inline void user_fixture_up(void *unused)
{
    (void)unused;
    this_host()->vmm->backend = &vt_backend_unicorn;
    if (vt_init_cpu() != VMK_OK)
        abort();
    if (fs_init() != VMK_OK)
        abort();
    user_init();
}

/* A process whose one thread runs body(thread), which ends by user_fixture_exit(). */
static inline struct thread *user_fixture_start(void (*body)(void *thread))
{
    const struct vfs_where where = vfs_where_kernel();
    struct world_params params = {.name = "calls",
                                  .entry = body,
                                  .switch_in = thread_switch_in,
                                  .switch_out = thread_switch_out};
    struct process *p;
    struct thread *t;

    if (process_create(NULL, &p) != VMK_OK)
        abort();
    p->actions = heap_alloc(sizeof(*p->actions), MEM_OWNER_USER);
    p->actions->refs = 1;
    p->fds = fds_create();
    p->fs = fs_create(where.root, where.root, 022);
    if (mm_create(p, &p->mm) != VMK_OK || thread_create(p, &t) != VMK_OK)
        abort();
    t->as = p->mm->as;
    params.argument = params.owner = t;
    if (world_create(&params, &t->world_id) != VMK_OK)
        abort();
    return t;
}

/* The first thing in body(). */
static inline void user_fixture_begin(struct thread *t)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    t->world = world_current();
    spin_unlock(&user->lock, irqs);
}

static inline noreturn_fn void user_fixture_exit(struct thread *t)
{
    process_exit_begin(t->process, 0);
    thread_exit(t);
}

static inline void user_fixture_map(struct thread *t, uint64_t at, uint64_t size,
                                    unsigned protection)
{
    const struct aspace_map m = {
        .address = at, .size = size, .protection = protection, .fixed = true};
    uint64_t address;

    if (aspace_map(t->as, &m, &address) != VMK_OK)
        abort();
}

/* Arguments in the order of the ABI; signals are acted on as before a return to ring 3. */
static inline int64_t user_fixture_call(struct thread *t, uint64_t number,
                                        const uint64_t arguments[6])
{
    static const uint8_t order[6] = {7, 6, 2, 10, 8, 9};

    t->regs.gpr[0] = number;
    for (unsigned i = 0; i < 6; i++)
        t->regs.gpr[order[i]] = arguments[i];
    syscall_dispatch(t);
    if (__atomic_load_n(&t->work, __ATOMIC_SEQ_CST))
        signal_deliver(t);
    return (int64_t)t->regs.gpr[0];
}

static inline void user_fixture_kill_all(void)
{
    struct user_state *user = user_state();
    bool irqs = spin_lock(&user->lock);

    list_for_each (node, &user->processes)
        signal_send_locked(list_entry(node, struct process, all_link), NULL, L_SIGKILL, NULL);
    spin_unlock(&user->lock, irqs);
}

static inline void user_fixture_sleep_ms(unsigned ms)
{
    if (world_sleep_until(plat_time_now() + ms * 1000000ull) != VMK_OK)
        abort();
}

static inline bool user_fixture_ended(uint32_t pid)
{
    struct process *p = process_find(pid);
    bool gone = !p || p->state == PROCESS_ZOMBIE;

    if (p)
        process_put(p);
    return gone;
}

/* Until that process and all others are gone; who does not end within a second is killed. */
static inline void user_fixture_join(uint32_t pid)
{
    struct user_state *user = user_state();
    int status;

    for (unsigned i = 0; !user_fixture_ended(pid); i++) {
        user_fixture_sleep_ms(i < 10 ? 1 : 100);
        if (i > 20)
            user_fixture_kill_all();
        if (i > 1000)
            abort();  // a call that SIGKILL does not end
    }
    if (user_wait(pid, &status) != VMK_OK)
        abort();
    for (unsigned i = 0; user->thread_count || !list_is_empty(&user->processes); i++) {
        user_fixture_kill_all();
        user_fixture_sleep_ms(10);
        if (i > 1000)
            abort();
    }
    user_fixture_sleep_ms(10);  // the reaper
}

static inline void user_fixture_same(const char *what, uint64_t before, uint64_t now)
{
    if (before == now)
        return;
    fprintf(stderr, "user_fixture: %s: %llu, was %llu\n", what, (unsigned long long)now,
            (unsigned long long)before);
    abort();
}

/* A process that removes what others left of System V IPC, and starts its ids anew. */
static inline void user_fixture_remove_ipc(void *thread)
{
    struct sysv *sysv = sysv_state();
    const struct {
        struct sysv_ids *ids;
        uint64_t number;
        unsigned command_at;
    } kinds[] = {{&sysv->shm, 31, 1}, {&sysv->sem, 66, 2}, {&sysv->msg, 71, 1}};

    user_fixture_begin(thread);
    for (unsigned k = 0; k < ARRAY_COUNT(kinds); k++) {
        for (uint32_t i = 0; kinds[k].ids->count; i++) {
            const struct sysv_object *object = sysv_at(kinds[k].ids, i);
            uint64_t arguments[6] = {0};

            if (!object)
                continue;
            arguments[0] = (uint64_t)object->id;
            arguments[kinds[k].command_at] = L_IPC_RMID;
            if (user_fixture_call(thread, kinds[k].number, arguments))
                abort();
        }
        kinds[k].ids->last = UINT32_MAX;
        kinds[k].ids->sequence = 0;
    }
    user_fixture_exit(thread);
}

/*
 * Runs body in a process and waits for its end: memory of user worlds and of VMs is then what
 * it was before, but for cached copy buffers.
 */
static inline void user_fixture_run(void (*body)(void *thread))
{
    uint64_t user = heap_owned(MEM_OWNER_USER);
    uint64_t vmm = heap_owned(MEM_OWNER_VMM);
    uint64_t tables = page_owned_count(MEM_OWNER_P2M);

    user_fixture_join(user_fixture_start(body)->process->pid);
    if (sysv_state()->shm.count + sysv_state()->sem.count + sysv_state()->msg.count)
        user_fixture_join(user_fixture_start(user_fixture_remove_ipc)->process->pid);
    user_fixture_same("bytes of user worlds", user, heap_owned(MEM_OWNER_USER));
    user_fixture_same("bytes of VMs", vmm, heap_owned(MEM_OWNER_VMM));
    user_fixture_same("pages of tables", tables, page_owned_count(MEM_OWNER_P2M));
    user_fixture_same("pages of guests", 0, page_owned_count(MEM_OWNER_GUEST));
    if (page_owned_count(MEM_OWNER_USER) > USER_FIXTURE_BUFFERS)
        user_fixture_same("pages of user worlds", USER_FIXTURE_BUFFERS,
                          page_owned_count(MEM_OWNER_USER));
}

/* For fuzzers: one input; the host comes up at the first. */
static inline void user_fixture_fuzz(void (*one)(void *unused))
{
    static bool ready;

    if (!ready) {
        sim_test_begin();
        log_sinks_set(0);
        sim_test_run(user_fixture_up, NULL);
        ready = true;
    }
    sim_test_run(one, NULL);
}
