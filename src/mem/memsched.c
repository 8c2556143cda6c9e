// SPDX-License-Identifier: BSD-2-Clause
/*
 * mem/memsched.c -- inputs of the memory scheduler: nodes, usage, levels of free memory.
 *
 * Invariants, locking, sources: mem/memsched.h.
 */
#include "mem/memsched.h"

#include "core/assert.h"
#include "lib/string.h"
#include "mem/memsched_internal.h"

#define MB_PAGES 256u
#define GB_PAGES (1024ull * MB_PAGES)

static const struct {
    const char *name;
    uint64_t normal, least, most;
} tunables[] = {
#define MEMSCHED_TUNABLE(id, name, normal, least, most, what) {name, normal, least, most},
#include "mem/memsched_tunables.def"
};

uint64_t memsched_min_free(uint64_t managed)
{
    static const struct {
        uint64_t up_to, percent;
    } scale[] = {{4 * GB_PAGES, 6}, {12 * GB_PAGES, 4}, {28 * GB_PAGES, 2}, {UINT64_MAX, 1}};
    uint64_t sum = 0, from = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(scale) && managed > from; i++) {
        sum += memsched_percent(MIN(managed, scale[i].up_to) - from, scale[i].percent);
        from = scale[i].up_to;
    }
    return sum;
}

void memsched_init(struct memsched *m)
{
    memset(m, 0, sizeof(*m));
    for (unsigned i = 0; i < MEMSCHED_TUNABLE_COUNT; i++)
        m->tunable[i] = tunables[i].normal;
    m->nodes[0] = (struct memsched_node){
        .id = MEMSCHED_ROOT_ID, .is_pool = true, .max = MEMSCHED_UNLIMITED, .shares = 1};
}

static struct memsched_node *find(struct memsched *m, uint32_t id)
{
    for (unsigned i = 0; id && i < MEMSCHED_NODES_MAX; i++) {
        if (m->nodes[i].id == id)
            return &m->nodes[i];
    }
    return NULL;
}

const struct memsched_node *memsched_find(const struct memsched *m, uint32_t id)
{
    for (unsigned i = 0; id && i < MEMSCHED_NODES_MAX; i++) {
        if (m->nodes[i].id == id)
            return &m->nodes[i];
    }
    return NULL;
}

static void tell(const struct memsched *m, const struct memsched_event *event)
{
    if (m->observer.event)
        m->observer.event(m->observer.context, event);
}

uint64_t memsched_held(const struct memsched_node *vm)
{
    uint64_t taken = (uint64_t)vm->ballooned + vm->swapped + vm->compressed + vm->saved;

    return vm->touched > taken ? vm->touched - taken : 0;
}

/* ---- levels ---- */

static uint64_t bound(const struct memsched *m, enum memsched_level level, uint64_t more)
{
    static const enum memsched_tunable below[] = {
        [MEMSCHED_CLEAR] = MEMSCHED_TUNABLE_CLEAR_BELOW,
        [MEMSCHED_SOFT] = MEMSCHED_TUNABLE_SOFT_BELOW,
        [MEMSCHED_HARD] = MEMSCHED_TUNABLE_HARD_BELOW,
        [MEMSCHED_LOW] = MEMSCHED_TUNABLE_LOW_BELOW,
    };

    vmk_assert(level > MEMSCHED_HIGH && level < MEMSCHED_LEVEL_COUNT);
    return memsched_percent(m->min_free, memsched_tune(m, below[level]) + more);
}

static void level_set(struct memsched *m, enum memsched_level level)
{
    const struct memsched_event event = {
        .kind = MEMSCHED_EVENT_LEVEL,
        .small = (uint16_t)level,
        .a = (uint32_t)MIN(m->free, UINT32_MAX),
    };

    m->level = level;
    tell(m, &event);
}

/* Down as soon as free memory is below a bound, up only when it is clearly above. */
static bool level_follow(struct memsched *m)
{
    enum memsched_level before = m->level;

    while (m->level < MEMSCHED_LOW && m->free < bound(m, m->level + 1, 0))
        level_set(m, m->level + 1);
    while (m->level > MEMSCHED_HIGH &&
           m->free >= bound(m, m->level, memsched_tune(m, MEMSCHED_TUNABLE_RISE)))
        level_set(m, m->level - 1);
    return m->level != before;
}

/* Does it want so much more of what is due to it that others must give more? */
static bool has_grown(const struct memsched *m, const struct memsched_node *vm)
{
    const uint64_t change =
        memsched_percent(m->min_free, memsched_tune(m, MEMSCHED_TUNABLE_CHANGE));
    const uint64_t wanted = MIN((uint64_t)vm->touched - vm->saved, (uint64_t)vm->max);

    return vm->target.entitlement < vm->target.due && wanted > vm->target.entitlement + change;
}

bool memsched_is_outgrown(const struct memsched *m)
{
    bool any = false;

    for (unsigned i = 1; m->level >= MEMSCHED_SOFT && !any && i < MEMSCHED_NODES_MAX; i++)
        any = m->nodes[i].id && !m->nodes[i].is_pool && has_grown(m, &m->nodes[i]);
    return any;
}

