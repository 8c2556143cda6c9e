// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/memory.c -- the memory of a workload's VMs, second by second, under the kernel's policy.
 *
 * Invariants
 *   - What the policy is told is counted, never estimated: pages by state, free frames.
 *   - A run is a function of workload, settings and seed.
 * Locking    none: one thread.
 */
#include "sim/workload/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "sim/workload/memory_internal.h"

#define FIRST_ID      (MEMSCHED_ROOT_ID + 1)
#define SAMPLE_PAGES  100u
#define REALLOCATE    15u
#define WRITE_PERCENT 20u
#define BALLOON_MOST  65u
#define OVERHEAD      512u

/* ---- text ---- */

/* "64MB", "4K", "1GB" in pages of 4 KB. */
static bool memory_amount(const char *text, size_t length, uint32_t *pages)
{
    uint64_t value = 0, unit = 0;
    size_t i = 0;

    for (; i < length && text[i] >= '0' && text[i] <= '9' && value < UINT32_MAX; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    if (i && i < length) {
        unit = text[i] == 'K' ? 1 : text[i] == 'M' ? 1024 : text[i] == 'G' ? 1024 * 1024 : 0;
        i++;
        i += i < length && text[i] == 'B';
    }
    if (!unit || i != length || value * unit / 4 > (1u << 24))
        return false;
    *pages = (uint32_t)(value * unit / 4);
    return true;
}

struct word {
    const char *key, *value;
    size_t key_length, length;
};

/* The next `key=value` of a text; false: the end, or a word without '=' (key is it). */
static bool word_next(const char **text, struct word *w)
{
    const char *t = *text;

    while (*t == ' ' || *t == '\t')
        t++;
    w->key = t;
    while (*t && *t != ' ' && *t != '\t' && *t != '=')
        t++;
    w->key_length = (size_t)(t - w->key);
    w->value = *t == '=' ? ++t : t;
    while (*t && *t != ' ' && *t != '\t')
        t++;
    w->length = (size_t)(t - w->value);
    *text = t;
    return w->key_length > 0;
}

static bool is(const struct word *w, const char *key)
{
    return strlen(key) == w->key_length && !memcmp(w->key, key, w->key_length);
}

static bool number(const struct word *w, uint32_t most, uint32_t *out)
{
    uint64_t value = 0;
    size_t i = 0;

    for (; i < w->length && w->value[i] >= '0' && w->value[i] <= '9' && value <= most; i++)
        value = value * 10 + (uint64_t)(w->value[i] - '0');
    if (!i || value > most || (i < w->length && (w->value[i] != '%' || i + 1 != w->length)))
        return false;
    *out = (uint32_t)value;
    return true;
}

bool memory_touch_parse(const char *text, uint32_t *active, uint32_t *used, uint32_t *base)
{
    struct word w;

    *active = *used = *base = WL_UNSET;
    while (word_next(&text, &w)) {
        uint32_t *to = is(&w, "active") ? active
                       : is(&w, "used") ? used
                       : is(&w, "base") ? base
                                        : NULL;

        if (!to || !memory_amount(w.value, w.length, to))
            return false;
    }
    return true;
}

static bool host_word(struct memory *m, const struct word *w)
{
    const struct {
        const char *key;
        uint32_t *to;
    } amounts[] = {{"size", &m->size},           {"swap", &m->swap_size},
                   {"minfree", &m->min_free},    {"balloon_rate", &m->balloon_rate},
                   {"swap_rate", &m->swap_rate}, {"share_rate", &m->share_rate},
                   {"fill_rate", &m->fill_rate}};
    char name[32];
    uint32_t value;

    for (unsigned i = 0; i < ARRAY_COUNT(amounts); i++) {
        if (is(w, amounts[i].key))
            return memory_amount(w->value, w->length, amounts[i].to);
    }
    if (is(w, "sample"))
        return number(w, 3600, &m->sample);
    if (is(w, "swap_errors"))
        return number(w, 100, &m->swap_errors);
    if (is(w, "balloon_refused"))
        return number(w, 100, &m->balloon_refused);
    if (w->key_length >= sizeof(name) || !number(w, UINT32_MAX - 1, &value))
        return false;
    memcpy(name, w->key, w->key_length);
    name[w->key_length] = '\0';

    const struct memsched_input in = {
        .op = MEMSCHED_TUNE, .small = (uint16_t)memsched_tunable_by_name(name), .a = value};

    return memsched_record_step(&m->record, 0, &in) == VMK_OK;
}

static bool vm_word(struct memory_vm *vm, const struct word *w)
{
    if (is(w, "size"))
        return memory_amount(w->value, w->length, &vm->size);
    if (is(w, "min"))
        return memory_amount(w->value, w->length, &vm->min);
    if (is(w, "max"))
        return memory_amount(w->value, w->length, &vm->max);
    if (is(w, "shares"))
        return number(w, 10000000, &vm->shares);
    if (is(w, "share"))
        return number(w, 100, &vm->share_percent);
    if (is(w, "on"))
        return wl_time_parse(w->value, w->length, &vm->on);
    if (is(w, "driver")) {
        vm->driver = w->length == 3 && !memcmp(w->value, "yes", 3);
        return vm->driver || (w->length == 2 && !memcmp(w->value, "no", 2));
    }
    return false;
}

static bool host_words(struct memory *m, const char *text, char *error, size_t room)
{
    struct word w;

    while (text && word_next(&text, &w)) {
        if (!host_word(m, &w)) {
            snprintf(error, room,
                     "memory: '%.*s=%.*s' is no setting; see docs/workloads.md and "
                     "src/mem/memsched_tunables.def",
                     (int)MIN(w.key_length, 40u), w.key, (int)MIN(w.length, 40u), w.value);
            return false;
        }
    }
    return true;
}

/* ---- the policy ---- */

static void put(void *context, plat_ns now, const trace_word *record, size_t words)
{
    const struct memory *m = context;

    if (trace_mask_of(m->trace) & TRACE_CLASS_SYS)
        trace_write_on(m->trace, TRACE_SYS, now, record, words);
}

static vmk_status input(struct memory *m, struct memsched_input in)
{
    return memsched_record_step(&m->record, m->now, &in);
}

/* What the VM has now. */
static void usage(struct memory *m, struct memory_vm *vm)
{
    struct memory_sample *s = &vm->now;

    s->granted = vm->size - vm->count[PAGE_NONE];
    s->balloon = vm->count[PAGE_BALLOONED];
    s->swapped = vm->count[PAGE_SWAPPED];
    s->compressed = vm->count[PAGE_COMPRESSED];
    s->shared = memory_saved(m, vm);
    if (input(m, (struct memsched_input){.op = MEMSCHED_USAGE,
                                         .small = vm->driver ? BALLOON_MOST : 0,
                                         .id = vm->id,
                                         .a = s->granted,
                                         .b = s->balloon,
                                         .c = s->swapped,
                                         .d = s->shared,
                                         .e = s->compressed}) != VMK_OK)
        abort();
}

/* Usage first: what is free and what is held have to add up. */
void memory_tell_free(struct memory *m)
{
    for (uint32_t i = 0; i < m->vm_count; i++) {
        if (m->vms[i].id)
            usage(m, &m->vms[i]);
    }
    if (input(m, (struct memsched_input){.op = MEMSCHED_FREE, .a = memory_free_frames(m)}) !=
        VMK_OK)
        abort();  // free memory is never refused
}

static const struct memsched_node *node_of(const struct memory *m, const struct memory_vm *vm)
{
    return vm->id ? memsched_find(&m->policy, vm->id) : NULL;
}

static void vm_on(struct memory *m, struct memory_vm *vm)
{
    uint32_t id = FIRST_ID + vm->index;

    if (input(m, (struct memsched_input){.op = MEMSCHED_VM_ADD,
                                         .small = OVERHEAD,
                                         .id = id,
                                         .a = MEMSCHED_ROOT_ID,
                                         .b = vm->shares,
                                         .c = vm->min,
                                         .d = vm->size}) != VMK_OK ||
        (vm->max && input(m, (struct memsched_input){
                                 .op = MEMSCHED_SET_MAX, .id = id, .a = vm->max}) != VMK_OK)) {
        vm->refused = true;
        return;
    }
    vm->id = id;
    vm->sampled_at = m->second;
    memsched_record_name(&m->record, id, m->program->pools[vm->index].name);
}

/* ---- a second ---- */

/* The guest: first what it grows by, then its working set, in an order of its own. */
static void guest(struct memory *m, struct memory_vm *vm)
{
    uint32_t used = MIN(vm->used, vm->size), active = MIN(vm->active, used), first;
    uint32_t until = MIN(used, vm->grown + m->fill_rate);

    vm->now = (struct memory_sample){.on = true};
    while (vm->grown < until &&
           (vm->pages[vm->grown].state != PAGE_NONE || memory_access(m, vm, vm->grown, false)))
        vm->grown++;
    active = MIN(active, vm->grown);
    first = active ? (uint32_t)rng_below(&vm->rng, active) : 0;
    for (uint32_t i = 0; i < active; i++) {
        uint32_t page = (vm->base + (first + i) % active) % vm->grown;

        vm->now.wanted++;
        vm->now.done += memory_access(m, vm, page, rng_below(&vm->rng, 1000) < WRITE_PERCENT);
    }
}

static bool is_active(const struct memory_vm *vm, uint32_t page)
{
    uint32_t from = vm->grown ? vm->base % vm->grown : 0;

    return vm->grown && (page + vm->grown - from) % vm->grown < MIN(vm->active, vm->grown);
}

/* The driver: the guest gives free pages first, then idle ones; what it works with last. */
static void balloon(struct memory *m, struct memory_vm *vm, uint32_t target)
{
    uint32_t left = m->balloon_rate, taken = 0;

    if (!vm->driver || rng_below(&vm->rng, 100) < m->balloon_refused)
        return;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < vm->size && taken < left && vm->count[PAGE_BALLOONED] < target;
             i++) {
            uint32_t page = vm->balloon_at = (vm->balloon_at ? vm->balloon_at : vm->size) - 1;

            if (pass || page >= vm->grown || !is_active(vm, page))
                taken += memory_take_balloon(m, vm, page);
        }
    }
    vm->now.early += m->policy.level < MEMSCHED_SOFT ? taken : 0;
    for (uint32_t i = 0; i < vm->size && left && vm->count[PAGE_BALLOONED] > target; i++) {
        if (vm->pages[i].state == PAGE_BALLOONED) {
            memory_return(m, vm, i);
            left--;
            vm->grown = MIN(vm->grown, i);  // it will be used again
        }
    }
}

