// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/vm_work.h -- the world of a VM that does its devices' input and output.
 */
#pragma once

#include "core/status.h"
#include "lib/list.h"

struct vm;
struct vm_work;

/*
 * Something to do for a device. It is on the list at most once, and runs in one place at a
 * time.
 */
struct vm_job {
    struct list link;                 // work lock
    bool queued;                      // work lock
    uint32_t world;                   // work lock: the vCPU that asked for it last; 0: none yet
    void (*run)(struct vm_job *job);  // world context, no lock held, may block
};

/* Makes vm->work; no world yet. The inverse waits for the world's end. World context. */
must_check vmk_status vm_work_create(struct vm *vm);
void vm_work_destroy(struct vm *vm);
/* Gives it a world, in the VM's scheduling group. At power-on. */
must_check vmk_status vm_work_start(struct vm *vm);

/* Once; `run` is called in the VM's I/O world. */
void vm_job_init(struct vm_job *job, void (*run)(struct vm_job *job));
/*
 * Soon run() is called, once for all calls before it begins. Any context; vm->lock may be held.
 */
void vm_job_queue(struct vm_work *work, struct vm_job *job);
/* Takes it off the list and waits until run() is not running. World context, nothing locked. */
void vm_job_cancel(struct vm_work *work, struct vm_job *job);

/*
 * The lock of the list of jobs also guards what completions hand over to a job: requests that
 * are done, how many are in flight. Rank WAITQ, any context.
 */
bool vm_work_lock(struct vm_work *work);
void vm_work_unlock(struct vm_work *work, bool irqs);
/* Waits until idle() says true; it is asked under the lock, and again after every job. World
 * context, nothing locked. Without a world it runs the jobs itself. */
void vm_work_wait(struct vm_work *work, bool (*idle)(void *argument), void *argument);
