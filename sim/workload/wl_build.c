// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/wl_build.c -- a workload in memory: its words, adding to it, names, freeing it.
 *
 * Importers build workloads with the same calls as the parser.
 *
 * Invariants
 *   - Counts are those of the arrays; an array has room for the next power of two.
 * Locking    none: one thread.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/workload/wl_internal.h"

const char *const wl_step_words[WL_STEP_COUNT] = {
#define WL_STEP(name, word, shape, what) word,
#include "sim/workload/wl.def"
};
const enum wl_shape wl_step_shapes[WL_STEP_COUNT] = {
#define WL_STEP(name, word, shape, what) shape,
#include "sim/workload/wl.def"
};
const char *const wl_metric_words[WL_METRIC_COUNT] = {
#define WL_METRIC(name, word, what) word,
#include "sim/workload/wl.def"
};
const char *const wl_wait_words[4] = {"event", "io", "idle", "swap"};
const char *const wl_lock_words[4] = {"spin", "ticket", "adaptive", "block"};

/* Room for one more in an array that doubles at powers of two. */
void *wl_grown(void *array, uint32_t count, size_t size)
{
    if (count & (count - 1))
        return array;

    void *bigger = realloc(array, (count ? 2 * (size_t)count : 1) * size);

    if (!bigger) {
        fputs("orrery: no memory for the workload\n", stderr);
        exit(3);
    }
    return bigger;
}

const struct wl_resources wl_resources_unset = {
    .shares = WL_UNSET, .min = {.value = WL_UNSET}, .max = {.value = WL_UNSET}};

void wl_init(struct workload *w)
{
    *w = (struct workload){
        .duration = 10000000000ull,
        .host = {.cpus = 1, .threads = 1, .mhz = 2000},
        .costs = {.context_switch = 1500,
                  .smt = 500,
                  .llc = 3000,
                  .package = 20000,
                  .numa = 50000,
                  .remote_percent = 0,
                  .smt_percent = 100},
    };
}

char *wl_copied(const char *text, size_t length)
{
    char *copy = malloc(length + 1);

    if (!copy) {
        fputs("orrery: no memory for the workload\n", stderr);
        exit(3);
    }
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

struct wl_world *wl_add_world(struct workload *w, const char *name)
{
    struct wl_world *world = ADD(w, worlds, world_count);

    strncpy(world->name, name, WL_NAME_SIZE - 1);
    world->count = 1;
    world->resources = wl_resources_unset;
    world->step_first = w->step_count;
    w->worlds_expanded++;
    return world;
}

struct wl_pool *wl_add_pool(struct workload *w, const char *name)
{
    struct wl_pool *pool = ADD(w, pools, pool_count);

    snprintf(pool->name, sizeof(pool->name), "%s", name);
    pool->resources = wl_resources_unset;
    pool->expandable = true;
    return pool;
}

struct wl_vm *wl_add_vm(struct workload *w, const char *name)
{
    struct wl_vm *vm = ADD(w, vms, vm_count);

    snprintf(vm->name, sizeof(vm->name), "%s", name);
    vm->resources = wl_resources_unset;
    vm->cosched = true;
    return vm;
}

struct wl_step *wl_add_step(struct workload *w, enum wl_step_kind kind, uint64_t value)
{
    struct wl_step *step = ADD(w, steps, step_count);

    step->kind = (uint8_t)kind;
    if (wl_step_shapes[kind] == WL_SHAPE_DIST || wl_step_shapes[kind] == WL_SHAPE_KIND)
        step->dist.a = value;
    else
        step->value = value;
    step->wait = kind == WL_BLOCK ? WL_WAIT_IO : WL_WAIT_IDLE;
    w->worlds[w->world_count - 1].step_count++;
    return step;
}

void wl_add_recorded(struct workload *w, const char *name, uint64_t run, uint64_t ready,
                     uint64_t switches)
{
    struct wl_recorded *r = ADD(w, recorded, recorded_count);

    snprintf(r->name, sizeof(r->name), "%s", name);
    r->run = run;
    r->ready = ready;
    r->switches = (uint32_t)MIN(switches, UINT32_MAX);
}

void wl_step_name(struct wl_step *step, const char *name)
{
    free(step->text);
    step->text = wl_copied(name, strlen(name));
}

bool wl_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("_.:/-+@", c));
}

void wl_name_make(char name[WL_NAME_SIZE], const char *text, size_t length)
{
    size_t n = MIN(length, WL_NAME_SIZE - 1u);

    for (size_t i = 0; i < n; i++)
        name[i] = wl_name_char(text[i]) ? text[i] : '_';
    if (!n)
        name[n++] = '_';
    name[n] = 0;
}

bool wl_name_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *back = NULL;

    while (*name) {
        if (*pattern == '*') {
            star = ++pattern;
            back = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star;
            name = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

void wl_free(struct workload *w)
{
    for (uint32_t i = 0; i < w->step_count; i++) {
        free(w->steps[i].text);
        free(w->steps[i].dist.choice);
    }
    for (uint32_t i = 0; i < w->vm_count; i++)
        free(w->vms[i].memory);
    for (uint32_t i = 0; i < w->pool_count; i++)
        free(w->pools[i].memory);
    for (uint32_t i = 0; i < w->world_count; i++)
        free(w->worlds[i].start.choice);
    for (uint32_t i = 0; i < w->expect_count; i++)
        wl_expect_free(&w->expects[i]);
    free(w->source);
    free(w->memory);
    free(w->variants);
    free(w->pools);
    free(w->vms);
    free(w->worlds);
    free(w->steps);
    free(w->objects);
    free(w->changes);
    free(w->expects);
    free(w->recorded);
    *w = (struct workload){.name = ""};
}
