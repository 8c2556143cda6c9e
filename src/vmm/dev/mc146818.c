// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmm/dev/mc146818.c -- the MC146818 real-time clock and the CMOS memory around it, without a machine.
 *
 * Time is the host's wall time plus an offset that moves when the guest sets its clock, so
 * nothing ticks while nobody asked for an interrupt. Seconds begin where the caller's
 * nanosecond count is a multiple of 10^9. While the guest holds SET (register B, 80) the ten
 * date bytes are plain memory; releasing SET turns them into a new offset.
 *
 * Flags of register C are made lazily: catch_up() looks how many seconds and periodic ticks
 * passed since the last look.
 *
 * Not here: daylight saving, the square wave output.
 *
 * Invariants
 *   - IRQ 8 is high exactly when (C & B & 70) != 0: line_update().
 *   - No byte from the guest makes any of this fail: dates count on, indices are masked.
 * Locking    the caller's.
 * Start at   mc146818_read(), mc146818_write(), catch_up().
 * Sources    [MC146818] "Address Map", "Registers"
 */
#include "vmm/dev/mc146818.h"

#define CMOS_SIZE  sizeof(((struct mc146818 *)NULL)->cmos)
#define NS_PER_SEC 1000000000ull
#define DAY        86400ull
#define UIP_TIME   244000ull  // ns that UIP is on before an update

enum rtc_reg {
    RTC_SECOND,
    RTC_SECOND_ALARM,
    RTC_MINUTE,
    RTC_MINUTE_ALARM,
    RTC_HOUR,
    RTC_HOUR_ALARM,
    RTC_WEEKDAY,
    RTC_DAY,
    RTC_MONTH,
    RTC_YEAR,
    RTC_A,
    RTC_B,
    RTC_C,
    RTC_D,
    RTC_CENTURY = 0x32
};

#define A_UIP     0x80u
#define B_SET     0x80u
#define B_PIE     0x40u
#define B_AIE     0x20u
#define B_UIE     0x10u
#define B_BINARY  0x04u
#define B_24H     0x02u
#define C_IRQ     0x80u
#define C_FLAGS   0x70u  // PF, AF, UF: the bits of their enables in B
#define D_VALID   0x80u
#define HOUR_PM   0x80u
#define ALARM_ANY 0xc0u  // such an alarm byte matches everything

/* ---- calendar ---- */

void mc146818_date_from_seconds(uint64_t seconds, struct mc146818_date *out)
{
    // Days since 0000-03-01, in eras of 400 years; years begin in March so leap days come last.
    uint64_t days = seconds / DAY + 719468;
    uint64_t era = days / 146097;
    uint64_t of_era = days % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint64_t month = (5 * of_year + 2) / 153;  // 0 = March

    out->day = (unsigned)(of_year - (153 * month + 2) / 5 + 1);
    out->month = (unsigned)(month < 10 ? month + 3 : month - 9);
    out->year = (unsigned)(year + era * 400 + (out->month <= 2 ? 1 : 0));
    out->hour = (unsigned)(seconds % DAY / 3600);
    out->minute = (unsigned)(seconds % 3600 / 60);
    out->second = (unsigned)(seconds % 60);
    out->weekday = (unsigned)((seconds / DAY + 4) % 7 + 1);
}

