// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxcli_coredump.c -- esxcli system coredump: where a panic of this host is saved.
 *
 * Invariants: none.
 * Locking    none: one thread.
 * Sources    [ESXCLI] "system coredump"
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/vmtools/esxcli.h"

static void choice_get(struct vmk_coredump *c)
{
    memset(c, 0, sizeof(*c));
    if (vmk_call(device(), VMK_COREDUMP_GET, c, sizeof(*c)) < 0)
        fail(EXIT_FAILED, "%s: no word about core dumps: %s", VMK_DEVICE, strerror(errno));
}

static int partition_get(const struct call *call)
{
    struct records *r = records_begin(RECORDS_SIMPLE, "CoreDumpPartitionActive", false);
    struct vmk_coredump c;

    choice_get(&c);
    records_add(r, NULL);
    records_text(r, "Active", "%s", c.active);
    records_text(r, "Configured", "%s", c.configured);
    records_end(r, call->form);
    return EXIT_DONE;
}

static void partition_list_add(struct records *r, const struct vmk_coredump *c,
                               const struct vmk_coredump_partition *p)
{
    records_add(r, NULL);
    records_text(r, "Name", "%s", p->name);
    records_text(r, "Path", "/vmfs/devices/disks/%s", p->name);
    records_flag(r, "Active", strcmp(p->name, c->active) == 0);
    records_flag(r, "Configured", strcmp(p->name, c->configured) == 0);
}

static int partition_list(const struct call *call)
{
    struct records *r = records_begin(RECORDS_TABLE, "CoreDumpPartition", true);
    struct vmk_coredump c;
    uint32_t count;
    struct vmk_coredump_partition *all = vmk_list_get(VMK_LIST_COREDUMPS, sizeof(*all), &count);

    choice_get(&c);
    for (uint32_t i = 0; i < count; i++)
        partition_list_add(r, &c, &all[i]);
    free(all);
    records_end(r, call->form);
    return EXIT_DONE;
}

static void choose(uint32_t place, const char *name)
{
    struct vmk_coredump_set s = {.place = place};

    name_put(s.name, sizeof(s.name), name);
    if (vmk_call(device(), VMK_COREDUMP_SET, &s, sizeof(s)) < 0)
        fail(errno == ENOENT ? EXIT_NO : EXIT_FAILED, "system coredump partition set: %s: %s%s",
             *name ? name : "no name", strerror(errno),
             errno == ENOENT
                 ? ": no partition for core dumps has this name; partition list shows them"
             : errno == EPERM ? ": only root may"
                              : "");
}

static bool truth(const char *text)
{
    if (!strcmp(text, "true") || !strcmp(text, "1") || !strcmp(text, "yes"))
        return true;
    if (strcmp(text, "false") != 0 && strcmp(text, "0") != 0 && strcmp(text, "no") != 0)
        fail(EXIT_USAGE, "system coredump partition set: --enable=%s: true or false", text);
    return false;
}

/* --partition NAME | --unconfigure | --enable true [--smart] | --enable false */
static int partition_set(const struct call *call)
{
    const char *enable = call->values[0], *name = call->values[1];
    const bool unconfigure = call->values[3];

    if ((enable != NULL) + (name != NULL) + unconfigure != 1)
        fail(EXIT_USAGE, "system coredump partition set: one of --partition, --enable, "
                         "--unconfigure");
    if (call->values[2] && (!enable || !truth(enable)))
        fail(EXIT_USAGE, "system coredump partition set: --smart goes with --enable=true");
    if (name)
        choose(VMK_COREDUMP_NAMED, name);
    else
        choose(unconfigure || !truth(enable) ? VMK_COREDUMP_NOWHERE : VMK_COREDUMP_FOUND, "");
    return EXIT_DONE;
}

static int file_refused(const struct call *call)
{
    (void)call;
    fail(EXIT_FAILED, "system coredump file: a panic is written without any file system, so "
                      "this host dumps to a partition "
                      "only: esxcli system coredump partition list");
}

static const struct option_row set_options[] = {
    {'e', "enable", false, false, "true: dump to the partition that is found; false: nowhere"},
    {'p', "partition", false, false, "the partition's name, as partition list shows it"},
    {'s', "smart", true, false, "with --enable=true: find one"},
    {'u', "unconfigure", true, false, "no partition"},
};

const struct esxcli_command esxcli_coredump[] = {
    {"system coredump file add", "Create a VMkernel dump file (refused: see its message).",
     file_refused, NULL, 0},
    {"system coredump file get", "Get the dump file path (refused: see its message).",
     file_refused, NULL, 0},
    {"system coredump file list", "List the dump files (refused: see its message).",
     file_refused, NULL, 0},
    {"system coredump file set", "Set the dump file (refused: see its message).", file_refused,
     NULL, 0},
    {"system coredump partition get",
     "Get one or both of the active and configured core dump partitions.", partition_get, NULL,
     0},
    {"system coredump partition list",
     "List all partitions on the system that have a partition type that allows them to be used "
     "as a coredump partition.",
     partition_list, NULL, 0},
    {"system coredump partition set", "Set the specific core dump partition for this system.",
     partition_set, set_options, COUNT_OF(set_options)},
    {NULL, NULL, NULL, NULL, 0},
};
