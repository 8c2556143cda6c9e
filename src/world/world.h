// SPDX-License-Identifier: BSD-2-Clause
/*
 * world/world.h -- worlds: what the scheduler schedules.
 *
 * A kernel (helper) world, a user world's thread or a vCPU. Ids are never reused while the host
 * is up. A world's state, times, CPU and affinity are its scheduler entity's (sched/machine.h).
 */
#pragma once

#include "core/status.h"
#include "lib/list.h"
#include "plat/plat.h"
#include "sched/sched.h"
#include "world/waitq.h"

typedef struct {
    uint32_t raw;
} world_id;

#define WORLD_NAME_SIZE 24u

/* struct sched_times in short. */
struct world_times {
    plat_ns run, ready, costop, wait;  // sum is exactly now - created
    plat_ns system, overlap;           // work for it in others' time, for others in its own
    plat_ns created;
    uint64_t switches;
};

struct world {
    // Set once by world_create().
    world_id id;                 // (i)
    char name[WORLD_NAME_SIZE];  // (i)
    void (*entry)(void *);       // (i)
    void *argument;              // (i)
    void *stack;                 // (i) null for idle worlds of the boot stacks
    size_t stack_size;           // (i)

    struct sched_entity sched;  // the scheduler's lock; unused in idle worlds

    // Waiting: guarded by the wait queue's lock.
    struct wait_queue *waiting_on;
    struct list wait_link;
    bool wait_timed_out;
    enum wait_kind wait_kind;
    enum sched_world_state waits_for;  // own: what the next block is booked as; 0: WAIT

    // World table lock.
    struct list all_link;
    struct wait_queue exit_waiters;
    int exit_code;
    bool kill_pending;       // (a)
    bool interrupt_pending;  // (a) a signal waits: interruptible waits end
    uint32_t kill_refs;      // (a) killers that may touch the queue it waits on
    bool exited;             // exit_waiters.lock: exit_code is final
    bool reaped;             // somebody collected exit_code
    uint32_t refs;           // the table and everybody in world_wait()

    struct plat_context context;  // (c) owning CPU
    /*
     * Called around every switch, on the CPU, irqs off, scheduler's lock held: the VMM loads
     * and puts its vCPU here. May be null.
     */
    void (*switch_in)(struct world *);
    void (*switch_out)(struct world *);
    void *owner;  // struct vcpu for a VMM world
};

/* In the lowest bytes of every stack: a switch finds it gone when the stack ran over. */
#define WORLD_STACK_MARK 0x6f76657272756e21ull

struct world_params {
    const char *name;
    void (*entry)(void *);
    void *argument;
    struct sched_params sched;  // shares and so on; zero means the defaults
    bool vcpu;          // one of a VM's that are scheduled together; sched.pool is the VM
    uint64_t affinity;  // 0 means every CPU
    void (*switch_in)(struct world *);
    void (*switch_out)(struct world *);
    void *owner;
};

/* CPU 0, after mem_init() and sched_init(): makes the boot context the idle world of CPU 0. */
void world_init(void);
/* On a secondary CPU: its boot context becomes its idle world; never returns. */
noreturn_fn void world_cpu_main(void);
/* Idle loop of CPU 0 when boot is done. */
noreturn_fn void world_idle_loop(void);

/* Makes a world and readies it. LIMIT: no room for its reservation. Any world context. */
must_check vmk_status world_create(const struct world_params *params, world_id *id);
/*
 * The current world ends with that code; its stack is left before it is freed. Not for idle
 * worlds. [switch]
 */
noreturn_fn void world_exit(int code);
/* Blocks until that world ended, collects its code and frees it. NOT_FOUND, KILLED, TIMEOUT. */
must_check vmk_status world_wait(world_id id, plat_ns deadline, int *code);
/* Tells it to end: its next block, or world_kill_pending(), says so. NOT_FOUND. */
must_check vmk_status world_kill(world_id id);
/* Was the current world told to end? Who loops without blocking asks. */
bool world_kill_pending(void);

/*
 * For signals: waits of kind WAIT_SIGNALS of that world end with INTERRUPTED, now and until it
 * calls world_interrupt_clear(), which says whether there was an interruption. The caller keeps
 * `w` from being freed. No lock of rank WAITQ or above held.
 */
void world_interrupt(struct world *w);
bool world_interrupt_clear(void);

/* The running world; the idle world counts. Any context with irqs off, or a world. */
struct world *world_current(void);
/*
 * What the current world's next block is booked as: WAIT_IDLE (a halted guest), WAIT_IO,
 * WAIT_SWAP.
 */
void world_waits_for(enum sched_world_state what);
/* Sleeps until then. [switch] */
must_check vmk_status world_sleep_until(plat_ns deadline);
/* Gives up the CPU if somebody else should have it. Irqs any. [switch] */
void world_yield(void);
/* Exact times of a world up to now. */
must_check vmk_status world_times_get(world_id id, struct world_times *out);
/* Calls visit() for every world, under the table lock. */
void world_for_all(void (*visit)(struct world *, void *), void *argument);
