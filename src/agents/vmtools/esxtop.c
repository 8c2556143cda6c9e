// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxtop.c -- esxtop: gathers what the host did, and hands it to a screen or a CSV file.
 *
 * The scheduler gives a sample of every world at one instant; here they become groups as esxtop
 * shows them: a VM is its vCPUs and its vmx, a process is its threads. The columns come from
 * src/sched/esxtop.c, which is linked here too.
 *
 * Invariants
 *   - Every world of the samples is in exactly one group.
 * Locking    none: one thread.
 * Start at   top_look().
 * Sources    [ESXTOP]
 */
#include "agents/vmtools/esxtop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SYSTEM_GROUP  1u
#define IDLE_GROUP    2u
#define DELAY_DEFAULT 5000u
#define PAGE_KB       4u

/* ---- looking ---- */

struct lists {
    struct vmk_world *worlds;
    struct vmk_vm *vms;
    struct vmk_vm_memory *memory;
    struct vmk_process *processes;
    struct sched_sample *samples;
    uint32_t world_count, vm_count, memory_count, process_count, sample_count;
};

static void lists_get(struct lists *l)
{
    // Samples last: what the others do not know yet is rare, what they know and it not is
    // harmless.
    l->vms = vmk_list_get(VMK_LIST_VMS, sizeof(*l->vms), &l->vm_count);
    l->memory = vmk_list_get(VMK_LIST_VM_MEMORY, sizeof(*l->memory), &l->memory_count);
    l->processes = vmk_list_get(VMK_LIST_PROCESSES, sizeof(*l->processes), &l->process_count);
    l->worlds = vmk_list_get(VMK_LIST_WORLDS, sizeof(*l->worlds), &l->world_count);
    l->samples = vmk_list_get(VMK_LIST_SAMPLES, sizeof(*l->samples), &l->sample_count);
}

static void lists_free(struct lists *l)
{
    free(l->vms);
    free(l->memory);
    free(l->processes);
    free(l->worlds);
    free(l->samples);
}

static const struct vmk_world *world_of(const struct lists *l, uint32_t id)
{
    for (uint32_t i = 0; i < l->world_count; i++) {
        if (l->worlds[i].world_id == id)
            return &l->worlds[i];
    }
    return NULL;
}

static struct top_group *group_get(struct top_look *look, uint32_t id, const char *name)
{
    struct top_group *g;

    for (uint32_t i = 0; i < look->group_count; i++) {
        if (look->groups[i].id == id)
            return &look->groups[i];
    }
    g = &look->groups[look->group_count++];
    g->id = id;
    snprintf(g->name, sizeof(g->name), "%s", name);
    g->sum.id = id;
    g->shown = id;
    return g;
}

/* One that began between the two lists has only what its VM says. */
static struct vmk_vm_memory memory_of(const struct lists *l, const struct vmk_vm *vm)
{
    for (uint32_t i = 0; i < l->memory_count; i++) {
        if (l->memory[i].group_id == vm->group_id)
            return l->memory[i];
    }
    return (struct vmk_vm_memory){.size_kb = vm->memory_mb * 1024ull,
                                  .granted_kb = vm->granted_pages * PAGE_KB};
}

/* Where a world's time is booked. */
static struct top_group *group_of(struct top_look *look, const struct lists *l,
                                  const struct sched_sample *s)
{
    const struct vmk_world *w = world_of(l, s->id);

    if (s->kind == SCHED_SAMPLE_IDLE)
        return group_get(look, IDLE_GROUP, "idle");
    for (uint32_t i = 0; i < l->vm_count; i++) {
        if ((s->kind == SCHED_SAMPLE_VCPU && s->group == l->vms[i].group_id) ||
            (w && w->cartel_id && w->cartel_id == l->vms[i].cartel_id)) {
            struct top_group *g = group_get(look, l->vms[i].group_id, l->vms[i].name);

            g->is_vm = true;
            g->memory = memory_of(l, &l->vms[i]);
            return g;
        }
    }
    if (!w || w->kind != VMK_WORLD_USER)
        return group_get(look, SYSTEM_GROUP, "system");
    for (uint32_t i = 0; i < l->process_count; i++) {
        if (l->processes[i].pid == w->cartel_id) {
            struct top_group *g =
                group_get(look, 0x80000000u | w->cartel_id, l->processes[i].name);

            if (g->sum.worlds == 0 || s->id < g->shown)
                g->shown = s->id;
            g->memory.size_kb = l->processes[i].virtual_kb;
            g->memory.granted_kb = l->processes[i].resident_kb;
            g->memory.swapped_kb = l->processes[i].swapped_kb;
            return g;
        }
    }
    return group_get(look, 0x80000000u | w->cartel_id, w->name);
}

static void world_add(struct top_look *look, const struct lists *l, const struct top_group *g,
                      const struct sched_sample *s)
{
    const struct vmk_world *w = world_of(l, s->id);
    struct top_world *out = &look->worlds[look->world_count++];

    *out = (struct top_world){.id = s->id, .group = g->id, .sample = *s};
    if (w) {
        out->pid = w->cartel_id;
        out->kind = (enum vmk_world_kind)w->kind;
    }
    snprintf(out->name, sizeof(out->name), "%s", w ? w->name : g->name);
}

