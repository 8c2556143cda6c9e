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
#define CPU_FIELDS       6u

static const struct top_field cpu_fields[CPU_FIELDS] = {
    {'A', true, "ID"},
    {'B', true, "GID"},
    {'C', true, "NAME"},
    {'D', true, "NWLD: worlds in it"},
    {'E', true, "%STATE TIMES: used, run, system, wait, ready ..."},
    {'F', false, "EVENT COUNTS/s: switches, migrations, quanta used up, wake-ups"},
};

static struct termios saved;
static bool saved_valid;

struct screen {
    unsigned rows, columns, used;
    char page;       // 'c', 'm', 'f', 'h'
    char fields_of;  // the page that 'f' is about
    char order[2];   // of the CPU and the memory page: a key of orders[]
    bool only_vms;
    bool cpu[CPU_FIELDS], memory[MEMORY_FIELDS];  // shown
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

/* Interrupts the wait for a key, so that the next look has the new size. */
static void on_resize(int number)
{
    (void)number;
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
    uint64_t rank;
    uint64_t columns[ESXTOP_COLUMNS];
};

/* The key that asks for an order of lines, and what it looks at; the largest is first. */
struct order {
    char page, key;
    enum {
        BY_COLUMN,
        BY_MEMORY,
        BY_GROUP
    } what;
    size_t at;  // a column, or an offset in struct vmk_vm_memory
};
static const struct order orders[] = {
    {'c', 'U', BY_COLUMN, ESXTOP_USED},
    {'c', 'R', BY_COLUMN, ESXTOP_RDY},
    {'c', 'N', BY_GROUP, 0},
    {'m', 'M', BY_MEMORY, offsetof(struct vmk_vm_memory, size_kb)},
    {'m', 'G', BY_MEMORY, offsetof(struct vmk_vm_memory, granted_kb)},
    {'m', 'B', BY_MEMORY, offsetof(struct vmk_vm_memory, balloon_kb)},
    {'m', 'W', BY_MEMORY, offsetof(struct vmk_vm_memory, swapped_kb)},
    {'m', 'N', BY_GROUP, 0},
};

static const struct order *order_find(char page, char key)
{
    for (size_t i = 0; i < COUNT_OF(orders); i++) {
        if (orders[i].page == page && orders[i].key == key)
            return &orders[i];
    }
    return NULL;
}

static int by_rank(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? 1 : -1;
    return x->group->shown < y->group->shown ? -1 : x->group->shown > y->group->shown;
}

static uint64_t rank_of(const struct order *o, const struct line *l)
{
    uint64_t value = 0;

    if (o->what == BY_COLUMN)
        value = l->columns[o->at];
    else if (o->what == BY_MEMORY)
        memcpy(&value, (const char *)&l->group->memory + o->at, sizeof(value));
    return value;
}

/* The lines of a page in its order; `count` of them. */
static struct line *lines_make(const struct screen *s, const struct top_look *before,
                               const struct top_look *now, uint32_t *count)
{
    struct line *lines = allocate((now->group_count + 1) * sizeof(*lines));
    const struct order *order = order_find(s->page, s->order[s->page == 'm']);

    *count = 0;
    for (uint32_t i = 0; i < now->group_count; i++) {
        const struct top_group *earlier = top_group_before(before, &now->groups[i]);
        struct line *l = &lines[*count];

        if (s->only_vms && !now->groups[i].is_vm)
            continue;
        l->group = &now->groups[i];
        esxtop_columns(earlier ? &earlier->sum : NULL, &now->groups[i].sum, l->columns);
        l->rank = rank_of(order, l);
        ++*count;
    }
    qsort(lines, *count, sizeof(*lines), by_rank);
    return lines;
}

static void head(struct screen *s, const struct top_look *now)
{
    time_t seconds = (time_t)(now->host.wall_ns / 1000000000);
    uint64_t up = now->host.uptime_ns / 1000000000;
    char clock[16];
    struct tm date;
    const uint32_t *average = s->page == 'm' ? now->memory.overcommit : now->host.load_avg;

    gmtime_r(&seconds, &date);
    strftime(clock, sizeof(clock), "%l:%M:%S%P", &date);
    put(s,
        "%s up %llu days %llu:%02llu, %u worlds, %u VMs, %u vCPUs; %s: "
        "%u.%02u, %u.%02u, %u.%02u",
        clock, (unsigned long long)(up / 86400), (unsigned long long)(up / 3600 % 24),
        (unsigned long long)(up / 60 % 60), now->host.worlds, now->host.vms, now->host.vcpus,
        s->page == 'm' ? "MEM overcommit avg" : "CPU load average", average[0] / 2048,
        average[0] % 2048 * 100 / 2048, average[1] / 2048, average[1] % 2048 * 100 / 2048,
        average[2] / 2048, average[2] % 2048 * 100 / 2048);
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

/* Adds to a line that may be full. */
static void add(char text[LINE_MAX_COLUMNS + 1], const char *format, ...) PRINTF_LIKE(2, 3);
static void add(char text[LINE_MAX_COLUMNS + 1], const char *format, ...)
{
    const size_t length = strlen(text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + length, LINE_MAX_COLUMNS + 1 - length, format, arguments);
    va_end(arguments);
}

static void cpu_titles(struct screen *s)
{
    static const char *const titles[ESXTOP_COLUMNS] = {
        "%USED", "%RUN",   "%SYS",   "%WAIT",   "%VMWAIT", "%RDY",   "%IDLE", "%OVRLP",
        "%CSTP", "%MLMTD", "%SWPWT", "SWTCH/s", "MIG/s",   "QEXP/s", "WAKE/s"};
    char text[LINE_MAX_COLUMNS + 1] = "";

    if (s->cpu[0])
        add(text, "%10s ", "ID");
    if (s->cpu[1])
        add(text, "%10s ", "GID");
    if (s->cpu[2])
        add(text, "%-16s ", "NAME");
    if (s->cpu[3])
        add(text, "%4s", "NWLD");
    for (unsigned c = 0; c < ESXTOP_COLUMNS; c++) {
        if (s->cpu[c <= ESXTOP_SWPWT ? 4 : 5])
            add(text, " %7s", titles[c]);
    }
    put(s, "%s", text);
}

static void cpu_page(struct screen *s, const struct top_look *before,
                     const struct top_look *now)
{
    uint32_t count;
    struct line *lines = lines_make(s, before, now, &count);

    cpu_line(s, "PCPU USED(%):", before, now);
    cpu_line(s, "PCPU UTIL(%):", before, now);
    put(s, "%s", "");
    cpu_titles(s);
    for (uint32_t i = 0; i < count; i++) {
        const struct top_group *g = lines[i].group;
        char text[LINE_MAX_COLUMNS + 1] = "";

        if (s->cpu[0])
            add(text, "%10u ", g->shown);
        if (s->cpu[1])
            add(text, "%10u ", g->shown);
        if (s->cpu[2])
            add(text, "%-16.16s ", g->name);
        if (s->cpu[3])
            add(text, "%4u", g->sum.worlds);
        for (unsigned c = 0; c < ESXTOP_COLUMNS; c++) {
            if (s->cpu[c <= ESXTOP_SWPWT ? 4 : 5])
                add(text, " %4llu.%02llu", (unsigned long long)(lines[i].columns[c] / 100),
                    (unsigned long long)(lines[i].columns[c] % 100));
        }
        put(s, "%s", text);
    }
    free(lines);
}

static unsigned long long mb(uint64_t kb)
{
    return kb / 1024;
}

/* What the swap space of user worlds holds; the SWAP line is of VMs. */
static void user_swap_line(struct screen *s, const struct top_look *before,
                           const struct top_look *now, uint64_t passed)
{
    const struct vmk_swap *u = &now->user_swap, *was = before ? &before->user_swap : u;
    const uint64_t in = top_pages_rate(was->swapped_in_pages, u->swapped_in_pages, passed);
    const uint64_t out = top_pages_rate(was->swapped_out_pages, u->swapped_out_pages, passed);

    put(s, "USWAP /MB: %6llu    curr, %6llu    size: %6llu.%02llu r/s, %6llu.%02llu w/s",
        mb(u->used_kb), mb(u->size_kb), (unsigned long long)in / 100,
        (unsigned long long)in % 100, (unsigned long long)out / 100,
        (unsigned long long)out % 100);
}

static void memory_head(struct screen *s, const struct top_look *before,
                        const struct top_look *now)
{
    const struct vmk_host_memory *m = &now->memory;
    const uint64_t passed = before ? now->host.uptime_ns - before->host.uptime_ns : 0;
    const uint64_t in =
        before ? top_pages_rate(before->memory.swapped_in_pages, m->swapped_in_pages, passed)
               : 0;
    const uint64_t out =
        before ? top_pages_rate(before->memory.swapped_out_pages, m->swapped_out_pages, passed)
               : 0;
    const uint64_t known = m->kernel_kb + m->free_kb;

    put(s, "PMEM  /MB: %6llu   total: %6llu     vmk, %6llu other, %6llu free", mb(m->total_kb),
        mb(m->kernel_kb), mb(m->total_kb > known ? m->total_kb - known : 0), mb(m->free_kb));
    put(s, "VMKMEM/MB: %6llu managed: %6llu minfree, %6llu rsvd, %6llu ursvd, %s state",
        mb(m->managed_kb), mb(m->min_free_kb), mb(m->reserved_kb), mb(m->unreserved_kb),
        m->level_name[0] ? m->level_name : "no");
    put(s, "PSHARE/MB: %6llu  shared, %6llu  common: %6llu saving", mb(m->shared_kb),
        mb(m->common_kb), mb(m->shared_kb - m->common_kb));
    put(s, "SWAP  /MB: %6llu    curr, %6llu rclmtgt: %6llu.%02llu r/s, %6llu.%02llu w/s",
        mb(m->swapped_kb), mb(m->swap_target_kb), (unsigned long long)in / 100,
        (unsigned long long)in % 100, (unsigned long long)out / 100,
        (unsigned long long)out % 100);
    if (now->user_swap.place != VMK_SWAP_NOWHERE)
        user_swap_line(s, before, now, passed);
    put(s, "ZIP   /MB: %6llu  zipped, %6llu   saved", mb(m->compressed_kb),
        mb(m->compressed_kb > m->cache_kb ? m->compressed_kb - m->cache_kb : 0));
    put(s, "MEMCTL/MB: %6llu    curr, %6llu  target, %6llu max", mb(m->balloon_kb),
        mb(m->balloon_target_kb), mb(m->balloon_max_kb));
}

static bool is_shown(const struct screen *s, const struct memory_column *c)
{
    for (size_t i = 0; i < MEMORY_FIELDS; i++) {
        if (memory_fields[i].letter == c->field)
            return s->memory[i];
    }
    return false;
}

static void memory_page(struct screen *s, const struct top_look *before,
                        const struct top_look *now)
{
    uint32_t count;
    struct line *lines = lines_make(s, before, now, &count);
    const uint64_t passed = before ? now->host.uptime_ns - before->host.uptime_ns : 0;
    char text[LINE_MAX_COLUMNS + 1];
    size_t n = (size_t)snprintf(text, sizeof(text), "%10s %-16s %4s", "GID", "NAME", "NWLD");

    memory_head(s, before, now);
    put(s, "%s", "");
    for (size_t k = 0; k < MEMORY_COLUMNS && n < sizeof(text); k++) {
        if (is_shown(s, &memory_columns[k]))
            n += (size_t)snprintf(text + n, sizeof(text) - n, " %8s", memory_columns[k].title);
    }
    put(s, "%s", text);
    for (uint32_t i = 0; i < count; i++) {
        const struct top_group *g = lines[i].group, *earlier = top_group_before(before, g);

        if (g->memory.size_kb == 0 && g->memory.granted_kb == 0)
            continue;
        n = (size_t)snprintf(text, sizeof(text), "%10u %-16.16s %4u", g->shown, g->name,
                             g->sum.worlds);
        for (size_t k = 0; k < MEMORY_COLUMNS && n < sizeof(text); k++) {
            const struct memory_column *c = &memory_columns[k];
            const uint64_t v =
                top_memory_value(c, earlier ? &earlier->memory : NULL, &g->memory, passed);

            if (!is_shown(s, c))
                continue;
            if (c->unit == MEMORY_DRIVER)
                n += (size_t)snprintf(text + n, sizeof(text) - n, " %8s", v ? "Y" : "N");
            else
                n += (size_t)snprintf(text + n, sizeof(text) - n, " %5llu.%02llu",
                                      (unsigned long long)v / 100, (unsigned long long)v % 100);
        }
        put(s, "%s", text);
    }
    free(lines);
}

/* The fields of the page that was left for them. */
static const struct top_field *fields_get(struct screen *s, bool **shown, size_t *count)
{
    *shown = s->fields_of == 'm' ? s->memory : s->cpu;
    *count = s->fields_of == 'm' ? MEMORY_FIELDS : CPU_FIELDS;
    return s->fields_of == 'm' ? memory_fields : cpu_fields;
}

static void fields_page(struct screen *s)
{
    bool *shown;
    size_t count;
    const struct top_field *fields = fields_get(s, &shown, &count);

    put(s, "%s", "");
    put(s, "Fields of the %s page; a letter shows or hides its columns, any other key leaves.",
        s->fields_of == 'm' ? "memory" : "CPU");
    put(s, "%s", "");
    for (size_t i = 0; i < count; i++)
        put(s, "%c %c: %s", shown[i] ? '*' : ' ', fields[i].letter, fields[i].what);
}

static void field_key(struct screen *s, char c)
{
    bool *shown;
    size_t count;
    const struct top_field *fields = fields_get(s, &shown, &count);

    for (size_t i = 0; i < count; i++) {
        if ((c & ~0x20) == fields[i].letter) {
            shown[i] = !shown[i];
            return;
        }
    }
    s->page = s->fields_of;
}

static void help_page(struct screen *s)
{
    static const char *const lines[] = {
        "",
        "c   CPU: who used it since the last look",
        "m   memory: who has how much, and where the rest is",
        "f   fields of the page: their letters show and hide them",
        "V   VMs only, or all",
        "U R N    CPU page: by %USED, %RDY, GID",
        "M G B W N    memory page: by MEMSZ, GRANT, MCTLSZ, SWCUR, GID",
        "s   seconds between looks: asks for them; + and - change them by one",
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
    else if (s->page == 'f')
        fields_page(s);
    else if (s->page == 'm')
        memory_page(s, before, now);
    else
        cpu_page(s, before, now);
    fputs("\033[J", stdout);
    fflush(stdout);
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
    (void)sigaction(SIGWINCH, &(struct sigaction){.sa_handler = on_resize}, NULL);
    raw = saved;
    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

/* On the last line, as a line is typed. */
static void ask_delay(struct screen *s)
{
    char line[16], *end;
    uint64_t seconds;

    restore();
    printf("\033[%u;1H\033[KSeconds between looks (now %llu): ", s->rows,
           (unsigned long long)(s->delay_ms / 1000));
    fflush(stdout);
    clearerr(stdin);  // a change of size may have interrupted the last one
    if (fgets(line, sizeof(line), stdin)) {
        end = strchr(line, '\n');
        if (end)
            *end = 0;
        if (number_of(line, 86400, &seconds) && seconds)
            s->delay_ms = seconds * 1000;
    }
    raw_mode();
}

/* False: leave. */
static bool key(struct screen *s)
{
    char c;

    if (read(STDIN_FILENO, &c, 1) != 1 || c == 'q' || c == 3)
        return false;
    if (s->page == 'f')
        field_key(s, c);
    else if (c == 'f' && s->page != 'h')
        s->fields_of = s->page, s->page = c;
    else if (c == 'c' || c == 'm' || c == 'h')
        s->page = c;
    else if (order_find(s->page, c))
        s->order[s->page == 'm'] = c;
    else if (c == 'V')
        s->only_vms = !s->only_vms;
    else if (c == 's')
        ask_delay(s);
    if (c == '+' && s->delay_ms < 60000)
        s->delay_ms += 1000;
    if (c == '-' && s->delay_ms > 1000)
        s->delay_ms -= 1000;
    return true;
}

int top_screen(uint64_t delay_ms, uint64_t rounds)
{
    struct screen s = {.page = 'c', .order = {'U', 'G'}, .delay_ms = delay_ms};
    struct top_look *before = NULL;
    bool typed = isatty(STDIN_FILENO);
    bool on = true;

    for (size_t i = 0; i < MEMORY_FIELDS; i++)
        s.memory[i] = memory_fields[i].shown;
    for (size_t i = 0; i < CPU_FIELDS; i++)
        s.cpu[i] = cpu_fields[i].shown;
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
