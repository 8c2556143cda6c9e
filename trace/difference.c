// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/difference.c -- the first difference of a replay, with what stands around it.
 *
 * Locking    none: one thread.
 * Sources    docs/orrery-trace.md
 */
#include "trace/difference.h"

#include <inttypes.h>
#include <string.h>

#include "trace/print.h"
#include "trace/tool.h"

bool difference_init(struct difference *d, struct trace_reader *reader, const char *directory,
                     unsigned neighbours)
{
    d->reader = reader;
    d->directory = directory;
    d->neighbours = neighbours;
    return neighbours_init(&d->before, neighbours);
}

void difference_free(struct difference *d)
{
    neighbours_free(&d->before);
}

/* Which version recorded it: another version of the scheduler may rightly decide otherwise. */
static void show_version(const char *directory)
{
    char path[4096], text[256];
    FILE *notes;

    snprintf(path, sizeof(path), "%s/run/run.env", directory);
    notes = fopen(path, "re");
    while (notes && fgets(text, sizeof(text), notes)) {
        text[strcspn(text, "\n")] = '\0';
        if (!strncmp(text, "git=", 4) && strcmp(text + 4, "unknown") != 0)
            printf("\nRecorded by version %s; this tool has to be of the same.\n", text + 4);
    }
    if (notes)
        fclose(notes);
}

int difference_show(struct difference *d, const struct trace_record *r, const char *what)
{
    struct trace_record next;
    unsigned behind = d->neighbours;

    tool_progress_end();
    printf("different: %s\n", what);
    if (r)
        printf("%s, byte %" PRIu64 ", record %" PRIu64 "; ",
               trace_stream_name(d->reader, r->stream), r->offset, r->index);
    printf("input %" PRIu64 " of %s\n\nrecorded\n", d->inputs, d->who);
    neighbours_print(&d->before, stdout, "  ");
    if (r) {
        fputs("> ", stdout);
        print_record(stdout, r);
        while (behind && trace_next(d->reader, &next) == 1) {
            if (d->concerns && !d->concerns(next.event))
                continue;
            fputs("  ", stdout);
            print_record(stdout, &next);
            behind--;
        }
    }
    printf("\ndecided by %s for that input\n", d->who);
    for (unsigned i = 0; i < d->expected; i++) {
        fputs(i == d->compared ? "> " : "  ", stdout);
        d->print(d->context, i);
    }
    if (d->compared == d->expected)
        puts("> (nothing more)");
    show_version(d->directory);
    return TOOL_NO;
}

int difference_compare(struct difference *d, const struct trace_record *r,
                       const struct trace_event *event, const void *bytes)
{
    char what[256], x[TRACE_FIELD_TEXT], y[TRACE_FIELD_TEXT];

    if (!event) {
        snprintf(what, sizeof(what), "%s was recorded, %s decides no such thing",
                 r->event->name, d->who);
        return difference_show(d, r, what);
    }
    if (event != r->event) {
        snprintf(what, sizeof(what), "%s was recorded, %s decides %s", r->event->name, d->who,
                 event->name);
        return difference_show(d, r, what);
    }
    for (unsigned i = 0; i < event->field_count; i++) {
        const struct trace_field *f = &event->fields[i];

        if (!memcmp(r->bytes + f->offset, (const uint8_t *)bytes + f->offset, f->size))
            continue;
        trace_field_text(f, r->bytes, x, sizeof(x));
        trace_field_text(f, bytes, y, sizeof(y));
        snprintf(what, sizeof(what), "%s: %s is %s as recorded, %s as decided", event->name,
                 f->name, x, y);
        return difference_show(d, r, what);
    }
    d->compared++;
    return TOOL_OK;
}

void difference_cut(const struct difference *d)
{
    if (d->compared < d->expected)
        printf("  the recording ends within the last input: %u of its %u decisions are not "
               "there\n",
               d->expected - d->compared, d->expected);
}

int difference_missing(struct difference *d, const struct trace_record *r,
                       const struct trace_event *event)
{
    char what[256];

    snprintf(what, sizeof(what), "%s decides %s, which was not recorded", d->who, event->name);
    return difference_show(d, r, what);
}
