// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/import_ctf.c -- CTF 1.8 of perf and of LTTng's kernel tracer into demand.
 *
 * The streams are mapped and merged by time. Field names differ only by perf's prefix of events
 * ("sched:") and LTTng's underscore before fields and `tid` for `pid`. LTTng stores the low
 * bits of its clock in most events: they are extended from the packet's begin and the event
 * before.
 *
 * Invariants
 *   - No read outside the mapped content of a packet (bits_get()).
 *   - A packet has content <= size <= what is left of the file, and more than 0 bits.
 * Locking    none.
 * Sources    [CTF18], [LTTNG-CTF]
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/endian.h"
#include "trace/import.h"
#include "trace/import_tsdl.h"

#define VALUES_MAX  96u
#define STREAMS_MAX 1024u
#define LENGTH_MAX  (1u << 20)

struct value {
    const char *name;
    int64_t number;
    char text[32];
};

struct cursor {
    const uint8_t *bytes;  // of the packet
    uint64_t at, end;      // bits
    bool failed;
    bool big_endian;  // of what does not say itself
    struct value values[VALUES_MAX];
    uint32_t count;
    uint64_t clock;  // the last integer that a clock maps, and its width
    uint32_t clock_bits;
};

struct stream {
    char name[256];
    const uint8_t *file;
    uint64_t size, packet;  // bytes; start of the packet in hand
    uint64_t packet_size;
    struct cursor c;
    const struct ctf_stream_class *class;
    uint32_t cpu;
    uint64_t discarded;  // events that were lost, up to this packet
    uint64_t ticks;      // of the event in hand
    const struct ctf_event *event;
    bool open;
};

struct import {
    const char *directory;
    struct ctf_metadata m;
    struct stream *streams;
    uint32_t count;
    uint64_t lost;
    bool waking;
};

static bool bad(const struct import *im, const struct stream *s, const char *what)
{
    (void)tool_fail("%s/%s: byte %llu: %s", im->directory, s->name,
                    (unsigned long long)s->packet + s->c.at / 8, what);
    return false;
}

/*
 * --- values ---------------------------------------------------------------------------------
 */

/* In a big-endian integer the first bits are the highest, of a byte and of the number. */
static uint64_t bits_get(struct cursor *c, uint32_t size, bool big_endian)
{
    uint64_t value = 0;

    if (c->failed || size > c->end - c->at) {
        c->failed = true;
        return 0;
    }
    for (uint32_t done = 0; done < size;) {
        uint32_t shift = (uint32_t)(c->at & 7);
        uint32_t part = MIN(8 - shift, size - done);
        unsigned down = big_endian ? 8 - shift - part : shift;
        uint64_t bits = (uint64_t)(c->bytes[c->at / 8] >> down) & ((1u << part) - 1);

        value = big_endian ? value << part | bits : value | bits << done;
        done += part;
        c->at += part;
    }
    return value;
}

static void align_to(struct cursor *c, uint32_t align)
{
    uint64_t at = (c->at + align - 1) & ~(uint64_t)(align - 1);

    if (at > c->end)
        c->failed = true;
    else
        c->at = at;
}

/* LTTng puts an underscore before the names of fields. */
static const char *plain(const char *name)
{
    return name[0] == '_' ? name + 1 : name;
}

static struct value *value_add(struct cursor *c, const char *name)
{
    static struct value rest;
    struct value *v = c->count < VALUES_MAX ? &c->values[c->count++] : &rest;

    *v = (struct value){.name = plain(name)};
    return v;
}

static const struct value *value_get(const struct cursor *c, const char *name)
{
    for (uint32_t i = c->count; i-- > 0;) {
        if (!strcmp(c->values[i].name, name))
            return &c->values[i];
    }
    return NULL;
}

static bool number_get(const struct cursor *c, const char *name, int64_t *out)
{
    const struct value *v = value_get(c, name);

    if (v)
        *out = v->number;
    return v != NULL;
}

static bool is_big(const struct cursor *c, const struct ctf_type *t)
{
    return t->order == CTF_ORDER_BIG || (t->order == CTF_ORDER_NATIVE && c->big_endian);
}

static int64_t integer_get(struct cursor *c, const struct ctf_type *t)
{
    uint64_t value;

    align_to(c, t->align);
    value = bits_get(c, t->size, is_big(c, t));
    if (t->clock) {
        c->clock = value;
        c->clock_bits = t->size;
    }
    if (t->is_signed && t->size < 64 && (value & BIT(t->size - 1)))
        value |= ~(BIT(t->size) - 1);
    return (int64_t)value;
}