/* Victims are random: the host knows nothing better. */
static void take_out(struct memory *m, struct memory_vm *vm, uint32_t target)
{
    uint32_t tries = 4 * m->swap_rate, left = m->swap_rate;

    while (tries-- && left && vm->count[PAGE_SWAPPED] + vm->count[PAGE_COMPRESSED] < target) {
        if (!memory_take_out(m, vm, (uint32_t)rng_below(&vm->rng, vm->size)))
            continue;
        left--;
        vm->now.early += m->policy.level < MEMSCHED_HARD;
    }
}

static void sample(struct memory *m, struct memory_vm *vm)
{
    uint32_t touched = 0, sampled = 0;

    if (!m->sample || m->second - vm->sampled_at < m->sample ||
        vm->count[PAGE_NONE] == vm->size)
        return;
    for (uint32_t tries = 0; tries < 100 * SAMPLE_PAGES && sampled < SAMPLE_PAGES; tries++) {
        const struct memory_page *p = &vm->pages[rng_below(&vm->rng, vm->size)];
        bool there = p->state != PAGE_NONE && p->state != PAGE_BALLOONED;

        sampled += there;
        touched += there && p->touched > vm->sampled_at + 1;
    }
    vm->sampled_at = m->second;
    if (sampled && input(m, (struct memsched_input){.op = MEMSCHED_SAMPLE,
                                                    .small = 1,
                                                    .id = vm->id,
                                                    .a = touched,
                                                    .b = sampled}) != VMK_OK)
        abort();
}

