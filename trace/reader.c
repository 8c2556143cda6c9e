// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/reader.c -- merges the streams of a trace into the order in which it happened.
 *
 * Timestamps alone do not order what several CPUs did to the scheduler: two clocks differ by
 * more than a lock's hand-over takes. So the inputs of the scheduler carry a number counted
 * under its lock, and the merge is a topological one: a stream whose next record is an input
 * waits (in the heap `by_seq`) until all lower numbers are out; among the others (heap
 * `by_time`) the earliest goes first. When those are all long past the lowest number that
 * waits, records are missing: it goes, and the gap is counted.
 *
 *     stream --- head is the next input, or no input ---> by_time --- earliest ---> out
 *        ^  \--- head is a later input ---> by_seq --- its turn ---> by_time         |
 *        +---------------------------------------------------------------------------+
 *
 * Invariants
 *   - Every stream that has a head is in exactly one heap, or is `last` (the one handed out
 *     from).
 *   - The decisions behind an input follow it at once: `last` keeps its turn for them.
 * Locking    none: one thread.
 * Sources    docs/orrery-trace.md
 */
#include "trace/reader.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "trace/stream.h"

#define METADATA_MAX (4u << 20)
#define SEQ_BASE     BIT(40)       // so that the count may also look back
#define SKEW_NS      100000000ull  // by which clocks of two CPUs surely do not differ
/* Streams ordered by a key; a binary heap, ties by stream. */
struct heap {
    unsigned count;
    struct {
        uint64_t key;
        unsigned stream;
    } at[TRACE_STREAMS_MAX];
};

struct trace_reader {
    struct stream_set set;
    struct tsdl metadata;
    char *directory;
    const char *only;  // this stream; null: all
    unsigned count;
    struct stream streams[TRACE_STREAMS_MAX];
    struct heap by_time, by_seq;
    int last;           // handed out from, to be advanced next; -1: none
    bool sticky;        // its next decisions follow at once
    bool primed;        // all streams have their first head
    bool seq_known;     // an input was seen
    uint64_t seq_next;  // its number plus one, counted on beyond 32 bits
    bool failed;
    uint64_t index;
    uint64_t of_cpus;  // records that checkpoints count: those of CPUs' streams
    uint64_t checked;  // so many, says the last checkpoint
};

static bool heap_before(const struct heap *h, unsigned a, unsigned b)
{
    if (h->at[a].key != h->at[b].key)
        return h->at[a].key < h->at[b].key;
    return h->at[a].stream < h->at[b].stream;
}

static void heap_swap(struct heap *h, unsigned a, unsigned b)
{
    __typeof__(h->at[0]) kept = h->at[a];

    h->at[a] = h->at[b];
    h->at[b] = kept;
}

static void heap_push(struct heap *h, uint64_t key, unsigned stream)
{
    unsigned i = h->count++;

    h->at[i].key = key;
    h->at[i].stream = stream;
    for (; i && heap_before(h, i, (i - 1) / 2); i = (i - 1) / 2)
        heap_swap(h, i, (i - 1) / 2);
}

static unsigned heap_pop(struct heap *h)
{
    unsigned first = h->at[0].stream;

    h->at[0] = h->at[--h->count];
    for (unsigned i = 0;;) {
        unsigned least = i;

        for (unsigned child = 2 * i + 1; child <= 2 * i + 2; child++) {
            if (child < h->count && heap_before(h, child, least))
                least = child;
        }
        if (least == i)
            return first;
        heap_swap(h, i, least);
        i = least;
    }
}

static bool is_input(const struct stream *s)
{
    return s->event->id == RECORD_sched_input || s->event->id == RECORD_sched_input_wide;
}

static bool is_decision(const struct stream *s)
{
    switch (s->event->id) {
    case RECORD_sched_switch:
    case RECORD_sched_migrate:
    case RECORD_sched_state:
    case RECORD_sched_costop:
    case RECORD_sched_costart: return true;
    default: return false;
    }
}

/* Both kinds of input begin alike. */
static uint32_t input_seq(const struct stream *s)
{
    uint32_t seq;

    memcpy(&seq, s->head + offsetof(struct record_sched_input, seq), sizeof(seq));
    return seq;
}
_Static_assert(offsetof(struct record_sched_input, seq) ==
                   offsetof(struct record_sched_input_wide, seq),
               "input_seq()");

static uint64_t offset_of(const struct stream *s)
{
    return s->at + s->position;
}

/* A number of 32 bits in the 64-bit order: the one nearest to where the count stands. */
static uint64_t seq_key(const struct trace_reader *r, uint32_t seq)
{
    return r->seq_next + (uint64_t)(int64_t)(int32_t)(seq - (uint32_t)r->seq_next);
}

