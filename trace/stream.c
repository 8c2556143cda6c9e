// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/stream.c -- one stream file of a trace: packets checked, records one after the other.
 *
 * A trace may be cut off, overwritten or somebody else's. Every count and size of a packet is
 * checked before it is used, once per packet; per record only its id, its end and its time are
 * left.
 *
 * Invariants
 *   - Time does not step back within a stream (next_record()); if it does, the trace is bad.
 *   - events_discarded only grows, packet_seq_num grows; gaps are counted in the info.
 * Locking    none: one thread.
 * Sources    [CTF18]
 */
#include "trace/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/trace_frame.h"

int stream_fail(struct stream_set *set, const struct stream *s, uint64_t offset,
                const char *format, ...)
{
    va_list args;
    int n = snprintf(set->error, sizeof(set->error), "%s/%s: byte %" PRIu64 ": ",
                     set->directory, s->name, offset);

    va_start(args, format);
    if (n > 0 && (size_t)n < sizeof(set->error))
        vsnprintf(set->error + n, sizeof(set->error) - (size_t)n, format, args);
    va_end(args);
    return -1;
}

bool stream_open(struct stream_set *set, struct stream *s, const char *name)
{
    char path[4096];
    struct stat st;

    *s = (struct stream){.fd = -1};
    snprintf(s->name, sizeof(s->name), "%.31s", name);
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", set->directory, name) >= sizeof(path)) {
        stream_fail(set, s, 0, "the path is too long");
        return false;
    }
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &st) < 0) {
        stream_fail(set, s, 0, "cannot open: %s", strerror(errno));
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        stream_fail(set, s, 0, "is not a regular file");
        return false;
    }
    s->size = (uint64_t)st.st_size;
    set->info.bytes += s->size;
    return true;
}

void stream_close(struct stream *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s->packet);
    *s = (struct stream){.fd = -1};
}

void stream_rewind(struct stream *s)
{
    struct stream fresh = {.fd = s->fd, .size = s->size, .packet = s->packet, .room = s->room};

    memcpy(fresh.name, s->name, sizeof(fresh.name));
    *s = fresh;
}

