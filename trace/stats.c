// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/stats.c -- `orrery-trace stats`: times, latencies and fairness of worlds, VMs and pools.
 *
 * Invariants
 *   - The row of a VM or pool is the sum of its worlds' rows; a world counts for every pool
 *     above it.
 *   - Memory grows with worlds, never with records.
 * Locking    none: one thread.
 * Sources    docs/orrery-trace.md
 */
#include "trace/stats.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace/tool.h"
#include "trace/worlds.h"

static const char help[] =
    "usage: orrery-trace stats DIR [option ...]\n"
    "\n"
    "Who had how much of the CPUs, how long worlds waited for one after they woke, and how far "
    "all\n"
    "were from the ideal: per world, VM and pool.\n"
    "\n"
    "  --csv            a line per world, VM, pool and the host; times in ns\n"
    "  --json           the same and the CPUs, as one JSON object\n"
    "  --memory         memory per VM as CSV: mean, largest and last, in 4 KB pages\n"
    "  --output FILE    there instead of on stdout\n"
    "  --world ID,...   only these: ids or names of worlds, VMs and pools, or VM/world\n"
    "  --from T, --to T only this part: 1.5s, 20ms; a plain number is seconds since boot\n"
    "  --window T       for the error of shares (1s)\n"
    "  --no-ideal       leave the ideal out: faster with very many worlds\n"
    "\n"
    "Ready includes limited, as in esxtop (%RDY and %MLMTD); run + ready + costop + wait is "
    "the\n"
    "elapsed time exactly. Latencies come from histograms: percentiles are exact to 1/16.\n";

struct options {
    enum {
        TABLE,
        CSV,
        JSON,
        MEMORY_CSV
    } format;
    const char *output;
    uint64_t from, to, window;
    bool ideal;
    struct worlds worlds;
};

const char *stats_kind_name(enum stats_kind kind)
{
    static const char *const names[] = {"host", "pool", "vm", "world"};

    return names[kind];
}

static struct stats_row *row_of(struct stats *s, enum stats_kind kind, uint32_t id,
                                const struct model_node *n)
{
    for (unsigned i = s->count; i-- > 0;) {
        /* Ids are unique among the living only: worlds have a row each. */
        if (kind != STATS_WORLD && s->rows[i].kind == kind && s->rows[i].id == id)
            return &s->rows[i];
    }
    if (s->count == s->room) {
        unsigned room = s->room ? s->room * 2 : 64;
        struct stats_row *rows = realloc(s->rows, room * sizeof(*rows));

        if (!rows)
            return NULL;
        s->rows = rows;
        s->room = room;
    }

    struct stats_row *row = &s->rows[s->count++];

    *row = (struct stats_row){.kind = kind, .id = id};
    if (n) {
        const struct model_node *vm = model_vm_of(n), *pool = model_pool_of(n);

        model_name(n, row->name);
        if (vm)
            model_name(vm, row->vm);
        if (pool)
            model_name(pool, row->pool);
        row->shares = n->shares;
        row->min_mhz = n->min_mhz;
        row->max_mhz = n->max_mhz;
    }
    return row;
}

static bool add_to(struct stats *s, enum stats_kind kind, uint32_t id,
                   const struct model_node *n, const struct account *a)
{
    struct stats_row *row = row_of(s, kind, id, n);

    if (!row)
        return false;
    row->worlds++;
    return account_add(&row->sum, a);
}

