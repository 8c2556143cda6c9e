// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/print.c -- `orrery-trace print`: the records of a trace as text, a line each.
 *
 * Invariants
 *   - One line has the same fields in the same order whatever the filters are, so that a line
 *     can be found again in the unfiltered output.
 * Locking    none: one thread.
 */
#include "trace/print.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace/tool.h"
#include "trace/worlds.h"

struct filter {
    uint64_t from, to;
    uint64_t limit;
    bool by_event, ids[256];
    bool by_cpu;
    uint64_t cpu;
    struct worlds worlds;
    uint32_t *numbers;  // of the worlds, VMs and pools that --world means, in order
    size_t number_count;
};

static const char help[] =
    "usage: orrery-trace print DIR [option ...]\n"
    "\n"
    "The records of a trace as text, in the order in which they happened: time in seconds, "
    "CPU,\n"
    "event, fields.\n"
    "\n"
    "  --event NAME,...   only these events, or classes of events (SCHED, VM, MEM, IO, USER)\n"
    "  --cpu N            only what CPU N recorded\n"
    "  --world NAME,...   only records that name one of these, by any field: ids or names of "
    "worlds,\n"
    "                     VMs and pools (then their worlds), or VM/world\n"
    "  --from T, --to T   only this part: 1.5s, 20ms, 300us; a plain number is seconds\n"
    "  --limit N          stop after N lines\n"
    "  --count            the number of records of each event instead\n"
    "  --info             what the files say of themselves instead\n"
    "  --events           the events that there are, without a trace\n";

