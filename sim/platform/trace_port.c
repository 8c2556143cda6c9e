// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/platform/trace_port.c -- the way out for traces in a process: "memory", a buffer with an end.
 *
 * For the tests of core/trace_out.c; a simulation takes whole packets instead
 * (sim/platform/trace_dir.c).
 * The buffer can be made small, so that "the disk is full" can be tried.
 * Locking    none: one thread.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/platform/sim_trace.h"

#define SECTOR 512u

static struct {
    unsigned char *bytes;
    size_t size, room;
    bool open;
} out;

void sim_trace_out_make(size_t room)
{
    free(out.bytes);
    out.bytes = calloc(1, room);
    out.room = out.bytes ? room : 0;
    out.size = 0;
    out.open = false;
}

const void *sim_trace_out_bytes(size_t *size)
{
    *size = out.size;
    return out.bytes;
}

bool plat_trace_out_open(const char *where)
{
    out.open = strcmp(where, "memory") == 0 && out.room;
    return out.open;
}

bool plat_trace_out_write(const void *head, size_t head_size, const void *body,
                          size_t body_size)
{
    size_t total = (head_size + body_size + SECTOR - 1) / SECTOR * SECTOR;

    if (!out.open || total > out.room - out.size)
        return false;
    memcpy(out.bytes + out.size, head, head_size);
    memcpy(out.bytes + out.size + head_size, body, body_size);
    out.size += total;
    return true;
}

void plat_trace_out_reset(void)
{
}
