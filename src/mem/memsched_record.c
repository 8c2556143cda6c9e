// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/memsched_record.c -- inputs and decisions of the memory scheduler as trace records, and its state from them.
 *
 * Invariants, locking: mem/memsched_record.h.
 */
#include "mem/memsched_record.h"

#include "lib/string.h"

#define FLAG_POOL          1u
#define FLAG_EXPANDABLE    2u
#define FLAG_SAMPLED       4u
#define FLAG_BLOCKED       8u

#define PUT(r, event, ...) put((r), TRACE_RECORD(event, __VA_ARGS__), TRACE_WORDS(event))

/* The names in a trace are the machine's numbers. */
#define SAME(names, value)                                                                     \
    _Static_assert((unsigned)RECORD_##names##_##value == (unsigned)MEMSCHED_##value,           \
                   "trace/enums.def");
#define OPS(X)                                                                                 \
    X(mem_op, HOST)                                                                            \
    X(mem_op, POOL_ADD)                                                                        \
    X(mem_op, VM_ADD)                                                                          \
    X(mem_op, REMOVE)                                                                          \
    X(mem_op, SET_SHARES)                                                                      \
    X(mem_op, SET_MIN)                                                                         \
    X(mem_op, SET_MAX)                                                                         \
    X(mem_op, USAGE)                                                                           \
    X(mem_op, SAMPLE)                                                                          \
    X(mem_op, FREE)                                                                            \
    X(mem_op, TICK)                                                                            \
    X(mem_op, TUNE)                                                                            \
    X(mem_level, HIGH)                                                                         \
    X(mem_level, CLEAR)                                                                        \
    X(mem_level, SOFT)                                                                         \
    X(mem_level, HARD)                                                                         \
    X(mem_level, LOW)
OPS(SAME)

static void put(struct memsched_record *r, const trace_word *record, size_t words)
{
    if (r->put)
        r->put(r->context, r->now, record, words);
    else if (trace_wants(TRACE_CLASS_SYS))
        trace_write_sys(TRACE_NOW, record, words);
}

static void observed(void *context, const struct memsched_event *e)
{
    struct memsched_record *r = context;

    switch (e->kind) {
    case MEMSCHED_EVENT_LEVEL: PUT(r, mem_state, .host_free = e->a, .level = e->small); break;
    case MEMSCHED_EVENT_TARGET:
        PUT(r, mem_target, .vm = e->id, .entitlement = e->a, .balloon_target = e->b,
            .swap_target = e->c, .price = e->d, .blocked = e->small, .cap = e->e, .due = e->f);
        break;
    case MEMSCHED_EVENT_ACTIVE:
        PUT(r, mem_sample, .vm = e->id, .est_active = e->a, .slow = e->b, .fast = e->c);
        break;
    case MEMSCHED_EVENT_REFUSED:
        PUT(r, mem_refused, .id = e->id, .status = e->small, .of_swap = (uint16_t)e->c,
            .wanted = e->a, .left = e->b);
        break;
    default: break;
    }
    if (r->then.event)
        r->then.event(r->then.context, e);
}

void memsched_record_init(struct memsched_record *r, struct memsched *machine)
{
    *r = (struct memsched_record){.machine = machine};
    machine->observer = (struct memsched_observer){.event = observed, .context = r};
}

/* ---- the state, out ---- */

static void put_node(struct memsched_record *r, unsigned slot)
{
    const struct memsched_node *n = &r->machine->nodes[slot];
    unsigned flags = (n->is_pool ? FLAG_POOL : 0) | (n->expandable ? FLAG_EXPANDABLE : 0) |
                     (n->active.any ? FLAG_SAMPLED : 0) |
                     (n->target.blocked ? FLAG_BLOCKED : 0);

    PUT(r, mem_node, .id = n->id, .slot = (uint16_t)slot, .parent = n->parent,
        .flags = (uint16_t)flags, .depth = n->depth, .shares = n->shares, .min = n->min,
        .max = n->max, .overhead = n->overhead, .size = n->size, .touched = n->touched,
        .ballooned = n->ballooned, .swapped = n->swapped, .compressed = n->compressed,
        .saved = n->saved, .balloon_max = n->balloon_max, .slow = n->active.slow,
        .fast = n->active.fast, .partial = n->active.with_partial,
        .entitlement = n->target.entitlement, .balloon_target = n->target.balloon,
        .swap_target = n->target.swap, .price = n->target.price, .cap = n->target.cap,
        .due = n->target.due, .reserved = n->reserved, .name = r->name[slot]);
}

void memsched_record_state(struct memsched_record *r)
{
    const struct memsched *m = r->machine;
    uint16_t nodes = 0;

    for (unsigned i = 0; i < MEMSCHED_NODES_MAX; i++)
        nodes = (uint16_t)(nodes + (m->nodes[i].id != 0));
    PUT(r, mem_checkpoint, .seq = r->seq, .level = (uint16_t)m->level, .nodes = nodes,
        .managed = m->managed, .swap = m->swap, .min_free = m->min_free, .free = m->free,
        .free_then = m->free_at_reallocation);
    for (unsigned i = 0; i < MEMSCHED_TUNABLE_COUNT; i++)
        PUT(r, mem_tunable, .tunable = i, .value = (uint32_t)m->tunable[i]);
    for (unsigned i = 0; i < MEMSCHED_NODES_MAX; i++) {
        if (m->nodes[i].id)
            put_node(r, i);
    }
    r->state_put = true;
}

