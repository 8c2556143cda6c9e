// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxtop_screen.c -- esxtop on a terminal: a page that is drawn again and again.
 *
 * Invariants
 *   - Nothing is written beyond the terminal's last line or column.
 * Locking    none: one thread.
 * Start at   top_screen().
 * Sources    [ESXTOP]
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "agents/vmtools/esxtop.h"

#define LINE_MAX_COLUMNS 240
#define CPU_FIELDS       6u
#define EXPANDED_MAX     16u

static const struct top_field cpu_fields[CPU_FIELDS] = {
    {'A', true, "ID"},
    {'B', true, "GID"},
    {'C', true, "NAME"},
    {'D', true, "NWLD: worlds in it"},
    {'E', true, "%STATE TIMES: used, run, system, wait, ready ..."},
    {'F', false, "EVENT COUNTS/s: switches, migrations, quanta used up, wake-ups"},
};

struct screen {
    unsigned rows, columns, used;
    char page;       // 'c', 'm', 'f', 'h'
    char fields_of;  // the page that 'f' is about
    char order[2];   // of the CPU and the memory page: a key of orders[]
    bool only_vms;
    uint32_t expanded[EXPANDED_MAX];  // GIDs whose worlds are shown one by one; 0: none
    char notice[80];                  // on the last line, until the next key
    bool cpu[CPU_FIELDS], memory[MEMORY_FIELDS];  // shown
    uint64_t delay_ms;
};

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
    const struct top_world *world;  // null: the line is of the whole group
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
    if (x->group->shown != y->group->shown)
        return x->group->shown < y->group->shown ? -1 : 1;
    return !x->world || !y->world ? 0 : x->world->id < y->world->id ? -1 : 1;
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

static bool is_expanded(const struct screen *s, const struct top_group *g)
{
    for (unsigned i = 0; i < EXPANDED_MAX; i++) {
        if (s->expanded[i] == g->shown)
            return s->page == 'c';
    }
    return false;
}

static void line_fill(const struct screen *s, const struct top_look *before, struct line *l)
{
    const struct top_group *earlier = top_group_before(before, l->group);
    const struct top_world *was = l->world ? top_world_of(before, l->world->id) : NULL;

    if (l->world)
        esxtop_columns(was ? &was->sample : NULL, &l->world->sample, l->columns);
    else
        esxtop_columns(earlier ? &earlier->sum : NULL, &l->group->sum, l->columns);
    l->rank = rank_of(order_find(s->page, s->order[s->page == 'm']), l);
}

/* The lines of a page in its order; `count` of them. */
static struct line *lines_make(const struct screen *s, const struct top_look *before,
                               const struct top_look *now, uint32_t *count)
{
    struct line *lines = allocate((now->group_count + now->world_count + 1) * sizeof(*lines));

    *count = 0;
    for (uint32_t i = 0; i < now->group_count; i++) {
        const struct top_group *g = &now->groups[i];
        bool expanded = is_expanded(s, g);

        if (s->only_vms && !g->is_vm)
            continue;
        for (uint32_t w = 0; expanded && w < now->world_count; w++) {
            if (now->worlds[w].group == g->id)
                lines[(*count)++] = (struct line){.group = g, .world = &now->worlds[w]};
        }
        if (!expanded)
            lines[(*count)++].group = g;
    }
    for (uint32_t i = 0; i < *count; i++)
        line_fill(s, before, &lines[i]);
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
        const struct top_world *w = lines[i].world;
        char text[LINE_MAX_COLUMNS + 1] = "";

        if (s->cpu[0])
            add(text, "%10u ", w ? w->id : g->shown);
        if (s->cpu[1])
            add(text, "%10u ", g->shown);
        if (s->cpu[2])
            add(text, "%-16.16s ", w ? w->name : g->name);
        if (s->cpu[3])
            add(text, "%4u", w ? 1 : g->sum.worlds);
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
        "e   CPU page: the worlds of a group, or again the group; asks for its GID",
        "k   kill: asks for the ID of a world, as e shows it, and whether you are sure",
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
    if (s->notice[0])
        printf("\033[%u;1H%.*s", s->rows, (int)s->columns, s->notice);
    fflush(stdout);
}

static void ask_delay(struct screen *s)
{
    char question[48];
    uint64_t seconds;

    snprintf(question, sizeof(question), "Seconds between looks (now %llu)",
             (unsigned long long)(s->delay_ms / 1000));
    if (top_ask_number(s->rows, question, 86400, &seconds) && seconds)
        s->delay_ms = seconds * 1000;
}

static void ask_expand(struct screen *s)
{
    uint64_t id;
    unsigned free_one = EXPANDED_MAX;

    if (!top_ask_number(s->rows, "Group to expand or roll up (GID)", UINT32_MAX, &id) || !id)
        return;
    for (unsigned i = 0; i < EXPANDED_MAX; i++) {
        if (s->expanded[i] == id) {
            s->expanded[i] = 0;
            return;
        }
        if (!s->expanded[i])
            free_one = i;
    }
    if (free_one == EXPANDED_MAX)
        snprintf(s->notice, sizeof(s->notice), "%u groups are expanded: roll one up first",
                 EXPANDED_MAX);
    else
        s->expanded[free_one] = (uint32_t)id;
}

static void ask_kill(struct screen *s, const struct top_look *now)
{
    const struct top_world *world;
    char question[80], answer[8];
    uint64_t id;

    if (!top_ask_number(s->rows, "World to kill (ID)", UINT32_MAX, &id))
        return;
    world = top_world_of(now, (uint32_t)id);
    if (!world) {
        snprintf(s->notice, sizeof(s->notice), "there is no world %u", (unsigned)id);
        return;
    }
    if (!top_can_kill(world)) {
        snprintf(s->notice, sizeof(s->notice), "%u (%.32s) is a world of the VMkernel",
                 world->id, world->name);
        return;
    }
    snprintf(question, sizeof(question), "Kill %s%.32s? y or n",
             world->kind == VMK_WORLD_VCPU ? "the VM of " : "", world->name);
    if (top_ask(s->rows, question, answer, sizeof(answer)) && strcmp(answer, "y") == 0)
        top_kill(world, s->notice, sizeof(s->notice));
}

/* False: leave. */
static bool key(struct screen *s, const struct top_look *now)
{
    char c;

    if (read(STDIN_FILENO, &c, 1) != 1 || c == 'q' || c == 3)
        return false;
    s->notice[0] = 0;
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
    else if (c == 'e' && s->page == 'c')
        ask_expand(s);
    else if (c == 'k')
        ask_kill(s, now);
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
        top_terminal_raw();
    fputs("\033[2J", stdout);
    for (uint64_t i = 0; on && (rounds == 0 || i < rounds); i++) {
        struct top_look *now = top_look();

        draw(&s, before, now);
        top_free(before);
        before = now;
        if ((rounds == 0 || i + 1 < rounds) &&
            !top_sleep(typed ? STDIN_FILENO : -1, s.delay_ms))
            on = key(&s, before);
    }
    top_free(before);
    top_terminal_restore();
    return EXIT_DONE;
}
