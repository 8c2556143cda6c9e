// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/diff.c -- `orrery-trace diff A B`: the first record in which two traces differ.
 *
 * Two runs of one seed must be equal record by record; if they are not, the first difference is
 * where to look. Traces with checkpoints are compared by these first: a checkpoint has the hash
 * of all records before it, so the last equal one says from where records need to be looked at.
 * Only the stream `sys` is read for that, which is small.
 *
 * Invariants
 *   - Whatever checkpoints say, the records are what is compared: a hash that is equal over
 *     records that are not would be told (--all looks at every record).
 * Locking    none: one thread.
 * Sources    docs/orrery-trace.md
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace/neighbours.h"
#include "trace/print.h"
#include "trace/tool.h"

static const char help[] =
    "usage: orrery-trace diff A B [option ...]\n"
    "\n"
    "The first record in which two traces differ: event, field, both values, and the records "
    "around\n"
    "it. Exit status 0: equal; 1: they differ.\n"
    "\n"
    "  --neighbours N   so many records before and behind (10)\n"
    "  --ignore-time    times may differ\n"
    "  --event NAME,... compare only these events or classes of events (SCHED, VM ...)\n"
    "  --all            do not trust checkpoints, compare every record\n";

struct options {
    const char *path[2];
    unsigned neighbours;
    bool ignore_time, by_event, all;
    bool ids[256];
};

struct side {
    struct trace_reader *reader;
    struct neighbours before;
    struct trace_record record;
    int more;
    uint64_t compared;
};

static bool open_side(struct side *s, const char *path, unsigned neighbours)
{
    char error[TRACE_ERROR];

    s->reader = trace_open(path, error);
    if (!s->reader) {
        tool_fail("%s", error);
        return false;
    }
    if (!neighbours_init(&s->before, neighbours)) {
        tool_fail("no memory for %u neighbours", neighbours);
        return false;
    }
    return true;
}

static void close_side(struct side *s)
{
    trace_close(s->reader);
    neighbours_free(&s->before);
}

/* The next record that counts. Checkpoints repeat what the records say. */
static bool step(struct side *s, const struct options *o)
{
    do {
        s->more = trace_next(s->reader, &s->record);
    } while (s->more == 1 && (s->record.event->id == RECORD_checkpoint ||
                              (o->by_event && !o->ids[s->record.event->id])));
    s->compared += s->more == 1;
    return s->more >= 0;
}

/*
 * The first field that differs: its index, -1 if none does, -2 for another event, -3 for the
 * time, -4 for the CPU.
 */
static int compare(const struct trace_record *a, const struct trace_record *b,
                   const struct options *o)
{
    if (a->event != b->event)
        return -2;
    if (a->cpu != b->cpu)
        return -4;
    for (unsigned i = 0; i < a->event->field_count; i++) {
        const struct trace_field *f = &a->event->fields[i];

        if (memcmp(a->bytes + f->offset, b->bytes + f->offset, f->size) != 0)
            return (int)i;
    }
    return !o->ignore_time && a->time != b->time ? -3 : -1;
}

static void say_difference(const struct side side[2], int field)
{
    const struct trace_record *a = &side[0].record, *b = &side[1].record;
    char x[TRACE_FIELD_TEXT], y[TRACE_FIELD_TEXT];

    printf("first difference at record %" PRIu64 ": ", a->index);
    switch (field) {
    case -2: printf("event %s in A, %s in B\n", a->event->name, b->event->name); break;
    case -3:
        printf("%s: time %" PRIu64 " ns in A, %" PRIu64 " ns in B\n", a->event->name, a->time,
               b->time);
        break;
    case -4: printf("%s: CPU %u in A, %u in B\n", a->event->name, a->cpu, b->cpu); break;
    default:
        trace_field_text(&a->event->fields[field], a->bytes, x, sizeof(x));
        trace_field_text(&b->event->fields[field], b->bytes, y, sizeof(y));
        printf("%s: field %s is %s in A, %s in B\n", a->event->name,
               a->event->fields[field].name, x, y);
        break;
    }
}

static bool say_neighbours(struct side *s, const struct options *o, const char *name)
{
    printf("\n%s: %s\n", name, o->path[name[0] - 'A']);
    neighbours_print(&s->before, stdout, "  ");
    for (unsigned i = 0; s->more == 1 && i <= o->neighbours; i++) {
        fputs(i ? "  " : "> ", stdout);
        print_record(stdout, &s->record);
        if (!step(s, o))
            return false;
    }
    if (s->more == 0)
        puts("  (the trace ends here)");
    return true;
}

