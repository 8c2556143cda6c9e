// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/memory_text.c -- the words of the memory model: amounts, settings of the host, VMs, pools, faults.
 *
 * The same words stand in a `memory` or `mem` line and, with `mem.` in front, in an `at` line;
 * those that make the host or a guest larger or smaller only in the former.
 *
 * Locking    none: one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "sim/workload/memory_internal.h"

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

static bool yes(const struct word *w, bool *out)
{
    *out = w->length == 3 && !memcmp(w->value, "yes", 3);
    return *out || (w->length == 2 && !memcmp(w->value, "no", 2));
}

static bool host_word(struct memory *m, const struct word *w, bool at_start)
{
    const struct {
        const char *key;
        uint32_t *to;
        bool only_at_start;
    } amounts[] = {{"size", &m->size, true},
                   {"swap", &m->swap_size, true},
                   {"minfree", &m->min_free, true},
                   {"balloon_rate", &m->balloon_rate, false},
                   {"swap_rate", &m->swap_rate, false},
                   {"share_rate", &m->share_rate, false},
                   {"fill_rate", &m->fill_rate, false},
                   {"kernel", &m->kernel_most, false}};
    const struct {
        const char *key;
        uint32_t *to;
        uint32_t most;
    } numbers[] = {{"sample", &m->sample, 3600},
                   {"swap_errors", &m->swap_errors, 100},
                   {"swap_rot", &m->swap_rot, 1000000},
                   {"balloon_refused", &m->balloon_refused, 100}};
    char name[32];
    uint32_t value;

    for (unsigned i = 0; i < ARRAY_COUNT(amounts); i++) {
        if (is(w, amounts[i].key))
            return (at_start || !amounts[i].only_at_start) &&
                   memory_amount(w->value, w->length, amounts[i].to);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(numbers); i++) {
        if (is(w, numbers[i].key))
            return number(w, numbers[i].most, numbers[i].to);
    }
    if (is(w, "swap_full"))
        return yes(w, &m->swap_full);
    if (w->key_length >= sizeof(name) || !number(w, UINT32_MAX - 1, &value))
        return false;
    memcpy(name, w->key, w->key_length);
    name[w->key_length] = '\0';

    const struct memsched_input in = {
        .op = MEMSCHED_TUNE, .small = (uint16_t)memsched_tunable_by_name(name), .a = value};

    return memsched_record_step(&m->record, m->now, &in) == VMK_OK;
}

static bool vm_word(struct memory_vm *vm, const struct word *w, bool at_start)
{
    const struct {
        const char *key;
        uint32_t *to;
        uint32_t most;
    } numbers[] = {{"shares", &vm->shares, 10000000},
                   {"share", &vm->share_percent, 100},
                   {"refuse", &vm->refuse, 100},
                   {"late", &vm->late, 3600}};

    if (is(w, "size"))
        return at_start && memory_amount(w->value, w->length, &vm->size);
    if (is(w, "min"))
        return memory_amount(w->value, w->length, &vm->min);
    if (is(w, "max"))
        return memory_amount(w->value, w->length, &vm->max);
    for (unsigned i = 0; i < ARRAY_COUNT(numbers); i++) {
        if (is(w, numbers[i].key))
            return number(w, numbers[i].most, numbers[i].to);
    }
    if (is(w, "on"))
        return at_start && wl_time_parse(w->value, w->length, &vm->on);
    if (is(w, "reset"))
        return yes(w, &vm->reset);
    if (is(w, "expandable"))
        return yes(w, &vm->expandable);
    return is(w, "driver") && yes(w, &vm->driver);
}

bool memory_host_words(struct memory *m, const char *text, bool at_start, char *error,
                       size_t room)
{
    struct word w;

    while (text && word_next(&text, &w)) {
        if (!host_word(m, &w, at_start)) {
            snprintf(error, room,
                     "memory: '%.*s=%.*s' is no setting%s; see docs/workloads.md and "
                     "src/mem/memsched_tunables.def",
                     (int)MIN(w.key_length, 40u), w.key, (int)MIN(w.length, 40u), w.value,
                     at_start ? "" : " that may change");
            return false;
        }
    }
    return true;
}

bool memory_vm_words(struct memory_vm *vm, const char *name, const char *text, bool at_start,
                     char *error, size_t room)
{
    struct word w;

    while (text && word_next(&text, &w)) {
        if (!vm_word(vm, &w, at_start)) {
            snprintf(error, room,
                     "mem %s: '%.*s=%.*s' is not understood%s; see docs/workloads.md", name,
                     (int)MIN(w.key_length, 40u), w.key, (int)MIN(w.length, 40u), w.value,
                     at_start ? "" : ", or may not change");
            return false;
        }
    }
    return true;
}

bool memory_change_check(const char *name, const char *text, bool host, char *error,
                         size_t room)
{
    struct memory *m = calloc(1, sizeof(*m));
    struct memory_vm vm = {0};
    bool good = false;

    snprintf(error, room, "no memory");
    if (m) {
        memsched_init(&m->policy);
        memsched_record_init(&m->record, &m->policy);
        m->record.put = memory_put_nothing;
        good = host ? memory_host_words(m, text, false, error, room)
                    : memory_vm_words(&vm, name, text, false, error, room);
    }
    free(m);
    return good;
}
