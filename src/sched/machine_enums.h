// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/machine_enums.h -- the numbers of inputs, states and reasons, the same as in the trace.
 *
 * Each is defined as its value in trace/enums.def, so that a recorded number needs no
 * translation.
 */
#pragma once

#include "trace/event.h"

/* Inputs of the machine. */
enum sched_op {
    SCHED_OP_CPU_ONLINE = RECORD_sched_op_CPU_ONLINE,
    SCHED_OP_POOL_ADD = RECORD_sched_op_POOL_ADD,
    SCHED_OP_POOL_REMOVE = RECORD_sched_op_POOL_REMOVE,
    SCHED_OP_WORLD_ADD = RECORD_sched_op_WORLD_ADD,
    SCHED_OP_WORLD_REMOVE = RECORD_sched_op_WORLD_REMOVE,
    SCHED_OP_SET_SHARES = RECORD_sched_op_SET_SHARES,
    SCHED_OP_SET_MIN = RECORD_sched_op_SET_MIN,
    SCHED_OP_SET_MAX = RECORD_sched_op_SET_MAX,
    SCHED_OP_SET_AFFINITY = RECORD_sched_op_SET_AFFINITY,
    SCHED_OP_SET_POOL = RECORD_sched_op_SET_POOL,
    SCHED_OP_WAKE = RECORD_sched_op_WAKE,
    SCHED_OP_BLOCK = RECORD_sched_op_BLOCK,
    SCHED_OP_YIELD = RECORD_sched_op_YIELD,
    SCHED_OP_TIMER = RECORD_sched_op_TIMER,
    SCHED_OP_RESCHED = RECORD_sched_op_RESCHED,
    SCHED_OP_EXIT = RECORD_sched_op_EXIT,
    SCHED_OP_SYSTEM_TIME = RECORD_sched_op_SYSTEM_TIME,
    SCHED_OP_TOPOLOGY = RECORD_sched_op_TOPOLOGY,
    SCHED_OP_POLICY = RECORD_sched_op_POLICY,
};

/* READY and MLMTD are both %RDY of esxtop; the WAITs differ in what for. */
enum sched_world_state {
    SCHED_STATE_RUN = RECORD_sched_state_RUN,
    SCHED_STATE_READY = RECORD_sched_state_READY,
    SCHED_STATE_WAIT = RECORD_sched_state_WAIT,
    SCHED_STATE_WAIT_IDLE = RECORD_sched_state_WAIT_IDLE,
    SCHED_STATE_WAIT_IO = RECORD_sched_state_WAIT_IO,
    SCHED_STATE_WAIT_SWAP = RECORD_sched_state_WAIT_SWAP,
    SCHED_STATE_COSTOP = RECORD_sched_state_COSTOP,
    SCHED_STATE_MLMTD = RECORD_sched_state_MLMTD,
    SCHED_STATE_NEW = RECORD_sched_state_NEW,
    SCHED_STATE_ZOMBIE = RECORD_sched_state_ZOMBIE,
    SCHED_STATE_COUNT
};

enum wake_reason {
    WAKE_REASON_EVENT = RECORD_wake_reason_EVENT,
    WAKE_REASON_TIMER = RECORD_wake_reason_TIMER,
    WAKE_REASON_DEVICE = RECORD_wake_reason_DEVICE,
    WAKE_REASON_NEW = RECORD_wake_reason_NEW,
    WAKE_REASON_KILL = RECORD_wake_reason_KILL,
};

/* PUSH: placed at a wake-up; PULL: by a CPU without work; the others: the level a balancing
 * move crossed, or an affinity that left no choice. */
enum migrate_kind {
    MIGRATE_KIND_PUSH = RECORD_migrate_kind_PUSH,
    MIGRATE_KIND_PULL = RECORD_migrate_kind_PULL,
    MIGRATE_KIND_SMT = RECORD_migrate_kind_SMT,
    MIGRATE_KIND_LLC = RECORD_migrate_kind_LLC,
    MIGRATE_KIND_PACKAGE = RECORD_migrate_kind_PACKAGE,
    MIGRATE_KIND_NUMA = RECORD_migrate_kind_NUMA,
    MIGRATE_KIND_AFFINITY = RECORD_migrate_kind_AFFINITY,
    MIGRATE_KIND_COUNT
};
