// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/log.c -- the kernel log: formats a line, keeps it in a ring, prints it on the sinks.
 *
 * A line is formatted on the caller's stack without a lock and then written to ring and sinks
 * under one, so that lines of two CPUs do not mix. The lock has the highest rank: anybody may
 * log, whatever he holds. The price is that a slow serial port is written with interrupts off.
 *
 * Invariants
 *   - Only whole lines enter the ring; `written` only grows.
 *   - A line in the ring begins with a byte that says its level (MARK), and has no such byte
 *     elsewhere.
 *   - log_emergency_write() takes no lock, because a panic may hold it.
 * Locking    log.lock (rank LOG).
 */
#include "core/log.h"

#include "core/core.h"
#include "core/core_internal.h"
#include "core/trace_control.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"

#define LOG_LEVELS  4u
#define MARK(level) ((char)(1 + (level)))

/* Linux's name of the level that a byte of the ring marks: one digit; 0: no mark. */
static char mark_digit(char byte)
{
    static const char digits[LOG_LEVELS] = {[VMK_LOG_ERROR] = '3',
                                            [VMK_LOG_WARN] = '4',
                                            [VMK_LOG_INFO] = '6',
                                            [VMK_LOG_DEBUG] = '7'};

    return byte >= MARK(VMK_LOG_ERROR) && byte <= MARK(VMK_LOG_DEBUG) ? digits[byte - MARK(0)]
                                                                      : 0;
}

void core_log_init(void)
{
    struct log_ring *log = &this_host()->core->log;
    char names[64];

    spin_init(&log->lock, "log", LOCK_RANK_LOG);
    log->level = VMK_LOG_INFO;
    if (core_option_flag("debug"))
        log->level = VMK_LOG_DEBUG;
    log->sinks = LOG_SINK_SCREEN | LOG_SINK_COM1;
    if (core_option("log", names, sizeof(names))) {
        log->sinks = (strstr(names, "screen") ? LOG_SINK_SCREEN : 0) |
                     (strstr(names, "com1") ? LOG_SINK_COM1 : 0) |
                     (strstr(names, "com2") ? LOG_SINK_COM2 : 0);
    }
    log->ready = true;
}

void log_sinks_set(unsigned sinks)
{
    this_host()->core->log.sinks = sinks;
}

unsigned log_sinks(void)
{
    return this_host()->core->log.sinks;
}

void log_level_set(enum vmk_log_level most_verbose)
{
    this_host()->core->log.level = most_verbose;
}

void log_console_levels_set(unsigned count)
{
    this_host()->core->log.hidden_levels = LOG_LEVELS - MIN(count, LOG_LEVELS);
}

unsigned log_console_levels(void)
{
    return LOG_LEVELS - this_host()->core->log.hidden_levels;
}

struct civil_time {
    unsigned year, month, day, hour, minute, second, millisecond;
};

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static struct civil_time civil_from_ns(uint64_t boot_seconds, plat_ns since_boot)
{
    static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t seconds = boot_seconds + since_boot / 1000000000u;
    uint64_t days = seconds / 86400u;
    struct civil_time t = {.year = 1970, .month = 1};

    t.millisecond = (unsigned)(since_boot / 1000000u % 1000u);
    t.second = (unsigned)(seconds % 60u);
    t.minute = (unsigned)(seconds / 60u % 60u);
    t.hour = (unsigned)(seconds / 3600u % 24u);
    for (; days >= (is_leap(t.year) ? 366u : 365u); t.year++)
        days -= is_leap(t.year) ? 366u : 365u;
    for (; t.month < 12; t.month++) {
        unsigned length = month_days[t.month - 1] + (t.month == 2 && is_leap(t.year) ? 1u : 0);

        if (days < length)
            break;
        days -= length;
    }
    t.day = (unsigned)days + 1;
    return t;
}

static size_t format_head(char *out, size_t size)
{
    struct core_state *core = this_host()->core;
    struct civil_time t = civil_from_ns(plat_wall_time_at_boot(), plat_time_now());
    bool irqs = plat_irq_save();
    unsigned cpu = plat_cpu_self();
    uint32_t world = core->world_id ? core->world_id() : 0;

    plat_irq_restore(irqs);

    int length =
        vmk_snprintf(out, size, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ cpu%u:%u)", t.year,
                     t.month, t.day, t.hour, t.minute, t.second, t.millisecond, cpu, world);
    return MIN((size_t)length, size - 1);
}

