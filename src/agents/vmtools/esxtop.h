// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxtop.h -- a look at the host, and what happened between two of them.
 */
#pragma once

#include "agents/vmtools/vmtools.h"
#include "sched/esxtop.h"

/* A line of esxtop: a VM with its vmx, a process, all system worlds, or all idle ones. */
struct top_group {
    uint32_t id;
    char name[VMK_NAME_SIZE];
    uint32_t shown;           // its ID and GID: a group, or the first world of a process
    struct sched_sample sum;  // of its worlds
    bool is_vm;
    uint64_t size_mb;  // of a VM: memSize; of a process: mapped
    uint64_t used_kb;  // granted, or resident
    uint64_t overhead_kb;
};

struct top_look {
    struct vmk_host host;
    struct top_group *groups;
    uint32_t group_count;
    struct vmk_cpu *cpus;
    uint32_t cpu_count;
    struct vmk_owner *owners;
    uint32_t owner_count;
};

struct top_look *top_look(void);
void top_free(struct top_look *look);  // null is fine
/* The group of that id in an earlier look, or null. */
const struct top_group *top_group_before(const struct top_look *before,
                                         const struct top_group *now);
/* Hundredths of a percent that a CPU was not idle; `cpu` UINT32_MAX: the mean of all. */
uint64_t top_cpu_used(const struct top_look *before, const struct top_look *now, uint32_t cpu);
/* Pages and heap of all owners but guests and user worlds, in MB. */
uint64_t top_kernel_mb(const struct top_look *look);

/* ---- esxtop_batch.c, esxtop_screen.c; `rounds` 0: for ever ---- */
int top_batch(uint64_t delay_ms, uint64_t rounds);
int top_screen(uint64_t delay_ms, uint64_t rounds);
/* Until then; false: a key waits on `fd` (negative: nobody types). */
bool top_sleep(int fd, uint64_t ms);
