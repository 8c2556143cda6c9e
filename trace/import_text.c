// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace/import_text.c -- `perf script` and ftrace text into demand.
 *
 *     comm 7 [000]  4555.518594: sched:sched_switch: prev_comm=a b prev_pid=7 ... prev_state=D
 *                   ==> ...
 *     <idle>-0 [002] d..2. 2084.021659: sched_switch: swapper/2:0 [120] R ==> a:b:29 [120]
 *
 * Names may hold blanks, colons and slashes, so nothing is found by column: the event by its
 * name and colon, the time as the last number before it, the CPU as the last brackets before
 * that, and fields by their keys. trace-cmd's own spelling has no keys; there the pid follows
 * the last colon.
 *
 * Who woke: the task that the CPU ran, unless ftrace's flags say that it was an interrupt. Text
 * of perf has no such flags, so a wake-up by an interrupt is there taken for one by the task
 * below it.
 *
 * Invariants
 *   - A line that has the event but not its fields ends the import with its number.
 * Locking    none.
 * Sources    [PERF-SCRIPT], [FTRACE]
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trace/import.h"

#define BACK_MOST 1000000u  // two CPUs' clocks differ by less

struct line {
    const char *path;
    uint64_t number;
    char *text;
    uint64_t time, latest;
    uint32_t cpu;
    bool perf;  // "sched:" is before its events
    bool interrupt;
    bool has_task;  // who runs there stands before the CPU
    uint32_t task;
    struct demand_sample sample;
    const char *body;  // behind the event's name
};

static bool bad(const struct line *l, const char *what)
{
    (void)tool_fail("%s:%llu: %s; is it the whole line that the tool printed?", l->path,
                    (unsigned long long)l->number, what);
    return false;
}

/* "12962.375919122", with any count of decimals up to nine. */
static bool seconds(const char *text, const char *end, uint64_t *ns)
{
    uint64_t whole = 0, part = 0, unit = 1000000000;
    const char *p = text;

    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        whole = whole * 10 + (uint64_t)(*p - '0');
        if (whole > 9000000000ull)
            return false;
    }
    if (p == text || p == end || *p != '.')
        return false;
    for (p++; p < end && *p >= '0' && *p <= '9' && unit > 1; p++) {
        unit /= 10;
        part += (uint64_t)(*p - '0') * unit;
    }
    *ns = whole * 1000000000 + part;
    return p == end;
}

