// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/trace.c -- the recorder's rings: writing a record, changing packets, the hash.
 *
 * A record is a copy of three or four words behind the last one, with interrupts off.
 * Everything that costs is at the change of a packet, one in some 2,700 records. Two designs
 * were turned down: reserving by an atomic add, which lets an interrupt write in the middle of
 * a record, costs more than CLI and makes times in a stream step back; one ring for all CPUs is
 * a cache line that all fight for.
 *
 * Invariants
 *   - Times in a stream never fall, whatever two CPUs' clocks say (write_in()).
 *   - A record lies whole in one packet; content_size is stored last.
 *   - What is not written is counted: discarded (no room, or an NMI in the middle of a record)
 *     or overwritten (flight recorder). The count in packet headers is cumulative.
 *   - Nothing here draws a random number, takes time, or switches worlds: a simulation runs the
 *     same whether it is recorded or not.
 * Locking    none on a CPU's own stream. `sys` has a lock of its own, outside the ranks: it is
 *            a leaf that is taken with anything held, by code that takes nothing more.
 * Start at   write_in().
 * Sources    [CTF18] for the packet
 */
#include "core/assert.h"
#include "core/heap.h"
#include "core/log.h"
#include "core/trace_internal.h"
#include "lib/string.h"
#include "plat/plat.h"

HOST_STATE(trace);

#define HASH_SEED        0x6f72726572790001ull
#define CHECKPOINT_EVERY 65536u

/*
 * In a hosted build nothing interrupts, and turning interrupts on again is where the simulated
 * machine may switch: recording must not.
 */
#ifdef ORRERY_METAL
static inline bool quiet_begin(void)
{
    return plat_irq_save();
}

static inline void quiet_end(bool irqs)
{
    plat_irq_restore(irqs);
}
#else
static inline bool quiet_begin(void)
{
    return false;
}

static inline void quiet_end(bool irqs)
{
    (void)irqs;
}
#endif

#define barrier() __asm__ volatile("" : : : "memory")

record_text16 trace_text16(const char *text)
{
    record_text16 out = {{0}};

    for (size_t i = 0; i < sizeof(out.text) && text && text[i]; i++)
        out.text[i] = text[i];
    return out;
}

/* ---- the hash ---- */

/* The hash with the instant in hand. */
static uint64_t hash_joined(const struct trace_hash *h)
{
    uint64_t value = h->value;

    for (uint64_t left = h->cpus; left; left &= left - 1) {
        unsigned cpu = (unsigned)__builtin_ctzll(left);

        value = trace_mix(value + cpu, cpu == h->last ? h->of_last : h->of_cpu[cpu]);
    }
    return value;
}

static void checkpoint(struct trace_state *trace, plat_ns when);

/*
 * Records are hashed in the order (time, CPU, order of writing). Records of one instant come
 * from several CPUs in any order, so each CPU's are gathered by themselves and joined, lowest
 * CPU first, when time goes on. A checkpoint therefore covers every record up to its time, and
 * no record of a CPU behind it has that time: a reader can form the same sum from the files.
 */
static inline void hash_advance(struct trace_state *trace, plat_ns now)
{
    struct trace_hash *h = &trace->hash;

    /* Mostly an instant is one CPU's. */
    if (__builtin_expect(h->cpus == BIT(h->last), 1))
        h->value = trace_mix(h->value + h->last, h->of_last);
    else
        h->value = hash_joined(h);
    h->records = h->total;
    h->cpus = 0;

    plat_ns then = h->now;

    h->now = now;
    if (__builtin_expect(h->records - h->checkpoint >= CHECKPOINT_EVERY, 0))
        checkpoint(trace, then);
}

/* The time of a record that is about to be written, the hash brought up to it. */
static inline plat_ns hash_time(struct trace_state *trace, plat_ns now)
{
    if (now == TRACE_NOW)
        now = plat_time_now();
    if (now <= trace->hash.now)
        return trace->hash.now;
    hash_advance(trace, now);
    return now;
}

/*
 * What this CPU's records of the instant are so far; it is the last that wrote one from now on.
 */
