// SPDX-License-Identifier: BSD-2-Clause
/*
 * scripts/trace-split.c -- take the image's byte stream apart: a trace directory comes out.
 *
 * usage: trace-split STREAM DIR
 *
 * STREAM is what core/trace_out.c wrote: the trace disk of an emulator, or a serial line's file
 * in which other text may stand between frames. DIR gets metadata, pcpu0..pcpuN, sys, and
 * run/run.env: in a folder of its own, because babeltrace2 takes every file beside the metadata
 * for a stream.
 * Every sum is checked, every frame and packet is counted against what the image says it sent.
 *
 * Invariants
 *   - What is written to DIR is whole packets, in order; anything missing is said.
 *   - Any input is safe: lengths are checked before they are used.
 * Status     0 whole, 1 written as far as it goes (said on stderr), 2 usage, 3 nothing to
 *            write.
 * Locking    none: one thread.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE  // SEEK_DATA
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/trace_frame.h"

#define STREAMS     65u
#define SYS         64u
#define PACKET      65536u
#define PACKET_HEAD 64u
#define CTF_MAGIC   0xc1fc1fc1u
#define WINDOW      (1u << 20)
#define TEXT_MAX    (1u << 20)

struct stream {
    FILE *file;
    unsigned char packet[PACKET];
    uint32_t have;    // bytes of the packet in hand
    uint32_t number;  // its number
    uint32_t next;    // the number that is due
    uint32_t whole;   // packets written
    bool any;
};

static struct {
    const char *name, *directory;
    int fd;
    unsigned char window[WINDOW + sizeof(struct trace_frame) + TRACE_FRAME_BODY];
    uint64_t at;      // offset of window[0]
    size_t size;      // bytes in it
    uint64_t frames;  // good ones
    uint32_t due;     // number of the next
    unsigned faults;
    bool ended, has_metadata;
    struct stream streams[STREAMS];
    char *text[2];  // metadata, info
    size_t text_size[2];
} in;

static void __attribute__((format(printf, 1, 2))) fault(const char *format, ...)
{
    va_list arguments;

    if (in.faults++ >= 20)
        return;
    fprintf(stderr, "trace-split: %s: ", in.name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "trace-split: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(3);
}

static void make_directory(const char *name)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", in.directory, name);
    if (mkdir(path, 0777) && errno != EEXIST)
        die("cannot make %s: %s", path, strerror(errno));
}

static FILE *create(const char *name)
{
    char path[4096];

    if (snprintf(path, sizeof(path), "%s/%s", in.directory, name) >= (int)sizeof(path))
        die("%s: the name is too long", in.directory);

    FILE *file = fopen(path, "wb");

    if (!file)
        die("cannot write %s: %s", path, strerror(errno));
    return file;
}

static void write_all(FILE *file, const void *bytes, size_t size)
{
    if (fwrite(bytes, 1, size, file) != size)
        die("writing to %s: %s", in.directory, strerror(errno));
}

static uint32_t word_at(const unsigned char *bytes, size_t offset)
{
    uint32_t word;

    memcpy(&word, bytes + offset, 4);
    return word;
}

/* A whole packet is in hand. */
static void packet_done(uint32_t index)
{
    struct stream *s = &in.streams[index];
    char name[16];
    uint32_t sum;

    if (word_at(s->packet, 0) != CTF_MAGIC || word_at(s->packet, 40) != s->have * 8u ||
        word_at(s->packet, 44) != PACKET * 8u || word_at(s->packet, 56) != s->number) {
        fault("stream %u, packet %u: its header contradicts the frame; left out", index,
              s->number);
        return;
    }
    if (!s->file) {
        snprintf(name, sizeof(name), index == SYS ? "sys" : "pcpu%u", index);
        s->file = create(name);
    }
    memset(s->packet + s->have, 0, PACKET - s->have);
    sum = trace_packet_sum(s->packet, s->have);
    memcpy(s->packet + TRACE_PACKET_SUM_AT, &sum, sizeof(sum));
    write_all(s->file, s->packet, PACKET);
    s->whole++;
}