/* Where the blanks before `end` begin. */
static const char *blanks_back(const struct line *l, const char *end)
{
    while (end > l->text && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return end;
}

/* What stands before the number of a task; a name without one may end in digits too. */
static bool is_task(const struct line *l, const char *number)
{
    if (!l->perf)
        return number > l->text && number[-1] == '-';
    if (number - l->text >= 2 && number[-1] == '/' && number[-2] >= '0' && number[-2] <= '9')
        return true;
    return number == l->text || number[-1] == ' ' || number[-1] == '\t';
}

/* The digits that end before `end`. */
static const char *digits_back(const struct line *l, const char *end)
{
    while (end > l->text && end[-1] >= '0' && end[-1] <= '9')
        end--;
    return end;
}

/* What perf's sample has before the task's number at `start`: name, and "5/" of a process. */
static void sample_read(struct line *l, const char *start)
{
    struct demand_sample *s = &l->sample;

    *s = (struct demand_sample){.gone = start > l->text && start[-1] == '-'};
    if (s->gone)
        start--;
    if (start > l->text && start[-1] == '/') {
        const char *process = digits_back(l, start - 1);

        if (process > l->text && process[-1] == '-')
            process--;  // "-1/-1": a process that has ended as a whole
        else if (process < start - 1 && start - process < 12)
            s->process = (uint32_t)strtoul(process, NULL, 10);
        start = process;
    }
    start = blanks_back(l, start);
    s->name = l->text + strspn(l->text, " \t");
    if (s->name < start)
        s->name_length = (size_t)(start - s->name);
    else
        s->name = NULL;
}

/* "comm 7", "comm 7/7", "comm-7", "comm-7 (  7)" before the CPU's bracket. */
static void task_read(struct line *l, const char *end)
{
    const char *start;
    bool gone;

    end = blanks_back(l, end);
    if (end > l->text && end[-1] == ')') {
        while (end > l->text && *end != '(')
            end--;
        while (end > l->text && end[-1] == ' ')
            end--;
    }
    start = digits_back(l, end);
    /* perf has ":-1 -1" for a task that ended before the recording did. */
    gone = start - l->text >= 2 && start[-1] == '-' && (start[-2] == ' ' || start[-2] == '/');
    l->has_task = start < end && end - start < 10 && !gone && is_task(l, start);
    l->task = l->has_task ? (uint32_t)strtoul(start, NULL, 10) : 0;
    l->sample = (struct demand_sample){.gone = gone};
    if (l->perf && (gone || l->has_task))
        sample_read(l, start);
}

/* ftrace's flags: irqs off, need-resched, then h, s or z inside an interrupt. */
static bool in_interrupt(const char *flags)
{
    return strchr("hHsSzZ", flags[2]) != NULL;
}

/* The last "[012]" before `end`, or null. */
static const char *cpu_bracket(const struct line *l, const char *end)
{
    for (const char *p = end; p-- > l->text;) {
        size_t digits = *p == '[' ? strspn(p + 1, "0123456789") : 0;

        if (digits && p[1 + digits] == ']')
            return p;
    }
    return NULL;
}

/* trace-cmd report -l: "comm-7   0d..2 5.1: ...", CPU and flags in one word before `time`. */
static bool latency_read(struct line *l, const char *time)
{
    const char *end = blanks_back(l, time), *start = end;
    size_t digits;

    while (start > l->text && start[-1] != ' ' && start[-1] != '\t')
        start--;
    digits = strspn(start, "0123456789");
    if (!digits || end - start < (ptrdiff_t)digits + 4 || !strchr("dDXbB.", start[digits]))
        return bad(l, "no CPU in brackets (perf script -F needs cpu and time)");
    l->cpu = (uint32_t)strtoul(start, NULL, 10);
    l->interrupt = in_interrupt(start + digits);
    task_read(l, start);
    return true;
}

/*
 * Where the word with the time begins, before the event at `event`; false if no colon ends one.
 */
static bool time_find(const struct line *l, const char *event, const char **time)
{
    const char *end = blanks_back(l, event), *start;

    /*
     * perf script -F +period has a number between the two, trace-cmd report --ts-diff "(+5)".
     */
    if (end > l->text && end[-1] == ')')
        end--;
    for (start = end; start > l->text && start[-1] >= '0' && start[-1] <= '9'; start--)
        ;
    if (*end == ')' && start - l->text >= 2 && start[-1] == '+' && start[-2] == '(')
        start -= 2;
    if (start < end)
        end = blanks_back(l, start);
    if (end == l->text || end[-1] != ':')
        return false;
    for (start = end - 1; start > l->text && start[-1] != ' ' && start[-1] != '\t'; start--)
        ;
    *time = start;
    return true;
}

/* What stands before the event: CPU, flags and time. */
static bool head_read(struct line *l, const char *event)
{
    const char *start, *open;

    if (!time_find(l, event, &start))
        return bad(l, "no time before the event (perf script -F needs time; tod is none)");
    if (!seconds(start, strchr(start, ':'), &l->time))
        return bad(l,
                   "no time in seconds before the event (a trace clock in cycles is not read)");
    if (l->time + BACK_MOST < l->latest)
        return bad(l, "time steps back (several recordings, or perf script --deltatime?)");
    l->latest = MAX(l->latest, l->time);
    open = cpu_bracket(l, start);
    if (!open)
        return latency_read(l, start);
    l->cpu = (uint32_t)strtoul(open + 1, NULL, 10);
    task_read(l, open);
    for (open++; *open != ']'; open++)
        ;
    for (open++; *open == ' '; open++)
        ;
    l->interrupt = !l->perf && start - open > 4 && in_interrupt(open);
    return true;
}

/*
 * The last `key` in `text` before `end` (null: anywhere): a name may hold it too, and stands
 * before.
 */
static const char *last_key(const char *text, const char *end, const char *key)
{
    const char *found = NULL;

    for (const char *p = text; (p = strstr(p, key)) != NULL && (!end || p < end); p++)
        found = p;
    return found;
}

/* The number behind the key at `at`, which may be null. */
static uint32_t number_after(const char *at, const char *key, bool *found)
{
    char *end;
    unsigned long value;

    *found = false;
    if (!at)
        return 0;
    at += strlen(key);
    errno = 0;
    value = strtoul(at, &end, 10);
    *found = end != at && !errno && value <= UINT32_MAX && *at != '-';
    return (uint32_t)value;
}

/* The text from `key` up to `stop`, cut to the room. */
static void name_between(const char *text, const char *key, const char *stop, char *out,
                         size_t room)
{
    const char *p = strstr(text, key);
    size_t length;

    out[0] = 0;
    if (!p || p + strlen(key) > stop)
        return;
    p += strlen(key);
    length = MIN((size_t)(stop - p), room - 1);
    memcpy(out, p, length);
    out[length] = 0;
}

static enum demand_leave leave_of(const char *state)
{
    if (*state >= '0' && *state <= '9') {
        unsigned long bits = strtoul(state, NULL, 0);

        if (!(bits & 0xff))
            return DEMAND_PREEMPTED;
        if (bits & 0x30)
            return DEMAND_EXIT;
        return bits & 2 ? DEMAND_IO : DEMAND_SLEEP;
    }
    switch (*state) {
    case 'R': return DEMAND_PREEMPTED;
    case 'D': return DEMAND_IO;
    case 'X':
    case 'x':
    case 'Z': return DEMAND_EXIT;
    default: return DEMAND_SLEEP;
    }
}

/* trace-cmd's "name:pid [prio]" up to `end`; *after is what follows the bracket. */
static bool plugin_task(const char *text, const char *end, char *name, size_t room,
                        uint32_t *pid, const char **after)
{
    const char *bracket = NULL, *colon;
    size_t length;
    char *stop;

    for (const char *p = text; p + 1 < end; p++) {
        if (p[0] == ' ' && p[1] == '[')
            bracket = p;
    }
    if (!bracket)
        return false;
    for (colon = bracket; colon > text && *colon != ':'; colon--)
        ;
    if (*colon != ':')
        return false;
    *pid = (uint32_t)strtoul(colon + 1, &stop, 10);
    if (stop == colon + 1 || stop > bracket)
        return false;
    length = MIN((size_t)(colon - text), room - 1);
    memcpy(name, text, length);
    name[length] = 0;
    *after = strchr(bracket, ']');
    if (*after) {
        for (++*after; **after == ' '; ++*after)
            ;
    }
    return true;
}

struct switch_text {
    uint32_t prev, next;
    const char *state;
    char prev_name[64], next_name[64];
};

/* Fields by their keys; the names and states they are between. */
static bool switch_keys_read(const struct line *l, struct switch_text *s)
{
    const char *next_key = last_key(l->body, NULL, " next_pid=");
    const char *arrow = last_key(l->body, next_key, " next_comm=");
    const char *prev_key = last_key(l->body, arrow, " prev_pid=");
    bool good, also;

    s->prev = number_after(prev_key, " prev_pid=", &good);
    s->next = number_after(next_key, " next_pid=", &also);
    s->state = last_key(l->body, arrow, " prev_state=");
    if (!good || !also || !s->state)
        return bad(l, !good   ? "sched_switch without a number behind prev_pid="
                      : !also ? "sched_switch without a number behind next_pid="
                              : "sched_switch without prev_state=");
    s->state += strlen(" prev_state=");
    name_between(l->body, "prev_comm=", prev_key, s->prev_name, sizeof(s->prev_name));
    name_between(arrow ? arrow : l->body, "next_comm=", next_key, s->next_name,
                 sizeof(s->next_name));
    return true;
}

/* trace-cmd's spelling; a name may hold the arrow too. */
static bool switch_plugin_read(const struct line *l, struct switch_text *s)
{
    const char *body = l->body + strspn(l->body, " "), *rest;

    for (const char *arrow = body; (arrow = strstr(arrow, " ==> ")) != NULL; arrow++) {
        if (plugin_task(body, arrow, s->prev_name, sizeof(s->prev_name), &s->prev, &s->state) &&
            s->state && s->state < arrow)
            return plugin_task(arrow + 5, arrow + strlen(arrow), s->next_name,
                               sizeof(s->next_name), &s->next, &rest) ||
                   bad(l, "sched_switch in a spelling that is not known");
    }
    return bad(l, "sched_switch in a spelling that is not known");
}

static bool begins(const struct line *l, const char *key)
{
    return !strncmp(l->body + strspn(l->body, " "), key, strlen(key));
}

static bool switch_read(const struct line *l, struct demand *d)
{
    struct switch_text s;

    if (!(begins(l, "prev_comm=") ? switch_keys_read(l, &s) : switch_plugin_read(l, &s)))
        return false;
    demand_sampled(d, &l->sample);
    demand_switch(d, l->time, l->cpu, s.prev, s.prev_name, leave_of(s.state), s.next,
                  s.next_name);
    return true;
}

static bool wake_read(const struct line *l, struct demand *d)
{
    const char *key = last_key(l->body, NULL, " pid=");
    char name[64];
    uint32_t pid;
    bool good;

    if (begins(l, "comm=")) {
        pid = number_after(key, " pid=", &good);
        if (!good)
            return bad(l, "a wake-up without a number behind pid=");
        name_between(l->body, "comm=", key, name, sizeof(name));
    } else {
        const char *body = l->body + strspn(l->body, " "), *rest;

        if (!plugin_task(body, body + strlen(body), name, sizeof(name), &pid, &rest))
            return bad(l, "a wake-up in a spelling that is not known");
    }
    demand_wake(d, l->time, l->cpu, pid, name, l->interrupt ? DEMAND_IDLE : DEMAND_CURRENT,
                l->has_task ? &l->task : NULL);
    return true;
}

/* The event `name` in the line: where it begins (with a "sched:" before it), or null. */
static const char *event_find(struct line *l, const char *name)
{
    const char *doubtful = NULL;

    for (const char *p = l->text; (p = strstr(p, name)) != NULL; p++) {
        bool perf = p - l->text >= 6 && !memcmp(p - 6, "sched:", 6);
        const char *event = perf ? p - 6 : p, *end;
        uint64_t time;

        /*
         * Else it is in a task's name, or in the text of another event, such as
         * trace_printk()'s.
         */
        if (time_find(l, event, &end) && seconds(end, strchr(end, ':'), &time)) {
            l->perf = perf;
            l->body = p + strlen(name);
            return event;
        }
        end = blanks_back(l, event);
        if (!doubtful && (perf || (end - l->text >= 2 && end[-1] == ':' && end[-2] >= '0' &&
                                   end[-2] <= '9'))) {
            l->perf = perf;
            l->body = p + strlen(name);
            doubtful = event;
        }
    }
    return doubtful;
}

/* How many events the recorder says here that it lost. */
static uint64_t lost_count(const char *text)
{
    const char *p = strstr(text, "PERF_RECORD_LOST");
    uint64_t count;

    if (!p && !strncmp(text, "CPU:", 4) && strstr(text, "EVENTS"))
        p = strchr(text, '[');  // "[LOST 5 EVENTS]", "[5 EVENTS DROPPED]", "[EVENTS DROPPED]"
    if (!p)
        return 0;
    p += strcspn(p, "0123456789");
    count = strtoull(p, NULL, 10);
    return MAX(count, 1u);
}

static bool has_waking(FILE *file, struct line *l, size_t *room)
{
    bool found = false;

    while (!found && getline(&l->text, room, file) > 0)
        found = event_find(l, "sched_waking: ") != NULL;
    rewind(file);
    return found;
}

/* Tools' own files, which are no text: says so. */
static bool is_binary(const char *path, FILE *file)
{
    static const struct {
        const char *magic, *remedy;
    } known[] = {
        {"PERFILE2", "perf's own file; make text of it by `perf script --ns -i`"},
        {"\x17\x08"
         "Dtracing",
         "trace-cmd's own file; make text of it by `trace-cmd report -t -i`"},
    };
    char start[16] = "";
    bool found = false;

    (void)fread(start, 1, sizeof(start) - 1, file);
    rewind(file);
    for (unsigned i = 0; i < ARRAY_COUNT(known); i++) {
        if (!strncmp(start, known[i].magic, strlen(known[i].magic))) {
            (void)tool_fail("%s: %s", path, known[i].remedy);
            found = true;
        }
    }
    return found;
}

bool import_text(const char *path, struct demand *d)
{
    FILE *file = fopen(path, "r");
    struct line l = {.path = path};
    size_t room = 0;
    ssize_t length;
    bool waking, good = true;
    uint64_t events = 0;

    if (!file) {
        (void)tool_fail("%s: %s", path, strerror(errno));
        return false;
    }
    if (is_binary(path, file)) {
        fclose(file);
        return false;
    }
    /* Old kernels have sched_wakeup alone; else it is the same wake-up told again, later. */
    waking = has_waking(file, &l, &room);
    while (good && (length = getline(&l.text, &room, file)) > 0) {
        const char *event;
        uint64_t lost;

        l.number++;
        if (l.text[length - 1] == '\n')
            l.text[--length] = 0;
        if (length && l.text[length - 1] == '\r')
            l.text[--length] = 0;
        if (strlen(l.text) < (size_t)length) {
            good = bad(&l, "a NUL byte: not a text file");
        } else if ((lost = lost_count(l.text)) != 0) {
            demand_lost(d, lost);
        } else if ((event = event_find(&l, "sched_switch: ")) != NULL) {
            good = head_read(&l, event) && switch_read(&l, d);
            events++;
        } else if ((event = event_find(&l, "sched_waking: ")) != NULL ||
                   (event = event_find(&l, "sched_wakeup_new: ")) != NULL ||
                   (!waking && (event = event_find(&l, "sched_wakeup: ")) != NULL)) {
            good = head_read(&l, event) && wake_read(&l, d);
        }
    }
    if (good && ferror(file)) {
        (void)tool_fail("%s: %s", path, strerror(errno));
        good = false;
    } else if (good && !events) {
        (void)tool_fail("%s: no sched_switch line: make the file by `perf script --ns` of a "
                        "`perf sched record`, or by `trace-cmd report`",
                        path);
        good = false;
    }
    free(l.text);
    fclose(file);
    return good;
}
