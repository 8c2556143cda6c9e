// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/scenario/vmfs_model.c -- the trees that a VMFS history made, one for each moment that may be found.
 *
 * Invariants
 *   - window[0] is the last acknowledged state; the last one is the newest, perhaps not there
 *     yet.
 *   - A version or chunk that more than one state refers to does not change.
 * Locking    none: one world.
 */
#include "sim/scenario/vmfs_model.h"

struct history history;

void model_version_put(struct version *version)
{
    if (!version || --version->refs)
        return;
    for (unsigned i = 0; i < CHUNKS; i++) {
        if (version->chunks[i] && --version->chunks[i]->refs == 0)
            free(version->chunks[i]);
    }
    free(version);
}

static void state_copy(struct state *to, const struct state *from)
{
    *to = *from;
    for (unsigned i = 0; i < NODES; i++) {
        if (to->nodes[i])
            to->nodes[i]->refs++;
    }
}

void model_state_end(struct state *s)
{
    for (unsigned i = 0; i < NODES; i++)
        model_version_put(s->nodes[i]);
}

struct state *model_newest(void)
{
    return &history.window[history.count - 1];
}

struct state *model_push(void)
{
    state_copy(&history.window[history.count], model_newest());
    history.count++;
    return model_newest();
}

void model_pop(void)
{
    model_state_end(model_newest());
    history.count--;
}

void model_acknowledge(void)
{
    for (unsigned i = 0; i + 1 < history.count; i++)
        model_state_end(&history.window[i]);
    history.window[0] = *model_newest();
    history.count = 1;
    history.acked_op = history.op;
    history.syncs++;
}

struct version *model_change(struct state *s, unsigned node)
{
    struct version *fresh = calloc(1, sizeof(*fresh));

    if (s->nodes[node]) {
        *fresh = *s->nodes[node];
        for (unsigned i = 0; i < CHUNKS; i++) {
            if (fresh->chunks[i])
                fresh->chunks[i]->refs++;
        }
        model_version_put(s->nodes[node]);
    }
    fresh->refs = 1;
    fresh->made_by = history.op;
    s->nodes[node] = fresh;
    return fresh;
}

static unsigned char *chunk_own(struct version *version, unsigned i)
{
    struct chunk *old = version->chunks[i];

    if (!old || old->refs > 1) {
        struct chunk *fresh = calloc(1, sizeof(*fresh));

        if (old) {
            memcpy(fresh->data, old->data, CHUNK);
            old->refs--;
        }
        fresh->refs = 1;
        version->chunks[i] = fresh;
    }
    return version->chunks[i]->data;
}

void model_read(const struct version *version, uint64_t at, unsigned char *out, size_t size)
{
    const struct chunk *chunk = version->chunks[at / CHUNK];

    if (chunk)
        memcpy(out, chunk->data + at % CHUNK, size);
    else
        memset(out, 0, size);
}

void model_write(struct version *version, uint64_t at, const unsigned char *from, size_t size)
{
    version->size = MAX(version->size, at + size);
    for (size_t done = 0; done < size;) {
        size_t part = MIN(size - done, CHUNK - (at + done) % CHUNK);

        memcpy(chunk_own(version, (unsigned)((at + done) / CHUNK)) + (at + done) % CHUNK,
               from + done, part);
        done += part;
    }
}

void model_truncate(struct version *version, uint64_t size)
{
    for (uint64_t at = size; at < version->size;) {
        size_t part = (size_t)MIN(version->size - at, CHUNK - at % CHUNK);

        if (version->chunks[at / CHUNK])
            memset(chunk_own(version, (unsigned)(at / CHUNK)) + at % CHUNK, 0, part);
        at += part;
    }
    version->size = size;
}

int model_find(const struct state *s, unsigned dir, unsigned name)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (s->entries[i].dir == dir && s->entries[i].name == name)
            return (int)i;
    }
    return -1;
}

unsigned model_names_of(const struct state *s, unsigned node)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->count; i++)
        n += s->entries[i].node == node;
    return n;
}

bool model_is_empty(const struct state *s, unsigned dir)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (s->entries[i].dir == dir)
            return false;
    }
    return true;
}

const char *model_name_text(unsigned name)
{
    static const char *const names[NAMES] = {
        "a",  "b", "c.vmdk", "a-rather-long-name-for-a-file",
        "d",  "e", "f.vmx",  "another name with blanks in it",
        "gg", "h", "i.log",  "a-rather-long-name-for-a-disk"};

    return names[name];
}