static inline uint64_t hash_begin(struct trace_hash *h, unsigned cpu)
{
    uint64_t value = HASH_SEED;

    if (__builtin_expect(h->cpus != 0, 0)) {
        h->of_cpu[h->last] = h->of_last;
        if (h->cpus & BIT(cpu))
            value = h->of_cpu[cpu];
    }
    h->cpus |= BIT(cpu);
    h->last = cpu;
    return value;
}

void trace_hash_end(struct trace_state *trace)
{
    struct trace_hash *h = &trace->hash;

    if (!trace->hashing)
        return;
    h->checkpoint = h->records - CHECKPOINT_EVERY;  // one is due, however few came since
    hash_advance(trace, h->now + 1);
}

uint64_t trace_hash_of(const struct trace_state *trace, uint64_t *records)
{
    const struct trace_hash *h = &trace->hash;

    *records = h->total;
    return hash_joined(h);
}

/* ---- packets ---- */

void trace_packet_close(struct trace_state *trace, struct trace_stream *s)
{
    struct trace_packet *p = trace_packet_of(trace, s, s->head);

    if (!s->at || s->at == p->words)
        return;
    s->counts[s->head % trace->slot_count] = (uint32_t)(s->records - s->opened);
    p->timestamp_end = s->last;
    p->events_discarded = (uint32_t)(s->discarded + s->refused);
    __atomic_store_n(&p->content_size, (uint32_t)((const char *)s->at - (const char *)p) * 8,
                     __ATOMIC_RELEASE);
    s->at = NULL;
    if (trace->mode == TRACE_MODE_DIRECT && trace->sink)
        trace->sink->packet(trace->sink->owner, s->index, p, TRACE_PACKET_SIZE);
    __atomic_store_n(&s->head, s->head + 1, __ATOMIC_RELEASE);
}

/* Is there a free slot for packet `head`? Makes one as the mode says. */
static bool slot_get(struct trace_state *trace, struct trace_stream *s)
{
    bool waited = false;

    switch (trace->mode) {
    case TRACE_MODE_DIRECT: return true;
    case TRACE_MODE_FLIGHT:
        if (s->head >= trace->slot_count)
            s->overwritten += s->counts[s->head % trace->slot_count];
        return true;
    case TRACE_MODE_STREAM: break;
    }
    while (s->head - __atomic_load_n(&s->tail, __ATOMIC_ACQUIRE) >= trace->slot_count) {
        if (!trace->lossless || !trace_out_part(trace, s))
            return false;
        s->waits += !waited;
        waited = true;
    }
    return true;
}

static bool packet_open(struct trace_state *trace, struct trace_stream *s, plat_ns now)
{
    if (!slot_get(trace, s))
        return false;

    struct trace_packet *p = trace_packet_of(trace, s, s->head);
    bool is_sys = s->index == TRACE_SYS;

    p->magic = TRACE_MAGIC;
    memcpy(p->uuid, trace->uuid, sizeof(p->uuid));
    p->stream_id = is_sys;
    p->timestamp_begin = now;
    p->timestamp_end = now;
    p->content_size = 0;
    p->packet_size = TRACE_PACKET_SIZE * 8;
    p->events_discarded = (uint32_t)(s->discarded + s->refused);
    p->cpu_id = is_sys ? 0 : s->index;
    p->packet_seq_num = (uint32_t)s->head;
    p->sum = 0;
    s->opened = s->records;
    s->at = p->words;
    __atomic_store_n(&s->end, (trace_word *)(void *)(p + 1), __ATOMIC_RELAXED);
    return true;
}

static inline void append(struct trace_state *trace, struct trace_stream *s, plat_ns now,
                          const trace_word *record, size_t words)
{
    trace_word *at = s->at;

    at[0] = now << 8 | record[0];
    if (trace->hashing && s->index != TRACE_SYS) {
        struct trace_hash *h = &trace->hash;
        uint64_t value = trace_mix(hash_begin(h, s->index), at[0]);

        for (size_t i = 1; i < words; i++) {
            at[i] = record[i];
            value = trace_mix(value, record[i]);
        }
        h->of_last = value;
        h->total++;
    } else {
        for (size_t i = 1; i < words; i++)
            at[i] = record[i];
    }
    s->at = at + words;
    s->records++;
}

