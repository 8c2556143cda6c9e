// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/vmfs_model.h -- what a VMFS history must have left behind: for the files of vmfs-crash.
 *
 * The model is the tree that the history made, at each moment between the last acknowledged
 * sync and now. States share the files that did not change between them.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/vmfs/vmfs.h"
#include "lib/rng.h"
#include "sim/model/disk.h"
#include "sim/scenario/scenario.h"

#define NAMES   12u
#define NODES   96u
#define ENTRIES 200u
#define CHUNK   4096u
#define CHUNKS  400u  // of a file: two file blocks
#define WINDOW  40u
#define SECTOR  512u

struct chunk {
    uint32_t refs;
    unsigned char data[CHUNK];
};

struct version {
    uint32_t refs, mode;
    enum vmfs_type type;
    uint64_t size;
    uint64_t made_by;  // operation
    char target[32];
    struct chunk *chunks[CHUNKS];
};

struct entry {
    uint8_t dir, node, name;
};

struct state {
    unsigned count;
    struct entry entries[ENTRIES];
    struct version *nodes[NODES];  // 0 is the root
};

struct history {
    struct disk_model *disk;
    struct vmfs_volume *v;
    bool private_volume;
    vmfs_id ids[NODES];
    bool open[NODES];
    struct state window[WINDOW];  // [0] is the last acknowledged, [count - 1] the newest
    unsigned count;
    struct rng rng, chance;
    uint64_t op, acked_op;
    uint64_t next, run;  // where the next block is of a run, and how many were
    uint64_t points, crashes, seconds_crashes, syncs, peers;
    struct {  // what is being judged
        uint64_t seed, second;
        struct disk_model *disk;
    } cut;
};
extern struct history history;  // vmfs_model.c

/* ---- vmfs_model.c ---- */

struct state *model_newest(void);
/*
 * Makes room for the state after the next operation, as yet a copy of the newest; takes it
 * back.
 */
struct state *model_push(void);
void model_pop(void);
/* All that was done is durable. */
void model_acknowledge(void);
void model_state_end(struct state *s);

/* The node's own version, to be changed. */
struct version *model_change(struct state *s, unsigned node);
void model_version_put(struct version *version);
/*
 * Bytes [at, at + size) of a version; zeros where it has none. size <= SECTOR, inside a chunk.
 */
void model_read(const struct version *version, uint64_t at, unsigned char *out, size_t size);
void model_write(struct version *version, uint64_t at, const unsigned char *from, size_t size);
void model_truncate(struct version *version, uint64_t size);

/* The entry with that name, or -1. */
int model_find(const struct state *s, unsigned dir, unsigned name);
unsigned model_names_of(const struct state *s, unsigned node);
bool model_is_empty(const struct state *s, unsigned dir);
const char *model_name_text(unsigned name);

/* ---- vmfs_judge.c: each ends the run with a message if something is wrong ---- */

/*
 * Ends the run: what is wrong with the volume of history.cut, and a number that belongs to it.
 */
noreturn_fn void judge_failed(const char *what, uint64_t detail);
/* vmfs_check() finds nothing. */
void judge_check(struct vmfs_volume *v);
/* The volume is what the model allows. */
void judge(struct vmfs_volume *v);
/* fsck.vmfs finds nothing on the disk. */
void judge_ask_peer(struct disk_model *disk);
