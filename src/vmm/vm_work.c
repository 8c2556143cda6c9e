// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_work.c -- the world of a VM that does its devices' input and output.
 *
 * A device's registers are touched in a vCPU's world under the VM's lock with interrupts off:
 * no place to walk rings in guest memory, nor to call a disk that may answer before its
 * submit() returns. So a kick only queues a job, and one world per VM runs the jobs.
 * Completions come in any context and end the same way: on a list under the work lock, with the
 * job queued. ESX has such helper worlds too; this one is in the VM's group, so that what a
 * guest has done for it is the guest's time, and what a job computes is system time (%SYS) of
 * the vCPU that asked for it.
 *
 * Before power-on (and in unit tests) there is no world; then whoever waits runs the jobs.
 *
 * Invariants
 *   - job->queued exactly if it is on the list.
 *   - `running` is the job whose run() is on some stack; only one at a time.
 * Locking    queue.lock (rank WAITQ) guards everything here.
 */
#include "vmm/vm_work.h"

#include "core/assert.h"
#include "core/log.h"
#include "lib/format.h"
#include "sched/sched.h"
#include "vmm/vm.h"

struct vm_work {
    struct vm *vm;  // (i)
    struct wait_queue queue;
    struct list jobs;
    struct vm_job *running;
    bool stop;
    world_id world;  // raw 0: none
};

bool vm_work_lock(struct vm_work *work)
{
    return spin_lock(&work->queue.lock);
}

void vm_work_unlock(struct vm_work *work, bool irqs)
{
    spin_unlock(&work->queue.lock, irqs);
}

void vm_job_init(struct vm_job *job, void (*run)(struct vm_job *job))
{
    list_init(&job->link);
    job->queued = false;
    job->world = 0;
    job->run = run;
}

/*
 * Whom a job that is queued now is for. Completions come from elsewhere: for whoever asked
 * before, or the first vCPU. Lock held.
 */
static uint32_t asked_by(const struct vm_work *work, const struct vm_job *job)
{
    const struct vm *vm = work->vm;
    uint32_t current;

    if (!work->world.raw || !vm->vcpu_count)
        return 0;  // nobody to tell it apart from
    current = world_current()->id.raw;
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if (vm->vcpus[i]->world.raw == current)
            return current;
    }
    return job->world ? job->world : vm->vcpus[0]->world.raw;
}

void vm_job_queue(struct vm_work *work, struct vm_job *job)
{
    bool irqs = spin_lock(&work->queue.lock);
    bool fresh = !job->queued;

    job->world = asked_by(work, job);
    if (fresh) {
        job->queued = true;
        list_add_tail(&work->jobs, &job->link);
    }
    spin_unlock(&work->queue.lock, irqs);
    if (fresh)
        wait_queue_wake(&work->queue, WAIT_QUEUE_ALL);
}

/* Runs the first job. False: there is none. Lock held on entry and on return. */
static bool run_first(struct vm_work *work)
{
    struct vm_job *job;
    uint32_t whose;
    plat_ns before = 0;

    if (list_is_empty(&work->jobs))
        return false;
    job = list_entry(work->jobs.next, struct vm_job, link);
    list_remove(&job->link);
    job->queued = false;
    whose = work->world.raw ? job->world : 0;
    work->running = job;
    spin_unlock_irqs_off(&work->queue.lock);
    plat_irq_restore(true);
    if (whose)
        before = sched_run_time();
    job->run(job);  // it may be gone behind this
    if (whose)
        sched_system_time(whose, sched_run_time() - before);
    (void)plat_irq_save();
    spin_lock_irqs_off(&work->queue.lock);
    work->running = NULL;
    spin_unlock_irqs_off(&work->queue.lock);
    wait_queue_wake(&work->queue, WAIT_QUEUE_ALL);
    spin_lock_irqs_off(&work->queue.lock);
    return true;
}

/* Blocks until something changes. Lock held on entry and on return. */
static void sleep_locked(struct vm_work *work)
{
    vmk_assert(wait_queue_block_as(&work->queue, PLAT_NS_NEVER, WAIT_FIRM) == VMK_OK);
    spin_lock_irqs_off(&work->queue.lock);
}

static void work_main(void *argument)
{
    struct vm_work *work = argument;

    (void)plat_irq_save();
    spin_lock_irqs_off(&work->queue.lock);
    while (!work->stop) {
        if (!run_first(work))
            sleep_locked(work);
    }
    spin_unlock_irqs_off(&work->queue.lock);
    plat_irq_restore(true);
    world_exit(0);
}

void vm_work_wait(struct vm_work *work, bool (*idle)(void *argument), void *argument)
{
    bool irqs = plat_irq_save();

    spin_lock_irqs_off(&work->queue.lock);
    while (!idle(argument)) {
        if (work->world.raw || work->running || !run_first(work))
            sleep_locked(work);
    }
    spin_unlock_irqs_off(&work->queue.lock);
    plat_irq_restore(irqs);
}

struct cancel {
    struct vm_work *work;
    struct vm_job *job;
};

static bool is_not_running(void *argument)
{
    struct cancel *c = argument;

    if (c->job->queued) {
        list_remove(&c->job->link);
        c->job->queued = false;
    }
    return c->work->running != c->job;
}

void vm_job_cancel(struct vm_work *work, struct vm_job *job)
{
    struct cancel c = {work, job};

    vm_work_wait(work, is_not_running, &c);
}

vmk_status vm_work_create(struct vm *vm)
{
    struct vm_work *work = heap_alloc(sizeof(*work), MEM_OWNER_VMM);

    if (!work)
        return VMK_NO_MEMORY;
    work->vm = vm;
    wait_queue_init(&work->queue, "vmio");
    list_init(&work->jobs);
    vm->work = work;
    return VMK_OK;
}

vmk_status vm_work_start(struct vm *vm)
{
    char name[WORLD_NAME_SIZE];
    struct world_params params = {
        .name = name,
        .entry = work_main,
        .argument = vm->work,
        .sched = {.pool = vm->sched_group},
    };

    vmk_snprintf(name, sizeof(name), "vmio:%.16s", vm->config.name);
    return world_create(&params, &vm->work->world);
}

void vm_work_destroy(struct vm *vm)
{
    struct vm_work *work = vm->work;
    bool irqs;
    int code;

    if (!work)
        return;
    irqs = spin_lock(&work->queue.lock);
    work->stop = true;
    spin_unlock(&work->queue.lock, irqs);
    wait_queue_wake(&work->queue, WAIT_QUEUE_ALL);
    // A dying caller cannot sleep; the world has nothing left to wait for.
    while (work->world.raw && world_wait(work->world, PLAT_NS_NEVER, &code) == VMK_KILLED)
        world_yield();
    heap_free(work);
    vm->work = NULL;
}
