// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/import_csv.c -- PlanetLab and Bitbrains: use of a VM every five minutes, as duty cycles.
 *
 * Such files say how much, not when: there is no wake-up in them. The model is stated in the file
 * that comes out: in each interval a VM alternates between computing and halting with a period of
 * its own choosing (--period), computing for the recorded part of it; lengths are drawn from an
 * exponential distribution for the burst, and the period is kept by an absolute timer. A VM with
 * several cores has one world per core, each with the same part. Memory columns become `mem` lines.
 *
 * Invariants
 *   - The expected CPU time of each interval is the recorded one.
 * Locking    none.
 * Sources    [PLANETLAB], [BITBRAINS]
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trace/import.h"

#define INTERVAL    300000000000ull
#define ROWS_MAX    100000u
#define CORES_MAX   64u
#define BITBRAINS_S 100000000000ull  // a time in seconds is below this, one in ms above

/* One interval: bursts that sum up to `permille` of it. */
static void interval_add(struct workload *w, uint64_t start, uint64_t length, uint64_t period,
                         uint32_t permille)
{
    uint64_t cycles = length / period;
    struct wl_step *s;

    wl_add_step(w, WL_UNTIL, start);
    if (!permille || !cycles)
        return;
    wl_add_step(w, WL_BEGIN, 0);
    s = wl_add_step(w, WL_RUN, period * permille / 1000);
    s->dist.kind = permille < 900 ? WL_DIST_EXP : WL_DIST_CONST;
    if (permille < 1000)
        wl_add_step(w, WL_ALIGN, period);
    wl_add_step(w, WL_LOOP, cycles);
}

