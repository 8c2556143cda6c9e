// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/import_csv.c -- PlanetLab and Bitbrains: use of a VM every five minutes, as duty cycles.
 *
 * Such files say how much, not when: there is no wake-up in them. The model is stated in the
 * file that comes out: in each interval a VM alternates between computing and halting with a
 * period of its own choosing (--period), computing for the recorded part of it; lengths are
 * drawn from an exponential distribution for the burst, and the period is kept by an absolute
 * timer. A VM with several cores has one world per core, each with the same part. Memory
 * columns become `mem` lines.
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
#include <strings.h>

#include "trace/import.h"

#define INTERVAL    300000000000ull
#define ROWS_MAX    100000u
#define CORES_MAX   64u
#define BITBRAINS_S 100000000000ull  // a time in seconds is below this, one in ms above

/* One interval: bursts that sum up to `permille` of it. */
static void interval_add(struct workload *w, uint64_t start, uint64_t length, uint64_t period,
                         uint32_t permille)
{
    uint64_t cycles = MAX(length / period, 1u), burst = length / cycles * permille / 1000;
    struct wl_step *s;

    wl_add_step(w, WL_UNTIL, start);
    if (!burst)
        return;
    wl_add_step(w, WL_BEGIN, 0);
    s = wl_add_step(w, WL_RUN, burst);
    s->dist.kind = permille < 900 ? WL_DIST_EXP : WL_DIST_CONST;
    if (permille < 1000 && burst < period)
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

/* What a row must have; names as the published header has them. */
enum column {
    COLUMN_TIME,
    COLUMN_CORES,
    COLUMN_MHZ,
    COLUMN_USE_MHZ,
    COLUMN_PERCENT,
    COLUMN_MEMORY,
    COLUMN_ACTIVE,
    COLUMNS,
};

static const struct {
    const char *name, *header;  // header: how its title begins, in lower case
} columns[COLUMNS] = {
    [COLUMN_TIME] = {"timestamp", "timestamp"},
    [COLUMN_CORES] = {"CPU cores", "cpu cores"},
    [COLUMN_MHZ] = {"CPU capacity", "cpu capacity"},
    [COLUMN_USE_MHZ] = {"CPU usage", "cpu usage [mhz]"},
    [COLUMN_PERCENT] = {"CPU usage in percent", "cpu usage [%]"},
    [COLUMN_MEMORY] = {"memory capacity", "memory capacity"},
    [COLUMN_ACTIVE] = {"memory usage", "memory usage [kb]"},
};

struct layout {
    unsigned place[COLUMNS];  // field of the row
    unsigned fields;          // that a row has at least
};

struct row {
    double value[COLUMNS];
};

/* What is between the fields of a line: ';', or else a tab, or else ','. */
static char separator_of(const char *line)
{
    return strchr(line, ';') ? ';' : strchr(line, '\t') ? '\t' : strchr(line, ',') ? ',' : ';';
}

/*
 * Cuts the next field out of the row: without blanks and quotes, a decimal comma as a point.
 * Null at the end.
 */
static char *field_next(char **at, char separator)
{
    char *start = *at, *end;

    if (!start)
        return NULL;
    end = strchr(start, separator);
    *at = end ? end + 1 : NULL;
    end = end ? end : start + strlen(start);
    while (start < end && strchr(" \t\r\n\"", *start))
        start++;
    while (end > start && strchr(" \t\r\n\"", end[-1]))
        end--;
    *end = 0;
    for (char *p = start; separator != ',' && (p = strchr(p, ',')) != NULL; p++)
        *p = '.';
    return start;
}

/*
 * Without a header, and for titles that are not known, columns are where they were published.
 */
static const char *layout_read(char *line, struct layout *l)
{
    char *at = line, *text;
    char separator = separator_of(line);
    bool known[COLUMNS] = {false};
    unsigned found = 0;

    for (unsigned c = 0; c < COLUMNS; c++)
        l->place[c] = c;
    l->fields = COLUMNS;
    for (unsigned field = 0; (text = field_next(&at, separator)) != NULL; field++) {
        for (unsigned c = 0; c < COLUMNS; c++) {
            if (!known[c] && !strncasecmp(text, columns[c].header, strlen(columns[c].header))) {
                known[c] = true;
                found++;
                l->place[c] = field;
            }
        }
    }
    if (!found)
        return NULL;
    l->fields = 0;
    for (unsigned c = 0; c < COLUMNS; c++) {
        if (!known[c])
            return columns[c].header;
        l->fields = MAX(l->fields, l->place[c] + 1);
    }
    return NULL;
}

/*
 * Returns the name of a column that is no number of that kind, or null. One that is empty or
 * NaN is as before.
 */
static const char *row_read(char *line, const struct layout *l, const struct row *before,
                            struct row *r)
{
    char *at = line, *text;
    char separator = separator_of(line);
    bool have[COLUMNS] = {false};

    for (unsigned field = 0; field < l->fields; field++) {
        text = field_next(&at, separator);
        for (unsigned c = 0; text && c < COLUMNS; c++) {
            char *end;
            double value;

            if (l->place[c] != field)
                continue;
            errno = 0;
            value = strtod(text, &end);
            if (c != COLUMN_TIME && before && !*end && (end == text || isnan(value)))
                value = before->value[c];
            else if (end == text || *end || errno || !(value >= 0) || value > 1e15)
                return columns[c].name;
            r->value[c] = value;
            have[c] = true;
        }
    }
    for (unsigned c = 0; c < COLUMNS; c++) {
        if (!have[c])
            return columns[c].name;
    }
    return r->value[COLUMN_CORES] <= CORES_MAX ? NULL : columns[COLUMN_CORES].name;
}

static void *rows_grown(void *rows, size_t *room)
{
    *room = *room ? 2 * *room : 1024;
    rows = realloc(rows, *room * sizeof(struct row));
    if (!rows) {
        fputs("orrery-trace: no memory\n", stderr);
        exit(TOOL_BAD);
    }
    return rows;
}

static bool bitbrains_rows(const char *path, FILE *file, struct row **rows, size_t *count)
{
    struct layout layout = {0};
    char line[1024];
    uint64_t number = 0;
    size_t room = 0;

    while (fgets(line, sizeof(line), file)) {
        const struct row *before = *count ? &(*rows)[*count - 1] : NULL;
        bool first = !number++, header = !(line[0] >= '0' && line[0] <= '9');
        const char *wrong;
        char copy[sizeof(line)];
        struct row r;

        if (!line[strspn(line, " \t\r\n")])
            continue;
        strcpy(copy, line);
        wrong = first ? layout_read(copy, &layout) : NULL;
        if (wrong) {
            (void)tool_fail("%s:1: the header has no column '%s'", path, wrong);
            return false;
        }
        if (first && header)
            continue;
        wrong = row_read(line, &layout, before, &r);
        if (!wrong && before && r.value[COLUMN_TIME] == before->value[COLUMN_TIME])
            continue;  // published files have a row twice here and there
        if (!wrong && before && r.value[COLUMN_TIME] < before->value[COLUMN_TIME])
            wrong = "timestamp (it falls)";
        if (wrong || *count >= ROWS_MAX) {
            (void)tool_fail(
                "%s:%llu: %s: a row has at least seven numbers with ';' between, up to "
                "%u cores, and time rises",
                path, (unsigned long long)number, wrong ? wrong : "too many rows", CORES_MAX);
            return false;
        }
        if (*count == room)
            *rows = rows_grown(*rows, &room);
        (*rows)[(*count)++] = r;
    }
    if (*count < 2)
        (void)tool_fail("%s: fewer than two rows", path);
    return *count >= 2;
}

/* From `start` on the VM uses and touches so much; it counts when a `memory` line is added. */
static void touch_add(struct workload *w, uint64_t start, double kilobytes)
{
    char text[80];

    wl_add_step(w, WL_UNTIL, start);
    snprintf(text, sizeof(text), "used=%.0fK active=%.0fK", kilobytes, kilobytes);
    wl_step_name(wl_add_step(w, WL_TOUCH, 0), text);
}

static void bitbrains_make(const char *path, const struct row *rows, size_t count,
                           struct workload *w, uint64_t period)
{
    const double *first = rows[0].value;
    double unit = first[COLUMN_TIME] < BITBRAINS_S ? 1e9 : 1e6;
    double mhz = first[COLUMN_CORES] >= 1 ? first[COLUMN_MHZ] / first[COLUMN_CORES] : 0;
    unsigned cores = 1;
    char name[WL_NAME_SIZE], memory[40];

    wl_name_make(name, base_name(path), MIN(strlen(base_name(path)), WL_NAME_SIZE - 8u));
    for (size_t i = 0; i < count; i++)
        cores = MAX(cores, (unsigned)rows[i].value[COLUMN_CORES]);
    (void)wl_add_vm(w, name);
    snprintf(memory, sizeof(memory), "size=%.0fK", first[COLUMN_MEMORY]);
    w->vms[0].memory = strdup(memory);
    w->host.cpus = MIN(cores, 64u);
    if (mhz >= 100 && mhz <= 100000)
        w->host.mhz = (uint32_t)mhz;
    for (unsigned c = 0; c < cores; c++) {
        char world[WL_NAME_SIZE + 16];

        snprintf(world, sizeof(world), "%s.v%u", name, c);
        strcpy(wl_add_world(w, world)->vm, name);
        for (size_t i = 0; i < count; i++) {
            const double *v = rows[i].value;
            uint64_t start = (uint64_t)((v[COLUMN_TIME] - first[COLUMN_TIME]) * unit);
            uint64_t end =
                i + 1 < count
                    ? (uint64_t)((rows[i + 1].value[COLUMN_TIME] - first[COLUMN_TIME]) * unit)
                    : start + INTERVAL;
            double part =
                v[COLUMN_MHZ] > 0 ? v[COLUMN_USE_MHZ] / v[COLUMN_MHZ] : v[COLUMN_PERCENT] / 100;

            if (!c)
                touch_add(w, start, v[COLUMN_ACTIVE]);
            interval_add(w, start, end - start, period, (uint32_t)(MIN(part, 1.0) * 1000));
            w->duration = end;
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
