// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/ctf_writer.c -- writes a stream file in packets, as the recorder does.
 *
 * Invariants
 *   - Every packet has the full size, zero behind its content (ctf_stream_flush()).
 * Locking    none: one thread.
 * Sources    [CTF18]
 */
#include "trace/ctf_writer.h"

#include <stdlib.h>
#include <string.h>

#include "trace/tool.h"

bool ctf_stream_create(struct ctf_stream *s, const char *directory, const char *name,
                       uint32_t stream_id, uint32_t cpu, const uint8_t *uuid)
{
    *s = (struct ctf_stream){.packet_bytes = PACKET_BYTES, .used = PACKET_HEADER};
    if ((size_t)snprintf(s->path, sizeof(s->path), "%s/%s", directory, name) >=
        sizeof(s->path)) {
        tool_fail("%s/%s: the path is too long", directory, name);
        return false;
    }
    s->file = tool_create(s->path);
    if (!s->file)
        return false;
    s->packet = calloc(1, s->packet_bytes);
    if (!s->packet) {
        fclose(s->file);
        s->file = NULL;
        tool_fail("%s: no memory", s->path);
        return false;
    }
    s->header.magic = PACKET_MAGIC;
    memcpy(s->header.uuid, uuid, sizeof(s->header.uuid));
    s->header.stream_id = stream_id;
    s->header.cpu_id = cpu;
    return true;
}

void ctf_stream_flush(struct ctf_stream *s)
{
    if (s->used == PACKET_HEADER)
        return;
    s->header.content_size = s->used * 8;
    s->header.packet_size = s->packet_bytes * 8;
    memcpy(s->packet, &s->header, sizeof(s->header));
    if (fwrite(s->packet, 1, s->packet_bytes, s->file) != s->packet_bytes)
        s->failed = true;
    memset(s->packet, 0, s->packet_bytes);
    s->used = PACKET_HEADER;
    s->header.packet_seq_num++;
}

void ctf_stream_put(struct ctf_stream *s, uint64_t time, uint8_t id, void *record,
                    uint32_t size)
{
    uint64_t header = time << 8 | id;

    if (s->packet_bytes - s->used < size)
        ctf_stream_flush(s);
    if (s->used == PACKET_HEADER)
        s->header.timestamp_begin = time;
    s->header.timestamp_end = time;
    memcpy(record, &header, sizeof(header));
    memcpy(s->packet + s->used, record, size);
    s->used += size;
}

bool ctf_stream_close(struct ctf_stream *s)
{
    if (!s->file)
        return true;
    ctf_stream_flush(s);

    bool good = tool_finish(s->file, s->path) && !s->failed;

    free(s->packet);
    *s = (struct ctf_stream){0};
    return good;
}
