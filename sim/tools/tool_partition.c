// SPDX-License-Identifier: BSD-2-Clause
/*
 * sim/tools/tool_partition.c -- vmfs-tool's part-... commands: partition tables of image files.
 *
 * The listing has the shape of ESXi's `partedUtil getptbl`: scheme, geometry, then one line per
 * partition: number, first and last sector, type GUID, type name, attributes; and the name.
 *
 * Invariants
 *   - Problems of a table go to standard error; status 1 says that there are some.
 * Locking    none: one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/partition.h"
#include "sim/tools/tool.h"

static void print_line(void *argument, const char *text)
{
    fprintf(stderr, "vmfs-tool: %s: %s\n", (const char *)argument, text);
}

static int list(const struct partition_table *t)
{
    static const char *const schemes[] = {"unknown", "msdos", "gpt"};
    uint64_t sectors = t->disk_size / t->block_size;

    puts(schemes[t->scheme]);
    printf("%llu 255 63 %llu\n", (unsigned long long)(sectors / (255 * 63)),
           (unsigned long long)sectors);
    for (unsigned i = 0; i < t->count; i++) {
        const struct partition *p = &t->partitions[i];
        char guid[PARTITION_GUID_TEXT];

        partition_guid_text(&p->type, guid);
        printf("%u %llu %llu ", p->number, (unsigned long long)(p->offset / t->block_size),
               (unsigned long long)((p->offset + p->size) / t->block_size - 1));
        if (t->scheme == PARTITION_SCHEME_GPT)
            printf("%s %s %llu %s", guid, partition_kind_name(p->kind),
                   (unsigned long long)p->attributes, p->name);
        else
            printf("%u %s %u", p->mbr_type, partition_kind_name(p->kind),
                   p->active ? 128u : 0u);
        puts(p->bad ? " (bad)" : "");
    }
    return t->problems ? 1 : 0;
}

/* part-add TYPE [SIZE|0 [NAME [NUMBER]]] */
static int add(struct partition_table *t, int argc, char **argv)
{
    const bool mbr = t->scheme == PARTITION_SCHEME_MBR;
    char *end;
    struct partition p = {.number = 0};
    vmk_status status;

    p.kind = argc > 1 ? partition_kind_find(argv[1]) : PARTITION_KIND_COUNT;
    if (mbr && p.kind == PARTITION_KIND_COUNT && argc > 1) {
        const unsigned long type = strtoul(argv[1], &end, 16);

        if (!*end && type && type < 256) {
            p.mbr_type = (uint8_t)type;
            p.kind = PARTITION_OTHER;
        }
    }
    if (p.mbr_type)
        ;
    else if (p.kind == PARTITION_KIND_COUNT && argc > 1 &&
             partition_guid_parse(argv[1], &p.type))
        p.kind = PARTITION_OTHER;
    else if (p.kind == PARTITION_KIND_COUNT || p.kind == PARTITION_OTHER) {
        fputs(
            "vmfs-tool: part-add TYPE [SIZE [NAME [NUMBER]]]; TYPE is a GUID (of an MBR: two\n"
            "hexadecimal digits, fb is VMFS) or one of",
            stderr);
        for (unsigned i = 1; i < PARTITION_KIND_COUNT; i++)
            fprintf(stderr, " %s", partition_kind_name((enum partition_kind)i));
        fputc('\n', stderr);
        return 2;
    }
    if (argc > 2 && !tool_parse_size(argv[2], &p.size)) {
        fprintf(stderr, "vmfs-tool: '%s' is no size\n", argv[2]);
        return 2;
    }
    if (argc > 3)
        snprintf(p.name, sizeof(p.name), "%s", argv[3]);
    if (argc > 4)
        p.number = (unsigned)strtoul(argv[4], NULL, 10);
    p.id = partition_guid_make(tool_random(), tool_random());
    status = partition_add(t, &p);
    if (status != VMK_OK)
        return tool_fail(argv[1], status);
    printf("%u\n", p.number);
    return 0;
}

int tool_partitions(const char *image, int argc, char **argv)
{
    const struct partition_report report = {.line = print_line,
                                            .argument = (void *)(uintptr_t)image};
    bool mbr = false;
    bool create = !strcmp(argv[0], "part-create");
    bool only_list = !strcmp(argv[0], "part-list");
    struct partition_table *table = NULL;
    struct block_device *disk;
    uint64_t size = 0;
    int result = 0;
    vmk_status status;

    if (create && argc > 1 && !strcmp(argv[argc - 1], "mbr")) {
        mbr = true;
        argc--;
    }
    if (create && argc == 3 && !strcmp(argv[1], "-s") && tool_parse_size(argv[2], &size))
        argc = 1;
    if (create && argc > 1) {
        fputs("vmfs-tool: part-create [-s SIZE] [mbr]\n", stderr);
        return 2;
    }
    disk = tool_device_open(image, size, only_list);
    if (!disk)
        return 3;
    if (!strcmp(argv[0], "part-repair")) {
        status = partition_table_repair(disk, &report);
        return status == VMK_OK ? 0 : tool_fail(image, status);
    }
    if (create) {
        struct partition_guid id = partition_guid_make(tool_random(), tool_random());

        status = mbr ? partition_table_new_mbr(disk, (uint32_t)tool_random() | 1, &table)
                     : partition_table_new(disk, &id, &table);
    } else {
        status = partition_table_read(disk, &report, &table);
    }
    if (status != VMK_OK)
        return tool_fail(image, status);
    if (only_list) {
        result = list(table);
    } else if (!strcmp(argv[0], "part-add")) {
        result = add(table, argc, argv);
    } else if (!strcmp(argv[0], "part-delete") && argc == 2) {
        status = partition_remove(table, (unsigned)strtoul(argv[1], NULL, 10));
        if (status != VMK_OK)
            result = tool_fail(argv[1], status);
    } else if (!create) {
        fprintf(stderr, "vmfs-tool: no command '%s'; see vmfs-tool --help\n", argv[0]);
        result = 2;
    }
    if (!result && !only_list) {
        status = partition_table_write(disk, table);
        if (status != VMK_OK)
            result = tool_fail(image, status);
    }
    partition_table_free(table);
    return result;
}
