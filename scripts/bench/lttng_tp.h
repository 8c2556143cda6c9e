// SPDX-License-Identifier: BSD-2-Clause
/*
 * scripts/bench/lttng_tp.h -- the peer's tracepoint: the five fields of sched_switch.
 */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER orrery_bench
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./lttng_tp.h"

#if !defined(LTTNG_TP_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define LTTNG_TP_H

#include <lttng/tracepoint.h>
#include <stdint.h>

LTTNG_UST_TRACEPOINT_EVENT(
    orrery_bench, sched_switch,
    LTTNG_UST_TP_ARGS(uint32_t, prev_tid, uint32_t, next_tid, uint16_t, prev_state, uint16_t,
                      cost, uint32_t, ran_us),
    LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(uint32_t, prev_tid, prev_tid)
                            lttng_ust_field_integer(uint32_t, next_tid, next_tid)
                                lttng_ust_field_integer(uint16_t, prev_state, prev_state)
                                    lttng_ust_field_integer(uint16_t, cost, cost)
                                        lttng_ust_field_integer(uint32_t, ran_us, ran_us)))

#endif
#include <lttng/tracepoint-event.h>
