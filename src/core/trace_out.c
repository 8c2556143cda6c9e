// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/trace_out.c -- packets out of the image: frames on a disk or a serial line.
 *
 * A frame is a head of 56 bytes and at most 16 KiB of a packet or a text. It says what it is,
 * where it belongs and how many frames came before it, and carries sums of body and head, so
 * that whoever takes the stream apart (scripts/trace-split.c) finds every byte that is missing,
 * and finds frames between other text on a console. Frames are small because one is sent with
 * interrupts off: no world can be stopped in the middle of one, so a CPU whose ring is full can
 * always go on sending where another left off (lossless mode).
 *
 *      METADATA...  PACKET PACKET ...  INFO  END
 *
 * Invariants
 *   - Parts of one packet are sent in order; packets of one stream are sent in order.
 *   - A way out that failed is not used again, and everything after is counted as lost.
 * Locking    out_lock, a leaf outside the ranks, interrupts off: taken under anything, held for
 *            one frame. A panic breaks it.
 * Start at   trace_out_part().
 */
#include "core/core.h"
#include "core/core_internal.h"
#include "core/heap.h"
#include "core/log.h"
#include "core/trace_frame.h"
#include "core/trace_internal.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"

_Static_assert(TRACE_PACKET_HEADER == TRACE_HEADER, "the same header");
_Static_assert(TRACE_PACKET_CONTENT_AT == offsetof(struct trace_packet, content_size), "there");
_Static_assert(TRACE_PACKET_SUM_AT == offsetof(struct trace_packet, sum), "there");

