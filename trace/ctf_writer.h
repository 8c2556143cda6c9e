// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/ctf_writer.h -- writes a stream file in packets, as the recorder does.
 *
 * For exports and for tests; what is recorded live comes from core/trace.c.
 *
 * Invariants
 *   - Records are multiples of eight bytes and never cross a packet.
 * Locking    none: one thread.
 */
#pragma once

#include <stdio.h>

#include "trace/stream.h"

struct ctf_stream {
    FILE *file;
    char path[4096];
    uint8_t *packet;
    uint32_t used;
    uint32_t packet_bytes;
    struct packet_header header;
    bool failed;
};

/* DIRECTORY/NAME; false: said why. `uuid` has 16 bytes. */
bool ctf_stream_create(struct ctf_stream *s, const char *directory, const char *name,
                       uint32_t stream_id, uint32_t cpu, const uint8_t *uuid);
/* Appends a record of `size` bytes whose first eight (time and id) are set here. */
void ctf_stream_put(struct ctf_stream *s, uint64_t time, uint8_t id, void *record,
                    uint32_t size);
/* Ends the packet in hand, if it has records. */
void ctf_stream_flush(struct ctf_stream *s);
/* False: not all was written (said). */
bool ctf_stream_close(struct ctf_stream *s);
