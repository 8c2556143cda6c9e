// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/trace_boot.c -- the recorder's boot options.
 *
 * Invariants
 *   - A wrong option is said with the words that would be right, and recording goes on without
 *     it.
 * Locking    none: one CPU.
 */
#include "core/core.h"
#include "core/log.h"
#include "core/trace_internal.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"

static uint32_t classes_from(const char *text)
{
    const char *bad;
    uint32_t classes;

    if (trace_classes_parse(text, &classes, &bad))
        return classes;
    vmk_log(VMK_LOG_WARN,
            "Trace: trace=%s: \"%s\" is no class; there are sched, vm, mem, io, user, trace, "
            "sys, all "
            "and none; recording all",
            text, bad);
    return TRACE_CLASS_ALL;
}

static void mode_from(struct trace_config *config)
{
    char text[16];

    if (!core_option("trace.mode", text, sizeof(text)) || strcmp(text, "flight") == 0)
        return;
    if (strcmp(text, "stream") == 0)
        config->mode = TRACE_MODE_STREAM;
    else
        vmk_log(VMK_LOG_WARN, "Trace: trace.mode=%s: there are flight and stream; using flight",
                text);
}

void trace_init(void)
{
    struct trace_state *trace = this_host()->trace;
    struct trace_config config = {.mode = TRACE_MODE_FLIGHT};
    char text[96];
    char to[16];
    uint64_t kib;

    if (!core_option("trace", text, sizeof(text)))
        return;
    config.classes = classes_from(text);
    mode_from(&config);
    config.lossless = core_option_flag("trace.lossless");
    config.packets =
        config.mode == TRACE_MODE_FLIGHT ? TRACE_FLIGHT_PACKETS : TRACE_STREAM_PACKETS;
    kib = core_option_u64("trace.buffer", (uint64_t)config.packets * TRACE_PACKET_SIZE / 1024);
    config.packets = (uint32_t)MIN(MAX(kib * 1024 / TRACE_PACKET_SIZE, 2u), 4096u);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t random = plat_entropy();

        memcpy(config.uuid + 8 * i, &random, 8);
    }
    if (core_option("trace.to", to, sizeof(to)))
        trace_out_open(trace, to);
    if (config.mode == TRACE_MODE_STREAM && !trace->out_open) {
        vmk_log(VMK_LOG_WARN, "Trace: trace.mode=stream needs trace.to=disk or com2; "
                              "recording as flight recorder");
        config.mode = TRACE_MODE_FLIGHT;
    }

    vmk_status status = trace_setup(&config);

    if (status != VMK_OK) {
        vmk_log(VMK_LOG_ERROR,
                "Trace: not recording: %s; try a smaller trace.buffer=%llu (KiB)",
                vmk_status_text(status), (unsigned long long)kib);
        return;
    }
    vmk_log(VMK_LOG_INFO, "Trace: recording %s, %s, %u KiB for each of %u CPUs%s%s", text,
            config.mode == TRACE_MODE_FLIGHT ? "flight recorder" : "stream",
            config.packets * (TRACE_PACKET_SIZE / 1024), trace->stream_count,
            trace->out_open ? ", to " : "", trace->out_open ? to : "");
}