static void tell(struct memory *m, struct memory_vm *vm)
{
    struct memory_sample *s = &vm->now;
    const struct memsched_node *n;
    uint64_t low;

    s->true_active = MIN(MIN(vm->active, vm->used), vm->size);
    usage(m, vm);
    sample(m, vm);
    n = node_of(m, vm);
    s->held = (uint32_t)memsched_held(n);
    s->active = (uint32_t)memsched_active_pages(n);
    low = MIN((uint64_t)n->min, (uint64_t)s->granted - s->shared);
    s->below = s->held < low ? (uint32_t)(low - s->held) : 0;
    put(m, m->now,
        TRACE_RECORD(mem_truth, .vm = vm->id, .active = s->true_active,
                     .missing = s->wanted - s->done, .faults = s->faults),
        TRACE_WORDS(mem_truth));
}

static void keep(struct memory *m)
{
    struct memory_sample *row;

    if (m->result.seconds == m->room)
        return;
    row = &m->result.samples[(size_t)m->result.seconds++ * m->result.pool_count];
    for (uint32_t i = 0; i < m->vm_count; i++) {
        struct memory_vm *vm = &m->vms[i];
        const struct memsched_node *n = node_of(m, vm);

        if (!n)
            continue;
        vm->now.target = n->target.entitlement;
        vm->now.free = memory_free_frames(m);
        vm->now.level = m->policy.level;
        row[vm->index] = vm->now;
    }
}

