// SPDX-License-Identifier: BSD-2-Clause
/*
 * agents/vmtools/esxcli_coredump.c -- esxcli system coredump: where a panic of this host is saved.
 *
 * The VMkernel says and takes it as text, in /proc/vmware/coredump (fs/dump/dump.c).
 *
 * Invariants: none.
 * Locking    none: one thread.
 * Sources    [ESXCLI] "system coredump"
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents/vmtools/esxcli.h"

#define STATE_FILE "/proc/vmware/coredump"
#define NAME_SIZE  128
#define LINES_MAX  65536

struct partitions {
    char active[NAME_SIZE], configured[NAME_SIZE];  // empty: none
    char *text;                                     // of all
};

static void take_name(char *to, const char *from)
{
    (void)snprintf(to, NAME_SIZE, "%s", strcmp(from, "-") && strcmp(from, "none") ? from : "");
}

static void partitions_get(struct partitions *p)
{
    size_t size;
    char active[NAME_SIZE], configured[NAME_SIZE];

    p->text = file_text(STATE_FILE, LINES_MAX, &size);
    if (!p->text)
        fail(EXIT_FAILED, "%s: %s", STATE_FILE, strerror(errno));
    if (sscanf(p->text, "active %127s configured %127s", active, configured) != 2)
        fail(EXIT_FAILED, "%s: not what this esxcli understands", STATE_FILE);
    take_name(p->active, active);
    take_name(p->configured, configured);
}

static int partition_get(const struct call *call)
{
    struct records *r = records_begin(RECORDS_SIMPLE, "CoreDumpPartitionActive", false);
    struct partitions p;

    partitions_get(&p);
    records_add(r, NULL);
    records_text(r, "Active", "%s", p.active);
    records_text(r, "Configured", "%s", p.configured);
    records_end(r, call->form);
    free(p.text);
    return EXIT_DONE;
}

static int partition_list(const struct call *call)
{
    struct records *r = records_begin(RECORDS_TABLE, "CoreDumpPartition", true);
    struct partitions p;
    char *rest;

    partitions_get(&p);
    for (char *line = strtok_r(p.text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char name[NAME_SIZE];

        if (sscanf(line, "partition %127s", name) != 1)
            continue;
        records_add(r, NULL);
        records_text(r, "Name", "%s", name);
        records_text(r, "Path", "/vmfs/devices/disks/%s", name);
        records_flag(r, "Active", strcmp(name, p.active) == 0);
        records_flag(r, "Configured", strcmp(name, p.configured) == 0);
    }
    records_end(r, call->form);
    free(p.text);
    return EXIT_DONE;
}

static void state_write(const char *text)
{
    const int fd = open(STATE_FILE, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        fail(errno == ENOENT && fd >= 0 ? EXIT_NO : EXIT_FAILED,
             "system coredump partition set: %s: %s%s", text, strerror(errno),
             fd >= 0 && errno == ENOENT
                 ? ": no partition for core dumps has this name; partition list shows them"
             : errno == EACCES ? ": only root may"
                               : "");
    close(fd);
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
        state_write(name);
    else
        state_write(unconfigure || !truth(enable) ? "none" : "auto");
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