static void decode(struct cursor *c, const struct ctf_type *t, const char *name);

static const struct ctf_type *variant_pick(struct cursor *c, const struct ctf_type *t)
{
    const struct value *tag = t->tag ? value_get(c, plain(t->tag)) : NULL;

    for (uint32_t i = 0; tag && i < t->field_count; i++) {
        if (!strcmp(plain(t->fields[i].name), plain(tag->text)))
            return t->fields[i].type;
    }
    c->failed = true;
    return NULL;
}

static void array_decode(struct cursor *c, const struct ctf_type *t, const char *name)
{
    const struct ctf_type *e = t->element;
    uint64_t length = t->length;
    struct value *v;

    if (t->kind == CTF_SEQUENCE) {
        const struct value *tag = value_get(c, plain(t->tag));

        length = tag ? (uint64_t)tag->number : UINT64_MAX;
    }
    if (length > LENGTH_MAX) {
        c->failed = true;
        return;
    }
    align_to(c, t->align);
    if (e->kind == CTF_INTEGER && e->size == 8 && e->align <= 8) {
        v = value_add(c, name);
        for (uint64_t i = 0; i < length && !c->failed; i++) {
            int64_t byte = integer_get(c, e);

            if (i + 1 < sizeof(v->text))
                v->text[i] = (char)byte;
        }
        return;
    }
    /* Nobody asks for elements: their values would only take the room of others. */
    for (uint64_t i = 0; i < length && !c->failed; i++) {
        uint32_t kept = c->count;

        decode(c, e, name);
        c->count = kept;
    }
}

static void string_decode(struct cursor *c, const char *name)
{
    struct value *v = value_add(c, name);
    size_t n = 0;

    align_to(c, 8);
    for (;;) {
        char byte = (char)bits_get(c, 8, false);

        if (c->failed || !byte)
            return;
        if (n + 1 < sizeof(v->text))
            v->text[n++] = byte;
    }
}

static void decode(struct cursor *c, const struct ctf_type *t, const char *name)
{
    struct value *v;

    if (c->failed || !t)
        return;
    switch (t->kind) {
    case CTF_INTEGER:
        v = value_add(c, name);
        v->number = integer_get(c, t);
        break;
    case CTF_FLOAT:
        align_to(c, t->align);
        (void)bits_get(c, t->size, false);
        break;
    case CTF_ENUM:
        v = value_add(c, name);
        v->number = integer_get(c, t->element);
        for (uint32_t i = 0; i < t->range_count; i++) {
            if (v->number >= t->ranges[i].first && v->number <= t->ranges[i].last) {
                snprintf(v->text, sizeof(v->text), "%s", t->ranges[i].name);
                break;
            }
        }
        break;
    case CTF_STRING: string_decode(c, name); break;
    case CTF_ARRAY:
    case CTF_SEQUENCE: array_decode(c, t, name); break;
    case CTF_STRUCT:
        align_to(c, t->align);
        for (uint32_t i = 0; i < t->field_count; i++)
            decode(c, t->fields[i].type, t->fields[i].name);
        break;
    case CTF_VARIANT: decode(c, variant_pick(c, t), name); break;
    }
}

/*
 * --- packets and events ---------------------------------------------------------------------
 */

static bool packet_open(struct import *im, struct stream *s, uint64_t at)
{
    struct cursor *c = &s->c;
    int64_t number = 0, content, size, begin = 0;

    s->packet = at;
    *c = (struct cursor){
        .bytes = s->file + at, .end = (s->size - at) * 8, .big_endian = im->m.big_endian};
    decode(c, im->m.packet_header, "header");
    if (c->failed)
        return bad(im, s, "the file ends inside a packet header");
    if (number_get(c, "magic", &number) && (uint32_t)number != 0xC1FC1FC1u)
        return bad(im, s, "no packet begins here: wrong magic number");
    number = 0;
    (void)number_get(c, "stream_id", &number);
    s->class = NULL;
    for (uint32_t i = 0; i < im->m.stream_count; i++) {
        if (im->m.streams[i].id == (uint64_t)number)
            s->class = &im->m.streams[i];
    }
    if (!s->class)
        return bad(im, s, "a stream id that the metadata does not have");
    c->count = 0;
    decode(c, s->class->packet_context, "context");
    if (c->failed)
        return bad(im, s, "the file ends inside a packet context");
    content = size = (int64_t)((s->size - at) * 8);
    (void)number_get(c, "packet_size", &size);
    if (!number_get(c, "content_size", &content))
        content = size;
    if (size < (int64_t)c->at || size % 8 || (uint64_t)size > (s->size - at) * 8 ||
        content < (int64_t)c->at || content > size)
        return bad(im, s, "the packet's sizes do not fit the file: it is cut off or damaged");
    s->packet_size = (uint64_t)size / 8;
    c->end = (uint64_t)content;
    if (number_get(c, "timestamp_begin", &begin))
        s->ticks = (uint64_t)begin;
    if (number_get(c, "events_discarded", &number) && (uint64_t)number > s->discarded) {
        im->lost += (uint64_t)number - s->discarded;
        s->discarded = (uint64_t)number;
    }
    if (number_get(c, "cpu_id", &number) && number >= 0)
        s->cpu = (uint32_t)number;
    return true;
}

