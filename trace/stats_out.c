// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/stats_out.c -- the result of `orrery-trace stats` as a table, as CSV and as JSON.
 *
 * CSV and JSON have the same figures under the same names (columns[]), in ns and counts, so
 * that nothing is rounded that somebody wants to add up; the table is for reading.
 *
 * Invariants
 *   - A column's name never changes its meaning: scripts read them.
 * Locking    none: one thread.
 */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trace/stats.h"

static double state_of(const struct account *a, unsigned state)
{
    return (double)a->state[state];
}

static double percentile(const struct hdr *h, unsigned percent)
{
    return h ? (double)hdr_permille(h, percent * 10) : 0;
}

static double mean(double sum, uint64_t count)
{
    return count ? sum / (double)count : 0;
}

static uint64_t migrations(const struct account *a)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < ACCOUNT_KINDS; i++)
        sum += a->migrations[i];
    return sum;
}

static double lag_max(const struct account *a)
{
    return a->lag_max > -a->lag_min ? a->lag_max : 0 - a->lag_min;
}

#define COLUMN(name, expression)                                                               \
    static double column_##name(const struct account *a)                                       \
    {                                                                                          \
        return (double)(expression);                                                           \
    }
#define COLUMNS(X)                                                                             \
    X(elapsed_ns, a->elapsed)                                                                  \
    X(run_ns, ACCOUNT_RUN(a))                                                                  \
    X(ready_ns, account_ready(a))                                                              \
    X(limited_ns, ACCOUNT_MLMTD(a))                                                            \
    X(costop_ns, ACCOUNT_COSTOP(a))                                                            \
    X(wait_ns, account_wait(a))                                                                \
    X(wait_idle_ns, state_of(a, RECORD_sched_state_WAIT_IDLE))                                 \
    X(wait_io_ns, state_of(a, RECORD_sched_state_WAIT_IO))                                     \
    X(wait_swap_ns, state_of(a, RECORD_sched_state_WAIT_SWAP))                                 \
    X(system_ns, a->system)                                                                    \
    X(overlap_ns, a->overlap)                                                                  \
    X(identity_error_ns, account_identity_error(a))                                            \
    X(wakes, a->wakes)                                                                         \
    X(latency_p50_ns, percentile(a->latency, 50))                                              \
    X(latency_p90_ns, percentile(a->latency, 90))                                              \
    X(latency_p99_ns, percentile(a->latency, 99))                                              \
    X(latency_max_ns, a->latency ? a->latency->max : 0)                                        \
    X(latency_mean_ns, a->latency ? mean((double)a->latency->sum, a->latency->count) : 0)      \
    X(voluntary, a->voluntary)                                                                 \
    X(involuntary, a->involuntary)                                                             \
    X(switch_cost_ns, a->switch_cost)                                                          \
    X(migrations_push, a->migrations[RECORD_migrate_kind_PUSH])                                \
    X(migrations_pull, a->migrations[RECORD_migrate_kind_PULL])                                \
    X(migrations_smt, a->migrations[RECORD_migrate_kind_SMT])                                  \
    X(migrations_llc, a->migrations[RECORD_migrate_kind_LLC])                                  \
    X(migrations_package, a->migrations[RECORD_migrate_kind_PACKAGE])                          \
    X(migrations_numa, a->migrations[RECORD_migrate_kind_NUMA])                                \
    X(migrations_affinity, a->migrations[RECORD_migrate_kind_AFFINITY])                        \
    X(migration_cost_ns, a->migration_cost)                                                    \
    X(costops, a->costops)                                                                     \
    X(skew_p50_us, percentile(a->skew, 50))                                                    \
    X(skew_p99_us, percentile(a->skew, 99))                                                    \
    X(skew_max_us, a->skew ? a->skew->max : 0)                                                 \
    X(ideal_ns, a->ideal)                                                                      \
    X(lag_ns, a->ideal - (double)ACCOUNT_RUN(a))                                               \
    X(lag_max_ns, lag_max(a))                                                                  \
    X(lag_mean_ns, mean(a->lag_sum, a->lag_count))                                             \
    X(share_error_mean_percent, mean(a->error_sum, a->error_count))                            \
    X(share_error_max_percent, a->error_max)
COLUMNS(COLUMN)

static const struct column {
    const char *name;
    double (*get)(const struct account *a);
} columns[] = {
#define COLUMN_ROW(name, expression) {#name, column_##name},
    COLUMNS(COLUMN_ROW)};

