// SPDX-License-Identifier: BSD-2-Clause
/*
 * world/trace_world.h -- the world that sends full trace packets out.
 */
#pragma once

/* Starts it if a trace is streamed. After world_init(). */
void trace_world_start(void);