static void write_sinks(unsigned sinks, const char *text, size_t length)
{
    if (sinks & LOG_SINK_SCREEN)
        plat_console_write(text, length);
    if (sinks & LOG_SINK_COM1)
        plat_serial_write(0, text, length);
    if (sinks & LOG_SINK_COM2) {
        bool shared = trace_port_take();  // a trace may be on it too

        plat_serial_write(1, text, length);
        if (shared)
            trace_port_give();
    }
}

static void ring_append(struct log_ring *log, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        log->bytes[(log->written + i) % LOG_RING_SIZE] = mark_digit(text[i]) ? ' ' : text[i];
    log->written += length;
}

static char ring_byte(const struct log_ring *log, uint64_t at)
{
    return log->bytes[at % LOG_RING_SIZE];
}

void vmk_log(enum vmk_log_level level, const char *format, ...)
{
    struct log_ring *log = &this_host()->core->log;
    char line[LOG_LINE_MAX];
    va_list arguments;

    if (!log->ready || level > log->level)
        return;

    size_t length = format_head(line, sizeof(line));

    va_start(arguments, format);
    length += (size_t)vmk_vsnprintf(line + length, sizeof(line) - length, format, arguments);
    va_end(arguments);
    length = MIN(length, sizeof(line) - 2);
    line[length++] = '\n';

    bool irqs = spin_lock(&log->lock);

    log->bytes[log->written++ % LOG_RING_SIZE] = MARK(level);
    ring_append(log, line, length);
    write_sinks((unsigned)level < LOG_LEVELS - log->hidden_levels ? log->sinks
                                                                  : log->sinks & LOG_SINK_COM2,
                line, length);
    spin_unlock(&log->lock, irqs);
}

size_t log_ring_copy(char *out, size_t room)
{
    struct log_ring *log = &this_host()->core->log;
    bool irqs = spin_lock(&log->lock);
    uint64_t oldest = log->written - MIN(log->written, (uint64_t)LOG_RING_SIZE);
    uint64_t at = log->written;
    size_t length = 0;

    while (at > oldest && length < room)
        length += !mark_digit(ring_byte(log, --at));
    for (size_t i = 0; i < length; at++) {
        if (!mark_digit(ring_byte(log, at)))
            out[i++] = ring_byte(log, at);
    }
    spin_unlock(&log->lock, irqs);
    return length;
}

uint64_t log_ring_end(void)
{
    struct log_ring *log = &this_host()->core->log;
    bool irqs = spin_lock(&log->lock);
    uint64_t end = log->written;

    spin_unlock(&log->lock, irqs);
    return end;
}

size_t log_ring_read(uint64_t *position, char *out, size_t room)
{
    struct log_ring *log = &this_host()->core->log;
    size_t length = 0, whole = 0;
    uint64_t at, behind;
    bool irqs = spin_lock(&log->lock);

    if (log->written - *position > LOG_RING_SIZE) {
        /* The first byte that is left is in the middle of a line. */
        *position = log->written - LOG_RING_SIZE;
        while (*position < log->written && ring_byte(log, *position) != '\n')
            ++*position;
        *position += *position < log->written;
    }
    behind = *position;
    for (at = *position; at < log->written; at++) {
        char byte = ring_byte(log, at), digit = mark_digit(byte);

        if (length + (digit ? 3 : 1) > room)
            break;
        if (digit) {
            out[length++] = '<';
            out[length++] = digit;
            out[length++] = '>';
        } else {
            out[length++] = byte;
        }
        if (byte == '\n') {
            whole = length;
            behind = at + 1;
        }
    }
    if (!whole) {  // not even one fits: in pieces
        whole = length;
        behind = at;
    }
    *position = behind;
    spin_unlock(&log->lock, irqs);
    return whole;
}

uint64_t log_panic_begin(void)
{
    const struct log_ring *log = &this_host()->core->log;

    return log->panic_from ? log->panic_from - 1 : log->written;
}

void log_emergency_write(const char *text, size_t length)
{
    struct log_ring *log = &this_host()->core->log;

    if (!log->panic_from)
        log->panic_from = log->written + 1;
    ring_append(log, text, length);
    write_sinks(log->sinks | LOG_SINK_SCREEN | LOG_SINK_COM1, text, length);
}
