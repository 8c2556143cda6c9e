// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxtop.h -- a look at the host, and what happened between two of them.
 */
#pragma once

#include "agents/vmtools/vmtools.h"
#include "sched/esxtop.h"

/* A line of esxtop: a VM with its vmx, a process, all system worlds, or all idle ones. */
struct top_group {
    uint32_t id;
    char name[VMK_NAME_SIZE];
    uint32_t shown;           // its ID and GID: a group, or the first world of a process
    struct sched_sample sum;  // of its worlds
    bool is_vm;
    // Of a process: size_kb is mapped, granted_kb resident, swapped_kb out.
    struct vmk_vm_memory memory;
};

/* One of them. */
struct top_world {
    uint32_t id, group;  // group: its struct top_group's id
    uint32_t pid;        // of its process; 0: none
    enum vmk_world_kind kind;
    char name[VMK_NAME_SIZE];
    struct sched_sample sample;
};

struct top_look {
    struct vmk_host host;
    struct vmk_host_memory memory;
    struct vmk_swap user_swap;
    struct top_group *groups;
    uint32_t group_count;
    struct top_world *worlds;  // by group, then by id
    uint32_t world_count;
    struct vmk_cpu *cpus;
    uint32_t cpu_count;
};

struct top_look *top_look(void);
void top_free(struct top_look *look);  // null is fine
/* The group of that id in an earlier look, or null. */
const struct top_group *top_group_before(const struct top_look *before,
                                         const struct top_group *now);
/* The world of that id, or null; `look` null is fine. */
const struct top_world *top_world_of(const struct top_look *look, uint32_t id);
/* False: it is one of the VMkernel's own. */
bool top_can_kill(const struct top_world *world);
/*
 * Ends the process of a user world, or the VM of a vCPU, which goes without being asked. Writes
 * what came of it.
 */
void top_kill(const struct top_world *world, char *told, size_t size);
/* Hundredths of a percent that a CPU was not idle; `cpu` UINT32_MAX: the mean of all. */
uint64_t top_cpu_used(const struct top_look *before, const struct top_look *now, uint32_t cpu);

/* ---- esxtop_memory.c ---- */
enum memory_unit {
    MEMORY_KB,
    MEMORY_BYTES,
    MEMORY_LIMIT,  // KB; all ones: none, shown as 0
    MEMORY_PERMILLE,
    MEMORY_COUNT,
    MEMORY_DRIVER,
    MEMORY_PAGES_MB,  // pages that went, shown as MB a second
};
struct memory_column {
    char field;  // of memory_fields
    const char *title, *counter;
    enum memory_unit unit;
    size_t offset;
};
/* Columns that are shown or hidden together. */
struct top_field {
    char letter;
    bool shown;  // at first
    const char *what;
};
#define MEMORY_COLUMNS 30u
#define MEMORY_FIELDS  9u
extern const struct memory_column memory_columns[MEMORY_COLUMNS];
extern const struct top_field memory_fields[MEMORY_FIELDS];
/* Hundredths; `before` null: the first look. */
uint64_t top_memory_value(const struct memory_column *c, const struct vmk_vm_memory *before,
                          const struct vmk_vm_memory *now, uint64_t passed_ns);
/* Hundredths of MB a second. */
uint64_t top_pages_rate(uint64_t before, uint64_t now, uint64_t passed_ns);

/* ---- esxtop_terminal.c ---- */
void top_terminal_raw(void);
void top_terminal_restore(void);
/* A line that is typed in that row; false: an empty one. */
bool top_ask(unsigned row, const char *question, char *line, size_t size);
bool top_ask_number(unsigned row, const char *question, uint64_t most, uint64_t *number);

/* ---- esxtop_batch.c, esxtop_screen.c; `rounds` 0: for ever ---- */
int top_batch(uint64_t delay_ms, uint64_t rounds);
int top_screen(uint64_t delay_ms, uint64_t rounds);
/* Until then or until a signal; false: a key waits on `fd` (negative: nobody types). */
bool top_sleep(int fd, uint64_t ms);
