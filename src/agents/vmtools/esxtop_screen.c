// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxtop_screen.c -- esxtop on a terminal: a page that is drawn again and again.
 *
 * Invariants
 *   - The terminal gets its old mode back however this ends, except by SIGKILL.
 *   - Nothing is written beyond the terminal's last line or column.
 * Locking    none: one thread.
 * Start at   top_screen().
 * Sources    [ESXTOP]
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "agents/vmtools/esxtop.h"

#define LINE_MAX_COLUMNS 240

static struct termios saved;
static bool saved_valid;

struct screen {
    unsigned rows, columns, used;
    char page;  // 'c', 'm', 'h'
    uint64_t delay_ms;
};

static void restore(void)
{
    if (saved_valid)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
    saved_valid = false;
}

static void on_signal(int number)
{
    restore();
    signal(number, SIG_DFL);
    raise(number);
}

static void put(struct screen *s, const char *format, ...) PRINTF_LIKE(2, 3);
static void put(struct screen *s, const char *format, ...)
{
    char text[LINE_MAX_COLUMNS + 1];
    va_list arguments;

    if (s->used + 1 >= s->rows)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    printf("%.*s\033[K\r\n", (int)s->columns, text);
    s->used++;
}

/* ---- pages ---- */

struct line {
    const struct top_group *group;
    uint64_t columns[ESXTOP_COLUMNS];
};

static int by_used(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    if (x->columns[ESXTOP_USED] != y->columns[ESXTOP_USED])
        return x->columns[ESXTOP_USED] < y->columns[ESXTOP_USED] ? 1 : -1;
    return x->group->id < y->group->id ? -1 : x->group->id > y->group->id;
}

static int by_memory(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    if (x->group->used_kb != y->group->used_kb)
        return x->group->used_kb < y->group->used_kb ? 1 : -1;
    return x->group->id < y->group->id ? -1 : x->group->id > y->group->id;
}

static struct line *lines_make(const struct top_look *before, const struct top_look *now)
{
    struct line *lines = allocate((now->group_count + 1) * sizeof(*lines));

    for (uint32_t i = 0; i < now->group_count; i++) {
        const struct top_group *earlier = top_group_before(before, &now->groups[i]);

        lines[i].group = &now->groups[i];
        esxtop_columns(earlier ? &earlier->sum : NULL, &now->groups[i].sum, lines[i].columns);
    }
    return lines;
}

static void head(struct screen *s, const struct top_look *now)
{
    time_t seconds = (time_t)(now->host.wall_ns / 1000000000);
    uint64_t up = now->host.uptime_ns / 1000000000;
    char clock[16];
    struct tm date;

    gmtime_r(&seconds, &date);
    strftime(clock, sizeof(clock), "%l:%M:%S%P", &date);
    put(s,
        "%s up %llu days %llu:%02llu, %u worlds, %u VMs, %u vCPUs; CPU load average: "
        "%u.%02u, %u.%02u, %u.%02u",
        clock, (unsigned long long)(up / 86400), (unsigned long long)(up / 3600 % 24),
        (unsigned long long)(up / 60 % 60), now->host.worlds, now->host.vms, now->host.vcpus,
        now->host.load_avg[0] / 2048, now->host.load_avg[0] % 2048 * 100 / 2048,
        now->host.load_avg[1] / 2048, now->host.load_avg[1] % 2048 * 100 / 2048,
        now->host.load_avg[2] / 2048, now->host.load_avg[2] % 2048 * 100 / 2048);
}

static void cpu_line(struct screen *s, const char *what, const struct top_look *before,
                     const struct top_look *now)
{
    char text[LINE_MAX_COLUMNS + 1];
    size_t n = (size_t)snprintf(text, sizeof(text), "%s", what);
    uint64_t mean = top_cpu_used(before, now, UINT32_MAX);

    for (uint32_t i = 0; i < now->cpu_count && n + 24 < sizeof(text); i++) {
        uint64_t used = top_cpu_used(before, now, i);

        n += (size_t)snprintf(text + n, sizeof(text) - n, " %3llu.%llu",
                              (unsigned long long)(used / 100),
                              (unsigned long long)(used % 100 / 10));
    }
    put(s, "%s AVG: %llu.%llu", text, (unsigned long long)(mean / 100),
        (unsigned long long)(mean % 100 / 10));
}