/* A packet with room, or false. Says first what was lost, if something was. */
static bool __attribute__((noinline, cold))
packet_change(struct trace_state *trace, struct trace_stream *s, plat_ns now)
{
    trace_packet_close(trace, s);
    if (!packet_open(trace, s, now))
        return false;
    if (s->gap) {
        const struct record_lost lost = {
            .header = RECORD_lost, .count = (uint32_t)s->gap, .total = (uint32_t)s->discarded};

        s->gap = 0;
        append(trace, s, now, (const trace_word *)(const void *)&lost, sizeof(lost) / 8);
    }
    return true;
}

/* The caller is the only writer of `s`. Inline: it is all of what a record costs. */
static inline __attribute__((always_inline)) void write_in(struct trace_state *trace,
                                                           struct trace_stream *s, plat_ns time,
                                                           const trace_word *record,
                                                           size_t words)
{
    plat_ns now = time == TRACE_NOW ? plat_time_now() : time;

    if (__builtin_expect(now < s->last, 0)) {
        now = s->last;
        s->stepped_back += time != TRACE_NOW;
    }
    s->last = now;
    if (__builtin_expect(!s->at || s->at + words > __atomic_load_n(&s->end, __ATOMIC_RELAXED),
                         0) &&
        !packet_change(trace, s, now)) {
        s->discarded++;
        s->gap++;
        return;
    }
    append(trace, s, now, record, words);
}

static void __attribute__((noinline, cold)) checkpoint(struct trace_state *trace, plat_ns when)
{
    struct trace_hash *h = &trace->hash;
    const struct record_checkpoint r = {
        .header = RECORD_checkpoint, .records = h->records, .hash = h->value};

    h->checkpoint = h->records;
    write_in(trace, &trace->streams[TRACE_SYS], when, (const trace_word *)(const void *)&r,
             sizeof(r) / 8);
}

/* ---- the ways in ---- */