/* Puts a stream that has a head into the heap where it waits. */
static int queue(struct trace_reader *r, unsigned i)
{
    struct stream *s = &r->streams[i];

    if (!is_input(s)) {
        heap_push(&r->by_time, s->time, i);
        return 1;
    }

    uint32_t seq = input_seq(s);
    uint64_t key = seq_key(r, seq);

    if (s->has_input && (int32_t)(seq - s->last_input) <= 0)
        return stream_fail(&r->set, s, offset_of(s), "input %u follows input %u", seq,
                           s->last_input);
    s->has_input = true;
    s->last_input = seq;
    if (r->seq_known && key < r->seq_next)
        return stream_fail(&r->set, s, offset_of(s), "two inputs have number %u", seq);
    if (r->seq_known && key == r->seq_next)
        heap_push(&r->by_time, s->time, i);
    else
        heap_push(&r->by_seq, key, i);
    return 1;
}

static int advance(struct trace_reader *r, unsigned i)
{
    int more = stream_advance(&r->set, &r->streams[i]);

    return more == 1 ? queue(r, i) : more;
}

/*
 * Does the lowest waiting input wait for one that will not come? Nobody has it, if all who
 * might are further on in time than clocks and locks could explain; the very first waits for
 * none.
 */
static bool waits_in_vain(const struct trace_reader *r)
{
    const struct stream *lowest = &r->streams[r->by_seq.at[0].stream];

    if (!r->by_time.count || (!r->seq_known && r->by_seq.at[0].key == SEQ_BASE))
        return true;
    return r->by_time.at[0].key > lowest->time && r->by_time.at[0].key - lowest->time > SKEW_NS;
}

/* The lowest waiting input goes without the one before it. */

static void release_lowest(struct trace_reader *r)
{
    unsigned i = heap_pop(&r->by_seq);
    uint32_t seq = input_seq(&r->streams[i]);
    uint64_t key = seq_key(r, seq);

    if (r->seq_known) {
        r->set.info.seq_gaps += key - r->seq_next;
    } else {
        r->set.info.first_seq = seq;
        r->seq_known = true;
    }
    r->seq_next = key;
    heap_push(&r->by_time, r->streams[i].time, i);
}

/* An input goes out: whoever holds the next number may go by time now. */
static int input_out(struct trace_reader *r, const struct stream *s)
{
    r->seq_next = seq_key(r, input_seq(s)) + 1;
    r->sticky = true;
    if (!r->by_seq.count || r->by_seq.at[0].key > r->seq_next)
        return 1;

    unsigned i = heap_pop(&r->by_seq);
    struct stream *next = &r->streams[i];

    if (seq_key(r, input_seq(next)) < r->seq_next)
        return stream_fail(&r->set, next, offset_of(next), "two inputs have number %u",
                           input_seq(next));
    heap_push(&r->by_time, next->time, i);
    return 1;
}

/* The stream to hand out from next; -1: the end; -2: bad. */
static int choose(struct trace_reader *r)
{
    if (!r->primed) {
        r->primed = true;
        for (unsigned i = 0; i < r->count; i++) {
            if (advance(r, i) < 0)
                return -2;
        }
    } else if (r->last >= 0) {
        unsigned i = (unsigned)r->last;
        struct stream *s = &r->streams[i];

        r->last = -1;
        if (r->sticky) {
            int more = stream_advance(&r->set, s);

            if (more < 0)
                return -2;
            if (more && is_decision(s))
                return (int)i;
            r->sticky = false;
            if (more && queue(r, i) < 0)
                return -2;
        } else if (advance(r, i) < 0) {
            return -2;
        }
    }
    if (r->by_seq.count && waits_in_vain(r))
        release_lowest(r);
    return r->by_time.count ? (int)heap_pop(&r->by_time) : -1;
}

int trace_next(struct trace_reader *r, struct trace_record *record)
{
    if (r->failed)
        return -1;

    int chosen = choose(r);

    if (chosen == -1) {
        if (!r->only && r->checked > r->of_cpus)
            r->set.info.missing = r->checked - r->of_cpus;
        return 0;
    }
    if (chosen == -2) {
        r->failed = true;
        return -1;
    }

    struct stream *s = &r->streams[chosen];
    struct trace_info *info = &r->set.info;

    r->last = chosen;
    if (is_input(s) && input_out(r, s) < 0) {
        r->failed = true;
        return -1;
    }
    r->of_cpus += s->stream_id != TRACE_STREAM_SYS;
    if (s->event->id == RECORD_checkpoint) {
        struct record_checkpoint checkpoint;

        memcpy(&checkpoint, s->head, sizeof(checkpoint));
        r->checked = MAX(r->checked, checkpoint.records);
    }
    if (s->event->id == RECORD_lost) {
        struct record_lost lost;

        memcpy(&lost, s->head, sizeof(lost));
        info->lost_marked += lost.count;
    }
    *record = (struct trace_record){
        .time = s->time,
        .event = s->event,
        .bytes = s->head,
        .stream = (unsigned)chosen,
        .cpu = s->cpu,
        .index = r->index++,
        .offset = offset_of(s),
    };
    if (!info->records++)
        info->first_time = s->time;
    info->last_time = MAX(info->last_time, s->time);
    return 1;
}

