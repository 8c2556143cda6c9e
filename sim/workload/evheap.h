// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/evheap.h -- the events to come: a 4-ary heap with one place per
 * source.
 *
 * A source (a CPU's end of run, a CPU's deadline, a world's timer) has at most
 * one event to come, so an event is named by its source's slot and moved in
 * place when its time changes: nothing is ever cancelled late. Four children
 * per node make half the levels of a binary heap, and the four lie in one or
 * two cache lines.
 *
 * Invariants
 *   - Events of one time come in the order in which they were set (`order`
 * counts settings).
 *   - place[slot] is where the slot's event is, or EVHEAP_NONE.
 * Locking    none: one thread.
 */
#pragma once

#include <stdlib.h>

#include "lib/types.h"

#define EVHEAP_NONE UINT32_MAX

struct evheap_event {
    uint64_t time;
    uint64_t order;  // setting << 20 | slot
};

struct evheap {
    struct evheap_event *events;
    uint32_t *place;
    uint32_t count, slots;
    uint64_t settings;
};

#define EVHEAP_SLOT_BITS 20u

static inline bool evheap_init(struct evheap *h, uint32_t slots)
{
    *h = (struct evheap){.slots = slots};
    h->events = malloc(slots * sizeof(*h->events));
    h->place = malloc(slots * sizeof(*h->place));
    if (!h->events || !h->place || slots >= 1u << EVHEAP_SLOT_BITS)
        return false;
    for (uint32_t i = 0; i < slots; i++)
        h->place[i] = EVHEAP_NONE;
    return true;
}

static inline void evheap_free(struct evheap *h)
{
    free(h->events);
    free(h->place);
}

static inline uint32_t evheap_slot(const struct evheap_event *e)
{
    return (uint32_t)e->order & ((1u << EVHEAP_SLOT_BITS) - 1);
}

static inline bool evheap_before(const struct evheap_event *a, const struct evheap_event *b)
{
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

static inline void evheap_put(struct evheap *h, uint32_t i, struct evheap_event e)
{
    h->events[i] = e;
    h->place[evheap_slot(&e)] = i;
}

static inline void evheap_up(struct evheap *h, uint32_t i, struct evheap_event e)
{
    while (i) {
        uint32_t parent = (i - 1) / 4;

        if (!evheap_before(&e, &h->events[parent]))
            break;
        evheap_put(h, i, h->events[parent]);
        i = parent;
    }
    evheap_put(h, i, e);
}

static inline void evheap_down(struct evheap *h, uint32_t i, struct evheap_event e)
{
    for (;;) {
        uint32_t child = 4 * i + 1, best = child;
        uint32_t end = MIN(child + 4, h->count);

        if (child >= h->count)
            break;
        for (child++; child < end; child++) {
            if (evheap_before(&h->events[child], &h->events[best]))
                best = child;
        }
        if (!evheap_before(&h->events[best], &e))
            break;
        evheap_put(h, i, h->events[best]);
        i = best;
    }
    evheap_put(h, i, e);
}

/* The slot's event is due at `time`, whatever was set before. */
static inline void evheap_set(struct evheap *h, uint32_t slot, uint64_t time)
{
    struct evheap_event e = {time, ++h->settings << EVHEAP_SLOT_BITS | slot};
    uint32_t i = h->place[slot];

    if (i == EVHEAP_NONE)
        evheap_up(h, h->count++, e);
    else if (time < h->events[i].time)
        evheap_up(h, i, e);
    else
        evheap_down(h, i, e);
}

static inline void evheap_clear(struct evheap *h, uint32_t slot)
{
    uint32_t i = h->place[slot];
    struct evheap_event last;

    if (i == EVHEAP_NONE)
        return;
    h->place[slot] = EVHEAP_NONE;
    last = h->events[--h->count];
    if (i == h->count)
        return;
    if (i && evheap_before(&last, &h->events[(i - 1) / 4]))
        evheap_up(h, i, last);
    else
        evheap_down(h, i, last);
}

/*
 * The slot's event of that `order` was dealt with. It stays in the heap meanwhile, so that
 * setting the slot anew moves it once instead of twice.
 */
static inline void evheap_done(struct evheap *h, uint32_t slot, uint64_t order)
{
    if (h->place[slot] != EVHEAP_NONE && h->events[h->place[slot]].order == order)
        evheap_clear(h, slot);
}

static inline const struct evheap_event *evheap_first(const struct evheap *h)
{
    return h->count ? &h->events[0] : NULL;
}
