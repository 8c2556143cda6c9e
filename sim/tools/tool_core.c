// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/tools/tool_core.c -- vmfs-tool's core-... commands: what a host that panicked left on its disk.
 *
 * The source is the dump partition of a disk (IMAGE@pN) or a file vmkernel-zdump.N that a host
 * has collected; both have the same bytes (fs/dump/dump.h).
 *
 * Invariants
 *   - Nothing is written: a dump can be looked at while its host waits for somebody.
 * Locking    none: one thread.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/dump/dump.h"
#include "sim/tools/tool.h"

#define SECTIONS_MAX 32u

struct section {
    char name[DUMP_SECTION_SIZE + 1];
    uint64_t bytes;
};

struct listing {
    struct section sections[SECTIONS_MAX];
    unsigned count;
    const char *wanted;  // null: all are counted
    uint64_t shown;
};

static bool piece(void *context, const char *name, const void *data, size_t size)
{
    struct listing *l = context;
    unsigned i = 0;

    if (l->wanted) {
        if (strcmp(l->wanted, name) == 0) {
            l->shown += size;
            return fwrite(data, 1, size, stdout) == size;
        }
        return true;
    }
    while (i < l->count && strcmp(l->sections[i].name, name) != 0)
        i++;
    if (i == SECTIONS_MAX)
        return true;
    if (i == l->count)
        (void)snprintf(l->sections[l->count++].name, sizeof(l->sections[0].name), "%s", name);
    l->sections[i].bytes += size;
    return true;
}

static void print_header(const struct dump_header *h)
{
    const time_t when = (time_t)h->when;
    char text[32] = "?";
    struct tm tm;

    if (gmtime_r(&when, &tm))
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    printf("Reason:  %s\nPlace:   %s\nCPU:     %u\nWorld:   %u\nVersion: %s\nTime:    %s\n"
           "Uptime:  %llu.%03llu s\nState:   %s%s\nStored:  %llu bytes of %llu\n",
           h->reason, h->place, h->cpu, h->world, h->version, text,
           (unsigned long long)(h->uptime / 1000000000u),
           (unsigned long long)(h->uptime / 1000000u % 1000u),
           h->state == DUMP_NEW ? "new" : "collected",
           h->flags & DUMP_WHOLE ? "" : ", not whole", (unsigned long long)h->stored,
           (unsigned long long)h->unpacked);
}

int tool_core(const char *image, int argc, char **argv)
{
    const bool list = !strcmp(argv[0], "core-list");
    struct listing l = {.wanted = list ? NULL : argv[1]};
    struct dump_header header;
    struct dump_source source = {.read = dump_device_read};
    struct block_device *device;
    vmk_status status;

    if (strcmp(argv[0], list ? "core-list" : "core-get") != 0 || argc != (list ? 1 : 2)) {
        fputs("vmfs-tool: core-list; core-get SECTION, one of those it lists\n", stderr);
        return 2;
    }
    device = tool_device_open(image, 0, true);
    if (!device)
        return 3;
    source.context = device;
    source.size = device->size;
    status = dump_read(&source, &header, piece, &l);
    if (status == VMK_NOT_FOUND) {
        fprintf(stderr,
                "vmfs-tool: %s: no dump is here; of a disk name its vmkcore partition, @p7\n",
                image);
        return 1;
    }
    if (list && header.stored)
        print_header(&header);
    for (unsigned i = 0; i < l.count; i++)
        printf("Section: %-8s %llu bytes\n", l.sections[i].name,
               (unsigned long long)l.sections[i].bytes);
    if (status != VMK_OK)
        return tool_fail(image, status);
    if (!list && !l.shown) {
        fprintf(stderr, "vmfs-tool: %s: section '%s': there is none; core-list names them\n",
                image, argv[1]);
        return 1;
    }
    return 0;
}