void memory_second(struct memory *m, uint64_t now)
{
    m->now = now;
    for (uint32_t i = 0; i < m->vm_count; i++) {
        struct memory_vm *vm = &m->vms[i];
        const struct memsched_node *n;

        if (!vm->id && !vm->refused && vm->on < now)
            vm_on(m, vm);
        n = node_of(m, vm);
        if (!n)
            continue;
        guest(m, vm);
        for (uint32_t k = 0; k < m->share_rate; k++)
            (void)memory_share(m, vm, (uint32_t)rng_below(&vm->rng, vm->size));
        usage(m, vm);
        balloon(m, vm, n->target.balloon);
        usage(m, vm);
        take_out(m, vm, n->target.swap);
        tell(m, vm);
    }
    memory_tell_free(m);
    m->second++;
    if (m->second % REALLOCATE == 0 &&
        input(m, (struct memsched_input){.op = MEMSCHED_TICK}) != VMK_OK)
        abort();
    keep(m);
}

void memory_touch(struct memory *m, uint32_t vm, uint32_t active, uint32_t used, uint32_t base)
{
    for (uint32_t i = 0; i < m->vm_count; i++) {
        struct memory_vm *v = &m->vms[i];

        if (v->index != vm)
            continue;
        v->active = active != WL_UNSET ? active : v->active;
        v->base = base != WL_UNSET ? base : v->base;
        v->used = MAX(used != WL_UNSET ? used : v->used, v->active);
    }
}

/* ---- life ---- */

