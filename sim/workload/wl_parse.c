// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/workload/wl_parse.c -- text of the workload language into struct workload.
 *
 * A line that begins with a blank is a step of the world above it, any other line declares
 * something; so a file needs no brackets and a million imported steps stay readable. Fields are
 * words or key=value; blanks inside parentheses belong to the field. Each declaration has a table
 * of its keys, and whoever names an unknown one is told those that exist.
 *
 * Invariants
 *   - On failure everything is freed and the error has line, field and a remedy.
 *   - After success every count is within its limit and every loop has its begin (close_world()).
 *   - Names are resolved later, in program.c: a file may signal a world that comes after.
 * Locking    none: one thread.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/format.h"
#include "sim/workload/wl.h"

#define LINE_MAX_BYTES 65536u
#define FIELDS_MAX     64u

const char *const wl_step_words[WL_STEP_COUNT] = {
#define WL_STEP(name, word, shape, what) word,
#include "sim/workload/wl.def"
};
const enum wl_shape wl_step_shapes[WL_STEP_COUNT] = {
#define WL_STEP(name, word, shape, what) shape,
#include "sim/workload/wl.def"
};
const char *const wl_metric_words[WL_METRIC_COUNT] = {
#define WL_METRIC(name, word, what) word,
#include "sim/workload/wl.def"
};
const char *const wl_wait_words[4] = {"event", "io", "idle", "swap"};
const char *const wl_lock_words[4] = {"spin", "ticket", "adaptive", "block"};

struct field {
    const char *text;
    size_t length;
    size_t key;  // length of the key, 0: no '='
};

struct parser {
    struct workload *w;
    struct wl_error *error;
    uint32_t line;
    struct field field[FIELDS_MAX];
    uint32_t count;
    bool in_world, failed;
    uint32_t depth, capacity_steps;
};

static bool printf_like(3, 4) fail(struct parser *p, uint32_t field, const char *format, ...)
{
    va_list arguments;

    if (p->failed)
        return false;
    p->failed = true;
    p->error->line = p->line;
    p->error->field = field + 1;
    va_start(arguments, format);
    vsnprintf(p->error->text, sizeof(p->error->text), format, arguments);
    va_end(arguments);
    return false;
}

/* Room for one more in an array that doubles at powers of two. */
static void *grown(void *array, uint32_t count, size_t size)
{
    if (count & (count - 1))
        return array;

    void *bigger = realloc(array, (count ? 2 * (size_t)count : 1) * size);

    if (!bigger) {
        fputs("orrery: no memory for the workload\n", stderr);
        exit(3);
    }
    return bigger;
}

#define ADD(w, list, counter)                                                                  \
    ((w)->list = grown((w)->list, (w)->counter, sizeof(*(w)->list)),                           \
     memset(&(w)->list[(w)->counter], 0, sizeof(*(w)->list)), &(w)->list[(w)->counter++])

static const struct wl_resources resources_unset = {
    .shares = WL_UNSET, .min = {.value = WL_UNSET}, .max = {.value = WL_UNSET}};

void wl_init(struct workload *w)
{
    *w = (struct workload){
        .duration = 10000000000ull,
        .host = {.cpus = 1, .threads = 1, .mhz = 2000},
        .costs = {.context_switch = 1500,
                  .smt = 500,
                  .llc = 3000,
                  .package = 20000,
                  .numa = 50000,
                  .remote_percent = 0,
                  .smt_percent = 100},
    };
}

static char *copied(const char *text, size_t length)
{
    char *copy = malloc(length + 1);

    if (!copy) {
        fputs("orrery: no memory for the workload\n", stderr);
        exit(3);
    }
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

struct wl_world *wl_add_world(struct workload *w, const char *name)
{
    struct wl_world *world = ADD(w, worlds, world_count);

    strncpy(world->name, name, WL_NAME_SIZE - 1);
    world->count = 1;
    world->resources = resources_unset;
    world->step_first = w->step_count;
    w->worlds_expanded++;
    return world;
}

struct wl_pool *wl_add_pool(struct workload *w, const char *name)
{
    struct wl_pool *pool = ADD(w, pools, pool_count);

    snprintf(pool->name, sizeof(pool->name), "%s", name);
    pool->resources = resources_unset;
    pool->expandable = true;
    return pool;
}

struct wl_vm *wl_add_vm(struct workload *w, const char *name)
{
    struct wl_vm *vm = ADD(w, vms, vm_count);

    snprintf(vm->name, sizeof(vm->name), "%s", name);
    vm->resources = resources_unset;
    vm->cosched = true;
    return vm;
}

struct wl_step *wl_add_step(struct workload *w, enum wl_step_kind kind, uint64_t value)
{
    struct wl_step *step = ADD(w, steps, step_count);

    step->kind = (uint8_t)kind;
    if (wl_step_shapes[kind] == WL_SHAPE_DIST || wl_step_shapes[kind] == WL_SHAPE_KIND)
        step->dist.a = value;
    else
        step->value = value;
    step->wait = kind == WL_BLOCK ? WL_WAIT_IO : WL_WAIT_IDLE;
    w->worlds[w->world_count - 1].step_count++;
    return step;
}

void wl_add_recorded(struct workload *w, const char *name, uint64_t run, uint64_t ready,
                     uint64_t switches)
{
    struct wl_recorded *r = ADD(w, recorded, recorded_count);

    snprintf(r->name, sizeof(r->name), "%s", name);
    r->run = run;
    r->ready = ready;
    r->switches = (uint32_t)MIN(switches, UINT32_MAX);
}

void wl_step_name(struct wl_step *step, const char *name)
{
    free(step->text);
    step->text = copied(name, strlen(name));
}

/* --- fields --------------------------------------------------------------------------------- */

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("_.:/-+@", c));
}