static void take_packet(const struct trace_frame *f, const unsigned char *body)
{
    if (f->stream >= STREAMS || f->total < PACKET_HEAD || f->total > PACKET) {
        fault("frame %u: stream %u, %u bytes: not a packet of ours", f->number, f->stream,
              f->total);
        return;
    }

    struct stream *s = &in.streams[f->stream];

    if (f->offset == 0) {
        if (s->any && f->packet != s->next)
            fault("stream %u: packets %u to %u are missing", f->stream, s->next, f->packet - 1);
        s->any = true;
        s->next = f->packet + 1;
        s->number = f->packet;
        s->have = 0;
    } else if (!s->any || f->packet != s->number || f->offset != s->have) {
        fault("stream %u, packet %u: a part before byte %u is missing; left out", f->stream,
              f->packet, f->offset);
        s->have = PACKET + 1;  // nothing fits behind that
        return;
    }
    memcpy(s->packet + s->have, body, f->length);
    s->have += f->length;
    if (s->have == f->total)
        packet_done(f->stream);
}

static void take_text(const struct trace_frame *f, const unsigned char *body, unsigned which)
{
    if (f->total > TEXT_MAX || f->offset != in.text_size[which]) {
        fault("frame %u: a part of the %s is missing", f->number, which ? "info" : "metadata");
        return;
    }
    in.text[which] = realloc(in.text[which], in.text_size[which] + f->length + 1);
    if (!in.text[which])
        die("no memory");
    memcpy(in.text[which] + in.text_size[which], body, f->length);
    in.text_size[which] += f->length;
    if (!which && in.text_size[which] == f->total)
        in.has_metadata = true;
}

static void take_end(const struct trace_frame *f, const unsigned char *body)
{
    struct trace_frame_end e;

    in.ended = true;
    for (uint32_t at = 0; at + sizeof(e) <= f->length; at += sizeof(e)) {
        memcpy(&e, body + at, sizeof(e));
        if (e.stream >= STREAMS || e.packets < e.first) {
            fault("frame %u: the end speaks of stream %u, packets %u to %u", f->number,
                  e.stream, e.first, e.packets);
            continue;
        }

        uint32_t sent = e.packets - e.first, got = in.streams[e.stream].whole;

        if (got != sent)
            fault("stream %u: %u packets of %u are here", e.stream, got, sent);
        if (e.discarded || e.overwritten)
            fprintf(stderr,
                    "trace-split: stream %u: of %llu records the image lost %llu and overwrote "
                    "%llu\n",
                    e.stream, (unsigned long long)(e.records + e.discarded),
                    (unsigned long long)e.discarded, (unsigned long long)e.overwritten);
    }
}

static void take(const struct trace_frame *f, const unsigned char *body)
{
    if (f->number != in.due)
        fault("%u frames are missing before frame %u", f->number - in.due, f->number);
    in.due = f->number + 1;
    in.frames++;
    switch (f->kind) {
    case TRACE_FRAME_METADATA: take_text(f, body, 0); break;
    case TRACE_FRAME_INFO: take_text(f, body, 1); break;
    case TRACE_FRAME_PACKET: take_packet(f, body); break;
    case TRACE_FRAME_END: take_end(f, body); break;
    default: fault("frame %u: kind %u is unknown", f->number, f->kind);
    }
}

