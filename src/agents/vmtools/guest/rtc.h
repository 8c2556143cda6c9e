// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/guest/rtc.h -- the guest's clock and CMOS memory, in its vmx.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "user/abi/vmk.h"

struct rtc;

/* The clock begins with the host's time. Lives as long as the process. */
struct rtc *rtc_new(int vm_fd, uint64_t memory_low_bytes, unsigned vcpus);
/* A call of VMK_CALL_PORT: changes `regs` to the answer, after its interrupt line was set. */
void rtc_port(struct rtc *rtc, uint32_t regs[VMK_CALL_REGS]);
/* The machine came out of a reset: its lines are low. */
void rtc_reset(struct rtc *rtc);
/* How long until rtc_tick() is due; false: not before the next call. */
bool rtc_due(const struct rtc *rtc, struct timespec *left);
/* Raises the interrupt if it is time. */
void rtc_tick(struct rtc *rtc);