/* Goes to the stream's next event; open is false at the end. False: said. */
static bool stream_next(struct import *im, struct stream *s)
{
    struct cursor *c = &s->c;
    int64_t id = 0;

    while (c->at >= c->end) {
        uint64_t next = s->packet + s->packet_size;

        if (next >= s->size) {
            s->open = false;
            return true;
        }
        if (!packet_open(im, s, next))
            return false;
    }
    c->count = 0;
    c->clock_bits = 0;
    decode(c, s->class->event_header, "header");
    if (!number_get(c, "id", &id))
        id = 0;
    if (c->clock_bits && c->clock_bits < 64) {
        uint64_t mask = BIT(c->clock_bits) - 1;
        uint64_t ticks = (s->ticks & ~mask) | c->clock;

        s->ticks = ticks < s->ticks ? ticks + mask + 1 : ticks;
    } else if (c->clock_bits) {
        s->ticks = c->clock;
    }
    s->event = NULL;
    for (uint32_t i = 0; i < im->m.event_count; i++) {
        const struct ctf_event *e = &im->m.events[i];

        if (e->id == (uint64_t)id && &im->m.streams[e->stream] == s->class)
            s->event = e;
    }
    if (c->failed || !s->event)
        return bad(im, s, "an event that the metadata does not have: damaged data");
    c->count = 0;
    decode(c, s->class->event_context, "context");
    decode(c, s->event->context, "context");
    decode(c, s->event->fields, "fields");
    if (c->failed)
        return bad(im, s, "an event goes past the end of its packet");
    return true;
}

/*
 * --- meaning --------------------------------------------------------------------------------
 */

static uint64_t ns_of(const struct import *im, uint64_t ticks)
{
    if (im->m.clock_freq == 1000000000)
        return ticks;
    return (uint64_t)((unsigned __int128)ticks * 1000000000 / im->m.clock_freq);
}

static enum demand_leave leave_of(uint64_t state)
{
    if (!(state & 0xff))
        return DEMAND_PREEMPTED;
    if (state & 0x30)
        return DEMAND_EXIT;
    return state & 2 ? DEMAND_IO : DEMAND_SLEEP;
}

static bool task_get(const struct cursor *c, const char *tid, const char *pid, int64_t *out)
{
    return (number_get(c, tid, out) || number_get(c, pid, out)) && *out >= 0;
}

static const char *name_get(const struct cursor *c, const char *name)
{
    const struct value *v = value_get(c, name);

    return v ? v->text : NULL;
}

/* perf's conversion says whose sample it is. */
static void sample_tell(const struct cursor *c, struct demand *d)
{
    int64_t thread = 0, process = 0;

    (void)number_get(c, "perf_tid", &thread);
    (void)number_get(c, "perf_pid", &process);
    demand_sampled(d, &(struct demand_sample){
                          .process = process > 0 && process < INT32_MAX ? (uint32_t)process : 0,
                          .gone = thread < 0});
}

