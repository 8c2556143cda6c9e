// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/tools/tool.c -- sizes, random words and devices for the commands of vmfs-tool.
 *
 * Invariants
 *   - Devices stay open until the process ends.
 * Locking    none: one thread.
 */
#define _GNU_SOURCE
#include "sim/tools/tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/vmfs/vmfs.h"
#include "io/partition.h"
#include "sim/model/disk.h"

int tool_fail(const char *what, vmk_status status)
{
    fprintf(stderr, "vmfs-tool: %s: %s\n", what, vmk_status_text(status));
    return 3;
}

bool tool_parse_size(const char *text, uint64_t *out)
{
    char *end;
    unsigned long long value;
    unsigned shift = 0;

    errno = 0;
    value = strtoull(text, &end, 0);
    if (errno || end == text || *text == '-')
        return false;
    switch (*end) {
    case 'T':
    case 't': shift += 10; fall_through;
    case 'G':
    case 'g': shift += 10; fall_through;
    case 'M':
    case 'm': shift += 10; fall_through;
    case 'K':
    case 'k':
        shift += 10;
        end++;
        break;
    default: break;
    }
    *out = (uint64_t)value << shift;
    return !*end && *out >> shift == value;
}

uint64_t tool_random(void)
{
    uint64_t value = (uint64_t)time(NULL) * 2654435761u;
    FILE *random = fopen("/dev/urandom", "rb");

    if (random && fread(&value, sizeof(value), 1, random) != 1)
        value ^= (uint64_t)getpid();
    if (random)
        fclose(random);
    return value;
}

struct block_device *tool_partition_of_disk(struct block_device *disk)
{
    struct vmfs_extent_info info;
    struct partition_table *table;
    struct block_device *part = disk;
    unsigned number = 0;
    unsigned count = 0;

    if (vmfs_probe(disk, &info) == VMK_OK || partition_table_read(disk, NULL, &table) != VMK_OK)
        return disk;
    for (unsigned i = 0; i < table->count; i++) {
        if (table->partitions[i].kind != PARTITION_VMFS || table->partitions[i].bad)
            continue;
        number = table->partitions[i].number;
        count++;
    }
    partition_table_free(table);
    return count == 1 && partition_open(disk, number, &part) == VMK_OK ? part : disk;
}

struct block_device *tool_device_open(const char *text, uint64_t size, bool read_only)
{
    char *name = strdup(text);
    char *at = strrchr(name, '@');
    char *end = NULL;
    uint64_t offset = 0;
    unsigned long number = 0;
    struct block_device *whole;
    struct block_device *part = NULL;
    vmk_status status;

    if (at && at[1] == 'p' && (number = strtoul(at + 2, &end, 10)) && !*end)
        *at = 0;
    else if (at && tool_parse_size(at + 1, &offset))
        *at = 0;
    else
        number = 0;
    whole = disk_file_open(name, size ? size + offset : 0, read_only);
    free(name);
    if (!whole || (!offset && !number))
        return whole;
    if (number)
        status = partition_open(whole, (unsigned)number, &part);
    else
        status = partition_slice(whole, text, offset,
                                 whole->size > offset ? whole->size - offset : 0, &part);
    if (status != VMK_OK) {
        tool_fail(text, status);
        disk_file_close(whole);
    }
    return part;
}
