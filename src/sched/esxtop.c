// SPDX-License-Identifier: BSD-2-Clause
/*
 * sched/esxtop.c -- the CPU columns of esxtop from two samples.
 *
 * One table says which sums a column adds and which it takes off, so the kernel's /proc file,
 * the esxtop program and the tests cannot disagree about what a column means.
 *
 * Invariants
 *   - Integers only; the same samples give the same columns everywhere.
 *   - %RUN + %RDY + %CSTP + %WAIT = 100 % per world, but for a hundredth lost in each division.
 * Locking    none.
 * Sources    [ESXTOP]
 */
#include "sched/esxtop.h"

/* Offsets of the sums that a column adds and takes off; at most one of each. */
static const struct row {
    const char *name;
    size_t add, take;  // 0: none (no sum is first in the struct)
} rows[ESXTOP_COLUMNS] = {
#define SUM(field) offsetof(struct sched_sample, field)
    [ESXTOP_USED] = {"%USED", SUM(used), 0},
    [ESXTOP_RUN] = {"%RUN", SUM(run), 0},
    [ESXTOP_SYS] = {"%SYS", SUM(system), 0},
    [ESXTOP_WAIT] = {"%WAIT", SUM(wait), 0},
    [ESXTOP_VMWAIT] = {"%VMWAIT", SUM(wait), SUM(wait_idle)},
    [ESXTOP_RDY] = {"%RDY", SUM(ready), 0},
    [ESXTOP_IDLE] = {"%IDLE", SUM(wait_idle), 0},
    [ESXTOP_OVRLP] = {"%OVRLP", SUM(overlap), 0},
    [ESXTOP_CSTP] = {"%CSTP", SUM(costop), 0},
    [ESXTOP_MLMTD] = {"%MLMTD", SUM(limited), 0},
    [ESXTOP_SWPWT] = {"%SWPWT", SUM(wait_swap), 0},
    [ESXTOP_SWTCH] = {"SWTCH/s", SUM(switches), 0},
    [ESXTOP_MIG] = {"MIG/s", SUM(migrations), 0},
    [ESXTOP_QEXP] = {"QEXP/s", SUM(quantum_expiries), 0},
    [ESXTOP_WAKE] = {"WAKE/s", SUM(wakes), 0},
#undef SUM
};

const char *esxtop_column_name(enum esxtop_column column)
{
    return (unsigned)column < ESXTOP_COLUMNS ? rows[column].name : "?";
}

static uint64_t field(const struct sched_sample *s, size_t offset)
{
    return s && offset ? *(const uint64_t *)(const void *)((const char *)s + offset) : 0;
}

/* How much more the sum of a column is in `after`. */
static uint64_t grown(const struct row *r, const struct sched_sample *before,
                      const struct sched_sample *after)
{
    uint64_t add = field(after, r->add) - MIN(field(before, r->add), field(after, r->add));
    uint64_t take = field(after, r->take) - MIN(field(before, r->take), field(after, r->take));

    return add - MIN(take, add);
}

/* part * factor / whole; both are halved until the product fits. */
static uint64_t ratio(uint64_t part, uint64_t factor, uint64_t whole)
{
    uint64_t product;

    while (__builtin_mul_overflow(part, factor, &product)) {
        part >>= 1;
        whole >>= 1;
    }
    return whole ? product / whole : 0;
}

void esxtop_columns(const struct sched_sample *before, const struct sched_sample *after,
                    uint64_t out[ESXTOP_COLUMNS])
{
    if (before && (before->id != after->id || before->created != after->created))
        before = NULL;

    uint64_t from = before ? before->at : after->created;
    uint64_t passed = after->at > from ? after->at - from : 0;

    for (unsigned i = 0; i < ESXTOP_COLUMNS; i++) {
        uint64_t factor = i < ESXTOP_SWTCH ? 10000 : 100ull * 1000000000;

        out[i] = passed ? ratio(grown(&rows[i], before, after), factor, passed) : 0;
    }
}

void sched_sample_add(struct sched_sample *sum, const struct sched_sample *part)
{
    sum->at = part->at;
    sum->elapsed += part->elapsed;
    sum->used += part->used;
    sum->run += part->run;
    sum->ready += part->ready;
    sum->limited += part->limited;
    sum->costop += part->costop;
    sum->wait += part->wait;
    sum->wait_idle += part->wait_idle;
    sum->wait_io += part->wait_io;
    sum->wait_swap += part->wait_swap;
    sum->system += part->system;
    sum->overlap += part->overlap;
    sum->smt += part->smt;
    sum->switches += part->switches;
    sum->migrations += part->migrations;
    sum->quantum_expiries += part->quantum_expiries;
    sum->wakes += part->wakes;
    sum->worlds += part->worlds;
}