static int by_group(const void *a, const void *b)
{
    const struct top_world *x = a, *y = b;

    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

struct top_look *top_look(void)
{
    struct top_look *look = allocate(sizeof(*look));
    struct lists l;

    lists_get(&l);
    vmk_host_get(&look->host);
    look->cpus = vmk_list_get(VMK_LIST_CPUS, sizeof(*look->cpus), &look->cpu_count);
    vmk_memory_get(&look->memory);
    vmk_swap_get(&look->user_swap);
    look->groups = allocate((l.sample_count + 1) * sizeof(*look->groups));
    look->worlds = allocate((l.sample_count + 1) * sizeof(*look->worlds));
    for (uint32_t i = 0; i < l.sample_count; i++) {
        const struct sched_sample *s = &l.samples[i];

        if (s->kind == SCHED_SAMPLE_WORLD || s->kind == SCHED_SAMPLE_VCPU ||
            s->kind == SCHED_SAMPLE_IDLE) {
            struct top_group *g = group_of(look, &l, s);

            sched_sample_add(&g->sum, s);
            world_add(look, &l, g, s);
        }
    }
    qsort(look->worlds, look->world_count, sizeof(*look->worlds), by_group);
    lists_free(&l);
    return look;
}

void top_free(struct top_look *look)
{
    if (!look)
        return;
    free(look->groups);
    free(look->worlds);
    free(look->cpus);
    free(look);
}

const struct top_group *top_group_before(const struct top_look *before,
                                         const struct top_group *now)
{
    for (uint32_t i = 0; before && i < before->group_count; i++) {
        if (before->groups[i].id == now->id)
            return &before->groups[i];
    }
    return NULL;
}

const struct top_world *top_world_of(const struct top_look *look, uint32_t id)
{
    for (uint32_t i = 0; look && i < look->world_count; i++) {
        if (look->worlds[i].id == id)
            return &look->worlds[i];
    }
    return NULL;
}

bool top_can_kill(const struct top_world *world)
{
    return world->kind == VMK_WORLD_VCPU || (world->kind == VMK_WORLD_USER && world->pid);
}

void top_kill(const struct top_world *world, char *told, size_t size)
{
    struct vmk_vm_kill k = {.world_id = world->id, .how = VMK_KILL_HARD};
    bool done = world->kind == VMK_WORLD_VCPU
                    ? vmk_call(device(), VMK_VM_KILL, &k, sizeof(k)) == 0
                    : kill((pid_t)world->pid, SIGKILL) == 0;

    if (done)
        snprintf(told, size, "%u (%s) is killed", world->id, world->name);
    else
        snprintf(told, size, "%u (%s): %s", world->id, world->name, strerror(errno));
}

static uint64_t share_of(uint64_t used, uint64_t passed)
{
    return passed ? used * 10000 / passed : 0;
}

uint64_t top_cpu_used(const struct top_look *before, const struct top_look *now, uint32_t cpu)
{
    uint64_t passed = now->host.uptime_ns - (before ? before->host.uptime_ns : 0);
    uint64_t sum = 0;

    for (uint32_t i = 0; i < now->cpu_count; i++) {
        uint64_t was = before && i < before->cpu_count ? before->cpus[i].used_ns : 0;

        if (cpu == UINT32_MAX || cpu == i)
            sum += now->cpus[i].used_ns > was ? now->cpus[i].used_ns - was : 0;
    }
    if (cpu == UINT32_MAX && now->cpu_count)
        sum /= now->cpu_count;
    // The two clocks are read a moment apart.
    return share_of(sum, passed) > 10000 ? 10000 : share_of(sum, passed);
}

bool top_sleep(int fd, uint64_t ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int ready = poll(&p, 1, (int)ms);

    if (ready < 0 && errno != EINTR)
        fail(EXIT_FAILED, "poll: %s", strerror(errno));
    return ready <= 0;
}

/* ---- the program ---- */

static int usage(FILE *to, int code)
{
    fputs("usage: esxtop [-b] [-d SECONDS] [-n COUNT] [-a]\n"
          "\n"
          "Who uses CPU and memory. On a terminal the screen is refreshed; h lists the keys.\n"
          "  -b          batch: CSV as Windows' performance monitor reads it, a line per look\n"
          "  -d SECONDS  between two looks (5; at least 1)\n"
          "  -n COUNT    so many looks, then end\n"
          "  -a          accepted: all fields are always shown\n"
          "status: 0; 2 usage; 3 it failed\n",
          to);
    return code;
}

int esxtop_main(int argc, char **argv)
{
    uint64_t delay = DELAY_DEFAULT, rounds = 0;
    bool batch = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return usage(stdout, EXIT_DONE);
        if (strcmp(argv[i], "-b") == 0) {
            batch = true;
        } else if (strcmp(argv[i], "-d") == 0 && i + 1 < argc) {
            if (!number_of(argv[++i], 86400, &delay) || delay == 0)
                fail(EXIT_USAGE, "-d %s: seconds, from 1 to 86400", argv[i]);
            delay *= 1000;
        } else if (strcmp(argv[i], "-n") == 0 && i + 1 < argc) {
            if (!number_of(argv[++i], 1000000000, &rounds) || rounds == 0)
                fail(EXIT_USAGE, "-n %s: a number from 1", argv[i]);
        } else if (strcmp(argv[i], "-a") != 0) {
            return usage(stderr, EXIT_USAGE);
        }
    }
    if (!batch && !isatty(STDOUT_FILENO))
        fail(EXIT_USAGE, "the output is no terminal; -b writes CSV");
    return batch ? top_batch(delay, rounds) : top_screen(delay, rounds);
}