/*
 * --- opening ---------------------------------------------------------------------------------
 */

static bool fail_open(struct trace_reader *r, const char *format, ...) printf_like(2, 3);
static bool fail_open(struct trace_reader *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->set.error, sizeof(r->set.error), format, args);
    va_end(args);
    return false;
}

static char *read_metadata(struct trace_reader *r, size_t *size)
{
    char path[4096];
    struct stat st;

    snprintf(path, sizeof(path), "%s/metadata", r->directory);
    if (stat(r->directory, &st) < 0) {
        fail_open(r, "%s: %s", r->directory, strerror(errno));
        return NULL;
    }
    if (!S_ISDIR(st.st_mode)) {
        fail_open(r, "%s: a trace is a directory with `metadata` and stream files",
                  r->directory);
        return NULL;
    }

    FILE *file = fopen(path, "re");

    if (!file || fstat(fileno(file), &st) < 0 || !S_ISREG(st.st_mode)) {
        fail_open(r, "%s: %s", path, file ? "is not a regular file" : strerror(errno));
        if (file)
            fclose(file);
        return NULL;
    }
    if (st.st_size > METADATA_MAX) {
        fail_open(r, "%s: %lld bytes are too many for metadata", path, (long long)st.st_size);
        fclose(file);
        return NULL;
    }

    char *text = malloc((size_t)st.st_size + 1);

    *size = text ? fread(text, 1, (size_t)st.st_size, file) : 0;
    fclose(file);
    if (!text)
        fail_open(r, "%s: no memory", path);
    return text;
}

/* Was the trace written from the table that this tool was built from? */
static bool check_event(struct trace_reader *r, const struct tsdl_event *told, unsigned id)
{
    const struct trace_event *event = trace_event_of(id);

    if (!event)
        return fail_open(r,
                         "%s/metadata: line %u: event %s has id %u, which this tool does not "
                         "know: the trace is of another version",
                         r->directory, told->line, told->name, id);
    if (strcmp(event->name, told->name) != 0)
        return fail_open(r, "%s/metadata: line %u: id %u is %s, here it is %s", r->directory,
                         told->line, id, told->name, event->name);
    if (event->field_count != told->field_count)
        return fail_open(r, "%s/metadata: line %u: event %s has %u fields, here it has %u",
                         r->directory, told->line, told->name, told->field_count,
                         event->field_count);
    for (unsigned i = 0; i < event->field_count; i++) {
        const struct tsdl_field *a = &told->fields[i];
        const struct trace_field *b = &event->fields[i];

        if (strcmp(a->name, b->name) != 0 || a->bytes != b->size)
            return fail_open(r,
                             "%s/metadata: line %u: event %s: field %u is %s of %u bytes, here "
                             "it is %s of %u",
                             r->directory, told->line, told->name, i + 1, a->name, a->bytes,
                             b->name, b->size);
    }
    return true;
}

const char *trace_env(const struct trace_reader *r, const char *name)
{
    for (unsigned i = 0; i < r->metadata.env_count; i++) {
        if (!strcmp(r->metadata.env[i].name, name))
            return r->metadata.env[i].value;
    }
    return NULL;
}

static void copy_env(const struct trace_reader *r, const char *name, char *out, size_t room)
{
    const char *value = trace_env(r, name);

    snprintf(out, room, "%.*s", (int)(room - 1), value ? value : "");
}

static bool use_metadata(struct trace_reader *r)
{
    struct trace_info *info = &r->set.info;
    const struct tsdl *m = &r->metadata;
    size_t size;
    char *text = read_metadata(r, &size);
    char why[256];

    if (!text)
        return false;

    bool good = tsdl_parse(text, size, &r->metadata, why, sizeof(why));

    free(text);
    if (!good)
        return fail_open(r, "%s/metadata: %s", r->directory, why);
    for (unsigned stream = 0; stream < TSDL_STREAMS; stream++) {
        for (unsigned id = 0; id < TSDL_EVENTS_MAX; id++) {
            if (m->events[stream][id].present && !check_event(r, &m->events[stream][id], id))
                return false;
        }
    }
    info->clock_freq = m->clock_freq ? m->clock_freq : 1000000000;
    if (m->has_uuid) {
        char *at = info->uuid;

        for (unsigned i = 0; i < 16; i++)
            at += sprintf(at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                          m->uuid[i]);
    }
    copy_env(r, "policy", info->policy, sizeof(info->policy));
    copy_env(r, "loop", info->loop, sizeof(info->loop));
    copy_env(r, "seed", info->seed, sizeof(info->seed));
    copy_env(r, "hostname", info->host, sizeof(info->host));
    return true;
}

