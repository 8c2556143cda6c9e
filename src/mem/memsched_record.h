// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/memsched_record.h -- the memory scheduler under the recorder: what goes in and what comes out, as records.
 *
 * Whoever drives the machine does it through memsched_record_step(). Each input becomes a
 * mem_input, each decision a record behind it, all in the stream `sys`; before the first input
 * and every MEMSCHED_RECORD_EVERY of them the whole state is written down (mem_checkpoint,
 * mem_tunable, mem_node). `orrery-trace verify` feeds recorded inputs to this same code and
 * compares records with records; it can begin at any checkpoint, so what is left of a flight
 * recorder is enough.
 *
 * An input that repeats what the machine knows (USAGE, FREE) is neither recorded nor taken: it
 * would decide nothing. An idle host records one TICK in 15 s.
 *
 * Invariants
 *   - The records are a function of the machine's state and its inputs.
 *   - A state that is restored has passed memsched_check(): a trace is a file, and files lie.
 * Locking    the caller's; records come in the order of the calls.
 */
#pragma once

#include "core/trace.h"
#include "mem/memsched.h"

#define MEMSCHED_RECORD_EVERY 1024u

struct memsched_record {
    struct memsched *machine;
    /* Takes a record; null: this host's recorder, time from its clock. */
    void (*put)(void *context, plat_ns now, const trace_word *record, size_t words);
    void *context;
    struct memsched_observer then;  // also told
    plat_ns now;
    uint32_t seq;    // of the next input
    bool state_put;  // the state stands in front of the next input already
    bool free_told;  // FREE is what decided the level that holds
    record_text16 name[MEMSCHED_NODES_MAX];
};

/* Begins to record a machine that memsched_init() made; takes its observer. */
void memsched_record_init(struct memsched_record *r, struct memsched *machine);
/* memsched_step(), recorded. */
must_check vmk_status memsched_record_step(struct memsched_record *r, plat_ns now,
                                           const struct memsched_input *input);
/* The whole state, now. */
void memsched_record_state(struct memsched_record *r);
/* What a VM is called; writes the state, which has the name. */
void memsched_record_name(struct memsched_record *r, uint32_t id, const char *name);

/*
 * The state from records: the checkpoint first, its others, then _end(). False: no such state.
 */
must_check bool memsched_restore_begin(struct memsched_record *r,
                                       const struct record_mem_checkpoint *c);
must_check bool memsched_restore_tunable(struct memsched_record *r,
                                         const struct record_mem_tunable *t);
must_check bool memsched_restore_node(struct memsched_record *r,
                                      const struct record_mem_node *n);
must_check bool memsched_restore_end(struct memsched_record *r);