static bool has_ideal(const struct stats *s)
{
    return s->all->use_gps;
}

/*
 * --- CSV -------------------------------------------------------------------------------------
 */

static void csv_text(FILE *out, const char *text)
{
    if (!strpbrk(text, ",\"")) {
        fprintf(out, "%s", text);
        return;
    }
    fputc('"', out);
    for (; *text; text++)
        fprintf(out, *text == '"' ? "\"\"" : "%c", *text);
    fputc('"', out);
}

static void csv_number(FILE *out, double value)
{
    /* Big ones are ns: the fraction of one is nobody's. */
    if (fabs(value - nearbyint(value)) < 1e-9 || fabs(value) > 1e5)
        fprintf(out, ",%.0f", value);
    else
        fprintf(out, ",%.6g", value);
}

void stats_write_csv(FILE *out, const struct stats *s)
{
    fputs("kind,id,name,vm,pool,worlds,shares,min_mhz,max_mhz", out);
    for (size_t i = 0; i < ARRAY_COUNT(columns); i++)
        fprintf(out, ",%s", columns[i].name);
    fputc('\n', out);
    for (unsigned i = 0; i < s->count; i++) {
        const struct stats_row *row = &s->rows[i];

        fprintf(out, "%s,%u,", stats_kind_name(row->kind), row->id);
        csv_text(out, row->name);
        fputc(',', out);
        csv_text(out, row->vm);
        fputc(',', out);
        csv_text(out, row->pool);
        fprintf(out, ",%u,%u,%u,", row->worlds, row->shares, row->min_mhz);
        if (row->max_mhz != MODEL_UNLIMITED)
            fprintf(out, "%u", row->max_mhz);
        for (size_t c = 0; c < ARRAY_COUNT(columns); c++)
            csv_number(out, columns[c].get(&row->sum));
        fputc('\n', out);
    }
}

/*
 * --- JSON ------------------------------------------------------------------------------------
 */

static void json_trace(cJSON *root, const struct stats *s)
{
    const struct trace_info *info = s->info;
    cJSON *trace = cJSON_AddObjectToObject(root, "trace");

    cJSON_AddStringToObject(trace, "uuid", info->uuid);
    cJSON_AddStringToObject(trace, "policy", info->policy);
    cJSON_AddStringToObject(trace, "seed", info->seed);
    cJSON_AddStringToObject(trace, "loop", info->loop);
    cJSON_AddNumberToObject(trace, "records", (double)info->records);
    cJSON_AddNumberToObject(trace, "lost_records",
                            (double)MAX(info->lost_records, info->lost_marked));
    cJSON_AddNumberToObject(trace, "lost_packets", (double)info->lost_packets);
    cJSON_AddNumberToObject(trace, "lost_inputs", (double)info->seq_gaps);
    cJSON_AddNumberToObject(trace, "missing_records", (double)info->missing);
    cJSON_AddNumberToObject(trace, "from_ns", (double)accounts_begin(s->all));
    cJSON_AddNumberToObject(trace, "to_ns", (double)accounts_until(s->all));
    cJSON_AddNumberToObject(trace, "cpus", model_online(&s->all->model));
    cJSON_AddNumberToObject(trace, "cpu_mhz", model_mhz(&s->all->model));
    if (has_ideal(s)) {
        cJSON_AddNumberToObject(trace, "jain", s->jain);
        cJSON_AddNumberToObject(trace, "jain_worlds", s->jain_worlds);
    }
}

static void json_row(cJSON *array, const struct stats_row *row)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddItemToArray(array, object);
    cJSON_AddNumberToObject(object, "id", row->id);
    cJSON_AddStringToObject(object, "name", row->name);
    if (row->kind == STATS_WORLD)
        cJSON_AddStringToObject(object, "vm", row->vm);
    if (row->kind != STATS_HOST) {
        cJSON_AddStringToObject(object, "pool", row->pool);
        cJSON_AddNumberToObject(object, "shares", row->shares);
        cJSON_AddNumberToObject(object, "min_mhz", row->min_mhz);
        if (row->max_mhz == MODEL_UNLIMITED)
            cJSON_AddNullToObject(object, "max_mhz");
        else
            cJSON_AddNumberToObject(object, "max_mhz", row->max_mhz);
    }
    cJSON_AddNumberToObject(object, "worlds", row->worlds);
    for (size_t c = 0; c < ARRAY_COUNT(columns); c++)
        cJSON_AddNumberToObject(object, columns[c].name, columns[c].get(&row->sum));
}

