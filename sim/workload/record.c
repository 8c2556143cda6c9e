// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/record.c -- a run under the kernel's own recorder, into a trace directory.
 *
 * The recorder (src/core/trace.c) needs no host here: a state of its own is set up beside the
 * engine. Records, packets and hash are those of the image, by the same object file. The
 * directory also gets run/workload.wl, so that a trace can be repeated from itself.
 *
 * Invariants
 *   - The hash does not depend on whether a directory is written.
 *   - A packet that cannot be written ends the run with an error; no trace is silently short.
 * Locking    none: one thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/platform/trace_dir.h"
#include "sim/workload/replay.h"

/* The recorder's memory: it has no call that gives it back. */
static void *blocks[2 * TRACE_STREAMS];
static unsigned block_count;

static void *take(size_t size)
{
    void *block = aligned_alloc(64, round_up(size, 64));

    if (block && block_count < ARRAY_COUNT(blocks)) {
        memset(block, 0, size);
        blocks[block_count++] = block;
    }
    return block;
}

static void state_free(struct trace_state *trace)
{
    while (block_count)
        free(blocks[--block_count]);
    free(trace);
}

static struct trace_state *state_create(const struct trace_sink *sink, unsigned cpus,
                                        const struct engine_options *o, bool open_loop)
{
    const struct trace_config config = {.classes = TRACE_CLASS_SCHED,
                                        .mode = TRACE_MODE_DIRECT,
                                        .packets = 1,
                                        .hash = true,
                                        .sink = sink,
                                        .take = take};
    size_t size = round_up(trace_state_size, 64);
    struct trace_state *trace = aligned_alloc(64, size);
    char text[24];

    if (!trace)
        return NULL;
    memset(trace, 0, size);
    if (trace_setup_on(trace, &config, cpus) != VMK_OK) {
        state_free(trace);
        return NULL;
    }
    snprintf(text, sizeof(text), "%llu", (unsigned long long)o->seed);
    trace_env_set_on(trace, "seed", text);
    trace_env_set_on(trace, "loop", open_loop ? "open" : "closed");
    trace_env_set_on(trace, "hostname", "workload");
    return trace;
}

static bool workload_write(const char *directory, const struct workload *w)
{
    char path[4096];
    FILE *file;
    bool good;

    snprintf(path, sizeof(path), "%s/run/workload.wl", directory);
    file = fopen(path, "w");
    if (!file)
        return false;
    wl_print(w, file);
    good = !ferror(file);
    return !fclose(file) && good;
}

static void notes(struct trace_dir *dir, const struct engine_options *o,
                  const struct engine_result *r)
{
    trace_dir_note(dir, "seed", "%llu", (unsigned long long)o->seed);
    trace_dir_note(dir, "policy", "%s", r->policy);
    trace_dir_note(dir, "cpus", "%u", r->cpus);
    trace_dir_note(dir, "duration", "%llu", (unsigned long long)r->duration);
    trace_dir_note(dir, "variant", "%s", o->variant ? o->variant->name : "-");
}

bool replay_recorded(const struct program *p, const struct engine_options *o,
                     const char *directory, struct engine_result *result,
                     struct replay_trace *trace)
{
    struct engine_options options = *o;
    unsigned cpus = o->cpus ? o->cpus : p->source->host.cpus;
    struct trace_dir *dir = directory ? trace_dir_create(directory) : NULL;
    struct trace_totals totals;
    bool good;

    *result = (struct engine_result){.world_count = 0};
    *trace = (struct replay_trace){.hash = 0};
    if (directory && !dir) {
        snprintf(result->error, sizeof(result->error), "no trace is written");
        return false;
    }
    if (cpus && cpus <= SCHED_CPUS_MAX)
        options.trace =
            state_create(dir ? trace_dir_sink(dir) : NULL, cpus, o, p->source->open_loop);
    if (!options.trace) {
        snprintf(result->error, sizeof(result->error),
                 "no recorder for %u CPUs: a host has 1 to %u", cpus, SCHED_CPUS_MAX);
        return false;
    }
    good = engine_run(p, &options, result);
    trace_env_set_on(options.trace, "policy", result->policy);
    trace_finish_on(options.trace);
    trace->hash = trace_hash_of(options.trace, &trace->records);
    trace_totals_of(options.trace, &totals);
    trace->packets = totals.packets;
    trace->bytes = totals.bytes;
    if (dir) {
        notes(dir, o, result);
        if (!trace_dir_finish(dir, options.trace) || !workload_write(directory, p->source)) {
            good = false;
            snprintf(result->error, sizeof(result->error), "%.200s: %s", directory,
                     strerror(errno));
        }
    }
    state_free(options.trace);
    return good;
}