static int by_kind_and_id(const void *a, const void *b)
{
    const struct stats_row *x = a, *y = b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Rows from accounts: each world's own, and sums for all that is above it. */
static bool collect(struct stats *s, struct options *o)
{
    const struct model *m = &s->all->model;

    for (unsigned i = 0; i < m->count; i++) {
        const struct model_node *w = m->nodes[i];
        const struct account *a = account_of(w);

        if (w->is_pool || w->is_idle || !a || !worlds_have(&o->worlds, w))
            continue;
        if (!add_to(s, STATS_WORLD, w->id, w, a) ||
            (!o->worlds.count && !add_to(s, STATS_HOST, 0, NULL, a)))
            return false;

        bool has_vm = false;
        const struct model_node *p = w->parent;

        for (unsigned depth = 0; p && depth < 64 && !o->worlds.count; depth++, p = p->parent) {
            has_vm = has_vm || p->is_vm;
            if (!add_to(s, p->is_vm ? STATS_VM : STATS_POOL, p->id, p, a))
                return false;
        }
        /* Imported traces have VMs without pools. */
        if (!has_vm && w->vm && !o->worlds.count && !add_to(s, STATS_VM, w->vm, NULL, a))
            return false;
    }
    for (unsigned i = 0; i < s->count; i++) {
        struct stats_row *row = &s->rows[i];

        if (row->kind == STATS_HOST)
            snprintf(row->name, sizeof(row->name), "%s", "host");
        else if (!row->name[0])
            snprintf(row->name, sizeof(row->name), "vm %u", row->id);
    }
    if (s->count)
        qsort(s->rows, s->count, sizeof(s->rows[0]), by_kind_and_id);
    return true;
}

static int write_out(const struct stats *s, const struct options *o)
{
    FILE *out = tool_create(o->output);
    bool good = true;

    if (!out)
        return TOOL_BAD;
    switch (o->format) {
    case TABLE: stats_write_table(out, s); break;
    case CSV: stats_write_csv(out, s); break;
    case MEMORY_CSV: stats_memory_csv(out, s->memory); break;
    case JSON: good = stats_write_json(out, s); break;
    }
    if (!tool_finish(out, o->output))
        return TOOL_BAD;
    return good ? TOOL_OK : tool_fail("no memory for JSON");
}

static int run(const char *directory, struct options *o)
{
    char error[TRACE_ERROR];
    struct trace_record record;
    struct accounts *all = malloc(sizeof(*all));
    struct trace_reader *reader = all ? trace_open(directory, error) : NULL;
    struct memory_model memory;
    struct stats s = {.all = all, .memory = &memory};
    int status, more;

    if (!reader) {
        free(all);
        return tool_fail("%s", all ? error : "no memory");
    }
    accounts_init(all);
    memory_init(&memory);
    memory.from = o->from;
    memory.to = o->to;
    all->from = o->from;
    all->to = o->to;
    all->window = o->window;
    all->use_gps = o->ideal;
    while ((more = trace_next(reader, &record)) == 1) {
        tool_progress("stats", trace_percent(reader));
        if (!accounts_feed(all, &record) || !memory_feed(&memory, &record))
            break;
    }
    tool_progress_end();
    s.info = trace_info(reader);
    if (more < 0) {
        status = tool_fail("%s", trace_error(reader));
    } else if (!tool_part_there(directory, s.info, o->from, o->to)) {
        status = TOOL_BAD;
    } else {
        accounts_end(all, s.info->last_time);
        memory_settle(&memory, s.info->last_time);
        s.jain = accounts_jain(all, &s.jain_worlds);
        if (all->failed || memory.failed || !collect(&s, o))
            status = tool_fail("%s: no memory", directory);
        else if (worlds_unused(&o->worlds))
            status = tool_fail("%s: no world, VM or pool `%s` ran or waited there; "
                               "orrery-trace stats %s lists them",
                               directory, worlds_unused(&o->worlds), directory);
        else
            status = write_out(&s, o);
    }
    for (unsigned i = 0; i < s.count; i++)
        account_release(&s.rows[i].sum);
    free(s.rows);
    memory_free(&memory);
    accounts_free(all);
    free(all);
    trace_close(reader);
    return status;
}

int stats_main(int argc, char **argv)
{
    enum {
        CSV_ = 1,
        JSON_,
        MEMORY,
        OUTPUT,
        WORLD,
        FROM,
        TO,
        WINDOW,
        NO_IDEAL,
        HELP
    };
    static const struct option options[] = {
        {"csv", no_argument, NULL, CSV_},
        {"json", no_argument, NULL, JSON_},
        {"memory", no_argument, NULL, MEMORY},
        {"output", required_argument, NULL, OUTPUT},
        {"world", required_argument, NULL, WORLD},
        {"from", required_argument, NULL, FROM},
        {"to", required_argument, NULL, TO},
        {"window", required_argument, NULL, WINDOW},
        {"no-ideal", no_argument, NULL, NO_IDEAL},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    struct options o = {.output = "-", .to = UINT64_MAX, .window = 1000000000, .ideal = true};

    optind = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        bool good = true;

        switch (c) {
        case CSV_:
        case JSON_:
        case MEMORY:
            if (o.format != TABLE)
                return tool_usage("stats", "one of --csv, --json and --memory at a time");
            o.format = c == CSV_ ? CSV : c == JSON_ ? JSON : MEMORY_CSV;
            break;
        case OUTPUT: o.output = optarg; break;
        case WORLD:
            if (!worlds_read(&o.worlds, optarg))
                return tool_usage("stats", "--world takes 1 to %u names", WORLDS_MAX);
            break;
        case FROM: good = tool_time(optarg, &o.from); break;
        case TO: good = tool_time(optarg, &o.to); break;
        case WINDOW: good = tool_time(optarg, &o.window) && o.window >= 1000000; break;
        case NO_IDEAL: o.ideal = false; break;
        case HELP: fputs(help, stdout); return TOOL_OK;
        default: return TOOL_USAGE;
        }
        if (!good)
            return tool_usage("stats", "\"%s\" is no such time", optarg);
    }
    if (optind + 1 != argc)
        return tool_usage("stats", "expected one trace directory");
    if (o.from >= o.to)
        return tool_usage("stats", "--from is not before --to");
    return run(argv[optind], &o);
}