static bool vm_init(struct memory *m, struct memory_vm *vm, const char *text, char *error,
                    size_t room)
{
    const char *name = m->program->pools[vm->index].name;
    struct word w;

    vm->driver = true;
    while (word_next(&text, &w)) {
        if (!vm_word(vm, &w)) {
            snprintf(error, room,
                     "mem %s: '%.*s=%.*s' is not understood; see docs/workloads.md", name,
                     (int)MIN(w.key_length, 40u), w.key, (int)MIN(w.length, 40u), w.value);
            return false;
        }
    }
    if (!vm->size || vm->min > vm->size || (vm->max && vm->max < vm->min)) {
        snprintf(error, room, "mem %s: give a size, and min no larger than size and max", name);
        return false;
    }
    vm->pages = calloc(vm->size, sizeof(*vm->pages));
    vm->count[PAGE_NONE] = vm->size;
    return vm->pages != NULL;
}

static bool vms_init(struct memory *m, uint64_t seed, char *error, size_t room)
{
    const struct workload *w = m->program->source;

    for (uint32_t i = 0; i < w->vm_count; i++) {
        struct memory_vm *vm = &m->vms[m->vm_count];
        uint32_t index = 0;

        if (!w->vms[i].memory)
            continue;
        while (index < m->program->pool_count &&
               strcmp(m->program->pools[index].name, w->vms[i].name) != 0)
            index++;
        vm->index = index;
        rng_init(&vm->rng, seed, "memory", index);
        m->vm_count++;
        if (!vm_init(m, vm, w->vms[i].memory, error, room))
            return false;
        m->common_count = MAX(m->common_count, vm->size);
    }
    return true;
}

static bool stores_init(struct memory *m)
{
    m->common_frame = calloc(m->common_count + 1u, sizeof(*m->common_frame));
    m->common_refs = calloc(m->common_count + 1u, sizeof(*m->common_refs));
    return m->common_frame && m->common_refs && memory_store_init(&m->frames, m->size) &&
           memory_store_init(&m->cache, m->size) && memory_store_init(&m->swap, m->swap_size);
}

struct memory *memory_create(const struct program *p, const char *change, uint64_t seed,
                             uint64_t duration, struct trace_state *trace, char *error,
                             size_t room)
{
    const struct workload *w = p->source;
    struct memory *m;

    error[0] = '\0';
    if (!w->memory)
        return NULL;
    m = calloc(1, sizeof(*m));
    snprintf(error, room, "no memory for the model of memory");
    if (!m)
        return NULL;
    *m = (struct memory){.program = p,
                         .trace = trace,
                         .balloon_rate = 32 * 256,
                         .swap_rate = 16 * 256,
                         .share_rate = 256,
                         .fill_rate = 32 * 256,
                         .sample = 30};
    memsched_init(&m->policy);
    memsched_record_init(&m->record, &m->policy);
    m->record.put = put;
    m->record.context = m;
    m->vms = calloc(w->vm_count + 1u, sizeof(*m->vms));
    m->room = (uint32_t)(duration / MEMORY_SECOND) + 1;
    m->result.pool_count = p->pool_count;
    m->result.samples =
        calloc((size_t)m->room * (p->pool_count + 1u), sizeof(*m->result.samples));
    if (m->vms && m->result.samples && host_words(m, w->memory, error, room) &&
        host_words(m, change, error, room)) {
        if (!m->size)
            snprintf(error, room, "memory: give the host's size, as in memory size=1GB");
        else if (vms_init(m, seed, error, room) && stores_init(m) &&
                 input(m, (struct memsched_input){.op = MEMSCHED_HOST,
                                                  .a = m->size,
                                                  .b = m->swap_size,
                                                  .c = m->min_free}) == VMK_OK) {
            memory_tell_free(m);
            error[0] = '\0';
            return m;
        }
    }
    memory_destroy(m);
    return NULL;
}

struct memory_result memory_take_result(struct memory *m)
{
    struct memory_result r = m->result;

    m->result.samples = NULL;
    return r;
}

void memory_destroy(struct memory *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; m->vms && i < m->vm_count; i++)
        free(m->vms[i].pages);
    memory_store_free(&m->frames);
    memory_store_free(&m->cache);
    memory_store_free(&m->swap);
    free(m->common_frame);
    free(m->common_refs);
    free(m->vms);
    free(m->result.samples);
    free(m);
}