/* Both traces are walked together. TOOL_NO: they differ, and it was said. */
static int walk(struct side side[2], const struct options *o, uint64_t skip)
{
    for (;;) {
        int field;

        for (unsigned i = 0; i < 2; i++) {
            if (!step(&side[i], o))
                return tool_fail("%s", trace_error(side[i].reader));
        }
        tool_progress("diff", trace_percent(side[0].reader));
        if (side[0].more == 0 && side[1].more == 0) {
            printf("equal: %" PRIu64 " records\n", side[0].compared);
            return TOOL_OK;
        }
        if (side[0].more != side[1].more) {
            tool_progress_end();
            printf("%s ends after %" PRIu64 " records, %s goes on\n", side[0].more ? "B" : "A",
                   side[0].more ? side[1].compared : side[0].compared,
                   side[0].more ? "A" : "B");
            break;
        }
        field = side[0].record.index < skip ? -1 : compare(&side[0].record, &side[1].record, o);
        if (field != -1) {
            tool_progress_end();
            say_difference(side, field);
            break;
        }
        for (unsigned i = 0; i < 2; i++)
            neighbours_add(&side[i].before, &side[i].record);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (!say_neighbours(&side[i], o, i ? "B" : "A"))
            return tool_fail("%s", trace_error(side[i].reader));
    }
    return TOOL_NO;
}

/* A checkpoint of the stream `sys`; false: no more. */
static bool next_checkpoint(struct trace_reader *r, struct record_checkpoint *out)
{
    struct trace_record record;

    while (trace_next(r, &record) == 1) {
        if (record.event->id == RECORD_checkpoint) {
            *out = *TRACE_AS(checkpoint, &record);
            return true;
        }
    }
    return false;
}

/* So many records at the beginning are equal, says the last checkpoint that both have. */
static uint64_t equal_by_checkpoints(const struct options *o)
{
    char error[TRACE_ERROR];
    struct trace_reader *r[2];
    struct record_checkpoint c[2];
    uint64_t equal = 0;

    for (unsigned i = 0; i < 2; i++)
        r[i] = trace_open_stream(o->path[i], "sys", error);
    while (r[0] && r[1] && next_checkpoint(r[0], &c[0]) && next_checkpoint(r[1], &c[1]) &&
           c[0].records == c[1].records && c[0].hash == c[1].hash)
        equal = c[0].records;
    for (unsigned i = 0; i < 2; i++)
        trace_close(r[i]);
    return equal;
}

static int run(const struct options *o)
{
    struct side side[2] = {0};
    uint64_t skip = 0;
    int status = TOOL_BAD;

    if (!o->all && !o->by_event && !o->ignore_time)
        skip = equal_by_checkpoints(o);
    if (open_side(&side[0], o->path[0], o->neighbours) &&
        open_side(&side[1], o->path[1], o->neighbours)) {
        if (skip)
            fprintf(stderr, "diff: checkpoints agree over %" PRIu64 " records\n", skip);
        /*
         * The merged order has the checkpoints themselves in it, and the hash's order may
         * differ from ours within one moment: a little is looked at twice.
         */
        status = walk(side, o, skip > 4096 ? skip - 4096 : 0);
    }
    tool_progress_end();
    close_side(&side[0]);
    close_side(&side[1]);
    return tool_finish(stdout, "stdout") ? status : TOOL_BAD;
}

int diff_main(int argc, char **argv)
{
    enum {
        NEIGHBOURS = 1,
        IGNORE_TIME,
        EVENT,
        ALL,
        HELP
    };
    static const struct option options[] = {
        {"neighbours", required_argument, NULL, NEIGHBOURS},
        {"ignore-time", no_argument, NULL, IGNORE_TIME},
        {"event", required_argument, NULL, EVENT},
        {"all", no_argument, NULL, ALL},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    struct options o = {.neighbours = 10};
    uint64_t n;

    optind = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case NEIGHBOURS:
            if (!tool_number(optarg, &n) || n > 100000)
                return tool_usage("diff", "\"%s\" is no number of records", optarg);
            o.neighbours = (unsigned)n;
            break;
        case IGNORE_TIME: o.ignore_time = true; break;
        case EVENT:
            o.by_event = true;
            if (!tool_events(optarg, o.ids))
                return tool_usage("diff", "no event or class in \"%s\"", optarg);
            break;
        case ALL: o.all = true; break;
        case HELP: fputs(help, stdout); return TOOL_OK;
        default: return TOOL_USAGE;
        }
    }
    if (optind + 2 != argc)
        return tool_usage("diff", "expected two trace directories");
    o.path[0] = argv[optind];
    o.path[1] = argv[optind + 1];
    return run(&o);
}
