// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/record.c -- a run under the kernel's own recorder, into a trace directory.
 *
 * The recorder (src/core/trace.c) needs no host here: a state of its own is set up beside the
 * engine. Records, packets and hash are those of the image, by the same object file.
 *
 * Invariants
 *   - The hash does not depend on whether a directory is written.
 *   - A packet that cannot be written ends the run with an error; no trace is silently short.
 * Locking    none: one thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/trace_control.h"
#include "sim/workload/replay.h"

struct recording {
    const struct program *program;
    struct engine_options options;
    const char *directory;
    struct engine_result *result;
    struct replay_trace *trace;
    FILE *files[TRACE_STREAMS];
    char error[256];
};

static void write_failed(struct recording *r, const char *name)
{
    if (!r->error[0])
        snprintf(r->error, sizeof(r->error), "%.180s/%s: %s", r->directory, name,
                 strerror(errno));
}

static FILE *create(struct recording *r, const char *name)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", r->directory, name);
    file = fopen(path, "wb");
    if (!file)
        write_failed(r, name);
    return file;
}

static void packet(void *owner, unsigned stream, const void *bytes, size_t size)
{
    struct recording *r = owner;
    char name[32] = "sys";

    r->trace->packets++;
    r->trace->bytes += size;
    if (!r->directory || r->error[0])
        return;
    if (stream != TRACE_SYS)
        snprintf(name, sizeof(name), "pcpu%u", stream);
    if (!r->files[stream])
        r->files[stream] = create(r, name);
    if (r->files[stream] && fwrite(bytes, 1, size, r->files[stream]) != size)
        write_failed(r, name);
}

static void write_text(struct recording *r, const char *name, const char *text, size_t size)
{
    FILE *file = r->error[0] ? NULL : create(r, name);

    if (file && fwrite(text, 1, size, file) != size)
        write_failed(r, name);
    if (file && fclose(file))
        write_failed(r, name);
}

static void write_rest(struct recording *r)
{
    size_t size = trace_metadata(r->options.trace, NULL, 0);
    char *text = malloc(size + 1);
    char *env = NULL;
    size_t env_size;
    FILE *out;

    for (unsigned i = 0; i < TRACE_STREAMS; i++) {
        if (r->files[i] && fclose(r->files[i]))
            write_failed(r, "a stream");
    }
    if (text && trace_metadata(r->options.trace, text, size + 1) == size)
        write_text(r, "metadata", text, size);
    free(text);
    out = open_memstream(&env, &env_size);
    if (!out)
        return;
    wl_print(r->program->source, out);
    fclose(out);
    write_text(r, "workload.wl", env, env_size);
    free(env);
    out = open_memstream(&env, &env_size);
    if (!out)
        return;
    fprintf(out,
            "seed=%llu\npolicy=%s\ncpus=%u\nduration=%llu\nvariant=%s\nhash=%016llx\n"
            "records=%llu\n",
            (unsigned long long)r->options.seed, r->result->policy, r->result->cpus,
            (unsigned long long)r->result->duration,
            r->options.variant ? r->options.variant->name : "",
            (unsigned long long)r->trace->hash, (unsigned long long)r->trace->records);
    fclose(out);
    write_text(r, "run.env", env, env_size);
    free(env);
}

/* Rings live as long as the recording; the recorder has no call that gives them back. */
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

static void blocks_free(struct recording *r)
{
    while (block_count)
        free(blocks[--block_count]);
    free(r->options.trace);
}

static struct trace_state *state_create(const struct recording *r,
                                        const struct trace_sink *sink, unsigned cpus)
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
        free(trace);
        return NULL;
    }
    snprintf(text, sizeof(text), "%llu", (unsigned long long)r->options.seed);
    trace_env_set_on(trace, "seed", text);
    trace_env_set_on(trace, "loop", r->program->source->open_loop ? "open" : "closed");
    trace_env_set_on(trace, "hostname", "workload");
    return trace;
}

bool replay_recorded(const struct program *p, const struct engine_options *o,
                     const char *directory, struct engine_result *result,
                     struct replay_trace *trace)
{
    struct recording r = {
        .program = p, .options = *o, .directory = directory, .result = result, .trace = trace};
    const struct trace_sink sink = {.packet = packet, .owner = &r};
    unsigned cpus = o->cpus ? o->cpus : p->source->host.cpus;
    bool good;

    *result = (struct engine_result){.world_count = 0};
    *trace = (struct replay_trace){.hash = 0};
    if (directory && mkdir(directory, 0777) && errno != EEXIST) {
        snprintf(result->error, sizeof(result->error), "%.200s: %s", directory,
                 strerror(errno));
        return false;
    }
    r.options.trace = cpus && cpus <= SCHED_CPUS_MAX ? state_create(&r, &sink, cpus) : NULL;
    if (!r.options.trace) {
        snprintf(result->error, sizeof(result->error),
                 "no recorder for %u CPUs: a host has 1 to %u", cpus, SCHED_CPUS_MAX);
        return false;
    }
    good = engine_run(p, &r.options, result);
    trace_env_set_on(r.options.trace, "policy", result->policy);
    trace_finish_on(r.options.trace);
    trace->hash = trace_hash_of(r.options.trace, &trace->records);
    if (directory)
        write_rest(&r);
    blocks_free(&r);
    if (r.error[0])
        snprintf(result->error, sizeof(result->error), "%s", r.error);
    return good && !r.error[0];
}