/* pcpu12 -> 13, sys -> 0, anything else -> -1: the order of streams, and of ties in time. */
static long stream_rank(const char *name)
{
    char *end;
    long number;

    if (!strcmp(name, "sys"))
        return 0;
    if (strncmp(name, "pcpu", 4) != 0 || name[4] < '0' || name[4] > '9' || strlen(name) > 12)
        return -1;
    number = strtol(name + 4, &end, 10);
    return *end ? -1 : number + 1;
}

static int by_rank(const void *a, const void *b)
{
    long x = stream_rank(*(char *const *)a);
    long y = stream_rank(*(char *const *)b);

    return x < y ? -1 : x > y;
}

static bool open_streams(struct trace_reader *r)
{
    char *names[TRACE_STREAMS_MAX];
    unsigned count = 0;
    bool good = true;
    DIR *dir = opendir(r->directory);

    if (!dir)
        return fail_open(r, "%s: %s", r->directory, strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (stream_rank(entry->d_name) < 0 || (r->only && strcmp(r->only, entry->d_name) != 0))
            continue;
        if (count == TRACE_STREAMS_MAX) {
            good = fail_open(r, "%s: more than %u streams", r->directory, TRACE_STREAMS_MAX);
            break;
        }
        names[count] = strdup(entry->d_name);
        if (!names[count]) {
            good = fail_open(r, "%s: no memory", r->directory);
            break;
        }
        count++;
    }
    closedir(dir);
    qsort(names, count, sizeof(names[0]), by_rank);
    for (unsigned i = 0; i < count; i++) {
        if (good) {
            good = stream_open(&r->set, &r->streams[i], names[i]);
            r->count = i + 1;
        }
        free(names[i]);
    }
    if (good && !count)
        return fail_open(r, "%s: no stream file (pcpu0, pcpu1 ..., sys)", r->directory);
    r->set.info.streams = count;
    return good;
}

struct trace_reader *trace_open_stream(const char *directory, const char *stream,
                                       char error[TRACE_ERROR])
{
    struct trace_reader *r = calloc(1, sizeof(*r));

    if (r)
        r->directory = strdup(directory);
    if (!r || !r->directory) {
        snprintf(error, TRACE_ERROR, "%s: no memory", directory);
        free(r);
        return NULL;
    }
    /* A path with a slash at its end reads badly in messages. */
    for (size_t n = strlen(r->directory); n > 1 && r->directory[n - 1] == '/'; n--)
        r->directory[n - 1] = '\0';
    r->set.directory = r->directory;
    r->set.metadata = &r->metadata;
    r->last = -1;
    r->seq_next = SEQ_BASE;
    r->only = stream;
    if (!use_metadata(r) || !open_streams(r)) {
        snprintf(error, TRACE_ERROR, "%s", r->set.error);
        trace_close(r);
        return NULL;
    }
    return r;
}

struct trace_reader *trace_open(const char *directory, char error[TRACE_ERROR])
{
    return trace_open_stream(directory, NULL, error);
}

void trace_close(struct trace_reader *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < r->count; i++)
        stream_close(&r->streams[i]);
    free(r->directory);
    free(r);
}

void trace_rewind(struct trace_reader *r)
{
    struct trace_info *info = &r->set.info;

    for (unsigned i = 0; i < r->count; i++)
        stream_rewind(&r->streams[i]);
    r->by_time.count = r->by_seq.count = 0;
    r->last = -1;
    r->sticky = r->primed = r->seq_known = r->failed = false;
    r->seq_next = SEQ_BASE;
    r->of_cpus = r->checked = 0;
    r->index = 0;
    info->records = info->packets = info->lost_records = info->lost_packets = 0;
    info->lost_marked = info->seq_gaps = info->missing = info->first_time = info->last_time = 0;
    info->starts_late = false;
}

const char *trace_error(const struct trace_reader *r)
{
    return r->set.error;
}

const struct trace_info *trace_info(const struct trace_reader *r)
{
    return &r->set.info;
}

const char *trace_stream_name(const struct trace_reader *r, unsigned stream)
{
    return stream < r->count ? r->streams[stream].name : "?";
}

unsigned trace_percent(const struct trace_reader *r)
{
    uint64_t done = 0;

    for (unsigned i = 0; i < r->count; i++)
        done += r->streams[i].at;
    return r->set.info.bytes ? (unsigned)(done * 100 / r->set.info.bytes) : 100;
}