static bool event_use(struct import *im, const struct stream *s, struct demand *d,
                      uint64_t *used)
{
    const char *name = s->event->name;
    const struct cursor *c = &s->c;
    uint64_t time = ns_of(im, s->ticks);
    int64_t prev, next, state = 0, flags = 0;

    if (!strncmp(name, "sched:", 6))
        name += 6;
    if (!strcmp(name, "sched_switch")) {
        if (!task_get(c, "prev_tid", "prev_pid", &prev) ||
            !task_get(c, "next_tid", "next_pid", &next) || !number_get(c, "prev_state", &state))
            return bad(im, s, "sched_switch without prev_tid, next_tid or prev_state");
        sample_tell(c, d);
        demand_switch(d, time, s->cpu, (uint32_t)prev, name_get(c, "prev_comm"),
                      leave_of((uint64_t)state), (uint32_t)next, name_get(c, "next_comm"));
        ++*used;
    } else if (!strcmp(name, "sched_waking") || !strcmp(name, "sched_wakeup_new") ||
               (!im->waking && !strcmp(name, "sched_wakeup"))) {
        uint32_t ran = 0;
        bool said;

        if (!task_get(c, "tid", "pid", &next))
            return bad(im, s, "a wake-up without tid");
        /* perf's common_flags: 8 in a hard interrupt, 16 in a soft one. */
        (void)number_get(c, "common_flags", &flags);
        said = number_get(c, "perf_tid", &prev) && prev >= 0;
        if (said)
            ran = (uint32_t)prev;
        demand_wake(d, time, s->cpu, (uint32_t)next, name_get(c, "comm"),
                    flags & 0x18 ? DEMAND_IDLE : DEMAND_CURRENT, said ? &ran : NULL);
    }
    return true;
}

/*
 * --- the directory --------------------------------------------------------------------------
 */

static const uint8_t *mapped(const char *directory, const char *name, uint64_t *size)
{
    char path[4096];
    struct stat info;
    const uint8_t *bytes = NULL;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    *size = 0;
    if (fd < 0 || fstat(fd, &info)) {
        (void)tool_fail("%s: %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        (void)tool_fail("%s: not a regular file", path);
    } else {
        *size = (uint64_t)info.st_size;
        bytes = info.st_size ? mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0)
                             : (const uint8_t *)"";
        if (bytes == MAP_FAILED) {
            (void)tool_fail("%s: %s", path, strerror(errno));
            bytes = NULL;
        }
    }
    if (fd >= 0)
        close(fd);
    return bytes;
}

/*
 * LTTng writes its metadata in packets: magic, uuid[16], checksum, content and packet size in
 * bits, then five bytes (compression, encryption, checksum scheme, version) and text. False:
 * these are none. *text is null if they are damaged, else the caller's to free.
 */
#define METADATA_MAGIC  0x75D11D57u
#define METADATA_HEADER 37u

static uint32_t word_get(const uint8_t *bytes, bool big_endian)
{
    return big_endian ? be32(bytes) : le32(bytes);
}

static bool packets_join(const uint8_t *bytes, uint64_t size, char **text, size_t *length)
{
    bool big_endian = size >= 4 && be32(bytes) == METADATA_MAGIC;
    uint64_t at = 0;

    *text = NULL;
    *length = 0;
    if (size < 4 || word_get(bytes, big_endian) != METADATA_MAGIC)
        return false;
    *text = malloc(size + 1);
    while (*text && at < size) {
        const uint8_t *packet = bytes + at;
        uint64_t content = 0, whole = 0;

        if (size - at >= METADATA_HEADER && word_get(packet, big_endian) == METADATA_MAGIC &&
            !packet[32] && !packet[33]) {
            content = word_get(packet + 24, big_endian) / 8;
            whole = word_get(packet + 28, big_endian) / 8;
        }
        if (content < METADATA_HEADER || content > whole || whole > size - at) {
            free(*text);
            *text = NULL;
            break;
        }
        memcpy(*text + *length, packet + METADATA_HEADER, content - METADATA_HEADER);
        *length += content - METADATA_HEADER;
        at += whole;
    }
    return true;
}

static bool metadata_read(struct import *im)
{
    char error[160] = "";
    uint64_t size;
    const uint8_t *bytes = mapped(im->directory, "metadata", &size);
    char *text;
    size_t length;
    bool good;

    if (!bytes)
        return false;
    if (packets_join(bytes, size, &text, &length)) {
        if (!text)
            (void)tool_fail("%s/metadata: a packet of it is cut off, compressed or damaged",
                            im->directory);
        good = text && ctf_metadata_parse(text, length, &im->m, error, sizeof(error));
        if (text && !good)
            (void)tool_fail("%s/metadata: %s", im->directory, error);
        free(text);
    } else if (size && bytes[0] == '\x1e') {
        (void)tool_fail("%s/metadata: CTF 2; convert it by babeltrace2 2.1's sink.ctf.fs with "
                        "ctf-version=1",
                        im->directory);
        good = false;
    } else {
        good = ctf_metadata_parse((const char *)bytes, size, &im->m, error, sizeof(error));
        if (!good)
            (void)tool_fail("%s/metadata: %s", im->directory, error);
    }
    if (size)
        munmap((void *)(uintptr_t)bytes, size);
    return good;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct stream *)a)->name, ((const struct stream *)b)->name);
}

