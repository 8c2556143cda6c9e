// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/wl_dist.c -- times and random lengths of the workload language.
 *
 * Samples are integers made by integer arithmetic alone: a demand must be the same number under
 * every compiler and optimisation level, or no trace hash could be compared. The logarithm is
 * the series of atanh, good to 1e-7, and the normal distribution is the sum of twelve uniform
 * draws.
 *
 * Invariants
 *   - A sample depends on the distribution, the stream's state and `turn`, on nothing else.
 *   - Every kind takes a fixed number of draws, so the streams stay in step when a mean changes
 *     (the rejection in rng_below() is as rare as 2^-40 here).
 * Locking    none: values.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/format.h"
#include "sim/workload/wl.h"

#define ONE_Q32  (1ull << 32)
#define LN2_Q32  2977044472ull
#define CUT_MUCH 1000u  // a Pareto sample is at most this many times its smallest

/* 1/3, 1/5 ... 1/13 in Q32. */
static const uint64_t odd_parts[] = {ONE_Q32 / 3,  ONE_Q32 / 5,  ONE_Q32 / 7,  ONE_Q32 / 9,
                                     ONE_Q32 / 11, ONE_Q32 / 13, ONE_Q32 / 15, ONE_Q32 / 17};

/* -ln((x + 1) / 2^64) in Q32, 0 .. 44.4 */
static uint64_t minus_ln(uint64_t x)
{
    unsigned zeros;

    if (x == UINT64_MAX)
        return 0;
    x++;
    zeros = (unsigned)__builtin_clzll(x);

    /* x = 2^(63 - zeros) m, 1 <= m < 2; s = (m - 1) / (m + 1), ln m = 2 (s + s^3/3 + ...). */
    uint64_t m = x << zeros >> 32;                                            // Q31
    uint64_t s = ((m - (ONE_Q32 >> 1)) << 31) / ((m + (ONE_Q32 >> 1)) >> 1);  // Q32
    uint64_t square = s * s >> 32;
    uint64_t term = s, sum = s;

    for (unsigned i = 0; i < ARRAY_COUNT(odd_parts); i++) {
        term = term * square >> 32;
        sum += term * odd_parts[i] >> 32;
    }
    return (zeros + 1) * LN2_Q32 - MIN(2 * sum, LN2_Q32);
}

/* 2^x for x in Q32 below 40, result Q24 */
static uint64_t power_of_two(uint64_t x)
{
    uint64_t f = (x & (ONE_Q32 - 1)) * LN2_Q32 >> 32;  // ln of the fraction's power
    uint64_t term = ONE_Q32, sum = ONE_Q32;

    for (uint64_t i = 1; i <= 12; i++) {
        term = (term * f >> 32) / i;
        sum += term;
    }
    return sum >> 8 << (x >> 32);
}

static uint64_t scaled_q32(uint64_t value, uint64_t factor)
{
    unsigned __int128 product = (unsigned __int128)value * factor >> 32;

    return product > UINT64_MAX / 4 ? UINT64_MAX / 4 : (uint64_t)product;
}

static uint64_t normal(uint64_t mean, uint64_t deviation, struct rng *rng)
{
    uint64_t sum = 0;

    for (int i = 0; i < 3; i++) {
        uint64_t draw = rng_next(rng);

        for (int j = 0; j < 4; j++, draw >>= 16)
            sum += draw & 0xffff;
    }
    /* Twelve 16-bit draws: mean 6, variance 1, in Q16. */
    if (sum >= 6 * 0xffffull)
        return mean + scaled_q32(deviation, (sum - 6 * 0xffffull) << 16);

    uint64_t below = scaled_q32(deviation, (6 * 0xffffull - sum) << 16);

    return below > mean ? 0 : mean - below;
}

static uint64_t pareto(uint64_t smallest, uint64_t shape, struct rng *rng)
{
    /* smallest * u^(-1/shape) = smallest * 2^(-log2 u / shape) */
    uint64_t log2_q32 = scaled_q32(minus_ln(rng_next(rng)), 6196328019ull);
    uint64_t exponent = (uint64_t)((unsigned __int128)log2_q32 * 1000 / shape);

    if (exponent >= 10 * ONE_Q32)
        return smallest * CUT_MUCH;
    return MIN(scaled_q32(smallest, power_of_two(exponent) << 8), smallest * CUT_MUCH);
}