static void free_changed(struct memsched *m, uint64_t free)
{
    uint64_t moved = free > m->free_at_reallocation ? free - m->free_at_reallocation
                                                    : m->free_at_reallocation - free;

    m->free = free;
    if (level_follow(m) || memsched_is_outgrown(m) ||
        moved > memsched_percent(m->min_free, memsched_tune(m, MEMSCHED_TUNABLE_CHANGE)))
        memsched_reallocate(m);
}

uint64_t memsched_mark(const struct memsched *m)
{
    return m->level < MEMSCHED_LOW ? bound(m, m->level + 1, 0) : 0;
}

uint64_t memsched_floor(const struct memsched *m)
{
    return bound(m, MEMSCHED_LOW, 0);
}

uint64_t memsched_hard_mark(const struct memsched *m)
{
    return bound(m, MEMSCHED_HARD, 0);
}

/* ---- nodes ---- */

static struct memsched_node *node_new(struct memsched *m, const struct memsched_input *in,
                                      vmk_status *status)
{
    struct memsched_node *parent = find(m, in->a);
    struct memsched_node *node = NULL;

    *status = VMK_OK;
    if (in->id == 0 || in->c > in->d)
        *status = VMK_BAD_PARAM;
    else if (find(m, in->id))
        *status = VMK_EXISTS;
    else if (!parent)
        *status = VMK_NOT_FOUND;
    else if (!parent->is_pool || parent->depth + 1u >= MEMSCHED_DEPTH_MAX)
        *status = VMK_BAD_PARAM;
    for (unsigned i = 0; *status == VMK_OK && !node && i < MEMSCHED_NODES_MAX; i++) {
        if (m->nodes[i].id == 0)
            node = &m->nodes[i];
    }
    if (!node) {
        *status = *status == VMK_OK ? VMK_NO_SPACE : *status;
        return NULL;
    }
    *node = (struct memsched_node){
        .parent = (uint16_t)(parent - m->nodes),
        .depth = (uint8_t)(parent->depth + 1),
        .shares = in->b,
        .min = in->c,
    };
    return node;
}

static vmk_status pool_add(struct memsched *m, const struct memsched_input *in)
{
    vmk_status status;
    struct memsched_node *pool = node_new(m, in, &status);

    if (!pool)
        return status;
    pool->is_pool = true;
    pool->expandable = in->small != 0;
    pool->max = in->d;
    status = memsched_admit(m, pool, 0);
    if (status == VMK_OK)
        pool->id = in->id;
    return status;
}

static vmk_status vm_add(struct memsched *m, const struct memsched_input *in)
{
    vmk_status status;
    struct memsched_node *vm =
        in->d ? node_new(m, in, &status) : (status = VMK_BAD_PARAM, NULL);

    if (!vm)
        return status;
    vm->overhead = in->small;
    vm->size = in->d;
    vm->max = MEMSCHED_UNLIMITED;
    vm->target.cap = MEMSCHED_UNLIMITED;
    if (!vm->shares)
        vm->shares = (uint32_t)MAX((uint64_t)in->d * MEMSCHED_PER_MB / MB_PAGES, 1ull);
    m->admission.node = in->id;
    status = memsched_admit_swap(m, in->id, in->d - in->c);
    if (status == VMK_OK)
        status = memsched_admit(m, vm, memsched_vm_reserved(m, vm));
    if (status == VMK_OK)
        vm->id = in->id;
    return status;
}

static vmk_status node_remove(struct memsched *m, struct memsched_node *node)
{
    vmk_status status;

    if (node == &m->nodes[0])
        return VMK_BAD_PARAM;
    for (unsigned i = 1; i < MEMSCHED_NODES_MAX; i++) {
        if (m->nodes[i].id && m->nodes[i].parent == node - m->nodes)
            return VMK_BUSY;
    }
    node->min = 0;
    status = memsched_admit(m, node, 0);
    vmk_assert(status == VMK_OK);  // giving back is never refused
    *node = (struct memsched_node){0};
    return VMK_OK;
}

static vmk_status min_set(struct memsched *m, struct memsched_node *node, uint32_t min)
{
    uint32_t before = node->min;
    vmk_status status = VMK_OK;

    if (node == &m->nodes[0] || min > (node->is_pool ? node->max : MIN(node->size, node->max)))
        return VMK_BAD_PARAM;
    if (!node->is_pool && min < before)
        status = memsched_admit_swap(m, node->id, before - min);
    if (status != VMK_OK)
        return status;
    node->min = min;
    status =
        memsched_admit(m, node, node->is_pool ? node->reserved : memsched_vm_reserved(m, node));
    if (status != VMK_OK)
        node->min = before;
    return status;
}

static vmk_status max_set(struct memsched *m, struct memsched_node *node, uint32_t max)
{
    uint64_t least = node->is_pool ? MAX(node->reserved, (uint64_t)node->min) : node->min;

    if (node == &m->nodes[0] || max < least)
        return VMK_BAD_PARAM;
    node->max = max;
    return VMK_OK;
}

