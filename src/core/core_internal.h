// SPDX-License-Identifier: BSD-2-Clause
/*
 * core/core_internal.h -- struct core_state: all that changes in core/, per host and per CPU.
 */
#pragma once

#include "core/core.h"
#include "core/heap.h"
#include "core/host.h"
#include "core/log.h"
#include "core/spinlock.h"
#include "lib/list.h"
#include "plat/plat_types.h"

#define CORE_HELD_MAX 8u  // locks one CPU may hold at once

#define LOG_RING_SIZE 65536u  // bytes, a power of two
#define LOG_LINE_MAX  384u

struct core_cpu {
    // Held locks: this CPU only, irqs off.
    uint32_t held_count;
    struct spinlock *held[CORE_HELD_MAX];

    // Timers.
    struct spinlock timer_lock;   // rank TIMER
    struct list timers;           // timer_lock; sorted by deadline
    struct timer *timer_running;  // (a) whose callback runs now
    plat_ns quantum;              // this CPU only
    plat_ns hardware;             // this CPU only: what plat_timer_arm() was told
} aligned_to(64);

struct log_ring {
    struct spinlock lock;  // rank LOG
    bool ready;
    unsigned sinks;
    unsigned hidden_levels;  // the least grave ones, which screen and COM1 do not show
    enum vmk_log_level level;
    uint64_t written;     // lock; bytes ever written
    uint64_t panic_from;  // 1 + what `written` was at the first emergency line; 0: none
    char bytes[LOG_RING_SIZE];
};

#define HEAP_CLASS_COUNT 10u

struct heap {
    struct spinlock lock;  // rank HEAP
    void *(*take)(unsigned order);
    void (*give)(void *pages, unsigned order);
    struct list partial[HEAP_CLASS_COUNT];  // lock; slabs with free objects
    uint64_t owned[MEM_OWNER_COUNT];        // lock; bytes
};

struct core_state {
    struct core_cpu cpus[PLAT_CPUS_MAX];
    struct log_ring log;
    struct heap heap;
    uint32_t (*world_id)(void);
    void (*quantum_over)(void);
    void (*panic_hook)(const struct core_panic *);
    uint32_t panicking;  // (a) CPU + 1
};

/* Called by core_init(), one CPU. */
void core_heap_init(void);
void core_timer_init(void);
void core_log_init(void);