bool stats_write_json(FILE *out, const struct stats *s)
{
    cJSON *root = cJSON_CreateObject();
    static const char *const names[] = {"host", "pools", "vms", "worlds"};
    cJSON *arrays[STATS_KINDS], *cpus;

    json_trace(root, s);
    stats_memory_json(root, s->memory);
    for (unsigned kind = 0; kind < STATS_KINDS; kind++)
        arrays[kind] = cJSON_AddArrayToObject(root, names[kind]);
    for (unsigned i = 0; i < s->count; i++)
        json_row(arrays[s->rows[i].kind], &s->rows[i]);
    cpus = cJSON_AddArrayToObject(root, "cpus");
    for (unsigned i = 0; i < s->all->model.cpu_count; i++) {
        cJSON *cpu = cJSON_CreateObject();

        if (!s->all->model.cpus[i].online) {
            cJSON_Delete(cpu);
            continue;
        }
        cJSON_AddItemToArray(cpus, cpu);
        cJSON_AddNumberToObject(cpu, "cpu", i);
        cJSON_AddNumberToObject(cpu, "busy_ns", (double)s->all->cpu_busy[i]);
        cJSON_AddNumberToObject(cpu, "idle_ns", (double)s->all->cpu_idle[i]);
        cJSON_AddNumberToObject(cpu, "switches", (double)s->all->cpu_switches[i]);
    }

    char *text = cJSON_Print(root);

    cJSON_Delete(root);
    if (!text)
        return false;
    fprintf(out, "%s\n", text);
    free(text);
    return true;
}

/*
 * --- the table -------------------------------------------------------------------------------
 */

static double percent(double part, double whole)
{
    return whole > 0 ? part / whole * 100 : 0;
}

/* "12.3 us" in eight columns: three digits and a unit that fits. */
static const char *duration(double ns, char out[16])
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    unsigned unit = 0;

    for (; unit < 3 && fabs(ns) >= 999.5; unit++)
        ns /= 1000;
    snprintf(out, 16,
             fabs(ns) < 9.95 && unit   ? "%.2f %s"
             : fabs(ns) < 99.5 && unit ? "%.1f %s"
                                       : "%.0f %s",
             ns, units[unit]);
    return out;
}

static void table_label(FILE *out, const struct stats_row *row)
{
    char label[64];

    if (row->kind == STATS_WORLD && row->vm[0])
        snprintf(label, sizeof(label), "%s/%s", row->vm, row->name);
    else
        snprintf(label, sizeof(label), "%s", row->name);
    fprintf(out, "  %-5s %6u  %-18.18s", stats_kind_name(row->kind), row->id, label);
}

static void table_times(FILE *out, const struct stats *s)
{
    fputs("\nCPU time, in percent of the elapsed time (of all its worlds together)\n"
          "  kind      id  name               worlds elapsed    run  ready  limit costop   wait"
          "   idle     io   swap    sys  ovrlp\n",
          out);
    for (unsigned i = 0; i < s->count; i++) {
        const struct stats_row *row = &s->rows[i];
        const struct account *a = &row->sum;
        double all = (double)a->elapsed;
        char text[16];

        table_label(out, row);
        fprintf(out, " %6u %7s %6.2f %6.2f %6.2f %6.2f %6.2f %6.2f %6.2f %6.2f %6.2f %6.2f\n",
                row->worlds, duration(all, text), percent((double)ACCOUNT_RUN(a), all),
                percent((double)account_ready(a), all), percent((double)ACCOUNT_MLMTD(a), all),
                percent((double)ACCOUNT_COSTOP(a), all), percent((double)account_wait(a), all),
                percent(state_of(a, RECORD_sched_state_WAIT_IDLE), all),
                percent(state_of(a, RECORD_sched_state_WAIT_IO), all),
                percent(state_of(a, RECORD_sched_state_WAIT_SWAP), all),
                percent((double)a->system, all), percent((double)a->overlap, all));
    }
}

