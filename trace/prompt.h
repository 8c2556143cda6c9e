// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/prompt.h -- how soon CPUs did what the scheduler asked of them, as `verify` sees it.
 */
#pragma once

#include <stdio.h>

#include "lib/hdr.h"
#include "sched/machine.h"

struct prompt {
    uint64_t deadline[SCHED_CPUS_MAX];  // of the last decision; PLAT_NS_NEVER: none
    uint64_t
        kicked[SCHED_CPUS_MAX];     // when the kick was sent that is not answered yet; 0: none
    uint64_t late[SCHED_CPUS_MAX];  // its last switching input was so late
    uint64_t answered[SCHED_CPUS_MAX];  // and when it was
    struct hdr deadlines, kicks;
    // Leads of vCPUs that stopped: all, too large ones, those on a CPU that was late, those of
    // which a sibling was on such a CPU.
    uint64_t costops, over, own, sibling, most;
};

void prompt_init(struct prompt *p);
/* An input was made at `now`, and that was decided. */
void prompt_input(struct prompt *p, const struct sched_input *in,
                  const struct sched_decision *decision, uint64_t now);
/* That vCPU stopped, leading by so much, in answer to an input of that CPU at `now`. */
void prompt_costop(struct prompt *p, const struct sched_machine *m, uint32_t id, uint32_t cpu,
                   uint64_t lead_ns, uint64_t now);
void prompt_print(const struct prompt *p, const struct sched_machine *m, FILE *out);