void wl_name_make(char name[WL_NAME_SIZE], const char *text, size_t length)
{
    size_t n = MIN(length, WL_NAME_SIZE - 1u);

    for (size_t i = 0; i < n; i++)
        name[i] = name_char(text[i]) ? text[i] : '_';
    if (!n)
        name[n++] = '_';
    name[n] = 0;
}

bool wl_name_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *back = NULL;

    while (*name) {
        if (*pattern == '*') {
            star = ++pattern;
            back = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star;
            name = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

/* Letters, digits and _.:/-+@ ; with `template` also {i}, {i+1}, {i-1}. */
static bool name_field(struct parser *p, uint32_t i, const char *text, size_t length,
                       bool template, const char *what, char out[WL_NAME_SIZE])
{
    if (!length || length >= WL_NAME_SIZE)
        return fail(p, i, "%s: a name has 1 to %u characters", what, WL_NAME_SIZE - 1);
    for (size_t k = 0; k < length; k++) {
        if (!name_char(text[k]) && !(template && (text[k] == '{' || text[k] == '}')))
            return fail(p, i, "%s '%.*s': a name has letters, digits and _.:/-+@ only", what,
                        (int)length, text);
    }
    memcpy(out, text, length);
    out[length] = 0;
    return true;
}

static bool number_text(const char *text, size_t length, uint64_t max, uint64_t *value)
{
    uint64_t n = 0;

    if (!length)
        return false;
    for (size_t k = 0; k < length; k++) {
        if (text[k] < '0' || text[k] > '9' || n > max)
            return false;
        n = n * 10 + (uint64_t)(text[k] - '0');
    }
    *value = n;
    return n <= max;
}

/* "0,2-3" or "all" or a hexadecimal mask. */
static bool affinity_text(const char *text, size_t length, uint64_t *mask)
{
    uint64_t set = 0;
    size_t k = 0;

    if (length == 3 && !memcmp(text, "all", 3)) {
        *mask = 0;
        return true;
    }
    while (k < length) {
        unsigned first = 0, last, digits = 0;

        for (; k < length && text[k] >= '0' && text[k] <= '9' && first < 64; k++, digits++)
            first = first * 10 + (unsigned)(text[k] - '0');
        last = first;
        if (digits && k < length && text[k] == '-') {
            digits = 0;
            last = 0;
            for (k++; k < length && text[k] >= '0' && text[k] <= '9' && last < 64;
                 k++, digits++)
                last = last * 10 + (unsigned)(text[k] - '0');
        }
        if (!digits || last > 63 || first > last)
            return false;
        for (unsigned c = first; c <= last; c++)
            set |= BIT(c);
        if (k < length && text[k++] != ',')
            return false;
    }
    *mask = set;
    return set != 0;
}

static bool amount_text(const char *text, size_t length, struct wl_amount *out)
{
    uint64_t n;

    if (length == 2 && !memcmp(text, "-1", 2)) {  // esxcli's word for unlimited
        out->value = WL_UNSET;
        return true;
    }
    if (length > 3 && !memcmp(text + length - 3, "MHz", 3)) {
        out->unit = WL_UNIT_MHZ;
        if (!number_text(text, length - 3, 100000000, &n))
            return false;
    } else if (length > 1 && text[length - 1] == '%') {
        char copy[24] = "";
        uint64_t ns;

        /* Two decimals are read as those of a time in microseconds. */
        out->unit = WL_UNIT_PERCENT;
        if (length > 16)
            return false;
        memcpy(copy, text, length - 1);
        memcpy(copy + length - 1, "us", 2);
        if (!wl_time_parse(copy, length + 1, &ns) || ns % 10 || ns / 10 > 1000000000)
            return false;
        n = ns / 10;
    } else {
        out->unit = WL_UNIT_MHZ;
        if (!number_text(text, length, 100000000, &n))
            return false;
    }
    out->value = (uint32_t)n;
    return true;
}

/* What the key of a declaration is and where it goes. */
enum key_type {
    KEY_U32,
    KEY_TIME,
    KEY_NAME,
    KEY_AMOUNT,
    KEY_YES,
    KEY_AFFINITY,
    KEY_DIST,
    KEY_MHZ,
    KEY_PERCENT,
    KEY_LOCK,
};
struct key {
    const char *name;
    enum key_type type;
    void *to;
    uint64_t least, most;
};

static bool key_value(struct parser *p, uint32_t i, const struct key *k, const char *text,
                      size_t length)
{
    uint64_t n = 0;
    char message[160] = "";

    switch (k->type) {
    case KEY_MHZ:
    case KEY_PERCENT:
        if (k->type == KEY_MHZ && length > 3 && !memcmp(text + length - 3, "MHz", 3))
            length -= 3;
        else if (k->type == KEY_PERCENT && length > 1 && text[length - 1] == '%')
            length--;
        fall_through;
    case KEY_U32:
        if (!number_text(text, length, k->most, &n) || n < k->least)
            return fail(p, i, "%s=%.*s: a number from %llu to %llu", k->name,
                        (int)MIN(length, 40u), text, (unsigned long long)k->least,
                        (unsigned long long)k->most);
        *(uint32_t *)k->to = (uint32_t)n;
        return true;
    case KEY_TIME:
        if (!wl_time_parse(text, length, &n) || n < k->least || n > k->most) {
            char least[32];

            wl_time_print(k->least, least);
            return fail(p, i, "%s=%.*s: a time such as 2ms, at least %s", k->name,
                        (int)MIN(length, 40u), text, least);
        }
        *(uint64_t *)k->to = n;
        return true;
    case KEY_NAME: return name_field(p, i, text, length, false, k->name, k->to);
    case KEY_AMOUNT:
        if (!amount_text(text, length, k->to))
            return fail(p, i, "%s=%.*s: write 500MHz, or 25%% of a CPU", k->name,
                        (int)MIN(length, 40u), text);
        return true;
    case KEY_YES:
        if (length == 3 && !memcmp(text, "yes", 3))
            *(bool *)k->to = true;
        else if (length == 2 && !memcmp(text, "no", 2))
            *(bool *)k->to = false;
        else
            return fail(p, i, "%s=%.*s: yes or no", k->name, (int)MIN(length, 40u), text);
        return true;
    case KEY_AFFINITY:
        if (!affinity_text(text, length, k->to))
            return fail(p, i, "%s=%.*s: CPUs below 64 such as 0,2-3, or all", k->name,
                        (int)MIN(length, 40u), text);
        return true;
    case KEY_DIST:
        free(((struct wl_dist *)k->to)->choice);
        if (!wl_dist_parse(text, length, k->to, message, sizeof(message)))
            return fail(p, i, "%s: %s", k->name, message);
        return true;
    case KEY_LOCK:
        for (unsigned l = 0; l < ARRAY_COUNT(wl_lock_words); l++) {
            if (strlen(wl_lock_words[l]) == length && !memcmp(wl_lock_words[l], text, length)) {
                *(enum wl_lock_kind *)k->to = (enum wl_lock_kind)l;
                return true;
            }
        }
        return fail(p, i, "%s=%.*s: spin, ticket, adaptive or block", k->name,
                    (int)MIN(length, 40u), text);
    }
    return false;
}

/* All key=value fields from `first` on, by the table. */
static bool keys_read(struct parser *p, uint32_t first, const struct key *keys, size_t count)
{
    for (uint32_t i = first; i < p->count; i++) {
        const struct field *f = &p->field[i];
        size_t k = 0;

        if (!f->key)
            return fail(p, i, "'%.*s': expected key=value here", (int)MIN(f->length, 40u),
                        f->text);
        while (k < count &&
               (strlen(keys[k].name) != f->key || memcmp(keys[k].name, f->text, f->key) != 0))
            k++;
        if (k == count) {
            char known[160] = "";
            size_t used = 0;

            for (k = 0; k < count && used < sizeof(known) - 24; k++)
                used +=
                    (size_t)snprintf(known + used, sizeof(known) - used, " %s", keys[k].name);
            return fail(p, i, "unknown key '%.*s'; known here:%s", (int)MIN(f->key, 24u),
                        f->text, known);
        }
        if (!key_value(p, i, &keys[k], f->text + f->key + 1, f->length - f->key - 1))
            return false;
    }
    return true;
}

static bool field_is(const struct field *f, const char *word)
{
    return strlen(word) == f->length && !memcmp(word, f->text, f->length);
}

/* The name in field 1. */
static bool name_here(struct parser *p, const char *what, char out[WL_NAME_SIZE])
{
    if (p->count < 2 || p->field[1].key)
        return fail(p, 1, "%s needs a name after it", what);
    return name_field(p, 1, p->field[1].text, p->field[1].length, false, what, out);
}

/* --- declarations --------------------------------------------------------------------------- */

#define RESOURCE_KEYS(r)                                                                       \
    {"shares", KEY_U32, &(r)->shares, 1, 1000000}, {"min", KEY_AMOUNT, &(r)->min, 0, 0},       \
    {                                                                                          \
        "max", KEY_AMOUNT, &(r)->max, 0, 0                                                     \
    }
#define TIME_MOST (1ull << 55)

static bool resources_check(struct parser *p, const struct wl_resources *r)
{
    if (r->min.value != WL_UNSET && r->max.value != WL_UNSET && r->min.unit == r->max.unit &&
        r->min.value > r->max.value)
        return fail(p, 0, "min is more than max: lower min or raise max");
    return true;
}

static bool declare_workload(struct parser *p)
{
    return name_here(p, "workload", p->w->name) &&
           (p->count == 2 || fail(p, 2, "workload takes a name only"));
}

static bool declare_source(struct parser *p)
{
    const struct field *last = &p->field[p->count - 1];

    if (p->count < 2)
        return fail(p, 1, "source needs a text: where this came from");
    free(p->w->source);
    p->w->source =
        copied(p->field[1].text, (size_t)(last->text + last->length - p->field[1].text));
    return true;
}

static bool declare_replay(struct parser *p)
{
    if (p->count != 2 || (!field_is(&p->field[1], "open") && !field_is(&p->field[1], "closed")))
        return fail(p, 1, "loop is open (wakes at fixed times) or closed (wakes follow work)");
    p->w->open_loop = field_is(&p->field[1], "open");
    return true;
}

static bool declare_duration(struct parser *p)
{
    uint64_t ns;

    if (p->count != 2 || !wl_time_parse(p->field[1].text, p->field[1].length, &ns) || !ns)
        return fail(p, 1, "duration needs a time such as 10s");
    p->w->duration = ns;
    return true;
}

static bool declare_host(struct parser *p)
{
    struct wl_host *h = &p->w->host;
    const struct key keys[] = {
        {"cpus", KEY_U32, &h->cpus, 1, 64}, {"threads", KEY_U32, &h->threads, 1, 8},
        {"llc", KEY_U32, &h->llc, 0, 64},   {"package", KEY_U32, &h->package, 0, 64},
        {"numa", KEY_U32, &h->numa, 0, 64}, {"speed", KEY_MHZ, &h->mhz, 100, 100000},
    };

    return keys_read(p, 1, keys, ARRAY_COUNT(keys));
}

static bool declare_cost(struct parser *p)
{
    struct wl_costs *c = &p->w->costs;
    const struct key keys[] = {
        {"switch", KEY_TIME, &c->context_switch, 0, 1000000},
        {"smt", KEY_TIME, &c->smt, 0, 10000000},
        {"llc", KEY_TIME, &c->llc, 0, 10000000},
        {"package", KEY_TIME, &c->package, 0, 10000000},
        {"numa", KEY_TIME, &c->numa, 0, 10000000},
        {"remote", KEY_PERCENT, &c->remote_percent, 0, 1000},
        {"smt_speed", KEY_PERCENT, &c->smt_percent, 10, 100},
    };

    return keys_read(p, 1, keys, ARRAY_COUNT(keys));
}

/* Tunables of the scheduler, and for a variant also policy=NAME. */
static bool policy_keys(struct parser *p, uint32_t first, struct wl_policy *o)
{
    char message[160];

    o->line = p->line;
    for (uint32_t i = first; i < p->count; i++) {
        const struct field *f = &p->field[i];

        if (f->key == 6 && !memcmp(f->text, "policy", 6)) {
            if (!name_field(p, i, f->text + 7, f->length - 7, false, "policy", o->policy))
                return false;
            continue;
        }
        if (o->tunable_count == WL_TUNABLES_MAX)
            return fail(p, i, "more than %u tunables", WL_TUNABLES_MAX);
        if (!wl_tunable_parse(f->text, f->length, &o->tunables[o->tunable_count++], message,
                              sizeof(message)))
            return fail(p, i, "%s", message);
    }
    return true;
}

static bool declare_policy(struct parser *p)
{
    p->w->policy = (struct wl_policy){.tunable_count = 0};
    return name_here(p, "policy", p->w->policy.policy) && policy_keys(p, 2, &p->w->policy);
}

static bool declare_variant(struct parser *p)
{
    struct wl_policy *v = ADD(p->w, variants, variant_count);

    return name_here(p, "variant", v->name) && policy_keys(p, 2, v);
}

static bool declare_pool(struct parser *p)
{
    struct wl_pool *pool = wl_add_pool(p->w, "");
    const struct key keys[] = {{"parent", KEY_NAME, pool->parent, 0, 0},
                               {"expandable", KEY_YES, &pool->expandable, 0, 0},
                               RESOURCE_KEYS(&pool->resources)};

    pool->line = p->line;
    return name_here(p, "pool", pool->name) && keys_read(p, 2, keys, ARRAY_COUNT(keys)) &&
           resources_check(p, &pool->resources);
}

static bool declare_vm(struct parser *p)
{
    struct wl_vm *vm = wl_add_vm(p->w, "");
    const struct key keys[] = {{"pool", KEY_NAME, vm->pool, 0, 0},
                               {"cosched", KEY_YES, &vm->cosched, 0, 0},
                               RESOURCE_KEYS(&vm->resources)};

    vm->line = p->line;
    return name_here(p, "vm", vm->name) && keys_read(p, 2, keys, ARRAY_COUNT(keys)) &&
           resources_check(p, &vm->resources);
}

static bool declare_memory(struct parser *p)
{
    char name[WL_NAME_SIZE];
    const struct field *last = &p->field[p->count - 1];

    if (!name_here(p, "mem", name))
        return false;
    for (uint32_t i = 0; i < p->w->vm_count; i++) {
        struct wl_vm *vm = &p->w->vms[i];

        if (strcmp(vm->name, name) != 0)
            continue;
        for (uint32_t k = 2; k < p->count; k++) {
            if (!p->field[k].key)
                return fail(p, k, "expected key=value, such as size=1024M");
        }
        if (p->count < 3)
            return fail(p, 2, "mem needs keys, such as size=1024M");
        free(vm->memory);
        vm->memory =
            copied(p->field[2].text, (size_t)(last->text + last->length - p->field[2].text));
        return true;
    }
    return fail(p, 1, "no VM %s: put its vm line before its mem line", name);
}

static bool declare_object(struct parser *p, enum wl_object_kind kind)
{
    struct wl_object *o = ADD(p->w, objects, object_count);
    const struct key event[] = {{"count", KEY_U32, &o->count, 0, 1000000}};
    const struct key lock[] = {{"kind", KEY_LOCK, &o->lock, 0, 0},
                               {"spin", KEY_TIME, &o->spin, 0, TIME_MOST}};
    const struct key barrier[] = {{"n", KEY_U32, &o->parties, 1, WL_WORLDS_MAX},
                                  {"spin", KEY_TIME, &o->spin, 0, TIME_MOST}};

    o->kind = kind;
    o->line = p->line;
    o->spin = kind == WL_OBJECT_LOCK ? 20000 : 0;
    if (!name_here(p, "an event, lock or barrier", o->name))
        return false;
    if (kind == WL_OBJECT_EVENT)
        return keys_read(p, 2, event, ARRAY_COUNT(event));
    if (kind == WL_OBJECT_LOCK)
        return keys_read(p, 2, lock, ARRAY_COUNT(lock));
    return keys_read(p, 2, barrier, ARRAY_COUNT(barrier)) &&
           (o->parties || fail(p, 2, "a barrier needs n=, how many worlds meet there"));
}

static bool declare_recorded(struct parser *p)
{
    struct wl_recorded *r = ADD(p->w, recorded, recorded_count);
    const struct key keys[] = {{"run", KEY_TIME, &r->run, 0, TIME_MOST},
                               {"ready", KEY_TIME, &r->ready, 0, TIME_MOST},
                               {"switches", KEY_U32, &r->switches, 0, UINT32_MAX}};

    return name_here(p, "recorded", r->name) && keys_read(p, 2, keys, ARRAY_COUNT(keys));
}

/* selfreplay run=0.01% ready=0.2% */
static bool declare_selfreplay(struct parser *p)
{
    double *to[] = {&p->w->self_replay_run, &p->w->self_replay_ready};
    static const char *const names[] = {"run=", "ready="};

    p->w->self_replay = true;
    for (uint32_t i = 1; i < p->count; i++) {
        const struct field *f = &p->field[i];
        unsigned k = 0;
        char number[24] = "";
        uint64_t ns;

        while (k < 2 && (f->length < strlen(names[k]) ||
                         memcmp(f->text, names[k], strlen(names[k])) != 0))
            k++;
        if (k < 2 && f->length - strlen(names[k]) < sizeof(number) - 2)
            memcpy(number, f->text + strlen(names[k]), f->length - strlen(names[k]));
        if (k == 2 || !number[0] || number[strlen(number) - 1] != '%')
            return fail(p, i, "write: selfreplay run=0.01%% ready=0.2%%");
        strcpy(number + strlen(number) - 1, "ms");
        if (!wl_time_parse(number, strlen(number), &ns))
            return fail(p, i, "a percentage has at most six decimals");
        *to[k] = (double)ns / 1e8;
    }
    return true;
}

static bool declare_at(struct parser *p)
{
    struct wl_change *c = ADD(p->w, changes, change_count);
    const struct key keys[] = {{"affinity", KEY_AFFINITY, &c->affinity, 0, 0},
                               {"pool", KEY_NAME, c->pool, 0, 0},
                               RESOURCE_KEYS(&c->resources)};

    c->resources = resources_unset;
    c->line = p->line;
    if (p->count < 5 || !field_is(&p->field[2], "set"))
        return fail(p, 2, "write: at TIME set NAME key=value");
    if (!wl_time_parse(p->field[1].text, p->field[1].length, &c->time))
        return fail(p, 1, "at needs a time such as 5s");
    return name_field(p, 3, p->field[3].text, p->field[3].length, false, "set", c->name) &&
           keys_read(p, 4, keys, ARRAY_COUNT(keys)) && resources_check(p, &c->resources);
}

static bool declare_expect(struct parser *p)
{
    const struct field *last = &p->field[p->count - 1];
    struct wl_expect *e = ADD(p->w, expects, expect_count);
    char message[160];

    e->line = p->line;
    if (p->count < 2)
        return fail(p, 1, "expect needs a claim, such as: run(a) >= 2 * run(b) within 1%%");
    if (!wl_expect_parse(p->field[1].text,
                         (size_t)(last->text + last->length - p->field[1].text), e, message,
                         sizeof(message)))
        return fail(p, 1, "%s", message);
    return true;
}

/* NAME or NAME[first..last] */
static bool world_name(struct parser *p, struct wl_world *world)
{
    const struct field *f = &p->field[1];
    const char *open = p->count > 1 ? memchr(f->text, '[', f->length) : NULL;

    if (!open)
        return name_here(p, "world", world->name);

    size_t base = (size_t)(open - f->text);
    const char *inside = open + 1;
    size_t length = f->length - base - 1;
    const char *dots = length ? memchr(inside, '.', length) : NULL;
    uint64_t first, last;

    if (f->text[f->length - 1] != ']' || !dots || dots + 2 > f->text + f->length ||
        dots[1] != '.' || !number_text(inside, (size_t)(dots - inside), 10000000, &first) ||
        !number_text(dots + 2, (size_t)(f->text + f->length - 1 - dots - 2), 10000000, &last) ||
        last < first || last - first >= WL_WORLDS_MAX || base + 8 >= WL_NAME_SIZE)
        return fail(p, 1, "a group of worlds is written NAME[0..15], at most %u",
                    WL_WORLDS_MAX);
    world->indexed = true;
    world->first = (uint32_t)first;
    world->count = (uint32_t)(last - first + 1);
    return name_field(p, 1, f->text, base, false, "world", world->name);
}

static bool declare_world(struct parser *p)
{
    struct wl_world *world = wl_add_world(p->w, "");
    const struct key keys[] = {{"vm", KEY_NAME, world->vm, 0, 0},
                               {"pool", KEY_NAME, world->pool, 0, 0},
                               {"affinity", KEY_AFFINITY, &world->affinity, 0, 0},
                               {"start", KEY_DIST, &world->start, 0, 0},
                               RESOURCE_KEYS(&world->resources)};

    world->line = p->line;
    if (!world_name(p, world) || !keys_read(p, 2, keys, ARRAY_COUNT(keys)) ||
        !resources_check(p, &world->resources))
        return false;
    p->w->worlds_expanded += world->count - 1;
    if (p->w->worlds_expanded > WL_WORLDS_MAX)
        return fail(p, 1, "more than %u worlds in all", WL_WORLDS_MAX);
    p->in_world = true;
    p->depth = 0;
    return true;
}

static bool close_world(struct parser *p)
{
    if (p->in_world && p->depth)
        return fail(p, 0, "a begin of the world above has no loop");
    p->in_world = false;
    return true;
}

/* --- steps ---------------------------------------------------------------------------------- */

static bool step_time(struct parser *p, uint32_t at, uint32_t end, struct wl_step *s)
{
    const struct key keys[] = {{"phase", KEY_TIME, &s->phase, 0, TIME_MOST}};

    if (at + 1 >= end ||
        !wl_time_parse(p->field[at + 1].text, p->field[at + 1].length, &s->value))
        return fail(p, at + 1, "%s needs a time such as 10ms", wl_step_words[s->kind]);
    if (s->kind != WL_UNTIL && !s->value)
        return fail(p, at + 1, "%s needs a time above 0", wl_step_words[s->kind]);
    if (at + 2 < end) {
        if (s->kind != WL_EVERY)
            return fail(p, at + 2, "%s takes one time only", wl_step_words[s->kind]);

        uint32_t all = p->count;
        bool good;

        p->count = end;
        good = keys_read(p, at + 2, keys, ARRAY_COUNT(keys));
        p->count = all;
        return good;
    }
    return true;
}

static bool step_dist(struct parser *p, uint32_t at, uint32_t end, struct wl_step *s)
{
    char message[160];
    uint32_t i = at + 1;
    const char *text;
    size_t length;

    if (wl_step_shapes[s->kind] == WL_SHAPE_KIND && i < end) {
        s->wait = WL_WAIT_IO;
        for (uint8_t k = 0; k < ARRAY_COUNT(wl_wait_words); k++) {
            if (field_is(&p->field[i], wl_wait_words[k])) {
                s->wait = k;
                i++;
                break;
            }
        }
    }
    if (i + 1 != end)
        return fail(p, MIN(i, end), "%s takes one time or distribution",
                    wl_step_words[s->kind]);
    text = p->field[i].text;
    length = p->field[i].length;
    if (length > 4 && !memcmp(text, "lat=", 4)) {  // block io lat=1.2ms
        text += 4;
        length -= 4;
    }
    return wl_dist_parse(text, length, &s->dist, message, sizeof(message)) ||
           fail(p, i, "%s", message);
}

static bool step_read(struct parser *p, uint32_t at, uint32_t end)
{
    const struct field *word = &p->field[at];
    unsigned kind = 0;
    char name[WL_NAME_SIZE];
    struct wl_step *s;

    while (kind < WL_STEP_COUNT && !field_is(word, wl_step_words[kind]))
        kind++;
    if (kind == WL_STEP_COUNT)
        return fail(p, at, "unknown step '%.*s'; a line that declares begins in column 1",
                    (int)MIN(word->length, 40u), word->text);
    if (p->w->step_count >= WL_STEPS_MAX)
        return fail(p, at, "more than %u steps in all", WL_STEPS_MAX);
    s = wl_add_step(p->w, (enum wl_step_kind)kind, 0);
    s->line = p->line;
    switch (wl_step_shapes[kind]) {
    case WL_SHAPE_NONE:
        if (kind == WL_BEGIN && ++p->depth > WL_NEST_MAX)
            return fail(p, at, "loops nest at most %u deep", WL_NEST_MAX);
        return at + 1 == end || fail(p, at + 1, "%s takes nothing", wl_step_words[kind]);
    case WL_SHAPE_DIST:
    case WL_SHAPE_KIND: return step_dist(p, at, end, s);
    case WL_SHAPE_TIME: return step_time(p, at, end, s);
    case WL_SHAPE_NAME:
        if (at + 2 != end)
            return fail(p, at + 1, "%s takes one name", wl_step_words[kind]);
        if (!name_field(p, at + 1, p->field[at + 1].text, p->field[at + 1].length, true,
                        wl_step_words[kind], name))
            return false;
        s->text = copied(name, strlen(name));
        return true;
    case WL_SHAPE_COUNT:
        if (at + 2 < end ||
            (at + 2 == end && (!number_text(p->field[at + 1].text, p->field[at + 1].length,
                                            1000000000, &s->value) ||
                               !s->value)))
            return fail(p, at + 1, "loop takes a count from 1 to 1000000000, or nothing");
        if (p->depth)
            p->depth--;
        return true;
    case WL_SHAPE_TEXT:
        for (uint32_t i = at + 1; i < end; i++) {
            if (!p->field[i].key)
                return fail(p, i, "%s takes key=value fields", wl_step_words[kind]);
        }
        if (at + 1 == end)
            return fail(p, at + 1, "%s takes key=value fields", wl_step_words[kind]);
        s->text = copied(p->field[at + 1].text,
                         (size_t)(p->field[end - 1].text + p->field[end - 1].length -
                                  p->field[at + 1].text));
        return true;
    }
    return false;
}

static bool steps_read(struct parser *p)
{
    uint32_t at = 0;

    if (!p->in_world)
        return fail(p, 0, "a step without a world: a line that declares begins in column 1");
    for (uint32_t i = 0; i <= p->count; i++) {
        if (i < p->count && !field_is(&p->field[i], ";"))
            continue;
        if (i > at && !step_read(p, at, i))
            return false;
        at = i + 1;
    }
    return true;
}

/* --- lines ---------------------------------------------------------------------------------- */

static bool declare(struct parser *p)
{
    static const struct {
        const char *word;
        bool (*read)(struct parser *p);
    } words[] = {
        {"workload", declare_workload},
        {"source", declare_source},
        {"loop", declare_replay},
        {"duration", declare_duration},
        {"host", declare_host},
        {"cost", declare_cost},
        {"policy", declare_policy},
        {"variant", declare_variant},
        {"pool", declare_pool},
        {"vm", declare_vm},
        {"mem", declare_memory},
        {"world", declare_world},
        {"recorded", declare_recorded},
        {"selfreplay", declare_selfreplay},
        {"at", declare_at},
        {"expect", declare_expect},
    };
    const struct field *f = &p->field[0];

    if (!close_world(p))
        return false;
    if (field_is(f, "event"))
        return declare_object(p, WL_OBJECT_EVENT);
    if (field_is(f, "lock"))
        return declare_object(p, WL_OBJECT_LOCK);
    if (field_is(f, "barrier"))
        return declare_object(p, WL_OBJECT_BARRIER);
    for (unsigned i = 0; i < ARRAY_COUNT(words); i++) {
        if (field_is(f, words[i].word))
            return words[i].read(p);
    }
    for (unsigned i = 0; i < WL_STEP_COUNT; i++) {
        if (field_is(f, wl_step_words[i]))
            return fail(p, 0, "%s is a step of a world: begin the line with a blank",
                        wl_step_words[i]);
    }
    return fail(p, 0, "unknown word '%.*s'; see docs/workloads.md", (int)MIN(f->length, 40u),
                f->text);
}

/* Cuts the line into fields; blanks and ';' inside parentheses belong to the field. */
static bool split(struct parser *p, const char *text, size_t length)
{
    size_t i = 0;

    p->count = 0;
    for (;;) {
        while (i < length && (text[i] == ' ' || text[i] == '\t'))
            i++;
        if (i == length || text[i] == '#')
            return true;
        if (p->count == FIELDS_MAX)
            return fail(p, FIELDS_MAX, "more than %u fields: use more lines", FIELDS_MAX);

        struct field *f = &p->field[p->count++];
        int depth = 0;

        *f = (struct field){.text = text + i};
        if (text[i] == ';') {
            f->length = 1;
            i++;
            continue;
        }
        for (; i < length; i++) {
            char c = text[i];

            if (!depth && (c == ' ' || c == '\t' || c == ';' || c == '#'))
                break;
            depth += c == '(';
            depth -= c == ')';
            if (c == '=' && !f->key && !depth)
                f->key = (size_t)(text + i - f->text);
            if (depth < 0)
                return fail(p, p->count - 1, "')' without '('");
        }
        if (depth)
            return fail(p, p->count - 1, "'(' without ')'");
        f->length = (size_t)(text + i - f->text);
    }
}

static bool line_read(struct parser *p, const char *text, size_t length)
{
    if (length && text[length - 1] == '\r')
        length--;
    if (length > LINE_MAX_BYTES)
        return fail(p, 0, "the line has more than %u bytes", LINE_MAX_BYTES);
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < 32 && text[i] != '\t')
            return fail(p, 0, "byte %zu is a control character (0x%02x): not a text file?",
                        i + 1, (unsigned char)text[i]);
    }
    if (!split(p, text, length))
        return false;
    if (!p->count)
        return true;
    return text[0] == ' ' || text[0] == '\t' ? steps_read(p) : declare(p);
}

