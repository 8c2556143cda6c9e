// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/neighbours.c -- the last few records, to show what led to a difference.
 *
 * Invariants
 *   - kept[added % room] is the oldest once the ring is full.
 * Locking    none: one thread.
 */
#include "trace/neighbours.h"

#include <stdlib.h>
#include <string.h>

#include "trace/print.h"

#define TRACE_EVENT(number, class, event, what, fields)                                        \
    _Static_assert(sizeof(struct record_##event) <= RECORD_BYTES_MAX, #event);
#include "trace/events.def"

bool neighbours_init(struct neighbours *n, unsigned room)
{
    *n = (struct neighbours){.room = room};
    n->kept = calloc(room ? room : 1, sizeof(*n->kept));
    return n->kept != NULL;
}

void neighbours_free(struct neighbours *n)
{
    free(n->kept);
    *n = (struct neighbours){0};
}

void neighbours_add(struct neighbours *n, const struct trace_record *r)
{
    if (!n->room)
        return;

    struct kept_record *kept = &n->kept[n->added++ % n->room];

    kept->record = *r;
    memcpy(kept->bytes, r->bytes, r->event->size);
}

void neighbours_print(const struct neighbours *n, FILE *out, const char *prefix)
{
    uint64_t first = n->added > n->room ? n->added - n->room : 0;

    for (uint64_t i = first; i < n->added; i++) {
        struct kept_record *kept = &n->kept[i % n->room];

        kept->record.bytes = kept->bytes;
        fputs(prefix, out);
        print_record(out, &kept->record);
    }
}
