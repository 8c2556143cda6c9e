// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxtop_batch.c -- esxtop -b: a CSV file that performance tools of others read.
 *
 * The first line names the columns as \\host\Object(instance)\Counter, each following one is a
 * look: what happened since the one before. Columns are those of the groups that are there at
 * the beginning; a group that ends keeps its columns, with zeros, and one that comes later has
 * none, so that the file stays a table.
 *
 * Invariants
 *   - Every line has as many values as the first.
 * Locking    none: one thread.
 * Sources    [ESXTOP] batch mode
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "agents/vmtools/esxtop.h"

/* The counters of a group in PDH's words. */
static const struct {
    enum esxtop_column column;
    const char *name;
} counters[] = {
    {ESXTOP_USED, "% Used"},       {ESXTOP_RUN, "% Run"},
    {ESXTOP_SYS, "% System"},      {ESXTOP_WAIT, "% Wait"},
    {ESXTOP_VMWAIT, "% VmWait"},   {ESXTOP_RDY, "% Ready"},
    {ESXTOP_IDLE, "% Idle"},       {ESXTOP_OVRLP, "% Overlap"},
    {ESXTOP_CSTP, "% CoStop"},     {ESXTOP_MLMTD, "% Max Limited"},
    {ESXTOP_SWPWT, "% Swap Wait"}, {ESXTOP_SWTCH, "Switches/sec"},
    {ESXTOP_MIG, "Migrates/sec"},  {ESXTOP_QEXP, "Quantum Expires/sec"},
    {ESXTOP_WAKE, "Wakeups/sec"},
};

/* In the order of host_memory(). */
static const char *const host_counters[] = {
    "Memory Overcommit (1 Minute Avg)",
    "Memory Overcommit (5 Minute Avg)",
    "Memory Overcommit (15 Minute Avg)",
    "Machine MBytes",
    "Kernel MBytes",
    "NonKernel MBytes",
    "Free MBytes",
    "Kernel Managed MBytes",
    "Kernel MinFree MBytes",
    "Kernel Reserved MBytes",
    "Kernel Unreserved MBytes",
    "PShare Shared MBytes",
    "PShare Common MBytes",
    "PShare Savings MBytes",
    "Swap Used MBytes",
    "Swap Target MBytes",
    "Swap MBytes Read/sec",
    "Swap MBytes Write/sec",
    "Zipped MBytes",
    "Zip Saved MBytes",
    "Memctl Current MBytes",
    "Memctl Target MBytes",
    "Memctl Max MBytes",
    "Kernel State",
};

static void title(const char *host, const char *object, const char *instance,
                  const char *counter)
{
    printf(",\"\\\\%s\\%s", host, object);
    if (instance)
        printf("(%s)", instance);
    printf("\\%s\"", counter);
}

static void value(uint64_t hundredths)
{
    printf(",\"%llu.%02llu\"", (unsigned long long)(hundredths / 100),
           (unsigned long long)(hundredths % 100));
}

/* In a title, quotes and backslashes would end it. */
static char *instance_of(const struct top_group *g)
{
    char *text = text_of("%u:%s", g->shown, g->name);

    for (char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\' || *c == '(' || *c == ')')
            *c = '_';
    }
    return text;
}

static void titles(const struct top_look *first)
{
    static const char *const loads[] = {"Cpu Load (1 Minute Avg)", "Cpu Load (5 Minute Avg)",
                                        "Cpu Load (15 Minute Avg)"};
    struct utsname about;
    const char *host = uname(&about) == 0 ? about.nodename : "host";

    fputs("\"(PDH-CSV 4.0) (UTC)(0)\"", stdout);
    for (size_t i = 0; i < COUNT_OF(host_counters); i++)
        title(host, "Memory", NULL, host_counters[i]);
    for (size_t i = 0; i < COUNT_OF(loads); i++)
        title(host, "Physical Cpu Load", NULL, loads[i]);
    for (uint32_t i = 0; i <= first->cpu_count; i++) {
        char *instance = i < first->cpu_count ? text_of("%u", i) : text_of("_Total");

        title(host, "Physical Cpu", instance, "% Processor Time");
        title(host, "Physical Cpu", instance, "% Util Time");
        free(instance);
    }
    for (uint32_t i = 0; i < first->group_count; i++) {
        char *instance = instance_of(&first->groups[i]);

        title(host, "Group Cpu", instance, "Members Count");
        for (size_t k = 0; k < COUNT_OF(counters); k++)
            title(host, "Group Cpu", instance, counters[k].name);
        for (size_t k = 0; k < MEMORY_COLUMNS; k++)
            title(host, "Group Memory", instance, memory_columns[k].counter);
        free(instance);
    }
    putchar('\n');
}

