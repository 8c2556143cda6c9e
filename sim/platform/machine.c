// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/platform/machine.c -- a simulated host apart from its CPUs: memory, boot modules, consoles, state.
 *
 * The state is one block for each subsystem of the kernel; struct host points to them.
 *
 * Physical memory is one arena; address 0 is its first byte, so plat_map() adds. It is
 * reserved, not filled: a host of many gigabytes costs what the kernel touches.
 *
 * Locking    none: one thread.
 * Start at   sim_host_create()
 */
#define _GNU_SOURCE  // MAP_ANONYMOUS
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim/platform/platform_internal.h"

#define LOW_RAM_END 0x9f000ull
#define KERNEL_BASE 0x100000ull
#define RAM_BASE    0x200000ull

size_t plat_memory_map(struct plat_region *out, size_t room)
{
    const struct plat_region map[] = {
        {paddr_make(0), LOW_RAM_END, PLAT_REGION_RAM},
        {paddr_make(LOW_RAM_END), KERNEL_BASE - LOW_RAM_END, PLAT_REGION_RESERVED},
        {paddr_make(KERNEL_BASE), RAM_BASE - KERNEL_BASE, PLAT_REGION_KERNEL},
        {paddr_make(RAM_BASE), sim.cpu->host->arena_size - RAM_BASE, PLAT_REGION_RAM},
    };

    memcpy(out, map, MIN(room, ARRAY_COUNT(map)) * sizeof(map[0]));
    return ARRAY_COUNT(map);
}

uint64_t sim_memory_size(void)
{
    return sim.cpu->host->arena_size;
}

void *plat_map(paddr_t pa)
{
    if (pa.raw >= sim.cpu->host->arena_size)
        sim_fail("plat_map(0x%llx) is beyond memory", (unsigned long long)pa.raw);
    return sim.cpu->host->arena + pa.raw;
}

paddr_t plat_unmap_address(const void *va)
{
    return paddr_make((uint64_t)((const unsigned char *)va - sim.cpu->host->arena));
}

const char *plat_command_line(void)
{
    return sim.cpu->host->command_line;
}

size_t plat_modules(const struct plat_module **out)
{
    *out = sim.modules;
    return sim.module_count;
}

void sim_module_add(const char *name, const void *data, size_t size)
{
    if (sim.module_count == MODULES_MAX)
        sim_fail("more than %u boot modules", MODULES_MAX);
    sim.modules[sim.module_count++] =
        (struct plat_module){.name = name, .data = data, .size = size};
}

uint64_t plat_entropy(void)
{
    return rng_next(&sim.cpu->host->entropy);
}

void plat_console_write(const char *text, size_t length)
{
    fwrite(text, 1, length, stderr);
}

void plat_serial_write(unsigned port, const char *text, size_t length)
{
    struct sim_host *host = sim.cpu->host;

    for (size_t i = 0; i < length && host->serial[port].out_length < SERIAL_SIZE; i++)
        host->serial[port].out[host->serial[port].out_length++] = text[i];
}

int plat_serial_read(unsigned port)
{
    struct sim_host *host = sim.cpu->host;

    if (host->serial[port].in_read == host->serial[port].in_written)
        return -1;
    return (unsigned char)host->serial[port].in[host->serial[port].in_read++ % SERIAL_SIZE];
}

int plat_keyboard_read(void)
{
    return -1;
}

const char *sim_serial_text(unsigned port, size_t *length)
{
    *length = sim.cpu->host->serial[port].out_length;
    return sim.cpu->host->serial[port].out;
}

void sim_serial_feed(unsigned port, const char *text, size_t length)
{
    struct sim_host *host = sim.cpu->host;

    for (size_t i = 0; i < length; i++)
        host->serial[port].in[host->serial[port].in_written++ % SERIAL_SIZE] = text[i];
}

size_t plat_backtrace(uint64_t *out, size_t room)
{
    void *addresses[64];
    int count = backtrace(addresses, (int)MIN(room, ARRAY_COUNT(addresses)));

    for (int i = 0; i < count; i++)
        out[i] = (uint64_t)(uintptr_t)addresses[i];
    return (size_t)count;
}

/* ---- hosts ---- */

/* One zeroed block per part; the sizes come from HOST_STATE() in each subsystem. */
#define HOST_PART(name) extern const size_t name##_state_size __attribute__((weak));
#include "core/host.def"

static void *part_create(const size_t *size)
{
    /* A subsystem that is not linked into this program has no state. */
    size_t bytes = size ? (size_t)round_up(*size, 64) : 64;
    void *block = aligned_alloc(64, bytes);

    if (!block)
        sim_fail("no memory for the state of a host");
    return memset(block, 0, bytes);
}

static void parts_create(struct host *parts)
{
    const size_t *size;

#define HOST_PART(name)                                                                        \
    size = &name##_state_size;                                                                 \
    parts->name = part_create(size);
#include "core/host.def"
}

struct sim_host *sim_host_create(unsigned cpus, unsigned megabytes, const char *command_line)
{
    struct sim_host *host = calloc(1, sizeof(*host));

    if (!host || sim.host_count == HOSTS_MAX)
        sim_fail("too many hosts");
    host->index = sim.host_count;
    host->cpu_count = cpus;
    host->command_line = strdup(command_line);
    host->arena_size = (uint64_t)megabytes << 20;
    host->arena = mmap(NULL, host->arena_size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host->arena == MAP_FAILED)
        sim_fail("no memory for a host");
    parts_create(&host->parts);
    rng_init(&host->entropy, sim.options.seed, "entropy", host->index);
    for (unsigned i = 0; i < PLAT_CPUS_MAX; i++)
        host->cpus[i] = (struct sim_cpu){.host = host, .index = i, .timer = PLAT_NS_NEVER};
    sim.hosts[sim.host_count++] = host;
    return host;
}

unsigned sim_host_index(const struct sim_host *host)
{
    return host->index;
}

struct sim_host *sim_host_current(void)
{
    return sim.cpu->host;
}

const struct host *plat_host_self(void)
{
    return &sim.cpu->host->parts;
}