/* `n` bytes at `offset` of the file. */
static int read_at(struct stream_set *set, struct stream *s, void *to, size_t n,
                   uint64_t offset)
{
    size_t done = 0;

    while (done < n) {
        ssize_t got = pread(s->fd, (uint8_t *)to + done, n - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return stream_fail(set, s, offset + done, "cannot read: %s", strerror(errno));
        if (got == 0)
            return stream_fail(set, s, offset + done, "the file became shorter while read");
        done += (size_t)got;
    }
    return 1;
}

/* Is the header one of this trace, and are its sizes sane? */
static int check_header(struct stream_set *set, struct stream *s, const struct packet_header *h)
{
    uint64_t left = s->size - s->next;

    if (h->magic != PACKET_MAGIC)
        return stream_fail(set, s, s->next, "no packet begins here: magic 0x%08x, not 0x%08x",
                           h->magic, PACKET_MAGIC);
    if (set->metadata->has_uuid && memcmp(h->uuid, set->metadata->uuid, 16) != 0)
        return stream_fail(set, s, s->next + 4,
                           "the packet's uuid is not that of the metadata: files of two traces "
                           "are mixed");
    if (h->stream_id > 1)
        return stream_fail(set, s, s->next + 20, "stream_id %u: ours are 0 and 1",
                           h->stream_id);
    if (h->packet_size % 64 || h->packet_size < PACKET_HEADER * 8 ||
        h->packet_size > PACKET_BYTES_MAX * 8)
        return stream_fail(set, s, s->next + 44, "packet_size is %u bits", h->packet_size);
    if (h->content_size % 64 || h->content_size < PACKET_HEADER * 8 ||
        h->content_size > h->packet_size)
        return stream_fail(set, s, s->next + 40, "content_size is %u bits of %u",
                           h->content_size, h->packet_size);
    if (h->packet_size / 8 > left)
        return stream_fail(set, s, s->next,
                           "the file ends inside this packet: %" PRIu64 " of %u bytes are "
                           "there (truncated?)",
                           left, h->packet_size / 8);
    if (h->timestamp_begin > h->timestamp_end)
        return stream_fail(set, s, s->next + 24, "the packet ends before it begins");
    return 1;
}

/* Does it continue the packets before it? */
static int check_sequence(struct stream_set *set, struct stream *s,
                          const struct packet_header *h)
{
    struct trace_info *info = &set->info;

    if (!s->started) {
        s->stream_id = h->stream_id;
        s->cpu = h->cpu_id;
        if (h->packet_seq_num != 0 || h->events_discarded != 0)
            info->starts_late = true;
    } else {
        if (h->stream_id != s->stream_id || h->cpu_id != s->cpu)
            return stream_fail(set, s, s->next,
                               "a packet of stream %u, CPU %u among those of stream %u, CPU %u",
                               h->stream_id, h->cpu_id, s->stream_id, s->cpu);
        if (h->packet_seq_num <= s->seq)
            return stream_fail(set, s, s->next + 56, "packet %u follows packet %u",
                               h->packet_seq_num, s->seq);
        if (h->events_discarded < s->discarded)
            return stream_fail(set, s, s->next + 48,
                               "events_discarded falls from %u to %u; it counts since the "
                               "stream began",
                               s->discarded, h->events_discarded);
        if (h->timestamp_begin < s->last_ticks)
            return stream_fail(set, s, s->next + 24,
                               "time steps back: the packet begins at %" PRIu64
                               ", the one before ends at %" PRIu64,
                               h->timestamp_begin, s->last_ticks);
        info->lost_packets += h->packet_seq_num - s->seq - 1;
    }
    info->lost_records += h->events_discarded - s->discarded;
    s->discarded = h->events_discarded;
    s->seq = h->packet_seq_num;
    s->started = true;
    info->packets++;
    return 1;
}

static int next_packet(struct stream_set *set, struct stream *s)
{
    struct packet_header h;

    if (s->next == s->size)
        return 0;
    if (s->size - s->next < PACKET_HEADER)
        return stream_fail(set, s, s->next,
                           "%" PRIu64 " bytes are no packet header of 64 (truncated?)",
                           s->size - s->next);
    if (read_at(set, s, &h, sizeof(h), s->next) < 0 || check_header(set, s, &h) < 0 ||
        check_sequence(set, s, &h) < 0)
        return -1;
    if (h.packet_size / 8 > s->room) {
        uint8_t *larger = realloc(s->packet, h.packet_size / 8);

        if (!larger)
            return stream_fail(set, s, s->next, "no memory for a packet of %u bytes",
                               h.packet_size / 8);
        s->packet = larger;
        s->room = h.packet_size / 8;
    }
    if (read_at(set, s, s->packet, h.content_size / 8, s->next) < 0)
        return -1;
    if (h.sum && h.sum != trace_packet_sum(s->packet, h.content_size / 8))
        return stream_fail(set, s, s->next,
                           "the packet is not as it was written: %08x is the sum of its bytes, "
                           "%08x stands in its header (damaged or changed)",
                           trace_packet_sum(s->packet, h.content_size / 8), h.sum);
    s->at = s->next;
    s->next += h.packet_size / 8;
    s->content = h.content_size / 8;
    s->after = PACKET_HEADER;
    s->last_ticks = h.timestamp_begin;
    return 1;
}

static uint64_t to_ns(const struct stream_set *set, uint64_t ticks)
{
    uint64_t freq = set->info.clock_freq;

    if (freq == 1000000000)
        return ticks;
    return (uint64_t)((unsigned __int128)ticks * 1000000000 / freq);
}

/* The record at `after`, checked. */
static int next_record(struct stream_set *set, struct stream *s)
{
    uint64_t header;
    uint64_t offset = s->at + s->after;

    memcpy(&header, s->packet + s->after, sizeof(header));

    const struct trace_event *event = trace_event_of((uint8_t)header);
    uint64_t ticks = header >> 8;

    if (!event)
        return stream_fail(set, s, offset, "no event has id %u", (unsigned)(uint8_t)header);
    if (!set->metadata->events[s->stream_id][event->id].present)
        return stream_fail(set, s, offset, "a record %s, which the metadata does not declare",
                           event->name);
    if (event->size > s->content - s->after)
        return stream_fail(set, s, offset, "a record %s of %u bytes, %u left in the packet",
                           event->name, event->size, s->content - s->after);
    if (ticks < s->last_ticks)
        return stream_fail(set, s, offset,
                           "time steps back from %" PRIu64 " to %" PRIu64 " at a record %s",
                           s->last_ticks, ticks, event->name);
    s->last_ticks = ticks;
    s->position = s->after;
    s->after += event->size;
    s->head = s->packet + s->position;
    s->event = event;
    s->time = to_ns(set, ticks);
    return 1;
}

int stream_advance(struct stream_set *set, struct stream *s)
{
    s->head = NULL;
    /* A packet without a record is allowed: a CPU that was idle when the recorder stopped. */
    while (s->after == s->content) {
        int more = next_packet(set, s);

        if (more <= 0)
            return more;
    }
    if (s->content - s->after < 8)
        return stream_fail(set, s, s->at + s->after, "%u bytes are no record",
                           s->content - s->after);
    return next_record(set, s);
}