/* A frame at window + i: its whole size, or 0. */
static size_t frame_at(size_t i)
{
    struct trace_frame f;

    if (in.size - i < sizeof(f))
        return 0;
    memcpy(&f, in.window + i, sizeof(f));
    if (f.magic != TRACE_FRAME_MAGIC)
        return 0;

    uint64_t sum = f.head_sum;

    f.head_sum = 0;
    if (trace_frame_sum(&f, sizeof(f)) != sum || f.length > TRACE_FRAME_BODY ||
        f.offset > f.total || f.length > f.total - f.offset) {
        fault("byte %llu: a damaged frame head", (unsigned long long)(in.at + i));
        return 0;
    }
    if (in.size - i < sizeof(f) + f.length) {
        fault("byte %llu: the file ends inside frame %u", (unsigned long long)(in.at + i),
              f.number);
        return 0;
    }

    const unsigned char *body = in.window + i + sizeof(f);

    if (trace_frame_sum(body, f.length) != f.body_sum) {
        fault("byte %llu: frame %u is damaged: its sum is wrong",
              (unsigned long long)(in.at + i), f.number);
        return 0;
    }
    take(&f, body);
    return sizeof(f) + f.length;
}

/* Fills the window from `offset` on, over holes; false at the end of the file. */
static bool refill(uint64_t offset)
{
    off_t data = lseek(in.fd, (off_t)offset, SEEK_DATA);

    if (data < 0 && errno == ENXIO)
        return false;
    in.at = data > (off_t)offset ? (uint64_t)data : offset;
    in.size = 0;
    while (in.size < sizeof(in.window)) {
        ssize_t n = pread(in.fd, in.window + in.size, sizeof(in.window) - in.size,
                          (off_t)(in.at + in.size));

        if (n < 0)
            die("reading %s: %s", in.name, strerror(errno));
        if (n == 0)
            break;
        in.size += (size_t)n;
    }
    return in.size >= sizeof(struct trace_frame);
}

static void scan(void)
{
    uint64_t offset = 0;

    while (!in.ended && refill(offset)) {
        size_t i = 0, limit = in.size > WINDOW ? WINDOW : in.size;

        while (i < limit && !in.ended) {
            unsigned char *head =
                memchr(in.window + i, (int)(TRACE_FRAME_MAGIC & 0xff), limit - i);

            if (!head) {
                i = limit;
                break;
            }
            i = (size_t)(head - in.window);

            size_t used = frame_at(i);

            i += used ? used : 1;
        }
        offset = in.at + i;
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        puts(
            "usage: trace-split STREAM DIR\n\n"
            "Takes what the image wrote to its trace disk (or serial line) apart into a trace\n"
            "directory. Status: 0 whole, 1 something is missing (said), 2 usage, 3 no trace.");
        return 0;
    }
    if (argc != 3) {
        fputs("usage: trace-split STREAM DIR (try --help)\n", stderr);
        return 2;
    }
    in.name = argv[1];
    in.directory = argv[2];
    in.fd = open(in.name, O_RDONLY);
    if (in.fd < 0)
        die("cannot read %s: %s", in.name, strerror(errno));
    if (mkdir(in.directory, 0777) && errno != EEXIST)
        die("cannot make %s: %s", in.directory, strerror(errno));
    scan();
    if (!in.frames)
        die("%s: no frame of a trace in it; was the image booted with trace=...?", in.name);
    if (!in.has_metadata)
        die("%s: the metadata is missing or damaged, so nothing can be read", in.name);

    FILE *file = create("metadata");

    write_all(file, in.text[0], in.text_size[0]);
    if (fclose(file))
        die("writing %s/metadata: %s", in.directory, strerror(errno));
    make_directory("run");
    file = create("run/run.env");
    write_all(file, in.text[1] ? in.text[1] : "", in.text_size[1]);
    if (fclose(file))
        die("writing %s/run/run.env: %s", in.directory, strerror(errno));
    for (unsigned i = 0; i < STREAMS; i++) {
        if (in.streams[i].file && fclose(in.streams[i].file))
            die("writing %s: %s", in.directory, strerror(errno));
    }
    if (!in.ended)
        fault("no end: the image was stopped; what it had sent is here, the rest is not");
    if (in.faults > 20)
        fprintf(stderr, "trace-split: %s: %u faults in all\n", in.name, in.faults);
    return in.faults ? 1 : 0;
}