bool wl_parse(const char *text, size_t size, struct workload *w, struct wl_error *error)
{
    struct parser p = {.w = w, .error = error};

    wl_init(w);
    *error = (struct wl_error){.line = 0};
    while (size && !p.failed) {
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t)(end - text) : size;

        p.line++;
        (void)line_read(&p, text, length);
        text += length + (end != NULL);
        size -= length + (end != NULL);
    }
    if (!p.failed)
        (void)close_world(&p);
    if (!p.failed && !w->world_count) {
        p.line++;
        (void)fail(&p, 0, "no world in the file: add at least `world NAME` and its steps");
    }
    if (p.failed)
        wl_free(w);
    return !p.failed;
}

bool wl_parse_file(const char *path, struct workload *w, struct wl_error *error)
{
    FILE *file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    size_t size = 0, room = 1u << 16;
    char *text = malloc(room);
    bool good;

    *error = (struct wl_error){.line = 0};
    if (!file || !text) {
        snprintf(error->text, sizeof(error->text), "cannot be opened; check the name");
        if (file && file != stdin)
            fclose(file);
        free(text);
        return false;
    }
    for (;;) {
        size_t got = fread(text + size, 1, room - size, file);

        size += got;
        if (!got)
            break;
        if (size == room) {
            char *bigger = realloc(text, room *= 2);

            if (!bigger) {
                fputs("orrery: no memory for the workload\n", stderr);
                exit(3);
            }
            text = bigger;
        }
    }
    good = !ferror(file);
    if (file != stdin)
        fclose(file);
    if (!good)
        snprintf(error->text, sizeof(error->text), "cannot be read; is it a file?");
    else
        good = wl_parse(text, size, w, error);
    free(text);
    return good;
}

void wl_free(struct workload *w)
{
    for (uint32_t i = 0; i < w->step_count; i++) {
        free(w->steps[i].text);
        free(w->steps[i].dist.choice);
    }
    for (uint32_t i = 0; i < w->vm_count; i++)
        free(w->vms[i].memory);
    for (uint32_t i = 0; i < w->world_count; i++)
        free(w->worlds[i].start.choice);
    for (uint32_t i = 0; i < w->expect_count; i++)
        wl_expect_free(&w->expects[i]);
    free(w->source);
    free(w->variants);
    free(w->pools);
    free(w->vms);
    free(w->worlds);
    free(w->steps);
    free(w->objects);
    free(w->changes);
    free(w->expects);
    free(w->recorded);
    *w = (struct workload){.name = ""};
}