static void sys_write(struct trace_state *trace, plat_ns now, const trace_word *record,
                      size_t words)
{
    struct trace_stream *s = &trace->streams[TRACE_SYS];
    uint32_t self = plat_cpu_self() + 1, nobody = 0;

    while (!__atomic_compare_exchange_n(&trace->sys_lock, &nobody, self, false,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        if (nobody == self) {  // an NMI in the middle of a record of this CPU
            __atomic_store_n(&s->refused, s->refused + 1, __ATOMIC_RELAXED);
            return;
        }
        nobody = 0;
        plat_cpu_relax();
    }
    write_in(trace, s, trace->hashing ? hash_time(trace, now) : now, record, words);
    __atomic_store_n(&trace->sys_lock, 0, __ATOMIC_RELEASE);
}

void trace_write_on(struct trace_state *trace, unsigned cpu, plat_ns now,
                    const trace_word *record, size_t words)
{
    struct trace_stream *s = &trace->streams[cpu];

    if (cpu == TRACE_SYS) {
        sys_write(trace, now, record, words);
        return;
    }
    if (__builtin_expect(s->busy, 0)) {
        __atomic_store_n(&s->refused, s->refused + 1, __ATOMIC_RELAXED);
        return;
    }
    if (trace->hashing) {  // a simulation: nothing comes in the middle of a record
        write_in(trace, s, hash_time(trace, now), record, words);
        return;
    }
    s->busy = true;
    barrier();
    write_in(trace, s, now, record, words);
    barrier();
    s->busy = false;
}

void trace_write(plat_ns now, const trace_word *record, size_t words)
{
    bool irqs = quiet_begin();

    trace_write_on(this_host()->trace, plat_cpu_self(), now, record, words);
    quiet_end(irqs);
}

void trace_write_sys(plat_ns now, const trace_word *record, size_t words)
{
    bool irqs = quiet_begin();

    sys_write(this_host()->trace, now, record, words);
    quiet_end(irqs);
}

/* ---- set-up, classes, counts ---- */

static void *take_from_heap(size_t size)
{
    return heap_alloc(size, MEM_OWNER_TRACE);
}

/* False: what it got is in the stream all the same, for streams_drop(). */
static bool stream_make(struct trace_state *trace, unsigned index, void *(*take)(size_t size))
{
    struct trace_stream *s = &trace->streams[index];

    *s = (struct trace_stream){.index = index};
    s->slots = take((size_t)trace->slot_count * TRACE_PACKET_SIZE);
    s->counts = take(trace->slot_count * sizeof(*s->counts));
    return s->slots && s->counts;
}

static bool streams_make(struct trace_state *trace, void *(*take)(size_t size))
{
    for (unsigned i = 0; i < trace->stream_count; i++) {
        if (!stream_make(trace, i, take))
            return false;
    }
    return stream_make(trace, TRACE_SYS, take);
}

/*
 * Gives back what was not enough: a host that cannot record has its memory, and may try with
 * less.
 */
static void streams_drop(struct trace_state *trace)
{
    for (unsigned i = 0; i < TRACE_STREAMS; i++) {
        struct trace_stream *s = &trace->streams[i];

        heap_free(s->slots);
        heap_free(s->counts);
        *s = (struct trace_stream){0};
    }
}

vmk_status trace_setup_on(struct trace_state *trace, const struct trace_config *config,
                          unsigned cpus)
{
    void *(*take)(size_t) = config->take ? config->take : take_from_heap;

    if (trace->ready)
        return VMK_EXISTS;
    vmk_assert(cpus <= PLAT_CPUS_MAX);
    trace->mode = config->mode;
    trace->lossless = config->lossless;
    trace->hashing = config->hash;
    trace->sink = config->sink;
    trace->slot_count = config->mode == TRACE_MODE_DIRECT ? 1 : MAX(config->packets, 2u);
    trace->stream_count = cpus;
    trace->hash = (struct trace_hash){.value = HASH_SEED};
    trace->finished = false;
    memcpy(trace->uuid, config->uuid, sizeof(trace->uuid));
    if (!streams_make(trace, take)) {
        if (!config->take)
            streams_drop(trace);
        return VMK_NO_MEMORY;
    }
    trace->ready = true;
    __atomic_store_n(&trace->mask, config->classes | TRACE_CLASS_SYS, __ATOMIC_RELEASE);
    return VMK_OK;
}

vmk_status trace_setup(const struct trace_config *config)
{
    return trace_setup_on(this_host()->trace, config, plat_cpu_count());
}

uint32_t trace_classes(void)
{
    return trace_mask_of(this_host()->trace);
}

vmk_status trace_classes_set(uint32_t classes)
{
    struct trace_state *trace = this_host()->trace;

    if (trace->finished)
        return VMK_BUSY;
    if (!trace->ready) {
        const struct trace_config config = {
            .classes = classes, .mode = TRACE_MODE_FLIGHT, .packets = TRACE_FLIGHT_PACKETS};

        return trace_setup(&config);
    }
    __atomic_store_n(&trace->mask, classes | TRACE_CLASS_SYS, __ATOMIC_RELEASE);
    return VMK_OK;
}

/*
 * A packet whose end is null has no room: its writer goes on to the next by itself. `sys` may
 * not be written for long, but has a lock: it is completed here.
 */
void trace_packets_cut(void)
{
    struct trace_state *trace = this_host()->trace;
    uint32_t nobody = 0;

    if (!trace->ready)
        return;
    for (unsigned i = 0; i < trace->stream_count; i++) {
        struct trace_stream *s = &trace->streams[i];

        if (__atomic_load_n(&s->at, __ATOMIC_RELAXED))
            __atomic_store_n(&s->end, NULL, __ATOMIC_RELAXED);
    }

    bool irqs = quiet_begin();

    if (__atomic_compare_exchange_n(&trace->sys_lock, &nobody, plat_cpu_self() + 1, false,
                                    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        trace_packet_close(trace, &trace->streams[TRACE_SYS]);
        __atomic_store_n(&trace->sys_lock, 0, __ATOMIC_RELEASE);
    }
    quiet_end(irqs);
}

bool trace_packet_copy(unsigned stream, uint64_t *number, void *out)
{
    struct trace_state *trace = this_host()->trace;

    if (!trace->ready || stream >= TRACE_STREAMS || !trace->streams[stream].slots)
        return false;

    const struct trace_stream *s = &trace->streams[stream];

    for (;;) {
        uint64_t head = __atomic_load_n(&s->head, __ATOMIC_ACQUIRE);
        uint64_t oldest = head >= trace->slot_count ? head - trace->slot_count + 1 : 0;
        uint64_t n = MAX(*number, oldest);
        const struct trace_packet *p = trace_packet_of(trace, s, n);

        if (n >= head)
            return false;
        memcpy(out, p, TRACE_PACKET_SIZE);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        // Slot n is written again when the head is at n + slots.
        if (__atomic_load_n(&s->head, __ATOMIC_RELAXED) - n < trace->slot_count) {
            struct trace_packet *copy = out;
            size_t used = copy->content_size / 8;

            memset((char *)out + used, 0, TRACE_PACKET_SIZE - used);
            *number = n;
            return true;
        }
    }
}

static const char *const class_names[] = {
#define TRACE_CLASS(name, bit) [bit] = #name,
    TRACE_CLASSES(TRACE_CLASS)
#undef TRACE_CLASS
};

const char *trace_class_name(unsigned bit)
{
    return bit < ARRAY_COUNT(class_names) ? class_names[bit] : NULL;
}

static bool same_word(const char *text, size_t length, const char *name)
{
    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if (c != name[i])
            return false;
    }
    return !name[length];
}

bool trace_classes_parse(const char *text, uint32_t *classes, const char **bad)
{
    *classes = 0;
    while (*text) {
        const char *end = strchr(text, ',');
        size_t length = end ? (size_t)(end - text) : strlen(text);
        unsigned bit = 0;

        while (bit < ARRAY_COUNT(class_names) && !same_word(text, length, class_names[bit]))
            bit++;
        if (bit < ARRAY_COUNT(class_names)) {
            *classes |= (uint32_t)BIT(bit);
        } else if (same_word(text, length, "ALL")) {
            *classes = TRACE_CLASS_ALL;
        } else if (!same_word(text, length, "NONE")) {
            *bad = text;
            return false;
        }
        text += length + (end != NULL);
    }
    return true;
}

void trace_totals_get(struct trace_totals *out)
{
    trace_totals_of(this_host()->trace, out);
}

void trace_totals_of(const struct trace_state *trace, struct trace_totals *out)
{
    *out = (struct trace_totals){.bytes = trace->out_bytes};
    for (unsigned i = 0; i < TRACE_STREAMS; i++) {
        const struct trace_stream *s = &trace->streams[i];

        out->records += s->records;
        out->discarded += s->discarded + s->refused;
        out->overwritten += s->overwritten;
        out->refused += s->refused;
        out->stepped_back += s->stepped_back;
        out->waits += s->waits;
        out->packets += s->head;
    }
}

/*
 * The mask is read before `busy` is set, so a CPU may still be on its way in when this looks; a
 * record takes less than a microsecond, hence the pause. Who comes later yet writes into memory
 * that nobody reads any more.
 */
void trace_quiesce(struct trace_state *trace)
{
#ifdef ORRERY_METAL
    plat_ns until = plat_time_now() + 1000000u;
    bool busy = true;

    while (busy || plat_time_now() < until) {
        busy = __atomic_load_n(&trace->sys_lock, __ATOMIC_RELAXED) != 0;
        for (unsigned i = 0; i < trace->stream_count; i++)
            busy |= __atomic_load_n(&trace->streams[i].busy, __ATOMIC_RELAXED);
        if (plat_time_now() > until + 100000000u)
            break;
        plat_cpu_relax();
    }
#else
    (void)trace;
#endif
}
