// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/wl_print.c -- struct workload back into the text of the language.
 *
 * Importers and what-if build workloads in memory; the text is what people keep, edit and send.
 *
 * Invariants
 *   - wl_parse() of the output gives the same workload, and printing that the same text
 *     (tests/unit/test_wl.c, tests/fuzz/fuzz_wl.c).
 * Locking    none.
 */
#include <string.h>

#include "sim/workload/wl.h"

static void print_time(FILE *out, const char *before, uint64_t ns)
{
    char text[32];

    wl_time_print(ns, text);
    fprintf(out, "%s%s", before, text);
}

static void print_amount(FILE *out, const char *key, struct wl_amount a)
{
    if (a.value == WL_UNSET)
        return;
    if (a.unit == WL_UNIT_MHZ)
        fprintf(out, " %s=%uMHz", key, a.value);
    else if (a.value % 100)
        fprintf(out, " %s=%u.%02u%%", key, a.value / 100, a.value % 100);
    else
        fprintf(out, " %s=%u%%", key, a.value / 100);
}

static void print_resources(FILE *out, const struct wl_resources *r)
{
    if (r->shares != WL_UNSET)
        fprintf(out, " shares=%u", r->shares);
    print_amount(out, "min", r->min);
    print_amount(out, "max", r->max);
}

static void print_affinity(FILE *out, uint64_t mask)
{
    const char *before = " affinity=";

    for (unsigned c = 0; c < 64; c++) {
        unsigned last = c;

        if (!(mask & BIT(c)))
            continue;
        while (last < 63 && (mask & BIT(last + 1)))
            last++;
        if (last == c)
            fprintf(out, "%s%u", before, c);
        else
            fprintf(out, "%s%u-%u", before, c, last);
        before = ",";
        c = last;
    }
}

/* The words of a list of settings, each with mem. in front. */
static void print_memory(FILE *out, const char *list)
{
    for (const char *word = list; *word;) {
        size_t length = strcspn(word, " ");

        fprintf(out, " mem.%.*s", (int)length, word);
        word += length + (word[length] == ' ');
    }
}

static void print_policy(FILE *out, const struct wl_policy *o, bool key)
{
    if (o->policy[0])
        fprintf(out, key ? " policy=%s" : " %s", o->policy);
    for (uint32_t i = 0; i < o->tunable_count; i++) {
        const struct wl_tunable *t = &o->tunables[i];

        fprintf(out, " %s=", wl_tunable_names[t->tunable]);
        if (t->time)
            print_time(out, "", t->value);
        else
            fprintf(out, "%llu", (unsigned long long)t->value);
    }
    print_memory(out, o->memory);
    fputc('\n', out);
}

static void print_step(FILE *out, const struct wl_step *s)
{
    fprintf(out, "  %s", wl_step_words[s->kind]);
    switch (wl_step_shapes[s->kind]) {
    case WL_SHAPE_NONE: break;
    case WL_SHAPE_KIND: fprintf(out, " %s", wl_wait_words[s->wait]); fall_through;
    case WL_SHAPE_DIST:
        fputc(' ', out);
        wl_dist_print(&s->dist, out);
        break;
    case WL_SHAPE_TIME:
        print_time(out, " ", s->value);
        if (s->phase)
            print_time(out, " phase=", s->phase);
        break;
    case WL_SHAPE_NAME:
    case WL_SHAPE_TEXT: fprintf(out, " %s", s->text); break;
    case WL_SHAPE_COUNT:
        if (s->value)
            fprintf(out, " %llu", (unsigned long long)s->value);
        break;
    }
    fputc('\n', out);
}

static void print_host(const struct workload *w, FILE *out)
{
    const struct wl_host *h = &w->host;
    const struct wl_costs *c = &w->costs;

    fprintf(out, "host cpus=%u threads=%u llc=%u package=%u numa=%u speed=%uMHz\n", h->cpus,
            h->threads, h->llc, h->package, h->numa, h->mhz);
    print_time(out, "cost switch=", c->context_switch);
    print_time(out, " smt=", c->smt);
    print_time(out, " llc=", c->llc);
    print_time(out, " package=", c->package);
    print_time(out, " numa=", c->numa);
    fprintf(out, " remote=%u%% smt_speed=%u%%\n", c->remote_percent, c->smt_percent);
    if (w->memory)
        fprintf(out, "memory %s\n", w->memory);
}