void print_record(FILE *out, const struct trace_record *r)
{
    char text[TRACE_FIELD_TEXT];

    fprintf(out, "%5" PRIu64 ".%09" PRIu64 " [%03u] %s:", r->time / 1000000000,
            r->time % 1000000000, r->cpu, r->event->name);
    for (unsigned i = 0; i < r->event->field_count; i++) {
        const struct trace_field *field = &r->event->fields[i];

        if (!strncmp(field->name, "pad", 3))
            continue;
        trace_field_text(field, r->bytes, text, sizeof(text));
        fprintf(out, " %s=%s", field->name, text);
    }
    fputc('\n', out);
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static bool meant(const struct filter *f, uint64_t id)
{
    uint32_t key = (uint32_t)id;

    return id <= UINT32_MAX &&
           bsearch(&key, f->numbers, f->number_count, sizeof(key), by_number) != NULL;
}

/* Does any field of the record name one of the worlds? */
static bool names_any(const struct filter *f, const struct trace_record *r)
{
    static const char *const fields[] = {"tid", "prev_tid", "next_tid", "waker", "vm"};

    for (unsigned i = 0; i < r->event->field_count; i++) {
        for (size_t n = 0; n < ARRAY_COUNT(fields); n++) {
            if (!strcmp(r->event->fields[i].name, fields[n]) &&
                meant(f, trace_field_get(&r->event->fields[i], r->bytes)))
                return true;
        }
    }
    /* Inputs and names call it id. */
    switch (r->event->id) {
    case RECORD_sched_config: return meant(f, TRACE_AS(sched_config, r)->id);
    case RECORD_sched_input: return meant(f, TRACE_AS(sched_input, r)->id);
    case RECORD_sched_input_wide: return meant(f, TRACE_AS(sched_input_wide, r)->id);
    case RECORD_world_name: return meant(f, TRACE_AS(world_name, r)->id);
    default: return false;
    }
}

/* The numbers of all that --world means, by a pass over the trace for names and the tree. */
static bool numbers_collect(struct filter *f, const struct model *m)
{
    f->numbers = malloc((m->count + 1u) * sizeof(*f->numbers));
    if (!f->numbers)
        return false;
    for (unsigned i = 0; i < m->count; i++) {
        if (worlds_have(&f->worlds, m->nodes[i]))
            f->numbers[f->number_count++] = m->nodes[i]->id;
    }
    qsort(f->numbers, f->number_count, sizeof(*f->numbers), by_number);
    return true;
}

static bool numbers_find(const char *directory, struct trace_reader *reader, struct filter *f)
{
    const struct model_client nobody = {0};
    struct trace_record record;
    struct model *m;
    int more = 0;
    bool good = false;

    if (!f->worlds.count)
        return true;
    m = malloc(sizeof(*m));
    if (m) {
        model_init(m, &nobody);
        while ((more = trace_next(reader, &record)) == 1 && model_feed(m, &record))
            tool_progress("print", trace_percent(reader) / 2);
        tool_progress_end();
        good = more == 0 && numbers_collect(f, m);
        model_free(m);
    }
    free(m);
    trace_rewind(reader);
    if (more < 0)
        (void)tool_fail("%s", trace_error(reader));
    else if (!good)
        (void)tool_fail("no memory");
    else if (worlds_unused(&f->worlds))
        (void)tool_fail("%s: no world, VM or pool `%s`; orrery-trace stats %s lists them",
                        directory, worlds_unused(&f->worlds), directory);
    return good && !worlds_unused(&f->worlds);
}

static bool wanted(const struct filter *f, const struct trace_record *r)
{
    return r->time >= f->from && r->time <= f->to && (!f->by_event || f->ids[r->event->id]) &&
           (!f->by_cpu || r->cpu == f->cpu) && (!f->worlds.count || names_any(f, r));
}

static void print_events(void)
{
    for (unsigned id = 0; id < 256; id++) {
        const struct trace_event *event = trace_event_of(id);

        if (!event)
            continue;
        printf("%3u %-6s %-17s %2u B  %s\n", id, event->class_name, event->name, event->size,
               event->what);
    }
}

static void print_info(struct trace_reader *reader)
{
    const struct trace_info *info = trace_info(reader);

    printf("uuid          %s\n", info->uuid);
    printf("host          %s\n", info->host);
    printf("policy        %s\n", info->policy);
    printf("seed          %s\n", info->seed);
    printf("loop          %s\n", info->loop);
    printf("clock         %" PRIu64 " Hz\n", info->clock_freq);
    printf("streams       %u\n", info->streams);
    printf("bytes         %" PRIu64 "\n", info->bytes);
    printf("packets       %" PRIu64 "\n", info->packets);
    printf("records       %" PRIu64 "\n", info->records);
    printf("from          %.9f s\n", (double)info->first_time / 1e9);
    printf("to            %.9f s\n", (double)info->last_time / 1e9);
    printf("lost records  %" PRIu64 "\n", MAX(info->lost_records, info->lost_marked));
    printf("lost packets  %" PRIu64 "\n", info->lost_packets);
    printf("lost inputs   %" PRIu64 "\n", info->seq_gaps);
    printf("missing       %" PRIu64 "\n", info->missing);
    printf("first input   %u\n", info->first_seq);
    printf("starts late   %s\n", info->starts_late ? "yes" : "no");
}

static void print_counts(const uint64_t counts[256])
{
    uint64_t sum = 0;

    for (unsigned id = 0; id < 256; id++) {
        if (!counts[id])
            continue;
        printf("%-17s %" PRIu64 "\n", trace_event_of(id)->name, counts[id]);
        sum += counts[id];
    }
    printf("%-17s %" PRIu64 "\n", "all", sum);
}

static int run(const char *directory, struct filter *f, bool count, bool info)
{
    char error[TRACE_ERROR];
    uint64_t counts[256] = {0};
    uint64_t lines = 0;
    struct trace_record record;
    struct trace_reader *reader = trace_open(directory, error);
    int more = 0;

    if (!reader)
        return tool_fail("%s", error);
    if (!numbers_find(directory, reader, f)) {
        trace_close(reader);
        free(f->numbers);
        return TOOL_BAD;
    }
    while (lines < f->limit && (more = trace_next(reader, &record)) == 1) {
        tool_progress("print", trace_percent(reader));
        if (!wanted(f, &record))
            continue;
        counts[record.event->id]++;
        if (!count && !info) {
            print_record(stdout, &record);
            lines++;
        }
    }
    tool_progress_end();
    if (lines >= f->limit)
        more = 0;

    int status = more < 0 ? tool_fail("%s", trace_error(reader)) : TOOL_OK;

    if (status == TOOL_OK && count)
        print_counts(counts);
    if (status == TOOL_OK && info)
        print_info(reader);
    if (status == TOOL_OK && !lines && !count && !info && f->limit)
        fprintf(stderr, "print: no record is such\n");
    free(f->numbers);
    trace_close(reader);
    return tool_finish(stdout, "stdout") ? status : TOOL_BAD;
}

int print_main(int argc, char **argv)
{
    enum {
        EVENT = 1,
        CPU,
        WORLD,
        FROM,
        TO,
        LIMIT,
        COUNT,
        INFO,
        EVENTS,
        HELP
    };
    static const struct option options[] = {
        {"event", required_argument, NULL, EVENT},
        {"cpu", required_argument, NULL, CPU},
        {"world", required_argument, NULL, WORLD},
        {"from", required_argument, NULL, FROM},
        {"to", required_argument, NULL, TO},
        {"limit", required_argument, NULL, LIMIT},
        {"count", no_argument, NULL, COUNT},
        {"info", no_argument, NULL, INFO},
        {"events", no_argument, NULL, EVENTS},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    struct filter f = {.to = UINT64_MAX, .limit = UINT64_MAX};
    bool count = false, info = false;

    optind = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        bool good = true;

        switch (c) {
        case EVENT:
            f.by_event = true;
            if (!tool_events(optarg, f.ids))
                return tool_usage("print", "no event or class in \"%s\"", optarg);
            break;
        case CPU: good = f.by_cpu = tool_number(optarg, &f.cpu); break;
        case WORLD:
            if (!worlds_read(&f.worlds, optarg))
                return tool_usage("print", "--world takes 1 to %u names", WORLDS_MAX);
            break;
        case FROM: good = tool_time(optarg, &f.from); break;
        case TO: good = tool_time(optarg, &f.to); break;
        case LIMIT: good = tool_number(optarg, &f.limit); break;
        case COUNT: count = true; break;
        case INFO: info = true; break;
        case EVENTS: print_events(); return TOOL_OK;
        case HELP: fputs(help, stdout); return TOOL_OK;
        default: return TOOL_USAGE;
        }
        if (!good)
            return tool_usage("print", "\"%s\" is no number", optarg);
    }
    if (optind + 1 != argc)
        return tool_usage("print", "expected one trace directory");
    return run(argv[optind], &f, count, info);
}