static void table_latency(FILE *out, const struct stats *s)
{
    double seconds = (double)(accounts_until(s->all) - accounts_begin(s->all)) / 1e9;

    fputs("\nFrom wake-up to running; switches per second, of its own will or not; moves;\n"
          "co-stops\n"
          "  kind      id  name                 wakes      p50      p90      p99      max"
          "   own/s  forced/s   moves costops     skew\n",
          out);
    for (unsigned i = 0; i < s->count; i++) {
        const struct stats_row *row = &s->rows[i];
        const struct account *a = &row->sum;
        char text[5][16];

        table_label(out, row);
        fprintf(out,
                " %7" PRIu64 " %8s %8s %8s %8s %7.1f %9.1f %7" PRIu64 " %7" PRIu64 " %8s\n",
                a->wakes, duration(percentile(a->latency, 50), text[0]),
                duration(percentile(a->latency, 90), text[1]),
                duration(percentile(a->latency, 99), text[2]),
                duration(a->latency ? (double)a->latency->max : 0, text[3]),
                seconds > 0 ? (double)a->voluntary / seconds : 0,
                seconds > 0 ? (double)a->involuntary / seconds : 0, migrations(a), a->costops,
                duration(a->skew ? (double)a->skew->max * 1000 : 0, text[4]));
    }
}

static void table_ideal(FILE *out, const struct stats *s)
{
    fprintf(
        out,
        "\nAgainst the ideal (CPUs as a fluid, with shares, reservations, limits and pools)\n"
        "  kind      id  name                 due      had      lag   |max|  |mean|"
        "   error: mean    max\n");
    for (unsigned i = 0; i < s->count; i++) {
        const struct stats_row *row = &s->rows[i];
        const struct account *a = &row->sum;
        char text[5][16];

        table_label(out, row);
        fprintf(out, " %8s %8s %8s %7s %7s %12.2f %% %5.2f %%\n", duration(a->ideal, text[0]),
                duration((double)ACCOUNT_RUN(a), text[1]),
                duration(a->ideal - (double)ACCOUNT_RUN(a), text[2]),
                duration(lag_max(a), text[3]),
                duration(mean(a->lag_sum, a->lag_count), text[4]),
                mean(a->error_sum, a->error_count), a->error_max);
    }
    fprintf(out, "  Jain's index over %u worlds: %.6f\n", s->jain_worlds, s->jain);
}

static void table_cpus(FILE *out, const struct stats *s)
{
    const struct accounts *all = s->all;
    double sum = 0, squares = 0;
    unsigned n = 0;

    fputs("\nCPUs\n  cpu    busy  switches\n", out);
    for (unsigned i = 0; i < all->model.cpu_count; i++) {
        double busy = percent((double)all->cpu_busy[i],
                              (double)all->cpu_busy[i] + (double)all->cpu_idle[i]);

        if (!all->model.cpus[i].online)
            continue;
        fprintf(out, "  %3u %6.2f%% %9" PRIu64 "\n", i, busy, all->cpu_switches[i]);
        sum += busy;
        squares += busy * busy;
        n++;
    }
    if (n > 1) {
        double variance = squares / n - sum / n * sum / n;

        fprintf(out, "  standard deviation of busy: %.2f points\n",
                variance > 0 ? sqrt(variance) : 0);
    }
}

void stats_write_table(FILE *out, const struct stats *s)
{
    const struct trace_info *info = s->info;
    uint64_t lost = MAX(info->lost_records, info->lost_marked);
    int64_t error = 0;

    fprintf(out, "%.6f s to %.6f s, %u CPUs of %.0f MHz, %" PRIu64 " records",
            (double)accounts_begin(s->all) / 1e9, (double)accounts_until(s->all) / 1e9,
            model_online(&s->all->model), model_mhz(&s->all->model), info->records);
    if (info->policy[0])
        fprintf(out, ", policy %s", info->policy);
    fputc('\n', out);
    if (lost || info->lost_packets)
        fprintf(out, "LOST: %" PRIu64 " records, %" PRIu64 " packets: figures are too small\n",
                lost, info->lost_packets);
    if (info->seq_gaps || info->missing)
        fprintf(out, "LOST: %" PRIu64 " records that no file has: figures are too small\n",
                MAX(info->seq_gaps, info->missing));
    table_times(out, s);
    table_latency(out, s);
    if (has_ideal(s))
        table_ideal(out, s);
    table_cpus(out, s);
    stats_memory_table(out, s->memory);
    for (unsigned i = 0; i < s->count; i++) {
        if (s->rows[i].kind == STATS_WORLD)
            error = MAX(error, llabs(account_identity_error(&s->rows[i].sum)));
    }
    fprintf(out,
            "\nrun + ready + costop + wait = elapsed for every world, error %" PRId64 " ns\n",
            error);
}
