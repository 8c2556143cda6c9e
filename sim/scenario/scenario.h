// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/scenario.h -- a scenario: a little operating life with an expected end.
 */
#pragma once

#include "sim/platform/sim.h"
#include "world/world.h"

struct scenario {
    const char *name;
    const char *what;
    unsigned cpus, hosts;
    bool cpus_fixed, one_host;  // what it claims holds for so many only
    bool unlisted;              // run only when named
    bool shake;                 // always with --shake
    /* Before the hosts start; null: nothing. False: said why, status 3. */
    bool (*prepare)(void);
    /* Runs as a world on every host; returning on host 0 ends the run. Fails by sim_check(). */
    void (*run)(unsigned host);
    /* After the hosts have stopped; null: nothing. */
    void (*check)(void);
};

/* A world of the scenario; fails the run if there is no memory. affinity 0: any CPU. */
world_id scenario_spawn(const char *name, void (*entry)(void *), void *argument,
                        uint32_t shares, uint64_t affinity);
/* Waits for its end. */
int scenario_join(world_id id);
/* Checks run + ready + wait = elapsed for every world of this host. */
void scenario_check_times(void);

/* --ops N: how much of a scenario that goes on as long as one likes. 0: its own choice. */
extern uint64_t scenario_ops;

extern const struct scenario scenario_shares, scenario_shares_smp, scenario_two_vms,
    scenario_accounting, scenario_pingpong, scenario_waitq_timeout, scenario_kill,
    scenario_two_hosts, scenario_many_worlds, scenario_planted_race, scenario_canary_race,
    scenario_pools, scenario_sleeper, scenario_coschedule, scenario_guest, scenario_busybox,
    scenario_busybox_smp, scenario_boot, scenario_commands, scenario_user_speed,
    scenario_program, scenario_processes, scenario_nice, scenario_control, scenario_service,
    scenario_vmfs_crash, scenario_vmfs_files, scenario_vmfs_speed, scenario_user_swap;
