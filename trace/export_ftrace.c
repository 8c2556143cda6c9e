// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/export_ftrace.c -- a trace as the text of the Linux kernel's trace file.
 *
 * Switches, wake-ups and moves have the kernel's names and keys. The kernel's file has
 * microseconds;
 * --ns writes nine decimals, which our own importer and perf's readers take.
 *
 * Invariants
 *   - One line per event, in time's order.
 * Locking    none: one thread.
 */
#include <inttypes.h>
#include <string.h>

#include "trace/export.h"
#include "trace/tool.h"

#define PRIORITY 120  // of everybody: Linux's nice 0

struct text {
    FILE *out;
    const char *path;
    bool nanoseconds;
    uint32_t running[MODEL_CPUS_MAX];  // for the first column
    char comm[MODEL_CPUS_MAX][32];
};

static bool begin(void *context, const struct export_options *o, const struct trace_info *info)
{
    struct text *t = context;

    t->out = tool_create(o->path);
    t->path = o->path;
    t->nanoseconds = o->nanoseconds;
    if (!t->out)
        return false;
    fprintf(t->out,
            "# tracer: nop\n"
            "#\n"
            "# entries-in-buffer/entries-written: 0/0   #P:%u\n"
            "#\n"
            "#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n"
            "#              | |         |   |||||     |         |\n",
            MAX(info->streams, 2u) - 1);  // without `sys`
    for (unsigned i = 0; i < MODEL_CPUS_MAX; i++)
        snprintf(t->comm[i], sizeof(t->comm[i]), "swapper/%u", i);
    return true;
}

static void head(struct text *t, const struct export_event *e, const char *name)
{
    unsigned cpu = e->cpu % MODEL_CPUS_MAX;

    fprintf(t->out, "%16s-%-7u [%03u] d.... ", t->comm[cpu], t->running[cpu], e->cpu);
    if (t->nanoseconds)
        fprintf(t->out, "%5" PRIu64 ".%09" PRIu64 ": %s: ", e->time / 1000000000,
                e->time % 1000000000, name);
    else
        fprintf(t->out, "%5" PRIu64 ".%06" PRIu64 ": %s: ", e->time / 1000000000,
                e->time % 1000000000 / 1000, name);
}

static void event(void *context, const struct export_event *e)
{
    struct text *t = context;
    unsigned cpu = e->cpu % MODEL_CPUS_MAX;
    char comm[32], next[32];

    export_comm(e->world, e->cpu, comm);
    switch (e->kind) {
    case EXPORT_SWITCH:
        t->running[cpu] = export_tid(e->world);
        strcpy(t->comm[cpu], comm);
        export_comm(e->next, e->cpu, next);
        head(t, e, "sched_switch");
        fprintf(t->out,
                "prev_comm=%s prev_pid=%u prev_prio=%d prev_state=%c ==> next_comm=%s "
                "next_pid=%u next_prio=%d\n",
                comm, export_tid(e->world), PRIORITY, export_state_letter(e->prev_state), next,
                export_tid(e->next), PRIORITY);
        t->running[cpu] = export_tid(e->next);
        strcpy(t->comm[cpu], next);
        break;
    case EXPORT_WAKING:
        head(t, e, "sched_waking");
        fprintf(t->out, "comm=%s pid=%u prio=%d target_cpu=%03u\n", comm, export_tid(e->world),
                PRIORITY, e->dst);
        break;
    case EXPORT_MIGRATE:
        head(t, e, "sched_migrate_task");
        fprintf(t->out, "comm=%s pid=%u prio=%d orig_cpu=%u dest_cpu=%u\n", comm,
                export_tid(e->world), PRIORITY, e->src, e->dst);
        break;
    default: break;
    }
}

static bool end(void *context, const struct model *m)
{
    struct text *t = context;

    (void)m;
    return tool_finish(t->out, t->path);
}

const struct exporter exporter_ftrace = {
    .name = "ftrace",
    .begin = begin,
    .event = event,
    .end = end,
    .context_size = sizeof(struct text),
};