static void group_line(const struct top_look *before, const struct top_look *now,
                       const struct top_group *wanted)
{
    const struct top_group *g = top_group_before(now, wanted);
    const struct top_group *earlier = g ? top_group_before(before, g) : NULL;
    const uint64_t passed = now->host.uptime_ns - before->host.uptime_ns;
    uint64_t columns[ESXTOP_COLUMNS] = {0};

    if (g)
        esxtop_columns(earlier ? &earlier->sum : NULL, &g->sum, columns);
    value(g ? g->sum.worlds * 100ull : 0);
    for (size_t k = 0; k < COUNT_OF(counters); k++)
        value(columns[counters[k].column]);
    for (size_t k = 0; k < MEMORY_COLUMNS; k++)
        value(g ? top_memory_value(&memory_columns[k], earlier ? &earlier->memory : NULL,
                                   &g->memory, passed)
                : 0);
}

static void host_memory(const struct top_look *before, const struct top_look *now)
{
    const struct vmk_host_memory *m = &now->memory, *was = &before->memory;
    const uint64_t passed = now->host.uptime_ns - before->host.uptime_ns;
    const uint64_t other = m->kernel_kb + m->free_kb;
    const uint64_t kb[] = {m->total_kb,
                           m->kernel_kb,
                           m->total_kb > other ? m->total_kb - other : 0,
                           m->free_kb,
                           m->managed_kb,
                           m->min_free_kb,
                           m->reserved_kb,
                           m->unreserved_kb,
                           m->shared_kb,
                           m->common_kb,
                           m->shared_kb - m->common_kb,
                           m->swapped_kb,
                           m->swap_target_kb};

    for (int i = 0; i < 3; i++)
        value(m->overcommit[i] * 100ull / 2048);
    for (size_t i = 0; i < COUNT_OF(kb); i++)
        value(kb[i] * 100 / 1024);
    value(top_pages_rate(was->swapped_in_pages, m->swapped_in_pages, passed));
    value(top_pages_rate(was->swapped_out_pages, m->swapped_out_pages, passed));
    value(m->compressed_kb * 100 / 1024);
    value(
        (m->compressed_kb - (m->cache_kb < m->compressed_kb ? m->cache_kb : m->compressed_kb)) *
        100 / 1024);
    value(m->balloon_kb * 100 / 1024);
    value(m->balloon_target_kb * 100 / 1024);
    value(m->balloon_max_kb * 100 / 1024);
    value(m->level * 100ull);
}

static void line(const struct top_look *first, const struct top_look *before,
                 const struct top_look *now)
{
    time_t seconds = (time_t)(now->host.wall_ns / 1000000000);
    char text[32];
    struct tm date;

    gmtime_r(&seconds, &date);
    strftime(text, sizeof(text), "%m/%d/%Y %H:%M:%S", &date);
    printf("\"%s\"", text);
    host_memory(before, now);
    for (int i = 0; i < 3; i++)
        value(now->host.load_avg[i] * 100ull / 2048);
    for (uint32_t i = 0; i <= first->cpu_count; i++) {
        uint64_t used = top_cpu_used(before, now, i < first->cpu_count ? i : UINT32_MAX);

        value(used);
        value(used);
    }
    for (uint32_t i = 0; i < first->group_count; i++)
        group_line(before, now, &first->groups[i]);
    putchar('\n');
    if (fflush(stdout) != 0)
        fail(EXIT_FAILED, "output: it could not be written");
}

int top_batch(uint64_t delay_ms, uint64_t rounds)
{
    struct top_look *first = top_look();
    struct top_look *before = first;

    titles(first);
    for (uint64_t i = 0; rounds == 0 || i < rounds; i++) {
        struct top_look *now;

        (void)top_sleep(-1, delay_ms);
        now = top_look();
        line(first, before, now);
        if (before != first)
            top_free(before);
        before = now;
    }
    if (before != first)
        top_free(before);
    top_free(first);
    return EXIT_DONE;
}