uint64_t wl_dist_sample(const struct wl_dist *d, struct rng *rng, uint64_t turn)
{
    switch (d->kind) {
    case WL_DIST_CONST: return d->a;
    case WL_DIST_UNIFORM: return d->a + rng_below(rng, d->b - d->a + 1);
    case WL_DIST_EXP: return scaled_q32(d->a, minus_ln(rng_next(rng)));
    case WL_DIST_NORMAL: return normal(d->a, d->b, rng);
    case WL_DIST_PARETO: return pareto(d->a, d->b, rng);
    case WL_DIST_CYCLE: return d->choice[turn % d->choice_count].value;
    case WL_DIST_CHOICE: break;
    }

    uint64_t at = rng_below(rng, d->weight_sum);
    uint32_t i = 0;

    while (at >= d->choice[i].weight)
        at -= d->choice[i++].weight;
    return d->choice[i].value;
}

uint64_t wl_dist_mean(const struct wl_dist *d)
{
    unsigned __int128 sum = 0;

    switch (d->kind) {
    case WL_DIST_UNIFORM: return d->a + (d->b - d->a) / 2;
    case WL_DIST_PARETO: return d->b > 1000 ? d->a / (d->b - 1000) * d->b : d->a * CUT_MUCH;
    case WL_DIST_CHOICE:
    case WL_DIST_CYCLE:
        for (uint32_t i = 0; i < d->choice_count; i++)
            sum += (unsigned __int128)d->choice[i].value * d->choice[i].weight;
        return (uint64_t)(sum / d->weight_sum);
    default: return d->a;
    }
}

/*
 * --- text -----------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    uint64_t ns;
} units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}};

#define TIME_MAX (1ull << 55)

bool wl_time_parse(const char *text, size_t length, uint64_t *ns)
{
    uint64_t whole = 0, fraction = 0, divisor = 1;
    size_t i = 0, digits = 0;

    for (; i < length && text[i] >= '0' && text[i] <= '9'; i++, digits++) {
        whole = whole * 10 + (uint64_t)(text[i] - '0');
        if (whole > TIME_MAX)
            return false;
    }
    if (i < length && text[i] == '.') {
        for (i++; i < length && text[i] >= '0' && text[i] <= '9'; i++, digits++) {
            if (divisor >= 1000000000)
                return false;
            divisor *= 10;
            fraction = fraction * 10 + (uint64_t)(text[i] - '0');
        }
    }
    if (!digits)
        return false;
    for (unsigned u = 0; u < ARRAY_COUNT(units); u++) {
        if (strlen(units[u].name) == length - i &&
            !memcmp(units[u].name, text + i, length - i)) {
            if (whole > TIME_MAX / units[u].ns || fraction * units[u].ns % divisor)
                return false;
            *ns = whole * units[u].ns + fraction * units[u].ns / divisor;
            return true;
        }
    }
    if (i == length && !whole && !fraction) {  // 0 needs no unit
        *ns = 0;
        return true;
    }
    return false;
}

void wl_time_print(uint64_t ns, char out[32])
{
    unsigned u = ARRAY_COUNT(units) - 1;
    int length;

    while (u && ns < units[u].ns)
        u--;
    if (!ns) {
        strcpy(out, "0ns");
        return;
    }
    length = snprintf(out, 31, "%llu", (unsigned long long)(ns / units[u].ns));
    if (ns % units[u].ns) {
        uint64_t rest = ns % units[u].ns, unit = units[u].ns;

        out[length++] = '.';
        for (unit /= 10; rest && unit; unit /= 10) {
            out[length++] = (char)('0' + rest / unit);  // cppcheck-suppress zerodivcond
            rest %= unit;
        }
    }
    strcpy(out + length, units[u].name);
}

static const char *const dist_words[] = {"",       "uniform", "exp",  "normal",
                                         "pareto", "choice",  "cycle"};

void wl_dist_print(const struct wl_dist *d, FILE *out)
{
    char a[32], b[32];

    wl_time_print(d->a, a);
    wl_time_print(d->b, b);
    switch (d->kind) {
    case WL_DIST_CONST: fputs(a, out); break;
    case WL_DIST_EXP: fprintf(out, "exp(%s)", a); break;
    case WL_DIST_UNIFORM:
    case WL_DIST_NORMAL: fprintf(out, "%s(%s,%s)", dist_words[d->kind], a, b); break;
    case WL_DIST_PARETO:
        fprintf(out, "pareto(%s,%llu.%03llu)", a, (unsigned long long)(d->b / 1000),
                (unsigned long long)(d->b % 1000));
        break;
    case WL_DIST_CHOICE:
    case WL_DIST_CYCLE:
        for (uint32_t i = 0; i < d->choice_count; i++) {
            wl_time_print(d->choice[i].value, a);
            fprintf(out, "%s%s%s", i ? "" : dist_words[d->kind], i ? "," : "(", a);
            if (d->choice[i].weight != 1)
                fprintf(out, ":%llu", (unsigned long long)d->choice[i].weight);
        }
        fputc(')', out);
        break;
    }
}

/* A plain number with up to three decimals, in thousandths. */
static bool parse_milli(const char *text, size_t length, uint64_t *value)
{
    char copy[40];
    uint64_t ns;

    if (!length || length > 20)
        return false;
    memcpy(copy, text, length);
    memcpy(copy + length, "us", 3);
    if (!wl_time_parse(copy, length + 2, &ns))
        return false;
    *value = ns;
    return true;
}