static void model_note(struct workload *w, const char *what, const char *path, uint64_t period)
{
    char text[300], length[32];

    wl_time_print(period, length);
    snprintf(text, sizeof(text),
             "%s %.120s; model: per interval, bursts of exp(part * %s) at each multiple of %s",
             what, path, length, length);
    w->source = strdup(text);
    w->open_loop = true;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

bool import_planetlab(const char *path, struct workload *w, uint64_t period)
{
    FILE *file = fopen(path, "r");
    char line[256], name[WL_NAME_SIZE];
    uint64_t number = 0;
    uint64_t lines = 0;
    bool ended = false;

    if (!file) {
        (void)tool_fail("%s: %s", path, strerror(errno));
        return false;
    }
    model_note(w, "planetlab", path, period);
    wl_name_make(name, base_name(path), strlen(base_name(path)));
    (void)wl_add_world(w, name);
    while (fgets(line, sizeof(line), file)) {
        char *end;
        double percent = strtod(line, &end);
        bool any = end != line;

        lines++;
        while (*end == ' ' || *end == '\r' || *end == '\n')
            end++;
        if (!any && !*end) {  // blank lines may only end the file
            ended = true;
            continue;
        }
        if (ended || !any || *end || !(percent >= 0 && percent <= 100) || number >= ROWS_MAX) {
            (void)tool_fail("%s:%llu: a line is a number from 0 to 100, the CPU use in "
                            "percent of five minutes",
                            path, (unsigned long long)lines);
            fclose(file);
            return false;
        }
        interval_add(w, number++ * INTERVAL, INTERVAL, period, (uint32_t)(percent * 10 + 0.5));
    }
    fclose(file);
    if (!number) {
        (void)tool_fail("%s: the file is empty", path);
        return false;
    }
    w->duration = number * INTERVAL;
    return true;
}

struct row {
    uint64_t time;
    double cores, mhz, use_mhz, percent, memory_kb, active_kb;
};

/*
 * The first seven columns; one that is empty or NaN is as in the row before. Returns the name of one that is no
 * number of that kind, or null.
 */
static const char *row_read(char *line, const struct row *before, struct row *r)
{
    static const char *const names[] = {
        "timestamp",       "CPU cores",   "CPU capacity", "CPU usage", "CPU usage in percent",
        "memory capacity", "memory usage"};
    const double old[7] = {before ? (double)before->time : 0, before ? before->cores : 0,
                           before ? before->mhz : 0,          before ? before->use_mhz : 0,
                           before ? before->percent : 0,      before ? before->memory_kb : 0,
                           before ? before->active_kb : 0};
    double value[7];
    char *at = line;

    for (unsigned i = 0; i < ARRAY_COUNT(value); i++) {
        char *end;

        errno = 0;
        value[i] = strtod(at, &end);
        while (*end == ' ' || *end == '\t' || *end == '\r' || *end == '\n')
            end++;
        if (i && before && (*end == ';' || !*end) && *at &&
            (end == at + strspn(at, " \t") || isnan(value[i])))
            value[i] = old[i];
        else if (end == at || errno || !(value[i] >= 0) || value[i] > 1e15 ||
                 (*end && *end != ';'))
            return names[i];
        at = *end ? end + 1 : end;
    }
    r->time = (uint64_t)value[0];
    r->cores = value[1];
    r->mhz = value[2];
    r->use_mhz = value[3];
    r->percent = value[4];
    r->memory_kb = value[5];
    r->active_kb = value[6];
    return r->cores <= CORES_MAX ? NULL : names[1];
}

static bool bitbrains_rows(const char *path, FILE *file, struct row **rows, size_t *count)
{
    char line[1024];
    uint64_t number = 0;
    size_t room = 0;

    while (fgets(line, sizeof(line), file)) {
        struct row r;

        number++;
        if (number == 1 && !(line[0] >= '0' && line[0] <= '9'))
            continue;  // the header
        const char *wrong = row_read(line, *count ? &(*rows)[*count - 1] : NULL, &r);

        if (!wrong && *count && r.time == (*rows)[*count - 1].time)
            continue;  // published files have a row twice here and there
        if (!wrong && *count && r.time < (*rows)[*count - 1].time)
            wrong = "timestamp (it falls)";
        if (wrong || *count >= ROWS_MAX) {
            (void)tool_fail(
                "%s:%llu: %s: a row has at least seven numbers with ';' between, up to "
                "%u cores, and time rises",
                path, (unsigned long long)number, wrong ? wrong : "too many rows", CORES_MAX);
            return false;
        }
        if (*count == room) {
            room = room ? 2 * room : 1024;
            *rows = realloc(*rows, room * sizeof(**rows));
            if (!*rows) {
                fputs("orrery-trace: no memory\n", stderr);
                exit(TOOL_BAD);
            }
        }
        (*rows)[(*count)++] = r;
    }
    if (*count < 2)
        (void)tool_fail("%s: fewer than two rows", path);
    return *count >= 2;
}

static void bitbrains_make(const char *path, const struct row *rows, size_t count,
                           struct workload *w, uint64_t period)
{
    uint64_t unit = rows[0].time < BITBRAINS_S ? 1000000000ull : 1000000ull;
    unsigned cores = 1;
    char name[WL_NAME_SIZE], memory[80];

    wl_name_make(name, base_name(path), MIN(strlen(base_name(path)), WL_NAME_SIZE - 8u));
    for (size_t i = 0; i < count; i++)
        cores = MAX(cores, (unsigned)rows[i].cores);
    (void)wl_add_vm(w, name);
    snprintf(memory, sizeof(memory), "size=%.0fK active=%.0fK", rows[0].memory_kb,
             rows[0].active_kb);
    w->vms[0].memory = strdup(memory);
    w->host.cpus = MIN(cores, 64u);
    if (rows[0].cores >= 1 && rows[0].mhz / rows[0].cores >= 100 &&
        rows[0].mhz / rows[0].cores <= 100000)
        w->host.mhz = (uint32_t)(rows[0].mhz / rows[0].cores);
    for (unsigned c = 0; c < cores; c++) {
        char world[WL_NAME_SIZE + 16];

        snprintf(world, sizeof(world), "%s.v%u", name, c);
        strcpy(wl_add_world(w, world)->vm, name);
        for (size_t i = 0; i < count; i++) {
            const struct row *r = &rows[i];
            uint64_t start = (r->time - rows[0].time) * unit;
            uint64_t length = i + 1 < count ? (rows[i + 1].time - r->time) * unit : INTERVAL;
            double part = r->mhz > 0 ? r->use_mhz / r->mhz : r->percent / 100;

            interval_add(w, start, length, period, (uint32_t)(MIN(part, 1.0) * 1000));
            w->duration = start + length;
        }
    }
}

bool import_bitbrains(const char *path, struct workload *w, uint64_t period)
{
    FILE *file = fopen(path, "r");
    struct row *rows = NULL;
    size_t count = 0;
    bool good;

    if (!file) {
        (void)tool_fail("%s: %s", path, strerror(errno));
        return false;
    }
    model_note(w, "bitbrains", path, period);
    good = bitbrains_rows(path, file, &rows, &count);
    if (good)
        bitbrains_make(path, rows, count, w, period);
    free(rows);
    fclose(file);
    return good;
}