/* ---- steps ---- */

/* Does the input say what is known? Then taking it would change and decide nothing. */
static bool repeats(const struct memsched_record *r, const struct memsched_input *in)
{
    const struct memsched_node *n;

    if (in->op == MEMSCHED_FREE)
        return r->free_told && in->a == r->machine->free && !memsched_is_outgrown(r->machine);
    if (in->op != MEMSCHED_USAGE)
        return false;
    n = memsched_find(r->machine, in->id);
    return n && !n->is_pool && n->touched == in->a && n->ballooned == in->b &&
           n->swapped == in->c && n->saved == in->d && n->compressed == in->e &&
           n->balloon_max == (uint64_t)n->size * in->small / 100;
}

static void name_clear(struct memsched_record *r, uint32_t id)
{
    const struct memsched_node *n = memsched_find(r->machine, id);

    if (n)
        r->name[n - r->machine->nodes] = (record_text16){{0}};
}

vmk_status memsched_record_step(struct memsched_record *r, plat_ns now,
                                const struct memsched_input *in)
{
    if (repeats(r, in))
        return VMK_OK;
    r->now = now;
    if (in->op == MEMSCHED_REMOVE)
        name_clear(r, in->id);
    if (r->seq % MEMSCHED_RECORD_EVERY == 0 && !r->state_put)
        memsched_record_state(r);
    r->state_put = false;
    PUT(r, mem_input, .seq = r->seq, .op = (uint16_t)in->op, .small = in->small, .id = in->id,
        .a = in->a, .b = in->b, .c = in->c, .d = in->d, .e = in->e);
    r->seq++;
    r->free_told = in->op == MEMSCHED_FREE ||
                   (r->free_told && in->op != MEMSCHED_HOST && in->op != MEMSCHED_TUNE);
    return memsched_step(r->machine, in);
}

void memsched_record_name(struct memsched_record *r, uint32_t id, const char *name)
{
    const struct memsched_node *n = memsched_find(r->machine, id);

    if (!n)
        return;
    r->name[n - r->machine->nodes] = trace_text16(name);
    memsched_record_state(r);
}

/* ---- the state, in ---- */

bool memsched_restore_begin(struct memsched_record *r, const struct record_mem_checkpoint *c)
{
    struct memsched *m = r->machine;
    const uint64_t most = UINT32_MAX;
    struct memsched_observer observer = m->observer;

    if (c->level >= MEMSCHED_LEVEL_COUNT || c->managed > most || c->swap > most ||
        c->min_free > most || c->free > most || c->free_then > most)
        return false;
    memsched_init(m);
    m->nodes[0] = (struct memsched_node){0};
    m->observer = observer;
    m->level = (enum memsched_level)c->level;
    m->managed = c->managed;
    m->swap = c->swap;
    m->min_free = c->min_free;
    m->free = c->free;
    m->free_at_reallocation = c->free_then;
    memset(r->name, 0, sizeof(r->name));
    r->seq = c->seq;
    r->free_told = false;
    return true;
}

bool memsched_restore_tunable(struct memsched_record *r, const struct record_mem_tunable *t)
{
    if (t->tunable >= MEMSCHED_TUNABLE_COUNT)
        return false;
    r->machine->tunable[t->tunable] = t->value;
    return true;
}

bool memsched_restore_node(struct memsched_record *r, const struct record_mem_node *n)
{
    struct memsched_node *node;

    if (n->slot >= MEMSCHED_NODES_MAX || !n->id || n->depth >= MEMSCHED_DEPTH_MAX)
        return false;
    node = &r->machine->nodes[n->slot];
    if (node->id)
        return false;
    r->name[n->slot] = n->name;
    *node = (struct memsched_node){
        .id = n->id,
        .is_pool = n->flags & FLAG_POOL,
        .expandable = n->flags & FLAG_EXPANDABLE,
        .depth = (uint8_t)n->depth,
        .parent = n->parent,
        .shares = n->shares,
        .min = n->min,
        .max = n->max,
        .overhead = n->overhead,
        .size = n->size,
        .reserved = n->reserved,
        .touched = n->touched,
        .ballooned = n->ballooned,
        .swapped = n->swapped,
        .compressed = n->compressed,
        .saved = n->saved,
        .balloon_max = n->balloon_max,
        .active = {.any = n->flags & FLAG_SAMPLED,
                   .slow = n->slow,
                   .fast = n->fast,
                   .with_partial = n->partial},
        .target = {.entitlement = n->entitlement,
                   .cap = n->cap,
                   .due = n->due,
                   .balloon = n->balloon_target,
                   .swap = n->swap_target,
                   .price = n->price,
                   .blocked = n->flags & FLAG_BLOCKED},
    };
    return true;
}

bool memsched_restore_end(struct memsched_record *r)
{
    r->state_put = true;
    return memsched_check(r->machine) == NULL;
}