static bool parse_list(struct wl_dist *d, const char *text, size_t length, char *message,
                       size_t size)
{
    uint32_t count = 1, i = 0;

    for (size_t k = 0; k < length; k++)
        count += text[k] == ',';
    d->choice = calloc(count, sizeof(*d->choice));
    d->choice_count = count;
    if (!d->choice) {
        snprintf(message, size, "no memory for %u values", count);
        return false;
    }
    while (i < count) {
        const char *comma = memchr(text, ',', length);
        size_t part = comma ? (size_t)(comma - text) : length;
        const char *colon = memchr(text, ':', part);
        size_t time = colon ? (size_t)(colon - text) : part;
        struct wl_choice *c = &d->choice[i++];

        c->weight = 1;
        if (colon) {
            char number[16] = "";
            const char *end;
            size_t digits = part - time - 1;

            if (digits < sizeof(number))
                memcpy(number, colon + 1, digits);
            if (!digits || !parse_u64(number, &end, &c->weight) || *end || !c->weight ||
                c->weight > 1000000000) {
                snprintf(message, size, "weight after ':' must be 1..1000000000");
                return false;
            }
        }
        if (!wl_time_parse(text, time, &c->value)) {
            snprintf(message, size, "'%.*s' is no time such as 850us", (int)MIN(time, 60u),
                     text);
            return false;
        }
        d->weight_sum += c->weight;
        text += part + (comma != NULL);
        length -= part + (comma != NULL);
    }
    return true;
}