static bool lock(struct trace_state *trace)
{
    bool irqs = plat_irq_save();
    uint32_t nobody = 0;

    while (!__atomic_compare_exchange_n(&trace->out_lock, &nobody, plat_cpu_self() + 1, false,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        nobody = 0;
        plat_cpu_relax();
    }
    return irqs;
}

static void unlock(struct trace_state *trace, bool irqs)
{
    __atomic_store_n(&trace->out_lock, 0, __ATOMIC_RELEASE);
    plat_irq_restore(irqs);
}

/* Under the lock. */
static bool send(struct trace_state *trace, struct trace_frame *f, const void *body)
{
    if (!trace->out_open || trace->out_failed)
        return false;
    f->magic = TRACE_FRAME_MAGIC;
    f->number = trace->out_frames;
    f->body_sum = trace_frame_sum(body, f->length);
    f->head_sum = 0;
    f->head_sum = trace_frame_sum(f, sizeof(*f));
    if (trace->dump ? !trace->dump(trace->dump_context, f, sizeof(*f), body, f->length)
                    : !plat_trace_out_write(f, sizeof(*f), body, f->length)) {
        trace->out_failed = true;
        return false;
    }
    trace->out_frames++;
    trace->out_bytes += sizeof(*f) + f->length;
    return true;
}

static bool send_text(struct trace_state *trace, enum trace_frame_kind kind, const char *text,
                      size_t length)
{
    for (size_t at = 0; at < length; at += TRACE_FRAME_BODY) {
        struct trace_frame f = {.kind = kind,
                                .offset = (uint32_t)at,
                                .length = (uint32_t)MIN(length - at, TRACE_FRAME_BODY),
                                .total = (uint32_t)length};

        if (!send(trace, &f, text + at))
            return false;
    }
    return true;
}

/* Under the lock. */
static bool begin(struct trace_state *trace)
{
    if (!trace->out_began) {
        size_t length = trace_metadata(trace, trace->out_text, TRACE_METADATA_MAX);

        trace->out_began = true;
        return send_text(trace, TRACE_FRAME_METADATA, trace->out_text,
                         MIN(length, (size_t)TRACE_METADATA_MAX - 1));
    }
    return true;
}

/* Under the lock: the next part of packet `tail`. */
static bool send_part(struct trace_state *trace, struct trace_stream *s)
{
    struct trace_packet *p = trace_packet_of(trace, s, s->tail);
    uint32_t total = p->content_size / 8;
    struct trace_frame f = {.kind = TRACE_FRAME_PACKET,
                            .stream = s->index,
                            .packet = (uint32_t)s->tail,
                            .offset = s->part,
                            .length = MIN(total - s->part, TRACE_FRAME_BODY),
                            .total = total};

    if (!begin(trace) || !send(trace, &f, (const char *)p + s->part))
        return false;
    s->part += f.length;
    if (s->part == total) {
        s->part = 0;
        __atomic_store_n(&s->tail, s->tail + 1, __ATOMIC_RELEASE);
    }
    return true;
}

bool trace_out_part(struct trace_state *trace, struct trace_stream *s)
{
    bool irqs = lock(trace);
    bool good = trace->out_open && !trace->out_failed;

    if (good && s->tail != __atomic_load_n(&s->head, __ATOMIC_ACQUIRE))
        good = send_part(trace, s);
    unlock(trace, irqs);
    return good;
}

bool trace_port_take(void)
{
    struct trace_state *trace = this_host()->trace;

    if (!trace->out_is_com2 || this_host()->core->panicking)
        return false;
    (void)lock(trace);
    return true;
}

void trace_port_give(void)
{
    unlock(this_host()->trace, false);
}

bool trace_streams(void)
{
    const struct trace_state *trace = this_host()->trace;

    return trace->ready && trace->mode == TRACE_MODE_STREAM && trace->out_open;
}

bool trace_drain(void)
{
    struct trace_state *trace = this_host()->trace;

    if (!trace_streams() || trace->out_failed)
        return false;
    for (unsigned i = 0; i < TRACE_STREAMS; i++) {
        struct trace_stream *s = &trace->streams[i];

        if (s->tail != __atomic_load_n(&s->head, __ATOMIC_ACQUIRE))
            return trace_out_part(trace, s);
    }
    return false;
}

/*
 * One packet more is lost than fits in what readers see: say so in the packets that are left.
 */
static void tell_overwritten(struct trace_state *trace, struct trace_stream *s)
{
    for (uint64_t n = s->tail; n != s->head; n++)
        trace_packet_of(trace, s, n)->events_discarded += (uint32_t)s->overwritten;
}

/* What could not be sent is lost, though it was recorded. */
static void count_unsent(struct trace_state *trace, struct trace_stream *s)
{
    for (uint64_t n = s->tail; n != s->head; n++) {
        uint32_t count = s->counts[n % trace->slot_count];

        s->records -= count;
        s->discarded += count;
    }
}

static void send_end(struct trace_state *trace)
{
    struct trace_frame_end ends[TRACE_STREAMS];
    struct trace_totals sum;
    unsigned count = 0;

    trace_totals_of(trace, &sum);

    size_t length = (size_t)vmk_snprintf(
        trace->out_text, TRACE_METADATA_MAX,
        "cpus=%u\nmode=%s\nrecords=%llu\ndiscarded=%llu\noverwritten=%llu\nrefused_nmi=%llu\n"
        "stepped_back=%llu\nwriter_waits=%llu\nended_ns=%llu\n",
        trace->stream_count, trace->mode == TRACE_MODE_FLIGHT ? "flight" : "stream",
        (unsigned long long)sum.records, (unsigned long long)sum.discarded,
        (unsigned long long)sum.overwritten, (unsigned long long)sum.refused,
        (unsigned long long)sum.stepped_back, (unsigned long long)sum.waits,
        (unsigned long long)plat_time_now());

    for (uint32_t i = 0; i < trace->env_count; i++)
        length += (size_t)vmk_snprintf(trace->out_text + length, TRACE_METADATA_MAX - length,
                                       "%s=%s\n", trace->env[i].name, trace->env[i].value);

    for (unsigned i = 0; i < TRACE_STREAMS; i++) {
        const struct trace_stream *s = &trace->streams[i];

        if (!s->slots)
            continue;
        ends[count++] = (struct trace_frame_end){
            .stream = i,
            .first = (uint32_t)(trace->mode == TRACE_MODE_FLIGHT && s->head > trace->slot_count
                                    ? s->head - trace->slot_count
                                    : 0),
            .packets = (uint32_t)s->head,
            .records = s->records,
            .discarded = s->discarded + s->refused,
            .overwritten = s->overwritten};
    }

    struct trace_frame f = {.kind = TRACE_FRAME_END,
                            .length = (uint32_t)(count * sizeof(ends[0])),
                            .total = (uint32_t)(count * sizeof(ends[0]))};

    (void)(send_text(trace, TRACE_FRAME_INFO, trace->out_text, length) &&
           send(trace, &f, ends));
}

void trace_out_everything(struct trace_state *trace, bool panic)
{
    bool irqs = panic ? plat_irq_save() : lock(trace);

    if (panic && trace->out_lock)
        plat_trace_out_reset();
    for (unsigned i = 0; i < TRACE_STREAMS; i++) {
        struct trace_stream *s = &trace->streams[i];

        if (!s->slots)
            continue;
        trace_packet_close(trace, s);
        if (trace->mode == TRACE_MODE_FLIGHT) {
            s->tail = s->head > trace->slot_count ? s->head - trace->slot_count : 0;
            if (!trace->dump)  // told already
                tell_overwritten(trace, s);
        }
        while (trace->out_open && s->tail != s->head && send_part(trace, s))
            ;
        if (trace->mode == TRACE_MODE_STREAM)
            count_unsent(trace, s);
    }
    if (trace->out_open && begin(trace))
        send_end(trace);
    unlock(trace, irqs);
}

bool trace_dump(trace_dump_fn *dump, void *context, char *text)
{
    struct trace_state *trace = this_host()->trace;

    if (!trace->ready || trace->out_open)
        return false;
    trace->dump = dump;
    trace->dump_context = context;
    trace->out_text = text;
    trace->out_open = true;
    trace->out_failed = trace->out_began = false;
    trace_out_everything(trace, true);
    return !trace->out_failed;
}

void trace_out_open(struct trace_state *trace, const char *where)
{
    trace->out_text = heap_alloc(TRACE_METADATA_MAX, MEM_OWNER_TRACE);
    trace->out_open = trace->out_text && plat_trace_out_open(where);
    trace->out_is_com2 = trace->out_open && strcmp(where, "com2") == 0;
    if (trace->out_open)
        return;
    heap_free(trace->out_text);
    trace->out_text = NULL;
    vmk_log(VMK_LOG_WARN,
            "Trace: trace.to=%s: no such device here (a disk whose model is \"%s\", or com2); "
            "recording into memory only",
            where, PLAT_TRACE_DISK_MODEL);
}

void trace_finish(void)
{
    trace_finish_on(this_host()->trace);
}

void trace_finish_on(struct trace_state *trace)
{
    struct trace_totals sum;

    if (!trace->ready || trace->finished)
        return;
    trace->finished = true;
    __atomic_store_n(&trace->mask, 0, __ATOMIC_SEQ_CST);
    trace_quiesce(trace);
    trace_hash_end(trace);
    trace_out_everything(trace, false);
    trace_totals_of(trace, &sum);
    if (trace->mode != TRACE_MODE_DIRECT)
        vmk_log(sum.discarded || trace->out_failed ? VMK_LOG_WARN : VMK_LOG_INFO,
                "Trace: %llu records in %llu packets, %llu lost, %llu overwritten, %llu bytes "
                "out%s",
                (unsigned long long)sum.records, (unsigned long long)sum.packets,
                (unsigned long long)sum.discarded, (unsigned long long)sum.overwritten,
                (unsigned long long)sum.bytes,
                trace->out_failed ? "; the way out failed or is full" : "");
}