uint64_t mc146818_seconds_from_date(const struct mc146818_date *date)
{
    uint64_t month = MIN(MAX(date->month, 1u), 12u);
    uint64_t year = MAX(date->year, 1970u) - (month <= 2 ? 1 : 0);
    uint64_t era = year / 400;
    uint64_t of_era_year = year % 400;
    uint64_t of_year =
        (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + (uint64_t)MAX(date->day, 1u) - 1;
    uint64_t of_era = of_era_year * 365 + of_era_year / 4 - of_era_year / 100 + of_year;
    uint64_t days = era * 146097 + of_era - 719468;

    return days * DAY + (uint64_t)date->hour * 3600 + (uint64_t)date->minute * 60 +
           date->second;
}

/* ---- encoding of the date bytes by register B ---- */

static uint8_t field_encode(const struct mc146818 *r, unsigned value)
{
    return (uint8_t)(r->cmos[RTC_B] & B_BINARY ? value : value / 10 % 10 * 16 + value % 10);
}

static unsigned field_decode(const struct mc146818 *r, uint8_t value)
{
    return r->cmos[RTC_B] & B_BINARY ? value : (value >> 4) * 10u + (value & 15u);
}

static uint8_t encode_hour(const struct mc146818 *r, unsigned hour)
{
    if (r->cmos[RTC_B] & B_24H)
        return field_encode(r, hour);
    return (uint8_t)(field_encode(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0));
}

static unsigned decode_hour(const struct mc146818 *r, uint8_t value)
{
    if (r->cmos[RTC_B] & B_24H)
        return field_decode(r, value);
    return field_decode(r, value & 0x7f) % 12 + (value & HOUR_PM ? 12 : 0);
}

static uint64_t guest_seconds_at(const struct mc146818 *r, uint64_t time)
{
    int64_t seconds = (int64_t)(r->base + time / NS_PER_SEC) + r->offset;

    return seconds < 0 ? 0 : (uint64_t)seconds;
}

/* Fills the date bytes with the time now. */
static void date_latch(struct mc146818 *r, uint64_t now)
{
    struct mc146818_date d;

    mc146818_date_from_seconds(guest_seconds_at(r, now), &d);
    r->cmos[RTC_SECOND] = field_encode(r, d.second);
    r->cmos[RTC_MINUTE] = field_encode(r, d.minute);
    r->cmos[RTC_HOUR] = encode_hour(r, d.hour);
    r->cmos[RTC_WEEKDAY] = field_encode(r, d.weekday);
    r->cmos[RTC_DAY] = field_encode(r, d.day);
    r->cmos[RTC_MONTH] = field_encode(r, d.month);
    r->cmos[RTC_YEAR] = field_encode(r, d.year % 100);
    r->cmos[RTC_CENTURY] = field_encode(r, d.year / 100);
}

/* The other way round: the date bytes become the time from now on. */
static void date_commit(struct mc146818 *r, uint64_t now)
{
    struct mc146818_date d = {
        .second = field_decode(r, r->cmos[RTC_SECOND]),
        .minute = field_decode(r, r->cmos[RTC_MINUTE]),
        .hour = decode_hour(r, r->cmos[RTC_HOUR]),
        .day = field_decode(r, r->cmos[RTC_DAY]),
        .month = field_decode(r, r->cmos[RTC_MONTH]),
        .year =
            field_decode(r, r->cmos[RTC_CENTURY]) * 100 + field_decode(r, r->cmos[RTC_YEAR]),
    };

    r->offset = (int64_t)mc146818_seconds_from_date(&d) - (int64_t)(r->base + now / NS_PER_SEC);
}

static bool is_date_byte(unsigned index)
{
    return index == RTC_SECOND || index == RTC_MINUTE || index == RTC_HOUR ||
           (index >= RTC_WEEKDAY && index <= RTC_YEAR) || index == RTC_CENTURY;
}

/* ---- interrupts ---- */

static void line_update(struct mc146818 *r)
{
    r->line = r->cmos[RTC_C] & r->cmos[RTC_B] & C_FLAGS;
}

/*
 * The period of the periodic interrupt, 0: none. Rates 1 and 2 are 8 and 9 with a 32 kHz
 * crystal.
 */
static uint64_t period(const struct mc146818 *r)
{
    unsigned rate = r->cmos[RTC_A] & 15u;

    if (rate == 0)
        return 0;
    if (rate < 3)
        rate += 7;
    return NS_PER_SEC * BIT(rate - 1) / 32768;
}

static bool alarm_matches(const struct mc146818 *r, uint64_t seconds)
{
    struct mc146818_date d;
    uint8_t second = r->cmos[RTC_SECOND_ALARM];
    uint8_t minute = r->cmos[RTC_MINUTE_ALARM];
    uint8_t hour = r->cmos[RTC_HOUR_ALARM];

    mc146818_date_from_seconds(seconds, &d);
    return ((second & ALARM_ANY) == ALARM_ANY || second == field_encode(r, d.second)) &&
           ((minute & ALARM_ANY) == ALARM_ANY || minute == field_encode(r, d.minute)) &&
           ((hour & ALARM_ANY) == ALARM_ANY || hour == encode_hour(r, d.hour));
}

/* Sets the flags of what happened since the last look. */
static void catch_up(struct mc146818 *r, uint64_t now)
{
    uint64_t step = period(r);
    uint64_t seconds = now / NS_PER_SEC - r->seen / NS_PER_SEC;

    if (step && now / step != r->seen / step)
        r->cmos[RTC_C] |= B_PIE;
    if (seconds && !(r->cmos[RTC_B] & B_SET)) {
        r->cmos[RTC_C] |= B_UIE;
        // Looked at every second while the alarm is on; a minute covers any delay that matters.
        for (uint64_t back = 0; back < MIN(seconds, 60u); back++) {
            if (alarm_matches(r, guest_seconds_at(r, now - back * NS_PER_SEC)))
                r->cmos[RTC_C] |= B_AIE;
        }
    }
    r->seen = now;
}

void mc146818_tick(struct mc146818 *r, uint64_t now)
{
    catch_up(r, now);
    line_update(r);
}

/*
 * While the line is high nothing more can be said by it: whoever reads C learns what came
 * meanwhile.
 * Alarms are looked at every second all the same.
 */
uint64_t mc146818_next(const struct mc146818 *r)
{
    uint8_t wanted = r->cmos[RTC_B] & (r->line ? B_AIE : C_FLAGS);
    uint64_t next = MC146818_NEVER;
    uint64_t step = period(r);

    if (wanted & (B_UIE | B_AIE))
        next = (r->seen / NS_PER_SEC + 1) * NS_PER_SEC;
    if ((wanted & B_PIE) && step)
        next = MIN(next, (r->seen / step + 1) * step);
    return next;
}

/* ---- ports ---- */

static uint8_t cmos_read(struct mc146818 *r, uint64_t now)
{
    uint8_t value;

    if (is_date_byte(r->index) && !(r->cmos[RTC_B] & B_SET))
        date_latch(r, now);
    value = r->cmos[r->index];
    if (r->index == RTC_A && !(r->cmos[RTC_B] & B_SET) &&
        now % NS_PER_SEC >= NS_PER_SEC - UIP_TIME)
        value |= A_UIP;
    if (r->index == RTC_C) {
        catch_up(r, now);
        value = r->cmos[RTC_C];
        if (value & r->cmos[RTC_B] & C_FLAGS)
            value |= C_IRQ;
        r->cmos[RTC_C] = 0;
        line_update(r);
    }
    return value;
}

static void b_write(struct mc146818 *r, uint64_t now, uint8_t value)
{
    uint8_t before = r->cmos[RTC_B];

    // Fresh bytes in the old format; a new format then reads them in its own way.
    if (!(before & B_SET))
        date_latch(r, now);
    catch_up(r, now);
    if (value & B_SET)
        value &= (uint8_t)~B_UIE;
    r->cmos[RTC_B] = value;
    if ((before & B_SET) && !(value & B_SET))
        date_commit(r, now);
    line_update(r);
}

static void cmos_write(struct mc146818 *r, uint64_t now, uint8_t value)
{
    switch (r->index) {
    case RTC_A:
        catch_up(r, now);
        r->cmos[RTC_A] = value & (uint8_t)~A_UIP;
        line_update(r);
        return;
    case RTC_B: b_write(r, now, value); return;
    case RTC_C:
    case RTC_D: return;  // read-only
    default: break;
    }
    if (is_date_byte(r->index) && !(r->cmos[RTC_B] & B_SET)) {
        date_latch(r, now);
        r->cmos[r->index] = value;
        date_commit(r, now);
        return;
    }
    r->cmos[r->index] = value;
}

uint32_t mc146818_read(struct mc146818 *r, uint64_t now, unsigned offset, unsigned size)
{
    // The index register is write-only on a PC; a 16-bit read at 70 has the data above it.
    if (offset == 1)
        return UINT32_MAX << 8 | cmos_read(r, now);
    if (size > 1)
        return UINT32_MAX << 16 | (uint32_t)cmos_read(r, now) << 8 | 0xff;
    return UINT32_MAX;
}

void mc146818_write(struct mc146818 *r, uint64_t now, unsigned offset, unsigned size,
                    uint32_t value)
{
    if (offset != 0) {
        cmos_write(r, now, (uint8_t)value);
        return;
    }
    r->index = value & (CMOS_SIZE - 1);  // bit 7 masks NMIs on a PC: ignored
    if (size > 1)
        cmos_write(r, now, (uint8_t)(value >> 8));
}

void mc146818_init(struct mc146818 *r, uint64_t base, uint64_t now, uint64_t memory_low_bytes,
                   unsigned vcpus)
{
    // Memory sizes as PC software has found them since the AT.
    uint64_t low_kb = memory_low_bytes / 1024;
    uint64_t extended = low_kb > 1024 ? MIN(low_kb - 1024, 0xffffu) : 0;
    uint64_t above_16m = low_kb > 16384 ? MIN((low_kb - 16384) / 64, 0xffffu) : 0;

    *r = (struct mc146818){.base = base, .seen = now};
    r->cmos[RTC_A] = 0x26;  // 32 kHz crystal, 1024 Hz
    r->cmos[RTC_B] = B_24H;
    r->cmos[RTC_D] = D_VALID;
    r->cmos[0x15] = 640 & 0xff;
    r->cmos[0x16] = 640 >> 8;
    r->cmos[0x17] = r->cmos[0x30] = (uint8_t)extended;
    r->cmos[0x18] = r->cmos[0x31] = (uint8_t)(extended >> 8);
    r->cmos[0x34] = (uint8_t)above_16m;
    r->cmos[0x35] = (uint8_t)(above_16m >> 8);
    r->cmos[0x5f] = (uint8_t)(vcpus ? vcpus - 1 : 0);
}

void mc146818_reset(struct mc146818 *r, uint64_t now)
{
    r->cmos[RTC_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE);
    r->cmos[RTC_C] = 0;
    r->seen = now;
    r->index = 0;
    r->line = false;
}