static bool dist_parse(const char *text, size_t length, struct wl_dist *d, char *message,
                       size_t size)
{
    const char *open = memchr(text, '(', length);
    size_t word = open ? (size_t)(open - text) : 0;
    enum wl_dist_kind kind = WL_DIST_UNIFORM;

    if (!open) {
        if (wl_time_parse(text, length, &d->a))
            return true;
        snprintf(message, size,
                 "'%.*s' is no time: write a number and ns, us, ms or s, such as 850us",
                 (int)MIN(length, 60u), text);
        return false;
    }
    while (kind < ARRAY_COUNT(dist_words) &&
           (strlen(dist_words[kind]) != word || memcmp(dist_words[kind], text, word) != 0))
        kind++;
    if (kind == ARRAY_COUNT(dist_words) || text[length - 1] != ')') {
        snprintf(message, size,
                 "'%.*s': use uniform(a,b) exp(mean) normal(mean,dev) pareto(least,shape) "
                 "choice(t:weight,...) cycle(t,...)",
                 (int)MIN(length, 60u), text);
        return false;
    }
    d->kind = kind;
    text += word + 1;
    length -= word + 2;
    if (kind == WL_DIST_CHOICE || kind == WL_DIST_CYCLE)
        return parse_list(d, text, length, message, size);

    const char *comma = memchr(text, ',', length);
    size_t first = comma ? (size_t)(comma - text) : length;
    bool good = wl_time_parse(text, first, &d->a) && (kind == WL_DIST_EXP) == !comma;

    if (good && comma && kind == WL_DIST_PARETO)
        good = parse_milli(comma + 1, length - first - 1, &d->b) && d->b >= 100;
    else if (good && comma)
        good = wl_time_parse(comma + 1, length - first - 1, &d->b);
    if (good && kind == WL_DIST_UNIFORM)
        good = d->a <= d->b;
    if (!good)
        snprintf(message, size, "%s(...) has a bad or a missing number", dist_words[kind]);
    return good;
}

bool wl_dist_parse(const char *text, size_t length, struct wl_dist *d, char *message,
                   size_t size)
{
    char clean[4096];
    size_t n = 0;

    *d = (struct wl_dist){.kind = WL_DIST_CONST};
    if (length >= sizeof(clean)) {
        snprintf(message, size, "longer than %zu characters", sizeof(clean) - 1);
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] != ' ' && text[i] != '\t')
            clean[n++] = text[i];
    }
    if (!n) {
        snprintf(message, size, "a time is missing");
        return false;
    }
    if (dist_parse(clean, n, d, message, size))
        return true;
    free(d->choice);
    d->choice = NULL;
    return false;
}

/*
 * --- tunables -------------------------------------------------------------------------------
 */

const char *const wl_tunable_names[] = {
#define SCHED_TUNABLE(id, name, normal, least, most, what) name,
#include "sched/tunables.def"
    NULL,
};

static const struct {
    uint64_t least, most;
} tunable_range[] = {
#define SCHED_TUNABLE(id, name, normal, least, most, what) {least, most},
#include "sched/tunables.def"
};

bool wl_tunable_parse(const char *text, size_t length, struct wl_tunable *t, char *message,
                      size_t size)
{
    static const char *const modes[] = {"off", "relaxed", "strict"};
    const char *equal = memchr(text, '=', length);
    size_t key = equal ? (size_t)(equal - text) : length;
    size_t room = equal ? length - key - 1 : 0;
    uint16_t i = 0;
    char number[24] = "";
    const char *end;

    while (wl_tunable_names[i] &&
           (strlen(wl_tunable_names[i]) != key || memcmp(wl_tunable_names[i], text, key) != 0))
        i++;
    *t = (struct wl_tunable){.tunable = i};
    if (!equal || !wl_tunable_names[i]) {
        snprintf(message, size, "'%.*s' is no tunable=value; sched/tunables.def lists them",
                 (int)MIN(length, 40u), text);
        return false;
    }
    if (room < sizeof(number))
        memcpy(number, equal + 1, room);
    for (unsigned mode = 0; mode < ARRAY_COUNT(modes); mode++) {
        if (!strcmp(number, modes[mode]) && !strcmp(wl_tunable_names[i], "cosched")) {
            t->value = mode;
            return true;
        }
    }
    if (!parse_u64(number, &end, &t->value) || *end) {
        t->time = wl_time_parse(number, strlen(number), &t->value);
        if (!t->time) {
            snprintf(message, size, "%s=%s: a number or a time such as 3ms",
                     wl_tunable_names[i], number);
            return false;
        }
    }
    if (t->value < tunable_range[i].least || t->value > tunable_range[i].most) {
        snprintf(message, size, "%s=%s: from %llu to %llu", wl_tunable_names[i], number,
                 (unsigned long long)tunable_range[i].least,
                 (unsigned long long)tunable_range[i].most);
        return false;
    }
    return true;
}