static bool streams_list(struct import *im)
{
    DIR *dir = opendir(im->directory);
    const struct dirent *entry;

    if (!dir) {
        (void)tool_fail("%s: %s", im->directory, strerror(errno));
        return false;
    }
    im->streams = calloc(STREAMS_MAX, sizeof(*im->streams));
    while (im->streams && (entry = readdir(dir)) != NULL) {
        struct stream *s = &im->streams[im->count];
        char path[4096];
        struct stat info;

        snprintf(path, sizeof(path), "%s/%s", im->directory, entry->d_name);
        if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "metadata") ||
            stat(path, &info) || !S_ISREG(info.st_mode))
            continue;  // LTTng keeps an `index` folder beside the streams
        if (im->count == STREAMS_MAX)
            break;
        snprintf(s->name, sizeof(s->name), "%s", entry->d_name);
        im->count++;
    }
    closedir(dir);
    qsort(im->streams, im->count, sizeof(*im->streams), by_name);
    if (!im->count)
        (void)tool_fail("%s: no stream beside the metadata", im->directory);
    return im->count != 0;
}

static bool streams_open(struct import *im)
{
    for (uint32_t i = 0; i < im->count; i++) {
        struct stream *s = &im->streams[i];

        s->file = mapped(im->directory, s->name, &s->size);
        if (!s->file)
            return false;
        if (!s->size)
            continue;
        s->open = true;
        if (!packet_open(im, s, 0) || !stream_next(im, s))
            return false;
    }
    return true;
}

/*
 * Perf's waits: `sched_waking` is there in any kernel since 4.3; if not, sched_wakeup serves.
 */
static void waking_look(struct import *im)
{
    for (uint32_t i = 0; i < im->m.event_count; i++) {
        if (strstr(im->m.events[i].name, "sched_waking"))
            im->waking = true;
    }
}

static bool merge(struct import *im, struct demand *d)
{
    uint64_t used = 0;

    for (;;) {
        struct stream *first = NULL;

        for (uint32_t i = 0; i < im->count; i++) {
            if (im->streams[i].open && (!first || im->streams[i].ticks < first->ticks))
                first = &im->streams[i];
        }
        if (!first)
            break;
        if (!event_use(im, first, d, &used) || !stream_next(im, first))
            return false;
    }
    if (!used)
        (void)tool_fail("%s: no sched_switch event: record with it enabled", im->directory);
    return used != 0;
}

/*
 * The folder of `lttng create` has the kernel's trace in one below, that of babeltrace2 its
 * only trace. *many says that there are several to choose from.
 */
static const char *trace_folder(const char *directory, char *path, size_t room, bool *many)
{
    static const char kernel[] = "kernel";
    struct dirent *entry;
    struct stat info;
    char found[256] = "";
    DIR *dir;

    *many = false;
    snprintf(path, room, "%s/metadata", directory);
    if (!stat(path, &info) || !(dir = opendir(directory)))
        return directory;
    while ((entry = readdir(dir)) != NULL) {
        snprintf(path, room, "%s/%s/metadata", directory, entry->d_name);
        if (entry->d_name[0] == '.' || stat(path, &info) || !strcmp(found, kernel))
            continue;
        *many = found[0] && strcmp(entry->d_name, kernel) != 0;
        snprintf(found, sizeof(found), "%s", entry->d_name);
    }
    closedir(dir);
    if (!found[0] || *many)
        return directory;
    snprintf(path, room, "%s/%s", directory, found);
    return path;
}

bool import_ctf(const char *directory, struct demand *d)
{
    char path[4096];
    struct import im = {0};
    struct stat info;
    bool many, good;

    if (!stat(directory, &info) && !S_ISDIR(info.st_mode)) {
        (void)tool_fail("%s: a file; name the folder that `metadata` is in", directory);
        return false;
    }
    im.directory = trace_folder(directory, path, sizeof(path), &many);
    if (many) {
        (void)tool_fail("%s: several traces are in it; name the folder of one", directory);
        return false;
    }
    good = metadata_read(&im);

    if (good) {
        waking_look(&im);
        good = streams_list(&im) && streams_open(&im) && merge(&im, d);
        demand_lost(d, im.lost);
    }
    for (uint32_t i = 0; i < im.count; i++) {
        if (im.streams[i].size)
            munmap((void *)(uintptr_t)im.streams[i].file, im.streams[i].size);
    }
    free(im.streams);
    ctf_metadata_free(&im.m);
    return good;
}