static void print_object(FILE *out, const struct wl_object *o)
{
    switch (o->kind) {
    case WL_OBJECT_EVENT:
        fprintf(out, "event %s", o->name);
        if (o->count)
            fprintf(out, " count=%u", o->count);
        break;
    case WL_OBJECT_LOCK:
        fprintf(out, "lock %s kind=%s", o->name, wl_lock_words[o->lock]);
        print_time(out, " spin=", o->spin);
        break;
    case WL_OBJECT_BARRIER:
        fprintf(out, "barrier %s n=%u", o->name, o->parties);
        print_time(out, " spin=", o->spin);
        break;
    }
    fputc('\n', out);
}

static void print_world(const struct workload *w, const struct wl_world *world, FILE *out)
{
    fprintf(out, "world %s", world->name);
    if (world->indexed)
        fprintf(out, "[%u..%u]", world->first, world->first + world->count - 1);
    if (world->vm[0])
        fprintf(out, " vm=%s", world->vm);
    if (world->pool[0])
        fprintf(out, " pool=%s", world->pool);
    print_resources(out, &world->resources);
    if (world->affinity)
        print_affinity(out, world->affinity);
    if (world->start.kind != WL_DIST_CONST || world->start.a) {
        fputs(" start=", out);
        wl_dist_print(&world->start, out);
    }
    fputc('\n', out);
    for (uint32_t i = 0; i < world->step_count; i++)
        print_step(out, &w->steps[world->step_first + i]);
}

void wl_print(const struct workload *w, FILE *out)
{
    if (w->name[0])
        fprintf(out, "workload %s\n", w->name);
    if (w->source)
        fprintf(out, "source %s\n", w->source);
    fprintf(out, "loop %s\n", w->open_loop ? "open" : "closed");
    print_time(out, "duration ", w->duration);
    fputc('\n', out);
    print_host(w, out);
    if (w->policy.policy[0]) {
        fputs("policy", out);
        print_policy(out, &w->policy, false);
    }
    for (uint32_t i = 0; i < w->variant_count; i++) {
        fprintf(out, "variant %s", w->variants[i].name);
        print_policy(out, &w->variants[i], true);
    }
    for (uint32_t i = 0; i < w->pool_count; i++) {
        const struct wl_pool *p = &w->pools[i];

        fprintf(out, "pool %s", p->name);
        if (p->parent[0])
            fprintf(out, " parent=%s", p->parent);
        print_resources(out, &p->resources);
        fputs(p->expandable ? "\n" : " expandable=no\n", out);
        if (p->memory)
            fprintf(out, "mem %s %s\n", p->name, p->memory);
    }
    for (uint32_t i = 0; i < w->vm_count; i++) {
        const struct wl_vm *vm = &w->vms[i];

        fprintf(out, "vm %s", vm->name);
        if (vm->pool[0])
            fprintf(out, " pool=%s", vm->pool);
        print_resources(out, &vm->resources);
        fputs(vm->cosched ? "\n" : " cosched=no\n", out);
        if (vm->memory)
            fprintf(out, "mem %s %s\n", vm->name, vm->memory);
    }
    for (uint32_t i = 0; i < w->object_count; i++)
        print_object(out, &w->objects[i]);
    for (uint32_t i = 0; i < w->world_count; i++)
        print_world(w, &w->worlds[i], out);
    for (uint32_t i = 0; i < w->change_count; i++) {
        const struct wl_change *c = &w->changes[i];

        print_time(out, "at ", c->time);
        fprintf(out, " set %s", c->name);
        print_resources(out, &c->resources);
        if (c->affinity)
            print_affinity(out, c->affinity);
        if (c->pool[0])
            fprintf(out, " pool=%s", c->pool);
        print_memory(out, c->memory);
        fputc('\n', out);
    }
    for (uint32_t i = 0; i < w->expect_count; i++)
        fprintf(out, "expect %s\n", w->expects[i].text);
    if (w->self_replay)
        fprintf(out, "selfreplay run=%.6f%% ready=%.6f%%\n", 100 * w->self_replay_run,
                100 * w->self_replay_ready);
    for (uint32_t i = 0; i < w->recorded_count; i++) {
        const struct wl_recorded *r = &w->recorded[i];

        fprintf(out, "recorded %s", r->name);
        print_time(out, " run=", r->run);
        print_time(out, " ready=", r->ready);
        fprintf(out, " switches=%u\n", r->switches);
    }
}
