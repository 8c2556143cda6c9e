// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/esxtop.h -- the CPU columns of esxtop, out of two looks at a world or group.
 *
 * The scheduler keeps sums that never fall; a look at them is a sample. What happened between
 * two samples are percentages of the time between them. Plain numbers of fixed size and no
 * other header, so that a sample crosses to a user program as it is, and the program computes
 * the columns with the same esxtop.c.
 *
 * Identities, of a world: run + ready + costop + wait = elapsed, to the nanosecond; limited is
 * part of ready; wait_idle, wait_io and wait_swap of wait; smt of run. Of a group: the sums
 * over its worlds.
 *
 * Locking    none: pure functions.
 */
#pragma once

#include "lib/types.h"

#define SCHED_SAMPLE_NAME 24u

enum sched_sample_kind {
    SCHED_SAMPLE_IDLE,   // the idle world of a CPU
    SCHED_SAMPLE_WORLD,  // a world outside VMs
    SCHED_SAMPLE_VCPU,
    SCHED_SAMPLE_POOL,  // a resource pool; the host is the one without a parent
    SCHED_SAMPLE_VM,
};

/* Times in ns, all of them sums since `created`; of a pool or VM over the worlds below it. */
struct sched_sample {
    uint64_t at;         // when it was taken, since boot
    uint64_t created;    // 0 of a pool
    uint64_t elapsed;    // at - created; of a group the sum over its worlds
    uint64_t used;       // what is charged: run + system - overlap, less for a shared core
    uint64_t run;        // on a CPU
    uint64_t ready;      // wants one, `limited` included
    uint64_t limited;    // held back by a limit
    uint64_t costop;     // stopped because it leads its siblings
    uint64_t wait;       // everything else
    uint64_t wait_idle;  // of it: a halted guest
    uint64_t wait_io;
    uint64_t wait_swap;
    uint64_t system;   // interrupts and deferred work for it, while others were scheduled
    uint64_t overlap;  // such work for others while it was scheduled
    uint64_t smt;      // of run: beside a busy thread of the same core
    uint64_t switches, migrations, quantum_expiries, wakes;
    uint64_t affinity;  // mask of CPUs; of a group 0
    uint32_t id;
    uint32_t parent;   // pool or VM it hangs in; 0: none
    uint32_t group;    // GID: the VM of a vCPU, else its own id
    uint32_t kind;     // enum sched_sample_kind
    uint32_t worlds;   // NWLD
    uint32_t shares;   // ASHRS
    uint32_t min_mhz;  // AMIN
    uint32_t max_mhz;  // AMLMT; UINT32_MAX: none
    uint32_t cpu;      // where it is or was last; UINT32_MAX of a group
    uint32_t state;    // enum sched_world_state
    char name[SCHED_SAMPLE_NAME];
};

/* In the order in which esxtop shows them. */
enum esxtop_column {
    ESXTOP_USED,
    ESXTOP_RUN,
    ESXTOP_SYS,
    ESXTOP_WAIT,
    ESXTOP_VMWAIT,
    ESXTOP_RDY,
    ESXTOP_IDLE,
    ESXTOP_OVRLP,
    ESXTOP_CSTP,
    ESXTOP_MLMTD,
    ESXTOP_SWPWT,
    ESXTOP_SWTCH,  // from here on: events per second
    ESXTOP_MIG,
    ESXTOP_QEXP,
    ESXTOP_WAKE,
    ESXTOP_COLUMNS
};

/* The sums of a group, taken when its parts are, grow by a part. */
void sched_sample_add(struct sched_sample *sum, const struct sched_sample *part);
/* "%USED", "SWTCH/s". */
const char *esxtop_column_name(enum esxtop_column column);
/*
 * Hundredths of a percent of the time between the samples (100.00 % is one CPU), or hundredths
 * of events per second. `before` null or of another world: since `after` was created, of a
 * group since boot. A sum that fell (a world left the group) counts as 0. All 0 if no time
 * passed.
 */
void esxtop_columns(const struct sched_sample *before, const struct sched_sample *after,
                    uint64_t out[ESXTOP_COLUMNS]);