static void cpu_page(struct screen *s, const struct top_look *before,
                     const struct top_look *now)
{
    struct line *lines = lines_make(before, now);

    cpu_line(s, "PCPU USED(%):", before, now);
    cpu_line(s, "PCPU UTIL(%):", before, now);
    put(s, "%s", "");
    put(s, "%10s %10s %-16s %4s %7s %7s %7s %7s %7s %7s %7s %7s %7s %7s %7s", "ID", "GID",
        "NAME", "NWLD", "%USED", "%RUN", "%SYS", "%WAIT", "%VMWAIT", "%RDY", "%IDLE", "%OVRLP",
        "%CSTP", "%MLMTD", "%SWPWT");
    qsort(lines, now->group_count, sizeof(*lines), by_used);
    for (uint32_t i = 0; i < now->group_count; i++) {
        const struct top_group *g = lines[i].group;
        char text[LINE_MAX_COLUMNS + 1];
        size_t n = (size_t)snprintf(text, sizeof(text), "%10u %10u %-16.16s %4u", g->shown,
                                    g->shown, g->name, g->sum.worlds);

        for (unsigned c = 0; c <= ESXTOP_SWPWT; c++)
            n += (size_t)snprintf(text + n, sizeof(text) - n, " %4llu.%02llu",
                                  (unsigned long long)(lines[i].columns[c] / 100),
                                  (unsigned long long)(lines[i].columns[c] % 100));
        put(s, "%s", text);
    }
    free(lines);
}

static void memory_page(struct screen *s, const struct top_look *before,
                        const struct top_look *now)
{
    struct line *lines = lines_make(before, now);
    uint64_t total = now->host.memory_pages / 256, unused = now->host.free_pages / 256;
    uint64_t kernel = top_kernel_mb(now);

    put(s, "PMEM  /MB: %6llu   total: %6llu     vmk, %6llu other, %6llu free",
        (unsigned long long)total, (unsigned long long)kernel,
        (unsigned long long)(total - unused > kernel ? total - unused - kernel : 0),
        (unsigned long long)unused);
    put(s, "%s", "");
    put(s, "%10s %-20s %4s %12s %12s %12s", "GID", "NAME", "NWLD", "MEMSZ", "GRANT", "OVHD");
    qsort(lines, now->group_count, sizeof(*lines), by_memory);
    for (uint32_t i = 0; i < now->group_count; i++) {
        const struct top_group *g = lines[i].group;

        if (g->size_mb == 0 && g->used_kb == 0)
            continue;
        put(s, "%10u %-20.20s %4u %12.2f %12.2f %12.2f", g->shown, g->name, g->sum.worlds,
            (double)g->size_mb, (double)g->used_kb / 1024, (double)g->overhead_kb / 1024);
    }
    free(lines);
}

static void help_page(struct screen *s)
{
    static const char *const lines[] = {
        "",
        "c   CPU: who used it since the last look",
        "m   memory",
        "s   seconds between looks: + and - while here",
        "h   this page",
        "space  look now",
        "q   leave",
    };

    for (size_t i = 0; i < COUNT_OF(lines); i++)
        put(s, "%s", lines[i]);
    put(s, "%s", "");
    put(s, "looks every %llu s", (unsigned long long)(s->delay_ms / 1000));
}

static void draw(struct screen *s, const struct top_look *before, const struct top_look *now)
{
    struct winsize size;

    s->rows = 24;
    s->columns = 80;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 2 && size.ws_col > 20) {
        s->rows = size.ws_row;
        s->columns = size.ws_col;
    }
    if (s->columns > LINE_MAX_COLUMNS)
        s->columns = LINE_MAX_COLUMNS;
    s->used = 0;
    fputs("\033[H", stdout);
    head(s, now);
    if (s->page == 'h')
        help_page(s);
    else if (s->page == 'm')
        memory_page(s, before, now);
    else
        cpu_page(s, before, now);
    fputs("\033[J", stdout);
    fflush(stdout);
}

/* False: leave. */
static bool key(struct screen *s)
{
    char c;

    if (read(STDIN_FILENO, &c, 1) != 1 || c == 'q' || c == 3)
        return false;
    if (c == 'c' || c == 'm' || c == 'h')
        s->page = c;
    if (c == '+' && s->delay_ms < 60000)
        s->delay_ms += 1000;
    if (c == '-' && s->delay_ms > 1000)
        s->delay_ms -= 1000;
    return true;
}

static void raw_mode(void)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &saved) != 0)
        return;
    saved_valid = true;
    signal(SIGTERM, on_signal);
    signal(SIGHUP, on_signal);
    signal(SIGINT, on_signal);
    raw = saved;
    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

int top_screen(uint64_t delay_ms, uint64_t rounds)
{
    struct screen s = {.page = 'c', .delay_ms = delay_ms};
    struct top_look *before = NULL;
    bool typed = isatty(STDIN_FILENO);
    bool on = true;

    if (typed)
        raw_mode();
    fputs("\033[2J", stdout);
    for (uint64_t i = 0; on && (rounds == 0 || i < rounds); i++) {
        struct top_look *now = top_look();

        draw(&s, before, now);
        top_free(before);
        before = now;
        if ((rounds == 0 || i + 1 < rounds) &&
            !top_sleep(typed ? STDIN_FILENO : -1, s.delay_ms))
            on = key(&s);
    }
    top_free(before);
    restore();
    return EXIT_DONE;
}
