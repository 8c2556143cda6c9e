// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/platform/trace_dir.c -- a simulation's trace as a directory.
 *
 * Packets come from the recorder whole and are written as they are, with their sum. Whether
 * there is a directory at all makes no difference to the run: the recorder does the same work
 * and forms the same hash.
 *
 * Invariants
 *   - A failure to write is kept and said once, at the end; the run goes on.
 * Locking    none: one thread.
 */
#include "sim/platform/trace_dir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/trace_frame.h"

#ifndef ORRERY_GIT
#define ORRERY_GIT "unknown"  // the Makefile says
#endif

struct trace_dir {
    struct trace_sink sink;
    FILE *files[TRACE_STREAMS];
    char *path;
    char *notes;
    size_t notes_size;
    FILE *notes_file;  // writes into notes
    int error;         // the first errno
};

static FILE *create(struct trace_dir *dir, const char *name)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", dir->path, name);

    FILE *file = fopen(path, "wb");

    if (!file && !dir->error)
        dir->error = errno;
    return file;
}

static void write_all(struct trace_dir *dir, FILE *file, const void *bytes, size_t size)
{
    if (file && fwrite(bytes, 1, size, file) != size && !dir->error)
        dir->error = errno ? errno : EIO;
}

static void close_file(struct trace_dir *dir, FILE *file)
{
    if (file && fclose(file) && !dir->error)
        dir->error = errno;
}

/* The checkpoints go into run.env too, so that two runs can be compared without the streams. */
static void note_checkpoints(struct trace_dir *dir, const unsigned char *packet)
{
    uint32_t bits;

    memcpy(&bits, packet + TRACE_PACKET_CONTENT_AT, sizeof(bits));
    for (size_t at = TRACE_PACKET_HEADER; at + 8 <= bits / 8;) {
        uint64_t head;

        memcpy(&head, packet + at, sizeof(head));

        size_t words = trace_record_words(head);

        if (!words)
            break;
        if ((head & 0xff) == RECORD_checkpoint) {
            struct record_checkpoint r;

            memcpy(&r, packet + at, sizeof(r));
            trace_dir_note(dir, "checkpoint", "%llu %016llx %llu",
                           (unsigned long long)r.records, (unsigned long long)r.hash,
                           (unsigned long long)(head >> 8));
        }
        at += words * 8;
    }
}

static void take_packet(void *owner, unsigned stream, const void *packet, size_t size)
{
    struct trace_dir *dir = owner;
    const unsigned char *bytes = packet;
    uint32_t bits, sum;
    char name[16];

    if (!dir->files[stream]) {
        snprintf(name, sizeof(name), stream == TRACE_SYS ? "sys" : "pcpu%u", stream);
        dir->files[stream] = create(dir, name);
    }
    memcpy(&bits, bytes + TRACE_PACKET_CONTENT_AT, sizeof(bits));
    sum = trace_packet_sum(packet, bits / 8);
    write_all(dir, dir->files[stream], bytes, TRACE_PACKET_SUM_AT);
    write_all(dir, dir->files[stream], &sum, sizeof(sum));
    write_all(dir, dir->files[stream], bytes + TRACE_PACKET_SUM_AT + sizeof(sum),
              size - TRACE_PACKET_SUM_AT - sizeof(sum));
    if (stream == TRACE_SYS)
        note_checkpoints(dir, packet);
}

static bool is_empty(const char *path)
{
    DIR *d = opendir(path);
    bool empty = true;

    if (!d)
        return false;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        empty = empty && (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."));
    closedir(d);
    return empty;
}

struct trace_dir *trace_dir_create(const char *path)
{
    struct trace_dir *dir = calloc(1, sizeof(*dir));
    char run[4096];

    if (!dir)
        abort();
    if (mkdir(path, 0777) && errno != EEXIST) {
        fprintf(stderr, "trace: cannot make %s: %s\n", path, strerror(errno));
        free(dir);
        return NULL;
    }
    if (!is_empty(path)) {
        fprintf(stderr, "trace: %s is not an empty directory; give a new one\n", path);
        free(dir);
        return NULL;
    }
    dir->path = strdup(path);
    snprintf(run, sizeof(run), "%s/run", path);
    if (mkdir(run, 0777))
        dir->error = errno;
    dir->notes_file = open_memstream(&dir->notes, &dir->notes_size);
    dir->sink = (struct trace_sink){take_packet, dir};
    return dir;
}

const struct trace_sink *trace_dir_sink(struct trace_dir *dir)
{
    return &dir->sink;
}

void trace_dir_note(struct trace_dir *dir, const char *name, const char *format, ...)
{
    va_list arguments;

    fprintf(dir->notes_file, "%s=", name);
    va_start(arguments, format);
    vfprintf(dir->notes_file, format, arguments);
    va_end(arguments);
    fputc('\n', dir->notes_file);
}

bool trace_dir_finish(struct trace_dir *dir, const struct trace_state *trace)
{
    static char text[TRACE_METADATA_MAX];
    struct trace_totals sum;
    uint64_t records, hash = trace_hash_of(trace, &records);
    size_t length = trace_metadata(trace, text, sizeof(text));
    FILE *file = create(dir, "metadata");

    write_all(dir, file, text, length);
    close_file(dir, file);
    trace_totals_of(trace, &sum);
    trace_dir_note(dir, "git", "%s", ORRERY_GIT);
    trace_dir_note(dir, "records", "%llu", (unsigned long long)sum.records);
    trace_dir_note(dir, "hashed", "%llu", (unsigned long long)records);
    trace_dir_note(dir, "hash", "%016llx", (unsigned long long)hash);
    trace_dir_note(dir, "discarded", "%llu", (unsigned long long)sum.discarded);
    fclose(dir->notes_file);
    file = create(dir, "run/run.env");
    write_all(dir, file, dir->notes, dir->notes_size);
    close_file(dir, file);
    for (unsigned i = 0; i < TRACE_STREAMS; i++)
        close_file(dir, dir->files[i]);

    bool good = !dir->error && length < sizeof(text);

    if (dir->error)
        fprintf(stderr, "trace: writing %s: %s\n", dir->path, strerror(dir->error));
    free(dir->notes);
    free(dir->path);
    free(dir);
    return good;
}