/* ---- what the mechanisms tell ---- */

static vmk_status usage(struct memsched *m, struct memsched_node *vm,
                        const struct memsched_input *in)
{
    if (in->a > vm->size || in->small > 100 || (uint64_t)in->b + in->c + in->d + in->e > in->a)
        return VMK_BAD_PARAM;
    vm->touched = in->a;
    vm->ballooned = in->b;
    vm->swapped = in->c;
    vm->compressed = in->e;
    vm->saved = in->d;
    vm->balloon_max = (uint32_t)memsched_percent(vm->size, in->small);
    memsched_target_follow(m, vm);
    return VMK_OK;
}

bool memsched_tunable_fits(enum memsched_tunable t, uint64_t value)
{
    return t < MEMSCHED_TUNABLE_COUNT && value >= tunables[t].least &&
           value <= tunables[t].most;
}

static vmk_status tune(struct memsched *m, unsigned t, uint64_t value)
{
    if (!memsched_tunable_fits((enum memsched_tunable)t, value))
        return VMK_BAD_PARAM;
    m->tunable[t] = value;
    return VMK_OK;
}

static vmk_status host(struct memsched *m, const struct memsched_input *in)
{
    uint64_t permille = memsched_tune(m, MEMSCHED_TUNABLE_MIN_FREE);

    if (in->c > in->a)
        return VMK_BAD_PARAM;
    m->managed = in->a;
    m->swap = in->b;
    m->min_free = in->c      ? in->c
                  : permille ? m->managed * permille / 1000
                             : memsched_min_free(m->managed);
    return VMK_OK;
}

static vmk_status of_host(struct memsched *m, const struct memsched_input *in)
{
    switch (in->op) {
    case MEMSCHED_HOST: return host(m, in);
    case MEMSCHED_POOL_ADD: return pool_add(m, in);
    case MEMSCHED_VM_ADD: return vm_add(m, in);
    case MEMSCHED_TUNE: return tune(m, in->small, in->a);
    case MEMSCHED_FREE: free_changed(m, in->a); return VMK_OK;
    case MEMSCHED_TICK: memsched_reallocate(m); return VMK_OK;
    default: return VMK_BAD_PARAM;
    }
}

static vmk_status of_node(struct memsched *m, const struct memsched_input *in)
{
    struct memsched_node *node = find(m, in->id);

    if (!node)
        return VMK_NOT_FOUND;
    switch (in->op) {
    case MEMSCHED_REMOVE: return node_remove(m, node);
    case MEMSCHED_SET_SHARES: node->shares = in->a; return VMK_OK;
    case MEMSCHED_SET_MIN: return min_set(m, node, in->a);
    case MEMSCHED_SET_MAX: return max_set(m, node, in->a);
    default: break;
    }
    if (node->is_pool)
        return VMK_BAD_PARAM;
    if (in->op == MEMSCHED_USAGE)
        return usage(m, node, in);
    if (in->b == 0 || in->a > in->b)
        return VMK_BAD_PARAM;
    memsched_sampled(m, &node->active, in->a, in->b, in->small != 0);
    tell(m, &(struct memsched_event){.kind = MEMSCHED_EVENT_ACTIVE,
                                     .id = node->id,
                                     .a = (uint32_t)memsched_active_pages(node),
                                     .b = node->active.slow,
                                     .c = node->active.fast});
    return VMK_OK;
}

static void refused(struct memsched *m, const struct memsched_input *in, vmk_status status)
{
    bool lacks = status == VMK_LIMIT;

    m->refused++;
    tell(m, &(struct memsched_event){
                .kind = MEMSCHED_EVENT_REFUSED,
                .small = (uint16_t)status,
                .id = in->id,
                .a = lacks ? (uint32_t)MIN(m->admission.wanted, UINT32_MAX) : 0,
                .b = lacks ? (uint32_t)MIN(m->admission.free, UINT32_MAX) : 0,
                .c = lacks && m->admission.is_swap,
            });
}

vmk_status memsched_step(struct memsched *m, const struct memsched_input *in)
{
    bool is_node = in->op == MEMSCHED_REMOVE ||
                   (in->op >= MEMSCHED_SET_SHARES && in->op <= MEMSCHED_SAMPLE);
    bool changes_targets = in->op <= MEMSCHED_SET_MAX || in->op == MEMSCHED_TUNE;
    vmk_status status = is_node ? of_node(m, in) : of_host(m, in);

    m->inputs++;
    if (status != VMK_OK)
        refused(m, in, status);
    else if (changes_targets)
        memsched_reallocate(m);
    return status;
}

/* ---- names ---- */

const char *memsched_level_name(enum memsched_level level)
{
    static const char *const names[] = {"high", "clear", "soft", "hard", "low"};

    return (unsigned)level < ARRAY_COUNT(names) ? names[level] : "?";
}

enum memsched_tunable memsched_tunable_by_name(const char *name)
{
    unsigned i = 0;

    while (i < MEMSCHED_TUNABLE_COUNT && strcmp(tunables[i].name, name) != 0)
        i++;
    return (enum memsched_tunable)i;
}
